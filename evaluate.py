"""``foretell evaluate``: how good predictors are on recorded sessions, before any may spend."""

from __future__ import annotations

import random
import sys
from collections.abc import Mapping, Sequence
from datetime import tzinfo
from typing import Any

import orjson
from rich.console import Console
from rich.table import Table

from .errors import ConfigError, ForetellError
from .operators.calibration import Calibration
from .operators.usage import ASPECTS
from .progress import progress
from .sinks.terminal import counted, safe
from .whatif import plot_hits
from .whatif.foreseen import foreseen
from .whatif.prequential import PREDICTORS, K, Night, difference, marked, nights

__all__ = ["evaluate", "run"]

BEST, FORMULA = "ensemble", "document"
BASELINES = ("last", "frequent", "document")
FEWEST = 3
SHOWN_WIDE, NAME_WIDE = 160, 30
AFTER = (16, 100)
"""Queries after which hit rates are told: the document's."""

Marks = dict[str, list[Calibration]]
"""For each predictor its marks, one for each night."""


def run(
    logs: Sequence[str],
    zone: tzinfo,
    *,
    aspects: str | None,
    ab: str | None,
    each: bool,
    seed: int,
    plot: str | None,
    json: bool,
) -> int:
    """Print how good each predictor was, and draw it where asked.

    :param aspects: which ones, with commas between; default: all that the logs have.
    :param ab: two predictors to compare, ``document,ensemble``, in place of all.
    :param each: a table for each campaign or server, too.
    :raises ConfigError: for an aspect or a predictor that does not exist.
    :raises LogError: for a log that cannot be read, or a picture that cannot be written.
    """
    wanted = _chosen(aspects, ASPECTS, "aspect") if aspects else list(ASPECTS)
    names = _chosen(ab, PREDICTORS, "predictor") if ab else list(PREDICTORS)
    if ab and len(names) != 2:
        raise ConfigError("--ab: name two different predictors, such as document,ensemble")
    target = None if plot is None else plot_hits.check(plot)
    with progress("reading", len(logs), quiet=json) as step:
        read = nights(logs, step)
    found, curves = evaluate(read, wanted, names, zone, random.Random(seed), quiet=json)
    if ab is None:
        with progress("listening", len(logs), quiet=json) as step:
            found["foreseen"] = foreseen(logs, step)
    if not found["tables"]:
        raise ForetellError("no log has anything to predict")
    if target is not None:
        plot_hits.draw(target, curves)
    if json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        _show(found, each)
        if plot is not None:
            Console(highlight=False).print(safe(f"drawn in {plot}"), soft_wrap=True)
    return 0


def evaluate(
    read: Sequence[Night],
    aspects: Sequence[str],
    names: Sequence[str],
    zone: tzinfo,
    rng: random.Random,
    *,
    quiet: bool = True,
) -> tuple[dict[str, Any], dict[str, Marks]]:
    """The marks of all predictors: a table for each aspect of each source, all its nights pooled.

    Each night is predicted by predictors that have learned nothing but that night.

    :return: all figures as plain JSON; and the marks themselves, by title of the table.
    """
    work = [
        (source, aspect, [n for n in read if n.source == source and len(n.events[aspect]) > FEWEST])
        for source in dict.fromkeys(night.source for night in read)
        for aspect in aspects
    ]
    steps = sum(len(night.events[aspect]) for _, aspect, of in work for night in of)
    tables, curves = [], {}
    done = 0
    with progress("predicting", steps * len(names), quiet=quiet) as step:
        for source, aspect, of in work:
            if not of:
                continue
            marks: Marks = {name: [] for name in names}
            for night in of:
                events = night.events[aspect]
                for name in names:
                    marks[name].append(marked(PREDICTORS[name], events, zone))
                    step(done := done + len(events))
            tables.append(_table(source, aspect, of, marks, rng))
            curves[f"{_short(source)}: {aspect}"] = marks
    return {"tables": tables, "not_best": _not_best(tables)}, curves


def _chosen(text: str, there: Mapping[str, object], what: str) -> list[str]:
    names = list(dict.fromkeys(text.split(",")))
    for name in names:
        if name not in there:
            raise ConfigError(f"no {what} is called {name!r}; there are {', '.join(there)}")
    return names


