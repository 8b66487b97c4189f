"""Single flight: one call for all who want the same, whoever of them stays."""

from __future__ import annotations

import asyncio
import gc
from types import MappingProxyType
from typing import Any

import pytest

import foretell
from foretell.errors import ConfigError, StateError
from foretell.sinks.store_flight import ComputeError, Flight, StoreClosed
from foretell.sinks.store_guard import Condition
from foretell.sinks.store_layers import Limits
from foretell.sinks.store_scenarios import compute
from foretell.sinks.store_stats import Access
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
        number = self.calls
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
        return [{"plan": number}]


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


async def test_a_computation_that_cancels_itself_fails_those_who_wait_and_nobody_else() -> None:
    async def cancels(snapshot: Any) -> list[Any]:
        await asyncio.sleep(1)
        raise asyncio.CancelledError

    store = VariantStore()
    calls = (store.get_or_compute(SNAPSHOT, cancels) for _ in range(3))
    async with asyncio.timeout(10):
        got = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(each) for each in got] == [ComputeError] * 3
    assert await store.get_or_compute(SNAPSHOT, lambda snapshot: ["again"]) == ["again"]


async def test_what_computations_compute_in_their_turn_does_not_wait_for_them() -> None:
    store = VariantStore(Limits(computing=2))

    async def outer(snapshot: Any) -> list[Any]:
        return await store.get_or_compute({"inner": snapshot["n"]}, Maker())

    async with asyncio.timeout(20):
        calls = (store.get_or_compute({"n": n}, outer) for n in range(8))
        assert await asyncio.gather(*calls) == [[{"plan": 1}]] * 8


async def test_a_computation_that_asks_for_itself_is_told() -> None:
    store = VariantStore()

    async def around(snapshot: Any) -> list[Any]:
        return await store.get_or_compute(snapshot, around)

    async with asyncio.timeout(10):
        with pytest.raises(ComputeError, match="itself"):
            await store.get_or_compute(SNAPSHOT, around)


async def test_computations_that_never_end_hold_nobody_up_for_ever() -> None:  # G10
    store = VariantStore(Limits(computing=2, seconds=30))

    async def never(snapshot: Any) -> list[Any]:
        await asyncio.get_running_loop().create_future()
        return []

    stuck = [asyncio.create_task(store.get_or_compute({"n": n}, never)) for n in range(2)]
    await asyncio.sleep(0)
    async with asyncio.timeout(40):
        assert await store.get_or_compute({"n": 9}, lambda snapshot: ["there"]) == ["there"]
    got = await asyncio.gather(*stuck, return_exceptions=True)
    assert [type(each) for each in got] == [TimeoutError] * 2


OVER = [
    lambda store: store.invalidate("lore"),
    lambda store: store.invalidate("lo*"),
    lambda store: store.invalidate_path("actors", "goblin", "hp"),
    lambda store: store.changed({"actors": {"goblin": {"hp": 1}}}),
]


@pytest.mark.parametrize("over", OVER, ids=["tag", "pattern", "path", "state"])
async def test_what_is_untrue_before_it_is_made_is_not_kept(over: Any) -> None:  # G1, 1-39
    store, make = VariantStore(), Maker()
    store.changed({"actors": {"goblin": {"hp": 9}}})
    about: dict[str, Any] = {"tags": ["lore"], "depends": [("actors", "goblin")]}
    first = asyncio.create_task(store.get_or_compute(SNAPSHOT, make, **about))
    await asyncio.sleep(0.5)
    assert over(store) == 1
    assert await store.get_or_compute(SNAPSHOT, make, **about) == [{"plan": 2}]
    assert await first == [{"plan": 1}]
    assert await store.get_or_compute(SNAPSHOT, make, **about) == [{"plan": 2}]


async def test_what_was_begun_before_all_was_cleared_is_not_kept() -> None:
    store, make = VariantStore(), Maker()
    first = asyncio.create_task(store.get_or_compute(SNAPSHOT, make))
    await asyncio.sleep(0.5)
    store.clear()
    await first
    assert len(store) == 0


