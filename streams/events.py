"""What a game tells Foretell: the inputs of a session, one type for each kind of the log.

All are immutable. ``t`` is in seconds since the session's start, on the session's clock.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "Action",
    "Delivered",
    "End",
    "Input",
    "Need",
    "Odds",
    "Outcome",
    "Patch",
    "Result",
    "Retell",
    "Rewind",
    "Rolled",
    "Say",
    "State",
    "Turn",
    "TurnEnd",
]

Json = Any
Odds = Mapping[str, Any]
"""Probability per result, ``{"hit": 0.6, "miss": 0.4}``; or one such mapping per target."""

Rolled = str | Mapping[str, Any]
"""A result, ``"hit"`` or ``{"result": "hit", "damage": 9}``; or one of them per target."""


@dataclass(frozen=True, slots=True)
class State:
    """A full snapshot of the game; ``because`` names the action it is an effect of, if any."""

    t: float
    state: Mapping[str, Json]
    because: str | None = None


@dataclass(frozen=True, slots=True)
class Patch:
    """A change of the last snapshot, as RFC 6902 operations."""

    t: float
    patch: Sequence[Mapping[str, Json]]
    because: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    """An actor's turn begins; ``options`` are the actions it may take, where the game knows."""

    t: float
    turn: str
    actor: str
    options: Sequence[Mapping[str, Json]] = ()
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Action:
    """An action is declared; its result is not known yet.

    A later one with the same id changes it; one whose ``action`` is ``None`` takes it back.
    ``odds`` are the probabilities of its results, where the rules know them; ``rolled`` is the
    result itself (or one per target), where the game rolls ahead: its word, or an object with it
    as ``result`` and, where that is rolled too, the ``damage``. ``to`` names the viewers who may
    know of it; empty means all.
    """

    t: float
    action_id: str
    turn: str | None
    actor: str
    action: Mapping[str, Json] | None
    odds: Odds | None = None
    rolled: Rolled | None = None
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """What happened to one target.

    ``result`` is ``hit``, ``miss``, ``critical``, ``success``, ``failure``, or the game's own word.
    """

    result: str
    target: str | None = None
    values: Mapping[str, Json] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What really happened, per target. ``to`` names the viewers who may know; empty means all."""

    t: float
    results: tuple[Result, ...]
    action_id: str | None = None
    turn: str | None = None
    actor: str | None = None
    action: Mapping[str, Json] | None = None
    to: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """A turn is over."""

    t: float
    turn: str


@dataclass(frozen=True, slots=True)
class Need:
    """Content that was needed now, such as ``statblock:sea-hag``."""

    t: float
    resource: str


@dataclass(frozen=True, slots=True)
class Say:
    """What someone at the table said or typed.

    ``typing``: it is not said yet; this is all there is of it so far, and takes the place of what
    this speaker was typing before. An empty text takes it back.
    """

    t: float
    speaker: str
    text: str
    typing: bool = False


@dataclass(frozen=True, slots=True)
class Rewind:
    """Go back to a time (seconds) or a revision: undo, or a save that was loaded."""

    t: float
    to: float | int


@dataclass(frozen=True, slots=True)
class Retell:
    """Tell an action's outcome again, differently."""

    t: float
    action_id: str


@dataclass(frozen=True, slots=True)
class Delivered:
    """How far a viewer has come in a telling: ``upto`` characters of its text."""

    t: float
    telling: str
    viewer: str
    upto: int


@dataclass(frozen=True, slots=True)
class End:
    """The session is over."""

    t: float


Input = (
    State
    | Patch
    | Turn
    | Action
    | Outcome
    | TurnEnd
    | Need
    | Say
    | Rewind
    | Retell
    | Delivered
    | End
)
