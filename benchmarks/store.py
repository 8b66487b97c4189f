"""The store of variants, beside cachetools, aiocache alone and a plain dict, in one run.

    python benchmarks/store.py [--data ../shared/data] [--plot curves.svg]

Times are medians of single calls, ``perf_counter`` included (about 0.1 µs). Without recordings the
hit rates are left out, without ``redis-server`` the shared layer. ``--plot`` needs matplotlib.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cachetools
from aiocache import SimpleMemoryCache  # type: ignore[import-untyped]

from foretell.replay import load
from foretell.sinks.store_entry import Entry, Level
from foretell.sinks.store_layers import Layer, Limits, Room
from foretell.sinks.store_near import Near
from foretell.sinks.store_scenarios import each_moment
from foretell.sinks.store_shared import SharedCold
from foretell.sinks.variant_store import VariantStore
from foretell.streams.clock import run_virtual
from foretell.streams.importers import convert_file

SIZES = (100, 250, 500, 1000)
NEAR = Near()
EXACT = Near(0, bands=False)
FOR_EVER = 1e9
Curve = dict[str, list[float]]


def median_us(call: Callable[[], object], rounds: int = 20_000) -> float:
    """The median of single calls, in µs."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        call()
        taken.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(taken)


async def median_us_awaited(call: Callable[[], Any], rounds: int = 20_000) -> float:
    """The same of calls that are awaited."""
    taken = []
    for _ in range(rounds):
        begun = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - begun)
    return 1e6 * statistics.median(taken)


