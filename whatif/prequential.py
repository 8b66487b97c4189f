"""Predict, then learn: how good predictors would have been on recorded sessions."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, tzinfo
from itertools import pairwise
from typing import Any, NamedTuple

from ..errors import ForetellError
from ..operators.calibration import Calibration
from ..operators.expect import habits
from ..operators.predict_baselines import Frequent, LastUsed
from ..operators.predict_document import Document
from ..operators.predict_ensemble import Ensemble, standard
from ..operators.predict_markov import Markov
from ..operators.predict_recency import Recency
from ..operators.predictors import Event
from ..operators.usage import ASPECTS
from ..progress import Step
from ..streams.events import Rewind
from ..streams.log import read_header
from ..streams.log_inputs import LogInputs
from ..streams.world import Numbered, World, advance
from .chance import bootstrap

__all__ = ["PREDICTORS", "Difference", "K", "Night", "difference", "marked", "nights"]

K = 15
"""How many predictions are asked for: the document's pool."""

Make = Callable[[tzinfo], Ensemble]

PREDICTORS: Mapping[str, Make] = {
    "last": lambda zone: Ensemble([LastUsed()]),
    "frequent": lambda zone: Ensemble([Frequent()]),
    "document": lambda zone: Ensemble([Document(zone)]),
    "recency": lambda zone: Ensemble([Recency()]),
    "markov-1": lambda zone: Ensemble([Markov((0, 1), (1,))]),
    "markov-3": lambda zone: Ensemble([Markov(voices=(3,))]),
    "session": lambda zone: habits(),
    "ensemble": standard,
}
"""Each begins with nothing learned. All give something new the same probability."""


class Night(NamedTuple):
    """The usage of one campaign or server, by aspect; its logs were learned as they were played."""

    name: str
    source: str
    events: Mapping[str, list[Event]]


class Difference(NamedTuple):
    """A mean difference from one predictor to another, with what chance allows (95 %)."""

    mean: float
    interval: tuple[float, float] | None


def nights(logs: Sequence[str], step: Step = lambda done: None) -> list[Night]:
    """The usage in session logs. Those whose header names one ``campaign`` or ``server`` are one.

    They are learned as they were played, whichever is named first.

    :raises LogError: for a log that cannot be read.
    :raises ForetellError: for one that is there twice: the first would foretell the second.
    """
    headers = {log: read_header(log).data for log in logs}
    begun = {log: _started(header.get("started")) for log, header in headers.items()}
    found: dict[str, Night] = {}
    for header in headers.values():
        name, source = _name(header), str(header.get("source", ""))
        found.setdefault(name, Night(name, source, {aspect: [] for aspect in ASPECTS}))
    seen: dict[object, tuple[str, list[tuple[str, Event]]]] = {}
    for number, log in enumerate(sorted(logs, key=begun.__getitem__), 1):
        usage = [*_usage(log, begun[log])]
        twin, same = seen.setdefault(headers[log]["id"], (log, []))
        if usage and same == usage:
            raise ForetellError(f"{log}: is the same night as {twin}; give each only once")
        seen[headers[log]["id"]] = log, usage
        for aspect, event in usage:
            found[_name(headers[log])].events[aspect].append(event)
        step(number)
    return list(found.values())


def _name(header: Mapping[str, Any]) -> str:
    return str(header.get("campaign") or header.get("server") or header["id"])


def _usage(log: str, started: float) -> Iterable[tuple[str, Event]]:
    world = World()
    for number, event in enumerate(LogInputs(log), 1):
        after = advance(world, Numbered(number, event, event.t))
        if not isinstance(event, Rewind):
            for aspect, read in ASPECTS.items():
                if found := read(world, after, event, started + event.t):
                    yield aspect, found
        world = after


def _started(said: object) -> float:
    try:
        found = datetime.fromisoformat(str(said))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return 0.0


def marked(make: Make, events: Sequence[Event], zone: tzinfo = UTC) -> Calibration:
    """The marks of a predictor that predicts each event, and then learns it.

    The first cannot be predicted, and has no mark.
    """
    predictor, marks = make(zone), Calibration()
    for number, event in enumerate(events):
        if number:
            predicted = predictor.predict(event.t, K, event.scopes)
            marks.add(predicted, event.key, predictor.probability(event))
        predictor.observe(event)
    return marks


def difference(
    first: Sequence[Calibration], other: Sequence[Calibration], rng: random.Random
) -> Difference:
    """What ``other`` adds to the log loss of ``first``, per event; below 0 it is better.

    Sequences are drawn again, and of each drawn its stretches, as long as the root of its number of
    events: what follows each other hangs together. Of one, the interval speaks of no other.
    """
    nights: list[list[tuple[tuple[float, int], tuple[float, int]]]] = []
    total = events = 0.0
    for a, b in zip(first, other, strict=True):
        pairs: list[tuple[tuple[float, int], tuple[float, int]]] = []
        nights.append(pairs)
        many = len(a.losses)
        length = math.isqrt(many)
        for start, end in pairwise([*range(0, many, max(1, length)), many]):
            sums = [math.fsum(each.losses[start:end]) for each in (a, b)]
            pairs.append(((sums[0], end - start), (sums[1], end - start)))
            total += sums[1] - sums[0]
            events += end - start
    return Difference(total / events if events else 0.0, bootstrap(nights, _mean, rng))


def _mean(blocks: Sequence[tuple[float, int]]) -> float:
    return math.fsum(loss for loss, _ in blocks) / sum(many for _, many in blocks)  # ints
