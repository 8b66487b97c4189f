"""Which model writes a variant, and whether any does: by its odds, the time there is, and money.

The main model's prose where there is time and money for it, the small model's speed where there
is neither, and nothing once a night has cost as much as it may.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from enum import StrEnum
from statistics import median
from typing import Any, NamedTuple, Protocol

from ..streams.events import Action, Outcome, Turn
from ..streams.models import Request
from ..streams.world import Declared, World
from .bets import Bets
from .predict import Intensity, Variant

__all__ = ["SPEND", "Choice", "Economy", "Terms"]

SPEND: Mapping[str, float] = {Intensity.CONSERVATIVE: 1.35, Intensity.AGGRESSIVE: 3.9}
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

UNKNOWN, UNKNOWN_SMALL = 2.0, 0.7
"""Seconds to the first word of a large and of a small hosted model, before one has come."""

SECOND = 1_000_000

FROM_OUTSIDE = frozenset(
    (
        *("~agent", "~cancel", "~chunk", "~content", "~error", "~guard", "~intensity"),
        *("~settings", "~stop", "~timer", "~usage"),
    )
)

NOT_THERE = frozenset(("not_found", "refused_key"))
"""What a server answers for a model that it does not have, or not for us."""

MOST_KINDS = 256
MOST_OPEN = 256


class Choice(StrEnum):
    """Who writes a variant."""

    MAIN = "main"
    SMALL = "small"
    NOTHING = "nothing"
    UNWORTHY = "unworthy"
    """Nothing: it is worth less than it costs."""


class Terms(NamedTuple):
    """What the settings say of it.

    ``main_from``: the probability from which on the main model writes; 0: it writes all.
    ``spend``: the multiple of what no prefetch would cost; ``None``: unbounded.
    ``per_second``: dollars that a second less of waiting is worth; ``None``: it is not asked what
    it is worth.
    """

    main: str
    small: str
    main_from: float
    spend: float | None
    per_second: float | None = None


class Books(Protocol):
    """What the economy asks the ledger; see :class:`foretell.sinks.ledger.Ledger`."""

    @property
    def told_usd(self) -> float:
        """Dollars of the narrative so far."""
        ...

    def without(self, main: str) -> float:
        """Dollars that all that was told had cost, if ``main`` had written it when asked."""
        ...

    def expected(self, request: Any, usual: float, model: str) -> float:
        """Dollars a request is likely to cost, asked of this model."""
        ...


class Economy:
    """Chooses the model of a variant, and refuses what a night has no money for.

    ::

        variant    P .65, declared, 4 s ahead   P .3, 0.6 s ahead   P .05        (money used up)
        choice     main                         small               small        nothing

    It learns how long ahead of its outcome an action of each kind is declared, and how long the
    main model takes to its first word; and how often what was prepared was asked for, by context.
    All of that follows from the inputs and the lines of a recording, so a replay, and a session
    that goes on from its log, choose alike.

    :param books: the session's ledger.
    """

    def __init__(self, books: Books) -> None:
        self._books = books
        self.bets = Bets()
        self.now: Callable[[], float] = lambda: self._restored
        """When the last thing came from outside, in seconds, as its line has it."""
        self._restored = 0.0
        self._moved = 0
        self._declared: dict[str, int] = {}
        self._leads: dict[tuple[bool, str], deque[int]] = {}
        self._firsts: dict[str, deque[int]] = {}
        self._asked: dict[str, tuple[str, int]] = {}
        self._missing: dict[str, None] = {}
        self.heard: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            "~generation": self._begun,
            "~asked": self._on_asked,
            "~chunk": self._on_chunk,
            "~error": self._on_error,
        }
        """Who listens to which lines of the recording: their time in seconds, and their fields."""

    def restore(self, t: float, kind: str, line: Mapping[str, Any] | None = None) -> None:
        """Take in a line of a recording, of whichever kind; of an input it is the time alone."""
        if kind in FROM_OUTSIDE or line is None:
            self._restored = t
        if line is not None:
            for heard in (self.heard, self.bets.heard):
                if kind in heard:
                    heard[kind](t, line)

    @property
    def _moment(self) -> int:
        """In whole microseconds: what is learned is equal to the last digit."""
        return round(self.now() * SECOND)

    def on_world(self, before: World, after: World) -> None:
        """Learn how long ahead an outcome could have been prepared."""
        self.bets.on_world(after)
        event = after.cause
        if isinstance(event, Action) and event.action_id not in before.actions:
            self._declared[event.action_id] = self._moment
            if len(self._declared) > MOST_OPEN:
                del self._declared[next(iter(self._declared))]
        elif isinstance(event, Turn):
            self._moved = self._moment
        elif isinstance(event, Outcome):
            done = before.actions.get(event.action_id or "") or after.doing(event)
            since = self._since(before, done)
            if since is not None and not done.resolved:
                self._learn(_kind_of(done), self._moment - since)
            self._moved = self._moment

    def choose(
        self, variant: Variant, request: Request, live: Iterable[Any], terms: Terms
    ) -> Choice:
        """Who writes a variant.

        :param request: what the main model would be asked.
        :param live: the model streams of the session, of which those count that are not over.
        """
        price = self.price(request, request.model)
        small = None if not price else self.alternative(terms)
        cheap = price if small is None else self.price(request, small)
        in_time = small is None or self._in_time(variant, terms.main)
        likely = small is None or variant.likeliest >= terms.main_from
        writes = in_time and likely and self._pays(variant, terms.main, price, terms)
        if not writes and (small is None or not self._pays(variant, terms.small, cheap, terms)):
            return Choice.UNWORTHY
        room = self._room(price, live, terms)
        if writes and room >= (price if small is None else SPARED * price):
            return Choice.MAIN
        return Choice.SMALL if small is not None and room >= cheap else Choice.NOTHING

    def _room(self, price: float, live: Iterable[Any], terms: Terms) -> float:
        """Dollars that are left, once another telling is paid for."""
        if terms.spend is None or price <= 0:
            return math.inf
        asked = [each.request for each in live if _is_open(each)]
        under_way = [self.price(each, each.model) for each in asked]
        allowed = terms.spend * (self._books.without(terms.main) + CREDIT * price)
        return allowed - self._books.told_usd - math.fsum((*under_way, price))

    def _pays(self, variant: Variant, model: str, price: float, terms: Terms) -> bool:
        """Whether it is worth more than its price: the seconds it is likely to save."""
        if terms.per_second is None:
            return True
        usual = self.first_word(terms.main)
        unknown = UNKNOWN if model == terms.main else UNKNOWN_SMALL
        lead = self.lead(variant)
        late = 0.0 if lead is None else max(0.0, self.first_word(model, unknown) - lead)
        rate = self.bets.rate(variant.scene.context, variant.source)
        likely = min(1.0, variant.value * rate)
        return likely * max(0.0, usual - late) * terms.per_second > price

    def alternative(self, terms: Terms) -> str | None:
        """The small model; none where that is not to write, or is not there."""
        small = terms.small
        unfit = terms.main_from == 0 or small in ("", terms.main) or small in self._missing
        return None if unfit else small

    def price(self, request: Request, model: str) -> float:
        """Dollars it is likely to cost, asked of this model."""
        return self._books.expected(request, request.max_tokens / USUAL, model)

    def first_word(self, model: str, unknown: float = UNKNOWN) -> float:
        """Seconds a model takes to its first word."""
        known = self._firsts.get(model)
        return median(known) / SECOND if known else unknown

    def lead(self, variant: Variant) -> float | None:
        """Seconds until its outcome, as such actions went of late; none, if none have."""
        since = self._since(variant.scene.world, variant.declared)
        kind = _kind_of(variant.declared)
        known = self._leads.get(kind) or self._leads.get((kind[0], ""))
        if since is None or not known:
            return None
        gone = self._moment - since
        left = [each - gone for each in known if each >= gone]
        return median(left) / SECOND if left else 0.0

    def _in_time(self, variant: Variant, main: str) -> bool:
        lead = self.lead(variant)
        return lead is None or lead >= self.first_word(main)

    def _since(self, world: World, declared: Declared) -> int | None:
        """When it became known that it may come: declared, or else since what happened last."""
        if declared.event is not None:
            return self._declared.get(declared.event.action_id)
        return None if world.turn is None else self._moved

    def _learn(self, kind: tuple[bool, str], wait: int) -> None:
        for each in dict.fromkeys((kind, (kind[0], ""))):
            self._leads.setdefault(each, deque(maxlen=LATE)).append(wait)
        if len(self._leads) > MOST_KINDS:
            del self._leads[next(iter(self._leads))]

    def _begun(self, t: float, line: Mapping[str, Any]) -> None:
        self._asked[line["generation"]] = str(line["model"]), self._moment
        if len(self._asked) > MOST_OPEN:
            del self._asked[next(iter(self._asked))]

    def _on_asked(self, t: float, line: Mapping[str, Any]) -> None:
        if (known := self._asked.get(line["generation"])) is not None:
            self._asked[line["generation"]] = known[0], self._moment

    def _on_chunk(self, t: float, line: Mapping[str, Any]) -> None:
        if (known := self._asked.pop(line["generation"], None)) is not None:
            model, asked = known
            self._firsts.setdefault(model, deque(maxlen=LATE)).append(self._moment - asked)
            if len(self._firsts) > MOST_KINDS:
                del self._firsts[next(iter(self._firsts))]

    def _on_error(self, t: float, line: Mapping[str, Any]) -> None:
        known = self._asked.pop(line["generation"], None)
        if known is not None and line.get("error") in NOT_THERE:
            self._missing[known[0]] = None


def _kind_of(declared: Declared) -> tuple[bool, str]:
    """Whether it is declared, and what kind of action it is."""
    return declared.event is not None, str(declared.action.get("type") or "")


def _is_open(generation: Any) -> bool:
    under_way = generation.phase in ("waiting", "running")
    return under_way and generation.request.purpose != "plan"
