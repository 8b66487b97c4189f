"""What is wrong with the plans a model writes, on demand: one thing each, as its name says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from .facts import find_facts
from .faults import Kind

__all__ = ["misplanned"]

Plan = dict[str, Any]

NO_TOOL, NOBODY, STRANGER = "Levitate", "nobody-there", "somebody-else"
BEFORE = (
    "Sure! Here is what they do, as [1] and {agent} have it, by the rules of {the game}:\n"
    '{"note": 1, "tools": ["thought", "out"]}\n'
)
BEHIND = '\nI hope that this [plan] helps. {"done": true}'


def misplanned(text: str, prompt: str, kind: Kind, share: float) -> str:
    """An answer with plans in which one thing is wrong; any other answer stays as it is.

    :param share: which step, or which of several agents, from 0 for the first to 1 for the last.
    """
    try:
        told = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    one = isinstance(told, dict) and "steps" in told
    plans: list[Plan] = [told] if one else told.get("plans", []) if isinstance(told, dict) else []
    if not plans or not all(map(_is_plan, plans)):
        return text
    if kind is Kind.CHATTY:
        return f"{BEFORE}{text}{BEHIND}"
    agents = (find_facts(prompt) or {}).get("agents")
    facts = [each for each in agents if isinstance(each, dict)] if isinstance(agents, list) else []
    if kind in _STEPS:
        at = _place(plans, share)
        if at is None:
            return text
        plan, number = at
        steps = plan["steps"]
        whose = next((each for each in facts if one or each.get("id") == plan.get("agent")), {})
        steps[number] = _STEPS[kind](steps[number], whose)
    elif one:
        if kind in (Kind.BADPLAN, Kind.NOPLAN):
            told["steps"] = _spoilt(told["steps"]) if kind is Kind.BADPLAN else []
    else:
        told["plans"] = _others(plans, kind, _at(plans, share))
    return orjson.dumps(told).decode()


def _is_plan(plan: Any) -> bool:
    steps = plan.get("steps") if isinstance(plan, dict) else None
    return isinstance(steps, list) and all(isinstance(s, dict) and "do" in s for s in steps)


def _others(plans: list[Plan], kind: Kind, at: int) -> list[Plan]:
    """The plans of several agents, and what is wrong with them as a whole."""
    plan = plans[at]
    match kind:
        case Kind.BADPLAN:
            plan["steps"] = _spoilt(plan["steps"])
        case Kind.NOPLAN:
            return [*plans[:at], *plans[at + 1 :]]
        case Kind.TWICE:
            return [*plans, {**plan, "steps": plan["steps"][::-1]}]
        case Kind.STRANGER:
            return [*plans[:at], {**plan, "agent": STRANGER}, *plans[at:]]
        case Kind.MIXED:
            return plans[::-1]
    return plans


def _spoilt(steps: list[Any]) -> list[Any]:
    return [_bad_tool(step, {}) for step in steps]


def _bad_tool(step: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    return {**step, "do": NO_TOOL}


def _bad_target(step: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """At somebody who is not there; a step without a target becomes one that has it."""
    tools = {"Attack": {"target": [NOBODY]}, **_able(facts)}
    names = [step["do"], *tools]
    name = next(each for each in names if "target" in tools.get(each, {}))
    kept = step if name == step["do"] else {}
    return {**kept, "do": name, "target": NOBODY}


def _bad_arg(step: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, Any]:
    """A number out of its bounds, a text for a number, or a parameter that is missing."""
    bounds = _able(facts).get(step["do"], {})
    for name, may in bounds.items():
        if isinstance(may, list) and len(may) == 2 and not any(isinstance(m, str) for m in may):
            high = may[1]
            return {**step, name: "far away" if high is None else high + 1}
    for name in step:
        if name != "do":
            return {key: value for key, value in step.items() if key != name}
    able = [tool for tool, params in _able(facts).items() if params]
    return {"do": able[0] if able else "Attack"}


_STEPS: Mapping[Kind, Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]]] = {
    Kind.BADTOOL: _bad_tool,
    Kind.BADARG: _bad_arg,
    Kind.BADTARGET: _bad_target,
}


def _able(facts: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    able = facts.get("can")
    able = able if isinstance(able, Mapping) else {}
    return {name: may for name, may in able.items() if isinstance(may, Mapping)}


def _place(plans: Sequence[Plan], share: float) -> tuple[Plan, int] | None:
    """Where the step is, of all of all plans."""
    places = [(plan, number) for plan in plans for number in range(len(plan["steps"]))]
    return places[_at(places, share)] if places else None


def _at(items: Sequence[Any], share: float) -> int:
    return min(int(share * len(items)), len(items) - 1)
