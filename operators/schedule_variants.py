"""A session's speculation, planned by the scheduler: which of the wanted variants are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .predict import Variant
from .schedule import schedule
from .schedule_given import Constraints, State
from .schedule_items import Item, Kind, Kinds, Priority, Urgency
from .schedule_plan import Plan
from .schedule_worth import Learned

__all__ = ["fitted", "urgency_of", "variant_kinds"]

SURE = 0.75
"""From here on what is spoken of is as urgent as what is declared."""

LIMIT_MS = 60_000.0
MOST_NAMED = 120


def variant_kinds(tokens: int) -> Kinds:
    """The kinds of a session: its variants are generated each by itself.

    :param tokens: what one may cost, before any has been seen.
    """
    kind = Kind("variant", Priority.IMMEDIATE, 2.0, tokens, 0.0, LIMIT_MS, apart=True)
    return Kinds([kind])


def fitted(
    wanted: Sequence[Variant],
    constraints: Constraints,
    under_way: Callable[[Variant], bool],
    learned: Mapping[str, Learned],
    kinds: Mapping[str, Kind],
) -> tuple[tuple[Variant, ...], Plan]:
    """Of the wanted variants those that fit, the most wanted first; and the plan that says why.

    ::

        wanted     (hit miss critical)  of one action: a moment
        plan       hit, miss            what of it fits into the tokens of a round
        prepared   (hit miss)

    :param under_way: whether one is there, or being written: it stays, and spends nothing more.
    """
    items: dict[str, Variant] = {}
    pending: list[str] = []
    predictions = []
    for number, variant in enumerate(wanted):
        turn, action, target, result = variant.slot
        key = f"{number:03} {action} → {target}: {result}"[:MOST_NAMED]
        items[key] = variant
        if under_way(variant):
            pending.append(key)
        predictions.append(
            Item(
                key,
                "variant",
                _share(variant.value),
                together=f"{turn} {action}",
                urgency=urgency_of(variant.urgency),
                moment=None if variant.likely is None else _share(variant.likely),
                turn=turn,
            )
        )
    state = State(pending_loads=frozenset(pending), learned=learned)
    plan = schedule(predictions, constraints, state, kinds)
    kept = [entry.keys[0] for entry in plan.entries if entry.keys[0] in plan.wanted]
    return tuple(items[key] for key in kept), plan


def urgency_of(expected: float) -> Urgency:
    """By how soon it is expected: declared, or spoken of beyond doubt; spoken of; or neither."""
    if expected >= SURE:
        return Urgency.CRITICAL
    return Urgency.HIGH if expected > 0 else Urgency.MEDIUM


def _share(value: float) -> float:
    """A probability that was multiplied with others, or that a game has given; NaN is none."""
    return min(1.0, max(0.0, value))
