"""The executors of a plan in virtual time: limits, retry, expiry, batches, cancelling, events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex.subject import Subject

from foretell.operators.execute import execute
from foretell.operators.executor import Executor
from foretell.operators.fetch_events import Fetched, What
from foretell.operators.fetch_source import Content, each
from foretell.operators.schedule import (
    Constraints,
    Item,
    Kind,
    Kinds,
    Lane,
    Plan,
    Priority,
    State,
    schedule,
)
from foretell.operators.schedule_settings import Scheduling
from foretell.streams.clock import run_virtual
from foretell.streams.tasks import Tasks
from foretell.streams.timers import LoopTimers

P0, P1, P2, P3, P4 = Priority
NEVER = 1e9
ENDS = (What.LOADED, What.UNAVAILABLE, What.CANCELLED, What.DROPPED, What.SKIPPED)


class Shelf:
    """A scripted source: what each key takes, gives, or raises; and what it has seen."""

    def __init__(self) -> None:
        self.takes: dict[str, float] = {}
        self.gives: dict[str, Any] = {}
        self.calls: list[tuple[str, ...]] = []
        self.begun: dict[str, float] = {}
        self.running = 0
        self.most = 0
        self.cancelled: list[str] = []
        self.lingers = 0.0

    async def fetch(self, items: Sequence[Item]) -> AsyncIterator[Content]:
        loop = asyncio.get_running_loop()
        keys = tuple(item.key for item in items)
        self.calls.append(keys)
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            for key in keys:
                self.begun[key] = round(loop.time(), 6)
                await asyncio.sleep(self.takes.get(key, 0.02))
                given = self.gives.get(key, key.upper())
                if isinstance(given, BaseException):
                    raise given
                if given is not None:
                    yield given if isinstance(given, Content) else Content(key, given, 10)
        except asyncio.CancelledError:
            self.cancelled += keys
            if self.lingers:
                await asyncio.sleep(self.lingers)
            raise
        finally:
            self.running -= 1


class Table:
    """An executor with its cache, its shelf and all it has told."""

    def __init__(self, settings: dict[str, Any], most: int, **more: Any) -> None:
        loop = asyncio.get_running_loop()
        self.loop = loop
        self.shelf = Shelf()
        self.cache: dict[str, Any] = {}
        self.faults: list[str] = []
        self.tasks = Tasks(lambda where, error: self.faults.append(f"{where}: {error!r}"))
        self.kinds = Kinds(
            [
                Kind("page", P3, tokens=10, ms=1, source=self.shelf.fetch, most=most),
                Kind("map", P3, tokens=10, ms=1, source=self.shelf.fetch, most=most),
                Kind("tale", P3, tokens=10, limit_ms=5_000, source=self.shelf.fetch),
                *more.pop("kinds", ()),
            ]
        )
        self.settings = Scheduling(**settings)
        timers = LoopTimers(loop, take_in=self.tasks.take_in)
        self.executor = Executor(
            self.kinds, self, self.tasks, timers, self.fault, self.settings, **more
        )
        self.told: list[tuple[float, Fetched]] = []
        self.executor.listeners.append(lambda event: self.told.append((self.time(), event)))

    def time(self) -> float:
        return round(self.loop.time(), 6)

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append(f"{where}: {error!r}")

    def __contains__(self, key: str) -> bool:
        return key in self.cache

    def put(self, item: Item, value: Any, tokens: int) -> None:
        self.cache[item.key] = value

    def drop(self, key: str) -> None:
        del self.cache[key]

    def plan(
        self, *items: Item | str, at: Priority | dict[str, Priority] = P3, context: str = "here",
        **limits: Any,
    ) -> Plan:  # fmt: skip
        """Plan items, all at one priority, and have it done."""
        wanted = [Item(each, "page") if isinstance(each, str) else each for each in items]
        state = State(
            frozenset(self.cache),
            self.executor.pending,
            {"context": context},
            self.executor.unavailable,
        )
        constraints = Constraints(**{"priority_override": at, "time_budget_ms": 10**6, **limits})
        plan = schedule(wanted, constraints, state, self.kinds)
        self.executor.take(plan)
        return plan

    def of(self, what: What) -> list[tuple[float, str]]:
        """When something of this sort was told, and of what."""
        return [(t, key) for t, event in self.told if event.what is what for key in event.keys]

    def levels(self) -> list[tuple[str, str]]:
        return [(event.level, event.what.value) for _, event in self.told]


@asynccontextmanager
async def table(most: int = 1, more: dict[str, Any] | None = None, **settings: Any) -> Any:
    t = Table(settings, most, **(more or {}))
    yield t
    await t.executor.aclose()
    await t.tasks.aclose()
    assert t.shelf.running == 0 and not t.executor.pending


# --- immediate


async def test_what_starts_waits_until_the_immediate_is_there_and_no_longer() -> None:  # 1-20 1-21
    async with table() as t:
        t.shelf.takes = {"a": 0.03, "b": 0.06}
        t.plan("a", "b", at=P1)
        assert await t.executor.ready() == ()
        assert t.time() == 0.06 and t.cache == {"a": "A", "b": "B"}
        assert t.of(What.LOADED) == [(0.03, "a"), (0.06, "b")]


async def test_after_100_ms_it_goes_on_without_and_tries_again_in_the_background() -> None:
    # 1-22 1-49 1-63
    async with table() as t:
        t.shelf.takes = {"a": 0.03, "b": 0.15}
        t.plan("a", "b", at=P1)
        await t.executor.ready()
        assert t.time() == 0.1 and list(t.cache) == ["a"]
        assert t.of(What.TIMED_OUT) == [(0.1, "b")] == t.of(What.RETRY)
        assert ("warning", "timed out") in t.levels() and t.shelf.cancelled == ["b"]
        await asyncio.sleep(1)
        assert t.of(What.LOADED) == [(0.03, "a"), (0.3, "b")]  # 0.1 + 0.05 + 0.15
        assert t.told[-1][1].lane is Lane.BACKGROUND


@pytest.mark.parametrize("every", [0.02, 0.04, 0.05, 0.1])
@pytest.mark.parametrize(
    ("at", "takes", "until"), [(P1, 0.15, 0.3), (P1, 1.9, 2.05), (P2, 1.5, 2.05)]
)
async def test_what_was_late_keeps_its_two_seconds_however_often_it_is_planned(
    at: Priority, takes: float, until: float, every: float
) -> None:  # 1-22 1-29 1-49
    async with table() as t:
        t.shelf.takes = {"a": takes}
        while t.time() < 4:
            t.plan("a", at=at)
            await asyncio.sleep(every)
        assert t.of(What.LOADED) == [(until, "a")] and t.shelf.calls == [("a",)] * 2


async def test_what_was_late_is_not_put_off_because_others_are_busy() -> None:  # 1-22 1-31
    async with table(most=4, more={"busy": lambda: True}) as t:
        t.shelf.takes = {"a": 0.15, "b": 0.7}
        doubtful = Item("d", "page", 0.6)  # of no lane but the background
        t.plan(doubtful, "a", "b", "c", at={"a": P1, "b": P2, "c": P3, "d": P1})
        await asyncio.sleep(5)
        assert t.of(What.LOADED) == [(0.3, "a"), (1.25, "b")]
        assert {*t.shelf.begun} == {"a", "b"}


async def test_what_nobody_has_waited_for_is_put_off_though_it_was_late() -> None:  # 1-31
    busy = [False]
    async with table(most=3, more={"busy": lambda: busy[0]}) as t:
        t.shelf.takes = {"a": NEVER}
        t.plan("a")
        await asyncio.sleep(1)
        busy[0] = True
        await asyncio.sleep(5)
        assert t.shelf.calls == [("a",)] and t.of(What.RETRY) == [(2.05, "a")]


async def test_what_was_late_and_shares_an_alternative_goes_on_to_share_it() -> None:  # 1-64
    async with table() as t:
        t.shelf.takes = {"a": 0.15, "b": 0.45}
        t.shelf.gives = {"a": OSError("gone")}
        items = Item("a", "page", alternative="b"), Item("b", "map")
        t.plan(*items, at={"a": P1, "b": P2})
        await asyncio.sleep(0.35)
        t.plan(*items, at={"a": P1, "b": P2})
        await asyncio.sleep(1)
        assert t.cache == {"a": "B", "b": "B"} and t.shelf.calls.count(("b",)) == 1


async def test_what_was_late_may_be_demanded_and_comes_all_the_same() -> None:  # 1-5 1-22
    async with table() as t:
        t.shelf.takes = {"a": 0.15}
        t.plan("a", at=P1)
        await t.executor.ready()
        found = []
        while t.time() < 0.5:
            found.append(t.loop.create_task(t.executor.demand(Item("a", "page"))))
            await asyncio.sleep(0.04)
        assert t.of(What.LOADED) == [(0.3, "a")]
        assert [await each for each in found][-3:] == [True] * 3 and not await found[0]


async def test_a_source_that_raises_is_answered_by_the_alternative() -> None:  # 1-23 1-64
    async with table() as t:
        t.shelf.gives = {"a": OSError("gone"), "b": OSError("gone too")}
        t.plan(Item("a", "page", alternative="b"), Item("b", "map", alternative="c"), at=P1)
        await t.executor.ready()
        assert t.cache["a"] == "C" and t.cache["b"] == "C"
        assert ("error", "failed") in t.levels() and not t.of(What.UNAVAILABLE)
        event = next(e for _, e in t.told if e.what is What.LOADED and e.keys == ("a",))
        assert event.why == "c in its place"


async def test_what_cannot_be_had_is_left_alone_for_a_while() -> None:  # 1-23 1-64
    async with table(unavailable_seconds=20.0) as t:
        t.shelf.gives = {"a": OSError("gone"), "b": OSError("gone")}
        t.plan(Item("a", "page", alternative="b"), at=P1)
        await t.executor.ready()
        assert [key for _, key in t.of(What.UNAVAILABLE)] == ["a"]
        assert t.shelf.calls == [("a",), ("b",)]
        plan = t.plan("a", at=P1)
        assert plan.why(plan.entries[0]) == "could not be had a moment ago"
        await asyncio.sleep(20)
        t.shelf.gives.clear()
        t.plan("a", at=P1)
        await t.executor.ready()
        assert t.cache == {"a": "A"}


async def test_what_never_answers_is_tried_three_times_and_then_given_up() -> None:  # 1-22 1-29
    async with table() as t:
        t.shelf.takes = {"a": NEVER}
        t.plan("a", at=P1)
        await t.executor.ready()
        await asyncio.sleep(10)
        assert [at for at, _ in t.of(What.TIMED_OUT)] == [0.1, 2.15, 4.2]
        assert t.of(What.UNAVAILABLE) == [(4.2, "a")] and not t.executor.pending


async def test_alternatives_in_a_circle_end() -> None:
    async with table() as t:
        t.shelf.gives = dict.fromkeys("ab", OSError("gone"))
        circle = {key: Item(key, "page", alternative=other) for key, other in ("ab", "ba")}
        plan = t.plan("a")  # a plan of such items is refused; they may come one by one
        t.executor._items.update(circle)
        t.executor.cancel("")
        job = Item("a", "page", alternative="b")
        assert plan and not await t.executor.demand(job)
        assert t.shelf.calls == [("a",), ("b",)]


async def test_what_must_be_there_and_is_not_is_an_error_that_names_it() -> None:  # 1-1
    async with table() as t:
        t.cache["a"] = "there"
        t.shelf.takes = {"b": NEVER, "c": 0.05}
        t.plan("a", "b", "c", at=P0)
        assert await t.executor.ready() == ("b",)
        event = t.told[-1][1]
        assert (event.what, event.keys, event.level) == (What.MISSING, ("b",), "error")
        assert t.time() == 0.1
        assert await t.executor.ready() == ("b",)
        assert [each.what for _, each in t.told].count(What.MISSING) == 1  # it is told once
        t.plan("b", at=P0)
        assert t.executor.missing(["b"]) == () and t.executor.missing() == ("b",)
        assert [each.what for _, each in t.told].count(What.MISSING) == 2 and t.time() == 0.1


async def test_what_must_be_there_is_missed_though_it_was_cached_when_it_was_planned() -> None:
    # 1-1
    async with table() as t:
        t.cache.update(a="there", b="there")
        t.plan("a", "b", at=P0)
        t.drop("b")  # by who has the cache, for want of room
        assert await t.executor.ready() == ("b",)
        assert t.told[-1][1].why == "1 of 2 that must be there are not"


async def test_what_must_be_there_does_not_expire_while_its_plan_holds() -> None:  # 1-1 1-33
    async with table() as t:
        t.plan("a", "b", at={"a": P0, "b": P1})
        await asyncio.sleep(40)
        assert list(t.cache) == ["a"] and await t.executor.ready() == ()
        t.plan("b", at=P0)
        await asyncio.sleep(40)
        assert list(t.cache) == ["b"]


async def test_a_generation_has_its_own_limit_and_holds_nobody_up() -> None:  # 1-20 1-24
    async with table() as t:
        t.shelf.takes = {"a": 3.0, "b": 6.0}
        t.plan(Item("a", "tale"), Item("b", "tale"), at=P1)
        await t.executor.ready()
        assert t.time() == 0.1 and not t.of(What.TIMED_OUT)
        await asyncio.sleep(5)
        assert t.of(What.LOADED) == [(3.0, "a")] and t.of(What.TIMED_OUT) == [(5.0, "b")]


async def test_the_immediate_takes_the_place_of_the_background_wanted_least() -> None:  # 1-53
    async with table(max_concurrent_fetches=2, max_concurrent_eager=1) as t:
        t.shelf.takes = {"a": 0.9, "b": 0.9}
        t.plan(Item("a", "page", tokens=10), Item("b", "page", tokens=20))
        await asyncio.sleep(0.1)
        assert t.shelf.running == 2
        t.plan("a", "b", "c", at=P1)
        await t.executor.ready()
        assert t.cache == {"c": "C"} and t.shelf.cancelled == ["b"] and t.shelf.most == 2
        await asyncio.sleep(3)
        assert list(t.cache) == ["c", "a", "b"] and not t.of(What.TIMED_OUT)


@pytest.mark.parametrize(("lane", "most"), [(P1, 8), (P3, 9)])
async def test_what_is_closing_counts_and_one_place_is_lent(lane: Priority, most: int) -> None:
    # 1-53
    async with table() as t:
        t.shelf.lingers = 0.5
        keys = [f"{each}{n}" for each in "abcd" for n in range(8)]
        t.shelf.takes = dict.fromkeys(keys, 1e6)
        t.plan(*keys[:8], at=lane, context="a")
        await asyncio.sleep(0.06)
        for each in "bcd":
            t.plan(
                *[key for key in keys if key[0] == each],
                at=P1,
                context="a" if each == "b" else each,
            )
            await asyncio.sleep(0.02)
        assert t.shelf.most == most
        await asyncio.sleep(1)


async def test_what_waits_in_the_background_is_fetched_at_once_when_it_becomes_urgent() -> None:
    async with table() as t:
        t.plan("a")
        t.plan("a", at=P1)
        await t.executor.ready()
        assert t.time() == 0.02 and t.shelf.calls == [("a",)]


async def test_what_is_fetched_already_is_waited_for_and_not_fetched_twice() -> None:  # 1-26
    async with table() as t:
        t.shelf.takes = {"a": 0.08, "b": NEVER}
        t.plan("a", at=P2)
        await asyncio.sleep(0.03)
        t.plan("a", at=P0)
        assert await t.executor.ready() == ()
        assert t.time() == 0.08 and t.shelf.calls == [("a",)]
        t.plan("b", at=P2)
        t.plan("b", at=P0)
        assert await t.executor.ready() == ("b",) and t.time() == 0.18


async def test_what_was_deferred_is_fetched_on_demand() -> None:  # 1-5
    async with table() as t:
        item = Item("a", "page")
        t.plan(item, at=P4)
        await asyncio.sleep(60)
        assert t.shelf.calls == []
        assert await t.executor.demand(item) and t.cache == {"a": "A"}
        assert t.told[-1][1].lane is Lane.DEFERRED
        assert await t.executor.demand(item) and len(t.shelf.calls) == 1
        with pytest.raises(ValueError, match="unknown kind"):
            await t.executor.demand(Item("b", "wyrm"))


async def test_what_is_demanded_all_at_once_waits_in_queues_that_are_bounded() -> None:
    # 1-5 1-54 G3
    async with table() as t:
        keys = [f"k{n}" for n in range(100)]
        t.shelf.takes = dict.fromkeys(keys, NEVER)
        asking = [asyncio.create_task(t.executor.demand(Item(key, "page"))) for key in keys]
        await asyncio.sleep(0.05)
        assert len(t.executor.pending) == 8 + 20 + 20
        assert t.executor.dropped == len(t.of(What.DROPPED)) == 52
        assert not any(await asyncio.gather(*asking)) and t.time() == 0.1
        await asyncio.sleep(60)
        assert not t.executor.pending


async def test_what_is_demanded_is_not_cancelled_by_a_plan_that_does_not_want_it() -> None:  # 1-5
    async with table() as t:
        t.shelf.takes = {"a": 0.08, "b": 0.09}
        t.plan("b", at=P2)
        asking = [asyncio.ensure_future(t.executor.demand(Item(key, "page"))) for key in "ab"]
        await asyncio.sleep(0.03)
        t.plan("c", at=P2)
        t.plan("d", at=P2, context="elsewhere")
        assert await asyncio.gather(*asking) == [True, True]
        assert {"a", "b"} <= set(t.cache) and t.time() == 0.09
        lanes = {event.keys[0]: event.lane for _, event in t.told if event.what is What.LOADED}
        assert lanes == {"a": Lane.DEFERRED, "b": Lane.EAGER, "d": Lane.EAGER}  # b was foreseen


async def test_what_is_added_meanwhile_keeps_nobody_waiting_longer() -> None:  # 1-20
    async with table() as t:
        t.shelf.takes = dict.fromkeys("abcde", 0.09)
        t.plan("a", at=P1)
        waiting = asyncio.ensure_future(t.executor.ready())
        for until in range(2, 6):
            await asyncio.sleep(0.04)
            t.plan(*"abcde"[:until], at=P1)
            if until == 4:
                assert waiting.done()
        await waiting


async def test_what_is_planned_again_is_waited_for_no_longer() -> None:  # 1-20
    async with table() as t:
        t.shelf.takes = {"a": NEVER}
        t.plan("a", at=P1)
        waiting = asyncio.ensure_future(t.executor.ready())
        for _ in range(3):
            await asyncio.sleep(0.04)
            t.plan("a", at=P1)
        assert waiting.done()


async def test_what_was_late_and_is_wanted_again_keeps_nobody_waiting_longer() -> None:  # 1-20
    async with table() as t:
        t.shelf.takes = {"a": 9.0, "b": 9.0}
        one, other = Item("a", "page"), Item("b", "page")
        t.plan(one, at=P1)
        await asyncio.sleep(0.05)
        t.plan(one, other, at=P1)
        waits = asyncio.create_task(t.executor.ready())
        began = t.time()
        await asyncio.sleep(0.06)  # the first was too late, and is in the background
        for _ in range(10):
            t.plan(one, other, at=P1)
            await asyncio.sleep(0.03)
            if waits.done():
                break
        assert await waits == () and t.time() - began <= 0.13


async def test_a_generation_that_has_no_place_yet_keeps_its_turn() -> None:  # 1-20 1-53
    async with table(max_concurrent_fetches=1, max_concurrent_eager=1) as t:
        t.shelf.takes = {"a": 2.0, "b": 2.0}
        t.plan(Item("a", "tale"), Item("b", "tale"), at=P1)
        await t.executor.ready()
        assert t.time() == 0.1
        await asyncio.sleep(5)
        assert t.of(What.LOADED) == [(2.0, "a"), (4.0, "b")] and not t.of(What.TIMED_OUT)


# --- eager


async def test_five_are_fetched_eagerly_at_a_time() -> None:  # 1-24
    async with table() as t:
        t.shelf.takes = dict.fromkeys("abcdefghijkl", 0.1)
        t.plan(*"abcdefghijkl", at=P2)
        await asyncio.sleep(1)
        assert t.shelf.most == 5 and len(t.cache) == 12
        assert [at for at, _ in t.of(What.LOADED)] == [0.1] * 5 + [0.2] * 5 + [0.3] * 2


async def test_an_eager_fetch_has_half_a_second_and_is_tried_again() -> None:  # 1-24 1-50 1-63
    async with table() as t:
        t.shelf.takes = {"a": 0.6}
        t.plan("a", at=P2)
        await asyncio.sleep(2)
        assert t.of(What.TIMED_OUT) == [(0.5, "a")] and t.of(What.LOADED) == [(1.15, "a")]


@pytest.mark.parametrize(("batching", "calls"), [(True, 3), (False, 8)])
async def test_what_is_alike_is_asked_for_in_one_call(batching: bool, calls: int) -> None:
    # 1-25 1-60
    async with table(most=4, enable_batch_fetching=batching) as t:
        t.plan(*"abcdef", Item("x", "map"), Item("y", "map"), at=P2)
        await asyncio.sleep(1)
        assert len(t.shelf.calls) == calls and len(t.cache) == 8
        if batching:
            assert t.shelf.calls == [tuple("abcd"), tuple("ef"), tuple("xy")]


async def test_what_a_batch_has_given_is_there_before_the_rest_and_stays() -> None:  # 1-26
    async with table(most=4) as t:
        t.shelf.gives = {"c": OSError("torn")}
        t.plan(*"abcd", at=P2)
        await asyncio.sleep(0.03)
        assert list(t.cache) == ["a"]
        await asyncio.sleep(1)
        assert list(t.cache) == ["a", "b", "d"]
        assert [key for _, key in t.of(What.FAILED)] == ["c"]


@pytest.mark.parametrize("at", [P1, P2, P3])
@pytest.mark.parametrize("how", ["raises", "ends", "hangs"])
async def test_what_fails_in_a_batch_costs_the_others_nothing(how: str, at: Priority) -> None:
    # 1-25 1-32 1-64 G10
    async def together(items: Sequence[Item]) -> AsyncIterator[Content]:
        calls.append([item.key for item in items])
        if "bad" in calls[-1]:
            if how == "raises":
                raise OSError("bad.json")
            await asyncio.sleep(NEVER if how == "hangs" else 0)
            return
        for item in items:
            yield Content(item.key, item.key)

    calls: list[list[str]] = []
    async with table(more={"kinds": [Kind("lore", P3, tokens=9, source=together, most=4)]}) as t:
        keys = ["bad", "cellar", "mill", "road"]
        t.plan(*(Item(key, "lore") for key in keys), at=at)
        await asyncio.sleep(8)
        assert [*t.cache] == ["cellar", "mill", "road"]
        assert t.of(What.UNAVAILABLE)[0][1] == "bad" and len(t.of(What.UNAVAILABLE)) == 1
        assert calls[0] == keys and [*map(sorted, calls)].count(keys) <= 2
        assert [call for call in calls if len(call) == 1][:4] == [[key] for key in keys]
        if how != "hangs":
            assert len(calls) == 5
            assert [key for _, key in t.of(What.RETRY)] == keys
            assert [key for _, key in t.of(What.FAILED)] == ["bad"]


async def test_what_was_spoilt_once_spoils_no_other_batch() -> None:  # 1-32 G10
    async with table(most=4) as t:
        t.shelf.takes = {"bad": NEVER}
        t.plan("bad", "cellar")
        await asyncio.sleep(2.07)  # both were too late, and begin again in a moment
        t.plan("bad", "cellar", Item("new", "page", tokens=1))
        await asyncio.sleep(1)
        assert t.shelf.calls[1:] == [("new",), ("bad",), ("cellar",)]


async def test_what_each_raises_for_one_is_told_of_that_one_and_it_is_asked_once() -> None:  # G10
    async def read(item: Item) -> str:
        asked.append(item.key)
        if item.key == "bad":
            raise FileNotFoundError("bad.json")
        return item.key

    asked: list[str] = []
    async with table(more={"kinds": [Kind("lore", P3, source=each(read), most=4)]}) as t:
        t.plan(*(Item(key, "lore") for key in ("bad", "cellar", "mill")), at=P2)
        await asyncio.sleep(1)
        assert [*t.cache] == ["cellar", "mill"] and asked == ["bad", "cellar", "mill"]
        failed = [event for _, event in t.told if event.what is What.FAILED]
        assert [(e.keys, e.why) for e in failed] == [(("bad",), "FileNotFoundError: bad.json")]


async def test_what_is_not_needed_any_more_is_cancelled() -> None:  # 1-27
    async with table() as t:
        t.shelf.takes = dict.fromkeys("abcdefg", 0.4)
        t.plan(*"abcdefg", at=P2)
        await asyncio.sleep(0.1)
        t.plan("b", at=P2)
        assert t.of(What.CANCELLED) == [(0.1, key) for key in "acdefg"]
        await asyncio.sleep(0.5)
        assert t.cache == {"b": "B"} and t.shelf.cancelled == ["a", "c", "d", "e"]
        assert len(t.shelf.calls) == 5


async def test_a_batch_goes_on_while_any_of_it_is_needed() -> None:  # 1-27
    async with table(most=4) as t:
        t.shelf.takes = dict.fromkeys("abc", 0.1)
        t.plan(*"abc", at=P2)
        await asyncio.sleep(0.05)
        t.plan("c", at=P2)
        await asyncio.sleep(1)
        assert t.cache == {"c": "C"} and t.shelf.cancelled == []


async def test_content_that_changes_the_context_is_told_and_planned_anew() -> None:  # 1-28
    seen = []
    kind = Kind("letter", P2, tokens=1, changes_context=lambda item, value: value == "A")
    async with table(more={"on_context": lambda item, value: seen.append(item.key)}) as t:
        t.kinds.register(
            Kind("letter", P2, source=t.shelf.fetch, changes_context=kind.changes_context)
        )
        t.plan(Item("a", "letter"), Item("b", "letter"), at=P2)
        await asyncio.sleep(1)
        assert seen == ["a"] and t.cache == {"a": "A", "b": "B"}


async def test_content_that_several_wait_for_may_change_the_context_for_the_others() -> None:
    # 1-28 1-64
    def anew(item: Item, value: Any) -> None:
        t.executor.cancel("another context")

    async with table(more={"on_context": anew}) as t:
        changing = Kind("sign", P2, source=t.shelf.fetch, changes_context=lambda item, value: True)
        t.kinds.register(changing)
        t.shelf.gives = dict.fromkeys("ac", OSError("torn out"))
        t.shelf.takes = {"b": 0.1}
        t.plan(*(Item(key, "sign", alternative="b") for key in "ac"), Item("b", "page"), at=P2)
        await asyncio.sleep(3)
        assert sorted(key for what in ENDS for _, key in t.of(what)) == ["a", "b", "c"]
        assert len(t.cache) == 1


async def test_a_subscriber_may_plan_anew_in_the_midst_of_an_event() -> None:  # 1-28
    async with table() as t:

        def again(event: Fetched) -> None:
            if event.keys == ("a",) and event.what is What.LOADED:
                t.plan("b", at=P2)

        t.executor.listeners.append(again)
        t.plan("a", "c", at=P2)
        await asyncio.sleep(1)
        assert list(t.cache) == ["a", "c", "b"] and not t.faults


# --- background


async def test_the_background_begins_a_little_later_and_by_priority() -> None:  # 1-29 1-51
    async with table(max_concurrent_fetches=1, max_concurrent_eager=1) as t:
        t.plan(*(Item(key, "page", n / 10, tokens=10) for key, n in (("a", 7), ("b", 9), ("c", 8))))
        await asyncio.sleep(1)
        assert t.shelf.begun == {"b": 0.05, "c": 0.07, "a": 0.09}


async def test_what_comes_all_the_time_does_not_put_off_the_start() -> None:  # 1-51
    async with table() as t:
        for number in range(10):
            t.plan(f"{number}")
            await asyncio.sleep(0.03)
        assert t.shelf.begun["0"] == 0.05


async def test_a_background_fetch_has_two_seconds() -> None:  # 1-29
    async with table() as t:
        t.shelf.takes = {"a": 1.9, "b": 2.1}
        t.plan("a", "b")
        await asyncio.sleep(2.1)
        assert t.of(What.LOADED) == [(1.95, "a")] and t.of(What.TIMED_OUT) == [(2.05, "b")]


async def test_the_background_takes_so_many_tokens_at_a_time() -> None:  # 1-30
    async with table() as t:
        t.shelf.takes = dict.fromkeys("abc", 0.1)
        sizes = {"a": 3_000, "b": 3_000, "c": 5_001}
        items = [Item(key, "page", tokens=tokens) for key, tokens in sizes.items()]
        t.plan(*items, token_budget=20_000)
        assert t.of(What.DROPPED) == [(0.0, "c")]
        await asyncio.sleep(1)
        assert t.shelf.begun == {"a": 0.05, "b": 0.15} and t.executor.dropped == 1


@pytest.mark.parametrize("how", ["waited for", "demanded", "thought"])
async def test_what_is_needed_or_only_thought_to_be_large_is_fetched_alone(how: str) -> None:
    # 1-30 1-63
    async with table() as t:
        t.shelf.takes = {"big": 0.15, "a": 0.2}
        big, small = Item("big", "page", tokens=6_000), Item("a", "page", tokens=3_000)
        if how == "waited for":
            t.plan(big, at=P1)
            await t.executor.ready()
        elif how == "demanded":
            assert not await t.executor.demand(big)
        else:
            t.kinds.register(Kind("tome", P3, tokens=9_000, source=t.shelf.fetch))
            t.plan(small, Item("big", "tome"), token_budget=20_000)
        await asyncio.sleep(1)
        assert "big" in t.cache and t.executor.dropped == 0
        if how == "thought":
            assert t.shelf.begun["big"] >= t.shelf.begun["a"] + 0.2


async def test_ten_are_under_way_and_twenty_in_all_and_what_is_dropped_is_told() -> None:
    # 1-30 1-54
    async with table(max_concurrent_fetches=30, max_background_tokens=10**6) as t:
        t.shelf.takes = {f"{n:02}": 0.2 for n in range(25)}
        t.plan(*(f"{n:02}" for n in range(25)))
        assert [key for _, key in t.of(What.DROPPED)] == [f"{n}" for n in range(20, 25)]
        assert t.executor.dropped == 5 and ("info", "dropped") in t.levels()
        await asyncio.sleep(1)
        assert t.shelf.most == 10 and len(t.cache) == 20


async def test_what_is_wanted_more_takes_the_place_of_what_is_wanted_less() -> None:  # 1-30 1-65
    async with table(max_background_queue=10) as t:
        t.plan(*(Item(f"{n}", "page", 0.7, tokens=10) for n in range(10)))
        t.plan(*(f"{n}" for n in range(10)), Item("best", "page", 1.0, tokens=10))
        assert [key for _, key in t.of(What.DROPPED)] == ["9"]
        await asyncio.sleep(1)
        assert t.shelf.calls[0] == ("best",)


async def test_the_background_waits_while_others_are_busy() -> None:  # 1-31
    busy = [True]
    async with table(more={"busy": lambda: busy[0]}) as t:
        t.plan("a")
        await asyncio.sleep(1)
        assert t.shelf.calls == []
        busy[0] = False
        await asyncio.sleep(0.5)
        assert t.cache == {"a": "A"}


@pytest.mark.parametrize("who", ["busy", "needed"])
async def test_who_raises_when_the_background_asks_it_says_no(who: str) -> None:  # 1-31 1-33 G10
    def torn(*key: str) -> bool:
        raise ZeroDivisionError

    async with table(more={who: torn}) as t:
        t.plan("a", "b")
        await asyncio.sleep(1)
        assert t.cache == {"a": "A", "b": "B"}
        await asyncio.sleep(60)
        assert t.cache == {} and {*t.faults} == {f"{who}: ZeroDivisionError()"}


async def test_the_background_waits_for_what_is_eager() -> None:  # 1-31
    async with table() as t:
        t.shelf.takes = {"a": 0.3}
        t.plan("a", "b", at={"a": P2, "b": P3})
        await asyncio.sleep(1)
        assert t.shelf.begun == {"a": 0.0, "b": 0.3}


async def test_related_requests_of_the_background_are_bundled() -> None:  # 1-32
    async with table(most=3) as t:
        t.plan("a", Item("m", "map"), "b", "c", "d")
        await asyncio.sleep(1)
        assert sorted(t.shelf.calls) == [("a", "b", "c"), ("d",), ("m",)]


async def test_a_bundle_keeps_within_the_tokens_of_the_background() -> None:  # 1-30 1-32
    async with table(most=5) as t:
        t.plan(*(Item(key, "page", tokens=2_000) for key in "abc"))
        await asyncio.sleep(1)
        assert sorted(t.shelf.calls) == [("a", "b"), ("c",)]


async def test_what_nobody_uses_in_30_seconds_is_dropped() -> None:  # 1-33
    async with table() as t:
        t.plan("a", "b")
        await asyncio.sleep(10)
        t.executor.used("b")
        await asyncio.sleep(100)
        assert t.cache == {"b": "B"} and t.of(What.EXPIRED) == [(30.07, "a")]


async def test_what_is_for_an_open_turn_does_not_expire_in_it() -> None:  # 1-33
    async with table() as t:
        t.plan(Item("a", "page", turn="t1"))
        await asyncio.sleep(500)
        assert "a" in t.cache
        t.executor.turn_ended("t1")
        await asyncio.sleep(29)
        assert "a" in t.cache
        await asyncio.sleep(2)
        assert t.of(What.EXPIRED) == [(530.0, "a")]


# --- all together


async def test_what_comes_when_its_turn_is_over_expires_as_any_other() -> None:  # 1-33
    async with table() as t:
        t.shelf.takes = {"a": 1.0}
        t.plan(Item("a", "page", turn="t1"))
        await asyncio.sleep(0.5)
        t.executor.turn_ended("t1")
        await asyncio.sleep(60)
        assert t.of(What.EXPIRED) == [(31.05, "a")]


async def test_another_context_cancels_what_belonged_to_the_one_before() -> None:  # 1-62
    async with table() as t:
        t.shelf.takes = dict.fromkeys("ab", 1.0)
        t.plan("a", "b")
        await asyncio.sleep(0.1)
        t.plan("b", context="elsewhere")
        await asyncio.sleep(2)
        assert t.of(What.CANCELLED) == [(0.1, "a")] and t.cache == {"b": "B"}


async def test_without_that_setting_the_background_goes_on() -> None:  # 1-62
    async with table(cancel_on_context_change=False) as t:
        t.shelf.takes = {"a": 1.0}
        t.plan("a")
        await asyncio.sleep(0.1)
        t.plan("b", context="elsewhere")
        await asyncio.sleep(2)
        assert sorted(t.cache) == ["a", "b"]


async def test_content_ten_times_its_announced_size_spends_no_more_than_the_budget() -> None:
    # 1-52 1-66
    async with table() as t:
        t.shelf.gives = {"a": Content("a", "long", 700), "b": Content("b", "longer", 700)}
        t.shelf.takes = {"b": 0.03, "c": 0.04}
        items = [Item(key, "page", tokens=70) for key in "abc"]
        t.plan(
            *items, Item("d", "page", 0.9, tokens=200), at={"page": P2, "d": P3}, token_budget=900
        )
        await asyncio.sleep(1)
        assert sorted(t.cache) == ["a", "c"]
        assert [key for _, key in t.of(What.OVERSIZE)] == ["b"]
        assert [key for _, key in t.of(What.SKIPPED)] == ["d"] and ("info", "skipped") in t.levels()
        assert t.executor.costs["page"].tokens > 100


@pytest.mark.parametrize(
    "given",
    [
        None,
        Content("z", "what nobody asked for", 3),
        Content("a", "x", "many"),  # type: ignore[arg-type]
        Content("a", "x", float("nan")),  # type: ignore[arg-type]
        Content(["a"], "x", 3),  # type: ignore[arg-type]
        asyncio.CancelledError(),
        KeyError("a"),
        StopAsyncIteration(),
    ],
)
async def test_what_is_no_content_fails_and_costs_the_others_nothing(given: Any) -> None:  # G10
    async with table() as t:
        t.shelf.gives = {"a": given}
        t.plan("a", "b", at=P2)
        await asyncio.sleep(1)
        assert t.cache == {"b": "B"}
        assert [key for _, key in t.of(What.UNAVAILABLE)] == ["a"]


async def test_content_of_more_tokens_than_there_are_is_told_as_the_most_there_can_be() -> None:
    # G10
    async with table() as t:
        t.shelf.gives = {"a": Content("a", "x", 10**30)}
        t.plan("a", at=P2)
        await asyncio.sleep(1)
        assert [event.tokens for _, event in t.told if event.what is What.OVERSIZE] == [10**9]


async def test_sources_that_are_none_and_sources_without_end() -> None:  # G10
    async def plain(items: Sequence[Item]) -> Any:
        return [Content(items[0].key, "x")]

    async def endless(items: Sequence[Item]) -> AsyncIterator[Content]:
        while True:
            yield Content("other", "x")

    kinds = [
        Kind("plain", P2, tokens=1, source=plain),  # type: ignore[arg-type]
        Kind("endless", P2, tokens=1, source=endless),
        Kind("nobody's", P2, tokens=1),
        Kind("one", P2, tokens=1, source=each(lambda item: asyncio.sleep(0.01, item.key * 8))),
    ]
    async with table(more={"kinds": kinds}) as t:
        t.plan(*(Item(kind.name, kind.name) for kind in kinds), at=P2)
        await asyncio.sleep(1)
        assert t.cache == {"one": "one" * 8}
        why = {event.keys[0]: event.why for _, event in t.told if event.what is What.FAILED}
        assert "wrap it in each()" in why["plain"] and "gives more" in why["endless"]
        assert "nothing fetches" in why["nobody's"]
        assert next(e.tokens for _, e in t.told if e.what is What.LOADED) == 6


async def test_a_source_may_consume_what_it_is_asked_for_and_give_what_is_by_number() -> None:
    async def consuming(items: list[Item]) -> AsyncIterator[Content]:
        while items:
            yield Content(items.pop().key, {1: "one", 2: "two"})

    kind = Kind("table", P2, tokens=1, source=consuming, most=3)  # type: ignore[arg-type]
    async with table(more={"kinds": [kind]}) as t:
        t.plan(*(Item(key, "table") for key in "abc"), at=P2)
        await asyncio.sleep(1)
        assert {*t.cache} == {"a", "b", "c"} and not t.of(What.FAILED)


async def test_a_source_that_has_given_all_and_does_not_end_is_closed() -> None:  # G4
    ended: list[str] = []

    async def lasting(items: Sequence[Item]) -> AsyncIterator[Content]:
        try:
            yield Content(items[0].key, "x")
            await asyncio.sleep(NEVER)
        finally:
            ended.append(items[0].key)

    kind = Kind("lasting", P2, tokens=1, source=lasting)
    async with table(more={"kinds": [kind]}) as t:
        t.plan(Item("a", "lasting"), at=P2)
        await asyncio.sleep(0.01)
        assert ended == ["a"] and t.cache == {"a": "x"}


async def test_a_cache_and_a_subscriber_that_raise_are_contained() -> None:  # G10
    async with table() as t:
        t.put = lambda item, value, tokens: 1 / 0
        t.executor.listeners.insert(0, lambda event: 1 / 0)
        t.plan("a", at=P1)
        await t.executor.ready()
        assert any(fault.startswith("cache: ZeroDivision") for fault in t.faults)
        assert any(fault.startswith("subscriber: ZeroDivision") for fault in t.faults)
        assert t.of(What.UNAVAILABLE) == [(0.02, "a")]


async def test_a_source_that_will_not_close_gives_up_its_place_after_a_second() -> None:  # G4 G10
    async with table(max_concurrent_fetches=1, max_concurrent_eager=1) as t:
        t.shelf.takes, t.shelf.lingers = {"a": NEVER}, 3.0
        t.plan("a", at=P2)
        await asyncio.sleep(0.2)
        t.plan("b", at=P2)
        await asyncio.sleep(1.5)
        assert t.of(What.LOADED) == [(1.22, "b")]
        await asyncio.sleep(3)


async def test_a_source_that_never_closes_is_asked_so_often_and_no_more_until_it_does() -> None:
    # G3 G4 G10
    released = asyncio.Event()

    async def deaf(items: Sequence[Item]) -> AsyncIterator[Content]:
        while not released.is_set():
            try:
                await released.wait()
            except asyncio.CancelledError:
                continue
        yield Content(items[0].key, "late", 10)

    async with table(more={"kinds": [Kind("deaf", P3, source=deaf)]}) as t:
        for n in range(40):
            t.plan(Item(f"d{n}", "deaf"), f"a{n}", at=P2)
            await asyncio.sleep(5)
        assert 8 <= len(t.tasks) <= 16 and not t.executor.pending
        assert any("calls of its source do not close" in event.why for _, event in t.told)
        assert len([key for _, key in t.of(What.LOADED) if key[0] == "a"]) == 40
        released.set()
        await asyncio.sleep(1)
        t.plan(Item("d", "deaf"), at=P2)
        await asyncio.sleep(1)
        assert t.cache.get("d") == "late" and not len(t.tasks)


async def test_closing_cancels_and_waits_for_every_source() -> None:  # G4
    async with table() as t:
        t.shelf.takes, t.shelf.lingers = dict.fromkeys("abc", NEVER), 0.3
        t.plan("a", "b", "c", "d", at={"a": P1, "b": P2, "c": P3, "d": P3})
        await asyncio.sleep(0.05)
        await t.executor.aclose()
        assert t.shelf.running == 0 and t.time() == 0.35
        t.plan("e", at=P1)
        await asyncio.sleep(1)
        assert "e" not in t.shelf.begun


async def test_after_closing_no_timer_is_set_for_what_nobody_has_used() -> None:  # G4
    async with table() as t:
        t.plan(Item("a", "page", turn="one"), "b", at=P2)
        await asyncio.sleep(1)
        await t.executor.aclose()
        t.executor.turn_ended("one")
        await asyncio.sleep(60)
        assert t.cache == {"a": "A", "b": "B"} and not t.of(What.EXPIRED)


async def test_closing_twice_at_once_is_closing_once() -> None:  # G4
    async with table() as t:
        t.shelf.takes, t.shelf.lingers = {"a": NEVER}, 0.5
        t.plan("a", at=P2)
        await asyncio.sleep(0.1)
        async with asyncio.timeout(5):
            await asyncio.gather(t.executor.aclose(), t.executor.aclose())
        assert t.time() == 0.6 and t.shelf.running == 0


async def test_as_an_operator_it_emits_what_happens_and_completes_when_all_is_done() -> None:
    async with table() as t:
        plans: Subject[Plan] = Subject()
        seen: list[str] = []
        disposable = plans.pipe(execute(t.executor)).subscribe(
            lambda event: seen.append(f"{event.what.value} {event.keys[0]}"),
            on_completed=lambda: seen.append("|"),
        )
        t.executor.take = plans.on_next  # so that t.plan goes through the stream
        Executor.take(t.executor, schedule([]))
        constraints = Constraints(priority_override=P2)
        plans.on_next(schedule([Item("a", "page")], constraints, None, t.kinds))
        plans.on_completed()
        await asyncio.sleep(1)
        assert seen == ["loaded a", "|"]
        disposable.dispose()


async def test_a_subscriber_may_cancel_in_the_midst_of_an_event() -> None:  # G4
    async with table(most=3) as t:
        t.shelf.takes = dict.fromkeys("abc", NEVER)
        t.plan("a", "b", "c", "d", at=P2)
        t.executor.listeners.append(lambda event: t.executor.cancel("heard enough"))
        await asyncio.sleep(5)
        assert not t.executor.pending and not t.faults and len(t.tasks) == 0
        assert sorted(key for what in ENDS for _, key in t.of(what)) == ["a", "b", "c", "d"]


@pytest.mark.parametrize("how", ["cancelled", "disposed", "completed"])
async def test_what_is_said_after_a_plan_in_the_midst_of_an_event_is_of_it_too(how: str) -> None:
    # 1-28
    def page(key: str) -> Plan:
        return schedule([Item(key, "page")], Constraints(priority_override=P2), None, t.kinds)

    def on_event(event: Fetched) -> None:
        seen.append(f"{event.what.value} {event.keys[0]}")
        if event.keys == ("a",):
            plans.on_next(page("b"))
            match how:
                case "cancelled":
                    t.executor.cancel("heard enough")
                case "disposed":
                    disposable.dispose()
                case _:
                    plans.on_completed()

    async with table() as t:
        plans: Subject[Plan] = Subject()
        seen: list[str] = []
        disposable = plans.pipe(execute(t.executor)).subscribe(
            on_event, on_completed=lambda: seen.append("|")
        )
        plans.on_next(page("a"))
        await asyncio.sleep(1)
        if how == "completed":
            assert seen == ["loaded a", "loaded b", "|"]
        else:
            assert t.shelf.calls == [("a",)] and seen == ["loaded a"] and t.executor.at_rest
        plans.on_next(page("c"))
        await asyncio.sleep(1)
        assert (seen[-1] == "loaded c") is (how == "cancelled")


async def test_disposing_the_operator_cancels_what_is_under_way() -> None:  # G4
    async with table() as t:
        plans: Subject[Plan] = Subject()
        seen: list[Fetched] = []
        disposable = plans.pipe(execute(t.executor)).subscribe(seen.append)
        t.shelf.takes = {"a": NEVER}
        constraints = Constraints(priority_override=P2)
        plans.on_next(schedule([Item("a", "page")], constraints, None, t.kinds))
        await asyncio.sleep(0.1)
        disposable.dispose()
        assert not t.executor.pending
        await asyncio.sleep(0.1)
        assert t.shelf.cancelled == ["a"] and seen == []


STEPS = st.lists(
    st.tuples(
        st.floats(0, 0.4),
        st.lists(st.integers(0, 25), min_size=1, max_size=12, unique=True),
        st.sampled_from("xy"),
        st.integers(50, 600),
    ),
    min_size=1,
    max_size=5,
)
FATES = st.dictionaries(
    st.integers(0, 25),
    st.tuples(
        st.sampled_from([0.01, 0.12, 0.7, 2.5, NEVER]), st.sampled_from([None, "fails", "huge"])
    ),
)


@given(steps=STEPS, fates=FATES, most=st.integers(1, 4))
def test_whatever_happens_no_limit_is_exceeded_and_each_item_comes_to_one_end(
    steps: list[Any], fates: dict[int, Any], most: int
) -> None:  # 1-24 1-30 1-52 1-53 G3
    async def play() -> None:
        async with table(most=most) as t:
            begun: dict[str, int] = {}
            round_of: dict[str, int] = {}
            spent = [0] * len(steps)

            def count(event: Fetched) -> None:
                if event.what is What.LOADED:
                    spent[round_of[event.keys[0]]] += event.tokens

            t.executor.listeners.append(count)
            for number, (seconds, how) in fates.items():
                key = f"k{number}"
                t.shelf.takes[key] = seconds
                if how is not None:
                    t.shelf.gives[key] = OSError("x") if how == "fails" else Content(key, "x", 500)
            for at, (wait, numbers, context, budget) in enumerate(steps):
                before = t.executor.pending
                lanes = {f"k{n}": Priority(n % 4) for n in numbers}
                items = [Item(f"k{n}", "page" if n % 3 else "map", tokens=20) for n in numbers]
                round_of.update({each.key: at for each in items if each.key not in before})
                plan = t.plan(*items, at=lanes, context=context, token_budget=budget)
                for entry in plan.taken:
                    begun[entry.keys[0]] = begun.get(entry.keys[0], 0) + 1
                await asyncio.sleep(wait)
            await asyncio.sleep(60)
            assert t.shelf.most <= 8 and not t.executor.pending and not t.faults
            ends: dict[str, int] = {}
            for what in ENDS:
                for _, key in t.of(what):
                    ends[key] = ends.get(key, 0) + 1
            assert ends == begun
            assert all(tokens <= step[3] for tokens, step in zip(spent, steps, strict=True))

    run_virtual(play())


@pytest.mark.parametrize("how", ["planned", "demanded"])
async def test_what_is_needed_now_keeps_the_place_it_has(how: str) -> None:  # 1-20 1-60
    eight = [Item(key, "page", 0.85 - 0.01 * n) for n, key in enumerate("abcdefgh")]
    async with table() as t:
        t.shelf.takes = {**dict.fromkeys("abcdefgh", 0.1), "new": 0.01}
        t.plan(*eight)
        await asyncio.sleep(0.1)  # they have 50 ms to go
        if how == "planned":
            at = {**dict.fromkeys("abcdefg", P3), "h": P1, "new": P1}
            t.plan(*eight[:-1], Item("h", "page", 0.95), Item("new", "page", 0.95), at=at)
            await t.executor.ready()
        else:
            first = asyncio.create_task(t.executor.demand(eight[-1]))
            await asyncio.sleep(0)
            assert await t.executor.demand(Item("new", "page")) and await first
        assert {"h", "new"} <= {*t.cache}
        await asyncio.sleep(5)
        assert sum("h" in keys for keys in t.shelf.calls) == 1 and len(t.cache) == 9


async def test_what_somebody_has_asked_for_gives_up_its_place_last() -> None:  # 1-60
    async with table(max_concurrent_fetches=2, max_concurrent_eager=1) as t:
        t.shelf.takes = {"a": 1.0, "b": 1.0, "new": 0.01}
        t.plan("a", "b")
        await asyncio.sleep(0.1)
        assert not await t.executor.demand(Item("a", "page"))
        assert await t.executor.demand(Item("new", "page"))
        await asyncio.sleep(5)
        assert t.shelf.calls == [("a",), ("b",), ("new",), ("b",)] and {"a", "b"} <= {*t.cache}


async def test_an_alternative_that_is_asked_for_already_is_shared() -> None:  # 1-27 1-64
    async with table() as t:
        t.shelf.gives = {"a": OSError("torn out")}
        t.shelf.takes = {"b": 0.1}
        t.plan(Item("a", "page", alternative="b"), Item("b", "page"), at=P2)
        await asyncio.sleep(3)
        assert t.cache == {"a": "B", "b": "B"} and sorted(t.shelf.calls) == [("a",), ("b",)]
        assert not t.executor.unavailable


@pytest.mark.parametrize("fails", ["while it is shared", "before"])
async def test_an_alternative_that_cannot_be_had_is_asked_for_once(fails: str) -> None:  # 1-64
    async with table() as t:
        t.shelf.gives = {"a": OSError("torn out"), "b": OSError("burnt")}
        t.shelf.takes = {"b": 0.1}
        one, other = Item("a", "page", alternative="b"), Item("b", "page")
        if fails == "before":
            t.plan(other, at=P2)
            await asyncio.sleep(1)
            t.plan(one, at=P2)
        else:
            t.plan(one, other, at=P2)
        await asyncio.sleep(3)
        assert sorted(t.shelf.calls) == [("a",), ("b",)]
        assert t.executor.unavailable == {"a", "b"} and not t.executor.pending


async def test_alternatives_of_two_plans_that_are_each_other_are_given_up() -> None:  # 1-64
    async with table() as t:
        t.shelf.gives = dict.fromkeys("ab", OSError("torn out"))
        t.plan(Item("a", "page", alternative="b"))
        t.plan(Item("b", "page", alternative="a"))
        await asyncio.sleep(1)
        assert t.executor.unavailable == {"a", "b"} and not t.executor.pending
        assert len(t.of(What.UNAVAILABLE)) == 2


async def test_who_was_late_and_asks_for_itself_shares_an_alternative_no_longer() -> None:
    # 1-22 1-64
    async with table() as t:
        t.shelf.gives = {"a": OSError("torn out"), "b": OSError("burnt")}
        t.shelf.takes = {"b": 0.2}
        one, other = Item("a", "page", alternative="b"), Item("b", "page")
        t.plan(other, at=P2)
        t.plan(one, other, at={"a": P1, "b": P2})
        await asyncio.sleep(5)
        assert sorted(key for _, key in t.of(What.UNAVAILABLE)) == ["a", "b"]
        assert not t.executor.pending


async def test_what_is_not_needed_any_more_comes_to_one_end_though_it_shares_another() -> None:
    # 1-27 1-64
    async with table() as t:
        t.shelf.gives = {"a": OSError("torn out")}
        t.shelf.takes = {"b": 0.1}
        t.plan(Item("b", "page"), at=P2)
        await asyncio.sleep(0.01)
        t.plan(Item("a", "page", alternative="b"), Item("b", "page"), at=P2)
        await asyncio.sleep(0.05)
        t.plan("c", at=P2)
        await asyncio.sleep(1)
        assert sorted(key for what in ENDS for _, key in t.of(what)) == ["a", "b", "c"]


async def test_who_shares_an_alternative_may_be_cancelled() -> None:  # 1-28
    async with table() as t:
        t.shelf.gives = {"a": OSError("torn out")}
        t.shelf.takes = {"b": 0.1}
        one, other = Item("a", "page", alternative="b"), Item("b", "page")
        t.plan(one, other, at=P2)
        await asyncio.sleep(0.05)
        t.plan(other, at=P2)
        await asyncio.sleep(3)
        assert t.cache == {"b": "B"} and not t.executor.pending


@pytest.mark.parametrize("how", ["not planned", "another context", "cancelled"])
async def test_who_shares_what_is_cancelled_asks_for_it_itself(how: str) -> None:  # 1-23 1-64
    async with table() as t:
        t.shelf.gives = {"a": OSError("torn out")}
        t.shelf.takes = {"b": 0.1}
        one, other = Item("a", "page", alternative="b"), Item("b", "page")
        t.plan(one, other, at=P2)
        await asyncio.sleep(0.05)
        if how == "cancelled":
            t.executor.cancel("it has changed", keep=["a"])
        else:
            t.plan(one, at=P2, context="there" if how == "another context" else "here")
        await asyncio.sleep(1)
        assert t.cache == {"a": "B"} and not t.executor.unavailable
        assert sorted(t.shelf.calls) == [("a",), ("b",), ("b",)]
        assert not t.of(What.UNAVAILABLE)


async def test_who_shares_what_is_dropped_asks_for_it_itself() -> None:  # 1-30 1-64
    async with table(max_background_queue=3, max_background_pending=1) as t:
        t.shelf.gives = {"a": OSError("torn out")}
        t.shelf.takes = {"a": 0.06, "one": 0.5}
        first = Item("a", "page", alternative="z")
        t.plan(first, "one", "two", "z", at={"a": P2, "one": P3, "two": P3, "z": P3})
        await asyncio.sleep(0.1)
        t.plan(first, "more")
        assert t.of(What.DROPPED) == [(0.1, "z")]
        await asyncio.sleep(3)
        assert t.cache["a"] == "Z" and not t.executor.unavailable


async def test_an_alternative_of_another_kind_is_known_when_it_is_planned_no_more() -> None:  # 1-64
    async with table() as t:
        t.shelf.gives = dict.fromkeys("ab", OSError("torn out"))
        t.shelf.takes = {"a": 0.3}
        first = Item("a", "page", alternative="b")
        others = Item("b", "map", 0.1, alternative="c"), Item("c", "map", 0.1)
        t.plan(first, *others, at={"page": P2, "map": P3})
        await asyncio.sleep(0.1)
        t.plan(first, at=P2)
        t.plan(first, at=P2)
        await asyncio.sleep(1)
        assert t.shelf.calls == [("a",), ("b",), ("c",)] and t.cache == {"a": "C"}


@pytest.mark.parametrize("how", ["another context", "cancelled", "closed"])
async def test_who_is_cancelled_with_what_it_shares_is_refused_nothing(how: str) -> None:  # 1-62
    async with table() as t:
        t.shelf.gives = {"c": OSError("torn out")}
        t.shelf.takes = {"b": 0.1}
        t.plan(Item("b", "page"), Item("c", "page", alternative="b"), at=P2)
        await asyncio.sleep(0.05)
        match how:
            case "another context":
                t.plan(context="there")
            case "cancelled":
                t.executor.cancel("heard enough")
            case _:
                await t.executor.aclose()
        await asyncio.sleep(1)
        assert sorted(key for _, key in t.of(What.CANCELLED)) == ["b", "c"]
        assert not t.executor.unavailable and t.executor._fetching.calls._begun == 2


async def test_what_never_comes_has_its_alternative_in_the_end() -> None:  # 1-63 1-64
    async with table() as t:
        t.shelf.takes = {"a": 1e9}
        t.plan(Item("a", "page", alternative="b"), at=P1)
        await asyncio.sleep(10)
        assert t.cache == {"a": "B"} and t.shelf.calls.count(("a",)) == 3
        assert not t.executor.unavailable
