"""What fetching ahead tells of, as lines of a logger."""

from __future__ import annotations

import logging
from collections.abc import Callable

from ..operators.fetch_events import Fetched, What

__all__ = ["logged"]

LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
}


MOST = 1_024


def logged(log: logging.Logger, *, once: bool = False) -> Callable[[Fetched], None]:
    """A listener of an executor that logs each event at its level [1-22, 1-23, 1-63 … 1-66].

    :param once: what happens to the same items again is for debugging only, until they have been
        loaded: a source that is down for hours is told of once.
    """
    told: dict[tuple[What, tuple[str, ...]], None] = {}

    def on_event(event: Fetched) -> None:
        keys = ", ".join(event.keys)
        why = f": {event.why}" if event.why else ""
        level = LEVELS[event.level]
        if once and event.what is What.LOADED:
            for known in [known for known in told if known[1] == event.keys]:
                del told[known]
        elif once:
            if (event.what, event.keys) in told:
                level = logging.DEBUG
            told[event.what, event.keys] = None
            if len(told) > MOST:
                del told[next(iter(told))]
        log.log(level, "prefetch: %s %s%s", keys, event.what.value, why)

    return on_event
