"""The results an action can have, what each is called, and when a text of it is true."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from ..streams.blows import HARMFUL, KILL, NOTHING, Blow, friends, left_of
from ..streams.events import Odds, Outcome, Rolled
from ..streams.health import GONE, health_of, number, vitals, vitals_of
from ..streams.saves import is_save
from ..streams.world import Declared, World
from .kills import Harm, felled, harm_said, is_low, may_fall, with_kill

__all__ = [
    "ATTACK",
    "HARMFUL",
    "KILL",
    "SAVE",
    "Happened",
    "Likely",
    "as_shown",
    "as_wished",
    "frail",
    "happened",
    "known_of",
    "likely_of",
    "numbers_of",
    "possible_results",
    "rolls_to_hit",
    "usual",
]

ATTACK = ("hit", "miss", "critical")
SAVE = ("failure", "success")
STRIKES = ("attack", "cast")
"""Actions that may do harm by a save against them, if nobody says how much."""
HELPS = ("cast", "use")
"""Actions that may do good, done to a friend."""
DEFAULT_ODDS = {"hit": 0.6, "miss": 0.35, "critical": 0.05, "failure": 0.55, "success": 0.45}
AS_WISHED = ("move", "talk")
"""Actions that come off, for the most part."""
WISHED_ODDS = {"success": 0.95, "failure": 0.05}


Likely = Callable[[World, Declared, str | None], Mapping[str, float]]
"""The results an action may have for a target, with their probabilities."""


@dataclass(frozen=True, slots=True)
class Happened:
    """What a text must be true of: one result for one target.

    ``name`` is the name a variant for it would have: the result's own word, or ``kill`` where the
    target falls. It is empty where no variant can be trusted: the two accounts of the target's
    health disagree, or it was down before, or by another's hand. ``told`` is what it is told as,
    whether a variant can be trusted or not; ``down`` is true of one who lay there before, and
    ``unsure`` of one who may have fallen: it is said neither to stand nor to fall.
    """

    target: str | None
    result: str
    name: str
    values: Mapping[str, Any]
    told: str
    down: bool = False
    unsure: bool = False


def usual(world: World, declared: Declared, target: str | None) -> dict[str, float]:
    """The odds of an action of which nothing is known.

    An attack, and a spell at no friend, hits, misses or is critical [0-3], a spell with a ``save``
    fails or succeeds, and anything else succeeds or fails; but a move or a
    talk comes off nearly always.
    """
    if as_wished(declared):
        return WISHED_ODDS.copy()
    names = ATTACK if rolls_to_hit(world, declared, target) else SAVE
    return {name: DEFAULT_ODDS[name] for name in names}


def as_wished(declared: Declared) -> bool:
    """Whether it comes off, if nothing special happens."""
    return declared.action.get("type") in AS_WISHED and not declared.action.get("save")


def rolls_to_hit(world: World, declared: Declared, target: str | None) -> bool:
    """Whether it hits or misses, rather than that it is saved against, or succeeds."""
    action = declared.action
    strikes = action.get("type") == "attack" or (
        action.get("type") == "cast" and not friends(world, declared.actor, target)
    )
    return strikes and not action.get("save") and target is not None


def possible_results(
    world: World,
    declared: Declared,
    target: str | None,
    odds: Odds | None = None,
    rolled: Rolled | None = None,
    harm: Harm = harm_said,
    otherwise: Likely = usual,
) -> dict[str, float]:
    """The results to prepare for one target, most likely first, with their probabilities.

    A result that was rolled ahead is the only one: the kill that it is by the damage rolled, or by
    what the state shows, else its own word. Odds the game gave name the results, or those that
    ``otherwise`` gives. A target may fall: how likely, say its health and
    ``harm``, or, where they do not know, whether it is low. That is taken from the results it may
    come of, and stays so when the state shows the fall before the outcome comes. So all come to 1,
    or to what odds of the game come to, if that is less.
    """
    if (certain := _rolled(rolled, target)) is not None:
        word, damage = certain
        known = harm if damage is None else lambda *what: {damage: 1.0}
        return {KILL if felled(world, declared, target, word, known) else word: 1.0}
    own = odds.get(target or "") if odds is not None and isinstance(odds, Mapping) else None
    found = likely_of(own or odds)
    found = with_kill(found or otherwise(world, declared, target), world, declared, target, harm)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def _rolled(rolled: Any, target: str | None) -> tuple[str, int | None] | None:
    """The word that was rolled for a target, and the damage if that was rolled too."""
    if rolled is None:
        return None
    if isinstance(rolled, Mapping) and not isinstance(rolled.get("result"), str):
        rolled = rolled.get(target or "")
    if isinstance(rolled, Mapping):
        word, damage = rolled.get("result"), number(rolled.get("damage"))
        return (word, None if damage is None else int(damage)) if isinstance(word, str) else None
    return (rolled, None) if isinstance(rolled, str) else None


def numbers_of(
    world: World, declared: Declared, target: str | None, result: str
) -> tuple[str, ...]:
    """The numbers that a result of this name most likely comes with: the slots of its variant.

    A save that fails hurts only where the action is one that strikes; what only comes off or does
    not hurts nobody, and may heal a friend.
    """
    action = declared.action
    if result == KILL:
        return ("damage",)
    if result in ("hit", "critical"):
        return ("damage", "target_hp")
    if target is None:
        return ()
    if not is_save(action, result, {}):
        helps = result == "success" and action.get("type") in HELPS
        return ("healing",) if helps and friends(world, declared.actor, target) else ()
    if action.get("type") not in STRIKES:
        return ()
    return {"failure": ("damage", "target_hp"), "success": ("damage",)}.get(result, ())


def likely_of(odds: Any) -> dict[str, float]:
    """The results that can be; what is no probability above 0 is left out."""
    if odds is None or not isinstance(odds, Mapping):
        return {}
    known = ((str(name), number(p)) for name, p in odds.items())
    found = {name: float(p) for name, p in known if p is not None and p > 0}
    total = max(1.0, math.fsum(found.values()))
    return {name: p / total for name, p in found.items()}


def frail(world: World) -> list[tuple[str, bool]]:
    """The actors that are down (true), or low enough on health to fall at the next blow."""
    found = []
    for each, actor in world.actors.items():
        left = left_of(vitals(actor), world.accounts.get(each, NOTHING))
        if left is not None and (left == 0 or is_low(actor, left)):
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


def as_shown(what: Happened, world: World) -> Happened:
    """The same, as a state shows it that came after it and names its action.

    It is another only where it is not true any more: who was to fall stands, or the other way
    round, or has another health left than was reckoned.
    """
    now = vitals_of(world.state, what.target) or GONE
    struck = what.told == KILL or what.result in HARMFUL
    if what.target is None or now.health is None or what.down or what.unsure or not struck:
        return what
    fell, reckoned = now.health <= 0, number(what.values.get("target_hp"))
    if fell is (what.told == KILL) and reckoned in (None, now.health):
        return what
    values = {**what.values, "target_hp": now.health}
    return replace(what, name="", values=values, told=KILL if fell else what.result)


def _one(world: World, done: Declared, blow: Blow, unfit: bool) -> Happened:
    name = blow.result.result
    values = {key: value for key, value in blow.result.values.items() if value is not None}
    struck = name in HARMFUL
    if name == "failure":
        struck = done.action.get("type") in STRIKES and is_save(done.action, name, values)
    if blow.after is not None:
        values["target_hp"] = blow.after
        if blow.after <= 0 and not blow.down and (name in HARMFUL or number(values.get("damage"))):
            name = KILL
    of_any_force = (
        struck and number(values.get("damage")) is None and may_fall(world, blow.result.target)
    )
    sure = blow.sure and (blow.after is not None or not of_any_force)
    fits = sure and not unfit and (name == KILL or blow.after is None or blow.after > 0)
    return Happened(
        blow.result.target,
        blow.result.result,
        name if fits else "",
        values,
        name,
        blow.down,
        blow.after is None and not sure and not blow.down,
    )
