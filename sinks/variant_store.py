"""The store of variants: what is ready, for how long, and when it stops being true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..errors import StateError
from .store_cold import Cold, MemoryCold
from .store_compute import Computing, Made, Make
from .store_flight import Flights
from .store_layers import Limits
from .store_near import Near, NearIndex
from .store_parts import MakeParts, Part, parts_or_made
from .store_shelves import Shelves
from .store_stats import Access, Stats, stats_of

__all__ = ["Make", "VariantStore"]

NOT_TAKEN = ("not written", "outdated", "refused", "too large")


class VariantStore(Computing):
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
    :raises StateError: outside a running event loop, if no clock is given.
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
        limits = limits or Limits()
        clock = clock or _loop_time()
        near = near or Near()
        shelves = Shelves(limits, clock, cold or MemoryCold(), session, near, by_hand)
        flights = Flights[Made](limits.computing, limits.seconds, NearIndex(near))
        super().__init__(shelves, flights, near, on_access)

    def __len__(self) -> int:
        return len(self._shelves)

    def __repr__(self) -> str:
        counts = ", ".join(f"{len(each)} {each.level}" for each in self._shelves.layers.values())
        return f"<VariantStore {self.session!r} [{counts}]>"

    async def get_or_compute_parts(
        self,
        key: str,
        names: Iterable[str],
        make: MakeParts,
        ttl: float | None = 60,
        *,
        state: Mapping[str, Any] | None = None,
        fingerprint: str = "",
        turn: str | None = None,
        value: float = 1.0,
        chain: bool = False,
    ) -> list[Part]:
        """The steps of a plan, or the trunk of a narrative and its tails, each good by itself.

        Each part depends on what it says. ``make(good, names)`` is called for those that are not
        there, or no longer true, and only for them; see
        :func:`~foretell.sinks.store_parts.parts_or_made`. Who asks for the same at once makes it
        as well. Cancelled, it keeps nothing of what was being made. The other arguments are those
        of :meth:`store`.

        :param chain: each makes sense only after the one before, as the steps of a plan.
        :raises StateError: for a part that cannot be stored.
        """
        return await parts_or_made(
            self,
            key,
            names,
            make,
            ttl,
            state=state,
            fingerprint=fingerprint,
            turn=turn,
            value=value,
            chain=chain,
        )

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
        return sum(met.get(how, 0) for how in NOT_TAKEN)  # ints

    async def flush(self) -> None:
        """Wait until a shared cache has what was stored, or has been given up."""
        await self._shelves.door.flush()

    async def aclose(self) -> None:
        """End what is being computed; those who wait for it get :class:`StoreClosed`."""
        await self._flights.aclose()


def _loop_time() -> Callable[[], float]:
    try:
        return asyncio.get_running_loop().time
    except RuntimeError:
        raise StateError(
            "a store goes by the clock of a running event loop, and none runs: make it in an async "
            "function (of a game: ask for `game.store` there), or give it a clock"
        ) from None
