"""Plain words for what happened, for when no model could write better."""

from __future__ import annotations

from ..streams.world import Declared
from .classify import Scene
from .prompts import Account, name_of
from .results import Happened
from .slots import fill
from .views import UNSEEN

__all__ = ["fallback_text"]


def fallback_text(scene: Scene, account: Account) -> str:
    """Plain sentences, true of what is to be told."""
    return " ".join(_plainly(scene, entry.declared, entry.happened) for entry in account.entries)


def _plainly(scene: Scene, declared: Declared, what: Happened) -> str:
    who = name_of(scene, declared.actor, declared) or UNSEEN
    who = who.capitalize() if who == UNSEEN else who
    action = str(declared.action.get("name") or declared.action.get("type") or "action")
    sentence = f"{who}: {action}"
    if (target := name_of(scene, what.target, declared)) is not None:
        sentence += f" against {target}"
    damage = what.values.get("damage")
    suffix = fill(", {damage} damage", what.values) if damage else ""
    falls = f"; {target} falls" if what.told == "kill" else ""
    return f"{sentence}: {what.result}{suffix}{falls}."
