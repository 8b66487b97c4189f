"""The agents of a session: who is planned for, and what becomes of it when it is asked anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from reactivex import Subject

from ...streams.models import Request
from ...streams.tasks import Tasks
from ...streams.timers import Timers
from ..generation import Generations, Trace
from ..narrative import Narrative, Patched, Started
from ..publish import Fault
from ..switch_map import switch_map
from .batch import Batches
from .check import checked
from .heuristic import by_rules
from .plan import Planner
from .registry import Registry
from .settings import Plans
from .sight import Sight
from .types import (
    Ask,
    Dropped,
    Plan,
    PlanBegun,
    PlanEnded,
    PlanEvent,
    PlanStatus,
    Shelf,
    Source,
    Step,
    Stepped,
)

__all__ = ["Agents"]

KEPT = 1024
"""Agents whose last plan is remembered when it is over, for a step of it that fails."""

FIELDS = (
    *("what", "plan", "agent", "snapshot", "goal", "fallback", "together"),
    *("step", "reason", "done"),
)
"""What an ``~agent`` line says."""


class _Run:
    """An agent's latest plan."""

    __slots__ = ("ask", "live", "model", "steps")

    def __init__(self, ask: Ask) -> None:
        self.ask = ask
        self.live = True
        self.model: float | None = None  # seconds until the model's first step
        self.steps: list[Step] = []


