"""Keyed ``switch_map``: whole plans in; one open stream a key; the new after the old's clean-up."""

from __future__ import annotations

import asyncio
import gc
from collections import Counter
from collections.abc import AsyncGenerator
from typing import NamedTuple

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from reactivex import abc
from reactivex.subject import Subject

from foretell.operators.switch_map import switch_map
from foretell.streams.clock import run_virtual
from foretell.streams.tasks import Tasks
from foretell.streams.timers import LoopTimers


class Item(NamedTuple):
    """``a1``: key ``a``, version 1."""

    key: str
    version: int

    def __str__(self) -> str:
        return f"{self.key}{self.version}"


def plan(text: str) -> list[Item]:
    return [Item(word[0], int(word[1:])) for word in text.split()]


class Bench:
    """Inner streams that tick every second and take ``teardown`` seconds to clean up."""

    def __init__(self, *, limit: float = 1.0, teardown: float = 0.0, ticks: int = 10_000) -> None:
        self.loop = asyncio.get_running_loop()
        self.teardown = teardown
        self.ticks = ticks
        self.log: list[str] = []
        self.values: list[str] = []
        self.slow: list[str] = []
        self.faults: list[str] = []
        self.open: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.fail: set[str] = set()
        self.tasks = Tasks(self.fault)
        self.source: Subject[list[Item]] = Subject()
        stream = self.source.pipe(
            switch_map(
                self.inner,
                self.tasks,
                self.fault,
                LoopTimers(self.loop),
                key=lambda item: item.key,
                teardown_limit=limit,
                slow_teardown=lambda item, seconds: self.slow.append(f"{item} {seconds:g}"),
            )
        )
        self.subscription: abc.DisposableBase = stream.subscribe(
            self.values.append,
            lambda error: self.values.append(repr(error)),
            lambda: self.values.append("|"),
        )

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append(f"{where}: {error!r}")

    def say(self, what: str) -> None:
        self.log.append(f"{self.loop.time():g} {what}")

    async def inner(self, item: Item) -> AsyncGenerator[str, None]:
        self.open[item.key] += 1
        self.most[item.key] = max(self.most[item.key], self.open[item.key])
        self.say(f"+{item}")
        try:
            for n in range(self.ticks):
                yield f"{item}.{n}"
                await asyncio.sleep(1)
                if str(item) in self.fail:
                    self.fail.discard(str(item))
                    raise RuntimeError(f"{item} broke")
        finally:
            try:
                if self.teardown:
                    await asyncio.sleep(self.teardown)
            finally:
                self.open[item.key] -= 1
                self.say(f"-{item}")

    def plan(self, text: str) -> None:
        self.source.on_next(plan(text))

    async def end(self) -> None:
        self.subscription.dispose()
        await self.tasks.aclose()
        assert sum(self.open.values()) == 0
        assert len(self.tasks) == 0


async def test_absent_ends_equal_goes_on_changed_switches() -> None:
    bench = Bench()
    bench.plan("a1 b1")
    await asyncio.sleep(1.5)
    bench.plan("a1 b2 c1")
    await asyncio.sleep(0.75)
    bench.plan("c1")
    await asyncio.sleep(1)
    assert bench.log[:5] == ["0 +a1", "0 +b1", "1.5 -b1", "1.5 +b2", "1.5 +c1"]
    assert bench.log[5:] == ["2.25 -a1", "2.25 -b2"]
    assert [value for value in bench.values if value.startswith("a")] == ["a1.0", "a1.1", "a1.2"]
    assert [value for value in bench.values if value.startswith("c")] == ["c1.0", "c1.1"]
    assert bench.slow == [] and bench.faults == []
    await bench.end()
    assert bench.log[-1] == "3.25 -c1"


async def test_the_new_starts_only_after_the_old_has_cleaned_up() -> None:  # G4
    bench = Bench(teardown=0.5)
    bench.plan("a1")
    await asyncio.sleep(1)
    bench.plan("a2")
    await asyncio.sleep(1)
    assert bench.log == ["0 +a1", "1.5 -a1", "1.5 +a2"]
    assert bench.slow == []
    await bench.end()


async def test_one_keys_clean_up_holds_up_others_for_a_moment_only() -> None:
    bench = Bench(teardown=0.5)
    bench.plan("a1")
    await asyncio.sleep(1)
    bench.plan("a2 b1")
    await asyncio.sleep(1)
    assert bench.log == ["0 +a1", "1.05 +b1", "1.5 -a1", "1.5 +a2"]
    await bench.end()


