"""A model that answers as it is told, and remembers every stream."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from ..streams.interleave import interleaved
from ..streams.models import Block, BlockEnd, Delta, ModelEvent, Request, Stop, Usage
from .watch import WatchedStream

__all__ = ["Answer", "Answers", "Call", "Script", "ScriptedModel", "ScriptedStream"]

CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a tool in the answer of a :class:`Script`; a text is sent as it is."""

    name: str
    input: str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Script:
    """How one stream of a :class:`ScriptedModel` behaves. Times are in seconds.

    :param answer: the text; a mapping is sent as JSON; ``None``: a short one that names the
        stream's number. Where the request's choice forces a tool, it is that tool's input. A
        sequence of :class:`Call` is several blocks, interleaved piece by piece.
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

    answer: str | Mapping[str, Any] | Sequence[Call] | None = None
    ttft: float = 0.5
    delay: float = 0.02
    chunk: int = 8
    error: Exception | None = None
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


class ScriptedStream(WatchedStream):
    """One stream of a :class:`ScriptedModel`, and what became of it."""

    def __init__(self, number: int, request: Request, script: Script) -> None:
        super().__init__(number, request, self._run(script))
        self.script = script

    async def _run(self, script: Script) -> AsyncGenerator[ModelEvent, None]:
        try:
            async for event in self._answer(script):
                yield event
        except (asyncio.CancelledError, GeneratorExit):
            self._closing()
            if script.teardown:
                await asyncio.sleep(script.teardown)
            raise

    async def _answer(self, script: Script) -> AsyncGenerator[ModelEvent, None]:
        blocks = self._blocks(script.answer)
        pieces = interleaved([_chunks(text, script.chunk) for _, text in blocks])
        asked = len(self.prompt) // CHARS_PER_TOKEN
        await asyncio.sleep(script.ttft)
        if script.error is not None and script.chunks == 0:
            raise script.error
        if script.usage:
            yield Usage(asked, 1)
        for sent, (index, piece, first, last) in enumerate(pieces):
            if sent == script.chunks and (script.error is not None or script.hangs):
                break
            if sent:
                await asyncio.sleep(script.delay)
            block = blocks[index][0]
            if first:
                yield block
            if piece:
                yield Delta(piece, "json" if block.kind == "tool_use" else "text", index)
            if last:
                yield BlockEnd(index)
        if script.hangs:
            await asyncio.get_running_loop().create_future()
        if script.error is not None:
            raise script.error
        if script.usage:
            written = sum(len(text) for _, text in blocks)  # ints
            yield Usage(asked, max(1, written // CHARS_PER_TOKEN), final=True)
        yield Stop(script.stop)

    def _blocks(
        self, answer: str | Mapping[str, Any] | Sequence[Call] | None
    ) -> list[tuple[Block, str]]:
        if answer is None:
            answer = {"text": f"Answer {self.number}."}
        if isinstance(answer, (str, Mapping)):
            called = self.request.called
            if not called:
                return [(Block(0), _sent(answer))]
            answer = (Call(called[0].name, answer),)
        return [
            (Block(index, "tool_use", call.name, f"call-{self.number}-{index}"), _sent(call.input))
            for index, call in enumerate(answer)
        ]


def _sent(answer: str | Mapping[str, Any]) -> str:
    return answer if isinstance(answer, str) else orjson.dumps(answer).decode()


def _chunks(text: str, size: int) -> list[str]:
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


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
        """The streams asked for with this purpose: ``prefetch``, ``foreground`` or ``plan``."""
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
