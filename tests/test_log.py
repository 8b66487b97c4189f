"""Session logs: what is written comes back, and what is broken is said in one line."""

from __future__ import annotations

import gzip
import os
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.streams import log_read
from foretell.streams.events import (
    Action,
    Delivered,
    End,
    Need,
    Outcome,
    Patch,
    Result,
    Retell,
    Rewind,
    Say,
    State,
    Turn,
    TurnEnd,
)
from foretell.streams.log import (
    BadRecord,
    LogError,
    LogWriter,
    check,
    read,
    read_header,
    seal,
    to_event,
    to_record,
    validate,
)

HEADER: dict[str, Any] = {
    "t": 0.0,
    "kind": "session",
    "format": 1,
    "id": "table-7",
    "started": "2026-11-21T19:30:00Z",
    "source": "test",
    "clock": "human",
}
STATE = {"t": 0.0, "kind": "state", "state": {"actors": {"goblin": {"hp": 7}}}}
TURN = {"t": 1.0, "kind": "turn", "turn": "r1", "actor": "mira"}
ACTION: dict[str, Any] = {
    "t": 2.0,
    "kind": "action",
    "action_id": "a1",
    "turn": "r1",
    "actor": "mira",
    "action": {"type": "attack", "name": "longsword", "target": "goblin"},
    "odds": {"hit": 0.6, "miss": 0.35, "critical": 0.05},
}
OUTCOME = {"t": 3.0, "kind": "outcome", "action_id": "a1", "result": "hit", "values": {"damage": 9}}
PATCH = {
    "t": 3.1,
    "kind": "patch",
    "patch": [{"op": "replace", "path": "/actors/goblin/hp", "value": -2}],
    "because": "a1",
}
GAME: list[dict[str, Any]] = [
    HEADER,
    STATE,
    TURN,
    ACTION,
    OUTCOME,
    PATCH,
    {"t": 3.5, "kind": "say", "speaker": "mira", "text": "„Got it!“ – naïve 🐉"},
    {"t": 3.6, "kind": "need", "resource": "statblock:goblin"},
    {"t": 3.7, "kind": "delivered", "telling": "n1", "viewer": "mira", "upto": 12},
    {"t": 3.8, "kind": "retell", "action_id": "a1"},
    {"t": 4.0, "kind": "turn_end", "turn": "r1"},
    {"t": 4.5, "kind": "rewind", "to": 0.5},
    {"t": 5.0, "kind": "weather", "rain": True},
    {"t": 6.0, "kind": "end"},
]


def encode(*records: dict[str, Any]) -> bytes:
    return b"".join(orjson.dumps(record) + b"\n" for record in records)


INPUTS = f"{zlib.crc32(encode(*GAME[:-1])):08x}"
GAME.insert(-1, seal({"t": 5.0, "kind": "~chunk", "text": "The ", "inputs": INPUTS, "n": 1}))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "game.jsonl"
    path.write_bytes(encode(*GAME))
    return path


def written(path: Path, *records: dict[str, Any]) -> Path:
    path.write_bytes(encode(*records))
    return path


# Reading


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_log_is_read_as_it_was_written(tmp_path: Path, pack: Any) -> None:
    path = tmp_path / "any-name"
    path.write_bytes(pack(encode(*GAME)))
    records = list(read(path))
    assert [r.data for r in records] == GAME
    assert [r.line for r in records] == list(range(1, len(GAME) + 1))
    assert (records[4].t, records[4].kind) == (3.0, "outcome")


def test_unknown_kinds_and_fields_are_kept_and_ignored(tmp_path: Path) -> None:
    odd = {"t": 1.0, "kind": "weather", "wind": [1, {"deep": None}]}
    said = {"t": 1.0, "kind": "say", "speaker": "mira", "text": "hi", "mood": "grim"}
    _, first, second = read(written(tmp_path / "f.jsonl", HEADER, odd, said))
    assert first.data == odd
    assert to_event(first) is None
    assert second.data["mood"] == "grim"
    assert to_event(second) == Say(1.0, "mira", "hi")


