"""FIREBALL: D&D 5e combats played on Discord with the Avrae bot, as recorded by its authors.

What becomes what:

- A command that acts (``!attack``, ``!cast``, ``!check`` …) is an ``action`` at the time it was
  typed; a button is one when it was pressed. Where the bot asked which ability was meant, the
  action is declared again, by its real name, when the player answered.
- ``automation_run`` is the ``outcome``, with one result for each target. Checks and saves without
  one have their outcome in the bot's reply; as no DC is recorded their result is ``rolled``.
- ``combat_state_update`` is a ``state``, ``because`` of the action it follows. Health and armour
  class come from its text, the rest from character sheets as far as they had been shown by then.
- A new combatant's turn is a ``turn``; typing ``!init next`` ends the one before. ``!init prev``
  is a ``rewind``.
- Other messages of people are ``say`` lines: what is quoted with ``>`` by the game master is
  spoken by ``dm``, anything else by the player's character. Commands and answers to the bot's
  questions are not.

Odds are given where sheets, armour class and DC were known before the action. Nothing before an
outcome comes from its ``automation_run`` or from a state that follows it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from .avrae import healths, results_of
from .common import ForeignFormatError, Ids, Lines, foreign_lines, slug
from .fireball_acts import DEATH_SAVE, Act, Acts
from .fireball_table import Event, Table

__all__ = ["convert"]

SOURCE = "FIREBALL (github.com/zhudotexe/FIREBALL), D&D 5e with the Avrae bot on Discord"
NEXT_TURN = ("init next", "init move")
QUESTIONS = ("Which one were you looking for?", "(Reply with yes/no)")


def convert(path: str | os.PathLike[str], seed: int = 0) -> list[dict[str, Any]]:
    """The records of a session log for one combat (``raw.jsonl``), in order.

    The recording has a human clock, so ``seed`` decides nothing.

    :raises ForeignFormatError: if the file is not one combat of FIREBALL.
    """
    return _Combat(os.fspath(path), _events(path)).run()


def _events(path: str | os.PathLike[str]) -> list[Event]:
    events: list[Event] = []
    for number, line in enumerate(foreign_lines(path), 1):
        try:
            event = orjson.loads(line)
        except orjson.JSONDecodeError:
            event = None
        if wrong := _event_problem(event, events[0] if events else None):
            raise ForeignFormatError(path, number, wrong)
        events.append(event)
    return events


def _event_problem(event: Any, first: Event | None) -> str | None:
    if not isinstance(event, dict):
        return "is not a FIREBALL recording; each line of its raw.jsonl is a JSON object"
    if "combat_state_before" in event:
        return "holds FIREBALL's filtered triples; import the raw.jsonl beside them"
    times = (event.get("timestamp"), event.get("created_at", 0.0))
    if not isinstance(event.get("event_type"), str) or not all(_is_time(t) for t in times):
        return 'is not a FIREBALL event (no "event_type" and "timestamp"); give its raw.jsonl'
    if first is not None and event.get("combat_id") != first.get("combat_id"):
        return "begins another combat; split the file by combat_id and import one at a time"
    return None


def _is_time(value: Any) -> bool:
    return isinstance(value, int | float) and 0 <= value < 1e11


def _typed_at(event: Event) -> float:
    """When a thing happened at the table: ``timestamp`` is when the bot was done with it."""
    return float(event.get("created_at") or event["timestamp"])


class _Combat:
    """One combat's events in the order they happened, and the log made of them."""

    def __init__(self, path: str, events: list[Event]) -> None:
        self.path = path
        self.events = events
        self.start = min(_typed_at(event) for event in events)
        self.lines = Lines()
        self.table = Table()
        self.acts = Acts(self.table)
        self.last_state: dict[str, Any] | None = None
        self.begun: list[float] = []  # when each turn began that can still be undone
        self.open_turn: str | None = None
        self.turn_ids = Ids()
        self.question: tuple[str, list[str], Act | None] | None = None
        self.commands: dict[str, Event] = {}
        self.updates: dict[str, Event] = {}  # the first state update of each command or button
        for event in events:
            if event["event_type"] == "command":
                self.commands[str(event.get("message_id"))] = event
            elif event["event_type"] == "combat_state_update":
                self.updates.setdefault(str(event.get("probable_interaction_id")), event)

    def run(self) -> list[dict[str, Any]]:
        started = datetime.fromtimestamp(self.start, UTC).isoformat(timespec="milliseconds")
        self.lines.add(
            0.0,
            "session",
            format=1,
            id=str(self.events[0].get("combat_id")),
            started=started.replace("+00:00", "Z"),
            source=SOURCE,
            clock="human",
            licence="CC-BY-4.0",
        )
        timeline: list[tuple[float, int, Callable[[float, Event], None], Event]] = []
        for number, event in enumerate(self.events, 1):
            kind = event["event_type"]
            if kind == "command":
                timeline.append((event["timestamp"], number, self.on_command_done, event))
            if handler := getattr(self, f"on_{kind}", None):
                timeline.append((_typed_at(event), number, handler, event))
        for at, number, handler, event in sorted(timeline, key=lambda item: item[:2]):
            try:
                handler(round(at - self.start, 6), event)
            except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
                kind = event["event_type"]
                reason = f"this {kind} is not as FIREBALL's schema has it ({error!r})"
                raise ForeignFormatError(self.path, number, reason) from error
        self.lines.add(self.lines.now, "end")
        return self.lines.records

    def on_message(self, t: float, event: Event) -> None:
        text = str(event.get("content") or "")
        if event.get("author_bot"):
            self.on_bot(t, event, text)
        elif not text or text.startswith("!") or str(event.get("message_id")) in self.commands:
            return
        elif self.question and self.question[0] == str(event.get("author_id")) and len(text) <= 3:
            self.on_answer(t, text.strip())
        else:
            self.lines.add(t, "say", speaker=self.table.speaker(event, text), text=text)

    def on_answer(self, t: float, text: str) -> None:
        """The player says which of the abilities offered was meant."""
        _, names, act = self.question or ("", [], None)
        self.question = None
        known = act and text.isdigit() and 0 < int(text) <= len(names)
        if act and known and self.acts.answer(act, names[int(text) - 1]):
            self.declare(t, act)

    def on_bot(self, t: float, event: Event, content: str) -> None:
        parts, title = [content], ""
        for embed in event.get("embeds") or ():
            title = str(embed.get("title") or title)
            parts.append(str(embed.get("description") or ""))
            parts.append(str((embed.get("footer") or {}).get("text") or ""))
        text = "\n".join(parts)
        command = self.being_run(_typed_at(event))
        act = self.acts.get(str(command["message_id"])) if command else None
        if command and any(question in text for question in QUESTIONS):
            offered = (line.partition("** - ") for line in text.splitlines())
            names = [name.strip() for _, found, name in offered if found]
            self.question = (str(command.get("author_id")), names, act)
            return
        if act and not act.resolved and " makes a" in title:
            self.on_rolled(t, act, text)
        self.table.read_health(text)
        self.add_state(t, act.action_id if act else None, only_changed=True)

    def being_run(self, at: float) -> Event | None:
        """The latest command the bot was still busy with then."""
        busy = [c for c in self.commands.values() if _typed_at(c) <= at <= c["timestamp"]]
        return max(busy, key=_typed_at, default=None)

    def on_rolled(self, t: float, act: Act, text: str) -> None:
        """A check or save that the bot rolls in its reply; only a death save has a known DC."""
        values: dict[str, Any] = {"test": act.action["type"]}
        totals = [int(part) for part in text.split("`")[1::2] if part.lstrip("-").isdigit()]
        result = "rolled"
        if totals:
            values["roll"] = totals[0]
            if act.action["name"] == DEATH_SAVE:
                result = "success" if totals[0] >= 10 else "failure"
        entry = {"target": act.actor} if act.action["type"] == "save" else {}
        for name, health in healths(text).items():
            if entry and self.table.by_name.get(name) == act.actor:
                values["target_hp"] = health.hp
        results = [{**entry, "result": result, "values": values}]
        self.lines.add(t, "outcome", action_id=act.action_id, results=results)
        act.resolved = True

    def declare(self, t: float, act: Act) -> None:
        self.lines.add(
            t,
            "action",
            action_id=act.action_id,
            turn=act.turn,
            actor=act.actor,
            action=act.action,
            odds=self.acts.odds(act),
        )

    def on_command(self, t: float, event: Event) -> None:
        key = str(event["message_id"])
        if event.get("command_name") in NEXT_TURN and key in self.updates:
            self.end_turn(t)
        if self.acts.get(key) is None and (act := self.acts.command(event, self.open_turn)):
            self.declare(t, act)

    def on_command_done(self, t: float, event: Event) -> None:
        act = self.acts.get(str(event["message_id"]))
        if act and not act.resolved:  # cancelled, or the bot found nothing of that name
            self.lines.take_back(t, act.action_id, act.actor, act.turn)
            act.resolved = True
        caster = event.get("caster")
        if caster and caster.get("stats"):  # later commands name the caster without its sheet
            self.table.learn(caster)
            self.add_state(t, None, only_changed=True)

    def on_button_press(self, t: float, event: Event) -> None:
        self.declare(t, self.acts.button(event, self.open_turn))

    def on_snippet_resolution(self, t: float, event: Event) -> None:
        if command := self.commands.get(str(event.get("message_id"))):
            name, body = str(event.get("snippet_name")), str(event.get("content_after") or "")
            self.acts.learn_snippet(str(command.get("author_id")), name, body)

    def on_automation_run(self, t: float, event: Event) -> None:
        key = str(event.get("interaction_id"))
        if self.acts.get(key) is None and key in self.commands:
            self.on_command(t, self.commands[key])
        act = self.acts.get(key)
        caster = str((event.get("caster") or {}).get("name"))
        actor = act.actor if act else self.table.by_name.get(caster) or slug(caster)
        results = results_of(event.get("automation_result") or {}, actor, self.table.by_uuid)
        left = self.table.hp_in(self.updates[key]) if key in self.updates else {}
        for entry in results:
            values = entry.get("values", {})
            if entry.get("target") in left and ("damage" in values or "healing" in values):
                values["target_hp"] = left[entry["target"]]
        if act:
            self.lines.add(t, "outcome", action_id=act.action_id, results=results)
            act.resolved = True
            self.acts.learn_roll(act, event.get("automation"))
        else:
            action = {"type": "use", "name": "ability"}
            turn = self.open_turn
            self.lines.add(t, "outcome", turn=turn, actor=actor, action=action, results=results)

    def on_combat_state_update(self, t: float, event: Event) -> None:
        before = (self.table.round, self.table.current)
        self.table.update(event)
        moved = (self.table.round, self.table.current) != before
        key = str(event.get("probable_interaction_id"))
        undone = moved and self.commands.get(key, {}).get("command_name") == "init prev"
        if undone:
            self.undo_turn(t)
        elif moved:
            self.end_turn(t)
        cause = self.acts.get(key)
        self.add_state(t, cause.action_id if cause else None)
        if moved and self.table.current is not None:
            if not undone or not self.begun:
                self.begun.append(t)
            self.begin_turn(t, self.table.current)

    def begin_turn(self, t: float, actor: str) -> None:
        """Ids stay unique when a turn is come back to."""
        turn = self.open_turn = self.turn_ids.of(f"{t}", f"r{self.table.round}-{actor}")
        options = self.table.sheet(actor).options() or None
        self.lines.add(t, "turn", turn=turn, actor=actor, options=options)

    def end_turn(self, t: float) -> None:
        if self.open_turn:
            self.lines.add(t, "turn_end", turn=self.open_turn)
        self.open_turn = None

    def undo_turn(self, t: float) -> None:
        """Back to before the turn began; the one before it is taken up again."""
        if self.begun:
            self.lines.add(t, "rewind", to=self.lines.before(round(self.begun.pop(), 6)))
        self.open_turn = None

    def on_combat_end(self, t: float, event: Event) -> None:
        self.end_turn(t)
        self.table.end()
        self.add_state(t, None)

    def add_state(self, t: float, because: str | None, only_changed: bool = False) -> None:
        state = self.table.state()
        if only_changed and (self.last_state is None or state == self.last_state):
            return
        self.last_state = state
        self.lines.add(t, "state", state=state, because=because)
