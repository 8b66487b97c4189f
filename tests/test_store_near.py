"""Similarity keys: what is near is found, what is not is not, and values are the current ones."""

from __future__ import annotations

import asyncio
import math
import random
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.errors import ConfigError, StateError
from foretell.sinks.store_guard import Condition
from foretell.sinks.store_near import FEW, Near, NearIndex, NearKey
from foretell.sinks.store_parts import Part, parts_of, store_parts
from foretell.sinks.store_values import refilled
from foretell.sinks.variant_store import VariantStore


def at(*pos: float, **more: Any) -> dict[str, Any]:
    return {"actors": {"goblin": {"pos": list(pos), "hp": 7, "max_hp": 7, **more}}}


async def found(near: Near, kept: Any, asked: Any) -> bool:
    store = VariantStore(near=near)
    store.store("kept", ["kept"], snapshot=kept)
    made = await store.get_or_compute(asked, lambda snapshot: ["made"])
    return made == ["kept"]


async def test_ten_ten_and_twelve_ten_meet() -> None:  # 3-29, 3-30
    assert await found(Near(), at(10, 10), at(12, 10))
    assert not await found(Near(), at(10, 10), at(12.5, 10))
    assert await found(Near(5), at(10, 10), at(15, 5))


@pytest.mark.parametrize("tolerance", [-0.1, 5.1, float("nan")])
def test_a_tolerance_out_of_range_is_refused(tolerance: float) -> None:
    with pytest.raises(ConfigError, match="tolerance"):
        Near(tolerance)


async def test_identities_conditions_and_counts_are_exact() -> None:
    goblin = at(1, 1, conditions=["prone"], arrows=3)
    assert await found(Near(), goblin, at(2, 2, conditions=["prone"], arrows=3))
    assert not await found(Near(), goblin, at(1, 1, conditions=[], arrows=3))
    assert not await found(Near(), goblin, at(1, 1, conditions=["prone"], arrows=2))
    assert not await found(Near(), at(1, 1), {"actors": {"hag": at(1, 1)["actors"]["goblin"]}})


async def test_health_counts_by_band() -> None:
    assert await found(Near(), at(1, 1, hp=6), at(1, 1, hp=5))
    assert not await found(Near(), at(1, 1, hp=6), at(1, 1, hp=2))
    assert not await found(Near(), at(1, 1, hp=1), at(1, 1, hp=0))
    assert not await found(Near(bands=False), at(1, 1, hp=6), at(1, 1, hp=5))


async def test_numbers_without_a_largest_value_count_by_bands_of_a_width() -> None:
    near = Near(widths={"damage_taken": 50})

    def hurt(taken: float) -> dict[str, Any]:
        return {"health": {"damage_taken": taken}}

    assert await found(near, hurt(1), hurt(50))
    assert not await found(near, hurt(0), hurt(1))
    assert not await found(near, hurt(50), hurt(51))
    assert await found(Near(), hurt(1), hurt(2))
    assert not await found(Near(widths={}), hurt(1), hurt(2))


async def test_scopes_of_different_fingerprints_never_meet() -> None:  # G1
    store = VariantStore()
    one = await store.get_or_compute({"x": 1}, lambda s: ["1"], scope="b", fingerprint="a")
    for scope, mark in (("a\0b", ""), ("", "a\0b"), ("'a'b", ""), ("ab", "")):
        made = store.get_or_compute({"x": 1}, lambda s: ["2"], scope=scope, fingerprint=mark)
        assert one != await made


async def test_scopes_never_meet() -> None:
    store = VariantStore()
    store.store("kept", ["plan"], snapshot=at(1, 1), scope="plan")
    assert await store.get_or_compute(at(1, 1), lambda s: ["told"], scope="tell") == ["told"]


NUMBERS = st.one_of(
    st.integers(-100, 100).map(float),
    st.floats(-1e6, 1e6),
    st.sampled_from([0.0, 2.0, 4.0, -2.0, 1e9]),
)


@st.composite
def pairs(draw: st.DrawFn) -> tuple[float, list[float], list[float]]:
    tolerance = draw(st.sampled_from([0.5, 1.0, 2.0, 5.0]))
    some = draw(st.lists(NUMBERS, min_size=1, max_size=8))
    steps = st.one_of(
        st.floats(-tolerance, tolerance),
        st.sampled_from([tolerance, -tolerance, 2 * tolerance, -2.001 * tolerance]),
    )
    return tolerance, some, [each + draw(steps) for each in some]


