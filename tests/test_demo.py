from __future__ import annotations

import asyncio
import contextlib
import io
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from foretell import demo, replay
from foretell.config import Settings
from foretell.demo import server
from foretell.demo.keys import Nobody, keys
from foretell.demo.race import Pace, Race
from foretell.demo.screen import Screen
from foretell.demo.server import EngineAccounts, HttpAccounts, narrator
from foretell.demo.side import Side, racing
from foretell.demo.table import BEATS, Table
from foretell.demo.watched import Stage, Watched
from foretell.demo.words import Lines, about
from foretell.errors import ConfigError, ForetellError
from foretell.operators.narrative import Served
from foretell.replay import verify
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.clock import run_virtual
from foretell.streams.log import LogError, read
from foretell.streams.models import Delta, Message, ModelUnavailable, Purpose, Request, Stop
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import profile

HIT, KILL, FIREBALL, CHANGE, UNFORESEEN, TAKEN_BACK = BEATS
EXAMPLES = Path(__file__).resolve().parent.parent / "examples"


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS", "LINES"):
        monkeypatch.delenv(name, raising=False)


class Scripted:
    """A visitor who presses these keys, each after so many seconds."""

    present = True

    def __init__(self, *pressed: tuple[float, str]) -> None:
        self._pressed = list(pressed)

    async def key(self, seconds: float) -> str | None:
        if self._pressed and self._pressed[0][0] <= seconds:
            wait, key = self._pressed.pop(0)
            await asyncio.sleep(wait)
            return key
        await asyncio.sleep(seconds)
        return None


async def race(*beats: Any, player: Any = None, pace: Pace | None = None, seed: int = 0) -> Race:
    """A race in virtual time, when it is over."""
    engine, table = Engine(profile("hosted-large"), seed), Table(seed)
    lines = Lines(Console(file=io.StringIO()))
    async with racing(NarratorModel(engine), Settings(seed=seed), "demo") as sides:
        run = Race(sides, table, player or Nobody(), EngineAccounts(engine), lines, pace or Pace())
        await run.play(beats or BEATS)
    return run


def played(capsys: pytest.CaptureFixture[str], **how: Any) -> str:
    assert demo.run(fast=True, **how) == 0
    return capsys.readouterr().out


# The whole, in virtual time.


