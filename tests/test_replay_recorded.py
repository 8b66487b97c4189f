"""Replay with the model streams of the recording: whose words, when, and what is not there."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import Settings, replay
from foretell.cli import main
from foretell.replay.lockstep import NotRecorded
from foretell.replay.source import opened
from foretell.streams.events import Outcome
from foretell.streams.log import read, seal
from foretell.streams.log_schema import RECORDING
from foretell.streams.models import (
    Delta,
    Message,
    Model,
    ModelCut,
    ModelError,
    ModelEvent,
    ModelOverloaded,
    Purpose,
    Request,
    Stop,
    Usage,
)
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.streams.recorded_model import RecordedModel, Recording
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
WORDS = "Heron feathers, of all things, rain upon {target}."


def told(request: Request, number: int) -> Script:
    """Words and times that no narrator has."""
    return Script({"text": f"{WORDS} ({number})"}, ttft=0.37 + 0.01 * number, delay=0.013)


def recorded(
    folder: Path, answers: Any = told, *, rounds: int = 4, parts: int = 1, **given: Any
) -> Path:
    """The recording of an evening in virtual time."""

    async def evening() -> None:
        for _ in range(parts):
            settings = {"log_dir": str(folder), **given}
            async with foretell.Game(settings, model=ScriptedModel(answers)) as game:
                session = await game.session("table-7")
                session.update(STATE)
                for number in range(rounds):
                    session.begin_turn("mira")
                    action = session.declare("mira", "longsword", target="goblin-1")
                    await asyncio.sleep((8.0, 0.9, 0.2, 5.0)[number % 4])
                    action.outcome(("hit", "miss")[number % 2], damage=1)
                    await asyncio.sleep(6.0)
                await session.close(drain=30.0)

    run_virtual(evening())
    return folder / "table-7.jsonl"


def rewritten(path: Path, change: Callable[[list[dict[str, Any]]], Any]) -> Path:
    """The log with something changed, and its seals made right again."""
    lines = [dict(record.data) for record in read(path)]
    change(lines)
    to = path.with_name("rewritten.jsonl")
    with to.open("wb") as file:
        number = 0
        for line in lines:
            line.pop("sum", None)
            if line["kind"].startswith("~"):
                line["n"] = number = number + 1
                line = seal(line)
            file.write(orjson.dumps(line) + b"\n")
    return to


def replayed(capsys: pytest.CaptureFixture[str], path: Path, *options: str, code: int = 0) -> Any:
    assert main(["replay", str(path), "--json", *options]) == code
    return orjson.loads(capsys.readouterr().out)


def own_lines(path: Path, settings: Settings | None = None) -> list[dict[str, Any]]:
    """What the pipeline does in a replay, without what is recorded to the microsecond only."""
    found: list[dict[str, Any]] = []
    from foretell.sinks.recorder import Recorder

    class Noted(Recorder):
        def trace(self, kind: str, **fields: Any) -> None:
            line = {"t": round(self._now(), 6), "kind": kind, **fields}
            found.append({k: v for k, v in line.items() if k != "latency"})

    with pytest.MonkeyPatch.context() as patch, opened(path, settings or {}) as source:
        patch.setattr("foretell.pipeline.Recorder", Noted)
        model = source.model(source.settings)
        wishes = source.wishes()
        run_virtual(replay.play(source.inputs, source.settings, model=model, wishes=wishes))
    return [orjson.loads(orjson.dumps(line)) for line in found]


# --- whose words


def test_a_recording_speaks_in_its_own_words_and_times(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 4
    path = recorded(tmp_path)
    recording = [record.data for record in read(path)]
    found = replayed(capsys, path)
    live = [line for line in recording if line["kind"] == "~told"]
    waits = [1000 * seconds for line in live for seconds in line["latency"]]
    assert found["latency_ms"]["mean"] == pytest.approx(sum(waits) / len(waits), abs=0.002)
    asked = len([line for line in recording if line["kind"] == "~asked"])
    streams = {name: found["streams"][name] for name in ("from", "requests", "recorded", "cut")}
    assert streams == {"from": "recording", "requests": asked, "recorded": asked, "cut": 0}
    then = [line for line in recording if line["kind"].startswith("~")]
    now = own_lines(path)  # every chunk at its microsecond, and all that comes of it
    assert len(now) == len(then)
    for line, before in zip(now, then, strict=True):
        assert line == {name: before.get(name) for name in line}
    assert any(WORDS[:20] in line.get("text", "") for line in then if line["kind"] == "~told")


def test_the_narrator_speaks_where_it_is_asked_to_or_a_model_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    traces = set()
    for options in (
        (),
        ("--model-from", "narrator"),
        ("--profile", "local-8b"),
        ("--model", "claude-haiku-4-5"),
    ):
        found = replayed(capsys, path, *options)
        assert found["streams"]["from"] == ("narrator" if options else "recording")
        traces.add(found["trace_sha256"])
    assert len(traces) == 4
    forced = replayed(capsys, path, "--model-from", "recording", "--profile", "local-8b")
    assert forced["streams"]["from"] == "recording"


def test_a_recording_is_replayed_under_its_own_settings_unless_others_are_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, intensity="aggressive", seed=7, main_model="llama3.3")
    same = replayed(capsys, path)
    assert (same["intensity"], same["seed"]) == ("aggressive", 7)
    assert same["streams"]["recorded"] == same["streams"]["requests"] > 4
    less = replayed(capsys, path, "--intensity", "conservative")
    assert less["intensity"] == "conservative"
    assert 0 < less["streams"]["requests"] < same["streams"]["requests"]
    other = replayed(capsys, path, "--model-from", "narrator", "--seed", "3")
    assert (other["intensity"], other["seed"]) == ("conservative", 3)


def test_what_the_recording_does_not_hold_the_narrator_tells_and_it_is_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path, main_model="llama3.3")  # a name the narrator does not answer to
    found = replayed(capsys, path, "--intensity", "off")
    streams = found["streams"]
    told = streams["requests"] - 1  # and what they come to is summed up
    assert told == 4 and streams["recorded"] < 4
    assert found["served"] == {"hit": 0, "in_flight": 0, "miss": 4, "failed": 0, "superseded": 0}
    assert main(["replay", str(path), "--intensity", "off"]) == 0
    said = capsys.readouterr().out
    assert f"recorded: {streams['recorded']} of 5 requests, the others by the narrator" in said


def test_without_prefetch_is_shown_only_if_the_recording_holds_all_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path / "on")
    found = replayed(capsys, path)
    assert found["baseline_latency_ms"] is found["latency_reduction"] is found["timely"] is None
    assert found["cost_usd"]["without"] is None
    assert found["streams"]["without"]["recorded"] < found["streams"]["without"]["requests"] == 5
    assert main(["replay", str(path)]) == 0
    assert "so it is not shown: see --model-from narrator" in capsys.readouterr().out
    off = replayed(capsys, recorded(tmp_path / "off", intensity="off"))
    assert off["baseline_latency_ms"] == off["latency_ms"]
    assert off["streams"]["without"]["recorded"] == 4


def test_a_recording_replays_with_no_network_and_no_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = recorded(tmp_path)

    def no_network(*args: Any, **kwargs: Any) -> Any:
        raise AssertionError("a replay opened a connection")

    monkeypatch.setattr(socket.socket, "connect", no_network)
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    assert replayed(capsys, path)["served"]["failed"] == 0


@pytest.mark.real_time
async def test_a_live_night_over_http_is_replayed_when_the_server_is_gone(tmp_path: Path) -> None:
    async with running(profile("instant")) as url:
        given = {"log_dir": str(tmp_path), "base_url": url, "intensity": "off"}
        async with foretell.Game(given, api_key="none") as game:
            session = await game.session("table-7")
            session.update(STATE)
            for number in range(4):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin-1")
                await action.outcome("hit", damage=number)
    live = session.report()
    found = await asyncio.to_thread(replay.report, tmp_path / "table-7.jsonl", {})
    assert found["streams"]["from"] == "recording"
    assert found["streams"]["recorded"] == found["streams"]["requests"] == 4
    assert (found["served"], found["tokens"]) == (live["served"], live["tokens"])
    assert found["cost_usd"] == {"with": live["cost_usd"], "without": live["cost_usd"]}


def test_a_comparison_asks_the_recording_if_it_is_told_to(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    compare = ("--compare", "off,conservative")
    usual = replayed(capsys, path, *compare)
    assert usual["model_from"] == "narrator"
    assert usual["policies"][1]["streams"]["requests"] is None
    found = replayed(capsys, path, *compare, "--model-from", "recording")
    alone = replayed(capsys, path)
    off, same = found["policies"]
    assert same["trace_sha256"] == alone["trace_sha256"]
    assert same["latency_ms"] == alone["latency_ms"]
    for name in ("latency_ms", "served", "hit_rate", "tokens", "cost_usd", "against_first"):
        assert off[name] is None  # half of it told by another, at another pace
    assert same["against_first"] is None
    assert same["streams"]["recorded"] == same["streams"]["requests"]
    assert off["streams"]["recorded"] < off["streams"]["requests"]
    assert main(["replay", str(path), *compare, "--model-from", "recording"]) == 0
    shown = capsys.readouterr()
    assert "of these recorded" in shown.out
    assert shown.err.count("\n") == 1
    assert f"off: only {off['streams']['recorded']} of 5 requests are in the rec" in shown.err
    both = ("--compare", "conservative;conservative,max_wait=9", "--model-from", "recording")
    assert replayed(capsys, path, *both)["policies"][1]["against_first"]["same"] == 4
    drawn = ["--plot", str(tmp_path / "a.svg"), "--model-from", "recording"]
    assert main(["replay", str(path), *compare, *drawn]) == 1
    assert "--plot: the recording holds too little to compare" in capsys.readouterr().err
    options = ["--compare", "off;profile=local-8b", "--model-from", "recording"]
    assert main(["replay", str(path), *options]) == 2
    assert "narrator_profile differs, but the recording is one model's" in capsys.readouterr().err


def wished(folder: Path, *, sittings: int = 1, **given: Any) -> Path:
    """The recording of a game that changes its mind."""

    async def evenings() -> None:
        for sitting in range(sittings):
            settings = {"log_dir": str(folder), **given}
            async with foretell.Game(settings, model=ScriptedModel(told)) as game:
                session = await game.session("table-7")
                session.update(STATE)
                for number in range(4):
                    if number == 1 + sitting:
                        session.intensity = "off"
                    session.begin_turn("mira")
                    action = session.declare("mira", "longsword", target="goblin-1")
                    await asyncio.sleep(4.0)
                    telling = action.outcome("miss")
                    if number % 2:
                        await asyncio.sleep(0.45)
                        telling.cancel()
                    await asyncio.sleep(6.0)
                await session.close(drain=30.0)

    run_virtual(evenings())
    return folder / "table-7.jsonl"


def test_what_the_game_wished_beside_its_inputs_is_wished_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 4
    path = wished(tmp_path)
    then = [record.data for record in read(path)]
    kinds = ("~intensity", "~cancel", "~generation", "~told", "~asked")
    of_then = [(line["t"], line["kind"]) for line in then if line["kind"] in kinds]
    assert [kind for _, kind in of_then].count("~cancel") == 2
    now = [(line["t"], line["kind"]) for line in own_lines(path) if line["kind"] in kinds]
    assert now == of_then
    found = replayed(capsys, path)
    asked = len([line for line in then if line["kind"] == "~asked"])
    assert found["streams"]["requests"] == found["streams"]["recorded"] == asked
    assert found["streams"]["warning"] is None
    assert found["served"]["superseded"] == 2


def test_wishes_of_a_second_sitting_name_what_they_named_in_one_night(tmp_path: Path) -> None:
    path = wished(tmp_path, sittings=2, main_from=0.0, spend="none")
    with opened(path, {}) as source:
        wishes = source.wishes()
        inputs = [*source.inputs]
        fixed = source.wishes(("intensity",))
    assert [wish.value for wish in wishes if wish.kind == "~intensity"] == ["off", None, "off"]
    cancelled = [int(wish.value[1:]) for wish in wishes if wish.kind == "~cancel" and wish.value]
    assert len(cancelled) == len(fixed) == 4
    for number in cancelled:
        assert isinstance(inputs[number - 1], Outcome)
    told = [line["telling"] for line in own_lines(path) if line["kind"] == "~cancel"]
    assert told == [f"t{number}" for number in cancelled]


def test_an_intensity_that_is_given_holds_in_the_place_of_the_recorded_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = wished(tmp_path)
    requests = []
    for options in ((), ("--intensity", "conservative"), ("--intensity", "off")):
        assert main(["replay", str(path), "--json", *options]) == 0
        told = capsys.readouterr()
        streams = orjson.loads(told.out)["streams"]
        requests.append(streams["requests"])
        fewer = streams["recorded"] < streams["requests"]
        said = f"only {streams['recorded']} of {streams['requests']} requests are in the recording"
        assert (streams["warning"] or "").startswith(said) is fewer
        assert fewer is ("conservative" in options)
        assert told.err.count("\n") == fewer and (said in told.err) is fewer
    assert requests[2] < requests[0] < requests[1]
    compare = ("--compare", "conservative;max_variants=2;off", "--model-from", "recording")
    found = replayed(capsys, path, *compare)
    throughout, changing, off = (each["streams"]["requests"] for each in found["policies"])
    assert off == requests[2] and throughout == requests[1] > changing > off


# --- the recorded model itself


def ask(text: str, purpose: Purpose = Purpose.FOREGROUND) -> Request:
    return Request("m", (Message("user", text),), purpose=purpose)


async def heard(model: Model, request: Request) -> tuple[list[tuple[float, ModelEvent]], Any]:
    """Each event of a stream with its seconds, and the error it ended in."""
    loop, error = asyncio.get_running_loop(), None
    begun, found = loop.time(), []
    try:
        async for event in model.stream(request):
            after = round(loop.time() - begun, 6)
            found.append((after, event))
    except ModelError as failure:
        error = failure
    return found, error


def test_blanks_do_not_count_in_the_fingerprint_of_a_request() -> None:
    from foretell.streams.recorded import digest

    def asking(text: str) -> str:
        return digest(Request("m", (Message("user", text),)))

    assert (
        asking("What  now?") == asking("What    now?") == asking("What now?") != asking("Whatnow?")
    )
    assert asking("a\n b") != asking("a b")


def lines(*streams: tuple[Request, list[dict[str, Any]]], start: float = 5.0) -> LogLines:
    return LogLines(streams, start)


class LogLines:
    """A log with streams as said, one after the other, a second apart."""

    def __init__(self, streams: Any, start: float) -> None:
        from foretell.streams.recorded import digest

        self.lines: list[dict[str, Any]] = [
            {"t": 0.0, "kind": "~opened", "version": foretell.__version__, "settings": {}}
        ]
        t = start
        for number, (request, said) in enumerate(streams, 1):
            name = {"generation": f"g{number}"}
            self.lines.append({"t": t, "kind": "~generation", **name, "request": digest(request)})
            self.lines.append({"t": t, "kind": "~asked", **name})
            for each in said:
                self.lines.append({**each, "t": t + each["t"], **name})
            t = self.lines[-1]["t"] + 1.0

    def write(self, path: Path) -> Path:
        LogBuilder().write(path)
        head = path.read_bytes().splitlines(keepends=True)[0]
        own = [
            orjson.dumps(seal({**line, "n": number})) + b"\n"
            for number, line in enumerate(self.lines, 1)
        ]
        path.write_bytes(head + b"".join(own))
        return path


def chunk(t: float, text: str) -> dict[str, Any]:
    return {"t": t, "kind": "~chunk", "text": text}


def ended(t: float, phase: str = "done") -> dict[str, Any]:
    return {"t": t, "kind": "~ended", "phase": phase}


async def test_an_answer_comes_in_its_chunks_at_its_distances(tmp_path: Path) -> None:
    said = [
        {"t": 0.25, "kind": "~usage", "input": 9, "output": 1, "final": False},
        chunk(0.5, "The "),
        chunk(0.5, "heron"),
        chunk(2.0, " lands."),
        {"t": 2.0, "kind": "~usage", "input": 9, "output": 5, "cache_read": 4, "final": True},
        {"t": 2.0, "kind": "~stop", "reason": "end_turn"},
        ended(2.0),
    ]
    path = lines((ask("Tell."), said)).write(tmp_path / "log.jsonl")
    with Recording(path) as recording:
        model = RecordedModel(recording, ScriptedModel())
        await asyncio.sleep(100)
        assert await heard(model, ask("Tell.", Purpose.PREFETCH)) == (
            [
                (0.25, Usage(9, 1)),
                (0.5, Delta("The ")),
                (0.5, Delta("heron")),
                (2.0, Delta(" lands.")),
                (2.0, Usage(9, 5, 4, final=True)),
                (2.0, Stop("end_turn")),
            ],
            None,
        )
        assert repr(model) == "<RecordedModel [1 of 1 requests, 0 cut]>"


async def test_equal_requests_are_answered_in_their_order_then_by_another(tmp_path: Path) -> None:
    one, other = ask("One."), ask("Other.")
    path = lines(
        (one, [chunk(1.0, "a"), ended(1.0)]),
        (other, [chunk(1.0, "b"), ended(1.0)]),
        (one, [chunk(3.0, "c"), ended(3.0)]),
    ).write(tmp_path / "log.jsonl")
    with Recording(path) as recording:
        assert repr(recording) == "<Recording [3 streams of 2 requests]>"
        model = RecordedModel(recording, ScriptedModel(["from elsewhere", "and again"]))
        asked = [await heard(model, each) for each in (one, one, other, one, ask("Who?"))]
        texts = ["".join(e.text for _, e in said if isinstance(e, Delta)) for said, _ in asked]
        assert texts == ["a", "c", "b", "from elsewhere", "and again"]
        assert (model.requests, model.recorded, model.cut) == (5, 3, 0)
        again = RecordedModel(recording, ScriptedModel())
        assert (await heard(again, one))[0] == [(1.0, Delta("a"))]  # each run has them all


async def test_equal_requests_at_once_are_answered_as_they_were_asked_for(tmp_path: Path) -> None:
    log = lines((ask("Tell."), []), (ask("Tell."), []))  # g1 is asked for first, and ends last
    t = log.lines[-1]["t"]
    for name, at, text in (("g2", 1.0, "brief"), ("g1", 4.0, "long")):
        for each in (chunk(at, text), ended(at)):
            log.lines.append({**each, "t": t + at, "generation": name})
    with Recording(log.write(tmp_path / "log.jsonl")) as recording:
        model = RecordedModel(recording, ScriptedModel())
        heard_of = [(await heard(model, ask("Tell.")))[0] for _ in range(2)]
    assert heard_of == [[(5.0, Delta("long"))], [(1.0, Delta("brief"))]]


def test_a_night_of_equal_requests_that_overlap_comes_out_the_same(tmp_path: Path) -> None:  # 4
    waits = (2.137, 0.411, 1.279)

    def uneven(request: Request, number: int) -> Script:
        return Script({"text": f"{WORDS} ({number})"}, ttft=waits[number % 3], delay=0.0931)

    async def night() -> None:
        async with foretell.Game({"log_dir": str(tmp_path)}, model=ScriptedModel(uneven)) as game:
            session = await game.session("table-7")
            session.update(STATE)
            for number in range(6):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin-1")
                await asyncio.sleep(0.5)
                action.outcome(("miss", "hit")[number % 2], damage=2)
            await session.close(drain=60.0)

    run_virtual(night())
    path = tmp_path / "table-7.jsonl"
    then = [record.data for record in read(path) if record.kind.startswith("~")]
    asked = [line["request"] for line in then if line["kind"] == "~generation"]
    assert len(set(asked)) < len(asked)
    now = own_lines(path)
    assert len(now) == len(then)
    for line, before in zip(now, then, strict=True):
        assert line == {name: before.get(name) for name in line}


def test_a_viewer_who_reports_what_it_read_at_once_is_heard_so_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 4: each report is of the very moment of its words
    def uneven(request: Request, number: int) -> Script:
        return Script({"text": f"{WORDS} ({number})"}, ttft=1 / 3 + number / 97, delay=1 / 71)

    async def night() -> None:
        async with foretell.Game({"log_dir": str(tmp_path)}, model=ScriptedModel(uneven)) as game:
            session = await game.session("table-7")
            session.update(STATE)
            for _ in range(8):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin-1")
                await asyncio.sleep(0.3)
                telling = action.outcome("hit", damage=1)
                async for text in telling.text():
                    telling.delivered(len(text))
                await asyncio.sleep(3.0)
            await session.close(drain=30.0)

    run_virtual(night())
    path = tmp_path / "table-7.jsonl"
    streams = replayed(capsys, path)["streams"]
    assert streams["recorded"] == streams["requests"] > 8
    then = [record.data for record in read(path) if record.kind == "~told"]
    now = [line for line in own_lines(path) if line["kind"] == "~told"]
    for line, before in zip(now, then, strict=True):
        assert line == {name: before.get(name) for name in line}


def test_what_waits_for_a_connection_to_be_closed_waits_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 4: its prompt holds what was told meanwhile
    def slow(request: Request, number: int) -> Script:
        text = f"{WORDS} ({number})"
        return Script({"text": text}, ttft=0.37 + 0.01 * number, delay=0.013, teardown=0.12)

    async def night() -> None:
        settings = {"log_dir": str(tmp_path), "max_speculations": 2}
        async with foretell.Game(settings, model=ScriptedModel(slow)) as game:
            session = await game.session("table-7")
            session.update(STATE)
            for number in range(6):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin-1")
                await asyncio.sleep(0.65)
                action.outcome(("hit", "miss")[number % 2], damage=1)
                await asyncio.sleep(0.9)
            await session.close(drain=30.0)

    run_virtual(night())
    path = tmp_path / "table-7.jsonl"
    streams = replayed(capsys, path)["streams"]
    assert streams["recorded"] == streams["requests"] > 6
    then = [record.t for record in read(path) if record.kind == "~closed"]
    assert [line["t"] for line in own_lines(path) if line["kind"] == "~closed"] == then


async def test_who_closes_a_stream_waits_as_long_as_it_took_to_be_closed(tmp_path: Path) -> None:
    said = [chunk(1.0, "a"), ended(3.0, "closed"), {"t": 3.25, "kind": "~closed"}]
    loop = asyncio.get_running_loop()
    path = lines((ask("Tell."), said)).write(tmp_path / "log.jsonl")
    with Recording(path) as recording:
        for leave in (1.0, 2.0):  # at a word, and between two
            begun = loop.time()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(leave):
                    await heard(RecordedModel(recording, ScriptedModel()), ask("Tell."))
            assert loop.time() - begun == pytest.approx(leave + 0.25)


@pytest.mark.parametrize(("early", "waits"), [(0.05, 0.05), (0.5, 0.0), (-0.05, 0.0)])
async def test_what_is_asked_a_moment_before_it_was_is_answered_when_it_was(
    early: float, waits: float, tmp_path: Path
) -> None:
    """The work of a live session takes its time; that of a replay takes none."""
    loop = asyncio.get_running_loop()
    path = lines((ask("Tell."), [chunk(1.0, "a"), ended(1.0)])).write(tmp_path / "log.jsonl")
    asked = next(record.t for record in read(path) if record.kind == "~asked")
    with Recording(path) as recording:
        model = RecordedModel(recording, ScriptedModel())
        model.zero = loop.time() + early - asked
        found, _ = await heard(model, ask("Tell."))
        ((after, said),) = found
        assert said == Delta("a")
        assert after == pytest.approx(1.0 + waits)


async def test_a_recorded_error_comes_again_at_its_time(tmp_path: Path) -> None:
    later = {"kind": "~error", "error": "overloaded", "text": "later", "retry_after": 2.5}
    said = [chunk(1.0, "a"), {"t": 4.0, **later}, ended(4.0, "failed")]
    path = lines((ask("Tell."), said)).write(tmp_path / "log.jsonl")
    with Recording(path) as recording:
        begun = asyncio.get_running_loop().time()
        found, error = await heard(RecordedModel(recording, ScriptedModel()), ask("Tell."))
        assert found == [(1.0, Delta("a"))]
        assert isinstance(error, ModelOverloaded)
        assert (str(error), error.retry_after) == ("later", 2.5)
        assert asyncio.get_running_loop().time() - begun == pytest.approx(4.0)


@pytest.mark.parametrize("end", [[ended(3.0, "closed")], [{"t": 3.0, "kind": "~scene"}]])
async def test_a_stream_known_only_in_part_ends_in_a_cut_when_it_was_closed(
    end: list[dict[str, Any]], tmp_path: Path
) -> None:
    """It was closed in the recording, or the log ends in its midst."""
    path = lines((ask("Tell."), [chunk(1.0, "The he"), *end])).write(tmp_path / "log.jsonl")
    with Recording(path) as recording:
        model = RecordedModel(recording, ScriptedModel())
        begun = asyncio.get_running_loop().time()
        found, error = await heard(model, ask("Tell."))
        assert found == [(1.0, Delta("The he"))]
        assert isinstance(error, ModelCut)
        assert str(error) == "the recording has only the beginning of this answer"
        assert asyncio.get_running_loop().time() - begun == pytest.approx(3.1)
        assert (model.recorded, model.cut) == (1, 1)
        model = RecordedModel(recording, ScriptedModel())
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(3.0):  # who closes it as it was closed never sees the cut
                await heard(model, ask("Tell."))
        assert (model.recorded, model.cut) == (1, 0)


async def test_what_was_never_sent_is_no_answer(tmp_path: Path) -> None:
    log = lines((ask("Tell."), [ended(1.0, "closed")]))
    log.lines = [line for line in log.lines if line["kind"] != "~asked"]
    with Recording(log.write(tmp_path / "log.jsonl")) as recording:
        assert recording.streams == 0
        model = RecordedModel(recording, ScriptedModel(["elsewhere"]))
        assert (await heard(model, ask("Tell.")))[1] is None
        assert (model.requests, model.recorded) == (1, 0)


def test_a_telling_whose_rest_is_unknown_is_told_with_an_error_not_a_crash(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first telling was superseded in the recording; now it has all the time it wants."""
    path = recorded(tmp_path, lambda request, number: Script(delay=0.8, ttft=0.5), rounds=1)
    whole = replayed(capsys, path)
    assert whole["streams"]["cut"] == 0

    def let_go_early(log: list[dict[str, Any]]) -> None:
        at = [i for i, line in enumerate(log) if line["kind"] == "~chunk"]
        names = {log[i]["generation"] for i in at}
        last = {name: max(i for i in at if log[i]["generation"] == name) for name in names}
        for i in sorted(last.values(), reverse=True):
            del log[i]
        for line in log:
            if line["kind"] == "~ended":
                line["phase"] = "closed"

    found = replayed(capsys, rewritten(path, let_go_early))
    assert found["streams"]["cut"] >= 1
    assert sum(found["served"].values()) == found["outcomes"] == 1
    assert found["stale"] == found["untrue"] == found["faults"] == 0


