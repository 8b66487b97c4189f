"""The rules of the demo's table: few, and honest about their odds."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

__all__ = ["Attack", "Spell", "attack", "attack_odds", "save_odds"]

RARE = 0.01
"""Results less likely than this are not named in the odds."""


@dataclass(frozen=True, slots=True)
class Attack:
    """A roll to hit: d20 + ``bonus`` against AC; ``dice`` × ``sides`` + ``plus`` damage."""

    bonus: int
    dice: int
    sides: int
    plus: int


@dataclass(frozen=True, slots=True)
class Spell:
    """A saving throw against ``dc``, half damage for those who make it."""

    dc: int
    dice: int
    sides: int


def attack(rule: Attack, d20: int, damage: tuple[int, ...], ac: int) -> tuple[str, int]:
    """The result of an attack, and its damage, when the dice show this."""
    if d20 == 20:
        return "critical", sum(damage) + rule.plus  # ints
    if d20 == 1 or d20 + rule.bonus < ac:
        return "miss", 0
    return "hit", sum(damage[: rule.dice]) + rule.plus  # ints


def attack_odds(rule: Attack, ac: int, hp: int) -> dict[str, float]:
    """How likely each result is against this armour class and health; ``kill`` fells."""
    lands = sum(n + rule.bonus >= ac for n in range(2, 20)) / 20  # ints
    fells = _at_least(hp - rule.plus, rule.dice, rule.sides)
    critical = _at_least(hp - rule.plus, 2 * rule.dice, rule.sides)
    return _likely(
        hit=lands * (1 - fells),
        kill=lands * fells + critical / 20,
        critical=(1 - critical) / 20,
        miss=0.95 - lands,
    )


def save_odds(rule: Spell, bonus: int, hp: int) -> dict[str, float]:
    """How likely each result is for one with this bonus on the saving throw, and this health."""
    fails = (rule.dc - 1 - bonus) / 20
    fells = _at_least(hp, rule.dice, rule.sides)
    return _likely(failure=fails * (1 - fells), kill=fails * fells, success=1 - fails)


def _likely(**odds: float) -> dict[str, float]:
    return {name: round(p, 4) for name, p in odds.items() if p >= RARE}


def _at_least(total: int, dice: int, sides: int) -> float:
    """The probability that so many dice show ``total`` or more."""
    ways = Counter({0: 1})
    for _ in range(dice):
        ways = Counter(
            {
                shown: sum(ways[shown - side] for side in range(1, sides + 1))  # ints
                for shown in range(1, max(ways) + sides + 1)
            }
        )
    return sum(n for shown, n in ways.items() if shown >= total) / float(sides**dice)  # ints
