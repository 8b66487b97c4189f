"""Whether a blow fells its target: by health and dice, where both are known."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

from ..streams.blows import HARMFUL, KILL, NOTHING, health_left, laid_low, sum_of
from ..streams.content_names import plain
from ..streams.health import number, vitals_of
from ..streams.saves import is_save
from ..streams.world import Declared, World
from .dice import Damage, at_least, damage_in, dealt

__all__ = [
    "SHEET",
    "Harm",
    "felled",
    "harm_said",
    "harms",
    "is_low",
    "listed",
    "may_fall",
    "with_kill",
]

Harm = Callable[[World, Declared, str | None, str], Damage | None]
"""How much harm a result of an action does to a target; ``None`` where nobody knows."""

SHEET = ("attacks", "spells", "actions")
FALLS_BELOW = 1 / 3
ONE_BLOW = 10
"""An actor with no more health than this may fall at one blow, if nobody knows how much is all."""
FALLS = 0.5
"""How often one so low falls at a blow of which nobody knows how hard it is."""
LEAST = 0.01
"""What is less likely is not told apart."""


def listed(what: Mapping[str, Any], parts: tuple[str, ...], name: Any) -> list[Any]:
    """The entries of a sheet, or a stat block, that are called so."""
    if what.keys().isdisjoint(parts):  # as most states are
        return []
    wanted = plain(name) if isinstance(name, str) else ""
    sheets = [what[part] for part in parts if part in what] if wanted else []
    entries = [each for sheet in sheets if isinstance(sheet, list | tuple) for each in sheet]
    return [each for each in entries if _is_called(each, wanted)]


def _is_called(entry: Any, wanted: str) -> bool:
    said = entry.get("name") if isinstance(entry, Mapping) else None
    return isinstance(said, str) and plain(said) == wanted


def harm_said(world: World, declared: Declared, target: str | None, result: str) -> Damage | None:
    """The damage of a blow by the dice that the action names, or the sheet of who does it."""
    if not harms(declared, result):
        return None
    dice = damage_in(declared.action)
    for entry in listed(world.actor(declared.actor), SHEET, declared.action.get("name")):
        dice = dice or damage_in(entry)
    return dealt(dice, twice=result == "critical") if dice else None


def felled(world: World, declared: Declared, target: str | None, result: str, harm: Harm) -> bool:
    """Whether a result that is certain fells its target beyond doubt."""
    if harms(declared, result) and laid_low(world, declared, target):
        return True
    left = _left(world, target)
    damage = harm(world, declared, target, result) if left is not None else None
    return damage is not None and left is not None and at_least(damage, left) == 1


def with_kill(
    odds: Mapping[str, float], world: World, declared: Declared, target: str | None, harm: Harm
) -> dict[str, float]:
    """The odds with that of a fall as a result of its own, taken from those it may come of.

    ::

        hit 0.60  critical 0.05  miss 0.35
        hit 0.45  critical 0.01  miss 0.35  kill 0.19
    """
    found = dict(odds)
    if KILL in found or target is None:
        return found
    left = _left(world, target)
    shown = laid_low(world, declared, target)
    unknown = FALLS if shown or may_fall(world, target) else 0.0
    kills = {}
    for name, p in odds.items():
        damage = harm(world, declared, target, name) if left is not None and not shown else None
        if damage is not None and left is not None:
            kills[name] = p * at_least(damage, left)
        elif harms(declared, name):
            kills[name] = p * unknown
    if math.fsum(kills.values()) >= LEAST:
        for name, p in kills.items():
            if found[name] - p >= LEAST or not p:
                found[name] -= p
            else:  # hardly anybody lives
                kills[name] = found.pop(name)
        found[KILL] = math.fsum(kills.values())
    return found


def harms(declared: Declared, result: str) -> bool:
    """Whether it is a blow: what only comes off or does not hurts nobody."""
    return result in HARMFUL and (result != "failure" or is_save(declared.action, result, {}))


def _left(world: World, target: str | None) -> float | None:
    """How much a target can take, buffers included; none where nobody can tell, or it is down."""
    now = vitals_of(world.state, target)
    if now is None or now.pool is None or now.shields:
        return None
    left = now.pool - sum_of(each for _, each in world.accounts.get(target or "", NOTHING).owed)
    return left if 0 < left < math.inf else None  # nor is a NaN


def may_fall(world: World, actor_id: str | None) -> bool:
    """Whether somebody may fall at a blow of which nobody knows how hard it is."""
    left = health_left(world, actor_id)
    return left is not None and left > 0 and is_low(world.actor(actor_id), left)


def is_low(actor: Mapping[str, Any], left: float) -> bool:
    """Whether one with so much health left may fall at the next blow."""
    full = number(actor.get("max_hp")) or number(actor.get("max_health"))
    return left <= (full * FALLS_BELOW if full else ONE_BLOW)
