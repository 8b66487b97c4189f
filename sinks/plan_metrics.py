"""Counts and times of a game's sessions, for a monitor to read: plans, tokens, tellings."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping
from typing import Any

from ..operators.plans.types import Source
from .ledger import COUNTS

__all__ = ["BUCKETS", "Histogram", "PlanMetrics"]

BUCKETS = (
    *(0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75),
    *(1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0, 15.0, 20.0, 30.0),
)
"""Upper bounds in seconds, from a prompt that is built to an agent that waits."""
PARTS = ("build", "queue", "ttft", "first", "model", "total", "parse")
LIVE = 4096
"""Streams and plans of a session that are under way, at most."""

Labels = tuple[str, ...]
Hear = Callable[[float, Mapping[str, Any]], None]


class Histogram:
    """How many values fell below each bound, and their sum."""

    __slots__ = ("counts", "sum")

    def __init__(self) -> None:
        self.counts = [0] * (len(BUCKETS) + 1)
        self.sum = 0.0

    def add(self, seconds: float) -> None:
        """Enter a value."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum += seconds


class PlanMetrics:
    """All sessions of a game together, from the lines of their recordings as they are written.

    It changes nothing in them. Counts only grow; another thread may read them at any time.

    ``seconds``, by part: ``build`` what is told of an agent, and a prompt; ``queue`` until a
    request is sent; ``ttft`` from there to the first token; ``first`` from asking to the first step
    whoever made it, ``model`` to the model's first, ``total`` to the end; ``parse`` a piece of an
    answer; ``told`` to the first text of an outcome's telling.
    """

    def __init__(self) -> None:
        self.seconds = {part: Histogram() for part in (*PARTS, "told")}
        self.plans: dict[Labels, int] = {}
        """By who answered, and how it ended."""
        self.steps: dict[Labels, int] = {}
        """The model's, by what was wrong with them; ``valid``: nothing."""
        self.falls: dict[Labels, int] = {}
        """From whom, to whom, why."""
        self.hits: dict[Labels, int] = {}
        """Plans that needed no request of their own: ``in_flight``, another had asked the same;
        ``exact``, ``near`` or ``part`` of one made before. ``mismatch``: it was of no use."""
        self.served: dict[Labels, int] = {}
        """Outcomes, by what there was for them."""
        self.tokens: dict[Labels, int] = {}
        """By purpose and kind."""
        self.closed: dict[Labels, int] = {}
        """Streams that were closed before their end, by purpose and reason."""
        self.failed: dict[Labels, int] = {}
        """Streams that failed, by purpose and kind of error."""

    def on_part(self, part: str, seconds: float) -> None:
        """Enter the time that a part of the process took."""
        if part in self.seconds:
            self.seconds[part].add(seconds)

    def session(self) -> Mapping[str, Hear]:
        """What is to hear the lines of one session, by kind."""
        return _Session(self).heard


class _Session:
    """The plans and streams of one session that are under way."""

    def __init__(self, metrics: PlanMetrics) -> None:
        self._all = metrics
        self._asked: dict[str, float] = {}  # plans that no request was sent for yet
        self._streams: dict[str, dict[str, Any]] = {}
        self.heard: Mapping[str, Hear] = {
            "~agent": self._on_agent,
            "~generation": self._on_generation,
            "~asked": self._on_asked,
            "~shared": self._on_shared,
            "~reused": self._on_reused,
            "~chunk": self._on_chunk,
            "~ended": self._on_ended,
            "~account": self._on_account,
            "~step": self._on_step,
            "~unfit": self._on_unfit,
            "~fell": self._on_fell,
            "~planned": self._on_planned,
            "~told": self._on_told,
        }

    def _on_agent(self, t: float, line: Mapping[str, Any]) -> None:
        if line["what"] == "left":
            self._asked.pop(line["plan"], None)
        else:
            _bound(self._asked)[line["plan"]] = t

    def _on_generation(self, t: float, line: Mapping[str, Any]) -> None:
        purpose = str(line["purpose"])
        about = {"purpose": purpose, "asked": None, "said": False}
        _bound(self._streams)[line["generation"]] = about
        for plan in (line.get("plan"), *line.get("plans", ())):
            self._begun(t, plan)

    def _on_shared(self, t: float, line: Mapping[str, Any]) -> None:
        self._begun(t, line["plan"])
        _count(self._all.hits, ("in_flight",))

    def _on_reused(self, t: float, line: Mapping[str, Any]) -> None:
        if line["steps"]:
            self._asked.pop(line["plan"], None)
        _count(self._all.hits, (str(line["how"]),))

    def _begun(self, t: float, plan: str | None) -> None:
        begun = None if plan is None else self._asked.pop(plan, None)
        if begun is not None:
            self._all.seconds["queue"].add(t - begun)

    def _on_asked(self, t: float, line: Mapping[str, Any]) -> None:
        if (about := self._streams.get(line["generation"])) is not None:
            about["asked"] = t

    def _on_chunk(self, t: float, line: Mapping[str, Any]) -> None:
        about = self._streams.get(line["generation"])
        if about is None or about["said"]:
            return
        about["said"] = True
        if about["purpose"] == "plan" and about["asked"] is not None:
            self._all.seconds["ttft"].add(t - about["asked"])

    def _on_ended(self, t: float, line: Mapping[str, Any]) -> None:
        about = self._streams.get(line["generation"])
        if about is None:
            return
        if line["phase"] == "closed":
            _count(self._all.closed, (about["purpose"], str(line.get("reason", ""))))
        elif line["phase"] == "failed":
            _count(self._all.failed, (about["purpose"], str(line.get("error", ""))))

    def _on_account(self, t: float, line: Mapping[str, Any]) -> None:
        about = self._streams.pop(line["generation"], None)
        if about is None:
            return
        for kind in COUNTS:
            _count(self._all.tokens, (about["purpose"], kind), line[kind])

    def _on_step(self, t: float, line: Mapping[str, Any]) -> None:
        if Source(line["source"]).model:
            _count(self._all.steps, ("valid",))

    def _on_unfit(self, t: float, line: Mapping[str, Any]) -> None:
        _count(self._all.steps, (str(line["flaw"]),))

    def _on_fell(self, t: float, line: Mapping[str, Any]) -> None:
        _count(self._all.falls, (str(line["from"]), str(line["to"]), str(line["why"])))

    def _on_planned(self, t: float, line: Mapping[str, Any]) -> None:
        self._asked.pop(line["plan"], None)
        _count(self._all.plans, (str(line["source"] or "nobody"), str(line["status"])))
        for part, seconds in zip(("first", "model", "total"), line["latency"], strict=True):
            if seconds is not None:
                self._all.seconds[part].add(seconds)

    def _on_told(self, t: float, line: Mapping[str, Any]) -> None:
        if line.get("retells") is not None:
            return
        for served, seconds in zip(line["served"], line["latency"], strict=True):
            _count(self._all.served, (str(served),))
            if seconds is not None:
                self._all.seconds["told"].add(seconds)


def _count(counts: dict[Labels, int], labels: Labels, n: int = 1) -> None:
    counts[labels] = counts.get(labels, 0) + n


def _bound(known: dict[str, Any]) -> dict[str, Any]:
    """The same, without the oldest, where it is full."""
    if len(known) >= LIVE:
        del known[next(iter(known))]
    return known
