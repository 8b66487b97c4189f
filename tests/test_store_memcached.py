"""A real Memcached as the cold layer: shared, killed, frozen, emptied, full of rubbish (G10)."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from foretell.sinks.store_memcached import _words
from foretell.sinks.store_server import GarbledBoard
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.variant_store import VariantStore

pytestmark = pytest.mark.real_time

NEVER = 3600.0


@pytest.fixture
async def stores(memcached: Any) -> AsyncIterator[list[VariantStore]]:
    """Three processes' stores: they ask for news when they are told to, or look something up.

    Each waits for an answer as long as a machine may take that is busy with something else.
    """
    colds = [SharedCold(memcached.url, limit=20, wall=time.time, every=NEVER) for _ in range(3)]
    yield [VariantStore(cold=cold, session="game") for cold in colds]
    for cold in colds:
        await cold.aclose()


def client_of(store: VariantStore) -> Any:
    return store._shelves.door.door.server._cache.client  # type: ignore[attr-defined]


def where(store: VariantStore, key: str) -> bytes:
    return f"foretell:2:{store.name_in_cache(key, '')}".encode()


async def eventually(store: VariantStore, key: str, wanted: Any) -> None:
    """Ask until it is there; the test's own time limit ends it."""
    while await store.get(key) != wanted:  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)


async def test_what_one_stores_others_find_until_it_is_untrue_told_or_over(
    stores: list[VariantStore],
) -> None:  # 2-38, 1-39
    ours, theirs, late = stores
    plan = {"steps": ["a", 1.5, None], "wörd": "“quoted”\r\nEND\r\n"}
    ours.store("plan", [plan], None, tags=["rules"])
    ours.store("short", ["s"], 60)
    ours.store("once", ["o"])
    ours.store("large", ["x" * 60_000], None)
    await ours.flush()
    assert [await theirs.get(key) for key in ("plan", "short", "once", "large")] == [
        [plan], ["s"], ["o"], ["x" * 60_000],
    ]  # fmt: skip
    assert theirs.take("once") == ["o"]
    theirs.invalidate("rules")
    await theirs.flush()
    await ours.hear()
    assert ours.ready("plan") is None is theirs.ready("plan")
    late._shelves.door._wall = lambda: time.time() + 60  # type: ignore[attr-defined]
    assert [await late.get(key) for key in ("plan", "short", "once")] == [None] * 3
    assert await late.get("large") == ["x" * 60_000]
    late.clear()
    await late.flush()
    await asyncio.gather(*(store.hear() for store in stores))
    assert [await store.get("large") for store in stores] == [None] * 3


async def test_it_takes_a_record_as_long_as_one_is_ever_kept(stores: list[VariantStore]) -> None:
    """Beyond thirty days a Memcached takes a time for a date, and what is kept is gone at once."""
    ours, theirs, _ = stores
    cold: Any = ours._shelves.door
    cold.keep("game:long", {"x": 1}, 400 * 24 * 3600.0)
    await ours.flush()
    assert await theirs._shelves.door.fetch("game:long") == {"x": 1}


