"""``settle``: quiet, never starved, and no move waits."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reactivex import abc
from reactivex.subject import Subject

from foretell.operators.settle import settle
from foretell.streams.clock import run_virtual
from foretell.streams.timers import LoopTimers

QUIET, MAX = 0.25, 1.0


class Settled:
    """A source, what came out of it and when."""

    def __init__(
        self,
        quiet: float = QUIET,
        max_wait: float = MAX,
        flush: Callable[[str], bool] = str.isupper,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.source: Subject[str] = Subject()
        self.seen: list[tuple[float, str]] = []
        stream = self.source.pipe(settle(quiet, max_wait, LoopTimers(self.loop), flush))
        self.subscription: abc.DisposableBase = stream.subscribe(
            self.saw, lambda error: self.saw(repr(error)), lambda: self.saw("|")
        )

    def saw(self, item: str) -> None:
        self.seen.append((round(self.loop.time(), 6), item))

    async def play(self, *items: tuple[float, str]) -> None:
        """Each item at its time; then long enough for all that may follow."""
        for when, item in items:
            await asyncio.sleep(when - self.loop.time())
            if item == "|":
                self.source.on_completed()
            elif item == "#":
                self.source.on_error(RuntimeError("x"))
            else:
                self.source.on_next(item)
        await asyncio.sleep(5)

    def timers(self) -> int:
        return sum(not timer.cancelled() for timer in self.loop._scheduled)  # type: ignore[attr-defined]


async def test_the_latest_passes_once_the_source_is_quiet() -> None:
    run = Settled()
    await run.play((0.0, "a"), (0.1, "b"), (0.2, "c"), (1.0, "d"))
    assert run.seen == [(0.45, "c"), (1.25, "d")]
    assert run.timers() == 0


async def test_a_steady_sixty_a_second_does_not_starve() -> None:  # 0-1
    run = Settled()
    await run.play(*[(n / 60, f"s{n}") for n in range(600)])
    times = [when for when, _ in run.seen]
    assert len(times) == 10
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert max(gaps) <= MAX + 1 / 60 + 1e-6
    for when, item in run.seen:  # what passes is fresh
        assert when - int(item[1:]) / 60 <= QUIET + 1e-6
    assert run.seen[-1][1] == "s599"
    assert run.timers() == 0


async def test_a_move_passes_at_once_and_replaces_what_waits() -> None:
    run = Settled()
    await run.play((0.0, "a"), (0.1, "MOVE"), (0.2, "b"))
    assert run.seen == [(0.1, "MOVE"), (0.45, "b")]


async def test_the_longest_wait_counts_from_the_first_item_after_a_move() -> None:
    run = Settled(quiet=0.25, max_wait=0.5)
    moves = [(n / 8, "MOVE" if n == 2 else f"s{n}") for n in range(8)]
    await run.play(*moves)
    assert run.seen[0] == (0.25, "MOVE")
    assert run.seen[1][0] == 0.375 + 0.5
    assert run.seen[-1][1] == "s7"


async def test_moves_in_one_instant_each_pass() -> None:
    run = Settled()
    run.source.on_next("A")
    run.source.on_next("B")
    run.source.on_next("c")
    run.source.on_next("D")
    assert run.seen == [(0.0, "A"), (0.0, "B"), (0.0, "D")]
    assert run.timers() == 0


async def test_completion_passes_on_what_waits() -> None:
    run = Settled()
    await run.play((0.0, "a"), (0.1, "|"))
    assert run.seen == [(0.1, "a"), (0.1, "|")]
    assert run.timers() == 0


async def test_completion_with_nothing_waiting_only_completes() -> None:
    run = Settled()
    await run.play((0.0, "A"), (0.1, "|"))
    assert run.seen == [(0.0, "A"), (0.1, "|")]


async def test_an_error_drops_what_waits() -> None:
    run = Settled()
    await run.play((0.0, "a"), (0.1, "#"))
    assert run.seen == [(0.1, "RuntimeError('x')")]
    assert run.timers() == 0


async def test_disposal_drops_what_waits_and_leaves_no_timer() -> None:
    run = Settled()
    run.source.on_next("a")
    assert run.timers() == 1
    run.subscription.dispose()
    assert run.timers() == 0
    await asyncio.sleep(5)
    assert run.seen == []


async def test_one_timer_serves_any_number_of_items() -> None:
    run = Settled()
    for n in range(1000):
        run.source.on_next(f"s{n}")
    assert run.timers() == 1
    run.subscription.dispose()


async def test_no_quiet_at_all_still_passes_everything_on() -> None:
    run = Settled(quiet=0, max_wait=0)
    await run.play((0.0, "a"), (1.0, "b"))
    assert run.seen == [(0.0, "a"), (1.0, "b")]


@pytest.mark.parametrize(("quiet", "max_wait"), [(-1, 1), (2, 1)])
async def test_numbers_that_make_no_sense_are_refused(quiet: float, max_wait: float) -> None:
    with pytest.raises(ValueError, match="settle needs"):
        settle(quiet, max_wait, LoopTimers(asyncio.get_running_loop()))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=40),
    st.integers(0, 10),
    st.integers(0, 20),
)
def test_whatever_comes_the_last_item_passes_within_the_limits(
    steps: list[tuple[int, bool]], quiet: int, more: int
) -> None:
    """Items keep their order, none waits longer than ``max_wait``, the last one gets through."""
    unit = 0.0625  # exact in binary
    quiet_s, max_s = quiet * unit, (quiet + more) * unit

    async def main() -> None:
        run = Settled(quiet_s, max_s)
        items: list[tuple[float, str]] = []
        when = 0.0
        for n, (step, move) in enumerate(steps):
            when += step * unit
            items.append((when, f"M{n}" if move else f"s{n}"))
        await run.play(*items)
        numbers = [int(item[1:]) for _, item in run.seen]
        assert numbers == sorted(set(numbers))
        assert numbers[-1] == len(steps) - 1
        for number, (came, item) in enumerate(items):
            passed = next(at for at, other in run.seen if int(other[1:]) >= number)
            assert passed <= came + max_s
            if item.startswith("M"):
                assert (came, item) in run.seen
        assert run.timers() == 0

    run_virtual(main())
