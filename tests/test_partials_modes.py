"""What a tolerant reader of partial JSON mends and says, and what a strict one refuses."""

from __future__ import annotations

import copy
import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path as File
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from foretell.operators import partial_before, partial_text
from foretell.operators.partials import (
    MISSING,
    Final,
    Partial,
    PartialParser,
    Patch,
    apply,
)

SIZES = (1, 2, 3, 7, 1000)


def read_all(text: str | bytes, **settings: Any) -> Final | Partial:
    """The result, which is the same in any pieces and what the patches make."""
    found = []
    for size in SIZES:
        parser, built = PartialParser(**settings), MISSING
        for at in range(0, len(text), size):
            for patch in parser.feed(text[at : at + size]):
                built = apply(built, patch)
            assert built == parser.value
        result = parser.finish()
        for patch in result.patches:
            built = apply(built, patch)
        assert built == result.value == parser.value
        found.append(result)
    assert all(one == found[0] and one.notes == found[0].notes for one in found)
    return found[0]


def said(result: Final | Partial) -> str:
    return "; ".join(f"{what} ({position})" for position, what in result.notes)


@pytest.mark.parametrize(
    ("text", "value", "note"),
    [
        ("[1, 2,]", [1, 2], "a comma before a closing bracket (6)"),
        ('{"a": 1,}', {"a": 1}, "a comma before a closing bracket (8)"),
        ("[1,,2]", [1, 2], "a comma too many (3)"),
        ('{"a": 1,, "b": 2}', {"a": 1, "b": 2}, "a comma too many (8)"),
        ('{"a": 1 "b": 2}', {"a": 1, "b": 2}, "no comma between two values (8)"),
        ('["a"\n"b"]', ["a", "b"], "no comma between two values (5)"),
        ('[{"a": 1}{"a": 2}]', [{"a": 1}, {"a": 2}], "no comma between two values (9)"),
        ("[1, 2 3]", [1, 2, 3], "no comma between two values (6)"),
        ('[{"a": 1};{"a": 2}]', [{"a": 1}, {"a": 2}], "a semicolon for a comma (9)"),
        ("{'a': 'b'}", {"a": "b"}, "a name in other quotes than JSON's (1)"),
        ("['it's a \"dog\"', 'x']", ['it\'s a "dog"', "x"], "an apostrophe in a string in"),
        (r"['it\'s', '\n']", ["it's", "\n"], "a string in other quotes than JSON's (1)"),
        ("{a_1: 1, $b: 2}", {"a_1": 1, "$b": 2}, "a name without quotes (1)"),
        ("{“a”: “b 'c'”}", {"a": "b 'c'"}, "a name in other quotes than JSON's (1)"),
        ("[True, False, None]", [True, False, None], "True read as JSON's (1)"),
        ("[NaN, 1, -Infinity]", [None, 1, None], "NaN read as null (1)"),
        ("[1, 1e999]", [1, None], "a number too large, read as null (4)"),
        ("[1, 01, +2, .5, 5., -.5e1]", [1, 1, 2, 0.5, 5.0, -5.0], "a number that JSON writes"),
        ('{"a": 1, // one\n"b": /* two */ 2}', {"a": 1, "b": 2}, "a comment (9)"),
        ('[1, /* * / ** // */ "//"]', [1, "//"], "a comment (4)"),
        ('["a\nb\tc"]', ["a\nb\tc"], "a raw control character in a string (3)"),
        (r'["C:\users \q"]', [r"C:\users q"], "an escape that JSON has not (4)"),
        ('[1,\u00a0"a"\ufeff]', [1, "a"], "a blank that JSON has not (3)"),
        ('{"a": 1}\n{"b": 2}', {"a": 1}, "another value follows, and is not read (9)"),
        ('[1]\n```\nThen {"b": 2}', [1], "another value follows, and is not read (13)"),
    ],
)
def test_what_is_certain_is_mended_and_said(text: str, value: Any, note: str) -> None:
    result = read_all(text)
    assert result == Final(value)
    assert note in said(result)
    assert all(text[position : position + 1] for position, _ in result.notes)
    if "another" not in note:
        try:
            orjson.loads(text)
        except orjson.JSONDecodeError:
            refused = read_all(text, strict=True)
            assert isinstance(refused, Partial)
            assert refused.position is not None


