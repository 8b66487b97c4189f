"""Moments at which somebody has to be planned for: of recordings, or drawn."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..errors import ConfigError
from ..streams.events import Outcome, Turn
from ..streams.log_inputs import LogInputs
from ..streams.world import Numbered, World, advance

__all__ = ["Scenario", "drawn", "recorded", "scenarios"]

OWN = ("name", "side", "hp", "max_hp", "pos", "ammo", "conditions", "class", "species", "active")
SEEN = ("name", "side", "hp", "max_hp", "pos", "conditions", "active")
"""What is known of oneself, and of others."""
ROW = 10
"""Moments that follow one another, so that a cache meets them as in play."""
GOALS = ("hold the bridge", "take the bridge", "get away")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One agent, and what it sees."""

    agent: str
    snapshot: Mapping[str, Any]
    goal: str = ""


def scenarios(logs: Sequence[str], count: int, seed: int) -> tuple[list[Scenario], str]:
    """So many of recordings, in their order: ten in a row, evenly of all; or drawn ones.

    :returns: them, and in a line where they are from.
    :raises LogError: for a log that cannot be read.
    :raises ConfigError: for logs in which nobody acts.
    """
    if not logs:
        return drawn(seed, count), f"{count} drawn of a skirmish by seed {seed}"
    found = [each for log in logs for each in recorded(LogInputs(log))]
    if not found:
        raise ConfigError("nobody acts in these logs: there is nobody to plan for")
    count = min(count, len(found))
    rows = -(-count // ROW)
    starts = [n * (len(found) - min(ROW, count)) // max(1, rows - 1) for n in range(rows)]
    chosen = [each for at in starts for each in found[at : at + ROW]][:count]
    return chosen, f"{count} of the {len(found)} moments of {len(logs)} recordings"


def recorded(inputs: Iterable[Any]) -> Iterator[Scenario]:
    """Who begins a turn, or acts in one that somebody else has begun, and what he saw then."""
    world, last = World(), ""
    for number, event in enumerate(inputs, 1):
        before, world = world, advance(world, Numbered(number, event, event.t))
        if isinstance(event, Turn):
            agent, state = event.actor, world.state
        elif isinstance(event, Outcome):
            agent, state = before.doing(event).actor, before.state
        else:
            continue
        actors = state.get("actors")
        if agent != last and isinstance(actors, Mapping) and agent in actors:
            last = agent
            yield Scenario(agent, _seen_by(agent, state, actors))


def _seen_by(
    agent: str, state: Mapping[str, Any], actors: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    others = {name: _of(one, SEEN) for name, one in actors.items() if name != agent}
    place = state.get("location")
    named = place.get("name") if isinstance(place, Mapping) else None
    about = {"mode": state.get("mode"), "round": state.get("round"), "place": named}
    known = {name: value for name, value in about.items() if value is not None}
    return {"me": _of(actors[agent], OWN), "others": others, **known}


def _of(one: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: one[name] for name in names if name in one}


def drawn(seed: int, count: int) -> list[Scenario]:
    """A skirmish on a grid, in which all walk, fire and fall a little from one to the next."""
    rng = random.Random(f"skirmish {seed}")
    actors: dict[str, dict[str, Any]] = {
        f"{side} {n}": {
            "side": side, "hp": 20, "max_hp": 20, "ammo": 3,
            "pos": [4.0 * n, 0.0 if side == "party" else 12.0],
        }
        for side in ("party", "foes") for n in range(5)
    }  # fmt: skip
    found = []
    for number in range(count):
        names = [*actors]
        agent = names[number % len(names)]
        for one in actors.values():
            one["pos"] = [round(at + rng.uniform(-1, 1), 1) for at in one["pos"]]
        victim = actors[rng.choice(names)]
        victim["hp"] = max(1, victim["hp"] - rng.randint(0, 4))
        actors[agent]["ammo"] = rng.randrange(4)
        snapshot = _seen_by(agent, {"mode": "combat", "location": {"name": "the bridge"}}, actors)
        found.append(Scenario(agent, snapshot, GOALS[number % len(GOALS)]))
    return found
