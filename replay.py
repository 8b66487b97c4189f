"""Replay a recorded session: the same inputs at the same times, through the same code."""

from __future__ import annotations

import asyncio
import math
import time
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from sys import stderr
from typing import Any

import orjson

from .config import Settings
from .game import Game, narrator
from .operators.narration import Narration
from .operators.narrative import Ended, Narrative
from .operators.predict import Intensity
from .session import Session
from .sinks.ledger import Price
from .sinks.report import latency
from .sinks.terminal import counted, plain
from .streams import events as ev
from .streams.clock import run_virtual
from .streams.log import LogError, read, to_event
from .streams.models import Model
from .streams.names import numbered

__all__ = ["Run", "describe", "load", "play", "report", "run"]

DRAIN = 60.0


@dataclass(slots=True)
class Run:
    """One pass over a log: the session's report, and what it took."""

    report: dict[str, Any]
    summary: str
    trace_sha256: str
    latencies: dict[int, float]
    leads: dict[int, float]
    virtual_seconds: float
    wall_seconds: float


async def play(
    log: Sequence[ev.Input],
    settings: Settings,
    *,
    model: Model | None = None,
    price_list: Mapping[str, Price] | None = None,
    speed: float | None = None,
    watch: Callable[[Narrative], None] | None = None,
) -> Run:
    """Feed inputs to a session at their times, and wait for its last telling.

    :param model: asked in the place of the one the settings and the environment name.
    :param price_list: dollars per million tokens by model; default: the list that ships.
    :param speed: seconds of the log per second of the loop. ``None``: as they are, with the log's
        own times, as befits a virtual loop.
    :param watch: called with each event of the narrative.
    """
    loop = asyncio.get_running_loop()
    begun, started = loop.time(), time.perf_counter()
    latencies: dict[int, float] = {}
    leads: dict[int, float] = {}

    def on_event(event: Narrative) -> None:
        if isinstance(event, Ended) and event.retells is None:
            for number, seconds, lead in zip(
                event.outcomes, event.latency, event.lead, strict=True
            ):
                if seconds is not None:
                    latencies[number] = seconds
                if lead is not None:
                    leads[number] = lead
        if watch is not None:
            watch(event)

    game: Game[Narration]
    async with Game(settings, model=model, price_list=price_list) as game:
        if settings.base_url is not None:
            await game.check()
        session: Session[Narration] = await game.session("replay")
        session.subscribe(on_event)
        log = log if speed is None else _by_revision(log)
        session._pipeline.history.past = lambda after: log[after:]
        for event in log:
            wait = begun + event.t / (speed or 1.0) - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if isinstance(event, ev.End):
                break
            session.play(event if speed is None else replace(event, t=loop.time() - begun))
        await session.close(DRAIN)
        return Run(
            session.report(),
            session.summary(),
            session.trace_sha256,
            latencies,
            leads,
            loop.time() - begun,
            time.perf_counter() - started,
        )


def load(path: str | PathLike[str]) -> tuple[str, list[ev.Input]]:
    """A log's session id and its inputs; an end in the midst, after which it went on, is none.

    Inputs have other numbers then, and so have the revisions that rewinds go back to, and the
    outcomes that are told again.

    :raises LogError: for a log that cannot be read; the message names file, line and reason.
    """
    session = ""
    found: list[ev.Input] = []
    ends: list[int] = []
    for number, record in enumerate(read(path), 1):
        if record.kind == "session":
            if number > 1:
                raise LogError(path, number, "a second session line; keep one session a file")
            session = str(record.data["id"])
        event = to_event(record)
        if found and isinstance(found[-1], ev.End) and event is not None:
            found.pop()
            ends.append(len(found) + len(ends) + 1)
        if event is not None:
            found.append(_renumbered(event, ends) if ends else event)
    return session, found


def _renumbered(event: ev.Input, left_out: Sequence[int]) -> ev.Input:
    """The input, where those of these numbers are left out."""
    if isinstance(event, ev.Rewind) and isinstance(event.to, int):
        return replace(event, to=event.to - bisect_right(left_out, event.to))
    if isinstance(event, ev.Retell) and (number := numbered(event.action_id)) is not None:
        return replace(event, action_id=f"#{number - bisect_right(left_out, number)}")
    return event


def _by_revision(log: Sequence[ev.Input]) -> list[ev.Input]:
    """The log, with rewinds to revisions in the place of those to times, for another pace."""
    times = [round(event.t, 6) for event in log]
    return [
        replace(event, to=bisect_right(times, round(event.to, 6), hi=number))
        if isinstance(event, ev.Rewind) and isinstance(event.to, float)
        else event
        for number, event in enumerate(log)
    ]


