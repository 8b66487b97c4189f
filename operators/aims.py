"""At whom an action is aimed: as a key to predict, and who comes into question."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..streams.footprint import targets_of
from ..streams.world import World
from .predictors import Key, Scopes
from .results import lies

__all__ = ["ITSELF", "aim_of", "aiming", "aims_of", "standing"]

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


def aims_of(world: World, actor: str, kind: str) -> list[Key]:
    """Whom such a thing may be aimed at, likeliest first as long as nothing is known."""
    side = world.actor(actor).get("side")
    others = [each for each in standing(world) if each != actor]
    foes: list[Key] = [(each,) for each in others if world.actor(each).get("side") != side]
    friends: list[Key] = [(each,) for each in others if world.actor(each).get("side") == side]
    nobody: list[Key] = [(), (ITSELF,)]
    if kind == "attack":
        return foes[:MOST] or [()]
    aims = foes + nobody + friends if kind == "cast" else nobody + foes + friends
    return aims[:MOST]


def standing(world: World) -> tuple[str, ...]:
    """Those who are not down, as far as the state says."""
    return tuple(
        each
        for each, what in world.actors.items()
        if isinstance(what, Mapping) and not lies(world, each)
    )
