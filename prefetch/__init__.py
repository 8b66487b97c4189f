"""Usage of a cache: recorded as it happens, and what will be wanted next.

    from foretell import record_query
    record_query(ticker="AAPL", module="price", hit=True)

All is kept in one folder, ``data`` unless another is named: ``prefetch.sqlite`` (the history),
``prefetch_config.json``, and ``prefetch_cache/`` (what a warm-up fetched).
"""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from collections.abc import Iterator
from statistics import median_low
from typing import Any

from ..operators.calibration import Calibration
from ..operators.predict_document import Document, Scored
from ..operators.predict_ensemble import Ensemble, standard
from ..operators.predictors import Event
from ..sinks.usage_store import Query, Totals, UsageStore
from .config import PrefetchConfig, zone_of

__all__ = ["FOLDER", "Learned", "closed", "opened", "pruned", "record_query"]

FOLDER = "data"
DATABASE = "prefetch.sqlite"

PRUNE_EVERY = 1_000
"""Records, of whichever processes, from one pruning to the next."""

RECENT = 5_000
"""So much of the history the ensemble learns from; the formula learns from all."""

MARKED = 500
"""So many of the newest queries show how good the predictions are."""

PACE = 1_000
"""The pace of queries is that of so many of the newest."""

_stores: dict[tuple[int, str], UsageStore] = {}
_opening = threading.Lock()


def opened(folder: str | os.PathLike[str] = FOLDER) -> UsageStore:
    """The history in a folder, opened once in each process, and again after it was closed.

    :raises UsageError: if it cannot be opened.
    """
    path = os.path.realpath(os.path.join(folder, DATABASE))
    key = os.getpid(), path  # a fork must not go on with its parent's file
    with _opening:
        store = _stores.get(key)
        if store is None or store.closed:
            store = _stores[key] = UsageStore(path)
        return store


def closed(folder: str | os.PathLike[str] = FOLDER) -> None:
    """Close the history in a folder, if this process has opened it."""
    store = _stores.get((os.getpid(), os.path.realpath(os.path.join(folder, DATABASE))))
    if store is not None:
        store.close()


def record_query(
    ticker: str,
    module: str,
    hit: bool,
    *,
    at: float | None = None,
    folder: str | os.PathLike[str] = FOLDER,
) -> None:
    """Record that something was asked for. From any thread, in any number of processes.

    Now and then what is old is compressed or, by the folder's configuration, dropped.

    :param ticker: what it was about, a ticker or a monster.
    :param module: what was wanted of it, a price or a stat block.
    :param hit: whether it was in the cache.
    :param at: seconds since 1970, UTC; default: now.
    :raises UsageError: if it cannot be recorded.
    :raises ConfigError: if the folder's configuration cannot be used.
    """
    now = time.time() if at is None else at
    store = opened(folder)
    if store.record(Query(now, ticker, module, hit)) % PRUNE_EVERY == 0:
        pruned(store, PrefetchConfig.load(os.fspath(folder)))


def pruned(store: UsageStore, config: PrefetchConfig) -> int:
    """Drop what is older, or more, than the configuration says, and compress what is not new.

    How old it is, the newest queries say, and no clock: one wrong reading must not cost them all.

    :return: how many were dropped.
    """
    newest = store.newest(PACE)
    if not newest:
        return 0
    hours, now = Document(zone_of(config.zone)).hours, median_low(newest)
    dropped = store.prune(hours, before=now - config.max_days * 86_400, keep=config.max_queries)
    store.pack()
    return dropped


