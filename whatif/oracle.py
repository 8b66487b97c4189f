"""``foretell evaluate LOG --oracle``: policies beside an oracle that knows what will be done.

    log      ──turn────say────action───────────────outcome──►
    window     |───── known, and nothing it speaks of changes ─────|
    oracle     first token ……………………………… told at once

The oracle prepares, for nothing, every action that is declared, offered in a turn, open in a
place or a talk, on its actor's sheet or in its actor's history, at whomever it will be aimed. It
begins at the first moment at
which the action is known and its result is one that can be prepared, if from then on nothing
changes that would drop the text. The model is the main one, and each telling has the very draws of
its pace that it has with nothing prepared: only that it was begun earlier.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from typing import Any

from rich.table import Table

from ..config import Settings
from ..errors import ForetellError
from ..game import narrator
from ..operators.classify import DEFAULT_RULES, classify, keys_of
from ..operators.fingerprint import dependence, fingerprint
from ..operators.narrative import Ended, Narrative, Served, Started
from ..operators.offers import sheet
from ..operators.predict import Intensity
from ..operators.predictors import Key
from ..operators.results import happened, possible_results
from ..operators.usage import item_of, scopes_of
from ..operators.wander import is_open
from ..progress import Step, progress
from ..replay import Run, play
from ..replay.source import opened, stand_in
from ..sinks.report import latency
from ..sinks.terminal import counted, safe
from ..streams import events as ev
from ..streams.clock import run_virtual
from ..streams.footprint import PLACE, TALK, Footprint, targets_of
from ..streams.history import History
from ..streams.log_inputs import LogInputs
from ..streams.models import ModelEvent, Request
from ..streams.narrator.model import NarratorModel
from ..streams.world import Declared, Numbered, World
from .dry import printed
from .policy import Policy, parse

__all__ = ["POLICIES", "Foreseeing", "leads", "run", "scored"]

POLICIES = "conservative,aggressive"
KEPT = 50_000_000
WORLDS = 4_000
"""A window has no more inputs than these."""


def leads(log: LogInputs | Sequence[ev.Input], footprint: Footprint) -> dict[int, float]:
    """For each outcome, by the number of its input, how many seconds ahead it could be prepared.

    One that could not be prepared at all is left out.

    :param footprint: what actions may change, and what every text may speak of.
    """
    found: dict[int, float] = {}
    past = log.after if isinstance(log, LogInputs) else lambda after: iter(log[after:])
    world, done = World(footprint=footprint), _Done()
    history = History(world, KEPT, past)
    window: deque[World] = deque(maxlen=WORLDS)
    for number, event in enumerate(log, 1):
        world = history.advance(world, Numbered(number, event, event.t))
        if isinstance(event, ev.Outcome):
            since = _since(window, world, done)
            if since is not None:
                found[number] = round(event.t - since, 6)
            done.note(world)
        if isinstance(event, ev.Turn | ev.TurnEnd | ev.Rewind):
            window.clear()  # no text lives through these
        window.append(world)
    return found


class _Done:
    """What everybody, and everybody's kind, has done: its history."""

    def __init__(self) -> None:
        self._first: dict[tuple[str, Key], tuple[int, Mapping[str, Any]]] = {}
        self._words: dict[str, int] = {}

    def note(self, world: World) -> None:
        """The world's outcome is one thing more."""
        outcome = world.cause
        assert isinstance(outcome, ev.Outcome)
        declared = world.doing(outcome)
        for who in scopes_of(world, declared.actor)[:2]:
            first = world.number, declared.action
            self._first.setdefault((who, item_of(declared.action)), first)
        for result in outcome.results:
            self._words.setdefault(result.result, world.number)

    def called(self, world: World, word: str) -> bool:
        """Whether a result had been called so by then, and so may be again."""
        return self._words.get(word, math.inf) <= world.number

    def of(self, world: World, actor: str, item: Key) -> Iterator[Mapping[str, Any]]:
        """The action, if it had been done by then."""
        for who in scopes_of(world, actor)[:2]:
            number, action = self._first.get((who, item), (math.inf, {}))
            if number <= world.number:
                yield action


