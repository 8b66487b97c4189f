"""The plan of what to prefetch: priority, value, cost, budgets, and why."""

from __future__ import annotations

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.schedule import (
    BUILT_IN,
    Constraints,
    Costs,
    Entry,
    Item,
    Kind,
    Kinds,
    Lane,
    Learned,
    Plan,
    Priority,
    State,
    Urgency,
    Verdict,
    schedule,
)
from foretell.operators.schedule_settings import Scheduling

P0, P1, P2, P3, P4 = Priority
ANY = Constraints(10**9, 10**7, None, 0.0, 0.0)
"""Room for all."""


def only(plan: Plan) -> Entry:
    (entry,) = plan.entries
    return entry


def keys(entries: Any) -> list[str]:
    return [key for entry in entries for key in entry.keys]


# --- priority


@pytest.mark.parametrize(
    ("kind", "base"),
    [
        ("primary_skill", P1),
        ("secondary_skill", P2),
        ("main_file", P1),
        ("related_file", P2),
        ("test_file", P2),
        ("documentation", P3),
    ],
)
def test_each_kind_of_the_document_has_its_base_priority(kind: str, base: Priority) -> None:  # 1-15
    entry = only(schedule([Item("a", kind, 0.8)], ANY))
    assert (entry.base, entry.priority, entry.modifiers) == (base, base, ())


MODIFIERS: dict[str, tuple[int, dict[str, Any], dict[str, Any]]] = {
    "urgency is critical": (-1, {"urgency": Urgency.CRITICAL}, {}),
    "high": (0, {"urgency": Urgency.HIGH}, {}),
    "medium": (0, {"urgency": Urgency.MEDIUM}, {}),
    "urgency is low": (+1, {"urgency": Urgency.LOW}, {}),
    "confidence above 0.9": (-1, {"confidence": 0.91}, {}),
    "exactly 0.9": (0, {"confidence": 0.9}, {}),
    "exactly 0.6": (0, {"confidence": 0.6}, {}),
    "confidence below 0.6": (+1, {"confidence": 0.59}, {}),
    "accessed in the last 5 minutes": (-1, {}, {"accessed": {"a": 300.0}}),
    "a little longer ago": (0, {}, {"accessed": {"a": 300.1}}),
    "used more than 5 times today": (-1, {}, {"used_today": {"a": 6}}),
    "5 times": (0, {}, {"used_today": {"a": 5}}),
}


@pytest.mark.parametrize("name", MODIFIERS)
def test_each_modifier_alone(name: str) -> None:  # 1-16 1-17 1-18 1-19
    by, item, state = MODIFIERS[name]
    entry = only(
        schedule([Item("a", "test_file", **{"confidence": 0.8, **item})], ANY, State(**state))
    )
    assert entry.priority == P2 + by
    assert entry.modifiers == (((by, name),) if by else ())


@pytest.mark.parametrize("base", [P0, P1, P2, P3, P4])
@pytest.mark.parametrize("urgency", Urgency)
@pytest.mark.parametrize("confidence", [0.5, 0.8, 0.95])
def test_modifiers_add_up_and_stay_between_p0_and_p4(
    base: Priority, urgency: Urgency, confidence: float
) -> None:  # 1-16 1-17 1-18 1-19
    kinds = Kinds([Kind("own", base)])
    for age, uses in itertools.product((None, 60.0), (0, 9)):
        state = State(
            accessed={} if age is None else {"a": age}, used_today={"a": uses} if uses else {}
        )
        entry = only(schedule([Item("a", "own", confidence, urgency)], ANY, state, kinds))
        moved = {Urgency.CRITICAL: -1, Urgency.LOW: 1}.get(urgency, 0)
        moved += -1 if confidence > 0.9 else 1 if confidence < 0.6 else 0
        moved += (-1 if age is not None else 0) + (-1 if uses else 0)
        assert entry.priority == min(4, max(0, base + moved))
        assert sum(modifier.by for modifier in entry.modifiers) == moved


def test_a_priority_can_be_set_for_all_for_a_kind_and_for_a_key() -> None:  # 1-7
    items = [Item("a", "lore", 0.95), Item("b", "lore", 0.95), Item("c", "voice", 0.95)]
    found = schedule(items, Constraints(priority_override=P3))
    assert [entry.priority for entry in found.entries] == [P3] * 3
    own = Constraints(priority_override={"lore": P4, "b": P0})
    assert {e.keys[0]: e.priority for e in schedule(items, own).entries} == {
        "a": P4,
        "b": P0,
        "c": P1,
    }
    first = schedule(items, own).entries[0]
    assert (first.base, first.modifiers) == (P3, ((0, "priority overridden"),))


