"""The cold layer's cache: ``aiocache``, in memory, behind the few calls the store makes of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar

import orjson

from .store_news import Word

__all__ = ["Cold", "MemoryCold", "name_of", "scope_of"]

T = TypeVar("T")


PLAIN = re.compile(r"[A-Za-z0-9._-]{1,128}")


def scope_of(session: str) -> str:
    """What all names of a session begin with."""
    return session if PLAIN.fullmatch(session) else "-"


def name_of(scope: str, session: str, key: str, fingerprint: str) -> str:
    """The scope and a digest: short and of plain letters, as every cache takes it."""
    raw = ascii((session, key, fingerprint)).encode()  # whatever it is asked for
    return f"{scope}:{hashlib.blake2b(raw, digest_size=16).hexdigest()}"


class Cold(Protocol):
    """Keeps entries, as JSON, that are too old for memory or are shared with other processes.

    None of its calls raises, whatever becomes of the server behind it.
    """

    @property
    def shared(self) -> bool:
        """Whether others see what is kept; then it has to be waited for."""
        ...

    @property
    def answers(self) -> bool:
        """Whether it can be asked at present; if not, nothing is known of what it holds."""
        ...

    def keep(
        self,
        name: str,
        record: dict[str, Any],
        seconds: float,
        written: Callable[[], object] | None = None,
    ) -> None:
        """Keep a record for so long; ``written`` is called when it is there, if it ever is."""
        ...

    def drop(self, name: str) -> None:
        """Forget it."""
        ...

    def at_hand(self, name: str) -> Any:
        """The record, if it need not be waited for, or ``None``."""
        ...

    async def fetch(self, name: str) -> Any:
        """The record, or ``None``, within the time a look-up may take."""
        ...

    def listen(self, scope: str, told: Callable[[Word], object]) -> None:
        """Hear what other processes say is no longer good, of the names that begin so."""
        ...

    def tell(self, scope: str, word: Word) -> None:
        """Tell the others what is no longer good; nothing of it is found here from now on."""
        ...

    async def hear(self) -> None:
        """Hear at once what they have told; otherwise it may take a moment."""
        ...

    async def flush(self) -> None:
        """Wait until all that was kept, dropped or told has arrived, or been given up."""
        ...

    def described(self) -> dict[str, Any]:
        """What it is and what it has met, as JSON."""
        ...

    async def aclose(self) -> None:
        """Flush, and close what is open."""
        ...


class Private:
    """What a cold layer does for others, where there are none."""

    def listen(self, scope: str, told: Callable[[Word], object]) -> None:
        """See :class:`Cold`; there are no others."""

    def tell(self, scope: str, word: Word) -> None:
        """See :class:`Cold`; who tells it has dropped it."""

    async def hear(self) -> None:
        """See :class:`Cold`."""

    async def flush(self) -> None:
        """See :class:`Cold`."""

    async def aclose(self) -> None:
        """See :class:`Cold`."""


class MemoryCold(Private):
    """``aiocache`` in memory.

    What its back end does is called straight: the calls before it read the wall clock, for a
    message, and may be switched off by the environment; their time-outs are ``wait_for``. So
    nothing waits, and all is done at once. Its own times are not used: the store knows them,
    ``clear()`` would leave their timers running, which later take away what was kept anew, and a
    time of 0 is none. It has no bound of its own either: the store drops what is too much.
    """

    shared = False
    answers = True

    def __init__(self) -> None:
        self._made: Any = None

    @staticmethod
    def warm() -> None:
        """Import ``aiocache``: it takes long the first time, for it looks for all its clients."""
        import aiocache  # type: ignore[import-untyped]  # noqa: F401

    @property
    def _cache(self) -> Any:
        if self._made is None:
            from aiocache import SimpleMemoryCache

            self._made = SimpleMemoryCache()
        return self._made

    def keep(
        self,
        name: str,
        record: dict[str, Any],
        seconds: float,
        written: Callable[[], object] | None = None,
    ) -> None:
        """See :class:`Cold`."""
        _now(self._cache._set(name, orjson.dumps(record)))
        if written is not None:
            written()

    def drop(self, name: str) -> None:
        """See :class:`Cold`."""
        _now(self._cache._delete(name))

    def at_hand(self, name: str) -> Any:
        """See :class:`Cold`."""
        raw = _now(self._cache._get(name))
        return None if raw is None else orjson.loads(raw)

    async def fetch(self, name: str) -> Any:
        """See :class:`Cold`."""
        return self.at_hand(name)

    def described(self) -> dict[str, Any]:
        """See :class:`Cold`."""
        return {"kind": "memory"}


def _now(call: Coroutine[Any, Any, T]) -> T:
    """The result of a call that never waits."""
    try:
        call.send(None)
    except StopIteration as done:
        return done.value  # type: ignore[no-any-return]
    call.close()
    raise RuntimeError("aiocache's memory cache has waited for something")
