"""Several ways of predicting at once, each weighed by how well it has predicted so far.

    events      ──a────b────a────c──►
    learners      each gives the key a probability, then learns
    weights       of each voice × that probability; a little is shared out anew
    predict     ─────?────?────?────►   the weighted mean of what all voices say

The mixture's log loss is within a constant of the best voice's in every stretch of events
(Herbster and Warmuth 1998, fixed share): no choice has to be made beforehand, and none is final.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from itertools import islice
from operator import mul
from typing import Any

from .hours import HOUR_WEIGHTS
from .novelty import Novelty
from .predict_hour import Hourly
from .predict_markov import Markov
from .predict_recency import Recency
from .predictors import ANYONE, Event, Key, Learner, Scopes, Token, best, summed

__all__ = ["Ensemble", "reweighed", "standard"]

SHARE = 0.05
"""How much of each voice's weight is shared out evenly after each event."""

STEADY = 0.02
"""The same, where it is as good on games, and habits of the hour are told as likely as they are."""


class Ensemble:
    """A mixture of learners, weighed online by log loss: a :class:`~.predictors.Predictor`.

    Weights are kept apart by how much is known of the actor: recency is worth little for one that
    has done nothing yet. What no one has done yet has a probability of its own
    (:meth:`novelty`), and those of all keys seen, with it, add up to 1.

    :param learners: at least one; with one of one voice, it is that, with novelty.
    :param share: how much of each voice's weight is shared out evenly after each event: the less,
        the longer it takes until another is heard.
    """

    def __init__(
        self, learners: Sequence[Learner], limit: int = 200_000, share: float = SHARE
    ) -> None:
        self.learners = tuple(learners)
        self.voices = tuple(name for learner in self.learners for name in learner.voices)
        self._novelty = Novelty(limit)
        self._weights: dict[int, list[float]] = {}
        self._shared = share

    def __repr__(self) -> str:
        return f"<Ensemble of {', '.join(self.voices)}>"

    def observe(self, event: Event) -> None:
        """Learn that ``event.key`` was needed, and by whom it had been expected."""
        t, key, scopes = event
        number, known, standing = self._novelty.learn(key, scopes)
        given: list[float] = []
        for learner in self.learners:
            given += learner.learn(t, number, scopes)
        if known and len(given) > 1:
            weights = self._weights.get(standing) or self._of(standing)
            self._weights[standing] = reweighed(weights, given, self._shared)

    def predict(self, now: float, k: int, scopes: Scopes = ANYONE) -> list[tuple[Key, float]]:
        """The ``k`` most probable of the keys seen, most probable first; for ``k`` below 1 none."""
        if k < 1:
            return []
        key_of = self._novelty.known.key
        proposed: dict[Token, None] = {}
        for learner in self.learners:
            proposed.update(dict.fromkeys(learner.propose(now, k, scopes)))
        numbers = [*proposed]
        weighed = zip(numbers, self._weigh(now, numbers, scopes), strict=True)
        named = ((key_of(number), p) for number, p in best(weighed, len(numbers)))
        return [*islice(((key, p) for key, p in named if key is not None), k)]

    def weigh(self, now: float, keys: Sequence[Key], scopes: Scopes = ANYONE) -> list[float]:
        """The probability of each of these keys to come next; 0 for one never seen."""
        numbers = [self._novelty.known.of(key) for key in keys]
        known = [*dict.fromkeys(each for each in numbers if each is not None)]
        found = dict(zip(known, self._weigh(now, known, scopes), strict=True))
        return [0.0 if each is None else found[each] for each in numbers]

    def _weigh(self, now: float, numbers: Sequence[int], scopes: Scopes) -> list[float]:
        """What the voices give to keys together."""
        left = 1.0 - self._novelty.probability(scopes)
        weights = self.weights(scopes)
        heard = [each for one in self.learners for each in one.weigh(now, numbers, scopes)]
        parts = [(weight * left, each) for weight, each in zip(weights, heard, strict=True)]
        return summed(parts, len(numbers))

    def probability(self, event: Event) -> float:
        """The probability of this event to come next; for a key never seen, that of any such."""
        found = self.weigh(event.t, [event.key], event.scopes)[0]
        return found or self._novelty.probability(event.scopes)

    def choose(
        self, now: float, options: Sequence[Key], scopes: Scopes = ANYONE
    ) -> list[tuple[Key, float]]:
        """The probability of each option, given that one of them it is, most probable first.

        What was never seen before shares the probability of something new.
        """
        found = self.weigh(now, options, scopes)
        fresh = [key for key in options if key not in self._novelty.known]
        new = self._novelty.probability(scopes) / max(1, len(fresh))
        raw = [p or new for p in found]
        whole = 0.0
        for p in raw:
            whole += p
        return best(((key, p / whole) for key, p in zip(options, raw, strict=True)), len(options))

    def knows(self, key: Key) -> bool:
        """Whether this key was ever seen."""
        return key in self._novelty.known

    def novelty(self, scopes: Scopes = ANYONE) -> float:
        """The probability that the next key is one never seen before."""
        return self._novelty.probability(scopes)

    def weights(self, scopes: Scopes = ANYONE) -> list[float]:
        """What each voice counts for such an actor; they add up to 1."""
        return list(self._of(self._novelty.standing(scopes)))

    def _of(self, standing: int) -> list[float]:
        """A standing not met yet begins as the nearest one below."""
        weights = self._weights
        while standing not in weights and standing > 0:
            standing -= 1
        return weights.get(standing) or [1.0 / len(self.voices)] * len(self.voices)

    def to_json(self) -> dict[str, Any]:
        """All it has learned."""
        return {
            "voices": self.voices,
            "novelty": self._novelty.to_json(),
            "weights": [*self._weights.items()],
            "learners": [learner.to_json() for learner in self.learners],
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what other learners have learned, or nothing of the sort.
        """
        try:
            self._restore(saved)
        except (LookupError, TypeError, AttributeError, OverflowError) as error:
            raise ValueError(f"it was not saved of an ensemble: {error!r:.100}") from None

    def _restore(self, saved: Mapping[str, Any]) -> None:
        if tuple(saved["voices"]) != self.voices:
            raise ValueError(f"it was saved of {', '.join(map(str, saved['voices']))[:100]}")
        weights = {int(n): [float(each) for each in row] for n, row in saved["weights"]}
        for row in weights.values():
            if len(row) != len(self.voices) or not all(0.0 <= each <= 1.0 for each in row):
                raise ValueError(f"{str(row)[:100]} are no weights of its voices")
        self._novelty.restore(saved["novelty"])
        self._weights = weights
        for learner, each in zip(self.learners, saved["learners"], strict=True):
            learner.restore(each)


def standard(zone: tzinfo = UTC, weights: Mapping[str, float] = HOUR_WEIGHTS) -> Ensemble:
    """The ensemble that was best on recorded games: see ``docs/prediction.md``.

    :param zone: whose hours and weekdays.
    :param weights: of periods of hours, in the document's formula.
    :raises ValueError: for periods or weights that are none.
    """
    return Ensemble([Hourly(zone, weights), Recency(), Markov()], share=STEADY)


def reweighed(
    weights: Sequence[float], given: Sequence[float], share: float = SHARE
) -> list[float]:
    """Weights after one more event, to which each voice had ``given`` so much; they come to 1."""
    grown = [*map(mul, weights, given)]
    whole = 0.0
    for each in grown:
        whole += each
    if not whole > 0.0:
        return list(weights)
    even, scale = share / len(grown), (1.0 - share) / whole
    return [each * scale + even for each in grown]
