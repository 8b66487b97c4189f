"""Plans for ten agents at once: each alone, in one request, or as a session does under pressure.

    python benchmarks/plan_batches.py [--agents 10] [--seeds 15] [--tier simplified]

In virtual time, with the narrator at the pace of each profile; ``one slot`` is ``local-8b`` with
one slot, as servers for one user have. Seconds from asking until the last agent has a step of the
model, and until all plans are whole; the mean over the seeds. The narrator's plans are no measure
of a model's: two to five steps for one agent, two or three for each of several.

Then how a request for all of them comes: how much of it was there at the first agent's first step,
and how long it took against one for one agent; and what reading it takes of the processor.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from dataclasses import replace
from typing import Any

import orjson

import foretell
from foretell.operators.plans.reader import PlansReader
from foretell.streams.clock import run_virtual
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import PROFILES, Profile

PACES: dict[str, tuple[Profile, int]] = {
    "hosted-large": (PROFILES["hosted-large"], 10),
    "hosted-small": (PROFILES["hosted-small"], 10),
    "local-8b": (PROFILES["local-8b"], 4),
    "one slot": (replace(PROFILES["local-8b"], name="one slot", slots=1), 1),
}
"""And how many requests side by side each is good for."""
WAYS = (
    "all alone at once",
    "alone, 4 at a time",
    "plan(), 4 streams",
    "plan(), its slots",
    "in one",
)
Times = tuple[float, float]


def scene(number: int, agents: int) -> dict[str, Any]:
    """What an agent sees: itself, a friend, and three foes."""
    me = {"side": "foes", "pos": [2 * number, 4], "hp": 9 + number % 4, "max_hp": 12, "ammo": 2}
    others: dict[str, Any] = {
        f"e{n}": {"side": "party", "pos": [3 * n, 12], "hp": 20 - n, "max_hp": 20} for n in range(3)
    }
    others[f"a{(number + 1) % agents:02}"] = {"side": "foes", "pos": [2 * number + 2, 4], "hp": 9}
    return {"me": me, "others": others, "place": "the rope bridge"}


async def asked(way: str, pace: Profile, slots: int, agents: int, seed: int, tier: str) -> Times:
    """When the last agent has a step of the model, and when all plans are whole."""
    alone = way.startswith(("all", "alone"))
    streams = {"all alone at once": agents, "plan(), its slots": slots}.get(way, 4)
    plans = {
        "tier": tier, "deadline": 600, "streams": streams, "batch_size": 1 if alone else 10,
    }  # fmt: skip
    engine = Engine(pace, seed)
    settings = foretell.Settings.load({"plans": plans, "intensity": "off"})
    async with (
        foretell.Game(settings, model=NarratorModel(engine, 600)) as game,
        await game.session("batches") as session,
    ):
        ask = session.queue_agent if way == "in one" else session.plan
        made = [ask(f"a{n:02}", scene(n, agents)) for n in range(agents)]
        if way == "in one":
            await session.execute_batch()
        done = [await each for each in made]
    first = max(math.inf if plan.model is None else plan.model for plan in done)
    return first, max(plan.total for plan in done)


async def one_request(pace: Profile, agents: int, seed: int, tier: str) -> tuple[float, float]:
    """Of a request for all, the share that was there at the first step, and its time over one's."""
    took: dict[int, list[Any]] = {}
    for count in (1, agents):
        settings = {"plans": {"tier": tier, "deadline": 600}, "intensity": "off"}
        engine = Engine(pace, seed)
        async with (
            foretell.Game(settings, model=NarratorModel(engine, 600)) as game,
            await game.session("batches") as session,
        ):
            for n in range(count):
                session.queue_agent(f"a{n:02}", scene(n, agents))
            plans = [*(await session.execute_batch()).values()]
        account = engine.accounts[0]
        begun = (account.first_token or math.inf) - account.opened
        took[count] = [(plan.model or math.inf, plan.total, begun) for plan in plans]
    first, _, begun = took[agents][0]
    whole = max(total for _, total, _ in took[agents])
    return (first - begun) / (whole - begun), whole / took[1][0][1]


def parse_seconds(agents: int) -> float:
    """Processor seconds for one plan of an answer that comes four characters at a time."""
    steps = [{"do": "TakeCover", "x": 12.5, "y": -3.1}, {"do": "Attack", "target": "e1"}]
    names = [f"a{n:02}" for n in range(agents)]
    text = orjson.dumps({"plans": [{"agent": n, "steps": [*steps, *steps]} for n in names]})
    pieces = [text.decode()[at : at + 4] for at in range(0, len(text), 4)]
    best = math.inf
    for _ in range(50):
        reader, began = PlansReader(names), time.perf_counter()
        found = [step for piece in pieces for step in reader.feed(piece)]
        best = min(best, time.perf_counter() - began)
        assert len(found) == 4 * agents
    return best / agents


def main() -> None:
    parser = argparse.ArgumentParser(description="Plans for many agents at once.")
    parser.add_argument("--agents", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=15)
    parser.add_argument("--tier", default="simplified", choices=["full", "simplified", "compact"])
    args = parser.parse_args()
    agents, seeds, tier = args.agents, range(args.seeds), args.tier
    print(f"{agents} agents, {tier} prompt: the last one's first step / all plans, seconds")
    print(f"{'':14}" + "".join(f"{way:>21}" for way in WAYS))
    for name, (pace, slots) in PACES.items():
        row = ""
        for way in WAYS:
            runs = [run_virtual(asked(way, pace, slots, agents, seed, tier)) for seed in seeds]
            first, whole = (statistics.fmean(each) for each in zip(*runs, strict=True))
            row += f"{f'{first:.2f} / {whole:.2f}':>21}"
        print(f"{name:14}{row}")
    print(f"\nOne request for {agents}: share of it at the first step, time over that of one plan")
    for name, (pace, _) in PACES.items():
        found = [run_virtual(one_request(pace, agents, seed, tier)) for seed in seeds]
        share, ratio = (statistics.fmean(each) for each in zip(*found, strict=True))
        print(f"{name:14}{100 * share:6.0f} %{ratio:9.2f} ×")
    print(f"\nReading a plan of it: {1000 * parse_seconds(agents):.3f} ms of the processor")


if __name__ == "__main__":
    main()
