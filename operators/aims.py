"""At whom an action is aimed: as a key to predict, and who comes into question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..streams.blows import health_left
from ..streams.footprint import targets_of
from ..streams.world import World
from .predictors import Key, Scopes
from .usage import item_of

__all__ = ["ITSELF", "Whom", "aim_of", "aiming", "standing"]

MOST = 16
ITSELF = ""
"""In the place of the actor's own id among those it aims at; no actor is called so."""


def aim_of(actor: str, action: Mapping[str, Any]) -> Key:
    """Its targets, in an order of their own; none is a key as well."""
    return tuple(ITSELF if each == actor else each for each in sorted(targets_of(action)))


def aiming(world: World, actor: str, item: Key) -> Scopes:
    """As this actor aims such things, as its side aims this one, and such."""
    what = item[0] if item[0] == "attack" else item[1]
    side = world.actor(actor).get("side", "")
    return f"{actor} {what}", f"{side} {item[1]}", f"{side} {item[0]}"


class Whom:
    """Who may be aimed at in one world."""

    def __init__(self, world: World) -> None:
        self.standing = standing(world)
        self._world = world
        self._sides = [(each, world.actor(each).get("side")) for each in self.standing]
        self._known: dict[tuple[str, str], tuple[Key, ...]] = {}

    def aims(self, actor: str, kind: str) -> tuple[Key, ...]:
        """Whom an action of a type may be aimed at; the likeliest first, as long as none is known.

        An attack is aimed at a foe, or at anybody where all are of one side, or of none; anything
        else at anybody or at nobody.
        """
        found = self._known.get((actor, kind))
        if found is None:
            found = self._known[actor, kind] = tuple(self._aims(actor, kind)[:MOST])
        return found

    def _aims(self, actor: str, kind: str) -> list[Key]:
        side = self._world.actor(actor).get("side")
        foes: list[Key] = [(each,) for each, theirs in self._sides if theirs != side]
        friends: list[Key] = [
            (each,) for each, theirs in self._sides if theirs == side and each != actor
        ]
        nobody: list[Key] = [(), (ITSELF,)]
        if kind == "attack":
            return foes or (friends if self._one_side() else []) or [()]
        return foes + nobody + friends if kind == "cast" else nobody + foes + friends

    def _one_side(self) -> bool:
        """Whether the state tells no foes from friends, those who are down included."""
        actors = map(self._world.actor, self._world.actors)
        return len({repr(each.get("side")) for each in actors}) == 1

    def again(self, actor: str, item: Key) -> tuple[Key, ...]:
        """The several that the actor aimed this at when it acted last, if all of them stand."""
        last = self._world.last.get(actor, {})
        targets = targets_of(last)
        if len(targets) > 1 and item_of(last) == item and {*targets} <= {*self.standing}:
            return (aim_of(actor, last),)
        return ()


def standing(world: World) -> tuple[str, ...]:
    """Those who are not down, as far as the state says."""
    return tuple(
        each
        for each, what in world.actors.items()
        if isinstance(what, Mapping) and health_left(world, each) != 0
    )
