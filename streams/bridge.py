"""Between async iterators and observables, in both directions."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable
from contextlib import asynccontextmanager
from enum import StrEnum
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

from .tasks import Tasks

__all__ = ["Full", "Overrun", "follow", "from_async_iterable"]

T = TypeVar("T")


class Full(StrEnum):
    """What an exit does when its reader is slower than the stream and the bound is reached."""

    DROP_OLDEST = "drop_oldest"
    KEEP_LATEST = "keep_latest"
    ERROR = "error"


class Overrun(RuntimeError):
    """A reader was slower than its stream for longer than its bound allowed."""


def from_async_iterable(open_source: Callable[[], AsyncIterable[T]], tasks: Tasks) -> Observable[T]:
    """An observable that opens the async iterable anew for each subscriber and closes it after.

    ::

        open_source()  --a--b--c--|        --a--b-- (disposed)
        observable     --a--b--c--|        --a--b

    An exception of the source becomes ``on_error``; one of the subscriber goes to the owner of
    ``tasks``. Both come after the source has been closed, and so does completion. Disposing
    cancels the task that reads, which runs the source's clean-up; ``tasks`` awaits its end.
    """

    def subscribe(
        observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        wanted, delivering = True, False

        async def read() -> None:
            nonlocal delivering
            try:
                async with _closing(open_source()) as source:
                    async for item in source:
                        delivering = True
                        observer.on_next(item)
                        delivering = False
                        if not wanted:
                            return
            except Exception as error:
                if delivering:
                    raise
                observer.on_error(error)
            else:
                observer.on_completed()

        def dispose() -> None:
            nonlocal wanted
            wanted = False
            if not delivering:  # else the reader sees it itself: its clean-up is not cut short
                task.cancel()

        task = tasks.start(read(), name="from_async_iterable")
        return Disposable(dispose)

    return Observable(subscribe)


@asynccontextmanager
async def _closing(source: AsyncIterable[T]) -> AsyncGenerator[AsyncIterable[T], None]:
    try:
        yield source
    finally:
        close = getattr(source, "aclose", None)
        if close is not None:
            await close()


@asynccontextmanager
async def follow(
    source: Observable[T], *, bound: int = 1024, full: Full = Full.DROP_OLDEST
) -> AsyncGenerator[AsyncIterator[T], None]:
    """Iterate over an observable; ``async with`` subscribes on entry and disposes on exit.

    :param bound: the most items held for a slow reader; at least 1.
    :param full: what happens past it: the oldest is dropped, only the latest is kept, or the
        reader gets :class:`Overrun`. A push source cannot be made to wait.
    :raises Overrun: from the iteration, with ``Full.ERROR``.
    """
    if bound < 1:
        raise ValueError(f"bound must be at least 1, not {bound}")
    held: deque[T] = deque()
    failure: BaseException | None = None
    ended = False
    wake = asyncio.Event()

    def on_next(item: T) -> None:
        nonlocal failure
        if failure is not None:
            return
        if len(held) >= bound:
            match full:
                case Full.DROP_OLDEST:
                    held.popleft()
                case Full.KEEP_LATEST:
                    held.clear()
                case Full.ERROR:
                    failure = Overrun(f"reader fell more than {bound} items behind")
                    wake.set()
                    return
        held.append(item)
        wake.set()

    def on_error(error: Exception) -> None:
        nonlocal failure
        failure = error
        wake.set()

    def on_completed() -> None:
        nonlocal ended
        ended = True
        wake.set()

    async def items() -> AsyncGenerator[T, None]:
        while True:
            while held:
                yield held.popleft()
            if failure is not None:
                raise failure
            if ended:
                return
            wake.clear()
            await wake.wait()

    subscription = source.subscribe(on_next, on_error, on_completed)
    reader: Any = items()
    try:
        yield reader
    finally:
        subscription.dispose()
        await reader.aclose()
