"""What prefetching is worth: hits, accuracy, time saved and tokens wasted, by the formulas."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

from ..operators.fetch_events import Fetched, What
from ..operators.schedule_plan import Lane, Plan
from .prefetch_gauge import Alert, Gauge
from .store_stats import Access

__all__ = ["Metrics"]

LEAST = 20
COUNT = 100
SECONDS = 900.0
DAYS = 400
MOST = 10_000
"""So many names and open prefetches are remembered, the latest."""

WASTE_TARGET = 0.2


class _Load(NamedTuple):
    tokens: int
    gone: float = 0.0


class Metrics:
    """Counts what was fetched ahead and what became of it.

    ``hit_rate`` = hits / (hits + misses) [1-41]; ``accuracy`` = prefetches used / all of them
    [1-42]; time saved = what the loads of all hits took [1-43]; wasted tokens = those of
    prefetches nobody used [1-44]. In the windows of ``accuracy`` a prefetch counts when it is
    decided: used, or let go of unused; used after all, it is one that was used.

    :param tell: told when a rate falls below its alert, and when that is over.
    :param day: names the day of a time, for the time saved by day.
    :param label: what a key is called in the report.
    :param count: the latest so many samples, and ``seconds``: the latest minutes, are looked at.
    :param least: no alert before so many samples.
    """

    def __init__(
        self,
        tell: Callable[[Alert], None] = lambda alert: None,
        *,
        day: Callable[[float], str] = lambda t: f"day {int(t // 86_400) + 1}",
        label: Callable[[str], str] = lambda key: key,
        count: int = COUNT,
        seconds: float = SECONDS,
        least: int = LEAST,
    ) -> None:
        self._day = day
        self._label = label
        how: dict[str, Any] = {"count": count, "seconds": seconds, "least": least, "tell": tell}
        self.hit_rate = Gauge("hit_rate", target=0.7, alert=0.5, **how)
        self.accuracy = Gauge("prefetch_accuracy", target=0.6, alert=0.4, **how)
        self.total = 0
        self.used = 0
        self.tokens = 0
        self.tokens_used = 0
        self.tokens_wasted = 0
        self.saved: dict[str, float] = {}
        self.events: Counter[str] = Counter()
        self.names: dict[str, Counter[str]] = {
            name: Counter() for name in ("accurate", "missed", "late", "wasted")
        }
        self._open: dict[str, _Load] = {}
        self._gone: dict[str, _Load] = {}
        self._took: dict[str, float] = {}
        self._predicted: dict[str, None] = {}

    def predict(self, key: str) -> None:
        """It is wanted from now on: needed later and not there, it was late, and not missed."""
        _latest(self._predicted, key, None)

    def forget_predictions(self) -> None:
        """What was wanted up to now is of no account any more: another turn begins."""
        self._predicted.clear()

    def on_plan(self, plan: Plan) -> None:
        """What is wanted from now on has been predicted."""
        for entry in plan.entries:
            if entry.lane is not None:
                for key in entry.keys:
                    self.predict(key)

    def on_event(self, event: Fetched) -> None:
        """Something happened to what is fetched ahead."""
        self.events[event.what.value] += len(event.keys)
        for key in event.keys:
            if event.what is What.LOADED:
                self.loaded(key, event.t, event.tokens, event.seconds, event.lane)
            elif event.what is What.EXPIRED:
                self.unused(key, event.t)
            elif event.what is What.OVERSIZE:
                self.total += 1
                self.tokens += event.tokens
                self._waste(key, event.tokens, event.t)

    def loaded(
        self, key: str, t: float, tokens: int, seconds: float, lane: Lane | None = None
    ) -> None:
        """It was fetched, and took so long; on demand, that was no prefetch."""
        _latest(self._took, key, seconds)
        if lane is Lane.DEFERRED:
            return
        self.unused(key, t)
        self._gone.pop(key, None)
        self.total += 1
        self.tokens += tokens
        _latest(self._predicted, key, None)
        if len(self._open) >= MOST:
            self.unused(next(iter(self._open)), t)
        self._open[key] = _Load(tokens)

    def hit(self, key: str, t: float, seconds: float | None = None) -> None:
        """It was needed, and was there.

        :param seconds: what loading it would have taken; what it took, if not said.
        """
        self.hit_rate.add(t, good=True)
        self.save(t, self._took.get(key, 0.0) if seconds is None else seconds)
        self.use(key, t)

    def save(self, t: float, seconds: float) -> None:
        """So much waiting was saved."""
        day = self._day(t)
        self.saved[day] = self.saved.get(day, 0.0) + seconds
        if len(self.saved) > DAYS:
            del self.saved[next(iter(self.saved))]

    def use(self, key: str, t: float) -> None:
        """A prefetch was used, if it was one; even if it had been let go of already."""
        load = self._open.pop(key, None)
        if load is None and (load := self._gone.pop(key, None)) is not None:
            self.tokens_wasted -= load.tokens
            self.names["wasted"] -= Counter([self._label(key)])
            self.accuracy.mend(load.gone, t)
        elif load is not None:
            self.accuracy.add(t, good=True)
        if load is not None:
            self.used += 1
            self.tokens_used += load.tokens
            self._name("accurate", key)

    def missed(self, key: str, t: float, *, late: bool | None = None) -> None:
        """It was needed, and was not there.

        :param late: whether it had been predicted; if not said, whether it is now.
        """
        self.hit_rate.add(t, good=False)
        late = self.predicted(key) if late is None else late
        self._name("late" if late else "missed", key)

    def predicted(self, key: str) -> bool:
        """Whether it is wanted now."""
        return key in self._predicted

    def on_access(self, access: Access) -> None:
        """Somebody has asked a store for a key."""
        if access.level is None:
            self.missed(access.key, access.t)
        else:
            self.hit(access.key, access.t)

    def unused(self, key: str, t: float) -> None:
        """It is gone, and nobody has used it, if it was prefetched at all."""
        load = self._open.pop(key, None)
        if load is not None:
            self._waste(key, load.tokens, t)
            _latest(self._gone, key, load._replace(gone=t))

    def close(self, t: float) -> None:
        """The session is over: what has not been used never will be."""
        for key in list(self._open):
            self.unused(key, t)

    def _waste(self, key: str, tokens: int, t: float) -> None:
        self.tokens_wasted += tokens
        self.accuracy.add(t, good=False)
        self._name("wasted", key)

    def _name(self, what: str, key: str) -> None:
        names = self.names[what]
        names[self._label(key)] += 1
        if len(names) > MOST:
            often = names.most_common(MOST // 2)
            names.clear()
            names.update(dict(often))


def _latest(known: dict[str, Any], key: str, value: Any) -> None:
    known.pop(key, None)
    known[key] = value
    if len(known) > MOST:
        del known[next(iter(known))]
