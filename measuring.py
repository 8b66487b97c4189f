"""A game's counts and times, for Prometheus."""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING, Any

from .sinks.plan_metrics import PlanMetrics
from .sinks.prometheus import Collector
from .streams.api_errors import shown
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
    held = weakref.ref(game)
    made = Collector(metrics, lambda: _circuits(held()))
    if before is None:
        game.metrics = metrics
        weakref.finalize(game, watch(time.perf_counter, metrics.on_part))
        for session in [*game._sessions.values()]:
            session._pipeline.recorder.listen(metrics.session())
    return made


def _circuits(game: Game[Any] | None) -> dict[str, str]:
    """The server of a game, without what may be secret, and whether it is asked."""
    gate = None if game is None else game._gate
    if gate is None or gate.loop() is None:
        return {}
    endpoint = getattr(gate.model, "endpoint", None)
    url = endpoint[0] if isinstance(endpoint, tuple) else endpoint
    name = "a model" if url is None else without_paths(shown(str(url))) or "the API"
    return {name: gate.circuit}
