"""Content in a session: loaded ahead by the scheduler, in the prompts, and in the recording."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import replay
from foretell.cli import main
from foretell.operators.content_wanted import Wants
from foretell.operators.fetch_events import What
from foretell.operators.fetch_source import Content, each
from foretell.operators.schedule import Item, Kind, Lane, Priority
from foretell.replay.content import recorded_content
from foretell.replay.lockstep import NotRecorded
from foretell.replay.verify import verify
from foretell.sinks import prefetch_report
from foretell.streams.log import read
from foretell.streams.log_inputs import LogInputs
from foretell.streams.log_own import own_problem
from foretell.streams.world import World
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual

HAG = {
    "name": "Sea Hag",
    "size": "Medium",
    "desc": "Slime drips from her.",
    "actions": [{"name": "Hex", "desc": "She lifts a finger."}],
}
CONTENT: dict[str, Any] = {
    "stat_block": {"Sea Hag": HAG, "Goblin": {"size": "Small"}},
    "spell_list": {"Mira": {"Hex": {"desc": "A curse settles."}}},
    "lore": {"Old Mill": "It burned down.", "Cellar": "Rats.", "the debts": "Forty crowns."},
    "voice": {"Grukk": "a rasp"},
}
STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old Mill", "exits": ["Cellar", {"to": "Road"}]},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "sh1": {"name": "SH1", "kind": "Sea Hag", "side": "foes", "hp": 52, "max_hp": 52},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 7, "max_hp": 7},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 7, "max_hp": 7},
    },
}
TALK = {**STATE, "mode": "dialogue", "dialogue": {"npc": "Grukk", "topic": "the debts"}}
NEVER = 1e9
SLOW = Script({"text": "The blade bites.", "lines": [], "cues": []}, ttft=0.2, delay=0.05, chunk=5)


class Source:
    """A source that does as it is told: ``wait`` seconds, then what is in ``content``."""

    def __init__(self, content: Any = CONTENT, wait: float = 0.0) -> None:
        self.content = foretell.ContentMapping(deepcopy(content))
        self.wait = wait
        self.asked: list[foretell.Ask] = []
        self.raises: Exception | None = None

    @property
    def keys(self) -> list[str]:
        return [ask.key for ask in self.asked]

    async def find(self, ask: foretell.Ask) -> Any:
        self.asked.append(ask)
        await asyncio.sleep(self.wait)
        if self.raises is not None:
            raise self.raises
        return await self.content.find(ask)


@asynccontextmanager
async def table(
    content: Any, settings: Any = None, **given: Any
) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = ScriptedModel(SLOW)
    async with foretell.Game(settings, model=model, content=content, **given) as game:
        yield await game.session("table-7"), model


def asked(model: ScriptedModel) -> list[Any]:
    return [stream.request for stream in model.streams]


def scene_of(model: ScriptedModel, number: int = -1) -> Any:
    prompt = asked(model)[number].messages[-2].text
    return orjson.loads(prompt[prompt.index("SCENE ") + 6 :])


def attacked(session: foretell.Session[Any], state: Any = STATE) -> None:
    session.update(state)
    session.begin_turn("mira")
    session.declare("mira", "Hex", type="cast", target="sh1")


async def test_a_combat_begins_with_its_stat_blocks_and_spell_lists() -> None:  # 0-2
    source = Source()
    async with table(source) as (session, model):
        attacked(session)
        await asyncio.sleep(0.1)
        assert sorted(source.keys) == [
            *("spell_list:mira", "stat_block:goblin", "stat_block:sea hag"),
        ]
        present = scene_of(model, 0)["present"]
        assert present["sh1"]["stat_block"] == {"size": "Medium", "desc": "Slime drips from her."}
        assert present["mira"]["spell_list"] == {"desc": "A curse settles."}
        assert "goblin-1" not in present  # it has no part in it
        plan = session.prefetch_plan()
        assert plan is not None
        entries = plan["content"]["entries"]
        assert {each["priority"] for each in entries} == {"P1"}
        assert "confidence above 0.9" in str(entries)


async def test_the_first_prompt_waits_for_what_comes_at_once_and_no_longer_than_that() -> None:
    # 1-2 1-20
    for wait, known in ((0.09, True), (0.2, False)):
        source = Source(wait=wait)
        async with table(source) as (session, model):
            attacked(session)
            await asyncio.sleep(0.08)
            assert not asked(model)
            await asyncio.sleep(0.03)
            assert asked(model)
            assert ("stat_block" in scene_of(model)["present"]["sh1"]) is known


@pytest.mark.parametrize("wait", [0.0, 0.09, 0.2])
async def test_variants_wait_for_the_lore_of_the_place_and_the_talk_but_no_telling_does(
    wait: float,
) -> None:  # 1-2 1-16 1-20
    for state, text in (({**STATE, "mode": "exploration"}, "It burned down."), (TALK, "a rasp")):
        async with table(Source(wait=wait)) as (session, model):
            session.update(state)
            session.begin_turn("mira")
            session.declare("mira", "search", type="use")
            await asyncio.sleep(0.11)
            assert asked(model)
            told = [request.messages[-2].text for request in asked(model)]
            assert {text in each for each in told} == {wait < 0.1}
            assert {"Forty crowns." in each for each in told} == {wait < 0.1 and state is TALK}
    async with table(Source(wait=wait)) as (session, model):
        session.update(TALK)
        session.outcome("mira", "search", "success", type="use")
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert asked(model)[-1].purpose == "foreground"


async def test_that_what_has_just_changed_is_not_there_already_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 1-1
    source = Source()
    async with table(source) as (session, _):
        attacked(session)
        await asyncio.sleep(0.1)  # and a prompt has it: from now on it is P0
        source.wait = 0.2
        session.content_changed("stat_block")
        await asyncio.sleep(1)
        contents = session._pipeline.contents
        assert contents is not None and "stat_block:sea hag" in contents
        assert "timed out" in caplog.text and "missing" not in caplog.text
        contents.drop("stat_block:sea hag")  # and it was there already
        source.wait = 3
        session.update({**STATE, "location": "Cellar"})
        await asyncio.sleep(1)
        assert "missing: 1 of 2 that must be there are not" in caplog.text


@pytest.mark.parametrize("intensity", ["off", "conservative"])
def test_what_must_be_there_is_missed_by_a_telling_that_nothing_was_prepared_for(
    intensity: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # 1-1
    def rules(wait: float) -> foretell.Preload:
        async def slow(item: Item) -> str:
            await asyncio.sleep(wait)
            return "roll twice"

        kind = Kind("core", Priority.CRITICAL, tokens=30, source=each(slow))
        return foretell.Preload(
            kind, (foretell.Context.COMBAT,), lambda scene: [foretell.Need("x")]
        )

    async def evening(name: str, wait: float) -> None:
        settings = {"intensity": intensity, "log_dir": str(tmp_path)}
        model = ScriptedModel(SLOW)
        given = {"preloads": (rules(wait),), "content": {}}
        async with foretell.Game(settings, model=model, **given) as game:
            session = await game.session(name)
            session.update(STATE)
            session.begin_turn("mira")
            await asyncio.sleep(0.05)
            assert "missing" not in caplog.text
            await session.outcome("mira", "Hex", "hit", target="sh1")
            events = session.prefetch_report()["content"]["events"]
            assert ("missing" in events) is (wait == NEVER)
            session.content_changed("core")
            await asyncio.sleep(0.001)  # it has just become another: it cannot be there already
            await session.outcome("mira", "Hex", "miss", target="sh1")

    def without(settings: foretell.Settings) -> foretell.Game[Any]:
        return foretell.Game(settings, model=ScriptedModel(), preloads=(rules(NEVER),))

    run_virtual(evening("there", 0.01))
    assert "missing" not in caplog.text
    run_virtual(evening("missed", NEVER))
    assert "core:x missing: 1 of 1 that must be there are not" in caplog.text
    assert verify(tmp_path / "missed.jsonl", without).difference is None


@pytest.mark.parametrize("most", [1, 4])
async def test_what_cannot_be_kept_costs_the_others_of_its_call_nothing(most: int) -> None:  # G10
    async def clues(items: list[Item]) -> AsyncIterator[Content]:
        asked.append(len(items))
        for item in items:
            yield Content(item.key, "x" * 70_000 if "big" in item.key else item.key)

    asked: list[int] = []
    kind = Kind("clue", Priority.EAGER, tokens=20, source=clues, most=most)  # type: ignore[arg-type]
    names = "big", "cellar", "mill", "road"
    needs = [foretell.Need(name) for name in names]
    own = foretell.Preload(kind, (foretell.Context.COMBAT,), lambda scene: needs)
    async with table({}, preloads=(own,)) as (session, _):
        attacked(session)
        await asyncio.sleep(1)
        contents = session._pipeline.contents
        assert contents is not None
        assert [name for name in names if f"clue:{name}" in contents] == ["cellar", "mill", "road"]
        assert contents.executor.unavailable == {"clue:big"}
        assert asked == [most] * (4 // most)


@pytest.mark.parametrize("wait", [0.2, 3.0, 1e9])
async def test_a_source_that_hangs_holds_nothing_up_and_is_asked_again(
    wait: float, caplog: pytest.LogCaptureFixture
) -> None:  # 1-22 1-63
    source = Source(wait=wait)
    async with table(source, {"deadline": 5.0}) as (session, model):
        attacked(session)
        telling = session.outcome("mira", "Hex", "hit", target="sh1")  # nobody waits for content
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        assert asked(model)[-1].purpose == "foreground"
        assert (await telling).text == "The blade bites."
        await asyncio.sleep(10)
        assert source.keys.count("stat_block:sea hag") > 1
        assert "stat_block:sea hag timed out" in caplog.text
        attacked(session)
        await asyncio.sleep(0.2)
        assert ("stat_block" in scene_of(model)["present"]["sh1"]) is (wait < 2)
        gone = sorted(each for each in caplog.text.splitlines() if "unavailable" in each)
        assert bool(gone) is (wait > 2)


async def test_a_source_that_raises_is_told_and_left_alone_for_a_while(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 1-23 1-64
    source = Source()
    source.raises = OSError("the disk is on fire")
    async with table(source) as (session, model):
        attacked(session)
        await asyncio.sleep(1)
        assert asked(model) and "stat_block" not in scene_of(model)["present"]["sh1"]
        assert "OSError: the disk is on fire" in caplog.text
        before, source.raises = len(source.asked), None
        session.begin_turn("sh1")
        await asyncio.sleep(1)
        assert len(source.asked) == before
        await asyncio.sleep(30)
        attacked(session)
        await asyncio.sleep(1)
        assert len(source.asked) == 2 * before
        assert "stat_block" in scene_of(model)["present"]["sh1"]


async def test_what_a_source_raises_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    source = Source()
    source.raises = OSError("the disk\n  is on fire")
    async with table(source) as (session, _):
        attacked(session)
        await asyncio.sleep(1)
    told = [each.message for each in caplog.records if "OSError" in each.message]
    assert told and all(each.endswith("OSError: the disk is on fire") for each in told)


async def test_a_source_that_is_down_for_hours_is_told_of_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    source = Source()
    source.raises = OSError("no route")

    def told() -> int:
        return sum("sea hag failed" in each.message for each in caplog.records)

    caplog.set_level("INFO")
    async with table(source) as (session, _):
        for _ in range(20):
            attacked(session)
            await asyncio.sleep(60)
        assert source.keys.count("stat_block:sea hag") == 20
        assert told() == 1
        source.raises = None
        attacked(session)
        await asyncio.sleep(60)
        source.raises = OSError("no route")
        session.content_changed()
        await asyncio.sleep(1)
        assert told() == 2


HUGE = [["x" * 100] * 10_000] * 100


@pytest.mark.parametrize("given", [HUGE, "x" * 70_000, {1, 2}, {"n": object()}])
async def test_content_that_is_too_large_or_none_is_not_taken(
    given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class Bad:
        async def find(self, ask: foretell.Ask) -> Any:
            return given

    async with table(Bad()) as (session, model):
        attacked(session)
        await asyncio.sleep(1)
        assert asked(model) and "stat_block" not in scene_of(model)["present"]["sh1"]
        assert "what its source gives is" in caplog.text


@pytest.mark.parametrize(
    ("size", "wait", "schedule"),
    [
        (60_000, 0.0, {}),
        (6_000, 0.0, {"max_prefetch_tokens": 1_000}),
        (10, 0.7, {"time_budget_ms": 500}),
        (10, 3.0, {"max_background_time_ms": 10_000}),
    ],
)
async def test_one_that_is_too_large_or_too_slow_keeps_no_others_out(
    size: int, wait: float, schedule: Any
) -> None:  # 1-63
    source = Source({"stat_block": {"Sea Hag": "x" * size, "Goblin": "Green."}}, wait)
    async with table(source, {"schedule": schedule}) as (session, _):
        session.update({**STATE, "actors": {"sh1": STATE["actors"]["sh1"]}})
        await asyncio.sleep(8)
        source.wait = 0.0
        session.update({**STATE, "actors": {"goblin-1": STATE["actors"]["goblin-1"]}})
        await asyncio.sleep(8)
        await session.outcome("mira", "bow", "hit", target="goblin-1")
        assert source.keys[-1] == "stat_block:goblin"
        contents = session._pipeline.contents
        assert contents is not None
        assert "stat_block:goblin" in contents
        assert ("stat_block:sea hag" in contents) is (size == 10)
        assert contents.executor.costs["stat_block"].tokens < 10  # it is what was kept that counts


async def test_one_large_text_of_a_slow_source_is_loaded_and_keeps_no_others_out() -> None:
    # 1-32 1-63
    texts = {"Old Mill": "x" * 24_000, "Town": "Bells.", "Inn": "Ale.", "Cellar": "Rats."}
    source = Source({"lore": texts}, 0.15)
    async with table(source) as (session, _):
        contents = session._pipeline.contents
        assert contents is not None
        for place in ("Old Mill", "Town", "Inn"):
            session.update({"mode": "exploration", "location": {"name": place}})
            await asyncio.sleep(20)
            assert f"lore:{place.lower()}" in contents
        session.need("lore:Cellar")
        await asyncio.sleep(5)
        assert "lore:cellar" in contents and contents.executor.dropped == 0


async def test_what_there_is_nothing_of_is_asked_for_once() -> None:
    source = Source({})
    async with table(source) as (session, _):
        for _ in range(3):
            attacked(session)
            await asyncio.sleep(1)
        assert len(source.asked) == 3
        found = session.prefetch_report()["content"]["session_summary"]
        assert found["total_prefetches"] == found["cache_hits"] == found["cache_misses"] == 0
        contents = session._pipeline.contents
        assert contents is not None and not contents.executor.costs  # nothing says nothing


async def test_who_is_counted_is_of_one_kind_and_whom_only_initials_name_is_not() -> None:
    source = Source({})
    foes = {name: {"name": name, "side": "foes"} for name in ("Orc 1", "Orc 2", "SH1", "SH2")}
    tale = {
        **STATE,
        "actors": foes,
        "mode": "exploration",
        "location": {"exits": ["Hall 1", "Hall 2"]},
    }
    async with table(source) as (session, _):
        session.update({**tale, "mode": "combat"})
        await asyncio.sleep(1)
        assert sorted(source.keys) == ["stat_block:orc", "stat_block:sh1", "stat_block:sh2"]
        source.asked.clear()
        session.update(tale)
        await asyncio.sleep(1)
        assert sorted(source.keys) == ["lore:hall 1", "lore:hall 2"]


async def test_who_shares_a_name_has_the_stat_block_of_their_own() -> None:  # G1
    content = {"Bandit": {"desc": "A cudgel."}, "Mage": {"desc": "A robe."}}
    horse = {"Sea Hag": {**HAG, "hit_points": 52}, "Sea Horse": {"desc": "Tiny.", "hit_points": 1}}
    source = Source({"stat_block": {**content, **horse}})

    def foe(name: str, health: int = 9) -> dict[str, Any]:
        return {"name": name, "species": "human", "side": "foes", "max_hp": health}

    async def desc(session: Any, model: ScriptedModel, **foes: Any) -> list[str]:
        session.update({"mode": "combat", "actors": foes})
        await asyncio.sleep(1)
        found = []
        for each in foes:
            await session.outcome("mira", "bow", "hit", target=each)
            found.append(scene_of(model)["present"][each]["stat_block"]["desc"])
        return found

    async with table(source) as (session, model):
        known = [foe("Bandit"), foe("Mage"), foe("SH", 52), foe("SH", 1)]
        said = ["A cudgel.", "A robe.", "Slime drips from her.", "Tiny."]
        assert await desc(session, model, a=known[0], b=known[1]) == said[:2]
        for each, told in zip(known, said, strict=True):  # one after the other
            assert await desc(session, model, x=each) == [told]


async def test_places_and_creatures_that_differ_in_their_asides_are_two() -> None:  # G1
    mills = {"Old Mill (before the fire)": "Children play.", "Old Mill (after it)": "A ruin."}
    wolves = {"Werewolf (human)": {"desc": "A baker."}, "Werewolf (hybrid)": {"desc": "Fangs."}}
    source = Source({"lore": mills, "stat_block": wolves})
    async with table(source) as (session, model):
        for place, told in mills.items():
            session.update({"mode": "exploration", "location": {"name": place}})
            await asyncio.sleep(1)
            await session.outcome("mira", "look", "success")
            assert [text in str(asked(model)[-1]) for text in mills.values()] == [
                text == told for text in mills.values()
            ]
        foes = {f"w{n}": {"name": name, "side": "foes"} for n, name in enumerate(wolves)}
        session.update({"mode": "combat", "actors": foes})
        await asyncio.sleep(1)
        await session.outcome("w1", "bite", "hit")
        assert "Fangs." in str(asked(model)[-1]) and "A baker." not in str(asked(model)[-1])


async def test_what_has_two_names_is_known_by_each() -> None:
    source = Source()
    async with table(source) as (session, _):
        old = {"kind": "hag", "name": "Old Peg", "side": "foes"}
        session.update({**STATE, "actors": {"peg": old, "8": {**old, "name": "Old Peg 2"}}})
        await asyncio.sleep(1)
        session.need("stat block:old peg")
        assert {*source.keys} == {"stat_block:hag / old peg / peg", "stat_block:hag / old peg"}
        session.content_changed("stat_block", "old peg")
        await asyncio.sleep(1)
        assert len(source.keys) == 4


async def test_exploration_and_dialogue_have_lore_and_voices() -> None:
    source = Source()
    async with table(source, {"intensity": "aggressive"}) as (session, model):
        session.update({**STATE, "mode": "exploration"})
        await asyncio.sleep(1)
        lore = ["lore:cellar", "lore:mill", "lore:old mill", "lore:road"]
        assert sorted(source.keys) == lore
        await session.outcome("mira", "search", "success", type="use")
        assert scene_of(model)["lore"] == {"Old Mill": "It burned down."}
        session.update(TALK)
        await asyncio.sleep(1)
        await session.outcome("mira", "ask", "success", type="talk")
        told = scene_of(model)
        assert told["voice"] == {"Grukk": "a rasp"}
        assert told["lore"] == {"the debts": "Forty crowns."}


async def test_what_no_prompt_has_had_in_30_seconds_goes_and_what_one_has_had_stays() -> None:
    # 1-33
    source = Source()
    there = {**STATE, "mode": "exploration"}
    async with table(source) as (session, model):
        session.update(there)
        await asyncio.sleep(1)
        session.update({**there, "location": {"name": "Cellar"}})
        await session.outcome("mira", "search", "success", type="use")
        assert scene_of(model)["lore"] == {"Cellar": "Rats."}
        await asyncio.sleep(40)
        session.update(there)
        await asyncio.sleep(1)
        assert source.keys.count("lore:cellar") == 1
        assert source.keys.count("lore:road") == 1  # that there is nothing of it stays known
        source.content.shelves["lore"]["Road"] = "Long."
        session.content_changed("lore")
        await asyncio.sleep(1)
        session.update({**there, "mode": "menu"})  # nothing of it is needed there
        await asyncio.sleep(40)
        session.update({**there, "location": {"name": "Cellar"}})
        await asyncio.sleep(1)
        assert source.keys.count("lore:cellar") == 3


async def test_what_the_scene_still_needs_stays_however_long_it_takes() -> None:  # 1-33
    source = Source(wait=0.2)
    async with table(source) as (session, model):
        attacked(session)
        await asyncio.sleep(100)
        await session.outcome("mira", "bow", "hit", target="sh1")
        assert "stat_block" in scene_of(model)["present"]["sh1"]
        contents = session._pipeline.contents
        assert contents is not None and "stat_block:goblin" in contents  # no prompt has had it
        session.update({"mode": "menu"})
        await asyncio.sleep(70)
        assert "stat_block:goblin" not in contents and "stat_block:sea hag" in contents


async def test_what_had_no_room_is_loaded_from_what_the_others_have_left() -> None:  # 1-12 1-52
    names = [f"{what} {of}" for what in ("Wolf", "Bear", "Imp", "Orc") for of in PLACES]
    source = Source({"stat_block": {name: {"desc": "y" * 200} for name in names}}, 0.01)
    foes = {name: {"name": name, "side": "foes"} for name in names}
    for budget, most in ((10_000, 40), (1_200, 23)):
        settings = {"intensity": "off", "schedule": {"max_prefetch_tokens": budget}}
        async with table(source, settings) as (session, _):
            session.update({"mode": "combat", "actors": foes})
            await asyncio.sleep(20)
            contents = session._pipeline.contents
            assert contents is not None and not contents.executor.pending
            summary = prefetched(session)["session_summary"]
            assert summary["tokens_prefetched"] <= budget
            assert most - 2 <= summary["total_prefetches"] <= most


async def test_what_fails_is_tried_again_with_the_next_plan_and_not_for_there_is_room() -> None:
    # 1-52 1-64
    class Torn(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            found = await super().find(ask)
            if ask.key == "lore:torn":
                raise OSError("the page is torn out")
            return found

    needs = [foretell.Need("Old Mill"), foretell.Need("torn"), foretell.Need("long", size=200_000)]
    own = foretell.Preload("lore", ("combat",), lambda scene: needs)
    source = Torn()
    settings = {"schedule": {"unavailable_seconds": 0}}
    async with table(source, settings, preloads=(own,)) as (session, _):
        attacked(session)
        for _ in range(200):
            await asyncio.sleep(0)
        assert source.keys == ["lore:old mill", "lore:torn", "lore:torn"]  # and content came


async def test_the_report_of_a_session_in_words_has_its_content() -> None:  # 1-45 1-46
    async with table(Source()) as (session, _):
        attacked(session)
        await asyncio.sleep(1)
        said = prefetch_report.text(session.prefetch_report())
        speculation, content = said.split("\n\nof content\n")
        assert speculation.startswith("prefetches    3, ") and "stat_block" not in speculation
        assert content.startswith("prefetches    3, ")
        assert "accurate      stat_block:sea hag (predicted, used)" in content


@pytest.mark.parametrize("left", ["its scene", "its session"])
async def test_what_nobody_has_used_is_wasted_by_name_whoever_has_loaded_it(left: str) -> None:
    # 1-33 1-42 1-44 1-46
    async with table(Source(), {"intensity": "off"}) as (session, _):
        session.update(STATE)
        await asyncio.sleep(5)
        assert prefetched(session)["metrics"]["wasted_tokens"]["value"] == 0
        if left == "its scene":
            session.update({"mode": "idle"})
            await asyncio.sleep(100)
        else:
            await session.close()
        found = prefetched(session)
        assert found["session_summary"]["tokens_prefetched"] > 0
        assert found["metrics"]["wasted_tokens"]["share"] == 1.0
        assert {each["name"] for each in found["top_predictions"]["wasted"]} == {
            *("spell_list:mira", "stat_block:goblin", "stat_block:sea hag")
        }


PLACES = ["Fen", "Moor", "Vale", "Crag", "Mire", "Dell", "Tarn", "Holt", "Glen", "Weir"]


def prefetched(session: foretell.Session[Any]) -> Any:
    report = session.prefetch_report()
    assert report is not None
    return report["content"]


async def test_leaving_a_context_cancels_what_belonged_to_it() -> None:  # 1-62
    closed = []

    class Slow(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            try:
                await asyncio.sleep(0.09 if ask.kind == "stat_block" else 1.0)
            except asyncio.CancelledError:
                closed.append(ask.key)
                raise

    async with table(Slow()) as (session, _):
        attacked(session)
        await asyncio.sleep(0.01)
        session.end_turn()
        session.update({**STATE, "mode": "exploration"})
        await asyncio.sleep(0.065)
        assert "stat_block:sea hag" in closed
        await asyncio.sleep(0.7)
        assert "lore:road" not in closed  # it is under way in the background
        session.update({**STATE, "mode": "menu"})
        await asyncio.sleep(0.06)
        assert "lore:road" in closed


async def test_the_background_waits_while_a_player_does() -> None:  # 1-31
    source = Source()
    async with table(source) as (session, _):
        session.update({**STATE, "mode": "exploration"})
        telling = session.outcome("mira", "search", "success", type="use")
        await asyncio.sleep(0.15)
        assert source.keys == ["lore:mill", "lore:old mill"]
        await telling
        await asyncio.sleep(0.3)
        assert source.keys == ["lore:mill", "lore:old mill", "lore:cellar", "lore:road"]


async def test_of_a_crowd_who_has_a_part_comes_first_and_no_more_than_fits() -> None:  # 1-12
    source = Source({})
    crowd = [f"Foe {chr(97 + n // 26)}{chr(97 + n % 26)}" for n in range(300)]
    foes = {name: {"name": name, "side": "foes"} for name in crowd}
    async with table(source) as (session, _):
        session.update({**STATE, "actors": foes})
        session.begin_turn(crowd[150])
        session.declare(crowd[150], "bite", target=crowd[299])
        await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        plan = session.prefetch_plan()
        assert plan is not None
        assert len(plan["content"]["entries"]) == 200
        assert plan["tokens"] == 2_700  # what is declared is P0
        assert plan["content"]["tokens"] == 18 * 400
        assert {"stat_block:foe fu", "stat_block:foe ln"} <= {*source.keys}
        assert len(source.asked) <= 3 * 10_000 // 400  # a round for each move


@pytest.mark.parametrize("budget", [0, 500, 900, 2_700, 3_150, 4_000, 10_000])
async def test_variants_and_content_have_one_round_of_tokens(budget: int) -> None:  # 1-12 1-52 G3
    source = Source()
    async with table(source, {"schedule": {"max_prefetch_tokens": budget}}) as (session, _):
        attacked(session)
        await asyncio.sleep(0)
        await asyncio.sleep(0.01)
        plan = session.prefetch_plan()
        assert plan is not None
        first = plan["tokens"] + plan["content"]["tokens"]
        assert plan["tokens"] == min(3, budget // 900) * 900  # what is declared is P0
        assert 900 * (budget >= 900) <= first <= budget
        left = plan["token_budget"]  # a plan for what has come has what the round has left
        assert budget - 400 < left == plan["content"]["token_budget"] <= budget or budget == 0
        await asyncio.sleep(5)
        session.end_turn()  # and what is there spends nothing again
        session.begin_turn("sh1")
        await asyncio.sleep(5)
        known = session._pipeline.contents
        assert known is not None
        assert ("stat_block:sea hag" in known) is (budget > 400)


@pytest.mark.parametrize(("budget", "kept"), [(4_000, False), (6_000, True)])
async def test_content_that_is_larger_than_announced_has_what_the_variants_leave(
    budget: int, kept: bool
) -> None:  # 1-52 G3
    source = Source({"stat_block": {"Sea Hag": "x" * 6_000}})
    async with table(source, {"schedule": {"max_prefetch_tokens": budget}}) as (session, _):
        session.update({**STATE, "mode": "menu"})
        session.begin_turn("mira")
        await asyncio.sleep(1)
        session.update(
            {**STATE, "actors": {each: STATE["actors"][each] for each in ("mira", "sh1")}}
        )
        session.declare("mira", "Hex", type="cast", target="sh1")
        await asyncio.sleep(1)
        plan, known = session.prefetch_plan(), session._pipeline.contents
        assert plan is not None and plan["tokens"] == 2_700
        assert known is not None and ("stat_block:sea hag" in known) is kept


async def test_the_variants_of_a_session_may_be_less_likely_than_its_content() -> None:  # 1-58
    own = foretell.Preload("lore", ("combat",), lambda scene: [foretell.Need("x", None, 0.4)])  # type: ignore[arg-type]
    bow = {"name": "bow", "type": "attack", "target": "sh1"}
    for least, prepared in ((0.0, True), (0.9, False)):
        settings = {"intensity": "aggressive", "schedule": {"min_confidence_for_variants": least}}
        async with table(Source(), settings, preloads=(own,)) as (session, model):
            session.update(STATE)
            session.begin_turn("mira", options=[bow, {**bow, "name": "dagger"}])
            await asyncio.sleep(1)
            plan = session.prefetch_plan()
            assert plan is not None and plan["entries"]
            assert bool(asked(model)) is prepared
            assert ("confidence is below 0.9" in str(plan["entries"])) is not prepared
            assert [each["why"] for each in plan["content"]["entries"]] == [
                "confidence is below 0.5"
            ]


async def test_what_is_kept_is_bounded_and_what_a_scene_needs_stays() -> None:  # G3 1-65
    async with table(Source()) as (session, _):
        attacked(session)
        await asyncio.sleep(0.1)
        contents = session._pipeline.contents
        assert contents is not None
        keys = [f"lore:{number}" for number in range(1_000)]
        for key in keys:
            contents.put(Item(key, "lore"), "x", 1)
        assert sum(key in contents for key in keys) <= 256
        assert keys[-1] in contents and keys[0] not in contents
        assert "stat_block:sea hag" in contents


def wants(faults: list[str]) -> tuple[Wants, Callable[..., list[str]]]:
    """What is wanted, and a scene of so many names with a mark."""

    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        state = scene.world.state
        return [foretell.Need(name, mark=state.get("mark", "")) for name in state["names"]]

    everywhere = foretell.Preload("lore", tuple(foretell.Context), needs)
    found = Wants((everywhere,), lambda where, error: faults.append(repr(error)))

    def scene(names: list[str], kept: Any = (), mark: str = "", mode: str = "combat") -> list[str]:
        state = {"names": names, "mark": mark}
        return found.on_scene(foretell.Scene(World(state=state), foretell.Context(mode)), kept)

    return found, scene


def test_what_was_wanted_once_is_forgotten_but_not_what_may_be_wanted_again() -> None:  # G3
    faults: list[str] = []
    found, scene = wants(faults)
    scene(["kept", "gone"], mark="x")
    for n in range(0, 3_000, 100):
        scene([str(n + each) for each in range(100)], kept={"lore:kept"})
        assert len(found.asks) <= 1_124
        assert {*found.now} <= {*found.asks}
    assert "lore:kept" in found.asks and "lore:gone" not in found.asks
    assert scene(["kept", "gone"], mark="y") == ["lore:kept"]  # the other's mark is forgotten
    assert not faults


def test_how_often_what_is_wanted_has_changed_is_counted_and_nothing_else() -> None:  # G3
    found, scene = wants([])
    for n in range(2_000):
        scene([str(n), "mill"])
        found.changed([f"lore:{n}", "lore:mill", "lore:of another scene"])
    assert found.revision([]) == (("lore:1999", 1), ("lore:mill", 2_000))
    assert len(found._changes) == 2
    scene(["mill"])
    found.changed(["lore:other"])
    assert found.revision([]) == (("lore:mill", 2_000),)


def test_what_the_game_needed_is_wanted_until_the_context_is_another() -> None:  # 1-5
    found, scene = wants([])
    scene(["mill"])
    assert found.need("lore:mill", "lore", "Mill") is found.now["lore:mill"].item
    item = found.need("lore:debts", "lore", "the debts")
    assert found.asks["lore:debts"] == foretell.Ask("lore", ("the debts",), key="lore:debts")
    scene(["mill"])
    assert found.now["lore:debts"].item is item
    for n in range(16):
        found.need(f"lore:{n}", "lore", str(n))
    assert {*found.now} == {"lore:mill", *(f"lore:{n}" for n in range(16))}
    scene(["0"])  # now the scene needs it as well
    for n in range(100, 116):
        found.need(f"lore:{n}", "lore", str(n))
    assert "lore:0" in found.now and "lore:1" not in found.now
    scene([], mode="dialogue")
    assert not found.now


async def test_a_kind_of_ones_own_is_registered_with_its_needs_and_its_source() -> None:  # 1-6
    async def forecast(item: Any) -> str:
        return f"{item.key}: storm"

    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        return [foretell.Need(("the moor",), confidence=0.8)]

    weather = Kind("weather", Priority.EAGER, tokens=20, source=each(forecast))
    own = foretell.Preload(weather, (foretell.Context.COMBAT,), needs)
    async with table(Source(), preloads=(*foretell.PRELOADS, own)) as (session, model):
        attacked(session)
        await asyncio.sleep(1)
        await session.outcome("mira", "bow", "hit", target="sh1")
        assert scene_of(model)["weather"] == {"the moor": "weather:moor: storm"}


async def test_what_content_leads_to_is_wanted_when_it_comes() -> None:
    def then(scene: foretell.Scene, there: Any) -> list[foretell.Need]:
        return [foretell.Need(text["next"]) for text in there.values() if "next" in text]

    tales = {"The map": {"next": "The cave"}, "The cave": {"next": "The hoard"}, "The hoard": {}}
    leads = Kind("tale", Priority.EAGER, changes_context=lambda item, value: "next" in value)
    wanted = foretell.Preload(leads, ("combat",), lambda scene: [foretell.Need("The map")], then)
    source = Source({"tale": tales}, 0.02)
    async with table(source, preloads=(wanted,)) as (session, model):
        attacked(session)
        await asyncio.sleep(5)
        assert source.keys == ["tale:map", "tale:cave", "tale:hoard"]
        assert all(name in str(asked(model)[-1]) for name in ("The cave", "The hoard"))
        session.update({**STATE, "mode": "idle"})
        await asyncio.sleep(60)
        assert set(session._pipeline.contents._wants.now) == set()  # type: ignore[union-attr]


async def test_a_preload_that_raises_of_what_has_come_costs_only_that(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kind = Kind("tale", Priority.EAGER, changes_context=lambda item, value: True)
    wanted = foretell.Preload(
        kind, ("combat",), lambda scene: [foretell.Need("a")], lambda scene, there: 1 // 0
    )
    async with table(Source({"tale": {"a": 1}}), preloads=(wanted,)) as (session, model):
        attacked(session)
        await asyncio.sleep(1)
        assert "ZeroDivisionError" in caplog.text and model.streams


async def test_what_fails_has_its_alternative_in_its_place() -> None:  # 1-23 1-64
    class Torn(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            found = await super().find(ask)
            if ask.names == ("Old Mill",):
                raise OSError("the page is torn out")
            return found

    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        return [
            foretell.Need("Old Mill", alternative="Cellar"),
            foretell.Need("x", alternative="X"),
        ]

    source = Torn()
    wanted = foretell.Preload("lore", ("combat",), needs)
    async with table(source, preloads=(wanted,)) as (session, model):
        attacked(session)
        await asyncio.sleep(5)
        assert source.keys[:3] == ["lore:old mill", "lore:x", "lore:cellar"]
        await session.outcome("mira", "look", "success")
        assert "Rats." in str(asked(model)[-1]) and len(source.keys) == 3
        contents = session._pipeline.contents
        assert contents is not None and not contents.executor.unavailable


@pytest.mark.parametrize("wrong", [float("nan"), -1.0, 2.0])
async def test_needs_that_are_wrong_cost_the_session_nothing(
    wrong: float, caplog: pytest.LogCaptureFixture
) -> None:
    own = foretell.Preload("lore", ("combat",), lambda scene: [foretell.Need(("x",), None, wrong)])  # type: ignore[arg-type]
    async with table(Source(), preloads=(own,)) as (session, _):
        attacked(session)
        await asyncio.sleep(1)
        assert (await session.outcome("mira", "bow", "hit", target="sh1")).text
    assert "preload raised ValueError" in caplog.text


async def test_alternatives_in_a_circle_cost_the_session_only_themselves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        return [foretell.Need("x", alternative="y"), foretell.Need("y", alternative="x")]

    source = Source()
    own = foretell.Preload("lore", ("combat",), needs)
    async with table(source, preloads=(*foretell.PRELOADS, own)) as (session, model):
        attacked(session)
        await asyncio.sleep(1)
        assert asked(model) and {"lore:x", "lore:y", "stat_block:sea hag"} <= {*source.keys}
    assert "alternatives go in a circle: lore:x → lore:y → lore:x" in caplog.text


@pytest.mark.parametrize("wrong", [[5], foretell.PRELOADS[0], None])
def test_preloads_that_are_none_are_said_at_once(wrong: Any) -> None:
    with pytest.raises(foretell.ConfigError, match="preloads must be a list of Preload"):
        foretell.Game(model=ScriptedModel(), preloads=wrong)


async def test_a_source_may_say_that_content_is_more_but_not_that_it_is_less() -> None:  # 1-52
    async def told(items: Any) -> AsyncIterator[Content]:
        for item in items:
            yield Content(item.key, "x" * 4_000, 1 if item.key == "tale:a" else 5_000)

    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        return [foretell.Need("a", confidence=0.9), foretell.Need("b", confidence=0.9)]

    kind = Kind("tale", Priority.EAGER, tokens=20, source=told)
    own = foretell.Preload(kind, (foretell.Context.COMBAT,), needs)
    async with table({}, preloads=(own,)) as (session, _):
        attacked(session)
        await asyncio.sleep(1)
        found = session.prefetch_report()["content"]["session_summary"]
        assert found["tokens_prefetched"] == 1_000 + 5_000


async def test_a_preload_that_raises_costs_only_itself(caplog: pytest.LogCaptureFixture) -> None:
    # G10
    def mood(scene: foretell.Scene) -> Any:
        yield foretell.Need("calm")
        yield foretell.Need((scene.world.state["location"]["mood"],))

    own = foretell.Preload("mood", (foretell.Context.EXPLORATION,), mood)
    content = {**CONTENT, "mood": {"calm": "Still.", "grim": "Dark."}}
    async with table(Source(content), preloads=(own, *foretell.PRELOADS)) as (session, model):
        for place, mood_told in (
            ("Old Mill", {"calm": "Still.", "grim": "Dark."}),
            ("Cellar", None),
        ):
            where = {"name": place, **({"mood": "grim"} if mood_told else {})}
            session.update({"mode": "exploration", "location": where})
            await asyncio.sleep(1)
            await session.outcome("mira", "search", "success", type="use")
            assert scene_of(model)["lore"] == {place: CONTENT["lore"][place]}
            assert scene_of(model).get("mood") == mood_told
    assert "preload raised KeyError" in caplog.text


async def test_what_the_game_needs_is_fetched_on_demand() -> None:  # 1-5
    source = Source()
    async with table(source) as (session, _):
        attacked(session)
        await asyncio.sleep(1)
        session.need("lore:the old mill")
        session.need("statblock:sea-hag")  # it is there
        session.need("Stat blocks:Orc 2")
        for nothing in ("nobody knows:x", "lore:", "lore", ""):
            session.need(nothing)
        await asyncio.sleep(1)
        assert source.keys.count("lore:old mill") == 1
        assert source.keys.count("stat_block:sea hag") == 1
        assert source.keys.count("stat_block:orc") == 1
        found = session.prefetch_report()["content"]["top_predictions"]
        assert [each["name"] for each in found["missed"]] == ["lore:old mill", "stat_block:orc"]


async def test_what_the_game_needed_stands_in_prompts_until_the_context_is_another() -> None:
    # 1-5
    source = Source()
    source.content.shelves["lore"].update({f"tale {n}": f"Tale {n}." for n in range(100)})
    there = {"mode": "exploration", "location": {"name": "Old Mill"}}
    async with table(source) as (session, model):
        session.update(there)
        session.need("lore:the debts")
        known = {"Old Mill": "It burned down.", "the debts": "Forty crowns."}
        for mode, lore in (("exploration", known), ("combat", None), ("exploration", None)):
            session.update({**there, "mode": mode, "location": {"name": "Old Mill", "at": mode}})
            await asyncio.sleep(1)
            await session.outcome("mira", "search", "success", type="use")
            told = scene_of(model).get("lore", {})
            assert told == lore if lore else "the debts" not in told
        for n in range(100):
            session.need(f"lore:tale {n}")
        await asyncio.sleep(10)
        await session.outcome("mira", "search", "success", type="use")
        told = scene_of(model)["lore"]
        assert told["tale 99"] == "Tale 99." and len(told) == 1 + 16


# ── the source changes ────────────────────────────────────────────────────────────────────────


async def test_what_has_changed_is_loaded_anew_and_what_was_prepared_with_it_too() -> None:
    # 1-39
    source = Source()
    async with table(source) as (session, model):
        attacked(session)
        await asyncio.sleep(0.1)
        before = len(model.open)
        source.content.shelves["stat_block"]["Goblin"]["size"] = "Large"
        session.content_changed("stat_block", "goblin")
        await asyncio.sleep(2)
        assert len(asked(model)) == before  # no text was about a goblin
        assert source.keys.count("stat_block:goblin") == 2
        source.content.shelves["stat_block"]["Sea Hag"]["desc"] = "She is dry."
        session.content_changed("stat_block")
        await asyncio.sleep(2)
        plan = session.prefetch_plan()
        assert plan is not None  # 1-18
        reasons = {each["keys"][0]: str(each["modifiers"]) for each in plan["content"]["entries"]}
        assert "accessed in the last 5 minutes" in reasons["stat_block:sea hag"]
        assert "accessed" not in reasons["stat_block:goblin"]
        again = asked(model)[before:]
        assert len(again) == before and not model.open
        assert all("She is dry." in request.messages[-2].text for request in again)
        await session.outcome("mira", "Hex", "hit", target="sh1", type="cast")
        assert session.report()["served"]["hit"] == 1


async def test_what_was_repaired_is_asked_for_at_once() -> None:  # 1-39 1-64
    source = Source()
    source.raises = OSError("no disk")
    async with table(source) as (session, model):
        attacked(session)
        await asyncio.sleep(1)
        session.update({**STATE, "actors": {"mira": STATE["actors"]["mira"]}})
        source.raises = None
        await asyncio.sleep(1)
        session.content_changed("stat_block")  # of foes that are not there now
        attacked(session)
        await asyncio.sleep(1)
        assert source.keys.count("stat_block:sea hag") == 2
        source.raises = OSError("no disk")
        session.content_changed("stat_block")
        await asyncio.sleep(1)
        source.raises = None
        session.content_changed("stat_block", "sea hag")
        await asyncio.sleep(1)
        await session.outcome("mira", "bow", "hit", target="sh1")
        assert scene_of(model)["present"]["sh1"]["stat_block"]["desc"] == "Slime drips from her."


async def test_what_changes_while_it_is_on_its_way_is_asked_for_again() -> None:  # 1-39
    class Early(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            found = deepcopy(await self.content.find(ask))
            await super().find(ask)
            return found

    source = Early(wait=0.06)
    async with table(source) as (session, model):
        attacked(session)
        await asyncio.sleep(0.03)
        source.content.shelves["stat_block"]["Sea Hag"]["desc"] = "She is dry."
        session.content_changed("stat_block", "sea hag")
        await asyncio.sleep(0.3)
        assert source.keys.count("stat_block:sea hag") == 2
        assert all("Slime" not in request.messages[-2].text for request in asked(model))


@pytest.mark.parametrize("when", ["it is there", "it is on its way", "of late", "in its place"])
async def test_what_stands_in_the_place_of_another_is_loaded_anew_when_it_changes(
    when: str,
) -> None:  # 1-23 1-39
    class Torn(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            if ask.names == ("Old Mill",) or (when == "in its place" and ask.names == ("Attic",)):
                raise OSError("the page is torn out")
            found = text
            await super().find(ask)
            return found

    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        if when == "in its place":
            own = [foretell.Need("Attic", alternative="Cellar")]
            return [foretell.Need("Old Mill", alternative="Attic"), *own]
        return [foretell.Need("Old Mill", alternative="Cellar")]

    text, source = "Rats.", Torn(wait=0.06)
    own = foretell.Preload("lore", (foretell.Context.COMBAT,), needs)
    async with table(source, preloads=(own,)) as (session, model):
        attacked(session)
        await asyncio.sleep(0.03 if when == "it is on its way" else 1)
        if when == "of late":
            session.update({**STATE, "mode": "idle"})
            await asyncio.sleep(1)
        text = "Bats."
        session.content_changed("lore", "Cellar")
        await asyncio.sleep(1)
        attacked(session)
        await asyncio.sleep(1)
        await session.outcome("mira", "look", "success")
        assert "Bats." in str(asked(model)[-1]) and "Rats." not in str(asked(model)[-1])


@pytest.mark.parametrize("other", [{"topic": "the fire"}, {"npc": "Elda"}])
async def test_of_another_topic_or_speaker_what_was_prepared_is_not_told(other: Any) -> None:  # G1
    async with table(Source()) as (session, model):
        session.update(TALK)
        session.begin_turn("mira")
        session.declare("mira", "persuade", type="talk", target="sh1")
        await asyncio.sleep(5)
        before = len(asked(model))
        session.update({**TALK, "dialogue": {**TALK["dialogue"], **other}})
        await asyncio.sleep(5)
        assert len(asked(model)) == 2 * before
        await session.outcome("mira", "persuade", "success", type="talk", target="sh1")
        assert session.report()["served"]["hit"] == 1
        fresh = str([request.messages[-2].text for request in asked(model)[before:]])
        assert ("Forty crowns." if "topic" in other else "a rasp") not in fresh


@pytest.mark.parametrize("other", [{"topic": "the fire"}, {"npc": "Elda"}, None])
@pytest.mark.parametrize("under_way", [True, False])
async def test_from_the_moment_the_talk_is_of_something_else_nothing_of_before_is_told(
    other: Any, under_way: bool
) -> None:  # G1
    async with table(Source()) as (session, model):
        session.update(TALK)
        session.begin_turn("mira")
        session.declare("mira", "persuade", type="talk", target="sh1")
        await asyncio.sleep(0.1 if under_way else 5)
        before = [*model.streams]
        assert before
        talk = TALK["dialogue"]
        session.update({**TALK, "dialogue": None if other is None else {**talk, **other}})
        await asyncio.sleep(0)
        await asyncio.sleep(0.001)  # it has not settled
        await session.outcome("mira", "persuade", "success", type="talk", target="sh1")
        assert session.report()["served"]["hit"] == session.report()["served"]["in_flight"] == 0
        told = [each for each in model.streams if each not in before]
        texts = [each.request.messages[-2].text for each in told]
        gone = {"topic": ["Forty crowns."], "npc": ["a rasp"]}
        for word in ["Forty crowns.", "a rasp"] if other is None else gone[next(iter(other))]:
            assert texts and not any(word in text for text in texts)


async def test_what_waits_to_be_told_has_the_content_of_what_is_talked_of_then() -> None:  # G1
    settings = {"overlap": "queue", "quiet": 5, "max_wait": 5}
    async with table(Source(), settings) as (session, model):
        session.update(TALK)
        await asyncio.sleep(6)
        session.outcome("mira", "wait", "success", type="talk")
        second = session.outcome("mira", "listen", "success", type="talk")
        await asyncio.sleep(0.5)
        session.update({**TALK, "dialogue": {"npc": "Elda", "topic": "the fire"}})
        await second
        told = [request.messages[-2].text for request in asked(model)]
        assert ["Forty crowns." in text and "a rasp" in text for text in told] == [True, False]


async def test_another_sheet_is_another_spell_list() -> None:
    spells = {"spell": {"Hex": {"desc": "A curse."}, "Shield": {"desc": "A wall."}}}
    async with table(spells) as (session, model):
        state = deepcopy(STATE)
        state["actors"]["mira"]["spells"] = ["Shield"]
        attacked(session, state)
        await asyncio.sleep(1)
        assert "spell_list" not in scene_of(model)["present"]["mira"]
        state["actors"]["mira"]["spells"] = ["Shield", "Hex"]
        session.update(state)
        await asyncio.sleep(1)
        await session.outcome("mira", "Hex", "miss", target="goblin-1", type="cast")
        assert scene_of(model)["present"]["mira"]["spell_list"] == {"desc": "A curse."}


async def happens(what: Callable[[], bool]) -> None:
    for _ in range(1000):
        if what():
            return
        await asyncio.sleep(0.01)
    pytest.fail("it does not happen")


@pytest.mark.real_time
async def test_a_file_that_changes_is_noticed(tmp_path: Path) -> None:  # 1-39
    file = tmp_path / "stat_blocks.json"
    file.write_bytes(orjson.dumps([HAG]))
    source = foretell.JsonFolder(tmp_path, every=0.02)
    async with table(source) as (session, model):
        attacked(session)
        await happens(lambda: bool(model.streams))
        file.write_bytes(orjson.dumps([{**HAG, "desc": "She is dry, and quite another."}]))
        await happens(lambda: "She is dry" in asked(model)[-1].messages[0].text)


@pytest.mark.real_time
async def test_nobody_waits_for_a_disk_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # G10
    hangs = threading.Event()
    monkeypatch.setattr("foretell.streams.content_folder.PATIENCE", 0.01)
    source = foretell.JsonFolder(tmp_path)
    monkeypatch.setattr(source, "_look", lambda: hangs.wait(30) and {})
    async with asyncio.timeout(15), table(source) as (session, _):
        attacked(session)
        await asyncio.sleep(0.3)
        assert (await session.outcome("mira", "Hex", "hit", target="sh1", type="cast")).text
        hanging = [each for each in threading.enumerate() if each.name == "foretell content"]
        assert hanging and all(each.daemon for each in hanging)  # nor does the program's end
    hangs.set()


# ── without it ────────────────────────────────────────────────────────────────────────────────


async def trace(content: Any = None) -> str:
    async with table(content) as (session, _):
        attacked(session)
        session.need("statblock:sea-hag")
        await asyncio.sleep(3)
        await session.outcome("mira", "Hex", "hit", target="sh1")
        assert ("content" in session.prefetch_report()) is (content is not None)
        assert ("content" in (session.prefetch_plan() or {})) is (content is not None)
        session.content_changed()
        return session.trace_sha256


async def test_without_a_source_nothing_is_asked_or_recorded() -> None:
    assert await trace() == await trace()
    assert await trace() != await trace(CONTENT)


# ── exactly again ─────────────────────────────────────────────────────────────────────────────


class Wild:
    """A source that does all that one may do."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    async def find(self, ask: foretell.Ask) -> Any:
        rng, what = self.rng, self.rng.random()
        await asyncio.sleep(rng.choice((0, 0, 0.01, 0.05, 0.12, 0.6)))
        if what < 0.15:
            raise KeyError("broken")
        if what < 0.25:
            await asyncio.Event().wait()
        if what < 0.35:
            return rng.choice(("x" * 50_000, "x" * 100_000, {1, 2}, {"n": float("nan")}))
        if what < 0.45:
            return None
        if what < 0.5:
            try:
                await asyncio.sleep(5)
            except asyncio.CancelledError:
                await asyncio.sleep(rng.choice((0, 0.3, 2)))
                raise
        return {"name": ask.names[0], "size": "small", "v": rng.random()}

    async def changes(self) -> Any:
        while True:
            await asyncio.sleep(self.rng.uniform(0.2, 3))
            if self.rng.random() < 0.05:
                raise ValueError("no more")
            yield self.rng.choice(("stat_block", "lore", "stat_block:goblin", "voice", ""))


