"""What the store of variants keeps: the texts, and all that says when they may be served."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.footprint import DEPTH, Path
from .store_given import checked, packed
from .store_guard import Condition
from .store_near import NearKey

__all__ = [
    "FORMAT",
    "FREE",
    "Entry",
    "Level",
    "basis_of",
    "recorded",
    "restored",
    "whole_size",
]

FORMAT = 2
"""The version of what is written into a shared cache; another one is a miss."""

FREE = Dependence((), (), "", ())
"""What depends on nothing."""


class Level(StrEnum):
    """The layers, from the one that is looked into first."""

    HOT = "hot"
    WARM = "warm"
    COLD = "cold"


@dataclass(eq=False, slots=True)
class Entry:
    """Variants under a key, for one fingerprint.

    ``parts`` are strings as they are, and other values as JSON; ``None`` while only the cold
    layer's cache has them. ``size`` is their bytes. ``basis`` is :func:`basis_of` the state they
    were made for, if one was known. ``expires`` is when they are no longer true (infinite while
    their turn is open), ``until`` when they leave their layer. ``hits`` counts the serves,
    ``offered`` how often they were stored; ``rank`` orders a layer's entries, the first to go
    first. ``mark`` is the :meth:`digest` of what the cold layer's cache should have.
    """

    key: str
    fingerprint: str
    parts: tuple[str | bytes, ...] | None
    size: int
    ttl: float | None
    value: float = 1.0
    depends: Dependence = FREE
    guard: tuple[Condition, ...] = ()
    tags: tuple[str, ...] = ()
    turn: str | None = None
    basis: str | None = None
    near: NearKey | None = None
    level: Level = Level.WARM
    stored: float = 0.0
    expires: float = math.inf
    until: float = math.inf
    hits: int = 0
    offered: int = 1
    checked: int = -1
    seq: int = 0
    plain: bool = False
    rank: tuple[float, ...] = ()
    mark: bytes = b""

    def __post_init__(self) -> None:
        self.plain = self.parts is not None and all(type(part) is str for part in self.parts)

    @property
    def id(self) -> tuple[str, str]:
        """Its place in the store."""
        return self.key, self.fingerprint

    @property
    def pinned(self) -> bool:
        """Whether the turn it was made for is still open."""
        return self.turn is not None

    def variants(self) -> list[Any]:
        """The variants, as the caller's own: to change one changes nothing here."""
        assert self.parts is not None
        if self.plain:
            return [*self.parts]
        return [part if type(part) is str else orjson.loads(part) for part in self.parts]

    def digest(self) -> bytes:
        """What tells its variants from others under the same key."""
        return hashlib.blake2b(orjson.dumps(self.variants()), digest_size=16).digest()


def basis_of(state: Mapping[str, Any], depends: Dependence) -> str:
    """What the state says of all that a text depends on, less what its own action may change.

    A digest, for it may say much: of each path nothing, if the state has none of it, or its value.
    A path that goes through a list, or below a plain value, stands for the whole of that.

    :raises StateError: for what is no JSON.
    """
    apart = frozenset(depends.apart)
    found = [_value_at(state, path, depends, apart) for path in depends.paths]
    try:
        raw = orjson.dumps(found, dict, orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise StateError(f"a state cannot be kept, for it is no JSON: {error}") from None
    return hashlib.blake2b(raw, digest_size=16).hexdigest()


def _value_at(
    state: Any, path: Path, depends: Dependence, apart: frozenset[Path]
) -> tuple[Any, ...]:
    for key in path:
        if state is not None and not isinstance(state, Mapping):
            return ("met", state)
        if state is None or key not in state:
            return ()
        state = state[key]
    return (_less(state, path, depends.volatile, apart),)


def _less(value: Any, path: Path, volatile: Sequence[str], apart: frozenset[Path]) -> Any:
    if not isinstance(value, Mapping) or len(path) >= DEPTH:
        return value
    last = len(path) == DEPTH - 1
    return {
        key: _less(inner, (*path, key), volatile, apart)
        for key, inner in value.items()
        if not (last and key in volatile) and (*path, key) not in apart
    }


class _Dependence(BaseModel):
    model_config = ConfigDict(extra="forbid")
    paths: tuple[Path, ...]
    apart: tuple[Path, ...]
    own: str
    volatile: tuple[str, ...]


class _Record(BaseModel):
    """An entry as JSON, checked: another process, or another program, may have written it."""

    model_config = ConfigDict(extra="forbid")
    format: int
    key: str
    fingerprint: str
    variants: list[Any]
    ttl: float | None
    value: float
    tags: tuple[str, ...]
    depends: _Dependence
    guard: tuple[Condition, ...]
    basis: str | None


def recorded(entry: Entry) -> dict[str, Any]:
    """An entry as JSON."""
    depends = entry.depends
    return {
        "format": FORMAT,
        "key": entry.key,
        "fingerprint": entry.fingerprint,
        "variants": entry.variants(),
        "ttl": entry.ttl,
        "value": entry.value,
        "tags": entry.tags,
        "depends": {
            "paths": depends.paths,
            "apart": depends.apart,
            "own": depends.own,
            "volatile": depends.volatile,
        },
        "guard": [tuple(condition) for condition in entry.guard],
        "basis": entry.basis,
    }


def whole_size(entry: Entry) -> int:
    """The bytes of an entry with all that its maker says of its variants.

    :raises StateError: for a guard that is no JSON, or nested too deep.
    """
    known = entry.depends
    depends = known.paths, known.apart, known.own, known.volatile
    numbers = () if entry.near is None else entry.near.numbers
    said = entry.key, entry.fingerprint, entry.tags, entry.turn, depends, entry.guard, numbers
    try:
        return entry.size + len(orjson.dumps(said, tuple))
    except TypeError as error:
        raise StateError(f"{entry.key!r} cannot be stored: {error}") from None


def restored(raw: Any, key: str, fingerprint: str) -> Entry | None:
    """The entry that was asked for, from its JSON; ``None`` if it is anything else."""
    try:
        record = _Record.model_validate(raw)
        parts, size = packed(record.variants)
        checked(record.guard)
    except (ValidationError, StateError, RecursionError):
        return None
    if (record.format, record.key, record.fingerprint) != (FORMAT, key, fingerprint):
        return None
    known = record.depends
    return Entry(
        key,
        fingerprint,
        parts,
        size,
        record.ttl,
        record.value,
        Dependence(known.paths, known.apart, known.own, known.volatile),
        record.guard,
        record.tags,
        basis=record.basis,
        level=Level.COLD,
    )
