"""What is not valid in a growing value: said once, found by path, and kept for each moment."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import takewhile
from typing import Any, NamedTuple

from pydantic import ValidationError

from .partials import Path

__all__ = ["LOST", "ErrorMark", "Errors", "FieldError", "said"]

LOST = "lost"
"""The type of the error of what stood in the text and could not be read."""

ErrorMark = tuple[int, int]
"""A moment: so many errors had been found, and so many times some had been forgotten."""


class FieldError(NamedTuple):
    """Why a complete part is not valid. ``path`` in the model's names; ``value`` as it came."""

    path: Path
    message: str
    type: str
    value: Any


class Errors:
    """The errors of one value. They are only ever added to, so that a moment is two numbers.

    ``forgotten`` says when those were that no longer hold. Each is found by every beginning of its
    path: what is asked about a part costs what was ever wrong in it, not what is wrong elsewhere.
    """

    __slots__ = ("_forgotten", "_found", "_inside", "_times")

    def __init__(self) -> None:
        self._found: list[FieldError] = []
        self._inside: dict[Path, list[int]] = {}
        self._forgotten: dict[int, int] = {}
        self._times = 0

    def mark(self) -> ErrorMark:
        """How far it is at this moment."""
        return len(self._found), self._times

    def add(self, errors: Iterable[FieldError]) -> None:
        """More of them."""
        for error in errors:
            at = len(self._found)
            self._found.append(error)
            for length in range(len(error.path) + 1):
                self._inside.setdefault(error.path[:length], []).append(at)

    def forget(self, path: Path) -> None:
        """What was wrong at ``path`` or inside is so no longer; what is lost remains lost."""
        found = (at for at in self._inside.get(path, ()) if at not in self._forgotten)
        held = [at for at in found if self._found[at].type != LOST]
        if held:
            self._times += 1
            self._forgotten.update(dict.fromkeys(held, self._times))

    def any(self, path: Path) -> bool:
        """Whether something is wrong now, at ``path`` or inside."""
        return any(at not in self._forgotten for at in self._inside.get(path, ()))

    def at(self, mark: ErrorMark, path: Path = ()) -> tuple[FieldError, ...]:
        """What was wrong at that moment, at ``path`` or inside, in the order it was found."""
        count, times = mark
        return tuple(
            self._found[at]
            for at in takewhile(lambda at: at < count, self._inside.get(path, ()))
            if self._forgotten.get(at, times + 1) > times
        )

    def now(self, path: Path = ()) -> tuple[FieldError, ...]:
        """What is wrong now, at ``path`` or inside."""
        return self.at(self.mark(), path)


def said(error: BaseException) -> str:
    """One line on an error."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        return f"not valid: {where}: {first['msg']}".replace("\n", " ")
    lines = str(error).splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"
