"""What is said at the table, as far as it points to what somebody is about to do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from ..streams.events import Say
from ..streams.world import World
from .intent import Names, cued
from .predictors import Key

__all__ = ["Said", "Talk", "named_of"]

OWN_AGE, OTHERS_AGE, BEFORE_TURN = 180.0, 60.0, 10.0
"""Seconds for which words of one's own turn count, and others; and of others before it begins."""

OLDER = 0.7
"""What a line is worth beside the one after it."""

DONE = 0.3
"""What the name of a thing is worth that was done since."""

DOUBT = 0.1
SURE, LIKELY, VAGUE = 0.75, 0.35, 0.15


Line = tuple[int, Say]
"""What was said, with the number of this input."""


@dataclass(frozen=True, slots=True)
class Said:
    """What words say of the things that somebody can do.

    ``sort``: how sure that is, and who spoke; experience is kept apart by it. ``scores``: from 0 to
    1; nothing, where only the type of it is spoken of, ``kinds``. ``since``: when each was named
    first, in seconds of the session.
    """

    sort: str
    scores: Mapping[Key, float]
    kinds: tuple[str, ...] = ()
    since: Mapping[Key, float] = field(default_factory=dict)

    @property
    def first(self) -> Key | None:
        """What is named most surely."""
        return max(self.scores, key=lambda each: self.scores[each], default=None)

    @property
    def best(self) -> float:
        """How surely anything is named."""
        return max(self.scores.values(), default=0.0)

    def over(self, habit: Mapping[Key, float]) -> dict[Key, float]:
        """The probability of each thing by what was said; they come to 1.

        A little of it stays with habit, for what is spoken of may come after something else.
        """
        if self.scores:
            raw = {item: self.scores.get(item, 0.0) ** 2 for item in habit}
        else:
            raw = {item: p if item[0] in self.kinds else 0.0 for item, p in habit.items()}
        whole = 0.0
        for each in raw.values():
            whole += each
        if not whole:
            return {}
        return {item: DOUBT * p + (1.0 - DOUBT) * raw[item] / whole for item, p in habit.items()}


class Talk:
    """What was said of late, by whom it speaks of: its speaker, or whoever is in turn.

    What an actor says, or the ``player`` whom the state names of it, is its own. What those say who
    are neither counts for the actor of the open turn, if it says nothing itself.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._turn = turn = world.turn
        actor = turn.actor if turn is not None else None
        self._own: dict[str, list[Line]] = {}
        others: list[Line] = []
        actors = world.actors
        for speaker, lines in world.said.items():
            who = speaker if speaker in actors else _played_by(world, speaker)
            since = world.t - (OWN_AGE if who in (actor, None) else OTHERS_AGE)
            if turn is not None and who is None:
                since = max(since, turn.t - BEFORE_TURN)
            of_late = [line for line in reversed(lines) if line[1].t >= since]
            if of_late and who is not None:
                self._own.setdefault(who, []).extend(of_late)
            elif turn is not None:
                others += of_late
        self._others = others
        self._aimed: dict[tuple[str, tuple[Key, ...]], Said | None] = {}
        self._called: dict[str, tuple[str, ...]] = {}

    @property
    def mark(self) -> list[Any]:
        """What tells one from another."""
        own = [(who, [number for number, _ in lines]) for who, lines in self._own.items()]
        return [own, [number for number, _ in self._others]]

    def speakers(self) -> list[str]:
        """Those whose turn it is not, and who have said something."""
        actor = self._turn.actor if self._turn is not None else None
        return [each for each in self._own if each != actor]

    def lines(self, actor: str) -> tuple[bool, Sequence[Line]]:
        """Whether an actor speaks for itself, and what was said for it, the last first."""
        own = self._own.get(actor)
        in_turn = self._turn is not None and self._turn.actor == actor
        return (True, own or ()) if own or not in_turn else (False, self._others)

    def pointed(
        self, actor: str, items: Mapping[Key, Iterable[str]], done: Mapping[Key, int]
    ) -> Said | None:
        """What is said of the things an actor can do, if anything is.

        :param items: by what each is called.
        :param done: the input with which each was done last.
        """
        own, lines = self.lines(actor)
        if not lines:
            return None
        names = _names(tuple((item, tuple(called)) for item, called in items.items()), 0.4)
        scores: dict[Key, float] = {}
        since: dict[Key, float] = {}
        worth = 1.0
        for number, line in lines:
            for item, score in names.named(line.text, typing=line.typing).items():
                score *= worth * (DONE if done.get(item, 0) > number else 1.0)
                scores[item] = max(score, scores.get(item, 0.0))
                if item not in since or number > done.get(item, 0):
                    since[item] = line.t
            worth *= OLDER
        best = max(scores.values(), default=0.0)
        who = "own" if own else "others"
        if best >= LIKELY:
            return Said(f"{who} {'sure' if best >= SURE else 'likely'}", scores, since=since)
        kinds = cued(lines[0][1].text)
        if meant := tuple(kind for kind in kinds if any(item[0] == kind for item in items)):
            return Said(f"{who} kind", {}, meant)
        return Said(f"{who} vague", scores, since=since) if best >= VAGUE else None

    def aimed_at(self, actor: str, aims: Sequence[Key]) -> Said | None:
        """Whom the last line for an actor names, of those at whom it may aim."""
        asked = actor, tuple(aims)
        if asked not in self._aimed:
            self._aimed[asked] = self._aimed_at(actor, aims)
        return self._aimed[asked]

    def _aimed_at(self, actor: str, aims: Sequence[Key]) -> Said | None:
        several = [aim for aim in aims if len(aim) == 1 and aim[0]]
        lines = self.lines(actor)[1] if len(several) > 1 else None
        if not lines:
            return None
        for (who,) in several:
            if who not in self._called:
                self._called[who] = named_of(self._world.actor(who), who)
        called = tuple((aim, self._called[aim[0]]) for aim in several)
        last = lines[0][1]
        named = _names(called, 0.8).named(last.text, typing=last.typing)
        return Said("aim", named) if named else None


def _played_by(world: World, player: str) -> str | None:
    for each, what in world.actors.items():
        if isinstance(what, Mapping) and what.get("player") == player:
            return each
    return None


def named_of(what: Mapping[str, Any], *more: str) -> tuple[str, ...]:
    """What an actor or an action is called: its name, what ``also`` says, its kind."""
    also = what.get("also")
    said = [what.get("name"), *(also if isinstance(also, list) else [also]), what.get("kind")]
    return tuple(_texts([*said, what.get("species"), *more]))


def _texts(said: Iterable[Any]) -> Iterator[str]:
    for each in said:
        if isinstance(each, str) and each:
            yield each


@lru_cache(maxsize=32)
def _names(called: tuple[tuple[Key, tuple[str, ...]], ...], partly: float) -> Names[Key]:
    return Names(dict(called), partly)
