"""The Messages API from the asking side: the body of a request, and the reading of its answer.

Read tolerantly: servers leave out usage, event names, deltas of tools, even the stream itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from .models import (
    Delta,
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
    Usage,
)

__all__ = ["Answer", "SseDecoder", "body_of", "one_line"]

_CACHED = {"type": "ephemeral"}
_LIMIT = 10 * 1024 * 1024
_ERRORS: Mapping[str, type[ModelError]] = {
    "authentication_error": ModelRefusedKey,
    "permission_error": ModelRefusedKey,
    "invalid_request_error": ModelBadRequest,
    "request_too_large": ModelBadRequest,
    "not_found_error": ModelNotFound,
    "rate_limit_error": ModelOverloaded,
    "overloaded_error": ModelOverloaded,
    "api_error": ModelOverloaded,
}


def body_of(request: Request) -> dict[str, Any]:
    """The body of a request: only what is set, stable parts first."""
    body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens}
    if request.tool is not None:
        body["tools"] = [{**request.tool, "eager_input_streaming": True}]
        body["tool_choice"] = {"type": "tool", "name": request.tool["name"]}
    if request.system:
        body["system"] = [_block(request.system, request.cache_system)]
    body["messages"] = [
        {"role": m.role, "content": [_block(m.text, True)] if m.cache else m.text}
        for m in request.messages
    ]
    output: dict[str, Any] = {}
    if request.schema is not None:
        output["format"] = {"type": "json_schema", "schema": request.schema}
    if request.effort is not None:
        output["effort"] = request.effort
    if output:
        body["output_config"] = output
    if request.thinking is not None:
        body["thinking"] = request.thinking
    return body | dict(request.extra)


def _block(text: str, cache: bool) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "text", "text": text}
    return block | {"cache_control": _CACHED} if cache else block


def one_line(text: str, limit: int = 300) -> str:
    """``text`` as one short line."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[:limit] + "…"


class SseDecoder:
    """Server-sent events from bytes in any chunking; a pair of event name, or "", and data."""

    def __init__(self) -> None:
        self._rest = b""
        self._event = b""
        self._data: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> Iterator[tuple[str, bytes]]:
        """The events that ``chunk`` completes.

        :raises ModelProtocolError: when one event is larger than 10 MB.
        """
        self._size += len(chunk)
        if self._size > _LIMIT:
            raise ModelProtocolError("the answer has an event of more than 10 MB")
        *lines, self._rest = (
            (self._rest + chunk).split(b"\n") if b"\n" in chunk else ([self._rest + chunk])
        )
        for line in lines:
            line = line.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif line.startswith(b"event:"):
                self._event = line[6:].strip()
            elif not line:
                self._size = len(chunk)
                if self._data:
                    yield self._event.decode("utf-8", "replace"), b"\n".join(self._data)
                self._event, self._data = b"", []