def tales(scene: foretell.Scene) -> list[foretell.Need]:
    return [foretell.Need((f"tale {scene.world.number % 3}",), confidence=0.7)]


OWN = (*foretell.PRELOADS, foretell.Preload("lore", (foretell.Context.COMBAT,), tales))


async def night(folder: Path, seed: int, moves: int, pauses: tuple[float, ...]) -> None:
    """A night with a wild source, in two sittings."""
    rng = random.Random(seed)
    schedule = {
        "max_background_time_ms": rng.choice((2000, 700)),
        "unused_seconds": rng.choice((30, 1)),
        "unavailable_seconds": rng.choice((30, 0, 1)),
        "max_concurrent_fetches": rng.choice((8, 5)),
        "max_prefetch_tokens": rng.choice((10_000, 3_000, 900)),
    }
    settings = {"log_dir": str(folder), "schedule": schedule, "intensity": "aggressive"}
    content = Wild(random.Random(seed + 1))
    model = ScriptedModel(SLOW)
    state = deepcopy(STATE)
    async with foretell.Game(settings, model=model, content=content, preloads=OWN) as game:
        for _ in range(2):
            session = await game.session(f"s{seed}")
            for tick in range(moves):
                await asyncio.sleep(rng.choice(pauses))
                what, who, other = rng.random(), *rng.sample([*state["actors"]], 2)
                if what < 0.2:
                    session.begin_turn(who)
                elif what < 0.5:
                    session.declare(who, rng.choice(("Hex", "bow")), target=other)
                elif what < 0.7:
                    session.outcome(who, "bow", rng.choice(("hit", "miss")), target=other)
                elif what < 0.8:
                    session.need(rng.choice(("lore:cellar", "statblock:goblin", "spell:x")))
                elif what < 0.85:
                    session.content_changed(rng.choice((None, "lore")))
                else:
                    mode = rng.choice(("combat", "exploration", "dialogue", "menu"))
                    state = {**(TALK if mode == "dialogue" else STATE), "mode": mode, "tick": tick}
                    session.update(state)
            await session.close(drain=rng.choice((0, 1)))


