"""For games whose loop is not asyncio: Foretell in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Mapping
from concurrent.futures import Future
from os import PathLike
from typing import Any, Generic, Self, TypeVar

from pydantic import BaseModel

from .config import Settings
from .errors import StateError
from .game import Game
from .session import Session

__all__ = ["Background", "background"]

M = TypeVar("M", bound=BaseModel)
T = TypeVar("T")


def background(
    settings: Settings | Mapping[str, Any] | str | PathLike[str] | None = None, **options: Any
) -> Background[Any]:
    """Start a game in a thread of its own, for a program that has no event loop.

    ::

        with foretell.background("campaign.toml") as game:
            session = game.session("table-7")
            while running:                              # sixty times a second
                session.update(state)
                for event in session.poll():            # what is new; never blocks
                    draw(event)

    :param settings: as :class:`~foretell.Game` takes them, and its other ``options``.
    :raises ConfigError: as that does.
    """
    return Background(Game(settings, **options))


class Background(Generic[M]):
    """A :class:`~foretell.Game` with an event loop in a daemon thread. A context manager.

    Sessions take what they are told from any thread. What has to be awaited (``session.close``,
    a telling) goes through :meth:`run`.
    """

    def __init__(self, game: Game[M]) -> None:
        self.game = game
        self._closed = False
        ready: Future[asyncio.AbstractEventLoop] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._live(ready)), name="foretell", daemon=True
        )
        self._thread.start()
        self._loop = ready.result()

    async def _live(self, ready: Future[asyncio.AbstractEventLoop]) -> None:
        self._over = asyncio.Event()
        ready.set_result(asyncio.get_running_loop())
        await self._over.wait()

    def run(self, what: Awaitable[T], timeout: float | None = None) -> T:
        """Await something on the game's loop, and wait here until it is done.

        :param timeout: seconds; then it is cancelled.
        :raises TimeoutError: if it takes longer.
        :raises StateError: after :meth:`close`, and on the game's own loop.
        """
        refused = None
        if self._closed:
            refused = "the game is closed; make another one"
        elif threading.current_thread() is self._thread:
            refused = "run would wait for its own loop: await instead"
        if refused is not None:
            if asyncio.iscoroutine(what):
                what.close()
            raise StateError(refused)

        async def awaited() -> T:
            async with asyncio.timeout(timeout):
                return await what

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result()

    def session(self, session_id: str, *, header: Mapping[str, Any] | None = None) -> Session[M]:
        """Open a session, as :meth:`Game.session` does; waits until it is open."""
        return self.run(self.game.session(session_id, header=header))

    def close(self, drain: float = 5.0) -> None:
        """Close all sessions, as :meth:`Game.aclose` does, and end the thread.

        :param drain: seconds to wait for what is being told.
        """
        if self._closed:
            return
        try:
            self.run(self.game.aclose(drain))
        finally:
            self._closed = True
            self._loop.call_soon_threadsafe(self._over.set)
            self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
