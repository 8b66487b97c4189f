"""A night with a shared cache is replayed from its recording: what the cache answered, and when."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import replay
from foretell.cli import main
from foretell.replay.cache import RecordedCold
from foretell.replay.source import opened
from foretell.sinks.recorder import Recorder
from foretell.sinks.store_shared import SharedCold
from foretell.streams.log import read, seal
from foretell.streams.models import Request
from foretell.streams.recorded_model import Recording
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual
from foretell.testing.cached import URL, CacheServer

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 99, "max_hp": 99},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 99, "max_hp": 99},
    },
}
WAITS = (2.0, 0.15, 0.05, 1.0)


def told(request: Request, number: int) -> Script:
    """No two streams speak at one time, when a loop may choose either first."""
    return Script({"text": f"Heron feathers. ({number})"}, ttft=0.11 + 0.01 * number, delay=0.013)


def recorded(folder: Path, mood: str = "well", *, sittings: int = 1) -> Path:
    """An evening; ``slow`` and ``hangs`` is how the cache is, ``full`` that of a night before."""

    async def evening(folder: Path, cache: CacheServer, limit: float) -> None:
        settings = {"log_dir": str(folder), "cache_url": URL}
        async with foretell.Game(settings, model=ScriptedModel(told)) as game:
            game._cold = SharedCold(
                URL, wall=asyncio.get_running_loop().time, limit=limit, server=cache
            )
            session = await game.session("table-7")
            session.update(STATE)
            for number, wait in enumerate(WAITS):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin")
                await asyncio.sleep(wait)
                action.outcome(("hit", "miss")[number % 2], damage=1)
                await asyncio.sleep(6.0)
            await session.close(drain=30.0)

    async def evenings() -> None:
        cache = CacheServer(7)
        if mood == "full":
            await evening(folder / "before", cache, 1.0)
        else:
            cache.mood = mood
        for _ in range(sittings):
            await evening(folder, cache, 1.0)

    run_virtual(evenings())
    return folder / "table-7.jsonl"


def look_ups(path: Path) -> list[Any]:
    return [record.data["found"] for record in read(path) if record.kind == "~content"]


def own_lines(path: Path) -> list[dict[str, Any]]:
    """What the pipeline does in a replay."""
    found: list[dict[str, Any]] = []

    class Noted(Recorder):
        def trace(self, kind: str, **fields: Any) -> None:
            found.append({"t": round(self._now(), 6), "kind": kind, **fields})

    with pytest.MonkeyPatch.context() as patch, opened(path, {}) as source:
        patch.setattr("foretell.pipeline.Recorder", Noted)
        model, wishes = source.model(source.settings), source.wishes()
        run_virtual(replay.play(source.inputs, source.settings, model=model, wishes=wishes))
    return [orjson.loads(orjson.dumps(line)) for line in found]


@pytest.mark.parametrize("mood", ["well", "slow", "hangs", "full"])
def test_what_a_shared_cache_answered_it_answers_again_at_its_time(
    tmp_path: Path, mood: str
) -> None:  # 4
    path = recorded(tmp_path, mood)
    assert len(look_ups(path)) > 8
    assert any(look_ups(path)) == (mood == "full")
    then = [record.data for record in read(path) if record.kind.startswith("~")]
    now = own_lines(path)  # to the microsecond
    assert [line["kind"] for line in now] == [line["kind"] for line in then]
    for line, before in zip(now, then, strict=True):
        assert line == {name: before.get(name) for name in line}


@pytest.mark.parametrize("mood", ["slow", "full"])
def test_a_night_with_a_shared_cache_is_told_by_its_recording(
    tmp_path: Path, mood: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, mood, sittings=2)
    asked = len([record for record in read(path) if record.kind == "~asked"])
    assert main(["replay", str(path), "--json"]) == 0
    found = orjson.loads(capsys.readouterr().out)
    streams = found["streams"]
    assert (streams["requests"], streams["recorded"], streams["warning"]) == (asked, asked, None)
    assert found["cache"]["shared"]["kind"] == "recording"
    assert (found["cache"]["shared"]["found"] > 0) == (mood == "full")
    options = ["--compare", "off;conservative", "--model-from", "recording"]
    assert main(["replay", str(path), "--json", *options]) == 0
    policies = orjson.loads(capsys.readouterr().out)["policies"]
    assert policies[1]["streams"]["recorded"] == asked == policies[1]["streams"]["requests"]


def test_no_cache_answers_for_another_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, "full")
    assert main(["replay", str(path), "--json", "--model-from", "narrator"]) == 0
    assert "shared" not in orjson.loads(capsys.readouterr().out)["cache"]


async def test_answers_come_in_their_order_and_then_there_is_nothing(tmp_path: Path) -> None:
    answers: list[tuple[float, Any]] = [(0.3, None), (0.5, {"w": 1}), (90.0, {"w": 2})]
    path = LogBuilder("t").state(STATE).write(tmp_path / "t.jsonl")
    lines = [orjson.loads(path.read_bytes().splitlines()[0])]
    for n, (t, found) in enumerate(answers, 1):
        lines.append(seal({"t": t, "kind": "~content", "name": "t:1", "found": found, "n": n}))
    path.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    with Recording(path) as recording:
        cold, loop = RecordedCold(recording), asyncio.get_running_loop()
        cold.zero = loop.time()
        found = [(round(loop.time(), 6), await cold.fetch("t:1")) for _ in range(4)]
        assert [each for _, each in found] == [None, {"w": 1}, {"w": 2}, None]
        # The third is of a time too far away for it to have been asked for now.
        assert [round(t - cold.zero, 6) for t, _ in found] == [0.0, 0.3, 0.5, 0.5]
