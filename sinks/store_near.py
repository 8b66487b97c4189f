"""Similarity keys: states that differ by no more than a step or two share what was made for them.

Numbers that say where something is may differ by the tolerance; health counts by band; all else
has to be equal. What is equal but for such numbers is compared one by one while it is a few; of
many, a :class:`~foretell.sinks.store_crowd.Crowd` says at once which may be near. Nothing within
the tolerance is missed, and nothing outside it found, for any number of numbers.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Generic, Protocol, TypeGuard, TypeVar

import orjson

from ..errors import ConfigError, StateError
from .store_crowd import Crowd

__all__ = ["FIELDS", "WIDTHS", "Near", "NearIndex", "NearKey", "Search"]

FIELDS = ("pos", "position", "x", "y", "z")
FEW = 32
"""So many are compared one by one."""
AT_ONCE = 4
"""Of a crowd, so many candidates are compared before the nearest of them is given."""
LARGEST_TOLERANCE = 5.0

HEALTH = (("hp", "max_hp"), ("health", "max_health"))
WIDTHS: Mapping[str, float] = {"damage_taken": 200.0}
"""Where the largest health is not known, as in recordings, what was lost of it says how it is. So
wide as a third of what those bear who are met most: as :data:`BANDS` has it of what is known."""
BANDS = ((0.0, "down"), (1 / 3, "low"), (2 / 3, "hurt"))
NUMBER = orjson.Fragment("near")
"""Stands for a number that was taken out. No value of JSON is written so, nor as a band is."""
LARGEST = 1e12
NONE: Mapping[str, Any] = {}


@dataclass(frozen=True, slots=True)
class NearKey:
    """What has to be equal, as a digest, and the numbers that have to be near."""

    exact: int
    numbers: tuple[float, ...]

    def distance(self, other: NearKey) -> float:
        """The largest difference of two numbers; infinite if something else differs."""
        if self.exact != other.exact or len(self.numbers) != len(other.numbers):
            return math.inf
        most = 0.0
        for a, b in zip(self.numbers, other.numbers, strict=True):
            if (apart := abs(a - b)) > most:
                most = apart
        return most


class Near:
    """What counts as near.

    :param tolerance: by how much a number that says where something is may differ; 0 to 5.
    :param fields: the names of such numbers; all numbers below such a name are meant.
    :param bands: whether ``hp`` and ``health`` beside ``max_hp`` or ``max_health`` count by band:
        down, up to a third, up to two thirds, above.
    :param widths: further numbers that count by band, each band so wide; for one that has no
        largest value. None of theirs holds both 0 and more.
    :raises ConfigError: for a tolerance or a width out of range.
    """

    def __init__(
        self,
        tolerance: float = 2.0,
        fields: Sequence[str] = FIELDS,
        *,
        bands: bool = True,
        widths: Mapping[str, float] = WIDTHS,
    ) -> None:
        if not _number(tolerance) or not 0 <= tolerance <= LARGEST_TOLERANCE:
            raise ConfigError(f"a tolerance of {tolerance!r} is not from 0 to 5")
        if isinstance(fields, str):
            raise ConfigError(f"fields are a list of names, not {fields!r}")
        self.tolerance = float(tolerance)
        self.fields = frozenset(fields) if tolerance else frozenset()
        self.bands = bands
        if not all(_number(width) and 0 < width < math.inf for width in widths.values()):
            raise ConfigError(f"bands as wide as {dict(widths)!r}: a width is a number above 0")
        self.widths = dict(widths) if bands else {}
        health = HEALTH if bands else ()
        self._banding = frozenset((*self.widths, *(name for name, _ in health)))

    def key(self, snapshot: Any, scope: str = "") -> NearKey:
        """The key of a snapshot; different scopes never meet.

        :raises StateError: for what is no JSON.
        """
        numbers: list[float] = []
        try:
            shape = self._shape(snapshot, False, numbers)
            raw = orjson.dumps((scope, shape), option=orjson.OPT_SORT_KEYS)
        except (TypeError, OverflowError, RecursionError) as error:
            raise StateError(f"a snapshot has no key, for it is no JSON: {error}") from None
        digest = hashlib.blake2b(raw, digest_size=8).digest()
        return NearKey(int.from_bytes(digest), tuple(numbers))

    def _shape(self, value: Any, near: bool, numbers: list[float]) -> Any:
        """The value with its near numbers taken out and its health in bands."""
        kind = type(value)
        if kind is str or value is None:
            return value
        if near and (kind is float or kind is int) and abs(value) < LARGEST:
            numbers.append(float(value))
            return NUMBER
        if kind is dict or isinstance(value, Mapping):
            banded = NONE if self._banding.isdisjoint(value) else self._banded(value)
            names = sorted(value) if self.fields else value
            return {
                name: banded[name]
                if name in banded
                else self._shape(value[name], near or name in self.fields, numbers)
                for name in names
            }
        if kind is list or isinstance(value, (list, tuple)):
            return [self._shape(each, near, numbers) for each in value]
        if isinstance(value, float) and not math.isfinite(value):
            return orjson.Fragment(repr(value))
        return value

    def _banded(self, value: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, width in self.widths.items():
            if _number(now := value.get(name)) and math.isfinite(now):
                found[name] = orjson.Fragment(f"band {math.ceil(now / width)}")
        for name, most in HEALTH if self.bands else ():
            if name not in value:
                continue
            now, full = value.get(name), value.get(most)
            if _number(now) and _number(full) and full > 0:
                share = now / full
                band = next((band for edge, band in BANDS if share <= edge), "well")
                found[name] = orjson.Fragment(band)
        return found


def _number(value: Any) -> TypeGuard[float]:
    return type(value) is int or type(value) is float


class _Keyed(Protocol):
    @property
    def near(self) -> NearKey | None: ...


T = TypeVar("T", bound=_Keyed)


class Search(Generic[T]):
    """What is within the tolerance of a key, the nearest first; of a crowd, of so many at a time.

    ``others`` counts what was found to be a little too far away: by less than the tolerance again.
    """

    def __init__(
        self, key: NearKey, tolerance: float, candidates: Iterable[T] = (), at_once: int = FEW
    ) -> None:
        self.others = 0
        self._key = key
        self._tolerance = tolerance
        self._candidates = iter(candidates)
        self._at_once = at_once

    def __iter__(self) -> Iterator[T]:
        while some := [*islice(self._candidates, self._at_once)]:
            found: list[tuple[float, int, T]] = []
            for item in some:
                assert item.near is not None
                distance = self._key.distance(item.near)
                if distance <= self._tolerance:
                    found.append((distance, len(found), item))
                elif distance <= 2 * self._tolerance:
                    self.others += 1
            found.sort(key=lambda each: each[:2])
            for _, _, item in found:
                yield item


class NearIndex(Generic[T]):
    """Finds what was kept for a state near another one."""

    def __init__(self, near: Near) -> None:
        self._tolerance = near.tolerance
        self._alike: dict[int, dict[T, None]] = {}
        self._crowds: dict[int, Crowd[T]] = {}

    def add(self, item: T) -> None:
        """Know an item by its key; one without is left out."""
        key = item.near
        if key is None:
            return
        alike = self._alike.setdefault(key.exact, {})
        alike[item] = None
        crowd = self._crowds.get(key.exact)
        if crowd is not None:
            crowd.add(item, key.numbers)
        elif len(alike) > FEW:
            crowd = self._crowds[key.exact] = Crowd(self._tolerance, len(key.numbers))
            for each in alike:
                assert each.near is not None
                crowd.add(each, each.near.numbers)

    def discard(self, item: T) -> None:
        """Forget it."""
        key = item.near
        alike = None if key is None else self._alike.get(key.exact)
        if key is None or alike is None or item not in alike:
            return
        del alike[item]
        if (crowd := self._crowds.get(key.exact)) is not None:
            crowd.discard(item, key.numbers)
        if not alike:
            del self._alike[key.exact]
            self._crowds.pop(key.exact, None)

    def search(self, key: NearKey) -> Search[T]:
        """What is within the tolerance; while it is gone through, only what it has given may go."""
        if (crowd := self._crowds.get(key.exact)) is not None:
            return Search(key, self._tolerance, crowd.candidates(key.numbers), AT_ONCE)
        return Search(key, self._tolerance, [*reversed(self._alike.get(key.exact, {}))])
