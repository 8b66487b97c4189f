"""The report of a session's prefetching: figures, targets, and names; as JSON and as text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .prefetch_metrics import WASTE_TARGET, Metrics

__all__ = ["report", "text"]

BEST = 10
"""So many names of each sort."""

WHY = {
    "accurate": "predicted, used",
    "missed": "not predicted, was needed",
    "late": "predicted, not there in time",
    "wasted": "predicted, not used",
}


def report(metrics: Metrics, now: float) -> dict[str, Any]:
    """All of it as plain JSON.

    ``session_summary`` and ``top_predictions`` as the document has them [1-45, 1-46]; a rate is
    null where there is nothing to divide by. Times are in seconds. ``metrics`` has targets, alerts
    and windows; ``met`` says whether a target is met, null before there are enough samples.
    """
    hits, asked = metrics.hit_rate.good, metrics.hit_rate.all
    return {
        "session_summary": {
            "total_prefetches": metrics.total,
            "cache_hits": hits,
            "cache_misses": asked - hits,
            "hit_rate": _share(hits, asked),
            "tokens_prefetched": metrics.tokens,
            "tokens_used": metrics.tokens_used,
            "efficiency": _share(metrics.tokens_used, metrics.tokens),
            "estimated_time_saved": round(math.fsum(metrics.saved.values()), 3),
        },
        "top_predictions": {
            name: [{"name": key, "times": n} for key, n in _most(names)]
            for name, names in metrics.names.items()
        },
        "metrics": {
            "cache_hit_rate": metrics.hit_rate.as_json(now),
            "prefetch_accuracy": metrics.accuracy.as_json(now, metrics.used, metrics.total),
            "latency_saved": {day: round(seconds, 3) for day, seconds in metrics.saved.items()},
            "wasted_tokens": {
                "value": metrics.tokens_wasted,
                "share": _share(metrics.tokens_wasted, metrics.tokens),
                "target": WASTE_TARGET,
                "met": metrics.tokens_wasted < WASTE_TARGET * metrics.tokens
                if metrics.tokens
                else None,
            },
        },
        "events": dict(metrics.events),
    }


def _most(names: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(names.items(), key=lambda each: (-each[1], each[0]))[:BEST]


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def text(found: Mapping[str, Any]) -> str:
    """A report in words, a few lines; of a session with content, a few more of that."""
    summary, metrics = found["session_summary"], found["metrics"]
    accuracy, wasted = metrics["prefetch_accuracy"], metrics["wasted_tokens"]
    used = f"{_percent(accuracy['value'])} of them used{_against(accuracy)}"
    asked = f"{summary['cache_hits']:,} hits, {summary['cache_misses']:,} misses"
    rate = f"hit rate {_percent(summary['hit_rate'])}{_against(metrics['cache_hit_rate'])}"
    tokens = f"{summary['tokens_prefetched']:,} prefetched, {summary['tokens_used']:,} used"
    limit = f"{_percent(wasted['share'])} (target: below {wasted['target']:.0%})"
    lines = [
        f"prefetches    {summary['total_prefetches']:,}, {used}",
        f"cache         {asked}: {rate}",
        f"tokens        {tokens}: efficiency {_percent(summary['efficiency'])}",
        f"wasted        {wasted['value']:,} tokens, {limit}",
        f"time saved    {summary['estimated_time_saved']:,.1f} s",
    ]
    for name, of in found["top_predictions"].items():
        for each in of:
            times = f", {each['times']:,} times" if each["times"] > 1 else ""
            lines.append(f"{name:13} {each['name']} ({WHY[name]}{times})")
    if "content" in found:
        lines += ["", "of content", text(found["content"])]
    return "\n".join(lines)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"


def _against(rate: Mapping[str, Any]) -> str:
    low = "; ALERT" if rate["alerting"] else ""
    return f" (target: above {rate['target']:.0%}{low})"
