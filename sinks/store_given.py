"""What a caller hands to the store, checked: its mistakes are named when it makes them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, is_dataclass
from typing import Any, get_args

import orjson

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.world import Change
from .store_guard import Condition, Test

__all__ = [
    "changes_of",
    "checked",
    "dependence_of",
    "finite",
    "number",
    "packed",
    "seconds",
    "state_of",
    "texts",
]

TESTS = get_args(Test)
LARGEST = 2.0**1023


def texts(what: str, given: Any) -> tuple[str, ...]:
    """Several texts, which one text is not.

    :raises StateError: for anything else.
    """
    try:
        found = (None,) if isinstance(given, str) else tuple(given)
    except TypeError:
        found = (None,)
    if not all(type(each) is str and (each.isascii() or _whole(each)) for each in found):
        raise StateError(f"{what}: a list of texts is wanted, not {given!r}")
    return found


def _whole(text: str) -> bool:
    """Whether it is a text everywhere: half of a character, such as of an emoji, is none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def number(what: str, given: Any) -> float:
    """A number that JSON has: not infinite.

    :raises StateError: for anything else.
    """
    if type(given) not in (int, float) or not abs(given) < LARGEST:
        raise StateError(f"{what} of {given!r} is no number")
    return float(given)


def seconds(ttl: Any) -> float | None:
    """A time to live.

    :raises StateError: for one that is no number, or below 0.
    """
    if ttl is not None and number("a ttl", ttl) < 0:
        raise StateError(f"a ttl of {ttl!r} is no time")
    return None if ttl is None else float(ttl)


def dependence_of(depends: Any) -> Dependence:
    """What is depended on, from paths of the state alone.

    :raises StateError: for a path that is no list of texts, or no list of paths.
    """
    if not isinstance(depends, Dependence):
        if isinstance(depends, str) or not isinstance(depends, Iterable):
            raise StateError(f"a list of paths of the state is wanted, not {depends!r}")
        paths = tuple(texts("a path of the state", path) for path in depends)
        return Dependence(paths, (), "", ())
    for path in (*depends.paths, *depends.apart, (depends.own, *depends.volatile)):
        texts("a path of the state", path)
    return depends


def changes_of(changes: Any) -> tuple[Change, ...]:
    """Where a state differs, and why.

    :raises StateError: for anything else.
    """
    found: list[Change] = []
    for each in changes if isinstance(changes, Iterable) else [changes]:
        if not (_row(each) and len(each) == 2 and _row(each[0])):
            raise StateError(f"a change is a path of the state and a reason, not {each!r}")
        found.append((tuple(each[0]), each[1]))
    return tuple(found)


def _row(given: Any) -> bool:
    return isinstance(given, (tuple, list))


def state_of(state: Any) -> Mapping[str, Any]:
    """A state.

    :raises StateError: for what is none.
    """
    if not isinstance(state, Mapping):
        raise StateError(f"a state is an object of JSON, not {type(state).__name__}")
    return state


def checked(guard: Iterable[Condition]) -> tuple[Condition, ...]:
    """A guard that can be compared with any state.

    :raises StateError: for one that is none, or compares with what is no number, or no JSON.
    """
    try:
        guard = tuple(Condition(*each) for each in guard)
    except TypeError as error:
        raise StateError(f"a guard is a list of conditions: {error}") from None
    packed([condition.value for condition in guard])
    for path, test, value in guard:
        name = ".".join(texts("the path of a guard", path))
        if test not in TESTS:
            raise StateError(f"the guard of {name} has no test {test!r}: {', '.join(TESTS)}")
        if test in ("above", "below") and type(value) not in (int, float):
            raise StateError(f"the guard of {name} compares with {value!r}: no number")
    return guard


def finite(value: Any, written: bytes) -> bool:
    """Whether no number of it is infinite or none, of which orjson makes ``null``."""
    if b"null" not in written:
        return True
    try:
        json.dumps(value, allow_nan=False, default=_plain)
    except ValueError:
        return False
    return True


def _plain(value: Any) -> Any:
    return asdict(value) if is_dataclass(value) and not isinstance(value, type) else None


def _json(value: Any) -> bytes:
    """A copy of what orjson gives, which holds on to up to three times as much memory."""
    written = orjson.dumps([[value]])[2:-2]  # as deep as an entry's record has it
    if not finite(value, written):
        raise StateError("a variant cannot be stored: JSON has no NaN and no infinite number")
    return written


def packed(variants: Iterable[Any]) -> tuple[tuple[str | bytes, ...], int]:
    """Variants as they are kept, and their bytes.

    :raises StateError: for what is no JSON, and for what is no list.
    """
    if isinstance(variants, (str, bytes, Mapping)) or not isinstance(variants, Iterable):
        raise StateError(f"variants are a list of texts or plans, not {type(variants).__name__}")
    variants = [*variants]  # what it raises itself is not for what it gives
    try:
        parts = tuple(each if type(each) is str else _json(each) for each in variants)
        size = sum(len(each.encode() if type(each) is str else each) for each in parts)  # ints
    except (TypeError, UnicodeEncodeError) as error:
        raise StateError(f"a variant cannot be stored, for it is no JSON: {error}") from None
    return parts, size
