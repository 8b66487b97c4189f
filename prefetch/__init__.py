"""Usage of a cache: recorded as it happens, and what will be wanted next.

    from foretell import record_query
    record_query(ticker="AAPL", module="price", hit=True)

All is kept in one folder, ``data`` unless another is named: ``prefetch.sqlite`` (the history),
``prefetch_config.json``, and ``prefetch_cache/`` (what a warm-up fetched).
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from statistics import median_low
from typing import Any, TypeVar

from ..errors import ForetellError
from ..operators.calibration import Calibration
from ..operators.novelty import Novelty
from ..operators.predict_document import Document, Scored
from ..operators.predict_ensemble import Ensemble, standard
from ..operators.predictors import ANYONE, Event, Key
from ..sinks.usage_store import Query, Totals, UsageError, UsageStore
from .config import PrefetchConfig, zone_of
from .wanted import Said, Wanted

__all__ = ["FOLDER", "Learned", "closed", "opened", "pruned", "record_query", "using"]

T = TypeVar("T")

log = logging.getLogger("foretell")

FOLDER = "data"
DATABASE = "prefetch.sqlite"

PRUNE_EVERY = 1_000
"""Records, of whichever processes, from one pruning to the next."""

RECENT = 5_000
"""So much of the history the ensemble and the pace go by; the formula learns from all."""

MARKED = 500
"""So many of the newest queries show how good the predictions are."""

MOMENT = 20
"""After so many of those one moment shows how good the probabilities to be wanted are."""

NEWEST = 1_000
"""So many of the newest queries say what time it is."""

_stores: dict[tuple[int, str], UsageStore] = {}
_opening = threading.Lock()


def opened(folder: str | os.PathLike[str] = FOLDER) -> UsageStore:
    """The history in a folder, opened once in each process.

    It is opened again after it was closed, or its file taken away: by who cleared the folder, or
    by another process that set it aside.

    :raises UsageError: if it cannot be opened.
    """
    path = os.path.realpath(os.path.join(folder, DATABASE))
    key = os.getpid(), path  # a fork must not go on with its parent's file
    with _opening:
        store = _stores.get(key)
        if store is not None and not store.closed and store.moved:
            log.warning("%s: the file was taken away; another is gone on with", path)
            store.close()
        if store is None or store.closed:
            store = _stores[key] = UsageStore(path)
        return store


def closed(folder: str | os.PathLike[str] = FOLDER) -> None:
    """Close the history in a folder, if this process has opened it."""
    store = _stores.get((os.getpid(), os.path.realpath(os.path.join(folder, DATABASE))))
    if store is not None:
        store.close()


def using(folder: str | os.PathLike[str], work: Callable[[UsageStore], T]) -> T:
    """What ``work`` gives with the history in a folder; others may close that in the meantime.

    :raises UsageError: if it cannot be opened, and what ``work`` raises.
    """
    while True:
        store = opened(folder)
        try:
            return work(store)
        except UsageError:
            if not store.closed:
                raise


def record_query(
    ticker: str,
    module: str,
    hit: bool,
    *,
    at: float | None = None,
    folder: str | os.PathLike[str] = FOLDER,
) -> None:
    """Record that something was asked for. From any thread, in any number of processes.

    Now and then what is old is compressed or, by the folder's configuration, dropped; if that
    cannot be done, it is said in the log ``foretell``, for the query is recorded all the same.

    :param ticker: what it was about, a ticker or a monster.
    :param module: what was wanted of it, a price or a stat block.
    :param hit: whether it was in the cache.
    :param at: seconds since 1970, UTC; default: now.
    :raises UsageError: if it cannot be recorded.
    """
    query = Query(time.time() if at is None else at, ticker, module, hit)
    if using(folder, lambda store: store.record(query)) % PRUNE_EVERY == 0:
        try:
            config = PrefetchConfig.load(os.fspath(folder))
            using(folder, lambda store: pruned(store, config))
        except ForetellError as error:
            log.warning("the history of usage is not pruned: %s", error)


def pruned(store: UsageStore, config: PrefetchConfig) -> int:
    """Drop what is older, or more, than the configuration says, and compress what is not new.

    How old it is, the newest queries say, and no clock: one wrong reading must not cost them all.

    :return: how many were dropped.
    """
    newest = store.newest(NEWEST)
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
            self._ensemble = standard(zone_of(config.zone), config.hour_weights)
        self.wanted = Wanted(config.horizon)
        self._novelty = Novelty()
        for subject, module, hour, day, many in store.counted():
            self.formula.count((subject, module), hour, day, many)
            self._novelty.known.add((subject, module))
            self.subjects[subject] += many
            self.modules[module] += many
        self._learn(*store.asked())

    def _learn(self, times: list[float], keys: list[tuple[str, str]]) -> None:
        first = max(len(keys) - MARKED, 1)
        self.formula.observe_all(times[:first], keys[:first])
        for (subject, module), many in Counter(keys).items():
            self.subjects[subject] += many
            self.modules[module] += many
        for key in dict.fromkeys(keys[:-RECENT]):
            self._novelty.known.add(key)
        recent = [*map(Event, times[-RECENT:], keys[-RECENT:])]
        first -= len(keys) - len(recent)
        for event in recent[:first]:
            self._novelty.learn(event.key, ANYONE)
            if self._ensemble is not None:
                self._ensemble.observe(event)
        said: list[Said] = []
        for number, event in enumerate(recent[first:]):
            self._mark(event)
            self.formula.observe(event)
            self._novelty.learn(event.key, ANYONE)
            if self._ensemble is not None:
                self._ensemble.observe(event)
            if number % MOMENT == 0:
                said.append(self._said(event.t))
        self.wanted.learn(recent, said)

    def _mark(self, event: Event) -> None:
        if self._ensemble is not None:
            predicted = self._ensemble.predict(event.t, self.config.top_n)
            came = self._ensemble.probability(event)
        else:
            left = 1.0 - self.novelty
            scored = self.formula.predict(event.t, self.config.top_n)
            predicted = [(key, left * p) for key, p in scored]
            known = event.key in self._novelty.known
            came = left * self.formula.probability(event) if known else self.novelty
        self.marks.add(predicted, event.key, came)

    def _said(self, now: float) -> Said:
        each = self.scored(now, self.config.top_n)
        return now, [(key, *self._of_all(key, p, now)) for key, _, p in each]

    def _of_all(self, key: Key, p: float, now: float) -> tuple[float, float]:
        """The probability of a key, and its share by the formula, if something new may come."""
        left = 1.0 - self.novelty
        share = left * self.formula.probability(Event(now, key))
        return p if self._ensemble is not None else left * p, share

    @property
    def novelty(self) -> float:
        """The probability that the next query is one never seen before."""
        if self._ensemble is not None:
            return self._ensemble.novelty()
        return self._novelty.probability(ANYONE)

    def scored(self, now: float, k: int) -> list[Scored]:
        """The ``k`` most probable next queries; by the ensemble, the score is the probability.

        By the formula it is that of a query seen before; see :attr:`novelty` for any other.
        """
        if self._ensemble is None:
            return self.formula.scored(now, k)
        return [Scored(key, p, p) for key, p in self._ensemble.predict(now, k)]

    def pace(self, now: float) -> float:
        """How many queries the horizon has; see :func:`~foretell.operators.pace.coming`."""
        return self.wanted.pace(now)

    def needed(self, key: Key, probability: float, now: float) -> float:
        """The probability that a key is wanted within the horizon, by that of being the next."""
        return self.wanted.needed(*self._of_all(key, probability, now), now)

    def worth_fetching(self, now: float) -> Iterator[tuple[Scored, float]]:
        """What is to be fetched ahead, with the probability to be wanted within the horizon."""
        if not self.config.enabled:
            return
        for each in self.scored(now, self.config.top_n):
            needed = self.needed(each.key, each.probability, now)
            if needed >= self.config.min_confidence:
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
                    "needed": round(self.needed(each.key, each.probability, now), 6),
                }
                for each in self.scored(now, self.config.top_n)
            ],
            "pace": round(self.pace(now), 4),
            "new": round(self.novelty, 6),
            "accuracy": self.marks.report(),
            "needed_accuracy": self.wanted.marks.reliability(),
        }