def test_windows_line_ends_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + encode(HEADER, STATE).replace(b"\n", b"\r\n"))
    assert [r.data for r in read(path)] == [HEADER, STATE]
    assert validate(path).ok


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    state = {"t": 1.0, "kind": "state", "state": {"text": "x" * 1000}}
    path = tmp_path / "long.jsonl"
    path.write_bytes(encode(HEADER) + encode(state) * 8000)
    tracemalloc.start()
    try:
        assert sum(1 for _ in read(path)) == 8001
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 8_000_000
    assert peak < 2_000_000


def test_a_last_line_without_its_newline_is_read_if_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(encode(*GAME).removesuffix(b"\n"))
    assert [r.data for r in read(path)] == GAME


def torn_reading(path: Path) -> tuple[list[dict[str, Any]], list[str]]:
    warnings: list[str] = []
    try:
        return [r.data for r in read(path, warn=warnings.append)], warnings
    except LogError:
        return [], warnings


def test_a_log_cut_at_any_byte_gives_its_whole_lines_and_a_warning(tmp_path: Path) -> None:
    whole, path = encode(*GAME), tmp_path / "f.jsonl"
    ends = [0]
    for record in GAME:
        ends.append(ends[-1] + len(encode(record)))
    for size in range(1, len(whole) + 1):
        path.write_bytes(whole[:size])
        records, warnings = torn_reading(path)
        count = sum(size >= end - 1 for end in ends[1:])
        assert records == GAME[:count], size
        clean = size in ends or size + 1 in ends
        assert bool(warnings) == (not clean and count > 0), size


def test_gzip_data_cut_at_any_byte_gives_what_is_there_and_a_warning(tmp_path: Path) -> None:
    whole, path = gzip.compress(encode(*GAME)), tmp_path / "f.jsonl.gz"
    longest = 0
    for size in range(1, len(whole)):
        path.write_bytes(whole[:size])
        records, warnings = torn_reading(path)
        assert records == GAME[: len(records)]
        assert len(records) >= longest
        longest = len(records)
        assert warnings or not records
    assert longest == len(GAME)


BAD_FILES: list[tuple[str, bytes, str]] = [
    ("empty", b"", "is empty"),
    ("text", b"Once upon a time\nthere was\n", "line 1: not JSON"),
    ("one text line", b"Once upon a time", "line 1: not JSON"),
    ("binary", b"\x00\x01\x02\xff" * 9, "line 1: not UTF-8"),
    ("latin-1", encode(HEADER) + b'{"t":1,"kind":"say","text":"na\xefve"}\n' * 2, "not UTF-8"),
    ("array", b"[1,2]\n", "line 1: not a JSON object"),
    ("foreign", b'{"event_type":"message"}\n', "line 1: not a session log"),
    ("no header", encode(STATE), "foretell import FORMAT FILE"),
    ("newer", encode(HEADER | {"format": 2}), "written by a newer Foretell (format 2"),
    ("no format", encode({k: v for k, v in HEADER.items() if k != "format"}), '"format"'),
    ("odd format", encode(HEADER | {"format": "1"}), '"format" must be 1'),
    ("header", encode(HEADER | {"clock": "sundial"}), '"clock" must be one of'),
    ("started", encode(HEADER | {"started": "yesterday"}), '"started" must be a time'),
    ("backwards", encode(HEADER, TURN, STATE), "line 3: time goes backwards (t 0 after 1)"),
    ("negative", encode(HEADER, STATE | {"t": -1}), 'line 2: "t" must be finite'),
    ("huge t", encode(HEADER) + b'{"t":1e999,"kind":"end"}\n' + encode(STATE), "line 2"),
    ("text t", encode(HEADER, STATE | {"t": "1"}), 'line 2: "t" must be a number'),
    ("true t", encode(HEADER, STATE | {"t": True}), 'line 2: "t" must be a number'),
    ("no t", encode(HEADER, {"kind": "end"}), 'line 2: has no "t"'),
    ("no kind", encode(HEADER, {"t": 1}), 'line 2: has no "kind"'),
    ("blank", encode(HEADER) + b"\n" + encode(STATE), "line 2: an empty line"),
    ("middle", encode(HEADER) + b'{"t":1\n' + encode(STATE), "line 2: not JSON"),
    ("state", encode(HEADER, STATE | {"state": [1]}), '"state" must be an object'),
    ("patch", encode(HEADER, PATCH | {"patch": [{"op": "eat"}]}), "must be an operation"),
    ("turn", encode(HEADER, {"t": 1, "kind": "turn", "turn": "r1"}), 'turn has no "actor"'),
    ("options", encode(HEADER, TURN | {"options": [{"name": 1}]}), '"options" item 0'),
    ("action", encode(HEADER, {k: v for k, v in ACTION.items() if k != "action"}), "null takes"),
    ("target", encode(HEADER, ACTION | {"action": {"type": "use", "target": 3}}), '"target"'),
    ("outcome", encode(HEADER, {"t": 1, "kind": "outcome", "action_id": "a"}), "neither"),
    ("who", encode(HEADER, {"t": 1, "kind": "outcome", "result": "hit"}), 'no "action_id"'),
    ("results", encode(HEADER, OUTCOME | {"results": []}), '"results" must be a list'),
    ("upto", encode(HEADER, GAME[8] | {"upto": -1}), '"upto" must be a whole number'),
    ("gzip", gzip.compress(encode(*GAME))[:40] + b"junk" * 20, "damaged gzip data"),
]


