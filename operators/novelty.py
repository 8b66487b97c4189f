"""How likely something never seen before is, by how much was seen of who is asked about."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from math import inf
from typing import Any

from .numbers import Numbers
from .predictors import Key, Scopes, frozen

__all__ = ["Novelty"]

FADING = 0.99
PRIOR = 3.0
"""How many events of one standing weigh as much as all standings together."""

LEAST = 0.001
"""Of all standings together, the least probability of something new: it never fades to nothing."""

MOST = 4
"""More different keys of one actor than that make no difference."""


class Novelty:
    """Which keys were seen, and how often an event brought a new one.

    :param limit: the most keys that are remembered, and the most actors.
    """

    def __init__(self, limit: int = 200_000) -> None:
        self.known = Numbers(limit)
        self._own: OrderedDict[str, tuple[int, ...]] = OrderedDict()
        self._rates: dict[int, list[float]] = {-1: [0.5, 1.0]}
        self._limit = limit

    def standing(self, scopes: Scopes) -> int:
        """How many different keys the actor has used, as far as that makes a difference."""
        return len(self._own.get(scopes[0], ())) if scopes else MOST

    def probability(self, scopes: Scopes) -> float:
        """That the next key is one never seen before; 1 before the first."""
        if not self.known:
            return 1.0
        new, all_ = self._rates[-1]
        own, count = self._rates.get(self.standing(scopes), (0.0, 0.0))
        return (own + PRIOR * max(new / all_, LEAST)) / (count + PRIOR)

    def learn(self, key: Key, scopes: Scopes) -> tuple[int, bool, int]:
        """The key's number, whether it was known, and the actor's standing; then learn it."""
        number, known = self.known.newer.get(key), True
        if number is None:
            number, known = self.known.add(key)
        own = self._own.get(scopes[0], ()) if scopes else ()
        standing = len(own) if scopes else MOST
        if number or known:  # of the first nothing could be said
            new, rates = 0.0 if known else 1.0, self._rates
            everyones, ones = rates[-1], rates.get(standing)
            everyones[0] = everyones[0] * FADING + new
            everyones[1] = everyones[1] * FADING + 1.0
            if ones is None:
                rates[standing] = [new, 1.0]
            else:
                ones[0] = ones[0] * FADING + new
                ones[1] = ones[1] * FADING + 1.0
        if standing < MOST and number not in own:
            self._own[scopes[0]] = (*own, number)
            if len(self._own) > self._limit:
                self._own.popitem(last=False)
        return number, known, standing

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {
            "known": self.known.to_json(),
            "own": [*self._own.items()],
            "rates": [*self._rates.items()],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for rates that are none.
        """
        rates = {int(n): [float(a), float(b)] for n, (a, b) in saved["rates"]}
        if -1 not in rates or not all(0.0 <= a <= b and 0.0 < b < inf for a, b in rates.values()):
            raise ValueError(f"{str(saved['rates'])[:100]} are no rates of what is new")
        self.known.restore(saved["known"])
        self._own = OrderedDict((str(who), frozen(keys)) for who, keys in saved["own"])
        self._rates = rates
