"""What a game says, brought into the form that a session log holds."""

from __future__ import annotations

import reprlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from math import isfinite
from typing import Any, TypeVar

import orjson

from ..errors import StateError
from . import events as ev
from .log_read import MAX_LINE, BadLine, parse
from .log_schema import problems, to_event, to_record
from .log_validate import odds_problem

__all__ = ["MAX_INPUT", "action_of", "brief", "checked", "options_of", "results_of", "viewers_of"]

E = TypeVar("E", bound=ev.Input)

MAX_INPUT = MAX_LINE // 8
"""The most bytes of JSON of an input that is no state; a line may hold parts of several."""


RESULT = ("target", "result", "values")
REAL = ("damage", "target_hp")
KNOWN = ("hit", "miss", "critical", "success", "failure", "kill")
SPELT = {"crit": "critical", "critical hit": "critical", "missed": "miss", "fail": "failure"}


def brief(value: Any) -> str:
    """A value as an error can show it: on one line, and not too long."""
    return " ".join(reprlib.repr(value).split())


def checked(event: E) -> E:
    """The input as a log would give it back: a copy, of plain JSON.

    :raises StateError: if it could not stand in a log.
    """
    what = type(event).__name__.lower()
    try:
        record = to_record(event)
        wrong = problems(record)
        raw = b"" if wrong else orjson.dumps(record)
        copy = to_event(parse(raw)) if raw else None
    except BadLine as bad:
        raise StateError(f"{what} is not usable: {bad}") from None
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise StateError(f"{what} is not usable: {error}; pass plain JSON values") from None
    odds = getattr(event, "odds", None)  # as given: JSON has no nan
    if isinstance(odds, Mapping) and (odd := odds_problem(odds)):
        wrong = [odd]
    if wrong or not isinstance(copy, type(event)):
        raise StateError(f"{what} is not usable: {wrong[0]}")
    if len(raw) > MAX_INPUT and not isinstance(event, ev.State):
        raise StateError(f"{what} is {len(raw):,} bytes of JSON, more than {MAX_INPUT:,}")
    return copy


def viewers_of(to: Any) -> tuple[str, ...]:
    """One viewer, or several, as a tuple."""
    if not isinstance(to, Iterable):
        raise StateError(f"to must be a viewer or a list of viewers, not {brief(to)}")
    return (to,) if isinstance(to, str) else tuple(to)


def options_of(options: Any) -> tuple[Any, ...]:
    """A turn's options as a tuple."""
    if not isinstance(options, Iterable):
        raise StateError(f"options must be a list of actions, not {brief(options)}")
    return tuple(dict(each) if isinstance(each, Mapping) else each for each in options)


def action_of(action: Any, kind: str | None, target: Any) -> dict[str, Any]:
    """An action as an object, from its name or the whole."""
    if not isinstance(action, str | Mapping):
        raise StateError(f"action must be a name or a mapping, not {brief(action)}")
    what: dict[str, Any] = dict(action) if isinstance(action, Mapping) else {"name": action}
    name = what.get("name")
    if isinstance(name, str) and not name.strip():
        raise StateError('an action needs a name, such as "longsword"; this one is empty')
    if target is not None:
        several = isinstance(target, Iterable) and not isinstance(target, str)
        what["target"] = list(target) if several else target
    if kind is not None or "type" not in what:
        what["type"] = kind or ("attack" if what.get("target") else "use")
    return what


def results_of(
    result: str | None, results: Any, values: Mapping[str, Any]
) -> tuple[ev.Result, ...]:
    """What happened, from one result and its values or from a list of them."""
    if results is None:
        if result is None:
            raise StateError('an outcome needs a result, such as outcome("hit", damage=9)')
        return (ev.Result(_word(result), None, _values_of(values)),)
    if result is not None or values:
        other = brief(result if result is not None else dict(values))
        raise StateError(f"results stand in the place of {other}: give one or the other")
    if isinstance(results, str | Mapping) or not isinstance(results, Iterable):
        raise StateError(
            'results must be a list, such as [{"target": "goblin-1", "result": "hit"}], '
            f"not {brief(results)}"
        )
    found: list[ev.Result] = []
    for each in results:
        if isinstance(each, ev.Result):
            said = _values_of(each.values)
            found.append(replace(each, result=_word(each.result), values=said))
        elif not isinstance(each, Mapping) or "result" not in each:
            raise StateError(f"a result needs a 'result', such as hit: {brief(each)}")
        else:
            further = {name: value for name, value in each.items() if name not in RESULT}
            said = _values_of({**_values_of(each.get("values")), **further})
            found.append(ev.Result(_word(each["result"]), each.get("target"), said))
    if not found:
        raise StateError("results is empty: name at least one")
    return tuple(found)


def _word(result: Any) -> Any:
    """A result as it is known, however it is spelt; the game's own words stay as they are."""
    folded = result.strip().lower() if isinstance(result, str) else ""
    return SPELT.get(folded, folded if folded in KNOWN else result)


def _values_of(values: Any) -> dict[str, Any]:
    """The values of a result; those that are reckoned with must be numbers."""
    if not isinstance(values, Mapping | None):
        raise StateError(f"values must be a mapping, such as damage=9, not {brief(values)}")
    for name in REAL:
        value = (values or {}).get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
            raise StateError(f"{name} must be a number, not {brief(value)}")
        if name == "damage" and value < 0:
            raise StateError(f"damage is {value}: give healing as a value of another name")
    return dict(values or {})