async def test_what_others_change_leaves_a_computation_good() -> None:  # G1
    store, make = VariantStore(), Maker()
    store.changed({"actors": {"goblin": {"hp": 9}, "wolf": {"hp": 9}}})
    first = asyncio.create_task(
        store.get_or_compute(SNAPSHOT, make, depends=[("actors", "goblin")])
    )
    await asyncio.sleep(0.5)
    store.changed({"actors": {"goblin": {"hp": 9}, "wolf": {"hp": 8}}})
    assert store.invalidate("others") == 0
    await first
    assert len(store) == 1


async def test_who_joins_is_served_what_its_own_state_allows() -> None:  # 3-31
    store, make = VariantStore(), Maker()
    alive = [Condition(("hp",), "above", 0)]
    states = [{"x": 1, "hp": 3, "max_hp": 3}, {"x": 2, "hp": 3, "max_hp": 3}]
    below = [Condition(("x",), "below", 2)]
    calls = (store.get_or_compute(each, make, guard=[*alive, *below]) for each in states)
    assert await asyncio.gather(*calls) == [[{"plan": 1}], [{"plan": 2}]]
    assert store.stats().flights["joined"] == 0


async def test_a_computation_is_for_its_fingerprint_and_for_its_turn() -> None:  # G1, 0-12
    store, make = VariantStore(), Maker()
    calls = (store.get_or_compute(SNAPSHOT, make, fingerprint=each) for each in ("a", "b", "a"))
    assert await asyncio.gather(*calls) == [[{"plan": 1}], [{"plan": 2}], [{"plan": 1}]]
    assert await store.get_or_compute(SNAPSHOT, make, fingerprint="b") == [{"plan": 2}]


async def test_what_is_computed_for_a_turn_is_kept_as_long_as_the_turn() -> None:  # 0-12
    store, make = VariantStore(), Maker()
    await store.get_or_compute({"n": 1}, make, turn="t1", ttl=5)
    late = asyncio.create_task(store.get_or_compute({"n": 2}, make, turn="t2", ttl=5))
    await asyncio.sleep(0.5)
    store.end_turn("t2")
    await late
    await asyncio.sleep(20)
    assert await store.get_or_compute({"n": 1}, make) == [{"plan": 1}]
    assert await store.get_or_compute({"n": 2}, make) == [{"plan": 3}], "its turn was over"


async def test_what_is_no_list_or_is_for_nothing_is_refused() -> None:
    store = VariantStore()
    with pytest.raises(StateError, match="list"):
        await store.get_or_compute({"n": 1}, lambda snapshot: "a text")  # type: ignore[arg-type,return-value]
    with pytest.raises(StateError, match="list"):
        store.store("k", "a text")
    with pytest.raises(StateError, match="nothing"):
        await store.get_or_compute(None, lambda snapshot: ["a"])


async def test_a_warm_up_counts_as_no_look_up_and_leaves_what_is_there_where_it_is() -> (
    None
):  # 1-41
    heard: list[Access] = []
    store = VariantStore(on_access=heard.append)
    snapshots = [{"n": number} for number in range(3)]
    for _ in range(2):
        assert await compute(store, snapshots, lambda snapshot: [snapshot["n"]]) == 3
    stats = store.stats()
    assert (stats.hits, stats.misses, stats.near["lookups"], heard) == (0, 0, 0, [])
    assert (stats.layers["warm"].entries, stats.flights["computed"]) == (3, 3)
    assert await store.get_or_compute({"n": 1}, lambda snapshot: ["new"]) == [1]
    assert store.stats().hit_rate() == 1.0


async def test_a_miss_is_told_of_by_the_name_that_it_is_stored_under() -> None:  # 1-38
    store = VariantStore()
    await store.get_or_compute({"n": 1}, lambda snapshot: ["a"], scope="plan")
    await store.get_or_compute({"n": 1}, lambda snapshot: ["a"], scope="plan")
    name = store.name_of({"n": 1}, "plan")
    assert [(each.key, each.level) for each in store.recent] == [(name, None), (name, "warm")]


