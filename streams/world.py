"""The world: all a session knows at one moment, and how each input moves it on.

:func:`advance` is a pure function, so a recorded session always leads to the same worlds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jsonpatch

from . import blows
from .events import Action, Input, Outcome, Patch, Say, State, Turn, TurnEnd
from .footprint import CONTEXT, PLACE, Footprint, Path, action_key, changed_paths, targets_of
from .places import way_taken

__all__ = ["Declared", "Numbered", "World", "advance", "rewound"]

Change = tuple[Path, str | None]
"""Where the state changed, and the key of the action named as its reason; or the way that was taken
to another place, see :func:`~.places.way_taken`."""

MAX_PATHS = 4096
MAX_RESOLVED = 64
MAX_OPEN = 1024
MAX_ACTORS = 1024
MAX_TOLD = 1024
MAX_UNDONE = 1024
MAX_SPEAKERS = 256
MAX_SAID = 2000
RECENT = 4


NOTHING: Mapping[Any, Any] = {}


class Numbered(NamedTuple):
    """An input, its place in the session's one order, from 1, and when it was put (seconds)."""

    number: int
    event: Input
    received: float


@dataclass(frozen=True, slots=True)
class Declared:
    """An action of the current turn, with the state it was declared in.

    ``since`` is the revision of that; ``struck`` are those whom its outcome befell, though it was
    not aimed at them.
    """

    actor: str
    action: Mapping[str, Any]
    key: str
    state: Mapping[str, Any]
    event: Action | None = None
    resolved: bool = False
    since: int = 0
    struck: tuple[str, ...] = ()

    @property
    def to(self) -> tuple[str, ...]:
        """The viewers who may know of it, as it was declared; all, if none are named."""
        return () if self.event is None else self.event.to


class World(NamedTuple):
    """A session's state, turn and actions after one input.

    ``unexpected`` holds, for each changed path that no action of the turn accounts for, the
    revision of its last such change (and, apart, of those that named another action).
    ``fresh`` are those changes this very input made, and ``blows`` what it did to whom, if it is
    an outcome; ``accounts`` is what of such is open, by actor, and ``habits`` how its states and
    outcomes follow each other. ``outcomes`` counts the outcomes of the turn; ``recent`` are the
    last few of the session; ``last`` is what each actor did last, the latest at the end.
    ``baseline`` is the state of revision ``since``, at the begin of the turn or at its last
    outcome. ``told`` is the input of each action's last
    outcome, ``undone`` the inputs that rewinds have undone, each from after one to another.
    ``said`` are the last things that each speaker said, with the numbers of these inputs; those of
    whose turn it was, until it ends. Two worlds are equal only if they are one and the same.
    """

    revision: int = 0
    t: float = 0.0
    cause: Input | None = None
    number: int = 0
    received: float = 0.0
    state: Mapping[str, Any] = NOTHING
    unexpected: Mapping[Change, int] = NOTHING
    fresh: tuple[Change, ...] = ()
    accounts: blows.Accounts = NOTHING
    habits: blows.Habits = blows.Habits()
    warning: str | None = None
    blows: tuple[blows.Blow, ...] = ()
    turn: Turn | None = None  # from here on, what a state does not change
    actions: Mapping[str, Declared] = NOTHING
    outcomes: int = 0
    recent: tuple[Outcome, ...] = ()
    last: Mapping[str, Mapping[str, Any]] = NOTHING
    baseline: Mapping[str, Any] = NOTHING
    since: int = 0
    told: Mapping[str, int] = NOTHING
    undone: tuple[tuple[int, int], ...] = ()
    said: Mapping[str, tuple[tuple[int, Say], ...]] = NOTHING
    footprint: Footprint = Footprint()

    def __eq__(self, other: object) -> bool:
        return self is other

    def __hash__(self) -> int:
        return id(self)

    @property
    def actors(self) -> Mapping[str, Any]:
        """The state's ``actors``, or nothing."""
        actors = self.state.get("actors")
        return actors if type(actors) is dict or isinstance(actors, Mapping) else {}

    def actor(self, actor_id: str | None) -> Mapping[str, Any]:
        """What the state says of one actor, or nothing."""
        found = self.actors.get(actor_id) if actor_id is not None else None
        return found if type(found) is dict or isinstance(found, Mapping) else {}

    def stands(self, number: int) -> bool:
        """Whether no rewind until now has undone the input of this number."""
        return not any(after < number <= last for after, last in self.undone)

    def doing(self, outcome: Outcome) -> Declared:
        """The actor and action an outcome is of: as declared, or as it says itself.

        One that nobody declared is known from its own input on, with the state before it.
        """
        known = self.actions.get(outcome.action_id or f"#{self.number}")
        if known is not None and (outcome.action is None or outcome.action_id is None):
            return known
        action = dict(outcome.action or (known.action if known else {}))
        if not action.get("target"):
            targets = [result.target for result in outcome.results if result.target is not None]
            if targets:
                action["target"] = targets if len(targets) > 1 else targets[0]
        actor = outcome.actor or (known.actor if known else "")
        state, since = (known.state, known.since) if known else (self.baseline, self.since)
        return Declared(actor, action, action_key(actor, action), state, since=since)


