"""Doing what plans say, as an operator: plans go in, and what happens comes out."""

from __future__ import annotations

from collections.abc import Callable

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from .executor import Executor
from .fetch_events import Fetched
from .schedule_plan import Plan

__all__ = ["execute"]


def execute(executor: Executor) -> Callable[[Observable[Plan]], Observable[Fetched]]:
    """Do what plans say, and emit what happens.

    ::

        plans     --p1---------p2----|
        events    ----l-l--t------l--------l|     when all that was begun has come to an end

    Disposal cancels what is under way and what waits.
    """

    def executing(source: Observable[Plan]) -> Observable[Fetched]:
        def subscribe(
            observer: abc.ObserverBase[Fetched], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            completed = False

            def on_event(event: Fetched) -> None:
                observer.on_next(event)

            def end() -> None:
                if completed and executor.at_rest:
                    observer.on_completed()

            def on_completed() -> None:
                nonlocal completed
                completed = True
                end()

            def dispose() -> None:
                executor.listeners.remove(on_event)
                executor.idle.remove(end)
                executor.cancel("nobody listens any more")

            executor.listeners.append(on_event)
            executor.idle.append(end)
            return CompositeDisposable(
                source.subscribe(executor.take, observer.on_error, on_completed),
                Disposable(dispose),
            )

        return Observable(subscribe)

    return executing
