"""Exact replay: a recording again, line by line, with every server down."""

from __future__ import annotations

import asyncio
import gzip
import os
import random
import re
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.cli import main
from foretell.config import Settings
from foretell.errors import StateError
from foretell.replay import lockstep
from foretell.replay.lockstep import Difference, Lockstep, NotRecorded
from foretell.replay.verify import verify
from foretell.streams.log import read, seal, validate
from foretell.streams.models import ModelCut, ModelOverloaded, ModelUnavailable
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.faults import Faults
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual

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
    """A model that is slow, stalls, fails in every way, and takes its time to close."""

    def answer(request: Any, number: int) -> Script:
        kind = rng.random()
        script = Script(
            ANSWER, ttft=rng.choice((0.1, 0.6)), delay=0.05, teardown=rng.choice((0, 0.2, 1.5))
        )
        if kind < 0.4:
            errors = (ModelUnavailable("down"), ModelOverloaded("later", retry_after=0.3))
            cuts = (ModelCut("cut"), KeyError("a bug of the model's"))
            return rng.choice(
                (
                    Script(error=rng.choice(errors), ttft=0.2),
                    Script(ANSWER, error=rng.choice(cuts), chunks=rng.randrange(4)),
                    Script(ANSWER, hangs=True, chunks=2, teardown=script.teardown),
                    Script(ANSWER, stop=rng.choice(("refusal", "max_tokens"))),
                )
            )
        return script

    return answer


PAUSES = (0, 0, 0.01, 0.1, 0.4, 1.5)


async def night(
    session: foretell.Session[Any],
    rng: random.Random,
    moves: int,
    pauses: Sequence[float] = PAUSES,
) -> None:
    """A game that does all a game may do."""
    state = deepcopy(STATE)
    actions: list[foretell.Action[Any]] = []
    tellings: list[foretell.Telling[Any]] = []
    session.update(state)
    session.subscribe(lambda event: actions[rng.randrange(-9, 9)] if rng.random() < 0.02 else 0)

    async def slow(event: Any) -> None:
        await asyncio.sleep(0.01 if rng.random() < 0.9 else actions.index(event))

    session.subscribe(slow)
    for tick in range(moves):
        if (pause := rng.choice(pauses)) or rng.random() < 0.3:
            await asyncio.sleep(pause)
        what, who, other = rng.random(), *rng.sample([*state["actors"]], 2)
        with suppress(StateError):
            if what < 0.1:
                session.begin_turn(who)
            elif what < 0.13:
                session.end_turn()
            elif what < 0.35:
                name = rng.choice(("longsword", "bow"))
                actions.append(session.declare(who, name, target=other))
            elif what < 0.6 and actions:
                action = actions.pop(rng.randrange(len(actions)))
                tellings.append(action.outcome(rng.choice(("hit", "miss")), damage=tick))
            elif what < 0.64 and tellings:
                rng.choice(tellings[-3:]).cancel()
            elif what < 0.8:
                state["actors"][who]["hp"] = rng.randrange(20)
                state["tick"] = tick
                session.update(state)
            elif what < 0.85:
                session.intensity = rng.choice(("off", "conservative", "aggressive"))
            elif what < 0.9 and tellings:
                tellings.append(session.retell(rng.choice(tellings)))
            elif what < 0.93:
                revision = session.world.revision
                session.rewind(rng.choice((rng.randrange(revision + 1), rng.uniform(0, 1))))
            elif what < 0.95 and actions:
                session.retract(actions.pop())
            else:
                session.say(who, "Hm.")


def recorded(
    folder: Path,
    seed: int = 0,
    moves: int = 25,
    parts: int = 1,
    *,
    sessions: int = 1,
    kills: bool = False,
    **given: Any,
) -> Path:
    """The recording of a night in virtual time: of the first of ``sessions`` in one loop."""
    rng = random.Random(seed)
    paths = [folder / f"table-{7 + number}.jsonl" for number in range(sessions)]

    async def play() -> None:
        for _ in range(parts):
            kept = []
            async with foretell.Game(
                {"log_dir": str(folder), "deadline": 5.0, **given},
                model=ScriptedModel(answers(rng)),
            ) as game:
                opened = [await game.session(path.stem) for path in paths]
                await asyncio.gather(*(night(session, rng, moves) for session in opened))
                if kills:
                    kept = [path.read_bytes()[: -rng.randrange(1, 200)] for path in paths]
                await opened[0].close(drain=rng.choice((0.0, 0.5, 30.0)))
            for path, raw in zip(paths, kept, strict=False):
                path.write_bytes(raw)

    run_virtual(play())
    return paths[0]


