"""A layer of the store: so many entries for so long, the lowest in rank leaving first."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ..errors import ConfigError
from .store_entry import Entry, Level

__all__ = ["POLICIES", "Layer", "Limits", "Policy", "Room"]

Rank = tuple[float, ...]
Policy = Callable[[Entry], Rank]
"""What orders the entries of a layer; the least goes first. Use must not lower it."""

POLICIES: dict[str, Policy] = {
    "lru": lambda entry: (entry.seq,),
    "lfu": lambda entry: (entry.hits + entry.offered, entry.value, entry.seq),
    "ttl": lambda entry: (entry.until, entry.seq),
}
"""Least recently used; least often used or offered, then of the least value; next to expire."""


@dataclass(frozen=True, slots=True)
class Room:
    """How much a layer holds.

    :param size: entries.
    :param seconds: how long one stays that is not used.
    :param policy: ``lru``, ``lfu`` or ``ttl``.
    :raises ConfigError: for a room that nothing can be in, or another policy.
    """

    size: int
    seconds: float
    policy: str

    def __post_init__(self) -> None:
        if self.size < 1 or not self.seconds > 0 or self.policy not in POLICIES:
            raise ConfigError(
                f"{self}: a layer holds 1 or more, for more than 0 s, by {', '.join(POLICIES)}"
            )


HOT, WARM, COLD = Room(20, 300.0, "lru"), Room(50, 900.0, "lfu"), Room(100, 3600.0, "ttl")


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a store holds: so many entries a layer, each of ``largest`` bytes at most.

    :param largest: bytes one entry may have, with its key, tags and all that is said of it; a
        larger one is not taken.
    :param computing: how many computations run at a time.
    :param seconds: one of them may take.
    """

    hot: Room = HOT
    warm: Room = WARM
    cold: Room = COLD
    largest: int = 64 * 1024
    computing: int = 8
    seconds: float = 120.0


class Layer:
    """Entries of one level, never more than its room.

    What belongs to an open turn is pinned: it is let go only for what is pinned too.
    """

    def __init__(self, level: Level, room: Room) -> None:
        self.level = level
        self.room = room
        self.bytes = 0
        self.hits = 0
        self._policy = POLICIES[room.policy]
        self._entries: dict[tuple[str, str], Entry] = {}
        self._heap: list[tuple[bool, Rank, int, Entry]] = []
        self._pushed = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self._entries.values())

    def add(self, entry: Entry, now: float) -> Entry | None:
        """Take an entry in; the one that has to leave for it, if one has: maybe itself."""
        leaving = self._lowest() if len(self._entries) >= self.room.size else None
        if leaving is not None and leaving.pinned and not entry.pinned:
            self._push(leaving)
            return entry
        if leaving is not None:
            self.remove(leaving)
        entry.level = self.level
        self.stay(entry, now)
        self._entries[entry.id] = entry
        self.bytes += entry.size
        self._push(entry)
        return leaving

    def remove(self, entry: Entry) -> None:
        """Let an entry go."""
        del self._entries[entry.id]
        self.bytes -= entry.size
        if len(self._heap) > 64 + 4 * len(self._entries):
            self._heap.clear()
            for each in self._entries.values():
                self._push(each)

    def stay(self, entry: Entry, now: float) -> None:
        """Its time in the layer begins anew; it never outlasts its truth."""
        until = now + self.room.seconds
        entry.until = math.inf if entry.turn is not None else min(until, entry.expires)
        entry.rank = self._policy(entry)

    def reorder(self, entry: Entry, now: float) -> None:
        """Its rank may be lower than it was: its turn has ended, or its value has changed."""
        self.stay(entry, now)
        self._push(entry)

    def _push(self, entry: Entry) -> None:
        self._pushed += 1
        heapq.heappush(self._heap, (entry.pinned, entry.rank, self._pushed, entry))

    def _lowest(self) -> Entry:
        """The entry to let go. What was pushed long ago may rank higher now, and goes back."""
        while True:
            pinned, rank, _, entry = heapq.heappop(self._heap)
            if self._entries.get(entry.id) is not entry:
                continue
            if (pinned, rank) == (entry.pinned, entry.rank):
                return entry
            if (pinned, rank) < (entry.pinned, entry.rank):
                self._push(entry)
