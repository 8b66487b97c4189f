"""The door to models: what is asked, what comes back, and what can go wrong.

A :class:`Model` turns a :class:`Request` into a stream of small events. Everything above this
line (speculation, tellings, the ledger) knows only these types; everything below it (the
Anthropic SDK, the narrator, a scripted model in a test) only has to produce them.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal, Protocol

from ..errors import ForetellError

__all__ = [
    "Block",
    "BlockEnd",
    "Delta",
    "Message",
    "Model",
    "ModelBadRequest",
    "ModelCut",
    "ModelError",
    "ModelEvent",
    "ModelInvalid",
    "ModelNotFound",
    "ModelOverloaded",
    "ModelProtocolError",
    "ModelRefusal",
    "ModelRefusedKey",
    "ModelShut",
    "ModelTooDear",
    "ModelUnavailable",
    "Purpose",
    "Request",
    "Stop",
    "Tool",
    "Usage",
]

_CHOICES = ("auto", "any", "none")


class Purpose(StrEnum):
    """Why a request is made; the ledger keeps one account for each."""

    PREFETCH = "prefetch"
    REFINE = "refine"
    FOREGROUND = "foreground"
    PLAN = "plan"
    SUMMARY = "summary"


@dataclass(frozen=True, slots=True)
class Message:
    """One message of the conversation.

    ``cache`` asks the server to keep the prompt up to and including this message, for requests
    that begin with the same text.
    """

    role: Literal["user", "assistant"]
    text: str
    cache: bool = False


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool a model may call, or must.

    :param schema: the JSON schema of its input.
    :param eager: whether its input is streamed as it is written. Without it the API holds the
        input back to check it, for seconds; with it nothing promises that the JSON is valid.
    :raises ValueError: for a name that means something else as :attr:`Request.tool_choice`.
    """

    name: str
    schema: Mapping[str, Any]
    description: str = ""
    eager: bool = True

    def __post_init__(self) -> None:
        if not self.name or self.name in _CHOICES:
            raise ValueError(f"a tool cannot be called {self.name!r}")


@dataclass(frozen=True, slots=True)
class Request:
    """What a model is asked.

    :param model: the model's name at the server.
    :param messages: the conversation, oldest first; the last one is the user's.
    :param system: stable instructions; marked as a cache breakpoint when ``cache_system``.
    :param max_tokens: the most output tokens to generate.
    :param schema: a JSON schema the answer must follow (structured output), or ``None`` for prose.
    :param tools: what the model may call; each call is a block of its own, its input comes as
        :class:`Delta` of kind ``"json"``.
    :param tool_choice: ``"auto"``: the model decides; ``"any"``: it must call some tool;
        ``"none"``: it must not; else the name of the one it must call.
    :param parallel_tools: whether it may make several calls in one answer.
    :param effort: the API's effort setting (``"low"`` … ``"max"``), or ``None`` to leave it out.
    :param thinking: the API's thinking setting as it is sent, or ``None`` to leave it out.
    :param extra: further top-level fields of the body, sent as they are (sampling parameters,
        for servers that take them).
    :param purpose: for the ledger; not sent.
    :raises ValueError: for a choice of tool that ``tools`` does not have.
    """

    model: str
    messages: tuple[Message, ...]
    system: str = ""
    max_tokens: int = 400
    schema: Mapping[str, Any] | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: str = "auto"
    parallel_tools: bool = True
    effort: str | None = None
    thinking: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    cache_system: bool = True
    purpose: Purpose = Purpose.FOREGROUND

    def __post_init__(self) -> None:
        known = self.tool_choice in ("auto", "none") or (
            any(self.tool_choice in ("any", tool.name) for tool in self.tools)
        )
        if not known:
            have = ", ".join(tool.name for tool in self.tools) or "none"
            raise ValueError(f"tool_choice {self.tool_choice!r} is no tool of: {have}")

    @property
    def called(self) -> tuple[Tool, ...]:
        """The tools among which the model must call one; none where it may answer in words."""
        if self.tool_choice in ("auto", "none"):
            return ()
        return tuple(tool for tool in self.tools if self.tool_choice in ("any", tool.name))


