"""What one process invalidates no other serves: two stores, or processes, on one real Redis."""

from __future__ import annotations

import asyncio
import signal
import sys
import textwrap
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
import pytest

from foretell.sinks.store_layers import Limits, Room
from foretell.sinks.store_news import ALL, BORN, MOST_WORDS, Board, News, Word
from foretell.sinks.store_scenarios import Scenario
from foretell.sinks.store_scenarios import fill as fill_with
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.variant_store import VariantStore

SESSION = "game"
BOARD = "foretell:2:game:news"
NEVER = 3600.0
TINY = Limits(Room(1, 300, "lru"), Room(1, 900, "lfu"), Room(1, 3600, "ttl"))
Open = Callable[..., VariantStore]

real = pytest.mark.real_time


@pytest.fixture
async def open_store(redis: Any) -> AsyncIterator[Open]:
    """A store of a process: it asks for news only when it is told to, or looks something up."""
    made: list[SharedCold] = []

    def opened(limits: Limits | None = None, every: float = NEVER) -> VariantStore:
        made.append(SharedCold(redis.url, limit=0.2, wall=time.time, every=every))
        return VariantStore(limits, cold=made[-1], session=SESSION)

    yield opened
    for cold in made:
        await cold.aclose()


def client_of(store: VariantStore) -> Any:
    return store._shelves.door.door.server._cache.client  # type: ignore[attr-defined]


async def until(true: Callable[[], bool]) -> None:
    while not true():  # noqa: ASYNC110 - another process's doing; the test's time limit ends it
        await asyncio.sleep(0.02)


def fill(store: VariantStore) -> None:
    """``k`` and what has nothing to do with it."""
    state = {"a": {"b": {"c": 1}}, "z": 1}
    store.store("k/1", ["k"], tags=["rules", "content:inn"], state=state, depends=[("a", "b")])
    store.store("other", ["o"], tags=["else"], state=state, depends=[("z",)])


def rules(store: VariantStore) -> None:
    store.invalidate("rules")


WAYS: dict[str, Callable[[VariantStore], object]] = {
    "a tag": rules,
    "a key": lambda store: store.invalidate("k/1"),
    "a pattern of tags": lambda store: store.invalidate("content:*"),
    "a pattern of keys": lambda store: store.invalidate("k/[0-9]"),
    "a path": lambda store: store.invalidate_path("a", "b", "c"),
    "a path above": lambda store: store.invalidate_path("a"),
    "a change": lambda store: store.changed({"a": {"b": {"c": 2}}, "z": 1}),
}
STATE = {"a": {"b": {"c": 1}}, "z": 1}


@real
@pytest.mark.parametrize("how", WAYS)
async def test_what_one_invalidates_no_other_serves(open_store: Open, how: str) -> None:
    """The one never held it, another has it in memory, a third finds it there."""  # 1-39
    writer, holder, one, late = (open_store() for _ in range(4))
    fill(writer)
    await writer.flush()
    assert await holder.get("k/1", state=STATE) == ["k"]
    assert await holder.get("other", state=STATE) == ["o"]
    one.changed(STATE)
    WAYS[how](one)
    await one.flush()
    for store in (holder, writer):
        await store.hear()
        assert store.ready("k/1", state=STATE) is None
        assert await store.get("k/1", state=STATE) is None
        assert await store.get("other", state=STATE) == ["o"]
    assert await late.get("k/1", state=STATE) is None
    assert await late.get("other", state=STATE) == ["o"]
    assert holder.stats().evictions == {"overtaken": 1}
    assert holder.stats().cold["met"]["overtaken"] == 1
    await holder.flush()
    assert not await client_of(late).exists(f"foretell:2:{late.name_in_cache('k/1', '')}")


@real
async def test_who_clears_clears_for_all(open_store: Open) -> None:
    writer, holder, one = (open_store() for _ in range(3))
    fill(writer)
    await writer.flush()
    assert await holder.get("other", state=STATE) == ["o"]
    one.clear()
    await one.flush()
    await holder.hear()
    assert len(holder) == 0 and await holder.get("other", state=STATE) is None
    assert await open_store().get("other", state=STATE) is None


@real
async def test_the_first_state_told_is_no_change_for_the_others(open_store: Open) -> None:
    writer, one = open_store(), open_store()
    fill(writer)
    await writer.flush()
    one.changed({"a": {"b": {"c": 1}}, "z": 7})
    await one.flush()
    assert await open_store().get("k/1", state=STATE) == ["k"]
    assert await one.get("other") is None


