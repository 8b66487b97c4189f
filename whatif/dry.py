"""``foretell evaluate LOG --dry``: what policies would prepare, and what would come of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from ..replay.source import opened
from ..sinks.terminal import counted, safe
from .compare import compare
from .policy import parse

__all__ = ["printed", "run"]

SHOWN_WIDE = 160


def run(logs: Sequence[str], policies: str, *, json: bool) -> int:
    """Print how right each policy's bets would be, and what they would cost.

    No model is asked, whatever keys there are: the narrator speaks, in virtual time, and dollars
    are those of the price list.

    :raises ConfigError: for policies that cannot be used.
    :raises LogError: for a log that cannot be read.
    :raises ForetellError: for a log without outcomes.
    """
    found = []
    for log in logs:
        with opened(log, {}, model_from="narrator") as source:
            wanted = parse(policies, source.settings, by="--dry", fewest=1)
            night, _ = compare(source, wanted, quiet=json)
        found.append(
            {
                "session": night["session"],
                "outcomes": night["outcomes"],
                "policies": [_scored(each) for each in night["policies"]],
            }
        )
    printed(found, _table, json=json)
    return 0


def printed(
    nights: Sequence[Mapping[str, Any]], table: Callable[[Mapping[str, Any]], Table], *, json: bool
) -> None:
    """Print what was found of each night: as JSON, or as a table."""
    if json:
        print(orjson.dumps({"nights": nights}, option=orjson.OPT_INDENT_2).decode())
        return
    console = Console(highlight=False, width=None if sys.stdout.isatty() else SHOWN_WIDE)
    for night in nights:
        console.print(table(night))


def _scored(policy: Mapping[str, Any]) -> dict[str, Any]:
    """Of a policy: its bets, and what they came to."""
    named = ("policy", "hit_rate", "cost_usd", "bets")
    return {
        **{name: policy[name] for name in named},
        "latency_ms": policy["latency_ms"]["mean"],
        "prepared": sum(each["made"] for each in policy["bets"]),  # ints
        "told": sum(each["came"] for each in policy["bets"]),  # ints
    }


def _table(night: Mapping[str, Any]) -> Table:
    """A row for each kind of bet, and one for each policy."""
    title = f"{night['session']}: {counted(night['outcomes'], 'outcome')}; no model was asked"
    table = Table(title=safe(title), title_justify="left")
    columns = ("policy", "context", "why", "prepared", "should be told", "told", "share", "dollars")
    for at, name in enumerate(columns):
        table.add_column(name, justify="left" if at < 3 else "right")
    for policy in night["policies"]:
        for each in policy["bets"]:
            table.add_row(
                safe(policy["policy"]),
                each["context"],
                safe(each["source"]),
                f"{each['made']:,}",
                f"{each['expected']:,.1f}",
                f"{each['came']:,}",
            )
        share = "-" if policy["hit_rate"] is None else f"{policy['hit_rate']:.0%}"
        total = (safe(policy["policy"]), "all", "", f"{policy['prepared']:,}", "")
        dollars = f"{policy['cost_usd']:,.4f}"
        table.add_row(*total, f"{policy['told']:,}", share, dollars, end_section=True)
    return table
