"""Neverwinter Nights: the client's chat log, D&D 3.x rules judged by the engine.

The log has one line for each roll, a clock of whole seconds and no turns. What becomes what:

- ``A attacks B : *hit*`` and ``A attempts X on B : *hit*`` are ``outcome`` lines with actor and
  action: the engine never says what is about to be done. Their ``test`` is ``attack`` and
  ``attempt``. The damage and the kill that the engine reports after a roll belong to its outcome.
- ``A casting X`` is an ``action``, ``A casts X`` its outcome; a spell begun and never cast is
  taken back after a round (six seconds; a cast takes one to three), or when its caster begins
  another. Potions, saves and skill checks are outcomes.
- Damage, healing, deaths, areas and sides are ``patch`` lines after the outcome. The engine tells
  damage but no hit points, so health is ``damage_taken``; creatures of one name cannot be told
  apart, so it begins anew when one of them dies.
- The mode is combat from the first roll until twelve seconds (two rounds) without one.

Lines of the same second keep their order and their time. A line whose stamp goes back in time was
not written by the game in that place; it is left out, and the header says how many (``left_out``).
The year is not written: it is the first
since the game came out (2002) whose calendar has the weekday; the time zone is taken for UTC.
"""

from __future__ import annotations

import os
import re
from calendar import isleap
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .common import ForeignFormatError, Ids, Lines, foreign_lines

__all__ = ["convert"]

Json = Any

SOURCE = "Neverwinter Nights client log"
RELEASED = 2002
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
LULL = 12
ROUND = 6
"""Seconds without a roll after which a fight is over: two rounds."""
DAMAGE_WINDOW = 3
"""Seconds within which the damage of a roll is reported."""

STAMP = re.compile(r"\[CHAT WINDOW TEXT\] \[(\w{3}) (\w{3}) (\d\d) (\d\d):(\d\d):(\d\d)\] (.*)")
MODES = r"(?P<modes>(?:[A-Z][A-Za-z ]+ : )*)"
ATTACK = re.compile(
    MODES
    + r"(?P<actor>[^:]+?) attacks (?P<target>[^:]+?) : \*(?P<word>[^*]+)\* : \((?P<roll>.*)\)$"
)
ATTEMPT = re.compile(
    MODES + r"(?P<actor>[^:]+?) attempts (?P<name>.+?) on (?P<target>[^:]+?)"
    r" : \*(?P<word>[^*]+)\* : \((?P<roll>.*)\)$"
)
DAMAGE = re.compile(
    r"(?P<actor>[^:]+?) damages (?P<target>[^:]+?): (?P<amount>\d+) \((?P<kinds>.*)\)$"
)
TEST = re.compile(
    r"(?:Take \d+ : )?(?P<actor>[^:]+?) : (?P<name>[A-Z][^:]+?) : "
    r"\*(?P<word>success|failure|success not possible)\* : \((?P<roll>.*)\)$"
)
KILL = re.compile(r"(?P<actor>[^:]+?) killed (?P<target>[^:]+)$")
CASTING = re.compile(r"(?P<actor>[^:]+?) casting (?P<name>[^:]+)$")
CASTS = re.compile(r"(?P<actor>[^:]+?) casts (?P<name>[^:]+)$")
USES = re.compile(r"(?P<actor>[^:]+?) uses (?P<name>[^:]+?)\.?$")
HEALED = re.compile(r"(?P<actor>[^:]+?) : Healed (?P<amount>\d+) hit points\.$")
AREA = re.compile(r"\[Server\] You are now in an? (?P<name>.+?)\.$")
FRIEND = re.compile(
    r"(?P<a>[^:(]+?) has joined the party\.$|(?P<b>[^:(]+?): \(\d+xp\)"
    r"|You have received a Party Invitation from (?P<c>.+?)\.$"
)
SAYS = re.compile(r"(?P<actor>[^:(\[][^:]*?)(?<! ): (?P<text>\S.*)$")
NOBODY = (
    "acquired item",
    "lost item",
    "experience points gained",
    "bonus xp",
    "armor/shield applies",
    "death corpse",
    "disease",
)
ROLL = re.compile(r"(\d+) ([+-]) (\d+) = (-?\d+)(?: vs\. DC: (\d+))?")


