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
from typing import Any

from .follows import Context, Follows
from .predictors import Event, Key, Scopes, frozen
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
        self._follows = Follows(limit)
        self._trust: dict[int, list[float]] = {}
        self._last: OrderedDict[str, tuple[Key, ...]] = OrderedDict()
        self._limit = limit

    def learn(self, event: Event) -> list[float]:
        """The probability each order gave to the key; then learn what came after what."""
        key, scopes = event.key, event.scopes
        touch, begin, width = self._follows.touch, self._follows.begin, self._follows.width
        p = self._widest([key])[0]
        given = []
        for contexts in self._contexts(scopes):
            same = 0
            for sort, context in contexts:
                counts = touch(context)
                if counts is None:
                    begin(context, key)
                    continue
                if p and counts.total != same:
                    same = total = counts.total
                    known = self._known(sort, total, len(counts))
                    share = known[0] / known[1]
                    here = share * counts.get(key, 0) / total
                    p = here + (1.0 - share) * p
                    known[0] = known[0] * FADING + here / p
                    known[1] = known[1] * FADING + 1.0
                counts.more(key, width)
            given.append(p)
        self._all.add(key)
        if longest := self._orders[-1]:
            who = scopes[0] if scopes else ""
            self._last[who] = (key, *self._last.get(who, ()))[:longest]
            self._last.move_to_end(who)
            if len(self._last) > self._limit:
                self._last.popitem(last=False)
        return [given[at] for at in self._heard]

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Key]:
        """What came most often after each context, the narrowest first; then what is popular."""
        found: dict[Key, None] = {}
        rows = self._contexts(scopes)
        for _, context in (each for row in reversed(rows) for each in reversed(row)):
            found.update(dict.fromkeys(self._follows.after(context).greatest(k)))
            if len(found) >= k:
                break
        found.update(dict.fromkeys(self._all.greatest(k)))
        return found

    def weigh(self, now: float, keys: Sequence[Key], scopes: Scopes) -> list[list[float]]:
        """For each order the probabilities of these keys."""
        found = self._widest(keys)
        given = []
        for contexts in self._contexts(scopes):
            same = 0
            for sort, context in contexts:
                counts = self._follows.after(context)
                if counts and counts.total != same:
                    same = total = counts.total
                    known = self._known(sort, total, len(counts))
                    share = known[0] / known[1]
                    each, left, count = share / total, 1.0 - share, counts.get
                    found = [
                        count(key, 0) * each + left * p for key, p in zip(keys, found, strict=True)
                    ]
            given.append(found)
        return [given[at] for at in self._heard]

    def _known(self, sort: int, total: int, distinct: int) -> list[float]:
        """What is known of such contexts: how much of what came they told, and of how many."""
        sort += 8 * total.bit_length() + min(distinct, DISTINCT)
        known = self._trust.get(sort)
        if known is None:
            known = self._trust[sort] = [CAUTION * total / (total + distinct / 2), CAUTION]
        return known

    def _widest(self, keys: Sequence[Key]) -> list[float]:
        """What anyone did. Weights fade to nothing; a little of each key's even chance stays."""
        tally = self._all
        if not (distinct := len(tally)):
            return [0.0] * len(keys)
        weight, total, even = tally.weights.get, tally.total + tally.unit, tally.unit / distinct
        return [(weight(key, 0.0) + even) / total for key in keys]

    def _contexts(self, scopes: Scopes) -> list[list[tuple[int, Context]]]:
        """For each order its contexts with their sorts, from the widest to the narrowest.

        One that has no more in it than the one before it (for an only one of its kind) says
        nothing new, and is passed over when they are asked.
        """
        last = self._last.get(scopes[0] if scopes else "", ())
        circles = [
            (CIRCLES * at, each) for at, each in enumerate(scopes) if scopes.index(each) == at
        ]
        circles.reverse()
        rows: list[list[tuple[int, Context]]] = []
        for order in self._orders:
            before, sort = last[:order], order * ORDERS
            if order > len(last) or not (order or scopes):
                rows.append([])
            elif scopes:
                rows.append([(sort + circle, (each, *before)) for circle, each in circles])
            else:
                rows.append([(sort, (before,))])
        return rows

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {
            "all": self._all.to_json(),
            "follows": self._follows.to_json(),
            "trust": [*self._trust.items()],
            "last": [*self._last.items()],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what is none of it.
        """
        self._all.restore(saved["all"])
        self._follows.restore(saved["follows"])
        self._trust = {int(n): [float(a), float(b)] for n, (a, b) in saved["trust"]}
        self._last = OrderedDict((str(who), frozen(keys)) for who, keys in saved["last"])