def _table(
    source: str, aspect: str, of: Sequence[Night], marks: Marks, rng: random.Random
) -> dict[str, Any]:
    reference = list(marks)[-1]
    rows = {}
    for name, each in marks.items():
        pooled = Calibration()
        for one in each:
            pooled.merge(one)
        rates = plot_hits.curve(each, K)
        after = {str(many): round(rates[many - 1], 4) for many in AFTER if many <= len(rates)}
        rows[name] = {**pooled.report(), "coverage_after": after}
        if name != reference:
            mean, interval = difference(marks[reference], each, rng)
            rows[name]["against"] = {
                "predictor": reference,
                "log_loss": round(mean, 4),
                "interval": interval and [round(bound, 4) for bound in interval],
            }
    return {
        "source": source,
        "aspect": aspect,
        "nights": [
            {"name": night.name, **{name: marks[name][n].report() for name in marks}}
            for n, night in enumerate(of)
        ],
        "predictors": rows,
    }


def _not_best(tables: Sequence[Mapping[str, Any]]) -> list[str]:
    """Where a baseline, or the document's formula, had a smaller log loss than the ensemble."""
    found = []
    for table in tables:
        for night in ({"name": "all", **table["predictors"]}, *table["nights"]):
            losses = {name: night[name]["log_loss"] for name in BASELINES if name in night}
            if BEST not in night or not losses:
                continue
            best = min(losses, key=lambda name: losses[name])
            if losses[best] < night[BEST]["log_loss"]:
                found.append(
                    f"{table['source']}, {table['aspect']}, {night['name']}: {best} "
                    f"{losses[best]:.3f}, {BEST} {night[BEST]['log_loss']:.3f}"
                )
    return found


COLUMNS = ("top1", "top3", "coverage", "log_loss", "brier", "calibration_error")
TITLES = ("first", "first three", "first 15", "log loss", "Brier", "calibration\nerror")


def _show(found: Mapping[str, Any], each: bool) -> None:
    """One aspect of one source in full; of several what sums them up, unless all is wanted."""
    console = Console(highlight=False, width=None if sys.stdout.isatty() else SHOWN_WIDE)
    tables = found["tables"]
    for table in tables if each or len(tables) == 1 else ():
        title = f"{table['source']}: {table['aspect']}"
        many = counted(next(iter(table["predictors"].values()))["events"], "event")
        over = counted(len(table["nights"]), "night")
        console.print(_printed(f"{title}, {many} of {over}", table["predictors"]))
        console.print(_reliable(table["predictors"]))
        for night in table["nights"] if each else ():
            rows = {name: marks for name, marks in night.items() if name != "name"}
            console.print(_printed(f"{title}: {night['name']}", rows))
    if len(tables) > 1:
        console.print(_summed_up(tables, "log loss for each event, in nats", "log_loss", ".3f"))
        console.print(_summed_up(tables, "the first prediction came", "top1", ".1%"))
        console.print(_summed_up(tables, "one of the first three came", "top3", ".1%"))
        console.print(_summed_up(tables, "Brier score", "brier", ".3f"))
        console.print(_summed_up(tables, "calibration error", "calibration_error", ".3f"))
        if len(tables[0]["predictors"]) == 2:
            console.print(_compared(tables))
    console.print(_over_queries(tables))
    for listened in found.get("foreseen", ()):
        console.print(_heard(listened))
    if BEST not in found["tables"][0]["predictors"]:
        return
    if found["not_best"]:
        console.print("A baseline had a smaller log loss than the ensemble on:")
        for line in found["not_best"]:
            console.print(safe(f"  {line}"), soft_wrap=True)
    else:
        console.print("On each night the ensemble had the smallest log loss of it and baselines.")


def _summed_up(tables: Sequence[Mapping[str, Any]], title: str, name: str, form: str) -> Table:
    """One mark of all predictors, a row for each aspect of each source."""
    table = Table(title=safe(title), title_justify="left")
    for column in ("", "aspect", "events"):
        table.add_column(column, justify="right" if column == "events" else "left")
    for predictor in tables[0]["predictors"]:
        table.add_column(predictor, justify="right")
    for at, each in enumerate(tables):
        marks = list(each["predictors"].values())
        new = at == 0 or tables[at - 1]["source"] != each["source"]
        ends = at + 1 == len(tables) or tables[at + 1]["source"] != each["source"]
        table.add_row(
            safe(_short(each["source"]) if new else ""),
            each["aspect"],
            f"{marks[0]['events']:,}",
            *(format(mark[name], form) for mark in marks),
            end_section=ends,
        )
    return table


