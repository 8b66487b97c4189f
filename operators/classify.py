"""What kind of moment the game is in: combat, exploration, dialogue, or none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..streams.world import World

__all__ = ["DEFAULT_RULES", "Context", "Rule", "Scene", "classify"]


class Context(StrEnum):
    """The kind of a scene."""

    COMBAT = "combat"
    EXPLORATION = "exploration"
    DIALOGUE = "dialogue"
    IDLE = "idle"


@dataclass(frozen=True, slots=True)
class Rule:
    """``context`` holds where any of the dotted ``paths`` of the state has a true value."""

    context: Context
    paths: tuple[str, ...]


DEFAULT_RULES: Sequence[Rule] = (
    Rule(Context.COMBAT, ("in_combat", "combat", "encounter", "initiative", "battle")),
    Rule(Context.DIALOGUE, ("in_dialogue", "dialogue", "conversation", "talking_to")),
    Rule(Context.COMBAT, ("round",)),
    Rule(Context.EXPLORATION, ("location", "exits", "room", "area", "map")),
)
"""Looked through in order; a dialogue held in a location is dialogue."""

MODES = {
    "combat": Context.COMBAT,
    "battle": Context.COMBAT,
    "fight": Context.COMBAT,
    "exploration": Context.EXPLORATION,
    "explore": Context.EXPLORATION,
    "travel": Context.EXPLORATION,
    "dialogue": Context.DIALOGUE,
    "dialog": Context.DIALOGUE,
    "conversation": Context.DIALOGUE,
    "idle": Context.IDLE,
    "menu": Context.IDLE,
    "pause": Context.IDLE,
}


@dataclass(frozen=True, slots=True, eq=False)
class Scene:
    """A settled world with its context."""

    world: World
    context: Context


def classify(world: World, rules: Sequence[Rule] = DEFAULT_RULES) -> Scene:
    """The scene of a world [0-1].

    An explicit ``mode`` that is known wins; then the first rule that holds; then, with a turn
    open and nothing said of the state, combat; else idle. A key counts only if its value is true
    in the plain sense: ``False``, ``0``, ``None``, empty ones, ``"false"``, mappings that say
    ``{"active": False}`` and those with nothing true in them do not count.
    """
    state = world.state
    mode = state.get("mode")
    if isinstance(mode, str) and (known := MODES.get(mode.strip().lower())) is not None:
        return Scene(world, known)
    for rule in rules:
        if any(_true(_at(state, path)) for path in rule.paths):
            return Scene(world, rule.context)
    return Scene(world, Context.COMBAT if world.turn is not None else Context.IDLE)


def _at(state: Any, path: str) -> Any:
    for key in path.split("."):
        if not isinstance(state, Mapping):
            return None
        state = state.get(key)
    return state


def _true(value: Any) -> bool:
    if isinstance(value, str):
        return value.strip().lower() not in ("", "false", "no", "none", "off", "0")
    if isinstance(value, Mapping):
        return _true(value["active"]) if "active" in value else any(map(_true, value.values()))
    return bool(value)
