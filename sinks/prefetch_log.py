"""What fetching ahead tells of, as lines of a logger."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..operators.fetch_events import Fetched

__all__ = ["logged"]

LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


def logged(log: logging.Logger) -> Callable[[Fetched], None]:
    """A listener of an executor that logs each event at its level [1-22, 1-23, 1-63 … 1-66]."""

    def on_event(event: Fetched) -> None:
        keys = ", ".join(event.keys)
        why = f": {event.why}" if event.why else ""
        log.log(LEVELS[event.level], "prefetch: %s %s%s", keys, event.what.value, why)

    return on_event
