"""A real Redis as the cold layer: shared, killed, frozen, emptied, full of rubbish (G10)."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from typing import Any

import pytest

from foretell.sinks.store_layers import Room
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.store_shelves import Limits
from foretell.sinks.variant_store import VariantStore

pytestmark = pytest.mark.real_time

TINY = Limits(Room(1, 300, "lru"), Room(1, 900, "lfu"), Room(3, 3600, "ttl"))
SESSION = "table-7"


@pytest.fixture
async def colds(redis: Any) -> AsyncIterator[list[SharedCold]]:
    made = [SharedCold(redis.url, limit=0.2) for _ in range(2)]
    yield made
    for cold in made:
        await cold.aclose()


async def eventually(store: VariantStore, key: str, wanted: Any) -> None:
    """Ask until it is there; the test's own time limit ends it."""
    while await store.get(key) != wanted:  # noqa: ASYNC110 - another process's doing
        await asyncio.sleep(0.05)


async def test_two_stores_share_and_what_one_drops_the_other_misses(
    colds: list[SharedCold],
) -> None:  # 2-38
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    ours.store("k", [{"plan": [1, 2]}, "text"], tags=["rules"])
    await ours.flush()
    assert await theirs.get("k") == [{"plan": [1, 2]}, "text"]
    assert await theirs.get("k", "another fingerprint") is None
    assert await VariantStore(cold=colds[1], session="table-8").get("k") is None
    assert theirs.stats().layers["cold"].hits == 1 and theirs.ready("k") is not None
    ours.invalidate("rules")
    await ours.flush()
    third = VariantStore(cold=colds[1], session=SESSION)
    assert await third.get("k") is None


async def test_two_processes_share(redis: Any, colds: list[SharedCold]) -> None:  # 2-38
    program = textwrap.dedent("""
        import asyncio, sys
        from foretell.sinks.store_shared import SharedCold
        from foretell.sinks.variant_store import VariantStore

        async def main():
            cold = SharedCold(sys.argv[1], limit=5)
            store = VariantStore(cold=cold, session="table-7")
            store.store("from there", ["written by another process"])
            await store.flush()
            await cold.aclose()

        asyncio.run(main())
    """)
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", program, redis.url)
    assert await process.wait() == 0
    store = VariantStore(cold=colds[0], session=SESSION)
    await eventually(store, "from there", ["written by another process"])


async def test_what_others_wrote_is_checked_against_the_state(colds: list[SharedCold]) -> None:
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    ours.store("k", ["t"], state={"a": {"b": 1}}, depends=[("a",)])
    await ours.flush()
    theirs.changed({"a": {"b": 2}})
    assert await theirs.get("k") is None
    assert await theirs.get("k", state={"a": {"b": 1}}) == ["t"]


async def test_one_call_is_made_for_what_another_process_has(colds: list[SharedCold]) -> None:
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    assert await ours.get_or_compute({"pos": [1, 1]}, lambda s: ["made once"]) == ["made once"]
    await ours.flush()
    callers = (theirs.get_or_compute({"pos": [1, 1]}, lambda s: ["again"]) for _ in range(20))
    assert await asyncio.gather(*callers) == [["made once"]] * 20
    assert await theirs.get_or_compute({"pos": [2, 1]}, lambda s: ["again"]) == ["made once"]
    assert theirs.stats().flights["computed"] == 0


async def outage(store: VariantStore, kept: list[str]) -> None:
    """While the server is out: hot and warm serve, the rest is a miss, and nobody waits long."""
    for key in kept:
        assert await store.get(key) == [key]
    for number in range(50):
        async with asyncio.timeout(5):  # fifty times the limit would be ten seconds
            assert await store.get(f"absent-{number}") is None


