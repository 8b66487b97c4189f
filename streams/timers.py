"""The timers of a session: all that it does for no other reason than that time has passed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Protocol

__all__ = ["Alarm", "LoopTimers", "Timers", "sleep", "timeout", "wait"]


class Alarm(Protocol):
    """Goes off once, at the time it was last set to."""

    def set(self, when: float) -> None:
        """Go off at a time of the loop (seconds), whatever was set before; cheap to do often."""
        ...

    def cancel(self) -> None:
        """Do not go off."""
        ...


class Timers(Protocol):
    """Makes alarms. A replay has its own, which go off when the recording says so."""

    def alarm(self, name: str, work: Callable[[], None]) -> Alarm:
        """An alarm that does ``work``; ``name`` says what it is for."""
        ...

    def time(self) -> float:
        """The loop's time in seconds."""
        ...


class LoopTimers:
    """Timers of an event loop.

    :param trace: told the name of each alarm that goes off, just before it does.
    :param take_in: does what an alarm is for, when its time has come; see :class:`Tasks`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        trace: Callable[[str], None] = lambda name: None,
        take_in: Callable[[Callable[[], None]], None] = lambda work: work(),
    ) -> None:
        self._loop = loop
        self._trace = trace
        self._take_in = take_in

    def time(self) -> float:
        """The loop's time in seconds."""
        return self._loop.time()

    def alarm(self, name: str, work: Callable[[], None]) -> Alarm:
        """See :class:`Timers`."""

        def gone_off() -> None:
            self._trace(name)
            work()

        return _LoopAlarm(self._loop, gone_off, self._take_in)


class _LoopAlarm:
    """An alarm that is set later keeps its timer, which then goes on to the new time."""

    __slots__ = ("_handle", "_loop", "_take_in", "_when", "_work")

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        work: Callable[[], None],
        take_in: Callable[[Callable[[], None]], None],
    ) -> None:
        self._loop = loop
        self._work = work
        self._take_in = take_in
        self._when: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def set(self, when: float) -> None:
        if self._handle is not None and when < self._handle.when():
            self._handle.cancel()
            self._handle = None
        self._when = when
        if self._handle is None:
            self._handle = self._loop.call_at(when, self._tick)

    def cancel(self) -> None:
        self._when = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _tick(self) -> None:
        self._handle = None
        if self._when is None:
            return
        if self._loop.time() < self._when:
            self._handle = self._loop.call_at(self._when, self._tick)
        else:
            self._take_in(self._go_off)

    def _go_off(self) -> None:
        if self._when is not None and self._handle is None:  # nor set to another time meanwhile
            self._when = None
            self._work()


async def sleep(timers: Timers, name: str, seconds: float) -> None:
    """``asyncio.sleep``."""
    over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    alarm = timers.alarm(name, lambda: None if over.done() else over.set_result(None))
    alarm.set(timers.time() + seconds)
    try:
        await over
    finally:
        alarm.cancel()


@asynccontextmanager
async def timeout(timers: Timers, name: str, seconds: float) -> AsyncGenerator[None, None]:
    """``asyncio.timeout``: raises :class:`TimeoutError` if the block takes longer."""
    task = asyncio.current_task()
    assert task is not None
    before, over = task.cancelling(), False

    def gone_off() -> None:
        nonlocal over
        over = True
        task.cancel()

    alarm = timers.alarm(name, gone_off)
    alarm.set(timers.time() + seconds)
    try:
        yield
    except asyncio.CancelledError:
        if over and task.uncancel() <= before:
            raise TimeoutError from None
        raise
    finally:
        alarm.cancel()


async def wait(
    timers: Timers, name: str, tasks: Iterable[asyncio.Task[Any]], seconds: float
) -> bool:
    """Wait until all tasks are done, but not longer than ``seconds``; whether they are."""
    running = [task for task in tasks if not task.done()]
    if not running:
        return True
    try:
        async with timeout(timers, name, seconds):
            await asyncio.wait(running)
    except TimeoutError:
        return False
    return True