@dataclass(slots=True)
class _Line:
    """One stamped line; ``extra`` collects what later lines report of its outcome."""

    t: float
    text: str
    extra: dict[str, Json] = field(default_factory=dict)


def convert(path: str | os.PathLike[str], seed: int = 0) -> list[dict[str, Any]]:
    """The records of a session log for one client log, in order.

    The engine's clock is real to the second, so ``seed`` decides nothing.

    :raises ForeignFormatError: if the file is no Neverwinter Nights log.
    """
    started, lines, left_out = _stamped(path)
    _gather(lines)
    return _Play(Path(path).name.split(".")[0], started, left_out).run(lines)


def _stamped(path: str | os.PathLike[str]) -> tuple[datetime, list[_Line], int]:
    """When the log starts, its lines of the chat window, and how many were out of place."""
    name = os.fspath(path)
    found: list[tuple[datetime, str]] = []
    year = left_out = 0
    for number, line in enumerate(foreign_lines(path), 1):
        stamp = STAMP.match(line)
        if stamp is None:
            if not found and number > 20:
                break
            continue
        weekday, month, day, *clock, text = stamp.groups()
        try:
            year = year or _year(weekday, month, int(day))
            hour, minute, second = map(int, clock)
            when = datetime(
                year, MONTHS.index(month) + 1, int(day), hour, minute, second, tzinfo=UTC
            )
        except ValueError:
            raise ForeignFormatError(
                name, number, f"no such date: {weekday} {month} {day}"
            ) from None
        if found and (found[-1][0] - when).days > 180:
            year += 1
            when = when.replace(year=year)
        if found and when < found[-1][0]:
            left_out += 1
        else:
            found.append((when, text.strip()))
    if not found:
        raise ForeignFormatError(
            name, 0, "is not a Neverwinter Nights log (no line begins with [CHAT WINDOW TEXT])"
        )
    start = found[0][0]
    return start, [_Line((w - start).total_seconds(), text) for w, text in found], left_out


def _year(weekday: str, month: str, day: int) -> int:
    number = MONTHS.index(month) + 1
    for year in range(RELEASED, RELEASED + 28):
        if (number, day) == (2, 29) and not isleap(year):
            continue
        if WEEKDAYS[datetime(year, number, day, tzinfo=UTC).weekday()] == weekday:
            return year
    raise ValueError(weekday)


def _gather(lines: list[_Line]) -> None:
    """Give each roll the damage and the kill that the engine reports after it."""
    waiting: dict[tuple[str, str], list[_Line]] = {}
    latest: dict[tuple[str, str], _Line] = {}
    for line in lines:
        if roll := ATTACK.match(line.text) or ATTEMPT.match(line.text):
            pair = (roll["actor"], roll["target"])
            latest[pair] = line
            if "hit" in roll["word"]:
                waiting.setdefault(pair, []).append(line)
        elif damage := DAMAGE.match(line.text):
            pair = (damage["actor"], damage["target"])
            open_now = [r for r in waiting.get(pair, ()) if line.t - r.t <= DAMAGE_WINDOW]
            if open_now:
                first, *waiting[pair] = open_now
                first.extra |= {"damage": int(damage["amount"]), "damage_types": _kinds(damage)}
        elif kill := KILL.match(line.text):
            by = latest.get((kill["actor"], kill["target"]))
            if by and line.t - by.t <= DAMAGE_WINDOW:
                by.extra |= {"killed": True, "target_hp": 0}


def _kinds(damage: re.Match[str]) -> dict[str, int]:
    found = re.findall(r"(\d+) ([A-Z][A-Za-z ]*?)(?= \d|$)", damage["kinds"])
    return {kind.lower(): int(amount) for amount, kind in found}


def _rolled(text: str) -> dict[str, int]:
    match = ROLL.match(text)
    if match is None:
        return {}
    die, sign, bonus, total, dc = match.groups()
    values = {"natural": int(die), "bonus": int(f"{sign}{bonus}"), "roll": int(total)}
    return values | ({"dc": int(dc)} if dc else {})


