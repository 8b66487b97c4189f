"""Timers for whose work each moment is that of the last thing that came from outside."""

from __future__ import annotations

from collections.abc import Callable

from .timers import Alarm, Timers

__all__ = ["Moments"]

ROUNDING = 2e-6
"""Seconds; a recording has whole microseconds, and an alarm must not find itself too early."""


class Moments:
    """Timers that a replay has, to the microsecond: for what compares times.

    A recording says when something came from outside, but not how long the work it brought about
    has taken. So all of that work has one time: that of its line in the recording.

    :param timers: make the alarms.
    :param moment: seconds of the session, as the last line from outside has it.
    """

    def __init__(self, timers: Timers, moment: Callable[[], float]) -> None:
        self._timers = timers
        self._moment = moment

    def time(self) -> float:
        """Seconds of the session."""
        return self._moment()

    def alarm(self, name: str, work: Callable[[], None]) -> Alarm:
        """See :class:`~foretell.streams.timers.Timers`."""
        return _Alarm(self, self._timers, self._timers.alarm(name, work))


class _Alarm:
    __slots__ = ("_alarm", "_moments", "_timers", "cancel")

    def __init__(self, moments: Moments, timers: Timers, alarm: Alarm) -> None:
        self._moments = moments
        self._timers = timers
        self._alarm = alarm
        self.cancel = alarm.cancel

    def set(self, when: float) -> None:
        left = max(0.0, when - self._moments.time())
        self._alarm.set(self._timers.time() + left + ROUNDING)
