"""Going back: the worlds a session has been through, within a bound; the rest out of its log."""

from __future__ import annotations

import math
import re
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import reduce
from itertools import islice, takewhile
from os import PathLike
from typing import Any

import orjson

from .events import Input, Outcome, Rewind, State
from .log_read import BadLine, open_lines, parse
from .log_schema import KINDS, to_event
from .world import Numbered, World, advance, rewound

__all__ = ["History", "NotKept", "Past", "logged"]

Past = Callable[[int], Iterable[Input]]
"""The inputs of a session so far, but for as many of the first as it is given."""

SEGMENT, SEGMENTS = 256, 8
"""Inputs, at the most, between two worlds that are kept whole, and the least number of these."""

EACH, MEMBER = 64, 50
"""Bytes, roughly: of what is kept, beside its text; and of a member of an object."""

MARKS = 16
"""Worlds that are kept of a session whose inputs can be read again, evenly along its length."""

LATEST = 4
"""Worlds of the latest outcomes that are at hand: these are asked for when each has been told."""

MOST_JUMPS = 10_000

PLAIN = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME

LINE = re.compile(rb'\{"t":[^,]*,"kind":"([^"]*)"')
INPUTS = frozenset(kind.encode() for kind in KINDS if kind != "session")


class NotKept(LookupError):
    """What is asked for lies further back than is kept, and there is no log to read it from."""


class _Segment:
    """A world, and the inputs after it.

    Of a state its difference from the one before is kept, as bytes: a game's loop sends many, and
    what is no container costs the garbage collector nothing.
    """

    __slots__ = ("inputs", "start", "weight")

    def __init__(self, start: World, most: float = math.inf) -> None:
        self.start = start
        self.inputs: list[Numbered | bytes] = []
        known = len(start.unexpected) + len(start.told) + len(start.last)
        self.weight = MEMBER * known + int(min(most, _size(start.state)))

    def append(self, before: Any, numbered: Numbered) -> int:
        """Keep one more, which came to the state ``before``; returns its weight."""
        number, event, received = numbered
        kept: Numbered | bytes = numbered
        if type(event) is State:
            change = _change(before, event.state)
            try:
                kept = orjson.dumps((number, event.t, received, event.because, change), None, PLAIN)
            except TypeError:
                kept = numbered  # no JSON: as it is
        self.inputs.append(kept)
        weight = EACH + (len(kept) if type(kept) is bytes else _size(event))
        self.weight += weight
        return weight

    def worlds(self) -> Iterator[World]:
        """The worlds after its inputs, one by one."""
        world = self.start
        for kept in self.inputs:
            world = advance(world, kept if isinstance(kept, Numbered) else _read(kept, world.state))
            yield world


