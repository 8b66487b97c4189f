"""One telling out of several pieces: their JSON joined as it streams, their slots filled."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from .partials import MISSING, Partial, PartialParser, Patch, Progress, apply
from .slots import SlotFiller

__all__ = ["AS_IS", "Composer"]

ABSENT = object()
JSON_BEGINS = re.compile(r"""[{\[]\s*(?:["'“”‘’{\[\]}]|/[/*]|\w+\s*:)|```""")
ONLY_BEGUN = re.compile(r"\s*(?:```[a-z]*\s*)?[{\[]?\s*")
"""An answer cut off where its JSON begins is no text to tell."""
PREAMBLE = 80
"""So many characters are looked at for the beginning of JSON before they are told as they are, in
however many pieces they come."""
SENTENCE_ENDS = tuple(".!?…。！？\"'”’»)")


class _AsIs(Mapping[str, str]):
    def __getitem__(self, name: str) -> str:
        return f"{{{name}}}"

    def __contains__(self, name: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


AS_IS: Mapping[str, str] = _AsIs()
"""Fills each slot with itself."""


class Composer:
    """Joins the pieces of a telling into one growing value.

    The text field is joined with a space and lists at the top are concatenated; of every other
    field the first piece decides. A piece in which no JSON begins is plain text, and becomes the
    text field. Patches come out in the order they apply, and nothing that is marked done changes.

    :param text_field: the field whose growth is the telling's text.
    """

    def __init__(self, text_field: str) -> None:
        self.value: dict[str, Any] = {}
        self.text = ""
        self.torn = False
        """Whether the last piece that is over has its text only in part."""
        self._text_field = text_field
        self._piece: _Piece | None = None
        self._before: dict[str, Any] | None = None
        self._last = True
        self._gap = False
        self._started = False

    def begin(
        self, values: Mapping[str, Any], *, last: bool, lacking: Collection[str] = ()
    ) -> None:
        """The next piece starts; ``values`` fill its slots; those ``lacking`` have none."""
        self._piece = _Piece(values, self._text_field, lacking)
        self._last = last
        self._before = None
        self._gap = False
        if self._started:
            self._before = {
                key: len(item) if isinstance(item, list) else item
                for key, item in self.value.items()
            }

    def feed(self, chunk: str) -> tuple[list[Patch], str]:
        """More of the piece: the patches it makes, and what they add to the text."""
        assert self._piece is not None
        return self._take(self._piece.feed(chunk))

    def finish(self) -> tuple[list[Patch], str]:
        """The piece is over: text held back for a slot comes out."""
        assert self._piece is not None
        piece, self._piece = self._piece, None
        rest = piece.finish()
        self.torn = piece.torn
        return self._take(rest)

    @property
    def breaks_off(self) -> bool:
        """Whether the piece under way, if nothing more comes, may have its text only in part."""
        return self._piece is not None and (self._piece.torn or self._piece.broken)

    def append(self, text: str, *, last: bool = True) -> tuple[list[Patch], str]:
        """Add plain text of our own, after a space, or an ellipsis where a sentence was cut."""
        self.begin({}, last=last)
        if self.text.strip() and not self.text.rstrip().endswith(SENTENCE_ENDS):
            text = f"… {text}"
        patches, first = self.feed(text)
        more, second = self.finish()
        return patches + more, first + second

    def _take(self, patches: list[Patch]) -> tuple[list[Patch], str]:
        grown, out = "", []
        for patch in patches:
            joined = self._join(patch)
            if joined is None:
                continue
            self.value = apply(self.value, joined)
            self._started = True
            if joined.path == (self._text_field,) and isinstance(joined.value, str):
                grown += joined.value
            out.append(joined)
        self.text += grown
        return out, grown

    def _join(self, patch: Patch) -> Patch | None:
        """The patch as it applies to the whole telling, or nothing."""
        path, op, value = patch.path, patch.op, patch.value
        if not path:
            begins = self._before is None and isinstance(value, dict)
            wanted = self._last and self._started if op == "done" else begins
            return patch if wanted else None
        top = path[0]
        if not isinstance(top, str):  # a list at the top is no telling
            return None
        kept = ABSENT if self._before is None else self._before.get(top, ABSENT)
        if len(path) == 1:
            joins = top == self._text_field or isinstance(self.value.get(top), list)
            if op == "done" and joins:
                return patch if self._last else None
            if kept is ABSENT:
                return patch
            if top == self._text_field and isinstance(kept, str) and isinstance(value, str):
                self._gap = self._gap or (op == "set" and kept != "" and not kept[-1].isspace())
                if value:
                    value, self._gap = f" {value}" if self._gap else value, False
                    return Patch(path, "append", value)
            return None
        if kept is ABSENT:
            return patch
        index = path[1]
        is_list = isinstance(self.value.get(top), list)
        if is_list and isinstance(kept, int) and isinstance(index, int):
            return Patch((top, index + kept, *path[2:]), op, value)
        return None


class _Piece:
    """The patches of one piece, with its slots filled."""

    def __init__(
        self, values: Mapping[str, Any], text_field: str, lacking: Collection[str]
    ) -> None:
        self._values = values
        self._lacking = lacking
        self._text_path: tuple[str | int, ...] = (text_field,)
        self._head = ""
        self._parser: PartialParser | None = None
        self._plain = False
        self._fillers: dict[tuple[str | int, ...], SlotFiller] = {}

    @property
    def torn(self) -> bool:
        """Whether its text has begun as a JSON string, and not ended; or seems to have.

        Where no JSON follows it, most likely a quotation mark within it was not escaped.
        """
        parser = self._parser
        if parser is None or parser.state(self._text_path) is Progress.GROWING:
            return parser is not None
        parser.finish()
        return self._text_path in parser.lost

    @property
    def broken(self) -> bool:
        """Whether its JSON is broken somewhere; one that is only cut off so far is not."""
        found = None if self._parser is None else self._parser.finish()
        return isinstance(found, Partial) and found.position is not None

    def feed(self, chunk: str) -> list[Patch]:
        if self._parser is not None:
            return self._filled(self._parser.feed(chunk))
        if self._plain:
            return self._filled([Patch(self._text_path, "append", chunk)])
        self._head = (self._head + chunk).lstrip()
        if JSON_BEGINS.search(self._head, 0, PREAMBLE):
            self._parser = PartialParser(expect="object")
            return self._filled(self._parser.feed(self._head))
        return self._as_text(self._head) if len(self._head) >= PREAMBLE else []

    def finish(self) -> list[Patch]:
        out: list[Patch] = []
        text = ""
        if self._parser is not None and self._parser.value is MISSING:
            text = self._parser.raw_text
        elif self._parser is None and not self._plain:
            text = self._head
        if not ONLY_BEGUN.fullmatch(text):
            out = self._as_text(text)
        for path, filler in self._fillers.items():
            if held := filler.finish():
                out.append(Patch(path, "append", held))
        if self._plain:
            out += [Patch(self._text_path, "done", None), Patch((), "done", None)]
        return out

    def _as_text(self, text: str) -> list[Patch]:
        self._plain = True
        return self._filled([Patch((), "set", {}), Patch(self._text_path, "set", text)])

    def _filled(self, patches: list[Patch]) -> list[Patch]:
        out = []
        for path, op, value in patches:
            filler = self._fillers.get(path)
            if op == "done":
                if filler is not None and (held := self._fillers.pop(path).finish()):
                    out.append(Patch(path, "append", held))
            elif isinstance(value, str):
                if filler is None:
                    filler = self._fillers[path] = SlotFiller(self._values, lacking=self._lacking)
                value = filler.feed(value)
                if not value and op == "append":
                    continue
            out.append(Patch(path, op, value))
        return out
