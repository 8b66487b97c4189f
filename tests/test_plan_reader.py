"""Steps out of a stream: each as it closes, in whatever pieces, whatever stands around them."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.plans.reader import PlansReader, StepReader

MOVE, ATTACK, WAIT = {"do": "MoveTo", "x": 10, "y": 1.5}, {"do": "Attack", "target": "é{1]"}, {
    "do": "Wait"
}  # fmt: skip


def read(*pieces: str) -> list[Any]:
    reader = StepReader()
    steps = [step for piece in pieces for step in reader.feed(piece)]
    return [*steps, *reader.finish()]


def test_a_step_is_there_as_soon_as_its_object_closes() -> None:  # 3-16, 3-17
    reader = StepReader()
    assert reader.feed('{"plan_id":"p1",') == []
    assert reader.feed('"steps":[{"act":"MoveTo","x":10,"y":10},') == [
        {"act": "MoveTo", "x": 10, "y": 10}
    ]
    assert reader.feed('{"act":"Attack","target_id":5}]}') == [{"act": "Attack", "target_id": 5}]
    assert reader.finish() == []


def test_several_steps_in_one_piece_are_all_there() -> None:  # 3-17
    text = orjson.dumps({"steps": [MOVE, ATTACK, WAIT]}).decode()
    assert StepReader().feed(text) == [MOVE, ATTACK, WAIT]


def test_of_a_cut_stream_the_complete_steps_are_left() -> None:  # 3-18
    assert read('{"plan_id":"p1","steps":[{"act":"MoveTo","x":10,"y":10}') == [
        {"act": "MoveTo", "x": 10, "y": 10}
    ]
    assert read('{"steps":[{"do":"Wait"},{"do":"MoveTo","x":1') == [WAIT]


AROUND = [
    "{}",
    "Here is the plan for {agent}: {} I hope it helps.",
    "```json\n{}\n```",
    'Sure! {"note": 1} then {}',
    '{"note": {"deep": [1, 2]}}\n{"thought": "…"}\n{}',
    "As in [1] and [2], {} and no [3].",
    '{} And {"steps": [{"do": "Scan"}]} is another.',
]


@pytest.mark.parametrize("around", AROUND)
@pytest.mark.parametrize("bare", [False, True])
@pytest.mark.parametrize("size", [1, 4, 10_000])
def test_what_stands_around_a_plan_is_passed_over(around: str, bare: bool, size: int) -> None:
    steps = [MOVE, ATTACK, WAIT]  # 3-52
    plan = orjson.dumps(steps if bare else {"steps": steps}).decode()
    text = around.replace("{}", plan, 1)
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    assert read(*pieces) == steps


@pytest.mark.parametrize(
    "text",
    ["", "no plan at all", "{", "[[[[", '{"steps": 3}', '{"steps": ["Wait", 7]}', "\x00\ud800}{"],
)
def test_what_is_no_plan_has_no_steps(text: str) -> None:  # 3-25
    assert read(text) == []


STEPS = st.lists(st.sampled_from((MOVE, ATTACK, WAIT)), max_size=5)


@given(STEPS, st.sampled_from(AROUND), st.lists(st.integers(1, 20), max_size=40), st.data())
def test_in_any_pieces_the_steps_are_the_same_and_a_cut_has_the_first_of_them(
    steps: list[Any], around: str, sizes: list[int], data: st.DataObject
) -> None:  # 3-18, 3-19, 3-42
    text = around.replace("{}", orjson.dumps({"steps": steps}).decode(), 1)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    assert read(*pieces, text[at:]) == read(text)
    left = read(text[: data.draw(st.integers(0, len(text)))])
    assert left == read(text)[: len(left)]


@given(STEPS, st.integers(0, 200), st.text(max_size=4))
def test_a_corrupt_stream_raises_nothing_and_keeps_what_came_before(
    steps: list[Any], at: int, noise: str
) -> None:  # 3-25
    text = orjson.dumps({"steps": steps}).decode()
    at = min(at, len(text))
    whole = StepReader().feed(text[:at])  # complete before the noise came
    assert read(text[:at], noise, text[at:])[: len(whole)] == whole


# --- several plans in one answer

PLANS = {
    "plans": [
        {"agent": "a", "steps": [MOVE, ATTACK]},
        {"agent": "b", "steps": [WAIT]},
        {"agent": "c", "steps": [ATTACK, WAIT]},
    ]
}
EACH = {"a": [MOVE, ATTACK], "b": [WAIT], "c": [ATTACK, WAIT]}


def told(*pieces: str, agents: str = "abc") -> dict[str, list[Any]]:
    reader = PlansReader(tuple(agents))
    found = [each for piece in pieces for each in reader.feed(piece)]
    plans: dict[str, list[Any]] = {}
    for agent, step in [*found, *reader.finish()]:
        plans.setdefault(agent, []).append(step)
    return plans


def test_a_step_of_several_plans_is_there_as_it_closes_and_says_whose_it_is() -> None:
    reader = PlansReader(("a", "b"))  # 3-13
    assert reader.feed('{"plans":[{"agent":"a","steps":[{"do":"Wait"}') == [("a", WAIT)]
    assert not reader.whole
    assert reader.feed(']},{"agent":"b","steps":[') == [] and list(reader.whole) == ["a"]
    assert reader.feed('{"do":"Wait"}]}]}') == [("b", WAIT)]
    assert list(reader.whole) == ["a", "b"] and reader.finish() == [] and not reader.odd


def test_the_plans_may_stand_in_a_bare_list_and_in_another_order() -> None:
    plans = PLANS["plans"]
    for written in (PLANS, plans, {"plans": plans[::-1]}):
        assert told(orjson.dumps(written).decode()) == EACH


@pytest.mark.parametrize("name", ["agent", "agent_id", "id", "name"])
def test_whose_a_plan_is_may_be_said_behind_its_steps(name: str) -> None:
    plans = [{"steps": plan["steps"], name: plan["agent"]} for plan in PLANS["plans"]]
    assert told(orjson.dumps({"plans": plans}).decode()) == EACH


def test_plans_without_names_are_told_by_their_place_if_there_are_as_many() -> None:
    plans = [{"steps": steps} for steps in EACH.values()]
    assert told(orjson.dumps({"plans": plans}).decode()) == EACH
    assert told(orjson.dumps({"plans": plans[:2]}).decode()) == {}
    some = [{"agent": "a", "steps": [MOVE]}, {"steps": [WAIT]}, {"agent": "c", "steps": []}]
    assert told(orjson.dumps({"plans": some}).decode()) == {"a": [MOVE], "b": [WAIT]}


def test_of_two_plans_the_first_stands_and_those_of_strangers_are_left_out() -> None:
    plans = [
        {"agent": "z", "steps": [MOVE]}, *PLANS["plans"], {"agent": "a", "steps": [WAIT]},
        {"agent": True, "steps": [WAIT]},
    ]  # fmt: skip
    reader = PlansReader(tuple("abc"))
    steps = reader.feed(orjson.dumps({"plans": plans}).decode())
    assert steps == [(agent, step) for agent, each in EACH.items() for step in each]
    assert [kind for kind, _ in reader.odd] == ["stranger", "twice"]


@given(
    st.sampled_from((*AROUND[:-1], 'Of [{"name": "a"}, {"id": "z"}]: {}')),
    st.lists(st.integers(1, 20), max_size=60),
    st.data(),
)
def test_in_any_pieces_several_plans_are_the_same_and_a_cut_has_the_first_steps_of_each(
    around: str, sizes: list[int], data: st.DataObject
) -> None:  # 3-18, 3-19, 3-52
    text = around.replace("{}", orjson.dumps(PLANS).decode(), 1)
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    assert told(*pieces, text[at:]) == told(text) == EACH
    left = told(text[: data.draw(st.integers(0, len(text)))])
    assert all(steps == EACH[agent][: len(steps)] for agent, steps in left.items())


@given(st.text(max_size=60), st.integers(0, 160))
def test_what_is_no_plans_raises_nothing(noise: str, at: int) -> None:  # 3-25
    text = orjson.dumps(PLANS).decode()
    for each in (noise, text[:at] + noise + text[at:], '{"plans": 3}', '[[1], {"agent": "a"}]'):
        told(each)
