"""What the narrator has only so much of: slots, requests and tokens a minute, a prompt cache."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass
from hashlib import blake2b

from .wire import Ask

__all__ = ["Bucket", "CachePlan", "PromptCache", "Slots"]

CACHE_SECONDS = 300.0
"""How long a cached prefix is kept after its last use."""

_CACHED_PREFIXES = 4096


class Slots:
    """A fixed number of places, given out in the order they were asked for.

    A waiter that is cancelled leaves the line; a place it had just been given is passed on.
    """

    def __init__(self, count: int) -> None:
        self._free = count
        self._line: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """How many stand in line."""
        return len(self._line)

    async def __aenter__(self) -> None:
        if self._free > 0 and not self._line:
            self._free -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(place)
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled():
                self._give_back()
            elif place in self._line:  # else it was passed over, being cancelled already
                self._line.remove(place)
            raise

    async def __aexit__(self, *exc: object) -> None:
        self._give_back()

    def _give_back(self) -> None:
        while self._line:
            place = self._line.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._free += 1


class Bucket:
    """A rate limit per minute: a bucket of that size, filled evenly. ``None`` is no limit."""

    def __init__(self, per_minute: int | None) -> None:
        self._size = per_minute
        self._level = float(per_minute or 0)
        self._at = 0.0

    def _fill(self, now: float) -> None:
        if self._size is not None:
            self._level = min(self._size, self._level + (now - self._at) * self._size / 60)
            self._at = now

    def wait(self, now: float, amount: float) -> float:
        """Seconds until ``amount`` can be taken; one that is too large may empty a full bucket."""
        if self._size is None:
            return 0.0
        self._fill(now)
        return max(0.0, (min(amount, self._size) - self._level) * 60 / self._size)

    def take(self, now: float, amount: float) -> None:
        """Take ``amount``; the level may go below zero."""
        if self._size is not None:
            self._fill(now)
            self._level -= amount


@dataclass(frozen=True, slots=True)
class CachePlan:
    """How a prompt meets the cache: its tokens, and the keys to keep once it is read."""

    input: int
    read: int
    write: int
    keys: tuple[bytes, ...]


class PromptCache:
    """Prefixes that breakpoints asked to keep, for five minutes from their last use."""

    def __init__(self) -> None:
        self._until: OrderedDict[bytes, float] = OrderedDict()

    def plan(self, ask: Ask, now: float, least: int) -> tuple[bytes, CachePlan]:
        """The prompt's digest, and what the cache does for it; nothing is kept yet."""
        hashed = blake2b(ask.model.encode("utf-8", "replace"), digest_size=16)
        length = read = marked = 0
        keys: list[bytes] = []
        ends: list[tuple[bytes, int]] = []
        for segment in ask.segments:
            hashed.update(b"\x00" + segment.text.encode("utf-8", "replace"))
            length += len(segment.text)
            ends.append((hashed.copy().digest(), length))
            if segment.cache and (length + 3) // 4 >= max(1, least):
                keys = [key for key, _ in ends]
                marked = (length + 3) // 4
        for key, end in ends[: len(keys)]:
            if self._until.get(key, 0.0) > now and (end + 3) // 4 >= least:
                read = (end + 3) // 4
        total = (length + 3) // 4
        return hashed.digest(), CachePlan(total - marked, read, marked - read, tuple(keys))

    def store(self, plan: CachePlan, now: float) -> None:
        """Keep the prefixes of a prompt that has been read."""
        for key in plan.keys:
            self._until[key] = now + CACHE_SECONDS
            self._until.move_to_end(key)
        while len(self._until) > _CACHED_PREFIXES:
            self._until.popitem(last=False)
