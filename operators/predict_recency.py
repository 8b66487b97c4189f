"""By recency: what one did last, before that, or not yet; and then what others did.

The keys one used stand in a line, the last one first; behind it stand those of its kind, of its
side, and of anyone. What is learned is which place of a line comes next, or that it is none of it,
and so one of the next line. It is learned of all actors together, and knows no names: "the same as
last time" and "one of the last three" are the first places.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .predictors import Event, Key, Scopes, key_of
from .seen import Seen

__all__ = ["Recency"]

PLACE = (0, 1, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5)
"""The place of each rank; ranks of one place are worth the same."""

LENGTH = len(PLACE)
NOT_HERE = 6
SIZES = [
    [[*(PLACE[:n].count(place) for place in range(NOT_HERE)), more] for n in range(LENGTH + 1)]
    for more in (0, 1)
]
"""For a line so long, how many ranks each place has; the last: is there anything behind it."""

NO_ONE: dict[Key, None] = {}

START = (4.0, 1.0, 0.7, 0.5, 0.7, 0.7, 2.0, 9.6)
"""What each place and the lines behind count at first, in events; and all together."""

TOTAL = NOT_HERE + 1

REST = tuple(each / 100.0 for each in START)
"""What of that is never forgotten: however regular it has been, no place becomes impossible."""

PRESENT = [[[n for n, size in enumerate(row) if size] for row in rows] for rows in SIZES]
LEFT = [[math.fsum(REST[n] for n in places) for places in rows] for rows in PRESENT]
"""The places that such a line has, and what of them is never forgotten."""

GROWTH = 1.01
"""How much more each event weighs than the one before it."""

HIGH = 1e100
NOTHING = (0.0,) * len(START)
ANY_LENGTH, LONG = -1, 6
"""What is learned of lines of any length, and of those of so many keys or more."""

PRIOR = 10.0
"""How many events with a line so long weigh as much as all with lines of any length."""

_Level = tuple[int, str]


class Recency:
    """Lines of what was used last, and how often each place of them came next.

    :param limit: the most actors, kinds and sides that are remembered, and keys told apart.
    """

    voices: tuple[str, ...] = ("recency",)

    def __init__(self, limit: int = 200_000) -> None:
        self._limit = limit
        self._lines: OrderedDict[_Level, dict[Key, None]] = OrderedDict()
        self._known = Seen(limit)
        self._counts: dict[tuple[int, int], list[float]] = {}
        self._unit = 1.0

    def learn(self, event: Event) -> list[float]:
        """The probability it gave to the key; then learn its place, and move it to the front."""
        key = event.key
        levels = _levels(event.scopes)
        given = 0.0
        if self._known.add(key):
            given = self._find(key, levels)
            self._grow()
        for level in levels:
            self._to_front(level, key)
        return [given]

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Key]:
        """The keys of the lines, from the front."""
        found: dict[Key, None] = {}
        for level in _levels(scopes):
            found.update(dict.fromkeys(reversed(self._lines.get(level, NO_ONE))))
            if len(found) >= k:
                break
        return found

    def weigh(self, now: float, keys: Sequence[Key], scopes: Scopes) -> list[list[float]]:
        """The probabilities of these keys."""
        found: dict[Key, float] = {}
        left = 1.0
        for level in _levels(scopes):
            line = [key for key in reversed(self._lines.get(level, NO_ONE)) if key not in found]
            if line:
                many = len(line)
                behind = len(self._known) > len(found) + many
                worth = self._worth(level[0], many, behind)
                found |= {key: left * worth[place] for key, place in zip(line, PLACE, strict=False)}
                left *= worth[NOT_HERE]
        elsewhere = left / max(1, len(self._known) - len(found))
        return [[found.get(key, elsewhere) for key in keys]]

    def _find(self, key: Key, levels: Sequence[_Level]) -> float:
        """The probability of the key; each line that was gone along learns where it was."""
        passed: dict[Key, None] = {}
        left = 1.0
        for level in levels:
            line = self._lines.get(level, NO_ONE)
            if passed:
                line = {each: None for each in line if each not in passed}
            if not line:
                continue
            circle, many = level[0], len(line)
            place = PLACE[many - 1 - [*line].index(key)] if key in line else NOT_HERE
            behind = len(self._known) > len(passed) + many
            left *= self._share(circle, many, behind, place)
            self._count(circle, many, place)
            if place != NOT_HERE:
                return left
            passed.update(line)
        return left / max(1, len(self._known) - len(passed))

    def _share(self, circle: int, many: int, behind: bool, place: int) -> float:
        """For a line so long the probability of a key at this place, or of none of the line.

        :param behind: whether there are keys that stand in none of the lines so far.
        """
        overall, known, scale, rest, whole = self._counted(circle, many, behind)
        size = SIZES[behind][many][place]
        here = scale * (overall[place] + rest * REST[place]) + known[place]
        return here / (whole * size) if size else 0.0

    def _worth(self, circle: int, many: int, behind: bool) -> list[float]:
        """The same for all places; the last is that of none of the line."""
        overall, known, scale, rest, whole = self._counted(circle, many, behind)
        return [
            (scale * (first + rest * least) + more) / (whole * size) if size else 0.0
            for first, least, more, size in zip(
                overall, REST, known, SIZES[behind][many], strict=False
            )
        ]

    def _counted(
        self, circle: int, many: int, behind: bool
    ) -> tuple[Sequence[float], Sequence[float], float, float, float]:
        """Counts with lines of any length, and with such; and what all places of one come to.

        Between these: what the former are scaled by, and how much of :data:`REST` they have more.
        """
        unit = self._unit
        overall = self._counts.get((circle, ANY_LENGTH), START)
        rest = 0.0 if overall is START else unit
        known = self._counts.get((circle, min(LONG, many)), NOTHING)
        scale = PRIOR * unit / (overall[TOTAL] + rest * REST[TOTAL])
        everywhere, here = rest * LEFT[behind][many], 0.0
        for place in PRESENT[behind][many]:
            everywhere += overall[place]
            here += known[place]
        return overall, known, scale, rest, scale * everywhere + here

    def _count(self, circle: int, many: int, place: int) -> None:
        """One more at ``place``. What is new weighs more, so that nothing old has to be touched."""
        for length, start in ((ANY_LENGTH, START), (min(many, LONG), NOTHING)):
            known = self._counts.get((circle, length))
            if known is None:
                known = [each * self._unit for each in start]
                self._counts[circle, length] = known
            known[place] += self._unit
            known[TOTAL] += self._unit

    def _grow(self) -> None:
        self._unit *= GROWTH
        if self._unit > HIGH:
            for counts in self._counts.values():
                counts[:] = [each / self._unit for each in counts]
            self._unit = 1.0

    def _to_front(self, level: _Level, key: Key) -> None:
        line = self._lines.get(level)
        if line is None:
            self._lines[level] = {key: None}
            if len(self._lines) > self._limit:
                self._lines.popitem(last=False)
            return
        self._lines.move_to_end(level)
        line.pop(key, None)
        line[key] = None
        if len(line) > LENGTH:
            del line[next(iter(line))]

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {
            "lines": [[*level, [*line]] for level, line in self._lines.items()],
            "known": self._known.to_json(),
            "unit": self._unit,
            "counts": [[*standing, counts] for standing, counts in self._counts.items()],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what is none of it.
        """
        lines = (
            ((int(n), str(name)), dict.fromkeys(map(key_of, line)))
            for n, name, line in saved["lines"]
        )
        self._lines = OrderedDict(lines)
        self._known.restore(saved["known"])
        self._unit = float(saved["unit"])
        self._counts = {(int(n), int(m)): _places(counts) for n, m, counts in saved["counts"]}


def _levels(scopes: Scopes) -> list[_Level]:
    """The lines that stand one behind the other, each with its circle; 0 is one's own."""
    if not scopes:
        return [(0, "")]
    return [*enumerate(scopes[:3]), (3, "")]


def _places(saved: Any) -> list[float]:
    if isinstance(saved, list) and len(saved) == len(START):
        return [float(each) for each in saved]
    raise ValueError(f"{str(saved)[:40]!r} are no counts of places")
