"""How long it takes to tell what is prepared: from the call to the first text, in process.

    python benchmarks/hit.py [--outcomes 400] [--sessions 1] [--log]

Each round somebody declares an action, which is prepared by a model that answers at once, and then
it has its outcome: a hit. The time is that of a subscriber, who is handed the first text: by the
clock, and by the processor, which is what it takes where the machine has nothing else to do. The
garbage collector runs between the rounds, as in a server that gives it a moment of its own.
``--log`` records the session, ``--sessions`` is how many others prepare what they need besides.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import math
import tempfile
import time
from copy import deepcopy
from typing import Any

import foretell
from foretell import Patched, Served

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        f"a{n}": {
            "name": f"Actor {n}",
            "side": ("party", "foes")[n % 2],
            "hp": 9_000,
            "max_hp": 9_000,
            "ac": 12,
            "attacks": ["longsword", "bow"],
        }
        for n in range(6)
    },
}


Times = tuple[float, float]
"""By the clock, and by the processor, in milliseconds."""


def now() -> Times:
    """Both clocks."""
    return 1000 * time.perf_counter(), 1000 * time.thread_time()


async def rounds(session: foretell.Session[Any], outcomes: int, *, timed: bool) -> list[Times]:
    """So many outcomes, each prepared; how long the first text of those took that were hits."""
    found: list[Times] = []
    first: Times | None = None

    def on_event(event: Any) -> None:
        nonlocal first
        if isinstance(event, Patched) and event.text and first is None:
            first = now()

    session.subscribe(on_event)
    state = deepcopy(STATE)
    session.update(state)
    for number in range(outcomes):
        actor, target = f"a{number % 6}", f"a{(number + 1) % 6}"
        session.begin_turn(actor)
        action = session.declare(actor, "longsword", target=target)
        await asyncio.sleep(0.08)
        if timed:
            gc.collect()
        state["actors"][target]["hp"] -= 4
        first, begun = None, now()
        telling = action.outcome("hit", damage=4, state=state)
        await telling
        if telling.ended.served[0] is Served.HIT and first is not None:
            found.append((first[0] - begun[0], first[1] - begun[1]))
        session.end_turn()
    return found


async def night(outcomes: int, sessions: int, log_dir: str | None) -> list[Times]:
    """The milliseconds of one session, beside others."""
    settings = {"narrator_profile": "instant", "log_dir": log_dir, "spend": "none"}
    async with foretell.Game(settings) as game:
        watched = await game.session("watched")
        others = [await game.session(f"other-{n}") for n in range(1, sessions)]
        beside = [asyncio.create_task(rounds(each, 10_000_000, timed=False)) for each in others]
        try:
            return await rounds(watched, outcomes, timed=True)
        finally:
            for each in beside:
                each.cancel()
            await asyncio.gather(*beside, return_exceptions=True)


def main() -> None:
    """See the module."""
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=shape)
    parser.add_argument("--outcomes", type=int, default=400, metavar="N", help="rounds [400]")
    parser.add_argument("--sessions", type=int, default=1, metavar="N", help="of the process [1]")
    parser.add_argument("--log", action="store_true", help="record the session")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        took = asyncio.run(night(args.outcomes, args.sessions, folder if args.log else None))
    print(f"{len(took)} of {args.outcomes} were prepared; until the first text:")
    for which, name in enumerate(("clock", "processor")):
        times = sorted(each[which] for each in took) or [math.nan]
        p99 = times[min(len(times) - 1, math.floor(0.99 * len(times)))]
        print(f"{name:10} median {times[len(times) // 2]:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
