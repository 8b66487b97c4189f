"""The way in for plans: what a game asks for an agent, from any thread."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary

import orjson

from .errors import StateError
from .operators.plans.prompts import PlanPrompt, prompt_for
from .operators.plans.registry import Registry
from .operators.plans.sight import Sight
from .operators.plans.types import Ask, Plan, PlanEnded, PlanEvent, Step, Stepped, Tier
from .sinks.planning import Planning
from .streams.inputs import snapshot as snapped
from .streams.said import brief

if TYPE_CHECKING:
    from .config import Settings
    from .pipeline import Pipeline

__all__ = ["Fallback", "Planned"]

Fallback = Callable[[str, Mapping[str, Any], Registry], Sequence[Step | Mapping[str, Any]]]
"""What stands in for the model's plan: of the agent, its snapshot and the tools there are."""

RESTLESS = 3
"""So many plans of an agent in a row were outdated before the model's first step; the next is
finished: a world that never holds still shall get a plan, too."""
KEPT = 1024
"""Agents whose latest plan is known, to tell whether a newer scene outdates it."""
LONGEST = 400
"""Characters of a goal, or of a reason; agents' ids have as many at most."""
MOST_STEPS = 64
"""Steps of a fallback."""


class Planned:
    """The plans that a game has asked for: one at a time for each agent.

    :param check_open: raises ``StateError`` once the session is closed.
    :param number: of the last plan before.
    """

    def __init__(
        self,
        pipeline: Pipeline[Any],
        settings: Settings,
        check_open: Callable[[], None],
        number: int,
    ) -> None:
        self._pipeline = pipeline
        self._registry = pipeline.registry
        self._settings = settings.plans
        self._check_open = check_open
        self._number = number
        self._lock = threading.RLock()
        self._latest: dict[str, Planning] = {}
        self._queued: dict[str, Planning] = {}  # since a batch was executed
        self._restless: dict[str, int] = {}
        self._handles: WeakValueDictionary[str, Planning] = WeakValueDictionary()
        self._fallbacks: dict[str, Fallback | None] = {}
        pipeline.plans.subscribe(self._on_event, on_completed=self._on_completed)

    def plan(
        self, agent: Any, snapshot: Any, goal: Any, fallback: Any, *, together: bool = False
    ) -> Planning:
        """See :meth:`Session.plan` and, for who is asked ``together``, :meth:`queue_agent`."""
        self._check(agent, goal, fallback)
        limit = self._settings.max_snapshot_bytes
        raw = snapped(snapshot, limit, "the snapshot", "plans.max_snapshot_bytes")
        seen = orjson.loads(raw)
        sight = Sight(seen)
        with self._lock:
            self._check_open()
            before, restless = self._latest.get(agent), self._restless.get(agent, 0)
            if before is not None:
                if before.goes_on(goal, raw, sight, restless=restless >= RESTLESS):
                    self._fallbacks[agent] = fallback
                    if together:
                        self._queue(before)
                    return before
                self._restless[agent] = 0 if before.answered else restless + 1
                before.stop()
        steps = self._asked_of(fallback, agent, raw)
        with self._lock:
            self._check_open()  # again: it may have been closed meanwhile
            self._number += 1
            name = f"p{self._number}"
            made = Planning(
                *(name, agent, goal, self._registry, raw, sight, self._failed, self._left)
            )
            self._latest.pop(agent, None)
            self._latest[agent] = self._handles[name] = made
            self._fallbacks[agent] = fallback
            while len(self._latest) > KEPT:
                oldest = next(iter(self._latest))
                del self._latest[oldest]
                self._fallbacks.pop(oldest, None)
                self._restless.pop(oldest, None)
            said: dict[str, Any] = {"what": "asked", "plan": name, "agent": agent, "snapshot": seen}
            said |= {"goal": goal} if goal else {}
            said |= {"fallback": steps} if steps is not None else {}
            said |= {"together": True} if together else {}
            self._tell(said)
            if together:
                self._queue(made)
        return made

    async def execute(self) -> dict[str, Plan]:
        """See :meth:`Session.execute_batch`."""
        with self._lock:
            self._check_open()
            queued, self._queued = self._queued, {}
            if queued:
                last = next(reversed(queued.values()))
                self._tell({"what": "due", "plan": last.id, "agent": last.agent})
        return {agent: await planning for agent, planning in sorted(queued.items())}

    def _queue(self, planning: Planning) -> None:
        self._queued.pop(planning.agent, None)
        self._queued[planning.agent] = planning
        if len(self._queued) > KEPT:
            del self._queued[next(iter(self._queued))]

    def prompt(self, agent: Any, snapshot: Any, goal: Any, tier: Tier) -> PlanPrompt:
        """See :meth:`Session.plan_prompt`."""
        self._check(agent, goal, None)
        limit = self._settings.max_snapshot_bytes
        raw = snapped(snapshot, limit, "the snapshot", "plans.max_snapshot_bytes")
        ask = Ask("", agent, orjson.loads(raw), goal, 0.0)
        return prompt_for(ask, self._registry, tier, self._settings.max_steps)

    @staticmethod
    def _check(agent: Any, goal: Any, fallback: Any) -> None:
        if not isinstance(agent, str) or not 0 < len(agent) <= LONGEST:
            raise StateError(f"plan needs the id of an agent, not {brief(agent)}")
        if not isinstance(goal, str) or len(goal) > LONGEST:
            raise StateError(f"a goal is a text of at most {LONGEST} characters")
        call = getattr(fallback, "__call__", None)  # noqa: B004  # an object with an async one
        if fallback is not None and (
            not callable(fallback)
            or inspect.iscoroutinefunction(fallback)
            or inspect.iscoroutinefunction(call)
        ):
            raise StateError(f"fallback must be a plain function, not {brief(fallback)}")

    def _asked_of(
        self, fallback: Fallback | None, agent: str, raw: bytes
    ) -> list[Mapping[str, Any]] | None:
        """What the fallback says, as it is recorded; nothing if it fails, which is reported."""
        if fallback is None:
            return None
        try:
            given = fallback(agent, orjson.loads(raw), self._registry)
            steps = [each.wire if isinstance(each, Step) else each for each in given]
            if len(steps) > MOST_STEPS:
                raise ValueError(f"{len(steps)} steps are more than {MOST_STEPS}")
            return list(orjson.loads(orjson.dumps(steps)))
        except Exception as error:
            fault = partial(self._pipeline.guest_fault, "fallback", error)
            self._pipeline.inputs.on_loop(fault)
            return None

    def _failed(self, planning: Planning, step: Step, reason: str) -> None:
        with self._lock:
            again = planning.begin_anew(step)
            fallback = self._fallbacks.get(planning.agent)
        if again is None:
            return
        raw, done = again
        steps = self._asked_of(fallback, planning.agent, raw)
        said: dict[str, Any] = {"what": "failed", "plan": planning.id, "agent": planning.agent}
        said |= {
            "step": step.wire,
            "reason": str(reason)[:LONGEST],
            "done": done,
            "snapshot": orjson.loads(raw),
        }
        said |= {"fallback": steps} if steps is not None else {}
        self._tell(said)

    def _left(self, planning: Planning) -> None:
        self._tell({"what": "left", "plan": planning.id, "agent": planning.agent})

    def _tell(self, said: Mapping[str, Any]) -> None:
        pipeline = self._pipeline
        hand_in = partial(pipeline.agents.hand_in, said)
        pipeline.inputs.on_loop(lambda: pipeline.tasks.take_in(hand_in))

    def _on_event(self, event: PlanEvent) -> None:
        if isinstance(event, PlanEnded):
            name = event.plan.id
        else:
            name = event.step.plan if isinstance(event, Stepped) else event.plan
        with self._lock:
            planning = self._handles.get(name)
        if planning is not None:
            planning.on_event(event)

    def _on_completed(self) -> None:
        with self._lock:
            left = list(self._handles.values())
        for planning in left:
            planning.abandon()
