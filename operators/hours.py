"""Hours and weekdays on someone's clock, and how much each hour counts."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

__all__ = ["HEAVIEST", "HOUR_WEIGHTS", "SLOT", "Hours", "hour_weights"]

HOUR_WEIGHTS: Mapping[str, float] = {
    "9-11": 1.5,
    "11-15": 1.2,
    "15-17": 1.3,
    "17-21": 0.8,
    "21-9": 0.3,
}
"""The document's. A period goes up to, not with, its last hour; midnight may lie in it."""

HEAVIEST = 1_000_000
"""No weight needs to be greater, and sums of these are still numbers."""

SLOT = 900.0
"""Seconds in which the hour cannot change: offsets are whole quarters of an hour."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
FIRST, LAST = -62_000_000_000.0, 253_402_000_000.0
"""Moments that have four digits of a year in every zone."""


def hour_weights(periods: Mapping[str, float]) -> tuple[float, ...]:
    """The weight of each of the 24 hours. An hour in no period counts 1; in two, as the first says.

    :raises ValueError: for a period that is none, or a weight below 0 or above :data:`HEAVIEST`.
    """
    weights: dict[int, float] = {}
    for period, weight in periods.items():
        found = re.fullmatch(r"(\d{1,2})-(\d{1,2})", period)
        first, last = (int(found[1]), int(found[2])) if found else (0, 0)
        if first == last or not (first < 24 and last <= 24):
            raise ValueError(f"{period[:40]!r} is no period of hours, such as 9-11 or 21-9")
        number: Any = weight
        if not (isinstance(number, (int, float)) and 0 <= number <= HEAVIEST):
            raise ValueError(f"{period}: {weight!r} is no weight: choose 0 to {HEAVIEST:,}")
        for hour in range(first, last if first < last else last + 24):
            weights.setdefault(hour % 24, float(weight))
    return tuple(weights.get(hour, 1.0) for hour in range(24))


class Hours:
    """Hour and weekday (0 is Monday) of a moment, in a time zone, daylight saving included."""

    def __init__(self, zone: tzinfo = UTC) -> None:
        self.zone = zone
        self._slot = math.nan
        self._found = 0, 0

    def __call__(self, t: float) -> tuple[int, int]:
        """``t`` in seconds since 1970, UTC; what no calendar has is taken as the nearest it has."""
        slot = t // SLOT
        if slot != self._slot:
            # of the slot's first moment: who rounds a later one could come to the next hour
            local = self.local(slot * SLOT if math.isfinite(slot) else t)
            self._slot, self._found = slot, (local.hour, local.weekday())
        return self._found

    def local(self, t: float) -> datetime:
        """The moment in the time zone."""
        within = 0.0 if math.isnan(t) else min(max(t, FIRST), LAST)
        return (EPOCH + timedelta(seconds=within)).astimezone(self.zone)
