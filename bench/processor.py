"""What plans cost the processor: reading, checking, choosing, asking."""

from __future__ import annotations

import asyncio
import gc
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from ..game import Game
from ..operators.plans.check import checked
from ..operators.plans.heuristic import by_rules
from ..operators.plans.prompts import prompt_for
from ..operators.plans.reader import StepReader
from ..operators.plans.registry import Registry
from ..operators.plans.sight import Sight
from ..operators.plans.types import Ask, Tier
from .scenarios import Scenario

__all__ = ["parts", "rush"]

PIECE = 4
"""Characters of a piece of an answer."""


def parts(scenarios: Sequence[Scenario], registry: Registry) -> dict[str, dict[str, float]]:
    """Median and 99th percentile in milliseconds, over the scenarios, of each part of a plan.

    It is the processor's own time: what others on the machine do meanwhile is not in it.
    """
    asks = [Ask("p1", each.agent, each.snapshot, each.goal, 0.0) for each in scenarios]
    sights = [Sight(each.snapshot) for each in scenarios]
    plans = [by_rules(registry, sight) for sight in sights]
    texts = [orjson.dumps({"steps": [step.wire for step in plan]}).decode() for plan in plans]

    def read(text: str) -> None:
        reader = StepReader()
        for at in range(0, len(text), PIECE):
            reader.feed(text[at : at + PIECE])
        reader.finish()

    return {
        "read": _timed([lambda t=text: read(t) for text in texts]),  # type: ignore[misc]
        "check": _timed(
            [
                lambda p=plan, s=sight: checked(p, registry, s)  # type: ignore[misc]
                for plan, sight in zip(plans, sights, strict=True)
            ]
        ),
        "rules": _timed(
            [lambda e=each: by_rules(registry, Sight(e.snapshot)) for each in scenarios]  # type: ignore[misc]
        ),
        **{
            f"prompt, {tier}": _timed(
                [lambda a=ask, t=tier: prompt_for(a, registry, t, 5) for ask in asks]  # type: ignore[misc]
            )
            for tier in Tier
        },
    }


def _timed(calls: Sequence[Callable[[], Any]]) -> dict[str, float]:
    taken = []
    for call in (*calls[:10], *calls):
        begun = time.thread_time()
        call()
        taken.append(1000 * (time.thread_time() - begun))
    return _summed(taken[min(10, len(calls)) :])


def _summed(taken: Sequence[float]) -> dict[str, float]:
    ordered = sorted(taken)
    p99 = ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    return {"p50": round(statistics.median(ordered), 4), "p99": round(p99, 4)}


async def rush(
    scenarios: Sequence[Scenario], model: Any, agents: int, rate: float, seconds: float
) -> dict[str, float]:
    """So many agents asked for so often a second, each time in a scene that has moved on a little.

    :returns: in milliseconds, how late the loop was for what it had to do every millisecond; how
        much of the processor it took in between, which says what of that was its own doing; and how
        long the frames took in which all are asked for.
    """
    late: list[float] = []
    busy: list[float] = []
    frames: list[float] = []
    over = False

    async def heart() -> None:
        while not over:
            begun, used = time.perf_counter(), time.thread_time()
            await asyncio.sleep(0.001)
            late.append(1000 * (time.perf_counter() - begun - 0.001))
            busy.append(1000 * (time.thread_time() - used))

    async with Game({"intensity": "off"}, model=model) as game:
        session = await game.session("bench")
        beat = asyncio.create_task(heart())
        gc.collect()
        begun = time.perf_counter()
        frame = 0
        while time.perf_counter() - begun < seconds:
            at = time.thread_time()
            for n in range(agents):
                each = scenarios[n % len(scenarios)]
                session.plan(f"agent {n}", {**each.snapshot, "frame": frame // 60})
            frames.append(1000 * (time.thread_time() - at))
            frame += 1
            await asyncio.sleep(max(0.0, begun + frame / rate - time.perf_counter()))
        over = True
        await beat
    told = {"lag": late, "busy": busy, "frame": frames}
    return {
        f"{name}_{part}_ms": value
        for name, taken in told.items()
        for part, value in _summed(taken).items()
    }
