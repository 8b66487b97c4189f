"""What is open to a party outside of combat: the ways out of a place, and the lines of a talk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from ..streams.footprint import targets_of
from ..streams.places import MOVE, Listed, listed_in, ways_of, ways_taken
from ..streams.world import Declared, World
from .aims import standing
from .choice import Rate, chosen
from .classify import Context
from .fingerprint import SAID
from .offers import Offers, Repertoire
from .predict_ensemble import Ensemble
from .predictors import Event, Key
from .usage import item_of, scopes_of

__all__ = [
    "KINDS",
    "OFFERED",
    "Wandering",
    "is_open",
    "is_player",
    "spoken_to",
    "talks_to",
    "way_of",
]

OFFERED = "offered"
"""The source of a candidate that the place or the talk offers."""

PARTY = ("party", "pc", "pcs", "player", "players", "hero", "heroes")

CALLED: Mapping[str, tuple[str, ...]] = {
    MOVE: ("name", "to", "direction", "key", "id"),
    SAID: ("text", "name", "line", "label", "key", "id"),
}
"""By what a game is thought to call them, the likeliest first, before it has called one."""

KINDS: Mapping[Context, str] = {Context.EXPLORATION: MOVE, Context.DIALOGUE: SAID}
"""What is open in a context."""

MOST_ACTORS = 16
LONGEST = 200
"""Characters of a line that may be one's action."""


def is_player(actor: Mapping[str, Any]) -> bool:
    """Whether an actor is a player character."""
    side = actor.get("side")
    named = isinstance(side, str) and side.casefold() in PARTY
    return named or bool(actor.get("player") or actor.get("class"))


def spoken_to(world: World) -> tuple[str, ...]:
    """Who is spoken to: by id, where it is an actor, and as the dialogue says it."""
    dialogue = world.state.get("dialogue")
    said = dialogue.get("npc") if isinstance(dialogue, Mapping) else dialogue
    if not isinstance(said, str) or not said:
        return ()
    named = (each for each in world.actors if world.actor(each).get("name") == said)
    known = said if said in world.actors else next(named, said)
    return tuple(dict.fromkeys((known, said)))


def way_of(world: World, action: Mapping[str, Any]) -> Listed | None:
    """The way that a move goes; ``None`` if it is no move, or the place has no way called so."""
    if action.get("type") != MOVE:
        return None
    said = {str(action.get("name", "")).lower(), *(each.lower() for each in targets_of(action))}
    ways = ways_of(world.state)
    return next((way for way in ways if any(n.lower() in said for n in way.called.values())), None)


def talks_to(world: World, action: Mapping[str, Any]) -> str | None:
    """Who answers an action: whom it is said to, or else who is spoken to."""
    if action.get("type") != SAID:
        return None
    return next(iter((*targets_of(action), *spoken_to(world))), None)


def is_open(world: World, action: Mapping[str, Any]) -> bool:
    """Whether the place lists this way, or the talk this line."""
    name, lines = str(action.get("name", "")).lower(), _listed(world, SAID)
    said = action.get("type") == SAID and any(
        name == each.lower() for line in lines for each in line.called.values()
    )
    return said or way_of(world, action) is not None


class _Style(NamedTuple):
    """How a game says it: which of its names it goes by; the ``verb``, if that is its target."""

    by: str | None = None
    verb: str | None = None


