"""A round at the table: what a game says to Foretell, and what comes back.

It needs no key: the built-in narrator speaks, a grammar. With ANTHROPIC_API_KEY set, Claude does.
"""

import asyncio
from typing import Any

import foretell
from foretell.sinks.terminal import print_narrative

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "bridge", "name": "the rope bridge"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 24},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


async def main() -> None:
    async with foretell.Game() as game:
        session = await game.session("table-7")
        print_narrative(session)
        session.update(STATE)
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(5)  # while the player reaches for the dice, the story is written
        STATE["actors"]["goblin-2"]["hp"] = 3
        await action.outcome("hit", damage=9, state=STATE)
        session.begin_turn("goblin-2")  # nothing was declared here: this one has to be waited for
        telling = session.outcome("goblin-2", "scimitar", "miss", target="mira")
        await telling
        print(session.summary())


asyncio.run(main())