class _Play:
    """The game as far as the log has told it, and the session log made of it."""

    def __init__(self, name: str, started: datetime, left_out: int) -> None:
        self.lines = Lines()
        self.ids = Ids()
        self.state: dict[str, Json] = {"mode": "exploration", "actors": {}}
        self.casting: dict[str, tuple[str, dict[str, Json], float]] = {}
        self.actions = 0
        self.areas = 0
        self.last_roll: float | None = None
        self.lines.add(
            0.0,
            "session",
            format=1,
            id=name,
            started=started.isoformat().replace("+00:00", "Z"),
            source=SOURCE,
            clock="engine",
            year="inferred from the weekday",
            left_out=left_out or None,
        )
        self.lines.add(0.0, "state", state={"mode": "exploration", "actors": {}})

    def run(self, lines: list[_Line]) -> list[dict[str, Any]]:
        readers: list[tuple[re.Pattern[str], Callable[[_Line, re.Match[str]], None]]] = [
            (ATTACK, self.on_attack),
            (ATTEMPT, self.on_attempt),
            (DAMAGE, self.on_damage),
            (TEST, self.on_test),
            (AREA, self.on_area),
            (FRIEND, self.on_friend),
            (HEALED, self.on_healed),
            (KILL, self.on_kill),
            (CASTING, self.on_casting),
            (CASTS, self.on_casts),
            (USES, self.on_uses),
            (SAYS, self.on_says),
        ]
        for line in lines:
            self.settle(line.t)
            for pattern, reader in readers:
                if match := pattern.match(line.text):
                    reader(line, match)
                    break
        self.lines.add(self.lines.now, "end")
        return self.lines.records

    def patch(self, t: float, *changes: tuple[str, Json]) -> None:
        """Change the state and say so; what is as it should be already is left out."""
        operations = []
        for path, value in changes:
            *outer, last = path.strip("/").split("/")
            inside = self.state
            for key in outer:
                inside = inside[key]
            if inside.get(last) != value:
                operation = "replace" if last in inside else "add"
                inside[last] = value
                operations.append({"op": operation, "path": path, "value": _copy(value)})
        if operations:
            self.lines.add(t, "patch", patch=operations)

    def actor(self, t: float, name: str, side: str | None = None) -> str:
        """The id of a creature, which is made known if it was not."""
        actor = self.ids.of(name)
        if actor not in self.state["actors"]:
            entry = {"name": name, "side": side or "unknown", "conditions": []}
            self.patch(t, (f"/actors/{actor}", entry))
        elif side and self.state["actors"][actor]["side"] == "unknown":
            self.patch(t, (f"/actors/{actor}/side", side))
        return actor

    def side(self, name: str) -> str:
        entry = self.state["actors"].get(self.ids.of(name))
        return str(entry["side"]) if entry else "unknown"

    def fight(self, t: float, actor: str, target: str) -> None:
        """Who fights whom tells the sides; whoever fights is alive, and the mode is combat."""
        against = {"party": "foes", "foes": "party"}
        self.actor(t, actor, against.get(self.side(target)))
        self.actor(t, target, against.get(self.side(actor)))
        changes: list[tuple[str, Json]] = [
            (f"/actors/{who}/conditions", [])
            for who in (self.ids.of(actor), self.ids.of(target))
            if "dead" in self.state["actors"][who]["conditions"]
        ]
        self.patch(t, *changes, ("/mode", "combat"))
        self.last_roll = t

    def settle(self, t: float) -> None:
        for actor, (_, _, begun) in list(self.casting.items()):
            if t - begun > ROUND:
                self.take_back(begun + ROUND, actor)
        if self.last_roll is not None and t - self.last_roll > LULL:
            self.last_roll = None
            self.patch(t, ("/mode", "exploration"))

    def outcome(self, t: float, result: str, values: dict[str, Json], **fields: Json) -> None:
        action = fields.get("action") or {}
        entry: dict[str, Json] = {"result": result}
        if isinstance(action.get("target"), str):
            entry = {"target": action["target"], **entry}
        if values:
            entry["values"] = values
        self.lines.add(t, "outcome", **fields, results=[entry])

    def rolled(self, line: _Line, match: re.Match[str], kind: str, name: str, test: str) -> None:
        actor, target = match["actor"], match["target"]
        word = match["word"].replace("critical hit", "critical")
        values: dict[str, Json] = {"test": test}
        if hidden := re.match(r"target concealed: (\d+)%", word):
            word, values["concealment"] = "concealed", int(hidden[1])
        action: dict[str, Json] = {"type": kind, "name": name, "target": self.ids.of(target)}
        if modes := match["modes"]:
            action["modes"] = modes.removesuffix(" : ").split(" : ")
        values |= _rolled(match["roll"]) | line.extra
        self.outcome(line.t, word, values, actor=self.ids.of(actor), action=action)
        self.fight(line.t, actor, target)

    def on_attack(self, line: _Line, match: re.Match[str]) -> None:
        modes = match["modes"].removesuffix(" : ").split(" : ")
        self.rolled(line, match, "attack", modes[-1] or "Attack", "attack")

    def on_attempt(self, line: _Line, match: re.Match[str]) -> None:
        self.rolled(line, match, "use", match["name"], "attempt")

    def on_damage(self, line: _Line, match: re.Match[str]) -> None:
        target = self.actor(line.t, match["target"])
        health = self.state["actors"][target].get("health", {})
        taken = health.get("damage_taken", 0) + int(match["amount"])
        self.patch(line.t, (f"/actors/{target}/health", {"damage_taken": taken}))

    def on_healed(self, line: _Line, match: re.Match[str]) -> None:
        actor = self.actor(line.t, match["actor"])
        taken = self.state["actors"][actor].get("health", {}).get("damage_taken", 0)
        left = max(0, taken - int(match["amount"]))
        self.patch(line.t, (f"/actors/{actor}/health", {"damage_taken": left}))

    def on_kill(self, line: _Line, match: re.Match[str]) -> None:
        target = self.actor(line.t, match["target"])
        self.patch(
            line.t,
            (f"/actors/{target}/conditions", ["dead"]),
            (f"/actors/{target}/health", {"damage_taken": 0}),
        )

    def on_test(self, line: _Line, match: re.Match[str]) -> None:
        kind = "save" if "Save" in match["name"] else "check"
        actor = self.actor(line.t, match["actor"])
        result = "success" if match["word"] == "success" else "failure"
        action = {"type": kind, "name": match["name"]}
        values = {"test": kind, **_rolled(match["roll"])}
        self.outcome(line.t, result, values, actor=actor, action=action)

    def on_casting(self, line: _Line, match: re.Match[str]) -> None:
        actor = self.actor(line.t, match["actor"])
        self.take_back(line.t, actor)
        self.actions += 1
        action = {"type": "cast", "name": match["name"]}
        self.casting[actor] = (f"a{self.actions}", action, line.t)
        self.lines.add(line.t, "action", action_id=f"a{self.actions}", actor=actor, action=action)

    def take_back(self, t: float, actor: str) -> None:
        if actor in self.casting:
            action_id, _, _ = self.casting.pop(actor)
            self.lines.take_back(t, action_id, actor)

    def on_casts(self, line: _Line, match: re.Match[str]) -> None:
        actor = self.actor(line.t, match["actor"])
        action = {"type": "cast", "name": match["name"]}
        if actor in self.casting and self.casting[actor][1] == action:
            action_id, _, _ = self.casting.pop(actor)
            self.outcome(line.t, "success", {}, action_id=action_id)
        else:
            self.outcome(line.t, "success", {}, actor=actor, action=action)

    def on_uses(self, line: _Line, match: re.Match[str]) -> None:
        actor = self.actor(line.t, match["actor"])
        action = {"type": "use", "name": match["name"]}
        self.outcome(line.t, "success", {}, actor=actor, action=action)

    def on_area(self, line: _Line, match: re.Match[str]) -> None:
        self.areas += 1
        self.patch(line.t, ("/location", {"id": f"area-{self.areas}", "name": match["name"]}))

    def on_friend(self, line: _Line, match: re.Match[str]) -> None:
        self.actor(line.t, match["a"] or match["b"] or match["c"], "party")

    def on_says(self, line: _Line, match: re.Match[str]) -> None:
        if match["actor"].lower() not in NOBODY:
            self.lines.add(line.t, "say", speaker=self.ids.of(match["actor"]), text=match["text"])


def _copy(value: Json) -> Json:
    return (
        {**value} if isinstance(value, dict) else list(value) if isinstance(value, list) else value
    )
