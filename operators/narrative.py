"""What viewers receive: the events of a telling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from .partials import Patch

__all__ = ["Ended", "Narrative", "Patched", "Served", "Started", "Status"]


class Served(StrEnum):
    """Where a telling came from.

    ``hit``: complete before the outcome. ``in_flight``: started before it, not complete, or chosen
    for it by the small model. ``miss``: nothing fitting had been started. ``failed``: fallback
    text. ``superseded``: ended by the overlap policy before its first text.
    """

    HIT = "hit"
    IN_FLIGHT = "in_flight"
    MISS = "miss"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Status(StrEnum):
    """How a telling ended."""

    DONE = "done"
    SUPERSEDED = "superseded"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Started:
    """A telling begins.

    ``outcomes`` are the input numbers it tells of; ``to`` are its viewers (all, if empty).
    A retelling has the number of the input that asked for it, and ``retells`` is the telling in
    whose place it stands. It comes a second time, with fewer outcomes, right before the end of a
    telling whose deadline leaves the others time: they are told next, in one of their own.
    """

    telling: str
    outcomes: tuple[int, ...]
    to: tuple[str, ...]
    t: float
    retells: str | None = None


@dataclass(frozen=True, slots=True)
class Patched:
    """A telling grows: ``patches`` to its value, and ``text``, what that adds to its text."""

    telling: str
    patches: Sequence[Patch]
    text: str
    to: tuple[str, ...]
    t: float


@dataclass(frozen=True, slots=True)
class Ended:
    """A telling is over. ``value`` is all there is of it, as plain JSON; ``text`` its whole text.

    ``served`` and ``latency`` stand in the order of ``outcomes``: where each came from, and the
    seconds from the outcome to the first text written for it (``None`` if there was none). ``lead``
    is how many seconds before the outcome the speculation it was served from had begun.

    With status ``failed``, ``error`` is one line on what went wrong, ``kind`` its stable word,
    and ``fallback`` plain text that is true, already part of ``text``. ``retells`` is as in
    :class:`Started`.
    """

    telling: str
    outcomes: tuple[int, ...]
    to: tuple[str, ...]
    t: float
    status: Status
    served: tuple[Served, ...]
    latency: tuple[float | None, ...]
    lead: tuple[float | None, ...]
    value: Mapping[str, Any]
    text: str
    error: str | None = None
    kind: str | None = None
    fallback: str = ""
    retells: str | None = None


Narrative = Started | Patched | Ended
