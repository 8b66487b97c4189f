"""The usage store: many writers, none lost; what is damaged is set aside; JSON in and out."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import UTC
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.cli import main
from foretell.operators.hours import Hours
from foretell.prefetch import closed, opened, record_query
from foretell.prefetch.config import PrefetchConfig
from foretell.sinks.usage_json import exported, imported
from foretell.sinks.usage_store import Query, Totals, UsageError, UsageStore
from foretell.streams.log_lock import LogLock

T = 1_771_984_800.0  # 2026-02-25 02:00 UTC, a Wednesday
QUERY = {"ticker": "A", "module": "p", "timestamp": "2026-02-25T02:00:00", "hit": True}
STRANGE = ["x" * 10_000, "'; DROP TABLE queries; --", "$(rm -rf /)`id`", "a\0b\n\u202e", "名前"]

WRITER = """
import sys
from foretell import record_query
folder, name, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(many):
    record_query(name, f"m{number % 10}", hit=number % 2 == 0, folder=folder)
    print(number + 1, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "data" / "prefetch.sqlite")


def writers(folder: Path, names: list[str], many: int) -> list[subprocess.Popen[str]]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name, str(many)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]


def acknowledged(process: subprocess.Popen[str]) -> int:
    """The last record of which the process has said that it was made."""
    said, _ = process.communicate()
    return int(said.split("\n")[-2]) if "\n" in said else 0


def test_eight_processes_record_five_thousand_each_and_none_is_lost(tmp_path: Path) -> None:
    names = [f"w{number}" for number in range(8)]
    processes = writers(tmp_path, names, 5_000)
    assert [acknowledged(process) for process in processes] == [5_000] * 8
    with UsageStore(tmp_path / "prefetch.sqlite") as store:
        assert store.totals() == Totals(20_000, 20_000)
        assert Counter(query.subject for query in store.history()) == dict.fromkeys(names, 5_000)
        assert store.check() == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_of_a_killed_writer_every_acknowledged_record_is_there(tmp_path: Path) -> None:
    names = [f"w{number}" for number in range(8)]
    processes = writers(tmp_path, names, 5_000)
    victim = processes[3]
    assert victim.stdout is not None
    for _ in range(1_000):
        victim.stdout.readline()
    os.kill(victim.pid, signal.SIGKILL)
    last = max(1_000, acknowledged(victim))
    others = [acknowledged(process) for process in processes if process is not victim]
    assert victim.returncode == -signal.SIGKILL and others == [5_000] * 7
    with UsageStore(tmp_path / "prefetch.sqlite") as store:
        counts = Counter(query.subject for query in store.history())
        assert store.check() == "ok"
    assert last <= counts.pop("w3") <= 5_000
    assert set(counts.values()) == {5_000}


def test_several_threads_record_through_one_store(tmp_path: Path) -> None:
    def write() -> None:
        for _ in range(200):
            record_query("a", "b", hit=True, at=T, folder=tmp_path)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    store = opened(tmp_path)
    assert store is opened(tmp_path)
    assert store.totals() == Totals(1600, 0)
    store.close()


def test_what_was_recorded_comes_back_as_it_was(path: str) -> None:
    queries = [Query(T + n, text, text[::-1], hit=n % 2 == 0) for n, text in enumerate(STRANGE)]
    with UsageStore(path) as store:
        for query in queries:
            store.record(query)
    with UsageStore(path) as store:
        assert list(store.history()) == queries
        assert store.totals() == Totals(3, 2)
        assert store.totals().hit_rate == 0.6
        assert repr(store) == f"<UsageStore {path}>"


@pytest.mark.parametrize(
    "query",
    [Query(T, "", "m", True), Query(T, "s", "", True), Query(T, "s" * 100_001, "m", True),
     Query(T, "\ud800", "m", True), Query(float("nan"), "s", "m", True),
     Query(float("inf"), "s", "m", True), Query(T, 5, "m", True),  # type: ignore[arg-type]
     Query(T, "s", "m", "false"), Query("x", "s", "m", True)],  # type: ignore[arg-type]
)  # fmt: skip
def test_what_cannot_be_recorded_is_refused_whole(path: str, query: Query) -> None:
    with UsageStore(path) as store:
        with pytest.raises(UsageError):
            store.record(query)
        with pytest.raises(UsageError):
            store.record_all([Query(T, "s", "m", True), query])
        assert store.totals() == Totals(0, 0)
        assert store.totals().hit_rate == 0


# --- files that are damaged, or of something else


def others_file(path: str) -> bytes:
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE diary(words TEXT)")
        db.execute("INSERT INTO diary VALUES('mine')")
    db.close()
    return Path(path).read_bytes()


