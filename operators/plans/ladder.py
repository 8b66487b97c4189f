"""The falls of a plan: what is asked next where an answer is of no use, and when."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from ...streams.models import (
    ModelCut,
    ModelError,
    ModelInvalid,
    ModelOverloaded,
    ModelProtocolError,
    ModelRefusal,
    ModelShut,
    ModelUnavailable,
)
from .types import Ask, Tier

__all__ = ["Fall", "Ladder", "Move", "Pace", "Stalled"]

FIRST_PAUSE = 0.5
"""Seconds until a server that did not answer is asked again, unless it says more; it doubles."""
SPREAD = 0.5
"""So much of a pause is added at most, that many who failed together do not ask together."""


LATEST = 20
"""So many answers of a model say how soon it answers."""
STALLED, LEAST_STALL = 3.0, 2.0
"""After so many times as long as the slowest of them took, nothing will come; seconds at least."""


class Move(StrEnum):
    """Where one goes from an answer that was of no use."""

    AGAIN = "again"
    """The same once more, after a pause; ``plans.retries`` times."""
    ONCE = "once"
    """The same once more, after a pause; and no oftener."""
    SHORTER = "shorter"
    """The next shorter prompt, at once; one time."""
    LONGER = "longer"
    """The next longer prompt, at once; one time."""


class Stalled(ModelCut):
    """Nothing came for far longer than it ever took."""


MOVES: Mapping[type[ModelError], tuple[Move, ...]] = {
    ModelOverloaded: (Move.AGAIN, Move.SHORTER),
    ModelUnavailable: (Move.ONCE,),
    ModelShut: (),
    ModelCut: (Move.SHORTER,),
    ModelProtocolError: (Move.SHORTER,),
    ModelRefusal: (Move.SHORTER,),
    ModelInvalid: (Move.LONGER,),
}
"""By what happened, the moves in the order in which they are tried; of what is not here, none."""


@dataclass(frozen=True, slots=True)
class Fall:
    """The next rung: its prompt, why, and the seconds before it is asked."""

    tier: Tier
    why: str
    pause: float = 0.0


class Pace:
    """How soon a model's first words came, of late."""

    def __init__(self) -> None:
        self._seconds: dict[str, deque[float]] = {}

    def heard(self, model: str, seconds: float) -> None:
        """An answer has begun, so long after it was asked for."""
        self._seconds.setdefault(model, deque(maxlen=LATEST)).append(seconds)

    def least(self, model: str) -> float:
        """No answer began sooner; 0 if that is not known."""
        return min(self._seconds.get(model, (0.0,)))

    def stalled(self, model: str) -> float | None:
        """After so many seconds nothing will come any more; ``None`` if that is not known."""
        seconds = self._seconds.get(model)
        return None if seconds is None else max(LEAST_STALL, STALLED * max(seconds))


class Ladder:
    """The rungs of one plan, from the prompt it begins with; below them are the rules.

    ::

        full ──► simplified ──► compact ──► (fallback or rules, at the end the safe tool)
          └─529, pause─┘ again    ▲
                      ◄──────────┘ no step can be done: the next longer, once

    What cannot be over before the deadline is not begun.

    :param tier: of the prompt that is asked first.
    :param retries: of a server that has no room.
    """

    def __init__(self, ask: Ask, tier: Tier, retries: int) -> None:
        self.tier = tier
        self._ask = ask
        self._left = {Move.AGAIN: retries, Move.ONCE: 1, Move.SHORTER: len(Tier), Move.LONGER: 1}
        self._pauses = 0

    @property
    def shorter(self) -> Tier | None:
        """The next shorter prompt."""
        tiers = [*Tier]  # the longest first
        after = tiers[tiers.index(self.tier) + 1 :]
        return after[0] if after else None

    @property
    def longer(self) -> Tier | None:
        """The next longer prompt."""
        tiers = [*Tier]
        before = tiers[: tiers.index(self.tier)]
        return before[-1] if before else None

    def fall(self, error: ModelError, left: float) -> Fall | None:
        """What is asked next; ``None`` if nothing is.

        :param error: what came of the answer, which had no step that can be done.
        :param left: seconds until the deadline.
        """
        kinds = (kind for kind in type(error).__mro__ if kind in MOVES)
        for move in MOVES.get(next(kinds, ModelError), ()):
            fall = self._by(move, error)
            if fall is not None and fall.pause < left:
                self._left[move] -= 1
                self._pauses += fall.pause > 0
                self.tier = fall.tier
                return fall
        return None

    def _by(self, move: Move, error: ModelError) -> Fall | None:
        if not self._left[move]:
            return None
        if move in (Move.AGAIN, Move.ONCE):
            return Fall(self.tier, error.kind, self._pause(error))
        tier = self.shorter if move is Move.SHORTER else self.longer
        pause = self._pause(error) if isinstance(error, ModelOverloaded) else 0.0
        return None if tier is None else Fall(tier, error.kind, pause)

    def _pause(self, error: ModelError) -> float:
        own: float = FIRST_PAUSE * 2**self._pauses
        later = getattr(error, "retry_after", None) or 0.0
        return max(later, own) + SPREAD * own * self._chance()

    def _chance(self) -> float:
        """A number from 0 to 1, the same wherever the plan is made again."""
        ask = self._ask
        said = f"{ask.agent}\0{ask.plan}\0{ask.began!r}\0{self._pauses}".encode()
        return int.from_bytes(hashlib.blake2b(said, digest_size=4).digest()) / 2**32
