"""What the rules say of an action before the dice: from sheets, stat blocks and the SRD."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.operators.chances import Chances
from foretell.operators.odds_learned import LearnedOdds
from foretell.operators.results import KILL, possible_results
from foretell.operators.rules import SrdRules
from foretell.replay.lockstep import NotRecorded
from foretell.replay.verify import verify
from foretell.streams import events as ev
from foretell.streams.log import read
from foretell.streams.world import Declared, Numbered, World, advance
from foretell.testing import Script, ScriptedModel, run_virtual

HAG = {
    "name": "Sea Hag",
    "armor_class": [{"type": "natural", "value": 14}],
    "wisdom": 12,
    "proficiencies": [
        {"value": 5, "proficiency": {"index": "saving-throw-con", "name": "Saving Throw: CON"}}
    ],
    "actions": [
        {
            "name": "Claws",
            "attack_bonus": 5,
            "damage": [{"damage_type": {"name": "Slashing"}, "damage_dice": "2d6+3"}],
        },
        {
            "name": "Death Glare",
            "dc": {"dc_type": {"index": "wis"}, "dc_value": 11, "success_type": "none"},
        },
        {
            "name": "Cold Breath",
            "dc": {"dc_type": {"index": "con"}, "dc_value": 15, "success_type": "half"},
            "damage": [{"damage_dice": "6d6"}],
        },
    ],
}
MIRA = {
    "name": "Mira",
    "side": "party",
    "hp": 8,
    "max_hp": 80,
    "ac": 15,
    "saves": {"wis": 3},
    "attacks": [{"name": "Longsword", "to_hit": "+7", "damage": "1d8+3"}],
}
FOE = {"name": "SH1", "kind": "Sea Hag", "side": "foes", "hp": 52, "max_hp": 52}
CONTENT = {"stat_block": {"hag": HAG}}
SWORD = {"type": "attack", "name": "longsword", "target": "hag"}
CLAWS = {"type": "attack", "name": "Claws", "target": "mira"}


def world_of(mira: Mapping[str, Any] = MIRA, hag: Mapping[str, Any] = FOE) -> World:
    state = ev.State(1.0, {"mode": "combat", "actors": {"mira": mira, "hag": hag}})
    return advance(World(), Numbered(1, state, 1.0))


def odds(
    action: dict[str, Any], actor: str = "mira", content: Any = CONTENT, **mira: Any
) -> Mapping[str, float] | None:
    world = world_of({**MIRA, **mira})
    declared = Declared(actor, action, "", world.state)
    return SrdRules().odds(world, declared, action.get("target"), content)


def possible(action: dict[str, Any], actor: str = "mira", **mira: Any) -> dict[str, float]:
    world = world_of({**MIRA, **mira})
    chances = Chances(SrdRules(), LearnedOdds(), lambda who: CONTENT, lambda *fault: None)
    declared = Declared(actor, action, "", world.state)
    return possible_results(
        world, declared, action["target"], harm=chances.harm, otherwise=chances.likely
    )


def near(found: Any, **wanted: float) -> None:
    assert found == pytest.approx(wanted)


def test_an_attack_has_the_odds_of_its_bonus_and_the_armour() -> None:  # 8-1 8-2
    near(odds({**SWORD, "attack_bonus": 8}), hit=0.7, miss=0.25, critical=0.05)
    near(odds(SWORD), hit=0.65, miss=0.3, critical=0.05)  # +7 of the sheet, 14 of the block
    near(odds(CLAWS, "hag"), hit=0.5, miss=0.45, critical=0.05)  # +5 of the block, 15
    near(odds({**CLAWS, "attack_bonus": 7}, "hag"), hit=0.6, miss=0.35, critical=0.05)
    near(odds(CLAWS, "hag", ac=40), hit=0.0, miss=0.95, critical=0.05)
    near(odds(CLAWS, "hag", ac=1), hit=0.9, miss=0.05, critical=0.05)


def test_what_is_rolled_twice_hits_more_or_less() -> None:
    near(odds({**SWORD, "advantage": True}), hit=0.91 - 0.0975, miss=0.09, critical=0.0975)
    near(odds({**SWORD, "disadvantage": True}), hit=0.49 - 0.0025, miss=0.51, critical=0.0025)
    both = {**SWORD, "advantage": True, "disadvantage": True}
    assert odds(both) == odds(SWORD)


def test_a_save_has_the_odds_of_its_dc_and_the_modifier() -> None:
    glare = {"type": "use", "name": "death glare", "target": "mira"}
    near(odds(glare, "hag"), success=0.65, failure=0.35)  # 11 against +3
    near(odds(glare, "hag", saves=None, wisdom=8), success=0.45, failure=0.55)
    near(odds(glare, "hag", saves=None, abilities={"wis": 14}), success=0.6, failure=0.4)
    fear = {"type": "cast", "name": "Fear", "target": "hag", "save": "wis", "dc": 13}
    near(odds(fear), success=0.45, failure=0.55)
    near(odds({**fear, "save": "con"}), success=0.65, failure=0.35)  # proficient
    near(
        odds({**fear, "save": {"ability": "con", "dc": 13}, "dc": None}), success=0.65, failure=0.35
    )
    near(odds({**fear, "dc": 99}), success=0.0, failure=1.0)


@pytest.mark.parametrize(
    ("action", "content"),
    [
        ({**SWORD, "name": "bow"}, CONTENT),
        (SWORD, {}),
        ({**SWORD, "target": None}, CONTENT),
        ({"type": "cast", "name": "Fear", "target": "hag", "save": "wis"}, CONTENT),
        ({"type": "use", "name": "lever", "target": "hag"}, CONTENT),
        (SWORD, {"stat_block": {"hag": "a hag"}}),
        (SWORD, {"stat_block": {"hag": {"armor_class": [{}], "actions": [None, 3]}}}),
    ],
)
def test_what_nobody_has_said_is_not_known(action: dict[str, Any], content: Any) -> None:  # G10
    assert odds(action, content=content) is None


def test_a_kill_by_a_stat_block_has_the_odds_of_its_dice() -> None:
    found = possible(CLAWS, "hag")  # 2d6+3, 4d6+3 at 8
    plain, twice = 30 / 36, 1 - 1 / 6**4
    near(found, hit=0.5 * (1 - plain), miss=0.45, kill=0.5 * plain + 0.05)
    assert twice > 0.999  # so of criticals hardly anybody lives
    assert KILL not in possible(CLAWS, "hag", hp=40)


def test_a_save_that_is_made_may_kill_by_half() -> None:
    breath = {"type": "use", "name": "Cold Breath", "target": "mira"}
    found = possible(breath, "hag", hp=3, saves={"con": 5})
    near(found, kill=1.0)
    glare = possible({**breath, "name": "Death Glare"}, "hag", hp=70)
    near(glare, success=0.65, failure=0.35)


class Loaded(SrdRules):
    """Rules of a game's own."""

    def odds(self, *given: Any) -> Any:
        return {"grazed": 3, "blessed": 1}

    def damage(self, *given: Any) -> Any:
        return {99: 2.0} if given[3] == "grazed" else None