@pytest.mark.parametrize("what", ["text", "zeroes", "foreign", "torn", "scribbled"])
def test_a_file_that_is_damaged_or_foreign_is_kept_aside_as_it_was(path: str, what: str) -> None:
    os.makedirs(os.path.dirname(path))
    if what == "foreign":
        content = others_file(path)
    elif what in {"torn", "scribbled"}:
        with UsageStore(path) as store:
            store.record_all([Query(T + n, f"s{n}" * 20, "m", True) for n in range(2000)])
        content = Path(path).read_bytes()
        half = len(content) // 2
        cut = content[:half] if what == "torn" else content[:half] + b"\xa5" * 8192
        content = cut if what == "torn" else cut + content[len(cut) :]
    else:
        content = b"not a database, but dear to someone" * 40 if what == "text" else b"\0" * 5000
    Path(path).write_bytes(content)
    with UsageStore(path) as store:
        assert store.set_aside == f"{path}.aside-1"
        store.record(Query(T, "s", "m", True))
        assert store.totals() == Totals(1, 0)
    assert Path(f"{path}.aside-1").read_bytes() == content
    Path(path).write_bytes(b"again, something else" * 99)
    with UsageStore(path) as store:
        assert store.set_aside == f"{path}.aside-2"
    assert Path(f"{path}.aside-1").read_bytes() == content
    with UsageStore(path) as store:
        assert store.set_aside is None


def test_several_that_meet_a_damaged_file_set_it_aside_once(tmp_path: Path) -> None:
    (tmp_path / "prefetch.sqlite").write_bytes(b"rubbish" * 999)
    processes = writers(tmp_path, [f"w{number}" for number in range(6)], 200)
    assert [acknowledged(process) for process in processes] == [200] * 6
    with UsageStore(tmp_path / "prefetch.sqlite") as store:
        assert store.totals().queries == 1200
    aside = sorted(each.name for each in tmp_path.iterdir() if "aside" in each.name)
    assert aside == ["prefetch.sqlite.aside-1"]


