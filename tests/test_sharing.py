"""Snapshots read one after the other: the same values as read alone, and parts shared."""

from __future__ import annotations

from typing import Any

import orjson
from hypothesis import given
from hypothesis import strategies as st

from foretell.streams.sharing import Shared

NAMES = st.text(alphabet='ab",:}{\\é', max_size=3)
LEAVES = st.none() | st.integers(-20, 20) | st.floats(allow_nan=False) | NAMES
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4)
)
STATES = st.dictionaries(NAMES, VALUES, max_size=5)


@st.composite
def _nights(draw: st.DrawFn) -> list[dict[str, Any]]:
    """States that follow each other as in a game: mostly the same, here and there a change."""
    states = [draw(STATES)]
    for _ in range(draw(st.integers(1, 6))):
        state = orjson.loads(orjson.dumps(states[-1]))
        for name in draw(st.lists(st.sampled_from([*state, "new"]), max_size=2)):
            inside = state.get(name)
            if isinstance(inside, dict) and inside and draw(st.booleans()):
                inside[draw(st.sampled_from([*inside]))] = draw(VALUES)
            elif draw(st.booleans()):
                state[name] = draw(VALUES)
            else:
                state.pop(name, None)
        states.append(state)
    return states


def _same(one: Any, other: Any) -> bool:
    """Equal, of the same types and in the same order."""
    return orjson.dumps(one) == orjson.dumps(other)


@given(_nights(), st.integers(0, 3))
def test_a_state_is_read_as_if_it_were_the_only_one(
    states: list[dict[str, Any]], depth: int
) -> None:
    shared, before = Shared(depth), []
    for state in states:
        value = shared.loads(orjson.dumps(state))
        assert _same(value, state)
        before.append((value, orjson.dumps(state)))
    assert all(orjson.dumps(value) == raw for value, raw in before)  # and none is changed later


@given(STATES, STATES)
def test_any_two_states_do_not_disturb_each_other(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    shared = Shared(3)
    shared.loads(orjson.dumps(one))
    assert _same(shared.loads(orjson.dumps(other)), other)


def test_what_has_not_changed_is_one_object_at_every_level() -> None:
    shared = Shared(3)
    state: dict[str, Any] = {
        "round": 1,
        "actors": {"mira": {"hp": 7, "pos": [1, 2]}, "tom": {"hp": 9, "pos": [3, 4]}},
        "location": {"id": "crypt"},
        "tick": 1,
    }
    one = shared.loads(orjson.dumps(state))
    assert shared.loads(orjson.dumps(state)) is one
    state["actors"]["tom"]["hp"] = 5
    state["tick"] = 2
    two = shared.loads(orjson.dumps(state))
    assert two == state
    assert two["location"] is one["location"]
    assert two["actors"]["mira"] is one["actors"]["mira"]
    assert two["actors"]["tom"]["pos"] is one["actors"]["tom"]["pos"]
    assert one["actors"]["tom"]["hp"] == 9
