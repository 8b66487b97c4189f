"""Immediate: what starts waits for it, but only for a moment."""

from __future__ import annotations

import asyncio

from .fetch_job import Job, Line
from .fetching import Fetching
from .schedule_plan import Lane

__all__ = ["Immediate"]


class Immediate:
    """Fetches what must be there first, and lets those wait who need it [1-20 … 1-23].

    ::

        jobs      (a b c)
        a         [--|            cached
        b         [----------!    100 ms: a warning, and again in the background
        c         [----------------------|   a generation: its kind has a limit of its own
        wait()    [----------|    never longer than 100 ms, whatever comes

    All begin at once; where there is no room, the background call that is wanted least gives up
    its place.
    """

    lane = Lane.IMMEDIATE

    def __init__(self, fetching: Fetching) -> None:
        self._fetching = fetching
        self._seconds = fetching.settings.max_immediate_time_ms / 1000
        self._line = Line()
        self._until: dict[str, tuple[float, Job]] = {}
        self._alarm = fetching.timers.alarm("immediate", self._late)
        self._waiting: list[tuple[asyncio.Future[None], list[tuple[float, Job]]]] = []
        fetching.over.append(self._over)
        fetching.calls.freed.append(self.pump)

    @property
    def waiting(self) -> int:
        """How many have no place yet."""
        return len(self._line)

    @property
    def busy(self) -> bool:
        """Whether somebody may be waiting."""
        return bool(self._until or self._line)

    def add(self, job: Job) -> None:
        """Fetch it with the next :meth:`pump`."""
        self.await_too(job)
        self._line.add(job)

    def await_too(self, job: Job) -> None:
        """Wait for what somebody else fetches, as if it were fetched here."""
        if not self._waits_for(job):
            self._until[job.key] = self._fetching.timers.time() + self._seconds, job
            self._set()

    def _waits_for(self, job: Job) -> bool:
        return job.key in self._until and self._until[job.key][1] is job

    def again(self, job: Job) -> None:
        """Fetch it, with the time it has left."""
        self._line.add(job)
        self.pump()

    def remove(self, job: Job) -> None:
        """Somebody else takes it over, or nobody."""
        self._line.remove(job)
        self._over(job)

    def pump(self) -> None:
        """Begin what there is room for."""
        fetching = self._fetching
        while self._line.jobs:
            over = len(fetching.calls) - fetching.settings.max_concurrent_fetches
            if over > 0 or (over == 0 and not fetching.calls.displace(self._waits_for)):
                return  # one place may be lent by what is displaced, and closes yet
            job = self._line.jobs[0]
            most = fetching.most(job.asking.kind)
            fetching.begin(self._line.take(job, most, lambda taken, other: True), self._seconds)

    async def wait(self) -> None:
        """Until all of it is there, or has failed, or has taken too long: 100 ms at most.

        What is added meanwhile is not waited for, nor what is awaited anew when it was too late.
        """
        if not self._until:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = done, [*self._until.values()]
        self._waiting.append(waiting)
        try:
            await done
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _set(self) -> None:
        if self._until:
            self._alarm.set(min(until for until, _ in self._until.values()))
        else:
            self._alarm.cancel()
        for done, awaited in self._waiting:
            if not done.done() and not any(
                self._until.get(each[1].key) is each for each in awaited
            ):
                done.set_result(None)

    def _late(self) -> None:
        now = self._fetching.timers.time()
        late = [job for until, job in self._until.values() if until <= now]
        for job in late:
            self._until.pop(job.key, None)
        for job in late:
            if job.owner is not self or self._fetching.jobs.get(job.key) is not job:
                continue  # somebody else fetches it, and goes on
            if self._fetching.kinds[job.asking.kind].limit_ms is None:
                self._line.remove(job)
                self._fetching.calls.leave(job)
                self._fetching.timed_out(job)
        self._set()

    def _over(self, job: Job) -> None:
        if self._waits_for(job):
            del self._until[job.key]
            self._set()
