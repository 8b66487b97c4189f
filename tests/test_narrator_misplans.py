"""What the narrator does wrong with plans, on demand: what each fault says, and nothing else."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest

import foretell
from foretell import PlanStatus, Registry
from foretell.operators.plans.check import check, checked
from foretell.operators.plans.prompts import request_of, told_of
from foretell.operators.plans.reader import PlansReader
from foretell.operators.plans.settings import Plans
from foretell.operators.plans.sight import Sight
from foretell.operators.plans.types import Ask, Flaw, Tier
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.models import Delta, Request
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.facts import find_facts
from foretell.streams.narrator.faults import Fault, Faults, Kind
from foretell.streams.narrator.misplans import misplanned
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.streams.narrator.structured import answer
from foretell.testing import run_virtual

FULL = Registry.full()
KINDS = [
    "badtool", "badarg", "badtarget", "badplan", "noplan", "twice", "stranger", "mixed", "chatty",
]  # fmt: skip


def scene(seed: int) -> dict[str, Any]:
    rng = random.Random(f"scene {seed}")

    def one(side: str) -> dict[str, Any]:
        at = [rng.randint(-9, 9), rng.randint(-9, 9)]
        return {"side": side, "hp": rng.randint(1, 12), "max_hp": 12, "pos": at, "ammo": 2}

    return {"me": one("foes"), "others": {f"o{n}": one("party") for n in range(rng.randrange(4))}}


def asked(numbers: range, **extra: Any) -> Request:
    told = [
        {**told_of(Ask("p", "", scene(n), "", 0.0), FULL, Tier.SIMPLIFIED), "id": f"a{n}"}
        for n in numbers
    ]
    request = request_of(told, FULL, "narrator", Plans(), Tier.SIMPLIFIED)
    return Request(
        *(request.model, request.messages, request.system),
        schema=request.schema,
        max_tokens=4000,
        **extra,
    )


def written(request: Request, kind: str | None, share: float = 0.0, seed: int = 0) -> str:
    prompt = request.messages[-1].text
    text = answer(prompt, "", seed, request.schema)
    return text if kind is None else misplanned(text, prompt, Kind(kind), share)


def flaws(steps: list[Any], number: int) -> list[str]:
    sight = Sight(scene(number))
    return [found.kind for each in steps if isinstance(found := check(each, FULL, sight), Flaw)]


SHARES = (0.0, 0.3, 0.7, 1.0)


@pytest.mark.parametrize("share", SHARES)
@pytest.mark.parametrize(
    ("kind", "flaw"),
    [("badtool", {"unknown_tool"}), ("badtarget", {"target"}), ("badarg", {"range", "missing"})],
)
def test_one_step_is_wrong_in_what_the_fault_says(kind: str, flaw: set[str], share: float) -> None:
    for seed in range(60):
        for numbers in (range(seed, seed + 1), range(seed, seed + 4)):
            request = asked(numbers)
            good, bad = (orjson.loads(written(request, k, share, seed=seed)) for k in (None, kind))
            before, after = good.get("plans", [good]), bad.get("plans", [bad])
            pairs = [
                (a, b, number)
                for one, other, number in zip(before, after, numbers, strict=True)
                for a, b in zip(one["steps"], other["steps"], strict=True)
            ]
            changed = [at for at, (a, b, _) in enumerate(pairs) if a != b]
            assert changed == [min(int(share * len(pairs)), len(pairs) - 1)]
            _, step, number = pairs[changed[0]]
            assert flaws([step], number) and set(flaws([step], number)) <= flaw


@pytest.mark.parametrize("share", SHARES)
def test_one_plan_of_several_is_wrong_and_the_others_are_as_they_were(share: float) -> None:
    for seed in range(40):
        numbers = range(seed, seed + 5)
        request = asked(numbers)
        good = orjson.loads(written(request, None))["plans"]
        at = min(int(share * 5), 4)
        for kind in ("badplan", "noplan", "twice", "stranger", "mixed"):
            bad = orjson.loads(written(request, kind, share))["plans"]
            match kind:
                case "badplan":
                    assert set(flaws(bad[at]["steps"], numbers[at])) == {"unknown_tool"}
                    assert not checked(bad[at]["steps"], FULL, Sight(scene(numbers[at])))[0]
                    assert [*bad[:at], good[at], *bad[at + 1 :]] == good
                case "noplan":
                    assert bad == [*good[:at], *good[at + 1 :]]
                case "twice":
                    assert bad[:-1] == good and bad[-1]["agent"] == good[at]["agent"]
                case "stranger":
                    names = [plan["agent"] for plan in good]
                    assert bad[at]["agent"] not in names and [*bad[:at], *bad[at + 1 :]] == good
                case "mixed":
                    assert bad == good[::-1]


def test_of_a_plan_for_one_alone() -> None:
    request = asked(range(3, 4))
    good = orjson.loads(written(request, None))
    assert orjson.loads(written(request, "noplan")) == {"steps": []}
    assert set(flaws(orjson.loads(written(request, "badplan"))["steps"], 3)) == {"unknown_tool"}
    for kind in ("twice", "stranger", "mixed"):  # which are of several
        assert orjson.loads(written(request, kind)) == good


def test_words_around_the_plans_leave_them_as_they_are() -> None:
    request = asked(range(4))
    good, chatty = (written(request, kind) for kind in (None, "chatty"))
    before, behind = chatty.split(good)
    assert "{" in before and "[" in before and "{" in behind
    reader = PlansReader(("a0", "a1", "a2", "a3"))
    steps = [*reader.feed(chatty), *reader.finish()]
    plans = orjson.loads(good)["plans"]
    assert steps == [(plan["agent"], step) for plan in plans for step in plan["steps"]]


@pytest.mark.parametrize(
    "text",
    ["A blow.", '{"text": "A blow."}', "[1]", '{"steps": 3}', '{"plans": [3]}', '{"plans": []}'],
)
def test_other_answers_stay_as_they_are(text: str) -> None:
    for kind in KINDS:
        assert misplanned(text, asked(range(2)).messages[-1].text, Kind(kind), 0.5) == text
    assert not Fault.parse("cut").of_plans and all(Fault.parse(k).of_plans for k in KINDS)


def test_they_are_asked_for_as_all_faults_are() -> None:
    assert str(Fault.parse("badtool@0.5")) == "badtool@0.5"
    drawn = Faults.parse("badplan:1").of(0, 1)
    assert drawn is not None and drawn.share is not None
    for text in ("mixed@0.5", "chatty@0.5", "badtool=3"):
        with pytest.raises(ValueError, match="takes no"):
            Fault.parse(text)


async def told(model: Any, request: Request) -> str:
    events = [event async for event in model.stream(request)]
    return "".join(event.text for event in events if isinstance(event, Delta))


@pytest.mark.real_time
@pytest.mark.parametrize("kind", KINDS)
async def test_each_is_the_same_over_http_as_in_process(kind: str) -> None:
    extra = {"metadata": {"narrator_fault": kind if kind in ("mixed", "chatty") else f"{kind}@0.4"}}
    request, plain = asked(range(4), extra=extra), asked(range(4))
    here = await asyncio.to_thread(
        lambda: run_virtual(told(NarratorModel(Engine(profile("instant"))), request))
    )
    async with running(profile("instant")) as url:
        door = AnthropicModel(url)
        try:
            assert await told(door, request) == here != await told(door, plain)
        finally:
            await door.aclose()
    assert here == written(plain, kind, 0.4)


@pytest.mark.real_time
@pytest.mark.parametrize("transport", ["schema", "tool"])
async def test_a_session_plans_for_a_batch_over_http(transport: str) -> None:
    engine = Engine(profile("instant"), faults=Faults.parse("mixed:1"))
    async with running(profile("instant"), engine=engine) as url:
        settings = {"base_url": url, "plans": {"transport": transport, "tools": "full"}}
        async with (
            foretell.Game(settings, api_key="none") as game,
            await game.session("table-7") as session,
        ):
            for n in range(5):
                session.queue_agent(f"a{n}", scene(n))
            plans = await session.execute_batch()
    assert [str(plan.status) for plan in plans.values()] == ["done"] * 5
    assert len(engine.accounts) == 1 and not any(plan.dropped for plan in plans.values())


@pytest.mark.parametrize("kind", KINDS)
async def test_whatever_is_wrong_with_a_batch_each_agent_has_a_valid_plan(kind: str) -> None:
    engine = Engine(profile("hosted-small"), faults=Faults.parse(f"{kind}:1"))
    settings = {"plans": {"tools": "full"}, "intensity": "off"}
    async with (
        foretell.Game(settings, model=NarratorModel(engine)) as game,
        await game.session("table-7") as session,
    ):
        for n in range(6):
            session.queue_agent(f"a{n}", scene(n))
        asyncio.get_running_loop().call_later(0.1, setattr, engine, "faults", Faults())
        plans = await session.execute_batch()
    for n, plan in enumerate(plans.values()):
        fit, dropped = checked(plan.steps, FULL, Sight(scene(n)))
        assert fit and not dropped and plan.status is PlanStatus.DONE
    assert engine.accounts[0].fault is not None and engine.accounts[0].fault.startswith(kind)
    alone = 1 if kind in ("badplan", "noplan") else 0
    assert len(engine.accounts) <= 1 + max(alone, kind == "badtool")
    assert len(engine.accounts) >= 1 + alone
    left_out = sum(len(plan.dropped) for plan in plans.values())  # ints
    assert (left_out > 0) == (kind in ("badtool", "badarg", "badtarget", "badplan"))


def test_the_facts_of_several_are_read_by_the_narrator() -> None:
    facts = find_facts(asked(range(3)).messages[-1].text)
    assert facts is not None and [each["id"] for each in facts["agents"]] == ["a0", "a1", "a2"]
