"""A model with a witness: every stream of it is known, from its opening to its end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

from ..streams.models import Delta, Model, ModelError, ModelEvent, Request
from .scripted import ScriptedStream

__all__ = ["Watched", "WatchedModel", "WatchedStream"]


class WatchedStream(AsyncGenerator[ModelEvent, None]):
    """A stream of another's model, with what a :class:`ScriptedStream` tells of itself."""

    def __init__(
        self, number: int, request: Request, events: AsyncGenerator[ModelEvent, None]
    ) -> None:
        self.number = number
        self.request = request
        self.opened_at: float | None = None
        self.closed_at: float | None = None
        self.gone_at: float | None = None
        self.finished = False
        self.error: ModelError | None = None
        self.text = ""
        self.read_after_close = 0
        self._events = events

    def __repr__(self) -> str:
        status = "open" if self.closed_at is None else "finished" if self.finished else "closed"
        about = f"{self.request.purpose}, {status}, {len(self.text)} characters"
        return f"<stream {self.number} [{about}]>"

    async def asend(self, value: None) -> ModelEvent:
        """The next event."""
        now = asyncio.get_running_loop().time
        if self.opened_at is None:
            self.opened_at = now()
        if self.closed_at is not None and not self.finished:
            self.read_after_close += 1
        try:
            event = await anext(self._events)
        except BaseException as error:
            self.finished = self.finished or isinstance(error, Exception)
            self.error = error if isinstance(error, ModelError) else self.error
            self.closed_at = self.gone_at = now() if self.closed_at is None else self.closed_at
            raise
        if isinstance(event, Delta):
            self.text += event.text
        return event

    async def athrow(self, *args: Any) -> ModelEvent:
        """Raise in the stream, as a generator does."""
        return await self._events.athrow(*args)

    async def aclose(self) -> None:
        """Close it; returns when it is gone."""
        now = asyncio.get_running_loop().time
        if self.closed_at is None:
            self.opened_at = now() if self.opened_at is None else self.opened_at
            self.closed_at = now()
        try:
            await self._events.aclose()
        finally:
            self.gone_at = now() if self.gone_at is None else self.gone_at


Watched = ScriptedStream | WatchedStream


class WatchedModel:
    """Hands on what another model answers.

    :param opened: told of each stream before it is first read.
    """

    def __init__(self, model: Model, opened: Callable[[Watched], None]) -> None:
        self._model = model
        self._opened = opened
        self._count = 0

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """See :class:`~foretell.streams.models.Model`."""
        self._count += 1
        events = self._model.stream(request)
        if not isinstance(events, Watched):
            events = WatchedStream(self._count, request, events)
        self._opened(events)
        return events

    async def aclose(self) -> None:
        """Close the other's door."""
        await self._model.aclose()
