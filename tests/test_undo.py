"""Undo, tell again, and go on after a crash or a week: a session as it was, as timelines."""

from __future__ import annotations

import asyncio
import math
import os
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell import Served, StateError, replay
from foretell.replay.verify import verify
from foretell.streams import events as ev
from foretell.streams.log import LogError, read, to_event, validate
from foretell.streams.models import Purpose, Request
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 30, "max_hp": 30},
        "wolf": {"name": "Wolf", "side": "foes", "hp": 30, "max_hp": 30},
    },
}
OFF = {"intensity": "off"}


def numbered(request: Request, number: int) -> Script:
    """Each stream tells another text, slowly."""
    words = f"Text {number} of many words that take a while."
    return Script({"text": words, "lines": [], "cues": []}, ttft=0.5, delay=0.05)


def paced(request: Request, number: int) -> Script:
    """As :func:`numbered`, but no two streams come to anything at the same moment."""
    return replace(numbered(request, number), ttft=0.5 + number * 0.00137, delay=0.05003)


@asynccontextmanager
async def opened(
    model: ScriptedModel | None = None, **given: Any
) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = model or ScriptedModel(numbered)
    async with foretell.Game({**OFF, **given}, model=model) as game:
        session = await game.session("table")
        if not session.world.revision:
            session.update(STATE)
        yield session, model


def asked(model: ScriptedModel, number: int = -1) -> str:
    """All that a stream's prompt says."""
    return "\n".join(message.text for message in model.streams[number].request.messages)


def hit(session: foretell.Session[Any], **more: Any) -> foretell.Telling[Any]:
    return session.outcome("mira", "longsword", "hit", target="goblin", damage=4, **more)


# ── rewind ───────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_told_of_the_undone_stays_in_the_record_and_out_of_prompts() -> None:  # G7
    async with opened() as (session, model):
        await hit(session)
        await asyncio.sleep(1)
        back = session.world.revision
        await hit(session)
        session.rewind(back)
        await hit(session)
        assert "Text 1" in asked(model) and "Text 2" not in asked(model)
        assert [seen.undone for seen in session.transcript.tellings()] == [False, True, False]
        assert "Text 2" in session.transcript.text()
        session.rewind(back + 1)  # and forth again
        await hit(session)
        assert "Text 2" in asked(model) and "Text 3" not in asked(model)
        assert session.report()["outcomes"] == 4


async def test_a_telling_of_what_still_stands_is_told_on() -> None:  # G2
    async with opened() as (session, _):
        telling = hit(session)
        await asyncio.sleep(0.2)
        session.rewind(session.world.revision)
        assert (await telling).text.startswith("Text")
        undone = hit(session)
        await asyncio.sleep(0.2)
        session.rewind(session.world.revision - 1)
        with pytest.raises(foretell.TellingError, match="superseded"):
            await undone


async def test_one_that_is_heard_already_is_told_on_and_marked_undone() -> None:  # G7
    async with opened() as (session, _):
        back = session.world.revision
        telling = hit(session)
        await asyncio.sleep(0.8)
        session.rewind(back)
        assert (await telling).text.endswith("a while.")
        assert session.transcript.tellings()[0].undone and not session.transcript.memory(100)


async def test_without_a_log_too_far_back_is_said_at_once() -> None:
    async with opened(history_bytes=0) as (session, _):
        await asyncio.sleep(1)
        for n in range(200):
            session.update({**STATE, "tick": n})
        await asyncio.sleep(1)
        for to in (3, 0.5):
            with pytest.raises(StateError, match="further back than is kept"):
                session.rewind(to)
        telling = hit(session)
        await telling
        for n in range(200):
            session.update({**STATE, "tick": n})
        await asyncio.sleep(1)
        with pytest.raises(StateError, match="further back than is kept"):
            session.retell(telling)


async def test_with_a_log_nothing_is_too_far_back(tmp_path: Path) -> None:
    async with opened(history_bytes=0, log_dir=str(tmp_path)) as (session, _):
        for n in range(200):
            session.update({**STATE, "tick": n})
        await asyncio.sleep(1)
        session.rewind(3)
        await asyncio.sleep(1)
        assert session.world.state["tick"] == 1


