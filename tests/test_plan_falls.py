"""The falls of a plan: what is asked next where an answer is of no use, and what never is."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell import Session
from foretell.operators.plans.ladder import MOVES, Ladder, Move, Pace
from foretell.operators.plans.types import Ask, Tier
from foretell.replay.verify import verify
from foretell.streams.log import read, validate
from foretell.streams.models import (
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelInvalid,
    ModelNotFound,
    ModelOverloaded,
    ModelProtocolError,
    ModelRefusal,
    ModelRefusedKey,
    ModelShut,
    ModelTooDear,
    ModelUnavailable,
)
from foretell.testing import Script, ScriptedModel, run_virtual

SNAPSHOT: dict[str, Any] = {
    "me": {"side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {"mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21}},
}
WHOLE = Script({"steps": [{"do": "Attack", "target": "mira"}, {"do": "Scan"}]})
UNFIT = Script({"steps": [{"do": "Fly"}]})
PROSE = Script("I would rather not say.")
CUT = Script({"steps": []}, error=ModelCut("cut"), chunks=1)
GONE = Script(error=ModelUnavailable("gone"), ttft=0.1)
BUSY = Script(error=ModelOverloaded("529"), ttft=0.1)
ASK = Ask("p1", "grik", SNAPSHOT, "", 0.0)
LONG = max(Tier, key=lambda tier: -[*Tier].index(tier))
SHORT = [*Tier][-1]


@asynccontextmanager
async def table(answers: Any, folder: Path | None = None, **plans: Any) -> AsyncIterator[Any]:
    model = ScriptedModel(answers)
    settings: dict[str, Any] = {"plans": plans, "intensity": "off"}
    settings |= {} if folder is None else {"log_dir": str(folder)}
    async with (
        foretell.Game(settings, model=model) as game,
        await game.session("table-7") as session,
    ):
        yield session, model
    assert not model.open


def tiers(model: ScriptedModel, session: Session[Any]) -> list[str]:
    """By which prompts it was asked."""
    known = {
        session.plan_prompt("grik", SNAPSHOT, tier=tier).system: str(tier)  # type: ignore[arg-type]
        for tier in Tier
    }
    return [known[each.request.system] for each in model.asked("plan")]


# --- the table


@pytest.mark.parametrize(
    ("error", "left", "to", "pauses"),
    [
        (ModelOverloaded("529"), 10.0, Tier.SIMPLIFIED, True),
        (ModelOverloaded("429", retry_after=4.0), 10.0, Tier.SIMPLIFIED, True),
        (ModelOverloaded("429", retry_after=4.0), 3.0, None, True),  # it would be too late
        (ModelUnavailable("gone"), 10.0, Tier.SIMPLIFIED, True),
        (ModelShut("shut"), 10.0, None, False),
        (ModelCut("cut"), 10.0, Tier.COMPACT, False),
        (ModelProtocolError("empty"), 10.0, Tier.COMPACT, False),
        (ModelRefusal("no"), 10.0, Tier.COMPACT, False),
        (ModelBadRequest("400"), 10.0, None, False),
        (ModelNotFound("404"), 10.0, None, False),
        (ModelRefusedKey("401"), 10.0, None, False),
        (ModelTooDear("budget"), 10.0, None, False),
        (ModelError("who knows"), 10.0, None, False),
    ],
)
def test_each_trouble_has_its_fall(
    error: ModelError, left: float, to: Tier | None, pauses: bool
) -> None:  # 3-40
    ladder = Ladder(ASK, Tier.SIMPLIFIED, 2)
    fall = ladder.fall(error, left)
    assert (fall and fall.tier) == to
    if fall is not None:
        assert fall.why == error.kind and (fall.pause > 0) == pauses and fall.pause < left
        assert fall.pause >= (getattr(error, "retry_after", None) or 0.0)


def test_what_cannot_be_done_is_asked_for_at_more_length_and_once() -> None:
    ladder = Ladder(ASK, SHORT, 2)
    fall = ladder.fall(ModelInvalid("no step"), 10.0)
    assert fall is not None and fall.tier == [*Tier][-2] and not fall.pause
    assert ladder.fall(ModelInvalid("no step"), 10.0) is None
    assert Ladder(ASK, LONG, 2).fall(ModelInvalid("no step"), 10.0) is None


@pytest.mark.parametrize("seed", range(50))
def test_every_ladder_has_an_end(seed: int) -> None:
    rng = random.Random(seed)
    retries = rng.randint(0, 3)
    ladder, falls = Ladder(ASK, rng.choice([*Tier]), retries), 0
    while ladder.fall(rng.choice([*MOVES])("x"), 1000.0) is not None:
        falls += 1
        assert falls <= retries + 2 + 2 * len(Tier)


def test_pauses_double_and_are_spread_and_the_same_when_they_are_made_again() -> None:
    def pauses(agent: str) -> list[float]:
        ladder = Ladder(Ask("p1", agent, {}, "", 3.25), Tier.COMPACT, 5)
        falls = [ladder.fall(ModelOverloaded("529"), 1000.0) for _ in range(5)]
        return [each.pause for each in falls if each is not None]

    several = [pauses(f"agent {n}") for n in range(20)]
    for each in several:
        for n, pause in enumerate(each):
            assert 0.5 * 2**n <= pause <= 0.75 * 2**n
    assert len({each[0] for each in several}) == 20
    assert pauses("agent 3") == several[3]


def test_each_move_has_a_rung_and_the_shortest_has_none_below() -> None:
    assert {move for moves in MOVES.values() for move in moves} == {*Move}
    assert Ladder(ASK, SHORT, 0).shorter is None and Ladder(ASK, LONG, 0).longer is None


def test_of_a_model_that_was_never_heard_nothing_is_known() -> None:
    pace = Pace()
    assert pace.least("m") == 0.0 and pace.stalled("m") is None
    for n in range(30):
        pace.heard("m", 3.0 - n / 10)
    assert pace.least("m") == pytest.approx(0.1)
    assert pace.stalled("m") == pytest.approx(3 * 2.0)  # of the last 20
    assert pace.stalled("other") is None


# --- of a session


@pytest.mark.parametrize(
    ("answers", "asked", "source"),
    [
        ([BUSY, WHOLE], ["simplified", "simplified"], "simplified"),
        ([BUSY, BUSY, BUSY, WHOLE], ["simplified"] * 3 + ["compact"], "compact"),
        ([BUSY] * 9, ["simplified"] * 3 + ["compact"], "heuristic"),
        ([GONE, WHOLE], ["simplified", "simplified"], "simplified"),
        ([GONE] * 9, ["simplified", "simplified"], "heuristic"),
        ([CUT, WHOLE], ["simplified", "compact"], "compact"),
        ([Script("", stop="refusal"), WHOLE], ["simplified", "compact"], "compact"),
        ([Script(error=ModelBadRequest("400"), ttft=0.1), WHOLE], ["simplified"], "heuristic"),
        ([Script(error=ModelRefusedKey("401"), ttft=0.1), WHOLE], ["simplified"], "heuristic"),
    ],
)
async def test_the_one_who_answered_is_in_the_result(
    answers: list[Script], asked: list[str], source: str
) -> None:  # 3-40
    async with table(answers) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert tiers(model, session) == asked
        assert plan.source == source and plan.steps
        assert {str(step.source) for step in plan.steps} == {source}
        assert plan.status == ("heuristic" if source == "heuristic" else "done")
        assert session.plans_report()["falls"] == _falls(asked, source)


def _falls(asked: list[str], source: str) -> dict[str, int]:
    found: dict[str, int] = {}
    last = [source] if source == "heuristic" else []
    for one, other in zip([*asked], [*asked[1:], *last], strict=False):
        found[f"{one} > {other}"] = found.get(f"{one} > {other}", 0) + 1
    return found


@pytest.mark.parametrize("answer", [UNFIT, PROSE], ids=["unfit", "prose"])
async def test_with_no_step_that_can_be_done_a_longer_prompt_is_tried(answer: Script) -> None:
    async with table([answer, WHOLE], tier="compact") as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert tiers(model, session) == ["compact", "simplified"]
        assert plan.source == "simplified" and plan.status == "done"


async def test_with_a_step_that_can_be_done_nothing_else_is_asked_for() -> None:
    cut = Script({"steps": [{"do": "Scan"}, {"do": "Wait"}]}, error=ModelCut("cut"), chunks=3)
    async with table([cut, WHOLE]) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert len(model.streams) == 1 and plan.status == "partial"
        assert [step.tool for step in plan.steps] == ["Scan"]


async def test_a_stall_is_left_for_a_shorter_prompt_once_it_is_known_how_soon_answers_come() -> (
    None
):  # 3-40
    stalled = Script(hangs=True)
    async with table([WHOLE, stalled, WHOLE]) as (session, model):
        await session.plan("grik", SNAPSHOT)
        plan = await session.plan("snag", SNAPSHOT)
        assert tiers(model, session) == ["simplified", "simplified", "compact"]
        assert plan.status == "done" and plan.source == "compact" and plan.total < 3.5
        assert model.streams[1].gone_at == pytest.approx((model.streams[1].opened_at or 0) + 2.0)


async def test_where_nothing_else_can_be_done_one_waits() -> None:
    tools = {"tools": [
        {"name": "Bite", "doc": "Bite somebody.", "params": {"target": {"kind": "target"}},
         "worth": [{"points": 3}]},
        {"name": "Sit", "doc": "Stay.", "safe": True},
    ]}  # fmt: skip
    async with (
        foretell.Game(model=ScriptedModel(GONE), tools=tools) as game,
        await game.session("table-7") as session,
    ):
        plan = await session.plan("grik", {})
        assert [(step.tool, str(step.source)) for step in plan.steps] == [("Sit", "wait")]
        assert plan.source == "wait" and plan.status == "heuristic"


async def test_a_deadline_is_never_passed_whoever_asks_for_patience() -> None:
    later = Script(error=ModelOverloaded("429", retry_after=2.0), ttft=0.3)
    async with table(later, deadline=3.0) as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert len(model.streams) == 2 and plan.kind == "overloaded"
        assert plan.total == pytest.approx(model.streams[1].gone_at) and plan.total < 3.0


@pytest.mark.parametrize("seed", range(8))
def test_falls_come_again_in_a_replay(tmp_path: Path, seed: int) -> None:  # G9
    async def evening() -> None:
        rng = random.Random(seed)
        kinds = [BUSY, GONE, CUT, UNFIT, PROSE, WHOLE, Script(hangs=True)]
        answers = [rng.choice(kinds) for _ in range(60)]
        async with table(answers, tmp_path, tier="compact" if seed % 2 else "simplified") as (
            session,
            _,
        ):
            for _ in range(20):
                session.plan(f"agent {rng.randrange(4)}", SNAPSHOT, goal=f"{rng.random()}")
                await asyncio.sleep(rng.choice((0.0, 0.3, 4.0)))
            await asyncio.sleep(15)

    run_virtual(evening())
    path = tmp_path / "table-7.jsonl"
    fell = [record.data for record in read(path) if record.kind == "~fell"]
    assert len(fell) > 3 and {"from", "to", "why"} <= fell[0].keys()
    assert validate(path).errors == []
    walked = verify(path, heavy=True)
    assert walked.difference is None, walked.difference
