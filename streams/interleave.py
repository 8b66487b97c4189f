"""Several texts written side by side, a piece of each in turn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

__all__ = ["Piece", "interleaved"]


class Piece(NamedTuple):
    """A piece of the text number ``of``, and whether it is its first and its last."""

    of: int
    text: str
    first: bool
    last: bool


def interleaved(texts: Sequence[Sequence[str]]) -> Iterator[Piece]:
    """One piece of each text in turn, until each has come to its end; an empty one has none."""
    for turn in range(max(map(len, texts), default=0)):
        for number, pieces in enumerate(texts):
            if turn < len(pieces):
                yield Piece(number, pieces[turn], turn == 0, turn == len(pieces) - 1)
