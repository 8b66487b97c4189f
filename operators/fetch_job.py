"""What is to be fetched, one by one and in calls of a source."""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable, Iterator
from enum import Enum
from operator import attrgetter
from typing import Protocol

from ..streams.timers import Alarm
from .schedule_items import Item, Kind
from .schedule_plan import Entry, Lane

__all__ = ["Call", "End", "Job", "Line", "Owner", "Round", "jobs_of"]


class Round:
    """What a planning round may still spend: tokens."""

    __slots__ = ("limit", "spent")

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.spent = 0

    def affords(self, tokens: int) -> bool:
        """Whether so much more fits."""
        return self.spent + tokens <= self.limit


class Owner(Protocol):
    """An executor, as its jobs know it."""

    lane: Lane

    def add(self, job: Job) -> None:
        """Take a job on."""
        ...

    def again(self, job: Job) -> None:
        """Fetch it in another way, or at another time; it was taken out of its call."""
        ...

    def remove(self, job: Job) -> None:
        """Let it wait no longer: somebody else takes it over, or nobody."""
        ...


class Job:
    """An item to fetch.

    ``alone``: it is asked for by itself, for a call for it and others has failed.
    ``asking`` is what its source is asked for: itself, or an alternative. ``demanded``: it is
    needed now, and was not foreseen. ``held``: somebody waits for it, whatever is planned.
    ``shares``: the key of the job whose content it gets, for that asks for the same; it waits in
    no line then. ``turn``: the one it is for, while that is open.
    """

    __slots__ = (
        *("alone", "asking", "call", "demanded", "held", "item", "owner", "rank"),
        *("round", "shares", "tokens", "tried", "tries", "turn"),
    )

    def __init__(
        self, item: Item, rank: tuple[int, float, str], tokens: int, of: Round, owner: Owner
    ) -> None:
        self.item = item
        self.rank = rank
        self.tokens = tokens
        self.turn = item.turn
        self.round = of
        self.owner = owner
        self.asking = item
        self.tried: dict[str, None] = {}
        self.tries = 0
        self.alone = False
        self.demanded = False
        self.held = False
        self.shares: str | None = None
        self.call: Call | None = None

    @property
    def key(self) -> str:
        """The key of its item."""
        return self.item.key


def jobs_of(entry: Entry, of: Round, owner: Owner) -> Iterator[Job]:
    """The jobs of an entry; what it costs is spread over them."""
    each, over = divmod(entry.tokens, len(entry.items))
    for number, item in enumerate(entry.items):
        rank = (int(entry.priority), -entry.ratio, item.key)
        yield Job(item, rank, each + (number < over), of, owner)


class End(Enum):
    """How a call ended; and, of what is heard of it, that something came, and that it is closed."""

    CAME = "came"
    CLOSED = "closed"
    DONE = "done"
    FAILED = "failed"
    TIMED_OUT = "timed out"
    CANCELLED = "cancelled"
    DISPLACED = "displaced"


class Call:
    """One call of a source, for jobs of one kind; ``left`` of them have not come yet.

    ``first`` is the key of the most wanted.
    """

    __slots__ = (
        *("alarm", "began", "end", "first", "kind", "left", "number", "owner", "rank", "task"),
    )

    def __init__(
        self, jobs: list[Job], kind: Kind, owner: Owner, number: int, began: float
    ) -> None:
        self.number = number
        self.kind = kind
        self.owner = owner
        self.rank = jobs[0].rank
        self.first = jobs[0].asking.key
        self.left = {job.asking.key: job for job in jobs}
        self.began = began
        self.end: End | None = None
        self.alarm: Alarm | None = None
        self.task: asyncio.Task[None] | None = None
        for job in jobs:
            job.call = self

    def let_go(self, job: Job) -> None:
        """It does not fetch this any more; a generation that is cut short has to be paid for."""
        job.call = None
        if self.kind.limit_ms is None:
            job.round.spent -= job.tokens


class Line:
    """Jobs that wait, the most wanted first."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []

    def __len__(self) -> int:
        return len(self.jobs)

    def __contains__(self, job: Job) -> bool:
        return job in self.jobs

    def add(self, job: Job) -> None:
        """Put a job into its place: from now on it asks for itself."""
        job.shares = None
        insort(self.jobs, job, key=attrgetter("rank"))

    def remove(self, job: Job) -> None:
        """Take a job out, if it is in."""
        if job in self.jobs:
            self.jobs.remove(job)

    def take(self, job: Job, most: int, fits: Callable[[list[Job], Job], bool]) -> list[Job]:
        """Take a job out, and with it others of its kind, up to so many in all.

        Two that ask for the same thing, one of them as its alternative, go into two calls.

        :param fits: whether one more may go with those that are taken so far.
        """
        taken, asked = [job], {job.asking.key}
        for other in self.jobs:
            if len(taken) >= most:
                break
            alike = other.asking.kind == job.asking.kind and other.asking.key not in asked
            if alike and not (job.alone or other.alone) and fits(taken, other):
                taken.append(other)
                asked.add(other.asking.key)
        self.jobs = [each for each in self.jobs if each not in taken]
        return taken