@pytest.mark.real_time
async def test_what_the_disk_has_not_got_yet_is_written_first(tmp_path: Path) -> None:
    async with opened(history_bytes=0, log_dir=str(tmp_path), log_flush="end") as (session, _):
        for n in range(20):
            session.update({**STATE, "tick": n})
            await asyncio.sleep(0)
        session.rewind(3)
        await asyncio.sleep(0.05)
        assert session.world.state["tick"] == 1


# ── retell ───────────────────────────────────────────────────────────────────────────────────────


async def test_it_is_told_again_as_it_was_and_with_the_first_in_view() -> None:
    async with opened() as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        first = action.outcome("hit", damage=4)
        await first
        changed = deepcopy(STATE)
        changed["location"]["name"] = "Deep cellar"
        changed["actors"]["goblin"]["hp"] = 1
        session.update(changed)
        session.begin_turn("goblin")
        again = session.retell(action)
        assert (await again).text == "Text 2 of many words that take a while."
        prompt = asked(model)
        assert 'TOLD "Text 1 of many words' in prompt and "Tell it again" in prompt
        assert '"values":{"damage":4,"target_hp":26}' in prompt
        assert "Old mill" in prompt and "Deep cellar" not in prompt
        assert "story so far" not in prompt, "it goes before its first telling"
        assert again.id != first.id and again.ended.retells == first.id
        assert model.streams[-1].request.purpose is Purpose.FOREGROUND
        await hit(session)
        assert "Text 2" in asked(model) and "Text 1" not in asked(model)
        assert session.transcript.text().count("Text") == 3
        report = session.report()
        assert (report["outcomes"], sum(report["served"].values())) == (2, 2)
        assert report["retold"] == {**dict.fromkeys(report["served"], 0), "miss": 1}


@pytest.mark.parametrize("by", ["action", "id", "telling", "retelling"])
async def test_it_may_be_asked_for_in_any_way_and_again(by: str) -> None:
    async with opened() as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        first = action.outcome("hit", damage=4)
        second = session.retell(first)
        await second
        what: Any = {"action": action, "id": action.id, "telling": first, "retelling": second}[by]
        third = session.retell(what)
        await third
        assert third.ended.retells == second.ended.retells == first.id
        assert asked(model).count('TOLD "') == 2


async def test_a_version_that_is_undone_is_not_named_in_the_next() -> None:  # G7
    async with opened() as (session, model):
        first = hit(session)
        await first
        back = session.world.revision
        await session.retell(first)
        session.rewind(back)
        await session.retell(first)
        assert 'TOLD "Text 1' in asked(model) and "Text 2" not in asked(model)


async def test_an_outcome_nobody_declared_is_told_again_by_its_telling(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path)) as (session, _):
        telling = hit(session)
        await telling
        assert (await session.retell(telling)).text.startswith("Text 2")
    kinds = [record.data for record in read(tmp_path / "table.jsonl") if record.kind == "retell"]
    assert [line["action_id"] for line in kinds] == ["#2"]
    assert validate(tmp_path / "table.jsonl").errors == []


async def test_of_an_action_with_several_outcomes_the_last_is_told_again() -> None:
    async with opened() as (session, model):
        action = session.declare("mira", "flurry", target="goblin")
        first = action.outcome("miss")
        await first
        await action.outcome("hit", damage=3)
        await session.retell(action)
        assert '"result":"hit"' in asked(model)
        await session.retell(first)
        assert '"result":"miss"' in asked(model)


async def test_what_was_told_together_is_told_again_together() -> None:
    async with opened() as (session, model):
        hit(session)
        one, other = (
            session.outcome("mira", "bow", "miss", target=target) for target in ("goblin", "wolf")
        )
        await other
        assert one.id == other.id
        again = session.retell(other)
        await again
        assert asked(model).count('"result":"miss"') == 2
        assert again.ended.retells == one.id