async def test_a_clean_up_that_hangs_is_waited_for_up_to_the_limit_and_told() -> None:  # G4
    bench = Bench(teardown=100, limit=2)
    bench.plan("a1")
    await asyncio.sleep(1)
    bench.plan("a2")
    await asyncio.sleep(3)
    assert bench.log == ["0 +a1", "3 +a2"]
    assert bench.slow == ["a2 2"]
    await asyncio.sleep(100)
    assert bench.log[-1] == "101 -a1"
    bench.teardown = 0
    await bench.end()


async def test_nothing_of_an_ended_stream_is_passed_on() -> None:
    values: list[str] = []

    async def deaf(item: str) -> AsyncGenerator[str, None]:
        """Does not hear that it is cancelled, once."""
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            yield f"{item} speaks on"
            values.append(f"{item} was read on")

    tasks = Tasks(lambda where, error: values.append(repr(error)))
    source: Subject[list[str]] = Subject()
    stream = source.pipe(
        switch_map(
            deaf,
            tasks,
            lambda where, error: values.append(repr(error)),
            LoopTimers(asyncio.get_running_loop()),
        )
    )
    subscription = stream.subscribe(values.append)
    source.on_next(["a"])
    await asyncio.sleep(1)
    source.on_next([])
    await asyncio.sleep(1)
    assert values == []
    subscription.dispose()
    await tasks.aclose()


async def test_an_error_ends_its_own_stream_only_and_is_told() -> None:
    bench = Bench()
    bench.fail = {"a1"}
    bench.plan("a1 b1")
    await asyncio.sleep(3.5)
    assert bench.faults == ["switch_map: RuntimeError('a1 broke')"]
    assert bench.log == ["0 +a1", "0 +b1", "1 -a1"]
    assert bench.values[-1] == "b1.3"
    await bench.end()


async def test_what_failed_is_tried_again_with_the_next_plan() -> None:
    bench = Bench()
    bench.fail = {"a1"}
    bench.plan("a1 b1")
    await asyncio.sleep(1.5)
    bench.plan("a1 b1")
    await asyncio.sleep(1)
    assert bench.log == ["0 +a1", "0 +b1", "1 -a1", "1.5 +a1"]
    assert len(bench.faults) == 1
    await bench.end()


async def test_what_ended_well_is_not_begun_again() -> None:
    bench = Bench(ticks=1)
    bench.plan("a1")
    await asyncio.sleep(2)
    bench.plan("a1")
    await asyncio.sleep(2)
    assert bench.log == ["0 +a1", "1 -a1"]
    await bench.end()


async def test_an_error_of_the_clean_up_is_contained() -> None:
    async def bad(item: str) -> AsyncGenerator[str, None]:
        try:
            yield item
            await asyncio.sleep(100)
        finally:
            raise RuntimeError(f"{item} broke while closing")

    faults: list[str] = []
    values: list[str] = []
    tasks = Tasks(lambda where, error: faults.append(f"task {error}"))
    source: Subject[list[str]] = Subject()
    stream = source.pipe(
        switch_map(
            bad,
            tasks,
            lambda where, error: faults.append(str(error)),
            LoopTimers(asyncio.get_running_loop()),
        )
    )
    subscription = stream.subscribe(values.append)
    for item in "ab":
        source.on_next([item])
        await asyncio.sleep(1)
    assert values == ["a", "b"]
    assert faults == ["a broke while closing"]
    subscription.dispose()
    await tasks.aclose()
    assert len(faults) == 2


async def test_a_key_that_comes_back_waits_for_its_own_clean_up() -> None:
    bench = Bench(teardown=0.5)
    bench.plan("a1")
    await asyncio.sleep(1)
    bench.plan("")
    await asyncio.sleep(0.1)
    bench.plan("a1")
    await asyncio.sleep(1)
    assert bench.log == ["0 +a1", "1.5 -a1", "1.5 +a1"]
    await bench.end()


async def test_a_key_that_comes_and_goes_twice_still_waits() -> None:
    """The one that never began is gone at once; the first is still cleaning up."""
    bench = Bench(teardown=0.5)
    bench.plan("a1")
    await asyncio.sleep(1)
    for text in ("", "a2", "", "a3"):
        bench.plan(text)
        await asyncio.sleep(0.1)
    await asyncio.sleep(1)
    assert bench.log == ["0 +a1", "1.5 -a1", "1.5 +a3"]
    await bench.end()


async def test_of_rapid_plans_only_the_last_runs() -> None:
    bench = Bench()
    bench.plan("a1")
    bench.plan("a2")
    bench.plan("a3")
    await asyncio.sleep(0.5)
    assert bench.log == ["0 +a3"]
    assert bench.values == ["a3.0"]
    await bench.end()


