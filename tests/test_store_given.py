"""What a caller does wrong is named where it is done, in one line."""

from __future__ import annotations

import asyncio
import json
import math
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest

import foretell
from foretell.errors import ConfigError, StateError
from foretell.operators.fingerprint import Dependence
from foretell.sinks.store_guard import Condition
from foretell.sinks.store_layers import Limits, Room
from foretell.sinks.store_near import Near
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.variant_store import VariantStore

HALF = json.loads('"Mira \\ud83d"')  # half of an emoji, as it comes in a guest's name
LOOP: dict[str, Any] = {}
LOOP["in"] = LOOP


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"key": 5}, "key, .*5"),
        ({"key": None}, "key"),
        ({"fingerprint": 5}, "fingerprint"),
        ({"turn": 5}, "turn"),
        ({"tags": "rules"}, "tags: a list of texts"),
        ({"tags": [5]}, "tags"),
        ({"depends": ["actors"]}, "a path of the state.*'actors'"),
        ({"depends": [("actors", 1)]}, "a path of the state"),
        ({"variants": "Well met."}, "not str"),
        ({"variants": None}, "not NoneType"),
        ({"variants": [{1: 2}]}, "no JSON"),
        ({"state": {"a": {1: 2}}, "depends": [("a",)]}, "no JSON"),
        ({"state": {"a": {1, 2}}, "depends": [("a",)]}, "no JSON"),
        ({"ttl": math.nan}, "ttl of nan"),
        ({"ttl": "60"}, "ttl of '60'"),
        ({"ttl": -1}, "ttl of -1"),
        ({"value": math.nan}, "value of nan"),
        ({"value": -math.inf}, "value of -inf"),
        ({"value": 10**400}, "value of 1000"),
        ({"ttl": math.inf}, "ttl of inf"),
        ({"key": HALF}, "key"),
        ({"fingerprint": HALF}, "fingerprint"),
        ({"turn": HALF}, "turn"),
        ({"scope": HALF}, "scope"),
        ({"tags": [HALF]}, "tags"),
        ({"depends": [("actors", HALF)]}, "a path of the state"),
        ({"depends": Dependence((("actors", HALF),), (), "", ())}, "a path of the state"),
        ({"guard": [Condition((HALF,), "lacks", "x")]}, "path of a guard"),
        ({"variants": [HALF]}, "no JSON"),
        ({"variants": [json.loads("[" * 253 + "]" * 253)]}, "no JSON"),
        ({"guard": "there"}, "guard"),
        ({"guard": [Condition(("a",), "isnt", 1)]}, "no test 'isnt'"),  # type: ignore[arg-type]
        ({"guard": [Condition("hp", "is", 1)]}, "path of a guard"),  # type: ignore[arg-type]
        ({"guard": [Condition(("hp",), "above", "1")]}, "hp compares with '1'"),
        ({"tags": 5}, "a list of texts is wanted, not 5"),
    ],
)
async def test_what_cannot_be_stored_says_why(given: dict[str, Any], why: str) -> None:
    store = VariantStore()
    known = {"key": "k", "variants": ["x"], **given}
    with pytest.raises(StateError, match=why) as error:
        store.store(known.pop("key"), known.pop("variants"), known.pop("ttl", 60), **known)
    assert "\n" not in str(error.value) and len(store) == 0


@pytest.mark.parametrize(
    "snapshot",
    [None, {1: 2}, {1: 2, "a": 1}, {"x": {1}}, LOOP, {"hp": 10**400, "max_hp": 5}, {"a": "\ud800"}],
)
async def test_a_snapshot_that_is_none_says_so(snapshot: Any) -> None:
    with pytest.raises(StateError, match="a snapshot"):
        await VariantStore().get_or_compute(snapshot, lambda each: ["x"])


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
async def test_a_number_that_json_has_not_is_refused_and_never_becomes_nothing(odd: float) -> None:
    store = VariantStore()
    for variants in ([odd], [{"steps": [None, {"x": odd}]}]):
        with pytest.raises(StateError, match="no NaN and no infinite number"):
            store.store("k", variants)
        with pytest.raises(StateError, match="no NaN"):
            await store.get_or_compute({"a": 1}, lambda each, given=variants: given)  # type: ignore[misc]
    assert len(store) == 0
    assert store.store("k", [None, {"x": None}]) and store.ready("k") == [None, {"x": None}]
    names = {store.name_of({"x": each}) for each in (None, odd, str(odd))}
    assert len(names) == 3 and store.name_of({"x": odd}) in names


def test_a_store_made_where_no_loop_runs_says_where_to_make_it() -> None:
    for make in (VariantStore, lambda: foretell.Game({}).store):
        with pytest.raises(StateError, match="in an async function"):
            make()
    assert VariantStore(clock=lambda: 5.0).store("k", ["x"])


async def test_nothing_is_computed_for_what_could_not_be_kept() -> None:
    store, made = VariantStore(), list[Any]()
    for given in ({"ttl": math.nan}, {"tags": "rules"}, {"values": [1]}, {"guard": "x"}):
        with pytest.raises(StateError):
            await store.get_or_compute({"a": 1}, lambda each: made.append(each) or ["x"], **given)  # type: ignore[func-returns-value]
    assert not made and len(store) == 0


@pytest.mark.parametrize(
    ("call", "given"),
    [
        ("changed", None),
        ("changed", [1]),
        ("invalidate", 5),
        ("invalidate_path", 5),
        ("missing", 5),
        ("missing", "greeting"),
    ],
)
async def test_what_is_no_state_no_pattern_and_no_path_is_refused(call: str, given: Any) -> None:
    with pytest.raises(StateError):
        getattr(VariantStore(), call)(given)


