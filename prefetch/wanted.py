"""From the probability to be the next query to that of being wanted within the horizon."""

from __future__ import annotations

import math
from collections.abc import Sequence

from ..operators.calibration import Calibration
from ..operators.pace import coming
from ..operators.predictors import Event, Key

__all__ = ["Said", "Wanted"]

Said = tuple[float, list[tuple[Key, float, float]]]
"""At a moment, of some keys: the probability to be the next, and what the formula gave them."""

LEAST = 1e-6

WAYS = tuple((stays, power) for power in (1.0, 0.7, 0.5) for stays in (False, True))
"""Whether the probability to be the next holds for later ones; and as how many, each of which is a
chance of its own, those count: so many to this power, for what is asked for comes in bursts."""


class Wanted:
    """How probably a key is wanted within so many seconds.

    The next query is as its probability says. Of those after it either the same holds, as in
    scenes that keep to a few keys, or the formula's share, as where keys come in turn: of such
    ways counts what would have been best at moments of late.

    ``marks``: how good it was at those moments.
    """

    def __init__(self, horizon: float) -> None:
        self.horizon = horizon
        self.marks = Calibration()
        self._times: list[float] = []
        self._way = WAYS[0]
        self._asked: tuple[float | None, list[tuple[int, float]]] = None, []

    def learn(self, events: Sequence[Event], said: Sequence[Said]) -> None:
        """Take in the newest events, and what was said at moments among them."""
        self._times = sorted(event.t for event in events)
        end = self._times[-1] if events else 0.0
        found: list[list[tuple[float, bool]]] = [[] for _ in WAYS]
        for now, keys in said:
            if now + self.horizon > end:
                continue  # it is not over yet
            came = {event.key for event in events if now < event.t <= now + self.horizon}
            for key, p, share in keys:
                for way, row in zip(WAYS, found, strict=True):
                    row.append((self._needed(p, share, now, way), key in came))
        losses = [_loss(row) for row in found]
        best = losses.index(min(losses))
        self._way = WAYS[best]
        for told, so in found[best]:
            self.marks.told(told, came=so)

    def pace(self, now: float) -> float:
        """How many queries the horizon has."""
        return math.fsum(many * p for many, p in self._coming(now))

    def needed(self, probability: float, share: float, now: float) -> float:
        """The probability to be wanted, of a key by that of being the next and its share."""
        return self._needed(probability, share, now, self._way)

    def _needed(self, p: float, share: float, now: float, way: tuple[bool, float]) -> float:
        stays, power = way
        missed, rest = max(0.0, 1.0 - p), max(0.0, 1.0 - (p if stays else share))
        none = [
            chance * (missed * rest ** ((many - 1) ** power) if many else 1.0)
            for many, chance in self._coming(now)
        ]
        return min(max(0.0, 1.0 - math.fsum(none)), 1.0)

    def _coming(self, now: float) -> list[tuple[int, float]]:
        if self._asked[0] != now:
            self._asked = now, coming(self._times, now, self.horizon)
        return self._asked[1]


def _loss(told: Sequence[tuple[float, bool]]) -> float:
    """In nats, of probabilities that were told and whether it came so."""
    return -math.fsum(math.log(max(p if came else 1.0 - p, LEAST)) for p, came in told)
