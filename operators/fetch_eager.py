"""Eager: beside what starts, several at a time, and no longer than it is needed."""

from __future__ import annotations

from .fetch_job import Job, Line
from .fetching import Fetching
from .schedule_plan import Lane

__all__ = ["Eager"]


class Eager:
    """Fetches in parallel, what is alike in one call [1-24 … 1-28].

    ::

        jobs      (a1 a2 b c d e f g)
        calls     [a1 a2-|  [b--|  [c-----!  [d--|  [e----|     five at a time
                            [f---|  (g is not needed any more)

    What a call gives is there for all as soon as it comes. One that takes too long (500 ms, or
    the limit of its kind) is tried again in the background.
    """

    lane = Lane.EAGER

    def __init__(self, fetching: Fetching) -> None:
        self._fetching = fetching
        self._line = Line()
        fetching.calls.freed.append(self.pump)

    @property
    def busy(self) -> bool:
        """Whether anything is under way, or waits."""
        return bool(self._line) or any(call.owner is self for call in self._fetching.calls.open)

    def add(self, job: Job) -> None:
        """Fetch it with the next :meth:`pump` that has room."""
        self._line.add(job)

    def again(self, job: Job) -> None:
        """Put it back into its place."""
        self._line.add(job)
        self.pump()

    def remove(self, job: Job) -> None:
        """Somebody else takes it over, or nobody."""
        self._line.remove(job)

    def pump(self) -> None:
        """Begin what there is room for."""
        fetching, settings = self._fetching, self._fetching.settings
        while self._line.jobs and len(fetching.calls) < settings.max_concurrent_fetches:
            own = [call for call in fetching.calls if call.owner is self]
            if len(own) >= settings.max_concurrent_eager:
                return
            job = self._line.jobs[0]
            most = fetching.most(job.asking.kind)
            taken = self._line.take(job, most, lambda taken, other: True)
            fetching.begin(taken, settings.max_eager_time_ms / 1000)
