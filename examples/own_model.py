"""Prompts of your own, and a telling that is more than text. It needs no key."""

import asyncio
import json
from typing import Any, Literal

from pydantic import BaseModel, Field

import foretell


class Shot(BaseModel):
    text: str = Field(description="What the narrator says.")
    camera: Literal["close", "wide", "overhead"]


def prompts(scene: Any, action: Any, outcome: foretell.Account, memory: str, content: Any) -> str:
    (happened,) = (entry.happened for entry in outcome.entries)
    telling = {"actor": "Ash", "action": action.action, "target": "Wolf", "result": happened.name}
    facts = {"tellings": [telling | {"values": happened.values}], "slots": outcome.slots}
    return f"Direct this for the screen. Leave slots in braces.\nFACTS {json.dumps(facts)}"


async def main() -> None:
    actors = {"ash": {"name": "Ash"}, "wolf": {"name": "Wolf", "hp": 9, "max_hp": 9}}
    async with foretell.Game(prompts=prompts, narration=Shot) as game:
        session = await game.session("reel-1")
        session.update({"mode": "combat", "actors": actors})
        action = session.declare("ash", "spear", target="wolf")
        await asyncio.sleep(1.9)  # too short for the whole: the outcome takes over what is written
        telling = action.outcome("critical", damage=8)
        async for text in telling.text(every=0.5):
            print(text, end="\n\n")
        print("A", (await telling).camera, "shot.")


asyncio.run(main())