def test_json_as_it_should_be_has_no_notes() -> None:
    assert read_all('Here:\n```json\n{"a": [1, "x\\n", {}], "b": null}\n```\nDone.').notes == ()


def test_of_a_name_that_comes_twice_the_first_value_stays() -> None:
    text = '{"a": "x", "a": {"b": ["y"], "b": 1}, "c": 2, "a": "z", "d": [3]}'
    result = read_all(text)
    assert result == Partial({"a": "x", "c": 2, "d": [3]}, "the name 'a' comes twice")
    parser = PartialParser()
    parser.feed('{"a": "x", "a": {"b": ["y')
    assert parser.done(("a",)) and not parser.done()
    assert parser.value == {"a": "x"}


def test_a_name_without_a_value_is_left_out() -> None:
    result = read_all('{"a": , "b": 2, "c":}')
    assert result == Partial({"b": 2}, "no value for the name 'a'")


def test_text_that_is_not_utf_8_is_replaced_wherever_it_stands() -> None:
    assert read_all(b'{"a": "\xff", "b": 1}').value == {"a": "\ufffd", "b": 1}


@pytest.mark.parametrize(
    "before", ["Note [1] and {x}: ", "[sic] {damage}\n", "```json\n", "[1, 2]"]
)
@pytest.mark.parametrize("after", ["", "\n```", " and [2] {y}"])
def test_who_expects_an_object_gets_it_after_any_brackets(before: str, after: str) -> None:
    result = read_all(f'{before}{{"a": [1]}}{after}', expect="object")
    assert result == Final({"a": [1]})


def test_the_first_value_is_the_value_if_nothing_is_expected() -> None:
    result = read_all('So: [1]. The plan: {"a": 1}')
    assert result == Final([1])
    assert said(result) == "another value follows, and is not read (19)"


@pytest.mark.parametrize("between", ["\n", ",\n", ", ", "", ";", "\n---\n", "\nand {then}:\n"])
def test_objects_one_after_another_are_the_array_that_was_expected(between: str) -> None:
    steps = [{"tool": "MoveTo"}, {"tool": "Strike", "at": [1]}, {}]
    text = "Steps:\n" + between.join(json.dumps(step) for step in steps) + "\nDone."
    result = read_all(text, expect="array")
    assert result == Final(steps)
    assert result.patches == (Patch((), "done", None),)
    assert "objects one after another are read as one list (7)" in said(result)
    cut = read_all(text[: text.index("Strike")], expect="array")
    assert cut == Partial([steps[0], {"tool": ""}], "cut off in a string")


def test_an_array_that_was_expected_is_read_as_it_is() -> None:
    assert read_all('x {y} [{"a": 1}] {"b": 2}', expect="array") == Final([{"a": 1}])


@pytest.mark.parametrize("value", ["Ha!", 12, -1.5, True, None])
def test_a_lone_scalar_in_a_fence_shows_at_the_end(value: Any) -> None:
    for text in (f"```json\n{json.dumps(value)}\n```", f"```\n{json.dumps(value)}"):
        result = read_all(text)
        assert result == Final(value)
        assert result.patches[0] == Patch((), "set", value)


@pytest.mark.parametrize("around", ["```\n{}\n```", "```json {}```\n", " ``` {}", "```{}\n"])
@pytest.mark.parametrize("text", ["See [1].", '{"a": [1]} and [', "A ``` [2] ```", ""])
def test_brackets_in_a_lone_string_in_a_fence_are_text(text: str, around: str) -> None:
    result = read_all(around.replace("{}", json.dumps(text)))
    assert result == Final(text)
    assert result.patches == (Patch((), "set", text), Patch((), "done", None))


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('```\n"The goblin" said [1]\n```', [1]),
        ('```"key": {"a": 1}```', {"a": 1}),
        ('``` "a [1]" ``` and so on', [1]),
        ('```"a [1]\n```', [1]),
        ('``"a" [2]``', [2]),
        ("```" + "x" * 40 + ' "[1]"', [1]),
    ],
)
def test_a_fence_that_holds_more_than_a_string_is_read_for_it(text: str, value: Any) -> None:
    assert read_all(text) == Final(value)


