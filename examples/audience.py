"""Who may know what: the game master is told who struck, players what they see. No key needed."""

import asyncio
from typing import Any

import foretell

ASH = {"name": "Ash", "hp": 20, "max_hp": 20}
GUEST = {"name": "Vex the assassin", "seems": "A hooded guest", "hp": 9, "max_hp": 9}


def view(state: dict[str, Any], viewer: str | None) -> dict[str, Any]:
    """What a viewer may know, or everybody (``None``). The state is a copy: do what you like."""
    if viewer != "gm":
        state["actors"]["guest-3"]["name"] = state["actors"]["guest-3"].pop("seems")
    return state


async def main() -> None:
    async with foretell.Game(view=view) as game:
        session = await game.session("court-1")
        session.update({"mode": "combat", "actors": {"ash": ASH, "guest-3": GUEST}})
        action = session.declare("guest-3", "dagger", target="ash")
        await asyncio.sleep(5)  # what is prepared for all is made of what all may know
        print("To all:", (await action.outcome("hit", damage=3)).text)
        told = session.outcome("guest-3", "poison", "success", target="ash", to=["gm"])
        print("To the game master:", (await told).text)


asyncio.run(main())
