"""Habit and word: two ways of telling what comes, weighed by how well each has told it.

    habit     longsword 0.5, bow 0.3, dagger 0.2
    word      bow 1.0                              "I'll shoot the big one"
    mixed     longsword 0.2, bow 0.7, dagger 0.1   by the weights of such words

As an ensemble weighs its voices, by log loss (see ``predict_ensemble``): but that of things which
nobody has done yet, too, for it is these that words tell.
"""

from __future__ import annotations

from collections.abc import Mapping

from .predict_ensemble import reweighed
from .predictors import Key

__all__ = ["Mixing"]

MOST_SORTS = 64


class Mixing:
    """How much words count, apart for each sort of them; both count the same to begin with."""

    def __init__(self) -> None:
        self._weights: dict[str, list[float]] = {}

    def weight(self, sort: str) -> float:
        """What words of a sort count, from 0 to 1."""
        return self._weights.get(sort, (0.5, 0.5))[1]

    def mixed(
        self, sort: str, habit: Mapping[Key, float], word: Mapping[Key, float]
    ) -> dict[Key, float]:
        """The probability of each, by both."""
        weight = self.weight(sort)
        return {key: (1.0 - weight) * p + weight * word.get(key, 0.0) for key, p in habit.items()}

    def learn(
        self, sort: str, came: Key, habit: Mapping[Key, float], word: Mapping[Key, float]
    ) -> None:
        """What came; if it was none of what was offered, neither has told it."""
        if came in habit and len(self._weights) < MOST_SORTS:
            given = [habit[came], word.get(came, 0.0)]
            self._weights[sort] = reweighed(self._weights.get(sort, [0.5, 0.5]), given)