@given(pairs())
def test_nothing_near_is_missed_and_nothing_far_is_matched(
    drawn: tuple[float, list[float], list[float]],
) -> None:  # 3-29, 3-32
    tolerance, some, others = drawn
    near = Near(tolerance)

    class Item:
        def __init__(self, key: NearKey) -> None:
            self.near: NearKey | None = key

    index: NearIndex[Item] = NearIndex(near)
    item = Item(near.key({"pos": some}))
    index.add(item)
    close = max(abs(a - b) for a, b in zip(some, others, strict=True)) <= tolerance
    matched = [*index.search(near.key({"pos": others}))]
    assert matched == ([item] if close else [])
    index.discard(item)
    assert not index._alike


@given(st.randoms(use_true_random=False), st.integers(0, 9), st.sampled_from([0.5, 2.0, 5.0]))
def test_of_many_all_that_are_near_are_found_and_nothing_else(
    rng: random.Random, numbers: int, tolerance: float
) -> None:  # 3-29, 3-30
    near = Near(tolerance)
    spread = rng.choice([tolerance, 4 * tolerance, 1e5])

    class Item:
        def __init__(self) -> None:
            drawn = (rng.choice([rng.uniform(0, spread), rng.randrange(5)]) for _ in range(numbers))
            self.near: NearKey | None = near.key({"pos": [*drawn]})

    index: NearIndex[Item] = NearIndex(near)
    items: list[Item] = []
    for _ in range(3 * FEW):
        if len(items) > FEW + 5 and rng.random() < 0.3:
            index.discard(items.pop(rng.randrange(len(items))))
        items.append(Item())
        index.add(items[-1])
    for _ in range(5):
        asked = Item().near
        assert asked is not None
        wanted = {each for each in items if each.near and asked.distance(each.near) <= tolerance}
        matched = [*index.search(asked)]
        assert set(matched) == wanted and len(matched) == len(wanted)
    for item in items:
        index.discard(item)
    assert not index._alike and not index._crowds


def test_what_many_that_are_alike_take_is_bounded() -> None:  # G3
    class Item:
        def __init__(self, number: int) -> None:
            self.near: NearKey | None = NearKey(0, tuple(number * 1e3 * n for n in range(1, 7)))

    index: NearIndex[Item] = NearIndex(Near())
    items = [Item(number) for number in range(2000)]
    for item in items:
        index.add(item)
    for item in items:  # one comes for each that goes
        index.discard(item)
        index.add(item)
    places = [place for near in index._crowds[0]._near for place in near.values()]
    assert sum(map(sys.getsizeof, places)) < 300 * 2000  # ints
    asked = NearKey(0, tuple(7e3 * n + 1 for n in range(1, 7)))
    assert [*index.search(asked)] == [items[7]]
    assert len([*index._crowds[0].candidates(asked.numbers)]) < 20


def test_the_nearest_comes_first() -> None:
    class Item:
        def __init__(self, *pos: float) -> None:
            self.near: NearKey | None = near.key({"pos": pos})

    near = Near(2)
    index: NearIndex[Item] = NearIndex(near)
    items = [Item(10.0, 10.0), Item(11.0, 10.0), Item(12.0, 11.0)]
    for item in items:
        index.add(item)
    search = index.search(near.key({"pos": [11.2, 10.0]}))
    assert [*search] == [items[1], items[2], items[0]] and search.others == 0
    search = index.search(near.key({"pos": [9.0, 14.5]}))
    assert [*search] == [] and search.others == 1, "the others are more than 4 away"


async def test_candidates_that_do_not_fit_are_counted() -> None:  # 3-32
    store = VariantStore()
    store.store("kept", ["kept"], snapshot={"pos": [0.0], "hp": 1}, guard=[])
    store.store(
        "up", ["up"], snapshot={"pos": [50], "hp": 0}, guard=[Condition(("hp",), "above", 0)]
    )
    await store.get_or_compute({"pos": [3.0], "hp": 1}, lambda s: ["made"])
    await store.get_or_compute({"pos": [50], "hp": 0}, lambda s: ["made"])
    near = store.stats().near
    assert near == {"lookups": 2, "hits": 0, "mismatches": 2}