@pytest.mark.parametrize(
    ("overlap", "first", "whole"),
    [("queue", "done", True), ("conflate", "done", True), ("interrupt", "superseded", False)],
)
async def test_while_the_first_is_told_the_overlap_policy_decides(
    overlap: str, first: str, whole: bool
) -> None:
    async with opened(overlap=overlap) as (session, model):
        telling = hit(session)
        await asyncio.sleep(0.65)
        again = session.retell(telling)
        assert (await again).text.startswith("Text 2")
        assert telling.ended.status == first
        assert ("take a while." in asked(model)) is whole and 'TOLD "Text 1' in asked(model)


async def test_before_the_first_has_begun_what_is_told_with_it_is_told_again_with_it() -> None:
    async with opened() as (session, model):
        hit(session)
        one = session.outcome("mira", "bow", "miss", target="goblin")
        again = session.retell(one)
        other = session.outcome("mira", "bow", "miss", target="wolf")
        await again
        assert one.id == other.id == again.ended.retells
        assert asked(model).count('"result":"miss"') == 2


async def test_one_that_is_cut_off_does_not_take_the_place_of_the_first() -> None:  # G7
    async with opened() as (session, model):
        telling = hit(session)
        await telling
        again = session.retell(telling)
        await asyncio.sleep(0.8)
        again.cancel()
        await hit(session)
        assert "Text 1" in asked(model) and "Text 2" not in asked(model)
        assert "Text 2" in session.transcript.text()


async def test_a_retelling_is_undone_by_itself() -> None:
    async with opened() as (session, model):
        telling = hit(session)
        await telling
        back = session.world.revision
        await session.retell(telling)
        session.rewind(back)
        await hit(session)
        assert "Text 1" in asked(model) and "Text 2" not in asked(model)


async def test_what_cannot_be_told_again_is_refused() -> None:
    async with opened() as (session, _), opened() as (other, _):
        action = session.declare("mira", "bow", target="wolf")
        elsewhere = hit(other)
        refused: list[tuple[Any, str]] = [
            ("nobody", "'nobody' is not known"),
            (action, "has no outcome yet"),
            (elsewhere, "is not of this session"),
            ("#1", "is not known"),
            ("#999999999999999999999", "is not known"),
            (3, "needs an action or its id"),
        ]
        for what, says in refused:
            with pytest.raises(StateError, match=says):
                session.retell(what)
        back = session.world.revision
        telling = action.outcome("hit")
        await telling
        session.rewind(back)
        await asyncio.sleep(0.1)
        for undone in (action, telling):
            with pytest.raises(StateError, match="undone by a rewind"):
                session.retell(undone)
        assert session.report()["faults"] == 0


async def test_what_is_too_far_back_when_its_turn_comes_is_told_as_it_was_asked_for() -> None:  # G2
    async with opened(history_bytes=0, overlap="queue") as (session, model):
        first = hit(session)
        await asyncio.sleep(0.1)
        again = session.retell(first)
        for n in range(400):
            session.update({**STATE, "tick": n})
        assert (await again).text.startswith("Text 2") and again.ended.retells == first.id
        assert '"damage":4' in asked(model) and session.report()["faults"] == 0


async def test_what_was_told_together_since_may_be_further_back_than_is_kept() -> None:  # G2
    async with opened(history_bytes=0) as (session, model):
        hit(session)
        one = session.outcome("mira", "bow", "miss", target="goblin")
        again = session.retell(one)
        other = session.outcome("mira", "bow", "miss", target="wolf")
        for n in range(400):
            session.update({**STATE, "tick": n})
        await again
        assert one.id == other.id == again.ended.retells
        assert asked(model).count('"result":"miss"') == 2


async def test_what_the_wish_itself_pushes_out_comes_to_an_end_and_is_no_fault() -> None:  # G2
    async with opened(history_bytes=0) as (session, _):
        telling = hit(session)
        await telling
        while True:
            try:
                again = session.retell(telling)
            except StateError:
                break
            await asyncio.wait([asyncio.ensure_future(again._whole())])
            session.update({**STATE, "tick": session.world.revision})
            await asyncio.sleep(0.1)
        assert session.report()["faults"] == 0