def changed(path: Path, change: Callable[[list[dict[str, Any]]], None]) -> Path:
    """The log with something changed, and its numbers and checksums made right again."""
    lines = [dict(record.data) for record in read(path)]
    change(lines)
    for n, line in enumerate((line for line in lines if line["kind"].startswith("~")), 1):
        line["n"] = n
    to = path.with_name("changed.jsonl")
    with to.open("wb") as file:
        for line in lines:
            line.pop("sum", None)
            whole = seal(line) if line["kind"].startswith("~") else line
            file.write(orjson.dumps(whole) + b"\n")
    return to


@pytest.mark.parametrize("overlap", ["conflate", "interrupt", "queue"])
def test_the_wildest_nights_come_again_line_by_line(tmp_path: Path, overlap: str) -> None:
    # G9, 3-26
    for seed in range(6):
        folder = tmp_path / str(seed)
        for log in (
            recorded(folder / "plain", seed, overlap=overlap),
            recorded(folder / "kills", seed, 12, 3, kills=True, overlap=overlap),
            recorded(folder / "several", seed, sessions=3, overlap=overlap),
        ):
            assert validate(log).errors == []
            walked = verify(log, heavy=True)
            assert walked.difference is None
            assert walked.lines == len([*read(log)]) - 1  # all but the header


def test_a_session_opened_again_comes_again_in_its_parts(tmp_path: Path) -> None:
    path = recorded(tmp_path, parts=3)
    assert len([record for record in read(path) if record.kind == "~opened"]) == 3
    assert verify(path).difference is None


