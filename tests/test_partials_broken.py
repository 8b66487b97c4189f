"""What stands after a place that cannot be read is not lost with it."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.partials import MISSING, Final, Partial, PartialParser, apply


def read(text: str, size: int = 10**6, **settings: Any) -> tuple[PartialParser, Partial]:
    """The reader of ``text`` in pieces, and what it found; the patches give that."""
    parser = PartialParser(**settings)
    built: Any = MISSING
    done: set[Any] = set()

    def take(patches: Any) -> None:
        nonlocal built
        for patch in patches:
            assert patch.path not in done
            built = apply(built, patch)
            if patch.op == "done":
                done.add(patch.path)

    for at in range(0, len(text), size):
        take(parser.feed(text[at : at + size]))
        assert built == parser.value
    found = parser.finish()
    take(found.patches)
    assert built == found.value
    assert isinstance(found, Partial)
    return parser, found


def test_a_word_that_is_no_value_costs_its_place_alone_and_the_next_step_streams() -> None:
    parser = PartialParser()
    parser.feed('{"steps":[{"a":1},{"n":1_000},{"c":3},')
    assert parser.value == {"steps": [{"a": 1}, {}, {"c": 3}]}
    assert parser.done(("steps", 2))
    parser.feed('{"d":4}]}')
    assert parser.finish() == Partial(
        {"steps": [{"a": 1}, {}, {"c": 3}, {"d": 4}]}, "'1_000' is no JSON value (character 23)"
    )
    assert parser.lost == {("steps", 1, "n"): "'1_000' is no JSON value"}
    assert [*map(tuple, parser.notes)] == [(23, "lost at steps.1.n: '1_000' is no JSON value")]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_in_a_list_null_keeps_the_place_of_what_is_lost(size: int) -> None:
    text = "[1, 2d6+3 , 3, attack, 50%\n]"
    streaming = PartialParser()
    for at in range(0, len(text), size):
        streaming.feed(text[at : at + size])
    assert streaming.done()
    parser, found = read(text, size)
    assert found.value == streaming.value == [1, None, 3, None, None]
    assert [*parser.lost] == [(1,), (3,), (4,)]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": f(1, 2), "b": 3}', {"b": 3}),
        ('{"a": "x"y", "b": 3}', {"a": "x", "b": 3}),
        ('{"a": oh no, "b": 3}', {"b": 3}),
        ('{"a": 1' + " " * 99 + "x}", {"a": 1}),
        ("[1, oh no", [1]),
        ("[1, oh", [1]),
    ],
)
def test_a_word_is_passed_over_only_where_it_is_seen_to_end(
    text: str, value: Any, size: int
) -> None:
    _, found = read(text, size)
    before_the_end = PartialParser()
    before_the_end.feed(text)
    assert "b" not in before_the_end.value
    assert found.value == value


BROKEN = [
    '{"n":1_000}',
    '{"n":1 000}',
    '{"n":1,000}',
    '{"n":f(1, 2), "m": 2}',
    '{"say":"he said "hi" to me"}',
    '{"say":"he said "hi, there" to me"}',
    '{"say":"5" tall"}',
    '{"say":"5" tall, or 6" or 7", who knows"}',
    '{"n" 1}',
    "{*}",
    '{"n":[1, 2 x, 3]}',
    '{"tags":["a"}',
    '{"n":1]',
    '{"n":{"k":[0]}',
    '{""k":[0],"j":""}',
    '{"n":(1)}',
    "{n}",
]


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.parametrize("at", [0, 1, 2])
def test_one_broken_step_costs_no_other(broken: str, at: int) -> None:
    steps = ['{"tool":"move","to":[1,2]}', '{"tool":"wait","why":"a, b"}', '{"tool":"hit","n":7}']
    steps.insert(at, broken)
    text = '{"plan":{"steps":[' + ",".join(steps) + '],"then":"x"},"id":5}'
    results = {repr(read(text, size)[1]) for size in (1, 2, 7, 1000)}
    assert len(results) == 1
    parser, found = read(text)
    got = found.value["plan"]["steps"]
    assert len(got) == 4
    for place, step in enumerate(steps):
        if place != at:
            assert got[place] == json.loads(step)
    assert found.value["plan"]["then"] == "x"
    assert found.value["id"] == 5
    assert found.position is not None
    assert all(path[:3] == ("plan", "steps", at) for path in parser.lost)
    assert any(f"lost at plan.steps.{at}" in note.what for note in found.notes)


@pytest.mark.parametrize("step", ['{"n":1', '{"n":1,', '{"n":{"k":[0]}'])
def test_a_bracket_that_is_missing_costs_no_step(step: str) -> None:
    _, found = read(f'{{"steps":[{{"a":1}},{step},{{"c":3}},{{"d":4}}],"id":5}}')
    assert found.value["steps"][0::2] == [{"a": 1}, {"c": 3}]
    assert found.value["steps"][3] == {"d": 4}
    assert found.value["id"] == 5


@pytest.mark.parametrize("comma", [", ", "\n", ",\n"])
@pytest.mark.parametrize("broken", ['{"who":"Ann","do":"flee"x', '{"who":"Ann","do":"flee"'])
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_an_element_never_gets_what_belongs_to_the_next(broken: str, comma: str, size: int) -> None:
    after = ['{"who":"Bob","do":"hit","at":"ogre"}', '{"who":"Cy","do":"wait"}']
    parser, found = read(f"[\n{broken}{comma}{', '.join(after)}\n]", size)
    assert found.value == [{"who": "Ann", "do": "flee"}, *map(json.loads, after)]
    assert [path[0] for path in parser.lost] == [0]


def test_what_begins_within_a_bracket_is_not_the_next_element() -> None:
    text = '[\n  {\n    "s": oh no [\n      {"k":1},\n      {"k":2}\n    ]\n  },\n  {"n":2}\n]'
    assert read(text)[1].value == [{"s": [{"k": 1}, {"k": 2}]}, {"n": 2}]
    assert read(text.replace("no", 'no"'))[1].value == [{}]


def test_broken_steps_one_after_another_keep_their_places() -> None:
    parser, found = read('{"steps":[{"a":1},{"n":1 0},{"n":2 0},{"x":y z},{"c":3}]}')
    assert found.value == {"steps": [{"a": 1}, {"n": 1}, {"n": 2}, {}, {"c": 3}]}
    assert [*parser.lost] == [("steps", 1, "n"), ("steps", 2, "n"), ("steps", 3, "x")]


def test_several_broken_steps_of_a_text_that_is_cut_cost_no_other() -> None:
    text = '{"steps":[{"say":"a "b" c"},{"c":3},{"n":(x)},{"d":4},{"n":1 0},{"e":5},{"f":"g'
    _, found = read(text)
    assert found.value["steps"] == [
        {"say": "a "}, {"c": 3}, {}, {"d": 4}, {"n": 1}, {"e": 5}, {"f": "g"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # A number in the rest of a text whose quotes are turned is none.
        ('["5" tall", "a, 3, b", "c', ["5"]),
        ('["say "a, 3, b" now"]', ["say "]),
        # It may be of the list within or of the one around.
        ('{"steps":[{"tags":["a"},{"c":3},{"d":4},{"e', {"steps": [{"tags": ["a"]}]}),
        # The value begins anew: what comes then is of another.
        ('["x", oh no\n["y", "x"]', ["x"]),
        ('{"steps":[{"a":1}, oh no\n{"steps":[{"a":1},{"b":2},{', {"steps": [{"a": 1}]}),
        # Elements between may be lost, and those after them would come to other places.
        ('["5" tall", "6" wide", "c"]', ["5"]),
        ('["a" x, 2, {"c":3}, "5" y", {"d": 4}', ["a"]),
        # Of a list of objects, what follows a comma in the lost text is no element.
        ('[{"a":1}("x")"1,2]', [{"a": 1}]),
        ('["b":"a"{1,"a"\n{"k":3}]', ["b", {"k": 3}]),
        # More follows on the line than the value has.
        ('["a" b, "c"]]', ["a"]),
    ],
)
def test_what_is_not_certain_is_not_taken(text: str, value: Any) -> None:
    assert read(text)[1].value == value


def test_a_later_value_that_contradicts_does_not_hide_the_rest_of_the_first() -> None:
    text = '{"steps":[{"n":1 0},{"c":3}]}\nCorrected: {"steps":[{"n":10},{"c":3}]}'
    _, found = read(text)
    assert found.value == {"steps": [{"n": 1}, {"c": 3}]}
    assert found.reason.endswith("a later value contradicts what was shown")


def test_what_a_later_value_has_in_it_is_no_later_value() -> None:
    _, found = read('{"s":1 x\n{"k [1] ":2,""}')
    assert found.value == {"s": 1} and "later value" not in found.reason


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("quote", ['"', "'"])
@pytest.mark.parametrize(
    "said", ["[+5]", "[2024].", "[]", "{}", "{a: 1}", "[true] they don't", "{} \\n"]
)
def test_what_a_string_says_is_no_later_value(said: str, quote: str, size: int) -> None:
    steps = ['{"n":2d6 0,"a":"roll %s"}', '{"a":"is %s now"}', '{"a": "%s"\n}', '{"n":4}']
    text = "[" + ",".join(steps).replace("%s", said) + "]"
    _, found = read(text.replace('"', quote), size, expect="array")
    assert len(found.value) == 4 and found.value[3] == {"n": 4}
    assert found.value[0]["a"].startswith("roll ") and "later value" not in found.reason


@pytest.mark.parametrize("said", ["{}", "{'n': 1}", '{\\"n\\": 1}'])
def test_what_a_string_says_does_not_complete_the_value(said: str) -> None:
    _, found = read(f'{{"n" 2, "a": "x {said} y", "b": 3}}')  # and is none of Final
    assert found.value["b"] == 3 and found.value["a"].startswith("x ")


def test_a_later_value_that_continues_comes_before_the_rest_of_the_first() -> None:
    parser = PartialParser()
    parser.feed('{"a": "b", oh no, "c": 1}\n{"a": "b", "c": [1]}')
    assert parser.finish() == Final({"a": "b", "c": [1]})


def test_a_line_that_breaks_costs_no_other_line() -> None:
    text = '{"a":1}\n{"n":1 0}\n{"s":[{"x":1 0},{"y":2}]}\n{"t":"5" x"}\n{"c":3}\n'
    _, found = read(text, expect="array")
    assert found.value == [{"a": 1}, {"n": 1}, {"s": [{"x": 1}, {"y": 2}]}, {"t": "5"}, {"c": 3}]


UNENDED = ['{"n":2', '{"n":2,', '{"n":2,"t":oh no', '{"n":2,"t":oh', '{"n":2,"t":"x" y']


@pytest.mark.parametrize("line", UNENDED)
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_a_line_without_its_end_costs_no_other_line(line: str, size: int) -> None:
    for after in (1, 2):
        lines = ['{"n":1}', line, '{"n":3,"u":3}', '{"n":4}'][: 2 + after]
        parser, found = read("\n".join(lines), size, expect="array")
        assert [each["n"] for each in found.value] == [1, 2, 3, 4][: 2 + after]
        assert {path[0] for path in parser.lost} == {1}
        assert "u" not in found.value[1]


def test_prose_between_the_lines_after_a_broken_one_is_passed_over() -> None:
    parser, found = read('{"n":1 0}\n{"b":2}\nAnd now:\n{"c":3}', expect="array")
    assert found.value == [{"n": 1}, {"b": 2}, {"c": 3}]
    assert "no comma" not in str(found.notes)
    assert [*parser.lost] == [(0, "n")]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_what_is_passed_over_between_lines_is_noted(size: int) -> None:
    for text, at in (
        ('{"n":1}\nThen:\n{"n":3}', [8]),
        ('{"n":1}\n{"n":3}\nDone.', [16]),
        ('Fill in {x}, like\n{"n":1}\n{"n":3}\nand {y}.', [34]),
        ('Each has "n": {x}\n{"n":1}\n{"n":3}', []),
        ('{"n":1}\n{"n":3}\n"n": so I call it, {x} is free', [16]),
        ('```json\n{"n":1},\n{"n":3}\n]\n```\n', []),
    ):
        parser = PartialParser(expect="array")
        for pos in range(0, len(text), size):
            parser.feed(text[pos : pos + size])
        found = parser.finish()
        assert found.value == [{"n": 1}, {"n": 3}]
        assert [note.position for note in found.notes if "passed over" in note.what] == at


@pytest.mark.parametrize(
    "line", ["{n 2}", '{1"n":2}', '""n":2}', '"n":2}', '("n":2}', '["n":2},', "  {n\n2 }"]
)
@pytest.mark.parametrize("at", [0, 1, 3])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_null_stands_for_a_line_that_is_no_object(line: str, at: int, size: int) -> None:
    if at == 0 and line[0] == "[":
        return  # it begins another array
    lines = ['{"n":1}', '{"n":3}', '{"n":4}']
    lines.insert(at, line)
    parser, found = read("Here:\n" * (at == 0) + "\n".join(lines), size, expect="array")
    shown: list[Any] = [{"n": 1}, {"n": 3}, {"n": 4}]
    shown.insert(at, None)
    assert found.value == shown
    assert [*parser.lost] == [(at,)]
    assert found.position == ("Here:\n" * (at == 0) + "\n".join(lines)).index(line) + sum(
        line.startswith(odd) * len(odd) for odd in ("(", "[", "  ")
    )


@pytest.mark.parametrize("size", [1, 1000])
def test_null_stands_for_a_line_that_is_no_object_and_has_no_end(size: int) -> None:
    for after, value in (("", []), ('\n{"n":3}', [{"n": 3}]), ("\nDone.", [])):
        parser, found = read(f'{{"n":1}}\n{{n 2{after}', size, expect="array")
        assert found.value == [{"n": 1}, None, *value]
        assert [*parser.lost] == [(1,)]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("end", ["", "\n```\n\nTell me {if} it fits.", '\nThen:\n{"n":3}'])
def test_null_stands_for_a_line_without_its_bracket_before_prose(end: str, size: int) -> None:
    parser, found = read(f'{{"n":1}}\n"n":2, "a":"x"}}{end}', size, expect="array")
    assert found.value == [{"n": 1}, None, {"n": 3}][: 3 if end.endswith("}") else 2]
    assert [*parser.lost] == [(1,)]


@pytest.mark.parametrize("end", ["{", "{n", '{"', '{"n"'])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_line_that_has_begun_is_cut_off(end: str, size: int) -> None:
    _, found = read(f'{{"n":1}}\n{{"n":2}}\n{end}', size, expect="array")
    assert found.value == [{"n": 1}, {"n": 2}, {}]
    assert found.reason == "cut off before its end"


@pytest.mark.parametrize("broken", ['{"n":1,"t":"5" x"}', '{"n":1,"t":"x"{', '{"n":1 0 "'])
@pytest.mark.parametrize("size", [1, 1000])
def test_a_comma_after_a_line_costs_no_line(broken: str, size: int) -> None:
    text = f'{{"n":0}},\n{broken},\n{{"n":2,"u":2}},\n{{"n":3}}'
    _, found = read(text, size, expect="array")
    assert [each["n"] for each in found.value] == [0, 1, 2, 3]
    assert "u" not in found.value[1]


@pytest.mark.parametrize("broken", ['"s"#:', '"x"s":', '"x": "5" y", "s":'])
@pytest.mark.parametrize("comma", ["", ","])
@pytest.mark.parametrize("cut", ["", '\n{"n'])
def test_of_a_line_that_breaks_nothing_within_is_an_element(
    broken: str, comma: str, cut: str
) -> None:
    lines = [f'{{"n":1,{broken}[{{"m":1,"k":2}},{{"m":3}}]}}', '{"n":2,"s":[]}', '{"n":3}']
    _, found = read(f"{comma}\n".join(lines) + comma + cut, expect="array")
    assert found.value[1:3] == [{"n": 2, "s": []}, {"n": 3}]
    assert found.value[0]["n"] == 1
    assert "k" not in found.value[0]
    assert len(found.value) == 3 + bool(cut)


def test_objects_one_after_another_on_one_line_cost_no_other() -> None:
    _, found = read('{"n":1,"t":"5" x","u":1}, {"n":2}, {"n":3}', expect="array")
    assert found.value == [{"n": 1, "t": "5", "u": 1}, {"n": 2}, {"n": 3}]


def test_after_a_comma_where_no_list_is_open_the_next_line_is_the_next_object() -> None:
    for broken in ('{"a":1, x,', '{"a":1,{', '{"a":1,],},'):
        _, found = read(f'{broken}\n{{"k":4}}', expect="array")
        assert found.value == [{"a": 1}, {"k": 4}]


def test_after_a_comma_a_line_may_be_of_a_list_within() -> None:
    _, found = read('{"n":1,"t":"5" ]","s":[{"q":1},\n{"y":2}]}\n{"n":3}', expect="array")
    assert found.value == [{"n": 1, "t": "5", "s": [{"q": 1}, {"y": 2}]}, {"n": 3}]
    for lost in ('"s":[', '"t" "a","s":[{"q":1},', '"t":5" x,"s":[{"q":1},'):
        _, found = read(f'{{"n":1}}\n{{{lost}\n{{"x":1 0}},\n{{"y":2}},\n{{"z', expect="array")
        assert len(found.value) == 2, found.value


@pytest.mark.parametrize("end", ["", ","])
@pytest.mark.parametrize("blank", ["\n", "\r\n", "\n\n", "\n\n\n"])
@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        ('"at":{"x":2', {"at": {"x": 2}}),
        ('"at":{"x":{"y":2}', {"at": {"x": {"y": 2}}}),
        ('"at":{"x":{"y":2', {"at": {"x": {"y": 2}}}),
        ('"at":{', {"at": {}}),
        ('"at":[{"x":2', {"at": [{"x": 2}]}),
    ],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_an_object_without_its_closing_brackets_takes_nothing_of_the_next(
    broken: str, shown: Any, blank: str, end: str, size: int
) -> None:
    if end and broken.endswith("{"):
        return  # a comma too many
    lines = [f'{{"n":1,{broken}', '{"n":2,"say":"Help!"}', '{"n":3}']
    parser, found = read(f"{end}{blank}".join(lines), size, expect="array")
    if "[" in broken and end:  # that may be an element of the list
        assert found.value[0] == {"n": 1, **shown}
        return
    assert found.value == [{"n": 1, **shown}, {"n": 2, "say": "Help!"}, {"n": 3}]
    assert [path[0] for path in parser.lost] == [0]


@pytest.mark.parametrize("gap", [" ", "\t", "  ", ", ", " /* \n */ ", "\n  ", ",\n  "])
@pytest.mark.parametrize("end", ["}", ', "s":2}', ', "s":{"t":{}}}'])
@pytest.mark.parametrize("size", [1, 1000])
def test_an_object_within_one_that_breaks_before_it_is_no_element(
    gap: str, end: str, size: int
) -> None:
    for value in ("1", '"hm"', '{"b":2}'):
        text = f'{{"n":1,"say":{value}{gap}{{"x":2}}{end}\n{{"n":2}}\n{{"n":3}}'
        _, found = read(text, size, expect="array")
        assert found.value[1:] == [{"n": 2}, {"n": 3}]
        assert "x" not in found.value[0]


def test_a_new_line_before_a_name_is_none_before_what_stands_for_its_value() -> None:
    for text in ('{"n":1,\n"say" {"x":2}}', '{\n"say" {"x":2}}', '{"n":1,\n"s":x {"x":2}}'):
        _, found = read(f'{text}\n{{"n":2}}\n{{"n":3}}', expect="array")
        assert found.value[1:] == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "text",
    [
        '{"n":1,"a":[{"b":1\n{"b":2}]}\n{"n":2}',
        '{"n":1,"a":[{"b":1,\n{"b":2},\n{"b":3',
        '{"n":1' + " " * 70 + '\n,"a":{{"b":2}\n{"n":2}',
    ],
)
def test_what_may_be_of_the_object_that_broke_is_no_element(text: str, size: int) -> None:
    _, found = read(text, size, expect="array")
    assert found.value[0]["n"] == 1
    assert found.value[1:] in ([], [{"n": 2}])


@pytest.mark.parametrize("size", [1, 1000])
def test_a_comment_before_the_next_line_s_object_does_not_cost_it(size: int) -> None:
    text = '{"n":1\n/* the next */{"n":2}\n{"n":3 x}\n{"n":4}'
    _, found = read(text, size, expect="array")
    assert found.value == [{"n": n} for n in range(1, 5)]


def test_an_object_that_does_not_end_costs_none_on_its_line() -> None:
    for gap in (" ", ", "):
        for broken in ('{"n":1', '{"n":1,"at":{"x":2', '{"n":1,"at":{"x":2}'):
            _, found = read(f'{broken}{gap}{{"n":2}}{gap}{{"n":3}}', expect="array")
            assert found.value[1:] == [{"n": 2}, {"n": 3}]


@pytest.mark.parametrize("before", ["  ", "\t", "- ", "* ", "  • ", "#. ", " #) "])
@pytest.mark.parametrize("between", ["\n", ",\n", "\n\n"])
@pytest.mark.parametrize(
    "broken",
    ['{"n":1 oops}', '{"n" 1}', '{"n":1', '{"n":1,', '{"n":1,"a":{"b":2', '{"n":1,"a":{'],
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_line_that_is_indented_or_has_a_bullet_costs_no_other(
    before: str, between: str, broken: str, size: int
) -> None:
    lines = ['{"n":0}', broken, '{"n":2}', '{"n":3}']
    numbered = [before.replace("#", str(9 + i)) + line for i, line in enumerate(lines)]
    _, found = read(between.join(numbered), size, expect="array")
    assert len(found.value) == 4
    assert found.value[::2] == [{"n": 0}, {"n": 2}]
    assert found.value[3] == {"n": 3}


@pytest.mark.parametrize("size", [1, 1000])
def test_what_is_further_in_is_of_the_object_that_broke(size: int) -> None:
    for before in ("", "  ", "- "):
        text = f'{before}{{"n":1,"t" x,\n{before}"s":[\n   {{"q":1}}\n   ]}}\n{before}{{"n":2}}'
        _, found = read(text, size, expect="array")
        assert found.value[1:] == [{"n": 2}]


@pytest.mark.parametrize("junk", ["{", "{ ", "#", "a ", "-", "-> ", "step: "])
@pytest.mark.parametrize("at", [0, 1, 2])
@pytest.mark.parametrize("size", [1, 1000])
def test_what_stands_before_an_object_does_not_cost_it(junk: str, at: int, size: int) -> None:
    steps = ['{"n":0,"t":0}', '{"n":1,"t":1}', '{"n":2,"t":2}']
    steps[at] = junk + steps[at]
    parser, found = read(f'{{"steps":[{",".join(steps)}],"id":5}}', size)
    assert found.value == {"steps": [{"n": n, "t": n} for n in range(3)], "id": 5}
    assert not parser.lost
    assert [note.what for note in found.notes] == [
        "what stands before an object or array is passed over"
    ]


@pytest.mark.parametrize("junk", ["#", "->", "steps = ", "list("])
@pytest.mark.parametrize("size", [1, 1000])
def test_what_stands_before_a_list_does_not_cost_it(junk: str, size: int) -> None:
    end = ")" * (junk == "list(")
    text = f'{{"a":"b","s\\"s":{junk}[{{"n":1}},{{"n":2}}]{end},"id":5}}'
    parser, found = read(text, size)
    if not end:
        assert found.value == {"a": "b", 's"s': [{"n": 1}, {"n": 2}], "id": 5}
        assert not parser.lost
    else:  # nor is it taken if what follows it is not JSON either
        assert found.value == {"a": "b", "id": 5}


@pytest.mark.parametrize("between", [": ", "1 ", "} ", "]"])
def test_an_object_costs_no_other_if_no_comma_is_between(between: str) -> None:
    _, found = read(f'{{"s":[{{"a":1}},{{"b":1}}{between}{{"c":1}},{{"d":1}}],"id":5}}')
    if between in (": ", "1 "):
        assert found.value == {"s": [{"a": 1}, {"b": 1}, {"c": 1}, {"d": 1}], "id": 5}
    else:
        assert found.value["s"][:2] == [{"a": 1}, {"b": 1}]


@pytest.mark.parametrize("end", [":", "[", "{", "("])
def test_what_stands_for_the_end_of_a_line_costs_no_line(end: str) -> None:
    _, found = read(f'{{"n":1}}\n{{"n":"2"{end}\n{{"n":3}}\n{{"n":4}}', expect="array")
    assert found.value == [{"n": 1}, {"n": "2"}, {"n": 3}, {"n": 4}]


@pytest.mark.parametrize("at", [0, 1])
def test_an_object_without_its_beginning_costs_no_other(at: int) -> None:
    steps = ['{"n":0,"t":0}', '{"n":1,"t":1}', '{"n":2,"t":2}']
    steps[at] = steps[at][1:]
    parser, found = read(f"[{','.join(steps)}]")
    shown: list[Any] = [{"n": n, "t": n} for n in range(3)]
    shown[at] = "n"
    assert found.value == shown
    assert [*parser.lost] == [(at,)]
    steps[at] = f"[{steps[at]}"
    shown[at] = ["n"]
    assert read(f"[{','.join(steps)}]")[1].value == shown
    assert read('["n":{"q":1},{"n":1}]')[1].value == ["n", {"n": 1}]


def test_what_the_lost_part_holds_costs_no_other_element() -> None:
    text = '[{"id":"a" x "steps":[{"m":1},{"m":2}]},{"id":"b","steps":[{"m":3}]}]'
    parser, found = read(text)
    assert found.value == [{"id": "a"}, {"id": "b", "steps": [{"m": 3}]}]
    assert [*parser.lost] == [(0, "id")]


def test_a_name_that_has_the_beginning_of_the_next_element_in_it_gives_it_nothing() -> None:
    assert read('[{"a":[1]", {"b":1,"c":2}]')[1].value == [{"a": [1]}, {"b": 1, "c": 2}]
    assert read('{"a":[1] x "k":\n{"b":1,"c":2}', expect="array")[1].value == [{"a": [1]}]


def test_elements_on_lines_of_their_own_are_not_taken_for_lines() -> None:
    text = '{"s":[\n{"a":1},\n{"n":1 0},\n{"c":3}\n]}\n{"d":4}'
    _, found = read(text, expect="array")
    assert found.value == [{"s": [{"a": 1}, {"n": 1}, {"c": 3}]}, {"d": 4}]
    _, found = read('{"n":1 0}\n{"x":1,"y":2}', expect="array")
    assert found.value == [{"n": 1}, {"x": 1, "y": 2}]


def test_where_a_word_is_over_is_looked_for_in_sixty_four_blanks() -> None:
    for blanks, now in ((64, [1, None, 2]), (65, [1])):
        for size in (1, 999):
            text = "[1, 2d6" + " " * blanks + ", 2]"
            parser = PartialParser()
            for at in range(0, len(text), size):
                parser.feed(text[at : at + size])
            assert parser.value == now
            assert read(text)[1].value == [1, None, 2]


def test_what_breaks_in_what_is_read_aside_is_left() -> None:
    parser, found = read('{"a":1,"a":[{"b":1 0},{"c":2d6},{"d":3}],"e":5}')
    assert found.value == {"a": 1}
    assert parser.lost == {}
    parser, found = read('{"a":1,"a":[2d6],"e":5}')
    assert found.value == {"a": 1, "e": 5}
    assert parser.lost == {}


def test_it_is_taken_up_again_so_many_times() -> None:
    _, found = read("[" + '{"n":1 0},' * 300 + "1]")
    assert len(found.value) == 257


@pytest.mark.parametrize(
    ("text", "settings", "times"),
    [
        ('{"a":"x" ' + "and, so, on, " * 40_000, {}, 2),
        ('[{"a":1},{"b" x "c":[' + '{"q":1},' * 100_000 + '0]},{"z":1}]', {}, 1.5),
        ('[x y [{"a":1},' + '[{"a":1},' * 200_000, {"expect": "array"}, 0.5),
    ],
)
def test_what_is_looked_at_is_bounded(text: str, settings: dict[str, Any], times: float) -> None:
    parser = PartialParser(**settings)
    parser.feed(text)
    fed: list[int] = []

    class Counted(PartialParser):
        def feed(self, chunk: Any, /) -> Any:
            fed.append(len(chunk))
            return super().feed(chunk)

    counted = Counted(**settings)
    counted.feed(text)
    fed.clear()
    assert counted.finish() == parser.finish()
    assert sum(fed) < times * len(text)


SIZE = 400_000


@pytest.mark.parametrize(
    ("text", "settings"),
    [
        ('[{"a":1},' * 250 + "x y ,}" + "," * SIZE, {}),
        ("[x y " + '[{"a":1},' * (SIZE // 9), {"expect": "array"}),
        ("[x y " + "{} '" * (SIZE // 4), {}),
        ('[{"a":1},{"b":1 x y ' + "(" * 500 + "]" * SIZE, {}),
        ('[{"a":1},{"b":1 x y ' + "[" * SIZE + "}" * SIZE, {}),
        ('[{"a":1},{"b":1 x y ' + "\n" * SIZE, {}),
        ('[{"a":1},' + '{"a":1 x y]},' * 260 + '{"z":1},' * (SIZE // 8), {}),
        ('{"z":1}\n{' + "".join(f'"a{i}":1 x, ' for i in range(300)) + '[\n{"a":1},' * (SIZE // 10),
         {"expect": "array"}),
    ],
)  # fmt: skip
def test_hostile_text_costs_steps_as_its_length(text: str, settings: dict[str, Any]) -> None:
    calls = 0

    def count(frame: Any, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    parser = PartialParser(**settings)
    parser.feed(text)
    before = sys.getprofile()
    sys.setprofile(count)
    try:
        parser.finish()
    finally:
        sys.setprofile(before)
    assert calls < 10 * len(text)


def test_bytes_that_wait_for_more_of_a_character_are_of_the_end() -> None:
    parser = PartialParser()
    parser.feed('[{"n":1 0},{"t":"é"},{"u":"x'.encode() + b"\xc3")
    found = parser.finish()
    assert found.value == [{"n": 1}, {"t": "é"}, {"u": "x"}]
    assert [*parser.lost] == [(0, "n")]


def test_positions_after_it_count_on_from_the_beginning() -> None:
    text = 'Sure: [{"n":1 0}, {"m":2 0}, {"o": 2d6}]'
    _, found = read(text)
    assert [note.position for note in found.notes] == [
        text.index("0"), text.index("0}, {" + '"o'), text.index("2d6"),
    ]  # fmt: skip


def test_what_is_nested_too_deep_costs_no_other() -> None:
    _, found = read('[[[1, 2]], {"a": 1}, 3]', max_depth=2)
    assert found.value == [[], {"a": 1}, 3]


def test_a_strict_reader_takes_nothing_up_again() -> None:
    for text in ('[{"a":1},{"n":1_000},{"c":3}]', '[{"a":1},{"n":1 0},{"c":3}]'):
        _, found = read(text, strict=True)
        assert len(found.value) == 2
        assert found.patches == ()


def test_what_is_lost_is_named_up_to_a_hundred_times() -> None:
    parser, found = read("[1, " + "x, " * 300 + "1]")
    assert len(parser.lost) == len(found.notes) == 100
    assert found.value == [1, *[None] * 300, 1]


steps = st.dictionaries(
    st.sampled_from(["a", "b", "tool"]),
    st.integers() | st.booleans() | st.none() | st.text("abc ,.", max_size=9),
    min_size=1,
)


@given(st.lists(steps, max_size=4), st.lists(steps, max_size=4), st.sampled_from(BROKEN), st.data())
def test_whatever_stands_around_a_broken_step_is_read(
    before: list[Any], after: list[Any], broken: str, data: st.DataObject
) -> None:
    inside = [*map(json.dumps, before), broken, *map(json.dumps, after)]
    text = '{"steps":[' + ", ".join(inside) + '], "end": true}'
    _, found = read(text, data.draw(st.integers(1, len(text))))
    steps = found.value["steps"]
    assert steps[: len(before)] == _as_read(before)
    assert steps[len(before) + 1 :] == _as_read(after)


def _is_big(value: Any) -> bool:
    return type(value) is int and not -(2**63) <= value < 2**64


def _as_read(steps: list[Any]) -> list[Any]:
    return [{name: float(v) if _is_big(v) else v for name, v in step.items()} for step in steps]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{\u00a0"a":{"c":1}}', {"a": {"c": 1}}),
        ('{\ufeff"a":{"c":1}}', {"a": {"c": 1}}),
        ('[\u3000{"c":1}]', [{"c": 1}]),
        ('{,"a":{"c":1}}', {"a": {"c": 1}}),
        ('[,1,{"c":1}]', [1, {"c": 1}]),
        ('[undefined, {"c":1}]', [None, {"c": 1}]),
        ('{a: Infinity, "b":{"c":1}}', {"a": None, "b": {"c": 1}}),
        ('{a: +1, "b":{"c":1}}', {"a": 1, "b": {"c": 1}}),
        ('{a: .5, "b":{"c":1}}', {"a": 0.5, "b": {"c": 1}}),
    ],
)
@pytest.mark.parametrize("chunk", [1, 100])
def test_what_is_taken_within_a_value_is_taken_at_its_begin(
    text: str, value: Any, chunk: int
) -> None:
    parser = PartialParser()
    for at in range(0, len(text), chunk):
        parser.feed(text[at : at + chunk])
    result = parser.finish()
    assert isinstance(result, Final) and result.value == value


@pytest.mark.parametrize("chunk", [1, 100])
@pytest.mark.parametrize(
    "text",
    [
        '{größe: {"c":1}}',
        '{goal": "win", "steps": {"c":1}, "more": 2}',
        '"goal":"win","steps": {"c":1} }',
        'as in [TRUE, {"c":1}]',
    ],
)
def test_a_value_within_one_that_does_not_begin_is_not_the_whole(text: str, chunk: int) -> None:
    _, found = read(text, chunk)
    assert not isinstance(found, Final)
    assert found.value == {"c": 1} and "lies in another value" in (found.reason or "")


def test_a_bracket_before_a_value_that_begins_none_is_said() -> None:
    def notes(text: str) -> list[str]:
        parser = PartialParser()
        parser.feed(text)
        found = parser.finish()
        assert isinstance(found, Final) and found.value == {"c": 1}
        return [note.what for note in found.notes]

    assert notes('see [above: {"c":1}') == ["it follows a bracket that begins no JSON"]
    for text in ('{"c":1}', 'as in [above]: {"c":1}', 'a {braced} word {"c":1}', '"it": {"c":1}'):
        assert notes(text) == []


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("begun", ['"act"', '"act" ', "act", '"with":{"x":1},"act"'])
def test_a_line_that_is_cut_after_a_name_takes_nothing_of_the_next(begun: str, chunk: int) -> None:
    text = f'{{"n": 0, {begun}\n{{"n": 1, "act": "go"}}\n{{"n": 2}}'
    parser, found = read(text, chunk, expect="array")
    assert found.value[0]["n"] == 0 and "act" not in found.value[0]
    assert found.value[1:] == [{"n": 1, "act": "go"}, {"n": 2}]
    assert [*parser.lost] == [(0, "act")]
    _, found = read(f'{{"s":[{text.replace("}", "},")[:-1]}]}}', chunk)
    assert found.value["s"][1:] == [{"n": 1, "act": "go"}, {"n": 2}]


@pytest.mark.parametrize("chunk", [1, 7, 1000])
@pytest.mark.parametrize("begun", [" , ", ", ", " ", '"x":1, , ', "\n"])
def test_an_object_that_does_not_end_takes_nothing_of_the_next_element(
    begun: str, chunk: int
) -> None:
    steps = '{"n":1,"act":"a"}, {"n":2,"act":"b"}, {"n":3}]}'
    parser, found = read(f'{{"steps":[{{"n":0,"with":{{{begun}{steps}', chunk)
    inner = {"x": 1} if "x" in begun else {}
    more = [{"n": 1, "act": "a"}, {"n": 2, "act": "b"}, {"n": 3}]
    assert found.value == {"steps": [{"n": 0, "with": inner}, *more]}
    assert [*parser.lost] == [("steps", 0, "with")]
