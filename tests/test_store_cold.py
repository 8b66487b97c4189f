"""The cold layer behind ``aiocache``: its traps, each of them, and servers that misbehave."""

from __future__ import annotations

import ast
import asyncio
import json
import logging
import math
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from aiocache import SimpleMemoryCache  # type: ignore[import-untyped]

import foretell.sinks.store_cold as cold_module
from foretell.errors import ConfigError
from foretell.sinks.store_cold import MemoryCold
from foretell.sinks.store_guard import Condition
from foretell.sinks.store_layers import Limits, Room
from foretell.sinks.store_news import BORN, Board
from foretell.sinks.store_scenarios import Scenario, fill
from foretell.sinks.store_server import Orjson, open_server
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.variant_store import VariantStore

TINY = Limits(Room(1, 300, "lru"), Room(1, 900, "lfu"), Room(3, 3600, "ttl"))
SINKS = Path(cold_module.__file__).parent


async def test_what_is_cold_comes_back_whole() -> None:  # 1-36, 1-38
    store = VariantStore(TINY)
    plan = [{"steps": ["a", 1.5, None]}, "täxt — “quoted”"]
    store.store("old", plan, None, tags=["t"], guard=[Condition(("a",), "is", 1)])
    store.store("new", ["x"])
    assert next(e for e in store._shelves if e.key == "old").parts is None
    assert await store.get("old", state={"a": 1}) == plan


async def test_a_key_set_again_after_clear_is_not_taken_by_an_old_timer() -> None:
    theirs = SimpleMemoryCache(timeout=0)
    await theirs.set("k", "v", ttl=10)
    await theirs.clear()
    await asyncio.sleep(5)
    await theirs.set("k", "v", ttl=10)
    await asyncio.sleep(6)
    assert await theirs.get("k") is None, "the trap is still there"

    store = VariantStore(TINY)
    for again in range(2):
        store.store("k", ["v"], 10)
        store.store(f"other-{again}", ["x"])
        assert store.stats().layers["cold"].entries == 1
        if not again:
            store.clear()
            await asyncio.sleep(5)
    await asyncio.sleep(6)
    assert await store.get("k") == ["v"]


async def test_the_memory_cache_is_bounded_by_the_store() -> None:  # 1-57, G3
    cold = MemoryCold()
    store = VariantStore(TINY, cold=cold)
    for number in range(100):
        store.store(f"k{number}", ["x"])
    assert len(cold._cache._cache) == 3 and not cold._cache._handlers
    store.clear()
    assert not cold._cache._cache


async def test_what_was_cold_once_leaves_nothing_in_the_memory_cache() -> None:  # 1-57, G3
    cold = MemoryCold()
    store = VariantStore(TINY, cold=cold)
    for number in range(100):
        store.store(f"k{number}", ["x"], 60)
        store.store("other", ["x"])
        assert store.ready(f"k{number}") == ["x"]
        store.consume(f"k{number}")
    assert len(cold._cache._cache) == store.stats().layers["cold"].entries == 0


async def test_no_call_of_the_memory_cache_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forbidden(*_: object) -> None:
        raise AssertionError("wait_for orders tasks differently between versions")

    monkeypatch.setattr(asyncio, "wait_for", forbidden)
    cold = MemoryCold()
    cold.keep("a", {"x": 1}, 60)
    assert cold.at_hand("a") == {"x": 1} == await cold.fetch("a")
    cold.drop("a")
    assert cold.at_hand("a") is None


async def test_aiocache_switched_off_by_the_environment_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIOCACHE_DISABLE", "1")
    store = VariantStore(TINY)
    store.store("a", ["a"])
    store.store("b", ["b"])
    assert store.ready("a") == ["a"] and store.ready("b") == ["b"]
    assert store.stats().layers["cold"].hits == 1


