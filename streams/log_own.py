"""What the ``~`` lines that a replay hands in must hold, whoever has written them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .footprint import actor_and_targets

__all__ = ["own_problem"]

Check = Callable[[Any], bool]

WHAT = ("came", "done", "failed", "closed", "changed")
GATE = ("waits", "granted", "displaced")
FETCHED = (
    *("loaded", "timed out", "retry", "failed", "unavailable", "oversize", "skipped"),
    *("cancelled", "dropped", "expired", "missing"),
)
AGENT = ("asked", "failed", "left", "due")
LANES = ("immediate", "eager", "background", "deferred")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_count(value: Any) -> bool:
    return value is None or (isinstance(value, int) and not isinstance(value, bool))


def _is_number_of(value: Any) -> bool:
    """The number of an input."""
    return value is not None and _is_count(value)


def _is_intensity(value: Any) -> bool:
    return value in ("off", "conservative", "aggressive", "auto")


def _is_telling(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"t[0-9]{1,15}", value) is not None


def _is_object(value: Any) -> bool:
    return value is None or isinstance(value, Mapping)


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_slot(value: Any) -> bool:
    """A place in the plan: turn, key of the action, target, result."""
    if not (isinstance(value, list) and len(value) == 4):
        return False
    turn, own, target, result = value
    try:
        actor_and_targets(own)
    except (TypeError, ValueError):
        return False
    named = all(each is None or isinstance(each, str) for each in (turn, target))
    return named and isinstance(result, str)


def _is_what(value: Any) -> bool:
    """What became of a content source; nothing, where a cache has answered."""
    return value in (None, *WHAT)


def _are_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _is_value(value: Any) -> bool:
    return value is not None and _is_number(value)


def _is_plan(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"p[0-9]{1,15}", value) is not None


def _is_check(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"k[0-9]{1,15}", value) is not None


def _are_objects(value: Any) -> bool:
    return value is None or (isinstance(value, list | tuple) and all(map(_is_object, value)))


WANTED: Mapping[str, Mapping[str, Check]] = {
    "~agent": {
        "what": lambda value: value in AGENT,
        "plan": _is_plan,
        "agent": _is_text,
        "snapshot": _is_object,
        "goal": lambda value: value is None or isinstance(value, str),
        "step": _is_object,
        "done": _are_objects,
        "together": lambda value: value in (None, True),
        "fallback": lambda value: value is None or isinstance(value, list),
    },
    "~asked": {"generation": _is_text},
    "~cancel": {"telling": _is_telling},
    "~chunk": {"generation": _is_text, "text": _is_text},
    "~closed": {"generation": _is_text},
    "~content": {
        "name": _is_text,
        "what": _is_what,
        "call": _is_count,
        "tokens": _is_count,
        "began": _is_number,
    },
    "~ended": {"generation": _is_text, "phase": _is_text},
    "~error": {"generation": _is_text, "retry_after": _is_number},
    "~fell": {"from": _is_text, "to": _is_text},
    "~fault": {"where": _is_text, "error": _is_text},
    "~fetched": {
        "what": lambda value: value in FETCHED,
        "keys": _are_texts,
        "lane": lambda value: value in LANES,
        "tokens": _is_value,
        "seconds": _is_value,
    },
    "~gate": {"what": lambda value: value in GATE, "generation": _is_text},
    "~generation": {"generation": _is_text},
    "~guard": {
        "check": _is_check,
        "generation": _is_text,
        "refused": lambda value: value is None or isinstance(value, str),
    },
    "~intensity": {"intensity": _is_intensity},
    "~judged": {"tier": _is_text, "valid": _is_value, "dropped": _is_value},
    "~kept": {
        "generation": _is_text,
        "slot": _is_slot,
        "mark": _is_text,
        "revision": _is_count,
        "value": _is_value,
        "text": lambda value: value is None or isinstance(value, str),
    },
    "~looked": {"hit": _are_texts, "missed": _are_texts},
    "~opened": {"settings": _is_object, "guests": _is_object, "tools": _is_object},
    "~planned": {
        "status": _is_text,
        "steps": _is_count,
        "latency": lambda value: isinstance(value, list | tuple) and len(value) == 3,
    },
    "~preload": {"keys": _are_texts},
    "~reused": {"plan": _is_plan, "how": _is_text, "steps": _is_count},
    "~settings": {"changed": lambda value: isinstance(value, Mapping)},
    "~stop": {
        "generation": _is_text,
        "reason": _is_text,
        "whole": lambda value: value in (None, True),
    },
    "~summary": {"text": _is_text, "upto": _is_number_of, "last": _is_number_of},
    "~timer": {"name": _is_text},
    "~unfit": {"flaw": _is_text},
    "~usage": {
        "generation": _is_text,
        "input": _is_count,
        "output": _is_count,
        "cache_read": _is_count,
        "cache_write": _is_count,
    },
}
"""By kind, what each field must be; one that is not there counts as null."""


def own_problem(data: Mapping[str, Any]) -> str | None:
    """Why a ``~`` line cannot be what a session has written, if it cannot."""
    for name, holds in WANTED.get(data["kind"], {}).items():
        if not holds(data.get(name)):
            said = "is missing" if name not in data else "is not of its form"
            return f"{name} of a {data['kind']} line {said}; the line was not written by Foretell"
    return None
