"""Which model writes a variant, and whether any does: by its odds, the time there is, and money.

The main model's prose where there is time and money for it, the small model's speed where there
is neither, and nothing once a night has cost as much as it may.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from statistics import median
from typing import Any, NamedTuple, Protocol

from ..streams.events import Outcome
from ..streams.models import Request
from ..streams.world import Declared, World
from .predict import Intensity, Variant

__all__ = ["SPEND", "Choice", "Economy", "Terms"]

SPEND: Mapping[str, float] = {Intensity.CONSERVATIVE: 1.4, Intensity.AGGRESSIVE: 3.9}
"""What may be spent, as a multiple of what the same night costs with nothing prepared. A little
under what is promised, 1.5 and 4 times: what is under way is known by its expected price only."""

CREDIT = 4.0
"""Tellings that are paid for before the first has been told, or nothing could be prepared then."""

SPARED = 4.0
"""Tellings' worth that must be left for the main model to be asked, or it would use up what the
small one needs, and later variants would not be written at all."""

LATE = 8
"""So many of the last waits of a kind are looked back on."""

USUAL = 4
"""A text is thought to be a quarter of the longest it may be, before one has come."""

UNKNOWN = 2.0
"""Seconds to the first word of a large hosted model, before one has come."""

NOT_THERE = frozenset(("not_found", "refused_key"))
"""What a server answers for a model that it does not have, or not for us."""

MOST_KINDS = 256
MOST_OPEN = 256


class Choice(StrEnum):
    """Who writes a variant."""

    MAIN = "main"
    SMALL = "small"
    NOTHING = "nothing"


class Terms(NamedTuple):
    """What the settings say of it.

    ``main_from``: the probability from which on the main model writes; 0: it writes all.
    ``spend``: the multiple of what no prefetch would cost; ``None``: unbounded.
    """

    main: str
    small: str
    main_from: float
    spend: float | None


class Books(Protocol):
    """What the economy asks the ledger; see :class:`foretell.sinks.ledger.Ledger`."""

    @property
    def cost_usd(self) -> float:
        """Dollars so far."""
        ...

    def without(self, main: str) -> float:
        """Dollars that all that was told had cost, if ``main`` had written it when asked."""
        ...

    def expected(self, request: Any, usual: float) -> float:
        """Dollars a request is likely to cost."""
        ...


class Economy:
    """Chooses the model of a variant, and refuses what a night has no money for.

    ::

        variant    P .65, declared, 4 s ahead   P .3, 0.6 s ahead   P .05        (money used up)
        choice     main                         small               small        nothing

    It learns how long ahead of its outcome an action of each kind is declared, and how long the
    main model takes to its first word. All of that follows from the inputs and the lines of a
    recording, so a replay, and a session that goes on from its log, choose alike.

    :param books: the session's ledger.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self._moment = 0.0
        self._leads: dict[tuple[bool, str], deque[float]] = {}
        self._firsts: dict[str, deque[float]] = {}
        self._asked: dict[str, tuple[str, float]] = {}
        self._missing: dict[str, None] = {}
        self.heard: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            "~generation": self._begun,
            "~asked": self._on_asked,
            "~chunk": self._on_chunk,
            "~error": self._on_error,
            "~timer": self._on_time,
        }
        """Who listens to which lines of the recording: their time in seconds, and their fields."""

    def restore(self, t: float, kind: str, line: Mapping[str, Any]) -> None:
        """Take in a line of a recording, of whichever kind."""
        if kind in self.heard:
            self.heard[kind](t, line)

    def on_world(self, before: World, after: World) -> None:
        """Learn how long ahead an outcome could have been prepared."""
        self._moment = after.t
        event = after.cause
        if isinstance(event, Outcome):
            done = before.actions.get(event.action_id or "") or after.doing(event)
            since = _since(before, done)
            if since is not None and not done.resolved:
                self._learn(self._leads, _kind_of(done), after.t - since)

    def choose(
        self, variant: Variant, request: Request, live: Iterable[Any], terms: Terms
    ) -> Choice:
        """Who writes a variant.

        :param request: what the main model would be asked.
        :param live: the model streams of the session, of which those count that are not over.
        """
        small = self.alternative(request, terms)
        price = self.price(request)
        room = None
        if terms.spend is not None and price > 0:
            under_way = [self.price(each.request) for each in live if _is_open(each)]
            allowed = terms.spend * (self._books.without(terms.main) + CREDIT * price)
            room = allowed - self._books.cost_usd - sum(under_way, price)
        if small is None:
            return Choice.MAIN if room is None or room >= price else Choice.NOTHING
        worthy = variant.value >= terms.main_from and self._in_time(variant, terms.main)
        if worthy and (room is None or room >= SPARED * price):
            return Choice.MAIN
        return Choice.SMALL if room is None or room >= self.price(small) else Choice.NOTHING

    def alternative(self, request: Request, terms: Terms) -> Request | None:
        """The same, asked of the small model; none where that is not to write, or saves nothing."""
        if (
            terms.main_from == 0
            or terms.small in ("", terms.main)
            or terms.small in self._missing
            or not self.price(request)
        ):
            return None
        return replace(request, model=terms.small)

    def price(self, request: Request) -> float:
        """Dollars it is likely to cost."""
        return self._books.expected(request, request.max_tokens / USUAL)

    def first_word(self, model: str, unknown: float = UNKNOWN) -> float:
        """Seconds a model takes to its first word."""
        known = self._firsts.get(model)
        return median(known) if known else unknown

    def lead(self, variant: Variant) -> float | None:
        """Seconds until its outcome, as such actions went of late; none, if none have."""
        world = variant.scene.world
        since = _since(world, variant.declared)
        kind = _kind_of(variant.declared)
        known = self._leads.get(kind) or self._leads.get((kind[0], ""))
        if since is None or not known:
            return None
        gone = max(self._moment, world.t) - since
        left = [each - gone for each in known if each >= gone]
        return median(left) if left else 0.0

    def _in_time(self, variant: Variant, main: str) -> bool:
        lead = self.lead(variant)
        return lead is None or lead >= self.first_word(main)

    def _learn(
        self, waits: dict[tuple[bool, str], deque[float]], kind: tuple[bool, str], wait: float
    ) -> None:
        for each in dict.fromkeys((kind, (kind[0], ""))):
            waits.setdefault(each, deque(maxlen=LATE)).append(round(wait, 3))
        if len(waits) > MOST_KINDS:
            del waits[next(iter(waits))]

    def _begun(self, t: float, line: Mapping[str, Any]) -> None:
        self._asked[line["generation"]] = str(line["model"]), self._moment
        if len(self._asked) > MOST_OPEN:
            del self._asked[next(iter(self._asked))]

    def _on_asked(self, t: float, line: Mapping[str, Any]) -> None:
        if (known := self._asked.get(line["generation"])) is not None:
            self._asked[line["generation"]] = known[0], self._moment

    def _on_chunk(self, t: float, line: Mapping[str, Any]) -> None:
        self._moment = t
        if (known := self._asked.pop(line["generation"], None)) is not None:
            model, asked = known
            self._firsts.setdefault(model, deque(maxlen=LATE)).append(round(t - asked, 3))
            if len(self._firsts) > MOST_KINDS:
                del self._firsts[next(iter(self._firsts))]

    def _on_error(self, t: float, line: Mapping[str, Any]) -> None:
        self._moment = t
        known = self._asked.pop(line["generation"], None)
        if known is not None and line.get("error") in NOT_THERE:
            self._missing[known[0]] = None

    def _on_time(self, t: float, line: Mapping[str, Any]) -> None:
        self._moment = t


def _kind_of(declared: Declared) -> tuple[bool, str]:
    """Whether it is declared, and what kind of action it is."""
    return declared.event is not None, str(declared.action.get("type") or "")


def _since(world: World, declared: Declared) -> float | None:
    """When it became known that it may come: declared, or else since what happened last."""
    if declared.event is not None:
        return declared.event.t
    if world.turn is None:
        return None
    return max(world.turn.t, world.recent[-1].t if world.recent else 0.0)


def _is_open(generation: Any) -> bool:
    return generation.phase in ("waiting", "running")