def without_source(settings: foretell.Settings) -> foretell.Game[Any]:
    return foretell.Game(settings, model=ScriptedModel(), preloads=OWN)


@pytest.mark.parametrize("seed", range(6))
def test_a_recorded_night_comes_again_without_its_source(tmp_path: Path, seed: int) -> None:  # G9
    run_virtual(night(tmp_path, seed, 90, (0, 0, 0.01, 0.1, 0.4, 1.5)))
    walked = verify(tmp_path / f"s{seed}.jsonl", without_source)
    assert walked.difference is None
    assert walked.lines > 500


@pytest.mark.real_time
async def test_and_so_does_a_live_one(tmp_path: Path) -> None:  # G9
    await night(tmp_path, 7, 120, (0, 0, 0.001, 0.02))
    walked = await asyncio.to_thread(verify, tmp_path / "s7.jsonl", without_source)
    assert walked.difference is None


def recorded(folder: Path, source: Any, **given: Any) -> Path:
    """An evening with content that comes too late at first, and changes."""

    async def evening() -> None:
        async with table(source, {"log_dir": str(folder)}, **given) as (session, _):
            for number in range(4):
                attacked(session)
                await asyncio.sleep(2)
                await session.outcome("mira", "Hex", "hit", target="sh1")
                await asyncio.sleep(0.5)
                if number == 1:
                    session.content_changed("stat_block")

    run_virtual(evening())
    return folder / "table-7.jsonl"


