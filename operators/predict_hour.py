"""What each hour of the day has of its own, beside the document's formula.

The formula dilutes the hour with what is popular at any hour, so that a habit of the hour is never
more than likely. This goes by the hour alone, as far as that has events:

    p(key) = (count at this hour - 0.75 + 0.75 × different keys at it × share overall) / all at it

What is taken off each key that came (absolute discounting: Ney, Essen and Kneser 1994) goes to what
may come at this hour for the first time.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat

from .hours import SLOT
from .predict_document import Document
from .predictors import Scopes, Token

__all__ = ["Hourly"]

OFF = 0.75
"""Of how much of an event each key that came at an hour gives to those that have not yet."""


class Hourly(Document):
    """The document's formula, and a second voice: the hour, by the same counts."""

    voices: tuple[str, ...] = ("document", "hour")

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability each voice gave to the key; then learn that it came."""
        if t // SLOT != self._slot:
            self._turn(t)
        overall, here = self.overall, self._here
        p = overall.weights.get(key, 0.0)
        if p:
            p /= overall.total
        if total := here.total:
            counts = here.weights
            p *= OFF * len(counts)
            if key in counts:
                p += counts[key] - OFF
            p /= total
        found = Document.learn(self, t, key, scopes)
        found.append(p)
        return found

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """For each voice the probabilities of these keys."""
        here, overall = self.by_hour[self.hours(now)[0]], self.overall
        at_any = map(overall.weights.get, keys, repeat(0.0))
        total = here.total
        if not overall.total:
            hour = [0.0] * len(keys)
        elif not total:
            hour = [count / overall.total for count in at_any]
        else:
            left = OFF * len(here.weights) / (overall.total * total)
            off = OFF / total
            hour = [
                left * count + (came / total - off if came else 0.0)
                for count, came in zip(
                    at_any, map(here.weights.get, keys, repeat(0.0)), strict=True
                )
            ]
        return [*super().weigh(now, keys, scopes), hour]
