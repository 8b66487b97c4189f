"""A session: what a game talks to."""

from __future__ import annotations

import asyncio
import inspect
import logging
import re
import threading
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar
from weakref import WeakValueDictionary

from pydantic import BaseModel
from reactivex import Observable, abc
from reactivex import operators as ops

from .config import Settings
from .entry import Entry
from .errors import ConfigError, StateError
from .operators.generation import Generations
from .operators.narrative import Narrative
from .operators.plans.prompts import PlanPrompt
from .operators.plans.types import Plan, PlanEvent, Tier
from .operators.predict import Intensity
from .operators.publish import GUEST
from .pipeline import Pipeline
from .planned import Fallback, Planned
from .sinks.budget import Spent
from .sinks.planning import Planning
from .sinks.polled import Polled
from .sinks.prefetch_report import report
from .sinks.telling import Telling
from .sinks.transcript import Transcript
from .streams import events as ev
from .streams.bridge import Full, follow
from .streams.said import action_of, brief, checked, options_of, results_of, viewers_of
from .streams.world import World

if TYPE_CHECKING:
    from .game import Game
    from .replay.lockstep import Lockstep

__all__ = ["Action", "Session"]

log = logging.getLogger("foretell")

M = TypeVar("M", bound=BaseModel)

SESSION_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")


