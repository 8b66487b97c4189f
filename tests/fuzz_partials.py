"""A coverage-guided fuzz target of the partial parser; ``python tests/fuzz_partials.py -runs=N``.

It needs ``atheris`` (CPython 3.11 to 3.13 on Linux or macOS) and is no part of the test run. The
first bytes choose mode and pieces; the rest is what a model sent. Whatever that is: nothing
raises, patches make the value at every point, what is done stays, pieces make no difference; and
where the compiled core is built, it says what the one in Python does.
"""

from __future__ import annotations

import sys
from copy import deepcopy
from typing import Any

import orjson

try:
    import atheris  # type: ignore[import-untyped,unused-ignore]
except ImportError:
    atheris = None

if atheris is not None:
    with atheris.instrument_imports(include=["foretell.operators"]):
        from foretell.operators import partial_parser
        from foretell.operators.partials import MISSING, Final, PartialParser, apply
else:
    from foretell.operators import partial_parser
    from foretell.operators.partials import MISSING, Final, PartialParser, apply


def check(data: bytes) -> None:
    """Read ``data`` in pieces and whole; an ``AssertionError`` says what does not hold."""
    if len(data) < 3:
        return
    how, size, other = data[0], 1 + data[1] % 9, 1 + data[2] % 5
    document: Any = data[3:]
    if not how & 1:
        document = document.decode("utf-8", "surrogateescape" if how & 32 else "replace")
        document = document.replace("\udced", "\ud83d")  # halves of pairs, both kinds
    settings: Any = {
        "strict": bool(how & 2),
        "expect": ("any", "object", "array", "any")[how >> 2 & 3],
        "max_length": 60 if how & 16 else 4096,
        "max_depth": 5 if how & 64 else 256,
        "big_ints": data[1] > 127,
    }
    if PartialParser.core == "C":
        python = partial_parser.PartialParser(**settings)
        assert told(PartialParser(**settings), document, size) == told(python, document, size)
    whole = PartialParser(**settings)
    patches = whole.feed(document)
    parser = PartialParser(**settings)
    built: Any = MISSING
    done: dict[Any, bytes] = {}
    at, step = 0, size
    while at < len(document):
        for patch in parser.feed(document[at : at + step]):
            assert patch.path not in done, f"{patch} after it was done"
            built = apply(built, patch)
            if patch.op == "done":
                done[patch.path] = dumped(built, patch.path)
        at, step = at + step, other if step == size else size
        if how & 128:
            assert built == parser.value
    assert built == parser.value
    for path, was in done.items():
        assert dumped(built, path) == was, f"{path} changed after it was done"
        assert parser.done(path)
    found, once = parser.finish(), whole.finish()
    for patch in found.patches:
        built = apply(built, patch)
    assert built == found.value
    again: Any = MISSING
    for patch in [*patches, *once.patches]:
        again = apply(again, patch)
    assert again == once.value
    assert type(found) is type(once)
    assert deepcopy(found) == once
    assert found.notes == once.notes
    assert getattr(found, "position", None) == getattr(once, "position", None)
    assert parser.raw_text == whole.raw_text
    agrees(found, document, settings)


def told(parser: PartialParser, document: Any, size: int) -> str:
    """All that a reader says of ``document``, read in pieces."""
    pieces = [document[at : at + size] for at in range(0, len(document), size)]
    patches = [[*map(tuple, parser.feed(piece))] for piece in pieces]
    found = parser.finish()
    rest = (found.value, found.notes, found.patches, parser.raw_text)
    return repr((patches, rest, getattr(found, "reason", ""), getattr(found, "position", None)))


def dumped(value: Any, path: Any) -> bytes:
    for step in path:
        value = value[step]
    return orjson.dumps(as_orjson(value))


def as_orjson(value: Any) -> Any:
    """``value`` with floats for the integers that orjson cannot write."""
    if isinstance(value, dict):
        return {name: as_orjson(each) for name, each in value.items()}
    if isinstance(value, list):
        return [as_orjson(each) for each in value]
    return float(value) if type(value) is int and not -(2**63) <= value < 2**64 else value


def agrees(found: Any, document: Any, settings: dict[str, Any]) -> None:
    """What orjson reads is read alike, and what it refuses is refused if the reader is strict."""
    try:
        value = orjson.loads(document)
    except orjson.JSONDecodeError:
        assert not (settings["strict"] and isinstance(found, Final)), "strict took what is no JSON"
        return
    limits = ("comes twice", "nested deeper", "longer than", "belongs")
    if isinstance(found, Final):
        if settings["strict"] or settings["expect"] == "any":
            assert orjson.dumps(as_orjson(found.value)) == orjson.dumps(value)
    elif settings["expect"] == "any":
        assert any(word in found.reason for word in limits), found.reason


if __name__ == "__main__":
    atheris.Setup(sys.argv, check)
    atheris.Fuzz()
