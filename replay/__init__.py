"""Replay a recorded session: the same inputs at the same times, through the same code."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from array import array
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from os import PathLike
from typing import Any

import orjson

from ..config import Settings
from ..game import Game
from ..operators.narrative import Narrative
from ..operators.plans.types import PlanEvent
from ..operators.predict import Intensity
from ..progress import Step, progress
from ..session import Session
from ..sinks.ledger import Price
from ..sinks.replayed import describe
from ..sinks.report import latency
from ..sinks.terminal import counted, plain
from ..streams import events as ev
from ..streams.clock import VirtualLoop, run_virtual
from ..streams.log_inputs import LogInputs
from ..streams.models import Model
from ..streams.recorded_model import RecordedModel, Wish
from .cache import RecordedCold
from .content import recorded_content
from .night import Outcomes, Run, priceless
from .source import Make, Source, opened
from .walked import walked

__all__ = [
    "Run",
    "complete",
    "describe",
    "load",
    "play",
    "report",
    "run",
    "streams_of",
    "unrecorded",
]

logger = logging.getLogger("foretell")

DRAIN = 60.0


async def play(
    log: Iterable[ev.Input],
    settings: Settings,
    *,
    model: Model | None = None,
    wishes: Iterable[Wish] = (),
    price_list: Mapping[str, Price] | None = None,
    game: Make | None = None,
    speed: float | None = None,
    watch: Callable[[Narrative], None] | None = None,
    plans: Callable[[PlanEvent], None] | None = None,
    step: Step | None = None,
) -> Run:
    """Feed inputs to a session at their times, and wait for its last telling.

    Content is what the folder that the settings name holds; without one, what a recording has.
    A shared cache is asked only if the recording speaks, and answers what it answered then.

    :param log: inputs that can be iterated over again, such as :class:`LogInputs` or a list: a
        rewind may go further back than a session remembers.
    :param model: asked in the place of the one the settings and the environment name.
    :param wishes: what else the game asks for, among the inputs: see :class:`Wish`.
    :param price_list: dollars per million tokens by model; default: the list that ships.
    :param game: makes the game from the settings, where it has prompts or the like of its own.
    :param speed: seconds of the log per second of the loop. ``None``: as they are, with the log's
        own times, as befits a virtual loop.
    :param watch: called with each event of the narrative.
    :param plans: called with each event of the plans.
    :param step: called with the time of each input, in seconds.
    """
    loop = asyncio.get_running_loop()
    started = time.perf_counter()
    outcomes = Outcomes()
    wishes = list(wishes)
    last = wishes.pop() if wishes and wishes[-1].kind == "~drain" else None
    drain = DRAIN if last is None else float(last.value or 0)
    content = tools = None
    if isinstance(log, LogInputs):
        content = recorded_content(log) if settings.content is None else None
        tools = next((each["tools"] for each in log.openings if each.get("tools")), None)
    if game is None:
        made: Game[Any] = Game(
            settings, model=model, price_list=price_list, content=content, tools=tools
        )
    else:
        made = game(settings)
        made.content = content or made.content
    if game is not None and model is not None:
        made.model, made._door = model, None  # its own is not asked, nor opened
    cache = None
    if isinstance(model, RecordedModel) and model.recording.shared_cache:
        cache = made._cold = RecordedCold(model.recording)
        if isinstance(log, LogInputs):
            made._named_in_cache = log.session
    async with made as table:
        if settings.base_url is not None:
            await table.check()
        session: Session[Any] = await table.session("replay")
        session.subscribe(outcomes.on_event)
        if watch is not None:
            session.subscribe(watch)
        if plans is not None:
            session.plans.subscribe(plans)
        log = log if speed is None else _ByRevision(log)
        begun = loop.time()  # only now: a door takes its time to open
        if isinstance(model, RecordedModel):
            model.zero = begun
        if cache is not None:
            cache.zero = begun
        if isinstance(log, LogInputs):
            session._pipeline.history.past = log.after
        else:
            session._pipeline.history.past = lambda after: islice(log, after, None)
        alone = model.recording.alone if isinstance(model, RecordedModel) else iter(())
        for event in _merged(log, wishes):
            wait = begun + event.t / (speed or 1.0) - loop.time()
            if wait > 0:
                await asyncio.sleep(wait)
            if isinstance(event, Wish):
                _ask(session, event)
                continue
            if isinstance(event, ev.End):
                break
            if next(alone, False) and isinstance(loop, VirtualLoop):
                await loop.idle()  # what is due now came first, and may be why it was said
            session.play(event if speed is None else replace(event, t=loop.time() - begun))
            if step is not None:
                step(event.t)
        status = session.cache_status()
        await session.close(drain)
        return outcomes.run(session, status, loop.time() - begun, time.perf_counter() - started)


def _merged(log: Iterable[ev.Input], wishes: Iterable[Wish]) -> Iterator[ev.Input | Wish]:
    waiting = deque(wishes)
    for number, event in enumerate(log):
        while waiting and waiting[0].after <= number:
            yield waiting.popleft()
        yield event
    yield from waiting


def _ask(session: Session[Any], wish: Wish) -> None:
    pipeline = session._pipeline
    if wish.kind == "~intensity":  # in one go with the inputs before it, as it was recorded
        intensity = wish.value or session._game.settings.intensity
        pipeline.tasks.take_in(partial(pipeline.plan_at, intensity))
    elif wish.kind == "~settings":
        before = session.settings.differences(session._game.settings)
        pipeline.tasks.take_in(partial(pipeline.apply_now, wish.value or before))
    elif wish.kind == "~content":
        if pipeline.contents is not None:
            pipeline.tasks.take_in(partial(pipeline.contents.changed, wish.value or ""))
    elif wish.kind == "~agent":
        pipeline.tasks.take_in(partial(pipeline.agents.hand_in, orjson.loads(wish.value or "{}")))
    elif wish.kind == "~drain":  # of an earlier sitting
        pipeline.tasks.take_in(pipeline.teller.cancel_all)
    elif wish.value is not None:
        pipeline.cancel(wish.value)


def load(path: str | PathLike[str]) -> tuple[str, list[ev.Input]]:
    """A log's session id and its inputs, all of them; see :class:`LogInputs` for long ones.

    :raises LogError: for a log that cannot be read; the message names file, line and reason.
    """
    inputs = LogInputs(path)
    if inputs.flaw is not None:
        raise inputs.flaw
    return inputs.session, [*inputs]


class _ByRevision:
    """A log, with rewinds to revisions in the place of those to times, for another pace."""

    def __init__(self, log: Iterable[ev.Input]) -> None:
        self._log = log

    def __iter__(self) -> Iterator[ev.Input]:
        times = array("d")
        for event in self._log:
            if isinstance(event, ev.Rewind) and isinstance(event.to, float):
                yield replace(event, to=bisect_right(times, round(event.to, 6)))
            else:
                yield event
            times.append(round(event.t, 6))


def report(
    path: str | PathLike[str],
    settings: Settings | Mapping[str, Any],
    *,
    model_from: str | None = None,
    game: Make | None = None,
    upto: float = math.inf,
    speed: float | None = None,
    watch: Callable[[Narrative], None] | None = None,
    quiet: bool = True,
) -> dict[str, Any]:
    """Replay a log and report on it, beside the same log with nothing prepared.

    Without ``base_url`` it runs in virtual time, whatever keys there are in the environment, and
    asks no server: the model's streams come from the recording or from the narrator. With one it
    runs in real time against that server, and there is no baseline, for that would take, and cost,
    as much again; nor is there one where the recording does not hold all of its streams. Of a
    damaged log it is what comes before the damage, which ``stopped`` names.

    See :func:`replay_source.opened` for the other arguments and errors.

    :param quiet: show no progress.
    """
    with opened(path, settings, model_from=model_from, upto=upto, game=game) as source:
        return _report(source, game, speed, watch, quiet)


def _report(
    source: Source,
    game: Make | None,
    speed: float | None,
    watch: Callable[[Narrative], None] | None,
    quiet: bool,
) -> dict[str, Any]:
    inputs, settings = source.inputs, source.settings
    model, baseline, nobody = source.model(settings), None, None
    with progress("replaying", inputs.last_t * (1 if model is None else 2), quiet=quiet) as step:
        if model is None:
            run = asyncio.run(
                play(inputs, settings, game=game, speed=speed or 1.0, watch=watch, step=step)
            )
        else:
            run = walked(source, game, watch, step) or run_virtual(
                play(
                    inputs,
                    settings,
                    model=model,
                    wishes=source.wishes(),
                    game=game,
                    watch=watch,
                    step=step,
                )
            )
            off = settings.model_copy(update={"intensity": Intensity.OFF})
            nobody = source.model(off)
            baseline = run_virtual(
                play(
                    inputs,
                    off,
                    model=nobody,
                    wishes=source.wishes(("intensity",)),
                    game=game,
                    step=lambda t: step(inputs.last_t + t),
                )
            )
    streams, without = run.streams or streams_of(model), streams_of(nobody)
    warning = unrecorded(streams)
    if warning is not None:
        logger.warning("%s: %s", inputs.path, warning)
    if not complete(without):
        baseline = None  # told by another, at another pace, it would compare nothing
    found = run.report
    unpriced = dict.fromkeys([*run.unpriced, *(baseline.unpriced if baseline else ())])
    if unpriced:
        logger.warning("%s: %s", inputs.path, priceless(unpriced))
    return {
        "session": inputs.session,
        "events": inputs.events,
        "turns": inputs.turns,
        "outcomes": found["outcomes"],
        "intensity": settings.intensity,
        "profile": None if model is None else settings.narrator_profile,
        "seed": settings.seed,
        "streams": {
            "from": source.model_from,
            **streams,
            "warning": warning,
            "without": without,
        },
        "served": found["served"],
        "retold": found["retold"],
        "hit_rate": found["hit_rate"],
        "latency_ms": found["latency_ms"],
        "baseline_latency_ms": baseline and baseline.report["latency_ms"],
        "latency_reduction": baseline and _reduction(run, baseline),
        "timely": baseline and _timely(run, baseline),
        "tokens": found["tokens"],
        "cost_usd": {
            "with": run.cost_usd,
            "without": baseline and baseline.cost_usd,
        },
        "unpriced": [*unpriced],
        "prediction": {**found["prediction"], "coverage": found["hit_rate"]},
        "cache": run.cache,
        "prefetch": run.prefetch,
        "plans": run.plans,
        "cancelled": found["cancelled"],
        "stale": found["stale"],
        "untrue": found["untrue"],
        "faults": found["faults"],
        "errors": found["errors"],
        "stopped": inputs.flaw and str(inputs.flaw),
        "summary": run.summary,
        "virtual_seconds": round(run.virtual_seconds, 6),
        "wall_seconds": round(run.wall_seconds, 3),
        "trace_sha256": run.trace_sha256,
    }


def streams_of(model: Model | None) -> dict[str, int | None]:
    """What a recording had of the streams of a run: null where it was not asked."""
    if not isinstance(model, RecordedModel):
        return {"requests": None, "recorded": None, "cut": None}
    return {"requests": model.requests, "recorded": model.recorded, "cut": model.cut}


def complete(streams: Mapping[str, int | None]) -> bool:
    """Whether one model has spoken throughout: the recording, or another."""
    return streams["recorded"] == streams["requests"]


def unrecorded(streams: Mapping[str, int | None]) -> str | None:
    """A warning that the recording did not hold all that a run has asked for."""
    if complete(streams):
        return None
    return (
        f"only {streams['recorded']} of {counted(streams['requests'] or 0, 'request')} "
        "are in the recording; the narrator told the others"
    )


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


def run(
    log: str,
    given: Mapping[str, Any],
    *,
    json: bool,
    speed: float | None = None,
    model_from: str | None = None,
    game: Make | None = None,
    upto: float = math.inf,
) -> int:
    """``foretell replay``: print the report.

    :return: 1 if a text was stale or untrue, if a live server left an outcome without a text, or
        if the log is damaged.
    """
    found = report(log, given, model_from=model_from, game=game, upto=upto, speed=speed, quiet=json)
    print(
        orjson.dumps(found, option=orjson.OPT_INDENT_2).decode() if json else plain(describe(found))
    )
    if found["errors"]:
        told = ", ".join(f"{kind} {count}" for kind, count in found["errors"].items())
        logger.warning("fallback text was told for want of better: %s", told)
    if found["stopped"]:
        logger.error("replayed up to the damage: %s", found["stopped"])
    lost = given.get("base_url") is not None and found["served"]["failed"]
    wrong = found["stale"] or found["untrue"] or found["faults"]
    return 1 if lost or wrong or found["stopped"] else 0
