"""Which inputs stand: each follows the one before it, and a rewind the one it goes back to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import jsonpatch

from ..streams import events as ev

__all__ = ["Standing"]

MICROSECONDS = 6
"""Times are compared as a log has them."""


class Standing:
    """Follows a session's inputs, and walks back from the last to the first that led to it.

    It shares nothing with the pipeline's own reckoning (``World.undone``, ``History``). ``whole``
    is false if it was not there from the first input on: then it cannot tell what stands.
    """

    def __init__(self) -> None:
        self.whole = True
        self._events: list[ev.Input] = []
        self._before: list[int] = []
        self._stand: set[int] = set()

    @property
    def taken(self) -> int:
        """How many inputs there have been."""
        return len(self._events)

    def take(self, number: int, event: ev.Input) -> None:
        """The next input; they come in the order of their numbers."""
        self.whole = self.whole and number == len(self._events) + 1
        if not self.whole:
            return
        back = number - 1
        if isinstance(event, ev.Rewind):
            back = self._target(event.to)
        self._events.append(event)
        self._before.append(back)
        if back == number - 1:
            self._stand.add(number)
        else:
            self._stand = {known for known, _ in self.back()}

    def _target(self, to: float) -> int:
        if isinstance(to, int):
            return max(0, min(to, len(self._events)))
        meant = round(to, MICROSECONDS)
        for number in range(len(self._events), 0, -1):
            if round(self._events[number - 1].t, MICROSECONDS) <= meant:
                return number
        return 0

    def back(self) -> Iterator[tuple[int, ev.Input]]:
        """The inputs that stand, the last first."""
        number = len(self._events)
        while number:
            yield number, self._events[number - 1]
            number = self._before[number - 1]

    def stands(self, number: int) -> bool:
        """Whether no rewind has undone it, or one has brought it back."""
        return number in self._stand or not self.whole

    def state(self) -> Mapping[str, Any]:
        """The state as it stands."""
        patches: list[ev.Patch] = []
        state: Mapping[str, Any] = {}
        for _, event in self.back():
            if isinstance(event, ev.Patch):
                patches.append(event)
            elif isinstance(event, ev.State):
                state = event.state
                break
        for each in reversed(patches):
            state = jsonpatch.apply_patch(state, [dict(op) for op in each.patch])
        return state

    def outcome(self, name: str) -> int | None:
        """The last outcome of an action that stands; of ``#12``, input 12."""
        for number, event in self.back():
            if isinstance(event, ev.Outcome) and name in (event.action_id, f"#{number}"):
                return number
        return None
