"""Saving throws: by which abilities, and whose a ``success`` and a ``failure`` are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .health import number

__all__ = ["ABILITIES", "is_save"]

ABILITIES = {
    "str": "strength",
    "dex": "dexterity",
    "con": "constitution",
    "int": "intelligence",
    "wis": "wisdom",
    "cha": "charisma",
}


def is_save(action: Mapping[str, Any], result: str, values: Mapping[str, Any]) -> bool:
    """Whether a result is the saving throw of its target.

    A save is rolled where the action has a ``save``, or the result's values say that its ``test``
    was one; and a ``failure`` with damage is one too, for an attempt that fails hurts nobody. Then
    ``success`` is the target's, which gets off lightly or free, and ``failure`` is, too. Everywhere
    else both are the actor's: the attempt comes off, or it does not.
    """
    if action.get("save") or values.get("test") == "save":
        return True
    return result == "failure" and (number(values.get("damage")) or 0) > 0
