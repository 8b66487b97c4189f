"""A session's speculation, planned by the scheduler: which of the wanted variants are prepared."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from .predict import Variant
from .schedule import schedule
from .schedule_given import Constraints, State
from .schedule_items import BUILT_IN, Item, Kind, Kinds, Priority, Urgency
from .schedule_plan import Plan
from .schedule_worth import Learned

__all__ = ["fitted", "urgency_of", "variant_kinds"]

SURE = 0.75
"""From here on what is spoken of is as urgent as what is declared."""

LIMIT_MS = 60_000.0
MOST_NAMED = 120


def variant_kinds(
    tokens: int, least: float | None = None, others: Mapping[str, Kind] = BUILT_IN
) -> Kinds:
    """The kinds of a session: its variants are generated each by itself.

    :param tokens: what one may cost, before any has been seen.
    :param least: how likely an action has to be.
    :param others: the kinds of its content.
    """
    one = Kind("variant", Priority.IMMEDIATE, 2.0, tokens, 0.0, LIMIT_MS, apart=True, least=least)
    return Kinds([*others.values(), one])


def fitted(
    wanted: Sequence[Variant],
    constraints: Constraints,
    under_way: Callable[[Variant], bool],
    learned: Mapping[str, Learned],
    kinds: Mapping[str, Kind],
    content: Sequence[Item] = (),
    state: State | None = None,
) -> tuple[tuple[Variant, ...], Plan, Plan]:
    """Of the wanted variants those that fit, the most wanted first; and the plan that says why.

    ::

        wanted     (hit miss critical)  of one action: a moment
        content    (sea hag, mira)
        plan       hit, sea hag, miss   what of it fits into the tokens of a round
        prepared   (hit miss)

    :param under_way: whether one is there, or being written: it stays, and spends nothing more.
    :param content: what else the round is for, and ``state``, how things are with that.
    :return: what to prepare, the plan of it, and that of the content.
    """
    items: dict[str, Variant] = {}
    pending: list[str] = []
    predictions = []
    for number, variant in enumerate(wanted):
        turn, action, target, result = variant.slot
        declared = variant.declared
        done = declared.action.get("name") or declared.action.get("type")
        whom = "" if target is None else f" → {target}"
        key = f"{number:03} {declared.actor}: {done}{whom}: {result}"[:MOST_NAMED]
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
    if state is None:
        state = State(pending_loads=frozenset(pending), learned=learned)
    else:
        state = replace(
            state,
            pending_loads=state.pending_loads.union(pending),
            learned={**state.learned, **learned},
        )
    plan = schedule([*predictions, *content], constraints, state, kinds)
    own = plan.only(lambda key: key in items)
    kept = [entry.keys[0] for entry in own.entries if entry.keys[0] in plan.wanted]
    if (least := kinds["variant"].least) is not None:
        constraints = replace(constraints, min_confidence_for_prefetch=least)
    rest = plan.only(lambda key: key not in items)
    return tuple(items[key] for key in kept), Plan(own.entries, constraints), rest


def urgency_of(expected: float) -> Urgency:
    """By how soon it is expected: declared, or spoken of beyond doubt; spoken of; or neither."""
    if expected >= SURE:
        return Urgency.CRITICAL
    return Urgency.HIGH if expected > 0 else Urgency.MEDIUM


def _share(value: float) -> float:
    """A probability that was multiplied with others, or that a game has given; NaN is none."""
    return min(1.0, max(0.0, value))
