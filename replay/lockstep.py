"""Exact replay: a recorded session again, line by line, with what came from outside as it came.

The recording is walked in its own order. An input, a piece of a model's answer or a timer that
went off is handed in when the session has come to rest, as it was when it was recorded (see
``streams/tasks.py``); every other line must be written by the pipeline itself, in its turn. So
neither the pace of the machine nor any server matters, and the first line that comes out
differently is a finding.
"""

from __future__ import annotations

import asyncio
import math
import os
import re
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import orjson

from ..config import Settings
from ..errors import ForetellError
from ..operators.generation import Phase
from ..session import Session
from ..sinks.budget import OUTER
from ..streams import events as ev
from ..streams.clock import VirtualLoop, run_virtual
from ..streams.gate import Member, OpenGate
from ..streams.history import logged
from ..streams.log import KINDS, LogError, Record, read, to_event
from ..streams.log_own import own_problem
from ..streams.log_parts import continued, whole_path
from ..streams.log_seal import SEAL, Seals, check, input_sum
from ..streams.models import ModelEvent, Request
from ..streams.recorded import error_of, event_of, without_paths
from ..streams.timers import Alarm
from .order import standing

if TYPE_CHECKING:
    from ..game import Game

__all__ = ["Broken", "Difference", "Lockstep", "NotRecorded"]

DAMAGE = "~damage"
"""In the place of a line that cannot be read."""

LEFT_OUT = frozenset((*SEAL, "guests", "latency", "recording", "t", "version", "with"))
"""What may differ. Guests have other names in a script; what they do is compared."""

OUTSIDE = (
    *(kind for kind in KINDS if kind != "session"),
    "~agent", "~cancel", "~chunk", "~closed", "~content", "~ended", "~error", "~fault", "~gate",
    "~guard", "~intensity", "~settings", "~stop", "~timer", "~usage",
)  # fmt: skip
"""What may have come from outside; ``~closed`` and the like may be the pipeline's own as well."""
OPERATORS = {
    "~account": "ledger",
    "~agent": "agents",
    "~asked": "generation",
    "~cancel": "session",
    "~chunk": "generation",
    "~closed": "generation",
    "~content": "kept or preload",
    DAMAGE: "log",
    "~dropped": "generation",
    "~ended": "generation",
    "~error": "generation",
    "~fell": "plan",
    "~fault": "session",
    "~fetched": "preload",
    "~foreseen": "foresee",
    "~gate": "gate",
    "~generation": "speculate or tell",
    "~guard": "guard",
    "~intensity": "session",
    "~judged": "plan",
    "~kept": "kept",
    "~opened": "session",
    "~looked": "preload",
    "~over": "session",
    "~planned": "plan",
    "~preload": "preload",
    "~recalled": "kept",
    "~refined": "tell",
    "~refused": "speculate",
    "~reused": "plan",
    "~revoked": "revoke",
    "~scene": "settle, classify",
    "~selected": "tell",
    "~served": "tell",
    "~settings": "session",
    "~shared": "plan",
    "~slow_teardown": "switch_map",
    "~step": "plan",
    "~stop": "generation",
    "~summary": "summary",
    "~take": "claim",
    "~telling": "tell",
    "~text": "tell",
    "~timer": "timers",
    "~told": "tell",
    "~turn_to_tell": "overlap",
    "~unfit": "plan",
    "~usage": "generation",
    "~warning": "advance",
}


LIMITS = ("deadline ", "teardown ")
"""Alarms that end what takes too long, by name; at the end of a walk nothing does."""

GUEST = re.compile(r"subscriber|fallback|content|fetch .*|guard|g[0-9]+", re.DOTALL)
"""Where a fault is one of somebody whom a replay does not have."""


class NotRecorded(ForetellError):
    """A log does not hold what an exact replay needs."""


class Broken(AssertionError):
    """An invariant of a session does not hold."""


