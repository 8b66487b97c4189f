"""Where a text certainly goes on after a place that cannot be read; the search is bounded."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from .partial_brackets import (
    FEW,
    NAME,
    Place,
    beside,
    commas,
    first_object,
    names_in,
)
from .partial_kin import element, kin, labelled, member
from .partial_machine import (
    AFTER_ITEM,
    AFTER_MEMBER,
    COLON,
    FIRST_IN_LIST,
    FIRST_NAME,
    ITEM,
    KEY,
    SCALAR,
    VALUE,
)
from .partial_series import WIDEST

if TYPE_CHECKING:
    from .partial_parser import PartialParser

__all__ = ["BEGINS", "LEAST", "PIECE", "Trials"]

Look = Callable[[str, list[Any]], tuple[Place | None, int]]

AT_VALUE = (ITEM, FIRST_IN_LIST, VALUE, SCALAR)
LEAST = 1 << 18  # what looking for a place may cost, in characters, beside those of the text
TRIAL = 256  # and what it costs to begin
PIECE = 1 << 12
GAP = 64
AROUND = " \t\n\r,`"
BEGINS = re.compile(rf",\{{\s*{NAME}")
BRACES = r"\{\s*+(?:\{\s*+)?"
NEXT_OBJECT = re.compile(rf"[,;]\s*+{FEW}{BRACES}(?:{NAME}|\}})|\n[ \t\r]*+{BRACES}{NAME}")
TO_BOX = re.compile(r"""[^"'\[\]{},\n]{0,16}(?=[\[{])""")
TO_LINE = re.compile(
    rf"(?![^\n]{{0,160}}{NAME})[^{{}}\n]{{0,160}}\n\s*(?=\{{)"
)  # words, up to an object
WITHIN = re.compile(r"[\[{(:,]\s*\Z")  # what begins after it, even on a new line, belongs to it
NO_LIST = re.compile(r"[\[(:]\s*\Z")  # the same where no list is open: there it is no element's
OVER = re.compile(r"[ \t\r]*(?:\n\s*+(?![,\]}])|`|\Z)")
OTHERS = re.compile(r"[ \t\r]*,")


def line_of(margin: str) -> re.Pattern[str]:
    """Where the next of objects one after another begins a line; a bullet is the group in it."""
    return re.compile(rf"\n{margin}\{{\s*+{NAME}")


def _is_of_objects(box: Any) -> bool:
    return type(box) is list and bool(box) and type(box[-1]) is dict


