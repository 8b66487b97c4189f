"""The results an action can have, what each is called, and when a text of it is true."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ..streams.blows import shows
from ..streams.events import Odds, Outcome, Result
from ..streams.footprint import targets_of
from ..streams.world import Declared, World

__all__ = [
    "KILL",
    "Happened",
    "frail",
    "gone",
    "happened",
    "known_of",
    "lies",
    "possible_results",
]

KILL = "kill"
"""The name of a variant in which the target falls, whatever the roll was called."""

ATTACK = ("hit", "miss", "critical")
SAVE = ("failure", "success")
HARMFUL = ("hit", "critical", "failure")
DEFAULT_ODDS = {"hit": 0.6, "miss": 0.35, "critical": 0.05, "failure": 0.55, "success": 0.45}
FALLS_BELOW = 1 / 3
LARGEST = 1e300
DOWN = ("dead", "dying", "down", "unconscious", "defeated", "slain", "destroyed", "ko")
"""Conditions of an actor that is out of the fight, whatever its health says."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What a text must be true of: one result for one target.

    ``name`` is the name a variant for it would have: the result's own word, or ``kill`` where the
    target falls. It is empty where no variant can be trusted: the two accounts of the target's
    health disagree, or it was down before, or by another's hand.
    """

    target: str | None
    result: str
    name: str
    values: Mapping[str, Any]


def possible_results(
    world: World,
    declared: Declared,
    target: str | None,
    odds: Odds | None = None,
    rolled: str | Mapping[str, str] | None = None,
) -> dict[str, float]:
    """The results to prepare for one target, most likely first, with their probabilities.

    A result that was rolled ahead is the only one. Odds the game gave name the results. Else an
    attack hits, misses or is critical [0-3], a spell with a ``save`` fails or succeeds, and
    anything else succeeds or fails. A target low on health may fall: a harmful result is then
    prepared for that too, and stays so when the state shows the fall before the outcome comes.
    """
    action = declared.action
    if isinstance(rolled, Mapping):
        rolled = rolled.get(target or "")
    if isinstance(rolled, str):
        return {rolled: 1.0}
    found = _likely((odds.get(target or "") or odds) if isinstance(odds, Mapping) else None)
    if not found:
        rolls_to_hit = action.get("type") in ("attack", "cast") and not action.get("save")
        names = ATTACK if rolls_to_hit and target is not None else SAVE
        found = {name: DEFAULT_ODDS[name] for name in names}
    falls = _may_fall(world.actor(target)) or _felled(world, declared, target)
    if KILL not in found and target is not None and falls:
        harmful = [found[name] for name in HARMFUL if name in found]
        if harmful:
            found[KILL] = max(harmful) / 2
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _likely(odds: Any) -> dict[str, float]:
    """The results that can be; what is no probability above 0 is left out."""
    if not isinstance(odds, Mapping):
        return {}
    known = ((str(name), _number(p)) for name, p in odds.items())
    return {name: float(p) for name, p in known if p is not None and p > 0}


def _may_fall(actor: Mapping[str, Any]) -> bool:
    hp, full = _number(actor.get("hp")), _number(actor.get("max_hp"))
    return hp is not None and hp > 0 and full is not None and hp <= full * FALLS_BELOW


def _felled(world: World, declared: Declared, target: str | None) -> bool:
    """Whether an action that is open may be what felled its target already."""
    if declared.event is None or declared.resolved or world.by_another(target, declared):
        return False
    stood = _health(declared.state, target) != 0
    return stood and (lies(world, target) or gone(world, declared, target))


def frail(world: World) -> list[tuple[str, bool]]:
    """The actors that are down (true), or low enough on health to fall at the next blow."""
    actors = [(each, what) for each, what in world.actors.items() if isinstance(what, Mapping)]
    known = [(each, _down(actor), actor) for each, actor in actors]
    return [(each, down) for each, down, actor in known if down or _may_fall(actor)]


def gone(world: World, declared: Declared, actor_id: str | None) -> bool:
    """Whether an actor was there when the action was declared, and the state has it no more."""
    return actor_id not in world.actors and bool(known_of(world, declared, actor_id))


def known_of(world: World, declared: Declared, actor_id: str | None) -> Mapping[str, Any]:
    """What the state says of an actor; of one that is gone, what it said at the declaration."""
    if actor_id is None or actor_id in world.actors:
        return world.actor(actor_id)
    before = declared.state.get("actors")
    actor = before.get(actor_id) if isinstance(before, Mapping) else None
    return actor if isinstance(actor, Mapping) else {}


def lies(world: World, actor_id: str | None) -> bool:
    """Whether the state says in any way that an actor is down."""
    return _health(world.state, actor_id) == 0


def happened(world: World, outcome: Outcome, declared: Declared) -> tuple[Happened, ...]:
    """What an outcome says of each target, with the target's health afterwards filled in.

    The state may arrive before or after the outcome it belongs to; both give the same answer,
    by comparing with the state the action was declared in.
    """
    results = outcome.results or (Result("unknown"),)
    if len(results) == 1 and results[0].target is None:
        targets = targets_of(declared.action)
        only = results[0]
        results = tuple(Result(only.result, target, only.values) for target in targets) or results
    return tuple(_one(world, declared, result) for result in results)


def _one(world: World, declared: Declared, result: Result) -> Happened:
    values = dict(result.values)
    name = result.result
    if result.target is not None:
        after, sure = _health_after(world, declared, result)
        if after is not None:
            values["target_hp"] = after
            if after <= 0:
                name = KILL if name in HARMFUL or name == KILL else ""
        if not sure:
            name = ""
    if _health(world.state, declared.actor) == 0:
        name = ""  # the actor was felled before, and no text knows
    return Happened(result.target, result.result, name, values)


def _health_after(
    world: World, declared: Declared, result: Result
) -> tuple[float | int | None, bool]:
    """The target's health after this result, and whether that is certain."""
    said = _number(result.values.get("target_hp"))
    now = _health(world.state, result.target)
    if said is not None:
        return max(0, said), said <= 0 or now != 0
    damage = _number(result.values.get("damage"))
    if gone(world, declared, result.target):  # so games do with the slain
        return (0, not world.by_another(result.target, declared)) if damage else (None, False)
    if now is None:
        return None, True
    if not damage:
        return now, now > 0
    before = _health(declared.state, result.target)
    owed = world.unsettled.get(result.target or "", 0)
    if before is None and declared.event is None:
        before = now  # nobody declared it; the target is new
    if before == now and owed < math.inf and world.untouched(result.target, declared):
        owed = max(owed, damage)  # with what earlier blows did that the state does not show yet
        return max(0, now - owed), now > owed - damage
    shown = before != now and shows(before, now, damage) and not owed
    if shown and not world.by_another(result.target, declared):
        return now, True
    return None, False


def _health(state: Mapping[str, Any], actor_id: str | None) -> float | int | None:
    """An actor's health as far as the state says, 0 if it says in any way that it is down."""
    actors = state.get("actors")
    actor = actors.get(actor_id) if isinstance(actors, Mapping) else None
    if not isinstance(actor, Mapping):
        return None
    if _down(actor):
        return 0
    hp = _number(actor.get("hp"))
    return hp if hp is not None else _number(actor.get("health"))


def _down(actor: Mapping[str, Any]) -> bool:
    if actor.get("alive") is False or actor.get("dead") is True:
        return True
    for name in ("hp", "health"):
        left = _number(actor.get(name))
        if left is not None and left <= 0:
            return True
    said = [actor[name] for name in ("conditions", "effects", "health") if actor.get(name)]
    return any(word.lower() in DOWN for each in said for word in _words(each))


def _words(said: Any) -> Iterator[str]:
    for each in [said] if isinstance(said, str) else said if isinstance(said, (list, dict)) else ():
        word = each.get("name") if isinstance(each, Mapping) else each
        if isinstance(word, str):
            yield word


def _number(value: Any) -> float | int | None:
    """The value, if it is a number one can reckon with."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return value if -LARGEST < value < LARGEST else None