@pytest.mark.parametrize("sent", [b"12\xc3", b"true\xf0\x9f", "12\ud83d", b'"a"\xc3'])
def test_a_lone_scalar_and_half_a_character_is_no_scalar(sent: Any) -> None:
    for strict in (False, True):
        result = read_all(sent, strict=strict)
        assert isinstance(result, Partial)
        assert result.value is MISSING


def test_of_a_text_without_a_value_half_a_character_is_shown_too() -> None:
    parser = PartialParser()
    parser.feed(b"Steel\xc3")
    parser.finish()
    assert parser.raw_text == "Steel\ufffd"


def test_a_text_that_is_too_long_is_read_as_one_that_ends_there() -> None:
    held = '[1, {"a": 2, f'
    result = read_all(held + 'alse: {"b": 1}]', max_length=len(held))
    assert result == Partial([1, {"a": 2}], "longer than 14 characters (character 14)")
    assert said(result) == "a name without quotes (13)"


def test_a_name_that_the_limit_cuts_is_not_looked_through_for_a_later_value() -> None:
    result = read_all('x {"a {} [1,2]": 3}', max_length=12)
    assert result == Partial({}, "longer than 12 characters (character 12)")


def test_the_shortest_member_without_quotes_shows_at_once_too() -> None:
    parser = PartialParser()
    parser.feed('{a:""')
    assert parser.feed(",b:[") == [Patch(("b",), "set", [])]


@pytest.mark.parametrize(("opening", "value"), [("[", []), ("{", {}), ('"', "")])
def test_the_shortest_member_there_is_shows_at_once(opening: str, value: Any) -> None:
    parser = PartialParser()
    parser.feed('{"a":""')
    assert parser.feed(f',"":{opening}') == [Patch(("",), "set", value)]


@pytest.mark.parametrize(
    ("text", "value", "patches"),
    [
        ('{"a" is the key:\n{"a": "b"}', {"a": "b"}, [("a",), ("a",), ()]),
        ('{"a": "b", oh no\n```json\n{"a": "b", "c": [1]}\n```', {"a": "b", "c": [1]}, None),
        ('["x" is first so: ["x", {"y": 2}] ok', ["x", {"y": 2}], [(1,), (1, "y"), (1,), ()]),
    ],
)
def test_a_later_value_that_continues_what_was_shown_is_taken(
    text: str, value: Any, patches: list[Any] | None
) -> None:
    result = read_all(text)
    assert result == Final(value)
    assert "the value is continued by a later one" in said(result)
    if patches is not None:
        assert [patch.path for patch in result.patches] == patches


@pytest.mark.parametrize(
    ("text", "value", "reason"),
    [
        ('{"a": 1, oh no\n{"a": 2}', {"a": 1}, "; a later value contradicts what was shown"),
        ('{"a": 1, oh no\n{"a": 1.0}', {"a": 1}, "; a later value contradicts what was shown"),
        ('["x", oh no\n["y", "x"]', ["x"], "; a later value contradicts what was shown"),
        ('{"a": [1], oh no\n{"a": [1, 2]}', {"a": [1]}, "contradicts what was shown"),
        ('{"a" "b", c: {"x": 1}', {}, "'\"' where a colon belongs (character 5)"),
        ('{"a" "b" {"x": 1', {}, "'\"' where a colon belongs (character 5)"),
        (
            '{"a": "x""b": 1}',
            {"a": "x"},
            "'\"' where a comma or a closing bracket belongs (character 9)",
        ),
        (
            '["say ""hi"" now"]',
            ["say "],
            "'\"' where a comma or a closing bracket belongs (character 7)",
        ),
        ("[1, oh no", [1], "'oh' is no JSON value (character 6)"),
    ],
)
def test_nothing_is_taken_that_contradicts_or_lies_within(
    text: str, value: Any, reason: str
) -> None:
    result = read_all(text)
    assert isinstance(result, Partial)
    assert result.value == value
    assert result.reason.endswith(reason)
    assert result.position is not None


@pytest.mark.parametrize("text", ['"a"', " 12 ", "-0.5", "true", "null", "[]", ' {"a": [1]}\n'])
def test_a_strict_reader_takes_any_one_value(text: str) -> None:
    assert read_all(text, strict=True) == Final(orjson.loads(text))
    assert read_all(text.encode(), strict=True) == Final(orjson.loads(text))