# --- what is needed at all


def test_what_is_cached_pending_or_unavailable_is_left_and_says_so() -> None:  # 1-8 1-9
    items = [Item(key, "lore") for key in "abcd"]
    state = State(frozenset("a"), frozenset("b"), unavailable=frozenset("c"))
    plan = schedule(items, ANY, state)
    assert {key: plan.why(entry) for entry in plan.left for key in entry.keys} == {
        "a": "cached already",
        "b": "being loaded already",
        "c": "could not be had a moment ago",
    }
    assert keys(plan.taken) == ["d"] and plan.wanted == {"b", "d"}


def test_what_is_too_unlikely_is_left() -> None:  # 1-58
    plan = schedule([Item("a", "voice", 0.49), Item("b", "voice", 0.5)])
    assert keys(plan.taken) == ["b"]
    assert plan.why(plan.left[0]) == "confidence is below 0.5"


def test_nothing_waits_for_what_is_doubtful() -> None:  # 1-59
    sure = {"a": 0.79, "b": 0.8}
    plan = schedule([Item(key, "main_file", confidence) for key, confidence in sure.items()])
    lanes = {entry.keys[0]: entry.lane for entry in plan.entries}
    assert lanes == {"a": Lane.BACKGROUND, "b": Lane.IMMEDIATE}
    assert plan.entries[0].priority is plan.entries[1].priority is P1
    plan = schedule([Item(key, "voice", confidence) for key, confidence in sure.items()])
    lanes = {entry.keys[0]: entry.lane for entry in plan.entries}
    assert lanes == {"a": Lane.BACKGROUND, "b": Lane.EAGER}


def test_without_speculation_only_what_is_certain_is_fetched() -> None:  # 1-61
    items = [Item("a", "main_file", 0.99), Item("b", "main_file", 1.0)]
    assert keys(schedule(items, Constraints(speculative=False)).taken) == ["b"]


# --- value and cost


def test_value_is_confidence_by_the_worth_of_the_kind() -> None:  # 1-10
    kinds = Kinds([Kind("own", P2, worth=3.0)])
    assert only(schedule([Item("a", "own", 0.5)], ANY, None, kinds)).value == 1.5


@pytest.mark.parametrize(
    ("item", "learned", "tokens"),
    [
        ({"tokens": 70, "size": 4_000}, {"lore": Learned(90, 1.0)}, 70),
        ({"size": 4_001}, {"lore": Learned(90, 1.0)}, 1_001),
        ({}, {"lore": Learned(90, 1.0)}, 90),
        ({}, {}, BUILT_IN["lore"].tokens),
        ({"tokens": 0}, {}, 1),
        ({"size": 0}, {}, 1),
        ({"tokens": 0, "shared": 40}, {}, 40),
    ],
)
def test_a_cost_comes_from_what_is_known_best_and_is_never_nothing(
    item: dict[str, Any], learned: dict[str, Learned], tokens: int
) -> None:  # 1-10
    assert only(schedule([Item("a", "lore", **item)], ANY, State(learned=learned))).tokens == tokens


def test_costs_are_learned_by_kind() -> None:  # 1-10
    costs = Costs()
    costs.observe("lore", 100, 10.0)
    assert costs["lore"] == Learned(100, 10.0)
    for _ in range(60):
        costs.observe("lore", 300, 30.0)
    assert 295 <= costs["lore"].tokens <= 300 and costs["lore"].ms == pytest.approx(30, abs=0.1)
    costs.observe("void", 0, 0.0)
    assert costs["void"].tokens == 1


def test_the_results_of_one_action_are_one_with_their_sum_and_their_shared_cost() -> None:  # 1-58
    results = [
        Item(f"strike:{name}", "variant", share, tokens=80, shared=900, together="strike")
        for name, share in (("hit", 0.6), ("miss", 0.35), ("critical", 0.05))
    ]
    plan = schedule(results)
    entry = only(plan)
    assert entry.confidence == pytest.approx(1) and entry.tokens == 900 + 3 * 80
    assert entry.value == pytest.approx(BUILT_IN["variant"].worth)
    assert entry.keys == ("strike:critical", "strike:hit", "strike:miss") and entry.taken
    assert all(not schedule([replace_together(each)]).taken for each in results[1:])


