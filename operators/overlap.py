"""What becomes of an outcome that comes while another is being told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Sequence
from enum import StrEnum
from typing import TypeVar

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..streams.tasks import Tasks

__all__ = ["Overlap", "overlap"]

T = TypeVar("T")
R = TypeVar("R")


class Overlap(StrEnum):
    """The policy of :func:`overlap`."""

    CONFLATE = "conflate"
    INTERRUPT = "interrupt"
    QUEUE = "queue"


def overlap(
    tell: Callable[[Sequence[T], Callable[[R], None]], Awaitable[None]],
    skip: Callable[[Sequence[T], Callable[[R], None]], None],
    policy: Callable[[], Overlap],
    tasks: Tasks,
    *,
    together: Callable[[T], Hashable] = lambda item: None,
    crosses: Callable[[T, T], bool] = lambda one, other: True,
    most: int = 64,
    on_start: Callable[[Sequence[T]], None] = lambda group: None,
) -> Callable[[Observable[T]], Observable[R]]:
    """Tell one group of items at a time.

    ::

        items       a---b-c----------d---
        conflate    [aaaaaa][bcbcbc]-[ddd]    what arrives meanwhile is told together, next
        queue       [aaaaaa][bbb][ccc][ddd]   each by itself, in order
        interrupt   [aaa][b][ccccccc][ddd]    the newest ends the one before (which marks itself)

    :param tell: tells a group and emits events through its second argument. It is cancelled to
        interrupt, and then emits its own end before it returns; it is awaited before the next.
    :param skip: emits the end of a group that was interrupted before ``tell`` began.
    :param policy: read anew for each item.
    :param together: only items with an equal key are told together (one audience, say).
    :param crosses: whether somebody sees both of two items: those stay in their order.
    :param most: the largest group; more go into the next.
    :param on_start: told of each group when its turn has come.

    What ``tell`` raises does not end the stream: it goes to the owner of ``tasks``. Completes
    after the last telling when the source has completed. Disposal cancels.
    """

    def overlapping(source: Observable[T]) -> Observable[R]:
        def subscribe(
            observer: abc.ObserverBase[R], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            waiting: list[T] = []
            active: asyncio.Task[None] | None = None
            interrupted = completed = False

            def next_group() -> list[T]:
                group, later = [waiting.pop(0)], list[T]()
                if policy() is Overlap.CONFLATE:
                    key = together(group[0])
                    while waiting and len(group) < most:
                        item = waiting.pop(0)
                        first = together(item) == key and not any(crosses(item, x) for x in later)
                        (group if first else later).append(item)
                waiting[:0] = later
                return group

            def start() -> None:
                nonlocal active, interrupted
                group, begun, interrupted = next_group(), False, False
                on_start(group)

                async def run() -> None:
                    nonlocal begun
                    begun = True
                    await tell(group, observer.on_next)

                def ended(_: asyncio.Task[None]) -> None:
                    nonlocal active
                    active = None
                    if not begun:
                        skip(group, observer.on_next)
                    if interrupted:
                        while len(waiting) > 1:
                            skip([waiting.pop(0)], observer.on_next)
                    if waiting:
                        start()
                    elif completed:
                        observer.on_completed()

                active = tasks.start(run(), name="tell")
                active.add_done_callback(ended)

            def on_next(item: T) -> None:
                nonlocal interrupted
                waiting.append(item)
                if active is None:
                    start()
                elif policy() is Overlap.INTERRUPT and not interrupted:
                    interrupted = True
                    active.cancel()

            def on_completed() -> None:
                nonlocal completed
                completed = True
                if active is None:
                    observer.on_completed()

            def dispose() -> None:
                waiting.clear()
                if active is not None:
                    active.cancel()

            return CompositeDisposable(
                source.subscribe(on_next, observer.on_error, on_completed), Disposable(dispose)
            )

        return Observable(subscribe)

    return overlapping
