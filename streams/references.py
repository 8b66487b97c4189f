"""What has been named in a session so far, so that what comes later names only what is there."""

from __future__ import annotations

from collections.abc import Container
from itertools import count

from . import events as ev
from .names import numbered
from .said import brief

__all__ = ["References"]


class References:
    """The turns and actions of a session, by the rules that ``validate`` has for its log.

    What :meth:`problem` finds nothing wrong with makes a good line. Not thread-safe.
    """

    def __init__(self) -> None:
        self.turns: set[str] = set()
        self.actions: set[str] = set()
        self.retracted: set[str] = set()
        self.outcomes: dict[str, int] = {}
        """The last outcome of each action, by its input."""
        self.told: dict[int, str] = {}
        """By its input, the name of what each outcome was of."""
        self.retold: dict[int, int] = {}
        """By its input, the outcome that each retelling is of."""
        self.latest: str | None = None
        """The turn that was begun last, open or not."""
        self.inputs = 0
        """How many inputs there have been: the present revision."""
        self.turn: str | None = None
        """The turn that is open; none after a rewind, for only the world knows which that is."""
        self.rewound = False
        """Whether a rewind may have opened a turn again."""
        self._turn_numbers = count(1)
        self._action_numbers = count(1)

    def go_on(self, turn: str | None) -> None:
        """All of a log has been noted, which is continued with this turn open."""
        self.turn, self.rewound = turn, False
        self._turn_numbers = count(len(self.turns) + 1)
        self._action_numbers = count(len(self.actions) + 1)

    def new_turn(self) -> str:
        """A turn id that is not taken."""
        return _free("turn", self._turn_numbers, self.turns)

    def new_action(self) -> str:
        """An action id that is not taken."""
        return _free("action", self._action_numbers, self.actions)

    def stands(self, action_id: str) -> bool:
        """Whether an action was declared and not taken back."""
        return action_id in self.actions and action_id not in self.retracted

    def problem(self, event: ev.Input, now: float) -> str | None:
        """What is wrong with saying this now, if anything is.

        :param now: seconds since the session's start.
        """
        match event:
            case ev.Turn(turn=turn) if turn in self.turns:
                return f"turn id {brief(turn)} was used before; choose another, or none"
            case ev.TurnEnd(turn=turn) | ev.Action(turn=str(turn)) | ev.Outcome(turn=str(turn)) if (
                turn not in self.turns
            ):
                return f"turn {brief(turn)} is not known: begin it first"
            case ev.State(because=str(action)) | ev.Patch(because=str(action)) if (
                action not in self.actions
            ):
                return f"because names action {brief(action)}, which is not known: declare it first"
            case ev.Action(action_id=action, action=None) if action not in self.actions:
                return f"action {brief(action)} is not known: declare it first"
            case ev.Retell(action_id=action) if self.outcome_of(action) is None:
                if action in self.actions:
                    return f"action {brief(action)} has no outcome yet that could be told again"
                return f"action {brief(action)} is not known: declare it first"
            case ev.Outcome(action_id=str(action)) if not self.stands(action):
                what = "was taken back" if action in self.actions else "is not known"
                return f"outcome of action {brief(action)}, which {what}: declare it first"
            case ev.Rewind(to=int(to)) if to > self.inputs:
                return f"rewind to revision {to}, which has not been yet: this is {self.inputs}"
            case ev.Rewind(to=float(to)) if to > now:
                return f"rewind to {to:g} s, which has not been yet: it is {now:g} s"
        return None

    def outcome_of(self, name: str) -> int | None:
        """The input that was an action's last outcome; ``#12`` is the outcome that was input 12."""
        if name in self.actions or (number := numbered(name)) is None:
            return self.outcomes.get(name)
        return number if number in self.told else None

    def name_of(self, number: int) -> str | None:
        """How the outcome that was this input, or what a retelling is of, is named in a log."""
        of = self.retold.get(number, number)
        name = self.told.get(of)
        return name if name is None or self.outcomes.get(name) == of else f"#{of}"

    def note(self, event: ev.Input, number: int) -> None:
        """It has been said, as the input of this number."""
        self.inputs = number
        match event:
            case ev.Outcome(action_id=str(action)):
                self.outcomes[action] = number
                self.told[number] = action
            case ev.Outcome():
                self.told[number] = f"#{number}"
            case ev.Retell(action_id=action) if (of := self.outcome_of(action)) is not None:
                self.retold[number] = of
            case ev.Turn() | ev.Action():
                self._name(event)
            case ev.TurnEnd() if self.turn == event.turn:
                self.turn = None
            case ev.Rewind():
                self.turn, self.rewound = None, True

    def _name(self, event: ev.Turn | ev.Action) -> None:
        if isinstance(event, ev.Turn):
            self.turns.add(event.turn)
            self.turn = self.latest = event.turn
            self.rewound = False
        elif event.action is None:
            self.retracted.add(event.action_id)
        else:
            self.actions.add(event.action_id)
            self.retracted.discard(event.action_id)


def _free(kind: str, numbers: count[int], taken: Container[str]) -> str:
    names = (f"{kind}-{number}" for number in numbers)
    return next(name for name in names if name not in taken)
