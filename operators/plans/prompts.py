"""What a model is asked for a plan: three lengths of prompt, made of one registry and snapshot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from ...streams.models import Message, Purpose, Request, Tool
from ...streams.parts import timed
from .compress import dumped, facts_of
from .manual import examples, priorities, tool_manual
from .registry import PlanTool, Registry
from .settings import Plans
from .sight import Sight
from .texts import LONG, RULES, SEVERAL, SHORT
from .types import Ask, Tier

__all__ = ["PlanPrompt", "prompt_for", "request_for", "request_of", "told_of"]

CHARS_PER_TOKEN = 4
LATEST, WHY = 4, 80
"""Of what was done before so many steps are told, and of why one failed so many characters."""
BATCH_STEPS = 3
"""Steps of each agent where several are asked for in one: the last waits for all before it."""
EACH_TOKENS = 90
"""Of such an answer, for each agent."""
ROOM = {Tier.FULL: (40, 4000), Tier.SIMPLIFIED: (12, 900), Tier.COMPACT: (4, 680)}
"""Others that are told of at most, and characters for what is told of an agent."""


@dataclass(frozen=True, slots=True)
class PlanPrompt:
    """A prompt: what is the same for all who plan with these tools, and what is not."""

    system: str
    user: str

    @property
    def characters(self) -> int:
        """How long it is."""
        return len(self.system) + len(self.user)

    @property
    def tokens(self) -> int:
        """The same in tokens, as far as can be said without asking: four characters each."""
        return round(self.characters / CHARS_PER_TOKEN)


@timed("build")
def told_of(ask: Ask, registry: Registry, tier: Tier) -> dict[str, Any]:
    """What a prompt of a tier says of an agent; equal, but for its id, for equal inputs."""
    most, room = ROOM[tier]
    before: dict[str, Any] = {}
    if ask.done:
        before["done"] = list(ask.done[-LATEST:])
    if ask.failed is not None:
        step, why = ask.failed
        before["failed"] = {**step, **({"why": why[:WHY]} if why else {})}
    room -= len(dumped(before))
    facts = facts_of(ask.agent, ask.goal, registry, Sight(ask.snapshot), most=most, room=room)
    return facts | before


def prompt_for(ask: Ask, registry: Registry, tier: Tier, most_steps: int) -> PlanPrompt:
    """The prompt of a tier. What stays the same stands first, for the server's cache of prompts."""
    return _prompt([told_of(ask, registry, tier)], registry, tier, most_steps)


def request_for(
    ask: Ask, registry: Registry, model: str, settings: Plans, tier: Tier | None = None
) -> Request:
    """What a model is asked: structured output, or the call of one tool.

    :param tier: of the prompt, where it is not that of the settings.
    """
    tier = tier or settings.tier
    return request_of([told_of(ask, registry, tier)], registry, model, settings, tier)


@timed("build")
def request_of(
    told: Sequence[Mapping[str, Any]], registry: Registry, model: str, settings: Plans, tier: Tier
) -> Request:
    """The request for the plan of one agent, or for those of several in one answer.

    :param told: what :func:`told_of` says of each; several have ids that differ.
    """
    several = len(told) > 1
    most = min(settings.max_steps, BATCH_STEPS) if several else settings.max_steps
    prompt = _prompt(told, registry, tier, most)
    schema = registry.schema_of_several if several else registry.schema
    how: dict[str, Any] = {"schema": schema}
    if settings.transport == "tool":
        tool = Tool("plans", schema, "The plan of each agent.")
        if not several:
            tool = Tool("plan", schema, "The steps of the plan.")
        how = {"tools": (tool,), "tool_choice": tool.name, "parallel_tools": False}
    room = min(settings.max_tokens, EACH_TOKENS) if several else settings.max_tokens
    return Request(
        model=model,
        messages=(Message("user", prompt.user),),
        system=prompt.system,
        max_tokens=room * len(told),
        purpose=Purpose.PLAN,
        **how,
    )


def _prompt(
    told: Sequence[Mapping[str, Any]], registry: Registry, tier: Tier, most: int
) -> PlanPrompt:
    system, facts = _stable(registry, tier, most), dumped({"agents": list(told), "most": most})
    if len(told) == 1:
        return PlanPrompt(system, f"What will it do?\nFACTS {facts}")
    return PlanPrompt(system + SEVERAL, f"What will each of them do?\nFACTS {facts}")


@lru_cache(maxsize=64)
def _stable(registry: Registry, tier: Tier, most: int) -> str:
    tools = tuple(registry.values())
    example = ",".join(_example(tool) for tool in _telling(tools))
    if tier is Tier.FULL:
        return LONG.format(
            most=most,
            manual="\n".join(tool_manual(tool) for tool in tools),
            priorities="\n".join(f"{n}. {way}." for n, way in enumerate(priorities(registry), 1)),
            examples="\n".join(
                f"{title}\n{facts}\n{dumped({'steps': steps})}"
                for title, facts, steps in examples(registry)
            ),
            schema=dumped(registry.schema),
            example=example,
        )
    if tier is Tier.COMPACT:
        told = " ".join(_signature(tool) for tool in tools)
        return SHORT.format(most=most, tools=told, example=example)
    told = "\n".join(f"- {_signature(tool)}: {tool.doc}" for tool in tools)
    return RULES.format(most=most, tools=told, example=example)


def _telling(tools: tuple[PlanTool, ...]) -> list[PlanTool]:
    """Two tools that show the form of a step: the first with parameters, and the first without."""
    first = next((tool for tool in tools if tool.params), None)
    second = next(tool for tool in tools if not tool.params)  # the safe one has none
    return [second] if first is None else [first, second]


def _signature(tool: PlanTool) -> str:
    return f"{tool.name}({','.join(tool.params)})"


def _example(tool: PlanTool) -> str:
    shown = {"number": 12, "integer": 3, "text": "…", "target": "e1"}
    args = {n: p.choices[0] if p.choices else shown[p.kind] for n, p in tool.params.items()}
    return dumped({"do": tool.name, **args})
