"""One clock: the event loop's, real or virtual.

Everything in Foretell that waits, waits on the running loop. On :class:`VirtualLoop` time jumps
to the next timer as soon as nothing is left to do, so hours of play pass in a blink through the
very code that runs live.
"""

from __future__ import annotations

import asyncio
import math
import selectors
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

from reactivex.internal.constants import UTC_ZERO
from reactivex.scheduler.eventloop import AsyncIOScheduler

__all__ = ["LoopScheduler", "VirtualDeadlock", "VirtualLoop", "run_virtual"]

T = TypeVar("T")


class VirtualDeadlock(RuntimeError):
    """Nothing is ready, no timer is set: on a virtual loop this would wait for ever."""


class _JumpingSelector(selectors.DefaultSelector):
    """Never waits: where a real selector would sleep, it moves the loop's clock on."""

    loop: VirtualLoop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout == 0:
            return ready
        if timeout is None:
            raise VirtualDeadlock("every task waits for something that no timer will bring")
        self.loop.jump()
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose :meth:`time` starts at 0 and jumps to the next timer when idle.

    Real sockets and other threads have no place on it: they do not follow its clock.

    :raises VirtualDeadlock: from ``run_until_complete``, when nothing could ever happen again.
    """

    def __init__(self) -> None:
        selector = _JumpingSelector()
        super().__init__(selector)
        selector.loop = self
        self._now = 0.0

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def jump(self) -> None:
        """Move the clock to the next timer."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        self._now = max(self._now, scheduled[0].when())
        # The loop runs what is due before now + resolution; after half a year of virtual seconds
        # a nanosecond is lost in rounding, and the loop would turn for ever.
        self._clock_resolution = max(1e-9, 2 * math.ulp(self._now))


def run_virtual(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a fresh :class:`VirtualLoop`, like :func:`asyncio.run`."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class LoopScheduler(AsyncIOScheduler):
    """Rx on the event loop's own clock.

    The library's scheduler reads the wall clock in ``now``, which makes ``interval`` drift and
    ``delay`` or ``timestamp`` differ from run to run. Here time zero is the loop's time zero.
    """

    @property
    def now(self) -> datetime:
        """The loop's time as the date Rx wants: the loop's seconds, counted from 1970-01-01 UTC."""
        return UTC_ZERO + timedelta(seconds=self._loop.time())

    def time(self) -> float:
        """The loop's time in seconds."""
        return self._loop.time()

    def call_at(self, when: float, work: Callable[[], None]) -> asyncio.TimerHandle:
        """Work at a time of the loop; a timer without Rx's layers, for what runs all the time."""
        return self._loop.call_at(when, work)
