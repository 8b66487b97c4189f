"""Replaying a log: the report and its figures, and the same trace every time."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import replay
from foretell.cli import main
from foretell.streams.events import Result
from foretell.streams.log import read
from foretell.testing import LogBuilder, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 12, "max_hp": 12},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


def night() -> LogBuilder:
    """A hit, one in flight, a miss nobody foresaw, and a fireball."""
    log = LogBuilder("night").state(STATE).wait(1).turn("mira")
    log.wait(2).action("mira", "longsword", target="goblin-1").wait(20).outcome("hit", damage=3)
    log.wait(8).action("mira", "longsword", target="goblin-2").wait(1.1).outcome("miss")
    options = [{"type": "attack", "name": name} for name in ("scimitar", "bow")]
    log.wait(8).say("gm", "What now?").end_turn().wait(1).turn("goblin-1", options=options)
    log.wait(8).undeclared("goblin-1", "dance", "success").wait(8)
    log.action("mira", "fireball", type="cast", target=["goblin-1", "goblin-2"]).wait(30)
    log.outcome(results=[Result("hit", "goblin-1", {"damage": 2}), Result("miss", "goblin-2")])
    return log.wait(30)


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return night().write(tmp_path / "night.jsonl")


def replayed(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> Any:
    assert main(["replay", str(path), "--json", *options]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    return orjson.loads(out.out)


def test_the_report_has_all_its_figures(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = replayed(log, capsys)
    assert {
        "session", "events", "turns", "outcomes", "intensity", "seed", "served", "hit_rate",
        "latency_ms", "baseline_latency_ms", "latency_reduction", "tokens", "cost_usd",
        "prediction", "cancelled", "stale", "untrue", "virtual_seconds", "wall_seconds",
        "trace_sha256",
    } <= set(found)  # fmt: skip
    assert (found["session"], found["intensity"], found["seed"]) == ("night", "conservative", 0)
    assert (found["events"], found["turns"], found["outcomes"]) == (12, 2, 4)
    assert found["served"] == {"hit": 2, "in_flight": 1, "miss": 1, "failed": 0, "superseded": 0}
    assert found["hit_rate"] == 0.75
    assert found["stale"] == found["untrue"] == found["faults"] == 0
    assert set(found["latency_ms"]) == set(found["baseline_latency_ms"]) == {"mean", "p50", "p95"}
    assert set(found["tokens"]) == {
        "prefetch", "refine", "foreground", "plan", "summary", "saved", "wasted", "estimated",
    }  # fmt: skip
    assert found["tokens"]["prefetch"] == found["tokens"]["saved"] + found["tokens"]["wasted"]
    assert set(found["cost_usd"]) == {"with", "without"}
    assert found["cost_usd"]["with"] > 0
    assert found["cost_usd"]["without"] > 0
    assert set(found["prediction"]) == {"top1", "top3", "coverage"}
    assert found["cancelled"] > 0
    assert len(found["trace_sha256"]) == 64
    assert found["virtual_seconds"] == pytest.approx(117.5, abs=1)
    assert found["summary"].startswith("Prefetch: ")


def test_prefetching_halves_the_wait_and_off_saves_nothing(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 0-6
    found = replayed(log, capsys)
    assert found["latency_reduction"] > 0.5
    assert found["timely"]["outcomes"] == 2
    assert found["timely"]["latency_reduction"] == 1.0
    off = replayed(log, capsys, "--intensity", "off")
    assert off["tokens"]["prefetch"] == off["tokens"]["saved"] == 0
    assert off["latency_reduction"] == 0
    assert off["latency_ms"] == off["baseline_latency_ms"] == found["baseline_latency_ms"]
    assert off["cost_usd"]["with"] == off["cost_usd"]["without"] == found["cost_usd"]["without"]


def test_the_figures_are_those_of_the_tellings(log: Path) -> None:
    """Counted again from the events that viewers get."""
    ends: list[foretell.Ended] = []

    def watch(event: Any) -> None:
        if isinstance(event, foretell.Ended):
            ends.append(event)

    found = replay.report(log, foretell.Settings(), watch=watch)
    served = [str(each) for end in ends for each in end.served]
    assert {name: n for name, n in found["served"].items() if n} == {
        name: served.count(name) for name in served
    }
    waits = [seconds for end in ends for seconds in end.latency if seconds is not None]
    assert found["latency_ms"]["mean"] == round(1000 * math.fsum(waits) / len(waits), 3)


def test_the_same_log_gives_the_same_trace(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first = replayed(log, capsys)
    again = replayed(log, capsys)
    assert {**first, "wall_seconds": 0} == {**again, "wall_seconds": 0}
    others = [
        replayed(log, capsys, "--seed", "7"),
        replayed(log, capsys, "--intensity", "aggressive"),
        replayed(log, capsys, "--profile", "local-8b"),
    ]
    assert len({first["trace_sha256"], *(each["trace_sha256"] for each in others)}) == 4
    assert others[0]["seed"] == 7


def test_a_live_session_and_its_replay_leave_the_same_trace(tmp_path: Path) -> None:  # G9
    settings = foretell.Settings(log_dir=str(tmp_path), seed=3)

    async def live() -> str:
        async with foretell.Game(settings) as game:
            session = await game.session("live")
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "longsword", target="goblin-1")
            await asyncio.sleep(6.1)
            state = {**STATE, "weather": "rain"}
            telling = action.outcome("hit", damage=3, state=state, to=("mira",))
            await asyncio.sleep(10.3)  # not till it is told: a log has times of whole microseconds
            telling.delivered(10, "mira")
            session.update({**STATE, "location": {"id": "ford", "name": "Ford"}})
            await asyncio.sleep(1.7)
            action = session.declare("mira", "longsword", target="goblin-2")
            await asyncio.sleep(1.9)
            action.outcome("critical", damage=30)
            session.outcome("goblin-1", "scimitar", "hit", target="mira", damage=2, state=STATE)
            session.end_turn()
            await asyncio.sleep(20)
            await session.close(60)
            return session.trace_sha256

    trace = run_virtual(live())
    again = settings.model_copy(update={"log_dir": None})
    found = replay.report(tmp_path / "live.jsonl", again, model_from="narrator")
    assert found["trace_sha256"] == trace
    assert found["outcomes"] == 3


def test_a_replay_writes_no_log_and_asks_no_one_elses_model(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = log.read_bytes()
    found = replayed(log, capsys)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "a key that must not be used")
    assert replayed(log, capsys)["trace_sha256"] == found["trace_sha256"]
    assert [path.name for path in tmp_path.iterdir()] == ["night.jsonl"]
    assert log.read_bytes() == before


def test_a_packed_log_replays_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plain = night().write(tmp_path / "a.jsonl")
    packed = night().write(tmp_path / "b.jsonl.gz")
    assert packed.read_bytes()[:2] == b"\x1f\x8b"
    traces = [replayed(path, capsys)["trace_sha256"] for path in (plain, packed)]
    assert traces[0] == traces[1]


def test_without_json_it_is_a_few_lines_for_people(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:  # 0-21
    assert main(["replay", str(log)]) == 0
    out = capsys.readouterr().out
    assert "night: 4 outcomes in 2 turns" in out
    assert "hit 2, in_flight 1, miss 1" in out
    assert "0 stale, 0 untrue" in out
    assert "% cache hits" in out


def test_a_log_with_nothing_in_it_to_tell(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = LogBuilder().write(tmp_path / "empty.jsonl")
    found = replayed(path, capsys)
    assert found["outcomes"] == 0
    assert found["hit_rate"] is found["latency_ms"]["mean"] is found["latency_reduction"] is None
    assert main(["replay", str(path)]) == 0


HEADER = (
    b'{"t":0,"kind":"session","format":1,"id":"x","started":"2026-01-01T00:00:00Z",'
    b'"source":"test","clock":"drawn"}\n'
)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        pytest.param(None, "No such file", id="missing"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"hello\n", "line 1: ", id="not JSON"),
        pytest.param(HEADER.replace(b'"format":1', b'"format":2'), "format", id="future"),
        pytest.param(
            HEADER + b'{"t":5,"kind":"end"}\n{"t":4,"kind":"end"}\n', "line 3: ", id="backwards"
        ),
        pytest.param(
            HEADER + b'{"t":5,"kind":"outcome"}\n{"t":6,"kind":"end"}\n', "line 2: ", id="no result"
        ),
    ],
)
def test_a_bad_log_is_one_clear_line(
    content: bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.jsonl"
    if content is not None:
        path.write_bytes(content)
    assert main(["replay", str(path), "--json"]) == 1
    out = capsys.readouterr()
    assert out.out == ""
    assert out.err.count("\n") == 1
    assert out.err.startswith("foretell: error: ") and "bad.jsonl" in out.err
    assert said.lower() in out.err.lower()


def test_an_outcome_of_the_unknown_is_told_in_full_with_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "odd.jsonl"
    path.write_bytes(
        HEADER + b'{"t":5,"kind":"outcome","action_id":"ghost","turn":"never","result":"hit"}\n'
    )
    assert main(["replay", str(path), "--json"]) == 0
    told = capsys.readouterr()
    assert orjson.loads(told.out)["served"]["miss"] == 1
    assert told.err == (  # once, though it was played twice
        "foretell: warning: session replay: outcome of action 'ghost', "
        "which was not declared in this turn\n"
    )


def test_a_second_session_line_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "two.jsonl"
    path.write_bytes(HEADER + HEADER)
    assert main(["replay", str(path)]) == 1
    assert capsys.readouterr().err.endswith(
        "two.jsonl: line 2: a second session line; keep one session a file\n"
    )


def test_wrong_use_is_told_apart(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["replay", "x.jsonl", "--intensity", "loud"])
    assert exit_.value.code == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_the_recorded_combat_replays_without_a_stale_word(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "fireball.jsonl"
    assert main(["import", "fireball", str(data / "fireball/raw.jsonl"), "-o", str(path)]) == 0
    capsys.readouterr()
    found = replayed(path, capsys)
    outcomes = [record for record in read(path) if record.kind == "outcome"]
    assert found["outcomes"] == len(outcomes)
    assert found["stale"] == found["untrue"] == found["faults"] == 0
    assert found["timely"]["latency_reduction"] >= 0.5
    assert found["trace_sha256"] == replayed(path, capsys)["trace_sha256"]


async def test_a_log_builder_keeps_its_promises(tmp_path: Path) -> None:
    builder = night()
    path = builder.write(tmp_path / "night.jsonl", table="seven")
    name, inputs = replay.load(path)
    assert (name, inputs[:-1]) == ("night", builder.events)
    assert next(iter(read(path))).data["table"] == "seven"
    with pytest.raises(ValueError, match="time cannot run backwards"):
        builder.wait(-1)
    with pytest.raises(ValueError, match="no action yet"):
        LogBuilder().outcome("hit")
    with pytest.raises(ValueError, match="needs a result"):
        builder.outcome()
    with pytest.raises(ValueError, match="end_turn without a turn"):
        LogBuilder().end_turn()


# --- parts of a night, and options that go together


def test_a_replay_ends_where_it_is_told_to(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole, part = replayed(log, capsys), replayed(log, capsys, "--to", "40")
    assert (whole["outcomes"], part["outcomes"], part["events"]) == (4, 2, 6)
    assert part["virtual_seconds"] < 45
    compared = replayed(log, capsys, "--to", "40", "--compare", "off,conservative")
    assert compared["outcomes"] == 2
    assert compared["policies"][1]["trace_sha256"] == part["trace_sha256"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--from", "3"], "--from is of what is shown; figures begin at the beginning"),
        (["--verify", "--from", "3"], "--from is of what is shown"),
        (["--compare", "off,conservative", "--from", "3"], "--from is of what is shown"),
        (["--speed", "2", "--from", "9", "--to", "8"], "--from 9 is later than --to 8"),
        (["--speed", "2", "--json"], "leave out --json"),
        (["--speed", "2", "--base-url", "http://x", "--from", "1"], "--from goes without"),
        (["--verify", "--speed", "2"], "--verify goes without --speed: it does all as it was"),
        (["--verify", "--intensity", "off"], "--verify goes without --intensity"),
        (["--verify", "--seed", "0"], "--verify goes without --seed"),
        (["--verify", "--profile", "instant"], "--verify goes without --profile"),
        (["--verify", "--model-from", "narrator"], "--verify goes without --model-from"),
        (["--heavy"], "--heavy checks each step of a recording: add --verify"),
        (["--base-url", "http://x", "--model-from", "narrator"], "goes without --base-url"),
        (["--game", "nowhere:at_all"], "--game nowhere:at_all: "),
    ],
)
def test_options_that_do_not_go_together_are_one_line_and_2(
    options: list[str], says: str, log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(log), *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert says in told.err and told.err.count("\n") == 1


def test_an_imported_night_is_shown_at_its_pace(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:  # 4
    waited: list[float] = []
    monkeypatch.setattr("foretell.replay.pace.time.monotonic", lambda: sum(waited))
    monkeypatch.setattr("foretell.replay.pace.time.sleep", waited.append)
    ends: list[str] = []

    def watch(event: Any) -> None:
        if isinstance(event, foretell.Ended):
            ends.append(" ".join(event.text.split()))

    seconds = replay.report(log, {}, watch=watch)["virtual_seconds"]
    assert main(["replay", str(log), "--speed", "2"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert len(ends) == 4 and all(text in shown for text in ends)
    assert sum(waited) == pytest.approx(seconds / 2)
    waited.clear()
    assert main(["replay", str(log), "--speed", "1", "--from", "40", "--to", "60"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert [text in shown for text in ends] == [False, False, True, False]
    assert 10 < sum(waited) < 25


def test_a_server_is_not_asked_for_a_night_that_is_shown(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ANTHROPIC_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setattr("foretell.replay.pace.time.sleep", lambda seconds: None)
    assert main(["replay", str(log), "--speed", "9"]) == 0
    assert "Goblin" in capsys.readouterr().out


def test_the_clock_of_a_replay_starts_when_its_session_stands() -> None:
    """A door takes seconds to open; the session must not be played in a rush for it."""

    class Slow(foretell.Game[Any]):
        async def session(self, *given: Any, **more: Any) -> Any:
            await asyncio.sleep(30)
            return await super().session(*given, **more)

    log = LogBuilder("slow")
    log.state({"mode": "combat", "actors": {"a": {"hp": 9}, "b": {"hp": 20}}})
    log.wait(1).turn("a").action("a", "axe", target="b").wait(8).outcome("hit", damage=1)
    for speed in (None, 1.0):
        work = replay.play(log.events, foretell.Settings(), game=Slow, speed=speed)
        run = run_virtual(work)
        assert run.report["served"]["hit"] == 1