@real
async def test_what_is_made_anew_after_it_is_good_for_all(open_store: Open) -> None:
    one, other = open_store(), open_store()
    fill(other)
    await other.flush()
    rules(one)
    one.store("k/1", ["new"], tags=["rules"])
    assert await one.get("k/1") == ["new"]
    await one.flush()
    await one.hear()
    assert one.ready("k/1") == ["new"]
    await other.hear()
    assert await other.get("k/1") == ["new"] == await open_store().get("k/1")
    await other.flush()
    assert await open_store().get("k/1") == ["new"], "who forgets an old one leaves the new one"


@real
async def test_what_is_in_memory_is_forgotten_by_itself(open_store: Open) -> None:
    writer, holder = open_store(), open_store(every=0.02)
    fill(writer)
    await writer.flush()
    assert await holder.get("k/1", state=STATE) == ["k"]
    rules(writer)
    await until(lambda: holder.ready("k/1", state=STATE) is None)
    assert holder.stats().evictions == {"overtaken": 1}


@real
async def test_what_is_computed_meanwhile_elsewhere_is_not_kept(open_store: Open) -> None:
    one, other = open_store(), open_store()
    going = asyncio.Event()

    async def make(snapshot: Any) -> list[str]:
        await going.wait()
        return ["from the old rules"]

    asked = asyncio.create_task(other.get_or_compute({"x": 1}, make, tags=["rules"]))
    await until(lambda: len(other._flights) == 1)
    rules(one)
    await one.flush()
    await other.hear()
    going.set()
    assert await asked == ["from the old rules"] and len(other) == 0
    assert await other.get_or_compute({"x": 1}, lambda s: ["new"], tags=["rules"]) == ["new"]


@real
async def test_what_waits_to_be_written_is_overtaken_too(redis: Any, open_store: Open) -> None:
    one, other = open_store(), open_store(TINY)
    await other.get("x")
    redis.signal(signal.SIGSTOP)
    fill(other)
    for number in range(3):
        other.store(f"n{number}", ["n"])
    assert "k/1" not in {entry.key for entry in other._shelves}
    redis.signal(signal.SIGCONT)
    rules(other)
    await asyncio.sleep(1.2)
    await other.flush()
    assert await one.get("k/1", state=STATE) is None
    assert await one.get("other", state=STATE) == ["o"]


@real
async def test_what_waits_to_be_written_is_overtaken_by_what_is_heard(open_store: Open) -> None:
    one, other = open_store(), open_store(TINY)
    await other.get("x")
    cold: Any = other._shelves.door
    cold._writing = True  # as if it came to nothing else
    fill(other)
    for number in range(3):
        other.store(f"n{number}", ["n"])
    rules(one)
    await one.flush()
    await other.hear()
    cold._writing = False
    cold._write_behind()
    await other.flush()
    assert other.lost == 1, "what is only here is nowhere else"
    assert await one.get("k/1", state=STATE) is None
    assert await one.get("other", state=STATE) == ["o"]


@real
async def test_what_is_told_once_leaves_the_cache_whoever_holds_it(open_store: Open) -> None:
    writer, one = open_store(), open_store()
    fill(writer)
    await writer.flush()
    one.consume("k/1")
    await one.flush()
    assert await open_store().get("k/1", state=STATE) is None


@real
async def test_what_cannot_be_told_at_once_is_not_consumed(open_store: Open) -> None:
    store, other = open_store(TINY), open_store()
    for key in "abc":  # the first of them is cold at the end, and only there
        store.store(key, [key], None)
        await store.flush()
    assert store.take("a") is None is other.take("b")
    await asyncio.gather(store.flush(), other.flush())
    assert await store.get("a") == ["a"] and await other.get("b") == ["b"]


@real
async def test_what_is_consumed_while_it_is_looked_for_is_not_found(redis: Any) -> None:
    colds = [SharedCold(redis.url, limit=20, wall=time.time, every=NEVER) for _ in range(2)]
    writer, reader = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    writer.store("k", ["k"])
    await writer.flush()
    server: Any = colds[1].door.server
    ask, answered, go_on = server.get_and_hear, asyncio.Event(), asyncio.Event()

    async def held(*args: Any) -> Any:
        answer = await ask(*args)
        answered.set()
        await go_on.wait()
        return answer

    server.get_and_hear = held
    looking = asyncio.create_task(reader.get("k"))
    await answered.wait()
    reader.consume("k")
    await reader.flush()
    go_on.set()
    assert await looking is None is reader.ready("k")
    for cold in colds:
        await cold.aclose()


