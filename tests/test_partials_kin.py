"""Steps that were complete are not lost where brackets are wrong twice: their names tell."""

from __future__ import annotations

import json
from itertools import product
from typing import Any

import pytest

from foretell.operators.partial_brackets import commas, names_in, next_object
from foretell.operators.partial_kin import kin
from foretell.operators.partials import MISSING, Final, Partial, PartialParser, apply


def read(text: str, size: int = 10**6, **settings: Any) -> tuple[PartialParser, Final | Partial]:
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
    found = parser.finish()
    take(found.patches)
    assert built == found.value
    return parser, found


def steps_in(text: str, **settings: Any) -> list[Any]:
    """The steps of a plan, whatever the pieces; not all of it could be read."""
    results = {repr(read(text, size, **settings)[1]) for size in (1, 3, 1000)}
    assert len(results) == 1
    found = read(text, **settings)[1]
    assert isinstance(found, Partial)
    return list(found.value if isinstance(found.value, list) else found.value["steps"])


PLANS = ['{"goal":"win","steps":[%s],"id":5}', '{"steps":[\n  %s\n]}', "[%s]"]
WRONG = [
    '{"n":%d,"to":[1,2}}',
    '{"n":%d,"to":[1,2]]}',
    '{"n":%d,"to":[1,2}',
    '{"n":%d,"to":{"x":1]}',
    '{"n":%d,"to":{"x":1}',
    '{"to":[1,"n":%d}',
    '{"to":[1},"n":%d}',
    '{"to":{"x":1,"n":%d}',
    '{"n":%d,"to":1',
    '{"n":%d,"to":1,',
    '{"n":%d,"to":1]',
    '{"n":%d,"to":1)',
    '{"n":%d,"to":1}}',
    '{"n":%d,"to":1}}]',
    '{{"n":%d,"to":1}',
    '{{"n":%d,"to":1}}',
    '["n":%d,"to":1}',
    '({"n":%d,"to":1})',
]


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("one", WRONG)
def test_two_steps_with_wrong_brackets_cost_no_other(plan: str, one: str) -> None:
    for first, other in product((0, 1), WRONG):
        if plan == "[%s]" and first == 0 and one[0] == "(":
            continue  # that begins no list
        steps = [f'{{"n":{n},"why":"a, b"}}' for n in range(6)]
        steps[first], steps[first + 3] = one % first, other % (first + 3)
        _, found = read(plan % ",".join(steps))
        got = found.value if isinstance(found.value, list) else found.value["steps"]
        for place in {*range(6)} - {first, first + 3}:
            assert json.loads(steps[place]) in got
        assert not any("why" in each and "to" in each for each in got if isinstance(each, dict))


def test_three_wrong_brackets_of_two_agents_cost_no_step() -> None:
    _, found = read(
        '{"agents":[{"who":"A","steps":[{"n":1]},{"n":2},{"n":3}}]},'
        '{"who":"B","steps":[{"n":4},{"n":5,"to":[1},{"n":6}]},{"who":"C","steps":[{"n":7}]}]}'
    )
    steps = [agent["steps"] for agent in found.value["agents"]]
    assert [[step["n"] for step in each] for each in steps] == [[1, 2, 3], [4, 5, 6], [7]]
    assert [agent["who"] for agent in found.value["agents"]] == ["A", "B", "C"]


