"""JSON read as it streams: what is usable now, what was added, and what will not change."""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import Any, Literal, NamedTuple

import orjson

__all__ = [
    "MISSING",
    "Final",
    "Missing",
    "Partial",
    "PartialParser",
    "Patch",
    "Path",
    "Progress",
    "apply",
]

Path = tuple[str | int, ...]
Box = dict[str, Any] | list[Any]

SPACE = re.compile(r"[ \t\n\r]*+")
TOKEN = re.compile(r"[^ \t\n\r,\]}]*+")
SEGMENT = re.compile(
    r"""[^"\\]*+(?:\\(?:[^u]
    |u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}           # a surrogate pair
    |u[dD][89abAB][0-9a-fA-F]{2}(?=[^\\]|\\[^u]|\\u[0-9a-fA-F]{4})     # half of one, and it shows
    |u(?![dD][89abAB])[0-9a-fA-F]{4}
    )[^"\\]*+)*+""",
    re.VERBOSE | re.DOTALL,
)
OPEN_ESCAPE = re.compile(
    r"\\(?:u(?:[0-9a-fA-F]{0,3}|[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?))?"
)
ESCAPE = re.compile(r"\\u([dD][89abAB]..)\\u([dD][c-fC-F]..)|\\u(....)|\\(.)", re.DOTALL)
SIMPLE = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")
HALF = re.compile("[\ud800-\udfff]")

# A bracket begins a value if what follows it could stand in JSON. After 64 blanks it does.
BLANK = " \t\n\r"
SCALAR = "-0123456789tfn"
OPENING = re.compile(r"[{\[]")
BLANKS = r"[ \t\n\r]"
BEGIN = re.compile(
    rf'\{{(?:{BLANKS}{{0,63}}["}}]|{BLANKS}{{64}})'
    rf'|\[(?:{BLANKS}{{0,63}}(?:[\]\[{{"\-0-9]|true|false|null)|{BLANKS}{{64}})'
)
MAY_BEGIN = re.compile(
    rf"\{{{BLANKS}{{0,63}}"
    rf"|\[{BLANKS}{{0,63}}(?:t(?:ru?)?|f(?:a(?:ls?)?)?|n(?:ul?)?)?"
)


class Missing(Enum):
    """The type of :data:`MISSING`."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


MISSING = Missing.MISSING
"""Stands where there is no value yet; ``None`` would be JSON's null."""


class Patch(NamedTuple):
    """What a piece of input added to the value at ``path``.

    ``set``: the value appears there; an object or array appears empty, a string with its first
    part, a number, boolean or null complete. ``append``: ``value`` continues the string there.
    ``done``: the string, object or array there is complete; its ``value`` is ``None``.
    """

    path: Path
    op: Literal["set", "append", "done"]
    value: Any


class Progress(StrEnum):
    """How far the value at a path is."""

    ABSENT = "absent"
    GROWING = "growing"
    DONE = "done"


@dataclass(frozen=True, slots=True)
class Final:
    """A complete value; nothing that was sent in it is lost."""

    value: Any


@dataclass(frozen=True, slots=True)
class Partial:
    """The usable part of a value, :data:`MISSING` if there is none, and why there is no more."""

    value: Any
    reason: str


def apply(value: Any, patch: Patch) -> Any:
    """``value`` with ``patch`` applied, in place where it can be; start with :data:`MISSING`."""
    path, op, added = patch
    if op == "done":
        return value
    if isinstance(added, (dict, list)):
        added = deepcopy(added)
    if not path:
        return added if op == "set" else value + added
    box = value
    for step in path[:-1]:
        box = box[step]
    last = path[-1]
    if op == "append":
        box[last] += added
    elif isinstance(box, list) and last == len(box):
        box.append(added)
    else:
        box[last] = added
    return value


