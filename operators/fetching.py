"""Fetching: calls of sources, so many at a time, each with a limit, and what becomes of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from ..streams.tasks import Tasks
from ..streams.timers import Timers
from .fetch_cache import Cache, Kept, Refused
from .fetch_events import Fetched, Tell, What
from .fetch_heard import Heard, nobody
from .fetch_job import Call, End, Job
from .fetch_source import Content, contents, measured
from .publish import Fault
from .schedule_items import Item, Kind
from .schedule_plan import Lane
from .schedule_settings import Scheduling
from .schedule_worth import Costs

__all__ = ["TEARDOWN", "Fetching"]

MOST_TRIES = 3
MOST_UNCLOSED = 8
"""Of a kind."""
TEARDOWN = 1.0
"""Seconds a cancelled source may take to close, before its place is given to another."""


class Fetching:
    """All fetches of a session. The executors decide what begins when; this is what they share.

    ::

        calls    [----a b-|            a source's call: what it gives is cached as it comes
                 [-------------!       too long: a warning, and again in the background
                 [--x [---c-|          it raised: an alternative, else unavailable for a while

    What sources give and how they end is taken in like all that comes from outside, and every
    call is a task of ``tasks``. One that is cancelled frees its place when it has closed, or a
    second later. A kind of which several do not close even then is not asked until one has: what
    does not mind its end must not gather.

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
        self.calls: list[Call] = []
        self._unclosed: list[Call] = []
        self.freed: list[Callable[[], None]] = []
        self.over: list[Callable[[Job], None]] = []
        self.retry: Callable[[Job], None] = self.give_up
        self.loaded: Callable[[Job], None] = lambda job: None
        self._tasks = tasks
        self._tell = tell
        self._fault = fault
        self._find = find
        self._on_context = on_context
        self._heard = heard
        self._begun = 0

    @property
    def open(self) -> list[Call]:
        """The calls that are under way and wanted."""
        return [call for call in self.calls if call.end is None]

    def most(self, kind: str) -> int:
        """How many of a kind one call may ask for."""
        return self.kinds[kind].most if self.settings.enable_batch_fetching else 1

    def tell(self, what: What, job: Job, why: str = "", seconds: float = 0.0) -> None:
        """Tell what happened to a job."""
        lane = Lane.DEFERRED if job.demanded else job.owner.lane
        now = self.timers.time()
        self._tell(Fetched(what, (job.key,), lane, now, job.tokens, seconds, why))

    # ── the life of a call ────────────────────────────────────────────────────────────────────

    def begin(self, jobs: list[Job], seconds: float) -> None:
        """Call a source; what the round cannot afford any more is skipped.

        :param seconds: it may take, unless its kind has a limit of its own.
        """
        kind = self.kinds[jobs[0].asking.kind]
        stuck = [call for call in self._unclosed if call.kind.name == kind.name]
        if len(stuck) >= MOST_UNCLOSED:
            for job in jobs:
                self._lost(job, End.FAILED, f"{len(stuck)} calls of its source do not close")
            return
        affordable = []
        for job in jobs:
            if job.round.affords(job.tokens):
                job.round.spent += job.tokens
                affordable.append(job)
            else:
                self.tell(What.SKIPPED, job, "the round's tokens are used up")
                self.forget(job)
        if not affordable:
            return
        self._begun += 1
        call = Call(affordable, kind, affordable[0].owner, self._begun)
        call.began = self.timers.time()
        self.calls.append(call)
        limit = seconds if kind.limit_ms is None else kind.limit_ms / 1000
        name = f"fetch {affordable[0].asking.key}"
        call.alarm = self.timers.alarm(name, partial(self.end, call, End.TIMED_OUT))
        call.alarm.set(call.began + limit)
        items = [job.asking for job in affordable]
        call.task = self._tasks.start(self._read(call, items), name=name, outside=True)
        call.task.add_done_callback(lambda _: self._tasks.take_in(partial(self.closed, call)))

    async def _read(self, call: Call, items: list[Item]) -> None:
        """Read a source, and give all it says to ``take_in``."""
        take_in = self._tasks.take_in
        try:
            async for content in contents(call.kind, items):
                take_in(partial(self.came, call, content))
            take_in(partial(self.ended, call, End.DONE))
        except Exception as error:
            why = " ".join(f"{type(error).__name__}: {error}".split())[:200]
            take_in(partial(self.ended, call, End.FAILED, why))

    def call(self, number: int | None) -> Call | None:
        """The call of this number, if it is not closed yet."""
        known = (*self.calls, *self._unclosed)
        return next((call for call in known if call.number == number), None)

    def came(self, call: Call, content: Any) -> None:
        """A source has given something."""
        if call.end is not None:
            return
        try:
            key, value, said = Content(*content)
            tokens = measured(value) if said is None else max(0, int(said))
            job = call.left[key]
        except (TypeError, ValueError, OverflowError, KeyError):
            return  # what nobody has asked for, or no content at all; what was is left to fail
        self._heard(call, End.CAME, key, value, tokens, "")
        del call.left[key]
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
        if not call.left:
            self.end(call, End.DONE)

    def _keep(self, job: Job, value: Any, tokens: int, seconds: float) -> None:
        shared = self._shared(job.key)
        for other in shared:
            other.owner.remove(other)
            self.leave(other)
            other.asking, other.tokens = job.asking, 0  # they were spent once
            self._keep(other, value, 0, seconds)
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

    def ended(self, call: Call, how: End, why: str = "") -> None:
        """A source has come to its end."""
        if call.end is None:
            self._heard(call, how, "", None, 0, why)
            self.end(call, how, why)

    def end(self, call: Call, how: End, why: str = "") -> None:
        """A call is over, or is to be; what it has not given goes its way."""
        if call.end is not None:
            return
        call.end = how
        assert call.alarm is not None
        assert call.task is not None
        call.alarm.cancel()
        if not call.task.done():
            call.task.cancel()
            name = f"fetch teardown {call.number}"
            call.alarm = self.timers.alarm(name, partial(self._leave_open, call))
            call.alarm.set(self.timers.time() + TEARDOWN)
        left = list(call.left.values())
        for job in left:
            job.call = None
            if call.kind.limit_ms is None:  # a generation that is cut short has to be paid for
                job.round.spent -= job.tokens
        for job in left:
            self._lost(job, how, why)

    def _lost(self, job: Job, how: End, why: str) -> None:
        match how:
            case End.DISPLACED:
                job.owner.again(job)
            case End.TIMED_OUT:
                self.timed_out(job)
            case _:
                self.tell(What.FAILED, job, why or "its source has not given it")
                self._otherwise(job)

    def closed(self, call: Call) -> None:
        """Its task has ended, and with it its connection."""
        if call in self._unclosed:
            self._heard(call, End.CLOSED, "", None, 0, "")
            self._unclosed.remove(call)
        elif call in self.calls:
            self._heard(call, End.CLOSED, "", None, 0, "")
            self.end(call, End.FAILED, "it was cancelled from within")
            self._free(call)

    def _leave_open(self, call: Call) -> None:
        self._unclosed.append(call)
        self._free(call)

    def _free(self, call: Call) -> None:
        if call in self.calls:
            self.calls.remove(call)
            assert call.alarm is not None
            call.alarm.cancel()
            for pump in self.freed:
                pump()

    # ── what becomes of a job that did not come ───────────────────────────────────────────────

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
        self.forget(job)

    def forget(self, job: Job) -> None:
        """Nothing more is done for a job."""
        if self.jobs.get(job.key) is job:
            del self.jobs[job.key]
        for other in self._shared(job.key):
            self.tell(What.FAILED, other, f"{job.key} has not come")
            self._otherwise(other)
        for hear in self.over:
            hear(job)

    def cancel(self, job: Job, why: str) -> None:
        """Nobody needs it any more."""
        job.owner.remove(job)
        self.leave(job)
        self.tell(What.CANCELLED, job, why)
        self.forget(job)

    def leave(self, job: Job) -> None:
        """Take a job out of its call, if it is in one; a call with nothing left is ended."""
        call, job.call = job.call, None
        if call is not None and call.end is None:
            del call.left[job.asking.key]
            if call.kind.limit_ms is None:
                job.round.spent -= job.tokens
            if not call.left:
                self.end(call, End.CANCELLED)

    def stop(self) -> None:
        """Nothing of what is still closing has an effect any more."""
        for call in self.calls:
            if call.alarm is not None:
                call.alarm.cancel()
        self.calls.clear()
        self._unclosed.clear()

    def displace(self, awaited: Callable[[Job], bool]) -> bool:
        """Take its place from the background call that is wanted least, if there is one.

        What somebody waits for right now gives up its place last, and before it what is held.
        """
        spare = [call for call in self.open if call.owner.lane is Lane.BACKGROUND]

        def spared(call: Call) -> tuple[bool, bool, tuple[int, float, str]]:
            jobs = call.left.values()
            return not any(map(awaited, jobs)), not any(job.held for job in jobs), call.rank

        if spare:
            self.end(max(spare, key=spared), End.DISPLACED)
        return bool(spare)
