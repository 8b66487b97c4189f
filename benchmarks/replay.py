"""How fast a recorded session replays, and how time and memory grow with the length of a log.

    python benchmarks/replay.py LOG [--rounds 7]
    python benchmarks/replay.py [--events 1000,3000,10000,30000,100000] [--plot growth.svg]

The first prints multiples of real time; imports and reading excluded. ``foretell import fireball
raw.jsonl -o LOG`` makes a log of a recorded combat. The second plays logs made from a seed, each in
a process of its own, reading included, in seconds of the processor; ``--plot`` needs matplotlib.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import random
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from foretell.config import Settings
from foretell.game import narrator
from foretell.replay import load, play
from foretell.streams.clock import run_virtual
from foretell.streams.log_inputs import LogInputs
from foretell.testing import LogBuilder

Row = dict[str, float]


def speed(path: str, rounds: int) -> None:
    """Print one line per intensity."""
    _, inputs = load(path)
    print("intensity      session   one pass      real time   (median of rounds)")
    for intensity in ("off", "conservative", "aggressive"):
        settings = Settings.load({"intensity": intensity})
        runs = [
            run_virtual(play(inputs, settings, model=narrator(settings))) for _ in range(rounds)
        ]
        wall = statistics.median(run.wall_seconds for run in runs)
        virtual = runs[0].virtual_seconds
        print(f"{intensity:12} {virtual:7.0f} s   {wall:6.3f} s   {virtual / wall:10,.0f} ×")


def made(events: int, seed: int) -> LogBuilder:
    """A fight that goes on and on: turns in which somebody moves about, then does something."""
    rng = random.Random(seed)
    actors: dict[str, Any] = {
        f"a{number}": {
            "name": f"Actor {number}",
            "side": ("party", "foes")[number % 2],
            "hp": 40,
            "max_hp": 40,
            "pos": [number, 0],
            "attacks": ["bow", "axe", "claw"],
        }
        for number in range(6)
    }
    state = {"mode": "combat", "location": {"id": "mill"}, "actors": actors}
    log = LogBuilder("made").state(copy.deepcopy(state))
    while len(log.events) < events:
        actor, target = rng.sample(sorted(actors), 2)
        log.wait(rng.uniform(0.1, 3)).turn(actor)
        for _ in range(rng.randrange(4, 20)):
            actors[actor]["pos"] = [rng.randrange(40), rng.randrange(40)]
            log.wait(rng.uniform(0.05, 0.5)).state(copy.deepcopy(state))
        log.wait(rng.uniform(1, 3)).action(actor, rng.choice(("bow", "axe")), target=target)
        damage = rng.randint(1, 9)
        log.wait(rng.uniform(0, 8)).outcome(rng.choice(("hit", "miss", "critical")), damage=damage)
        actors[target]["hp"] = max(0, actors[target]["hp"] - damage) or 40
        log.wait(0.05).state(copy.deepcopy(state)).end_turn()
    return log


def one(path: str) -> Row:
    """Play a log once: the processor's seconds for it, and the process's peak in megabytes."""
    settings = Settings()
    begun = time.process_time()
    inputs = LogInputs(path)
    looked = time.process_time()
    run = run_virtual(play(inputs, settings, model=narrator(settings)))
    played = time.process_time()
    return {
        "events": inputs.events,
        "outcomes": inputs.outcomes,
        "looked": looked - begun,
        "played": played - looked,
        "virtual": run.virtual_seconds,
        "peak": peak(),
    }


def peak() -> float:
    """The most memory this process has had, in megabytes; not a number where none can tell."""
    try:
        import resource
    except ImportError:
        return math.nan
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e6 if sys.platform == "darwin" else most * 1024 / 1e6


def growth(sizes: list[int], seed: int) -> list[Row]:
    """Print a line per size, and how time grows; each is made and played in its own process."""
    rows: list[Row] = []
    print("   events  outcomes  look through      play   per event    real time   peak memory")
    with tempfile.TemporaryDirectory() as folder:
        for size in sizes:
            path = str(Path(folder) / f"{size}.jsonl")
            _python("--make", path, "--events", str(size), "--seed", str(seed))
            row: Row = json.loads(_python("--one", path))
            Path(path).unlink()
            rows.append(row)
            each = 1e6 * (row["looked"] + row["played"]) / row["events"]
            print(
                f"{row['events']:9,.0f} {row['outcomes']:9,.0f} {row['looked']:11.2f} s "
                f"{row['played']:7.2f} s {each:8,.0f} µs {row['virtual'] / row['played']:10,.0f} × "
                f"{row['peak']:10,.1f} MB",
                flush=True,
            )
    if len(rows) > 1:
        logs = [math.log(row["events"]) for row in rows]
        walls = [math.log(row["looked"] + row["played"]) for row in rows]
        slope = statistics.linear_regression(logs, walls).slope
        more = 1e6 * (rows[-1]["peak"] - rows[0]["peak"]) / (rows[-1]["events"] - rows[0]["events"])
        print(f"time grows as events to the power of {slope:.2f}; memory by {more:,.0f} bytes each")
    return rows


def _python(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def draw(rows: list[Row], path: str) -> None:
    """Time and peak memory over the length of the log."""
    import matplotlib as mpl

    mpl.use("Agg")
    mpl.rcParams["svg.hashsalt"] = "foretell"
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    events = [row["events"] for row in rows]
    walls = [row["looked"] + row["played"] for row in rows]
    straight = [walls[-1] * each / events[-1] for each in events]
    left.loglog(events, walls, "o-", label="replay")
    left.loglog(events, straight, "--", color="grey", label="a straight line")
    left.set(xlabel="events in the log", ylabel="seconds of the processor")
    left.legend()
    right.semilogx(events, [row["peak"] for row in rows], "o-")
    right.set(xlabel="events in the log", ylabel="peak memory of the process, MB")
    right.set_ylim(bottom=0)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)
    print(f"drawn in {path}")


def main() -> None:
    """See the module."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("log", nargs="?", metavar="LOG")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--events", default="1000,3000,10000,30000,100000", metavar="N,…")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--plot", metavar="FILE", help="a picture (.png, .svg)")
    parser.add_argument("--make", metavar="FILE", help=argparse.SUPPRESS)
    parser.add_argument("--one", metavar="FILE", help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = [int(each) for each in args.events.split(",")]
    if args.make:
        made(sizes[0], args.seed).write(args.make)
    elif args.one:
        print(json.dumps(one(args.one)))
    elif args.log:
        speed(args.log, args.rounds)
    else:
        rows = growth(sizes, args.seed)
        if args.plot:
            draw(rows, args.plot)


if __name__ == "__main__":
    main()
