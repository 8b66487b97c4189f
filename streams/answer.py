"""Reading an answer of the Messages API: the bytes of a body in, the door's events out.

Read tolerantly: servers leave out usage, event names, the beginnings and ends of blocks, deltas of
tools, even the stream itself. What comes out is in order all the same: each piece stands between
the :class:`Block` it belongs to and its :class:`BlockEnd`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import orjson

from .messages_api import LIMIT, SseDecoder, one_line
from .models import (
    Block,
    BlockEnd,
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
    Stop,
    Usage,
)

__all__ = ["Answer"]

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
        self._opened = False
        self._usage = Usage()
        self._stop: Stop | None = None
        self._kinds: dict[int, str] = {}
        self._inputs: dict[int, Any] = {}

    def feed(self, chunk: bytes) -> Iterator[ModelEvent]:
        """What ``chunk`` completes.

        :raises ModelProtocolError: when it is no answer of the Messages API.
        :raises ModelCut: when the server reports an error, or begins anew, after the first text.
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
            if len(self._plain) > LIMIT:
                raise ModelProtocolError("the answer is larger than 10 MB")
            return
        for name, data in self._sse.feed(chunk):
            if self.complete:
                return
            if data == b"[DONE]":
                continue
            try:
                event = orjson.loads(data)
            except orjson.JSONDecodeError:
                raise self._broken("the stream has an event that is not JSON") from None
            if isinstance(event, dict):
                yield from self._event(event.get("type") or name, event)

    def end(self) -> Iterator[ModelEvent]:
        """What is still open ended, the last usage and the stop, once the body is over.

        :raises ModelProtocolError: when nothing of an answer came.
        :raises ModelCut: when the body was over before the answer was.
        """
        whole = self._plain is not None
        if self._plain is not None:
            yield from self._whole(bytes(self._plain))
        if not self.complete and self._stop is None:
            if self.begun:
                raise ModelCut("the stream died before its end; what came before it is usable")
            raise ModelProtocolError(
                "the answer is empty; does this server stream the Messages API (POST /v1/messages)?"
            )
        yield from self._end_all()
        yield self._counted(None, final=True)
        yield replace(self._stop or Stop("end_turn"), whole=whole)

    def _event(self, kind: str, event: Mapping[str, Any]) -> Iterator[ModelEvent]:
        raw = event.get("index")
        index = raw if isinstance(raw, int) else 0
        match kind:
            case "message_start":
                yield from self._anew()
                message = event.get("message")
                if isinstance(message, dict):
                    yield from self._message(message)
            case "content_block_start":
                block = event.get("content_block")
                if isinstance(block, dict) and isinstance(block.get("type"), str):
                    yield from self._begin(index, block)
            case "content_block_delta":
                delta = event.get("delta")
                delta = delta if isinstance(delta, dict) else {}
                if isinstance(text := delta.get("text"), str) and text:
                    yield from self._piece(Delta(text, "text", index))
                elif isinstance(text := delta.get("partial_json"), str) and text:
                    yield from self._piece(Delta(text, "json", index))
            case "content_block_stop":
                yield from self._end(index)
            case "message_delta":
                delta = event.get("delta")
                if isinstance(delta, dict) and isinstance(delta.get("stop_reason"), str):
                    self._stop = Stop(delta["stop_reason"], _why(delta.get("stop_details")))
                self._counted(event.get("usage"))
            case "message_stop":
                self.complete = True
                yield from self._end_all()
            case "error":
                raise self._error(event)

    def _anew(self) -> Iterator[ModelEvent]:
        """A message begins. A second one is none, or a repetition as long as nothing was read."""
        if self._opened and self.begun:
            raise ModelCut(
                "the server began a second message within the answer; what came before it is usable"
            )
        self._opened = True
        yield from self._end_all()

    def _begin(self, index: int, block: Mapping[str, Any]) -> Iterator[ModelEvent]:
        yield from self._end(index, whole=False)
        kind = self._kinds[index] = block["type"]
        yield Block(index, kind, str(block.get("name") or ""), str(block.get("id") or ""))
        if kind == "text" and block.get("text"):
            yield from self._piece(Delta(str(block["text"]), "text", index))
        elif kind == "tool_use":
            self._inputs[index] = block.get("input") or {}

    def _piece(self, delta: Delta) -> Iterator[ModelEvent]:
        kind = self._kinds.get(delta.index)
        if kind is None:
            kind = self._kinds[delta.index] = "text" if delta.kind == "text" else "tool_use"
            yield Block(delta.index, kind)
        if kind in ("text", "tool_use"):
            self._inputs.pop(delta.index, None)
            self.begun = True
            yield delta

    def _end(self, index: int, whole: bool = True) -> Iterator[ModelEvent]:
        """End a block, if there is one; ``whole``: the server says that it is complete."""
        if index in self._kinds:
            # A tool's input that came with the block's start; of one without arguments, nothing.
            given = self._inputs.pop(index, None)
            if given or (whole and given is not None):
                yield from self._piece(Delta(orjson.dumps(given).decode(), "json", index))
            del self._kinds[index]
            yield BlockEnd(index)

    def _end_all(self) -> Iterator[ModelEvent]:
        for index in list(self._kinds):
            yield from self._end(index, whole=False)

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
        yield from self._message(message)
        self.complete = True

    def _message(self, message: Mapping[str, Any]) -> Iterator[ModelEvent]:
        """A message with all that is in it already, which is nothing when a stream begins."""
        yield self._counted(message.get("usage"))
        content = message.get("content")
        for index, block in enumerate(content if isinstance(content, list) else ()):
            if isinstance(block, dict) and isinstance(block.get("type"), str):
                yield from self._begin(index, block)
                yield from self._end(index)
        if isinstance(reason := message.get("stop_reason"), str):
            self._stop = Stop(reason, _why(message.get("stop_details")))

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


def _why(details: Any) -> str:
    """Why the model stopped, in one line, where the server says more than a word."""
    known = details if isinstance(details, dict) else {}
    said = (known.get("category"), known.get("explanation"))
    return one_line(": ".join(word for word in said if isinstance(word, str) and word))
