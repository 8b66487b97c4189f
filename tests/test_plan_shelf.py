"""Plans that were made before: who may have one again, and who may not."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.operators.plans.types import Ask, Reused, Step
from foretell.replay.verify import verify
from foretell.sinks.plan_shelf import PlanShelf
from foretell.streams.log import read, validate
from foretell.streams.models import ModelCut
from foretell.testing import Script, ScriptedModel, run_virtual

SNAPSHOT: dict[str, Any] = {
    "me": {"id": "grik", "side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {
        "mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21},
        "snag": {"side": "foes", "pos": [2, 2], "hp": 5, "max_hp": 12},
    },
}
ATTACK = {"do": "Attack", "target": "mira"}
WHOLE: dict[str, Any] = {"steps": [{"do": "TakeCover", "x": 1, "y": 2}, ATTACK, {"do": "Scan"}]}
ONE = Script(WHOLE)


@asynccontextmanager
async def table(answers: Any = ONE, folder: Path | None = None, **plans: Any) -> AsyncIterator[Any]:
    model = ScriptedModel(answers)
    settings: dict[str, Any] = {"plans": {"cache_size": 500, **plans}, "intensity": "off"}
    settings |= {} if folder is None else {"log_dir": str(folder)}
    async with (
        foretell.Game(settings, model=model) as game,
        await game.session("table-7") as session,
    ):
        yield session, model


def changed(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    scene = deepcopy(SNAPSHOT)
    inner = scene
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    return scene


async def test_who_sees_the_same_has_the_same_plan_at_once_and_nobody_is_asked() -> None:  # 3-28
    async with table() as (session, model):
        first = await session.plan("grik", SNAPSHOT)
        planning = session.plan("vex", SNAPSHOT)
        steps = [step.wire async for step in planning]
        plan = await planning
        assert len(model.streams) == 1
        assert plan.status == "done" and plan.source == "cache" and plan.total == 0.0
        assert [step.wire for step in plan.steps] == [step.wire for step in first.steps]
        assert steps[1:] == WHOLE["steps"] or steps == WHOLE["steps"]
        assert {str(step.source) for step in plan.steps} == {"cache"}
        assert session.plans_report()["reused"] == {"exact": 1}


@pytest.mark.parametrize(
    ("path", "value", "how"),
    [
        (("me", "pos"), [4.5, 2.5], "near"),
        (("others", "mira", "pos"), [10.9, 4], "near"),
        (("others", "mira", "hp"), 19, "exact"),  # a word in the prompt: the same
        (("me", "hp"), 10, "exact"),
        (("me", "pos"), [6, 4], None),
        (("others", "mira", "hp"), 3, None),
        (("others", "mira", "side"), "foes", None),
        (("me", "ammo"), 0, None),  # it could not attack
        (("me", "name"), "Grik", None),
    ],
)
async def test_near_is_a_step_aside_and_nothing_else(
    path: tuple[str, ...], value: Any, how: str | None
) -> None:  # 3-29, 3-30
    async with table() as (session, model):
        await session.plan("grik", SNAPSHOT)
        plan = await session.plan("vex", changed(path, value))
        assert session.plans_report()["reused"] == ({how: 1} if how else {})
        assert len(model.streams) == (1 if how else 2)
        assert (plan.source == "cache") is (how is not None)


async def test_with_no_tolerance_only_the_same_place_is_near() -> None:
    async with table(cache_tolerance=0.0) as (session, model):
        await session.plan("grik", SNAPSHOT)
        await session.plan("vex", changed(("me", "pos"), [3.5, 4]))
        assert len(model.streams) == 2


async def test_another_goal_and_another_model_have_other_plans() -> None:
    async with table() as (session, model):
        await session.plan("grik", SNAPSHOT)
        await session.plan("vex", SNAPSHOT, goal="hold the bridge")
        session._game.apply({"main_model": "another"})
        await asyncio.sleep(0.1)
        await session.plan("snag", SNAPSHOT)
        assert len(model.streams) == 3


@pytest.mark.parametrize(
    ("steps", "how", "source"),
    [
        ((ATTACK, {"do": "Fly"}, {"do": "Scan"}), "part", "cache"),
        (({"do": "Fly"}, ATTACK), "mismatch", "simplified"),
        ((ATTACK, {"do": "Scan"}), "near", "cache"),
    ],
)
async def test_what_is_found_is_checked_and_used_as_far_as_it_can_be_done(
    monkeypatch: pytest.MonkeyPatch, steps: tuple[Any, ...], how: str, source: str
) -> None:  # 3-31, 3-32, 3-33
    monkeypatch.setattr(PlanShelf, "find", lambda self, ask, model: Reused("near", steps))
    async with table() as (session, model):
        plan = await session.plan("grik", SNAPSHOT)
        assert plan.source == source and plan.status == "done" and not plan.dropped
        assert session.plans_report()["reused"] == {how: 1}
        assert len(model.streams) == (source != "cache")
        if how == "part":
            assert [step.wire for step in plan.steps] == [ATTACK]


async def test_what_was_not_whole_is_not_kept() -> None:
    cut = Script(WHOLE, error=ModelCut("cut"), chunks=10)
    unfit = Script({"steps": [{"do": "Fly"}, {"do": "Scan"}]})
    async with table([cut, unfit, Script(WHOLE)]) as (session, model):
        for agent in "abcd":
            await session.plan(agent, SNAPSHOT)
        assert len(model.streams) == 3


async def test_a_plan_of_which_a_step_failed_is_nobodys_any_more() -> None:
    async with table() as (session, model):
        await session.plan("grik", SNAPSHOT)
        planning = session.plan("vex", SNAPSHOT)
        async for step in planning:
            step.failed("the way is barred")
            break
        await planning
        assert len(model.streams) == 2
        assert (await session.plan("snag", SNAPSHOT)).source == "simplified"
        assert len(model.streams) == 3


async def test_it_is_kept_as_long_and_as_many_as_the_settings_say() -> None:  # 3-28
    async with table(cache_ttl=5.0) as (session, model):
        await session.plan("a", SNAPSHOT)
        await asyncio.sleep(4)
        await session.plan("b", SNAPSHOT)
        assert len(model.streams) == 1
        await asyncio.sleep(6)
        await session.plan("c", SNAPSHOT)
        assert len(model.streams) == 2
    async with table(cache_size=2) as (session, model):
        for n in range(20):
            await session.plan("a", changed(("me", "ammo"), n + 1), goal=f"{n}")
        await session.plan("b", changed(("me", "ammo"), 1), goal="0")
        assert len(model.streams) == 21


async def test_no_more_is_kept_than_there_is_room_for() -> None:
    settings = foretell.Settings.load({"plans": {"cache_size": 4}}).plans
    shelf = PlanShelf(foretell.Registry.core(), settings, lambda: 0.0)
    for n in range(3000):
        ask = Ask(f"p{n}", f"a{n}", changed(("me", "ammo"), n), "", 0.0)
        shelf.keep(ask, "m", [Step("Scan")])
        assert shelf.find(ask, "m") == Reused("exact", ({"do": "Scan"},))
    assert len(shelf.store) <= 5 and len(shelf._from) <= 1025


async def test_without_a_size_nothing_is_kept() -> None:
    async with table(cache_size=0) as (session, model):
        await session.plan("grik", SNAPSHOT)
        await session.plan("vex", SNAPSHOT)
        assert len(model.streams) == 2


@pytest.mark.parametrize("seed", range(8))
def test_a_night_with_a_cache_is_replayed_line_by_line(tmp_path: Path, seed: int) -> None:  # 3-38
    async def evening(rng: random.Random) -> None:
        scripts = [Script(WHOLE), Script(WHOLE), Script(WHOLE, error=ModelCut("cut"), chunks=9)]
        answers = [rng.choice(scripts) for _ in range(200)]
        async with table(answers, tmp_path, cache_size=3, cache_ttl=20.0) as (session, _):
            for _ in range(40):
                scene = changed(("me", "pos"), [rng.randrange(6), 4])
                planning = session.plan(f"agent {rng.randrange(4)}", scene, goal=rng.choice("ab"))
                await asyncio.sleep(rng.choice((0.0, 0.5, 3.0)))
                if rng.random() < 0.2 and (steps := planning.poll()):
                    steps[0].failed("barred")

    rng = random.Random(seed)
    for _ in range(1 + seed % 2):
        run_virtual(evening(rng))
    path = tmp_path / "table-7.jsonl"
    how = {record.data["how"] for record in read(path) if record.kind == "~reused"}
    assert how & {"near", "exact"}
    assert validate(path).errors == []
    walked = verify(path, heavy=True)
    assert walked.difference is None, walked.difference
