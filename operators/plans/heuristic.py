"""Rules of use in the place of a model: always a plan, always valid, at once."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from typing import Any

from .check import check
from .registry import Param, PlanTool, Registry
from .sight import Place, Sight
from .types import Step

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
        ways = [
            way
            for tool in registry.values()
            if tool.worth and tool.name not in used
            for way in _ways(tool, sight)
        ]
        ways.sort(key=lambda way: (-way[0], way[1]))
        fit = (check(step, registry, sight, barred) for _, _, step in ways)
        best = next((step for step in fit if isinstance(step, Step)), None)
        if best is None:
            break
        steps.append(best)
        sight = sight.after(registry[best.tool], best.args)
    return tuple(steps) or (Step(registry.safe.name),)


def _ways(tool: PlanTool, sight: Sight) -> Iterator[tuple[float, float, Step]]:
    """What may be done with a tool that is worth it: points, how far it is, and the step."""
    of_target = any(need.of_target for worth in tool.worth for need in worth.when)
    points = 0.0 if of_target else _points(tool, sight, None)
    if points <= 0 and not of_target:
        return
    args = {name: _usual(param) for name, param in tool.params.items()}
    if tool.target is not None:
        name = tool.target[0]
        for other in sight.targets(tool)[:NEAREST]:
            worth = _points(tool, sight, other) if of_target else points
            if worth > 0:
                yield worth, sight.distance(other), Step(tool.name, {**args, name: other})
    elif tool.aim is not None:
        foe = next((each for each in sight.near if not sight.friend(each)), None)
        place = None if foe is None else _aim(tool, sight, foe)
        if foe is not None and place is not None:
            x, y = (_bounded(tool.params[each], at) for each, at in zip("xy", place, strict=True))
            yield points, sight.distance(foe), Step(tool.name, {**args, "x": x, "y": y})
    else:
        yield points, 0.0, Step(tool.name, args)


def _points(tool: PlanTool, sight: Sight, target: str | None) -> float:
    return math.fsum(
        worth.points
        for worth in tool.worth
        if all(need.holds(sight.state, target) for need in worth.when)
    )


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
    value = round(value) if param.kind == "integer" else value
    low = value if param.low is None else max(param.low, value)
    return low if param.high is None else min(param.high, low)


def _usual(param: Param) -> Any:
    if param.kind in ("number", "integer"):
        return _bounded(param, 0)
    return param.choices[0] if param.choices else ""
