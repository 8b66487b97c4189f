"""A session as its log left it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from .operators.economy import Economy
from .operators.foresee import Foresight
from .operators.summary import Summaries
from .sinks.audit import Audit
from .sinks.ledger import EXPIRED, Ledger
from .sinks.plan_tally import PlanTally
from .sinks.prefetch_session import Speculated
from .sinks.prefetch_supplied import Supplied
from .sinks.report import Tally
from .sinks.stock import Stock
from .sinks.transcript import Transcript
from .streams import events as ev
from .streams.history import History
from .streams.log import Record, to_event
from .streams.references import References
from .streams.world import Numbered, World

__all__ = ["Resumed"]

OF_LEDGER = frozenset(
    (
        *("~generation", "~asked", "~chunk", "~usage", "~ended", "~account", "~served"),
        *("~revoked", "~guard"),
    )
)
OF_TRANSCRIPT = frozenset(("~telling", "~text", "~told"))


@dataclass(slots=True)
class Resumed:
    """What a session knows, and what a recording brings back of it."""

    history: History
    world: World
    transcript: Transcript
    tally: Tally
    ledger: Ledger
    audit: Audit
    stock: Stock
    foresight: Foresight
    economy: Economy
    named: References = field(default_factory=References)
    speculated: Speculated = field(default_factory=Speculated)
    supplied: Supplied = field(default_factory=Supplied)
    plans: PlanTally = field(default_factory=PlanTally)
    summaries: Summaries = field(default_factory=Summaries)
    number: int = 0
    """How many inputs there were."""
    opened: int = 0
    """The number of the last model stream."""
    waiting: dict[int, tuple[str, ...]] = field(default_factory=dict)
    """The outcomes and retells that had come to no end, and whom they are for."""
    live: bool = False
    """Whether the recording holds what was made of its inputs."""

    def read(self, records: Iterable[Record]) -> None:
        """Take in a recording.

        :raises LogError: if it cannot be read.
        """
        for record in records:
            event = to_event(record)
            if event is not None:
                self._input(event)
            else:
                self._own(record)
        self.transcript.rewound(self.world.stands)
        self.summaries.rewound(self.world.stands)
        turn = self.world.turn
        self.named.go_on(turn.turn if turn is not None else None)

    def _input(self, event: ev.Input) -> None:
        self.number += 1
        before, numbered = self.world, Numbered(self.number, event, event.t)
        self.world = self.history.advance(before, numbered)
        self.foresight.on_world(before, self.world)
        self.economy.restore(event.t, "input")
        self.economy.on_world(before, self.world)
        if isinstance(event, ev.Turn):
            self.ledger.on_turn()
        self.audit.on_world(self.world)
        self.stock.on_world(self.world)
        self.speculated.on_world(self.world)
        self.named.note(event, self.number)
        if isinstance(event, ev.Delivered):
            unheard = self.transcript.delivered(event.telling, event.viewer, event.upto)
            if unheard is not None:
                self.summaries.unheard(unheard)
        if self.live and isinstance(event, ev.Outcome | ev.Retell):
            self.waiting[self.number] = getattr(event, "to", ())

    def _own(self, record: Record) -> None:
        t, kind, line = record.t, record.kind, record.data
        self.stock.restore(line)
        if kind == "~timer":
            for name in self.stock.expired():
                self.ledger.wasted(name, EXPIRED)
        if kind in OF_LEDGER:
            self.ledger.restore(line)
        if kind in OF_TRANSCRIPT:
            self.transcript.restore(line)
        self.speculated.restore(t, kind, line)
        self.economy.restore(t, kind, line)
        self.supplied.restore(t, kind, line)
        self.plans.restore(t, kind, line)
        if kind == "~generation":
            self.opened = max(self.opened, int(str(line["generation"]).removeprefix("g")))
        elif kind == "~opened":
            self.live = True
        elif kind == "~summary":
            self.summaries.restore(line)
        elif kind in ("~stop", "~gate", "~guard"):
            self.tally.restore(line)
        elif kind in ("~told", "~fault"):
            self.tally.restore(line)
            for number in line.get("outcomes", ()):
                self.waiting.pop(number, None)

    def cut(self) -> list[dict[str, Any]]:
        """For each telling that was under way, or still to come, a ``~told`` line that ends it.

        Nobody can go on with it: what viewers had of it stays. Groups that were never begun are
        told apart again.
        """
        found: dict[str, dict[str, Any]] = {}
        for number, to in self.waiting.items():
            seen = self.transcript.of(number)
            name = f"t{number}" if seen is None else seen.telling
            line = found.get(name)
            if line is None:
                line = found[name] = {
                    "telling": name,
                    "status": "superseded",
                    "served": [],
                    "text": "" if seen is None else seen.text,
                    "to": to if seen is None else seen.to,
                    "outcomes": [],
                    "latency": [],
                    "cut": True,
                }
                if number in self.named.retold:
                    line["retells"] = "" if seen is None else seen.retells
            line["served"].append("superseded")
            line["outcomes"].append(number)
            line["latency"].append(None)
        self.waiting.clear()
        return list(found.values())
