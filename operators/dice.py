"""How much harm dice do: ``2d6+3`` as the probability of each amount, exactly."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from ..streams.health import number

__all__ = ["Damage", "at_least", "damage_in", "dealt"]

Damage = Mapping[int, float]
"""The probability of each amount."""

SORTS = (
    "acid|bludgeoning|cold|fire|force|lightning|necrotic|piercing|poison|psychic|radiant|slashing"
    "|thunder"
)
BESIDES = re.compile(rf"\[[^\]]*\]|\b(?:magical|damage|{SORTS})\b", re.IGNORECASE)
"""What stands with dice and changes nothing: of which sort the damage is."""
TERM = re.compile(r"([+-]?)(?:(\d{0,3})d(\d{1,3})|(\d{1,6}))", re.IGNORECASE)
ALL = re.compile(rf"(?:{TERM.pattern})+", re.IGNORECASE)
LARGEST = 400
"""Dice times their sides: what is larger is not worked out."""
LONGEST = 200
NAMED = ("damage", "damage_dice")


def damage_in(what: Mapping[str, Any]) -> str | None:
    """The dice that an action, or an entry of a sheet or a stat block, says it does harm with.

    ``damage`` or ``damage_dice``: an expression, an amount, or a list of either or of objects that
    have them, which come together. ``None`` where it says nothing, or leaves a choice.
    """
    for name in NAMED:
        if (said := what.get(name)) is not None:
            return _said(said)
    return None


def _said(said: Any) -> str | None:
    if isinstance(said, str):
        return said
    amount = number(said)
    if amount is not None:
        return str(round(amount)) if amount >= 0 else None
    if isinstance(said, Mapping):
        return None if "dc" in said else damage_in(said)  # a part that is saved against by itself
    if not isinstance(said, list | tuple) or not said:
        return None
    parts = [_said(each) for each in said]
    known = [part for part in parts if part]
    return "+".join(known) if len(known) == len(parts) else None


@lru_cache(maxsize=512)
def dealt(dice: str, *, twice: bool = False) -> Damage | None:
    """The probability of each amount that dice come to, never below 0.

    :param dice: such as ``1d8+3`` or ``2d6 + 1d4 [fire] - 1``.
    :param twice: whether each die is rolled twice, as for a critical.
    :return: ``None`` for what is no such expression, or comes to more than can be worked out.
    """
    if len(dice) > LONGEST:
        return None
    plain = "".join(BESIDES.sub("", dice).replace(" plus ", "+").split())
    if not ALL.fullmatch(plain):
        return None
    constant, rolled, size = 0, [], 0
    for place, (sign, count, sides, amount) in enumerate(TERM.findall(plain)):
        if place and not sign:
            return None
        by = -1 if sign == "-" else 1
        if amount:
            constant += by * int(amount)
            continue
        many = int(count or 1) * (2 if twice else 1)
        size += many * int(sides)
        if not int(sides) or size > LARGEST:
            return None
        rolled += [by * int(sides)] * many
    ways = {constant: 1}
    for die in rolled:
        ways = _with(ways, die)
    total = math.prod(map(abs, rolled))
    found: dict[int, int] = {}
    for amount_, count_ in ways.items():
        found[max(0, amount_)] = found.get(max(0, amount_), 0) + count_
    return {each: found[each] / total for each in sorted(found)}


def _with(ways: Mapping[int, int], die: int) -> dict[int, int]:
    """In how many ways each sum comes about with one die more, which may count against it."""
    first, last = min(ways), max(ways)
    lowest, highest = (1, die) if die > 0 else (die, -1)
    found, within = {}, 0
    for total in range(first + lowest, last + highest + 1):
        within += ways.get(total - lowest, 0) - ways.get(total - highest - 1, 0)
        found[total] = within
    return found


def at_least(damage: Damage, amount: float) -> float:
    """How likely it is as much as that; exactly 1 if it cannot be less."""
    if all(each >= amount for each in damage):
        return 1.0
    return min(1.0, math.fsum(p for each, p in damage.items() if each >= amount))
