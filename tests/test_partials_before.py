"""Where in what a model says the value begins, and whether it is the whole of it."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from foretell.operators import partial_before, partial_series
from foretell.operators.partials import MISSING, Final, Partial, PartialParser, apply
from foretell.operators.typed import TypedPartials, Unfinished

PLAN = '{"steps": [{"act": "go", "to": [1, 2]}, {"act": "say [1]"}]}'
SAID = [
    "Here is the plan:",
    "As said in [1], it is this.",
    "It is known [1, 2][3], and [ 4 ] too:",
    "- [ ] to do\n- [x] done\n- [] both",
    "See [the docs](https://example.org/a#b) for {x} and {{y}}.",
    "A note.[^1] Roll [1d6+2] and [attack]; use `items[0]`, not `{}`.",
    "Options: [a, b, c], or […], or [...], or {...}.",
    "```python\nprint(x[0], {x for x in y})\n```",
    "```js\nconst f = (x) => { return x; };\n```",
    "```sh\nif [ -f x ]; then echo ${x}; fi\n```",
    "[12:30] GM: [INFO] x lies in $[0,1]$ here",
    'He said "hello", it\'s 5" tall.',
    'print("{}")',
    "<output>",
    "```json",
    "\ufeff",
]
AFTER = [
    "",
    ".",
    "\n```",
    "\n```\nDone [1].",
    "</output>",
    ", as you asked.",
    ", 3 in all",
    ";",
    ")",
]
THOUGHT = ["", '<think>Say {"steps": [...]} or [1], "</think>"?\n', "<thinking>\n{ [ }</thinking>"]


def read(text: str, size: int = 10**6, **settings: Any) -> tuple[PartialParser, Final | Partial]:
    """The reader of ``text`` in pieces, and what it found; the patches give that."""
    parser, built = PartialParser(**settings), MISSING
    patches = [p for at in range(0, len(text), size) for p in parser.feed(text[at : at + size])]
    found = parser.finish()
    for patch in [*patches, *found.patches]:
        built = apply(built, patch)
    assert built == found.value
    return parser, found


values = st.recursive(
    st.sampled_from([0, -1.5, None, True, "a [1] b", '{"n": 1}', "</think>", "}", "é", 'say "x"']),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcé"), inner, max_size=3)
    ),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from(["x", "y"]), values, min_size=1) | st.lists(
    st.fixed_dictionaries({"n": values}), min_size=1, max_size=3
)


@given(
    documents,
    st.sampled_from(THOUGHT),
    st.lists(st.sampled_from(SAID), max_size=3).map("\n".join),
    st.sampled_from(["\n", "\n\n", " "]),
    st.sampled_from(AFTER),
    st.sampled_from([1, 3, 1000]),
    st.sampled_from([None, 1]),
    st.booleans(),
)
def test_what_a_model_says_around_a_value_costs_nothing_of_it(
    value: Any, thought: str, said: str, gap: str, after: str, size: int, indent: Any, told: bool
) -> None:
    expect = ("object" if isinstance(value, dict) else "array") if told else "any"
    if expect == "array" and said.rpartition("\n")[2].startswith("```"):
        gap = "\n"
    text = thought + said + gap + json.dumps(value, ensure_ascii=False, indent=indent) + after
    _, found = read(text, size, expect=expect)
    assert found == Final(value)


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("tag", ["think", "thinking", "reasoning", "scratchpad"])
def test_what_is_thought_aloud_is_no_answer(tag: str, size: int) -> None:
    aloud = f'\n<{tag}>I might say {{"steps": ...}}, [1], <b> or 5.</{tag}>\n'
    for answer, value in ((PLAN, json.loads(PLAN)), ('"so": {"a": 1}', {"a": 1}), ("42", 42)):
        parser, found = read(aloud + answer, size)
        assert found == Final(value)
        assert parser.raw_text == aloud + answer[: answer.find("{")] * ("{" in answer) + "42" * (
            answer == "42"
        )


@pytest.mark.parametrize("size", [1, 1000])
def test_a_thought_that_does_not_end_may_hold_the_answer(size: int) -> None:
    _, found = read(f"<think>So it is\n{PLAN}</thin", size)
    assert found == Final(json.loads(PLAN))
    parser = PartialParser()
    assert parser.feed(f"<think>So it is\n{PLAN}") == []
    assert parser.finish(reason="too late").value is MISSING


@pytest.mark.parametrize("text", ["<thin", "<thinker>[1]", "< think>[1]", "<b><think>[1]"])
@pytest.mark.parametrize("size", [1, 1000])
def test_another_tag_is_no_thought(text: str, size: int) -> None:
    assert read(text, size)[1].value == ([1] if "[" in text else MISSING)


@pytest.mark.parametrize("size", [1, 4, 1000])
@pytest.mark.parametrize("mark", ["[1]", "[1, 2]", "[ 12 ]", "[]", "[ ]", "{}", "[1,2,3]"])
def test_a_mark_in_a_sentence_is_the_value_only_if_no_other_comes(mark: str, size: int) -> None:
    parser, found = read(f"As said in {mark}, it is: {PLAN}", size)
    assert found == Final(json.loads(PLAN))
    assert [tuple(note) for note in found.notes] == [
        (11, "brackets within a sentence are passed over")
    ]
    parser, found = read(f"The answer is {mark}.", size)
    assert found == Final(json.loads(mark))
    assert parser.raw_text == "The answer is "
    assert [note.what for note in found.notes] == ["what stands within a sentence is the value"]
    _, found = read(f"The answer: {mark}, and {PLAN}", size)
    assert found == Final(json.loads(mark))
    _, found = read(f"The answer is {mark}, I think", size, expect="array")
    assert found == Final([{}] if mark == "{}" else json.loads(mark))


@pytest.mark.parametrize("size", [1, 1000])
def test_of_several_marks_the_first_is_the_value(size: int) -> None:
    assert read("It is [1] or [2, 3], or {}.", size)[1] == Final([1])


@pytest.mark.parametrize(
    "before", ["```json ", "```", "so: ", "x = ", "<a>", "(", "so\n", "\ufeff"]
)
@pytest.mark.parametrize("size", [1, 1000])
def test_a_list_of_numbers_that_is_in_no_sentence_is_the_value_at_once(
    before: str, size: int
) -> None:
    for value, after in (("[1, 2]", ""), ("[1]", "\n"), ("[]", ","), ("{}", "```"), ("[0]", "]")):
        text, parser = f"{before}{value}{after}", PartialParser()
        for at in range(0, len(text), size):
            parser.feed(text[at : at + size])
        assert parser.done() and parser.value == json.loads(value)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("expect", ["any", "array", "object"])
@pytest.mark.parametrize("mark", ["[1]", "[ ]", "[]", "[ 12 ]", "{}", "{ }"])
def test_a_mark_that_a_word_follows_is_the_value_only_if_no_other_comes(
    mark: str, expect: Any, size: int
) -> None:
    for before, after in (
        ("", " Move"),
        ("My plan:\n\n", "\t**Move**"),
        ("Note: ", " 3 times"),
        ("> ", ' "Move"'),
        ("(", ") Move"),
        ("So = ", "/2"),
        ("\ufeff", ": go"),
    ):
        if not before and mark in ("{}", "[]"):
            continue
        said = f"{before}{mark}{after}\n"
        _, found = read(f"{said}[2] Attack\n```json\n{PLAN}\n```", size, expect=expect)
        assert found == Final([json.loads(PLAN)] if expect == "array" else json.loads(PLAN))
        parser, found = read(said, size, expect=expect)
        if expect == "object" and mark[0] == "[":
            assert found.value is MISSING
        else:
            assert found == Final([{}] if mark[0] + expect == "{array" else json.loads(mark))
            assert parser.raw_text == before


@pytest.mark.parametrize("expect", ["any", "array", "object"])
def test_an_answer_that_begins_with_empty_brackets_is_complete_with_them(expect: Any) -> None:
    for text in ("{}", " \n{}", "[]"):
        parser = PartialParser(expect=expect)
        patches = [patch for char in text for patch in parser.feed(char)]
        if expect == "any" or (expect == "object") == (text[-2] == "{"):
            assert parser.done() and len(patches) == 2
            parser.feed(' so\n{"n": 1}')
            assert parser.finish() == Final(json.loads(text))


@pytest.mark.parametrize("size", [1, 1000])
def test_objects_with_a_number_in_brackets_before_them_are_elements(size: int) -> None:
    text = '[1] {"n": 1}\n[2] {"n": 2}'
    assert read(text, size, expect="array")[1] == Final([{"n": 1}, {"n": 2}])
    assert read(text, size)[1] == Final({"n": 1})
    text = '{} {"n": 1}'
    assert read(text, size, expect="array")[1] == Final([{}, {"n": 1}])
    assert read(text, size)[1] == Final({})


@pytest.mark.parametrize("size", [1, 1000])
def test_what_no_word_follows_soon_is_the_value(size: int) -> None:
    for after in ("", " ", ",", ".", "; so", "```", "</a>", "]", "[2]", "\nso", " " * 16 + "so"):
        _, found = read(f"[1]{after}", size)
        assert found == Final([1])
        assert [note.what for note in found.notes] in (
            [],
            ["another value follows, and is not read"],
        )


@pytest.mark.parametrize("size", [1, 1000])
def test_a_longer_list_in_a_sentence_is_the_value(size: int) -> None:
    for text in ("[1, 2, 3, 4, 5, 6, 7, 8, 9]", "[1000]", "[007]", "[1.5]", '["a"]', "[-1]"):
        parser = PartialParser()
        patches = [
            p for at in range(0, 99, size) for p in parser.feed(f"It is {text}!"[at:][:size])
        ]
        assert patches and parser.done()


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    ("before", "after", "lies_within"),
    [
        ("{größe: ", "}", True),
        ("{größe: ", ', "more": 2}', True),
        ("{größe: ", ", more: 2}", True),
        ("{größe: ", ",", True),
        ("{größe: ", ", as you know", False),
        ("{größe: ", ', "as" you know', False),
        ("{größe: [x], ü: ", "}", True),
        ("{größe: x], ü: ", "}", True),
        ("{", "}", False),
        ("[x] {", "}", False),
        ("<think>{ü: x</think>", "}", False),
        ('the "plan": ', " }", True),
        ('the "plan": ', ', "more": 2', True),
        ('the "plan": ', ", as you asked.", False),
        ('the "plan": ', ". So", False),
        ("[größe, ", "]", True),
        ("[größe, ", ", 2]", True),
        ("[größe, ", ', "x"]', True),
        ("[größe, ", ", 2 in all", False),
        ("[größe, ", ", truly", False),
        ("[note: ", "]", False),
        ("so {x} and [y] are ", "}", False),
    ],
)
def test_what_follows_a_value_shows_whether_it_lies_in_another(
    before: str, after: str, lies_within: bool, size: int
) -> None:
    _, found = read(f"{before}{PLAN}{after}", size)
    assert found.value == json.loads(PLAN)
    assert isinstance(found, Final) is not lies_within
    if isinstance(found, Partial):
        assert found.reason == "it lies in another value, whose beginning cannot be read"
        assert found.position == len(before + PLAN)


class Step(BaseModel):
    act: str


@pytest.mark.parametrize("size", [1, 1000])
def test_a_typed_value_waits_until_it_is_known_whether_it_is_the_whole(size: int) -> None:
    def last(text: str) -> Any:
        typed: TypedPartials[Step] = TypedPartials(Step)
        out = [
            each for at in range(0, len(text), size) for each in typed.feed(text[at : at + size])
        ]
        return [*out, *typed.finish()][-1]

    within = last('{größe: {"act": "go"}, "more": 2}')
    assert isinstance(within, Unfinished) and "lies in another value" in within.reason
    assert last('the "plan": {"act": "go"}, as you asked') == Step(act="go")
    typed: TypedPartials[Step] = TypedPartials(Step)
    assert typed.feed('the "plan": {"act": "go"}')[-1] != Step(act="go")
    assert typed.feed(".") == [Step(act="go")]
    assert typed.finish() == []
    typed = TypedPartials(Step)
    assert typed.feed('the "plan": {"act": "go"}' + " " * 100)[-1] != Step(act="go")
    assert typed.feed(" " * 100) == [Step(act="go")]


BROKEN = [
    '{größe: {"k": 1}}',
    '{größe: {"k": 1}, "x": {"k": 2}}',
    '{größe: [{"k": 1}, {"k": 2}], "x": 3}',
    '{n 2, "m": {"k": "}"}}',
    '{n "2", "m": "}", o: {"k": 1}}',
    '{n {m}, x: {"k": 1}}',
    '{n 2, "m": [\n  {"k": 1},\n  {"k": "\\"}"}\n]}',
    '{größe: {\n    "k": 1\n  },\n  "x": [\n    {"k": 2}\n  ]\n}',
    "{größe: [{}]}",
    '{n 2,\n  {"k": 1}\n}',
    '  {n 2,\nx {"k": 1}}',
    '{n 2], "m": {"k": 1}}',
    '{n 2, "m": {"k": "x\n"y": 2}}',
    '{n 2, "m": {"k": "\\"}}, {\'k\': 1} "}}',
    '{n 2}, {ü: {"k": 1}}',
    '{ü: [\n{"k": 1},\n{"k": 2}\n]}',
    '{ü: [{"k": 1},\n{"k": 2}\n]}',
    '{ü: [{x},\n{"k": 2}\n]}',
    '{ü: {"x" 1,\n"k":\n{"k": 2}\n}}',
    '{ü: {"x": [1, {x: 2} }, {"k": 2} }',
    '{n "2}',
]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("comma", ["\n", ",\n", "\n\n", "\n---\n", ", ", " "])
@pytest.mark.parametrize("broken", BROKEN)
def test_what_lies_in_a_line_that_is_no_object_is_no_element(
    broken: str, comma: str, size: int
) -> None:
    lines = ['{"n": 1}', broken, '{"n": 3}', '{"n": 4}']
    parser, found = read(comma.join(lines), size, expect="array")
    assert found.value == [{"n": 1}, None, {"n": 3}, {"n": 4}]
    assert isinstance(found, Partial) and [*parser.lost] == [(1,)]
    _, found = read(comma.join(lines[:2]) + "\nDone.", size, expect="array")
    assert isinstance(found, Partial) and found.value == [{"n": 1}, None]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("cut", ["{n 2", "{n 2,", '{n 2, "m": {"k": 1}', '{n 2, "m": {"k": "'])
def test_a_broken_line_without_its_end_costs_no_line(cut: str, size: int) -> None:
    for comma in ("\n", ",\n"):
        text = comma.join(['{"n": 1}', cut, '{"n": 3}', '{"n": 4}'])
        _, found = read(text, size, expect="array")
        assert found.value == [{"n": 1}, None, {"n": 3}, {"n": 4}]


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "text", ['{name}\nsays:\n{"n": 1}\n{"n": 3}', '{"n": 1}\n{x} is it.\n{"n": 3}']
)
def test_a_line_of_prose_in_braces_is_no_object(text: str, size: int) -> None:
    assert read(text, size, expect="array")[1] == Final([{"n": 1}, {"n": 3}])


@pytest.mark.parametrize("size", [1, 1000])
def test_the_first_line_may_be_the_one_that_is_no_object(size: int) -> None:
    _, found = read('Here:\n{n 2, "m": {"k": 1}}\n{"n": 3}', size, expect="array")
    assert found.value == [None, {"n": 3}]
    _, found = read('<think>\n{n 2</think>\n{"n": 3}', size, expect="array")
    assert found == Final([{"n": 3}])


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    "first",
    [
        '{id": "s0", "pos": [5, 0]}',
        '{id: s0, tags: ["a"]}',
        '{id: s0, "pos": [5]',
        '"id": "s0", "pos": [5, 0]}',
        '"id": "a {b} [c]", "pos": [5, 0]}',
        '{ü: "x", "l": [{"k": 1},\n{"k": 2}]}',
        '{\n  id": "s0",\n  "pos": [\n{"x": "}"}, 1]\n}',
        '{id": "s0", "pos": [5, 0]}\n{id": "s1", "pos": [6, 0]}',
        "<think>{ü: [</think>{id: s0, tags: ['a']}",
    ],
)
def test_a_list_in_a_first_line_that_is_no_object_is_not_the_value(first: str, size: int) -> None:
    for comma in ("\n", ",\n", "\n\n"):
        said = f"{first}{comma}"
        parser, found = read(f'{said}{{"n": 1}}{comma}{{"n": 2}}', size, expect="array")
        assert isinstance(found, Partial) and found.value == [None, {"n": 1}, {"n": 2}]
        assert [*parser.lost] == [(0,)]
        assert parser.raw_text == said
        assert found.position == len("<think>{ü: [</think>") * first.startswith("<")
    if first.endswith("}"):
        assert read(f'{first}\n[{{"n": 1}}]', size, expect="array")[1].value == [{"n": 1}]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_a_list_in_a_first_line_that_is_no_object_is_the_value_if_nothing_else_comes(
    size: int,
) -> None:
    text = '{id": "s0", "pos": [5, 0], "b": [6]'
    for end, found in ((" and so on", Partial), ("}\nDone.", Partial)):
        _, result = read(text + end, size, expect="array")
        assert type(result) is found and result.value == [5, 0]
        parser = PartialParser(expect="array")
        assert [p for at in range(0, len(text), size) for p in parser.feed(text[at:][:size])] == []
        assert parser.finish(reason="too late").value is MISSING
    assert read(text, size, expect="array", max_length=22)[1].value == [5]
    parser = PartialParser(expect="array")
    assert parser.feed('"steps": [{"n": 1}, ')  # what stands alone under a name is it at once
    assert parser.feed('{"n": 2}],')


@pytest.mark.parametrize("size", [4, 10**6])
def test_long_prose_after_a_first_line_that_is_no_object_is_read_as_prose(size: int) -> None:
    text = '{id": "s0", "pos": [5, 0]}\n' + "{n 2}\n" * 2000 + '{"n": 1}\n{"n": 2}'
    parser, found = read("word " * 1000 + "\n" + text, size, expect="array")
    assert found.value == [None, None, {"n": 1}, {"n": 2}]
    assert [*parser.lost] == [(0,), (1,)]


def in_pieces(text: str, size: int = 64) -> Callable[[], object]:
    def run() -> None:
        parser = PartialParser(expect="array")
        for at in range(0, len(text), size):
            parser.feed(text[at : at + size])
        parser.finish()

    return run


@pytest.mark.parametrize(
    "line",
    [
        '{id": "s0", "pos": [5, 0]}\n',
        '{"id": "s0", "pos": [5, 0]}\n',
        '{id "s0", "pos": [5, 0]}\n',
        '"id": "s0", "pos": [5, 0]}\n',
        '{id "s0", "pos":\n [5, 0]}\n',
        '{id "s0", "pos": [5, 0], ',
        '- {"id": "s0", "pos": [5, 0]} {x\n',
    ],
)
def test_many_lines_cost_as_their_length_objects_or_none(line: str, effort: Any) -> None:
    few = effort(in_pieces(line * 500), partial_series, partial_before)
    many = effort(in_pieces(line * 8_000), partial_series, partial_before)
    assert few.grows_with(many, 16)


def test_what_is_set_aside_takes_no_more_room_than_it_has() -> None:
    text = "word, " * 50_000
    parser = PartialParser(expect="array")
    parser.feed('{x, "n": [5, ')
    tracemalloc.start()
    try:
        for at in range(0, len(text), 4):
            parser.feed(text[at : at + 4])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(text)


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize(
    "line",
    [
        '"n": 2, "m": {"k": 1} }',
        '"n": "a {b} [2]", "m": {"k": 1}, "o": {"k": 2}}',
        '"n": 2, "m": [{"k": 1}, 2]}',
        '"n": 2, "m": [ [{"k": "}"}], 2], "o": "}"},',
    ],
)
@pytest.mark.parametrize("at", [0, 1])
def test_null_stands_for_a_line_without_its_bracket_that_has_objects(
    line: str, at: int, size: int
) -> None:
    lines: list[str] = ['{"n": 1}', '{"n": 3}']
    lines.insert(at, line)
    value: list[Any] = [{"n": 1}, {"n": 3}]
    value.insert(at, None)
    parser, found = read("\n".join(lines), size, expect="array")
    assert isinstance(found, Partial) and found.value == value
    assert [*parser.lost] == [(at,)]


@pytest.mark.parametrize("size", [1, 1000])
def test_an_element_that_lies_in_an_object_without_its_beginning_is_said(size: int) -> None:
    parser, found = read('{"n": 1}\n"n": {"k": 1}}\n{"n": 3}', size, expect="array")
    assert isinstance(found, Partial)
    assert found.value == [{"n": 1}, {"k": 1}, {"n": 3}]
    assert [*parser.lost] == [(1,)]
    _, found = read('"one": {"n": 1},\n"two": {"n": 2}', size, expect="array")
    assert found == Final([{"n": 1}, {"n": 2}])


def test_a_broken_object_that_is_long_costs_as_its_length(effort: Any) -> None:
    begin = '{"n": 1}\n{größe: ['
    few = effort(in_pieces(begin + '{"k": "a]b"}, ' * 1_000), partial_series, partial_before)
    many = effort(in_pieces(begin + '{"k": "a]b"}, ' * 16_000), partial_series, partial_before)
    assert few.grows_with(many, 16)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize("text", ["{data:// x\n[1]}", "{data:/* x */[1]}", "{a : // x\n1}"])
def test_a_comment_after_a_bare_name_begins_a_value_in_any_pieces(text: str, size: int) -> None:
    assert isinstance(read(text, size)[1], Final)


@pytest.mark.parametrize("size", [1, 2, 1000])
@pytest.mark.parametrize(
    "dots",
    [
        "[...]",
        "[.]",
        "[-]",
        "[…]",
        "[+]",
        "[-.]",
        "[1-3]",
        "[2024-01-02]",
        "[1.2.3]",
        "[1e]",
        f"[2{'.' * 50}",
    ],
)
def test_dots_and_dates_in_brackets_are_no_value(dots: str, size: int) -> None:
    assert read(f"{dots}\n{PLAN}", size)[1] == Final(json.loads(PLAN))
    assert read(f"So: {dots}", size)[1].value is MISSING


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("expect", ["any", "array"])
def test_a_list_that_a_bracket_closes_before_its_time_is_not_said_to_be_the_whole(
    expect: Any, size: int
) -> None:
    for more in (',{"n": 2}]', ' ,\n { "n": 2}, {"n": 3}\n]', ", {}]"):
        parser, found = read(f'[{{"n": 1}}]{more}', size, expect=expect)
        assert found == Partial(
            [{"n": 1}], "a bracket closes the list, and objects follow that are not read"
        )
        assert found.position == len('[{"n": 1}]') and parser.done()
    for more in ("", ",", ", ", "]", ', as in {"n": 2}', '\n{"n": 2}', ', "so"', ", {x}"):
        assert read(f'[{{"n": 1}}]{more}', size, expect=expect)[1] == Final([{"n": 1}])
    assert read('[1], {"n": 2}', size, expect=expect)[1] == Final([1])


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("expect", ["any", "object"])
def test_an_object_that_a_bracket_closes_before_its_time_is_not_said_to_be_the_whole(
    expect: Any, size: int
) -> None:
    for more in (', "b": 2}', '\n,\n"b" : [2]}', ", 'b': 2}", ', "": {}}'):
        parser, found = read(f'{{"a": 1}}{more}', size, expect=expect)
        assert found == Partial(
            {"a": 1}, "a bracket closes the object, and members follow that are not read"
        )
        assert found.position == len('{"a": 1}') and parser.done()
    for more in ("", ",", ', "', ', "b"', ', "b" and so on', "}", ', {"b": 2}', ", so: 1"):
        assert read(f'{{"a": 1}}{more}', size, expect=expect)[1] == Final({"a": 1})


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_an_object_that_is_the_first_of_a_list_is_not_said_to_be_the_whole(size: int) -> None:
    for more in (', {"n": 2}]', ',\n{"n": 2', ', "green"]', ", 5]", " ,[1]]"):
        for before in ("[", "So:\n[\n  "):
            _, found = read(f'{before}{{"n": 1}}{more}', size, expect="object")
            assert isinstance(found, Partial) and found.value == {"n": 1}
            assert found.reason == "it is the first of a list, and the others are not read"
            typed: TypedPartials[dict[str, int]] = TypedPartials(dict[str, int])
            text = f'{before}{{"n": 1}}{more}'
            out = [e for at in range(0, len(text), size) for e in typed.feed(text[at:][:size])]
            last = [*out, *typed.finish()][-1]
            assert isinstance(last, Unfinished) and last.reason == found.reason
    for text in ('[{"n": 1}]', '[{"n": 1},]', '[{"n": 1}, so', '[1] {"n": 1}, 5', '{"n": 1}, {}'):
        assert read(text, size, expect="object")[1] == Final({"n": 1})


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize(
    "before",
    [
        '{\n# the plan\n"steps":[',
        "{steps = [",
        '{-"steps":[',
        '{<br>"steps":[',
        '{\n  plan": "go", "steps": [',
    ],
)
def test_the_first_of_a_list_whose_object_is_refused_is_not_the_whole(
    before: str, size: int
) -> None:  # G6
    _, found = read(before + '{"n":1},{"n":2},{"n":3}]}', size, expect="object")
    assert isinstance(found, Partial) and found.value == {"n": 1} and found.reason
