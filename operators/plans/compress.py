"""A snapshot made short: what matters to this agent, and what it can do now."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import orjson

from .registry import PlanTool, Registry
from .sight import Sight, band, number

__all__ = ["dumped", "facts_of"]

LONGEST = 40
"""Characters that a text of the game may take."""
FEW = 6
"""Entries that a list may have."""
PLACES = ("pos", "position", "at", "x", "y")
HEALTH = ("hp", "max_hp", "health")
OWN = (*PLACES, *HEALTH, "id")


def facts_of(
    agent: str, goal: str, registry: Registry, sight: Sight, *, most: int, room: int
) -> dict[str, Any]:
    """What a prompt says of an agent: its ``goal``, what it can ``see``, and what it ``can`` do.

    Numbers have one decimal, health is a word beside one's own points, names are short. Of the
    others there are ``most``, foes first and the nearest of them, and fewer if they take more than
    ``room`` characters; the first of them, and what can be done, is always there.
    """
    threats = sorted(sight.near, key=lambda name: sight.friend(name) is True)  # foes first
    while True:
        near = threats[:most]
        facts: dict[str, Any] = {"id": agent[:LONGEST]}
        if goal:
            facts["goal"] = goal[: 3 * LONGEST]
        facts["see"] = _seen(sight, near)
        facts["can"] = _can(registry, sight, near)
        if most <= 1 or len(dumped(facts)) <= room:
            break
        most -= 1
    if len(dumped(facts)) > room:
        facts["see"] = {name: facts["see"][name] for name in ("me", "others")}
        facts["see"]["me"] = _one(sight.me, short=True)
    return facts


def dumped(value: Any) -> str:
    """Compact JSON: no blanks, and keys in the order of the value."""
    return orjson.dumps(value).decode()


def _seen(sight: Sight, near: list[str]) -> dict[str, Any]:
    me = _one(sight.me)
    own = number(sight.me.get("hp"))
    if own is not None:
        me["points"] = _short(own)
    others = []
    for name in near:
        friend = sight.friend(name)
        other = {"id": name[:LONGEST], **_one(sight.others[name], short=True)}
        if friend is not None:
            other["friend"] = friend
        others.append(other)
    rest = {
        key[:LONGEST]: told
        for key, value in sight.state.items()
        if key not in ("me", "others") and (told := _short(value)) is not None
    }
    return {"me": me, "others": others, **rest}


def _one(one: Mapping[str, Any], *, short: bool = False) -> dict[str, Any]:
    told: dict[str, Any] = {}
    place = Sight({"me": one}).place()
    if place is not None:
        told["at"] = [_short(place[0]), _short(place[1])]
    if (health := band(one)) is not None:
        told["health"] = health
    for key, value in one.items():
        wanted = key not in OWN and (key != "side" or not short)
        if wanted and (small := _short(value)) is not None and not (short and small is False):
            told[key[:LONGEST]] = small
    if short:
        kept = ("at", "health", "name", "cover", "marked", "conditions", "ammo")
        told = {key: told[key] for key in kept if key in told}
    return told


def _short(value: Any) -> Any:
    """A small value as it is told; ``None`` for what is left out."""
    if isinstance(value, bool):
        return value
    if (found := number(value)) is not None:
        rounded = round(found, 1)
        return int(rounded) if rounded == math.trunc(rounded) else rounded
    if isinstance(value, str):
        return value[:LONGEST]
    if isinstance(value, list | tuple):
        return [small for each in value[:FEW] if (small := _short(each)) is not None] or None
    return None


def _can(registry: Registry, sight: Sight, near: list[str]) -> dict[str, Any]:
    """The tools that can be used now: for each what its parameters may be."""
    able: dict[str, Any] = {}
    for tool in registry.values():
        targets = [name for name in sight.targets(tool) if name in near]
        if targets or (tool.target is None and sight.unmet(tool, None) is None):
            able[tool.name] = {name: _range(tool, name, targets) for name in tool.params}
    return able


def _range(tool: PlanTool, name: str, targets: list[str]) -> Any:
    param = tool.params[name]
    if param.kind == "target":
        return targets
    if param.kind == "choice":
        return list(param.choices)
    if param.kind == "text":
        return "text"
    return [None if bound is None else _short(bound) for bound in (param.low, param.high)]