def report(
    path: str | PathLike[str],
    settings: Settings,
    *,
    speed: float | None = None,
    watch: Callable[[Narrative], None] | None = None,
) -> dict[str, Any]:
    """Replay a log and report on it, beside the same log with nothing prepared.

    Without ``base_url`` it runs in virtual time against the narrator, whatever keys there are in
    the environment. With one it runs in real time against that server, and there is no baseline,
    for that would take, and cost, as much again.
    """
    session, inputs = load(path)
    live = settings.base_url is not None
    if live:
        run = asyncio.run(play(inputs, settings, speed=speed or 1.0, watch=watch))
        baseline = None
    else:
        run = run_virtual(play(inputs, settings, model=narrator(settings), watch=watch))
        off = settings.model_copy(update={"intensity": Intensity.OFF})
        baseline = run_virtual(play(inputs, off, model=narrator(off)))
    found = run.report
    return {
        "session": session,
        "events": len([event for event in inputs if not isinstance(event, ev.End)]),
        "turns": len([event for event in inputs if isinstance(event, ev.Turn)]),
        "outcomes": found["outcomes"],
        "intensity": settings.intensity,
        "profile": None if live else settings.narrator_profile,
        "seed": settings.seed,
        "served": found["served"],
        "retold": found["retold"],
        "hit_rate": found["hit_rate"],
        "latency_ms": found["latency_ms"],
        "baseline_latency_ms": baseline and baseline.report["latency_ms"],
        "latency_reduction": baseline and _reduction(run, baseline),
        "timely": baseline and _timely(run, baseline),
        "tokens": found["tokens"],
        "cost_usd": {
            "with": found["cost_usd"],
            "without": baseline and baseline.report["cost_usd"],
        },
        "prediction": {"top1": None, "top3": None, "coverage": found["hit_rate"]},
        "cancelled": found["cancelled"],
        "stale": found["stale"],
        "untrue": found["untrue"],
        "faults": found["faults"],
        "errors": found["errors"],
        "summary": run.summary,
        "virtual_seconds": round(run.virtual_seconds, 6),
        "wall_seconds": round(run.wall_seconds, 3),
        "trace_sha256": run.trace_sha256,
    }


def _reduction(run: Run, baseline: Run, only: Sequence[int] | None = None) -> float | None:
    """The share of the mean time to first text that was saved, over outcomes both have told."""
    both = [
        number
        for number in (run.latencies if only is None else only)
        if number in run.latencies and number in baseline.latencies
    ]
    before = math.fsum(baseline.latencies[number] for number in both)
    after = math.fsum(run.latencies[number] for number in both)
    return round(1 - after / before, 4) if before > 0 else None


def _timely(run: Run, baseline: Run) -> dict[str, Any]:
    """The outcomes whose speculation began at least one first-token time before them.

    The first-token time is the median time to first text of the baseline.
    """
    first_token = (latency(list(baseline.latencies.values()))["p50"] or 0.0) / 1000
    timely = [number for number, lead in run.leads.items() if lead >= first_token]
    told = run.report["outcomes"]
    return {
        "outcomes": len(timely),
        "share": round(len(timely) / told, 4) if told else None,
        "latency_ms": latency([run.latencies[n] for n in timely if n in run.latencies]),
        "baseline_latency_ms": latency(
            [baseline.latencies[n] for n in timely if n in baseline.latencies]
        ),
        "latency_reduction": _reduction(run, baseline, timely),
    }


def run(log: str, settings: Settings, *, json: bool, speed: float | None) -> int:
    """``foretell replay``: print the report.

    :return: 1 if a text was stale or untrue, or if a live server left an outcome without a text.
    """
    found = report(log, settings, speed=speed)
    print(
        orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if json else plain(describe(found))
    )
    if found["errors"]:
        told = ", ".join(f"{kind} {count}" for kind, count in found["errors"].items())
        print(f"foretell: warning: fallback text was told for want of better: {told}", file=stderr)
    lost = settings.base_url is not None and found["served"]["failed"]
    return 1 if lost or found["stale"] or found["untrue"] or found["faults"] else 0


def describe(found: Mapping[str, Any]) -> str:
    """A report in a few lines, for people."""
    served, tokens, cost = found["served"], found["tokens"], found["cost_usd"]
    told, turns = counted(found["outcomes"], "outcome"), counted(found["turns"], "turn")
    played = f"{found['virtual_seconds']:.0f} s played in {found['wall_seconds']:.2f} s"
    lines = [
        f"{found['session']}: {told} in {turns}, {played}",
        "served     " + ", ".join(f"{name} {count}" for name, count in served.items()),
        "first text " + _times(found["latency_ms"], found["baseline_latency_ms"]),
    ]
    if any(found["retold"].values()):
        told_again = (f"{name} {count}" for name, count in found["retold"].items() if count)
        lines.append("retold     " + ", ".join(told_again))
    timely = found["timely"]
    if timely and timely["outcomes"]:
        times = _times(timely["latency_ms"], timely["baseline_latency_ms"])
        share = f"{counted(timely['outcomes'], 'outcome')} ({timely['share']:.0%})"
        lines.append(f"           {share} prepared a first-token time ahead: {times}")
    without = "" if cost["without"] is None else f" (without: ${cost['without']:.4f})"
    wasted = f"{tokens['wasted']} of {tokens['prefetch']} prefetched tokens wasted"
    lines += [
        f"cost       ${cost['with']:.4f}{without}, {wasted}, {tokens['estimated']} estimated",
        f"checked    {found['stale']} stale, {found['untrue']} untrue",
        f"trace      {found['trace_sha256']}",
        found["summary"],
    ]
    return "\n".join(lines)


def _times(now: Mapping[str, Any], before: Mapping[str, Any] | None) -> str:
    def told(times: Mapping[str, Any]) -> str:
        if times["mean"] is None:
            return "none"
        return " / ".join(f"{times[name]:.0f}" for name in ("mean", "p50", "p95")) + " ms"

    text = f"{told(now)} (mean / p50 / p95)"
    return text if before is None else f"{text}; without prefetch {told(before)}"
