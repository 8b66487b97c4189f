"""Of which list an object is, where brackets do not say: of that whose objects have its names.

Where brackets are wrong twice, nothing reads as JSON up to the end, whatever is made of the first
of them. But the steps of a plan look like each other, and not like what they lie in or hold.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from itertools import islice
from typing import Any

from .partial_brackets import Names, Place, names_in, next_member, next_object

__all__ = ["SEEN", "element", "kin", "labelled", "member", "names_of"]

SEEN = 16  # the names of so many elements, the last ones of a list, are looked at
LABEL = re.compile(r":\s*(?=\{)")
AFTER_LABELLED = re.compile(r'\s*(?:\]|,\s*(?=\{)|,\s*("[^"\\\n]{0,64}"\s*:\s*)(?=\{))')


def labelled(boxes: list[Any], text: str) -> bool:
    """Whether an element with a name before it begins there, after that: others are like it."""
    label = LABEL.match(text)
    if label is None:
        return False
    names = names_in(text, label.end(), whole=True)
    after = AFTER_LABELLED.match(text, names.end)
    if after is None:
        return False
    another = after.lastindex and names.own & names_in(text, after.end(), whole=True).own
    return kin(boxes, names, here=bool(another)) == len(boxes)


def element(text: str, boxes: list[Any]) -> tuple[Place | None, int]:
    """The next object, if it has the names of those in one of the lists; how far it looked."""
    name = next(reversed(boxes[-1]), None) if text[:1] == ":" else None
    own = {name} if type(boxes[-1]) is list and isinstance(name, str) else set()
    depth, pos, seen = None, len(text), 0
    quote = text.find('"') + 1  # the first one may be a stray one
    for start in (0, quote) if quote else (0,):
        found = next_object(text[start:pos])
        seen += pos if found is None else found.bracket
        if found is not None:
            one = kin(boxes, names_in(text, start + found.bracket), found.names | own)
            if one or not start:
                depth, pos = one, start + found.comma
    return None if depth is None else (depth, pos), seen


def member(text: str, boxes: list[Any]) -> tuple[Place | None, int]:
    """The next name with an object, if it has the names of those in one of the objects."""
    comma, bracket = next_member(text)
    depth = None if comma is None else kin(boxes, names_in(text, bracket), among=dict)
    return None if comma is None or depth is None else (depth, comma), bracket


def kin(
    boxes: list[Any],
    names: Names,
    own: Collection[str] = (),
    *,
    here: bool = False,
    among: type = list,
) -> int | None:
    """How many of ``boxes`` stay open for an object with such names; ``None`` if nobody knows.

    :param own: names of the object that broke, beside those in its box.
    :param here: whether it stands where an element of the innermost list may stand.
    :param among: whether it is an element of a list, or a member of an object.
    """
    lists = {depth: names_of(box) for depth, box in enumerate(boxes, 1) if type(box) is among}
    for wanted in names[:2]:
        shared = {depth: len(wanted & known) for depth, known in lists.items()}
        if most := max(shared.values(), default=0):
            found = [depth for depth, count in shared.items() if count == most]
            return found[0] if len(found) == 1 else None
    if among is dict:
        return None
    if here and not lists.get(len(boxes), {""}):
        return len(boxes)
    around = max((depth for depth in lists if depth < len(boxes)), default=0)
    if not around or type(boxes[around]) is not dict:
        return None
    last = next(reversed(boxes[-1].values()), None) if type(boxes[-1]) is dict else None
    held = last if type(last) is dict else ()
    return around if names.own & {*own, *held} else None


def names_of(box: Any) -> set[str]:
    """The names of the objects in a list or an object."""
    last = islice(reversed(box if type(box) is list else box.values()), SEEN)
    return {name for each in last if type(each) is dict for name in each}
