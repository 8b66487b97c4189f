"""The narrator's plans: what each agent of the facts can do, in an order that makes sense.

Which, follows from the seed and from what is said of that agent alone: the same agent plans the
same wherever, and beside whomever, it is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from .facts import find_facts
from .voice import Voice

__all__ = ["plans_for"]

LEAST, MOST = 2, 5
"""Steps of a plan, where there is room."""
NEAR = 3.0
"""How far from somebody a place is chosen, in the units of the map."""
LAST = ("Wait", "Scan")
"""What is done when there is nothing better."""


def plans_for(prompt: str, seed: int, schema: Mapping[str, Any], room: int | None) -> str | None:
    """Plans as JSON text, if the facts have ``agents`` and the schema wants steps; else ``None``.

    :param room: the most characters; there are fewer steps where they do not fit.
    """
    facts = find_facts(prompt)
    found = (facts or {}).get("agents")
    wanted = schema.get("properties")
    if not isinstance(found, list) or not isinstance(wanted, Mapping):
        return None
    agents = [each for each in found if isinstance(each, dict)]
    one = "steps" in wanted
    if not agents or not (one or "plans" in wanted):
        return None
    most = (facts or {}).get("most")
    most = min(MOST, most) if isinstance(most, int) and most > 0 else MOST
    plans = [_steps(agent, seed, most) for agent in agents]
    for least in range(most, 0, -1):
        short = [steps[:least] for steps in plans]
        if one:
            text = orjson.dumps({"steps": short[0]}).decode()
        else:
            named = zip(agents, short, strict=True)
            told = [{"agent": agent.get("id"), "steps": steps} for agent, steps in named]
            text = orjson.dumps({"plans": told}).decode()
        if room is None or len(text) <= room:
            break
    return text


def _steps(agent: Mapping[str, Any], seed: int, most: int) -> list[dict[str, Any]]:
    """What an agent does: each of another tool, and what is idle last."""
    able = agent.get("can")
    able = able if isinstance(able, Mapping) else {}
    voice = Voice(seed, orjson.dumps(agent).decode())
    failed = agent.get("failed")
    barred = failed if isinstance(failed, Mapping) else {}
    tools = sorted(able, key=lambda name: (name in LAST, voice.number(f"order {name}", 2**32)))
    count = min(most, LEAST + voice.number("count", MOST - LEAST + 1))
    steps: list[dict[str, Any]] = []
    for name in tools:
        step = _step(name, able[name], agent, voice)
        again = step is not None and all(barred.get(key) == step[key] for key in step)
        if step is not None and not (barred and again):
            steps.append(step)
        if len(steps) == count:
            break
    return steps


def _step(name: str, params: Any, agent: Mapping[str, Any], voice: Voice) -> dict[str, Any] | None:
    if not isinstance(params, Mapping):
        return None
    step: dict[str, Any] = {"do": name}
    place = _place(name, agent, voice)
    for param, may in params.items():
        if may == "text":
            step[param] = "steady"
        elif isinstance(may, list) and len(may) == 2 and not any(isinstance(m, str) for m in may):
            step[param] = _number(place.get(param), may)
        elif isinstance(may, list) and may:
            step[param] = may[voice.number(f"{name} {param}", len(may))]
        else:
            return None
    return step


def _place(name: str, agent: Mapping[str, Any], voice: Voice) -> Mapping[str, float]:
    """A place near somebody the agent sees, or near itself."""
    see = agent.get("see")
    see = see if isinstance(see, Mapping) else {}
    others = see.get("others")
    seen: Sequence[Any] = [see.get("me"), *(others if isinstance(others, list) else ())]
    places = [
        at
        for one in seen
        if isinstance(one, Mapping) and isinstance(at := one.get("at"), list) and len(at) == 2
    ]
    if not places:
        return {}
    x, y = places[voice.number(f"{name} by", len(places))]
    aside = [NEAR * (voice.number(f"{name} {axis}", 201) / 100 - 1) for axis in "xy"]
    return {"x": round(x + aside[0], 1), "y": round(y + aside[1], 1)}


def _number(wanted: float | None, bounds: Sequence[float | None]) -> float:
    low, high = bounds
    value = 0.0 if wanted is None else wanted
    value = value if low is None else max(low, value)
    return value if high is None else min(high, value)
