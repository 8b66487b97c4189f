"""How good predictions were: hits, log loss, Brier score, and whether 0.7 means seven in ten."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .predictors import Key

__all__ = ["BINS", "Calibration"]

BINS = 10
LEAST = 1e-9
"""A probability is taken as no less, so that one event cannot spoil a mean for ever."""

SHOWN = 0.005
"""Predictions less probable than that are in no row of the reliability table."""


class Calibration:
    """The marks of one predictor over one sequence of events, as they come.

    ``losses``: for each event ``-ln`` of the probability that what came was given. ``ranks``: its
    place among the predictions, from 1; 0 where it was not among them.
    """

    def __init__(self) -> None:
        self.losses: list[float] = []
        self.briers: list[float] = []
        self.ranks: list[int] = []
        self._bins = [[0.0, 0.0, 0.0] for _ in range(BINS)]

    def add(self, predicted: Sequence[tuple[Key, float]], came: Key, probability: float) -> None:
        """One event: what was predicted, what came, and the probability that this was given.

        What came may not be among the predictions; for something never seen before,
        ``probability`` is that of anything new.
        """
        self.losses.append(-math.log(max(probability, LEAST)))
        rank = next((n for n, (key, _) in enumerate(predicted, 1) if key == came), 0)
        self.ranks.append(rank)
        others = [p * p for key, p in predicted if key != came]
        self.briers.append(math.fsum([(1.0 - probability) ** 2, *others]))
        for key, p in predicted:
            self.told(p, came=key == came)

    def told(self, p: float, *, came: bool) -> None:
        """One probability that was told, for the reliability table alone."""
        if p >= SHOWN:
            row = self._bins[min(int(p * BINS), BINS - 1)]
            row[0] += 1
            row[1] += p
            row[2] += came

    def merge(self, other: Calibration) -> None:
        """Take in the marks of another sequence of events."""
        self.losses += other.losses
        self.briers += other.briers
        self.ranks += other.ranks
        for mine, its in zip(self._bins, other._bins, strict=True):
            mine[:] = [a + b for a, b in zip(mine, its, strict=True)]

    def within(self, k: int) -> float:
        """The share of events that were among the first ``k`` predictions."""
        return len([1 for rank in self.ranks if 0 < rank <= k]) / len(self.ranks)

    def reliability(self) -> list[dict[str, float | int]]:
        """For each tenth of probability how many predictions, their mean, and what came of them."""
        return [
            {"predictions": int(n), "mean": round(p / n, 4), "came": round(hits / n, 4)}
            for n, p, hits in self._bins
            if n
        ]

    def error(self) -> float:
        """The mean distance from probability to what came, over all predictions (ECE)."""
        whole = math.fsum(n for n, _, _ in self._bins)
        return math.fsum(abs(p - hits) for _, p, hits in self._bins) / whole if whole else 0.0

    def report(self) -> dict[str, Any]:
        """The marks as plain JSON; log loss in nats."""
        many = len(self.ranks)
        if not many:
            return {"events": 0}
        return {
            "events": many,
            "top1": round(self.within(1), 4),
            "top3": round(self.within(3), 4),
            "coverage": round(len([1 for rank in self.ranks if rank]) / many, 4),
            "log_loss": round(math.fsum(self.losses) / many, 4),
            "brier": round(math.fsum(self.briers) / many, 4),
            "calibration_error": round(self.error(), 4),
            "reliability": self.reliability(),
        }
