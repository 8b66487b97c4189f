"""Where reading had to stop, it is taken up again at the end: after the next comma that is certain.

The text up to that comma is lost, and is named; of what lies open, all that ends within it is
closed. A comma is certain if, by brackets and strings, it stands right beside or around the place,
and a member with a quoted name follows, or an object; or else, where a quote that is one too many
has made strings of all that is none, if from it on everything reads as JSON up to the very end of
the value. In a list no other comma may come before it: each element keeps its place.
"""

from __future__ import annotations

import re
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .partial_machine import AFTER_ITEM, AFTER_MEMBER, BEFORE, COLON, FIRST_NAME, KEY
from .partial_patches import Patch, Path

if TYPE_CHECKING:
    from .partial_parser import PartialParser

__all__ = ["go_on"]

Place = tuple[int, int]
"""How many boxes stay open, and where in the text it goes on."""

TIMES = 256  # so often it is taken up again
LEAST = 1 << 18  # what looking for a place may cost, in characters, beside those of the text
TRIAL = 256  # and what it costs to begin
PIECE = 1 << 12
GAP = 64
NAME = r'"[^"\\\n]{0,64}"\s*:'
TOKEN = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)|[\[\]{},]', re.DOTALL)
COMMA = re.compile(",")
MEMBER = re.compile(rf",\s*{NAME}")
OBJECT = re.compile(rf",\s*\{{\s*(?:{NAME}|\}})")
NEXT_OBJECT = re.compile(rf"{OBJECT.pattern}|\n[ \t\r]*+\{{\s*+{NAME}")
SWALLOWED = re.compile(r"[\]}]\s*(?:,\s*[\[{]?|\n\s*\{)\s*\Z")
LINE = re.compile(rf"\n\{{\s*+{NAME}")  # of objects one after another
WITHIN = re.compile(r"[\[{(:,]\s*\Z")  # what begins after it, even on a new line, belongs to it
OVER = re.compile(r"[ \t\r]*(?:\n\s*+(?![,\]}])|`|\Z)")
OVER_IN_SERIES = re.compile(r"[ \t\r]*(?:\n\s*+(?![,\]}])|[`,]|\Z)")


def go_on(m: PartialParser, patches: list[Patch]) -> None:
    """Read the rest of a text in which reading stopped, as far as it is certain what it is."""
    trials = _Trials(m)
    for _ in range(TIMES):
        text = "".join(m._tail)
        if not (m._stopped and text) or m._complete or m._dropped is not None:
            return
        boxes = [box for box, _ in m._stack[1:]] + [m._box]
        if _has_swallowed(m):
            return
        at = m._tail_at
        if read := _has_been_read(m, text, boxes):
            text, m._tail_at = f"{read}{text}", at - 1
        line = trials.find(LINE, text) if m._in_series else None
        place = trials.place(text if line is None else text[:line], boxes)
        if place is None:
            if line is None:
                return
            place = 1, line
        m._lose(_broken_at(m), m._broken, at)
        _take_up(m, text, place, patches)


def _has_swallowed(m: PartialParser) -> bool:
    """Whether the last string or name has the end of an element in it: nobody knows of how many."""
    if m._back is COLON and SWALLOWED.search(m._name[-80:]):
        return True
    last = next(reversed(m._box if type(m._box) is list else m._box.values()), None)
    return isinstance(last, str) and SWALLOWED.search(last[-80:]) is not None


def _has_been_read(m: PartialParser, text: str, boxes: list[Any]) -> str:
    """What stands before the place and may be of a box around: a comma, or the end of a line."""
    after_comma = m._back is KEY and m._after_comma
    if text[0] == "{" and (after_comma or (m._back is AFTER_MEMBER and m._gap)):
        if m._in_series and len(boxes) == 2:
            return "\n"
        if not m._in_series and not after_comma:
            return "\n"
    return "," if after_comma else ""


def _is_of_objects(box: Any) -> bool:
    return type(box) is list and bool(box) and type(box[-1]) is dict


def _beside(text: str, boxes: list[Any], upto: int) -> Place | None:
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


