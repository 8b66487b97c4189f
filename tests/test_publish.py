"""``publish``: many can watch, none can spoil."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

import reactivex
from reactivex import operators as ops
from reactivex.subject import Subject

from foretell.operators.publish import Published, publish


class Bench:
    def __init__(self, current: Callable[[], Iterable[str]] | None = None) -> None:
        self.faults: list[str] = []
        self.source: Subject[str] = Subject()
        self.stream: Published[str] = self.source.pipe(publish(self.fault, current))
        self.stream.connect()
        self.seen: list[str] = []

    def fault(self, where: str, error: BaseException) -> None:
        self.faults.append(f"{where}: {error}")

    def watch(self, name: str, raises: str = "") -> reactivex.abc.DisposableBase:
        def on_next(item: str) -> None:
            self.seen.append(f"{name}{item}")
            if item == raises:
                raise RuntimeError(f"{name} at {item}")

        return self.stream.subscribe(on_next, on_completed=lambda: self.seen.append(f"{name}|"))

    def push(self, items: str) -> str:
        for item in items:
            self.source.on_next(item)
        seen, self.seen = self.seen, []
        return " ".join(seen)


def test_subscribers_are_called_in_the_order_they_came() -> None:
    bench = Bench()
    for name in "123":
        bench.watch(name)
    assert bench.push("ab") == "1a 2a 3a 1b 2b 3b"


def test_one_whose_own_task_was_cancelled_ends_nobody_elses() -> None:  # G10
    bench = Bench()

    def reads(item: str) -> None:
        raise asyncio.CancelledError

    bench.stream.subscribe(reads)
    bench.watch("2")
    assert bench.push("ab") == "2a 2b"
    assert bench.faults == ["subscriber: ", "subscriber: "]


def test_one_that_raises_is_told_of_goes_on_and_costs_the_others_nothing() -> None:  # G10
    bench = Bench()
    bench.watch("1", raises="b")
    bench.watch("2")
    assert bench.push("abc") == "1a 2a 1b 2b 1c 2c"
    assert bench.faults == ["subscriber: 1 at b"]


def test_one_behind_an_operator_that_raises_goes_on_too() -> None:  # G10
    bench = Bench()

    def bad(item: str) -> None:
        bench.seen.append(f"1{item}")
        if item == "A":
            raise RuntimeError("at A")

    bench.stream.pipe(ops.map(str.upper)).subscribe(bad)
    bench.watch("2")
    assert bench.push("ab") == "1A 2a 1B 2b"
    assert bench.faults == ["subscriber: at A"]


def test_an_observer_object_that_raises_is_contained_too() -> None:  # G10
    bench = Bench()

    class Bad(reactivex.Observer[str]):
        def _on_next_core(self, value: str) -> None:
            raise RuntimeError(value)

    bench.stream.subscribe(Bad())
    bench.watch("2")
    assert bench.push("ab") == "2a 2b"
    assert bench.faults == ["subscriber: a", "subscriber: b"]


def test_what_a_subscriber_brings_about_waits_until_all_have_seen_what_it_answers() -> None:
    bench = Bench()
    bench.stream.subscribe(lambda item: bench.source.on_next("!") if item == "a" else None)
    bench.watch("1")
    bench.watch("2")
    assert bench.push("ab") == "1a 2a 1! 2! 1b 2b"


def test_an_end_that_a_subscriber_brings_about_comes_after_the_item() -> None:
    bench = Bench()
    bench.stream.subscribe(lambda item: bench.source.on_completed())
    bench.watch("1")
    assert bench.push("a") == "1a 1|"


def test_a_late_one_gets_the_present_first_and_alone() -> None:
    present = ["x", "y"]
    bench = Bench(lambda: present)
    bench.watch("1")
    bench.push("a")
    bench.watch("2")
    assert bench.push("b") == "2x 2y 1b 2b"


def test_one_that_subscribes_while_an_item_is_handed_on_gets_the_present_not_the_item() -> None:
    present: list[str] = []
    bench = Bench(lambda: present)

    def keeps(item: str) -> None:
        present[:] = [item.upper()]
        if item == "a":
            bench.watch("2")

    bench.stream.subscribe(keeps)
    assert bench.push("ab") == "2A 2b"


def test_leaving_inside_on_next_stops_at_once_and_disturbs_nobody() -> None:
    bench = Bench()

    def leaves(item: str) -> None:
        bench.seen.append(f"1{item}")
        subscription.dispose()

    subscription = bench.stream.subscribe(leaves)
    bench.watch("2")
    assert bench.push("ab") == "1a 2a 2b"


def test_one_made_to_leave_by_another_misses_the_item_under_way() -> None:
    bench = Bench()
    bench.stream.subscribe(lambda item: second.dispose())
    second = bench.watch("2")
    bench.watch("3")
    assert bench.push("ab") == "3a 3b"


def test_one_that_leaves_cancels_nothing() -> None:
    bench = Bench()
    bench.watch("1").dispose()
    bench.watch("2")
    assert bench.push("a") == "2a"


def test_all_complete_even_if_one_raises_at_it() -> None:  # G10
    bench = Bench()

    def bad() -> None:
        raise RuntimeError("at the end")

    bench.stream.subscribe(on_completed=bad)
    bench.watch("2")
    bench.source.on_completed()
    assert bench.push("") == "2|"
    assert bench.faults == ["subscriber: at the end"]


def test_one_that_comes_after_the_end_completes_at_once() -> None:
    bench = Bench(lambda: ["x"])
    bench.source.on_completed()
    bench.watch("1")
    assert bench.push("") == "1|"


def test_an_error_of_the_source_is_told_and_completes() -> None:
    bench = Bench()
    bench.watch("1")
    bench.source.on_error(RuntimeError("broken"))
    assert bench.push("") == "1|"
    assert bench.faults == ["stream: broken"]


def test_nothing_flows_before_it_is_connected() -> None:
    source: Subject[str] = Subject()
    stream = source.pipe(publish(lambda where, error: None))
    seen: list[str] = []
    stream.subscribe(seen.append)
    source.on_next("a")
    connection = stream.connect()
    source.on_next("b")
    connection.dispose()
    source.on_next("c")
    assert seen == ["b"]
