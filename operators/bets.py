"""What came of what was prepared, by context: how far its probabilities can be trusted."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from ..streams.events import Outcome
from ..streams.world import World
from .predict import ANY

__all__ = ["Bets", "Kind"]

HALF = 10
"""Bets after which one counts half."""

FADES = 0.5 ** (1 / HALF)
BEFORE = 2.0
"""Bets that are thought to have come as they should, before there was one. They fade as well."""

MOST_TRUSTED = 2.0
MOST_KINDS = 256
MOST_OPEN = 1024


class Kind(NamedTuple):
    """Where a bet was made, and why it was thought of, such as declared."""

    context: str
    source: str


class _Bet(NamedTuple):
    kind: Kind
    value: float


class _Record:
    """What came of the bets of one kind; of late, and of all."""

    __slots__ = ("came", "due", "events", "made", "wanted")

    def __init__(self) -> None:
        self.came = self.due = BEFORE
        self.made = self.events = 0
        self.wanted = 0.0


class Bets:
    """For each kind of bet, how many were right for each that should have been.

    ::

        P          .6    .6    .6    .6                .6 (not made)      .6
        came       yes   no    no    no   …  no        yes, all the same
        rate       1.1   .9    .8    .7      .1        .3                 made again

    A text that is told was right, one that is dropped or fails was waste: both fade, so a kind that
    has only waste comes to nothing. What was not prepared because of that is remembered until the
    next outcome, which may show that it had been right.

    It follows from the lines of a recording and from its inputs.
    """

    def __init__(self) -> None:
        self._records: dict[Kind, _Record] = {}
        self._open: dict[str, _Bet] = {}
        self._let_go: dict[tuple[Any, ...], _Bet] = {}
        self._context = ""
        self.heard: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            "~scene": self._on_scene,
            "~generation": self._made,
            "~served": self._came,
            "~ended": self._ended,
            "~dropped": self._dropped,
            "~refused": self._refused,
        }
        """Who listens to which lines of a recording: their time in seconds, and their fields."""

    def rate(self, context: str, source: str) -> float:
        """By what a probability is to be multiplied; 1 where nothing is known."""
        record = self._records.get(Kind(context, source))
        return 1.0 if record is None else min(MOST_TRUSTED, record.came / record.due)

    def report(self) -> list[dict[str, Any]]:
        """For each kind: bets ``made``, how many should have come, and did; and the rate now."""
        return [
            {
                "context": kind.context,
                "source": kind.source,
                "made": record.made,
                "expected": round(record.wanted, 3),
                "came": record.events,
                "rate": round(self.rate(*kind), 4),
            }
            for kind, record in sorted(self._records.items())
        ]

    def on_world(self, world: World) -> None:
        """What was not made of late, and would have been right, was right."""
        event = world.cause
        if not isinstance(event, Outcome):
            return
        own = world.doing(event).key
        for result in event.results:
            named = (result.target, result.result), (None, result.result), (None, ANY)
            for end in dict.fromkeys(named):
                bet = self._let_go.pop((own, *end), None)
                if bet is not None:
                    self._settle(bet, came=True, made=False)
        self._let_go.clear()

    def _settle(self, bet: _Bet, *, came: bool, made: bool = True) -> None:
        record = self._records.get(bet.kind)
        if record is None:
            record = self._records[bet.kind] = _Record()
            if len(self._records) > MOST_KINDS:
                del self._records[next(iter(self._records))]
        record.came = FADES * record.came + came
        record.due = FADES * record.due + bet.value
        if made:
            record.made += 1
            record.events += came
            record.wanted += bet.value

    def _bet(self, line: Mapping[str, Any]) -> _Bet:
        value, share = line.get("value"), 0.0
        if isinstance(value, int | float) and math.isfinite(value):  # a game's odds may be none
            share = min(1.0, max(0.0, value))
        return _Bet(Kind(self._context, str(line.get("source"))), share)

    def _on_scene(self, t: float, line: Mapping[str, Any]) -> None:
        self._context = str(line["context"])

    def _made(self, t: float, line: Mapping[str, Any]) -> None:
        if line.get("purpose") == "prefetch":
            self._open[line["generation"]] = self._bet(line)
            if len(self._open) > MOST_OPEN:
                del self._open[next(iter(self._open))]

    def _came(self, t: float, line: Mapping[str, Any]) -> None:
        bet = self._open.pop(line["generation"], None)
        if bet is not None:
            self._settle(bet, came=True)

    def _ended(self, t: float, line: Mapping[str, Any]) -> None:
        if line.get("phase") != "done":
            self._dropped(t, line)

    def _dropped(self, t: float, line: Mapping[str, Any]) -> None:
        bet = self._open.pop(line["generation"], None)
        if bet is not None:
            self._settle(bet, came=False)

    def _refused(self, t: float, line: Mapping[str, Any]) -> None:
        slot = line.get("slot")
        if line.get("why") != "worth" or not isinstance(slot, Sequence) or len(slot) != 4:
            return
        _, own, target, result = slot
        self._let_go[own, target, result] = self._bet(line)
        if len(self._let_go) > MOST_OPEN:
            del self._let_go[next(iter(self._let_go))]
