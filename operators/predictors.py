"""What every predictor of usage speaks: events, questions, and the protocol.

    events       ──a──b────a──c──►     observe: learn what was needed
    predict       ?─────?─────────     what is needed next, with probabilities

A key is open, a tuple of words: ``("AAPL", "price")`` for a query, ``("longsword", "goblin")`` for
what an actor does, ``("cellar",)`` for movement, ``("statblock:sea-hag",)`` for content.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, Protocol, TypeVar

__all__ = [
    "ANYONE",
    "Event",
    "Key",
    "Learner",
    "Predictor",
    "Scopes",
    "Token",
    "best",
    "frozen",
    "key_of",
    "summed",
    "token_of",
]

Key = tuple[str, ...]
"""What is needed: a tuple of words."""

Token = Any
"""What a learner finds a key by: the key, or the number an ensemble gave it, which is faster.

Each key has but one, and nothing is done with it but to compare it.
"""

K = TypeVar("K")

Scopes = tuple[str, ...]
"""Whose it is, from the one to the many: ``("goblin-2", "goblin", "foes")``.

The first is who did it; what is learned of one counts for the others of the same kind and side.
"""

ANYONE: Scopes = ()
"""Where it does not matter who asks: all events are one sequence."""


class Event(NamedTuple):
    """Something was needed: when (seconds since 1970, UTC), what, and by whom."""

    t: float
    key: Key
    scopes: Scopes = ANYONE


class Predictor(Protocol):
    """Learns from events as they come, and says what comes next.

    One event costs O(1) or O(log n), and memory is bounded. A predictor reads no clock: time comes
    with each event and each question, may jump, and may run backwards.
    """

    def observe(self, event: Event) -> None:
        """Learn that ``event.key`` was needed."""
        ...

    def predict(self, now: float, k: int, scopes: Scopes = ANYONE) -> list[tuple[Key, float]]:
        """The ``k`` most probable keys of those seen, most probable first.

        Nothing, before anything was learned. The probabilities of all keys ever seen, and that of
        one never seen, add up to 1.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """All it has learned, as plain JSON; ``restore`` of a new one of its kind takes it."""
        ...

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave.

        :raises ValueError: for what it cannot have given.
        """
        ...


class Learner(Protocol):
    """A way of predicting that an ensemble weighs. It has one voice, or several.

    A voice gives each key it is asked about the probability that it comes next, given that it is
    one of those seen before; over all of these it adds up to 1.
    """

    voices: tuple[str, ...]
    """Their names."""

    def learn(self, t: float, key: Token, scopes: Scopes) -> list[float]:
        """The probability each voice gave to the key; then learn that it came.

        For a key never seen before the figures mean nothing.
        """
        ...

    def propose(self, now: float, k: int, scopes: Scopes) -> Iterable[Token]:
        """Keys worth weighing: about ``k`` or a few times as many, among them the best ones."""
        ...

    def weigh(self, now: float, keys: Sequence[Token], scopes: Scopes) -> list[list[float]]:
        """For each voice the probability of each of these keys.

        All of them were seen before, and no two are the same.
        """
        ...

    def to_json(self) -> dict[str, Any]:
        """All it has learned, as plain JSON."""
        ...

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Go on from what :meth:`to_json` gave."""
        ...


def summed(parts: Sequence[tuple[float, Iterable[float]]], many: int) -> list[float]:
    """The sum of rows of so ``many`` figures, each times its factor, from the first to the last."""
    found = [0.0] * many
    for (a, first), (b, second) in zip(parts[::2], parts[1::2], strict=False):  # two cost less
        found = [p + a * q + b * r for p, q, r in zip(found, first, second, strict=True)]
    if len(parts) % 2:
        a, last = parts[-1]
        found = [p + a * q for p, q in zip(found, last, strict=True)]
    return found


def best(weighed: Iterable[tuple[K, float]], k: int) -> list[tuple[K, float]]:
    """The ``k`` of the greatest probability, greatest first; of equals, the one named first."""
    return sorted(weighed, key=itemgetter(1), reverse=True)[:k]


def key_of(saved: Any) -> Key:
    """A key as JSON has it.

    :raises ValueError: if it is no list of words.
    """
    if isinstance(saved, list) and all(isinstance(word, str) for word in saved):
        return tuple(saved)
    raise ValueError(f"{str(saved)[:40]!r} is no key")


def token_of(saved: Any) -> Token:
    """A key, or the number of one, as JSON has it.

    :raises ValueError: if it is neither.
    """
    return saved if isinstance(saved, int) else key_of(saved)


def frozen(saved: Any) -> Any:
    """Lists of lists as tuples of tuples, as JSON has lost them."""
    return tuple(map(frozen, saved)) if isinstance(saved, list) else saved
