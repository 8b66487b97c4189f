"""A night with nothing changed: it comes out of its recording line by line."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..operators.narrative import Narrative
from ..progress import Step
from ..session import Session
from ..streams.log import LogError
from .lockstep import NotRecorded, walk
from .night import Outcomes, Run
from .source import Make, Source
from .verify import plain_game

__all__ = ["walked"]


def walked(
    source: Source,
    game: Make | None,
    watch: Callable[[Narrative], None] | None,
    step: Step,
) -> Run | None:
    """One pass over a recording in its own order.

    For what came first at one instant, a word, a timer, or what the game said when it had read the
    word, is known to the recording alone, and of a live night so is the time its own work took.

    ``None`` where the night has to be played: where something is to be otherwise than recorded, or
    comes out otherwise, and where it has no end, for then there is more to tell than it holds.

    :param watch: called with each event of the narrative, when all of it is known to be as it was.
    """
    inputs = source.inputs
    if not source.unchanged or inputs.flaw is not None:
        return None
    started = time.perf_counter()
    outcomes = Outcomes(inputs.without_ends)
    last: list[Session[Any]] = []
    status: dict[str, Any] = {}
    heard: list[Narrative] = []

    def opened(session: Session[Any]) -> None:
        last[:] = [session]
        session.subscribe(outcomes.on_event)
        if watch is not None:
            session.subscribe(heard.append)

    def ending(session: Session[Any]) -> None:
        status.update(session.cache_status())

    def after(session: Session[Any]) -> None:
        step(session._pipeline.inputs.now)

    make = game or plain_game(inputs.path)
    try:
        night = walk(inputs.path, make, opened=opened, ending=ending, after=after)
    except (LogError, NotRecorded):
        return None
    if night.difference is not None or not night.closed:
        return None
    if watch is not None:
        for event in heard:
            watch(event)
    if "shared" in status:
        status["shared"] = {"kind": "recording", **status["shared"]}
    run = outcomes.run(last[0], status, night.last_t, time.perf_counter() - started)
    run.report["faults"] -= night.guest_faults
    run.streams = {"requests": night.asked, "recorded": night.asked, "cut": 0}
    return run
