"""The words of the narrator's plans: who does what to what, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .facts import find_facts
from .lexicon import clean

__all__ = ["EACH", "LONG", "names_in", "words_for"]

LONG = ("steps", "moves", "tasks", "stages", "plan")
"""Lists that are plans: they have several entries where others have a few."""

EACH = ("plans", "agents", "npcs", "units")
"""Lists with one entry for each of those who are there."""

_DEEP = 4
_MOST = 6
_NAMES = ("name", "actor", "target", "agent", "npc", "speaker")
_WORDS: Mapping[str, Sequence[str]] = {
    "action": (
        "advance", "take cover", "watch the flank", "strike", "hold the line", "signal the others",
        "fall back", "circle round", "guard", "search", "bar the way", "wait",
    ),
    "target": (
        "the nearest foe", "the doorway", "the high ground", "the one who is hurt", "the far wall",
        "the lantern", "the narrow passage", "the tallest of them", "the stairs", "the open floor",
    ),
    "reason": (
        "to draw their eyes away", "before they can close the gap", "so that nobody stands alone",
        "while they look elsewhere", "to keep a way out", "because it costs them the most",
        "to see what they do about it", "until the others are in place",
    ),
    "agent": ("the first", "the second", "the third", "the fourth", "the fifth", "the sixth"),
}  # fmt: skip
_MEANS: Mapping[str, str] = {
    **dict.fromkeys(("action", "act", "verb", "move", "step", "task", "do", "stage"), "action"),
    **dict.fromkeys(("target", "at", "towards", "to", "object", "where", "destination"), "target"),
    **dict.fromkeys(("reason", "why", "because", "goal", "purpose", "intent", "aim"), "reason"),
    **dict.fromkeys(("agent", "actor", "who", "npc", "unit", "character"), "agent"),
}


def words_for(name: str, names: Sequence[str]) -> Sequence[str]:
    """What a property of a plan may say; ``names`` are agents, and targets among others."""
    means = _MEANS.get(name, "")
    words = _WORDS.get(means, ())
    if names and means == "agent":
        return names
    return [*names, *words[: len(words) - len(names)]] if means == "target" else words


def names_in(prompt: str) -> tuple[str, ...]:
    """Who is named in the prompt's facts, in their order."""
    found: dict[str, None] = {}

    def look(value: Any, depth: int) -> None:
        if isinstance(value, Mapping):
            for name in _NAMES:
                if isinstance(said := value.get(name), str) and clean(said):
                    found[clean(said)] = None
            value = [v for k, v in value.items() if k != "action"]
        if isinstance(value, list) and depth < _DEEP:
            for inner in value:
                look(inner, depth + 1)

    look(find_facts(prompt), 0)
    return tuple(found)[:_MOST]