class Broken:
    def odds(self, *given: Any) -> Any:
        raise LookupError("no such table")

    def damage(self, *given: Any) -> Any:
        return {"many": "often"}


def test_rules_of_the_games_own_come_before_what_was_learned() -> None:
    said: list[str] = []
    learned = LearnedOdds()

    def chances(rules: Any) -> Chances:
        return Chances(rules, learned, lambda who: CONTENT, lambda where, error: said.append(where))

    world = world_of()
    declared = Declared("mira", SWORD, "", world.state)
    own = chances(Loaded())
    found = possible_results(world, declared, "hag", harm=own.harm, otherwise=own.likely)
    near(found, kill=0.75, blessed=0.25)
    given = {"hit": 1.0}
    assert [*possible_results(world, declared, "hag", given, None, own.harm, own.likely)] == ["hit"]
    assert chances(Broken()).likely(world, declared, "hag") == learned.odds(world, declared, "hag")
    assert said == ["rules"]


# ── in a session ──────────────────────────────────────────────────────────────────────────────────

SCRIPT = Script({"text": "The blade bites.", "lines": [], "cues": []}, ttft=0.2, chunk=5)
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {"mira": MIRA, "sh1": {**FOE, "hp": 6}},
}


class Source:
    """A source that takes its time, and then has all there is at once."""

    def __init__(self, wait: float = 0.0) -> None:
        blocks = {"Sea Hag": deepcopy(HAG), "Ogre": {"armor_class": 11}}
        self.content = foretell.ContentMapping({"stat_block": blocks})
        self.wait = wait
        self.until: float | None = None

    async def find(self, ask: foretell.Ask) -> Any:
        now = asyncio.get_running_loop().time()
        self.until = now + self.wait if self.until is None else self.until
        await asyncio.sleep(max(0.0, self.until - now))
        return await self.content.find(ask)


@asynccontextmanager
async def table(content: Any, **given: Any) -> AsyncIterator[foretell.Session[Any]]:
    settings = {"quiet": 0.05, **given.pop("settings", {})}
    model = ScriptedModel(SCRIPT)
    async with foretell.Game(settings, model=model, content=content, **given) as game:
        yield await game.session("table-7")


def planned(session: foretell.Session[Any]) -> dict[str, float]:
    """The results that are planned, with the probability of each."""
    pipeline: Any = session._pipeline
    return {each.result: each.value for each in pipeline._planner(pipeline._scene)}