async def test_what_is_served_for_a_near_state_has_the_current_values() -> None:  # 3-31
    store = VariantStore()
    plan = {"act": "move", "x": "{gx}", "say": "To {gx}, {gy}! {damage} of it", "n": ["{gy}"]}
    await store.get_or_compute(at(10, 10), lambda s: [plan], values={"gx": 10, "gy": 10})
    again = await store.get_or_compute(at(12, 10), lambda s: [], values={"gx": 12, "gy": 10.5})
    assert again == [{"act": "move", "x": 12, "say": "To 12, 10.5! {damage} of it", "n": [10.5]}]
    assert store.stats().near == {"lookups": 2, "hits": 1, "mismatches": 0}
    assert refilled("{gx}", None) == "{gx}" and refilled(3, {"a": 1}) == 3


def test_a_snapshot_that_is_no_json_says_so() -> None:
    with pytest.raises(StateError, match="no JSON"):
        Near().key({"x": object()})


@pytest.mark.parametrize("odd", [float("nan"), float("inf"), 10**400, True, None, "10", -0.0])
def test_odd_numbers_have_a_key_and_only_equal_ones_share_it(odd: Any) -> None:
    near = Near()
    if odd == 10**400:
        with pytest.raises(StateError):
            near.key({"pos": odd})
        return
    assert near.key({"pos": odd}).distance(near.key({"pos": odd})) == 0
    assert near.key({"pos": odd}).distance(near.key({"pos": 77})) > 2


STEPS = [
    Part("0", {"do": "take cover"}, depends=[("actors", "mira", "pos")]),
    Part("1", {"do": "aim"}, depends=[("actors", "goblin")]),
    Part("2", {"do": "shoot"}),
]


def world(**goblin: Any) -> dict[str, Any]:
    return {"actors": {"mira": {"pos": [0, 0]}, "goblin": {"ac": 15, **goblin}}}


async def test_of_a_plan_only_the_steps_that_are_no_longer_good_are_made_anew() -> None:  # 3-33
    asked: list[tuple[list[Any], list[str]]] = []
    steps = {part.name: part for part in STEPS}

    async def make(good: list[Part], names: list[str]) -> list[Part]:
        asked.append(([part.value["do"] for part in good], names))
        await asyncio.sleep(1)
        return [steps[name] for name in names]

    async with foretell.Game() as game:
        game.store.changed(world())

        async def plan(**how: Any) -> list[str]:
            parts = await game.store.get_or_compute_parts(
                "plan", ["0", "1", "2"], make, None, **how
            )
            return [part.value["do"] for part in parts]

        whole = ["take cover", "aim", "shoot"]
        assert await plan() == whole == await plan()
        assert asked == [([], ["0", "1", "2"])]
        game.store.changed(world(ac=11))
        assert await plan() == whole == await plan(chain=True)
        assert asked[1:] == [(["take cover", "shoot"], ["1"])]
        game.store.changed(world(ac=15))
        assert await plan(chain=True) == whole == await plan()
        assert asked[2:] == [(["take cover"], ["1", "2"])]
        game.store.invalidate("part:plan")
        assert await plan() == whole and asked[3:] == [([], ["0", "1", "2"])]


@pytest.mark.parametrize("made", [None, ["x"], "x", [Part(1, 2)], [Part("a", math.nan)], 5])  # type: ignore[arg-type]
async def test_what_makes_no_parts_is_told_so(made: Any) -> None:  # G10
    store = VariantStore()
    with pytest.raises(StateError):
        await store.get_or_compute_parts("plan", ["a"], lambda good, names: made)
    for names in ("ab", 5, [1], ["\ud83d"]):
        with pytest.raises(StateError):
            await store.get_or_compute_parts("plan", names, lambda good, names: [])  # type: ignore[arg-type]
    assert len(store) == 0