def test_two_wrong_brackets_in_an_object_of_objects_cost_no_other() -> None:
    _, found = read('{"s":{"a":{"n":1},"b":{"n":2]},"c":{"n":3},"d":{"n":4]},"e":{"n":5}},"id":5}')
    assert found.value == {"s": {name: {"n": n} for n, name in enumerate("abcde", 1)}, "id": 5}
    _, found = read('{"A":{"s":[{"n":1},{"n":2]},"B":{"s":[{"n":3},{"n":4]},"C":{"s":[{"n":5}]}}')
    steps = [[step["n"] for step in agent["s"]] for agent in found.value.values()]
    assert steps == [[1, 2], [3, 4], [5]]
    _, found = read('{"A":{"s":[{"n":1},{"n":2]},{"s":[]},"B":{"s":[{"n":4]},"C":{"n":[]}}')
    assert [*found.value] == ["A"]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Of which list it is, is not known: both have such names.
        ('{"n":1,"s":[{"n":2,"s":[{"n":3]},{"n":4},{"n":5]}', [{"n": 2, "s": [{"n": 3}]}]),
        # It has no name that others in the list have.
        ('{"s":[{"a":1},{"b":1]},{"c":2},{"d":3]}', [{"a": 1}, {"b": 1}]),
        # What lies in the lost part is no element, though it has their names.
        ('{"s":[{"n":1},{"n":2 x "of":[{"n":9},{"n":8}]},{"n":3},{"n":4]}', [1, 2, 3, 4]),
        ('{"s":[{"n":1},{"n":2 x f({"n":9}, {"n":8})},{"n":3},{"n":4]}', [1, 2, 3, 4]),
    ],
)
def test_what_is_of_no_list_or_of_two_is_not_taken(text: str, value: list[Any]) -> None:
    found = read(text)[1].value["s"]
    assert (found if type(value[0]) is dict else [each["n"] for each in found]) == value


@pytest.mark.parametrize(
    "after",
    [
        ' then {"n":2,"say":"hi"}',
        ') -> {"n":2,"say":"hi"}',
        '), {"n":2,"say":"hi"}, "n":3}',
        "\n, {“n”:2,“say”:“hi”}",
        'x}, {"n"：2, "say":"hi"}',
        '" or "y"},{""n":2,"say":"hi"}',
        '" x}. {"n":2,"say":"hi"}',
    ],
)
def test_no_step_gets_a_member_of_the_next_one_that_breaks(after: str) -> None:
    for end in (',{"n":4,"do":"go"}]}', "]}"):
        _, found = read(f'{{"steps":[{{"n":0}},{{"n":1,"to":true{after}{end}')
        assert "say" not in found.value["steps"][1]


@pytest.mark.parametrize("second", ['{"n":4}', '{"n":4'])
@pytest.mark.parametrize(
    ("between", "shown"),
    [
        ('},\nThen, after that:\n{"n":2', [None]),
        ('},\nThen "go", as in [1]:\n{"n":2', [None]),
        ('},\nNow the long part of what is to be done follows, be ready\n{"n":2', []),
        ('}),({"n":2', []),
        ('}},\n{{"n":2', []),
        ('} and then {"n":2', []),
        ('},"step":{"n":2', ["step"]),
    ],
)
def test_what_stands_between_two_steps_does_not_cost_one(
    between: str, shown: list[Any], second: str
) -> None:
    text = f'{{"steps":[{{"n":1{between}}},{{"n":3}},{second},{{"n":5}}]}}'
    got = steps_in(text)
    assert [each for each in got if type(each) is dict] == [{"n": n} for n in range(1, 6)]


def test_steps_with_names_in_a_list_are_kept_with_their_names() -> None:
    text = '{"steps":["one":{"a":1},"two":{"a":2}],"id":5}'
    assert steps_in(text) == ["one", {"a": 1}, "two", {"a": 2}]
    text = '{"steps":[{"a":0},"b":{"a":1}},{"a":2}]}'  # but that has lost its bracket
    assert steps_in(text) == [{"a": 0}, "b", {"a": 2}]
    text = '{"steps":[{"a":0},"b":{"a":1},"c":3},{"a":2}]}'
    assert steps_in(text) == [{"a": 0}, "b", {"a": 2}]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"steps":[{"n":1},{"b":"x},{"n":3},{"n":4}]}', [{"b": "x},{"}]),
        ('{"steps":[{"n":1},{"b":1,"x},{"n":3},{"n":4}]}', [{"b": 1}]),
        ('{"steps":[{"n":1},{"b":"x\n{"n":3},{"n":4}]}', [{"b": "x\n{"}]),
        ('{"steps":[{"n":1},{"b":"x},\n {\n "n":3},{"n":4}]}', [{"b": "x},\n {\n "}]),
        ('{"steps":[{"n":1},{"b":["x]},{"n":3},{"n":4}]}', [{"b": ["x]},{"]}]),
        ('{"steps":[{"n":1},{"b":"x},{"n":3},{"n":4]}', [{"b": "x},{"}]),
        ('[{"n":1},\n{"b":"x},{"n":3},{"n":4}]', [{"b": "x},{"}]),
    ],
)
def test_a_quote_that_is_missing_costs_its_own_step_alone(text: str, value: list[Any]) -> None:
    assert steps_in(text) == [{"n": 1}, *value, {"n": 3}, {"n": 4}]