async def test_who_has_something_to_tell_asks_each_second() -> None:
    class Dead:
        kind, where, garbage, refusals = "dead", "nowhere", (ValueError,), ()
        asked = 0

        async def refuse(self, *_: object) -> None:
            self.asked += 1
            raise OSError("refused")

        get = set = delete = hear = get_and_hear = refuse

        async def forget_connections(self) -> None: ...
        async def aclose(self) -> None: ...

    cold = SharedCold("redis://127.0.0.1:1/0", wall=time.time, every=NEVER)
    await cold.door.server.aclose()
    cold.door.server = dead = Dead()  # type: ignore[assignment]
    store = VariantStore(cold=cold, session=SESSION)
    store.store("k", ["k"])
    await asyncio.sleep(600)
    assert 20 <= dead.asked <= 30
    dead.asked = 0
    rules(store)
    await asyncio.sleep(600)
    assert 590 <= dead.asked <= 610
    await cold.aclose()


@real
async def test_what_cannot_be_told_counts_here_and_is_told_later(
    redis: Any, open_store: Open
) -> None:  # G10
    writer, one, holder = (open_store() for _ in range(3))
    fill(writer)
    await writer.flush()
    assert await holder.get("k/1", state=STATE) == ["k"]
    assert await one.get("absent") is None
    redis.signal(signal.SIGSTOP)
    rules(one)
    begun = time.monotonic()
    assert await one.get("k/1", state=STATE) is None
    assert await holder.get("k/1", state=STATE) == ["k"], "nobody can know, and memory serves"
    assert time.monotonic() - begun < 5
    redis.signal(signal.SIGCONT)
    while (found := await one.get("other", state=STATE)) is None:
        await asyncio.sleep(0.05)
        assert await one.get("k/1", state=STATE) is None
    assert found == ["o"] and await one.get("k/1", state=STATE) is None
    await one.flush()
    await asyncio.sleep(1.1)
    await holder.hear()
    assert holder.ready("k/1", state=STATE) is None
    assert await open_store().get("k/1", state=STATE) is None


@real
@pytest.mark.parametrize("told", [True, False], ids=["told before", "said while it is away"])
async def test_a_server_that_comes_back_empty_is_told_again(
    redis: Any, open_store: Open, told: bool
) -> None:  # G10
    writer, holder = open_store(every=0.05), open_store()
    fill(writer)
    await writer.flush()
    assert await holder.get("k/1", state=STATE) == ["k"]
    assert await holder.get("other", state=STATE) == ["o"]
    if told:
        rules(writer)
        await writer.flush()
    redis.kill()
    if not told:
        rules(writer)
        assert await writer.get("k/1", state=STATE) is None
    redis.start()
    async with asyncio.timeout(30):
        while holder.ready("k/1", state=STATE) is not None:
            await asyncio.sleep(0.05)
            await holder.hear()
    assert holder.ready("other", state=STATE) == ["o"], "what is in memory is not lost with it"
    assert await writer.get("other", state=STATE) == ["o"]


@real
async def test_what_was_written_before_the_board_was_lost_is_a_miss(open_store: Open) -> None:
    writer = open_store()
    fill(writer)
    await writer.flush()
    await client_of(writer).delete(BOARD)
    assert await open_store().get("k/1", state=STATE) is None
    await writer.hear()
    writer.store("new", ["n"])
    await writer.flush()
    assert await open_store().get("new") == ["n"]
    assert await open_store().get("other", state=STATE) is None


@real
async def test_a_board_is_bounded_and_what_is_older_is_a_miss(open_store: Open) -> None:  # G3
    writer, holder, one = (open_store() for _ in range(3))
    fill(writer)
    await writer.flush()
    assert await holder.get("k/1", state=STATE) == ["k"]
    for number in range(MOST_WORDS + 50):
        one.invalidate(f"tag-{number}")
        if number % 100 == 99:
            await one.flush()
    await one.flush()
    assert await client_of(one).zcard(BOARD) == MOST_WORDS
    assert await open_store().get("k/1", state=STATE) is None
    await holder.hear()
    assert len(holder) == 0, "it cannot know what it has not heard"
    one.store("new", ["n"])
    await one.flush()
    assert await holder.get("new") == ["n"]
    board = one._shelves.door._boards._news[SESSION]  # type: ignore[attr-defined]
    assert len(board._known) <= 2 * MOST_WORDS and len(board._told) <= MOST_WORDS


