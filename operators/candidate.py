"""What may come next, as it is thought at one moment, and how well that was thought."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ..streams.events import Odds, Rolled
from ..streams.world import Declared, World
from .heard import Said
from .predictors import Key

__all__ = ["Candidate", "Foreseen", "Mark", "Shares", "declared_in"]

Shares = Mapping[Key, float]
"""Probabilities that come to 1."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action that may be resolved next, and why it is thought so.

    ``probability``: that it is what comes next; of a declared one, that it comes. ``urgency``: how
    soon it is expected, from 0, some time in this turn, to 1, at once: a declared action has 1, one
    that is spoken of how surely it is named.
    """

    declared: Declared
    probability: float
    source: str
    odds: Odds | None = None
    rolled: Rolled | None = None
    urgency: float = 0.0


def declared_in(world: World) -> list[Candidate]:
    """The actions that are declared, and have not come to their outcome."""
    return [
        Candidate(each, 1.0, "declared", each.event.odds, each.event.rolled, urgency=1.0)
        for each in world.actions.values()
        if each.event is not None and not each.resolved
    ]


class Mark(NamedTuple):
    """How well it was foreseen what somebody did.

    ``t``: when it was declared, or happened; ``place``: among the candidates, from 1, or 0.
    ``habit``, ``likely``: the probability of the thing, whomever it was done to, among what its
    actor could do in its turn, by habit alone and with what was said; 0 where it was not offered.
    ``sort``: what sort of words there were, ``named``: when they named it first, if they named it
    and nothing else more surely.
    """

    t: float
    actor: str
    action: Mapping[str, Any]
    place: int
    habit: float
    likely: float
    sort: str
    named: float | None


@dataclass(slots=True)
class Foreseen:
    """What was thought at one moment, to be marked by what comes.

    Of the actor in turn: ``habit`` and ``word``, how likely each thing is by habit alone and by
    what was ``said`` alone, words of this ``sort``; ``aims``, for each thing whose target was
    named, the sort of these words, and the two as well. ``outside``: what others speak of doing.
    ``open``: what the place or the talk has open, and to whom, in this ``context``.
    """

    candidates: list[Candidate] = field(default_factory=list)
    said: Said | None = None
    sort: str = ""
    habit: Shares = field(default_factory=dict)
    word: Shares = field(default_factory=dict)
    aims: dict[Key, tuple[str, Shares, Shares]] = field(default_factory=dict)
    outside: list[tuple[str, Key]] = field(default_factory=list)
    context: str = ""
    open: set[tuple[str, Key]] = field(default_factory=set)