@dataclass(frozen=True, slots=True)
class Difference:
    """The first thing that came out otherwise than recorded.

    :param file: where it stands: of a log in several parts, one of these.
    :param line: its line in that file, from 1; 0 where the file as a whole is meant.
    :param t: its time in the recording, in seconds.
    :param operator: what of the pipeline wrote it.
    :param expected: the line as recorded, without time and checksum.
    :param got: what came instead; ``None`` if nothing did. Where the line is no good itself, or an
        invariant does not hold after it, ``edited`` or ``broken`` says so.
    """

    file: str
    line: int
    t: float
    operator: str
    expected: Mapping[str, Any]
    got: Mapping[str, Any] | None

    def described(self) -> dict[str, Any]:
        """As plain JSON."""
        return {
            "file": self.file,
            "line": self.line,
            "t": self.t,
            "operator": self.operator,
            "expected": self.expected,
            "got": self.got,
            "told": str(self),
        }

    def __str__(self) -> str:
        line = f"line {self.line}, " if self.line else ""
        where = f"{os.path.basename(self.file)}: {line}t {self.t:g} s, {self.operator}"
        expected, got = self.expected, self.got
        for finding in ("edited", "broken"):
            if got is not None and finding in got:
                return f"{where}: {got[finding]}"
        if got is not None and expected["kind"] == got["kind"]:
            names = [name for name in {**expected, **got} if expected.get(name) != got.get(name)]
            if "request" in names and {*names} <= {"request", "prompt"}:  # its size is beside it
                return f"{where}: the request is another: the prompt or a setting has changed"
            told = "; ".join(
                f"{name}: expected {_brief(expected.get(name))}, got {_brief(got.get(name))}"
                for name in names
            )
            return f"{where}: {expected['kind']}: {told}"
        return f"{where}: expected {_brief(expected)}, got {_brief(got)}"


class _Line:
    __slots__ = ("due", "number", "raw", "record", "wrong")

    def __init__(self, number: int, record: Record, wrong: str | None = None) -> None:
        self.number = number
        self.wrong = wrong
        self.due: int | None = None
        """The number of the ``~`` line that should stand here."""
        self.record = record
        self.raw = _compared(record.data)

    @property
    def fields(self) -> dict[str, Any]:
        return orjson.loads(self.raw)  # type: ignore[no-any-return]


class _HeldInputs:
    """Keeps back inputs until the next ``~`` line, which says what they were.

    Logs that were not written by a session, or by an older one, do not say it.
    """

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._sum = 0
        self._opened = self._summed = False

    def holds(self, line: _Line) -> bool:
        """Take an input, if it is to wait."""
        if self._opened:
            self._sum = input_sum(line.record.data, self._sum)
            self._lines.append(line)
        return self._opened

    def up_to(self, line: _Line) -> Iterator[_Line]:
        """The inputs before a ``~`` line; the first is wrong if they are not what they were."""
        said, lines = line.record.data.get("inputs"), self._lines
        if line.record.kind == "~opened":
            self._opened, self._summed = True, False
        elif line.wrong is None:
            self._summed = self._summed or said is not None
            if self._summed and said != (f"{self._sum:08x}" if self._sum else None):
                (lines[0] if lines else line).wrong = _altered(lines)
        yield from self.all()

    def all(self) -> Iterator[_Line]:
        """The inputs that wait."""
        lines, self._lines, self._sum = self._lines, [], 0
        yield from lines


