"""The narrator's afterthoughts: what a text that is shown already had no room for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from .facts import Happening, read_telling
from .voice import Voice

__all__ = ["add"]

LEFT = (
    "It leaves {T} {what}.",
    "When it is over, {T} is {what}.",
    "And {T} is left {what}.",
)
FORCE = (
    "Few blows land like that.",
    "It is a blow to be talked of for years.",
    "The very air seems to shake with it.",
)
MARK = ("It leaves its mark.", "That will not be forgotten soon.")
RESULT = ("A {what}, then, and no more.", "They call it a {what}.", "A {what}: that is all it is.")
DAMAGE = ("It costs {T} {n} damage.", "That makes {n} damage.")
HEALING = ("It gives back {n} HP.", "{n} HP are restored by it.")


def add(entries: Sequence[Any], voice: Voice) -> str:
    """A sentence for each thing that the entries ask for."""
    said: list[str] = []
    for entry in entries:
        adds = entry.get("adds") if isinstance(entry, Mapping) else None
        if isinstance(adds, list):
            happening = read_telling(entry, ())
            said += [_one(each, happening, voice) for each in adds if isinstance(each, str)]
    return " ".join(filter(None, said)) or voice.pick("mark", MARK)


def _one(what: str, h: Happening, voice: Voice) -> str:
    target = h.target.name if h.target is not None else h.actor.name
    if what == "effects" and h.effects:
        template, filled = voice.pick("left", LEFT), {"what": " and ".join(h.effects)}
    elif what == "force":
        template, filled = voice.pick("force", FORCE), {}
    elif what == "result" and h.result.isalpha():
        template, filled = voice.pick("result", RESULT), {"what": h.result}
    elif what in ("damage", "healing") and what in h.numbers:
        template = voice.pick(what, DAMAGE if what == "damage" else HEALING)
        filled = {"n": h.numbers[what]}
    else:
        return ""
    for hole, word in {"T": target, **filled}.items():
        template = template.replace(f"{{{hole}}}", word)
    return template[0].upper() + template[1:]
