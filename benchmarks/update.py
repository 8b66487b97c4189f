"""What ``session.update(state)`` costs the game loop, beside a bare ``orjson.dumps`` in one run.

python benchmarks/update.py [--rounds 2000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import statistics
import time

import orjson

import foretell


def state_of(size: int) -> dict[str, object]:
    """A state of about ``size`` bytes of JSON."""
    actors: dict[str, object] = {}
    state: dict[str, object] = {"mode": "combat", "round": 1, "actors": actors}
    while len(orjson.dumps(state)) < size:
        number = len(actors)
        actors[f"goblin-{number}"] = {
            "name": f"Goblin {number}",
            "side": "foes",
            "hp": 7,
            "max_hp": 7,
            "ac": 15,
            "pos": [number, 3.5],
            "conditions": [],
        }
    return state


async def measure(size: int, rounds: int) -> tuple[float, float, float]:
    """Median microseconds of ``orjson.dumps``, of ``update``, and of all that follows it."""
    state = state_of(size)
    bare, told, handled = [], [], []
    async with foretell.Game({"intensity": "off"}) as game, await game.session("bench") as session:
        session.update(state)
        await asyncio.sleep(0)
        for number in range(rounds):
            state["round"] = number
            started = time.perf_counter()
            orjson.dumps(state)
            between = time.perf_counter()
            session.update(state)
            done = time.perf_counter()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            after = time.perf_counter()
            bare.append(between - started)
            told.append(done - between)
            handled.append(after - done)
    return tuple(1e6 * statistics.median(each) for each in (bare, told, handled))  # type: ignore[return-value]


def main() -> None:
    """Print one line per size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    gc.freeze()
    print("state     orjson.dumps   update()   ratio   then, in the loop   (medians)")
    for size in (1_000, 10_000):
        bare, told, handled = asyncio.run(measure(size, rounds))
        print(
            f"{size // 1000:3} KB   {bare:9.1f} µs {told:8.1f} µs   {told / bare:4.1f} ×"
            f"   {handled:13.1f} µs"
        )


if __name__ == "__main__":
    main()