class Agents:
    """Plans for the agents of a session; the plan of one never waits for that of another.

    ::

        asked   a1---b1-------a2-----(a2: step failed)---|
        plan a  [a1----------][a2---][a2, anew-----------x
        plan b       [b1---------|

    What stands in for the model's plan is there at once, before anything is asked: its first step
    is given in the same step of the loop. A newer plan of an agent ends the one before: its
    connection is closed. No request begins while somebody waits for the first text of a telling.

    All that comes from outside goes through :meth:`hand_in`, and leaves an ``~agent`` line.

    :param model: whom to ask, as the settings are now.
    :param moment: when the last thing came from outside, in seconds, which is the same in a replay.
    :param shelf: plans that were made before; none is kept where there is none.
    :param events: where the events of all plans go.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Plans,
        model: Callable[[], str],
        generations: Generations,
        tasks: Tasks,
        timers: Timers,
        now: Callable[[], float],
        moment: Callable[[], float],
        trace: Trace,
        allow: Callable[[Request], None],
        revision: Callable[[], int],
        fault: Fault,
        shelf: Shelf | None = None,
    ) -> None:
        self.events: Subject[PlanEvent] = Subject()
        self._registry = registry
        self._settings = settings
        self._tasks = tasks
        self._now = now
        self._moment = moment
        self._trace = trace
        about = generations, tasks, timers, trace, allow, revision
        self._batches = Batches(registry, settings, model, *about)
        self._runs: dict[str, _Run] = {}
        self._untold: dict[str, None] = {}
        self._changed = False
        self._over = False
        self._asks: Subject[tuple[Ask, ...]] = Subject()
        beside = timers, now, moment, trace, model, shelf
        planner = Planner(registry, settings, self._batches, *beside)
        planned = switch_map(planner.plan, tasks, fault, timers, key=lambda ask: ask.agent)
        self._planning = self._asks.pipe(planned).subscribe(self._on_planned)

    def hand_in(self, data: Mapping[str, Any]) -> None:
        """Take in what was said of an agent: ``asked``, ``failed``, ``left`` or ``due``."""
        if self._over:
            return
        said = {name: value for name, value in data.items() if name in FIELDS}
        run = self._runs.get(str(data["agent"]))
        if data["what"] == "asked":
            self._trace("~agent", **said)
            self._asked(data, run)
        elif data["what"] == "due":  # whoever was queued until now, and not this one alone
            self._trace("~agent", **said)
            self._batches.due()
        elif run is None or run.ask.plan != data["plan"]:  # another has taken its place meanwhile
            if data["what"] == "failed":  # who was to go on waits for an end
                plan = Plan(data["plan"], data["agent"], PlanStatus.SUPERSEDED, None)
                self.events.on_next(PlanEnded(plan, self._now()))
        elif data["what"] == "failed":
            self._trace("~agent", **said)
            self._failed(data, run)
        elif run.live:
            self._trace("~agent", **said)
            self._end(run, PlanStatus.CANCELLED)
            del self._runs[run.ask.agent]

    def on_narrative(self, event: Narrative) -> None:
        """Hold back requests while somebody waits for the first text of a telling."""
        if isinstance(event, Started):
            self._untold[event.telling] = None
        elif not isinstance(event, Patched) or event.text:
            self._untold.pop(event.telling, None)
        self._batches.hold(bool(self._untold))

    def close(self) -> None:
        """End all plans, at once."""
        self._over = True
        for run in self._runs.values():
            if run.live:
                self._end(run, PlanStatus.CANCELLED)
        self._planning.dispose()
        self._batches.close()
        self.events.on_completed()

    def _asked(self, data: Mapping[str, Any], before: _Run | None) -> None:
        if before is not None and before.live:
            self._end(before, PlanStatus.SUPERSEDED)
        self._runs.pop(data["agent"], None)
        ask = Ask(
            data["plan"],
            data["agent"],
            data.get("snapshot") or {},
            data.get("goal") or "",
            self._moment(),
            together=data.get("together") is True,
        )
        self._begin(ask, data.get("fallback"))

    def _failed(self, data: Mapping[str, Any], before: _Run) -> None:
        old, step = before.ask, data.get("step") or {}
        before.live = False
        key = Step(str(step.get("do")), {k: v for k, v in step.items() if k != "do"}).key
        ask = Ask(
            old.plan,
            old.agent,
            data.get("snapshot") or {},
            old.goal,
            self._moment(),
            old.revision + 1,
            done=tuple(data.get("done") or ()),
            failed=(step, data.get("reason") or ""),
            barred=old.barred | {key},
        )
        self._begin(ask, data.get("fallback"))

    def _begin(self, ask: Ask, fallback: Any) -> None:
        sight, source = Sight(ask.snapshot), Source.FALLBACK
        steps: tuple[Step, ...] = ()
        dropped: list[Dropped] = []
        if fallback is not None:
            found, dropped = checked(fallback, self._registry, sight, ask.barred)
            steps = tuple(found)
        if not steps:
            steps, source = by_rules(self._registry, sight, ask.barred), Source.HEURISTIC
            if [step.tool for step in steps] == [self._registry.safe.name]:
                source = Source.WAIT
        standby = tuple(
            step.told_by(source, ask.plan, number, ask.revision)
            for number, step in enumerate(steps, 1)
        )
        for each in dropped:
            self._trace("~unfit", plan=ask.plan, flaw=each.flaw.kind, why=each.flaw.what)
        ask = replace(ask, standby=standby)
        self._runs[ask.agent] = _Run(ask)
        self._forget()
        self.events.on_next(PlanBegun(ask.plan, ask.agent, ask.revision, ask.began))
        if self._settings.first:
            self._on_event(Stepped(ask.agent, standby[0], ask.began))
        self._hand_on_soon()

    def _hand_on_soon(self) -> None:
        if not self._changed:
            self._changed = True
            self._tasks.soon(self._hand_on)

    def _hand_on(self) -> None:
        """What has come in one step of the loop is one change of what is planned."""
        self._changed = False
        if not self._over:
            self._asks.on_next(tuple(run.ask for run in self._runs.values() if run.live))

    def _forget(self) -> None:
        over = len(self._runs) - KEPT
        if over > 0:
            for agent in [agent for agent, run in self._runs.items() if not run.live][:over]:
                del self._runs[agent]

    def _on_planned(self, event: Stepped | PlanEnded) -> None:
        """An event of a plan that was asked of the model; it may have been ended just now."""
        if isinstance(event, Stepped):
            agent, name, revision = event.agent, event.step.plan, event.step.revision
        else:
            agent, name, revision = event.plan.agent, event.plan.id, event.plan.revision
        run = self._runs.get(agent)
        if run is not None and run.live and (run.ask.plan, run.ask.revision) == (name, revision):
            self._on_event(event)

    def _on_event(self, event: Stepped | PlanEnded) -> None:
        match event:
            case Stepped(agent=agent, step=step):
                run = self._runs[agent]
                if step.source.model and run.model is None:
                    run.model = round(event.t - run.ask.began, 6)
                    run.steps.clear()
                run.steps.append(step)
                about = {"number": step.number, "source": step.source, "step": step.wire}
                self._trace("~step", plan=step.plan, revision=step.revision, **about)
            case PlanEnded(plan=plan):
                self._runs[plan.agent].live = False
                self._trace_end(plan)
        self.events.on_next(event)

    def _end(self, run: _Run, status: PlanStatus) -> None:
        """End a plan before its end."""
        ask, now = run.ask, self._now()
        run.live = False
        steps = tuple(run.steps)
        plan = Plan(
            *(ask.plan, ask.agent, status, steps[0].source if steps else None, steps),
            first=0.0 if self._settings.first else run.model,
            model=run.model,
            total=round(now - ask.began, 6),
            revision=ask.revision,
        )
        self._trace_end(plan)
        self.events.on_next(PlanEnded(plan, now))
        self._hand_on_soon()

    def _trace_end(self, plan: Plan) -> None:
        self._trace(
            "~planned",
            plan=plan.id,
            revision=plan.revision,
            status=plan.status,
            source=plan.source,
            steps=len(plan.steps),
            dropped=len(plan.dropped),
            error=plan.kind,  # its text may have an address in it
            latency=[plan.first, plan.model, plan.total],
        )
