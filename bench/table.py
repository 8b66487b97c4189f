"""What ``foretell bench plans`` found, in words and columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

__all__ = ["lines"]

PERCEIVED = (
    "Milliseconds, unless it says seconds. Perceived is the time to the first step that an agent "
    "can act on, whoever made it: with rules first that is the rules' step, in the same step of "
    "the loop. Model is the time to the model's first."
)
NARRATOR = (
    "The narrator answers in virtual time: a grammar that picks from what it is told can be done. "
    "Of the quality of plans it says nothing: not measured. Name a model with --base-url."
)
HEAD = (
    *("", "perceived", "p50", "p95", "model", "p95", "hits", "requests", "characters"),
    *("in", "cached", "out", "$", "valid steps", "usable plans"),
)


def lines(found: Mapping[str, Any]) -> Iterator[str]:
    """One after the other; times in milliseconds, unless they say seconds."""
    side = f"{found['together']} agents at once, {found['streams']} requests side by side"
    yield f"{found['source']}; {side}"
    for name, profile in found["profiles"].items():
        yield ""
        yield name
        yield from _columns([HEAD, *map(_row, profile["rows"])])
        for row in profile["rows"]:
            for each in row["invalid"]:
                yield f"  no valid plan in time, {row['name']}: {each}"
        if profile["several"]:
            yield ""
            yield from _several(profile["several"])
    yield ""
    yield PERCEIVED
    if not found["measured"]:
        yield NARRATOR
    if "processor" in found:
        yield ""
        yield from _processor(found["processor"])


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    perceived, model, tokens = row["perceived_ms"], row["model_ms"], row["tokens"]
    return (
        row["name"],
        *(_ms(perceived[each]) for each in ("mean", "p50", "p95")),
        *(_ms(model[each]) for each in ("mean", "p95")),
        f"{row['hits']:.0%}",
        *(f"{row[each]:,}" for each in ("requests", "prompt_characters")),
        *(f"{tokens[each]:,}" for each in ("input", "cache_read", "output")),
        f"{row['cost_usd']:.3f}",
        *(_share(row[each]) for each in ("valid_steps", "usable_plans")),
    )


def _several(found: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    rows: list[Sequence[str]] = [
        (
            *("agents at once, seconds", "first agent", "last agent", "all plans", "of one plan"),
            *("answer at the first step", "requests"),
        )
    ]
    for each in found:
        for how, name in (("together", "in one request"), ("alone", "side by side")):
            run = each[how]
            times = "" if run["times_one"] is None else f"{run['times_one']:.2f} x"
            rows.append(
                (
                    f"{each['agents']} {name}",
                    *(f"{run[part]:.2f}" for part in ("first", "last", "all")),
                    times,
                    f"{run['answer']:.0%}" if how == "together" else "",
                    f"{run['requests']:.0f}",
                )
            )
    yield from _columns(rows)


def _processor(found: Mapping[str, Any]) -> Iterator[str]:
    rows: list[Sequence[str]] = [("the processor's time, ms a plan", "p50", "p99")]
    for name, run in found.items():
        if name != "rush":
            rows.append((name, f"{run['p50']:.3f}", f"{run['p99']:.3f}"))
    rush = found["rush"]
    for name, told in (("lag", "100 agents, 60 times a second: the loop is late by"),
                       ("busy", "  its own work in between"),
                       ("frame", "  a frame in which all are asked for")):  # fmt: skip
        rows.append((told, *(f"{rush[f'{name}_{each}_ms']:.3f}" for each in ("p50", "p99"))))
    yield from _columns(rows)


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _share(value: float | str | None) -> str:
    return value if isinstance(value, str) else "-" if value is None else f"{value:.1%}"


def _columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    for row in rows:
        first, *rest = (
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        yield "  ".join([first, *rest]).rstrip()
