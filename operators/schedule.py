"""The prefetch scheduler: what to fetch ahead, when, and how much [1-67].

A function and nothing else: it keeps nothing, asks nobody, and says why.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

from .schedule_given import Constraints, State
from .schedule_items import BUILT_IN, Item, Kind, Kinds, Priority, Urgency, circle_of
from .schedule_plan import Entry, Lane, Plan, Verdict
from .schedule_priority import OVERRIDDEN, Modifier, override_of, priority_of
from .schedule_worth import Costs, Learned, cost_of, value_of

__all__ = [
    "BUILT_IN",
    "Constraints",
    "Costs",
    "Entry",
    "Item",
    "Kind",
    "Kinds",
    "Lane",
    "Learned",
    "Modifier",
    "Plan",
    "Priority",
    "State",
    "Urgency",
    "Verdict",
    "schedule",
]

CERTAIN = 1.0 - 1e-9
URGENCIES = tuple(Urgency)

LANES = (Lane.IMMEDIATE, Lane.IMMEDIATE, Lane.EAGER, Lane.BACKGROUND, Lane.DEFERRED)
"""By priority."""


class _Unit(NamedTuple):
    """What is prepared together; ``known`` says why it need not be."""

    items: tuple[Item, ...]
    confidence: float
    known: Verdict | None


def schedule(
    predictions: Iterable[Item],
    constraints: Constraints | None = None,
    state: State | None = None,
    kinds: Mapping[str, Kind] = BUILT_IN,
) -> Plan:
    """What to prefetch, and why.

    ::

        predictions ─► needed ─► priority, value, cost ─► order ─► fit into the budgets ─► plan

    What is cached or on its way is not needed. Items of one moment are one: their confidence is
    the sum, their cost the shared one. The order is by priority, P0 first, then by value for each
    token, then by name; what does not fit is left, and what comes after it and fits is taken. So
    the order of ``predictions`` changes nothing, no budget is exceeded, and what a greater budget
    loses stands after something it has won.

    :param constraints: the budgets; the defaults, if none are given.
    :param state: what is cached, and so on; nothing, if none is given.
    :param kinds: the kinds of item there are.
    :raises ValueError: for an unknown kind, two items of one name, alternatives in a circle.
    """
    constraints = constraints or Constraints()
    state = state or State()
    items = list(predictions)
    _check(items, kinds)
    named = dict.fromkeys(item.kind for item in items)
    kinds = {name: kinds[name] for name in named}  # looked into often
    weighed = [_weighed(unit, constraints, state, kinds) for unit in _units(items, state, kinds)]
    weighed.sort(key=_order)
    return Plan(tuple(_fitted(weighed, constraints)), constraints, state.context)


def _fitted(weighed: list[Entry], constraints: Constraints) -> Iterator[Entry]:
    """The entries in their order, each with what of the budgets it has found."""
    tokens = constraints.token_budget
    us = math.floor(1000 * constraints.time_budget_ms)  # whole microseconds add up exactly
    for entry in weighed:
        if entry.verdict is not Verdict.FITS and entry.verdict is not Verdict.DOUBTED:
            yield entry
            continue
        lane: Lane | None = entry.lane
        verdict: Verdict = entry.verdict
        takes = math.ceil(1000 * entry.ms)
        if entry.tokens > tokens:
            lane, verdict = None, Verdict.TOKENS
        elif takes > us:
            lane, verdict = None, Verdict.TIME
        yield Entry(*entry[:8], lane, verdict, tokens, us / 1000)
        if lane is not None:
            tokens -= entry.tokens
            us -= takes


def _order(entry: Entry) -> tuple[int, float, tuple[str, ...]]:
    return entry.priority, -entry.value / entry.tokens, entry.keys


def _units(items: list[Item], state: State, kinds: Mapping[str, Kind]) -> Iterable[_Unit]:
    """The items, each by itself or with those of its moment."""
    moments: dict[str, list[Item]] = {}
    for item in items:
        if item.together is None:
            yield _Unit((item,), item.confidence, _known(item, state))
        else:
            moments.setdefault(item.together, []).append(item)
    for moment in moments.values():
        said = [item.moment for item in moment if item.moment is not None]
        confidence = max(said) if said else min(1.0, math.fsum(item.confidence for item in moment))
        needed = []
        for item in moment:
            known = _known(item, state)
            if known is None and not kinds[item.kind].apart:
                needed.append(item)
            else:
                yield _Unit((item,), confidence, known)
        if needed:
            yield _Unit(tuple(sorted(needed, key=lambda item: item.key)), confidence, None)


def _known(item: Item, state: State) -> Verdict | None:
    if item.key in state.cached_items:
        return Verdict.CACHED
    if item.key in state.pending_loads:
        return Verdict.PENDING
    return Verdict.UNAVAILABLE if item.key in state.unavailable else None


def _weighed(
    unit: _Unit, constraints: Constraints, state: State, kinds: Mapping[str, Kind]
) -> Entry:
    """An entry with its priority, value and cost, which fits for all that is known so far."""
    items, confidence, verdict = unit
    base, priority, modifiers = _priority(items, confidence, constraints, state, kinds)
    lane: Lane | None = None
    if verdict is None:
        if confidence < _least(items, constraints, kinds):
            verdict = Verdict.UNLIKELY
        elif not constraints.speculative and confidence < CERTAIN:
            verdict = Verdict.UNCERTAIN
        else:
            lane, verdict = LANES[priority], Verdict.FITS
            if lane is Lane.DEFERRED:
                verdict = Verdict.DEFERRED
            elif priority <= 2 and confidence < constraints.min_confidence_for_immediate:
                lane, verdict = Lane.BACKGROUND, Verdict.DOUBTED
    tokens, ms = cost_of(items, kinds, state.learned)
    value = value_of(items, kinds)
    return Entry(
        items, confidence, base, priority, modifiers, value, tokens, ms, lane, verdict, 0, 0.0
    )


def _least(items: tuple[Item, ...], constraints: Constraints, kinds: Mapping[str, Kind]) -> float:
    """How likely what is prepared together has to be: as little as the most lenient of it."""
    least = kinds[items[0].kind].least
    if least is None and len(items) == 1:
        return constraints.min_confidence_for_prefetch
    every = constraints.min_confidence_for_prefetch
    own = [kinds[item.kind].least for item in items]
    return min(every if each is None else each for each in own)


def _priority(
    items: tuple[Item, ...],
    confidence: float,
    constraints: Constraints,
    state: State,
    kinds: Mapping[str, Kind],
) -> tuple[Priority, Priority, tuple[Modifier, ...]]:
    """The base of what is prepared together, its priority, and what has moved it.

    It is as urgent, as recent and as frequent as any of it.
    """
    override = constraints.priority_override
    if override is not None:
        set_to = [override_of(override, item.key, item.kind) for item in items]
        if any(each is not None for each in set_to):
            first = min(each for each in set_to if each is not None)
            return min(kinds[item.kind].base for item in items), first, OVERRIDDEN
    accessed, used = state.accessed, state.used_today
    if len(items) == 1:
        item = items[0]
        base, urgency = kinds[item.kind].base, item.urgency
        age, uses = accessed.get(item.key), used.get(item.key, 0)
    else:
        base = min(kinds[item.kind].base for item in items)
        urgency = min((item.urgency for item in items), key=URGENCIES.index)
        age = min((accessed[item.key] for item in items if item.key in accessed), default=None)
        uses = max(used.get(item.key, 0) for item in items)
    priority, modifiers = priority_of(base, urgency, confidence, age, uses)
    return base, priority, modifiers


def _check(items: list[Item], kinds: Mapping[str, Kind]) -> None:
    """Raise for items that no plan can be made of; for whichever comes first by name."""
    unknown = [(item.key, item.kind) for item in items if item.kind not in kinds]
    if unknown:
        key, kind = min(unknown)
        raise ValueError(
            f"{key[:60]!r} is of an unknown kind, {str(kind)[:60]!r}; there are {', '.join(kinds)}"
        )
    known = {item.key: item for item in items}
    if len(known) < len(items):
        keys = sorted(item.key for item in items)
        twice = next(one for one, other in pairwise(keys) if one == other)
        raise ValueError(f"two items are called {twice[:60]!r}: say each once")
    if circle := circle_of(known):
        raise ValueError(f"alternatives go in a circle: {' → '.join(circle)[:200]}")
