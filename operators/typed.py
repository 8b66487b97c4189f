"""Typed partials: a pydantic model's value, usable while its JSON streams."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Literal, TypeVar, overload

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, SingleAssignmentDisposable

from .partials import PartialParser
from .sentences import Sentence
from .typed_errors import said
from .typed_partials import (
    Element,
    Emit,
    FieldDone,
    TypedPartials,
    Unfinished,
    check_limit,
    over_limit,
)
from .typed_views import PartialOf

__all__ = ["Element", "Emit", "FieldDone", "TypedPartials", "Unfinished", "partials"]

M = TypeVar("M")


@overload
def partials(
    model: type[M],
    *,
    emit: Literal["piece", "patch"] = "piece",
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[PartialOf[M] | M | Unfinished[M]]]: ...
@overload
def partials(
    model: type[M],
    *,
    emit: Literal["field"],
    at: str | None = None,
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[FieldDone | M | Unfinished[M]]]: ...
@overload
def partials(
    model: type[M],
    *,
    emit: Literal["element"],
    at: str | None = None,
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[Element | M | Unfinished[M]]]: ...
@overload
def partials(
    model: type[M],
    *,
    emit: Literal["sentence"],
    at: str | None = None,
    language: str = "en",
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[Sentence | M | Unfinished[M]]]: ...
def partials(
    model: type[M],
    *,
    emit: Emit = "piece",
    at: str | None = None,
    language: str = "en",
    limit: float | None = None,
    parser: Callable[[], PartialParser] | None = None,
) -> Callable[[Observable[str]], Observable[Any]]:
    """From the text deltas of a model's JSON to typed partials, and the validated value.

    ::

        texts     --{"text":"A go------blin fa----lls","n":---7}---|
        piece     --(A go…)------------(A goblin fa…)-(A goblin falls)-(7)M---|
        field     ----------------------------------text--------------n M---|
        limit     --(A go…)------------(A goblin fa…)-X|         X: Unfinished

    - ``emit="piece"``: a :class:`PartialOf` for each piece of text that added something;
      ``"patch"``: one for each step of it, many to a piece.
    - ``"field"``: a :class:`FieldDone` for each field that is complete; ``"element"``: an
      :class:`Element` for each element of each list, such as the steps of a plan one by one.
    - ``"sentence"``: a :class:`Sentence` for each sentence of the text fields, to be spoken.

    The last item is the validated ``M``, as soon as its JSON is complete, whatever follows it;
    or :class:`Unfinished`, with all that was usable. What the model wrote is never an ``on_error``:
    that is the source's own error, and what was usable comes before it. An emission costs as much
    as there are open parts in the value, and never changes afterwards; so it can be kept.

    Validators see complete values only: those of a field when it is complete (and the fields
    before it, if they look at ``info.data``), those of a model when its object is. They run again
    when what encloses them is complete, so they should have no effects.

    :param model: a pydantic model, or any type that pydantic can validate, such as ``list[Plan]``.
    :param at: only the field, or the elements of the list, at this path: ``"text"``,
        ``"steps"``, ``"agents.*.steps"``.
    :param language: of the text, for sentences: an ISO 639 code.
    :param limit: seconds from the subscription, on the loop's clock; what is complete by then is
        the result, and the source is disposed of.
    :param parser: makes the parser of each subscription; default: a tolerant one, which looks for
        an object where the model is one, and for an array where it is a list. What comes first is
        the value: if it does not fit the model, none that follows takes its place.
    """
    check_limit(limit)
    # What cannot be is said here, not in the stream.
    TypedPartials(model, emit, at=at, language=language)

    def typed(source: Observable[str]) -> Observable[Any]:
        def subscribe(
            observer: abc.ObserverBase[Any], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            value = TypedPartials(model, emit, at=at, language=language, parser=parser and parser())
            upstream = SingleAssignmentDisposable()
            timer: asyncio.TimerHandle | None = None
            loop: asyncio.AbstractEventLoop | None = None
            until: float | None = None

            def send(emissions: Iterable[Any]) -> None:
                for emission in emissions:
                    observer.on_next(emission)

            def disarm() -> None:
                if timer is not None:
                    timer.cancel()

            def on_error(error: Exception) -> None:
                disarm()
                send(value.finish(reason=said(error)))
                observer.on_error(error)

            def on_completed() -> None:
                disarm()
                send(value.finish())
                observer.on_completed()

            def on_next(text: str) -> None:
                if until is not None and loop is not None and loop.time() > until:
                    on_limit()  # the source leaves the loop no time to say so
                else:
                    send(value.feed(text))

            def on_limit() -> None:
                disarm()
                upstream.dispose()
                send(value.finish(reason=over_limit(limit)))
                observer.on_completed()

            if limit is not None:
                loop = asyncio.get_running_loop()
                until = loop.time() + limit
                timer = loop.call_at(until, on_limit)
            upstream.disposable = source.subscribe(on_next, on_error, on_completed)
            return CompositeDisposable(upstream, Disposable(disarm))

        return Observable(subscribe)

    return typed
