"""What a game said, read once more from the raw inputs: a second opinion on what was unexpected.

It shares nothing with the pipeline's own reckoning (``streams/world.py``, ``footprint.py``), and
where the inputs leave a doubt it claims nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonpatch

from ..streams import events as ev
from .standing import Standing

__all__ = ["EVERYTHING", "Changes", "Happening", "doubts", "speaks_of"]

EVERYTHING = "everything"
PLACE = "location"

OF_TARGETS = {"hp", "temp_hp", "health", "conditions", "effects", "dead", "alive"}
OF_ACTORS = {"resources", "slots", "spell_slots", "ammo", "charges", "uses"}
MOMENT = {
    "mode", "round", "combat", "in_combat", "encounter", "initiative", "battle", "dialogue",
    "in_dialogue", "conversation", "talking_to", "exits", "room", "area", "map",
}  # fmt: skip
"""Fields at the top of a state that may say what kind of moment it is."""

MODE = "the kind of moment"
NPC = "who is spoken to"
WAY = "the way "
BLOWS = ".health"
SPENT = ".means"


@dataclass(slots=True)
class Happening:
    """An outcome as the game said it; ``parts`` are its (target, result, damage, hp afterwards).

    ``aimed`` is false of what was aimed at nobody: then a text need not say whom it befell. Of a
    wish to have one told again, ``again`` is the number of that outcome, 0 if there is none.
    """

    number: int
    t: float
    at: float
    to: tuple[str, ...]
    actor: str
    action: str
    parts: list[tuple[str | None, str, Any, Any]]
    aimed: bool = True
    cancelled: bool = False
    again: int | None = None


@dataclass(slots=True)
class Doing:
    actor: str
    name: str
    targets: tuple[str, ...]


@dataclass(slots=True)
class Changes:
    """Follows the inputs, and notes each unexpected change by the number of its input.

    A change is expected if it names an action as its reason, or touches only what the actions
    declared or resolved in this turn may change: the health and conditions of their targets, the
    resources of their actor.

    :param volatile: fields of an actor that no text speaks of.
    """

    volatile: Iterable[str] = ()
    number: int = 0
    moved: int = 0
    """The last input that was more than a state, or words."""
    happened: int = 0
    """The last outcome, or rewind."""
    turn: str | None = None
    sure: bool = True
    """Whether the present turn is known: not after a rewind to what was before this was made."""
    state: Mapping[str, Any] | None = field(default_factory=dict)
    standing: Standing = field(default_factory=Standing)
    doing: dict[str, Doing] = field(default_factory=dict)
    declared: dict[str, Doing] = field(default_factory=dict)
    unexpected: dict[int, set[str]] = field(default_factory=dict)
    clear: tuple[set[str], Doing | None] | None = None
    """Of the last input, if it was a state of which there is no doubt what was unexpected in it:
    that, and the action it names as its reason. ``calm`` if nothing else changed either that may
    call for other preparations."""
    calm: bool = False

    def take(self, number: int, event: ev.Input, at: float) -> Happening | None:
        """The next input, handed on at ``at``; an outcome gives what happened."""
        self.number = number
        self.calm, self.clear = False, None
        self.standing.take(number, event)
        match event:
            case ev.State():
                self._changed(event.state, event.because)
            case ev.Patch():
                if self.state is not None:
                    state = jsonpatch.apply_patch(self.state, [dict(op) for op in event.patch])
                    self._changed(state, event.because)
            case ev.Rewind():
                self.unexpected[number] = {EVERYTHING}
                self._as_it_stands()
            case ev.Retell():
                return self._again(number, event, at)
            case ev.Outcome():
                return self._resolved(number, event, at)
            case _:
                self._move(event)
        return None

    def _move(self, event: ev.Input) -> None:
        match event:
            case ev.Turn():
                self._new_turn(event.turn)
            case ev.TurnEnd() if event.turn == self.turn or not self.sure:
                self._new_turn(None)
            case ev.Action(action=None):
                self.doing.pop(event.action_id, None)
            case ev.Action():
                doing = _doing(event.actor, event.action or {})
                self.doing[event.action_id] = self.declared[event.action_id] = doing
        if isinstance(event, (ev.Turn, ev.TurnEnd, ev.Action)):
            self.moved = self.number

    def _as_it_stands(self) -> None:
        """All as it was then: the state, the turn and what is done in it."""
        self.moved = self.happened = last = self.number
        if not self.standing.whole:
            self.state, self.sure = None, False
            self.doing.clear()
            return
        self.state = self.standing.state()
        self._new_turn(None)
        self.declared.clear()
        for number, event in reversed(list(self.standing.back())):
            self.number = number
            if isinstance(event, ev.Outcome):
                self._resolved(number, event, 0.0)
            else:
                self._move(event)
        self.number = self.moved = self.happened = last

    def between(self, known: int, last: int) -> list[tuple[int, set[str]]]:
        """The unexpected changes after input ``known``, up to and with ``last``."""
        found = []
        for number in reversed(self.unexpected):
            if number <= known:
                break
            if number <= last:
                found.append((number, self.unexpected[number]))
        return found

    def _new_turn(self, turn: str | None) -> None:
        self.turn, self.sure = turn, True
        self.doing.clear()

    def _resolved(self, number: int, event: ev.Outcome, at: float) -> Happening:
        known = self.declared.get(event.action_id) if event.action_id is not None else None
        doing = known or Doing("", "", ())
        if event.action is not None or known is None:
            doing = _doing(event.actor or doing.actor, event.action or {})
        targets = list(doing.targets)
        results = event.results
        if len(results) == 1 and results[0].target is None:
            only = results[0]
            aimed = [ev.Result(only.result, each, only.values) for each in targets]
            results = tuple(aimed) or results
        parts = [
            (each.target, each.result, each.values.get("damage"), each.values.get("target_hp"))
            for each in results
        ]
        struck = tuple(dict.fromkeys([*targets, *(part[0] for part in parts if part[0])]))
        self.doing[event.action_id or f"#{number}"] = Doing(doing.actor, doing.name, struck)
        self.moved = self.happened = number
        what = (doing.actor, doing.name, parts, bool(targets))
        return Happening(number, event.t, at, event.to, *what)

    def _again(self, number: int, event: ev.Retell, at: float) -> Happening:
        of = self.standing.outcome(event.action_id)
        return Happening(number, event.t, at, (), "", "", [], again=of or 0)

    def _changed(self, state: Mapping[str, Any], because: str | None) -> None:
        before, self.state = self.state, state
        if before is None:
            return
        changed = set(self._paths(before, state))
        self.calm = not changed and all(before.get(name) == state.get(name) for name in MOMENT)
        if because is not None:
            named = self.doing.get(because)
            self.clear = (set(), named) if named is not None and self.sure else None
            return
        there = state.get("actors") or {}
        for doing in self.doing.values():
            changed -= {f"{target}{BLOWS}" for target in doing.targets}
            changed -= {target for target in doing.targets if target not in there}
            changed.discard(f"{doing.actor}{SPENT}")
        if self.sure:
            self.clear = changed, None
        else:
            changed = {what for what in changed if not what.endswith((BLOWS, SPENT))}
        if changed:
            self.unexpected[self.number] = changed

    def _paths(self, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
        if old.get(PLACE) != new.get(PLACE):
            yield PLACE
            yield from (f"{WAY}{name}" for name in _taken(old, new))
        if old.get("mode") != new.get("mode"):
            yield MODE
        if _npc(old) != _npc(new):
            yield NPC
        before, after = old.get("actors"), new.get("actors")
        if before == after:
            return
        if not isinstance(before, Mapping) or not isinstance(after, Mapping):
            yield EVERYTHING
            return
        for who in {**before, **after}:
            was, now = before.get(who), after.get(who)
            if was is now or was == now:
                continue
            if not isinstance(was, Mapping) or not isinstance(now, Mapping):
                yield who
                continue
            for name in {**was, **now}:
                if name in self.volatile or was.get(name) == now.get(name):
                    continue
                if name in OF_TARGETS:
                    yield f"{who}{BLOWS}"
                elif name in OF_ACTORS:
                    yield f"{who}{SPENT}"
                else:
                    yield who


def _doing(actor: str, action: Mapping[str, Any]) -> Doing:
    target = action.get("target")
    targets = (target,) if isinstance(target, str) else tuple(target or ())
    return Doing(actor, str(action.get("name")), targets)


def _npc(state: Mapping[str, Any]) -> Any:
    dialogue = state.get("dialogue")
    return dialogue.get("npc") if isinstance(dialogue, Mapping) else dialogue


def _taken(old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterable[str]:
    """By what names the way is known that has led from the old place to the new one."""
    was, place = old.get(PLACE), new.get(PLACE)
    if not isinstance(was, Mapping) or not isinstance(place, Mapping):
        return
    here = {str(place.get(each)).lower() for each in ("id", "name")}
    here -= {str(was.get(each)).lower() for each in ("id", "name")}
    exits = was.get("exits") or []
    for way in exits.items() if isinstance(exits, Mapping) else ((None, each) for each in exits):
        key, leads = way
        words = [*leads.values()] if isinstance(leads, Mapping) else [leads]
        names = {str(each).lower() for each in (key, *words) if each}
        if names & here:
            yield from names


def doubts(
    what: set[str],
    entry: Mapping[str, Any],
    entries: Iterable[Mapping[str, Any]],
    happened: bool,
) -> set[str]:
    """What of these changes makes a text of an entry doubtful; not that one is where it leads.

    :param happened: whether it had happened before: then it makes no odds that the moment is over.
    """
    found = what & speaks_of(entry, entries)
    if happened:
        found -= {MODE, NPC}
    if entry.get("type") == "move" and f"{WAY}{str(entry['action']).lower()}" in what:
        found.discard(PLACE)
    return found


def speaks_of(entry: Mapping[str, Any], entries: Iterable[Mapping[str, Any]]) -> set[str]:
    """What a text of an entry of a stamped prompt speaks of, less what its outcome decides.

    :param entries: all that are asked for with it: of one deed, each may strike another target.
    """
    actor, deed = entry["actor"], (entry["actor"], entry["action"])
    alike = [each for each in entries if (each["actor"], each["action"]) == deed]
    aims = {aim for each in alike for aim in each["aims"] if aim is not None}
    found = {actor, PLACE, EVERYTHING, *(f"{aim}{SPENT}" for aim in aims if aim != actor)}
    if entry["target"] is not None:
        found.add(entry["target"])
    if actor not in aims:
        found.add(f"{actor}{BLOWS}")
    if entry.get("type") in ("move", "talk"):
        found.add(MODE)
    if entry.get("type") == "talk":
        found.add(NPC)
    return found