@dataclass(frozen=True, slots=True)
class Block:
    """A block of the answer begins; its pieces are the :class:`Delta` of the same ``index``.

    ``kind`` is the API's word: ``text``, ``tool_use``, ``thinking`` … Pieces come of the first two
    only: what a model thinks, and what a server's own tools are asked and answer, is not part of
    the answer. Of a tool's call, ``name`` is the tool's and ``id`` the call's; both are empty
    where the server does not say.
    """

    index: int
    kind: str = "text"
    name: str = ""
    id: str = ""


@dataclass(frozen=True, slots=True)
class Delta:
    """A piece of the answer: ``kind`` is ``"text"``, or ``"json"`` for the input of a tool.

    ``index`` is the block it belongs to; blocks may be interleaved.
    """

    text: str
    kind: Literal["text", "json"] = "text"
    index: int = 0


@dataclass(frozen=True, slots=True)
class BlockEnd:
    """Nothing more comes of a block; a later one may have its ``index`` again."""

    index: int


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts as known so far; a field the server leaves out is ``None``.

    The API sends input counts when the message starts, and the true output count only at its
    end (until then it reads 1): ``final`` is true for the last one.
    """

    input: int | None = None
    output: int | None = None
    cache_read: int | None = None
    cache_write: int | None = None
    final: bool = False


@dataclass(frozen=True, slots=True)
class Stop:
    """The end of the answer and the API's reason (``end_turn``, ``max_tokens``, ``refusal`` …).

    ``detail`` is one line on a refusal, where the server gives one. ``whole``: the server has sent
    the answer in one plain body, though a stream was asked for.
    """

    reason: str
    detail: str = ""
    whole: bool = False


ModelEvent = Block | Delta | BlockEnd | Usage | Stop


class Model(Protocol):
    """A source of answers.

    ``stream`` is an async generator. Closing it (``aclose``, or cancelling the task that reads
    it) closes the connection before ``aclose`` returns, so that the server stops generating.
    It raises a :class:`ModelError` and nothing else when the server is at fault. A finished
    answer always ends with :class:`Stop`, and its blocks have ended before that.
    """

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """Answer a request, event by event."""
        ...

    async def aclose(self) -> None:
        """Close the door: no stream may be opened any more."""
        ...


class ModelError(ForetellError):
    """A model could not answer. ``str(error)`` is one line for a person: what, and what to do.

    ``kind`` is a stable word for programs and recordings.
    """

    kind = "model_error"


class ModelUnavailable(ModelError):
    """The server cannot be reached, or did not answer in time."""

    kind = "unavailable"


class ModelShut(ModelUnavailable):
    """It was not asked: the server has failed too often, and is given time."""

    kind = "shut"


class ModelRefusedKey(ModelError):
    """The server refuses the key (401 or 403)."""

    kind = "refused_key"


class ModelBadRequest(ModelError):
    """The server refuses the request as it is (400, 413, 422)."""

    kind = "bad_request"


class ModelNotFound(ModelError):
    """The server knows no such model or path (404)."""

    kind = "not_found"


class ModelOverloaded(ModelError):
    """The server asks for patience (429, 500, 503, 529); ``retry_after`` seconds, if it said."""

    kind = "overloaded"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelProtocolError(ModelError):
    """The answer is not what the Messages API sends (HTML, another JSON, an empty stream)."""

    kind = "protocol"


class ModelRefusal(ModelError):
    """The model declined to answer."""

    kind = "refusal"


class ModelInvalid(ModelError):
    """The answer is whole, but does not have the form that was asked for."""

    kind = "invalid"


class ModelTooDear(ModelError):
    """It was not asked: a budget is used up."""

    kind = "budget"


class ModelCut(ModelError):
    """The stream died before its end; what came before it is usable."""

    kind = "cut"
