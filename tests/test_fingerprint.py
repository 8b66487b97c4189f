"""What a text depends on: what changes its fingerprint, and what must not (G1)."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.classify import classify
from foretell.operators.fingerprint import (
    dependence,
    fingerprint,
    scene_fingerprint,
    scene_fingerprints,
)
from foretell.streams import events as ev
from foretell.streams.footprint import Footprint
from foretell.streams.world import Numbered, World, advance, rewound

SWORD = {"type": "attack", "name": "longsword", "target": "grik"}
STATE: dict[str, Any] = {
    "location": {"id": "cave", "light": "dim"},
    "weather": "rain",
    "actors": {
        "mira": {"side": "party", "hp": 18, "max_hp": 24, "pos": [1, 2], "ammo": 5},
        "tom": {"side": "party", "hp": 10, "max_hp": 10, "pos": [0, 0]},
        "grik": {"side": "foes", "hp": 7, "max_hp": 7, "pos": [3, 3], "name": "Grik"},
        "snag": {"side": "foes", "hp": 7, "max_hp": 7},
    },
}


def state(path: str = "", value: Any = None, because: str | None = None) -> ev.State:
    new = deepcopy(STATE)
    if path:
        *way, last = path.split(".")
        box = new
        for key in way:
            box = box[key]
        if value is None:
            del box[last]
        else:
            box[last] = value
    return ev.State(1.0, new, because)


def play(*inputs: ev.Input, world: World | None = None) -> World:
    world = world or World()
    for event in inputs:
        world = advance(world, Numbered(world.number + 1, event, event.t))
    return world


def declare(action_id: str = "a1", **change: Any) -> ev.Action:
    return ev.Action(1.0, action_id, None, "mira", {**SWORD, **change})


def hit(action_id: str = "a1", target: str = "grik") -> ev.Outcome:
    return ev.Outcome(2.0, (ev.Result("hit", target, {"damage": 4}),), action_id)


STARTED = (state(), ev.Turn(1.0, "t1", "mira"), declare())


def mark(world: World, actor: str = "mira", action: Mapping[str, Any] = SWORD) -> str:
    return fingerprint(world, dependence(world, actor, action))


def kept(*inputs: ev.Input) -> bool:
    before = play(*STARTED)
    return mark(play(*inputs, world=before)) == mark(before)


@pytest.mark.parametrize(
    "change",
    [
        state(),
        state("weather", "sun"),
        state("actors.tom.hp", 3),
        state("actors.snag.hp", 1),
        state("actors.snag"),
        ev.Say(2.0, "gm", "Roll for it."),
        ev.Need(2.0, "statblock:goblin"),
        declare("a2", target="snag"),
    ],
)
def test_what_has_nothing_to_do_with_it_keeps_it(change: ev.Input) -> None:
    assert kept(change)  # G1: unrelated changes cancel nothing


@pytest.mark.parametrize(
    "change",
    [
        state("actors.grik.hp", 3),
        state("actors.grik.dead", True),
        state("actors.grik", None),
        state("actors.mira.ammo", 4),
    ],
)
def test_what_its_own_action_may_change_keeps_it(change: ev.State) -> None:
    assert kept(change)  # G1: footprint


@pytest.mark.parametrize("path", ["actors.grik.hp", "actors.mira.ammo"])
def test_what_its_outcome_would_decide_is_left_out_even_undeclared(path: str) -> None:  # G1
    before = play(state(), ev.Turn(1.0, "t1", "mira"))
    after = play(state(path, 2), world=before)
    assert after.fresh
    assert mark(after) == mark(before)


@pytest.mark.parametrize("path", ["actors.mira.pos", "actors.grik.pos"])
def test_what_changes_all_the_time_keeps_it(path: str) -> None:
    assert kept(state(path, [9, 9]))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("actors.mira", None),
        ("actors.grik.name", "Grik the Brave"),
        ("actors.grik.side", "party"),
        ("actors.mira.hp", 2),
        ("actors.mira.name", "Mira"),
        ("actors", None),
        ("location.light", "dark"),
        ("location", None),
    ],
)
def test_what_it_speaks_of_changes_it(path: str, value: Any) -> None:
    assert not kept(state(path, value))  # 0-8, G1: unexpected


def test_a_change_its_own_action_is_named_for_keeps_it_and_others_see_it() -> None:
    change = state("location.light", "dark", because="a1")
    assert kept(change)
    before = play(*STARTED)
    after = play(change, world=before)
    assert mark(before, "tom") != mark(after, "tom")


def test_there_and_back_again_is_not_the_same() -> None:  # G1: A→B→A
    assert not kept(state("location.light", "dark"), state())


def test_an_unnamed_change_after_a_named_one_of_the_same_place_is_seen() -> None:
    named = state("location.light", "dark", because="a1")
    assert not kept(named, state("location.light", "bright"))


def test_turn_and_number_of_outcomes_count() -> None:
    assert not kept(hit())
    assert not kept(ev.Turn(3.0, "t2", "mira"))
    before = play(*STARTED)
    after = play(hit(), world=before)
    depends = dependence(before, "mira", SWORD)
    assert fingerprint(after, depends, after.outcomes - 1) == fingerprint(before, depends)


def test_a_text_for_another_action_has_another() -> None:
    world = play(*STARTED)
    texts = [("mira", SWORD), ("tom", SWORD), ("mira", {**SWORD, "target": "snag"})]
    assert len({mark(world, actor, action) for actor, action in texts}) == 3


def test_a_rewind_changes_every_one() -> None:
    world = play(*STARTED)
    after = rewound(world, world.revision + 1, Numbered(world.number + 1, ev.Rewind(3.0, 1.0), 3.0))
    assert mark(after) != mark(world)


def test_too_many_changes_to_remember_make_all_doubtful(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("foretell.streams.world.MAX_PATHS", 8)
    log = ev.State(1.0, {**STATE, "log": {"first": 0}})
    assert kept(log)
    assert not kept(log, ev.State(1.0, {**STATE, "log": {str(n): n for n in range(20)}}))


def test_the_volatile_fields_are_data_to_replace() -> None:
    start = World(footprint=Footprint(volatile=("hp",)))
    before = play(*STARTED, world=start)
    assert mark(play(state("actors.mira.hp", 2), world=before)) == mark(before)
    assert mark(play(state("actors.mira.pos", [9, 9]), world=before)) != mark(before)


def test_a_place_may_have_volatile_fields_too() -> None:
    start = World(footprint=Footprint(volatile=("light", "location", "mira")))
    before = play(*STARTED, world=start)
    assert mark(play(state("location.light", 9), world=before)) == mark(before)
    assert mark(play(state("location.name", "Cellar"), world=before)) != mark(before)
    for gone in ("location", "actors.mira"):  # these are no fields
        assert mark(play(state(gone, {"hp": 1}), world=before)) != mark(before)


paths = st.sampled_from(
    ["weather", "location.light", *(f"actors.{a}.{f}" for a in ("mira", "tom", "grik", "snag")
     for f in ("hp", "pos", "name"))]
)  # fmt: skip
OF_THE_TEXT = {"location.light", "actors.mira.hp", "actors.mira.name", "actors.grik.name"}


@given(st.lists(st.tuples(paths, st.integers(100, 103)), max_size=10))
def test_it_changes_exactly_with_an_unexpected_change_of_what_it_covers(
    changes: list[tuple[str, int]],
) -> None:
    """Each step sets one field: G1 says for each whether the text still holds."""
    world = play(*STARTED)
    values = deepcopy(dict(world.state))
    for path, value in changes:
        values = deepcopy(values)
        *way, last = path.split(".")
        box = values
        for key in way:
            box = box[key]
        doubtful = path in OF_THE_TEXT and box.get(last) != value
        box[last] = value
        after = play(ev.State(2.0, values), world=world)
        assert (mark(after) != mark(world)) == doubtful
        world = after


# ── scenes ────────────────────────────────────────────────────────────────────────────────────────


def scene(*inputs: ev.Input) -> str:
    return scene_fingerprint(classify(play(*STARTED, *inputs)))


@pytest.mark.parametrize(
    "change",
    [
        state("weather", "sun"),
        state("actors.grik.hp", 6),
        state("actors.grik.pos", [9, 9]),
        state("actors.mira.ammo", 4),
        ev.Say(2.0, "gm", "Roll."),
    ],
)
def test_the_same_preparations_serve_the_same_scene(change: ev.Input) -> None:
    assert scene(change) == scene()


@pytest.mark.parametrize(
    "change",
    [
        hit(),
        declare(target="snag"),
        declare("a2", target="snag"),
        ev.Action(1.0, "a1", None, "mira", None),
        ev.Action(1.0, "a1", None, "mira", SWORD, {"hit": 1.0}),
        ev.Action(1.0, "a1", None, "mira", SWORD, None, "hit"),
        ev.Turn(2.0, "t2", "tom"),
        ev.Turn(2.0, "t1", "mira", ({"type": "attack", "name": "axe"},)),
        state("actors.snag", None),
        state("location.light", "dark"),
        state("mode", "dialogue"),
    ],
)
def test_what_calls_for_other_preparations_is_another_scene(change: ev.Input) -> None:
    assert scene(change) != scene()


HURT = {**STATE["actors"], "tom": {"side": "party", "hp": 2, "max_hp": 10}}
MOMENTS: list[ev.Input] = [
    *(ev.State(2.0, {**STATE, "weather": weather}) for weather in ("sun", "rain", "fog")),
    ev.State(2.0, {**STATE, "actors": HURT}),
    state("actors.grik.hp", 2),
    ev.State(2.0, {**STATE, "actors": HURT, "weather": "sun"}),
    ev.State(2.0, {**STATE, "location": {"id": "camp"}}),
    *(ev.State(2.0, {**STATE, "dialogue": {"npc": npc}}) for npc in ("Bram", "Ada")),
    *(ev.State(2.0, {**STATE, "mode": mode}) for mode in ("exploration", "combat")),
    declare(target="snag"),
    declare("a2"),
    ev.Action(1.0, "a1", None, "mira", None),
    hit(),
    ev.Outcome(2.0, (ev.Result("hit", "snag"),), None, None, "tom", {"type": "attack"}),
    ev.Turn(2.0, "t2", "tom"),
    ev.Say(2.0, "mira", "I strike."),
    ev.Say(2.0, "mira", "I stri", typing=True),
]


@given(st.lists(st.sampled_from(MOMENTS), max_size=12))
def test_one_scene_after_the_other_has_the_fingerprint_it_has_alone(inputs: list[ev.Input]) -> None:
    fingerprint_of, world = scene_fingerprints(), play(*STARTED)
    for event in inputs:
        world = play(event, world=world)
        scene = classify(world)
        assert fingerprint_of(scene) == scene_fingerprint(scene)


def test_what_a_scene_is_made_of_is_not_worked_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    fingerprint_of, world, asked = scene_fingerprints(), play(*STARTED), list[Any]()
    one = fingerprint_of(classify(world))
    monkeypatch.setattr("foretell.operators.fingerprint.scene_fingerprint", asked.append)
    world = play(ev.State(2.0, {**world.state, "weather": "sun"}), world=world)
    assert fingerprint_of(classify(world)) == one and not asked


@pytest.mark.parametrize("hp", [2, 0])
def test_a_target_that_may_fall_or_has_is_another_scene(hp: int) -> None:
    """Expected, and yet it calls for a kill to be prepared, or for another target."""
    assert scene(state("actors.grik.hp", hp)) != scene()


def test_what_is_talked_about_counts_in_a_dialogue_only() -> None:
    talk = state("dialogue", {"npc": "Bram", "topic": "bridge"})
    other = state("dialogue", {"npc": "Bram", "topic": "gold"})
    assert scene(talk) != scene(other)
    fight = state("mode", "combat").state
    quiet = [ev.State(1.0, {**fight, "dialogue": each.state["dialogue"]}) for each in (talk, other)]
    assert scene(quiet[0]) == scene(quiet[1])


@pytest.mark.parametrize(
    "odds", [{1: 0.5}, {"hit": object()}, {"\ud800": 1}, [1, 2], {"hit": {3: 4}}, "high"]
)
def test_odds_that_are_no_json_stop_nothing(odds: Any) -> None:  # G10
    strange = ev.Action(1.0, "a1", None, "mira", SWORD, odds)
    assert scene(strange) != scene()


@given(st.permutations([(("actors", who, "name"), None) for who in ("mira", "grik", "tom")]))
def test_the_last_change_counts_wherever_it_is_kept(changes: list[Any]) -> None:
    depends = dependence(World(), "mira", SWORD)
    unexpected = {change: 1 + at for at, change in enumerate(changes)}
    unexpected[changes[0]] = 9  # it keeps its place
    heard = [rev for (path, _), rev in unexpected.items() if path[1] != "tom"]
    assert depends.revision(unexpected) == max(heard)
    assert depends.revision({}) == 0