async def test_one_that_a_rewind_in_the_same_breath_undoes_comes_to_an_end() -> None:  # G2
    async with opened() as (session, _):
        back = session.world.revision
        telling = hit(session)
        await telling
        session.rewind(back)
        again = session.retell(telling)
        with pytest.raises(foretell.TellingError, match="superseded"):
            await again
        assert session.report()["outcomes"] == 1
        assert session.report()["retold"]["superseded"] == 1


async def test_no_change_of_the_world_makes_a_retelling_untrue() -> None:  # G1
    async with opened() as (session, model):
        telling = hit(session)
        await telling
        again = session.retell(telling)
        await asyncio.sleep(0.2)
        session.update({**STATE, "location": {"id": "cave"}})
        await again
        assert len(model.streams) == 2
        report = session.report()
        assert (report["stale"], report["untrue"]) == (0, 0)


async def test_a_failing_retelling_says_so_plainly_and_truly() -> None:  # G2
    model = ScriptedModel(iter([Script({"text": "Fine."}), Script(error=RuntimeError("no"))]))
    async with opened(model) as (session, _):
        telling = hit(session)
        await telling
        gone = deepcopy(STATE)
        del gone["actors"]["goblin"]
        session.update(gone)
        again = session.retell(telling)
        with pytest.raises(foretell.TellingError):
            await again
        assert again.ended.text == "Mira: longsword against Goblin: hit, 4 damage."


# ── a retelling prepared ahead ───────────────────────────────────────────────────────────────────


async def test_at_aggressive_it_is_prepared_once_and_served_as_a_hit() -> None:
    async with opened(intensity="aggressive") as (session, model):
        telling = hit(session)
        await telling
        await asyncio.sleep(20)
        spare = model.streams[-1]
        assert spare.request.purpose is Purpose.PREFETCH and 'TOLD "' in asked(model)
        streams = len(model.streams)
        again = session.retell(telling)
        await again
        assert again.ended.served == (Served.HIT,) and again.ended.latency == (0.0,)
        assert len(model.streams) == streams
        assert session.report()["retold"]["hit"] == 1
        third = session.retell(telling)
        await third
        assert third.ended.served == (Served.MISS,)
        assert (session.report()["stale"], session.report()["untrue"]) == (0, 0)


async def test_one_still_being_written_is_taken_over() -> None:
    async with opened(intensity="aggressive") as (session, model):
        telling = hit(session)
        await telling
        await asyncio.sleep(0.3)
        again = session.retell(telling)
        await again
        assert again.ended.served == (Served.IN_FLIGHT,)
        assert len(model.streams) == 2


@pytest.mark.parametrize(
    "move",
    [
        lambda s: s.begin_turn("goblin"),
        lambda s: s.declare("mira", "bow", target="wolf"),
        lambda s: s.rewind(s.world.revision),
    ],
    ids=["turn", "action", "rewind"],
)
async def test_it_is_dropped_as_soon_as_the_world_moves_on(move: Callable[[Any], Any]) -> None:
    async with opened(intensity="aggressive") as (session, model):
        await hit(session)
        await asyncio.sleep(0.3)
        spare = model.streams[-1]
        assert 'TOLD "' in asked(model) and spare.closed_at is None
        session.say("mira", "Again!")
        session.update({**STATE, "tick": 1})
        await asyncio.sleep(0.1)
        assert spare.closed_at is None
        moved = asyncio.get_running_loop().time()
        move(session)
        await asyncio.sleep(0.1)
        assert spare.closed_at == moved and not spare.finished


@pytest.mark.parametrize("intensity", ["off", "conservative"])
async def test_below_aggressive_none_is_prepared_for_who_asks_for_none(intensity: str) -> None:
    async with opened(intensity=intensity) as (session, model):
        await hit(session)
        await asyncio.sleep(20)
        assert len(model.streams) == 1


def ahead(model: ScriptedModel) -> int:
    """How many retellings were asked for before anybody wanted them."""
    return len([each for each in model.asked(Purpose.PREFETCH) if 'TOLD "' in str(each.request)])