class Answer:
    """Reads one answer: feed it the body's bytes, then call :meth:`end`.

    ``begun``: text has come. ``complete``: the message was ended by the server.
    """

    def __init__(self) -> None:
        self.begun = False
        self.complete = False
        self._sse = SseDecoder()
        self._plain: bytearray | None = None
        self._started = False
        self._usage = Usage()
        self._reason: str | None = None
        self._tool_inputs: dict[int, Any] = {}

    def feed(self, chunk: bytes) -> Iterator[ModelEvent]:
        """What ``chunk`` completes.

        :raises ModelProtocolError: when it is no answer of the Messages API.
        :raises ModelCut: when the server reports an error after the first text.
        :raises ModelError: of the matching kind, when it does so before it.
        """
        if not self._started:
            chunk = chunk.removeprefix(b"\xef\xbb\xbf").lstrip()
            if not chunk:
                return
            self._started = True
            if chunk.startswith(b"<"):
                raise ModelProtocolError(
                    "the server answers with a web page, not the Messages API; check the base URL"
                )
            if chunk.startswith((b"{", b"[")):
                self._plain = bytearray()
        if self._plain is not None:
            self._plain += chunk
            if len(self._plain) > _LIMIT:
                raise ModelProtocolError("the answer is larger than 10 MB")
            return
        for name, data in self._sse.feed(chunk):
            if data == b"[DONE]":
                continue
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                raise self._broken("the stream has an event that is not JSON") from None
            if isinstance(event, dict):
                yield from self._event(event.get("type") or name, event)

    def end(self) -> Iterator[ModelEvent]:
        """The last usage and the stop, once the body is over.

        :raises ModelProtocolError: when nothing of an answer came.
        :raises ModelCut: when the body was over before the answer was.
        """
        if self._plain is not None:
            yield from self._whole(bytes(self._plain))
        if not self.complete and self._reason is None:
            if self.begun:
                raise ModelCut("the stream died before its end; what came before it is usable")
            raise ModelProtocolError(
                "the answer is empty; does this server stream the Messages API (POST /v1/messages)?"
            )
        yield self._counted(None, final=True)
        yield Stop(self._reason or "end_turn")

    def _event(self, kind: str, event: Mapping[str, Any]) -> Iterator[ModelEvent]:
        raw = event.get("index")
        index = raw if isinstance(raw, int) else 0
        match kind:
            case "message_start":
                message = event.get("message")
                yield self._counted(message.get("usage") if isinstance(message, dict) else None)
            case "content_block_start":
                block = event.get("content_block")
                if isinstance(block, dict):
                    if block.get("type") == "text" and block.get("text"):
                        yield self._delta(block["text"], index)
                    elif block.get("type") == "tool_use" and block.get("input"):
                        self._tool_inputs[index] = block["input"]
            case "content_block_delta":
                delta = event.get("delta")
                delta = delta if isinstance(delta, dict) else {}
                if isinstance(text := delta.get("text"), str) and text:
                    yield self._delta(text, index)
                elif isinstance(text := delta.get("partial_json"), str) and text:
                    self._tool_inputs.pop(index, None)
                    yield self._delta(text, index, json=True)
            case "content_block_stop":
                # A tool's input that came whole with the block's start, without any delta.
                if (given := self._tool_inputs.pop(index, None)) is not None:
                    yield self._delta(orjson.dumps(given).decode(), index, json=True)
            case "message_delta":
                delta = event.get("delta")
                if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                    self._reason = delta["stop_reason"]
                self._counted(event.get("usage"))
            case "message_stop":
                self.complete = True
            case "error":
                raise self._error(event)

    def _delta(self, text: Any, index: int, json: bool = False) -> Delta:
        self.begun = True
        return Delta(str(text), "json" if json else "text", index)

    def _counted(self, usage: Any, final: bool = False) -> Usage:
        """What is known of the counts, with ``usage`` taken in."""
        known = usage if isinstance(usage, dict) else {}

        def count(name: str, before: int | None) -> int | None:
            value = known.get(name)
            return value if isinstance(value, int) and not isinstance(value, bool) else before

        self._usage = Usage(
            count("input_tokens", self._usage.input),
            count("output_tokens", self._usage.output),
            count("cache_read_input_tokens", self._usage.cache_read),
            count("cache_creation_input_tokens", self._usage.cache_write),
            final,
        )
        return self._usage

    def _whole(self, raw: bytes) -> Iterator[ModelEvent]:
        """A plain JSON body in answer to a stream request: the whole message at once."""
        try:
            message = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise ModelProtocolError(
                "the server answers with JSON that is cut off or broken"
            ) from None
        if isinstance(message, dict) and ("error" in message or message.get("type") == "error"):
            raise self._error(message)
        content = message.get("content") if isinstance(message, dict) else None
        if not isinstance(content, list):
            raise ModelProtocolError(
                "the server answers with JSON that is no message; check the base URL"
            )
        yield self._counted(message.get("usage"))
        for index, block in enumerate(content):
            if isinstance(block, dict) and block.get("type") == "text" and block.get("text"):
                yield self._delta(block["text"], index)
            elif isinstance(block, dict) and block.get("type") == "tool_use":
                yield self._delta(orjson.dumps(block.get("input", {})).decode(), index, json=True)
        self._reason = message.get("stop_reason") or "end_turn"
        self.complete = True

    def _broken(self, what: str) -> ModelError:
        return (
            ModelCut(f"{what}; what came before it is usable")
            if self.begun
            else ModelProtocolError(what)
        )

    def _error(self, event: Mapping[str, Any]) -> ModelError:
        error = event.get("error")
        known = error if isinstance(error, dict) else {"message": error}
        kind, said = (
            str(known.get("type") or "error"),
            one_line(str(known.get("message") or "no reason given")),
        )
        if self.begun:
            return ModelCut(f"the server broke off ({kind}): {said}; what came before it is usable")
        return _ERRORS.get(kind, ModelUnavailable)(f"the server reports {kind}: {said}")
