"""Outside of combat: what lies behind the exits, and what who is spoken to answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from typing import Any

import orjson
import pytest

import foretell
from foretell import Ended, Served
from foretell.streams.models import Request
from foretell.testing import Script, ScriptedModel, ScriptedStream, stamped, stamped_prompts

HALL = {"id": "hall", "name": "Hall", "exits": ["Cellar", {"name": "oak door", "to": "yard"}]}
CELLAR = {"id": "cellar", "name": "Cellar", "exits": ["Hall"]}
YARD = {"id": "yard", "name": "Yard", "exits": [{"name": "gate", "to": "road"}]}
TALK = {"npc": "Old Bram", "topic": "the bell", "options": ["Who rang it?", "Farewell"]}
PLACE: dict[str, Any] = {
    "mode": "exploration",
    "location": HALL,
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "bram": {"name": "Old Bram", "side": "town", "hp": 9, "max_hp": 9},
    },
}


def now(**change: Any) -> dict[str, Any]:
    return {**deepcopy(PLACE), **change}


DIALOGUE = now(mode="dialogue", dialogue=TALK)


class Table:
    """A session whose texts say what they are about, and all ends of its tellings."""

    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session, self.model = session, model
        self.ends: list[Ended] = []
        session.subscribe(lambda each: self.ends.append(each) if isinstance(each, Ended) else None)

    @property
    def prepared(self) -> list[ScriptedStream]:
        return self.model.asked("prefetch")

    @property
    def wanted(self) -> list[tuple[str, str, str, str]]:
        """What is prepared and still there: actor, action, target and result of each."""
        live = self.session.generations.live
        there = [each for each in live if each.alive and each.request.purpose == "prefetch"]
        return sorted(of(each.request) for each in there)


def of(request: Request) -> tuple[str, str, str, str]:
    [entry] = orjson.loads(request.messages[-1].text)["entries"]
    return entry["actor"], entry["action"], entry["target"], entry["result"]


@asynccontextmanager
async def table(state: Any, **given: Any) -> AsyncIterator[Table]:
    made = {name: given.pop(name) for name in ("prompts", "content", "view") if name in given}
    model = ScriptedModel(
        lambda request, number: Script({"text": stamped(request, number) or "So."}, ttft=1.0)
    )
    given = {"intensity": "aggressive", **given}
    async with foretell.Game(given, model=model, **{"prompts": stamped_prompts, **made}) as game:
        session = await game.session("table")
        session.update(state)
        yield Table(session, model)
    assert not model.open


@pytest.mark.parametrize("how", ["with", "before", "after", "declared"])
async def test_the_room_behind_an_exit_is_told_at_once(how: str) -> None:
    async with table(PLACE) as t:
        await asyncio.sleep(10)
        session, there = t.session, now(location=CELLAR)
        given = {"state": there} if how == "with" else {}
        if how == "declared":
            action = session.declare("mira", "cellar", type="move")
            session.update(there)
            telling = action.outcome("success")
        else:
            if how == "before":
                session.update(there)
            telling = session.outcome("mira", "cellar", "success", type="move", **given)
            if how == "after":
                session.update(there)
        await telling
        assert t.ends[0].served == (Served.HIT,)
        assert t.ends[0].latency == (0.0,)
