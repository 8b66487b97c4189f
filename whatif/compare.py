"""``foretell replay LOG --compare``: one night under several policies, in one table."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from ..errors import ConfigError, ForetellError
from ..progress import progress
from ..replay import Run, complete, play, streams_of, unrecorded
from ..replay.night import priceless
from ..replay.source import OF_A_MODEL, Make, Source, opened
from ..sinks.terminal import counted, safe
from ..streams.clock import run_virtual
from . import plot as picture
from .policy import Policy, differences, parse

__all__ = ["against", "compare", "run"]

logger = logging.getLogger("foretell")

FIGURES = ("latency_ms", "served", "retold", "hit_rate", "tokens", "cost_usd")
"""What half of a night, told by another at another pace, does not say."""

NOTICED = 0.1
"""Seconds; a smaller change of one outcome's wait nobody notices."""

SHOWN_WIDE = 200
"""Columns of a table that no terminal bounds."""


def run(
    log: str,
    policies: str,
    given: Mapping[str, Any],
    *,
    json: bool,
    plot: str | None,
    model_from: str | None = None,
    game: Make | None = None,
    upto: float = math.inf,
) -> int:
    """Print the comparison, and draw it where asked.

    The narrator speaks unless ``model_from`` says otherwise: policies are compared by what one
    model does under each.

    :raises ConfigError: for policies that cannot be used.
    :raises LogError: for a log that cannot be read, or a picture that cannot be written.
    :return: 1 if a text was stale or untrue, or if the log is damaged.
    """
    target = None if plot is None else picture.check(plot)
    speaker = model_from or "narrator"
    with opened(log, given, model_from=speaker, upto=upto, game=game) as source:
        wanted = parse(policies, source.settings)
        found, runs = compare(source, wanted, game, quiet=json)
    if target is not None:
        _draw(target, found, runs)
    if json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        console = Console(highlight=False, width=None if sys.stdout.isatty() else SHOWN_WIDE)
        console.print(_table(found))
        if plot is not None:
            console.print(safe(f"drawn in {plot}"), soft_wrap=True)
    if found["stopped"]:
        logger.error("compared up to the damage: %s", found["stopped"])
    wrong = ("stale", "untrue", "faults")
    bad = any(each[name] for each in found["policies"] for name in wrong)
    return 1 if bad or found["stopped"] else 0


def _draw(target: str, found: Mapping[str, Any], runs: Sequence[Run]) -> None:
    """Draw the policies that can be compared."""
    pairs = zip(found["policies"], runs, strict=True)
    whole = [(each, run) for each, run in pairs if complete(each["streams"])]
    if len(whole) < 2:
        raise ForetellError(
            "--plot: the recording holds too little to compare: use --model-from narrator"
        )
    waits = [list(run.latencies.values()) for _, run in whole]
    picture.draw(target, {**found, "policies": [each for each, _ in whole]}, waits)


