"""The narrator over real HTTP: the Messages API as the real SDK and a plain client see it."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

import anthropic
import httpx2
import pytest

from foretell.streams.narrator.engine import Engine, tokens
from foretell.streams.narrator.profiles import Profile, profile
from foretell.streams.narrator.server import MAX_BODY, ServerMissing, running, serve

pytestmark = pytest.mark.real_time

INSTANT = profile("instant")
SLOW = Profile("slow", "made for tests", 1e6, 1e6, ttft=0.01, tokens_per_second=20)
HELD = Profile("held", "made for tests", 1e6, 1e6, ttft=30.0, tokens_per_second=20)
FACTS = "Tell it.\nFACTS " + json.dumps(
    {
        "context": "combat",
        "tellings": [
            {
                "actor": "Mira",
                "action": {"type": "attack", "name": "longsword"},
                "target": "Goblin 2",
                "result": "hit",
                "values": {"damage": 9},
            }
        ],
    }
)
TOOL: Any = {
    "name": "tell",
    "input_schema": {"type": "object", "properties": {"text": {"type": "string"}}},
}
BODY: dict[str, Any] = {
    "model": "narrator",
    "max_tokens": 400,
    "messages": [{"role": "user", "content": FACTS}],
}


@dataclass
class Served:
    """A running narrator with the two ways to speak to it."""

    url: str
    engine: Engine
    sdk: anthropic.AsyncAnthropic
    http: httpx2.AsyncClient


@asynccontextmanager
async def served(speed: Profile = INSTANT, key: str | None = None) -> AsyncGenerator[Served]:
    engine = Engine(speed)
    async with (
        running(speed, key=key, engine=engine) as url,
        httpx2.AsyncClient(base_url=url, trust_env=False) as http,
        httpx2.AsyncClient(trust_env=False) as below,
        anthropic.AsyncAnthropic(
            base_url=url, api_key=key or "any", max_retries=0, http_client=below
        ) as sdk,
    ):
        yield Served(url, engine, sdk, http)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until ``condition`` holds."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what another connection does sets no event here
            await asyncio.sleep(0.001)


def events_of(text: str) -> list[tuple[str, dict[str, Any]]]:
    blocks = [block.split("\n") for block in text.strip().split("\n\n")]
    return [(e.removeprefix("event: "), json.loads(d.removeprefix("data: "))) for e, d in blocks]


async def test_a_stream_has_the_events_of_the_messages_api_in_their_order() -> None:
    async with served() as s:
        answer = await s.http.post("/v1/messages", json=BODY | {"stream": True})
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert answer.headers["request-id"].startswith("req_")
    events = events_of(answer.text)
    kinds = [kind for kind, _ in events]
    assert kinds[:3] == ["message_start", "content_block_start", "ping"]
    assert set(kinds[3:-3]) == {"content_block_delta"}
    assert kinds[-3:] == ["content_block_stop", "message_delta", "message_stop"]
    assert all(data["type"] == kind for kind, data in events)
    text = "".join(data["delta"]["text"] for _, data in events[3:-3])
    assert "9 damage" in text
    start, end = events[0][1]["message"], events[-2][1]
    assert start["usage"]["output_tokens"] == 1
    assert start["usage"]["input_tokens"] == tokens(len(FACTS))
    assert end["usage"]["output_tokens"] == tokens(len(text))
    assert end["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}


async def test_the_sdks_own_stream_helper_reads_it() -> None:
    async with served() as s, s.sdk.messages.stream(**BODY) as stream:
        text = "".join([piece async for piece in stream.text_stream])
        message = await stream.get_final_message()
    assert message.content[0].type == "text"
    assert message.content[0].text == text
    assert message.usage.output_tokens == tokens(len(text))


async def test_without_stream_the_same_message_comes_whole() -> None:
    async with served() as s:
        whole = await s.sdk.messages.create(**BODY)
        async with s.sdk.messages.stream(**BODY) as stream:
            streamed = await stream.get_final_message()
    assert whole.content[0].text == streamed.content[0].text  # type: ignore[union-attr]
    assert whole.usage.output_tokens == streamed.usage.output_tokens
    assert whole.stop_reason == "end_turn"


@pytest.mark.parametrize("choice", [{"type": "tool", "name": "tell"}, {"type": "any"}])
async def test_a_tool_is_called_with_input_that_fits_its_schema(choice: Any) -> None:
    asked = BODY | {"tools": [TOOL], "tool_choice": choice}
    async with served() as s:
        whole = await s.sdk.messages.create(**asked)
        async with s.sdk.messages.stream(**asked) as stream:
            kinds = [event.type async for event in stream]
            streamed = await stream.get_final_message()
    block = whole.content[0]
    assert block.type == "tool_use" and block.name == "tell"
    assert "9 damage" in str(block.input["text"])
    assert streamed.content[0].type == "tool_use" and streamed.content[0].input == block.input
    assert whole.stop_reason == streamed.stop_reason == "tool_use"
    assert "input_json" in kinds


async def test_tools_without_a_choice_leave_the_narrator_to_prose() -> None:
    async with served() as s:
        message = await s.sdk.messages.create(**BODY, tools=[TOOL])
    assert message.content[0].type == "text"


async def test_structured_output_comes_as_text_that_is_json() -> None:
    schema = TOOL["input_schema"]
    form: Any = {"format": {"type": "json_schema", "schema": schema}, "effort": "low"}
    async with served() as s:
        message = await s.sdk.messages.create(**BODY, output_config=form)
    assert message.content[0].type == "text"
    assert "9 damage" in json.loads(message.content[0].text)["text"]


async def test_cached_prefixes_are_counted_apart() -> None:
    system: Any = [{"type": "text", "text": "s" * 4000, "cache_control": {"type": "ephemeral"}}]
    async with served() as s:
        first = (await s.sdk.messages.create(**BODY, system=system)).usage
        then = (await s.sdk.messages.create(**BODY, system=system)).usage
    assert (first.cache_creation_input_tokens, first.cache_read_input_tokens) == (1000, 0)
    assert (then.cache_creation_input_tokens, then.cache_read_input_tokens) == (0, 1000)
    assert first.input_tokens == then.input_tokens == tokens(len(FACTS))


async def test_stop_sequences_and_max_tokens_end_the_answer() -> None:
    async with served() as s:
        stopped = await s.sdk.messages.create(**BODY, stop_sequences=["longsword"])
        cut = await s.sdk.messages.create(**BODY | {"max_tokens": 5})
        none = await s.sdk.messages.create(**BODY | {"max_tokens": 0})
    assert stopped.stop_reason == "stop_sequence" and stopped.stop_sequence == "longsword"
    assert "longsword" not in stopped.content[0].text
    assert cut.stop_reason == none.stop_reason == "max_tokens"
    assert cut.usage.output_tokens == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"max_tokens": None}, "max_tokens: Input should be"),
        ({"max_tokens": "many"}, "max_tokens: Input should be"),
        ({"messages": []}, "messages: at least one message is required"),
        ({"messages": "hello"}, "messages: Input should be a valid list"),
        ({"messages": [{"role": "narrator", "content": "x"}]}, "messages.0.role"),
        ({"messages": [{"role": "user"}]}, "messages.0.content: Field required"),
        ({"messages": [{"role": "user", "content": " "}]}, "non-empty content"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "content.0.text"),
        ({"messages": [{"role": "assistant", "content": "Once"}]}, "prefill"),
        ({"colour": "red"}, "colour: Extra inputs are not permitted"),
        ({"stream": "yes"}, "stream: Input should be"),
        ({"temperature": 7}, "temperature: Input should be less"),
        ({"model": "claude-sonnet-5-5", "top_k": 3}, "top_k: claude-sonnet-5-5 does not take"),
        ({"tools": [{"name": "x"}]}, "tools.0.input_schema: Field required"),
        ({"tool_choice": {"type": "tool", "name": "x"}}, "'x' not found in tools"),
        ({"output_config": {"effort": "heroic"}}, "output_config.effort"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
    ],
)
async def test_a_malformed_body_is_a_400_that_names_the_field(
    change: dict[str, Any], said: str
) -> None:
    async with served() as s:
        answer = await s.http.post("/v1/messages", json=BODY | change)
    assert answer.status_code == 400
    body = answer.json()
    assert body["type"] == "error"
    assert body["error"]["type"] == "invalid_request_error"
    assert said in body["error"]["message"]
    assert body["request_id"] == answer.headers["request-id"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 5000])
async def test_a_body_that_is_no_json_object_is_a_400(body: bytes) -> None:
    async with served() as s:
        answer = await s.http.post("/v1/messages", content=body)
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"


@pytest.mark.parametrize("field", ["model", "max_tokens", "messages"])
async def test_a_missing_field_is_a_400(field: str) -> None:
    async with served() as s:
        answer = await s.http.post(
            "/v1/messages", json={k: v for k, v in BODY.items() if k != field}
        )
    assert answer.json()["error"]["message"] == f"{field}: Field required"


async def test_an_unknown_model_or_path_is_a_404() -> None:
    async with served() as s:
        with pytest.raises(anthropic.NotFoundError, match="model: gpt-5"):
            await s.sdk.messages.create(**BODY | {"model": "gpt-5"})
        missing = await s.http.get("/v1/nothing")
        wrong = await s.http.get("/v1/messages")
    assert missing.status_code == 404
    assert missing.json()["error"]["type"] == "not_found_error"
    assert wrong.status_code == 405
    assert wrong.json()["error"]["type"] == "invalid_request_error"


async def test_a_body_that_is_too_large_is_a_413() -> None:
    async def chunks() -> AsyncGenerator[bytes]:
        for _ in range(MAX_BODY // 2**20 + 1):
            yield b" " * 2**20

    async with served() as s:
        stated = await s.http.post("/v1/messages", content=b" " * (MAX_BODY + 1))
        unstated = await s.http.post("/v1/messages", content=chunks())
    for answer in (stated, unstated):
        assert answer.status_code == 413
        assert answer.json()["error"]["type"] == "request_too_large"


async def test_over_the_rate_limit_it_answers_429_with_retry_after() -> None:
    limited = Profile("limited", "made for tests", 1e6, 1e6, 0.0, 1e6, requests_per_minute=1)
    async with served(limited) as s:
        await s.sdk.messages.create(**BODY)
        with pytest.raises(anthropic.RateLimitError, match="rate limit") as caught:
            await s.sdk.messages.create(**BODY)
    assert 0 < int(caught.value.response.headers["retry-after"]) <= 60


async def test_any_key_will_do_unless_one_is_demanded() -> None:
    async with served() as s:
        assert (await s.http.post("/v1/messages", json=BODY)).status_code == 200
    async with served(key="sesame") as s:
        assert (await s.sdk.messages.create(**BODY)).content
        by_header = await s.http.post("/v1/messages", json=BODY, headers={"x-api-key": "sesame"})
        refused = [
            await s.http.post("/v1/messages", json=BODY, headers=headers)
            for headers in ({}, {"x-api-key": "wrong"}, {"authorization": "Bearer wrong"})
        ]
        account = await s.http.get("/narrator/account")
        health = await s.http.get("/healthz")
    assert by_header.status_code == health.status_code == 200
    for answer in (*refused, account):
        assert answer.status_code == 401
        assert answer.json()["error"]["type"] == "authentication_error"
        assert "sesame" not in answer.text


async def test_it_lists_its_models_and_counts_tokens() -> None:
    async with served() as s:
        listed = [model.id async for model in s.sdk.models.list()]
        one = await s.sdk.models.retrieve("claude-sonnet-5-5")
        with pytest.raises(anthropic.NotFoundError):
            await s.sdk.models.retrieve("gpt-5")
        counted = await s.sdk.messages.count_tokens(model="narrator", messages=BODY["messages"])
    assert "narrator-hosted-large" in listed
    assert one.id == "claude-sonnet-5-5"
    assert counted.input_tokens == tokens(len(FACTS))


async def test_it_says_plainly_that_it_is_no_language_model() -> None:
    async with served() as s:
        about = (await s.http.get("/")).json()
    assert "not a language model" in about["about"]
    assert about["profile"] == "instant"


async def test_a_client_that_leaves_ends_its_generation() -> None:  # G4
    async with served(SLOW) as s:
        stream = await s.sdk.messages.create(**BODY, stream=True)
        async for event in stream:
            if event.type == "content_block_delta":
                break
        assert len(s.engine.open) == 1
        await stream.close()
        await until(lambda: not s.engine.open)
        account = s.engine.accounts[0]
        assert account.ended == "cancelled"
        assert 0 < account.output < 20
        told = (await s.http.get("/narrator/account")).json()
    assert told["open"] == 0
    assert told["totals"]["cancelled"] == 1
    assert told["requests"][0]["ended"] == "cancelled"
    assert told["requests"][0]["closed"] <= told["now"]


@pytest.mark.parametrize("streaming", [True, False])
async def test_a_client_that_leaves_before_the_first_byte_ends_it_too(streaming: bool) -> None:
    async with served(HELD) as s:
        task = asyncio.create_task(s.sdk.messages.create(**BODY, stream=streaming))
        await until(lambda: bool(s.engine.open))
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        await until(lambda: not s.engine.open)
    assert s.engine.accounts[0].ended == "cancelled"
    assert s.engine.accounts[0].output == 0


async def test_a_client_that_leaves_within_its_request_is_no_error(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with served() as s:
        host, port = s.url.removeprefix("http://").split(":")
        _, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 99\r\n\r\n{")
        await writer.drain()
        await s.http.get("/healthz")
        writer.close()
        await writer.wait_closed()
        assert (await s.http.post("/v1/messages", json=BODY)).status_code == 200
    assert [r for r in caplog.records if r.name.startswith("uvicorn")] == []


async def test_stopping_the_server_ends_what_is_open_and_leaves_nothing() -> None:
    before = asyncio.all_tasks()
    body = json.dumps(BODY | {"stream": True}).encode()
    async with served(SLOW) as s:
        host, port = s.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await reader.readuntil(b"text_delta")
        await s.http.get("/healthz")  # an idle connection that is kept alive
    assert s.engine.open == {}
    assert s.engine.accounts[0].ended == "cancelled"
    with suppress(ConnectionError):
        assert b"message_stop" not in await reader.read()
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    assert asyncio.all_tasks() == before


async def test_serve_announces_its_url_and_runs_until_cancelled() -> None:
    urls: list[str] = []
    ticks = iter(range(1000))
    task = asyncio.create_task(
        serve(INSTANT, announce=urls.append, clock=lambda: float(next(ticks)))
    )
    await until(lambda: bool(urls))
    async with httpx2.AsyncClient(base_url=urls[0], trust_env=False) as http:
        assert (await http.post("/v1/messages", json=BODY)).status_code == 200
        account = (await http.get("/narrator/account")).json()["requests"][0]
    assert (account["opened"], account["first_token"], account["closed"]) == (0.0, 1.0, 2.0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with httpx2.AsyncClient(base_url=urls[0], trust_env=False) as http:
        with pytest.raises(httpx2.ConnectError):
            await http.get("/healthz")


async def test_an_open_address_wants_a_key_and_a_taken_port_says_so() -> None:
    with pytest.raises(ValueError, match=r"0\.0\.0\.0 is not loopback: give --key"):
        async with running(INSTANT, host="0.0.0.0"):
            pass
    async with running(INSTANT) as url:
        port = int(url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match=rf"cannot listen on 127\.0\.0\.1:{port}.*choose another"):
            async with running(INSTANT, port=port):
                pass


async def test_without_the_server_packages_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    with pytest.raises(ServerMissing, match=r"pip install \"foretell\[server\]\""):
        async with running(INSTANT):
            pass
