"""What Foretell gives to the tests of others."""

from __future__ import annotations

import asyncio

import orjson
import pytest

from foretell.streams.models import (
    Block,
    BlockEnd,
    Delta,
    Message,
    ModelCut,
    ModelError,
    Purpose,
    Request,
    Stop,
    Tool,
    Usage,
)
from foretell.testing import Call, Script, ScriptedModel, Stamp, instant
from foretell.testing.moods import Moody
from foretell.testing.narrated import Narrated

ASK = Request("m", (Message("user", "Tell."),), purpose=Purpose.PREFETCH)


def now() -> float:
    return asyncio.get_running_loop().time()


async def test_a_scripted_model_answers_as_told_and_remembers() -> None:
    model = ScriptedModel(Script("abcd", ttft=2.0, delay=1.0, chunk=3))
    stream = model.stream(ASK)
    events = [(now(), event) async for event in stream]
    assert events == [
        (2.0, Usage(1, 1)),
        (2.0, Block(0)),
        (2.0, Delta("abc")),
        (3.0, Delta("d")),
        (3.0, BlockEnd(0)),
        (3.0, Usage(1, 1, final=True)),
        (3.0, Stop("end_turn")),
    ]
    assert (stream.opened_at, stream.first_at, stream.closed_at) == (0.0, 2.0, 3.0)
    assert stream.finished and stream.text == "abcd" and "Tell." in stream.prompt
    assert repr(stream) == "<ScriptedStream 1 [prefetch, finished, 4 characters]>"
    assert model.asked("prefetch") == [stream] and model.asked("foreground") == []
    assert (model.open, model.most_open) == ([], 1)


async def test_a_scripted_model_calls_tools_interleaved_or_the_one_it_must() -> None:
    tools = (Tool("plan", {}), Tool("note", {}))
    calls = Script((Call("plan", {"a": 1}), Call("note", "{}")), chunk=4, delay=1.0)
    stream = ScriptedModel(calls).stream(Request("m", ASK.messages, tools=tools))
    events = [event async for event in stream]
    assert [event for event in events if not isinstance(event, Usage)] == [
        Block(0, "tool_use", "plan", "call-1-0"),
        Delta('{"a"', "json", 0),
        Block(1, "tool_use", "note", "call-1-1"),
        Delta("{}", "json", 1),
        BlockEnd(1),
        Delta(":1}", "json", 0),
        BlockEnd(0),
        Stop("end_turn"),
    ]
    must = Request("m", ASK.messages, tools=tools, tool_choice="note")
    events = [event async for event in ScriptedModel({"b": 2}).stream(must)]
    assert Block(0, "tool_use", "note", "call-1-0") in events
    assert Delta('{"b":2}', "json", 0) in events


async def test_answers_come_one_after_the_other_the_last_for_ever() -> None:
    model = ScriptedModel(["one", {"text": "two"}])
    texts = []
    for _ in range(3):
        stream = model.stream(ASK)
        texts.append("".join([e.text async for e in stream if isinstance(e, Delta)]))
    assert texts == ["one", '{"text":"two"}', '{"text":"two"}']
    with pytest.raises(ValueError, match="answers is empty"):
        ScriptedModel([])


async def test_a_script_can_fail_hang_and_be_slow_to_go() -> None:
    cut = ScriptedModel(Script("abcdef", chunk=2, error=ModelCut("cut"), chunks=2)).stream(ASK)
    with pytest.raises(ModelCut):
        async for _ in cut:
            pass
    assert cut.text == "abcd" and cut.finished

    model = ScriptedModel(Script("abcdef", chunk=2, hangs=True, chunks=1, teardown=3.0))
    stream = model.stream(ASK)

    async def read() -> None:
        async for _ in stream:
            pass

    reader = asyncio.create_task(read())
    await asyncio.sleep(100)
    begun = now()
    reader.cancel()
    await instant()
    assert stream.closed_at == begun and model.open == [stream]
    assert (stream.gone_at, stream.read_after_close) == (None, 0)
    await asyncio.wait([reader])
    assert stream.gone_at == begun + 3 and model.open == []
    with pytest.raises(StopAsyncIteration):
        await anext(stream)
    assert stream.read_after_close == 1


async def test_a_simulated_narrator_has_stamps_for_words_and_the_narrator_s_own_faults() -> None:
    deed = dict.fromkeys(("damage", "hp"), 4) | dict.fromkeys(("actor", "action", "name"), "x")
    about = {"known": 3, "entries": [{**deed, "target": "y", "result": "hit"}]}
    ask = Request("claude-x", (Message("user", orjson.dumps(about).decode()),))

    async def told() -> list[str]:
        moods = Moody(7)
        moods.trouble = 0.5
        model, found = Narrated("instant", moods), []
        for number in range(1, 60):
            stream = model.stream(ask)
            try:
                async for _ in stream:
                    pass
            except ModelError as error:
                found.append(error.kind)
            else:
                stamps = Stamp.read(stream.text)
                found.append("told" if [each.stream for each in stamps] == [number] else "torn")
        return found

    kinds = await told()
    assert {"told", "torn", "overloaded", "cut"} <= set(kinds) and await told() == kinds
    assert 15 < kinds.count("told") < 45


async def test_an_instant_takes_no_time() -> None:
    done: list[int] = []

    async def several_steps() -> None:
        for step in range(10):
            await asyncio.sleep(0)
            done.append(step)

    task = asyncio.create_task(several_steps())
    await instant()
    assert len(done) == 10 and now() == 0.0
    await task
