"""What an actor can do: by the options of its turn, by what it has done, and by its sheet."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..streams.events import Turn
from ..streams.world import World
from .predictors import Key, Scopes
from .usage import item_of, scopes_of

__all__ = ["Offers", "Repertoire", "sheet"]

Offers = dict[Key, list[Mapping[str, Any]]]
"""By what it is, the actions offered: at several targets, one for each."""

MOST_ACTORS, MOST_KNOWN, MOST_OFFERS = 1024, 32, 256

ATTACKS: Sequence[tuple[str, str]] = (("attacks", "attack"),)
ALL: Sequence[tuple[str, str]] = (*ATTACKS, ("spells", "cast"), ("actions", "use"))
"""The parts of a sheet, and the type of action that each lists."""

_Done = tuple[int, int, Mapping[str, Any]]
"""The first input and the last one with which it was done, and the action without its target."""


class Repertoire:
    """What actors have done, and what they may do. Memory is bounded."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, dict[Key, _Done]] = OrderedDict()
        self._turn: tuple[Turn | None, Offers] = (None, {})

    def note(self, scopes: Scopes, action: Mapping[str, Any], number: int) -> None:
        """An actor, and so its kind, can do this; it did so with the input of this number."""
        item = item_of(action)
        what = {name: value for name, value in action.items() if name != "target"}
        for who in scopes[:2]:
            known = self._known.setdefault(who, {})
            first = known.pop(item)[0] if item in known else number
            known[item] = first, number, what
            if len(known) > MOST_KNOWN:
                del known[next(iter(known))]
            self._known.move_to_end(who)
            if len(self._known) > MOST_ACTORS:
                self._known.popitem(last=False)

    def done(self, actor: str) -> dict[Key, int]:
        """The input with which the actor did each thing last."""
        return {item: last for item, (_, last, _) in self._known.get(actor, {}).items()}

    def offered(self, world: World, actor: str) -> Offers:
        """What may be expected of an actor, in the order given.

        The options of its turn; without them, what it has done so far and the attacks on its sheet;
        of one without either, what its kind does.
        """
        turn = world.turn
        if turn is not None and turn.actor == actor and turn.options:
            if self._turn[0] is not turn:
                self._turn = turn, _by_item(turn.options)
            return self._turn[1]
        scopes = scopes_of(world, actor)
        found = self.still(world, actor)
        for item, actions in _by_item(sheet(world, actor, ATTACKS)).items():
            found.setdefault(item, actions)
        return found or self.still(world, scopes[1])

    def able(self, world: World, actor: str) -> Offers:
        """All that an actor can do, as far as is known: its spells and the like as well."""
        found = self.offered(world, actor)
        if found is not self._turn[1]:
            for item, actions in _by_item(sheet(world, actor, ALL)).items():
                found.setdefault(item, actions)
        return found

    def still(self, world: World, who: str) -> Offers:
        """What an actor, or its kind, has done and no rewind has undone, the last one first."""
        return {
            item: [action]
            for item, (first, last, action) in reversed(self._known.get(who, {}).items())
            if world.stands(last) or world.stands(first)
        }


def _by_item(actions: Iterable[Mapping[str, Any]]) -> Offers:
    found: Offers = {}
    for action, _ in zip(actions, range(MOST_OFFERS), strict=False):
        found.setdefault(item_of(action), []).append(action)
    return found


def sheet(
    world: World, actor: str, parts: Sequence[tuple[str, str]] = ALL
) -> Iterable[Mapping[str, Any]]:
    """The actions on an actor's sheet: names, or objects with a ``name``."""
    what = world.actor(actor)
    for part, kind in parts:
        listed = what.get(part)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, str):
                yield {"type": kind, "name": each}
            elif isinstance(each, Mapping) and isinstance(each.get("name"), str):
                own = each.get("type")
                also = {"also": each["also"]} if each.get("also") else {}
                yield {"type": own if isinstance(own, str) else kind, "name": each["name"], **also}
