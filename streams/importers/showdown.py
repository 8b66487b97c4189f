"""Pokémon Showdown: battles of its engine, in its line protocol.

Both sides choose before either acts. What becomes what:

- ``|turn|`` is a ``turn``. It belongs to both sides; the one it names is the first of the first
  side. Its options are the moves that one has used, and the others of its side, so far.
- ``|move|`` and a ``|switch|`` of one's own will are an ``action`` at the time of choice, aimed at
  whom the player saw then; when another comes in there it is declared again. They are an
  ``outcome`` in the engine's order, with what the lines after them tell of each target. A switch
  after a faint, or by a move such as U-turn, is chosen when it is asked for.
- A move that another called, or that went on by itself, and one that could not be made
  (``|cant|``), was not chosen as it was made: that is an ``outcome`` alone. Nor is it known what
  one had chosen who fell before its move.
- Everything else is a ``patch`` after the outcome it is an effect of. Damage or healing by an item,
  an ability, a status or the weather is a change of no action.

A move aimed at another is an ``attack``, one upon oneself or upon nobody is a ``use``. Which of the
two it is the engine does not tell of one that fails; then it is taken from its earlier uses, and
the first use has no target. A ``-crit`` is ``critical``; ``miss``, ``immune``, ``failure``,
``blocked`` (by Protect and its like) and ``charging`` are results too, any other is ``hit`` or
``success``.

``|t:|`` says when the engine ran, not when people chose, so all times are drawn with the seed: from
windows measured in other games. Every place on the field draws one for every turn, whether its
choice is known or not.
"""

from __future__ import annotations

import os
from copy import deepcopy
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .common import ForeignFormatError, Lines
from .showdown_field import Field
from .showdown_lines import HEADS, Line, Turn, asked_with, blocks, chosen_in, read_battle
from .showdown_results import Tally
from .showdown_times import EFFECT, RESIDUAL, WINDOWS, Times

__all__ = ["convert"]

SOURCE = "Pokémon Showdown battle"


def convert(path: str | os.PathLike[str], seed: int = 0) -> list[dict[str, Any]]:
    """The records of a session log for one battle, in order.

    :param seed: what times are drawn with.
    :raises ForeignFormatError: if the file is not one battle of Pokémon Showdown.
    """
    return _Battle(path, read_battle(path), seed).run()


@dataclass(slots=True)
class _Choice:
    """What a player chose: ``aim`` is the slot aimed at, empty for nobody."""

    line: Line
    action_id: str
    actor: str
    action: dict[str, Any]
    aim: str


