"""Calls of sources: each a task with a limit, and a place that is free again when it has closed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from ..streams.tasks import Tasks
from ..streams.timers import Timers
from .fetch_heard import Heard, nobody
from .fetch_job import Call, End, Job
from .fetch_source import Content, contents, measured
from .schedule_items import MOST_TOKENS, Item, Kind
from .schedule_plan import Lane

__all__ = ["TEARDOWN", "Calls"]

MOST_UNCLOSED = 8
"""Of a kind."""
MOST_SAID = 2_000
"""Characters of an error that are looked at."""
TEARDOWN = 1.0
"""Seconds a cancelled source may take to close, before its place is given to another."""


class Calls:
    """All that sources are asked; in their order those that have a place still.

    ::

        calls    [----a b-|            what a source gives is passed on as it comes
                 [-------------!       too long
                 [---x……|              its place is free when it has closed, or a second later

    What sources give and how they end is taken in like all that comes from outside, and every call
    is a task of ``tasks``.

    :param came: told what came of a job: its content, and how many tokens that is.
    :param lost: told of a job that has not come, how its call ended, and why; and whether it is the
        only one that its call has not given.
    :param heard: told what comes from sources, just before it has an effect.
    """

    def __init__(
        self,
        tasks: Tasks,
        timers: Timers,
        came: Callable[[Call, Job, Any, int], None],
        lost: Callable[[Job, End, str, bool], None],
        heard: Heard = nobody,
    ) -> None:
        self.freed: list[Callable[[], None]] = []
        self._tasks = tasks
        self._timers = timers
        self._came = came
        self._lost = lost
        self._heard = heard
        self._placed: list[Call] = []
        self._unclosed: list[Call] = []
        self._begun = 0

    def __len__(self) -> int:
        return len(self._placed)

    def __iter__(self) -> Iterator[Call]:
        return iter(self._placed)

    @property
    def open(self) -> list[Call]:
        """Those that are under way and wanted."""
        return [call for call in self._placed if call.end is None]

    def deaf(self, kind: Kind) -> bool:
        """Whether so many of a kind do not close that it is better not asked: they would gather."""
        return sum(call.kind.name == kind.name for call in self._unclosed) >= MOST_UNCLOSED  # ints

    def of(self, number: int | None) -> Call | None:
        """The call of this number, if it is not closed yet."""
        known = (*self._placed, *self._unclosed)
        return next((call for call in known if call.number == number), None)

    # ── the life of a call ────────────────────────────────────────────────────────────────────

    def begin(self, jobs: list[Job], kind: Kind, seconds: float) -> None:
        """Call a source for jobs of one kind; it may take so long."""
        self._begun += 1
        call = Call(jobs, kind, jobs[0].owner, self._begun, self._timers.time())
        self._placed.append(call)
        name = f"fetch {call.number} {call.first}"  # two calls may ask for the same
        call.alarm = self._timers.alarm(name, partial(self.end, call, End.TIMED_OUT))
        call.alarm.set(call.began + seconds)
        items = [job.asking for job in jobs]
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
            take_in(partial(self.ended, call, End.FAILED, _why(error)))

    def came(self, call: Call, content: Any) -> None:
        """A source has given something."""
        if call.end is not None:
            return
        try:
            key, value, said = Content(*content)
            tokens = measured(value) if said is None else min(max(0, int(said)), MOST_TOKENS)
            job = call.left[key]
        except (TypeError, ValueError, OverflowError, KeyError):
            return  # what nobody has asked for, or no content at all; what was is left to fail
        self._heard(call, End.CAME, key, value, tokens, "")
        del call.left[key]
        job.call = None
        self._came(call, job, value, tokens)
        if not call.left:
            self.end(call, End.DONE)

    def ended(self, call: Call, how: End, why: str = "") -> None:
        """A source has come to its end."""
        if call.end is None:
            self._heard(call, how, "", None, 0, why)
            self.end(call, how, why)

    def end(self, call: Call, how: End, why: str = "") -> None:
        """A call is over, or is to be; what it has not given is lost."""
        if call.end is not None:
            return
        call.end = how
        assert call.alarm is not None
        assert call.task is not None
        call.alarm.cancel()
        if not call.task.done():
            call.task.cancel()
            name = f"fetch teardown {call.number}"
            call.alarm = self._timers.alarm(name, partial(self._leave_open, call))
            call.alarm.set(self._timers.time() + TEARDOWN)
        left = list(call.left.values())
        for job in left:
            call.let_go(job)
        for job in left:
            self._lost(job, how, why or "its source has not given it", len(left) == 1)

    def leave(self, job: Job) -> None:
        """Take a job out of its call, if it is in one; a call with nothing left is ended."""
        call = job.call
        if call is not None:
            del call.left[job.asking.key]
            call.let_go(job)
            if not call.left:
                self.end(call, End.CANCELLED)

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

    # ── its end ───────────────────────────────────────────────────────────────────────────────

    def closed(self, call: Call) -> None:
        """Its task has ended, and with it its connection."""
        if call in self._unclosed:
            self._heard(call, End.CLOSED, "", None, 0, "")
            self._unclosed.remove(call)
        elif call in self._placed:
            self._heard(call, End.CLOSED, "", None, 0, "")
            self.end(call, End.FAILED, "it was cancelled from within")
            self._free(call)

    def _leave_open(self, call: Call) -> None:
        self._unclosed.append(call)
        self._free(call)

    def _free(self, call: Call) -> None:
        if call in self._placed:
            self._placed.remove(call)
            assert call.alarm is not None
            call.alarm.cancel()
            for pump in self.freed:
                pump()

    def stop(self) -> None:
        """Nothing of what is still closing has an effect any more."""
        for call in self._placed:
            if call.alarm is not None:
                call.alarm.cancel()
        self._placed.clear()
        self._unclosed.clear()


def _why(error: Exception) -> str:
    """What a source has raised, in one line that can be recorded and shown, whatever it says."""
    try:
        said = f"{type(error).__name__}: {error}"[:MOST_SAID]
    except Exception:
        said = type(error).__name__  # it cannot be put into words
    plain = "".join(each if each.isprintable() else " " for each in said)
    return " ".join(plain.split())[:200]
