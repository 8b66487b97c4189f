"""The inputs of a log, gone through as often as it takes, and never kept."""

from __future__ import annotations

import math
import os
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from .events import End, Input, Outcome, Retell, Rewind, Turn
from .history import logged
from .log_read import LogError, read
from .log_schema import Record, to_event
from .names import numbered

__all__ = ["LogInputs"]


class LogInputs:
    """The inputs of a log, read from it each time they are iterated over.

    Making it looks through the log once; what that finds are the attributes below. Memory does not
    grow with the log's length.

    An end in the midst, after which the session went on, is none. Inputs have other numbers then,
    and so have the revisions that rewinds go back to, and the outcomes that are told again.

    A line that is damaged ends the log: what stands before it can be replayed, and ``flaw`` is the
    error. Where nothing stands before it, the error is raised.

    :param upto: seconds of the session; what is later is left out.
    :param sealed: whether a ``~`` line that was changed or is missing is a flaw, too.
    :raises LogError: for a log that cannot be read; while iterating, if it is not what it was.
    """

    def __init__(
        self, path: str | os.PathLike[str], *, upto: float = math.inf, sealed: bool = False
    ) -> None:
        self.path = os.fspath(path)
        self.session = ""
        self.events = self.turns = self.outcomes = 0
        """How many inputs there are, the end not counted, and of these turns and outcomes."""
        self.last_t = 0.0
        """The time of the last line, in seconds."""
        self.openings: list[Mapping[str, Any]] = []
        """The ``~opened`` lines: version and settings of each sitting that was recorded."""
        self.flaw: LogError | None = None
        self.records = 0
        """How many lines it has, as far as it goes."""
        self.bounded = False
        """Whether ``upto`` has left something out."""
        self._inputs = 0
        self._ends: list[int] = []
        """The numbers of the ends in the midst."""
        end = False
        for event in filter(None, map(to_event, self._noted(upto, sealed))):
            if end:
                self._ends.append(self._inputs)
            end = isinstance(event, End)
            self._inputs += 1
            self.turns += isinstance(event, Turn)
            self.outcomes += isinstance(event, Outcome)
        self.events = self._inputs - len(self._ends) - end
        if self.flaw is not None and not self.events:
            raise self.flaw

    def __repr__(self) -> str:
        return f"<LogInputs of {self.path} [{self.events} inputs]>"

    @property
    def recorded(self) -> bool:
        """Whether it is a session's own recording from its first line on."""
        return bool(self.openings) and self.openings[0]["line"] == 1

    def _noted(self, upto: float, sealed: bool) -> Iterator[Record]:
        try:
            for record in read(self.path, sealed=sealed):
                kind = record.kind
                if record.t > upto:
                    self.bounded = True
                    return
                if kind == "session":
                    if self.records:
                        wrong = "a second session line; keep one session a file"
                        raise LogError(self.path, record.line, wrong)
                    self.session = str(record.data["id"])
                elif kind == "~opened":
                    self.openings.append({**record.data, "line": self.records})
                self.records += 1
                self.last_t = record.t
                yield record
        except LogError as error:
            self.flaw = error

    def __iter__(self) -> Iterator[Input]:
        return self.after(0)

    def without_ends(self, number: int) -> int:
        """The number that an input of the log has here, where an end in the midst is none."""
        return number - bisect_right(self._ends, number)

    def after(self, count: int) -> Iterator[Input]:
        """The inputs but for so many of the first, which are passed over quickly."""
        number = count
        for end in self._ends:
            number += end <= number + 1
        for event in islice(logged(self.path, number), self._inputs - number):
            number += 1
            known = bisect_left(self._ends, number)
            if known == len(self._ends) or self._ends[known] != number:
                yield _renumbered(event, self._ends[:known]) if known else event
        if number < self._inputs:
            raise LogError(self.path, 0, "became shorter while it was read; let it be")


def _renumbered(event: Input, left_out: Sequence[int]) -> Input:
    """The input, where those of these numbers are left out."""
    if isinstance(event, Rewind) and isinstance(event.to, int):
        return replace(event, to=event.to - bisect_right(left_out, event.to))
    if isinstance(event, Retell) and (number := numbered(event.action_id)) is not None:
        return replace(event, action_id=f"#{number - bisect_right(left_out, number)}")
    return event
