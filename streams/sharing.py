"""States that come again and again: what has not changed is neither read nor compared anew."""

from __future__ import annotations

from typing import Any

import orjson

__all__ = ["Shared"]


class _Part:
    """A JSON value as it was written and as it was read; the members of an object when needed.

    What was written stands in the members then, and not beside them: it is gone through once.
    """

    __slots__ = ("members", "raw", "value")

    def __init__(self, raw: bytes, value: Any, members: _Members | None = None) -> None:
        self.raw = b"" if members else raw
        self.value = value
        self.members = members


_Members = dict[str, tuple[bytes, _Part]]
"""By name, each as it was written, with the comma after it, and its value."""

BRACE, COMMA = b"{,"


class Shared:
    """Reads one snapshot after the other; what is equal in two of them is one and the same object.

    ``orjson`` writes a value always in the same way, so parts are compared as bytes, and only the
    members between the first and the last that differ are read. What is returned is shared: it
    must not be changed.

    :param depth: objects this deep within each other are taken member by member, deeper ones whole.
    """

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self._last: _Part | None = None

    def loads(self, raw: bytes) -> Any:
        """The value of ``raw``, which is JSON as ``orjson`` writes it."""
        self._last = _read(raw, self._last, self._depth)
        return self._last.value


def _read(raw: bytes, last: _Part | None, depth: int) -> _Part:
    if last is None or depth == 0 or raw[0] != BRACE or type(last.value) is not dict:
        return _Part(raw, orjson.loads(raw))
    if raw == last.raw:
        return last
    known = _members(last)
    text = b"%b," % raw[1:-1]
    start, stop = 0, len(text)
    first, rest = 0, len(known)
    for member, _ in known.values():
        if not text.startswith(member, start):
            break
        first += 1
        start += len(member)
    if start == stop and first == rest:
        return last
    for member, _ in reversed(known.values()):
        # Valid JSON that ends in a comma and a whole member has that member at its end: quotes
        # and brackets in it are even, so the comma stands in no string and in no other object.
        begin = stop - len(member)
        if begin <= start or text[begin - 1] != COMMA or not text.startswith(member, begin):
            break
        rest -= 1
        stop = begin
    found = _between(text[start : stop - 1], known, depth - 1) if start < stop else {}
    names = [*known]
    if [*found] == names[first:rest]:  # as it nearly always is
        members = {**known, **found}
        value = {**last.value, **{name: part.value for name, (_, part) in found.items()}}
    else:
        members = {name: known[name] for name in names[:first]}
        members |= found
        members |= {name: known[name] for name in names[rest:]}
        value = {name: part.value for name, (_, part) in members.items()}
    return _Part(raw, value, members)


def _between(text: bytes, known: _Members, depth: int) -> _Members:
    """The members in ``text``; each is read against the known one of its name."""
    found = {}
    values = orjson.loads(b"{%b}" % text)
    only = len(values) == 1
    for name, value in values.items():
        head = b"%b:" % orjson.dumps(name)
        raw = text[len(head) :] if only else orjson.dumps(value)
        before = known.get(name) if type(value) is dict else None
        part = _Part(raw, value) if before is None else _read(raw, before[1], depth)
        found[name] = b"%b%b," % (head, raw), part
    return found


def _members(part: _Part) -> _Members:
    if part.members is None:
        part.members = {}
        for name, value in part.value.items():
            raw = orjson.dumps(value)
            part.members[name] = b"%b:%b," % (orjson.dumps(name), raw), _Part(raw, value)
    return part.members
