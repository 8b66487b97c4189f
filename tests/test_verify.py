"""Exact replay: a recording again, line by line, with every server down."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.cli import main
from foretell.config import Settings
from foretell.lockstep import NotRecorded
from foretell.streams.log import read, seal, validate
from foretell.streams.models import ModelOverloaded, ModelUnavailable
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual
from foretell.verify import Broken, verify

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 12, "max_hp": 12},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
ANSWER = {"text": "The blade bites, and {target} gives ground.", "lines": [], "cues": []}


def answers(rng: random.Random) -> Callable[..., Script]:
    """A model that is slow, fails, asks for patience and takes its time to close."""

    def answer(request: Any, number: int) -> Script:
        kind = rng.random()
        script = Script(
            ANSWER, ttft=rng.choice((0.1, 0.6)), delay=0.05, teardown=rng.choice((0, 0.2))
        )
        if kind < 0.1:
            return Script(error=ModelUnavailable("the server is down"), ttft=0.2)
        if kind < 0.2:
            return Script(error=ModelOverloaded("later", retry_after=0.3), ttft=0.1)
        return Script(ANSWER, hangs=True, chunks=2) if kind < 0.25 else script

    return answer


async def night(session: foretell.Session[Any], rng: random.Random, moves: int) -> None:
    """A game that does all a game may do."""
    state, actions = deepcopy(STATE), []
    session.update(state)
    for tick in range(moves):
        await asyncio.sleep(rng.choice((0, 0.01, 0.1, 0.4, 1.5)))
        what, who, other = rng.random(), *rng.sample([*state["actors"]], 2)
        if what < 0.15:
            session.begin_turn(who)
        elif what < 0.4:
            actions.append(session.declare(who, rng.choice(("longsword", "bow")), target=other))
        elif what < 0.65 and actions:
            telling = actions.pop().outcome(rng.choice(("hit", "miss")), damage=rng.randrange(9))
            if rng.random() < 0.2:
                telling.cancel()
        elif what < 0.85:
            state["actors"][who]["hp"] = rng.randrange(20)
            state["tick"] = tick
            session.update(state)
        elif what < 0.9:
            session.intensity = rng.choice(("off", "conservative", "aggressive"))
        else:
            session.say(who, "Hm.")


def recorded(folder: Path, seed: int = 0, moves: int = 25, parts: int = 1, **given: Any) -> Path:
    """The recording of a night in virtual time."""
    rng = random.Random(seed)

    async def play() -> None:
        for _ in range(parts):
            async with foretell.Game(
                {"log_dir": str(folder), "deadline": 5.0, **given},
                model=ScriptedModel(answers(rng)),
            ) as game:
                session = await game.session("table-7")
                await night(session, rng, moves)
                await session.close(drain=rng.choice((0.0, 0.5, 30.0)))

    run_virtual(play())
    return folder / "table-7.jsonl"


def changed(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """The log with something changed, and its checksums made right again."""
    lines = [dict(record.data) for record in read(path)]
    change(lines)
    to = path.with_name("changed.jsonl")
    with to.open("wb") as file:
        for line in lines:
            line.pop("sum", None)
            whole = seal(line) if line["kind"].startswith("~") else line
            file.write(orjson.dumps(whole) + b"\n")
    return to


def test_the_wildest_nights_come_again_line_by_line(tmp_path: Path) -> None:  # G9, 3-26
    """A recording says in which step of the loop a thing came, but not in which half of it."""
    differ = 0
    for seed, overlap in zip(range(30), 10 * ("conflate", "interrupt", "queue"), strict=True):
        path = recorded(tmp_path / str(seed), seed, overlap=overlap)
        assert validate(path).errors == []
        walked = verify(path, heavy=True)
        differ += walked.difference is not None
        if walked.difference is None:
            assert walked.lines == len([*read(path)]) - 1  # all but the header
    assert differ <= 3


def test_a_session_opened_again_comes_again_in_its_parts(tmp_path: Path) -> None:
    path = recorded(tmp_path, parts=3)
    assert len([record for record in read(path) if record.kind == "~opened"]) == 3
    assert verify(path).difference is None


def test_a_session_that_was_killed_comes_again_up_to_there(tmp_path: Path) -> None:
    path = recorded(tmp_path, seed=3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert verify(path).difference is None


@pytest.mark.real_time
async def test_a_live_session_comes_again_when_the_server_is_gone(tmp_path: Path) -> None:
    async with running(profile("instant")) as url:
        given = {"log_dir": str(tmp_path), "base_url": url}
        async with foretell.Game(given, api_key="none") as game:
            session = await game.session("table-7")
            session.update(STATE)
            for number in range(6):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin-1")
                await asyncio.sleep(0.05 if number % 2 else 0.0)
                telling = action.outcome("hit", damage=number)
                await (telling if number != 3 else asyncio.sleep(0.01))
    walked = await asyncio.to_thread(verify, tmp_path / "table-7.jsonl", heavy=True)
    assert walked.difference is None


def test_one_byte_changed_in_a_chunk_is_named_by_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    number = [b'"~chunk"' in line for line in lines].index(True) + 1
    lines[number - 1] = lines[number - 1].replace(b"blade", b"bladf").replace(b"text", b"tixt", 1)
    path.write_bytes(b"".join(lines))
    assert main(["replay", str(path), "--verify"]) == 1
    told = capsys.readouterr().out
    assert f"line {number}, " in told
    assert "was edited: its checksum does not fit" in told


def test_what_a_model_said_otherwise_shows_where_it_first_matters(tmp_path: Path) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        told = next(line for line in lines if line["kind"] == "~text")
        take = next(n for n, line in enumerate(lines) if line is told)
        chunk = [line for line in lines[:take] if line["kind"] == "~chunk"][-1]
        chunk["text"] = chunk["text"].swapcase()

    found = verify(changed(recorded(tmp_path, seed=5), change)).difference
    assert found is not None
    assert found.operator in ("tell", "generation")
    assert found.expected is not None and found.got != found.expected


def test_a_line_that_is_missing_is_noticed(tmp_path: Path) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        del lines[next(n for n, line in enumerate(lines) if line["kind"] == "~generation")]

    assert verify(changed(recorded(tmp_path), change)).difference is not None


def test_another_prompt_is_said_to_be_one(tmp_path: Path) -> None:
    def other(settings: Settings) -> foretell.Game[Any]:
        return foretell.Game(
            settings.model_copy(update={"style": "Like an old ballad."}), model=ScriptedModel()
        )

    found = verify(recorded(tmp_path), other).difference
    assert found is not None and "style" in str(found)


def test_a_pipeline_that_does_otherwise_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path, seed=8)
    monkeypatch.setattr("foretell.operators.results.FALLS_BELOW", 1.0)
    found = verify(path).difference
    assert found is not None and found.line > 2


def test_heavy_looks_at_the_invariants_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path)
    monkeypatch.setattr(
        "foretell.sinks.audit.Audit.on_world", lambda self, world: setattr(self, "stale", 1)
    )
    assert verify(path).difference is None
    with pytest.raises(Broken, match="no text was stale"):
        verify(path, heavy=True)


def test_a_log_of_inputs_alone_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = LogBuilder("night").state(STATE).wait(1).turn("mira").write(tmp_path / "night.jsonl")
    with pytest.raises(NotRecorded, match="holds inputs alone"):
        verify(path)
    assert main(["replay", str(path), "--verify"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_own_prompts_are_asked_for_and_can_be_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def play() -> None:
        given = {"log_dir": str(tmp_path)}
        async with foretell.Game(given, model=ScriptedModel(), prompts=ballad) as game:
            session = await game.session("table-7")
            session.update(STATE)
            await session.outcome("mira", "longsword", "miss", target="goblin-1")

    run_virtual(play())
    path = str(tmp_path / "table-7.jsonl")
    assert main(["replay", path, "--verify"]) == 1
    assert "--game MODULE:FUNCTION" in capsys.readouterr().err
    for wrong in ("nothing:here", "json", "json:nothing", "sys:maxsize"):
        assert main(["replay", path, "--verify", "--game", wrong]) == 2
    walked = verify(
        path, lambda settings: foretell.Game(settings, model=ScriptedModel(), prompts=ballad)
    )
    assert walked.difference is None


def ballad(scene: Any, action: Any, outcome: Any, memory: str, content: Any) -> str:
    return f"Sing of {action.actor}."


def test_it_can_be_shown_in_its_own_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    monkeypatch.setattr("foretell.verify.time.sleep", slept.append)
    monkeypatch.setattr("foretell.verify.time.monotonic", lambda: 100.0)
    path = recorded(tmp_path, seed=5)
    last = [*read(path)][-1].t
    assert main(["replay", str(path), "--speed", "2", "--from", "1"]) == 0
    assert "The blade bites" in capsys.readouterr().out
    assert max(slept) == pytest.approx((last - 1) / 2, abs=0.01)
