"""``python -m foretell.testing simulate``: play many seeds, and say how fast."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from .broken import Broken
from .simulation import Simulated, simulate

__all__ = ["main"]

EVERY = 2.0
"""Seconds between two lines of progress."""

SHOWN = ("storm", "sleep", "kill", "reopen", "rewind", "retell", "guest")
"""Steps of a world that are told of at the end."""


@dataclass(slots=True)
class _Tally:
    seeds: int = 0
    seconds: float = 0.0
    outcomes: int = 0
    broken: int = 0
    met: Counter[str] = field(default_factory=Counter)

    def take(self, done: Simulated) -> None:
        """A world in which all held."""
        self.seconds += done.seconds
        self.outcomes += done.outcomes
        shown = {name: many for name, many in done.seen.items() if name.split()[0] in SHOWN}
        self.met.update(shown)
        self.met.update(done.met)

    def coverage(self) -> str:
        """What befell these worlds, and how often."""
        return "met: " + ", ".join(f"{name} {many}" for name, many in sorted(self.met.items()))

    def line(self, wall: float) -> str:
        hours = self.seconds / 3600
        return (
            f"{self.seeds} seeds, {self.outcomes} outcomes, {hours:.1f} session-hours in "
            f"{wall:.1f} s: {self.seeds / wall:.1f} seeds a second, "
            f"{hours / wall * 60:.0f} session-hours a minute"
        )


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command.

    :return: 0 if every guarantee held, 1 if not, 2 for wrong use.
    """
    parser = argparse.ArgumentParser(prog="python -m foretell.testing", allow_abbrev=False)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    command = commands.add_parser(
        "simulate",
        help="play simulated worlds, each held to the guarantees",
        epilog="Example: python -m foretell.testing simulate --seeds 1000 --jobs 2",
        allow_abbrev=False,
    )
    command.add_argument("--seeds", type=_positive, default=300, metavar="N", help="how many [300]")
    command.add_argument(
        "--from", dest="first", type=_number, default=0, metavar="N", help="the first seed [0]"
    )
    command.add_argument("--jobs", type=_positive, default=1, metavar="N", help="processes [1]")
    command.add_argument(
        "--shrink", type=float, default=20.0, metavar="S", help="seconds to shrink a history [20]"
    )
    args = parser.parse_args(argv)
    if args.jobs > 1:
        return asyncio.run(_together(args.first, args.seeds, args.jobs, args.shrink))
    return _play(args.first, args.seeds, args.shrink)


def _number(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number")
    return int(text)


def _positive(text: str) -> int:
    if not _number(text):
        raise argparse.ArgumentTypeError(f"{text!r} is too few: choose 1 or more")
    return int(text)


def _play(first: int, seeds: int, shrinking: float) -> int:
    tally = _Tally()
    begun = said = time.monotonic()
    for seed in range(first, first + seeds):
        try:
            done = simulate(seed, shrinking=shrinking)
        except Broken as broken:
            tally.broken += 1
            print(broken, flush=True)
        else:
            tally.take(done)
        tally.seeds += 1
        if time.monotonic() > said + EVERY:
            said = time.monotonic()
            print(f"seed {seed}: {tally.line(said - begun)}", file=sys.stderr, flush=True)
    print(tally.coverage())
    print(tally.line(max(time.monotonic() - begun, 1e-9)))
    if tally.broken:
        print(f"{tally.broken} of {seeds} seeds broke a guarantee", file=sys.stderr)
    return 1 if tally.broken else 0


async def _together(first: int, seeds: int, jobs: int, shrinking: float) -> int:
    """Processes of their own, each with its share of the seeds."""
    share = -(-seeds // jobs)
    starts = range(first, first + seeds, share)
    running = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", __package__, "simulate",
            f"--from={start}", f"--seeds={min(share, first + seeds - start)}",
            f"--shrink={shrinking}",
        )
        for start in starts
    ]  # fmt: skip
    try:
        return max(await asyncio.gather(*(process.wait() for process in running)))
    finally:
        for process in running:
            if process.returncode is None:
                process.kill()


if __name__ == "__main__":
    sys.exit(main())
