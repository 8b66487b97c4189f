"""What a line of a session log may hold, and how it becomes an input and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from .events import (
    Action,
    Delivered,
    End,
    Input,
    Need,
    Outcome,
    Patch,
    Result,
    Retell,
    Rewind,
    Say,
    State,
    Turn,
    TurnEnd,
)

__all__ = [
    "FORMAT",
    "KINDS",
    "MAX_DEPTH",
    "RECORDING",
    "Record",
    "problems",
    "to_event",
    "to_record",
    "too_deep",
]

FORMAT = 1
"""The format this version writes, and the newest one it reads."""

RECORDING = 6
"""The revision of what a session records beside its inputs: one more wherever another line, field
or order of lines comes out of the same inputs, so that an older recording is known as such."""

MAX_DEPTH = 250
"""Levels of nesting in one line. orjson writes at most 254."""

CLOCKS = ("human", "engine", "drawn")
PATCH_OPS = ("add", "remove", "replace", "move", "copy", "test")

Data = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Record:
    """One line of a log: its number in its file (the first is 1), and what was written.

    ``file`` is where it stands: of a log in several parts one of these.
    """

    line: int
    data: dict[str, Any]
    file: str = ""

    @property
    def t(self) -> float:
        """Seconds since the session's start."""
        return float(self.data["t"])

    @property
    def kind(self) -> str:
        """What the line is: ``state``, ``turn``, ``outcome`` and so on."""
        return str(self.data["kind"])


# A check says what is wrong with a value, or nothing.
Check = Callable[[Any], str | None]


def _string(value: Any) -> str | None:
    return None if isinstance(value, str) else "must be a string"


def _object(value: Any) -> str | None:
    return None if isinstance(value, Mapping) else "must be an object"


def _number(value: Any) -> str | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):  # asked of each line
        return "must be a number"
    return None if math.isfinite(value) and value >= 0 else "must be finite and not negative"


def _count(value: Any) -> str | None:
    whole = isinstance(value, int) and not isinstance(value, bool) and value >= 0
    return None if whole else "must be a whole number, 0 or more"


def _flag(value: Any) -> str | None:
    return None if isinstance(value, bool) else "must be true or false"


def _strings(value: Any) -> str | None:
    fits = isinstance(value, Sequence) and not isinstance(value, str)
    return None if fits and all(isinstance(v, str) for v in value) else "must be a list of strings"


def _moment(value: Any) -> str | None:
    try:
        aware = isinstance(value, str) and datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        aware = False
    return None if aware else "must be a time such as 2026-11-21T19:30:00Z"


def _clock(value: Any) -> str | None:
    return None if value in CLOCKS else f"must be one of {', '.join(CLOCKS)}"


