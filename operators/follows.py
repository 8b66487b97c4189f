"""What followed what, how often, within bounds."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from operator import itemgetter
from typing import Any, Self

from .predictors import Token, frozen, token_of

__all__ = ["FULL", "NONE", "Counts", "Follows", "twice"]

FULL = 1 << 20
"""What a count may come to, before all of its context are halved."""


class Counts(dict[Token, int]):
    """How often each key came after one context, and how often any did."""

    __slots__ = ("total",)

    def __init__(self, counts: Iterable[tuple[Token, int]] = ()) -> None:
        super().__init__(counts)
        self.total = sum(self.values())  # ints

    @classmethod
    def of(cls, saved: Iterable[Any]) -> Self:
        """Counts as JSON has them.

        :raises ValueError: if they are none.
        """
        return cls([(token_of(key), _count(count)) for key, count in saved])

    def more(self, key: Token, width: int) -> tuple[int, int, int]:
        """One more ``key``; return how many there were before, of all too, and how many keys.

        Beyond ``width`` keys what came once goes, and all else counts half. ``key`` stays.
        """
        count, total, distinct = self.get(key, 0), self.total, len(self)
        self[key] = count + 1
        self.total = total + 1
        if count >= FULL or (not count and distinct >= width):
            self._halve(key, width)
        return count, total, distinct

    def _halve(self, key: Token, width: int) -> None:
        while len(self) > width or self[key] > FULL:
            for each, count in list(self.items()):
                if count > 1 or each == key:
                    self[each] = max(1, count // 2)
                else:
                    del self[each]
            self.total = sum(self.values())  # ints

    def greatest(self, k: int) -> list[Token]:
        """The ``k`` that came most often, most often first."""
        found = sorted(self.items(), key=itemgetter(1), reverse=True)
        return [key for key, _ in found[:k]]


NONE = Counts()


def twice(first: Token, key: Token) -> Counts:
    """Counts of two that came."""
    return Counts([(key, 2)] if first == key else [(first, 1), (key, 1)])


class Follows:
    """For each context how often each key came next.

    Each costs O(1) on average. Contexts are in two halves: those touched since the newer was begun,
    and the older ones; when the newer half is full, the older goes. Most contexts are seen once: of
    those there is but the key that came.

    :param limit: the most contexts.
    :param width: the most keys after one context.
    """

    __slots__ = ("_half", "_newer", "_older", "_width")

    def __init__(self, limit: int = 200_000, width: int = 64) -> None:
        self._newer: dict[Hashable, Token | Counts] = {}
        self._older: dict[Hashable, Token | Counts] = {}
        self._half = limit // 2
        self._width = width

    def __repr__(self) -> str:
        return f"<Follows of {len(self)} contexts>"

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def add(self, context: Hashable, key: Token) -> tuple[int, int, int]:
        """After ``context`` came ``key``.

        :return: what was known before: how often it did, how often any did, and how many did.
        """
        counts = self._newer.get(context)
        if counts is None:
            counts = self._older.pop(context, None)
            if len(self._newer) >= self._half:
                self._older, self._newer = self._newer, {}
            if counts is None:
                self._newer[context] = key
                return 0, 0, 0
            self._newer[context] = counts
        if isinstance(counts, Counts):
            return counts.more(key, self._width)
        same = counts == key
        self._newer[context] = twice(counts, key)
        return int(same), 1, 1

    def after(self, context: Hashable) -> Counts:
        """The counts of what came after; empty where the context is new."""
        found = self._newer.get(context)
        if found is None:
            found = self._older.get(context, NONE)
        return found if isinstance(found, Counts) else Counts([(found, 1)])

    def to_json(self) -> list[Any]:
        """The older half and the newer, each context with its counts."""
        return [
            [
                [context, [*counts.items()] if isinstance(counts, Counts) else [[counts, 1]]]
                for context, counts in half.items()
            ]
            for half in (self._older, self._newer)
        ]

    def restore(self, saved: Iterable[Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for counts that are none.
        """
        self._older, self._newer = (
            {frozen(context): Counts.of(counts) for context, counts in half} for half in saved
        )


def _count(saved: Any) -> int:
    if isinstance(saved, int) and saved > 0:
        return saved
    raise ValueError(f"{str(saved)[:40]!r} is no count")
