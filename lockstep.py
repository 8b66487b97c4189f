"""Exact replay: a recorded session again, line by line, with what came from outside as it came.

The recording is walked in its own order. An input, a piece of a model's answer or a timer that
went off is handed in; at a line the pipeline wrote itself, the walk waits until the pipeline has
come to it again. So neither the pace of the machine nor any server matters, and the first line
that comes out differently is a finding.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice, takewhile
from os import PathLike
from typing import TYPE_CHECKING, Any

import orjson

from .config import Settings
from .errors import ForetellError
from .operators.generation import Phase
from .session import Session
from .sinks.recorder import Steps
from .streams import events as ev
from .streams.clock import VirtualLoop, run_virtual
from .streams.history import logged
from .streams.log import KINDS, Record, check, read, to_event
from .streams.models import ModelEvent, Request
from .streams.recorded import error_of, event_of
from .streams.timers import Alarm

if TYPE_CHECKING:
    from .game import Game

__all__ = ["Difference", "Lockstep", "NotRecorded"]

LOOKAHEAD = 512
"""Lines; two things that do not touch may come in another order, but not further apart."""

UNWIND = 2
"""Steps of the loop from the end of a model's stream to the end of the task that reads it."""

CLOSE_CALLS = 8
TRIES = 64

LEFT_OUT = ("i", "latency", "n", "sum", "t")
OUTSIDE = (
    *(kind for kind in KINDS if kind != "session"),
    "~cancel", "~chunk", "~closed", "~error", "~intensity", "~stop", "~timer", "~usage",
)  # fmt: skip
OPERATORS = {
    "~account": "ledger",
    "~chunk": "generation",
    "~closed": "generation",
    "~ended": "generation",
    "~error": "generation",
    "~generation": "speculate or tell",
    "~refused": "speculate",
    "~revoked": "revoke",
    "~scene": "settle, classify",
    "~served": "tell",
    "~stop": "generation",
    "~take": "claim",
    "~telling": "tell",
    "~text": "tell",
    "~timer": "timers",
    "~told": "tell",
    "~usage": "generation",
    "~warning": "advance",
}


class NotRecorded(ForetellError):
    """A log does not hold what an exact replay needs."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that came out otherwise than recorded.

    :param line: its line in the log, from 1.
    :param t: its time in the recording, in seconds.
    :param operator: what of the pipeline wrote it.
    :param expected: the line as recorded, without time and checksum; ``None`` if there was none.
    :param got: what came instead; ``None`` if nothing did.
    """

    line: int
    t: float
    operator: str
    expected: Mapping[str, Any] | None
    got: Mapping[str, Any] | None

    def described(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "line": self.line,
            "t": self.t,
            "operator": self.operator,
            "expected": self.expected,
            "got": self.got,
            "told": str(self),
        }

    def __str__(self) -> str:
        where = f"line {self.line}, t {self.t:g} s, {self.operator}"
        expected, got = self.expected, self.got
        if got is not None and "edited" in got:
            return f"{where}: the line was edited: its checksum does not fit"
        if expected is not None and got is not None and expected["kind"] == got["kind"]:
            names = [name for name in {**expected, **got} if expected.get(name) != got.get(name)]
            if names == ["request"]:
                return f"{where}: the request is another: the prompt or a setting has changed"
            told = "; ".join(
                f"{name}: expected {_brief(expected.get(name))}, got {_brief(got.get(name))}"
                for name in names
            )
            return f"{where}: {expected['kind']}: {told}"
        return f"{where}: expected {_brief(expected)}, got {_brief(got)}"


class _Line:
    __slots__ = ("fields", "let_go", "number", "record", "seen", "subject")

    def __init__(self, number: int, record: Record) -> None:
        self.number = number
        self.record = record
        self.fields = _compared(record.data)
        self.subject = _subject(self.fields)
        self.seen = False
        self.let_go = False


