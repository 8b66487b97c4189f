"""One of what is offered: how likely each is, where an ensemble has seen some of it before."""

from __future__ import annotations

import math
from collections.abc import Sequence

from .predict_ensemble import Ensemble
from .predictors import Key, Scopes

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

    def note_of(self, came: Key, offered: Sequence[Key], known: Ensemble) -> None:
        """Once more: was what came new, where something new was offered, and something known?"""
        seen = [each for each in offered if known.knows(each)]
        if came in offered and 0 < len(seen) < len(offered):
            self.note(came not in seen)

    @property
    def share(self) -> float:
        """From 0 to 1."""
        return self._so / self._times


def chosen(
    ensemble: Ensemble, newness: Rate, offered: Sequence[Key], scopes: Scopes
) -> dict[Key, float]:
    """The probability of each of what is offered, given that one of it comes.

    What nobody has done yet shares how often, of what was offered, something new was chosen. (By
    itself an ensemble would give it all that is ever new, of which most was not offered.)
    """
    if len(offered) == 1:
        return {offered[0]: 1.0}
    seen = [each for each in offered if ensemble.knows(each)]
    found = ensemble.weigh(0.0, seen, scopes) if seen else []
    known, fresh = math.fsum(found), len(offered) - len(seen)
    if not known:
        return dict.fromkeys(offered, 1.0 / max(1, len(offered)))
    new = newness.share if fresh else 0.0
    likely = dict.fromkeys(offered, new / max(1, fresh))
    likely.update((key, (1.0 - new) * p / known) for key, p in zip(seen, found, strict=True))
    return likely