async def test_what_a_cache_has_lost_is_a_miss_and_is_made_anew() -> None:
    cold = MemoryCold()
    store = VariantStore(TINY, cold=cold)
    store.store("a", ["a"])
    store.store("b", ["b"])
    cold._cache._cache.clear()
    assert store.ready("a") is None and store.ready("b") == ["b"]
    assert store.stats().evictions["lost"] == 1 and store.missing(["a", "b"]) == ["a"]


async def test_the_memory_cache_reads_no_clock(monkeypatch: pytest.MonkeyPatch) -> None:  # G8
    store = VariantStore(TINY)
    store.store("first", ["so that all is imported"])
    store.store("second", ["x"])

    def forbidden() -> float:
        raise AssertionError("ambient time")

    monkeypatch.setattr("time.monotonic", forbidden)
    store.store("a", ["a"])
    store.store("b", ["b"])
    assert store.ready("a") == ["a"]


def test_nothing_that_could_run_is_ever_read() -> None:
    assert json.loads(Orjson().dumps({"a": [1, "ü"]})) == {"a": [1, "ü"]}
    with pytest.raises(ValueError, match="UTF-8"):
        Orjson().loads(b"\x80\x04\x95")
    for path in SINKS.glob("*store*.py"):
        names = {
            name.name
            for node in ast.walk(ast.parse(path.read_text("utf-8")))
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in node.names
        }
        assert not names & {"pickle", "PickleSerializer", "marshal", "shelve", "dill"}, path


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("", "not the URL"),
        ("redis://", "not the URL"),
        ("http://localhost", "not the URL"),
        ("redis://host:99999", "no port from 0 to 65535"),
        ("redis://[host:6379", "no port from 0 to 65535"),
        ("redis://host/nine", "number of a Redis database"),
    ],
)
def test_a_url_that_is_none_says_so(url: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"cache_url: .*{why}"):
        open_server(url, 0.05)


async def test_a_password_is_told_to_nobody() -> None:
    cold = SharedCold("redis://me:s3cret@127.0.0.1:1/0", wall=time.time)
    assert "s3cret" not in f"{cold!r} {cold.described()}"
    await cold.aclose()
    with pytest.raises(ConfigError, match="%2F") as told:  # the password ends where the port begins
        open_server("redis://:s3cret/word@127.0.0.1:1/0", 0.05)
    assert "s3cret" not in str(told.value)


