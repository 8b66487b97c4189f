"""Debounce that cannot starve and does not make moves wait."""

from __future__ import annotations

from asyncio import TimerHandle
from collections.abc import Callable
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..streams.clock import LoopScheduler

__all__ = ["settle"]

T = TypeVar("T")


def settle(
    quiet: float,
    max_wait: float,
    scheduler: LoopScheduler,
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
            timer: TimerHandle | None = None
            due = latest = 0.0

            def emit() -> None:
                disarm()
                observer.on_next(waiting.pop())

            def disarm() -> None:
                nonlocal timer
                if timer is not None:
                    timer.cancel()
                    timer = None

            def tick() -> None:
                nonlocal timer
                timer = None
                if waiting:
                    if scheduler.time() >= due:
                        emit()
                    else:
                        timer = scheduler.call_at(due, tick)

            def on_next(item: T) -> None:
                nonlocal due, latest, timer
                now = scheduler.time()
                if not waiting:
                    latest = now + max_wait
                waiting[:] = [item]
                if flush(item):
                    emit()
                    return
                due = min(now + quiet, latest)
                if timer is None:  # one that is due too early arms itself again
                    timer = scheduler.call_at(due, tick)

            def on_completed() -> None:
                if waiting:
                    emit()
                observer.on_completed()

            return CompositeDisposable(
                source.subscribe(on_next, observer.on_error, on_completed), Disposable(disarm)
            )

        return Observable(subscribe)

    return settled
