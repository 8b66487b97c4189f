"""Where what can wait lets pass what somebody waits for."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

__all__ = ["Lane"]

EACH = 8


class Lane:
    """Does the work of all sessions of a loop that may wait a moment, a little in each step.

    ::

        work     abcdefgh-----------
        done     (abc)(def)(gh)-----    what is no work of the lane is done in between

    However many games say how they look sixty times a second, a step of the loop stays short, and
    so what a player waits for is but a few short steps away. In the order it came; nothing is
    dropped. From the loop's thread only.
    """

    def __init__(self, each: int = EACH) -> None:
        self._each = each
        self._waiting: deque[Callable[[], None]] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, loop: asyncio.AbstractEventLoop, work: Callable[[], None]) -> None:
        """Do ``work``, which raises nothing, when its turn comes."""
        if not self._waiting or loop is not self._loop:
            loop.call_soon(self._go, loop)
            self._loop = loop
        self._waiting.append(work)

    def _go(self, loop: asyncio.AbstractEventLoop) -> None:
        for _ in range(min(self._each, len(self._waiting))):
            self._waiting[0]()
            self._waiting.popleft()
        if self._waiting:
            loop.call_soon(self._go, loop)
