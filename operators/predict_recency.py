"""By recency: what one did last, before that, or not yet; and then what others did.

The keys one used stand in a line, the last one first; behind it stand those of its kind, of its
side, and of anyone. What is learned is which place of a line comes next, or that it is none of it,
and so one of the next line. It is learned of all actors together, and knows no names: "the same as
last time" and "one of the last three" are the first places.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from operator import itemgetter
from typing import Any

from .halves import Halves
from .predictors import Scopes, Token, token_of
from .seen import Seen

__all__ = ["Recency"]

PLACE: Sequence[int] = (0, 1, 2, 3, 4, 4, 4, 4, 5, 5, 5, 5, 5, 5, 5, 5)
"""The place of each rank; ranks of one place are worth the same."""

of_ranks = itemgetter(*PLACE)
"""Of what places are worth, what each rank is."""

LENGTH = len(PLACE)
NOT_HERE = 6
SIZES = [
    [[*(PLACE[:n].count(place) for place in range(NOT_HERE)), more] for n in range(LENGTH + 1)]
    for more in (0, 1)
]
"""For a line so long, how many ranks each place has; the last: is there anything behind it."""

START = [4.0, 1.0, 0.7, 0.5, 0.7, 0.7, 2.0, 9.6]
"""What each place and the lines behind count at first, in events; and all together."""

TOTAL = NOT_HERE + 1

REST: Sequence[float] = tuple(each / 100.0 for each in START)
"""What of that is never forgotten: however regular it has been, no place becomes impossible."""

PRESENT = [[[n for n, size in enumerate(row) if size] for row in rows] for rows in SIZES]
SHAPES = [
    [
        (sizes, [] if len(places) == TOTAL else places, math.fsum(REST[n] for n in places))
        for sizes, places in zip(*rows, strict=True)
    ]
    for rows in zip(SIZES, PRESENT, strict=True)
]
"""With these the places that such a line has, if not all, and what of them is never forgotten."""

GROWTH = 1.01
"""How much more each event weighs than the one before it."""

HIGH = 1e100
NOTHING = [0.0] * len(START)
LONG, ANY_LENGTH, LENGTHS = 6, 7, 8
"""Where counts stand of lines of so many keys or more, and of any length; how many there are."""

ANYONE, CIRCLES = 3, 4
"""The line of all, behind one's own (0), one's kind's and one's side's; and how many that makes."""

CIRCLES_OF: Sequence[Sequence[int]] = ((), (0,), (0, ANYONE), (0, 1, ANYONE), (0, 1, 2, ANYONE))
"""Whose lines they are that stand behind each other, where there are so many."""

PRIOR = 10.0
"""How many events with a line so long weigh as much as all with lines of any length."""

_Line = list[Token]
_Counts = list[float]

_Lines = tuple[_Line, ...]
"""Those that stand one behind the other: of :data:`CIRCLES_OF`."""

MOST_AROUND = 4_096
"""So many actors are remembered with their lines."""


