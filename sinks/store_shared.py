"""The cold layer's cache as a server that several processes share: Redis or Memcached.

It is a convenience, never a need. A server that is not there, dies, hangs or answers rubbish
costs a look-up its time limit once, is a miss, is logged once, and is asked again a while later.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import orjson

from ..streams.tasks import Tasks
from .store_server import MOST_BYTES, Server, open_server

__all__ = ["SharedCold"]

log = logging.getLogger("foretell")

T = TypeVar("T")

LIMIT = 0.04
"""Seconds; with what the loop itself takes, a look-up costs less than 50 ms."""

AT_ONCE = 4
MOST_WAITING = 256
WRITING = 4
"""A write may take so many times as long as a look-up, for nobody waits for it."""

FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class SharedCold:
    """``aiocache`` before a server. All it keeps or drops is written behind, the latest by name.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://…`` or
        ``memcached://host[:port]``.
    :param limit: seconds a look-up may take.
    :param most: bytes a record may have; a larger one is neither written nor read.
    :param wall: seconds by a clock that all processes share; a record is as old in each of them.
    :raises ConfigError: for another URL, or if the client for it is not installed.
    """

    shared = True

    def __init__(
        self,
        url: str,
        *,
        wall: Callable[[], float],
        limit: float = LIMIT,
        most: int = MOST_BYTES,
    ) -> None:
        self._server: Server = open_server(url, limit, most)
        self._most = most
        self._wall = wall
        self._limit = limit
        self._waiting: dict[str, tuple[dict[str, Any] | None, float]] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._tasks = Tasks(lambda name, error: log.error("shared cache: %r", error))
        self._met: Counter[str] = Counter()
        self._pause = 0.0
        self._again = -math.inf
        self._garbled = False
        self._refused = False
        self._tainted = False
        self._writing = False
        self._closed = False
        self._settled = asyncio.Event()
        """Nothing waits to be written, or the server does not answer."""

    def __repr__(self) -> str:
        return f"<SharedCold {self._server.where} [{'up' if self.answers else 'down'}]>"

    @property
    def answers(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._pause == 0.0

    def described(self) -> dict[str, Any]:
        """What it is and what it has met, as JSON; no password."""
        return {
            "kind": self._server.kind,
            "where": self._server.where,
            "answers": self.answers,
            "waiting": len(self._waiting),
            "met": dict(self._met),
        }

    def keep(self, name: str, record: dict[str, Any], seconds: float) -> None:
        """Keep a record for so long, as soon as the server takes it."""
        record = {**record, "until": self._wall() + seconds}
        if len(orjson.dumps(record)) > self._most:
            self._met["too large"] += 1
        elif seconds > 0:
            self._behind(name, record, seconds)

    def drop(self, name: str) -> None:
        """Forget a record."""
        self._behind(name, None, 0.0)

    def at_hand(self, name: str) -> Any:
        """What still waits to be written."""
        return self._aged(self._waiting.get(name, (None, 0.0))[0])

    async def fetch(self, name: str) -> Any:
        """The record; ``None`` if there is none, or the server does not say in time."""
        if name in self._waiting:
            return self.at_hand(name)
        if self._closed or self._now() < self._again:
            self._met["not asked"] += 1
            return None
        return self._aged(await self._asked(lambda: self._server.get(name), name, self._limit))

    def _aged(self, record: Any) -> Any:
        """A record as it is now: good for no longer than it was when it was written."""
        if not isinstance(record, dict) or type(until := record.get("until")) is not float:
            return record  # another program's
        left = until - self._wall()
        if left <= 0:
            return None
        aged = {name: value for name, value in record.items() if name != "until"}
        if isinstance(ttl := record.get("ttl"), (int, float)):
            aged["ttl"] = min(ttl, left)
        return aged

    async def flush(self) -> None:
        """Wait until all has been written, or until the server fails."""
        while self._waiting and self.answers:
            await self._settled.wait()

    async def aclose(self) -> None:
        """Write what waits, if the server takes it at once, and close the connections."""
        try:
            async with asyncio.timeout(WRITING * self._limit):
                await self.flush()
        except TimeoutError:
            pass
        finally:
            self._closed = True
            self._waiting.clear()
            await self._tasks.aclose()
            await self._server.aclose()

    def _behind(self, name: str, record: dict[str, Any] | None, seconds: float) -> None:
        if self._closed:
            return
        self._waiting[name] = record, seconds
        self._settled.clear()
        if len(self._waiting) > MOST_WAITING:
            writes = (each for each, (record, _) in self._waiting.items() if record is not None)
            del self._waiting[next(writes, next(iter(self._waiting)))]  # what is untrue must go
            self._met["not written"] += 1
        if not self._writing:
            self._writing = True
            self._tasks.start(self._write(), name="shared cache")

    async def _write(self) -> None:
        try:
            while self._waiting:
                if (pause := self._again - self._now()) > 0:
                    await asyncio.sleep(pause)
                name, (record, seconds) = next(iter(self._waiting.items()))
                await self._asked(
                    lambda n=name, r=record, s=seconds: self._put(n, r, s),  # type: ignore[misc]
                    name,
                    WRITING * self._limit,
                )
                if self.answers and self._waiting.get(name) == (record, seconds):
                    del self._waiting[name]
        finally:
            self._writing = False
            self._settled.set()

    async def _put(self, name: str, record: dict[str, Any] | None, seconds: float) -> bool:
        if record is None:
            await self._server.delete(name)
        else:
            await self._server.set(name, record, seconds)
        return True

    async def _asked(self, ask: Callable[[], Awaitable[T]], name: str, limit: float) -> T | None:
        """What the server says, within the limit; ``None`` if it does not say."""
        try:
            async with asyncio.timeout(limit), self._room:
                if self._tainted:
                    self._tainted = False
                    await self._server.forget_connections()
                answer = await ask()
        except asyncio.CancelledError:
            self._tainted = True  # an answer may still be on its way, which is for nobody else
            raise
        except self._server.garbage as error:
            self._rubbish(name, error)
            return None
        except self._server.refusals as error:
            self._told_no(error)
            self._up()
            return None
        except Exception as error:
            self._tainted = True
            self._down(error)
            return None
        self._up()
        return answer

    def _up(self) -> None:
        if not self.answers:
            log.warning("shared cache %s: answers again", self._server.where)
            if self._waiting:
                self._settled.clear()
        self._pause = 0.0

    def _told_no(self, error: Exception) -> None:
        """It takes no writes, for want of memory perhaps: what it has can still be read."""
        self._met["refused"] += 1
        if not self._refused:
            log.warning("shared cache %s: refuses: %r (told once)", self._server.where, error)
        self._refused = True

    def _down(self, error: Exception) -> None:
        slow = isinstance(error, TimeoutError)
        self._met["time-outs" if slow else "failures"] += 1
        if self.answers:
            what = f"no answer within {self._limit:g} s" if slow else repr(error)
            log.warning("shared cache %s: %s; going on without it", self._server.where, what)
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
        self._again = self._now() + self._pause
        self._settled.set()

    def _rubbish(self, name: str, error: Exception) -> None:
        self._met["garbled"] += 1
        if not self._garbled:
            log.warning("shared cache %s: not ours: %r (told once)", self._server.where, error)
        self._garbled = True
        self.drop(name)

    @staticmethod
    def _now() -> float:
        return asyncio.get_running_loop().time()
