"""Who is asked about in which request: each alone while there is room, several in one beyond."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from ...streams.models import ModelError, Request
from ...streams.tasks import Tasks
from ...streams.timers import Timers
from ..generation import Generations, Trace
from .answer import Answer, Share
from .compress import dumped
from .grouping import InTime, Key, Wish, called, grouped, in_order, shared_out
from .prompts import request_of, told_of
from .registry import Registry
from .settings import Plans
from .types import Ask, Tier

__all__ = ["Batches"]

KEPT = 1024
"""Agents of whom it is known when they were last asked about."""


class Batches:
    """Makes requests of asks, so many at the same time, and none while a player waits.

    ::

        asked         a b  c d e
        places (2)    [a---------------]  [e--------]
                       [b-------]  [c d-----------]

    While a place is free an ask has a request of its own. What waits when a place becomes free is
    asked together, in as many requests as there are places: of 3 that wait, 2 for one of 2 places.
    Those who were not asked about for longest come first. What was queued is asked in
    one, of at most ``plans.batch_size``, when that many are there, ``plans.batch_wait`` after the
    first, or when it is said to be due.

    In a request agents stand in the order of their ids. Who wants what is under way already, has a
    share in that. A request is closed when all who were asked about have left it; its place is free
    when its connection is closed.

    :param model: whom to ask, as the settings are now.
    :param allow: raises :class:`~foretell.streams.models.ModelTooDear` where no budget has room.
    :param revision: of the world, for the account of a stream.
    """

    def __init__(
        self,
        registry: Registry,
        settings: Plans,
        model: Callable[[], str],
        generations: Generations,
        tasks: Tasks,
        timers: Timers,
        trace: Trace,
        allow: Callable[[Request], None],
        revision: Callable[[], int],
    ) -> None:
        self._registry = registry
        self._settings = settings
        self.model = model
        self._generations = generations
        self._tasks = tasks
        self._trace = trace
        self._allow = allow
        self._revision = revision
        self._free = settings.streams
        self._held = self._dealing = self._hurried = False
        self._waiting: dict[Key, Wish] = {}
        self._queued: dict[Key, Wish] = {}
        self._due: list[dict[Key, Wish]] = []  # each to be one request
        self._flying: dict[Key, tuple[Answer, str]] = {}
        self._asked: dict[str, int] = {}  # by agent, when it was last asked about
        self._requests = self._deals = 0
        self._patience = timers.alarm("batch", self.close_queue)
        self._now = timers.time

    def __repr__(self) -> str:
        waiting = len(self._waiting) + len(self._queued) + sum(map(len, self._due))  # ints
        return f"<Batches [{self._free} free, {waiting} waiting]>"

    def hold(self, held: bool) -> None:
        """Begin no request, or go on again; what is under way goes on."""
        if held is not self._held:
            self._held = held
            self._deal_soon()

    def due(self) -> None:
        """Ask what was queued until now; some of it may only be on its way here."""
        self._hurried = True
        self._patience.set(self._now())

    def close_queue(self) -> None:
        """What is queued is asked now, with nobody else."""
        self._hurried = False
        self._patience.cancel()
        wishes = [(key, wish) for key, wish in self._queued.items() if wish.wanted]
        self._queued = {}
        for each in grouped(in_order(wishes, self._asked), self._settings.batch_size):
            self._due.append(dict(each))
        self._deal_soon()

    def close(self) -> None:
        """The session is over."""
        self._patience.cancel()

    async def share(
        self, ask: Ask, tier: Tier, *, alone: bool = False, in_time: InTime = lambda model: True
    ) -> Share:
        """The share of an agent in an answer; give it back. Cancelled meanwhile, there is none.

        :param alone: nobody else is asked about with it.
        :param in_time: whether an answer of that model, asked now, may still be of use.
        :raises ModelTooDear: where no budget has room for it.
        :raises TimeoutError: if it was not asked, for it would have come too late.
        """
        told = told_of(ask, self._registry, tier)
        same = dumped({name: value for name, value in told.items() if name != "id"})
        key: Key = (self.model(), tier, same, *([ask.plan] if alone else []))
        answer, name = self._flying.get(key, (None, ""))
        if answer is not None and answer.generation.running and not alone:
            self._trace("~shared", plan=ask.plan, generation=answer.generation.id)
            return Share(answer, name)
        queues = ask.together and not alone and self._settings.batch_size > 1
        turn: asyncio.Future[Share] = asyncio.get_running_loop().create_future()
        wish = self._wish_for(key, Wish(ask, tier, told, alone, self._deals, in_time), queues)
        wish.turns.append(turn)
        wish.in_time = in_time  # of those who wait for it the last has the most time
        if queues and len(self._queued) >= self._settings.batch_size:
            self.close_queue()
        self._deal_soon()
        try:
            return await turn
        except asyncio.CancelledError:
            if not turn.cancelled() and turn.exception() is None:
                turn.result().release("superseded")  # it was given, and left, in one step
            raise

    def _wish_for(self, key: Key, wish: Wish, queues: bool) -> Wish:
        """The wish that stands for it: one that waits already, where its inputs are equal."""
        for queue in (self._waiting, self._queued, *self._due):
            if key in queue and queue[key].wanted:
                return queue[key]
        if queues and not self._queued and not self._hurried:
            self._patience.set(self._now() + self._settings.batch_wait)
        (self._queued if queues else self._waiting)[key] = wish
        return wish

    def _deal_soon(self) -> None:
        if not self._dealing:
            self._dealing = True
            self._tasks.soon(self._deal)

    def _deal(self) -> None:
        """Give the places that are free: what comes in one step of the loop is dealt at once."""
        self._dealing = False
        self._deals += 1
        while not self._held and self._free and self._due:
            self._open(self._askable(self._due.pop(0)))
        wishes = self._askable(self._waiting)
        self._waiting = dict(wishes)
        if self._held or not self._free:
            return
        most = self._settings.batch_size
        sizes = shared_out(len(wishes), self._free, self._settings.streams, most)
        for group in grouped(in_order(wishes, self._asked), *sizes):
            if not self._free:
                break
            for key, _ in group:
                del self._waiting[key]
            self._open(group)

    def _askable(self, queue: Mapping[Key, Wish]) -> list[tuple[Key, Wish]]:
        """What is still wanted, and not too late."""
        found = []
        for key, wish in queue.items():
            if not wish.in_time(key[0]):
                wish.fail(TimeoutError())
            elif wish.wanted:
                found.append((key, wish))
        return found

    def _open(self, group: list[tuple[Key, Wish]]) -> None:
        if not group:
            return
        group.sort(key=lambda each: each[1].ask.agent)
        names = called([wish for _, wish in group])
        told = [{**wish.told, "id": name} for (_, wish), name in zip(group, names, strict=True)]
        model, tier = group[0][0][0], group[0][1].tier
        request = request_of(told, self._registry, model, self._settings, tier)
        try:
            self._allow(request)
        except ModelError as error:
            self._refused(group, error)
            return
        self._free -= 1
        self._requests += 1
        about = [wish.ask.plan for _, wish in group]
        why: dict[str, Any] = {"plan": about[0]} if len(about) == 1 else {"plans": about}
        generation = self._generations.open(request, (), revision=self._revision(), **why)
        answer = Answer(generation, tier, names)
        for (key, wish), name in zip(group, names, strict=True):
            self._asked.pop(wish.ask.agent, None)
            self._asked[wish.ask.agent] = self._requests
            self._flying[key] = answer, name
            for turn in wish.turns:
                if not turn.done():
                    turn.set_result(Share(answer, name, leads=not answer.generation.leases))
        while len(self._asked) > KEPT:
            del self._asked[next(iter(self._asked))]
        keys = [key for key, _ in group]
        self._tasks.start(self._leave(answer, keys), name=f"leave {generation.id}")

    def _refused(self, group: list[tuple[Key, Wish]], error: ModelError) -> None:
        """No budget has room for all of them: perhaps it has for each."""
        for key, wish in group:
            if len(group) > 1:
                wish.alone = True
                self._waiting[key] = wish
                self._deal_soon()
            else:
                wish.fail(error)

    async def _leave(self, answer: Answer, keys: list[Key]) -> None:
        """Its place is free when its connection is closed; no plan has to wait for that."""
        try:
            await answer.generation.closed()
        finally:
            for key in keys:
                if self._flying.get(key, (None,))[0] is answer:
                    del self._flying[key]
            for kind, what in answer.odd:
                self._trace("~unfit", generation=answer.generation.id, flaw=kind, why=what)
            self._free += 1
            self._deal_soon()