def _since(window: deque[World], after: World, done: _Done) -> float | None:
    """The first moment from which on an outcome could have been prepared, if there is one."""
    outcome = after.cause
    assert isinstance(outcome, ev.Outcome)
    declared = after.doing(outcome)
    depends = dependence(after, declared.actor, declared.action)
    mark = fingerprint(after, depends, after.outcomes - 1)
    aimed = targets_of(declared.action)
    names = {
        (what.target if aimed or len(outcome.results) > 1 else None, what.name)
        for what in happened(after)
    }
    if not names or any(not name for _, name in names):
        return None
    since: dict[tuple[str | None, str], float] = {}
    for world in reversed(window):
        if fingerprint(world, depends) != mark:
            break
        known = [*_known(world, declared, done)]
        for target, name in names:
            if any(
                done.called(world, name) or name in possible_results(world, each, target, *given)
                for each, given in known
            ):
                since[target, name] = world.t
    return max(since.values()) if since.keys() == names else None


def _known(world: World, what: Declared, done: _Done) -> Iterator[tuple[Declared, tuple[Any, ...]]]:
    """The action as it was known in a world, with the odds and rolls the game had given."""
    for each in world.actions.values():
        if each.key == what.key and each.event is not None and not each.resolved:
            yield each, (each.event.odds, each.event.rolled)
    item, turn = item_of(what.action), world.turn
    offered = turn.options if turn is not None and turn.actor == what.actor else ()
    actions = (*(offered or ()), *sheet(world, what.actor))
    for action in (
        *(each for each in actions if item_of(each) == item),
        *done.of(world, what.actor, item),
    ):
        aimed = {**action, "target": what.action.get("target")}
        yield Declared(what.actor, aimed, what.key, world.baseline), ()
    if is_open(world, what.action):
        yield Declared(what.actor, what.action, what.key, world.baseline), ()


class Foreseeing:
    """The narrator, asked for each telling so many seconds before its outcome.

    :param ahead: how many, by the number of an outcome's input. A telling of several outcomes has
        begun when its first could be prepared.
    """

    def __init__(self, speaker: NarratorModel, ahead: Mapping[int, float]) -> None:
        self._speaker = speaker
        self._ahead = ahead
        self._begun: dict[str, float] = {}

    def watch(self, event: Narrative) -> None:
        """Hear of which outcomes the next request tells."""
        if isinstance(event, Started):
            self._begun[event.telling] = (
                self._ahead.get(event.outcomes[0], 0.0) if event.retells is None else 0.0
            )
        elif isinstance(event, Ended):
            self._begun.pop(event.telling, None)

    def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """The answer, as it would stand by now; if it was dropped, the next is asked for afresh."""
        ahead = self._begun.pop(next(iter(self._begun))) if self._begun else 0.0
        return self._speaker.stream(request, ahead)

    async def aclose(self) -> None:
        """Nothing is open."""


def run(logs: Sequence[str], policies: str, *, json: bool) -> int:
    """Print what an oracle would cut of the time to the first text, and the policies' share of it.

    No model is asked, whatever keys there are: the narrator speaks, in virtual time.

    :raises ConfigError: for policies that cannot be used.
    :raises LogError: for a log that cannot be read.
    :raises ForetellError: for a log without outcomes.
    """
    nights = []
    for log in logs:
        with opened(log, {}, model_from="narrator") as source:
            wanted = parse(policies, source.settings, by="--policies", fewest=1)
            steps = source.inputs.last_t * (2 + len(wanted))
            with progress("playing", steps, quiet=json) as step:
                nights.append(scored(source.inputs, source.settings, wanted, step))
    printed(nights, _table, json=json)
    return 0


