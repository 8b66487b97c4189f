"""What an action is about, and what it may itself change.

A change of the state within the footprint of an action that was declared or resolved in this
turn is the game catching up with its own dice; what was prepared for the action stays good.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

_json = json.encoder.encode_basestring_ascii  # a fifth of the time of json.dumps of it all

__all__ = [
    "DEPTH",
    "PLACE",
    "TALK",
    "VOLATILE",
    "Footprint",
    "Path",
    "action_key",
    "actor_and_targets",
    "changed_paths",
    "covers",
    "targets_of",
]

Path = tuple[str, ...]
"""Keys from the top of the state down, ``("actors", "goblin-2", "hp")``."""

DEPTH = 3
"""Changes are told apart down to this many keys: an entity's own fields."""


ABSENT = object()

VOLATILE = ("pos", "position", "facing", "velocity", "animation")


PLACE: Path = ("location",)
TALK: tuple[Path, ...] = (("dialogue", "npc"), ("dialogue", "topic"))
"""Who is spoken to, and of what: where prompts have content, they have its lore and its voice."""


@dataclass(frozen=True, slots=True)
class Footprint:
    """The fields an action may change of its targets and of its actor, by name.

    ``volatile`` are fields of an actor, or of anything else, such as the place, that change all the
    time and that no text speaks of.
    ``stage`` is what every text may speak of, beside who has a part in it.
    """

    target: tuple[str, ...] = ("hp", "temp_hp", "health", "conditions", "effects", "dead", "alive")
    actor: tuple[str, ...] = ("resources", "slots", "spell_slots", "ammo", "charges", "uses")
    volatile: tuple[str, ...] = VOLATILE
    stage: tuple[Path, ...] = (PLACE,)

    def lasting(self, paths: Iterable[Path]) -> list[Path]:
        """Without those that change all the time, and that no text speaks of."""
        volatile = self.volatile
        return [
            path
            for path in paths
            if not path
            or path[-1] not in volatile
            or len(path) < (DEPTH if path[0] == "actors" else DEPTH - 1)  # it is no field
        ]

    def of(
        self, actor: str, action: Mapping[str, Any], struck: tuple[str, ...] = ()
    ) -> tuple[Path, ...]:
        """The paths this action may change.

        :param struck: whom it befell beside its targets.
        """
        befell = (*targets_of(action), *struck)
        return tuple(
            [("actors", target, name) for target in befell for name in self.target]
            + [("actors", actor, name) for name in self.actor]
        )


def targets_of(action: Mapping[str, Any]) -> tuple[str, ...]:
    """The ids of an action's targets, in the order given; none is fine."""
    target = action.get("target")
    if target is None:
        return ()
    if isinstance(target, (list, tuple)):
        return tuple(str(each) for each in target)
    return (str(target),)


def action_key(actor: str | None, action: Mapping[str, Any]) -> str:
    """Two actions with one key are the same thing done by the same actor to the same targets."""
    what = str(action.get("type", "")), str(action.get("name", "")).lower()
    targets = ", ".join(map(_json, sorted(targets_of(action))))
    return f"[{_json(actor or '')}, {_json(what[0])}, {_json(what[1])}, [{targets}]]"


def covers(prefix: Path, path: Path) -> bool:
    """True where one is the other or lies inside it: a removed actor takes its fields along."""
    if len(prefix) <= len(path):
        return path[: len(prefix)] == prefix
    return prefix[: len(path)] == path


def actor_and_targets(key: str) -> tuple[str, list[str]]:
    """Who does what an :func:`action_key` stands for, and to whom.

    :raises ValueError: for what is no such key.
    """
    actor, _, _, targets = json.loads(key)
    if not (isinstance(targets, list) and all(isinstance(each, str) for each in (actor, *targets))):
        raise ValueError(f"{key!r} is no key of an action")
    return actor, targets


def changed_paths(old: Any, new: Any, path: Path = (), depth: int = DEPTH) -> list[Path]:
    """The paths at which two snapshots differ, no deeper than an entity's own fields.

    :param depth: no deeper than so many keys.
    """
    if not (isinstance(old, dict | Mapping) and isinstance(new, dict | Mapping)):
        return [] if old is new or old == new else [path]
    found = [(*path, key) for key in old if key not in new]
    fields = len(path) == depth - 1
    for key, value in new.items():
        before = old.get(key, ABSENT)
        if before is not value and before != value:
            if fields or before is ABSENT:
                found.append((*path, key))
            else:
                found += changed_paths(before, value, (*path, key), depth)
    return found
