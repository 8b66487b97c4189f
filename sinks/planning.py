"""The handle of one agent's plan: iterate over its steps, await the whole, cancel it."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from dataclasses import replace
from typing import Any

from ..operators.plans.check import MOST_DROPPED, check
from ..operators.plans.gate import outdates, touched
from ..operators.plans.registry import Registry
from ..operators.plans.sight import Sight
from ..operators.plans.types import (
    Dropped,
    Flaw,
    Plan,
    PlanBegun,
    PlanEnded,
    PlanEvent,
    PlanStatus,
    Step,
    Stepped,
)

__all__ = ["Planning"]

Failed = Callable[["Planning", Step, str], None]
MOST_ANEW = 8
"""So often a plan is made anew after a step that failed: where all fails, asking on is no help."""
STOPPED = (PlanStatus.SUPERSEDED, PlanStatus.CANCELLED)


class Planning:
    """The plan of an agent, while it comes and after.

    ``async for step in planning`` gives each step as soon as it is there, the first at once.
    ``await planning`` gives the :class:`~foretell.Plan` it has come to. :meth:`poll` is for a loop
    that is not asyncio. It has one reader: a step is handed out once.

    Before a step is handed out it is checked once more, against the newest snapshot of its agent;
    one that can no longer be done is left out, and stands in :attr:`dropped`. What stands in for
    the model's plan, and was not handed out yet, falls away when the model's first step comes; that
    one is left out if it is what stood in for it, and was handed out already. Leaving the iteration
    cancels nothing.
    """

    def __init__(
        self,
        plan: str,
        agent: str,
        goal: str,
        registry: Registry,
        raw: bytes,
        sight: Sight,
        failed: Failed,
        cancel: Callable[[Planning], None],
    ) -> None:
        self.id = plan
        self.agent = agent
        self.goal = goal
        self.dropped: list[Dropped] = []
        """Steps that could no longer be done when their turn came; the first 32."""
        self._registry = registry
        self._raw = raw
        self._basis = self._newest = sight
        self._failed = failed
        self._cancel = cancel
        self._lock = threading.Lock()
        self._revision = 0
        self._pending: deque[Step] = deque()
        self._handed: list[Step] = []  # of this revision
        self._since: list[Step] = []  # what the newest snapshot may not show yet
        self._end: Plan | None = None
        self._stopped = self._closed = False
        self._answered = False
        self._waiters: list[asyncio.Future[None]] = []

    def __repr__(self) -> str:
        status = "under way" if self._end is None else self._end.status
        return f"<Planning {self.id} of {self.agent} [{status}, {len(self._handed)} handed out]>"

    @property
    def ended(self) -> Plan | None:
        """What it has come to, once it is over; a step that fails makes it go on."""
        return self._end

    # ── what comes of the session ─────────────────────────────────────────────────────────────

    def on_event(self, event: PlanEvent) -> None:
        """Take in an event of the plan; on the loop."""
        with self._lock:
            match event:
                case PlanBegun():
                    return
                case Stepped(step=step):
                    if step.revision < self._revision or self._stopped:
                        return
                    if step.source.model and not self._answered:
                        self._answered = True
                        self._pending.clear()
                    self._pending.append(step)
                case PlanEnded(plan=plan):
                    if plan.revision < self._revision and plan.status not in STOPPED:
                        return
                    self._end = plan
                    if plan.status in STOPPED:
                        self._stop()
        self._wake()

    def abandon(self) -> None:
        """The session is over, and says nothing more; on the loop."""
        with self._lock:
            self._closed = True
            if self._end is None:
                self._end = Plan(self.id, self.agent, PlanStatus.CANCELLED, None)
                self._stop()
        self._wake()

    def _stop(self) -> None:
        self._stopped = True
        self._pending.clear()

    def _wake(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
        self._waiters.clear()

    # ── what comes of the game, from any thread ───────────────────────────────────────────────

    def goes_on(self, goal: str, raw: bytes, sight: Sight, *, restless: bool) -> bool:
        """Whether it is still the plan for its agent, in a newer scene; if so, it knows that now.

        :param restless: so many plans of the agent were outdated before they came to anything that
            this one is to be finished.
        """
        with self._lock:
            over = self._end is not None and not self._pending
            if goal != self.goal or self._stopped or over:
                return False
            if raw == self._raw:
                return True
            if not restless and self._outdated(sight):
                return False
            self._raw, self._newest = raw, sight
            self._since = self._since[-1:]  # it may be under way
            return True

    def _outdated(self, sight: Sight) -> bool:
        footprint = touched(self._registry, self._handed)
        targets = [step.args.get("target") for step in self._pending]
        named = [each for each in targets if isinstance(each, str)]
        if outdates(self._basis, sight, footprint, named) is not None:
            return True
        if not self._pending:
            return False
        for step in self._since[-1:]:
            sight = sight.after(self._registry[step.tool], step.args)
        return isinstance(check(self._pending[0], self._registry, sight), Flaw)

    @property
    def answered(self) -> bool:
        """Whether the model has given a step, or the plan came to its own end."""
        with self._lock:
            return self._answered or (self._end is not None and not self._stopped)

    def stop(self) -> None:
        """Hand out nothing more: another plan of the agent is asked for."""
        with self._lock:
            self._stop()

    def begin_anew(self, step: Step) -> tuple[bytes, list[Mapping[str, Any]]] | None:
        """A step has failed: nothing of the plan so far is handed out any more.

        :returns: the newest snapshot, and what was done before; ``None`` if it comes too late.
        """
        with self._lock:
            late = step.revision != self._revision or self._stopped or self._closed
            if late or self._revision == MOST_ANEW:
                return None
            done: list[Mapping[str, Any]] = []
            for each in self._handed:
                if each is step or (each.number, each.source) == (step.number, step.source):
                    break
                done.append(each.wire)
            self._revision += 1
            self._pending.clear()
            self._handed, self._since = [], []
            self._basis, self._end, self._answered = self._newest, None, False
            return self._raw, done

    def cancel(self) -> None:
        """End it: nothing more is handed out, and its connection is closed. From any thread."""
        self.stop()
        self._cancel(self)

    # ── what the game reads ───────────────────────────────────────────────────────────────────

    def poll(self) -> list[Step]:
        """The steps that are there and were not handed out yet; from any thread, never blocks.

        For a game that asks once a frame; :attr:`ended` says whether more may come.
        """
        steps: list[Step] = []
        while (step := self._next()) is not None:
            steps.append(step)
        return steps

    async def __aiter__(self) -> AsyncGenerator[Step, None]:
        """Each step, as soon as it is there."""
        while True:
            step = self._next()
            if step is not None:
                yield step
            elif self._end is not None or self._stopped:
                return
            else:
                await self._changed()

    def __await__(self) -> Generator[Any, None, Plan]:
        return self._whole().__await__()

    async def _whole(self) -> Plan:
        while self._end is None:
            await self._changed()
        return self._end

    async def _changed(self) -> None:
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        await waiter

    def _next(self) -> Step | None:
        """The next step that can be done, as the newest snapshot shows it."""
        with self._lock:
            while self._pending:
                step = self._pending.popleft()
                if self._handed and _confirms(step, self._handed[-1]):
                    continue
                sight = self._newest
                for each in self._since:
                    sight = sight.after(self._registry[each.tool], each.args)
                found = check(step, self._registry, sight)
                if isinstance(found, Flaw):
                    if len(self.dropped) < MOST_DROPPED:
                        self.dropped.append(Dropped(step.wire, found))
                    continue
                step = replace(step, on_failed=self._on_failed)
                self._handed.append(step)
                self._since.append(step)
                return step
            return None

    def _on_failed(self, step: Step, reason: str) -> None:
        self._failed(self, step, reason)


def _confirms(step: Step, handed: Step) -> bool:
    """Whether the model begins with what was begun in its place."""
    first = step.source.model and step.number == 1 and not handed.source.model
    return first and step.key == handed.key