def scored(
    inputs: LogInputs,
    settings: Settings,
    policies: Sequence[Policy],
    step: Step = lambda done: None,
) -> dict[str, Any]:
    """One night with nothing prepared, by the oracle, and under each policy, as plain JSON.

    ``share`` is what a policy cuts of the mean time to first text, over what the oracle cuts:
    above 1 where a faster model has helped. ``by_telling`` is the same over the first outcome of
    each telling. ``prepared`` is what was whole when its outcome came, ``in_flight`` what had been
    begun: their shares of all outcomes, and their times. ``usd_ratio`` is of the dollars of nothing
    prepared.

    :raises ForetellError: for a log without outcomes.
    """
    if not inputs.outcomes:
        raise ForetellError(f"{inputs.path}: has no outcomes, so there is nothing to prepare")
    off = settings.model_copy(update={"intensity": Intensity.OFF})
    stage = (PLACE, *TALK) if settings.content is not None else (PLACE,)
    footprint = Footprint(
        volatile=settings.volatile,
        stage=stage,
        context=lambda world: classify(world).context,
        contexts=keys_of(DEFAULT_RULES),
    )
    ahead = leads(inputs, footprint)
    speaker = narrator(off)
    assert isinstance(speaker, NarratorModel)
    foreseeing = Foreseeing(speaker, ahead)
    wanted = [Policy("off", off), Policy("oracle", off), *policies]
    runs: list[Run] = []
    for policy in wanted:
        oracle = policy.name == "oracle"
        before = inputs.last_t * len(runs)
        night = play(
            inputs,
            policy.settings,
            model=foreseeing if oracle else stand_in(policy.settings),
            watch=foreseeing.watch if oracle else None,
            price_list=policy.price_list,
            step=lambda t, before=before: step(before + t),  # type: ignore[misc]
        )
        runs.append(run_virtual(night))
    first, best = runs[:2]
    return {
        "session": inputs.session,
        "outcomes": inputs.outcomes,
        "foreseeable": len(ahead),
        "off": _times(first),
        "oracle": _times(best),
        "policies": [
            {
                "policy": policy.name,
                **_times(each),
                "share": _share(first, best, each),
                "share_by_telling": _share(first, best, each, by_telling=True),
                "prepared": _served(each, Served.HIT),
                "in_flight": _served(each, Served.IN_FLIGHT),
                "usd": each.cost_usd,
                "usd_ratio": round(each.cost_usd / first.cost_usd, 4)
                if each.cost_usd is not None and first.cost_usd
                else None,
            }
            for policy, each in zip(policies, runs[2:], strict=True)
        ],
    }


def _times(run: Run) -> dict[str, Any]:
    firsts = [run.latencies[number] for number in run.begins if number in run.latencies]
    return {
        "latency_ms": latency(run.latencies.values()),
        "by_telling": {"tellings": len(firsts), "latency_ms": latency(firsts)},
    }


def _mean(run: Run, by_telling: bool) -> float:
    times = [run.latencies[each] for each in run.latencies if not by_telling or each in run.begins]
    return math.fsum(times) / len(times) if times else 0.0


def _share(off: Run, oracle: Run, run: Run, *, by_telling: bool = False) -> float | None:
    most = _mean(off, by_telling) - _mean(oracle, by_telling)
    cut = _mean(off, by_telling) - _mean(run, by_telling)
    return round(cut / most, 4) if most > 0 else None


def _served(run: Run, how: Served) -> dict[str, Any]:
    """The outcomes that were served so: their share, and their times to the first text."""
    times = [run.latencies[number] for number, served in run.served.items() if served == how]
    many = len(run.served)
    return {
        "outcomes": len(times),
        "share": round(len(times) / many, 4) if many else None,
        "latency_ms": latency(times),
    }


def _table(night: Mapping[str, Any]) -> Table:
    """A row for nothing prepared, for the oracle, and for each policy."""
    could = f"{night['foreseeable']:,} could be prepared"
    title = f"{night['session']}: {counted(night['outcomes'], 'outcome')}, {could}"
    table = Table(title=safe(title), title_justify="left")
    columns = ("", "mean", "of the oracle's\ncut", "by telling", "prepared", "their p95")
    for at, name in enumerate((*columns, "in flight", "their p95", "dollars")):
        table.add_column(name, justify="right" if at else "left")
    for name in ("off", "oracle"):
        table.add_row(name, _ms(night[name]["latency_ms"]["mean"]), end_section=name == "oracle")
    for each in night["policies"]:
        cells = [_percent(each["share"]), _percent(each["share_by_telling"])]
        for how in ("prepared", "in_flight"):
            cells += [_percent(each[how]["share"]), _ms(each[how]["latency_ms"]["p95"])]
        ratio = each["usd_ratio"]
        cells.append("-" if ratio is None else f"{ratio:.2f} ×")
        table.add_row(safe(each["policy"]), _ms(each["latency_ms"]["mean"]), *cells)
    return table


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f} ms"


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
