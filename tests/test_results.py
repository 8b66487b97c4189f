"""What an outcome says of each target, and which results to prepare."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.results import KILL, Happened, happened, numbers_of, possible_results
from foretell.streams import events as ev
from foretell.streams.blows import HABIT, health_left
from foretell.streams.saves import is_save
from foretell.streams.world import Declared, Numbered, World, advance

SWORD = {"type": "attack", "name": "longsword", "target": "grik"}


def state(hp: float | None, **more: Any) -> ev.State:
    grik = {"max_hp": 30, **({} if hp is None else {"hp": hp}), **more}
    return ev.State(1.0, {"actors": {"mira": {"hp": 9}, "grik": grik}})


def play(*inputs: ev.Input) -> World:
    world = World()
    for event in inputs:
        world = advance(world, Numbered(world.number + 1, event, event.t))
    return world


def then(world: World, event: ev.Input) -> World:
    return advance(world, Numbered(world.number + 1, event, event.t))


DECLARED = ev.Action(1.0, "a1", None, "mira", SWORD)
TURN = ev.Turn(1.0, "t1", "mira")


def hit(result: str = "hit", **values: Any) -> ev.Outcome:
    return ev.Outcome(2.0, (ev.Result(result, "grik", values),), "a1")


def of(outcome: ev.Outcome, *inputs: ev.Input) -> Happened:
    return happened(play(*inputs, outcome))[0]


def test_the_health_after_is_filled_in() -> None:
    found = of(hit(damage=4), state(10), DECLARED)
    assert found == Happened("grik", "hit", "hit", {"damage": 4, "target_hp": 6}, "hit")


def test_one_that_falls_is_killed_whatever_the_roll_was_called() -> None:
    for result in ("hit", "critical", "failure"):
        assert of(hit(result, damage=12), state(10), DECLARED).name == KILL


def test_health_never_goes_below_nothing() -> None:
    assert of(hit(damage=99), state(10), DECLARED).values["target_hp"] == 0
    assert of(hit(damage=3, target_hp=-5), state(10), DECLARED).values["target_hp"] == 0
    assert of(hit(damage=99), state(10), DECLARED, state(-89)).name == KILL


def test_what_the_outcome_says_of_the_health_is_the_last_word() -> None:
    found = of(hit(damage=4, target_hp=2), state(10), DECLARED, state(5))
    assert (found.name, found.values["target_hp"]) == ("hit", 2)
    assert of(hit(damage=4, target_hp=0), state(10), DECLARED).name == KILL


def test_two_accounts_that_disagree_leave_nothing_to_trust() -> None:  # G1
    found = of(hit(damage=4), state(10), DECLARED, state(3))
    assert found.name == "" and "target_hp" not in found.values


@pytest.mark.parametrize(
    "outcome", [hit("miss"), hit(), hit("failure"), hit(damage=4), hit("critical", damage=2)]
)
@pytest.mark.parametrize("dead", [state(0), state(10, dead=True), state(10, conditions=["dead"])])
def test_one_dead_by_anothers_hand_matches_nothing_prepared(  # G1
    outcome: ev.Outcome, dead: ev.State
) -> None:
    assert of(outcome, state(10), DECLARED, dead).name == ""


@pytest.mark.parametrize("outcome", [hit("miss"), hit(damage=4)])
def test_one_that_was_down_before_cannot_fall_again(outcome: ev.Outcome) -> None:
    assert of(outcome, state(0), DECLARED).name == ""


def test_without_a_known_health_the_result_is_taken_by_its_word() -> None:
    for known in (state(None), ev.State(1.0, {}), ev.State(1.0, {"actors": [1]})):
        found = of(hit(damage=4), known, DECLARED)
        assert found == Happened("grik", "hit", "hit", {"damage": 4}, "hit")


def test_a_state_that_came_first_after_the_declaration_may_be_from_before_or_after() -> None:  # G1
    assert of(hit(damage=4), DECLARED, state(6)).name == ""


@pytest.mark.parametrize("damage", [float("nan"), float("inf"), "2d6", None, True, 10**400])
def test_damage_that_is_no_number_is_no_kill(damage: Any) -> None:
    found = of(hit(damage=damage), state(20), DECLARED)
    assert (found.name, "target_hp" in found.values) == ("hit", False)
    assert of(hit(damage=damage), state(10), DECLARED).unsure  # as if it had not been said


def test_each_target_has_its_own_result() -> None:
    fireball = {"type": "cast", "name": "fireball", "target": ["grik", "snag"]}
    declared = ev.Action(1.0, "a1", None, "mira", fireball)
    world = play(state(10), declared)
    results = (ev.Result("failure", "grik", {"damage": 12}), ev.Result("success", "snag"))
    outcome = ev.Outcome(2.0, results, "a1")
    found = happened(then(world, outcome))
    assert [(each.target, each.result, each.name) for each in found] == [
        ("grik", "failure", KILL),
        ("snag", "success", "success"),
    ]
    short = ev.Outcome(2.0, (ev.Result("failure", None, {"damage": 1}),), "a1")
    found = happened(then(world, short))
    assert [(each.target, each.name) for each in found] == [
        ("grik", "failure"),
        ("snag", "failure"),
    ]


def test_an_outcome_without_a_target_or_a_result_still_happened() -> None:
    world = play(ev.Action(1.0, "a1", None, "mira", {"type": "use", "name": "lever"}))
    done = ev.Outcome(2.0, (ev.Result("success"),), "a1")
    assert happened(then(world, done)) == (Happened(None, "success", "success", {}, "success"),)
    nothing = ev.Outcome(2.0, (), "a1")
    assert happened(then(world, nothing))[0].result == "unknown"


health = st.integers(0, 40)
damages = st.none() | st.integers(0, 45)


@given(
    hp=st.integers(1, 40),
    damage=damages,
    result=st.sampled_from(["hit", "critical", "failure", "success", "miss", "scorched"]),
    said=st.booleans(),
    declared=st.booleans(),
)
def test_update_then_outcome_is_outcome_then_update(
    hp: int, damage: int | None, result: str, said: bool, declared: bool
) -> None:  # G1
    """Wherever the outcome accounts for the change of health."""
    after = max(0, hp - (damage or 0))
    values = {} if damage is None else {"damage": damage}
    if said:
        values["target_hp"] = after
    start: list[ev.Input] = [state(hp), TURN, *([DECLARED] if declared else [])]
    of_turn = None if declared else "mira"
    outcome = ev.Outcome(
        2.0,
        (ev.Result(result, "grik", values),),
        "a1" if declared else None,
        None,
        of_turn,
        None if declared else SWORD,
    )
    first, second = of(outcome, *start), of(outcome, *start, state(after))
    assert first == second
    if damage is None and not said and result != "miss":
        assert "target_hp" not in first.values  # nobody has said how much it was
    else:
        assert first.values["target_hp"] == after
    if after == 0:
        assert first.name == KILL
    elif damage is None and not said and result in ("hit", "critical") and hp <= 10:
        assert (first.name, first.told, first.unsure) == ("", result, True)  # it may have fallen
    else:
        assert (first.name, first.unsure) == (result, False)


@given(hp=st.integers(1, 40), now=health, damage=damages, result=st.sampled_from(["hit", "miss"]))
def test_a_name_is_given_only_to_what_both_accounts_allow(
    hp: int, now: int, damage: int | None, result: str
) -> None:  # G1
    """A kill only of one that falls, a hit or miss only of one that stands."""
    values = {} if damage is None else {"damage": damage}
    found = of(hit(result, **values), state(hp), DECLARED, state(now))
    applied = now == max(0, hp - (damage or 0))
    pending = now == hp
    if found.name == KILL:
        assert damage
        assert (applied and now == 0) or (pending and damage >= hp)
    elif found.name:
        assert found.name == result
        assert now > 0
        assert not damage or (applied or (pending and damage < hp))


def after(outcome: ev.Outcome, *inputs: ev.Input) -> Happened:
    """As the pipeline has it: in the world that the outcome has moved on."""
    return happened(play(*inputs, outcome))[0]


def test_a_blow_that_is_healed_before_its_outcome_is_not_reckoned_with_twice() -> None:  # G1
    struck = ev.State(1.0, state(6).state, "a1")
    found = after(hit(damage=4), state(10), DECLARED, struck, state(9))
    assert found.values == {"damage": 4, "target_hp": 6} and found.name == "hit"
    back = ev.State(1.0, state(10).state, "a1")
    found = after(hit(damage=4), state(10), DECLARED, state(14), back)
    assert found.values == {"damage": 4, "target_hp": 10} and found.name == "hit"
    assert after(hit(damage=4), state(10), DECLARED, struck).values["target_hp"] == 6
    assert after(hit(damage=4), state(10), DECLARED, state(10, pos=1)).values["target_hp"] == 6


def test_a_change_by_another_action_does_not_show_this_one() -> None:  # G1
    other = ev.Action(1.0, "a2", None, "tom", SWORD)
    struck = ev.State(1.0, state(6).state, "a2")
    found = after(hit(damage=4), state(10), DECLARED, other, struck)
    assert found.values == {"damage": 4, "target_hp": 2} and found.name == "hit"
    felled = ev.State(1.0, state(0).state, "a2")
    found = after(hit(damage=10), state(10), DECLARED, other, felled)
    assert found.name == "" and not found.down  # it may be this that comes first


def test_what_shows_an_earlier_blow_does_not_show_the_next() -> None:  # G1
    other = ev.Action(1.0, "a2", None, "tom", SWORD)
    first = ev.Outcome(1.5, (ev.Result("hit", "grik", {"damage": 4}),), "a2")
    found = after(hit(damage=4), state(10), DECLARED, other, first, state(6))
    assert found.values == {"damage": 4, "target_hp": 2} and found.name == "hit"
    found = after(hit(damage=4), state(10), DECLARED, other, first)
    assert found.values == {"damage": 4, "target_hp": 2} and found.name == "hit"


TWIN = ev.Action(1.0, "a2", None, "mira", SWORD)


def blow(action: str, damage: int | None = 4, result: str = "hit", **values: Any) -> ev.Outcome:
    given = values if damage is None else {"damage": damage, **values}
    return ev.Outcome(2.0, (ev.Result(result, "grik", given),), action)


def named(action: str, hp: Any, **more: Any) -> ev.State:
    return ev.State(1.0, state(hp, **more).state, action)


@pytest.mark.parametrize("second", ["a2", "a1"], ids=["a twin", "the same action"])
@pytest.mark.parametrize(
    "said",
    [
        lambda second: [named("a1", 6), blow("a1"), blow(second)],
        lambda second: [named("a1", 6), blow("a1"), named(second, 2), blow(second)],
        lambda second: [state(6), blow("a1"), state(2), blow(second)],
        lambda second: [state(6), blow("a1"), blow(second)],
        lambda second: [blow("a1"), state(6), blow(second)],
        lambda second: [blow("a1"), named("a1", 6), blow(second)],
        lambda second: [blow("a1"), blow(second)],
        lambda second: [blow("a1"), named("a1", 6), named(second, 2), blow(second)],
        lambda second: [blow("a1"), state(2), blow(second)],
    ],
    ids=range(9),
)
def test_of_two_blows_the_second_is_reckoned_from_the_first(said: Any, second: str) -> None:  # G1
    world = play(state(10), DECLARED, TWIN, *said(second))
    found = happened(world)[0]
    assert (found.name, found.values["target_hp"]) == ("hit", 2)


@pytest.mark.parametrize("shown", [[], [state(0)], [named("a1", 0)]], ids=range(3))
def test_one_who_is_slain_is_not_slain_again(shown: list[ev.Input]) -> None:  # G1
    for outcome in (blow("a2", 12), blow("a2", None), blow("a2", None, "miss")):
        found = after(outcome, state(10), DECLARED, TWIN, blow("a1", 12), *shown)
        assert found.name == "" and found.down
    last = after(blow("a2", 4), state(10), DECLARED, TWIN, blow("a1", 6), named("a2", 0))
    assert last.name == KILL


@pytest.mark.parametrize(
    ("before", "shown", "damage", "left"),
    [
        ({"temp_hp": 10}, {"temp_hp": 1}, 9, 7),
        ({"temp_hp": 5}, {"temp_hp": 0, "hp": 3}, 9, 3),
        ({"shield": 12}, {"shield": 3}, 9, 7),
        ({}, {}, 9, 7),
    ],
)
def test_what_takes_a_blow_up_is_reckoned_with(  # G1
    before: dict[str, Any], shown: dict[str, Any], damage: int, left: int
) -> None:
    start = [state(7, **before), DECLARED]
    own = ev.State(1.0, state(**{"hp": 7, **before, **shown}).state, "a1")
    found = after(blow("a1", damage), *start, own)
    assert (found.name, found.values["target_hp"]) == ("hit", left)
    tick = ev.Say(1.0, "gm", "So?")
    assert after(blow("a1", damage), *start, own, tick) == found
    if "temp_hp" in before:  # everybody knows how that goes
        assert after(blow("a1", damage), *start) == found
    elif before:
        assert after(blow("a1", damage), *start).name == ""


def test_a_blow_of_which_nobody_says_how_hard_it_was() -> None:  # G1
    assert after(blow("a1", None), state(10), DECLARED, named("a1", 0)).name == KILL
    bare = ev.State(1.0, {"actors": {"mira": {"hp": 9}}}, "a1")
    assert after(blow("a1", None), state(10), DECLARED, bare).name == KILL
    assert after(blow("a1", None), state(10), DECLARED, named("a1", 6)).values == {"target_hp": 6}
    for hale in ([state(20)], [state(20), state(16)]):
        found = after(blow("a1", None), hale[0], DECLARED, *hale[1:])
        assert (found.name, found.values, found.unsure) == ("hit", {}, False)
    for hurt in ([state(10)], [state(10), state(6)], [state(20), state(0)]):
        found = after(blow("a1", None), hurt[0], DECLARED, *hurt[1:])
        assert (found.name, found.told, found.values) == ("", "hit", {})
        assert found.unsure and not found.down  # it stands or it has fallen: nobody can tell
    assert not after(blow("a1", 4), state(10), DECLARED).unsure
    assert not after(blow("a1", None, "miss"), state(10), DECLARED).unsure
    fear = ev.Action(1.0, "a1", None, "grik", {"type": "use", "name": "resist fear"})
    assert not after(blow("a1", None, "failure"), state(4), fear).unsure
    missed = after(blow("a1", None, "miss"), state(10), DECLARED, state(6))
    assert (missed.name, missed.unsure) == ("miss", False)


def test_one_who_may_have_fallen_is_not_said_to_stand_whatever_came_of_it() -> None:  # G1
    trap = {"type": "use", "name": "bomb", "target": "grik"}
    for action, outcome in (
        (SWORD, blow("a1", None, "miss")),
        (trap, blow("a1", 2, "success")),
        (trap, blow("a1", None, "used")),
    ):
        declared = ev.Action(1.0, "a1", None, "mira", action)
        found = after(outcome, state(10), declared, state(0))
        assert (found.name, found.unsure or found.told == KILL) == ("", True), found


def test_what_an_outcome_leaves_is_reckoned_with_what_goes_before_the_health() -> None:  # G1
    start = [state(20, temp_hp=5), DECLARED, TWIN]
    for shown in ([], [state(17)]):
        for damage, then in ((4, 13), (20, 0)):
            found = after(blow("a2", damage), *start, blow("a1", 8, target_hp=17), *shown)
            assert (found.values["target_hp"], found.name == KILL) == (then, not then)
    taken_up = after(blow("a2", 4), *start, blow("a1", 4, target_hp=20))
    assert taken_up.values["target_hp"] == 17
    for outcome in (blow("a1", 25, target_hp=0), blow("a1", 9, KILL), blow("a1", None, KILL)):
        for second in (blow("a2", 2), blow("a2", None, "miss")):
            found = after(second, *start, outcome)
            assert (found.name, found.down) == ("", True)


def test_one_whose_health_nobody_knows_may_be_told_to_have_fallen() -> None:  # G1
    start = [state(None), DECLARED, TWIN]
    for outcome in (blow("a1", 8, target_hp=0), blow("a1", 8, KILL), blow("a1", None, KILL)):
        found = after(blow("a2", None, "miss"), *start, outcome)
        assert (found.name, found.down) == ("", True)
    again = after(blow("a2", 3, target_hp=4), *start, blow("a1", 8, target_hp=0))
    assert (again.down, again.values["target_hp"]) == (False, 4)  # the game's word


def test_one_who_was_healed_may_stand_whatever_the_state_still_shows() -> None:  # G1
    cure = ev.Action(1.0, "a1", None, "tom", {"type": "cast", "name": "cure", "target": "grik"})

    def healed(outcome: ev.Outcome, before: int, **values: int) -> Happened:
        cured = blow("a1", None, "success", **values)
        return after(outcome, state(before), cure, TWIN, cured)

    for outcome in (blow("a2", 3), blow("a2", None, "miss")):
        found = healed(outcome, 0, healing=7)
        assert (found.down, found.unsure) == (False, True)
    for before in (0, 5, 9):
        found = healed(blow("a2", 3), before, healing=7, target_hp=7)
        assert (found.name, found.values["target_hp"]) == ("hit", 4)
        missed = healed(blow("a2", None, "miss"), before, healing=7, target_hp=7)
        assert (missed.name, missed.unsure) == ("miss", False)
        assert healed(blow("a2", 9), before, healing=7, target_hp=7).name == KILL
    unsaid = [state(30), cure, TWIN, blow("a1", None, "success", healing=1)]
    killed = [*unsaid, blow("a2", 36, "critical", target_hp=0)]
    assert happened(play(*killed))[0].name == KILL
    assert after(other("tom", 6), *killed).down
    risen = [state(0), cure, TWIN, blow("a1", None, "success", healing=7, target_hp=7), state(7)]
    assert after(blow("a2", 3), *risen).values["target_hp"] == 4  # shown, and not healed again


def test_a_death_without_a_number_may_be_of_either_blow() -> None:  # G1
    for shown in ({"alive": False}, {"conditions": ["unconscious"]}):
        begun = [state(None), DECLARED, TWIN, blow("a1", 8), state(None, **shown)]
        found = after(blow("a2", 38), *begun)
        assert (found.name, found.down, found.unsure) == ("", False, True)


def test_who_is_healed_may_have_lain_there() -> None:  # G1
    cure = ev.Action(1.0, "a1", None, "tom", {"type": "cast", "name": "cure", "target": "grik"})
    for hp in (0, 5):
        for shown in ([], [state(hp + 8)]):
            found = after(blow("a1", None, "success", healing=8), state(hp), cure, *shown)
            assert (found.name, found.values, found.down) == ("success", {"healing": 8}, False)
        own = after(blow("a1", None, "success", healing=8), state(hp), cure, named("a1", hp + 8))
        assert (own.name, own.values["target_hp"]) == ("success", hp + 8)


@pytest.mark.parametrize("t", [1.99, 1.0], ids=["with it", "before"])
def test_what_a_state_names_may_be_a_part_of_what_was_done(t: float) -> None:  # G1
    ammo = {"actors": {"mira": {"hp": 9, "ammo": 4}, "grik": state(10).state["actors"]["grik"]}}
    spent = ev.State(t, ammo, "a1")
    found = after(blow("a1", 12), state(10), DECLARED, spent)
    if t == 1.0:
        assert (found.name, found.values["target_hp"]) == (KILL, 0)
    else:  # it came with the outcome: armour may have taken it up, or the rest is still to come
        assert found.name == "" and "target_hp" not in found.values
    world = play(state(10), DECLARED, spent, blow("a1", 4), state(6))
    assert health_left(world, "grik") == 6


def other(actor: str, damage: int, target: str = "grik") -> ev.Outcome:
    """An outcome nobody declared."""
    result = (ev.Result("hit", target, {"damage": damage}),)
    return ev.Outcome(2.0, result, None, None, actor, {**SWORD, "target": target})


@pytest.mark.parametrize("over", [ev.TurnEnd(3.0, "t1"), ev.Turn(3.0, "t2", "grik")])
def test_what_a_state_that_names_it_has_not_shown_by_the_end_of_the_turn_was_not_done(  # G1
    over: ev.Input,
) -> None:
    actors = state(10).state["actors"]
    spent = ev.State(2.0, {"actors": {**actors, "mira": {"hp": 9, "ammo": 4}}}, "a1")
    for told in ([blow("a1", 4), spent], [spent, blow("a1", 4)]):
        world = play(state(10), TURN, DECLARED, *told)
        assert health_left(world, "grik") != 10  # the rest may still be to come
        assert health_left(then(world, over), "grik") == 10
        assert health_left(then(then(world, state(6)), over), "grik") == 6
    unnamed = [state(10), TURN, DECLARED, blow("a1", 4), replace(spent, because=None), over]
    assert health_left(play(*unnamed), "grik") == 6
    anew = play(state(10), TURN, DECLARED, blow("a1", 4), spent, blow("a1", 3), over)
    assert health_left(anew, "grik") == 3  # no state has named the second
    nobody_knows = [
        state(None),
        TURN,
        DECLARED,
        hit(KILL),
        replace(spent, state=state(None, ac=9).state),
    ]
    assert health_left(play(*nobody_knows, over), "grik") == 0


def test_several_outcomes_may_be_told_of_one_state() -> None:  # G1
    def board(grik: int, snag: int) -> ev.State:
        actors = {"mira": {"hp": 9}, "grik": {"hp": grik}, "snag": {"hp": snag}}
        return ev.State(1.5, {"actors": actors})

    start = [board(12, 12), TURN, board(9, 8), other("mira", 3)]
    assert happened(play(*start[:3], other("tom", 4, "snag")))[0].values["target_hp"] == 8
    assert happened(play(*start, other("tom", 4, "snag")))[0].values["target_hp"] == 8
    felled = [board(12, 4), TURN, board(9, 0), other("mira", 3), other("tom", 4, "snag")]
    assert happened(play(*felled))[0].name == KILL
    late = ev.Outcome(20.0, (ev.Result("hit", "snag", {"damage": 4}),), None, None, "tom", SWORD)
    assert happened(play(*start, late))[0].values["target_hp"] == 4  # of another blow by then


def test_who_stood_when_it_was_struck_is_not_said_to_have_lain_there() -> None:  # G1
    second = ev.Action(1.0, "a2", None, "tom", SWORD)
    shown = [state(12), DECLARED, second, named("a1", 5), named("a2", 0)]
    first = happened(play(*shown, blow("a1", 7)))[0]
    assert (first.name, first.told, first.down) == ("", "hit", False)
    last = happened(play(*shown, blow("a1", 7), blow("a2", 7)))[0]
    assert (last.name, last.down) == (KILL, False)
    frame = [state(12), DECLARED, second, state(0)]
    first = happened(play(*frame, blow("a1", 7)))[0]
    assert (first.name, first.told, first.down) == ("", "hit", False)
    last = happened(play(*frame, blow("a1", 7), blow("a2", 7)))[0]
    assert (last.name, last.down) == (KILL, False)
    standing = play(state(12), DECLARED, second, state(5), blow("a1", 3), blow("a2", 4))
    assert happened(standing)[0].values == {"damage": 4, "target_hp": 5}
    missed = happened(play(*frame, blow("a1", None, "miss")))[0]
    assert (missed.name, missed.down, missed.values) == ("", False, {})


def test_a_miss_says_no_health_while_a_blow_is_shown_that_is_not_told() -> None:  # G1
    second = ev.Action(1.0, "a2", None, "tom", SWORD)
    missed = blow("a1", None, "miss")
    for shown in (state(5), named("a2", 5)):
        found = happened(play(state(9), DECLARED, second, shown, missed))[0]
        assert (found.name, found.values) == ("miss", {})
        told = happened(play(state(9), DECLARED, second, shown, blow("a2", 4), missed))[0]
        assert told.values == {"target_hp": 5}
    unasked = ev.Outcome(2.0, (ev.Result("miss", "grik"),), None, None, "tom", SWORD)
    for others in ([], [other("mira", 0, "snag")]):
        assert after(unasked, state(9), TURN, state(5), *others).values == {}
    assert after(unasked, state(9), TURN).values == {"target_hp": 9}


def test_what_a_word_of_the_games_own_does_nobody_knows() -> None:  # G1
    for word in ("healed", "glancing", "success"):
        assert "target_hp" not in after(blow("a1", None, word), state(9), DECLARED).values
    assert after(blow("a1", 0, "glancing"), state(9), DECLARED).values["target_hp"] == 9
    assert after(blow("a1", None, "resisted"), state(9), DECLARED).values["target_hp"] == 9


def test_which_of_two_frames_an_outcome_is_of_may_be_unknown() -> None:  # G1
    frames = [state(30), TURN, state(26), other("mira", 0, "snag"), state(22)]
    first = happened(play(*frames, other("tom", 4)))[0]
    assert (first.name, first.values) == ("", {"damage": 4})
    second = happened(play(*frames, other("tom", 4), other("tom", 4)))[0]
    assert second.values["target_hp"] == 22
    felled = [state(12), TURN, state(5), other("mira", 0, "snag"), state(0)]
    assert happened(play(*felled, other("tom", 7)))[0].told == "hit"


def test_what_fell_long_before_an_outcome_may_be_of_something_else() -> None:  # G1
    for t, told in ((2.9, {"damage": 4, "target_hp": 26}), (3.1, {"damage": 4})):
        poisoned = [state(30), TURN, ev.State(2.0, state(26).state)]
        outcome = ev.Outcome(
            t, (ev.Result("hit", "grik", {"damage": 4}),), None, None, "tom", SWORD
        )
        assert happened(play(*poisoned, outcome))[0].values == told
        declared = ev.Outcome(t, (ev.Result("hit", "grik", {"damage": 4}),), "a1")
        found = happened(play(state(30), DECLARED, *poisoned[2:], declared))[0]
        assert found.values == {"damage": 4, "target_hp": 26}


def test_which_of_two_losses_alike_a_blow_is_nobody_can_tell() -> None:  # G1
    poisoned = [state(12), DECLARED, state(11), state(10)]
    found = happened(play(*poisoned, blow("a1", 1)))[0]
    assert (found.name, found.values, found.unsure) == ("", {"damage": 1}, True)
    both = play(state(12), DECLARED, TWIN, state(11), state(10), blow("a1", 1))
    assert happened(both)[0].values["target_hp"] == 11  # two blows that were declared
    assert happened(then(both, blow("a2", 1)))[0].values["target_hp"] == 10


def test_a_state_that_names_one_blow_may_show_what_was_told_of_another() -> None:  # G1
    shown = [state(20), other("tom", 4), DECLARED, named("a1", 16), blow("a1", 5)]
    assert happened(play(*shown))[0].values["target_hp"] == 16
    third = happened(play(*shown, other("tom", 3)))[0]
    assert (third.name, third.values) == ("", {"damage": 3})  # 13, or 9
    apart = happened(play(*shown[:3], named("a1", 15), blow("a1", 5), other("tom", 3)))[0]
    assert apart.values["target_hp"] == 8  # of 4, 5 and 3 damage: tom's first is still to be shown


def test_what_is_told_of_healing_is_in_no_state_yet() -> None:  # G1
    healing = ev.Outcome(2.0, (ev.Result("success", "grik", {"healing": 3}),), "a1")
    cure = replace(DECLARED, action={"type": "cast", "name": "cure", "target": "grik"})
    struck = happened(play(state(8), cure, healing, TWIN, blow("a2", 8)))[0]
    assert (struck.name, struck.told, struck.values) == ("", "hit", {"damage": 8})
    shown = happened(play(state(8), cure, healing, state(11), TWIN, blow("a2", 8)))[0]
    assert (shown.name, shown.values["target_hp"]) == ("hit", 3)


def test_what_takes_a_blow_up_counts_in_what_several_have_done() -> None:  # G1
    def found(hp: int, *after: int, darts: tuple[int, ...]) -> list[tuple[str, Any, bool]]:
        results = tuple(ev.Result("hit", "grik", {"damage": each}) for each in darts)
        shown = [state(each) for each in after]
        world = play(state(hp, temp_hp=5), DECLARED, *shown, ev.Outcome(2.0, results, "a1"))
        return [(each.told, each.values.get("target_hp"), each.down) for each in happened(world)]

    assert found(5, 1, darts=(6, 3)) == [("hit", None, False), ("hit", 1, False)]
    assert found(5, darts=(6, 3)) == [("hit", 4, False), ("hit", 1, False)]
    first, last = found(5, 0, darts=(6, 4))
    assert first[0] == "hit" and first[2] is False and last == ("kill", 0, False)
    one, two = ev.Action(1.0, "a1", None, "mira", SWORD), TWIN
    both = play(state(12, temp_hp=5), one, two, state(1), blow("a1", 12))
    second = happened(then(both, blow("a2", 4)))[0]
    assert (second.told, second.values["target_hp"], second.down) == ("hit", 1, False)
    later = [state(12, temp_hp=5), one, blow("a1", 12), two, state(1), blow("a2", 4)]
    third = happened(play(*later))[0]
    assert (third.name, third.values["target_hp"], third.down) == ("hit", 1, False)


def test_a_state_that_names_one_blow_may_show_another_besides() -> None:  # G1
    third = ev.Action(1.0, "a3", None, "tom", SWORD)
    shown = [state(12), DECLARED, blow("a1", 3), TWIN, named("a2", 5), blow("a2", 4), third]
    found = happened(play(*shown, blow("a3", 4)))[0]
    assert (found.name, found.values) == ("", {"damage": 4})  # 1, or -2
    found = happened(play(*shown, named("a3", 1), blow("a3", 4)))[0]
    assert (found.name, found.values["target_hp"]) == ("hit", 1)


def test_who_was_told_of_as_fallen_does_not_fall_again() -> None:  # G1
    told = [state(5), DECLARED, blow("a1", 8), TWIN, named("a2", 0), blow("a2", 4)]
    found = happened(play(*told))[0]
    assert (found.down, found.name) == (True, "")


@pytest.mark.parametrize("gap", [0.0, 0.04, 8.0])
def test_a_game_that_names_its_blows_names_this_one_too(gap: float) -> None:  # G1
    """A trap fells grik; the blow that falls then names the state that shows him lying there."""
    habit = [state(20), DECLARED, at(1.0, named("a1", 17)), blow("a1", 3)]
    trap = [at(2.0, state(5)), at(2.0, TWIN), at(3.0, state(0))]
    late = at(3.0 + gap, blow("a2", 7))
    found = happened(play(*habit, *trap, at(3.0 + gap, named("a2", 0)), late))[0]
    assert (found.down, found.name) == (True, "")
    alone = happened(play(*habit, *trap, late))[0]
    assert alone.name == ""  # its own state is still to come
    fresh = happened(play(*habit[:2], blow("a1", 3), state(17), *trap, late))[0]
    assert fresh.name == ("kill" if gap < 1.0 else "")  # it has never named a blow


def test_a_death_long_before_is_not_of_a_game_that_tells_at_once() -> None:  # G1
    at_once = [state(20), DECLARED, state(17), blow("a1", 3), at(2.0, state(5)), at(2.0, TWIN)]
    trap, late = at(3.0, state(0)), [at(3.5, blow("a2", 7)), at(11.0, blow("a2", 7))]
    soon, after = (happened(play(*at_once, trap, each))[0] for each in late)
    assert (soon.name, after.name, after.down) == ("kill", "", False)
    slow = [*at_once[:3], at(6.0, blow("a1", 3)), *at_once[4:]]
    assert happened(play(*slow, trap, late[1]))[0].name == "kill"  # it has told 5 s late before


def at(t: float, event: Any) -> Any:
    return replace(event, t=t)


def test_a_game_that_tells_before_it_shows_is_known_by_that() -> None:  # G1
    wound_up = [at(5.0, DECLARED), at(6.0, state(8)), at(7.0, blow("a1", 2))]
    found = happened(play(state(10), *wound_up))[0]
    assert (found.name, found.values["target_hp"]) == ("hit", 8)  # shown, then told
    habit = [state(12), at(1.0, other("mira", 2)), at(1.1, state(10))]
    found = happened(play(*habit, *wound_up))[0]
    assert (found.name, found.values, found.unsure) == ("", {"damage": 2}, True)  # or poison
    promptly = happened(play(*habit, *wound_up[:1], at(6.98, state(8)), wound_up[2]))[0]
    assert promptly.values["target_hp"] == 8
    hours_later = [at(each.t + 8000, each) for each in wound_up]  # as slow as a real table is
    assert happened(play(*habit, *hours_later))[0].name == ""
    long_ago = [at(2.0, replace(other("mira", 0, "tom"), t=2.0)) for _ in range(HABIT + 1)]
    assert happened(play(*habit, *long_ago, *wound_up))[0].values["target_hp"] == 8


def test_after_a_blow_nobody_can_reckon_the_next_is_reckoned_again() -> None:  # G1
    half = [state(12), DECLARED, TWIN, state(7), blow("a1", 10)]  # resisted, and nobody says so
    assert happened(play(*half))[0].name == ""
    found = happened(play(*half, state(4), blow("a2", 3)))[0]
    assert (found.name, found.values["target_hp"]) == ("hit", 4)
    assert happened(play(*half, state(0), blow("a2", 9)))[0].name == KILL
    unshown = happened(play(*half, blow("a2", 3)))[0]
    assert unshown.name == "" and "target_hp" not in unshown.values


def test_health_may_have_decimals() -> None:  # G1
    found = after(hit(damage=12.7), state(100.0), DECLARED, state(100.0 - 12.7))
    assert found.name == "hit" and found.values["target_hp"] == pytest.approx(87.3)


@pytest.mark.parametrize("said", [{}, {"target_hp": 0}])
def test_one_who_lies_and_is_struck_again_does_not_fall_again(said: dict[str, int]) -> None:  # G1
    saves = ev.State(1.5, state(0, death_saves=1).state, "a1")
    for shown in ([], [saves]):
        found = after(blow("a1", 6, **said), state(0), DECLARED, *shown)
        assert (found.name, found.told, found.down) == ("", "hit", True)


def test_one_who_lies_owes_nothing_for_being_struck_again() -> None:  # G1
    rises = [state(0), other("tom", 14), DECLARED, state(6)]
    found = happened(play(*rises, blow("a1", 4)))[0]
    assert (found.name, found.values) == ("", {"damage": 4})  # struck before it rose, or after?


def test_of_two_frames_an_earlier_outcome_takes_no_later_fall() -> None:  # G1
    second, third = (ev.Action(1.0, name, None, "tom", SWORD) for name in ("a2", "a3"))
    frames = [state(12), DECLARED, second, third, state(3), state(0)]
    told = [blow("a1", 7), blow("a2", 2), blow("a3", 9)]
    worlds = [play(*frames, *told[:count]) for count in (1, 2, 3)]
    assert [happened(world)[0].told for world in worlds] == ["hit", "hit", KILL]
    assert not any(happened(world)[0].down for world in worlds)


def test_who_falls_is_told_to_fall_whoever_else_does() -> None:  # G1
    mutual = ev.State(1.0, {"actors": {"mira": {"hp": 0}, "grik": {"hp": 0}}}, "a1")
    found = after(blow("a1", 12), state(10), DECLARED, mutual)
    assert (found.name, found.told) == ("", KILL)
    half = after(blow("a1", 5, "success"), state(4), DECLARED)
    assert (half.name, half.told) == (KILL, KILL)


def test_two_results_for_one_target_come_one_after_the_other() -> None:  # G1
    darts = ev.Outcome(2.0, (ev.Result("hit", "grik", {"damage": 3}),) * 2, "a1")
    for shown in ([], [named("a1", 4)], [state(4)]):
        world = play(state(10), DECLARED, *shown, darts)
        assert [each.values["target_hp"] for each in happened(world)] == [7, 4]
    for shown in ([], [named("a1", 0)], [state(0)]):
        world = play(state(4), DECLARED, *shown, darts)
        assert [each.name for each in happened(world)] == ["hit", KILL]


def test_of_what_nobody_declared_the_state_may_come_first_as_well() -> None:  # G1
    blow = ev.Outcome(
        2.0, (ev.Result("hit", "grik", {"damage": 4}),), None, None, "mira", {"name": "claw"}
    )
    assert after(blow, state(10), TURN, state(6)).values["target_hp"] == 6
    assert after(blow, state(10), TURN).values["target_hp"] == 6
    assert after(blow, state(10)).values["target_hp"] == 6
    assert "target_hp" not in after(blow, state(10), TURN, state(6), state(10)).values
    joins = [ev.State(0.5, {"actors": {"mira": {"hp": 9}}}), TURN, state(10)]
    assert after(blow, *joins).values["target_hp"] == 6
    assert after(blow, *joins, state(6)).values["target_hp"] == 6
    assert "target_hp" not in after(blow, *joins, state(7)).values


# ── what to prepare ───────────────────────────────────────────────────────────────────────────────


def possible(
    action: dict[str, Any],
    *,
    odds: Any = None,
    rolled: Any = None,
    hp: float = 30,
    target: Any = "grik",
) -> dict[str, float]:
    world = play(state(hp))
    return possible_results(world, Declared("mira", action, "", world.state), target, odds, rolled)


def test_an_attack_hits_misses_or_is_critical() -> None:  # 0-3
    assert list(possible(SWORD)) == ["hit", "miss", "critical"]
    assert list(possible({"type": "cast", "name": "fire bolt"})) == ["hit", "miss", "critical"]


def test_a_save_fails_or_succeeds_and_so_does_anything_else() -> None:
    assert list(possible({"type": "cast", "save": "dex"})) == ["failure", "success"]
    assert list(possible({"type": "use", "name": "lever"}, target=None)) == ["failure", "success"]


def test_the_odds_of_the_game_name_the_results() -> None:
    odds = {"hit": 0.2, "miss": 0.7, "fumble": 0.1, "critical": 0}
    assert possible(SWORD, odds=odds) == {"miss": 0.7, "hit": 0.2, "fumble": 0.1}
    each = {"grik": {"failure": 0.9, "success": 0.1}, "snag": {"failure": 0.1}}
    assert possible(SWORD, odds=each) == {"failure": 0.9, "success": 0.1}
    assert list(possible(SWORD, odds={"snag": {"failure": 0.1}})) == ["hit", "miss", "critical"]


def test_what_was_rolled_ahead_is_the_only_one() -> None:
    assert possible(SWORD, rolled="miss") == {"miss": 1.0}
    assert possible(SWORD, rolled={"grik": "critical", "snag": "miss"}) == {"critical": 1.0}
    assert len(possible(SWORD, rolled={"snag": "miss"})) == 3


@pytest.mark.parametrize("hp", [1, 5, 10, 30])
def test_a_result_that_was_rolled_ahead_is_one_branch_at_any_health(hp: float) -> None:  # 8-2
    for word in ("hit", "critical", "failure", "miss", "rolled"):
        assert possible(SWORD, hp=hp, rolled=word) == {word: 1.0}
    nine = {"result": "hit", "damage": 9}
    whole = {KILL: 1.0} if hp <= 9 else {"hit": 1.0}
    assert possible(SWORD, hp=hp, rolled=nine) == whole
    assert possible(SWORD, hp=hp, rolled={"grik": nine, "snag": "miss"}) == whole
    assert possible({**SWORD, "damage": "9"}, hp=hp, rolled="hit") == whole
    assert possible(SWORD, hp=hp, rolled={"result": "miss"}) == {"miss": 1.0}


def test_what_was_rolled_is_a_kill_where_the_state_shows_that() -> None:
    felled = play(state(30), DECLARED, state(0))
    shown = possible_results(felled, felled.actions["a1"], "grik", None, "hit")
    assert shown == {KILL: 1.0}


def test_buffers_and_shields_stand_before_a_kill() -> None:
    nine = {"result": "hit", "damage": 9}
    for more, name in (({"temp_hp": 3}, "hit"), ({"temp_hp": 2}, KILL), ({"shield": 5}, "hit")):
        world = play(state(7, **more))
        found = possible_results(world, Declared("mira", SWORD, "", {}), "grik", None, nine)
        assert found == {name: 1.0}


@given(
    hp=st.integers(1, 40),
    odds=st.none() | st.just({"hit": 0.7, "miss": 0.3}) | st.just({"hit": 2, "critical": 3}),
    dice=st.sampled_from([None, "1d8+3", "2d6", "1", "many"]),
)
def test_the_results_of_an_action_come_to_1(hp: int, odds: Any, dice: str | None) -> None:  # 8-2
    found = possible({**SWORD, "damage": dice}, hp=hp, odds=odds)
    assert math.fsum(found.values()) == pytest.approx(1.0)
    assert list(found.values()) == sorted(found.values(), reverse=True)


@pytest.mark.parametrize("dice", ["1d8+3", "2d6", "3d4 + 1d6 [fire]", "2d4-1d6", "7"])
def test_a_kill_has_the_odds_of_its_dice(dice: str) -> None:  # 8-2
    def every(twice: bool) -> list[int]:
        terms = re.findall(r"([+-]?)\s*(?:(\d+)d(\d+)|(\d+))", dice)
        sums = [0]
        for sign, count, sides, amount in terms:
            by = -1 if sign == "-" else 1
            if amount:
                sums = [each + by * int(amount) for each in sums]
                continue
            for _ in range(int(count) * (1 + twice)):
                sums = [each + by * face for each in sums for face in range(1, int(sides) + 1)]
        return sums

    action = {**SWORD, "damage": dice}
    for hp in (1, 4, 8, 11, 20):
        plain, twice = (
            len([each for each in every(twice) if each >= hp]) / len(every(twice))
            for twice in (False, True)
        )
        kill = sum(
            whole if whole * (1 - share) < 0.01 and share else whole * share  # hardly anybody lives
            for whole, share in ((0.6, plain), (0.05, twice))
        )
        found = possible(action, hp=hp)
        assert found.get(KILL, 0.0) == pytest.approx(kill if kill >= 0.01 else 0.0)
        if kill >= 0.01 and "hit" in found:
            assert found["hit"] == pytest.approx(0.6 - 0.6 * plain)
        assert found["miss"] == 0.35


def test_the_dice_of_a_sheet_say_how_hard_a_blow_is() -> None:
    def kill(**sheet: Any) -> float:
        actors = {"mira": {"hp": 9, **sheet}, "grik": {"hp": 9, "max_hp": 90}}
        world = play(ev.State(1.0, {"actors": actors}))
        return possible_results(world, Declared("mira", SWORD, "", {}), "grik").get(KILL, 0.0)

    assert kill() == pytest.approx(0.325)  # low, and nobody knows how hard
    sword = {"name": "Longsword", "damage": "1d8+1"}
    assert kill(attacks=["dagger", sword]) == pytest.approx(0.6 / 8 + 0.05 * 43 / 64)
    assert kill(attacks=[{**sword, "damage": [{"damage_dice": "1d4"}, "1d2"]}]) < 0.05
    assert kill(attacks=[{**sword, "name": "shortsword"}]) == pytest.approx(0.325)
    assert kill(attacks=[{**sword, "damage": "best of 2d6"}]) == pytest.approx(0.325)


@pytest.mark.parametrize(
    "dice", ["", "d", "2d6kh1", "1d0", "999d999", "1d8 1d6", "+", "half 2d6", "1d6+x", "9" * 300]
)
def test_dice_that_are_none_say_nothing(dice: str) -> None:  # G10
    assert possible({**SWORD, "damage": dice}, hp=5) == possible(SWORD, hp=5)


def test_one_who_lay_there_is_not_laid_low_by_what_an_action_does_besides() -> None:
    besides = ev.State(2.0, {**state(0).state, "tick": 7}, "a1")
    world = play(state(0), DECLARED, besides)
    assert KILL not in possible_results(world, world.actions["a1"], "grik")
    felled = play(state(30), DECLARED, state(0))
    assert KILL in possible_results(felled, felled.actions["a1"], "grik")


def test_one_low_on_health_may_fall() -> None:
    assert KILL in possible(SWORD, hp=10)
    assert KILL not in possible(SWORD, hp=11)
    assert KILL not in possible(SWORD, hp=0)
    assert KILL not in possible(SWORD, hp=5, odds={"miss": 1.0})
    assert possible(SWORD, hp=5, odds={KILL: 0.5, "miss": 0.5}) == {KILL: 0.5, "miss": 0.5}


@pytest.mark.parametrize(
    "odds", [{"hit": "high"}, {"hit": float("nan")}, {"hit": -1}, [0.5], "even", 3, {"hit": True}]
)
def test_odds_that_are_none_are_not_used(odds: Any) -> None:  # G10
    assert list(possible(SWORD, odds=odds)) == ["hit", "miss", "critical"]


FIREBALL = {"type": "cast", "name": "fireball", "save": "dexterity", "target": "grik"}
PLEA = {"type": "talk", "name": "plea", "target": "grik"}


@pytest.mark.parametrize(
    ("action", "result", "values", "whose"),
    [
        (FIREBALL, "success", {}, "target"),
        (FIREBALL, "failure", {}, "target"),
        (PLEA, "success", {}, "actor"),
        (PLEA, "failure", {}, "actor"),
        (SWORD, "success", {"damage": 4}, "actor"),
        (SWORD, "failure", {}, "actor"),
        (PLEA, "success", {"test": "save"}, "target"),
        (PLEA, "success", {"test": "check"}, "actor"),
        ({"type": "cast", "name": "hex"}, "success", {"effects": ["hexed"]}, "actor"),
        ({"type": "cast", "name": "fireball"}, "failure", {"damage": 9}, "target"),
        ({"type": "cast", "name": "fireball"}, "failure", {"damage": 0}, "actor"),
        ({"type": "cast", "name": "fireball"}, "failure", {"damage": "2d6"}, "actor"),
    ],
)
def test_a_success_is_the_actors_unless_a_save_is_rolled(
    action: dict[str, Any], result: str, values: dict[str, Any], whose: str
) -> None:
    assert is_save(action, result, values) is (whose == "target")


def test_only_what_may_hurt_is_prepared_with_numbers() -> None:
    both = ("damage", "target_hp")
    kinds = ("attack", "cast", "use", "check", "talk", "move", "trap")
    world = play(ev.State(0.0, {"actors": {"mira": {"side": "us"}, "snag": {"side": "us"}}}))
    for kind in kinds:
        for save in (None, True):
            declared = Declared("mira", {"type": kind, "name": "x", "save": save}, "", {})
            numbers = partial(numbers_of, world, declared)
            strikes = save and kind in ("attack", "cast")
            assert numbers("grik", "hit") == numbers("grik", "critical") == both
            assert numbers("grik", KILL) == ("damage",)
            assert numbers("grik", "failure") == (both if strikes else ())
            assert numbers("grik", "success") == (("damage",) if strikes else ())
            assert numbers("grik", "miss") == numbers("grik", "own") == ()
            assert numbers(None, "failure") == numbers(None, "success") == ()
            helps = not save and kind in ("cast", "use")
            for friend in ("snag", "mira"):
                assert numbers(friend, "success") == (
                    ("healing",) if helps else ("damage",) if strikes else ()
                )


def test_nobody_falls_at_an_attempt_that_fails() -> None:
    low = state(3)
    for action, falls in ((FIREBALL, True), (PLEA, False), (PLEA | {"save": True}, True)):
        declared = Declared("mira", action, "", {})
        assert (KILL in possible_results(play(low), declared, "grik")) is falls
