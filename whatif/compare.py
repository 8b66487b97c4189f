"""``foretell replay LOG --compare``: one night under several policies, in one table."""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.progress import track
from rich.table import Table

from ..config import Settings
from ..errors import ForetellError
from ..game import narrator
from ..replay import Run, load, play
from ..sinks.terminal import counted, safe
from ..streams import events as ev
from ..streams.clock import run_virtual
from . import plot as picture
from .policy import Policy, differences, parse

__all__ = ["against", "compare", "run"]

NOTICED = 0.1
"""Seconds; a smaller change of one outcome's wait nobody notices."""

SHOWN_WIDE = 200
"""Columns of a table that no terminal bounds."""


def run(log: str, policies: str, base: Settings, *, json: bool, plot: str | None) -> int:
    """Print the comparison, and draw it where asked.

    :raises ConfigError: for policies that cannot be used.
    :raises LogError: for a log that cannot be read, or a picture that cannot be written.
    :return: 1 if a text was stale or untrue.
    """
    wanted = parse(policies, base)
    target = None if plot is None else picture.check(plot)
    found, runs = compare(log, wanted)
    if target is not None:
        picture.draw(target, found, [list(each.latencies.values()) for each in runs])
    if json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else SHOWN_WIDE)
        console.print(_table(found))
        if plot is not None:
            console.print(safe(f"drawn in {plot}"), soft_wrap=True)
    wrong = ("stale", "untrue", "faults")
    return 1 if any(each[name] for each in found["policies"] for name in wrong) else 0


def compare(path: str, policies: Sequence[Policy]) -> tuple[dict[str, Any], list[Run]]:
    """Play a log under each policy, in virtual time, against the narrator.

    :return: all figures as plain JSON, and the runs in the order of the policies.
    :raises LogError: for a log that cannot be read.
    :raises ForetellError: for one without outcomes.
    """
    session, inputs = load(path)
    outcomes = [event for event in inputs if isinstance(event, ev.Outcome)]
    if not outcomes:
        raise ForetellError(f"{path}: has no outcomes, so there is nothing to compare")
    progress = Console(stderr=True)
    runs = [
        run_virtual(
            play(
                inputs,
                policy.settings,
                model=narrator(policy.settings),
                price_list=policy.price_list,
            )
        )
        for policy in track(
            policies, "playing", console=progress, transient=True, disable=not progress.is_terminal
        )
    ]
    varied = differences(policies)
    return {
        "session": session,
        "events": len([event for event in inputs if not isinstance(event, ev.End)]),
        "turns": len([event for event in inputs if isinstance(event, ev.Turn)]),
        "outcomes": len(outcomes),
        "policies": [
            {
                "policy": policy.name,
                "settings": policy.settings.model_dump(mode="json", include=set(varied)),
                "own_prices": policy.price_list is not None,
                **each.report,
                "against_first": None if each is runs[0] else against(runs[0], each),
                "virtual_seconds": round(each.virtual_seconds, 6),
                "wall_seconds": round(each.wall_seconds, 3),
                "trace_sha256": each.trace_sha256,
            }
            for policy, each in zip(policies, runs, strict=True)
        ],
    }, runs


def against(first: Run, other: Run) -> dict[str, Any]:
    """What ``other`` changes of ``first``, over the outcomes that both have told.

    ``latency_s`` is the change of the mean time to first text, in seconds; ``sooner`` and ``later``
    count the outcomes whose time changed by more than a tenth of a second, ``same`` the others.
    ``usd_per_second_saved`` is null where no second was saved, or no dollar spent.
    """
    both = [number for number in first.latencies if number in other.latencies]
    changes = [other.latencies[number] - first.latencies[number] for number in both]
    changed, before = math.fsum(changes), math.fsum(first.latencies[number] for number in both)
    usd = other.report["cost_usd"] - first.report["cost_usd"]
    sooner = len([1 for change in changes if change < -NOTICED])
    later = len([1 for change in changes if change > NOTICED])
    return {
        "latency_s": round(changed / len(both), 6) if both else None,
        "latency_reduction": round(-changed / before, 4) if before > 0 else None,
        "sooner": sooner,
        "later": later,
        "same": len(both) - sooner - later,
        "hit_rate": round((other.report["hit_rate"] or 0) - (first.report["hit_rate"] or 0), 4),
        "tokens": _used(other.report) - _used(first.report),
        "usd": round(usd, 6),
        "usd_per_second_saved": round(usd / -changed, 6) if changed < 0 < usd else None,
    }


def _used(report: Mapping[str, Any]) -> int:
    tokens = report["tokens"]
    return int(tokens["prefetch"] + tokens["refine"] + tokens["foreground"])


def _table(found: Mapping[str, Any]) -> Table:
    """Figures down, policies across."""
    policies = found["policies"]
    title = f"{found['session']}: {counted(found['outcomes'], 'outcome')}"
    table = Table(title=safe(title), title_justify="left")
    table.add_column("")
    for each in policies:
        table.add_column(safe(each["policy"].replace(",", "\n")), justify="right")

    def row(name: str, *path: str, form: str = ",d", end: bool = False) -> None:
        cells = []
        for each in policies:
            value = each
            for key in path:
                value = None if value is None else value[key]
            cells.append("-" if value is None else format(value, form))
        table.add_row(name, *cells, end_section=end)

    for name, key in (("first text, mean (ms)", "mean"), ("median", "p50"), ("95 of 100", "p95")):
        row(name, "latency_ms", key, form=",.0f", end=key == "p95")
    for served in policies[0]["served"]:
        row(served.replace("_", " "), "served", served)
    row("hit rate", "hit_rate", form=".0%", end=True)
    for name, key in (("prefetched tokens", "prefetch"), ("saved", "saved"), ("wasted", "wasted")):
        row(name, "tokens", key)
    row("foreground tokens", "tokens", "foreground")
    row("dollars", "cost_usd", form=",.4f", end=True)
    row("stale", "stale")
    row("untrue", "untrue", end=True)
    row("against the first: sooner", "against_first", "sooner")
    row("later", "against_first", "later")
    row("mean wait (s)", "against_first", "latency_s", form="+,.2f")
    row("waiting saved", "against_first", "latency_reduction", form=".0%")
    row("tokens", "against_first", "tokens", form="+,d")
    row("dollars", "against_first", "usd", form="+,.4f")
    row("dollars per second saved", "against_first", "usd_per_second_saved", form=",.4f")
    return table
