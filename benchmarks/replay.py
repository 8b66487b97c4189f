"""How fast a recorded session replays, as a multiple of real time; imports and reading excluded.

    python benchmarks/replay.py LOG [--rounds 7]

``foretell import fireball raw.jsonl -o LOG`` makes a log of a recorded combat.
"""

from __future__ import annotations

import argparse
import statistics

from foretell.config import Settings
from foretell.replay import load, play
from foretell.streams.clock import run_virtual


def main() -> None:
    """Print one line per intensity."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("log")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()
    _, inputs = load(args.log)
    print("intensity      session   one pass      real time   (median of rounds)")
    for intensity in ("off", "conservative", "aggressive"):
        settings = Settings.load({"intensity": intensity})
        runs = [run_virtual(play(inputs, settings)) for _ in range(args.rounds)]
        wall = statistics.median(run.wall_seconds for run in runs)
        virtual = runs[0].virtual_seconds
        print(f"{intensity:12} {virtual:7.0f} s   {wall:6.3f} s   {virtual / wall:10,.0f} ×")


if __name__ == "__main__":
    main()
