"""An outcome that is reported twice, by a game that tries again or by two of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from .events import Action, Input, Outcome, Rewind

__all__ = ["Repeats"]

T = TypeVar("T")

WITHIN = 1.0
"""Seconds in which an equal outcome of the same action is taken for the same one."""


class Repeats(Generic[T]):
    """The outcomes of the last second, by action, and what was given back for each.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._latest: dict[str, tuple[float, Outcome, T]] = {}

    def of(self, said: Outcome, t: float) -> T | None:
        """What was given back for the same outcome before, if it was within a second.

        It is the same if it is of the same action, for the same viewers, and has equal results,
        values and all. One that names no action is never the same.
        """
        if said.action_id is None or (known := self._latest.get(said.action_id)) is None:
            return None
        then, before, given = known
        same = replace(said, t=before.t, turn=before.turn) == before
        return given if same and t - then <= WITHIN else None

    def note(self, said: Input, t: float, given: T | None = None) -> None:
        """Something is said; for an outcome, what is given back for it.

        An action that is declared anew, or taken back, may come to the same outcome again; so may
        everything after a rewind.
        """
        match said:
            case Outcome(action_id=str(name)) if given is not None:
                self._latest.pop(name, None)
                while self._latest and t - next(iter(self._latest.values()))[0] > WITHIN:
                    del self._latest[next(iter(self._latest))]
                self._latest[name] = t, said, given
            case Action(action_id=name):
                self._latest.pop(name, None)
            case Rewind():
                self._latest.clear()
