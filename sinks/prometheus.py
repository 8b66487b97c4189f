"""A game's counts and times as Prometheus reads them; wants ``foretell[metrics]``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import ConfigError
from .plan_metrics import BUCKETS, Histogram, Labels, PlanMetrics

__all__ = ["Collector"]

COUNTERS = (
    ("plans", "Plans, by who answered and how they ended.", ("source", "status")),
    ("steps", "Steps of plans as the model wrote them: valid, or what was wrong.", ("result",)),
    ("falls", "How often another was asked in the place of one.", ("above", "to", "why")),
    ("hits", "Plans that needed no request of their own.", ("kind",)),
    ("served", "Outcomes, by what had been prepared for them.", ("how",)),
    ("tokens", "Tokens, as servers count them.", ("purpose", "kind")),
    ("closed", "Streams that were closed before their end.", ("purpose", "reason")),
    ("failed", "Streams that failed.", ("purpose", "error")),
)
NAMES = {
    "plans": "foretell_plans",
    "steps": "foretell_plan_steps",
    "falls": "foretell_plan_falls",
    "hits": "foretell_plan_hits",
    "served": "foretell_outcomes",
    "tokens": "foretell_tokens",
    "closed": "foretell_streams_closed",
    "failed": "foretell_streams_failed",
}


class Collector:
    """For ``prometheus_client.REGISTRY.register``. It does its work when it is read.

    :param metrics: of a game.
    :param circuits: the servers that are known, and whether each is asked: ``closed``, ``open`` or
        ``half_open``.
    :raises ConfigError: if ``prometheus_client`` is not installed.
    """

    def __init__(
        self, metrics: PlanMetrics, circuits: Callable[[], Mapping[str, str]] = dict
    ) -> None:
        try:
            from prometheus_client import core  # type: ignore[import-not-found,unused-ignore]
        except ImportError as error:
            raise ConfigError(f"{error}: pip install 'foretell[metrics]'") from None
        self._core: Any = core
        self._metrics = metrics
        self._circuits = circuits

    def describe(self) -> list[Any]:
        """Nothing: names are known when there is something of them."""
        return []

    def collect(self) -> Iterator[Any]:
        """All that there is, as families of metrics."""
        core, metrics = self._core, self._metrics
        seconds = core.HistogramMetricFamily(
            "foretell_plan_seconds", "Where the time of plans goes.", labels=("part",)
        )
        for part, histogram in metrics.seconds.items():
            if part != "told":
                seconds.add_metric((part,), *_buckets(histogram))
        yield seconds
        told = core.HistogramMetricFamily(
            "foretell_first_text_seconds", "From an outcome to the first text of its telling."
        )
        told.add_metric((), *_buckets(metrics.seconds["told"]))
        yield told
        for name, doc, labels in COUNTERS:
            family = core.CounterMetricFamily(NAMES[name], doc, labels=labels)
            counts: Mapping[Labels, int] = getattr(metrics, name)
            for values, count in sorted(counts.copy().items()):  # type: ignore[attr-defined]
                family.add_metric(values, count)
            yield family
        circuit = core.GaugeMetricFamily(
            "foretell_circuit", "Whether a server is asked for plans.", labels=("server", "state")
        )
        for server, state in self._circuits().items():
            for each in ("closed", "open", "half_open"):
                circuit.add_metric((server, each), float(each == state))
        yield circuit


def _buckets(histogram: Histogram) -> tuple[list[tuple[str, float]], float]:
    """How many were at most so large, and the sum."""
    below, total = [], 0
    for bound, count in zip((*map(str, BUCKETS), "+Inf"), [*histogram.counts], strict=True):
        total += count
        below.append((bound, float(total)))
    return below, histogram.sum
