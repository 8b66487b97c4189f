"""Recording: flushed by policy, never in the loop's way, in parts, and whole whatever is killed."""

from __future__ import annotations

import gzip
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.config import Settings
from foretell.errors import ConfigError
from foretell.replay import load
from foretell.sinks.recorder import Recorder
from foretell.streams import events as ev
from foretell.streams import log_flush
from foretell.streams.log import LogError, LogWriter, read, read_header, validate
from foretell.streams.world import Numbered
from foretell.testing import ScriptedModel, instant

HEADER = {"id": "night", "started": "2026-11-21T19:30:00Z", "source": "test", "clock": "drawn"}
ROTATE = 2_000


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [each.name for each in threading.enumerate() if each.name == "foretell log"] == []


class Lines:
    """A writer that is a function."""

    last_t = 0.0

    def __init__(self, write: Callable[[Any], Any]) -> None:
        self.write = write

    def close(self) -> None:
        """Nothing is open."""


def say(n: int) -> dict[str, Any]:
    return {"t": n / 10, "kind": "say", "speaker": "mira", "text": f"line {n} " + "x" * 60}


def chunk(n: int) -> dict[str, Any]:
    return {"t": n / 10, "kind": "~chunk", "generation": "g1", "text": f"piece {n}"}


def told(path: Path, **how: Any) -> list[str]:
    """The texts of a log, in order."""
    return [r.data["text"] for r in read(path, **how) if "text" in r.data]


def texts(count: int) -> list[str]:
    return [each["text"] for n in range(1, count + 1) for each in (say(n), chunk(n))]


def record(writer: LogWriter, numbers: range) -> None:
    for n in numbers:
        writer.write(say(n))
        writer.write(chunk(n))


def flood(writer: LogWriter, taken: list[int], *, flush: bool = False) -> None:
    for n in range(1, 1_000):
        writer.write(say(n))
        taken.append(n)
        if flush:
            writer.flush()


def collect(path: Path, into: list[Any]) -> None:
    """What can be read, up to the error."""
    for each in read(path, sealed=True):
        into.append(each)  # noqa: PERF402


def recorded(path: Path, count: int = 100, **how: Any) -> list[str]:
    """Write a log of ``count`` pairs of lines; returns the files of its folder."""
    with LogWriter(path, HEADER, **how) as writer:
        record(writer, range(1, count + 1))
    return sorted(os.listdir(path.parent))


@asynccontextmanager
async def opened(settings: dict[str, Any]) -> AsyncIterator[foretell.Session[Any]]:
    async with (
        foretell.Game(settings, model=ScriptedModel()) as game,
        await game.session("night") as session,
    ):
        yield session


# When what is written is there


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("flush", ["line", "second", "end", 0.5])
def test_every_policy_writes_the_same_log(tmp_path: Path, flush: Any, background: bool) -> None:
    recorded(tmp_path / "plain.jsonl")
    recorded(tmp_path / "other.jsonl", flush=flush, background=background)
    recorded(tmp_path / "packed.jsonl.gz", flush=flush, background=background)
    whole = (tmp_path / "plain.jsonl").read_bytes()
    assert (tmp_path / "other.jsonl").read_bytes() == whole
    assert gzip.decompress((tmp_path / "packed.jsonl.gz").read_bytes()) == whole
    assert validate(tmp_path / "other.jsonl").errors == []


@pytest.mark.parametrize(("flush", "there"), [("line", 96), ("second", 90), (2.0, 80), ("end", 0)])
def test_a_policy_says_what_a_kill_costs(tmp_path: Path, flush: Any, there: int) -> None:
    path = tmp_path / "f.jsonl"
    writer = LogWriter(path, HEADER, flush=flush)
    for n in range(1, 97):
        writer.write(say(n))
    assert len(told(path)) == there
    writer.flush()
    assert len(told(path)) == 96
    writer.close()


