"""The states of a reader of streaming JSON within a string, a number or a word."""

from __future__ import annotations

import orjson

from . import partial_repair as repair
from .partial_patches import Patch
from .partial_reading import Reading
from .partial_text import CONTROL, HALF, OPEN_ESCAPE, TOKEN, odd_escape, segment, unescaped, word

__all__ = ["Scalars"]

SEGMENTS = {
    (closers, strict): segment(closers, strict=strict)
    for closers in ('"', "'", '“”„"')
    for strict in (False, True)
}


class Scalars(Reading):
    """Reads strings, numbers and words."""

    __slots__ = ()

    def _begin_string(self, closers: str, text: str, pos: int) -> int:
        self._at = self._place_path()
        self._closers = closers
        self._parts = []
        self._place("")
        self._patches.append(Patch(self._at, "set", ""))
        self._in_string = True
        self._go("string" if closers == '"' else "odd string")
        return self._string(text, pos)

    def _string(self, text: str, pos: int) -> int:
        piece, end, closed = self._segment(text, pos)
        if piece:
            self._patches.append(self._grown(piece))
            self._parts.append(piece)
        if closed:
            self._fold()
            self._in_string = False
            self._quote = ""
            self._patches.append(Patch(self._at, "done", None))
            self._finish_value()
        elif self._dropped is None and self._closers == '"' and not (self._held or self._stopped):
            self._quote = '"'
        return end

    def _grown(self, piece: str) -> Patch:
        """``piece`` as a patch: the first part of a string that came with it is one with it."""
        if not self._parts and self._patches and self._patches[-1] == (self._at, "set", ""):
            self._patches.pop()
            return Patch(self._at, "set", piece)
        return Patch(self._at, "append", piece)

    def _segment(self, text: str, pos: int) -> tuple[str, int, bool]:
        """The part of a string at ``pos``, where reading goes on, and whether it is closed."""
        end = SEGMENTS[self._closers, self._strict].match(text, pos).end()  # type: ignore[union-attr]
        piece = text[pos:end]
        if not self._strict and not piece.isprintable() and (raw := CONTROL.search(piece)):
            self._note("a raw control character in a string", text, pos + raw.start())
        if "\\" in piece:
            try:
                piece = orjson.loads(f'"{piece}"')
            except orjson.JSONDecodeError:  # a raw line break, an odd escape, half a surrogate pair
                odd = odd_escape(piece, self._closers)
                if odd is not None:
                    self._note("an escape that JSON has not", text, pos + odd)
                piece = unescaped(piece)
        if not piece.isascii() and HALF.search(piece):
            piece = HALF.sub("\ufffd", piece)
            self._spoil("text that is not valid Unicode, replaced by U+FFFD")
        if end == len(text):
            return piece, end, False
        if text[end] in self._closers:
            return repair.quote(self, piece, text, end)
        if OPEN_ESCAPE.fullmatch(text, end):
            return piece, self._hold(text, end) if not self._ended else len(text), False
        reason = "an escape that JSON has not" if text[end] == "\\" else "text that is not JSON's"
        return piece, self._stop(f"{reason} in a string", text, end), False

    def _begin_scalar(self, text: str, pos: int) -> int:
        self._token = []
        self._go("scalar")
        return self._scalar(text, pos)

    def _scalar(self, text: str, pos: int) -> int:
        end = TOKEN.match(text, pos).end()  # type: ignore[union-attr]
        if end + 1 == len(text) and text[end] == "/":  # a comment, perhaps
            if not self._ended:
                self._token.append(text[pos:end])
                return self._hold(text, end)
            end += 1
        self._token.append(text[pos:end])
        if end == len(text):
            return end
        token = "".join(self._token)
        try:
            value = self._read_scalar(token)
        except orjson.JSONDecodeError:
            if (after := repair.mark(self, token, text, end)) is not None:
                return after
            loose = None if self._strict else word(token)
            if loose is None:
                return repair.no_scalar(self, token, text, end)
            value, what = loose
            self._note(what, text, end - len(token))
        at = self._place_path()
        self._place(value)
        self._patches.append(Patch(at, "set", value))
        self._finish_value()
        return end

    def _finish_value(self) -> None:
        raise NotImplementedError
