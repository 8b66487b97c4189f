"""What the rules of a game know of an action before the dice are rolled: its odds, and its harm."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Protocol

from ..streams.health import number
from ..streams.saves import ABILITIES
from ..streams.world import Declared, World
from .contents import SceneContent
from .dice import Damage, damage_in, dealt
from .kills import SHEET, harms, listed
from .results import SAVE, rolls_to_hit

__all__ = ["Rules", "SrdRules"]

NOTHING: Mapping[str, Any] = {}
IN_A_BLOCK = ("actions", "special_abilities", "legendary_actions", "reactions")
BONUS = ("attack_bonus", "to_hit")
OF_SPELLS = ("spell_attack_bonus", "spell_attack")
ARMOUR = ("ac", "armor_class", "armour_class")
SAVES = ("saves", "saving_throws")
SIGNED = re.compile(r"[+-]?\d{1,3}")
FACES = 20
LEAST, MOST = 0.05, 0.95
"""A 1 always misses, a 20 always hits, and is a critical."""


class Rules(Protocol):
    """Says what may come of an action before it does; yours to replace.

    ``content`` is what was preloaded about its actor and its target, as prompts have it:
    ``content["stat_block"]["goblin-2"]``. Both methods are plain functions, quick, and go by what
    they are given alone: a replay asks again. An outcome is never among it. What they raise is
    reported, and counts as not known.
    """

    def odds(
        self, world: World, declared: Declared, target: str | None, content: SceneContent
    ) -> Mapping[str, float] | None:
        """The results it may have for a target, with their probabilities; ``None``: not known."""
        ...

    def damage(
        self,
        world: World,
        declared: Declared,
        target: str | None,
        result: str,
        content: SceneContent,
    ) -> Damage | None:
        """The probability of each amount of harm a result does; ``None``: not known, or none."""
        ...


class SrdRules:
    """The rules of the d20 system reference document, as far as sheets and stat blocks say them.

    An attack with a bonus (``attack_bonus`` or ``to_hit``) at an armour class (``ac`` or
    ``armor_class``) hits with ``(21 + bonus - class) / 20``, from 0.05 to 0.95, of which 0.05 are
    critical; with ``advantage`` or ``disadvantage`` in the action it is rolled twice. What is saved
    against by a ``dc`` succeeds, for its target, with ``(21 + modifier - dc) / 20``. The action
    says so, or the entry of its name on the actor's sheet, or in its stat block. Resistances and
    cover are not known.
    """

    def odds(
        self, world: World, declared: Declared, target: str | None, content: SceneContent
    ) -> Mapping[str, float] | None:
        """See :class:`Rules`."""
        if target is None:
            return None
        said = _said(world, declared, content)
        actor, other = declared.actor, target
        bonus = _first(said, BONUS)
        if bonus is None and declared.action.get("type") == "cast" and not _saved(said)[0]:
            bonus = _first(_who(world, actor, content), OF_SPELLS)
        if bonus is not None and rolls_to_hit(world, declared, target):
            armour = _first(_who(world, other, content), ARMOUR)
            return None if armour is None else _attack(bonus, armour, declared.action)
        dc, ability = _saved(said)
        modifier = _modifier(world, other, ability, content) if dc is not None else None
        if dc is None or modifier is None:
            return None
        success = min(1.0, max(0.0, (FACES + 1 + modifier - dc) / FACES))
        return {"success": success, "failure": 1.0 - success}

    def damage(
        self,
        world: World,
        declared: Declared,
        target: str | None,
        result: str,
        content: SceneContent,
    ) -> Damage | None:
        """See :class:`Rules`. Of a save that is made it is half, where the rules say so."""
        said = _said(world, declared, content)
        dice = next(filter(None, map(damage_in, said)), None)
        if dice is None:
            return None
        half, save = result == "success", result in SAVE and _saved(said)[0] is not None
        if half and not (save and _halves(said)):
            return None
        if not (save or harms(declared, result)):
            return None
        damage = dealt(dice, twice=result == "critical")
        return _half(damage) if half and damage is not None else damage


def _said(world: World, declared: Declared, content: SceneContent) -> list[Mapping[str, Any]]:
    """What speaks of an action, the surest first."""
    actor, name = declared.actor, declared.action.get("name")
    sheet = listed(world.actor(actor), SHEET, name)
    return [declared.action, *sheet, *listed(_block(content, actor), IN_A_BLOCK, name)]


def _who(world: World, actor: str, content: SceneContent) -> list[Mapping[str, Any]]:
    return [world.actor(actor), _block(content, actor)]


def _block(content: SceneContent, actor: str) -> Mapping[str, Any]:
    found = content.get("stat_block", NOTHING).get(actor)
    return NOTHING if found is None or not isinstance(found, Mapping) else found


def _first(what: list[Mapping[str, Any]], names: tuple[str, ...]) -> float | None:
    found = (_number(each.get(name)) for each in what for name in names)
    return next((each for each in found if each is not None), None)


def _number(said: Any) -> float | None:
    """A number, ``"+5"``, or the first of ``[{"value": 14}]``."""
    if isinstance(said, list | tuple) and said:
        said = said[0]
    if isinstance(said, Mapping):
        said = said.get("value")
    if isinstance(said, str) and SIGNED.fullmatch(said):
        return int(said)
    return number(said)


def _attack(bonus: float, armour: float, action: Mapping[str, Any]) -> dict[str, float]:
    hits = min(MOST, max(LEAST, (FACES + 1 + bonus - armour) / FACES))
    critical = 1 / FACES
    more, less = action.get("advantage") is True, action.get("disadvantage") is True
    if more and not less:
        hits, critical = 1 - (1 - hits) ** 2, 1 - (1 - critical) ** 2
    elif less and not more:
        hits, critical = hits**2, critical**2
    return {"hit": max(0.0, hits - critical), "miss": 1 - hits, "critical": critical}


def _saved(said: list[Mapping[str, Any]]) -> tuple[float | None, str]:
    """What is to be reached in a save, and with which ability."""
    dc, ability = None, ""
    for each in said:
        for what in (each.get("dc"), each.get("save")):
            if isinstance(what, str) and not SIGNED.fullmatch(what):
                ability = ability or what
            elif isinstance(what, Mapping):
                kind = what.get("dc_type", what.get("ability"))
                kind = kind.get("index") if isinstance(kind, Mapping) else kind
                ability = ability or (kind if isinstance(kind, str) else "")
                own = _number(what.get("dc_value", what.get("dc")))
                dc = own if dc is None else dc
            elif dc is None:
                dc = _number(what)
    return dc, ability.lower()[:3]


def _halves(said: list[Mapping[str, Any]]) -> bool:
    for each in said:
        for what in (each.get("dc"), each.get("save"), each):
            if isinstance(what, Mapping):
                says = what.get("success_type", what.get("dc_success"))
                if says is not None:
                    return bool(says == "half")
    return False


def _half(damage: Damage) -> Damage:
    found: dict[int, float] = {}
    for amount, p in damage.items():
        found[amount // 2] = found.get(amount // 2, 0.0) + p
    return found


def _modifier(world: World, actor: str, ability: str, content: SceneContent) -> float | None:
    """What somebody adds to a save."""
    names = (ability, ABILITIES.get(ability, ability))
    for who in _who(world, actor, content):
        listed_ = [who.get(part) for part in SAVES]
        for each in [*listed_, _proficient(who)]:
            if isinstance(each, Mapping) and (own := _first([each], names)) is not None:
                return own
        scores = [each for each in (who.get("abilities"), who.get("stats"), who) if each]
        for each in scores:
            score = _first([each], names) if isinstance(each, Mapping) else None
            if score is not None:
                return (score - 10) // 2
    return None


def _proficient(block: Mapping[str, Any]) -> dict[str, Any]:
    """The saves that a stat block of the reference document lists."""
    found = {}
    listed_ = block.get("proficiencies")
    for each in listed_ if isinstance(listed_, list | tuple) else ():
        what = each.get("proficiency") if isinstance(each, Mapping) else None
        index = what.get("index") if isinstance(what, Mapping) else None
        if isinstance(index, str) and index.startswith("saving-throw-"):
            found[index.removeprefix("saving-throw-")] = each.get("value")
    return found