def test_a_session_that_goes_on_loads_as_one_that_begins(tmp_path: Path) -> None:  # 1-10
    async def evening() -> None:
        settings = {"log_dir": str(tmp_path)}
        async with table(Source(wait=0.03), settings) as (session, _):
            attacked(session)
            await asyncio.sleep(100_000)
        source = Source(wait=0.03)
        async with table(source, settings) as (session, _):  # the stat block of the hag comes
            await asyncio.sleep(1)
            others = {name: {"name": name, "side": "foes"} for name in ("Goblin", "Orc")}
            session.update({**STATE, "actors": {**STATE["actors"], **others}})
            await asyncio.sleep(1)
            assert "stat_block:orc" in source.keys
            found = session.prefetch_report()["content"]["session_summary"]
            assert found["estimated_time_saved"] < 1  # the second sitting's load was no long one
            contents = session._pipeline.contents
            assert contents is not None
            assert contents.executor.costs["stat_block"].ms == pytest.approx(30, abs=1)

    run_virtual(evening())
    assert verify(tmp_path / "table-7.jsonl").difference is None


def test_the_report_of_a_session_that_goes_on_goes_on(tmp_path: Path) -> None:  # 1-45 1-46
    async def sitting(source: Any, before: Any) -> Any:
        async with table(source, {"log_dir": str(tmp_path)}) as (session, _):
            assert session.prefetch_report()["content"] == before or before is None
            attacked(session)
            await asyncio.sleep(2)
            await session.outcome("mira", "Hex", "hit", target="sh1")
            session.need("lore:the debts")
            session.update({**STATE, "mode": "exploration"})
            session.end_turn()
            await asyncio.sleep(3)
            await session.outcome("mira", "search", "success", type="use")
            session.update({"mode": "menu"})
            await asyncio.sleep(40)
            return session.prefetch_report()["content"]

    async def evening() -> None:
        slow, broken = Source(wait=0.15), Source()
        first = await sitting(slow, None)
        assert {*first["events"]} == {"loaded", "timed out", "retry", "expired"}
        assert all(first["top_predictions"].values())
        broken.raises = OSError("no disk")
        second = await sitting(broken, first)
        for name in ("cache_hits", "cache_misses"):
            assert second["session_summary"][name] >= first["session_summary"][name]
        assert {*second["events"]} == {*first["events"], "failed", "unavailable"}
        await sitting(slow, second)

    run_virtual(evening())
    assert verify(tmp_path / "table-7.jsonl").difference is None