class Memcached(asyncio.Protocol):
    """As much of a Memcached as the client asks for; slow when told to be."""

    items: dict[bytes, tuple[bytes, int]]
    slow: float

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport, self.data = transport, b""

    def data_received(self, data: bytes) -> None:
        self.data += data
        while b"\r\n" in self.data:
            line, _, rest = self.data.partition(b"\r\n")
            words = line.split()
            answer = b"ERROR\r\n"
            if words[0] in (b"set", b"add", b"cas"):
                size = int(words[4])
                if len(rest) < size + 2:
                    return
                answer, known = b"STORED\r\n", self.items.get(words[1])
                if words[0] == b"add" and known:
                    answer = b"NOT_STORED\r\n"
                elif words[0] == b"cas" and known and int(words[5]) != zlib.crc32(known[0]):
                    answer = b"EXISTS\r\n"
                else:
                    self.items[words[1]] = rest[:size], int(words[3])
                rest = rest[size + 2 :]
            elif words[0] in (b"get", b"gets"):
                answer = b""
                for key in words[1:]:
                    if kept := self.items.get(key):
                        token = b" %d" % zlib.crc32(kept[0]) if words[0] == b"gets" else b""
                        answer += b"VALUE %b 0 %d%b\r\n%b\r\n" % (key, len(kept[0]), token, kept[0])
                answer += b"END\r\n"
            elif words[0] == b"delete":
                answer = b"DELETED\r\n" if self.items.pop(words[1], None) else b"NOT_FOUND\r\n"
            self.data = rest
            asyncio.get_running_loop().call_later(self.slow, self._say, answer)

    def _say(self, answer: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(answer)


@pytest.mark.real_time
async def test_memcached_shares_and_a_late_answer_is_nobody_elses() -> None:  # 2-38
    pytest.importorskip("aiomcache")

    class Here(Memcached):
        items: dict[bytes, tuple[bytes, int]] = {}  # noqa: RUF012
        slow = 0.0

    server = await asyncio.get_running_loop().create_server(Here, "127.0.0.1", 0)
    url = f"memcached://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    ours, theirs = (
        SharedCold(url, limit=0.2, wall=time.time),
        SharedCold(url, limit=0.2, wall=time.time),
    )
    mine = VariantStore(cold=ours, session="t 7\n")
    try:
        mine.store("k", ["v"], 90.5)
        mine.store("other", ["w"])
        mine.store("third", ["x"])
        await mine.flush()
        name, (_, seconds) = next(each for each in Here.items.items() if b":news" not in each[0])
        assert name.startswith(b"foretell:2:-:") and seconds == 91
        other = VariantStore(cold=theirs, session="t 7\n")
        assert await other.get("k") == ["v"]
        Here.slow = 0.4
        assert await other.get("other") is None
        Here.slow = 0.0
        await asyncio.sleep(1.1)
        for _ in range(6):  # each connection of the pool in its turn
            found = await theirs.fetch(other.name_in_cache("third", ""))
            assert found["key"] == "third"
        assert await other.get("third") == ["x"]
        assert await other.get("other") == ["w"]
        assert await other.get("absent") is None
        assert other.stats().evictions.get("garbled") is None
    finally:
        await ours.aclose()
        await theirs.aclose()
        server.close()
        await server.wait_closed()


@pytest.mark.real_time
async def test_memcached_hears_of_the_others_and_a_cancelled_look_up_leaves_nothing() -> None:
    pytest.importorskip("aiomcache")

    class Here(Memcached):
        items: dict[bytes, tuple[bytes, int]] = {}  # noqa: RUF012
        slow = 0.0

    server = await asyncio.get_running_loop().create_server(Here, "127.0.0.1", 0)
    url = f"memcached://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    colds = [SharedCold(url, limit=0.5, wall=time.time, every=3600) for _ in range(3)]
    ours, theirs, late = (VariantStore(cold=cold, session="t") for cold in colds)
    try:
        for number in range(4):
            ours.store(f"k{number}", [number], tags=[f"tag-{number % 2}"])
        await ours.flush()
        assert [await theirs.get(f"k{n}") for n in range(4)] == [[n] for n in range(4)]
        await asyncio.gather(*(store.flush() for store in (ours, theirs)))
        ours.invalidate("tag-0")
        theirs.invalidate("k1")  # at the same time: one compares and swaps after the other
        await asyncio.gather(ours.flush(), theirs.flush())
        await asyncio.gather(ours.hear(), theirs.hear())
        for store in (ours, theirs, late):
            assert [await store.get(f"k{n}") for n in range(4)] == [None, None, None, [3]]
        Here.items[b"foretell:2:t:news"] = (b'[["all", 1], 2]', 0)
        assert await late.get("k3") == [3] and await theirs.get("absent") is None
        await theirs.flush()
        assert theirs.stats().cold["met"]["garbled"] == 1
        ours.store("k4", [4])
        ours.store("k5", [5])
        await ours.hear()
        await ours.flush()
        Here.slow = 0.05
        for _ in range(4):
            asking = asyncio.create_task(colds[2].fetch(late.name_in_cache("k4", "")))
            await asyncio.sleep(0.02)
            asking.cancel()
            await asyncio.wait([asking])
            assert (await colds[2].fetch(late.name_in_cache("k5", "")))["key"] == "k5"
    finally:
        for cold in colds:
            await cold.aclose()
        server.close()
        await server.wait_closed()


