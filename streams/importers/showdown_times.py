"""Pokémon Showdown: when people would have chosen, and seen what came of it.

The engine's clock is of no use: it plays a whole battle in a second.
"""

from __future__ import annotations

from random import Random

__all__ = ["EFFECT", "RESIDUAL", "WINDOWS", "Times"]

WINDOWS = {"choice": 119.0, "result": 4.9, "next": 8.4}
"""Median seconds of recorded play: from the start of a turn to the player's action (by text), from
picking what to do to its roll (on a virtual tabletop), and from one roll to the next."""
SPREAD = ((0.1, 2.8 / 4.9), (0.5, 1.0), (0.9, 10.8 / 4.9))
"""Quantiles as shares of the median: p10 and p90 of picking to roll. The other two are taken to
spread as much; of them only the medians were measured."""
EFFECT = 0.017
"""Seconds from an outcome to the state that shows it."""
RESIDUAL = 0.5
"""Seconds from there to what the end of the turn brings."""


class Times:
    """Draws from the windows, the same for the same seed on every machine."""

    def __init__(self, seed: int) -> None:
        self._random = Random(seed)

    def draw(self, window: str) -> float:
        """Seconds of one of the windows: on straight lines through its quantiles."""
        share = self._random.random()
        (low, a), (middle, b), (high, c) = SPREAD
        if share < middle:
            factor = a + (share - low) * (b - a) / (middle - low)
        else:
            factor = b + (share - middle) * (c - b) / (high - middle)
        return round(WINDOWS[window] * factor, 3)
