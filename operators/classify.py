"""What kind of moment the game is in: combat, exploration, dialogue, or none of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..errors import ConfigError
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
    """``context`` holds where any of the dotted ``paths`` of the state has a true value.

    :raises ConfigError: for a context there is none of, or paths that are not several.
    """

    context: Context
    paths: tuple[str, ...]

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "context", Context(self.context))
        except ValueError:
            known = ", ".join(Context)
            raise ConfigError(f"no context {self.context!r}; there are {known}") from None
        if isinstance(self.paths, str):
            raise ConfigError(f'paths are several: ("{self.paths}",), not "{self.paths}"')


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

    An explicit ``mode`` that is known wins, then the first rule that holds, else it is idle. A turn
    that is open makes combat of idleness, and of exploration with more than one side present,
    unless the state says that there is none (``in_combat: false``). A key counts only if its value
    is true in the plain sense: ``False``, ``0``, ``None``, empty ones, ``"false"``, mappings that
    say ``{"active": False}`` and those with nothing true in them do not count.
    """
    state = world.state
    mode = state.get("mode")
    if isinstance(mode, str) and (known := MODES.get(mode.strip().lower())) is not None:
        return Scene(world, known)
    held = (rule.context for rule in rules if any(_true(_at(state, path)) for path in rule.paths))
    context = next(held, Context.IDLE)
    among_foes = context is Context.EXPLORATION and len(_sides(world)) > 1
    fights = [path for rule in rules if rule.context is Context.COMBAT for path in rule.paths]
    denied = any(_at(state, path) is not None for path in fights)
    if world.turn is not None and not denied and (among_foes or context is Context.IDLE):
        context = Context.COMBAT
    return Scene(world, context)


def _sides(world: World) -> dict[str, None]:
    return {str(actor.get("side")): None for actor in map(world.actor, world.actors)}


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