def replace_together(item: Item) -> Item:
    return Item(item.key, item.kind, item.confidence)


def test_results_that_are_prepared_apart_are_as_likely_as_their_action() -> None:  # 1-58
    kinds = Kinds([Kind("variant", P1, worth=2.0, tokens=900, limit_ms=60_000, apart=True)])
    shares = {"hit": 0.45, "miss": 0.3, "critical": 0.05}
    results = [Item(name, "variant", share, together="x") for name, share in shares.items()]
    plan = schedule(results, Constraints(2_000), None, kinds)
    assert [entry.confidence for entry in plan.entries] == [pytest.approx(0.8)] * 3
    assert keys(plan.taken) == ["hit", "miss"] and plan.tokens == 1_800
    assert plan.taken[0].value == 0.9


def test_a_kind_may_say_how_likely_its_items_have_to_be() -> None:  # 1-58
    kinds = Kinds([Kind("lax", P1, least=0.0), Kind("strict", P1, least=0.9)])

    def taken(*given: str, confidence: float = 0.6, together: str | None = None) -> list[str]:
        items = [Item(each, each, confidence, together=together) for each in given]
        return sorted(key for entry in schedule(items, kinds=kinds).taken for key in entry.keys)

    assert taken("lax", "strict", "lore") == ["lax", "lore"]
    assert taken("lax", "strict", "lore", confidence=0.4) == ["lax"]
    assert taken("strict", confidence=0.9) == ["strict"]
    for both in (("lore", "strict"), ("strict", "lore")):
        assert taken(*both, confidence=0.25, together="x") == ["lore", "strict"]  # it is the sum
        assert not taken(*both, confidence=0.2, together="x")
    with pytest.raises(ValueError, match="least of the kind x"):
        Kind("x", P1, least=1.5)


def test_how_likely_a_moment_is_can_be_said() -> None:  # 1-58
    both = [Item(name, "variant", 0.4, together="x", moment=0.45) for name in ("orc", "wolf")]
    assert not schedule(both).taken
    assert schedule([replace(each, moment=None) for each in both]).taken
    assert only(schedule([both[0], replace(both[1], moment=0.7)])).confidence == 0.7
    with pytest.raises(ValueError, match="moment of 'a' is"):
        Item("a", "lore", moment=1.5)


def test_of_a_moment_what_is_cached_is_not_prepared_again_and_the_rest_is() -> None:  # 1-9 1-58
    results = [Item(name, "variant", 0.45, tokens=10, shared=50, together="x") for name in "ab"]
    plan = schedule(results, state=State(frozenset("a")))
    assert {entry.keys: entry.verdict for entry in plan.entries} == {
        ("a",): Verdict.CACHED,
        ("b",): Verdict.FITS,
    }
    taken = plan.taken[0]
    assert (taken.tokens, taken.confidence, taken.value) == (60, 0.9, 0.9)


def test_what_is_together_takes_as_long_as_the_longest_of_it() -> None:  # 1-13
    items = [Item(key, "lore", 0.4, ms=ms, together="x") for key, ms in (("a", 30.0), ("b", 70.0))]
    assert only(schedule(items, ANY)).ms == 70


def test_what_is_together_is_as_urgent_recent_and_frequent_as_any_of_it() -> None:  # 1-16 1-18 1-19
    items = [
        Item("a", "documentation", 0.4, together="x"),
        Item("b", "voice", 0.4, Urgency.CRITICAL, together="x"),
    ]
    state = State(accessed={"a": 10.0, "b": 4_000.0}, used_today={"b": 9})
    entry = only(schedule(items, ANY, state))
    assert entry.base is P2 and entry.priority is P0 and len(entry.modifiers) == 3


# --- order


def test_the_order_is_by_priority_then_by_value_for_a_token() -> None:  # 1-11
    items = [
        Item("cheap lore", "lore", 0.8, tokens=10),
        Item("dear file", "main_file", 0.9, tokens=900),
        Item("cheap file", "main_file", 0.8, tokens=90),
        Item("skill", "secondary_skill", 0.8, tokens=1),
    ]
    assert keys(schedule(items, ANY).entries) == ["cheap file", "dear file", "skill", "cheap lore"]


