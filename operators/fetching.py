"""Fetching: what becomes of items that are asked for, whoever has asked, and what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ..streams.tasks import Tasks
from ..streams.timers import Timers
from .fetch_cache import Cache, Kept, Refused
from .fetch_calls import Calls
from .fetch_events import Fetched, Tell, What
from .fetch_heard import Heard, nobody
from .fetch_job import Call, End, Job
from .publish import Fault
from .schedule_items import Item, Kind
from .schedule_plan import Lane
from .schedule_settings import Scheduling
from .schedule_worth import Costs

__all__ = ["Fetching"]

MOST_TRIES = 3


class Fetching:
    """All fetches of a session. The executors decide what begins when; this is what they share.

    ::

        calls    [----a b-|            a source's call: what it gives is cached as it comes
                 [-------------!       too long: a warning, and again in the background
                 [--x [---c-|          it raised: an alternative, else unavailable for a while

    :param kinds: the kinds of item, with their sources.
    :param find: the item of a key, if it is known; for alternatives.
    :param tell: told of all that happens.
    :param fault: told what a guest (a cache, a kind) raises.
    :param on_context: told of content that changes the context.
    :param heard: told what comes from sources, just before it has an effect.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        cache: Cache,
        tasks: Tasks,
        timers: Timers,
        settings: Scheduling,
        tell: Tell,
        fault: Fault,
        *,
        find: Callable[[str], Item | None] = lambda key: None,
        on_context: Callable[[Item, Any], None] = lambda item, value: None,
        heard: Heard = nobody,
    ) -> None:
        self.kinds = kinds
        self.cache = Kept(cache, fault)
        self.timers = timers
        self.settings = settings
        self.costs = Costs()
        self.unavailable = Refused(settings.unavailable_seconds)
        self.jobs: dict[str, Job] = {}
        self.calls = Calls(tasks, timers, self._came, self._lost, heard)
        self.over: list[Callable[[Job], None]] = []
        self.retry: Callable[[Job], None] = self.give_up
        self.loaded: Callable[[Job], None] = lambda job: None
        self._tell = tell
        self._fault = fault
        self._find = find
        self._on_context = on_context

    def most(self, kind: str) -> int:
        """How many of a kind one call may ask for."""
        return self.kinds[kind].most if self.settings.enable_batch_fetching else 1

    def tell(self, what: What, job: Job, why: str = "", seconds: float = 0.0) -> None:
        """Tell what happened to a job."""
        lane = Lane.DEFERRED if job.demanded else job.owner.lane
        self._tell(Fetched(what, (job.key,), lane, self.timers.time(), job.tokens, seconds, why))

    # ── what is asked for, and comes ──────────────────────────────────────────────────────────

    def begin(self, jobs: list[Job], seconds: float) -> None:
        """Call a source; what the round cannot afford any more is skipped.

        :param seconds: it may take, unless its kind has a limit of its own.
        """
        kind = self.kinds[jobs[0].asking.kind]
        if self.calls.deaf(kind):
            for job in jobs:
                self._lost(job, End.FAILED, "too many calls of its source do not close", True)
            return
        affordable = []
        for job in jobs:
            if job.round.affords(job.tokens):
                job.round.spent += job.tokens
                affordable.append(job)
            else:
                self.tell(What.SKIPPED, job, "the round's tokens are used up")
                self.forget(job)
        if affordable:
            limit = seconds if kind.limit_ms is None else kind.limit_ms / 1000
            self.calls.begin(affordable, kind, limit)

    def _came(self, call: Call, job: Job, value: Any, tokens: int) -> None:
        seconds = self.timers.time() - call.began
        more, job.tokens = tokens - job.tokens, tokens
        if more > 0 and not job.round.affords(more):
            job.round.spent -= tokens - more
            self.tell(What.OVERSIZE, job, f"{tokens:,} tokens do not fit into the round's budget")
            self.give_up(job)
        else:
            job.round.spent += more
            if value is not None:  # that there is nothing says nothing of what others cost
                self.costs.observe(call.kind.name, tokens, 1000 * seconds)
            self._keep(job, value, tokens, seconds)

    def _keep(self, job: Job, value: Any, tokens: int, seconds: float) -> None:
        for other in self._shared(job.key):
            other.asking, other.tokens = job.asking, 0  # they were spent once
            self._keep(other, value, 0, seconds)
        if self.jobs.get(job.key) is not job:
            return  # what shared it has changed the context, and it is not wanted any more
        if not self.cache.put(job.item, value, tokens):
            self.give_up(job)
            return
        self.loaded(job)
        instead = "" if job.asking is job.item else f"{job.asking.key} in its place"
        self.tell(What.LOADED, job, instead, seconds)
        self.forget(job)
        changes = self.kinds[job.item.kind].changes_context
        try:
            if changes is not None and changes(job.item, value):
                self._on_context(job.item, value)
        except Exception as error:
            self._fault(f"kind {job.item.kind}", error)

    # ── what becomes of a job that did not come ───────────────────────────────────────────────

    def _lost(self, job: Job, how: End, why: str, only: bool) -> None:
        match how:
            case End.DISPLACED:
                job.owner.again(job)
            case End.TIMED_OUT:
                self.timed_out(job)
            case _ if only:
                self.tell(What.FAILED, job, why)
                self._otherwise(job)
            case _:  # another may have spoilt it
                job.alone = True
                self.tell(What.RETRY, job, f"by itself; {why}")
                job.owner.again(job)

    def timed_out(self, job: Job) -> None:
        """It took too long: things go on without it, and it is tried again in the background."""
        self.tell(What.TIMED_OUT, job)
        job.tries += 1
        if job.tries < MOST_TRIES:
            self.retry(job)
        else:
            self._otherwise(job)

    def _otherwise(self, job: Job) -> None:
        """Ask for the alternative, if there is one that may be had; what asks already is shared."""
        job.tried[job.asking.key] = None
        other = job.asking.alternative
        refused = self.unavailable.keys(self.timers.time())
        if other is None or other in job.tried or other in refused:
            self.give_up(job)
            return
        found = self._find(other)
        job.asking = found or replace(job.asking, key=other, alternative=None)
        if job.asking.kind not in self.kinds or self._leads_to(other, job):
            self.give_up(job)
        elif other in self.jobs:
            job.shares = other
        else:
            job.owner.again(job)

    def _leads_to(self, key: str | None, job: Job) -> bool:
        """Whether who asks for this key waits for a job itself, by way of others or not."""
        while key is not None and key in self.jobs and key != job.key:
            key = self.jobs[key].shares
        return key == job.key

    def _shared(self, key: str) -> list[Job]:
        """Who waits for what is asked for by another."""
        return [job for job in self.jobs.values() if job.shares == key]

    def give_up(self, job: Job) -> None:
        """It cannot be had: it is not asked for again for a while."""
        self.unavailable.add(job.key, self.timers.time())
        self.tell(What.UNAVAILABLE, job)
        self.forget(job, refused=True)

    def forget(self, job: Job, *, refused: bool = False) -> None:
        """Nothing more is done for a job.

        :param refused: it cannot be had, by those either who wait for it with this job; else they
            ask for it themselves.
        """
        if self.jobs.get(job.key) is job:
            del self.jobs[job.key]
        for other in self._shared(job.key):
            if refused:
                self.tell(What.FAILED, other, f"{job.key} has not come")
                self._otherwise(other)
            else:
                other.shares = None
                other.owner.again(other)
        for hear in self.over:
            hear(job)

    def cancel(self, job: Job, why: str) -> None:
        """Nobody needs it any more."""
        job.owner.remove(job)
        self.calls.leave(job)
        self.tell(What.CANCELLED, job, why)
        self.forget(job)
