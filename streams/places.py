"""The ways out of a place, as a state lists them, and by which of them somebody has left it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from .footprint import key_parts

__all__ = [
    "MOVE",
    "Listed",
    "behind",
    "goes_by",
    "is_behind",
    "listed_in",
    "place_names",
    "way_taken",
    "ways_of",
    "ways_taken",
]

MOVE = "move"
"""The type of an action that leads to another place."""

MOST = 32

BY_WAY = "way "
"""What a reason for a change begins with that names a way, and no action."""

WAY_NAMES = ("name", "to", "direction", "id")


class Listed(NamedTuple):
    """One of what a state lists: what it may be called, by what says so, and all it says.

    ``called`` has the key it is listed under as ``key``.
    """

    called: Mapping[str, str]
    about: Mapping[str, Any]

    @property
    def room(self) -> str | None:
        """What its content is asked for as; see the ``lore`` of a place."""
        return next((self.called[by] for by in ("name", "to", "id") if by in self.called), None)


def listed_in(listed: Any, names: Sequence[str]) -> list[Listed]:
    """A list, or an object by key, of names or of objects that have one under these ``names``."""
    found = []
    for key, each in _each(listed):
        about = each if isinstance(each, Mapping) else {}
        said = {by: about.get(by) for by in names}
        if isinstance(each, str):
            said = {names[0] if key is None else names[1]: each}
        called = {by: name for by, name in said.items() if isinstance(name, str) and name.strip()}
        if key is not None and (called or each):
            called["key"] = key
        if called:
            found.append(Listed(called, about))
    return found[:MOST]


def _each(listed: Any) -> Iterator[tuple[str | None, Any]]:
    if isinstance(listed, Mapping):
        yield from ((str(key), each) for key, each in listed.items())
    elif isinstance(listed, Sequence) and not isinstance(listed, str):
        yield from ((None, each) for each in listed)


def ways_of(state: Mapping[str, Any]) -> list[Listed]:
    """The exits of the place, or of the state itself."""
    place = state.get("location")
    exits = place.get("exits") if isinstance(place, Mapping) else None
    return listed_in(state.get("exits") if exits is None else exits, WAY_NAMES)


BEHIND = "exit "


def behind(room: str) -> str:
    """Whom content is about that is of a room behind an exit: of nobody who is there."""
    return BEHIND + room


def is_behind(about: str) -> bool:
    """Whether content about this is of a room behind an exit."""
    return about.startswith(BEHIND)


def place_names(state: Mapping[str, Any]) -> tuple[str, ...]:
    """What the place is called."""
    place = state.get("location")
    said = (place.get("name"), place.get("id")) if isinstance(place, Mapping) else (place,)
    return tuple(each for each in said if isinstance(each, str) and each)


def ways_taken(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Listed]:
    """The ways that were open in a place, and lead to where the party stands now."""
    new = {name.lower() for name in place_names(after)}
    new.difference_update(name.lower() for name in place_names(before))
    return [way for way in ways_of(before) if not new.isdisjoint(_names(way))]


def _names(way: Listed) -> list[str]:
    return [name.lower() for name in way.called.values()]


def way_taken(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The reason why the place is another: that of a way that was open, if it is where that led.

    ::

        before   location: Hall, exits: [Cellar, {name: oak door, to: Yard}]
        after    location: Yard
        reason   way ["oak door", "yard"]
    """
    taken = [name for way in ways_taken(before, after) for name in _names(way)]
    return BY_WAY + json.dumps(sorted(set(taken))) if taken else None


def goes_by(own: str, because: str | None) -> bool:
    """Whether a reason is that of the way which a move goes; ``own`` is the key of that action."""
    if because is None or not because.startswith(BY_WAY):
        return False
    try:
        _, kind, name, _ = key_parts(own)
    except ValueError:  # of no one action
        return False
    return kind == MOVE and json.dumps(name) in because