def test_a_quote_that_is_missing_costs_its_own_line_alone() -> None:
    for line, shown in (('{"s":"go}', {"s": "go}\n{"}), ('{"a":1,"s', {"a": 1})):
        text = f'{{"n":1}}\n{line}\n{{"n":3,"x":3}}\n{{"n":4}}'
        assert steps_in(text, expect="array") == [{"n": 1}, shown, {"n": 3, "x": 3}, {"n": 4}]


def test_of_how_many_steps_the_ends_are_in_a_string_has_to_be_known() -> None:
    assert steps_in('{"steps":[{"a":"x},{},{"a":3},{"a":4}]}') == [{"a": "x},{},{"}]
    assert steps_in('{"steps":[{"a":"x},{"b" 3},{"c":4}]}') == [{"a": "x},{"}]


def test_a_step_in_quotes_costs_no_other() -> None:
    text = '{"steps":["{"n":1,"t":2}",\n{"n":2},{"n":3}],"id":5}'
    assert steps_in(text) == ["{", {"n": 2}, {"n": 3}]


@pytest.mark.parametrize("step", ['({"n":2})', '```json\n{"n":2}\n```', '`{"n":2}`'])
@pytest.mark.parametrize("plan", ['{"steps":[%s]}', "[%s]"])
def test_what_brackets_or_a_fence_hold_is_no_later_value(step: str, plan: str) -> None:
    got = steps_in(plan % f'{{"n":1}},{step},{{"n":3}},{{"n":4}}')
    assert [each for each in got if each and each["n"] != 2] == [{"n": 1}, {"n": 3}, {"n": 4}]


def test_a_colon_where_a_list_begins_costs_no_step() -> None:
    assert steps_in('{"steps":[{"n":1,"to":[:2]},{"n":2]},{"n":3}}') == [
        {"n": 1, "to": []}, {"n": 2}, {"n": 3},
    ]  # fmt: skip
    assert steps_in('{"steps":[:{"n":1]},{"n":2}}') == [{"n": 1}, {"n": 2}]


@pytest.mark.parametrize("value", ['f"x {y}"', '"5" tall"', '"say "hi", then"'])
def test_a_stray_quote_and_what_is_wrong_after_it_cost_no_other_step(value: str) -> None:
    for wrong in ('{"n":3]', '{"n":3,"t":"x" | "y"}', '{"n":3,"t":7" tall}'):
        text = f'{{"steps":[{{"n":1}},{{"n":2,"t":{value}}},{{"n":4}},{wrong},{{"n":5}}]}}'
        got = steps_in(text)
        assert [each["n"] for each in got] == [1, 2, 4, 3, 5]


@pytest.mark.parametrize("between", ["\n---\n", "\n"])
def test_a_part_of_what_was_shown_is_no_later_value(between: str) -> None:
    text = (
        f'{{"goal":"g","steps":[{{"n":1,"x":2]}}{between}{{"n":2,"x":3}}{between}{{"n":3,"x":4}}]}}'
    )
    assert {"n": 3, "x": 4} in steps_in(text)
    found = read('{"goal":"g", oh no\n{"n":1}\n{"goal":"g","n":2}')[1]
    assert isinstance(found, Final) and found.value == {"goal": "g", "n": 2}


@pytest.mark.parametrize("step", ['so ({"n":2})', 'so `{"n":2}`', 'so ```\n{"n":2}\n```'])
def test_what_goes_on_after_brackets_or_a_fence_is_no_later_value(step: str) -> None:
    text = f'{{"n":0,"steps":[{{"n":1}},{step},{{"n":3}},{{"n":4}}]}}'
    assert [each for each in steps_in(text) if each and each["n"] > 2] == [{"n": 3}, {"n": 4}]
    assert "later value" not in str(read(text)[1])