def as_the_document_sorts(entries: list[Entry], tokens: int) -> list[str]:
    """``sort(key=(priority, value / cost), reverse=True)``, to the letter."""
    taken: list[str] = []
    for entry in sorted(entries, key=lambda e: (e.priority, e.value / e.tokens), reverse=True):
        if entry.tokens <= tokens:
            taken += entry.keys
            tokens -= entry.tokens
    return taken


def test_what_is_urgent_is_not_starved_by_what_can_wait() -> None:  # 1-11
    """The document's own sort puts P4 first: kept here as what must not happen."""
    kinds = Kinds([Kind("graph", P4)])
    items = [
        Item("main", "main_file", 0.8, tokens=600),
        Item("history", "graph", 0.8, tokens=500),
        Item("manual", "documentation", 0.8, tokens=400),
    ]
    plan = schedule(items, Constraints(1_000), None, kinds)
    assert as_the_document_sorts(list(plan.entries), 1_000) == ["history", "manual"]
    assert keys(plan.taken) == ["main", "manual"] and keys(plan.deferred) == ["history"]


# --- budgets


def test_what_comes_later_and_fits_is_taken_after_what_does_not() -> None:  # 1-12 1-66
    items = [
        Item("a", "main_file", 0.8, tokens=900),
        Item("b", "related_file", 0.8, tokens=300),
        Item("c", "documentation", 0.8, tokens=80),
    ]
    plan = schedule(items, Constraints(1_000))
    assert keys(plan.taken) == ["a", "c"] and plan.tokens == 980
    assert plan.why(plan.left[0]) == "does not fit: 300 tokens, 100 are left"
    assert plan.why(plan.taken[1]) == "fits: 80 of 100 tokens left, 50 of 1,950 ms"


def test_the_time_budget_is_honoured_too() -> None:  # 1-13
    items = [
        Item(key, "lore", 0.8, tokens=1, ms=ms) for key, ms in (("a", 0.7), ("b", 0.4), ("c", 0.3))
    ]
    plan = schedule(items, Constraints(time_budget_ms=1.0))
    assert keys(plan.taken) == ["a", "c"] and plan.ms == 1.0
    assert plan.why(plan.left[0]).startswith("does not fit: 0 ms")


@pytest.mark.parametrize(
    ("budget", "taken"), [(99, []), (100, ["a"]), (199, ["a"]), (200, ["a", "b"])]
)
def test_what_fits_exactly_is_taken_and_one_token_more_is_not(
    budget: int, taken: list[str]
) -> None:  # 1-12
    items = [Item(key, "voice", 0.8, tokens=100) for key in "ab"]
    assert keys(schedule(items, Constraints(budget)).taken) == taken


def test_however_short_a_time_is_it_takes_some_of_the_budget() -> None:  # 1-13
    items = [Item(key, "voice", 0.8, ms=0.0009) for key in "abc"]
    assert len(schedule(items, Constraints(time_budget_ms=0.002)).taken) == 2


def test_a_kind_with_a_limit_of_its_own_takes_nothing_of_the_time_for_content() -> (
    None
):  # 1-13 1-20
    plan = schedule([Item("a", "variant", 0.85)], Constraints(time_budget_ms=0.0))
    assert keys(plan.taken) == ["a"] and plan.ms == 0


@pytest.mark.parametrize(
    ("priority", "lane"),
    [
        (P0, Lane.IMMEDIATE),
        (P1, Lane.IMMEDIATE),
        (P2, Lane.EAGER),
        (P3, Lane.BACKGROUND),
        (P4, Lane.DEFERRED),
    ],
)
def test_each_priority_has_its_strategy(priority: Priority, lane: Lane) -> None:  # 1-2 … 1-5 1-12
    plan = schedule([Item("a", "lore")], Constraints(priority_override=priority))
    assert only(plan).lane is lane
    assert bool(plan.immediate) is (priority <= 2)
    assert bool(plan.background) is (priority == 3)
    assert bool(plan.deferred) is (priority == 4)


def test_what_is_deferred_spends_nothing() -> None:  # 1-5
    plan = schedule([Item("a", "lore", tokens=900)], Constraints(0, 0.0, P4))
    assert only(plan).lane is Lane.DEFERRED and not plan.taken and plan.tokens == 0
    assert plan.why(only(plan)) == "P4 is loaded on demand only"


def test_what_is_critical_and_not_cached_is_named() -> None:  # 1-1
    items = [Item(key, "core") for key in "abc"]
    plan = schedule(items, Constraints(1), State(frozenset("a"), frozenset("b")))
    assert [item.key for item in plan.critical] == ["b", "c"]