@pytest.mark.parametrize(
    ("content", "reason"), [b[1:] for b in BAD_FILES], ids=[b[0] for b in BAD_FILES]
)
def test_a_bad_log_is_one_line_of_error(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_bytes(content)
    with pytest.raises(LogError) as caught:
        list(read(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert reason in message
    assert "\n" not in message
    report = validate(path)
    assert any(reason in str(problem) for problem in report.errors)
    assert "line 1:" not in message or len(report.errors) == 1  # what is no log is said once


def test_only_a_regular_file_is_ever_replaced_and_links_are_followed(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "kept.jsonl").write_bytes(b"")
    (tmp_path / "kept.jsonl").chmod(0o444)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    for name, reason in (("pipe", "not a regular file"), ("kept.jsonl", "write-protected")):
        with pytest.raises(LogError, match=reason):
            LogWriter(tmp_path / name, HEADER)
    LogWriter(tmp_path / "link.jsonl", HEADER).close()
    assert (tmp_path / "link.jsonl").is_symlink()
    assert [record.kind for record in read(tmp_path / "real.jsonl")] == ["session"]
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "kept.jsonl").read_bytes() == b""


def test_a_file_that_is_missing_or_a_directory_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="no such file"):
        list(read(tmp_path / "none.jsonl"))
    with pytest.raises(LogError, match="is a directory"):
        list(read(tmp_path))
    assert not validate(tmp_path / "none.jsonl").ok
    plain = written(tmp_path / "plain.jsonl.gz", HEADER)
    with pytest.raises(LogError, match="not gzip data"):
        list(read(plain))


@pytest.mark.parametrize("levels", [260, 2_000, 100_000])
def test_a_line_nested_too_deeply_is_refused(tmp_path: Path, levels: int) -> None:
    deep = b'{"t":1,"kind":"state","state":{"a":' + b"[" * levels + b"]" * levels + b"}}\n"
    path = tmp_path / "deep.jsonl"
    path.write_bytes(encode(HEADER) + deep + encode(TURN))
    with pytest.raises(LogError, match="line 2: nested more than 250 levels"):
        list(read(path))
    path.write_bytes(encode(HEADER) + deep)  # the last line, but not one that was cut short
    with pytest.raises(LogError, match="nested more than 250 levels"):
        LogWriter(path, HEADER)
    with pytest.raises(LogError, match="nested more than 250 levels"):
        list(read(path))


def test_a_wide_line_is_not_taken_for_a_deep_one(tmp_path: Path) -> None:
    state = STATE | {"state": {"map": [[] for _ in range(1000)]}}
    assert len(list(read(written(tmp_path / "wide.jsonl", HEADER, state)))) == 2


def test_a_line_that_is_too_long_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_read, "MAX_LINE", 200_000)
    state = STATE | {"state": {"text": "x" * 300_000}}
    with pytest.raises(LogError, match="line 2: longer than"):
        list(read(written(tmp_path / "long.jsonl", HEADER, state, TURN)))


