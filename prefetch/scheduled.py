"""``foretell schedule``: what would be fetched ahead, in which order, and why."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from ..errors import ConfigError, ForetellError
from ..operators.schedule import Constraints, Entry, Plan, schedule
from ..operators.schedule_priority import OVERRIDDEN
from ..operators.schedule_settings import Scheduling
from ..sinks.terminal import safe
from .scheduled_file import given

__all__ = ["planned", "run"]

SHOWN_WIDE = 180


def planned(path: str, changes: Mapping[str, Any], settings: Scheduling) -> Plan:
    """The plan of what a file says.

    :param changes: constraints in place of the file's.
    :param settings: what neither says.
    :raises ForetellError: for a file that cannot be used.
    :raises ConfigError: for a change that cannot be.
    """
    said = given(path)
    defaults = Constraints.of(settings)
    try:
        constraints = replace(replace(defaults, **said.constraints), **changes)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    try:
        return schedule(said.predictions, constraints, said.state, said.kinds)
    except ValueError as error:
        raise ForetellError(f"{path}: {error}") from None


def run(
    path: str, changes: Mapping[str, Any], settings: Scheduling, *, explain: bool, json: bool
) -> int:
    """Print the plan: what is fetched, and with ``explain`` all that was weighed, and why.

    See :func:`planned`.
    """
    plan = planned(path, changes, settings)
    if json:
        print(orjson.dumps(plan.as_json(), option=orjson.OPT_INDENT_2).decode())
        return 0
    console = Console(highlight=False, width=None if sys.stdout.isatty() else SHOWN_WIDE)
    limits = plan.constraints
    console.print(
        f"{len(plan.taken):,} of {len(plan.entries):,} are fetched: "
        f"{plan.tokens:,} of {limits.token_budget:,} tokens, "
        f"{plan.ms:,.0f} of {limits.time_budget_ms:,.0f} ms"
    )
    if plan.entries:
        console.print(_explained(plan) if explain else _short(plan))
    if missing := [item.key for item in plan.critical if item.key not in plan.wanted]:
        missed = ", ".join(missing)
        console.print(safe(f"must be there before anything starts, and is left: {missed}"))
    return 0


def _name(entry: Entry) -> str:
    first = entry.items[0]
    return first.key if len(entry.items) == 1 else f"{first.together} ({len(entry.items)} items)"


def _short(plan: Plan) -> Table:
    table = _table("", "priority", "strategy", "confidence", "tokens", "ms")
    for entry in plan.taken:
        table.add_row(
            safe(_name(entry)),
            entry.priority.label,
            entry.lane,
            f"{entry.confidence:.2f}",
            f"{entry.tokens:,}",
            f"{entry.ms:,.0f}",
        )
    return table


def _explained(plan: Plan) -> Table:
    table = _table(
        "", "priority", "because", "confidence", "value", "tokens", "per 1,000", "strategy", "why"
    )
    for entry in plan.entries:
        table.add_row(
            safe(_name(entry)),
            entry.priority.label,
            safe(_because(entry)),
            f"{entry.confidence:.2f}",
            f"{entry.value:.2f}",
            f"{entry.tokens:,}",
            f"{1000 * entry.ratio:,.2f}",
            entry.lane or "–",
            safe(plan.why(entry)),
            style="" if entry.taken else "dim",
        )
    return table


def _because(entry: Entry) -> str:
    """Where the priority comes from, in words."""
    if entry.modifiers == OVERRIDDEN:
        return f"{_kinds(entry)} {entry.base.label}; {OVERRIDDEN[0].why}"
    moved = int(entry.base) + sum(modifier.by for modifier in entry.modifiers)
    steps = [f"{modifier.by:+} {modifier.why}" for modifier in entry.modifiers]
    clamped = [] if moved == entry.priority else [f"no further than {entry.priority.label}"]
    return "; ".join([f"{_kinds(entry)} {entry.base.label}", *steps, *clamped])


def _kinds(entry: Entry) -> str:
    return ", ".join(dict.fromkeys(item.kind for item in entry.items))


def _table(*columns: str) -> Table:
    table = Table()
    for column in columns:
        right = column in ("confidence", "value", "tokens", "ms", "per 1,000")
        table.add_column(column, justify="right" if right else "left")
    return table
