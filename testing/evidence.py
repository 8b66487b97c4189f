"""What is known of a session from outside: what was said to it, asked of models, and shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
from .sentinel import Said
from .shown import Shown, Told
from .stamps import asked
from .watch import WatchedStream

__all__ = ["EPSILON", "Deed", "Evidence", "deed_of", "entries_of"]

EPSILON = 1e-5
PLENTY = 2**21
"""Bytes of history that hold a simulated world whole."""

PATIENT = 3
"""A telling that was begun so often in vain is told as it was asked for."""

Entry = Mapping[str, Any]
Deed = tuple[str, str, str | None]
Part = tuple[str | None, str, Any, Any]


def entries_of(stream: WatchedStream) -> Sequence[Entry]:
    """What a stamped prompt asked a stream to tell; nothing of any other."""
    found: Sequence[Entry] = asked(stream.request).get("entries", ())
    return found


def deed_of(entry: Entry) -> Deed:
    """Who does what to whom."""
    return entry["actor"], entry["action"], entry["target"]


def may_know(seen_by: Sequence[str], to: Sequence[str]) -> bool:
    """Whether what some viewers may see, or all, may be known to these, or to all."""
    return not seen_by or (bool(to) and set(to) <= set(seen_by))


@dataclass(slots=True)
class Evidence:
    """All of it, and the first thing in it that broke a guarantee.

    ``again`` are the streams that tell again what happened: no change of the world makes them
    untrue. ``hps`` are the healths after an outcome that only the game knows, and ``handles`` the
    tellings it was given. ``asleep`` is when the whole process slept, from and to: no deadline can
    be kept then. ``passed`` is what the game's guard has let through, if it has one.
    ``offset`` is the loop's time at the session's second 0; ``now`` tells it.
    """

    session: Session[Any]
    changes: Changes
    taken: list[Numbered] = field(default_factory=list)
    happenings: dict[int, Happening] = field(default_factory=dict)
    under_way: dict[int, Happening] = field(default_factory=dict)
    hps: dict[int, list[Any]] = field(default_factory=dict)
    handles: dict[int, Any] = field(default_factory=dict)
    events: list[Narrative] = field(default_factory=list)
    streams: list[WatchedStream] = field(default_factory=list)
    again: set[WatchedStream] = field(default_factory=set)
    asleep: list[tuple[float, float]] = field(default_factory=list)
    rewinds: list[float] = field(default_factory=list)
    was: list[tuple[float, Told]] = field(default_factory=list)
    passed: Collection[Said] | None = None
    closing: bool = False
    offset: float | None = None
    found: Broken | None = None
    now: Callable[[], float] = field(default_factory=lambda: asyncio.get_running_loop().time)
    shown: Shown = field(init=False)

    def __post_init__(self) -> None:
        self.shown = Shown(self.broke)

    @property
    def settings(self) -> Settings:
        """The session's."""
        return self.session.settings

    @property
    def keeps_all(self) -> bool:
        """Whether all that was said is known to the session, however far back it lies."""
        return self.settings.log_dir is not None or self.settings.history_bytes >= PLENTY

    def broke(self, guarantee: str, what: str) -> None:
        """Note what broke a guarantee; the first counts."""
        if self.found is None:
            self.found = Broken(guarantee, what, at=self.now())

    def parts(self, number: int) -> list[Part]:
        """What an outcome said of each target, with what the game knows of its health."""
        parts = self.happenings[number].parts
        hps = self.hps.get(number)
        if hps is None:
            return parts
        return [(*part[:3], hp) for part, hp in zip(parts, hps, strict=True)]

    def did(self, number: int) -> tuple[str, str] | None:
        """Who did what, with the outcome of this number, if that is known."""
        found = self.happenings.get(number)
        return None if found is None else (found.actor, found.action)

    def told_with(self, outcome: int) -> tuple[str, tuple[int, ...]]:
        """The telling of an outcome, and the outcomes that another telling of it would have."""
        stands = self.changes.standing.stands
        for told in self.shown.tellings.values():
            if told.retells is None and outcome in told.outcomes:
                return told.id, told.outcomes if all(map(stands, told.outcomes)) else (outcome,)
        return f"t{outcome}", (outcome,)

    def memory(
        self, to: Sequence[str], *, any_version: bool = False, before: str | None = None
    ) -> list[Told]:
        """What a prompt that is made at this moment may remember.

        :param to: the viewers it is for; all, if none are named.
        :param any_version: also of what was told again since.
        :param before: only what was told before this telling, and what stands in its place.
        """
        self.was = [each for each in self.was if each[0] == self.now()]
        found = self.shown.memory(self.changes.standing.stands, any_version=any_version)
        found += [told for _, told in self.was]
        found = [told for told in found if may_know(told.to, to)]
        if before is None:
            return found
        places = {name: place for place, name in enumerate(self.shown.tellings)}
        here = places.get(before, len(places))
        return [told for told in found if places.get(told.retells or told.id, 0) < here]

    def memory_moves(self) -> None:
        """What may be remembered changes now; a prompt of this very moment may be older."""
        found = self.shown.memory(self.changes.standing.stands)
        self.was += [(self.now(), told) for told in found]

    def place_of(self, stream: WatchedStream) -> str | None:
        """Of a stream that tells again: the telling in whose place that will stand."""
        known = asked(stream.request).get("known")
        for told in self.shown.tellings.values():
            if stream in self.again and told.retells is None and known in told.outcomes:
                return told.id
        return None

    def versions(self, place: str | None) -> list[Told]:
        """What stands of a telling, and of what has been told in its place."""
        stands = self.changes.standing.stands
        there = (told for told in self.shown.tellings.values() if all(map(stands, told.outcomes)))
        return [told for told in there if place in (told.id, told.retells)]

    def one_since(self, stream: WatchedStream) -> bool:
        """Whether one telling is under way since before it was opened, and was the only one."""
        opened = stream.opened_at or 0.0
        since = [
            told
            for told in self.shown.tellings.values()
            if told.ended_at is None or told.ended_at >= opened
        ]
        return len(since) == 1 and since[0].end is None and (since[0].began or 0.0) <= opened

    def unheard(self) -> list[Told]:
        """The tellings under way of which nothing has reached a viewer."""
        there = self.shown.tellings.values()
        return [told for told in there if told.first is None and told.ended_at is None]

    def heard(self) -> list[Told]:
        """The tellings under way of which something has."""
        there = self.shown.tellings.values()
        return [told for told in there if told.first is not None and told.ended_at is None]

    def tells_again(self, stream: WatchedStream) -> bool:
        """Whether a stream that is just opened tells again what happened."""
        about = asked(stream.request)
        if about.get("again") or stream.request.purpose is Purpose.PREFETCH:
            return bool(about.get("again"))
        wished = [each.again for each in self.under_way.values() if each.again]
        return any(about.get("known") in self.told_with(outcome)[1] for outcome in wished)

    def late(self, happening: Happening) -> bool:
        """Whether its deadline is over; one that falls into a sleep is when the process wakes."""
        until = happening.at + self.settings.deadline
        for fell, woke in self.asleep:
            if fell <= until and woke >= happening.at:
                until = max(until, woke)
        return self.now() > until + EPSILON

    def may_be_cut(self, happening: Happening) -> bool:
        """Whether its telling may be ended before it is whole."""
        undone = any(happening.at <= at for at in self.rewinds)
        closing = self.closing or self.session._entry.closed
        overlaps = self.settings.overlap
        every = [overlaps] if isinstance(overlaps, Overlap) else overlaps.values()
        interrupts = Overlap.INTERRUPT in every
        return interrupts or happening.cancelled or closing or undone

    def bound(self, stream: WatchedStream, at: float) -> bool:
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

    def wanted(self, stream: WatchedStream) -> bool:
        """Whether an outcome that is not told yet could have taken it over."""
        doing = {(entry["actor"], entry["action"]) for entry in entries_of(stream)}
        return any((each.actor, each.action) in doing for each in self.under_way.values())

    def told_from(self, stream: WatchedStream) -> bool:
        """Whether something that happened since it was opened could have been told from it."""
        doing = {(entry["actor"], entry["action"]) for entry in entries_of(stream)}
        since = stream.opened_at or 0.0
        return any(
            each.at >= since and (each.actor, each.action) in doing
            for each in self.happenings.values()
        )

    def restless(self, stream: WatchedStream) -> bool:
        """Whether too many before it were revoked: then it is told as it was asked for."""
        if stream.request.purpose is Purpose.PREFETCH:
            return False
        deeds = set(map(deed_of, entries_of(stream)))
        alike: Iterable[WatchedStream] = (
            each
            for each in self.streams
            if each.request.purpose is not Purpose.PREFETCH
            and not deeds.isdisjoint(map(deed_of, entries_of(each)))
        )
        return len(list(alike)) > PATIENT
