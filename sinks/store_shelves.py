"""The layers of the store together: an entry's way through them, from its first day to its last."""

from __future__ import annotations

import heapq
import logging
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator

from .store_cold import Cold, name_of, scope_of
from .store_entry import Entry, Level, recorded, restored
from .store_index import PathIndex, TagIndex
from .store_layers import Layer, Limits
from .store_near import Near, NearIndex

__all__ = ["Shelves"]

log = logging.getLogger("foretell")

HOTTEST = Level.HOT
THERE_TOO = frozenset(("changed", "invalidated", "consumed", "cleared", "garbled"))
"""Why an entry leaves a cache that others share, too. What is only too much here is good there."""


class Shelves:
    """All entries, by layer, and the indexes that find them.

    ::

        stored ─► warm ─── used ───► hot          used: what is served becomes hot, from anywhere
                   │ full, aged       │ full, aged
                   └────► cold ◄──────┘
                           │ full, aged
                           └────► gone

    :param clock: seconds.
    :param session: part of each name in the cold layer's cache.
    :param by_hand: nothing is over until :meth:`sweep_next` says so.
    """

    def __init__(
        self,
        limits: Limits,
        clock: Callable[[], float],
        door: Cold,
        session: str,
        near: Near,
        by_hand: bool = False,
    ) -> None:
        self.limits = limits
        self.session = session
        self.scope = scope_of(session)
        self.clock = clock
        self.door = door
        self.layers = {
            Level.HOT: Layer(Level.HOT, limits.hot),
            Level.WARM: Layer(Level.WARM, limits.warm),
            Level.COLD: Layer(Level.COLD, limits.cold),
        }
        self.layers_by_name = {level.value: layer for level, layer in self.layers.items()}
        self._hot = self.layers[Level.HOT]
        self.entries: dict[tuple[str, str], Entry] = {}
        self.paths: PathIndex[Entry] = PathIndex()
        self.keys: TagIndex[Entry] = TagIndex()
        self.tags: TagIndex[Entry] = TagIndex()
        self.near: NearIndex[Entry] = NearIndex(near)
        self.gone: Counter[str] = Counter()
        self._by_hand = by_hand
        self._due: list[tuple[float, int, int, Entry]] = []
        self._seq = 0

    def __len__(self) -> int:
        return len(self.entries)

    def __iter__(self) -> Iterator[Entry]:
        return iter(self.entries.values())

    def put(self, entry: Entry, level: Level = Level.WARM, *, write: bool = True) -> None:
        """Take an entry in. One that is there already is replaced, and its layer is kept."""
        now = self.swept()
        before = self.entries.get(entry.id)
        if before is not None:
            level = level if before.level is Level.COLD else before.level
            entry.hits, entry.offered = before.hits, before.offered + 1
            self.forget(before, "replaced")
        entry.stored = now
        self._expire_from(entry, now)
        if write and self.door.shared:
            self.write(entry)
        entry.seq = self._next()
        self.entries[entry.id] = entry
        self.paths.add(entry, entry.depends.paths)
        self.keys.add(entry, (entry.key,))
        self.tags.add(entry, entry.tags)
        self.near.add(entry)
        self._enter(entry, level, now)

    def use(self, entry: Entry, now: float) -> None:
        """An entry is served: it is hot now."""
        entry.hits += 1
        self._seq += 1
        entry.seq = self._seq
        if entry.level is HOTTEST:
            self._hot.stay(entry, now)
        else:
            self.layers[entry.level].remove(entry)
            if entry.level is Level.COLD and not self.door.shared:
                self.door.drop(self.name(*entry.id))  # it may leave from elsewhere
            self._enter(entry, Level.HOT, now)

    def unpin(self, turn: str) -> None:
        """The time of what was made for a turn begins."""
        now = self.swept()
        for entry in [each for each in self if each.turn == turn]:
            entry.turn = None
            self._expire_from(entry, now)
            self.layers[entry.level].reorder(entry, now)
            self._wait_for(entry)
            if self.door.shared:
                self.write(entry)

    def swept(self) -> float:
        """Let go what is over by now, in the order of time; the time."""
        now = self.clock()
        if not self._by_hand:
            while self._due and self._due[0][0] <= now:
                self._over(heapq.heappop(self._due))
        return now

    def next_due(self) -> float | None:
        """When the next entry expires or leaves its layer."""
        while self._due:
            when, *_, entry = self._due[0]
            if self.entries.get(entry.id) is entry and entry.until == when:
                return when
            self._over(heapq.heappop(self._due))
        return None

    def sweep_next(self) -> None:
        """The time of :meth:`next_due` has come."""
        until = self.next_due()
        while until is not None and (when := self.next_due()) is not None and when <= until:
            self._over(heapq.heappop(self._due))

    def _over(self, due: tuple[float, int, int, Entry]) -> None:
        when, seq, _, entry = due
        if self.entries.get(entry.id) is not entry:
            return
        if (when, seq) != (entry.until, entry.seq):
            if when <= entry.until:  # it was used since, if only in the same moment
                self._wait_for(entry)
        elif entry.expires <= when or entry.level is Level.COLD:
            self.forget(entry, "expired")
        else:
            self.gone["aged"] += 1
            self.layers[entry.level].remove(entry)
            self._enter(entry, Level.COLD, when)

    def forget(self, entry: Entry, reason: str) -> None:
        """Let an entry go."""
        self.layers[entry.level].remove(entry)
        self._left(entry, reason)

    def forget_all(self, entries: Iterable[Entry], reason: str) -> int:
        """Let entries go; how many."""
        found = list(entries)
        for entry in found:
            self.forget(entry, reason)
        return len(found)

    # What the cold layer's cache holds.

    def write(self, entry: Entry) -> None:
        """Write an entry into the cold layer's cache, if its texts are here."""
        if entry.parts is not None:
            seconds = min(entry.expires - self.clock(), self.limits.cold.seconds)
            self.door.keep(
                self.name(*entry.id), recorded(entry), seconds, lambda: self._written(entry)
            )

    def _written(self, entry: Entry) -> None:
        """The cold layer's cache has an entry: of what is cold, its texts need not be here too.

        But of an open turn, which may be open for longer than a server keeps what is cold.
        """
        here = self.entries.get(entry.id) is entry and entry.parts is not None
        endless = entry.pinned and self.door.shared
        if here and entry.level is Level.COLD and not endless:
            entry.mark = entry.digest()
            entry.parts = None

    def at_hand(self, entry: Entry) -> bool:
        """Whether its texts are here; from a cache in memory they are fetched."""
        if entry.parts is None:
            found = restored(self.door.at_hand(self.name(*entry.id)), *entry.id)
            if found is not None and found.digest() == entry.mark:
                entry.parts = found.parts
            elif not self.door.shared:
                self.forget(entry, "lost")
        return entry.parts is not None

    async def fetch(self, key: str, fingerprint: str) -> Entry | None:
        """An entry from a shared cache: of ours, its texts; or another process's, not yet put.

        What is no entry, or not that one, is dropped there and counted. Ours is replaced by
        another one under its name: what ours is true for says nothing of other texts.
        """
        if not self.door.shared:
            return None
        name = self.name(key, fingerprint)
        record = await self.door.fetch(name)
        found = restored(record, key, fingerprint)
        if record is not None and found is None:
            self.gone["garbled"] += 1
            self.door.drop(name)
        ours = self.entries.get((key, fingerprint))
        if ours is None:
            return found
        if ours.parts is None:
            if found is None:
                if self.door.answers:
                    self.forget(ours, "lost")
            elif found.digest() == ours.mark:
                ours.parts = found.parts
            else:
                self.forget(ours, "replaced")
                return found
        return ours if ours.parts is not None else None

    def name(self, key: str, fingerprint: str) -> str:
        """What an entry is called in a shared cache."""
        return name_of(self.scope, self.session, key, fingerprint)

    # An entry's way.

    def _enter(self, entry: Entry, level: Level, now: float) -> None:
        """Put an entry into a layer; what has to leave for it becomes history, or is gone."""
        leaving = self.layers[level].add(entry, now)
        if leaving is not entry:
            self._wait_for(entry)
            if level is Level.COLD:
                self.write(entry)  # a server may have lost it, or not have been there
        if leaving is None:
            return
        log.debug("store %r: %s is full: %r leaves it", self.session, level, leaving.key)
        if level is Level.COLD:
            self._left(leaving, "dropped")
        else:
            self.gone["full"] += 1
            self._enter(leaving, Level.COLD, now)

    def _left(self, entry: Entry, reason: str) -> None:
        del self.entries[entry.id]
        self.paths.discard(entry, entry.depends.paths)
        self.keys.discard(entry, (entry.key,))
        self.tags.discard(entry, entry.tags)
        self.near.discard(entry)
        if reason in THERE_TOO if self.door.shared else entry.level is Level.COLD:
            self.door.drop(self.name(*entry.id))
        self.gone[reason] += 1

    def _expire_from(self, entry: Entry, now: float) -> None:
        endless = entry.pinned or entry.ttl is None
        entry.expires = math.inf if endless else now + (entry.ttl or 0)

    def _wait_for(self, entry: Entry) -> None:
        if entry.until == math.inf:
            return
        if len(self._due) > 64 + 4 * len(self.entries):
            self._due = [
                (each.until, each.seq, self._next(), each)
                for each in self
                if each.until < math.inf and each is not entry
            ]
            heapq.heapify(self._due)
        heapq.heappush(self._due, (entry.until, entry.seq, self._next(), entry))

    def _next(self) -> int:
        self._seq += 1
        return self._seq
