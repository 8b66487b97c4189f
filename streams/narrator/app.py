"""The narrator's ASGI application: the Messages API over an :class:`~.engine.Engine`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import asdict, replace
from hmac import compare_digest
from typing import TYPE_CHECKING, Any

import orjson

from ..listener import Receive, Scope, Send, ServerMissing
from ..models import Block, BlockEnd, Delta
from .engine import Begun, Ended, Engine, Spoilt, tokens
from .faults import CutOff
from .profiles import PROFILES
from .shapes import content_of, delta_of, message_of, model_info, sse, stop_of, usage_of
from .wire import ApiError, Ask, model_known, read_body, read_prompt

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

__all__ = ["FAULT_HEADER", "MAX_BODY", "NarratorApp", "ServerMissing"]

FAULT_HEADER = "x-narrator-fault"
"""The header in which one request asks for a fault: ``KIND[=SECONDS][@SHARE]``."""

MAX_BODY = 10 * 1024 * 1024
"""The largest body taken, in bytes; above it the answer is 413."""

ABOUT = (
    "The Foretell narrator: the Messages API over a grammar. It is not a language model; its prose "
    "is made from phrases and the facts it is given, and its speed is simulated."
)
NOT_UTF8 = b"\xc3\x28"


class NarratorApp:
    """The ASGI application.

    :param key: demanded of every request where it is given.
    :param hang_up: closes the connection of a request in the midst of its answer; without it that
        is left to the server, which closes what is not complete, and says so in its log.
    """

    def __init__(
        self,
        engine: Engine,
        key: str | None = None,
        hang_up: Callable[[Scope], None] | None = None,
    ) -> None:
        try:
            from starlette.applications import Starlette
            from starlette.exceptions import HTTPException
            from starlette.routing import Route
        except ImportError:
            raise ServerMissing(
                'the narrator\'s server needs: pip install "foretell[server]"'
            ) from None
        self.engine = engine
        self._key = key
        self._hang_up = hang_up
        self._requests = 0

        async def failed(request: Request, error: Exception) -> Response:
            if isinstance(error, HTTPException):
                message = f"{request.method} {request.url.path}: {error.detail}"
                kind = "not_found_error" if error.status_code == 404 else "invalid_request_error"
                return self._error(ApiError(error.status_code, kind, message), self._next_id())
            assert isinstance(error, ApiError)
            return self._error(error, self._next_id())

        self._app = Starlette(
            routes=[
                Route("/", self._about, methods=["GET"]),
                Route("/healthz", self._health, methods=["GET"]),
                Route("/narrator/account", self._account, methods=["GET"]),
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/models/{model}", self._model, methods=["GET"]),
                Route("/v1/messages/count_tokens", self._count, methods=["POST"]),
                Route("/v1/messages", _Endpoint(self._messages), methods=["POST"]),
            ],
            exception_handlers={HTTPException: failed, ApiError: failed},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        await self._app(scope, receive, send)

    def _next_id(self) -> str:
        self._requests += 1
        return f"req_{self._requests:012d}"

    def _json(self, value: Any, request_id: str, status: int = 200, **headers: str) -> Response:
        from starlette.responses import Response

        headers["request-id"] = request_id
        return Response(orjson.dumps(value), status, headers, media_type="application/json")

    def _error(self, error: ApiError, request_id: str) -> Response:
        headers = (
            {} if error.retry_after is None else {"retry-after": str(math.ceil(error.retry_after))}
        )
        return self._json(error.body(request_id), request_id, error.status, **headers)

    def _check_key(self, request: Request) -> None:
        if self._key is None:
            return
        given = request.headers.get("x-api-key", "")
        if not given:
            given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not given or not compare_digest(given.encode(), self._key.encode()):
            what = "invalid x-api-key" if given else "x-api-key header is required"
            raise ApiError(401, "authentication_error", what)

    async def _about(self, request: Request) -> Response:
        profile = self.engine.profile
        return self._json(
            {"about": ABOUT, "profile": profile.name, "source": profile.source}, self._next_id()
        )

    async def _health(self, request: Request) -> Response:
        return self._json({"status": "ok", "open": len(self.engine.open)}, self._next_id())

    async def _account(self, request: Request) -> Response:
        self._check_key(request)
        now = (self.engine.clock or asyncio.get_running_loop().time)()
        return self._json(
            {
                "now": now,
                "profile": {
                    k: v if not isinstance(v, float) or math.isfinite(v) else None
                    for k, v in asdict(self.engine.profile).items()
                },
                "open": len(self.engine.open),
                "totals": asdict(self.engine.totals),
                "requests": [asdict(a) for a in self.engine.accounts],
            },
            self._next_id(),
        )

    async def _models(self, request: Request) -> Response:
        self._check_key(request)
        data = [model_info(f"narrator-{name}") for name in PROFILES]
        page = {
            "data": data,
            "has_more": False,
            "first_id": data[0]["id"],
            "last_id": data[-1]["id"],
        }
        return self._json(page, self._next_id())

    async def _model(self, request: Request) -> Response:
        self._check_key(request)
        name = request.path_params["model"]
        if not model_known(name):
            raise ApiError(404, "not_found_error", f"model: {name}")
        return self._json(model_info(name), self._next_id())

    async def _count(self, request: Request) -> Response:
        self._check_key(request)
        ask = read_prompt(await _body(request))
        return self._json(
            {"input_tokens": tokens(sum(len(s.text) for s in ask.segments))}, self._next_id()
        )

    async def _messages(self, request: Request, receive: Receive, send: Send) -> None:
        request_id = self._next_id()
        try:
            self._check_key(request)
            ask = read_body(await _body(request))
            if (fault := request.headers.get(FAULT_HEADER)) is not None:
                ask = replace(ask, fault=fault)
            headers = [(b"request-id", request_id.encode())]
            write = self._write_events if ask.stream else self._write_whole
            writer = asyncio.create_task(write(ask, send, headers))
            watcher = asyncio.create_task(_disconnected(receive))
            await _first_of(writer, watcher)
        except ApiError as error:
            await self._error(error, request_id)(request.scope, receive, send)
        except CutOff:
            if self._hang_up is not None:
                self._hang_up(request.scope)
                await _disconnected(receive)

    async def _write_events(self, ask: Ask, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        headers += [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-cache"),
        ]
        start = {"type": "http.response.start", "status": 200, "headers": headers}
        begun: Begun | None = None
        try:
            async with aclosing(self.engine.generate(ask)) as answer:
                async for event in answer:
                    match event:
                        case Delta():
                            data = sse("content_block_delta", delta_of(event))
                        case Begun():
                            begun = event
                            await send(start)
                            message = message_of(ask, begun, [], None, 1)
                            data = sse("message_start", {"message": message})
                        case Block(index=index):
                            block = {"index": index, "content_block": content_of(event, "")}
                            data = sse("content_block_start", block)
                            data += sse("ping", {}) if index == 0 else b""
                        case BlockEnd(index=index):
                            data = sse("content_block_stop", {"index": index})
                        case Spoilt(index=index):
                            data = sse("content_block_delta", delta_of(Delta("?", "text", index)))
                            data = data.replace(b"?", NOT_UTF8)
                        case Ended():
                            assert begun is not None
                            end = {"delta": stop_of(event), "usage": usage_of(begun, event.output)}
                            data = sse("message_delta", end) + sse("message_stop", {})
                    await send({"type": "http.response.body", "body": data, "more_body": True})
        except ApiError as error:
            if begun is None:
                raise
            data = sse("error", error.body(None))
            await send({"type": "http.response.body", "body": data, "more_body": True})
        if begun is None:
            await send(start)
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _write_whole(self, ask: Ask, send: Send, headers: list[tuple[bytes, bytes]]) -> None:
        blocks: dict[int, Block] = {}
        texts: dict[int, str] = {}
        begun: Begun | None = None
        ended: Ended | None = None
        spoilt = False
        try:
            async with aclosing(self.engine.generate(ask)) as answer:
                async for event in answer:
                    match event:
                        case Delta(text=text, index=index):
                            texts[index] = texts.get(index, "") + text
                        case Begun():
                            begun = event
                        case Block(index=index):
                            blocks[index] = event
                        case Spoilt():
                            spoilt = True
                        case Ended():
                            ended = event
        except CutOff:
            pass
        content = [content_of(block, texts.get(index, "")) for index, block in blocks.items()]
        body = b""
        if begun is not None:
            body = orjson.dumps(
                message_of(ask, begun, content, ended, ended.output if ended else 0)
            )
        half = len(body) // 2
        if spoilt:
            body = body[:half] + NOT_UTF8 + body[half:]
        headers += [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        if begun is not None and ended is None:
            await send({"type": "http.response.body", "body": body[:half], "more_body": True})
            raise CutOff
        await send({"type": "http.response.body", "body": body, "more_body": False})


class _Endpoint:
    """A plain ASGI endpoint that is handed the request with its channels."""

    def __init__(self, handle: Callable[[Request, Receive, Send], Awaitable[None]]) -> None:
        self._handle = handle

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.requests import Request

        await self._handle(Request(scope, receive), receive, send)


async def _first_of(writer: asyncio.Task[None], watcher: asyncio.Task[None]) -> None:
    """Until the answer is written or the client is gone; raises what the writer raised."""
    try:
        await asyncio.wait((writer, watcher), return_when=asyncio.FIRST_COMPLETED)
    finally:
        writer.cancel()
        watcher.cancel()
        await asyncio.gather(writer, watcher, return_exceptions=True)
    if not writer.cancelled() and (error := writer.exception()) is not None:
        raise error


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _body(request: Request) -> Any:
    from starlette.requests import ClientDisconnect

    too_large = ApiError(
        413, "request_too_large", f"Request exceeds the maximum size of {MAX_BODY} bytes"
    )
    if int(request.headers.get("content-length") or 0) > MAX_BODY:
        raise too_large
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > MAX_BODY:
                raise too_large
    except ClientDisconnect:
        raise ApiError(499, "api_error", "the client left before its request was whole") from None
    try:
        return orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise ApiError(
            400, "invalid_request_error", f"request body is not valid JSON: {error}"
        ) from None
