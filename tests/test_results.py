"""What an outcome says of each target, and which results to prepare."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.results import KILL, Happened, happened, possible_results
from foretell.streams import events as ev
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


DECLARED = ev.Action(1.0, "a1", None, "mira", SWORD)
TURN = ev.Turn(1.0, "t1", "mira")


def hit(result: str = "hit", **values: Any) -> ev.Outcome:
    return ev.Outcome(2.0, (ev.Result(result, "grik", values),), "a1")


def of(outcome: ev.Outcome, *inputs: ev.Input) -> Happened:
    world = play(*inputs)
    return happened(world, outcome, world.doing(outcome))[0]


def test_the_health_after_is_filled_in() -> None:
    found = of(hit(damage=4), state(10), DECLARED)
    assert found == Happened("grik", "hit", "hit", {"damage": 4, "target_hp": 6})


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
        assert found == Happened("grik", "hit", "hit", {"damage": 4})


def test_a_state_that_came_first_after_the_declaration_may_be_from_before_or_after() -> None:  # G1
    assert of(hit(damage=4), DECLARED, state(6)).name == ""


@pytest.mark.parametrize("damage", [float("nan"), float("inf"), "2d6", None, True, 10**400])
def test_damage_that_is_no_number_is_no_kill(damage: Any) -> None:
    assert of(hit(damage=damage), state(10), DECLARED).name == "hit"


def test_each_target_has_its_own_result() -> None:
    fireball = {"type": "cast", "name": "fireball", "target": ["grik", "snag"]}
    declared = ev.Action(1.0, "a1", None, "mira", fireball)
    world = play(state(10), declared)
    results = (ev.Result("failure", "grik", {"damage": 12}), ev.Result("success", "snag"))
    outcome = ev.Outcome(2.0, results, "a1")
    found = happened(world, outcome, world.doing(outcome))
    assert [(each.target, each.result, each.name) for each in found] == [
        ("grik", "failure", KILL),
        ("snag", "success", "success"),
    ]
    short = ev.Outcome(2.0, (ev.Result("failure", None, {"damage": 1}),), "a1")
    found = happened(world, short, world.doing(short))
    assert [(each.target, each.name) for each in found] == [
        ("grik", "failure"),
        ("snag", "failure"),
    ]


def test_an_outcome_without_a_target_or_a_result_still_happened() -> None:
    world = play(ev.Action(1.0, "a1", None, "mira", {"type": "use", "name": "lever"}))
    done = ev.Outcome(2.0, (ev.Result("success"),), "a1")
    assert happened(world, done, world.doing(done)) == (Happened(None, "success", "success", {}),)
    nothing = ev.Outcome(2.0, (), "a1")
    assert happened(world, nothing, world.doing(nothing))[0].result == "unknown"


health = st.integers(0, 40)
damages = st.none() | st.integers(0, 45)


@given(
    hp=st.integers(1, 40),
    damage=damages,
    result=st.sampled_from(["hit", "critical", "failure", "success"]),
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
    assert first.values["target_hp"] == after
    if after == 0:
        assert first.name == (KILL if result != "success" else "")
    else:
        assert first.name == result


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
        assert result == "hit" and damage
        assert (applied and now == 0) or (pending and damage >= hp)
    elif found.name:
        assert found.name == result
        assert now > 0
        assert not damage or (applied or (pending and damage < hp))


def after(outcome: ev.Outcome, *inputs: ev.Input) -> Happened:
    """As the pipeline has it: in the world that the outcome has moved on."""
    world = play(*inputs, outcome)
    return happened(world, outcome, world.doing(outcome))[0]


def test_a_blow_that_is_healed_before_its_outcome_is_not_reckoned_with_twice() -> None:  # G1
    struck = ev.State(1.0, state(6).state, "a1")
    found = after(hit(damage=4), state(10), DECLARED, struck, state(10))
    assert found.values == {"damage": 4} and found.name == ""
    back = ev.State(1.0, state(10).state, "a1")
    found = after(hit(damage=4), state(10), DECLARED, state(14), back)
    assert found.values == {"damage": 4} and found.name == ""
    assert after(hit(damage=4), state(10), DECLARED, struck).values["target_hp"] == 6
    assert after(hit(damage=4), state(10), DECLARED, state(10, pos=1)).values["target_hp"] == 6


def test_a_change_by_another_action_does_not_show_this_one() -> None:  # G1
    other = ev.Action(1.0, "a2", None, "tom", SWORD)
    struck = ev.State(1.0, state(6).state, "a2")
    found = after(hit(damage=4), state(10), DECLARED, other, struck)
    assert found.values == {"damage": 4} and found.name == ""


def test_what_shows_an_earlier_blow_does_not_show_the_next() -> None:  # G1
    other = ev.Action(1.0, "a2", None, "tom", SWORD)
    first = ev.Outcome(1.5, (ev.Result("hit", "grik", {"damage": 4}),), "a2")
    found = after(hit(damage=4), state(10), DECLARED, other, first, state(6))
    assert found.values == {"damage": 4} and found.name == ""


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
    assert "target_hp" not in after(blow, *joins, state(6)).values


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
