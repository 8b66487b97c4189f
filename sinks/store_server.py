"""The servers a shared cache may be, behind ``aiocache``'s back ends."""

from __future__ import annotations

import math
import re
from typing import Any, Protocol
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

import orjson
from aiocache.serializers import BaseSerializer  # type: ignore[import-untyped]

from ..errors import ConfigError
from .store_entry import FORMAT

__all__ = ["MOST_BYTES", "PREFIX", "Server", "open_server"]

PREFIX = f"foretell:{FORMAT}:"
"""What all our keys begin with: nobody else's are touched, nor those of another version."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

MOST_BYTES = 256 * 1024
MONTH = 30 * 24 * 3600
"""Memcached takes more seconds than these for a date."""


class _Orjson(BaseSerializer):  # type: ignore[misc]
    """JSON, and nothing that could run: what another process wrote is data."""

    DEFAULT_ENCODING = None

    def __init__(self, most: int = MOST_BYTES) -> None:
        super().__init__()
        self._most = most

    def dumps(self, value: Any) -> bytes:
        return orjson.dumps(value)

    def loads(self, value: bytes | None) -> Any:
        if value is None:
            return None
        if len(value) > self._most:  # to read it would hold up the loop
            raise ValueError(f"it has more than {self._most} bytes")
        return orjson.loads(value)


class Server(Protocol):
    """What is asked of a server. Its calls wait as long as they like, and raise what they like.

    ``garbage`` are the errors that speak of one key, and not of the server; ``refusals`` those by
    which it answers that it takes no writes.
    """

    kind: str
    where: str
    garbage: tuple[type[Exception], ...]
    refusals: tuple[type[Exception], ...]

    async def get(self, name: str) -> Any:
        """The value, or ``None``."""
        ...

    async def set(self, name: str, value: Any, seconds: float) -> None:
        """Keep a value for so long."""
        ...

    async def delete(self, name: str) -> None:
        """Forget a value."""
        ...

    async def forget_connections(self) -> None:
        """Close those that nobody uses now."""
        ...

    async def aclose(self) -> None:
        """Close all."""
        ...


def open_server(url: str, limit: float, most: int = MOST_BYTES) -> Server:
    """The server at a URL; no connection is made yet.

    :param limit: seconds to connect in.
    :param most: bytes of a value; a larger one is not read.
    :raises ConfigError: for a URL that is none, or if the client for it is not installed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"cache_url: {error}") from None
    prefix = _prefix(parts.query)
    if parts.scheme in ("redis", "rediss") and parts.hostname:
        return _Redis(parts, parts.hostname, port or 6379, limit, most, prefix)
    if parts.scheme == "memcached" and parts.hostname:
        return _Memcached(parts.hostname, port or 11211, most, prefix)
    raise ConfigError(
        "cache_url: not the URL of a cache: use redis://host:port/0, rediss://… or "
        "memcached://host:port"
    )


def _prefix(query: str) -> str:
    """What the keys of a game begin with; ``name`` keeps those of several on one server apart."""
    try:
        known = parse_qs(query, strict_parsing=True, max_num_fields=1) if query else {}
    except ValueError:
        known = {"": []}
    names = known.get("name", [])
    if any(name != "name" for name in known) or not all(map(NAME.fullmatch, names)):
        raise ConfigError("cache_url: after ? is nothing but name=…, of letters, digits, - _ and .")
    return f"{PREFIX}{names[0]}:" if names else PREFIX


class _Redis:
    """Redis. ``aiocache``'s ``clear()`` would empty its whole database: it is never called."""

    kind = "redis"

    def __init__(
        self, parts: SplitResult, host: str, port: int, limit: float, most: int, prefix: str
    ) -> None:
        try:
            from aiocache import RedisCache  # type: ignore[import-untyped]
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import DataError, ResponseError
        except ImportError:
            raise ConfigError(
                "cache_url: redis is not installed: pip install 'foretell[redis]'"
            ) from None
        database = parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise ConfigError(f"cache_url: {database!r} is not the number of a Redis database")
        self.where = f"{host}:{port}/{database}"
        self.garbage: tuple[type[Exception], ...] = (ValueError, DataError, _WrongType)
        self.refusals: tuple[type[Exception], ...] = (ResponseError,)
        self._prefix = prefix
        self._most = most
        self._serializer = _Orjson(most)
        self._cache: Any = RedisCache(
            endpoint=host,
            port=port,
            db=int(database),
            password=unquote(parts.password) if parts.password else None,
            ssl=parts.scheme == "rediss",
            create_connection_timeout=limit,
            serializer=self._serializer,
            namespace="",
            timeout=0,
            connection_pool_kwargs={
                "username": unquote(parts.username) if parts.username else None,
                "retry": Retry(NoBackoff(), 0),
            },
        )

    async def get(self, name: str) -> Any:
        try:  # no more than may be read is sent: what others put there may be of any size
            raw = await self._cache.client.getrange(self._prefix + name, 0, self._most)
        except self.refusals as error:
            if str(error).startswith("WRONGTYPE"):
                raise _WrongType(str(error)) from None
            raise
        return self._serializer.loads(raw or None)

    async def set(self, name: str, value: Any, seconds: float) -> None:
        await self._cache.set(self._prefix + name, value, ttl=max(0.001, float(seconds)))

    async def delete(self, name: str) -> None:
        await self._cache.delete(self._prefix + name)

    async def forget_connections(self) -> None:
        await self._cache.client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        await self._cache.client.aclose()  # the cache's own close() is deprecated by redis


class _WrongType(Exception):
    """Under the key is something else than a string."""


class _Memcached:
    """Memcached: whole seconds. A cancelled call leaves its answer in the connection."""

    kind = "memcached"
    garbage: tuple[type[Exception], ...] = (ValueError,)
    refusals: tuple[type[Exception], ...] = ()

    def __init__(self, host: str, port: int, most: int, prefix: str) -> None:
        try:
            from aiocache import MemcachedCache
        except ImportError:
            raise ConfigError(
                "cache_url: aiomcache is not installed: pip install 'foretell[memcached]'"
            ) from None
        self.where = f"{host}:{port}"
        self._prefix = prefix
        self._cache: Any = MemcachedCache(
            endpoint=host,
            port=port,
            pool_size=4,
            serializer=_Orjson(most),
            namespace="",
            timeout=0,
        )

    async def get(self, name: str) -> Any:
        return await self._cache.get(self._prefix + name)

    async def set(self, name: str, value: Any, seconds: float) -> None:
        await self._cache.set(self._prefix + name, value, ttl=min(MONTH, math.ceil(seconds)))

    async def delete(self, name: str) -> None:
        await self._cache.delete(self._prefix + name)

    async def forget_connections(self) -> None:
        await self._cache.client.close()

    async def aclose(self) -> None:
        await self._cache.client.close()
