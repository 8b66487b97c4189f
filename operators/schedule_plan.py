"""A plan of what to prefetch, which says of every item why it was taken or left."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, StrEnum
from functools import cached_property
from typing import Any, NamedTuple

from .schedule_given import Constraints
from .schedule_items import Item, Priority
from .schedule_priority import Modifier

__all__ = ["Entry", "Lane", "Plan", "Verdict"]


class Lane(StrEnum):
    """Who fetches an item."""

    IMMEDIATE = "immediate"
    """What starts waits for it, for a moment (P0, P1)."""
    EAGER = "eager"
    """At once, beside what starts (P2)."""
    BACKGROUND = "background"
    """When there is room (P3)."""
    DEFERRED = "deferred"
    """Nobody, until it is asked for (P4)."""


class Verdict(Enum):
    """Why an item was taken or left."""

    FITS = "fits: {tokens:,} of {tokens_left:,} tokens left{time}"
    DOUBTED = "fits; in the background, for its confidence is below {immediate:g}"
    DEFERRED = "P4 is loaded on demand only"
    CACHED = "cached already"
    PENDING = "being loaded already"
    UNAVAILABLE = "could not be had a moment ago"
    UNLIKELY = "confidence is below {prefetch:g}"
    UNCERTAIN = "not certain, and speculation is off"
    TOKENS = "does not fit: {tokens:,} tokens, {tokens_left:,} are left"
    TIME = "does not fit: {ms:,.0f} ms, {ms_left:,.0f} are left"


class Entry(NamedTuple):
    """Items that are prepared together, most often one, and what was decided of them.

    ``confidence``: of the whole moment they belong to. ``base`` is where ``modifiers`` have moved
    the ``priority`` from. ``value``: what they would be worth; ``tokens`` and ``ms``: what they
    cost. ``lane``: who fetches them, if anybody. ``tokens_left``, ``ms_left``: of the budgets,
    just before this was decided.
    """

    items: tuple[Item, ...]
    confidence: float
    base: Priority
    priority: Priority
    modifiers: tuple[Modifier, ...]
    value: float
    tokens: int
    ms: float
    lane: Lane | None
    verdict: Verdict
    tokens_left: int
    ms_left: float

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys of its items."""
        if len(self.items) == 1:
            return (self.items[0].key,)
        return tuple(item.key for item in self.items)

    @property
    def taken(self) -> bool:
        """Whether it is fetched without being asked for."""
        return self.lane is not None and self.lane is not Lane.DEFERRED

    @property
    def ratio(self) -> float:
        """Its value by token."""
        return self.value / self.tokens


@dataclass(frozen=True)
class Plan:
    """What to prefetch, in this order, and what not.

    :param entries: all there is, the most wanted first; what is not taken has its place, too.
    :param context: what was going on when it was made, if the session said so.
    """

    entries: tuple[Entry, ...]
    constraints: Constraints
    context: str | None = None

    @cached_property
    def taken(self) -> tuple[Entry, ...]:
        """What is fetched."""
        return tuple(entry for entry in self.entries if entry.taken)

    @cached_property
    def left(self) -> tuple[Entry, ...]:
        """What is not fetched at all."""
        return tuple(entry for entry in self.entries if entry.lane is None)

    @property
    def immediate(self) -> tuple[Entry, ...]:
        """What is fetched at once: P0 to P2 [1-12]."""
        return self.of(Lane.IMMEDIATE, Lane.EAGER)

    @property
    def background(self) -> tuple[Entry, ...]:
        """What is fetched when there is room."""
        return self.of(Lane.BACKGROUND)

    @property
    def deferred(self) -> tuple[Entry, ...]:
        """What is fetched on demand only."""
        return self.of(Lane.DEFERRED)

    def of(self, *lanes: Lane) -> tuple[Entry, ...]:
        """The entries of some lanes."""
        return tuple(entry for entry in self.entries if entry.lane in lanes)

    def only(self, which: Callable[[str], bool]) -> Plan:
        """What of it is of some keys; items of one moment go with the first of them."""
        entries = tuple(entry for entry in self.entries if which(entry.keys[0]))
        return Plan(entries, self.constraints, self.context)

    @property
    def tokens(self) -> int:
        """What it spends of the token budget."""
        return sum(entry.tokens for entry in self.taken)  # ints

    @property
    def ms(self) -> float:
        """What it spends of the time budget, in milliseconds."""
        return math.fsum(entry.ms for entry in self.taken)

    @cached_property
    def critical(self) -> tuple[Item, ...]:
        """What must be there before processing starts: P0, and not cached."""
        return self._critical(but=Verdict.CACHED)

    @cached_property
    def required(self) -> tuple[Item, ...]:
        """The same with what was cached when it was made: it has to be there still."""
        return self._critical()

    def _critical(self, but: Verdict | None = None) -> tuple[Item, ...]:
        return tuple(
            item
            for entry in self.entries
            if entry.priority is Priority.CRITICAL and entry.verdict is not but
            for item in entry.items
        )

    @cached_property
    def wanted(self) -> frozenset[str]:
        """The keys of what is fetched or is being fetched already."""
        return frozenset(
            key
            for entry in self.entries
            if entry.taken or entry.verdict is Verdict.PENDING
            for key in entry.keys
        )

    def why(self, entry: Entry) -> str:
        """Why an entry was taken or left, in words."""
        return entry.verdict.value.format(
            tokens=entry.tokens,
            tokens_left=entry.tokens_left,
            ms=entry.ms,
            ms_left=entry.ms_left,
            time=f", {entry.ms:,.0f} of {entry.ms_left:,.0f} ms" if entry.ms else "",
            prefetch=self.constraints.min_confidence_for_prefetch,
            immediate=self.constraints.min_confidence_for_immediate,
        )

    def as_json(self) -> dict[str, Any]:
        """All of it as plain JSON."""
        return {
            "token_budget": self.constraints.token_budget,
            "time_budget_ms": self.constraints.time_budget_ms,
            "tokens": self.tokens,
            "ms": self.ms,
            "context": self.context,
            "critical": [item.key for item in self.critical],
            "entries": [self._entry(entry) for entry in self.entries],
        }

    def _entry(self, entry: Entry) -> dict[str, Any]:
        return {
            "keys": entry.keys,
            "kinds": list(dict.fromkeys(item.kind for item in entry.items)),
            "taken": entry.taken,
            "strategy": entry.lane,
            "why": self.why(entry),
            "priority": entry.priority.label,
            "base": entry.base.label,
            "modifiers": [{"by": by, "why": why} for by, why in entry.modifiers],
            "confidence": entry.confidence,
            "value": entry.value,
            "tokens": entry.tokens,
            "ms": entry.ms,
            "value_per_token": entry.ratio,
        }