async def test_who_asks_for_retellings_has_them_prepared(tmp_path: Path) -> None:
    given: dict[str, Any] = {"intensity": "conservative", "log_dir": str(tmp_path)}
    async with opened(**given) as (session, model):
        await hit(session)
        await asyncio.sleep(20)
        assert ahead(model) == 0
        await session.retell(hit(session))
        telling = hit(session)
        await telling
        await asyncio.sleep(20)
        again = session.retell(telling)
        await again
        assert again.ended.served == (Served.HIT,) and ahead(model) == 1
    async with opened(**given) as (session, model):  # it is known after a week, too
        for number in range(20):
            await hit(session)
            await asyncio.sleep(20)
            assert ahead(model) == min(number + 1, 19)  # till it is further back
        session.intensity = "off"
        await session.retell(hit(session))
        await hit(session)
        await asyncio.sleep(20)
        assert ahead(model) == 19


@pytest.mark.parametrize("at_once", [True, False])
async def test_who_asks_for_retellings_has_them_in_the_next_turn_too(at_once: bool) -> None:
    async with opened(intensity="conservative") as (session, model):
        await session.retell(hit(session))
        session.begin_turn("mira")
        telling = hit(session)
        if at_once:  # as games do, while it is being told
            session.begin_turn("goblin")
        await telling
        await asyncio.sleep(20)
        session.begin_turn("mira")
        session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(20)
        again = session.retell(telling)
        await again
        assert again.ended.served == (Served.HIT,) and ahead(model) == 1


async def test_what_else_happens_ends_the_wait_for_a_retelling() -> None:
    async with opened(intensity="conservative") as (session, model):
        await session.retell(hit(session))
        await hit(session)
        await asyncio.sleep(0.3)
        spare = model.asked(Purpose.PREFETCH)[-1]
        assert 'TOLD "' in str(spare.request) and spare.closed_at is None
        happened = asyncio.get_running_loop().time()
        hit(session)
        await asyncio.sleep(0.1)
        assert spare.closed_at == happened and not spare.finished


@pytest.mark.parametrize(("intensity", "prepared"), [("conservative", 0), ("aggressive", 1)])
async def test_outside_of_combat_it_is_prepared_at_aggressive_alone(
    intensity: str, prepared: int
) -> None:
    async with opened(intensity=intensity) as (session, model):
        session.update({**STATE, "mode": "exploration"})
        await session.retell(hit(session))
        before = ahead(model)
        await hit(session)
        await asyncio.sleep(20)
        assert ahead(model) - before == prepared


async def test_one_nobody_has_asked_for_is_dropped_with_the_intensity() -> None:
    async with opened(intensity="aggressive") as (session, model):
        await hit(session)
        await asyncio.sleep(0.3)
        assert ahead(model) == 1 and model.open
        session.intensity = "conservative"
        await asyncio.sleep(0.1)
        assert not model.open


async def test_it_takes_its_place_in_a_full_plan_by_its_value() -> None:
    async with opened(intensity="aggressive", max_variants=3) as (session, model):
        session.begin_turn("mira")
        for asked_before in (False, True):
            telling = hit(session)
            await telling
            await asyncio.sleep(20)
            assert ahead(model) == asked_before
            for _ in range(2):
                await session.retell(telling)


async def test_it_keeps_to_the_budget() -> None:
    async with opened(intensity="aggressive", max_prefetch_tokens=10) as (session, model):
        await hit(session)
        await asyncio.sleep(20)
        assert len(model.streams) == 1


# ── after a crash, or a week ─────────────────────────────────────────────────────────────────────


def as_is(session: foretell.Session[Any]) -> dict[str, Any]:
    """All of a session that must be there again."""
    world = session.world._replace(fresh=(), blows=(), warning=None, received=0.0)._asdict()
    for name in ("cause", "t", "number", "revision", "footprint"):
        del world[name]
    seen = [
        (each.telling, each.text, each.ended, each.undone, each.whole, each.retells, each.upto)
        for each in session.transcript.tellings()
    ]
    return {"world": plain(world), "seen": seen, "memory": session.transcript.memory(300)}