class History:
    """Advances a session's world, and gives back any it was before, as it was then.

    Revisions count inputs from the session's first, and times are its seconds; both go on through
    a rewind, so one may go back to before it, and forth again. Kept are the last inputs, with
    whole worlds between them; states share what they have in common, so that an input of a game's
    loop costs about what changed.

    :param world: the world it begins with.
    :param most_bytes: about how much may be kept; the last inputs always are.
    :param past: what to read where that does not reach.
    """

    def __init__(self, world: World, most_bytes: int, past: Past | None = None) -> None:
        self.past = past
        self._first = World(footprint=world.footprint)
        self._most = most_bytes
        self._segments = deque([_Segment(world)])
        self._weight = self._segments[0].weight
        self._latest: deque[World] = deque(maxlen=LATEST)
        self._marks: list[World] = []
        self._stride = SEGMENT
        self._jumps: dict[int, int] = {}  # by the revision of each rewind, where it went
        self._lost = 0

    def __repr__(self) -> str:
        kept = self._segments[0].start.revision
        return f"<History [from revision {kept}, about {self._weight} bytes]>"

    def advance(self, world: World, numbered: Numbered) -> World:
        """As :func:`advance`; a rewind to what is not known is left out, with a ``warning``."""
        event = numbered.event
        if type(event) is Rewind:
            after = self._rewound(world, numbered, event.to)
            self._begin(after)
            return after
        after = advance(world, numbered)
        if type(event) is Outcome:
            self._latest.append(after)
        segment = self._segments[-1]
        self._weight += segment.append(world.state, numbered)
        if len(segment.inputs) >= SEGMENT or segment.weight > self._most / SEGMENTS:
            self._begin(after)
        elif self._weight > self._most:
            self._trim()
        return after

    def _begin(self, start: World) -> None:
        most = self._segments[-1].weight  # the state shares all else with the ones before
        self._segments.append(_Segment(start, most))
        self._weight += self._segments[-1].weight
        self._trim()
        if self.past is not None:
            self._mark(start)

    def _mark(self, world: World) -> None:
        if world.revision - (self._marks[-1].revision if self._marks else 0) < self._stride:
            return
        self._marks.append(world)
        if len(self._marks) > max(2, min(MARKS, self._most // _size(world.state))):
            del self._marks[::2]
            self._stride *= 2

    def _trim(self) -> None:
        while self._weight > self._most and len(self._segments) > 2:
            self._weight -= self._segments.popleft().weight

    def _rewound(self, world: World, numbered: Numbered, to: float) -> World:
        try:
            target = self._target(to, world.revision, numbered.event.t)
            after = rewound(self.at(target), world.revision + 1, numbered)
        except Exception as error:
            return advance(world, numbered)._replace(
                warning=f"rewind cannot be used and is left out: {error}"
            )
        self._jumps[after.revision] = target
        if len(self._jumps) > MOST_JUMPS:
            self._lost = next(iter(self._jumps))
            del self._jumps[self._lost]
        return after

    def _target(self, to: Any, present: int, now: float) -> int:
        """The revision that is meant, a time (seconds) being that of the last input until then."""
        if isinstance(to, bool) or not isinstance(to, int | float) or math.isnan(to):
            raise ValueError(f"{to!r} is neither a time nor a revision")
        if to > present if isinstance(to, int) else not _until(to, now):
            raise ValueError(f"{to!r} has not been yet")
        if isinstance(to, int):
            return max(0, to)
        first = self._segments[0].start
        if first.revision and not _until(first.t, to):
            if self.past is None:
                raise NotKept(f"{to:g} s is further back than is kept: {first.t:g} s")
            known = bisect_right(self._marks, round(to, 6), key=lambda world: round(world.t, 6))
            before = self._marks[known - 1].revision if known else 0
            events = takewhile(lambda event: _until(event.t, to), self.past(before))
            return before + len(list(events))
        for segment in reversed(self._segments):
            if _until(segment.start.t, to):
                worlds = takewhile(lambda world: _until(world.t, to), segment.worlds())
                return segment.start.revision + len(list(worlds))
        return 0

    def at(self, revision: int) -> World:
        """The world as it was after the input of this number; 0 is before the first.

        :raises NotKept: if it is further back than is kept, and there is no log.
        :raises LogError: if the log cannot be read.
        """
        for segment in reversed(self._segments):
            if segment.start.revision <= revision:
                for world in self._latest:
                    if world.revision == revision:
                        return world
                later = islice(segment.worlds(), revision - segment.start.revision)
                return reduce(lambda _, world: world, later, segment.start)
        if revision <= 0:
            return self._first
        if self.past is None:
            kept = self._segments[0].start.revision
            raise NotKept(f"revision {revision} is further back than is kept: {kept}")
        return self._read_to(revision, self.past)

    def _read_to(self, revision: int, past: Past) -> World:
        """The world after so many inputs, by way of those alone that led to it.

        What a rewind has undone is left out, so that the inputs are gone through once, however
        many rewinds there are among them.
        """
        world, end, spans = self._first, revision, deque[tuple[int, int]]()
        while end > 0:
            jump = max((number for number in self._jumps if number <= end), default=0)
            marks = [mark for mark in self._marks if jump <= mark.revision <= end]
            if marks:
                world = marks[-1]
                spans.appendleft((world.revision, end))
                break
            if jump <= self._lost and self._lost:
                raise NotKept(f"revision {revision} is more than {MOST_JUMPS} rewinds back")
            spans.appendleft((jump, end))
            end = self._jumps.get(jump, 0)
        begun = number = world.revision
        if begun == revision:
            return world
        begin, end = spans.popleft()
        for number, event in enumerate(past(begun), begun + 1):
            if number > end:
                if not spans:
                    return world
                begin, end = spans.popleft()
            if number > begin:
                world = advance(world, Numbered(number, event, event.t))
            elif number == begin:
                world = rewound(world, number, Numbered(number, event, event.t))
        if world.revision < revision:
            raise NotKept(f"the log holds {number} inputs, and not {revision}")
        return world

    def reach(self) -> tuple[int, float] | None:
        """The earliest revision and time (seconds) one may go back to; ``None`` if that is any."""
        first = self._segments[0].start
        return None if self.past is not None or not first.revision else (first.revision, first.t)


def _until(t: float, to: float) -> bool:
    """Whether a moment is no later than another; a log has whole microseconds."""
    return round(t, 6) <= round(to, 6)


def logged(path: str | PathLike[str], after: int = 0) -> Iterator[Input]:
    """The inputs of a session log, one by one; a last line that is cut short is left out.

    :param after: how many of the first to pass over, which takes little.
    :raises LogError: if it cannot be read.
    """
    with open_lines(path, lambda _: None) as lines:
        for line in lines:
            known = LINE.match(line.raw)
            if known is not None and known[1].startswith(b"~"):
                continue
            if after and known is not None and known[1] in INPUTS:
                after -= 1
                continue
            with suppress(BadLine):
                event = to_event(parse(line.raw))
                if event is None:
                    continue
                if after:
                    after -= 1
                else:
                    yield event


def _change(before: Any, after: Any) -> Any:
    """What a value has that the one before has not got: of an object its members, each so.

    A list holds a value that is another altogether.
    """
    if type(before) is not dict or type(after) is not dict or list(before) != list(after):
        return [after]
    return {
        name: _change(before[name], value)
        for name, value in after.items()
        if value is not before[name]
    }


def _changed(before: Any, change: Any) -> Any:
    if type(change) is list:
        return change[0]
    if not change:
        return before
    return {**before, **{name: _changed(before[name], each) for name, each in change.items()}}


def _read(kept: bytes, before: Any) -> Numbered:
    number, t, received, because, change = orjson.loads(kept)
    return Numbered(number, State(t, _changed(before, change), because), received)


def _size(value: Any) -> int:
    """About how many bytes a value takes: those of its JSON."""
    try:
        return len(orjson.dumps(value))
    except TypeError:
        return len(repr(value))
