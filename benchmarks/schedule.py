"""What planning 200 items costs, some of them cached; and what the executors add to a fetch: the
time from a plan to the cache, and beside it that of tasks which do nothing but read the source.

python benchmarks/schedule.py [--items 200] [--rounds 2000]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import random
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

from foretell.operators.executor import Executor
from foretell.operators.fetch_source import Content
from foretell.operators.schedule import (
    BUILT_IN,
    Constraints,
    Item,
    Kind,
    Kinds,
    Learned,
    Plan,
    Priority,
    State,
    Urgency,
    schedule,
)
from foretell.streams.tasks import Tasks
from foretell.streams.timers import LoopTimers


def predictions(rng: random.Random, many: int) -> list[Item]:
    """Items of all kinds; one in four belongs to a moment of about three."""
    kinds, urgencies = list(BUILT_IN), list(Urgency)
    return [
        Item(
            f"item-{number:05}",
            rng.choice(kinds),
            rng.random(),
            rng.choice(urgencies),
            tokens=rng.choice((None, rng.randrange(20, 2_000))),
            size=rng.choice((None, rng.randrange(100, 9_000))),
            together=f"moment-{rng.randrange(many // 12 + 1)}" if rng.random() < 0.25 else None,
        )
        for number in range(many)
    ]


def situation(rng: random.Random, items: list[Item]) -> State:
    """Some are cached, some pending, some used a lot of late."""
    keys = [item.key for item in items]
    return State(
        frozenset(rng.sample(keys, len(keys) // 8)),
        frozenset(rng.sample(keys, len(keys) // 20)),
        accessed={key: rng.random() * 900 for key in keys if rng.random() < 0.3},
        used_today={key: rng.randrange(12) for key in keys if rng.random() < 0.3},
        learned={kind: Learned(rng.randrange(50, 900), rng.random() * 200) for kind in BUILT_IN},
    )


class Cache(dict[str, Any]):
    """The least that a cache can be."""

    def put(self, item: Item, value: Any, tokens: int) -> None:
        self[item.key] = value

    def drop(self, key: str) -> None:
        del self[key]


async def at_once(items: Sequence[Item]) -> AsyncIterator[Content]:
    """A source that has everything at hand."""
    for item in items:
        yield Content(item.key, "x", 10)


async def fetched(many: int, rounds: int) -> list[float]:
    """Microseconds for each item, from its plan to the cache; a round has ``many`` of them."""
    tasks = Tasks(lambda where, error: None)
    timers = LoopTimers(asyncio.get_running_loop(), take_in=tasks.take_in)
    kinds, cache = Kinds([Kind("page", Priority.EAGER, source=at_once)]), Cache()
    executor = Executor(kinds, cache, tasks, timers, lambda where, error: None)
    found, done = [], asyncio.Event()
    executor.idle.append(done.set)
    for number in range(rounds):
        items = [Item(f"{number}-{n}", "page", tokens=10) for n in range(many)]
        plan = schedule(items, None, None, kinds)
        started = time.perf_counter()
        executor.take(plan)
        await done.wait()
        found.append(1e6 * (time.perf_counter() - started) / many)
        cache.clear()
        done.clear()
        await asyncio.sleep(0.001)
    await executor.aclose()
    await tasks.aclose()
    return found


async def read(many: int, rounds: int) -> list[float]:
    """Microseconds for each item without the scheduler: a task for each that reads the source."""
    found, cache = [], Cache()

    async def one(item: Item) -> None:
        async for content in at_once([item]):
            cache.put(item, content.value, 10)

    for number in range(rounds):
        items = [Item(f"{number}-{n}", "page", tokens=10) for n in range(many)]
        started = time.perf_counter()
        await asyncio.gather(*map(one, items))
        found.append(1e6 * (time.perf_counter() - started) / many)
        cache.clear()
        await asyncio.sleep(0.001)
    return found


def main() -> None:
    """Print one line for each size of budget, and one for each number of fetches at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=2_000)
    args = parser.parse_args()
    rng = random.Random(7)
    print(f"{args.items} items, µs    median      p99    taken")
    for budget in (2_000, 10_000, 100_000):
        taken, found = [], []
        constraints = Constraints(budget, 60_000.0, None, 0.2, 0.6)
        gc.collect()
        gc.freeze()
        for _ in range(args.rounds // 10):
            items = predictions(rng, args.items)
            state = situation(rng, items)
            for _ in range(10):
                started = time.perf_counter()
                plan: Plan = schedule(items, constraints, state)
                found.append(1e6 * (time.perf_counter() - started))
            taken.append(len(plan.taken))
        p99 = statistics.quantiles(found, n=100)[98]
        mean = statistics.mean(taken)
        print(
            f"{budget:7,} tokens   {statistics.median(found):8,.0f} {p99:8,.0f} {mean:8.1f}",
            flush=True,
        )
    print("fetches, µs                              without    added")
    for many in (1, 5):
        each = asyncio.run(fetched(many, args.rounds // 2))
        bare = statistics.median(asyncio.run(read(many, args.rounds // 2)))
        p99 = statistics.quantiles(each, n=100)[98]
        median = statistics.median(each)
        print(
            f"{many} at once          {median:8,.0f} {p99:8,.0f} {bare:10,.0f} "
            f"{median - bare:8,.0f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
