"""The states of a reader of streaming JSON, one token at a time: all that is not a fast path.

Each state reads some of the text from a position on and returns the position after it. A state that
needs to see more before it can decide holds the text back, and reads it again with what comes next.
"""

from __future__ import annotations

from typing import Any

from . import partial_before as before
from . import partial_lone as lone
from . import partial_repair as repair
from . import partial_series as series
from .partial_patches import MISSING, Patch, Path
from .partial_reading import Expect, Step
from .partial_scalars import Scalars
from .partial_text import (
    FIRST_ITEM,
    FIRST_MEMBER,
    NEXT_ITEM,
    NEXT_MEMBER,
    SPACE,
    begin,
)

__all__ = ["Machine"]

BLANK = " \t\n\r"


class Machine(Scalars):
    """The states that read on."""

    __slots__ = ()

    def __init__(self, *, strict: bool, expect: Expect, max_depth: int, max_length: int) -> None:
        super().__init__(strict=strict, expect=expect, max_depth=max_depth, max_length=max_length)
        self._step = STRICTLY_BEFORE if strict else START
        self._back = BEFORE  # where to go after a comment

    # Before the value and after it

    def _strictly_before(self, text: str, pos: int) -> int:
        begin, pos = pos, SPACE.match(text, pos).end()  # type: ignore[union-attr]
        self._prose.append(text[begin:pos])
        if pos == len(text):
            return pos
        char = text[pos]
        if char in "{[" and self._expect in ("any", "object" if char == "{" else "array"):
            return self._open((), text, pos)
        if self._expect == "any" and char in '"-0123456789tfn':
            self._step = LONE
            return self._lone(text, pos)
        wanted = {"any": "a value", "array": "an array", "object": "an object"}[self._expect]
        return self._unexpected(wanted, text, pos)

    def _lone(self, text: str, pos: int) -> int:
        """A string or scalar that is the whole text; only its end shows that it is one."""
        self._prose.append(text[pos:])
        return len(text)

    def _beyond(self, text: str, pos: int) -> int:
        """After the value: say once if another one comes."""
        if self._end is None:
            self._end = self._where(text, pos)
        if self._strict:
            pos = SPACE.match(text, pos).end()  # type: ignore[union-attr]
            return pos if pos == len(text) else self._unexpected("the end", text, pos)
        if self._doubt is not None and before.doubted(self, text, pos):
            return self._hold(text, pos)
        if self._end == self._where(text, pos):
            early = before.closed_early(self, text, pos)
            if early is None:
                return self._hold(text, pos)
            self._closed_early = early
        at, sure = begin(text, pos, self._opening)
        if sure is None and not self._ended:
            return self._hold(text, at)
        if sure:
            self._note("another value follows, and is not read", text, at)
            self._step = IGNORE
        return len(text)

    def _ignore(self, text: str, pos: int) -> int:
        if self._stopped and not self._strict:
            self._tail.append(text[pos:])
        return len(text)

    # Names and values

    def _key(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return self._blanks(text, pos)
        if char == "}":
            return self._close(text, pos)
        if char != '"':
            return repair.no_name(self, text, pos)
        return self._begin_name('"', pos)

    def _begin_name(self, closers: str, pos: int) -> int:
        self._closers, self._token = closers, []
        self._step = IN_NAME
        return pos + 1

    def _in_name(self, text: str, pos: int) -> int:
        piece, end, closed = self._segment(text, pos)
        self._token.append(piece)
        return self._named("".join(self._token), text, end) if closed else end

    def _named(self, name: str, text: str, end: int) -> int:
        self._name, self._gap = name, 0
        self._step = COLON
        if name in self._box:
            reason = f"the name {name[:40]!r} comes twice"
            if self._strict:
                return self._stop(reason, text, end)
            repair.drop(self, reason, text, end)
        return end

    def _colon(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return self._blanks(text, pos)
        if char != ":":
            return repair.common(self, "a colon", text, pos)
        self._step = VALUE
        return pos + 1

    def _item(self, text: str, pos: int) -> int:
        return self._close(text, pos) if text[pos] == "]" else self._value(text, pos)

    def _value(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return SPACE.match(text, pos).end()  # type: ignore[union-attr]
        if char == '"':
            return self._begin_string('"', text, pos + 1)
        if char in "{[":
            return self._open(self._place_path(), text, pos)
        if char in "-0123456789tfn":
            return self._begin_scalar(text, pos)
        return repair.no_value(self, text, pos)

    # After a value

    def _after(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return self._blanks(text, pos)
        if char == ",":
            return self._comma(pos)
        if char == ("]" if type(self._box) is list else "}"):
            return self._close(text, pos)
        return repair.no_comma(self, text, pos)

    def _blanks(self, text: str, pos: int) -> int:
        """What stands between two values tells, if reading stops there, whether a line begins."""
        end = SPACE.match(text, pos).end()  # type: ignore[union-attr]
        line = text.rfind("\n", pos, end)
        if line >= 0:
            self._gap = 1 + end - line
        else:
            self._gap = self._gap + end - pos if self._gap > 1 else 1
        return end

    def _comma(self, pos: int) -> int:
        self._after_comma = True
        self._step = ITEM if type(self._box) is list else KEY
        return pos + 1

    def _finish_value(self) -> None:
        """The value in the box at hand is complete; what comes after it is next."""
        if self._dropped == len(self._stack):
            repair.dropped(self)
        self._after_comma, self._gap = False, 0
        if not self._stack:
            self._complete = True
            self._step = BEYOND
        elif self._in_series and len(self._stack) == 1:
            self._step = BEFORE
        else:
            self._step = AFTER_ITEM if type(self._box) is list else AFTER_MEMBER

    def _open(self, at: Path, text: str, pos: int) -> int:
        if len(self._stack) >= self._max_depth:
            return self._stop(f"nested deeper than {self._max_depth}", text, pos)
        self._begin_box([] if text[pos] == "[" else {}, at)
        return pos + 1

    def _begin_box(self, box: Any, at: Path) -> None:
        if self._root is MISSING:
            self._root = box
        else:
            self._place(box)
        self._patches.append(Patch(at, "set", box.copy()))
        self._stack.append((self._box, self._path))
        self._box, self._path = box, at
        self._after_comma, self._gap = False, 0
        self._step = FIRST_IN_LIST if type(box) is list else FIRST_NAME

    def _close(self, text: str, pos: int) -> int:
        if self._after_comma:
            if self._strict:
                return self._unexpected("more", text, pos)
            self._note("a comma before a closing bracket", text, pos)
        self._patches.append(Patch(self._path, "done", None))
        self._box, self._path = self._stack.pop()
        self._finish_value()
        return pos + 1


START = Step(before.start)
BEFORE = Step(before.before)
STRICTLY_BEFORE = Step(Machine._strictly_before)
LONE = Step(Machine._lone)
BEYOND = Step(Machine._beyond)
IGNORE = Step(Machine._ignore)
KEY = Step(Machine._key)
IN_NAME = Step(Machine._in_name)
COLON = Step(Machine._colon)
ITEM = Step(Machine._item)
VALUE = Step(Machine._value)
STRING = Step(Machine._string, NEXT_MEMBER.match)
ODD_STRING = Step(Machine._string)
SCALAR = Step(Machine._scalar)
FIRST_NAME = Step(Machine._key, FIRST_MEMBER.match)
FIRST_IN_LIST = Step(Machine._item, FIRST_ITEM.match)
AFTER_MEMBER = Step(Machine._after, NEXT_MEMBER.match)
AFTER_ITEM = Step(Machine._after, NEXT_ITEM.match)
Machine._steps |= {
    "thinking": Step(before.thinking),
    "answer": Step(lone.start),
    "before": BEFORE,
    "within": Step(series.within),
    "fenced": Step(lone.fenced),
    "quoted": Step(lone.quoted),
    "over": Step(lone.over),
    "string": STRING,
    "odd string": ODD_STRING,
    "scalar": SCALAR,
    "nothing": IGNORE,
    "name": KEY,
    "item": ITEM,
    "bare name": Step(repair.bare),
    "//": Step(repair.line_comment),
    "/*": Step(repair.block_comment),
}