@pytest.mark.parametrize(
    ("text", "value", "reason", "position"),
    [
        ('Here: {"a": 1}', MISSING, "'H' where a value belongs (character 0)", 0),
        ('\ufeff{"a": 1}', MISSING, "'\\ufeff' where a value belongs (character 0)", 0),
        ('{"a": 1} x', {"a": 1}, "'x' where the end belongs (character 9)", 9),
        ("[1] [2]", [1], "'[' where the end belongs (character 4)", 4),
        ("[1, 2,]", [1, 2], "']' where more belongs (character 6)", 6),
        ("[1, 01]", [1], "'01' is no JSON value (character 4)", 4),
        ('{"a": 1_0 }', {}, "'1_0' is no JSON value (character 6)", 6),
        ("[1, NaN]", [1], "'N' where a value belongs (character 4)", 4),
        ('{"a": 1, "a": 2}', {"a": 1}, "the name 'a' comes twice (character 12)", 12),
        ('["a\nb"]', ["a"], "text that is not JSON's in a string (character 3)", 3),
        (r'["a\qb"]', ["a"], "an escape that JSON has not in a string (character 3)", 3),
        (r'["\ud83d"]', [""], "an escape that JSON has not in a string (character 2)", 2),
        (b'["\xff"]', [""], "text that is not JSON's in a string (character 2)", 2),
        ("{'a': 1}", {}, '"\'" where a name in quotes belongs (character 1)', 1),
        ('{"a": 1 "b": 2}', {"a": 1}, "'\"' where a comma or a closing bracket", 8),
        ("[1] // no", [1], "'/' where the end belongs (character 4)", 4),
        (" tru ", MISSING, "'tru' is no JSON value (character 1)", 1),
        ("1e999", MISSING, "'1e999' is no JSON value (character 0)", 0),
        ("12 13", MISSING, "'1' where the end belongs (character 3)", 3),
        ('"é", 1', MISSING, "',' where the end belongs (character 3)", 3),
        (' "é\nb"', MISSING, "text that is not JSON's in a string (character 3)", 3),
        (r' "a\q"', MISSING, "an escape that JSON has not in a string (character 3)", 3),
        ('"a', MISSING, "cut off in a string", None),
        (r'"a\u12', MISSING, "cut off in a string", None),
        ('{"a": "b', {"a": "b"}, "cut off in a string", None),
        ("", MISSING, "no JSON object or array in the text", None),
    ],
)
def test_a_strict_reader_stops_at_the_first_trespass(
    text: str | bytes, value: Any, reason: str, position: int | None
) -> None:
    result = read_all(text, strict=True)
    assert isinstance(result, Partial)
    assert result.value == value
    assert reason in result.reason
    assert position is None or result.position == position
    assert result.notes == ()


@pytest.mark.parametrize(("expect", "text"), [("object", "[1]"), ("array", '{"a": 1}')])
def test_a_strict_reader_refuses_what_is_not_expected(expect: Any, text: str) -> None:
    result = read_all(text, strict=True, expect=expect)
    assert isinstance(result, Partial)
    assert f"where an {expect} belongs (character 0)" in result.reason
    assert read_all(text, strict=True) == Final(orjson.loads(text))


@pytest.mark.parametrize(
    ("expect", "text"),
    [("object", "[1,2]"), ("object", '"s"'), ("array", "5"), ("array", "```\nnull\n```")],
)
@pytest.mark.parametrize("strict", [False, True])
def test_what_is_not_expected_is_no_result(expect: Any, text: str, strict: bool) -> None:
    result = read_all(text, expect=expect, strict=strict)
    assert isinstance(result, Partial)
    assert result.value is MISSING
    assert result.patches == ()
    assert expect in result.reason


def test_text_after_half_a_character_in_bytes_loses_nothing() -> None:
    for rest in ('x"}', 'é"}'):
        parser = PartialParser()
        parser.feed(b'{"a":"\xc3')
        parser.feed(rest)
        result = parser.finish()
        assert isinstance(result, Partial)
        assert result.value == {"a": "\ufffd" + rest[0]}
        assert "Unicode" in result.reason
    strict = PartialParser(strict=True)
    strict.feed(b'{"a":"\xc3')
    strict.feed('x"}')
    assert isinstance(strict.finish(), Partial)


