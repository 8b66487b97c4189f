"""A number for each key that was seen, within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .predictors import Key, key_of

__all__ = ["Numbers"]


class Numbers:
    """The keys seen of late, each with a number, by which it is found faster than by its words.

    They are in two halves: when the newer is full, the older goes. No number is given twice.

    :param limit: the most keys.
    :ivar newer: the numbers of those in the newer half, which are found in it at once.
    """

    __slots__ = ("_half", "_keys", "_next", "_older", "_older_keys", "newer")

    def __init__(self, limit: int) -> None:
        self.newer: dict[Key, int] = {}
        self._older: dict[Key, int] = {}
        self._keys: dict[int, Key] = {}
        self._older_keys: dict[int, Key] = {}
        self._next = 0
        self._half = max(1, limit // 2)

    def __repr__(self) -> str:
        return f"<Numbers of {len(self)} keys>"

    def __len__(self) -> int:
        return len(self.newer) + len(self._older)

    def __contains__(self, key: object) -> bool:
        return key in self.newer or key in self._older

    def of(self, key: Key) -> int | None:
        """The number of a key, if it was seen."""
        found = self.newer.get(key)
        return self._older.get(key) if found is None else found

    def key(self, number: int) -> Key | None:
        """The key of a number, unless it is forgotten."""
        found = self._keys.get(number)
        return self._older_keys.get(number) if found is None else found

    def add(self, key: Key) -> tuple[int, bool]:
        """The number of the key, and whether it was seen before; from now on it is."""
        found = self.newer.get(key)
        if found is not None:
            return found, True
        found = self._older.pop(key, None)
        if len(self.newer) >= self._half:
            self._older, self.newer = self.newer, {}
            self._older_keys, self._keys = self._keys, {}
        if found is None:
            number, self._next = self._next, self._next + 1
        else:
            number = found
            self._older_keys.pop(number, None)
        self.newer[key] = number
        self._keys[number] = key
        return number, found is not None

    def to_json(self) -> dict[str, Any]:
        """The older half and the newer, and the next number."""
        halves = [[*half.items()] for half in (self._older, self.newer)]
        return {"halves": halves, "next": self._next}

    def restore(self, saved: Any) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for keys or numbers that are none.
        """
        self._older, self.newer = (_numbered(half) for half in saved["halves"])
        self._older_keys, self._keys = (
            {number: key for key, number in half.items()} for half in (self._older, self.newer)
        )
        self._next = int(saved["next"])


def _numbered(half: Iterable[Any]) -> dict[Key, int]:
    return {key_of(key): int(number) for key, number in half}