def advance(world: World, numbered: Numbered) -> World:
    """The world after one more input. Never raises: what makes no sense becomes a ``warning``.

    A rewind, for which more than one world is needed, moves nothing here: see :func:`rewound`.
    """
    event = numbered.event
    try:
        if type(event) is State:  # a game's loop says little else
            return _moment(world, numbered, _changed(world, event.state, event.because, event.t))
        if type(event) is Patch:
            return _moment(world, numbered, _patched(world, event))
        return _moved(_moment(world, numbered, _unchanged(world)), event)
    except Exception as error:
        what = type(event).__name__.lower()
        warning = f"{what} cannot be used and is left out: {error!r}"
        return _moment(world, numbered, _unchanged(world, warning))


Changed = tuple[
    Mapping[str, Any],
    Mapping[Change, int],
    tuple[Change, ...],
    blows.Accounts,
    blows.Habits,
    str | None,
    tuple[()],
]
"""What a state changes of a world: the fields from ``state`` to ``blows``."""


def _unchanged(world: World, warning: str | None = None) -> Changed:
    return world.state, world.unexpected, (), world.accounts, world.habits, warning, ()


def _moment(world: World, numbered: Numbered, changed: Changed) -> World:
    number, event, received = numbered
    now = (world.revision + 1, event.t, event, number, received, *changed)
    return tuple.__new__(World, now + world[len(now) :])  # several times faster than _replace


def _patched(world: World, event: Patch) -> Changed:
    state = jsonpatch.apply_patch(world.state, [dict(op) for op in event.patch])
    if not isinstance(state, Mapping):
        return _unchanged(world, "patch leaves no object, and is left out")
    return _changed(world, state, event.because, event.t)


def _moved(world: World, event: Input) -> World:
    match event:
        case Turn():
            return _begun(world, event)
        case TurnEnd():
            if world.turn is None or world.turn.turn != event.turn:
                return world._replace(warning=f"turn_end of {event.turn!r}, which is not open")
            return _begun(world, None)
        case Say():
            return _heard(world, event)
        case Action():
            return _declared(world, event)
        case Outcome():
            return _resolved(world, event)
    return world


def _based(world: World, **moved: Any) -> World:
    """What is not declared from now on, is reckoned from the state as it stands."""
    return world._replace(**moved, baseline=world.state, since=world.revision)


def _begun(world: World, turn: Turn | None) -> World:
    """Another turn, or none: nothing of the one before is open any more."""
    accounts = blows.turned(world.accounts)
    said = _turned(world)
    return _based(world, turn=turn, actions={}, outcomes=0, said=said, accounts=accounts)