class Learned:
    """What the history teaches, and what will be wanted.

    :param by: ``document``, its formula, or ``ensemble``, which also learns from what came before
        what, and weighs the ways of predicting by how well they did.
    """

    def __init__(self, store: UsageStore, config: PrefetchConfig, by: str = "document") -> None:
        self.config = config
        self.totals: Totals = store.totals()
        self.formula = Document(zone_of(config.zone), config.hour_weights)
        self.subjects: Counter[str] = Counter()
        self.modules: Counter[str] = Counter()
        self.marks = Calibration()
        self._ensemble: Ensemble | None = None
        if by == "ensemble":
            self._ensemble = standard(Document(zone_of(config.zone), config.hour_weights))
        self._times: deque[float] = deque(maxlen=PACE)
        for subject, module, hour, day, many in store.counted():
            self.formula.count((subject, module), hour, day, many)
            self.subjects[subject] += many
            self.modules[module] += many
        self._learn(list(store.history()))

    def _learn(self, history: list[Query]) -> None:
        events = [Event(at, (subject, module)) for at, subject, module, _ in history]
        first = max(len(events) - MARKED, 1)
        self.formula.observe_all(events[:first])
        if self._ensemble is not None:
            for event in events[max(0, len(events) - RECENT) : first]:
                self._ensemble.observe(event)
        for event in events[first:]:
            self._mark(event)
            self.formula.observe(event)
            if self._ensemble is not None:
                self._ensemble.observe(event)
        self.subjects.update([query.subject for query in history])
        self.modules.update([query.module for query in history])
        self._times.extend([query.at for query in history[-PACE:]])

    def _mark(self, event: Event) -> None:
        by = self._ensemble or self.formula
        predicted = by.predict(event.t, self.config.top_n)
        self.marks.add(predicted, event.key, by.probability(event))

    def scored(self, now: float, k: int) -> list[Scored]:
        """The ``k`` most probable next queries; by the ensemble, the score is the probability."""
        if self._ensemble is None:
            return self.formula.scored(now, k)
        return [Scored(key, p, p) for key, p in self._ensemble.predict(now, k)]

    def pace(self) -> float:
        """How many queries the horizon has, at least one, at the pace of the newest ones.

        At most as many as there were, where they do not fill a horizon: that nine came within a
        second does not promise thousands.
        """
        if len(self._times) < 2:
            return 1.0
        times, horizon = sorted(self._times), self.config.horizon
        apart = (
            len(times) // 20
        )  # a clock may have jumped: the first and the last of them do not count
        times = times[apart : len(times) - apart]
        return max(1.0, (len(times) - 1) * horizon / max(times[-1] - times[0], horizon))

    def needed(self, probability: float) -> float:
        """The probability to be wanted within the horizon, of a key by that of being the next."""
        return float(1.0 - (1.0 - min(probability, 1.0)) ** self.pace())

    def worth_fetching(self, now: float) -> Iterator[tuple[Scored, float]]:
        """What is to be fetched ahead, with the probability to be wanted within the horizon."""
        if not self.config.enabled:
            return
        for each in self.scored(now, self.config.top_n):
            if (needed := self.needed(each.probability)) >= self.config.min_confidence:
                yield each, needed

    def as_json(self, now: float) -> dict[str, Any]:
        """All of it as plain JSON.

        The time and the weight of the hour, what was asked for most and what will be, and how good
        such predictions were of late.
        """
        hour, day = self.formula.hours(now)
        return {
            "hour": hour,
            "day_of_week": day,
            "weight": self.formula.weights[hour],
            "total_queries": self.totals.queries,
            "cache_hits": self.totals.hits,
            "cache_misses": self.totals.misses,
            "hit_rate": round(self.totals.hit_rate, 4),
            "top_tickers": [[name, many] for name, many in self.subjects.most_common(5)],
            "top_modules": [[name, many] for name, many in self.modules.most_common(5)],
            "predictions": [
                {
                    "ticker": each.key[0],
                    "module": each.key[1],
                    "score": round(each.score, 6),
                    "probability": round(each.probability, 6),
                    "needed": round(self.needed(each.probability), 6),
                }
                for each in self.scored(now, self.config.top_n)
            ],
            "pace": round(self.pace(), 4),
            "accuracy": self.marks.report(),
        }
