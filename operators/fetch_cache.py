"""Where fetched content goes, and what could not be had."""

from __future__ import annotations

from typing import Any, Protocol

from .publish import Fault
from .schedule_items import Item

__all__ = ["Cache", "Kept", "Refused"]

REMEMBERED = 1_024


class Cache(Protocol):
    """Where what was fetched goes."""

    def __contains__(self, key: str) -> bool:
        """Whether it is there."""
        ...

    def put(self, item: Item, value: Any, tokens: int) -> None:
        """Keep it."""
        ...

    def drop(self, key: str) -> None:
        """Let it go: nobody has used it."""
        ...


class Kept:
    """A cache of which what it raises is contained, and reported."""

    def __init__(self, cache: Cache, fault: Fault) -> None:
        self._cache = cache
        self._fault = fault

    def __contains__(self, key: str) -> bool:
        try:
            return key in self._cache
        except Exception as error:
            self._fault("cache", error)
            return False

    def put(self, item: Item, value: Any, tokens: int) -> bool:
        """Keep something; whether it is kept."""
        try:
            self._cache.put(item, value, tokens)
        except Exception as error:
            self._fault("cache", error)
            return False
        return True

    def drop(self, key: str) -> None:
        """Let it go."""
        try:
            self._cache.drop(key)
        except Exception as error:
            self._fault("cache", error)


class Refused:
    """What could not be had, and is not asked for again for ``seconds``."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._until: dict[str, float] = {}

    def add(self, key: str, now: float) -> None:
        """It could not be had."""
        self._until.pop(key, None)
        if self._seconds > 0:
            self._until[key] = now + self._seconds
        if len(self._until) > REMEMBERED:
            del self._until[next(iter(self._until))]

    def forget(self, key: str) -> None:
        """It may be had again."""
        self._until.pop(key, None)

    def keys(self, now: float) -> frozenset[str]:
        """All that is not asked for at this time."""
        self._until = {key: until for key, until in self._until.items() if until > now}
        return frozenset(self._until)
