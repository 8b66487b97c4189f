"""The way in: what a game says is refused before anything is recorded, or makes a good log."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import jsonpatch
from pydantic import BaseModel

from .errors import StateError
from .sinks.telling import Telling
from .streams import events as ev
from .streams.inputs import snapshot
from .streams.repeats import Repeats
from .streams.said import brief, checked

if TYPE_CHECKING:
    from .config import Settings
    from .pipeline import Pipeline

__all__ = ["Entry"]

log = logging.getLogger("foretell")

M = TypeVar("M", bound=BaseModel)
Build = Callable[[float], ev.Input]
Doing = tuple[str, Mapping[str, Any]]
"""An actor and its action."""


class Entry(Generic[M]):
    """Where inputs enter a session, from any thread: each is said, or raises ``StateError``.

    All that belongs to one input happens under one lock: its check against what was said before,
    the turn it is said in, and its place among the others.

    :param telling: makes the handle of the outcome with this number.
    """

    def __init__(
        self, pipeline: Pipeline[M], settings: Settings, telling: Callable[[int], Telling[M]]
    ) -> None:
        self._pipeline = pipeline
        self._inputs = pipeline.inputs
        self._telling = telling
        self._limit = settings.max_state_bytes
        self._recorded = settings.log_dir is not None
        self._named = pipeline.named
        self._repeats = Repeats[Telling[M]]()
        self._lock = threading.RLock()
        self.closed = False

    def check_open(self) -> None:
        """Raise after :meth:`close`."""
        if self.closed:
            raise StateError(f"session {self._pipeline.name!r} is closed")

    def snapshot(self, state: Any) -> bytes:
        """A state as it is now; see :func:`snapshot`."""
        return snapshot(state, self._limit)

    def state(self, raw: bytes, because: str | None) -> None:
        """A snapshot, and the action it is an effect of."""
        with self._lock:
            self.check_open()
            if because is not None:
                named = ev.State(0.0, {}, because)
                self._refuse(named)
                self._repeats.note(named, self._inputs.now)
            self._named.inputs = self._inputs.put_state(raw, because)

    def begin(self, turn: ev.Turn) -> str:
        """A turn, with a made-up id if it has none."""
        with self._lock:
            name = turn.turn or self._named.new_turn()
            self.put(replace(turn, turn=name))
        return name

    def end(self, turn: str | None) -> None:
        """The end of a turn, or of the one that is open."""
        with self._lock:
            named, latest = turn or self._named.turn, self._named.latest
            if named is not None:
                self.put(ev.TurnEnd(0.0, named))
            elif self._named.rewound and latest is not None:
                self.check_open()
                self._hand(
                    ev.TurnEnd(0.0, latest),
                    lambda t: ev.TurnEnd(t, self._pipeline.open_turn or latest),
                )
                self._named.rewound = False
            else:
                raise StateError("end_turn without a turn: call begin_turn first, or name the turn")

    def declare(self, action: ev.Action) -> str:
        """An action of the open turn, declared or taken back; with a made-up id if it has none."""
        with self._lock:
            name = action.action_id or self._named.new_action()
            self.put(replace(action, action_id=name, turn=self._named.turn))
        return name

    def put(self, said: ev.Input, at: float | None = None) -> None:
        """Any other input; ``at`` is its time in seconds, if it is not now."""

        def build(t: float) -> ev.Input:
            if isinstance(said, ev.Patch):
                return self._patched(said, t)
            if isinstance(said, ev.Rewind) and isinstance(said.to, float):
                # A log's times are whole microseconds, and none may go back to what is to come.
                return ev.Rewind(t, min(said.to, round(t, 6)))
            return replace(said, t=t)

        with self._lock:
            self._refuse(said)
            self._hand(said, build, at)

    def outcome(
        self,
        outcome: ev.Outcome,
        raw: bytes | None = None,
        of: Doing | None = None,
        at: float | None = None,
    ) -> Telling[M]:
        """An outcome of the open turn, and before it its state, if there is one.

        One that is reported twice is told once: the second time has the telling of the first.

        :param of: the actor and action it names, for when the world does not know them (any more).
        """
        with self._lock:
            if (same := self._repeated(outcome, at, raw)) is not None:
                return same
            said = self._standing(outcome, of)
            if said.turn is None:
                said = replace(said, turn=self._named.turn)
            self._refuse(said)
            if raw is not None:
                if said.action_id is None and said.actor is not None:
                    name = self.declare(
                        ev.Action(0.0, "", None, said.actor, said.action, to=said.to)
                    )
                    said = replace(said, action_id=name, actor=None, action=None)
                self.state(raw, said.action_id)

            def build(t: float) -> ev.Input:
                if of is None or said.action_id in (None, *self._pipeline.world_now.actions):
                    return replace(said, t=t)
                return replace(said, t=t, actor=of[0], action=of[1])

            return self._tell(said, build, at, outcome, raw)

    def rewind(self, to: float) -> None:
        """Back to a time or a revision, if it is still known how things were then."""
        with self._lock:
            said = checked(ev.Rewind(0.0, to))
            self._refuse(said)
            reach = self._pipeline.history.reach()
            if reach is not None and said.to < (
                reach[0] if isinstance(said.to, int) else round(reach[1], 6)
            ):
                raise StateError(
                    f"rewind to {said.to:g}, which is further back than is kept: from revision "
                    f"{reach[0]}, {reach[1]:.3f} s, on; set log_dir, or raise history_bytes"
                )
            self.put(said)

    def retell(self, name: str, number: int | None = None, at: float | None = None) -> Telling[M]:
        """An action by its name, or what was told of the input of this number, told again."""
        with self._lock:
            self.check_open()
            if number is not None:
                found = self._named.name_of(number)
                if found is None:
                    raise StateError(f"telling {name} is not of this session")
                name = found
            said = checked(ev.Retell(0.0, name))
            self._refuse(said)
            self._check_told(name)
            return self._tell(said, lambda t: replace(said, t=t), at)

    def _check_told(self, name: str) -> None:
        """Raise for an outcome that is undone, or that nobody remembers."""
        world, number = self._pipeline.world_now, self._named.outcome_of(name)
        if number is None or number > world.number:
            return  # it has not come through yet
        number = world.told.get(name, number)
        if not world.stands(number):
            raise StateError(f"the outcome of {brief(name)} was undone by a rewind")
        reach = self._pipeline.history.reach()
        if reach is not None and number < reach[0]:
            raise StateError(
                f"the outcome of {brief(name)} is further back than is kept: set log_dir, or "
                "raise history_bytes"
            )

    def take(self, event: ev.Input, at: float | None = None) -> Telling[M] | None:
        """An input that the game made itself; an outcome gives its telling."""
        self.check_open()
        said = checked(event)
        if isinstance(said, ev.End):
            raise StateError("the end is not said: close the session")
        if isinstance(said, ev.Outcome):
            return self.outcome(said, at=at)
        if isinstance(said, ev.Retell):
            return self.retell(said.action_id, at=at)
        if isinstance(said, ev.State):
            self.snapshot(said.state)
        if isinstance(said, ev.Rewind) and at is None:
            self.rewind(said.to)
        else:
            self.put(said, at)
        return None

    def play(self, event: ev.Input) -> Telling[M] | None:
        """An input as a log has it; where this session is recorded, only if it is good."""
        if self._recorded:
            return self.take(event, max(event.t, self._inputs.now))
        with self._lock:
            self.check_open()
            if isinstance(event, ev.Outcome | ev.Retell):
                return self._tell(event, lambda t: event, event.t)
            self._hand(event, lambda t: event, event.t)
        return None

    def close(self) -> None:
        """Say the end; nothing comes after it."""
        with self._lock:
            self.put(ev.End(0.0))
            self.closed = True

    def _refuse(self, said: ev.Input) -> None:
        self.check_open()
        if wrong := self._named.problem(said, self._inputs.now):
            raise StateError(wrong)

    def _hand(
        self,
        said: ev.Input,
        build: Build,
        at: float | None = None,
        numbered: Callable[[int], None] | None = None,
    ) -> None:
        self._named.note(said, self._inputs.put(build, at=at, numbered=numbered))
        self._repeats.note(said, self._time(at))

    def _time(self, at: float | None) -> float:
        return self._inputs.now if at is None else at

    def _repeated(
        self, outcome: ev.Outcome, at: float | None, raw: bytes | None
    ) -> Telling[M] | None:
        """The telling of an outcome that has been reported a moment ago."""
        self.check_open()
        same = self._repeats.of(outcome, self._time(at), raw)
        if same is not None:
            log.warning(
                "session %s: outcome of action %s is reported twice, and told once",
                self._pipeline.name,
                brief(outcome.action_id),
            )
        return same

    def _tell(
        self,
        said: ev.Outcome | ev.Retell,
        build: Build,
        at: float | None,
        asked: ev.Input | None = None,
        raw: bytes | None = None,
    ) -> Telling[M]:
        """Hand in what is to be told.

        :param asked: what the game said, before it was completed; ``raw``: the state with it.
        """
        made: list[Telling[M]] = []

        def numbered(number: int) -> None:
            made.append(self._telling(number))
            self._pipeline.showing.handles[number] = made[0]

        self._hand(said, build, at, numbered)
        self._repeats.note(asked or said, self._time(at), made[0], raw)
        return made[0]

    def _standing(self, said: ev.Outcome, of: Doing | None) -> ev.Outcome:
        """An outcome of what does not stand (any more), as one of an action nobody declared."""
        if said.action_id is None or self._named.stands(said.action_id):
            return said
        actor, action = of or (said.actor, said.action)
        if not (actor and action):
            return said
        log.warning(
            "session %s: outcome of action %s, which was taken back or never declared",
            self._pipeline.name,
            brief(said.action_id),
        )
        return replace(said, action_id=None, actor=actor, action=action)

    def _patched(self, patch: ev.Patch, t: float) -> ev.State:
        """What a patch leaves: after a rewind it may not apply where a reader of the log stands."""
        before = self._pipeline.world_now.state
        try:
            state = jsonpatch.apply_patch(before, patch.patch)
            self.snapshot(state)
        except Exception as error:
            name = self._pipeline.name
            log.warning("session %s: patch does not apply, and is left out: %r", name, error)
            state = before
        return ev.State(t, state, patch.because)
