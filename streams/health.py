"""What a state says of an actor's health."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

__all__ = ["GONE", "VITAL", "Vitals", "health_of", "number", "vitals", "vitals_of"]

BUFFERS = ("temp_hp", "temporary_hp")
"""Health that goes first."""
SHIELDS = ("shield", "shields", "barrier", "ward")
"""What may take a blow up, by rules of the game's own."""
APART = frozenset((*BUFFERS, *SHIELDS))
VITAL = {"hp", "health", "dead", "alive", "conditions", "effects", *BUFFERS, *SHIELDS}
DOWN = ("dead", "dying", "down", "unconscious", "defeated", "slain", "destroyed", "ko")
"""Conditions of an actor that is out of the fight, whatever its health says."""
LARGEST = 1e300


class Vitals(NamedTuple):
    """Of one actor in one state: its health, that with its buffers, and what else may shield it."""

    health: float | None
    pool: float | None
    shields: tuple[float, ...]


NONE: tuple[float, ...] = ()
GONE = Vitals(0, 0, NONE)


def health_of(state: Mapping[str, Any], actor_id: str | None) -> float | None:
    """An actor's health as far as the state says, 0 if it says in any way that it is down."""
    found = vitals_of(state, actor_id)
    return None if found is None else found.health


def vitals_of(state: Mapping[str, Any], actor_id: str | None) -> Vitals | None:
    """The same with what goes before the health; ``None`` of one who is not in the state."""
    actors = state.get("actors")
    return vitals(actors.get(actor_id)) if isinstance(actors, Mapping) else None


def vitals(actor: Any) -> Vitals | None:
    """The same, of an actor as it stands in a state."""
    if not (type(actor) is dict or isinstance(actor, Mapping)):  # asked of everybody in each scene
        return None
    hp, health = number(actor.get("hp")), number(actor.get("health"))
    if (hp is not None and hp <= 0) or (health is not None and health <= 0) or _down(actor):
        return GONE
    if hp is None:
        hp = health
    pool, shields = hp, NONE
    if not APART.isdisjoint(actor):
        found = (number(actor.get(each)) for each in BUFFERS)
        buffer = next((each for each in found if each is not None), 0)
        pool = None if hp is None else hp + max(0, buffer)
        shields = tuple(each for each in (number(actor.get(each)) for each in SHIELDS) if each)
    return Vitals(hp, pool, shields)


def _down(actor: Mapping[str, Any]) -> bool:
    """Whether anything but its health says that an actor is out of the fight."""
    if actor.get("alive") is False or actor.get("dead") is True:
        return True
    for name in ("conditions", "effects", "health"):
        said = actor.get(name)
        if said and not isinstance(said, (int, float)):
            for word in _words(said):
                if word.lower() in DOWN:
                    return True
    return False


def _words(said: Any) -> Iterator[str]:
    for each in [said] if isinstance(said, str) else said if isinstance(said, (list, dict)) else ():
        word = each.get("name") if isinstance(each, Mapping) else each
        if isinstance(word, str):
            yield word


def number(value: Any) -> float | None:
    """The value, if it is a number one can reckon with."""
    if value is None or isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -LARGEST < value < LARGEST else None
