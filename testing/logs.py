"""Small session logs, one input after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Self

from ..streams import events as ev
from ..streams.log import LogWriter, to_record

__all__ = ["LogBuilder"]


class LogBuilder:
    """Builds a small session log, one input after the other.

    ::

        log = LogBuilder().state(state).turn("mira").wait(2)
        log.action("mira", "longsword", target="goblin").wait(6).outcome("hit", damage=9)
        log.write("short.jsonl")

    Each method adds its input at the present moment and returns the builder; :meth:`wait` moves
    the moment on. :attr:`events` are the inputs so far.
    """

    def __init__(self, session: str = "test", *, clock: str = "drawn") -> None:
        self.session = session
        self.events: list[ev.Input] = []
        self._clock = clock
        self._t = 0.0
        self._turn: str | None = None
        self._turns = self._actions = 0

    def wait(self, seconds: float) -> Self:
        """Time passes."""
        if seconds < 0:
            raise ValueError(f"time cannot run backwards: wait({seconds:g})")
        self._t = round(self._t + seconds, 6)
        return self

    def state(self, state: Mapping[str, Any], because: str | None = None) -> Self:
        """A full snapshot."""
        return self._add(ev.State(self._t, dict(state), because))

    def patch(self, *operations: Mapping[str, Any], because: str | None = None) -> Self:
        """A change of the last snapshot (RFC 6902)."""
        return self._add(ev.Patch(self._t, operations, because))

    def turn(
        self, actor: str, turn: str | None = None, options: Sequence[Mapping[str, Any]] = ()
    ) -> Self:
        """A turn begins."""
        self._turns += 1
        self._turn = turn or f"turn-{self._turns}"
        return self._add(ev.Turn(self._t, self._turn, actor, tuple(options)))

    def end_turn(self) -> Self:
        """The turn is over."""
        if self._turn is None:
            raise ValueError("end_turn without a turn")
        ended, self._turn = self._turn, None
        return self._add(ev.TurnEnd(self._t, ended))

    def action(
        self,
        actor: str,
        name: str,
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        action_id: str | None = None,
        odds: ev.Odds | None = None,
        rolled: ev.Rolled | None = None,
        to: Sequence[str] = (),
    ) -> Self:
        """An action is declared."""
        self._actions += 1
        action_id = action_id or f"action-{self._actions}"
        what = _what(name, target, type)
        return self._add(
            ev.Action(self._t, action_id, self._turn, actor, what, odds, rolled, tuple(to))
        )

    def retract(self, action_id: str | None = None) -> Self:
        """An action (the last one) is taken back."""
        found = self._declared(action_id)
        return self._add(ev.Action(self._t, found.action_id, self._turn, found.actor, None))

    def outcome(
        self,
        result: str | None = None,
        *,
        results: Iterable[ev.Result] = (),
        action_id: str | None = None,
        to: Sequence[str] = (),
        **values: Any,
    ) -> Self:
        """What came of a declared action (the last one)."""
        found = self._declared(action_id).action_id
        told = _told(result, results, values)
        return self._add(ev.Outcome(self._t, told, found, self._turn, None, None, tuple(to)))

    def undeclared(
        self,
        actor: str,
        name: str,
        result: str | None = None,
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        results: Iterable[ev.Result] = (),
        to: Sequence[str] = (),
        **values: Any,
    ) -> Self:
        """An outcome of an action nobody declared."""
        told = _told(result, results, values)
        what = _what(name, target, type)
        return self._add(ev.Outcome(self._t, told, None, self._turn, actor, what, tuple(to)))

    def say(self, speaker: str, text: str, *, typing: bool = False) -> Self:
        """Somebody says something, or is typing it."""
        return self._add(ev.Say(self._t, speaker, text, typing))

    def rewind(self, to: float) -> Self:
        """Back to a time (a float), or to a revision (an int)."""
        self._turn = None
        return self._add(ev.Rewind(self._t, to))

    def retell(self, action_id: str | None = None) -> Self:
        """What came of an action (the last one) is to be told again."""
        return self._add(ev.Retell(self._t, self._declared(action_id).action_id))

    def add(self, build: Callable[[float], ev.Input]) -> Self:
        """Any other input: ``build`` gets the present moment, in seconds."""
        return self._add(build(self._t))

    def write(self, path: str | PathLike[str], **header: Any) -> Path:
        """Write it as a session log; ``header`` are further fields of its first line."""
        first = {
            "id": self.session,
            "started": "2026-01-01T00:00:00+00:00",
            "source": "foretell.testing",
            "clock": self._clock,
        }
        with LogWriter(path, {**first, **header}) as log:
            for event in self.events:
                log.write(to_record(event))
            log.write(to_record(ev.End(self._t)))
        return Path(path)

    def _add(self, event: ev.Input) -> Self:
        self.events.append(event)
        return self

    def _declared(self, action_id: str | None) -> ev.Action:
        for event in reversed(self.events):
            if isinstance(event, ev.Action) and action_id in (None, event.action_id):
                return event
        raise ValueError(f"no action {action_id!r} was declared" if action_id else "no action yet")


def _what(name: str, target: str | Sequence[str] | None, kind: str | None) -> dict[str, Any]:
    what: dict[str, Any] = {"type": kind or ("attack" if target else "use"), "name": name}
    if target is not None:
        what["target"] = target if isinstance(target, str) else list(target)
    return what


def _told(
    result: str | None, results: Iterable[ev.Result], values: Mapping[str, Any]
) -> tuple[ev.Result, ...]:
    told = tuple(results) or ((ev.Result(result, None, dict(values)),) if result else ())
    if not told:
        raise ValueError('an outcome needs a result, such as outcome("hit", damage=9)')
    return told