@real
@pytest.mark.parametrize("rubbish", ["text", "list", "words", "numbers"])
async def test_rubbish_where_the_board_should_be_is_cleared_away(
    open_store: Open, rubbish: str
) -> None:  # G10
    writer, reader = open_store(every=0.05), open_store()
    client = client_of(writer)
    await client.delete(BOARD)
    if rubbish == "text":
        await client.set(BOARD, "[[")
    elif rubbish == "list":
        await client.lpush(BOARD, "x")
    elif rubbish == "words":
        await client.zadd(BOARD, {b"\xff\x00": 5, b"[1]": 6, b'["path", 7]': 7, b'["fits", []]': 8})
    else:
        await client.zadd(BOARD, {b'["fits", "x"]': "+inf", b'["fits", "y"]': 0.5})
    assert await reader.get("k/1") is None
    async with asyncio.timeout(30):
        while await reader.get("k/1", state=STATE) is None:
            fill(writer)
            await writer.flush()
            await asyncio.sleep(0.05)
    rules(writer)
    await writer.flush()
    await reader.hear()
    assert reader.ready("k/1", state=STATE) is None and reader.stats().cold["answers"]


@real
async def test_rubbish_on_the_board_after_an_outage_is_cleared_away_too(
    redis: Any, open_store: Open
) -> None:  # G10
    one, other = open_store(), open_store()
    redis.kill()
    fill(one)
    rules(one)
    await until(lambda: not one.stats().cold["answers"])
    redis.start()
    assert await client_of(other).set(BOARD, "[[")
    await until(lambda: one.stats().cold["untold"] == 0)
    assert one.stats().cold["met"]["garbled"] < 10, "it is asked again and again"
    assert await other.get("other", state=STATE) == ["o"]


@real
async def test_a_server_that_takes_no_word_is_read_and_told_when_it_does(open_store: Open) -> None:
    writer, one, late = open_store(), open_store(), open_store()
    fill(writer)
    await writer.flush()
    client = client_of(writer)
    await client.config_set("maxmemory", "1")
    rules(one)
    await one.flush()
    assert one.stats().cold["untold"] == 1
    assert await one.get("k/1", state=STATE) is None
    assert await one.get("other", state=STATE) == ["o"]
    await client.config_set("maxmemory", "0")
    await until(lambda: one.stats().cold["untold"] == 0)
    assert await late.get("k/1", state=STATE) is None


HOLDER = textwrap.dedent("""
    import asyncio, sys, time
    from foretell.sinks.store_shared import SharedCold
    from foretell.sinks.variant_store import VariantStore

    async def main():
        cold = SharedCold(sys.argv[1], limit=5, wall=time.time)
        store = VariantStore(cold=cold, session="game")
        assert await store.get("k/1", state={"a": {"b": {"c": 1}}}) == ["k"]
        print("held", flush=True)
        while store.ready("k/1", state={"a": {"b": {"c": 1}}}):
            await asyncio.sleep(0.01)
        print(store.stats().evictions, flush=True)
        await cold.aclose()

    asyncio.run(main())
""")


@real
async def test_another_process_forgets_what_is_invalidated_here(
    redis: Any, open_store: Open
) -> None:  # 2-38
    writer, one = open_store(), open_store()
    fill(writer)
    await writer.flush()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLDER, redis.url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"held\n"
    rules(one)
    assert await process.stdout.readline() == b"{'overtaken': 1}\n"
    assert await process.wait() == 0


@real
@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_what_was_said_before_a_process_began_leaves_what_it_makes(
    kind: str, request: pytest.FixtureRequest
) -> None:  # 1-39, 1-40
    url = request.getfixturevalue(kind).url
    colds = [SharedCold(url, limit=5, wall=time.time, every=NEVER) for _ in range(4)]
    server: Any = colds[0].door.server
    board, word = BOARD.removeprefix("foretell:2:"), Word("fits", "rules").written()
    before = int((time.time() - 3600) * 1e6)
    if kind == "redis":
        await server._cache.client.zadd(BOARD, {BORN: before, word: before + 1})
    else:
        await server.hear(board, 0, [word], before)
    one, other, third, fourth = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    one.store("k", ["new"], tags=["rules"])
    await one.flush()
    assert one.ready("k") == ["new"] == await other.get("k")
    made = await third.get_or_compute({"a": 1}, lambda snapshot: ["made"], tags=["rules"])
    assert made == third.ready(third.name_of({"a": 1}))
    known = Scenario(key="s", variants=["s"], tags=("rules",))
    assert await fill_with(fourth, [known]) == 1 and await one.get("s") == ["s"]
    one.invalidate("rules")
    await one.flush()
    await asyncio.gather(*(store.hear() for store in (other, third, fourth)))
    assert [len(store) for store in (one, other, third, fourth)] == [0] * 4
    for cold in colds:
        await cold.aclose()


