"""A session: what a game talks to."""

from __future__ import annotations

import asyncio
import inspect
import re
import reprlib
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

import orjson
from pydantic import BaseModel
from reactivex import Observable, abc
from reactivex import operators as ops

from .errors import ConfigError, StateError
from .operators.generation import Generations
from .operators.narrative import Narrative
from .operators.predict import Intensity
from .pipeline import Pipeline
from .sinks.telling import Telling
from .sinks.transcript import Transcript
from .streams import events as ev
from .streams.bridge import Full, follow
from .streams.inputs import snapshot
from .streams.log import problems, to_event, to_record
from .streams.log_validate import odds_problem
from .streams.world import World

if TYPE_CHECKING:
    from .game import Game

__all__ = ["Action", "Session"]

M = TypeVar("M", bound=BaseModel)
E = TypeVar("E", bound=ev.Input)

SESSION_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class Session(Generic[M]):
    """One table or playthrough: what a game talks to. Made by :meth:`Game.session`.

    All methods that tell it something (``update``, ``begin_turn``, ``declare``, ``outcome``, …)
    may be called from any thread and at any moment, from a subscriber too; they never block, and
    what they say takes effect in the order it was said. Reading (``narrative``, ``tellings``, a
    :class:`Telling`) belongs on the session's event loop.
    """

    def __init__(
        self, game: Game[M], session_id: str, *, header: Mapping[str, Any] | None = None
    ) -> None:
        if not SESSION_ID.fullmatch(session_id):
            raise StateError(
                f"session id {session_id!r} is not usable: letters, digits, '-', '_' and '.', "
                "at most 128 of them"
            )
        self.id = session_id
        self.settings = game.settings
        self._game = game
        self._pipeline = Pipeline(game, session_id, header or {})
        self._lock = threading.RLock()  # what is said, and the turn it is said in, are one
        self._closed = False
        self._gone = asyncio.Event()
        self._turns = count(self._pipeline.turns_before + 1)
        self._turn_ids = self._pipeline.turn_ids
        self._actions = count(self._pipeline.actions_before + 1)
        turn = self._pipeline.world_now.turn
        self._turn: str | None = turn.turn if turn is not None else None
        self._rewound = False

    @property
    def intensity(self) -> Intensity:
        """How much is prepared; may be changed at any time, and takes effect at once."""
        return self._pipeline.intensity

    @intensity.setter
    def intensity(self, intensity: Intensity | str) -> None:
        try:
            self._pipeline.prepare_at(Intensity(intensity))
        except ValueError:
            known = ", ".join(Intensity)
            raise ConfigError(f"intensity {intensity!r} is not known: use {known}") from None

    # ── what the game says ────────────────────────────────────────────────────────────────────

    def update(self, state: Any, because: Action[M] | str | None = None) -> None:
        """The game's state has changed.

        :param state: the whole of it: a mapping, dataclass or pydantic model; the snapshot is
            taken at once, and what the game does to it later changes nothing.
        :param because: the action whose effect the change is, if it is one.
        :raises StateError: for a state that is not JSON, too deep or too large.
        """
        raw, reason = self._snapshot(state), _id(because)
        if reason is not None and not isinstance(reason, str):
            raise StateError(f"because must be an action or its id, not {_brief(because)}")
        with self._lock:
            self._open()
            self._pipeline.inputs.put_state(raw, reason)

    def begin_turn(
        self,
        actor: str,
        *,
        turn: str | None = None,
        options: Sequence[Mapping[str, Any]] = (),
        deadline: float | None = None,
    ) -> str:
        """A turn begins; returns its id (made up if none is given).

        :param turn: an id of its own; no two turns of a session have the same.
        :param options: the actions the actor may take, where the game knows them.
        :raises StateError: for an id that was used before.
        """
        begun = _checked(ev.Turn(0.0, turn or "", actor, _options(options), deadline))
        with self._lock:
            name = begun.turn or self._free_turn_id()
            if name in self._turn_ids:
                raise StateError(f"turn id {name!r} was used before; choose another, or none")
            self._put(replace(begun, turn=name))
            self._turn_ids.add(name)
            self._turn, self._rewound = name, False
        return name

    def _free_turn_id(self) -> str:
        names = (f"turn-{number}" for number in self._turns)
        return next(name for name in names if name not in self._turn_ids)

    def end_turn(self, turn: str | None = None) -> None:
        """The turn is over (the current one, unless another is named)."""
        named = _checked(ev.TurnEnd(0.0, turn)) if turn else None
        with self._lock:
            if named is None and self._turn is not None:
                named = ev.TurnEnd(0.0, self._turn)
            if named is not None:
                self._put(named)
            elif self._rewound:
                self._open()
                self._pipeline.inputs.put(lambda t: ev.TurnEnd(t, self._pipeline.open_turn))
            else:
                raise StateError("end_turn without a turn: call begin_turn first, or name the turn")
            self._turn = None

    def declare(
        self,
        actor: str,
        action: str | Mapping[str, Any],
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        odds: ev.Odds | None = None,
        rolled: str | Mapping[str, str] | None = None,
        action_id: str | None = None,
    ) -> Action[M]:
        """An actor is about to do something; its result is not known yet.

        :param action: its name (``"longsword"``), or the whole as a mapping.
        :param type: ``attack``, ``cast``, ``use``, ``move``, ``talk`` or the game's own word;
            default: ``attack`` with a target, else ``use``.
        :param odds: the probability of each result, where the rules know it; from 0 to 1, and 1
            in all.
        :param rolled: the result itself, where the game rolls ahead; not told before its outcome.
        """
        action_id = action_id or f"action-{next(self._actions)}"
        what = _action(action, type, target)
        declared = _checked(ev.Action(0.0, action_id, None, actor, what, odds, rolled))
        with self._lock:
            self._put(replace(declared, turn=self._turn))
        return Action(self, action_id, actor)

    def action(self, action_id: str) -> Action[M]:
        """The handle of a declared action, such as one from before the session was resumed.

        :raises StateError: if the world, as it stands, has no such action still to come.
        """
        known = self.world.actions.get(action_id)
        if known is None or known.resolved:
            raise StateError(f"no action {_brief(action_id)} is open: declare it first")
        return Action(self, action_id, known.actor)

    def retract(self, action: Action[M] | str) -> None:
        """A declared action will not happen after all."""
        action_id, actor = _id(action), getattr(action, "actor", "")
        if not isinstance(action_id, str):
            raise StateError(f"retract needs an action or its id, not {_brief(action)}")
        retracted = _checked(ev.Action(0.0, action_id, None, actor, None))
        with self._lock:
            self._put(replace(retracted, turn=self._turn))

    def outcome(
        self,
        actor: str,
        action: str | Mapping[str, Any],
        result: str | None = None,
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        results: Iterable[ev.Result | Mapping[str, Any]] | None = None,
        state: Any = None,
        to: Iterable[str] = (),
        **values: Any,
    ) -> Telling[M]:
        """What happened, of an action nobody declared; see :meth:`Action.outcome`.

        With a ``state``, the action is declared in the same moment, so that the state can name it
        as its reason.
        """
        what = _action(action, type, target)
        found, viewers = _results(result, results, values), _viewers(to)
        return self._outcome(ev.Outcome(0.0, found, None, None, actor, what, viewers), state)

    def say(self, speaker: str, text: str) -> None:
        """What someone at the table said or typed."""
        self.put(lambda t: ev.Say(t, speaker, text))

    def need(self, resource: str) -> None:
        """Content that was needed now, such as ``statblock:sea-hag``."""
        self.put(lambda t: ev.Need(t, resource))

    def rewind(self, to: float) -> None:
        """Go back: to a time in seconds (float), or to a revision (int).

        The turn, its actions and the state are as they were; nothing prepared since is told.
        """
        back = _checked(ev.Rewind(0.0, to))
        with self._lock:
            self._put(back)
            self._turn, self._rewound = None, True

    def put(self, build: Callable[[float], ev.Input]) -> None:
        """Say anything that has no method of its own: ``build`` gets the time (seconds).

        :raises StateError: for what could not stand in a session log.
        """
        self._open()
        said = _checked(build(0.0))
        with self._lock:
            self._put(said)

    def _put(self, said: ev.Input) -> None:
        self._open()
        self._pipeline.inputs.put(lambda t: replace(said, t=t))

    def play(self, event: ev.Input) -> Telling[M] | None:
        """Say an input as a log has it, at its own time; an outcome gives its telling."""
        with self._lock:
            self._open()
            if isinstance(event, ev.Outcome):
                return self._tell(lambda t: event, at=event.t)
            self._pipeline.inputs.put(lambda t: event, at=event.t)
        return None

    def _outcome(self, outcome: ev.Outcome, state: Any) -> Telling[M]:
        """Say it in the turn under way, and before it its state, if there is one."""
        self._open()
        said = _checked(outcome)
        raw = None if state is None else self._snapshot(state)
        with self._lock:
            self._open()
            if raw is not None:
                if said.action_id is None and said.actor is not None and said.action is not None:
                    declared = self.declare(said.actor, said.action)
                    said = replace(said, action_id=declared.id, actor=None, action=None)
                self._pipeline.inputs.put_state(raw, said.action_id)
            said = replace(said, turn=self._turn)
            return self._tell(lambda t: replace(said, t=t))

    def _snapshot(self, state: Any) -> bytes:
        return snapshot(state, self.settings.max_state_bytes)

    def _tell(self, build: Callable[[float], ev.Input], at: float | None = None) -> Telling[M]:
        made: list[Telling[M]] = []

        def numbered(number: int) -> None:
            telling: Telling[M] = Telling(
                f"t{number}",
                self._game.narration.model_validate,
                self._pipeline.teller.cancel,
                lambda telling, viewer, upto: self.put(
                    lambda t: ev.Delivered(t, telling, viewer, upto)
                ),
            )
            self._pipeline.handles[number] = telling
            made.append(telling)

        self._pipeline.inputs.put(build, at=at, numbered=numbered)
        return made[0]

    def _open(self) -> None:
        if self._closed:
            raise StateError(f"session {self.id!r} is closed")

    # ── what comes out ────────────────────────────────────────────────────────────────────────

    @property
    def narrative(self) -> Observable[Narrative]:
        """The events of all tellings. A late subscriber first gets the one under way as it stands.

        What a subscriber raises is reported and spoils nothing; it completes with the session.
        """
        return self._pipeline.narrative

    def subscribe(
        self, handler: Callable[[Narrative], Any], viewer: str | None = None
    ) -> abc.DisposableBase:
        """Call ``handler`` with each event of the narrative; dispose what is returned to stop.

        The handler may be an ``async def``: its calls then run one after the other, and when more
        than 1,024 events wait for it the oldest are dropped.

        :param viewer: only what this viewer may see.
        """
        seen = self._seen_by(viewer)
        call = getattr(handler, "__call__", None)  # noqa: B004  # an object with an async one
        if not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)):

            def contained(event: Narrative) -> None:
                try:
                    handler(event)
                except Exception as error:
                    self._pipeline.fault("subscriber", error)

            return seen.subscribe(contained)

        async def feed() -> None:
            async with follow(seen) as events:
                async for event in events:
                    try:
                        await handler(event)
                    except Exception as error:
                        self._pipeline.fault("subscriber", error)

        return self._pipeline.readers.disposable(feed(), name="subscriber")

    async def tellings(
        self, viewer: str | None = None, *, bound: int = 1024, full: Full = Full.DROP_OLDEST
    ) -> AsyncGenerator[Narrative, None]:
        """The narrative as an async iterator, with a bound and a policy (see :func:`follow`)."""
        async with follow(self._seen_by(viewer), bound=bound, full=full) as events:
            async for event in events:
                yield event

    def _seen_by(self, viewer: str | None) -> Observable[Narrative]:
        if viewer is None:
            return self.narrative

        def may_see(event: Narrative) -> bool:
            return not event.to or viewer in event.to

        return self.narrative.pipe(ops.filter(may_see))

    @property
    def world(self) -> World:
        """All the session knows right now."""
        return self._pipeline.world_now

    @property
    def transcript(self) -> Transcript:
        """What each viewer has seen."""
        return self._pipeline.transcript

    @property
    def generations(self) -> Generations:
        """The model streams of this session, live ones first to ask about."""
        return self._pipeline.generations

    @property
    def trace_sha256(self) -> str:
        """The digest of all the pipeline did so far; equal for equal runs."""
        return self._pipeline.recorder.trace_sha256

    def report(self) -> dict[str, Any]:
        """What this session came to: outcomes by how they were served, latency, tokens, dollars."""
        return self._pipeline.tally.report(self._pipeline.ledger, self._pipeline.audit)

    def summary(self) -> str:
        """One line: ``Prefetch: X tokens used, Y tokens saved, Z% cache hits``."""
        return self._pipeline.tally.summary(self._pipeline.ledger)

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    async def close(self, drain: float = 5.0) -> None:
        """End the session: speculation at once, the telling under way when it is whole.

        :param drain: seconds to wait for that, and for async subscribers to take in what there
            is; then it is ended and marked superseded. Cancelling ``close`` ends everything at
            once. Closing again waits for the first close.
        """
        if self._closed:
            await self._gone.wait()
            return
        with self._lock:
            self._put(ev.End(0.0))
            self._closed = True
        try:
            await self._pipeline.drain(drain)
        finally:
            self._game.forget(self.id)
            self._gone.set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