def test_a_thread_writes_without_being_asked_and_flush_waits_for_it(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    with LogWriter(path, HEADER, flush="end", background=True) as lazy:
        record(lazy, range(1, 5))
        assert told(path) == []
        lazy.flush()
        assert told(path) == texts(4)
    written = threading.Event()
    prompt = LogWriter(tmp_path / "g.jsonl", HEADER, background=True)
    real = os.write

    def write(fd: int, data: bytes) -> int:
        try:
            return real(fd, data)
        finally:
            written.set()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "write", write)
        record(prompt, range(1, 5))
        assert written.wait(30)
    prompt.close()
    prompt.close()
    assert told(tmp_path / "g.jsonl") == texts(4)


def test_what_is_changed_after_it_was_written_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    state: dict[str, Any] = {"hp": 7}
    with LogWriter(path, HEADER, flush="end", background=True) as writer:
        writer.write({"t": 1.0, "kind": "state", "state": state})
        state["hp"] = 0
    assert [r.data["state"] for r in read(path) if r.kind == "state"] == [{"hp": 7}]


def test_a_disk_that_refuses_is_said_by_a_later_call_and_whole_lines_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.jsonl"
    real, room = os.write, 700

    def full(fd: int, data: bytes) -> int:
        nonlocal room
        if not room:
            raise OSError(28, "No space left on device")
        taken = real(fd, data[: min(room, 100)])
        room -= taken
        return taken

    writer = LogWriter(path, HEADER, background=True)
    with monkeypatch.context() as patched:
        patched.setattr(os, "write", full)
        with pytest.raises(LogError, match="No space left"):
            flood(writer, [], flush=True)
        with pytest.raises(ValueError, match="closed"):
            writer.write(say(10_000))
    writer.close()
    lines = told(path)
    assert len(lines) in range(4, 8) and validate(path).errors == []
    with LogWriter(path, HEADER, warn=pytest.fail) as again:
        again.write(say(10_001))
    assert told(path) == [*lines, say(10_001)["text"]]


def test_a_disk_that_refuses_the_last_lines_is_said_by_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    writer = LogWriter(tmp_path / "f.jsonl", HEADER, flush="end", background=True)
    writer.write(say(1))
    monkeypatch.setattr(os, "write", full)
    with pytest.raises(LogError, match="No space left"):
        writer.close()
    writer.close()


def test_a_disk_that_does_not_follow_ends_the_recording_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "f.jsonl"
    stuck, real = threading.Event(), os.write

    def slow(fd: int, data: bytes) -> int:
        assert stuck.wait(30)
        return real(fd, data)

    monkeypatch.setattr(log_flush, "BUFFER", 1_000)
    monkeypatch.setattr(log_flush, "MOST_WAITING", 20_000)
    monkeypatch.setattr(os, "write", slow)
    writer = LogWriter(path, HEADER, background=True)
    taken: list[int] = []
    with pytest.raises(LogError, match="the disk does not follow"):
        flood(writer, taken)
    assert len(taken) in range(120, 200)
    stuck.set()
    writer.close()
    assert told(path) == [say(n)["text"] for n in taken]


