"""The Messages API's words: a request's body checked and read, errors as the API shapes them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = [
    "REFUSAL",
    "ApiError",
    "Ask",
    "Part",
    "Segment",
    "model_known",
    "read_body",
    "read_prompt",
]

REFUSAL: Mapping[str, Any] = {
    "type": "refusal",
    "category": None,
    "explanation": "The narrator was asked to refuse.",
}
"""What is said of an answer that a model declines to go on with."""

_FIELDS = {
    *("model", "max_tokens", "messages", "system", "stream", "stop_sequences", "metadata"),
    *("tools", "tool_choice", "output_config", "thinking", "cache_control", "service_tier"),
    *("temperature", "top_p", "top_k", "speed", "container", "diagnostics", "inference_geo"),
}
_COUNTED = {
    *("model", "messages", "system", "tools", "tool_choice", "output_config"),
    *("thinking", "cache_control", "speed"),
}
_MODEL = re.compile(r"(narrator|claude)(-[\w.@:-]+)?")


class ApiError(Exception):
    """An error the server answers with.

    :param status: the HTTP status.
    :param kind: the API's type, such as ``invalid_request_error``.
    :param retry_after: seconds, for 429.
    """

    def __init__(
        self, status: int, kind: str, message: str, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.kind = kind
        self.message = message
        self.retry_after = retry_after

    def body(self, request_id: str | None) -> dict[str, Any]:
        """The JSON body of the answer."""
        error = {"type": self.kind, "message": self.message}
        return {"type": "error", "error": error, "request_id": request_id}


@dataclass(frozen=True, slots=True)
class Segment:
    """A piece of the prompt; ``cache`` marks a breakpoint at its end."""

    text: str
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """One block of the answer.

    :param schema: what it has to satisfy as JSON, or ``None`` for prose.
    :param tool: the name of the tool whose input it is, or ``None`` for text.
    :param eager: whether it is sent as it is written, and not only once it is whole.
    """

    schema: Mapping[str, Any] | None = None
    tool: str | None = None
    eager: bool = True


@dataclass(frozen=True, slots=True)
class Ask:
    """What the narrator is asked, once read.

    :param segments: the whole prompt in the order a model reads it: tools, system, messages.
    :param prompt: the last user message.
    :param parts: the blocks the answer is to have, at least one.
    :param fault: what is to go wrong with the answer, in the words of ``Fault.parse``.
    """

    model: str
    segments: tuple[Segment, ...]
    prompt: str
    max_tokens: int
    parts: tuple[Part, ...] = (Part(),)
    stop_sequences: tuple[str, ...] = ()
    stream: bool = False
    fault: str | None = None


def model_known(name: str) -> bool:
    """Whether the narrator answers to this model name."""
    return _MODEL.fullmatch(name) is not None


def _bad(message: str) -> ApiError:
    return ApiError(400, "invalid_request_error", message)


def _blocks(content: Any, where: str) -> list[Segment]:
    if isinstance(content, str):
        return [Segment(content)]
    if not isinstance(content, list):
        raise _bad(f"{where}: Input should be a valid string or a list of content blocks")
    segments = []
    for i, block in enumerate(content):
        if not isinstance(block, Mapping) or not isinstance(block.get("type"), str):
            raise _bad(f"{where}.{i}: Input should be a content block with a type")
        if block["type"] == "text" and not isinstance(block.get("text"), str):
            raise _bad(f"{where}.{i}.text: Field required")
        text = block.get("text") or block.get("content") or block.get("input") or ""
        segments.append(Segment(str(text), bool(block.get("cache_control"))))
    return segments


def read_body(body: Any) -> Ask:
    """Check a request's body and read it.

    :raises ApiError: 400 for what is malformed, 404 for a model the narrator does not know.
    """
    if not isinstance(body, Mapping):
        raise _bad("request body must be a JSON object")
    for name in ("model", "max_tokens", "messages"):
        if name not in body:
            raise _bad(f"{name}: Field required")
    for name in body:
        if name not in _FIELDS:
            raise _bad(f"{name}: Extra inputs are not permitted")
    model, limit = body["model"], body["max_tokens"]
    if not isinstance(model, str) or not model:
        raise _bad("model: Input should be a valid string")
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise _bad("max_tokens: Input should be a valid integer, 0 or more")
    if not isinstance(body.get("stream", False), bool):
        raise _bad("stream: Input should be a valid boolean")
    if not model_known(model):
        raise ApiError(404, "not_found_error", f"model: {model}")
    _check_sampling(model, body)
    stops = body.get("stop_sequences") or []
    if not isinstance(stops, list) or not all(isinstance(s, str) and s for s in stops):
        raise _bad("stop_sequences: Input should be a list of non-empty strings")
    tools = _tools(body)
    called = _called(tools, body.get("tool_choice"))
    schema = _schema(body.get("output_config"))
    system = body.get("system")
    messages, prompt = _messages(body["messages"])
    head = [Segment(str(t), bool(t.get("cache_control"))) for t in tools]
    if system:
        head += _blocks(system, "system")
    segments = (*head, *messages)
    if body.get("cache_control"):
        segments = (*segments[:-1], Segment(segments[-1].text, True))
    return Ask(
        model,
        segments,
        prompt,
        limit,
        tuple(
            Part(tool["input_schema"], tool["name"], tool.get("eager_input_streaming") is True)
            for tool in called
        )
        or (Part(schema),),
        tuple(stops),
        body.get("stream", False),
        _fault(body.get("metadata")),
    )


def read_prompt(body: Any) -> Ask:
    """Check and read the body of a request to count its tokens: as any, but nothing is answered.

    :raises ApiError: as :func:`read_body`, and 400 for what is only said of answers.
    """
    if isinstance(body, Mapping):
        for name in body:
            if name not in _COUNTED:
                raise _bad(f"{name}: Extra inputs are not permitted")
        body = {**body, "max_tokens": 1}
    return read_body(body)


def _fault(metadata: Any) -> str | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise _bad("metadata: Input should be a valid object")
    fault = metadata.get("narrator_fault")
    if fault is not None and not isinstance(fault, str):
        raise _bad("metadata.narrator_fault: Input should be a valid string")
    return fault


def _check_sampling(model: str, body: Mapping[str, Any]) -> None:
    newer = re.match(r"claude-[a-z]+-([5-9]|\d\d)\b", model)
    for name, top in (("temperature", 1), ("top_p", 1), ("top_k", None)):
        value = body.get(name)
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0:
            raise _bad(f"{name}: Input should be a valid number, 0 or more")
        if top is not None and value > top:
            raise _bad(f"{name}: Input should be less than or equal to {top}")
        if newer and value != top:
            raise _bad(f"{name}: {model} does not take a non-default value of this parameter")


def _messages(messages: Any) -> tuple[list[Segment], str]:
    if not isinstance(messages, list):
        raise _bad("messages: Input should be a valid list")
    if not messages:
        raise _bad("messages: at least one message is required")
    segments: list[Segment] = []
    last: list[Segment] = []
    for i, message in enumerate(messages):
        if not isinstance(message, Mapping) or message.get("role") not in (
            "user",
            "assistant",
            "system",
        ):
            raise _bad(f"messages.{i}.role: Input should be 'user' or 'assistant'")
        if "content" not in message:
            raise _bad(f"messages.{i}.content: Field required")
        last = _blocks(message["content"], f"messages.{i}.content")
        if not any(s.text.strip() for s in last):
            raise _bad(f"messages.{i}: all messages must have non-empty content")
        segments += last
    if messages[-1]["role"] != "user":
        raise _bad(
            "messages: the last message must be the user's; this model does not support prefill"
        )
    return segments, "\n".join(s.text for s in last)


def _tools(body: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    tools = body.get("tools") or []
    if not isinstance(tools, list):
        raise _bad("tools: Input should be a valid list")
    for i, tool in enumerate(tools):
        if not isinstance(tool, Mapping) or not isinstance(tool.get("name"), str):
            raise _bad(f"tools.{i}.name: Field required")
        if not isinstance(tool.get("input_schema"), Mapping):
            raise _bad(f"tools.{i}.input_schema: Field required")
        if not isinstance(tool.get("eager_input_streaming"), (bool, type(None))):
            raise _bad(f"tools.{i}.eager_input_streaming: Input should be a valid boolean")
    if len({tool["name"] for tool in tools}) < len(tools):
        raise _bad("tools: Tool names must be unique.")
    return tools


def _called(tools: Sequence[Mapping[str, Any]], choice: Any) -> Sequence[Mapping[str, Any]]:
    """The tools that are called: the one named, or with ``any`` each of them; else none."""
    if choice is None:
        return ()
    if not isinstance(choice, Mapping) or choice.get("type") not in ("auto", "any", "tool", "none"):
        raise _bad("tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'")
    alone = choice.get("disable_parallel_tool_use", False)
    if not isinstance(alone, bool):
        raise _bad("tool_choice.disable_parallel_tool_use: Input should be a valid boolean")
    if choice["type"] in ("auto", "none"):
        return ()
    called = [t for t in tools if choice["type"] == "any" or t["name"] == choice.get("name")]
    if not called:
        raise _bad(f"tool_choice: tool {choice.get('name', '')!r} not found in tools")
    return called[:1] if alone else called


def _schema(config: Any) -> Mapping[str, Any] | None:
    if config is None:
        return None
    if not isinstance(config, Mapping):
        raise _bad("output_config: Input should be a valid object")
    effort = config.get("effort")
    if effort not in (None, "low", "medium", "high", "xhigh", "max"):
        raise _bad(
            "output_config.effort: Input should be 'low', 'medium', 'high', 'xhigh' or 'max'"
        )
    wanted = config.get("format")
    if wanted is None:
        return None
    if not isinstance(wanted, Mapping) or wanted.get("type") != "json_schema":
        raise _bad("output_config.format.type: Input should be 'json_schema'")
    schema = wanted.get("schema")
    if not isinstance(schema, Mapping):
        raise _bad("output_config.format.schema: Field required")
    return schema