async def test_disposal_ends_all_and_runs_their_clean_up() -> None:  # G4
    bench = Bench(teardown=0.5)
    bench.plan("a1 b1")
    await asyncio.sleep(1.5)
    bench.subscription.dispose()
    bench.plan("c1")
    await asyncio.sleep(1)
    assert bench.log == ["0 +a1", "0 +b1", "2 -a1", "2 -b1"]
    assert len(bench.tasks) == 0
    assert "|" not in bench.values


async def test_disposal_before_anything_began_opens_nothing() -> None:
    bench = Bench()
    bench.plan("a1")
    await bench.end()
    assert bench.log == []


async def test_it_completes_when_the_source_has_and_nothing_runs() -> None:
    bench = Bench(ticks=2, teardown=0.5)
    bench.plan("a1 b1")
    await asyncio.sleep(1.25)
    bench.plan("a1")
    bench.source.on_completed()
    assert "|" not in bench.values
    await asyncio.sleep(1.3)
    assert bench.log[-1] == "2.5 -a1"
    assert bench.values[-1] == "|"
    await bench.end()


async def test_it_completes_at_once_with_nothing_running() -> None:
    bench = Bench()
    bench.source.on_completed()
    assert bench.values == ["|"]


async def test_completion_waits_for_what_cleans_up() -> None:
    bench = Bench(teardown=3)
    bench.plan("a1")
    await asyncio.sleep(1)
    bench.plan("")
    bench.source.on_completed()
    await asyncio.sleep(2)
    assert bench.values[-1] != "|"
    await asyncio.sleep(2)
    assert bench.values[-1] == "|"


async def test_an_error_of_the_source_is_passed_on_and_ends_all() -> None:
    bench = Bench()
    bench.plan("a1")
    await asyncio.sleep(0.5)
    bench.source.on_error(RuntimeError("x"))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert bench.values == ["a1.0", "RuntimeError('x')"]
    assert bench.log == ["0 +a1", "0.5 -a1"]
    await bench.end()


async def test_without_keys_it_is_the_usual_switch_map() -> None:
    seen: list[int] = []

    async def count(item: int) -> AsyncGenerator[int, None]:
        for n in range(3):
            yield 10 * item + n
            await asyncio.sleep(1)

    tasks = Tasks(lambda where, error: pytest.fail(repr(error)))
    source: Subject[list[int]] = Subject()
    stream = source.pipe(
        switch_map(
            count,
            tasks,
            lambda where, error: pytest.fail(repr(error)),
            LoopTimers(asyncio.get_running_loop()),
        )
    )
    stream.subscribe(seen.append)
    source.on_next([1])
    await asyncio.sleep(1.5)
    source.on_next([2])
    await asyncio.sleep(5)
    assert seen == [10, 11, 20, 21, 22]
    assert len(tasks) == 0


steps = st.lists(
    st.tuples(
        st.integers(0, 3),  # quarter seconds to the next plan
        st.dictionaries(st.sampled_from("abc"), st.integers(1, 3)),
        st.integers(0, 4),  # quarter seconds of clean-up from now on
    ),
    max_size=25,
)


@given(steps)
@example([(0, {"a": 1}, 3), (1, {}, 3), (1, {"a": 2}, 3), (0, {}, 3), (1, {"a": 3}, 3)])
def test_never_two_open_streams_of_one_key(plans: list[tuple[int, dict[str, int], int]]) -> None:
    """Whatever the plans and clean-ups; and in the end exactly the last plan runs."""

    async def main() -> None:
        bench = Bench(limit=1000)
        wanted: dict[str, int] = {}
        for pause, wanted, teardown in plans:
            await asyncio.sleep(pause * 0.25)
            bench.teardown = teardown * 0.25
            bench.source.on_next([Item(key, version) for key, version in wanted.items()])
        await asyncio.sleep(10)
        assert max(bench.most.values(), default=0) <= 1
        assert bench.open == Counter(dict.fromkeys(wanted, 1))
        last = {line.split("+")[1][0]: line.split("+")[1] for line in bench.log if "+" in line}
        assert {key: last[key] for key in wanted} == {key: f"{key}{v}" for key, v in wanted.items()}
        assert bench.slow == [] and bench.faults == []
        bench.teardown = 0
        await bench.end()

    run_virtual(main())


async def test_what_is_over_is_let_go() -> None:  # G3
    bench = Bench(teardown=0.2)
    for version in range(100):  # each waits for the one before, and is ended as it waits
        bench.plan(f"a{version} b{version}")
        await asyncio.sleep(0.05)
    gc.collect()
    there = sum(isinstance(each, Item) for each in gc.get_objects())
    assert there <= 20, f"{there} of 200 items are still held"
    await bench.end()
