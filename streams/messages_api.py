"""The Messages API from the asking side: the body of a request, and its server-sent events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .models import ModelProtocolError, Request, Tool

__all__ = ["LIMIT", "SseDecoder", "body_of", "one_line"]

LIMIT = 10 * 1024 * 1024
"""The most bytes one event may have, or an answer that is no stream."""

_CACHED = {"type": "ephemeral"}


def body_of(request: Request) -> dict[str, Any]:
    """The body of a request: only what is set, stable parts first."""
    body: dict[str, Any] = {"model": request.model, "max_tokens": request.max_tokens}
    if request.tools:
        body["tools"] = [_tool(tool) for tool in request.tools]
        choice: dict[str, Any] = {"type": request.tool_choice}
        if request.tool_choice not in ("auto", "any", "none"):
            choice = {"type": "tool", "name": request.tool_choice}
        if not request.parallel_tools and request.tool_choice != "none":
            choice["disable_parallel_tool_use"] = True
        if choice != {"type": "auto"}:
            body["tool_choice"] = choice
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


def _tool(tool: Tool) -> dict[str, Any]:
    about = {"description": tool.description} if tool.description else {}
    eager = {"eager_input_streaming": True} if tool.eager else {}
    return {"name": tool.name, **about, "input_schema": tool.schema, **eager}


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
        if self._size > LIMIT:
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
