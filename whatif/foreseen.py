"""How well a session would have foreseen what was done, by habit alone and with what was said."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from ..operators.foresee import Foresight, Mark
from ..progress import Step
from ..streams.events import Outcome, Say
from ..streams.history import History
from ..streams.log import read_header
from ..streams.log_inputs import LogInputs
from ..streams.world import Numbered, World

__all__ = ["WORDS_AGE", "foreseen"]

WORDS_AGE = 180.0
"""Seconds for which words count as said before a deed."""

ROLLED = ("hit", "miss", "critical")
KEPT = 50_000_000
LEAST = 1e-6


@dataclass(slots=True)
class _Deed:
    """Something that was done in a turn, as it had been foreseen without words and with them."""

    habit: Mark
    words: Mark
    spoken: bool
    rolled: bool


def foreseen(logs: Iterable[str], step: Step = lambda done: None) -> list[dict[str, Any]]:
    """For each source of logs that have turns, how what was done in them had been foreseen.

    Each log begins with nothing learned. ``habit`` and ``with_words``: the shares of what was done
    that had been the likeliest candidate, and one of the three likeliest, before anybody declared
    it; and log loss (nats) over what its actor could do, where it was offered. ``words``: of all
    that was done, and of attacks that were rolled for, how many the same actor had said anything
    before, how many of these it had named, and nothing else more surely, and how many seconds
    before.

    :raises LogError: for a log that cannot be read.
    """
    found: dict[str, list[_Deed]] = {}
    for number, log in enumerate(logs):
        source = str(read_header(log).data.get("source", ""))
        found.setdefault(source, []).extend(_deeds(log))
        step(number + 1)
    return [{"source": source, **_report(deeds)} for source, deeds in found.items() if deeds]


def _deeds(log: str) -> list[_Deed]:
    habit: list[Mark] = []
    words: list[Mark] = []
    deeds: list[_Deed] = []
    deaf, listening = (
        Foresight(listens=False, on_mark=habit.append),
        Foresight(on_mark=words.append),
    )
    said: dict[str, float] = {}
    inputs, world = LogInputs(log), World()
    history = History(world, KEPT, inputs.after)
    for number, event in enumerate(inputs, 1):
        after = history.advance(world, Numbered(number, event, event.t))
        for each in (deaf, listening):
            each.on_world(world, after)
            each.catch_up()
        if isinstance(event, Say):
            said[event.speaker] = event.t
        if isinstance(event, Outcome) and len(words) > len(deeds):
            mark = words[-1]
            spoken = mark.t - said.get(mark.actor, -math.inf) <= WORDS_AGE
            rolled = any(each.result in ROLLED for each in event.results)
            deeds.append(_Deed(habit[-1], mark, spoken, rolled))
        world = after
    return deeds


def _report(deeds: Sequence[_Deed]) -> dict[str, Any]:
    return {
        "done": len(deeds),
        "habit": _scores([(each.habit, each.habit.habit) for each in deeds]),
        "with_words": _scores([(each.words, each.words.likely) for each in deeds]),
        "words": {
            "all": _named(deeds),
            "attacks": _named([each for each in deeds if each.rolled]),
        },
    }


def _scores(marks: Sequence[tuple[Mark, float]]) -> dict[str, float | None]:
    many = len(marks)
    losses = [-math.log(max(p, LEAST)) for _, p in marks if p]
    return {
        "top1": round(len([1 for mark, _ in marks if mark.place == 1]) / many, 4),
        "top3": round(len([1 for mark, _ in marks if mark.place]) / many, 4),
        "offered": len(losses),
        "log_loss": round(math.fsum(losses) / len(losses), 4) if losses else None,
    }


def _named(deeds: Sequence[_Deed]) -> dict[str, Any]:
    leads = sorted(
        each.words.t - each.words.named
        for each in deeds
        if each.spoken and each.words.named is not None
    )
    lead = (
        {
            "least": round(leads[0], 1),
            "median": round(statistics.median(leads), 1),
            "most": round(leads[-1], 1),
        }
        if leads
        else None
    )
    return {
        "done": len(deeds),
        "spoken_before": len([1 for each in deeds if each.spoken]),
        "named": len(leads),
        "lead_s": lead,
    }
