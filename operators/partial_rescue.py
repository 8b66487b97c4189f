"""A value that came to nothing, continued by a later one in the same text: only if they agree."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from .partial_machine import SCALAR
from .partial_patches import Patch, Path, apply
from .partial_text import begin
from .partial_trials import LEAST, PIECE

if TYPE_CHECKING:
    from .partial_parser import PartialParser

__all__ = ["Contradiction", "growth", "rescue", "told"]

ATTEMPTS = 16  # so many later values are tried at the end, if the first one came to nothing
INSIDE = re.compile(
    r"""(?:[\[{,]|(?:["']|[\[{,]\s*[\w$]++)\s*:)\s*[(`]?\s*\Z"""
)  # what precedes a value within another
GOES_ON = re.compile(r"\s*(?:[)`]++\s*)?[\]},:]")
STRING_ENDS = re.compile(  # the next quote on the line ends a string, and so began it before
    r"""(?:[^"'\\\n]|\\.|(?<=\w)'(?=\w)){0,1000}+["']\s*(?:[,:}\]]|\Z|(?<=\n))"""
)


class Contradiction(Exception):
    """The later value is not what was shown and more."""


def rescue(m: PartialParser, patches: list[Patch]) -> None:
    """A later value, if it continues what was shown; the first whole one decides."""
    text, pos = "".join(m._tail), int(m._back is SCALAR)  # what begins there is no value of its own
    left = LEAST
    for _ in range(ATTEMPTS):
        pos, sure = begin(text, pos, m._opening)
        if not sure or left <= 0:
            return
        reader = type(m)(expect=m._expect, max_depth=m._max_depth)
        reader._read_scalar = m._read_scalar
        inside = INSIDE.search(text[:pos]) is not None
        end = _read(reader, text, pos, inside)
        inside = inside or (GOES_ON.match(text, end) or STRING_ENDS.match(text, end)) is not None
        if reader._complete and not inside and _alike(m._root, reader.value):
            break
        left -= reader._tail_at if reader._stopped else end - pos
        pos = end if reader._complete else pos + max(1, reader._position or 0)
    else:
        return
    try:
        more = list(growth(m.value, reader.value, m._growing()))
    except Contradiction:
        m._flaw = f"{m._flaw}; a later value contradicts what was shown"
        m._tail = [text[:pos]]
        return
    for patch in more:
        apply(m._root, patch)
    patches += more
    m._notes["the value is continued by a later one"] = m._tail_at + pos
    m._flaw, m._position = reader._flaw, None
    m._complete, m._in_string = True, False


def _alike(old: Any, now: Any) -> bool:
    """Whether it may be another version, and no part of what was shown."""
    if not isinstance(old, dict) or not isinstance(now, dict):
        return type(old) is type(now)
    return not old or not old.keys().isdisjoint(now)


def _read(reader: PartialParser, text: str, pos: int, inside: bool) -> int:
    """Read a value, of one inside another no more than looking for a later one may cost."""
    end = pos
    while end < len(text) and not (reader._complete or reader._stopped):
        if end - pos > LEAST and (inside or reader._in_series):
            return end
        reader.feed(text[end : end + PIECE])
        end = min(end + PIECE, len(text))
    reader._catch_up()
    return end if reader._end is None else pos + reader._end


def growth(old: Any, now: Any, growing: Path, at: Path = ()) -> Iterator[Patch]:
    """The patches from ``old`` to ``now``; ``growing`` leads from here to what was not complete.

    :raises Contradiction: if ``now`` changes or lacks something of ``old``, or has more where
        ``old`` was complete.
    """
    if type(old) is not type(now):
        raise Contradiction
    if isinstance(old, str):
        if not now.startswith(old):
            raise Contradiction
        if len(now) > len(old):
            yield Patch(at, "append", now[len(old) :])
    else:
        before, after = _inside(old), _inside(now)
        for name, item in before.items():
            if name not in after:
                raise Contradiction
            if growing[:1] == (name,):
                yield from growth(item, after[name], growing[1:], (*at, name))
            elif repr(item) != repr(after[name]):  # 1, 1.0 and true are not the same here
                raise Contradiction
        for name, item in after.items():
            if name not in before:
                yield from told(item, (*at, name))
    yield Patch(at, "done", None)


def _inside(box: Any) -> dict[str | int, Any]:
    return box if isinstance(box, dict) else dict(enumerate(box))


def told(value: Any, at: Path = ()) -> Iterator[Patch]:
    """A whole value as patches."""
    if isinstance(value, (dict, list)):
        yield Patch(at, "set", type(value)())
        for name, item in _inside(value).items():
            yield from told(item, (*at, name))
    else:
        yield Patch(at, "set", value)
    if isinstance(value, (str, dict, list)):
        yield Patch(at, "done", None)
