"""The clock: virtual time jumps, Rx follows it, and nothing waits for ever unseen."""

from __future__ import annotations

import asyncio

import pytest
import reactivex
from reactivex import operators as ops

from foretell.streams.clock import LoopScheduler, VirtualDeadlock, VirtualLoop, run_virtual


async def test_time_starts_at_zero_and_jumps_to_the_next_timer() -> None:
    loop = asyncio.get_running_loop()
    seen = []
    loop.call_later(3.0, lambda: seen.append(("three", loop.time())))
    loop.call_later(1.5, lambda: seen.append(("one and a half", loop.time())))
    await asyncio.sleep(4)
    assert seen == [("one and a half", 1.5), ("three", 3.0)]
    assert loop.time() == 4


async def test_a_sleep_longer_than_a_day_ends() -> None:
    await asyncio.sleep(90_000)
    assert asyncio.get_running_loop().time() == 90_000


async def test_timers_go_on_after_years() -> None:
    await asyncio.sleep(10 * 365 * 86_400)
    before = asyncio.get_running_loop().time()
    for _ in range(3):
        await asyncio.sleep(0.1)
    assert asyncio.get_running_loop().time() - before == pytest.approx(0.3)


async def test_what_is_ready_runs_before_time_moves() -> None:
    loop = asyncio.get_running_loop()
    times = []

    async def busy() -> None:
        for _ in range(1000):
            await asyncio.sleep(0)
        times.append(loop.time())

    task = asyncio.create_task(busy())
    await asyncio.sleep(0.001)
    await task
    assert times == [0.0]


async def test_a_cancelled_timer_does_not_move_the_clock() -> None:
    loop = asyncio.get_running_loop()
    loop.call_later(5, lambda: None).cancel()
    await asyncio.sleep(20)
    assert loop.time() == 20

    async with asyncio.timeout(1000):
        await asyncio.sleep(1)
    assert loop.time() == 21


async def test_timeouts_follow_the_virtual_clock() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(3600):
            await asyncio.get_running_loop().create_future()
    assert asyncio.get_running_loop().time() == 3600


def test_a_wait_that_nothing_can_end_is_an_error() -> None:
    async def main() -> None:
        await asyncio.get_running_loop().create_future()

    with pytest.raises(VirtualDeadlock, match="no timer"):
        run_virtual(main())


def test_a_night_at_the_table_passes_in_a_blink_and_gives_its_result() -> None:
    async def main() -> float:
        for _ in range(60):
            await asyncio.sleep(60)
        return asyncio.get_running_loop().time()

    assert run_virtual(main()) == 3600


def trace() -> list[tuple[float, object]]:
    """Rx's own time operators on the loop's scheduler."""
    seen: list[tuple[float, object]] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        scheduler = LoopScheduler(loop)
        ticks = reactivex.interval(0.1, scheduler=scheduler).pipe(ops.take(20), ops.share())
        done = asyncio.Event()

        def saw(item: object) -> None:
            seen.append((loop.time(), item))

        ticks.pipe(ops.delay(0.25, scheduler=scheduler)).subscribe(saw, on_completed=done.set)
        fifths = ticks.pipe(ops.filter(lambda n: int(n) % 5 == 0))
        fifths.pipe(ops.debounce(0.2, scheduler=scheduler)).subscribe(
            lambda n: saw(f"debounced {n}")
        )
        ticks.pipe(ops.timestamp(scheduler=scheduler)).subscribe(
            lambda stamped: saw(stamped.timestamp.timestamp())
        )
        await done.wait()

    run_virtual(main())
    return seen


def test_rx_on_the_loop_scheduler_is_exact() -> None:  # G8, G9
    seen = trace()
    assert seen == trace()
    delayed = [(at, item) for at, item in seen if isinstance(item, int)]
    assert [item for _, item in delayed] == list(range(20))
    assert [at for at, _ in delayed] == pytest.approx([0.35 + 0.1 * n for n in range(20)])
    debounced = [(round(at, 6), item) for at, item in seen if isinstance(item, str)]
    assert debounced[:2] == [(0.3, "debounced 0"), (0.8, "debounced 5")]
    stamps = [(at, item) for at, item in seen if isinstance(item, float)]
    assert all(at == pytest.approx(item, abs=1e-6) for at, item in stamps)


async def test_the_interval_does_not_drift() -> None:
    scheduler = LoopScheduler(asyncio.get_running_loop())
    times: list[float] = []
    every = reactivex.interval(0.1, scheduler=scheduler).subscribe(
        lambda _: times.append(scheduler.time())
    )
    await asyncio.sleep(100.05)
    every.dispose()
    assert len(times) == 1000
    assert times[-1] == pytest.approx(100.0, abs=1e-3)


async def test_tests_are_on_the_virtual_loop() -> None:
    assert isinstance(asyncio.get_running_loop(), VirtualLoop)