def _act(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return "must be an object"
    if not isinstance(value.get("type"), str):
        return 'must have a "type", such as attack'
    if not isinstance(value.get("name", ""), str | None):
        return '"name" must be a string'
    target = value.get("target")
    if target is None or isinstance(target, str) or _strings(target) is None:
        return None
    return '"target" must be an id or a list of ids'


def _acts(value: Any) -> str | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return "must be a list of actions"
    return next((f"item {i} {wrong}" for i, v in enumerate(value) if (wrong := _act(v))), None)


def _rolled(value: Any) -> str | None:
    return None if isinstance(value, str | Mapping) else "must be a result, or one for each target"


def _patch(value: Any) -> str | None:
    if not isinstance(value, Sequence) or isinstance(value, str):
        return "must be a list of RFC 6902 operations"
    for i, op in enumerate(value):
        if not isinstance(op, Mapping) or op.get("op") not in PATCH_OPS:
            return f"item {i} must be an operation: one of {', '.join(PATCH_OPS)}"
        if not isinstance(op.get("path"), str):
            return f'item {i} has no "path"'
        if op["op"] in ("add", "replace", "test") and "value" not in op:
            return f'item {i} has no "value"'
        if op["op"] in ("move", "copy") and not isinstance(op.get("from"), str):
            return f'item {i} has no "from"'
    return None


def _results(value: Any) -> str | None:
    if not isinstance(value, Sequence) or isinstance(value, str) or not value:
        return "must be a list of results, one for each target"
    for i, entry in enumerate(value):
        if not isinstance(entry, Mapping) or not isinstance(entry.get("result"), str):
            return f'item {i} has no "result", such as hit'
        if not isinstance(entry.get("target"), str | None):
            return f'item {i}: "target" must be an id'
        if not isinstance(entry.get("values"), Mapping | None):
            return f'item {i}: "values" must be an object'
    return None


@dataclass(frozen=True, slots=True)
class Kind:
    """The fields of one kind: those it must have, and those it may have (null counts as absent)."""

    required: Mapping[str, Check]
    optional: Mapping[str, Check]


KINDS: Mapping[str, Kind] = {
    "session": Kind(
        {"format": _count, "id": _string, "started": _moment, "source": _string, "clock": _clock},
        {},
    ),
    "state": Kind({"state": _object}, {"because": _string}),
    "patch": Kind({"patch": _patch}, {"because": _string}),
    "turn": Kind({"turn": _string, "actor": _string}, {"options": _acts, "deadline": _number}),
    "action": Kind(
        {"action_id": _string, "actor": _string},
        {"turn": _string, "action": _act, "odds": _object, "rolled": _rolled, "to": _strings},
    ),
    "outcome": Kind(
        {},
        {
            "action_id": _string,
            "turn": _string,
            "actor": _string,
            "action": _act,
            "results": _results,
            "result": _string,
            "values": _object,
            "target": _string,
            "to": _strings,
        },
    ),
    "turn_end": Kind({"turn": _string}, {}),
    "need": Kind({"resource": _string}, {}),
    "say": Kind({"speaker": _string, "text": _string}, {"typing": _flag}),
    "rewind": Kind({"to": _number}, {}),
    "retell": Kind({"action_id": _string}, {}),
    "delivered": Kind({"telling": _string, "viewer": _string, "upto": _count}, {}),
    "end": Kind({}, {}),
}
"""Every kind this version knows."""


def problems(data: Data) -> list[str]:
    """What is wrong with one record, taken by itself; empty if nothing is."""
    found = []
    if "t" not in data:
        found.append('has no "t" (seconds since the start)')
    elif wrong := _number(data["t"]):
        found.append(f'"t" {wrong}')
    name = data.get("kind")
    if not isinstance(name, str):
        return [*found, 'has no "kind"']
    kind = KINDS.get(name)
    if kind is None:
        return found
    for field, check_value in kind.required.items():
        if data.get(field) is None:
            found.append(f'{name} has no "{field}"')
        elif wrong := check_value(data[field]):
            found.append(f'{name}: "{field}" {wrong}')
    for field, check_value in kind.optional.items():
        if data.get(field) is not None and (wrong := check_value(data[field])):
            found.append(f'{name}: "{field}" {wrong}')
    if name == "action" and "action" not in data:
        found.append('action has no "action" (null takes it back)')
    if name == "outcome":
        if data.get("results") is None and data.get("result") is None:
            found.append('outcome has neither "results" nor "result"')
        if data.get("action_id") is None and not (data.get("actor") and data.get("action")):
            found.append('outcome has no "action_id", and no "actor" and "action" in its place')
    return found


def too_deep(value: Any, limit: int = MAX_DEPTH) -> bool:
    """Whether ``value`` nests more than ``limit`` lists and objects."""
    level = [value]
    for _ in range(limit + 1):
        level = [
            inner
            for v in level
            if isinstance(v, dict | list | tuple)
            for inner in (v.values() if isinstance(v, dict) else v)
        ]
        if not level:
            return False
    return any(isinstance(v, dict | list | tuple) for v in level)


def _result_list(data: Data) -> tuple[Result, ...]:
    if data.get("results") is not None:
        return tuple(
            Result(r["result"], r.get("target"), r.get("values") or {}) for r in data["results"]
        )
    target = data.get("target")
    if target is None and data.get("action"):
        aimed = data["action"].get("target")
        target = aimed if isinstance(aimed, str) else None
    return (Result(data["result"], target, data.get("values") or {}),)


_READERS: Mapping[str, Callable[[float, Data], Input]] = {
    "state": lambda t, d: State(t, d["state"], d.get("because")),
    "patch": lambda t, d: Patch(t, tuple(d["patch"]), d.get("because")),
    "turn": lambda t, d: Turn(
        t, d["turn"], d["actor"], tuple(d.get("options") or ()), d.get("deadline")
    ),
    "action": lambda t, d: Action(
        t,
        d["action_id"],
        d.get("turn"),
        d["actor"],
        d.get("action"),
        d.get("odds"),
        d.get("rolled"),
        tuple(d.get("to") or ()),
    ),
    "outcome": lambda t, d: Outcome(
        t,
        _result_list(d),
        d.get("action_id"),
        d.get("turn"),
        d.get("actor"),
        d.get("action"),
        tuple(d.get("to") or ()),
    ),
    "turn_end": lambda t, d: TurnEnd(t, d["turn"]),
    "need": lambda t, d: Need(t, d["resource"]),
    "say": lambda t, d: Say(t, d["speaker"], d["text"], bool(d.get("typing"))),
    "rewind": lambda t, d: Rewind(t, d["to"]),
    "retell": lambda t, d: Retell(t, d["action_id"]),
    "delivered": lambda t, d: Delivered(t, d["telling"], d["viewer"], d["upto"]),
    "end": lambda t, d: End(t),
}


def to_event(record: Record | Data) -> Input | None:
    """The input a record stands for; ``None`` for the header, unknown kinds and ``~`` lines.

    The record must be free of :func:`problems`, as those of ``read`` are.
    """
    data = record.data if isinstance(record, Record) else record
    reader = _READERS.get(data["kind"])
    return reader(float(data["t"]), data) if reader else None


def _present(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def to_record(event: Input) -> dict[str, Any]:
    """The line an input is written as. What is absent or empty is left out."""
    t = event.t
    match event:
        case State():
            return _present(t=t, kind="state", state=dict(event.state), because=event.because)
        case Patch():
            return _present(t=t, kind="patch", patch=list(event.patch), because=event.because)
        case Turn():
            options = list(event.options) or None
            return _present(
                t=t,
                kind="turn",
                turn=event.turn,
                actor=event.actor,
                options=options,
                deadline=event.deadline,
            )
        case Action():
            line = _present(
                t=t,
                kind="action",
                action_id=event.action_id,
                turn=event.turn,
                actor=event.actor,
                odds=event.odds,
                rolled=event.rolled,
                to=list(event.to) or None,
            )
            return {**line, "action": event.action}
        case Outcome():
            results = [
                _present(target=r.target, result=r.result, values=dict(r.values) or None)
                for r in event.results
            ]
            return _present(
                t=t,
                kind="outcome",
                action_id=event.action_id,
                turn=event.turn,
                actor=event.actor,
                action=event.action,
                results=results,
                to=list(event.to) or None,
            )
        case TurnEnd():
            return {"t": t, "kind": "turn_end", "turn": event.turn}
        case Need():
            return {"t": t, "kind": "need", "resource": event.resource}
        case Say():
            said = {"t": t, "kind": "say", "speaker": event.speaker, "text": event.text}
            return said if event.typing is False else {**said, "typing": event.typing}
        case Rewind():
            return {"t": t, "kind": "rewind", "to": event.to}
        case Retell():
            return {"t": t, "kind": "retell", "action_id": event.action_id}
        case Delivered():
            return {
                "t": t,
                "kind": "delivered",
                "telling": event.telling,
                "viewer": event.viewer,
                "upto": event.upto,
            }
        case End():
            return {"t": t, "kind": "end"}
