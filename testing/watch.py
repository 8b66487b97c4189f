"""A model with a witness: every stream of it is known, from its opening to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from typing import Any

from ..streams.models import Delta, Model, ModelError, ModelEvent, Request, Usage

__all__ = ["WatchedModel", "WatchedStream"]


class WatchedStream(AsyncGenerator[ModelEvent, None]):
    """A stream of a model, and what became of it.

    Times are the loop's, in seconds; ``None`` for what has not happened. ``closed_at`` is when its
    reader went away or it came to its end, ``gone_at`` when nothing of it was left.
    """

    def __init__(
        self, number: int, request: Request, events: AsyncGenerator[ModelEvent, None]
    ) -> None:
        self.number = number
        self.request = request
        self.opened_at: float | None = None
        self.first_at: float | None = None
        self.last_at: float | None = None
        self.closed_at: float | None = None
        self.gone_at: float | None = None
        self.finished = False
        """Whether it came to its own end: the whole answer, or its error."""
        self.error: ModelError | None = None
        """What it ended with, if that was no answer."""
        self.text = ""
        """What it has sent."""
        self.before_last = 0
        """Of the text, how much had been sent before ``last_at``."""
        self.usage = Usage()
        """The tokens it has reported."""
        self.read_after_close = 0
        self._events: AsyncGenerator[ModelEvent, None] | None = events
        self._now: Callable[[], float] | None = None  # asked for once: it costs a system call

    def __repr__(self) -> str:
        status = "open" if self.closed_at is None else "finished" if self.finished else "closed"
        about = f"{self.request.purpose}, {status}, {len(self.text)} characters"
        return f"<{type(self).__name__} {self.number} [{about}]>"

    @property
    def prompt(self) -> str:
        """All that was asked, in one string."""
        return "\n".join([self.request.system, *(m.text for m in self.request.messages)])

    def __anext__(self) -> Coroutine[Any, Any, ModelEvent]:
        """The next event."""
        return self.asend(None)

    async def asend(self, value: None) -> ModelEvent:
        """The next event."""
        now = self._now
        if self.opened_at is None or now is None:
            now = self._now = asyncio.get_running_loop().time
            self.opened_at = now() if self.opened_at is None else self.opened_at
        if self.closed_at is not None and not self.finished:
            self.read_after_close += 1
        if self._events is None:
            raise StopAsyncIteration
        try:
            event = await self._events.asend(value)
        except BaseException as error:
            if self.closed_at is None:
                self.finished = isinstance(error, Exception)
                self.error = error if isinstance(error, ModelError) else None
            self._gone()
            raise
        if isinstance(event, Delta):
            self._said(event.text, now())
        elif isinstance(event, Usage):
            self.usage = _latest(self.usage, event)
        return event

    async def athrow(self, *args: Any) -> ModelEvent:
        """Raise in the stream, as a generator does."""
        if self._events is None:
            raise StopAsyncIteration
        return await self._events.athrow(*args)

    async def aclose(self) -> None:
        """Close it; returns when it is gone."""
        if self.opened_at is None:
            self.opened_at = asyncio.get_running_loop().time()
        self._closing()
        try:
            if self._events is not None:
                await self._events.aclose()
        finally:
            self._gone()

    def _said(self, text: str, at: float) -> None:
        if at != self.last_at:
            self.before_last, self.last_at = len(self.text), at
        self.first_at = at if self.first_at is None else self.first_at
        self.text += text

    def _closing(self) -> None:
        if self.closed_at is None:
            self.closed_at = asyncio.get_running_loop().time()

    def _gone(self) -> None:
        self._closing()
        self._events = None  # or the loop would close it once more at its end
        if self.gone_at is None:
            self.gone_at = asyncio.get_running_loop().time()


def _latest(old: Usage, new: Usage) -> Usage:
    counts = ("input", "output", "cache_read", "cache_write")
    known = {name: getattr(old if getattr(new, name) is None else new, name) for name in counts}
    return Usage(**known, final=old.final or new.final)


class WatchedModel:
    """Hands on what another model answers.

    :param opened: told of each stream before it is first read.
    """

    def __init__(self, model: Model, opened: Callable[[WatchedStream], None]) -> None:
        self._model = model
        self._opened = opened
        self._count = 0

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """See :class:`~foretell.streams.models.Model`."""
        self._count += 1
        events = self._model.stream(request)
        if not isinstance(events, WatchedStream):
            events = WatchedStream(self._count, request, events)
        self._opened(events)
        return events

    async def aclose(self) -> None:
        """Close the other's door."""
        await self._model.aclose()