class Action(Generic[M]):
    """A declared action, until it has come to its outcome."""

    def __init__(self, session: Session[M], action_id: str, actor: str) -> None:
        self._session = session
        self.id = action_id
        self.actor = actor

    def __repr__(self) -> str:
        return f"<Action {self.id} of {self.actor}>"

    def outcome(
        self,
        result: str | None = None,
        *,
        results: Iterable[ev.Result | Mapping[str, Any]] | None = None,
        state: Any = None,
        to: Iterable[str] = (),
        **values: Any,
    ) -> Telling[M]:
        """What came of it. Returns the telling, which has begun already.

        :param result: ``hit``, ``miss``, ``critical``, ``success``, ``failure`` or the game's own
            word, with its ``values`` (``damage=9``, ``target_hp=4``, …) as further arguments.
        :param results: for several targets, ``[{"target": "goblin-1", "result": "failure",
            "values": {"damage": 12}}, …]`` in the place of ``result``.
        :param state: the state after it; the same as ``update(state, because=action)`` before.
        :param to: the viewers who may see it; all, if none are named.
        :raises StateError: without a result, or with a state that cannot be used.
        """
        found, viewers = _results(result, results, values), _viewers(to)
        return self._session._outcome(ev.Outcome(0.0, found, self.id, to=viewers), state)

    def retract(self) -> None:
        """It will not happen after all."""
        self._session.retract(self)


