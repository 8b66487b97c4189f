"""Errors as every answer has them: ``{"type": "error", "error": {"type": …, "message": …}}``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from ..sinks.terminal import plain

__all__ = ["ErrorBody", "Refused", "sentence"]

LONGEST = 300
"""Characters of a message: what is wrong, without the whole of it."""

KINDS = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "timeout",
    413: "too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    503: "unavailable",
}


class ErrorWords(BaseModel):
    """A stable word, and a sentence for people."""

    model_config = ConfigDict(extra="forbid")

    type: str
    message: str


class ErrorBody(BaseModel):
    """The body of every answer that is an error."""

    model_config = ConfigDict(extra="forbid")

    type: Literal["error"]
    error: ErrorWords


class Refused(Exception):
    """A request is not answered: the status, why, and headers to say so."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.headers = dict(headers or {})

    def body(self) -> dict[str, Any]:
        """The answer's JSON."""
        message = " ".join(plain(str(self)).split())
        if len(message) > LONGEST:
            message = f"{message[: LONGEST - 3]}..."
        error = {"type": KINDS.get(self.status, "failed"), "message": message}
        return {"type": "error", "error": error}


def sentence(errors: Sequence[Any]) -> str:
    """What is wrong with a request, of all that pydantic found: the first."""
    where = [str(part) for part in errors[0]["loc"]]
    what = str(errors[0]["msg"]).removeprefix("Value error, ")
    return f"{'.'.join(where) or 'request'}: {what[:1].lower()}{what[1:]}"
