"""Simulated worlds keep the guarantees, and each deliberate bug is found within 300 of them."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import itertools
import os
import random
import types
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import Any

import pytest
from reactivex import operators as ops

from foretell import asking, pipeline, recording
from foretell.operators import (
    choice,
    claim,
    compose,
    fingerprint,
    guarding,
    refine,
    summary,
    tell,
)
from foretell.operators.compose import Composer
from foretell.operators.generation import Generation, Generations, Lease
from foretell.operators.publish import Published
from foretell.resumed import Resumed
from foretell.session import Session
from foretell.sinks import recorder
from foretell.sinks.ledger import Ledger
from foretell.sinks.transcript import Transcript
from foretell.streams import blows, footprint, history, log_write, repeats, timers
from foretell.streams.models import Purpose
from foretell.streams.world import World
from foretell.testing import Broken, History, Step, draw, play, simulate
from foretell.testing.__main__ import main
from foretell.testing.table import Table

SEEDS = int(os.environ.get("FORETELL_SEEDS", "300"))
WITHIN = 300


@pytest.mark.timeout(600)
def test_the_guarantees_hold_in_every_world() -> None:
    seen: Counter[str] = Counter()
    served: Counter[str] = Counter()
    met: Counter[str] = Counter()
    killed = 0
    for seed in range(SEEDS):
        done = simulate(seed)
        seen.update(done.seen)
        served.update(done.served)
        met.update(done.met)
        killed += bool(done.seen["kill"] + done.seen["reopen"])
    for kind in ("hit", "in_flight", "miss", "failed", "superseded"):
        assert served[kind] > 20 and served[f"{kind} again"] > 0, served
    rare = (
        *("storm", "sleep", "kill", "reopen", "record", "rewind", "retell", "delivered", "cancel"),
        *("retract", "intensity", "models", "strike", "heal", "cache", "twice"),
        *("guest raises", "guest slow", "guest slow iterator", "guest leaves", "guest late"),
    )
    assert min(seen[name] for name in rare) > 5, seen
    assert killed > 0.15 * SEEDS, killed
    models = ("429", "529", "500", "400", "gone", "slow", "stall", "cut", "torn", "endless")
    caches = ("well", "slow", "hangs", "dead", "rubbish", "full")
    faults = [*(f"model {name}" for name in models), *(f"cache {name}" for name in caches)]
    assert min(met[name] for name in faults) > 20, met


# ── deliberate bugs ──────────────────────────────────────────────────────────────────────────────

AT_ONCE = {"teardown_limit": 1e-9}

Patch = Callable[[pytest.MonkeyPatch], None]
BUGS: dict[str, tuple[str, Patch]] = {}


def bug(guarantee: str) -> Callable[[Patch], Patch]:
    """A bug that breaks a guarantee."""

    def named(patch: Patch) -> Patch:
        BUGS[patch.__name__] = guarantee, patch
        return patch

    return named


@bug("G1")
def unexpected_changes_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint.Dependence, "on", lambda self, change: False)


@bug("G1")
def nothing_is_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "revoke", lambda generations: ops.filter(lambda world: False))


@bug("G1")
def places_count_as_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    on = fingerprint.Dependence.on

    def strict(self: fingerprint.Dependence, change: Any) -> bool:
        return on(dataclasses.replace(self, volatile=()), change)

    monkeypatch.setattr(fingerprint.Dependence, "on", strict)
    monkeypatch.setattr(footprint.Footprint, "lasting", lambda self, paths: list(paths))


@bug("G1")
def what_an_action_may_change_itself_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint.Footprint, "of", lambda self, *given: ())


@bug("G1")
def the_guard_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    happened = claim.happened

    def unguarded(*given: Any) -> Sequence[Any]:
        return [dataclasses.replace(what, name=what.result) for what in happened(*given)]

    monkeypatch.setattr(claim, "happened", unguarded)


@bug("G2")
def the_deadline_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = tell.Teller.__init__

    def patient(self: tell.Teller, *given: Any, **named: Any) -> None:
        begin(self, *given, **{**named, "deadline": 1e6})

    monkeypatch.setattr(tell.Teller, "__init__", patient)


@bug("G2")
def only_the_first_of_a_group_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tell.Teller.tell
    monkeypatch.setattr(
        tell.Teller, "tell", lambda self, claims, emit: whole(self, claims[:1], emit)
    )


@bug("G3")
def the_cap_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Generations.__init__

    def greedy(self: Generations, *given: Any, **named: Any) -> None:
        begin(self, *given, **{**named, "limit": 1000})

    monkeypatch.setattr(Generations, "__init__", greedy)


@bug("G3")
def the_budget_is_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Ledger, "affords", lambda self, *given: True)


@bug("G3")
def prompts_remember_all(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Transcript.memory
    monkeypatch.setattr(
        Transcript, "memory", lambda self, tokens, *to, **more: memory(self, 10**6, *to, **more)
    )


@bug("G4")
def the_connection_is_not_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    close = Generation.close

    def left_open(self: Generation, reason: str) -> None:
        task, self._task = self._task, None
        close(self, reason)
        self._task = task

    monkeypatch.setattr(Generation, "close", left_open)


@bug("G4")
def a_lease_is_never_released(monkeypatch: pytest.MonkeyPatch) -> None:
    release = Lease.release

    def kept(self: Lease, reason: str = "released") -> None:
        if reason != "superseded":
            release(self, reason)

    monkeypatch.setattr(Lease, "release", kept)


@bug("G4")
def the_next_does_not_wait_for_the_teardown(monkeypatch: pytest.MonkeyPatch) -> None:
    real = pipeline.switch_map
    monkeypatch.setattr(
        pipeline, "switch_map", lambda *given, **named: real(*given, **{**named, **AT_ONCE})
    )


@bug("G5")
def the_player_waits_for_speculation(monkeypatch: pytest.MonkeyPatch) -> None:
    start = Generations._start

    def queued(self: Generations, generation: Generation) -> None:
        if generation.request.purpose is Purpose.FOREGROUND and self.running >= self._limit:
            self._waiting.append(generation)
        else:
            start(self, generation)

    monkeypatch.setattr(Generations, "_displace", lambda self: None)
    monkeypatch.setattr(Generations, "_start", queued)


@bug("G6")
def patches_come_in_reverse(monkeypatch: pytest.MonkeyPatch) -> None:
    feed = Composer.feed

    def reverse(self: Composer, chunk: str) -> tuple[list[Any], str]:
        patches, text = feed(self, chunk)
        return patches[::-1], text

    monkeypatch.setattr(Composer, "feed", reverse)


@bug("G7")
def what_was_not_delivered_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transcript, "delivered", lambda self, *given: None)


@bug("G7")
def prompts_know_what_only_some_may_know(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Transcript.memory

    def leaking(self: Transcript, tokens: int, *audience: Any, **more: Any) -> str:
        private = [seen for seen in self._seen if seen.to]
        whom = [seen.to for seen in private]
        for seen in private:
            seen.to = ()
        told = memory(self, tokens, *audience, **more)
        for seen, to in zip(private, whom, strict=True):
            seen.to = to
        return told

    monkeypatch.setattr(Transcript, "memory", leaking)


@bug("G7")
def a_resumed_session_forgets_what_was_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transcript, "restore", lambda self, line: None)


@bug("G7")
def everybody_sees_what_is_for_some(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.session._may_see", lambda event, viewer: True)


@bug("G1")
def half_an_answer_is_taken_for_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compose._Piece, "torn", False)


@bug("G1")
def what_was_healed_before_its_outcome_is_reckoned_with_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = blows.told

    def as_before(world: World, *given: Any) -> Any:
        forgotten = {each: account._replace(falls=()) for each, account in world.accounts.items()}
        return told(world._replace(accounts=forgotten), *given)

    monkeypatch.setattr(blows, "told", as_before)


@bug("G1")
def what_nobody_declared_is_reckoned_from_the_state_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = blows.told

    def after(world: World, event: Any, done: Any, name: str) -> Any:
        return told(world._replace(accounts={}) if done.event is None else world, event, done, name)

    monkeypatch.setattr(blows, "told", after)


@bug("G1")
def what_befell_others_counts_as_unexpected(monkeypatch: pytest.MonkeyPatch) -> None:
    of = footprint.Footprint.of
    monkeypatch.setattr(
        footprint.Footprint, "of", lambda self, actor, action, struck=(): of(self, actor, action)
    )


@bug("G1")
def what_is_told_again_has_another_result(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = claim.Again.entries.fget

    def missed(self: claim.Again) -> tuple[claim.Entry, ...]:
        return tuple(
            dataclasses.replace(each, happened=dataclasses.replace(each.happened, told="graze"))
            for each in entries(self)
        )

    monkeypatch.setattr(claim.Again, "entries", property(missed))


@bug("G7")
def another_outcome_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    recall = pipeline.Pipeline._recall

    def latest(self: Any, number: int) -> Any:
        return recall(self, max(filter(self.world_now.stands, self.named.told)))

    monkeypatch.setattr(pipeline.Pipeline, "_recall", latest)


@bug("G2")
def the_first_refusal_is_the_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tell, "ModelOverloaded", type("Never", (Exception,), {}))


@bug("G2")
def a_resumed_session_loses_what_was_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Resumed, "cut", lambda self: [])


@bug("G2")
def a_resumed_session_ends_a_telling_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = Resumed.cut
    monkeypatch.setattr(Resumed, "cut", lambda self: cut(self) * 2)


@bug("G2")
def a_viewer_who_leaves_ends_the_telling(monkeypatch: pytest.MonkeyPatch) -> None:
    tellings = Session.tellings

    async def selfish(self: Session[Any], *given: Any, **named: Any) -> AsyncGenerator[Any, None]:
        try:
            async for event in tellings(self, *given, **named):
                yield event
        finally:
            self._pipeline.teller.cancel_all()

    monkeypatch.setattr(Session, "tellings", selfish)


@bug("G2")
def what_is_only_in_the_log_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def reach(self: history.History) -> tuple[int, float]:
        return self._segments[-1].start.revision, self._segments[-1].start.t

    monkeypatch.setattr(history.History, "reach", reach)


@bug("G4")
def a_retelling_is_held_ready_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    ready = pipeline.Pipeline._prepare_again

    def keep(self: Any, spare: Any) -> None:
        if spare is not None:
            ready(self, spare)

    monkeypatch.setattr(pipeline.Pipeline, "_prepare_again", keep)


@bug("G7")
def a_retelling_is_remembered_beside_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Transcript._keep

    def beside(self: Transcript, seen: Any) -> None:
        seen.retells = None
        keep(self, seen)

    monkeypatch.setattr(Transcript, "_keep", beside)


@bug("G7")
def what_is_undone_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Transcript, "rewound", lambda self, stands: None)


@bug("G7")
def a_retelling_is_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    again_of = tell.again_of

    def to_all(*given: Any) -> claim.Claim:
        found = again_of(*given)
        return dataclasses.replace(found, outcome=dataclasses.replace(found.outcome, to=()))

    monkeypatch.setattr(tell, "again_of", to_all)


@bug("G9")
def what_is_foreseen_hangs_on_what_was_foreseen_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = itertools.count()
    monkeypatch.setattr(choice.Rate, "share", property(lambda self: next(asked) % 7 / 7))


@bug("G9")
def a_rewind_goes_one_too_far(monkeypatch: pytest.MonkeyPatch) -> None:
    target = history.History._target
    monkeypatch.setattr(
        history.History, "_target", lambda self, to, present: max(0, target(self, to, present) - 1)
    )


@bug("G8")
def the_wall_clock_is_in_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    def trace(self: Any, kind: str, **fields: Any) -> None:
        import time

        self._traced(kind, **fields, took=time.perf_counter() % 0.001)

    there = types.FunctionType(trace.__code__, recorder.__dict__)
    there.__kwdefaults__ = trace.__kwdefaults__
    monkeypatch.setattr(recorder.Recorder, "_traced", recorder.Recorder.trace, raising=False)
    monkeypatch.setattr(recorder.Recorder, "trace", there)


@bug("G8")
def tellings_are_named_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    def trace(self: Any, kind: str, **fields: Any) -> None:
        import secrets

        secrets.token_hex(4)
        self._traced(kind, **fields)

    there = types.FunctionType(trace.__code__, recorder.__dict__)
    there.__kwdefaults__ = trace.__kwdefaults__
    monkeypatch.setattr(recorder.Recorder, "_traced", recorder.Recorder.trace, raising=False)
    monkeypatch.setattr(recorder.Recorder, "trace", there)


@bug("G8")
def tellings_are_dated_by_another_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = tell.Teller.__init__

    def late(self: tell.Teller, *given: Any, **named: Any) -> None:
        begin(self, *given, **named)
        now = self._now
        self._now = lambda: now() + 0.001

    monkeypatch.setattr(tell.Teller, "__init__", late)


@bug("G9")
def chance_decides_who_is_first(monkeypatch: pytest.MonkeyPatch) -> None:
    admit, chance = Generations._admit, random.SystemRandom()

    def shuffled(self: Generations) -> None:
        chance.shuffle(self._waiting)
        for generation in self._waiting:
            generation.value = chance.random()
        admit(self)

    monkeypatch.setattr(Generations, "_admit", shuffled)


@bug("G9")
def a_resumed_session_forgets_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    resume = recording.open_log

    def forgetful(name: str, settings: Any, header: Mapping[str, Any], before: Any) -> Any:
        world = before.world
        found = resume(name, settings, header, before)
        before.world = world
        return found

    monkeypatch.setattr(pipeline, "open_log", forgetful)


@bug("G10")
def what_a_subscriber_raises_comes_through(monkeypatch: pytest.MonkeyPatch) -> None:
    def bare(self: Published[Any], item: Any) -> None:
        for reader in tuple(self._readers):
            reader.next(item)

    def subscribe(self: Session[Any], handler: Any, viewer: str | None = None) -> Any:
        return self._seen_by(viewer).subscribe(handler)

    monkeypatch.setattr(Published, "_next", bare)
    monkeypatch.setattr(Session, "subscribe", subscribe)


@bug("G1")
def what_died_while_it_waited_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def there(self: claim.Piece) -> bool:
        return self.prepared is not None and not self.prepared.generation.stream.revoked

    monkeypatch.setattr(claim.Piece, "holds", property(there))


@bug("G4")
def what_is_undone_goes_on_unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tell.Teller, "cancel_unheard", lambda self, stands: None)


@bug("G2")
def nobody_waits_as_long_as_the_server_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    sleep = tell.sleep

    async def short(timers: Any, name: str, seconds: float) -> None:
        await sleep(timers, name, 0.01 if name.startswith("patience") else seconds)

    monkeypatch.setattr(tell, "sleep", short)


@bug("G2")
def an_account_is_restored_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = Ledger.restore

    def twice(self: Ledger, line: Mapping[str, Any]) -> None:
        restore(self, line)
        if line["kind"] == "~account":
            self._enter(f"{line['generation']} again", self._accounts[line["generation"]])

    monkeypatch.setattr(Ledger, "restore", twice)


@bug("G3")
def nothing_is_reserved_for_what_is_under_way(monkeypatch: pytest.MonkeyPatch) -> None:
    affords = Ledger.affords
    monkeypatch.setattr(
        Ledger, "affords", lambda self, request, cap, live: affords(self, request, cap, ())
    )


@bug("G2")
def what_was_cancelled_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Ledger.add
    monkeypatch.setattr(
        Ledger, "add", lambda self, each: None if each.phase == "closed" else add(self, each)
    )


@bug("G2")
def what_was_cancelled_is_billed_double(monkeypatch: pytest.MonkeyPatch) -> None:
    add = Ledger.add

    def double(self: Ledger, generation: Any) -> Any:
        account = add(self, generation)
        if account is not None and generation.phase == "closed":
            account.output *= 2
        return account

    monkeypatch.setattr(Ledger, "add", double)


@bug("G1")
def a_move_leads_anywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    goes_by = lambda own, because: '"move"' in own  # noqa: E731
    monkeypatch.setattr(fingerprint, "goes_by", goes_by)


@bug("G1")
def what_belongs_to_a_moment_outlives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint, "OF_KIND", {})


@bug("G2")
def what_is_reported_twice_is_told_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats.Repeats, "of", lambda self, said, t, state=None: None)


@bug("G7")
def a_summary_outlives_what_it_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(summary.Summaries, "stands", lambda self, each: True)


@bug("G7")
def a_summary_tells_what_only_some_may_know(monkeypatch: pytest.MonkeyPatch) -> None:
    since = Transcript.since

    def all_of_it(self: Transcript, outcome: int) -> Any:
        told = [seen.to for seen in self._seen]
        for seen in self._seen:
            seen.to = ()
        found = since(self, outcome)
        for seen, to in zip(self._seen, told, strict=True):
            seen.to = to
        return found

    monkeypatch.setattr(Transcript, "since", all_of_it)


@bug("G2")
def a_dollar_counts_for_ten(monkeypatch: pytest.MonkeyPatch) -> None:
    dollars = Ledger.dollars
    monkeypatch.setattr(Ledger, "dollars", lambda self, *of: 10 * dollars(self, *of))


@bug("G2")
def what_a_crash_has_broken_off_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    restore = Ledger.restore

    def unheard(self: Ledger, line: Mapping[str, Any]) -> None:
        if line["kind"] != "~chunk":
            restore(self, line)

    monkeypatch.setattr(Ledger, "restore", unheard)


@bug("G1")
def whatever_is_added_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(refine, "amiss", lambda sentence, scene, addition: None)


@bug("G1")
def any_prepared_text_may_be_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claim, "may_stand_for", lambda declared, what, made_for: True)


@bug("G1")
def any_language_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "foreign", lambda text, code: None)


@bug("G2")
def a_guard_is_asked_and_not_minded(monkeypatch: pytest.MonkeyPatch) -> None:
    say = guarding.Guarding.say
    monkeypatch.setattr(guarding.Guarding, "say", lambda self, name, refused: say(self, name, None))


@bug("G2")
def what_is_adopted_is_shown_unread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "sifted", lambda generation, *_: generation.chunks())


@bug("G3")
def what_is_turned_off_prepares_on(monkeypatch: pytest.MonkeyPatch) -> None:
    planner = pipeline.planner

    def always(intensity: Callable[[], str], *given: Any, **more: Any) -> Any:
        level = lambda: "conservative" if intensity() == "off" else intensity()  # noqa: E731
        return planner(level, *given, **more)

    monkeypatch.setattr(pipeline, "planner", always)


@bug("G7")
def what_is_brought_back_stays_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    rewound = Transcript.rewound

    def for_ever(self: Transcript, stands: Callable[[int], bool]) -> None:
        before = [seen for seen in self._seen if seen.undone]
        rewound(self, stands)
        for seen in before:
            seen.undone = True

    monkeypatch.setattr(Transcript, "rewound", for_ever)


@bug("G7")
def all_are_told_what_some_have_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Transcript.memory
    monkeypatch.setattr(
        Transcript,
        "memory",
        lambda self, tokens, to=(), before=None: memory(self, tokens, ("gm",), before),
    )


@bug("G7")
def a_retelling_knows_how_the_story_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    memory = Transcript.memory
    monkeypatch.setattr(
        Transcript, "memory", lambda self, tokens, to=(), before=None: memory(self, tokens, to)
    )


@bug("G7")
def a_retelling_knows_versions_that_are_undone(monkeypatch: pytest.MonkeyPatch) -> None:
    def versions(self: Transcript, telling: str) -> tuple[str, ...]:
        first = self._by_id.get(telling)
        known = [] if first is None else [first, *self._again.get(telling, ())]
        return tuple([seen.text for seen in known if seen.text][-3:])

    monkeypatch.setattr(Transcript, "versions", versions)


@bug("G9")
def timers_are_not_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    begin = timers.LoopTimers.__init__

    def unseen(self: timers.LoopTimers, loop: Any, trace: Any, take_in: Any) -> None:
        begin(self, loop, take_in=take_in)

    monkeypatch.setattr(timers.LoopTimers, "__init__", unseen)


@bug("G9")
def seals_begin_anew_after_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    resume = log_write.resume

    def anew(*given: Any) -> Any:
        return dataclasses.replace(resume(*given), n=0)

    monkeypatch.setattr(log_write, "resume", anew)


def found() -> tuple[int, Broken]:
    for seed in range(WITHIN):
        try:
            play(draw(seed), twice=seed % 8 == 0)
        except Broken as broken:
            return seed, broken
    pytest.fail(f"not found within {WITHIN} seeds")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", BUGS)
def test_a_deliberate_bug_is_found(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    guarantee, patch = BUGS[name]
    patch(monkeypatch)
    seed, broken = found()
    assert broken.guarantee == guarantee, f"seed {seed}: {broken}"


def test_an_exception_that_nobody_hears_of_before_it_is_swept_up_is_found(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    advanced = Table.update

    async def fails(held: list[object]) -> None:
        held.append(held)
        raise RuntimeError("nobody listens")

    def failing(self: Table) -> None:
        held: list[object] = []
        held.append(asyncio.get_running_loop().create_task(fails(held)))
        advanced(self)

    monkeypatch.setattr(Table, "update", failing)
    with pytest.raises(Broken, match="nobody listens") as raised:
        play(History([Step(1.0, "say", who="gm", text="Well?")]))
    assert raised.value.guarantee == "G10"


@pytest.mark.parametrize("begun", [True, False])
def test_the_collector_is_as_it_was_after_a_world(begun: bool) -> None:
    history = History([Step(1.0, "say", who="gm", text="Well?")])
    was, frozen = gc.isenabled(), gc.get_freeze_count()
    try:
        (gc.enable if begun else gc.disable)()
        play(history)
        assert (gc.isenabled(), gc.get_freeze_count()) == (begun, frozen)
        gc.freeze()  # as a server does that is up
        frozen = gc.get_freeze_count()
        play(history)
        assert gc.isenabled() is begun
        assert gc.get_freeze_count() >= frozen - 1000
    finally:
        gc.unfreeze()
        (gc.enable if was else gc.disable)()


def test_every_guarantee_has_its_bug() -> None:
    assert {guarantee for guarantee, *_ in BUGS.values()} == {f"G{n}" for n in range(1, 11)}


# ── what a broken guarantee says ─────────────────────────────────────────────────────────────────


def test_a_broken_guarantee_comes_with_a_short_test_to_paste(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    the_guard_is_not_looked_at(monkeypatch)
    seed, first = found()
    with pytest.raises(Broken) as raised:
        simulate(seed, shrinking=30.0)
    broken = raised.value
    assert broken.history is not None
    assert (broken.seed, broken.guarantee) == (seed, first.guarantee)
    assert len(broken.history.steps) < len(draw(seed).steps) / 2
    said, _, pasted = str(broken).partition("\n\n")
    assert said.startswith(f"seed {seed}: G1 is broken at ")
    names: dict[str, Any] = {}
    exec(pasted, names)
    with pytest.raises(Broken) as again:
        names[f"test_seed_{seed}_keeps_g1"]()
    assert (again.value.guarantee, again.value.what) == (broken.guarantee, broken.what)
    monkeypatch.undo()
    names[f"test_seed_{seed}_keeps_g1"]()


def test_shrinking_keeps_to_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    the_cap_is_ignored(monkeypatch)
    seed, _ = found()
    with pytest.raises(Broken) as raised:
        simulate(seed, shrinking=0.0)
    assert raised.value.history == draw(seed)


def test_a_seed_draws_one_history_and_steps_can_be_taken_out() -> None:
    assert draw(7) == draw(7) != draw(8)
    history = draw(7)
    for gap in (2, 3):
        steps = [step for number, step in enumerate(history.steps) if number % gap]
        play(dataclasses.replace(history, steps=steps))


def test_killed_anywhere_a_session_goes_on_with_what_was_told() -> None:
    """A log cut at any byte of its last line, in the midst of a telling."""
    steps = [
        Step(0.0, "begin", actor="a0", options=["bow"]),
        Step(0.0, "declare", action="x", actor="a0", name="bow", targets=["a1"]),
        Step(
            5.0,
            "outcome",
            action="x",
            actor="a0",
            name="bow",
            targets=["a1"],
            results=[("a1", "odd", None)],
            how="with",
            to=(),
        ),
    ]
    for wait in (0.0, 0.7, 1.9, 2.1, 4.0):
        for cut in (0.0, 0.5, 0.98, 1.0):
            done = play(History([*steps, Step(wait, "kill", cut=cut), *steps], models=3))
            assert done.outcomes in (1, 2)


# ── what simulation has found ────────────────────────────────────────────────────────────────────


def test_an_answer_that_ends_in_the_midst_of_its_text_is_not_whole() -> None:
    struck = {"actor": "a0", "name": "claw", "targets": ["a0"], "to": ()}
    hit = Step(
        0, "outcome", action=None, results=[("a0", "critical", 40.03125)], how="after", **struck
    )
    for models in range(40):
        play(History([Step(0, "models", trouble=1.0), hit, hit, hit], models=models))


def test_what_was_revoked_is_gone_before_the_next_is_asked_for() -> None:
    steps = [
        Step(0, "begin", actor="a2", options=["axe", "claw"]),
        Step(0, "declare", action="x", actor="a2", name="axe", targets=["a1"]),
        Step(0.03, "change", what={"a2.ac": 116}),
    ]
    for models in range(20):
        play(History(steps, {"quiet": 0.0}, models=models))


@pytest.mark.parametrize("history_bytes", [0, 20_000])
@pytest.mark.parametrize("record", [(), (Step(0, "record"),)])
def test_what_is_told_again_may_be_further_back_than_is_kept(
    history_bytes: int, record: tuple[Step, ...]
) -> None:
    blow = {"action": None, "actor": "a3", "name": "axe", "targets": ["a2"], "to": ("gm",)}
    hit = Step(0.1, "outcome", results=[("a2", "hit", 7.5)], how="after", **blow)
    again = [Step(wait, "retell", share=1.0, by="name") for wait in (0.0, 0.2, 9.0)]
    storm = Step(0, "storm", ticks=150, draws=1, meaning=0.3)
    steps = [*record, hit, *again[:2], storm, again[2], hit, storm, *again]
    for overlap in ("conflate", "interrupt", "queue"):
        play(History(steps, {"history_bytes": history_bytes, "overlap": overlap}))


def test_a_state_may_come_before_an_outcome_that_nobody_declared() -> None:
    blow = {"action": None, "actor": "a3", "name": "axe", "targets": ["a2"], "to": ()}
    hit = Step(0, "outcome", results=[("a2", "hit", 14.25)], how="before", **blow)
    play(History([hit, Step(5, "begin", actor="a1", options=["axe"]), hit, hit]))


def test_nothing_goes_off_while_who_listens_is_waited_for() -> None:
    """A replay has nobody who listens; what was kept ran out meanwhile."""
    claw: dict[str, Any] = {"name": "claw", "targets": ["a1"], "how": "with", "to": ()}
    both: dict[str, Any] = {"targets": ["a2", "a1"], "how": "after", "to": ("mira", "gm")}
    first, second = ("a1", "hit", 3.5522079467773438), ("a1", "hit", 3.5)
    last = [("a2", "critical", 7.69256591796875), ("a1", "odd", None)]
    steps = [
        Step(0, "record"),
        Step(0, "guest", kind="slow"),
        Step(0, "begin", actor="a2", options=["axe"]),
        Step(0, "declare", action="action-1", actor="a1", name="claw", targets=["a1"]),
        Step(0.1882, "outcome", action="action-1", actor="a1", results=[first], **claw),
        Step(0, "begin", actor="a2", options=["axe", "bow"]),
        Step(1.5731, "outcome", action="action-3", actor="a4", results=[second], **claw),
        Step(1.6495, "change", what={"a4.name": 204}),
        Step(3.1666, "models", trouble=0.1),
        Step(3.1275, "outcome", action=None, actor="a1", name="claw", results=last, **both),
    ]
    play(History(steps, models=2897005830, drain=60.0))


def test_the_command_plays_seeds_and_says_how_fast(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "3", "--from", "5"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("met: ") and "\n3 seeds, " in said
    assert said.endswith(" session-hours a minute\n")


def test_the_command_says_what_broke(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patches_come_in_reverse(monkeypatch)
    assert main(["simulate", "--seeds", "1", "--shrink", "0.5"]) == 1
    said = capsys.readouterr()
    assert said.out.startswith("seed 0: G6 is broken at ") and "def test_seed_0" in said.out
    assert said.err.endswith("1 of 1 seeds broke a guarantee\n")


@pytest.mark.real_time
def test_the_command_shares_seeds_among_processes(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["simulate", "--seeds", "3", "--jobs", "2"]) == 0
    lines = sorted(line.split(",")[0] for line in capfd.readouterr().out.splitlines())
    assert lines[:2] == ["1 seeds", "2 seeds"] and len(lines) == 4


@pytest.mark.parametrize("wrong", [["--seeds", "0"], ["--jobs", "-1"], ["--from", "x"], []])
def test_wrong_use_of_the_command(wrong: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["simulate", *wrong] if wrong else [])
    assert ended.value.code == 2
