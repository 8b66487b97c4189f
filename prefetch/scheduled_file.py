"""What ``foretell schedule`` is given: predictions, constraints and state, as a JSON file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from typing import Any, NamedTuple

import orjson

from ..errors import ForetellError
from ..operators.schedule import Constraints, Item, Kind, Kinds, Learned, Priority, State, Urgency

__all__ = ["Given", "given"]

MOST_BYTES = 4 * 1024 * 1024
MOST_DEEP = 12
MOST_ITEMS = 10_000

PRIORITIES = {priority.label: priority for priority in Priority}
TOP = ("predictions", "constraints", "state", "kinds")
STATE = tuple(field.name for field in fields(State))
ITEM = tuple(field.name for field in fields(Item))
KIND = ("base", "worth", "tokens", "ms", "limit_ms")


class Given(NamedTuple):
    """What a plan is made of, all of it checked; ``constraints`` as the file has them."""

    predictions: list[Item]
    constraints: dict[str, Any]
    state: State
    kinds: Kinds


def given(path: str) -> Given:
    """What a file says.

    :raises ForetellError: for a file that cannot be read, is too large or too deep, or says what
        cannot be; in one line, with its name.
    """
    try:
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise ForetellError(f"{path}: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise ForetellError(f"{path}: larger than {MOST_BYTES // 1024**2} MiB: plan less at once")
    try:
        return _given(orjson.loads(content))
    except orjson.JSONDecodeError as error:
        raise ForetellError(f"{path}: no JSON: {error}") from None
    except ValueError as error:
        raise ForetellError(f"{path}: {error}") from None


def _given(said: Any) -> Given:
    if _too_deep(said):
        raise ValueError(f"deeper than {MOST_DEEP} levels")
    top = _object("the file", said, TOP)
    if "predictions" not in top:
        raise ValueError("it has no predictions: name them in a list, or by group")
    kinds = Kinds(_kinds(_object("kinds", top.get("kinds", {}))))
    items = list(_items(top["predictions"]))
    if len(items) > MOST_ITEMS:
        raise ValueError(f"{len(items):,} predictions: plan at most {MOST_ITEMS:,} at once")
    names = tuple(field.name for field in fields(Constraints))
    constraints = dict(_object("constraints", top.get("constraints", {}), names))
    override = constraints["priority_override"] = _override(constraints.get("priority_override"))
    keys = {item.key for item in items}
    for name in override if isinstance(override, dict) else ():
        if name not in kinds and name not in keys:
            where = "constraints.priority_override"
            raise ValueError(f"{where}: {name[:40]!r} is neither a key nor a kind")
    Constraints(**constraints)  # raises for what can be none
    return Given(items, constraints, _state(top.get("state", {})), kinds)


def _too_deep(said: Any) -> bool:
    level = [said]
    for _ in range(MOST_DEEP):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
    return any(isinstance(each, (dict, list)) for each in level)


def _object(where: str, said: Any, names: Iterable[str] | None = None) -> Mapping[str, Any]:
    if not isinstance(said, dict):
        raise ValueError(f"{where} is no object: write {{…}}")  # noqa: TRY004
    there = None if names is None else tuple(names)
    for name in said:
        if there is not None and name not in there:
            raise ValueError(f"{where} has no {name[:40]!r}; there are {', '.join(there)}")
    return said


def _items(said: Any) -> Iterator[Item]:
    """The document's groups (skills, files, behaviors, resources, and others), or a plain list."""
    if isinstance(said, list):
        for number, each in enumerate(said):
            yield _item(f"predictions[{number}]", each, None)
        return
    for group, members in _object("predictions", said).items():
        where = f"predictions.{group[:40]}"
        if isinstance(members, dict):
            for key, each in members.items():
                one = f"{where}.{key[:40]}"
                more = {"confidence": each} if isinstance(each, (int, float)) else each
                yield _item(one, {"key": key, **_object(one, more)}, group)
        elif isinstance(members, list):
            for number, each in enumerate(members):
                yield _item(f"{where}[{number}]", each, group)
        else:
            raise ValueError(f"{where} is neither a list nor an object")  # noqa: TRY004


def _item(where: str, said: Any, kind: str | None) -> Item:
    values = dict(_object(where, {"key": said} if isinstance(said, str) else said, ITEM))
    values.setdefault("kind", kind)
    if not isinstance(values.get("key"), str) or not isinstance(values["kind"], str):
        raise ValueError(f"{where}: give it a key and a kind")  # noqa: TRY004
    if "urgency" in values:
        values["urgency"] = _one_of(
            f"{where}.urgency", values["urgency"], {u.value: u for u in Urgency}
        )
    try:
        return Item(**values)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _one_of(where: str, said: Any, choice: Mapping[str, Any]) -> Any:
    if not isinstance(said, str) or said not in choice:
        raise ValueError(f"{where} is {str(said)[:40]!r}: choose {', '.join(choice)}")
    return choice[said]


def _override(said: Any) -> Any:
    if said is None:
        return None
    if isinstance(said, dict):
        where = "constraints.priority_override"
        return {key: _one_of(f"{where}.{key[:40]}", each, PRIORITIES) for key, each in said.items()}
    return _one_of("constraints.priority_override", said, PRIORITIES)


def _kinds(said: Mapping[str, Any]) -> Iterator[Kind]:
    for name, each in said.items():
        values = dict(_object(f"kinds.{name[:40]}", each, KIND))
        base = _one_of(f"kinds.{name[:40]}.base", values.pop("base", None), PRIORITIES)
        yield Kind(name, base, **values)


def _state(said: Any) -> State:
    values = dict(_object("state", said, STATE))
    for name in ("cached_items", "pending_loads", "unavailable"):
        keys = values.get(name, [])
        if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
            raise ValueError(f"state.{name} is no list of keys")
    for name in ("active_session", "accessed", "used_today", "learned"):
        values[name] = _object(f"state.{name}", values.get(name, {}))
    learned = {}
    for kind, each in values["learned"].items():
        of = _object(f"state.learned.{kind[:40]}", each, Learned._fields)
        if len(of) < len(Learned._fields):
            raise ValueError(f"state.learned.{kind[:40]} has not both tokens and ms")
        learned[kind] = Learned(**of)
    return State(**{**values, "learned": learned})
