"""Steps against the tools and the snapshot, and the rules that stand in for a model."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import Registry, Step
from foretell.operators.plans.check import MOST_DROPPED, check, checked
from foretell.operators.plans.gate import outdates, touched
from foretell.operators.plans.heuristic import by_rules
from foretell.operators.plans.sight import Sight
from foretell.operators.plans.types import Flaw

CORE, FULL = Registry.core(), Registry.full()
SNAPSHOT: dict[str, Any] = {
    "me": {"id": "grik", "side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {
        "mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21},
        "bran": {"side": "party", "pos": [30, 4], "hp": 8, "max_hp": 21},
        "snag": {"side": "foes", "pos": [2, 2], "hp": 5, "max_hp": 12},
    },
    "place": "the old bridge",
}


def me(**changed: Any) -> dict[str, Any]:
    return {**SNAPSHOT, "me": {**SNAPSHOT["me"], **changed}}


def mira(**changed: Any) -> dict[str, Any]:
    others = SNAPSHOT["others"]
    return {**SNAPSHOT, "others": {**others, "mira": {**others["mira"], **changed}}}


GOOD = [
    ({"do": "Attack", "target": "mira"}, {"target": "mira"}),
    ({"act": "MoveTo", "x": 10, "y": 10.5}, {"x": 10, "y": 10.5}),
    ({"tool": "Attack", "target_id": "bran"}, {"target": "bran"}),
    ({"do": "Wait", "reason": "for the sake of it"}, {}),
    (Step("Attack", {"target": "mira"}), {"target": "mira"}),
]


@pytest.mark.parametrize(("raw", "args"), GOOD)
def test_a_step_keeps_the_parameters_of_its_tool_and_no_others(raw: Any, args: Any) -> None:  # 3-6
    step = check(raw, CORE, Sight(SNAPSHOT))
    assert isinstance(step, Step) and step.args == args


BAD = [
    ("Wait", "no_step"),
    ({"x": 1}, "no_step"),
    ({"do": 3}, "no_step"),
    ({"do": "Fly"}, "unknown_tool"),
    ({"do": "Heal"}, "unknown_tool"),  # it is in the full set
    ({"do": "Attack"}, "missing"),
    ({"do": "MoveTo", "x": 1, "y": None}, "missing"),
    ({"do": "MoveTo", "x": "1", "y": 2}, "type"),
    ({"do": "MoveTo", "x": True, "y": 2}, "type"),
    ({"do": "Attack", "target": ["mira"]}, "type"),
    ({"do": "MoveTo", "x": 1e9, "y": 2}, "range"),
    ({"do": "MoveTo", "x": -1000.5, "y": 2}, "range"),
    ({"do": "Attack", "target": "nobody"}, "target"),
    ({"do": "Attack", "target": "snag"}, "target"),  # one of the own side
    ({"do": "Attack", "target": 5}, "target"),
]


@pytest.mark.parametrize(("raw", "kind"), BAD)
def test_a_step_that_cannot_be_done_has_its_reason(raw: Any, kind: str) -> None:  # 3-6
    flaw = check(raw, CORE, Sight(SNAPSHOT))
    assert isinstance(flaw, Flaw) and flaw.kind == kind
    assert flaw.what and "\n" not in flaw.what


def test_what_a_tool_needs_is_looked_for_in_the_snapshot() -> None:  # 3-31
    attack = {"do": "Attack", "target": "mira"}
    for snapshot in (me(ammo=0), mira(hp=0), mira(hp=-4)):
        flaw = check(attack, CORE, Sight(snapshot))
        assert isinstance(flaw, Flaw) and flaw.kind == "precondition"
    unknown = {"me": {}, "others": {"mira": {}}}  # nothing speaks against it
    assert isinstance(check(attack, CORE, Sight(unknown)), Step)


def test_what_a_step_leaves_behind_allows_the_next() -> None:  # 3-6
    reload, attack = {"do": "Reload"}, {"do": "Attack", "target": "mira"}
    empty = Sight(me(ammo=0))
    steps, dropped = checked([attack, reload, attack], CORE, empty)
    assert [step.tool for step in steps] == ["Reload", "Attack"]
    assert [each.flaw.kind for each in dropped] == ["precondition"]
    assert empty.me["ammo"] == 0  # a sight never changes


def test_a_step_that_failed_does_not_come_again() -> None:
    step = Step("Attack", {"target": "mira"})
    flaw = check(step, CORE, Sight(SNAPSHOT), {step.key})
    assert isinstance(flaw, Flaw) and flaw.kind == "repeated"
    assert isinstance(check({"do": "Attack", "target": "bran"}, CORE, Sight(SNAPSHOT), {step.key}),
                      Step)  # fmt: skip


def test_no_more_is_kept_of_what_is_dropped_than_there_is_room_for() -> None:
    _, dropped = checked([{"do": "Fly"}] * 1000, CORE, Sight(SNAPSHOT))
    assert len(dropped) == MOST_DROPPED


def test_others_may_be_a_list_and_of_two_of_one_id_the_first_stands() -> None:
    others = [{"id": "mira", "hp": 3}, {"id": "mira", "hp": 0}, {"hp": 1}, 7, {"id": 4, "hp": 2}]
    sight = Sight({"others": others})
    assert {name: one["hp"] for name, one in sight.others.items()} == {"mira": 3, "4": 2}


# --- rules


def test_rules_do_what_is_urgent_first() -> None:  # 3-46
    assert by_rules(CORE, Sight(me(ammo=0)))[0].tool == "Reload"
    assert by_rules(CORE, Sight(me(hp=1)))[0].tool == "Retreat"
    first = by_rules(CORE, Sight(SNAPSHOT))[0]
    assert (first.tool, first.args) == ("Attack", {"target": "mira"})  # the nearest foe
    assert by_rules(CORE, Sight({}))[0].tool == "Scan"


def test_where_all_has_failed_rules_do_what_is_safe() -> None:  # 3-40
    barred: set[bytes] = set()
    for _ in range(100):
        step = by_rules(FULL, Sight(SNAPSHOT), barred)[0]
        if step.key in barred:
            break
        barred.add(step.key)
    assert step.tool == "Wait"


def test_what_a_step_does_to_ones_points_is_known_to_the_next() -> None:
    tool = {
        "name": "Drink",
        "doc": "Heal.",
        "effects": [{"path": "me.hp", "value": 12}],
        "needs": [{"path": "me.health", "test": "below", "value": 0.5}],
        "worth": [{"points": 3}],
    }
    registry = Registry.of({"tools": [tool, {"name": "Wait", "doc": "Stay.", "safe": True}]})
    sight = Sight(me(hp=2))
    assert check({"do": "Drink"}, registry, sight) == Step("Drink")
    later = sight.after(registry["Drink"], {})
    assert later.me["health"] == 1 and later.others == sight.others and later.near == sight.near
    assert isinstance(check({"do": "Drink"}, registry, later), Flaw)


def test_rules_aim_where_bounds_allow_it_and_at_whole_numbers_if_need_be() -> None:
    params = {"x": {"kind": "integer", "low": 0, "high": 4}, "y": {"kind": "number"}}
    tool = {"name": "Throw", "doc": "It.", "params": params, "aim": "at", "worth": [{"points": 1}]}
    registry = Registry.of({"tools": [tool, {"name": "Wait", "doc": "Stay.", "safe": True}]})
    assert by_rules(registry, Sight(mira(pos=[2.6, 7.5]))) == (Step("Throw", {"x": 3, "y": 7.5}),)
    assert by_rules(registry, Sight(SNAPSHOT)) == (Step("Throw", {"x": 4, "y": 4}),)


ABSURD = st.none() | st.booleans() | st.integers(-5, 5) | st.floats(-1e6, 1e6) | st.text(max_size=3)
ABSURD |= st.lists(st.integers(-9, 9) | st.none(), max_size=3)
NAMES = ("id", "side", "pos", "hp", "max_hp", "ammo", "cover", "x", "y", "health", "immobile")
SIDES = st.sampled_from(("party", "foes"))
ONE = st.fixed_dictionaries({}, optional=dict.fromkeys(NAMES, ABSURD) | {"side": SIDES | ABSURD})
SNAPSHOTS = st.fixed_dictionaries(
    {},
    optional={
        "me": ONE | ABSURD,
        "others": st.dictionaries(st.text(max_size=4), ONE | ABSURD, max_size=4) | ABSURD
        | st.lists(ONE | ABSURD, max_size=4),
        "place": ABSURD,
    },
)  # fmt: skip


@given(SNAPSHOTS, st.sampled_from((CORE, FULL)), st.integers(0, 3))
def test_rules_always_give_a_plan_that_can_be_done(
    snapshot: dict[str, Any], registry: Registry, failures: int
) -> None:  # 3-40
    barred: set[bytes] = set()
    for _ in range(failures + 1):
        steps = by_rules(registry, Sight(snapshot), barred)
        fit, dropped = checked(steps, registry, Sight(snapshot), barred)
        if steps != (Step("Wait"),):
            assert [*fit] == [*steps] and not dropped
        barred.add(steps[0].key)


# --- whether a newer scene ends a plan


def told(before: dict[str, Any], now: dict[str, Any], *steps: Step) -> str | None:
    return outdates(Sight(before), Sight(now), touched(CORE, steps), ["mira"])


def test_walking_and_counting_is_no_news() -> None:
    assert told(SNAPSHOT, {**me(pos=[4, 4], ammo=1), "round": 4}) is None
    assert told(SNAPSHOT, mira(pos=[1, 1], hp=19)) is None


def test_who_comes_and_goes_and_who_is_hurt_is_news() -> None:
    fewer = {**SNAPSHOT, "others": {"mira": SNAPSHOT["others"]["mira"]}}
    assert told(SNAPSHOT, fewer) is not None
    assert told(fewer, SNAPSHOT) is not None
    assert told(SNAPSHOT, mira(hp=0)) == "mira is gone"
    assert told(SNAPSHOT, mira(hp=8)) == "the health of mira"
    assert told(SNAPSHOT, me(hp=2)) == "its own health"
    assert told(SNAPSHOT, {**SNAPSHOT, "place": "the mill"}) == "the scene"


def test_what_the_plan_itself_may_have_done_is_no_news() -> None:
    attack = Step("Attack", {"target": "mira"})
    assert told(SNAPSHOT, mira(hp=0), attack) is None
    assert told(SNAPSHOT, mira(hp=8), attack) is None
    assert told(SNAPSHOT, me(hp=2), attack) is not None
