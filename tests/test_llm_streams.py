"""Recorded streams of real models: every piece of JSON in them, and the real door to models."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell.operators.blocks import reading_blocks
from foretell.operators.partials import MISSING, Final, Partial, PartialParser, apply
from foretell.streams.answer import Answer
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.models import (
    Block,
    BlockEnd,
    Delta,
    Message,
    ModelCut,
    ModelEvent,
    ModelProtocolError,
    ModelRefusal,
    Request,
    Stop,
    Usage,
)

ASK = Request("m", (Message("user", "Go on."),))
CHUNKINGS = 100
NOTHING = PartialParser().finish().reason  # type: ignore[union-attr]
SPLICED = "spliced-message-start.chunks.txt"
INCOMPLETE = "incomplete_partial_json_response.txt"


@dataclass
class Told:
    """A block of an answer: what it is, and all that came of it."""

    kind: str
    name: str = ""
    id: str = ""
    text: str = ""
    ended: bool = False


@dataclass
class Recording:
    """A recorded stream, read by a reader of its own, which knows nothing of the door's."""

    name: str
    body: bytes
    payloads: list[dict[str, Any]]

    @property
    def is_anthropic(self) -> bool:
        return "type" in self.payloads[0]

    def blocks(self) -> list[Told]:
        """The blocks of an Anthropic recording, each in its place, tool inputs of any kind."""
        told: list[Told] = []
        at: dict[int, Told] = {}
        for event in self.payloads:
            match event:
                case {"type": "message_start", "message": {"content": [_, *_] as content}}:
                    told += [_told(block, ended=True) for block in content]
                case {"type": "content_block_start", "index": index, "content_block": block}:
                    at[index] = _told(block)
                    told.append(at[index])
                case {"type": "content_block_delta", "index": index, "delta": delta}:
                    piece = delta.get("text", delta.get("partial_json"))
                    at[index].text += piece or ""
                case {"type": "content_block_stop", "index": index}:
                    at[index].ended = True
        return told

    def texts(self) -> list[str]:
        """Each text or tool input in it, whatever the format; those of one answer apart."""
        if self.is_anthropic:
            return [block.text for block in self.blocks()]
        texts: dict[Any, str] = {}
        for payload in self.payloads:
            for choice in payload.get("choices", ()):
                delta = choice["delta"]
                texts["text"] = texts.get("text", "") + (delta.get("content") or "")
                for call in delta.get("tool_calls", ()):
                    key = ("call", call["index"])
                    texts[key] = texts.get(key, "") + call["function"]["arguments"]
            for candidate in payload.get("candidates", ()):
                for part in candidate["content"]["parts"]:
                    texts["text"] = texts.get("text", "") + part.get("text", "")
        return list(texts.values())

    def json_texts(self) -> list[tuple[str, Any]]:
        """The texts that are JSON, with what orjson reads in them; an error in what is cut off."""
        found: list[tuple[str, Any]] = []
        for text in self.texts():
            if text.lstrip().startswith(("{", "[")):
                try:
                    found.append((text, orjson.loads(text)))
                except orjson.JSONDecodeError as error:
                    found.append((text, error))
        return found

    def counts(self) -> dict[str, int]:
        """The token counts at the end of an Anthropic recording."""
        counts: dict[str, int] = {}
        for event in self.payloads:
            known = event.get("usage") or event.get("message", {}).get("usage") or {}
            counts |= {name: n for name, n in known.items() if isinstance(n, int)}
        return counts

    def stop(self) -> str:
        """Why an Anthropic recording ends."""
        reason: str = ""
        for event in self.payloads:
            said = event.get("delta") or event.get("message") or {}
            reason = said.get("stop_reason") or reason
        return reason


def _told(block: dict[str, Any], *, ended: bool = False) -> Told:
    given = orjson.dumps(block["input"]).decode() if block.get("input") else ""
    return Told(block["type"], block.get("name", ""), block.get("id", ""), given, ended)


def read(path: Path) -> list[Recording]:
    """The answers in a file: one JSON payload a line, or server-sent events."""
    raw = path.read_bytes()
    if not path.name.endswith(".chunks.txt"):
        data = [line[6:] for line in raw.splitlines() if line.startswith(b"data: ")]
        return [Recording(path.name, raw, [orjson.loads(d) for d in data if d != b"[DONE]"])]
    answers: list[list[dict[str, Any]]] = [[]]
    for line in filter(None, raw.splitlines()):
        answers[-1].append(orjson.loads(line))
        if answers[-1][-1].get("type") == "message_stop":
            answers.append([])
    names = [path.name, *(f"{path.name}-{number}" for number in range(2, 20))]
    return [
        Recording(name, b"".join(map(_sse, payloads)), payloads)
        for name, payloads in zip(names, filter(None, answers), strict=False)
    ]


