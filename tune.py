"""``foretell tune``: the settings that make an expression small over many logs."""

from __future__ import annotations

import json as plain_json
import logging
import random
import sys
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from .config import Settings
from .errors import ConfigError, ForetellError
from .replay import load
from .replay.night import priceless
from .sinks.terminal import counted, plain, safe
from .streams import events as ev
from .whatif import target
from .whatif.objective import NAMES, Objective
from .whatif.tuning import tune

__all__ = ["run", "split", "to_toml"]

log = logging.getLogger("foretell")

SHOWN_WIDE = 200

FEW = 6
"""Logs; the interval of fewer is too narrow if their nights differ much (see ``bootstrap``)."""


def run(
    logs: Sequence[str],
    minimize: str,
    base: Settings,
    *,
    holdout: float,
    budget: int,
    jobs: int,
    output: str | None,
    json: bool,
) -> int:
    """Search, print what was found, and save it where asked.

    :raises ConfigError: for an expression that cannot be used, or a budget that is too small.
    :raises LogError: for a log that cannot be read, or a file that cannot be written.
    :return: 1 if a text was stale or untrue in any of it.
    """
    real = None if output is None else target.check(output, _is_configuration, "a configuration")
    objective = Objective(minimize)
    training, held = split(_usable(logs), holdout, random.Random(base.seed))
    found = tune(training, held, objective, base, budget=budget, jobs=jobs)
    found["verdict"] = _verdict(found)
    if found["unpriced"]:
        log.warning("%s; the expression counts them as free", priceless(found["unpriced"]))
    if real is not None:
        target.write(real, to_toml(found, base).encode())
    if json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(found, output)
    return 1 if found["wrong"] else 0


def split(logs: Sequence[str], holdout: float, rng: random.Random) -> tuple[list[str], list[str]]:
    """Logs to search on, and logs held back: whole ones, drawn by seed, at least one of each.

    A single log cannot be split, for its outcomes hang together; then none is held back.
    """
    if len(logs) < 2 or holdout == 0:
        return list(logs), []
    many = min(len(logs) - 1, max(1, round(len(logs) * holdout)))
    held = set(rng.sample(range(len(logs)), many))
    both = [[log for at, log in enumerate(logs) if (at in held) is back] for back in (False, True)]
    return both[0], both[1]


def _usable(logs: Sequence[str]) -> list[str]:
    """The logs that have outcomes.

    :raises ForetellError: if one is there twice (it would be on both sides), or none is left.
    """
    seen: list[tuple[str, list[ev.Input]]] = []
    for path in logs:
        inputs = load(path)[1]
        if not any(isinstance(event, ev.Outcome) for event in inputs):
            warning = f"foretell: warning: {path}: has no outcomes; left out"
            print(plain(warning), file=sys.stderr)
            continue
        if twin := next((other for other, same in seen if same == inputs), None):
            raise ForetellError(f"{path}: is the same night as {twin}; give each only once")
        seen.append((path, inputs))
    if not seen:
        raise ForetellError("no log has outcomes, so there is nothing to tune by")
    return [path for path, _ in seen]


def _verdict(found: Mapping[str, Any]) -> str:
    if not found["changed"]:
        return "The default settings are the best that was found."
    side = found["held_back"] or found["training"]
    over = counted(side["outcomes"], "outcome")
    where = f"On the logs held back, over {over}"
    if found["held_back"] is None:
        where = f"On the very logs they were chosen by, which flatters them, over {over}"
    if side["interval"] is None:
        return f"{where}: too little to say whether they are better than the default settings."
    low, high = side["interval"]
    logs = len(side["logs"])
    drawn = "drawn from the outcomes of one log, so it speaks of no other"
    if logs > 1:
        few = ": so few that it may be too narrow" if logs < FEW else ""
        drawn = f"drawn from {logs} logs and their outcomes{few}"
    between = f"(95 % interval {low:+.4g} to {high:+.4g} of the expression, {drawn})"
    if high < 0:
        return f"{where}: better than the default settings {between}."
    if low > 0:
        return f"{where}: worse than the default settings {between}; do not use them."
    return f"{where}: the difference from the default settings is within noise {between}."


def to_toml(found: Mapping[str, Any], base: Settings) -> str:
    """A configuration file with the settings found, such as ``Game("campaign.toml")`` reads.

    Model and latency profile are in it where they are not the default ones.
    """
    with_models = base.model_dump(
        mode="json",
        include={"narrator_profile", "main_model", "small_model"},
        exclude_defaults=True,
    )
    side = found["held_back"] or found["training"]
    about = (
        f"Found by foretell tune --minimize {plain_json.dumps(found['minimize'])}",
        f"in {counted(found['runs'], 'run')} of {counted(len(found['training']['logs']), 'log')}.",
        found["verdict"],
        f"default {side['default']['objective']}, these {side['best']['objective']}",
    )
    lines = [f"# {line}" for line in about]
    for name, value in {**with_models, **found["settings"]}.items():
        if value is not None:  # TOML has no null; what is not said is none by default
            lines.append(f"{name} = {plain_json.dumps(value)}")
    text = "\n".join([*lines, ""])
    tomllib.loads(text)
    return text


def _is_configuration(content: bytes) -> bool:
    try:
        Settings.load(tomllib.loads(content.decode()))
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, ConfigError):
        return False
    return True


def _show(found: Mapping[str, Any], output: str | None) -> None:
    console = Console(highlight=False, width=None if sys.stdout.isatty() else SHOWN_WIDE)
    sides = [(name, found[name]) for name in ("training", "held_back") if found[name]]
    table = Table(title=safe(f"minimize {found['minimize']}"), title_justify="left")
    table.add_column("")
    for name, _ in sides:
        title = name.replace("_", " ")
        table.add_column(f"{title}\ndefault", justify="right")
        table.add_column(f"{title}\nfound", justify="right")
    meaning = {"objective": "the expression", **NAMES}
    for name, words in meaning.items():
        cells = [side[which][name] for _, side in sides for which in ("default", "best")]
        texts = ["-" if value is None else f"{value:,.4g}" for value in cells]
        table.add_row(words, *texts, end_section=name == "objective")
    console.print(table)
    for name, side in sides:
        logs = counted(len(side["logs"]), "log")
        console.print(f"{name.replace('_', ' ')}: {logs}, {counted(side['outcomes'], 'outcome')}")
    console.print(
        "found: "
        + (
            ", ".join(f"{name} = {value}" for name, value in found["changed"].items())
            or "nothing better than the default settings"
        )
    )
    if found["held_back"] is None:
        console.print("no log was held back: that takes two or more, and a --holdout above 0")
    tried = f"{counted(found['tried'], 'set')} of settings tried in {counted(found['runs'], 'run')}"
    more = "; the budget ended the search" if found["cut_short"] else ""
    console.print(f"{tried}{more}")
    console.print(found["verdict"], soft_wrap=True)
    if output is not None:
        console.print(safe(f"saved in {output}"), soft_wrap=True)
