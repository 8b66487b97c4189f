"""Plain words for what happened, for when no model could write better."""

from __future__ import annotations

from collections.abc import Iterable

from ..streams.world import Declared
from .claim import Claim
from .classify import Scene
from .prompts import name_of
from .results import Happened
from .slots import fill

__all__ = ["fallback_text"]


def fallback_text(scene: Scene, claims: Iterable[Claim]) -> str:
    """Plain sentences, true of what has not been told yet."""
    return " ".join(
        _plainly(scene, part.entry.declared, part.entry.happened)
        for claim in claims
        for part in claim.parts
        if not part.told
    )


def _plainly(scene: Scene, declared: Declared, what: Happened) -> str:
    who = name_of(scene, declared.actor, declared) or "Someone"
    action = str(declared.action.get("name") or declared.action.get("type") or "action")
    sentence = f"{who}: {action}"
    if (target := name_of(scene, what.target, declared)) is not None:
        sentence += f" against {target}"
    damage = what.values.get("damage")
    suffix = fill(", {damage} damage", what.values) if damage else ""
    falls = f"; {target} falls" if what.told == "kill" else ""
    return f"{sentence}: {what.result}{suffix}{falls}."