class _Battle:
    def __init__(self, path: str | os.PathLike[str], turns: list[Turn], seed: int) -> None:
        self.path = path
        self.turns = turns
        self.seed = seed
        self.times = Times(seed)
        self.lines = Lines()
        self.field = Field()
        self.aims: dict[str, str] = {}  # by move: whether it is aimed at its user or at another
        self.pending: dict[str, _Choice] = {}  # by slot
        self.count = 0
        self.turn = ""

    def run(self) -> list[dict[str, Any]]:
        line = Line(0, "")
        try:
            for line in self.turns[0].lines:
                self.field.read(line)
            self.begin()
            for turn in self.turns[1:]:
                line = self.open(turn)
                for block in blocks(turn.lines):
                    line = block[0]
                    self.play(block, turn.lines)
                self.field.end_turn()
                self.write(self.lines.now)
                self.lines.add(self.lines.now, "turn_end", turn=self.turn)
        except ValueError as error:
            reason = f"this or what follows it is not as the protocol has it: {error}"
            raise ForeignFormatError(self.path, line.number, reason) from None
        self.lines.add(self.lines.now, "end")
        return self.lines.records

    def begin(self) -> None:
        told = {line.kind: line.arg(0) for line in self.turns[0].lines}
        stamp = told.get("t:", "")
        real = stamp.isascii() and stamp.isdigit() and len(stamp) <= 10
        started = datetime.fromtimestamp(int(stamp) if real else 0, UTC)
        self.lines.add(
            0.0,
            "session",
            format=1,
            id=Path(self.path).name.split(".")[0],
            started=started.isoformat().replace("+00:00", "Z"),
            source=SOURCE,
            clock="drawn",
            seed=self.seed,
            medians=WINDOWS,
            tier=told.get("tier") or None,
        )
        self.field.changes()
        self.lines.add(0.0, "state", state=deepcopy(self.field.state))

    def write(self, t: float) -> None:
        """Write what has changed, with the action it is an effect of."""
        for because, changes in self.field.changes():
            self.lines.add(t, "patch", patch=changes, because=because)

    # A turn begins

    def open(self, turn: Turn) -> Line:
        """Begin a turn and declare what both sides chose, as far as that is known."""
        if not self.field.active:
            raise ValueError(f"turn {turn.number} begins with nobody on the field")
        first = turn.lines[0] if turn.lines else Line(0, "")
        slot = min(self.field.active)
        now, actor = self.lines.now, self.field.active[slot]
        self.turn = f"t{turn.number}"
        self.field.set("round", value=turn.number)
        self.field.set("turn", value=actor)
        self.write(now)
        options = self.options(slot) or None
        self.lines.add(now, "turn", turn=self.turn, actor=actor, options=options)
        self.pending.clear()
        chosen = chosen_in(turn.lines)
        times = {slot: now + self.times.draw("choice") for slot in sorted(self.field.active)}
        self.declare({slot: chosen[slot] for slot in times if slot in chosen}, times)
        self.acts_at = max(times.values()) + self.times.draw("result")
        return first

    def options(self, slot: str) -> list[dict[str, Any]]:
        """What is known so far of what one can do."""
        actor = self.field.active[slot]
        side = self.field.actor(actor)["side"]
        moves = [
            _aimed(move, self.field.active.get(self.aim_of(move["name"], slot)))
            for move in self.field.actor(actor)["actions"]
        ]
        others = [
            {"type": "switch", "name": entry["name"], "target": other}
            for other, entry in self.field.state["actors"].items()
            if entry["side"] == side and not entry["active"] and entry["hp"] > 0
        ]
        return moves + others

    def aim_of(self, name: str, slot: str) -> str:
        """The slot that a move is aimed at, as it was before; empty where that is not clear."""
        foes = [each for each in sorted(self.field.active) if each[:2] != slot[:2]]
        if self.aims.get(name) == "self":
            return slot
        return foes[0] if self.aims.get(name) == "other" and len(foes) == 1 else ""

    def declare(self, chosen: dict[str, Line], times: dict[str, float]) -> None:
        for slot, line in sorted(chosen.items(), key=lambda item: (times[item[0]], item[0])):
            self.count += 1
            choice = self.choice(slot, line, f"a{self.count}")
            self.pending[slot] = choice
            self.say(times[slot], choice)

    def say(self, t: float, choice: _Choice) -> None:
        self.lines.add(
            t,
            "action",
            action_id=choice.action_id,
            turn=self.turn,
            actor=choice.actor,
            action=dict(choice.action),
        )

    def choice(self, slot: str, line: Line, action_id: str) -> _Choice:
        ident = line.who
        if line.kind == "switch":
            target = self.field.id_of(ident)
            actor = self.field.active.get(slot)
            if actor is None or not self.field.actor(actor)["hp"]:
                actor = target  # nobody goes; it comes in by itself
            action = {"type": "switch", "name": ident.name, "target": target}
            return _Choice(line, action_id, actor, action, "")
        if self.field.active.get(slot) != self.field.id_of(ident):
            raise ValueError(f"{ident.name} is not on the field")
        name, aim = line.arg(1), self.aimed_at(line)
        if line.kind == "cant":
            name, aim = line.arg(2), self.aim_of(line.arg(2), slot)
        kind = "attack" if aim and aim != slot else "use"
        action = _aimed({"type": kind, "name": name}, self.field.active.get(aim))
        return _Choice(line, action_id, self.field.active[slot], action, aim)

    def aimed_at(self, line: Line) -> str:
        """The slot that a move is aimed at; one that fails is aimed as it was before."""
        target = line.ident(2)
        return target.slot if target else self.aim_of(line.arg(1), line.who.slot)

    # What happens

    def play(self, block: list[Line], lines: list[Line]) -> None:
        """Play one thing that was done with what came of it, or what no one did."""
        head = block[0]
        if head.kind not in HEADS:
            for line in block:
                self.field.read(line)
            self.write(self.lines.now + RESIDUAL)
            return
        slot = head.who.slot
        if head.kind == "switch" and slot not in self.pending:
            asked = asked_with(head, lines, self.pending)
            now = self.lines.now
            times = {each: now + self.times.draw("choice") for each in sorted(asked)}
            self.declare(asked, times)
            self.acts_at = max(times.values()) + self.times.draw("result")
        choice = self.pending.get(slot)
        if choice is not None and choice.line is head:
            del self.pending[slot]
        else:
            choice = None
        self.resolve(block, slot, choice)

    def resolve(self, block: list[Line], slot: str, choice: _Choice | None) -> None:
        """Tell what came of one thing, declared or not, and then what it changed."""
        t, self.acts_at = self.acts_at or self.lines.now + self.times.draw("next"), 0.0
        head, action_id = block[0], choice.action_id if choice else None
        made = choice or self.choice(slot, head, "")
        results = self.results(block, made, action_id)
        said = (
            {"action_id": action_id}
            if choice
            else {"turn": self.turn, "actor": made.actor, "action": made.action}
        )
        self.lines.add(t, "outcome", **said, results=results)
        self.write(t + EFFECT)
        self.follow()

    def results(
        self, block: list[Line], made: _Choice, action_id: str | None
    ) -> list[dict[str, Any]]:
        """What came of it for each target; the field takes the lines in."""
        head, action = block[0], made.action
        aimed = head.ident(2) if head.kind == "move" else None
        target = self.field.known(aimed) if aimed else action.get("target")
        tally = Tally(self.field, made.actor, target, action["type"])
        if "notarget" in head.tags:
            tally.whole = "failure"
        for place in head.tags.get("spread", "").split(","):
            if place in self.field.active:
                tally.of(self.field.active[place])
        for line in block:
            if head.kind == "move":
                tally.read(line)
            self.field.read(line, action_id)
        if head.kind == "cant":
            if not head.arg(2):
                made.action = {"type": "cant", "name": head.arg(1)}
            return [{"result": "prevented", "values": {"reason": head.arg(1)}}]
        if aimed:
            self.aims[head.arg(1)] = "self" if aimed.slot == head.who.slot else "other"
        if head.kind == "move" and "from" not in head.tags and head.arg(1) in self.aims:
            self.field.learn(made.actor, action, action_id)
        return tally.results()

    def follow(self) -> None:
        """Declare again what is aimed at a place where another stands now."""
        for choice in self.pending.values():
            target = self.field.active.get(choice.aim)
            if target is not None and choice.action.get("target") != target:
                choice.action["target"] = target
                self.say(self.lines.now, choice)


def _aimed(action: dict[str, Any], target: str | None) -> dict[str, Any]:
    named = {"type": action["type"], "name": action["name"]}
    return named if target is None else {**named, "target": target}
