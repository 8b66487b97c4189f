"""One log under one set of settings, and many of them in several processes."""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import signal
from bisect import bisect_left, bisect_right
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ..config import Settings
from ..errors import ForetellError
from ..operators.narrative import Ended, Narrative, Served
from ..replay import load, play
from ..replay.source import stand_in
from ..sinks.report import latency
from ..streams import events as ev
from ..streams.clock import run_virtual
from ..streams.models import Model, ModelEvent, Request
from .objective import NAMES

__all__ = ["Told", "Trial", "figures", "players", "trial"]

Task = tuple[str, Mapping[str, Any]]
"""A log's path, and settings as plain JSON."""


@dataclass(frozen=True, slots=True)
class Told:
    """How one outcome fared.

    ``latency`` is in seconds: the deadline where nothing but fallback text came, ``None`` where
    the overlap policy ended it. Dollars and tokens are its share of what its whole log took, by
    how many of the requests were made for it: after it in the foreground, before it to prepare.
    """

    latency: float | None
    ready: bool
    usd: float
    tokens: float
    wasted: float


@dataclass(frozen=True, slots=True)
class Trial:
    """All outcomes of a log by input number.

    ``wrong`` counts stale and untrue texts, and faults; ``unpriced`` are the models it has asked
    that have no price, and count as free.
    """

    told: Mapping[int, Told]
    wrong: int
    unpriced: tuple[str, ...] = ()


def trial(task: Task) -> Trial:
    """Play a log in virtual time, against the narrator.

    :raises LogError: for one that cannot be read.
    """
    path, values = task
    settings = Settings.load(values)
    served: dict[int, Served] = {}

    def watch(event: Narrative) -> None:
        if isinstance(event, Ended) and event.retells is None:  # who asks for more has been served
            served.update(zip(event.outcomes, event.served, strict=True))

    inputs, asked = _inputs(path), _Asked(stand_in(settings))
    run = run_virtual(play(inputs, settings, model=asked, watch=watch))
    shares = asked.shares({number: inputs[number - 1].t for number in sorted(served)})
    found, tokens = run.report, run.report["tokens"]
    used = tokens["prefetch"] + tokens["refine"] + tokens["foreground"]
    return Trial(
        {
            number: Told(
                settings.deadline if how is Served.FAILED else run.latencies.get(number),
                how in (Served.HIT, Served.IN_FLIGHT),
                found["cost_usd"] * shares[number],
                used * shares[number],
                tokens["wasted"] * shares[number],
            )
            for number, how in sorted(served.items())
        },
        found["stale"] + found["untrue"] + found["faults"],
        tuple(run.unpriced),
    )


class _Asked:
    """A model that notes when it was asked, and whether to prepare. The loop begins at 0."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._asked: list[tuple[float, bool]] = []

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        if request.purpose != "summary":  # which costs next to nothing, and is of them all
            prepares = request.purpose == "prefetch"
            self._asked.append((asyncio.get_running_loop().time(), prepares))
        return self._model.stream(request)

    async def aclose(self) -> None:
        await self._model.aclose()

    def shares(self, outcomes: Mapping[int, float]) -> dict[int, float]:
        """The share of the requests that each outcome takes; they come to 1.

        :param outcomes: their times in seconds, rising, by number.
        """
        numbers, times = list(outcomes), list(outcomes.values())
        counts = dict.fromkeys(numbers, 0)
        for at, prepares in self._asked:
            place = bisect_left(times, at) if prepares else bisect_right(times, at) - 1
            counts[numbers[min(max(place, 0), len(numbers) - 1)]] += 1
        return {number: count / max(1, len(self._asked)) for number, count in counts.items()}


@lru_cache(maxsize=256)
def _inputs(path: str) -> list[ev.Input]:
    return load(path)[1]


def figures(told: Sequence[Told], names: Collection[str] = NAMES) -> dict[str, float]:
    """The figures an objective may name, over outcomes of one log or many."""
    waits = [each.latency for each in told if each.latency is not None]
    found: dict[str, float] = {}
    if waits and not {"latency", "p50", "p95"}.isdisjoint(names):
        times = latency(waits)
        for name, key in (("latency", "mean"), ("p50", "p50"), ("p95", "p95")):
            found[name] = (times[key] or 0.0) / 1000
    for name in ("usd", "tokens", "wasted"):
        if name in names:
            found[name] = math.fsum(getattr(each, name) for each in told) / len(told)
    if "hit_rate" in names:
        found["hit_rate"] = len([1 for each in told if each.ready]) / max(1, len(waits))
    return {name: found.get(name, math.nan) for name in names}


@contextmanager
def players(jobs: int) -> Iterator[Callable[[Sequence[Task]], Iterator[Trial]]]:
    """A way to play many tasks, in their order, by ``jobs`` processes (1: in this one).

    :raises ForetellError: if a process dies.
    """
    if jobs == 1:
        try:
            yield lambda tasks: map(trial, tasks)
        finally:
            _inputs.cache_clear()
        return
    context = multiprocessing.get_context("spawn")  # the same on every system
    pool = ProcessPoolExecutor(jobs, context, initializer=_leave_interrupts_to_the_first)
    try:
        yield lambda tasks: pool.map(trial, tasks)
    except BrokenProcessPool:
        raise ForetellError("a process of --jobs died; try fewer, or --jobs 1") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _leave_interrupts_to_the_first() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