@real
async def test_a_warm_up_is_of_now_by_whosever_clock(memcached: Any) -> None:  # 1-40
    colds = [SharedCold(memcached.url, limit=5, wall=time.time, every=NEVER) for _ in range(2)]
    one, other = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    one.invalidate("rules")
    await one.flush()
    assert await fill_with(other, [Scenario(key="k", variants=["k"], tags=("rules",))]) == 1
    assert other.ready("k") == ["k"] == await one.get("k")
    for cold in colds:
        await cold.aclose()


def record_of(*tags: str) -> dict[str, Any]:
    none: dict[str, Any] = {"paths": [], "apart": [], "own": "", "volatile": []}
    return {"key": "k", "tags": tags, "depends": none}


def test_who_hears_a_board_first_hears_what_was_said_since_he_began() -> None:
    now = 10.0
    news = News("board", lambda: now)
    now = 12.0
    before, since = Word("fits", "before"), Word("fits", "since")
    words = [(BORN, 1), (before.written(), 98_000_000), (since.written(), 98_000_001)]
    assert news.took(Board(1, 0, words), now=100_000_000) == [since]
    assert not news.overtaken(record_of("before"), 0) and news.overtaken(record_of("since"), 0)
    assert not news.good(record_of("before"), 97_000_000), "it concerns what others have kept"
    assert news.good(record_of("before"), 98_000_000)


def test_what_fell_off_a_board_before_it_was_first_heard_is_all() -> None:  # G1
    word = Word("fits", "rules")
    board = Board(5, 0, [(word.written(), 5)])
    assert News("board", lambda: 0.0).took(board, now=4) == [ALL, word]
    assert News("board", lambda: 0.0).took(board, now=5) == [], "it was before"


DEAR: dict[str, list[Word]] = {
    "a pattern": [Word("fits", "x?" + "y" * 100)],
    "patterns": [Word("fits", f"{number}?") for number in range(21)],
    "a path": [Word("path", ("a",) * 33)],
    "a change": [Word("changed", ("a",) * 33)],
    "anything": [Word("fits", "a" * 2048)],
}


@pytest.mark.parametrize("what", DEAR)
def test_words_that_it_would_take_long_to_look_into_are_heard_as_all(what: str) -> None:  # G10
    words = [(BORN, 1), *((orjson.dumps([*each]), 2) for each in DEAR[what])]
    news = News("board", lambda: 0.0)
    assert set(news.took(Board(1, 0, words))) == {ALL}
    assert not news.good(record_of("rules"), 1) and news.good(record_of("rules"), 2)


def test_what_may_well_be_said_is_heard_as_it_is() -> None:
    said = [
        *(Word("fits", f"{number}?") for number in range(20)),
        *(Word("fits", f"{number}*") for number in range(100)),
        Word("path", ("a",) * 32),
    ]
    words = [(BORN, 1), *((each.written(), 2) for each in said)]
    assert News("board", lambda: 0.0).took(Board(1, 0, words)) == said


def test_a_word_said_again_while_it_is_told_is_told_again() -> None:
    news = News("board", lambda: 0.0)
    word = Word("fits", "rules")
    news.tell(word)
    told = dict(news.untold)
    news.tell(word)
    assert news.took(Board(5, 7, [(BORN, 5)]), told) == []
    assert [*news.untold] == [word] and news.heard == 7


