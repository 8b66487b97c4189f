"""Narrative in a terminal, word by word as it comes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol
from unicodedata import category

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from reactivex import abc

__all__ = ["Terminal", "counted", "plain", "print_narrative", "safe"]

# Everything that moves a cursor, rings, or turns the direction of writing; lone surrogates, which
# no terminal can be sent. Line ends stay, tabs become spaces.
_UNSAFE: dict[int, int | str | None] = {
    **dict.fromkeys((*range(0x20), *range(0x7F, 0xA0))),
    **dict.fromkeys((0x200E, 0x200F, 0x061C, *range(0x202A, 0x202F), *range(0x2066, 0x206A))),
    **dict.fromkeys((0x2028, 0x2029), "\n"),
    **dict.fromkeys(range(0xD800, 0xE000), "\N{REPLACEMENT CHARACTER}"),
    0x09: " ",
    0x0A: "\n",
}


def plain(text: str) -> str:
    """``text`` without control characters: what a model writes is data and commands nothing."""
    return text.translate(_UNSAFE)


def _pieces(word: str) -> list[str]:
    """Between these a line may be broken: beside signs of a script that has no spaces.

    Marks that end something stay with what is before them, and those that open it with what comes.
    """
    if word.isascii():
        return [word]
    found, before = [""], ""
    for sign in word:
        beside = _stands_alone(sign) or _stands_alone(before)
        clings = category(sign) in _CLINGING or (before and category(before) in _OPENING)
        if before and beside and not clings:
            found.append(sign)
        else:
            found[-1] += sign
        before = sign
    return found


_CLINGING = ("Pe", "Pf", "Po", "Lm", "Mn", "Mc", "Me", "Cf")
_OPENING = ("Ps", "Pi", "Cf")


def _stands_alone(sign: str) -> bool:
    hangul = "\u1100" <= sign <= "\u11ff" or "\uac00" <= sign <= "\ud7a3"  # has spaces
    return not hangul and cell_len(sign) > 1


def counted(number: int, what: str) -> str:
    """``1 turn``, ``2 turns``."""
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def safe(text: str, style: str = "") -> Text:
    """``text`` for rich: no control characters, and brackets are brackets, not markup."""
    return Text(plain(text), style)


class _Session(Protocol):
    def subscribe(
        self, handler: Callable[[Any], Any], viewer: str | None = None
    ) -> abc.DisposableBase: ...


def print_narrative(
    session: _Session, console: Console | None = None, viewer: str | None = None
) -> abc.DisposableBase:
    """Print a session's narrative as it streams, one telling a paragraph.

    Dispose what is returned to stop; nothing else ends by it.

    :param console: where to; standard output, if none is given.
    :param viewer: only what this viewer may see.
    """
    return session.subscribe(Terminal(console or Console(highlight=False)).on_event, viewer)


class Terminal:
    """Prints the events of a narrative, wrapped between words while they stream, and of plans.

    A word is printed when it is known to be whole; of Chinese or Japanese, each sign. A telling
    cut short ends in a dash; one that failed ends in its fallback text, and the reason. Steps
    of plans stand between tellings: what comes while one is told is printed after it.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._column = 0
        self._gap = 0
        self._held = ""
        self._telling = False
        self._steps: list[str] = []

    def on_event(self, event: Any) -> None:
        """Take in an event of the narrative."""
        self._telling = not hasattr(event, "status")
        if self._telling:
            self._write(plain(getattr(event, "text", "")))
            return
        if event.status == "superseded" and event.text:
            self._write(" —")
        self._end_line()
        if event.status == "failed":
            self._console.print(safe(f"({event.error})", "dim"))
        if event.text:
            self._console.print()
        for line in self._steps:
            self._console.print(safe(line, "dim"))
        self._steps.clear()

    def on_plan(self, event: Any) -> None:
        """Take in an event of a plan."""
        step = getattr(event, "step", None)
        if step is None:
            return
        what = ", ".join(str(value) for value in step.args.values())
        line = f"{event.agent}: {step.tool} {what}".rstrip() + f" ({step.source})"
        if self._telling:
            self._steps.append(line)
        else:
            self._console.print(safe(line, "dim"))

    def _write(self, text: str) -> None:
        first, *lines = text.split("\n")
        self._words(first)
        for line in lines:
            self._end_line()
            self._words(line)

    def _words(self, text: str) -> None:
        *words, last = (self._held + text).split(" ")
        for word in words:
            for piece in _pieces(word):
                self._word(piece)
            self._gap += 1
        *whole, self._held = _pieces(last)
        for piece in whole:
            self._word(piece)

    def _word(self, word: str) -> None:
        width = cell_len(word)
        if not word:
            return
        if self._column + self._gap + width > self._console.width:
            if self._column:
                self._console.print()
            self._column = self._gap = 0
        self._console.out(" " * self._gap + word, end="", highlight=False)
        self._column += self._gap + width
        self._gap = 0

    def _end_line(self) -> None:
        word, self._held = self._held, ""
        self._word(word)
        if self._column:
            self._console.print()
        self._column = self._gap = 0
