"""Similarity keys: states that differ by no more than a step or two share what was made for them.

Numbers that say where something is may differ by the tolerance; health counts by band; all else
has to be equal. Each number falls into a cell a little wider than twice the tolerance, and a
search looks into the one or two cells that hold what is near it: so nothing within the tolerance
is missed at a cell's border. With d such numbers those are at most 2 ** d looks, whatever the
number of entries. Beyond :data:`PROBED` numbers only the first so many make the key; the others
are compared afterwards, among at most :data:`MOST` candidates of a cell, the latest first.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeGuard, TypeVar

import orjson

from ..errors import ConfigError, StateError

__all__ = ["FIELDS", "MOST", "PROBED", "WIDTHS", "Near", "NearIndex", "NearKey"]

FIELDS = ("pos", "position", "x", "y", "z")
PROBED = 6
MOST = 64
LARGEST_TOLERANCE = 5.0

HEALTH = (("hp", "max_hp"), ("health", "max_health"))
WIDTHS: Mapping[str, float] = {"damage_taken": 200.0}
"""Where the largest health is not known, as in recordings, what was lost of it says how it is. So
wide as a third of what those bear who are met most: as :data:`BANDS` has it of what is known."""
BANDS = ((0.0, "down"), (1 / 3, "low"), (2 / 3, "hurt"))
NUMBER = orjson.Fragment("near")
"""Stands for a number that was taken out. No value of JSON is written so, nor as a band is."""
LARGEST = 1e12
MARGIN = 1 + 1e-9
FACTORS = (0x9E3779B97F, 0xC2B2AE3D27, 0x165667B19E, 0xD6E8FEB866, 0xFF51AFD7ED, 0xA0761D6478)
"""One for each number: a cell is what is equal, plus each number's place times its factor. Two
cells may meet by chance; what is found is compared in any case."""


@dataclass(frozen=True, slots=True)
class NearKey:
    """What has to be equal, as a digest, and the numbers that have to be near."""

    exact: int
    numbers: tuple[float, ...]

    def distance(self, other: NearKey) -> float:
        """The largest difference of two numbers; infinite if something else differs."""
        if self.exact != other.exact or len(self.numbers) != len(other.numbers):
            return math.inf
        return max(
            (abs(a - b) for a, b in zip(self.numbers, other.numbers, strict=True)), default=0
        )


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
        if type(value) is str or value is None:
            return value
        if near and _number(value) and abs(value) < LARGEST:
            numbers.append(float(value))
            return NUMBER
        if isinstance(value, dict | Mapping):
            banded = self._banded(value)
            names = sorted(value) if self.fields else value
            return {
                name: banded[name]
                if name in banded
                else self._shape(value[name], near or name in self.fields, numbers)
                for name in names
            }
        if isinstance(value, (list, tuple)):
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


class NearIndex(Generic[T]):
    """Finds what was kept for a state near another one."""

    def __init__(self, near: Near) -> None:
        self._reach = near.tolerance * MARGIN
        self._width = 2 * near.tolerance * MARGIN * MARGIN or 1.0
        self._tolerance = near.tolerance
        self._cells: dict[int, dict[T, None]] = {}

    def add(self, item: T) -> None:
        """Know an item by its key; one without is left out."""
        if item.near is not None:
            self._cells.setdefault(self._cell(item.near), {})[item] = None

    def discard(self, item: T) -> None:
        """Forget it."""
        if item.near is None:
            return
        cell = self._cell(item.near)
        items = self._cells.get(cell)
        if items is not None:
            items.pop(item, None)
            if not items:
                del self._cells[cell]

    def search(self, key: NearKey) -> tuple[list[T], int]:
        """What is within the tolerance, the nearest first, and how many candidates were not."""
        found: list[tuple[float, int, T]] = []
        missed = 0
        for cell in self._cells_near(key):
            items = self._cells.get(cell)
            if items is None:
                continue
            for item, _ in zip(reversed(items), range(MOST), strict=False):
                assert item.near is not None
                distance = key.distance(item.near)
                if distance <= self._tolerance:
                    found.append((distance, len(found), item))
                else:
                    missed += 1
        found.sort(key=lambda each: each[:2])
        return [item for _, _, item in found], missed

    def _cell(self, key: NearKey) -> int:
        cell = key.exact
        for number, factor in zip(key.numbers, FACTORS, strict=False):
            cell += math.floor(number / self._width) * factor
        return cell

    def _cells_near(self, key: NearKey) -> list[int]:
        cells = [key.exact]
        reach, width = self._reach, self._width
        for number, factor in zip(key.numbers, FACTORS, strict=False):
            low, high = math.floor((number - reach) / width), math.floor((number + reach) / width)
            moves = [at * factor for at in range(low, high + 1)]
            cells = [cell + move for cell in cells for move in moves]
        return cells
