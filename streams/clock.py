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
        if timeout == 0:  # there is work to do: what the system has may wait till it is done
            return []
        if self.loop.rested():
            return []
        if timeout is not None and len(self.get_map()) == 1:  # there are no sockets but its own
            self.loop.jump()
            return []
        ready = super().select(0)
        if ready:
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
        self._resting: asyncio.Future[None] | None = None
        self.pace: Callable[[float], None] = lambda time: None
        """Told each new time before it is; may wait, so that people can follow."""

    def time(self) -> float:
        """Virtual seconds since the loop was made."""
        return self._now

    def idle(self) -> asyncio.Future[None]:
        """Done once nothing is left to do at this moment, before time moves on."""
        if self._resting is None:
            self._resting = self.create_future()
        return self._resting

    def rested(self) -> bool:
        """Nothing is ready: tell those who wait for that; whether there are any."""
        resting, self._resting = self._resting, None
        if resting is None or resting.done():
            return False
        resting.set_result(None)
        return True

    def advance_to(self, time: float) -> None:
        """Move the clock on; it never goes back."""
        self.pace(time)
        self._now = max(self._now, time)
        # The loop runs what is due before now + resolution; after half a year of virtual seconds
        # a nanosecond is lost in rounding, and the loop would turn for ever.
        self._clock_resolution = max(1e-9, 2 * math.ulp(self._now))

    def jump(self) -> None:
        """Move the clock to the next timer."""
        scheduled: list[asyncio.TimerHandle] = self._scheduled  # type: ignore[attr-defined]
        self.advance_to(scheduled[0].when())


def run_virtual(main: Coroutine[Any, Any, T], pace: Callable[[float], None] | None = None) -> T:
    """Run a coroutine to its end on a fresh :class:`VirtualLoop`, like :func:`asyncio.run`.

    :param pace: see :attr:`VirtualLoop.pace`.
    """
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        if pace is not None:
            loop.pace = pace
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