# --- properties

PLAIN = st.builds(
    Item,
    key=st.text("abcdefgh", min_size=1, max_size=3),
    kind=st.sampled_from(["core", "variant", "lore", "stat_block", "documentation"]),
    confidence=st.floats(0, 1),
    urgency=st.sampled_from(Urgency),
    tokens=st.none() | st.integers(0, 900),
    shared=st.integers(0, 200),
    ms=st.none() | st.floats(0, 300),
    together=st.sampled_from([None, None, "x", "y"]),
)
ITEMS = st.lists(PLAIN, max_size=14, unique_by=lambda item: item.key)
BUDGETS = st.builds(
    Constraints,
    token_budget=st.integers(0, 3_000),
    time_budget_ms=st.floats(0, 500),
    min_confidence_for_prefetch=st.sampled_from([0.0, 0.3]),
    min_confidence_for_immediate=st.sampled_from([0.0, 0.8]),
    speculative=st.booleans(),
)
STATES = st.builds(
    State,
    cached_items=st.frozensets(st.text("abcd", min_size=1, max_size=2), max_size=6),
    pending_loads=st.frozensets(st.text("abcd", min_size=1, max_size=2), max_size=6),
    accessed=st.dictionaries(st.text("abcd", min_size=1, max_size=1), st.floats(0, 900)),
)


@given(items=ITEMS, constraints=BUDGETS, state=STATES)
def test_no_budget_is_ever_exceeded(
    items: list[Item], constraints: Constraints, state: State
) -> None:  # 1-12 1-13
    plan = schedule(items, constraints, state)
    assert sum(entry.tokens for entry in plan.taken) <= constraints.token_budget
    assert math.fsum(entry.ms for entry in plan.taken) <= constraints.time_budget_ms
    assert all(entry.tokens >= 1 for entry in plan.entries)
    assert sorted(keys(plan.entries)) == sorted(item.key for item in items)
    assert not {*keys(plan.taken)} & (state.cached_items | state.pending_loads)


@given(
    items=ITEMS, constraints=BUDGETS, state=STATES, more=st.integers(0, 900), ms=st.floats(0, 300)
)
def test_what_more_budget_loses_stands_after_what_it_has_won(
    items: list[Item], constraints: Constraints, state: State, more: int, ms: float
) -> None:  # 1-12
    before = schedule(items, constraints, state)
    greater = Constraints(
        constraints.token_budget + more,
        constraints.time_budget_ms + ms,
        None,
        constraints.min_confidence_for_prefetch,
        constraints.min_confidence_for_immediate,
        constraints.speculative,
    )
    after = schedule(items, greater, state)
    assert [entry.keys for entry in before.entries] == [entry.keys for entry in after.entries]
    for one, other in zip(before.entries, after.entries, strict=True):
        if one.taken != other.taken:
            assert other.taken
            lost = {*keys(before.taken)} - {*keys(after.taken)}
            assert all(e.priority >= other.priority for e in before.taken if e.keys[0] in lost)
            break


@given(items=ITEMS, constraints=BUDGETS, state=STATES, seed=st.integers(0, 99))
def test_the_order_of_the_predictions_changes_nothing(
    items: list[Item], constraints: Constraints, state: State, seed: int
) -> None:  # 1-11
    shuffled = random.Random(seed).sample(items, len(items))
    assert schedule(shuffled, constraints, state) == schedule(items, constraints, state)


@given(items=ITEMS, constraints=BUDGETS, state=STATES)
def test_what_is_left_for_want_of_room_would_not_have_fitted(
    items: list[Item], constraints: Constraints, state: State
) -> None:  # 1-12
    tokens, us = constraints.token_budget, math.floor(1000 * constraints.time_budget_ms)
    for entry in schedule(items, constraints, state).entries:
        if entry.verdict in (Verdict.TOKENS, Verdict.TIME):
            assert entry.tokens > tokens or math.ceil(1000 * entry.ms) > us
        if entry.taken:
            tokens -= entry.tokens
            us -= math.ceil(1000 * entry.ms)