@pytest.mark.parametrize("how", ["killed", "frozen"])
async def test_a_server_that_goes_costs_little_is_logged_once_and_comes_back(
    redis: Any, colds: list[SharedCold], how: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = VariantStore(cold=colds[0], session=SESSION)
    for key in ("a", "b", "c"):
        store.store(key, [key])
    await store.flush()
    assert store.ready("a")
    with caplog.at_level(logging.WARNING):
        redis.kill() if how == "killed" else redis.signal(signal.SIGSTOP)
        await outage(store, ["a", "b", "c"])
        assert not colds[0].answers and len(caplog.records) == 1
        store.store("meanwhile", ["meanwhile"])
        redis.start() if how == "killed" else redis.signal(signal.SIGCONT)
        other = VariantStore(cold=colds[1], session=SESSION)
        await eventually(other, "meanwhile", ["meanwhile"])
        assert colds[0].answers
        assert len([each for each in caplog.records if each.name == "foretell"]) <= 4
    await outage(store, ["a", "b", "c"])


async def test_a_look_up_costs_the_limit_once_and_then_nothing(redis: Any) -> None:
    cold = SharedCold(redis.url)
    store = VariantStore(cold=cold, session=SESSION)
    assert await store.get("absent") is None
    redis.signal(signal.SIGSTOP)
    assert [await store.get(f"k{n}") for n in range(100)] == [None] * 100
    met = cold.described()["met"]
    assert met["time-outs"] == 1 and met["not asked"] == 99
    redis.signal(signal.SIGCONT)
    await cold.aclose()


async def test_a_server_that_was_never_there_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    cold = SharedCold("redis://127.0.0.1:1/0")
    store = VariantStore(cold=cold, session=SESSION)
    store.store("a", ["a"])
    with caplog.at_level(logging.WARNING):
        await outage(store, ["a"])
        await store.flush()
    assert len(caplog.records) == 1
    await cold.aclose()


async def test_a_server_that_comes_back_empty_is_a_miss(
    redis: Any, colds: list[SharedCold]
) -> None:
    store = VariantStore(TINY, cold=colds[0], session=SESSION)
    for key in ("a", "b", "c"):
        store.store(key, [key])
    await store.flush()
    assert await store.get("a") == ["a"]
    redis.kill()
    redis.start()
    assert await store.get("b") is None
    await eventually(store, "b", None)
    while "lost" not in store.stats().evictions:
        await asyncio.sleep(0.1)
        assert await store.get("b") is None
    assert await store.get("a") == ["a"] and await store.get("c") == ["c"]
    store.store("b", ["b"])
    assert await store.get("b") == ["b"]


RUBBISH = [
    b"", b"\x80\x04\x95\x00", b"not json", b"[" * 5000, b"null", b"[]", b"{}", b'"text"', b"1e999",
    b'{"format": 1, "key": "k"}', b'{"format": 2}', b'{"a": "\xed\xa0\x80"}',
]  # fmt: skip


async def test_rubbish_under_our_keys_is_a_miss_and_no_outage(
    redis: Any, colds: list[SharedCold], caplog: pytest.LogCaptureFixture
) -> None:
    writer, reader = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    client = colds[0]._server._cache.client  # type: ignore[attr-defined]
    name = f"foretell:1:{writer._shelves.name('k', '')}"
    other = f"foretell:1:{writer._shelves.name('other', '')}"
    writer.store("other", ["other's"])
    await writer.flush()
    with caplog.at_level(logging.WARNING):
        for rubbish in [*RUBBISH, await client.get(other)]:
            await client.set(name, rubbish)
            assert await reader.get("k") is None
            await reader.flush()
        await client.lpush(name, "a list")
        assert await reader.get("k") is None
        await reader.flush()
    assert colds[1].answers and len(caplog.records) <= 1
    assert await reader.get("other") == ["other's"]
    writer.store("k", ["good again"])
    await writer.flush()
    await eventually(reader, "k", ["good again"])


async def test_nobody_elses_keys_are_touched(redis: Any, colds: list[SharedCold]) -> None:
    store = VariantStore(TINY, cold=colds[0], session=SESSION)
    client = colds[0]._server._cache.client  # type: ignore[attr-defined]
    await client.set("their own", "precious")
    for number in range(20):
        store.store(f"k{number}", ["x"])
    await store.flush()
    ours = [key async for key in client.scan_iter("foretell:1:table-7:*")]
    assert len(ours) == 4 == len(store), "what is let go here is let go there"
    left = [await client.pttl(key) for key in ours]
    assert all(0 < each <= 3_600_000 for each in left)
    store.clear()
    await store.flush()
    assert [key async for key in client.scan_iter("*")] == [b"their own"]


async def test_an_answer_that_came_too_late_is_nobody_elses(
    redis: Any, colds: list[SharedCold]
) -> None:
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    for number in range(10):
        ours.store(f"k{number}", [f"v{number}"])
    await ours.flush()
    for number in range(10):
        asking = asyncio.create_task(theirs.get(f"k{number}"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asking.cancel()
        await asyncio.wait([asking])
        after = (number + 5) % 10
        assert await theirs.get(f"k{after}") == [f"v{after}"]


async def test_what_is_no_redis_at_all_is_a_miss() -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n<html>")
        await writer.drain()
        await reader.read(1000)
        writer.close()

    async with await asyncio.start_server(babble, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        cold = SharedCold(f"redis://127.0.0.1:{port}/0", limit=0.2)
        store = VariantStore(cold=cold, session=SESSION)
        store.store("a", ["a"])
        await outage(store, ["a"])
        await cold.aclose()