class _Trials:
    """Looks for the place to go on from; what that costs is bounded."""

    def __init__(self, m: PartialParser) -> None:
        self._parser = type(m)
        self._depth = m._max_depth
        self._in_series = m._in_series
        self._left = LEAST + sum(map(len, m._tail))

    def find(self, wanted: re.Pattern[str], text: str) -> int | None:
        """Where what is wanted begins first, beside or around the place and not within."""
        if self._left <= 0:
            return None
        for found in wanted.finditer(text):
            pos = found.start()
            if pos == 0 or text[pos] == "," or not WITHIN.search(text, max(0, pos - GAP), pos):
                break
        else:
            pos = None
        self._left -= (len(text) if pos is None else pos) // 4
        return pos

    def place(self, text: str, boxes: list[Any]) -> Place | None:
        """Where to go on, if that is certain."""
        upto = self.find(NEXT_OBJECT, text) if any(map(_is_of_objects, boxes)) else None
        if self._left <= 0:
            return None
        if upto is None:
            upto = len(text)
        return _beside(text, boxes, upto) or self._before(text, boxes, upto)

    def _before(self, text: str, boxes: list[Any], upto: int) -> Place | None:
        """The comma before what is JSON up to its end, and in which box it is."""
        outside, over = (1, OVER_IN_SERIES) if self._in_series else (0, OVER)
        depths = range(len(boxes), outside, -1)
        named = [depth for depth in depths if type(boxes[depth - 1]) is dict]
        first = text.find(",", 0, upto + 1)
        commas = islice(COMMA.finditer(text, 0, upto), None if named else 1)
        for pos in chain(map(re.Match.start, commas), (upto,)):
            for depth in depths if pos in (first, upto) else named:
                box = boxes[depth - 1]
                if type(box) is list and pos != (upto if _is_of_objects(box) else first):
                    continue
                end = self._end(boxes[outside:depth], text, pos)
                if end is not None and over.match(text, end):
                    return depth, pos
                if self._left <= 0:
                    return None
        return None

    def _end(self, boxes: list[Any], text: str, pos: int) -> int | None:
        """Where the value ends, if it does, read from ``pos`` on within such boxes."""
        reader = self._parser(max_depth=self._depth)
        before = "".join("[" if type(box) is list else '{"":' for box in boxes) + "0"
        before += "" if text[pos : pos + 1] == "," else ","
        reader.feed(before)
        start, size = pos - len(before), 64
        self._left -= TRIAL + 4 * len(before)
        while pos < len(text) and not (reader._stopped or self._left <= 0):
            piece = text[pos : pos + size]
            reader.feed(piece)
            pos += len(piece)
            self._left -= len(piece)
            if reader._complete:
                return pos if reader._end is None else start + reader._end
            size = min(2 * size, PIECE)
        return None


def _take_up(m: PartialParser, text: str, place: Place, patches: list[Patch]) -> None:
    """Go on from ``place``; what was open within it is over."""
    depth, pos = place
    if len(m._stack) == depth and type(m._box) is list and m._back is not AFTER_ITEM:
        patches.append(Patch(m._place_path(), "set", None))
        m._place(None)
    while len(m._stack) > depth:
        patches.append(Patch(m._path, "done", None))
        m._box, m._path = m._stack.pop()
    m._stopped = m._ended = False
    m._step = AFTER_ITEM if type(m._box) is list else AFTER_MEMBER
    if m._in_series and depth == 1:
        m._step = BEFORE
    m._tail = []
    m._high, m._decoder = "", None  # they were of the end
    m._until, m._room = m._tail_at + pos, 0
    while pos < len(text) and not m._stopped:
        patches += m.feed(text[pos : pos + PIECE])
        pos += PIECE
    if m._stopped:
        m._tail.append(text[pos:])
    else:
        m._read_rest(patches)


def _broken_at(m: PartialParser) -> Path:
    """What was being read where reading stopped."""
    if type(m._box) is list:
        return (*m._path, len(m._box) - (m._back is AFTER_ITEM))
    if m._back in (KEY, FIRST_NAME):
        return m._path
    return (*m._path, next(reversed(m._box)) if m._back is AFTER_MEMBER else m._name)
