"""The manual of the tools, for the longest prompt: all that the registry says, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .compress import dumped, facts_of
from .heuristic import by_rules
from .registry import Effect, Need, Param, PlanTool, Registry
from .sight import Sight

__all__ = ["examples", "priorities", "tool_manual"]

TESTS = {
    "is": "is {}", "not": "is not {}", "above": "is above {}", "below": "is below {}",
    "has": "has {}", "lacks": "has no {}", "there": "is known",
}  # fmt: skip
SCENES: tuple[tuple[str, str, Mapping[str, Any]], ...] = (
    (
        "Near a foe, unhurt, and ready to act:",
        "stop whoever comes near",
        {
            "me": {"side": "a", "pos": [4, 4], "hp": 20, "max_hp": 20, "ammo": 3},
            "others": {
                "e1": {"side": "b", "pos": [6, 5], "hp": 11, "max_hp": 20},
                "f1": {"side": "a", "pos": [3, 3], "hp": 18, "max_hp": 18},
            },
        },
    ),
    (
        "Badly hurt, with two foes at hand:",
        "stay alive",
        {
            "me": {"side": "a", "pos": [10, 2], "hp": 3, "max_hp": 24, "ammo": 1},
            "others": {
                "e1": {"side": "b", "pos": [12, 2], "hp": 20, "max_hp": 20},
                "e2": {"side": "b", "pos": [14, 6], "hp": 6, "max_hp": 20},
            },
        },
    ),
    (
        "With nothing left to use, and the foe far off:",
        "",
        {
            "me": {"side": "a", "pos": [0, 0], "hp": 15, "max_hp": 20, "ammo": 0},
            "others": {"e1": {"side": "b", "pos": [30, 12], "hp": 20, "max_hp": 20}},
        },
    ),
)
"""What the examples are about: three scenes, whatever the tools are."""


def tool_manual(tool: PlanTool) -> str:
    """A tool at length: what it takes, when it can be used, and what it leaves behind."""
    lines = [f"{tool.name}({', '.join(tool.params)}): {tool.doc}"]
    lines += [f"  - {name}: {_param(param)}" for name, param in tool.params.items()]
    lines += [f"  - It can be done only if {need}." for need in map(_need, tool.needs)]
    for effect in tool.effects:
        left = "another; do not count on what it was"
        if effect.params:
            left = f"[{', '.join(effect.params)}]"
        elif effect.value is not None:
            left = dumped(effect.value)
        lines.append(f"  - Afterwards {_where(effect)} is {left}.")
    if tool.safe:
        lines.append("  - It can always be done; it is what is left when nothing else can be.")
    return "\n".join(lines)


def priorities(registry: Registry) -> Iterator[str]:
    """What a careful player does first, as the worth of the tools has it; the most urgent first."""
    ways = [(worth, tool) for tool in registry.values() for worth in tool.worth]
    for worth, tool in sorted(ways, key=lambda way: -way[0].points):
        when = " and ".join(_need(need) for need in worth.when)
        yield f"{tool.name}, {f'if {when}' if when else 'at other times'}"


def examples(registry: Registry) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Scenes, and what can be done in them: the title, the facts, and the steps."""
    for title, goal, scene in SCENES:
        sight = Sight(scene)
        facts = facts_of("example", goal, registry, sight, most=2, room=2000)
        yield title, dumped(facts), [step.wire for step in by_rules(registry, sight)]


def _param(param: Param) -> str:
    match param.kind:
        case "target":
            whom = "somebody" if param.whom == "anybody" else f"one of your {param.whom}"
            return f"the id of {whom}, from the list that can has for it"
        case "choice":
            return f"one of {', '.join(param.choices)}"
        case "text":
            return f"a text of at most {param.longest} characters"
    kind = "a whole number" if param.kind == "integer" else "a number"
    low = "" if param.low is None else f", at least {param.low:g}"
    return f"{kind}{low}{'' if param.high is None else f', at most {param.high:g}'}"


def _where(at: Need | Effect) -> str:
    return at.path.replace("{target}", "(the target)")


def _need(need: Need) -> str:
    if need.test == "there" and need.value is False:
        return f"{_where(need)} is not known"
    return f"{_where(need)} {TESTS[need.test].format(dumped(need.value))}"
