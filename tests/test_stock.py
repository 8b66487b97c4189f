"""What had been prepared is there again when a session goes on from its log: timelines."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import StateError
from foretell.replay.verify import verify
from foretell.streams.log import read
from foretell.streams.models import Purpose, Request
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 30, "max_hp": 30, "ac": 15},
        "wolf": {"name": "Wolf", "side": "foes", "hp": 30, "max_hp": 30},
    },
}
RESULTS = 3  # hit, miss and critical


def text(request: Request, number: int) -> Script:
    return Script({"text": f"Text {number}.", "lines": [], "cues": []}, ttft=0.5, delay=0.01)


@asynccontextmanager
async def opened(
    folder: Path, **given: Any
) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = ScriptedModel(text)
    async with foretell.Game({"log_dir": str(folder), **given}, model=model) as game:
        session = await game.session("t")
        if not session.world.revision:
            session.update(STATE)
            session.begin_turn("mira", turn="t1")
        yield session, model


def asked(model: ScriptedModel) -> int:
    return len(model.asked(Purpose.PREFETCH))


async def aim(session: foretell.Session[Any], target: str) -> Any:
    action = session.declare("mira", "longsword", target=target, action_id="a1")
    await asyncio.sleep(3)
    return action


def stock_of(session: foretell.Session[Any]) -> list[Any]:
    """All that is kept: what for, where, of which turn, how often served; and its time."""
    shelves = session._pipeline.kept.store._shelves
    return [
        (each.id, each.level, each.turn, each.hits, each.offered, round(each.until, 5))
        for each in sorted(shelves, key=lambda each: each.seq)
    ]


def killed(path: Path, after: Callable[[dict[str, Any]], bool]) -> None:
    """The log as a kill leaves it just behind the last line of which this holds."""
    raw = path.read_bytes().splitlines(keepends=True)
    cut = [n for n, record in enumerate(read(path), 1) if after(dict(record.data))][-1]
    path.write_bytes(b"".join(raw[:cut]))


@pytest.mark.parametrize("crash", [True, False])
def test_what_was_prepared_is_asked_for_once_though_the_session_was_away(
    tmp_path: Path, crash: bool
) -> None:  # 0-38
    async def before() -> int:
        async with opened(tmp_path) as (session, model):
            await aim(session, "goblin")
            await aim(session, "wolf")
            return asked(model)

    async def after() -> None:
        async with opened(tmp_path) as (session, model):
            await asyncio.sleep(3)
            assert asked(model) == 0, "what the open action may bring is there"
            action = await aim(session, "goblin")
            assert asked(model) == 0, "and what was aimed at before"
            telling = await action.outcome("hit", damage=4)
            report = session.report()
            assert telling.text.startswith("Text") and len(model.streams) == 0
            assert report["served"]["hit"] == 1 and report["tokens"]["saved"] > 0
            assert report["stale"] == report["untrue"] == report["faults"] == 0

    assert run_virtual(before()) >= 2 * RESULTS
    path = tmp_path / "t.jsonl"
    if crash:
        killed(path, lambda line: line["kind"] == "~kept")
    run_virtual(after())
    assert verify(path, heavy=True).difference is None


def test_what_an_unexpected_change_made_untrue_stays_away(tmp_path: Path) -> None:  # G1
    audits = list[dict[str, Any]]()

    async def before() -> None:
        async with opened(tmp_path) as (session, _):
            await aim(session, "goblin")
            await aim(session, "wolf")
            other = deepcopy(STATE)
            other["actors"]["goblin"]["ac"] = 11
            session.update(other)
            session.update(STATE)  # as it was, but it is another moment
            await asyncio.sleep(1)
            audits.append(vars(session._pipeline.audit)["_changed"])

    async def after() -> None:
        async with opened(tmp_path) as (session, model):
            assert session._pipeline.audit._changed == audits[0] != {}
            await asyncio.sleep(3)
            assert asked(model) == 0, "the wolf is as it was"
            await aim(session, "goblin")
            assert asked(model) == RESULTS
            assert session.report()["stale"] == 0

    run_virtual(before())
    run_virtual(after())
    assert verify(tmp_path / "t.jsonl").difference is None


@pytest.mark.parametrize(("seconds", "there"), [(50, True), (70, False)])
def test_it_lives_by_the_time_of_the_log(tmp_path: Path, seconds: float, there: bool) -> None:
    async def before() -> None:
        async with opened(tmp_path, cache_ttl=60) as (session, _):
            await aim(session, "goblin")
            session.end_turn("t1")
            await asyncio.sleep(seconds)

    async def after() -> None:
        await asyncio.sleep(7 * 24 * 3600)
        async with opened(tmp_path, cache_ttl=60) as (session, _):
            assert len(stock_of(session)) == (RESULTS if there else 0)
            await asyncio.sleep(20)
            assert stock_of(session) == []

    run_virtual(before())
    run_virtual(after())
    assert verify(tmp_path / "t.jsonl").difference is None


def test_what_was_told_is_not_there_to_be_told_again(tmp_path: Path) -> None:  # G7
    async def before() -> None:
        async with opened(tmp_path) as (session, _):
            action = await aim(session, "goblin")
            await action.outcome("hit", damage=4)

    async def after() -> None:
        async with opened(tmp_path) as (session, _):
            told = [
                result for (key, _), *_ in stock_of(session) for result in orjson.loads(key)[3:]
            ]
            assert sorted(told) == ["critical", "miss"]

    run_virtual(before())
    run_virtual(after())


def test_what_a_shared_cache_had_is_there_without_it(redis: Any, tmp_path: Path) -> None:  # 2-38
    async def evening(folder: Path, **given: Any) -> int:
        async with opened(folder, **given) as (session, model):
            action = session.declare("mira", "longsword", target="goblin", action_id="a1")
            while len(stock_of(session)) < RESULTS:  # noqa: ASYNC110 - in real time
                await asyncio.sleep(0.01)
            if not given:
                await action.outcome("hit", damage=4)
            elif (cache := session._game.shared_cache()) is not None:
                await cache.flush()
            return len(model.streams)

    shared = {"cache_url": redis.url, "cache_timeout": 1.0}
    assert asyncio.run(evening(tmp_path / "one", **shared)) == RESULTS
    assert asyncio.run(evening(tmp_path / "other", **shared)) == 0
    redis.kill()
    assert asyncio.run(evening(tmp_path / "other")) == 0
    assert verify(tmp_path / "other" / "t.jsonl").difference is None


async def moves(session: foretell.Session[Any], rng: random.Random) -> None:
    """A game that prepares much, tells some of it, and changes its mind."""
    state, names = deepcopy(STATE), [*STATE["actors"]]
    for tick in range(25):
        await asyncio.sleep(rng.choice((0.1, 0.7, 3.0, 20.0)))
        what, who, whom = rng.random(), rng.choice(names), rng.choice(names)
        try:
            if what < 0.15:
                session.begin_turn(who)
            elif what < 0.5:
                session.declare(who, rng.choice(("bow", "axe")), target=whom, action_id=f"a-{who}")
            elif what < 0.6:
                session.action(f"a-{who}").outcome(rng.choice(("hit", "miss")), damage=tick)
            elif what < 0.7:
                session.retract(f"a-{who}")
            elif what < 0.9:
                state["actors"][who][rng.choice(("hp", "ac", "pos"))] = rng.randrange(9)
                session.update(state)
            else:
                session.rewind(rng.randrange(session.world.revision + 1))
        except StateError:
            pass
    await asyncio.sleep(30)


@pytest.mark.parametrize("seed", range(12))
def test_after_any_night_the_stock_is_as_it_was(tmp_path: Path, seed: int) -> None:  # G9
    rng = random.Random(seed)
    given = {
        "intensity": "aggressive",
        "hot_cache_size": rng.choice((2, 20)),
        "warm_cache_size": rng.choice((3, 50)),
        "cold_cache_size": rng.choice((2, 100)),
        "warm_cache_seconds": rng.choice((10, 900)),
    }
    kept, before = [0], list[Any]()

    async def play() -> None:
        for _ in range(4):
            async with opened(tmp_path, **given) as (session, _):
                assert stock_of(session) == before
                await moves(session, rng)
                before[:] = stock_of(session)
                kept.append(len(before))

    run_virtual(play())
    kinds = [record.kind for record in read(tmp_path / "t.jsonl")]
    assert max(kept) > 0 and kinds.count("~recalled") > 0
    assert verify(tmp_path / "t.jsonl").difference is None


def test_a_line_that_no_session_wrote_brings_nothing_back(tmp_path: Path) -> None:
    async def play(there: int) -> None:
        async with opened(tmp_path) as (session, _):
            assert len(stock_of(session)) == there
            await aim(session, "goblin")

    run_virtual(play(0))
    path = tmp_path / "t.jsonl"
    lines = [dict(record.data) for record in read(path)]
    slots = iter(([], ["t1", "[]", "goblin", "hit"], ["t1", '["mira"', "goblin", "hit"]))
    for line in lines:
        if line["kind"] == "~kept":
            line["slot"] = next(slots)
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    run_virtual(play(0))
