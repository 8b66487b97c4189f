"""The model streams of a recording: each request answered as it was, in its words and its time."""

from __future__ import annotations

import asyncio
import os
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import islice
from tempfile import TemporaryFile
from typing import Any, NamedTuple, Self

import orjson

from .log_read import read
from .log_schema import KINDS
from .models import Model, ModelCut, ModelEvent, Request
from .recorded import digest, error_of, event_of

__all__ = ["LookUp", "RecordedModel", "Recording", "Wish"]

SAID = ("~chunk", "~usage", "~stop", "~error")
OF_ITSELF = (*SAID, "~closed", "~timer")
"""What comes when its time has come."""

GRACE = 0.1
"""Seconds; so much a busy loop may have been late with what a replay does at once."""

MICROSECOND = 2e-6
"""Seconds; less than this is the rounding of the log."""

LEFT_OUT = ("generation", "inputs", "kind", "n", "sum", "t", "with")


class Answer(NamedTuple):
    """A recorded stream.

    :param asked: when it was asked for, in seconds of the session.
    :param said: seconds since then, kind and fields of each event.
    :param end: seconds since then until it ended, or was closed.
    :param whole: whether it came to its own end.
    :param teardown: seconds from the end until its connection was closed.
    """

    asked: float
    said: list[tuple[float, str, dict[str, Any]]]
    end: float
    whole: bool
    teardown: float


class Wish(NamedTuple):
    """What a game has asked of a session beside its inputs.

    :param after: how many inputs came before it; an end is none.
    :param t: seconds of the session.
    :param kind: ``~intensity``, ``~settings``, ``~cancel``, ``~content``: that content has changed,
        ``~drain``: that at the end there was no more time for what was being told, or ``~agent``.
    :param value: the intensity, or the settings that changed (``None``: as the settings say again),
        the telling, which, the seconds that there were, or the line of an agent as JSON.
    """

    after: int
    t: float
    kind: str
    value: Any


class LookUp(NamedTuple):
    """What a shared cache has answered.

    :param order: its place among all answers.
    :param t: when it did, in seconds of the session; one time for what came in one go.
    :param start: where what it found begins; ``None`` if that was nothing.
    """

    order: int
    t: float
    start: int | None


class _Wishes:
    """Gathers wishes while a log is read, numbered as if it had no end in its midst."""

    def __init__(self) -> None:
        self.found: list[Wish] = []
        self.alone = bytearray()
        self._input_before = False
        self._inputs = 0
        self._ends: list[int] = []
        self._changed: dict[str, None] = {}
        self._ended = 0.0

    def on_line(self, t: float, kind: str, data: Mapping[str, Any]) -> None:
        if kind in OF_ITSELF:
            self._input_before = False
        if kind == "end":
            self._ends.append(self._inputs + len(self._ends) + 1)
            self._ended = t
        elif kind == "~timer" and data["name"] == "drain":
            self._wish(t, "~drain", str(round(t - self._ended, 6)))
        elif kind in KINDS and kind != "session":
            self._inputs += 1
            self.alone.append(not (self._input_before and "with" in data))
            self._input_before = True
        elif kind in ("~intensity", "~settings"):
            self._changed[kind] = None
            said = data["intensity"] if kind == "~intensity" else data["changed"]
            self._wish(t, kind, said)
        elif kind == "~opened":  # each sitting begins as the settings say
            for each in self._changed:
                self._wish(t, each, None)
            self._changed.clear()
        elif kind == "~cancel":
            number = int(data["telling"][1:])
            self._wish(t, kind, f"t{number - bisect_right(self._ends, number)}")
        elif kind == "~content" and data.get("what") == "changed":
            self._wish(t, kind, data["name"])
        elif kind == "~agent":
            self._wish(t, kind, orjson.dumps(data).decode())

    def _wish(self, t: float, kind: str, value: Any) -> None:
        self.found.append(Wish(self._inputs, t, kind, value))


