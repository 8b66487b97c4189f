"""Single flight: one call for all who want the same, whoever of them stays."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from foretell.sinks.store_flight import StoreClosed
from foretell.sinks.store_shelves import Limits
from foretell.sinks.variant_store import VariantStore

SNAPSHOT = {"actors": {"goblin": {"pos": [10, 10]}}}


class Maker:
    """Takes a second; counts its calls and how they ended."""

    def __init__(self, error: Exception | None = None) -> None:
        self.calls = 0
        self.running = 0
        self.most = 0
        self.cancelled = 0
        self.error = error

    async def __call__(self, snapshot: Any) -> list[Any]:
        self.calls += 1
        self.running += 1
        self.most = max(self.most, self.running)
        try:
            await asyncio.sleep(1)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if self.error is not None:
            raise self.error
        return [{"plan": self.calls}]


async def test_twenty_callers_make_one_call() -> None:  # 3-37
    store, make = VariantStore(), Maker()
    got = await asyncio.gather(*(store.get_or_compute(SNAPSHOT, make) for _ in range(20)))
    assert make.calls == 1 and got == [[{"plan": 1}]] * 20
    got[0][0]["plan"] = "mine"
    assert await store.get_or_compute(SNAPSHOT, make) == [{"plan": 1}]
    stats = store.stats()
    assert stats.flights == {"computed": 1, "joined": 19, "failed": 0}
    assert (stats.hits, stats.misses) == (1, 20)


async def test_callers_for_near_states_share_a_call_too() -> None:  # 3-29
    store, make = VariantStore(), Maker()
    near = {"actors": {"goblin": {"pos": [12, 10]}}}
    far = {"actors": {"goblin": {"pos": [15, 10]}}}
    await asyncio.gather(*(store.get_or_compute(each, make) for each in (SNAPSHOT, near, far)))
    assert make.calls == 2


async def test_a_cancelled_first_caller_cancels_nobody_else() -> None:
    store, make = VariantStore(), Maker()
    callers = [asyncio.create_task(store.get_or_compute(SNAPSHOT, make)) for _ in range(3)]
    await asyncio.sleep(0.5)
    callers[0].cancel()
    got = await asyncio.gather(*callers, return_exceptions=True)
    assert isinstance(got[0], asyncio.CancelledError)
    assert got[1:] == [[{"plan": 1}]] * 2
    assert make.calls == 1 and make.cancelled == 0


async def test_what_nobody_waits_for_any_more_is_kept_for_the_next() -> None:
    store, make = VariantStore(), Maker()
    caller = asyncio.create_task(store.get_or_compute(SNAPSHOT, make))
    await asyncio.sleep(0.5)
    caller.cancel()
    await asyncio.sleep(1)
    assert await store.get_or_compute(SNAPSHOT, make) == [{"plan": 1}]
    assert make.calls == 1


async def test_errors_go_to_all_who_wait_and_are_not_kept() -> None:
    store, make = VariantStore(), Maker(ValueError("no"))
    calls = (store.get_or_compute(SNAPSHOT, make) for _ in range(3))
    got = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in got] == [ValueError] * 3 and make.calls == 1
    make.error = None
    assert await store.get_or_compute(SNAPSHOT, make) == [{"plan": 2}]
    assert store.stats().flights["failed"] == 1


async def test_an_error_that_nobody_waits_for_any_more_is_no_ones() -> None:
    store = VariantStore()
    caller = asyncio.create_task(store.get_or_compute(SNAPSHOT, Maker(ValueError("no"))))
    await asyncio.sleep(0.5)
    caller.cancel()
    await asyncio.sleep(1)


@pytest.mark.parametrize("after", [0.0, 0.5])
async def test_closing_the_store_ends_what_it_computes(after: float) -> None:
    store, make = VariantStore(), Maker()
    callers = [asyncio.create_task(store.get_or_compute(SNAPSHOT, make)) for _ in range(3)]
    await asyncio.sleep(after)
    await store.aclose()
    got = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(each) for each in got] == [StoreClosed] * 3
    assert make.running == 0 and make.cancelled == make.calls
    with pytest.raises(StoreClosed):
        await store.get_or_compute(SNAPSHOT, make)


async def test_a_store_closed_before_a_computation_began_tells_who_waits() -> None:
    store, make = VariantStore(Limits(computing=1)), Maker()
    others = [{"n": number} for number in range(3)]
    callers = [asyncio.create_task(store.get_or_compute(each, make)) for each in others]
    await asyncio.sleep(0.1)
    await store.aclose()
    got = await asyncio.gather(*callers, return_exceptions=True)
    assert [type(each) for each in got] == [StoreClosed] * 3 and make.calls == 1


async def test_so_many_computations_run_at_a_time_and_no_more() -> None:  # G3
    store, make = VariantStore(Limits(computing=3)), Maker()
    await asyncio.gather(*(store.get_or_compute({"n": n}, make) for n in range(10)))
    assert make.calls == 10 and make.most == 3


async def test_a_plain_function_will_do() -> None:
    store = VariantStore()
    assert await store.get_or_compute({"n": 1}, lambda snapshot: [snapshot["n"]]) == [1]
