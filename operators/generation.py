"""A model stream that several share: opened once, replayed to all, closed with the last lease."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from enum import StrEnum
from functools import partial
from typing import Any, Protocol

from ..streams.gate import OpenGate
from ..streams.models import (
    Delta,
    Model,
    ModelCut,
    ModelError,
    ModelEvent,
    ModelProtocolError,
    ModelRefusal,
    ModelUnavailable,
    Purpose,
    Request,
    Stop,
    Usage,
)
from ..streams.recorded import described, digest
from ..streams.replay_buffer import ReplayBuffer
from ..streams.tasks import Tasks
from .fingerprint import Dependence

__all__ = ["Generation", "GenerationClosed", "Generations", "Lease", "Phase", "Told", "Trace"]

RECALLED = Request("", (), purpose=Purpose.PREFETCH)
"""In the place of what was asked for a text that is there already."""

SILENT = 5.0
"""Seconds; a server that says nothing for so long may be dead, for all one knows."""
AHEAD = (Purpose.PREFETCH, Purpose.SUMMARY)
"""What nobody waits for."""

Trace = Callable[..., None]
"""Records what happened: ``trace(kind, **fields)``."""


class Phase(StrEnum):
    """The life of a generation. It only moves forward, to one of the last three."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CLOSED = "closed"


class GenerationClosed(Exception):
    """The generation was closed before its end; ``reason`` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Told(Protocol):
    """What can be told of a stream: all of it, or one of its tails; see :class:`Generation`."""

    delivered: bool
    cleared: bool

    @property
    def stream(self) -> Generation:
        """The stream it is of."""
        ...

    @property
    def id(self) -> str:
        """The id of that."""
        ...

    @property
    def phase(self) -> Phase:
        """How far it is."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it can be told, now or later."""
        ...

    @property
    def opened_at(self) -> float | None:
        """When its model was asked, in seconds."""
        ...

    @property
    def written(self) -> str:
        """What there is of it."""
        ...

    def lease(self) -> Lease:
        """Take a share."""
        ...

    def bind(self) -> None:
        """The telling it is part of reaches a viewer."""
        ...

    def deliver(self) -> None:
        """Its text reaches a viewer."""
        ...

    def chunks(self) -> AsyncGenerator[str, None]:
        """Its text from the beginning, as it comes."""
        ...


class Parts(Protocol):
    """The parts of a stream that can be told each by itself; see :class:`~.trunk.Tails`."""

    def read(self) -> None:
        """Take in what has been written since."""
        ...

    @property
    def usable(self) -> bool:
        """Whether one of them is whole."""
        ...

    @property
    def share(self) -> float:
        """How much of what was written has reached a viewer."""
        ...


class Lease:
    """A share in a generation; the last one released closes it."""

    __slots__ = ("_released", "generation")

    def __init__(self, generation: Told) -> None:
        self.generation = generation
        self._released = False

    def release(self, reason: str = "released") -> None:
        """Give the share back; more than once is fine."""
        if not self._released:
            self._released = True
            self.generation.stream._give_back(reason)


