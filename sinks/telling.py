"""The handle of one telling: await it, iterate over it, cancel it."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextlib import aclosing
from copy import deepcopy
from typing import Any, Generic, TypeVar

from ..errors import TellingError
from ..operators.partials import apply
from ..streams.replay_buffer import ReplayBuffer

__all__ = ["Telling"]

M = TypeVar("M")

BREAK = re.compile(r"[.!?…][\"'”’)\]]*\s+(?=\S)")


class Telling(Generic[M]):
    """The narrative of an outcome, while it comes and after.

    ``await telling`` gives the whole, an instance of the session's narration model.
    ``async for partial in telling`` gives plain growing snapshots of its value; :meth:`text`,
    :meth:`sentences` and :meth:`patches` give other views. Any number of readers may follow it,
    each from the beginning. Leaving a reader cancels nothing.

    Several outcomes may be told together; their handles then share one telling and one ``id``.
    """

    def __init__(
        self,
        telling: str,
        validate: Callable[[Mapping[str, Any]], M],
        cancel: Callable[[str], None],
        delivered: Callable[[str, str, int], None],
    ) -> None:
        self._asked = telling
        self._id = telling
        self._validate = validate
        self._cancel = cancel
        self._delivered = delivered
        self._events: ReplayBuffer[Any] = ReplayBuffer()
        self._end: Any = None

    def __repr__(self) -> str:
        status = self._end.status if self._end is not None else "under way"
        return f"<Telling {self._id} [{status}, {len(self._events.items)} events]>"

    @property
    def id(self) -> str:
        """The telling's id, as in the narrative's events; final once it has started."""
        return self._id

    @property
    def ended(self) -> Any:
        """The :class:`~foretell.Ended` event, once it is over; else ``None``."""
        return self._end

    def on_event(self, event: Any) -> None:
        """Take in an event of the narrative that concerns this telling."""
        self._id = event.telling
        self._events.append(event)
        if hasattr(event, "status"):
            self._end = event
            self._events.end()

    def __await__(self) -> Generator[Any, None, M]:
        return self._whole().__await__()

    async def _whole(self) -> M:
        """Wait for the end.

        :raises TellingError: if it failed, or was ended before it was whole; the error's
            ``fallback`` is text that can be shown.
        """
        while not self._events.ended:
            await self._events.changed()
        end = self._end
        if end is None or end.status != "done":
            kind = end.kind or str(end.status) if end is not None else "closed"
            reason = (end.error if end is not None else None) or f"the telling was {kind}"
            raise TellingError(
                f"telling {self._id}: {reason}", kind=kind, fallback=end.text if end else ""
            )
        return self._validate(end.value)

    async def patches(self) -> AsyncGenerator[Any, None]:
        """Every :class:`~foretell.Patch` to the telling's value, in order, from the first."""
        async with aclosing(self._events.follow()) as events:
            async for event in events:
                for patch in getattr(event, "patches", ()):
                    yield patch

    async def __aiter__(self) -> AsyncGenerator[dict[str, Any], None]:
        """Growing snapshots of the value, as plain JSON: one per event that changed it."""
        value: Any = {}
        async with aclosing(self._events.follow()) as events:
            async for event in events:
                patches = getattr(event, "patches", ())
                for patch in patches:
                    value = apply(value, patch)
                if patches:
                    yield deepcopy(value)

    async def _deltas(self) -> AsyncGenerator[str, None]:
        async with aclosing(self._events.follow()) as events:
            async for event in events:
                if not hasattr(event, "status") and (text := getattr(event, "text", "")):
                    yield text

    async def text(self, every: float = 0.0, limit: int | None = None) -> AsyncGenerator[str, None]:
        """The text so far, again and again as it grows, the last time whole.

        :param every: at least this many seconds between two of them, for places that limit edits.
        :param limit: the most characters; longer text is cut with an ellipsis.
        """
        shown, sent_at = "", -math.inf
        loop = asyncio.get_running_loop()
        while True:
            ended = self._events.ended
            whole = "".join(event.text for event in self._events.items if hasattr(event, "patches"))
            if limit is not None and len(whole) > limit:
                whole = whole[: limit - 1] + "…"
            if whole != shown:
                wait = sent_at + every - loop.time()
                if wait > 0 and not ended:
                    await self._pause(wait)
                    continue
                shown, sent_at = whole, loop.time()
                yield whole
            elif ended:
                return
            else:
                await self._events.changed()

    async def _pause(self, seconds: float) -> None:
        """Wait, but not past the end of the telling."""
        try:
            async with asyncio.timeout(seconds):
                while not self._events.ended:
                    await self._events.changed()
        except TimeoutError:
            pass

    async def sentences(self) -> AsyncGenerator[str, None]:
        """The text sentence by sentence, each as soon as the next one begins (for speech)."""
        held = ""
        async with aclosing(self._deltas()) as deltas:
            async for delta in deltas:
                held, at = held + delta, 0
                for found in BREAK.finditer(held):
                    end = found.end()
                    if not held[end].islower():
                        yield held[at:end].strip()
                        at = end
                held = held[at:]
        if held.strip():
            yield held.strip()

    def cancel(self) -> None:
        """End it early. What was delivered stays; the end is marked as superseded."""
        if self._end is None:
            self._cancel(self._asked)

    def delivered(self, upto: int, viewer: str = "") -> None:
        """Tell how many characters of the text a viewer has really seen or heard."""
        self._delivered(self._id, viewer, upto)
