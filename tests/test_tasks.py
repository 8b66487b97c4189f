"""The work of a session: what comes from outside waits until it has come to rest."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from foretell.streams.tasks import Tasks
from foretell.streams.timers import LoopTimers, sleep, timeout, wait
from foretell.testing import instant


class Bench:
    def __init__(self) -> None:
        self.log: list[str] = []
        self.tasks = Tasks(lambda where, error: self.log.append(f"{where}: {error}"))

    def say(self, word: str) -> Callable[[], None]:
        """Something from outside that leaves a word, and whether it came along with another."""

        def taken_in() -> None:
            self.log.append(f"{word}+" if self.tasks.along else word)
            self.tasks.first, self.tasks.along = False, True

        return taken_in


async def test_at_rest_it_is_taken_in_with_the_next_step_and_in_one_go() -> None:
    bench = Bench()
    for word in "abc":
        bench.tasks.take_in(bench.say(word))
    assert bench.log == []
    await asyncio.sleep(0)
    assert bench.log == ["a", "b+", "c+"]
    bench.tasks.take_in(bench.say("d"))
    await asyncio.sleep(0)
    assert bench.log[3:] == ["d"]


async def test_at_rest_it_may_be_taken_in_at_once_but_passes_nothing() -> None:
    bench = Bench()
    bench.tasks.take_in_now(bench.say("a"))
    assert bench.log == ["a"]
    bench.tasks.take_in(bench.say("b"))
    bench.tasks.take_in_now(bench.say("c"))
    assert bench.log == ["a"]
    await asyncio.sleep(0)
    assert bench.log == ["a", "b", "c+"]
    bench.tasks.soon(lambda: bench.log.append("own"))
    bench.tasks.take_in_now(bench.say("d"))
    await instant()
    assert bench.log[3:] == ["own", "d"]
    bench.tasks.held = True
    bench.tasks.take_in_now(bench.say("e"))
    await instant()
    assert bench.log[-1] == "d"


async def test_it_waits_until_all_own_work_waits_for_something_else() -> None:  # G9
    bench = Bench()
    bell = asyncio.Event()

    async def work() -> None:
        for step in range(5):
            bench.log.append(str(step))
            await asyncio.sleep(0)
        await bell.wait()
        bench.log.append("rung")

    bench.tasks.start(work(), name="work")
    bench.tasks.take_in(bell.set)
    bench.tasks.take_in(bench.say("a"))
    assert not bench.tasks.at_rest
    await instant()
    assert bench.log == ["0", "1", "2", "3", "4", "a", "rung"]
    assert bench.tasks.at_rest and len(bench.tasks) == 0


async def test_what_it_brings_about_comes_before_what_comes_next() -> None:
    bench = Bench()

    def first() -> None:
        bench.tasks.take_in(bench.say("second"))
        bench.tasks.soon(lambda: bench.tasks.soon(lambda: bench.log.append("own")))

    bench.tasks.take_in(first)
    await instant()
    assert bench.log == ["own", "second"]


async def test_the_end_of_a_task_is_own_work_until_all_have_heard_of_it() -> None:
    bench = Bench()
    bell = asyncio.Event()
    ended = bench.tasks.start(bell.wait(), name="first")

    async def after() -> None:
        await wait(LoopTimers(asyncio.get_running_loop()), "after", [ended], 9)
        bench.log.append("after")

    bench.tasks.start(after(), name="second")
    await instant()
    bench.tasks.take_in(bell.set)
    bench.tasks.take_in(lambda: bench.tasks.take_in(bench.say("a")))
    await instant()
    assert bench.log == ["after", "a"]


async def test_an_outside_task_holds_nothing_up_and_its_fault_comes_in_like_the_rest() -> None:
    bench = Bench()

    async def outside() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        raise ValueError("bug")

    bench.tasks.start(outside(), name="reader", outside=True)
    bench.tasks.take_in(bench.say("a"))
    await asyncio.sleep(0)
    assert bench.log == ["a"]
    await instant()
    assert bench.log == ["a", "reader: bug"]


async def test_what_raises_while_it_is_taken_in_is_reported_and_the_next_has_its_turn() -> None:
    bench = Bench()
    told: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: told.append(what))
    bench.tasks.take_in(partial(int, "x"))  # type: ignore[arg-type]
    bench.tasks.take_in(bench.say("a"))
    await asyncio.sleep(0)
    assert bench.log == ["a"]
    assert isinstance(told[0]["exception"], ValueError)


async def test_held_it_takes_nothing_in() -> None:
    bench = Bench()
    bench.tasks.held = True
    bench.tasks.take_in(bench.say("a"))
    await instant()
    assert bench.log == []


async def test_closing_takes_in_what_came_until_then() -> None:
    bench = Bench()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            bench.tasks.take_in(bench.say("gone"))

    bench.tasks.start(work(), name="work", outside=True)
    await instant()
    await bench.tasks.aclose()
    assert bench.log == ["gone"]


async def test_an_alarm_that_is_cancelled_before_it_is_taken_in_does_not_go_off() -> None:
    bench = Bench()
    timers = LoopTimers(asyncio.get_running_loop(), bench.log.append, bench.tasks.take_in)
    late, later = (timers.alarm(name, partial(bench.log.append, name)) for name in "ab")
    late.set(1.0)
    later.set(1.0)

    async def busy() -> None:
        await sleep(LoopTimers(asyncio.get_running_loop()), "busy", 1.0)
        for _ in range(3):
            await asyncio.sleep(0)
        late.cancel()
        later.set(2.0)

    bench.tasks.start(busy(), name="busy")
    await asyncio.sleep(1.5)
    assert bench.log == []
    await asyncio.sleep(1)
    assert bench.log == ["b", "b"]  # told, then done


async def test_a_timeout_that_is_taken_in_ends_its_block_and_no_more() -> None:
    bench = Bench()
    timers = LoopTimers(asyncio.get_running_loop(), take_in=bench.tasks.take_in)

    async def work() -> None:
        try:
            async with timeout(timers, "outer", 5):
                with pytest.raises(TimeoutError):
                    async with timeout(timers, "inner", 1):
                        await asyncio.sleep(9)
                bench.log.append("inner")
                await asyncio.sleep(9)
        except TimeoutError:
            task = asyncio.current_task()
            bench.log.append(f"outer {task and task.cancelling()}")

    task = bench.tasks.start(work(), name="work")
    await task
    assert bench.log == ["inner", "outer 0"]
    assert asyncio.get_running_loop().time() == 5


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks begin eagerly from 3.12 on")
async def test_a_loop_that_begins_tasks_at_once_changes_no_order() -> None:
    bench = Bench()
    asyncio.get_running_loop().set_task_factory(getattr(asyncio, "eager_task_factory", None))

    async def work() -> None:
        bench.log.append("work")

    bench.tasks.start(work(), name="work")
    bench.log.append("started")
    await instant()
    assert bench.log == ["started", "work"]


async def test_those_that_are_late_at_the_end_are_cancelled_in_the_order_they_began() -> None:
    tasks = Tasks(lambda where, error: None)  # 3-38
    ended: list[int] = []

    async def stubborn(number: int) -> None:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            try:
                await asyncio.sleep(60)  # cleans up, and takes its time
            finally:
                ended.append(number)

    for number in range(40):
        tasks.start(stubborn(number), name=f"task {number}")
    await asyncio.sleep(0)
    await tasks.aclose(patience=0.1)
    assert ended == list(range(40))
