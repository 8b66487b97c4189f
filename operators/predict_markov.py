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

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

from .chains import Chains, Name
from .follows import Counts, Follows
from .predictors import Scopes, Token, frozen
from .tally import Tally

__all__ = ["Markov"]

CAUTION = 5.0
"""How many events' worth of experience trust begins with."""

FADING = 0.995
"""What is left of that experience after each further event of its sort."""

CIRCLES, ORDERS = 1024, 16 * 1024
DISTINCT = 4
"""More different keys after a context than that make no difference to trust."""


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
        self.voices: tuple[str, ...] = tuple(f"markov-{n}" if n else "popular" for n in heard)
        self._all = Tally(half_life, limit)
        self._own = Follows(limit)
        self._chains = Chains(limit)
        self._trust: dict[int, list[float]] = {}
        self._last: OrderedDict[str, tuple[Token, ...]] = OrderedDict()
        self._limit = limit

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability each order gave to the key; then learn what came after what."""
        who = scopes[0] if scopes else ""
        last = self._last.get(who, ())
        names, circles = _circles(scopes)
        tally = self._all
        distinct, total, unit = len(tally), tally.total, tally.unit
        weight = tally.add(key)
        p = (weight + unit / distinct) / (total + unit) if distinct else 0.0
        given = []
        for order in self._orders:
            if order and order <= len(last):
                p = self._mixed(p, order, circles, self._chains.add(last[:order], names, key))
            elif not order and scopes:
                p = self._mixed(p, order, circles, [self._own.add(name, key) for name in names])
            given.append(p)
        if longest := self._orders[-1]:
            self._last[who] = (key, *last)[:longest]
            self._last.move_to_end(who)
            if len(self._last) > self._limit:
                self._last.popitem(last=False)
        return [given[at] for at in self._heard]

    def _mixed(
        self, p: float, order: int, circles: Sequence[int], found: Sequence[tuple[int, int, int]]
    ) -> float:
        """What contexts say of a key that came; learn how far they are to be trusted.

        :param p: what the wider ones said of it.
        :param found: for each how often this key came, how often any did, and how many did; those
            after the last have the same.
        """
        if not p:
            return p
        same = 0
        for circle, (count, total, distinct) in zip(circles, found, strict=False):
            if total and total != same:
                same = total
                known = self._known(order, circle, total, distinct)
                share = known[0] / known[1]
                here = share * count / total
                p = here + (1.0 - share) * p
                known[0] = known[0] * FADING + here / p
                known[1] = known[1] * FADING + 1.0
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
                came = counts if isinstance(counts, Counts) else Counts([(counts, 1)])
                total = came.total
                if total == same:
                    continue
                same = total
                known = self._known(order, circle, total, len(came))
                share = known[0] / known[1]
                each, left = share / total, 1.0 - share
                found = [left * p for p in found]
                for key in places if len(places) < len(came) else came:
                    if key in places and key in came:
                        found[places[key]] += came[key] * each
            given.append(found)
        return [given[at] for at in self._heard]

    def _known(self, order: int, circle: int, total: int, distinct: int) -> list[float]:
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
        weight, total, even = tally.weights.get, tally.total + tally.unit, tally.unit / distinct
        return [(weight(key, 0.0) + even) / total for key in keys]

    def _rows(self, scopes: Scopes) -> list[list[tuple[int, Token | Counts]]]:
        """For each order what came after each context, from the widest to the narrowest.

        With each the circle whose it is. A key alone came once.
        """
        last = self._last.get(scopes[0] if scopes else "", ())
        names, circles = _circles(scopes)
        rows: list[list[tuple[int, Token | Counts]]] = []
        for order in self._orders:
            after: Mapping[Name, Token | Counts] = {}
            if order and order <= len(last):
                after = self._chains.after(last[:order])
            elif not order and scopes:
                after = {name: counts for name in names if (counts := self._own.after(name))}
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
            "last": [*self._last.items()],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what is none of it.
        """
        self._all.restore(saved["all"])
        self._own.restore(saved["own"])
        self._chains.restore(saved["chains"])
        self._trust = {int(n): [float(a), float(b)] for n, (a, b) in saved["trust"]}
        self._last = OrderedDict((str(who), frozen(keys)) for who, keys in saved["last"])


@lru_cache(4_096)
def _circles(scopes: Scopes) -> tuple[tuple[Name, ...], tuple[int, ...]]:
    """Names of the circles, the widest first, each once, and the part of a sort that stands for it.

    A context that has no more in it than the one before it (for an only one of its kind) says
    nothing new, and is passed over when they are asked.
    """
    if not scopes:
        return (None,), (0,)
    found = [(each, CIRCLES * at) for at, each in enumerate(scopes) if scopes.index(each) == at]
    found.reverse()
    return tuple(name for name, _ in found), tuple(circle for _, circle in found)
