"""The content of a session: what its scenes need, loaded ahead, and at hand for its prompts."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from dataclasses import replace
from functools import partial
from typing import Any, Protocol

from ..streams.content import ContentSource, kind_of
from ..streams.places import is_behind
from ..streams.tasks import Tasks
from ..streams.timers import Timers, timeout
from .classify import Scene
from .content_asking import kinds_asking
from .content_wanted import Wants
from .executor import Executor
from .fetch_events import Fetched, What
from .fetch_heard import line_of
from .fetch_job import Round
from .generation import Trace
from .preload import Preload, is_of, key_of
from .publish import Fault
from .schedule import schedule
from .schedule_given import State
from .schedule_items import Item
from .schedule_plan import Plan, Verdict
from .schedule_settings import Scheduling

__all__ = ["Contents"]

MOST_KEPT = 256

PATIENCE = 1.0
"""Seconds that a text waits for its content which nobody waits for."""

SceneContent = Mapping[str, Mapping[str, Any]]
"""By kind, and by the actor it is about, or by its own name."""


class Habits(Protocol):
    """What was used of late, and how often today."""

    def used(self, key: str, t: float) -> None: ...
    def accessed(self, now: float) -> Mapping[str, float]: ...
    def used_today(self, now: float) -> Mapping[str, int]: ...


class Contents:
    """Loads what scenes need, through the scheduler, and has it for prompts.

    ::

        scenes     --combat(mira, sea hag)-----------exploration--
        wanted       spell_list:mira stat_block:sea hag   lore:old mill
        source       [--found---|    [--found-|            [---|
        prompts                  have what there is

    What a source gives, or that it fails, comes from outside: it is taken in, and recorded, so
    that a replay needs no source. That a source has nothing is content as well, and is not asked
    for again. What a scene does not need any more stays as long as there is room.

    :param source: ``None`` for a replay: what the recording holds is handed in.
    :param timers: with the moments of the recording, :class:`~foretell.streams.moments.Moments`.
    :param trace: records what is asked for and what comes, and what prompts found there.
    :param fault: told what goes wrong here, and ``guest_fault`` what does with the source.
    :param tell: told of all that happens to items.
    :param busy: whether the background has to wait.
    :param anew: called when prompts would be others now: content has changed.
    :param noticed: told what the source says of itself has changed: a kind, ``kind:name``, or all.
    """

    def __init__(
        self,
        source: ContentSource | None,
        preloads: Sequence[Preload],
        tasks: Tasks,
        timers: Timers,
        settings: Scheduling,
        trace: Trace,
        fault: Fault,
        guest_fault: Fault,
        *,
        habits: Habits,
        tell: Callable[[Fetched], None],
        busy: Callable[[], bool],
        anew: Callable[[], None],
        noticed: Callable[[str], object],
    ) -> None:
        self.planned: Plan | None = None
        self._latest: Plan | None = None
        self._round = Round(0)
        self._tried: set[str] = set()  # in this round
        self._tasks = tasks
        self._timers = timers
        self._trace = trace
        self._fault = fault
        self._limits = settings
        self._habits = habits
        self._anew = anew
        self._noticed = noticed
        self._wants = Wants(preloads, fault)
        self._known: dict[str, Any] = {}
        self._due = False
        self._another: set[str] = set()  # and not here yet
        self._awaited: dict[asyncio.Future[None], set[str]] = {}
        self.kinds = kinds_asking(source, preloads, self._wants.asks)
        self.executor = Executor(
            self.kinds,
            self,
            tasks,
            timers,
            fault,
            settings,
            busy=busy,
            needed=lambda key: key in self._wants.now,
            on_context=lambda item, value: self._want_anew(),
            heard=lambda *heard: trace("~content", **line_of(*heard)),
        )
        self.executor.idle.append(lambda: tasks.soon(self._take_more))
        self.executor.listeners += [tell, self._on_event]
        changes = getattr(source, "changes", None)
        if changes is not None:
            tasks.start(self._watch(changes, guest_fault), name="content", outside=True)

    # ── what is wanted ────────────────────────────────────────────────────────────────────────

    def on_scene(self, scene: Scene) -> None:
        """Want what a scene needs; what was for the one before it is for no prompt any more."""
        kept = {*self._known, *self.executor.pending}
        self._forget(self._wants.on_scene(scene, kept, self._known))
        self._another &= {*self._wants.now}

    def _want_anew(self) -> None:
        """What came changes what the scene needs."""
        if self._wants.scene is not None:
            self.on_scene(self._wants.scene)
        self._anew()

    @property
    def predictions(self) -> list[Item]:
        """What is to be there, whether it is or not."""
        return [wanted.item for wanted in self._wants.now.values()]

    @property
    def state(self) -> State:
        """How things are, for a plan of what is to be loaded."""
        now, limits, scene = self._timers.time(), self._limits, self._wants.scene
        return State(
            frozenset(self._known),
            self.executor.pending,
            {"context": None if scene is None else scene.context},
            self.executor.unavailable,
            self._habits.accessed(now),
            self._habits.used_today(now),
            self.executor.costs.within(
                min(limits.max_prefetch_tokens, limits.max_background_tokens),
                limits.time_budget_ms,
            ),
        )

    def take(self, plan: Plan, of: Round) -> None:
        """Load what a plan says, with what others leave of the round."""
        self.planned = plan
        if of is not self._round:
            self._tried.clear()
        self._load(plan, of)

    def _load(self, plan: Plan, of: Round) -> None:
        self._latest, self._round = plan, of
        if taken := [key for entry in plan.taken for key in entry.keys]:
            self._trace("~preload", keys=taken)
            self._tried.update(taken)
        self.executor.take(plan, of)

    def _take_more(self) -> None:
        """Load what had no room, if what had was less than was thought: from the same tokens.

        What has been tried and is not there waits for the next round, or it would be tried at once.
        """
        plan, of = self._latest, self._round
        if plan is None or all(entry.verdict is not Verdict.TOKENS for entry in plan.entries):
            return
        limits = replace(
            plan.constraints,
            token_budget=max(0, of.limit - of.spent),
            time_budget_ms=max(0.0, plan.constraints.time_budget_ms - plan.ms),
        )
        state = self.state
        state = replace(state, unavailable=state.unavailable | self._tried)
        more = schedule(self.predictions, limits, state, self.kinds)
        if more.taken:
            self._load(more, of)

    async def ready(self, about: Collection[str] = (), called: str = "") -> None:
        """Wait for what must be there first, 100 ms at most.

        What has just become another cannot be there already, and it is no error that it is not.

        :param about: of whom, or what, all that is on its way is waited for as well, a second at
            most; ``called`` names who waits so long.
        """
        await self.executor.ready(self._another)
        keys = {key for key, _, of in self._wants.of(about) if any(of)}
        if not keys & self.executor.pending:
            return
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._awaited[over] = keys
        try:
            async with timeout(self._timers, f"content {called}", PATIENCE):
                await over
        except TimeoutError:
            pass
        finally:
            del self._awaited[over]

    def _come(self) -> None:
        """Who waits for nothing more goes on."""
        for over, keys in self._awaited.items():
            if not over.done() and not keys & self.executor.pending:
                over.set_result(None)

    def begin(self) -> None:
        """What a player waits for starts with what is there; what must be and is not, is told."""
        self.executor.missing(self._another)

    def need(self, resource: str) -> None:
        """The game needs something now, ``statblock:sea-hag`` for one.

        Prompts have it until the context is another.
        """
        key = key_of(resource)
        if key is None:
            return
        kind = next((each for each in self.kinds if kind_of(each) == key.partition(":")[0]), None)
        if kind is None:
            return
        key = self._wants.named(f"{kind}:{key.partition(':')[2]}")
        self._look([key])
        item = self._wants.need(key, kind, resource.partition(":")[2].strip())
        if key not in self._known:
            self._tasks.start(self._demand(item), name=f"demand {key}")

    async def _demand(self, item: Item) -> None:
        """Fetch it, if prompts may have it still: of much that was needed, only the latest."""
        if item.key in self._wants.now:
            await self.executor.demand(item)

    # ── what there is ─────────────────────────────────────────────────────────────────────────

    def of(self, actors: Collection[str | None]) -> SceneContent:
        """What a prompt about these actors may have: content of theirs, and of the scene."""
        self._look([key for key, _, _ in self._wants.of(actors)])
        return self.peek(actors)

    def peek(self, actors: Collection[str | None]) -> SceneContent:
        """The same, for the odds: it is not looked up, nor counted as used."""
        found: dict[str, dict[str, Any]] = {}
        for key, wanted, about in self._wants.of(actors):
            value = self._known.get(key)
            if value is not None:
                so_far = found.setdefault(wanted.item.kind, {})
                for each in about:
                    name = wanted.said if each is None or is_behind(each) else each
                    if each == name or value not in so_far.values():
                        so_far[name] = value
        return found

    def revision(self, actors: Collection[str | None]) -> tuple[tuple[str, int], ...]:
        """Which content a prompt about these actors may have, and how often it has changed."""
        return self._wants.revision(actors)

    def _look(self, keys: Sequence[str]) -> None:
        """What is there of these is used; that there is nothing of one is known, and no miss."""
        now = self._timers.time()
        hit = [key for key in keys if self._known.get(key) is not None]
        missed = [key for key in keys if key not in self._known]
        for key in hit:
            self._habits.used(key, now)
            self.executor.used(key)
        if hit or missed:
            self._trace("~looked", hit=hit, missed=missed)

    def _on_event(self, event: Fetched) -> None:
        """That there is nothing of a name is no prefetch, and stays known."""
        if self._awaited:
            self._tasks.soon(self._come)
        if event.what is What.LOADED and self._known.get(event.keys[0]) is None:
            self.executor.used(event.keys[0])
        else:
            self._trace(
                "~fetched",
                what=event.what,
                keys=event.keys,
                lane=event.lane,
                tokens=event.tokens,
                seconds=round(event.seconds, 6),
            )

    # As the cache of the executor.

    def __contains__(self, key: str) -> bool:
        return key in self._known

    def put(self, item: Item, value: Any, tokens: int) -> None:
        """Keep content; what no scene needs goes, when there is too much."""
        self._known[item.key] = value
        self._another.discard(item.key)
        wanted = self._wants.now.get(item.key)
        if value is not None and wanted is not None and any(wanted.of):
            self._plan_soon()
        if len(self._known) > MOST_KEPT:
            spare = next((key for key in self._known if key not in self._wants.now), None)
            gone = spare if spare is not None else next(iter(self._known))
            self.drop(gone)
            self.executor.let_go(gone)

    def _plan_soon(self) -> None:
        """With what has come of somebody the odds are others: once, for all that comes together."""
        if not self._due:
            self._due = True
            self._tasks.soon(self._planned)

    def _planned(self) -> None:
        self._due = False
        self._anew()

    def drop(self, key: str) -> None:
        """Let content go: nobody has used it."""
        self._known.pop(key, None)

    # ── what comes from outside ───────────────────────────────────────────────────────────────

    def content_changed(self, kind: str | None = None, name: str | None = None) -> None:
        """The source's content is another: all of it, of a kind, or one; from the loop's thread."""
        what = "" if kind is None else kind if name is None else f"{kind}:{name}"
        self._tasks.take_in(partial(self.changed, what))

    def hand_in(self, line: Mapping[str, Any]) -> None:
        """What came from outside when it was recorded."""
        if line["what"] == "changed":
            self.changed(line["name"])
        else:
            self.executor.hand_in(line)

    def changed(self, what: str) -> None:
        """Content of a kind, of ``kind:name``, or all of it (an empty text) is another, now.

        So is what this stands in the place of, or may.
        """
        self._trace("~content", what="changed", name=what)
        refused = dict.fromkeys(sorted(self.executor.unavailable))
        keys = [
            key
            for key in {**self._wants.now, **self._known, **refused}
            if any(_named(each, what) for each in self._wants.leads_to(key))
        ]
        if keys:
            self._wants.changed(keys)
            self._forget(keys)
            self._anew()

    def _forget(self, keys: Iterable[str]) -> None:
        """What is there of these is not good any more, nor what is on its way."""
        gone = list(keys)
        for key in gone:
            self._known.pop(key, None)
            self.executor.again(key)
            self._another.add(key)
        self.executor.cancel("it has changed", keep=self.executor.pending.difference(gone))

    async def _watch(self, changes: Callable[[], AsyncGenerator[str, None]], fault: Fault) -> None:
        try:
            async with aclosing(changes()) as stream:
                async for what in stream:
                    self._noticed(str(what))
                    self.content_changed(str(what))
        except Exception as error:
            fault("content", error)

    def close(self) -> None:
        """Nothing is loaded any more."""
        self.executor.stop()


def _named(key: str, what: str) -> bool:
    """Whether a change is of this key; an empty one is of all."""
    if ":" in what:
        return key == what or is_of(key, key_of(what) or "")
    return not what or kind_of(key.partition(":")[0]) == kind_of(what)
