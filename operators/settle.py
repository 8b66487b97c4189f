"""Debounce that cannot starve and does not make moves wait."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..streams.tasks import Tasks
from ..streams.timers import Timers

__all__ = ["give_way", "settle"]

T = TypeVar("T")


def settle(
    quiet: float,
    max_wait: float,
    timers: Timers,
    flush: Callable[[T], bool] = lambda item: False,
) -> Callable[[Observable[T]], Observable[T]]:
    """The latest item once the source has been quiet, or has gone on for too long.

    ::

        source   -a-b-c-----------d-e-f-g-h-i-j-M---
        settled  ------(quiet)c----------(max)i-M---      M: flush(M) is true

    :param quiet: seconds without an item after which the latest is passed on.
    :param max_wait: seconds an item may wait at the most while others keep coming.
    :param flush: an item for which this is true passes at once, in the place of those waiting.

    Completion passes on what waits; an error and a disposal drop it.
    """
    if not 0 <= quiet <= max_wait:
        raise ValueError(f"settle needs 0 <= quiet <= max_wait, not {quiet} and {max_wait}")

    def settled(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            waiting: list[T] = []
            latest = 0.0

            def emit() -> None:
                alarm.cancel()
                observer.on_next(waiting.pop())

            alarm = timers.alarm("settle", emit)

            def on_next(item: T) -> None:
                nonlocal latest
                now = timers.time()
                if not waiting:
                    latest = now + max_wait
                waiting[:] = [item]
                if flush(item):
                    emit()
                else:
                    alarm.set(min(now + quiet, latest))

            def on_completed() -> None:
                if waiting:
                    emit()
                observer.on_completed()

            return CompositeDisposable(
                source.subscribe(on_next, observer.on_error, on_completed), Disposable(alarm.cancel)
            )

        return Observable(subscribe)

    return settled


def give_way(tasks: Tasks, when: Callable[[T], bool]) -> Callable[[Observable[T]], Observable[T]]:
    """Let what somebody waits for go first.

    ::

        source   -a---M-----M-b---      M: when(M) is true
        passed   -a----M------b---

    :param tasks: whose work it gives way to.
    :param when: an item for which this is true is passed on in the next step of the loop, behind
        own work that it has set going; one that comes until then takes its place.

    Completion passes on what waits; an error and a disposal drop it.
    """

    def given_way(source: Observable[T]) -> Observable[T]:
        def subscribe(
            observer: abc.ObserverBase[T], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            waiting: list[T] = []

            def emit(item: T) -> None:
                if waiting and waiting[0] is item:
                    observer.on_next(waiting.pop())

            def on_next(item: T) -> None:
                waiting[:] = [item]
                if when(item):
                    tasks.soon(partial(emit, item))
                else:
                    emit(item)

            def on_completed() -> None:
                if waiting:
                    emit(waiting[0])
                observer.on_completed()

            return CompositeDisposable(
                source.subscribe(on_next, observer.on_error, on_completed),
                Disposable(waiting.clear),
            )

        return Observable(subscribe)

    return given_way
