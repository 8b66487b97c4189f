"""How a log names the outcome of an action that nobody declared."""

from __future__ import annotations

__all__ = ["numbered"]


def numbered(name: str) -> int | None:
    """The number in a name such as ``#12``, which means the outcome that was input 12."""
    digits = name.removeprefix("#")
    return int(digits) if digits != name and digits.isdecimal() and len(digits) < 16 else None
