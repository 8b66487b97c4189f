"""A whole value that came without its patches, after those of a part of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .partials import Patch, Path

__all__ = ["grows_into", "rest_of"]


def grows_into(have: Any, value: Any) -> bool:
    """Whether more patches could make ``value`` of ``have``."""
    if isinstance(have, str) and isinstance(value, str):
        return value.startswith(have)
    if isinstance(have, dict) and isinstance(value, dict):
        return all(key in value and grows_into(each, value[key]) for key, each in have.items())
    if isinstance(have, list) and isinstance(value, list):
        same = zip(have, value, strict=False)
        return len(have) <= len(value) and all(grows_into(a, b) for a, b in same)
    return type(have) is type(value) and bool(have == value)


def rest_of(path: Path, have: Any, value: Any) -> Iterator[Patch]:
    """The patches that make ``value`` of ``have``, and complete it."""
    if isinstance(value, str):
        if len(value) > len(have):
            yield Patch(path, "append", value[len(have) :])
    elif isinstance(value, (dict, list)):
        for key, each in value.items() if isinstance(value, dict) else enumerate(value):
            inner = (*path, key)
            if key in have if isinstance(have, dict) else key < len(have):
                yield from rest_of(inner, have[key], each)
            else:
                yield Patch(inner, "set", each)
    yield Patch(path, "done", None)
