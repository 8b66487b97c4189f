"""A rate over the latest samples and the latest minutes, with its target and its alert."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple

__all__ = ["Alert", "Gauge", "Window"]

MOST = 10_000


class Window:
    """The share of good samples among the latest ones.

    :param count: so many at most.
    :param seconds: none older than that.
    """

    def __init__(self, *, count: int = MOST, seconds: float = float("inf")) -> None:
        self._count = count
        self._seconds = seconds
        self._samples: deque[tuple[float, bool]] = deque()
        self._good = 0

    def add(self, t: float, good: bool) -> None:
        """A sample, at a time in seconds."""
        self._samples.append((t, good))
        self._good += good
        self.prune(t)

    def mend(self, t: float) -> None:
        """A bad sample of this time was a good one after all."""
        for at in range(len(self._samples) - 1, -1, -1):
            if self._samples[at] == (t, False):
                self._samples[at] = (t, True)
                self._good += 1
                return

    def prune(self, now: float) -> None:
        """Forget what is too old, or too much."""
        while self._samples and (
            len(self._samples) > self._count or self._samples[0][0] < now - self._seconds
        ):
            self._good -= self._samples.popleft()[1]

    def __len__(self) -> int:
        return len(self._samples)

    @property
    def share(self) -> float | None:
        """The share of good ones, if there are any."""
        return self._good / len(self._samples) if self._samples else None


class Alert(NamedTuple):
    """A rate has fallen below its alert in a window, or is back above it."""

    name: str
    window: str
    share: float
    threshold: float
    samples: int
    t: float
    over: bool

    def __str__(self) -> str:
        what = "is back at" if self.over else "has fallen to"
        return (
            f"{self.name} {what} {self.share:.0%} ({self.samples} samples, {self.window}); "
            f"alert below {self.threshold:.0%}"
        )


class Gauge:
    """A rate, watched.

    ::

        samples    + + - + - - - - - + + + + +
        alerts     . . . . (too few) !       (over)

    :param target: what it should be above.
    :param alert: what it must not fall below; told once, and once more when that is over.
    :param least: no alert before so many samples.
    """

    def __init__(
        self,
        name: str,
        *,
        target: float,
        alert: float,
        least: int,
        count: int,
        seconds: float,
        tell: Callable[[Alert], None],
    ) -> None:
        self.name = name
        self.target = target
        self.alert = alert
        self._least = least
        self._tell = tell
        self.good = 0
        self.all = 0
        self.windows = {
            f"latest {count}": Window(count=count),
            f"latest {seconds:g} s": Window(seconds=seconds),
        }
        self._alerting: dict[str, bool] = {}

    def add(self, t: float, good: bool) -> None:
        """A sample, at a time in seconds."""
        self.good += good
        self.all += 1
        for window, samples in self.windows.items():
            samples.add(t, good)
            self._look(window, samples, t)

    def mend(self, before: float, t: float) -> None:
        """A bad sample of a time before was a good one after all."""
        self.good += 1
        for window, samples in self.windows.items():
            samples.mend(before)
            self._look(window, samples, t)

    def _look(self, window: str, samples: Window, t: float) -> None:
        share = samples.share
        if share is None:
            return
        low, before = share < self.alert, self._alerting.get(window, False)
        if low and len(samples) < self._least:
            return
        if low != before:  # it is over as soon as what is left is good
            self._alerting[window] = low
            over = not low
            self._tell(Alert(self.name, window, share, self.alert, len(samples), t, over))

    @property
    def share(self) -> float | None:
        """The rate over all samples."""
        return self.good / self.all if self.all else None

    @property
    def alerting(self) -> tuple[str, ...]:
        """The windows in which it is too low, as far as they have enough samples still."""
        return tuple(
            window
            for window, low in self._alerting.items()
            if low and len(self.windows[window]) >= self._least
        )

    def as_json(self, now: float, good: int | None = None, of: int = 0) -> dict[str, Any]:
        """How it stands; ``met`` is null before there are enough samples.

        :param good: so many ``of`` all, where not all of them are samples yet.
        """
        share, samples = self.share, self.all
        if good is not None:
            share, samples = good / of if of else None, of
        for window in self.windows.values():
            window.prune(now)
        return {
            "value": _rounded(share),
            "target": self.target,
            "alert": self.alert,
            "met": None if share is None or samples < self._least else share > self.target,
            "alerting": list(self.alerting),
            "windows": {
                name: {"value": _rounded(window.share), "samples": len(window)}
                for name, window in self.windows.items()
            },
        }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 4)
