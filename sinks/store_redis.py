"""Redis as the server that processes share."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import SplitResult, unquote

from ..errors import ConfigError
from .store_news import BORN, LONGEST, MOST_WORDS, Board
from .store_redis_parser import bounded_parser
from .store_server import MONTH, Garbled, GarbledBoard, Orjson

__all__ = ["Redis"]


HEAR = f"""
local key, heard, most = KEYS[1], ARGV[1], tonumber(ARGV[2])
local told, number = ARGV[4] == 'tell', '0'
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
if told and (#ARGV > 4 or not first) then
    local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
    number = string.format('%.0f', math.max(now, (last or 0) + 1))
    if not first then redis.call('ZADD', key, number, '{BORN.decode()}') end
end
local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')[2]
if last and tonumber(last) < tonumber(heard) then heard = '-inf' end
local words = redis.call('ZRANGEBYSCORE', key, '(' .. heard, '+inf',
    'WITHSCORES', 'LIMIT', 0, most + 1)
if number ~= '0' then
    for i = 5, #ARGV do redis.call('ZADD', key, number, ARGV[i]) end
    redis.call('ZREMRANGEBYRANK', key, 0, -1 - most)
    redis.call('EXPIRE', key, ARGV[3])
    first = redis.call('ZRANGE', key, 0, 0, 'WITHSCORES')[2]
end
return {{first or '0', number, words, string.format('%.0f', now)}}
"""
"""A board is a sorted set. By one clock, the server's; all at once, as every script."""


class Redis:
    """Redis. ``aiocache``'s ``clear()`` would empty its whole database: it is never called."""

    kind = "redis"

    def __init__(
        self, parts: SplitResult, host: str, port: int, limit: float, most: int, prefix: str
    ) -> None:
        try:
            from aiocache import RedisCache  # type: ignore[import-untyped]
            from redis.asyncio.retry import Retry
            from redis.backoff import NoBackoff
            from redis.exceptions import ResponseError

            parser_class = bounded_parser(most + 2 * LONGEST * MOST_WORDS)
        except ImportError:
            raise ConfigError(
                "cache_url: redis is not installed: pip install 'foretell[redis]'"
            ) from None
        database = parts.path.strip("/") or "0"
        if not database.isdecimal():
            raise ConfigError(f"cache_url: {database!r} is not the number of a Redis database")
        self.where = f"{host}:{port}/{database}"
        self.garbage: tuple[type[Exception], ...] = (Garbled, _WrongType, GarbledBoard)
        self.refusals: tuple[type[Exception], ...] = (ResponseError,)
        self._prefix = prefix
        self._most = most
        self._serializer = Orjson(most)
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
                "parser_class": parser_class,
            },
        )

    async def get(self, name: str) -> Any:
        """See :class:`Server`."""
        try:  # no more than may be read is sent: what others put there may be of any size
            raw = await self._cache.client.getrange(self._prefix + name, 0, self._most)
        except self.refusals as error:
            raise _meant(error) from None
        return self._serializer.loads(raw or None)

    async def get_and_hear(self, name: str, board: str, heard: int) -> tuple[Any, Board]:
        """See :class:`Server`."""
        pipe = self._cache.client.pipeline(transaction=False)
        pipe.eval(HEAR, 1, self._prefix + board, heard, MOST_WORDS, MONTH, "hear")
        pipe.getrange(self._prefix + name, 0, self._most)
        said, raw = await pipe.execute(raise_on_error=False)
        if isinstance(raw, Exception):
            raise _meant(raw)
        return self._serializer.loads(raw or None), _board(board, said)

    async def hear(
        self, board: str, heard: int, words: Collection[bytes] | None, now: int
    ) -> Board:
        """See :class:`Server`."""
        how = ("hear",) if words is None else ("tell", *words)
        try:
            said = await self._cache.client.eval(
                HEAR, 1, self._prefix + board, heard, MOST_WORDS, MONTH, *how
            )
        except self.refusals as error:
            said = error
        return _board(board, said)

    async def set(self, name: str, value: Any, seconds: float) -> None:
        """See :class:`Server`."""
        await self._cache.set(self._prefix + name, value, ttl=max(0.001, float(seconds)))

    async def delete(self, name: str) -> None:
        """See :class:`Server`."""
        await self._cache.delete(self._prefix + name)

    async def forget_connections(self) -> None:
        """See :class:`Server`."""
        await self._cache.client.connection_pool.disconnect(inuse_connections=False)

    async def aclose(self) -> None:
        """See :class:`Server`."""
        await self._cache.client.aclose()  # the cache's own close() is deprecated by redis


class _WrongType(Exception):
    """Under the key is something else than a string."""


def _meant(error: Exception) -> Exception:
    return _WrongType(str(error)) if "WRONGTYPE" in str(error) else error


def _board(board: str, said: Any) -> Board:
    if isinstance(said, Exception):
        raise GarbledBoard(board, said) if isinstance(_meant(said), _WrongType) else said
    try:
        least, number, words, now = said
        pairs = zip(words[::2], words[1::2], strict=True)
        heard = [(word, int(last)) for word, last in pairs]
        return Board(int(least), int(number), heard, int(now))
    except (ValueError, TypeError) as error:  # somebody else's numbers
        raise GarbledBoard(board, error) from None
