"""A search over logs, and what it found on those searched and on those held back."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from ..config import Settings
from ..errors import ConfigError
from ..progress import Step, progress
from .chance import bootstrap
from .objective import Objective
from .search import SPACE, Values, defaults, search
from .trial import Task, Told, Trial, figures, players

__all__ = ["settings_of", "tune"]

Pairs = list[tuple[Told, Told]]
"""Each outcome of a log as it fared under the default settings, and under those found."""


@dataclass(slots=True)
class _Tuning:
    """The trials of a search, kept by values and log."""

    play: Callable[[Sequence[Task]], Iterator[Trial]]
    step: Step
    base: Settings
    trials: dict[tuple[Values, str], Trial]

    def trial(self, values: Sequence[Values], logs: Sequence[str]) -> None:
        wanted = [(each, log) for each in values for log in logs]
        fresh = [each for each in dict.fromkeys(wanted) if each not in self.trials]
        tasks = [(log, settings_of(self.base, each).model_dump(mode="json")) for each, log in fresh]
        for key, done in zip(fresh, self.play(tasks), strict=True):
            self.trials[key] = done
            self.step(len(self.trials))

    def told(self, values: Values, logs: Sequence[str]) -> list[Told]:
        return [each for log in logs for each in self.trials[values, log].told.values()]

    def pairs(self, one: Values, other: Values, log: str) -> Pairs:
        told = self.trials[other, log].told
        return [
            (first, told[number])
            for number, first in self.trials[one, log].told.items()
            if number in told
        ]


def tune(
    training: Sequence[str],
    held: Sequence[str],
    objective: Objective,
    base: Settings,
    *,
    budget: int,
    jobs: int = 1,
) -> dict[str, Any]:
    """Search the settings of :data:`SPACE`; all it found as plain JSON.

    :param base: everything else, the seed included; its own values are where the search begins,
        and what its result is compared with.
    :param budget: how often, at most, a log is played, the held-back ones included.
    :raises ConfigError: if that is not enough to try two sets of values, or if the expression has
        no value under any of the first that are tried, which are those of each intensity.
    """
    most = (budget - 2 * len(held)) // len(training)
    if most < 2:
        least = 2 * (len(training) + len(held))
        raise ConfigError(f"--budget {budget} is too small for these logs: at least {least}")
    with players(jobs) as play, progress("tuning", budget) as step:
        work = _Tuning(play, step, base, {})

        def evaluate(values: Sequence[Values]) -> list[float]:
            first = not work.trials
            work.trial(values, training)
            found = [
                objective(figures(work.told(each, training), objective.names)) for each in values
            ]
            if first and not any(map(math.isfinite, found)):  # nothing to go by
                raise ConfigError(
                    f"--minimize: {objective.text!r} has no value at any intensity: it divides by "
                    "zero, is too large, or has a figure that these logs have not"
                )
            return found

        start = defaults(base)
        found = search(start, evaluate, most, random.Random(base.seed))
        work.trial([start, found.values], held)
    sides = {
        name: _side(work, logs, start, found.values, objective) if logs else None
        for name, logs in (("training", training), ("held_back", held))
    }
    chosen = settings_of(base, found.values)
    changed = [name for name in SPACE if getattr(chosen, name) != getattr(base, name)]
    return {
        "minimize": objective.text,
        "seed": base.seed,
        "budget": budget,
        "runs": len(work.trials),
        "tried": found.tried,
        "cut_short": found.cut_short,
        **sides,
        "settings": chosen.model_dump(mode="json", include=set(SPACE)),
        "changed": chosen.model_dump(mode="json", include=set(changed)),
        "unpriced": sorted({each for trial in work.trials.values() for each in trial.unpriced}),
        "wrong": sum(each.wrong for each in work.trials.values()),
    }


def settings_of(base: Settings, values: Values) -> Settings:
    """``base`` with these values of :data:`SPACE`."""
    return Settings.load({**base.model_dump(), **dict(zip(SPACE, values, strict=True))})


def _side(
    work: _Tuning, logs: Sequence[str], start: Values, best: Values, objective: Objective
) -> dict[str, Any]:
    def value(told: Sequence[Told]) -> float:
        return objective(figures(told, objective.names))

    def column(values: Values) -> dict[str, float | None]:
        told = work.told(values, logs)
        every = {"objective": value(told), **figures(told)}
        if any(work.trials[values, log].unpriced for log in logs):
            every["usd"] = math.nan
        return {
            name: round(each, 6) if math.isfinite(each) else None for name, each in every.items()
        }

    nights = [work.pairs(start, best, log) for log in logs]
    found = bootstrap(nights, value, random.Random(work.base.seed))
    pairs = [pair for night in nights for pair in night]
    change = value([new for _, new in pairs]) - value([old for old, _ in pairs])
    return {
        "logs": list(logs),
        "outcomes": len(pairs),
        "default": column(start),
        "best": column(best),
        "difference": round(change, 6) if math.isfinite(change) else None,
        "interval": None if found is None else [round(each, 6) for each in found],
        "drawn_from": "logs and their outcomes" if len(logs) > 1 else "the outcomes of one log",
    }
