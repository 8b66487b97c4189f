"""Numbers as they stand in a text."""

from __future__ import annotations

import math

__all__ = ["numeral"]


def numeral(value: float) -> str | None:
    """A number as it is told: whole without a point, else with four decimals at most.

    ``None`` for what is no such number, and for an integer of more digits than Python writes.
    """
    if isinstance(value, float):
        if not math.isfinite(value):
            return None
        value = round(value, 4)
        if not value.is_integer():
            return f"{value:.4f}".rstrip("0")
        value = int(value)
    try:
        return str(value)
    except ValueError:  # Python writes no integer of more than 4,300 digits
        return None
