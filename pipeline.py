"""The pipeline of a session: the one place where streams, operators and sinks are wired."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel
from reactivex import Observable, Subject, merge
from reactivex import operators as ops

from .asking import Asker, about
from .config import WRITTEN
from .operators.chances import Chances
from .operators.claim import NOTHING, Again, Claim
from .operators.classify import Context, Scene, classify, keys_of
from .operators.contents import Contents, SceneContent
from .operators.economy import Economy
from .operators.fingerprint import fingerprint, scene_fingerprints
from .operators.foresee import Candidate, Foresight
from .operators.generation import Generation, Generations, Told
from .operators.guarding import Guarding
from .operators.narrative import Ended, Narrative, Status
from .operators.overlap import Overlap, overlap, overlap_in
from .operators.plans.agents import Agents
from .operators.plans.registry import Registry
from .operators.plans.types import PlanEvent
from .operators.predict import Intensity, Variant, apart, planner, together
from .operators.prompts import Account
from .operators.publish import Published, publish
from .operators.refine import Addition, Refiner
from .operators.schedule_given import Constraints
from .operators.schedule_plan import Plan
from .operators.schedule_variants import fitted, variant_kinds
from .operators.select import Offer, Selector
from .operators.settle import give_way, settle
from .operators.sifting import sifted, words_of
from .operators.speculate import revoke, speculate
from .operators.summary import CHARS_PER_TOKEN, Chronicle
from .operators.switch_map import switch_map
from .operators.tell import Teller
from .operators.tongue import code_of
from .operators.views import Views
from .operators.wander import OFFERED
from .recording import open_log
from .resumed import Resumed
from .showing import Showing
from .sinks.audit import Audit
from .sinks.kept import Kept
from .sinks.ledger import EXPIRED, SUPERSEDED, Ledger
from .sinks.plan_shelf import PlanShelf
from .sinks.prefetch_gauge import Alert
from .sinks.prefetch_log import logged as logging_to
from .sinks.prefetch_shelf import Habits
from .sinks.recorder import Recorder
from .sinks.report import Tally
from .sinks.stock import Stock
from .sinks.store import Store
from .sinks.transcript import Transcript
from .spending import Spending
from .streams import events as ev
from .streams.clock import VirtualLoop
from .streams.footprint import PLACE, TALK, Footprint, covers
from .streams.history import History, NotKept
from .streams.inputs import Inputs
from .streams.log import LogWriter
from .streams.log_lock import LogLock
from .streams.models import Purpose, Request
from .streams.moments import Moments
from .streams.names import numbered
from .streams.tasks import Tasks
from .streams.timers import LoopTimers, Timers
from .streams.world import Numbered, World

if TYPE_CHECKING:
    from .game import Game
    from .replay.lockstep import Lockstep

__all__ = ["Pipeline"]

log = logging.getLogger("foretell")

M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")

PROMPT = 500
"""Tokens a prompt is thought to have, before one was sent."""

MOST_TRACES = 64
"""So many different faults are logged with their traceback, each once; the rest as one line."""

OF_LATE = 20
"""So many tellings are looked back on for how likely the next is asked for once more. Where it is
one in as many, a retelling prepared ahead saves time at the price of any other variant: on a
recorded combat it costs $0.0020 and saves 1.7 s, and the others save a second for $0.025."""

MOVES = frozenset((ev.Turn, ev.Action, ev.Outcome, ev.TurnEnd, ev.Rewind))
TO_TELL = frozenset((ev.Outcome, ev.Retell))


def is_move(world: World) -> bool:
    """A move never waits behind its own state."""
    return type(world.cause) in MOVES


def cross(one: Claim, other: Claim) -> bool:
    """Whether a viewer sees both, and so in their order; a retelling stands where the first did."""
    some, others = one.outcome.to, other.outcome.to
    seen = not (some and others) or not set(some).isdisjoint(others)
    return seen and one.again is None and other.again is None


def wants_telling(world: World) -> bool:
    """Something happened, or what happened is to be told again."""
    return type(world.cause) in TO_TELL


class Pipeline(Generic[M]):
    """What a session is made of, from its inputs to its viewers."""

    def __init__(
        self,
        game: Game[M],
        name: str,
        header: Mapping[str, Any],
        replaying: Lockstep | None = None,
        owner: str = "",
    ) -> None:
        settings, loop = game.settings, asyncio.get_running_loop()
        self.name = name
        self.intensity: Intensity = settings.intensity
        self._planned_at = self.intensity  # changes with the line that records it
        self._game = game
        self.settings = settings
        content = game.content is not None if replaying is None else replaying.content
        guarded = game.guard is not None if replaying is None else replaying.guarded
        own_tools = game.own_tools if replaying is None else replaying.tools
        self.registry = game.registry if own_tools is None else Registry.of(own_tools)
        stage = (PLACE, *TALK) if content else (PLACE,)
        footprint = Footprint(
            volatile=settings.volatile,
            stage=stage,
            context=lambda world: self._classify(world).context,
            contexts=keys_of(game.rules),
        )
        world_now = World(footprint=footprint)
        self._over = asyncio.Event()
        self._patience = math.inf
        self._loop = loop
        self._scene: Scene | None = None
        self._planned_anew: Subject[Scene] = Subject()
        self._faults: set[tuple[str, str]] = set()
        self._remarked: set[str] = set()
        self._views = Views(game.view, game.content_view, self._classify, self.fault)
        self._spare: Variant | None = None
        self._voice = 0  # how often that has changed which another text is written for
        self._moved = self._happened = 0  # the last input that was a move; an outcome, or a rewind
        self._lock: LogLock | None = None

        # Sinks, and what stands beside the streams.
        self.history = History(world_now, settings.history_bytes)
        stock = Stock(partial(game.variant_store, name), world_now, settings.cache_ttl)
        ledger = Ledger(game.price_list)
        before = Resumed(
            self.history,
            world_now,
            Transcript(),
            Tally(),
            ledger,
            Audit(),
            stock,
            Foresight(listens=settings.listen, context=lambda world: self._classify(world).context),
            Economy(ledger),
        )
        writer: LogWriter | Lockstep | None = replaying
        if replaying is None:
            writer, self._lock = open_log(name, settings, header, before)
        else:
            self.history.past = replaying.inputs
            before.read(replaying.before())
        self.transcript, self.tally, self.ledger = before.transcript, before.tally, before.ledger
        self.named, self.world_now, self.audit = before.named, before.world, before.audit
        self.foresight, self.economy = before.foresight, before.economy
        self.summaries = before.summaries
        self._said: Mapping[str, Any] = {}  # of what is foreseen
        until = max(self.world_now.t, writer.last_t if writer is not None else 0.0)
        self.tasks = Tasks(self.fault)
        self.tasks.held = replaying is not None
        self.readers = Tasks(self.guest_fault)
        self.inputs = Inputs(
            loop,
            start=loop.time() - until,
            number=before.number,
            take_in=self.tasks.take_in,
            take_in_now=self.tasks.take_in_now,
            lane=game.lane,
            last=self._on_last_input,
        )
        self.recorder = Recorder(self.inputs.clock, writer, self.fault, self.tasks)
        self.speculated, self.supplied = before.speculated, before.supplied
        self.speculated.tell = partial(self._on_alert, "variants")
        self.supplied.tell = partial(self._on_alert, "content")
        outer = self.recorder if replaying is None else replaying
        self.economy.now = lambda: outer.moment
        self.plan_tally = before.plans
        listeners = self.speculated, self.supplied, self.economy, self.economy.bets, self.plan_tally
        for listener in listeners:
            self.recorder.listen(listener.heard)
        self.recorder.listen(self.tally.heard)
        self.recorder.listen(self.ledger.heard)
        if game.metrics is not None and replaying is None:
            self.recorder.listen(game.metrics.session())
        cache = game.shared_cache() if replaying is None else None
        shared = cache is not None if replaying is None else replaying.shared_cache
        sharing = {"shared_cache": True} if shared else {}
        supplied = {"content": True} if content else {}
        judged = {"guarded": True} if guarded else {}
        tools = {} if own_tools is None else {"tools": own_tools}
        self.recorder.trace("~opened", **game.described(), **sharing, **supplied, **judged, **tools)
        for cut in before.cut():
            self.recorder.trace("~told", **cut)
            self.tally.restore({"kind": "~told", **cut})
            self.transcript.restore({"kind": "~told", "t": self.inputs.now, **cut})
        self.timers: Timers = LoopTimers(
            loop, lambda name: self.recorder.trace("~timer", name=name), self.tasks.take_in
        )
        if replaying is not None:
            self.timers = replaying.timers
        self._drained = self.timers.alarm("drain", self._on_drained)
        self.contents = self._contents(replaying) if content else None
        self._store = store = Store()
        self._constraints = Constraints.of(settings.schedule)
        self._kinds = variant_kinds(
            settings.max_tokens + PROMPT,
            settings.schedule.min_confidence_for_variants,
            *(() if self.contents is None else (self.contents.kinds,)),
        )
        self.planned: Plan | None = None
        self.kept = Kept(
            stock,
            self.timers,
            lambda: self.inputs.now,
            self.tasks,
            self.recorder.trace,
            on_expired=lambda name: self.ledger.wasted(name, EXPIRED),
            writers=settings.writers,
            shared=shared,
            cache=cache,
        )
        self.showing = Showing[M](
            name,
            self.transcript,
            self.audit,
            self.tally,
            self.kept,
            self.recorder.trace,
            quiet=replaying is not None,
        )
        self.spending = Spending(
            name,
            settings,
            self.ledger,
            self.economy,
            game.budgets.of(owner),
            loop.time,
            lambda: self._planned_at,
            lambda: self.generations.live,
            self.recorder.trace,
            self.guest_fault,
            None if replaying is None else replaying.refusal,
        )
        self.generations = Generations(
            game.model if replaying is None else replaying.model,
            self.tasks,
            self.recorder.trace,
            lambda: self.inputs.now,
            limit=settings.max_speculations,
            gate=game.gate() if replaying is None else replaying.gate,
            most=settings.max_speculations_process,
            on_open=self.spending.purse.opened,
            on_end=self._on_generated,
            on_bind=self.audit.on_bind,
            on_deliver=self._on_delivered,
        )
        self.generations.opened = before.opened
        self.guarding = self._guarding(replaying) if guarded else None
        self._asker = Asker(
            game, self.transcript, self._views, self.contents, self._remark, before.summaries
        )
        refiner = Refiner(
            self._to_refine,
            self.generations,
            self.timers,
            self.recorder.trace,
            game.text_field,
            on=lambda: self.settings.refine,
            limit=lambda: self.settings.refine_limit,
            judge=None if self.guarding is None else self.guarding.ask,
            language=self._cut_by,
            wanted=lambda: code_of(self.settings.language),
        )
        selector = Selector(
            self._to_select,
            self.generations,
            self.timers,
            self.recorder.trace,
            on=lambda: self.settings.select,
            limit=lambda: self.settings.select_limit,
        )
        self.teller = Teller(
            self.generations,
            store,
            lambda: self.world_now,
            self._classify,
            self._asked_now,
            self.recorder.trace,
            lambda: self.inputs.now,
            self.timers,
            moment=self.economy.now,
            deadline=settings.deadline,
            text_field=game.text_field,
            check=self._asker.check,
            on_serve=lambda made_for, what: self.audit.on_serve(
                made_for, what.result, what.values.get("target_hp"), what.target
            ),
            recall=self._recall,
            shown=None if game.view is None else self._views.shown,
            guarded=None if self.guarding is None else self._guarded,
            refiner=refiner,
            selector=selector,
        )
        self.agents = Agents(
            self.registry,
            settings.plans,
            lambda: self.settings.main_model,
            self.generations,
            self.tasks,
            self.timers,
            lambda: self.inputs.now,
            self.economy.now,
            self.recorder.trace,
            self.spending.allow,
            lambda: self.world_now.revision,
            self.fault,
            PlanShelf.of(self.registry, settings.plans, self.economy.now),
        )
        self.chronicle = Chronicle(
            before.summaries,
            self.transcript.since,
            lambda summed, told: self.spending.beside(self._asker.summary(summed, told)),
            self.generations,
            self.timers,
            self.tasks,
            self.recorder.trace,
            due=self._summary_due,
            most=lambda: self.settings.summary_tokens * CHARS_PER_TOKEN,
            idle=lambda: not self.teller.open,
            revision=lambda: self.world_now.revision,
        )
        tell = overlap(
            self.teller.tell,
            self.teller.skip,
            self._overlap_of,
            self.tasks,
            together=self.teller.together,
            crosses=cross,
            on_start=lambda claims: self.recorder.trace(
                "~turn_to_tell", telling=claims[0].telling, group=len(claims)
            ),
        )
        preparing = switch_map(
            speculate(
                self.generations,
                store,
                self._speculative,
                self.timers,
                self._asker.flawed,
                self.kept,
                self.spending.asked_of,
                None if self.contents is None else self._ready,
                limit=settings.variant_limit,
                text_field=game.text_field,
                judge=None if self.guarding is None else self._judge,
            ),
            self.tasks,
            self.fault,
            self.timers,
            key=lambda variant: variant.slot,
            teardown_limit=settings.teardown_limit,
            slow_teardown=self._on_slow_teardown,
        )
        settled = settle(settings.quiet, settings.max_wait, self.timers, flush=is_move)
        peek = _no_content if self.contents is None else self.contents.peek
        chances = Chances(game.odds, self.foresight.odds, peek, self.fault)
        self._planner = planner(
            lambda: self._planned_at,
            settings.max_variants,
            self._foreseen,
            scene_of=self._classify,
            otherwise=chances.likely,
            harm=chances.harm,
            strategy=lambda: together if self.settings.variants == "trunk" else apart,
        )
        self._wished = self._sound("plan", self._wish, lambda scene: ())
        plan = self._sound("plan", self._plan, lambda scene: ())
        self._classified = classified = self._sound(
            "classify", self._classify, lambda world: Scene(world, Context.IDLE)
        )

        # The page. Subscribed from the top down; each published stream is connected after its
        # own readers, so that on one event: revoke, then tell takes its lease, then the new scene.
        inputs: Published[Numbered] = self.inputs.pipe(publish(self.guest_fault))
        world: Published[World] = inputs.pipe(
            ops.map(self._advanced),
            publish(self.guest_fault),
        )
        revoked: Observable[Generation] = world.pipe(revoke(self.generations))
        narrative: Published[Narrative] = world.pipe(
            ops.filter(wants_telling),
            ops.map(self._sound("claim", self._claim, self._unclear)),
            tell,
            publish(self.guest_fault, self.showing.present),
        )
        scenes: Published[Scene] = world.pipe(
            settled,
            give_way(self.tasks, wants_telling),
            ops.map(classified),
            ops.distinct_until_changed(
                self._sound(
                    "fingerprint", scene_fingerprints(), lambda scene: str(scene.world.number)
                )
            ),
            publish(self.guest_fault),
        )
        prepared: Observable[Generation] = merge(scenes, self._planned_anew).pipe(
            ops.map(plan), preparing
        )

        plans: Published[PlanEvent] = self.agents.events.pipe(publish(self.guest_fault))

        self.world, self.narrative, self.scenes, self.plans = world, narrative, scenes, plans
        inputs.subscribe(self.recorder.on_input)
        world.subscribe(self._on_world)
        revoked.subscribe(self._on_revoked)
        narrative.subscribe(self._on_narrative, on_completed=self._on_told)
        scenes.subscribe(self._on_scene)
        self._preparing = prepared.subscribe()
        self._wired = [
            plans.connect(),
            narrative.connect(),
            scenes.connect(),
            world.connect(),
            inputs.connect(),
        ]
        if before.number:  # it goes on where it was: what was prepared then is prepared again
            scene = classified(self.world_now)
            self._on_scene(scene)
            self._planned_anew.on_next(scene)

    def _contents(self, replaying: Lockstep | None) -> Contents:
        """The content of its scenes; in a replay it is what the recording has of it."""
        return Contents(
            self._game.content if replaying is None else None,
            self._game.preloads,
            self.tasks,
            Moments(self.timers, self.economy.now),
            self.settings.schedule,
            self.recorder.trace,
            self.fault,
            self.guest_fault,
            habits=Habits(),
            tell=logging_to(log, once=True) if replaying is None else lambda event: None,
            busy=lambda: bool(self.teller.open),
            anew=self._on_other_content,
            noticed=self._game.content_noticed,
        )

    def _guarding(self, replaying: Lockstep | None) -> Guarding:
        """The game's guard; in a replay it is what the recording has of it."""
        return Guarding(
            self._game.guard if replaying is None else None,
            self.tasks,
            self.timers,
            self.settings.guard_limit,
            self.recorder.trace,
            self.guest_fault,
        )

    def _guarded(self, generation: Told) -> AsyncGenerator[str, None]:
        assert self.guarding is not None
        ask = partial(self.guarding.ask, generation.id)
        return sifted(generation, ask, self._game.text_field, self._cut_by())

    def _cut_by(self) -> str:
        """The language by which texts are cut into sentences."""
        return code_of(self.settings.language) or "en"

    async def _judge(self, finished: Sequence[Told]) -> None:
        """Clear those finished variants that the guard lets through; it is asked of all at once."""
        guarding, field = self.guarding, self._game.text_field
        assert guarding is not None
        left = [each for each in finished if not each.cleared]
        asked = [guarding.ask(each.id, words_of(each.written, field)) for each in left]
        try:
            for each, verdict in zip(left, asked, strict=True):
                each.cleared = await verdict is None
        finally:
            for verdict in asked:
                verdict.drop()

    def _summary_due(self) -> int:
        """So many characters have to be told for another summary; 0 is for none at all."""
        tokens, remembered = self.settings.summary_tokens, self.settings.memory_tokens
        return max(tokens, remembered) * CHARS_PER_TOKEN if tokens else 0

    def _on_other_content(self) -> None:
        """What was prepared with other content is prepared anew."""
        if self._scene is not None:
            self.spending.costs.go_on()
            self._planned_anew.on_next(self._scene)

    @property
    def open_turn(self) -> str:
        """The turn that is open in the world as it stands, or an empty name."""
        turn = self.world_now.turn
        return turn.turn if turn is not None else ""

    def prepare_at(self, intensity: Intensity) -> None:
        """Change how much is prepared; from any thread."""
        self.intensity = intensity
        if not self._over.is_set():
            self._loop.call_soon_threadsafe(self.tasks.take_in, self._plan_anew)

    def _plan_anew(self) -> None:
        self.plan_at(self.intensity)

    def plan_at(self, intensity: Intensity | str) -> None:
        """Change how much is prepared, now."""
        self.intensity = self._planned_at = Intensity(intensity)
        self.recorder.trace("~intensity", intensity=self.intensity)
        if self._scene is not None:
            self._planned_anew.on_next(self._scene)

    def apply(self, changed: Mapping[str, Any]) -> None:
        """Change settings; from any thread."""
        self.settings.changed(changed)  # raises here, and not on the loop
        if not self._over.is_set():
            apply = self._sound("settings", self.apply_now, lambda changed: None)
            self._loop.call_soon_threadsafe(self.tasks.take_in, partial(apply, changed))

    def apply_now(self, changed: Mapping[str, Any]) -> None:
        """Change settings, now."""
        self.settings = settings = self.settings.changed(changed)
        self.recorder.trace("~settings", changed=changed)
        self._asker.apply(settings)
        self.spending.apply(settings)
        self.kept.writers = settings.writers
        if "intensity" in changed:
            self.intensity = self._planned_at = settings.intensity
        self._voice += not WRITTEN.isdisjoint(changed)
        if self._scene is not None:
            self._planned_anew.on_next(self._scene)

    def content_changed(self, kind: str | None, name: str | None) -> None:
        """Load content anew; from any thread."""
        if self.contents is not None and not self._over.is_set():
            self._loop.call_soon_threadsafe(self.contents.content_changed, kind, name)

    def cancel(self, telling: str) -> None:
        """End a telling early, at the game's wish; from any thread."""
        self.inputs.on_loop(lambda: self.tasks.take_in(partial(self.end_telling, telling)))

    def end_telling(self, telling: str) -> None:
        """End a telling early, now, if it is not over."""
        if telling in self.teller.open or int(telling[1:]) > self.world_now.number:
            self.recorder.trace("~cancel", telling=telling)
            self.teller.cancel(telling)

    def _classify(self, world: World) -> Scene:
        return classify(world, self._game.rules)

    def _sound(
        self, where: str, work: Callable[..., R], otherwise: Callable[..., R]
    ) -> Callable[..., R]:
        """``work``, but what it raises is reported, and the stream goes on with something else."""

        def soundly(*given: Any) -> R:
            try:
                return work(*given)
            except Exception as error:
                self.fault(where, error)
                return otherwise(*given)

        return soundly

    def _advanced(self, numbered: Numbered) -> World:
        return self.history.advance(self.world_now, numbered)

    def _on_world(self, world: World) -> None:
        before, self.world_now = self.world_now, world
        self.audit.on_world(world)
        self.kept.on_world(world)
        if is_move(world):
            self._on_move(before, world)
        if self.contents is not None and _other_stage(world):
            self.contents.on_scene(self._classified(world))  # it does not wait until that settles
        if world.warning is not None:
            self._warn(world.warning)
        match world.cause:
            case ev.State(because=because) | ev.Patch(because=because) if because is not None:
                for generation in dict.fromkeys(self.teller.shown(world, because)):
                    generation.revoke()
                    self._on_revoked(generation)
            case ev.State():
                pass
            case ev.Need(resource=resource) if self.contents is not None:
                self.contents.need(resource)
            case ev.Delivered(telling=telling, viewer=viewer, upto=upto):
                unheard = self.transcript.delivered(telling, viewer, upto)
                if unheard is not None:
                    self.chronicle.unheard(unheard)

    def _warn(self, what: str) -> None:
        log.warning("session %s: %s", self.name, what)
        self.recorder.trace("~warning", text=what)

    def _remark(self, what: str) -> None:
        """Warn of it once, and record it each time."""
        if what not in self._remarked:
            log.warning("session %s: %s", self.name, what)
        if len(self._remarked) < MOST_TRACES:
            self._remarked.add(what)
        self.recorder.trace("~warning", text=what)

    def _on_move(self, before: World, world: World) -> None:
        self.foresight.on_world(before, world)
        self.economy.on_world(before, world)
        if isinstance(world.cause, ev.Turn):
            self.spending.on_turn()
        self.speculated.on_world(world)
        if isinstance(world.cause, ev.Rewind):
            self.transcript.rewound(world.stands)
            self.summaries.rewound(world.stands)
            self.chronicle.rewound()
            self.teller.cancel_unheard(world.stands)
        self._moved = world.number
        if isinstance(world.cause, ev.Outcome | ev.Rewind):
            self._happened = world.number
        if self._spare is not None and (self._happened == self._moved or not self._spare.value):
            self._prepare_again(None)

    def _on_revoked(self, generation: Generation) -> None:
        self.recorder.trace("~revoked", generation=generation.id)
        self.ledger.wasted(generation.id, SUPERSEDED)

    def _on_scene(self, scene: Scene) -> None:
        self._scene = scene
        self.recorder.trace("~scene", context=scene.context, revision=scene.world.revision)
        if self.contents is not None:
            self.contents.on_scene(scene)

    def _on_narrative(self, event: Narrative) -> None:
        self.showing.on_event(event)
        self.agents.on_narrative(event)
        if isinstance(event, Ended) and event.status is Status.DONE:
            self._asker.foreign(event.text, event.telling)
        self.chronicle.on_narrative(event)
        if isinstance(event, Ended) and event.status is Status.DONE and event.retells is None:
            self._prepare_again(self._once_more(event))

    def _on_generated(self, generation: Generation) -> None:
        self.tally.unstreamed += generation.whole
        self.spending.ended(generation)

    def _on_delivered(self, generation: Generation) -> None:
        share = generation.share
        self.ledger.served(generation.id, share)
        self.kept.told(generation)
        part = {} if share == 1 else {"share": share}
        self.recorder.trace("~served", generation=generation.id, **part)

    # ── what is told again ────────────────────────────────────────────────────────────────────

    def _claim(self, world: World) -> Claim:
        if not isinstance(world.cause, ev.Retell):
            return self.teller.claim(world)
        name = world.cause.action_id
        claim = self.teller.retell(world, world.told.get(name, numbered(name)))
        if claim.cancelled:
            log.warning("session %s: %r cannot be told again", self.name, name)
        return claim

    def _overlap_of(self, claim: Claim) -> Overlap:
        return overlap_in(self._classified(claim.world).context, self.settings.overlap)

    def _unclear(self, world: World) -> Claim:
        if isinstance(world.cause, ev.Retell):
            return self.teller.retell(world, None)
        return self.teller.unclear(world)

    def _recall(self, number: int) -> Again | None:
        """All that was told together with an outcome, if it stands and is kept, as it happened."""
        if not (0 < number <= self.world_now.number and self.world_now.stands(number)):
            return None
        if (claim := self.teller.waiting(number)) is not None and claim.again is None:
            return Again(claim.telling, (claim.world,), claim)
        first = self.transcript.of(number)
        together = (number,) if first is None or first.undone else first.outcomes
        place = f"t{number}" if first is None else first.telling
        try:
            worlds = tuple(self.history.at(each) for each in together)
        except NotKept:
            return None
        if not all(isinstance(world.cause, ev.Outcome) for world in worlds):
            return None
        return Again(place, worlds)

    def _once_more(self, event: Ended) -> Variant | None:
        """The telling that is just over, another time, in case somebody asks for that.

        Who has asked for retellings may do so till something else happens, even if the next turn
        has begun; for anybody else it is prepared only while nothing moves on.
        """
        likely = self.transcript.retold(OF_LATE)
        wanted = likely > 0 or self._planned_at is Intensity.AGGRESSIVE
        again = None
        if wanted and (self._happened if likely else self._moved) in event.outcomes:
            again = self._recall(event.outcomes[-1])
        if again is None:
            return None
        entries = again.entries
        return Variant(
            slot=again.slot,
            fingerprint="",
            scene=self._classify(again.worlds[-1]),
            declared=entries[0].declared,
            depends=NOTHING,
            value=likely,
            source="retell",
            partial=False,
            account=Account(entries, to=event.to),
        )

    def _prepare_again(self, spare: Variant | None) -> None:
        """Prepare a retelling beside all else that is prepared, or drop the one there was."""
        if spare is not self._spare:
            self._spare = spare
            if self._scene is not None:
                self._planned_anew.on_next(self._scene)

    def _foreseen(self, scene: Scene) -> Sequence[Candidate]:
        """What may come; what is none of it declared, is said with the reason, where it is news."""
        found = self.foresight.candidates(scene)
        if found and found[0].source != "declared":
            said = self.foresight.said(scene.world)
            if said != self._said:
                self._said = said
                self.recorder.trace("~foreseen", **said)
        return found

    def _wish(self, scene: Scene) -> tuple[Variant, ...]:
        self.foresight.catch_up()  # or the odds would depend on whether anybody asked for a report
        wanted = self._planner(scene, self._spare)
        return self._revised(tuple(each for each in wanted if self._tellable(scene.world, each)))

    def _tellable(self, world: World, variant: Variant) -> bool:
        """Whether those it is for may know of everybody it is about, and of what is thought of."""
        declared, to, views = variant.declared, variant.to, self._views
        if variant.account is not None:
            return True
        ends = variant.endings or (variant,)
        about = dict.fromkeys((declared.actor, *(each.target for each in ends)))
        return all(views.sees(world, declared, each, to) for each in about) and (
            variant.source == "declared"
            or self.foresight.openly(declared.action)
            or views.lists(world, declared, to)
        )

    def _plan(self, scene: Scene) -> tuple[Variant, ...]:
        """Have the content loaded, and the variants prepared, that the scheduler has room for."""
        wanted, contents, holds = self._wished(scene), self.contents, self._store.holds
        beside = () if contents is None else (contents.predictions, contents.state)
        limits, costs = self._constraints, self.spending.costs
        if limits.token_budget != costs.left:
            limits = replace(limits, token_budget=costs.left)
        fits, self.planned, content = fitted(
            wanted, limits, holds, costs.learned, self._kinds, *beside
        )
        this_round = costs.begin(self.planned, [each for each in fits if not holds(each)])
        if contents is not None:
            contents.take(content, this_round)
        return fits

    def _revised(self, wanted: tuple[Variant, ...]) -> tuple[Variant, ...]:
        """The variants as they have to be prepared with the content and voice of now."""
        contents, voice = self.contents, (("", self._voice),) if self._voice else ()
        if contents is None and not voice:
            return wanted
        return tuple(
            replace(each, content=voice)
            if contents is None or each.account is not None
            else replace(
                each,
                content=(*voice, *contents.revision(about(each.scene.world, each.declared))),
            )
            for each in wanted
        )

    async def _ready(self, variant: Variant) -> None:
        """Wait for the content of a variant; what the place or the talk offers has more time."""
        assert self.contents is not None
        slow = variant.source == OFFERED
        of = about(variant.scene.world, variant.declared) if slow else ()
        await self.contents.ready(of, str(variant.slot))

    def _on_alert(self, of: str, alert: Alert) -> None:
        log.info("session %s: prefetch of %s: %s", self.name, of, alert)

    def _on_slow_teardown(self, variant: Variant, seconds: float) -> None:
        log.warning("session %s: a closed stream still ran after %g s", self.name, seconds)
        self.recorder.trace("~slow_teardown", result=variant.result, target=variant.target)

    def fault(self, where: str, error: BaseException) -> None:
        """Report what a guest, or we, did wrong; the session goes on."""
        self._report(where, error)
        self.refault(where, type(error).__name__)

    def guest_fault(self, where: str, error: BaseException) -> None:
        """Report what somebody did wrong whom a replay does not have: a subscriber, a model."""
        self._report(where, error)
        self.tally.faults += 1
        name = type(error).__name__
        self.tasks.take_in(lambda: self.recorder.trace("~fault", where=where, error=name))

    def refault(self, where: str, error: str) -> None:
        """Count and record a fault; a replay does it for those it does not have."""
        self.tally.faults += 1
        self.recorder.trace("~fault", where=where, error=error)

    def _report(self, where: str, error: BaseException) -> None:
        first = (where, repr(error)) not in self._faults
        trace = error if first and len(self._faults) < MOST_TRACES else None
        if trace is not None:
            self._faults.add((where, repr(error)))
        log.error("session %s: %s raised %r", self.name, where, error, exc_info=trace)

    def _speculative(self, variant: Variant, account: Account) -> Request | None:
        place, world = None, self.world_now
        if variant is self._spare:
            place = variant.slot[2]
        elif variant.account is not None or (
            world is not variant.scene.world
            and fingerprint(world, variant.depends) != variant.fingerprint
        ):
            return None  # the world has moved on while the one before it was closing
        return self._asker.request(variant.scene, account, Purpose.PREFETCH, place)

    def _asked_now(self, scene: Scene, account: Account, place: str | None) -> Request:
        """What a model is asked that a player waits for."""
        if self.contents is not None:
            self.contents.begin()
        request = self._asker.request(scene, account, Purpose.FOREGROUND, place)
        self.spending.allow(request)
        return request

    def _to_refine(self, scene: Scene, addition: Addition) -> Request:
        """What the small model is asked for behind what is shown."""
        request = self._asker.refinement(scene, addition)
        self.spending.allow(request)
        return request

    def _to_select(self, scene: Scene, offer: Offer) -> Request:
        """What the small model is asked where no variant has the name of what happened."""
        request = self._asker.selection(scene, offer)
        self.spending.allow(request)
        return request

    async def drain(self, seconds: float) -> None:
        """End speculation, and wait for what is being told and for async subscribers.

        Not longer than ``seconds``; what is still being told then is ended. Nothing of the
        pipeline runs afterwards, however it ends, and every handle has come to its end.
        """
        try:
            self._patience = seconds
            self.inputs.finish()
            until = self._loop.time() + seconds
            await self._over.wait()
            await self._heard(until)
        finally:
            await self.inputs.drained()
            for telling in self.teller.open:
                self.cancel(telling)
            await self._over.wait()
            for wired in self._wired:
                wired.dispose()
            try:
                await self.tasks.aclose()
            finally:
                self.tasks.held = True
                self.generations.leave()
            self.recorder.trace("~over")
            self.showing.abandon(self.inputs.now)
            if isinstance(self._loop, VirtualLoop):
                self.recorder.close()
            else:
                await self.recorder.aclose()
            if self._lock is not None:
                self._lock.release()
            await self.readers.aclose()  # last, for it may be one of them that closes

    def _on_last_input(self) -> None:
        self._preparing.dispose()
        self.agents.close()
        self.chronicle.close()
        if self.contents is not None:
            self.contents.close()
        self.inputs.complete()
        if not self._over.is_set():
            self._drained.set(self.timers.time() + self._patience)

    def _on_drained(self) -> None:
        self.teller.cancel_all()

    def _on_told(self) -> None:
        self._drained.cancel()
        self.kept.close()  # before who still listens is waited for: a replay has nobody
        self._over.set()

    async def _heard(self, until: float) -> None:
        """Wait until async subscribers have taken in all there is."""
        own = asyncio.current_task()
        if reading := [task for task in self.readers._running if task is not own]:
            await asyncio.wait(reading, timeout=max(0.0, until - self._loop.time()))


def _other_stage(world: World) -> bool:
    """Whether this very input has changed what every text may speak of."""
    stage = world.footprint.stage
    return any(covers(known, path) for path, _ in world.fresh for known in stage)


def _no_content(actors: Collection[str | None]) -> SceneContent:
    return {}
