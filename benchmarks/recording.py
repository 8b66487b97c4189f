"""What recording costs: the same sessions with and without a log, turn about, in one process.

    python benchmarks/recording.py [--turns 300] [--rounds 5] [--seconds 8] [--flush line]

Saturated, the model answers at once and nothing ever waits: the worst a program can ask for. At a
model's pace (its first words after 0.6 s, then a piece each 25 ms, as hosted models write) one
session, and twenty in one loop, have time left, as they do at a table. The pairs are run turn
about, and the medians of their differences printed: of the time by the wall, and of the
processor's time in the loop's thread and in all of the process; each as a share of the same run
without a log, and as a share of the core while the session went on. The last table says what one
line costs, and where.
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
Seconds = tuple[float, float, float]
"""Of the wall, of the processor in the loop's thread, and of the processor in all threads."""

SATURATED = Script({"text": TEXT, "lines": [], "cues": []}, ttft=0.0, delay=0.0, chunk=8)
PACED = Script({"text": TEXT, "lines": [], "cues": []}, ttft=0.6, delay=0.025, chunk=16)


async def play(session: foretell.Session[Any], turns: float, until: float, think: float) -> None:
    """Play turns until there were enough, or it is late."""
    state, loop, number = state_of(1_000), asyncio.get_running_loop(), 0
    while number < turns and loop.time() < until:
        number += 1
        session.update(state | {"round": number})
        session.begin_turn("goblin-0")
        action = session.declare("goblin-0", "scimitar", target="goblin-1")
        session.say("mira", f"round {number}")
        await asyncio.sleep(think)
        await action.outcome("hit", damage=3, target_hp=4)
        session.end_turn()


async def night(
    settings: dict[str, Any], script: Script, sessions: int, turns: float, seconds: float
) -> Seconds:
    """Play sessions side by side; returns what it took."""
    async with foretell.Game(settings, model=ScriptedModel(script)) as game:
        opened = [await game.session(f"night-{number}") for number in range(sessions)]
        gc.collect()
        until = asyncio.get_running_loop().time() + seconds
        began, own, busy = time.perf_counter(), time.thread_time(), time.process_time()
        think = 2 * script.ttft
        await asyncio.gather(*(play(session, turns, until, think) for session in opened))
        await asyncio.gather(*(session.close() for session in opened))
        return (
            time.perf_counter() - began,
            time.thread_time() - own,
            time.process_time() - busy,
        )


Run = Callable[[Coroutine[Any, Any, Seconds]], Seconds]


def compare(name: str, run: Run, rounds: int, flush: str, *how: Any) -> None:
    """Print one line: sessions with and without recording."""
    found: list[tuple[float, ...]] = []
    for nth in range(rounds):
        with tempfile.TemporaryDirectory() as folder:
            log = {"log_dir": folder, "log_flush": flush}
            both: dict[bool, Seconds] = {}
            for recorded in (False, True) if nth % 2 else (True, False):
                both[recorded] = run(night(log if recorded else {}, *how))
            logs = [path.read_bytes() for path in Path(folder).glob("*.jsonl")]
        lines = sum(raw.count(b"\n") for raw in logs)  # ints
        plain, logged = both[False], both[True]
        found.append(
            (
                lines,
                plain[0],
                *(with_log / without - 1 for without, with_log in zip(plain, logged, strict=True)),
                plain[2] / plain[0],
                logged[2] / logged[0],
                1e6 * (logged[1] - plain[1]) / lines,
                1e6 * (logged[2] - plain[2]) / lines,
            )
        )
    figures = [statistics.median(column) for column in zip(*found, strict=True)]
    shape = "{:26} {:6.0f} {:7.2f} s {:+7.1%} {:+7.1%} {:+8.1%} {:8.2%} {:7.2%} {:8.2f} {:8.2f} µs"
    print(shape.format(name, *figures))


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
    parser.add_argument("--turns", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=8.0)
    parser.add_argument("--flush", default="line")
    args = parser.parse_args()
    rounds, flush = args.rounds, args.flush
    never = float("inf")
    print(
        f"{'':26} {'':6} {'the run':>9} {'with a log':>24} {'of a core':>16} {'for a line':>20}\n"
        f"{'':26}  lines   without    wall    loop  process  without    with     loop  process"
    )
    compare("saturated, live", asyncio.run, rounds, flush, SATURATED, 1, args.turns, never)
    compare("saturated, virtual time", run_virtual, rounds, flush, SATURATED, 1, args.turns, never)
    for sessions in (1, 20):
        name = f"a model's pace, {sessions:2} session{'s' * (sessions > 1)}"
        compare(name, asyncio.run, rounds, flush, PACED, sessions, never, args.seconds)
    line_by_line()


if __name__ == "__main__":
    main()
