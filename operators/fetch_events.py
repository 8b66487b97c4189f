"""What fetching ahead tells of: what came, what did not, and what became of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import NamedTuple

from .schedule_plan import Lane

__all__ = ["Fetched", "Tell", "What"]


class What(StrEnum):
    """What happened to an item."""

    LOADED = "loaded"
    """It is in the cache."""
    TIMED_OUT = "timed out"
    """It took too long; things go on without it [1-63]."""
    RETRY = "retry"
    """It is tried again: in the background, or by itself and no more with others."""
    FAILED = "failed"
    """Its source raised, or did not give it [1-64]."""
    UNAVAILABLE = "unavailable"
    """It could not be had, and is not asked for again for a while."""
    OVERSIZE = "oversize"
    """It is so much more than was announced that it does not fit into the budget."""
    SKIPPED = "skipped"
    """The tokens were used up by what was larger than announced [1-66]."""
    CANCELLED = "cancelled"
    """Nobody needs it any more."""
    DROPPED = "dropped"
    """The queue was full of what is wanted more."""
    EXPIRED = "expired"
    """It was loaded, and nobody has used it."""
    MISSING = "missing"
    """Processing started without it, and it is P0 [1-1]."""


LEVEL: Mapping[What, str] = {
    What.TIMED_OUT: "warning",
    What.FAILED: "error",
    What.UNAVAILABLE: "error",
    What.MISSING: "error",
    What.OVERSIZE: "warning",
    What.SKIPPED: "info",
    What.DROPPED: "info",
    What.RETRY: "info",
}


class Fetched(NamedTuple):
    """Something happened to items.

    :param lane: who fetched it; ``deferred``, if it was demanded and not fetched ahead.
    :param t: seconds of the loop.
    :param tokens: what was fetched, or would have been.
    :param seconds: how long it took.
    :param why: more of it, in words.
    """

    what: What
    keys: tuple[str, ...]
    lane: Lane | None
    t: float
    tokens: int = 0
    seconds: float = 0.0
    why: str = ""

    @property
    def level(self) -> str:
        """``error``, ``warning``, ``info`` or ``debug``."""
        return LEVEL.get(self.what, "debug")


Tell = Callable[[Fetched], None]
