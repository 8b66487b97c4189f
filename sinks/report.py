"""What a session came to, in numbers."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from types import SimpleNamespace
from typing import Any

from .audit import Audit
from .ledger import Ledger

__all__ = ["Tally", "latency"]

KEPT = 10_000

SERVED = ("hit", "in_flight", "miss", "failed", "superseded")


def latency(seconds: Collection[float]) -> dict[str, float | None]:
    """Mean, median and 95th percentile in milliseconds.

    Percentile ``p`` of ``n`` sorted values is the one at index ``floor(n * p)``.
    """
    if not seconds:
        return {"mean": None, "p50": None, "p95": None}
    ordered = sorted(seconds)

    def at(p: float) -> float:
        return round(1000 * ordered[min(len(ordered) - 1, math.floor(len(ordered) * p))], 3)

    mean = math.fsum(ordered) / len(ordered)
    return {"mean": round(1000 * mean, 3), "p50": at(0.5), "p95": at(0.95)}


class Tally:
    """Counts outcomes by how they were served, and keeps the time each took to its first text.

    Of the times the last 10,000 are kept.

    What is told again is no outcome: it is counted apart, and its time not at all.
    """

    def __init__(self) -> None:
        self.served = dict.fromkeys(SERVED, 0)
        self.retold = dict.fromkeys(SERVED, 0)
        self.latencies: deque[float] = deque(maxlen=KEPT)
        self.faults = 0
        self.unstreamed = 0
        self.errors: dict[str, int] = {}
        self.gate = {"waits": 0, "granted": 0, "displaced": 0}
        self.guard = {"cleared": 0, "refused": 0}
        self.heard = {
            "~gate": lambda t, fields: self._on_gate(fields),
            "~guard": lambda t, fields: self._on_guard(fields),
        }

    def _on_gate(self, line: Mapping[str, Any]) -> None:
        if line["what"] in self.gate:
            self.gate[line["what"]] += 1

    def _on_guard(self, line: Mapping[str, Any]) -> None:
        self.guard["cleared" if line["refused"] is None else "refused"] += 1

    def on_ended(self, event: Any) -> None:
        """Enter a telling that is over."""
        if event.kind is not None:
            self.errors[event.kind] = self.errors.get(event.kind, 0) + 1
        if event.retells is not None:
            for served in event.served:
                self.retold[served] += 1
            return
        for served, seconds in zip(event.served, event.latency, strict=True):
            self.served[served] += 1
            if seconds is not None:
                self.latencies.append(seconds)

    def restore(self, line: Mapping[str, Any]) -> None:
        """Take in what a recording's own lines say of tellings, faults, the gate and the guard."""
        if line["kind"] == "~fault":
            self.faults += 1
        elif line["kind"] == "~stop":
            self.unstreamed += bool(line.get("whole"))
        elif line["kind"] == "~gate":
            self._on_gate(line)
        elif line["kind"] == "~guard":
            self._on_guard(line)
        elif line["kind"] == "~told":
            blank = [None] * len(line["served"])
            told = {
                "kind": line.get("error"),
                "retells": line.get("retells"),
                "served": line["served"],
                "latency": line.get("latency", blank),
            }
            self.on_ended(SimpleNamespace(**told))

    @property
    def outcomes(self) -> int:
        """How many outcomes have come to the end of their telling."""
        return sum(self.served.values())  # ints

    @property
    def hit_rate(self) -> float | None:
        """The share of outcomes for which something fitting had been started."""
        asked = self.outcomes - self.served["superseded"]
        ready = self.served["hit"] + self.served["in_flight"]
        return round(ready / asked, 4) if asked else None

    def report(self, ledger: Ledger, audit: Audit) -> dict[str, Any]:
        """All of it, as plain JSON. Tokens are output and uncached input; dollars at list price.

        ``gate`` counts what came of other sessions at the same server: how often a speculation had
        to wait and was let in, and how many were closed for a player. ``guard`` counts the texts
        and sentences that the game's guard has let through, and those it has not.
        """
        return {
            "outcomes": self.outcomes,
            "served": dict(self.served),
            "retold": dict(self.retold),
            "hit_rate": self.hit_rate,
            "latency_ms": latency(self.latencies),
            "tokens": ledger.tokens(),
            "cost_usd": round(ledger.cost_usd, 6),
            "ledger": ledger.rows(),
            "unpriced": [*ledger.unpriced],
            "cancelled": ledger.cancelled,
            "stale": audit.stale,
            "untrue": audit.untrue,
            "faults": self.faults,
            "errors": dict(self.errors),
            "unstreamed": self.unstreamed,
            "gate": dict(self.gate),
            "guard": dict(self.guard),
        }

    def table(self, ledger: Ledger) -> str:
        """Tokens and dollars by purpose, model and what became of them; under the summary's line.

        ::

            Prefetch: 19520 tokens used, 4027 tokens saved, 83% cache hits
            purpose     model              became       streams   tokens    dollars
            prefetch    claude-haiku-5-5   superseded        12    7,300    $0.0009
        """
        lines = [("purpose", "model", "became", "streams", "tokens", "dollars")]
        for row in ledger.rows():
            used = row["input"] + row["cache_write"] + row["output"]
            figures = (f"{row['streams']:,}", f"{used:,}", f"${row['usd']:,.4f}")
            lines.append((row["purpose"], row["model"], row["fate"], *figures))
        wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
        shown = [
            "  ".join(
                cell.ljust(width) if at < 3 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(line, wide, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join((self.summary(ledger), *shown))

    def summary(self, ledger: Ledger) -> str:
        """``Prefetch: X tokens used, Y tokens saved, Z% cache hits`` [0-21]."""
        tokens = ledger.tokens()
        rate = round(100 * (self.hit_rate or 0))
        return (
            f"Prefetch: {tokens['prefetch']} tokens used, {tokens['saved']} tokens saved, "
            f"{rate}% cache hits"
        )
