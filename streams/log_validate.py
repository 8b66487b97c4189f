"""Checking a whole session log: every line by itself, and every reference between lines."""

from __future__ import annotations

import contextlib
import math
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import jsonpatch

from .log_read import (
    BadLine,
    LogError,
    backwards,
    header_problem,
    open_lines,
    parse,
    seals_of,
    torn,
    torn_warning,
)
from .log_schema import KINDS, problems
from .log_seal import Seals
from .names import numbered

__all__ = ["MAX_PROBLEMS", "Problem", "Report", "odds_problem", "validate"]

MAX_PROBLEMS = 100
"""Checking stops after this many errors."""

ODDS_TOLERANCE = 0.01


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong; ``line`` is 0 where the file as a whole is meant."""

    file: str
    line: int
    reason: str

    def __str__(self) -> str:
        where = f"{self.file}: line {self.line}" if self.line else self.file
        return f"{where}: {self.reason}"


@dataclass(slots=True)
class Report:
    """What :func:`validate` found. ``duration`` is in seconds of session time."""

    file: str
    errors: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    kinds: Counter[str] = field(default_factory=Counter)
    results: Counter[str] = field(default_factory=Counter)
    header: dict[str, Any] = field(default_factory=dict)
    lines: int = 0
    duration: float = 0.0
    stopped: bool = False

    @property
    def ok(self) -> bool:
        """Whether there is no error (warnings do not count)."""
        return not self.errors


def validate(path: str | os.PathLike[str]) -> Report:
    """Check a whole log and report up to :data:`MAX_PROBLEMS` errors; never raises for a bad log.

    Beyond what ``read`` checks: references to turns and actions, patches that do not apply, odds,
    the numbers and checksums of ``~`` lines, and that nothing follows ``end``.
    """
    report = Report(os.fspath(path))
    try:
        _Validator(report, _rewind_targets(report.file)).run()
    except LogError as error:
        report.errors.append(Problem(error.path, error.line, error.reason))
    return report


def _rewind_targets(path: str) -> set[float | int]:
    """Where the log is wound back to, so that only those snapshots need to be kept.

    A whole number is a revision (how many inputs there had been), any other number a time.
    """
    targets: set[float | int] = set()
    with open_lines(path, lambda _: None) as lines:
        for line in lines:
            if b"rewind" not in line.raw:
                continue
            with contextlib.suppress(BadLine):
                data = parse(line.raw)
                if data.get("kind") == "rewind" and not problems(data):
                    targets.add(data["to"])
    return targets


class _Validator:
    def __init__(self, report: Report, rewinds: set[float | int]) -> None:
        self.report = report
        self.now = 0.0
        self.line = 0
        self.file = report.file
        self.seals = Seals()
        self.turns: set[str] = set()
        self.open_turn: str | None = None
        self.actions: dict[str, bool] = {}  # whether it stands, or was taken back
        self.state: Any = None
        self.revision = 0
        self._times = sorted((to for to in rewinds if isinstance(to, float)), reverse=True)
        self._outcomes: set[int] = set()
        self._revisions = {to for to in rewinds if isinstance(to, int)}
        self._kept: dict[tuple[type, float], Any] = {(int, 0): None}

    def run(self) -> None:
        report = self.report
        with open_lines(report.file, report.warnings.append) as lines:
            for line in lines:
                self.line, self.file = line.number, line.file
                try:
                    data = parse(line.raw)
                except BadLine as bad:
                    if torn(line, bad):
                        report.warnings.append(torn_warning(line))
                    else:
                        self.error(str(bad))
                    if self.line == 1:  # not a log at all
                        return
                else:
                    report.lines += 1
                    if self.line == 1 and (wrong := header_problem(data)):
                        self.error(wrong)
                        return
                    self.record(data)
                if len(report.errors) >= MAX_PROBLEMS:
                    report.stopped = True
                    return

    def error(self, reason: str) -> None:
        if len(self.report.errors) < MAX_PROBLEMS:
            self.report.errors.append(Problem(self.file, self.line, reason))

    def record(self, data: dict[str, Any]) -> None:
        found = problems(data)
        for wrong in found:
            self.error(wrong)
        kind = data.get("kind")
        if isinstance(kind, str):
            self.report.kinds[kind] += 1
        if found:
            if kind == "turn" and isinstance(data.get("turn"), str):
                self.turns.add(data["turn"])
            if kind == "action" and isinstance(data.get("action_id"), str):
                self.actions[data["action_id"]] = True
            return
        if data["t"] < self.now:
            self.error(backwards(data["t"], self.now))
        else:
            self._keep(data["t"])
            self.now = self.report.duration = float(data["t"])
        self.refer(data["kind"], data)

    def _keep(self, t: float) -> None:
        """Remember the snapshot as time passes a moment that is wound back to later."""
        while self._times and round(t, 6) > round(self._times[-1], 6):
            self._kept[float, self._times.pop()] = self.state

    def refer(self, kind: str, data: dict[str, Any]) -> None:
        if kind.startswith("~"):
            if wrong := self.seals.problem(data):
                self.error(wrong)
            return
        if kind not in KINDS:
            return
        if kind == "session":
            if self.line == 1:
                self.report.header = data
                self.seals = seals_of(data)
            else:
                self.error("a second session line; keep one session a file")
            return
        self.revision += 1
        if because := data.get("because"):
            self.known_action(because, "because")
        method = getattr(self, f"on_{kind}", None)
        if method:
            method(data)
        if self.revision in self._revisions:
            self._kept[int, self.revision] = self.state

    def known_action(self, action: str, what: str) -> None:
        if action not in self.actions:
            self.error(f"{what} names the unknown action {action!r}; declare it first")
        elif not self.actions[action] and what == "outcome":
            self.error(f"outcome of action {action!r}, which was taken back")

    def known_turn(self, turn: str | None, what: str) -> None:
        if turn is not None and turn not in self.turns:
            self.error(f"{what} names the unknown turn {turn!r}; begin it first")

    def on_state(self, data: dict[str, Any]) -> None:
        self.state = data["state"]

    def on_patch(self, data: dict[str, Any]) -> None:
        if self.state is None:
            self.error("patch before any state; write a full state first")
            return
        try:
            self.state = jsonpatch.apply_patch(self.state, data["patch"])
        except (jsonpatch.JsonPatchException, jsonpatch.JsonPointerException, TypeError) as error:
            self.error(f"patch does not apply to the last state: {' '.join(str(error).split())}")
            return
        if not isinstance(self.state, dict):
            self.error("patch leaves a state that is not an object")
            self.state = None

    def on_turn(self, data: dict[str, Any]) -> None:
        if data["turn"] in self.turns:
            self.error(f"turn id {data['turn']!r} was used before; ids must be unique")
        self.turns.add(data["turn"])
        self.open_turn = data["turn"]

    def on_turn_end(self, data: dict[str, Any]) -> None:
        self.known_turn(data["turn"], "turn_end")
        if self.open_turn == data["turn"]:
            self.open_turn = None

    def on_action(self, data: dict[str, Any]) -> None:
        if data["action"] is None and data["action_id"] not in self.actions:
            self.error(f"takes back the unknown action {data['action_id']!r}")
        self.actions[data["action_id"]] = data["action"] is not None
        self.known_turn(data.get("turn"), "action")
        if data.get("odds") is not None and (wrong := odds_problem(data["odds"])):
            self.error(wrong)

    def on_outcome(self, data: dict[str, Any]) -> None:
        self._outcomes.add(self.revision)
        for entry in data.get("results") or [data]:
            self.report.results[entry["result"]] += 1
        self.known_turn(data.get("turn"), "outcome")
        if data.get("action_id") is not None:
            self.known_action(data["action_id"], "outcome")
        elif self.open_turn is not None and data.get("turn") is None:
            self.error("outcome of an undeclared action has no turn, though one has begun")

    def on_rewind(self, data: dict[str, Any]) -> None:
        to = data["to"]
        if to > (self.revision - 1 if isinstance(to, int) else self.now):
            self.error(f"rewind to {to:g}, which has not been yet")
        else:
            self.state = self._kept.get((type(to), to), self.state)
        self.open_turn = None

    def on_retell(self, data: dict[str, Any]) -> None:
        action = data["action_id"]
        number = None if action in self.actions else numbered(action)
        if number is None:
            self.known_action(action, "retell")
        elif number not in self._outcomes:
            self.error(f"retell names input {number}, which is no outcome")


def odds_problem(odds: Mapping[str, Any]) -> str | None:
    """What is wrong with an action's odds, or ``None``."""
    if any(isinstance(p, Mapping) for p in odds.values()):
        if not all(isinstance(p, Mapping) for p in odds.values()):
            return "odds must be probabilities, or one object of them for each target"
        inner = (odds_problem(p) for p in odds.values())
        return next((wrong for wrong in inner if wrong), None)
    for result, p in odds.items():
        if isinstance(p, bool) or not isinstance(p, int | float) or not 0 <= p <= 1:
            return f"odds of {result!r} must be from 0 to 1, not {p!r}"
    total = math.fsum(odds.values())
    if abs(total - 1) > ODDS_TOLERANCE:
        return f"odds add up to {total:.3g}, not 1"
    return None
