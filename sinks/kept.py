"""What a session has prepared and not told: kept beyond its plan, and found again.

A plan that drops a variant may want it back: the player turns to another target and then to the
first again, a turn is begun anew. Its text was paid for, and is still good if nothing it speaks
of has changed unexpectedly and the model would be asked the very same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import orjson

from ..operators.fingerprint import fingerprint
from ..operators.generation import Generation, Generations, Trace
from ..operators.predict import Variant
from ..streams.models import Request
from ..streams.recorded import digest
from ..streams.tasks import Tasks
from ..streams.timers import Timers
from ..streams.world import World
from .stock import Id, Stock, key_of
from .store_cold import Cold
from .store_entry import Entry, basis_of, recorded, restored
from .store_given import packed

__all__ = ["Kept"]

KEPT_THERE = 3600.0
"""Seconds in a shared cache: a process that takes a session over does it soon, or not at all."""


class _Asked(NamedTuple):
    """What the shared cache was asked for."""

    variant: Variant
    id: Id
    answered: asyncio.Future[None]


class Kept:
    """Finished variants of a session: keeps them in its :class:`Stock`, and finds them again.

    With a shared cache, what is kept is written there too, and what is not here is looked for
    there: another process may have had the session before. What that answers comes from outside,
    so it is recorded, and a replay needs no cache.

    :param stock: what there is already of a session that goes on.
    :param now: seconds since the session's start.
    :param timers: make the one timer by which entries expire, so that a replay does it too.
    :param tasks: own what asks the cache.
    :param trace: records what is kept, so that a session that goes on has it again, and what the
        cache answers.
    :param writers: models of which either's text will do, whichever would be asked now.
    :param on_expired: told which stream's text was kept too long for nothing.
    :param shared: whether there is a shared cache; ``cache`` is it, unless this is a replay.
    """

    def __init__(
        self,
        stock: Stock,
        timers: Timers,
        now: Callable[[], float],
        tasks: Tasks,
        trace: Trace,
        *,
        writers: Collection[str] = (),
        on_expired: Callable[[str], None] = lambda name: None,
        shared: bool = False,
        cache: Cold | None = None,
    ) -> None:
        self.stock = stock
        self.store = stock.store
        self._timers = timers
        self._now = now
        self._tasks = tasks
        self._trace = trace
        self.writers = writers
        self._on_expired = on_expired
        self.shared = shared
        self._cache = cache
        self._asked: dict[str, _Asked] = {}
        self._alarm = timers.alarm("kept", self._on_time)
        self._set_to: float | None = None
        self._wait()

    def status(self) -> dict[str, Any]:
        """What the stock holds and has done, and the shared cache if there is one, as JSON."""
        found = self.store.stats().as_json()
        if self.shared:
            met = {} if self._cache is None else self._cache.described()
            found["shared"] = {"found": self.stock.fetched, **met}
        return found

    def keep(self, variant: Variant, request: Request, generation: Generation) -> None:
        """Keep a finished variant, till it is told, untrue, or too old."""
        if variant.account is not None or generation.bound or generation.id in self.stock.ids:
            return
        text = {
            "generation": generation.id,
            "text": "".join(generation.text.items),
            "revision": generation.revision,
            "opened": generation.opened_at,
        }
        key, mark = known = self._id_of(variant, request)
        if self._put(variant, known, text) and self._cache is not None:
            parts, size = packed([text["text"]])
            ttl = self.stock.ttl
            entry = Entry(key, mark, parts, size, ttl, variant.value, variant.depends)
            entry.basis = basis_of(self.stock.world.state, variant.depends)
            self._cache.keep(self.store.name_in_cache(key, mark), recorded(entry), KEPT_THERE)

    def _put(self, variant: Variant, known: Id, kept: dict[str, Any], **found: str) -> bool:
        taken = self.stock.put(variant.slot, known, variant.depends, variant.value, kept)
        if taken:
            self._trace(
                "~kept",
                generation=kept["generation"],
                slot=variant.slot,
                mark=known[1],
                revision=kept["revision"],
                value=variant.value,
                **found,
            )
        self._wait()
        return taken

    def recall(
        self, variant: Variant, request: Request, generations: Generations
    ) -> Generation | None:
        """A variant that was finished for this very request; nobody is asked for it again."""
        if variant.account is not None or not self.store.keeps(key_of(variant.slot)):
            return None
        key, mark = self._id_of(variant, request)
        if self.store.missing([key], mark):
            return None
        found = self.store.ready(key, mark)
        self._wait()
        if found is None:
            return None
        text = found[0]
        return generations.recall(
            text["generation"],
            text["text"],
            (variant.depends,),
            revision=text["revision"],
            value=variant.value,
            opened_at=text["opened"],
        )

    async def fetch(self, variant: Variant, request: Request) -> bool:
        """Look for a variant in the shared cache; if it is there it can be recalled then.

        False, if it was made for a moment that has passed meanwhile.
        """
        if not self.shared or variant.account is not None:
            return True
        known = self._id_of(variant, request)
        name = self.store.name_in_cache(*known)
        if name in self._asked:
            return True
        answered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._asked[name] = _Asked(variant, known, answered)
        if self._cache is not None:
            self._tasks.start(self._ask(self._cache, name, known), name="cache", outside=True)
        try:
            await answered
        finally:
            self._asked.pop(name, None)
        return fingerprint(self.stock.world, variant.depends) == variant.fingerprint

    async def _ask(self, cache: Cold, name: str, known: Id) -> None:
        found = await cache.fetch(name)
        if found is not None and not _sound(found, known):
            cache.drop(name)
            found = None  # rubbish, maybe of a depth that no recording can hold
        self._tasks.take_in(partial(self.content, name, found))

    def content(self, name: str, found: Any) -> None:
        """What the shared cache has answered; what is not true of the world as it is, is left."""
        self._trace("~content", name=name, found=found)
        asked = self._asked.get(name)
        if asked is None:
            return
        world = self.stock.world
        entry = restored(found, *asked.id)
        words = _words(entry)
        about = basis_of(world.state, asked.variant.depends)
        if entry is not None and words is not None and entry.basis == about:
            self.stock.fetched += 1
            text = {"generation": f"x{self.stock.fetched}", "text": words}
            at = {"revision": world.revision, "opened": world.t}
            self._put(asked.variant, asked.id, {**text, **at}, text=words)
        if not asked.answered.done():
            asked.answered.set_result(None)

    def on_world(self, world: World) -> None:
        """Drop what an unexpected change has made untrue; let the time of past turns begin."""
        if self.stock.on_world(world):
            self._wait()

    def told(self, generation: Generation) -> None:
        """Its text reaches a viewer: it is not told again."""
        known = self.stock.take(generation.id)
        if known is not None:
            self._wait()
            if self._cache is not None:
                self._cache.drop(self.store.name_in_cache(*known))

    def missed(self, number: int) -> None:
        """Nothing had been prepared for an outcome."""
        self.stock.missed(number)

    def _id_of(self, variant: Variant, request: Request) -> Id:
        """Its place in the plan, and what it was made for.

        The fingerprint tells the moments of one session apart. It is no more than numbers of its
        inputs, which another story under the same name has too: only the request says which story.
        """
        if request.model in self.writers:
            request = replace(request, model=" or ".join(self.writers))
        return key_of(variant.slot), f"{variant.fingerprint}:{digest(request)}"

    def close(self) -> None:
        """The session is over."""
        self.store.end_session()
        self._alarm.cancel()

    def _wait(self) -> None:
        due = self.store.next_due()
        if due != self._set_to:
            self._set_to = due
            if due is None:
                self._alarm.cancel()
            else:
                self._alarm.set(self._timers.time() + max(0.0, due - self._now()))

    def _on_time(self) -> None:
        self._set_to = None
        self.stock.sweep()
        for name in self.stock.expired():
            self._on_expired(name)
        self._wait()


def _words(entry: Entry | None) -> str | None:
    """The text of what was kept, if it is one."""
    words = [] if entry is None else entry.variants()
    return words[0] if len(words) == 1 and isinstance(words[0], str) else None


def _sound(found: Any, known: Id) -> bool:
    try:
        orjson.dumps(found)
    except TypeError:
        return False
    return _words(restored(found, *known)) is not None
