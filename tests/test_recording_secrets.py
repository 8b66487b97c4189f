"""No key and no authorisation header is ever in a recording, nor in what is logged beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anthropic
import orjson
import pytest

import foretell
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.log import read, validate
from foretell.streams.models import ModelError, ModelEvent, Request
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.streams.recorded import described, without_paths

pytestmark = pytest.mark.real_time

KEY = "open-sesame-4711"
HEADER = "hunter2-hunter2"
EXTRA = "swordfish-0815"
SECRETS = (KEY, HEADER, EXTRA)


class WithExtra:
    """A model that sends more than Foretell asks for."""

    def __init__(self, model: AnthropicModel) -> None:
        self._model = model

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        extra = {"metadata": {"gateway_token": EXTRA}, "api_key": EXTRA}
        async with aclosing(self._model.stream(replace(request, extra=extra))) as events:
            async for event in events:
                yield event

    async def aclose(self) -> None:
        await self._model.aclose()


@asynccontextmanager
async def echoing(status: str) -> AsyncIterator[str]:
    """A server that answers with an error which holds all it was sent, headers and body."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            [size] = [each for each in head.lower().splitlines() if each.startswith(b"content-len")]
            sent = head + await reader.readexactly(int(size.split(b":")[1]))
        except asyncio.IncompleteReadError:  # the game has closed
            writer.close()
            return
        where = [sent.find(secret.encode()) for secret in SECRETS]
        said = " ".join(sent[at - 30 : at + 30].decode() for at in where)
        body = orjson.dumps({"type": "error", "error": {"type": "x", "message": said}})
        writer.write(
            f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\nconnection: close\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def night(folder: Path, url: str, key: str, *, extra: bool) -> tuple[bytes, str]:
    """Play a few outcomes; the bytes of the log, and the errors that tellings ended with."""
    headers = {"x-gateway-secret": HEADER, "cookie": f"session={HEADER}"}
    async with anthropic.AsyncAnthropic(
        base_url=url, api_key=key, max_retries=0, default_headers=headers
    ) as client:
        door = AnthropicModel(client=client)
        model = WithExtra(door) if extra else door
        settings = {"log_dir": str(folder), "deadline": 1.0}
        errors: list[str] = []

        def on_event(event: foretell.Narrative) -> None:
            if isinstance(event, foretell.Ended):
                errors.append(str(event.error))

        async with (
            foretell.Game(settings, model=model) as game,
            await game.session("night") as session,
        ):
            session.subscribe(on_event)
            session.update({"hp": 1})
            action = session.declare("mira", "bow", target="goblin")
            await asyncio.sleep(0.05)
            tellings = action.outcome("hit", damage=3), session.outcome("mira", "axe", "miss")
            await asyncio.gather(*tellings, return_exceptions=True)
        await model.aclose()
    log = folder / "night.jsonl"
    assert validate(log).errors == []
    return log.read_bytes(), " ".join(errors)


def logged(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(f"{r.name} {r.getMessage()} {r.exc_text or ''}" for r in caplog.records)


@pytest.mark.parametrize(
    "status",
    ["400 Bad", "401 Unauthorized", "403 Forbidden", "404 Not Found", "429 Slow", "500 Oops"],
)
async def test_a_server_that_answers_with_what_it_was_sent_gets_no_secret_into_a_log(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, status: str
) -> None:
    caplog.set_level(logging.DEBUG, "foretell")
    async with echoing(status) as url:
        log, errors = await night(tmp_path, url, KEY, extra=True)
    everything = errors + log.decode() + logged(caplog)
    assert f"answers {status[:3]}" in everything and "***" in everything
    for secret in SECRETS:
        assert secret.encode() not in log
        assert secret not in errors
        assert secret not in logged(caplog)


@pytest.mark.parametrize("key", [KEY, "wrong-key-0001"])
async def test_with_a_narrator_that_wants_a_key_no_key_is_recorded(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, key: str
) -> None:
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.DEBUG, "anthropic")
    async with running(profile("instant"), key=KEY) as url:
        log, errors = await night(tmp_path, url, key, extra=False)
    kinds = {record.kind for record in read(tmp_path / "night.jsonl")}
    assert ("~chunk" in kinds) == (key == KEY)
    assert ("401" in errors) == (key != KEY)
    for secret in (KEY, key, HEADER):
        assert secret.encode() not in log
        assert secret not in errors
        assert secret not in logged(caplog)


async def test_an_unreachable_server_is_named_without_its_password(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = f"http://user:{HEADER}@127.0.0.1:9/tok-ABCDEF/?key={EXTRA}"
    settings: dict[str, Any] = {"log_dir": str(tmp_path), "base_url": url}
    async with (
        foretell.Game(settings, api_key=KEY) as game,
        await game.session("night") as session,
    ):
        with pytest.raises(foretell.TellingError):
            await session.outcome("mira", "bow", "hit")
    log = (tmp_path / "night.jsonl").read_bytes()
    assert "127.0.0.1:9" in logged(caplog)
    assert b"cannot reach http://127.0.0.1:9: " in log and b"tok-ABCDEF" not in log
    for secret in SECRETS:
        assert secret.encode() not in log
        assert secret not in logged(caplog)


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ("http://u:pw@host/tok-ABC: gone", "http://host: gone"),
        ("cannot use 'https://host:81/a/b?c=d'.", "cannot use 'https://host:81'."),
        ("https://host:81 answers 404 (http://h/x),", "https://host:81 answers 404 (http://h),"),
        ("HTTP://u@host said no", "HTTP://host said no"),
        ("no address: 1/2 of it", "no address: 1/2 of it"),
    ],
)
def test_of_an_address_the_host_and_port_are_recorded(text: str, kept: str) -> None:
    assert described(ModelError(text)) == {"error": ModelError.kind, "text": kept}
    assert without_paths(kept) == kept
