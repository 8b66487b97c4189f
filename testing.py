"""For the tests of a game that uses Foretell: a scripted model, small logs, virtual time.

``run_virtual(main())`` runs a coroutine in virtual time: a session of hours takes milliseconds,
and every run of it is the same. With a :class:`ScriptedModel` it needs no key and no network.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, Self

import orjson

from .streams import events as ev
from .streams.clock import LoopScheduler, VirtualDeadlock, VirtualLoop, run_virtual
from .streams.log import LogWriter, to_record
from .streams.models import Delta, ModelError, ModelEvent, Request, Stop, Usage

__all__ = [
    "LogBuilder",
    "LoopScheduler",
    "Script",
    "ScriptedModel",
    "ScriptedStream",
    "VirtualDeadlock",
    "VirtualLoop",
    "instant",
    "run_virtual",
]

CHARS_PER_TOKEN = 4


async def instant(steps: int = 50) -> None:
    """Let everything happen that is due now, without time passing."""
    for _ in range(steps):
        await asyncio.sleep(0)


@dataclass(frozen=True, slots=True)
class Script:
    """How one stream of a :class:`ScriptedModel` behaves. Times are in seconds.

    :param answer: the text; a mapping is sent as JSON; ``None``: a short one that names the
        stream's number.
    :param ttft: until the first chunk.
    :param delay: between chunks.
    :param chunk: characters a chunk.
    :param error: raised after ``chunks`` of them.
    :param hangs: nothing more comes after ``chunks`` of them.
    :param chunks: how many come before the error or the silence.
    :param teardown: until a stream that was closed early is gone.
    :param stop: the reason of its end; ``refusal`` for a model that declines.
    :param usage: whether it reports token counts.
    """

    answer: str | Mapping[str, Any] | None = None
    ttft: float = 0.5
    delay: float = 0.02
    chunk: int = 8
    error: ModelError | None = None
    hangs: bool = False
    chunks: int = 0
    teardown: float = 0.0
    stop: str = "end_turn"
    usage: bool = True

    @staticmethod
    def drawn(rng: random.Random, answer: str | Mapping[str, Any] | None = None) -> Script:
        """A script with times drawn at random."""
        return Script(
            answer,
            ttft=rng.choice((0.0, 0.1, 0.6, 1.8)) * rng.uniform(0.8, 1.2),
            delay=rng.choice((0.0, 0.01, 0.05)),
            chunk=rng.randint(1, 24),
            teardown=rng.choice((0.0, 0.0, 0.05)),
        )


Answer = Script | str | Mapping[str, Any]
Answers = Answer | Iterable[Answer] | Callable[[Request, int], Answer]


class ScriptedStream(AsyncGenerator[ModelEvent, None]):
    """One stream of a :class:`ScriptedModel`, and what became of it.

    Times are the loop's, in seconds; ``None`` for what has not happened. ``closed_at`` is when its
    reader went away or it came to its end, ``gone_at`` when nothing of it was left.
    """

    def __init__(self, number: int, request: Request, script: Script) -> None:
        self.number = number
        self.request = request
        self.script = script
        self.opened_at: float | None = None
        self.first_at: float | None = None
        self.closed_at: float | None = None
        self.gone_at: float | None = None
        self.finished = False
        """Whether it came to its own end: the whole answer, or its error."""
        self.text = ""
        """What it has sent."""
        self.read_after_close = 0
        self._events = self._run()

    def __repr__(self) -> str:
        status = "open" if self.closed_at is None else "finished" if self.finished else "closed"
        about = f"{self.request.purpose}, {status}, {len(self.text)} characters"
        return f"<ScriptedStream {self.number} [{about}]>"

    @property
    def prompt(self) -> str:
        """All that was asked, in one string."""
        return "\n".join([self.request.system, *(m.text for m in self.request.messages)])

    async def asend(self, value: None) -> ModelEvent:
        """The next event."""
        if self.closed_at is not None and not self.finished:
            self.read_after_close += 1
        return await self._events.asend(value)

    async def athrow(self, *args: Any) -> ModelEvent:
        """Raise in the stream, as a generator does."""
        return await self._events.athrow(*args)

    async def aclose(self) -> None:
        """Close it; returns when it is gone."""
        if self.opened_at is None:
            self.opened_at = self.closed_at = self.gone_at = asyncio.get_running_loop().time()
        await self._events.aclose()

    async def _run(self) -> AsyncGenerator[ModelEvent, None]:
        now = asyncio.get_running_loop().time
        script = self.script
        self.opened_at = now()
        try:
            async for event in self._answer(script):
                if isinstance(event, Delta):
                    self.first_at = now() if self.first_at is None else self.first_at
                    self.text += event.text
                yield event
            self.finished = True
        except ModelError:
            self.finished = True
            raise
        finally:
            self.closed_at = now()
            try:
                if script.teardown and not self.finished:
                    await asyncio.sleep(script.teardown)
            finally:
                self.gone_at = now()

    async def _answer(self, script: Script) -> AsyncGenerator[ModelEvent, None]:
        answer = script.answer
        if answer is None:
            answer = {"text": f"Answer {self.number}."}
        text = answer if isinstance(answer, str) else orjson.dumps(answer).decode()
        asked = len(self.prompt) // CHARS_PER_TOKEN
        await asyncio.sleep(script.ttft)
        if script.error is not None and script.chunks == 0:
            raise script.error
        if script.usage:
            yield Usage(asked, 1)
        for sent, at in enumerate(range(0, len(text), script.chunk)):
            if sent == script.chunks and (script.error is not None or script.hangs):
                break
            if sent:
                await asyncio.sleep(script.delay)
            yield Delta(text[at : at + script.chunk])
        if script.hangs:
            await asyncio.get_running_loop().create_future()
        if script.error is not None:
            raise script.error
        if script.usage:
            yield Usage(asked, max(1, len(text) // CHARS_PER_TOKEN), final=True)
        yield Stop(script.stop)


class ScriptedModel:
    """A model that answers as it is told, and remembers every stream.

    :param answers: what to answer: the same for every stream; one after the other, the last again
        and again; or a function of the request and the stream's number (from 1). A text or a
        mapping stands for a :class:`Script` with that answer.
    """

    def __init__(self, answers: Answers = Script()) -> None:
        self.streams: list[ScriptedStream] = []
        """Every stream there was, in the order they were asked for."""
        self.most_open = 0
        """The most streams that were open at once, those being torn down included."""
        self._answer_for = _chooser(answers)

    def stream(self, request: Request) -> ScriptedStream:
        """See :class:`~foretell.streams.models.Model`."""
        number = len(self.streams) + 1
        answer = self._answer_for(request, number)
        script = answer if isinstance(answer, Script) else Script(answer)
        stream = ScriptedStream(number, request, script)
        self.streams.append(stream)
        self.most_open = max(self.most_open, len(self.open))
        return stream

    @property
    def open(self) -> list[ScriptedStream]:
        """The streams that are not gone."""
        return [stream for stream in self.streams if stream.gone_at is None]

    def asked(self, purpose: str) -> list[ScriptedStream]:
        """The streams asked for with this purpose: ``prefetch`` or ``foreground``."""
        return [stream for stream in self.streams if stream.request.purpose == purpose]

    async def aclose(self) -> None:
        """Nothing to close: streams close themselves."""


def _chooser(answers: Answers) -> Callable[[Request, int], Answer]:
    if callable(answers):
        return answers
    if isinstance(answers, (Script, str, Mapping)):
        only: Answer = answers
        return lambda request, number: only
    several = list(answers)
    if not several:
        raise ValueError("answers is empty: give at least one")
    return lambda request, number: several[min(number, len(several)) - 1]


class LogBuilder:
    """Builds a small session log, one input after the other.

    ::

        log = LogBuilder().state(state).turn("mira").wait(2)
        log.action("mira", "longsword", target="goblin").wait(6).outcome("hit", damage=9)
        log.write("short.jsonl")

    Each method adds its input at the present moment and returns the builder; :meth:`wait` moves
    the moment on. :attr:`events` are the inputs so far.
    """

    def __init__(self, session: str = "test", *, clock: str = "drawn") -> None:
        self.session = session
        self.events: list[ev.Input] = []
        self._clock = clock
        self._t = 0.0
        self._turn: str | None = None
        self._turns = self._actions = 0

    def wait(self, seconds: float) -> Self:
        """Time passes."""
        if seconds < 0:
            raise ValueError(f"time cannot run backwards: wait({seconds:g})")
        self._t = round(self._t + seconds, 6)
        return self

    def state(self, state: Mapping[str, Any], because: str | None = None) -> Self:
        """A full snapshot."""
        return self._add(ev.State(self._t, dict(state), because))

    def patch(self, *operations: Mapping[str, Any], because: str | None = None) -> Self:
        """A change of the last snapshot (RFC 6902)."""
        return self._add(ev.Patch(self._t, operations, because))

    def turn(
        self, actor: str, turn: str | None = None, options: Sequence[Mapping[str, Any]] = ()
    ) -> Self:
        """A turn begins."""
        self._turns += 1
        self._turn = turn or f"turn-{self._turns}"
        return self._add(ev.Turn(self._t, self._turn, actor, tuple(options)))

    def end_turn(self) -> Self:
        """The turn is over."""
        if self._turn is None:
            raise ValueError("end_turn without a turn")
        ended, self._turn = self._turn, None
        return self._add(ev.TurnEnd(self._t, ended))

    def action(
        self,
        actor: str,
        name: str,
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        action_id: str | None = None,
        odds: ev.Odds | None = None,
        rolled: str | Mapping[str, str] | None = None,
    ) -> Self:
        """An action is declared."""
        self._actions += 1
        action_id = action_id or f"action-{self._actions}"
        what = _what(name, target, type)
        return self._add(ev.Action(self._t, action_id, self._turn, actor, what, odds, rolled))

    def retract(self, action_id: str | None = None) -> Self:
        """An action (the last one) is taken back."""
        found = self._declared(action_id)
        return self._add(ev.Action(self._t, found.action_id, self._turn, found.actor, None))

    def outcome(
        self,
        result: str | None = None,
        *,
        results: Iterable[ev.Result] = (),
        action_id: str | None = None,
        to: Sequence[str] = (),
        **values: Any,
    ) -> Self:
        """What came of a declared action (the last one)."""
        found = self._declared(action_id).action_id
        told = _told(result, results, values)
        return self._add(ev.Outcome(self._t, told, found, self._turn, None, None, tuple(to)))

    def undeclared(
        self,
        actor: str,
        name: str,
        result: str | None = None,
        *,
        target: str | Sequence[str] | None = None,
        type: str | None = None,
        results: Iterable[ev.Result] = (),
        to: Sequence[str] = (),
        **values: Any,
    ) -> Self:
        """An outcome of an action nobody declared."""
        told = _told(result, results, values)
        what = _what(name, target, type)
        return self._add(ev.Outcome(self._t, told, None, self._turn, actor, what, tuple(to)))

    def say(self, speaker: str, text: str) -> Self:
        """Somebody says something."""
        return self._add(ev.Say(self._t, speaker, text))

    def rewind(self, to: float) -> Self:
        """Back to a time (a float), or to a revision (an int)."""
        self._turn = None
        return self._add(ev.Rewind(self._t, to))

    def add(self, build: Callable[[float], ev.Input]) -> Self:
        """Any other input: ``build`` gets the present moment, in seconds."""
        return self._add(build(self._t))

    def write(self, path: str | PathLike[str], **header: Any) -> Path:
        """Write it as a session log; ``header`` are further fields of its first line."""
        first = {
            "id": self.session,
            "started": "2026-01-01T00:00:00+00:00",
            "source": "foretell.testing",
            "clock": self._clock,
        }
        with LogWriter(path, {**first, **header}) as log:
            for event in self.events:
                log.write(to_record(event))
            log.write(to_record(ev.End(self._t)))
        return Path(path)

    def _add(self, event: ev.Input) -> Self:
        self.events.append(event)
        return self

    def _declared(self, action_id: str | None) -> ev.Action:
        for event in reversed(self.events):
            if isinstance(event, ev.Action) and action_id in (None, event.action_id):
                return event
        raise ValueError(f"no action {action_id!r} was declared" if action_id else "no action yet")


def _what(name: str, target: str | Sequence[str] | None, kind: str | None) -> dict[str, Any]:
    what: dict[str, Any] = {"type": kind or ("attack" if target else "use"), "name": name}
    if target is not None:
        what["target"] = target if isinstance(target, str) else list(target)
    return what


def _told(
    result: str | None, results: Iterable[ev.Result], values: Mapping[str, Any]
) -> tuple[ev.Result, ...]:
    told = tuple(results) or ((ev.Result(result, None, dict(values)),) if result else ())
    if not told:
        raise ValueError('an outcome needs a result, such as outcome("hit", damage=9)')
    return told
