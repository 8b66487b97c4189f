"""One pass over a log, and what came of its outcomes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..operators.narrative import Ended, Narrative
from ..session import Session

__all__ = ["Outcomes", "Run", "priceless"]


@dataclass(slots=True)
class Run:
    """One pass over a log: the session's report, and what it took."""

    report: dict[str, Any]
    summary: str
    trace_sha256: str
    latencies: dict[int, float]
    leads: dict[int, float]
    virtual_seconds: float
    wall_seconds: float
    served: dict[int, str] = field(default_factory=dict)
    """How each outcome was served that has a latency."""
    begins: set[int] = field(default_factory=set)
    """The outcomes with which a telling begins; the others were told together with one."""
    cache: dict[str, Any] = field(default_factory=dict)
    prefetch: dict[str, Any] = field(default_factory=dict)
    plans: dict[str, Any] = field(default_factory=dict)
    streams: dict[str, int | None] | None = None
    """What the recording had of its streams, where nobody else could have been asked."""

    @property
    def unpriced(self) -> list[str]:
        """The models it has asked that are not in the price list: what they cost is not known."""
        asked = {row["model"] for row in self.report["ledger"]}
        return [model for model in self.report["unpriced"] if model in asked]

    @property
    def cost_usd(self) -> float | None:
        """Dollars in all, if all models it has asked have a price."""
        return None if self.unpriced else float(self.report["cost_usd"])


def priceless(models: Collection[str]) -> str:
    """A warning that what these models cost is not known."""
    names, have = ", ".join(map(repr, models)), "have" if len(models) > 1 else "has"
    return f"{names} {have} no price in the price list, so dollars are not known"


class Outcomes:
    """What was heard of each outcome: how it was served, when, and how far ahead it was thought of.

    :param number: the number of an outcome that the session has given another one.
    """

    def __init__(self, number: Callable[[int], int] = lambda number: number) -> None:
        self._number = number
        self._latencies: dict[int, float] = {}
        self._leads: dict[int, float] = {}
        self._served: dict[int, str] = {}
        self._begins: set[int] = set()

    def on_event(self, event: Narrative) -> None:
        """Hear an event of the narrative."""
        if not isinstance(event, Ended) or event.retells is not None:
            return
        self._begins.add(self._number(event.outcomes[0]))
        for given, seconds, lead, how in zip(
            event.outcomes, event.latency, event.lead, event.served, strict=True
        ):
            number = self._number(given)
            if seconds is not None:
                self._latencies[number], self._served[number] = seconds, how
            if lead is not None:
                self._leads[number] = lead

    def run(
        self,
        session: Session[Any],
        cache: Mapping[str, Any],
        virtual_seconds: float,
        wall_seconds: float,
    ) -> Run:
        """All of it, now that the session is closed.

        :param cache: its cache's status before that, for with it goes what it had prepared.
        """
        return Run(
            session.report(),
            session.summary(),
            session.trace_sha256,
            self._latencies,
            self._leads,
            virtual_seconds,
            wall_seconds,
            self._served,
            self._begins,
            dict(cache),
            session.prefetch_report(),
            session.plans_report(),
        )
