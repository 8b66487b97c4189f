"""What a tolerant reader of streaming JSON makes of text that JSON has not: only what is certain.

Each takes over from a state of the machine at a position, and returns the position to go on from.
A strict machine stops at all of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .partial_patches import Patch
from .partial_text import BARE_NAME, SPACE

if TYPE_CHECKING:
    from .partial_machine import Machine
    from .partial_reading import Reading
    from .partial_scalars import Scalars

__all__ = [
    "bare",
    "block_comment",
    "common",
    "drop",
    "dropped",
    "line_comment",
    "mark",
    "no_comma",
    "no_name",
    "no_scalar",
    "no_value",
    "quote",
]

PLAIN_WORD = re.compile(r"[\w.+\-*/%]+")  # no quote or bracket is in it, so it ends where it ends
MARK = re.compile(r"-|[0-9]{1,3}[.)]")
HASH = re.compile(r'#[ \t#](?:[^\n\[\]{}"]|"(?!\s*:)){0,256}+')
GAP = 64  # so many blanks may follow it
BOX = re.compile(r"[\[{]")
QUOTES = {"'": "'", "“": '“”„"', "”": '“”„"', "„": '“”„"'}


def common(m: Machine, wanted: str, text: str, pos: int) -> int:
    """A comment or a blank of another alphabet; at anything else reading stops."""
    char = text[pos]
    if not m._strict:
        if char.isspace() or char == "\ufeff":
            m._note("a blank that JSON has not", text, pos)
            return pos + 1
        if char == "/":
            if pos + 1 == len(text) and not m._ended:
                return m._hold(text, pos)
            if text.startswith(("//", "/*"), pos):
                m._note("a comment", text, pos)
                m._back = m._step
                m._go(text[pos : pos + 2])
                return pos + 2
        if char == "#":
            end = hash_comment(m, text, pos)
            if end is not None:
                return end
    return m._unexpected(wanted, text, pos)


def line_comment(m: Machine, text: str, pos: int) -> int:
    """The rest of a line."""
    end = text.find("\n", pos)
    if end < 0:
        return len(text)
    m._step = m._back
    return end


def block_comment(m: Machine, text: str, pos: int) -> int:
    """All up to the end of a comment."""
    end = text.find("*/", pos)
    if end >= 0:
        m._step = m._back
        return end + 2
    return m._hold(text, len(text) - 1) if text[-1] == "*" and not m._ended else len(text)


def hash_comment(m: Machine, text: str, pos: int) -> int | None:
    """The rest of a line after ``#`` and a blank, if nothing in it looks like JSON."""
    begun = HASH.match(text, pos)
    end = pos + 1 if begun is None else begun.end()
    if end == len(text) and not m._ended:
        return m._hold(text, pos)
    if begun is None or (end < len(text) and text[end] != "\n"):
        return None
    m._note("a comment", text, pos)
    return end


def no_name(m: Machine, text: str, pos: int) -> int:
    """A name in other quotes or in none, or one comma too many."""
    char = text[pos]
    if not m._strict:
        if char in QUOTES:
            m._note("a name in other quotes than JSON's", text, pos)
            return m._begin_name(QUOTES[char], pos)
        if char.isascii() and (char.isalpha() or char in "_$"):
            m._note("a name without quotes", text, pos)
            m._token = []
            m._go("bare name")
            return pos
        if char == ",":
            m._note("a comma too many", text, pos)
            return m._comma(pos)
    return common(m, "a name in quotes", text, pos)


def bare(m: Machine, text: str, pos: int) -> int:
    """A name without quotes; only a colon after it makes it one."""
    end = BARE_NAME.match(text, pos).end()  # type: ignore[union-attr]
    m._token.append(text[pos:end])
    return end if end == len(text) else m._named("".join(m._token), text, end)


def no_value(m: Machine, text: str, pos: int) -> int:
    """A string in other quotes, a word or number of another language, or nothing at all."""
    char = text[pos]
    if not m._strict:
        if char in QUOTES:
            m._note("a string in other quotes than JSON's", text, pos)
            return m._begin_string(QUOTES[char], text, pos + 1)
        if char.isascii() and (char.isalpha() or char in "+."):
            return m._begin_scalar(text, pos)
        if type(m._box) is dict:
            if char in ",}":
                m._spoil(f"no value for the name {m._name[:40]!r}", m._where(text, pos))
                m._finish_value()
                return pos
        elif char == ",":
            m._note("a comma too many", text, pos)
            return pos + 1
    return common(m, "a value", text, pos)


