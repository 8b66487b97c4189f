"""What is known of a session from outside: what was said to it, asked of models, and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..config import Settings
from ..operators.narrative import Narrative
from ..operators.overlap import Overlap
from ..session import Session
from ..streams.models import Purpose
from ..streams.world import Numbered
from .broken import Broken
from .changes import Changes, Happening
from .shown import Shown
from .stamps import asked
from .watch import Watched

__all__ = ["EPSILON", "Deed", "Evidence", "deed_of", "entries_of", "now"]

EPSILON = 1e-5
PATIENT = 3
"""A telling that was begun so often in vain is told as it was asked for."""

Entry = Mapping[str, Any]
Deed = tuple[str, str, str | None]


def now() -> float:
    """The loop's time, in seconds."""
    return asyncio.get_running_loop().time()


def entries_of(stream: Watched) -> Sequence[Entry]:
    """What a stamped prompt asked a stream to tell; nothing of any other, or of what is told again.

    A retelling is bound to what happened: no change makes it untrue.
    """
    about = asked(stream.request)
    found: Sequence[Entry] = () if about.get("again") else about.get("entries", ())
    return found


def deed_of(entry: Entry) -> Deed:
    """Who does what to whom."""
    return entry["actor"], entry["action"], entry["target"]


@dataclass(slots=True)
class Evidence:
    """All of it, and the first thing in it that broke a guarantee.

    ``asleep`` is when the whole process slept, from and to: no deadline can be kept then.
    ``offset`` is the loop's time at the session's second 0.
    """

    session: Session[Any]
    changes: Changes
    taken: list[Numbered] = field(default_factory=list)
    happenings: dict[int, Happening] = field(default_factory=dict)
    under_way: dict[int, Happening] = field(default_factory=dict)
    expected: dict[int, tuple[list[Any], Any]] = field(default_factory=dict)
    events: list[Narrative] = field(default_factory=list)
    streams: list[Watched] = field(default_factory=list)
    asleep: list[tuple[float, float]] = field(default_factory=list)
    rewinds: list[float] = field(default_factory=list)
    closing: bool = False
    offset: float | None = None
    found: Broken | None = None
    shown: Shown = field(init=False)

    def __post_init__(self) -> None:
        self.shown = Shown(self.broke)

    @property
    def settings(self) -> Settings:
        """The session's."""
        return self.session.settings

    def broke(self, guarantee: str, what: str) -> None:
        """Note what broke a guarantee; the first counts."""
        if self.found is None:
            self.found = Broken(guarantee, what, at=now())

    def late(self, happening: Happening) -> bool:
        """Whether its deadline is over; one that falls into a sleep is when the process wakes."""
        until = happening.at + self.settings.deadline
        for fell, woke in self.asleep:
            if fell <= until and woke >= happening.at:
                until = max(until, woke)
        return now() > until + EPSILON

    def may_be_cut(self, happening: Happening) -> bool:
        """Whether its telling may be ended before it is whole."""
        undone = any(happening.at <= at for at in self.rewinds)
        closing = self.closing or self.session._entry.closed
        interrupts = self.settings.overlap is Overlap.INTERRUPT
        return interrupts or happening.cancelled or closing or undone

    def bound(self, stream: Watched, at: float) -> bool:
        """Whether a telling that could be of it had begun, and not ended, by then."""
        doing = {(entry["actor"], entry["action"]) for entry in entries_of(stream)}
        for told in reversed(self.shown.tellings.values()):
            if told.first is None or told.first[0] > at:
                continue
            if told.ended_at is not None and told.ended_at < at:
                return False
            found = [self.happenings[n] for n in told.outcomes if n in self.happenings]
            if any((each.actor, each.action) in doing for each in found):
                return True
        return False

    def wanted(self, stream: Watched) -> bool:
        """Whether an outcome that is not told yet could have taken it over."""
        doing = {(entry["actor"], entry["action"]) for entry in entries_of(stream)}
        return any((each.actor, each.action) in doing for each in self.under_way.values())

    def told_from(self, stream: Watched) -> bool:
        """Whether something that happened since it was opened could have been told from it."""
        doing = {(entry["actor"], entry["action"]) for entry in entries_of(stream)}
        since = stream.opened_at or 0.0
        return any(
            each.at >= since and (each.actor, each.action) in doing
            for each in self.happenings.values()
        )

    def restless(self, stream: Watched) -> bool:
        """Whether too many before it were revoked: then it is told as it was asked for."""
        if stream.request.purpose is Purpose.PREFETCH:
            return False
        deeds = set(map(deed_of, entries_of(stream)))
        alike: Iterable[Watched] = (
            each
            for each in self.streams
            if each.request.purpose is not Purpose.PREFETCH
            and not deeds.isdisjoint(map(deed_of, entries_of(each)))
        )
        return len(list(alike)) > PATIENT