@pytest.mark.parametrize(
    "settings",
    [
        {"expect": "obj"},
        {"max_depth": -1},
        {"max_depth": 513},
        {"max_depth": 2.0},
        {"max_length": -1},
        {"max_length": "9"},
        {"max_length": True},
    ],
)
def test_settings_that_cannot_be_are_refused_by_name(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))) as found:
        PartialParser(**settings)
    assert "\n" not in str(found.value)


def test_the_deepest_value_can_be_written() -> None:
    parser = PartialParser(max_depth=512)
    parser.feed('{"a":' * 600)
    assert parser.finish().to_json().startswith(b'{"partial":')


@pytest.mark.parametrize("settings", [{}, {"strict": True}])
def test_limits_hold_in_both_modes(settings: dict[str, Any]) -> None:
    deep = read_all("[" * 9, max_depth=5, **settings)
    assert deep == Partial([[[[[]]]]], "nested deeper than 5 (character 5)")
    long = read_all('["' + "x" * 90, max_length=9, **settings)
    assert long == Partial(["x" * 7], "longer than 9 characters (character 9)")
    doubled = read_all('{"a":1,"a":' + "[" * 9, max_depth=5, **settings)
    assert doubled.value == {"a": 1}


SLOPPY = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-99, 99), st.text("ab ,:{}[]/#é\n", max_size=6)
    ),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)


def sloppily(value: Any, draw: Callable[[Any], Any]) -> str:
    """``value`` as a careless model writes it."""
    if isinstance(value, str):
        text = orjson.dumps(value).decode()[1:-1]
        text = text if draw(st.booleans()) else text.replace("\\n", "\n")
        return str(draw(st.sampled_from(['"{}"', "'{}'", "“{}”"]))).replace("{}", text)
    if isinstance(value, dict):
        names = st.sampled_from(['"{}"', "'{}'", "{}"])
        items = [
            f"{draw(names).replace('{}', name)}: {sloppily(item, draw)}"
            for name, item in value.items()
        ]
        gap = st.sampled_from([", ", ",", " // x, y: {\n,", " /* ] */, "])
        return "{" + joined(items, gap, draw) + "}"
    if isinstance(value, list):
        gap = st.sampled_from([", ", ",", ",\n", ";", " , /* [ */"])
        return "[" + joined([sloppily(item, draw) for item in value], gap, draw) + "]"
    return str(draw(st.sampled_from([json.dumps(value), repr(value)])))


def joined(items: list[str], gap: Any, draw: Callable[[Any], Any]) -> str:
    text = "".join(item + draw(gap) for item in items[:-1]) + "".join(items[-1:])
    return text + draw(st.sampled_from(["", ",", "\n, "])) if items else text


@given(st.lists(SLOPPY, min_size=1, max_size=5), st.data(), st.sampled_from(SIZES))
def test_no_complete_element_is_lost_however_carelessly_it_is_written(
    elements: list[Any], data: st.DataObject, size: int
) -> None:
    items = [sloppily({"n": item}, data.draw) for item in elements]
    gaps = st.sampled_from([", ", "\n", ",\n", ";", " "])
    text, ends = '["first", ', []
    for item in items:
        text += item
        ends.append(len(text))
        text += data.draw(gaps)
    end = data.draw(st.integers(0, len(text)))
    parser = PartialParser()
    for at in range(0, end, size):
        parser.feed(text[at : min(end, at + size)])
    whole = [{"n": item} for item, stop in zip(elements, ends, strict=True) if stop <= end]
    value = parser.value
    if whole:
        assert value[1 : len(whole) + 1] == whole
        assert all(parser.done((place + 1,)) for place in range(len(whole)))
    assert isinstance(parser.finish(), Partial)
    again = PartialParser()
    again.feed(text + "]")
    assert again.finish() == Final(["first", *({"n": item} for item in elements)])


fuzz = importlib.util.spec_from_file_location(
    "fuzz_partials", File(__file__).with_name("fuzz_partials.py")
)
assert fuzz is not None and fuzz.loader is not None
target = importlib.util.module_from_spec(fuzz)
fuzz.loader.exec_module(target)