def test_a_line_that_no_session_has_written_is_named() -> None:
    fetched = {"what": "loaded", "keys": ["a"], "lane": "eager", "tokens": 1, "seconds": 0.0}
    assert own_problem({"kind": "~fetched", **fetched}) is None
    for what in What:
        assert own_problem({"kind": "~fetched", **fetched, "what": what.value}) is None
    for lane in Lane:
        assert own_problem({"kind": "~fetched", **fetched, "lane": lane.value}) is None
    for name, wrong in (
        *(("what", "lost"), ("keys", "a"), ("keys", [7]), ("lane", 7)),
        *(("tokens", None), ("seconds", "1"), ("seconds", None)),
    ):
        problem = own_problem({"kind": "~fetched", **fetched, name: wrong})
        assert problem is not None and problem.startswith(f"{name} of a ~fetched line")
    assert own_problem({"kind": "~preload", "keys": None}) is not None
    assert own_problem({"kind": "~looked", "hit": []}) is not None


def test_what_a_source_said_stands_in_the_log(tmp_path: Path) -> None:
    log = recorded(tmp_path, Source(wait=0.13))
    lines = [record.data for record in read(log)]
    opened = next(line for line in lines if line["kind"] == "~opened")
    assert opened["content"] is True and "guests" not in opened
    content = [line for line in lines if line["kind"] == "~content"]
    assert {line["what"] for line in content} == {"came", "closed", "changed"}
    came = next(
        line for line in content if line.get("name") == "stat_block:sea hag" and "found" in line
    )
    assert came["found"] == HAG and came["t"] - came["began"] == pytest.approx(0.13)
    assert [line["name"] for line in content if line["what"] == "changed"] == ["stat_block"]
    assert verify(log).difference is None


