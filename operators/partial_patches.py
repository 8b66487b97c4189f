"""What a streaming reader of JSON says: patches, how far a value is, and how it ended."""

from __future__ import annotations

import json
from copy import deepcopy
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Any, Literal, NamedTuple

import orjson

from ..errors import ForetellError

__all__ = [
    "MISSING",
    "Final",
    "Missing",
    "Note",
    "Partial",
    "Patch",
    "PatchError",
    "Path",
    "Progress",
    "apply",
]

Path = tuple[str | int, ...]
OPS = ("set", "append", "done")


class PatchError(ForetellError, ValueError):
    """A patch cannot be read, or does not belong to the value it came for."""


class Missing(Enum):
    """The type of :data:`MISSING`."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing.MISSING
"""Stands where there is no value yet; ``None`` would be JSON's null."""


class Patch(NamedTuple):
    """What a piece of input added to the value at ``path``.

    ``set``: the value appears there; an object or array appears empty, a string with its first
    part, a number, boolean or null complete. ``append``: ``value`` continues the string there.
    ``done``: the string, object or array there is complete; its ``value`` is ``None``.
    """

    path: Path
    op: Literal["set", "append", "done"]
    value: Any

    def to_json(self) -> bytes:
        """``{"path": [...], "op": ..., "value": ...}``, as it goes over a wire."""
        return _dumped({"path": self.path, "op": self.op, "value": self.value})

    @classmethod
    def from_json(cls, data: bytes | str | dict[str, Any]) -> Patch:
        """The patch in ``data``; :class:`PatchError` says why it is none."""
        if not isinstance(data, dict):
            try:
                data = orjson.loads(data)
            except orjson.JSONDecodeError as error:
                raise PatchError(f"a patch is not JSON: {error}") from None
        if not isinstance(data, dict):
            raise PatchError("a patch is an object with path, op and value")
        path, op, value = data.get("path"), data.get("op"), data.get("value")
        if not isinstance(path, list | tuple) or not all(map(_is_step, path)):
            raise PatchError("a patch's path is a list of names and places counted from 0")
        if op not in OPS:
            raise PatchError(f"a patch's op is set, append or done, not {str(op)[:40]!r}")
        if op == "set" and "value" not in data:
            raise PatchError("a patch that sets has a value")
        if op == "append" and not isinstance(value, str):
            raise PatchError("a patch that appends has a string for its value")
        if op == "done" and value is not None:
            raise PatchError("a patch that says done has no value")
        return cls(tuple(path), op, value)


def _is_step(step: object) -> bool:
    return isinstance(step, str) or (type(step) is int and step >= 0)


class Progress(StrEnum):
    """How far the value at a path is."""

    ABSENT = "absent"
    GROWING = "growing"
    DONE = "done"


class Note(NamedTuple):
    """What the reader mended or passed over, and at which character of the whole input."""

    position: int
    what: str


@dataclass(frozen=True, slots=True)
class Final:
    """A complete value; nothing that was sent in it is lost.

    ``patches`` lead from what was shown before the end to ``value``; two results are equal if
    their values are.
    """

    value: Any
    notes: tuple[Note, ...] = field(default=(), compare=False)
    patches: tuple[Patch, ...] = field(default=(), compare=False)

    def to_json(self) -> bytes:
        """``{"final": ..., "notes": [...]}``, the last line of a stream of patches."""
        return _dumped({"final": self.value, "notes": list(map(list, self.notes))})


@dataclass(frozen=True, slots=True)
class Partial:
    """The usable part of a value, :data:`MISSING` if there is none, and why there is no more.

    ``position`` is the character at which reading stopped, ``None`` if the text just ended.
    """

    value: Any
    reason: str
    position: int | None = field(default=None, compare=False)
    notes: tuple[Note, ...] = field(default=(), compare=False)
    patches: tuple[Patch, ...] = field(default=(), compare=False)

    def to_json(self) -> bytes:
        """The last line of a stream of patches; without ``partial`` if nothing is usable.

        ``{"partial": ..., "reason": ..., "position": ..., "notes": [...]}``
        """
        notes = list(map(list, self.notes))
        said = {"reason": self.reason, "position": self.position, "notes": notes}
        return _dumped(said if self.value is MISSING else {"partial": self.value, **said})


def unended(result: Final | Partial, reason: str) -> Partial:
    """What a reader found that was told to finish before the end of the text, for ``reason``.

    What only the end completes is not; and of a value of which that is all, there is nothing yet.
    """
    whole = [patch for patch in result.patches if not patch.path and patch.op == "set"]
    value = MISSING if whole else result.value
    kept = () if whole else tuple(patch for patch in result.patches if patch.path)
    if isinstance(result, Partial) and result.position is not None:
        reason = f"{result.reason}; {reason}"
    return Partial(value, reason, getattr(result, "position", None), result.notes, kept)


def _dumped(line: dict[str, Any]) -> bytes:
    try:
        return orjson.dumps(line)
    except orjson.JSONEncodeError:  # nested deeper than orjson goes, or an integer beyond 64 bits
        return json.dumps(line, ensure_ascii=False).encode()


def apply(value: Any, patch: Patch) -> Any:
    """``value`` with ``patch`` applied, in place where it can be; start with :data:`MISSING`.

    :raises PatchError: if the patch does not belong to ``value``, which then is as it was.
    """
    path, op, added = patch
    box: Any = MISSING
    found, last = value, None
    for last in path:
        box = found
        found = _inside(box, last)
    if op == "set":
        free = box is MISSING if not path else _is_free(box, last)
        again = not path and found in ({}, []) and found == added  # to an empty value, no change
        if (found is not MISSING and not again) or not (free or again):
            raise PatchError(f"there is nothing at {list(path)} to set to")
        if isinstance(added, (dict, list)):
            added = deepcopy(added) if added else added.copy()
        if not path:
            return added
        if isinstance(box, list):
            box.append(added)
        else:
            box[last] = added
        return value
    wanted = (str,) if op == "append" else (str, dict, list)
    if not isinstance(found, wanted) or (op == "append" and not isinstance(added, str)):
        raise PatchError(f"there is nothing at {list(path)} to {op} to")
    if op == "append":
        if not path:
            return found + added
        del found  # so that the text grows in place
        box[last] += added
    return value


def _inside(box: Any, step: str | int) -> Any:
    if isinstance(box, list):
        return box[step] if type(step) is int and 0 <= step < len(box) else MISSING
    return box.get(step, MISSING) if isinstance(box, dict) and type(step) is str else MISSING


def _is_free(box: Any, step: str | int | None) -> bool:
    if isinstance(box, list):
        return type(step) is int and step == len(box)
    return isinstance(box, dict) and type(step) is str
