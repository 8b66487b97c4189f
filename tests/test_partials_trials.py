"""What looking for the place to go on from costs is counted, and it ends when that is spent."""

from __future__ import annotations

from typing import Any

import pytest

from foretell.operators.partial_trials import LEAST, Trials
from foretell.operators.partials import PartialParser


def trials(text: str = "oh no", **settings: Any) -> Trials:
    """Of a reader that had to stop before ``text``."""
    parser = PartialParser(**settings)
    parser.feed('{"n": 1}\n{"s": 1 ' if settings.get("expect") == "array" else '{"s": 1 ')
    parser.feed(text)
    return Trials(parser)


def spent(made: Trials, left: int) -> int:
    return left - made._left


def test_there_is_to_spend_what_the_text_has_and_some_more() -> None:
    assert trials("x" * 1000)._left == LEAST + 1000
    parser = PartialParser()
    parser.feed('{"s": 1 x')
    parser.feed("y" * 10)
    assert Trials(parser)._left == LEAST + 11


def test_what_is_looked_at_on_the_way_to_a_line_is_paid_for() -> None:
    made = trials()
    text = "x [" + '\n{"b": [' * 3 + 'x\n{"c":1}'
    left = made._left
    assert made.find(made._line, text) == text.index('\n{"c"')
    assert spent(made, left) == 4 * 16 + text.index('\n{"c"') // 4
    left = made._left
    assert made.find(made._line, "x" * 400) is None
    assert spent(made, left) == 100


@pytest.mark.parametrize("left", [-1, 0, 16, 48])
def test_nothing_is_found_once_all_is_spent(left: int) -> None:
    made = trials()
    text = "x [" + '\n{"b": [' * 3 + 'x\n{"c":1}'
    made._left = left
    assert made.find(made._line, text) is None
    assert made._left <= 0
    assert made._left > -17


def test_what_is_read_on_trial_is_paid_for_and_a_trial_has_its_price() -> None:
    made = trials()
    left = made._left
    assert made._certain([{}], ', "c": 1}', 0)
    assert spent(made, left) == 256 + 4 * len('{"":0') + len(', "c": 1}')
    left = made._left
    assert made._is_list('1, {"c": 2},\n', 0)
    assert spent(made, left) == 256 + 4 * len("[0,") + len('1, {"c": 2}')


def test_what_a_reader_puts_aside_is_read_at_the_end_of_a_trial() -> None:
    assert trials()._is_list('1, {"c": 2, "d', 0)
    assert not trials()._is_list('1, {"c": 2,""}', 0)


def test_a_trial_ends_when_all_is_spent() -> None:
    made = trials()
    made._left = 256 + 4 * len('{"":0') + 100
    assert not made._certain([{}], ', "c": [' + "1, " * 10_000 + "1]}", 0)
    assert -256 < made._left <= 0
    assert not made._is_list("1, 2", 0)


def test_no_place_is_looked_for_once_all_is_spent() -> None:
    text = 'x"y", "b": 1}'
    boxes: list[Any] = [{}]
    assert trials().place(text, boxes) == (1, 4)
    made = trials()
    made._left = 0
    assert made.place(text, boxes) is None


def test_a_way_past_objects_that_are_lost_is_paid_for() -> None:
    text = ' f([{"k": 1}, {"k": 2}]), "b": 1}'
    boxes: list[Any] = [{}]
    made, after = trials(), text.index(', "b"')
    left = made._left
    assert made._beyond(text, boxes, 12) == (1, after)
    assert spent(made, left) == (len(text) - 12) // 4 + 256 + 4 * len('{"":0') + len(', "b": 1}')
    made._left = 1
    assert made._beyond(text, boxes, 12) is None


def test_a_trial_goes_no_deeper_than_the_reader() -> None:
    assert trials()._certain([{}], ', "c": [[]]}', 0)
    parser = PartialParser(max_depth=2)
    parser.feed('{"s": 1 x')
    assert not Trials(parser)._certain([{}], ', "c": [[]]}', 0)


def test_what_ends_a_line_of_objects_is_where_the_next_begins() -> None:
    made = trials(expect="array")
    assert made._certain([[], {}], ', "c": 1}\n{"d": 2}', 0)
    assert made._certain([[], {}], ', "c": 1}, {"d": 2}, {"e', 0)
    assert not made._certain([[], {}], ', "c": 1}, {"d": 2}]}', 0)
    assert not made._certain([[], {}], ', "c": 1} x', 0)
    assert not trials()._certain([{}], ', "c": 1}, {"d": 2}', 0)
