"""What the narrator sends, in the shapes of the Messages API."""

from __future__ import annotations

from typing import Any

import orjson

from ..models import Block, Delta
from .engine import Begun, Ended
from .wire import REFUSAL, Ask

__all__ = ["content_of", "delta_of", "message_of", "model_info", "sse", "stop_of", "usage_of"]

_DATE = "2026-10-01T00:00:00Z"


def sse(event: str, data: dict[str, Any]) -> bytes:
    """A server-sent event."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), orjson.dumps({"type": event} | data))


def _loads(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # not there yet, or cut by max_tokens
        return {}


def usage_of(begun: Begun, output: int) -> dict[str, Any]:
    """The token counts, so far or at the end."""
    return {
        "input_tokens": begun.input,
        "cache_creation_input_tokens": begun.cache_write,
        "cache_read_input_tokens": begun.cache_read,
        "output_tokens": output,
    }


def message_of(
    ask: Ask, begun: Begun, content: list[Any], ended: Ended | None, output: int
) -> dict[str, Any]:
    """A message: as it begins, or whole."""
    return {
        "id": f"msg_{begun.request}",
        "type": "message",
        "role": "assistant",
        "model": ask.model,
        "content": content,
        **stop_of(ended),
        "usage": usage_of(begun, output),
    }


def stop_of(ended: Ended | None) -> dict[str, Any]:
    """Why it stopped, if it has."""
    stop = {
        "stop_reason": ended.reason if ended else None,
        "stop_sequence": ended.stop_sequence if ended else None,
    }
    return stop | {"stop_details": REFUSAL} if ended and ended.reason == "refusal" else stop


def content_of(block: Block, text: str) -> dict[str, Any]:
    """A block with what is in it."""
    if block.kind == "text":
        return {"type": "text", "text": text}
    return {"type": "tool_use", "id": block.id, "name": block.name, "input": _loads(text)}


def delta_of(delta: Delta) -> dict[str, Any]:
    """A piece of a block."""
    if delta.kind == "text":
        return {"index": delta.index, "delta": {"type": "text_delta", "text": delta.text}}
    said = {"type": "input_json_delta", "partial_json": delta.text}
    return {"index": delta.index, "delta": said}


def model_info(name: str) -> dict[str, Any]:
    """What is said of a model."""
    return {"type": "model", "id": name, "display_name": f"{name} (a grammar)", "created_at": _DATE}