class Lockstep:
    """Walks a recording; it stands in the place of a session's model, its timers and its log.

    :param path: the recording.
    :param game: makes the game of each part, from its settings: a session that was closed, or
        killed, and opened again has several.
    :param opened: called with the session of each part before it begins.
    :param after: called with it after each line that came from outside.
    :param upto: seconds; the walk ends before the first line that is later.
    :param moved: lines to hand in at the other of the two moments a recording leaves open.
    :raises NotRecorded: for a log that holds inputs alone.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        game: Callable[[Settings], Game[Any]],
        *,
        opened: Callable[[Session[Any]], None] = lambda session: None,
        after: Callable[[Session[Any]], None] = lambda session: None,
        upto: float = math.inf,
        moved: Collection[int] = (),
    ) -> None:
        self.difference: Difference | None = None
        self.lines = 0
        """Lines that came again as they were recorded."""
        self.last_t = 0.0
        self.timers: _HeldTimers
        self.model: _HeldModel
        self.close_calls: deque[int] = deque(maxlen=CLOSE_CALLS)
        """The last lines that came while something was under way, the latest first."""
        self._moved = moved
        self._path = path
        self._game = game
        self._opened = opened
        self._after = after
        records = takewhile(lambda record: record.t <= upto, read(path))
        self._lines: Iterator[_Line] = (_Line(n, record) for n, record in enumerate(records, 1))
        self._window: deque[_Line] = deque()
        self._part = 0
        self._waits = False
        self._over = True
        self._start = 0.0
        self._session: Session[Any]
        self._loop: VirtualLoop
        self._steps: Steps
        self._done: asyncio.Future[None]
        self._closing: asyncio.Task[None] | None = None
        self.header = self._take("session")
        if self._opening() is None:
            raise NotRecorded(
                f"{path}: holds inputs alone, and no recording of what was made of them (it was "
                "imported, or written by another version): replay it without --verify"
            )

    @staticmethod
    def guests_of(path: str | PathLike[str]) -> dict[str, str]:
        """What of its own the game of a recording had: ``prompts``, ``narration``, ``rules``."""
        guests: dict[str, str] = {}
        for record in read(path):
            if record.kind == "~opened":
                guests |= record.data.get("guests") or {}
        return guests

    def _take(self, kind: str) -> Mapping[str, Any]:
        line = self._next()
        if line is None or line.record.kind != kind:
            raise NotRecorded(f"{self._path}: does not begin with a {kind} line")
        self._window.popleft()
        return line.record.data

    def _opening(self) -> _Line | None:
        """The line that opens a session, if that is what comes next."""
        line = self._next()
        return line if line is not None and line.record.kind == "~opened" else None

    def before(self) -> Iterator[Record]:
        """What the recording holds before the part under way."""
        return islice(read(self._path), self._part - 1)

    def inputs(self, after: int = 0) -> Iterator[ev.Input]:
        """The inputs of the whole recording, but for as many of the first."""
        return logged(self._path, after)

    # What a session writes into its log comes here.

    def write(self, record: Mapping[str, Any]) -> None:
        """What the pipeline has done now."""
        if self._over:
            return
        self._steps.line()
        self._loop.call_soon(self._go)
        fields = _compared(record)
        subject = _subject(fields)
        for line in self._ahead():
            if not line.seen and line.subject == subject:
                if line.fields == fields:
                    line.seen = True
                    self.lines += 1
                else:
                    self._differs(line, fields)
                break
        else:
            if self._closing is not None or not self._broken_off():
                self._differs(self._window[0] if self._window else None, fields, extra=True)

    def _broken_off(self) -> bool:
        """Whether nothing is left of this part: what a killed process still did is not known."""
        left = next((line for line in self._ahead() if not line.seen), None)
        return left is None or left.record.kind == "~opened"

    def close(self) -> None:
        """The log is closed."""

    def _differs(
        self, line: _Line | None, got: Mapping[str, Any] | None, *, extra: bool = False
    ) -> None:
        if self.difference is None:
            kind = str((got or {}).get("kind") if extra or line is None else line.fields["kind"])
            self.difference = Difference(
                line.number if line is not None else 0,
                line.record.t if line is not None else self.last_t,
                OPERATORS.get(kind, "inputs"),
                None if line is None else line.fields,
                got,
            )

    def _next(self) -> _Line | None:
        """The first line not yet gone through."""
        return next(self._ahead(), None)

    def _ahead(self) -> Iterator[_Line]:
        yield from tuple(self._window)
        while len(self._window) < LOOKAHEAD and (line := next(self._lines, None)) is not None:
            self._window.append(line)
            yield line

    # The walk.

    async def run(self) -> None:
        """Walk to the end, or to the first difference. On a :class:`VirtualLoop` only."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop, self._start = loop, loop.time()
        while self.difference is None and (opening := self._opening()) is not None:
            self._part = opening.number
            self._steps = Steps(loop.call_soon, self._soon)
            self._begin(loop)
            settings = Settings.load(dict(opening.record.data.get("settings") or {}))
            async with self._game(settings) as game:
                self._session = Session(game, str(self.header["id"]), replaying=self)
                self._opened(self._session)
                try:
                    self._go()
                    await self._done
                finally:
                    self._over = True
                    self.model.let_all_go()
                    self.timers.let_all_go()
                    await (self._closing or self._session.close(drain=0.0))
        if self.difference is None and (line := self._next()) is not None:
            self._differs(line, None)

    def _begin(self, loop: VirtualLoop) -> None:
        """Another part of the session."""
        self._done, self._closing, self._over = loop.create_future(), None, False
        self.timers, self.model = _HeldTimers(self), _HeldModel()

    def _soon(self) -> None:
        self._loop.call_soon(self._go)

    def _go(self, at_rest: bool = False) -> None:
        """Go on as far as it goes without waiting."""
        if self._done.done():
            return
        self._release()
        try:
            while self.difference is None and (line := self._next()) is not None:
                if line.record.kind == "~opened" and not line.seen:
                    break
                if not line.seen and not self._passed(line, at_rest):
                    self._rest()
                    return
                at_rest = False
                self._release()
                if self._window and self._window[0] is line:
                    self._window.popleft()
        except Exception as error:
            self._done.set_exception(error)
        else:
            self._done.set_result(None)

    def _release(self) -> None:
        """Let go of the streams that are soon to be closed: their tasks take two steps to end."""
        steps = -self._steps.count
        for line in self._window:
            step = line.record.data.get("i")
            if step is None or (steps := steps + step) > UNWIND:
                break
            if line.record.kind == "~closed" and not line.seen:
                self._let_go(line)

    def _let_go(self, line: _Line) -> None:
        generations = self._session._pipeline.generations
        generation = generations.find(str(line.record.data["generation"]))
        if generation is not None and generation.phase is not Phase.RUNNING:
            self.model.release(generation.request)

    def _rest(self) -> None:
        """Go on when nothing is left to do."""
        if not self._waits:
            self._waits = True
            self._loop.idle().add_done_callback(self._rested)

    def _rested(self, _: object) -> None:
        self._waits = False
        self._go(at_rest=True)

    def _passed(self, line: _Line, at_rest: bool) -> bool:
        """Hand in a line, if it is its moment; false to wait."""
        record = line.record
        if line.fields["kind"].startswith("~") and not check(record.data):
            self._differs(line, {"kind": record.kind, "edited": "the checksum does not fit"})
            return True
        if not self._is_outside(record):
            if at_rest:
                self._differs(line, None)
            return at_rest
        if not at_rest and not self._is_due(line):
            return False
        self.last_t = record.t
        self._loop.advance_to(self._start + record.t)
        if record.kind == "~closed":
            if line.let_go and at_rest:
                self._differs(line, None)
            line.let_go = True
            self._let_go(line)
            return False
        if record.kind == "end":
            self._closing = self._close(self._session)
        else:
            self._hand_in(record)
        self._after(self._session)
        if not line.seen:
            self._differs(line, None)
        return True

    def _is_due(self, line: _Line) -> bool:
        """Whether the loop has taken as many steps since the line before as the recording says.

        What came in the midst of a step is handed in at its end; what came before the first, at
        once; or the other way round, if it was moved.
        """
        steps = line.record.data.get("i")
        if steps is None:
            return False
        late = (steps > 0) != (line.number in self._moved)
        if self._steps.count < steps + late:
            return False
        self.close_calls.appendleft(line.number)
        return True

    def _is_outside(self, record: Record) -> bool:
        data, kind = record.data, record.kind
        return kind in OUTSIDE or (kind == "~ended" and data["phase"] in (Phase.DONE, Phase.FAILED))

    def _close(self, session: Session[Any]) -> asyncio.Task[None]:
        session.say_end()
        session._pipeline.inputs.flush()
        return asyncio.get_running_loop().create_task(session.finish(float("inf")))

    def _hand_in(self, record: Record) -> None:
        """Hand in what came from outside."""
        data, kind = record.data, record.kind
        pipeline = self._session._pipeline
        if not kind.startswith("~"):
            event = to_event(record)
            assert event is not None
            self._session.play(event)
            pipeline.inputs.flush()
        elif kind == "~timer":
            self.timers.fire(data["name"])
        elif kind == "~cancel":
            pipeline.cancel(data["telling"])
        elif kind == "~intensity":
            pipeline.plan_at(data["intensity"])
        elif (generation := pipeline.generations.find(str(data["generation"]))) is not None:
            if kind == "~error":
                generation.fail(error_of(data))
            elif kind == "~ended":
                generation.finish()
            elif generation.phase is Phase.RUNNING:
                generation.receive(event_of(data))


