"""What followed what, how often, within bounds."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .predictors import Key, frozen, key_of

__all__ = ["NONE", "Context", "Counts", "Follows"]

Context = tuple[Any, ...]
"""What came before: words, and keys."""

FULL = 1 << 20
"""What a count may come to, before all of its context are halved."""


class Counts(dict[Key, int]):
    """How often each key came after one context, and how often any did."""

    __slots__ = ("total",)

    def __init__(self, counts: Iterable[tuple[Key, int]] = ()) -> None:
        super().__init__(counts)
        self.total = sum(self.values())  # ints

    def more(self, key: Key, width: int) -> None:
        """One more ``key``. Beyond ``width`` keys what came once goes, and all else counts half.

        ``key`` stays.
        """
        count = self.get(key, 0) + 1
        self[key] = count
        self.total += 1
        while len(self) > width or count > FULL:
            for each, count in list(self.items()):
                if count > 1 or each == key:
                    self[each] = max(1, count // 2)
                else:
                    del self[each]
            self.total = sum(self.values())  # ints
            count = self[key]

    def greatest(self, k: int) -> list[Key]:
        """The ``k`` that came most often, most often first."""
        return sorted(self, key=self.__getitem__, reverse=True)[:k]


NONE = Counts()


class Follows:
    """For each context how often each key came next.

    Each costs O(1) on average. Contexts are in two halves: those touched since the newer was begun,
    and the older ones; when the newer half is full, the older goes.

    :param limit: the most contexts.
    :param width: the most keys after one context.
    """

    __slots__ = ("_half", "_newer", "_older", "width")

    def __init__(self, limit: int = 200_000, width: int = 64) -> None:
        self._newer: dict[Context, Counts] = {}
        self._older: dict[Context, Counts] = {}
        self._half = limit // 2
        self.width = width

    def __repr__(self) -> str:
        return f"<Follows of {len(self)} contexts>"

    def __len__(self) -> int:
        return len(self._newer) + len(self._older)

    def add(self, context: Context, key: Key) -> None:
        """After ``context`` came ``key``."""
        counts = self.touch(context)
        if counts is None:
            self.begin(context, key)
        else:
            counts.more(key, self.width)

    def touch(self, context: Context) -> Counts | None:
        """The counts of what came after, if any did; it is to be remembered for longer."""
        counts = self._newer.get(context)
        if counts is not None:
            return counts
        counts = self._older.pop(context, None)
        if len(self._newer) >= self._half:
            self._older, self._newer = self._newer, {}
        if counts is not None:
            self._newer[context] = counts
        return counts

    def begin(self, context: Context, key: Key) -> None:
        """After ``context``, which :meth:`touch` did not find, came ``key``."""
        self._newer[context] = Counts([(key, 1)])

    def after(self, context: Context) -> Counts:
        """The counts of what came after; empty where the context is new."""
        return self._newer.get(context) or self._older.get(context) or NONE

    def to_json(self) -> list[Any]:
        """The older half and the newer, each context with its counts."""
        return [
            [[context, [*counts.items()]] for context, counts in half.items()]
            for half in (self._older, self._newer)
        ]

    def restore(self, saved: Iterable[Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for counts that are none.
        """
        self._older, self._newer = (
            {
                frozen(context): Counts([(key_of(key), _count(count)) for key, count in counts])
                for context, counts in half
            }
            for half in saved
        )


def _count(saved: Any) -> int:
    if isinstance(saved, int) and saved > 0:
        return saved
    raise ValueError(f"{str(saved)[:40]!r} is no count")
