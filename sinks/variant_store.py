"""The store of variants: what is ready, for how long, and when it stops being true."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from inspect import isawaitable
from typing import Any, NamedTuple

import orjson

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.footprint import Path
from .store_cold import Cold, MemoryCold
from .store_entry import FREE, Level
from .store_flight import Flight, Flights
from .store_given import checked, dependence_of, packed, seconds, texts
from .store_guard import Condition, met_by
from .store_layers import Limits
from .store_lookup import Lookups
from .store_near import Near, NearIndex, NearKey
from .store_shelves import Shelves
from .store_stats import Access, Stats, stats_of
from .store_values import refilled

__all__ = ["Make", "VariantStore"]

Make = Callable[[Any], Awaitable[list[Any]] | list[Any]]
"""Computes the variants for a snapshot."""


class _Made(NamedTuple):
    """What was computed, and what must be true of a snapshot for it to be served."""

    variants: list[Any]
    guard: tuple[Condition, ...]


class VariantStore(Lookups):
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

    _flights: Flights[_Made]

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
        limits = limits or Limits()
        clock = clock or asyncio.get_running_loop().time
        near = near or Near()
        shelves = Shelves(limits, clock, cold or MemoryCold(), session, near, by_hand)
        flights = Flights[_Made](limits.computing, limits.seconds, NearIndex(near))
        super().__init__(shelves, flights, near, on_access)

    def __len__(self) -> int:
        return len(self._shelves)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(each)} {each.level}" for each in self._shelves.layers.values())
        return f"<VariantStore {self.session!r} [{counts}]>"

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
        if values is not None and not isinstance(values, Mapping):
            raise StateError(f"values are names and what stands for them, not {values!r}")
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
                guarded = checked(guard)
                words = (self.name_of(snapshot, scope), *texts("tags", tags))
                seconds(ttl)
                flight = Flight[_Made](key, words, guarded, dependence_of(depends), turn)

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

    # ── what it has done ──────────────────────────────────────────────────────────────────────

    def next_due(self) -> float | None:
        """When the next entry expires or leaves its layer, in seconds of the clock."""
        return self._shelves.next_due()

    def sweep_next(self) -> None:
        """That time has come; for a store that is swept by hand."""
        self._shelves.sweep_next()

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
