"""Conditions on a state, as plain data: what must be true for something to be served, or done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

from .footprint import Path

__all__ = ["Condition", "Test", "holds", "met_by"]


Test = Literal["is", "not", "above", "below", "has", "lacks", "there"]


class Condition(NamedTuple):
    """One condition on a value of the state.

    ``is`` and ``not`` compare it; ``above`` and ``below`` compare numbers; ``has`` and ``lacks``
    ask for a member of a list, or a key; ``there`` asks whether there is such a value (``true``)
    or none (``false``). A condition on a value that is not there does not hold, but for ``lacks``
    and ``not``. On a path that goes through a list, or below a plain value, none holds: nothing
    says what is meant.
    """

    path: Path
    test: Test
    value: Any = True


_NOTHING = object()
_UNCLEAR = object()


def holds(guard: Iterable[Condition], state: Mapping[str, Any]) -> bool:
    """Whether all conditions hold in a state."""
    return all(_holds(condition, _at(state, condition.path)) for condition in guard)


def _at(state: Any, path: Path) -> Any:
    for key in path:
        if state is not None and not isinstance(state, Mapping):
            return _UNCLEAR
        if state is None or key not in state:
            return _NOTHING
        state = state[key]
    return state


def met_by(guard: Iterable[Condition], state: Any) -> bool:
    """Whether a guard may be served for what is known, if anything is."""
    guard = tuple(guard)
    return not guard or (state is not None and holds(guard, state))


def _holds(condition: Condition, found: Any) -> bool:
    wanted = condition.value
    if found is _UNCLEAR:
        return False
    match condition.test:
        case "there":
            return (found is not _NOTHING) is bool(wanted)
        case "is":
            return _same(found, wanted)
        case "not":
            return not _same(found, wanted)
        case "above":
            return _number(found) and bool(found > wanted)
        case "below":
            return _number(found) and bool(found < wanted)
        case "has":
            return _has(found, wanted)
        case "lacks":
            return not _has(found, wanted)


def _has(found: Any, wanted: Any) -> bool:
    if isinstance(found, (str, Mapping)):  # in which only a text can be
        return isinstance(wanted, str) and wanted in found
    return isinstance(found, (list, tuple)) and any(_same(each, wanted) for each in found)


def _same(found: Any, wanted: Any) -> bool:
    """Whether two values of JSON are equal: ``true`` is no 1, and a list is a list."""
    if isinstance(found, (list, tuple)) and isinstance(wanted, (list, tuple)):
        return len(found) == len(wanted) and all(map(_same, found, wanted))
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        alike = found.keys() == wanted.keys()
        return alike and all(_same(found[key], wanted[key]) for key in found)
    return bool(found == wanted) and isinstance(found, bool) == isinstance(wanted, bool)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
