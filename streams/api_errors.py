"""What the SDK and HTTP report, as errors of ours: one line each, and no key in any of them."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .messages_api import one_line
from .models import (
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelNotFound,
    ModelOverloaded,
    ModelProtocolError,
    ModelRefusedKey,
    ModelUnavailable,
    Request,
)

if TYPE_CHECKING:
    import anthropic

__all__ = ["explain", "secrets_of", "shown"]


SHORTEST_SECRET = 4
SECRET_NAME = re.compile(r"auth|cookie|credential|key|password|secret|token(?!s)", re.IGNORECASE)


def shown(url: str) -> str:
    """``url`` as it may be shown, without what may be secret in it."""
    return re.sub(r"//[^/@]*@", "//", url).split("?")[0]


def secrets_of(client: anthropic.AsyncAnthropic, request: Request) -> list[str]:
    """What a request holds that may stand in no message: keys, and what is named like one."""
    headers = {name: value for name, value in client.default_headers.items() if value}
    found = [client.api_key, client.auth_token, *_secret(headers), *_secret(request.extra)]
    words = dict.fromkeys(
        word for each in found if each and each != "none" for word in (each, *each.split())
    )
    return sorted(words, key=lambda word: (-len(word), word))  # none is left in part


def _secret(value: Any, *, named: bool = False) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _secret(inner, named=named or bool(SECRET_NAME.search(str(name))))
    elif isinstance(value, list | tuple):
        for inner in value:
            yield from _secret(inner, named=named)
    elif named and isinstance(value, str):
        yield value


def _without(secrets: Sequence[str], text: str) -> str:
    text = "".join(c for c in " ".join(text.split()) if c.isprintable())  # no escape sequences
    for secret in secrets:
        if len(secret) >= SHORTEST_SECRET:  # a letter would mask half the words
            text = text.replace(secret, "***")
    return one_line(re.sub(r"\bsk-[\w-]{6,}", "***", text))


def explain(error: Exception, url: str, begun: bool, secrets: Sequence[str]) -> ModelError:
    """The error of ours that says in one line what went wrong, and what to do about it."""
    import anthropic
    import httpx2

    where = shown(url).rstrip("/")
    if isinstance(error, ModelError):
        error.args = (_without(secrets, str(error)),)
        return error
    if isinstance(error, anthropic.APIStatusError):
        return _status(error, where, secrets)
    cause = error.__cause__ if isinstance(error, anthropic.APIConnectionError) else error
    if begun:
        return ModelCut(
            f"the stream from {where} died before its end; what came before it is usable"
        )
    match cause:
        case httpx2.ConnectTimeout() | httpx2.ConnectError():
            return ModelUnavailable(
                f"cannot reach {where}: {_without(secrets, str(cause)) or 'timed out'}; "
                "is the server running, and the base URL right?"
            )
        case httpx2.TimeoutException():
            return ModelUnavailable(
                f"{where} did not answer in time; it may be overloaded or loading a model"
            )
        case httpx2.RemoteProtocolError() | httpx2.ReadError() | httpx2.WriteError():
            return ModelUnavailable(f"{where} closed the connection before it answered")
        case httpx2.DecodingError():
            return ModelProtocolError(f"{where} sends a body that cannot be decoded")
        case httpx2.HTTPError() | httpx2.StreamError() | httpx2.InvalidURL():
            return ModelUnavailable(
                f"cannot use {where}: {type(cause).__name__}; check the base URL"
            )
        case UnicodeError():
            return ModelBadRequest("the request has text that is not valid Unicode")
        case anthropic.AnthropicError():
            return ModelRefusedKey(f"the SDK finds no usable key: {_without(secrets, str(cause))}")
    return ModelError(
        f"asking {where} failed: {type(cause).__name__}: {_without(secrets, str(cause))}"
    )


def _status(error: anthropic.APIStatusError, where: str, secrets: Sequence[str]) -> ModelError:
    status = error.status_code
    said = _without(secrets, error.api_message or "")
    if not said:
        html = "html" in error.response.headers.get("content-type", "")
        said = "a web page instead of the API; check the base URL" if html else "no reason given"
    message = f"{where} answers {status}: {said}"
    match status:
        case 401 | 403:
            return ModelRefusedKey(f"{message}; set ANTHROPIC_API_KEY to a key this server takes")
        case 404:
            return ModelNotFound(f"{message}; check the model's name and the base URL")
        case 429 | 500 | 503 | 529:
            return ModelOverloaded(message, _retry_after(error))
        case _ if 400 <= status < 500 and status != 408:
            return ModelBadRequest(message)
    return ModelUnavailable(message)


def _retry_after(error: anthropic.APIStatusError) -> float | None:
    headers = error.response.headers
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        with contextlib.suppress(ValueError):
            if (seconds := float(headers.get(name, "")) * unit) >= 0:
                return seconds
    return None
