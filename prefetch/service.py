"""What the command line, the HTTP API and the MCP tool say and do about one folder of usage."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..errors import ConfigError, ForetellError
from ..progress import Step
from ..sinks.usage_store import UsageError, UsageStore
from . import FOLDER, Learned, closed, opened, record_query, using
from .config import PrefetchConfig, alone
from .fetch import CACHE, Fetch, Fetched, warm

__all__ = ["Prefetch", "configured", "status", "warmed"]

log = logging.getLogger("foretell")

ASIDE = "what stood there was damaged or of something else: now %s"

Shown = Callable[[int], AbstractContextManager[Step]]
"""Shows how far a warm-up of so many keys has come."""


def status(folder: str) -> dict[str, Any]:
    """The hit rate of all queries, and what lies in the cache: items, bytes.

    :raises UsageError, ConfigError: for a folder that cannot be used.
    """
    totals = using(folder, UsageStore.totals)
    items, size, cache = 0, 0, os.path.join(folder, CACHE)
    try:
        with os.scandir(cache) as found:
            for each in found:
                if each.name.endswith(".json") and each.is_file():
                    items, size = items + 1, size + each.stat().st_size
    except FileNotFoundError:
        pass
    except OSError as error:
        raise UsageError(f"{cache}: {error.strerror}") from None
    return {
        "enabled": PrefetchConfig.load(folder).enabled,
        "cache_hits": totals.hits,
        "cache_misses": totals.misses,
        "total_queries": totals.queries,
        "hit_rate": round(totals.hit_rate, 4),
        "cached_items": items,
        "cached_bytes": size,
    }


def configured(folder: str, changes: Mapping[str, Any]) -> tuple[PrefetchConfig, str | None]:
    """The configuration, after some of it was changed; and where a damaged one was set aside.

    Of several that change it at once, each finds what those before it have left.

    :raises ConfigError: for a setting that is unknown or out of range; nothing is changed then.
    """
    if not changes:
        return PrefetchConfig.load(folder), None
    PrefetchConfig().changed(changes)  # before anything is made for it
    with alone(folder):
        try:
            config = PrefetchConfig.load(folder)
        except ConfigError:
            config = PrefetchConfig()  # what stands there is set aside when this is saved
        config = config.changed(changes)
        return config, config.save(folder)


async def warmed(
    folder: str,
    fetch: Fetch | None,
    *,
    by: str = "ensemble",
    now: float,
    jobs: int = 4,
    shown: Shown = lambda total: nullcontext(lambda done: None),
) -> dict[str, Any]:
    """Fetch what will be wanted at ``now``; without a fetcher, say what would be fetched.

    What fails is in ``failed``, and costs the others nothing.
    """
    config, wanted, day = await asyncio.to_thread(_wanted, folder, by, now)
    done: list[Fetched] = []
    if fetch is not None:
        keys = [(each["ticker"], each["module"]) for each in wanted]
        with shown(len(keys)) as step:
            done = await warm(keys, fetch, os.path.join(folder, CACHE), day, jobs, step)
    return {
        "by": by,
        "enabled": config.enabled,
        "wanted": wanted,
        "fetched": [each.path for each in done if not each.error],
        "failed": [
            {"ticker": each.key[0], "module": each.key[1], "error": each.error}
            for each in done
            if each.error
        ],
    }


def _wanted(folder: str, by: str, now: float) -> tuple[PrefetchConfig, list[dict[str, Any]], str]:
    config = PrefetchConfig.load(folder)
    learned = Learned(opened(folder), config, by)
    wanted = [
        {"ticker": each.key[0], "module": each.key[1], "needed": round(needed, 6)}
        for each, needed in learned.worth_fetching(now)
    ]
    return config, wanted, learned.formula.hours.local(now).strftime("%Y%m%d")


class Prefetch:
    """One folder of usage, for a program that serves it to others in a running loop.

    :param fetch: what warm-ups fetch with; none: they only say what they would fetch.
    :param jobs: fetches at once.
    :param idle: after so many seconds without a query, whoever records them, it warms up by itself:
        once, until the next query comes. None: it does not.
    :param by: who predicts what a warm-up fetches; see :class:`~foretell.prefetch.Learned`.
    :param clock: seconds since 1970.
    :raises UsageError, ConfigError: from each method, for a folder that cannot be used.
    """

    def __init__(
        self,
        folder: str = FOLDER,
        fetch: Fetch | None = None,
        *,
        jobs: int = 4,
        idle: float | None = None,
        by: str = "ensemble",
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.folder, self._fetch, self._jobs, self._clock = folder, fetch, jobs, clock
        self._idle, self._by = idle, by
        self._watching: asyncio.Task[None] | None = None
        self._one = asyncio.Lock()  # a whole history is learned from at a time, and no second one
        self._warming: dict[str, asyncio.Task[dict[str, Any]]] = {}

    async def open(self) -> None:
        """Look whether the folder can be used, before somebody asks. What is set aside is said."""
        store = await asyncio.to_thread(opened, self.folder)
        if store.set_aside is not None:
            log.warning(
                "what stood there was damaged or of something else: now %s", store.set_aside
            )
        await asyncio.to_thread(PrefetchConfig.load, self.folder)
        if self._idle is not None:
            self._watching = asyncio.create_task(self._watch(self._idle), name="idle warm-up")

    async def _watch(self, idle: float) -> None:
        """It counts the queries, and reads no clock: that may jump."""
        seen, quiet = -1, 0
        while True:
            try:
                queries = (await asyncio.to_thread(using, self.folder, UsageStore.totals)).queries
                seen, quiet = queries, quiet + 1 if queries == seen else 0
            except ForetellError as error:
                log.warning("warm-up: %s", error)
            if quiet == 1:
                await asyncio.gather(self.warmup(), return_exceptions=True)  # it says what failed
            await asyncio.sleep(idle)

    async def stats(self, by: str = "document") -> dict[str, Any]:
        """What was asked for, what will be, and how good such predictions were."""
        async with self._one:
            return await asyncio.to_thread(self._stats, by)

    def _stats(self, by: str) -> dict[str, Any]:
        learned = Learned(opened(self.folder), PrefetchConfig.load(self.folder), by)
        return {"by": by, **learned.as_json(self._clock())}

    async def status(self) -> dict[str, Any]:
        """See :func:`status`."""
        return await asyncio.to_thread(status, self.folder)

    async def config(self, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The configuration, after it was changed; see :func:`configured`."""
        async with self._one:
            config, aside = await asyncio.to_thread(configured, self.folder, changes or {})
        if aside is not None:
            log.warning(ASIDE, aside)
        return config.as_json()

    async def record(self, ticker: str, module: str, *, hit: bool) -> dict[str, Any]:
        """Record a query. When it returns, it is recorded.

        :raises UsageError: for what cannot be.
        """
        return await asyncio.to_thread(self._record, ticker, module, hit)

    def _record(self, ticker: str, module: str, hit: bool) -> dict[str, Any]:
        now = self._clock()
        record_query(ticker, module, hit, at=now, folder=self.folder)
        totals = using(self.folder, UsageStore.totals)
        return {
            "ticker": ticker,
            "module": module,
            "hit": hit,
            "at": now,
            "total_queries": totals.queries,
            "hit_rate": round(totals.hit_rate, 4),
        }

    async def warmup(self, by: str | None = None) -> dict[str, Any]:
        """Warm up; whoever asks while it is being done gets the same. See :func:`warmed`.

        It goes on when one who waits for it is cancelled, for another may wait, or ask again.
        """
        by = by or self._by
        task = self._warming.get(by)
        if task is None:
            work = warmed(self.folder, self._fetch, by=by, now=self._clock(), jobs=self._jobs)
            task = self._warming[by] = asyncio.create_task(work, name="warm-up")
            task.add_done_callback(lambda task: self._warmed(by, task))
        return await asyncio.shield(task)

    def _warmed(self, by: str, task: asyncio.Task[Any]) -> None:
        del self._warming[by]
        if not task.cancelled() and (error := task.exception()) is not None:
            log.warning("warm-up: %s", error)  # maybe nobody waits for it any more

    async def aclose(self) -> None:
        """Cancel a warm-up that runs, and close the history."""
        tasks: list[asyncio.Task[Any]] = list(self._warming.values())
        if self._watching is not None:
            tasks.append(self._watching)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(closed, self.folder)
