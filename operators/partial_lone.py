"""A text that begins with a quote may as a whole be one string, and the brackets in it are text.

So it is put aside up to what shows that it is more than a string; then it is read from its start.
A code fence may be around the string.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import orjson

from .partial_text import OPEN_ESCAPE, SPACE, TOKEN, segment

if TYPE_CHECKING:
    from .partial_machine import Machine

__all__ = ["ended", "fenced", "over", "quoted", "refused", "start", "unfenced"]

CONTENT = re.compile(r'[^"\\\x00-\x1f]*+(?:\\[^\x00-\x1f][^"\\\x00-\x1f]*+)*+')
FENCE = re.compile(r'```[a-zA-Z]{0,31}(?=[\s"])')
FENCE_CUT = re.compile(r"`{1,2}|```[a-zA-Z]{0,31}")
FENCE_BEGINS = re.compile(r"\s*+```[a-zA-Z]*+")
STRING = segment('"', strict=True)
AFTER = re.compile(r"[ \t\n\r`]*+")


def unfenced(text: str) -> str:
    """What a code fence holds, if the text is nothing else; else the text."""
    found = FENCE_BEGINS.match(text)
    return text[found.end() :].strip().removesuffix("```").rstrip() if found else text


def start(m: Machine, text: str, pos: int) -> int:
    """Up to the first character that is no blank."""
    end = SPACE.match(text, pos).end()  # type: ignore[union-attr]
    if FENCE_CUT.fullmatch(text, end) and not m._ended:
        m._prose.append(text[pos:end])
        return m._hold(text, end)
    if fence := FENCE.match(text, end):
        m._prose.append(text[pos : fence.end()])
        m._go("fenced")
        return fence.end()
    return fenced(m, text, pos)


def fenced(m: Machine, text: str, pos: int) -> int:
    """Up to the first character that is no blank, after a fence or without one."""
    end = SPACE.match(text, pos).end()  # type: ignore[union-attr]
    if text[end : end + 1] == '"':
        m._go("quoted")
        end += 1
    elif end < len(text):
        m._go("before")
        return pos
    m._prose.append(text[pos:end])
    return end


def quoted(m: Machine, text: str, pos: int) -> int:
    """Up to the closing quote."""
    end = CONTENT.match(text, pos).end()  # type: ignore[union-attr]
    rest = text[end : end + 2]
    if rest[:1] == '"':
        end += 1
        m._go("over")
    elif rest == "\\":
        if not m._ended:
            m._prose.append(text[pos:end])
            return m._hold(text, end)
        end += 1
    elif rest:
        return _anew(m, text, pos)
    m._prose.append(text[pos:end])
    return end


def over(m: Machine, text: str, pos: int) -> int:
    """After the closing quote: nothing but blanks and a fence, or it was no string."""
    end = AFTER.match(text, pos).end()  # type: ignore[union-attr]
    if end < len(text):
        return _anew(m, text, pos)
    m._prose.append(text[pos:])
    return end


def ended(m: Machine) -> None:
    """No more comes: unless the text is one string, it is read for what is in it."""
    if m._step in (m._steps["quoted"], m._steps["over"]):
        try:
            orjson.loads(unfenced("".join(m._prose)[m._thought :]))
        except orjson.JSONDecodeError:
            _anew(m, "", 0)


def refused(text: str) -> tuple[str, int | None]:
    """Why a text that was to be one string or scalar is none, and where that shows."""
    begin = SPACE.match(text).end()  # type: ignore[union-attr]
    if text[begin] == '"':
        end = STRING.match(text, begin + 1).end()  # type: ignore[union-attr]
        if OPEN_ESCAPE.fullmatch(text, end) or end == len(text):
            return "cut off in a string", None
        if text[end] != '"':
            what = "an escape that JSON has not" if text[end] == "\\" else "text that is not JSON's"
            return f"{what} in a string (character {end})", end
        end += 1
    else:
        end = TOKEN.match(text, begin).end()  # type: ignore[union-attr]
        try:
            orjson.loads(text[begin:end])
        except orjson.JSONDecodeError:
            return f"{text[begin:end][:40]!r} is no JSON value (character {begin})", begin
    end = SPACE.match(text, end).end()  # type: ignore[union-attr]
    return f"{text[end]!r} where the end belongs (character {end})", end


def _anew(m: Machine, text: str, pos: int) -> int:
    m._prose.append(text[pos:])
    whole = "".join(m._prose)
    m._prose = [whole[: m._thought]]
    m._go("before")
    m._read_on(whole[m._thought :], 0)
    return len(text)
