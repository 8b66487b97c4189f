"""The Avrae bot's own words: character sheets, health in text, odds, and trees of results."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..saves import ABILITIES

__all__ = [
    "Health",
    "Roll",
    "Sheet",
    "attack_odds",
    "first_roll",
    "healths",
    "match_name",
    "results_of",
    "save_odds",
]

Json = Any

HEALTH = re.compile(
    r"^(?:#?\s*-?\d+: )?(?P<name>[^<\n]+?):? <(?P<hp>-?\d+)/(?P<max>\d+) HP[^>\n]*>"
    r"(?: \(\+(?P<temp>\d+) temp\))?(?: \(AC (?P<ac>\d+))?",
    re.MULTILINE,
)
MAX_TEXT = 400

UP = re.compile(r"^(?P<name>.+) is UP with (?P<hp>\d+) HP!", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Health:
    """What a text says of one combatant; ``None`` where it does not say."""

    hp: int
    max_hp: int | None = None
    temp_hp: int | None = None
    ac: int | None = None


def healths(text: str) -> dict[str, Health]:
    """The health of each combatant that a text of the bot gives in numbers, by name."""
    found = {}
    for match in HEALTH.finditer(text):
        temp, ac = match["temp"], match["ac"]
        found[match["name"].strip()] = Health(
            int(match["hp"]), int(match["max"]), int(temp or 0), int(ac) if ac else None
        )
    for match in UP.finditer(text):
        found[match["name"]] = Health(int(match["hp"]))
    return found


@dataclass(frozen=True, slots=True)
class Roll:
    """The roll that decides an ability: an attack with a bonus, or a save against a DC.

    ``sure`` is false of one that is made in some cases only.
    """

    kind: str
    bonus: Json = None
    dc: Json = None
    ability: str = ""
    sure: bool = True


def first_roll(automation: Json) -> Roll | None:
    """The first attack or save an ability's definition asks for, not those of its effects."""
    for node in automation if isinstance(automation, list) else ():
        if node.get("type") == "attack":
            return Roll("attack", bonus=node.get("attackBonus"))
        if node.get("type") == "save":
            ability = ABILITIES.get(str(node.get("stat"))[:3].lower(), "")
            return Roll("save", dc=node.get("dc"), ability=ability)
        for inner in ("effects", "onTrue", "onFalse"):
            if found := first_roll(node.get(inner)):
                return replace(found, sure=found.sure and inner == "effects")
    return None


@dataclass(slots=True)
class Sheet:
    """What a character sheet or stat block says of one combatant."""

    attacks: dict[str, Roll | None] = field(default_factory=dict)
    spells: list[str] = field(default_factory=list)
    actions: list[str] = field(default_factory=list)
    saves: dict[str, int] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    spell_bonus: Json = None
    spell_dc: Json = None
    about: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, data: Mapping[str, Json]) -> Sheet:
        """A sheet from a recorded caster or combatant that carries one."""
        overrides = data.get("overrides") or {}
        book = data.get("spellbook") or {}
        attacks = [*(data.get("attacks") or ()), *(overrides.get("attacks") or ())]
        spells = [*(book.get("spells") or ()), *(overrides.get("spells") or ())]
        stats = data.get("stats") or {}
        numbers = {"proficiencyBonus": int(stats.get("prof_bonus") or 0)}
        for ability in ABILITIES.values():
            numbers[f"{ability}Mod"] = (int(stats.get(ability) or 10) - 10) // 2
        classes = (data.get("levels") or {}).get("classes") or {}
        monster = data.get("monster_name")
        levels = "/".join(f"{name} {int(level)}" for name, level in classes.items())
        about = {"kind": monster, "class": None if monster else levels, "race": data.get("race")}
        return cls(
            attacks={a["name"]: first_roll(a.get("automation")) for a in attacks if a.get("name")},
            spells=list(dict.fromkeys(s["name"] for s in spells if s.get("name"))),
            actions=list(
                dict.fromkeys(a["name"] for a in data.get("actions") or () if a.get("name"))
            ),
            saves={
                name.removesuffix("Save"): int(save.get("value") or 0)
                for name, save in (data.get("saves") or {}).items()
            },
            numbers=numbers,
            spell_bonus=book.get("sab"),
            spell_dc=book.get("dc"),
            about={key: str(value) for key, value in about.items() if value},
        )

    def number(self, expression: Json) -> int | None:
        """The value of a bonus such as ``5`` or ``charismaMod + proficiencyBonus``."""
        total = 0
        for term in str(expression).replace("{", "").replace("}", "").split("+"):
            word = term.strip()
            if re.fullmatch(r"-?\d+", word):
                total += int(word)
            elif word in self.numbers:
                total += self.numbers[word]
            else:
                return None
        return total

    def options(self) -> list[dict[str, str]]:
        """Every action the sheet lists."""
        return [
            *({"type": self.type_of(name), "name": name} for name in self.attacks),
            *({"type": "cast", "name": name} for name in self.spells),
            *({"type": "use", "name": name} for name in self.actions),
        ]

    def type_of(self, name: str) -> str:
        """``attack`` where the sheet says that an attack roll decides it, else ``use``."""
        test = self.attacks.get(name)
        return "attack" if test and test.kind == "attack" else "use"