def _id(action: Any) -> Any:
    return action.id if isinstance(action, Action) else action


def _brief(value: Any) -> str:
    return " ".join(reprlib.repr(value).split())


def _viewers(to: Any) -> tuple[str, ...]:
    if not isinstance(to, Iterable):
        raise StateError(f"to must be a viewer or a list of viewers, not {_brief(to)}")
    return (to,) if isinstance(to, str) else tuple(to)


def _options(options: Any) -> tuple[Any, ...]:
    if not isinstance(options, Iterable):
        raise StateError(f"options must be a list of actions, not {_brief(options)}")
    return tuple(dict(each) if isinstance(each, Mapping) else each for each in options)


def _checked(event: E) -> E:
    """The input as a log would give it back: a copy, of plain JSON.

    :raises StateError: if it could not stand in a log.
    """
    what = type(event).__name__.lower()
    try:
        record = to_record(event)
        wrong = problems(record)
        copy = to_event(orjson.loads(orjson.dumps(record))) if not wrong else None
    except (AttributeError, TypeError, ValueError, RecursionError) as error:
        raise StateError(f"{what} is not usable: {error}; pass plain JSON values") from None
    if isinstance(copy, ev.Action) and copy.odds is not None and (odd := odds_problem(copy.odds)):
        wrong = [odd]
    if wrong or not isinstance(copy, type(event)):
        raise StateError(f"{what} is not usable: {wrong[0]}")
    return copy


