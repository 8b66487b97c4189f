"""The compiled core says what the one in Python says; without it there is the one in Python.

Where the core is not built most of this is skipped: ``.ci/compiled.py`` runs it where it is.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators import partial_parser
from foretell.operators.partial_compiled import fastest
from foretell.operators.partials import PartialParser

Python = partial_parser.PartialParser
compiled = pytest.mark.skipif(PartialParser.core == "Python", reason="the core is not compiled")

LONG = "n" * 70
texts = st.sampled_from(["", "a", "steel\non stone", 'é😀\\"', "w" * 90, "\u2028", "\x01"])
scalars = texts | st.sampled_from(
    [
        0,
        -1,
        1.5,
        1e-7,
        -0.0,
        5e-324,
        1.7976931348623157e308,
        10**18 - 1,
        -(2**63),
        2**64,
        True,
        None,
    ]
)
names = st.sampled_from(["a", "b", "tool", "é", LONG, 'q"', ""])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(names, inner, max_size=4),
    max_leaves=16,
)
written = st.builds(
    json.dumps, values, ensure_ascii=st.booleans(), indent=st.sampled_from([None, None, 1])
)
SCRAPS = [
    *("{", "}", "[", "]", ",", ":", '"', "\\", "u", "\\u", "\\ud83d", "\\ude00", "\\n", "\\q", "/"),
    *("1", "-", "+", ".5", "e9", "-0", "01", "1e999", "true", "nul", "None", "NaN", ";", "'", "//"),
    *(" ", "\n", "\t", "\x01", "\x7f", "é", "\u2028", "😀", "\ud83d", "\ude00", '"a":', '"a":"b"'),
    *("```json\n", "9" * 70, LONG, '{"a":', "[1,", "{a: 1,"),
]


@st.composite
def sent(draw: st.DrawFn) -> str | bytes:
    """What a model might send: JSON, mostly, with something wrong in it or around it."""
    text = draw(written)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        until = at + draw(st.integers(0, 3))
        text = text[:at] + draw(st.sampled_from(SCRAPS)) + text[until:]
    return text.encode("utf-8", "surrogatepass") if draw(st.booleans()) else text


settings = st.fixed_dictionaries(
    {
        "strict": st.booleans(),
        "expect": st.sampled_from(["any", "object", "array"]),
        "max_depth": st.sampled_from([256, 3]),
        "max_length": st.sampled_from([2**22, 40]),
        "big_ints": st.booleans(),
    }
)


def told(parser: PartialParser, pieces: list[Any], *, look: bool) -> Iterator[Any]:
    """All that can be seen of a reader."""
    for piece in pieces:
        patches = parser.feed(piece)
        assert {type(patch).__name__ for patch in patches} <= {"Patch"}
        yield piece, repr(patches)
        if look:
            yield repr(parser.value), parser.raw_text, parser._growing()
    found = parser.finish()
    yield repr(found), repr(found.value), parser.notes, parser.raw_text, parser.feed("more")


@compiled
@given(sent(), settings, st.lists(st.integers(0, 9), max_size=60), st.booleans())
def test_it_says_the_same(document: Any, how: Any, lengths: list[int], look: bool) -> None:
    pieces, at = [], 0
    for length in lengths:
        pieces.append(document[at : at + length])
        at += length
    pieces.append(document[at:])
    mine = list(told(PartialParser(**how), pieces, look=look))
    assert mine == list(told(Python(**how), pieces, look=look))


ODD = [
    *(
        "[1; 2]",
        "[null;1]",
        "[1, ]",
        '{"a": 1, }',
        "[,1]",
        '{,"a":1}',
        "[1 2]",
        "[1  ]",
        '["a" "b"]',
    ),
    *("[01, -0, -, 1., .5, +1, 1e, 1e5, 1E-2, 0.10, 1e400, 12345678901234567890]", "[tru, nulll]"),
    *('{"a" : [ ] , "b":{ } }', '{"a":{"b":1},"a":2,"c":3}', '{"a" 1}', '{"a":}', "{a:1,b:[2]}"),
    *(r'["\ud83d\ude00\ud83d", "\udc00", "\u00", "\uD83D\n", "\x", 1]', '{"k\\n\u00e9": 1}'),
    *(
        '{"a": "b" // c\n, "d": 1}',
        '["a\nb"]',
        '["é“”\u2028"]',
        '{"é": "é"}',
        '["a"b"]',
        "[[[[1]]]]",
    ),
    *(
        '{"a": 1} {"b": 2}',
        '{"a": 1}, {"a": "x',
        "{'a': 'it''s'}",
        '{"ab":1,"a + b":2}',
        '{"ab":1,"ab":2,"c":3}',
        '{"a":[1,[],2,],"b":{"c":[],}}',
        "[1/**/,2//x\n,true/*y*/]",
        '{"a":1/2}',
        "[1/",
        "see items[0]: [1]",
        '["',
        '["a\\',
        '{"a',
        "[1",
        "[-",
    ),
    *("[[1 ]2]", '{"a":{"b":1 }c:2}', "[{} 1]", '[[1 ]"x"]'),
    *("[1_0 , 2d6+3, attack ,50%]", '{"a":1_0,"b":tru  }', "[1_0 x, {}]", '{"a":foo', "[1_0  "),
    *(
        '{"s":[{"a":1},{"n":1 0,"m":2},{"c":3}],"t":"x"}',
        '[{"a":"b "c" d"},{"c":3},{"n":(x)},{"d":4},{"e":"f',
        '{"a":"5" tall","b":"x, y","c":[1]}',
        '{"a":1}\n{"n":1 0}\n{"c":3}\n',
        '[{"n":{"k":[0]},{"c":3}]',
        '{"s":1 x\n{"k [1] ":2,""}',
        '{"s":1 x\n{"k":2,"n":[{"m":1}],"n [1] "}',
    ),
    *(
        '<think>so [1] or {"a":</think> as in [2, 3]: {"a":1}',
        "<think>{}",
        "it is [1, 2] or {}.",
        '{größe: {"a":1}, "b":2}',
        'the "plan": {"a":1}, as you asked',
        '{"n":1}\n{g: {"k":"}"}, "m":[{"k":2}]}\n{"n":3}\n"m":{"k":4}}',
    ),
]


@compiled
@pytest.mark.parametrize("document", ODD)
def test_it_says_the_same_of_what_is_odd(document: str) -> None:
    hows: list[Any] = [{}, {"strict": True}, {"expect": "array", "max_depth": 3}, {"max_length": 9}]
    for how in hows:
        for size in range(1, len(document) + 1):
            pieces = [document[at : at + size] for at in range(0, len(document), size)]
            mine = list(told(PartialParser(**how), pieces, look=True))
            assert mine == list(told(Python(**how), pieces, look=True))


@compiled
@pytest.mark.parametrize("size", [1, 3, 4, 64])
def test_it_says_the_same_of_a_long_document(size: int) -> None:
    rng = random.Random(7)
    plan = [
        {"tool": rng.choice(["MoveTo", "Wait é"]), "x": rng.uniform(-99, 99), "n": n, LONG: "w" * n}
        for n in range(120)
    ]
    for text in (json.dumps(plan), json.dumps({"text": "a \n b “c” 😀 " * 2000}), "[" * 90):
        pieces: list[Any] = [text[at : at + size] for at in range(0, len(text), size)]
        mine = list(told(PartialParser(), pieces, look=False))
        assert mine == list(told(Python(), pieces, look=False))
        pieces = [*map(str.encode, pieces[::2])]
        mine = list(told(PartialParser(), pieces, look=False))
        assert mine == list(told(Python(), pieces, look=False))


@compiled
def test_what_is_no_text_is_refused_alike() -> None:
    for chunk in (3, None, ["{"]):
        raised = []
        for parser in (PartialParser(), Python()):
            with pytest.raises(TypeError) as refused:
                parser.feed(chunk)  # type: ignore[arg-type]
            raised.append(str(refused.value))
        assert raised[0] == raised[1]
    with pytest.raises(AttributeError):
        object.__new__(PartialParser).feed("{")


@compiled
def test_nothing_is_left_behind() -> None:
    document = json.dumps(
        {"a": ["x\né😀", 1, 2.5, None, {"b": [[], {}]}], LONG: "w" * 300}, indent=1
    )
    odd = '{"a":1,"a":{"x":[1]},\'b\':"q\\q\n", c: 1;"d":[1,,2]} more'

    def rounds() -> int:
        for text in (document, odd, odd[:30], "[[[1]]]", "[1,"):
            for size in (1, 4, 1000):
                parser = PartialParser(max_depth=9 if size == 4 else 2)
                for at in range(0, len(text), size):
                    parser.feed(text[at : at + size])
                parser.finish()
        return sys.getallocatedblocks()

    for _ in range(20):
        rounds()
    before = rounds()
    for _ in range(200):
        after = rounds()
    assert after - before < 100


def test_without_the_compiled_core_there_is_the_one_in_python(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "foretell.operators._partial_core", None)
    assert fastest(Python) is Python
    assert Python.core == "Python"
    assert PartialParser.core in ("Python", "C")
    assert issubclass(PartialParser, Python)