def _turned(world: World) -> Mapping[str, tuple[tuple[int, Say], ...]]:
    """What was said, without what was said by whose turn is over."""
    if world.turn is None or world.turn.actor not in world.said:
        return world.said
    return {who: lines for who, lines in world.said.items() if who != world.turn.actor}


def _heard(world: World, event: Say) -> World:
    """What is typed stands until more of it comes, or it is said."""
    said = {who: lines for who, lines in world.said.items() if who != event.speaker}
    before = [each for each in world.said.get(event.speaker, ()) if not each[1].typing]
    if event.text or not event.typing:
        text = event.text[-MAX_SAID:]
        before.append((world.number, event if text == event.text else replace(event, text=text)))
    said[event.speaker] = tuple(before[-RECENT:])
    while len(said) > MAX_SPEAKERS:
        del said[next(iter(said))]
    return world._replace(said=said)


def _changed(world: World, state: Mapping[str, Any], because: str | None, t: float) -> Changed:
    paths = changed_paths(world.state, state)
    accounts, habits = blows.seen(world, state, paths, because, t)
    if not paths:
        return world.state, world.unexpected, (), accounts, habits, None, ()
    warning = key = None
    if because is not None:
        named = world.actions.get(because)
        if named is None:
            warning = (
                f"state names action {because!r}, which is not of this turn: taken as unexpected"
            )
        else:
            key = named.key
    turned = _turned_to(world, state, paths)
    paths = world.footprint.lasting(paths)
    tops = [path[0] for path in paths if path]
    if "actors" in tops:
        allowed = _allowed(world, paths, state)
        paths = [path for path in paths if path[:2] not in allowed and path not in allowed]
    fresh = tuple([(path, key) for path in paths])
    if key is None and PLACE[0] in tops and (way := way_taken(world.state, state)) is not None:
        fresh = tuple([(path, way if path[0] == PLACE[0] else None) for path in paths])
    if turned:
        fresh += ((CONTEXT, key),)
    unexpected = world.unexpected
    if fresh:
        revision = world.revision + 1
        unexpected = {**unexpected, **dict.fromkeys(fresh, revision)}
        if len(unexpected) > MAX_PATHS:
            unexpected = {((), None): revision}
    return state, unexpected, fresh, accounts, habits, warning, ()


def _turned_to(world: World, state: Mapping[str, Any], paths: Sequence[Path]) -> bool:
    """Whether this is another kind of moment."""
    footprint = world.footprint
    if footprint.context is None or not any(_may_turn(world, state, path) for path in paths):
        return False
    try:
        return footprint.context(world) != footprint.context(world._replace(state=state))
    except Exception:  # rules that cannot be read are told where scenes are made
        return False


def _may_turn(world: World, state: Mapping[str, Any], path: Path) -> bool:
    """Whether a change may make another kind of moment: of actors, with who is on which side."""
    if path and path[0] == "actors":
        return world.turn is not None and (len(path) < 3 or path[2] == "side")
    if path and path[0] not in world.footprint.contexts:
        return False
    before: Any = world.state
    after: Any = state
    for key in path:
        before, after = (each.get(key) if key in each else None for each in (before, after))
    counts = isinstance(before, int | float) and isinstance(after, int | float)
    return not counts or bool(before) is not bool(after)


def _allowed(world: World, paths: Sequence[Path], state: Mapping[str, Any]) -> frozenset[Path]:
    """What the turn's actions may have changed."""
    return frozenset(
        [
            path
            for declared in world.actions.values()
            for path in world.footprint.of(declared.actor, declared.action, declared.struck)
        ]
        + _taken_off(world, paths, state)
    )


