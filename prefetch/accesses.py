"""What a game asks of its store, into the history that predictions are made from."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from ..errors import ForetellError
from ..sinks.store_near import Near, NearIndex, NearKey
from ..sinks.store_stats import Access
from ..sinks.usage_store import Query, Totals
from ..streams.clock import VirtualLoop
from ..streams.tasks import Tasks
from . import PRUNE_EVERY, Learned, closed, opened, pruned, using
from .config import PrefetchConfig

__all__ = ["KEYS", "Accesses", "expected", "module_of"]

T = TypeVar("T")

log = logging.getLogger("foretell")

KEYS = "key"
EVERY = 1.0
"""Seconds from one writing to the next: a look-up takes microseconds, and a file does not."""

MOST_WAITING = 10_000
LONGEST = 4_096
"""Characters of a key or a snapshot; what is longer is not recorded."""

MOST_NAMES = 1_000


def module_of(scope: str | None) -> str:
    """What a history calls snapshots of a scope, or, with none, keys."""
    return KEYS if scope is None else f"scope:{scope}"


@dataclass(eq=False, frozen=True, slots=True)
class _Name:
    """What a snapshot, and all that are near it, are called."""

    near: NearKey
    text: str


class Accesses:
    """Records the look-ups of a store as queries of a folder's history.

    The subject is the key, or the snapshot as JSON: the first one of those that are near, so that
    they count together. They are written once a second, in a thread; of more than 10,000 in that
    time the first are only counted. What cannot be written waits until it can; that a folder cannot
    be used is told once, until it can again, and costs nothing else.

    :param near: what counts as near.
    :param clock: the store's, in seconds.
    :param wall: seconds since 1970.
    """

    def __init__(
        self, folder: str, near: Near, clock: Callable[[], float], wall: Callable[[], float]
    ) -> None:
        self._folder = folder
        self._clock = clock
        self._wall = wall
        self._waiting: deque[Query] = deque()
        self._counted = {True: 0, False: 0}
        self._near = near
        self._names: deque[_Name] = deque()
        self._index: NearIndex[_Name] = NearIndex(near)
        self._tasks = Tasks(lambda name, error: log.error("usage: %r", error))
        self._writing = asyncio.Lock()
        self._recorded = 0
        self._told = False

    def heard(self, access: Access, about: tuple[str, Any] | None) -> None:
        """Somebody has asked for a key; or for what is near a snapshot, with its scope."""
        subject, module = access.key, KEYS
        if about is not None:
            scope, snapshot = about
            module = module_of(scope)
            subject = self._called(snapshot, scope)
        if not 0 < len(subject) <= LONGEST or not _written(subject + module):
            return
        at = self._wall() - (self._clock() - access.t)
        self._waiting.append(Query(at, subject, module, access.level is not None))
        self._bound()
        if not len(self._tasks):
            self._tasks.start(self._write(), name="usage")

    def _called(self, snapshot: Any, scope: str) -> str:
        key = self._near.key(snapshot, scope)
        for alike in self._index.search(key):
            return alike.text
        text = orjson.dumps(snapshot, dict, orjson.OPT_SORT_KEYS).decode()
        if len(text) <= LONGEST:
            self._names.append(name := _Name(key, text))
            self._index.add(name)
            if len(self._names) > MOST_NAMES:
                self._index.discard(self._names.popleft())
        return text

    async def _write(self) -> None:
        while self._waiting:
            await asyncio.sleep(EVERY)
            if not await self.flush():
                return  # the next that is heard begins anew

    async def flush(self) -> bool:
        """Write at once what waits; what could not be written waits on.

        :return: whether all was written.
        """
        async with self._writing:
            queries, more = [*self._waiting], Totals(self._counted[True], self._counted[False])
            self._waiting.clear()
            self._counted = {True: 0, False: 0}
            if not queries or await in_a_thread(self._record, queries, more):
                return True
            self._waiting.extendleft(reversed(queries))
            self._counted[True] += more.hits
            self._counted[False] += more.queries - more.hits
            self._bound()
            return False

    def _bound(self) -> None:
        while len(self._waiting) > MOST_WAITING:
            self._counted[self._waiting.popleft().hit] += 1

    def _record(self, queries: list[Query], more: Totals) -> bool:
        written = False
        try:
            using(self._folder, lambda store: store.record_all(queries, more))
            written, self._told = True, False
            self._recorded += len(queries)
            if self._recorded >= PRUNE_EVERY:
                self._recorded = 0
                config = PrefetchConfig.load(self._folder)
                using(self._folder, lambda store: pruned(store, config))
        except ForetellError as error:
            if not self._told:
                log.warning("usage is not recorded: %s (told once)", error)
            self._told = True
        return written

    async def aclose(self) -> None:
        """Write what waits, and close the history."""
        await self.flush()
        await self._tasks.aclose()
        await in_a_thread(closed, self._folder)


async def in_a_thread(work: Callable[..., T], *given: Any) -> T:
    """What ``work`` returns; in virtual time it is called here, for that waits for no thread."""
    if isinstance(asyncio.get_running_loop(), VirtualLoop):
        return work(*given)
    return await asyncio.to_thread(work, *given)


async def expected(folder: str, now: float, scope: str | None) -> list[Any]:
    """What is probably asked for soon, by the folder's history and its configuration.

    :param scope: the snapshots of this scope; none: the keys.
    """
    module, wanted = module_of(scope), await in_a_thread(_wanted, folder, now)
    found = [subject for subject, of in wanted if of == module]
    return found if scope is None else [*_snapshots(found)]


def _snapshots(subjects: Iterable[str]) -> Iterator[Any]:
    for subject in subjects:
        with suppress(orjson.JSONDecodeError):  # who else has recorded that?
            yield orjson.loads(subject)


def _wanted(folder: str, now: float) -> list[tuple[str, str]]:
    learned = Learned(opened(folder), PrefetchConfig.load(folder), "ensemble")
    return [(each.key[0], each.key[1]) for each, _ in learned.worth_fetching(now)]


def _written(text: str) -> bool:
    try:
        return len(text.encode()) < 100_000
    except UnicodeEncodeError:  # half a character
        return False