async def test_a_snapshot_may_be_of_any_mappings() -> None:
    store = VariantStore()
    frozen = MappingProxyType({"a": MappingProxyType({"b": (1, 2)})})
    assert await store.get_or_compute(frozen, lambda snapshot: ["made"]) == ["made"]
    assert await store.get_or_compute({"a": {"b": [1, 2]}}, lambda snapshot: ["new"]) == ["made"]
    assert store.name_of(frozen) == store.name_of({"a": {"b": [1, 2]}})


async def test_what_is_computed_when_the_session_ends_is_not_pinned_for_ever() -> None:  # G3
    store, make = VariantStore(), Maker()
    late = asyncio.create_task(store.get_or_compute(SNAPSHOT, make, turn="t1", ttl=5))
    await asyncio.sleep(0.5)
    store.end_session()
    await late
    assert store.stats().layers["warm"].pinned == 0
    await asyncio.sleep(6)
    assert store.stats().layers["warm"].entries == 0


async def test_what_nobody_waits_for_any_more_is_not_begun() -> None:  # G3
    store, make = VariantStore(Limits(computing=2)), Maker()
    callers = [
        asyncio.create_task(store.get_or_compute({"tick": tick}, make)) for tick in range(400)
    ]
    again = asyncio.create_task(store.get_or_compute({"tick": 399}, make))
    await asyncio.sleep(0.5)
    for caller in callers:
        caller.cancel()
    await asyncio.gather(*callers, return_exceptions=True)
    assert len(store._flights) == 3, "two have begun, and one is waited for"
    asked_at = asyncio.get_running_loop().time()
    await store.get_or_compute({"the player": "asks"}, make)
    assert asyncio.get_running_loop().time() - asked_at == 1.5
    assert (await again, make.calls, make.cancelled) == ([{"plan": 3}], 4, 0)
    assert await store.get_or_compute({"tick": 5}, make) == [{"plan": 5}], "it can be asked again"


async def test_who_joins_gets_variants_of_its_own() -> None:  # 3-37
    store = VariantStore()

    async def make(snapshot: Any) -> list[Any]:
        await asyncio.sleep(1)
        return [{"steps": [1]}]

    first, second = await asyncio.gather(*(store.get_or_compute({"a": 1}, make) for _ in range(2)))
    first[0]["steps"].clear()
    first.clear()
    assert second == [{"steps": [1]}] == await store.get_or_compute({"a": 1}, make)


async def test_what_is_computed_is_for_the_snapshot_as_it_was_asked_for() -> None:  # G1
    store = VariantStore()
    snapshot = {"who": "grik", "pos": [10, 10], "conditions": []}

    async def make(given: Any) -> list[Any]:
        await asyncio.sleep(1)
        return [f"at {given['pos']}, {given['conditions']}"]

    asked = asyncio.create_task(store.get_or_compute(snapshot, make))
    await asyncio.sleep(0.5)
    snapshot |= {"pos": [90, 90]}
    snapshot["conditions"].append("prone")  # type: ignore[attr-defined]
    assert await asked == ["at [10, 10], []"]
    anew = await store.get_or_compute(snapshot, lambda given: ["made anew"])
    assert anew == ["made anew"]
    before = {"who": "grik", "pos": [10, 10], "conditions": []}
    assert await store.get_or_compute(before, make) == ["at [10, 10], []"]
    assert store.stats().flights["computed"] == 2


async def test_a_snapshot_altered_while_it_waits_for_room_is_computed_as_it_was() -> None:  # G1
    store, busy = VariantStore(Limits(computing=1)), Maker()
    first = asyncio.create_task(store.get_or_compute({"n": 0}, busy))
    await asyncio.sleep(0.1)
    snapshot = {"n": "a"}
    asked = [
        asyncio.create_task(store.get_or_compute(each, lambda given: [f"for {given['n']}"]))
        for each in (snapshot, {"n": "a"})
    ]
    await asyncio.sleep(0.1)
    snapshot["n"] = "b"
    assert await asyncio.gather(*asked) == [["for a"], ["for a"]]
    await first


