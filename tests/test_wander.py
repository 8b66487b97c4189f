"""Outside of combat: what lies behind the exits, and what who is spoken to answers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import Ended, Served
from foretell.operators.candidate import Candidate
from foretell.operators.classify import classify
from foretell.operators.foresee import Foresight
from foretell.operators.prompts import Account
from foretell.operators.wander import OFFERED
from foretell.replay.verify import verify
from foretell.sinks.ledger import Price
from foretell.streams import events as ev
from foretell.streams.footprint import Footprint, action_key
from foretell.streams.log import read
from foretell.streams.models import Request
from foretell.streams.narrator.grammar import tell
from foretell.streams.places import goes_by, way_taken, ways_of
from foretell.streams.world import Declared, Numbered, World, advance
from foretell.testing import (
    Script,
    ScriptedModel,
    ScriptedStream,
    run_virtual,
    stamped,
    stamped_prompts,
)
from foretell.whatif.oracle import leads

HALL = {"id": "hall", "name": "Hall", "exits": ["Cellar", {"name": "oak door", "to": "yard"}]}
CELLAR = {"id": "cellar", "name": "Cellar", "exits": ["Hall"]}
YARD = {"id": "yard", "name": "Yard", "exits": [{"name": "gate", "to": "road"}]}
TALK = {"npc": "Old Bram", "topic": "the bell", "options": ["Who rang it?", "Farewell"]}
PLACE: dict[str, Any] = {
    "mode": "exploration",
    "location": HALL,
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "bram": {"name": "Old Bram", "side": "town", "hp": 9, "max_hp": 9},
    },
}


def now(**change: Any) -> dict[str, Any]:
    return {**deepcopy(PLACE), **change}


GUESTS = ("prompts", "content", "content_view", "view", "price_list")


DIALOGUE = now(mode="dialogue", dialogue=TALK)


class Table:
    """A session whose texts say what they are about, and all ends of its tellings."""

    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session, self.model = session, model
        self.ends: list[Ended] = []
        session.subscribe(lambda each: self.ends.append(each) if isinstance(each, Ended) else None)

    @property
    def prepared(self) -> list[ScriptedStream]:
        return self.model.asked("prefetch")

    @property
    def wanted(self) -> list[tuple[str, str, str | None, str]]:
        """What is prepared and still there: actor, action, target and result of each."""
        live = self.session.generations.live
        there = [each for each in live if each.alive and each.request.purpose == "prefetch"]
        return [of(each.request) for each in there]


def of(request: Request) -> tuple[str, str, str | None, str]:
    [entry] = orjson.loads(request.messages[-1].text)["entries"]
    return entry["actor"], entry["action"], entry["target"], entry["result"]


@asynccontextmanager
async def table(state: Any, **given: Any) -> AsyncIterator[Table]:
    made = {name: given.pop(name) for name in GUESTS if name in given}
    model = ScriptedModel(
        lambda request, number: Script({"text": stamped(request, number) or "So."}, ttft=1.0)
    )
    given = {"intensity": "aggressive", **given}
    async with foretell.Game(given, model=model, **{"prompts": stamped_prompts, **made}) as game:
        session = await game.session("table")
        session.update(state)
        yield Table(session, model)
    assert not model.open


@pytest.mark.parametrize("how", ["with", "before", "after", "declared"])
async def test_the_room_behind_an_exit_is_told_at_once(how: str) -> None:
    async with table(PLACE) as t:
        await asyncio.sleep(10)
        session, there = t.session, now(location=CELLAR)
        given: dict[str, Any] = {"state": there} if how == "with" else {}
        if how == "declared":
            action = session.declare("mira", "cellar", type="move")
            session.update(there)
            telling = action.outcome("success")
        else:
            if how == "before":
                session.update(there)
            telling = session.outcome("mira", "cellar", "success", type="move", **given)
            if how == "after":
                session.update(there)
        await telling
        assert t.ends[0].served == (Served.HIT,)
        assert t.ends[0].latency == (0.0,)


async def test_what_is_open_is_prepared_in_aggressive_and_auto_and_in_no_other() -> None:
    for intensity, many in (("off", 0), ("conservative", 0), ("aggressive", 4), ("auto", 2)):
        for state in (PLACE, DIALOGUE):
            async with table(state, intensity=intensity) as t:
                await asyncio.sleep(10)
                found = [each for each in t.wanted if each[3] == "success"]
                assert (len(t.prepared) >= many) is True and bool(t.wanted) is bool(many)
                if many and state is PLACE:
                    assert {each[:3] for each in found} == {
                        ("mira", "Cellar", None),
                        ("mira", "oak door", None),
                    }
                elif many:
                    assert {each[:3] for each in found} == {
                        ("mira", "Farewell", "bram"),
                        ("mira", "Who rang it?", "bram"),
                    }


async def test_all_of_several_ways_are_prepared_and_no_more_than_six() -> None:
    names = [f"Door {number}" for number in range(9)]
    for many in (5, 9):
        async with table(now(location={**HALL, "exits": names[:many]}), max_variants=20) as t:
            await asyncio.sleep(10)
            found = [each[1] for each in t.wanted if each[3] == "success"]
            assert found == names[: min(many, 6)]


async def test_who_is_spoken_to_answers_at_once() -> None:
    async with table(DIALOGUE) as t:
        await asyncio.sleep(10)
        said = t.session.outcome("mira", "Who rang it?", "success", type="talk", target="bram")
        await said
        assert t.ends[0].served == (Served.HIT,)
        assert t.ends[0].latency == (0.0,)


@pytest.mark.parametrize("state", [PLACE, DIALOGUE])
async def test_leaving_closes_and_drops_what_belonged_to_it_within_the_instant(state: Any) -> None:
    elsewhere = {
        "fight": {**state, "mode": "combat"},
        "away": now(location=YARD) if state is PLACE else now(),
    }
    if state is DIALOGUE:
        elsewhere["another"] = now(mode="dialogue", dialogue={**TALK, "npc": "Ilse"})
    for there in elsewhere.values():
        async with table(state) as t:
            await asyncio.sleep(0.5)  # they are being written
            open_ = [each for each in t.prepared if each.gone_at is None]
            assert open_
            if there.get("location") == YARD:  # one leads there
                open_ = [each for each in open_ if of(each.request)[1] != "oak door"]
            t.session.update(there)
            await asyncio.sleep(0)
            await asyncio.sleep(0.001)  # less than any scene takes to settle
            assert all(each.closed_at is not None for each in open_)
        async with table(state) as t:
            await asyncio.sleep(10)  # they are whole
            t.session.update(there)
            t.session.update(state)  # and back again: it is another moment
            if state is PLACE:
                telling = t.session.outcome("mira", "cellar", "success", type="move")
            else:
                telling = t.session.outcome(
                    "mira", "farewell", "success", type="talk", target="bram"
                )
            await telling
            assert t.ends[0].served == (Served.MISS,)


@pytest.mark.parametrize("prepared", [True, False])
async def test_a_farewell_that_has_been_said_is_told_though_the_talk_is_over(
    prepared: bool,
) -> None:
    async with table(DIALOGUE, overlap="queue") as t:
        await asyncio.sleep(0.5 if prepared else 0)  # it is still being written
        telling = t.session.outcome("mira", "farewell", "success", type="talk", target="bram")
        await asyncio.sleep(0.1)
        t.session.update(now(mode="combat"))
        await asyncio.sleep(0.1)
        await telling
        assert t.ends[0].served == (Served.IN_FLIGHT if prepared else Served.MISS,)
        assert len(t.model.asked("foreground")) == (0 if prepared else 1)
        assert t.session.report()["stale"] == 0


async def test_what_leads_elsewhere_is_not_told_and_what_leads_there_is() -> None:
    for way, served in (("oak door", Served.HIT), ("cellar", Served.MISS)):
        async with table(PLACE) as t:
            await asyncio.sleep(10)
            t.session.update(now(location=YARD))
            await t.session.outcome("mira", way, "success", type="move")
            assert t.ends[0].served == (served,)


async def test_an_outcome_may_come_long_after_the_place_is_another() -> None:
    async with table(PLACE) as t:
        await t.session.outcome("mira", "look", "success", type="use")
        for place, way in ((CELLAR, "cellar"), (HALL, "hall")):
            await asyncio.sleep(10)
            t.session.update(now(location=place))
            await asyncio.sleep(10)
            await t.session.outcome("mira", way, "success", type="move")
        assert [each.served for each in t.ends[1:]] == [(Served.HIT,)] * 2


async def test_an_ambush_behind_the_door_is_another_moment() -> None:
    async with table(PLACE) as t:
        await asyncio.sleep(10)
        t.session.update(now(location=CELLAR, mode="combat"))
        await t.session.outcome("mira", "cellar", "success", type="move")
        assert t.ends[0].served == (Served.MISS,)


@pytest.mark.parametrize(
    ("before", "after", "other"),
    [
        ({"round": 0}, {"round": 1}, True),
        ({"round": 0}, {"round": 0.0}, False),
        ({"combat": {"round": 0}}, {"combat": {"round": 2}}, True),
        ({"map": 1}, {"map": 2}, False),
        ({"in_combat": False}, {"in_combat": True}, True),
        ({"in_combat": ""}, {"in_combat": "no"}, False),
        ({}, {"mode": "Explore"}, False),
        ({}, {"mode": "battle"}, True),
    ],
)
async def test_what_makes_another_kind_of_moment(before: Any, after: Any, other: bool) -> None:
    calm = {key: value for key, value in PLACE.items() if key != "mode"}
    async with table({**calm, **before}) as t:
        await asyncio.sleep(10)
        t.session.update({**calm, **after})
        await t.session.outcome("mira", "cellar", "success", type="move")
        assert t.ends[0].served == (Served.MISS if other else Served.HIT,)


async def test_once_there_what_lies_behind_its_own_exits_is_prepared() -> None:
    async with table(PLACE) as t:
        for place, way in ((CELLAR, "cellar"), (HALL, "hall"), (CELLAR, "cellar"), (HALL, "hall")):
            await asyncio.sleep(10)
            await t.session.outcome("mira", way, "success", type="move", state=now(location=place))
        assert [each.served for each in t.ends] == [(Served.HIT,)] * 4


async def test_of_a_talk_without_lines_what_was_said_is_answered() -> None:
    async with table(now(mode="dialogue", dialogue="Old Bram")) as t:
        await asyncio.sleep(10)
        assert not t.prepared
        t.session.say("mira", "Who rang the bell?")
        await asyncio.sleep(10)
        given: dict[str, Any] = {"type": "talk", "target": "bram"}
        await t.session.outcome("mira", "Who rang the bell?", "success", **given)
        await asyncio.sleep(10)
        await t.session.outcome("mira", "Who rang the bell?", "success", **given)  # and once more
        assert [each.served for each in t.ends] == [(Served.HIT,)] * 2
    async with table(now(mode="dialogue", dialogue="Old Bram"), listen=False) as t:
        t.session.say("mira", "Who rang the bell?")
        await asyncio.sleep(10)
        assert not t.prepared


async def test_who_has_the_turn_outside_of_combat_goes_where_the_place_leads() -> None:
    async with table(now(in_combat=False)) as t:
        t.session.begin_turn("mira")
        await asyncio.sleep(10)
        assert ("mira", "Cellar", None, "success") in t.wanted
        t.session.begin_turn("mira", options=[{"type": "use", "name": "wait"}])  # the game knows
        await asyncio.sleep(10)
        assert {each[1] for each in t.wanted} == {"wait"}


async def test_nothing_is_prepared_of_a_way_that_the_party_does_not_see() -> None:
    def view(state: dict[str, Any], viewer: str | None) -> Any:
        state["location"]["exits"] = state["location"]["exits"][1:]
        return state

    async with table(PLACE, view=view) as t:
        await asyncio.sleep(10)
        assert {each[1] for each in t.wanted} == {"oak door"}


# ── what is likely ───────────────────────────────────────────────────────────────────────────────


def played(*inputs: ev.Input) -> list[Candidate]:
    world, foresight = World(), Foresight()
    for event in inputs:
        after = advance(world, Numbered(world.number + 1, event, event.t))
        foresight.on_world(world, after)
        world = after
    return foresight.candidates(classify(world))


def went(actor: str, way: str, **more: Any) -> ev.Outcome:
    action = {"type": "move", "name": way, **more}
    return ev.Outcome(1.0, (ev.Result("success"),), None, None, actor, action)


def said(actor: str, line: str, target: str | None = None) -> ev.Outcome:
    action = {"type": "talk", "name": line, **({"target": target} if target else {})}
    return ev.Outcome(1.0, (ev.Result("success", target),), None, None, actor, action)


def at(place: Any = HALL, **more: Any) -> ev.State:
    tom = {"name": "Tom", "side": "party", "hp": 9, "max_hp": 9}
    return ev.State(1.0, now(location=place, actors={**PLACE["actors"], "tom": tom}, **more))


def test_at_first_all_ways_are_alike_and_all_who_may_go() -> None:
    found = played(at())
    assert {(each.declared.actor, each.declared.action["name"]) for each in found} == {
        (who, way) for who in ("mira", "tom") for way in ("Cellar", "oak door")
    }
    assert len({each.probability for each in found}) == 1
    assert {each.source for each in found} == {OFFERED}
    assert math.fsum(each.probability for each in found) <= 1
    down = {**PLACE["actors"], "tom": {"name": "Tom", "side": "party", "hp": 0, "max_hp": 9}}
    assert {each.declared.actor for each in played(ev.State(1.0, now(actors=down)))} == {"mira"}


def test_who_leads_and_where_it_goes_is_learned() -> None:
    inputs: list[ev.Input] = [at()]
    for _ in range(6):
        inputs += [went("tom", "Cellar"), at(CELLAR), went("tom", "Hall"), at()]
    first, *others = played(*inputs)
    assert (first.declared.actor, first.declared.action["name"]) == ("tom", "Cellar")
    assert first.probability > 0.5 > 2 * max(each.probability for each in others)
    away = [went("tom", "wait", type="use") for _ in range(30)]  # nobody goes anywhere now
    assert played(*inputs, *away)[0].probability < 0.2


@pytest.mark.parametrize(
    ("exits", "said", "expected"),
    [
        ([{"name": "door", "to": "yard"}], "yard", {"name": "yard"}),
        ([{"name": "door", "to": "yard"}], "Door", {"name": "door"}),
        ({"north": "Yard"}, "north", {"name": "north"}),
        ({"north": {"to": "Yard"}}, "Yard", {"name": "Yard"}),
        (["Yard"], "walk", {"name": "walk", "target": "Yard"}),
    ],
)
def test_ways_are_called_as_the_game_calls_them(exits: Any, said: str, expected: Any) -> None:
    place = {"id": "x", "name": "X", "exits": exits}
    more = {"target": "yard"} if "target" in expected else {}
    [found] = {
        tuple(each.declared.action.items())
        for each in played(at(place), went("mira", said, **more))
    }
    assert dict(found) == {"type": "move", **expected}


@pytest.mark.parametrize("target", [None, "bram", "Old Bram"])
def test_lines_are_said_to_whom_the_game_says_they_are(target: str | None) -> None:
    found = played(at(mode="dialogue", dialogue=TALK), said("mira", "Hello", target))
    assert {each.declared.action.get("target") for each in found} == {target}
    found = played(at(mode="dialogue", dialogue={**TALK, "npc": "Tom"}))
    assert {each.declared.actor for each in found} == {"mira"}  # nobody asks himself


def test_what_was_done_outside_of_combat_is_no_option_in_one() -> None:
    fight = at(mode="combat")
    found = played(at(), went("mira", "Cellar"), fight, ev.Turn(1.0, "t", "mira"))
    assert not found


@pytest.mark.parametrize(
    ("exits", "expected"),
    [
        (None, []),
        ("north", []),
        ([7, {}, "", {"to": 7}], []),
        (["a", {"name": "b", "to": "c", "id": "d"}], ["a", "b"]),
        ({"north": "Yard", "south": True, "east": None, "up": {"id": "u"}}, ["Yard", None, "u"]),
    ],
)
def test_the_ways_of_a_place(exits: Any, expected: Any) -> None:
    for state in ({"location": {"exits": exits}}, {"location": "X", "exits": exits}):
        assert [way.room for way in ways_of(state)] == expected


# ── what the prompts have ────────────────────────────────────────────────────────────────────────


class Slow:
    """A source of content that takes its time."""

    def __init__(self, wait: float, **content: Any) -> None:
        self.content = foretell.ContentMapping(content)
        self.wait = wait

    async def find(self, ask: foretell.Ask) -> Any:
        await asyncio.sleep(self.wait)
        return await self.content.find(ask)


@pytest.mark.parametrize("wait", [0.0, 0.5, 1.5])
async def test_a_prompt_has_the_content_of_the_room_behind_the_exit(wait: float) -> None:
    lore = {"Cellar": "Rats.", "oak door": "Rain.", "Hall": "Banners."}
    place = now(location={**HALL, "exits": [{"name": "Cellar", "description": "Stairs."}]})
    given = {"content": Slow(wait, lore=lore), "prompts": foretell.DefaultPrompts()}
    async with table(place, **given) as t:
        await asyncio.sleep(10)
        told = [each.request.messages for each in t.prepared]
        assert told
        for scene, facts in told:
            assert ("Rats." in scene.text) is (wait < 1)  # and no longer than that is waited
            assert ("Stairs." in facts.text) is ('"success"' in facts.text)
        t.session.update(now(location=CELLAR))
        t.session.outcome("mira", "cellar", "success", type="move")
        await asyncio.sleep(10)
        assert t.ends[0].served == (Served.HIT,)


async def test_a_view_of_content_is_asked_of_a_room_by_its_name() -> None:
    def hidden(kind: str, name: str, value: Any, viewer: str | None) -> Any:
        return None if name == "Cellar" else value

    content = foretell.ContentMapping({"lore": {"Cellar": "Rats.", "oak door": "Rain."}})
    given = {"content": content, "content_view": hidden, "prompts": foretell.DefaultPrompts()}
    async with table(PLACE, **given) as t:
        await asyncio.sleep(10)
        told = [each.request.messages[0].text for each in t.prepared]
        assert len([each for each in told if "Rain." in each]) == len(told) / 2
        assert not [each for each in told if "Rats." in each]


async def test_a_prompt_has_the_voice_of_who_answers_and_says_so() -> None:
    content = foretell.ContentMapping({"voice": {"Old Bram": "A rasp."}})
    given: dict[str, Any] = {"content": content, "prompts": foretell.DefaultPrompts()}
    async with table(DIALOGUE, **given) as t:
        await asyncio.sleep(10)
        told = [each.request.messages for each in t.prepared]
        assert told and all("A rasp." in scene.text for scene, _ in told)
        answered = [facts.text for _, facts in told if '"answers":"Old Bram"' in facts.text]
        assert len(answered) == 2 and all("in the voice" in each for each in answered)
        assert all('"topic":"the bell"' in facts.text for _, facts in told)


def test_the_narrator_describes_the_room_and_answers_for_who_is_asked() -> None:
    for seed in range(8):
        story = narrated(seed, PLACE, {"type": "move", "name": "cellar"}, "success")
        assert "Cellar" in story and "Hall" not in story, story
        story = narrated(seed, DIALOGUE, {"type": "talk", "name": "Farewell"}, "success")
        assert "Old Bram" in story and "bell" in story, story


def narrated(seed: int, state: Any, action: Any, result: str) -> str:
    world = advance(World(), Numbered(1, ev.State(0.0, state), 0.0))
    declared = Declared("mira", action, "", {})
    account = Account.of_variant(classify(world), declared, None, result, part=False)
    scene, facts = foretell.DefaultPrompts()(classify(world), declared, account, "", {}).messages
    return tell(facts.text, scene.text, seed=seed).text


# ── recorded ─────────────────────────────────────────────────────────────────────────────────────


async def sitting(folder: Path, rounds: int) -> dict[str, Any]:
    """So many walks to and fro, and talks, of a session that goes on from its log."""
    model = ScriptedModel(
        lambda request, number: Script({"text": f"So it is, {number}."}, ttft=1.0)
    )
    settings = {"intensity": "aggressive", "log_dir": str(folder)}
    content: dict[str, Any] = (
        {} if folder.name == "two" else {"content": Slow(0.3, lore={"Cellar": "Rats."})}
    )
    async with foretell.Game(settings, model=model, **content) as game:
        session = await game.session("night")
        for _ in range(rounds):
            session.update(PLACE)
            await asyncio.sleep(10)
            await session.outcome(
                "mira", "cellar", "success", type="move", state=now(location=CELLAR)
            )
            await asyncio.sleep(0.7)
            session.update(DIALOGUE)
            await asyncio.sleep(10)
            await session.outcome("mira", "farewell", "success", type="talk", target="bram")
        session.update(PLACE)
        await asyncio.sleep(10)
        return session.report()


def lines(path: Path, kind: str) -> list[dict[str, Any]]:
    return [each.data for each in read(path) if each.kind == kind]


@pytest.mark.parametrize("name", ["one", "two"])
def test_what_is_open_replays_line_by_line(tmp_path: Path, name: str) -> None:  # G9
    report = run_virtual(sitting(tmp_path / name, 2))
    assert report["served"]["hit"] == 4
    run_virtual(sitting(tmp_path / name, 1))
    assert verify(tmp_path / name / "night.jsonl", heavy=True).difference is None


async def test_a_session_that_goes_on_foresees_the_same(tmp_path: Path) -> None:
    await sitting(tmp_path / "two" / "x", 3)
    await sitting(tmp_path / "two" / "y", 2)
    await sitting(tmp_path / "two" / "y", 1)
    told = [
        {name: line[name] for name in ("actor", "by", "candidates")}
        for part in ("x", "y")
        for line in lines(tmp_path / "two" / part / "night.jsonl", "~foreseen")[-1:]
    ]
    assert told[0] == told[1] and told[0]["candidates"]


async def test_what_is_open_is_bound_by_what_a_night_may_cost() -> None:
    prices = {"main": Price(3.0, 15.0, 0.3, 3.75), "small": Price(3.0, 15.0, 0.3, 3.75)}
    spent = []
    for spend in ("none", 0.5):
        given = {"main_model": "main", "small_model": "small", "spend": spend}
        async with table(PLACE, price_list=prices, **given) as t:
            for place, way in ((CELLAR, "cellar"), (HALL, "hall")) * 4:
                await asyncio.sleep(10)
                await t.session.outcome(
                    "mira", way, "success", type="move", state=now(location=place)
                )
            spent.append(t.session.report()["cost_usd"])
    assert spent[1] < spent[0] / 2


@pytest.mark.parametrize(
    ("after", "reason"),
    [
        (YARD, 'way ["oak door", "yard"]'),
        ("yard", 'way ["oak door", "yard"]'),
        ({"name": "CELLAR"}, 'way ["cellar"]'),
        ({"id": "attic", "name": "Attic"}, None),
        ({**HALL, "light": "dark"}, None),
        (None, None),
    ],
)
def test_which_way_has_led_to_another_place(after: Any, reason: str | None) -> None:
    assert way_taken({"location": HALL}, {"location": after}) == reason
    world = World()
    for number, place in enumerate((HALL, after), 1):
        event = ev.State(1.0, {"location": place})
        world = advance(world, Numbered(number, event, 1.0))
    whys = {because for path, because in world.fresh if path[0] == "location"}
    assert whys == {reason}
    for name, kind in (("Oak door", "move"), ("yard", "move"), ("yard", "talk"), ("door", "move")):
        own = action_key("mira", {"type": kind, "name": name})
        goes = reason is not None and kind == "move" and f'"{name.lower()}"' in reason
        assert goes_by(own, reason) is goes
    assert not goes_by("", reason) and not goes_by("of nobody", reason)


def test_an_oracle_knows_what_is_open() -> None:
    def ahead(name: str, kind: str, state: Any) -> list[float]:
        result = (ev.Result("success"),)
        action = {"type": kind, "name": name}
        inputs: list[ev.Input] = [ev.State(0.0, state)]
        inputs += [ev.Outcome(5.0, result, None, None, "mira", action)]
        return [*leads(inputs, Footprint()).values()]

    assert ahead("cellar", "move", PLACE) == [5.0]
    assert ahead("Farewell", "talk", DIALOGUE) == [5.0]
    assert ahead("attic", "move", PLACE) == ahead("Hello", "talk", DIALOGUE) == []
