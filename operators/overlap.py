"""What becomes of an outcome that comes while another is being told."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from enum import StrEnum
from typing import Annotated, Any, TypeVar

from pydantic import BeforeValidator
from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..streams.tasks import Tasks
from .classify import Context

__all__ = ["Overlap", "Overlaps", "overlap", "overlap_in"]

T = TypeVar("T")
R = TypeVar("R")


class Overlap(StrEnum):
    """The policy of :func:`overlap`."""

    CONFLATE = "conflate"
    INTERRUPT = "interrupt"
    QUEUE = "queue"


def _read(said: Any) -> Any:
    """A policy by its name, or a table of them; what is wrong with it is said by name."""
    if isinstance(said, Mapping):
        return {_one_of(Context, name): _one_of(Overlap, each) for name, each in said.items()}
    return _one_of(Overlap, said)


def _one_of(kind: type[Overlap | Context], name: Any) -> Overlap | Context:
    try:
        return kind(name)
    except ValueError:
        there_are = ", ".join(kind)
        raise ValueError(f"no {kind.__name__.lower()} {name!r}; there are {there_are}") from None


Overlaps = Annotated[Overlap | dict[Context, Overlap], BeforeValidator(_read)]
"""One policy for all, or one for some contexts; the others conflate."""


def overlap_in(context: Context, overlaps: Overlap | Mapping[Context, Overlap]) -> Overlap:
    """The policy of a context."""
    if isinstance(overlaps, Overlap):
        return overlaps
    return overlaps.get(context, Overlap.CONFLATE)


def overlap(
    tell: Callable[[Sequence[T], Callable[[R], None]], Awaitable[None]],
    skip: Callable[[Sequence[T], Callable[[R], None]], None],
    policy: Callable[[T], Overlap],
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

    Where the policies differ, an item that interrupts ends all that came before it; only such as
    conflate are told together.

    :param tell: tells a group and emits events through its second argument. It is cancelled to
        interrupt, and then emits its own end before it returns; it is awaited before the next.
    :param skip: emits the end of a group that was interrupted before ``tell`` began.
    :param policy: of an item; read when it comes, and when its turn has come.
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
            passed = 0  # so many of those that wait came before one that interrupts

            def next_group() -> list[T]:
                group, later = [waiting.pop(0)], list[T]()
                if policy(group[0]) is Overlap.CONFLATE:
                    key = together(group[0])
                    while waiting and len(group) < most:
                        item = waiting.pop(0)
                        fits = policy(item) is Overlap.CONFLATE and together(item) == key
                        first = fits and not any(crosses(item, x) for x in later)
                        (group if first else later).append(item)
                waiting[:0] = later
                return group

            def start() -> None:
                nonlocal active, interrupted, passed
                group, begun, interrupted, passed = next_group(), False, False, 0
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
                    gone, waiting[:passed] = waiting[:passed], ()
                    for item in gone:
                        skip([item], observer.on_next)
                    if waiting:
                        start()
                    elif completed:
                        observer.on_completed()

                active = tasks.start(run(), name="tell")
                active.add_done_callback(ended)

            def on_next(item: T) -> None:
                nonlocal interrupted, passed
                waiting.append(item)
                if active is None:
                    start()
                elif policy(item) is Overlap.INTERRUPT:
                    passed = len(waiting) - 1
                    if not interrupted:
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
