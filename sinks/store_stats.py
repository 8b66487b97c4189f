"""What the store of variants has done, in numbers."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from .store_entry import Level

if TYPE_CHECKING:
    from .store_shelves import Shelves

__all__ = ["Access", "LayerStats", "Stats", "Tally", "stats_of"]

REMEMBERED = 256


class Access(NamedTuple):
    """Somebody asked for a key: when (seconds of the loop), and where it was found, if it was."""

    t: float
    key: str
    level: Level | None


@dataclass(slots=True)
class Tally:
    """Counts as they come; a store has one, and :class:`Stats` is made of it."""

    misses: int = 0
    stored: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    rebased: int = 0
    near_lookups: int = 0
    near_hits: int = 0
    near_mismatches: int = 0
    computed: int = 0
    joined: int = 0
    failed: int = 0
    recent: deque[tuple[float, str, Level | None]] = field(
        default_factory=lambda: deque(maxlen=REMEMBERED)
    )


@dataclass(frozen=True, slots=True)
class LayerStats:
    """A layer: how full it is, what it served, and the age of its oldest and newest (seconds)."""

    entries: int
    size: int
    bytes: int
    pinned: int
    hits: int
    oldest: float | None
    newest: float | None


@dataclass(frozen=True, slots=True)
class Stats:
    """A store at one moment.

    :param session: whose it is.
    :param layers: hot, warm and cold.
    :param misses: look-ups that found nothing to serve.
    :param refused: entries not taken in, or not served, by reason: ``too large``, ``untrue``.
    :param evictions: entries that went to the cold layer (from a ``full`` one, or not used for
        so long that they ``aged``), and that left for good: ``dropped`` from a full cold layer,
        ``expired``, ``changed`` (the state), ``invalidated``, ``replaced``, ``consumed``,
        ``cleared``, ``garbled`` or ``lost`` in a shared cache, or ``overtaken`` by what another
        process has invalidated.
    :param near: similarity look-ups, hits, and mismatches: candidates that did not fit, or were a
        little too far away.
    :param flights: computations made, joined by others while under way, and failed.
    :param cold: what the cold layer's cache has met: errors by kind, and whether it answers.
    """

    session: str
    layers: Mapping[str, LayerStats]
    misses: int
    stored: int
    rebased: int
    refused: Mapping[str, int]
    evictions: Mapping[str, int]
    near: Mapping[str, int]
    flights: Mapping[str, int]
    cold: Mapping[str, Any]

    @property
    def hits(self) -> int:
        """Look-ups that were served."""
        return sum(layer.hits for layer in self.layers.values())  # ints

    def hit_rate(self) -> float:
        """Hits by look-ups; 0 before the first."""
        asked = self.hits + self.misses
        return self.hits / asked if asked else 0.0

    def as_json(self) -> dict[str, Any]:
        """As one JSON object."""
        return {**asdict(self), "hits": self.hits, "hit_rate": round(self.hit_rate(), 4)}


def stats_of(shelves: Shelves, tally: Tally) -> Stats:
    """The statistics of a store."""
    now = shelves.clock()
    return Stats(
        shelves.session,
        {
            level.value: LayerStats(
                len(layer),
                layer.room.size,
                layer.bytes,
                len([entry for entry in layer if entry.pinned]),
                layer.hits,
                max((now - entry.stored for entry in layer), default=None),
                min((now - entry.stored for entry in layer), default=None),
            )
            for level, layer in shelves.layers.items()
        },
        tally.misses,
        tally.stored,
        tally.rebased,
        dict(tally.refused),
        dict(shelves.gone),
        {
            "lookups": tally.near_lookups,
            "hits": tally.near_hits,
            "mismatches": tally.near_mismatches,
        },
        {"computed": tally.computed, "joined": tally.joined, "failed": tally.failed},
        shelves.door.described(),
    )