def _compared(tables: Sequence[Mapping[str, Any]]) -> Table:
    """What two predictors differ by, a row for each aspect of each source."""
    first, other = tables[0]["predictors"]
    title = f"log loss of {first} against {other} (95 %, nights and their events drawn again)"
    table = Table(title=title, title_justify="left")
    for column in ("", "aspect", "nights", "difference"):
        table.add_column(column, justify="left" if column in {"", "aspect"} else "right")
    for each in tables:
        apart = _apart(each["predictors"][first])
        nights = f"{len(each['nights']):,}"
        table.add_row(safe(_short(each["source"])), each["aspect"], nights, apart)
    return table


def _apart(marks: Mapping[str, Any]) -> str:
    """The difference of a predictor's log loss from another's, with its interval."""
    if not (against := marks.get("against")):
        return ""
    apart = f"{against['log_loss']:+.3f}"
    if against["interval"]:
        low, high = against["interval"]
        apart += f" ({low:+.3f} to {high:+.3f})"
    return apart


def _over_queries(tables: Sequence[Mapping[str, Any]]) -> Table:
    """Of the last predictor: how often what came was in its pool, the more it had learned."""
    name = list(tables[0]["predictors"])[-1]
    table = Table(title=f"one of the first {K} of {name} came, of so many", title_justify="left")
    for column in ("", "aspect", *map(str, AFTER), "all"):
        table.add_column(column, justify="left" if column in {"", "aspect"} else "right")
    for each in tables:
        marks = each["predictors"][name]
        after = [marks["coverage_after"].get(str(many)) for many in AFTER]
        rates = ["-" if rate is None else f"{rate:.1%}" for rate in (*after, marks["coverage"])]
        table.add_row(safe(_short(each["source"])), each["aspect"], *rates)
    return table


def _reliable(rows: Mapping[str, Any]) -> Table:
    """Of the last predictor: what came of its probabilities."""
    name = list(rows)[-1]
    table = Table(title=f"probabilities of {name}", title_justify="left")
    for column in ("predicted", "came", "predictions"):
        table.add_column(column, justify="right")
    for row in rows[name]["reliability"]:
        table.add_row(f"{row['mean']:.1%}", f"{row['came']:.1%}", f"{row['predictions']:,}")
    return table


def _short(source: str) -> str:
    return source if len(source) <= NAME_WIDE else f"{source[: NAME_WIDE - 1]}…"


def _printed(title: str, rows: Mapping[str, Any]) -> Table:
    table = Table(title=safe(title), title_justify="left")
    table.add_column("")
    for name in TITLES:
        table.add_column(name, justify="right")
    table.add_column("log loss against\nthe last (95 %)", justify="right")
    for name, marks in rows.items():
        cells = [
            f"{marks[column]:.1%}" if column in COLUMNS[:3] else f"{marks[column]:.3f}"
            for column in COLUMNS
        ]
        table.add_row(name, *cells, _apart(marks))
    return table


def _heard(found: Mapping[str, Any]) -> Table:
    """What a session would have foreseen of what was done in turns, without words and with."""
    title = f"{_short(found['source'])}: {counted(found['done'], 'deed')} in turns, as foreseen"
    table = Table(title=safe(title), title_justify="left")
    for name in ("", "likeliest", "of the three likeliest", "log loss of the thing"):
        table.add_column(name, justify="right" if name else "left")
    for name, said in (("by habit", "habit"), ("with what was said", "with_words")):
        row = found[said]
        loss = "-" if row["log_loss"] is None else f"{row['log_loss']:.3f}"
        table.add_row(name, f"{row['top1']:.1%}", f"{row['top3']:.1%}", loss, end_section=True)
    for name, each in found["words"].items():
        if not each["spoken_before"]:
            continue
        spoken, lead = f"{each['spoken_before']} of {each['done']}", each["lead_s"]
        early = "" if lead is None else f", {lead['least']}–{lead['most']} s before"
        table.add_row(
            f"{name}: its actor had spoken", spoken, "had named it", f"{each['named']}{early}"
        )
    return table