def walk(
    path: str | PathLike[str],
    game: Callable[[Settings], Game[Any]],
    **options: Any,
) -> Lockstep:
    """Walk a recording on a virtual loop; see :class:`Lockstep` for arguments and errors.

    A recording says in which step of the loop a thing came, but not in which half of it. Where the
    walk differs shortly after such a close call, the other half is tried: there is a difference
    only if neither leads on.
    """
    best = _walked(path, game, (), options)
    moved: set[int] = set()
    for _ in range(TRIES):
        if best.difference is None:
            break
        for line in best.close_calls:
            tried = _walked(path, game, moved ^ {line}, options)
            if tried.difference is None or tried.lines > best.lines:
                best, moved = tried, moved ^ {line}
                break
        else:
            break
    return best


def _walked(
    path: str | PathLike[str],
    game: Callable[[Settings], Game[Any]],
    moved: Collection[int],
    options: Mapping[str, Any],
) -> Lockstep:
    lockstep = Lockstep(path, game, moved=moved, **options)
    run_virtual(lockstep.run())
    return lockstep


class _HeldTimers:
    """Timers that go off when the recording says so."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep
        self._set: dict[_HeldAlarm, None] = {}
        self._over = False

    def time(self) -> float:
        return asyncio.get_running_loop().time()

    def alarm(self, name: str, work: Callable[[], None]) -> Alarm:
        return _HeldAlarm(self, name, work)

    def fire(self, name: str) -> None:
        for alarm in self._set:
            if alarm.name == name:
                del self._set[alarm]
                self._lockstep.write({"kind": "~timer", "name": name})
                alarm.work()
                return

    def hold(self, alarm: _HeldAlarm) -> None:
        if self._over:
            if not alarm.name.startswith("deadline"):
                asyncio.get_running_loop().call_soon(alarm.work)
        else:
            self._set[alarm] = None

    def drop(self, alarm: _HeldAlarm) -> None:
        self._set.pop(alarm, None)

    def let_all_go(self) -> None:
        """The walk is over: all that waits for a time to pass has waited enough."""
        self._over = True
        for alarm in [*self._set]:
            self.drop(alarm)
            self.hold(alarm)


class _HeldAlarm:
    __slots__ = ("_timers", "name", "work")

    def __init__(self, timers: _HeldTimers, name: str, work: Callable[[], None]) -> None:
        self._timers = timers
        self.name = name
        self.work = work

    def set(self, when: float) -> None:
        self._timers.hold(self)

    def cancel(self) -> None:
        self._timers.drop(self)


class _HeldModel:
    """A model that says nothing itself: the walk hands its words to the generations."""

    def __init__(self) -> None:
        self._open: dict[int, asyncio.Event] = {}
        self._over = False

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        released = self._open[id(request)] = asyncio.Event()
        if self._over:
            released.set()
        try:
            await released.wait()
        except asyncio.CancelledError:
            await released.wait()  # the recording says when its teardown was over
            raise
        finally:
            del self._open[id(request)]
        return
        yield

    def release(self, request: Request) -> None:
        """A stream is gone."""
        if (released := self._open.get(id(request))) is not None:
            released.set()

    def let_all_go(self) -> None:
        """The walk is over: no stream says anything more."""
        self._over = True
        for released in self._open.values():
            released.set()

    async def aclose(self) -> None:
        pass


def _compared(data: Mapping[str, Any]) -> dict[str, Any]:
    """A line as it is compared: as JSON has it, without time and checksum."""
    plain = {key: value for key, value in data.items() if key not in LEFT_OUT}
    return orjson.loads(orjson.dumps(plain))  # type: ignore[no-any-return]


def _subject(fields: Mapping[str, Any]) -> tuple[str, str]:
    """What a line is about; lines about one thing keep their order."""
    kind = str(fields["kind"])
    if not kind.startswith("~"):
        return "input", ""
    if kind == "~timer":
        return kind, str(fields.get("name"))
    for name in ("telling", "generation") if kind == "~take" else ("generation", "telling"):
        if name in fields:
            return name, str(fields[name])
    return kind, ""


def _brief(value: Any) -> str:
    text = "nothing" if value is None else orjson.dumps(value).decode()
    return text if len(text) <= 160 else f"{text[:157]}…"
