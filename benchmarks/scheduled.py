"""What the scheduler's limits cost and save on session logs, replayed with the narrator.

python benchmarks/scheduled.py LOG…

*without*: whatever the intensity wants is prepared; *default*: what fits into a round's tokens;
*0.5*: and of that only actions that are as likely as the document has it.
"""

from __future__ import annotations

import argparse
from typing import Any

from foretell import replay

WAYS: dict[str, dict[str, Any]] = {
    "without": {"max_prefetch_tokens": 1_000_000_000},
    "default": {},
    "0.5": {"min_confidence_for_variants": 0.5},
}


def line(name: str, way: str, level: str, log: str) -> str:
    """One log under one set of limits."""
    found = replay.report(log, {"intensity": level, "schedule": WAYS[way]}, quiet=True)
    summary, metrics = found["prefetch"]["session_summary"], found["prefetch"]["metrics"]
    accuracy = metrics["prefetch_accuracy"]["value"] or 0.0
    wasted = metrics["wasted_tokens"]["share"] or 0.0
    return (
        f"{name:26} {level:12} {way:8} {found['hit_rate']:8.1%} {accuracy:8.1%} {wasted:8.1%} "
        f"{summary['tokens_prefetched']:10,} {found['latency_ms']['mean'] / 1000:8.2f} "
        f"{found['cost_usd']['with']:8.3f}"
    )


def main() -> None:
    """Print one line for each log, intensity and set of limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("logs", nargs="+", metavar="LOG")
    args = parser.parse_args()
    print(
        f"{'':26} {'':12} {'':8} {'hits':>8} {'used':>8} {'wasted':>8} {'tokens':>10} "
        f"{'s':>8} {'$':>8}"
    )
    for log in args.logs:
        name = log.rpartition("/")[2].removesuffix(".jsonl")
        for level in ("conservative", "aggressive"):
            for way in WAYS:
                print(line(name, way, level, log), flush=True)


if __name__ == "__main__":
    main()
