"""Variants for a state or one near it: found, or computed once for all who ask."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from copy import deepcopy
from inspect import isawaitable
from typing import Any, NamedTuple

import orjson

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.footprint import Path
from .store_entry import FREE, Entry, Level
from .store_flight import Flight, Flights
from .store_given import checked, dependence_of, finite, packed, seconds, texts
from .store_guard import Condition, met_by
from .store_lookup import About, Lookups
from .store_near import NearKey
from .store_values import refilled

__all__ = ["Computing", "Made", "Make"]

Make = Callable[[Any], Awaitable[list[Any]] | list[Any]]
"""Computes the variants for a snapshot."""


class Made(NamedTuple):
    """What was computed, and what must be true of a snapshot for it to be served."""

    variants: list[Any]
    guard: tuple[Condition, ...]


class Computing(Lookups):
    """What is found by its state, and computed if it is not."""

    _flights: Flights[Made]

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
        ahead: bool = False,
    ) -> list[Any]:
        """The variants for a snapshot or one near it; computed, if there are none.

        Of all who ask for the same at once, one ``make(snapshot)`` is called. It belongs to the
        store: a caller that is cancelled cancels nobody else, and what is computed is kept even
        if nobody waits any more; but what has yet to begin ends with the last who waits. What it
        raises goes to all who wait, and is not kept. What is invalidated, or cleared, while it is
        computed goes to those who wait already, and is not kept either. The other arguments are
        those of :meth:`store`.

        :param snapshot: the part of the state that matters; any JSON but ``null``. What is
            computed is for it as it is now: ``make`` has a copy, and it may be altered meanwhile.
        :param values: fills ``{name}`` in what is served, so that what was made for a near state
            has the numbers of this one; see :func:`~foretell.sinks.store_values.refilled`.
        :param ahead: nobody has asked for it yet, as in a warm-up: it counts as no look-up, and
            what is there already stays in its layer.
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
        about = (scope, snapshot)
        found, there = self._found_near(key, about, ahead)
        if found is None:
            snapshot = _copy(snapshot)
            about = (scope, snapshot)
            name = self.name_of(snapshot, scope)
            made = None
            while made is None:
                joined = self._flights.under_way(key, lambda flight: met_by(flight.guard, snapshot))
                if joined is None:
                    break
                self._tally.joined += 1
                self._missed_unless(ahead, name, about)
                made = await self._flights.end_of(joined)
                if not met_by(made.guard, snapshot):  # another process's, with a guard of its own
                    self._tally.near_mismatches += 1
                    made = None
            if made is None:
                guarded = checked(guard)
                words = (name, *texts("tags", tags))
                texts("fingerprint, scope and turn", (fingerprint, scope, turn or ""))
                ttl = seconds(ttl)
                about_it = dependence_of(depends)
                flight = Flight[Made](key, words, guarded, about_it, self._open(turn))

                async def computed(flight: Flight[Made]) -> Made:
                    ours = await self._elsewhere(flight, there or (name, fingerprint), about, ahead)
                    if ours is None:
                        self._missed_unless(ahead, name, about)
                        variants = await self._computed(flight, snapshot, make, ttl, fingerprint)
                        ours = Made(variants, flight.guard)
                    return ours

                made = await self._flights.end_of(self._flights.start(flight, computed))
            found = orjson.loads(orjson.dumps(made.variants))
        filled: list[Any] = refilled(found, values)
        return filled

    def near_ready(
        self, snapshot: Any, *, scope: str = "", fingerprint: str = ""
    ) -> list[Any] | None:
        """What is at hand for a near state; ``None`` is a miss. Nothing is made or waited for.

        The arguments are those of :meth:`get_or_compute`.

        :raises StateError: for a snapshot that is no JSON.
        """
        about = (scope, snapshot)
        found, _ = self._found_near(self._near_key(snapshot, scope, fingerprint), about, False)
        if found is None:
            self._missed(self.name_of(snapshot, scope), self._shelves.clock(), about)
        return found

    @staticmethod
    def name_of(snapshot: Any, scope: str = "") -> str:
        """The key under which :meth:`get_or_compute` stores what is for a snapshot."""
        raw = orjson.dumps((scope, snapshot), dict, orjson.OPT_SORT_KEYS)
        if not finite(snapshot, raw):  # of which orjson makes null
            raw = json.dumps((scope, snapshot), sort_keys=True, default=repr).encode()
        return f"near:{hashlib.blake2b(raw, digest_size=16).hexdigest()}"

    def _found_near(
        self, key: NearKey, about: About, ahead: bool
    ) -> tuple[list[Any] | None, tuple[str, str] | None]:
        """What is at hand for a near state; else what is known to lie in a shared cache for one."""
        now, tally = self._shelves.swept(), self._tally
        found, there = None, None
        search = self._shelves.near.search(key)
        for entry in search:
            if not self._true(entry, None, about[1]):
                tally.near_mismatches += 1
            elif not self._shelves.at_hand(entry):
                there = there or entry.id
            else:
                found = entry
                break
        if not ahead:
            tally.near_lookups += 1
            tally.near_mismatches += search.others
        if found is None:
            return None, there
        if ahead:
            return found.variants(), None
        tally.near_hits += 1
        return self._served(found, found.level, now, about), None

    def _missed_unless(self, ahead: bool, name: str, about: About) -> None:
        if not ahead:
            self._missed(name, self._shelves.clock(), about)

    async def _elsewhere(
        self, flight: Flight[Made], where: tuple[str, str], about: About, ahead: bool
    ) -> Made | None:
        """What a shared cache has under a key and a fingerprint, if it is good for a snapshot."""
        found = await self._shelves.fetch(*where)
        if found is None or not flight.good or not self._true(found, None, about[1]):
            return None
        if not found.seq and found.key != flight.words[0]:  # who knows for which snapshot
            return None
        found.near = found.near or flight.near
        guard = found.guard
        if not ahead:
            self._tally.near_hits += 1
            now = self._shelves.swept()
            return Made(self._served(found, Level.COLD, now, about), guard)
        variants = found.variants()
        if not found.seq:
            self._put(found, write=False)
        return Made(variants, guard)

    async def _computed(
        self,
        flight: Flight[Made],
        snapshot: Any,
        make: Make,
        ttl: float | None,
        fingerprint: str,
    ) -> list[Any]:
        self._tally.computed += 1
        try:
            made = make(snapshot)
            variants = await made if isawaitable(made) else made
            parts, size = packed(variants)
            name, *tags = flight.words
            entry = Entry(
                name,
                fingerprint,
                parts,
                size,
                ttl,
                depends=flight.depends,
                guard=flight.guard,
                tags=tuple(tags),
                turn=flight.turn,
                basis=self._basis(None, flight.depends),
                near=flight.near,
            )
            found = entry.variants()
            if flight.good:
                self._put(entry)
        except BaseException:
            self._tally.failed += 1
            raise
        return found


def _copy(snapshot: Any) -> Any:
    """A snapshot that nobody else alters."""
    try:
        return deepcopy(snapshot)
    except Exception:  # a view of what cannot be copied, such as of a live game; but it is JSON
        return orjson.loads(orjson.dumps(snapshot, dict))
