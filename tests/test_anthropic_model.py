"""The door to models: what it sends, what it makes of every answer, and that closing closes."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import anthropic
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.replay.verify import verify
from foretell.streams.answer import Answer
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.closing import to_the_end
from foretell.streams.messages_api import body_of
from foretell.streams.models import (
    Block,
    BlockEnd,
    Delta,
    Message,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelEvent,
    ModelNotFound,
    ModelOverloaded,
    ModelProtocolError,
    ModelRefusedKey,
    ModelUnavailable,
    Request,
    Stop,
    Tool,
    Usage,
)
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import Profile, profile
from foretell.streams.narrator.server import running

real_time = pytest.mark.real_time

INSTANT = profile("instant")
SLOW = Profile("slow", "made for tests", 1e6, 1e6, ttft=0.01, tokens_per_second=20)
HELD = Profile("held", "made for tests", 1e6, 1e6, ttft=30.0, tokens_per_second=20)
ASK = Request("narrator", (Message("user", "Go on."),))
TOOL = Tool("tell", {"type": "object", "properties": {"text": {}}})
NOTE = Tool("note", {"type": "object", "properties": {"reason": {}}}, "Keeps a note.", eager=False)
TELL: dict[str, Any] = {"tools": (TOOL,), "tool_choice": "tell"}


async def events_of(model: AnthropicModel | NarratorModel, request: Request) -> list[ModelEvent]:
    async with aclosing(model.stream(request)) as stream:
        return [event async for event in stream]


@asynccontextmanager
async def asking(
    url: str | None, key: str | None = None, **how: Any
) -> AsyncGenerator[AnthropicModel]:
    model = AnthropicModel(url, key, **how)
    try:
        yield model
    finally:
        await model.aclose()


@asynccontextmanager
async def narrating(speed: Profile = INSTANT) -> AsyncGenerator[tuple[AnthropicModel, Engine]]:
    engine = Engine(speed)
    async with running(speed, engine=engine) as url, asking(url) as model:
        yield model, engine


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what another connection does sets no event here
            await asyncio.sleep(0.001)


@asynccontextmanager
async def raw_server(
    answer: bytes, *, hold: bool = False, reset: bool = False
) -> AsyncGenerator[tuple[str, list[bytes]]]:
    """A server that always answers with the same bytes; yields its URL and what it was sent."""
    seen: list[bytes] = []
    writers: list[asyncio.StreamWriter] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        seen.append(head + await reader.readexactly(length))
        writer.write(answer)
        with suppress(ConnectionError):
            await writer.drain()
            if hold:
                await reader.read()
        if reset:
            writer.transport.abort()
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield f"http://127.0.0.1:{port}", seen
    finally:
        server.close()
        for writer in writers:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()
        await server.wait_closed()


def response(
    body: bytes, kind: str = "text/event-stream", status: str = "200 OK", *more: str
) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"content-type: {kind}", "connection: close", *more, "", ""]
    return "\r\n".join(lines).encode() + body


def sse(*events: dict[str, Any]) -> bytes:
    return b"".join(
        b"event: %b\ndata: %b\n\n" % (e["type"].encode(), orjson.dumps(e)) for e in events
    )


def text_delta(text: str) -> dict[str, Any]:
    return {
        "type": "content_block_delta",
        "index": 0,
        "delta": {"type": "text_delta", "text": text},
    }


START: dict[str, Any] = {
    "type": "message_start",
    "message": {"usage": {"input_tokens": 7, "output_tokens": 1}},
}
END: dict[str, Any] = {
    "type": "message_delta",
    "delta": {"stop_reason": "end_turn"},
    "usage": {"output_tokens": 3},
}
STOP: dict[str, Any] = {"type": "message_stop"}


# --- a whole answer ---


@real_time
async def test_over_http_the_events_are_those_of_the_narrator_in_process() -> None:
    requests = [
        ASK,
        Request("narrator", ASK.messages, system="s" * 400, **TELL),
        Request("narrator", ASK.messages, schema={"type": "object", "properties": {"text": {}}}),
        Request("narrator", ASK.messages, max_tokens=9),
    ]
    async with narrating() as (model, _):
        for request in requests:
            over_http = await events_of(model, request)
            assert over_http == await events_of(NarratorModel(Engine(INSTANT)), request)
            assert isinstance(over_http[0], Usage)
            assert isinstance(over_http[-2], Usage) and over_http[-2].final
            assert isinstance(over_http[-1], Stop)


@real_time
async def test_the_input_of_a_tool_comes_as_json() -> None:
    async with narrating() as (model, _):
        events = await events_of(model, Request("narrator", ASK.messages, **TELL))
    pieces = [e for e in events if isinstance(e, Delta)]
    assert {piece.kind for piece in pieces} == {"json"}
    assert json.loads("".join(piece.text for piece in pieces))["text"]
    assert events[-1] == Stop("tool_use")


@real_time
async def test_the_connection_serves_again_after_a_whole_answer() -> None:
    connections = set()

    async def noted(message: Any) -> None:
        connections.add(message.extensions["network_stream"].get_extra_info("client_addr"))

    async with narrating() as (model, _):
        await model.warm()
        assert model._client is not None
        model._client._client.event_hooks["response"].append(noted)
        for _ in range(3):
            await events_of(model, ASK)
    assert len(connections) == 1


# --- what is sent ---


def test_only_what_is_set_is_sent() -> None:
    assert body_of(ASK) == {
        "model": "narrator",
        "max_tokens": 400,
        "messages": [{"role": "user", "content": "Go on."}],
    }


def test_everything_that_is_set_is_sent_in_its_place() -> None:
    body = body_of(
        Request(
            "claude-sonnet-5-5",
            (Message("user", "Long ago", cache=True), Message("user", "now")),
            system="You tell.",
            max_tokens=9,
            schema={"type": "object"},
            **TELL,
            effort="low",
            thinking={"type": "disabled"},
            extra={"metadata": {"user_id": "x"}},
        )
    )
    kept = {"cache_control": {"type": "ephemeral"}}
    assert body["system"] == [{"type": "text", "text": "You tell.", **kept}]
    assert body["messages"][0]["content"] == [{"type": "text", "text": "Long ago", **kept}]
    assert body["messages"][1]["content"] == "now"
    assert body["output_config"] == {
        "format": {"type": "json_schema", "schema": {"type": "object"}},
        "effort": "low",
    }
    assert body["thinking"] == {"type": "disabled"}
    assert body["tools"] == [
        {"name": "tell", "input_schema": TOOL.schema, "eager_input_streaming": True}
    ]
    assert body["tool_choice"] == {"type": "tool", "name": "tell"}
    assert body["metadata"] == {"user_id": "x"}
    assert not {"temperature", "top_p", "top_k", "stream"} & set(body)


def test_tools_and_the_choice_among_them_are_sent_as_they_are_set() -> None:
    def sent(**how: Any) -> dict[str, Any]:
        body = body_of(Request("m", ASK.messages, tools=(TOOL, NOTE), **how))
        assert body["tools"][1] == {
            "name": "note",
            "description": "Keeps a note.",
            "input_schema": NOTE.schema,
        }
        choice: dict[str, Any] = body.get("tool_choice", {})
        return choice

    assert sent() == {}
    assert sent(tool_choice="any") == {"type": "any"}
    assert sent(tool_choice="note") == {"type": "tool", "name": "note"}
    assert sent(tool_choice="none", parallel_tools=False) == {"type": "none"}
    assert sent(parallel_tools=False) == {"type": "auto", "disable_parallel_tool_use": True}


def test_a_choice_of_no_tool_there_is_is_refused_at_once() -> None:
    for choice, tools in (("plan", (TOOL, NOTE)), ("any", ()), ("tell", ())):
        with pytest.raises(ValueError, match="tool_choice"):
            Request("m", ASK.messages, tools=tools, tool_choice=choice)
    with pytest.raises(ValueError, match="cannot be called 'any'"):
        Tool("any", {})


@real_time
async def test_the_body_arrives_as_it_was_made_and_a_local_server_gets_a_dummy_key() -> None:
    request = Request("m", ASK.messages, system="You tell.", effort="low", **TELL)
    body = sse(START, text_delta("x"), END, STOP)
    async with raw_server(response(body)) as (url, seen), asking(url) as model:
        await events_of(model, request)
    head, _, body = seen[0].partition(b"\r\n\r\n")
    assert json.loads(body) == body_of(request) | {"stream": True}
    assert head.startswith(b"POST /v1/messages ")
    assert b"none" in head.lower().split(b"authorization:")[1].split(b"\r\n")[0]


@real_time
async def test_key_and_address_come_from_the_sdks_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with raw_server(response(sse(START, text_delta("x"), END, STOP))) as (url, seen):
        monkeypatch.setenv("ANTHROPIC_BASE_URL", url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "from-the-environment")
        async with asking(None) as model:
            await events_of(model, ASK)
    assert b"from-the-environment" in seen[0]


@real_time
async def test_a_proxy_in_the_environment_is_not_asked_for_a_server_on_this_machine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    async with narrating() as (model, _):
        assert (await events_of(model, ASK))[-1] == Stop("end_turn")


# --- closing ---


async def cancelled(model: AnthropicModel, engine: Engine, cancels: int) -> None:
    task = asyncio.create_task(events_of(model, ASK))
    await until(lambda: any(a.output for a in engine.open.values()))
    for _ in range(cancels):
        task.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await task


@real_time
@pytest.mark.parametrize("cancels", [1, 2, 5])
async def test_a_cancel_reaches_the_server_however_often_it_is_given(cancels: int) -> None:  # G4
    async with narrating(SLOW) as (model, engine):
        await cancelled(model, engine, cancels)
        await until(lambda: not engine.open)
        assert engine.accounts[0].ended == "cancelled"
        assert 0 < engine.accounts[0].output < 20
        assert connections_of(model) == 0


@real_time
async def test_closing_the_stream_closes_the_connection() -> None:  # G4
    async with narrating(SLOW) as (model, engine):
        stream = model.stream(ASK)
        async for event in stream:
            if isinstance(event, Delta):
                break
        await stream.aclose()
        assert connections_of(model) == 0
        await until(lambda: not engine.open)
        assert engine.accounts[0].ended == "cancelled"


@real_time
@pytest.mark.parametrize("cancels", [1, 2])
async def test_a_cancel_before_the_first_byte_reaches_the_server_too(cancels: int) -> None:
    async with narrating(HELD) as (model, engine):
        task = asyncio.create_task(events_of(model, ASK))
        await until(lambda: bool(engine.open))
        for _ in range(cancels):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: not engine.open)
        assert engine.accounts[0].output == 0
        assert connections_of(model) == 0


@real_time
async def test_a_cancel_at_any_moment_of_connecting_leaves_nothing() -> None:
    async with narrating(HELD) as (model, engine):
        await model.warm()
        for steps in range(30):
            task = asyncio.create_task(events_of(model, ASK))
            for _ in range(steps):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert connections_of(model) == 0
        await until(lambda: not engine.open)


async def the_rest(reading: asyncio.Task[ModelEvent], stream: AsyncIterator[ModelEvent]) -> None:
    await reading
    async for _ in stream:
        pass


@real_time
async def test_closing_the_model_cuts_what_is_open() -> None:
    async with narrating(SLOW) as (model, engine), aclosing(model.stream(ASK)) as stream:
        while not isinstance(await anext(stream), Delta):
            pass
        reading = asyncio.create_task(anext(stream))
        await asyncio.sleep(0)
        await model.aclose()
        with pytest.raises(ModelCut):
            await the_rest(reading, stream)
        await until(lambda: not engine.open)


@real_time
async def test_a_client_of_ones_own_is_used_and_not_closed() -> None:
    async with (
        running(INSTANT) as url,
        anthropic.AsyncAnthropic(base_url=url, api_key="mine") as client,
    ):
        async with asking(None, client=client) as model:
            assert (await events_of(model, ASK))[-1] == Stop("end_turn")
        assert not client.is_closed()


async def test_what_is_being_closed_is_closedto_the_end_though_cancelled_twice() -> None:
    last_step, closed = asyncio.Event(), False

    async def closing() -> None:
        nonlocal closed
        await last_step.wait()
        closed = True

    task = asyncio.create_task(to_the_end(closing()))
    for _ in range(2):
        await asyncio.sleep(0)
        task.cancel()
    await asyncio.sleep(1)
    assert not task.done()
    last_step.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed


def connections_of(model: AnthropicModel) -> int:
    assert model._client is not None
    transport: Any = model._client._client._transport
    return len(transport._pool.connections)


# --- what can go wrong ---


async def error_of(
    url: str | None, kind: type[ModelError], key: str | None = None, **how: Any
) -> str:
    async with asking(url, key, **how) as model:
        with pytest.raises(kind) as caught:
            await events_of(model, ASK)
    said = str(caught.value)
    assert type(caught.value) is kind
    assert said and "\n" not in said and len(said) < 500
    return said


@real_time
async def test_a_server_that_is_down_is_unavailable() -> None:
    async with raw_server(b"") as (url, _):
        pass
    assert "is the server running" in await error_of(url, ModelUnavailable)


@real_time
async def test_a_server_that_never_answers_is_unavailable() -> None:
    async with raw_server(b"", hold=True) as (url, _):
        assert "did not answer in time" in await error_of(url, ModelUnavailable, timeout=0.05)


@real_time
async def test_a_server_that_hangs_up_is_unavailable() -> None:
    async with raw_server(b"") as (url, _):
        assert "closed the connection" in await error_of(url, ModelUnavailable)


@real_time
@pytest.mark.parametrize("url", ["localhost:8000", "ftp://x", "", "http://"])
async def test_a_base_url_that_is_none_is_said_to_be_none(url: str) -> None:
    if url:
        assert "http://" in await error_of(url, ModelUnavailable)
    else:
        assert "ANTHROPIC_API_KEY" in await error_of(url, ModelRefusedKey)


@real_time
async def test_without_key_and_address_it_says_what_to_do() -> None:
    said = await error_of(None, ModelRefusedKey)
    assert "set ANTHROPIC_API_KEY" in said and "--base-url" in said


@real_time
async def test_a_key_that_no_header_can_carry_is_refused_unseen() -> None:
    assert "hunter2" not in await error_of("http://127.0.0.1:1", ModelRefusedKey, "hunter2\n")


def error_body(kind: str, message: str) -> bytes:
    return orjson.dumps({"type": "error", "error": {"type": kind, "message": message}})


@real_time
@pytest.mark.parametrize(
    ("status", "kind"),
    [
        ("400 Bad Request", ModelBadRequest),
        ("401 Unauthorized", ModelRefusedKey),
        ("403 Forbidden", ModelRefusedKey),
        ("404 Not Found", ModelNotFound),
        ("413 Too Large", ModelBadRequest),
        ("422 Unprocessable", ModelBadRequest),
        ("429 Too Many", ModelOverloaded),
        ("500 Oops", ModelOverloaded),
        ("502 Bad Gateway", ModelUnavailable),
        ("503 Unavailable", ModelOverloaded),
        ("529 Overloaded", ModelOverloaded),
    ],
)
async def test_every_status_has_its_error_and_no_key_is_in_any(
    status: str, kind: type[ModelError]
) -> None:
    body = error_body("x", "no: your key\nsk-ant-12345678 and hunter2 and more")
    async with raw_server(response(body, "application/json", status)) as (url, _):
        said = await error_of(url.replace("//", "//user:pw@"), kind, "hunter2")
    assert status[:3] in said
    for secret in ("hunter2", "sk-ant", "pw@"):
        assert secret not in said


@real_time
@pytest.mark.parametrize(
    ("header", "seconds"), [("retry-after: 7", 7.0), ("retry-after-ms: 250", 0.25), ("x: y", None)]
)
async def test_an_overloaded_server_says_when_to_come_again(
    header: str, seconds: float | None
) -> None:
    body = error_body("rate_limit_error", "slow down")
    answer = response(body, "application/json", "429 Too Many", header)
    async with raw_server(answer) as (url, seen), asking(url) as model:
        with pytest.raises(ModelOverloaded) as caught:
            await events_of(model, ASK)
    assert caught.value.retry_after == seconds
    assert len(seen) == 1  # the SDK's own retries are off


@real_time
async def test_a_web_page_is_no_answer() -> None:
    page = b"<!doctype html><html><body>Welcome to nginx</body></html>"
    async with raw_server(response(page, "text/html")) as (url, _):
        assert "web page" in await error_of(url, ModelProtocolError)
    async with raw_server(response(page, "text/html", "404 Not Found")) as (url, _):
        assert "web page" in await error_of(url, ModelNotFound)


@real_time
@pytest.mark.parametrize("body", [b"", b"\n\n", b": ping\n\n", sse({"type": "ping"})])
async def test_an_empty_stream_is_noticed(body: bytes) -> None:
    async with raw_server(response(body)) as (url, _):
        assert "empty" in await error_of(url, ModelProtocolError)


@real_time
async def test_a_plain_json_message_in_answer_to_a_stream_is_taken_whole() -> None:
    message = {
        "type": "message",
        "content": [{"type": "text", "text": "Once."}, {"type": "tool_use", "input": {"a": 1}}],
        "stop_reason": "end_turn",
        "usage": {"input_tokens": 4, "output_tokens": 2},
    }
    body = orjson.dumps(message, option=orjson.OPT_INDENT_2)
    async with raw_server(response(body, "application/json")) as (url, _), asking(url) as model:
        events = await events_of(model, ASK)
    assert events == [
        Usage(4, 2),
        Block(0),
        Delta("Once."),
        BlockEnd(0),
        Block(1, "tool_use"),
        Delta('{"a":1}', "json", 1),
        BlockEnd(1),
        Usage(4, 2, final=True),
        Stop("end_turn", whole=True),
    ]


@real_time
async def test_a_server_that_does_not_stream_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    message = {"type": "message", "content": [{"type": "text", "text": "Once."}]}
    answer = response(orjson.dumps(message), "application/json")
    async with raw_server(answer) as (url, _), asking(url) as model:
        for _again in range(3):
            assert Delta("Once.") in await events_of(model, ASK)
    [warning] = caplog.messages
    assert "with one plain body" in warning and url in warning


@real_time
async def test_a_server_without_streams_tells_whole_texts_and_the_report_counts_them(
    tmp_path: Path,
) -> None:
    body = {"type": "message", "content": [{"type": "text", "text": '{"text": "The blade."}'}]}
    answer = response(orjson.dumps(body), "application/json")
    settings = {"log_dir": str(tmp_path), "intensity": "off"}
    async with raw_server(answer) as (url, _):
        for told in (1, 2):  # a session that goes on counts on
            async with foretell.Game({**settings, "base_url": url}, api_key="k") as game:
                session = await game.session("t")
                telling = session.outcome("mira", "slash", "miss", target="goblin")
                assert (await telling).text == "The blade."
                assert session.report()["unstreamed"] == told
    assert (await asyncio.to_thread(verify, tmp_path / "t.jsonl")).difference is None


@real_time
@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b'{"object": "chat.completion"}', ModelProtocolError),
        (b'{"content": [', ModelProtocolError),
        (b"[1, 2]", ModelProtocolError),
        (error_body("overloaded_error", "busy"), ModelOverloaded),
    ],
)
async def test_other_plain_json_is_an_error(body: bytes, kind: type[ModelError]) -> None:
    async with raw_server(response(body, "application/json")) as (url, _):
        await error_of(url, kind)


@real_time
@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("chunked", [True, False])
async def test_a_stream_that_dies_midway_is_cut_and_what_came_is_kept(
    reset: bool, chunked: bool
) -> None:
    body = sse(START, text_delta("Once upon"))
    more: tuple[str, ...] = ()
    if chunked:
        more, body = ("transfer-encoding: chunked",), b"%x\r\n%b\r\n" % (len(body), body)
    answer = response(body, "text/event-stream", "200 OK", *more)
    kept: list[ModelEvent] = []
    async with (
        raw_server(answer, reset=reset) as (url, _),
        asking(url) as model,
        aclosing(model.stream(ASK)) as stream,
    ):
        with pytest.raises(ModelCut, match="usable"):
            await keep(stream, kept)
    assert Delta("Once upon") in kept


async def keep(stream: AsyncIterator[ModelEvent], kept: list[ModelEvent]) -> None:
    async for event in stream:
        kept.append(event)  # noqa: PERF401 - a comprehension would lose all when it raises


@real_time
async def test_a_stream_that_falls_silent_is_cut() -> None:
    body = sse(START, text_delta("Once upon"))
    async with raw_server(response(body), hold=True) as (url, _):
        await error_of(url, ModelCut, timeout=0.05)


@real_time
async def test_a_server_that_keeps_the_line_open_after_the_end_delays_nothing_for_long() -> None:
    body = sse(START, text_delta("x"), END, STOP)
    async with raw_server(response(body), hold=True) as (url, _), asking(url) as model:
        assert (await events_of(model, ASK))[-1] == Stop("end_turn")


# --- reading, without a server ---


def read(*chunks: bytes) -> list[ModelEvent]:
    answer = Answer()
    events = [event for chunk in chunks for event in answer.feed(chunk)]
    return events + list(answer.end())


def test_usage_comes_at_the_start_and_truly_at_the_end() -> None:
    assert read(sse(START, text_delta("a"), END, STOP)) == [
        Usage(7, 1),
        Block(0),
        Delta("a"),
        BlockEnd(0),
        Usage(7, 3, final=True),
        Stop("end_turn"),
    ]


def begin(index: int, kind: str, **block: Any) -> dict[str, Any]:
    content = {"type": kind} | block
    return {"type": "content_block_start", "index": index, "content_block": content}


def json_delta(index: int, text: str) -> dict[str, Any]:
    delta = {"type": "input_json_delta", "partial_json": text}
    return {"type": "content_block_delta", "index": index, "delta": delta}


def end(index: int) -> dict[str, Any]:
    return {"type": "content_block_stop", "index": index}


def body_events(*events: dict[str, Any]) -> list[ModelEvent]:
    """What becomes of a message of these events, without its usage and its stop."""
    return read(sse(START, *events, END, STOP))[1:-2]


def test_interleaved_calls_of_tools_stay_apart_and_say_whose_they_are() -> None:  # 3-16
    assert body_events(
        begin(0, "tool_use", name="plan", id="a", input={}),
        begin(1, "tool_use", name="note", id="b", input={}),
        json_delta(0, '{"x"'),
        json_delta(1, "{}"),
        end(1),
        json_delta(0, ":1}"),
        end(0),
    ) == [
        Block(0, "tool_use", "plan", "a"),
        Block(1, "tool_use", "note", "b"),
        Delta('{"x"', "json", 0),
        Delta("{}", "json", 1),
        BlockEnd(1),
        Delta(":1}", "json", 0),
        BlockEnd(0),
    ]


def test_what_is_thought_or_done_by_the_server_is_no_piece_of_the_answer() -> None:
    thought = {"type": "thinking_delta", "thinking": "Hm."}
    assert body_events(
        begin(0, "thinking", thinking=""),
        {"type": "content_block_delta", "index": 0, "delta": thought},
        end(0),
        begin(1, "server_tool_use", name="web_search", id="s", input={}),
        json_delta(1, '{"query":"x"}'),
        end(1),
        begin(2, "something_new", text="not said"),
        {**text_delta("nor this"), "index": 2},
        end(2),
    ) == [
        Block(0, "thinking"),
        BlockEnd(0),
        Block(1, "server_tool_use", "web_search", "s"),
        BlockEnd(1),
        Block(2, "something_new"),
        BlockEnd(2),
    ]


def test_a_tool_called_without_arguments_is_called_with_none() -> None:
    called = begin(0, "tool_use", name="wait", id="a", input={})
    assert body_events(called, json_delta(0, ""), end(0))[1:] == [
        Delta("{}", "json", 0),
        BlockEnd(0),
    ]
    assert body_events(called) == [Block(0, "tool_use", "wait", "a"), BlockEnd(0)]  # cut: unknown


def test_beginnings_and_ends_that_a_server_leaves_out_are_there_all_the_same() -> None:
    assert body_events(json_delta(3, "{"), begin(3, "text"), end(7)) == [
        Block(3, "tool_use"),
        Delta("{", "json", 3),
        BlockEnd(3),
        Block(3, "text"),
        BlockEnd(3),
    ]


def test_a_message_that_begins_twice_is_one_until_something_of_it_has_been_read() -> None:
    thinking = begin(0, "thinking", thinking="")
    again = read(sse(START, START, thinking, START, text_delta("a"), END, STOP))
    assert again[-7:-2] == [BlockEnd(0), Usage(7, 1), Block(0), Delta("a"), BlockEnd(0)]
    with pytest.raises(ModelCut, match="second message"):
        read(sse(START, text_delta("a"), START, text_delta("b"), END, STOP))


def test_what_follows_the_end_of_the_message_is_not_read() -> None:
    assert read(sse(START, text_delta("a"), END, STOP, START, text_delta("b")))[-1] == Stop(
        "end_turn"
    )


def test_why_a_model_declined_is_said_where_the_server_says_it() -> None:
    details = {"category": "cyber", "explanation": "Not\nthis."}
    refused = {
        "type": "message_delta",
        "delta": {"stop_reason": "refusal", "stop_details": details},
    }
    assert read(sse(START, refused, STOP))[-1] == Stop("refusal", "cyber: Not this.")


def test_missing_usage_is_normal() -> None:
    bare = {"type": "message_start", "message": {}}
    events = read(sse(bare, text_delta("a"), {"type": "message_delta", "delta": {}}, STOP))
    ended = [Usage(final=True), Stop("end_turn")]
    assert events == [Usage(), Block(0), Delta("a"), BlockEnd(0), *ended]


def test_an_answer_without_its_last_event_counts_once_it_gave_a_reason() -> None:
    assert read(sse(START, text_delta("a"), END))[-1] == Stop("end_turn")


def test_thinking_pings_and_unknown_events_are_passed_over() -> None:
    thinking = {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": "h"}}
    odd = {"type": "something_new", "delta": [1]}
    body = sse(START, {"type": "ping"}, thinking, odd, text_delta("a"), END, STOP)
    assert [e for e in read(body) if isinstance(e, Delta)] == [Delta("a")]


def test_text_and_tool_input_that_came_with_the_blocks_start_are_not_lost() -> None:
    blocks: list[dict[str, Any]] = [
        {"type": "text", "text": "Once"},
        {"type": "tool_use", "name": "tell", "input": {"a": [1]}},
    ]
    events: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        events.append({"type": "content_block_start", "index": index, "content_block": block})
        events.append({"type": "content_block_stop", "index": index})
    got = [e for e in read(sse(START, *events, END, STOP)) if isinstance(e, Delta)]
    assert got == [Delta("Once"), Delta('{"a":[1]}', "json", 1)]


def test_events_without_names_or_with_other_line_ends_are_read() -> None:
    body = sse(START, text_delta("a"), END, STOP)
    nameless = b"\n".join(line for line in body.split(b"\n") if not line.startswith(b"event:"))
    assert read(nameless) == read(body)
    assert read(body.replace(b"\n", b"\r\n")) == read(body)
    assert read(b"\xef\xbb\xbf" + body + b"data: [DONE]\n\n") == read(body)


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("overloaded_error", ModelOverloaded),
        ("authentication_error", ModelRefusedKey),
        ("invalid_request_error", ModelBadRequest),
        ("not_found_error", ModelNotFound),
        ("new_error", ModelUnavailable),
    ],
)
def test_an_error_event_is_an_error_of_its_kind_before_text_and_a_cut_after(
    kind: str, error: type[ModelError]
) -> None:
    event = {"type": "error", "error": {"type": kind, "message": "no\nmore"}}
    with pytest.raises(error, match="no more") as caught:
        read(sse(START, event))
    assert type(caught.value) is error
    with pytest.raises(ModelCut, match=kind):
        read(sse(START, text_delta("a"), event))


def test_what_came_before_an_error_in_one_chunk_is_delivered() -> None:
    answer = Answer()
    chunk = answer.feed(sse(START, text_delta("a"), {"type": "error", "error": {"type": "x"}}))
    assert [next(chunk) for _ in range(3)] == [Usage(7, 1), Block(0), Delta("a")]
    with pytest.raises(ModelCut):
        next(chunk)


def test_broken_json_in_an_event_is_no_traceback() -> None:
    with pytest.raises(ModelProtocolError):
        read(b"event: message_start\ndata: {oops\n\n")
    with pytest.raises(ModelCut):
        read(sse(text_delta("a")) + b"data: {oops\n\n")


def test_an_endless_event_is_refused() -> None:
    with pytest.raises(ModelProtocolError, match="10 MB"):
        read(b"data: ", *[b"x" * 2**20] * 11)


@given(st.text(max_size=40), st.lists(st.integers(0, 2000), max_size=20), st.booleans())
def test_any_chunking_of_the_bytes_gives_the_same_events(
    text: str, cuts: list[int], crlf: bool
) -> None:
    body = sse(START, {"type": "ping"}, text_delta(text or "x"), text_delta("y"), END, STOP)
    body = body.replace(b"\n", b"\r\n") if crlf else body
    edges = sorted({0, len(body), *(cut % len(body) for cut in cuts)})
    chunks = [body[a:b] for a, b in pairwise(edges)]
    assert read(*chunks) == read(body)


def test_importing_the_door_does_not_import_the_sdk() -> None:
    code = "import sys, foretell.streams.anthropic_model; sys.exit('anthropic' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
