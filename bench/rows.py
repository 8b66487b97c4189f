"""The same scenarios again and again, with one part of planning more, and with one less."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..game import Game
from ..operators.plans.check import checked
from ..operators.plans.sight import Sight
from ..operators.plans.types import Plan
from ..sinks.report import latency
from ..streams.models import Model
from .scenarios import Scenario

__all__ = ["LEAVE_OUT", "ROWS", "Found", "Row", "play"]

PAUSE = 2.0
"""Seconds between one round and the next."""


@dataclass(frozen=True, slots=True)
class Row:
    """A way to plan: its name, and the settings of it."""

    name: str
    plans: Mapping[str, Any]


BEFORE: Mapping[str, Any] = {
    "tier": "full", "streaming": False, "cache_size": 0, "batch_size": 1, "first": False,
}  # fmt: skip
PARTS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("shorter prompt", {"tier": "simplified"}),
    ("early steps", {"streaming": True}),
    ("cache", {"cache_size": 500}),
    ("batches", {"batch_size": 10}),
    ("rules first", {"first": True}),
)
"""What was added to the first way to plan, in the order in which it is added here."""


def _rows() -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    now, rows = dict(BEFORE), [Row("before", BEFORE)]
    for name, given in PARTS:
        now |= given
        rows.append(Row(f"+ {name}", dict(now)))
    without = [
        Row(f"all but {name}", {**now, **{each: BEFORE[each] for each in given}})
        for name, given in PARTS[:-1]
    ]
    return tuple(rows), tuple(without)


ROWS, LEAVE_OUT = _rows()


@dataclass(slots=True)
class Found:
    """What came of a row. Times are in seconds.

    :param first: to the first step, whoever made it; ``model``: to the model's first, of the plans
        in which it gave one.
    :param prompt: characters of the prompts that were sent.
    """

    row: Row
    first: list[float] = field(default_factory=list)
    model: list[float] = field(default_factory=list)
    total: list[float] = field(default_factory=list)
    plans: list[Plan] = field(default_factory=list)
    invalid: list[str] = field(default_factory=list)
    reused: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    prompt: int = 0
    tokens: Mapping[str, int] = field(default_factory=dict)
    cost: float = 0.0

    @property
    def valid_steps(self) -> float | None:
        """Of the steps the model wrote, the share that could be done."""
        fit = sum(len(plan.steps) for plan in self.by_model)  # ints
        unfit = sum(len(plan.dropped) for plan in self.plans)  # ints
        return fit / (fit + unfit) if fit + unfit else None

    @property
    def by_model(self) -> list[Plan]:
        """The plans that the model has made."""
        return [plan for plan in self.plans if plan.source is not None and plan.source.model]

    def as_json(self, *, measured: bool) -> dict[str, Any]:
        """All of it, for programs; of quality nothing, where no model was asked."""
        count = len(self.plans)
        quality = {
            "valid_steps": self.valid_steps,
            "usable_plans": len(self.by_model) / count if count else None,
        }
        return {
            "name": self.row.name,
            "plans": count,
            "perceived_ms": latency(self.first),
            "model_ms": latency(self.model),
            "total_ms": latency(self.total),
            "reused": dict(self.reused),
            "hits": len([plan for plan in self.plans if plan.source == "cache"]) / max(1, count),
            "requests": self.requests,
            "prompt_characters": round(self.prompt / self.requests) if self.requests else 0,
            "tokens": dict(self.tokens),
            "cost_usd": round(self.cost, 6),
            "invalid": self.invalid,
            **(quality if measured else dict.fromkeys(quality, "not measured")),
        }


async def play(
    row: Row,
    scenarios: Sequence[Scenario],
    model: Model | None,
    settings: Mapping[str, Any],
    *,
    together: int,
    streams: int,
) -> Found:
    """Ask for a plan for each scenario, so many agents in the same instant, and wait for all.

    :param model: whom to ask; the one that the settings name, if none.
    :param together: agents that are asked for at once.
    :param streams: requests side by side.
    """
    found = Found(row)
    plans = {**row.plans, "streams": streams}
    async with Game({**settings, "plans": plans, "intensity": "off"}, model=model) as game:
        asked = _Asked(game.model)
        game.model = asked
        session = await game.session("bench")
        for number in range(0, len(scenarios), together):
            group = scenarios[number : number + together]
            plannings = [
                session.plan(f"{number + n} {each.agent}"[:60], each.snapshot, goal=each.goal)
                for n, each in enumerate(group)
            ]
            for each, planning in zip(group, plannings, strict=True):
                found_plan = await planning
                _enter(found, each, found_plan, game.settings.plans.deadline, session)
            await asyncio.sleep(PAUSE)
        report, found.reused = session.report(), session.plans_report()["reused"]
        found.requests, found.prompt = asked.requests, asked.characters
        found.cost = report["cost_usd"]
        rows = [each for each in report["ledger"] if each["purpose"] == "plan"]
        found.tokens = {
            kind: sum(each[kind] for each in rows)  # ints
            for kind in ("input", "output", "cache_read")
        }
    return found


def _enter(found: Found, scenario: Scenario, plan: Plan, deadline: float, session: Any) -> None:
    found.plans.append(plan)
    found.total.append(plan.total)
    if plan.first is not None:
        found.first.append(plan.first)
    if plan.model is not None:
        found.model.append(plan.model)
    registry = session._pipeline.registry
    fit, dropped = checked(plan.steps, registry, Sight(scenario.snapshot))
    late = plan.total > deadline + 0.5
    if not fit or dropped or late or not math.isfinite(plan.total):
        found.invalid.append(f"{plan.agent}: {plan.status}, {plan.total:g} s, {len(fit)} steps")


class _Asked:
    """A model that counts what it is asked."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.requests = self.characters = 0

    @property
    def endpoint(self) -> Any:
        return getattr(self._model, "endpoint", None)

    def stream(self, request: Any) -> Any:
        self.requests += 1
        told = [request.system, *(message.text for message in request.messages)]
        self.characters += sum(map(len, told))  # ints
        return self._model.stream(request)

    async def aclose(self) -> None:
        await self._model.aclose()


Maker = Callable[[], Model | None]