@pytest.mark.real_time
async def test_a_full_disk_ends_a_live_recording_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    def full(fd: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    async with opened({"log_dir": str(tmp_path)}) as session:
        session.update({"hp": 1})
        assert (await session.outcome("mira", "bow", "hit")).text
        session._pipeline.recorder._writer.flush()  # type: ignore[union-attr]
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", full)
            while session.report()["faults"] == 0:
                assert (await session.outcome("mira", "bow", "miss")).text
        assert (await session.outcome("mira", "bow", "hit")).text
    assert session.report()["faults"] == 1 and "No space left" in caplog.text
    assert validate(tmp_path / "night.jsonl").errors == []
    assert told(tmp_path / "night.jsonl", sealed=True)


# Parts


@pytest.mark.parametrize("background", [False, True])
def test_a_log_that_grows_is_set_aside_in_parts_and_read_as_one(
    tmp_path: Path, background: bool
) -> None:
    path = tmp_path / "night.jsonl"
    files = recorded(path, rotate=ROTATE, background=background)
    parts = len(files) - 1
    assert files == [*(f"night.{n:04d}.jsonl.gz" for n in range(1, parts + 1)), "night.jsonl"]
    assert parts > 5 and path.stat().st_size < ROTATE + 300
    (tmp_path / "one").mkdir()
    one = tmp_path / "one" / "night.jsonl"
    recorded(one)
    assert [r.data for r in read(path, sealed=True)] == [r.data for r in read(one, sealed=True)]
    assert load(path) == load(one)
    report = validate(path)
    assert report.errors == [] and report.warnings == []
    assert (report.lines, report.kinds) == (validate(one).lines, validate(one).kinds)
    assert read_header(path).data == read_header(one).data


def test_a_part_has_what_a_reader_of_it_alone_needs(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    recorded(path, rotate=ROTATE)
    seen: list[str] = []
    for file in sorted(tmp_path.glob("night.*.jsonl.gz")):
        header, *rest = read(file, sealed=True)
        assert {key: header.data[key] for key in HEADER} == HEADER
        assert header.t <= rest[0].t
        assert validate(file).errors == []
        seen += [record.data["text"] for record in rest]
    assert seen == texts(100)[: len(seen)]
    assert orjson.loads(path.read_bytes().splitlines()[0])["continues"]["parts"] > 5


@pytest.mark.parametrize("background", [False, True])
def test_a_log_in_parts_is_continued(tmp_path: Path, background: bool) -> None:
    path = tmp_path / "night.jsonl"
    for start in range(1, 101, 10):
        with LogWriter(path, HEADER, rotate=ROTATE, background=background) as writer:
            assert writer.last_t == (start - 1) / 10
            record(writer, range(start, start + 10))
    assert told(path, sealed=True) == texts(100)
    assert len(os.listdir(tmp_path)) > 5


def test_a_missing_part_is_named_and_what_comes_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    recorded(path, rotate=ROTATE)
    (tmp_path / "night.0003.jsonl.gz").unlink()
    lines: list[Any] = []
    with pytest.raises(LogError, match=r"night\.0003\.jsonl\.gz: is missing; .* put it back"):
        collect(path, lines)
    assert [each.data["text"] for each in lines[1:]] == texts(100)[: len(lines) - 1]
    assert len(lines) > 20
    (problem,) = validate(path).errors
    assert problem.file.endswith("night.0003.jsonl.gz")
    with LogWriter(path, HEADER) as writer:  # it is the readers who need it
        writer.write(say(101))


@pytest.mark.parametrize("other", ["night.0002.jsonl.gz", "of another"])
def test_a_wrong_part_and_a_cut_one_are_errors(tmp_path: Path, other: str) -> None:
    path = tmp_path / "night.jsonl"
    recorded(path, rotate=ROTATE)
    third = tmp_path / "night.0003.jsonl.gz"
    whole = third.read_bytes()
    third.write_bytes(whole[:-20])
    with pytest.raises(LogError, match=r"0003.*cut off before its end; restore it"):
        list(read(path))
    if other == "of another":
        third.write_bytes(gzip.compress(gzip.decompress(whole).replace(b'"night"', b'"day"')))
    else:
        third.write_bytes((tmp_path / other).read_bytes())
    with pytest.raises(LogError, match="is not part 3 of"):
        list(read(path))


def half_linked(folder: Path) -> None:
    os.link(folder / "night.jsonl", folder / "night.0003.jsonl")


def plain_left(folder: Path) -> None:
    packed = folder / "night.0002.jsonl.gz"
    (folder / "night.0002.jsonl").write_bytes(gzip.decompress(packed.read_bytes()))
    packed.unlink()
    (folder / "night.0002.jsonl.gz.tmp").write_bytes(b"half of i")


def both_left(folder: Path) -> None:
    packed = folder / "night.0002.jsonl.gz"
    (folder / "night.0002.jsonl").write_bytes(gzip.decompress(packed.read_bytes()))


@pytest.mark.parametrize("killed", [half_linked, plain_left, both_left])
@pytest.mark.parametrize("background", [False, True])
def test_a_kill_in_the_midst_of_a_rotation_loses_nothing_and_doubles_nothing(
    tmp_path: Path, killed: Callable[[Path], None], background: bool
) -> None:
    path = tmp_path / "night.jsonl"
    with LogWriter(path, HEADER, rotate=ROTATE) as writer:
        n = 0
        while not (tmp_path / "night.0002.jsonl.gz").exists():
            n += 1
            record(writer, range(n, n + 1))
    killed(tmp_path)
    assert told(path, sealed=True) == texts(n)
    with LogWriter(path, HEADER, rotate=ROTATE, background=background, warn=pytest.fail) as writer:
        record(writer, range(n + 1, 101))
    assert told(path, sealed=True) == texts(100)
    assert all(name.endswith((".jsonl.gz", "night.jsonl")) for name in os.listdir(tmp_path))


def test_what_bears_the_name_of_a_part_already_is_never_replaced(tmp_path: Path) -> None:
    path, other = tmp_path / "night.jsonl", tmp_path / "night.0001.jsonl"
    other.write_bytes(b"of another session\n")
    warnings: list[str] = []
    recorded(path, rotate=ROTATE, warn=warnings.append)
    assert other.read_bytes() == b"of another session\n"
    assert told(path, sealed=True) == texts(100)
    assert len(warnings) == 1 and "stays one file" in warnings[0]


def test_a_part_that_cannot_be_compressed_stays_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(source: Any, target: Any) -> None:
        if str(target).endswith(".gz"):
            raise OSError(28, "No space left on device")
        real(source, target)

    real = os.replace
    monkeypatch.setattr(os, "replace", refused)
    warnings: list[str] = []
    path = tmp_path / "night.jsonl"
    files = recorded(path, rotate=ROTATE, warn=warnings.append)
    assert len(warnings) == len(files) - 1 and "stays uncompressed" in warnings[0]
    assert told(path, sealed=True) == texts(100) and "night.0001.jsonl" in files


async def test_a_session_in_parts_goes_on_where_it_ended(tmp_path: Path) -> None:
    settings = {"log_dir": str(tmp_path), "log_rotate": 65_536, "log_flush": "second"}
    for night in range(3):
        async with opened(settings) as session:
            assert session.world.revision == night * 42
            for n in range(40):
                session.update({"night": night, "round": n, "map": "x" * 5_000})
                await instant()
            assert (await session.outcome("mira", "bow", "hit")).text
    path = tmp_path / "night.jsonl"
    assert (tmp_path / "night.0005.jsonl.gz").exists()
    assert validate(path).errors == [] and validate(path).warnings == []
    assert len(load(path)[1]) == 3 * 41 + 1  # of the three ends the last


def test_an_input_that_is_written_late_stands_where_it_came_in() -> None:
    written: list[dict[str, Any]] = []
    recorder = Recorder(lambda: 2.0, Lines(written.append))
    recorder.trace("~note")
    recorder.on_input(Numbered(1, ev.Say(1.0, "mira", "Now!"), 1.0))
    assert [(line["t"], line["kind"]) for line in written] == [(2.0, "~note"), (2.0, "say")]


def test_a_fault_that_cannot_be_recorded_is_told_once() -> None:
    def refuse(record: Any) -> None:
        raise ValueError("no")

    told: list[str] = []

    def fault(where: str, error: BaseException) -> None:
        told.append(where)
        recorder.trace("~fault", where=where, error=str(error))

    recorder = Recorder(lambda: 0.0, Lines(refuse), fault)
    recorder.trace("~note")
    assert told == ["recorder"]


def test_settings_name_their_policies() -> None:
    assert Settings.load({"log_flush": 2, "log_rotate": 10**6}).log_flush == 2.0
    for wrong in ({"log_flush": "never"}, {"log_flush": -1}, {"log_rotate": 10}):
        with pytest.raises(ConfigError, match="log_"):
            Settings.load(wrong)


# What was changed by hand


def edited(path: Path, change: Callable[[list[bytes]], None]) -> int | None:
    """Change the lines of a log; returns the line that ``validate`` names, if one is."""
    lines = path.read_bytes().splitlines(keepends=True)
    change(lines)
    path.write_bytes(b"".join(lines))
    report = validate(path)
    assert len(list(read(path))) == len(lines)  # who wants the inputs alone can have them
    before: list[Any] = []
    if not report.errors:
        collect(path, before)
        return None
    (problem,) = report.errors
    with pytest.raises(LogError) as caught:
        collect(path, before)
    assert (caught.value.line, caught.value.reason) == (problem.line, problem.reason)
    assert [each.line for each in before] == list(range(1, problem.line))
    return problem.line


def reword(lines: list[bytes]) -> None:
    lines[20] = lines[20].replace(b"piece", b"peace")


def renumber(lines: list[bytes]) -> None:
    lines[20] = lines[20].replace(b'"n":10', b'"n":11')


def take_one(lines: list[bytes]) -> None:
    del lines[20]


def take_first(lines: list[bytes]) -> None:
    del lines[2]


def reformat(lines: list[bytes]) -> None:
    lines[20] = lines[20].replace(b'","', b'", "')


@pytest.mark.parametrize(
    ("change", "line"),
    [(reword, 21), (renumber, 21), (take_one, 22), (take_first, 4), (reformat, None)],
)
def test_a_line_that_was_changed_or_taken_out_is_named(
    tmp_path: Path, change: Callable[[list[bytes]], None], line: int | None
) -> None:
    recorded(tmp_path / "f.jsonl")
    assert edited(tmp_path / "f.jsonl", change) == line


def test_the_reason_says_how_many_lines_are_missing_or_that_they_changed_places(
    tmp_path: Path,
) -> None:
    path = tmp_path / "f.jsonl"
    recorded(path, 20)
    whole = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(whole[:10] + whole[17:]))
    assert "~ lines 5 to 8 are missing before it" in validate(path).errors[0].reason
    with LogWriter(tmp_path / "g.jsonl", HEADER) as writer:
        for _ in range(5):
            writer.write(chunk(1))
    first, *five = (tmp_path / "g.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, *five[:2], five[0], *five[3:]]))
    reason = validate(path).errors[0].reason
    assert reason == "is ~ line 1, where 3 should be; the lines were put into another order"


def test_seals_go_on_over_a_crash(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    recorded(path, 20)
    whole = path.read_bytes()
    for size in range(len(whole) - 300, len(whole)):
        path.write_bytes(whole[:size])
        with LogWriter(path, HEADER, warn=lambda _: None) as writer:
            writer.write(chunk(20))
        assert validate(path).errors == []
        *_, last = read(path, sealed=True)
        assert last.data["n"] == sum(each.kind == "~chunk" for each in read(path))


# Killed


CHILD = """
import sys
from foretell.streams.log import LogWriter
path, flush, background, close = sys.argv[1], sys.argv[2], sys.argv[3] == "True", sys.argv[4]
header = {"id": "night", "started": "2026-11-21T19:30:00Z", "source": "test", "clock": "drawn"}
writer = LogWriter(path, header, flush=flush, rotate=20_000, background=background)
first = round(writer.last_t * 10) + 1
for n in range(first, first + (300 if close == "ends" else 10**9)):
    text = f"line {n} " + "x" * 60
    writer.write({"t": n / 10, "kind": "say", "speaker": "mira", "text": text})
    writer.write({"t": n / 10, "kind": "~chunk", "generation": "g1", "text": f"piece {n}"})
    if close != "ends":
        print(n, flush=True)
"""


def child(path: Path, *args: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CHILD, str(path), *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.parametrize(
    ("flush", "background"), [("line", False), ("line", True), ("second", True), ("end", False)]
)
def test_a_kill_costs_what_the_policy_says_and_the_log_goes_on(
    tmp_path: Path, flush: str, background: bool
) -> None:
    path = tmp_path / "night.jsonl"
    moments = random.Random(f"{flush} {background}")
    for _ in range(3):
        with child(path, flush, background, "never") as running:
            assert running.stdout is not None
            said = 0
            for line in running.stdout:
                said = int(line)
                if moments.random() < 0.003:
                    break
            running.send_signal(signal.SIGKILL)
        report = validate(path)
        assert report.errors == [] and len(report.warnings) <= 1
        lines = told(path, sealed=True, warn=lambda _: None)
        said_lines = [each for each in lines if each.startswith("line")]
        assert said_lines == [say(n)["text"] for n in range(1, len(said_lines) + 1)]
        if flush == "line" and not background:
            assert len(said_lines) >= said


def test_a_program_that_ends_without_closing_its_log_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "night.jsonl"
    with child(path, "end", True, "ends") as running:
        assert running.wait(60) == 0
    assert told(path, sealed=True) == texts(300)