def _taken_off(world: World, paths: Sequence[Path], state: Mapping[str, Any]) -> list[Path]:
    """The targets of the turn's actions that the state has no more: so games do with the slain."""
    removed = (path for path in paths if len(path) == 2 and path[0] == "actors")
    gone = [path for path in removed if path[1] not in state["actors"]]
    if not gone:
        return []
    struck = {
        each
        for declared in world.actions.values()
        for each in (*targets_of(declared.action), *declared.struck)
    }
    return [path for path in gone if path[1] in struck]


def _declared(world: World, event: Action) -> World:
    actions = dict(world.actions)
    if event.action is None:
        if actions.pop(event.action_id, None) is None:
            return world._replace(
                warning=f"action {event.action_id!r} is taken back, but was not declared"
            )
        return world._replace(actions=actions)
    if event.turn is not None and (world.turn is None or world.turn.turn != event.turn):
        world = world._replace(
            warning=f"action {event.action_id!r} is of turn {event.turn!r}, which is not open",
        )
    key = action_key(event.actor, event.action)
    actions[event.action_id] = Declared(
        event.actor, event.action, key, world.state, event, since=world.revision
    )
    forgotten = _oldest(actions, resolved=False, beyond=MAX_OPEN)
    if forgotten is not None:
        del actions[forgotten]
        warning = f"{MAX_OPEN} actions are open already: {forgotten!r}, the oldest, is forgotten"
        world = world._replace(warning=warning)
    return world._replace(actions=actions)


def _oldest(actions: Mapping[str, Declared], *, resolved: bool, beyond: int) -> str | None:
    """The oldest of those that are resolved, or of those that are not, if they are too many."""
    known = [name for name, each in actions.items() if each.resolved is resolved]
    return known[0] if len(known) > beyond else None


def _resolved(world: World, event: Outcome) -> World:
    warning = None
    if event.action_id is not None and event.action_id not in world.actions:
        warning = f"outcome of action {event.action_id!r}, which was not declared in this turn"
    elif event.turn is not None and (world.turn is None or world.turn.turn != event.turn):
        warning = f"outcome in turn {event.turn!r}, which is not open"
    done = world.doing(event)
    name = event.action_id if event.action_id is not None else f"#{world.number}"
    struck_by, accounts, habits = blows.told(world, event, done, name)
    befell = [result.target for result in event.results if result.target is not None]
    others = [each for each in befell if each not in targets_of(done.action)]
    struck = tuple(dict.fromkeys([*done.struck, *others]))
    done = replace(done, resolved=True, struck=struck)
    last = {who: what for who, what in world.last.items() if who != done.actor}
    last[done.actor] = done.action  # the latest is the last one in it
    while len(last) > MAX_ACTORS:
        del last[next(iter(last))]
    actions = {key: each for key, each in world.actions.items() if key != name}
    actions[name] = done
    forgotten = _oldest(actions, resolved=True, beyond=MAX_RESOLVED)
    if forgotten is not None:
        del actions[forgotten]
    told = dict(world.told)  # the copy of a great many: several times faster than one by one
    told.pop(name, None)
    told[name] = world.number
    while len(told) > MAX_TOLD:
        del told[next(iter(told))]
    return world._replace(
        actions=actions,
        outcomes=world.outcomes + 1,
        recent=(*world.recent, event)[-RECENT:],
        last=last,
        blows=struck_by,
        accounts=accounts,
        habits=habits,
        baseline=world.state,
        since=world.revision,
        warning=warning,
        told=told,
    )


def rewound(past: World, revision: int, numbered: Numbered) -> World:
    """The world after a rewind: all as it was in ``past``; nothing prepared since can be true.

    :param revision: its own. Revisions go on, so that one may go back to before the rewind as well.
    """
    number, event, received = numbered
    everything: Change = ((), None)
    undone = past.undone
    if past.number < number - 1:
        undone = (*undone, (past.number, number - 1))[-MAX_UNDONE:]
    return past._replace(
        revision=revision,
        t=event.t,
        number=number,
        received=received,
        cause=event,
        unexpected={everything: revision},
        fresh=(everything,),
        warning=None,
        undone=undone,
    )
