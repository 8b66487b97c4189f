"""Several blocks of one answer: each a stream of its own, however they are interleaved."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from typing import Any

import orjson
import pytest
import reactivex as rxpy
import reactivex.operators as rx
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel
from reactivex import Observable
from reactivex.subject import Subject

from foretell.operators.block_stream import BlockStream
from foretell.operators.blocks import blocks, reading_blocks
from foretell.operators.partials import Final, PartialParser
from foretell.operators.typed import Unfinished, partials
from foretell.streams.bridge import from_async_iterable
from foretell.streams.models import (
    Block,
    BlockEnd,
    Delta,
    Message,
    ModelCut,
    ModelEvent,
    ModelRefusal,
    Request,
    Stop,
    Tool,
    Usage,
)
from foretell.streams.tasks import Tasks
from foretell.testing import Call, Script, ScriptedModel, instant

PLAN, NOTE = Block(0, "tool_use", "plan", "a"), Block(1, "tool_use", "note", "b")
ASK = Request("m", (Message("user", "Plan."),), tools=(Tool("plan", {}), Tool("note", {})))
INTERLEAVED: list[ModelEvent] = [
    Usage(7, 1),
    PLAN,
    Delta('{"x"', "json", 0),
    NOTE,
    Delta('{"y":', "json", 1),
    Delta(":1}", "json", 0),
    BlockEnd(0),
    Delta("2}", "json", 1),
    BlockEnd(1),
    Stop("tool_use"),
]


class Bench:
    """A source, what comes of its blocks in order, and how all of it ends."""

    def __init__(self, **how: Any) -> None:
        self.source: Subject[ModelEvent] = Subject()
        self.seen: list[tuple[Any, ...]] = []
        self.found: list[BlockStream] = []
        self.split: Observable[BlockStream] = self.source.pipe(blocks(**how))

    def open(self) -> Bench:
        self.split.subscribe(
            self.follow,
            lambda error: self.seen.append(("error", error)),
            lambda: self.seen.append(("end",)),
        )
        return self

    def follow(self, block: BlockStream) -> None:
        self.found.append(block)
        self.seen.append((block.index, block.kind, block.name))
        block.deltas.subscribe(
            lambda piece: self.seen.append((block.index, piece)),
            lambda error: self.seen.append((block.index, error)),
            lambda: self.seen.append((block.index, "end")),
        )

    def feed(self, *events: ModelEvent) -> None:
        for event in events:
            self.source.on_next(event)


def test_interleaved_blocks_stay_apart_and_each_ends_with_its_block() -> None:
    bench = Bench().open()
    bench.feed(*INTERLEAVED)
    bench.source.on_completed()
    assert bench.seen == [
        (0, "tool_use", "plan"),
        (0, '{"x"'),
        (1, "tool_use", "note"),
        (1, '{"y":'),
        (0, ":1}"),
        (0, "end"),
        (1, "2}"),
        (1, "end"),
        ("end",),
    ]
    assert repr(bench.found[0]) == "<BlockStream 0 [tool_use plan, ended, 7 characters]>"
    assert [block.id for block in bench.found] == ["a", "b"]


def test_flat_map_reads_several_tools_side_by_side() -> None:
    source: Subject[ModelEvent] = Subject()
    read: list[tuple[str, Any]] = []

    def parsed(block: BlockStream) -> Observable[tuple[str, Any]]:
        parser = PartialParser()
        return block.deltas.pipe(
            rx.map(lambda piece: (parser.feed(piece), parser.value)[1]),
            rx.last(),
            rx.map(lambda value: (block.name, value)),
        )

    source.pipe(blocks(), rx.flat_map(parsed)).subscribe(read.append)
    for event in INTERLEAVED:
        source.on_next(event)
    assert read == [("plan", {"x": 1}), ("note", {"y": 2})]


class Plan(BaseModel):
    x: int


class Note(BaseModel):
    y: int
    text: str = ""


MODELS: dict[str, type[Plan | Note]] = {"plan": Plan, "note": Note}


def test_typed_partials_of_several_tools_grow_side_by_side() -> None:
    source: Subject[ModelEvent] = Subject()
    read: list[Any] = []
    source.pipe(
        blocks(), rx.flat_map(lambda block: block.deltas.pipe(partials(MODELS[block.name])))
    ).subscribe(read.append)
    for event in INTERLEAVED:
        source.on_next(event)
    assert [value for value in read if isinstance(value, BaseModel)] == [Plan(x=1), Note(y=2)]


def test_with_a_failure_each_block_says_what_of_it_is_usable_and_then_the_error_comes() -> None:
    source: Subject[ModelEvent] = Subject()
    read: list[Any] = []
    errors: list[Exception] = []
    source.pipe(
        blocks(),
        rx.flat_map(
            lambda block: block.deltas.pipe(partials(MODELS[block.name]), rx.catch(rxpy.empty()))
        ),
    ).subscribe(read.append, errors.append)
    for event in (PLAN, Delta('{"x":1', "json", 0), NOTE, Delta('{"y":2,"text":"So', "json", 1)):
        source.on_next(event)
    source.on_error(ModelCut("the line died"))
    plan, note = (end for end in read if isinstance(end, Unfinished))
    assert "the line died" in plan.reason and "the line died" in note.reason
    assert (note.partial.y, note.partial.text) == (2, "So")
    assert [str(error) for error in errors] == ["the line died"]


def test_whoever_comes_late_gets_a_block_from_its_beginning() -> None:
    bench = Bench()
    bench.split.subscribe(bench.found.append)
    bench.feed(*INTERLEAVED[:6])
    late: list[str] = []
    bench.found[0].deltas.subscribe(late.append, on_completed=lambda: late.append("end"))
    assert late == ['{"x"', ":1}"]
    bench.feed(*INTERLEAVED[6:])
    assert late == ['{"x"', ":1}", "end"]
    after: list[str] = []
    bench.found[1].deltas.subscribe(after.append, on_completed=lambda: after.append("end"))
    assert after == ['{"y":', "2}", "end"]


def test_one_after_the_other_loses_nothing() -> None:
    source: Subject[ModelEvent] = Subject()
    pieces: list[str] = []
    in_line = source.pipe(blocks(), rx.map(lambda block: block.deltas), rx.merge(max_concurrent=1))
    in_line.subscribe(pieces.append)
    for event in INTERLEAVED:
        source.on_next(event)
    assert pieces == ['{"x"', ":1}", '{"y":', "2}"]


def test_a_piece_nobody_announced_begins_its_block_and_an_index_may_come_again() -> None:
    bench = Bench().open()
    bench.feed(Delta("Once"), Delta("{", "json", 4), Block(0, "text"), Delta("again"))
    bench.source.on_completed()
    assert bench.seen == [
        (0, "text", ""),
        (0, "Once"),
        (4, "tool_use", ""),
        (4, "{"),
        (0, "end"),
        (0, "text", ""),
        (0, "again"),
        (4, "end"),
        (0, "end"),
        ("end",),
    ]


def test_an_error_reaches_the_open_blocks_and_then_the_subscriber() -> None:
    bench, error = Bench().open(), ModelCut("cut")
    bench.feed(*INTERLEAVED[:7])
    bench.seen.clear()
    bench.source.on_error(error)
    assert bench.seen == [(1, error), ("error", error)]


def test_a_refusal_is_an_error_that_says_why() -> None:
    bench = Bench().open()
    bench.feed(Block(0), Delta("Hi"), BlockEnd(0), Stop("refusal", "cyber: not this"))
    (_, refusal) = bench.seen[-1]
    assert isinstance(refusal, ModelRefusal)
    assert str(refusal) == "the model declined to write this: cyber: not this"
    assert not bench.source.observers


def test_what_a_subscriber_of_a_block_raises_is_reported_and_costs_the_others_nothing() -> None:
    faults: list[str] = []
    bench = Bench(fault=lambda where, error: faults.append(f"{where}: {error!r}"))

    def bad(block: BlockStream) -> None:
        block.deltas.subscribe(lambda piece: 1 / 0)  # type: ignore[arg-type]

    bench.split.pipe(rx.do_action(bad)).subscribe(bench.follow)
    bench.feed(*INTERLEAVED)
    assert len(faults) == 2 and "ZeroDivisionError" in faults[0]
    assert [seen for seen in bench.seen if seen[0] == 0][-2:] == [(0, ":1}"), (0, "end")]
    bench = Bench()
    bench.split.subscribe(bad)
    with pytest.raises(ZeroDivisionError):
        bench.feed(*INTERLEAVED)


def test_the_source_is_kept_until_the_last_reader_of_a_block_has_left() -> None:
    bench = Bench()
    pieces: list[str] = []
    bench.split.pipe(rx.take(1), rx.flat_map(lambda block: block.deltas)).subscribe(
        pieces.append, on_completed=lambda: pieces.append("end")
    )
    bench.feed(*INTERLEAVED)
    assert pieces == ['{"x"', ":1}", "end"]
    assert not bench.source.observers

    bench = Bench()
    found: list[BlockStream] = []
    bench.split.pipe(rx.take(1)).subscribe(found.append)
    bench.feed(*INTERLEAVED[:3])
    assert not bench.source.observers
    errors: list[Exception] = []
    found[0].deltas.subscribe(on_error=errors.append)
    assert isinstance(errors[0], ModelCut)


def test_what_a_reader_brings_about_comes_after_what_it_is_reading() -> None:
    bench, seen = Bench(), []

    def follow(block: BlockStream) -> None:
        def echo(piece: str) -> None:
            if piece == "a":
                bench.feed(Delta("b"), BlockEnd(0))
            seen.append(piece)

        block.deltas.subscribe(echo, on_completed=lambda: seen.append("end"))

    bench.split.subscribe(follow)
    bench.feed(Block(0), Delta("a"))
    assert seen == ["a", "b", "end"]


@given(
    st.lists(st.lists(st.text(min_size=1, max_size=4), max_size=6), min_size=1, max_size=5),
    st.integers(0, 2**32),
)
def test_any_interleaving_gives_each_block_its_own_text(texts: list[list[str]], seed: int) -> None:
    events: list[list[ModelEvent]] = [
        [Block(n), *(Delta(piece, index=n) for piece in pieces), BlockEnd(n)]
        for n, pieces in enumerate(texts)
    ]
    rng, bench = random.Random(seed), Bench().open()
    while left := [each for each in events if each]:
        bench.feed(rng.choice(left).pop(0))
    got = {block.index: block.text for block in bench.found}
    assert got == {n: "".join(pieces) for n, pieces in enumerate(texts)}
    assert sum(seen[1:] == ("end",) for seen in bench.seen) == len(texts)


# --- for async code ---


def planning(*calls: Call, **how: Any) -> ScriptedModel:
    given = calls or (Call("plan", {"steps": list(range(9))}), Call("note", {"text": "So be it."}))
    return ScriptedModel(Script(given, **how))


async def test_with_rx_too_the_stream_is_closed_once_the_block_that_is_wanted_is_whole() -> None:
    tasks, model, read = Tasks(lambda where, error: None), planning(chunk=4, teardown=1.0), []
    from_async_iterable(lambda: model.stream(ASK), tasks).pipe(
        blocks(),
        rx.filter(lambda block: block.name == "note"),
        rx.take(1),
        rx.flat_map(lambda block: block.deltas.pipe(rx.reduce(lambda have, more: have + more))),
    ).subscribe(read.append)
    await asyncio.sleep(30)
    assert [orjson.loads(text) for text in read] == [{"text": "So be it."}]
    [stream] = model.streams
    assert not stream.finished and stream.gone_at is not None
    await tasks.aclose()


async def to_the_end_of(items: AsyncGenerator[Any, None]) -> None:
    async for _ in items:
        pass


async def test_async_code_reads_interleaved_blocks_one_after_the_other_or_at_once() -> None:
    def whole(block: BlockStream) -> Any:
        return orjson.loads(block.text)

    for at_once in (False, True):
        model = planning()
        values: dict[str, Any] = {}

        async def read(block: BlockStream, values: dict[str, Any]) -> None:
            text = "".join([piece async for piece in block.texts()])
            assert text == block.text
            values[block.name] = whole(block)

        async with reading_blocks(model.stream(ASK)) as found, asyncio.TaskGroup() as group:
            async for block in found:
                if at_once:
                    group.create_task(read(block, values))
                else:
                    await read(block, values)
        assert values == {"plan": {"steps": list(range(9))}, "note": {"text": "So be it."}}
        assert not model.open


async def test_a_block_is_there_while_it_still_grows() -> None:
    loop = asyncio.get_running_loop()
    parser, done_at = PartialParser(), None
    async with reading_blocks(planning(chunk=4, delay=1.0).stream(ASK)) as found:
        async for block in found:
            async for piece in block.texts():
                parser.feed(piece)
                if done_at is None and parser.done(("steps", 0)):
                    done_at = loop.time()
            break
        assert isinstance(parser.finish(), Final)
        assert done_at is not None and done_at < loop.time()


async def test_a_failure_reaches_who_reads_a_block_and_who_reads_the_blocks() -> None:
    model = planning(error=ModelCut("cut"), chunks=3)
    async with reading_blocks(model.stream(ASK)) as found:
        for _ in range(2):
            with pytest.raises(ModelCut, match="cut"):
                await to_the_end_of((await anext(found)).texts())
        with pytest.raises(ModelCut, match="cut"):
            await anext(found)
    assert not model.open


async def test_a_refusal_is_raised_after_the_last_block() -> None:
    async with reading_blocks(planning(stop="refusal").stream(ASK)) as found:
        texts = ["".join([piece async for piece in (await anext(found)).texts()]) for _ in "ab"]
        assert orjson.loads(texts[1]) == {"text": "So be it."}
        with pytest.raises(ModelRefusal):
            await anext(found)


async def test_leaving_closes_the_stream_and_ends_who_still_reads() -> None:  # G4
    model, cut = planning(hangs=True, chunks=2, teardown=3.0), []

    async def read(block: BlockStream) -> None:
        try:
            async for _ in block.texts():
                pass
        except ModelCut as error:
            cut.append(error)

    async with reading_blocks(model.stream(ASK)) as found:
        block = await anext(found)
        reader = asyncio.create_task(read(block))
        await asyncio.sleep(1)
    assert not model.open  # its teardown has been awaited
    await reader
    assert len(cut) == 1


async def test_leaving_before_anything_came_closes_the_stream_too() -> None:  # G4
    model = planning()
    async with reading_blocks(model.stream(ASK)):
        pass
    async with reading_blocks(model.stream(ASK)):
        await instant()
    assert model.streams[1].opened_at is not None
    assert [stream for stream in model.open if stream.opened_at is not None] == []


async def test_a_cancel_goes_on_once_the_stream_is_closed_however_often_it_is_given() -> None:
    model = planning(hangs=True, chunks=1, teardown=5.0)

    async def read() -> None:
        async with reading_blocks(model.stream(ASK)) as found:
            async for _ in found:
                pass

    task = asyncio.create_task(read())
    await asyncio.sleep(2)
    task.cancel()
    await asyncio.sleep(1)
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled() and not model.open
    assert asyncio.get_running_loop().time() == 7.0


async def test_a_model_that_breaks_is_no_silent_end() -> None:
    async def broken() -> AsyncGenerator[ModelEvent, None]:
        yield Block(0)
        raise RuntimeError("bug")

    async with reading_blocks(broken()) as found:
        with pytest.raises(RuntimeError, match="bug"):
            await to_the_end_of(found)
