"""What is known by name, within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Generic, TypeVar

__all__ = ["Halves"]

V = TypeVar("V")


class Halves(Generic[V]):
    """What is known by name, in two halves: when the newer is full, the older goes.

    In the newer is what was touched since it was begun. It stays there until the next turn, and may
    be kept so long without asking again.

    :param limit: the most names.
    :ivar turns: how often the newer half has become the older.
    """

    __slots__ = ("_half", "_newer", "_older", "turns")

    def __init__(self, limit: int) -> None:
        self._newer: dict[str, V] = {}
        self._older: dict[str, V] = {}
        self._half = max(1, limit // 2)
        self.turns = 0

    def __repr__(self) -> str:
        return f"<Halves of {len(self._newer) + len(self._older)} names>"

    def get(self, name: str) -> V | None:
        """What is known of it, if anything."""
        found = self._newer.get(name)
        return self._older.get(name) if found is None else found

    def touch(self, name: str, begun: V) -> V:
        """What is known of it, or else what is ``begun`` with it; from now on in the newer half."""
        found = self._newer.get(name)
        if found is None:
            found = self._older.pop(name, None)
            if len(self._newer) >= self._half:
                self._older, self._newer = self._newer, {}
                self.turns += 1
            found = self._newer[name] = begun if found is None else found
        return found

    def to_json(self) -> list[Any]:
        """The older half and the newer."""
        return [[*map(list, half.items())] for half in (self._older, self._newer)]

    def restore(self, halves: Iterable[Iterable[tuple[str, V]]]) -> None:
        """Go on with these, the older and the newer."""
        self._older, self._newer = (dict(half) for half in halves)
        self.turns += 1
