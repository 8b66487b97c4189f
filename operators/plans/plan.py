"""The plan of one agent: its steps as the model writes them, or what stands in for them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import aclosing
from typing import Any

from ...streams.models import (
    ModelBadRequest,
    ModelError,
    ModelInvalid,
    ModelProtocolError,
    ModelRefusal,
)
from ...streams.timers import Timers, sleep, timeout
from ..generation import GenerationClosed, Trace
from .answer import Share
from .batch import Batches
from .check import MOST_DROPPED, check
from .ladder import Ladder, Pace, Stalled
from .registry import Registry
from .settings import Plans
from .sight import Sight
from .tiers import Tiers
from .types import (
    Ask,
    Dropped,
    Flaw,
    Plan,
    PlanEnded,
    PlanStatus,
    Shelf,
    Source,
    Step,
    Stepped,
    Tier,
)

__all__ = ["Planner"]

OF_THE_BATCH = (ModelBadRequest, ModelInvalid, ModelProtocolError, ModelRefusal)
"""What may be wrong with a request for several, and right with one for each."""


class _Draft:
    """What there is of a plan, while the model writes it."""

    def __init__(self, ask: Ask, registry: Registry, settings: Plans) -> None:
        self.steps: list[Step] = []
        self.dropped: list[Dropped] = []
        self.error: str | None = None
        self.kind: str | None = None
        self.first: float | None = None
        self.full = False
        """More steps have come than a plan may have."""
        self.share: Share | None = None
        self.unfit = 0
        """Steps of the answer that is read that could not be done."""
        self._ask = ask
        self._registry = registry
        self._settings = settings
        self.source = Source(settings.tier)
        self._sight = Sight(ask.snapshot)

    def begin(self, share: Share) -> None:
        """An answer is read, in the place of one before of which nothing can be used."""
        self.share, self.source = share, Source(share.tier)
        self.unfit = 0

    def finish(self) -> list[Step]:
        """Those that the end of the answer completes, wherever it came."""
        return [] if self.share is None else self.take(self.share.rest())

    def begin_anew(self, tier: Tier) -> None:
        """The answer to another prompt is read, for of this one nothing can be used."""
        self.share, self.source = None, Source(tier)

    def reuse(self, raw: Iterable[Any]) -> list[Step]:
        """The steps of a plan that was made before, up to the first that cannot be done."""
        wrote, self.source = self.source, Source.CACHE
        for each in raw:
            if not self.take([each]):
                break
        self.dropped.clear()
        self.source = wrote
        return self.steps

    def take(self, raw: Iterable[Any]) -> list[Step]:
        """The steps that can be done, of those that a piece of the answer completes."""
        fit: list[Step] = []
        ask = self._ask
        for each in raw:
            if len(self.steps) == self._settings.max_steps:
                self.full = True
                break
            found = check(each, self._registry, self._sight, ask.barred)
            if isinstance(found, Flaw):
                self.dropped.append(Dropped(each, found))
                self.unfit += 1
                continue
            self._sight = self._sight.after(self._registry[found.tool], found.args)
            number = len(self.steps) + 1
            step = found.told_by(self.source, ask.plan, number, ask.revision)
            self.steps.append(step)
            fit.append(step)
        del self.dropped[MOST_DROPPED:]
        return fit


class Planner:
    """Makes plans, each as a stream of its steps that ends by its deadline, whatever happens.

    ::

        ask       a------------------------|(deadline)
        standby   s1                              (given before: see Agents)
        model       ....[m1 --- m2 - m3|          m1 m2 m3 ended(done)
        or          ....[m1 --- x                 m1 ended(partial)
        or          ....x  ...[m1 --- m2|         m1 m2 ended(done), by another prompt
        or          ....x  ...x                   s2 s3 ended(heuristic)
        or          m1 m2 m3                      ended(done), of the shelf

    A step is given as it closes, if it can be done when those before it have been. Closing a plan
    closes its connection at once; its place is free for another when that is done.

    :param batches: makes the requests, for one or for several.
    :param model: whom to ask, as the settings are now.
    :param shelf: plans that were made before; ``None``: none is kept.
    :param now: seconds of the session; ``moment``: when the last thing came from outside, which is
        the same in a replay.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Plans,
        batches: Batches,
        timers: Timers,
        now: Callable[[], float],
        moment: Callable[[], float],
        trace: Trace,
        model: Callable[[], str],
        shelf: Shelf | None,
    ) -> None:
        self._registry = registry
        self._settings = settings
        self._batches = batches
        self._timers = timers
        self._now = now
        self._moment = moment
        self._pace = Pace()
        self._model = model
        self._shelf = shelf
        self._tiers = Tiers(settings)
        self._trace = trace

    async def plan(self, ask: Ask) -> AsyncGenerator[Stepped | PlanEnded, None]:
        """The events of a plan, from the model's first step to the end."""
        draft, limit = _Draft(ask, self._registry, self._settings), self._settings.deadline
        name = f"{ask.plan}.{ask.revision}"
        for step in self._reused(ask, draft):
            yield self._stepped(ask, draft, step)
        if draft.steps:
            yield self._ended(ask, draft, PlanStatus.DONE, tuple(draft.steps))
            return
        try:
            async with (
                timeout(self._timers, f"deadline {name}", ask.began + limit - self._now()),
                aclosing(self._asked(ask, draft, name)) as steps,
            ):
                async for step in steps:
                    yield self._stepped(ask, draft, step)
        except TimeoutError:
            if draft.share is not None:
                draft.share.generation.overdue()
            draft.error, draft.kind = f"nothing more came within {limit:g} s", "deadline"
        except GenerationClosed as closed:
            draft.error, draft.kind = f"the answer was closed: {closed.reason}", "closed"
        except ModelError as error:
            draft.error, draft.kind = str(error), error.kind
        if not draft.full:
            for step in draft.finish():
                yield self._stepped(ask, draft, step)
        for each in draft.dropped:
            self._trace("~unfit", plan=ask.plan, flaw=each.flaw.kind, why=each.flaw.what)
        if draft.steps:
            status = PlanStatus.DONE if draft.error is None else PlanStatus.PARTIAL
            self._keep(ask, draft)
            yield self._ended(ask, draft, status, tuple(draft.steps))
            return
        if draft.error is None:
            draft.error = "the model's answer has no step that can be done"
            draft.kind = ModelInvalid.kind
        self._fell(ask, draft.source, ask.standby[0].source, draft.kind)
        for step in ask.standby[1 if self._settings.first else 0 :]:
            yield Stepped(ask.agent, step, self._now())
        yield self._ended(ask, draft, PlanStatus.HEURISTIC, ask.standby)

    def _reused(self, ask: Ask, draft: _Draft) -> list[Step]:
        """The steps of one that was made before, up to the first that cannot be done."""
        if self._shelf is None:
            return []
        if ask.revision:
            self._shelf.failed(ask.plan, self._model())
            return []
        found = self._shelf.find(ask, self._model())
        if found is None:
            return []
        steps = draft.reuse(found.steps)
        how = found.how if len(steps) == len(found.steps) else "part" if steps else "mismatch"
        self._trace("~reused", plan=ask.plan, how=how, steps=len(steps))
        return steps

    def _keep(self, ask: Ask, draft: _Draft) -> None:
        """For others: what is whole, and was not made anew after a step that failed."""
        whole = draft.error is None and not draft.dropped and ask.revision == 0
        if self._shelf is not None and whole and draft.share is not None:
            self._shelf.keep(ask, draft.share.generation.request.model, draft.steps)

    def _stepped(self, ask: Ask, draft: _Draft, step: Step) -> Stepped:
        now = self._now()
        if draft.first is None:
            draft.first = now - ask.began
        if draft.share is not None and not draft.share.generation.delivered:
            draft.share.generation.deliver()
        return Stepped(ask.agent, step, now)

    def _ended(
        self, ask: Ask, draft: _Draft, status: PlanStatus, steps: tuple[Step, ...]
    ) -> PlanEnded:
        now = self._now()
        total = round(now - ask.began, 6)
        model = None if draft.first is None else round(draft.first, 6)
        first = 0.0 if self._settings.first else total if model is None else model
        plan = Plan(
            *(ask.plan, ask.agent, status, steps[0].source, steps, tuple(draft.dropped)),
            error=draft.error,
            kind=draft.kind,
            first=first,
            model=model,
            total=total,
            revision=ask.revision,
        )
        return PlanEnded(plan, now)

    async def _asked(self, ask: Ask, draft: _Draft, name: str) -> AsyncGenerator[Step, None]:
        """The model's steps; where it gives none, it is asked again as the ladder says.

        :raises ModelError: with which it ended.
        """
        until = ask.began + self._settings.deadline
        begins = self._tiers.begins(ask, self._batches.model())
        ladder = Ladder(ask, begins, self._settings.retries)
        draft.begin_anew(begins)
        while True:
            error: ModelError | None = None
            try:
                async with aclosing(self._answer(ask, draft, ladder, name)) as steps:
                    async for step in steps:
                        yield step
            except ModelError as failed:
                error = failed
            if not draft.full:
                for step in draft.finish():
                    yield step
            if not draft.steps:
                error = error or ModelInvalid("the model's answer has no step that can be done")
                before, fall = ladder.tier, ladder.fall(error, until - self._moment())
                if fall is not None:
                    self._fell(ask, before, fall.tier, fall.why)
                    draft.begin_anew(fall.tier)
                    if fall.pause:
                        await sleep(self._timers, f"patience {name}", fall.pause)
                    continue
            if error is not None:
                raise error
            return

    async def _answer(
        self, ask: Ask, draft: _Draft, ladder: Ladder, name: str
    ) -> AsyncGenerator[Step, None]:
        """The steps of one answer; whom a batch has none for is asked about once more, alone."""
        alone = False
        while True:
            share = await self._batches.share(
                ask, ladder.tier, alone=alone, in_time=lambda model: self._in_time(ask, model)
            )
            draft.begin(share)
            try:
                async with aclosing(self._pieces(share, ladder, name)) as pieces:
                    async for piece in pieces:
                        for step in draft.take(piece):
                            yield step
                        if draft.full:
                            self._judge(share, draft)
                            return
                for step in draft.finish():
                    yield step
                self._judge(share, draft)
            except OF_THE_BATCH:
                if draft.steps or not share.several:
                    raise
            finally:
                share.release("enough" if draft.full else "superseded")
            if draft.steps or not share.several:
                return
            alone = True
            self._fell(ask, ladder.tier, ladder.tier, "alone")

    def _judge(self, share: Share, draft: _Draft) -> None:
        """Say of a whole answer how much of it could be done."""
        found = len(draft.steps), draft.unfit
        if share.several and not any(found):
            return  # it was left out among others, which is no matter of how long the prompt was
        self._tiers.heard(share.generation.request.model, share.tier, *found)
        about = {"tier": share.tier, "valid": found[0], "dropped": found[1]}
        self._trace("~judged", generation=share.generation.id, **about)

    def _in_time(self, ask: Ask, model: str) -> bool:
        """Whether an answer may be there before the deadline."""
        left = ask.began + self._settings.deadline - self._moment()
        return left > self._pace.least(model)

    async def _pieces(
        self, share: Share, ladder: Ladder, name: str
    ) -> AsyncGenerator[list[Any], None]:
        """The answer, of which the first piece must come in time, where there is a shorter prompt.

        :raises Stalled: if it does not.
        """
        model, opened = share.generation.request.model, self._moment()
        limit = None if ladder.shorter is None else self._pace.stalled(model)
        async with aclosing(share.pieces(streaming=self._settings.streaming)) as pieces:
            try:
                if limit is None:
                    first = await anext(pieces, None)
                else:
                    async with timeout(self._timers, f"deadline {name} first", limit):
                        first = await anext(pieces, None)
            except TimeoutError:
                share.generation.overdue()
                raise Stalled(f"nothing came within {limit:g} s") from None
            if first is None:
                return
            if share.leads:
                self._pace.heard(model, self._moment() - opened)
            yield first
            async for piece in pieces:
                yield piece

    def _fell(self, ask: Ask, above: str, to: str, why: str | None) -> None:
        about = {"from": above, "to": to, "why": why}
        self._trace("~fell", plan=ask.plan, revision=ask.revision, **about)