class Lockstep:
    """Walks a recording; it stands in the place of a session's model, its timers and its log.

    :param path: the recording.
    :param game: makes the game of each part, from its settings: a session that was closed, or
        killed, and opened again has several.
    :param opened: called with the session of each part before it begins.
    :param after: called with it after each line that came from outside.
    :param ending: called with it before it is closed.
    :param upto: seconds; the walk ends before the first line that is later.
    :raises NotRecorded: for a log that holds inputs alone, or is a later part of one.
    """

    def __init__(
        self,
        path: str | PathLike[str],
        game: Callable[[Settings], Game[Any]],
        *,
        opened: Callable[[Session[Any]], None] = lambda session: None,
        after: Callable[[Session[Any]], None] = lambda session: None,
        ending: Callable[[Session[Any]], None] = lambda session: None,
        upto: float = math.inf,
    ) -> None:
        self.difference: Difference | None = None
        self.lines = 0
        """Lines that came again as they were recorded."""
        self.asked = 0
        """Of these, streams that were asked for."""
        self.guest_faults = 0
        """Of these, faults of somebody whom a replay does not have."""
        self.last_t = 0.0
        self.closed = False
        """Whether it ends with the end of a session that was closed; a killed one has none."""
        self.shared_cache = False
        """Whether the session had a cache that it shared; what that answered is recorded."""
        self.content = False
        """Whether it had a source of content; what that gave is recorded."""
        self.guarded = False
        """Whether it had a guard; what that said is recorded."""
        self.tools: Mapping[str, Any] | None = None
        """The tools its plans were made of, where they were its game's own."""
        self.moment = 0.0
        """The time of the last line that was handed in, in seconds."""
        self.gate = _SaidGate(self)
        self.timers: _HeldTimers
        self.model: _SilentModel
        self._path = path
        self._game = game
        self._opened = opened
        self._after = after
        self._ending = ending
        self._lines = self._read(upto)
        self._line = next(self._lines, None)
        """The next line; it has not come again yet."""
        self._part = 0
        self._over = True
        self._start = 0.0
        self._session: Session[Any]
        self._loop: VirtualLoop
        self._done: asyncio.Future[None]
        self._closing: asyncio.Task[None] | None = None
        first = self._line
        self.header = self._take("session")
        if continued(self.header):
            raise NotRecorded(
                f"{path}: is a later part of a recording, which begins in another file: "
                f"name the whole ({whole_path(fspath(path), self.header)})"
            )
        if self._opening() is None:
            raise NotRecorded(
                f"{path}: holds inputs alone, and no recording of what was made of them (it was "
                "imported, or written by another version): replay it without --verify"
            )
        self._check_header(first)

    def _read(self, upto: float) -> Iterator[_Line]:
        """The lines; what cannot be read is the last of them, and a difference."""
        number, t, held = 0, 0.0, _HeldInputs()
        seals = Seals()
        try:
            for number, record in enumerate(read(self._path), 1):
                if record.t > upto:
                    break
                t = record.t
                line = _Line(number, record)
                if record.kind.startswith("~"):
                    line.due = None if seals.n is None else seals.n + 1
                    line.wrong = _wrong(record.data, seals)
                    yield from held.up_to(line)
                    yield line
                elif held.holds(line):
                    pass  # until it is known whether it is as it was
                else:
                    yield line
            yield from held.all()
        except LogError as error:
            if number < 2:
                raise
            yield from held.all()
            damage = Record(error.line, {"t": t, "kind": DAMAGE}, error.path)
            yield _Line(number + 1, damage, error.reason)

    def _take(self, kind: str) -> Mapping[str, Any]:
        line = self._line
        if line is None or line.record.kind != kind:
            raise NotRecorded(f"{self._path}: does not begin with a {kind} line")
        self._pass_on()
        return line.record.data

    def _check_header(self, first: _Line | None) -> None:
        """The line after the header says what it was; an older recording's does not."""
        opening = self._opening()
        if first is None or opening is None or opening.number > 2 or opening.wrong is not None:
            return
        said = opening.record.data.get("inputs")
        if said not in (None, f"{input_sum(self.header):08x}"):
            told = "the header was edited: its checksum, in the line after it, does not fit"
            got = {"kind": "session", "edited": told}
            self.difference = _difference(first, _operator("~opened"), got)

    def _opening(self) -> _Line | None:
        """The line that opens a session, if that is what comes next."""
        line = self._line
        return line if line is not None and line.record.kind == "~opened" else None

    def _is_next_part(self, line: _Line) -> bool:
        return line.record.kind == "~opened" and line.number != self._part

    def _pass_on(self) -> None:
        self._line = next(self._lines, None)

    def before(self) -> Iterator[Record]:
        """What the recording holds before the part under way."""
        return islice(read(self._path), self._part - 1)

    def inputs(self, after: int = 0) -> Iterator[ev.Input]:
        """The inputs of the whole recording, but for as many of the first."""
        return logged(self._path, after)

    # What a session writes into its log comes here.

    def write(self, record: Mapping[str, Any]) -> None:
        """What the pipeline has done now, or has taken in."""
        if self._over or self.difference is not None:
            return
        raw, line = _compared(record), self._line
        if line is None or line.record.kind == DAMAGE or self._is_next_part(line):
            pass  # what a killed process still did is not known; one that is closed says ~over
        elif line.wrong is None and (line.raw == raw or line.fields == orjson.loads(raw)):
            self.lines += 1
            self.asked += record["kind"] == "~asked"
            self._pass_on()
        else:
            self._differs(line, orjson.loads(raw))

    def refusal(self) -> str | None:
        """The budget of several sessions that refuses what is asked now, as it was recorded."""
        line = self._line
        if line is None or line.record.kind != "~refused":
            return None
        why = line.record.data.get("why")
        return why if why in OUTER else None

    def shuts_out(self, generation: Any) -> bool:
        """Whether other sessions left no room for a speculation now, as it was recorded."""
        line = self._line
        if line is None or line.record.kind != "~gate":
            return False
        data = line.record.data
        return data.get("what") == "waits" and data.get("generation") == generation.id

    def close(self) -> None:
        """The log is closed."""

    def _differs(self, line: _Line, got: Mapping[str, Any] | None) -> None:
        if self.difference is None:
            self.difference = self._out_of_order(line)
        if self.difference is None:
            if line.wrong is not None:  # it is the reason
                got = {"kind": line.record.kind, "edited": line.wrong}
            self.difference = _difference(line, _operator(line.record.kind), got)

    def _out_of_order(self, line: _Line) -> Difference | None:
        """That another ``~`` line should stand here, which stands elsewhere."""
        here = line.record
        if line.wrong is None or line.due in (None, here.data.get("n")) or not check(here.data):
            return None
        other = standing(self._path, line.due)
        if other is None:
            return None
        where = "" if other.file == here.file else f"{os.path.basename(other.file)}, "
        told = (
            f"expected {_named(other)}, which stands in {where}line {other.line}; "
            f"got {_named(here)}: the lines were put into another order"
        )
        return Difference(
            *(here.file, here.line, here.t, _operator(other.kind)),
            expected=orjson.loads(_compared(other.data)),
            got={**line.fields, "edited": told},
        )

    # The walk.

    def give_up(self, error: Exception) -> None:
        """Walk no further: :meth:`run` raises ``error``."""
        if not self._done.done():
            self._done.set_exception(error)

    async def run(self) -> None:
        """Walk to the end, or to the first difference. On a :class:`VirtualLoop` only."""
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        self._loop, self._start = loop, loop.time()
        while self.difference is None and (opening := self._opening()) is not None:
            if opening.wrong is not None:
                self._differs(opening, None)
                break
            self._part = opening.number
            self._begin(loop)
            self.moment = opening.record.t
            self.shared_cache = bool(opening.record.data.get("shared_cache"))
            self.content = bool(opening.record.data.get("content"))
            self.guarded = bool(opening.record.data.get("guarded"))
            self.tools = opening.record.data.get("tools")
            settings = Settings.load(dict(opening.record.data.get("settings") or {}))
            async with self._game(settings) as game:
                self._session = Session(game, str(self.header["id"]), replaying=self)
                self._opened(self._session)
                try:
                    self._go()
                    await self._done
                finally:
                    self._let_all_go()
                    await (self._closing or self._session.close(drain=0.0))
        if self.difference is None and self._line is not None:
            self._differs(self._line, None)

    def _begin(self, loop: VirtualLoop) -> None:
        """Another part of the session."""
        self._done, self._closing, self._over = loop.create_future(), None, False
        self.closed = False
        self.timers, self.model = _HeldTimers(self), _SilentModel()

    def _let_all_go(self) -> None:
        """The walk is over: nothing is waited for any more."""
        self._over = True
        pipeline = self._session._pipeline
        pipeline.tasks.held = False
        self.timers.let_all_go()
        self.model.over.set()
        pipeline.generations.let_go()

    def _go(self) -> None:
        """Go on as far as it goes without waiting."""
        try:
            if self._done.done():
                pass  # it was given up
            elif self._went():
                self._done.set_result(None)
            else:
                self._loop.call_soon(self._go)
        except Exception as error:
            self._done.set_exception(error)

    def _went(self) -> bool:
        """Whether the part is at its end."""
        tasks = self._session._pipeline.tasks
        along = False
        while self.difference is None:
            line = self._line
            if line is None or self._is_next_part(line):
                return True
            if line.record.kind == "~over" and line.wrong is None and tasks.at_rest:
                self.lines += 1
                self.closed = True
                self._pass_on()
                return True
            along = along and "with" in line.record.data
            if not (along or tasks.at_rest):
                return False
            self._take_in(line)
            along = True
        return True

    def _take_in(self, line: _Line) -> None:
        """Hand in what came from outside."""
        if line.wrong is None and line.record.kind in OUTSIDE:
            self.last_t = self.moment = line.record.t
            self._loop.advance_to(self._start + line.record.t)
            self._hand_in(line.record)
            try:
                self._after(self._session)
            except Broken as broken:
                got = {"kind": line.record.kind, "broken": str(broken)}
                self.difference = self.difference or _difference(line, "invariants", got)
        if self._line is line:
            self._differs(line, None)

    def _hand_in(self, record: Record) -> None:
        data, kind = record.data, record.kind
        session, pipeline = self._session, self._session._pipeline
        if kind == "end":
            self._ending(session)
            session.say_end()
            pipeline.inputs.finish()
            pipeline.inputs.flush()
            self._closing = self._loop.create_task(session.finish(math.inf))
        elif not kind.startswith("~"):
            event = to_event(record)
            assert event is not None
            session.play(event)
            pipeline.inputs.flush()
        elif kind == "~timer":
            self.timers.fire(data["name"])
        elif kind == "~cancel":
            pipeline.end_telling(data["telling"])
        elif kind == "~agent":
            pipeline.agents.hand_in(data)
        elif kind == "~content" and data.get("what") is not None:
            if pipeline.contents is not None:
                pipeline.contents.hand_in(data)
        elif kind == "~content":
            pipeline.kept.content(data["name"], data["found"])
        elif kind == "~intensity":
            pipeline.plan_at(data["intensity"])
        elif kind == "~settings":
            pipeline.apply_now(data["changed"])
        elif kind == "~guard":
            if pipeline.guarding is not None:
                pipeline.guarding.say(data["check"], data["refused"])
        elif kind == "~gate":
            if data["what"] == "granted":
                pipeline.generations.granted()
            elif data["what"] == "displaced":
                pipeline.generations.displaced(data["generation"])
        elif kind == "~fault":
            if GUEST.fullmatch(data["where"]):
                self.guest_faults += 1
                pipeline.refault(data["where"], data["error"])
        elif (generation := pipeline.generations.find(str(data["generation"]))) is not None:
            if kind == "~error":
                generation.fail(error_of(data))
            elif kind == "~closed" or data.get("reason") == "cancelled":
                pipeline.generations.torn_down(generation)
            elif kind == "~ended":
                if data["phase"] in (Phase.DONE, Phase.FAILED):
                    generation.finish()
            else:
                generation.receive(event_of(data))


