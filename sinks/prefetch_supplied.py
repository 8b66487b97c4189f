"""What a session's content was worth, learned from what its recording says of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..operators.fetch_events import Fetched, What
from ..operators.schedule_plan import Lane
from .prefetch_gauge import Alert
from .prefetch_metrics import Metrics

__all__ = ["Supplied"]


class Supplied:
    """The metrics of a session's content; a session that goes on has them from its recording.

    ``tell`` is told when a rate falls below its alert, and when that is over.
    """

    def __init__(self) -> None:
        self.tell: Callable[[Alert], None] = lambda alert: None
        self.metrics = Metrics(self._alert)
        self.heard: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            "~preload": self._planned,
            "~fetched": self._fetched,
            "~looked": self._looked,
            "~over": self._closed,
            "~opened": self._closed,
        }
        """Who listens to which lines of the recording: their time in seconds, and their fields."""

    def restore(self, t: float, kind: str, line: Mapping[str, Any]) -> None:
        """Take in a line of a recording, of whichever kind."""
        if kind in self.heard:
            self.heard[kind](t, line)

    def _alert(self, alert: Alert) -> None:
        self.tell(alert)

    def _closed(self, t: float, line: Mapping[str, Any]) -> None:
        """What was loaded and not used is gone: a session that is opened again has none of it."""
        self.metrics.close(t)

    def _planned(self, t: float, line: Mapping[str, Any]) -> None:
        for key in line["keys"]:
            self.metrics.predict(key)

    def _fetched(self, t: float, line: Mapping[str, Any]) -> None:
        what, lane, keys = What(line["what"]), Lane(line["lane"]), tuple(line["keys"])
        self.metrics.on_event(Fetched(what, keys, lane, t, line["tokens"], line["seconds"]))

    def _looked(self, t: float, line: Mapping[str, Any]) -> None:
        for key in line["hit"]:
            self.metrics.hit(key, t)
        for key in line["missed"]:
            self.metrics.missed(key, t)
