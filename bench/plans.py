"""``foretell bench plans``: plans before and after, part by part, over the same scenarios."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..operators.plans.registry import Registry
from ..streams.clock import run_virtual
from ..streams.models import Model
from ..streams.narrator.engine import Engine
from ..streams.narrator.model import NarratorModel
from ..streams.narrator.profiles import Profile, profile
from .batches import several
from .processor import parts, rush
from .rows import LEAVE_OUT, ROWS, play
from .scenarios import Scenario

__all__ = ["Bench", "run"]

AGENTS, RATE, RUSH = 100, 60.0, 3.0
"""Agents, updates a second, and seconds of the rush."""


@dataclass(slots=True)
class Bench:
    """What is measured, and of what.

    :param together: agents that are asked for at once; ``streams``: requests side by side.
    :param base_url: of a real model's server, with ``model``; without, the narrator speaks in
        virtual time, at the pace of each of the ``profiles``.
    :param sizes: how many agents are asked for at once, in one request and side by side; means are
        over so many ``seeds``.
    :param processor: whether the processor's part is measured, too, which takes a real clock.
    """

    scenarios: Sequence[Scenario]
    source: str
    seed: int = 0
    together: int = 5
    streams: int = 4
    profiles: Sequence[str] = ("local-8b", "hosted-large")
    base_url: str | None = None
    model: str | None = None
    processor: bool = True
    sizes: Sequence[int] = (5, 10, 20)
    seeds: int = 5
    said: Callable[[str], None] = field(default=lambda what: None)


def run(bench: Bench) -> dict[str, Any]:
    """All of it, as plain JSON.

    :raises ModelError: if a real model is named and cannot be asked.
    """
    found: dict[str, Any] = {
        "scenarios": len(bench.scenarios),
        "source": bench.source,
        "together": bench.together,
        "streams": bench.streams,
        "measured": bench.base_url is not None,
    }
    if bench.base_url is not None:
        live = asyncio.run(_live(bench))
        found["profiles"] = {f"{bench.model or 'the model'} at {bench.base_url}": live}
    else:
        found["profiles"] = {name: _machine(bench, profile(name)) for name in bench.profiles}
    if bench.processor:
        bench.said("the processor")
        registry = Registry.core()
        found["processor"] = {
            **parts(bench.scenarios, registry),
            "rush": asyncio.run(
                rush(bench.scenarios, NarratorModel(Engine(profile("hosted-large"), bench.seed)),
                     AGENTS, RATE, RUSH)
            ),
        }  # fmt: skip
    return found


def _machine(bench: Bench, speed: Profile) -> dict[str, Any]:
    """The narrator at the pace of a profile, each row anew and in virtual time."""

    def make(seed: int = 0) -> Model:
        return NarratorModel(Engine(speed, bench.seed + seed))

    rows = []
    for row in (*ROWS, *LEAVE_OUT):
        bench.said(f"{speed.name}: {row.name}")
        settings: Mapping[str, Any] = {}
        how = {"together": bench.together, "streams": bench.streams}
        played = run_virtual(play(row, bench.scenarios, make(), settings, **how))
        rows.append(played.as_json(measured=False))
    bench.said(f"{speed.name}: several at once")
    batches = run_virtual(several(make, {}, bench.scenarios, bench.sizes, bench.seeds))
    return {"rows": rows, "several": batches}


async def _live(bench: Bench) -> dict[str, Any]:
    settings: dict[str, Any] = {"base_url": bench.base_url}
    settings |= {} if bench.model is None else {"main_model": bench.model}
    rows = []
    for row in (*ROWS, *LEAVE_OUT):
        bench.said(row.name)
        how = {"together": bench.together, "streams": bench.streams}
        played = await play(row, bench.scenarios, None, settings, **how)
        rows.append(played.as_json(measured=True))
    bench.said("several at once")
    batches = await several(lambda seed: None, settings, bench.scenarios, bench.sizes[:2], 1)
    return {"rows": rows, "several": batches}
