"""Generations: opened once, replayed to all, closed with the last lease, within the cap."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from foretell.operators.generation import Generation, GenerationClosed, Generations, Lease, Phase
from foretell.streams.models import (
    Delta,
    Message,
    Model,
    ModelCut,
    ModelError,
    ModelEvent,
    ModelProtocolError,
    ModelRefusal,
    ModelUnavailable,
    Purpose,
    Request,
    Usage,
)
from foretell.streams.replay_buffer import ReplayBuffer
from foretell.streams.tasks import Tasks
from foretell.testing import Script, ScriptedModel, instant, run_virtual

TEXT = "The blade finds its mark."


class Bench:
    def __init__(self, model: Model | None = None, *, limit: int = 8, **script: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.scripted = ScriptedModel(Script(**{"answer": TEXT, **script}))
        self.traces: list[dict[str, Any]] = []
        self.faults: list[str] = []
        self.ended: list[str] = []
        self.delivered: list[str] = []
        self.tasks = Tasks(lambda where, error: self.faults.append(f"{where}: {error}"))
        self.all = Generations(
            model or self.scripted,
            self.tasks,
            lambda kind, **fields: self.traces.append({"kind": kind, **fields}),
            self.loop.time,
            limit=limit,
            on_end=lambda generation: self.ended.append(f"{generation.id} {generation.phase}"),
            on_deliver=lambda generation: self.delivered.append(generation.id),
        )

    def open(self, purpose: Purpose = Purpose.PREFETCH, value: float = 1.0) -> Generation:
        request = Request("m", (Message("user", "tell"),), purpose=purpose)
        return self.all.open(request, (), revision=1, value=value)

    def speculate(self, value: float = 1.0) -> tuple[Generation, Lease]:
        generation = self.open(value=value)
        return generation, generation.lease()

    def foreground(self) -> tuple[Generation, Lease]:
        generation = self.open(Purpose.FOREGROUND)
        return generation, generation.lease()


async def text_of(generation: Generation) -> str:
    return "".join([chunk async for chunk in generation.chunks()])


async def test_readers_early_and_late_get_the_whole_text() -> None:
    bench = Bench()
    generation, lease = bench.speculate()
    early = asyncio.create_task(text_of(generation))
    await asyncio.sleep(0.53)
    middle = asyncio.create_task(text_of(generation))
    assert await early == await middle == TEXT
    assert await text_of(generation) == TEXT
    assert generation.phase is Phase.DONE and generation.alive
    assert len(bench.scripted.streams) == 1
    lease.release()
    assert bench.all.live == ()
    assert generation.phase is Phase.DONE


async def test_what_is_there_comes_as_one_chunk_and_then_as_it_arrives() -> None:
    bench = Bench(chunk=5)
    generation, lease = bench.speculate()
    await asyncio.sleep(0.53)  # two chunks are there
    chunks = [chunk async for chunk in generation.chunks()]
    assert chunks == ["The blade ", "finds", " its ", "mark."]
    lease.release()


async def test_the_last_lease_closes_the_stream() -> None:  # G4
    bench = Bench(hangs=True, chunks=1, teardown=0.5)
    generation, first = bench.speculate()
    second = generation.lease()
    await asyncio.sleep(1)
    first.release()
    first.release()  # once is enough
    await instant()
    stream = bench.scripted.streams[0]
    assert generation.phase is Phase.RUNNING and stream.closed_at is None
    second.release("superseded")
    assert (str(generation.phase), generation.reason) == ("closed", "superseded")
    await generation.closed()
    assert (stream.closed_at, stream.gone_at) == (1.0, 1.5)
    assert stream.read_after_close == 0
    assert bench.all.live == () and bench.all.running == 0 and len(bench.tasks) == 0


async def test_readers_of_a_closed_one_are_told() -> None:
    bench = Bench(hangs=True, chunks=1)
    generation, lease = bench.speculate()
    reader = asyncio.create_task(text_of(generation))
    await asyncio.sleep(1)
    lease.release("superseded")
    with pytest.raises(GenerationClosed, match="superseded"):
        await reader
    with pytest.raises(GenerationClosed, match="superseded"):
        await text_of(generation)
    await generation.closed()


async def test_revoking_makes_even_a_finished_one_unusable() -> None:  # G1
    bench = Bench()
    generation, lease = bench.speculate()
    await asyncio.sleep(5)
    generation.revoke()
    assert generation.phase is Phase.DONE and not generation.alive
    with pytest.raises(GenerationClosed, match="revoked"):
        await text_of(generation)
    lease.release()


async def test_closed_before_it_was_asked_it_asks_nothing_and_costs_nothing() -> None:
    bench = Bench()
    generation, lease = bench.speculate()
    lease.release()
    await generation.closed()
    assert bench.scripted.streams == []
    assert generation.opened_at is None
    assert bench.ended == ["g1 closed"]


async def test_the_most_valuable_of_those_waiting_starts_first() -> None:  # G3
    bench = Bench(limit=1)
    held = [bench.speculate(value) for value in (0.1, 0.5, 0.9, 0.5)]
    assert repr(bench.all) == "<Generations [1 running, 3 waiting]>"
    assert [generation.phase for generation, _ in held] == ["running", *["waiting"] * 3]
    await asyncio.sleep(20)
    began = {generation.id: generation.opened_at for generation, _ in held}
    assert sorted(began, key=lambda gid: began[gid] or 0) == ["g1", "g3", "g2", "g4"]
    assert bench.scripted.most_open == 1
    for _, lease in held:
        lease.release()


async def test_one_that_waits_can_be_closed() -> None:
    bench = Bench(limit=1)
    _, first = bench.speculate()
    waiting, second = bench.speculate()
    second.release("superseded")
    await waiting.closed()
    with pytest.raises(GenerationClosed):
        await text_of(waiting)
    await asyncio.sleep(20)
    assert len(bench.scripted.streams) == 1
    first.release()


async def test_a_foreground_one_waits_for_nobody_and_displaces_the_least_valuable() -> None:  # G5
    bench = Bench(limit=2, hangs=True, chunks=1, teardown=1)
    rich, a = bench.speculate(0.9)
    poor, b = bench.speculate(0.1)
    await asyncio.sleep(1)
    player, c = bench.foreground()
    await instant()
    assert player.opened_at == 1.0
    assert (rich.phase, poor.phase) == (Phase.RUNNING, Phase.CLOSED)
    assert poor.reason == "displaced"
    assert len(bench.scripted.open) == 3  # one more, until the displaced one is gone
    await asyncio.sleep(2)
    assert len(bench.scripted.open) == 2
    for lease in (a, b, c):
        lease.release()
    await asyncio.sleep(2)


async def test_an_adopted_speculation_is_never_displaced() -> None:  # G2, G5
    """Nor when the plan has long let go of it, and only the telling holds it."""
    bench = Bench(limit=1, hangs=True, chunks=1)
    adopted, plan = bench.speculate(0.1)
    telling = adopted.lease()
    plan.release()
    await asyncio.sleep(1)
    player, lease = bench.foreground()
    await instant()
    assert adopted.phase is Phase.RUNNING
    assert player.phase is Phase.RUNNING
    telling.release()
    lease.release()
    await instant()


async def test_one_that_is_going_counts_as_gone_for_the_player() -> None:
    """Its slot is free in a moment: nobody else is displaced for it."""
    bench = Bench(limit=2, hangs=True, chunks=1, teardown=1)
    kept, a = bench.speculate(0.5)
    _, b = bench.speculate(0.9)
    await asyncio.sleep(1)
    b.release()
    _, c = bench.foreground()
    await instant()
    assert kept.phase is Phase.RUNNING
    for lease in (a, c):
        lease.release()
    await asyncio.sleep(2)


async def test_a_waiting_speculation_starts_when_a_closed_one_is_gone() -> None:  # G3
    bench = Bench(limit=1, hangs=True, chunks=1, teardown=1)
    _, a = bench.speculate()
    await asyncio.sleep(1)
    second, b = bench.speculate()
    a.release()
    await asyncio.sleep(0.5)
    assert second.phase is Phase.WAITING
    await asyncio.sleep(1)
    assert second.opened_at == 2.0
    assert bench.scripted.most_open == 1
    b.release()
    await asyncio.sleep(2)


@pytest.mark.parametrize(
    ("script", "error", "text"),
    [
        ({"error": ModelUnavailable("down")}, ModelUnavailable, ""),
        ({"error": ModelCut("cut"), "chunks": 2}, ModelCut, TEXT[:16]),
        ({"stop": "refusal"}, ModelRefusal, TEXT),
        ({"stop": "max_tokens"}, ModelCut, TEXT),
        ({"answer": ""}, ModelProtocolError, ""),
    ],
)
async def test_a_failure_comes_after_the_text_before_it(
    script: dict[str, Any], error: type[ModelError], text: str
) -> None:
    bench = Bench(**script)
    generation, lease = bench.speculate()
    read: list[str] = []

    async def reader() -> None:
        async for chunk in generation.chunks():
            read.append(chunk)  # noqa: PERF401 - what came before the error counts

    with pytest.raises(error):
        await reader()
    assert "".join(read) == text
    assert generation.phase is Phase.FAILED and not generation.alive
    assert bench.faults == []  # a server's fault is no bug
    lease.release()
    await instant()
    assert bench.all.running == 0


class Broken:
    """A guest's own model, with a bug."""

    def __init__(self, at_once: bool) -> None:
        self.at_once = at_once
        self.closed = False

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        if self.at_once:
            raise KeyError("bug")
        return self._stream()

    async def _stream(self) -> AsyncGenerator[ModelEvent, None]:
        try:
            yield Delta("So ")
            raise KeyError("bug")
        finally:
            self.closed = True

    async def aclose(self) -> None:
        pass


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_models_bug_fails_its_generation_and_is_reported(at_once: bool) -> None:  # G10
    bench = Bench(Broken(at_once))
    generation, lease = bench.speculate()
    with pytest.raises(ModelError, match="KeyError"):
        await text_of(generation)
    await instant()
    assert bench.faults == ["g1: 'bug'"]
    lease.release()


