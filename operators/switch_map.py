"""Keyed ``switch_map``: a whole plan goes in, and only what changed in it is restarted."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Hashable, Iterable
from contextlib import aclosing
from typing import Generic, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..streams.tasks import Tasks
from ..streams.timers import Timers, wait
from .publish import Fault

__all__ = ["switch_map"]

COURTESY = 0.05

T = TypeVar("T")
R = TypeVar("R")


def switch_map(
    project: Callable[[T], AsyncGenerator[R, None]],
    tasks: Tasks,
    fault: Fault,
    timers: Timers,
    *,
    key: Callable[[T], Hashable] = lambda item: None,
    teardown_limit: float = 1.0,
    slow_teardown: Callable[[T, float], None] = lambda item, seconds: None,
) -> Callable[[Observable[Iterable[T]]], Observable[R]]:
    """Run one inner stream per item of the latest plan.

    ::

        plans       (a1 b1)------(a1 b2 c1)-------(c1)---
        inner a     a1-----------(goes on)--------|
        inner b     b1-----------|b2--------------|
        inner c                  c1------------------(goes on)

    Each item of the source is a whole plan. An item whose ``key`` is no longer in it is ended;
    one equal (``==``) to what runs under its key goes on, unless its stream has ended and raised;
    a changed one switches: the old stream is closed, its clean-up awaited, and then the new one
    is started. With one constant key this is the usual ``switch_map`` with awaited teardown.

    :param project: opens an item's stream; ``aclose`` is awaited when the item's time is over.
    :param tasks: owns the tasks that read the inner streams.
    :param fault: told what an inner stream raises; nothing else ends because of it.
    :param timers: make its two limits.
    :param teardown_limit: seconds to wait for the old stream's clean-up; after that the new one
        starts all the same, and ``slow_teardown`` is told.

    What a plan ends gets a moment (0.05 s) to close before anything new is opened, so that the
    work of opening does not hold up the closing.

    Completes when the source has completed and no inner stream runs or cleans up. Disposal ends
    them all.
    """

    def keyed(source: Observable[Iterable[T]]) -> Observable[R]:
        def subscribe(
            observer: abc.ObserverBase[R], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            inners: dict[Hashable, _Inner[T]] = {}
            closing: dict[Hashable, list[asyncio.Task[None]]] = {}
            completed = False

            async def run(inner: _Inner[T]) -> None:
                try:
                    if inner.after:
                        name = f"teardown {key(inner.item)}"
                        if not await wait(timers, name, inner.after, teardown_limit):
                            slow_teardown(inner.item, teardown_limit)
                    if inner.beside:
                        name = f"courtesy {key(inner.item)}"
                        await wait(timers, name, inner.beside, COURTESY)
                    async with aclosing(project(inner.item)) as stream:
                        async for value in stream:
                            if not inner.wanted:
                                break
                            observer.on_next(value)
                except asyncio.CancelledError as error:
                    raise error.with_traceback(None) from None
                except Exception as error:
                    inner.failed = True
                    fault("switch_map", error)
                finally:  # a task keeps its error, that this frame, and this what it knows
                    inner.after = inner.beside = ()
                    del inner

            def start(name: Hashable, item: T, beside: tuple[asyncio.Task[None], ...]) -> None:
                after = tuple(closing.get(name, ()))
                inner = _Inner(item, after, tuple(task for task in beside if task not in after))
                inner.task = tasks.start(run(inner), name=f"switch_map {name}")
                inner.task.add_done_callback(lambda task: ended(name, task))
                inners[name] = inner

            def ended(name: Hashable, task: asyncio.Task[None]) -> None:
                if task in (left := closing.get(name, [])):
                    left.remove(task)
                    if not left:
                        del closing[name]
                complete()

            def complete() -> None:
                running = any(not inner.task.done() for inner in inners.values())
                if completed and not running and not closing:
                    observer.on_completed()

            def end(name: Hashable) -> None:
                inner = inners.pop(name)
                inner.wanted = False
                if not inner.task.done():
                    closing.setdefault(name, []).append(inner.task)
                    inner.task.cancel()

            def on_next(plan: Iterable[T]) -> None:
                wanted = {key(item): item for item in plan}
                for name, inner in list(inners.items()):
                    if name not in wanted or inner.failed or inner.item != wanted[name]:
                        end(name)
                leaving = tuple(task for tasks in closing.values() for task in tasks)
                for name, item in wanted.items():
                    if name not in inners:
                        start(name, item, leaving)

            def on_completed() -> None:
                nonlocal completed
                completed = True
                complete()

            def dispose() -> None:
                for name in list(inners):
                    end(name)

            return CompositeDisposable(
                source.subscribe(on_next, observer.on_error, on_completed), Disposable(dispose)
            )

        return Observable(subscribe)

    return keyed


class _Inner(Generic[T]):
    """A running item, and the closing tasks, under its key and beside it, that it waits for."""

    __slots__ = ("after", "beside", "failed", "item", "task", "wanted")

    task: asyncio.Task[None]

    def __init__(
        self,
        item: T,
        after: tuple[asyncio.Task[None], ...],
        beside: tuple[asyncio.Task[None], ...],
    ) -> None:
        self.item = item
        self.after = after
        self.beside = beside
        self.wanted = True
        self.failed = False
