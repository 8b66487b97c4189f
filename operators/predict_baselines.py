"""What any predictor must beat: the same again, and what came most often."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .predictors import Scopes, Token, token_of
from .seen import Seen
from .tally import Tally

__all__ = ["Frequent", "LastUsed"]

LAST = 3
ALMOST = 1e-6
"""How much the two before the last one are preferred to all others, to be named before them."""


class LastUsed:
    """The same as the actor's last, as often as that was true so far; else any other.

    The actor's last three different keys are named first.
    """

    voices: tuple[str, ...] = ("last",)

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._last: OrderedDict[str, list[Token]] = OrderedDict()
        self._known = Seen(limit)
        self._same = [1.0, 2.0]

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability it gave to the key; then learn that it came."""
        who = scopes[0] if scopes else ""
        given = self.weigh(t, [key], scopes)[0][0] if key in self._known else 0.0
        line = self._last.setdefault(who, [])
        if line:
            self._same = [self._same[0] + (line[0] == key), self._same[1] + 1.0]
        self._last[who] = [key, *(each for each in line if each != key)][:LAST]
        self._known.add(key)
        if len(self._last) > self._limit:
            self._last.popitem(last=False)
        return [given]

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Token]:
        """The actor's last ones, and some others."""
        line = self._last.get(scopes[0] if scopes else "", [])
        return dict.fromkeys([*line, *(key for key, _ in zip(self._known, range(k), strict=False))])

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """The probabilities of these keys."""
        line = self._last.get(scopes[0] if scopes else "", [])
        same = self._same[0] / self._same[1]
        many = len(self._known)
        if not line or many < 2:
            return [[1.0 / max(1, many)] * len(keys)]
        other = (1.0 - same) / (many - 1)
        worth = {line[0]: same, **dict.fromkeys(line[1:], other * (1.0 + ALMOST))}
        return [[worth.get(key, other) for key in keys]]

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {"last": [*self._last.items()], "known": self._known.to_json(), "same": self._same}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave."""
        last = ((str(who), [*map(token_of, line)]) for who, line in saved["last"])
        self._last = OrderedDict(last)
        self._known.restore(saved["known"])
        self._same = [float(each) for each in saved["same"]]


class Frequent:
    """What came most often, of anyone, ever."""

    voices: tuple[str, ...] = ("frequent",)

    def __init__(self, limit: int = 200_000) -> None:
        self._tally = Tally(limit=limit)

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability it gave to the key; then learn that it came."""
        given = self._tally.share(key)
        self._tally.add(key)
        return [given]

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Token]:
        """The most frequent."""
        return self._tally.greatest(k)

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """The probabilities of these keys."""
        return [[self._tally.share(key) for key in keys]]

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return self._tally.to_json()

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave."""
        self._tally.restore(saved)
