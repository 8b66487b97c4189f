"""A growing list that any number of readers follow from its beginning."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from typing import Generic, TypeVar

__all__ = ["ReplayBuffer"]

T = TypeVar("T")


class ReplayBuffer(Generic[T]):
    """Items as they come; a reader that arrives late gets all of them, then the live ones.

    ::

        append   a---b-----c--|
        reader 1 a---b-----c--|
        reader 2       (ab)c--|
    """

    __slots__ = ("_at_end", "_ended", "_items", "_loop", "_waiters")

    def __init__(self) -> None:
        self._items: list[T] = []
        self._ended = False
        self._waiters: list[asyncio.Future[None]] = []
        self._at_end: list[asyncio.Future[None]] = []
        self._loop: asyncio.AbstractEventLoop | None = None

    @property
    def items(self) -> Sequence[T]:
        """What has come so far."""
        return self._items

    @property
    def ended(self) -> bool:
        """True once nothing more will come."""
        return self._ended

    def append(self, item: T) -> None:
        """Add an item and wake the readers."""
        self._items.append(item)
        _wake(self._waiters)

    def end(self) -> None:
        """Nothing more will come; readers finish after the last item."""
        self._ended = True
        _wake(self._at_end)
        _wake(self._waiters)

    async def changed(self) -> None:
        """Wait for the next item or the end; returns at once if it has ended."""
        if not self._ended:
            await self._wait(self._waiters)

    async def whole(self) -> None:
        """Wait for the end alone."""
        if not self._ended:
            await self._wait(self._at_end)

    async def follow(self) -> AsyncGenerator[T, None]:
        """Every item from the first, each as soon as it is there, until the end."""
        seen = 0
        while True:
            while seen < len(self._items):
                seen += 1
                yield self._items[seen - 1]
            if self._ended:
                return
            await self.changed()

    async def _wait(self, waiters: list[asyncio.Future[None]]) -> None:
        if self._loop is None:  # asked for once: each time it may cost a call of the system
            self._loop = asyncio.get_running_loop()
        waiter = self._loop.create_future()
        waiters.append(waiter)
        try:
            await waiter
        finally:
            if waiter in waiters:
                waiters.remove(waiter)


def _wake(waiters: list[asyncio.Future[None]]) -> None:
    for waiter in waiters:
        if not waiter.done():
            waiter.set_result(None)
    waiters.clear()
