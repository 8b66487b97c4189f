"""A session's stock of finished variants: what was prepared and not told, and why it may be still.

It follows from the session's inputs and a few lines of its recording, so a session that goes on
after a crash or a week has it again, and asks for nothing that was paid for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from ..operators.fingerprint import Dependence, dependence_of
from ..streams.log_own import own_problem
from ..streams.world import World
from .variant_store import VariantStore

__all__ = ["Id", "Slot", "Stock", "key_of"]

MOST = 256

Id = tuple[str, str]
"""A key of the store, and what it was made for."""

Slot = tuple[str | None, str, str | None, str]


@dataclass(slots=True)
class _Stream:
    """A model stream of a recording, until it is known whether its text was kept."""

    opened: float | None = None
    pieces: list[str] = field(default_factory=list)


class Stock:
    """Finished variants in a :class:`VariantStore`, which is swept by hand.

    The store's clock is the time of the last input, so that all that one input brings about has
    one time, in a replay and when the session goes on too.

    :param store: makes the store, with a clock (seconds).
    :param world: the world it begins with.
    :param ttl: seconds a variant is kept beyond its turn.
    """

    def __init__(
        self, store: Callable[[Callable[[], float]], VariantStore], world: World, ttl: float
    ) -> None:
        self.world = world
        """The world as it stands."""
        self.store = store(lambda: self.world.t)
        self.store.changed({}, ())  # the fingerprints tell its states apart
        self.ttl = ttl
        self.fetched = 0
        """How many variants were found in a shared cache."""
        self.ids: dict[str, Id] = {}
        """By its stream, each variant that was kept of late."""
        self._expired: list[str] = []
        self._turn = _turn_of(world)
        self._streams: dict[str, _Stream] = {}
        self._tops: set[str] = set()  # the keys of a state under which something is depended on

    def put(
        self, slot: Slot, known: Id, depends: Dependence, value: float, text: Mapping[str, Any]
    ) -> bool:
        """Keep a text for its place in the plan; whether it was taken."""
        key, mark = known
        turn = slot[0]
        taken = self.store.store(
            key,
            [text],
            self.ttl,
            fingerprint=mark,
            depends=depends,
            turn=turn if turn is not None and turn == self._turn else None,
            value=value,
        )
        if taken:
            self._tops |= {path[0] for path in depends.paths}
            self.ids[text["generation"]] = known
            while len(self.ids) > MOST:
                del self.ids[next(iter(self.ids))]
        return taken

    def take(self, generation: str) -> Id | None:
        """It is told, and not told again; where it was, if it was kept."""
        known = self.ids.pop(generation, None)
        if known is not None:
            self.store.ready(*known)
            self.store.consume(*known)
        return known

    def missed(self, number: int) -> None:
        """Nothing had been prepared for an outcome."""
        self.store.ready(f"outcome {number}")

    def on_world(self, world: World) -> bool:
        """Drop what an unexpected change has made untrue; let the time of past turns begin.

        Whether either may have changed when something is over.
        """
        self.world = world
        turn, before = _turn_of(world), self._turn
        if turn != before:
            if self._turn is not None:
                self.store.end_turn(self._turn)
            if turn is not None:
                self.store.begin_turn(turn)
            self._turn = turn
        tops = self._tops
        fresh = tops and [change for change in world.fresh if not change[0] or change[0][0] in tops]
        if doubtful := fresh and len(self.store) > 0:
            self.store.changed({}, fresh)
        return bool(doubtful) or turn != before

    def sweep(self) -> None:
        """Time has come for what is kept too long."""
        there = [(name, known) for name, known in self.ids.items() if self._has(known)]
        self.store.sweep_next()
        self._expired += [name for name, known in there if not self._has(known)]

    def expired(self) -> list[str]:
        """The streams whose texts were kept too long, since this was asked last."""
        gone, self._expired = self._expired, []
        return gone

    def _has(self, known: Id) -> bool:
        key, mark = known
        return not self.store.missing([key], mark)

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in a ``~`` line of the session's recording, in its order among the inputs."""
        kind, name = line["kind"], line.get("generation", "")
        stream = self._streams.get(name)
        if kind == "~chunk":
            if stream is not None:
                stream.pieces.append(line["text"])
        elif kind == "~generation":
            if line.get("purpose") == "prefetch":
                self._streams[name] = _Stream()
        elif kind == "~asked" and stream is not None:
            stream.opened = line["t"]
        elif kind == "~kept" and own_problem(line) is None:
            self._restore_kept(line, name)
        elif kind == "~recalled" and name in self.ids:
            self.store.ready(*self.ids[name])
        elif kind == "~served":
            self.take(name)
        elif kind == "~timer" and line.get("name") == "kept":
            self.sweep()
        elif kind == "~told" and "retells" not in line:
            for number, served in zip(line["outcomes"], line["served"], strict=True):
                if served == "miss":
                    self.missed(number)
        elif kind == "~opened":
            self._streams.clear()
        elif kind == "~dropped" or (kind == "~ended" and line.get("phase") != "done"):
            self._streams.pop(name, None)

    def _restore_kept(self, line: Mapping[str, Any], name: str) -> None:
        stream = self._streams.pop(name, None)
        text, opened = line.get("text"), line["t"]
        if text is None:
            if stream is None:
                return
            text, opened = "".join(stream.pieces), stream.opened
        else:
            self.fetched += 1
        kept = {"generation": name, "text": text, "revision": line["revision"], "opened": opened}
        turn, own, target, result = line["slot"]
        slot = (turn, own, target, result)
        depends = dependence_of(self.world, own)
        self.put(slot, (key_of(slot), line["mark"]), depends, line["value"], kept)


def key_of(slot: Slot) -> str:
    """The key of the store for a place in the plan."""
    return orjson.dumps(slot).decode()


def _turn_of(world: World) -> str | None:
    return world.turn.turn if world.turn is not None else None
