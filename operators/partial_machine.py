"""The states of a reader of streaming JSON, one token at a time: all that is not a fast path.

Each state reads some of the text from a position on and returns the position after it. A state that
needs to see more before it can decide holds the text back, and reads it again with what comes next.
"""

from __future__ import annotations

import re
from typing import Any

from . import partial_lone as lone
from . import partial_repair as repair
from .partial_patches import MISSING, Patch, Path
from .partial_reading import Expect, Step
from .partial_scalars import Scalars
from .partial_text import (
    FIRST_ITEM,
    FIRST_MEMBER,
    INDEX,
    NEXT_ITEM,
    NEXT_MEMBER,
    OPENING,
    SPACE,
    begin,
)

__all__ = ["Machine"]

BLANK = " \t\n\r"
NAMED = re.compile(r"""["']\s*:\s*\Z""")
UNCLOSED = re.compile(r"[{\[]\s*[^\s{}\[\]][^{}\[\]]*\Z")  # a bracket alone is often a doubled one
MOST_BEFORE = 4096
WORD_BEFORE = re.compile(r"(?<!`)[\w\])]\Z")
FENCE_BEFORE = re.compile(r"```[a-zA-Z]{1,31}\Z")
ODD = re.compile(r"[^\s,;\[\]`]")  # between objects one after another


class Machine(Scalars):
    """The states that read on."""

    __slots__ = ()

    def __init__(self, *, strict: bool, expect: Expect, max_depth: int, max_length: int) -> None:
        super().__init__(strict=strict, expect=expect, max_depth=max_depth, max_length=max_length)
        self._step = STRICTLY_BEFORE if strict else START if expect == "any" else BEFORE
        self._back = BEFORE  # where to go after a comment

    # Before the value, between values and after it

    def _before(self, text: str, pos: int) -> int:
        at, sure = begin(text, pos, self._opening)
        while sure and self._root is MISSING and self._is_index(text, pos, at):
            at, sure = begin(text, at + 1, self._opening)
        if sure is None and self._ended:
            sure = self._in_series  # what was cut off was to be the next of the objects
        held = sure is None
        end = at if held or sure else len(text)
        if self._root is MISSING:
            self._prose.append(text[pos:end])
        else:
            self._passed.append(text[pos:end])
            if odd := ODD.search(text, pos, end):
                self._note("text between or after the objects is passed over", text, odd.start())
        if held:
            return self._hold(text, at)
        if not sure:
            return end
        if self._expect == "array" and text[at] == "{" and self._root is MISSING:
            self._note("objects one after another are read as one list", text, at)
            self._opening = OPENING["object"]
            self._in_series = True
            self._begin_box([], ())
            self._passed = self._prose[:]
        if self._root is MISSING:
            before = "".join(self._prose)[-MOST_BEFORE:]
            if UNCLOSED.search(before):
                self._note("it follows a bracket that begins no JSON", text, at)
            self._doubt = bool(UNCLOSED.search(before) or NAMED.search(before))
        if not self._in_series:
            return self._open((), text, at)
        repair.no_object(self, text, at)
        return self._open(self._place_path(), text, at)

    def _is_index(self, text: str, pos: int, at: int) -> bool:
        """Whether a bracket belongs to the word before it, as in ``items[0]``."""
        if not INDEX.match(text, at):
            return False
        before = "".join(piece[-40:] for piece in self._prose[-80:]) + text[max(pos, at - 40) : at]
        return bool(WORD_BEFORE.search(before[-40:]) and not FENCE_BEFORE.search(before[-40:]))

    def _strictly_before(self, text: str, pos: int) -> int:
        pos = SPACE.match(text, pos).end()  # type: ignore[union-attr]
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
        if self._doubt and (following := text[pos:].lstrip()):
            self._doubt = False
            if following[0] in ",]}":
                self._spoil("it lies in another value, whose beginning cannot be read", self._end)
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
            return SPACE.match(text, pos).end()  # type: ignore[union-attr]
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
        self._name = name
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
            return SPACE.match(text, pos).end()  # type: ignore[union-attr]
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
            self._gap = True
            return SPACE.match(text, pos).end()  # type: ignore[union-attr]
        gap, self._gap = self._gap, False
        if char == ",":
            return self._comma(pos)
        if char == ("]" if type(self._box) is list else "}"):
            return self._close(text, pos)
        return repair.no_comma(self, text, pos, gap=gap)

    def _comma(self, pos: int) -> int:
        self._after_comma = True
        self._step = ITEM if type(self._box) is list else KEY
        return pos + 1

    def _finish_value(self) -> None:
        """The value in the box at hand is complete; what comes after it is next."""
        if self._dropped == len(self._stack):
            repair.dropped(self)
        self._after_comma = self._gap = False
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
        self._after_comma = False
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


START = Step(lone.start)
BEFORE = Step(Machine._before)
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
    "before": BEFORE,
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