def _action(action: Any, kind: str | None, target: Any) -> dict[str, Any]:
    if not isinstance(action, str | Mapping):
        raise StateError(f"action must be a name or a mapping, not {_brief(action)}")
    what: dict[str, Any] = dict(action) if isinstance(action, Mapping) else {"name": action}
    if target is not None:
        several = isinstance(target, Iterable) and not isinstance(target, str)
        what["target"] = list(target) if several else target
    if kind is not None or "type" not in what:
        what["type"] = kind or ("attack" if what.get("target") else "use")
    return what


def _results(result: str | None, results: Any, values: Mapping[str, Any]) -> tuple[ev.Result, ...]:
    if results is None:
        if result is None:
            raise StateError('an outcome needs a result, such as outcome("hit", damage=9)')
        return (ev.Result(result, None, dict(values)),)
    if isinstance(results, str | Mapping) or not isinstance(results, Iterable):
        raise StateError(
            'results must be a list, such as [{"target": "goblin-1", "result": "hit"}], '
            f"not {_brief(results)}"
        )
    found: list[ev.Result] = []
    for each in results:
        if isinstance(each, ev.Result):
            found.append(each)
        elif not isinstance(each, Mapping) or "result" not in each:
            raise StateError(f"a result needs a 'result', such as hit: {_brief(each)}")
        else:
            found.append(ev.Result(each["result"], each.get("target"), each.get("values") or {}))
    if not found:
        raise StateError("results is empty: name at least one")
    return tuple(found)
