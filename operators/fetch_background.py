"""Background: a queue of what would be nice to have, when there is room and nothing else to do."""

from __future__ import annotations

import math
from collections.abc import Callable

from .fetch_events import Fetched, Tell, What
from .fetch_job import Job, Line
from .fetching import Fetching
from .schedule_items import Priority
from .schedule_plan import Lane

__all__ = ["Background"]

REMEMBERED = 1_024
RECHECK = 0.25
"""Seconds until it is looked again whether others are busy."""


class Background:
    """Fetches by priority, a little later, and as little as is said [1-29 … 1-33].

    ::

        jobs      (a b c)--d---------
        busy      --------------|         a player waits: nothing begins
        calls     [50 ms][a b-|   [d--|   what is alike goes in one call
        unused                 a…………30 s…………x   dropped, if nobody has used it

    At most 10 are under way, with at most 5,000 tokens; 20 are under way or wait; what is wanted
    least has to go, and is told. What is more than 5,000 by itself is dropped; but what somebody
    has waited for, or is only thought to be so much, is fetched alone. What is for a turn
    does not expire before that has ended, and what is needed still has another 30 s.

    :param busy: whether it has to wait, but for what was late as P0 to P2; asked before anything
        begins.
    :param needed: whether a key is needed still; asked before it expires.
    """

    lane = Lane.BACKGROUND

    def __init__(
        self,
        fetching: Fetching,
        tell: Tell,
        busy: Callable[[], bool],
        needed: Callable[[str], bool] = lambda key: False,
    ) -> None:
        self.dropped = 0
        self._fetching = fetching
        self._tell = tell
        self._busy = busy
        self._needed = needed
        self._line = Line()
        self._delay = fetching.settings.background_start_delay_ms / 1000
        self._starts = -math.inf
        self._unused: dict[str, tuple[float, str | None, int]] = {}
        self._start = fetching.timers.alarm("background", self.pump)
        self._expiry = fetching.timers.alarm("unused", self._expire)
        fetching.calls.freed.append(self.pump)

    def add(self, job: Job) -> None:
        """Fetch it when there is room; if there is none to wait, what is wanted least goes."""
        limits = self._fetching.settings
        if job.tokens > limits.max_background_tokens and _may_wait(job):
            self._drop(job, f"{job.tokens:,} tokens are more than the background may take")
            return
        job.owner = self
        self._line.add(job)
        while self._line.jobs and len(self._line) + len(self._under_way()) > (
            limits.max_background_queue
        ):
            last = self._line.jobs[-1]
            self._line.remove(last)
            self._drop(last, f"more than {limits.max_background_queue} wait")
        now = self._fetching.timers.time()
        if now >= self._starts:  # what comes while others wait for their start begins with them
            self._starts = now + self._delay
            self._start.set(self._starts)

    again = add

    def _drop(self, job: Job, why: str) -> None:
        job.owner = self
        self.dropped += 1
        self._fetching.tell(What.DROPPED, job, why)
        self._fetching.forget(job)

    def remove(self, job: Job) -> None:
        """Somebody else takes it over, or nobody."""
        self._line.remove(job)

    def _under_way(self) -> list[Job]:
        return [
            job
            for call in self._fetching.calls.open
            for job in call.left.values()
            if call.owner is self
        ]

    def pump(self) -> None:
        """Begin what may begin."""
        fetching, limits = self._fetching, self._fetching.settings
        now = fetching.timers.time()
        if not self._line.jobs or now < self._starts:
            return
        busy = self._busy()
        if busy:
            self._start.set(now + max(self._delay, RECHECK))

        def may_begin(job: Job) -> bool:
            return not busy or _was_late(job)

        def fits(taken: list[Job], job: Job) -> bool:
            """Within what may be under way, beside what is."""
            others = [*self._under_way(), *taken]
            tokens = job.tokens + sum(other.tokens for other in others)  # ints
            small = tokens <= limits.max_background_tokens
            room = len(others) < limits.max_background_pending and (small or not others)
            return room and may_begin(job)

        while len(fetching.calls) < limits.max_concurrent_fetches:
            job = next(filter(may_begin, self._line.jobs), None)
            if job is None or not fits([], job):
                return
            taken = self._line.take(job, fetching.most(job.asking.kind), fits)
            fetching.begin(taken, limits.max_background_time_ms / 1000)

    # ── what nobody uses ──────────────────────────────────────────────────────────────────────

    def loaded(self, job: Job) -> None:
        """It came, whoever has fetched it: it has so long to be used, but for what was demanded."""
        if job.demanded:
            return
        self._unused.pop(job.key, None)
        until = math.inf if job.turn is not None else self._unused_until()
        self._unused[job.key] = until, job.turn, job.tokens
        while len(self._unused) > REMEMBERED:
            del self._unused[next(iter(self._unused))]
        self._set_expiry()

    def used(self, key: str) -> None:
        """It was needed: it stays."""
        if self._unused.pop(key, None) is not None:
            self._set_expiry()

    def turn_ended(self, turn: str) -> None:
        """The time of what was for it begins; of what is on its way, when it comes."""
        for job in self._fetching.jobs.values():
            if job.turn == turn:
                job.turn = None
        until = self._unused_until()
        for key, (_, of, tokens) in self._unused.items():
            if of == turn:
                self._unused[key] = until, None, tokens
        self._set_expiry()

    def _unused_until(self) -> float:
        return self._fetching.timers.time() + self._fetching.settings.unused_seconds

    def _set_expiry(self) -> None:
        first = min((until for until, _, _ in self._unused.values()), default=math.inf)
        if first < math.inf:
            self._expiry.set(first)
        else:
            self._expiry.cancel()

    def _expire(self) -> None:
        now = self._fetching.timers.time()
        late = {key: kept[2] for key, kept in self._unused.items() if kept[0] <= now}
        for key, tokens in late.items():
            if self._needed(key):
                self._unused[key] = self._unused_until(), None, tokens
                continue
            self._fetching.cache.drop(key)
            self.let_go(key, f"not used in {self._fetching.settings.unused_seconds:g} s")
        self._set_expiry()

    def let_go(self, key: str, why: str = "no room") -> None:
        """It is not kept any more; if nobody has used it, that is told."""
        kept = self._unused.pop(key, None)
        if kept is not None:
            now = self._fetching.timers.time()
            self._tell(Fetched(What.EXPIRED, (key,), self.lane, now, kept[2], 0.0, why))

    def close(self) -> None:
        """Nothing begins and nothing expires any more."""
        self._unused.clear()
        self._start.cancel()
        self._expiry.cancel()


def _was_late(job: Job) -> bool:
    """Whether somebody had to go on without it: that others are busy puts it off no further."""
    return job.tries > 0 and job.rank[0] <= Priority.EAGER


def _may_wait(job: Job) -> bool:
    """Whether it is announced to be so much, and nobody has waited for it."""
    said = job.item.tokens is not None or job.item.size is not None
    return said and not (job.tries or job.held)
