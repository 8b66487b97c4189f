"""Makes ``docs/partials-vectors.jsonl``: ``python tests/partials_vectors.py`` (foretell installed).

Each line is one run of the parser, for clients in any language to be tested with. Look at the
difference before you keep it: the file is what others rely on.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from foretell.operators.partials import MISSING, Partial, PartialParser, Patch

FILE = Path(__file__).resolve().parent.parent / "docs" / "partials-vectors.jsonl"
NARRATION = (
    '{"text":"The goblin falls.","lines":[{"speaker":"Mira","text":"Ha!"}],"cues":["steel"]}'
)
PLANS = (
    '{"plans":[{"agent":"goblin-1","steps":[{"tool":"MoveTo","x":12.5,"y":-3,"why":"cover"},'
    '{"tool":"Wait","turns":1}]},{"agent":"goblin-2","steps":[]}]}'
)
ESCAPES = r'{"a\n\"b":"\u00e9\ud83d\ude00 \\ \/ \t","c":"plain"}'
SCALARS = "[0,-0.0,1e3,12.5,9007199254740993,18446744073709551616,true,false,null]"
UNICODE = '{"é":"“Stahl” – 😀","__proto__":{"a":"b"},"":0}'
CUT = '{"plans":[{"agent":"goblin-1","steps":[{"tool":"MoveTo","x":12'

TOLERANT = {
    "preamble and fence": 'Sure, {x}:\n```json\n{"a": [1, 2]}\n```\nDone.',
    "fence not closed": '```json\n{"a": "b"}\n',
    "trailing commas": '{"a": [1, 2, ], "b": 3, }',
    "commas too many": "[1,, 2]",
    "no commas": '[{"a": 1}\n{"a": 2} "x" "y"]',
    "semicolons": '[{"a": 1}; {"a": 2}]',
    "single quotes": "{'tool': 'Wait'}",
    "apostrophe": "{'text': 'it's \"so\"'}",
    "bare names": "{tool: 'MoveTo', x: 1}",
    "smart quotes": "{“a”: “b”}",
    "python words": "[True, False, None]",
    "no numbers": "[NaN, Infinity, -Infinity, 1e999]",
    "odd numbers": "[+1, 01, .5, 5.]",
    "comments": '{"a": 1, // one\n /* two */ "b": 2}',
    "raw line break": '{"text": "one\ntwo\tthree"}',
    "odd escapes": r'["C:\users \q \ud83d"]',
    "name twice": '{"a": "x", "a": {"b": 1}, "c": 2}',
    "no value": '{"a": , "b": 2}',
    "two values": '{"a": 1}\n{"b": 2}',
    "footnote first": 'See [1]: {"a": 1}',
    "wrong bracket": '{"a": [1, 2}, "b": 3}',
    "quotes within": '[{"say": "a "b" c"}, 1]',
    "unreadable word": '{"a": 1, "b": nope, "c": 2}',
    "unreadable words in a list": "[1, 2d6 , 3]",
    "a step that breaks": '{"steps": [{"a": 1}, {"n": 1 000, "m": 2}, {"c": 3}], "t": "x"}',
    "steps that break": '{"s": [{"a": "b "c" d"}, {"c": 3}, {"n": (x)}, {"d": 4}, {"e": "f',
    "a quote too many": '{"a": "5" tall", "b": "x, y", "c": [1]}',
    "a later value": '{"a": "b", oh no\n{"a": "b", "c": [1]}',
    "a later value that differs": '{"a": 1, oh no\n{"a": 2}',
    "a brace too many": '[{"a": 1}, {{"b": 2}, {"c": 3}]',
    "a brace too few": '[{"a": 1}, "b": 2}, {"c": 3}]',
    "a bracket that begins nothing": "[1 2 3]",
    "no json": "The goblin falls {damage} times.",
    "lone string": '"Ha!"',
    "lone number in a fence": "```\n12\n```",
    "cut in a string": '{"text": "The gob',
    "cut in an escape": r'{"text": "x\ud83d\ud',
    "cut in a number": CUT,
    "cut in a name": '{"a": 1, "b',
    "empty": "",
}
STRICT = {
    "object": PLANS,
    "lone string": '"Ha!"',
    "lone null": " null ",
    "prose before": 'Here: {"a": 1}',
    "prose after": '{"a": 1} x',
    "trailing comma": "[1, 2,]",
    "raw line break": '["a\nb"]',
    "odd escape": r'["a\q"]',
    "half a pair": r'["a\ud83d"]',
    "name twice": '{"a": 1, "a": 2}',
    "leading zero": "[01]",
    "cut": '{"a": "b',
}
SERIES = {
    "lines": '{"a": 1}\n{"a": 2}\n',
    "commas": 'Steps: {"a": 1}, {"a": 2}',
    "cut": '{"a": 1}\n{"a": "x',
    "array": '[{"a": 1}]\n{"a": 2}',
    "a line that is no object": '{"a": 1}\n{a 2}\n{"a": 3}',
    "a first line that is no object": '{a 1}\n{"a": 2}',
    "a line that breaks": '{"a": "5" x"},\n{"a": 2, "b": 3}',
    "cut at a line's beginning": '{"a": 1}\n{',
}
LIMITS = {"max_depth": 2, "max_length": 16}


def cases() -> Iterator[tuple[str, dict[str, Any], list[str | bytes]]]:
    """Name, settings and chunks of each vector."""
    for name, text in {"narration": NARRATION, "plans": PLANS, "escapes": ESCAPES,
                       "scalars": SCALARS, "unicode": UNICODE}.items():  # fmt: skip
        for size in (1, 4, 1000):
            yield f"{name}, {size} at a time", {}, pieces(text, size)
        yield f"{name}, 3 bytes at a time", {}, pieces(text.encode(), 3)
    for name, text in TOLERANT.items():
        yield f"tolerant: {name}", {}, pieces(text, 3)
    for name, text in STRICT.items():
        yield f"strict: {name}", {"strict": True}, pieces(text, 5)
    for name, text in SERIES.items():
        yield f"series: {name}", {"expect": "array"}, pieces(text, 4)
    yield "object after a footnote", {"expect": "object"}, pieces('See [1]: {"a": [1]}', 4)
    yield "not utf-8", {}, [b'{"a": "x\xff', b"y\xf0\x9f", b'z"}']
    yield "nested too deep", LIMITS, ["[[[1]]]"]
    yield "too long", LIMITS, pieces('["0123456789abcdefgh"]', 8)
    yield "empty chunks", {}, ["", '{"a"', "", ': "', "", 'b"', "", "}", ""]


def pieces(whole: Any, size: int) -> list[Any]:
    return [whole[at : at + size] for at in range(0, len(whole), size)]


def lines() -> Iterator[bytes]:
    """The lines of the file, as the parser makes them now."""
    for name, settings, chunks in cases():
        parser = PartialParser(**settings)
        steps = []
        for chunk in chunks:
            patches = parser.feed(chunk)
            step: dict[str, Any] = {"chunk": chunk, "patches": [*map(as_json, patches)]}
            if isinstance(chunk, bytes):
                step["chunk"] = {"base64": base64.b64encode(chunk).decode()}
            if parser.value is not MISSING:
                step["value"] = orjson.loads(orjson.dumps(parser.value))
            steps.append(step)
        result = parser.finish()
        finish: dict[str, Any] = {"patches": [*map(as_json, result.patches)]}
        if result.value is not MISSING:
            finish["partial" if isinstance(result, Partial) else "final"] = result.value
        if isinstance(result, Partial):
            finish |= {"reason": result.reason, "position": result.position}
        finish["notes"] = [*map(list, result.notes)]
        vector = {"name": name, "settings": settings, "steps": steps, "finish": finish}
        yield orjson.dumps(vector) + b"\n"


def as_json(patch: Patch) -> Any:
    return orjson.loads(patch.to_json())


if __name__ == "__main__":
    FILE.write_bytes(b"".join(lines()))