class Trials:
    """Looks for the place to go on from; what that costs is bounded."""

    def __init__(self, m: PartialParser) -> None:
        self._parser = type(m)
        self._depth = m._max_depth
        self._in_series = m._in_series
        self._line = line_of(m._margin)
        self._after_comma = re.compile(rf"[^\n]*,[ \t\r]*(?={self._line.pattern})")
        self._left = LEAST + sum(map(len, m._tail))

    def begun(self, m: PartialParser, text: str, boxes: list[Any]) -> tuple[str, int] | None:
        """The text as it would be without what stands right before the beginning of an object."""
        before, rest = ",", ""
        if m._back is FIRST_NAME and not m._box and text[0] == "{":
            rest = text[1:]
        elif (m._back in AT_VALUE or (m._back is AFTER_ITEM and type(m._box[-1]) is dict)) and (
            found := TO_BOX.match(text) or (type(m._box) is list and TO_LINE.match(text))
        ):
            rest = text[found.end() :]
            if type(m._box) is dict:
                before = f",{json.dumps(m._name)}:"
        elif m._back is AFTER_ITEM and text[0] == ":" and labelled(boxes, text):
            rest = text[1:].lstrip()
        if not rest:
            return None
        text, at = before + rest, m._tail_at + len(text) - len(rest) - len(before)
        if not (self._certain(boxes, text, 0) or self._is_kin(m, boxes, text)):
            return None
        if type(m._box) is list:
            m._back = AFTER_ITEM  # nothing of the element is lost
        return text, at

    def _is_kin(self, m: PartialParser, boxes: list[Any], text: str) -> bool:
        """Whether an object begins there that is of the innermost list."""
        if m._back is FIRST_NAME:
            boxes, text = boxes[:-1], ",{" + text[1:]
        if not (text.startswith(",{") and boxes and type(boxes[-1]) is list):
            return False
        return kin(boxes, names_in(text, 1), here=True) == len(boxes)

    def around(self, text: str, boxes: list[Any]) -> Place | None:
        """In which list the object is with which the text begins, after a comma."""
        certain = (
            depth
            for depth in range(len(boxes), 0, -1)
            if type(boxes[depth - 1]) is list and self._certain(boxes[:depth], text, 0)
        )
        found = next(certain, None) or kin(boxes, names_in(text, 1))
        return None if found is None else (found, 0)

    def read(self, m: PartialParser, text: str, boxes: list[Any]) -> str:
        """What stands before the place and may be of a box around: a comma, or the end of a line.

        Of objects one after another the next may begin there. If it begins no line, or if a list
        is open or an object that has no name yet, only if from there on there is nothing else.
        """
        after_comma = m._back is KEY and m._after_comma
        comma = "," if after_comma else ""
        if not self._in_series:
            gap = m._gap > (m._back is COLON) if m._back in (AFTER_MEMBER, COLON) else False
            return "\n" if text[0] == "{" and gap else comma
        if m._back not in (KEY, AFTER_MEMBER, AFTER_ITEM, FIRST_NAME, COLON):
            return ""
        line = "\n" + " " * min(m._gap - 2, WIDEST + 1)
        begins = self._line.match(line + text) if m._gap > 1 else None
        if begins and begins.lastindex:
            return line
        first, lists = m._back is FIRST_NAME, any(type(box) is list for box in boxes[1:])
        if first and begins is None:
            return ""
        if begins and not (lists or first):
            return line
        likely = not (lists and after_comma) if begins else text[0] == "{" and not lists
        if likely and (after_comma or m._gap) and self._is_list(text, 0):
            return line if begins else "\n"
        return comma

    def line(self, m: PartialParser, text: str, boxes: list[Any]) -> int | None:
        """Where the next of objects one after another begins a line."""
        start = int(m._back is AFTER_MEMBER)  # nothing begins with what stands there
        lists = sum(type(box) is list for box in boxes[1:])
        first = 0 if lists else text.find("[", start)
        pos = self.find(self._line, text, start, len(text) if first < 0 else first)
        if (found := self._after_comma.match(text)) and (pos is None or found.end() < pos):
            closed = found[0].count("]") - found[0].count("[") >= lists
            if closed and (found.lastindex or self._is_list(text, found.end())):
                return found.end()
        return pos

    def find(
        self, wanted: re.Pattern[str], text: str, start: int = 0, no_list: int = 0
    ) -> int | None:
        """Where what is wanted begins first, beside or around the place and not within.

        :param start: from where on it can be within something.
        :param no_list: up to where no list can be open.
        """
        if self._left <= 0:
            return None
        for found in wanted.finditer(text):
            self._left -= 16
            pos = found.start()
            within = NO_LIST if pos < no_list else WITHIN
            if pos == 0 or text[pos] == "," or found.lastindex:
                break
            if not within.search(text, max(start, pos - GAP), pos):
                break
            if self._left <= 0:
                return None
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
        return (
            beside(text, boxes, upto)
            or self._paid(member, text, boxes)
            or self._before(text, boxes, upto)
            or self._paid(element, text, boxes)
            or self._beyond(text, boxes, upto)
        )

    def _paid(self, look: Look, text: str, boxes: list[Any]) -> Place | None:
        """What is found, if it can be paid how far it was looked for."""
        if self._left <= 0:
            return None
        place, seen = look(text, boxes)
        self._left -= seen // 4
        return place if self._left > 0 else None

    def _beyond(self, text: str, boxes: list[Any], upto: int) -> Place | None:
        """The comma beside or around the place, past objects within what is lost."""
        self._left -= (len(text) - upto) // 4
        found = beside(text, boxes, len(text)) if self._left > 0 and upto < len(text) else None
        if found is not None and self._certain(boxes[: found[0]], text, found[1]):
            return found
        return None

    def _before(self, text: str, boxes: list[Any], upto: int) -> Place | None:
        """The comma before what is JSON up to its end, and in which box it is."""
        within = NEXT_OBJECT.search(text, 0, upto) if any(map(_is_of_objects, boxes)) else None
        inside = upto if within is None else within.start()
        depths = range(len(boxes), int(self._in_series), -1)
        named = [depth for depth in depths if type(boxes[depth - 1]) is dict]
        first = text.find(",", 0, upto + 1)
        # What is in an object is of no other, and of a list none is passed over.
        after = first_object(text, upto)
        next_object = 0 if after else upto
        elements = any(type(box) is list for box in boxes)  # what begins may be the next one
        found = islice(commas(text, after, inside, elements), None if named else 1)
        for pos in chain((next_object,), found) if after else chain(found, (upto,)):
            for depth in depths if pos in (first, next_object) else named:
                box = boxes[depth - 1]
                if type(box) is list and pos != (next_object if _is_of_objects(box) else first):
                    continue
                if self._certain(boxes[:depth], text, pos):
                    return depth, pos
                if self._left <= 0:
                    return None
        return None

    def _certain(self, boxes: list[Any], text: str, pos: int) -> bool:
        """Whether, read from ``pos`` on within such boxes, all is JSON up to the value's end."""
        inner = boxes[self._in_series :]
        reader, end = self._read(inner, text, pos)
        if not (inner and reader._complete):
            return False
        if OVER.match(text, end):
            return True
        if not (self._in_series and OTHERS.match(text, end)):
            return False
        return self._is_list(text, end)  # more objects after it, and not of a list within

    def _is_list(self, text: str, pos: int) -> bool:
        """Whether from ``pos`` on all is values with commas, of a list that does not end."""
        reader, _ = self._read([[]], text.rstrip(AROUND), pos)
        return not (reader._complete or reader._stopped) and self._left > 0

    def _read(self, boxes: list[Any], text: str, pos: int) -> tuple[PartialParser, int]:
        """Read on from ``pos`` within such boxes; and where the value, or the text, ends."""
        reader = self._parser(max_depth=self._depth)
        before = "".join("[" if type(box) is list else '{"":' for box in boxes) + "0"
        before += "" if text[pos : pos + 1] == "," else ","
        reader.feed(before)
        start, size = pos - len(before), 64
        self._left -= TRIAL + 4 * len(before)
        while pos < len(text) and not (reader._complete or reader._stopped or self._left <= 0):
            piece = text[pos : pos + size]
            reader.feed(piece)
            pos += len(piece)
            self._left -= len(piece)
            size = min(2 * size, PIECE)
        reader._catch_up()
        return reader, pos if reader._end is None else start + reader._end