def test_what_another_has_set_aside_in_the_meantime_is_let_be(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    os.makedirs(os.path.dirname(path))
    Path(path).write_bytes(b"rubbish" * 999)

    class TakenAfterAnother(LogLock):
        def __init__(self, name: str) -> None:
            os.rename(path, f"{path}.aside-1")
            with UsageStore(path) as other:
                other.record(Query(T, "theirs", "m", True))
            super().__init__(name)

    monkeypatch.setattr("foretell.sinks.usage_file.LogLock", TakenAfterAnother)
    with UsageStore(path) as store:
        assert [query.subject for query in store.history()] == ["theirs"]
    assert not os.path.exists(f"{path}.aside-2")


def test_a_file_of_a_newer_version_is_left_alone(path: str) -> None:
    UsageStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version = 3")
    db.close()
    with pytest.raises(UsageError, match="newer version"):
        UsageStore(path)
    assert os.listdir(os.path.dirname(path)) == ["prefetch.sqlite"]


def test_a_place_where_no_file_can_be_is_said(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(UsageError, match="data"):
        UsageStore(tmp_path / "data" / "prefetch.sqlite")


# --- pruning


def test_what_is_pruned_by_age_or_number_stays_in_the_totals(path: str) -> None:
    hours = Hours(UTC)
    with UsageStore(path) as store:
        store.record_all([Query(T + n * 3600, "s", "m", n % 3 == 0) for n in range(30)])
        assert store.prune(hours, before=T + 10 * 3600) == 10
        assert store.prune(hours, keep=5) == 15
        assert store.prune(hours, keep=5, before=T) == 0
        assert [query.at for query in store.history()] == [T + n * 3600 for n in range(25, 30)]
        assert store.totals() == Totals(10, 20)
        counted = list(store.counted())
        assert sum(many for *_, many in counted) == 25
        assert ("s", "m", 2, 2, 1) in counted  # T is a Wednesday's 02:00
        store.record(Query(T, "s", "m", True))
        assert store.totals() == Totals(11, 20)


def test_pruning_that_breaks_off_changes_nothing(path: str) -> None:
    calls = iter([(2, 2), None])

    def hours(t: float) -> tuple[int, int]:
        found = next(calls)
        if found is None:
            raise RuntimeError("the clock is gone")
        return found

    with UsageStore(path) as store:
        store.record_all([Query(T + n, "s", "m", True) for n in range(3)])
        with pytest.raises(RuntimeError, match="clock"):
            store.prune(hours, keep=0)
        assert len(list(store.history())) == 3 and list(store.counted()) == []
        assert store.totals() == Totals(3, 0)


def test_what_is_pruned_in_several_goes_adds_up(path: str) -> None:
    with UsageStore(path) as store:
        for _ in range(3):
            store.record_all([Query(T, "s", "m", True), Query(T, "s", "m", True)])
            store.record(Query(T, "s", "m", False))
            store.prune(Hours(UTC), keep=0)
        assert list(store.counted()) == [("s", "m", 2, 2, 9)]
        assert store.totals() == Totals(6, 3)


def test_recording_prunes_now_and_then_as_the_folder_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.prefetch.PRUNE_EVERY", 10)
    PrefetchConfig(max_queries=4).save(str(tmp_path))
    for number in range(20):
        record_query("a", "b", hit=False, at=T + number, folder=tmp_path)
    store = opened(tmp_path)
    assert len(list(store.history())) == 4
    assert store.totals() == Totals(0, 20)
    store.close()


def test_what_cannot_be_pruned_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("foretell.prefetch.PRUNE_EVERY", 2)
    (tmp_path / "prefetch_config.json").write_text("{")
    for _ in range(4):
        record_query("a", "b", hit=True, folder=tmp_path)
    assert caplog.text.count("is not pruned") == 2 and "mend it" in caplog.text
    with opened(tmp_path) as store:
        assert store.totals() == Totals(4, 0)


def test_who_closes_the_history_while_another_records_costs_no_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = UsageStore.record

    def closed_before(store: UsageStore, query: Query) -> int:
        monkeypatch.setattr(UsageStore, "record", record)
        closed(tmp_path)
        return record(store, query)

    monkeypatch.setattr(UsageStore, "record", closed_before)
    record_query("a", "b", hit=True, folder=tmp_path)
    monkeypatch.setattr(UsageStore, "record", closed_before)
    with pytest.raises(UsageError, match="ticker: "):
        record_query("", "b", hit=True, folder=tmp_path)
    with opened(tmp_path) as store:
        assert store.totals() == Totals(1, 0)


def test_one_wrong_clock_costs_no_history_and_what_is_old_still_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.prefetch.PRUNE_EVERY", 10)
    for number in range(9):
        record_query("a", "b", hit=False, at=T + number, folder=tmp_path)
    record_query("a", "b", hit=False, at=4e9, folder=tmp_path)  # the year 2096
    assert main(["prefetch-stats", "--data", str(tmp_path), "--at", "2090-01-01"]) == 0
    taken = tmp_path / "taken.json"
    taken.write_bytes(orjson.dumps({"queries": [QUERY]}))
    asked = ["--data", str(tmp_path), "--at", "2090-01-01", "--import", str(taken)]
    assert main(["prefetch-stats", *asked]) == 0
    store = opened(tmp_path)
    assert len(list(store.history())) == 11
    for number in range(19):
        record_query("a", "b", hit=False, at=T + 366 * 86_400 + number, folder=tmp_path)
    assert min(query.at for query in store.history()) == T + 366 * 86_400
    assert store.totals() == Totals(1, 29)
    store.close()


def test_a_fork_opens_the_file_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parents = opened(tmp_path)
    assert opened(tmp_path) is parents
    monkeypatch.setattr("os.getpid", lambda: -1)
    with opened(tmp_path) as childs:
        assert childs is not parents
    parents.close()


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be moved there")
@pytest.mark.parametrize("how", ["deleted", "set aside"])
def test_records_go_to_the_file_that_is_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    folder, before = tmp_path / "data", tmp_path / "before"
    record_query("a", "b", hit=True, folder=folder)
    gone = opened(folder)
    if how == "deleted":
        shutil.rmtree(folder)
    else:
        folder.rename(before)
        with UsageStore(folder / "prefetch.sqlite") as new:  # another process has begun anew
            new.record(Query(T, "new", "b", hit=False))
    record_query("c", "b", hit=True, folder=folder)
    expected = ["c"] if how == "deleted" else ["new", "c"]
    assert gone.closed and opened(folder) is opened(folder)
    with UsageStore(folder / "prefetch.sqlite") as another:
        assert [query.subject for query in another.history()] == expected
        assert another.check() == "ok"
    assert ["the file was taken away" in each.getMessage() for each in caplog.records] == [True]
    opened(folder).close()
    if before.exists():
        with UsageStore(before / "prefetch.sqlite") as kept:
            assert [query.subject for query in kept.history()] == ["a"]


def test_the_public_function_records_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    before = time.time()
    foretell.record_query(ticker="AAPL", module="price", hit=True)  # 2-27
    store = opened()
    store.close()
    store = opened()
    (query,) = store.history()
    assert query[1:] == ("AAPL", "price", True)
    assert before <= query.at <= time.time()
    store.close()


# --- the document's schema


@given(
    queries=st.lists(
        st.builds(
            Query,
            st.integers(-2_000_000_000, 4_000_000_000).map(float),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30),
            st.sampled_from(STRANGE[1:]),
            st.booleans(),
        ),
        max_size=20,
    ),
    zone=st.sampled_from([UTC, ZoneInfo("Europe/Berlin"), ZoneInfo("America/St_Johns")]),
)
def test_what_is_exported_can_be_imported(queries: list[Query], zone: Any) -> None:
    with UsageStore(":memory:") as store, UsageStore(":memory:") as other:
        store.record_all(queries)
        assert imported(other, orjson.dumps(exported(store, zone)), zone) == len(queries)
        assert list(other.history()) == queries
        assert other.totals() == store.totals()


@given(
    times=st.lists(st.floats(1.7e9, 1.8e9) | st.just(T), min_size=1, max_size=20),
    more=st.integers(0, 9),
)
def test_a_file_that_has_grown_is_imported_again_and_nothing_counts_twice(
    times: list[float], more: int
) -> None:
    rows = [Query(at, "AAPL", "price", at > T) for at in times]
    with UsageStore(":memory:") as store, UsageStore(":memory:") as other:
        store.record_all(rows[:7], Totals(more, 1))
        assert imported(other, orjson.dumps(exported(store))) == len(rows[:7])
        store.record_all([*rows[7:], Query(T, "AAPL", "price", True)], Totals(0, more))
        grown = exported(store)
        for each in (other, store):  # and an own export is put back
            imported(each, orjson.dumps(grown))
            assert each.totals() == (grown["cache_hits"], grown["cache_misses"])
            assert len(list(each.history())) == len(rows) + 1


def test_the_schema_is_the_documents(path: str) -> None:
    with UsageStore(path) as store:  # 2-26
        store.record(Query(T, "AAPL", "price", True))
        query = {
            "ticker": "AAPL",
            "module": "price",
            "timestamp": "2026-02-25T02:00:00",
            "hour": 2,
            "day_of_week": 2,
            "hit": True,
        }
        counts = {"cache_hits": 1, "cache_misses": 0, "total_queries": 1}
        assert exported(store) == {"queries": [query], **counts}


def test_a_timestamp_without_an_offset_is_local_to_the_zone(path: str) -> None:
    with UsageStore(path) as store:
        imported(store, orjson.dumps({"queries": [QUERY]}), ZoneInfo("Asia/Tokyo"))
        assert [query.at for query in store.history()] == [T - 9 * 3600]


def test_counts_beyond_the_queries_are_kept_and_a_file_counts_once(path: str) -> None:
    counts = {"cache_hits": 8, "cache_misses": 8}
    file = orjson.dumps({"queries": [{**QUERY, "timestamp": "2026-02-25T02:00:00Z"}], **counts})
    with UsageStore(path) as store:
        assert imported(store, file) == 1
        with pytest.raises(UsageError, match="imported before"):
            imported(store, file)
        assert store.totals() == Totals(8, 8)
        assert len(list(store.history())) == 1


@pytest.mark.parametrize(
    ("file", "says"),
    [
        (b"{", "no JSON"),
        (b"[]", 'no list "queries"'),
        (b'{"queries": 5}', 'no list "queries"'),
        (orjson.dumps({"queries": [QUERY, 5]}), "query 2: is no object"),
        (orjson.dumps({"queries": [{**QUERY, "hit": 1}]}), "query 1: needs"),
        (orjson.dumps({"queries": [{**QUERY, "ticker": None}]}), "query 1: needs"),
        (orjson.dumps({"queries": [{**QUERY, "ticker": ""}]}), "ticker"),
        (orjson.dumps({"queries": [{**QUERY, "timestamp": "noon"}]}), "timestamp"),
        (orjson.dumps({"queries": [{**QUERY, "timestamp": 5}]}), "timestamp"),
        (orjson.dumps({"queries": [QUERY], "cache_hits": -1}), "cache_hits: is no count"),
        (orjson.dumps({"queries": [QUERY], "cache_misses": True}), "cache_misses: is no count"),
    ],
)
def test_what_is_not_in_the_schema_changes_nothing(path: str, file: bytes, says: str) -> None:
    with UsageStore(path) as store:
        with pytest.raises(UsageError, match=says):
            imported(store, file)
        assert store.totals() == Totals(0, 0)