def attacked(session: foretell.Session[Any], state: Mapping[str, Any] = STATE) -> None:
    session.update(state)
    session.begin_turn("sh1")
    session.declare("sh1", "Claws", type="attack", target="mira")


async def test_content_that_comes_after_the_scene_plans_it_anew_once() -> None:  # 8-1
    plans: list[int] = []
    async with table(Source(wait=0.2)) as session:
        ogre = {"name": "Ogre", "side": "foes", "hp": 59}
        attacked(session, {**STATE, "actors": {**STATE["actors"], "ogre": ogre}})
        await asyncio.sleep(0.15)
        before = planned(session)
        pipeline: Any = session._pipeline
        pipeline._planned_anew.subscribe(lambda scene: plans.append(1))
        await asyncio.sleep(1)
        after = planned(session)
        assert len(plans) == 1
        assert before[KILL] == pytest.approx(0.325)
        assert after == pytest.approx(possible(CLAWS, "hag"))


async def test_content_that_is_another_is_other_odds() -> None:  # 8-1
    source = Source()
    async with table(source) as session:
        attacked(session)
        await asyncio.sleep(1)
        before = planned(session)
        source.content.shelves["stat_block"]["Sea Hag"]["actions"][0]["attack_bonus"] = -9
        session.content_changed("stat_block", "sea hag")
        await asyncio.sleep(1)
        assert planned(session)["miss"] > before["miss"]


async def test_the_reference_document_gives_the_odds_as_it_is() -> None:  # 8-1
    folder = Path(__file__).parents[2] / "shared/data/srd5e"
    if not folder.exists():
        pytest.skip("the SRD files are not here")
    async with table(foretell.JsonFolder(folder)) as session:
        attacked(session)
        await asyncio.sleep(1)
        assert planned(session) == pytest.approx(possible(CLAWS, "hag"))


async def test_rules_of_ones_own_are_asked_for_in_a_replay(tmp_path: Path) -> None:  # G9
    async with table(None, odds=Loaded, settings={"log_dir": str(tmp_path)}) as session:
        attacked(session)
        await asyncio.sleep(1)
        assert "grazed" in planned(session) or KILL in planned(session)
        await session.outcome("sh1", "Claws", "blessed", type="attack", target="mira")
    path = tmp_path / "table-7.jsonl"
    with pytest.raises(NotRecorded, match="odds"):
        verify(path)


@pytest.mark.parametrize("odds", [3, object(), Loaded().odds])
def test_rules_that_are_none_are_refused(odds: Any) -> None:
    with pytest.raises(foretell.ConfigError, match="odds"):
        foretell.Game(model=ScriptedModel(SCRIPT), odds=odds)


async def test_what_an_outcome_says_changes_no_odds_before_it(tmp_path: Path) -> None:  # 8-2
    async def night(name: str, rolls: list[int]) -> list[Any]:
        folder = tmp_path / name
        async with table(Source(), settings={"log_dir": str(folder)}) as session:
            session.update(STATE)
            for number, roll in enumerate(rolls):
                session.begin_turn("sh1")
                await asyncio.sleep(3)
                word = ("miss", "blocked")[number % 2]
                values: dict[str, Any] = {"roll": roll, "ac": 30 - roll, "bonus": roll}
                await session.outcome("sh1", "Claws", word, type="attack", target="mira", **values)
        kept = {
            "~foreseen": ("actor", "by", "candidates"),
            "~generation": ("result", "target", "source", "value", "model"),
            "~refused": ("slot", "value", "why"),
        }
        return [
            {key: record.data[key] for key in of if key in record.data}
            for record in read(folder / "table-7.jsonl")
            if (of := kept.get(record.kind))
        ]

    rolls = [3, 17, 9, 11, 1, 20]
    shuffled = random.Random(7).sample(rolls, len(rolls))
    assert shuffled != rolls
    some, others = await night("some", rolls), await night("others", shuffled)
    assert any("candidates" in line for line in some) and any("value" in line for line in some)
    for one, other in zip(some, others, strict=True):
        assert one == other


def test_a_session_that_goes_on_knows_what_was_learned(tmp_path: Path) -> None:  # G9
    def known(session: foretell.Session[Any]) -> Mapping[str, float]:
        pipeline: Any = session._pipeline
        declared = Declared("mira", {"type": "check", "name": "athletics"}, "", {})
        learned: LearnedOdds = pipeline.foresight.odds
        return learned.odds(pipeline.world_now, declared, None)

    async def nights() -> None:
        settings = {"log_dir": str(tmp_path)}
        async with table(None, settings=settings) as session:
            session.update(STATE)
            for _ in range(3):
                await session.outcome("mira", "athletics", "rolled", type="check")
            before = known(session)
        async with table(None, settings=settings) as session:
            assert known(session) == before
            assert max(before, key=lambda each: before[each]) == "rolled"

    run_virtual(nights())
    assert verify(tmp_path / "table-7.jsonl").difference is None
