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
    threats = sorted(sight.near, key=lambda name: sight.friend(name) is True)[:most]  # foes first
    others = [_other(sight, name) for name in threats]
    able = _able(registry, sight, threats)
    me, rest, most = _me(sight), _rest(sight), len(threats)
    while True:
        near = threats[:most]
        facts: dict[str, Any] = {"id": agent[:LONGEST]}
        if goal:
            facts["goal"] = goal[: 3 * LONGEST]
        facts["see"] = {"me": me, "others": others[:most], **rest}
        facts["can"] = _can(registry, able, near)
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


def _me(sight: Sight) -> dict[str, Any]:
    me = _one(sight.me)
    own = number(sight.me.get("hp"))
    if own is not None:
        me["points"] = _short(own)
    return me


def _other(sight: Sight, name: str) -> dict[str, Any]:
    friend = sight.friend(name)
    other = {"id": name[:LONGEST], **_one(sight.others[name], short=True)}
    return other if friend is None else {**other, "friend": friend}


def _rest(sight: Sight) -> dict[str, Any]:
    """The scene, but for those who are in it."""
    return {
        key[:LONGEST]: told
        for key, value in sight.state.items()
        if key not in ("me", "others") and (told := _short(value)) is not None
    }


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


def _able(registry: Registry, sight: Sight, near: list[str]) -> dict[str, list[str] | None]:
    """The tools that can be used now; those with a target on whom, the nearest first."""
    able: dict[str, list[str] | None] = {}
    known = [name for name in sight.near if name in near]
    for tool in registry.values():
        if tool.target is not None:
            param = tool.target[1]
            able[tool.name] = [
                name
                for name in known
                if sight.may_aim(param, name) and sight.unmet(tool, name) is None
            ]
        elif sight.unmet(tool, None) is None:
            able[tool.name] = None
    return able


def _can(
    registry: Registry, able: Mapping[str, list[str] | None], near: list[str]
) -> dict[str, Any]:
    """The tools that can be used now: for each what its parameters may be."""
    can: dict[str, Any] = {}
    for name, on in able.items():
        targets = [] if on is None else [each for each in on if each in near]
        if targets or on is None:
            tool = registry[name]
            can[name] = {param: _range(tool, param, targets) for param in tool.params}
    return can


def _range(tool: PlanTool, name: str, targets: list[str]) -> Any:
    param = tool.params[name]
    if param.kind == "target":
        return targets
    if param.kind == "choice":
        return list(param.choices)
    if param.kind == "text":
        return "text"
    return [None if bound is None else _short(bound) for bound in (param.low, param.high)]