@pytest.mark.parametrize("on_path", [True, False])
def test_the_fast_demo_shows_six_beats_then_the_summary_both_sides_and_the_replay(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    on_path: bool,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/bin/{name}" if on_path else None)
    monkeypatch.setattr("sys.argv", [".venv/bin/foretell"])
    program = "foretell" if on_path else ".venv/bin/foretell"
    log = tmp_path / "a night.jsonl"
    out = played(capsys, output=str(log))
    assert re.findall(r"^\d\. .*", out, re.MULTILINE) == [
        f"{n}. {b.title}" for n, b in enumerate(BEATS, 1)
    ]
    words = " ".join(out.split())
    assert words.count("The server saw 1 stream closed 0.0 ms") == 2  # the others were written
    assert "Of what was prepared since: 1 closed in the writing, 2 dropped." in words
    assert "Nobody foresaw that" in out
    end = out[out.index("Prefetch: ") :]
    assert re.match(r"Prefetch: \d+ tokens used, \d+ tokens saved, 83% cache hits\n", end)
    head, without, with_it = end.splitlines()[2:5]
    assert re.findall(r"\S+", head)[4:] == ["mean", "p50", "p95", "tokens", "dollars", "wasted"]
    assert without.startswith("without Foretell ")
    assert with_it.startswith("with Foretell ")
    assert out.endswith(f"Replay it: {program} replay '{log}'\n")


def test_the_first_line_says_that_the_model_is_simulated_and_by_whose_figures(
    capsys: pytest.CaptureFixture[str],
) -> None:
    first = " ".join(played(capsys).split("\n\n")[0].split())
    assert first.startswith("The model is simulated: its words come from a grammar, not a language")
    assert profile("hosted-large").source in first
    assert "--base-url URL --model NAME" in first


def test_a_pipe_gets_no_escape_codes_and_no_trailing_blanks(
    capsys: pytest.CaptureFixture[str],
) -> None:
    lines = played(capsys).split("\n\n", 1)[1].splitlines()
    assert not [line for line in lines if "\x1b" in line]
    assert not [line for line in lines if line.startswith(" ") and line != line.rstrip()]


def test_one_seed_plays_one_evening(capsys: pytest.CaptureFixture[str]) -> None:
    def evening(seed: int) -> str:
        return played(capsys, seed=seed).rpartition("Replay it")[0]

    assert evening(3) == evening(3)
    assert evening(3) != evening(4)


async def test_what_was_prepared_is_told_at_once_and_what_nobody_foresaw_makes_both_wait() -> None:
    left, right = (await race()).sides
    assert [tale.served for tale in left.tales] == [Served.MISS] * 6
    prepared = [Served.HIT] * 4 + [Served.MISS, Served.HIT]
    assert [tale.served for tale in right.tales] == prepared
    assert [tale.first for tale in (*right.tales[:4], right.tales[5])] == [0.0] * 5
    assert all(tale.first is not None and tale.first > 1 for tale in (*left.tales, right.tales[4]))
    for side in (left, right):
        assert (side.figures["stale"], side.figures["untrue"], side.figures["faults"]) == (0, 0, 0)
    assert right.figures["latency_ms"]["mean"] < left.figures["latency_ms"]["mean"] / 4
    assert left.figures["tokens"]["prefetch"] == 0
    assert right.figures["tokens"]["saved"] > 0 < right.figures["tokens"]["wasted"]


async def test_a_fireball_is_prepared_for_each_of_its_targets() -> None:
    left, right = (await race(HIT, FIREBALL)).sides
    about_whom = {draft.target for draft in right.model.drafts}
    assert about_whom == {"Hobgoblin", "Bugbear", "Ogre"}
    assert {draft.result for draft in right.model.drafts} == {"failure", "success", "kill"}
    for side in (left, right):
        assert all(name in side.tales[1].text for name in about_whom)


def test_the_log_of_the_demo_can_be_replayed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    log = tmp_path / "night.jsonl"
    out = played(capsys, output=str(log))
    report = replay.report(log, Settings())
    assert report["served"] == {"hit": 5, "in_flight": 0, "miss": 1, "failed": 0, "superseded": 0}
    assert report["stale"] == report["untrue"] == 0
    assert report["summary"] in out


def test_the_recording_of_the_demo_replays_exactly_its_rewind_too(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:  # 3-14
    log = tmp_path / "night.jsonl"
    played(capsys, output=str(log))
    assert "rewind" in [record.kind for record in read(log)]
    walked = verify.verify(log, heavy=True)
    assert walked.difference is None
    assert walked.lines > 500


# The table.


@settings(max_examples=30)
@given(st.integers(), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2))
def test_every_evening_comes_out_as_promised_whoever_is_aimed_at(
    seed: int, first: int, second: int, third: int
) -> None:
    table = Table(seed)

    def roll(beat: Any, *targets: str) -> list[tuple[str, bool]]:
        results = table.roll(beat, targets).results
        return [(r["result"], not table.standing([r["target"]])) for r in results]

    assert roll(HIT, HIT.choices[first]) == [("hit", False)]
    assert roll(KILL, KILL.choices[second]) == [("hit", True)]
    burnt = roll(FIREBALL, *FIREBALL.targets)
    assert sorted(burnt) == [("failure", False), ("failure", False), ("success", False)]
    assert roll(CHANGE, CHANGE.choices[third]) == [("miss", False)]
    assert roll(UNFORESEEN, "mira") == [("hit", False)]
    table.take_back()
    assert table.state["actors"]["mira"]["hp"] == 44
    assert roll(TAKEN_BACK, "mira") == [("miss", False)]


@pytest.mark.parametrize("beat", [*BEATS[:4], TAKEN_BACK])
def test_odds_are_whole_and_name_whatever_the_dice_say(beat: Any) -> None:
    table = Table(0)
    for target in beat.choices or beat.targets:
        odds = table.odds(beat, [target])
        assert sum(odds.values()) == pytest.approx(1, abs=0.02)
        result = Table(0).roll(beat, [target]).results[0]["result"]
        assert result in odds
    assert ("kill" in table.odds(beat, beat.targets)) == (beat is KILL)


def test_the_dice_of_a_beat_are_the_same_whoever_it_is_aimed_at() -> None:
    thrown = {Table(7).roll(HIT, [each]).line.split(" against")[0] for each in HIT.choices}
    assert len(thrown) == 1


# A visitor at the keys.


async def test_a_visitor_picks_the_target_and_rolls() -> None:
    player = Scripted((0.5, "\n"), (2.0, "3"), (4.5, "\n"))
    run = await race(HIT, player=player)
    assert run.targets == ("ogre",)
    assert "turns from Hobgoblin to Ogre. The server saw 1 stream closed" in run.lines[1]
    for side in run.sides:
        assert "Ogre" in side.tales[0].text
        assert "Hobgoblin" not in side.tales[0].text
    assert run.sides[1].tales[0].served is Served.HIT


async def test_a_visitor_who_is_too_quick_is_told_what_is_ready_in_flight() -> None:
    run = await race(HIT, player=Scripted((0.5, "\n"), (1.0, "\n")))
    left, right = run.sides
    assert right.tales[0].served is Served.IN_FLIGHT
    assert right.tales[0].first < left.tales[0].first  # type: ignore[operator]


async def test_keys_that_mean_nothing_change_nothing() -> None:
    player = Scripted((0.1, "\x1b"), (0.1, "["), (0.5, "0"), (0.5, "9"), (0.5, "1"), (0.5, "é"))
    run = await race(HIT, player=player)
    assert run.targets == ("hobgoblin",)
    assert len(run.lines) == 2


async def test_the_target_changes_by_itself_unless_the_visitor_has_changed_it() -> None:
    alone = await race(CHANGE)
    assert alone.targets == ("bugbear",)
    eager = await race(CHANGE, player=Scripted((0.5, "\n"), (1.0, "3")))
    assert eager.targets == ("ogre",)
    impatient = await race(CHANGE, player=Scripted((0.5, "\n"), (0.7, "\n")))
    assert impatient.targets == ("bugbear",)
    assert "3 streams closed" in impatient.lines[1]


async def test_a_change_when_all_is_written_closes_nothing_and_says_so() -> None:
    run = await race(HIT, player=Scripted((0.5, "\n"), (4.8, "2")))
    assert "Nothing was being written" in run.lines[1]


class Silent:
    async def closed_since(self, t: float) -> list[float] | None:
        return None


async def test_a_server_that_keeps_no_account_is_not_quoted() -> None:
    engine = Engine(profile("hosted-large"))
    lines = Lines(Console(file=io.StringIO()))
    async with racing(NarratorModel(engine), Settings(), "demo") as sides:  # two were written
        run = Race(sides, Table(), Nobody(), Silent(), lines, Pace())
        await run.play([CHANGE])
    assert "Foretell closed 1 stream; your server keeps no account" in run.lines[1]


@pytest.mark.real_time
@pytest.mark.skipif(sys.platform == "win32", reason="there the demo plays itself")
async def test_keys_are_read_as_they_are_pressed_and_the_terminal_is_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import termios

    ours, theirs = os.openpty()
    with os.fdopen(ours, "wb", 0) as visitor, os.fdopen(theirs) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        before = termios.tcgetattr(stdin)
        with keys() as player:
            assert player.present
            assert not termios.tcgetattr(stdin)[3] & (termios.ICANON | termios.ECHO)
            assert await player.key(0.0) is None
            visitor.write(b"2\r")
            assert [await player.key(10), await player.key(10)] == ["2", "\n"]
        assert termios.tcgetattr(stdin) == before


async def test_nobody_is_there_when_standard_input_is_no_terminal(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with keys() as player:
        assert not player.present


# The screen.


class Snapshots(Screen):
    """A screen whose frames are kept."""

    def __init__(self, width: int, height: int, player: Any = None) -> None:
        self.out = Console(
            file=io.StringIO(), width=width, height=height, force_terminal=True, _environ={}
        )
        super().__init__(self.out, player or Nobody(), about(profile("hosted-large"), "m", None))
        self.frames: list[list[str]] = []

    def _frame(self) -> Any:
        frame = super()._frame()
        lines = self.out.render_lines(frame, self.out.options, pad=True)
        self.frames.append(["".join(part.text for part in line) for line in lines])
        return frame


async def drawn(screen: Snapshots, *beats: Any, model: Any = None) -> list[list[str]]:
    engine = Engine(profile("hosted-large"))
    async with racing(model or NarratorModel(engine), Settings(), "demo") as sides:
        run = Race(sides, Table(), Nobody(), EngineAccounts(engine), screen, Pace())
        async with screen.drawing(run):
            await run.play(beats)
            await screen.hold(1.0)
    return screen.frames


@pytest.mark.parametrize("size", [(120, 40), (80, 24), (60, 30), (40, 20), (20, 8)])
async def test_every_frame_fills_the_terminal_and_no_more(size: tuple[int, int]) -> None:
    width, height = size
    for frame in await drawn(Snapshots(width, height), CHANGE, UNFORESEEN, TAKEN_BACK):
        assert len(frame) == height
        assert {len(line) for line in frame} == {width}


async def test_the_screen_shows_what_is_prepared_the_dice_and_the_wait() -> None:
    frames = ["\n".join(frame) for frame in await drawn(Snapshots(120, 40), HIT)]
    assert any("longsword on Hobgoblin:  hit …  miss …  critical …" in f for f in frames)
    assert any("longsword on Hobgoblin:  hit ✓  miss ✓  critical ✓" in f for f in frames)
    assert any("the model is asked … 1.2 s" in f for f in frames)
    assert "d20: 14 + 7 = 21 against AC 16" in frames[-1]
    assert re.search(r"first word [12]\.\d\d s, not prepared", frames[-1])
    assert "first word 0 ms, prepared" in frames[-1]
    assert "The race is over." in frames[-1]


@pytest.mark.parametrize("size", [(100, 30), (80, 24)])
async def test_both_panes_say_what_was_taken_back_and_the_title_says_which_beat_it_is(
    size: tuple[int, int],
) -> None:
    frames = ["\n".join(f) for f in await drawn(Snapshots(*size), UNFORESEEN, TAKEN_BACK)]
    waiting = [frame for frame in frames if frame.count("Taken back: Mira has 44 HP again.") == 2]
    assert any("greatclub on Mira:" in frame for frame in waiting)
    if size == (100, 30):
        assert any(frame.count("What nobody foresaw  taken back") == 2 for frame in waiting)
    assert "4  5  6 A move taken back " in frames[-1]


async def test_the_terminal_is_given_back_after_a_failure() -> None:
    screen = Snapshots(80, 24)
    with pytest.raises(ForetellError, match="gone"):
        await drawn(screen, HIT, model=Broken())
    assert isinstance(screen.out.file, io.StringIO)
    assert screen.out.file.getvalue().rstrip().endswith("\x1b[?25h\x1b[?1049l")


class Rude:
    async def stream(self, request: Request) -> Any:
        yield Delta("\x1b[2J\x9b5m[red]Boo[/red]")
        yield Stop("end_turn")

    async def aclose(self) -> None:
        pass


async def test_what_a_model_writes_commands_neither_screen_nor_lines() -> None:
    screen = Snapshots(120, 40)
    frames = await drawn(screen, HIT, model=Rude())
    lines = Console(file=io.StringIO())
    async with racing(Rude(), Settings(), "demo") as sides:
        await Race(sides, Table(), Nobody(), Silent(), Lines(lines), Pace()).play([HIT])
    for where, shown in ((screen.out, "\n".join(frames[-1])), (lines, "")):
        assert isinstance(where.file, io.StringIO)
        assert "[2J5m[red]Boo[/red]" in (shown or where.file.getvalue())
        assert not re.search(r"\x1b\[2J|\x9b", where.file.getvalue())


class Broken:
    async def stream(self, request: Request) -> Any:
        raise ModelUnavailable("the server is gone")
        yield

    async def aclose(self) -> None:
        pass


# A move taken back.


async def test_a_move_taken_back_is_undone_in_both_worlds_and_played_again() -> None:
    run = await race(UNFORESEEN, TAKEN_BACK)
    for side in run.sides:
        struck, again = side.tales
        assert "millstone" in struck.text and "15 damage" in struck.text
        assert (struck.undone, again.undone) == (True, False)
        assert "greatclub" in again.text
        assert "millstone" not in again.text and "damage" not in again.text
        assert side.session.world.actor("mira")["hp"] == 44 == table_hp(run, "mira")
        assert again.note.startswith("Taken back: Mira has 44 HP again. ")
        assert (side.figures["stale"], side.figures["untrue"], side.figures["faults"]) == (0, 0, 0)
    left, right = run.sides
    assert left.tales[1].note.endswith("Nothing had been prepared.")
    assert right.tales[1].note.endswith("Of what was prepared since: 3 dropped.")
    assert "The server saw" not in run.lines[1]  # all of it was written
    assert (left.tales[1].served, right.tales[1].served) == (Served.MISS, Served.HIT)


def table_hp(run: Race, actor: str) -> Any:
    return run.table.state["actors"][actor]["hp"]


async def test_the_undone_world_is_that_before_the_move_and_no_earlier_one() -> None:
    engine, table = Engine(profile("hosted-large")), Table()
    seen: list[Any] = []

    class Watching(EngineAccounts):
        async def closed_since(self, t: float) -> list[float] | None:
            for side in sides:
                world = side.session.world
                seen.append((world.turn and world.turn.actor, dict(world.actions), world.state))
            return await super().closed_since(t)

    async with racing(NarratorModel(engine), Settings(), "demo") as sides:
        lines = Lines(Console(file=io.StringIO()))
        run = Race(sides, table, Nobody(), Watching(engine), lines, Pace())
        await run.play([KILL, UNFORESEEN])
        wounded = table.state["actors"]["mira"]["hp"]
        await run.play([TAKEN_BACK])
    assert wounded < 44
    assert table.state["actors"]["goblin-1"]["hp"] == 0
    assert seen == [("ogre", {}, {**table.state, "turn": "ogre"})] * 2


async def test_what_was_ready_for_the_undone_future_is_dropped_and_not_told() -> None:
    run = await race(UNFORESEEN, TAKEN_BACK, pace=Pace(change=9.0))
    right = run.sides[1]
    assert right.tales[1].note.endswith("Of what was prepared since: 3 dropped.")
    assert run.lines[1] == "It is taken back, and Sable's move with it."
    assert {draft.target for draft in right.model.drafts} == {"Mira"}
    assert "Sable" not in right.tales[1].text


# Watching the model.


async def test_a_draft_is_written_then_ready_or_closed() -> None:
    model = Watched(NarratorModel(Engine(profile("hosted-large"))))
    facts = '{"tellings":[{"action":{"name":"bow"},"target":"Wolf","result":"hit"}]}'

    async def read(stream: Any) -> None:
        async for _ in stream:
            pass

    def ask(purpose: Purpose) -> Request:
        return Request("claude", (Message("user", f"FACTS {facts}"),), purpose=purpose)

    await read(model.stream(ask(Purpose.FOREGROUND)))
    assert model.drafts == []
    first = asyncio.create_task(read(model.stream(ask(Purpose.PREFETCH))))
    await asyncio.sleep(1)
    draft = model.drafts[0]
    assert (draft.action, draft.target, draft.result) == ("bow", "Wolf", "hit")
    assert (draft.stage, model.writing) == (Stage.WRITING, 1)
    await first
    assert (draft.stage, model.writing) == (Stage.READY, 0)
    second = asyncio.create_task(read(model.stream(ask(Purpose.PREFETCH))))
    await asyncio.sleep(1)
    second.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await second
    assert model.drafts[1].stage is Stage.CLOSED


# Over real HTTP.


@pytest.mark.real_time
def test_a_beat_is_told_over_http_and_the_servers_account_is_asked() -> None:
    async def beat(url: str, change: float) -> tuple[tuple[Side, Side], list[str]]:
        pace = Pace(settle=0.01, roll=change + 0.25, change=change, ask=3.0, read=0.0)
        slow = "narrator-hosted-large"
        model = AnthropicModel(url, "none")
        await model.warm()
        lines = Lines(Console(file=io.StringIO()))
        async with racing(model, Settings(main_model=slow, small_model=slow), "demo") as sides:
            run = Race(sides, Table(), Nobody(), HttpAccounts(url), lines, pace)
            await run.play([CHANGE])
        await model.aclose()
        return sides, run.lines

    seen = re.compile(r"The server saw 3 streams closed [\d.]+( to [\d.]+)? ms after")
    with narrator("instant", 0) as url:
        for change in (0.05, 0.5, 1.0, 1.5):  # a busy machine has not sent them by then
            sides, lines = asyncio.run(beat(url, change))
            if seen.search(lines[1]):
                break
        else:
            pytest.fail(lines[1])
    assert sides[0].tales[0].served is Served.MISS
    assert sides[1].tales[0].served in (Served.IN_FLIGHT, Served.HIT)
    assert all("bugbear" in side.tales[0].text.lower() for side in sides)


@pytest.mark.real_time
def test_the_narrators_process_ends_with_the_block_however_it_is_left() -> None:
    def connected() -> bool:
        with socket.socket() as sock:
            return sock.connect_ex(("127.0.0.1", int(url.rpartition(":")[2]))) == 0

    with contextlib.suppress(KeyboardInterrupt), narrator("instant", 0) as url:
        assert connected()
        raise KeyboardInterrupt
    assert not connected()


@pytest.mark.real_time
def test_nothing_in_the_current_folder_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("foretell", "orjson"):
        (tmp_path / f"{name}.py").write_text("open('ran', 'w').close()\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with narrator("instant", 0) as url:
        assert url.startswith("http://")
    assert not (tmp_path / "ran").exists()


@pytest.mark.real_time
def test_a_narrator_that_does_not_start_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ForetellError, match=r"did not start.*invalid choice"), narrator("slow", 0):
        pass
    monkeypatch.setattr(server, "find_spec", lambda name: None)
    with pytest.raises(ForetellError, match=r'pip install "foretell\[server\]".*--fast'):
        demo.run()


@pytest.mark.real_time
def test_a_server_that_is_down_gives_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://me:secret@127.0.0.1:{sock.getsockname()[1]}"
        with pytest.raises(ForetellError, match="cannot reach") as failure:
            demo.run(base_url=url, model="mine")
    assert "\n" not in str(failure.value)
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("Both sides ask mine at http://127.0.0.1:")
    assert "secret" not in said + str(failure.value)


def test_wrong_use_is_said_before_anything_is_played(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--fast"):
        demo.run(fast=True, base_url="http://127.0.0.1:1")
    for output in (tmp_path / "missing" / "log.jsonl", tmp_path):
        with pytest.raises(ForetellError, match=r"is a directory|its folder does not exist"):
            demo.run(fast=True, output=str(output))


def test_a_log_that_cannot_be_moved_is_kept_and_its_place_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "night.jsonl"

    def full(source: str, to: Path) -> None:
        to.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", full)
    with pytest.raises(LogError, match="No space left on device; the log is kept at ") as caught:
        demo.run(fast=True, output=str(target))
    kept = Path(str(caught.value).rpartition("kept at ")[2])
    assert "end" in [record.kind for record in read(kept)][-2:]
    assert [*tmp_path.iterdir()] == [kept.parent]
    shutil.rmtree(kept.parent)
    told = capsys.readouterr().out
    assert "Prefetch: " in told and "Replay it" not in told


def children(pid: int) -> list[int]:
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1][0] != "Z"
    return False


@pytest.mark.real_time
@pytest.mark.skipif(sys.platform != "linux", reason="finds processes in /proc")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_ending_it_leaves_no_process_and_no_folder_behind(
    number: signal.Signals, code: int, tmp_path: Path
) -> None:
    command = [sys.executable, "-m", "foretell", "demo"]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        start_new_session=True,
    ) as process:
        found: list[int] = []
        try:
            deadline = time.monotonic() + 30
            while not (found := children(process.pid)) or not recorded(tmp_path):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            out, err = process.communicate(timeout=20)
        except BaseException:
            for each in (*found, process.pid):
                os.kill(each, signal.SIGKILL)
            raise
    assert process.returncode == code
    assert not [child for child in found if alive(child)]
    assert out.startswith("The model is simulated")
    assert err == ""
    assert not list(tmp_path.iterdir())


def recorded(folder: Path) -> Sequence[Path]:
    return list(folder.glob("foretell-*/demo.jsonl"))


# The examples.


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("table", "Prefetch: .* 50% cache hits"),
        ("own_model", "A (close|wide|overhead) shot"),
        ("audience", r"To all:((?!Vex).)*hooded guest((?!Vex).)*\n.*master:.*Vex the assassin"),
    ],
)
def test_examples_run_without_a_key(
    name: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(asyncio, "run", run_virtual)
    source = EXAMPLES / f"{name}.py"
    runpy.run_path(str(source), run_name="__main__")
    assert re.search(says, capsys.readouterr().out)
    assert len(source.read_text("utf-8").splitlines()) < 40


def test_the_example_log_is_a_night_of_the_demo() -> None:
    report = replay.report(EXAMPLES / "demo.jsonl", Settings())
    assert (report["outcomes"], report["stale"], report["untrue"]) == (6, 0, 0)
    assert report["served"]["hit"] == 5
    assert "rewind" in [record.kind for record in read(EXAMPLES / "demo.jsonl")]
