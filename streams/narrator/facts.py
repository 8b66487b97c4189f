"""The facts of a telling, read out of the prompt's ``FACTS`` line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..numerals import numeral
from ..saves import is_save
from .lexicon import Named, Tool, clean, named, spell_element, tool

__all__ = ["HELPS", "Happening", "find_facts", "find_scene", "read_telling"]

HELPS = ("mend", "ward")
"""Elements of spells that help their target."""

_RESULTS = {
    **{known: known for known in ("hit", "miss", "critical", "success", "failure", "kill")},
    **dict.fromkeys(("crit", "critical hit", "critical_hit"), "critical"),
    **dict.fromkeys(("misses", "missed", "critical miss", "fumble"), "miss"),
    **dict.fromkeys(("fail", "failed"), "failure"),
    **dict.fromkeys(("save", "saved", "succeed", "succeeded"), "success"),
    **dict.fromkeys(("killed", "dead"), "kill"),
    "hits": "hit",
}
_NUMBERS = ("damage", "target_hp", "healing")


@dataclass(slots=True)
class Happening:
    """One thing that happened to one target, read out of the facts."""

    actor: Named
    kind: str
    name: str
    target: Named | None
    result: str
    numbers: dict[str, str]
    dies: bool
    element: str
    tool: Tool
    effects: list[str] = field(default_factory=list)
    down: bool = False
    """Whether its target lay there before."""
    unsure: bool = False
    """Whether nobody knows if its target still stands."""
    lies: bool = False
    """Whether its actor lies there while it happens."""
    save: bool = False
    """Whether the result is its target's saving throw, not what became of the attempt."""

    @property
    def key(self) -> tuple[str, str, str]:
        """Who did what: equal for all the targets of one action."""
        return self.actor.name, self.kind, self.name

    @property
    def damage(self) -> str | None:
        """How much it hurts, in digits or as a hole; ``None`` where nobody says that it does."""
        said = self.numbers.get("damage")
        return None if said is None or said == "0" or said.startswith("-") else said

    @property
    def failed(self) -> bool:
        """Whether nothing came of it, if it is its actor's."""
        return self.result in ("failure", "miss", "resisted")

    @property
    def helps(self) -> bool:
        """Whether it is help for its target, by what it is called."""
        may = self.kind != "attack" and not self.save and self.damage is None
        return may and self.element in HELPS

    @property
    def alone(self) -> bool:
        """Whether it is done to nobody but the one who does it."""
        return self.target is None or self.target.name == self.actor.name


def find_scene(said: str) -> Mapping[str, Any]:
    """The object of the last ``SCENE`` line, or an empty one."""
    at = said.rfind("SCENE ")
    try:
        scene = orjson.loads(said[at + 6 :].split("\n", 1)[0]) if at >= 0 else None
    except orjson.JSONDecodeError:
        scene = None
    return scene if isinstance(scene, dict) else {}


def find_facts(prompt: str) -> Mapping[str, Any] | None:
    """The object of the last ``FACTS`` line, or ``None``."""
    at = prompt.rfind("\nFACTS ") + 1
    if at == 0 and not prompt.startswith("FACTS "):
        return None
    try:
        facts = orjson.loads(prompt[at + 6 :].split("\n", 1)[0])
    except orjson.JSONDecodeError:
        return None
    return facts if isinstance(facts, dict) else None


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _numeral(value: Any) -> str | None:
    given = _number(value)
    return None if given is None else numeral(given)


def read_telling(entry: Mapping[str, Any], slots: Sequence[str]) -> Happening:
    """One entry of ``tellings``; numbers of ``slots`` that are not known stand as holes."""
    raw = entry.get("action")
    action: Mapping[str, Any] = raw if isinstance(raw, dict) else {"type": _text(raw)}
    kind = _text(action.get("type")).lower() or "act"
    name = clean(_text(action.get("name")) or _text(action.get("type")) or "the attempt")
    values = entry.get("values")
    known: Mapping[str, Any] = values if isinstance(values, dict) else {}
    numbers = {
        key: given if given is not None else "{" + key + "}"
        for key in _NUMBERS
        if (given := _numeral(known.get(key))) is not None or key in slots
    }
    result = clean(_text(entry.get("result")).lower() or "done", 40)
    result = _RESULTS.get(result.strip("!.* "), result)
    hp = _number(known.get("target_hp"))
    spared = result in ("miss", "concealed", "resisted") or entry.get("down") is True
    element = spell_element(name, _text(known.get("damage_type")).lower())
    found = [known.get(each) for each in ("effects", "conditions")]
    effects = [each for some in found if isinstance(some, list) for each in some]
    target = _text(entry.get("target"))
    return Happening(
        named(_text(entry.get("actor")) or "Somebody"),
        kind,
        name,
        named(target) if target else None,
        result,
        numbers,
        result == "kill" or (hp is not None and hp <= 0 and not spared),
        element,
        tool(name),
        [
            clean(each, 30).lower()
            for each in effects
            if isinstance(each, str) and each.replace(" ", "").isalpha()
            if each.lower() != name.lower()
        ][:2],
        entry.get("down") is True,
        entry.get("unsure") is True,
        entry.get("actor_down") is True,
        entry.get("save") is True or is_save(action, result, known),
    )