@given(
    st.binary(min_size=3, max_size=3),
    SLOPPY.map(lambda value: json.dumps({"a": [value, {"b": value}]}, ensure_ascii=False)),
    st.lists(
        st.tuples(
            st.integers(0, 200),
            st.sampled_from(["", "del", "swap", '"', "'", "\\", "{", "}", "[", "]", ",", ":", "/",
                             "//", "/*", "*/", "“", "\n", "x", "0", "\\ud83d", '"a":', "\ufeff"]),
        ),
        max_size=4,
    ),
)  # fmt: skip
@example(b"\xef:}", "2\u00ed", [])
def test_any_broken_document_keeps_the_laws_in_both_modes(
    how: bytes, document: str, changes: list[tuple[int, str]]
) -> None:
    for place, change in changes:
        at = place % (len(document) + 1)
        if change == "del":
            document = document[:at] + document[at + 1 :]
        elif change == "swap":
            document = document[:at] + document[at : at + 2][::-1] + document[at + 2 :]
        else:
            document = document[:at] + change + document[at:]
    data = document.encode()
    for end in {len(data), len(data) // 2, len(data) * 3 // 4}:
        target.check(how + data[:end])


@given(SLOPPY.map(lambda value: json.dumps([value], ensure_ascii=False)), st.booleans())
def test_every_prefix_is_read_without_an_exception(document: str, strict: bool) -> None:
    for end in range(len(document)):
        parser = PartialParser(strict=strict)
        parser.feed(document[:end])
        found = parser.finish()
        assert isinstance(found, Partial)
        assert found.reason


def work(document: str | bytes, size: int) -> tuple[int, int]:
    """How many calls it takes to read a document in pieces, and how many characters they see."""
    calls, seen = 0, 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls, seen
        calls += 1
        if event == "call" and frame.f_code.co_name in {
            "feed",
            "_regularly",
            "_string",
            "_read_on",
        }:
            given = frame.f_locals
            seen += len(given.get("chunk", given.get("text", ""))) - given.get("pos", 0)

    parser = PartialParser()
    pieces = [document[at : at + size] for at in range(0, len(document), size)]
    sys.setprofile(count)
    try:
        for piece in pieces:
            parser.feed(piece)
    finally:
        sys.setprofile(None)
    assert isinstance(parser.finish(), Final)
    return calls, seen


STEP = '{"tool":"MoveTo","x":12.5,"y":-3,"why":"the \\u00e9 old \\n oak"},'


@pytest.mark.parametrize("size", [1, 4, 64])
@pytest.mark.parametrize(
    "write",
    [
        lambda n: '{"text": "' + "steel on stone " * (n // 15) + '"}',
        lambda n: '{"plans": [' + (STEP * (n // len(STEP))).rstrip(",") + "]}",
        lambda n: '{"text": "' + "\\n" * (n // 2) + '"}',
        lambda n: "[" + "1.5, " * (n // 5) + "1]",
        lambda n: "{'a': 1, '" + "n" * n + "': 1}",
        lambda n: '{"' + "n" * n + '": 1}',
        lambda n: " " * n + "[" + " " * n + "1]",
        lambda n: "{ x [ y " * (n // 8) + "[1]",
    ],
    ids=["text", "plans", "escapes", "numbers", "odd name", "name", "blanks", "preamble"],
)
def test_the_work_per_character_does_not_grow(write: Callable[[int], str], size: int) -> None:
    small, large = write(2_000), write(200_000)
    if "nnn" in small:  # up to 4,096 characters of a name are kept together
        small = write(40_000)
    calls, seen = work(small, size)
    more_calls, more_seen = work(large, size)
    growth = len(large) / len(small)
    assert more_calls <= calls * growth * 1.2
    assert more_seen <= seen * growth * 1.2


def test_a_preamble_full_of_indexes_costs_as_its_length_in_one_piece(effort: Any) -> None:
    few = effort(lambda: PartialParser().feed("a[0] " * 1_000), partial_before, partial_text)
    many = effort(lambda: PartialParser().feed("a[0] " * 16_000), partial_before, partial_text)
    assert few.grows_with(many, 16)


def test_a_plan_costs_far_below_a_tenth_of_a_second() -> None:
    plan = '{"plans": [' + ",".join([STEP.rstrip(",")] * 240) + "]}"  # 3-23
    assert len(plan) > 15_000
    calls_and_returns, _ = work(plan, 4)
    assert calls_and_returns < 150_000  # and a call is below a microsecond


def test_bytes_cost_not_much_more_than_text() -> None:
    document = '{"text": "' + "steel on stone " * 500 + '"}'
    calls, _ = work(document, 4)
    more, _ = work(document.encode(), 4)
    assert more <= 3 * calls


def test_a_string_of_2_mb_is_read_in_one_piece_and_in_many() -> None:
    text = "é, 'steel' " * 190_000
    document = orjson.dumps({"text": text}).decode()
    for size in (len(document), 4096):
        parser = PartialParser()
        for at in range(0, len(document), size):
            parser.feed(document[at : at + size])
        assert parser.finish() == Final({"text": text})


def test_memory_stays_within_three_times_the_value() -> None:
    import tracemalloc

    pieces = ["word"] * 100_000
    parser = PartialParser()
    parser.feed('{"text": "')
    tracemalloc.start()
    try:
        for count, piece in enumerate(pieces):
            parser.feed(piece)
            if count % 500 == 0:
                assert parser.value["text"].endswith("word")
        size = len(parser.value["text"])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 400_000
    assert peak < 2 * size  # the string grows in place


@pytest.mark.parametrize(
    ("begin", "expect"),
    [
        ("So ", "any"),
        ('"', "any"),
        ("<think>", "any"),
        ('{"a":1 x', "any"),
        ('{"', "any"),
        ("{'", "any"),
        ('{"n":1}', "array"),
    ],
)
def test_text_that_is_kept_takes_no_more_room_than_it_has(begin: str, expect: Any) -> None:
    import tracemalloc

    text = ("wörd " if begin == "So " else "word ") * 100_000
    parser = PartialParser(expect=expect)
    parser.feed(begin)
    tracemalloc.start()
    try:
        for at in range(0, len(text), 5):
            parser.feed(text[at : at + 5])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 3 * len(text)


def test_a_fence_with_many_blanks_in_it_costs_as_its_length() -> None:
    parser = PartialParser()
    parser.feed("```\na" + " " * 1_000_000 + "b")
    assert parser.finish().value is MISSING  # if it were looked at again from each blank: in hours


@pytest.mark.parametrize("size", [1, 2, 3, 99])
def test_a_comment_may_stand_right_after_a_number_or_word(size: int) -> None:
    text = '[1/* one */,-2.5// two\n,true/**/,{"a":null/**/}]'
    parser = PartialParser()
    for at in range(0, len(text), size):
        parser.feed(text[at : at + size])
    assert parser.finish() == Final([1, -2.5, True, {"a": None}])


@pytest.mark.parametrize("text", ["[7,1/2]", "[7,1/", "[7,1/2/**/]"])
@pytest.mark.parametrize("size", [1, 99])
def test_a_slash_that_begins_no_comment_is_of_the_word(text: str, size: int) -> None:
    parser = PartialParser()
    for at in range(0, len(text), size):
        parser.feed(text[at : at + size])
    found = parser.finish()
    assert isinstance(found, Partial) and found.value == ([7, None] if text == "[7,1/2]" else [7])


@pytest.mark.parametrize("size", [1, 2, 5, 99])
@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('Look at items[0]: {"a":1}', {"a": 1}),
        ("rows[ 12 ][-1] and f(x)[3]: [2]", [2]),
        ("see [0]", [0]),
        ("values [1]", [1]),
        ("xs[1, 2]", [1, 2]),
        ("```json[1]```", [1]),
    ],
)
def test_an_index_in_the_preamble_is_no_list(text: str, value: object, size: int) -> None:
    parser = PartialParser()
    for at in range(0, len(text), size):
        parser.feed(text[at : at + size])
    assert parser.finish() == Final(value)
    assert text.startswith(parser.raw_text)


@pytest.mark.parametrize(
    ("text", "expect", "reason"),
    [
        ("[1 2 3]", "any", "object or array in the text: the bracket at character 0 begins none"),
        ("roll {x}", "object", "object in the text: the bracket at character 5 begins none"),
        ("[1 2 3]", "object", "object in the text"),
        ("items[0]", "array", "array in the text: the bracket at character 5 begins none"),
    ],
)
def test_a_bracket_that_begins_nothing_is_named(text: str, expect: Any, reason: str) -> None:
    found = read_all(text, expect=expect)
    assert isinstance(found, Partial)
    assert found.value is MISSING
    assert found.reason == f"no JSON {reason}"


def test_a_parser_is_not_copied() -> None:
    parser = PartialParser()
    parser.feed('{"a": [1')
    for copied in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be copied"):
            copied(parser)


def test_what_is_no_path_or_no_text_is_refused_in_plain_words() -> None:
    parser = PartialParser()
    parser.feed('{"steps": 1, ')
    for look in (parser.state, parser.done):
        with pytest.raises(TypeError, match="a path is a tuple of names and places, not 'steps'"):
            look("steps")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="feed takes str or bytes, not NoneType"):
        parser.feed(None)  # type: ignore[arg-type]


def test_sixteen_later_values_are_tried() -> None:
    for before, whole in ((15, True), (16, False)):
        parser = PartialParser(expect="object")
        parser.feed('{"a": 1 ! ' + '"x": {"b": 2}; ' * before + ' {"a": 1, "c": 3}')
        found = parser.finish()
        assert isinstance(found, Final) is whole, before


@pytest.mark.parametrize(
    ("text", "settings", "value"),
    [
        ('{"a": [1, 2', {}, {"a": [1]}),
        ("12", {}, MISSING),
        (' "a"', {}, MISSING),
        ("null", {"strict": True}, MISSING),
        ('{"a": 1}\n{"b": 2}\n', {"expect": "array"}, [{"a": 1}, {"b": 2}]),
        ('{"a": "b', {}, {"a": "b"}),
        ("", {}, MISSING),
    ],
)
def test_a_text_that_is_not_at_its_end_completes_nothing(
    text: str, settings: Any, value: Any
) -> None:
    parser = PartialParser(**settings)
    built: Any = MISSING
    for patch in parser.feed(text):
        built = apply(built, patch)
    found = parser.finish(reason="no time")
    assert found == Partial(value, "no time")
    for patch in found.patches:
        assert patch.path
        built = apply(built, patch)
    assert built == value
    assert parser.finish() is found


def test_a_value_that_was_complete_before_is_final_however_the_text_ends() -> None:
    parser = PartialParser()
    parser.feed("[1, 2] so")
    assert parser.finish(reason="no time") == Final([1, 2])


BIG = "-123456789012345678901234567890"


@pytest.mark.parametrize("size", [1, 7, 999])
def test_integers_of_any_size_are_exact_where_that_is_asked_for(size: int) -> None:
    text = f'{{"a":[{BIG},18446744073709551616,-9223372036854775809,1.5,12,"x"],"b":{BIG}}}'
    parser = PartialParser(big_ints=True)
    patches = [patch for at in range(0, len(text), size) for patch in parser.feed(text[at:][:size])]
    assert parser.finish() == Final(json.loads(text))
    assert repr(parser.value) == repr(json.loads(text))
    wire = [json.loads(patch.to_json()) for patch in patches]
    assert {"path": ["b"], "op": "set", "value": int(BIG)} in wire
    assert json.loads(parser.finish().to_json())["final"] == json.loads(text)
    default = PartialParser()
    default.feed(text)
    assert default.finish() == Final(orjson.loads(text))
    assert type(default.value["b"]) is float


def test_a_lone_integer_of_any_size_is_exact_too_and_one_beyond_pythons_is_none() -> None:
    parser = PartialParser(big_ints=True)
    parser.feed(BIG)
    assert parser.finish() == Final(int(BIG))
    parser = PartialParser(big_ints=True)
    parser.feed(f'{{"a": 1, oh no\n{{"a": 1, "b": {BIG}}}')
    assert parser.finish() == Final({"a": 1, "b": int(BIG)})
    parser = PartialParser(big_ints=True)
    parser.feed(f"[{'1' * 4301}, 1]")
    assert parser.finish() == Final([None, 1])


def test_a_long_word_of_zeros_costs_steps_as_its_length() -> None:
    for begin, end in (("", "x"), ("-", '"'), ("", "{"), ("", "-1")):
        parser = PartialParser()
        parser.feed(f'{{"a":1,"b":{begin}{"0" * 1_000_000}{end},"c":2}}')
        assert parser.value["a"] == 1  # by backtracking: in hours
