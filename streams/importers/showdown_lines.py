"""Pokémon Showdown: the lines of a battle, their parts, and the turns they make up."""

from __future__ import annotations

import os
import re
from collections.abc import Container, Iterator
from dataclasses import dataclass, field

from .common import ForeignFormatError, foreign_lines

__all__ = ["HEADS", "Ident", "Line", "Turn", "asked_with", "blocks", "chosen_in", "read_battle"]

TAG = re.compile(r"\[(\w+)\] ?(.*)")
IDENT = re.compile(r"(p\d)([a-c]?): (.+)")
HEADS = ("move", "switch", "cant")
"""What one who is on the field does, or cannot do; the lines that follow are what comes of it."""
BREAKS = ("", "t:", "upkeep", "win", "tie")
"""Lines after which nothing more belongs to what was done before."""
SENT_OUT = ("Eject Button", "Eject Pack", "ability: Emergency Exit", "ability: Wimp Out")
"""What sends one out of the field before it has acted."""


@dataclass(frozen=True, slots=True)
class Ident:
    """Who is meant: ``p1a: Gengar``. ``place`` is empty for one who is not on the field."""

    side: str
    place: str
    name: str

    @property
    def key(self) -> str:
        """The same for one Pokémon wherever it is."""
        return f"{self.side} {self.name}"

    @property
    def slot(self) -> str:
        """Its place on the field; in single battles each side has but one, ``p1a``."""
        return f"{self.side}{self.place or 'a'}"


@dataclass(frozen=True, slots=True)
class Line:
    """One line: ``|kind|argument|…|[tag] value``."""

    number: int
    kind: str
    args: tuple[str, ...] = ()
    tags: dict[str, str] = field(default_factory=dict)

    def arg(self, index: int) -> str:
        """An argument, empty where there is none."""
        return self.args[index] if index < len(self.args) else ""

    def ident(self, index: int = 0) -> Ident | None:
        """Whom an argument names, if it names anyone."""
        match = IDENT.fullmatch(self.arg(index))
        return Ident(*match.groups()) if match else None

    @property
    def who(self) -> Ident:
        """Whom the line is about.

        :raises ValueError: if it does not say.
        """
        found = self.ident()
        if found is None:
            raise ValueError("names no Pokémon such as p1a: Gengar")
        return found


@dataclass(frozen=True, slots=True)
class Turn:
    """A turn's number, and the lines up to the next; number 0 is what precedes the first."""

    number: int
    lines: list[Line]


def read_battle(path: str | os.PathLike[str]) -> list[Turn]:
    """The turns of a battle, beginning with what comes before the first.

    What stands in the file between the lines of the protocol is passed over.

    :raises ForeignFormatError: if the file is not one battle.
    """
    turns = [Turn(0, [])]
    players = False
    secret = 0
    for number, text in enumerate(foreign_lines(path), 1):
        if not text.startswith("|"):
            continue
        line = _line(number, text)
        if line.kind == "split":  # the next line is for its owner, and the one after for the rest
            secret = number + 2
        elif number == secret:
            continue
        elif line.kind == "turn":
            turns.append(Turn(_next(path, line, turns[-1].number), []))
        else:
            players = players or line.kind == "player"
            turns[-1].lines.append(line)
    if not players:
        raise ForeignFormatError(path, 0, "is not a Pokémon Showdown battle (no |player| line)")
    if len(turns) == 1:
        raise ForeignFormatError(path, 0, "holds no turn of a battle (no |turn| line)")
    return turns


def _line(number: int, text: str) -> Line:
    _, kind, *parts = text.split("|")
    tags = {found[1]: found[2] for part in parts if (found := TAG.fullmatch(part))}
    return Line(number, kind, tuple(part for part in parts if not TAG.fullmatch(part)), tags)


def _next(path: str | os.PathLike[str], line: Line, before: int) -> int:
    said = line.arg(0)
    if not (said.isascii() and said.isdigit() and len(said) < 10):
        raise ForeignFormatError(path, line.number, f"a turn has a number, not {said!r}")
    if int(said) != before + 1:
        reason = f"turn {said} follows turn {before}; give one whole battle a file, in its order"
        raise ForeignFormatError(path, line.number, reason)
    return int(said)


def blocks(lines: list[Line]) -> Iterator[list[Line]]:
    """Lines that belong together: something done with what comes of it, or what no one did."""
    block: list[Line] = []
    for line in lines:
        if line.kind in HEADS or line.kind in BREAKS:
            if block:
                yield block
            block = []
        if line.kind not in BREAKS or line.kind in ("win", "tie"):
            block.append(line)
    if block:
        yield block


def chosen_in(lines: list[Line]) -> dict[str, Line]:
    """By slot, the line of what its player chose at the start of the turn, where that is known."""
    chosen: dict[str, Line | None] = {}
    for line in lines:
        ident = line.ident()
        if line.kind == "upkeep":
            break
        if ident is None or not ident.place or ident.slot in chosen:
            continue
        if line.kind in HEADS:
            unknown = line.kind == "cant" and not line.arg(2)
            chosen[ident.slot] = None if unknown or "from" in line.tags else line
        elif line.kind in ("faint", "drag"):
            chosen[ident.slot] = None
        elif line.kind == "-start" and line.arg(1).removeprefix("move: ") == "Encore":
            chosen[ident.slot] = None  # what it does instead was not its choice
        elif line.kind in ("-enditem", "-activate") and line.arg(1) in SENT_OUT:
            chosen[ident.slot] = None
    return {slot: line for slot, line in chosen.items() if line is not None}


def asked_with(first: Line, lines: list[Line], chosen: Container[str]) -> dict[str, Line]:
    """By slot, this switch and those right after it: they were asked for together.

    :param chosen: the slots that are still to do what was chosen for them before.
    """
    asked: dict[str, Line] = {}
    for line in lines[lines.index(first) :]:
        if line.kind != "switch" or line.who.slot in asked or line.who.slot in chosen:
            break
        asked[line.who.slot] = line
    return asked
