"""Which blows the state shows already: it may come before its outcome, with it, or after it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .events import Outcome
from .footprint import DEPTH, Path, targets_of

if TYPE_CHECKING:
    from .world import Declared, World

__all__ = ["Touched", "owed", "settled", "shows", "touched"]

Touched = Mapping[str, tuple[int, str | None]]
"""By actor: the revision at which its health changed last, and the key of the action that was the
reason, as far as that is known."""

EARLIER = ""
"""The reason of a change that shows what was owed before it: some earlier action."""

ACTORS: Path = ("actors",)
HEALTH = {"hp", "health"}
MAX_ACTORS = 1024


def touched(world: World, paths: list[Path], key: str | None) -> Touched:
    """Whose health changed when; of one who is new, it has not.

    :param paths: where the next state differs from the world's.
    :param key: of the action that is named as the reason.
    """
    for path in paths:
        if len(path) < DEPTH or path[2] in HEALTH:
            break
    else:
        return world.touched  # as most often
    there = world.actors
    if any(path in ((), ACTORS) for path in paths):
        hurt = list(there)
    else:
        inside = (path for path in paths if path[0] == "actors" and len(path) > 1)
        hurt = [each for _, each, *field in inside if each in there and set(field) <= HEALTH]
    if not hurt:
        return world.touched
    found = dict(world.touched)
    for each in hurt:
        found.pop(each, None)
        early = key is None and each in world.unsettled
        found[each] = world.revision + 1, EARLIER if early else key
    while len(found) > MAX_ACTORS:
        del found[next(iter(found))]
    return found


def settled(world: World, paths: list[Path]) -> Mapping[str, float]:
    """The damage that is still not in the state, after it changed at these paths."""
    shown = {
        path[1]: None
        for path in paths
        if len(path) > 1 and (len(path) == 2 or path[2] in world.footprint.target)
    }
    if any(len(path) < 2 for path in paths):
        return {}
    return {target: damage for target, damage in world.unsettled.items() if target not in shown}


def owed(world: World, event: Outcome, done: Declared) -> Mapping[str, float]:
    """The damage that no state shows yet, with this outcome's; infinite where none can tell."""
    unsettled = dict(world.unsettled)
    for result in event.results:
        damage = result.values.get("damage")
        for target in (result.target,) if result.target is not None else targets_of(done.action):
            before, now = _hp(done.state, target), _hp(world.state, target)
            if not isinstance(damage, (int, float)) or now is None:
                continue
            if before is None and done.event is None:
                before = now  # nobody declared it; the target is new
            if before is None:
                continue
            if before == now and world.untouched(target, done):
                unsettled[target] = unsettled.get(target, 0) + damage
            elif not shows(before, now, damage) or world.by_another(target, done):
                unsettled[target] = math.inf
    while len(unsettled) > MAX_ACTORS:
        del unsettled[next(iter(unsettled))]
    return unsettled


def shows(before: float | None, now: float, damage: float) -> bool:
    """Whether a health is that after a blow."""
    return before is not None and max(0, before - damage) == max(0, now)


def _actors(state: Mapping[str, Any]) -> Mapping[str, Any]:
    actors = state.get("actors")
    return actors if isinstance(actors, Mapping) else {}


def _hp(state: Mapping[str, Any], actor_id: str) -> float | None:
    actor = _actors(state).get(actor_id)
    hp = actor.get("hp") if isinstance(actor, Mapping) else None
    return hp if isinstance(hp, (int, float)) else None
