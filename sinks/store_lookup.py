"""Putting variants into a store by their key, and looking them up."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ..operators.fingerprint import Dependence
from ..streams.footprint import Path
from .store_entry import FREE, Entry, Level, whole_size
from .store_flight import Flights
from .store_given import checked, dependence_of, number, packed, seconds, texts
from .store_guard import Condition
from .store_near import Near, NearKey
from .store_shelves import Shelves
from .store_stats import Access
from .store_truth import Truth, same_basis

__all__ = ["About", "Learns", "Lookups"]

log = logging.getLogger("foretell")

About = tuple[str, Any]
"""A scope and a snapshot."""

Learns = Callable[[Access, About | None], None]
"""Takes in a look-up, and what it was for if that was no key."""


class Lookups(Truth):
    """What is found by its key.

    :param on_access: told of each look-up.
    """

    on_access: Callable[[Access], None] | None
    """Told of each look-up; may be set at any time, as for a game's store."""

    def __init__(
        self,
        shelves: Shelves,
        flights: Flights[Any],
        near: Near,
        on_access: Callable[[Access], None] | None,
    ) -> None:
        super().__init__(shelves, flights)
        self.session = shelves.session
        self.near = near
        self.on_access = on_access
        self.learns: Learns | None = None
        """Told of each look-up too, and of the scope and the snapshot it was for; a game's own."""
        self._deaf = False

    def store(
        self,
        key: str,
        variants: Iterable[Any],
        ttl: float | None = 60,
        *,
        fingerprint: str = "",
        state: Mapping[str, Any] | None = None,
        depends: Dependence | Iterable[Path] = FREE,
        guard: Iterable[Condition] = (),
        tags: Iterable[str] = (),
        turn: str | None = None,
        value: float = 1.0,
        snapshot: Any = None,
        scope: str = "",
    ) -> bool:
        """Store variants under a key; what it had for this fingerprint is replaced.

        :param variants: texts, or anything JSON can say, such as plans.
        :param ttl: seconds they are good for, from the end of their turn, or from now if they
            are of none; ``None``: as long as they are kept.
        :param fingerprint: what they were made for; another one is another entry.
        :param state: the state they were made for; that last told, if none is given. What it
            says of that which they depend on is kept, and compared with the state at each serve.
        :param depends: the paths of the state they speak of.
        :param guard: what must be true of the state when they are served.
        :param tags: words to invalidate them by, such as the source they were made from.
        :param turn: the open turn they were made for: until :meth:`end_turn` they do not expire,
            and leave a full layer only for others of an open turn.
        :param value: what they are worth, any scale; of what is equally used the least goes first.
        :param snapshot: what they are found by from near states; see :meth:`get_or_compute`. The
            guard then speaks of the snapshot.
        :param scope: kinds of things whose snapshots never meet.
        :return: false if they were not taken: larger than one entry may be, or untrue already,
            for what they depend on has changed since ``state``; then what was there stays. Or all
            layers are full of what is of an open turn.
        :raises StateError: for anything that is not what it should be, such as what is no JSON
            or no list, a guard that cannot be compared, or a ``ttl`` below 0.
        """
        parts, size = packed(variants)
        ttl, guard, tags = seconds(ttl), checked(guard), texts("tags", tags)
        texts("key, fingerprint, scope and turn", (key, fingerprint, scope, turn or ""))
        value = number("a value", value)
        depends = dependence_of(depends)
        entry = Entry(
            key,
            fingerprint,
            parts,
            size,
            ttl,
            value,
            depends,
            guard,
            tags,
            self._open(turn),
            self._basis(state, depends),
            None if snapshot is None else self._near_key(snapshot, scope, fingerprint),
        )
        return self._put(entry)

    def _near_key(self, snapshot: Any, scope: str, fingerprint: str) -> NearKey:
        return self.near.key(snapshot, f"{fingerprint!r}{scope}")

    def _put(self, entry: Entry, level: Level = Level.WARM, *, write: bool = True) -> bool:
        if whole_size(entry) > self._shelves.limits.largest:
            self._tally.refused["too large"] += 1
            return False
        if self.state is not None and not same_basis(entry, self.state):
            self._tally.refused["untrue"] += 1
            return False
        self._tally.stored += 1
        unsure = entry.guard or (self.state is None and entry.basis is not None)
        entry.checked = -1 if unsure else self._revision
        self._shelves.put(entry, level, write=write)
        return self._shelves.entries.get(entry.id) is entry

    def ready(
        self, key: str, fingerprint: str = "", *, state: Mapping[str, Any] | None = None
    ) -> list[Any] | None:
        """The variants under a key, of what need not be waited for; ``None`` is a miss.

        :param state: the state to check them against, in the place of that last told.
        """
        shelves = self._shelves
        now = shelves.swept()
        entry = shelves.entries.get((key, fingerprint))
        if entry is None or not self._true(entry, state) or not shelves.at_hand(entry):
            self._missed(key, now)
            return None
        return self._served(entry, entry.level, now)

    async def get(
        self, key: str, fingerprint: str = "", *, state: Mapping[str, Any] | None = None
    ) -> list[Any] | None:
        """The variants under a key, hot, warm or cold; ``None`` is a miss. See :meth:`ready`.

        A shared cold layer is asked for what is no more, or was never, in memory here; if it
        does not answer in time, that is a miss. To cancel it leaves nothing behind.
        """
        shelves = self._shelves
        now = shelves.swept()
        entry = shelves.entries.get((key, fingerprint))
        if entry is None or not shelves.at_hand(entry):
            entry = await shelves.fetch(key, fingerprint)
            now = shelves.swept()
        if entry is None or not self._true(entry, state):
            self._missed(key, now)
            return None
        return self._served(entry, entry.level, now)

    def take(self, key: str, fingerprint: str = "") -> list[Any] | None:
        """As :meth:`ready`, but what is told once is not told again: it leaves the store.

        What is not served, for it has to be waited for or is not true at present, stays.
        """
        found = self.ready(key, fingerprint)
        if found is not None:
            self.consume(key, fingerprint)
        return found

    def consume(self, key: str, fingerprint: str = "") -> None:
        """What is under a key has been told."""
        entry = self._shelves.entries.get((key, fingerprint))
        if entry is not None:
            self._shelves.forget(entry, "consumed")
        elif self._shelves.door.shared:  # it may be there all the same
            self._shelves.door.drop(self._shelves.name(key, fingerprint))

    def missing(self, keys: Iterable[str], fingerprint: str = "") -> list[str]:
        """Those of the keys that have yet to be made. It counts as no look-up."""
        self._shelves.swept()
        keys = texts("keys", keys)
        return [key for key in keys if (key, fingerprint) not in self._shelves.entries]

    def keeps(self, key: str) -> bool:
        """Whether anything is kept under a key, whatever it was made for."""
        return bool(self._shelves.keys.of(key))

    def _served(
        self, entry: Entry, level: Level, now: float, about: About | None = None
    ) -> list[Any]:
        found = entry.variants()
        self._shelves.layers_by_name[level._value_].hits += 1
        if entry.seq:
            self._shelves.use(entry, now)
        else:  # another process's, until now
            self._put(entry, Level.HOT, write=False)
        self._heard(now, entry.key, level, about)
        return found

    def _missed(self, key: str, now: float, about: About | None = None) -> None:
        self._tally.misses += 1
        self._heard(now, key, None, about)

    def _heard(self, now: float, key: str, level: Level | None, about: About | None) -> None:
        self._tally.recent.append((now, key, level))
        if self.on_access is None and self.learns is None:
            return
        access = Access(now, key, level)
        if self.learns is not None:
            self.learns(access, about)
        try:
            if self.on_access is not None:
                self.on_access(access)
        except Exception:
            if not self._deaf:
                log.exception("store %r: a listener raised; told once", self.session)
            self._deaf = True