class Generation:
    """One model stream.

    ``bound`` is set by whoever first hands a viewer text of the telling it is part of: from then
    on the world cannot revoke it. ``delivered`` is true once its own text has reached a viewer,
    ``adopted`` once anybody has joined the one who opened it: then it is displaced no more.
    ``value`` orders waiting speculations, the greatest first. ``parts`` are what is told of it each
    by itself, if it is made of such: then those that are whole can be told however it ended.
    """

    def __init__(
        self,
        owner: Generations,
        gid: str,
        request: Request,
        depends: tuple[Dependence, ...],
        value: float,
        revision: int,
    ) -> None:
        self.id: str = gid
        self.parts: Parts | None = None
        self.revision = revision
        self.request = request
        self.depends = depends
        self.value = value
        self.phase = Phase.WAITING
        self.error: ModelError | None = None
        self.usage = Usage()
        self.stop: str | None = None
        self.whole = False  # it came in one plain body
        self.reason = ""
        self.bound = False
        self.delivered = False
        self.revoked = False
        self.adopted = False
        self.cleared = False  # the game's guard has let all of it through
        self.judged = False  # some of it is about to be told, and waits for the guard
        self.opened_at: float | None = None
        self.text: ReplayBuffer[str] = ReplayBuffer()
        self._owner = owner
        self._leases = 0
        self._asked = False
        self._task: asyncio.Task[None] | None = None
        self._gone: asyncio.Event | None = None

    def __repr__(self) -> str:
        return (
            f"<Generation {self.id} [{self.phase}, {self.request.purpose}, "
            f"{len(self.text.items)} chunks, {self._leases} leases]>"
        )

    @property
    def alive(self) -> bool:
        """True unless it failed, was closed or revoked; a finished one lives on."""
        return self.phase not in (Phase.FAILED, Phase.CLOSED) and not self.revoked

    @property
    def usable(self) -> bool:
        """Whether any of it can be told, now or later."""
        left = self.parts is not None and self.parts.usable and not self.revoked
        return self.alive or left

    @property
    def stream(self) -> Generation:
        """Itself; see :class:`Told`."""
        return self

    @property
    def written(self) -> str:
        """What there is of its text."""
        return "".join(self.text.items)

    @property
    def share(self) -> float:
        """How much of what was written has reached a viewer, if any has; all, if none has."""
        return 1.0 if self.parts is None or not self.delivered else self.parts.share

    @property
    def doubtful(self) -> bool:
        """True while the world may yet make it untrue: it is alive, or what came of it is judged.

        What is part of a telling that has reached a viewer is not.
        """
        return not self.bound and not self.revoked and (self.usable or self.judged)

    @property
    def running(self) -> bool:
        """True from its turn to its end, or until it is closed."""
        return self.phase is Phase.RUNNING

    @property
    def spare(self) -> bool:
        """True while it is under way, and nobody but who opened it wants it."""
        return self.running and not self.adopted and self.request.purpose in AHEAD

    @property
    def tells(self) -> bool:
        """Whether it is for what has happened."""
        return self.adopted or self.request.purpose not in AHEAD

    @property
    def age(self) -> float:
        """Seconds since its model was asked; none while it waits for its turn."""
        waits = self.phase is Phase.WAITING or self.opened_at is None
        return 0.0 if waits else self._owner._now() - (self.opened_at or 0.0)

    @property
    def leases(self) -> int:
        """How many share it."""
        return self._leases

    def lease(self, part: Told | None = None) -> Lease:
        """Take a share in it, or in a part of it."""
        self.adopted = self.adopted or self._leases > 0
        self._leases += 1
        return Lease(self if part is None else part)

    def _give_back(self, reason: str) -> None:
        self._leases -= 1
        if self._leases == 0:
            self.close(reason)
            self._owner._forget(self)

    def close(self, reason: str) -> None:
        """End it now, whoever shares it; a finished one stays as it is."""
        if self.phase in (Phase.WAITING, Phase.RUNNING):
            self.reason = reason
            if not self._asked:
                self.opened_at = None
            self._end(Phase.CLOSED)
            if self._task is not None:
                self._task.cancel()

    def revoke(self) -> None:
        """Its text is no longer true: close it, and make it unusable even if it is finished."""
        self.close("revoked")
        self.revoked = True

    def bind(self) -> None:
        """The telling it is part of reaches a viewer: the world cannot revoke it any more."""
        if not self.bound:
            self.bound = True
            self._owner._on_bind(self)

    def deliver(self) -> None:
        """Its text reaches a viewer, or another part of that."""
        self.bind()
        if not self.delivered or self.parts is not None:
            self.delivered = True
            self._owner._on_deliver(self)

    async def closed(self) -> None:
        """Wait until its connection is closed and nothing of it runs."""
        if self._gone is not None:
            await self._gone.wait()

    async def chunks(self) -> AsyncGenerator[str, None]:
        """The text from its beginning: all that is there at once, then as it comes.

        :raises ModelError: the model's failure, after the text that came before it.
        :raises GenerationClosed: if it was closed before its end.
        """
        seen = 0
        while True:
            if self.revoked or self.phase is Phase.CLOSED:
                raise GenerationClosed(self.reason or "revoked")
            fresh = self.text.items[seen:]
            if fresh:
                seen += len(fresh)
                yield "".join(fresh)
            elif self.text.ended:
                break
            else:
                await self.text.changed()
        if self.error is not None:
            raise self.error

    def _end(self, phase: Phase) -> None:
        self.phase = phase
        self.text.end()
        self._owner._ended(self)

    async def _read(self, model: Model, take_in: Callable[[Callable[[], None]], None]) -> None:
        """Read the model's stream, and give all it says to ``take_in``.

        Pieces that come while what is before them has not been taken in yet are taken as one.
        """
        pieces: list[str] = []
        try:
            gate, plans = self._owner.gate, self.request.purpose is Purpose.PLAN
            if plans and (shut := gate.bars(self)) is not None:
                raise shut
            async with aclosing(model.stream(self.request)) as stream:
                async for event in stream:
                    if self.phase is not Phase.RUNNING:
                        return
                    if not isinstance(event, Delta):
                        pieces = []
                        take_in(partial(self.receive, event))
                    elif pieces:
                        pieces.append(event.text)
                    elif event.text:
                        pieces = [event.text]
                        take_in(partial(self._receive_text, pieces))
                take_in(self.finish)
        except Exception as error:
            known = error if isinstance(error, ModelError) else None
            failure = known or ModelError(f"{type(error).__name__}: {error}")
            take_in(partial(self.fail, failure))
            if known is None:
                raise

    def _receive_text(self, pieces: list[str]) -> None:
        if self.phase is Phase.RUNNING:
            self._say("".join(pieces))
        pieces.clear()

    def _say(self, text: str) -> None:
        self._owner.gate.answered(self)
        self._owner.trace("~chunk", generation=self.id, text=text)
        self.text.append(text)
        if self.parts is not None:
            self.parts.read()

    def receive(self, event: ModelEvent) -> None:
        """An event of the model's stream."""
        if self.phase is not Phase.RUNNING:
            return
        match event:
            case Delta(text=text) if text:
                self._say(text)
            case Usage():
                self.usage = _merged(self.usage, event)
                known = {name: getattr(event, name) for name in event.__slots__}
                self._owner.trace("~usage", generation=self.id, **known)
            case Stop(reason=reason, whole=whole):
                self._owner.gate.answered(self)
                self.stop, self.whole = reason, whole
                how = {"whole": True} if whole else {}
                self._owner.trace("~stop", generation=self.id, reason=reason, **how)

    def finish(self) -> None:
        """The model's stream is at its end; without an answer that can be used, it has failed."""
        if self.phase is Phase.RUNNING:
            self.error = self._flaw()
            self._end(Phase.DONE if self.error is None else Phase.FAILED)

    def fail(self, error: ModelError) -> None:
        """The model's stream broke off."""
        if self.phase is Phase.RUNNING:
            self.error = error
            self._owner.trace("~error", generation=self.id, **described(error))
            if not self.text.items:
                self._owner.gate.failed(self, error)
            self._end(Phase.FAILED)

    def overdue(self) -> None:
        """Who asked waits no longer; one that has said nothing in all that time is no server."""
        if not self.text.items and self.stop is None and self.age >= SILENT:
            silent = ModelUnavailable(f"nothing came within {self.age:g} s")
            self._owner.gate.failed(self, silent)

    def _flaw(self) -> ModelError | None:
        if self.stop == "refusal":
            return ModelRefusal("the model declined to write this")
        if not self.text.items:
            return ModelProtocolError("the model's answer was empty")
        if self.stop == "max_tokens":
            limit = self.request.max_tokens
            return ModelCut(f"the answer was cut at max_tokens ({limit}): raise it")
        return None