def words(size: int, rng: random.Random) -> str:
    """A text of about so many characters."""
    return "".join(
        rng.choice(("the blade ", "rings off ", "stone; ", "Mira ")) for _ in range(size // 8)
    )


def plan(size: int, rng: random.Random) -> dict[str, Any]:
    """A plan of about so many bytes of JSON."""
    steps = [
        {"id": n, "act": "move", "to": [rng.random(), rng.random()], "why": words(80, rng)}
        for n in range(max(1, size // 170))
    ]
    return {"goal": "hold the bridge", "steps": steps}


def crowd(rng: random.Random, spread: int) -> dict[str, Any]:
    """A snapshot with six numbers that say where something is."""
    return {
        "location": "bridge",
        "actors": {
            name: {"name": name, "hp": 7, "max_hp": 7, "conditions": [],
                   "pos": [rng.uniform(0, spread), rng.uniform(0, spread)]}
            for name in ("mira", "grik", "snag")
        },
    }  # fmt: skip


async def hot_gets() -> None:
    """What a look-up costs that finds a telling of three variants."""
    texts = [words(600, random.Random(n)) for n in range(3)]
    plans = [plan(2000, random.Random(n)) for n in range(3)]
    state = crowd(random.Random(1), 100)
    store = VariantStore()
    store.changed(state, ())
    depends = [("actors", "mira"), ("actors", "grik"), ("location",)]
    store.store("texts", texts, None, state=state, depends=depends)
    store.store("plans", plans, None)
    ttl: Any = cachetools.TTLCache(20, 300)
    lru: Any = cachetools.LRUCache(20)
    plain = {"texts": texts}
    ttl["texts"] = lru["texts"] = texts
    slow, quick = SimpleMemoryCache(), SimpleMemoryCache(timeout=0)
    for cache in (slow, quick):
        await cache.set("texts", texts)
    awaited = median_us_awaited
    figures = {
        "ready(key)": median_us(lambda: store.ready("texts")),
        "await get(key)": await awaited(lambda: store.get("texts")),
        "ready(key, state=…), compared": median_us(lambda: store.ready("texts", state=state)),
        "ready(key) of 3 plans of 2 KB": median_us(lambda: store.ready("plans"), 2000),
        "dict": median_us(lambda: plain.get("texts")),
        "cachetools.LRUCache": median_us(lambda: lru.get("texts")),
        "cachetools.TTLCache": median_us(lambda: ttl.get("texts")),
        "aiocache, timeout=0": await awaited(lambda: quick.get("texts")),
        "aiocache as it comes": await awaited(lambda: slow.get("texts"), 2000),
    }
    print("hot get, median µs")
    for name, figure in figures.items():
        print(f"  {name:30} {figure:7.2f}")


async def near_and_invalidate() -> None:
    """Similarity look-ups with six numbers, and the invalidation of one dependency."""
    print("similarity look-up with 6 numbers, key included, and one dependency invalidated:")
    print("median µs; entries that differ in those numbers alone, in a room so many paces wide")
    print("  entries   paces   get_or_compute, found   search   key alone   invalidate_path")
    for entries in (1000, 10_000):
        for spread in (10, 30, 1000):
            rng = random.Random(entries + spread)
            room = Room(entries, FOR_EVER, "lru")  # nothing has to leave for what is served
            store = VariantStore(Limits(hot=room, warm=room))
            store.changed({}, ())
            known = [crowd(rng, spread) for _ in range(entries)]
            for number, snapshot in enumerate(known):
                store.store(
                    f"k{number}", ["plan"], None, snapshot=snapshot,
                    depends=[("actors", f"a{number}", "pos")],
                )  # fmt: skip
            asked = [moved(rng.choice(known), rng) for _ in range(1000)]
            first, then, numbers = iter(asked), iter(asked), iter(range(entries))
            served = await median_us_awaited(
                lambda it=first, s=store: s.get_or_compute(next(it), lambda _: ["made"]),  # type: ignore[misc]
                len(asked),
            )
            found = store.stats().near["hits"] / len(asked)
            searched = median_us(lambda it=then, s=store: _found(s, next(it)), len(asked))  # type: ignore[misc]
            key = median_us(lambda one=asked[0], s=store: s.near.key(one), 2000)  # type: ignore[misc]
            gone = median_us(
                lambda it=numbers, s=store: s.invalidate_path("actors", f"a{next(it)}"),  # type: ignore[misc]
                500,
            )
            print(
                f"  {entries:7,} {spread:7,} {served:16.1f} {found:6.1%} {searched:8.1f}"
                f" {key:11.1f} {gone:17.1f}"
            )


def _found(store: VariantStore, snapshot: Any) -> Entry | None:
    return next(iter(store._shelves.near.search(store.near.key(snapshot))), None)


def moved(snapshot: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """Everybody a step or less elsewhere."""
    actors = {
        name: {**each, "pos": [at + rng.uniform(-2, 2) for at in each["pos"]]}
        for name, each in snapshot["actors"].items()
    }
    return {**snapshot, "actors": actors}


async def memory() -> None:
    """What 500 entries of 2 to 15 KB take."""
    print("memory of 500 entries of 2 to 15 KB (tracemalloc)")
    for name, make in (("tellings", words), ("plans", plan)):
        rng = random.Random(7)
        sizes = [rng.randrange(2000, 15_000) for _ in range(500)]
        store = VariantStore(Limits(warm=Room(500, FOR_EVER, "lfu")))
        gc.collect()
        tracemalloc.start()
        for number, size in enumerate(sizes):
            store.store(f"k{number}", [make(size, rng)], None, depends=[("actors", f"a{number}")],
                        snapshot=crowd(rng, 1000))  # fmt: skip
        gc.collect()
        taken, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        kept = store.stats().layers["warm"].bytes
        print(
            f"  {name:9} {taken / 1e6:5.1f} MB, {taken / 500:7,.0f} bytes an entry, "
            f"{(taken - kept) / 500:6,.0f} of them beside the text itself"
        )


def snapshots(data: Path) -> dict[str, list[Any]]:
    """What was done by whom to whom, as they were then, outcome by outcome, of each recording."""
    sources = [("nwn", path) for path in sorted(data.glob("nwn/*.log"))]
    sources += [("fireball", data / "fireball" / "raw.jsonl")]
    sources += [("showdown", path) for path in sorted(data.glob("showdown/*.log"))]
    found: dict[str, list[Any]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for number, (kind, path) in enumerate(sources):
            log = Path(folder) / f"{number}.jsonl"
            convert_file(kind, path, log, 0)
            found.setdefault(kind, []).extend(each_moment(load(log)[1]))
    return found


def with_a_maximum(moments: Sequence[Any]) -> list[Any]:
    """The moments as a game has them: with health, and its maximum, the most that was borne."""
    most: dict[str, float] = {}
    bodies = [
        (name, body["health"]["damage_taken"])
        for moment in moments
        for name, body in (*moment["actor"].items(), *moment["targets"].items())
        if body and body.get("health")
    ]
    for name, taken in bodies:
        most[name] = max(most.get(name, 1), taken)

    def with_health(name: str, body: Any) -> Any:
        if not (body and body.get("health")):
            return body
        left = most[name] - body["health"]["damage_taken"]
        return {**body, "health": None, "hp": left, "max_hp": most[name]}

    return [
        {**moment, **{part: {name: with_health(name, body) for name, body in moment[part].items()}
                      for part in ("actor", "targets")}}
        for moment in moments
    ]  # fmt: skip


async def rate(drawn: Sequence[Any], near: Near, limits: Limits) -> float:
    """The hit rate of ``get_or_compute`` over snapshots, in their order."""
    store = VariantStore(limits, near=near, clock=lambda: 0.0)
    for snapshot in drawn:
        await store.get_or_compute(snapshot, lambda each: ["a plan"], ttl=None)
    return store.metrics().hit_rate()


def scaled(size: int) -> Limits:
    """So many entries in the three layers, in the proportion of the defaults."""
    hot, warm = size * 20 // 170, size * 50 // 170
    return Limits(
        Room(hot, FOR_EVER, "lru"),
        Room(warm, FOR_EVER, "lfu"),
        Room(size - hot - warm, FOR_EVER, "ttl"),
    )


def one_layer(keys: Sequence[Any], policy: str, size: int) -> float:
    """The hit rate of one layer by itself."""
    layer = Layer(Level.HOT, Room(size, FOR_EVER, policy))
    names = {key: str(number) for number, key in enumerate(dict.fromkeys(keys))}
    kept: dict[str, Entry] = {}
    hits = 0
    for seq, key in enumerate(keys):
        entry = kept.get(names[key])
        if entry is None:
            entry = Entry(names[key], "", ("plan",), 4, None, seq=seq)
            gone = layer.add(entry, 0.0)
            kept[entry.key] = entry
            if gone is not None:
                del kept[gone.key]
        else:
            hits += 1
            entry.hits, entry.seq = entry.hits + 1, seq
            layer.stay(entry, 0.0)
    return hits / len(keys)


def cachetools_rate(keys: Sequence[Any], cache: Any) -> float:
    """The hit rate of a cache of cachetools."""
    hits = 0
    for key in keys:
        if cache.get(key) is None:
            cache[key] = True
        else:
            hits += 1
    return hits / len(keys)


def hit_rates(data: Path) -> dict[str, Curve]:
    """``get_or_compute`` over 1,000 snapshots, and hit rates by size and policy, as tables."""
    found = snapshots(data)
    nwn = found["nwn"]
    drawn = [nwn[n] for n in sorted(random.Random(0).sample(range(len(nwn)), 1000))]
    print("get_or_compute over 1,000 snapshots drawn from nwn, default sizes")
    for name, near in (("near (bands of health)", NEAR), ("exact keys only", EXACT)):
        print(f"  {name:24} hit rate {run_virtual(rate(drawn, near, Limits())):.3f}")
    print(f"hit rate by how wide the bands of damage are: nwn, {len(nwn):,} moments, default sizes")
    for width in (50, 100, 200, 400):
        near = Near(2.0, widths={"damage_taken": width})
        print(f"  {width:24} hit rate {run_virtual(rate(nwn, near, Limits())):.3f}")
    known = run_virtual(rate(with_a_maximum(nwn), NEAR, Limits()))
    print(f"  {'if the most were known':24} hit rate {known:.3f}")
    curves: dict[str, Curve] = {}
    for kind, moments in found.items():
        keys = [NEAR.key(each) for each in moments]
        curve = curves[kind] = {
            "LRU": [one_layer(keys, "lru", size) for size in SIZES],
            "LFU": [one_layer(keys, "lfu", size) for size in SIZES],
            "three layers": [run_virtual(rate(moments, NEAR, scaled(size))) for size in SIZES],
            "exact keys, LRU": [
                one_layer([EXACT.key(each) for each in moments], "lru", size) for size in SIZES
            ],
            "cachetools LRU": [cachetools_rate(keys, cachetools.LRUCache(size)) for size in SIZES],
            "cachetools LFU": [cachetools_rate(keys, cachetools.LFUCache(size)) for size in SIZES],
        }
        print(f"hit rate by entries: {kind}, {len(keys):,} moments, {len(set(keys)):,} different")
        print(f"  {'':16}" + "".join(f"{size:9,}" for size in SIZES))
        for name, rates in curve.items():
            print(f"  {name:16}" + "".join(f"{each:9.3f}" for each in rates))
    return curves


async def shared() -> None:
    """What a look-up in a Redis on loopback costs, and one while it hangs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(  # noqa: ASYNC220 - nothing else runs
            ["redis-server", "--port", str(port), "--save", ""],
            cwd=folder,
            stdout=subprocess.DEVNULL,
        ) as server,
    ):
        while True:
            try:
                socket.create_connection(("127.0.0.1", port)).close()
                break
            except OSError:
                await asyncio.sleep(0.05)
        cold = SharedCold(f"redis://127.0.0.1:{port}", wall=time.time)
        store = VariantStore(cold=cold)
        store.store("k", [words(1800, random.Random(1))])
        await store.flush()
        name = store._shelves.name("k", "")
        taken = await median_us_awaited(lambda: cold.fetch(name), 2000)
        worst = 0.0
        if sys.platform != "win32":
            import signal

            server.send_signal(signal.SIGSTOP)
            for _ in range(20):
                cold.door.again = 0.0  # as if it had answered until now
                begun = time.perf_counter()
                await cold.fetch("absent")
                worst = max(worst, time.perf_counter() - begun)
            server.send_signal(signal.SIGCONT)
        print("Redis on loopback")
        print(f"  fetch, median           {taken:8.0f} µs")
        print(
            f"  while it hangs, worst   {1e3 * worst:8.1f} ms of 20, each as if it were the first"
        )
        await cold.aclose()
        server.kill()


def draw(curves: dict[str, Curve], path: str) -> None:
    """The hit rates as a picture."""
    import matplotlib as mpl

    mpl.use("agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(curves), figsize=(4 * len(curves), 3.4), squeeze=False)
    for axis, (kind, curve) in zip(axes[0], curves.items(), strict=True):
        for name, rates in curve.items():
            if not name.startswith("cachetools"):
                axis.plot(SIZES, rates, marker="o", label=name)
        axis.set(title=kind, xlabel="entries", ylabel="hit rate", ylim=(0, 1))
    axes[0][0].legend(frameon=False, fontsize=8)
    figure.tight_layout()
    figure.savefig(path)
    print(f"{path}: written")


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FORETELL_DATA", beside)))
    parser.add_argument("--plot", metavar="FILE", help="draw the hit rates (.png, .svg)")
    given = parser.parse_args()
    gc.freeze()
    asyncio.run(hot_gets())
    asyncio.run(near_and_invalidate())
    asyncio.run(memory())
    if shutil.which("redis-server"):
        asyncio.run(shared())
    if given.data.is_dir():
        curves = hit_rates(given.data)
        if given.plot:
            draw(curves, given.plot)


if __name__ == "__main__":
    main()
