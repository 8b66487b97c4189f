"""Memcached as the server that processes share."""

from __future__ import annotations

import math
from collections.abc import Collection
from functools import partial
from typing import Any

import orjson

from ..errors import ConfigError
from .store_news import BORN, LONGEST, MOST_WORDS, Board
from .store_server import MONTH, Garbled, GarbledBoard, Orjson

__all__ = ["Memcached"]

TRIES = 8
POOL = 4
LARGEST = MOST_WORDS * (2 * LONGEST + 40)
"""Bytes of a board: a word is JSON within JSON."""
ITEM = 900_000
"""So many a Memcached is sure to take: 1 MB with its own, if it is not told otherwise."""


class Memcached:
    """Memcached: whole seconds. A cancelled call leaves its answer in the connection."""

    kind = "memcached"
    garbage: tuple[type[Exception], ...] = (Garbled, GarbledBoard)
    refusals: tuple[type[Exception], ...] = ()

    def __init__(self, host: str, port: int, most: int, prefix: str) -> None:
        try:
            from aiocache import MemcachedCache  # type: ignore[import-untyped]
        except ImportError:
            raise ConfigError(
                "cache_url: aiomcache is not installed: pip install 'foretell[memcached]'"
            ) from None
        self.where = f"{host}:{port}"
        self._prefix = prefix
        self._serializer = Orjson(most)
        self._cache: Any = MemcachedCache(
            endpoint=host,
            port=port,
            pool_size=POOL,
            serializer=self._serializer,
            namespace="",
            timeout=0,
        )
        self._cache.client = _client(host, port)

    async def get(self, name: str) -> Any:
        """See :class:`Server`."""
        return await self._cache.get(self._prefix + name)

    async def get_and_hear(self, name: str, board: str, heard: int) -> tuple[Any, Board]:
        """See :class:`Server`."""
        keys = [f"{self._prefix}{each}".encode() for each in (board, name)]
        said, raw = await self._cache.client.multi_get(*keys)
        return self._serializer.loads(raw), _heard(_words(board, said), heard)

    async def hear(
        self, board: str, heard: int, words: Collection[bytes] | None, now: int
    ) -> Board:
        """See :class:`Server`."""
        client, key = self._cache.client, f"{self._prefix}{board}".encode()
        for _ in range(TRIES):
            raw, token = await client.gets(key)
            known = _words(board, raw)
            if words is None or (known and not words):
                return _heard(known, heard)
            number = max([now, *(last + 1 for _, last in known[-1:])])
            known = known or [(BORN, number)]
            answer = _heard(known, heard)
            known = [each for each in known if each[0] not in words]
            known = [*known, *((word, number) for word in words)][-MOST_WORDS:]
            while len(written := _written(known)) > ITEM and len(known) > 1:
                known = known[1 + len(known) // 8 :]
            putting = client.add if raw is None else partial(client.cas, cas_token=token)
            if await putting(key, written, exptime=MONTH):
                return Board(known[0][1], number, answer.words)
        raise OSError(f"others were quicker {TRIES} times")

    async def set(self, name: str, value: Any, seconds: float) -> None:
        """See :class:`Server`."""
        await self._cache.set(self._prefix + name, value, ttl=min(MONTH, math.ceil(seconds)))

    async def delete(self, name: str) -> None:
        """See :class:`Server`."""
        await self._cache.delete(self._prefix + name)

    async def forget_connections(self) -> None:
        """See :class:`Server`."""
        await self._cache.client.close()

    async def aclose(self) -> None:
        """See :class:`Server`."""
        await self._cache.client.close()


def _client(host: str, port: int) -> Any:
    """The client, but that a write to a server that closes the connection ends: its own never did.

    It held up the whole loop, for it read on at the end of the stream, and never waited.
    """
    from aiomcache import Client

    class Answered(Client):
        async def _execute_simple_command(self, conn: Any, raw_command: bytes) -> bytes:
            conn.writer.write(raw_command)
            await conn.writer.drain()
            line: bytes = await conn.reader.readline()
            if not line.endswith(b"\r\n"):
                raise ConnectionError("it has closed the connection")
            return line[:-2]

    return Answered(host, port, pool_size=POOL)


def _words(board: str, raw: bytes | None) -> list[tuple[bytes, int]]:
    """The words of a board, the oldest first. It is one value, that is compared and swapped."""
    try:
        if len(raw or b"") > LARGEST or len(words := orjson.loads(raw or b"[]")) > MOST_WORDS:
            raise ValueError("more in it than a board has")
        return [(str(word).encode(), int(number)) for word, number in words]
    except (ValueError, TypeError, OverflowError) as error:
        raise GarbledBoard(board, error) from None


def _written(words: list[tuple[bytes, int]]) -> bytes:
    return orjson.dumps([(word.decode(), last) for word, last in words])


def _heard(words: list[tuple[bytes, int]], heard: int) -> Board:
    least, last = (words[0][1], words[-1][1]) if words else (0, 0)
    return Board(least, 0, [each for each in words if each[1] > heard or last < heard])
