"""Partial JSON: whatever the pieces, the same value; on the way it only grows (G6).

And what the finished value becomes: the model of a telling.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from typing import Any, Literal

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, field_validator

from foretell.errors import ConfigError
from foretell.operators.narration import Line, Narration, schema_of, validate_final
from foretell.operators.partials import (
    MISSING,
    Final,
    Partial,
    PartialParser,
    Patch,
    Path,
    Progress,
    apply,
)

characters = st.one_of(
    st.characters(exclude_categories=["Cs"]),
    st.sampled_from('"\\/{}[],:\n\t\x00é€😀'),
)
strings = st.text(characters, max_size=12)
scalars = st.one_of(
    strings,
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)
roots = st.lists(values, max_size=4) | st.dictionaries(strings, values, max_size=4)
writers = st.sampled_from(
    [
        {"ensure_ascii": True},
        {"ensure_ascii": False},
        {"ensure_ascii": True, "indent": 2},
        {"ensure_ascii": False, "separators": (",", ":")},
    ],
)
documents = st.builds(lambda value, how: json.dumps(value, **how), roots, writers)
sizes = st.lists(st.integers(0, 6), max_size=60)
scraps = st.lists(
    st.sampled_from(
        ["{", "}", "[", "]", ",", ":", '"', "\\", "u", "\\u", "d83d", "\\ud83d", "\\ude00", "dé",
         "1", "-", ".5", "e9", "true", "nul", "l", " ", "\n", '"a"', '"b":', "{}", "[", "\ud83d",
         "\ude00", "😀", "\\q", "```json\n"],
    ),
    max_size=24,
)  # fmt: skip


def cut(whole: Any, lengths: list[int]) -> Iterator[Any]:
    at = 0
    for length in lengths:
        yield whole[at : at + length]
        at += length
    yield whole[at:]


def read(text: str | bytes) -> PartialParser:
    parser = PartialParser()
    parser.feed(text)
    return parser


def each_path(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    yield path, value
    inner = value.items() if isinstance(value, dict) else ()
    for key, item in enumerate(value) if isinstance(value, list) else inner:
        yield from each_path(item, (*path, key))


def grew(before: Any, after: Any) -> bool:
    """Whether ``after`` is ``before`` and perhaps more."""
    if type(before) is not type(after):
        return False
    if isinstance(before, str):
        return bool(after.startswith(before))
    if isinstance(before, list):
        return len(before) <= len(after) and all(map(grew, before, after))
    if isinstance(before, dict):
        return all(key in after and grew(item, after[key]) for key, item in before.items())
    return bool(before == after)


@given(documents, sizes)
@example('{"a": 18446744073709551616, "b": -1e-7, "c": -0.0}', [1] * 60)
@example('["\\ud83d\\ude00\\\\ud83d"]', [1] * 30)
@example("[true, 1]", [1] * 9)
@example("[ false]", [1] * 9)
@example("[\nnull]", [1] * 9)
def test_any_pieces_of_text_give_the_value_orjson_reads(document: str, lengths: list[int]) -> None:
    parser = PartialParser()
    for piece in cut(document, lengths):
        parser.feed(piece)
    assert parser.finish() == Final(orjson.loads(document))
    assert parser.done()


@given(documents, sizes)
def test_any_pieces_of_bytes_give_the_value_orjson_reads(document: str, lengths: list[int]) -> None:
    parser = PartialParser()
    for piece in cut(document.encode(), lengths):
        parser.feed(piece)
    assert parser.finish() == Final(orjson.loads(document))


@given(documents, sizes)
def test_the_patches_make_the_value_at_every_point(document: str, lengths: list[int]) -> None:
    parser = PartialParser()
    built: Any = MISSING
    for piece in cut(f"{document}\n", lengths):
        for patch in parser.feed(piece):
            built = apply(built, patch)
        assert built == parser.value
    assert built == orjson.loads(document)


@given(documents, sizes)
def test_patches_are_the_whole_value_even_if_nobody_looks(
    document: str, lengths: list[int]
) -> None:
    parser = PartialParser()
    pieces = cut(f"{document}\n", lengths)
    patches = [patch for piece in pieces for patch in parser.feed(piece)]
    once: Any = MISSING
    again: Any = MISSING
    for patch in patches:
        once, again = apply(once, patch), apply(again, patch)
    assert once == again == parser.value == orjson.loads(document)


@given(documents, sizes)
def test_a_value_only_grows_and_what_is_done_stays(document: str, lengths: list[int]) -> None:
    parser = PartialParser()
    before: Any = MISSING
    done: dict[Path, Any] = {}
    for piece in cut(f"{document}\n", lengths):
        patches = parser.feed(piece)
        now = parser.value
        assert before is MISSING or grew(before, now)
        assert all(patch.path not in done for patch in patches)
        found = {} if now is MISSING else dict(each_path(now))
        for path, value in done.items():
            assert found[path] == value
        for path, value in found.items():
            assert parser.state(path) is not Progress.ABSENT
            if parser.done(path):
                done[path] = deepcopy(value)
            else:
                assert path not in done
                assert isinstance(value, (str, list, dict))
        before = deepcopy(now)
    assert set(done) == {path for path, _ in each_path(orjson.loads(document))}


@given(documents)
def test_every_prefix_gives_a_usable_part_and_a_reason(document: str) -> None:
    whole = orjson.loads(document)
    for end in range(len(document)):
        parser = read(document[:end])
        found = parser.finish()
        assert isinstance(found, Partial)
        assert found.reason
        assert "\n" not in found.reason
        assert found.value is MISSING or grew(found.value, whole)
        assert not parser.done()
        for path, value in () if found.value is MISSING else each_path(found.value):
            if parser.done(path):
                assert value == dict(each_path(whole))[path]


@given(scraps.map("".join), sizes)
@example("[tru", [1] * 4)
@example('["\\ud83d\\q"]', [1] * 20)
@example('["\\ud83d\\u12', [1] * 20)
@example('["\\ud83d\\u1x"]', [1] * 20)
@example('["\ud83d\ude00\ud83d"]', [1] * 20)
@example('["\\ud83d\ude00"]', [1] * 20)
@example("{}\ud83d{", [2])
def test_rubbish_is_read_alike_in_any_pieces(text: str, lengths: list[int]) -> None:
    parser, once = PartialParser(), read(text)
    built: Any = MISSING
    for piece in cut(text, lengths):
        for patch in parser.feed(piece):
            built = apply(built, patch)
        assert built == parser.value
    assert parser.finish() == once.finish()
    assert parser.raw_text == once.raw_text


@given(st.binary(max_size=40) | scraps.map(lambda s: "".join(s).encode(errors="replace")), sizes)
@example(b'{"a": "\xff\xe2\x82"}', [1] * 20)
def test_broken_bytes_are_read_alike_in_any_pieces(data: bytes, lengths: list[int]) -> None:
    parser = PartialParser()
    for piece in cut(data, lengths):
        parser.feed(piece)
    assert parser.finish() == read(data).finish()


blanks = st.text(" \n\r\t", max_size=70)
long_numbers = st.builds(
    lambda before, digits, exponent: f"{before}{digits}{exponent}",
    st.sampled_from(["0.", "-1.", "1", "-9"]),
    st.text("0123456789", max_size=300).filter(lambda digits: len(digits) % 3 == 0),
    st.sampled_from(["", "e1", "E-30", "e+0005"]),
)
bracketed = st.text('{}[]",:1\\né \n', max_size=14)


@given(st.text('{}[]",:1\\ntrue \n', max_size=14))
@example('"{}"')
@example('"[]{')
@example('"[1] \\"')
def test_what_orjson_reads_is_read_alike(text: str) -> None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return
    found = read(text).finish()
    assert found == Final(value) or "comes twice" in getattr(found, "reason", "")


@given(
    st.builds(json.dumps, values | bracketed)
    | st.builds(
        lambda before, first, gap, rest, after: f"{before}[{first}{gap},{rest}]{after}",
        blanks,
        long_numbers | st.builds(json.dumps, scalars | bracketed),
        blanks,
        st.builds(json.dumps, values),
        blanks,
    ),
    sizes,
)
@example("[0." + "1" * 60 + ', {"a":1}]', [])
@example("[1" + " " * 20 + ',{"a":2}]', [2] * 60)
@example("[true" + " " * 16 + ',{"a":2}]', [1] * 60)
@example('"See [] here"', [1] * 60)
@example(' "\\"{}\\\\"', [1] * 60)
def test_any_value_of_json_is_read_as_orjson_reads_it(text: str, lengths: list[int]) -> None:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:  # a number out of range
        return
    parser, built = PartialParser(), MISSING
    for piece in cut(text, lengths):
        for patch in parser.feed(piece):
            built = apply(built, patch)
        assert built == parser.value
    found = parser.finish()
    assert isinstance(found, Final)
    assert orjson.dumps(found.value) == orjson.dumps(value)
    assert found.notes == ()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("Here: [0." + "1" * 60 + ", 2]", [float("0." + "1" * 60), 2]),
        ("[" + "1" * 5000 + "]", [None]),
        ('"Sure": [1]', [1]),
        ('"Sure, {"a": "b"}', {"a": "b"}),
        ('"a\n[1, 2]"', [1, 2]),
        ('"{} is it', {}),
        ('"\\q [1]"', [1]),
    ],
)
def test_what_is_no_string_as_a_whole_is_read_for_what_is_in_it(text: str, value: Any) -> None:
    for length in (1, 2, 9000):
        parser, built = PartialParser(), MISSING
        patches = [
            patch for piece in cut(text, [length] * len(text)) for patch in parser.feed(piece)
        ]
        found = parser.finish()
        assert found == Final(value)
        for patch in [*patches, *found.patches]:
            built = apply(built, patch)
        assert built == value
        assert parser.raw_text == text[: text.index("{" if isinstance(value, dict) else "[")]


def test_a_growing_string_is_seen_at_every_character() -> None:
    parser = PartialParser()
    parser.feed('{"text": ')
    assert parser.value == {}
    assert parser.feed('"') == [Patch(("text",), "set", "")]
    seen = []
    for char in "Steel!":
        assert parser.feed(char) == [Patch(("text",), "append", char)]
        seen.append(parser.value["text"])
    assert seen == ["S", "St", "Ste", "Stee", "Steel", "Steel!"]
    assert parser.state(("text",)) is Progress.GROWING
    assert parser.feed('"') == [Patch(("text",), "done", None)]
    assert parser.done(("text",))
    assert not parser.done()
    assert parser.feed("}") == [Patch((), "done", None)]
    assert parser.done()


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize(
    "cut_off", ['{"a":"x', '{"a":"x\\u00', '{"a', '["a", 1', '["a", oh', "12", '"x']
)
def test_after_the_end_nothing_is_read(cut_off: str, strict: bool) -> None:
    parser = PartialParser(strict=strict)
    parser.feed(cut_off)
    result = parser.finish()
    before = deepcopy(result), parser.raw_text, parser.notes
    for more in ("yz", 'y\\n"', '"}', b"yz", "é", '{"b": 1}'):
        assert parser.feed(more) == []
    assert parser.value is result.value
    assert (parser.finish(), parser.raw_text, parser.notes) == before


def test_a_number_appears_once_and_complete() -> None:
    parser = PartialParser()
    for piece in ('{"hp": 1', "2", ".", "5", "e1"):
        assert all(patch.path == () for patch in parser.feed(piece))
        assert parser.value == {}
        assert parser.state(("hp",)) is Progress.ABSENT
    assert parser.feed(" ") == [Patch(("hp",), "set", 125.0)]
    assert parser.done(("hp",))


def test_one_feed_of_a_whole_document_gives_few_patches() -> None:
    assert PartialParser().feed('{"a": "x\\ny", "b": [true]}') == [
        Patch((), "set", {}),
        Patch(("a",), "set", "x\ny"),
        Patch(("a",), "done", None),
        Patch(("b",), "set", []),
        Patch(("b", 0), "set", True),
        Patch(("b",), "done", None),
        Patch((), "done", None),
    ]


def test_progress_of_paths_that_are_not_there() -> None:
    parser = read('{"a": [1, "x')
    assert parser.state(()) is parser.state(("a",)) is parser.state(("a", 1)) is Progress.GROWING
    assert parser.done(("a", 0))
    for path in (("b",), ("a", 2), ("a", -1), ("a", "x"), ("a", 1, 0), ("a", 0, 0)):
        assert parser.state(path) is Progress.ABSENT
    assert PartialParser().state() is Progress.ABSENT


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Here is the JSON:\n", "\nHope that helps!"),
        ("```json\n", "\n```\n"),
        ("\ufeff \n", "  "),
        ("I take {damage} as [given] and [note] that { it } [falls]: ", "{not this} ]"),
        ("{[", ""),
        ("{{", "}"),
        ("[tru {  ", '{"second": 1}'),
    ],
)
def test_text_around_the_value_is_skipped(before: str, after: str) -> None:
    for length in (1, 3, 200):
        parser = PartialParser()
        document = f'{before}{{"a": [1]}}{after}'
        for piece in cut(document, [length] * len(document)):
            parser.feed(piece)
        if before == "{[":  # a list may well begin with an object
            assert parser.value == [{"a": [1]}]
        else:
            assert parser.finish() == Final({"a": [1]})
            assert parser.raw_text == before


@pytest.mark.parametrize("text", ["", "The goblin falls {damage} times.", "[sigh] {", "[ tru"])
def test_a_text_without_json_is_kept_as_it_is(text: str) -> None:
    parser = PartialParser()
    assert [patch for char in text for patch in parser.feed(char)] == []
    assert parser.value is MISSING
    assert parser.raw_text == text
    found = parser.finish()
    assert isinstance(found, Partial)
    assert found.value is MISSING
    assert found.reason.startswith("no JSON object or array in the text")


@pytest.mark.parametrize("value", ["Ha!", 12, -1.5, True, None])
def test_a_lone_scalar_shows_at_the_end(value: Any) -> None:
    parser = read(f" {json.dumps(value)}\n")
    assert parser.value is MISSING
    assert parser.finish() == Final(value)


def test_what_models_send_beside_the_standard_is_read() -> None:
    document = '{"a": [1, 2,], "b": "two\nlines\tand it\\\'s \\"so\\"\n",\n}'
    for length in (1, 2, 100):
        parser = PartialParser()
        for piece in cut(document, [length] * len(document)):
            parser.feed(piece)
        assert parser.finish() == Final({"a": [1, 2], "b": 'two\nlines\tand it\'s "so"\n'})


@pytest.mark.parametrize(
    ("document", "value", "reason"),
    [
        ('{"a": "fell do', {"a": "fell do"}, "cut off in a string"),
        ('{"a": [1, 2', {"a": [1]}, "cut off before its end"),
        ('{"a": "x\\u00e', {"a": "x"}, "cut off in a string"),
        ('{"a": 1 2}', {"a": 1}, "'2' where a comma or a closing bracket belongs"),
        ('{"a": 1]', {"a": 1}, "']' where a comma or a closing bracket belongs (character 7)"),
        ('{"a" 1}', {}, "'1' where a colon belongs (character 5)"),
        ('{"a": 1, *b: 2}', {"a": 1}, "'*' where a name in quotes belongs"),
        ('["a", nope]', ["a", None], "'nope' is no JSON value"),
        ('["a", nope no]', ["a"], "'nope' is no JSON value"),
        ('["he said "hi" to me"]', ["he said "], "'h' where a comma or a closing bracket belongs"),
        ('["a", "b"', ["a", "b"], "cut off before its end"),
    ],
)
def test_broken_json_gives_the_usable_part_and_a_reason(
    document: str, value: Any, reason: str
) -> None:
    for length in (1, 100):
        parser = PartialParser()
        for piece in cut(document, [length] * len(document)):
            parser.feed(piece)
        found = parser.finish()
        assert isinstance(found, Partial)
        assert found.value == value
        assert reason in found.reason
        if "cut off" not in reason:
            assert parser.feed(" more") == []


@pytest.mark.parametrize(
    "document",
    ['["\\ud83d", 1]', '["\\ude00", 1]', '["\ud83d", 1]', b'["\xff", 1]', b'["\xf0\x9f\x98", 1]'],
)
def test_text_that_is_no_unicode_is_replaced_and_said(document: str | bytes) -> None:
    found = read(document).finish()
    assert isinstance(found, Partial)
    assert set(found.value[0]) == {"\ufffd"}
    assert found.value[1] == 1
    assert "Unicode" in found.reason
    orjson.dumps(found.value)


def test_depth_is_limited() -> None:
    assert read("[" * 256 + "]" * 256).done()
    parser = read('{"a": ' + "[" * 300)
    found = parser.finish()
    assert isinstance(found, Partial)
    assert "nested deeper than 256" in found.reason
    assert "a" in found.value
    assert PartialParser(max_depth=1).feed("[[]]") == [Patch((), "set", [])]


@pytest.mark.parametrize("length", [1, 7, 100])
def test_length_is_limited(length: int) -> None:
    parser = PartialParser(max_length=20)
    document = '{"text": "' + "x" * 50
    for piece in cut(document, [length] * 60):
        parser.feed(piece)
    assert parser.finish() == Partial(
        {"text": "x" * 10}, "longer than 20 characters (character 20)"
    )


def test_a_value_of_just_the_longest_length_is_whole() -> None:
    assert PartialParser(max_length=5).feed("[1,2] and more")[-1] == Patch((), "done", None)


def test_a_patch_can_be_applied_twice_without_sharing() -> None:
    patch = Patch((), "set", {"lines": []})
    one, two = apply(MISSING, patch), apply(MISSING, patch)
    apply(one, Patch(("lines", 0), "set", "Ha!"))
    assert one == {"lines": ["Ha!"]}
    assert two == patch.value == {"lines": []}


class Beat(BaseModel):
    """A telling model of a user's own."""

    headline: str | None = None
    mood: Literal["grim", "merry"] = "grim"
    level: int = Field(default=1, ge=1, le=5)
    lines: list[Line] = []

    @field_validator("level")
    @classmethod
    def odd(cls, level: int) -> int:
        if level == 4:
            raise RuntimeError("four\nis unlucky")
        return level