async def test_a_task_cancelled_from_outside_leaves_no_reader_waiting() -> None:
    bench = Bench(hangs=True, chunks=1)
    generation, lease = bench.speculate()
    other, second = bench.speculate()
    reader = asyncio.create_task(text_of(generation))
    await asyncio.sleep(1)
    await bench.tasks.aclose()
    with pytest.raises(GenerationClosed, match="cancelled"):
        await reader
    assert other.phase is Phase.CLOSED
    assert bench.scripted.open == []
    lease.release()
    second.release()


async def test_usage_is_kept_as_it_comes_and_fields_left_out_keep_the_last_known() -> None:
    class Counted(Broken):
        async def _stream(self) -> AsyncGenerator[ModelEvent, None]:
            yield Usage(100, 1, cache_read=40)
            yield Delta("So it ends.")
            yield Usage(output=7, final=True)

    bench = Bench(Counted(at_once=False))
    generation, lease = bench.speculate()
    await text_of(generation)
    assert generation.usage == Usage(100, 7, 40, None, final=True)
    lease.release()


async def test_delivery_is_told_once_and_binds() -> None:
    bench = Bench()
    generation, lease = bench.speculate()
    generation.deliver()
    generation.deliver()
    assert generation.bound and bench.delivered == ["g1"]
    lease.release()
    await generation.closed()


