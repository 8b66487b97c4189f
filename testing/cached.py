"""The shared cache of a simulated world: a server that outlives its processes, well or badly."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Collection
from typing import Any

import orjson

from ..sinks.store_news import Board
from ..sinks.store_server import MOST_BYTES, Garbled, Orjson

__all__ = ["URL", "CacheServer"]

URL = "redis://simulated"

RUBBISH = (b"{", b"[]", b"null", b'"words"', b'{"key":1}', b"[" * 900 + b"]" * 900, b" " * 300_000)


class Full(Exception):
    """It takes no writes."""


class CacheServer:
    """As much of a Redis as sessions ask for, on the loop's clock; it hangs on a word.

    ``mood`` is how it is: ``well``, ``slow``, ``hangs``, ``dead``, ``rubbish`` or ``full``; ``met``
    counts how often somebody met it so.
    """

    kind, where = "simulated", "simulated"
    garbage: tuple[type[Exception], ...] = (Garbled,)
    refusals: tuple[type[Exception], ...] = (Full,)

    def __init__(self, seed: int) -> None:
        self.mood = "well"
        self.met: Counter[str] = Counter()
        self._rng = random.Random(seed)
        self._json = Orjson(MOST_BYTES)
        self._kept: dict[str, bytes] = {}

    async def _asked(self) -> str:
        mood, rng = self.mood, self._rng
        self.met[mood] += 1
        match mood:
            case "hangs":
                await asyncio.get_running_loop().create_future()
            case "dead":
                raise ConnectionError("nobody listens")
            case "slow":
                await asyncio.sleep(rng.uniform(0.01, 0.1))
            case _:
                await asyncio.sleep(rng.uniform(0.0, 0.002))
        return mood

    async def get(self, name: str) -> Any:
        """See :class:`~foretell.sinks.store_server.Server`."""
        if await self._asked() == "rubbish":
            return self._json.loads(self._rng.choice(RUBBISH))
        return self._json.loads(self._kept.get(name))

    async def set(self, name: str, value: Any, seconds: float) -> None:
        """See :class:`~foretell.sinks.store_server.Server`; who asks knows how old a value is."""
        await self._write()
        self._kept[name] = orjson.dumps(value)

    async def delete(self, name: str) -> None:
        """See :class:`~foretell.sinks.store_server.Server`."""
        await self._write()
        self._kept.pop(name, None)

    async def _write(self) -> None:
        if await self._asked() == "full":
            raise Full("no more memory")

    async def get_and_hear(self, name: str, board: str, heard: int) -> tuple[Any, Board]:
        """No session has a board."""
        raise NotImplementedError

    async def hear(
        self, board: str, heard: int, words: Collection[bytes] | None, now: int
    ) -> Board:
        """No session has a board."""
        raise NotImplementedError

    async def forget_connections(self) -> None:
        """It has none."""

    async def aclose(self) -> None:
        """See :meth:`forget_connections`."""
