"""Whether a step can be done: by the registry, and by what the agent sees."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from .registry import Param, PlanTool, Registry
from .sight import Sight, number
from .types import Dropped, Flaw, Step

__all__ = ["MOST_DROPPED", "check", "checked", "step_of"]

MOST_DROPPED = 32
"""So many dropped steps of a plan are kept."""
NAMES = ("do", "act", "tool", "action", "name")
"""What models call the tool of a step."""


def step_of(raw: Any) -> Step | None:
    """A step as somebody wrote it; ``None`` if it names no tool.

    ``{"do": "Attack", "target": "e1"}``, or with ``act`` or the like in the place of ``do``, and
    ``target_id`` in that of ``target``.
    """
    if isinstance(raw, Step):
        return Step(raw.tool, raw.args)
    if not isinstance(raw, Mapping):
        return None
    name = next((each for each in NAMES if isinstance(raw.get(each), str)), None)
    if name is None:
        return None
    args = {key: value for key, value in raw.items() if key != name}
    if "target" not in args and "target_id" in args:
        args["target"] = args.pop("target_id")
    return Step(raw[name], args)


def check(
    raw: Any, registry: Registry, sight: Sight, barred: Collection[bytes] = ()
) -> Step | Flaw:
    """The step with just the parameters its tool has, or why it cannot be done now.

    :param barred: the keys of steps that are not to come again.
    """
    given = step_of(raw)
    if given is None:
        return Flaw("no_step", "it names no tool")
    tool = registry.get(given.tool)
    if tool is None:
        return Flaw("unknown_tool", f"there is no tool {given.tool[:40]!r}")
    args: dict[str, Any] = {}
    for name, param in tool.params.items():
        if given.args.get(name) is None:
            return Flaw("missing", f"{tool.name} has no {name}")
        value = _fitting(param, given.args[name])
        if isinstance(value, Flaw):
            return Flaw(value.kind, f"{name} of {tool.name} {value.what}")
        args[name] = value
    if (flaw := _aimed(tool, args, sight)) is not None:
        return flaw
    step = Step(tool.name, args)
    if step.key in barred:
        return Flaw("repeated", f"{tool.name} was tried, and failed")
    return step


def _fitting(param: Param, value: Any) -> Any:
    """The value as the step will have it, or a flaw."""
    if param.kind in ("number", "integer"):
        found = number(value)
        if found is None:
            return Flaw("type", "is no number")
        if param.kind == "integer":
            if found != int(found):
                return Flaw("type", f"is {found:g}, and no whole number")
            found = int(found)
        below = param.low is not None and found < param.low
        if below or (param.high is not None and found > param.high):
            return Flaw("range", f"is {found:g}, not {_range(param)}")
        return found
    if param.kind == "target" and isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str):
        return Flaw("type", "is no text")
    if param.kind == "choice" and value not in param.choices:
        return Flaw("range", f"is {value[:40]!r}, and none of {', '.join(param.choices)}")
    if param.kind == "text" and len(value) > param.longest:
        return Flaw("range", f"has more than {param.longest} characters")
    return value


def _range(param: Param) -> str:
    low = "" if param.low is None else f"from {param.low:g} "
    return f"{low}{'on' if param.high is None else f'to {param.high:g}'}"


def _aimed(tool: PlanTool, args: Mapping[str, Any], sight: Sight) -> Flaw | None:
    target = None
    if tool.target is not None:
        name, param = tool.target
        target = str(args[name])
        if target not in sight.others:
            return Flaw("target", f"{tool.name} is for {target[:40]!r}, who is not seen")
        if not sight.may_aim(param, target):
            return Flaw("target", f"{tool.name} is not for {target[:40]!r}: {param.whom} only")
    unmet = sight.unmet(tool, target)
    return None if unmet is None else Flaw("precondition", unmet)


def checked(
    raw: Iterable[Any],
    registry: Registry,
    sight: Sight,
    barred: Collection[bytes] = (),
    most: int = MOST_DROPPED,
) -> tuple[list[Step], list[Dropped]]:
    """The steps that can be done one after the other, and those that cannot.

    :param most: steps, at most; what comes after them is not looked at.
    """
    steps: list[Step] = []
    dropped: list[Dropped] = []
    for each in raw:
        if len(steps) == most or len(dropped) == MOST_DROPPED:
            break
        found = check(each, registry, sight, barred)
        if isinstance(found, Flaw):
            dropped.append(Dropped(each, found))
        else:
            steps.append(found)
            sight = sight.after(registry[found.tool], found.args)
    return steps, dropped