def no_scalar(m: Scalars, token: str, text: str, end: int) -> int:
    """A word or number that is none of JSON's is lost, if what follows shows that it is over.

    In an array null stands in its place, so that those after it keep theirs.
    """
    reason = f"{token[:40]!r} is no JSON value"
    in_list = type(m._box) is list
    if not m._strict and (box := BOX.search(token)):  # an object or array begins in it
        m._stop(reason, token[box.start() :] + text[end:], 0)
        return len(text)
    after = SPACE.match(text, end).end()  # type: ignore[union-attr]
    if m._strict:
        return m._stop(reason, text, end - len(token))
    if after - end > GAP or not PLAIN_WORD.fullmatch(token):
        return m._stop(reason, text, end)
    if after == len(text) and not m._ended:
        return m._hold(text, end)
    if text[after : after + 1] not in {",", "]" if in_list else "}"}:
        return m._stop(reason, text, end)
    at = m._place_path()
    m._lose(at, reason, m._where(text, end) - len(token))
    if in_list:
        m._place(None)
        m._patches.append(Patch(at, "set", None))
    m._finish_value()
    return after


def mark(m: Scalars, token: str, text: str, end: int) -> int | None:
    """The bullet or number of an element of a list: on to the element."""
    if m._strict or type(m._box) is not list or not MARK.fullmatch(token):
        return None
    after = SPACE.match(text, end).end()  # type: ignore[union-attr]
    if after - end > GAP:
        return None
    if after == len(text) and not m._ended:
        return m._hold(text, end)
    if text[after : after + 1] not in ("{", "[", '"'):
        return None
    m._note("a bullet or number before an element", text, end - len(token))
    m._go("item")
    return after


def no_comma(m: Machine, text: str, pos: int) -> int:
    """A semicolon for a comma, or none where another value or name certainly begins."""
    char, gap = text[pos], m._gap
    if not m._strict:
        if char == ";":
            m._note("a semicolon for a comma", text, pos)
            return m._comma(pos)
        if _begins_another(m, char, gap > 0):
            m._note("no comma between two values", text, pos)
            m._go("item" if type(m._box) is list else "name")
            return pos
    m._gap = max(gap, 1)  # a blank or a comment, if reading goes on
    end = common(m, "a comma or a closing bracket", text, pos)
    if m._stopped:
        m._gap = gap
    return end


def _begins_another(m: Machine, char: str, gap: bool) -> bool:
    """Whether ``char`` begins a value or name, and is no rest of a string that ended early."""
    in_list = type(m._box) is list
    values = m._box if in_list else m._box.values()
    last = next(reversed(values), None)
    if char == '"' or char in QUOTES or (in_list and char in "{["):
        return gap or isinstance(last, (dict, list))
    return in_list and gap and not isinstance(last, str) and (char.isalnum() or char == "-")


def quote(m: Reading, piece: str, text: str, end: int) -> tuple[str, int, bool]:
    """A closing quote, or an apostrophe in a string in single quotes: a letter follows it."""
    if m._closers == "'":
        if end + 1 == len(text) and not m._ended:
            return piece, m._hold(text, end), False
        if text[end + 1 : end + 2].isalnum():
            m._note("an apostrophe in a string in single quotes", text, end)
            return f"{piece}'", end + 1, False
    return piece, end + 1, True


def drop(m: Machine, reason: str, text: str, pos: int) -> None:
    """The first value of a name stays; the later one is read aside, and shows nowhere."""
    m._spoil(reason, m._where(text, pos))
    if m._dropped is None:
        m._stack.append((m._box, m._path))
        m._box = {}
        m._dropped = len(m._stack)
        m._out, m._patches = m._patches, []


def dropped(m: Machine) -> None:
    """The value that shows nowhere is over."""
    m._box, m._path = m._stack.pop()
    m._patches = m._out
    m._dropped = None