# Records and inputs

ids = st.text(min_size=1, max_size=8)
times = st.floats(0, 1e6).map(lambda t: round(t, 6))
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
json_values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=8,
)
objects = st.dictionaries(st.text(max_size=6), json_values, max_size=4)
acts = st.fixed_dictionaries(
    {"type": ids, "name": ids}, optional={"target": ids | st.lists(ids, max_size=3)}
)
maybe = st.none() | ids
results = st.builds(Result, ids, maybe, objects)
operations = st.fixed_dictionaries(
    {"op": st.just("add"), "path": ids.map(lambda p: "/" + p), "value": json_values}
)
inputs = st.one_of(
    st.builds(State, times, objects, maybe),
    st.builds(Patch, times, st.lists(operations, max_size=3).map(tuple), maybe),
    st.builds(Turn, times, ids, ids, st.lists(acts, max_size=3).map(tuple), st.none() | times),
    st.builds(
        Action,
        times,
        ids,
        maybe,
        ids,
        st.none() | acts,
        st.none() | st.dictionaries(ids, st.floats(0, 1), max_size=3),
        st.none() | ids | st.dictionaries(ids, ids, max_size=2),
    ),
    st.builds(
        Outcome,
        times,
        st.lists(results, min_size=1, max_size=3).map(tuple),
        ids,
        maybe,
        maybe,
        st.none() | acts,
        st.lists(ids, max_size=2).map(tuple),
    ),
    st.builds(TurnEnd, times, ids),
    st.builds(Need, times, ids),
    st.builds(Say, times, ids, st.text()),
    st.builds(Rewind, times, times | st.integers(0, 1000)),
    st.builds(Retell, times, ids),
    st.builds(Delivered, times, ids, ids, st.integers(0, 10_000)),
    st.builds(End, times),
)


@given(inputs)
def test_an_input_survives_its_line(event: Any) -> None:
    assert to_event(orjson.loads(orjson.dumps(to_record(event)))) == event


@given(st.lists(inputs, max_size=6))
def test_what_is_written_is_what_is_read(tmp_path_factory: Any, events: list[Any]) -> None:
    path = tmp_path_factory.mktemp("log") / "f.jsonl"
    records = sorted(map(to_record, events), key=lambda record: record["t"])
    with LogWriter(path, HEADER) as writer:
        for record in records:
            writer.write(record)
    assert [r.data for r in read(path)][1:] == records


def test_the_short_form_stands_for_one_target() -> None:
    short = {**OUTCOME, "actor": "mira", "action": ACTION["action"], "to": ["gm"]}
    assert to_event(short) == Outcome(
        3.0,
        (Result("hit", "goblin", {"damage": 9}),),
        "a1",
        None,
        "mira",
        ACTION["action"],
        ("gm",),
    )
    assert to_event(OUTCOME | {"target": "orc"}).results[0].target == "orc"  # type: ignore[union-attr]
    assert to_event(OUTCOME).results[0].target is None  # type: ignore[union-attr]


