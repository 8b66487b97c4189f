"""The compressed part of a usage history: the same queries, in a fraction of the room."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import tracemalloc
import zlib
from collections import Counter
from contextlib import suppress
from datetime import UTC
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.hours import Hours
from foretell.prefetch import Learned, opened, record_query
from foretell.prefetch.config import PrefetchConfig
from foretell.sinks import usage_blocks, usage_file, usage_prune, usage_store
from foretell.sinks.usage_blocks import Damaged, Row, packed, rows_of
from foretell.sinks.usage_store import Query, Totals, UsageError, UsageStore

T = 1_771_984_800.0
HOURS = Hours(UTC)

# As the first version made it: no blocks.
FIRST = """
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('hits', 3), ('misses', 4);
CREATE TABLE queries(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, subject TEXT NOT NULL,
    module TEXT NOT NULL, hit INTEGER NOT NULL
);
CREATE TABLE folded(
    subject TEXT NOT NULL, module TEXT NOT NULL, hour INTEGER NOT NULL, day INTEGER NOT NULL,
    hits INTEGER NOT NULL, misses INTEGER NOT NULL, PRIMARY KEY(subject, module, hour, day)
) WITHOUT ROWID;
PRAGMA application_id = 1181708901;
PRAGMA user_version = 1;
PRAGMA journal_mode = WAL
"""

WRITER = """
import sys
from foretell.sinks import usage_blocks, usage_store
from foretell import prefetch
usage_blocks.BLOCK, usage_store.PLAIN, prefetch.PRUNE_EVERY = 16, 8, 7
folder, name, many = sys.argv[1], sys.argv[2], int(sys.argv[3])
for number in range(many):
    prefetch.record_query(name, f"m{number % 10}", hit=number % 2 == 0, folder=folder)
    print(number + 1, flush=True)
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "prefetch.sqlite")


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of four, of all but the three newest."""
    small_blocks(monkeypatch)


def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_blocks, "BLOCK", 4)
    monkeypatch.setattr(usage_prune, "BLOCK", 4)
    monkeypatch.setattr(usage_store, "PLAIN", 3)


def some(many: int, start: int = 0) -> list[Query]:
    return [
        Query(T + n + n % 7 / 10, f"s{n % 5}", f"m{n % 3}", n % 3 == 0)
        for n in range(start, start + many)
    ]


def size(path: str) -> int:
    return sum(os.path.getsize(path + end) for end in ("", "-wal") if os.path.exists(path + end))


# --- a block

ROWS = st.lists(
    st.builds(
        Row,
        st.integers(0, 2**63),
        st.floats(-6e10, 2e11, allow_nan=False),
        st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
        st.sampled_from(["price", "a\0b", "'; DROP TABLE packed; --", "名前"]),
        st.integers(0, 1),
    ),
    min_size=1,
    max_size=60,
).map(lambda rows: sorted(rows, key=lambda row: row.id))


@given(rows=ROWS)
def test_what_was_packed_comes_back_to_the_last_bit(rows: list[Row]) -> None:
    assert rows_of(rows[0].id, packed(rows)) == rows


@given(rows=ROWS, data=st.data())
def test_a_block_that_is_damaged_is_never_taken_for_another(
    rows: list[Row], data: st.DataObject
) -> None:
    block = bytearray(packed(rows))
    at = data.draw(st.integers(0, len(block) - 1))
    block[at] ^= data.draw(st.integers(1, 255))
    for wrong in (bytes(block), bytes(block[:at])):
        try:
            found = rows_of(rows[0].id, wrong)
        except Damaged:
            continue
        assert found == rows  # some bits of the header say nothing


# --- the history


@given(
    steps=st.lists(
        st.one_of(
            st.integers(1, 9).map(lambda many: ("record", many)),
            st.just(("pack", 0)),
            st.integers(0, 30).map(lambda keep: ("keep", keep)),
            st.integers(0, 60).map(lambda age: ("before", age)),
        ),
        max_size=30,
    )
)
def test_however_it_is_packed_and_pruned_the_history_is_the_same(
    steps: list[tuple[str, int]],
) -> None:
    with pytest.MonkeyPatch.context() as patched, UsageStore(":memory:") as store:
        small_blocks(patched)
        kept: list[Query] = []
        all_of_them: list[Query] = []
        for what, number in steps:
            if what == "record":
                new = some(number, len(all_of_them))
                store.record_all(new)
                kept += new
                all_of_them += new
            elif what == "pack":
                plain = len(kept) - (packed_in(store))
                assert store.pack() == (plain - 3) // 4 * 4 * (plain >= 7)  # 2-39
            elif what == "keep":
                dropped = max(0, len(kept) - number)
                assert store.prune(HOURS, keep=number) == dropped
                kept = kept[dropped:]
            else:
                young = [query for query in kept if query.at >= T + number]
                assert store.prune(HOURS, before=T + number) == len(kept) - len(young)
                kept = young
            assert list(store.history()) == kept
            hits = len([1 for query in all_of_them if query.hit])
            assert store.totals() == Totals(hits, len(all_of_them) - hits)
        folded = Counter({row[:4]: row[4] for row in store.counted()})
        gone = Counter((q.subject, q.module, *HOURS(q.at)) for q in all_of_them)
        gone.subtract((q.subject, q.module, *HOURS(q.at)) for q in kept)
        assert folded == +gone


def packed_in(store: UsageStore) -> int:
    (many,) = store._db.execute("SELECT COALESCE(SUM(many), 0) FROM packed").fetchone()
    return int(many)


def test_the_file_shrinks_to_a_fraction(path: str) -> None:
    queries = some(60_000)
    with UsageStore(path) as store:
        store.record_all(queries)
    before = size(path)
    with UsageStore(path) as store:
        assert store.pack() == 49_152
    assert size(path) < before / 3  # 2-39
    with UsageStore(path) as store:
        assert list(store.history()) == queries
        assert store.check() == "ok"


def test_long_words_fill_a_block_sooner(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_blocks, "BLOCK", 40)
    monkeypatch.setattr(usage_store, "PLAIN", 0)
    queries = [Query(T, chr(n + 1) * 100_000, "m", True) for n in range(40)]  # \x01… of 6 in JSON
    with UsageStore(path) as store:
        store.record_all(queries)
        assert store.pack() == 10
        assert list(store.history()) == queries


def test_a_history_is_read_a_block_at_a_time(path: str) -> None:
    with UsageStore(path) as store:
        store.record_all(some(60_000))
        store.pack()
        tracemalloc.start()
        try:
            many = sum(1 for _ in store.history())
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert many == 60_000 and peak < 4_000_000


def test_what_is_packed_while_it_is_read_comes_once(
    path: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    queries = some(30)
    with UsageStore(path) as store, UsageStore(path) as other:
        store.record_all(queries)
        reading = store.history()
        found = [next(reading) for _ in range(6)]  # it read eight, and the second block has ten
        monkeypatch.setattr(usage_blocks, "BLOCK", 5)
        assert other.pack() == 25
        other.record_all(some(5, 30))  # and what comes later is of another reading
        assert [*found, *reading] == queries
        assert list(store.history()) == some(35)


@pytest.mark.parametrize("first_met", ["reading", "pruning by number", "pruning by age"])
@pytest.mark.parametrize(
    "wrong", [b"", b"rubbish", zlib.compress(b"rubbish"), zlib.compress(b"\0" * 99)]
)
def test_a_damaged_block_is_kept_aside_and_said_and_the_rest_goes_on(
    path: str, small: None, caplog: pytest.LogCaptureFixture, wrong: bytes, first_met: str
) -> None:
    with UsageStore(path) as store:
        store.record_all(some(30))
        store.pack()
        store._db.execute("UPDATE packed SET data = ? WHERE first = 5", (wrong,))
        dropped = 0
        if first_met == "pruning by number":
            dropped = store.prune(HOURS, keep=24)
        elif first_met == "pruning by age":
            dropped = store.prune(HOURS, before=T + 4)
        rest = [*some(4), *some(22, 8)]
        assert list(store.history()) == rest[dropped:]
        assert store.totals() == Totals(10, 20)
        assert store._db.execute("SELECT first, data FROM damaged").fetchall() == [(5, wrong)]
        (said,) = [each.getMessage() for each in caplog.records]
        assert said.startswith(f"{path}: 4 queries of the history were damaged: ")
        store.record_all(some(30))
        assert store.pack() and len(list(store.history())) == 56 - dropped
        assert store.totals() == Totals(20, 40) and len(caplog.records) == 1


def test_a_damaged_letter_costs_no_other_query(path: str) -> None:
    with UsageStore(path) as store:
        store.record_all(some(3))
        store._db.execute("UPDATE queries SET subject = CAST(x'73FF' AS TEXT) WHERE id = 2")
        assert [query.subject for query in store.history()] == ["s0", "s\ufffd", "s2"]


def test_a_block_that_would_fill_the_memory_is_not_opened_to_its_end() -> None:
    bomb = zlib.compress(b"\0" * 200_000_000, 9)
    tracemalloc.start()
    try:
        with pytest.raises(Damaged):
            rows_of(1, bomb)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_recording_packs_now_and_then(
    tmp_path: Path, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.prefetch.PRUNE_EVERY", 10)
    for number in range(40):
        record_query("a", "b", hit=False, at=T + number, folder=tmp_path)
    store = opened(tmp_path)
    assert packed_in(store) == 36
    assert [query.at for query in store.history()] == [T + number for number in range(40)]
    store.close()


def test_a_store_that_is_closed_while_it_packs_says_so(
    path: str, small: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = UsageStore(path)
    store.record_all(some(200))

    def closed_before(*errors: type[Exception]) -> Any:
        store._db.close()
        return suppress(*errors)

    monkeypatch.setattr(usage_store, "suppress", closed_before)
    with pytest.raises(UsageError, match="closed database"):
        store.pack()


def test_what_is_learned_is_the_same_from_blocks(path: str, small: None) -> None:
    with UsageStore(path) as store:
        store.record_all(some(200))
        before = Learned(store, PrefetchConfig(), "ensemble").as_json(T + 300)
        assert store.pack() == 196
        assert Learned(store, PrefetchConfig(), "ensemble").as_json(T + 300) == before


# --- files of the first version


def first_version(path: str, queries: list[Query]) -> None:
    db = sqlite3.connect(path)
    db.executescript(FIRST)
    db.executemany("INSERT INTO queries(at, subject, module, hit) VALUES(?,?,?,?)", queries)
    db.commit()
    db.close()


def test_a_file_of_the_first_version_is_read_and_goes_on(path: str) -> None:
    queries = some(40_000)
    first_version(path, queries)
    before = size(path)
    with UsageStore(path) as store:
        assert store.set_aside is None
        assert list(store.history()) == queries
        assert store.record(queries[0]) == 40_001
        assert store.pack() == 28_672
        assert list(store.history()) == [*queries, queries[0]]
        assert store.totals().queries == 40_008
    assert size(path) < before / 2


def test_two_that_meet_a_file_of_the_first_version_change_it_once(path: str) -> None:
    first_version(path, some(9))
    with UsageStore(path) as store:
        usage_file._upgraded(store._db)  # another one, who had seen the version before
        assert list(store.history()) == some(9)


def writers(folder: Path, names: list[str], many: int) -> list[Any]:
    return [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), name, str(many)],
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in names
    ]


def test_several_that_meet_a_file_of_the_first_version_lose_nothing(
    tmp_path: Path, path: str
) -> None:
    first_version(path, some(100))
    processes = writers(tmp_path, [f"w{number}" for number in range(4)], 100)
    for process in processes:
        process.communicate()
    with UsageStore(path) as store:
        counts = Counter(query.subject[0] for query in store.history())
        assert counts == {"s": 100, "w": 400}
        assert packed_in(store) > 300 and store.check() == "ok"


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
def test_of_writers_killed_while_they_pack_every_acknowledged_query_is_there_once(
    tmp_path: Path, path: str
) -> None:
    names = [f"w{number}" for number in range(4)]
    processes = writers(tmp_path, names, 3_000)
    least = {}
    for number, process in enumerate(processes[:3]):
        for _ in range(150 + 70 * number):
            process.stdout.readline()
        os.kill(process.pid, signal.SIGKILL)
        said, _ = process.communicate()
        least[f"w{number}"] = max(150 + 70 * number, *map(int, said.split("\n")[:-1] or ["0"]))
    processes[3].communicate()
    with UsageStore(path) as store:
        found = list(store.history())
        assert store.check() == "ok" and packed_in(store) > 3_000
    counts = Counter(query.subject for query in found)
    assert counts.pop("w3") == 3_000
    for name, many in counts.items():
        # One more may be there, which was recorded and not acknowledged any more.
        assert least[name] <= many <= least[name] + 1
    for name in names:
        mine = [query.module for query in found if query.subject == name]
        assert mine == [f"m{number % 10}" for number in range(len(mine))]
