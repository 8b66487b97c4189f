"""What a process knows of the health of a model's server: whether to ask it, and when again."""

from __future__ import annotations

import asyncio
import math
import threading
import weakref
from enum import StrEnum
from typing import Any

from .clock import VirtualLoop

__all__ = ["Breaker", "Circuit", "breaker_of"]

MOST_FAILURES = 5
"""So many in a row, and it is asked no more."""
REST = 60.0
"""Seconds until one request tries it again."""
FIRST, LONGEST = 1.0, 60.0
"""Seconds of the first pause after a server asked for patience, and of the longest: it doubles."""
MOST_DOUBLINGS = 6
PATIENT = 3600.0
"""Seconds; no server is believed to want more patience than this before it is asked once more."""


class Circuit(StrEnum):
    """Whether a server is asked: by all; by one, who tries it; by none."""

    CLOSED = "closed"
    HALF_OPEN = "half_open"
    OPEN = "open"


class Breaker:
    """The record of one server: its failures, and the patience it has asked for.

    ::

        requests   x  x  x  x  x . . . . . . . . . . (one)--answered   all
        circuit    closed       [open, 60 s          ][half-open     ][closed
        or                                           (one)--x [open, 60 s

    After five failures in a row nothing is asked that can do without: plans and speculation. After
    60 s one request tries the server. If it is answered, all go on; if it fails, the next 60 s
    begin; if it is given up, another tries. What a player waits for is always asked, counts as
    well, and closes the circuit when it is answered.

    A server that asks for patience (429, 529) gets it of speculation: a pause of
    ``max(retry_after, 1 s * 2**k)``, k the pauses in a row before this one, at most 60 s unless it
    asks for more. Then one is tried, likewise. There is one trial at a time, of whichever kind.

    It looks at no clock: each question says when it is asked, in seconds. Any thread may ask.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._failures = 0  # in a row
        self._shut_until = -math.inf
        self._refusals = 0  # pauses in a row
        self._patient_until = -math.inf
        self._probe: weakref.ref[Any] | None = None

    def circuit(self, now: float) -> Circuit:
        """Whether the server is asked for plans now."""
        if self._failures < MOST_FAILURES:
            return Circuit.CLOSED
        return Circuit.OPEN if now < self._shut_until else Circuit.HALF_OPEN

    @property
    def failures(self) -> int:
        """How many there were in a row."""
        return self._failures

    def until(self, *, patient: bool) -> float:
        """When the next may begin, unless it does now.

        :param patient: of speculation, which is paused for a server that asks for patience.
        """
        shut = self._shut_until if self._failures >= MOST_FAILURES else -math.inf
        return max(shut, self._patient_until) if patient and self._refusals else shut

    def ready(self, now: float, *, patient: bool) -> bool:
        """Whether one may begin now, be it to try the server."""
        return self._untroubled(patient=patient) or (
            self.probe is None and now >= self.until(patient=patient)
        )

    def lets(self, now: float, who: Any, *, patient: bool) -> bool:
        """Let one begin, if it may; if the server is to be tried, it is the one who does."""
        with self._lock:
            if not self.ready(now, patient=patient):
                return False
            if not self._untroubled(patient=patient):
                self._probe = weakref.ref(who)
            return True

    @property
    def probe(self) -> Any:
        """Who tries the server now."""
        return None if self._probe is None else self._probe()

    def hand_on(self, who: Any, to: Any) -> None:
        """Another tries it in the place of one who was to."""
        with self._lock:
            if self.probe is who:
                self._probe = weakref.ref(to)

    def give_back(self, who: Any) -> None:
        """It is over, or given up; if it was to try the server, another may."""
        with self._lock:
            if self.probe is who:
                self._probe = None

    def answered(self, who: Any) -> None:
        """The server has begun to answer."""
        if not self._failures and self._probe is None:  # as nearly always
            return
        with self._lock:
            self._failures = 0
            if self.probe is who:
                self._probe, self._refusals = None, 0

    def failed(self, now: float, who: Any) -> None:
        """It did not answer; ``who`` began when the failures before had been counted."""
        with self._lock:
            tried = self.probe is who
            if tried:
                self._probe = None
            if tried or self._failures < MOST_FAILURES or now >= self._shut_until:
                self._failures += 1
                self._shut_until = now + REST

    def refused(self, now: float, retry_after: float | None) -> float | None:
        """It asks for patience; the seconds of a pause that begins or grows by this."""
        with self._lock:
            if now >= self._patient_until:  # not those that were on their way when it began
                self._refusals += 1
            self._probe = None
            pause: float = min(LONGEST, FIRST * 2 ** min(self._refusals - 1, MOST_DOUBLINGS))
            if retry_after is not None and retry_after > pause:
                pause = min(retry_after, PATIENT)
            if now + pause <= self._patient_until:
                return None
            self._patient_until = now + pause
            return pause

    def _untroubled(self, *, patient: bool) -> bool:
        return self._failures < MOST_FAILURES and not (patient and self._refusals)


_of_endpoints: dict[Any, Breaker] = {}
_of_others: weakref.WeakKeyDictionary[Any, dict[Any, Breaker]] = weakref.WeakKeyDictionary()
_making = threading.Lock()


def breaker_of(model: Any, loop: asyncio.AbstractEventLoop) -> Breaker:
    """The one of the server a model asks. It lives as long as the process, and all loops share it.

    Servers are told apart by the model's ``endpoint``, where it has one; else it is the model's
    own, and lives as long. On virtual loops, each of which has a time of its own, each has its own.
    """
    endpoint = getattr(model, "endpoint", None)
    virtual = isinstance(loop, VirtualLoop)
    with _making:
        if endpoint is not None:
            known = _of_others.setdefault(loop, {}) if virtual else _of_endpoints
            return known.setdefault(endpoint, Breaker())
        try:
            known = _of_others.setdefault(model, {})
        except TypeError:  # nothing can be kept beside it; its gate has it
            return Breaker()
        return known.setdefault(weakref.ref(loop) if virtual else None, Breaker())