# --- bad input


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"confidence": math.nan}, "confidence of 'a' is not a finite number"),
        ({"confidence": -0.1}, "confidence of 'a' is -0.1: choose a number from 0 to 1"),
        ({"confidence": 1.01}, "confidence of 'a' is 1.01"),
        ({"confidence": True}, "confidence of 'a' is True"),
        ({"confidence": "much"}, "confidence of 'a' is 'much'"),
        ({"tokens": -1}, "tokens of 'a' is -1: choose a whole number from 0"),
        ({"tokens": 1.5}, "tokens of 'a' is 1.5"),
        ({"tokens": 10**5000}, "tokens of 'a' is far too large"),
        ({"size": math.inf}, "size of 'a' is not a finite number"),
        ({"ms": math.inf}, "ms of 'a' is not a finite number"),
        ({"shared": -5}, "shared tokens of 'a' is -5"),
        (
            {"urgency": "huge"},
            "urgency of 'a' is 'huge': choose an Urgency, critical, high, medium, low",
        ),
        ({"alternative": "a"}, "'a' is its own alternative"),
        ({"alternative": ["b"]}, r"alternative of 'a' is \['b'\]: choose a text, or none"),
        ({"together": [1]}, r"together of 'a' is \[1\]: choose a text, or none"),
        ({"turn": 3}, "turn of 'a' is 3: choose a text, or none"),
        ({"kind": 5}, "an item's kind is 5: choose 1 to 100 characters"),
        ({"kind": ["lore"]}, r"an item's kind is \['lore'\]: choose 1 to 100 characters"),
    ],
)
def test_an_item_that_cannot_be_is_refused_by_name(wrong: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Item(**{"key": "a", "kind": "lore", **wrong})


@pytest.mark.parametrize(
    "wrong",
    [
        {"token_budget": -1},
        {"token_budget": 10**10},
        {"token_budget": 1e3},
        {"time_budget_ms": math.nan},
        {"time_budget_ms": -0.5},
        {"time_budget_ms": math.inf},
        {"min_confidence_for_prefetch": math.nan},
        {"min_confidence_for_immediate": 2},
        {"priority_override": 0},
        {"priority_override": {"lore": 7}},
        {"speculative": "no"},
    ],
)
def test_absurd_constraints_are_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Constraints(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"cached_items": "abc"},
        {"accessed": {"a": math.nan}},
        {"accessed": {"a": -1}},
        {"used_today": {"a": -1}},
        {"learned": {"lore": Learned(-1, 1.0)}},
        {"learned": {"lore": Learned(1, math.nan)}},
    ],
)
def test_a_state_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        State(**wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"worth": math.nan}, {"tokens": 0}, {"ms": -1}, {"limit_ms": 0}, {"most": 0}),
        *({"base": 7}, {"least": 2}, {"source": "lore.json"}),
    ],
)
def test_a_kind_that_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=name):
        Kind("own", **{"base": P1, **wrong})


def test_unknown_kinds_names_said_twice_and_circles_are_refused_whatever_the_order() -> None:
    def refused(*items: Item) -> str:
        said = set()
        for order in itertools.permutations(items):
            with pytest.raises(ValueError, match=r"\S") as caught:
                schedule(order)
            said.add(str(caught.value))
        (one,) = said
        assert "\n" not in one
        return one

    assert "'a' is of an unknown kind, 'dragon'" in refused(Item("b", "wyrm"), Item("a", "dragon"))
    assert refused(Item("a", "lore"), Item("b", "lore"), Item("a", "voice")).startswith("two items")
    ring = [Item(a, "lore", alternative=b) for a, b in ("ab", "bc", "cb")]
    assert refused(*ring) == "alternatives go in a circle: b → c → b"
    chain = [Item(a, "lore", alternative=b) for a, b in ("ab", "bc", "dc")]
    assert len(schedule(chain, ANY).taken) == 3


def test_a_registered_kind_is_planned_as_any_other() -> None:  # 1-6
    kinds = Kinds()
    kinds.register(Kind("map", P0, tokens=30))
    entry = only(schedule([Item("cellar", "map", 0.8)], ANY, None, kinds))
    assert (entry.priority, entry.tokens) == (P0, 30)
    assert "map" not in BUILT_IN
    for name in ("skills", "files", "behaviors", "resources", "variant", "stat_block", "spell_list",
                 "lore", "voice"):  # fmt: skip
        assert name in BUILT_IN


def test_nothing_predicted_is_an_empty_plan() -> None:  # 1-14
    plan = schedule([])
    assert plan.entries == () and plan.tokens == 0 and plan.as_json()["entries"] == []


def test_constraints_are_what_settings_say() -> None:  # 1-52 1-58 1-59 1-61
    assert Constraints.of(Scheduling()) == Constraints(10_000, 2_000.0, None, 0.5, 0.8, True)
