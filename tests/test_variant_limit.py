"""A text that is prepared has so long to be whole, and is closed then."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.replay.verify import verify
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


@asynccontextmanager
async def opened(
    answers: Any, **given: Any
) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = ScriptedModel(answers)
    async with foretell.Game(given, model=model) as game:
        session = await game.session("t")
        session.update(STATE)
        session.begin_turn("mira")
        yield session, model
    assert not model.open


def slow(request: Any, number: int) -> Script:
    """What is prepared never comes to its end."""
    if request.purpose == "prefetch":
        return Script({"text": "The blade" + " falls" * 50}, ttft=1.0, hangs=True, chunks=9)
    return Script({"text": "It is told anew."}, ttft=0.5)


def wasted(session: foretell.Session[Any]) -> dict[str, int]:
    found: Counter[str] = Counter()
    for row in session.report()["ledger"]:  # one for each model
        if row["purpose"] == "prefetch":
            found[row["fate"]] += row["streams"]
    return dict(found)


async def test_a_variant_that_is_not_whole_in_time_is_closed_and_counted_as_expired() -> None:
    async with opened(slow) as (session, model):
        action = session.declare("mira", "slash", target="goblin")
        await asyncio.sleep(29.9)
        assert len(model.open) == 3
        await asyncio.sleep(0.2)
        assert model.open == [] and wasted(session) == {"expired": 3}
        await asyncio.sleep(60)
        assert len(model.streams) == 3  # nobody asks for it again
        assert (await action.outcome("miss")).text == "It is told anew."
        assert session.report()["served"]["miss"] == 1
        rows = session.report()["ledger"]
        assert next(row["usd"] for row in rows if row["fate"] == "expired") > 0


async def test_its_time_does_not_run_while_it_waits_for_its_turn() -> None:
    async with opened(slow, max_speculations=1, variant_limit=10.0) as (session, model):
        session.declare("mira", "slash", target="goblin")
        await asyncio.sleep(40)
        assert [(each.opened_at, each.closed_at) for each in model.streams] == [
            (0.0, 10.0),
            (10.0, 20.0),
            (20.0, 30.0),
        ]
        assert wasted(session) == {"expired": 3}


async def test_what_a_telling_has_adopted_has_the_tellings_deadline() -> None:
    """A retelling is planned still while it is told, for it changes nothing."""
    waits = {"foreground": 0.01, "prefetch": 3.0}

    def drawl(request: Any, number: int) -> Script:
        return Script({"text": f"Blade {number} falls."}, ttft=1.0, delay=waits[request.purpose])

    settings = {"intensity": "aggressive", "variant_limit": 8.0}
    async with opened(drawl, **settings) as (session, model):
        first = session.outcome("mira", "slash", "miss", target="goblin")
        await first
        await asyncio.sleep(2)
        text = (await session.retell(first)).text
        told = next(each for each in model.streams if f"Blade {each.number} falls." == text)
        assert told.request.purpose == "prefetch"
        assert (told.closed_at or 0.0) - (told.opened_at or 0.0) > 8.0
        assert session.report()["retold"]["in_flight"] == 1


async def test_one_that_is_whole_in_time_stays() -> None:
    async with opened(Script({"text": "Grim."}, ttft=1.0), variant_limit=5.0) as (session, _):
        action = session.declare("mira", "slash", target="goblin")
        await asyncio.sleep(100)
        await action.outcome("miss")
        assert session.report()["served"]["hit"] == 1


def test_a_recording_has_it_and_a_session_that_goes_on_counts_it_so(tmp_path: Path) -> None:
    rows: list[dict[str, int]] = []

    async def play(sitting: int) -> None:
        async with opened(slow, log_dir=str(tmp_path), variant_limit=5.0) as (session, _):
            rows.append(wasted(session))
            if sitting == 0:
                action = session.declare("mira", "slash", target="goblin")
                await asyncio.sleep(20)
                await action.outcome("miss")
                session.end_turn()
                await asyncio.sleep(1)
                rows.append(wasted(session))

    for sitting in range(2):
        run_virtual(play(sitting))
    none, some, resumed = rows
    assert none == {} and some["expired"] == 3 and resumed["expired"] == 3
    assert verify(tmp_path / "t.jsonl").difference is None


@pytest.mark.parametrize("limit", [0, -1, float("inf"), "soon"])
def test_a_limit_is_some_seconds(limit: Any) -> None:
    with pytest.raises(foretell.ConfigError, match="variant_limit"):
        foretell.Settings.load({"variant_limit": limit})
