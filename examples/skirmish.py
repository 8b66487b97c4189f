"""A skirmish in which nobody plays: three against three, each planned for, and the blows told.

    python examples/skirmish.py [--seconds 20] [--profile hosted-small]
    python examples/skirmish.py --base-url http://127.0.0.1:11434 --model llama3.3

It needs no key: without a server of yours, the built-in narrator serves the Messages API on a port
of its own (pip install "foretell[server]"). It is a grammar, not a language model.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import math
import random
from collections.abc import Mapping
from typing import Any

import foretell
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running

REACH, PACE, FULL = 6.0, 4.0, 6
NAMES = {"party": ("Mira", "Bran", "Ash"), "foes": ("Grik", "Snag", "Vex")}
GOALS = {"party": "take the bridge", "foes": "hold the bridge"}


def tools() -> dict[str, Any]:
    """The core of the tools that ship; who is to be attacked has to be near."""
    data = foretell.Registry.core().as_json()
    for tool in data["tools"]:
        if tool["name"] == "Attack":
            tool["needs"].append({"path": "others.{target}.near", "test": "is", "value": True})
    return data


class Skirmish:
    """The rules: who stands where, and what comes of a step."""

    def __init__(self, session: foretell.Session[Any], seed: int) -> None:
        self.session = session
        self.dice = random.Random(seed)
        self.actors: dict[str, dict[str, Any]] = {
            name.lower(): {
                "name": name, "side": side, "hp": 20, "max_hp": 20, "ammo": FULL,
                "pos": [10.0 * row, 0.0 if side == "party" else 12.0],
            }
            for side, names in NAMES.items() for row, name in enumerate(names)
        }  # fmt: skip
        self.update()

    def update(self) -> None:
        """Tell the session how things stand."""
        place = {"id": "bridge", "name": "the rope bridge"}
        self.session.update({"mode": "combat", "location": place, "actors": self.actors})

    def seen_by(self, agent: str) -> dict[str, Any]:
        """What an agent knows: all who stand, and nothing of what others carry."""
        shown = ("name", "side", "pos", "hp", "max_hp", "cover")
        me = self.actors[agent]
        others = {
            name: {key: one[key] for key in shown if key in one}
            | {"near": math.dist(me["pos"], one["pos"]) <= REACH}
            for name, one in self.actors.items()
            if name != agent and one["hp"] > 0
        }
        return {"me": dict(me), "others": others, "place": "the rope bridge"}

    @property
    def over(self) -> bool:
        """Whether one side is down."""
        return len({one["side"] for one in self.actors.values() if one["hp"] > 0}) < 2

    def walk(self, agent: str, to: list[float], pace: float = PACE) -> None:
        """Go as far as one comes in a step."""
        me = self.actors[agent]
        far = math.dist(me["pos"], to) or 1.0
        share = min(1.0, abs(pace) / far) * math.copysign(1, pace)
        me["pos"] = [round(a + share * (b - a), 1) for a, b in zip(me["pos"], to, strict=True)]
        me["cover"] = False

    async def act(self, agent: str, tool: str, args: Mapping[str, Any]) -> str | None:
        """Do a step; why it could not be done, if it could not."""
        await asyncio.sleep(0.3 + 0.4 * self.dice.random())
        me, other = self.actors[agent], self.actors.get(str(args.get("target")))
        if me["hp"] <= 0:
            return "you are down"
        if tool == "Attack" and other is not None:
            if math.dist(me["pos"], other["pos"]) > REACH:
                return "out of reach by now"
            self.strike(agent, str(args["target"]))
        elif tool in ("MoveTo", "TakeCover"):
            self.walk(agent, [args["x"], args["y"]])
            me["cover"] = tool == "TakeCover"
        elif tool == "Retreat" and other is not None:
            self.walk(agent, other["pos"], -PACE)
        elif tool == "Reload":
            me["ammo"] = FULL
        self.update()
        return None

    def strike(self, agent: str, target: str) -> None:
        """A blow, and what is told of it."""
        me, other = self.actors[agent], self.actors[target]
        me["ammo"] -= 1
        hit = self.dice.random() < (0.4 if other.get("cover") else 0.7)
        damage = self.dice.randint(3, 8) if hit else 0
        other["hp"] = max(0, other["hp"] - damage)
        action = self.session.declare(agent, "short bow", target=target)
        result = {"damage": damage, "target_hp": other["hp"]} if hit else {}
        action.outcome("hit" if hit else "miss", **result)

    async def live(self, agent: str) -> None:
        """What one of them does, as long as he stands."""
        goal = GOALS[self.actors[agent]["side"]]
        while self.actors[agent]["hp"] > 0 and not self.over:
            planning = self.session.plan(agent, self.seen_by(agent), goal=goal)
            async for step in planning:
                if (why := await self.act(agent, step.tool, step.args)) is not None:
                    step.failed(why)
                if self.actors[agent]["hp"] <= 0 or self.over:
                    planning.cancel()
                else:  # what has happened meanwhile may end this plan, and begin another
                    self.session.plan(agent, self.seen_by(agent), goal=goal)


def print_telling(event: Any) -> None:
    """Each telling when it is whole: steps stand between them."""
    if isinstance(event, foretell.Ended):
        print(f"\n{event.text}\n")


def print_steps(event: Any) -> None:
    """One line for each step."""
    if isinstance(event, foretell.Stepped):
        args = ", ".join(f"{name} {value}" for name, value in event.step.args.items())
        print(f"    {event.t:5.1f}  {event.agent:5} {event.step.tool} {args} ({event.step.source})")


async def play(game: foretell.Game[Any], seconds: float, seed: int) -> None:
    """A skirmish, and what it came to."""
    session = await game.session("skirmish")
    session.plans.subscribe(print_steps)
    session.subscribe(print_telling)
    skirmish = Skirmish(session, seed)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
            for agent in skirmish.actors:
                group.create_task(skirmish.live(agent))
    await session.close(drain=seconds)
    found = session.plans_report()
    print(", ".join(f"{one['name']} {one['hp']}" for one in skirmish.actors.values()))
    print(f"{found['plans']} plans, by {found['source']}; {found['failed']} steps failed")
    times = [found[name]["mean"] for name in ("first_ms", "model_ms")]
    print("first step after {} ms, the model's after {} ms (means)".format(*times))
    print(session.summary(table=True))


async def main(args: argparse.Namespace) -> None:
    async with contextlib.AsyncExitStack() as stack:
        url = args.base_url or await stack.enter_async_context(running(profile(args.profile)))
        settings = {"base_url": url} | ({"main_model": args.model} if args.model else {})
        key = None if args.base_url else "none"
        game = foretell.Game(settings, api_key=key, tools=tools())
        await play(await stack.enter_async_context(game), args.seconds, args.seed)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0, help="how long it lasts at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--profile", default="hosted-small", help="of the built-in narrator")
    parser.add_argument("--base-url", help="a server of the Messages API")
    parser.add_argument("--model", help="the model to ask there")
    asyncio.run(main(parser.parse_args()))