def test_after_the_end_of_a_session_nothing_that_a_source_does_counts(tmp_path: Path) -> None:
    async def evening() -> None:
        async with table(Source(wait=0.09), {"log_dir": str(tmp_path)}) as (session, _):
            attacked(session)
            await asyncio.sleep(0.03)

    run_virtual(evening())
    kinds = [record.kind for record in read(tmp_path / "table-7.jsonl")]
    assert "~preload" in kinds and "~content" not in kinds
    assert verify(tmp_path / "table-7.jsonl").difference is None


def test_a_source_that_outlives_its_session_leaves_a_log_that_replays(tmp_path: Path) -> None:
    class Deaf(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            loop = asyncio.get_running_loop()
            until = loop.time() + 60
            while loop.time() < until:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    continue

    async def evening() -> None:
        async with table(Deaf(), {"log_dir": str(tmp_path)}) as (session, _):
            attacked(session)
            await asyncio.sleep(1)
        await asyncio.sleep(120)

    run_virtual(evening())
    log = tmp_path / "table-7.jsonl"
    faults = [record.data["where"] for record in read(log) if record.kind == "~fault"]
    assert len(faults) >= 3 and all(where.startswith("fetch ") for where in faults)
    assert verify(log).difference is None


def test_a_replay_has_the_content_of_the_recording(tmp_path: Path) -> None:
    log = recorded(tmp_path, Source(wait=0.13))
    found = replay.report(log, {})
    assert found["streams"]["recorded"] == found["streams"]["requests"] > 10
    told = replay.report(log, {"narrator_profile": "hosted-small"})
    assert told["prefetch"]["content"]["session_summary"]["cache_hits"] > 0


def test_answers_come_again_in_the_order_of_their_calls(tmp_path: Path) -> None:
    class Stubborn(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            if ask.key not in self.keys:
                self.asked.append(ask)
                try:
                    await asyncio.sleep(1e9)
                finally:
                    await asyncio.sleep(0.8)  # it closes after the second call has its answer
            return await super().find(ask)

    log = recorded(tmp_path, Stubborn())
    hag = [each.data for each in read(log) if each.data.get("name") == "stat_block:sea hag"]
    assert [each["what"] for each in hag if "call" in each][:3] == ["came", "closed", "closed"]
    source = recorded_content(LogInputs(log))
    assert source is not None
    ask = foretell.Ask("stat_block", ("Sea Hag",), key="stat_block:sea hag")

    async def asking() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(100):
                await source.find(ask)
        assert await source.find(ask) == HAG

    run_virtual(asking())
    assert verify(log).difference is None


def test_what_two_calls_ask_for_at_once_comes_again_with_the_limit_of_each(tmp_path: Path) -> None:
    # 1-64 G9
    class Half(Source):
        async def find(self, ask: foretell.Ask) -> Any:
            if ask.names == ("x",):
                raise OSError("torn")
            await asyncio.Event().wait()

    def needs(scene: foretell.Scene) -> list[foretell.Need]:
        later = [foretell.Need("y")] if scene.world.turn else []
        return [foretell.Need("x", confidence=0.7, alternative="y"), *later]

    given: Any = {"preloads": (foretell.Preload("lore", ("combat",), needs),)}

    async def evening() -> None:
        async with table(Half(), {"log_dir": str(tmp_path)}, **given) as (session, _):
            session.update(STATE)
            await asyncio.sleep(0.5)
            session.begin_turn("mira")  # y is asked for in the place of x, and has longer
            await asyncio.sleep(3)

    run_virtual(evening())
    log = tmp_path / "table-7.jsonl"
    late = [
        (record.data["keys"], record.data["lane"])
        for record in read(log)
        if record.kind == "~fetched" and record.data["what"] == "timed out"
    ]
    assert late[:2] == [(["lore:y"], "eager"), (["lore:x"], "background")]
    walked = verify(log, lambda settings: foretell.Game(settings, model=ScriptedModel(), **given))
    assert walked.difference is None


@pytest.mark.parametrize(
    "why", ["no \udcff.json", "\x1b[31mred", 10**5000], ids=["no UTF-8", "red", "no words"]
)
def test_whatever_a_source_raises_can_be_said_and_recorded(
    why: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    source = Source()
    source.raises = OSError(why)
    log = recorded(tmp_path, source)
    whys = [record.data["why"] for record in read(log) if "why" in record.data]
    assert any(each.startswith("OSError") for each in whys)
    assert "Traceback" not in caplog.text
    assert not any(
        record.name == "asyncio" or "\x1b" in record.getMessage() for record in caplog.records
    )
    assert verify(log).difference is None


def test_content_that_was_altered_in_the_log_is_found(tmp_path: Path) -> None:
    log = recorded(tmp_path, Source())
    log.write_bytes(log.read_bytes().replace(b"Slime drips", b"Blood drips", 1))
    difference = verify(log).difference
    assert difference is not None and "edited" in str(difference)


def test_own_preloads_want_their_game(tmp_path: Path) -> None:
    log = recorded(tmp_path, Source(), preloads=OWN)
    with pytest.raises(NotRecorded, match="preloads own"):
        verify(log)
    assert verify(log, without_source).difference is None


def test_a_replay_takes_content_from_a_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "content").mkdir()
    (tmp_path / "content" / "bestiary.json").write_bytes(orjson.dumps([HAG]))
    log = LogBuilder("night").state(STATE).turn("mira").action("mira", "bow", target="sh1").wait(5)
    path = log.outcome("hit", damage=3).wait(5).write(tmp_path / "night.jsonl")
    assert main(["replay", str(path), "--json", "--content", str(tmp_path / "content")]) == 0
    found = orjson.loads(capsys.readouterr().out)
    accurate = found["prefetch"]["content"]["top_predictions"]["accurate"]
    assert [each["name"] for each in accurate] == ["stat_block:sea hag"]
    assert main(["replay", str(path), "--json"]) == 0
    assert "content" not in orjson.loads(capsys.readouterr().out)["prefetch"]
    assert main(["replay", str(path), "--content", str(tmp_path / "none")]) == 2
    assert main(["replay", str(path), "--verify", "--content", str(tmp_path)]) == 2
