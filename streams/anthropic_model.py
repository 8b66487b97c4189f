"""The door to real models: the Messages API through the ``anthropic`` SDK.

With ``base_url`` it reaches every server that speaks the API: Ollama, llama.cpp, vLLM, LiteLLM,
the narrator. The SDK makes the request; the stream's raw bytes are read here, because closing an
SDK stream half-way leaves its decoders to the garbage collector, and its typed events cost more
than the tokens they carry.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import ipaddress
import logging
import os
import re
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .answer import Answer
from .api_errors import explain, secrets_of, shown
from .closing import to_the_end
from .messages_api import body_of, one_line
from .models import ModelEvent, ModelRefusedKey, ModelUnavailable, Request, Stop

if TYPE_CHECKING:
    import anthropic

__all__ = ["AnthropicModel", "body_of"]

_NO_KEY = (
    "no key: set ANTHROPIC_API_KEY, or give --base-url of a server that needs none "
    "(foretell narrator, Ollama, llama.cpp)"
)
_KEEPALIVE = 30.0

log = logging.getLogger("foretell")


class AnthropicModel:
    """Models behind the ``anthropic`` SDK; each stream is one HTTP connection while it lasts.

    The SDK is imported when first needed, in a thread, as that takes over a second; :meth:`warm`
    does it ahead of time. Its own retries are off. Closing or cancelling a stream closes its
    connection before it returns, however often the task is cancelled.

    :param base_url: the server; else ``ANTHROPIC_BASE_URL``, else Anthropic's.
    :param api_key: the key; else the SDK's own sources (``ANTHROPIC_API_KEY``,
        ``ANTHROPIC_AUTH_TOKEN``, profiles). A ``base_url`` of your own needs none.
    :param timeout: seconds of silence, before or within an answer, after which it is given up.
    :param connect_timeout: seconds to reach the server.
    :param client: a client of your own, used with its retries off and not closed here; the other
        arguments are then not used.
    """

    def __init__(
        self,
        base_url: str | None = None,
        api_key: str | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 5.0,
        client: anthropic.AsyncAnthropic | None = None,
    ) -> None:
        self._base_url = base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
        self._api_key = api_key or None
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._given = client
        self._client: anthropic.AsyncAnthropic | None = None
        self._making = asyncio.Lock()
        self._said_whole = False

    def __repr__(self) -> str:
        return f"AnthropicModel({shown(self._base_url or 'api.anthropic.com')})"

    @property
    def endpoint(self) -> tuple[str, Any]:
        """The server and a digest of the key: who shares both shares its limits."""
        if self._given is not None:
            return str(self._given.base_url), weakref.ref(self._given)
        key = self._api_key or os.environ.get("ANTHROPIC_API_KEY", "")
        return self._base_url or "", hashlib.sha256(key.encode()).hexdigest()

    async def warm(self) -> None:
        """Import the SDK and make the client now, so that the first request does not wait for it.

        :raises ModelError: when there is no key, or the base URL is none.
        """
        if self._client is None:
            async with self._making:
                if self._client is None:
                    self._client = await asyncio.to_thread(self._make)

    def _make(self) -> anthropic.AsyncAnthropic:
        import anthropic
        import httpx2

        if self._given is not None:
            return self._given.with_options(max_retries=0)
        base_url, key = self._base_url, self._api_key
        if base_url is not None and not re.match(r"https?://[^/\s]", base_url):
            raise ModelUnavailable(
                f"base URL {shown(base_url)!r} must begin with http:// or https://"
            )
        if key is not None and not re.fullmatch(r"[!-~]+", key):
            raise ModelRefusedKey(
                "the key has characters no key has (spaces, line ends); copy it again"
            )
        static = os.environ.get("ANTHROPIC_API_KEY") or os.environ.get("ANTHROPIC_AUTH_TOKEN")
        if base_url is not None and key is None and not static:
            key = "none"
        local = base_url is not None and _is_loopback(base_url)
        make = httpx2.AsyncClient if local else anthropic.DefaultAsyncHttpxClient
        http = make(
            timeout=httpx2.Timeout(self._timeout, connect=self._connect_timeout),
            limits=httpx2.Limits(
                max_connections=1000, max_keepalive_connections=100, keepalive_expiry=_KEEPALIVE
            ),
            follow_redirects=True,
            trust_env=not local,  # a proxy outside cannot reach this machine's loopback
        )
        try:
            client = anthropic.AsyncAnthropic(
                base_url=base_url, api_key=key, max_retries=0, http_client=http,
                timeout=httpx2.Timeout(self._timeout, connect=self._connect_timeout),
            )  # fmt: skip
        except anthropic.AnthropicError as error:
            raise ModelRefusedKey(f"the SDK finds no usable key: {one_line(str(error))}") from None
        if client.api_key is None and client.auth_token is None and client.credentials is None:
            raise ModelRefusedKey(_NO_KEY)
        return client

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """The answer to ``request``, as it comes.

        :raises ModelError: one of its kinds, for whatever the server or the way to it does wrong.
        """
        await self.warm()
        client = self._client
        assert client is not None
        answer = Answer()
        body = body_of(request)
        known = {name: body.pop(name) for name in ("model", "max_tokens", "messages")}
        create: Any = client.messages.create
        close: list[Callable[[], Awaitable[None]]] = []
        try:
            stream = await create(**known, stream=True, extra_body=body)
            close.append(stream.close)
            chunks = stream.response.aiter_bytes()
            close.append(chunks.aclose)
            async for chunk in chunks:
                for event in answer.feed(chunk):
                    yield event
                if answer.complete:
                    await _drained(chunks)
                    break
            for event in answer.end():
                if isinstance(event, Stop) and event.whole:
                    self._say_whole(str(client.base_url))
                yield event
        except Exception as error:
            secrets = secrets_of(client, request)
            raise explain(error, str(client.base_url), answer.begun, secrets) from None
        finally:
            for closing in reversed(close):
                await to_the_end(closing())

    def _say_whole(self, url: str) -> None:
        """Say once that this server does not stream."""
        if not self._said_whole:
            self._said_whole = True
            log.warning(
                "%s answers a request for a stream with one plain body: each text is told whole, "
                "when all of it is written",
                shown(url),
            )

    async def aclose(self) -> None:
        """Close every connection. Streams still open end with :class:`ModelCut`."""
        client, self._client = self._client, None
        if client is not None and self._given is None:
            await to_the_end(client.close())


async def _drained(chunks: AsyncGenerator[bytes, None]) -> None:
    """Read the few bytes after the last event, so that the connection can serve again."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            async for _ in chunks:
                pass


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
