"""What a recording says of model streams: how requests are told apart, and how errors are kept."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any

import orjson

from . import models
from .models import ModelError, ModelEvent, Request, Stop, Usage

__all__ = ["described", "digest", "error_of", "event_of", "without_paths"]

ADDRESS = re.compile(
    r"""(https?://)(?:[^\s/@]*@)?([^\s/?#]*)(?:[/?#]\S*?(?=[.,:;)\]'"]*(?:\s|$)))?""", re.IGNORECASE
)
"""Scheme, user, host with port, and the rest up to the punctuation of the sentence around it."""

KINDS: Mapping[str, type[ModelError]] = {
    each.kind: each
    for each in vars(models).values()
    if isinstance(each, type) and issubclass(each, ModelError)
}
UNSENT = ("purpose",)


def digest(request: Request) -> str:
    """The fingerprint of what a server is sent: 16 hex digits.

    It is equal for requests that say the same: blanks and the order of keys do not count.
    """
    sent = {name: getattr(request, name) for name in request.__slots__ if name not in UNSENT}
    raw = orjson.dumps(sent, default=_plain, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    if b"  " in raw:  # no other blanks are left as they are in JSON
        raw = b" ".join(raw.split())
    return hashlib.blake2b(raw, digest_size=8).hexdigest()


def _plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else repr(value)


def without_paths(text: str) -> str:
    """A text in which of each address only scheme, host and port are left: a path may be secret."""
    return ADDRESS.sub(r"\1\2", text)


def described(error: ModelError) -> dict[str, Any]:
    """An error as fields of a ``~error`` line, with nothing of an address that may be secret."""
    later = getattr(error, "retry_after", None)
    return {
        "error": error.kind,
        "text": without_paths(str(error)),
        **({"retry_after": later} if later is not None else {}),
    }


def error_of(line: Mapping[str, Any]) -> ModelError:
    """The error a ``~error`` line holds."""
    kind = KINDS.get(str(line.get("error")), ModelError)
    error = kind(str(line.get("text", "")))
    if "retry_after" in line:
        error.retry_after = line["retry_after"]  # type: ignore[attr-defined]
    return error


def event_of(line: Mapping[str, Any]) -> ModelEvent:
    """The event a ``~chunk``, ``~usage`` or ``~stop`` line holds."""
    if line["kind"] == "~chunk":
        return models.Delta(line["text"])
    if line["kind"] == "~stop":
        return Stop(line["reason"], whole=bool(line.get("whole")))
    return Usage(**{name: line[name] for name in Usage.__slots__ if name in line})