async def test_what_happens_is_traced() -> None:
    bench = Bench(chunk=100)
    _, lease = bench.speculate()
    await asyncio.sleep(5)
    kinds = [trace["kind"] for trace in bench.traces]
    assert kinds == [
        "~generation", "~asked", "~usage", "~chunk", "~usage", "~stop", "~ended", "~closed",
    ]  # fmt: skip
    assert bench.traces[-2]["phase"] == "done"
    lease.release()


async def test_the_buffer_gives_a_late_reader_all_of_it_and_forgets_one_that_left() -> None:
    buffer: ReplayBuffer[str] = ReplayBuffer()

    async def read() -> str:
        return "".join([item async for item in buffer.follow()])

    buffer.append("a")
    first, leaver = asyncio.create_task(read()), asyncio.create_task(read())
    await instant(3)
    leaver.cancel()
    await instant(3)
    assert len(buffer._waiters) == 1
    buffer.append("b")
    second = asyncio.create_task(read())
    await instant(3)
    buffer.append("c")
    buffer.end()
    assert await first == await second == await read() == "abc"
    assert leaver.cancelled() and buffer._waiters == []


async def test_who_waits_for_the_whole_is_not_woken_by_a_piece_and_hears_of_the_end_first() -> None:
    buffer: ReplayBuffer[str] = ReplayBuffer()
    heard: list[str] = []

    async def wait(name: str, until: Awaitable[None]) -> None:
        await until
        heard.append(name)

    last = asyncio.create_task(wait("piece", buffer.changed()))
    whole = asyncio.create_task(wait("whole", buffer.whole()))
    leaver = asyncio.create_task(wait("leaver", buffer.whole()))
    await instant()
    leaver.cancel()
    buffer.append("a")
    await instant()
    assert heard == ["piece"] and last.done() and len(buffer._at_end) == 1
    last = asyncio.create_task(wait("last", buffer.changed()))
    await instant()
    buffer.end()
    await last
    assert heard == ["piece", "whole", "last"] and whole.done()
    await buffer.whole()


