"""How each input moves the world on, and which changes were to be expected (G1)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.classify import classify
from foretell.operators.fingerprint import scene_fingerprint
from foretell.operators.foresee import Foresight
from foretell.operators.predict import Intensity, planner
from foretell.operators.results import happened
from foretell.streams import events as ev
from foretell.streams import world as world_module
from foretell.streams.footprint import (
    Footprint,
    action_key,
    actor_and_targets,
    changed_paths,
    covers,
    targets_of,
)
from foretell.streams.history import History
from foretell.streams.world import Numbered, World, advance

SWORD = {"type": "attack", "name": "longsword", "target": "grik"}
STATE: dict[str, Any] = {
    "location": {"id": "cave"},
    "actors": {
        "mira": {"side": "party", "hp": 18, "max_hp": 24, "pos": [1, 2], "slots": {"1": 2}},
        "tom": {"side": "party", "hp": 10, "max_hp": 10},
        "grik": {"side": "foes", "hp": 7, "max_hp": 7, "conditions": []},
        "snag": {"side": "foes", "hp": 7, "max_hp": 7},
    },
}


def with_(changes: Mapping[str, Any], state: Mapping[str, Any] = STATE) -> dict[str, Any]:
    """A copy of the state with some dotted paths set; ``None`` removes one."""
    new = deepcopy(dict(state))
    for path, value in changes.items():
        *way, last = path.split(".")
        box = new
        for key in way:
            box = box[key]
        if value is None:
            box.pop(last, None)
        else:
            box[last] = value
    return new


def play(*inputs: ev.Input, world: World | None = None) -> World:
    world = world or World()
    for event in inputs:
        world = advance(world, Numbered(world.number + 1, event, event.t))
    return world


def state(changes: Mapping[str, Any] | None = None, because: str | None = None) -> ev.State:
    return ev.State(1.0, with_(changes or {}), because)


def declare(
    action: Mapping[str, Any] | None = SWORD, actor: str = "mira", action_id: str = "a1"
) -> ev.Action:
    return ev.Action(1.0, action_id, None, actor, action)


def outcome(result: str = "hit", action_id: str | None = "a1", **values: Any) -> ev.Outcome:
    return ev.Outcome(2.0, (ev.Result(result, "grik", values),), action_id)


TURN = ev.Turn(1.0, "t1", "mira")
STARTED = (state(), TURN, declare())


def fresh(world: World) -> set[str]:
    return {".".join(path) for path, _ in world.fresh}


# ── expected and unexpected ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "change",
    [
        {"actors.grik.hp": 3},
        {"actors.grik.conditions": ["prone"]},
        {"actors.mira.slots": {"1": 1}},
        {"actors.grik.hp": 0, "actors.grik.dead": True},
    ],
)
def test_what_the_declared_action_may_itself_change_is_expected(change: dict[str, Any]) -> None:
    """G1, the third way: within the footprint of an action of this turn."""
    assert fresh(play(*STARTED, state(change))) == set()


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({"actors.snag.hp": 3}, {"actors.snag.hp"}),
        ({"actors.mira.hp": 3}, {"actors.mira.hp"}),
        ({"actors.grik.side": "party"}, {"actors.grik.side"}),
        ({"actors.snag": None}, {"actors.snag"}),
        ({"actors.orc": {"hp": 5}}, {"actors.orc"}),
        ({"location.id": "hall"}, {"location.id"}),
        ({"weather": {"sky": {"colour": {"hue": 3}}}}, {"weather"}),
        ({"actors.grik.hp": 3, "actors.tom.hp": 2}, {"actors.tom.hp"}),
    ],
)
def test_any_other_change_is_unexpected(change: dict[str, Any], paths: set[str]) -> None:  # G1
    before = play(*STARTED)
    after = play(state(change), world=before)
    assert fresh(after) == paths
    assert {revision for key, revision in after.unexpected.items() if key in after.fresh} == {
        after.revision
    }


@pytest.mark.parametrize("actors", [None, [], 5, "nobody"])
def test_a_state_without_actors_is_taken_as_it_is(actors: Any) -> None:  # G4, G10
    bare = {"actors": actors, "location": {"id": "hall"}}
    after = play(ev.State(2.0, bare), world=play(*STARTED))
    assert after.warning is None and after.state == bare


def test_who_is_left_out_of_another_list_is_not_taken_off_the_board() -> None:  # G1
    listed = play(*STARTED, state({"actors.grik": None, "order": {"grik": 1, "mira": 2}}))
    without = state({"actors.grik": None, "actors.tom.hp": 2, "order": {"mira": 2}})
    assert fresh(play(without, world=listed)) == {"actors.tom.hp", "order.grik"}


def test_a_change_after_the_outcome_is_expected_until_the_turn_is_over() -> None:  # G1
    resolved = play(*STARTED, outcome("hit", damage=4))
    assert fresh(play(state({"actors.grik.hp": 3}), world=resolved)) == set()
    over = play(ev.TurnEnd(2, "t1"), world=resolved)
    assert fresh(play(state({"actors.grik.hp": 3}), world=over)) == {"actors.grik.hp"}


def test_an_undeclared_outcome_has_its_footprint_too() -> None:  # G1
    told = ev.Outcome(2, (ev.Result("hit", "snag"),), None, "t1", "tom", {"name": "axe"})
    world = play(state(), TURN, told)
    assert fresh(play(state({"actors.snag.hp": 3}), world=world)) == set()


def test_one_it_befell_without_being_aimed_at_is_of_its_footprint() -> None:  # G1
    astray = ev.Outcome(2, (ev.Result("hit", "snag", {"damage": 4}),), "a1", "t1")
    resolved = play(*STARTED, astray)
    assert fresh(play(state({"actors.snag.hp": 3}), world=resolved)) == set()
    assert fresh(play(state({"actors.snag.side": "party"}), world=resolved))
    again = play(ev.Outcome(2, (ev.Result("miss", "grik"),), "a1", "t1"), world=resolved)
    assert fresh(play(state({"actors.snag.hp": 3}), world=again)) == set()


def test_a_change_that_names_its_action_carries_its_key() -> None:
    """G1, the second way: whose action it is, is known; other texts still see it."""
    world = play(
        *STARTED, state({"actors.snag.pos": [0, 0], "actors.snag.side": "x"}, because="a1")
    )
    assert world.fresh == ((("actors", "snag", "side"), action_key("mira", SWORD)),)
    assert world.warning is None


def test_a_change_that_names_an_unknown_action_is_unexpected_and_warned_of() -> None:
    world = play(*STARTED, state({"location.id": "hall"}, because="a9"))
    assert world.fresh == ((("location", "id"), None),)
    assert "a9" in (world.warning or "")


def test_there_and_back_again_counts_as_two_changes() -> None:  # G1: A→B→A
    first = play(*STARTED)
    there = play(state({"location.id": "hall"}), world=first)
    back = play(state(), world=there)
    assert back.state == first.state
    key = (("location", "id"), None)
    assert there.unexpected[key] < back.unexpected[key] == back.revision
    assert fresh(back) == {"location.id"}


def test_a_state_that_changes_nothing_is_nothing_new() -> None:
    before = play(*STARTED)
    after = play(state(), world=before)
    assert after.fresh == () and after.unexpected == before.unexpected


def test_another_input_has_no_fresh_changes() -> None:
    world = play(*STARTED, state({"location.id": "hall"}))
    assert fresh(world)
    assert play(ev.Say(2, "gm", "hm"), world=world).fresh == ()


def test_the_footprint_is_data_to_replace() -> None:
    own = World(footprint=Footprint(target=("wounds",), actor=()))
    world = play(*STARTED, world=own)
    assert fresh(play(state({"actors.grik.wounds": 2}), world=world)) == set()
    assert fresh(play(state({"actors.grik.hp": 2}), world=world)) == {"actors.grik.hp"}


# ── patches ───────────────────────────────────────────────────────────────────────────────────────


def patch(*operations: Mapping[str, Any], because: str | None = None) -> ev.Patch:
    return ev.Patch(2.0, operations, because)


def test_a_patch_is_a_change_of_the_last_state() -> None:
    before = play(*STARTED)
    after = play(patch({"op": "replace", "path": "/location/id", "value": "hall"}), world=before)
    assert after.state == with_({"location.id": "hall"})
    assert before.state == STATE
    assert fresh(after) == {"location.id"}
    within = patch({"op": "replace", "path": "/actors/grik/hp", "value": 1})
    assert fresh(play(within, world=before)) == set()


@pytest.mark.parametrize(
    "operations",
    [
        [{"op": "replace", "path": "/nowhere/deep", "value": 1}],
        [{"op": "remove", "path": "/actors/nobody"}],
        [{"op": "test", "path": "/location/id", "value": "hall"}],
        [{"op": "frobnicate", "path": "/a"}],
        [{"path": "/a"}],
        [{"op": "add", "path": "no-slash", "value": 1}],
        [{"op": "add", "path": 5, "value": 1}],
        [{"op": "add", "path": "/location/id/deeper", "value": 1}],
        [{"op": "replace", "path": "", "value": [1, 2]}],
        [{"op": "remove", "path": ""}],
    ],
)
def test_a_patch_that_does_not_apply_is_left_out_with_a_warning(operations: list[Any]) -> None:
    before = play(*STARTED)
    after = play(patch(*operations), world=before)
    assert after.state == before.state and after.fresh == ()
    assert after.warning is not None and after.warning.startswith("patch ")


# ── turns and actions ─────────────────────────────────────────────────────────────────────────────


def test_a_turn_begins_with_a_clean_slate() -> None:
    world = play(*STARTED, outcome(), ev.Turn(3, "t2", "tom"))
    assert world.turn == ev.Turn(3, "t2", "tom")
    assert (world.actions, world.outcomes) == ({}, 0)
    assert world.baseline == STATE


def test_a_turn_ends_and_the_end_of_another_is_warned_of() -> None:
    world = play(*STARTED)
    assert play(ev.TurnEnd(3, "t1"), world=world).turn is None
    other = play(ev.TurnEnd(3, "t0"), world=world)
    assert other.turn == TURN and "t0" in (other.warning or "")


def test_an_action_may_be_changed_and_taken_back() -> None:
    world = play(*STARTED, declare({**SWORD, "target": "snag"}))
    assert world.actions["a1"].action["target"] == "snag"
    assert fresh(play(state({"actors.snag.hp": 3}), world=world)) == set()
    gone = play(declare(None), world=world)
    assert gone.actions == {} and gone.warning is None
    assert fresh(play(state({"actors.snag.hp": 3}), world=gone)) == {"actors.snag.hp"}
    again = play(declare(None), world=gone)
    assert "taken back" in (again.warning or "")


def test_an_action_of_another_turn_is_taken_with_a_warning() -> None:
    stray = ev.Action(1, "a2", "t0", "tom", SWORD)
    world = play(*STARTED, stray)
    assert "a2" in world.actions and "t0" in (world.warning or "")


def test_an_outcome_counts_resolves_and_is_remembered() -> None:
    world = play(*STARTED, outcome(damage=4))
    assert world.outcomes == 1
    assert world.actions["a1"].resolved
    assert world.last == {"mira": SWORD}
    assert world.recent == (outcome(damage=4),)
    assert world.warning is None


@pytest.mark.parametrize(
    "stray",
    [
        ev.Outcome(2, (ev.Result("hit", "grik"),), "a9"),
        ev.Outcome(2, (ev.Result("hit", "grik"),), None, "t0", "tom", {"name": "axe"}),
    ],
)
def test_an_outcome_of_something_unknown_is_taken_with_a_warning(stray: ev.Outcome) -> None:
    world = play(*STARTED, stray)
    assert world.outcomes == 1 and world.warning


def test_what_was_done_last_is_in_the_order_it_was_done() -> None:
    def did(actor: str, target: str) -> ev.Outcome:
        return ev.Outcome(1, (ev.Result("hit", target),), None, None, actor, {"name": "axe"})

    world = play(did("mira", "a"), did("tom", "b"), did("mira", "c"))
    assert [(who, what["target"]) for who, what in world.last.items()] == [
        ("tom", "b"),
        ("mira", "c"),
    ]


def test_what_an_outcome_is_of() -> None:
    world = play(*STARTED)
    assert world.doing(outcome()).action == SWORD
    several = tuple(ev.Result("failure", each) for each in ("grik", "snag"))
    named = ev.Outcome(1, several, None, None, "tom", {"type": "cast", "name": "fireball"})
    assert world.doing(named).action["target"] == ["grik", "snag"]
    assert world.doing(named).actor == "tom"


# ── laws ──────────────────────────────────────────────────────────────────────────────────────────

words = st.sampled_from(["mira", "grik", "snag", "t1", "t2", "a1", "a2", "hit", "", "\ud800"])
scalars = st.none() | st.booleans() | st.integers() | st.floats() | words
junk = st.recursive(
    scalars, lambda x: st.lists(x, max_size=3) | st.dictionaries(words, x, max_size=3), max_leaves=6
)
entity = st.dictionaries(
    st.sampled_from(["hp", "max_hp", "side", "attacks", "conditions", "pos", "dead"])
    | st.sampled_from(["name", "kind", "also", "player", "spells", "actions"]),
    junk,
)
states = st.dictionaries(
    st.sampled_from(["location", "mode", "round", "dialogue", "in_combat"]), junk
).flatmap(
    lambda rest: st.one_of(
        st.just(rest),
        st.dictionaries(words, entity | junk, max_size=4).map(
            lambda some: {**rest, "actors": some}
        ),
        junk.map(lambda some: {**rest, "actors": some}),
    )
)
actions = st.fixed_dictionaries(
    {}, optional={"type": junk, "name": junk, "target": junk, "save": junk, "also": junk}
)
t = st.just(1.0)
results = st.lists(
    st.builds(ev.Result, words, st.none() | words, st.dictionaries(words, junk, max_size=2)),
    max_size=3,
).map(tuple)
operations = st.fixed_dictionaries(
    {},
    optional={
        "op": st.sampled_from(["add", "remove", "replace", "move", "copy", "test", "?"]),
        "path": st.sampled_from(["", "/actors", "/actors/mira/hp", "/location", "x"]) | junk,
        "from": st.sampled_from(["/actors", "/location"]),
        "value": junk,
    },
)
odds = st.none() | junk
inputs = st.one_of(
    st.builds(ev.State, t, states, st.none() | words),
    st.builds(ev.Patch, t, st.lists(operations, max_size=3), st.none() | words),
    st.builds(ev.Turn, t, words, words, st.lists(actions, max_size=3).map(tuple)),
    st.builds(ev.TurnEnd, t, words),
    st.builds(ev.Action, t, words, st.none() | words, words, st.none() | actions, odds, odds),
    st.builds(
        ev.Outcome,
        t,
        results,
        st.none() | words,
        st.none() | words,
        st.none() | words,
        st.none() | actions,
    ),
    st.builds(ev.Rewind, t, st.integers(-1, 20) | st.floats() | junk),
    st.builds(ev.Say, t, words, words | st.text(), st.booleans()),
)


@given(st.lists(inputs, max_size=12))
def test_nothing_a_game_says_stops_the_world(said: list[Any]) -> None:  # G10
    """No input raises, in the world or in what is made of it; and the world is a pure function.

    What is foreseen in it hangs on the worlds alone, and not on when it was asked for.
    """
    foresight, unasked = Foresight(), Foresight()
    plan = planner(lambda: Intensity.AGGRESSIVE, 8, foresight.candidates)
    before = deepcopy(said)
    world = World()
    history = History(world, 1000)
    for number, event in enumerate(said, 1):
        past, world = world, history.advance(world, Numbered(number, event, event.t))
        scene = classify(world)
        assert isinstance(scene_fingerprint(scene), str)
        for each in (foresight, unasked):
            each.on_world(past, world)
        assert len(plan(scene)) <= 8
        foreseen = foresight.candidates(scene)
        assert all(0 <= each.probability <= 1 for each in foreseen)
        assert math.isclose(math.fsum(foresight.said(world)["by"].values()), 1, abs_tol=0.01)
        if isinstance(event, ev.Outcome):
            happened(world)
    assert world.revision == len(said)
    assert repr(unasked.candidates(classify(world))) == repr(foresight.candidates(classify(world)))
    assert unasked.report() == foresight.report()
    assert repr(said) == repr(before)
    again, history = World(), History(World(), 1000)
    for number, event in enumerate(said, 1):
        again = history.advance(again, Numbered(number, event, event.t))
    assert repr(again) == repr(world)


def test_what_is_kept_of_what_is_said_is_bounded() -> None:  # G3
    many = [ev.Say(1.0, f"speaker-{n}", "hm") for n in range(300)]
    more = [ev.Say(1.0, "mira", f"line {n}") for n in range(9)]
    typed = [ev.Say(1.0, "mira", text, True) for text in ("l", "li", "lin")]
    world = play(*many, *more, *typed)
    assert len(world.said) == 256
    long = play(ev.Say(1.0, "mira", "so " * 100_000 + "be it"), world=world)
    assert len(long.said["mira"][-1][1].text) == 2000 and long.said["mira"][-1][0] == long.number
    assert [line.text for _, line in world.said["mira"]] == ["line 6", "line 7", "line 8", "lin"]


def test_everything_it_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:  # G3
    for name in ("MAX_PATHS", "MAX_OPEN", "MAX_RESOLVED", "MAX_TOLD", "MAX_ACTORS"):
        monkeypatch.setattr(world_module, name, 16)
    world = World()
    for n in range(100):
        action = {"name": "axe", "target": f"foe-{n}"}
        told = ev.Outcome(1, (ev.Result("hit", f"foe-{n}"),), None, None, f"actor-{n}", action)
        world = play(
            ev.State(1, {"log": {f"entry-{n}": n}}),
            ev.Action(1, f"a{n}", None, "mira", action),
            told,
            world=world,
        )
        resolved = sum(each.resolved for each in world.actions.values())
        opened = len(world.actions) - resolved
        kept = (len(world.unexpected), resolved, opened, len(world.told), len(world.last))
        assert max(kept) <= 16
        assert len(world.recent) <= 4
    assert list(world.last) == [f"actor-{n}" for n in range(84, 100)]
    assert "a99" in world.actions


def test_what_is_open_is_not_forgotten_for_what_is_over() -> None:
    axe = {"name": "axe", "target": "grik"}
    world = play(ev.Action(1, "mine", None, "mira", axe))
    for _ in range(200):
        world = play(ev.Outcome(1, (ev.Result("hit"),), None, None, "snag", axe), world=world)
    assert "mine" in world.actions
    for n in range(world_module.MAX_OPEN):
        world = play(ev.Action(1, f"a{n}", None, "mira", axe), world=world)
    assert "mine" not in world.actions
    assert world.warning == "1024 actions are open already: 'mine', the oldest, is forgotten"


trees = st.recursive(
    st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=2),
    lambda inner: st.dictionaries(st.sampled_from("abc"), inner),
    max_leaves=12,
)


@given(
    st.dictionaries(st.sampled_from("abc"), trees), st.dictionaries(st.sampled_from("abc"), trees)
)
def test_a_difference_is_found_exactly_where_there_is_one(
    old: dict[str, Any], new: dict[str, Any]
) -> None:
    paths = changed_paths(old, new)
    assert bool(paths) == (old != new)
    assert len(set(paths)) == len(paths)
    assert all(len(path) <= 3 for path in paths)
    for path in paths:
        assert at(old, path) != at(new, path)
    for path in {*leaves(old), *leaves(new)}:
        if not any(covers(changed, path) for changed in paths):
            assert at(old, path) == at(new, path)


def test_differences_are_told_apart_down_to_an_entitys_own_fields() -> None:
    old = {"actors": {"mira": {"sheet": {"str": 3, "dex": 1}}}}
    new = {"actors": {"mira": {"sheet": {"str": 4, "dex": 1}}}}
    assert changed_paths(old, new) == [("actors", "mira", "sheet")]


def at(tree: Any, path: tuple[str, ...]) -> Any:
    for key in path:
        if not isinstance(tree, dict) or key not in tree:
            return "nothing"
        tree = tree[key]
    return tree


def leaves(tree: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    if not isinstance(tree, dict):
        return [path]
    return [leaf for key in tree for leaf in leaves(tree[key], (*path, key))]


def test_the_key_of_an_action_is_who_what_and_whom() -> None:
    assert action_key("mira", SWORD) == action_key("mira", {**SWORD, "name": "Longsword", "x": 1})
    assert action_key("mira", {"target": ["a", "b"]}) == action_key("mira", {"target": ["b", "a"]})
    other = [
        ("tom", SWORD),
        ("mira", {**SWORD, "target": "snag"}),
        ("mira", {**SWORD, "type": "x"}),
    ]
    assert len({action_key(*each) for each in [("mira", SWORD), *other]}) == 4
    assert targets_of({}) == () and targets_of({"target": 3}) == ("3",)


@given(st.text(), st.text(), st.text(), st.lists(st.text()))
def test_the_key_of_an_action_is_json(actor: str, kind: str, name: str, targets: list[str]) -> None:
    key = action_key(actor, {"type": kind, "name": name, "target": targets})
    assert key == json.dumps([actor, kind, name.lower(), sorted(targets)])
    assert actor_and_targets(key) == (actor, sorted(targets))
