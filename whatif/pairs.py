"""Pairs of tellings of the same outcomes: one prepared, one written afterwards."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ..config import Settings
from ..errors import ForetellError
from ..operators.narrative import Ended, Narrative, Served, Status
from ..operators.predict import Intensity
from ..replay import load, play
from ..replay.source import stand_in
from ..sinks.terminal import plain
from ..streams import events as ev
from ..streams.clock import run_virtual
from ..streams.footprint import targets_of

__all__ = ["Pair", "draw", "pairs"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two tellings of the same outcomes; ``first`` says which of them is shown first."""

    outcomes: tuple[int, ...]
    happened: str
    prepared: str
    fresh: str
    first: str = "prepared"

    @property
    def shown(self) -> tuple[str, str]:
        """The two texts in the order they are shown."""
        both = (self.prepared, self.fresh)
        return both if self.first == "prepared" else (both[1], both[0])

    def picked(self, vote: str) -> str:
        """What a vote stands for: ``prepared``, ``fresh`` or ``tie``."""
        if vote == "=":
            return "tie"
        return self.first if vote == "1" else "fresh" if self.first == "prepared" else "prepared"


def pairs(log: str, settings: Settings, speed: float | None = None) -> list[Pair]:
    """All outcomes of a log told whole both ways, from what was prepared and afterwards.

    With a ``base_url`` both are played in real time against that server, one after the other;
    without, in virtual time against the narrator. Texts that are the same are left out.

    :raises LogError: for a log that cannot be read.
    :raises ForetellError: for one without outcomes.
    """
    inputs = load(log)[1]
    if not any(isinstance(event, ev.Outcome) for event in inputs):
        raise ForetellError(f"{log}: has no outcomes, so there is nothing to tell")
    prepared = _told(inputs, settings, speed)
    fresh = _told(inputs, settings.model_copy(update={"intensity": Intensity.OFF}), speed)
    ready = (Served.HIT, Served.IN_FLIGHT)
    return [
        Pair(outcomes, _happened(inputs, outcomes), plain(told.text), plain(fresh[outcomes].text))
        for outcomes, told in prepared.items()
        if all(each in ready for each in told.served)
        and outcomes in fresh
        and told.text.split() != fresh[outcomes].text.split()
    ]


def _told(
    inputs: Sequence[ev.Input], settings: Settings, speed: float | None
) -> dict[tuple[int, ...], Ended]:
    found: dict[tuple[int, ...], Ended] = {}

    def watch(event: Narrative) -> None:
        if not isinstance(event, Ended) or event.retells is not None:
            return  # a retelling is numbered by its wish, and was shown beside another text
        if event.status is Status.DONE and event.text.strip():
            found[event.outcomes] = event

    if settings.base_url is not None:
        asyncio.run(play(inputs, settings, speed=speed or 1.0, watch=watch))
    else:
        run_virtual(play(inputs, settings, model=stand_in(settings), watch=watch))
    return found


def _happened(inputs: Sequence[ev.Input], outcomes: Sequence[int]) -> str:
    """What both texts tell of, in plain words. Outcomes are numbered by their place in the log."""
    said: list[str] = []
    for number in outcomes:
        event = inputs[number - 1]
        assert isinstance(event, ev.Outcome)
        actor, action = event.actor, event.action
        for before in inputs[: number - 1]:
            if isinstance(before, ev.Action) and before.action_id == event.action_id:
                actor, action = before.actor, before.action or action
        what = action or {}
        aimed = targets_of(what)
        doing = f"{actor or 'someone'}: {what.get('name') or what.get('type') or 'something'}"
        came = "; ".join(
            ", ".join([*_named(each.target, aimed), each.result, *_values(each.values)])
            for each in event.results
        )
        at = f" at {', '.join(aimed)}" if aimed else ""
        said.append(plain(f"{doing}{at}: {came}"))
    return " | ".join(said)


def _named(target: str | None, aimed: Sequence[str]) -> list[str]:
    """Whom a result is of, where that is not said already."""
    return [] if target is None or [target] == [*aimed] else [target]


def _values(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        if isinstance(value, (int, float, str)):
            yield f"{name.replace('_', ' ')} {value}"


def draw(every: Sequence[Pair], count: int, rng: random.Random) -> list[Pair]:
    """So many of the pairs, in the order of play, each with its two texts in an order drawn."""
    chosen = sorted(rng.sample(range(len(every)), min(count, len(every))))
    return [replace(every[at], first=rng.choice(("prepared", "fresh"))) for at in chosen]
