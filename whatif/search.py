"""Searching a handful of settings: from each intensity down, one setting after the other."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from ..config import Settings
from ..operators.predict import Intensity

__all__ = ["SPACE", "Found", "Values", "defaults", "search"]

SPACE: Mapping[str, Sequence[Any]] = MappingProxyType(
    {
        "intensity": (Intensity.OFF, Intensity.CONSERVATIVE, Intensity.AGGRESSIVE),
        "max_variants": (1, 2, 3, 4, 6, 8, 12, 16),
        "max_speculations": (1, 2, 4, 8, 16),
        "quiet": (0.0, 0.02, 0.05, 0.1, 0.25, 0.5),
        "max_wait": (0.05, 0.1, 0.25, 0.5, 1.0),
        "max_prefetch_tokens": (None, 5_000, 20_000, 50_000, 100_000),
    }
)
"""What is searched: settings that decide what is prepared and when, never what a telling says."""

Values = tuple[Any, ...]
"""A value for each setting of ``SPACE``, in its order."""


@dataclass(frozen=True, slots=True)
class Found:
    """The best values, how many were tried, and whether more would have been."""

    values: Values
    tried: int
    cut_short: bool


def defaults(settings: Settings) -> Values:
    """The values that settings have already."""
    return tuple(getattr(settings, name) for name in SPACE)


def search(
    start: Values,
    evaluate: Callable[[Sequence[Values]], Sequence[float]],
    most: int,
    rng: random.Random,
) -> Found:
    """Coordinate descent, begun anew at each intensity, the most promising first.

    A value is taken only if it is strictly better, so a setting that changes nothing stays as it
    was. The same arguments give the same result.

    :param evaluate: what to make small, for several values at once (they may be played together).
    :param most: how many values may be tried.
    """
    known: dict[Values, float] = {}
    cut_short = False

    def best_of(wanted: Sequence[Values]) -> Values:
        nonlocal cut_short
        fresh = [each for each in dict.fromkeys(wanted) if each not in known]
        left = most - len(known)
        cut_short = cut_short or len(fresh) > left
        fresh = fresh[:left]
        if fresh:
            known.update(zip(fresh, evaluate(fresh), strict=True))
        return min(wanted, key=lambda each: known.get(each, math.inf))

    names = list(SPACE)
    level = names.index("intensity")
    levels = [start, *(_with(start, level, each) for each in SPACE["intensity"])]
    best_of(levels)
    order = [at for at in range(len(names)) if at != level]
    rng.shuffle(order)
    reached = [each for each in dict.fromkeys(levels) if each in known]
    for at in sorted(reached, key=known.__getitem__):
        if at[level] is Intensity.OFF:
            continue  # nothing is prepared, so nothing else matters
        better = True
        while better and not cut_short:
            before = at
            for coordinate in order:
                grid = [_with(at, coordinate, each) for each in SPACE[names[coordinate]]]
                at = best_of([at, *filter(_possible, grid)])
            better = at != before
    return Found(min(known, key=known.__getitem__), len(known), cut_short)


def _with(values: Values, at: int, value: Any) -> Values:
    return (*values[:at], value, *values[at + 1 :])


def _possible(values: Values) -> bool:
    named = dict(zip(SPACE, values, strict=True))
    return bool(named["quiet"] <= named["max_wait"])