async def test_what_waits_to_be_written_is_bounded_and_at_hand(
    caplog: pytest.LogCaptureFixture,
) -> None:  # G3
    class Dead:
        kind, where, garbage, refusals = "dead", "nowhere", (ValueError,), ()

        async def refuse(self, *_: object) -> None:
            raise OSError("refused")

        get = set = delete = refuse

        async def forget_connections(self) -> None: ...
        async def aclose(self) -> None: ...

    cold = SharedCold("redis://127.0.0.1:1/0", wall=time.time)
    await cold.door.server.aclose()
    cold.door.server = Dead()  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        for number in range(1000):
            cold.keep(f"n{number}", {"n": number}, 60)
        await asyncio.sleep(60)
        assert cold.described()["waiting"] == 256
        assert await cold.fetch("n999") == {"n": 999} and await cold.fetch("n0") is None
        assert len(caplog.records) == 1, "one outage is logged once"
    await cold.aclose()


async def test_more_look_ups_at_once_than_there_is_time_for_are_no_outage(
    caplog: pytest.LogCaptureFixture,
) -> None:  # G10
    class Far:
        kind, where, garbage, refusals = "far", "elsewhere", (ValueError,), ()
        takes = 0.005

        async def get(self, name: str) -> str:
            await asyncio.sleep(self.takes)
            return name

        async def forget_connections(self) -> None: ...
        async def aclose(self) -> None: ...

    cold = SharedCold("redis://127.0.0.1:1/0", wall=time.time)
    await cold.door.server.aclose()
    cold.door.server = far = Far()  # type: ignore[assignment]
    with caplog.at_level(logging.WARNING):
        found = await asyncio.gather(*(cold.fetch(f"k{n}") for n in range(100)))
        assert 20 <= len([each for each in found if each]) < 100
        assert cold.answers and not caplog.records
        assert await cold.fetch("k100") == "k100"
        far.takes = 10
        begun = asyncio.get_running_loop().time()
        assert await asyncio.gather(*(cold.fetch(f"k{n}") for n in range(100))) == [None] * 100
        assert asyncio.get_running_loop().time() - begun <= 0.05
        assert not cold.answers and len(caplog.records) == 1
    await cold.aclose()


async def test_what_there_was_no_time_to_write_is_written_later() -> None:
    class Crowded:
        kind, where, garbage, refusals = "crowded", "elsewhere", (ValueError,), ()
        gone: list[str] = []  # noqa: RUF012

        async def get(self, name: str) -> None:
            await asyncio.sleep(1)

        async def delete(self, name: str) -> None:
            self.gone.append(name)

        async def forget_connections(self) -> None: ...
        async def aclose(self) -> None: ...

    cold = SharedCold("redis://127.0.0.1:1/0", wall=time.time)
    await cold.door.server.aclose()
    cold.door.server = there = Crowded()  # type: ignore[assignment]
    asking = [cold.door.ask(lambda: there.get("x"), "x", 5) for _ in range(4)]
    asked = asyncio.gather(*asking)
    await asyncio.sleep(0)
    cold.drop("untrue")
    await asyncio.sleep(0.5)
    assert cold.described()["waiting"] == 1 and cold.answers
    await asked
    await cold.flush()
    assert there.gone == ["untrue"]
    await cold.aclose()


async def test_neither_writes_nor_deletions_that_wait_drive_out_the_others() -> None:  # G1, G3
    cold = SharedCold("redis://127.0.0.1:1/0", wall=time.time)
    cold.door.again = math.inf
    for number in range(1000):
        cold.drop(f"untrue-{number}")
        cold.keep(f"n{number}", {"n": number}, 60)
    waiting = [*cold._waiting]
    assert [name for name in waiting if name[0] == "u"] == [f"untrue-{n}" for n in range(744, 1000)]
    assert [name for name in waiting if name[0] == "n"] == [f"n{n}" for n in range(744, 1000)]
    assert (cold.door.met["not written"], cold.door.met["not deleted"]) == (744, 744)
    await cold.aclose()


