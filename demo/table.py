"""The table the demo plays at: its cast, its six beats, and its dice.

The dice of a beat are the same whoever it is aimed at. They are drawn from the seed: of the
evenings it gives, the first on which every beat comes out as its title says.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from itertools import count
from typing import Any

from .rules import Attack, Spell, attack, attack_odds, save_odds

__all__ = ["BEATS", "Beat", "Rolled", "Table"]


@dataclass(frozen=True, slots=True)
class Beat:
    """One of the six. ``choices`` may be aimed at; ``targets`` are, unless the visitor chooses.

    ``turns_to`` is where the aim goes half-way. ``foreseen`` is false for what nobody declares;
    ``twist`` says what it was. One that is ``instead`` begins when the beat before it is taken
    back, in the midst of the move given there, which then never was.
    """

    title: str
    actor: str
    action: Mapping[str, Any]
    rule: Attack | Spell
    lead: str
    targets: tuple[str, ...]
    choices: tuple[str, ...] = ()
    turns_to: str | None = None
    foreseen: bool = True
    twist: str = ""
    instead: Beat | None = None


@dataclass(frozen=True, slots=True)
class Rolled:
    """What the dice said: a line for the table, and the results as a game hands them over."""

    line: str
    results: tuple[dict[str, Any], ...]


LONGSWORD = Attack(bonus=7, dice=1, sides=8, plus=4)
LONGBOW = Attack(bonus=8, dice=1, sides=8, plus=4)
FIREBALL = Spell(dc=15, dice=8, sides=6)
MILLSTONE = Attack(bonus=6, dice=2, sides=6, plus=4)
GREATCLUB = Attack(bonus=6, dice=2, sides=8, plus=4)
BIG = ("hobgoblin", "bugbear", "ogre")
SMALL = ("goblin-1", "goblin-2", "goblin-3")

BEATS = (
    Beat(
        "A hit",
        "mira",
        {"type": "attack", "name": "longsword"},
        LONGSWORD,
        "Mira raises the longsword.",
        ("hobgoblin",),
        BIG,
    ),
    Beat(
        "A kill",
        "sable",
        {"type": "attack", "name": "longbow"},
        LONGBOW,
        "Sable draws the longbow.",
        ("goblin-1",),
        SMALL,
    ),
    Beat(
        "A fireball on three",
        "orin",
        {"type": "cast", "name": "fireball", "save": "dexterity"},
        FIREBALL,
        "Orin speaks the first syllable of a fireball.",
        BIG,
    ),
    Beat(
        "A change of target",
        "mira",
        {"type": "attack", "name": "longsword"},
        LONGSWORD,
        "Mira presses the attack, and may think better of it.",
        ("hobgoblin",),
        BIG,
        turns_to="bugbear",
    ),
    Beat(
        "What nobody foresaw",
        "ogre",
        {"type": "attack", "name": "millstone"},
        MILLSTONE,
        "The ogre's turn. By its sheet it fights with a greatclub.",
        ("mira",),
        foreseen=False,
        twist="It tears a millstone loose and throws it at Mira.",
    ),
    Beat(
        "A move taken back",
        "ogre",
        {"type": "attack", "name": "greatclub"},
        GREATCLUB,
        "The ogre's turn again, with the greatclub.",
        ("mira",),
        instead=Beat(
            "",
            "sable",
            {"type": "attack", "name": "longbow"},
            LONGBOW,
            "Sable aims at the ogre when the table stops: nobody lifts a millstone.",
            ("ogre",),
        ),
    ),
)

SAVES = {"hobgoblin": 1, "bugbear": 2, "ogre": -1}


def _someone(name: str, side: str, hp: int, ac: int, **more: Any) -> dict[str, Any]:
    return {"name": name, "side": side, "hp": hp, "max_hp": hp, "ac": ac, **more}


OPENING: Mapping[str, Any] = {
    "mode": "combat",
    "round": 1,
    "location": {"id": "mill", "name": "the Drowned Mill"},
    "actors": {
        "mira": _someone("Mira", "party", 44, 18, **{"class": "fighter"}),
        "sable": _someone("Sable", "party", 38, 15, **{"class": "ranger"}),
        "orin": _someone("Orin", "party", 27, 12, **{"class": "wizard"}),
        "hobgoblin": _someone("Hobgoblin", "foes", 39, 16),
        "bugbear": _someone("Bugbear", "foes", 45, 15),
        "ogre": _someone("Ogre", "foes", 59, 11, attacks=["greatclub"]),
        "goblin-1": _someone("Goblin 1", "foes", 7, 13),
        "goblin-2": _someone("Goblin 2", "foes", 7, 13),
        "goblin-3": _someone("Goblin 3", "foes", 7, 13),
    },
}


class Table:
    """The game of the demo: its state, and its dice."""

    def __init__(self, seed: int = 0) -> None:
        self.state: dict[str, Any] = deepcopy(dict(OPENING))
        self._before = self.state
        self._dice = next(
            dice for evening in count() if _as_promised(dice := _throw(f"{seed}/{evening}"))
        )

    def name(self, actor: str) -> str:
        """How an actor is called."""
        return str(self.state["actors"][actor]["name"])

    def names(self, actors: Iterable[str]) -> str:
        """Several of them in a sentence."""
        *first, last = [self.name(each) for each in actors]
        return f"{', '.join(first)} and {last}" if first else last

    def standing(self, actors: Iterable[str]) -> tuple[str, ...]:
        """Those of them who have not fallen."""
        return tuple(each for each in actors if self.state["actors"][each]["hp"] > 0)

    def odds(self, beat: Beat, targets: Iterable[str]) -> dict[str, Any]:
        """How likely each result is, as the rules know it before the dice are thrown."""
        odds = {each: self._odds(beat.rule, each) for each in targets}
        return odds if len(odds) > 1 else next(iter(odds.values()))

    def _odds(self, rule: Attack | Spell, target: str) -> dict[str, float]:
        actor = self.state["actors"][target]
        if isinstance(rule, Spell):
            return save_odds(rule, SAVES[target], actor["hp"])
        return attack_odds(rule, actor["ac"], actor["hp"])

    def take_back(self) -> None:
        """The last throw of dice never was."""
        self.state = self._before

    def roll(self, beat: Beat, targets: Iterable[str]) -> Rolled:
        """Throw the dice of a beat; the state is then as they left it."""
        d20s, damage = self._dice[BEATS.index(beat)]
        self._before, self.state = self.state, deepcopy(self.state)
        rule = beat.rule
        results, said = [], []
        for number, target in enumerate(targets):
            actor, d20 = self.state["actors"][target], d20s[number]
            if isinstance(rule, Spell):
                saved = d20 + SAVES[target] >= rule.dc
                whole = sum(damage[: rule.dice])  # ints
                result, dealt = ("success", whole // 2) if saved else ("failure", whole)
                said.append(f"{actor['name']} {d20 + SAVES[target]}, {result}: {dealt}")
            else:
                result, dealt = attack(rule, d20, damage, actor["ac"])
                said.append(
                    f"d20: {d20} + {rule.bonus} = {d20 + rule.bonus} against AC {actor['ac']}, "
                    f"{result}" + (f" for {dealt}" if dealt else "")
                )
            actor["hp"] = max(0, actor["hp"] - dealt)
            if actor["hp"] == 0:
                said[-1] += f"; {actor['name']} falls"
            values = {"damage": dealt} if dealt else {}
            results.append({"target": target, "result": result, "values": values})
        head = f"Dexterity against DC {rule.dc}. " if isinstance(rule, Spell) else ""
        return Rolled(f"{head}{'; '.join(said)}.", tuple(results))


Dice = tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]


def _throw(seed: str) -> Dice:
    """For each beat three d20 and the dice of its damage, twice as many for a critical."""
    rng = random.Random(f"foretell demo {seed}")
    return tuple(
        (
            tuple(rng.randint(1, 20) for _ in range(3)),
            tuple(rng.randint(1, beat.rule.sides) for _ in range(2 * beat.rule.dice)),
        )
        for beat in BEATS
    )


def _as_promised(dice: Dice) -> bool:
    """Whether each beat comes out as its title says, whoever is aimed at, and with variety.

    One of three withstands the fireball and nobody dies of it; who turns to another misses, and so
    does who plays again what was taken back.
    """
    hit, kill, _, change, unforeseen, again = (
        _all_results(*each) for each in zip(BEATS, dice, strict=True)
    )
    d20s, flames = dice[2]
    saved = sum(d20 + SAVES[each] >= FIREBALL.dc for d20, each in zip(d20s, BIG, strict=True))
    return (
        hit == unforeseen == {"hit"}
        and kill == {"hit"}
        and dice[1][1][0] + LONGBOW.plus >= OPENING["actors"]["goblin-1"]["hp"]
        and saved == 1
        and 20 <= sum(flames[: FIREBALL.dice]) <= 26  # ints
        and change == again == {"miss"}
    )


def _all_results(beat: Beat, dice: tuple[tuple[int, ...], tuple[int, ...]]) -> set[str]:
    if isinstance(beat.rule, Spell):
        return set()
    armour = {OPENING["actors"][each]["ac"] for each in beat.choices or beat.targets}
    return {attack(beat.rule, dice[0][0], dice[1], ac)[0] for ac in armour}
