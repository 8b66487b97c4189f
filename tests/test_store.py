"""The store of variants: found at once, never for another state, never without bound."""

from __future__ import annotations

import asyncio
import logging
import math
import tracemalloc
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.errors import StateError
from foretell.operators.fingerprint import Dependence, dependence
from foretell.sinks.store_guard import Condition, holds
from foretell.sinks.store_index import PathIndex, fits
from foretell.sinks.store_layers import Limits, Room
from foretell.sinks.store_stats import Access
from foretell.sinks.variant_store import VariantStore
from foretell.streams import events as ev
from foretell.streams.footprint import covers
from foretell.streams.world import Numbered, World, advance

SMALL = Limits(Room(2, 300, "lru"), Room(3, 900, "lfu"), Room(2, 3600, "ttl"))


def state(**goblin: Any) -> dict[str, Any]:
    return {
        "location": {"id": "cave"},
        "actors": {"mira": {"hp": 20, "pos": [0, 0]}, "goblin": {"hp": 7, "ac": 15, **goblin}},
    }


GOBLIN = [("actors", "goblin")]


async def test_what_is_stored_is_found_for_its_time_and_no_longer() -> None:  # 0-14, 0-15
    store = VariantStore()
    assert store.store("turn-1", ["hit", "miss", "critical"])
    assert store.ready("turn-1") == ["hit", "miss", "critical"]
    assert await store.get("turn-2") is None
    await asyncio.sleep(59.9)
    assert await store.get("turn-1") == ["hit", "miss", "critical"]
    await asyncio.sleep(0.2)
    assert await store.get("turn-1") is None


async def test_anything_json_can_say_is_kept_and_is_the_callers_own() -> None:
    store = VariantStore()
    plan = {"goal": "flee", "steps": [{"do": "run", "to": [3, 4]}, None, 1.5, True]}
    store.store("plan", [plan, "text", ["a"]])
    found = store.ready("plan")
    assert found == [plan, "text", ["a"]]
    assert found is not None
    found[0]["steps"].clear()
    found.clear()
    assert store.ready("plan") == [plan, "text", ["a"]]


@pytest.mark.parametrize("bad", [object(), {1, 2}, "\ud800", {"x": "\ud800"}])
async def test_what_is_no_json_is_refused_when_it_is_stored(bad: object) -> None:
    store = VariantStore()
    with pytest.raises(StateError, match="no JSON"):
        store.store("key", ["good", bad])
    assert len(store) == 0


async def test_the_layers_are_as_the_document_has_them() -> None:  # 1-34, 1-35, 1-36, 1-55, 1-56
    limits = Limits()
    assert limits.hot == Room(20, 300, "lru")
    assert limits.warm == Room(50, 900, "lfu")
    assert limits.cold == Room(100, 3600, "ttl")


async def test_what_is_used_becomes_hot_and_the_least_recently_used_leaves() -> None:  # 1-34, 1-38
    store = VariantStore(SMALL)
    for key in "abc":
        store.store(key, [key])
    assert store.ready("a") and store.ready("b") and store.ready("a") and store.ready("c")
    layers = store._shelves.layers
    assert [sorted(entry.key for entry in layers[level]) for level in layers] == [
        ["a", "c"],
        [],
        ["b"],
    ]
    assert store.ready("b") == ["b"]
    assert {level: each.hits for level, each in store.stats().layers.items()} == {
        "hot": 1,
        "warm": 3,
        "cold": 1,
    }


async def test_of_what_was_predicted_the_least_often_and_least_valued_leaves() -> (
    None
):  # 1-35, 1-65
    store = VariantStore(SMALL)
    store.store("often", ["o"], value=0.1)
    store.store("often", ["o"], value=0.1)
    store.store("dear", ["d"], value=0.9)
    store.store("cheap", ["c"], value=0.2)
    store.store("new", ["n"], value=0.5)
    warm = store.stats().layers["warm"]
    assert warm.entries == 3
    cold = next(iter(store._shelves.layers.values()))
    assert cold is not None
    assert [e.key for e in store._shelves if e.level == "cold"] == ["cheap"]


