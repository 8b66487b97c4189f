"""A value that came to nothing, continued by a later one in the same text: only if they agree."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .partial_patches import Patch, Path

__all__ = ["Contradiction", "growth"]


class Contradiction(Exception):
    """The later value is not what was shown and more."""


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
                yield from _told(item, (*at, name))
    yield Patch(at, "done", None)


def _inside(box: Any) -> dict[str | int, Any]:
    return box if isinstance(box, dict) else dict(enumerate(box))


def _told(value: Any, at: Path) -> Iterator[Patch]:
    """A whole value as patches."""
    if isinstance(value, (dict, list)):
        yield Patch(at, "set", type(value)())
        for name, item in _inside(value).items():
            yield from _told(item, (*at, name))
    else:
        yield Patch(at, "set", value)
    if isinstance(value, (str, dict, list)):
        yield Patch(at, "done", None)
