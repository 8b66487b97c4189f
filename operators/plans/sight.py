"""What a snapshot says, whatever is missing in it or absurd: oneself, the others, and where."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from .registry import Param, PlanTool

__all__ = ["Sight", "band", "number"]

Place = tuple[float, float]


MOST = 1e12
"""No place, count or distance of a game is larger; a number that is, is taken for none."""


def number(value: Any) -> float | None:
    """A number that is one, and of a size that says something."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if -MOST <= value <= MOST else None


def band(one: Mapping[str, Any]) -> str | None:
    """Health in a word: ``down``, ``low``, ``hurt``, ``well``; ``None`` if nothing is known."""
    hp, share = number(one.get("hp")), number(one.get("health"))
    if hp is not None and hp <= 0:
        return "down"
    if share is None:
        return None if hp is None else "up"
    return "low" if share < 0.34 else "hurt" if share < 0.67 else "well"


def _place(one: Mapping[str, Any]) -> Place | None:
    for name in ("pos", "position", "at"):
        found = one.get(name)
        if isinstance(found, Mapping):
            found = (found.get("x"), found.get("y"))
        if isinstance(found, list | tuple) and len(found) >= 2:
            x, y = number(found[0]), number(found[1])
            if x is not None and y is not None:
                return x, y
    x, y = number(one.get("x")), number(one.get("y"))
    return None if x is None or y is None else (x, y)


def _known(one: Mapping[str, Any]) -> dict[str, Any]:
    """With ``health``, the share of one's hit points, where it can be told."""
    known = dict(one)
    hp, most = number(one.get("hp")), number(one.get("max_hp"))
    if "health" not in known and hp is not None and most is not None and most > 0:
        known["health"] = hp / most
    return known


def _others(found: Any) -> dict[str, dict[str, Any]]:
    """By id; of a list, those who have one, and of two of one id the first."""
    pairs: Iterable[tuple[Any, Any]] = ()
    if isinstance(found, Mapping):
        pairs = found.items()
    elif isinstance(found, list | tuple):
        pairs = ((each.get("id"), each) for each in found if isinstance(each, Mapping))
    others: dict[str, dict[str, Any]] = {}
    for name, one in pairs:
        told = str(name) if isinstance(name, str | int) and not isinstance(name, bool) else ""
        if told and isinstance(one, Mapping):
            others.setdefault(told, _known(one))
    return others


class Sight:
    """A snapshot as an agent may use it: ``me``, ``others`` by id, and the rest as it is.

    It never changes; what a step would leave is another one.
    """

    __slots__ = ("_near", "me", "others", "state")

    def __init__(self, snapshot: Mapping[str, Any]) -> None:
        me = snapshot.get("me")
        self.me: Mapping[str, Any] = _known(me) if isinstance(me, Mapping) else {}
        self.others: Mapping[str, Mapping[str, Any]] = _others(snapshot.get("others"))
        self.state: Mapping[str, Any] = {**snapshot, "me": self.me, "others": self.others}
        self._near: list[str] | None = None

    def place(self, name: str | None = None) -> Place | None:
        """Where somebody is, or oneself."""
        return _place(self.me if name is None else self.others[name])

    def friend(self, name: str) -> bool | None:
        """Whether somebody is on one's own side; ``None`` if that is not known."""
        own, side = self.me.get("side"), self.others[name].get("side")
        return None if own is None or side is None else bool(own == side)

    def distance(self, name: str) -> float:
        """To somebody; far, if it is not known."""
        here, there = self.place(), self.place(name)
        return math.inf if here is None or there is None else math.dist(here, there)

    @property
    def near(self) -> list[str]:
        """The others, the nearest first; of equal ones by id."""
        if self._near is None:
            self._near = sorted(self.others, key=lambda name: (self.distance(name), name))
        return self._near

    def may_aim(self, param: Param, name: str) -> bool:
        """Whether somebody may be the target that a parameter wants."""
        friend = self.friend(name)
        return param.whom == "anybody" or friend is not (param.whom == "foes")

    def unmet(self, tool: PlanTool, target: str | None) -> str | None:
        """The need of a tool that is not met, in a few words."""
        for need in tool.needs:
            if (target is not None or not need.of_target) and not need.holds(self.state, target):
                return f"{tool.name} needs {need.path} {need.test} {need.value!r}"
        return None

    def targets(self, tool: PlanTool) -> list[str]:
        """Whom a tool may be used on now, the nearest first."""
        if tool.target is None:
            return []
        _, param = tool.target
        return [
            name
            for name in self.near
            if self.may_aim(param, name) and self.unmet(tool, name) is None
        ]

    def after(self, tool: PlanTool, args: Mapping[str, Any]) -> Sight:
        """What will be seen when a step is done, as far as its effects say."""
        target = None if tool.target is None else args.get(tool.target[0])
        state: Mapping[str, Any] = self.state
        for effect in tool.effects:
            if effect.params:
                state = _with(state, effect.at(target), [args[name] for name in effect.params])
            elif effect.value is not None:
                state = _with(state, effect.at(target), effect.value)
        if state is self.state:
            return self
        if state["others"] is not self.others:
            return Sight(state)
        later = Sight({"me": state["me"]})
        later.others, later.state = self.others, {**state, "me": later.me}
        if later.place() == self.place():
            later._near = self._near
        return later


def _with(state: Mapping[str, Any], path: tuple[str, ...], value: Any) -> Mapping[str, Any]:
    first, *rest = path
    inner = state.get(first)
    if rest:
        value = _with(inner if isinstance(inner, Mapping) else {}, tuple(rest), value)
    elif first in ("hp", "max_hp"):  # another share of one's points follows
        state = {key: known for key, known in state.items() if key != "health"}
    return {**state, first: value}