def test_an_answer_that_comes_late_says_nobody_his_own_words_as_anothers() -> None:  # 1-39
    news = News("board", lambda: 0.0)
    news.took(Board(5, 0, [(BORN, 5)]))
    long = Word("fits", "x" * 5000)
    for number, word in ((7, long), (8, Word("fits", "rules"))):
        news.tell(word)
        assert news.took(Board(5, number, []), dict(news.untold)) == []
    moment, theirs = news.moment, (Word("fits", "a").written(), 9)
    late = [(long.written(), 7), (Word("fits", "rules").written(), 8), theirs]
    assert news.took(Board(5, 0, late)) == [Word("fits", "a")]
    assert news.overtaken(record_of("a"), moment) and not news.overtaken(record_of("rules"), moment)
    assert news.good(record_of("other"), 6), "who said all knows what was meant"
    again = [(long.written(), 10)]
    assert news.took(Board(5, 0, again)) == [ALL], "another has said it since"


def test_what_is_too_much_to_say_is_said_in_one_word() -> None:  # G3
    news = News("board", lambda: 0.0)
    for number in range(MOST_WORDS + 1):
        news.tell(Word("fits", f"tag-{number}"))
    assert [*news.untold] == [ALL]
    assert Word("fits", "half \ud800").written() == ALL.written()


def test_answers_in_the_wrong_order_lose_no_word() -> None:
    news = News("board", lambda: 0.0)
    record = {
        "key": "k",
        "tags": ["a"],
        "depends": {"paths": [], "apart": [], "own": "", "volatile": []},
    }
    word = (Word("fits", "a").written(), 8)
    later = (Word("fits", "b").written(), 9)
    assert news.took(Board(5, 0, [(BORN, 5), word, later])) == [
        Word("fits", "a"),
        Word("fits", "b"),
    ]
    assert news.took(Board(5, 0, [(BORN, 5)])) == []
    assert news.heard == 9
    assert not news.good(record, 7) and news.good(record, 8) and not news.good(record, 4)
    assert (
        not news.good(record, True) and not news.good(record, None) and not news.good(record, 8.5)
    )


def test_a_board_begun_by_a_clock_that_is_behind_is_heard_and_told_again() -> None:
    news = News("board", lambda: 0.0)
    record = {
        "key": "k",
        "tags": ["a"],
        "depends": {"paths": [], "apart": [], "own": "", "volatile": []},
    }
    mine, theirs = Word("fits", "mine"), Word("fits", "theirs")
    news.tell(mine)
    news.took(Board(500, 501, [(BORN, 500)]), dict(news.untold))
    assert news.heard == 501 and news.good(record, 501) and not news.untold
    assert news.took(Board(7, 0, [(BORN, 7), (theirs.written(), 8)])) == [theirs]
    assert news.heard == 8 and [*news.untold] == [mine], "the others may not have heard it"
    assert not news.good(record, 501), "it is of a board that is no more"
    assert news.good(record, 7)


@real
@pytest.mark.parametrize("kind", ["redis", "memcached"])
async def test_what_is_told_on_a_board_whose_clock_is_behind_is_heard(
    kind: str, request: pytest.FixtureRequest
) -> None:  # G1
    url = request.getfixturevalue(kind).url
    ahead = time.time() + 3600
    colds = [SharedCold(url, limit=0.2, wall=time.time, every=NEVER) for _ in range(2)]
    one, other = (VariantStore(cold=cold, session=SESSION) for cold in colds)
    server, board = colds[0].door.server, BOARD.removeprefix("foretell:2:")
    if kind == "redis":
        await client_of(one).zadd(BOARD, {BORN: int(ahead * 1e6)})
    else:
        await server.hear(board, 0, [], int(ahead * 1e6))
    one.store("k", ["k"], tags=["rules"])
    await one.flush()
    assert await other.get("k") == ["k"]
    assert await VariantStore(cold=colds[1], session=SESSION).get("k") == ["k"]
    await server.delete(board)  # as a server does for want of memory
    rules(one)
    await one.flush()
    await other.hear()
    assert other.ready("k") is None and await other.get("k") is None
    assert await VariantStore(cold=colds[0], session=SESSION).get("k") is None
    for cold in colds:
        await cold.aclose()


def test_what_waited_longer_than_words_are_remembered_is_overtaken() -> None:  # G3
    news = News("board", lambda: 0.0)
    record = {
        "key": "k",
        "tags": [],
        "depends": {"paths": [], "apart": [], "own": "", "volatile": []},
    }
    assert not news.overtaken(record, news.moment)
    for number in range(2 * MOST_WORDS):
        news.tell(Word("fits", f"tag-{number}"))
        news.untold.clear()
    assert not news.overtaken(record, 0) and len(news._moments) == 2 * MOST_WORDS
    news.tell(Word("fits", "one more"))
    assert news.overtaken(record, 0) and not news.overtaken(record, news.moment)
