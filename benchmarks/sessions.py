"""Many tables in one process: hits while every session gets 60 updates a second.

    python benchmarks/sessions.py [--sessions 200] [--seconds 10]

Prints the time from an outcome to its first text, for outcomes that were prepared, and how busy
the one core was. The model is a script that streams at the pace of a small hosted one.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import random
import statistics
import time

from update import state_of

import foretell
from foretell.testing import Script, ScriptedModel

RATE = 60
TURN = 20
"""Seconds between two outcomes of a session."""
ANSWER = "The blade comes round low and bites, {damage} deep, and the goblin gives ground. " * 3


async def table(
    game: foretell.Game[foretell.Narration],
    number: int,
    seconds: float,
    waits: list[float],
    ready: asyncio.Barrier,
) -> int:
    """One session: updates at 60 a second, and a prepared outcome every ``TURN`` seconds."""
    loop, rng = asyncio.get_running_loop(), random.Random(number)
    state = state_of(1_000)
    told = 0
    async with await game.session(f"table-{number}") as session:

        def on_event(event: foretell.Narrative) -> None:
            if isinstance(event, foretell.Ended):
                for served, latency in zip(event.served, event.latency, strict=True):
                    if served is foretell.Served.HIT and latency is not None:
                        waits.append(latency)

        session.subscribe(on_event)
        session.update(state)
        session.begin_turn("goblin-0")
        action = session.declare("goblin-0", "scimitar", target="goblin-1")
        await ready.wait()
        start, phase = loop.time() + rng.random(), rng.randrange(RATE, TURN * RATE)
        for tick in range(int(seconds * RATE)):
            await asyncio.sleep(max(0.0, start + tick / RATE - loop.time()))
            state["tick"] = tick
            session.update(state)
            if tick % (TURN * RATE) == phase:
                action.outcome("hit", damage=3, target_hp=4)
                action = session.declare("goblin-0", "scimitar", target="goblin-1")
                told += 1
    return told


async def measure(sessions: int, seconds: float) -> None:
    """Run all tables at once and print one line."""
    waits: list[float] = []
    script = Script(
        ttft=0.6, delay=0.05, chunk=12, answer={"text": ANSWER, "lines": [], "cues": []}
    )
    async with foretell.Game(model=ScriptedModel(script)) as game:
        async with asyncio.TaskGroup() as group:
            ready = asyncio.Barrier(sessions + 1)
            tables = [
                group.create_task(table(game, number, seconds, waits, ready))
                for number in range(sessions)
            ]
            await ready.wait()
            gc.collect()
            gc.freeze()  # as a server does once it is up: what is there need not be looked at
            busy, began = time.process_time(), time.perf_counter()
        share = (time.process_time() - busy) / (time.perf_counter() - began)
    waits.sort()
    told = sum(task.result() for task in tables)
    print(
        f"{sessions} sessions × {RATE} updates a second for {seconds:g} s: {told} outcomes, "
        f"{len(waits)} hits, first text after {1e3 * statistics.median(waits):.2f} ms median, "
        f"{1e3 * waits[math.floor(len(waits) * 0.99)]:.2f} ms p99; core {share:.0%} busy"
    )


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    args = parser.parse_args()
    asyncio.run(measure(args.sessions, args.seconds))


if __name__ == "__main__":
    main()
