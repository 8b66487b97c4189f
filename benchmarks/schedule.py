"""What planning costs: 200 items, some in moments, some cached; median and p99.

python benchmarks/schedule.py [--items 200] [--rounds 2000]
"""

from __future__ import annotations

import argparse
import gc
import random
import statistics
import time

from foretell.operators.schedule import (
    BUILT_IN,
    Constraints,
    Item,
    Learned,
    Plan,
    State,
    Urgency,
    schedule,
)


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


def main() -> None:
    """Print one line for each size of budget."""
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


if __name__ == "__main__":
    main()
