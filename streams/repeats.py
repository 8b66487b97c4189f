"""An outcome that is reported twice, by a game that tries again or by two of its parts."""

from __future__ import annotations

from dataclasses import replace
from typing import Generic, TypeVar

from .events import Action, Input, Outcome, Patch, Rewind, State

__all__ = ["WITHIN", "Repeats"]

T = TypeVar("T")

WITHIN = 0.1
"""Seconds in which an equal outcome of the same action is taken for the same one: who tries again,
or says it in two places, does so at once; the next dart of a volley takes longer."""


class Repeats(Generic[T]):
    """The outcomes of the last tenth of a second, by action, and what was given back for each.

    Not thread-safe.
    """

    def __init__(self) -> None:
        self._latest: dict[str, tuple[float, Outcome, bytes | None, T]] = {}

    def of(self, said: Outcome, t: float, state: bytes | None = None) -> T | None:
        """What was given back for the same outcome before, if it was a moment ago.

        It is the same if it is of the same action, for the same viewers, and has equal results,
        values and all, and the same state with it. One that names no action is never the same.
        """
        if said.action_id is None or (known := self._latest.get(said.action_id)) is None:
            return None
        then, before, shown, given = known
        same = replace(said, t=before.t, turn=before.turn) == before and state == shown
        return given if same and t - then <= WITHIN else None

    def note(
        self, said: Input, t: float, given: T | None = None, state: bytes | None = None
    ) -> None:
        """Something is said; for an outcome, what is given back for it, and the state with it.

        An action that is declared anew, or taken back, may come to the same outcome again, and so
        may one whose effect a state has shown; so may everything after a rewind.
        """
        match said:
            case Outcome(action_id=str(name)) if given is not None:
                self._latest.pop(name, None)
                while self._latest and t - next(iter(self._latest.values()))[0] > WITHIN:
                    del self._latest[next(iter(self._latest))]
                self._latest[name] = t, said, state, given
            case Action(action_id=name) | State(because=str(name)) | Patch(because=str(name)):
                self._latest.pop(name, None)
            case Rewind():
                self._latest.clear()
