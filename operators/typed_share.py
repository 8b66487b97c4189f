"""A complete value holds its parts; what was made of them one by one need not be kept beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

if TYPE_CHECKING:
    from .typed_nodes import Box, Node

__all__ = ["share"]


def share(box: Box) -> None:
    """What was validated part by part lies in the value of the whole again: once is enough."""
    for part in box.boxes():
        if part.checked and not part.error:
            again = _inside(box.value, part)
            if type(again) is type(part.value) and _compares(part) and _equal(again, part.value):
                _move(part, again)


def _inside(value: Any, part: Node) -> Any:
    if type(value) is list:
        return value[part.at] if part.at < len(value) else None
    found = value if type(value) is dict else getattr(value, "__dict__", {})
    return found.get(part.name)


def _compares(box: Box) -> bool:
    """Whether what equals its value is the same to all who look; its parts lie in it already."""
    value = box.value
    ours: Any = BaseModel.__eq__
    plain = type(value) in (list, dict) or type(value).__eq__ is ours
    return plain and all(_inside(value, part) is part.value for part in box.boxes())


def _equal(one: Any, other: Any) -> bool:
    try:
        return bool(one == other)
    except Exception:  # of a value of whatever type a field has
        return False


def _move(box: Box, value: Any) -> None:
    box.value = value
    for part in box.boxes():
        _move(part, _inside(value, part))
