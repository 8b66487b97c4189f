"""How often what comes of it: learned from the outcomes of a session, in the game's own words."""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping

from ..streams.content_names import plain
from ..streams.events import Outcome
from ..streams.footprint import targets_of
from ..streams.world import Declared, World
from .results import ATTACK, as_wished, rolls_to_hit, usual

__all__ = ["LearnedOdds"]

FADING = 0.98
"""What an outcome counts for after each further one of its kind."""
PRIOR = 4.0
"""So many outcomes is worth what is known of the next wider."""
LEAST = 0.02
"""What is less likely is not prepared."""
MOST_KEYS, MOST_WORDS, LONGEST = 512, 16, 40

Key = tuple[str, ...]


class LearnedOdds:
    """Counts the words outcomes have had, of late: for all actions of a sort, a type, and a name.

    ::

        outcomes     rolled(check)   rolled(check)   hit(attack)
        of a check   --failure .55---rolled .49------rolled .70------  once seen, it is prepared

    Each is mixed with what is known of the next wider one, and the widest with the usual odds. A
    sort is whether it is rolled to hit, saved against, a move or a talk, or none of these, and
    whether at somebody. Only
    the words count, and no other value of an outcome. Memory is bounded.
    """

    def __init__(self) -> None:
        self._counts: OrderedDict[Key, dict[str, float]] = OrderedDict()

    def note(self, world: World, done: Declared, outcome: Outcome) -> None:
        """Something was done, in this world, and came to this."""
        targets = targets_of(done.action)
        for each in outcome.results:
            target = each.target if each.target in targets else next(iter(targets), None)
            if each.result and len(each.result) <= LONGEST:
                for key in _keys(world, done, target):
                    self._count(key, each.result)

    def _count(self, key: Key, word: str) -> None:
        counts = self._counts.setdefault(key, {})
        self._counts.move_to_end(key)
        if len(self._counts) > MOST_KEYS:
            self._counts.popitem(last=False)
        for each in counts:
            counts[each] *= FADING
        counts[word] = counts.get(word, 0.0) + 1.0
        if len(counts) > MOST_WORDS:
            del counts[min(counts, key=lambda each: (counts[each], each))]

    def odds(self, world: World, declared: Declared, target: str | None) -> dict[str, float]:
        """The results an action may have, with their probabilities.

        An attack hits, misses or is critical, however seldom it was [0-3].
        """
        found: Mapping[str, float] = usual(world, declared, target)
        kept = ATTACK if "hit" in found else ()
        for key in _keys(world, declared, target):
            if counts := self._counts.get(key):
                whole = PRIOR + math.fsum(counts.values())
                found = {
                    word: (PRIOR * found.get(word, 0.0) + counts.get(word, 0.0)) / whole
                    for word in {**found, **counts}
                }
        likely = {word: p for word, p in found.items() if p >= LEAST or word in kept}
        total = math.fsum(likely.values())
        return {word: p / total for word, p in likely.items()}


def _keys(world: World, declared: Declared, target: str | None) -> tuple[Key, Key, Key]:
    action = declared.action
    save = "wished" if as_wished(declared) else "saved" if action.get("save") else "done"
    sort = "rolled" if rolls_to_hit(world, declared, target) else save
    at = "" if target is None else "at"
    kind, name = str(action.get("type", "")), str(action.get("name") or "")
    return (sort, at), (sort, at, kind), (sort, at, kind, plain(name)[:LONGEST])
