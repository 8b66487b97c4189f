"""What predicting and recording cost: with 100,000 keys known, and from 8 processes at once.

python benchmarks/predict.py [--keys 100000] [--rounds 2000]
"""

from __future__ import annotations

import argparse
import gc
import multiprocessing
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count, islice
from multiprocessing.synchronize import Barrier

from foretell.operators.expect import habits
from foretell.operators.predict_document import Document
from foretell.operators.predict_ensemble import Ensemble, standard
from foretell.operators.predictors import Event
from foretell.prefetch import Learned, opened, record_query
from foretell.prefetch.config import PrefetchConfig
from foretell.sinks.usage_store import Query, UsageStore

K = 15
MONDAY = 1_772_409_600.0  # 2026-03-02 00:00 UTC


def queries(rng: random.Random, keys: int) -> Iterator[Event]:
    """Each key once, then a few often and most seldom, in sequences that partly repeat."""
    names = [(f"subject-{n}", "price") for n in range(keys)]
    t = MONDAY
    for name in names:
        yield Event(t := t + rng.expovariate(0.2), name)
    at = 0
    while True:
        at = (at + 1) % keys if rng.random() < 0.3 else int(keys * rng.random() ** 4)
        yield Event(t := t + rng.expovariate(0.2), names[at])


def turns(rng: random.Random, keys: int) -> Iterator[Event]:
    """Actors of 37 kinds on two sides: each kind has its keys, each actor its habits."""
    names = [(f"action-{n}", "goblin") for n in range(keys)]
    last: dict[int, int] = {}
    for number in count():
        kind = number % 37
        actor = kind + 37 * rng.randrange(20)
        if number < keys:
            at = number
        elif rng.random() < 0.6:
            at = last.get(actor, kind)
        else:
            at = kind + 37 * int(keys // 37 * rng.random() ** 4)
        last[actor] = at
        scopes = (f"actor-{actor}", f"kind-{kind}", "party" if kind % 3 else "foes")
        yield Event(MONDAY + 5.0 * number, names[at], scopes)


def timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return 1e6 * (time.perf_counter() - started)


def measure(ensemble: Ensemble, events: Iterator[Event], keys: int, rounds: int) -> str:
    """One line: observe and predict, each in microseconds."""
    for _ in range(keys):
        ensemble.observe(next(events))
    following = list(islice(events, rounds))
    observed = [timed(partial(ensemble.observe, event)) for event in following]
    predicted = [timed(partial(ensemble.predict, e.t, K, e.scopes)) for e in following]
    return "   ".join(
        f"{statistics.median(each):7.1f} {statistics.quantiles(each, n=100)[98]:8.1f}"
        for each in (observed, predicted)
    )


def recorded(processes: int, each: int) -> str:
    """Records of several processes at once into one store: how many a second, and are all there."""
    with tempfile.TemporaryDirectory() as folder:
        record_query("AAPL", "price", hit=True, folder=folder)
        spawn = multiprocessing.get_context("spawn")
        gate = spawn.Barrier(processes + 1)
        work = [
            spawn.Process(target=records, args=(folder, each, n, gate)) for n in range(processes)
        ]
        for process in work:
            process.start()
        gate.wait()
        begun = time.perf_counter()
        for process in work:
            process.join()
        took = time.perf_counter() - begun
        found = opened(folder).totals().queries - 1
        return (
            f"record_query from {processes} processes: {processes * each / took:,.0f} a second, "
            f"{found:,} of {processes * each:,} counted"
        )


def records(folder: str, each: int, process: int, gate: Barrier) -> None:
    opened(folder)
    gate.wait()
    for number in range(each):
        record_query(f"subject-{process}", f"module-{number % 50}", hit=True, folder=folder)


def started(many: int) -> str:
    """What a program waits for that starts with so many queries recorded."""
    with tempfile.TemporaryDirectory() as folder:
        source = queries(random.Random(3), 10_000)
        rows = [
            Query(e.t, e.key[0], e.key[1], hit=True)
            for e, _ in zip(source, range(many), strict=False)
        ]
        with UsageStore(f"{folder}/prefetch.sqlite") as store:
            store.record_all(rows)
            store.pack()  # as record_query leaves them
        took = []
        for by in ("document", "ensemble"):

            def start(by: str = by) -> None:
                with UsageStore(f"{folder}/prefetch.sqlite") as store:
                    Learned(store, PrefetchConfig(), by).scored(rows[-1].at, K)

            took.append(f"{by} {statistics.median(timed(start) for _ in range(3)) / 1e6:.2f} s")
        return f"start with {many:,} recorded queries: {', '.join(took)}"


def formula() -> Ensemble:
    return Ensemble([Document()])


def main() -> None:
    """Print one line per predictor and sort of event, and two of the store."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2_000)
    args = parser.parse_args()
    print(f"{args.keys:,} keys, µs          observe median, p99   predict({K}) median, p99")
    for name, make, what, source in (
        ("document", formula, "queries", queries),
        ("ensemble", standard, "queries", queries),
        ("ensemble", standard, "turns", turns),
        ("session", habits, "turns", turns),  # the ensemble without the formula
    ):
        gc.collect()
        gc.freeze()
        found = measure(make(), source(random.Random(7), args.keys), args.keys, args.rounds)
        print(f"{name:9} {what:8}      {found}", flush=True)
    print(started(100_000), flush=True)
    print(recorded(8, 5_000))


if __name__ == "__main__":
    main()
