"""Many tables in one process: hits while every session gets 60 updates a second.

    python benchmarks/sessions.py [--sessions 200] [--seconds 10]

Prints the time from an outcome to its first text, for outcomes that were prepared, and how busy
the one core was. The model is a script that streams at the pace of a small hosted one.

    python benchmarks/sessions.py --beside 3

Prints, in virtual time, how long a player with nothing prepared waits for the first text at a
server that answers four at once (profile ``local-8b``): alone, and beside as many tables that
prepare, where speculation gives way to players of all sessions, and where it does to its own only.
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
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import profile
from foretell.testing import Script, ScriptedModel, run_virtual

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


SLOTS = 4
HAND = ("longsword", "bow")


async def prepares(session: foretell.Session[foretell.Narration], rng: random.Random) -> None:
    """A table at which turn follows upon turn, and nothing ever happens."""
    hero, state = session.id, state_of(1_000)
    foes = [*state["actors"]]  # type: ignore[misc]
    state["actors"][hero] = {"name": hero, "side": "party", "hp": 20, "max_hp": 20}  # type: ignore[index]
    session.update(state)
    while True:
        options = [{"type": "attack", "name": own, "target": foe} for own in HAND for foe in foes]
        session.begin_turn(hero, options=options)
        await asyncio.sleep(rng.uniform(4, 8))


async def first_texts(tables: int, places: int, outcomes: int = 50) -> list[float]:
    """Seconds until a player's first text, who has nothing prepared, beside so many tables."""
    rng = random.Random(tables)
    waits: list[float] = []
    model = NarratorModel(Engine(profile("local-8b")))
    settings = {"max_speculations_process": places, "intensity": "aggressive", "spend": "none"}
    async with foretell.Game(settings, model=model) as game:
        beside = [await game.session(f"table-{number}") for number in range(tables)]
        busy = [asyncio.create_task(prepares(each, rng)) for each in beside]
        player = await game.session("player")
        player.intensity = "off"
        player.update(state_of(1_000))
        player.subscribe(
            lambda event: (
                waits.extend(each for each in event.latency if each is not None)
                if isinstance(event, foretell.Ended)
                else None
            )
        )
        for _ in range(outcomes):
            await asyncio.sleep(10)
            blow = {"type": "attack", "name": "scimitar", "target": "goblin-1"}
            await player.outcome("goblin-0", blow, result="hit", values={"damage": 3})
        for each in busy:
            each.cancel()
        await asyncio.gather(*busy, return_exceptions=True)
    return waits


def compare(tables: int) -> None:
    """Print the player's medians."""
    alone, shared, apart = (
        statistics.median(run_virtual(first_texts(beside, places)))
        for beside, places in ((0, SLOTS), (tables, SLOTS), (tables, 100_000))
    )
    print(
        f"a player's first text, median: {alone:.2f} s alone; beside {tables} tables that prepare "
        f"{shared:.2f} s with max_speculations_process {SLOTS}, {apart:.2f} s without "
        f"({apart / shared:.0f} x)"
    )


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--beside", type=int, default=0, metavar="TABLES")
    args = parser.parse_args()
    if args.beside:
        compare(args.beside)
        return
    asyncio.run(measure(args.sessions, args.seconds))


if __name__ == "__main__":
    main()
