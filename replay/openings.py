"""What a recording says of the game it was made with, and of the Foretell that made it."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from os import PathLike
from typing import Any

from ..streams.log_read import BadLine, LogError, open_lines, parse
from ..streams.log_schema import RECORDING

__all__ = ["another_version", "guests_of", "last_t", "no_game", "openings"]

Opening = Mapping[str, Any]
"""An ``~opened`` line: one for each sitting, with ``version``, ``settings`` and ``guests``."""


def openings(path: str | PathLike[str]) -> list[Opening]:
    """The ``~opened`` lines of a log, as far as it can be read."""
    lines = (_parsed(raw) for raw in _lines(path) if b'"~opened"' in raw)
    return [line for line in lines if line.get("kind") == "~opened"]


def last_t(path: str | PathLike[str]) -> float:
    """The time of a log's last line that can be read, in seconds; 0 if there is none."""
    last = deque(_lines(path), maxlen=2)  # the very last may be cut short
    return max((float(_parsed(raw).get("t", 0.0)) for raw in last), default=0.0)


def _lines(path: str | PathLike[str]) -> Iterator[bytes]:
    with suppress(LogError), open_lines(path, lambda _: None) as lines:
        for line in lines:  # who reads it in earnest says what is wrong with it
            yield line.raw


def _parsed(raw: bytes) -> Opening:
    try:
        return parse(raw)
    except BadLine:
        return {}


def guests_of(openings: Iterable[Opening]) -> dict[str, str]:
    """What of its own the game of a recording had, by name: ``prompts``, ``view`` and so on."""
    guests: dict[str, str] = {}
    for opening in openings:
        own = opening.get("guests")
        guests |= own if isinstance(own, Mapping) else {}
    return guests


def no_game(path: str | PathLike[str], guests: Mapping[str, str]) -> str:
    """Why a recording with guests needs its game."""
    named = ", ".join(f"{name} {guest}" for name, guest in guests.items())
    return f"{path}: was recorded with {named}: say how to make that game (--game MODULE:FUNCTION)"


def another_version(openings: Iterable[Opening]) -> str | None:
    """That another Foretell has recorded it, if one has, in a few words."""
    from .. import __version__

    said = [(each.get("version") or "of no version", each.get("recording", 0)) for each in openings]
    others = {str(version): None for version, _ in said}
    others.pop(__version__, None)
    if others:
        return f"recorded by Foretell {', '.join(others)}, and this is {__version__}"
    builds = {str(build): None for _, build in said if build != RECORDING}
    if not builds:
        return None
    return (
        f"recorded by another build of Foretell {__version__}: "
        f"revision {', '.join(builds)} of what is recorded, and this writes revision {RECORDING}"
    )