# ── what a list is, and what it is not ───────────────────────────────────────────────────────────


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("mark", ["- ", "1. ", "12) ", "-  "])
@pytest.mark.parametrize("comma", [",\n", "\n"])
def test_bullets_and_numbers_before_elements_are_passed_over(
    size: int, mark: str, comma: str
) -> None:
    said = "a bullet or number before an element"
    for around in ('{"s":[\n%s\n]}', "[\n%s\n]"):
        marked = comma.join(f'{mark}{{"a":{n}}}' for n in (1, 2))
        parser = PartialParser()
        text = around % marked
        for at in range(0, len(text), size):
            parser.feed(text[at : at + size])
        value = parser.value["s"] if isinstance(parser.value, dict) else parser.value
        assert value == [{"a": 1}, {"a": 2}]
        found = parser.finish()
        assert isinstance(found, Final)
        assert said in [note.what for note in found.notes]


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("[1. 2. 3.]", [1.0, 2.0, 3.0]),
        ('["a", 2., "b"]', ["a", 2.0, "b"]),
        ('[ - "a", 2. "b"]', ["a", "b"]),
    ],
)
def test_a_number_is_one_unless_an_element_follows_it(size: int, text: str, value: Any) -> None:
    assert read(f'{{"s":{text}}}', size)[1].value == {"s": value}


def test_a_bullet_is_none_alone_or_in_strict_json() -> None:
    assert read('[- {"a":1}]', strict=True)[1].value == []
    assert read('{"s":[-]}')[1].value == {"s": [None]}


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("comment", ["# one, two", "#\ttwo", "## the: \"one\" 'x'", "# "])
def test_a_comment_after_a_hash_is_passed_over(size: int, comment: str) -> None:
    text = f'{{"a": 1, {comment}\n {comment}\n "b": {comment}\n [2, 3 {comment}\n, 4] {comment}\n}}'
    _, found = read(text, size)
    assert isinstance(found, Final)
    assert found.value == {"a": 1, "b": [2, 3, 4]}
    assert [note.what for note in found.notes] == ["a comment"]


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
@pytest.mark.parametrize("comment", ["#3", "# {x}", '# "m":', "# [1]", "#{"])
def test_a_hash_is_no_comment_where_something_may_be_lost(size: int, comment: str) -> None:
    text = f'{{"s":[{{"n":1,"t":{comment}, "m":2}},{{"n":3}}]}}\n'
    _, found = read(text, size)
    assert isinstance(found, Partial)
    assert found.value["s"][-1] == {"n": 3}
    assert len(found.value["s"]) == 2


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ('[{"n":1}]}, {"n":2}]', "closes the list"),
        ('[{"n":1}]]},\n{"n":2}]', "closes the list"),
        ('[{"n":1}], [{"n":2}]', "closes the list"),
        ('{"s":[{"n":1}]}, {"n":2}], "id":5}', "closes the object, and objects"),
        ('{"s":[{"n":1}]}, "id":5}', "closes the object, and members"),
        ('[see: {"n":1}, {"n":2}]', "the others are not read"),
        ('[f({"n":1}), {"n":2}]', "lies in another"),
        ('[```\n{"n":1}\n```,{"n":2}]', "lies in another"),
    ],
)
def test_what_follows_a_value_that_was_not_all_makes_it_partial(
    text: str, reason: str, size: int
) -> None:
    _, found = read(text, size)
    assert isinstance(found, Partial) and reason in found.reason


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "after", [', {"m":2}', " {}", ', {"n" is', " and {so}", "\n```\n, as", "]"]
)
def test_what_may_be_prose_after_a_value_does_not(size: int, after: str) -> None:
    _, found = read('{"s":[{"n":1}]}' + after, size)
    assert isinstance(found, Final)


# ── the parts ────────────────────────────────────────────────────────────────────────────────────


