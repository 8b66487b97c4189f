"""What recording costs: the same session with and without a log, turn about, in one process.

    python benchmarks/recording.py [--turns 700] [--rounds 9] [--flush line]

The ratio of each pair of runs is taken; printed are the medians: of the time by the wall, and of
the processor's time in the loop's thread and in all of the process. Flat out, the model answers at
once and nothing ever waits; at a model's pace (ten times a hosted one's) the loop has time left, as
it does at a table. The second table says what one line costs, and where.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import tempfile
import time
import zlib
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import orjson
from update import state_of

import foretell
from foretell.streams.log import LogWriter, problems
from foretell.testing import Script, ScriptedModel, run_virtual

TEXT = "The blade comes round low and bites deep, and the goblin gives ground. " * 3
INPUTS = 6
"""Inputs a turn."""


Seconds = tuple[float, float, float]
"""Of the wall, of the processor in the loop's thread, and of the processor in all threads."""


async def night(turns: int, settings: dict[str, Any], pause: float) -> Seconds:
    """Play a session; returns what it took."""
    script = Script({"text": TEXT, "lines": [], "cues": []}, ttft=pause, delay=pause / 20, chunk=8)
    state = state_of(1_000)
    async with foretell.Game(settings, model=ScriptedModel(script)) as game:
        session = await game.session("night")
        gc.collect()
        began, own, busy = time.perf_counter(), time.thread_time(), time.process_time()
        for number in range(turns):
            session.update(state | {"round": number})
            session.begin_turn("goblin-0")
            action = session.declare("goblin-0", "scimitar", target="goblin-1")
            session.say("mira", f"round {number}")
            await asyncio.sleep(2 * pause)
            await action.outcome("hit", damage=3, target_hp=4)
            session.end_turn()
        await session.close()
        return (
            time.perf_counter() - began,
            time.thread_time() - own,
            time.process_time() - busy,
        )


Run = Callable[[Coroutine[Any, Any, Seconds]], Seconds]


def compare(name: str, run: Run, turns: int, rounds: int, flush: str, pause: float) -> None:
    """Print one line: a loop with and without recording."""
    pairs: list[tuple[Seconds, Seconds]] = []
    lines = 0
    for nth in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            log = {"log_dir": folder, "log_flush": flush}
            both: dict[bool, Seconds] = {}
            for recorded in (False, True) if nth % 2 else (True, False):
                both[recorded] = run(night(turns, log if recorded else {}, pause))
            lines = Path(folder, "night.jsonl").read_bytes().count(b"\n")
        pairs.append((both[False], both[True]))
    wall, loop, process = (
        statistics.median(logged[what] / plain[what] for plain, logged in pairs) - 1
        for what in range(3)
    )
    plain = statistics.median(each[0][0] for each in pairs)
    extra = statistics.median(logged[2] - plain[2] for plain, logged in pairs)
    print(
        f"{name:22} {turns * INPUTS:6} {lines:7} {plain:8.3f} s {wall:+7.1%} {loop:+9.1%} "
        f"{process:+9.1%} {1e6 * extra / lines:9.2f} µs"
    )


def each(work: Callable[[], Any], times: int = 20_000) -> float:
    """Microseconds of one call, the best of five."""
    found = []
    for _ in range(5):
        began = time.perf_counter()
        for _ in range(times):
            work()
        found.append(1e6 * (time.perf_counter() - began) / times)
    return min(found)


def line_by_line() -> None:
    """Print what one line costs, and where."""
    chunk = {"t": 12.5, "kind": "~chunk", "generation": "g12", "text": "The blade comes round"}
    state = {"t": 12.5, "kind": "state", "state": state_of(1_000)}
    header = {"id": "x", "started": "2026-01-01T00:00:00Z", "source": "bench", "clock": "drawn"}
    print(f"\n{'one line, µs':24} ~chunk   state of 1 KB")
    for name, work in (
        ("orjson.dumps", orjson.dumps),
        ("crc32 of that", lambda record: zlib.crc32(orjson.dumps(record))),
        ("the schema's checks", problems),
    ):
        print(f"{name:24} {each(lambda: work(chunk)):6.2f} {each(lambda: work(state)):9.2f}")  # noqa: B023
    with tempfile.TemporaryDirectory() as folder:
        for name, how in (
            ("write, kept to the end", {"flush": "end"}),
            ("write, each to the system", {"flush": "line"}),
            ("write, to the thread", {"flush": "line", "background": True}),
        ):
            with LogWriter(Path(folder, f"{name}.jsonl"), header, **how) as log:
                costs = [each(lambda: log.write(record)) for record in (chunk, state)]  # noqa: B023
            print(f"{name:24} {costs[0]:6.2f} {costs[1]:9.2f}")


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=700)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--flush", default="line")
    args = parser.parse_args()
    turns, rounds, flush = args.turns, args.rounds, args.flush
    print(f"{'':22} inputs   lines    without    wall      loop   process   for a line")
    compare("live, a model's pace", asyncio.run, turns // 7, rounds, flush, 0.02)
    compare("live, flat out", asyncio.run, turns, rounds, flush, 0.0)
    compare("virtual, flat out", run_virtual, turns, rounds, flush, 0.5)
    line_by_line()


if __name__ == "__main__":
    main()
