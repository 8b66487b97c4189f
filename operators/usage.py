"""What of a session is usage: who acts, on whom, with what, where, and what content is needed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ..streams import events as ev
from ..streams.footprint import targets_of
from ..streams.world import World
from .predictors import ANYONE, Event, Key, Scopes

__all__ = ["ASPECTS", "act_of", "item_of", "scopes_of"]

NUMBER = re.compile(r"[\s_#-]*\d+$")


def scopes_of(world: World, actor: str) -> Scopes:
    """The actor, its kind, and its side: ``("goblin-2", "goblin", "foes")``.

    The kind is what its state says (``kind``, ``species``), else its name without a number.
    """
    what = world.actor(actor)
    named = what.get("kind") or what.get("species") or _unnumbered(str(what.get("name", actor)))
    return actor, f"kind {str(named).lower()}", f"side {what.get('side', '')}"


@lru_cache(maxsize=1024)
def _unnumbered(name: str) -> str:
    return NUMBER.sub("", name)


def item_of(action: Mapping[str, Any]) -> Key:
    """What is done, whoever it is done to: type and name."""
    return str(action.get("type", "")), str(action.get("name", "")).lower()


def act_of(action: Mapping[str, Any]) -> Key:
    """What is done, and to whom."""
    return *item_of(action), *sorted(targets_of(action))


def _actor(world: World, after: World, event: ev.Input, t: float) -> Event | None:
    act = _act(world, event)
    return Event(t, (act[0],), ANYONE) if act else None


def _target(world: World, after: World, event: ev.Input, t: float) -> Event | None:
    act = _act(world, event)
    if act is None or act[1].get("type") != "attack" or not (aimed := targets_of(act[1])):
        return None
    return Event(t, tuple(sorted(aimed)), scopes_of(world, act[0]))


def _item(world: World, after: World, event: ev.Input, t: float) -> Event | None:
    act = _act(world, event)
    return Event(t, item_of(act[1]), scopes_of(world, act[0])) if act else None


def _whole(world: World, after: World, event: ev.Input, t: float) -> Event | None:
    act = _act(world, event)
    return Event(t, act_of(act[1]), scopes_of(world, act[0])) if act else None


def _need(world: World, after: World, event: ev.Input, t: float) -> Event | None:
    return Event(t, (event.resource,)) if isinstance(event, ev.Need) else None


def _place(world: World, after: World, event: ev.Input, t: float) -> Event | None:
    """Where the party went: the location changed with this event."""
    where = after.state.get("location")
    if not isinstance(event, ev.State | ev.Patch) or not isinstance(where, Mapping):
        return None
    moved = any(path in {(), ("location",), ("location", "id")} for path, _ in after.fresh)
    return Event(t, (str(where.get("id", where.get("name"))),)) if moved else None


def _act(world: World, event: ev.Input) -> tuple[str, Mapping[str, Any]] | None:
    """Who began to do what: an action when it is first declared, an outcome that was not."""
    if isinstance(event, ev.Action):
        again = event.action_id in world.actions
        return None if event.action is None or again else (event.actor, event.action)
    if isinstance(event, ev.Outcome) and event.action_id is None and event.actor and event.action:
        return event.actor, event.action
    return None


ASPECTS: Mapping[str, Callable[[World, World, ev.Input, float], Event | None]] = {
    "actor": _actor,
    "target": _target,
    "item": _item,
    "action": _whole,
    "place": _place,
    "need": _need,
}
"""What can be predicted of a session, and how an event of it is read.

Each takes the world before the event and after it, the event, and its time in seconds since 1970.
``actor``: who acts next. ``target``: whom its attack is aimed at. ``item``: with what it acts.
``action``: both. ``place``: where the party goes. ``need``: which content is wanted.
"""
