"""The store of variants: what is ready, for how long, and when it stops being true."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from inspect import isawaitable
from typing import Any, NamedTuple

import orjson

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.footprint import Path, changed_paths, covers
from ..streams.world import Change
from .store_cold import Cold, MemoryCold
from .store_entry import FREE, Basis, Entry, Level, basis_of, checked, packed
from .store_flight import Flight, Flights
from .store_guard import Condition, met_by
from .store_near import Near, NearIndex, NearKey
from .store_shelves import Limits, Shelves
from .store_stats import Access, Stats, Tally, stats_of
from .store_values import refilled

__all__ = ["Make", "VariantStore"]

log = logging.getLogger("foretell")

Make = Callable[[Any], Awaitable[list[Any]] | list[Any]]
"""Computes the variants for a snapshot."""


class _Made(NamedTuple):
    """What was computed, and what must be true of a snapshot for it to be served."""

    variants: list[Any]
    guard: tuple[Condition, ...]


class VariantStore:
    """Variants by key, in three layers: hot, warm and cold.

    What is stored is *warm*: predicted, and not yet used. What is served becomes *hot*. What
    has to leave either, or was not used for that layer's time, goes to the *cold* layer, and
    from there it is dropped. A full layer lets its lowest entry go: the least recently used of
    the hot; of the warm the one least often stored, then of the least value; of the cold the
    next to expire. A key's entries are apart by fingerprint: to ask for another one is a miss.

    All is done at once but what a shared cold layer is asked: :meth:`get` waits for that, a
    bounded time, and :meth:`ready` does without. Not for several threads.

    :param limits: how much it holds.
    :param clock: seconds; the running loop's, if none is given.
    :param cold: the cache behind the cold layer; ``aiocache`` in memory, if none is given. Who
        made it closes it.
    :param session: whose it is; part of each name in a shared cache.
    :param near: what counts as near, for :meth:`get_or_compute`.
    :param on_access: told of each look-up; a predictor learns from it.
    :param by_hand: time passes for the entries only when :meth:`sweep_next` is called, so that a
        replay can say when.
    """

    def __init__(
        self,
        limits: Limits | None = None,
        *,
        clock: Callable[[], float] | None = None,
        cold: Cold | None = None,
        session: str = "",
        near: Near | None = None,
        on_access: Callable[[Access], None] | None = None,
        by_hand: bool = False,
    ) -> None:
        self.session = session
        self.near = near or Near()
        self.state: Mapping[str, Any] | None = None
        """The state as last told by :meth:`changed`; each serve is checked against it."""
        limits = limits or Limits()
        clock = clock or asyncio.get_running_loop().time
        self._shelves = Shelves(limits, clock, cold or MemoryCold(), session, self.near, by_hand)
        flying = NearIndex[Flight[_Made]](self.near)
        self._flights: Flights[_Made] = Flights(limits.computing, limits.seconds, flying)
        self._tally = Tally()
        self._on_access = on_access
        self._deaf = False
        self._revision = 0

    def __len__(self) -> int:
        return len(self._shelves)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(each)} {each.level}" for each in self._shelves.layers.values())
        return f"<VariantStore {self.session!r} [{counts}]>"

    # ── putting in ────────────────────────────────────────────────────────────────────────────

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
            and are the last to leave a full layer.
        :param value: what they are worth, any scale; of what is equally used the least goes first.
        :param snapshot: what they are found by from near states; see :meth:`get_or_compute`. The
            guard then speaks of the snapshot.
        :param scope: kinds of things whose snapshots never meet.
        :return: false if they were not taken: larger than one entry may be, or untrue already,
            for what they depend on has changed since ``state``.
        :raises StateError: for what is no JSON or no list, a guard that cannot be compared, or a
            ``ttl`` below 0.
        """
        parts, size = packed(variants)
        if ttl is not None and not ttl >= 0:
            raise StateError(f"a ttl of {ttl!r} is no time")
        guard = checked(guard)
        depends = _dependence(depends)
        entry = Entry(
            key,
            fingerprint,
            parts,
            size,
            ttl,
            value,
            depends,
            guard,
            tuple(tags),
            turn,
            self._basis(state, depends),
            None if snapshot is None else self._near_key(snapshot, scope, fingerprint),
        )
        return self._put(entry)

    def _basis(self, state: Mapping[str, Any] | None, depends: Dependence) -> Basis | None:
        if state is None:
            return None if self.state is None else basis_of(self.state, depends)
        return basis_of(orjson.loads(orjson.dumps(state)), depends)

    def _near_key(self, snapshot: Any, scope: str, fingerprint: str) -> NearKey:
        return self.near.key(snapshot, f"{fingerprint}\0{scope}" if fingerprint else scope)

    def _put(self, entry: Entry, level: Level = Level.WARM, *, write: bool = True) -> bool:
        if entry.size > self._shelves.limits.largest:
            self._tally.refused["too large"] += 1
            return False
        if self.state is not None and not _same_basis(entry, self.state):
            self._tally.refused["untrue"] += 1
            return False
        self._tally.stored += 1
        unsure = entry.guard or (self.state is None and entry.basis is not None)
        entry.checked = -1 if unsure else self._revision
        self._shelves.put(entry, level, write=write)
        return True

    def end_turn(self, turn: str) -> None:
        """A turn is over: the time of what was made for it begins, and it can be let go."""
        self._shelves.unpin(turn)
        for flight in self._flights:
            if flight.turn == turn:
                flight.turn = None

    # ── looking up ────────────────────────────────────────────────────────────────────────────

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
        """As :meth:`ready`, but what is told once is not told again: it leaves the store."""
        found = self.ready(key, fingerprint)
        self.consume(key, fingerprint)
        return found

    def consume(self, key: str, fingerprint: str = "") -> None:
        """What is under a key has been told."""
        entry = self._shelves.entries.get((key, fingerprint))
        if entry is not None:
            self._shelves.forget(entry, "consumed")

    def missing(self, keys: Iterable[str], fingerprint: str = "") -> list[str]:
        """Those of the keys that have yet to be made. It counts as no look-up."""
        self._shelves.swept()
        return [key for key in keys if (key, fingerprint) not in self._shelves.entries]

    async def get_or_compute(
        self,
        snapshot: Any,
        make: Make,
        *,
        scope: str = "",
        values: Mapping[str, Any] | None = None,
        ttl: float | None = 60,
        fingerprint: str = "",
        depends: Dependence | Iterable[Path] = FREE,
        guard: Iterable[Condition] = (),
        tags: Iterable[str] = (),
        turn: str | None = None,
    ) -> list[Any]:
        """The variants for a snapshot or one near it; computed, if there are none.

        Of all who ask for the same at once, one ``make(snapshot)`` is called. It belongs to the
        store: a caller that is cancelled cancels nobody else, and what is computed is kept even
        if nobody waits any more. What it raises goes to all who wait, and is not kept. What is
        invalidated, or cleared, while it is computed goes to those who wait already, and is not
        kept either. The other arguments are those of :meth:`store`.

        :param snapshot: the part of the state that matters; any JSON but ``null``.
        :param values: fills ``{name}`` in what is served, so that what was made for a near state
            has the numbers of this one; see :func:`~foretell.sinks.store_values.refilled`.
        :raises StateError: for a snapshot, or variants, that are no JSON.
        :raises StoreClosed: if the store is closed meanwhile.
        :raises TimeoutError: if it takes longer than the limits allow.
        :raises ComputeError: if it cancels itself, or asks for itself.
        """
        if snapshot is None:
            raise StateError("a snapshot of nothing has no key")
        key = self._near_key(snapshot, scope, fingerprint)
        found = self._found_near(key, snapshot)
        if found is None:
            joined = self._flights.under_way(key, lambda flight: met_by(flight.guard, snapshot))
            made = None
            if joined is not None:
                self._tally.joined += 1
                made = await asyncio.shield(joined)
                if not met_by(made.guard, snapshot):  # another process's, with a guard of its own
                    self._tally.near_mismatches += 1
                    made = None
            if made is None:
                name, guarded, tagged = self.name_of(snapshot, scope), checked(guard), tuple(tags)
                words = (name, *tagged)
                flight = Flight[_Made](key, words, guarded, _dependence(depends), turn)

                async def computed(flight: Flight[_Made]) -> _Made:
                    ours = await self._elsewhere(flight, fingerprint, snapshot)
                    if ours is None:
                        variants = await self._computed(
                            flight, snapshot, make, scope=scope, ttl=ttl, fingerprint=fingerprint
                        )
                        ours = _Made(variants, flight.guard)
                    return ours

                made = await asyncio.shield(self._flights.start(flight, computed))
            found = orjson.loads(orjson.dumps(made.variants))
        filled: list[Any] = refilled(found, values)
        return filled

    @staticmethod
    def name_of(snapshot: Any, scope: str = "") -> str:
        """The key under which :meth:`get_or_compute` stores what is for a snapshot."""
        raw = orjson.dumps((scope, snapshot), option=orjson.OPT_SORT_KEYS)
        return f"near:{hashlib.blake2b(raw, digest_size=16).hexdigest()}"

    def _found_near(self, key: NearKey, snapshot: Any) -> list[Any] | None:
        now, tally = self._shelves.swept(), self._tally
        tally.near_lookups += 1
        candidates, others = self._shelves.near.search(key)
        tally.near_mismatches += others
        for entry in candidates:
            if self._true(entry, None, snapshot) and self._shelves.at_hand(entry):
                tally.near_hits += 1
                return self._served(entry, entry.level, now)
            tally.near_mismatches += 1
        self._missed(f"near:{key.exact:016x}", now)
        return None

    async def _elsewhere(
        self, flight: Flight[_Made], fingerprint: str, snapshot: Any
    ) -> _Made | None:
        """What another process has stored for this very snapshot."""
        found = await self._shelves.fetch(flight.words[0], fingerprint)
        if found is None or not flight.good or not self._true(found, None, snapshot):
            return None
        found.near = found.near or flight.near
        guard = found.guard
        return _Made(self._served(found, Level.COLD, self._shelves.swept()), guard)

    async def _computed(
        self, flight: Flight[_Made], snapshot: Any, make: Make, **entry: Any
    ) -> list[Any]:
        self._tally.computed += 1
        try:
            made = make(snapshot)
            variants = await made if isawaitable(made) else made
            packed(variants)
            if flight.good:
                name, *tags = flight.words
                self.store(
                    name,
                    variants,
                    depends=flight.depends,
                    guard=flight.guard,
                    tags=tags,
                    turn=flight.turn,
                    snapshot=snapshot,
                    **entry,
                )
        except BaseException:
            self._tally.failed += 1
            raise
        return variants

    # ── what is true ──────────────────────────────────────────────────────────────────────────

    def changed(
        self,
        state: Mapping[str, Any],
        changes: Iterable[Change] | None = None,
        *,
        expected: bool = False,
    ) -> int:
        """The state is another now; how many entries that concerns.

        :param state: as it is now; not to be altered by the caller afterwards.
        :param changes: where it differs, each with the key of the action named as its reason;
            found by comparison, if not given.
        :param expected: then what depends on it stays good, for the state as it is now.
            Otherwise what depends on it is dropped.
        """
        if changes is None:
            known = {} if self.state is None else self.state
            changes = [(path, None) for path in changed_paths(known, state)]
        changes = tuple(changes)
        self._shelves.swept()
        self.state = state
        self._revision += 1
        found: dict[Entry, None] = {}
        for change in changes:
            touched = self._shelves.paths.touched(change[0])
            found |= {entry: None for entry in touched if entry.depends.on(change)}
        if not expected:
            given_up = self._flights.give_up(lambda flight: any(map(flight.depends.on, changes)))
            return self._shelves.forget_all(found, "changed") + given_up
        for entry in found:
            if entry.basis is not None:
                entry.basis = basis_of(state, entry.depends)
                self._tally.rebased += 1
                if self._shelves.door.shared:
                    self._shelves.write(entry)
        return len(found)

    def invalidate(self, pattern: str) -> int:
        """Drop what has a key or a tag that a glob pattern fits; how many that were.

        A name with no ``*``, ``?`` or ``[`` in it is looked up, and anything else compared with
        each: so what is often invalidated, such as a content source, is best a tag.
        """
        shelves = self._shelves
        shelves.swept()
        fitting = [*shelves.keys.fitting(pattern), *shelves.tags.fitting(pattern)]
        given_up = self._flights.give_up(
            lambda flight: any(
                word == pattern or fnmatchcase(word, pattern) for word in flight.words
            )
        )
        return shelves.forget_all(dict.fromkeys(fitting), "invalidated") + given_up

    def invalidate_path(self, *path: str) -> int:
        """Drop what depends on a path of the state, on what it lies in, or on what is inside."""
        self._shelves.swept()
        given_up = self._flights.give_up(
            lambda flight: any(covers(a, path) or covers(path, a) for a in flight.depends.paths)
        )
        touched = self._shelves.paths.touched(path)
        return self._shelves.forget_all(touched, "invalidated") + given_up

    def end_session(self) -> None:
        """The session is over: what is hot is dropped; the rest stays its time."""
        shelves = self._shelves
        shelves.swept()
        shelves.forget_all(shelves.layers[Level.HOT], "ended")
        for turn in {entry.turn: None for entry in shelves if entry.turn is not None}:
            shelves.unpin(turn)

    def next_due(self) -> float | None:
        """When the next entry expires or leaves its layer, in seconds of the clock."""
        return self._shelves.next_due()

    def sweep_next(self) -> None:
        """That time has come; for a store that is swept by hand."""
        self._shelves.sweep_next()

    def clear(self) -> None:
        """Drop all there is, and keep nothing of what is being computed."""
        self._flights.give_up(lambda flight: True)
        self._shelves.forget_all(self._shelves, "cleared")

    def stats(self) -> Stats:
        """What it holds, and what it has done."""
        self._shelves.swept()
        return stats_of(self._shelves, self._tally)

    metrics = stats

    def name_in_cache(self, key: str, fingerprint: str) -> str:
        """What an entry is called in a shared cache."""
        return self._shelves.name(key, fingerprint)

    @property
    def recent(self) -> Sequence[Access]:
        """The last look-ups, the latest at the end."""
        return [Access(*each) for each in self._tally.recent]

    @property
    def shared(self) -> bool:
        """Whether there is a cold layer that other processes share."""
        return self._shelves.door.shared

    @property
    def lost(self) -> int:
        """How many entries a shared cache did not take, and will not be asked to again."""
        met = self._shelves.door.described().get("met", {})
        return sum(met.get(how, 0) for how in ("not written", "refused", "too large"))  # ints

    async def flush(self) -> None:
        """Wait until a shared cache has what was stored, or has been given up."""
        await self._shelves.door.flush()

    async def aclose(self) -> None:
        """End what is being computed; those who wait for it get :class:`StoreClosed`."""
        await self._flights.aclose()

    # ── inside ────────────────────────────────────────────────────────────────────────────────

    def _true(self, entry: Entry, state: Mapping[str, Any] | None, snapshot: Any = None) -> bool:
        """Whether an entry may be served now: it is not, if too little is known to say so."""
        by_state = snapshot is None and entry.near is None
        if by_state and state is None and entry.checked == self._revision:
            return True
        known = self.state if state is None else state
        about = known if by_state else state if snapshot is None else snapshot
        same = entry.basis is None or (known is not None and _same_basis(entry, known))
        good = same and met_by(entry.guard, about)
        if by_state and state is None:
            entry.checked = self._revision if good else -1
        if not good:
            self._tally.refused["untrue"] += 1
        return good

    def _served(self, entry: Entry, level: Level, now: float) -> list[Any]:
        found = entry.variants()
        self._shelves.layers_by_name[level._value_].hits += 1
        if entry.seq:
            self._shelves.use(entry, now)
        else:  # another process's, until now
            self._put(entry, Level.HOT, write=False)
        self._heard(now, entry.key, level)
        return found

    def _missed(self, key: str, now: float) -> None:
        self._tally.misses += 1
        self._heard(now, key, None)

    def _heard(self, now: float, key: str, level: Level | None) -> None:
        self._tally.recent.append((now, key, level))
        if self._on_access is None:
            return
        try:
            self._on_access(Access(now, key, level))
        except Exception:
            if not self._deaf:
                log.exception("store %r: a listener raised; told once", self.session)
            self._deaf = True


def _dependence(depends: Dependence | Iterable[Path]) -> Dependence:
    if isinstance(depends, Dependence):
        return depends
    return Dependence(tuple(tuple(path) for path in depends), (), "", ())


def _same_basis(entry: Entry, state: Mapping[str, Any]) -> bool:
    return entry.basis is None or entry.basis == basis_of(state, entry.depends)