async def test_a_view_of_a_state_that_cannot_be_copied_is_computed_for_all_the_same() -> None:
    store, there = VariantStore(), {"n": {"at": "mill"}}
    view = MappingProxyType(there)

    async def make(given: Any) -> list[Any]:
        await asyncio.sleep(1)
        return [given["n"]["at"]]

    asked = asyncio.create_task(store.get_or_compute(view, make))
    await asyncio.sleep(0.5)
    there["n"]["at"] = "tower"
    assert await asked == ["mill"]


@pytest.mark.parametrize(
    "given",
    [
        lambda _: (f"text {number}" for number in range(2)),
        lambda _: map("text {}".format, range(2)),
        lambda _: {"text 0": 0, "text 1": 1}.keys(),
    ],
    ids=["generator", "map", "keys"],
)
async def test_what_can_be_read_once_is_served_to_all_and_kept(given: Any) -> None:
    store = VariantStore()
    asked = [store.get_or_compute(SNAPSHOT, given) for _ in range(2)]
    assert await asyncio.gather(*asked) == [["text 0", "text 1"]] * 2
    assert await store.get_or_compute(SNAPSHOT, Maker()) == ["text 0", "text 1"]


async def test_what_goes_wrong_while_it_is_read_is_told_and_not_kept() -> None:
    def broken(_: Any) -> Any:
        yield "text"
        raise TypeError("of the game's own")

    store = VariantStore()
    with pytest.raises(TypeError, match="own"):
        await store.get_or_compute(SNAPSHOT, broken)
    assert len(store) == 0


async def test_what_each_computation_begins_in_the_background_is_bounded() -> None:  # G3
    store, tasks = VariantStore(Limits(computing=2)), list[asyncio.Task[Any]]()
    maker = Maker()

    async def make(given: Any) -> list[Any]:
        if given["n"] < 100:
            following = store.get_or_compute({"n": given["n"] + 1}, make)
            tasks.append(asyncio.create_task(following))
        return await maker(given)

    await store.get_or_compute({"n": 0}, make)
    while len(tasks) < 100 or not tasks[-1].done():  # noqa: ASYNC110
        await asyncio.sleep(1)
    assert maker.calls == 101 and maker.most <= 16


async def test_of_a_chain_of_computations_what_has_landed_is_let_go() -> None:  # G3
    store, held, tasks = VariantStore(), list[int](), set[asyncio.Task[Any]]()
    done = asyncio.Event()

    async def make(given: Any) -> list[Any]:
        if given["n"] < 50:  # the next begins as this one ends
            asyncio.get_running_loop().call_later(0.1, begin, given["n"] + 1)
        else:
            gc.collect()
            held.append(sum(isinstance(each, Flight) for each in gc.get_objects()))
            done.set()
        return ["x"]

    def begin(number: int) -> None:
        task = asyncio.create_task(store.get_or_compute({"n": number}, make))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    begin(0)
    await done.wait()
    assert held[0] <= 3


async def test_what_is_computed_deep_within_computations_does_not_wait_for_them() -> None:
    store = VariantStore(Limits(computing=1, seconds=60))

    async def make(given: Any) -> list[Any]:
        left = given["n"] - 1
        return ["end"] if not left else await store.get_or_compute({"n": left}, make)

    assert await store.get_or_compute({"n": 8}, make) == ["end"]
    with pytest.raises(TimeoutError):
        await store.get_or_compute({"n": 20}, make)


async def test_what_a_source_raises_is_told_when_what_it_gave_has_been_made() -> None:  # 1-40
    async def source() -> Any:
        yield {"n": 1}
        await asyncio.sleep(0.1)
        raise OSError("no more")

    store, make = VariantStore(), Maker()
    with pytest.raises(OSError, match="no more"):
        await compute(store, source(), make)
    assert (make.calls, make.cancelled, len(store)) == (1, 0, 1)


async def test_what_is_no_source_is_told_so() -> None:
    async with foretell.Game() as game:
        with pytest.raises(ConfigError, match="not 5"):
            await game.warm_up(5, Maker())  # type: ignore[arg-type]