class Generations:
    """All generations of a session: starts them within the cap, knows the live ones.

    Speculations run at most ``limit`` at a time; more of them wait, the most valuable first. A
    foreground generation waits for nobody: at the cap it displaces the least valuable
    speculation that nobody else has adopted.

    :param gate: what it shares with other sessions that ask the same server. What comes of them
        comes from outside, and leaves a ``~gate`` line.
    :param most: speculation begins while fewer streams are open than this, of all sessions.
    """

    def __init__(
        self,
        model: Model,
        tasks: Tasks,
        trace: Trace,
        now: Callable[[], float],
        *,
        limit: int = 8,
        gate: OpenGate | None = None,
        most: int = 1_000_000,
        on_open: Callable[[Generation], None] = lambda generation: None,
        on_end: Callable[[Generation], None] = lambda generation: None,
        on_bind: Callable[[Generation], None] = lambda generation: None,
        on_deliver: Callable[[Generation], None] = lambda generation: None,
    ) -> None:
        self.trace = trace
        self._model = model
        self._tasks = tasks
        self._now = now
        self._limit = limit
        self.gate = gate or OpenGate()
        self.most = most
        self._on_open = on_open
        self._on_end = on_end
        self._on_bind = on_bind
        self._on_deliver = on_deliver
        self.opened = 0
        self._known: dict[str, Generation] = {}
        self._running: dict[str, Generation] = {}
        self._waiting: list[Generation] = []
        self._shut_out = False  # until the gate grants a place

    def __repr__(self) -> str:
        return f"<Generations [{len(self._running)} running, {len(self._waiting)} waiting]>"

    @property
    def live(self) -> tuple[Generation, ...]:
        """Those that run, wait, or are finished and still held by somebody."""
        return tuple(self._known.values())

    @property
    def running(self) -> int:
        """How many streams are open now."""
        return len(self._running)

    @property
    def speculating(self) -> int:
        """How many streams are open that nobody has asked for yet."""
        return len(
            [
                each
                for each in self._running.values()
                if each.request.purpose is Purpose.PREFETCH and not each.adopted
            ]
        )

    def open(
        self,
        request: Request,
        depends: tuple[Dependence, ...],
        *,
        revision: int,
        value: float = 1.0,
        **why: Any,
    ) -> Generation:
        """Start a generation, or queue it; take a lease at once, or it will never be closed.

        :param depends: what its text depends on; an unexpected change of it revokes the text.
        :param revision: the revision of the world its prompt was made from.
        :param value: what it is worth, for the queue; any scale.
        :param why: kept in the recording beside it.
        """
        self.opened += 1
        generation = Generation(self, f"g{self.opened}", request, depends, value, revision)
        self._known[generation.id] = generation
        self.trace(
            "~generation",
            generation=generation.id,
            purpose=request.purpose,
            model=request.model,
            request=digest(request),
            prompt=len(request.system) + sum(len(each.text) for each in request.messages),  # ints
            **({"value": value} if request.purpose is Purpose.PREFETCH else {}),
            **why,
        )
        self._on_open(generation)
        if request.purpose in AHEAD:
            self._waiting.append(generation)
            self._admit()
        else:
            open_now = [each for each in self._running.values() if each.phase is Phase.RUNNING]
            if len(open_now) >= self._limit:
                self._displace()
            self._start(generation)
            self.gate.begin(self, generation)
        return generation

    def recall(
        self,
        gid: str,
        text: str,
        depends: tuple[Dependence, ...],
        *,
        revision: int,
        value: float,
        opened_at: float | None,
    ) -> Generation:
        """A generation that was finished and let go of, again; it asks nobody, and costs nothing.

        Take a lease at once, as with :meth:`open`.
        """
        generation = self._known.get(gid)
        if generation is None:
            generation = Generation(self, gid, RECALLED, depends, value, revision)
            generation.phase = Phase.DONE
            generation.opened_at = opened_at
            generation.text.append(text)
            generation.text.end()
            self._known[gid] = generation
        self.trace("~recalled", generation=gid)
        return generation

    def _displace(self) -> None:
        spare = [generation for generation in self._running.values() if generation.spare]
        if spare:
            min(spare, key=lambda generation: generation.value).close("displaced")

    def _start(self, generation: Generation) -> None:
        generation.phase = Phase.RUNNING
        generation.opened_at = self._now()
        self._running[generation.id] = generation
        generation._gone = asyncio.Event()
        self._tasks.soon(partial(self._ask, generation))

    def _ask(self, generation: Generation) -> None:
        if generation.phase is not Phase.RUNNING:
            self.torn_down(generation)
            return
        generation._asked = True
        self.trace("~asked", generation=generation.id)
        tasks, take_in = self._tasks, self._tasks.take_in
        reading = generation._read(self._model, take_in)
        generation._task = tasks.start(reading, name=generation.id, outside=True)
        torn_down = partial(self.torn_down, generation)
        generation._task.add_done_callback(lambda _: take_in(torn_down))

    def _best(self) -> Generation | None:
        """The speculation that begins next, if there is room for one."""
        if not self._waiting or len(self._running) >= self._limit:
            return None
        return max(self._waiting, key=lambda generation: generation.value)

    def _admit(self) -> None:
        while not self._shut_out and (best := self._best()) is not None:
            if self.gate.admits(self, best):
                self._waiting.remove(best)
                self._start(best)
            else:
                self._shut_out = True
                self.trace("~gate", what="waits", generation=best.id)

    # What comes of other sessions, from outside.

    def wish(self) -> float | None:
        """See :class:`~foretell.streams.gate.Member`."""
        best = self._best()
        return None if best is None else best.value

    def grant(self) -> None:
        """See :class:`~foretell.streams.gate.Member`."""
        self._tasks.take_in(self.granted)

    def granted(self) -> None:
        """There is room for one speculation more."""
        best = self._best() if self._shut_out else None
        if best is None:
            self.gate.declined(self, waits=self._shut_out)
        elif self.gate.took(self, best):
            self.trace("~gate", what="granted", generation=best.id)
            self._shut_out = False
            self._waiting.remove(best)
            self._start(best)
            self._admit()

    def displace(self, stream: Generation) -> None:
        """See :class:`~foretell.streams.gate.Member`."""
        self._tasks.take_in(partial(self.displaced, stream.id))

    def displaced(self, gid: str) -> None:
        """A player at some table needs the place of a speculation."""
        generation = self._running.get(gid)
        if generation is not None and generation.spare:
            self.trace("~gate", what="displaced", generation=gid)
            generation.close("displaced")
        elif generation is not None:
            self.gate.kept(self, generation)

    def find(self, gid: str) -> Generation | None:
        """The generation of this id, if it is live or has not been torn down yet."""
        return self._known.get(gid) or self._running.get(gid)

    def torn_down(self, generation: Generation) -> None:
        """Nothing runs of it any more: its connection is closed, and its place is free."""
        generation.close("cancelled")  # if its task was, from outside
        generation._task = None  # which may keep its error, and that the generation
        if self._running.pop(generation.id, None) is not None:
            self.trace("~closed", generation=generation.id)
            if generation._gone is not None:
                generation._gone.set()
            self.gate.end(generation)
            self._admit()

    def leave(self) -> None:
        """The session is over: the gate forgets it."""
        self.gate.leave(self)

    def let_go(self) -> None:
        """Nobody tells of the end of streams any more; for a replay."""
        while self._running:
            self.torn_down(next(iter(self._running.values())))

    def _ended(self, generation: Generation) -> None:
        if generation in self._waiting:
            self._waiting.remove(generation)
            self._shut_out = self._shut_out and bool(self._waiting)
        self.trace(
            "~ended",
            generation=generation.id,
            phase=generation.phase,
            **({"reason": generation.reason} if generation.reason else {}),
            **({"error": generation.error.kind} if generation.error else {}),
            output=generation.usage.output,
        )
        self._on_end(generation)

    def _forget(self, generation: Generation) -> None:
        if self._known.pop(generation.id, None) and generation.phase is Phase.DONE:
            self.trace("~dropped", generation=generation.id)


def _merged(old: Usage, new: Usage) -> Usage:
    def latest(name: str) -> Any:
        value = getattr(new, name)
        return getattr(old, name) if value is None else value

    return Usage(
        latest("input"),
        latest("output"),
        latest("cache_read"),
        latest("cache_write"),
        final=new.final or old.final,
    )
