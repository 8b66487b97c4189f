"""A game's counts and times, for Prometheus."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

from .sinks.plan_metrics import PlanMetrics
from .sinks.prometheus import Collector
from .streams.api_errors import shown
from .streams.breaker import Circuit
from .streams.gate import circuits
from .streams.parts import watch
from .streams.recorded import without_paths

if TYPE_CHECKING:
    from .game import Game

__all__ = ["collector"]


def collector(game: Game[Any]) -> Collector:
    """Count what the sessions of a game do, from now on, for a monitor to read.

    ``prometheus_client.REGISTRY.register(foretell.collector(game))``; names and labels stand in
    ``docs/metrics.md``. For a game that nobody asks this of nothing is counted. More than one of a
    game show the same counts. A session is counted from now on, with whatever it is doing.

    :raises ConfigError: if ``prometheus_client`` is not installed: ``foretell[metrics]``.
    """
    before = game.metrics
    metrics = before or PlanMetrics()
    made = Collector(metrics, _circuits)
    if before is None:
        game.metrics = metrics
        weakref.finalize(game, watch(time.perf_counter, metrics.on_part))
        for session in [*game._sessions.values()]:
            session._pipeline.recorder.listen(metrics.session())
    return made


def _circuits() -> dict[str, str]:
    """The servers that are known, without what may be secret; of one's keys the worst."""
    found: dict[str, str] = {}
    worst = [*Circuit]
    for endpoint, state in circuits():
        url = endpoint[0] if isinstance(endpoint, tuple) else endpoint
        name = "a model" if url is None else without_paths(shown(str(url))) or "the API"
        found[name] = max(found.get(name, Circuit.CLOSED), state, key=worst.index)
    return found