def test_a_session_that_was_killed_comes_again_up_to_there(tmp_path: Path) -> None:
    path = recorded(tmp_path, seed=3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[: len(lines) // 2]))
    assert verify(path).difference is None


async def live(folder: Path, seed: int, url: str, sessions: int = 3) -> list[Path]:
    """Nights against a server, several in one loop, their inputs at no distance."""
    rng = random.Random(seed)
    overlap = rng.choice(("conflate", "interrupt", "queue"))
    given = {"log_dir": str(folder), "base_url": url, "overlap": overlap, "deadline": 0.3}
    async with foretell.Game(given, api_key="none") as game:
        opened = [await game.session(f"table-{number}") for number in range(sessions)]
        pauses = (0, 0, 0, 0.0005, 0.001, 0.02)
        await asyncio.gather(*(night(session, rng, 60, pauses) for session in opened))
        await asyncio.to_thread(opened[-1].say, "mira", "From another thread.")
        await opened[0].close(drain=rng.choice((0.0, 0.05, 5.0)))
        with suppress(TimeoutError):
            async with asyncio.timeout(0.005):
                await opened[1].close(drain=5.0)
    return [folder / f"{session.id}.jsonl" for session in opened]


def test_a_session_that_was_killed_while_it_closed_comes_again_up_to_there(tmp_path: Path) -> None:
    path = recorded(tmp_path, seed=3)
    lines = path.read_bytes().splitlines(keepends=True)
    end = [b'"kind":"end"' in line for line in lines].index(True)
    assert len(lines) - end > 4 and b'"~over"' in lines[-1]
    for kept in range(end + 1, len(lines)):
        path.write_bytes(b"".join(lines[:kept]))
        assert verify(path).difference is None


def test_the_last_lines_of_a_closed_session_are_missed(tmp_path: Path) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        told = [n for n, line in enumerate(lines) if line["kind"] == "~told"]
        del lines[told[-1] : -1]

    assert verify(changed(recorded(tmp_path, seed=3), change)).difference is not None


@pytest.mark.real_time
async def test_live_sessions_come_again_when_the_server_is_gone(tmp_path: Path) -> None:
    faults = Faults.parse("429=1:0.05,529:0.05,500:0.05,stall=0.4:0.1,cut:0.1,torn:0.1")
    engine = Engine(profile("instant"), 0, faults=faults)
    async with running(profile("instant"), engine=engine) as url:
        logs = [log for seed in range(3) for log in await live(tmp_path / str(seed), seed, url)]
    for log in logs:
        walked = await asyncio.to_thread(verify, log, heavy=True)
        assert walked.difference is None
        assert walked.lines == len([*read(log)]) - 1


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
        told = next(line["generation"] for line in lines if line["kind"] == "~served")
        chunk = next(each for each in lines if told == each.get("generation") and "text" in each)
        chunk["text"] = chunk["text"].swapcase()

    found = verify(changed(recorded(tmp_path, seed=5), change)).difference
    assert found is not None
    assert found.operator in ("tell", "generation")
    assert found.got != found.expected


@pytest.mark.parametrize(
    "kinds", [("~chunk", "~chunk"), ("~timer", "~scene"), ("~telling", "~told")]
)
def test_lines_in_another_order_are_named_with_what_should_stand_there(
    tmp_path: Path, kinds: tuple[str, str]
) -> None:
    path = recorded(tmp_path)
    lines, records = path.read_bytes().splitlines(keepends=True), [*read(path)]
    at = next(n for n, record in enumerate(records) if record.kind == kinds[0])
    to = next(n for n in range(at + 1, len(records)) if records[n].kind == kinds[1])
    lines[at], lines[to] = lines[to], lines[at]
    path.write_bytes(b"".join(lines))
    found = verify(path).difference
    assert found is not None and found.line == at + 1
    due, here = records[at], records[to]
    operators = {"~chunk": "generation", "~timer": "timers", "~telling": "tell"}
    assert found.operator == operators[kinds[0]]
    assert found.expected["kind"] == kinds[0] and found.got is not None
    assert found.got["kind"] == kinds[1]
    for each, stands in ((due, f", which stands in line {to + 1}"), (here, "")):
        assert f"~ line {each.data['n']} ({each.kind} by " in str(found)
        assert f", t {each.t:g} s){stands}" in str(found)
    assert str(found).endswith("the lines were put into another order")


def test_a_line_that_is_lost_is_said_to_be_lost(tmp_path: Path) -> None:
    path = recorded(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(n for n in range(9, len(lines)) if all(b'"~' in each for each in lines[n : n + 2]))
    n = orjson.loads(lines.pop(at))["n"]
    path.write_bytes(b"".join(lines))
    found = verify(path).difference
    assert found is not None and found.line == at + 1
    assert f"~ line {n} is missing before it" in str(found)


def test_a_function_as_prompts_is_recorded_by_its_name() -> None:
    game = foretell.Game({}, model=ScriptedModel(), prompts=ballad)
    assert game.described()["guests"] == {"prompts": f"{__name__}:ballad"}


def test_a_line_of_a_log_in_parts_is_named_with_its_part(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, moves=250, log_rotate=65536)
    records = [*read(path)]
    files = [*dict.fromkeys(record.file for record in records)]
    assert len(files) >= 3
    for file in (files[1], files[-1]):
        packed = Path(file).read_bytes()
        lines = (gzip.decompress(packed) if file.endswith(".gz") else packed).splitlines(True)
        number = [b'"~' in line for line in lines].index(True, 3) + 1
        lines[number - 1] = lines[number - 1].replace(b'"t":', b'"v":0,"t":')
        edited = b"".join(lines)
        Path(file).write_bytes(gzip.compress(edited) if file.endswith(".gz") else edited)
        assert main(["replay", str(path), "--verify"]) == 1
        name = Path(file).name
        assert f"{name}: line {number}, t " in capsys.readouterr().out
        assert main(["replay", str(path), "--verify", "--json"]) == 1
        found = orjson.loads(capsys.readouterr().out)["difference"]
        assert (found["file"], found["line"]) == (file, number)
        Path(file).write_bytes(packed)


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("~chunk", "generation", None),
        ("~chunk", "text", 7),
        ("~cancel", "telling", "xx"),
        ("~timer", "name", None),
        ("~ended", "phase", None),
        ("~usage", "input", "many"),
        ("~intensity", "intensity", "some"),
        ("~opened", "settings", "none"),
    ],
)
def test_a_sealed_line_of_wrong_fields_is_a_finding_and_no_crash(
    kind: str, field: str, value: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(lines: list[dict[str, Any]]) -> None:
        line = next(line for line in lines if line["kind"] == kind)
        line.pop(field)
        line |= {} if value is None else {field: value}

    path = changed(recorded(tmp_path, seed=5, moves=80), change)
    number = [record.kind for record in read(path)].index(kind) + 1
    says = f"{field} of a {kind} line is {'missing' if value is None else 'not of its form'}"
    for options in (["--verify"], ["--model-from", "recording"]):
        assert main(["replay", str(path), *options]) == 1
        told = capsys.readouterr()
        assert f"line {number}" in told.out + told.err and says in told.out + told.err
        assert "fault of foretell's own" not in told.err


def test_an_input_that_was_edited_put_in_or_taken_out_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, seed=5, parts=2)
    whole = path.read_bytes().splitlines(keepends=True)
    at = [b'"kind":"outcome"' in line for line in whole].index(True)
    alone = b'"~' in whole[at - 1] and b'"~' in whole[at + 1]
    assert alone
    edited = whole[at].replace(b'"result":"', b'"result":"s')
    say = orjson.dumps({**orjson.loads(whole[at]), "x": 1}) + b"\n"
    for lines, says in (
        ([*whole[:at], edited, *whole[at + 1 :]], "the input was edited"),
        ([*whole[:at], say, *whole[at:]], f"put in or taken out, from here to line {at + 2}"),
        ([*whole[:at], *whole[at + 1 :]], "an input before it was taken out"),
    ):
        path.write_bytes(b"".join(lines))
        found = verify(path).difference
        assert found is not None and found.line == at + 1
        assert says in str(found)
    spaced = whole[at].replace(b'":', b'": ')
    path.write_bytes(b"".join([*whole[:at], spaced, *whole[at + 1 :]]))
    assert verify(path).difference is None


def test_a_recording_whose_inputs_are_not_summed_is_walked_as_ever(tmp_path: Path) -> None:
    def older(lines: list[dict[str, Any]]) -> None:
        assert any(line.pop("inputs", None) for line in lines)

    assert verify(changed(recorded(tmp_path, parts=2), older)).difference is None


def test_an_edited_header_is_named(tmp_path: Path) -> None:  # 4
    def edit(lines: list[dict[str, Any]]) -> None:
        lines[0]["started"] = "1999-12-31T23:59:59+00:00"

    path = recorded(tmp_path, parts=2)
    assert verify(path).difference is None
    found = verify(changed(path, edit)).difference
    assert found is not None and found.line == 1
    assert "the header was edited: its checksum" in str(found)


def test_a_night_without_its_end_is_said_to_be_cut(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, parts=2)
    whole = path.read_bytes()
    for kept, said in ((whole, False), (whole[: whole.rstrip().rfind(b"\n") + 1], True)):
        path.write_bytes(kept)
        assert verify(path).closed is not said
        assert main(["replay", str(path), "--verify"]) == 0
        assert ("the process was killed, or" in capsys.readouterr().out) is said


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
    monkeypatch.setattr("foretell.operators.kills.FALLS_BELOW", 1.0)
    found = verify(path).difference
    assert found is not None and found.line > 2


def test_heavy_looks_at_the_invariants_of_each_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    monkeypatch.setattr(
        "foretell.sinks.audit.Audit.on_world", lambda self, world: setattr(self, "stale", 1)
    )
    assert verify(path).difference is None
    found = verify(path, heavy=True).difference
    assert found is not None and found.operator == "invariants"
    says = "revision 1: it does not hold that no text was stale"
    first = next(record for record in read(path) if record.kind == "state")
    assert (found.line, found.t) == (first.line, first.t)
    assert str(found) == f"table-7.jsonl: line {first.line}, t {first.t:g} s, invariants: {says}"
    assert main(["replay", str(path), "--verify", "--heavy", "--json"]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    difference = orjson.loads(told.out)["difference"]
    assert difference["got"] == {"kind": "state", "broken": says}
    assert (difference["file"], difference["line"]) == (str(path), first.line)


def test_a_log_of_inputs_alone_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = LogBuilder("night").state(STATE).wait(1).turn("mira").write(tmp_path / "night.jsonl")
    with pytest.raises(NotRecorded, match="holds inputs alone"):
        verify(path)
    assert main(["replay", str(path), "--verify"]) == 1
    assert capsys.readouterr().err.count("\n") == 1


def test_a_later_part_alone_is_said_to_be_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("night.0003.jsonl.gz", "night.0003.jsonl"):
        header = {"id": "night", "continues": {"parts": 2, "n": 7}}
        path = LogBuilder("night").state(STATE).write(tmp_path / "plain.jsonl")
        first, *rest = path.read_bytes().splitlines(keepends=True)
        text = orjson.dumps({**orjson.loads(first), **header}) + b"\n" + b"".join(rest)
        part = tmp_path / name
        part.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
        assert main(["replay", str(part), "--verify"]) == 1
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert f"{part}: is a later part of a recording" in said
        assert said.endswith(f"name the whole ({tmp_path / 'night.jsonl'})\n")


def test_a_changed_prompt_is_told_as_one_whether_its_size_has_changed_or_not() -> None:
    after: dict[str, Any]
    before = {"kind": "~generation", "request": "c9b9", "prompt": 59, "model": "small"}
    for after in ({"request": "fea2"}, {"request": "fea2", "prompt": 74}):
        told = str(Difference("log", 3, 1.0, "speculate", before, {**before, **after}))
        assert told.endswith(": the request is another: the prompt or a setting has changed")
    for after in ({"prompt": 74}, {"request": "fea2", "model": "other"}):
        told = str(Difference("log", 3, 1.0, "speculate", before, {**before, **after}))
        assert "expected" in told and "the request is another" not in told


def test_a_show_ends_quietly_when_nobody_reads_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    path = recorded(tmp_path, 3)
    caplog.clear()
    reading, writing = os.pipe()
    os.close(reading)
    given_up: list[float] = []
    give_up = Lockstep.give_up

    def noted(lockstep: Lockstep, error: Exception) -> None:
        given_up.append(lockstep.last_t)
        give_up(lockstep, error)

    with monkeypatch.context() as patched:
        output = open(writing, "w")  # noqa: SIM115
        patched.setattr(sys, "stdout", output)
        patched.setattr(Lockstep, "give_up", noted)
        assert main(["replay", str(path), "--speed", "1000000"]) == 1
        output.close()
    said = capfd.readouterr().err
    assert "Traceback" not in said and "error" not in said
    assert not [each for each in caplog.records if each.levelname == "ERROR"]
    assert len(given_up) == 1 and given_up[0] < [*read(path)][-1].t / 2


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
    monkeypatch.setattr("foretell.replay.verify.time.sleep", slept.append)
    monkeypatch.setattr("foretell.replay.verify.time.monotonic", lambda: 100.0)
    path = recorded(tmp_path, seed=5)
    last = [*read(path)][-1].t
    assert main(["replay", str(path), "--speed", "2", "--from", "1"]) == 0
    assert "The blade bites" in capsys.readouterr().out
    assert max(slept) == pytest.approx((last - 1) / 2, abs=0.01)


def test_whatever_a_session_writes_has_its_operator() -> None:
    rooms = Path(foretell.__file__).parent
    written = {
        kind
        for path in (*rooms.glob("*.py"), *(rooms / "operators").glob("*.py"))
        for kind in re.findall(r'"(~[a-z_]+)"', path.read_text("utf-8"))
    }
    assert len(written) > 20 and written <= {*lockstep.OPERATORS}


def test_where_a_walk_ends_nothing_is_said_to_take_too_long(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = recorded(tmp_path)
    end = [record.t for record in read(log)][-1]
    for part in range(40):
        assert verify(log, upto=end * part / 40).difference is None
    assert "still ran" not in caplog.text


def test_what_is_shown_from_after_the_end_is_said_to_be_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = recorded(tmp_path)
    assert main(["replay", str(log), "--speed", "1000000", "--from", "100000"]) == 0
    told = capsys.readouterr()
    assert told.out == "" and "s, before anything is shown" in told.err
    assert main(["replay", str(log), "--speed", "1000000"]) == 0
    told = capsys.readouterr()
    assert told.out != "" and "before anything" not in told.err