def match_name(typed: str, names: Iterable[str]) -> str | None:
    """The one name that is meant, as the bot finds it: the whole, else the only one with it."""
    wanted = typed.lower()
    known = list(dict.fromkeys(names))
    whole = [name for name in known if name.lower() == wanted]
    found = whole or [name for name in known if wanted in name.lower()]
    return found[0] if len(found) == 1 else None


def attack_odds(bonus: int, ac: int, advantage: int = 0, crit_on: int = 20) -> dict[str, float]:
    """Chances of an attack roll of d20 + ``bonus`` against ``ac``, by the rules of D&D 5e.

    A 1 always misses, ``crit_on`` and above always hit and are critical. ``advantage`` is 1 with,
    -1 with disadvantage.
    """
    land = min(max((21 + bonus - ac) / 20, 0.05), 0.95)
    crit = (21 - crit_on) / 20
    land = max(land, crit)
    if advantage > 0:
        land, crit = 1 - (1 - land) ** 2, 1 - (1 - crit) ** 2
    elif advantage < 0:
        land, crit = land**2, crit**2
    return {
        "hit": round(land - crit, 6),
        "miss": round(1 - land, 6),
        "critical": round(crit, 6),
    }


def save_odds(bonus: int, dc: int) -> dict[str, float]:
    """Chances of a saving throw of d20 + ``bonus`` against ``dc``; 1 and 20 are not special."""
    saved = min(max((21 + bonus - dc) / 20, 0.0), 1.0)
    return {"success": round(saved, 6), "failure": round(1 - saved, 6)}


@dataclass(slots=True)
class _Entry:
    target: str | None
    result: str | None = None
    values: dict[str, Json] = field(default_factory=dict)


def results_of(
    tree: Mapping[str, Json], actor: str, ids: Mapping[str, str]
) -> list[dict[str, Json]]:
    """A result for each target of one run, from the bot's tree of what it did.

    Only what was rolled counts: the definitions of buttons inside an effect look like saves that
    nobody made. What the run did to the actor beside its targets is kept in the first result's
    ``self_effects``. ``ids`` maps the combatants' own ids to actors'.
    """
    entries: list[_Entry] = []
    whole = _Entry(None)
    _walk(tree, whole, entries, ids, False)
    merged: list[_Entry] = []
    for entry in entries:
        same = next((e for e in merged if e.target == entry.target), None)
        if same and (entry.result is None or same.result is None):
            same.result = same.result or entry.result
            same.values.update(entry.values)
        else:
            merged.append(entry)
    aside = [e for e in merged if e.target == actor and e.result is None]
    if len(aside) < len(merged):
        merged = [e for e in merged if e not in aside]
        effects = [name for e in aside for name in e.values.get("effects", ())]
        if effects:
            merged[0].values["self_effects"] = effects
    if not merged:
        merged = [whole]
    elif whole.values:
        merged[0].values = {**whole.values, **merged[0].values}
    return [
        {
            **({"target": e.target} if e.target else {}),
            "result": e.result or "success",
            **({"values": e.values} if e.values else {}),
        }
        for e in merged
    ]


def _walk(
    node: Mapping[str, Json],
    entry: _Entry,
    entries: list[_Entry],
    ids: Mapping[str, str],
    branched: bool,
) -> None:
    kind, values = node.get("type"), entry.values
    if kind == "target_iteration":
        entry = _Entry(ids.get(str(node.get("target_id"))))
        entries.append(entry)
    elif kind == "attack":
        landed = "critical" if node.get("did_crit") else "hit"
        entry.result = landed if node.get("did_hit") else "miss"
        values |= _known(
            test="attack",
            roll=_total(node.get("to_hit_roll")),
            attack_bonus=node.get("attack_bonus"),
            ac=node.get("ac"),
        )
    elif kind == "save":
        saved = node.get("did_save")
        entry.result = "unresolved" if saved is None else "success" if saved else "failure"
        values |= _known(test="save", roll=_total(node.get("save_roll")), dc=node.get("dc"))
    elif kind == "damage":
        amount = int(node.get("damage") or 0)
        word = "damage" if amount >= 0 else "healing"
        values[word] = values.get(word, 0) + abs(amount)
    elif kind == "temphp":
        values |= _known(temp_hp=node.get("amount"))
    elif kind == "ieffect":
        values.setdefault("effects", []).append((node.get("effect") or {}).get("name"))
    elif kind == "remove_ieffect":
        name = (node.get("removed_effect") or {}).get("name")
        values.setdefault("removed_effects", []).append(name)
    elif kind == "counter" and node.get("counter_name") and not node.get("skipped"):
        values.setdefault("counters", {})[node["counter_name"]] = node.get("counter_remaining")
    elif kind == "roll" and branched:
        values |= _known(roll=_total(node.get("roll")))
    elif kind == "text" and branched and "text" not in values:
        values["text"] = str(node.get("text"))[:MAX_TEXT]
    for inner in _inner(node):
        _walk(inner, entry, entries, ids, branched or kind == "condition")


def _known(**values: Json) -> dict[str, Json]:
    return {key: value for key, value in values.items() if value is not None}


def _inner(node: Mapping[str, Json]) -> Iterator[Mapping[str, Json]]:
    for key in ("children", "results"):
        for inner in node.get(key) or ():
            if isinstance(inner, Mapping):
                yield inner


def _total(roll: Json) -> int | None:
    return roll.get("total") if isinstance(roll, Mapping) else None
