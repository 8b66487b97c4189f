"""One of what is offered: how likely each is, where an ensemble has seen some of it before."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .predict_ensemble import Ensemble
from .predictors import Key, Scopes, best

__all__ = ["Rate", "chosen"]

FADING = 0.98


class Rate:
    """How often something was so, of late.

    :param so: of how many ``times``, to begin with.
    """

    __slots__ = ("_so", "_times")

    def __init__(self, so: float, times: float) -> None:
        self._so, self._times = so, times

    def note(self, so: bool) -> None:
        """Once more, or once not."""
        self._so = self._so * FADING + so
        self._times = self._times * FADING + 1.0

    def note_of(self, came: Key, offered: Sequence[Key], known: Ensemble, scopes: Scopes) -> None:
        """Once more: was what came new, where something new was offered, and something known?"""
        found = known.weigh(0.0, offered, scopes)
        if came in offered and any(found) and not all(found):
            self.note(not found[offered.index(came)])

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self._so / self._times


def chosen(
    ensemble: Ensemble, newness: Rate, offered: Sequence[Key], scopes: Scopes
) -> list[tuple[Key, float]]:
    """The probability of each of what is offered, given that one of it comes; greatest first.

    What nobody has done yet shares how often, of what was offered, something new was chosen. (By
    itself an ensemble would give it all that is ever new, of which most was not offered.)
    """
    if len(offered) == 1:
        return [(offered[0], 1.0)]
    found = ensemble.weigh(0.0, offered, scopes)
    known, fresh = math.fsum(found), found.count(0.0)
    new = newness.share if known and fresh else 1.0
    chosen = [(1.0 - new * (fresh > 0)) * p / known if p else new / fresh for p in found]
    return best(zip(offered, chosen, strict=True), len(offered))
