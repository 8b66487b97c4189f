"""What was prepared and not told is kept, and found again for the very same moment: timelines."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from redis import Redis

import foretell
from foretell.replay.verify import verify
from foretell.sinks.store_cold import MemoryCold
from foretell.streams import events as ev
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


class Table:
    """A session, and how many texts its model was asked for ahead."""

    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session = session
        self.model = model

    @property
    def asked(self) -> int:
        return len(self.model.asked(Purpose.PREFETCH))

    @property
    def requests(self) -> list[Request]:
        return [each.request for each in self.model.asked(Purpose.PREFETCH)]

    def begin(self) -> None:
        """The same turn anew, as an imported log may say it."""
        self.session.play(ev.Turn(self.session._pipeline.inputs.now, "t1", "mira"))

    @property
    def kept(self) -> Any:
        return self.session._pipeline.kept.store

    async def aim(self, target: str | None, action_id: str = "a1") -> Any:
        """Mira aims at somebody, or at nobody; all that asks for is prepared."""
        if target is None:
            self.session.retract(action_id)
            action = None
        else:
            action = self.session.declare("mira", "longsword", target=target, action_id=action_id)
        await asyncio.sleep(3)
        return action


@asynccontextmanager
async def table(prompts: Any = None, **settings: Any) -> AsyncIterator[Table]:
    model = ScriptedModel(text)
    game = foretell.Game(settings, model=model, prompts=prompts)
    async with game, await game.session("t") as session:
        session.update(STATE)
        session.begin_turn("mira", turn="t1")
        yield Table(session, model)


def changed(**goblin: Any) -> dict[str, Any]:
    state = deepcopy(STATE)
    state["actors"]["goblin"] |= goblin
    return state


async def test_another_target_and_back_asks_for_nothing_again() -> None:
    async with table() as t:
        await t.aim("goblin")
        before = t.asked
        await t.aim("wolf")
        assert t.asked == before + RESULTS
        action = await t.aim("goblin")
        assert t.asked == before + RESULTS
        telling = await action.outcome("hit", damage=4)
        assert telling.text.startswith("Text") and t.session.report()["served"]["hit"] == 1
        assert t.session.report()["stale"] == t.session.report()["untrue"] == 0


async def test_what_was_taken_back_and_declared_anew_is_ready() -> None:
    async with table() as t:
        await t.aim("goblin")
        before = t.asked
        await t.aim(None)
        after = t.asked
        await t.aim("goblin", "a2")
        assert t.asked == after >= before


async def test_a_turn_that_is_begun_anew_finds_what_was_prepared() -> None:
    async with table() as t:
        await t.aim("goblin")
        before = t.asked
        t.session.end_turn("t1")
        await asyncio.sleep(1)
        t.begin()
        await t.aim("goblin", "a2")
        assert t.asked == before


async def test_a_b_a_is_another_moment_if_the_change_was_unexpected() -> None:  # G1, 0-8
    async with table() as t:
        await t.aim("goblin")
        await t.aim("wolf")
        before = t.asked
        t.session.update(changed(ac=11))
        t.session.update(STATE)
        await t.aim("goblin")
        assert t.asked == before + RESULTS
        assert t.kept.stats().evictions["changed"] == RESULTS


async def test_an_expected_change_leaves_what_was_kept_good() -> None:  # G1
    async with table() as t:
        await t.aim("goblin")
        await t.aim("wolf")
        before = t.asked
        wolf = deepcopy(STATE)
        wolf["actors"]["wolf"]["hp"] = 29
        t.session.update(wolf)
        await t.aim("goblin")
        assert t.asked == before


async def test_after_an_outcome_the_story_is_another() -> None:
    async with table() as t:
        await t.aim("wolf", "a0")
        action = await t.aim("goblin")
        await action.outcome("miss")
        t.session.end_turn("t1")
        t.begin()
        hits = t.kept.stats().hits
        await t.aim("wolf", "a2")
        assert t.kept.stats().hits == hits


async def test_what_was_told_is_not_told_again() -> None:
    async with table() as t:
        action = await t.aim("goblin")
        first = await action.outcome("hit", damage=4)
        assert t.kept.stats().evictions["consumed"] == 1
        again = await t.session.declare("mira", "longsword", target="goblin").outcome("hit")
        assert first.text != again.text


async def test_what_a_viewer_has_part_of_is_not_kept() -> None:  # G1
    async with table() as t:
        await t.aim("goblin")
        keeper = t.session._pipeline.kept
        generation = t.session._pipeline.generations.live[0]
        scene = t.session._pipeline._scene
        assert scene is not None
        variant = t.session._pipeline._plan(scene)[0]
        request = generation.request
        t.kept.clear()
        keeper.stock.ids.clear()
        keeper.keep(variant, request, generation)
        assert len(t.kept) == 1
        t.kept.clear()
        keeper.stock.ids.clear()
        generation.bind()
        keeper.keep(variant, request, generation)
        assert len(t.kept) == 0


async def test_what_is_kept_expires_after_its_turn_and_not_before() -> None:  # 0-12, 0-14
    async with table(cache_ttl=60) as t:
        await t.aim("goblin")
        await t.aim("wolf")
        await asyncio.sleep(3600)
        before = t.asked
        await t.aim("goblin")
        assert t.asked == before, "the turn is still open"
        t.session.end_turn("t1")
        await asyncio.sleep(59)
        assert len(t.kept) == 2 * RESULTS
        await asyncio.sleep(2)
        assert len(t.kept) == 0 and t.kept.stats().evictions["expired"] == 2 * RESULTS


async def test_what_is_kept_is_bounded() -> None:  # G3
    async with table(hot_cache_size=1, warm_cache_size=4, cold_cache_size=2) as t:
        for number in range(10):
            await t.aim("goblin" if number % 2 else "wolf", f"a{number}")
        assert len(t.kept) <= 7
        assert len(t.session._pipeline.kept.stock.ids) <= 256


async def test_the_end_of_the_session_clears_what_is_hot() -> None:  # 1-39
    async with table() as t:
        await t.aim("goblin")
        await t.aim("wolf")
        await t.aim("goblin")
        assert t.kept.stats().layers["hot"].entries == RESULTS
        await t.session.close()
        assert t.kept.stats().layers["hot"].entries == 0


def test_a_recall_is_recorded_and_replays_line_by_line(tmp_path: Path) -> None:  # G9
    async def play() -> None:
        async with table(log_dir=str(tmp_path)) as t:
            await t.aim("goblin")
            await t.aim("wolf")
            action = await t.aim("goblin")
            await action.outcome("hit", damage=4)
            t.session.end_turn("t1")
            await asyncio.sleep(70)

    run_virtual(play())
    log = tmp_path / "t.jsonl"
    kinds = [record.kind for record in read(log)]
    assert kinds.count("~recalled") == RESULTS
    timers = [record.data["name"] for record in read(log) if record.kind == "~timer"]
    assert timers.count("kept") == 1
    walked = verify(log, heavy=True)
    assert walked.difference is None and walked.lines > 50


def quick(request: Request, number: int) -> Script:
    return Script({"text": f"Text {number}.", "lines": [], "cues": []}, ttft=0, delay=0)


async def evening(state: dict[str, Any], told: bool = False, **settings: Any) -> tuple[int, str]:
    """The same evening again, in another process; how many texts were asked for ahead."""
    model = ScriptedModel(quick)
    async with foretell.Game(settings, model=model) as game, await game.session("t") as session:
        session.update(state)
        session.begin_turn("mira", turn="t1")
        action = session.declare("mira", "longsword", target="goblin", action_id="a1")
        kept = session._pipeline.kept.store
        while len(kept) < RESULTS:  # noqa: ASYNC110 - in real time, for the server is real
            await asyncio.sleep(0.01)
        text = (await action.outcome("hit", damage=3)).text if told else ""
        cache = game.shared_cache()
        if cache is not None:
            await cache.flush()
        return len(model.asked(Purpose.PREFETCH)), text


def test_a_process_that_takes_a_session_over_has_what_was_prepared(
    redis: Any, tmp_path: Path
) -> None:  # 2-38, G1, G9
    shared = {"cache_url": redis.url, "cache_timeout": 1.0}
    assert asyncio.run(evening(STATE, **shared))[0] == RESULTS
    other = asyncio.run(evening(changed(ac=11), **shared))
    assert other[0] == RESULTS, "the goblin is another"
    assert asyncio.run(evening(STATE, style="terse", **shared))[0] == RESULTS
    again = asyncio.run(evening(changed(ac=11), told=True, log_dir=str(tmp_path), **shared))
    assert again[0] == 0 and again[1].startswith("Text")
    redis.kill()
    log = tmp_path / "t.jsonl"
    assert redis.url.encode() not in log.read_bytes()
    contents = [record.data["found"] for record in read(log) if record.kind == "~content"]
    assert len([found for found in contents if found]) == RESULTS
    walked = verify(log, heavy=True)
    assert walked.difference is None and walked.lines > 20


async def test_a_session_says_what_its_shared_cache_has_met() -> None:
    settings = {"cache_url": "redis://127.0.0.1:1/0"}
    async with foretell.Game(settings) as game, await game.session("t") as session:
        shared = session.cache_status()["shared"]
        assert (shared["kind"], shared["where"], shared["found"]) == ("redis", "127.0.0.1:1/0", 0)
    async with foretell.Game() as game, await game.session("t") as session:
        assert "shared" not in session.cache_status()


def test_a_shared_cache_that_is_not_there_costs_no_text(tmp_path: Path) -> None:  # G10
    shared = {"cache_url": "redis://127.0.0.1:1/0", "log_dir": str(tmp_path)}
    asked, text = asyncio.run(evening(STATE, told=True, **shared))
    assert asked == RESULTS and text.startswith("Text")
    assert verify(tmp_path / "t.jsonl").difference is None


def test_what_expires_in_real_time_expires_at_the_same_lines_again(tmp_path: Path) -> None:  # G9
    brief = {"cache_ttl": 1.5, "hot_cache_seconds": 0.2, "warm_cache_seconds": 0.3}

    async def play() -> None:
        model = ScriptedModel(quick)
        settings = {"log_dir": str(tmp_path), **brief}
        async with foretell.Game(settings, model=model) as game, await game.session("t") as session:
            session.update(STATE)
            for target in ("goblin", "wolf", "goblin", "wolf"):
                session.declare("mira", "longsword", target=target, action_id="a1")
                await asyncio.sleep(0.15)
            await asyncio.sleep(0.5)
            session.declare("mira", "bow", target="goblin", action_id="a2")
            await asyncio.sleep(1.5)

    asyncio.run(play())
    log = tmp_path / "t.jsonl"
    kinds = [record.kind for record in read(log)]
    assert kinds.count("~recalled") == 2 * RESULTS
    assert [r.data["name"] for r in read(log) if r.kind == "~timer"].count("kept") > 0
    assert verify(log, heavy=True).difference is None


async def story(past: str, url: str) -> tuple[int, str]:
    """One evening of a session called t, in which the wolf was told of first."""

    def words(request: Request, number: int) -> Script:
        return Script({"text": f"{past} {number}.", "lines": [], "cues": []}, ttft=0, delay=0)

    model = ScriptedModel(words)
    settings = {"cache_url": url, "cache_timeout": 1.0}
    async with foretell.Game(settings, model=model) as game, await game.session("t") as session:
        session.update(STATE)
        session.begin_turn("mira", turn="t1")
        await session.declare("mira", "longsword", target="wolf", action_id="a0").outcome("miss")
        before = len(model.asked(Purpose.PREFETCH))
        action = session.declare("mira", "longsword", target="goblin", action_id="a1")
        await asyncio.sleep(0.7)
        asked = len(model.asked(Purpose.PREFETCH)) - before
        told = (await action.outcome("hit", damage=3)).text
        cache = game.shared_cache()
        assert cache is not None
        await cache.flush()
        return asked, told


def test_another_story_of_the_same_name_gets_none_of_its_texts(redis: Any) -> None:  # G1, 0-8
    asyncio.run(story("The mill burns", redis.url))
    asked, told = asyncio.run(story("The mill floods", redis.url))
    assert told.startswith("The mill floods") and asked == RESULTS


async def test_turns_of_one_name_share_only_what_they_would_ask_for_alike() -> None:  # 0-8
    def graphic(scene: Any, action: Any, outcome: Any, memory: str, content: Any) -> str:
        return f"The goblin: {scene.world.state['actors']['goblin']['hp']} left"

    async with table(graphic) as t:
        await t.aim("goblin")
        t.session.end_turn("t1")
        t.session.begin_turn("wolf", turn="t2")
        bite = t.session.declare("wolf", "bite", target="goblin", action_id="b1")
        t.session.update(changed(hp=2), because=bite)
        t.session.end_turn("t2")
        before = t.asked
        t.begin()
        await t.aim("goblin", "a2")
        assert t.asked > before
        assert all("30 left" in each.messages[0].text for each in t.requests[:before])
        assert all("2 left" in each.messages[0].text for each in t.requests[before:])
        assert t.kept.stats().hits == 0


class Slow(MemoryCold):
    """A shared cache that takes its time and has nothing; what happens meanwhile is told."""

    shared = True

    def __init__(self, meanwhile: Callable[[], object] = lambda: None) -> None:
        super().__init__()
        self.meanwhile = meanwhile
        self.asked: list[str] = []

    async def fetch(self, name: str) -> Any:
        self.asked.append(name)
        self.meanwhile()
        await asyncio.sleep(0.03)


@asynccontextmanager
async def slow_table(cache: Slow, prompts: Any = None) -> AsyncIterator[Table]:
    model = ScriptedModel(text)
    game = foretell.Game({"cache_url": "redis://nowhere"}, model=model, prompts=prompts)
    game._cold = cache
    async with game, await game.session("t") as session:
        session.update(STATE)
        session.begin_turn("mira", turn="t1")
        yield Table(session, model)


async def test_a_request_is_made_once_though_a_shared_cache_is_asked_first() -> None:
    made: list[str] = []

    def prompts(scene: Any, action: Any, outcome: Any, memory: str, content: Any) -> str:
        made.append(outcome)
        return f"Tell it {len(made)}"

    async with slow_table(cache := Slow(), prompts) as t:
        await t.aim("goblin")
        assert len(made) == len(set(cache.asked)) == t.asked == RESULTS


async def test_nobody_is_asked_for_a_moment_that_passed_while_the_cache_was_asked() -> None:  # G1
    async with slow_table(cache := Slow()) as t:

        def once() -> None:
            cache.meanwhile = lambda: None
            t.session.update(changed(ac=11))

        cache.meanwhile = once
        await t.aim("goblin")
        assert len(cache.asked) == 2 * RESULTS and t.asked == RESULTS


DEEP = b"[" * 600 + b"]" * 600


@pytest.mark.parametrize("kind", ["no record", "deep basis", "deep text"])
def test_rubbish_under_our_keys_costs_no_text_and_is_not_recorded(
    redis: Any, tmp_path: Path, kind: str
) -> None:  # G10
    shared = {"cache_url": redis.url, "cache_timeout": 1.0}
    asyncio.run(evening(STATE, **shared))
    client = Redis.from_url(redis.url)
    names = client.keys("foretell:*:t:*")
    assert len(names) == RESULTS
    for name in names:
        good = orjson.loads(client.get(name))  # type: ignore[arg-type]
        bad = {"no record": DEEP, "deep basis": _with(good, "basis", b"[[" + DEEP + b"]]")}
        client.set(name, bad.get(kind) or _with(good, "variants", b"[" + DEEP + b"]"))

    async def again() -> None:
        async with asyncio.timeout(20):
            asked, text = await evening(STATE, told=True, log_dir=str(tmp_path), **shared)
        assert asked >= RESULTS and text.startswith("Text")

    asyncio.run(again())
    log = tmp_path / "t.jsonl"
    found = [record.data["found"] for record in read(log) if record.kind == "~content"]
    assert len(found) >= RESULTS and not any(found)
    assert verify(log).difference is None
    client.close()


def _with(record: dict[str, Any], name: str, raw: bytes) -> bytes:
    return orjson.dumps({**record, name: orjson.Fragment(raw)})


async def test_what_nothing_depends_on_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    async with table() as t:
        await t.aim("goblin")
        told: list[Any] = []
        monkeypatch.setattr(t.kept, "changed", lambda state, changes: told.extend(changes))
        t.session.update(changed(pos=[1, 1]))
        await asyncio.sleep(0.01)
        assert t.session._pipeline.world_now.state["actors"]["goblin"]["pos"] == [1, 1]
        assert not told
        t.session.update(changed(pos=[2, 1], ac=11))
        await asyncio.sleep(0.01)
        assert told == [(("actors", "goblin", "ac"), None)]


def test_what_was_told_leaves_the_shared_cache_and_the_rest_stays(redis: Any) -> None:  # G1
    shared = {"cache_url": redis.url, "cache_timeout": 1.0}
    asyncio.run(evening(STATE, **shared))
    client = Redis.from_url(redis.url)
    before = {name: orjson.loads(client.get(name)) for name in client.keys("foretell:*:t:*")}  # type: ignore[arg-type]
    _, text = asyncio.run(evening(STATE, told=True, **shared))
    told = [name for name, record in before.items() if text in record["variants"][0]]
    assert len(before) == RESULTS and len(told) == 1
    assert all(0 < client.pttl(name) <= 3_600_000 for name in before.keys() - told)  # type: ignore[operator]
    assert client.exists(*told) == 0 and client.exists(*(before.keys() - told)) == RESULTS - 1
    client.close()