async def test_a_full_layer_is_told_of_to_who_looks_closely(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 1-65
    store = VariantStore(SMALL, session="table-7")
    with caplog.at_level(logging.DEBUG, "foretell"):
        for key in "abcd":
            store.store(key, [key])
    assert [record.getMessage() for record in caplog.records] == [
        "store 'table-7': warm is full: 'a' leaves it"
    ]


async def test_variants_of_an_open_turn_stay_whatever_time_passes() -> None:  # 0-12, 0-14
    store = VariantStore(SMALL)
    store.store("mine", ["text"], 60, turn="turn-7")
    await asyncio.sleep(7200)
    for number in range(10):
        store.store(f"other-{number}", ["x"])
    assert store.stats().layers["warm"].pinned == 1
    store.end_turn("turn-7")
    await asyncio.sleep(59)
    assert store.ready("mine") == ["text"]
    await asyncio.sleep(2)
    assert store.ready("mine") is None


async def test_even_pinned_variants_are_bounded() -> None:  # G3
    store = VariantStore(SMALL)
    for number in range(100):
        store.store(f"key-{number}", ["x" * 10], turn="turn-1")
    stats = store.stats()
    assert len(store) == 5
    assert all(layer.entries <= layer.size for layer in stats.layers.values())
    assert stats.evictions["dropped"] == 95


async def test_what_is_of_no_turn_pushes_nothing_out_that_is_of_an_open_one() -> None:  # 1-38
    store = VariantStore(SMALL)
    for number in range(5):
        store.store(f"open {number}", ["x"], turn="turn-1")
    for number in range(10):
        store.store(f"other {number}", ["x"])
    assert store.missing(f"open {number}" for number in range(2)) == []
    assert store.stats().layers["cold"].pinned == 2
    store.end_turn("turn-1")
    store.store("other", ["x"])
    assert store.stats().layers["cold"].entries == 2


async def test_one_entry_cannot_be_larger_than_its_share() -> None:  # G3
    store = VariantStore(Limits(largest=1000))
    assert not store.store("large", ["x" * 600, "x" * 600])
    assert store.ready("large") is None
    assert store.stats().refused == {"too large": 1}
    store.store("large", ["small"])
    assert not store.store("large", ["x" * 1200]) and store.ready("large") == ["small"]


LONG = "x" * 1000


@pytest.mark.parametrize(
    "given",
    [
        {"key": LONG},
        {"fingerprint": LONG},
        {"turn": LONG},
        {"tags": [LONG]},
        {"depends": [(LONG,)]},
        {"guard": [Condition(("a",), "lacks", LONG)]},
        {"snapshot": {"pos": [*range(1000)]}},
    ],
)
async def test_all_that_is_said_of_an_entry_counts_too(given: dict[str, Any]) -> None:  # G3
    store = VariantStore(Limits(largest=1000))
    given = {"key": "k", **given}
    assert not store.store(given.pop("key"), ["x"], **given)
    assert store.stats().refused == {"too large": 1} and len(store) == 0


async def test_a_large_state_that_texts_depend_on_is_kept_in_none_of_them() -> None:  # G3
    store = VariantStore()
    store.changed({"actors": {f"a{n}": {"hp": n, "name": f"name {n}"} for n in range(1000)}})
    tracemalloc.start()
    try:
        for number in range(50):
            store.store(f"k{number}", ["text"], depends=[("actors",)])
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()


async def test_another_fingerprint_is_a_miss_by_construction() -> None:  # G1
    store = VariantStore()
    store.store("key", ["one"], fingerprint="f1")
    store.store("key", ["two"], fingerprint="f2")
    assert store.ready("key") is None and store.ready("key", "f3") is None
    assert store.ready("key", "f1") == ["one"]
    assert store.take("key", "f2") == ["two"] and store.take("key", "f2") is None


async def test_every_serve_is_checked_against_the_state() -> None:  # 3-31, G1
    store = VariantStore()
    store.store("key", ["it snarls"], state=state(), depends=GOBLIN)
    assert store.ready("key", state=state()) == ["it snarls"]
    assert store.ready("key", state=state(ac=12)) is None
    assert store.ready("key", state={}) is None
    assert store.ready("key", state=state()) == ["it snarls"]
    store.changed(state(ac=12), ())
    assert store.ready("key") is None
    assert store.stats().refused["untrue"] == 3


async def test_a_state_altered_by_its_owner_alters_nothing_that_is_kept() -> None:
    store, mine = VariantStore(), state()
    store.store("key", ["text"], state=mine, depends=GOBLIN)
    mine["actors"]["goblin"]["ac"] = 1
    assert store.ready("key", state=mine) is None
    assert store.ready("key", state=state()) == ["text"]


async def test_what_was_made_for_an_outrun_state_is_not_taken() -> None:  # G1
    store = VariantStore()
    store.changed(state(ac=10))
    assert not store.store("late", ["text"], state=state(ac=15), depends=GOBLIN)
    assert store.ready("late") is None


async def test_an_unexpected_change_drops_exactly_what_depends_on_it() -> None:  # 0-8, G1
    store = VariantStore()
    store.changed(state())
    store.store("goblin", ["g"], state=state(), depends=GOBLIN)
    store.store("armour", ["a"], state=state(), depends=[("actors", "goblin", "ac")])
    store.store("mira", ["m"], state=state(), depends=[("actors", "mira")])
    store.store("free", ["f"])
    assert store.changed(state(ac=12)) == 2
    assert [key for key in ("goblin", "armour", "mira", "free") if store.ready(key)] == [
        "mira",
        "free",
    ]
    assert store.changed(state(ac=15)) == 0
    assert store.ready("goblin") is None, "A, B, A is not the same moment"


async def test_an_expected_change_moves_what_depends_on_it_along() -> None:  # G1
    store = VariantStore()
    store.changed(state())
    store.store("goblin", ["g"], state=state(), depends=GOBLIN)
    store.store("mira", ["m"], state=state(), depends=[("actors", "mira")])
    assert store.changed(state(hp=3), expected=True) == 1
    assert store.ready("goblin") == ["g"] and store.ready("mira") == ["m"]
    assert store.stats().rebased == 1
    assert store.ready("goblin", state=state(hp=7)) is None


async def test_an_actions_own_footprint_is_no_part_of_what_its_text_depends_on() -> None:  # 0-8
    sword = {"type": "attack", "name": "sword", "target": "goblin"}
    world = advance(World(), Numbered(1, ev.State(0.0, state()), 0.0))
    depends = dependence(world, "mira", sword)
    store = VariantStore()
    store.changed(world.state, ())
    store.store("key", ["text"], state=world.state, depends=depends)
    hurt = [(("actors", "goblin", "hp"), None), (("actors", "mira", "pos"), None)]
    now = state(hp=2)
    now["actors"]["mira"]["pos"] = [1, 1]
    assert store.changed(now, hurt) == 0
    assert store.ready("key") == ["text"]
    armour = (("actors", "goblin", "ac"), None)
    assert store.changed(state(ac=3), [armour]) == 1


async def test_a_guard_is_asked_at_each_serve() -> None:  # G1, 3-31
    store = VariantStore()
    store.changed(state())
    store.store("staggers", ["it staggers"], guard=[Condition(GOBLIN[0] + ("hp",), "above", 0)])
    assert store.ready("staggers") == ["it staggers"]
    store.changed(state(hp=0), (), expected=True)
    assert store.ready("staggers") is None


@pytest.mark.parametrize(
    ("test", "value", "good", "bad"),
    [
        ("is", 7, 7, 8),
        ("not", 7, 8, 7),
        ("above", 0, 1, 0),
        ("below", 3, 2, 3),
        ("above", 0, 0.5, "many"),
        ("has", "prone", ["prone"], []),
        ("lacks", "prone", [], ["prone"]),
        ("has", "prone", {"prone": 1}, 3),
    ],
)
def test_conditions(test: Any, value: Any, good: Any, bad: Any) -> None:
    guard = [Condition(("a", "b"), test, value)]
    assert holds(guard, {"a": {"b": good}})
    assert not holds(guard, {"a": {"b": bad}})


def test_conditions_on_what_is_not_there() -> None:
    tests = {"is": None, "above": 0, "below": 9, "has": 1, "there": True}
    for test, value in tests.items():
        assert not holds([Condition(("a", "b"), test, value)], {"a": 1})  # type: ignore[arg-type]
    for test, value in {"not": 1, "lacks": 1, "there": False}.items():
        assert holds([Condition(("a", "b"), test, value)], {})  # type: ignore[arg-type]


@given(st.text("ab.\n", max_size=8), st.text("ab.\n***?[]!-", max_size=8))
def test_a_pattern_fits_what_fnmatch_says(name: str, pattern: str) -> None:  # 0-16
    assert fits(name, pattern) == fnmatchcase(name, pattern)


async def test_no_regex_is_made_of_stars(monkeypatch: pytest.MonkeyPatch) -> None:  # G10
    """It would take twelve microseconds a character, of each word that is heard."""
    monkeypatch.setattr("foretell.sinks.store_index.fnmatchcase", None)
    store = VariantStore()
    store.store("k", ["t"], tags=["content:npc:innkeeper"])
    assert store.invalidate("c*:" + "*x" * 500) == 0
    assert store.invalidate("c*:*:inn*r") == 1


async def test_patterns_fit_keys_and_tags() -> None:  # 0-16, 1-39
    store = VariantStore()
    store.store("turn-1/hit", ["a"], tags=["content:hag.json", "rules"])
    store.store("turn-1/miss", ["b"], tags=["rules"])
    store.store("turn-2/hit", ["c"], tags=["content:imp.json"])
    assert store.invalidate("turn") == 0
    assert store.invalidate("content:hag.json") == 1
    assert store.invalidate("turn-1/*") == 1
    assert store.invalidate("content:*") == 1
    assert len(store) == 0 and store.stats().evictions == {"invalidated": 3}


async def test_a_key_with_brackets_is_invalidated_by_its_own_name() -> None:
    store = VariantStore()
    store.store('["mira", "attack"]', ["a"])
    assert store.invalidate('["mira", "attack"]') == 1


async def test_a_pattern_that_is_a_name_as_well_fits_all_the_same() -> None:  # 0-16
    store = VariantStore()
    for key in ("a*", "ab", "c"):
        store.store(key, [key])
    assert store.invalidate("a*") == 2
    assert store.ready("ab") is None and store.ready("c") == ["c"]


async def test_what_is_kept_takes_no_more_memory_than_it_has_bytes() -> None:  # 3-35
    store = VariantStore(Limits(Room(2, 1, "lru"), Room(100, 900, "lfu"), Room(1, 1, "ttl")))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(100):
            store.store(f"k{number}", [{"steps": ["x" * 50] * 180}], None)
        taken = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    assert taken < 1.5 * store.stats().layers["warm"].bytes


async def test_who_listens_to_a_games_store_hears_of_each_look_up() -> None:  # 1-38
    async with foretell.Game() as game:
        heard: list[Access] = []
        game.store.on_access = heard.append
        game.store.store("a", ["x"])
        assert game.store.ready("a") and game.store.ready("b") is None
        assert [(each.key, each.level) for each in heard] == [("a", "warm"), ("b", None)]


async def test_what_lies_under_a_path_is_invalidated_with_it() -> None:
    store = VariantStore()
    store.store("a", ["a"], depends=[("actors", "goblin", "ac")])
    store.store("b", ["b"], depends=[("actors",)])
    store.store("c", ["c"], depends=[("location",)])
    assert store.invalidate_path("actors", "goblin") == 2
    assert store.missing(["a", "b", "c"]) == ["a", "b"]


async def test_the_end_of_the_session_clears_what_is_hot() -> None:  # 1-39
    store = VariantStore()
    store.store("used", ["u"])
    store.store("spare", ["s"], turn="turn-9")
    assert store.ready("used")
    store.end_session()
    assert store.missing(["used", "spare"]) == ["used"]
    assert store.stats().layers["warm"].pinned == 0


async def test_what_is_ready_already_is_known_without_a_look_up() -> None:  # 1-9
    store = VariantStore()
    store.store("a", ["x"])
    assert store.missing(["a", "b"]) == ["b"]
    assert store.stats().misses == 0 and store.stats().hits == 0


async def test_each_look_up_is_told_of_and_a_listener_that_raises_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:  # 1-38, G10
    heard: list[Access] = []

    def listen(access: Access) -> None:
        heard.append(access)
        raise RuntimeError("boom")

    store = VariantStore(on_access=listen)
    store.store("a", ["x"])
    with caplog.at_level(logging.ERROR):
        assert store.ready("a") == ["x"] and store.ready("b") is None
    assert heard == [(0.0, "a", "warm"), (0.0, "b", None)] == list(store.recent)
    assert len(caplog.records) == 1


async def test_statistics_say_it_all_in_json() -> None:  # 3-35
    store = VariantStore(session="table-7")
    store.store("a", ["four"])
    await asyncio.sleep(10)
    store.store("b", ["sixsix"])
    assert store.ready("b") and store.ready("b") and store.ready("z") is None
    told = store.metrics().as_json()
    assert told["session"] == "table-7" and told["hit_rate"] == 0.6667
    assert store.metrics().hit_rate() == 2 / 3
    assert told["layers"]["warm"] == {
        "entries": 1, "size": 50, "bytes": 4, "pinned": 0, "hits": 1, "oldest": 10.0,
        "newest": 10.0,
    }  # fmt: skip
    assert told["layers"]["hot"]["bytes"] == 6 and told["cold"] == {"kind": "memory"}
    assert VariantStore().stats().hit_rate() == 0.0


PATHS = st.lists(st.sampled_from("abc"), max_size=3).map(tuple)


@pytest.mark.parametrize("other", [(), ("ac",)], ids=["same path", "inside"])
async def test_what_leaves_the_index_takes_nobody_else_along(other: Any) -> None:  # 0-8
    store = VariantStore()
    store.store("told", ["t"], depends=GOBLIN)
    store.store("other", ["o"], depends=[(*GOBLIN[0], *other)])
    store.consume("told")
    assert store.invalidate_path("actors", "goblin") == 1


@given(st.lists(st.tuples(st.integers(0, 5), PATHS), max_size=12), PATHS)
def test_the_index_finds_what_a_scan_finds(known: list[tuple[int, Any]], path: Any) -> None:
    index: PathIndex[int] = PathIndex()
    for item, mine in known:
        index.add(item, [mine])
    assert sorted(index.touched(path)) == sorted({i for i, mine in known if covers(mine, path)})
    for item, mine in known:
        index.discard(item, [mine])
    assert not index._root.here and not index._root.below, "nothing is left behind"


async def test_nothing_is_older_than_its_layer_allows_however_seldom_it_is_looked_at() -> None:
    store = VariantStore()
    store.store("a", ["x"], None)
    assert store.ready("a")
    await asyncio.sleep(300 + 3599)
    assert store.stats().layers["cold"].entries == 1
    await asyncio.sleep(2)
    assert store.stats().layers["cold"].entries == 0
    assert store._shelves._due == [] and math.isfinite(store.stats().hit_rate())


HURT, WELL = {"actors": {"grik": {"hp": 2}}}, {"actors": {"grik": {"hp": 9}}}
GRIK = [("actors", "grik")]


async def test_what_no_state_is_known_for_is_a_miss() -> None:  # G1
    store = VariantStore()
    store.store("guarded", ["t"], guard=[Condition(("actors", "grik", "hp"), "above", 5)])
    store.store("based", ["t"], state=WELL, depends=GRIK)
    assert store.ready("guarded") is None and store.ready("based") is None
    assert store.ready("guarded", state=WELL) == ["t"] == store.ready("based", state=WELL)
    assert store.ready("guarded", state=HURT) is store.ready("based", state=HURT) is None
    store.changed(WELL, ())
    assert store.ready("guarded") == ["t"] == store.ready("based")


async def test_what_depends_on_the_state_last_told_is_for_that_state() -> None:  # G1
    store = VariantStore()
    store.changed(WELL)
    store.store("k", ["t"], depends=GRIK)
    assert store.ready("k") == ["t"] and store.ready("k", state=HURT) is None


async def test_what_is_found_by_a_near_state_is_for_its_state_and_fingerprint_too() -> None:  # G1
    store = VariantStore()
    store.changed(WELL)
    store.store(store.name_of({"x": 1}), ["t"], snapshot={"x": 1}, depends=GRIK, fingerprint="f")

    async def found(fingerprint: str) -> list[Any]:
        return await store.get_or_compute({"x": 2}, lambda s: ["new"], fingerprint=fingerprint)

    assert await found("f") == ["t"] and await found("g") == ["new"]
    store.changed(HURT, ())  # told of the state, and not of what has changed in it
    assert await found("f") == ["new"]


@pytest.mark.parametrize("test", ["above", "below"])
async def test_a_guard_that_no_state_can_be_compared_with_is_refused(test: Any) -> None:
    with pytest.raises(StateError, match="no number"):
        VariantStore().store("k", ["t"], guard=[Condition(("hp",), test, "five")])


@pytest.mark.parametrize("found", ["text", {"a": 1}, ["a"], 5, None])
@pytest.mark.parametrize("wanted", [[1], {"a": 1}, 5, None])
async def test_a_guard_is_compared_with_anything(found: Any, wanted: Any) -> None:
    store = VariantStore()
    for test in ("has", "lacks"):
        store.store(test, ["t"], guard=[Condition(("v",), test, wanted)])
    assert store.ready("has", state={"v": found}) is None
    assert store.ready("lacks", state={"v": found}) == ["t"]


@pytest.mark.parametrize("ttl", [math.nan, -1.0])
async def test_a_ttl_that_is_no_time_is_refused(ttl: float) -> None:
    with pytest.raises(StateError, match="a ttl of"):
        VariantStore().store("k", ["t"], ttl)


async def test_each_layer_is_of_the_size_and_time_that_its_settings_name() -> None:
    settings = {
        **{f"{each}_cache_size": size for each, size in (("hot", 3), ("warm", 7), ("cold", 11))},
        **{f"{each}_cache_seconds": s for each, s in (("hot", 13), ("warm", 17), ("cold", 19))},
    }
    async with foretell.Game(settings) as game:
        rooms = [layer.room for layer in game.store._shelves.layers.values()]
        assert [(room.size, room.seconds) for room in rooms] == [(3, 13), (7, 17), (11, 19)]


async def test_the_first_state_told_leaves_what_was_made_for_it() -> None:  # 0-8
    store, state = VariantStore(), {"a": 1, "b": 2}
    store.store("made for it", ["x"], state=state, depends=[("a",)])
    store.store("made for another", ["x"], state={"a": 7, "b": 2}, depends=[("a",)])
    store.store("of no state", ["x"], depends=[("b",)])
    assert store.changed(state) == 2
    assert [store.ready(key) for key in ("made for it", "made for another", "of no state")] == [
        ["x"], None, None,
    ]  # fmt: skip


@pytest.mark.parametrize("near", [None, {"x": 1}])
async def test_what_was_made_when_no_state_was_known_is_for_none_that_is(near: Any) -> None:  # G1
    store = VariantStore()

    async def found() -> list[Any] | None:
        if near is None:
            return await store.get("k")
        return await store.get_or_compute(near, lambda s: ["new"])

    store.store("k", ["Grik stands."], depends=GRIK, snapshot=near)
    assert await found() == ["Grik stands."], "nobody knows of any state"
    assert store.ready("k", state=HURT) is None
    store.changed(HURT, ())
    assert await found() == (None if near is None else ["new"])


async def test_of_the_cold_that_which_expires_next_leaves_first() -> None:  # 1-36, 1-57
    store = VariantStore(Limits(Room(1, 300, "lru"), Room(1, 900, "lfu"), Room(3, 3600, "ttl")))
    for key, ttl in (("long", 500), ("short", 50), ("middle", 100), ("last", 400)):
        store.store(key, [key], ttl)
        await asyncio.sleep(1)
    assert store.missing(["long", "short", "middle", "last"]) == []
    assert store.stats().layers["cold"].entries == 3
    store.store("new", ["new"], 60)
    assert store.missing(["long", "short", "middle", "last", "new"]) == ["short"]
    store.store("newer", ["newer"], 60)
    assert store.missing(["long", "middle", "last", "new", "newer"]) == ["middle"]
    assert store.stats().evictions["dropped"] == 2


async def test_of_what_was_used_in_one_moment_the_first_used_ages_first() -> None:  # 1-34
    limits = Limits(Room(2, 10, "lru"), Room(3, 900, "lfu"), Room(1, 40, "ttl"))
    store = VariantStore(limits)
    for key in ("a", "b"):
        store.store(key, [key], None)
        assert store.ready(key)
    assert store.ready("a")
    await asyncio.sleep(10)
    assert store.missing(["a", "b"]) == ["b"], "b went first, and a after it"


PARTY: dict[str, Any] = {"party": [{"hp": 10, "dead": False}], "location": "cave"}
LATER: dict[str, Any] = {"party": [{"hp": 0, "dead": True}], "location": "tower"}


@pytest.mark.parametrize("path", [("party", "0", "hp"), ("location", "id")])
async def test_a_path_through_a_list_or_below_a_plain_value_depends_on_the_whole(
    path: tuple[str, ...],
) -> None:  # 3-31
    store = VariantStore()
    store.store("k", ["he stands tall"], state=PARTY, depends=[path])
    assert await store.get("k", state=LATER) is None
    assert await store.get("k", state={}) is None
    assert await store.get("k", state=dict(PARTY)) == ["he stands tall"]
    assert store.changed(LATER) == 1, "the first state told says something else of it"
    assert await store.get("k") is None


@pytest.mark.parametrize("path", [("party", "0", "dead"), ("location", "id")])
@pytest.mark.parametrize(
    ("test", "value"),
    [("is", True), ("not", True), ("has", "x"), ("lacks", "x"), ("there", True), ("there", False)],
)
def test_a_condition_on_such_a_path_never_holds(
    path: tuple[str, ...], test: Any, value: Any
) -> None:  # 3-31
    for state in (PARTY, LATER):
        assert not holds([Condition(path, test, value)], state)


async def test_in_null_is_nothing() -> None:
    store = VariantStore()
    store.store("k", ["alone"], state={"foe": None}, depends=[("foe", "id")])
    assert await store.get("k", state={"foe": {}}) == ["alone"]
    assert holds([Condition(("foe", "id"), "there", False)], {"foe": None})


STATS = {"str": 1, "dex": {"now": 1, "was": 1}, "seen": ["mill"]}


@pytest.mark.parametrize("kind", [dict, MappingProxyType])
async def test_of_what_lies_deep_only_what_has_changed_is_dropped(kind: Any) -> None:  # 3-31
    def told(**stats: Any) -> Any:
        inner = kind({"stats": kind({**STATS, **stats}), "pos": kind({"x": 1})})
        return kind({"actors": kind({"grik": inner}), "location": "cave"})

    store, grik = VariantStore(), ("actors", "grik", "stats")
    store.changed(told())
    store.store("str", ["x"], depends=[(*grik, "str")])
    store.store("dex", ["x"], depends=[(*grik, "dex")])
    store.store("was", ["x"], depends=[(*grik, "dex", "was")])
    store.store("first", ["x"], depends=[(*grik, "seen", "0")])
    store.store("grik", ["x"], depends=[("actors", "grik")])
    store.store("cave", ["x"], depends=[("location",)])
    assert store.changed(told(dex={"now": 2, "was": 1})) == 2
    kept = [key for key in ("str", "was", "first", "cave") if await store.get(key)]
    assert kept == ["str", "was", "first", "cave"] and len(store) == 4
    assert store.changed(told(dex={"now": 2, "was": 1}, seen=["mill", "tower"])) == 1
    assert await store.get("first") is None and len(store) == 3


async def test_what_changes_below_a_volatile_field_makes_nothing_doubtful() -> None:
    store = VariantStore()
    store.changed(before := state(pos={"x": 1, "y": 1}))
    about = Dependence((("actors", "goblin"),), (), "", ("pos",))
    store.store("k", ["x"], depends=about)
    assert store.changed(state(pos={"x": 2, "y": 1})) == 0
    assert await store.get("k") == ["x"] and before != store.state


async def test_what_is_stored_for_a_turn_that_is_over_expires_from_now() -> None:  # 0-15
    store = VariantStore()
    store.end_turn("t")
    store.store("late", ["x"], 1, turn="t")
    await store.get_or_compute({"n": 1}, lambda given: ["x"], ttl=1, turn="t")
    store.begin_turn("u")
    store.end_turn("u")
    store.begin_turn("u")
    store.store("again", ["x"], 1, turn="u")
    await asyncio.sleep(2)
    assert [key for key in ("late", "again") if store.ready(key)] == ["again"] and len(store) == 1


async def test_what_there_is_no_room_for_is_not_said_to_be_stored() -> None:
    one = Limits(Room(1, 300, "lru"), Room(1, 900, "lfu"), Room(1, 3600, "ttl"))
    store = VariantStore(one)
    assert all(store.store(key, ["x"], turn="t") for key in "abc")
    assert not store.store("d", ["x"]) and store.ready("d") is None


@pytest.mark.parametrize(
    ("found", "wanted", "same"),
    [
        (1, True, False), (True, True, True), (0, False, False), (1, 1.0, True),
        ([1], [True], False), ([1, [2]], (1, (2,)), True), ([1], [1, 2], False),
        ({"a": 1}, {"a": True}, False), ({"a": 1}, {"a": 1.0}, True), ({"a": 1}, {"b": 1}, False),
        ("1", 1, False), (None, False, False),
    ],
)  # fmt: skip
def test_a_guard_compares_as_json_does(found: Any, wanted: Any, same: bool) -> None:  # 3-31
    at = {"a": found, "of": [found]}
    assert holds([Condition(("a",), "is", wanted)], at) is same
    assert holds([Condition(("a",), "not", wanted)], at) is not same
    assert holds([Condition(("of",), "has", wanted)], at) is same
    assert holds([Condition(("of",), "lacks", wanted)], at) is not same


@pytest.mark.parametrize("expected", [False, True])
async def test_what_an_action_changes_itself_leaves_what_was_prepared_for_it_good(
    expected: bool,
) -> None:  # G1
    store, ours = VariantStore(), Dependence(tuple(GOBLIN), (), "mira strikes", ())
    store.changed(state())
    store.store("ours", ["x"], depends=ours)
    store.store("theirs", ["x"], depends=tuple(GOBLIN))
    change = [(("actors", "goblin", "ac"), "mira strikes")]
    assert store.changed(state(ac=17), change, expected=expected) == 1
    assert await store.get("ours") == ["x"]
    assert (await store.get("theirs") is not None) is expected
    both = [*change, (("actors", "goblin", "hp"), None)]
    store.changed(state(ac=18, hp=1), both)
    assert await store.get("ours") is None and len(store) == 0