def plain(value: Any) -> Any:
    """A value as one can compare it."""
    if is_dataclass(value):
        return {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, dict):
        return {name: plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    if isinstance(value, float):
        return "nobody can tell" if math.isnan(value) else Number(value)
    return value


class Number(float):
    """A log has times in whole microseconds, so what lies between two of them may be one more."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, float) and math.isclose(self, other, rel_tol=0, abs_tol=2e-6)

    __hash__ = float.__hash__


def test_all_is_there_again(tmp_path: Path) -> None:
    run_virtual(again_and_again(tmp_path))
    path = tmp_path / "table.jsonl"
    lines = [record.data for record in read(path)]
    names = [line["generation"] for line in lines if line["kind"] == "~generation"]
    assert len(names) == len(set(names)), "no two streams of a log have one name"
    assert validate(path).errors == []
    assert verify(path).difference is None


async def again_and_again(tmp_path: Path) -> None:
    given: dict[str, Any] = {"log_dir": str(tmp_path), "intensity": "aggressive"}
    async with opened(**given) as (session, _):
        session.begin_turn("mira", turn="third")
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(2)
        telling = action.outcome("hit", damage=4, state={**STATE, "round": 2})
        await telling
        telling.delivered(6, "mira")
        await session.retell(telling)
        back = session.world.revision
        await hit(session)
        session.rewind(back)
        open_still = session.declare("mira", "bow", target="wolf")
        await asyncio.sleep(0.7)
    before, report, last = as_is(session), session.report(), session.generations.opened
    assert report["cost_usd"] > 0 and report["tokens"]["estimated"] and report["cancelled"]
    async with opened(**given) as (session, model):
        assert as_is(session) == before
        assert session.report() == report
        assert session.world.turn is not None and session.world.turn.turn == "third"
        again = session.retell(action.id)
        assert (await again).text
        assert int(session.generations.opened) > last
        (prompt,) = (
            asked(model, n) for n, _ in enumerate(model.streams) if "TOLD" in asked(model, n)
        )
        assert '"result":"hit"' in prompt and prompt.count('TOLD "') == 2
        assert await session.action(open_still.id).outcome("miss")
        assert session.report()["outcomes"] == report["outcomes"] + 1


def killed(path: Path, after: Callable[[dict[str, Any]], bool]) -> None:
    """The log as a kill leaves it just behind the first line of which this holds."""
    raw = path.read_bytes().splitlines(keepends=True)
    cut = next(n for n, record in enumerate(read(path), 1) if after(dict(record.data)))
    path.write_bytes(b"".join(raw[:cut]))


def test_what_was_being_told_at_a_crash_is_marked_as_cut(tmp_path: Path) -> None:
    run_virtual(crashed(tmp_path))
    path = tmp_path / "table.jsonl"
    assert validate(path).errors == []
    assert verify(path).difference is None
    cut = [record.data for record in read(path) if record.data.get("cut")]
    assert [line["outcomes"] for line in cut] == [[2], [3]]


async def crashed(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path)) as (session, _):
        telling = hit(session)
        session.outcome("mira", "bow", "miss", target="wolf")
        await telling
    path = tmp_path / "table.jsonl"
    killed(path, lambda line: line["kind"] == "~text")
    async with opened(log_dir=str(tmp_path)) as (session, model):
        seen = session.transcript.tellings()[0]
        assert seen.ended and not seen.whole and "Text 1".startswith(seen.text[:4])
        report = session.report()
        assert report["outcomes"] == report["served"]["superseded"] == 2
        assert report["tokens"]["estimated"] == report["tokens"]["foreground"] > 0
        again = session.retell("#2")
        await again
        assert 'TOLD "Text' in asked(model)
    for _ in range(2):
        async with opened(log_dir=str(tmp_path)) as (session, _):
            assert session.report()["outcomes"] == 2


async def test_a_session_that_is_open_already_is_not_opened_twice(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path)) as (session, _):
        with pytest.raises(LogError, match="is being written by this process; close"):
            async with opened(log_dir=str(tmp_path)):
                pass
        await hit(session)
    assert os.listdir(tmp_path) == ["table.jsonl"]
    async with opened(log_dir=str(tmp_path)) as (session, _):
        assert session.report()["outcomes"] == 1


OTHER = """
import sys, time
from foretell.streams.log_lock import LogLock
lock = LogLock(sys.argv[1])
print("held", flush=True)
time.sleep(600)
"""


@pytest.mark.real_time
def test_another_process_is_named_and_its_crash_frees_the_log(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    with subprocess.Popen(
        [sys.executable, "-c", OTHER, str(path)], stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "held\n"

        async def play() -> None:
            async with opened(log_dir=str(tmp_path)):
                pass

        with pytest.raises(LogError, match=f"is being written by process {other.pid}; close"):
            run_virtual(play())
        other.kill()
        other.wait()
        assert (tmp_path / "table.jsonl.lock").exists(), "as a crash leaves it"
        run_virtual(play())
        assert [each.name for each in tmp_path.iterdir()] == ["table.jsonl"]
        assert os.getpid() != other.pid


async def test_a_log_that_cannot_be_gone_on_with_is_let_go_of(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_bytes(b"nothing of ours\n")
    for _ in range(2):
        with pytest.raises(LogError, match="line 1"):
            async with opened(log_dir=str(tmp_path)):
                pass


# ── any night ────────────────────────────────────────────────────────────────────────────────────


async def moves(
    session: foretell.Session[Any], rng: random.Random, worlds: dict[int, Any], length: int
) -> None:
    """A game that goes back, forth and tells again as it likes."""

    def on_world(world: Any) -> None:
        worlds[world.revision] = world

    session._pipeline.world.subscribe(on_world)
    state = deepcopy(STATE)
    for tick in range(length):
        await asyncio.sleep(rng.choice((0.01, 1 / 3, 0.06, 0.7, 2.0)))
        what, who = rng.random(), rng.choice([*STATE["actors"]])
        whom = rng.choice([*STATE["actors"]])
        try:
            if what < 0.12:
                session.begin_turn(who)
            elif what < 0.3:
                session.declare(who, "bow", target=whom)
            elif what < 0.55:
                opened = [n for n, each in session.world.actions.items() if not each.resolved]
                named = [n for n in opened if not n.startswith("#")]
                result = rng.choice(("hit", "miss"))
                if named and rng.random() < 0.7:
                    telling = session.action(rng.choice(named)).outcome(result, damage=tick)
                else:
                    telling = session.outcome(who, "axe", result, target=whom, damage=tick)
                if rng.random() < 0.15:
                    telling.cancel()
            elif what < 0.7:
                state["actors"][who]["hp"] = rng.randrange(30)
                session.update({**state, "tick": tick})
            elif what < 0.85:
                world = session.world
                by_time = rng.random() < 0.5
                session.rewind(
                    rng.choice((world.t, rng.uniform(0, world.t)))
                    if by_time
                    else rng.randrange(world.revision + 1)
                )
            elif told := [*session.world.told]:
                session.retell(rng.choice(told))
        except StateError:
            pass


@settings(max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from(("conflate", "interrupt", "queue")),
    st.sampled_from((0, 5000, 4 * 1024 * 1024)),
)
def test_any_night_of_undoing_is_exact_validates_and_comes_again(
    tmp_path_factory: pytest.TempPathFactory, seed: int, overlap: str, kept: int
) -> None:
    """G9: live, from what is kept or from the log, resumed, validated and replayed: one meaning."""
    rng = random.Random(seed)
    folder = tmp_path_factory.mktemp("night")
    path = folder / "table.jsonl"
    worlds: dict[int, Any] = {}
    given = {
        "log_dir": str(folder),
        "overlap": overlap,
        "history_bytes": kept,
        "max_speculations": 16,
        "intensity": rng.choice(("off", "aggressive")),
    }

    async def play() -> None:
        for _ in range(3):
            async with opened(ScriptedModel(paced), **given) as (session, _):
                await moves(session, rng, worlds, 15)
                await session.close(rng.choice((0.3, 20.0)))
                report = session.report()
                assert sum(report["served"].values()) == report["outcomes"]
                assert (report["stale"], report["untrue"], report["faults"]) == (0, 0, 0)
                before = as_is(session)
            async with opened(ScriptedModel(paced), **given) as (session, _):
                assert as_is(session) == before
                assert session.report() == report

    run_virtual(play())
    assert validate(path).errors == []
    said = [event for record in read(path) if (event := to_event(record)) is not None]
    count = 0
    for number, event in enumerate(said, 1):
        if isinstance(event, ev.Rewind) and number in worlds:
            goal = event.to if isinstance(event.to, int) else _last(said[: number - 1], event.to)
            if goal in worlds or goal == 0:
                count += 1
                _same(worlds[number], worlds.get(goal))
    assert verify(path).difference is None
    _, inputs = replay.load(path)
    run = run_virtual(replay.play(inputs, foretell.Settings(), model=ScriptedModel(numbered)))
    assert run.report["faults"] == 0


def _last(said: list[ev.Input], to: float) -> int:
    return sum(1 for each in said if each.t <= round(to, 6))


def _same(now: Any, then: Any) -> None:
    """The world after a rewind is the one it goes back to, but for times of whole microseconds."""
    if then is None:
        assert (now.state, now.turn, now.actions, now.recent) == ({}, None, {}, ())
        return
    assert now.state == then.state
    assert (now.turn and now.turn.turn) == (then.turn and then.turn.turn)
    assert [*now.actions] == [*then.actions]
    for name in now.actions:
        one, other = now.actions[name], then.actions[name]
        assert (one.action, one.resolved, one.state) == (other.action, other.resolved, other.state)
    assert (now.outcomes, now.last) == (then.outcomes, then.last)
    assert plain(now.accounts) == plain(then.accounts)
    assert [each.results for each in now.recent] == [each.results for each in then.recent]
    assert (now.baseline, now.told) == (then.baseline, then.told)


async def test_a_replay_means_the_same_revisions_as_the_night_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that was closed in between has more inputs than its replay."""
    for _ in range(2):
        async with opened(log_dir=str(tmp_path)) as (session, _):
            session.update({**STATE, "tick": session.world.revision})
            await asyncio.sleep(1)
    async with opened(log_dir=str(tmp_path)) as (session, _):
        telling = hit(session)
        await telling
        session.update({**STATE, "tick": "late"})
        await asyncio.sleep(1)
        session.rewind(4)
        await asyncio.sleep(1)
        tick = session.world.state["tick"]
        session.rewind(session.world.revision - 1)
        await asyncio.sleep(1)
        await session.retell(telling)
    _, inputs = replay.load(tmp_path / "table.jsonl")
    found: list[Any] = []
    original = foretell.Session.close

    async def close(session: Any, drain: float = 5.0) -> None:
        found.append(session.world)
        await original(session, drain)

    monkeypatch.setattr(foretell.Session, "close", close)
    for speed in (None, 2.0):
        run = await replay.play(
            inputs, foretell.Settings(), model=ScriptedModel(numbered), speed=speed
        )
        assert run.report["retold"]["miss"] == 1, speed
        assert found.pop().state["tick"] == "late" and tick == 3


def test_a_resumed_session_prepares_at_once_what_may_come(tmp_path: Path) -> None:
    run_virtual(closed_and_opened_again(tmp_path))
    assert verify(tmp_path / "table.jsonl").difference is None


async def closed_and_opened_again(tmp_path: Path) -> None:
    model = ScriptedModel()
    async with foretell.Game({"log_dir": str(tmp_path)}, model=model) as game:
        session = await game.session("table")
        session.update(STATE)
        session.begin_turn("mira")
        session.declare("mira", "axe", target="goblin")
        await asyncio.sleep(5)
    async with foretell.Game({"log_dir": str(tmp_path)}, model=model) as game:
        session = await game.session("table")
        await asyncio.sleep(5)
        (action_id,) = session.world.actions
        telling = session.action(action_id).outcome("hit", damage=1)
        await telling
        assert telling.ended is not None and telling.ended.served == (Served.HIT,)
