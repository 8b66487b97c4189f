"""Where reading had to stop, it is taken up again at the end: after the next comma that is certain.

The text up to that comma is lost, and is named; of what lies open, all that ends within it is
closed. A comma is certain if, by brackets and strings, it stands right beside or around the place,
and a member with a quoted name follows, or an object; or else, where a quote that is one too many
has made strings of all that is none, if from it on everything reads as JSON up to the very end of
the value. In a list no other comma may come before it: each element keeps its place.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .partial_brackets import Place
from .partial_kin import SEEN
from .partial_machine import AFTER_ITEM, AFTER_MEMBER, BEFORE, COLON, FIRST_NAME, KEY
from .partial_patches import Patch, Path
from .partial_trials import BEGINS, PIECE, Trials

if TYPE_CHECKING:
    from .partial_parser import PartialParser

__all__ = ["go_on"]

TIMES = 256  # so often it is taken up again
SWALLOWED = re.compile(r"(?:[\]}]\s*(?:,\s*[\[{]?|\n\s*\{)|(?:\A|[,\n])\s*\{)\s*\Z")
BEGUN = re.compile(r"[,\n]\s*(\{\s*)\Z")
BEYOND = re.compile(r"\}\s*[,\n]\s*\{\s*\Z")
BETWEEN = re.compile(r"\}[ \t\r]{0,64}+[,\n]\s{0,64}+\{")


def go_on(m: PartialParser, patches: list[Patch]) -> None:
    """Read the rest of a text in which reading stopped, as far as it is certain what it is."""
    trials = Trials(m)
    for _ in range(TIMES):
        text = "".join(m._tail)
        if not (m._stopped and text) or m._complete or m._dropped is not None:
            return
        boxes = [box for box, _ in m._stack[1:]] + [m._box]
        at = m._tail_at
        if last := _swallowed(m):
            again = _reopened(m, last) + text
            place = trials.around(again, boxes) if BEGINS.match(again) else None
            if place is not None:
                m._lose(_broken_at(m), m._broken, at)
                m._tail_at -= len(again) - len(text)
                _take_up(m, again, place, patches)
                continue
            if BEYOND.search(last[-80:]):
                return  # how many ends of elements are in it is not known
        if begun := trials.begun(m, text, boxes):
            m._notes.setdefault("what stands before an object or array is passed over", at)
            text, m._tail_at = begun
            _take_up(m, text, (len(boxes), 0), patches)
            continue
        if m._back is AFTER_ITEM and text[0] == ":":  # an object without its beginning
            boxes[-2:] = _of_objects(boxes[-2:])
        if read := trials.read(m, text, boxes):
            text, m._tail_at = read + text, at - len(read)
        line = trials.line(m, text, boxes) if m._in_series else None
        place = trials.place(text if line is None else text[:line], boxes)
        if place is None:
            if line is None:
                return
            place = 1, line
        m._lose(_broken_at(m), m._broken, at)
        _take_up(m, text, place, patches)


def _of_objects(boxes: list[Any]) -> list[Any]:
    """Lists in which an object may lie of which the first name is shown as a string."""
    *around, box = boxes
    first = {box[-1]: None} if isinstance(box[-1], str) else {}
    if any(each is not None and type(each) is not dict for each in box[-SEEN:-1]):
        return boxes  # it is a name of the object around a list that does not end
    if not (around and type(around[0]) is list):
        return [*around, [*box[-SEEN:], first]]
    instead = len(box) == 1  # of its bracket there is another
    return [
        [*around[0][-SEEN:], first if instead else {}],
        [*box[-SEEN:], {} if instead else first],
    ]


def _swallowed(m: PartialParser) -> str:
    """The last string or name, if it has the end of an element in it, as it was not closed."""
    if m._back is COLON and SWALLOWED.search(m._name[-80:]):
        return m._name
    last = next(reversed(m._box if type(m._box) is list else m._box.values()), None)
    if isinstance(last, str) and last.strip() == "{":
        return ""  # an object in quotes, of which this is the first one
    return last if isinstance(last, str) and SWALLOWED.search(last[-80:]) else ""


def _reopened(m: PartialParser, last: str) -> str:
    """The comma and the bracket that are in it, if it is known that there are no others."""
    begun = BEGUN.search(last[-80:])
    if begun is None or m._gap or BETWEEN.search(last[: -len(begun[0])]):
        return ""
    return f',{begun[1]}"'


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
