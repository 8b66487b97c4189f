"""Several agents at once: in one request, and side by side."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing
from typing import Any

from ..game import Game
from ..operators.plans.types import Stepped
from ..streams.models import Delta, Model, ModelEvent, Request
from .scenarios import Scenario

__all__ = ["several"]

Maker = Callable[[int], Model | None]


async def several(
    make: Maker,
    settings: Mapping[str, Any],
    scenarios: Sequence[Scenario],
    sizes: Sequence[int],
    seeds: int,
) -> list[dict[str, Any]]:
    """For each size, means over the seeds: one request for all, and one for each.

    Seconds to the first step of the first and of the last agent and until all plans are whole, all
    of the model; how many times as long as one plan by itself; and the share of the answer that
    had come when the first agent had its first step.
    """
    found = []
    for size in sizes:
        if size > len(scenarios):
            continue
        one: list[dict[str, float]] = []
        runs: dict[str, list[dict[str, float]]] = {"together": [], "alone": []}
        for seed in range(seeds):
            at = seed * size % (len(scenarios) - size + 1)
            agents = scenarios[at : at + size]
            one.append(await _ask(make(seed), settings, agents[:1], together=False))
            for how, asked in runs.items():
                ask = _ask(make(seed), settings, agents, together=how == "together")
                asked.append(await ask)
        found.append({"agents": size, "one": _mean(one, "all")} | _means(runs, _mean(one, "all")))
    return found


def _means(runs: Mapping[str, Sequence[Mapping[str, float]]], one: float) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for how, asked in runs.items():
        found[how] = {name: _mean(asked, name) for name in asked[0]}
        found[how]["times_one"] = round(found[how]["all"] / one, 3) if one else None
    return found


def _mean(runs: Sequence[Mapping[str, float]], name: str) -> float:
    return round(math.fsum(each[name] for each in runs) / len(runs), 4)


async def _ask(
    model: Model | None,
    settings: Mapping[str, Any],
    scenarios: Sequence[Scenario],
    *,
    together: bool,
) -> dict[str, float]:
    plans = {"streams": max(4, len(scenarios)), "batch_size": 20, "first": False, "deadline": 60.0}
    async with Game({**settings, "plans": plans, "intensity": "off"}, model=model) as game:
        written = game.model = _Written(game.model)
        session = await game.session("bench")
        loop = asyncio.get_running_loop()
        firsts: dict[str, float] = {}
        share = 0

        def on_step(event: Any) -> None:
            nonlocal share
            if isinstance(event, Stepped) and event.step.source.model:
                if not firsts:
                    share = written.characters
                firsts.setdefault(event.agent, loop.time())

        session.plans.subscribe(on_step)
        begun = loop.time()
        ask = session.queue_agent if together else session.plan
        plannings = [
            ask(f"{n} {each.agent}"[:60], each.snapshot, goal=each.goal)
            for n, each in enumerate(scenarios)
        ]
        if together:
            await session.execute_batch()
        for each in plannings:
            await each
        over = loop.time()
    times = [at - begun for at in firsts.values()] or [over - begun]
    return {
        "first": min(times),
        "last": max(times),
        "all": over - begun,
        "answer": share / max(1, written.characters),
        "requests": float(written.requests),
    }


class _Written:
    """A model that counts what it writes."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.characters = self.requests = 0

    @property
    def endpoint(self) -> Any:
        return getattr(self._model, "endpoint", None)

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        self.requests += 1
        async with aclosing(self._model.stream(request)) as events:
            async for event in events:
                if isinstance(event, Delta):
                    self.characters += len(event.text)
                yield event

    async def aclose(self) -> None:
        await self._model.aclose()
