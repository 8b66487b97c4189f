"""What followed what, how often, within bounds."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import Any

from .predictors import Token, frozen, token_of

__all__ = ["FULL", "NONE", "WIDTH", "Counts", "Follows", "once"]

FULL = 1 << 20
"""What a count may come to, before all of its context are halved."""

WIDTH = 64
"""The most keys after one context, where nothing else is said."""


class Counts:
    """How often each key came after one context, and how often any did.

    :ivar trust: what is known of contexts such as this, for as long as it is one of these: who
        counts here keeps it, so as not to look for it.
    :ivar circle: for whom.
    """

    __slots__ = ("circle", "keys", "total", "trust")

    def __init__(self, keys: dict[Token, int], total: int) -> None:
        self.keys = keys
        self.total = total
        self.trust: list[float] | None = None
        self.circle = 0

    @classmethod
    def of(cls, saved: Iterable[Any]) -> Counts:
        """Counts as JSON has them.

        :raises ValueError: if they are none.
        """
        keys = {token_of(key): _count(count) for key, count in saved}
        return cls(keys, sum(keys.values()))  # ints

    def more(self, key: Token, width: int = WIDTH) -> tuple[int, int, int]:
        """One more ``key``; return how many there were before, of all too, and how many keys.

        Beyond ``width`` keys what came once goes, and all else counts half. ``key`` stays.
        """
        keys = self.keys
        count, total, distinct = keys.get(key, 0), self.total, len(keys)
        keys[key] = count + 1
        self.total = total + 1
        if count >= FULL or (not count and distinct >= width):
            self.halve(key, width)
        return count, total, distinct

    def halve(self, key: Token, width: int = WIDTH) -> None:
        """What came once goes, but for ``key``, and all else counts half, until there is room."""
        keys = self.keys
        while len(keys) > width or keys[key] > FULL:
            for each, count in list(keys.items()):
                if count > 1 or each == key:
                    keys[each] = max(1, count // 2)
                else:
                    del keys[each]
            self.total = sum(keys.values())  # ints

    def greatest(self, k: int) -> list[Token]:
        """The ``k`` that came most often, most often first."""
        return sorted(self.keys, key=self.keys.__getitem__, reverse=True)[:k]


NONE = Counts({}, 0)


def once(key: Token) -> Counts:
    """Counts of the one that came."""
    return Counts({key: 1}, 1)


class Follows:
    """For each context how often each key came next.

    Each costs O(1) on average. Contexts are in two halves: those touched since the newer was begun,
    and the older ones; when the newer half is full, the older goes. Most contexts are seen once: of
    those there is but the key that came.

    :param limit: the most contexts.
    :param width: the most keys after one context.
    :ivar turns: how often the newer half has become the older.
    """

    __slots__ = ("_half", "_newer", "_older", "_width", "turns")

    def __init__(self, limit: int = 200_000, width: int = WIDTH) -> None:
        self._newer: dict[Hashable, Token | Counts] = {}
        self._older: dict[Hashable, Token | Counts] = {}
        self._half = limit // 2
        self._width = width
        self.turns = 0

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
            counts = self._touched(context)
            if counts is None:
                self._newer[context] = key
                return 0, 0, 0
        if not isinstance(counts, Counts):
            counts = self._newer[context] = once(counts)
        return counts.more(key, self._width)

    def reach(self, context: Hashable) -> Counts:
        """The counts of what came after, for who counts there; they stay until the next turn."""
        counts = self._newer.get(context)
        if counts is None:
            counts = self._touched(context)
        if not isinstance(counts, Counts):
            counts = self._newer[context] = Counts({}, 0) if counts is None else once(counts)
        return counts

    def _touched(self, context: Hashable) -> Token | Counts | None:
        """What the older half has of it, which is now in the newer."""
        counts = self._older.pop(context, None)
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
            self.turns += 1
        if counts is not None:
            self._newer[context] = counts
        return counts

    def after(self, context: Hashable) -> Counts:
        """The counts of what came after; empty where the context is new."""
        found = self._newer.get(context)
        if found is None:
            found = self._older.get(context, NONE)
        return found if isinstance(found, Counts) else once(found)

    def to_json(self) -> list[Any]:
        """The older half and the newer, each context with its counts."""
        return [
            [
                [context, [*counts.keys.items()] if isinstance(counts, Counts) else [[counts, 1]]]
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
        self.turns += 1


def _count(saved: Any) -> int:
    if isinstance(saved, int) and saved > 0:
        return saved
    raise ValueError(f"{str(saved)[:40]!r} is no count")