class Recency:
    """Lines of what was used last, and how often each place of them came next.

    :param limit: the most actors that are remembered, the most kinds, the most sides, and the most
        keys told apart.
    """

    voices: tuple[str, ...] = ("recency",)

    def __init__(self, limit: int = 200_000) -> None:
        self._lines: tuple[Halves[_Line], ...] = tuple(Halves(limit) for _ in range(CIRCLES))
        self._around: dict[Scopes, _Lines] = {}
        self._known = Seen(limit)
        self._counts: list[list[_Counts | None]] = [[None] * LENGTHS for _ in range(CIRCLES)]
        self._unit = 1.0

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability it gave to the key; then learn its place, and move it to the front."""
        around = self._around.get(scopes) or self._reached(scopes)
        given = 0.0
        if key in self._known.newer or self._known.add(key):
            given = self._find(key, around)
            self._unit *= GROWTH
            if self._unit > HIGH:
                self._shrink()
        for line in around:
            if key not in line:
                if len(line) == LENGTH:
                    line.pop()
                line.insert(0, key)
            elif line[0] != key:
                line.remove(key)
                line.insert(0, key)
        return [given]

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Token]:
        """The keys of the lines, from the front."""
        found: dict[Token, None] = {}
        for line in self._found(scopes):
            found.update(dict.fromkeys(line))
            if len(found) >= k:
                break
        return found

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """The probabilities of these keys."""
        found: dict[Token, float] = {}
        left = 1.0
        lines = self._found(scopes)
        for circle, whole in zip(CIRCLES_OF[len(lines)], lines, strict=True):
            if line := [key for key in whole if key not in found]:
                many = len(line)
                behind = len(self._known) > len(found) + many
                worth = [left * each for each in self._worth(circle, many, behind)]
                found.update(zip(line, of_ranks(worth), strict=False))
                left = worth[NOT_HERE]
        elsewhere = left / max(1, len(self._known) - len(found))
        return [[found.get(key, elsewhere) for key in keys]]

    def _reached(self, scopes: Scopes) -> _Lines:
        """The lines of an actor, to learn; remembered until something is forgotten."""
        turns = [names.turns for names in self._lines]
        around = tuple(self._lines[at].touch(name, []) for at, name in _circles(scopes))
        if len(self._around) >= MOST_AROUND or [names.turns for names in self._lines] != turns:
            self._around.clear()
        else:
            self._around[scopes] = around
        return around

    def _found(self, scopes: Scopes) -> _Lines:
        """The lines of an actor, as far as there are any."""
        around = self._around.get(scopes)
        if around is None:
            around = tuple(self._lines[at].get(name) or [] for at, name in _circles(scopes))
        return around

    def _find(self, key: Token, around: _Lines) -> float:
        """The probability of the key; each line that was gone along learns where it was."""
        own, all_ = around[0], self._known.many
        if key in own:
            return self._told(0, len(own), all_ > len(own), PLACE[own.index(key)])
        passed: set[Token] = set()
        left, before = 1.0, 0
        for circle, line in zip(CIRCLES_OF[len(around)], around):  # noqa: B905  saying so costs
            if circle and key in line:
                line = [each for each in line if each not in passed]
                many, place = before + len(line), PLACE[line.index(key)]
                return left * self._told(circle, len(line), all_ > many, place)
            passed.update(line)
            here = len(passed)
            if here > before:
                left *= self._told(circle, here - before, all_ > here, NOT_HERE)
                before = here
        return left / max(1, all_ - before)

    def _told(self, circle: int, many: int, behind: bool, place: int) -> float:
        """For a line so long the probability of a key at this place, or of none of it; learn it.

        :param behind: whether there are keys that stand in none of the lines so far.
        """
        overall, known, scale, rest, whole, sizes = self._counted(circle, many, behind)
        here = scale * (overall[place] + rest * REST[place]) + known[place]
        if rest and known is not NOTHING:  # it is the unit, then
            overall[place] += rest
            overall[TOTAL] += rest
            known[place] += rest
            known[TOTAL] += rest
        else:
            self._count(circle, many, place)
        size = sizes[place]
        return here / (whole * size) if size else 0.0

    def _worth(self, circle: int, many: int, behind: bool) -> list[float]:
        """The same for all places; the last is that of none of the line."""
        overall, known, scale, rest, whole, sizes = self._counted(circle, many, behind)
        return [
            (scale * (first + rest * least) + more) / (whole * size) if size else 0.0
            for first, least, more, size in zip(overall, REST, known, sizes, strict=False)
        ]

    def _counted(
        self, circle: int, many: int, behind: bool
    ) -> tuple[_Counts, _Counts, float, float, float, list[int]]:
        """Counts with lines of any length, and with such; what all places of one come to; sizes.

        Between these: what the former are scaled by, and how much of :data:`REST` they have more.
        """
        rest = unit = self._unit
        counts = self._counts[circle]
        known = counts[many if many < LONG else LONG] or NOTHING  # noqa: FURB136  a call costs more
        overall = counts[ANY_LENGTH]
        if overall is None:
            overall, rest = START, 0.0
        sizes, present, least = SHAPES[behind][many]
        scale, everywhere = PRIOR * unit / (overall[TOTAL] + rest * REST[TOTAL]), rest * least
        if not present:  # all places, without a loop
            a, b, c, d, e, f, g, _ = overall
            everywhere = everywhere + a + b + c + d + e + f + g
            a, b, c, d, e, f, g, _ = known
            whole = scale * everywhere + (a + b + c + d + e + f + g)
            return overall, known, scale, rest, whole, sizes
        here = 0.0
        for place in present:
            everywhere += overall[place]
            here += known[place]
        return overall, known, scale, rest, scale * everywhere + here, sizes

    def _count(self, circle: int, many: int, place: int) -> None:
        """One more at ``place``, of counts that may not have been begun."""
        unit, counts = self._unit, self._counts[circle]
        for length, start in ((ANY_LENGTH, START), (min(LONG, many), NOTHING)):
            known = counts[length]
            if known is None:
                known = counts[length] = [each * unit for each in start]
            known[place] += unit
            known[TOTAL] += unit

    def _shrink(self) -> None:
        """Begin anew at 1: what is new weighs more than what is old, which so is never touched."""
        for counts in filter(None, chain.from_iterable(self._counts)):
            counts[:] = [each / self._unit for each in counts]
        self._unit = 1.0

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {
            "lines": [names.to_json() for names in self._lines],
            "known": self._known.to_json(),
            "unit": self._unit,
            "counts": self._counts,
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what is none of it.
        """
        lines, counts = saved["lines"], saved["counts"]
        if [len(lines), *map(len, counts)] != [CIRCLES, *[LENGTHS] * CIRCLES]:
            raise ValueError("there are not as many circles")
        for names, halves in zip(self._lines, lines, strict=True):
            names.restore(
                [(str(name), [*map(token_of, line)]) for name, line in half] for half in halves
            )
        self._around.clear()
        self._known.restore(saved["known"])
        self._unit = float(saved["unit"])
        self._counts = [[each and _places(each) for each in row] for row in counts]


def _places(saved: Any) -> list[float]:
    if isinstance(saved, list) and len(saved) == len(START):
        return [float(each) for each in saved]
    raise ValueError(f"{str(saved)[:40]!r} are no counts of places")


def _circles(scopes: Scopes) -> list[tuple[int, str]]:
    """The circles of an actor, and the name of each."""
    return [*enumerate(scopes[:ANYONE]), (ANYONE, "")] if scopes else [(0, "")]
