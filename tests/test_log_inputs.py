"""The inputs of a log, gone through as often as it takes, and never kept."""

from __future__ import annotations

import os
import sys
import tracemalloc
from pathlib import Path

import pytest

from foretell import Settings
from foretell.game import narrator
from foretell.replay import load, play
from foretell.streams import events as ev
from foretell.streams.log import LogError
from foretell.streams.log_inputs import LogInputs
from foretell.testing import LogBuilder, run_virtual


def night(says: int = 3, size: int = 10) -> LogBuilder:
    log = LogBuilder("night").state({"mode": "combat"}).wait(1).turn("mira")
    for number in range(says):
        log.wait(1).say("gm", f"{number} " + "x" * size)
    return log.action("mira", "bow").wait(3).outcome("hit").wait(5)


def test_a_log_is_looked_through_once_and_read_as_often_as_it_takes(tmp_path: Path) -> None:
    builder = night()
    inputs = LogInputs(builder.write(tmp_path / "night.jsonl"))
    assert (inputs.session, inputs.events, inputs.turns, inputs.outcomes) == ("night", 7, 1, 1)
    assert (inputs.last_t, inputs.recorded, inputs.flaw) == (12.0, False, None)
    assert [*inputs] == [*inputs] == [*builder.events, ev.End(12.0)]
    first, second = iter(inputs), iter(inputs)  # a rewind reads while the replay does
    assert [next(first), next(first), next(second)] == [
        *builder.events[:2],
        builder.events[0],
    ]


def test_ends_in_the_midst_are_left_out_wherever_one_begins_to_read(tmp_path: Path) -> None:
    log = LogBuilder("sittings")
    says = iter("abcdefgh")
    for much in (1, 2, 0, 3):
        for _ in range(much):
            log.wait(1).say("gm", next(says))
        log.add(ev.End)
    log.rewind(3).rewind(6).add(lambda t: ev.Retell(t, "#4")).wait(1)  # b, then d, by line
    inputs = LogInputs(log.write(tmp_path / "sittings.jsonl"))
    every = [*inputs]
    assert [event.text for event in every if isinstance(event, ev.Say)] == [*"abcdef"]
    assert [event.to for event in every if isinstance(event, ev.Rewind)] == [2, 3]
    assert [event.action_id for event in every if isinstance(event, ev.Retell)] == ["#3"]
    assert [event for event in every if isinstance(event, ev.End)] == [ev.End(7.0)]
    assert inputs.events == 9
    for count in range(len(every) + 1):
        assert [*inputs.after(count)] == every[count:]


def test_it_ends_where_it_is_told_to(tmp_path: Path) -> None:
    path = night().write(tmp_path / "night.jsonl")
    inputs = LogInputs(path, upto=3.0)
    assert (inputs.events, inputs.outcomes, inputs.last_t) == (4, 0, 3.0)
    assert [event.t for event in inputs] == [0.0, 1.0, 2.0, 3.0]


def test_a_state_that_looks_like_an_own_line_is_an_input(tmp_path: Path) -> None:
    path = (
        LogBuilder()
        .state({"kind": "~chunk"})
        .add(lambda t: ev.Say(t, '"kind":"~', '{"t":0,"kind":"~x"}'))
        .write(tmp_path / "odd.jsonl")
    )
    assert len([*LogInputs(path)]) == 3


def test_what_comes_after_a_damaged_line_is_left_out(tmp_path: Path) -> None:
    path = night().write(tmp_path / "night.jsonl")
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"hello\n", *lines[5:]]))
    inputs = LogInputs(path)
    assert str(inputs.flaw).startswith(f"{path}: line 6: not JSON")
    assert inputs.events == len([*inputs]) == 4
    with pytest.raises(LogError, match="line 6"):
        load(path)
    path.write_bytes(lines[0] + b"hello\n" + lines[1])
    with pytest.raises(LogError, match="line 2"):
        LogInputs(path)


def test_a_log_that_grows_meanwhile_is_read_as_far_as_it_was(tmp_path: Path) -> None:
    path = night().write(tmp_path / "night.jsonl")
    inputs = LogInputs(path)
    before = [*inputs]
    with path.open("ab") as file:
        file.write(b'{"t":13,"kind":"say","speaker":"gm","text":"More!"}\n')
    assert [*inputs] == before
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:4]))
    with pytest.raises(LogError, match="became shorter while it was read"):
        list(inputs)


@pytest.mark.skipif(sys.platform == "win32", reason="no named pipes among its files")
def test_a_pipe_which_can_be_read_but_once_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")  # type: ignore[attr-defined,unused-ignore]
    with pytest.raises(LogError, match="is no file but a pipe or a device; save the log as a file"):
        LogInputs(tmp_path / "pipe")


def peak(path: Path) -> int:
    """The most bytes that reading and playing a log takes."""
    settings = Settings(history_bytes=0)
    tracemalloc.start()
    try:
        run_virtual(play(LogInputs(path), settings, model=narrator(settings)))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_memory_does_not_grow_with_the_length_of_a_log(tmp_path: Path) -> None:
    """What is said takes 8 MB in the longer log, and 0.4 MB in the shorter."""
    short = night(100, 4_000).write(tmp_path / "short.jsonl")
    long = night(2_000, 4_000).write(tmp_path / "long.jsonl")
    peak(short)  # what is made once is made here
    assert peak(long) - peak(short) < 1_000_000


def test_a_rewind_further_back_than_is_kept_reads_the_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = night(900)
    log.rewind(2.5).wait(1).action("mira", "bow").wait(9).outcome("miss").wait(5)
    path = log.write(tmp_path / "far.jsonl")
    settings = Settings(history_bytes=0)

    def trace(inputs: LogInputs | list[ev.Input]) -> str:
        return run_virtual(play(inputs, settings, model=narrator(settings))).trace_sha256

    inputs = LogInputs(path)
    assert trace(inputs) == trace([*inputs])
    assert "rewind" not in caplog.text
    log.events[-4:-3] = []  # without it, it is another night
    assert trace(LogInputs(log.write(tmp_path / "on.jsonl"))) != trace(inputs)