def test_an_action_that_is_null_takes_the_action_back(tmp_path: Path) -> None:
    back = {"t": 2.5, "kind": "action", "action_id": "a1", "actor": "mira", "action": None}
    *_, last = read(written(tmp_path / "f.jsonl", HEADER, TURN, ACTION, back))
    assert to_event(last) == Action(2.5, "a1", None, "mira", None)
    assert to_record(Action(2.5, "a1", None, "mira", None)) == back


@given(objects, st.text(min_size=1, max_size=5), json_values)
def test_a_seal_breaks_when_anything_changes(data: dict[str, Any], key: str, value: Any) -> None:
    sealed = orjson.loads(orjson.dumps(seal({"t": 1.5, "kind": "~chunk", **data})))
    assert check(sealed)
    if key != "sum" and orjson.dumps(sealed.get(key, "absent")) != orjson.dumps(value):
        assert not check({**sealed, key: value})
    assert not check({k: v for k, v in sealed.items() if k != "sum"})


# Writing


def test_a_new_log_begins_with_its_header_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    header = {k: v for k, v in HEADER.items() if k not in ("t", "kind", "format")}
    with LogWriter(path, header | {"table": 7}) as writer:
        assert not writer.resumed
        writer.write({"t": 1.23456789, "kind": "end"})
    assert path.read_bytes() == encode(HEADER | {"table": 7}, {"t": 1.234568, "kind": "end"})
    assert os.listdir(tmp_path) == ["f.jsonl"]
    assert read_header(path).data["table"] == 7


def test_what_the_writer_fills_in_is_its_own(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    with LogWriter(path, HEADER | {"format": 9, "kind": "state", "t": 5}) as writer:
        writer.write({"t": 1, "kind": "end"})
    assert path.read_bytes() == encode(HEADER, {"t": 1.0, "kind": "end"})
    assert validate(path).errors == []


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_header_is_there_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    """The name appears by renaming only, after the header was written under another."""

    def stopped(source: Any, target: Any) -> None:
        assert not os.path.exists(target)
        raise OSError(4, "Interrupted system call")

    monkeypatch.setattr(os, "replace", stopped)
    with pytest.raises(LogError, match="Interrupted"):
        LogWriter(tmp_path / f"f.jsonl{suffix}", HEADER)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_each_line_is_there_at_once(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"f.jsonl{suffix}"
    writer = LogWriter(path, HEADER)
    warnings: list[str] = []
    for count, record in enumerate(GAME[1:], 2):
        writer.write(record)
        assert [r.data for r in read(path, warn=warnings.append)] == GAME[:count]
    writer.close()
    writer.close()
    warnings.clear()
    assert [r.data for r in read(path, warn=warnings.append)] == GAME
    assert not warnings


def test_a_lazy_writer_keeps_lines_until_enough_session_time_has_passed(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    writer = LogWriter(path, HEADER, flush=10)
    counts = []
    for t in (0.0, 9.0, 10.0, 15.0, 21.0):
        writer.write({"t": t, "kind": "end"})
        counts.append(len(list(read(path))) - 1)
    assert counts == [0, 0, 3, 3, 5]
    writer.write({"t": 22.0, "kind": "end"})
    writer.flush()
    assert len(list(read(path))) == 7
    writer.close()


def test_a_writer_told_to_wait_for_the_end_does_but_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    with LogWriter(path, HEADER, flush="end") as writer:
        writer.write(TURN)
        assert len(list(read(path))) == 1
        writer.write({"t": 2.0, "kind": "say", "speaker": "x", "text": "y" * 2**20})
        assert len(list(read(path))) == 3


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"t": 1.9, "kind": "end"}, "t 1.9 is before the last, 2"),
        ({"t": -1, "kind": "end"}, "not negative"),
        ({"t": float("nan"), "kind": "end"}, "finite"),
        ({"t": float("inf"), "kind": "end"}, "finite"),
        ({"kind": "end"}, 'no "t"'),
        ({"t": 3}, 'no "kind"'),
        ({"t": 3, "kind": "turn"}, 'turn has no "turn"'),
        ({"t": 3, "kind": "state", "state": {"x": object()}}, "not JSON serializable"),
        ({"t": 3, "kind": "state", "state": {1: 2}}, "must be str"),
        ({"t": 3, "kind": "x", "big": 2**70}, "64-bit"),
        ({"t": 3, "kind": "x", "text": "\ud800"}, "surrogates"),
        (HEADER | {"t": 3.0}, "one session line"),
    ],
)
def test_a_record_that_may_not_stand_in_a_log_is_not_written(
    tmp_path: Path, record: dict[str, Any], reason: str
) -> None:
    path = tmp_path / "f.jsonl"
    with LogWriter(path, HEADER) as writer:
        writer.write({"t": 2.0, "kind": "say", "speaker": "x", "text": "y"})
        before = path.read_bytes()
        with pytest.raises(BadRecord, match=reason):
            writer.write(record)
        assert path.read_bytes() == before
        writer.write({"t": 2.0, "kind": "end"})
    assert validate(path).ok