def test_a_list_is_known_by_the_names_in_it() -> None:
    def of(text: str) -> Any:
        return names_in(text, 0)

    steps: Any = [{"who": "A", "steps": [{"n": 1}]}]
    boxes = [{}, steps, steps[0], steps[0]["steps"], {"n": 1}]
    assert kin(boxes, of('{"n":2}')) == 4
    assert kin(boxes, of('{"who":"B","steps":[{"n":1}]}')) == 2
    assert kin(boxes, of('{"x":2}')) is None
    assert kin(boxes, of('{"x":{"n":2}, {"n":3}')) == 4
    assert kin(boxes, of('{"x":2}'), {"x"}) == 4
    assert kin([{}, [], {}, []], of('{"x":2}'), here=True) == 4
    assert kin([{}, [{"n": 1}], {}, []], of('{"n":2}'), here=True) == 2
    assert kin([[{"n": 1, "a": 1}], {}, [{"n": 1}]], of('{"n":2}')) is None
    assert kin([[{"n": 1, "a": 1}], {}, [{"n": 1}]], of('{"n":2,"a":1}')) == 1


def test_the_names_of_an_object_are_found_though_it_breaks() -> None:
    assert names_in('x{"a":[1},"b":{"c":[{"d":1}]},"e":[1,"f":2}, "g":1} {"h"', 1)[:2] == (
        {"a", "b", "e", "f", "g"},
        {"c"},
    )
    assert names_in('{"a":1},"b":2', 0).own == {"a", "b"}
    assert names_in('{"a":1},"b":2', 0, whole=True).own == {"a"}


def test_the_next_object_lies_in_nothing_that_begins_after_the_place() -> None:
    for text, at in (
        (' x, {"a":1}', 2),
        (' x [{"a":1}, {"a":1}], {"b":1}', 21),
        (' x ({"a":1}, {"a":1}), {"b":1}', 21),
        (' "x": [\n{"a":1}}, {"b":1}', 16),
        (' "x":\n{"a":1}\n{"b":1}', 13),
        (' x", {"a":1}, "y": {"b":1}', None),
        (" x " + "[" * 600 + "]" * 600 + ', {"a":1}', None),
    ):
        found = next_object(text)
        assert (found and found.comma) == at
    found = next_object(' x], "a":1, "b":{"c":1}], "d":2}, {"e":1}')
    assert found is not None and found.names == {"a", "b"}


def test_commas_in_what_begins_beside_the_place_are_of_that() -> None:
    text = ' x, {"a":1, "b":2}, "c":{"d":1, "e":2}, f(1, {so, so}) {a:1, b:2}, ({"g":1, "h'
    assert [text[at:][:5] for at in commas(text, 0, len(text), True)] == [
        ', {"a', ', "c"', ', "e"', ", f(1", ", {so", ", so}", ', ({"'
    ]  # fmt: skip
    assert len([*commas(text, 0, len(text), False)]) == text.count(",")


THEN = '{"tool":"b"},{"tool":"c"}],"end":1}'
QUOTED = {
    "arguments": '{"steps":[{"tool":"go","args":"{"to":"cave"}"},' + THEN,
    "escapes": r'{"steps":[{"n":0,"args":"{"cmd":"echo \"hi\"","k":1}","say":"a"},' + THEN,
    "a list": '{"steps":[{"say":"a"},{"say":"Take [it], "now"!"},' + THEN,
    "a die": '{"steps":[{"say":"Roll {1d20}, "now"!"},' + THEN,
    "no quote": '{"steps":[{"args":{"t":"b},"ok":1},' + THEN,
}


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("what", QUOTED)
def test_a_quote_behind_a_bracket_in_a_text_costs_no_other_step(what: str, size: int) -> None:
    parser = PartialParser()  # 3-19
    for at in range(0, len(QUOTED[what]), size):
        parser.feed(QUOTED[what][at : at + size])
    result = parser.finish()
    assert isinstance(result, Partial) and result.value["end"] == 1
    assert result.value["steps"][-2:] == [{"tool": "b"}, {"tool": "c"}]
    assert [path[:2] for path in parser.lost] == [("steps", len(result.value["steps"]) - 3)]


def test_a_quote_behind_a_bracket_in_a_line_costs_no_other_line() -> None:
    parser = PartialParser(expect="array")
    parser.feed('{"tool":"go","args":"{"to":"cave"}"}\n{"tool":"b"}\n{"tool":"c"}')
    result = parser.finish()
    assert isinstance(result, Partial) and result.value[1:] == [{"tool": "b"}, {"tool": "c"}]