class Session(Generic[M]):
    """One table or playthrough: what a game talks to. Made by :meth:`Game.session`.

    All methods that tell it something (``update``, ``begin_turn``, ``declare``, ``outcome``, …)
    may be called from any thread and at any moment, from a subscriber too; they never block, and
    what they say takes effect in the order it was said. Reading (``narrative``, ``tellings``, a
    :class:`Telling`) belongs on the session's event loop.
    """

    def __init__(
        self,
        game: Game[M],
        session_id: str,
        *,
        header: Mapping[str, Any] | None = None,
        owner: str = "",
        replaying: Lockstep | None = None,
    ) -> None:
        if not SESSION_ID.fullmatch(session_id):
            raise StateError(
                f"session id {session_id!r} is not usable: letters, digits, '-', '_' and '.', "
                "at most 128 of them"
            )
        self.id = session_id
        self._game = game
        self._pipeline = Pipeline(game, session_id, header or {}, replaying, owner)
        self._gone = asyncio.Event()
        self._handles: WeakValueDictionary[str, Action[M]] = WeakValueDictionary()
        self._handles_lock = threading.Lock()
        self._polled: dict[str | None, Polled[Narrative]] = {}
        self._entry = Entry(self._pipeline, game.settings, self._telling)
        last = self._pipeline.plan_tally.plans
        self._planned = Planned(self._pipeline, game.settings, self._entry.check_open, last)

    @property
    def settings(self) -> Settings:
        """Those in force; see :meth:`Game.apply`."""
        return self._pipeline.settings

    def apply(self, changed: Mapping[str, Any]) -> None:
        """Change settings of this session alone; see :meth:`Game.apply`. From any thread.

        :param changed: the new values, by name.
        :raises ConfigError: for a bad value, and for a setting that cannot change while it runs.
        """
        self._pipeline.apply(changed)

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
        :param because: the action whose effect the change is, if it is one. What the state then
            says of the targets is the last word on what the action did to them, until the first
            text of its outcome is told: an outcome that was prepared, and comes before its state,
            is told at once by its own ``damage`` or ``target_hp``, or as not fatal if it has none.
            Where poison, a trap or somebody else hurts them too, name it: of losses that nobody
            names, an outcome may be any, and is then told without a number. A game that has named
            its own blows, or told them before their states, is expected to go on so, and a loss
            that does not fit is not taken for the outcome's; before its first blow nothing is known
            of that, and one unnamed loss that fits is taken for what the first outcome did.
            Damage that was told is reckoned with until a state shows a change of the target's
            health; where one has named the action, and none has shown a loss by the end of the
            turn, there was none: so say of who is immune.
        :raises StateError: for a state that is not JSON, too deep or too large, and for an action
            that was never declared.
        """
        reason = None if because is None else self._id(because, "because")
        self._entry.state(self._entry.snapshot(state), reason)

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
        return self._entry.begin(
            checked(ev.Turn(0.0, turn or "", actor, options_of(options), deadline))
        )

    def end_turn(self, turn: str | None = None) -> None:
        """The turn is over (the current one, unless another is named).

        :raises StateError: if there is none, or for one that was never begun.
        """
        self._entry.end(checked(ev.TurnEnd(0.0, turn)).turn if turn else None)

    def declare(
        self,
        actor: str,
        action: str | Mapping[str, Any],
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        odds: ev.Odds | None = None,
        rolled: ev.Rolled | None = None,
        to: Iterable[str] = (),
        action_id: str | None = None,
    ) -> Action[M]:
        """An actor is about to do something; its result is not known yet.

        :param action: its name (``"longsword"``), or the whole as a mapping.
        :param type: ``attack``, ``cast``, ``use``, ``move``, ``talk`` or the game's own word;
            default: ``attack`` with a target, else ``use``.
        :param odds: the probability of each result, where the rules know it; from 0 to 1, and 1
            in all.
        :param rolled: the result itself, where the game rolls ahead, or one by target; not told
            before its outcome. Its word, or with the damage ``{"result": "hit", "damage": 9}``.
        :param to: the viewers who may know of it, and for whom it is prepared; all, if none are
            named.
        :param action_id: an id of its own; with that of an earlier action, it changes that one,
            and its handle with it.
        """
        what = action_of(action, type, target)
        viewers = viewers_of(to)
        said = checked(ev.Action(0.0, action_id or "", None, actor, what, odds, rolled, viewers))
        return self._handle(self._entry.declare(said), said.actor, said.action or {}, viewers)

    def action(self, action_id: str) -> Action[M]:
        """The handle of a declared action, such as one from before the session was resumed.

        :raises StateError: if the world, as it stands, has no such action still to come.
        """
        known = self.world.actions.get(action_id)
        if known is None or known.resolved:
            raise StateError(f"no action {brief(action_id)} is open: declare it first")
        return self._handle(action_id, known.actor, known.action, known.to)

    def _handle(
        self, action_id: str, actor: str, what: Mapping[str, Any], to: tuple[str, ...]
    ) -> Action[M]:
        """The one handle of an action, which is what it was last declared to be."""
        with self._handles_lock:
            handle = self._handles.get(action_id)
            if handle is None:
                handle = self._handles[action_id] = Action(self, action_id, actor, what)
            handle.actor, handle._what, handle._to = actor, what, to
        return handle

    def retract(self, action: Action[M] | str) -> None:
        """A declared action will not happen after all.

        :raises StateError: for one that was never declared.
        """
        action_id, actor = self._id(action, "retract"), getattr(action, "actor", "")
        self._entry.declare(checked(ev.Action(0.0, action_id, None, actor, None)))

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
        what = action_of(action, type, target)
        found, viewers = results_of(result, results, values), viewers_of(to)
        said = checked(ev.Outcome(0.0, found, None, None, actor, what, viewers))
        return self._entry.outcome(said, None if state is None else self._entry.snapshot(state))

    def say(self, speaker: str, text: str, *, typing: bool = False) -> None:
        """What someone at the table said or typed; it points to what they are about to do.

        :param speaker: the id of an actor, or the ``player`` that the state names of one. Who is
            neither, such as a game master, is heard for the actor whose turn it is.
        :param typing: it is being typed: ``text`` is all of it so far, in the place of what this
            speaker was typing before. An empty one takes it back.
        """
        self._entry.put(checked(ev.Say(0.0, speaker, text, typing)))

    def need(self, resource: str) -> None:
        """Content that was needed now, such as ``statblock:sea-hag``."""
        self._entry.put(checked(ev.Need(0.0, resource)))

    def rewind(self, to: float) -> None:
        """Go back: to a time in seconds (float), or to a revision (int).

        All is as it was then: the state, the turn and its actions, what was done last. Times and
        revisions (``session.world.revision``: how many inputs there have been) go on, so one may
        go back to before a rewind as well. Nothing prepared since is told; what was told since
        stays in the transcript, marked as undone, and is no part of what prompts remember.

        :raises StateError: for what has not been yet; without ``log_dir``, for what is further
            back than is kept.
        """
        self._entry.rewind(to)

    def retell(self, what: Action[M] | Telling[M] | str) -> Telling[M]:
        """Tell what has happened again, differently.

        The new telling is of the same outcomes, as they were, and takes the place of the first in
        what prompts remember; viewers saw both, and the transcript has both. While the first is
        being told, it waits, or ends it, by the overlap policy, as an outcome would.

        :param what: an action, or its id: its last outcome is told again, with all that was told
            together with it; or a telling.
        :raises StateError: for what is unknown, has no outcome yet, was undone by a rewind, or,
            without ``log_dir``, is further back than is kept.
        """
        if isinstance(what, Telling):
            own = what._cancel == self._pipeline.cancel
            return self._entry.retell(what.id, int(what._asked[1:]) if own else 0)
        return self._entry.retell(self._id(what, "retell"))

    def plan(
        self,
        agent: str,
        snapshot: Any,
        *,
        goal: str = "",
        fallback: Fallback | None = None,
    ) -> Planning:
        """What an agent whom nobody plays will do, step by step; from any thread, never blocks.

        ::

            async for step in session.plan("grik", {"me": grik, "others": seen}, goal="hold on"):
                if not await act(step.tool, step.args):
                    step.failed("the door is barred")

        Ask as often as there is a newer scene: as long as nothing has changed that the plan cannot
        know of, it is the same one that is returned; else that one ends, and another begins. The
        first step is there at once, by rules; the model's steps take the place of what is left.
        A plan ends by its deadline, and each of its steps can be done as far as the tools and the
        snapshot say. See ``docs/plans.md``.

        :param snapshot: what the agent knows: ``me``, ``others`` by id, and what else there is; a
            mapping, dataclass or pydantic model.
        :param goal: for the prompt, in a few words. Another goal is another plan.
        :param fallback: what stands in for the model's plan, in the place of the rules: a plain
            and quick function of the agent, its snapshot and the tools, which gives steps
            (``{"do": "Attack", "target": "e1"}``). If it fails that is reported, and the rules
            stand in. It is called here, and again where a step fails.
        :raises StateError: for a snapshot that is not JSON or too large, an agent without an id, or
            a fallback that is no plain function. A model that fails raises nothing: see
            :attr:`foretell.Plan.status`.
        """
        return self._planned.plan(agent, snapshot, goal, fallback)

    def queue_agent(
        self, agent: str, snapshot: Any, *, goal: str = "", fallback: Fallback | None = None
    ) -> Planning:
        """The same, but asked together with others in one request: see :meth:`execute_batch`.

        It is asked with those queued beside it when ``plans.batch_size`` agents are,
        ``plans.batch_wait`` seconds after the first of them, or with :meth:`execute_batch`. Of two
        for one agent the later stands. On a server that answers many at once, :meth:`plan` is
        quicker; see ``docs/plans.md``.

        :raises StateError: as :meth:`plan` does.
        """
        return self._planned.plan(agent, snapshot, goal, fallback, together=True)

    async def execute_batch(self) -> dict[str, Plan]:
        """Ask what was queued now, and wait for the plans: by agent, in the order of their ids.

        One that came to nothing is there with its status; it costs the others nothing. Each agent
        has its steps before, as they come, from what :meth:`queue_agent` gave. Cancelled, it leaves
        all as it is. On the session's loop.
        """
        return await self._planned.execute()

    def plan_prompt(
        self, agent: str, snapshot: Any, *, goal: str = "", tier: Tier | str | None = None
    ) -> PlanPrompt:
        """What a model would be asked for a plan; nobody is asked.

        ``system`` and ``user`` are its text, ``characters`` and, estimated, ``tokens`` its size.

        :param tier: ``full``, ``simplified`` or ``compact``; default: that of the settings.
        :raises StateError: as :meth:`plan` does.
        :raises ConfigError: for another tier.
        """
        try:
            chosen = Tier(self.settings.plans.tier if tier is None else tier)
        except ValueError:
            raise ConfigError(f"tier {tier!r} is not known: use {', '.join(Tier)}") from None
        return self._planned.prompt(agent, snapshot, goal, chosen)

    def put(self, build: Callable[[float], ev.Input]) -> None:
        """Say anything that has no method of its own: ``build`` gets the time (seconds).

        :raises StateError: for what could not stand in a session log.
        """
        self._entry.check_open()
        self._entry.take(build(0.0))

    def play(self, event: ev.Input) -> Telling[M] | None:
        """Say an input as a log has it, at its own time; an outcome gives its telling.

        :raises StateError: where this session is recorded, for what could not stand in its log.
        """
        return self._entry.play(event)

    def _telling(self, number: int) -> Telling[M]:
        return Telling(
            f"t{number}",
            self._game.narration,
            self._pipeline.cancel,
            self._delivered,
        )

    def _delivered(self, telling: str, viewer: str, upto: int) -> None:
        if self._entry.closed:  # a viewer may be the last to hear of that
            log.info("session %s: %s was delivered after its end", self.id, telling)
        else:
            self.put(lambda t: ev.Delivered(t, telling, viewer, upto))

    def _id(self, action: Any, what: str) -> str:
        if isinstance(action, Action):
            if action._session.id != self.id:
                raise StateError(f"{action!r} is of session {action._session.id!r}, not this one")
            return action.id
        if not isinstance(action, str):
            raise StateError(f"{what} needs an action or its id, not {brief(action)}")
        return action

    # ── what comes out ────────────────────────────────────────────────────────────────────────

    @property
    def narrative(self) -> Observable[Narrative]:
        """The events of all tellings. A late subscriber first gets the one under way as it stands.

        What a subscriber raises is reported and spoils nothing; it completes with the session.
        """
        return self._pipeline.narrative

    @property
    def plans(self) -> Observable[PlanEvent]:
        """The events of all plans: begun, each step, ended. It completes with the session."""
        return self._pipeline.plans

    def subscribe(
        self, handler: Callable[[Narrative], Any], viewer: str | None = None
    ) -> abc.DisposableBase:
        """Call ``handler`` with each event of the narrative; dispose what is returned to stop.

        The handler may be an ``async def``: its calls then run one after the other, and when more
        than 1,024 events wait for it the oldest are dropped.

        :param viewer: only what this viewer may see.
        :raises StateError: for a handler that cannot be called.
        """
        if not callable(handler):
            raise StateError(f"subscribe needs a function, not {brief(handler)}")
        call = getattr(handler, "__call__", None)  # noqa: B004  # an object with an async one
        if not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(call)):

            def contained(event: Narrative) -> None:
                if not _may_see(event, viewer):
                    return
                try:
                    handler(event)
                except GUEST as error:
                    self._pipeline.guest_fault("subscriber", error)

            return self.narrative.subscribe(contained)

        async def feed() -> None:
            async with follow(self._seen_by(viewer)) as events:
                async for event in events:
                    try:
                        await handler(event)
                    except GUEST as error:
                        task = asyncio.current_task()
                        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
                            raise
                        self._pipeline.guest_fault("subscriber", error)

        return self._pipeline.readers.disposable(feed(), name="subscriber")

    async def tellings(
        self, viewer: str | None = None, *, bound: int = 1024, full: Full = Full.DROP_OLDEST
    ) -> AsyncGenerator[Narrative, None]:
        """The narrative as an async iterator, with a bound and a policy (see :func:`follow`)."""
        async with follow(self._seen_by(viewer), bound=bound, full=full) as events:
            async for event in events:
                yield event

    def poll(self, viewer: str | None = None) -> list[Narrative]:
        """The events since the last call, for a game whose loop is not asyncio; never blocks.

        May be called from any thread. The first call begins with the telling under way, as a late
        subscriber does, and so does the next one after 4,096 events that nobody has asked for,
        which are dropped.

        :param viewer: only what this viewer may see; each has its own place in the events.
        """
        with self._handles_lock:
            polled = self._polled.get(viewer)
            if polled is None:
                seen, on_loop = self._seen_by(viewer), self._pipeline.inputs.on_loop
                polled = self._polled[viewer] = Polled(seen, on_loop)
        return polled.take()

    def _seen_by(self, viewer: str | None) -> Observable[Narrative]:
        if viewer is None:
            return self.narrative
        return self.narrative.pipe(ops.filter(partial(_may_see, viewer=viewer)))

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
        """What this session came to: outcomes by how they were served, latency, tokens, dollars.

        ``ledger``: all model streams by purpose, model and what became of them. ``saved_usd``: what
        the main model would have cost for what was told from speculation. ``unpriced``: models that
        are not in the price list, and are counted as free. ``unstreamed``: answers that the server
        sent in one piece, though a stream was asked for: their text was there only at their end.

        ``prediction``: the shares of what was done in turns that had been the likeliest, and one of
        the three likeliest, before anybody declared it. ``bets``: for each context, and reason why
        something was thought of, how many variants were prepared, how many by their probabilities
        should have been told, and how many were. ``gate``: what came of other sessions at the same
        server: how often a speculation had to wait, was let in, and was closed for a player.
        """
        pipeline = self._pipeline
        found = pipeline.tally.report(pipeline.ledger, pipeline.audit)
        saved = pipeline.ledger.saved_usd(self.settings.main_model)
        return {
            **found,
            "saved_usd": round(saved, 6),
            "prediction": pipeline.foresight.report(),
            "bets": pipeline.economy.bets.report(),
        }

    def prefetch_plan(self) -> dict[str, Any] | None:
        """What is prepared now, in which order, and why; and what is not. ``None`` before a scene.

        Where content that has come brought the plan about, and nothing else has happened, its
        ``token_budget`` is what was left of the round. ``content``, if there is a source of it:
        what the scene needed, and what of it was loaded. See
        :meth:`~foretell.operators.schedule_plan.Plan.as_json`.
        """
        plan, contents = self._pipeline.planned, self._pipeline.contents
        if plan is None:
            return None
        if contents is None or contents.planned is None:
            return plan.as_json()
        return {**plan.as_json(), "content": contents.planned.as_json()}

    def prefetch_report(self) -> dict[str, Any]:
        """What speculation was worth so far: hits, accuracy, waste, and names.

        ``content``, if there is a source of it: the same of what was loaded from there. See
        :func:`~foretell.sinks.prefetch_report.report`; ``text`` beside it puts it in words.
        """
        pipeline = self._pipeline
        found = report(pipeline.speculated.metrics, pipeline.inputs.now)
        if pipeline.contents is None:
            return found
        return {**found, "content": report(pipeline.supplied.metrics, pipeline.inputs.now)}

    def plans_report(self) -> dict[str, Any]:
        """What plans came to so far: :meth:`~foretell.sinks.plan_tally.PlanTally.report`."""
        return self._pipeline.plan_tally.report()

    def content_changed(self, kind: str | None = None, name: str | None = None) -> None:
        """The content is another; see :meth:`Game.content_changed`. From any thread."""
        self._pipeline.content_changed(kind, name)

    def cache_status(self) -> dict[str, Any]:
        """What is prepared and kept, by layer, and what became of the rest; as plain JSON.

        See :class:`~foretell.sinks.store_stats.Stats`. With ``cache_url``, ``shared`` says how many
        variants were ``found`` there, and what the server has met.
        """
        return self._pipeline.kept.status()

    @property
    def alerts(self) -> Observable[Spent]:
        """What is news of the budgets: nearly used up, or the reason of a refusal; once each."""
        return self._pipeline.spending.alerts

    def summary(self, *, table: bool = False) -> str:
        """One line: ``Prefetch: X tokens used, Y tokens saved, Z% cache hits``.

        :param table: with a table below it: streams, tokens and dollars by purpose, model, and what
            became of them.
        """
        if table:
            return self._pipeline.tally.table(self._pipeline.ledger)
        return self._pipeline.tally.summary(self._pipeline.ledger)

    # ── the end ───────────────────────────────────────────────────────────────────────────────

    async def close(self, drain: float = 5.0) -> None:
        """End the session: speculation at once, the telling under way when it is whole.

        :param drain: seconds to wait for that, and for async subscribers to take in what there
            is; then it is ended and marked superseded. Cancelling ``close`` ends everything at
            once. Closing again waits for the first close, unless an async subscriber does it:
            the first waits for that.
        """
        if self._entry.closed:
            if asyncio.current_task() not in self._pipeline.readers:
                await self._gone.wait()
            return
        self.say_end()
        await self.finish(drain)

    def say_end(self) -> None:
        """The first half of :meth:`close`: nothing can be said any more."""
        self._entry.close()

    async def finish(self, drain: float) -> None:
        """The second half of :meth:`close`."""
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

    def __init__(
        self, session: Session[M], action_id: str, actor: str, what: Mapping[str, Any]
    ) -> None:
        self._session = session
        self.id = action_id
        self.actor = actor
        self._what = what
        self._to: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Action {self.id} of {self.actor}>"

    def outcome(
        self,
        result: str | None = None,
        *,
        results: Iterable[ev.Result | Mapping[str, Any]] | None = None,
        state: Any = None,
        to: Iterable[str] | None = None,
        **values: Any,
    ) -> Telling[M]:
        """What came of it. Returns the telling, which has begun already.

        :param result: ``hit``, ``miss``, ``critical``, ``success``, ``failure`` or the game's own
            word, with its ``values`` (``damage=9``, ``target_hp=4``, …) as further arguments.
            ``success`` and ``failure`` are the actor's: the attempt comes off, or it does not.
            Where a save is rolled they are the target's; say so beforehand with a ``save`` in the
            action (``{"type": "cast", "name": "fireball", "save": "dexterity"}``), or with
            ``test="save"`` here. A ``failure`` with damage is a save that failed, too.
        :param results: for several targets, ``[{"target": "goblin-1", "result": "failure",
            "values": {"damage": 12}}, …]`` in the place of ``result``.
        :param state: the state after it; the same as ``update(state, because=action)`` before.
        :param to: the viewers who may see it; default: those it was declared to, or all. ``()`` is
            all.
        :raises StateError: without a result, or with a state that cannot be used.

        The same again within a tenth of a second, with the same results, values and state, is a
        report that was made twice: it is told once, with a warning, and gives the telling of the
        first. A second blow of one action comes later, has other values or another state, or comes
        after a state ``because`` of the first.
        """
        found = results_of(result, results, values)
        viewers = viewers_of(self._to if to is None else to)
        entry, said = self._session._entry, checked(ev.Outcome(0.0, found, self.id, to=viewers))
        raw = None if state is None else entry.snapshot(state)
        return entry.outcome(said, raw, (self.actor, self._what))

    def retract(self) -> None:
        """It will not happen after all."""
        self._session.retract(self)


def _may_see(event: Narrative, viewer: str | None) -> bool:
    """Whether it is for this viewer; what is for everybody (``None``) is everything."""
    return viewer is None or not event.to or viewer in event.to
