"""Current values in what was made for a state near the current one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..operators.slots import SLOT, fill

__all__ = ["refilled"]


def refilled(value: Any, values: Mapping[str, Any] | None) -> Any:
    """A value with ``{name}`` filled in all its strings, where ``values`` has the name.

    Other slots stay, for the outcome to fill. A string that is one slot and nothing else becomes
    the value itself: ``{"x": "{goblin_x}"}`` becomes ``{"x": 12}``.
    """
    if not values:
        return value
    if isinstance(value, str):
        whole = SLOT.fullmatch(value)
        if whole is not None and whole[1] in values:
            return values[whole[1]]
        return SLOT.sub(lambda slot: fill(slot[0], values) if slot[1] in values else slot[0], value)
    if isinstance(value, list):
        return [refilled(each, values) for each in value]
    if isinstance(value, dict):
        return {name: refilled(each, values) for name, each in value.items()}
    return value
