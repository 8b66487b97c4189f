"""The handle of one telling: await it, iterate over it, cancel it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Generator
from contextlib import aclosing
from typing import Any, Generic, Literal, TypeVar, overload

from pydantic import BaseModel

from ..errors import TellingError
from ..operators.partials import Final
from ..operators.sentences import Sentence, Sentences
from ..operators.typed import Element, Emit, FieldDone, TypedPartials, Unfinished
from ..operators.typed_views import PartialOf
from ..streams.replay_buffer import ReplayBuffer

__all__ = ["Telling"]

M = TypeVar("M", bound=BaseModel)


class Telling(Generic[M]):
    """The narrative of an outcome, while it comes and after.

    ``await telling`` gives the whole, an instance of the session's narration model.
    ``async for partial in telling`` gives a :class:`~foretell.PartialOf` that model each time it
    has grown: ``partial.text`` is the text so far, ``partial.done("text")`` says whether it is
    whole; the last has all there is. :meth:`partials`, :meth:`text`, :meth:`sentences` and
    :meth:`patches` give other views. Any number of readers may follow it, each from the beginning.
    Leaving a reader cancels nothing.

    Several outcomes may be told together; their handles then share one telling and one ``id``.
    """

    def __init__(
        self,
        telling: str,
        model: type[M],
        cancel: Callable[[str], None],
        delivered: Callable[[str, str, int], None],
    ) -> None:
        self._asked = telling
        self._id = telling
        self._model = model
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
        return self._model.model_validate(end.value)

    async def patches(self) -> AsyncGenerator[Any, None]:
        """Every :class:`~foretell.Patch` to the telling's value, in order, from the first."""
        async with aclosing(self._events.follow()) as events:
            async for event in events:
                for patch in getattr(event, "patches", ()):
                    yield patch

    async def __aiter__(self) -> AsyncGenerator[PartialOf[M], None]:
        """A typed partial per event that added something, each of its own moment.

        Of a telling that came whole, ``partial.final`` of the last is what ``await`` gives.
        """
        async with aclosing(self.partials()) as emissions:
            async for emission in emissions:
                if isinstance(emission, PartialOf):
                    yield emission

    @overload
    def partials(
        self, emit: Literal["piece", "patch"] = "piece"
    ) -> AsyncGenerator[PartialOf[M] | M | Unfinished[M], None]: ...
    @overload
    def partials(
        self, emit: Literal["field"], *, at: str | None = None
    ) -> AsyncGenerator[FieldDone | M | Unfinished[M], None]: ...
    @overload
    def partials(
        self, emit: Literal["element"], *, at: str | None = None
    ) -> AsyncGenerator[Element | M | Unfinished[M], None]: ...
    @overload
    def partials(
        self, emit: Literal["sentence"], *, at: str | None = None, language: str = "en"
    ) -> AsyncGenerator[Sentence | M | Unfinished[M], None]: ...
    async def partials(
        self, emit: Emit = "piece", *, at: str | None = None, language: str = "en"
    ) -> AsyncGenerator[Any, None]:
        """The telling as typed partials, as fields or list elements close, or by sentence.

        As :func:`foretell.partials` has it; the last is the model's instance, or an
        :class:`~foretell.Unfinished` that says why there is none.
        """
        typed = TypedPartials(self._model, emit, at=at, language=language)
        async with aclosing(self._events.follow()) as events:
            async for event in events:
                for emission in typed.take(getattr(event, "patches", ())):
                    yield emission
        for emission in self._rest_of(typed):
            yield emission

    def _rest_of(self, typed: TypedPartials[M]) -> list[Any]:
        """What is left to emit of a telling that is over."""
        end = self._end
        if end is None:
            return typed.finish(reason="the telling was closed")
        if end.status == "done":
            return typed.finish(Final(end.value))
        return typed.finish(reason=end.error or f"the telling was {end.kind or end.status}")

    async def _deltas(self) -> AsyncGenerator[str, None]:
        async with aclosing(self._events.follow()) as events:
            async for event in events:
                if not hasattr(event, "status") and (text := getattr(event, "text", "")):
                    yield text

    async def text(self, every: float = 0.0, limit: int | None = None) -> AsyncGenerator[str, None]:
        """The text so far, again and again as it grows, the last time whole.

        :param every: at least this many seconds between two of them, for places that limit edits.
        :param limit: the most characters, 1 or more; longer text is cut with an ellipsis.
        :raises ValueError: for another limit, at the first text asked for.
        """
        if limit is not None and limit < 1:
            raise ValueError(f"limit is a number of characters from 1, not {limit}")
        shown, sent_at = "", -math.inf
        told, seen = "", 0
        loop = asyncio.get_running_loop()
        while True:
            ended = self._events.ended
            new = self._events.items[seen:]
            seen += len(new)
            told += "".join(event.text for event in new if hasattr(event, "patches"))
            whole = told
            if limit is not None and len(told) > limit:
                whole = told[: limit - 1] + "…"
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

    async def sentences(self, language: str = "en") -> AsyncGenerator[Sentence, None]:
        """The text sentence by sentence, each as soon as the next one begins (for speech).

        ``telling.delivered(sentence.end)`` says that one has been spoken.

        :param language: of the text: an ISO 639 code.
        """
        cutter = Sentences(language)
        async with aclosing(self._deltas()) as deltas:
            async for delta in deltas:
                for sentence in cutter.feed(delta):
                    yield sentence
        for sentence in cutter.finish():
            yield sentence

    def cancel(self) -> None:
        """End it early. What was delivered stays; the end is marked as superseded.

        Outcomes that are told together are one telling: it ends for all of them.
        """
        if self._end is None:
            self._cancel(self._asked)

    def delivered(self, upto: int, viewer: str = "") -> None:
        """Tell how many characters of the text a viewer has really seen or heard."""
        self._delivered(self._id, viewer, upto)