async def outage(store: VariantStore) -> None:
    """While the server is out: what is here serves, the rest is a miss, and few wait for it."""
    assert await store.get("here") == ["here"]
    assert [await store.get(f"absent-{n}") for n in range(50)] == [None] * 50
    met = store.stats().cold["met"]
    assert met.get("time-outs", 0) + met.get("failures", 0) < 10, "it is left alone in between"


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_server_that_goes_costs_little_is_logged_once_and_comes_back(
    memcached: Any, stores: list[VariantStore], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    store, other, _ = stores
    door: Any = store._shelves.door
    store.store("here", ["here"])
    await store.flush()
    with caplog.at_level(logging.WARNING):
        memcached.kill() if how == "killed" else memcached.signal(signal.SIGSTOP)
        door._limit = 0.05  # seconds; it is sure to give no answer
        await outage(store)
        door._limit = 20
        assert len(caplog.records) == 1 and not store.stats().cold["answers"]
        store.store("meanwhile", ["m"])
        store.invalidate("nothing of ours")
        memcached.start() if how == "killed" else memcached.signal(signal.SIGCONT)
        await eventually(other, "meanwhile", ["m"])
        await store.flush()
    assert store.stats().cold["answers"] and await store.get("here") == ["here"]


RUBBISH = [b"", b"\x80\x04\x95\x00", b"not json", b"[" * 5000, b"null", b"[]", b"x" * 900_000]


async def test_rubbish_under_our_keys_and_on_the_board_is_a_miss_and_no_outage(
    stores: list[VariantStore], caplog: pytest.LogCaptureFixture
) -> None:
    writer, reader, _ = stores
    client = client_of(writer)
    writer.store("other", ["other's"])
    await writer.flush()
    with caplog.at_level(logging.WARNING):
        for rubbish in [*RUBBISH, await client.get(where(writer, "other"))]:
            await client.set(where(reader, "k"), rubbish)
            assert await reader.get("k") is None
            await reader.flush()
        assert await reader.get("other") == ["other's"]
        await client.set(b"foretell:2:game:news", b"rubbish")
        assert await reader.get("k") is None
        await reader.flush()
        assert len(caplog.records) == 1 and reader.stats().cold["answers"]
    await writer.hear()  # it is asked for each tenth of a second; here not
    writer.store("k", ["good again"])
    await writer.flush()
    await eventually(reader, "k", ["good again"])


@pytest.mark.parametrize(
    "board",
    [
        orjson.dumps([["word", number] for number in range(501)]),
        orjson.dumps([["x" * 3_000_000, 1]]),
    ],
    ids=["words", "bytes"],
)
def test_a_board_with_more_on_it_than_it_may_have_is_rubbish(board: bytes) -> None:  # G10
    with pytest.raises(GarbledBoard, match="more in it"):
        _words("board", board)


async def test_a_board_too_large_for_an_item_loses_its_oldest_words(
    stores: list[VariantStore],
) -> None:  # G1
    one, other, late = stores
    one.store("k", ["k"])
    await one.flush()
    assert await other.get("k") == ["k"]
    for number in range(300):
        one.invalidate(f"{number}" + '"' * 1000)  # four bytes each: JSON within JSON
    await one.flush()
    one.invalidate("k")
    await one.flush()
    assert one.stats().cold["answers"] and not one.stats().cold["untold"]
    await other.hear()
    assert other.ready("k") is None is await late.get("k")
    await asyncio.gather(other.flush(), late.flush())  # who finds what is untrue has it deleted
    one.store("k", ["new"])
    await one.flush()
    assert await other.get("k") == ["new"]


async def test_words_of_several_at_once_are_all_heard(stores: list[VariantStore]) -> None:
    for number in range(12):
        stores[0].store(f"k{number}", [number])
    await stores[0].flush()
    assert [await stores[2].get(f"k{n}") for n in range(12)] == [[n] for n in range(12)]
    for number in range(10):  # each compares and swaps; who loses tries again
        stores[number % 2].invalidate(f"k{number}")
        await asyncio.sleep(0)
    await asyncio.gather(*(store.flush() for store in stores))
    stores[0].invalidate("k1")
    await stores[0].flush()
    told = orjson.loads(await client_of(stores[0]).get(b"foretell:2:game:news"))
    assert len(told) == 11, "each word once, by the last time it was said"
    await stores[2].hear()
    assert [stores[2].ready(f"k{n}") for n in range(12)] == [None] * 10 + [[10], [11]]


@pytest.mark.parametrize("how", ["kept", "dropped"])
async def test_a_server_that_closes_the_connection_unanswered_holds_nothing_up(
    how: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client's own wait for an answer then never ends, nor lets anything else run."""
    pytest.importorskip("aiomcache")

    ends: list[bytes] = []
    readline = asyncio.StreamReader.readline

    async def counted(reader: asyncio.StreamReader) -> bytes:
        line = await readline(reader)
        ends.extend([] if line else [line])
        if len(ends) > 100:
            raise OSError("so that this test ends")
        return line

    class Closes(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.close()

    server = await asyncio.get_running_loop().create_server(Closes, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cold = SharedCold(f"memcached://127.0.0.1:{port}", limit=0.2, wall=time.time)
    monkeypatch.setattr(asyncio.StreamReader, "readline", counted)
    if how == "kept":
        cold.keep("game:k", {"x": 1}, 60)
    else:
        cold.drop("game:k")
    await cold.flush()
    assert not cold.answers and len(ends) <= 1
    await cold.aclose()
    server.close()
    await server.wait_closed()
