"""Which keys were seen, within bounds."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .predictors import Token, token_of

__all__ = ["Seen"]


class Seen:
    """The keys seen of late. They are in two halves: when the newer is full, the older goes.

    :param limit: the most keys.
    :ivar many: how many there are.
    :ivar newer: those in the newer half, for which there is nothing to do when they come.
    """

    __slots__ = ("_half", "_older", "many", "newer")

    def __init__(self, limit: int) -> None:
        self.newer: dict[Token, None] = {}
        self._older: dict[Token, Any] = {}
        self._half = max(1, limit // 2)
        self.many = 0

    def __repr__(self) -> str:
        return f"<Seen {len(self)} keys>"

    def __len__(self) -> int:
        return self.many

    def __contains__(self, key: object) -> bool:
        return key in self.newer or key in self._older

    def __iter__(self) -> Iterator[Token]:
        yield from self._older
        yield from self.newer

    def add(self, key: Token) -> bool:
        """Whether the key was seen before; from now on it is."""
        if key in self.newer:
            return True
        known = self._older.pop(key, self) is None
        if len(self.newer) >= self._half:
            self._older, self.newer = self.newer, {}
        self.newer[key] = None
        self.many = len(self.newer) + len(self._older)
        return known

    def to_json(self) -> list[Any]:
        """The older half, and the newer."""
        return [[*self._older], [*self.newer]]

    def restore(self, saved: Iterable[Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for keys that are none.
        """
        self._older, self.newer = (dict.fromkeys(map(token_of, half)) for half in saved)
        self.many = len(self.newer) + len(self._older)
