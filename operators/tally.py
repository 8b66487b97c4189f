"""Counts of keys that decay, know their greatest, and stay within bounds."""

from __future__ import annotations

import math
from collections.abc import Mapping
from heapq import nlargest, nsmallest
from typing import Any

from .predictors import Token, token_of

__all__ = ["Tally"]

HIGH = 1e100
"""Weights are scaled down before the newest grows beyond this."""

SPARED = 0.9
"""The share of a full tally that is kept, the greatest of it."""


class Tally:
    """How often each key came, the newer the heavier.

    A new event weighs more than the one before it by a constant factor, and so nothing old is
    ever touched (forward decay: Cormode and others, 2009). The greatest are known at all times, for
    only the key that came can have become one of them. Each costs O(1) on average.

    :param half_life: after how many events an event counts half; ``inf``: all count the same.
    :param limit: the most keys; beyond, the lightest tenth goes.
    :param leaders: how many of the greatest are known at once.
    """

    __slots__ = ("_floor", "_growth", "_leaders", "_limit", "_most", "total", "unit", "weights")

    def __init__(
        self, half_life: float = math.inf, limit: int = 200_000, leaders: int = 48
    ) -> None:
        self.weights: dict[Token, float] = {}
        self.total = 0.0
        self.unit = 1.0
        self._growth = 2.0 ** (1.0 / half_life)
        self._limit = limit
        self._leaders: dict[Token, None] = {}
        self._floor = 0.0
        self._most = leaders

    def __repr__(self) -> str:
        return f"<Tally of {len(self.weights)} keys>"

    def __len__(self) -> int:
        return len(self.weights)

    def add(self, key: Token, many: int = 1) -> float:
        """So many more of ``key``, all of this moment; return what it weighed before."""
        unit, weights = self.unit, self.weights
        if many != 1:
            unit *= many
        before = weights.get(key, 0.0)
        weights[key] = weight = before + unit
        self.total += unit
        if weight > self._floor:
            self._leaders[key] = None
            if len(self._leaders) > 2 * self._most:
                self._select()
        if self._growth > 1.0:
            self.unit *= self._growth
            if self.unit > HIGH:
                self._rescale()
        if not before and len(self.weights) > self._limit:
            self._prune()
        return before

    def share(self, key: Token) -> float:
        """The key's part of the whole, from 0 to 1."""
        return self.weights.get(key, 0.0) / self.total if self.total else 0.0

    def greatest(self, k: int) -> list[Token]:
        """The ``k`` heaviest keys, heaviest first; O(n) for more than are known at once."""
        weights = self.weights
        if k > self._most:
            return nlargest(k, weights, key=weights.__getitem__)
        return sorted(self._leaders, key=weights.__getitem__, reverse=True)[:k]

    def _select(self) -> None:
        """Keep the greatest half of the leaders; who is no heavier than these need not come in."""
        weights = self.weights
        self._leaders = dict.fromkeys(nlargest(self._most, self._leaders, key=weights.__getitem__))
        self._floor = min((weights[key] for key in self._leaders), default=0.0)

    def _rescale(self) -> None:
        scale = 1.0 / self.unit
        self.weights = {key: weight * scale for key, weight in self.weights.items()}
        self.total *= scale
        self._floor *= scale
        self.unit = 1.0

    def _prune(self) -> None:
        weights = self.weights
        many = max(1, len(weights) - int(self._limit * SPARED))
        for key in nsmallest(many, weights, key=weights.__getitem__):
            del weights[key]
            self._leaders.pop(key, None)
        self.total = math.fsum(weights.values())

    def to_json(self) -> dict[str, Any]:
        """All of it: what is restored from it gives the same to the last digit."""
        return {
            "unit": self.unit,
            "total": self.total,
            "floor": self._floor,
            "leaders": [*self._leaders],
            "weights": [[*each] for each in self.weights.items()],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for weights that are none, or leaders without one.
        """
        self.weights = {token_of(key): _weight(weight) for key, weight in saved["weights"]}
        self.unit, self.total, self._floor = (
            _weight(saved[name]) for name in ("unit", "total", "floor")
        )
        self._leaders = dict.fromkeys(map(token_of, saved["leaders"]))
        if not self.unit or not self._leaders.keys() <= self.weights.keys():
            raise ValueError("this is no tally")


def _weight(saved: Any) -> float:
    if isinstance(saved, (int, float)) and math.isfinite(saved) and saved >= 0:
        return float(saved)
    raise ValueError(f"{str(saved)[:40]!r} is no weight")
