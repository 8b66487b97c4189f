"""Plans of a session, from asking to the last step: in virtual time, with a model that is told."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import orjson
import pytest

import foretell
from foretell import PlanEnded, Planning, PlanStatus, Registry, Session, StateError, Step, Stepped
from foretell.operators.plans.types import Source
from foretell.streams.models import (
    Delta,
    ModelBadRequest,
    ModelCut,
    ModelOverloaded,
    ModelUnavailable,
    Request,
    Stop,
)
from foretell.testing import Script, ScriptedModel, instant

SNAPSHOT: dict[str, Any] = {
    "me": {"id": "grik", "side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {
        "mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21},
        "snag": {"side": "foes", "pos": [2, 2], "hp": 5, "max_hp": 12},
    },
    "place": "the old bridge",
}
COVER, ATTACK, SCAN, WAIT = (
    {"do": "TakeCover", "x": 1, "y": 2}, {"do": "Attack", "target": "mira"}, {"do": "Scan"},
    {"do": "Wait"},
)  # fmt: skip
WHOLE = {"steps": [COVER, ATTACK, SCAN]}
WHOLE_ONE = Script(WHOLE)
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 21},
        "grik": {"name": "Grik", "side": "foes", "hp": 9, "max_hp": 12},
    },
}
BY_RULES = {"do": "Attack", "target": "mira"}


def now() -> float:
    return round(asyncio.get_running_loop().time(), 6)


@asynccontextmanager
async def table(answers: Any = WHOLE_ONE, **plans: Any) -> AsyncIterator[tuple[Session, Any]]:
    model = ScriptedModel(answers)
    settings = {"plans": plans, "intensity": "off"}
    async with (
        foretell.Game(settings, model=model) as game,
        await game.session("table-7") as session,
    ):
        yield session, model
    assert not model.open


async def taken(planning: Planning) -> list[tuple[float, dict[str, Any], str]]:
    return [(now(), step.wire, str(step.source)) async for step in planning]


def wires(steps: Sequence[Step]) -> list[dict[str, Any]]:
    return [step.wire for step in steps]


def moved(**changed: Any) -> dict[str, Any]:
    scene = deepcopy(SNAPSHOT)
    scene["me"] |= changed
    return scene


def joined(*names: str) -> dict[str, Any]:
    """A scene with further foes."""
    scene = deepcopy(SNAPSHOT)
    scene["others"] |= {name: {"side": "party", "pos": [9, 9], "hp": 4} for name in names}
    return scene


# --- steps, one by one


async def test_the_first_step_is_there_at_once_and_the_models_come_as_they_close() -> None:
    async with table(Script(WHOLE, ttft=2.0, delay=0.1, chunk=4)) as (session, _):
        steps = await taken(session.plan("grik", SNAPSHOT))  # 3-17, 3-21, 3-22, 3-46
    text = orjson.dumps(WHOLE).decode()
    closes = [text.index("}") + 1, text.index("}", 50) + 1, text.index("Scan") + 6]
    due = [2.0 + 0.1 * ((at - 1) // 4) for at in closes]
    assert [wire for _, wire, _ in steps] == [BY_RULES, COVER, ATTACK, SCAN]
    assert [source for *_, source in steps] == ["heuristic", *["simplified"] * 3]
    assert [at for at, *_ in steps] == pytest.approx([0.0, *due])
    assert due[0] < due[1] < due[2]


async def test_without_rules_first_the_models_is_the_first() -> None:
    async with table(first=False) as (session, _):
        planning = session.plan("grik", SNAPSHOT)
        steps = await taken(planning)
        plan = await planning
    assert [wire for _, wire, _ in steps] == [COVER, ATTACK, SCAN]
    assert plan.first == plan.model == pytest.approx(steps[0][0])


async def test_what_stood_in_for_the_models_first_step_is_not_done_twice() -> None:
    async with table(Script({"steps": [ATTACK, SCAN]})) as (session, _):
        planning = session.plan("grik", SNAPSHOT)
        assert [wire for _, wire, _ in await taken(planning)] == [BY_RULES, SCAN]
        assert wires((await planning).steps) == [ATTACK, SCAN]


async def test_who_reads_late_is_not_given_what_stood_in() -> None:
    async with table() as (session, _):
        planning = session.plan("grik", SNAPSHOT)
        plan = await planning
        assert [wire for _, wire, _ in await taken(planning)] == [COVER, ATTACK, SCAN]
    assert plan.status is PlanStatus.DONE and plan.source is Source.SIMPLIFIED
    assert plan.first == 0.0 and plan.error is None and not plan.dropped


async def test_streaming_may_be_turned_off() -> None:  # 3-27
    async with table(Script(WHOLE, ttft=2.0, delay=0.1), streaming=False) as (session, model):
        steps = await taken(session.plan("grik", SNAPSHOT))
        gone = model.streams[0].gone_at
    assert [at for at, *_ in steps] == pytest.approx([0.0, gone, gone, gone])


async def test_a_server_that_ignores_streaming_gives_the_same_steps() -> None:  # 3-27

    class Whole:
        async def stream(self, request: Request) -> Any:
            await asyncio.sleep(2)
            yield Delta(orjson.dumps(WHOLE).decode())
            yield Stop("end_turn", whole=True)

        async def aclose(self) -> None:
            pass

    async with foretell.Game(model=Whole()) as game, await game.session("whole") as session:
        assert wires((await session.plan("grik", SNAPSHOT)).steps) == [COVER, ATTACK, SCAN]


@pytest.mark.parametrize("transport", ["schema", "tool"])
async def test_a_plan_is_asked_for_as_structured_output_or_as_a_tool(transport: str) -> None:
    async with table(transport=transport, tier="compact") as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        request = model.streams[0].request
    assert wires(plan.steps) == [COVER, ATTACK, SCAN] and plan.source is Source.COMPACT
    assert request.purpose == "plan"
    schema = request.schema if transport == "schema" else request.called[0].schema
    assert schema == Registry.core().schema


@pytest.mark.parametrize("tier", ["full", "simplified", "compact"])
async def test_a_plan_says_by_which_prompt_it_came(tier: str) -> None:
    async with table(tier=tier) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        request = model.streams[0].request
        prompt = session.plan_prompt("grik", SNAPSHOT, tier=tier)
    assert plan.source == tier and plan.source.model
    assert (request.system, request.messages[0].text) == (prompt.system, prompt.user)


async def test_what_cannot_be_done_is_left_out_with_its_reason() -> None:  # 3-6
    bad = [{"do": "Fly"}, {"do": "Attack", "target": "snag"}, {"do": "MoveTo", "x": 1e7, "y": 0}]
    async with table(Script({"steps": [bad[0], ATTACK, *bad[1:]]})) as (session, _):
        plan = await session.plan("grik", SNAPSHOT)
        assert session.plans_report()["dropped"] == {"unknown_tool": 1, "target": 1, "range": 1}
    assert wires(plan.steps) == [ATTACK] and plan.status is PlanStatus.DONE
    assert [(each.raw, each.flaw.kind) for each in plan.dropped] == [
        *zip(bad, ("unknown_tool", "target", "range"), strict=True)
    ]


async def test_a_step_may_use_what_the_one_before_it_has_made_possible() -> None:
    reload = {"do": "Reload"}  # 3-6
    async with table(Script({"steps": [ATTACK, reload, ATTACK]})) as (session, _):
        planning = session.plan("grik", moved(ammo=0))
        assert [wire for _, wire, _ in await taken(planning)] == [reload, ATTACK]
        plan = await planning
    assert wires(plan.steps) == [reload, ATTACK] and not planning.dropped
    assert [each.flaw.kind for each in plan.dropped] == ["precondition"]


async def test_a_plan_is_asked_of_the_model_that_the_settings_name_now() -> None:
    model = ScriptedModel(Script(WHOLE))
    async with foretell.Game(model=model) as game, await game.session("table-7") as session:
        await session.plan("grik", SNAPSHOT)
        game.apply({"main_model": "another"})
        await instant()
        await session.plan("grik", SNAPSHOT, goal="hold on")
    assert [stream.request.model for stream in model.streams] == [
        foretell.Settings().main_model,
        "another",
    ]


async def test_no_more_steps_are_read_than_a_plan_may_have() -> None:
    many = {"steps": [{"do": "MoveTo", "x": n, "y": 0} for n in range(200)]}
    async with table(Script(many), max_steps=3) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert len(plan.steps) == 3 and plan.status is PlanStatus.DONE
        await instant()
        assert model.streams[0].gone_at == pytest.approx(now())  # nobody waits for the other 197


# --- when something goes wrong


async def test_at_the_time_limit_what_is_complete_is_the_plan() -> None:  # 3-24
    async with table(Script(WHOLE, chunk=40, chunks=2, hangs=True)) as (session, model):
        planning = session.plan("grik", SNAPSHOT)
        steps = await taken(planning)
        plan = await planning
        await instant()
        assert model.streams[0].gone_at == now() == 10.0
    assert wires(plan.steps) == [COVER, ATTACK] and plan.status is PlanStatus.PARTIAL
    assert plan.error == "nothing more came within 10 s" and plan.kind == "deadline"
    assert [wire for _, wire, _ in steps] == [BY_RULES, COVER, ATTACK]


async def test_a_connection_that_is_slow_to_close_holds_up_no_plan() -> None:  # 3-24
    slow = Script(ttft=60, teardown=3.0)
    async with table(slow, streams=1, deadline=4.0) as (session, model):
        first, second = session.plan("a", SNAPSHOT), session.plan("b", SNAPSHOT)
        assert (await first).total == (await second).total == 4.0
        third = session.plan("c", SNAPSHOT)
        await asyncio.sleep(2.9)
        assert len(model.streams) == 1  # its place is not free yet
        await asyncio.sleep(0.2)
        assert len(model.streams) == 2
        assert (await third).status is PlanStatus.HEURISTIC
    assert model.most_open == 1


NO_PLAN = [
    (Script(error=ModelUnavailable("nobody there")), "nobody there"),
    (Script(error=ModelBadRequest("not so")), "not so"),
    (Script(WHOLE, error=ModelCut("it died"), chunks=2), "it died"),
    (Script("", stop="refusal"), "the model declined to write this"),
    (Script(""), "the model's answer was empty"),
    (Script("I would rather not."), "the model's answer has no step that can be done"),
    (Script({"steps": [{"do": "Fly"}]}), "the model's answer has no step that can be done"),
    (Script(ttft=1e9), "nothing more came within 10 s"),
    (Script(error=KeyError("a bug of the model's")), "KeyError"),
]


@pytest.mark.parametrize(("script", "error"), NO_PLAN)
async def test_whatever_the_model_does_there_is_a_plan_by_the_deadline(
    script: Script, error: str
) -> None:  # 3-40
    async with table(script) as (session, _):
        planning = session.plan("grik", SNAPSHOT)
        steps = [wire for _, wire, _ in await taken(planning)]
        plan = await planning
    assert plan.status is PlanStatus.HEURISTIC and plan.source is Source.HEURISTIC
    assert plan.error is not None and error in plan.error and plan.kind is not None
    assert steps == wires(plan.steps) and steps[0] == BY_RULES and len(steps) > 1
    assert plan.total <= 10.0 and plan.model is None


async def test_a_stream_that_dies_has_given_its_complete_steps() -> None:  # 3-18
    cut = Script(WHOLE, error=ModelCut("it died"), chunk=50, chunks=1)
    async with table(cut) as (session, _):
        plan = await session.plan("grik", SNAPSHOT)
    assert wires(plan.steps) == [COVER] and plan.status is PlanStatus.PARTIAL


async def test_a_server_without_room_is_asked_again_after_a_while() -> None:  # 3-40
    full = Script(error=ModelOverloaded("later", retry_after=1.0), ttft=0.1)
    async with table([full, full, Script(WHOLE)]) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        first, second, third = (each.opened_at or 0 for each in model.streams)
        assert first == 0.0 and 1.1 <= second < 1.1 + 0.25 and 2.2 <= third < 2.2 + 0.75
    assert wires(plan.steps) == [COVER, ATTACK, SCAN] and plan.status is PlanStatus.DONE


async def test_of_an_answer_that_broke_off_nothing_is_left_in_the_next() -> None:
    broken = Script(WHOLE, error=ModelOverloaded("later"), chunks=3)
    async with table([broken, Script(WHOLE)]) as (session, _):
        assert wires((await session.plan("grik", SNAPSHOT)).steps) == [COVER, ATTACK, SCAN]


@pytest.mark.parametrize(("retry_after", "asked"), [(None, 4), (60.0, 1)])
async def test_it_is_not_asked_for_ever_nor_past_the_deadline(
    retry_after: float | None, asked: int
) -> None:  # 3-40
    full = Script(error=ModelOverloaded("later", retry_after=retry_after), ttft=0.1)
    async with table(full) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert len(model.streams) == asked and now() < 10.0
    assert plan.status is PlanStatus.HEURISTIC and plan.error == "later"


async def test_where_no_budget_has_room_the_rules_plan() -> None:  # 3-40
    model = ScriptedModel(Script(WHOLE))
    async with (
        foretell.Game({"budget": {"session_tokens": 100}}, model=model) as game,
        await game.session("poor") as session,
    ):
        plan = await session.plan("grik", SNAPSHOT)
    assert plan.status is PlanStatus.HEURISTIC and "budget of the session" in str(plan.error)
    assert not model.streams


# --- a step that fails


async def test_a_step_that_fails_is_planned_anew_from_there() -> None:
    answers = [Script(WHOLE), Script({"steps": [ATTACK, WAIT]})]
    async with table(answers) as (session, model):
        planning, done = session.plan("grik", SNAPSHOT, goal="hold on"), []
        async for step in planning:
            done.append((step.wire, step.revision))
            if step.wire == COVER:
                step.failed("the door is barred")
        plan = await planning
        asked = orjson.loads(model.streams[1].prompt.split("\nFACTS ")[1])["agents"][0]
        assert session.plans_report()["failed"] == 1
    assert done == [(BY_RULES, 0), (COVER, 0), (BY_RULES, 1), (WAIT, 1)]
    assert asked["failed"] == {**COVER, "why": "the door is barred"}
    assert asked["done"] == [BY_RULES] and asked["goal"] == "hold on"
    assert plan.revision == 1 and wires(plan.steps) == [ATTACK, WAIT]


async def test_what_failed_does_not_come_again_neither_by_rules_nor_by_the_model() -> None:
    async with table(Script({"steps": [ATTACK, SCAN]})) as (session, _):
        planning, done = session.plan("grik", SNAPSHOT), []
        async for step in planning:
            done.append(step.wire)
            if step.wire == ATTACK:
                step.failed("out of reach")
        plan = await planning
    assert done.count(ATTACK) == 1 and SCAN in done
    assert [each.flaw.kind for each in plan.dropped] == ["repeated"]


async def test_a_plan_that_is_replaced_while_a_step_of_it_fails_comes_to_its_end() -> None:
    async with table() as (session, _):

        def meddling(*_: Any) -> list[Any]:  # as another thread may
            if planning_is_over:
                session.plan("grik", SNAPSHOT, goal="another")
            return []

        planning_is_over = False
        planning = session.plan("grik", SNAPSHOT, fallback=meddling)
        await planning
        planning_is_over = True
        planning.poll()[0].failed()
        assert (await planning).status is PlanStatus.SUPERSEDED
        assert await taken(planning) == []


async def test_where_every_step_fails_nobody_asks_for_ever() -> None:
    async with table(Script({"steps": [ATTACK, COVER, SCAN]})) as (session, model):
        count = 0
        async for step in session.plan("grik", SNAPSHOT):
            step.failed("nothing works here")
            count += 1
        assert count >= 9 and len(model.streams) <= 9


async def test_a_failed_step_closes_the_stream_of_the_plan_it_ends() -> None:
    async with table([Script(ttft=5), Script(WHOLE)]) as (session, model):
        planning = session.plan("grik", SNAPSHOT)
        first = await anext(planning.__aiter__())
        await asyncio.sleep(1)
        first.failed()
        await instant()
        assert model.streams[0].gone_at == 1.0 and len(model.open) == 1
        assert (await planning).revision == 1


async def test_a_step_fails_once_and_only_while_its_plan_is_the_one() -> None:
    async with table() as (session, model):
        planning = session.plan("grik", SNAPSHOT)
        await planning
        [step, *_] = planning.poll()
        step.failed("once")
        step.failed("twice")
        assert (await planning).revision == 1
        session.plan("grik", SNAPSHOT, goal="another")
        step = planning.poll()[0] if planning.poll() else step
        step.failed("too late")
        await asyncio.sleep(30)
        assert len(model.streams) == 3
        with pytest.raises(StateError, match="not handed out"):
            Step("Wait").failed()


# --- a newer scene


async def test_a_newer_scene_ends_the_plan_it_outdates_and_closes_its_connection() -> None:
    async with table(Script(WHOLE, ttft=2)) as (session, model):
        old = session.plan("grik", SNAPSHOT)
        await asyncio.sleep(1)
        new = session.plan("grik", joined("bran"))
        assert new is not old and old.poll() == []
        await instant()
        assert model.streams[0].gone_at == 1.0
        assert (await old).status is PlanStatus.SUPERSEDED
        assert await taken(old) == []
        assert (await new).status is PlanStatus.DONE


async def test_a_step_that_comes_in_one_moment_with_the_newer_scene_is_nobodys() -> None:
    async with table(Script(WHOLE, ttft=5)) as (session, _):
        seen: list[Any] = []
        session.plans.subscribe(seen.append)
        session.plan("grik", SNAPSHOT)
        await asyncio.sleep(1)
        [generation] = session.generations.live
        text = Delta(orjson.dumps(WHOLE).decode())
        session._pipeline.tasks.take_in(lambda: generation.receive(text))
        session.plan("grik", joined("bran"))
        await instant()
    steps = [event.step for event in seen if isinstance(event, Stepped)]
    assert [(step.plan, step.source) for step in steps] == [
        ("p1", "heuristic"),
        ("p2", "heuristic"),
    ]


async def test_a_newer_scene_that_is_no_news_goes_on_with_the_plan() -> None:
    async with table(Script(WHOLE, ttft=2)) as (session, model):
        planning = session.plan("grik", SNAPSHOT)
        for frame in range(180):  # a walk of three seconds
            assert session.plan("grik", moved(pos=[3 + frame / 10, 4], tick=frame)) is planning
            await asyncio.sleep(1 / 60)
        assert (await planning).status is PlanStatus.DONE
        assert len(model.streams) == 1


async def test_another_goal_is_another_plan_and_so_is_one_after_the_end() -> None:
    async with table() as (session, _):
        first = session.plan("grik", SNAPSHOT)
        second = session.plan("grik", SNAPSHOT, goal="flee")
        assert second is not first and (await first).status is PlanStatus.SUPERSEDED
        await second
        assert session.plan("grik", SNAPSHOT, goal="flee") is second  # steps are left
        second.poll()
        third = session.plan("grik", SNAPSHOT, goal="flee")
        assert third is not second
        await third
        assert (await second).status is PlanStatus.DONE  # what was over stays as it was


async def test_in_a_world_that_never_holds_still_a_plan_is_finished_all_the_same() -> None:
    async with table(Script(WHOLE, ttft=2)) as (session, _):
        plannings = []
        for second in range(10):
            plannings.append(session.plan("grik", joined(f"foe {second}")))
            await asyncio.sleep(1)
        statuses = [each.ended.status for each in dict.fromkeys(plannings) if each.ended]
        assert statuses[:4] == ["superseded", "superseded", "superseded", "done"]


async def test_a_step_is_checked_once_more_when_it_is_handed_out() -> None:
    async with table() as (session, _):
        planning = session.plan("grik", SNAPSHOT)
        await planning
        steps = planning.__aiter__()
        assert (await anext(steps)).wire == COVER
        assert session.plan("grik", moved(pos=[1, 2])) is planning
        fled = deepcopy(SNAPSHOT)
        planning._newest = type(planning._newest)({**fled, "others": {}})
        assert (await anext(steps)).wire == SCAN
        assert [(each.raw, each.flaw.kind) for each in planning.dropped] == [(ATTACK, "target")]


async def test_the_plan_of_one_is_nothing_to_another() -> None:
    async with table(Script(WHOLE, ttft=2)) as (session, model):
        grik = session.plan("grik", SNAPSHOT)
        snag = session.plan("snag", moved(hp=5))
        await asyncio.sleep(1)
        session.plan("grik", joined("bran"))
        grik.cancel()
        assert (await snag).total == pytest.approx(model.streams[1].gone_at)
        assert (await snag).status is PlanStatus.DONE


async def test_cancelling_closes_the_connection_and_hands_out_nothing_more() -> None:
    async with table(Script(WHOLE, ttft=2)) as (session, model):
        planning = session.plan("grik", SNAPSHOT)
        await asyncio.sleep(1)
        planning.cancel()
        assert planning.poll() == []
        await instant()
        assert model.streams[0].gone_at == 1.0
        assert (await planning).status is PlanStatus.CANCELLED
        planning.cancel()  # again is nothing
        assert (await session.plan("grik", SNAPSHOT)).status is PlanStatus.DONE


async def test_the_end_of_a_session_ends_all_plans_at_once() -> None:
    model = ScriptedModel(Script(ttft=5))
    async with foretell.Game(model=model) as game:
        session = await game.session("short")
        plannings = [session.plan(f"agent {n}", SNAPSHOT) for n in range(10)]
        reading = asyncio.ensure_future(taken(plannings[0]))
        await asyncio.sleep(1)
        await session.close()
        assert now() == 1.0 and not model.open
        assert len(await reading) == 1
        assert {(await each).status for each in plannings} == {PlanStatus.CANCELLED}
        with pytest.raises(StateError, match="closed"):
            session.plan("grik", SNAPSHOT)


async def test_who_asks_while_a_session_is_closed_is_refused_or_ended() -> None:
    async with table(telling_first) as (session, model):
        session.update(STATE)
        session.outcome("mira", "longsword", "hit", target="grik", damage=2)
        await instant()

        def closing(*_: Any) -> list[Any]:  # as another thread may
            session.say_end()
            return []

        with pytest.raises(StateError, match="closed"):
            session.plan("grik", SNAPSHOT, fallback=closing)
        ending = asyncio.ensure_future(session.finish(drain=5.0))
        await instant()
        late = {"what": "asked", "plan": "p9", "agent": "grik", "snapshot": SNAPSHOT}
        session._planned._tell(late)
        await ending
        assert not model.asked("plan") and session._pipeline.plan_tally.plans == 0


# --- many at once, and players


async def test_a_hundred_agents_asked_in_one_frame_share_the_places() -> None:  # 3-39
    pace = Script(WHOLE, ttft=0.1, delay=0.001)
    async with table(pace, streams=4, batch_size=1) as (session, model):
        plannings = [session.plan(f"agent {n}", moved(pos=[n, 4])) for n in range(100)]
        await instant()
        assert all(len(each.poll()) == 1 for each in plannings)  # by rules, in the same moment
        assert len(model.streams) == 4
        plans = [await each for each in plannings]
    assert {plan.status for plan in plans} == {PlanStatus.DONE} and model.most_open == 4
    assert [plan.id for plan in plans] == [f"p{n}" for n in range(1, 101)]


async def test_who_finds_no_place_in_time_has_a_plan_by_rules() -> None:  # 3-40
    async with table(Script(WHOLE, ttft=6), streams=1, batch_size=1) as (session, model):
        plannings = [session.plan(f"agent {n}", moved(pos=[n, 4])) for n in range(3)]
        statuses = [str((await each).status) for each in plannings]
        assert len(model.streams) == 1 and now() < 7  # what would come too late is not asked for
    assert statuses == ["done", "heuristic", "heuristic"]


def telling_first(request: Request, number: int) -> Script:
    if request.purpose == "plan":
        return Script(WHOLE, ttft=1.0)
    return Script({"text": "A blow.", "lines": [], "cues": []}, ttft=2.0)


async def test_no_plan_is_asked_for_while_a_player_waits_for_the_first_word() -> None:
    async with table(telling_first) as (session, model):
        session.update(STATE)
        telling = session.outcome("mira", "longsword", "hit", target="grik", damage=2)
        await instant()
        planning = session.plan("grik", SNAPSHOT)
        await asyncio.sleep(1.9)
        assert len(planning.poll()) == 1 and not model.asked("plan")
        await telling
        await planning
        [told], [planned] = model.asked("foreground"), model.asked("plan")
    assert told.opened_at == 0.0
    assert planned.opened_at == pytest.approx(2.02)  # its first piece has no words yet


async def test_a_telling_is_asked_for_as_soon_with_plans_as_without() -> None:
    async with table(telling_first) as (session, model):
        session.update(STATE)
        for agent in range(20):
            session.plan(f"agent {agent}", SNAPSHOT)
        await asyncio.sleep(0.5)
        await session.outcome("mira", "longsword", "hit", target="grik", damage=2)
        assert model.asked("foreground")[0].opened_at == 0.5


async def test_plans_have_an_account_of_their_own() -> None:
    async with table(telling_first) as (session, _):
        session.update(STATE)
        await session.plan("grik", SNAPSHOT)
        await session.outcome("mira", "longsword", "hit", target="grik", damage=2)
        report = session.report()
    assert report["tokens"]["plan"] > 0 and report["tokens"]["foreground"] > 0
    assert report["tokens"]["prefetch"] == report["tokens"]["saved"] == 0
    assert report["saved_usd"] == 0 and report["outcomes"] == 1
    fates = {row["purpose"]: (row["fate"], row["streams"]) for row in report["ledger"]}
    assert fates == {"plan": ("told", 1), "foreground": ("told", 1)}


# --- the game's own part


def flee(agent: str, snapshot: Mapping[str, Any], tools: Registry) -> list[Any]:
    assert "Retreat" in tools
    snapshot["me"].clear()  # type: ignore[attr-defined]  # it is the guest's own
    return [Step("Retreat", {"target": "mira"}), {"do": "Fly"}, {"do": "Scan"}]


async def test_a_fallback_stands_in_in_the_place_of_the_rules() -> None:  # 3-40
    async with table(Script(error=ModelUnavailable("down"))) as (session, _):
        planning = session.plan("grik", SNAPSHOT, fallback=flee)
        steps = [wire for _, wire, _ in await taken(planning)]
        plan = await planning
    assert steps == wires(plan.steps) == [{"do": "Retreat", "target": "mira"}, {"do": "Scan"}]
    assert plan.source is Source.FALLBACK and plan.status is PlanStatus.HEURISTIC


BAD_GUESTS = [
    lambda *_: 1 / 0,
    lambda *_: None,
    lambda *_: [object()],
    lambda *_: [{"do": "Wait"}] * 1000,
]


@pytest.mark.parametrize("fallback", BAD_GUESTS, ids=("raises", "none", "no JSON", "endless"))
async def test_a_fallback_that_fails_is_reported_and_the_rules_stand_in(fallback: Any) -> None:
    async with table() as (session, _):
        planning = session.plan("grik", SNAPSHOT, fallback=fallback)
        await instant()
        assert wires(planning.poll()) == [BY_RULES]
        assert (await planning).status is PlanStatus.DONE
        assert session.report()["faults"] == 1


@pytest.mark.parametrize("given", [[], [{"do": "Fly"}, 3]])
async def test_a_fallback_with_nothing_that_can_be_done_is_no_fault(given: Any) -> None:
    async with table() as (session, _):
        planning = session.plan("grik", SNAPSHOT, fallback=lambda *_: given)
        await instant()
        assert wires(planning.poll()) == [BY_RULES]
        assert session.report()["faults"] == 0


async def later(*_: Any) -> list[Any]:
    return []


BAD: list[tuple[dict[str, Any], str]] = [
    ({"agent": ""}, "id of an agent"),
    ({"agent": 7}, "id of an agent"),
    ({"agent": "x" * 401}, "id of an agent"),
    ({"snapshot": [1]}, "the snapshot must be an object"),
    ({"snapshot": {"me": object()}}, "the snapshot is not JSON"),
    ({"snapshot": {"me": "x" * 70_000}}, "raise plans.max_snapshot_bytes"),
    ({"goal": None}, "a goal is a text"),
    ({"goal": "x" * 401}, "a goal is a text"),
    ({"fallback": 3}, "plain function"),
    ({"fallback": later}, "plain function"),
]


@pytest.mark.parametrize(("given", "reason"), BAD)
async def test_what_cannot_be_asked_is_refused_where_it_is_asked(
    given: dict[str, Any], reason: str
) -> None:
    asked: dict[str, Any] = {"agent": "grik", "snapshot": SNAPSHOT, **given}
    async with table() as (session, model):
        with pytest.raises(StateError, match=reason) as refused:
            session.plan(asked.pop("agent"), asked.pop("snapshot"), **asked)
        assert "\n" not in str(refused.value)
        await instant()
    assert not model.streams


ABSURD = [
    {},
    {"me": None, "others": 3},
    {"me": {"pos": "here", "hp": "much", "max_hp": 0}, "others": {"mira": None, "bran": [1]}},
    {"me": {"pos": [1e300, None], "hp": -5}, "others": [{"id": "mira"}, {"id": "mira"}, 7]},
    {"me": {"hp": float("nan")}, "others": {"": {"side": []}}},
]


@pytest.mark.parametrize("snapshot", ABSURD)
async def test_an_absurd_snapshot_gets_a_plan_too(snapshot: dict[str, Any]) -> None:
    async with table(Script({"steps": [ATTACK, SCAN]})) as (session, _):
        planning = session.plan("grik", snapshot)
        assert await taken(planning)
        assert SCAN in wires((await planning).steps)
        assert session.report()["faults"] == 0


async def test_viewers_of_plans_see_all_and_spoil_nothing() -> None:
    seen: list[Any] = []

    def bad(event: Any) -> None:
        raise ValueError("a bug of the viewer's")

    async with table() as (session, _):
        session.plans.subscribe(bad)
        session.plans.subscribe(seen.append)
        plan = await session.plan("grik", SNAPSHOT)
        await instant()
    steps = [event.step for event in seen if isinstance(event, Stepped)]
    assert wires(steps) == [BY_RULES, COVER, ATTACK, SCAN]
    assert [event.plan for event in seen if isinstance(event, PlanEnded)] == [plan]


@pytest.mark.real_time
def test_a_game_without_an_event_loop_asks_and_polls_from_its_own_thread() -> None:
    model = ScriptedModel(Script(WHOLE, ttft=0.01, delay=0.001))
    with foretell.background(model=model) as game:
        session = game.session("frames")
        planning = session.plan("grik", SNAPSHOT)
        steps, frame = [], threading.Event()
        while planning.ended is None or (left := planning.poll()):
            steps += planning.poll() if planning.ended is None else left
            frame.wait(0.005)
        assert wires(steps)[-3:] == [COVER, ATTACK, SCAN]
        again = session.plan("grik", SNAPSHOT)
        again.cancel()
        assert game.run(again._whole()).status is PlanStatus.CANCELLED