class PartialParser:
    """Reads one JSON object or array out of a model's answer, in one pass over its pieces.

    Strings grow by appending and are visible after every piece; numbers, booleans and null appear
    once, complete; what is done never changes. The finished value is what ``orjson`` reads
    (so an integer beyond 64 bits is a float).

    Prose or a code fence around the value is skipped; raw line breaks in strings, unknown escapes
    and a comma before a closing bracket are accepted. Half a surrogate pair and bytes that are not
    UTF-8 become U+FFFD, and :meth:`finish` says so. At anything else that is not JSON, a name that
    comes twice in one object, or a limit, reading stops, and what there is stays usable; ``feed``
    never raises for what a model sent.

    :param max_depth: the most objects and arrays within each other.
    :param max_length: the most characters to read, prose included.
    """

    def __init__(self, *, max_depth: int = 256, max_length: int = 4 * 1024 * 1024) -> None:
        self._max_depth = max_depth
        self._max_length = max_length
        self._state: _State = PartialParser._before
        self._root: Any = MISSING
        self._box: Any = MISSING
        self._path: Path = ()
        self._stack: list[tuple[Any, Path]] = []
        self._name = ""
        self._at: Path = ()
        self._in_string = False
        self._parts: list[str] = []
        self._prose: list[str] = []
        self._patches: list[Patch] = []
        self._decoder: codecs.IncrementalDecoder | None = None
        self._high = ""
        self._held = ""
        self._read = 0
        self._flaw: str | None = None
        self._complete = False

    def feed(self, chunk: str | bytes) -> list[Patch]:
        """Read on; returns what that added, in order. After the end of the value: nothing."""
        if self._state is PartialParser._ignore:
            return []
        text = chunk if isinstance(chunk, str) else self._decoded(chunk)
        if self._high or not text.isascii():
            text = self._joined(text)
        self._read += len(text)
        over = self._read - self._max_length
        if over > 0:
            text = text[:-over]
            self._read = self._max_length
        if self._held:
            text, self._held = self._held + text, ""
        patches: list[Patch] = []
        self._patches = patches
        pos, end = 0, len(text)
        while pos < end:
            pos = self._state(self, text, pos)
        if over > 0 and self._state is not PartialParser._ignore:
            self._stop(f"longer than {self._max_length} characters", text, end)
        return patches

    @property
    def value(self) -> Any:
        """What is usable now, or :data:`MISSING`; it grows in place, so do not change it."""
        if self._in_string and len(self._parts) > 1:
            self._parts = ["".join(self._parts)]
            self._box[self._at[-1]] = self._parts[0]
        return self._root

    @property
    def raw_text(self) -> str:
        """The text before the value; all of the text, if there is no value in it."""
        return HALF.sub("\ufffd", self._before_value())

    def state(self, path: Path = ()) -> Progress:
        """How far the value at ``path`` is."""
        value = self._root
        for step in path:
            inside = (
                isinstance(step, int) and 0 <= step < len(value)
                if isinstance(value, list)
                else isinstance(value, dict) and step in value
            )
            if not inside:
                return Progress.ABSENT
            value = value[step]
        if value is MISSING:
            return Progress.ABSENT
        growing = self._at if self._in_string else self._path
        if not self._complete and growing[: len(path)] == path:
            return Progress.GROWING
        return Progress.DONE

    def done(self, path: Path = ()) -> bool:
        """Whether the value at ``path`` is complete, and so will not change."""
        return self.state(path) is Progress.DONE

    def finish(self) -> Final | Partial:
        """What there is, now that no more comes.

        A text without object or array that as a whole is one JSON string, number, boolean or null
        is :class:`Final` with that; only its end shows that it is one.
        """
        value = self.value
        if self._complete and self._flaw is None:
            return Final(value)
        if self._flaw is None and value is MISSING:
            try:
                return Final(orjson.loads(self._before_value()))
            except orjson.JSONDecodeError:
                return Partial(MISSING, "no JSON object or array in the text")
        where = "in a string" if self._in_string else "before its end"
        return Partial(value, self._flaw or f"cut off {where}")

    def _before_value(self) -> str:
        return "".join(self._prose) + (self._held if self._root is MISSING else "")

    def _decoded(self, chunk: bytes) -> str:
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        return self._decoder.decode(chunk)

    def _joined(self, text: str) -> str:
        """``text`` with the surrogate pairs in it joined; the first half of one waits for more."""
        text, self._high = self._high + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._high = text[:-1], text[-1]
        return PAIR.sub(lambda pair: _character(*map(ord, pair[0])), text)

    # Each state reads some of the text from a position on and returns the position after it.

    def _before(self, text: str, pos: int) -> int:
        start = OPENING.search(text, pos)
        if start is None:
            self._prose.append(text[pos:])
            return len(text)
        at = start.start()
        self._prose.append(text[pos:at])
        if BEGIN.match(text, at):
            return self._open((), text, at)
        if MAY_BEGIN.fullmatch(text, at):
            self._held = text[at:]
            return len(text)
        self._prose.append(text[at])
        return at + 1

    def _item(self, text: str, pos: int) -> int:
        return self._close(pos) if text[pos] == "]" else self._value(text, pos)

    def _value(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return _past_blanks(text, pos)
        self._at = (*self._path, len(self._box) if type(self._box) is list else self._name)
        if char == '"':
            self._parts = []
            self._in_string = True
            self._state = PartialParser._string
            return self._string(text, pos + 1)
        if char in "{[":
            return self._open(self._at, text, pos)
        if char in SCALAR:
            self._parts = []
            self._state = PartialParser._scalar
            return self._scalar(text, pos)
        return self._unexpected("a value", text, pos)

    def _string(self, text: str, pos: int) -> int:
        piece, end, closed = self._segment(text, pos)
        if not self._parts:
            self._place(piece)
            self._patches.append(Patch(self._at, "set", piece))
        elif piece:
            self._patches.append(Patch(self._at, "append", piece))
        self._parts.append(piece)
        if closed:
            if len(self._parts) > 1:
                self._box[self._at[-1]] = "".join(self._parts)
            self._in_string = False
            self._patches.append(Patch(self._at, "done", None))
            self._state = PartialParser._after
        return end

    def _scalar(self, text: str, pos: int) -> int:
        end = TOKEN.match(text, pos).end()  # type: ignore[union-attr]
        self._parts.append(text[pos:end])
        if end == len(text):
            return end
        token = "".join(self._parts)
        try:
            value = orjson.loads(token)
        except orjson.JSONDecodeError:
            return self._stop(f"{token[:40]!r} is no JSON value", text, end)
        self._place(value)
        self._patches.append(Patch(self._at, "set", value))
        self._state = PartialParser._after
        return end

    def _key(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return _past_blanks(text, pos)
        if char == "}":
            return self._close(pos)
        if char != '"':
            return self._unexpected("a name in quotes", text, pos)
        self._parts = []
        self._state = PartialParser._in_key
        return pos + 1

    def _in_key(self, text: str, pos: int) -> int:
        piece, end, closed = self._segment(text, pos)
        self._parts.append(piece)
        if closed:
            self._name = "".join(self._parts)
            if self._name in self._box:
                return self._stop(f"the name {self._name[:40]!r} comes twice", text, end)
            self._state = PartialParser._colon
        return end

    def _colon(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return _past_blanks(text, pos)
        if char != ":":
            return self._unexpected("a colon", text, pos)
        self._state = PartialParser._value
        return pos + 1

    def _after(self, text: str, pos: int) -> int:
        char = text[pos]
        if char in BLANK:
            return _past_blanks(text, pos)
        in_list = type(self._box) is list
        if char == ",":
            self._state = PartialParser._item if in_list else PartialParser._key
            return pos + 1
        if char == ("]" if in_list else "}"):
            return self._close(pos)
        return self._unexpected("a comma or a closing bracket", text, pos)

    def _ignore(self, text: str, pos: int) -> int:
        return len(text)

    def _segment(self, text: str, pos: int) -> tuple[str, int, bool]:
        """The part of a string at ``pos``, where reading goes on, and whether it is closed."""
        end = SEGMENT.match(text, pos).end()  # type: ignore[union-attr]
        piece = text[pos:end]
        if "\\" in piece:
            piece = _unescaped(piece)
        if not piece.isascii() and HALF.search(piece):
            piece = HALF.sub("\ufffd", piece)
            self._flaw = self._flaw or "text that is not valid Unicode, replaced by U+FFFD"
        if end == len(text):
            return piece, end, False
        if text[end] == '"':
            return piece, end + 1, True
        if OPEN_ESCAPE.fullmatch(text, end):
            self._held = text[end:]
            return piece, len(text), False
        return piece, self._unexpected("four hexadecimal digits after \\u", text, end), False

    def _open(self, at: Path, text: str, pos: int) -> int:
        if len(self._stack) == self._max_depth:
            return self._stop(f"nested deeper than {self._max_depth}", text, pos)
        is_list = text[pos] == "["
        box: Box = [] if is_list else {}
        if self._root is MISSING:
            self._root = box
        else:
            self._place(box)
        self._patches.append(Patch(at, "set", box.copy()))
        self._stack.append((self._box, self._path))
        self._box, self._path = box, at
        self._state = PartialParser._item if is_list else PartialParser._key
        return pos + 1

    def _close(self, pos: int) -> int:
        self._patches.append(Patch(self._path, "done", None))
        self._box, self._path = self._stack.pop()
        self._complete = not self._stack
        self._state = PartialParser._ignore if self._complete else PartialParser._after
        return pos + 1

    def _place(self, value: Any) -> None:
        if type(self._box) is list:
            self._box.append(value)
        else:
            self._box[self._name] = value

    def _unexpected(self, wanted: str, text: str, pos: int) -> int:
        return self._stop(f"{text[pos]!r} where {wanted} belongs", text, pos)

    def _stop(self, reason: str, text: str, pos: int) -> int:
        """Read nothing more; ``_read`` is where ``text`` ends in the whole of the input."""
        self._flaw = self._flaw or f"{reason} (character {self._read - len(text) + pos})"
        self._state = PartialParser._ignore
        return len(text)


_State = Callable[[PartialParser, str, int], int]


def _past_blanks(text: str, pos: int) -> int:
    return SPACE.match(text, pos).end()  # type: ignore[union-attr]


def _unescaped(segment: str) -> str:
    try:
        return orjson.loads(f'"{segment}"')  # type: ignore[no-any-return]
    except orjson.JSONDecodeError:  # a raw line break, an unknown escape, half a surrogate pair
        return ESCAPE.sub(_escaped, segment)


def _escaped(found: re.Match[str]) -> str:
    high, low, unit, plain = found.groups()
    if high is not None:
        return _character(int(high, 16), int(low, 16))
    return SIMPLE.get(plain, plain) if unit is None else chr(int(unit, 16))


def _character(high: int, low: int) -> str:
    return chr(0x10000 + ((high - 0xD800) << 10) + low - 0xDC00)
