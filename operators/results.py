"""The results an action can have, what each is called, and when a text of it is true."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..streams.blows import HARMFUL, KILL, NOTHING, Blow, health_left, laid_low, left_of
from ..streams.events import Odds, Outcome
from ..streams.health import health_of, number, vitals
from ..streams.world import Declared, World

__all__ = [
    "HARMFUL",
    "KILL",
    "Happened",
    "frail",
    "happened",
    "known_of",
    "possible_results",
]

ATTACK = ("hit", "miss", "critical")
SAVE = ("failure", "success")
STRIKES = ("attack", "cast")
"""Actions that do harm where a save against them fails, if nobody says how much."""
DEFAULT_ODDS = {"hit": 0.6, "miss": 0.35, "critical": 0.05, "failure": 0.55, "success": 0.45}
FALLS_BELOW = 1 / 3
ONE_BLOW = 10
"""An actor with no more health than this may fall at one blow, if nobody knows how much is all."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What a text must be true of: one result for one target.

    ``name`` is the name a variant for it would have: the result's own word, or ``kill`` where the
    target falls. It is empty where no variant can be trusted: the two accounts of the target's
    health disagree, or it was down before, or by another's hand. ``told`` is what it is told as,
    whether a variant can be trusted or not; ``down`` is true of one who lay there before, and
    ``unsure`` of one who was struck and may have fallen: it is said neither to stand nor to fall.
    """

    target: str | None
    result: str
    name: str
    values: Mapping[str, Any]
    told: str
    down: bool = False
    unsure: bool = False


def possible_results(
    world: World,
    declared: Declared,
    target: str | None,
    odds: Odds | None = None,
    rolled: str | Mapping[str, str] | None = None,
) -> dict[str, float]:
    """The results to prepare for one target, most likely first, with their probabilities.

    A result that was rolled ahead is the only one. Odds the game gave name the results. Else an
    attack, and a spell at no friend, hits, misses or is critical [0-3], a spell with a ``save``
    fails or succeeds, and anything else succeeds or fails. A target low on health may fall: a
    harmful result is then prepared for that too, and stays so when the state shows the fall before
    the outcome comes.
    """
    action = declared.action
    if isinstance(rolled, Mapping):
        rolled = rolled.get(target or "")
    if isinstance(rolled, str):
        found = {rolled: 1.0}
    else:
        found = _likely((odds.get(target or "") or odds) if isinstance(odds, Mapping) else None)
    if not found:
        rolls_to_hit = action.get("type") == "attack" or (
            action.get("type") == "cast" and not _friends(world, declared.actor, target)
        )
        rolls_to_hit = rolls_to_hit and not action.get("save")
        names = ATTACK if rolls_to_hit and target is not None else SAVE
        found = {name: DEFAULT_ODDS[name] for name in names}
    falls = _may_fall(world, target) or laid_low(world, declared, target)
    if KILL not in found and target is not None and falls:
        harmful = [found[name] for name in HARMFUL if name in found]
        if harmful:
            found[KILL] = max(harmful) / 2
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _likely(odds: Any) -> dict[str, float]:
    """The results that can be; what is no probability above 0 is left out."""
    if not isinstance(odds, Mapping):
        return {}
    known = ((str(name), number(p)) for name, p in odds.items())
    return {name: float(p) for name, p in known if p is not None and p > 0}


def _friends(world: World, actor_id: str, other: str | None) -> bool:
    side = world.actor(actor_id).get("side")
    return side is not None and side == world.actor(other).get("side")


def _may_fall(world: World, actor_id: str | None) -> bool:
    left = health_left(world, actor_id)
    return left is not None and left > 0 and _is_low(world.actor(actor_id), left)


def _is_low(actor: Mapping[str, Any], left: float) -> bool:
    full = number(actor.get("max_hp")) or number(actor.get("max_health"))
    return left <= (full * FALLS_BELOW if full else ONE_BLOW)


def frail(world: World) -> list[tuple[str, bool]]:
    """The actors that are down (true), or low enough on health to fall at the next blow."""
    found = []
    for each, actor in world.actors.items():
        left = left_of(vitals(actor), world.accounts.get(each, NOTHING))
        if left is not None and (left == 0 or _is_low(actor, left)):
            found.append((each, left == 0))
    return found


def known_of(world: World, declared: Declared, actor_id: str | None) -> Mapping[str, Any]:
    """What the state says of an actor; of one that is gone, what it said at the declaration."""
    if actor_id is None or actor_id in world.actors:
        return world.actor(actor_id)
    before = declared.state.get("actors")
    actor = before.get(actor_id) if isinstance(before, Mapping) else None
    return actor if isinstance(actor, Mapping) else {}


def happened(world: World) -> tuple[Happened, ...]:
    """What the world's outcome did to each target, with the target's health afterwards filled in.

    The state may arrive before or after the outcome it belongs to; both give the same answer.
    """
    outcome = world.cause
    assert isinstance(outcome, Outcome)
    done = world.doing(outcome)
    unfit = health_of(world.state, done.actor) == 0  # felled, and no text knows
    return tuple(_one(world, done, blow, unfit) for blow in world.blows)


def _one(world: World, done: Declared, blow: Blow, unfit: bool) -> Happened:
    name, values = blow.result.result, dict(blow.result.values)
    struck = name in HARMFUL and (name != "failure" or done.action.get("type") in STRIKES)
    if blow.after is not None:
        values["target_hp"] = blow.after
        if blow.after <= 0 and not blow.down and (name in HARMFUL or number(values.get("damage"))):
            name = KILL
    of_any_force = struck and "damage" not in values and _may_fall(world, blow.result.target)
    sure = blow.sure and (blow.after is not None or not of_any_force)
    fits = sure and not unfit and (name == KILL or blow.after is None or blow.after > 0)
    return Happened(
        blow.result.target,
        blow.result.result,
        name if fits else "",
        values,
        name,
        blow.down,
        struck and blow.after is None and not sure and not blow.down,
    )
