"""What went wrong in the engine that the first document describes, and bad luck: through a session.

Each fault has its own test here, in a state of the shape that production sends. What is promised
beside is in the tests of each part.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import orjson
import pytest

import foretell
from foretell import Ended, Served, Status, TellingError
from foretell.operators.classify import Context
from foretell.sinks.ledger import Price
from foretell.streams import events as ev
from foretell.streams.models import ModelUnavailable, Request
from foretell.testing import (
    Script,
    ScriptedModel,
    ScriptedStream,
    Stamp,
    instant,
    stamped,
    stamped_prompts,
)

CAVE = {"id": "cave-3", "name": "Dripping Cave", "exits": ["north"]}
PRODUCTION: dict[str, Any] = {
    "session_id": "s-118",
    "in_combat": True,
    "combat": {"active": True, "round": 2, "initiative": ["mira", "grik"]},
    "dialogue": {"npc": None, "topic": None, "options": []},
    "location": CAVE,
    "quests": [{"id": "q-1", "done": False}],
    "flags": {},
    "actors": {
        "mira": {
            "name": "Mira",
            "side": "party",
            "hp": 20,
            "max_hp": 20,
            "conditions": [],
            "attacks": [{"name": "Longsword", "bonus": 7}],
        },
        "grik": {"name": "Grik", "side": "foes", "hp": 12, "max_hp": 12, "conditions": []},
        "snaga": {"name": "Snaga", "side": "foes", "hp": 12, "max_hp": 12, "conditions": []},
    },
}
"""Every key always there, most of them empty."""

LISTED = {"some-other-model": Price(3.0, 15.0, 0.3, 3.75)}


def calm() -> dict[str, Any]:
    """The same, out of combat: as a flag and an object, both of them there and false."""
    combat = {"active": False, "round": 0, "initiative": []}
    return {**deepcopy(PRODUCTION), "in_combat": False, "combat": combat}


class Table:
    """A session whose texts say what they are about, and all events it gave."""

    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session, self.model = session, model
        self.ends: list[Ended] = []
        session.subscribe(lambda each: self.ends.append(each) if isinstance(each, Ended) else None)

    def longsword(self, target: str = "grik", **more: Any) -> foretell.Action[Any]:
        return self.session.declare("mira", "longsword", target=target, **more)

    @property
    def prepared(self) -> list[ScriptedStream]:
        return self.model.asked("prefetch")


Answer = Callable[[Request, int], Script]


def steady(**how: Any) -> Answer:
    return lambda request, number: Script(
        {"text": stamped(request, number)}, **{"ttft": 1.0, **how}
    )


def of(request: Request) -> str:
    """The result that a text is asked for."""
    return str(orjson.loads(request.messages[-1].text)["entries"][0]["result"])


def action_of(request: Request) -> str:
    """The action that a text is asked for."""
    return str(orjson.loads(request.messages[-1].text)["entries"][0]["action"])


def told(text: str) -> tuple[str, str, str]:
    """Whom it tells of, what befell them, and how hard."""
    [stamp] = Stamp.read(text)
    return stamp.target, stamp.result, stamp.damage


@asynccontextmanager
async def table(
    answer: Answer | None = None, *, state: Any = PRODUCTION, **given: Any
) -> AsyncIterator[Table]:
    made = {name: given.pop(name) for name in ("prompts", "price_list") if name in given}
    model = ScriptedModel(answer or steady())
    async with foretell.Game(given, model=model, **{"prompts": stamped_prompts, **made}) as game:
        session = await game.session("table")
        session.update(state)
        session.begin_turn("mira")
        yield Table(session, model)
    assert not model.open


# ── what the document's own engine got wrong ─────────────────────────────────────────────────────


async def test_production_shaped_state_is_prepared_for() -> None:  # 0-7
    """It was wired to a shape of state that its game never sent, so it never fired."""
    async with table() as t:
        action = t.longsword()
        await asyncio.sleep(30)
        assert told((await action.outcome("hit", damage=3)).text) == ("grik", "hit", "3")
        assert t.ends[0].served == (Served.HIT,) and t.ends[0].latency == (0.0,)


async def test_failed_hit_variant_never_lets_another_be_told() -> None:
    """The list of variants had moved up, and the text of the miss was told of a hit."""

    def hit_fails(request: Request, number: int) -> Script:
        if request.purpose == "prefetch" and of(request) == "hit":
            return Script(error=ModelUnavailable("down"), ttft=0.2)
        return steady()(request, number)

    async with table(hit_fails) as t:
        action = t.longsword()
        await asyncio.sleep(30)
        assert told((await action.outcome("hit", damage=3)).text) == ("grik", "hit", "3")
        assert t.ends[0].served == (Served.MISS,)


async def test_twenty_quick_turns_keep_no_generation_alive() -> None:
    """Twenty generations were left running, and paid for."""
    async with table(steady(ttft=5.0)) as t:
        for turn in range(20):
            t.session.begin_turn("mira")
            t.longsword(action_id=f"a{turn}")
            await asyncio.sleep(0.05)
        assert len(t.model.open) == len(t.session.generations.live) == 3
        t.session.end_turn()
        await instant()
        assert t.model.open == [] and not t.session.generations.live


async def test_retarget_within_a_turn_tells_of_the_new_target() -> None:
    """The text for the first target was told of the second."""
    async with table() as t:
        t.longsword("snaga", action_id="a")
        await asyncio.sleep(30)
        action = t.longsword("grik", action_id="a")
        await asyncio.sleep(30)
        assert told((await action.outcome("miss")).text)[:2] == ("grik", "miss")
        assert t.ends[0].served == (Served.HIT,)


async def test_leaving_combat_cancels_what_was_prepared_in_it() -> None:
    """It cancelled nothing."""
    async with table(steady(ttft=5.0)) as t:
        t.longsword()
        await asyncio.sleep(1)
        assert len(t.model.open) == 3
        t.session.update(calm())
        await asyncio.sleep(0.1)
        assert t.model.open == []


async def test_outcome_during_generation_asks_no_fourth_time() -> None:
    """A call was made for what was being written already."""
    async with table() as t:
        action = t.longsword()
        await asyncio.sleep(0.5)
        await action.outcome("miss")
        assert t.model.asked("foreground") == [] and t.ends[0].served == (Served.IN_FLIGHT,)
        assert len([each for each in t.prepared if each.opened_at == 0.0]) == 3


async def test_in_combat_false_is_no_combat() -> None:
    """The key alone counted, whatever it said."""
    async with table(state=calm()) as t:
        await asyncio.sleep(30)
        assert t.prepared == []  # of what nobody has declared, only combat has any
        t.session.update(PRODUCTION)
        await asyncio.sleep(30)
        assert {action_of(each.request) for each in t.prepared} == {"Longsword"}


async def test_dialogue_in_a_location_is_dialogue() -> None:
    """A location made it exploration, so that nobody was ever spoken to."""
    seen: list[Context] = []

    class Prompts:
        def __call__(self, scene: Any, action: Any, outcome: Any, memory: str, content: Any) -> str:
            seen.append(scene.context)
            return "Say it."

    talk = {"npc": "Old Bram", "topic": "the bridge", "options": ["leave"]}
    plain = Script({"text": "He nods."})
    state = {**calm(), "dialogue": talk}
    async with table(lambda request, number: plain, state=state, prompts=Prompts()) as t:
        action = t.session.declare("mira", "ask about the bridge", target="bram", type="talk")
        await asyncio.sleep(30)
        await action.outcome("success")
        assert t.ends[0].served == (Served.HIT,)
    assert set(seen) == {Context.DIALOGUE}


# ── bad luck ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_turn_that_never_resolves_costs_nothing_more() -> None:
    async with table() as t:
        action = t.longsword()
        await asyncio.sleep(60)

        def held() -> tuple[int, ...]:
            tasks = len(asyncio.all_tasks())
            return len(t.model.streams), len(t.session.generations.live), tasks

        before = held()
        for minute in range(600):  # ten hours in which only the camera moves
            state = deepcopy(PRODUCTION)
            state["actors"]["mira"]["pos"] = [minute, 0]
            t.session.update(state)
            await asyncio.sleep(60)
        assert held() == before
        assert told((await action.outcome("hit", damage=3)).text) == ("grik", "hit", "3")
        assert t.ends[0].served == (Served.HIT,)


async def test_an_outcome_reported_twice_is_told_once_and_two_blows_never_from_one_text() -> None:
    async with table(overlap="queue") as t:
        action = t.longsword()
        await asyncio.sleep(30)
        first, again = action.outcome("miss"), action.outcome("miss", roll=7)
        assert action.outcome("miss", roll=7) is again
        texts = [(await telling).text for telling in (first, again)]
        assert len(set(texts)) == 2
        assert [told(text)[:2] for text in texts] == [("grik", "miss")] * 2
        assert [end.served for end in t.ends] == [(Served.HIT,), (Served.MISS,)]
        assert t.session.report()["outcomes"] == 2


async def test_an_outcome_before_its_turn_is_told_and_said_to_be_early(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with table() as t:
        what = {"type": "attack", "name": "longsword", "target": "mira"}
        result = ev.Result("miss", "mira")
        t.session.play(ev.Outcome(0.0, (result,), "late", "turn-9", "grik", what))
        await asyncio.sleep(5)
        t.session.begin_turn("grik", turn="turn-9")
        await asyncio.sleep(5)
        [ended] = t.ends
        assert ended.status is Status.DONE and told(ended.text)[:2] == ("mira", "miss")
    assert "outcome of action 'late', which was not declared in this turn" in caplog.text


@pytest.mark.parametrize("declared", [True, False])
async def test_an_actor_nobody_knows_is_told_of_by_its_id(declared: bool) -> None:
    async with table() as t:
        if declared:
            action = t.session.declare("ghost-7", "wail", target="mira")
            await asyncio.sleep(30)
            telling = action.outcome("hit", damage=2)
        else:
            telling = t.session.outcome("ghost-7", "wail", "hit", target="mira", damage=2)
        assert told((await telling).text) == ("mira", "hit", "2")
        assert t.ends[0].status is Status.DONE
    async with table(lambda request, number: Script(hangs=True), deadline=1.0) as t:
        telling = t.session.outcome("ghost-7", "wail", "hit", target="mira", damage=2)
        with pytest.raises(TellingError) as failure:
            await telling
        assert failure.value.fallback == "ghost-7: wail against Mira: hit, 2 damage."


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(Script("", ttft=0.2), id="empty"),
        pytest.param(Script({"text": " "}, ttft=0.2), id="blank"),
        pytest.param(Script('{"text": "Grik is', ttft=0.2), id="cut"),
        pytest.param(Script({"text": "Grik is hit."}, ttft=0.2, stop="max_tokens"), id="too long"),
        pytest.param(Script("I cannot write this.", ttft=0.2, stop="refusal"), id="refused"),
    ],
)
async def test_a_bad_variant_is_told_by_nobody(bad: Script) -> None:
    def answer(request: Request, number: int) -> Script:
        return bad if request.purpose == "prefetch" else steady()(request, number)

    async with table(answer) as t:
        action = t.longsword()
        await asyncio.sleep(30)
        assert len(t.prepared) == 3  # and it is not asked for again
        assert told((await action.outcome("hit", damage=3)).text) == ("grik", "hit", "3")
        assert t.ends[0].served == (Served.MISS,)


async def test_an_answer_after_the_deadline_is_nobodys() -> None:
    async with table(steady(ttft=8.0), deadline=5.0, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "hit", target="grik", damage=3)
        with pytest.raises(TellingError) as failure:
            await telling
        assert asyncio.get_running_loop().time() == 5.0
        assert failure.value.kind == "deadline"
        assert t.model.asked("foreground")[0].closed_at == 5.0
        await asyncio.sleep(30)
        assert t.session.transcript.text() == failure.value.fallback
        assert failure.value.fallback == "Mira: longsword against Grik: hit, 3 damage."


@pytest.mark.parametrize("budget", [{"max_prefetch_tokens": 0}, {"spend": 0}])
async def test_a_budget_of_zero_prepares_nothing_and_tells_all(budget: dict[str, Any]) -> None:
    async with table(**budget) as t:
        for n in range(8):
            action = t.longsword(action_id=f"a{n}")
            await asyncio.sleep(30)
            assert told((await action.outcome("miss")).text)[:2] == ("grik", "miss")
        assert t.prepared == [] and t.session.report()["tokens"]["prefetch"] == 0
        assert {end.served for end in t.ends} == {(Served.MISS,)}


async def test_a_price_list_without_the_model_stops_nothing_and_is_said() -> None:
    async with table(main_model="my-own", small_model="my-own", price_list=LISTED) as t:
        action = t.longsword()
        await asyncio.sleep(30)
        await action.outcome("miss")
        report = t.session.report()
    assert report["served"]["hit"] == 1
    assert report["cost_usd"] == 0.0 and report["unpriced"] == ["my-own"]