async def test_what_has_changed_while_a_step_was_made_is_not_kept() -> None:  # 3-33, 0-8
    store = VariantStore()
    store.changed(before := world())

    def make(good: list[Part], names: list[str]) -> list[Part]:
        store.changed(world(ac=11))
        return STEPS

    def invalidated(good: list[Part], names: list[str]) -> list[Part]:
        store.invalidate("part:plan")
        return STEPS

    for state in (None, before):
        store.changed(before)
        parts = await store.get_or_compute_parts("plan", ["0", "1"], make, state=state)
        assert [part.name for part in parts] == ["0", "1"]
        assert parts_of(store, "plan", ["0", "1"]) == [Part("0", {"do": "take cover"})]
        assert len(await store.get_or_compute_parts("plan", ["0", "1"], invalidated)) == 2
        assert parts_of(store, "plan", ["0", "1"]) == []


async def test_a_step_made_while_the_state_went_and_came_back_is_not_kept() -> None:  # 3-33, G1
    store = VariantStore()
    store.changed(world())

    async def make(good: list[Part], names: list[str]) -> list[Part]:
        store.changed(world(ac=11))
        assert store.state is not None
        seen = store.state["actors"]["goblin"]["ac"]
        store.changed(world())
        return [Part("0", seen, depends=[("actors", "goblin")]), Part("1", "run")]

    made = await store.get_or_compute_parts("plan", ["0", "1"], make)
    assert [part.value for part in made] == [11, "run"]
    assert [part.name for part in parts_of(store, "plan", ["0", "1"])] == ["1"]


@pytest.mark.parametrize("given", [None, world()])
async def test_an_expected_change_takes_along_the_steps_that_are_being_made(given: Any) -> None:
    store = VariantStore()
    store.changed(world())

    def make(good: list[Part], names: list[str]) -> list[Part]:
        store.changed(world(ac=11), expected=True)
        store.invalidate("of something else")
        return STEPS

    await store.get_or_compute_parts("plan", ["0", "1", "2"], make, state=given)
    assert len(parts_of(store, "plan", ["0", "1", "2"])) == 3


async def test_the_steps_of_a_plan_are_good_up_to_the_first_that_is_not() -> None:  # 3-33
    store = VariantStore()
    store.changed(world())
    store_parts(store, "plan", STEPS, state=world())
    assert [part.name for part in parts_of(store, "plan", ["0", "1", "2"])] == ["0", "1", "2"]
    store.changed(world(ac=11))
    assert parts_of(store, "plan", ["0", "1", "2"], chain=True) == [Part("0", {"do": "take cover"})]


async def test_the_trunk_of_a_narrative_is_good_without_its_tails() -> None:  # 3-33
    store = VariantStore()
    store.changed(world())
    tail = Part("hit", "it falls", depends=[("actors", "goblin")])
    store_parts(store, "t1", [Part("trunk", "She swings."), tail], state=world())
    store.changed(world(ac=11))
    good = parts_of(store, "t1", ["trunk", "hit", "miss"])
    assert [(part.name, part.value) for part in good] == [("trunk", "She swings.")]
    assert store.invalidate("part:t1") == 1


@pytest.mark.parametrize("width", [0, -1, math.nan, math.inf, "wide"])
def test_a_band_of_no_width_is_refused(width: Any) -> None:
    with pytest.raises(ConfigError, match="width"):
        Near(widths={"damage_taken": width})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"x": 5, "y": ["near"]}, {"x": ["near"], "y": 5}),
        ({"x": 5, "y": "near"}, {"x": "near", "y": 5}),
        ({"hp": 1, "max_hp": 9}, {"hp": ["low"], "max_hp": 9}),
        ({"damage_taken": 5}, {"damage_taken": ["band", 1]}),
        ({"a": math.inf}, {"a": ["inf"]}),
        ({"a": math.inf}, {"a": "inf"}),
    ],
)
def test_what_is_taken_out_of_a_snapshot_is_like_no_value(one: Any, other: Any) -> None:
    assert Near().key(one).distance(Near().key(other)) == math.inf


def test_parts_of_different_keys_never_meet() -> None:
    store = VariantStore(clock=lambda: 0.0)
    store_parts(store, "plan:orc", [Part("2#0", "of the orc"), Part("%23", "x"), Part("#", "y")])
    assert parts_of(store, "plan:orc#2", ["0"]) == []
    found = parts_of(store, "plan:orc", ["2#0", "%23", "#"])
    assert [part.value for part in found] == ["of the orc", "x", "y"]
