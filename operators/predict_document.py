"""The formula of the document: how popular a key is, at this hour, on this day, after the last.

    score = 0.3 overall + 0.4 at this hour × weight of the hour + 0.2 on this weekday + 0.1 sequence

Each is a share of the events of its sort, from 0 to 1, not a count: so the scores of all keys add
up to no more than 0.6 + 0.4 × weight, and a score by that sum is a probability. Where there is
nothing to go by (an hour without events, a key that nothing followed yet) that part is left out
of both.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, tzinfo
from itertools import repeat
from typing import Any, NamedTuple

from .follows import NONE, Follows
from .hours import HOUR_WEIGHTS, SLOT, Hours, hour_weights
from .predictors import ANYONE, Event, Key, Scopes, Token, best, summed, token_of
from .tally import Tally

__all__ = ["HOUR", "OVERALL", "SEQUENCE", "WEEKDAY", "Document", "Scored"]

OVERALL, HOUR, WEEKDAY, SEQUENCE = 0.3, 0.4, 0.2, 0.1

_Part = tuple[float, Mapping[Token, float], float]


class Scored(NamedTuple):
    """A key, its score by the formula, and the probability that this stands for."""

    key: Key
    score: float
    probability: float


class Document:
    """The document's formula, streaming. It looks at what was needed, and not by whom.

    :param zone: whose hours and weekdays; the document's are UTC's.
    :param weights: of periods of hours, ``{"9-11": 1.5}``.
    :raises ValueError: for periods or weights that are none.
    """

    voices: tuple[str, ...] = ("document",)

    def __init__(
        self, zone: tzinfo = UTC, weights: Mapping[str, float] = HOUR_WEIGHTS, limit: int = 200_000
    ) -> None:
        self.hours = Hours(zone)
        self.weights = hour_weights(weights)
        self.overall = Tally(limit=limit)
        self.by_hour = [Tally(limit=limit) for _ in range(24)]
        self.by_day = [Tally(limit=limit) for _ in range(7)]
        self.follows = Follows(limit, width=256)
        self.last: Token = None
        self._slot = math.nan
        self._here = self.by_hour[0]
        self._tallies: tuple[tuple[float, Tally], ...] = ()

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability it gave to the key; then learn that it came."""
        if t // SLOT != self._slot:
            self._turn(t)
        score = whole = 0.0
        for share, tally in self._tallies:
            total = tally.total
            before = tally.add(key)
            if share and total:
                score += share * before / total
                whole += share
        if self.last is not None:
            count, came, _ = self.follows.add(self.last, key)
            if came:
                score += SEQUENCE * count / came
                whole += SEQUENCE
        self.last = key
        return [score / whole if whole else 0.0]

    def _turn(self, t: float) -> None:
        """Learn of this hour and weekday from now on."""
        self._slot, (hour, day) = t // SLOT, self.hours(t)
        self._here = self.by_hour[hour]
        self._tallies = (
            (OVERALL, self.overall),
            (HOUR * self.weights[hour], self._here),
            (WEEKDAY, self.by_day[day]),
        )

    def observe(self, event: Event) -> None:
        """Learn that ``event.key`` was needed."""
        self.learn(*event)

    def observe_all(self, times: Sequence[float], keys: Sequence[Key]) -> None:
        """Learn many events at once, as :meth:`observe` does one by one, and much faster."""
        when = [*map(self.hours, times)]
        sorts: list[tuple[Tally, Sequence[Key]]] = [(self.overall, keys)]
        for at, tallies in enumerate((self.by_hour, self.by_day)):
            split: list[list[Key]] = [[] for _ in tallies]
            for moment, key in zip(when, keys, strict=True):
                split[moment[at]].append(key)
            sorts += zip(tallies, split, strict=True)
        for tally, found in sorts:
            for key, many in Counter(found).items():
                tally.add(key, many)
        last, add = self.last, self.follows.add
        for key in keys:
            if last is not None:
                add(last, key)
            last = key
        self.last = last

    def count(self, key: Token, hour: int, day: int, many: int) -> None:
        """Learn that it was needed so many times at this hour on this weekday (0 is Monday)."""
        for tally in (self.overall, self.by_hour[hour], self.by_day[day]):
            tally.add(key, many)

    def predict(self, now: float, k: int, scopes: Scopes = ANYONE) -> list[tuple[Key, float]]:
        """The ``k`` most probable keys, most probable first."""
        return [(each.key, each.probability) for each in self.scored(now, k)]

    def probability(self, event: Event) -> float:
        """The probability of this event to come next; 0 for a key never seen."""
        return self._share(event.key, self._parts(event.t))

    def scored(self, now: float, k: int) -> list[Scored]:
        """The ``k`` best by the formula, with scores and probabilities; for ``k`` below 1 none."""
        if k < 1:
            return []
        parts = self._parts(now)
        whole = math.fsum(share for share, _, _ in parts)
        weighed = ((key, self._share(key, parts)) for key in self.propose(now, 2 * k, ANYONE))
        return [Scored(key, share * whole, share) for key, share in best(weighed, k)]

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Token]:
        """The greatest of each part: all of the first, and half as many of the others."""
        hour, day = self.hours(now)
        half = k // 2 + 1
        found = dict.fromkeys(self.overall.greatest(k))
        for tally in (self.by_hour[hour], self.by_day[day]):
            found.update(dict.fromkeys(tally.greatest(half)))
        if self.last is not None:
            found.update(dict.fromkeys(self.follows.after(self.last).greatest(half)))
        return found

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """The probabilities of these keys."""
        parts = self._parts(now)
        whole = math.fsum(share for share, _, _ in parts)
        rows = [
            (share / (total * whole), map(counts.get, keys, repeat(0)))
            for share, counts, total in parts
        ]
        return [summed(rows, len(keys))]

    def _share(self, key: Token, parts: Sequence[_Part]) -> float:
        score = whole = 0.0
        for share, counts, total in parts:
            score += share * counts.get(key, 0) / total
            whole += share
        return score / whole if whole else 0.0

    def _parts(self, now: float) -> list[_Part]:
        """What each part that has events counts, its counts, and what they add up to."""
        hour, day = self.hours(now)
        here, today = self.by_hour[hour], self.by_day[day]
        after = self.follows.after(self.last) if self.last is not None else NONE
        parts = (
            (OVERALL, self.overall.weights, self.overall.total),
            (HOUR * self.weights[hour], here.weights, here.total),
            (WEEKDAY, today.weights, today.total),
            (SEQUENCE, after.keys, after.total),
        )
        return [part for part in parts if part[0] and part[2]]

    def to_json(self) -> dict[str, Any]:
        """All its counts."""
        return {
            "overall": self.overall.to_json(),
            "hours": [tally.to_json() for tally in self.by_hour],
            "days": [tally.to_json() for tally in self.by_day],
            "follows": self.follows.to_json(),
            "last": self.last,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what is none of it.
        """
        self.overall.restore(saved["overall"])
        for tallies, counts in ((self.by_hour, saved["hours"]), (self.by_day, saved["days"])):
            for tally, each in zip(tallies, counts, strict=True):
                tally.restore(each)
        self.follows.restore(saved["follows"])
        self.last = None if saved["last"] is None else token_of(saved["last"])
