"""Who may know what: a prompt for an audience holds only what all of it may know."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import reduce
from typing import Any

import orjson

from ..streams.footprint import targets_of
from ..streams.health import health_of
from ..streams.inputs import snapshot
from ..streams.world import Declared, World
from .classify import Scene
from .offers import sheet
from .prompts import Account, Entry
from .publish import Fault
from .usage import item_of

__all__ = ["UNSEEN", "ContentView", "View", "Views", "common"]

View = Callable[[Mapping[str, Any], str | None], Any]
"""What of a state a viewer may know; where the viewer is ``None``, what everybody may."""

ContentView = Callable[[str, str, Any, str | None], Any]
"""What of a content a viewer may know, by its kind, whom or what it is about, and itself; ``None``
is nothing. Where the viewer is ``None``, what everybody may."""

UNSEEN = "someone"
"""What an actor is called by a text for those who do not see it."""

TELLING = ("type", "name", "target", "save")
"""What an outcome says of its action, to whom it is told."""

MOST_KEPT = 16
"""So many states, and for each so many contents, are kept as their viewers see them."""

GUEST = (Exception, asyncio.CancelledError)
"""What a view may raise: nobody has cancelled what is no task."""

ABSENT = object()

Viewers = tuple[str, ...]


class Views:
    """The views of a game over its states and its content, asked when a prompt is made.

    What several viewers are told in one text is what each of them sees; what all are told, without
    a name, is what ``None`` sees. A view is given a copy, once for each state and viewer. One that
    raises, or gives what is no JSON object, is reported, and shows nothing: never everything.

    With no view of states all is shown of them; with no view of content, all of it if there is no
    view of states either, else nothing.

    :param scene_of: tells the context of what is seen.
    :param fault: told what a view raises.
    """

    def __init__(
        self,
        view: View | None,
        content_view: ContentView | None,
        scene_of: Callable[[World], Scene],
        fault: Fault,
    ) -> None:
        self._view = view
        self._content_view = content_view
        self._scene_of = scene_of
        self._fault = fault
        self._states: dict[tuple[int, Viewers], tuple[Any, Mapping[str, Any]]] = {}
        self._contents: dict[tuple[str, str, Viewers], tuple[Any, Any]] = {}

    def sees(self, world: World, declared: Declared, actor_id: str | None, to: Viewers) -> bool:
        """Whether an audience knows of an actor: it does now, or did when the action was declared.

        It does of who is spoken to. Where states have no ``actors`` nobody can be hidden.
        """
        if self._view is None or not actor_id:
            return True
        known = [each for each in (world.state, declared.state) if _has_actors(each)]
        return not known or any(_has(self._state(each, to), actor_id) for each in known)

    def lists(self, world: World, declared: Declared, to: Viewers) -> bool:
        """Whether an audience sees that this can be done.

        It is on its actor's sheet, an exit of the place, or an option of the dialogue.
        """
        if self._view is None:
            return True
        item, seen = item_of(declared.action), World(state=self._state(world.state, to))
        return item in map(item_of, sheet(seen, declared.actor)) or item[1] in _offered(seen.state)

    def shown(self, scene: Scene, account: Account) -> tuple[Scene, Account]:
        """A scene and what is told of it, as those may know them whom the account is for.

        Of the world this leaves the state they see, whose turn it is, and what a lone viewer has
        said itself; who is unseen is :data:`UNSEEN`.
        """
        if self._view is None:
            return scene, account
        world, to = scene.world, account.to
        state = self._state(world.state, to)
        seen = World(
            revision=world.revision,
            t=world.t,
            number=world.number,
            received=world.received,
            state=state,
            said={who: lines for who, lines in world.said.items() if to == (who,)},
            footprint=world.footprint,
        )
        if world.turn is not None and world.turn.actor in _actors(state):
            seen = seen._replace(turn=replace(world.turn, options=()))
        entries = tuple(self._entry(world, entry, to) for entry in account.entries)
        slots = account.slots, *account.endings
        if not all(self._healthy(world, each.happened.target, to) for each in account.entries):
            slots = tuple(tuple(each for each in of if each != "target_hp") for of in slots)
        known = replace(account, entries=entries, slots=slots[0], endings=slots[1:])
        return self._scene_of(seen), known

    def content(
        self, world: World, account: Account, found: Mapping[str, Mapping[str, Any]]
    ) -> Mapping[str, Mapping[str, Any]]:
        """What those may know of a content whom an account is for.

        :param account: as it is, not as they are shown it.
        """
        if self._content_view is None:
            return found if self._view is None else {}
        hidden = {
            each
            for entry in account.entries
            for each in (entry.declared.actor, *targets_of(entry.declared.action))
            if not self.sees(world, entry.declared, each, account.to)
        }
        cut: dict[str, dict[str, Any]] = {}
        for kind, of in found.items():
            for name, value in of.items():
                seen = None if name in hidden else self._content(kind, name, value, account.to)
                if seen is not None:
                    cut.setdefault(kind, {})[name] = seen
        return cut

    # ── what is told ──────────────────────────────────────────────────────────────────────────

    def _entry(self, world: World, entry: Entry, to: Viewers) -> Entry:
        declared, what = entry.declared, entry.happened

        def known(each: str | None) -> bool:
            return self.sees(world, declared, each, to)

        action = {key: declared.action[key] for key in TELLING if key in declared.action}
        if "target" in action:
            listed = not isinstance(action.pop("target"), str)
            if targets := [each for each in targets_of(declared.action) if known(each)]:
                action["target"] = targets if listed else targets[0]
        now = _actors(self._state(world.state, to))
        gone = any(each not in now for each in (declared.actor, what.target, *targets_of(action)))
        values = what.values
        if not self._healthy(world, what.target, to):
            values = {key: value for key, value in values.items() if key != "target_hp"}
        return Entry(
            replace(
                declared,
                actor=declared.actor if known(declared.actor) else UNSEEN,
                action=action,
                key="",
                state=self._state(declared.state, to) if gone else {},
                event=None,
                struck=(),
            ),
            replace(what, target=what.target if known(what.target) else UNSEEN, values=values),
        )

    def _healthy(self, world: World, target: str | None, to: Viewers) -> bool:
        """Whether an audience sees how much health somebody has."""
        if not _has_actors(world.state):
            return True
        return health_of(self._state(world.state, to), target) is not None

    # ── the guests ────────────────────────────────────────────────────────────────────────────

    def _state(self, state: Mapping[str, Any], to: Viewers) -> Mapping[str, Any]:
        """A state as all of an audience see it; of none at all there is nothing to see."""
        if not state:
            return state
        key = id(state), to
        known = self._states.get(key)
        if known is not None and known[0] is state:
            return known[1]
        if len(to) > 1:
            seen = reduce(common, [self._state(state, (each,)) for each in to])
        else:
            seen = self._asked(state, to[0] if to else None)
        _keep(self._states, key, (state, seen), MOST_KEPT)
        return seen

    def _asked(self, state: Mapping[str, Any], viewer: str | None) -> Mapping[str, Any]:
        assert self._view is not None
        try:
            found = self._view(_copy(state), viewer)
            if inspect.iscoroutine(found):
                found.close()
            seen: Mapping[str, Any] = orjson.loads(snapshot(found, sys.maxsize))
        except GUEST as error:
            self._fault("view", error)
            return {}
        return seen

    def _content(self, kind: str, name: str, value: Any, to: Viewers) -> Any:
        """A content as all of an audience see it; ``None`` is nothing."""
        key = kind, name, to
        known = self._contents.get(key)
        if known is not None and known[0] is value:
            return known[1]
        if len(to) > 1:
            seen = reduce(common, [self._content(kind, name, value, (each,)) for each in to])
        else:
            seen = self._content_asked(kind, name, value, to[0] if to else None)
        seen = None if seen is ABSENT else seen
        _keep(self._contents, key, (value, seen), MOST_KEPT * MOST_KEPT)
        return seen

    def _content_asked(self, kind: str, name: str, value: Any, viewer: str | None) -> Any:
        assert self._content_view is not None
        try:
            found = self._content_view(kind, name, _copy(value), viewer)
            if inspect.iscoroutine(found):
                found.close()
            return _copy(found)
        except GUEST as error:
            self._fault("content_view", error)
            return None


def common(one: Any, other: Any) -> Any:
    """What two views of one thing have in common: the fields that are equal in both.

    Of lists, it is the items that stand in both; of what is not equal, nothing.
    """
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        both = {key: common(value, other[key]) for key, value in one.items() if key in other}
        return {key: value for key, value in both.items() if value is not ABSENT}
    if isinstance(one, list) and isinstance(other, list):
        theirs = {_raw(each) for each in other}
        return [each for each in one if _raw(each) in theirs]
    return one if type(one) is type(other) and one == other else ABSENT


def _raw(value: Any) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def _copy(value: Any) -> Any:
    return orjson.loads(orjson.dumps(value))


def _keep(kept: dict[Any, Any], key: Any, value: Any, most: int) -> None:
    kept.pop(key, None)
    kept[key] = value
    while len(kept) > most:
        del kept[next(iter(kept))]


def _has_actors(state: Mapping[str, Any]) -> bool:
    return isinstance(state.get("actors"), Mapping)


def _has(state: Mapping[str, Any], actor_id: str) -> bool:
    return actor_id in _actors(state) or _part(state, "dialogue", "npc") == actor_id


def _offered(state: Mapping[str, Any]) -> Iterator[str]:
    """The names of what the place and the dialogue offer, as keys have them."""
    for parts in (("location", "exits"), ("dialogue", "options")):
        listed = _part(state, *parts)
        if isinstance(listed, Mapping):  # by direction, say
            listed = [*listed, *listed.values()]
        for each in listed if isinstance(listed, list) else ():
            for name in each.values() if isinstance(each, Mapping) else (each,):
                yield str(name).lower()


def _part(state: Mapping[str, Any], key: str, name: str) -> Any:
    part = state.get(key)
    return part.get(name) if isinstance(part, Mapping) else None


def _actors(state: Mapping[str, Any]) -> Mapping[str, Any]:
    actors = state.get("actors")
    return actors if isinstance(actors, Mapping) else {}
