"""Slots: the holes of a prepared text are filled alike, however the text was cut."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.operators.slots import SlotFiller, fill, slots_in

VALUES: dict[str, object] = {"damage": 9.0, "target_hp": 0, "target": "Grik {damage}"}

texts = st.lists(
    st.one_of(
        st.text(max_size=6),
        st.text("{}_aZ09 ", max_size=12),
        st.sampled_from(
            ["{damage}", "{target_hp}", "{target}", "{lost}", "{", "}", "{" + "a" * 40]
        ),
    ),
    max_size=10,
).map("".join)


def cut(text: str, sizes: list[int]) -> list[str]:
    pieces, at = [], 0
    for size in sizes:
        pieces.append(text[at : at + size])
        at += size
    return [*pieces, text[at:]]


@given(texts, st.lists(st.integers(0, 5), max_size=40))
@example("{" + "a" * 32 + "}", [1] * 33)
@example("{" + "a" * 33 + "}", [1] * 34)
@example("{{damage}}", [1] * 10)
def test_any_cutting_fills_alike(text: str, sizes: list[int]) -> None:
    filler = SlotFiller(VALUES)
    out = "".join(filler.feed(piece) for piece in cut(text, sizes)) + filler.finish()
    assert out == fill(text, VALUES)
    assert set(filler.missing) == slots_in(text) - set(VALUES)


@given(texts.filter(lambda text: not slots_in(text)))
def test_a_text_without_slots_passes_through(text: str) -> None:
    assert fill(text, VALUES) == text


@given(texts, st.lists(st.integers(0, 5), max_size=40))
def test_only_what_may_become_a_slot_is_held_back(text: str, sizes: list[int]) -> None:
    filler = SlotFiller({})
    fed = out = ""
    for piece in cut(text, sizes):
        fed += piece
        out += filler.feed(piece)
        held = filler._held
        assert len(held) <= 33
        assert fed.endswith(held)
        assert out == fill(fed[: len(fed) - len(held)], {})


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (9, "9"),
        (9.0, "9"),
        (-3.0, "-3"),
        (2.5, "2.5"),
        (0.1 + 0.2, "0.3"),
        (-0.00001, "0"),
        (1e22, "10000000000000000000000"),
        (True, "yes"),
        (False, "no"),
        ("Grik", "Grik"),
        ("", ""),
        (["Grik", "Snag", 3.0], "Grik, Snag, 3"),
        (None, "some"),
        (float("nan"), "some"),
        (float("inf"), "some"),
        pytest.param(10**5000, "some", id="no such integer"),
        ({"hp": 3}, "some"),
        ([], "some"),
    ],
)
def test_values_are_written_plainly(value: Any, written: str) -> None:
    assert fill("{damage}", {"damage": value}) == written


def test_a_brace_that_is_no_slot_stays() -> None:
    text = "{ damage } {1} {} {dämage} {a b} }{ {a.b} {"
    assert fill(text, {"damage": 1, "a": 2}) == text


def test_a_value_is_not_filled_again() -> None:
    assert fill("{target} takes {damage}.", VALUES) == "Grik {damage} takes 9."


def test_a_slot_without_value_gets_a_neutral_word_and_is_noted() -> None:
    filler = SlotFiller({"damage": 4})
    out = filler.feed("{target} takes {damage}, has {target_hp} left; {target}") + filler.finish()
    assert out == "the target takes 4, has some left; the target"
    assert filler.missing == ["target", "target_hp"]


def test_neutral_words_can_be_given() -> None:
    assert fill("{damage} {rune}", {}, "what", {"rune": "a rune"}) == "what a rune"


def test_a_capitalised_slot_is_filled_as_the_plain_one() -> None:
    filler = SlotFiller({"damage": 4})
    assert filler.feed("{Damage}") == "4"
    assert filler.missing == []


def test_slots_in_a_text() -> None:
    assert slots_in("{damage} of {{target_hp}}, { no } {" + "a" * 33 + "}") == {
        "damage",
        "target_hp",
    }


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("It lodges deep, good for {damage} damage.", "It lodges deep."),
        ("It falls — {damage} damage, and more than enough. Oh!", "It falls. Oh!"),
        ("Grik reels — {target_hp} HP left — and grins.", "Grik reels — 3 HP left — and grins."),
        ("Grik reels — {damage} down — and grins.", "Grik reels — and grins."),
        ("Steel, {damage}, and a cry; {Damage}.", "Steel, and a cry."),
        ('"Ha, {damage}," he says.', '"Ha," he says.'),
        ("{damage} damage, and {target} reels.", "some damage, and the target reels."),
        ("Ha! — {damage} damage", "Ha! — some damage"),
    ],
)
def test_a_clause_around_a_number_that_nobody_knows_is_left_out(text: str, told: str) -> None:
    filler = SlotFiller({"target_hp": 3}, lacking=("damage",))
    assert filler.feed(text) + filler.finish() == told
    assert set(filler.missing) == slots_in(text) - {"target_hp"}


clauses = st.lists(
    st.sampled_from(["{damage}", "{hp}", "{lost}", " ", "  ", ",", ";", "—", " — ", ".", "a", "{"]),
    max_size=16,
).map("".join)


@given(clauses, st.lists(st.integers(0, 5), max_size=40))
@example("a — {lost} —", [1] * 20)
@example("a  , {lost}  — a", [1] * 20)
def test_any_cutting_leaves_out_the_same_clauses(text: str, sizes: list[int]) -> None:
    filler = SlotFiller({"damage": 4}, lacking=("lost",))
    out = "".join(filler.feed(piece) for piece in cut(text, sizes)) + filler.finish()
    assert out == fill(text, {"damage": 4}, lacking=("lost",))
    assert ("lost" in filler.missing) is ("{lost}" in text)