@given(st.integers(0, 2**32 - 1), st.integers(1, 3))
def test_any_interleaving_keeps_to_the_cap_and_leaves_nothing_open(seed: int, limit: int) -> None:
    """Random speculations, adoptions, foreground streams, releases and revocations."""  # G3, G4

    async def main() -> None:
        rng = random.Random(seed)
        bench = Bench(limit=limit)
        bench.scripted = ScriptedModel(lambda request, number: Script.drawn(rng, TEXT))
        bench.all._model = bench.scripted
        held: list[Lease] = []
        for _ in range(rng.randint(1, 40)):
            match rng.randrange(6):
                case 0 | 1:
                    held.append(bench.speculate(rng.random())[1])
                case 2:
                    began = len(bench.scripted.streams)
                    held.append(bench.foreground()[1])
                    await instant(2)
                    assert len(bench.scripted.streams) > began  # G5: it waits for nobody
                case 3 if held:
                    held.append(rng.choice(held).generation.lease())
                case 4 if held:
                    held.pop(rng.randrange(len(held))).release()
                case 5 if held and rng.random() < 0.3:
                    rng.choice(held).generation.revoke()
            await asyncio.sleep(rng.choice((0, 0, 0.01, 0.3)))
            running = [each for each in bench.all.live if each.phase is Phase.RUNNING]
            prefetch = [each for each in running if each.request.purpose is Purpose.PREFETCH]
            player = len(running) - len(prefetch)
            adopted = sum(each.adopted for each in prefetch)
            assert len(prefetch) <= limit
            assert len(running) <= max(limit, player + adopted)
            if any(each.phase is Phase.WAITING for each in bench.all.live):
                assert bench.all.running >= limit
        await asyncio.sleep(30)
        for generation in bench.all.live:
            assert generation.phase in (Phase.DONE, Phase.CLOSED)
        for lease in held:
            lease.release()
        await asyncio.sleep(1)
        assert bench.all.live == () and bench.all.running == 0
        assert repr(bench.all) == "<Generations [0 running, 0 waiting]>"
        assert len(bench.tasks) == 0 and bench.faults == []
        assert bench.scripted.open == []
        assert all(stream.read_after_close == 0 for stream in bench.scripted.streams)
        assert len(bench.ended) == len({line.split()[0] for line in bench.ended})

    run_virtual(main())
