"""The tools that plans are made of, as data: what each takes, needs and does, and its worth."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from hashlib import blake2b
from importlib import resources
from os import PathLike, fspath
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ...errors import ConfigError
from ...streams.conditions import Condition, Test, holds
from ..narration import strict_schema

__all__ = ["Effect", "Need", "Param", "PlanTool", "Registry", "Worth"]

TARGET = "{target}"
"""Stands in a path for the id of the step's target."""
MOST = 64
"""Tools a registry may have: a prompt names each."""
RESERVED = ("do", "act", "tool", "name")
"""Words of a step itself; no parameter may be called so."""
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,39}")

Finite = Annotated[float, Field(allow_inf_nan=False)]


class _Data(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Somewhere(_Data):
    path: str = Field(min_length=1)

    @cached_property
    def steps(self) -> tuple[str, ...]:
        """The path, step by step."""
        return tuple(self.path.split("."))


class Param(_Data):
    """A parameter. ``target`` is the id of somebody the agent sees, of those whom ``whom`` names.

    ``low`` and ``high`` bound a number; ``choices`` are the words of a choice; ``longest`` is the
    most characters of a text.
    """

    kind: Literal["number", "integer", "text", "choice", "target"]
    low: Finite | None = None
    high: Finite | None = None
    choices: tuple[str, ...] = ()
    longest: int = Field(default=80, ge=1, le=400)
    whom: Literal["foes", "friends", "anybody"] = "anybody"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"low {self.low:g} is more than high {self.high:g}")
        if (self.kind == "choice") != bool(self.choices):
            raise ValueError("choices belong to a choice, which has at least one")
        return self


class Need(_Somewhere):
    """What must hold in the snapshot before a step; ``path`` is dotted, as ``me.ammo``.

    See :class:`~foretell.Condition` for the tests. ``unknown``: it holds as well where the snapshot
    says nothing of it.
    """

    test: Test
    value: Any = True
    unknown: bool = False

    @property
    def of_target(self) -> bool:
        """Whether it is about the step's target."""
        return TARGET in self.steps

    def holds(self, state: Mapping[str, Any], target: str | None = None) -> bool:
        """Whether it does, for a step at ``target``."""
        path = _filled(self.steps, target)
        if holds((Condition(path, self.test, self.value),), state):
            return True
        return self.unknown and holds((Condition(path, "there", False),), state)


class Effect(_Somewhere):
    """What a step leaves behind: ``value``, or its parameters ``params`` as a list, at ``path``.

    With neither, the value there will be another, and nobody knows which.
    """

    value: Any = None
    params: tuple[str, ...] = ()

    def at(self, target: str | None) -> tuple[str, ...]:
        """The path for a step at ``target``."""
        return _filled(self.steps, target)


class Worth(_Data):
    """Points that the rules give a step while all of ``when`` holds."""

    points: Finite
    when: tuple[Need, ...] = ()


class PlanTool(_Data):
    """One thing an agent can do.

    ``doc`` is a line for the prompt. ``aim``: where the rules put its ``x`` and ``y``: ``toward``
    the nearest foe, ``at`` it, or ``away`` from it. ``safe``: it can always be done.
    """

    name: str
    doc: str = Field(max_length=200)
    group: Literal["position", "target", "simple"] = "simple"
    params: dict[str, Param] = Field(default_factory=dict)
    needs: tuple[Need, ...] = ()
    effects: tuple[Effect, ...] = ()
    worth: tuple[Worth, ...] = ()
    aim: Literal["toward", "at", "away"] | None = None
    safe: bool = False

    @cached_property
    def target(self) -> tuple[str, Param] | None:
        """Its parameter that is a target, by name, if it has one."""
        return next(((n, p) for n, p in self.params.items() if p.kind == "target"), None)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not NAME.fullmatch(self.name):
            raise ValueError(f"{self.name!r} is no name: letters, digits and _, at most 40")
        for name in self.params:
            if name in RESERVED or not NAME.fullmatch(name):
                raise ValueError(f"no parameter can be called {name!r}")
        if len([each for each in self.params.values() if each.kind == "target"]) > 1:
            raise ValueError("it has more than one target")
        conditions = (*self.needs, *(need for each in self.worth for need in each.when))
        steps = [each.steps for each in (*conditions, *self.effects)]
        if self.target is None and any(TARGET in each for each in steps):
            raise ValueError(f"{TARGET} stands in a path, and it has no target")
        for effect in self.effects:
            if missing := [name for name in effect.params if name not in self.params]:
                raise ValueError(f"an effect takes {missing[0]!r}, which is no parameter of it")
        if self.aim is not None and not {"x", "y"} <= self.params.keys():
            raise ValueError("aim is for tools with parameters x and y")
        if self.safe and (self.needs or self.params):
            raise ValueError("it is safe only without needs and parameters")
        return self


