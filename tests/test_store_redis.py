"""A real Redis as the cold layer: shared, killed, frozen, emptied, full of rubbish (G10)."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest

from foretell.errors import ConfigError
from foretell.sinks.store_guard import Condition
from foretell.sinks.store_layers import Limits, Room
from foretell.sinks.store_parts import Part
from foretell.sinks.store_scenarios import Scenario, fill
from foretell.sinks.store_server import open_server
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.variant_store import VariantStore

pytestmark = pytest.mark.real_time

TINY = Limits(Room(1, 300, "lru"), Room(1, 900, "lfu"), Room(3, 3600, "ttl"))
SESSION = "table-7"


@pytest.fixture
async def colds(redis: Any) -> AsyncIterator[list[SharedCold]]:
    """Two processes' caches, which wait for an answer as long as a busy machine may take."""
    made = [SharedCold(redis.url, limit=2, wall=time.time) for _ in range(2)]
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


async def test_what_is_stored_as_soon_as_all_is_written_is_written_too(
    colds: list[SharedCold],
) -> None:
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    async with asyncio.timeout(20):
        for number in range(20):
            ours.store(f"k{number}", [number])
            await ours.flush()
    assert [await theirs.get(f"k{number}") for number in range(20)] == [[n] for n in range(20)]


async def test_two_processes_share(redis: Any, colds: list[SharedCold]) -> None:  # 2-38
    program = textwrap.dedent("""
        import asyncio, sys, time
        from foretell.sinks.store_shared import SharedCold
        from foretell.sinks.variant_store import VariantStore

        async def main():
            cold = SharedCold(sys.argv[1], limit=5, wall=time.time)
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


@pytest.mark.parametrize("chain", [False, True])
async def test_parts_that_another_process_has_made_are_not_made_again(
    colds: list[SharedCold], chain: bool
) -> None:  # 3-33
    small = Limits(Room(2, 300, "lru"), Room(2, 900, "lfu"), Room(9, 3600, "ttl"))
    ours = VariantStore(small, cold=colds[0], session=SESSION)
    theirs = VariantStore(cold=colds[1], session=SESSION)
    names, asked = [str(number) for number in range(6)], list[list[str]]()

    def make(good: list[Part], missing: list[str]) -> list[Part]:
        asked.append(missing)
        return [Part(name, f"step {name}") for name in missing]

    steps = [f"step {name}" for name in names]
    for store in (ours, ours, theirs):
        parts = await store.get_or_compute_parts("plan", names, make, chain=chain)
        assert [part.value for part in parts] == steps
        await store.flush()
    assert asked == [names]
    ours.invalidate("plan#3")
    await ours.flush()
    await theirs.hear()
    await theirs.get_or_compute_parts("plan", names, make, chain=chain)
    assert asked[1:] == [names[3:] if chain else ["3"]]


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


async def test_what_another_process_has_is_served_for_states_that_its_guard_fits(
    colds: list[SharedCold],
) -> None:  # 3-31
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    guard = [Condition(("x",), "below", 2)]
    await ours.get_or_compute({"x": 1}, lambda s: ["low"], guard=guard)
    await ours.flush()
    callers = (theirs.get_or_compute({"x": x}, lambda s: ["high"]) for x in (1, 2))
    assert await asyncio.gather(*callers) == [["low"], ["high"]]


async def test_of_many_whom_what_another_process_has_does_not_fit_one_computes(
    colds: list[SharedCold],
) -> None:  # 3-31, 3-37
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    await ours.get_or_compute({"x": 1}, lambda s: ["low"], guard=[Condition(("x",), "below", 2)])
    await ours.flush()

    async def high(snapshot: Any) -> list[Any]:
        await asyncio.sleep(0.05)
        return ["high"]

    callers = (theirs.get_or_compute({"x": x}, high) for x in (1, *[2] * 20))
    assert await asyncio.gather(*callers) == [["low"], *[["high"]] * 20]
    assert theirs.stats().flights["computed"] == 1


async def test_what_lies_there_for_a_near_state_is_found_and_each_look_up_counts_once(
    colds: list[SharedCold],
) -> None:  # 3-29, 1-41
    ours, theirs = (VariantStore(TINY, cold=cold, session=SESSION) for cold in colds)
    for x in (10, 50, 90):
        await ours.get_or_compute({"pos": [x, 1]}, lambda s: [s["pos"]], ttl=None)
    await ours.flush()
    assert ours.missing([ours.name_of({"pos": [10, 1]})]) == [], "it is known here"
    assert ours.ready(ours.name_of({"pos": [10, 1]})) is None, "but not in memory"
    assert await ours.get_or_compute({"pos": [12, 1]}, lambda s: ["made anew"]) == [[10, 1]]
    stats = ours.stats()
    assert stats.flights["computed"] == 3 and stats.layers["cold"].hits == 1
    assert (stats.misses, stats.near["hits"], stats.near["mismatches"]) == (4, 1, 0)
    assert await theirs.get_or_compute({"pos": [90, 1]}, lambda s: ["made anew"]) == [[90, 1]]
    assert (theirs.stats().hits, theirs.stats().misses) == (1, 0)


async def test_what_takes_the_place_of_ours_is_true_for_what_its_maker_says(
    colds: list[SharedCold],
) -> None:  # 2-38, 3-31
    ours, theirs = (VariantStore(TINY, cold=cold, session=SESSION) for cold in colds)
    stands, dead = {"grik": {"hp": 5}}, {"grik": {"hp": 0}}
    ours.changed(stands)
    theirs.changed(dead)
    ours.store("grik", ["Grik stands."], guard=[Condition(("grik", "hp"), "above", 0)])
    ours.store("other", ["takes its place in the warm layer"])
    await ours.flush()
    guard = [Condition(("grik", "hp"), "below", 1)]
    theirs.store("grik", ["Grik is dead."], guard=guard, tags=["deaths"])
    await theirs.flush()
    assert await ours.get("grik") is None
    assert await ours.get("grik", state=dead) == ["Grik is dead."]
    assert ours.invalidate("deaths") == 1


async def test_what_takes_the_place_of_ours_is_not_found_by_our_snapshot(
    colds: list[SharedCold],
) -> None:  # 3-29
    ours, theirs = (VariantStore(TINY, cold=cold, session=SESSION) for cold in colds)
    ours.store("plan", ["to the bridge"], snapshot={"pos": [1, 1]})
    ours.store("other", ["takes its place in the warm layer"])
    await ours.flush()
    theirs.store("plan", ["to the mill"], snapshot={"pos": [80, 80]})
    await theirs.flush()
    near = {"pos": [2, 1]}
    assert await ours.get_or_compute(near, lambda s: ["to the bridge"]) == ["to the bridge"]


async def outage(store: VariantStore, kept: list[str]) -> None:
    """While the server is out: hot and warm serve, the rest is a miss, and nobody waits long."""
    for key in kept:
        assert await store.get(key) == [key]
    for number in range(50):
        async with asyncio.timeout(20):  # fifty times the limit would be a hundred
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
    cold = SharedCold(redis.url, limit=1, wall=time.time, every=3600)
    store = VariantStore(cold=cold, session=SESSION)
    assert await store.get("absent") is None and not cold.described()["met"]
    redis.signal(signal.SIGSTOP)
    assert [await store.get(f"k{n}") for n in range(100)] == [None] * 100
    met = cold.described()["met"]
    assert met["time-outs"] == 1 and met["not asked"] == 99
    redis.signal(signal.SIGCONT)
    await cold.aclose()


async def test_a_server_that_hangs_costs_a_look_up_less_than_fifty_milliseconds(
    redis: Any,
) -> None:  # G10
    cold = SharedCold(redis.url, wall=time.time)
    store = VariantStore(cold=cold, session=SESSION)
    assert await store.get("absent") is None
    redis.signal(signal.SIGSTOP)
    taken: list[float] = []
    for number in range(20):
        cold.door.again = 0.0  # as if it had answered until now
        begun = time.perf_counter()
        assert await store.get(f"k{number}") is None
        taken.append(time.perf_counter() - begun)
    assert min(taken) < 0.05, "the others may have waited for the machine"
    assert cold.described()["met"]["time-outs"] >= 20, "and who listens may have asked, too"
    redis.signal(signal.SIGCONT)
    await cold.aclose()


async def test_a_server_that_was_never_there_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    cold = SharedCold("redis://127.0.0.1:1/0", wall=time.time)
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


@pytest.mark.parametrize("how", ["dead", "empty"])
async def test_what_is_warm_outlives_the_server_though_it_must_leave_for_others(
    redis: Any, colds: list[SharedCold], how: str
) -> None:  # 2-38
    store = VariantStore(cold=colds[0], session=SESSION)
    for number in range(50):
        store.store(f"old {number}", [number])
    await store.flush()
    redis.kill()
    if how == "empty":
        redis.start()
        await eventually(store, "nothing", None)
    for number in range(50):
        store.store(f"new {number}", [number], value=2)
    assert store.stats().layers["cold"].entries == 50
    assert [await store.get(f"old {number}") for number in range(50)] == [[n] for n in range(50)]


async def test_rubbish_under_our_keys_is_a_miss_and_no_outage(
    redis: Any, colds: list[SharedCold], caplog: pytest.LogCaptureFixture
) -> None:
    writer, reader = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    client = colds[0].door.server._cache.client  # type: ignore[attr-defined]
    name = f"foretell:2:{writer._shelves.name('k', '')}"
    other = f"foretell:2:{writer._shelves.name('other', '')}"
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
    client = colds[0].door.server._cache.client  # type: ignore[attr-defined]
    await client.set("their own", "precious")
    for number in range(20):
        store.store(f"k{number}", ["x"], tags=["all"])
    await store.flush()
    ours = [key async for key in client.scan_iter("foretell:2:table-7:*[^s]")]
    assert len(ours) == 20 and len(store) == 4
    left = [await client.pttl(key) for key in ours]
    assert all(0 < each <= 3_600_000 for each in left)
    for number in range(16):
        await store.get(f"k{number}")
        store.invalidate("all")
    store.clear()
    await store.flush()
    assert {key async for key in client.scan_iter("*")} == {
        b"their own",
        b"foretell:2:table-7:news",
    }
    assert 0 < await client.ttl("foretell:2:table-7:news") <= 30 * 24 * 3600


async def test_what_is_too_much_for_one_or_over_there_stays_for_the_others(
    colds: list[SharedCold],
) -> None:  # 2-38
    one, other = (VariantStore(TINY, cold=cold, session=SESSION) for cold in colds)
    for number in range(20):
        one.store(f"k{number}", [number])
    assert one.ready("k19") == [19]
    one.end_session()
    await one.flush()
    assert [await other.get(f"k{number}") for number in range(20)] == [[n] for n in range(20)]


async def test_what_another_process_made_is_good_for_the_rest_of_its_time_only(
    redis: Any,
) -> None:  # 0-14
    now = [1000.0]
    colds = [SharedCold(redis.url, limit=0.2, wall=lambda: now[0]) for _ in range(2)]
    time = [0.0]
    ours, theirs = (
        VariantStore(cold=cold, session=SESSION, clock=lambda: time[0]) for cold in colds
    )
    ours.store("k", ["t"], 60)
    ours.store("changing", ["t"], 60, state={"a": 1}, depends=[("a",)])
    await ours.flush()
    now[0] += 50
    time[0] += 50
    ours.changed({"a": 2}, [(("a",), None)], expected=True)
    await ours.flush()
    assert await theirs.get("k") == ["t"] == await theirs.get("changing", state={"a": 2})
    now[0] += 9
    time[0] += 9
    assert theirs.ready("k") == ["t"]
    now[0] += 2
    time[0] += 2
    assert theirs.ready("k") is None and theirs.ready("changing", state={"a": 2}) is None
    third = VariantStore(cold=colds[1], session=SESSION, clock=lambda: time[0])
    assert await third.get("k") is None
    for cold in colds:
        await cold.aclose()


async def test_what_is_of_a_turn_is_good_there_from_its_end_for_its_time(redis: Any) -> None:
    now = [1000.0]
    cold = SharedCold(redis.url, limit=0.2, wall=lambda: now[0])
    ours = VariantStore(cold=cold, session=SESSION)
    for key in ("over", "open"):
        ours.store(key, ["t"], 60, turn=key)
    ours.end_turn("over")
    await ours.flush()
    now[0] += 61
    late = VariantStore(cold=cold, session=SESSION)
    assert await late.get("over") is None and await late.get("open") == ["t"]
    await cold.aclose()


async def test_sessions_whose_names_no_key_can_hold_are_apart_too(colds: list[SharedCold]) -> None:
    names = ("täble 7", "täble 8")
    ours, same, other = (VariantStore(cold=colds[0], session=names[n]) for n in (0, 0, 1))
    ours.store("k", ["ours"])
    await ours.flush()
    assert await other.get("k") is None and await same.get("k") == ["ours"]


async def test_what_is_too_large_to_be_ours_is_neither_read_nor_left(
    redis: Any, colds: list[SharedCold]
) -> None:  # G10
    store = VariantStore(cold=colds[0], session=SESSION)
    store.store("k", ["t"])
    await store.flush()
    client = colds[0].door.server._cache.client  # type: ignore[attr-defined]
    name = f"foretell:2:{store.name_in_cache('k', '')}"
    good = await client.get(name)
    await client.set(name, b'{"x": [' + b"1," * 2_000_000 + b"1], " + good[1:])
    read: list[int] = []
    serializer = colds[1].door.server._serializer  # type: ignore[attr-defined]
    loads = serializer.loads

    def counted(raw: bytes) -> Any:
        read.append(len(raw))
        return loads(raw)

    serializer.loads = counted
    other = VariantStore(cold=colds[1], session=SESSION)
    assert await other.get("k") is None and read == [256 * 1024 + 1]
    await other.flush()
    assert await client.get(name) is None
    assert colds[1].answers and colds[1].described()["met"]["garbled"] == 1
    colds[0].keep("large", {"text": "x" * 300_000}, 60)
    assert colds[0].described()["met"]["too large"] == 1 and not colds[0].described()["waiting"]


async def test_a_guard_in_a_record_that_no_state_can_be_compared_with_is_rubbish(
    redis: Any, colds: list[SharedCold]
) -> None:  # G10
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    ours.store("k", ["t"], guard=[Condition(("hp",), "above", 1)])
    await ours.flush()
    client = colds[0].door.server._cache.client  # type: ignore[attr-defined]
    name = f"foretell:2:{ours.name_in_cache('k', '')}"
    await client.set(name, (await client.get(name)).replace(b'"above",1', b'"above","x"'))
    assert await theirs.get("k", state={"hp": 5}) is None
    assert theirs.stats().evictions == {"garbled": 1}


async def test_a_server_that_takes_no_writes_is_read_all_the_same(
    colds: list[SharedCold], caplog: pytest.LogCaptureFixture
) -> None:  # G10
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    ours.store("k", ["t"])
    await ours.flush()
    client = colds[0].door.server._cache.client  # type: ignore[attr-defined]
    await client.config_set("maxmemory", "1")
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            theirs.store(f"new-{number}", ["t"])
        await theirs.flush()
        assert await theirs.get("k") == ["t"]
    met = colds[1].described()
    assert met["answers"] and met["met"] == {"refused": 5} and met["waiting"] == 0
    assert len(caplog.records) == 1
    await client.config_set("maxmemory", "0")
    theirs.store("new", ["t"])
    await theirs.flush()
    assert await ours.get("new") == ["t"]


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
        cold = SharedCold(f"redis://127.0.0.1:{port}/0", limit=0.2, wall=time.time)
        store = VariantStore(cold=cold, session=SESSION)
        store.store("a", ["a"])
        await outage(store, ["a"])
        await cold.aclose()


@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_what_answers_without_end_is_an_outage_and_asked_no_more_for_a_while(
    kind: str,
) -> None:  # G10
    pytest.importorskip("redis" if kind == "redis" else "aiomcache")
    asked: list[bytes] = []

    class Babbles(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            asked.append(data)
            self.transport.write(b"x" * 300_000)

    server = await asyncio.get_running_loop().create_server(Babbles, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cold = SharedCold(f"{kind}://127.0.0.1:{port}", limit=0.2, wall=time.time)
    store = VariantStore(cold=cold, session=SESSION)
    store.store("a", ["a"])
    store.invalidate("b")
    cold.drop("game:c")
    await cold.flush()
    await outage(store, ["a"])
    await asyncio.sleep(0.5)
    assert not cold.answers and len(asked) <= 5
    await cold.aclose()
    server.close()
    await server.wait_closed()


SMALL = {
    "an array of small ones": (b"*1000000000\r\n", b":1\r\n" * 10_000),
    "errors": (b"*1000000000\r\n", b"-ERR x\r\n" * 10_000),
    "a map": (b"%1000000000\r\n", b"".join(b":%d\r\n+\r\n" % n for n in range(10_000))),
    "what nobody asked for": (b"", b">1\r\n:1\r\n" * 10_000),
    "a text": (b"$2000000000\r\n", b"x" * 100_000),
}


@pytest.mark.parametrize("kind", SMALL)
async def test_of_an_answer_that_never_ends_no_more_is_read_than_was_asked_for(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    first, on_and_on = SMALL[kind]

    class Floods(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            transport.write(first)
            self.resume_writing()

        def resume_writing(self) -> None:
            self.paused = self.transport.is_closing()
            while not self.paused:
                self.transport.write(on_and_on)

        def pause_writing(self) -> None:
            self.paused = True

    server = await asyncio.get_running_loop().create_server(Floods, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    cold = SharedCold(f"redis://127.0.0.1:{port}", limit=20, wall=time.time)
    assert await cold.fetch("game:k") is None
    assert cold.described()["met"] == {"failures": 1}
    assert "InvalidResponse" in caplog.text, "no time limit has ended it"
    await cold.aclose()
    server.close()
    await server.wait_closed()


LONG: list[dict[str, Any]] = [
    {"variants": [0] * 1001},
    {"tags": ["t"] * 101},
    {"guard": [[["a"], "there", 1]] * 101},
    {"depends": {"paths": [["a"]] * 251, "apart": [], "own": "", "volatile": []}},
    {"depends": {"paths": [["a"] * 33], "apart": [], "own": "", "volatile": []}},
    {f"x{number}": 0 for number in range(30)},
]


@pytest.mark.parametrize("more", LONG)
async def test_a_record_with_more_in_it_than_can_be_looked_through_is_rubbish(
    colds: list[SharedCold], more: dict[str, Any]
) -> None:  # G10
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    ours.store("k", ["good"])
    await ours.flush()
    client, name = colds[0].door.server._cache.client, ours.name_in_cache("k", "")  # type: ignore[attr-defined]
    record = {**orjson.loads(await client.get(f"foretell:2:{name}")), **more}
    await client.set(f"foretell:2:{name}", orjson.dumps(record))
    assert await theirs.get("k") is None
    await theirs.flush()
    assert colds[1].described()["met"] == {"garbled": 1} and colds[1].answers
    assert await client.get(f"foretell:2:{name}") is None


async def test_what_is_too_much_for_others_stays_with_who_has_it(colds: list[SharedCold]) -> None:
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    ours.store("k", ["good"], tags=[f"t{number}" for number in range(101)])
    await ours.flush()
    assert await ours.get("k") == ["good"] and await theirs.get("k") is None
    assert colds[0].described()["met"] == {"too large": 1} and ours.lost == 1


async def test_a_word_too_long_for_a_board_is_said_as_all(
    redis: Any, colds: list[SharedCold]
) -> None:  # G1
    deaf = [SharedCold(redis.url, limit=2, wall=time.time, every=3600) for _ in range(2)]
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in deaf)
    for key in ("k", "other"):
        theirs.store(key, ["x"])
    await theirs.flush()
    for number in range(20):
        ours.invalidate(f"{number}" + "x" * 5000)
    await ours.flush()
    assert await ours.get("other") == ["x"], "who said it knows which it meant"
    await theirs.hear()
    assert theirs.ready("k") is None is theirs.ready("other")
    theirs.store("k", ["again"])
    await theirs.flush()
    await asyncio.gather(*(cold.aclose() for cold in deaf))
    await eventually(VariantStore(cold=colds[0], session=SESSION), "k", ["again"])


async def test_a_warm_up_larger_than_the_queue_arrives_whole(
    colds: list[SharedCold],
) -> None:  # 1-40
    known = [Scenario(key=f"k{n}", variants=[n]) for n in range(1000)]
    ours, theirs = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    assert await fill(ours, known) == 1000
    found = [await theirs.get(f"k{n}") for n in range(1000)]
    assert found == [[n] for n in range(1000)]


async def test_a_warm_up_says_what_a_server_did_not_take(colds: list[SharedCold]) -> None:  # 1-40
    client = colds[0].door.server._cache.client  # type: ignore[attr-defined]
    await client.ping()
    await client.config_set("maxmemory", "1")
    known = [Scenario(key=f"k{n}", variants=[n]) for n in range(10)]
    assert await fill(VariantStore(cold=colds[0], session=SESSION), known) == 0


async def test_games_of_different_names_share_a_server_and_nothing_else(redis: Any) -> None:
    plans = []
    for number, name in enumerate(("a", "b", "a")):
        cold = SharedCold(f"{redis.url}?name={name}", limit=0.2, wall=time.time)
        store = VariantStore(cold=cold, session="game")
        made = [number]
        plans.append(await store.get_or_compute({"scene": "mill"}, lambda s, made=made: made))  # type: ignore[misc]
        await store.flush()
        await cold.aclose()
    assert plans == [[0], [1], [0]]


@pytest.mark.parametrize("query", ["name=a:b", "other=1", "name", "name=a&name=b"])
def test_a_url_with_anything_else_in_it_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="name="):
        open_server(f"redis://127.0.0.1:1/0?{query}", 0.05)