class Wandering:
    """Who goes where, or says what, outside of combat: learned as it is done. Memory is bounded.

    ::

        exits        cellar yard                      attic hall
        done         --------------mira: move cellar--------------
        candidates   mira or tom, each way alike      mira, by either way

    :param items: what is done, by whom; it is learned elsewhere.
    :param whose: learns here by whom such things are done.
    """

    def __init__(self, items: Ensemble, whose: Ensemble) -> None:
        self._items = items
        self._whose = whose
        self._repertoire = Repertoire()
        self._actors: dict[str, dict[str, None]] = {MOVE: {}, SAID: {}}
        self._styles: dict[str, _Style] = {MOVE: _Style(), SAID: _Style()}
        self._aimed: int | None = 0  # by which name of who is spoken to
        self._new = Rate(2.0, 5.0)
        self._new_actor = Rate(1.0, 5.0)

    def note(self, world: World, context: Context, done: Declared, number: int) -> bool:
        """Somebody did something in this world; whether it was such a thing."""
        actor, action = done.actor, done.action
        kind = str(action.get("type"))
        if kind not in self._actors or context not in KINDS:
            return False
        self._repertoire.note(scopes_of(world, actor), action, number)
        others: list[Key] = [(each,) for each in self.actors(world, context)]
        self._new_actor.note_of((actor,), others, self._whose)
        self._whose.observe(Event(0.0, (actor,), (kind,)))
        known = self._actors[kind]
        known.pop(actor, None)
        known[actor] = None
        if len(known) > MOST_ACTORS:
            del known[next(iter(known))]
        targets = targets_of(action)
        if kind == SAID and (there := spoken_to(world)):
            self._aimed = next((n for n, each in enumerate(there) if each in targets), None)
        style = _style(_listed(world, kind), str(action.get("name", "")), targets)
        if style is not None:
            self._styles[kind] = style
        return True

    def weigh(self, item: Key, offered: Iterable[Key]) -> None:
        """An item was done, where these were open."""
        self._new.note_of(item, [*dict.fromkeys(offered)], self._items)

    def offers(self, world: World, context: Context, actor: str, *, heard: bool = True) -> Offers:
        """What is open to an actor: each way, or each line.

        Of a talk without lines, what was said before: at the table since the last outcome, if that
        is ``heard``, and by this actor to anybody.
        """
        kind = KINDS.get(context)
        if kind is None:
            return {}
        found: Offers = {}
        for action in self._actions(world, kind):
            found.setdefault(item_of(action), []).append(action)
        if found or kind == MOVE:
            return found
        for text in _said(world, actor) if heard else ():
            action = self._to(world, {"type": SAID, "name": text})
            found.setdefault(item_of(action), [action])
        for item, actions in self._repertoire.still(world, actor).items():
            if item[0] == SAID:
                found.setdefault(item, [self._to(world, each) for each in actions])
        return found

    def shares(self, world: World, actor: str, offers: Offers) -> dict[Key, float]:
        """How likely each of what is open is what an actor does, if it does any; at first alike."""
        return chosen(self._items, self._new, [*offers], scopes_of(world, actor))

    def actors(self, world: World, context: Context) -> dict[str, float]:
        """Who may do it, and how likely each: the players' own, and who has done so before."""
        kind = KINDS.get(context)
        if kind is None:
            return {}
        if world.turn is not None:
            return {world.turn.actor: 1.0}
        npc = spoken_to(world)
        there = (each for each in standing(world) if is_player(world.actor(each)))
        known = (each for each in self._actors[kind] if each in world.actors or not world.actors)
        keys: list[Key] = [(each,) for each in dict.fromkeys((*known, *there)) if each not in npc]
        likely = chosen(self._whose, self._new_actor, keys[:MOST_ACTORS], (kind,)) if keys else {}
        return {who: p for (who,), p in likely.items()}

    def _actions(self, world: World, kind: str) -> Iterator[Mapping[str, Any]]:
        style = self._styles[kind]
        for each in _listed(world, kind):
            known = [by for by in (style.by, *CALLED[kind]) if by in each.called]
            name = each.called[str(known[0])]
            if kind == SAID:
                yield self._to(world, {"type": kind, "name": name})
            elif style.verb is not None:
                yield {"type": kind, "name": style.verb, "target": name}
            else:
                yield {"type": kind, "name": name}

    def _to(self, world: World, action: Mapping[str, Any]) -> Mapping[str, Any]:
        """The same, said to who is spoken to, if this game says so."""
        there = spoken_to(world)
        what = {name: value for name, value in action.items() if name != "target"}
        if self._aimed is None or not there:
            return what
        return {**what, "target": there[min(self._aimed, len(there) - 1)]}


def _listed(world: World, kind: str) -> list[Listed]:
    """The ways, or the lines, that a state lists."""
    if kind == MOVE:
        last: Mapping[str, Any] = next(reversed([*world.last.values()]), {})
        told = way_of(world._replace(state=world.baseline), last)
        gone = [each for each in ways_taken(world.baseline, world.state) if each != told]
        return [*ways_of(world.state), *gone]  # of which no outcome has said so yet
    dialogue = world.state.get("dialogue")
    options = dialogue.get("options") if isinstance(dialogue, Mapping) else None
    return listed_in(options, [each for each in CALLED[SAID] if each != "key"])


def _style(listed: Iterable[Listed], name: str, targets: Iterable[str]) -> _Style | None:
    """How one of what is listed was called, if it is one of that."""
    said = [(name, None), *((each, name) for each in targets)]
    for word, verb in said:
        for each in listed:
            for by, called in each.called.items():
                if called.lower() == word.lower():
                    return _Style(by, verb)
    return None


def _said(world: World, actor: str) -> Iterator[str]:
    """What an actor, or its player, has said since the last outcome."""
    last = max(world.told.values(), default=0)
    for speaker in (actor, world.actor(actor).get("player")):
        lines = world.said.get(speaker, ()) if isinstance(speaker, str) else ()
        for number, line in reversed(lines):
            if number > last and not line.typing and 0 < len(line.text) <= LONGEST:
                yield line.text
