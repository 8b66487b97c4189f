"""What brackets and strings say of a text that cannot be read: what lies in what, and beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

__all__ = [
    "FEW",
    "NAME",
    "Names",
    "Next",
    "Place",
    "beside",
    "commas",
    "first_object",
    "names_in",
    "next_member",
    "next_object",
]

Place = tuple[int, int]
"""How many boxes stay open, and where in the text it goes on."""

NAME = r'"[^"\\\n]{0,64}"\s*:'
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|\\.|[\[\]{},]', re.DOTALL)
MEMBER = re.compile(rf",\s*{NAME}")
OBJECT = re.compile(rf",\s*\{{\s*(?:{NAME}|\}})")
BEGINS_OBJECT = re.compile(rf"\{{\s*{NAME}")
LONGEST = 1 << 12  # so many characters of an object are looked at
GAP = 64
DEEPEST = 512  # no value is deeper
NEAR = range(-1, -9, -1)  # so many brackets one of another kind may close
FEW = r"(?![\w$-]{1,64}\s*[:=])[^\"'\[\]{},\n]{0,16}"  # what may stand before an object by mistake
COMMA = re.compile(",")
PART = re.compile(
    rf'"((?:[^"\\]++|\\.)*+)(?:"(\s*:)?|\\?\Z)|[,;\n]\s{{0,64}}+{FEW}\{{(?:\s*\{{)?|[\[{{(\]}})]',
    re.DOTALL,
)
VALUE_FOLLOWS = re.compile(r"[:=]\s*\Z")
WITH_OBJECT = re.compile(r"\s*(?=\{)")
COMMA_BEFORE = re.compile(r",\s*\Z")
OBJECT_BEGINS = re.compile(r"""\{\s*(?:["'“”„]|[\w$-]{1,64}\s*[:：])""")
GOES_ON = re.compile(r'\s*,\s*"[^"\\\n]{0,64}"\s*:')
OPENS = {"}": "{", "]": "[", ")": "("}


class Next(NamedTuple):
    """Where the next object beside a place begins, or around it."""

    comma: int
    """Where the comma or the end of the line before it stands."""
    bracket: int
    names: set[str]
    """Those that stand before it, and in nothing."""


def _close(inside: list[str], bracket: str) -> bool:
    """A bracket closes what it can, a brace all that is in an object; whether that is nothing."""
    if bracket == "}":
        while inside:
            if inside.pop() == "{":
                return False
        return True
    size = len(inside)
    for at in NEAR:
        if at < -size or inside[at] == "{":
            break
        if inside[at] == OPENS[bracket]:
            del inside[at:]
            return False
    return not inside


def next_object(text: str) -> Next | None:
    """The first one that lies in nothing which begins in ``text``."""
    inside: list[str] = []
    beyond = 0
    names: set[str] = set()
    for found in PART.finditer(text):
        part = found[0]
        if part[0] == '"':
            if found[2] and not inside and beyond < 2:
                names.add(found[1])
        elif part[0] in ",;\n":
            pos = found.start()
            if not inside and not VALUE_FOLLOWS.search(text, max(0, pos - GAP), pos):
                return Next(pos, found.end() - 1, names)
            inside += "{" * part.count("{")
        elif part in OPENS:
            beyond += _close(inside, part)
        else:
            inside.append(part)
            if len(inside) > DEEPEST:
                break
    return None


def next_member(text: str) -> tuple[int | None, int]:
    """Where the comma before the next name with an object stands, and where that object begins.

    If there is none, how far it was looked for.
    """
    inside: list[str] = []
    for found in PART.finditer(text):
        part = found[0]
        if part[0] == '"':
            member = None if inside or not found[2] else WITH_OBJECT.match(text, found.end())
            pos = found.start()
            if member and (comma := COMMA_BEFORE.search(text, max(0, pos - GAP), pos)):
                return comma.start(), member.end()
        elif part[0] in ",;\n" and not inside:
            return None, found.end()
        elif part in OPENS:
            _close(inside, part)
        else:
            inside += "{" * part.count("{") or part
            if len(inside) > DEEPEST:
                return None, found.end()
    return None, len(text)


def commas(text: str, start: int, end: int, elements: bool) -> Iterator[int]:
    """Those in no element that begins in ``text``: in no object but the value of a name."""
    parts = PART.finditer(text, 0, min(end, LONGEST) if elements else 0)
    within, after = _beside(parts, text, end)
    for found in COMMA.finditer(text, start, end):
        while found.start() >= after:
            within, after = _beside(parts, text, end)
        if found.start() < within:
            yield found.start()


def _beside(parts: Iterator[re.Match[str]], text: str, upto: int) -> tuple[int, int]:
    """Where the next object begins, and where it ends."""
    inside: list[str] = []
    begins = 0
    for found in parts:
        part, pos = found[0], found.start()
        if part[0] == '"':
            continue
        if part in OPENS:
            _close(inside, part)
            if not inside and begins:
                return begins, found.end()
        elif inside or OBJECT_BEGINS.match(text, found.end() - 1):
            if not inside:
                begins = 0 if VALUE_FOLLOWS.search(text, max(0, pos - GAP), pos) else pos + 1
            inside += "{" * part.count("{") or part
            if len(inside) > DEEPEST:
                break
    return begins if inside and begins else upto, upto + 1


class Names(NamedTuple):
    """The names of an object, though it may break."""

    own: set[str]
    within: set[str]
    """Those of objects in it."""
    end: int
    """Where in the text it ends."""


def names_in(text: str, bracket: int, *, whole: bool = False) -> Names:
    """The names of the object that begins at ``bracket``; ``whole``: up to its first end."""
    inside: list[str] = []
    names: set[str] = set()
    within: set[str] = set()
    end = bracket
    for found in PART.finditer(text, bracket, bracket + LONGEST):
        part, end = found[0], found.end()
        if part[0] == '"':
            if found[2] and inside in (["{"], ["{", "["]):  # a list has no names, so it is over
                names.add(found[1])
            elif found[2] and inside == ["{", "{"]:
                within.add(found[1])
        elif part in OPENS:
            _close(inside, part)
            if not inside:
                if whole or not GOES_ON.match(text, end):
                    break
                inside = ["{"]  # it was the end of something in it
        else:
            inside += "{" * part.count("{") or part
    return Names(names, within, end)


def beside(text: str, boxes: list[Any], upto: int) -> Place | None:
    """The comma beside the place or around it, as brackets and strings say."""
    depth = len(boxes) - 1
    inner: list[str] = []
    for found in TOKEN.finditer(text, 0, upto + 1):
        char, in_list = found[0], type(boxes[depth]) is list
        if char in "[{":
            inner.append("]" if char == "[" else "}")
        elif char in "]}":
            if inner:
                closes = inner.pop()
            else:
                closes = "]" if in_list else "}"
                depth -= 1
            if char != closes or depth < 0:
                return None
        elif char == "," and not inner:
            if (OBJECT if in_list else MEMBER).match(text, found.start()):
                return depth + 1, found.start()
            if in_list:
                return None
    return None


def first_object(text: str, upto: int) -> int:
    """Where the object ends with which the text begins; 0 if it begins with none."""
    if not BEGINS_OBJECT.match(text):
        return 0
    depth = 0
    for each in TOKEN.finditer(text, 0, upto):
        depth += (each[0] in "[{") - (each[0] in "]}")
        if depth == 0:
            return each.end()
    return upto
