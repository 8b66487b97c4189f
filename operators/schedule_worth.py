"""How much: what items cost in tokens and time, and what it would be worth to have them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from .fetch_source import CHARACTERS
from .schedule_items import Item, Kind

__all__ = ["Costs", "Learned", "cost_of", "value_of"]

LATEST = 0.2
"""So much of a kind's mean is the latest one."""


class Learned(NamedTuple):
    """What one of a kind has cost of late."""

    tokens: int
    ms: float


class Costs(dict[str, Learned]):
    """What each kind has cost of late, learned as content comes."""

    def observe(self, kind: str, tokens: int, ms: float) -> None:
        """One of a kind came: its tokens, and the milliseconds it took."""
        known = self.get(kind)
        if known is not None:
            tokens = max(1, round(known.tokens + LATEST * (tokens - known.tokens)))
            ms = known.ms + LATEST * (ms - known.ms)
        self[kind] = Learned(max(1, tokens), ms)

    def within(self, tokens: int, ms: float) -> dict[str, Learned]:
        """No more than a round has: what one has cost must not keep others from being tried."""
        return {
            kind: Learned(min(known.tokens, max(1, tokens)), min(known.ms, ms))
            for kind, known in self.items()
        }


def _tokens(item: Item, kind: Kind, learned: Mapping[str, Learned]) -> int:
    if item.tokens is not None:
        return item.tokens
    if item.size is not None:
        return -(-item.size // CHARACTERS)
    known = learned.get(kind.name)
    return kind.tokens if known is None else known.tokens


def _ms(item: Item, kind: Kind, learned: Mapping[str, Learned]) -> float:
    if item.ms is not None:
        return item.ms
    known = learned.get(kind.name)
    return kind.ms if known is None else known.ms


def cost_of(
    items: Sequence[Item], kinds: Mapping[str, Kind], learned: Mapping[str, Learned]
) -> tuple[int, float]:
    """What is prepared together costs: tokens, never 0, and milliseconds of the time budget [1-10].

    What its items share is spent once; they take as long as the longest of them. A kind with a
    limit of its own takes nothing of the time budget.
    """
    if len(items) == 1:
        (item,) = items
        kind = kinds[item.kind]
        timed = _ms(item, kind, learned) if kind.limit_ms is None else 0.0
        return max(1, item.shared + _tokens(item, kind, learned)), timed
    tokens = max(item.shared for item in items)
    ms = 0.0
    for item in items:
        kind = kinds[item.kind]
        tokens += _tokens(item, kind, learned)
        if kind.limit_ms is None:
            ms = max(ms, _ms(item, kind, learned))
    return max(1, tokens), ms


def value_of(items: Sequence[Item], kinds: Mapping[str, Kind]) -> float:
    """What it would be worth to have them: of each its confidence times its kind's worth [1-10]."""
    if len(items) == 1:
        return items[0].confidence * kinds[items[0].kind].worth
    return math.fsum(item.confidence * kinds[item.kind].worth for item in items)
