"""How long a session takes to go on from its log, and how time and memory grow with the log.

    python benchmarks/resume.py [--events 1000,10000,100000]

Fights made from a seed are played in virtual time by the narrator and recorded; then each session
is opened again, in a process of its own. Seconds are the processor's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import foretell
from foretell.game import narrator
from foretell.streams.clock import run_virtual
from replay import made, peak

NAME = "fight"


async def record(settings: foretell.Settings, events: int) -> None:
    """Play a fight into a log; its last turn is left open, with an action to come."""
    log = made(events, 0)
    log.turn("a0").wait(1).action("a0", "bow", target="a1")
    async with foretell.Game(settings, model=narrator(settings)) as game:
        session = await game.session(NAME)
        begun = asyncio.get_running_loop().time()
        for event in log.events:
            await asyncio.sleep(max(0.0, begun + event.t - asyncio.get_running_loop().time()))
            session.play(event)
        await asyncio.sleep(10)


async def resume(settings: foretell.Settings) -> None:
    """Open it again, and print what that took."""
    async with foretell.Game(settings, model=narrator(settings)) as game:
        begun = time.process_time()
        session = await game.session(NAME)
        seconds = time.process_time() - begun
        kept = len(session._pipeline.kept.store)
        opened = session.generations.opened
        await asyncio.sleep(10)
        asked = session.generations.opened - opened
        print(json.dumps({"seconds": seconds, "kept": kept, "asked": asked, "peak": peak()}))


def main() -> None:
    """See the module."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--events", default="1000,10000,100000", metavar="N,…")
    parser.add_argument("--record", metavar="DIR", help=argparse.SUPPRESS)
    parser.add_argument("--resume", metavar="DIR", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.record:
        run_virtual(record(foretell.Settings(log_dir=args.record), int(args.events)))
    elif args.resume:
        run_virtual(resume(foretell.Settings(log_dir=args.resume)))
    else:
        table([*map(int, args.events.split(","))])


def _python(*arguments: str) -> str:
    command = [sys.executable, __file__, *arguments]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


def table(sizes: list[int]) -> None:
    """Print a line per size; a process's peak is also that of who started it, so this one idles."""
    print("   events       log   goes on in   peak memory   variants kept   asked for anew")
    for events in sizes:
        with tempfile.TemporaryDirectory() as folder:
            _python("--record", folder, "--events", str(events))
            size = (Path(folder) / f"{NAME}.jsonl").stat().st_size / 1e6
            found = json.loads(_python("--resume", folder))
        print(
            f"{events:9,} {size:6.0f} MB {found['seconds']:10.2f} s {found['peak']:10.0f} MB "
            f"{found['kept']:15} {found['asked']:16}",
            flush=True,
        )


if __name__ == "__main__":
    main()