class Away:
    """A server that is not there, one that takes no writes, or one that takes them."""

    kind, where, garbage, refusals = "away", "nowhere", (ValueError,), (RuntimeError,)

    def __init__(self, error: type[Exception] | None) -> None:
        self.error = error

    async def take(self, *_: object) -> None:
        if self.error is not None:
            raise self.error("no")

    set = delete = take

    async def hear(self, *_: object) -> Board:
        await self.take()
        return Board(1, 1, [(BORN, 1)])

    async def get_and_hear(self, *_: object) -> tuple[None, Board]:
        if self.error is OSError:
            raise OSError("no")
        return None, Board(0, 0, [])

    async def forget_connections(self) -> None: ...
    async def aclose(self) -> None: ...


@pytest.mark.parametrize("error", [OSError, RuntimeError])
async def test_nothing_that_leaves_warm_is_lost_to_a_server_that_does_not_take_it(
    error: type[Exception],
) -> None:  # 2-38, G10
    server: Any = Away(error)
    cold = SharedCold("redis://nowhere", wall=asyncio.get_running_loop().time, server=server)
    store = VariantStore(cold=cold)
    for number in range(300):
        store.store(f"told-{number}", ["x"], None)
        store.consume(f"told-{number}")
    for number in range(150):
        store.store(f"k{number}", [f"text {number}"], None)
        await asyncio.sleep(0.01)
    await store.flush()
    assert [await store.get(f"k{n}") for n in range(150)] == [[f"text {n}"] for n in range(150)]
    await cold.aclose()


async def test_what_is_cold_leaves_memory_when_a_server_has_taken_it() -> None:  # 1-57
    server: Any = Away(OSError)
    cold = SharedCold("redis://nowhere", wall=asyncio.get_running_loop().time, server=server)
    store = VariantStore(TINY, cold=cold)
    store.store("old", ["x"], None)
    store.store("new", ["x"], None)
    old = store._shelves.entries["old", ""]
    await asyncio.sleep(5)
    assert old.parts == ("x",)
    server.error = None
    await asyncio.sleep(60)
    assert old.parts is None and store._shelves.entries["new", ""].parts == ("x",)
    await cold.aclose()


async def test_what_is_cold_of_an_open_turn_stays_in_memory_as_long_as_the_turn() -> None:  # 0-12
    """A server keeps it no longer than the cold layer's time; a turn may last for days."""
    server: Any = Away(None)
    cold = SharedCold("redis://nowhere", wall=asyncio.get_running_loop().time, server=server)
    store = VariantStore(TINY, cold=cold)
    store.store("old", ["x"], None, turn="t1")
    store.store("new", ["x"], None, turn="t1")
    old = store._shelves.entries["old", ""]
    await asyncio.sleep(2 * 3600)
    assert old.level == "cold" and old.parts == ("x",)
    store.end_turn("t1")
    await asyncio.sleep(1)
    assert old.parts is None, "a server has taken it"
    await cold.aclose()


async def test_an_outage_is_logged_with_its_reason(caplog: pytest.LogCaptureFixture) -> None:
    """The ``repr`` of a client's error may say no more than its kind."""

    class Mute(OSError):
        def __repr__(self) -> str:
            return "server:Mute"

    server: Any = Away(Mute)
    cold = SharedCold("redis://nowhere", wall=asyncio.get_running_loop().time, server=server)
    with caplog.at_level(logging.WARNING):
        await cold.hear()
        cold.keep("game:k", {"x": 1}, 60)
        await cold.flush()
    assert "Mute: no;" in caplog.text
    await cold.aclose()


async def test_a_warm_up_tells_what_there_is_room_for() -> None:  # 1-40
    store = VariantStore()
    known = [Scenario(key=f"k{n}", variants=[n]) for n in range(400)]
    assert await fill(store, known) == len(store) == 150
