"""``foretell replay --speed``: a night as it was told, or as it would have been, for people."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from ..operators.narrative import Narrative
from ..operators.plans.types import PlanEvent
from ..sinks.terminal import Terminal
from ..streams.clock import run_virtual
from ..streams.log_inputs import LogInputs
from . import play
from .pace import paced
from .source import Make, Source, opened
from .verify import present

__all__ = ["run", "show"]

logger = logging.getLogger("foretell")


def run(
    log: str,
    given: Mapping[str, Any],
    *,
    model_from: str | None,
    game: str | None,
    make: Make | None,
    speed: float,
    start: float,
    stop: float,
) -> int:
    """Print the narrative of a log at its pace.

    A recording is shown exactly as it was, if nothing is given that would make another night of
    it; any other log as it comes under the settings, in virtual time.

    :return: 1 if the log is damaged, and so could not be shown to its end.
    """
    if not given and model_from is None and LogInputs(log, upto=stop).recorded:
        return present(log, game=game, speed=speed, start=start, stop=stop)
    with opened(log, given, model_from=model_from, upto=stop, game=make) as source:
        show(source, make, speed=speed, start=start)
        if (flaw := source.inputs.flaw) is not None:
            logger.error("shown up to the damage: %s", flaw)
    return 0 if source.inputs.flaw is None else 1


def show(source: Source, make: Make | None = None, *, speed: float, start: float = 0.0) -> None:
    """Print a narrative as it is told.

    :param speed: seconds of the session a second.
    :param start: seconds of the session; what comes before is gone through at once, unseen.
    """
    terminal = Terminal(Console(highlight=False))

    def watch(event: Narrative) -> None:
        if event.t >= start:
            terminal.on_event(event)

    def plans(event: PlanEvent) -> None:
        if event.t >= start:
            terminal.on_plan(event)

    settings = source.settings
    model, wishes = source.model(settings), source.wishes()
    night = play(
        source.inputs,
        settings,
        model=model,
        wishes=wishes,
        game=make,
        watch=watch,
        plans=plans,
    )
    run_virtual(night, paced(speed, start))
