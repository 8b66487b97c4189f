"""States that come again and again: what has not changed is neither read nor compared anew."""

from __future__ import annotations

from typing import Any, NamedTuple

import orjson

__all__ = ["Shared"]


class _Part:
    """A JSON value as it was written and as it was read; the members of an object when needed."""

    __slots__ = ("members", "raw", "value")

    def __init__(self, raw: bytes, value: Any) -> None:
        self.raw = raw
        self.value = value
        self.members: dict[str, _Member] | None = None


class _Member(NamedTuple):
    text: bytes
    part: _Part


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
    if last is None or depth == 0 or raw[:1] != b"{" or last.raw[:1] != b"{":
        return _Part(raw, orjson.loads(raw))
    if raw == last.raw:
        return last
    known = _members(last)
    start, stop = 1, len(raw) - 1
    first: list[str] = []
    for name, (text, _) in known.items():
        end = start + len(text)
        if not raw.startswith(text, start) or raw[end : end + 1] not in (b",", b"}"):
            break
        first.append(name)
        start = end + 1
    rest: list[str] = []
    for name, (text, _) in reversed(known.items()):
        # Valid JSON that ends in a comma and a whole member has that member at its end: quotes
        # and brackets in it are even, so the comma stands in no string and in no other object.
        begin = stop - len(text)
        if begin <= start or raw[begin - 1 : begin] != b"," or not raw.startswith(text, begin):
            break
        rest.append(name)
        stop = begin - 1
    members = {name: known[name] for name in first}
    if start < stop:
        members.update(_between(raw[start:stop], known, depth - 1))
    members.update((name, known[name]) for name in reversed(rest))
    part = _Part(raw, {name: member.part.value for name, member in members.items()})
    part.members = members
    return part


def _between(text: bytes, known: dict[str, _Member], depth: int) -> dict[str, _Member]:
    """The members in ``text``; each is read against the known one of its name."""
    found = {}
    values = orjson.loads(b"{%b}" % text)
    only = len(values) == 1
    for name, value in values.items():
        head = orjson.dumps(name) + b":"
        raw = text[len(head) :] if only else orjson.dumps(value)
        before = known.get(name)
        nested = before is not None and isinstance(value, dict)
        part = _read(raw, before.part, depth) if nested and before else _Part(raw, value)
        found[name] = _Member(head + raw, part)
    return found


def _members(part: _Part) -> dict[str, _Member]:
    if part.members is None:
        part.members = {}
        for name, value in part.value.items():
            raw = orjson.dumps(value)
            part.members[name] = _Member(b"%b:%b" % (orjson.dumps(name), raw), _Part(raw, value))
    return part.members
