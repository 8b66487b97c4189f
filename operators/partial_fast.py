"""The fast paths of a reader of streaming JSON: text that goes on, and JSON as it should be."""

from __future__ import annotations

import codecs
from typing import Any

import orjson

from .partial_machine import (
    AFTER_ITEM,
    AFTER_MEMBER,
    FIRST_IN_LIST,
    FIRST_NAME,
    STRING,
    Machine,
)
from .partial_patches import Patch
from .partial_reading import Expect
from .partial_text import PAIR, character

__all__ = ["FastMachine"]

HOLD = 64  # so much of a member is read again with each piece; a longer one goes step by step
SHORTEST = len(',"":[')  # no member that tells something is shorter
BEGUN = (',"', ', "')
FOLD = 4096  # so many characters of a growing string lie about in parts
NAMED, STRING_CUT, STRING_WHOLE, SCALAR, OPENED, CLOSED = range(1, 7)  # groups of the patterns
new = tuple.__new__
JSONDecodeError = orjson.JSONDecodeError


class FastMachine(Machine):
    """Feeds the states, and does without them where the text is plain."""

    __slots__ = ("_decoder", "_high")

    def __init__(self, *, strict: bool, expect: Expect, max_depth: int, max_length: int) -> None:
        super().__init__(strict=strict, expect=expect, max_depth=max_depth, max_length=max_length)
        self._decoder: codecs.IncrementalDecoder | None = None
        self._high = ""

    def feed(self, chunk: str | bytes, /) -> list[Patch]:
        """Read on; returns what that added, in order. After the end of the value: nothing."""
        if type(chunk) is str and (room := self._room - len(chunk)) > 0:
            if self._quote not in chunk and "\\" not in chunk and chunk.isprintable():
                self._room = room  # in a string or name that goes on
                self._parts.append(chunk)
                if self._in_string and chunk:
                    return [new(Patch, (self._at, "append", chunk))]
                return []
            if chunk.isascii():
                self._room = room
                if self._quote == ":":
                    self._unhold()
                if self._held:
                    chunk = self._held + chunk
                    self._held = ""
                self._quote = ""
                patches: list[Patch] = []
                self._patches = patches
                pos, end = 0, len(chunk)
                if self._step.regular is not None and self._dropped is None:
                    pos = self._regularly(chunk, 0, end)
                if pos < end:
                    self._read_on(chunk, pos)
                return patches
        return self._feed(chunk)

    def _feed(self, chunk: str | bytes) -> list[Patch]:
        """What ``feed`` does where it cannot do without a closer look."""
        if not isinstance(chunk, (str, bytes, bytearray, memoryview)):
            raise TypeError(f"feed takes str or bytes, not {type(chunk).__name__}")
        if type(chunk) is bytes and len(chunk) < self._room and chunk.isascii():
            return self.feed(chunk.decode())  # while there is room, no byte waits for others
        if isinstance(chunk, str):  # bytes before it that wait for more of their character
            text = self._decoded(b"", last=True) + chunk if self._decoder else chunk
        else:
            text = self._decoded(chunk)
        if self._high or not text.isascii():
            text = self._joined(text)
        over = self._until - self._room + len(text) - self._max_length
        if over > 0:
            text = text[: max(0, len(text) - over)]
        read = self._until - self._room + len(text)
        waits = self._high or (self._decoder is not None and self._decoder.getstate()[0])
        self._until = read if waits else min(read + FOLD, self._max_length + 1)
        self._room = self._until - read
        if self._in_string:
            self._fold()
        else:
            self._unhold()
        patches: list[Patch] = []
        self._patches = patches
        text, self._held, self._quote = self._held + text, "", ""
        self._read_on(text, 0)
        if read - self._packed >= FOLD:
            self._packed = read
            self._pack()
        if over > 0:
            self._read_rest(patches)
        if over > 0 and not self._stopped:
            self._stop(f"longer than {self._max_length} characters", text, len(text))
        return patches

    def _read_rest(self, patches: list[Patch], rest: str = "") -> None:
        """What was held back, for no more comes; ``rest`` is more than nothing."""
        if not self._in_string:
            self._unhold()
        text, self._held, self._ended, self._patches = self._held + rest, "", True, patches
        self._until += len(rest)
        self._read_on(text, 0)

    def _catch_up(self) -> None:
        """Read what the fast paths put aside, as far as it tells something before more comes."""
        if not self._in_string:
            self._unhold()
        text, pos, self._held, self._quote, self._patches = self._held, 0, "", "", []
        while pos < len(text):
            pos = self._step.read(self, text, pos)

    def _unhold(self) -> None:
        """Text of a name that was put aside is read again."""
        self._held = "".join(self._parts) or self._held
        self._parts.clear()

    def _read_on(self, text: str, pos: int) -> None:
        end = len(text)
        if self._dropped is not None:
            self._out, self._patches = self._patches, []
        while pos < end:
            step = self._step
            if step.regular is not None and self._dropped is None and not self._ended:
                pos = self._regularly(text, pos, end)
            else:
                pos = step.read(self, text, pos)

    def _regularly(self, text: str, pos: int, end: int) -> int:
        """Members and items as they should be, many in one go; all else is left to the states."""
        patches, path, box, step = self._patches, self._path, self._box, self._step
        value: Any
        named = type(box) is dict
        while pos < end:
            if step is STRING:
                close = text.find('"', pos)
                value = text[pos : end if close < 0 else close]
                if "\\" in value or not value.isprintable():
                    break
                if value:
                    patches.append(new(Patch, (self._at, "append", value)))
                    self._parts.append(value)
                if close < 0:
                    self._quote = '"'
                    return end
                if self._parts:
                    box[self._at[-1]] += "".join(self._parts)
                    self._parts.clear()
                self._in_string = False
                patches.append(new(Patch, (self._at, "done", None)))
                self._step = step = AFTER_MEMBER if named else AFTER_ITEM
                self._gap = 0
                pos = close + 1
                continue
            if text[pos] == "," and (
                pos + 1 == end or (named and end - pos < SHORTEST and text.startswith(BEGUN, pos))
            ):
                self._held = text[pos:]
                return end
            found = step.regular(text, pos)  # type: ignore[misc]
            kind, stop = found.lastindex, found.end()
            if kind is None or kind == NAMED:  # no more of it is here
                if stop < end or end - pos > HOLD:
                    break
                if kind and named and ":" not in text:  # without a colon it tells nothing
                    self._parts.append(text[pos:])
                    self._quote = ":"
                else:
                    self._held = text[pos:]
                return end
            if kind == CLOSED:
                patches.append(new(Patch, (path, "done", None)))
                box, path = self._box, self._path = self._stack.pop()
                pos = stop
                if len(self._stack) <= 1:
                    self._finish_value()
                    return pos
                named = type(box) is dict
                self._step = step = AFTER_MEMBER if named else AFTER_ITEM
                self._gap = 0
                continue
            if named:
                name = found[1]
                if name in box:
                    break
            else:
                name = len(box)
            at = (*path, name)
            if kind == SCALAR:
                try:
                    value = self._read_scalar(found[4])
                except JSONDecodeError:
                    break
                patches.append(new(Patch, (at, "set", value)))
            elif kind == OPENED:
                if len(self._stack) >= self._max_depth:
                    break
                self._stack.append((box, path))
                value = [] if found[5] == "[" else {}
                patches.append(new(Patch, (at, "set", value.copy())))
            else:
                if kind == STRING_CUT and stop < end:
                    break
                value = found[2]
                patches.append(new(Patch, (at, "set", value)))
            if named:
                box[name] = value
            else:
                box.append(value)
            pos = stop
            if kind == OPENED:
                box = self._box = value
                path = self._path = at
                self._gap = 0
                named = type(box) is dict
                self._step = step = FIRST_NAME if named else FIRST_IN_LIST
            elif kind == STRING_CUT:
                self._at, self._in_string, self._closers, self._quote = at, True, '"', '"'
                self._step = STRING
                return end
            else:
                if kind == STRING_WHOLE:
                    patches.append(new(Patch, (at, "done", None)))
                self._step = step = AFTER_MEMBER if named else AFTER_ITEM
                self._gap = 0
        return pos if pos == end else step.read(self, text, pos)

    def _decoded(self, chunk: bytes, *, last: bool = False) -> str:
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
        return self._decoder.decode(chunk, last)

    def _joined(self, text: str) -> str:
        """``text`` with the surrogate pairs in it joined; the first half of one waits for more."""
        text, self._high = self._high + text, ""
        if text and "\ud800" <= text[-1] <= "\udbff":
            text, self._high = text[:-1], text[-1]
        return PAIR.sub(lambda pair: character(*map(ord, pair[0])), text)