def walk(
    path: str | PathLike[str],
    game: Callable[[Settings], Game[Any]],
    **options: Any,
) -> Lockstep:
    """Walk a recording on a virtual loop; see :class:`Lockstep` for arguments and errors."""
    lockstep = Lockstep(path, game, **options)
    run_virtual(lockstep.run())
    return lockstep


class _HeldTimers:
    """Timers that go off when the recording says so."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep
        self._set: dict[_HeldAlarm, None] = {}
        self._over = False

    def time(self) -> float:
        return self._lockstep._loop.time()

    def alarm(self, name: str, work: Callable[[], None]) -> Alarm:
        return _HeldAlarm(self, name, work)

    def fire(self, name: str) -> None:
        for alarm in self._set:
            if alarm.name == name:
                self._lockstep.write({"kind": "~timer", "name": name})
                self._go_off(alarm)
                return

    def _go_off(self, alarm: _HeldAlarm) -> None:
        if alarm in self._set:
            del self._set[alarm]
            alarm.work()

    def hold(self, alarm: _HeldAlarm) -> None:
        self._set[alarm] = None
        if self._over and not alarm.name.startswith(LIMITS):
            asyncio.get_running_loop().call_soon(self._go_off, alarm)

    def drop(self, alarm: _HeldAlarm) -> None:
        self._set.pop(alarm, None)

    def let_all_go(self) -> None:
        """The walk is over: all that waits for a time to pass has waited enough."""
        self._over = True
        for alarm in [*self._set]:
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


class _SaidGate(OpenGate):
    """A gate that is shut where the recording says so; what comes of others is handed in."""

    def __init__(self, lockstep: Lockstep) -> None:
        self._lockstep = lockstep

    def admits(self, member: Member, stream: Any) -> bool:
        return not self._lockstep.shuts_out(stream)


class _SilentModel:
    """A model that says nothing itself: the walk hands its words to the generations."""

    def __init__(self) -> None:
        self.over = asyncio.Event()

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        await self.over.wait()
        return
        yield

    async def aclose(self) -> None:
        pass


def _wrong(data: Mapping[str, Any], seals: Seals) -> str | None:
    """What is wrong with a ``~`` line itself."""
    wrong = seals.problem(data)
    if wrong is not None and not check(data):
        return "the line was edited: its checksum does not fit"
    return wrong or own_problem(data)


def _altered(inputs: Sequence[_Line]) -> str:
    """That the inputs before a ~ line are not those that were recorded."""
    if not inputs:
        return "an input before it was taken out after it was recorded"
    if len(inputs) == 1:
        return "the input was edited, or one was put in or taken out beside it"
    last = inputs[-1].record
    return (
        f"an input was edited, put in or taken out, from here to line {last.line}: "
        "their checksum does not fit"
    )


def _operator(kind: str) -> str:
    """What of the pipeline writes such a line."""
    return OPERATORS.get(kind, "inputs")


def _named(record: Record) -> str:
    n, operator = record.data["n"], _operator(record.kind)
    return f"~ line {n} ({record.kind} by {operator}, t {record.t:g} s)"


def _difference(line: _Line, operator: str, got: Mapping[str, Any] | None) -> Difference:
    record = line.record
    return Difference(record.file, record.line, record.t, operator, line.fields, got)


def _compared(data: Mapping[str, Any]) -> bytes:
    """A line as it is compared: as JSON, without time and checksum."""
    plain = {key: value for key, value in data.items() if key not in LEFT_OUT}
    if data["kind"] == "~error":  # older recordings have whole addresses
        plain["text"] = without_paths(str(data.get("text", "")))
    return orjson.dumps(plain)


def _brief(value: Any) -> str:
    text = "nothing" if value is None else orjson.dumps(value).decode()
    return text if len(text) <= 160 else f"{text[:157]}…"
