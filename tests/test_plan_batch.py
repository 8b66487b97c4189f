"""Plans of several agents in one request: who is asked with whom, and what becomes of each."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import Plan, Planning, PlanStatus, Registry, Session
from foretell.operators.plans.check import checked
from foretell.operators.plans.sight import Sight
from foretell.operators.plans.types import Ask, Tier
from foretell.replay.verify import verify
from foretell.streams.log import read
from foretell.streams.models import (
    ModelBadRequest,
    ModelCut,
    ModelOverloaded,
    ModelTooDear,
    ModelUnavailable,
    Request,
)
from foretell.testing import Script, ScriptedModel, instant, run_virtual
from foretell.testing.scripted import Answer

Facts = Mapping[str, Any]
SCAN, WAIT = {"do": "Scan"}, {"do": "Wait"}


def scene(number: int) -> dict[str, Any]:
    """What agent ``number`` sees; nobody else sees the same."""
    me = {"side": "foes", "pos": [number, 4], "hp": 9, "max_hp": 12, "ammo": 2}
    return {"me": me, "others": {"mira": {"side": "party", "pos": [9, number], "hp": 20}}}


def own(number: int) -> list[dict[str, Any]]:
    """What agent ``number`` plans, and nobody else."""
    return [{"do": "TakeCover", "x": number, "y": 0}, SCAN]


def facts(request: Request) -> dict[str, Facts]:
    """The agents that a request is about, as it names them."""
    told = orjson.loads(request.messages[-1].text.split("\nFACTS ")[1])
    return {each["id"]: each for each in told["agents"]}


def steps_of(name: str, told: Facts) -> list[Any]:
    return own(told["see"]["me"]["at"][0])


def plans(
    request: Request, each: Callable[[str, Facts], list[Any] | None] = steps_of
) -> dict[str, Any]:
    """An answer with a plan for each agent, or for one that is asked about alone."""
    asked = facts(request)
    if len(asked) == 1:
        return {"steps": next(each(name, told) for name, told in asked.items()) or []}
    told = {name: each(name, said) for name, said in asked.items()}
    return {"plans": [{"agent": n, "steps": steps} for n, steps in told.items() if steps]}


@asynccontextmanager
async def table(
    answer: Callable[[Request, int], Answer] | None = None, log: Path | None = None, **given: Any
) -> AsyncIterator[tuple[Session, ScriptedModel]]:
    model = ScriptedModel(answer or (lambda request, number: Script(plans(request))))
    settings = {"plans": given, "intensity": "off", **({"log_dir": str(log)} if log else {})}
    async with (
        foretell.Game(settings, model=model) as game,
        await game.session("table-7") as session,
    ):
        yield session, model
    assert not model.open


def queued(session: Session, *numbers: int) -> dict[str, Planning]:
    return {f"a{n}": session.queue_agent(f"a{n}", scene(n)) for n in numbers}


def sizes(model: ScriptedModel) -> list[int]:
    return [len(facts(stream.request)) for stream in model.streams]


def wires(plan: Plan) -> list[dict[str, Any]]:
    return [step.wire for step in plan.steps]


# --- one request for several


async def test_who_was_queued_is_asked_in_one_request_and_each_has_its_own_plan() -> None:
    async with table() as (session, model):  # 3-12, 3-13
        queued(session, *range(10))
        found = await session.execute_batch()
        assert await session.execute_batch() == {}
    assert sizes(model) == [10]
    assert {agent: wires(plan) for agent, plan in found.items()} == {
        f"a{n}": own(n) for n in range(10)
    }
    assert {(plan.status, str(plan.source)) for plan in found.values()} == {
        (PlanStatus.DONE, "simplified")
    }


async def test_they_stand_in_the_order_of_their_ids_however_they_were_queued() -> None:
    digests, came = [], []
    for order in ([3, 1, 2, 0], [0, 1, 2, 3]):  # 3-14
        async with table() as (session, model):
            queued(session, *order)
            came.append(await session.execute_batch())
        assert list(facts(model.streams[0].request)) == ["a0", "a1", "a2", "a3"] == [*came[-1]]
        digests.append(model.streams[0].request)
    assert digests[0] == digests[1]
    assert [wires(plan) for plan in came[0].values()] == [wires(plan) for plan in came[1].values()]


async def test_so_they_do_when_not_all_were_asked_about_before() -> None:
    async with table(streams=1) as (session, model):
        await session.plan("a0", scene(0))
        for n in range(3):
            session.queue_agent(f"a{n}", scene(n), goal="hold on")
        await session.execute_batch()
    assert list(facts(model.streams[1].request)) == ["a0", "a1", "a2"]


async def test_a_batch_is_asked_when_it_is_full() -> None:
    async with table(batch_size=5, batch_wait=3.0) as (session, model):  # 3-4, 3-12
        queued(session, *range(7))
        await instant()
        assert sizes(model) == [5]
        await asyncio.sleep(2.99)
        assert sizes(model) == [5]
        await asyncio.sleep(0.02)
        assert sizes(model) == [5, 2]
        assert [*await session.execute_batch()] == [f"a{n}" for n in range(7)]


async def test_or_a_few_milliseconds_after_the_first_was_queued() -> None:
    async with table() as (session, model):  # 3-4, 3-12
        first = queued(session, 0)
        await asyncio.sleep(0.003)
        second = queued(session, 1)
        await asyncio.sleep(0.001)
        assert not model.streams
        await asyncio.sleep(0.002)
        assert sizes(model) == [2] and model.streams[0].opened_at == pytest.approx(0.005)
        assert wires(await first["a0"]) == own(0) and wires(await second["a1"]) == own(1)


async def test_or_when_it_is_said_to_be_due() -> None:
    async with table(batch_wait=5.0) as (session, model):
        queued(session, 0, 1)
        waiting = asyncio.ensure_future(session.execute_batch())
        await instant()
        assert sizes(model) == [2] and model.streams[0].opened_at == 0.0
        queued(session, 2)  # the next batch, with patience of its own
        await waiting
        await asyncio.sleep(2)
        assert sizes(model) == [2]
        await session.execute_batch()
        assert sizes(model) == [2, 1]


async def test_and_that_may_be_said_in_the_same_breath() -> None:
    async with table(batch_wait=5.0) as (session, model):
        queued(session, 0, 1)
        await session.execute_batch()
    assert sizes(model) == [2] and model.streams[0].opened_at == 0.0


async def test_the_first_agent_moves_long_before_the_last_is_planned_for() -> None:
    def slow(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=1.0, delay=0.1, chunk=10)

    moved: dict[str, float] = {}
    ended: dict[str, float] = {}

    async def follow(agent: str, planning: Planning) -> None:
        async for step in planning:
            if step.source.model:
                moved.setdefault(agent, asyncio.get_running_loop().time())
        ended[agent] = asyncio.get_running_loop().time()

    async with table(slow, first=False) as (session, model):  # 3-13
        await asyncio.gather(*(follow(*each) for each in queued(session, *range(10)).items()))
        whole = model.streams[0].gone_at
    assert whole is not None
    assert list(moved) == [f"a{n}" for n in range(10)]
    assert moved["a0"] - 1.0 < 0.25 * (whole - 1.0)
    assert ended["a0"] < moved["a2"]  # its plan is whole when the next one begins
    assert ended["a9"] == whole


async def test_one_that_is_queued_alone_has_a_request_like_any_other() -> None:
    async with table() as (session, model):
        queued(session, 4)
        await session.execute_batch()
        alone = session.plan_prompt("a4", scene(4))
    assert model.streams[0].request.messages[0].text == alone.user


async def test_of_two_for_one_agent_the_later_stands() -> None:  # duplicate ids
    async with table() as (session, model):
        early = session.queue_agent("a1", scene(1))
        late = session.queue_agent("a1", scene(1), goal="hold on")
        queued(session, 2)
        found = await session.execute_batch()
        assert (await early).status is PlanStatus.SUPERSEDED
        assert found["a1"] is await late and list(found) == ["a1", "a2"]
    assert [told.get("goal") for told in facts(model.streams[0].request).values()] == [
        "hold on", None,
    ]  # fmt: skip


async def test_long_ids_that_begin_alike_are_told_apart() -> None:
    async with table() as (session, model):
        for n in range(3):
            session.queue_agent(f"{'x' * 60} {n}", scene(n))
        found = await session.execute_batch()
    assert [wires(plan) for plan in found.values()] == [own(0), own(1), own(2)]
    assert len(facts(model.streams[0].request)) == 3


@pytest.mark.parametrize("transport", ["schema", "tool"])
async def test_it_is_asked_for_as_structured_output_or_as_a_tool(transport: str) -> None:
    async with table(transport=transport) as (session, model):
        queued(session, 0, 1)
        await session.execute_batch()
        request = model.streams[0].request
    schema = request.schema if transport == "schema" else request.called[0].schema
    assert schema == Registry.core().schema_of_several
    assert {plan["agent"] for plan in plans(request)["plans"]} == {"a0", "a1"}


async def test_streaming_may_be_turned_off_for_a_batch_too() -> None:  # 3-27
    async with table(streaming=False) as (session, model):
        queued(session, 0, 1, 2)
        found = await session.execute_batch()
        gone = model.streams[0].gone_at
    assert [plan.model for plan in found.values()] == [pytest.approx(gone)] * 3
    assert [wires(plan) for plan in found.values()] == [own(0), own(1), own(2)]


# --- one bad plan costs only its agent


def but(name: str, bad: list[Any] | None) -> Callable[[Request, int], Script]:
    """All plans are good, but one of several."""

    def answer(request: Request, number: int) -> Script:
        several = len(facts(request)) > 1
        return Script(plans(request, lambda n, f: bad if several and n == name else steps_of(n, f)))

    return answer


@pytest.mark.parametrize("bad", [None, [], [{"do": "Fly"}], [{"do": "Attack", "target": "who"}]])
async def test_a_plan_that_is_bad_or_missing_is_asked_for_once_more_alone(bad: Any) -> None:
    async with table(but("a3", bad)) as (session, model):  # 3-15
        queued(session, *range(10))
        found = await session.execute_batch()
    assert sizes(model) == [10, 1] and list(facts(model.streams[1].request)) == ["a3"]
    assert {agent: wires(plan) for agent, plan in found.items()} == {
        f"a{n}": own(n) for n in range(10)
    }
    assert {plan.status for plan in found.values()} == {PlanStatus.DONE}
    assert found["a2"].total < found["a3"].total


async def test_and_if_that_is_bad_too_by_rules() -> None:
    def never(request: Request, number: int) -> Script:
        return Script(plans(request, lambda n, f: [] if n == "a1" else steps_of(n, f)))

    async with table(never, tier="full") as (session, model):
        queued(session, 0, 1, 2)
        found = await session.execute_batch()
    assert sizes(model) == [3, 1]
    assert [str(plan.status) for plan in found.values()] == ["done", "heuristic", "done"]
    assert found["a1"].kind == "invalid" and found["a1"].steps


async def test_a_batch_that_is_cut_costs_those_who_had_nothing_yet() -> None:
    def cut(request: Request, number: int) -> Script:
        whole = Script(plans(request))
        if len(facts(request)) == 1:
            return whole
        at = orjson.dumps(plans(request)).decode().index('"agent":"a2"') + 60
        return Script(plans(request), error=ModelCut("cut"), chunk=1, chunks=at)

    async with table(cut) as (session, model):
        queued(session, *range(4))
        found = await session.execute_batch()
    assert sizes(model) == [4, 1]
    assert [str(plan.status) for plan in found.values()] == ["done", "done", "partial", "done"]
    assert wires(found["a3"]) == own(3) and wires(found["a2"]) == own(2)[:1]


@pytest.mark.parametrize(
    "wrong", [Script(error=ModelBadRequest("no")), Script("", stop="refusal"), Script("No plans.")]
)
async def test_a_batch_that_comes_to_nothing_is_asked_for_one_by_one(wrong: Script) -> None:
    def answer(request: Request, number: int) -> Script:
        return wrong if len(facts(request)) > 1 else Script(plans(request))

    async with table(answer, streams=2) as (session, model):
        queued(session, *range(5))
        found = await session.execute_batch()
    assert sizes(model) == [5, 1, 1, 1, 1, 1] and model.most_open == 2  # no herd
    assert [wires(plan) for plan in found.values()] == [own(n) for n in range(5)]


async def test_a_server_without_room_is_asked_again_after_a_pause_for_all() -> None:
    def answer(request: Request, number: int) -> Script:
        full = Script(error=ModelOverloaded("529"), ttft=0.1)
        return full if number == 1 else Script(plans(request))

    async with table(answer, streams=1) as (session, model):
        queued(session, *range(5))
        found = await session.execute_batch()
    assert {plan.status for plan in found.values()} == {PlanStatus.DONE}
    assert sum(sizes(model)) == 10 and len(sizes(model)) < 10  # ints
    assert model.most_open == 1


async def test_a_server_out_of_reach_is_not_asked_for_each_at_once() -> None:
    def answer(request: Request, number: int) -> Script:
        gone = Script(error=ModelUnavailable("gone"), ttft=0.1)
        return gone if number == 1 else Script(plans(request))

    async with table(answer) as (session, model):
        queued(session, 0, 1, 2)
        found = await session.execute_batch()
        second = model.streams[1].opened_at
    assert {plan.status for plan in found.values()} == {PlanStatus.DONE}
    assert second is not None and second >= 0.6


async def test_a_request_that_is_silent_is_one_failure_however_many_wait_for_it() -> None:
    def answer(request: Request, number: int) -> Script:
        return Script(ttft=1e9) if number == 1 else Script(plans(request))

    async with table(answer, tier="compact", deadline=6.0) as (session, _):
        queued(session, *range(8))
        found = await session.execute_batch()
        assert {plan.kind for plan in found.values()} == {"deadline"}
        assert wires(await session.plan("b1", scene(20))) == own(20)  # its circuit is not open


async def test_who_joins_late_says_nothing_of_how_soon_a_server_answers() -> None:
    def answer(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=6.0)

    async with table(answer, streams=1, batch_size=1) as (session, model):
        session.plan("a1", scene(1))
        third = session.plan("a3", scene(3))
        await asyncio.sleep(5.5)
        session.plan("a2", scene(1))  # asked for already
        assert (await third).status is PlanStatus.HEURISTIC
        assert asyncio.get_running_loop().time() < 7 and len(model.streams) == 1


async def test_plans_for_nobody_and_second_plans_are_left_out_and_counted() -> None:
    def answer(request: Request, number: int) -> Script:
        whole = plans(request)
        strange = [{"agent": "who", "steps": [WAIT]}, {"agent": "a0", "steps": [WAIT]}]
        return Script({"plans": [*whole["plans"], *strange]})

    async with table(answer) as (session, model):
        queued(session, 0, 1)
        found = await session.execute_batch()
        await instant()
        assert session.plans_report()["dropped"] == {"stranger": 1, "twice": 1}
    assert [wires(plan) for plan in found.values()] == [own(0), own(1)] and sizes(model) == [2]


async def test_at_the_deadline_of_a_batch_each_has_what_is_complete_of_its_plan() -> None:
    def stalls(request: Request, number: int) -> Script:
        at = orjson.dumps(plans(request)).decode().index('"agent":"a2"') + 60
        return Script(plans(request), hangs=True, chunk=1, chunks=at, delay=0.001)

    async with table(stalls, deadline=4.0) as (session, model):  # 3-24
        queued(session, *range(4))
        found = await session.execute_batch()
    assert [str(p.status) for p in found.values()] == ["done", "done", "partial", "heuristic"]
    assert found["a2"].total == found["a3"].total == 4.0 and found["a2"].kind == "deadline"
    assert sizes(model) == [4]


async def test_where_no_budget_has_room_for_all_each_is_asked_for_alone() -> None:
    def allow(request: Request) -> None:
        if len(facts(request)) > 1:
            raise ModelTooDear("too much")

    async with table() as (session, model):
        session._pipeline.agents._batches._allow = allow
        queued(session, 0, 1, 2)
        found = await session.execute_batch()
    assert sizes(model) == [1, 1, 1]
    assert [wires(plan) for plan in found.values()] == [own(0), own(1), own(2)]


# --- leaving, and sharing


async def test_who_leaves_closes_nothing_until_all_have_left() -> None:
    def slow(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=3.0)

    async with table(slow) as (session, model):  # 3-49
        plannings = queued(session, 0, 1, 2)
        await asyncio.sleep(1)
        plannings["a0"].cancel()
        plannings["a2"].cancel()
        await instant()
        assert len(model.open) == 1
        assert wires(await plannings["a1"]) == own(1)
        assert (await plannings["a0"]).status is PlanStatus.CANCELLED


async def test_when_all_have_left_the_connection_is_closed() -> None:
    def slow(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=3.0)

    async with table(slow) as (session, model):
        plannings = queued(session, 0, 1, 2)
        await asyncio.sleep(1)
        for planning in plannings.values():
            planning.cancel()
        await instant()
        assert not model.open and model.streams[0].gone_at == pytest.approx(1.0)


async def test_who_leaves_the_queue_is_not_asked_about() -> None:
    async with table(batch_wait=1.0) as (session, model):
        plannings = queued(session, 0, 1, 2)
        await instant()
        plannings["a1"].cancel()
        found = await session.execute_batch()
    assert list(facts(model.streams[0].request)) == ["a0", "a2"]
    assert [str(plan.status) for plan in found.values()] == ["done", "cancelled", "done"]


async def test_who_is_given_a_place_and_leaves_in_one_moment_leaves_it_to_others() -> None:
    async with table(streams=1, batch_size=1) as (session, model):
        batches = session._pipeline.agents._batches
        give, shares = batches._open, []

        def given(group: Any) -> None:
            give(group)
            if group and group[0][1].ask.agent == "a0":
                shares[0].cancel()  # before it has heard of its place

        batches._open = given  # type: ignore[method-assign]
        for n in range(2):
            ask = Ask(f"p{n}", f"a{n}", scene(n), "", 0.0)
            shares.append(asyncio.ensure_future(batches.share(ask, Tier.COMPACT)))
        second = await shares[1]
        await instant()
        assert shares[0].cancelled()
        assert [[*facts(each.request)] for each in model.streams] == [["a1"]]
        second.release("enough")


async def test_equal_inputs_under_way_are_asked_for_once() -> None:
    async with table() as (session, model):
        first = session.plan("a1", scene(7))
        await asyncio.sleep(0.3)
        second = session.plan("b1", scene(7))
        other = session.plan("c1", scene(7), goal="another")
        assert wires(await first) == wires(await second) == own(7)
        assert wires(await other) == own(7)
    assert len(model.streams) == 2

    async with table() as (session, model):
        for n in range(6):
            session.queue_agent(f"a{n}", scene(n % 2))
        found = await session.execute_batch()
    assert sizes(model) == [2]
    assert [wires(plan) for plan in found.values()] == [own(n % 2) for n in range(6)]


async def test_of_those_who_share_one_may_leave_the_other_goes_on() -> None:
    async with table(lambda request, number: Script(plans(request), ttft=2.0)) as (session, model):
        first, second = session.plan("a1", scene(7)), session.plan("b1", scene(7))
        await asyncio.sleep(1)
        first.cancel()
        assert wires(await second) == own(7)
    assert len(model.streams) == 1


# --- pressure


async def test_while_places_are_free_each_has_a_request_of_its_own() -> None:
    async with table(streams=4) as (session, model):
        plannings = [session.plan(f"a{n}", scene(n)) for n in range(4)]
        await instant()
        assert sizes(model) == [1, 1, 1, 1]
        for n, planning in enumerate(plannings):
            assert wires(await planning) == own(n)


@pytest.mark.parametrize(
    ("streams", "asked", "expected"),
    [
        (4, 10, [3, 3, 2, 2]), (1, 10, [10]), (1, 12, [10, 2]), (10, 10, [1] * 10),
        (4, 5, [2, 1, 1, 1]),
    ],
)  # fmt: skip
async def test_under_pressure_all_are_asked_at_once_in_as_many_requests_as_there_are_places(
    streams: int, asked: int, expected: list[int]
) -> None:
    async with table(streams=streams) as (session, model):  # 3-4
        plannings = [session.plan(f"a{n:02}", scene(n)) for n in range(asked)]
        for n, planning in enumerate(plannings):
            assert wires(await planning) == own(n)
    assert sizes(model) == expected and model.most_open <= streams


async def test_what_waits_when_a_place_becomes_free_is_asked_together() -> None:
    def paced(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=float(number))

    async with table(paced, streams=2, deadline=60, tier="compact") as (session, model):
        for n in range(2):
            session.plan(f"a{n}", scene(n))
        await asyncio.sleep(0.5)
        late = [session.plan(f"b{n}", scene(10 + n)) for n in range(6)]
        for n, planning in enumerate(late):
            assert wires(await planning) == own(10 + n)
    assert sizes(model)[:3] == [1, 1, 3] and sum(sizes(model)) == 8  # ints


async def test_of_those_who_were_never_asked_about_who_waits_longest_comes_first() -> None:
    def paced(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=1.0)

    async with table(paced, streams=1, batch_size=2) as (session, model):
        for n in (9, 8, 7, 6):
            session.plan(f"a{n}", scene(n))
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
    assert [[*facts(s.request)] for s in model.streams] == [["a9"], ["a7", "a8"], ["a6"]]


async def test_with_a_batch_size_of_one_nobody_is_asked_about_with_others() -> None:
    async with table(streams=1, batch_size=1) as (session, model):
        for n in range(3):
            session.plan(f"a{n}", scene(n))
        queued(session, 7, 8)
        await session.execute_batch()
        assert set(sizes(model)) == {1}


async def test_when_there_are_too_many_nobody_comes_twice_before_everybody_has_come_once() -> None:
    def paced(request: Request, number: int) -> Script:
        return Script(plans(request), ttft=0.5)

    asked: list[str] = []
    async with table(paced, streams=1, batch_size=3, deadline=60) as (session, model):
        rng = random.Random(1)
        for turn in range(30):  # nobody's first plan is whole before he is asked about anew
            for n in rng.sample(range(12), 12):
                session.plan(f"a{n:02}", scene(n), goal=f"turn {turn}")
            await asyncio.sleep(0.6)
        for stream in model.streams:
            asked += facts(stream.request)
    for at in range(0, 48, 12):
        assert sorted(asked[at : at + 12]) == [f"a{n:02}" for n in range(12)]


async def test_players_come_before_batches() -> None:
    def answer(request: Request, number: int) -> Script:
        if request.purpose == "plan":
            return Script(plans(request))
        return Script({"text": "A blow.", "lines": [], "cues": []}, ttft=2.0)

    async with table(answer) as (session, model):
        session.update({"mode": "combat", "actors": {"mira": {"hp": 3}, "grik": {"hp": 3}}})
        telling = session.outcome("mira", "longsword", "hit", target="grik", damage=2)
        await instant()
        queued(session, 0, 1)
        running = asyncio.ensure_future(session.execute_batch())
        await asyncio.sleep(1.9)
        assert not model.asked("plan")
        await telling
        await running
        assert len(model.asked("plan")) == 1


# --- with the narrator, and recorded


async def test_the_narrator_plans_for_all_of_a_batch_what_each_can_do() -> None:
    async with (
        foretell.Game({"narrator_profile": "hosted-large", "plans": {"deadline": 30}}) as game,
        await game.session("table-7") as session,
    ):
        queued(session, *range(10))
        found = await session.execute_batch()
    assert {plan.status for plan in found.values()} == {PlanStatus.DONE}
    for n, plan in enumerate(found.values()):
        fit, dropped = checked(plan.steps, Registry.core(), Sight(scene(n)))
        assert fit and not dropped and not plan.dropped


def night(folder: Path, seed: int) -> Path:
    """A session that asks for plans in every way, of a model that answers in every way."""
    rng = random.Random(f"batches {seed}")

    def answer(request: Request, number: int) -> Script:
        times = {"ttft": rng.uniform(0.1, 2), "delay": rng.choice((0.001, 0.05))}
        times["teardown"] = rng.choice((0, 0, 0.3, 1.5))
        whole = plans(request, lambda n, f: rng.choice((steps_of(n, f), [], [{"do": "Fly"}], None)))
        wrong = rng.choice((None, None, None, ModelOverloaded("529"), ModelCut("cut")))
        if wrong is None and rng.random() < 0.2:
            return Script(whole, hangs=True, chunks=rng.randrange(30), **times)
        return Script(whole, error=wrong, chunks=rng.randrange(30) if wrong else 0, **times)

    async def evening() -> None:
        given = {"streams": rng.choice((1, 2, 4)), "batch_size": 4, "deadline": 5.0}
        async with table(answer, folder, **given) as (session, _):
            following = []

            async def follow(planning: Planning) -> None:
                async for step in planning:
                    await asyncio.sleep(rng.choice((0, 0.3)))
                    if rng.random() < 0.1:
                        step.failed("it is barred")

            for _ in range(30):
                ask = rng.choice((session.plan, session.queue_agent))
                number = rng.randrange(9)
                goal = rng.choice(("", "", "hold on"))
                planning = ask(f"a{number}", scene(rng.choice((number, 3))), goal=goal)
                following.append(asyncio.ensure_future(follow(planning)))
                if rng.random() < 0.2:
                    following.append(asyncio.ensure_future(session.execute_batch()))
                if rng.random() < 0.1:
                    planning.cancel()
                await asyncio.sleep(rng.choice((0, 0, 0.002, 0.5)))
            await asyncio.sleep(rng.choice((0, 12)))
            await session.close()
            await asyncio.gather(*following)

    run_virtual(evening())
    return folder / "table-7.jsonl"


@pytest.mark.parametrize("seed", range(12))
def test_a_night_of_batches_is_replayed_line_by_line(tmp_path: Path, seed: int) -> None:
    path = night(tmp_path, seed)  # 3-38
    walked = verify(path, heavy=True)
    assert walked.difference is None and walked.closed


def test_those_nights_have_all_that_may_happen(tmp_path: Path) -> None:
    found: set[str] = set()
    for seed in range(12):
        for record in read(night(tmp_path / str(seed), seed)):
            line = record.data
            found |= {line["kind"], str(line.get("what")), str(line.get("status"))}
            if line["kind"] == "~generation":
                found.add("several" if "plans" in line else "one")
            if line["kind"] == "~timer":
                found.add(line["name"])
    assert found >= {
        *("due", "asked", "failed", "left", "~shared", "several", "one", "batch"),
        *("done", "partial", "heuristic", "superseded", "cancelled"),
    }
