"""What plans came to: how they ended, who answered, how soon, and what was wrong with steps."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from .report import latency

__all__ = ["PlanTally"]

KEPT = 10_000
TIER = ("answers", "usable", "valid", "dropped")


class PlanTally:
    """Counts plans, from the lines of a recording; of times the last 10,000 are kept."""

    def __init__(self) -> None:
        self.plans = 0
        """The number of the last plan."""
        self._status: dict[str, int] = {}
        self._source: dict[str, int] = {}
        self._flaws: dict[str, int] = {}
        self._tiers: dict[str, dict[str, int]] = {}
        self._falls: dict[str, int] = {}
        self._reused: dict[str, int] = {}
        self._steps = 0
        self._failed = 0
        self._first: deque[float] = deque(maxlen=KEPT)
        self._model: deque[float] = deque(maxlen=KEPT)
        self.heard: dict[str, Callable[[float, Mapping[str, Any]], None]] = {
            "~agent": self._on_agent,
            "~fell": self._on_fell,
            "~judged": self._on_judged,
            "~planned": self._on_planned,
            "~reused": self._on_reused,
            "~unfit": self._on_unfit,
        }

    def restore(self, t: float, kind: str, line: Mapping[str, Any]) -> None:
        """Take in a line of a recording, of whichever kind."""
        if kind in self.heard:
            self.heard[kind](t, line)

    def _on_agent(self, t: float, line: Mapping[str, Any]) -> None:
        if line["what"] == "asked":
            self.plans = max(self.plans, int(line["plan"][1:]))
        self._failed += line["what"] == "failed"

    def _on_planned(self, t: float, line: Mapping[str, Any]) -> None:
        _count(self._status, line["status"])
        if line["source"] is not None:
            _count(self._source, line["source"])
        self._steps += line["steps"]
        first, model, _ = line["latency"]
        if first is not None:
            self._first.append(first)
        if model is not None:
            self._model.append(model)

    def _on_judged(self, t: float, line: Mapping[str, Any]) -> None:
        tier = self._tiers.setdefault(str(line["tier"]), dict.fromkeys(TIER, 0))
        tier["answers"] += 1
        tier["usable"] += line["valid"] > 0
        tier["valid"] += line["valid"]
        tier["dropped"] += line["dropped"]

    def _on_fell(self, t: float, line: Mapping[str, Any]) -> None:
        _count(self._falls, f"{line['from']} > {line['to']}")

    def _on_reused(self, t: float, line: Mapping[str, Any]) -> None:
        _count(self._reused, line["how"])

    def _on_unfit(self, t: float, line: Mapping[str, Any]) -> None:
        _count(self._flaws, line["flaw"])

    def report(self) -> dict[str, Any]:
        """All of it, as plain JSON.

        ``status`` and ``source``: how many plans ended so, and who answered. ``tiers``: of each
        prompt the whole ``answers``, the ``usable`` with a step that can be done, and how many
        steps were ``valid`` or had to be ``dropped``. ``steps``: of all plans; ``dropped``: by what
        was wrong; ``failed``: that the game could not do. ``falls``: how often another was asked in
        the place of one, ``simplified > compact`` and so on. ``reused``: of plans that were made
        before, ``exact`` and ``near`` ones, a ``part``, and those of which no step could be done,
        ``mismatch``. ``first_ms``: to the first step, whoever made it; ``model_ms``: to the model's
        first, where it gave one.
        """
        return {
            "plans": sum(self._status.values()),  # ints
            "status": dict(self._status),
            "source": dict(self._source),
            "tiers": {tier: dict(counts) for tier, counts in self._tiers.items()},
            "steps": self._steps,
            "dropped": dict(self._flaws),
            "failed": self._failed,
            "falls": dict(self._falls),
            "reused": dict(self._reused),
            "first_ms": latency(self._first),
            "model_ms": latency(self._model),
        }


def _count(counts: dict[str, int], name: str) -> None:
    counts[str(name)] = counts.get(name, 0) + 1