@pytest.mark.parametrize("levels", [249, 300, 2000])
def test_what_the_writer_takes_the_reader_reads(tmp_path: Path, levels: int) -> None:
    state: Any = {}
    for _ in range(levels):
        state = {"in": state}
    path = tmp_path / "f.jsonl"
    with LogWriter(path, HEADER) as writer:
        try:
            writer.write({"t": 1, "kind": "state", "state": state})
        except BadRecord:
            assert levels > 248
    assert len(list(read(path))) in (1, 2)


def test_a_closed_writer_writes_no_more(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "f.jsonl", HEADER)
    writer.close()
    with pytest.raises(BadRecord, match="closed"):
        writer.write(STATE)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_log_cut_at_any_byte_is_continued_after_its_whole_lines(
    tmp_path: Path, suffix: str
) -> None:
    path = tmp_path / f"f.jsonl{suffix}"
    with LogWriter(path, HEADER) as writer:
        start = path.stat().st_size
        for record in GAME[1:]:
            writer.write(record)
    whole = path.read_bytes()
    more = {"t": 7.0, "kind": "say", "speaker": "gm", "text": "again"}
    for size in range(start, len(whole)):
        path.write_bytes(whole[:size])
        kept, _ = torn_reading(path)
        warnings: list[str] = []
        with LogWriter(path, HEADER, warn=warnings.append) as writer:
            assert writer.resumed
            assert writer.last_t == kept[-1]["t"]
            writer.write(more)
        after: list[str] = []
        assert [r.data for r in read(path, warn=after.append)] == [*kept, more]
        assert not after
        if size == start + 1:
            assert warnings


def test_time_goes_on_from_the_last_line_of_a_continued_log(log: Path) -> None:
    with LogWriter(log, HEADER) as writer, pytest.raises(BadRecord, match="before the last, 6"):
        writer.write({"t": 5.9, "kind": "end"})


