"""The cold layer's cache as a server that several processes share: Redis or Memcached.

It is a convenience, never a need. A server that is not there, dies, hangs or answers rubbish
costs a look-up its time limit once, is a miss, is logged once, and is asked again a while later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from ..streams.tasks import Tasks
from .store_boards import WRITING, Boards
from .store_door import FIRST_PAUSE, Door
from .store_news import Word
from .store_server import MOST_BYTES, Server, excessive, open_server

__all__ = ["SharedCold"]

log = logging.getLogger("foretell")

LIMIT = 0.04
"""Seconds; with what the loop itself takes, a look-up costs less than 50 ms."""

EVERY = 0.1
"""Seconds after which what others have told is asked for, for what is in memory here."""

MOST_WAITING = 256
"""So many writes, and as many deletions."""


class _Waiting(NamedTuple):
    """A record to be written, or ``None`` to be deleted, and the moment of the news it is of.

    ``written`` is called when the server has it.
    """

    record: dict[str, Any] | None
    seconds: float = 0.0
    moment: int = 0
    written: Callable[[], object] | None = None


class SharedCold:
    """``aiocache`` before a server. All it keeps or drops is written behind, the latest by name.

    :param url: ``redis://[[user]:password@]host[:port][/db]``, ``rediss://…`` or
        ``memcached://host[:port]``.
    :param limit: seconds a look-up may take.
    :param most: bytes a record may have; a larger one is neither written nor read.
    :param wall: seconds by a clock that all processes share; a record is as old in each of them.
    :param every: seconds after which it is asked what others have told.
    :param server: the server itself, in the place of one at the URL.
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
        every: float = EVERY,
        server: Server | None = None,
    ) -> None:
        self.door = Door(server or open_server(url, limit, most), self._clear_away)
        self._most = most
        self._wall = wall
        self._limit = limit
        self._every = every
        self._waiting: dict[str, _Waiting] = {}
        self._looking: dict[object, set[str]] = {}
        """Of each look-up under way, what was dropped since it began."""
        self._tasks = Tasks(lambda name, error: log.error("shared cache: %r", error))
        self._mute = False
        self._boards = Boards(self.door, wall, limit, self._write_behind)
        self._listening = False
        self._writing = False
        self._closed = False
        self._moved = asyncio.Event()
        """Something was written or told, or is not for now."""

    def __repr__(self) -> str:
        return f"<SharedCold {self.door.server.where} [{'up' if self.answers else 'down'}]>"

    @property
    def answers(self) -> bool:
        """Whether it answered when it was last asked."""
        return self.door.answers

    def described(self) -> dict[str, Any]:
        """What it is and what it has met, as JSON; no password."""
        return {
            "kind": self.door.server.kind,
            "where": self.door.server.where,
            "answers": self.answers,
            "waiting": len(self._waiting),
            "untold": self._boards.untold,
            "met": dict(self.door.met),
        }

    def listen(self, scope: str, told: Callable[[Word], object]) -> None:
        """Hear of the words that other processes tell of a scope: of all names that begin so."""
        self._boards.listen(scope, told)
        if not self._listening:
            self._listening = True
            self._tasks.start(self._listen(), name="shared cache news")

    def tell(self, scope: str, word: Word) -> None:
        """Tell it the other processes; here nothing that it concerns is found from now on."""
        if not self._closed:
            self._boards.tell(scope, word)

    async def hear(self) -> None:
        """Hear at once what others have told; it is asked for by itself, but a little later."""
        if not self._closed:
            await self._boards.hear_all()

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(self._every)
            await self.hear()

    def keep(
        self,
        name: str,
        record: dict[str, Any],
        seconds: float,
        written: Callable[[], object] | None = None,
    ) -> None:
        """Keep a record for so long, as soon as the server takes it; then ``written`` is called."""
        record = {**record, "until": self._wall() + seconds}
        if excessive(record) or len(orjson.dumps(record)) > self._most:
            self.door.met["too large"] += 1
        elif seconds > 0:
            news = self._boards.of(name)
            moment = 0 if news is None else news.moment
            self._behind(name, _Waiting(record, seconds, moment, written))

    def drop(self, name: str) -> None:
        """Forget a record; who looks for it now finds none either."""
        for dropped in self._looking.values():
            dropped.add(name)
        self._behind(name, _Waiting(None))

    def at_hand(self, name: str) -> Any:
        """What still waits to be written."""
        waiting = self._waiting.get(name)
        if waiting is None or self._overtaken(name, waiting):
            return None
        return self._aged(waiting.record)

    def _overtaken(self, name: str, waiting: _Waiting) -> bool:
        news, record = self._boards.of(name), waiting.record
        return record is not None and news is not None and news.overtaken(record, waiting.moment)

    async def fetch(self, name: str) -> Any:
        """The record; ``None`` if there is none, or the server does not say in time."""
        if name in self._waiting:
            return self.at_hand(name)
        if self._closed or self.door.closed_for() > 0:
            self.door.met["not asked"] += 1
            return None
        look_up = object()
        dropped = self._looking[look_up] = set()
        try:
            record = await self._fetched(name)
        finally:
            del self._looking[look_up]
        return None if name in dropped else record

    async def _fetched(self, name: str) -> Any:
        server, news = self.door.server, self._boards.of(name)
        if news is None:
            record = await self.door.ask(lambda: server.get(name), name, self._limit)
        else:
            found = await self.door.ask(
                lambda: server.get_and_hear(name, news.board, news.heard), name, self._limit
            )
            if found is None:
                return None
            record, board = found
            self._boards.take(news, board)
        if excessive(record):
            self.door.garbled(name, "more in it than an entry has")
            return None
        if (
            news is not None
            and isinstance(record, dict)
            and not news.good(record, record.get("as_of"))
        ):
            self.door.met["overtaken"] += 1
            self.drop(name)
            return None
        return self._aged(record)

    def _aged(self, record: Any) -> Any:
        """A record as it is now: good for no longer than it was when it was written."""
        if not isinstance(record, dict) or type(until := record.get("until")) is not float:
            return record  # another program's
        left = until - self._wall()
        if left <= 0:
            return None
        aged = {name: value for name, value in record.items() if name not in ("until", "as_of")}
        if isinstance(ttl := record.get("ttl"), (int, float)):
            aged["ttl"] = min(ttl, left)
        return aged

    async def flush(self) -> None:
        """Wait until all has been written and told, or until the server fails."""
        while (self._waiting or (self._boards.telling and not self._mute)) and self.answers:
            self._moved.clear()
            await self._moved.wait()

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
            await self.door.server.aclose()

    # What waits to be written.

    def _behind(self, name: str, waiting: _Waiting) -> None:
        if self._closed:
            return
        self._waiting[name] = waiting
        if len(self._waiting) > MOST_WAITING:
            deletes = waiting.record is None
            alike = [n for n, each in self._waiting.items() if (each.record is None) is deletes]
            if len(alike) > MOST_WAITING:
                del self._waiting[alike[0]]
                self.door.met["not deleted" if deletes else "not written"] += 1
        self._write_behind()

    def _clear_away(self, name: str) -> None:
        """Rubbish goes before all that waits: nothing can be told or kept without its board."""
        self.drop(name)
        if name in self._waiting:
            self._waiting = {name: self._waiting.pop(name), **self._waiting}

    def _write_behind(self) -> None:
        if not self._writing:
            self._writing = True
            self._tasks.start(self._write(), name="shared cache")

    async def _write(self) -> None:
        try:
            while self._waiting or self._boards.telling:
                if self._boards.telling:
                    self.door.hurry()
                if (pause := self.door.closed_for()) > 0:
                    await asyncio.sleep(min(pause, FIRST_PAUSE))
                elif (news := self._boards.telling) and not self._mute:
                    self._mute = not await self._boards.hear(news, tell=True) and self.answers
                elif self._waiting:
                    await self._write_first()
                else:  # it takes no words at present
                    self._moved.set()
                    await asyncio.sleep(FIRST_PAUSE)
                    self._mute = False
                self._moved.set()
        finally:
            self._writing = False
            self._moved.set()

    async def _write_first(self) -> None:
        name, waiting = next(iter(self._waiting.items()))
        record, news = waiting.record, self._boards.of(name)
        if record is not None and news is not None:
            known = news.heard and self.answers  # after an outage it may be another board
            if not known and not await self._boards.hear(news, tell=True):
                if self.answers and next(iter(self._waiting), name) == name:  # it takes no writes
                    self._waiting.pop(name, None)
                return
            if self._overtaken(name, waiting):
                self.door.met["outdated"] += 1
                record = None
            else:
                record = {**record, "as_of": news.heard}
        limit, crowded = WRITING * self._limit, self.door.met["crowded"]
        done = await self.door.ask(lambda: self._put(name, record, waiting.seconds), name, limit)
        asked = self.door.met["crowded"] == crowded
        if asked and self.answers and self._waiting.get(name) is waiting:
            del self._waiting[name]
            if done and record is not None and waiting.written is not None:
                waiting.written()

    async def _put(self, name: str, record: dict[str, Any] | None, seconds: float) -> bool:
        server = self.door.server
        await (server.delete(name) if record is None else server.set(name, record, seconds))
        return True