def test_a_schema_for_structured_output_is_closed_and_asks_for_all() -> None:
    schema = schema_of(Narration)
    assert list(schema["properties"]) == schema["required"] == ["text", "lines", "cues"]
    assert schema["additionalProperties"] is False
    line = schema["$defs"]["Line"]
    assert line["required"] == ["speaker", "text"]
    assert line["additionalProperties"] is False
    assert schema["properties"]["lines"]["items"] == {"$ref": "#/$defs/Line"}


def test_a_schema_says_limits_it_cannot_enforce_in_words() -> None:
    properties = schema_of(Beat)["properties"]
    assert properties["level"] == {"type": "integer", "description": "(maximum: 5, minimum: 1)"}
    assert properties["headline"] == {"anyOf": [{"type": "string"}, {"type": "null"}]}
    assert properties["mood"] == {"type": "string", "enum": ["grim", "merry"]}


def test_a_mapping_with_free_keys_is_refused_by_name() -> None:
    class Loot(BaseModel):
        found: list[dict[str, int]]

    with pytest.raises(ConfigError, match="found is a mapping with free keys"):
        schema_of(Loot)


def test_a_final_value_is_validated_with_a_reason_of_one_line() -> None:
    assert validate_final(Beat, {"level": 3}) == (Beat(level=3), None)
    assert validate_final(Narration, {"text": "a"})[0] == Narration(text="a")
    assert validate_final(Narration, {"lines": [{"speaker": "M"}]}) == (
        None,
        "Narration: text: Field required (and 1 more)",
    )
    assert validate_final(Narration, MISSING) == (None, "no Narration in the answer")
    assert validate_final(Beat, {"level": 4}) == (
        None,
        "Beat: its validator raised RuntimeError: four",
    )
    assert validate_final(Narration, [1])[0] is None