@dataclass(slots=True)
class _Stream:
    """A stream while it is read: what came, each with its seconds since it was asked for."""

    order: int
    request: str
    begun: float
    said: list[tuple[float, str, Mapping[str, Any]]] = field(default_factory=list)
    ended: float = 0.0
    closed: float = 0.0
    whole: bool = False

    def over(self, t: float, whole: bool = False) -> Self:
        """It has ended, and as far as is known its connection was closed at once."""
        self.ended, self.closed, self.whole = t, t, whole
        return self

    def packed(self) -> bytes:
        end, teardown = round(self.ended - self.begun, 6), round(self.closed - self.ended, 6)
        return orjson.dumps([self.begun, self.said, end, self.whole, teardown]) + b"\n"


class Recording:
    """The model streams a log holds. A context manager: what they said lies in a temporary file.

    In memory is only where each request's answers begin. A stream that was closed before its end,
    or that a kill broke off, is known up to there.

    :param path: a session log.
    :param records: how many of its lines to read; all, if it is not said.
    :raises LogError: for a log that cannot be read, or whose ``~`` lines are not as written.
    """

    def __init__(self, path: str | os.PathLike[str], records: int | None = None) -> None:
        self._starts: dict[str, list[int]] = {}
        self._wishes = _Wishes()
        self._file = TemporaryFile()  # noqa: SIM115  # it is closed with the recording
        self.streams = 0
        """How many there are."""
        self.shared_cache = False
        """Whether the session had a cache that it shared with other processes."""
        self.look_ups: dict[str, list[LookUp]] = {}
        """By name, what that has answered, in its order."""
        self._looked_up, self._came, self._before = 0, 0.0, ""
        starts: dict[str, list[tuple[int, int]]] = {}
        try:
            for stream in _streams(path, records, self._on_line):
                start = (stream.order, self._file.tell())
                starts.setdefault(stream.request, []).append(start)
                self._file.write(stream.packed())
                self.streams += 1
        except BaseException:
            self._file.close()
            raise
        for request, found in starts.items():  # which ended first says nothing
            self._starts[request] = [start for _, start in sorted(found)]

    def _on_line(self, t: float, kind: str, data: Mapping[str, Any]) -> None:
        self._wishes.on_line(t, kind, data)
        if kind == "~opened":
            self.shared_cache |= bool(data.get("shared_cache"))
        elif kind == "~content" and data.get("what") is None:
            start = None
            if data["found"] is not None:
                start = self._file.tell()
                self._file.write(orjson.dumps(data["found"]) + b"\n")
            if "with" not in data or self._before != kind:
                self._came = t
            self._looked_up += 1
            look_up = LookUp(self._looked_up, self._came, start)
            self.look_ups.setdefault(data["name"], []).append(look_up)
        self._before = kind

    def __repr__(self) -> str:
        return f"<Recording [{self.streams} streams of {len(self._starts)} requests]>"

    def answers(self) -> dict[str, deque[int]]:
        """By the fingerprint of a request, where its answers begin, as they were asked for."""
        return {request: deque(starts) for request, starts in self._starts.items()}

    @property
    def alone(self) -> Iterator[bool]:
        """Of each input, whether it was not taken in together with the input before it."""
        return map(bool, self._wishes.alone)

    @property
    def wishes(self) -> list[Wish]:
        """What the game has asked for beside its inputs, in its order."""
        return self._wishes.found

    def at(self, start: int) -> Answer:
        """The answer that begins there."""
        self._file.seek(start)
        return Answer(*orjson.loads(self._file.readline()))

    def found(self, start: int) -> Any:
        """What the shared cache had, which begins there."""
        self._file.seek(start)
        return orjson.loads(self._file.readline())

    def close(self) -> None:
        """Drop what it holds."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _streams(
    path: str | os.PathLike[str],
    records: int | None,
    on_line: Callable[[float, str, Mapping[str, Any]], None],
) -> Iterator[_Stream]:
    """The streams that were opened, each when its connection is closed."""
    order = 0
    asked: dict[str, str] = {}
    live: dict[str, _Stream] = {}
    ended: dict[str, _Stream] = {}
    t = 0.0
    for record in islice(read(path, sealed=True), records):
        data, kind = record.data, record.kind
        if kind == "~opened":
            yield from ended.values()
            yield from (stream.over(t) for stream in live.values())  # broken off by a kill
            asked, live, ended = {}, {}, {}
        t, name = record.t, str(data.get("generation"))
        on_line(t, kind, data)
        if kind == "~generation":
            asked[name] = str(data.get("request"))
        elif kind == "~asked" and name in asked:
            order += 1
            live[name] = _Stream(order, asked.pop(name), t)
        elif kind in SAID and name in live:
            said = {key: value for key, value in data.items() if key not in LEFT_OUT}
            live[name].said.append((round(t - live[name].begun, 6), kind, said))
        elif kind == "~ended":
            asked.pop(name, None)  # it may never have been sent
            if name in live:
                ended[name] = live.pop(name).over(t, data.get("phase") != "closed")
        elif kind == "~closed" and name in ended:
            ended[name].closed = t
            yield ended.pop(name)
    yield from ended.values()
    yield from (stream.over(t) for stream in live.values())


def _late(seconds: float) -> float:
    """How much later the recorded night, whose own work took its time, was with the same thing."""
    return seconds if MICROSECOND < seconds < GRACE else 0.0


class RecordedModel:
    """Answers requests out of a recording, each in its recorded words and distances of time.

    Requests are told apart by their fingerprint (``recorded.digest``); equal ones have their
    answers in the order in which they were asked for. Who closes one waits as long as its
    connection took to be closed, for its place was not free before. What it does not hold,
    ``otherwise`` answers. Of a stream that was closed before its end the rest is not known: it
    ends in :class:`ModelCut`, a moment after the time at which it was closed.

    :param otherwise: a model for all other requests; the caller closes it.
    """

    def __init__(self, recording: Recording, otherwise: Model) -> None:
        self.recording = recording
        self._otherwise = otherwise
        self._answers = recording.answers()
        self.zero: float | None = None
        """When the session began, in the loop's time: what is asked a moment too early waits."""
        self.requests = 0
        """How many requests there were."""
        self.recorded = 0
        """How many of them the recording has answered."""
        self.cut = 0
        """How many of these answers were wanted further than they are known."""

    def __repr__(self) -> str:
        return f"<RecordedModel [{self.recorded} of {self.requests} requests, {self.cut} cut]>"

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """The answer's events, each at its time.

        :raises ModelError: as it was recorded, or :class:`ModelCut` where the recording ends.
        """
        self.requests += 1
        answers = self._answers.get(digest(request))
        if not answers:
            async with aclosing(self._otherwise.stream(request)) as stream:
                async for event in stream:
                    yield event
            return
        self.recorded += 1
        answer = self.recording.at(answers.popleft())
        loop = asyncio.get_running_loop()
        begun = loop.time()
        if self.zero is not None:
            begun += _late(self.zero + answer.asked - begun)
        try:
            async with aclosing(self._told(answer, begun)) as stream:
                async for event in stream:
                    yield event
        except (asyncio.CancelledError, GeneratorExit):
            if not answer.whole:
                await asyncio.sleep(_late(begun + answer.end - loop.time()) + answer.teardown)
            raise

    async def _told(self, answer: Answer, begun: float) -> AsyncGenerator[ModelEvent, None]:
        loop, end = asyncio.get_running_loop(), answer.end
        for after, kind, fields in answer.said:
            if (wait := begun + after - loop.time()) > 0:
                await asyncio.sleep(wait)
            if kind == "~error":
                raise error_of(fields)
            yield event_of({**fields, "kind": kind})
        if not answer.whole:
            end += GRACE
        if (wait := begun + end - loop.time()) > 0:
            await asyncio.sleep(wait)
        if not answer.whole:
            self.cut += 1
            raise ModelCut("the recording has only the beginning of this answer")

    async def aclose(self) -> None:
        """Nothing to close: the recording is its owner's."""
