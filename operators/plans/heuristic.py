"""Rules of use in the place of a model: always a plan, always valid, at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from .check import check
from .registry import Param, PlanTool, Registry
from .sight import Place, Sight
from .types import Flaw, Step

__all__ = ["by_rules"]

MOST = 3
"""Steps of such a plan: what comes later is known better by then."""
NEAREST = 6
"""So many targets are weighed."""
PACE = 4.0
"""How far one goes in a step, in the units of the map."""


def by_rules(registry: Registry, sight: Sight, barred: Collection[bytes] = ()) -> tuple[Step, ...]:
    """The steps with the most points, one after the other, each of another tool.

    What ties goes to the nearer target, and then to the tool that stands first. With nothing worth
    doing it is the registry's safe tool, even if that has failed before.
    """
    steps: list[Step] = []
    while len(steps) < MOST:
        used = {step.tool for step in steps}
        best: tuple[float, float, Step] | None = None
        for tool in registry.values():
            if tool.name in used:
                continue
            for step, distance in _ways(registry, tool, sight, barred):
                points = _points(tool, sight, step)
                if points > 0 and (best is None or (points, -distance) > (best[0], -best[1])):
                    best = points, distance, step
        if best is None:
            break
        steps.append(best[2])
        sight = sight.after(registry[best[2].tool], best[2].args)
    return tuple(steps) or (Step(registry.safe.name),)


def _points(tool: PlanTool, sight: Sight, step: Step) -> float:
    target = None if tool.target is None else step.args[tool.target[0]]
    return math.fsum(
        worth.points
        for worth in tool.worth
        if all(need.holds(sight.state, target) for need in worth.when)
    )


def _ways(
    registry: Registry, tool: PlanTool, sight: Sight, barred: Collection[bytes]
) -> Iterator[tuple[Step, float]]:
    """The steps that a tool allows now, each with the distance to whom it is about."""
    if not tool.worth:
        return
    args = {name: _usual(param) for name, param in tool.params.items()}
    if tool.target is not None:
        name = tool.target[0]
        about = [({**args, name: each}, each) for each in sight.targets(tool)[:NEAREST]]
    elif tool.aim is not None:
        foe = next((each for each in sight.near if not sight.friend(each)), None)
        place = None if foe is None else _aim(tool, sight, foe)
        if foe is None or place is None:
            return
        x, y = (_bounded(tool.params[each], at) for each, at in zip("xy", place, strict=True))
        about = [({**args, "x": x, "y": y}, foe)]
    else:
        about = [(args, "")]
    for given, other in about:
        step = check({"do": tool.name, **given}, registry, sight, barred)
        if not isinstance(step, Flaw):
            yield step, sight.distance(other) if other else 0.0


def _aim(tool: PlanTool, sight: Sight, foe: str) -> Place | None:
    here, there = sight.place(), sight.place(foe)
    if here is None or there is None:
        return None
    if tool.aim == "at":
        return there
    far = math.dist(here, there)
    if tool.aim == "toward" and far <= PACE:
        return None  # one is there already
    pace = PACE / far if far else 0.0
    if tool.aim == "away":
        pace = -pace
    return round(here[0] + pace * (there[0] - here[0]), 1), round(
        here[1] + pace * (there[1] - here[1]), 1
    )


def _bounded(param: Param, value: float) -> float:
    low = value if param.low is None else max(param.low, value)
    return low if param.high is None else min(param.high, low)


def _usual(param: Param) -> Any:
    if param.kind in ("number", "integer"):
        value = _bounded(param, 0)
        return math.ceil(value) if param.kind == "integer" else value
    return param.choices[0] if param.choices else ""
