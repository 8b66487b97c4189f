"""Who may ask, and how much: what stands before the application, whatever it serves."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from urllib.parse import urlsplit

import orjson

from ..streams.listener import App, Receive, Scope, Send, is_loopback
from .errors import Refused

__all__ = ["Guard", "Limits"]

log = logging.getLogger("foretell")

HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")
FREE = ("/healthz",)
"""Paths that are answered without the token: they tell and do nothing."""

FAULT = "a fault of foretell's own; what it said on standard error says which"

HEADERS = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"cross-origin-resource-policy", b"same-origin"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """How much one request may ask for.

    ``body``: bytes; ``depth``: of JSON in JSON; ``receive``: seconds until its body is here;
    ``answer``: seconds from there to the beginning of its answer.
    """

    body: int = 1024 * 1024
    depth: int = 64
    receive: float = 10.0
    answer: float = 60.0


class Guard:
    """An ASGI application before another, which lets in only what that one may have to do with.

    - Host must be a name of this machine's: a web page whose own name is bound anew to this address
      (DNS rebinding) is refused. So is what a page of another origin sends, images and links too.
    - With a token, all but ``/healthz`` is for those who have it.
    - A body must be JSON, and within the limits; the application is called when it is here.
    - What the application fails with is said in one line, here and to the client.

    :param token: asked for as ``Authorization: Bearer``.
    :param loopback: it listens for this machine only; else any address is a name of it.
    :param names: further names by which it is reached, in lower case.
    """

    def __init__(
        self,
        app: App,
        token: str | None = None,
        *,
        loopback: bool = True,
        names: Collection[str] = (),
        limits: Limits | None = None,
    ) -> None:
        self._app = app
        self._token = token
        self._loopback = loopback
        self._names = frozenset(names)
        self._limits = limits or Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, as ASGI has it."""
        if scope["type"] != "http":
            return
        begun = False
        within: asyncio.Timeout | None = None

        async def sending(message: Any) -> None:
            nonlocal begun
            if message["type"] == "http.response.start":
                begun = True
                if within is not None:
                    within.reschedule(None)  # what is told for long is not late
                own = {name.lower() for name, _ in message["headers"]}
                more = [header for header in HEADERS if header[0] not in own]
                message["headers"] = [*message["headers"], *more]
            await send(message)

        headers = {name.decode("latin-1"): v.decode("latin-1") for name, v in scope["headers"]}
        try:
            self._check(scope, headers)
            body = await self._body(headers, receive)
            try:
                async with asyncio.timeout(self._limits.answer) as within:
                    await self._app(scope, _again(body, receive), sending)
            except TimeoutError:
                if within is None or not within.expired():
                    raise
                raise Refused(503, "it took too long; ask again", {"retry-after": "5"}) from None
            finally:
                within = None
        except Refused as refused:
            await _refuse(refused, sending)
        except Exception as error:
            if os.environ.get("FORETELL_DEBUG"):
                log.exception("%s %s", scope["method"], scope["path"])
            else:
                where = f"{scope['method']} {scope['path'][:60]!r}"
                log.error("%s: %s: %s", where, type(error).__name__, error)  # noqa: TRY400
            if not begun:
                await _refuse(Refused(500, FAULT), sending)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        self._check_host([v for name, v in scope["headers"] if name == b"host"])
        site = headers.get("sec-fetch-site", "none")
        if site not in {"none", "same-origin"} or not _own(headers):
            raise Refused(403, "pages of other origins may not ask here")
        if self._token is not None and scope["path"] not in FREE:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            right = compare_digest(given.strip().encode(), self._token.encode())
            if scheme.lower() != "bearer" or not right:
                what = "give the token: Authorization: Bearer TOKEN"
                raise Refused(401, what, {"www-authenticate": "Bearer"})

    def _check_host(self, hosts: list[bytes]) -> None:
        found = HOST.fullmatch(hosts[0].decode("latin-1")) if len(hosts) == 1 else None
        name = found[1].strip("[]").lower().rstrip(".") if found else ""
        if not found or not (is_loopback(name) or name in self._names or self._reached(name)):
            raise Refused(403, "Host: is no name of this server; --allow-host NAME adds one")

    def _reached(self, name: str) -> bool:
        """Whether it is an address: those cannot be bound to another, as names can."""
        return not self._loopback and (":" in name or re.fullmatch(r"[\d.]+", name) is not None)

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        """The body, whole, if it may be; of one too large the rest is read, for it is answered."""
        most = self._limits.body
        refused = Refused(413, f"body: is larger than {most:,} bytes", {"connection": "close"})
        length = headers.get("content-length", "0")
        large = len(length) > 15 or int(length) > most
        if large and "expect" in headers:
            raise refused
        raw = bytearray()
        try:
            async with asyncio.timeout(self._limits.receive):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise Refused(400, "the client left before its request was whole")
                    more = message.get("more_body", False)
                    raw += message.get("body", b"")
                    large = large or len(raw) > most
                    if large:
                        raw.clear()
        except TimeoutError:
            if not large:
                raise Refused(408, "body: comes too slowly", {"connection": "close"}) from None
        if large:
            raise refused
        if raw:
            self._check_json(headers.get("content-type", ""), raw)
        return bytes(raw)

    def _check_json(self, kind: str, raw: bytearray) -> None:
        if kind.partition(";")[0].strip().lower() != "application/json":
            raise Refused(415, "Content-Type: must be application/json")
        try:
            whole = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise Refused(400, f"body: is no JSON: {error}") from None
        level = [whole] if isinstance(whole, dict | list) else []
        for _ in range(self._limits.depth):
            level = [each for value in level for each in _within(value)]
            if not level:
                return
        raise Refused(422, f"body: is nested deeper than {self._limits.depth}")


def _within(value: dict[str, Any] | list[Any]) -> Iterable[Any]:
    inner = value.values() if isinstance(value, dict) else value
    return [each for each in inner if isinstance(each, dict | list)]


def _own(headers: dict[str, str]) -> bool:
    """Whether it comes from a page of this server's, or of none."""
    origin = headers.get("origin")
    if origin is None:
        return True
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and parts.netloc.lower() == headers["host"].lower()


def _again(body: bytes, receive: Receive) -> Receive:
    """What was received, once more; then what comes after it."""
    told = False

    async def received() -> Any:
        nonlocal told
        if told:
            return await receive()
        told = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


async def _refuse(refused: Refused, send: Send) -> None:
    body = orjson.dumps(refused.body())
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    headers += [(name.encode(), value.encode()) for name, value in refused.headers.items()]
    await send({"type": "http.response.start", "status": refused.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
