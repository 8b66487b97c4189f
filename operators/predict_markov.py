"""By what went before: Markov chains of all orders up to one, each backing off to the shorter ones.

The contexts of a question stand in a row, from the widest to the narrowest: what anyone did, what
its side and its kind did, what it did itself; then the same after its last key, after its last two,
and so on. Each takes as much from the one before it as experience says:

    p(key | context) = trust × share of key in context + (1 - trust) × p(key | wider context)

Trust is learned online, for each sort of context by how often and with how many different keys it
was seen (Jelinek and Mercer 1980); it begins as PPM's method D has it. Since a kind's contexts
stand before an actor's own, the first turn of a goblin is told by what other goblins did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any

from .chains import Chains, Name
from .follows import FULL, WIDTH, Counts, Follows
from .halves import Halves
from .predictors import Scopes, Token, token_of
from .tally import Tally

__all__ = ["Markov"]

CAUTION = 5.0
"""How many events' worth of experience trust begins with."""

FADING = 0.995
"""What is left of that experience after each further event of its sort."""

CIRCLES, ORDERS = 1024, 16 * 1024
DISTINCT = 4
"""More different keys after a context than that make no difference to trust."""

FEW = 12
"""So many keys are looked for among those asked about; among more, these are looked for."""

MOST_AROUND = 4_096
"""So many actors are remembered with their circles."""


class _Around:
    """The circles around an actor, the widest first, each once.

    A context that has no more in it than the one before it (for an only one of its kind) says
    nothing new, and is passed over when they are asked.

    :ivar sorts: the part of a sort of contexts that stands for each.
    :ivar own: the counts of what each did.
    :ivar last: the keys it came by last, the newest first.
    """

    __slots__ = ("last", "names", "own", "sorts")

    def __init__(self, scopes: Scopes) -> None:
        each = [at for at, name in enumerate(scopes) if scopes.index(name) == at][::-1]
        self.names: tuple[Name, ...] = tuple(scopes[at] for at in each) or (None,)
        self.sorts: tuple[int, ...] = tuple(CIRCLES * at for at in each) or (0,)
        self.own: tuple[Counts, ...] = ()
        self.last: list[Token] = []


