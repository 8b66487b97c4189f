"""From what was typed or pressed to a declared action: who, what, at whom, with what odds."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from ..saves import ABILITIES
from .avrae import Roll, Sheet, attack_odds, first_roll, match_name, save_odds
from .common import slug
from .fireball_table import Event, Table

__all__ = ["ACTS", "DEATH_SAVE", "Act", "Acts"]

Json = Any

ACTS = {
    "attack": "attack",
    "action": "attack",
    "aoo": "attack",
    "monattack": "attack",
    "cast": "cast",
    "moncast": "cast",
    "check": "check",
    "moncheck": "check",
    "save": "save",
    "monsave": "save",
}
"""The last word of a command's full name, and the type of action it stands for."""

FLAGS = {"adv": 1, "dis": -1}
DEATH_SAVE = "Death save"
DEATH_ODDS = {"success": 0.55, "failure": 0.45}


@dataclass(slots=True)
class Act:
    """An action between its declaration and its outcome."""

    action_id: str
    turn: str | None
    actor: str
    action: dict[str, Json]
    targets: tuple[str, ...] = ()
    roll: Roll | None = None
    advantage: int = 0
    crit_on: int = 20
    resolved: bool = False


class Acts:
    """Every action of a combat, by the id of the message or button press it came from."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self._acts: dict[str, Act] = {}
        self._snippets: dict[tuple[str, str], list[str]] = {}
        self._learned: dict[tuple[str, str], Roll | None] = {}

    def get(self, key: str) -> Act | None:
        """The action that came from a message or button press, if one did."""
        return self._acts.get(key)

    def command(self, event: Event, turn: str | None) -> Act | None:
        """The action a command declares, by what was known when it was typed; ``None`` if none."""
        command = str(event.get("command_name"))
        kind = ACTS.get(command.rsplit(maxsplit=1)[-1]) if command else None
        if kind is None:
            return None
        words = self._words(event)
        typed = self._typed(event, words)
        actor = self._actor(event, command, typed)
        names = (
            target if isinstance(target, str) else str(target.get("name"))
            for target in event.get("targets") or ()
        )
        targets = tuple(self.table.by_name.get(name) or slug(name) for name in names)
        aim = {"target": targets[0] if len(targets) == 1 else list(targets)} if targets else {}
        act = Act(self._next_id(), turn, actor, {}, targets)
        leaning = sum(FLAGS.get(word.lower(), 0) for word in words)  # ints
        act.advantage = max(-1, min(1, leaning))
        act.crit_on = _option(words, "-criton", 20)
        joined = " ".join(typed)
        if kind in ("check", "save"):
            act.action = {"type": kind, "name": _test_name(kind, joined), **aim}
        else:
            sheet = self.table.sheet(actor)
            listed = sheet.spells if kind == "cast" else [*sheet.attacks, *sheet.actions]
            name = match_name(joined, listed) or match_name(typed[0] if typed else "", listed)
            act.action = _named({"type": kind, **aim}, name or joined or kind, sheet, bool(name))
            self._decided(act, self._roll(act, sheet))
        self._acts[str(event.get("message_id"))] = act
        return act

    def button(self, event: Event, turn: str | None) -> Act:
        """The action a pressed button declares; buttons act on the one who has the effect."""
        ids = str(event.get("button_id")).split(":")
        owner = next((c for c in self.table.combatants if c.get("id") in ids), {})
        actor = self.table.by_uuid.get(str(owner.get("id"))) or self.table.player(event)
        action = {"type": "use", "name": str(event.get("button_label")), "target": actor}
        act = Act(self._next_id(), turn, actor, action, (actor,))
        for effect in owner.get("effects") or ():
            for button in effect.get("buttons") or ():
                if effect.get("id") in ids and button.get("id") in ids:
                    roll = first_roll(button.get("automation"))
                    if roll and roll.dc is None:
                        dc = button.get("override_default_dc")
                        roll = replace(roll, dc=dc)
                    self._decided(act, roll)
        self._acts[str(event.get("interaction_id"))] = act
        return act

    def answer(self, act: Act, name: str) -> bool:
        """The player says which ability was meant; true if that changes the action."""
        sheet = self.table.sheet(act.actor)
        if name not in [*sheet.attacks, *sheet.spells, *sheet.actions] and name.endswith(")"):
            name = name[: name.rindex("(")].strip()  # the book it is from, such as (TCoE)
        before = act.action
        act.action = _named(before, name, sheet, True)
        self._decided(act, self._roll(act, sheet))
        return act.action != before

    def learn_snippet(self, author: str, name: str, body: str) -> None:
        """What an author's own abbreviation stands for, from its first use on."""
        self._snippets[author, name] = _split(body)

    def learn_roll(self, act: Act, automation: Json) -> None:
        """How an ability is decided, from its first outcome on."""
        name = str(act.action["name"]).lower()
        self._learned[act.action["type"], name] = first_roll(automation)

    def odds(self, act: Act) -> dict[str, Any] | None:
        """The chances of each result by the rules, where all they depend on is known already."""
        if act.action == {"type": "save", "name": DEATH_SAVE}:
            return DEATH_ODDS
        found = {target: self._odds_against(target, act) for target in act.targets}
        if act.roll is None or not found or None in found.values():
            return None
        return found if len(found) > 1 else found[act.targets[0]]

    def _odds_against(self, target: str, act: Act) -> dict[str, float] | None:
        roll, sheet = act.roll, self.table.sheet(act.actor)
        if roll is None:
            return None
        spell = act.action["type"] == "cast"
        if roll.kind == "attack":
            bonus = sheet.number(sheet.spell_bonus if roll.bonus is None and spell else roll.bonus)
            ac = self.table.health.get(target, {}).get("ac")
            if bonus is None or ac is None:
                return None
            return attack_odds(bonus, ac, act.advantage, act.crit_on)
        dc = sheet.number(sheet.spell_dc if roll.dc is None and spell else roll.dc)
        saves = self.table.sheet(target).saves
        known = dc is not None and roll.ability in saves
        return save_odds(saves[roll.ability], dc) if known and dc is not None else None

    def _next_id(self) -> str:
        return f"a{len(self._acts) + 1}"

    def _roll(self, act: Act, sheet: Sheet) -> Roll | None:
        name = str(act.action["name"])
        return sheet.attacks.get(name) or self._learned.get((act.action["type"], name.lower()))

    def _decided(self, act: Act, roll: Roll | None) -> None:
        """How the action is decided, as far as it is known when it is declared."""
        act.roll = roll
        act.action.pop("save", None)
        if roll is not None and roll.kind == "save" and roll.sure:
            act.action["save"] = roll.ability or True

    def _words(self, event: Event) -> list[str]:
        """What was typed after the command's own name, with the author's known snippets put in."""
        prefix = str(event.get("prefix") or "!")
        words = _split(str(event.get("content") or "").removeprefix(prefix))
        words = words[2:] if words and words[0] in ("i", "init") else words[1:]
        author = str(event.get("author_id"))
        return words + [w for word in words for w in self._snippets.get((author, word), ())]

    def _typed(self, event: Event, words: list[str]) -> list[str]:
        """The words that name the ability: those before the first option."""
        author, typed = str(event.get("author_id")), []
        for word in words:
            if word.startswith("-"):
                break
            if word.lower() not in FLAGS and (author, word) not in self._snippets:
                typed.append(word)
        return typed

    def _actor(self, event: Event, command: str, typed: list[str]) -> str:
        if caster := (event.get("caster") or {}).get("name"):
            return self.table.by_name.get(caster) or slug(caster)
        if command.startswith("mon") and typed:
            monster = typed.pop(0)
            known = [
                actor
                for actor, sheet in self.table.sheets.items()
                if str(sheet.about.get("kind")).lower() == monster.lower()
            ]
            return known[0] if len(known) == 1 else slug(monster)
        return self.table.player(event)


def _named(action: dict[str, Json], name: str, sheet: Sheet, known: bool) -> dict[str, Json]:
    """The action by its real name, and of the type that its sheet says it is."""
    kind = action["type"]
    if kind != "cast" and known:
        kind = sheet.type_of(name)
    elif kind != "cast" and "target" not in action:
        kind = "use"
    return {**action, "type": kind, "name": name}


def _test_name(kind: str, typed: str) -> str:
    if kind == "save":
        typed = f"{ABILITIES.get(typed[:3].lower(), typed)} save"
    return typed[:1].upper() + typed[1:]


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:
        return text.split()


def _option(words: list[str], name: str, default: int) -> int:
    """The number after an option such as ``-criton 19``, as typed."""
    for word, value in pairwise(words):
        if word == name and value.isdigit():
            return min(max(int(value), 1), 20)
    return default
