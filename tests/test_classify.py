"""Which kind of moment a state is, whatever shape the game sends it in."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell import ConfigError
from foretell.operators.classify import DEFAULT_RULES, Context, Rule, classify
from foretell.streams.events import Turn
from foretell.streams.world import World

CAVE = {"id": "cave", "name": "The Sunken Cave", "exits": ["north"]}
MIRA = {"name": "Mira", "side": "party", "hp": 18, "max_hp": 24}
GRIK = {"name": "Grik", "side": "foes", "hp": 7, "max_hp": 7}


def context(state: dict[str, Any], turn: Turn | None = None) -> Context:
    return classify(World(state=state, turn=turn)).context


@pytest.mark.parametrize(  # 0-1, 0-13
    ("state", "expected"),
    [
        # as engines send them: every key always there, most of them empty
        (
            {
                "in_combat": False,
                "combat": {"active": False, "round": 0, "initiative": []},
                "dialogue": {"npc": None, "topic": None, "options": []},
                "location": CAVE,
                "actors": {"mira": MIRA},
            },
            Context.EXPLORATION,
        ),
        (
            {
                "in_combat": True,
                "combat": {"active": True, "round": 2, "initiative": ["mira", "grik"]},
                "dialogue": {"npc": None, "topic": None, "options": []},
                "location": CAVE,
                "actors": {"mira": MIRA, "grik": GRIK},
            },
            Context.COMBAT,
        ),
        (
            {
                "in_combat": False,
                "dialogue": {"npc": "Old Bram", "topic": "the bridge", "options": ["leave"]},
                "location": CAVE,
            },
            Context.DIALOGUE,
        ),
        ({"mode": "combat", "round": 3, "turn": "mira", "actors": {"mira": MIRA}}, Context.COMBAT),
        ({"round": 1, "actors": {"mira": MIRA, "grik": GRIK}, "location": CAVE}, Context.COMBAT),
        ({"encounter": {"id": "e-12", "monsters": ["sea-hag"]}}, Context.COMBAT),
        ({"location": "docks"}, Context.EXPLORATION),
        ({"exits": ["north", "down"]}, Context.EXPLORATION),
        ({"actors": {"mira": MIRA}}, Context.IDLE),
        ({}, Context.IDLE),
    ],
)
def test_states_of_real_games(state: dict[str, Any], expected: Context) -> None:
    assert context(state) is expected


NOTHING: list[Any] = [
    False,
    None,
    0,
    0.0,
    "",
    "false",
    "False",
    " no ",
    "none",
    "0",
    "off",
    [],
    {},
    {"active": False},
    {"active": "false"},
    {"active": {"active": 0}},
    {"active": False, "round": 3},
    {"npc": None, "options": []},
]


@pytest.mark.parametrize("value", NOTHING, ids=repr)
@pytest.mark.parametrize("key", ["in_combat", "combat", "dialogue", "round", "location"])
def test_a_false_value_does_not_count(key: str, value: Any) -> None:  # 0-1
    assert context({key: value}) is Context.IDLE


@pytest.mark.parametrize(
    "value", [True, 1, "yes", "goblins", ["grik"], {"active": True}, {"id": 4}]
)
def test_a_true_value_counts(value: Any) -> None:
    assert context({"combat": value}) is Context.COMBAT


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("combat", Context.COMBAT),
        (" Battle ", Context.COMBAT),
        ("EXPLORE", Context.EXPLORATION),
        ("dialog", Context.DIALOGUE),
        ("pause", Context.IDLE),
    ],
)
def test_an_explicit_mode_wins_over_everything(mode: str, expected: Context) -> None:
    state = {"mode": mode, "in_combat": True, "dialogue": {"npc": "Bram"}, "location": CAVE}
    assert context(state, Turn(0, "t", "mira")) is expected
    assert context({"mode": mode}) is expected


@pytest.mark.parametrize("mode", ["stealth", "", 3, None, ["combat"], {"combat": True}])
def test_a_mode_nobody_knows_leaves_it_to_the_rules(mode: Any) -> None:
    assert context({"mode": mode, "dialogue": {"npc": "Bram"}}) is Context.DIALOGUE


def test_dialogue_inside_a_location_is_dialogue() -> None:  # 0-1
    assert context({"location": CAVE, "exits": ["n"], "dialogue": "Bram"}) is Context.DIALOGUE


def test_talk_in_the_middle_of_a_fight_is_a_fight() -> None:
    assert context({"in_combat": True, "dialogue": {"npc": "Bram"}}) is Context.COMBAT


def test_an_open_turn_with_nothing_said_is_a_fight() -> None:
    assert context({"actors": {"mira": MIRA}}, Turn(0, "t", "mira")) is Context.COMBAT


def test_a_turn_among_foes_somewhere_is_a_fight_unless_the_state_denies_it() -> None:
    state = {"location": "mill", "actors": {"mira": MIRA, "grik": {"side": "foes"}}}
    turn = Turn(0, "t", "mira")
    assert context(state, turn) is Context.COMBAT
    assert context(state) is Context.EXPLORATION
    assert context({**state, "actors": {"mira": MIRA}}, turn) is Context.EXPLORATION
    assert context({**state, "in_combat": False}, turn) is Context.EXPLORATION
    assert context({**state, "dialogue": {"npc": "Bram"}}, turn) is Context.DIALOGUE


def test_the_rules_are_data_to_replace() -> None:  # 0-13
    rules = (Rule(Context.DIALOGUE, ("ui.panel.talk",)), *DEFAULT_RULES)
    world = World(state={"ui": {"panel": {"talk": True}}, "in_combat": True})
    assert classify(world, rules).context is Context.DIALOGUE
    assert classify(world).context is Context.COMBAT
    assert classify(world, ()).context is Context.IDLE


@pytest.mark.parametrize(
    ("context", "paths", "said"),
    [
        (Context.COMBAT, "fighting", r'\("fighting",\), not "fighting"'),
        ("fight", ("fighting",), "no context 'fight'; there are combat, "),
    ],
)
def test_a_rule_that_is_none_is_refused(context: Any, paths: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Rule(context, paths)
    given: Any = "combat"
    assert Rule(given, ("fighting",)).context is Context.COMBAT


def test_a_path_through_something_that_is_no_object_is_nothing() -> None:
    rule = (Rule(Context.COMBAT, ("a.b.c",)),)
    for state in ({}, {"a": 1}, {"a": {"b": [1]}}, {"a": None}):
        assert classify(World(state=state), rule).context is Context.IDLE


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
keys = st.sampled_from(["mode", *{path for rule in DEFAULT_RULES for path in rule.paths}])


@given(st.dictionaries(keys, json_values))
def test_any_state_at_all_has_a_context(state: dict[str, Any]) -> None:
    assert isinstance(context(state), Context)