def compare(
    source: Source, policies: Sequence[Policy], game: Make | None = None, *, quiet: bool = True
) -> tuple[dict[str, Any], list[Run]]:
    """Play a log under each policy, in virtual time.

    :param game: makes the game, where it has prompts or the like of its own.
    :param quiet: show no progress.
    Where the recording speaks and does not hold all that a policy asks for, the policy's figures
    are null, with one warning for all: two models would be compared.

    :return: all figures as plain JSON, and the runs in the order of the policies.
    :raises ForetellError: for a log without outcomes.
    :raises ConfigError: for policies of several models, where the recording is to speak.
    """
    inputs = source.inputs
    if not inputs.outcomes:
        raise ForetellError(f"{inputs.path}: has no outcomes, so there is nothing to compare")
    varied = differences(policies)
    if source.recording is not None and (named := [name for name in varied if name in OF_A_MODEL]):
        raise ConfigError(
            f"--compare: {named[0]} differs, but the recording is one model's: use "
            "--model-from narrator"
        )
    runs: list[Run] = []
    streams: list[dict[str, int | None]] = []
    with progress("playing", inputs.last_t * len(policies), quiet=quiet) as step:
        for policy in policies:
            before, model = inputs.last_t * len(runs), source.model(policy.settings)
            night = play(
                inputs,
                policy.settings,
                model=model,
                wishes=source.wishes(policy.fixed),
                price_list=policy.price_list,
                game=game,
                step=lambda t, before=before: step(before + t),  # type: ignore[misc]
            )
            runs.append(run_virtual(night))
            streams.append(streams_of(model))
    told = [
        f"{policy.name}: {warning}"
        for policy, had in zip(policies, streams, strict=True)
        if (warning := unrecorded(had)) is not None
    ]
    if told:
        logger.warning("not compared, use --model-from narrator: %s", "; ".join(told))
    if unpriced := dict.fromkeys(model for run in runs for model in run.unpriced):
        logger.warning("%s: %s", inputs.path, priceless(unpriced))
    return {
        "session": inputs.session,
        "events": inputs.events,
        "turns": inputs.turns,
        "outcomes": inputs.outcomes,
        "model_from": source.model_from,
        "stopped": inputs.flaw and str(inputs.flaw),
        "policies": [
            {
                "policy": policy.name,
                "settings": policy.settings.model_dump(mode="json", include=set(varied)),
                "own_prices": policy.price_list is not None,
                **each.report,
                "cost_usd": each.cost_usd,
                "unpriced": each.unpriced,
                **({} if complete(had) else dict.fromkeys(FIGURES)),
                "small_share": _small_share(each.report, policy.settings.small_model),
                "streams": {**had, "warning": unrecorded(had)},
                "against_first": against(runs[0], each)
                if each is not runs[0] and complete(streams[0]) and complete(had)
                else None,
                "virtual_seconds": round(each.virtual_seconds, 6),
                "wall_seconds": round(each.wall_seconds, 3),
                "trace_sha256": each.trace_sha256,
            }
            for policy, each, had in zip(policies, runs, streams, strict=True)
        ],
    }, runs


def against(first: Run, other: Run) -> dict[str, Any]:
    """What ``other`` changes of ``first``, over the outcomes that both have told.

    ``latency_s`` is the change of the mean time to first text, in seconds; ``sooner`` and ``later``
    count the outcomes whose time changed by more than a tenth of a second, ``same`` the others.
    ``usd_per_second_saved`` is null where no second was saved, or no dollar spent. What is in
    dollars is null where a model has no price.
    """
    both = [number for number in first.latencies if number in other.latencies]
    changes = [other.latencies[number] - first.latencies[number] for number in both]
    changed, before = math.fsum(changes), math.fsum(first.latencies[number] for number in both)
    dollars, at_first = other.cost_usd, first.cost_usd
    usd = None if dollars is None or at_first is None else dollars - at_first
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
        "usd": None if usd is None else round(usd, 6),
        "usd_ratio": round(dollars / at_first, 4) if dollars is not None and at_first else None,
        "usd_per_second_saved": round(usd / -changed, 6) if usd and changed < 0 < usd else None,
    }


def _small_share(report: Mapping[str, Any], small: str) -> float | None:
    """The share of the texts that somebody was told of which the small model has written."""
    told = [row for row in report["ledger"] if row["fate"] == "told"]
    every = sum(row["streams"] for row in told)  # ints
    by_small = sum(row["streams"] for row in told if row["model"] == small)  # ints
    return round(by_small / every, 4) if every else None


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
    for served in next((each["served"] for each in policies if each["served"]), ()):
        row(served.replace("_", " "), "served", served)
    row("hit rate", "hit_rate", form=".0%", end=True)
    row("foreseen, of what was done in turns", "prediction", "top1", form=".0%")
    row("one of three foreseen", "prediction", "top3", form=".0%", end=True)
    for name, key in (("prefetched tokens", "prefetch"), ("saved", "saved"), ("wasted", "wasted")):
        row(name, "tokens", key)
    row("foreground tokens", "tokens", "foreground")
    row("dollars", "cost_usd", form=",.4f")
    row("times the dollars of the first", "against_first", "usd_ratio", form=".2f", end=True)
    row("told by the small model", "small_share", form=".0%", end=True)
    if found["model_from"] == "recording":
        row("requests", "streams", "requests")
        row("of these recorded", "streams", "recorded")
        row("wanted further than that", "streams", "cut", end=True)
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
