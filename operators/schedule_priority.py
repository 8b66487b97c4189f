"""How soon: the base priority of a kind, moved up and down by what is known of an item."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .schedule_items import Priority, Urgency

__all__ = ["OVERRIDDEN", "Modifier", "override_of", "priority_of"]

SURE, UNSURE = 0.9, 0.6
LATELY = 300.0
"""Seconds."""
OFTEN = 5


class Modifier(NamedTuple):
    """What moves a priority, and by how much: -1 is one sooner."""

    by: int
    why: str


URGENCY: Mapping[Urgency, Modifier | None] = {  # 1-16
    Urgency.CRITICAL: Modifier(-1, "urgency is critical"),
    Urgency.HIGH: None,
    Urgency.MEDIUM: None,
    Urgency.LOW: Modifier(+1, "urgency is low"),
}
HIGH_CONFIDENCE = Modifier(-1, "confidence above 0.9")
LOW_CONFIDENCE = Modifier(+1, "confidence below 0.6")
RECENT = Modifier(-1, "accessed in the last 5 minutes")
FREQUENT = Modifier(-1, "used more than 5 times today")
OVERRIDDEN = (Modifier(0, "priority overridden"),)
LEVELS = tuple(Priority)


def priority_of(
    base: Priority, urgency: Urgency, confidence: float, age: float | None, uses: int
) -> tuple[Priority, tuple[Modifier, ...]]:
    """The priority of an item, from P0 to P4, and what has moved it [1-15 … 1-19].

    :param age: seconds since it was last accessed; ``None`` if it never was.
    :param uses: how often it was used today.
    """
    found = []
    pressing = URGENCY[urgency]
    if pressing is not None:
        found.append(pressing)
    if confidence > SURE:
        found.append(HIGH_CONFIDENCE)
    elif confidence < UNSURE:
        found.append(LOW_CONFIDENCE)
    if age is not None and age <= LATELY:
        found.append(RECENT)
    if uses > OFTEN:
        found.append(FREQUENT)
    if not found:
        return base, ()
    level = int(base)
    for modifier in found:
        level += modifier.by
    return LEVELS[0 if level < 0 else min(level, 4)], tuple(found)


def override_of(
    override: Priority | Mapping[str, Priority] | None, key: str, kind: str
) -> Priority | None:
    """The priority that is set for an item: for all, by its key, or by its kind."""
    if override is None or isinstance(override, Priority):
        return override
    return override.get(key, override.get(kind))
