"""What a text depends on, and whether it still holds (never stale, never untrue)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from operator import is_
from typing import Any

import orjson

from ..streams.blows import laid_low
from ..streams.footprint import (
    CONTEXT,
    DEPTH,
    TALK,
    Path,
    action_key,
    covers,
    key_parts,
    targets_of,
)
from ..streams.places import MOVE, goes_by
from ..streams.world import Change, World
from .classify import Context, Scene
from .results import frail

__all__ = [
    "SAID",
    "Dependence",
    "dependence",
    "dependence_of",
    "fingerprint",
    "only_leaves",
    "scene_fingerprint",
    "scene_fingerprints",
]


SAID = "talk"
"""The type of an action that is answered by whom it is said to."""

OF_KIND: Mapping[str, tuple[Path, ...]] = {MOVE: (CONTEXT,), SAID: (TALK[0], CONTEXT)}
"""What texts of some types of action speak of beside."""


@dataclass(frozen=True, slots=True)
class Dependence:
    """The paths a text speaks of, less those its own action may change (its footprint).

    ``own`` is the key of the action: a change that names it as its reason is the action's own, and
    so is, of a move, that the party stands where it leads.
    """

    paths: tuple[Path, ...]
    apart: tuple[Path, ...]
    own: str
    volatile: tuple[str, ...]

    def on(self, change: Change) -> bool:
        """True if this change makes the text doubtful."""
        path, because = change
        for known in self.paths:
            if path[: len(known)] == known or known[: len(path)] == path:  # as covers() says
                break
        else:
            return False
        if because == self.own or (len(path) >= DEPTH and path[DEPTH - 1] in self.volatile):
            return False
        if path[:DEPTH] in self.apart:  # which names fields of actors
            return False
        return not goes_by(self.own, because)

    def revision(self, unexpected: Mapping[Change, int]) -> int:
        """The revision of the last unexpected change of what the text covers; 0 if none."""
        last = 0
        for change, rev in reversed([*unexpected.items()]):  # the latest stand at the end
            if rev > last and self.on(change):
                last = rev
        return last


def dependence(
    world: World, actor: str, action: Mapping[str, Any], own: str | None = None
) -> Dependence:
    """What the text of an action depends on: its actor, its targets, and the stage.

    That of a move, or of what is said to somebody, belongs to the kind of moment as well, and the
    latter to whom it is said.

    :param own: the key of the action, where that is known.
    """
    about = [actor, *targets_of(action)]
    paths: list[Path] = [("actors", each) for each in dict.fromkeys(about) if each]
    stage = dict.fromkeys((*world.footprint.stage, *OF_KIND.get(str(action.get("type")), ())))
    return Dependence(
        (*paths, *stage),
        world.footprint.of(actor, action),
        action_key(actor, action) if own is None else own,
        world.footprint.volatile,
    )


def only_leaves(world: World, change: Change) -> bool:
    """Whether a change ends a moment, but makes nothing untrue that has happened in it."""
    path = change[0]
    if path != CONTEXT and (not path or path[0] != TALK[0][0] or not covers(TALK[0], path)):
        return False
    return not any(covers(known, path) for known in world.footprint.stage)


def dependence_of(world: World, own: str) -> Dependence:
    """As :func:`dependence`, of an action of which only the key is known."""
    actor, kind, _, targets = key_parts(own)
    return dependence(world, actor, {"type": kind, "target": targets}, own)


def _digest(parts: Iterable[Any]) -> str:
    parts = list(parts)
    try:
        raw = orjson.dumps(parts, default=_plain, option=orjson.OPT_NON_STR_KEYS)
    except TypeError:  # a game's word that is no JSON may cost a hit, but not the stream
        raw = repr(parts).encode("utf-8", "replace")
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)


def fingerprint(world: World, depends: Dependence, outcomes: int | None = None) -> str:
    """The fingerprint of a text for an action, in this world.

    It is equal in two worlds of a session exactly if they are in the same turn, after as many
    outcomes of it, with no unexpected change of what the text covers between them. What the
    action's own outcome decides is left out: slots and guards look after that.

    :param outcomes: count this many outcomes in the turn; as many as there were, if not given.
    """
    turn = world.turn.turn if world.turn is not None else None
    count = world.outcomes if outcomes is None else outcomes
    return _digest((turn, depends.own, count, depends.revision(world.unexpected)))


def scene_fingerprints() -> Callable[[Scene], str]:
    """As :func:`scene_fingerprint`, of one scene after the other.

    Most differ from the one before in nothing that counts, so the last is remembered, with the very
    parts of a world that it was made of.
    """
    parts: tuple[Any, ...] = ()
    counted: tuple[Any, ...] = ()
    known = ""

    def fingerprint_of(scene: Scene) -> str:
        nonlocal parts, counted, known
        world = scene.world
        now = world.turn, world.actions, world.actors, world.accounts, world.said, scene.context
        counts = world.outcomes, _news(world), world.state.get("exits")
        if scene.context is Context.DIALOGUE or counts != counted or not all(map(is_, now, parts)):
            parts, counted, known = now, counts, scene_fingerprint(scene)
        return known

    return fingerprint_of


@lru_cache
def _anybody(volatile: tuple[str, ...]) -> Dependence:
    return Dependence((("actors",), ("location",)), (), "", volatile)


def _news(world: World) -> int:
    """The revision of the last unexpected change of anybody, or of the place."""
    return _anybody(world.footprint.volatile).revision(world.unexpected)


OFFERING = {Context.DIALOGUE: "dialogue", Context.EXPLORATION: "exits"}
"""What says, in a context, what there is to do, beside the place itself."""


def scene_fingerprint(scene: Scene) -> str:
    """Two scenes with one fingerprint call for the same preparations."""
    world = scene.world
    turn = world.turn
    opened = [
        (
            action_id,
            each.key,
            each.event.odds,
            each.event.rolled,
            each.to,
            [laid_low(world, each, target) for target in targets_of(each.action)],
        )
        for action_id, each in world.actions.items()
        if each.event is not None and not each.resolved
    ]
    offers = world.state.get(OFFERING.get(scene.context, ""))
    return _digest(
        (
            scene.context,
            turn.turn if turn is not None else None,
            turn.options if turn is not None else (),
            opened,
            world.outcomes,
            _news(world),
            frail(world),
            offers,
            [lines[-1][0] for lines in world.said.values() if lines and not opened],
        )
    )