class Registry(Mapping[str, PlanTool]):
    """The tools there are, by name, in their order.

    :param tools: at least one of them ``safe``.
    :raises ConfigError: for tools that cannot be used; one line says which, and why.
    """

    def __init__(self, tools: Mapping[str, PlanTool]) -> None:
        if not 1 <= len(tools) <= MOST:
            raise ConfigError(f"tools: there are {len(tools)}; 1 to {MOST} can be used")
        if not any(tool.safe for tool in tools.values()):
            raise ConfigError("tools: none is safe: mark one that can always be done, such as Wait")
        self._tools = dict(tools)

    def __getitem__(self, name: str) -> PlanTool:
        return self._tools[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tools)

    def __len__(self) -> int:
        return len(self._tools)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Registry) and self.digest == other.digest

    def __hash__(self) -> int:
        return int(self.digest, 16)

    def __repr__(self) -> str:
        return f"<Registry [{', '.join(self._tools)}]>"

    @staticmethod
    def full() -> Registry:
        """The tools that ship with Foretell."""
        return _shipped()[0]

    @staticmethod
    def core() -> Registry:
        """The eight of them that most fights are made of."""
        return _shipped()[1]

    @classmethod
    def of(cls, source: Registry | Mapping[str, Any] | str | PathLike[str]) -> Registry:
        """A registry, from ``{"tools": [...]}`` or a JSON file of that.

        :raises ConfigError: for a file that cannot be read, and for tools that cannot be used.
        """
        if isinstance(source, Registry):
            return source
        where = "tools"
        if not isinstance(source, Mapping):
            try:
                where = fspath(source)
                source = orjson.loads(Path(source).read_bytes())
            except TypeError:
                kind = type(source).__name__
                raise ConfigError(f"tools are a mapping or a JSON file, not {kind}") from None
            except (OSError, orjson.JSONDecodeError) as error:
                raise ConfigError(f"{where}: {error}") from None
        listed = source.get("tools") if isinstance(source, Mapping) else None
        if not isinstance(listed, list | tuple):
            raise ConfigError(f'{where}: must be an object with a list "tools"')
        tools: dict[str, PlanTool] = {}
        for place, data in enumerate(listed):
            tool = _tool(data, where, place)
            if tool.name in tools:
                raise ConfigError(f"{where}: {tool.name} is there twice")
            tools[tool.name] = tool
        return cls(tools)

    @cached_property
    def safe(self) -> PlanTool:
        """The tool that is left when nothing else can be done."""
        return next(tool for tool in self._tools.values() if tool.safe)

    def as_json(self) -> dict[str, Any]:
        """As plain JSON; :meth:`of` reads it."""
        tools = [tool.model_dump(mode="json", exclude_defaults=True) for tool in self.values()]
        return {"tools": tools}

    @cached_property
    def digest(self) -> str:
        """Equal for equal registries."""
        return blake2b(orjson.dumps(self.as_json()), digest_size=8).hexdigest()

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of a plan: one for all agents and snapshots, compiled once by a server.

        Bounds and targets are not in it: servers refuse the one, and the other changes. They are
        checked when a step comes.
        """
        schema: Mapping[str, Any] = strict_schema(self._plan_schema, "Plan")
        return schema

    @cached_property
    def schema_of_several(self) -> Mapping[str, Any]:
        """The same for the plans of several agents: one, whoever and how many they are."""
        agent = {"agent": {"type": "string"}, **self._plan_schema["properties"]}
        plans = {"type": "array", "items": {"type": "object", "properties": agent}}
        several = {"type": "object", "properties": {"plans": plans}}
        schema: Mapping[str, Any] = strict_schema(several, "Plans")
        return schema

    @cached_property
    def _plan_schema(self) -> Mapping[str, Any]:
        steps = {"anyOf": [_step_schema(tool) for tool in self.values()]}
        return {"type": "object", "properties": {"steps": {"type": "array", "items": steps}}}


def _filled(path: tuple[str, ...], target: str | None) -> tuple[str, ...]:
    return tuple(target or "" if step == TARGET else step for step in path)


def _step_schema(tool: PlanTool) -> dict[str, Any]:
    properties: dict[str, Any] = {"do": {"type": "string", "const": tool.name}}
    for name, param in tool.params.items():
        kind = param.kind if param.kind in ("number", "integer") else "string"
        properties[name] = {"type": kind}
        if param.choices:
            properties[name]["enum"] = list(param.choices)
        if param.low is not None:
            properties[name]["minimum"] = param.low
        if param.high is not None:
            properties[name]["maximum"] = param.high
    return {"type": "object", "properties": properties}


def _tool(data: Any, where: str, place: int) -> PlanTool:
    name = data.get("name") if isinstance(data, Mapping) else None
    called = name if isinstance(name, str) and name else f"tool {place + 1}"
    try:
        return PlanTool.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        at = ".".join(str(part) for part in first["loc"])
        reason = first["msg"].removeprefix("Value error, ").replace("\n", " ")
        raise ConfigError(": ".join(filter(None, (where, called, at, reason)))) from None


@cache
def _shipped() -> tuple[Registry, Registry]:
    """All tools that ship, and the core of them."""
    file = resources.files("foretell.streams").joinpath("plan_tools.json")
    data = orjson.loads(file.read_bytes())
    full = Registry.of(data)
    return full, Registry({name: full[name] for name in data["core"]})
