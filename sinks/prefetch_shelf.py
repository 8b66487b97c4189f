"""The store of variants as the place of what is fetched ahead, and what its use tells."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errors import ForetellError
from .store_stats import Access

if TYPE_CHECKING:
    from ..operators.schedule_items import Item
    from .variant_store import VariantStore

__all__ = ["Habits", "Shelf"]

LATELY = 300.0
MOST = 1_000
"""So many keys are remembered, those used last."""


class Shelf:
    """The cache of an executor: a store of variants [1-21, 1-37].

    :param ttl: seconds content is good for, from the end of its turn if it is for one.
    """

    def __init__(self, store: VariantStore, ttl: float | None = None) -> None:
        self._store = store
        self._ttl = ttl

    def __contains__(self, key: str) -> bool:
        return not self._store.missing([key])

    def put(self, item: Item, value: Any, tokens: int) -> None:
        """Keep content, by its kind as a tag.

        :raises ForetellError: if the store does not take it.
        """
        tags = (f"kind:{item.kind}",)
        worth = item.confidence
        if not self._store.store(
            item.key, [value], self._ttl, turn=item.turn, value=worth, tags=tags
        ):
            raise ForetellError(f"{item.key[:60]!r} is more than an entry may be, or untrue")

    def drop(self, key: str) -> None:
        """Let it go."""
        self._store.consume(key)


class Habits:
    """What was used of late, and how often today, learned from each look-up.

    :param day: names the day of a time.
    """

    def __init__(
        self, day: Callable[[float], str] = lambda t: f"day {int(t // 86_400) + 1}"
    ) -> None:
        self._day = day
        self._today = ""
        self._last: dict[str, float] = {}
        self._uses: dict[str, int] = {}

    def on_access(self, access: Access) -> None:
        """Somebody has asked for a key."""
        self.used(access.key, access.t)

    def used(self, key: str, t: float) -> None:
        """A key was needed, at a time in seconds."""
        self._turn_page(t)
        self._last.pop(key, None)
        self._last[key] = t
        self._uses[key] = self._uses.get(key, 0) + 1
        if len(self._last) > MOST:
            seldom = next(iter(self._last))
            del self._last[seldom]
            self._uses.pop(seldom, None)

    def accessed(self, now: float) -> dict[str, float]:
        """How many seconds ago each key was used, if that was in the last five minutes."""
        found: dict[str, float] = {}
        for key, t in reversed(self._last.items()):
            if now - t > LATELY:
                break
            found[key] = max(0.0, now - t)
        return found

    def used_today(self, now: float) -> dict[str, int]:
        """How often each key was used today."""
        self._turn_page(now)
        return dict(self._uses)

    def _turn_page(self, t: float) -> None:
        if (day := self._day(t)) != self._today:
            self._today = day
            self._uses.clear()