@pytest.mark.parametrize(
    "given",
    [{"widths": {"a": 0}}, {"widths": {"a": math.nan}}, {"tolerance": "2"}, {"fields": "pos"}],
)
def test_what_cannot_be_near_says_so(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Near(**given)


@pytest.mark.parametrize(
    "given", [(0, 1.0, "lru"), (1, 0.0, "lru"), (1, math.nan, "lfu"), (1, 1, "fifo")]
)
def test_a_layer_that_nothing_can_be_in_says_so(given: Any) -> None:
    with pytest.raises(ConfigError, match="a layer holds 1 or more"):
        Room(*given)


async def test_a_tuple_in_a_state_is_the_list_that_json_makes_of_it() -> None:
    store = VariantStore()
    depends = [("actors", "grik")]
    state = {"actors": {"grik": {"pos": (1, 2)}}}
    listed = {"actors": {"grik": {"pos": [1, 2]}}}
    for made_for in (state, listed):
        store.store("k", ["x"], state=made_for, depends=depends)
        assert store.ready("k", state=state) == ["x"] == store.ready("k", state=listed)
        assert store.ready("k", state={"actors": {"grik": {"pos": (1, 3)}}}) is None
        assert store.ready("k", state={"actors": {"grik": {"pos": {1, 2}}}}) is None
    store.changed(state)
    assert store.store("k", ["x"], state=listed, depends=depends) and store.ready("k") == ["x"]


async def test_what_goes_to_the_cold_layer_comes_back_however_odd_it_is() -> None:  # G10
    one = Room(1, 900.0, "lfu")
    store = VariantStore(Limits(one, one, Room(3, 3600.0, "ttl")))
    odd = [json.loads("[" * 252 + "]" * 252)]
    assert store.store("odd", odd, 2**70, value=2**70)
    assert store.store("innocent", ["x"], value=2.0**80)
    assert store.stats().layers["cold"].entries == 1
    assert store.ready("odd") == odd and store.ready("innocent") == ["x"]


@pytest.mark.real_time
async def test_what_no_key_can_be_is_a_miss(redis: Any) -> None:  # G10
    cold = SharedCold(redis.url, limit=1.0, wall=lambda: 0.0)
    store = VariantStore(cold=cold)
    assert await store.get(HALF) is None and store.take(HALF) is None
    await cold.aclose()


CAME_FROM = {
    "of grik": "content:stat_block:grik",
    "of mira": "content:stat_block:mira",
    "lore": "content:lore:mill",
    "rules": "rules:5e",
}


async def test_changed_content_takes_along_what_came_from_it() -> None:  # 1-39
    async with foretell.Game() as game:
        game.content_changed()  # with no store yet

        def left(*of: str) -> list[str]:
            game.store.clear()
            for key, tag in CAME_FROM.items():
                game.store.store(key, ["x"], tags=[tag])
            game.content_changed(*of)
            return [key for key in CAME_FROM if game.store.ready(key) is not None]

        assert left("stat_block", "grik") == ["of mira", "lore", "rules"]
        assert left("stat_block") == ["lore", "rules"]
        assert left() == ["rules"]
        game.store.store("lore", ["x"], tags=["content:lore:mill"])
        other = threading.Thread(target=game.content_changed, args=("lore",))
        other.start()
        other.join()
        await asyncio.sleep(0)
        assert game.store.missing(["lore"]) == ["lore"]
    game.content_changed()


@pytest.mark.parametrize(
    ("what", "left"),
    [
        ("stat_block:grik", ["of mira", "lore", "rules"]),
        ("stat_block", ["lore", "rules"]),
        ("", ["rules"]),
    ],
)
async def test_what_a_source_says_of_itself_takes_along_what_came_from_it(
    what: str, left: list[str]
) -> None:  # 1-39
    class Watched:
        async def find(self, ask: object) -> None: ...

        async def changes(self) -> AsyncIterator[str]:
            await asyncio.sleep(5)
            yield what

    source: Any = Watched()
    async with foretell.Game({"intensity": "off"}, content=source) as game:
        await game.session("table-7")
        for key, tag in CAME_FROM.items():
            game.store.store(key, ["x"], tags=[tag])
        await asyncio.sleep(4)
        assert game.store.missing(CAME_FROM) == []
        await asyncio.sleep(2)
        assert [key for key in CAME_FROM if not game.store.missing([key])] == left


@pytest.mark.parametrize("depends", [5, None, "ab", ["ab"], [5], {"a": 1}])
async def test_what_is_no_list_of_paths_is_told_so(depends: Any) -> None:
    store = VariantStore()
    with pytest.raises(StateError, match="path"):
        store.store("k", ["x"], depends=depends)


@pytest.mark.parametrize("state", [5, "ab", [1]])
async def test_what_is_no_state_is_told_so(state: Any) -> None:
    store = VariantStore()
    with pytest.raises(StateError, match="state"):
        store.store("k", ["x"], state=state)


@pytest.mark.parametrize(
    "changes", [5, [5], ["ab"], [("a",)], [("a", None)], [(("a",), None, None)]]
)
async def test_changes_that_are_none_are_told_so_and_change_nothing(changes: Any) -> None:
    store = VariantStore()
    store.changed(before := {"a": 1})
    with pytest.raises(StateError, match="change"):
        store.changed({"a": 2}, changes)
    assert store.state is before