# --- what is not there, or not of this Foretell


def test_a_log_without_streams_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = LogBuilder().state(STATE).write(tmp_path / "plain.jsonl")
    assert main(["replay", str(path), "--model-from", "recording"]) == 1
    said = capsys.readouterr().err
    assert said.endswith("plain.jsonl: holds no model streams: use --model-from narrator\n")
    assert replayed(capsys, path)["streams"]["from"] == "narrator"


def test_a_recording_of_another_version_is_played_with_a_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rewritten(recorded(tmp_path), lambda log: log[1].update(version="0.0.7"))
    remark = f"recorded by Foretell 0.0.7, and this is {foretell.__version__}"
    assert main(["replay", str(path), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and remark in told.err
    streams = orjson.loads(told.out)["streams"]
    assert streams["recorded"] == streams["requests"]
    assert main(["replay", str(path), "--verify"]) == 0
    told = capsys.readouterr()
    assert "the same" in told.out and remark in told.out
    assert main(["replay", str(path), "--verify", "--json"]) == 0
    assert orjson.loads(capsys.readouterr().out)["another_version"] == remark


def test_a_recording_of_another_build_of_this_version_is_told_as_such(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(log: list[dict[str, Any]]) -> None:
        assert log[1].pop("recording") == RECORDING
        log[:] = [line for line in log if line["kind"] != "~kept"]

    path = rewritten(recorded(tmp_path), older)
    remark = (
        f"recorded by another build of Foretell {foretell.__version__}: "
        f"revision 0 of what is recorded, and this writes revision {RECORDING}"
    )
    assert main(["replay", str(path), "--verify"]) == 1
    said = capsys.readouterr().out
    assert '"kind":"~kept"' in said and f"{remark}: that may be the reason" in said
    assert main(["replay", str(path), "--verify", "--json"]) == 1
    assert orjson.loads(capsys.readouterr().out)["another_version"] == remark
    assert main(["replay", str(path), "--json"]) == 0
    assert remark in capsys.readouterr().err


def test_a_difference_from_another_version_is_named_with_that_remark(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def older(log: list[dict[str, Any]]) -> None:
        log[1]["version"] = "0.0.7"
        next(line for line in log if line["kind"] == "~scene")["context"] = "tea"

    path = rewritten(recorded(tmp_path), older)
    assert main(["replay", str(path), "--verify"]) == 1
    said = capsys.readouterr().out
    assert 'context: expected "tea", got "combat"' in said
    assert "recorded by Foretell 0.0.7" in said and "that may be the reason" in said


def test_settings_that_this_version_does_not_know_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def newer(log: list[dict[str, Any]]) -> None:
        log[1].update(version="9.0.0", settings={"wings": 2})

    path = rewritten(recorded(tmp_path), newer)
    for options in ((), ("--verify",), ("--speed", "1000000")):
        assert main(["replay", str(path), *options]) == 1
        told = capsys.readouterr()
        assert told.out == ""
        assert "the recorded settings: wings: unknown setting" in told.err.splitlines()[-1]
        assert "recorded by Foretell 9.0.0" in told.err.splitlines()[-1]
    assert replayed(capsys, path, "--model-from", "narrator")["outcomes"] == 4


def test_a_recording_with_guests_wants_its_game_or_the_narrator(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = rewritten(recorded(tmp_path), lambda log: log[1].update(guests={"prompts": "my:Own"}))
    assert replayed(capsys, path)["streams"]["from"] == "narrator"
    assert main(["replay", str(path)]) == 0
    said = capsys.readouterr().err
    assert "was recorded with prompts my:Own" in said and "the narrator speaks" in said
    with (
        pytest.raises(NotRecorded, match=r"recorded with prompts my:Own.*--game"),
        opened(path, {}, model_from="recording"),
    ):
        pass
    found = replayed(capsys, path, "--game", "foretell:Game")
    assert found["streams"]["from"] == "recording"
    assert found["streams"]["recorded"] == found["streams"]["requests"]


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ("own_bug:game", "cannot be imported: RuntimeError: boom (own_bug.py, line 1)"),
        ("own_syntax:game", "cannot be imported: invalid syntax (own_syntax.py, line 1)"),
        ("own_game:number", "it must return a foretell.Game, not int"),
        ("own_game:raises", "it makes no game: KeyError: 'x' (own_game.py, line 4)"),
        ("own_game:no_argument", "it makes no game: TypeError: no_argument() takes 0 positional"),
        ("own_game:misspelt", "it makes no game: settings: wings: unknown setting"),
    ],
)
def test_a_fault_of_the_users_own_game_is_told_as_such(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    named: str,
    why: str,
) -> None:
    (tmp_path / "own_bug.py").write_text("raise RuntimeError('boom')")
    (tmp_path / "own_syntax.py").write_text("def game(:")
    (tmp_path / "own_game.py").write_text(
        "import foretell\n"
        "def number(settings): return 5\n"
        "def no_argument(): return foretell.Game()\n"
        "def raises(settings): raise KeyError('x')\n"
        "def misspelt(settings): return foretell.Game({'wings': 2})\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "modules", {**sys.modules})
    path = recorded(tmp_path, rounds=1)
    for options in ((), ("--verify",), ("--speed", "1e6"), ("--compare", "off,conservative")):
        assert main(["replay", str(path), "--game", named, *options]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"foretell: error: --game {named}: ") and said.count("\n") == 1
        assert why in said


def test_several_sittings_are_played_under_the_settings_of_the_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recorded(tmp_path, intensity="off")
    path = recorded(tmp_path, intensity="aggressive")
    assert main(["replay", str(path), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("\n") == 2
    assert "recorded under several settings; it is played under the first" in told.err
    assert "only 4 of 9 requests are in the recording; the narrator told" in told.err
    assert orjson.loads(told.out)["intensity"] == "off"


# --- damage


def test_a_damaged_recording_is_replayed_up_to_the_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    whole = path.read_bytes().splitlines(keepends=True)
    chunks = [i for i, line in enumerate(whole) if b'"~chunk"' in line]
    at = chunks[len(chunks) // 2]
    outcomes = len([line for line in whole[:at] if b'"kind":"outcome"' in line])
    assert 0 < outcomes < 4
    for what, lines, says in (
        ("missing", whole[:at] + whole[at + 1 :], "is missing before it"),
        (
            "edited",
            [*whole[:at], whole[at].replace(b"text", b"tixt"), *whole[at + 1 :]],
            "checksum",
        ),
        ("torn", [*whole[:at], b'{"t":\n', *whole[at:]], "not JSON"),
    ):
        bad = tmp_path / f"{what}.jsonl"
        bad.write_bytes(b"".join(lines))
        assert main(["replay", str(bad), "--json"]) == 1
        told = capsys.readouterr()
        found = orjson.loads(told.out)
        assert found["outcomes"] == outcomes, what
        assert f"{bad}: line {at + 1}: " in found["stopped"] and says in found["stopped"]
        assert f"replayed up to the damage: {found['stopped']}" in told.err.splitlines()[-1]
        assert main(["replay", str(bad), "--verify"]) == 1
        assert f"line {at + 1}, " in capsys.readouterr().out, what
        before = str(orjson.loads(whole[at - 1])["t"] - 1e-6)
        assert main(["replay", str(bad), "--json", "--to", before]) == 0
        capsys.readouterr()
        compare = ["--compare", "off,conservative", "--json"]
        assert main(["replay", str(bad), *compare]) == (1 if what == "torn" else 0)
        assert orjson.loads(capsys.readouterr().out)["outcomes"] == (
            outcomes if what == "torn" else 4
        )  # the narrator does not need what the recording says


def test_a_line_that_was_taken_out_is_named_by_verify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    whole = path.read_bytes().splitlines(keepends=True)
    for kind in (b'"~chunk"', b'"~told"', b'"~generation"'):
        at = next(i for i, line in enumerate(whole) if kind in line)
        bad = tmp_path / "gone.jsonl"
        bad.write_bytes(b"".join(whole[:at] + whole[at + 1 :]))
        assert main(["replay", str(bad), "--verify"]) == 1
        assert "is missing before it" in capsys.readouterr().out, kind


def test_an_input_changed_by_hand_is_another_night_and_no_damage(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = recorded(tmp_path)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(
        b"".join(
            line.replace(b'"hit"', b'"singed"') if b'"kind":"outcome"' in line else line
            for line in lines
        )
    )
    found = replayed(capsys, path)
    assert found["stopped"] is None
    assert 0 < found["streams"]["recorded"] < found["streams"]["requests"]


@pytest.mark.parametrize("sittings", [1, 2])
def test_what_an_end_has_cut_off_is_cut_off_again(tmp_path: Path, sittings: int) -> None:

    async def evening() -> None:
        for _ in range(sittings):
            model = ScriptedModel(Script({"text": WORDS * 9}, ttft=0.5, delay=0.17))
            async with foretell.Game({"log_dir": str(tmp_path)}, model=model) as game:
                session = await game.session("table-7")
                session.update(STATE)
                session.outcome("mira", "bow", "hit", target="goblin-1", damage=2)
                await asyncio.sleep(1.0)
                await session.close(drain=0.5)

    run_virtual(evening())
    log = tmp_path / "table-7.jsonl"
    was = [line.data for line in read(log) if line.kind == "~told"]
    ends: list[Any] = []
    replay.report(
        log, {}, watch=lambda event: isinstance(event, foretell.Ended) and ends.append(event)
    )
    assert [(end.status, end.text) for end in ends[:sittings]] == [
        ("superseded", told["text"]) for told in was
    ]


# --- what happens at one instant


def uneven(request: Request, number: int) -> Script:
    return Script({"text": f"{WORDS} ({number})"}, ttft=1 / 3 + number / 97, delay=1 / 71)


def even(request: Request, number: int) -> Script:
    text = {"text": f"{WORDS} ({number})"}
    return Script(text, ttft=0.25 * (number % 3), delay=0.05, teardown=0.05 * (number % 2))


def at_once(path: Path, answers: Any, *, first: bool) -> dict[str, Any]:
    """A night whose players go on at the very instant of a word, and what it came to."""
    report: dict[str, Any] = {}

    async def night() -> None:
        settings = {"log_dir": str(path.parent)}
        async with foretell.Game(settings, model=ScriptedModel(answers)) as game:
            session = await game.session(path.stem)
            session.update(STATE)
            for number in range(8):
                session.begin_turn("mira")
                action = session.declare("mira", "longsword", target="goblin-1")
                await asyncio.sleep((0.3, 2.0)[number % 2])
                telling = action.outcome(("hit", "miss")[number // 2 % 2], damage=1)
                async for _ in telling.text():
                    if first:
                        break
            await session.close(drain=30.0)
            report.update(session.report())

    run_virtual(night())
    return report


def test_what_was_said_at_the_instant_of_a_word_comes_after_that_word_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 4
    path = tmp_path / "table-7.jsonl"
    live = at_once(path, even, first=True)
    found = replayed(capsys, path)
    assert found["streams"]["recorded"] == found["streams"]["requests"] > 8
    assert found["latency_ms"] == pytest.approx(live["latency_ms"], abs=0.002)
    for name in ("served", "tokens", "cancelled", "errors"):
        assert found[name] == live[name]
    assert found["cost_usd"]["with"] == live["cost_usd"]


def test_another_policy_hears_a_word_before_what_was_said_at_its_instant(tmp_path: Path) -> None:
    path = tmp_path / "table-7.jsonl"
    at_once(path, uneven, first=False)
    asked = [record.data for record in read(path) if record.kind == "~generation"]
    again = [line for line in own_lines(path) if line["kind"] == "~generation"]
    assert [line["request"] for line in again] == [line["request"] for line in asked]