def _sse(payload: dict[str, Any]) -> bytes:
    kind = payload.get("type", "").encode()
    return b"event: %b\ndata: %b\n\n" % (kind, orjson.dumps(payload))


@pytest.fixture(scope="module")
def recordings(data: Path) -> dict[str, Recording]:
    paths = sorted((data / "llm_streams").rglob("*.*"))
    found = {recording.name: recording for path in paths for recording in read(path)}
    if not found:
        pytest.skip(f"no recorded streams in {data / 'llm_streams'}")
    return found


def torn(body: bytes, rng: random.Random) -> Iterator[bytes]:
    """The same bytes, cut anew at random places: at a few, or at every third byte or so."""
    most = rng.choice((3, 60, len(body) // 3))
    cuts = [rng.randrange(len(body)) for _ in range(rng.randint(0, most))]
    for start, end in pairwise(sorted({0, len(body), *cuts})):
        yield body[start:end]


# --- the JSON in them ---


def test_all_json_in_them_has_its_value_under_a_hundred_chunkings(
    recordings: dict[str, Recording], subtests: pytest.Subtests
) -> None:
    carriers = {name: r.json_texts() for name, r in recordings.items() if r.json_texts()}
    assert len(carriers) >= 40
    cut = {n for n, texts in carriers.items() if isinstance(texts[0][1], orjson.JSONDecodeError)}
    assert cut == {SPLICED, INCOMPLETE}
    for name, texts in carriers.items():
        with subtests.test(name):
            rng = random.Random(name)
            for text, expected in texts:
                for _ in range(0 if isinstance(expected, Exception) else CHUNKINGS):
                    parser, rebuilt = PartialParser(), MISSING
                    for chunk in torn(text.encode(), rng):
                        for patch in parser.feed(chunk):
                            rebuilt = apply(rebuilt, patch)
                    assert parser.finish() == Final(expected)
                    assert rebuilt == expected


def test_tool_inputs_of_the_other_servers_formats_are_there(
    recordings: dict[str, Recording],
) -> None:
    found = {
        name.split("-tool")[0]: [value for _, value in recordings[name].json_texts()]
        for name in recordings
        if name.endswith(("tool-call.chunks.txt", "fallback-tool-call.sse"))
    }
    assert found == {
        "deepseek": [{"location": "San Francisco"}],
        "groq": [{}],
        "xai": [{"location": "San Francisco"}],
        "anthropic-fallback": [{"path": "a.txt"}],
    }


def test_json_that_was_cut_off_is_kept_as_far_as_it_came(
    recordings: dict[str, Recording],
) -> None:
    _, call = recordings[INCOMPLETE].blocks()
    rng = random.Random(1)
    for _ in range(CHUNKINGS):
        parser = PartialParser()
        for chunk in torn(call.text.encode(), rng):
            parser.feed(chunk)
        kept = parser.finish()
        assert isinstance(kept, Partial) and "cut off" in kept.reason
        assert kept.value["filename"] == "taxes.txt"
        assert kept.value["lines_of_text"][-1] == "Filing taxes"
        assert parser.done(("lines_of_text", 3)) and not parser.done(("lines_of_text", 4))


# --- the door ---


@dataclass
class Heard:
    """What came through the door."""

    blocks: list[Told] = field(default_factory=list)
    usage: Usage | None = None
    stop: Stop | None = None
    error: Exception | None = None


def sort_out(events: list[ModelEvent]) -> Heard:
    """The events by block; a piece outside of its block fails."""
    heard = Heard()
    at: dict[int, Told] = {}
    for event in events:
        match event:
            case Block(index=index, kind=kind, name=name, id=call):
                assert index not in at
                at[index] = Told(kind, name, call)
                heard.blocks.append(at[index])
            case Delta(text=text, kind=kind, index=index):
                assert at[index].kind == {"text": "text", "json": "tool_use"}[kind]
                at[index].text += text
            case BlockEnd(index=index):
                at.pop(index).ended = True
            case Usage(final=True):
                heard.usage = event
            case Stop():
                assert not at
                heard.stop = event
    return heard


def check(recording: Recording, heard: Heard) -> None:
    """That what came is what was recorded; of blocks that are no answer, that they were there."""
    assert heard.error is None
    for block, told in zip(recording.blocks(), heard.blocks, strict=True):
        if block.kind not in ("text", "tool_use"):
            block.text = ""
        elif block.kind == "tool_use" and block.ended:
            block.text = block.text or "{}"  # called without arguments
        block.ended = True
        assert told == block
    counts = recording.counts()
    assert heard.usage is not None and heard.stop is not None
    assert heard.usage.input == counts.get("input_tokens")
    assert heard.usage.output == counts.get("output_tokens")
    assert heard.usage.cache_read == counts.get("cache_read_input_tokens")
    assert heard.stop.reason == recording.stop()


def through_the_door(recording: Recording, rng: random.Random) -> Heard:
    events: list[ModelEvent] = []
    try:
        answer = Answer()
        for chunk in torn(recording.body, rng):
            events.extend(answer.feed(chunk))
        events.extend(answer.end())
    except ModelCut as error:
        return Heard(sort_out(events).blocks, error=error)
    return sort_out(events)


def test_every_recorded_answer_comes_through_the_door_as_it_was_recorded(
    recordings: dict[str, Recording], subtests: pytest.Subtests
) -> None:
    for name, recording in recordings.items():
        if recording.is_anthropic and name != SPLICED:
            with subtests.test(name):
                rng = random.Random(name)
                for _ in range(10):
                    check(recording, through_the_door(recording, rng))


def test_an_answer_that_begins_anew_in_its_middle_is_cut_and_what_came_is_kept(
    recordings: dict[str, Recording],
) -> None:
    rng = random.Random(2)
    for _ in range(CHUNKINGS):
        heard = through_the_door(recordings[SPLICED], rng)
        assert "second message" in str(heard.error)
        assert [block.kind for block in heard.blocks] == ["thinking", "tool_use"]
        assert (heard.blocks[1].id, heard.blocks[1].text) == ("toolu_first", '{"value":"Spark')


def test_the_other_servers_formats_are_no_answers_of_the_messages_api(
    recordings: dict[str, Recording], subtests: pytest.Subtests
) -> None:
    foreign = [recording for recording in recordings.values() if not recording.is_anthropic]
    assert len(foreign) >= 6
    for recording in foreign:
        with subtests.test(recording.name):
            answer = Answer()
            assert list(answer.feed(recording.body)) == []
            with pytest.raises(ModelProtocolError, match="Messages API"):
                list(answer.end())


# --- the door over real HTTP ---


@asynccontextmanager
async def serving(recordings: dict[str, Recording], seed: int) -> AsyncGenerator[str]:
    """A server that has each recording under its name, as server-sent events torn at random."""
    rng = random.Random(seed)

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            await reader.readexactly(length)
            body = recordings[head.split(b"/")[1].decode()].body
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n")
            writer.write(b"connection: close\r\ntransfer-encoding: chunked\r\n\r\n")
            for chunk in torn(body, rng):
                writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    async with await asyncio.start_server(handle, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def asked(url: str, name: str) -> list[ModelEvent]:
    async with (
        aclosing(AnthropicModel(f"{url}/{name}")) as model,
        aclosing(model.stream(ASK)) as events,
    ):
        return [event async for event in events]


@pytest.mark.real_time
async def test_over_http_recorded_answers_come_as_they_were_recorded(
    recordings: dict[str, Recording],
) -> None:
    async with serving(recordings, 3) as url:
        for name, recording in recordings.items():
            if recording.is_anthropic and name != SPLICED and len(recording.body) < 40_000:
                check(recording, sort_out(await asked(url, name)))
        with pytest.raises(ModelCut, match="second message"):
            await asked(url, SPLICED)
        with pytest.raises(ModelProtocolError, match="Messages API"):
            await asked(url, "groq-tool-call.chunks.txt")


@pytest.mark.real_time
async def test_over_http_tools_inputs_grow_apart_block_by_block(
    recordings: dict[str, Recording],
) -> None:
    name = "anthropic-programmatic-tool-calling.1.chunks.txt"
    values: dict[str, Any] = {}
    async with (
        serving(recordings, 4) as url,
        aclosing(AnthropicModel(f"{url}/{name}")) as model,
        reading_blocks(model.stream(ASK)) as found,
    ):
        async for block in found:
            parser = PartialParser()
            async for piece in block.texts():
                parser.feed(piece)
            values[block.kind] = (block.name, parser.finish())
    assert list(values) == ["text", "server_tool_use", "tool_use"]
    assert values["server_tool_use"] == ("code_execution", Partial(MISSING, NOTHING))
    assert values["tool_use"] == ("rollDie", Final({"player": "player1"}))


@pytest.mark.real_time
@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("anthropic-refusal.chunks.txt", "this: cyber: This request triggered"),
        ("refusal_response.txt", "this: cyber: This request was refused due to policy.$"),
        ("stream-a-refusal.sse", "write this$"),
        ("stream-a-toolrefusal.sse", "write this$"),
    ],
)
async def test_over_http_a_refusal_is_one_and_says_why_where_the_server_did(
    recordings: dict[str, Recording], name: str, why: str
) -> None:
    async with (
        serving(recordings, 5) as url,
        aclosing(AnthropicModel(f"{url}/{name}")) as model,
        reading_blocks(model.stream(ASK)) as found,
    ):
        with pytest.raises(ModelRefusal, match=why):
            async for _ in found:
                pass
