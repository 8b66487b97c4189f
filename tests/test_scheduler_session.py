"""A session's speculation goes through the scheduler: its budget, its threshold, its reasons."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.operators.schedule import Constraints, Learned
from foretell.operators.schedule_variants import fitted, variant_kinds
from foretell.operators.variant_costs import VariantCosts
from foretell.sinks.store import Store
from foretell.testing import Script, ScriptedModel

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
SLOW = Script({"text": "The blade bites.", "lines": [], "cues": []}, ttft=1.0, delay=0.25, chunk=5)
EACH = 900
"""Tokens a variant is thought to cost, before one was written."""


@asynccontextmanager
async def table(**schedule: Any) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = ScriptedModel(SLOW)
    async with foretell.Game({"schedule": schedule}, model=model) as game:
        session = await game.session("table-7")
        session.update(STATE)
        session.begin_turn("mira")
        yield session, model


@pytest.mark.parametrize("room", [0, 1, 2, 3])
async def test_a_round_prepares_what_its_tokens_allow(room: int) -> None:  # 1-12 1-52 1-66
    async with table(max_prefetch_tokens=room * EACH + 5) as (session, model):
        session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(0.5)
        assert len(model.open) == min(room, 3)
        plan = session.prefetch_plan()
        assert plan is not None and plan["tokens"] == min(room, 3) * EACH
        left = [entry for entry in plan["entries"] if not entry["taken"]]
        assert all("does not fit" in entry["why"] for entry in left)
        assert all(entry["priority"] == "P0" for entry in plan["entries"])
        assert plan["entries"][0]["keys"] == ("000 mira: longsword → goblin: hit",)


async def test_the_likeliest_result_comes_first_when_there_is_room_for_one() -> None:  # 1-11
    async with table(max_prefetch_tokens=EACH) as (session, model):
        session.declare("mira", "longsword", target="goblin", odds={"hit": 0.2, "miss": 0.8})
        await asyncio.sleep(5)
        assert len(model.streams) == 1
        telling = session.outcome("mira", "longsword", "miss", target="goblin")
        await telling
        assert len(model.streams) == 1


async def test_what_is_being_written_goes_on_and_spends_nothing_again() -> None:  # 1-8 1-9
    async with table(max_prefetch_tokens=2 * EACH) as (session, model):
        session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(0.5)
        first = {id(stream) for stream in model.open}
        session.intensity = foretell.Intensity.AGGRESSIVE  # planned anew
        await asyncio.sleep(0.1)
        assert first <= {id(stream) for stream in model.open}
        plan = session.prefetch_plan()
        assert plan is not None
        why = [entry["why"] for entry in plan["entries"]]
        assert why.count("being loaded already") == 2


async def test_actions_that_are_too_unlikely_are_not_prepared_and_declared_ones_are() -> None:
    # 1-58
    async with table(min_confidence_for_variants=0.9) as (session, model):
        await session.outcome("mira", "longsword", "hit", target="goblin")
        session.begin_turn("mira")
        await asyncio.sleep(0.5)
        assert not model.open
        plan = session.prefetch_plan()
        assert plan is not None and plan["entries"]
        assert {entry["why"] for entry in plan["entries"]} == {"confidence is below 0.9"}
        session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(0.5)
        assert len(model.open) >= 2


def test_a_variant_of_another_state_is_not_the_one_that_is_held() -> None:  # 1-9
    store = Store()
    made = SimpleNamespace(slot=("t1", "a", None, "hit"), fingerprint="f1", result="hit", to=())
    store.put(made, object())
    assert store.holds(made)
    assert not store.holds(SimpleNamespace(**{**vars(made), "fingerprint": "f2"}))
    assert not store.holds(SimpleNamespace(**{**vars(made), "slot": ("t2", "a", None, "hit")}))


async def test_an_action_is_no_likelier_for_having_more_targets_and_results() -> None:  # 1-58
    async with table() as (session, _):
        foes = {
            name: {"name": name, "side": "foes", "hp": 1, "max_hp": 12} for name in ("orc", "wolf")
        }
        session.update({**STATE, "actors": {**STATE["actors"], **foes}})
        await session.outcome("mira", "cleave", "hit", target=["orc", "wolf"])
        session.begin_turn("mira")
        await asyncio.sleep(0.5)
        plan = session.prefetch_plan()
        assert plan is not None and len(plan["entries"]) >= 6
        assert len({entry["confidence"] for entry in plan["entries"]}) == 1
        assert any("kill" in entry["keys"][0] for entry in plan["entries"])


async def test_before_a_scene_there_is_no_plan() -> None:
    async with foretell.Game(model=ScriptedModel()) as game:
        assert (await game.session("x")).prefetch_plan() is None


def variant(number: int, action: str, value: float, urgency: float = 0.0) -> Any:
    slot = ("t1", action, None, f"result {number}")
    declared = SimpleNamespace(actor="mira", action={"name": action})
    return SimpleNamespace(slot=slot, declared=declared, value=value, likely=None, urgency=urgency)


@pytest.mark.parametrize("urgency", [1.0, 0.8])
def test_what_is_declared_or_spoken_of_beyond_doubt_comes_before_what_is_likely(
    urgency: float,
) -> None:
    variants = [variant(1, "habit", 0.5), variant(2, "maybe", 0.2, 0.4)]
    variants.append(variant(3, "said", 0.3, urgency))
    constraints = Constraints(EACH, 0.0, None, 0.0, 0.0)  # room for one
    learned = {"variant": Learned(EACH, 0.0)}
    kinds = variant_kinds(EACH)
    (kept,), plan, _ = fitted(variants, constraints, lambda each: False, learned, kinds)
    assert kept.slot[1] == "said"
    (first, *_) = plan.as_json()["entries"]
    assert "urgency is critical" in str(first)


async def test_the_scheduler_hears_of_what_players_say() -> None:
    bow, axe = ({"type": "attack", "name": name} for name in ("bow", "axe"))
    async with foretell.Game({"intensity": "aggressive"}, model=ScriptedModel()) as game:
        session = await game.session("x")
        session.update(STATE)
        session.begin_turn("mira", options=[axe, bow])
        session.say("mira", "I draw my bow!")
        await asyncio.sleep(1)
        plan = session.prefetch_plan()
        assert plan is not None
        urgent = {
            name: {
                "urgency is critical" in str(each) for each in plan["entries"] if name in str(each)
            }
            for name in ("mira: bow", "mira: axe")
        }
        assert urgent == {"mira: bow": {True}, "mira: axe": {False}}


VARIANTS = st.lists(
    st.tuples(st.sampled_from("abc"), st.floats(0, 1) | st.just(float("nan"))), max_size=20
)


@given(wanted=VARIANTS, budget=st.integers(0, 9_000), cost=st.integers(1, 2_000))
def test_what_is_prepared_fits_and_with_room_for_all_it_is_all_in_order(
    wanted: list[tuple[str, float]], budget: int, cost: int
) -> None:  # 1-12
    variants = [variant(n, action, value) for n, (action, value) in enumerate(wanted)]
    learned = {"variant": Learned(cost, 0.0)}

    def planned(tokens: int, under_way: Any = lambda each: False) -> Any:
        constraints = Constraints(tokens, 0.0, None, 0.0, 0.0)
        return fitted(variants, constraints, under_way, learned, variant_kinds(EACH))[:2]

    kept, plan = planned(budget)
    assert len(kept) * cost <= budget and len(kept) == min(len(variants), budget // cost)
    everything, _ = planned(10**9)
    assert sorted(map(id, everything)) == sorted(map(id, variants))
    assert list(kept) == list(everything)[: len(kept)] and len(plan.entries) == len(variants)
    held, _ = planned(0, lambda each: each in variants[::2])
    assert sorted(map(id, held)) == sorted(map(id, variants[::2]))


class Long(foretell.DefaultPrompts):
    """Prompts that are ``more`` characters longer than the others, as long as that is set."""

    more = 0

    def __call__(self, *given: Any, **named: Any) -> Any:
        prompt = super().__call__(*given, **named)
        return prompt._replace(system=prompt.system + "x" * self.more)


async def a_round_of(session: foretell.Session[Any]) -> dict[str, Any]:
    """Declare, wait, and have it told; the plan there was then."""
    session.begin_turn("mira")
    action = session.declare("mira", "longsword", target="goblin")
    await asyncio.sleep(10)
    plan = session.prefetch_plan()
    assert plan is not None
    await action.outcome("miss")
    session.end_turn()
    await asyncio.sleep(1)
    return plan


async def test_a_round_of_long_prompts_keeps_to_its_tokens_and_ends_nothing_for_those_after(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 1-12 1-52 1-66
    model, prompts = ScriptedModel(SLOW), Long()
    async with foretell.Game(model=model, prompts=prompts) as game:
        session = await game.session("table-7")
        session.update(STATE)
        prompts.more = 60_000
        await a_round_of(session)
        ahead = [each.request for each in model.streams if each.request.purpose == "prefetch"]
        assert not ahead and session.report()["tokens"]["prefetch"] == 0
        assert caplog.text.count("more than a round may spend") == 1
        prompts.more = 0
        one = await a_round_of(session)  # thought to be as large as the round, and it is not
        assert sum(entry["taken"] for entry in one["entries"]) == 1
        for _ in range(3):
            plan = await a_round_of(session)
            assert all(entry["taken"] for entry in plan["entries"])
        assert session.report()["served"]["hit"] >= 3


async def test_an_alert_says_whether_it_is_of_variants_or_of_content(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 1-41
    caplog.set_level("INFO")
    async with table() as (session, _):
        pipeline = session._pipeline
        for metrics in (pipeline.speculated.metrics, pipeline.supplied.metrics):
            for number in range(20):
                metrics.missed(f"x{number}", float(number))
    assert "prefetch of variants: hit_rate has fallen to 0%" in caplog.text
    assert "prefetch of content: hit_rate has fallen to 0%" in caplog.text


async def test_what_a_variant_costs_is_the_size_of_its_own_prompt() -> None:  # 1-10 1-52
    model, prompts = ScriptedModel(SLOW), Long()
    async with foretell.Game(model=model, prompts=prompts) as game:
        session = await game.session("table-7")
        session.update(STATE)
        prompts.more = 16_000  # 4,000 tokens each, and more: two fit into the 10,000 of a round
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(10)
        assert len(model.streams) == 2
        await action.outcome("miss")
        session.end_turn()
        plan = await a_round_of(session)
        entries = plan["entries"]
        assert [entry["taken"] for entry in entries] == [True, True, False]
        assert "does not fit" in entries[-1]["why"]
        assert entries[0]["tokens"] > 4_000


async def test_what_a_cache_serves_of_a_prompt_costs_nothing() -> None:
    costs = VariantCosts(10_000)
    for _ in range(40):
        costs.observe(4_000, 0, 100)
    assert costs.learned["variant"].tokens < 110
    costs.observe(4_000, 4_000_000, 100)  # whatever a model says of it
    assert costs.learned["variant"].tokens < 2_000
