"""The narrator's plans: what an agent can do, the same wherever it is asked for."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import orjson
import pytest

import foretell
from foretell import PlanStatus, Registry
from foretell.operators.plans.check import checked
from foretell.operators.plans.prompts import request_for
from foretell.operators.plans.settings import Plans
from foretell.operators.plans.sight import Sight
from foretell.operators.plans.types import Ask
from foretell.streams.models import Delta, Request
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.plans import plans_for
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.streams.narrator.structured import answer
from foretell.testing import run_virtual


def scene(rng: random.Random) -> dict[str, Any]:
    def one() -> dict[str, Any]:
        most = rng.randint(4, 30)
        return {
            "side": rng.choice(("party", "foes")), "hp": rng.randint(0, most), "max_hp": most,
            "pos": [rng.uniform(-50, 50), rng.uniform(-50, 50)], "ammo": rng.randrange(4),
        }  # fmt: skip

    others = {f"other {n}": one() for n in range(rng.randrange(8))}
    return {"me": one(), "others": others, "place": rng.choice(("mill", "bridge"))}


def asked(snapshot: dict[str, Any], registry: Registry, **plans: Any) -> Request:
    ask = Ask("p1", "grik", snapshot, "hold on", 0.0)
    return request_for(ask, registry, "narrator", Plans(**plans))


def words(request: Request, seed: int) -> str:
    return answer(request.messages[-1].text, "", seed, request.schema, room=4 * request.max_tokens)


@pytest.mark.parametrize("registry", [Registry.core(), Registry.full()], ids=["core", "full"])
@pytest.mark.parametrize("tier", ["simplified", "compact"])
def test_what_it_plans_can_be_done(registry: Registry, tier: Any) -> None:
    lengths = set()
    for seed in range(250):
        snapshot = scene(random.Random(seed))
        steps = orjson.loads(words(asked(snapshot, registry, tier=tier), seed))["steps"]
        fit, dropped = checked(steps, registry, Sight(snapshot))
        assert not dropped and len(fit) == len(steps) >= 1
        lengths.add(len(steps))
    assert lengths >= {2, 3, 4, 5}


def test_an_agent_plans_the_same_beside_whomever_it_is_asked_for() -> None:
    registry = Registry.core()
    facts = []
    for n in range(6):
        request = asked(scene(random.Random(n)), registry)
        [agent] = orjson.loads(request.messages[-1].text.split("\nFACTS ")[1])["agents"]
        facts.append({**agent, "id": f"agent {n}"})
    schema = {"type": "object", "properties": {"plans": {"type": "array"}}}
    found = []
    for order in (facts, facts[::-1], facts[2:4]):
        prompt = "Plan.\nFACTS " + orjson.dumps({"agents": order, "most": 5}).decode()
        plans = orjson.loads(plans_for(prompt, 7, schema, None) or "")["plans"]
        assert [plan["agent"] for plan in plans] == [agent["id"] for agent in order]
        found.append({plan["agent"]: plan["steps"] for plan in plans})
    assert found[0] == found[1]
    assert found[2] == {name: found[0][name] for name in found[2]}


def test_with_little_room_it_plans_fewer_steps() -> None:
    request = asked(scene(random.Random(3)), Registry.core())
    prompt, schema = request.messages[-1].text, request.schema or {}
    long, short = (plans_for(prompt, 3, schema, room) or "" for room in (None, 60))
    assert len(orjson.loads(short)["steps"]) < len(orjson.loads(long)["steps"])
    assert long.startswith(short.removesuffix("]}"))


def test_without_agents_in_the_facts_it_writes_as_it_always_has() -> None:
    schema = Registry.core().schema
    for prompt in ("Plan something.", 'Plan.\nFACTS {"agents": []}', 'Plan.\nFACTS {"agents": 3}'):
        assert plans_for(prompt, 0, schema, None) is None
    assert (
        plans_for('P.\nFACTS {"agents":[{"can":{}}]}', 0, {"properties": {"text": {}}}, 9) is None
    )


def test_it_does_not_do_again_what_has_failed() -> None:
    snapshot, registry = scene(random.Random(5)), Registry.core()
    first = orjson.loads(words(asked(snapshot, registry), 5))["steps"][0]
    ask = Ask("p1", "grik", snapshot, "hold on", 0.0, failed=(first, "no"))
    again = orjson.loads(words(request_for(ask, registry, "narrator", Plans()), 5))["steps"]
    assert first not in again


async def test_a_session_plans_with_it_in_process() -> None:
    settings = {"narrator_profile": "instant"}
    async with foretell.Game(settings) as game, await game.session("table-7") as session:
        plannings = [session.plan(f"a{n}", scene(random.Random(n))) for n in range(20)]
        plans = [await each for each in plannings]
    assert {plan.status for plan in plans} <= {PlanStatus.DONE, PlanStatus.HEURISTIC}
    assert sum(plan.status is PlanStatus.DONE for plan in plans) >= 15  # ints
    assert not any(plan.dropped for plan in plans)


@pytest.mark.real_time
@pytest.mark.parametrize("transport", ["schema", "tool"])
async def test_it_plans_the_same_over_http(transport: str) -> None:
    request = asked(scene(random.Random(1)), Registry.core(), transport=transport)

    async def texts(model: Any) -> str:
        events = [event async for event in model.stream(request)]
        return "".join(event.text for event in events if isinstance(event, Delta))

    narrator = NarratorModel(Engine(profile("instant"), 0))
    here = await asyncio.to_thread(lambda: run_virtual(texts(narrator)))
    async with running(profile("instant")) as url:
        settings = {"base_url": url, "plans": {"transport": transport}}
        async with foretell.Game(settings, api_key="none") as game:
            assert await texts(game.model) == here
            async with await game.session("table-7") as session:
                plan = await session.plan("grik", scene(random.Random(1)))
    assert plan.status is PlanStatus.DONE and plan.steps