class Markov:
    """Markov chains over what each actor does. It has a voice for each order.

    :param orders: how many keys back they look; 0 is what is popular of late, 1 the first-order
        chain. The longest is a variable-order one: it backs off through all the others.
    :param voices: which of them speak; default: all.
    :param half_life: events after which an event counts half in what anyone did.
    :param limit: the most contexts.
    """

    def __init__(
        self,
        orders: Sequence[int] = (0, 1, 3),
        voices: Sequence[int] | None = None,
        half_life: float = 200.0,
        limit: int = 200_000,
    ) -> None:
        self._orders = tuple(sorted(orders))
        heard = self._orders if voices is None else tuple(voices)
        self._heard = tuple(self._orders.index(order) for order in heard)
        self._all_heard = heard == self._orders
        self.voices: tuple[str, ...] = tuple(f"markov-{n}" if n else "popular" for n in heard)
        self._all = Tally(half_life, limit)
        self._own = Follows(limit)
        self._chains = Chains(limit)
        self._trust: dict[int, list[float]] = {}
        self._last: Halves[list[Token]] = Halves(limit)
        self._known: dict[Scopes, _Around] = {}

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability each order gave to the key; then learn what came after what."""
        around = self._known.get(scopes) or self._reached(scopes)
        last = around.last
        tally = self._all
        distinct, total, unit = len(tally.weights), tally.total, tally.unit
        weight = tally.add(key)
        p = (weight + unit / distinct) / (total + unit) if distinct else 0.0
        given, known = [], len(last)
        for order in self._orders:
            if not order:
                if scopes:
                    p = self._mixed(p, 0, around.sorts, around.own, key)
            elif order <= known:
                run = tuple(last if order == known else last[:order])
                found = self._chains.reach(run, around.names, key)
                if found:
                    p = self._mixed(p, order, around.sorts, found, key)
            given.append(p)
        if longest := self._orders[-1]:
            last.insert(0, key)
            if known == longest:
                last.pop()
        return given if self._all_heard else [given[at] for at in self._heard]

    def _reached(self, scopes: Scopes) -> _Around:
        """The circles around an actor, to learn; remembered until something is forgotten."""
        around, turns = _Around(scopes), self._last.turns + self._own.turns
        around.last = self._last.touch(scopes[0] if scopes else "", around.last)
        if scopes and not self._orders[0]:
            around.own = tuple(map(self._own.reach, around.names))
        if len(self._known) >= MOST_AROUND or self._last.turns + self._own.turns != turns:
            self._known.clear()
        else:
            self._known[scopes] = around
        return around

    def _mixed(
        self,
        p: float,
        order: int,
        circles: Sequence[int],
        contexts: Sequence[Counts | None],
        key: Token,
    ) -> float:
        """What contexts say of a key that came; count it there, and learn how far to trust them.

        :param p: what the wider ones said of it.
        :param contexts: those after the last have the same.
        """
        same = 0
        for circle, counts in zip(circles, contexts):  # noqa: B905  saying so costs
            if counts is None:
                continue
            keys, total = counts.keys, counts.total
            count = keys.get(key, 0)
            if total != same and total and p:
                same = total
                known = counts.trust
                if known is None or counts.circle != circle:
                    known = self._trusted(order, circle, total, len(keys))
                    counts.trust, counts.circle = known, circle
                told, of = known
                share = told / of
                if count:
                    here = share * count / total
                    p = here + (1.0 - share) * p
                    known[0] = told * FADING + here / p
                else:
                    p *= 1.0 - share
                    known[0] = told * FADING
                known[1] = of * FADING + 1.0
            keys[key] = count + 1
            counts.total = total + 1
            if not total & (total + 1) or (not count and len(keys) <= DISTINCT):
                counts.trust = None  # a context of another sort
            if (not count and len(keys) > WIDTH) or count >= FULL:
                counts.trust = None
                counts.halve(key)
        return p

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Token]:
        """What came most often after each context, the narrowest first; then what is popular."""
        found: dict[Token, None] = {}
        rows = self._rows(scopes)
        for _, counts in (each for row in reversed(rows) for each in reversed(row)):
            if isinstance(counts, Counts):
                found.update(dict.fromkeys(counts.greatest(k)))
            else:
                found[counts] = None
            if len(found) >= k:
                break
        found.update(dict.fromkeys(self._all.greatest(k)))
        return found

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """For each order the probabilities of these keys."""
        places = {key: at for at, key in enumerate(keys)}
        found = self._widest(keys)
        given = []
        for order, row in zip(self._orders, self._rows(scopes), strict=True):
            same = 0
            for circle, counts in row:
                if isinstance(counts, Counts):
                    total, came = counts.total, counts.keys
                else:
                    total, came = 1, {counts: 1}
                if total == same:
                    continue
                same = total
                known = self._trusted(order, circle, total, len(came))
                share = known[0] / known[1]
                each, left = share / total, 1.0 - share
                if len(came) > FEW:
                    many = map(came.get, keys, repeat(0))
                    found = [left * p + each * n for p, n in zip(found, many, strict=True)]
                    continue
                found = [left * p for p in found]
                for key, n in came.items():
                    if key in places:
                        found[places[key]] += each * n
            given.append(found)
        return [given[at] for at in self._heard]

    def _trusted(self, order: int, circle: int, total: int, distinct: int) -> list[float]:
        """What is known of such contexts: how much of what came they told, and of how many."""
        sort = order * ORDERS + circle + 8 * total.bit_length()
        sort += distinct if distinct < DISTINCT else DISTINCT  # noqa: FURB136  a call costs more
        known = self._trust.get(sort)
        if known is None:
            known = self._trust[sort] = [CAUTION * total / (total + distinct / 2), CAUTION]
        return known

    def _widest(self, keys: Sequence[Token]) -> list[float]:
        """What anyone did. Weights fade to nothing; a little of each key's even chance stays."""
        tally = self._all
        if not (distinct := len(tally)):
            return [0.0] * len(keys)
        total, even = tally.total + tally.unit, tally.unit / distinct
        return [(each + even) / total for each in map(tally.weights.get, keys, repeat(0.0))]

    def _rows(self, scopes: Scopes) -> list[list[tuple[int, Token | Counts]]]:
        """For each order what came after each context, from the widest to the narrowest.

        With each the circle whose it is. A key alone came once.
        """
        around = self._known.get(scopes) or _Around(scopes)
        names, circles = around.names, around.sorts
        last = self._last.get(scopes[0] if scopes else "") or ()
        rows: list[list[tuple[int, Token | Counts]]] = []
        for order in self._orders:
            after: Mapping[Name, Token | Counts] = {}
            if order and order <= len(last):
                after = self._chains.after(tuple(last[:order]))
            elif not order and scopes:
                after = {name: counts for name in names if (counts := self._own.after(name)).total}
            rows.append(
                [(at, after[n]) for n, at in zip(names, circles, strict=True) if n in after]
            )
        return rows

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {
            "all": self._all.to_json(),
            "own": self._own.to_json(),
            "chains": self._chains.to_json(),
            "trust": [*self._trust.items()],
            "last": self._last.to_json(),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what is none of it.
        """
        self._all.restore(saved["all"])
        self._own.restore(saved["own"])
        self._chains.restore(saved["chains"])
        self._trust = {int(n): [float(a), float(b)] for n, (a, b) in saved["trust"]}
        self._last.restore(
            [(str(who), [*map(token_of, keys)]) for who, keys in half] for half in saved["last"]
        )
        self._known.clear()
