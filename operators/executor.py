"""Doing what a plan says: the three executors together, and what they tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any

from ..streams.tasks import Tasks
from ..streams.timers import Timers
from .fetch_background import Background
from .fetch_cache import Cache
from .fetch_eager import Eager
from .fetch_events import Fetched, What
from .fetch_heard import Heard, hand_in, nobody
from .fetch_immediate import Immediate
from .fetch_job import Job, Owner, Round, jobs_of
from .fetching import Fetching
from .publish import Fault
from .schedule import schedule
from .schedule_given import Constraints, State
from .schedule_items import MOST_MS, MOST_TOKENS, Item, Kind, Priority
from .schedule_plan import Entry, Lane, Plan, Verdict
from .schedule_settings import Scheduling
from .schedule_worth import Costs

__all__ = ["Executor"]

ASKED_FOR = Constraints(MOST_TOKENS, MOST_MS, Priority.CRITICAL, 0.0, 0.0)
"""What is needed now has no budget; it is bounded by the executors."""
RANK = {Lane.IMMEDIATE: 0, Lane.EAGER: 1, Lane.BACKGROUND: 2}


class Executor:
    """Fetches what plans say, as they say it.

    ::

        plans     --p1-----------p2(another context)---
        p1        --[a--|  [b----x  [c----x             cancelled: p2 does not want them
        events    -----a---------b,c---------d---

    What a plan takes goes to the executor of its strategy; one key is fetched once, whoever wants
    it. All that happens is told to ``listeners``; one that raises is reported, and costs the
    others nothing. A plan that one of them has made in answer is done when all have heard.

    :param kinds: the kinds of item, with their sources.
    :param cache: where what was fetched goes.
    :param tasks: owns the tasks that read the sources.
    :param timers: make all limits.
    :param fault: told what a guest raises: a cache, a kind, a subscriber.
    :param busy: whether the background has to wait, beside what is fetched here; for instance
        because a player waits for an answer.
    :param needed: whether a key is needed still, and must not expire, though nobody has used it.
    :param on_context: told of content that changes the context: then it is to be predicted anew.
    :param heard: told what comes from sources, just before it has an effect; :meth:`hand_in` does
        it again, for a replay, whose sources say nothing themselves.
    """

    def __init__(
        self,
        kinds: Mapping[str, Kind],
        cache: Cache,
        tasks: Tasks,
        timers: Timers,
        fault: Fault,
        settings: Scheduling | None = None,
        *,
        busy: Callable[[], bool] = lambda: False,
        needed: Callable[[str], bool] = lambda key: False,
        on_context: Callable[[Item, Any], None] = lambda item, value: None,
        heard: Heard = nobody,
    ) -> None:
        self.settings = settings or Scheduling()
        self.listeners: list[Callable[[Fetched], None]] = []
        self.idle: list[Callable[[], None]] = []
        self._tasks = tasks
        self._timers = timers
        self._fault = fault
        self._plan: Plan | None = None
        self._told_missing: Plan | None = None
        self._items: dict[str, Item] = {}
        self._telling = False
        self._waiting = 0  # plans, for what was heard of to be through
        self._voided = 0
        self._closed = False
        self._gone = asyncio.Event()
        self._fetching = Fetching(
            kinds,
            cache,
            tasks,
            timers,
            self.settings,
            self._tell,
            fault,
            find=lambda key: self._items.get(key),  # noqa: PLW0108 (others with each plan)
            on_context=on_context,
            heard=heard,
        )
        self._immediate = Immediate(self._fetching)
        self._eager = Eager(self._fetching)
        self._background = Background(
            self._fetching,
            self._tell,
            lambda: self._immediate.busy or self._eager.busy or self._said("busy", busy),
            lambda key: self._required(key) or self._said("needed", partial(needed, key)),
        )
        self._fetching.retry = self._retry
        self._fetching.loaded = self._background.loaded
        self._fetching.over.append(lambda job: self._rest())
        self._fetching.calls.freed.append(self._freed)
        self._lanes = {each.lane: each for each in (self._immediate, self._eager, self._background)}

    # ── how things are ────────────────────────────────────────────────────────────────────────

    @property
    def pending(self) -> frozenset[str]:
        """The keys of what is being fetched, or waits for it."""
        return frozenset(self._fetching.jobs)

    @property
    def at_rest(self) -> bool:
        """Whether nothing is pending, nor a plan that was given in the midst of an event."""
        return not (self._fetching.jobs or self._waiting)

    @property
    def unavailable(self) -> frozenset[str]:
        """The keys of what could not be had of late."""
        return self._fetching.unavailable.keys(self._timers.time())

    @property
    def costs(self) -> Costs:
        """What each kind has cost of late."""
        return self._fetching.costs

    @property
    def dropped(self) -> int:
        """How many were dropped, for the queue was full."""
        return self._background.dropped

    def __repr__(self) -> str:
        running, waiting = len(self._fetching.calls.open), len(self._fetching.jobs)
        return f"<Executor [{running} calls, {waiting} items, {self.dropped} dropped]>"

    # ── what is to be done ────────────────────────────────────────────────────────────────────

    def take(self, plan: Plan, of: Round | None = None) -> None:
        """Do what a plan says.

        What it does not want is cancelled; but what is for the background goes on, unless the
        context has changed.

        :param of: what the round may spend, where others share it; else all of its budget.
        """
        if self._telling:  # said by a subscriber: when what it has heard of is through
            self._waiting += 1
            self._tasks.soon(partial(self._take_now, plan, of, self._voided))
            return
        if self._closed:
            return
        before, self._plan = self._plan, plan
        known = {item.key: item for entry in plan.entries for item in entry.items}
        self._items = self._alternatives() | known
        changed = before is not None and before.context != plan.context
        if changed and self.settings.cancel_on_context_change:
            held = {key for key, job in self._fetching.jobs.items() if job.held}
            self.cancel("the context has changed", keep=plan.wanted | held)
        spare = [
            job
            for job in self._fetching.jobs.values()
            if not (job.held or job.owner is self._background or job.key in plan.wanted)
        ]
        self._cancel(spare, "not needed any more")
        this_round = of or Round(plan.constraints.token_budget)
        for entry in plan.entries:
            if entry.taken and entry.lane is not None:
                for job in jobs_of(entry, this_round, self._lanes[entry.lane]):
                    self._begin(job)
            elif entry.verdict is Verdict.PENDING:
                self._promote(entry, plan)
        self._immediate.pump()
        self._eager.pump()

    def _take_now(self, plan: Plan, of: Round | None, voided: int) -> None:
        """Do what a plan says that had to wait, unless all was cancelled meanwhile."""
        self._waiting -= 1
        if voided == self._voided:
            self.take(plan, of)
        self._rest()

    def _begin(self, job: Job) -> None:
        fetching = self._fetching
        if job.key in fetching.jobs or job.key in fetching.cache:
            return  # the plan was made before that
        fetching.jobs[job.key] = job
        if job.item.kind in fetching.kinds:
            job.owner.add(job)
        else:
            fetching.give_up(job)

    def _promote(self, entry: Entry, plan: Plan) -> None:
        """What is on its way may have become more urgent."""
        if entry.confidence < plan.constraints.min_confidence_for_immediate:
            return
        for key in entry.keys:
            job = self._fetching.jobs.get(key)
            if job is None or entry.priority > Priority.EAGER:
                continue
            lane: Owner = self._eager
            if entry.priority < Priority.EAGER:
                lane = self._immediate
                self._immediate.await_too(job)
            if RANK[job.owner.lane] <= RANK[lane.lane]:
                continue
            rank = (int(entry.priority), -entry.ratio, key)
            if job.call is not None:  # it goes on where it is, but no longer as the least wanted
                job.call.rank = min(job.call.rank, rank)
                job.rank = rank
            elif not job.tries or rank < job.rank:
                job.owner.remove(job)
                job.owner = job.owner if job.tries else lane  # what was late needs its two seconds
                job.rank = rank
                job.owner.add(job)

    async def ready(self, but: Collection[str] = ()) -> tuple[str, ...]:
        """Wait for what is immediate, 100 ms at most; then processing may start.

        :param but: keys that could not have been there already; they are waited for all the same.
        :return: the keys of what is P0 and is not there; that is told as an error, once.
        """
        await self._immediate.wait()
        return self.missing(but)

    def missing(self, but: Collection[str] = ()) -> tuple[str, ...]:
        """The same, for what starts without waiting."""
        planned = self._plan.required if self._plan is not None else ()
        required = [item for item in planned if item.key not in but]
        missing = tuple(item.key for item in required if item.key not in self._fetching.cache)
        if missing and self._told_missing is not self._plan:
            self._told_missing = self._plan
            why = f"{len(missing)} of {len(required)} that must be there are not"
            now = self._timers.time()
            self._tell(Fetched(What.MISSING, missing, Lane.IMMEDIATE, now, 0, 0.0, why))
        return missing

    async def demand(self, item: Item) -> bool:
        """Fetch what was deferred, for now it is needed; 100 ms at most are waited for it.

        Where 20 wait so already it goes into the background's queue, which drops what is too much.

        :return: whether it is there.
        :raises ValueError: for an unknown kind.
        """
        fetching = self._fetching
        if item.kind not in fetching.kinds:
            raise ValueError(f"{item.key[:60]!r} is of an unknown kind, {item.kind[:60]!r}")
        if self._closed or item.key in fetching.cache:
            return item.key in fetching.cache
        entries = schedule([item], ASKED_FOR, State(learned=fetching.costs), fetching.kinds).entries
        if item.key in fetching.jobs:
            fetching.jobs[item.key].held = True
            self._promote(entries[0], Plan(entries, ASKED_FOR))
        else:
            crowded = self._immediate.waiting >= self.settings.max_background_queue
            owner = self._background if crowded else self._immediate
            for job in jobs_of(entries[0], Round(ASKED_FOR.token_budget), owner):
                job.demanded = job.held = True
                self._begin(job)
        self._immediate.pump()
        await self._immediate.wait()
        return item.key in fetching.cache

    def used(self, key: str) -> None:
        """It was needed, and was there: it does not expire as unused."""
        self._background.used(key)

    def let_go(self, key: str) -> None:
        """The cache has no room for it any more."""
        self._background.let_go(key)

    def turn_ended(self, turn: str) -> None:
        """What was for this turn may expire from now on."""
        self._background.turn_ended(turn)

    def cancel(self, why: str, *, keep: Collection[str] | None = None) -> None:
        """Cancel what is under way and what waits.

        :param keep: all but these keys; plans that wait are done then.
        """
        self._voided += keep is None
        gone = [job for job in self._fetching.jobs.values() if job.key not in (keep or ())]
        if self._telling:  # said by a subscriber, too
            self._tasks.soon(partial(self._cancel, gone, why))
        else:
            self._cancel(gone, why)

    def _cancel(self, jobs: Collection[Job], why: str) -> None:
        for job in jobs:
            job.shares = None  # or it asked for itself when what it shares goes before it
        for job in jobs:
            if self._fetching.jobs.get(job.key) is job:  # and has not gone with what it shared
                self._fetching.cancel(job, why)

    def again(self, key: str) -> None:
        """It is another now: that it could not be had of late counts no more."""
        self._fetching.unavailable.forget(key)

    def hand_in(self, line: Mapping[str, Any]) -> None:
        """What was heard of a source when it was recorded."""
        hand_in(self._fetching.calls, line)

    def stop(self) -> None:
        """Cancel everything at once; what sources still say has no effect any more."""
        self._closed = True
        self.cancel("closed")
        self._background.close()
        self._fetching.calls.stop()

    async def aclose(self) -> None:
        """Cancel everything, and wait until the sources are closed, a second at most."""
        self._closed = True
        self.cancel("closed")
        self._background.close()
        while self._fetching.calls:
            self._gone.clear()
            await self._gone.wait()

    # ── what happens ──────────────────────────────────────────────────────────────────────────

    def _retry(self, job: Job) -> None:
        job.alone = job.alone or job.owner is self._background  # what hangs may be another
        job.owner = self._background
        self._fetching.tell(What.RETRY, job, "in the background")
        self._background.add(job)

    def _alternatives(self) -> dict[str, Item]:
        """What is asked for in the place of what is pending: this plan may not know it any more."""
        found: dict[str, Item] = {}
        for job in self._fetching.jobs.values():
            key = job.asking.alternative
            while key in self._items and key not in found:
                found[key] = self._items[key]
                key = found[key].alternative
        return found

    def _required(self, key: str) -> bool:
        """Whether it must be there, as long as the plan holds: it does not expire."""
        return self._plan is not None and any(item.key == key for item in self._plan.required)

    def _said(self, who: str, ask: Callable[[], bool]) -> bool:
        """What a guest says; one that raises says no."""
        try:
            return ask()
        except Exception as error:
            self._fault(who, error)
            return False

    def _freed(self) -> None:
        if not self._fetching.calls:
            self._gone.set()

    def _rest(self) -> None:
        if self.at_rest:
            for hear in [*self.idle]:
                hear()

    def _tell(self, event: Fetched) -> None:
        within, self._telling = self._telling, True
        try:
            for listener in [*self.listeners]:
                try:
                    listener(event)
                except Exception as error:
                    self._fault("subscriber", error)
        finally:
            self._telling = within