def test_a_last_line_longer_than_one_look_back_is_found(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    big = {"t": 8.0, "kind": "say", "speaker": "gm", "text": "z" * 300_000}
    written(path, HEADER, TURN, big)
    with LogWriter(path, HEADER) as writer:
        assert writer.last_t == 8.0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"Dear diary,\n", "line 1: not JSON"),
        (b"Dear diary", "line 1: not JSON"),
        (encode(STATE), "not a session log"),
        (encode(HEADER | {"format": 9}), "newer Foretell"),
        (encode(HEADER | {"id": "other"}), "is the log of session 'other'"),
        (encode(HEADER)[:30], "line 1: not JSON"),
        (encode(HEADER) + b'{"kind":"end"}\n', "last line"),
    ],
)
def test_nothing_is_appended_to_what_is_not_this_sessions_log(
    tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(content)
    with pytest.raises(LogError, match=reason):
        LogWriter(path, HEADER)
    assert path.read_bytes() == content


def test_a_place_that_cannot_be_written_is_said_to_be(tmp_path: Path) -> None:
    with pytest.raises(LogError, match="is a directory"):
        LogWriter(tmp_path, HEADER)
    with pytest.raises(LogError, match="its folder does not exist"):
        LogWriter(tmp_path / "no" / "f.jsonl", HEADER)
    with pytest.raises(BadRecord, match="clock"):
        LogWriter(tmp_path / "f.jsonl", HEADER | {"clock": "sundial"})
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_full_disk_leaves_what_was_written_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    path = tmp_path / f"f.jsonl{suffix}"
    real = os.write
    writer = LogWriter(path, HEADER)
    writer.write(STATE)
    before = path.read_bytes()

    def short(fd: int, data: Any) -> int:
        if len(data) < 10:
            raise OSError(28, "No space left on device")
        return real(fd, bytes(data)[:9])

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", short)
        with pytest.raises(LogError, match="No space left"):
            writer.write(TURN)
    assert path.read_bytes() == before
    writer.close()
    with LogWriter(path, HEADER, warn=lambda _: None) as again:
        again.write(TURN)
    assert [r.data for r in read(path)] == [HEADER, STATE, TURN]


# Checking


def test_a_good_log_has_no_error(log: Path) -> None:
    report = validate(log)
    assert report.ok
    assert report.warnings == []
    assert report.kinds["outcome"] == 1
    assert report.results == {"hit": 1}
    assert (report.duration, report.lines, report.header["id"]) == (6.0, len(GAME), "table-7")


def act(action_id: str = "a1", **fields: Any) -> dict[str, Any]:
    return {**ACTION, "action_id": action_id, **fields}


def done(**fields: Any) -> dict[str, Any]:
    return {"t": 3.0, "kind": "outcome", "result": "hit", **fields}


REFERENCES: list[tuple[str, list[dict[str, Any]], str]] = [
    ("unknown action", [TURN, done(action_id="a9")], "outcome names the unknown action 'a9'"),
    ("unknown turn", [done(turn="r9", actor="m", action=ACTION["action"])], "unknown turn 'r9'"),
    ("action's turn", [ACTION], "action names the unknown turn 'r1'"),
    ("no turn", [TURN, done(actor="m", action=ACTION["action"])], "has no turn"),
    ("taken back", [TURN, ACTION, act(action=None), OUTCOME], "was taken back"),
    ("nothing to take back", [TURN, act(action=None)], "takes back the unknown action"),
    ("twice", [TURN, TURN], "turn id 'r1' was used before"),
    ("turn_end", [{"t": 1.0, "kind": "turn_end", "turn": "r9"}], "turn_end names the unknown turn"),
    ("because", [STATE | {"because": "a9"}], "because names the unknown action 'a9'"),
    ("retell", [{"t": 1.0, "kind": "retell", "action_id": "a9"}], "retell names the unknown"),
    (
        "patch",
        [STATE, {**PATCH, "because": None, "patch": [{"op": "remove", "path": "/x"}]}],
        "apply",
    ),
    ("no base", [{**PATCH, "because": None}], "patch before any state"),
    (
        "root",
        [STATE, {"t": 1, "kind": "patch", "patch": [{"op": "replace", "path": "", "value": 1}]}],
        "not an object",
    ),
    ("sum", [TURN, act(odds={"hit": 0.6, "miss": 0.3})], "odds add up to 0.9, not 1"),
    ("range", [TURN, act(odds={"hit": 1.5, "miss": -0.5})], "from 0 to 1"),
    ("mixed", [TURN, act(odds={"orc": {"hit": 1}, "miss": 0.5})], "one object of them for each"),
    ("each", [TURN, act(odds={"orc": {"hit": 0.5}})], "odds add up to 0.5"),
    ("future", [TURN, {"t": 2.0, "kind": "rewind", "to": 9.5}], "has not been yet"),
    ("revision", [TURN, {"t": 2.0, "kind": "rewind", "to": 2}], "has not been yet"),
    ("seal", [{**seal({"t": 1.0, "kind": "~chunk", "text": "a"}), "text": "b"}], "bad checksum"),
    ("no seal", [{"t": 1.0, "kind": "~chunk"}], "bad checksum"),
    ("header", [HEADER], "a second session line"),
]


@pytest.mark.parametrize(
    ("records", "reason"), [r[1:] for r in REFERENCES], ids=[r[0] for r in REFERENCES]
)
def test_what_does_not_fit_together_is_an_error_at_its_line(
    tmp_path: Path, records: list[dict[str, Any]], reason: str
) -> None:
    path = written(tmp_path / "f.jsonl", HEADER, *records)
    (problem,) = validate(path).errors
    assert reason in problem.reason
    assert problem.line == len(records) + 1
    assert str(problem).startswith(f"{path}: line {problem.line}: ")
    list(read(path))  # reading does not mind


def test_an_undeclared_outcome_needs_no_turn_where_none_has_begun(tmp_path: Path) -> None:
    undeclared = done(actor="m", action=ACTION["action"])
    path = written(tmp_path / "f.jsonl", HEADER, undeclared, undeclared | {"t": 4.0})
    assert validate(path).ok


def test_odds_may_be_given_for_each_target(tmp_path: Path) -> None:
    chances = {"orc": {"success": 0.3, "failure": 0.7}, "elf": {"success": 1, "failure": 0}}
    assert validate(written(tmp_path / "f.jsonl", HEADER, TURN, act(odds=chances))).ok


@pytest.mark.parametrize("to", [1.5, 2], ids=["time", "revision"])
def test_after_a_rewind_patches_apply_to_the_state_of_then(tmp_path: Path, to: float) -> None:
    def patch(t: float, op: str, path: str) -> dict[str, Any]:
        return {"t": t, "kind": "patch", "patch": [{"op": op, "path": path, "value": 1}]}

    records = [
        {"t": 0.0, "kind": "state", "state": {}},
        patch(1.0, "add", "/old"),
        patch(2.0, "add", "/undone"),
        {"t": 3.0, "kind": "rewind", "to": to},
        patch(4.0, "replace", "/old"),
    ]
    assert validate(written(tmp_path / "f.jsonl", HEADER, *records)).ok
    undone = patch(5.0, "replace", "/undone")
    (problem,) = validate(written(tmp_path / "g.jsonl", HEADER, *records, undone)).errors
    assert "does not apply" in problem.reason


def test_every_problem_is_reported_up_to_a_hundred(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    path.write_bytes(encode(HEADER) + b"nonsense\n" + encode({"t": 1}, done(action_id="x"), TURN))
    assert [p.line for p in validate(path).errors] == [2, 3, 4, 5]
    path.write_bytes(encode(HEADER) + b"nonsense\n" * 500)
    report = validate(path)
    assert len(report.errors) == 100
    assert report.stopped


def test_a_torn_log_is_a_warning_and_not_an_error(log: Path) -> None:
    log.write_bytes(log.read_bytes()[:-4])
    report = validate(log)
    assert report.ok
    assert len(report.warnings) == 1
    assert "cut short" in report.warnings[0]


@pytest.mark.parametrize("packed", [False, True])
def test_a_bad_last_line_that_was_written_whole_is_an_error_and_stays(
    tmp_path: Path, packed: bool
) -> None:
    path = tmp_path / f"f.jsonl{'.gz' if packed else ''}"
    raw = encode(HEADER, STATE) + b'{"t":6,"kind":"say","text":"the whole evening"},\n'
    path.write_bytes(gzip.compress(raw) if packed else raw)
    [wrong] = validate(path).errors
    assert wrong.line == 3 and "not JSON" in wrong.reason
    with pytest.raises(LogError, match="line 3: not JSON"):
        list(read(path))
    before = path.read_bytes()
    with pytest.raises(LogError, match="nothing was appended"):
        LogWriter(path, HEADER)
    assert path.read_bytes() == before
