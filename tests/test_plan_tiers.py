"""Which prompt a plan begins with, and what is known of the answers to each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell import ConfigError
from foretell.operators.plans.settings import Plans
from foretell.operators.plans.tiers import Tiers
from foretell.operators.plans.types import Ask, Tier
from foretell.replay.verify import verify
from foretell.streams.models import Request
from foretell.testing import Script, ScriptedModel, run_virtual

ASK = Ask("p1", "grik", {}, "", 0.0)
SCAN, WAIT, FLY = {"do": "Scan"}, {"do": "Wait"}, {"do": "Fly"}
FULL, SIMPLIFIED, COMPACT = Tier


def scene(number: int) -> dict[str, Any]:
    me = {"side": "foes", "pos": [number, 4], "hp": 9, "max_hp": 12, "ammo": 2}
    return {"me": me, "others": {"mira": {"side": "party", "pos": [9, number], "hp": 20}}}


def begun(tiers: Tiers, *answers: tuple[int, int], model: str = "m") -> list[Tier]:
    """The prompt that each plan begins with, where the answer to it has so many good and bad."""
    found = []
    for valid, dropped in answers:
        found.append(tiers.begins(ASK, model))
        tiers.heard(model, found[-1], valid, dropped)
    return [*found, tiers.begins(ASK, model)]


GOOD, BAD, NONE = (4, 0), (3, 2), (0, 0)


def test_it_begins_with_the_prompt_of_the_settings() -> None:
    assert begun(Tiers(Plans()), *[GOOD] * 50) == [SIMPLIFIED] * 51


@pytest.mark.parametrize("bad", [BAD, NONE])
def test_while_too_few_steps_can_be_done_it_begins_with_the_next_longer(
    bad: tuple[int, int],
) -> None:
    tiers = Tiers(Plans(tier=COMPACT, window=5))
    assert begun(tiers, *[bad] * 10) == [*[COMPACT] * 5, *[SIMPLIFIED] * 5, FULL]
    assert begun(tiers, *[bad] * 4) == [FULL] * 5  # there is none longer


def test_the_share_is_that_of_the_last_answers() -> None:
    for below, moved in ((0.81, False), (0.82, True)):  # 18 of 22 are 0.818
        tiers = Tiers(Plans(window=5, longer_below=below))
        begun(tiers, *[GOOD] * 20, GOOD, BAD, BAD, GOOD, (4, 0))
        assert (tiers.begins(ASK, "m") is FULL) == moved
    tiers = Tiers(Plans(window=5, longer_below=0.8))
    assert begun(tiers, *[GOOD] * 100, *[BAD] * 5)[-1] is FULL  # what was long ago is nothing


def test_the_shorter_is_tried_again_and_later_each_time_it_is_left() -> None:
    tiers = Tiers(Plans(window=2))
    found = begun(tiers, *[BAD] * 2, *[GOOD] * 2, *[BAD] * 2, *[GOOD] * 4, *[BAD] * 2, *[GOOD] * 8)
    assert found == [
        *[SIMPLIFIED] * 2, *[FULL] * 2, *[SIMPLIFIED] * 2, *[FULL] * 4, *[SIMPLIFIED] * 2,
        *[FULL] * 8, SIMPLIFIED,
    ]  # fmt: skip
    assert begun(tiers, *[GOOD] * 40) == [SIMPLIFIED] * 41


def test_it_is_one_thing_for_each_model_and_for_each_prompt() -> None:
    tiers = Tiers(Plans(window=2))
    begun(tiers, BAD, BAD, model="small")
    assert tiers.begins(ASK, "small") is FULL and tiers.begins(ASK, "large") is SIMPLIFIED
    tiers.heard("large", COMPACT, *BAD)  # where it was only a rung of the ladder
    tiers.heard("large", COMPACT, *BAD)
    assert tiers.begins(ASK, "large") is SIMPLIFIED
    tiers = Tiers(Plans(tier=COMPACT, window=1))
    assert begun(tiers, BAD, BAD)[-1] is FULL
    tiers.heard("m", COMPACT, *BAD)
    assert tiers.begins(ASK, "m") is FULL


def test_prompts_that_are_compared_take_turns_whatever_comes_of_them() -> None:
    tiers = Tiers(Plans(window=1, ab=("compact", "full")))  # 3-11
    found = []
    for number in range(1, 7):
        found.append(tiers.begins(Ask(f"p{number}", "grik", {}, "", 0.0), "m"))
        tiers.heard("m", found[-1], *BAD)
    assert found == [FULL, COMPACT] * 3


def test_no_other_prompts_can_be_compared() -> None:
    with pytest.raises(ConfigError, match="ab"):
        foretell.Settings.load({"plans": {"ab": ["tiny"]}})


def by_length(request: Request, number: int) -> Script:
    """A model that writes nonsense where the prompt is not the full one."""
    steps = [SCAN, WAIT] if "# The tools" in request.system else [FLY, SCAN]
    return Script({"steps": steps})


async def night(folder: Path, asked: int, **plans: Any) -> tuple[list[str], dict[str, Any]]:
    settings = {"log_dir": str(folder), "plans": plans, "intensity": "off"}
    async with foretell.Game(settings, model=ScriptedModel(by_length)) as game:
        session = await game.session("table-7")
        plans_made = [await session.plan(f"a{n}", scene(n)) for n in range(asked)]
        found = [str(plan.source) for plan in plans_made]
        report = session.plans_report()
        await session.close()
    return found, report["tiers"]


@pytest.mark.parametrize("plans", [{"window": 4}, {"ab": ["simplified", "full"]}])
def test_a_session_moves_to_the_longer_prompt_and_replays_it(
    tmp_path: Path, plans: dict[str, Any]
) -> None:
    sources, tiers = run_virtual(night(tmp_path, 8, **plans))  # 3-11
    if "window" in plans:
        assert sources == [*["simplified"] * 4, *["full"] * 4]
    else:
        assert sources == ["full", "simplified"] * 4
    assert tiers == {
        "simplified": {"answers": 4, "usable": 4, "valid": 4, "dropped": 4},
        "full": {"answers": 4, "usable": 4, "valid": 8, "dropped": 0},
    }
    walked = verify(tmp_path / "table-7.jsonl", heavy=True)
    assert walked.difference is None and walked.closed


async def test_each_answer_is_counted_by_its_prompt_and_none_that_was_left_out_of_a_batch() -> None:
    def answer(request: Request, number: int) -> Script:
        if "# The tools" in request.system:
            return Script({"steps": [SCAN, WAIT]})
        if number == 1:
            return Script({"plans": [{"agent": f"a{n}", "steps": [SCAN]} for n in range(2)]})
        return Script({"steps": [FLY]})

    async with (
        foretell.Game({"intensity": "off"}, model=ScriptedModel(answer)) as game,
        await game.session("table-7") as session,
    ):
        for n in range(3):
            session.queue_agent(f"a{n}", scene(n))
        sources = [str(plan.source) for plan in (await session.execute_batch()).values()]
        tiers = session.plans_report()["tiers"]
    assert sources == ["simplified", "simplified", "full"]
    assert tiers == {
        "simplified": {"answers": 3, "usable": 2, "valid": 2, "dropped": 1},
        "full": {"answers": 1, "usable": 1, "valid": 2, "dropped": 0},
    }


def test_what_is_known_of_the_prompts_is_counted_on_in_the_next_sitting(tmp_path: Path) -> None:
    _, before = run_virtual(night(tmp_path, 8))
    _, after = run_virtual(night(tmp_path, 8))
    assert before["simplified"]["answers"] == 8 and after["simplified"]["answers"] == 16
