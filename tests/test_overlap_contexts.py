"""What becomes of outcomes that come while another is told: by setting, and by context."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import jsonpatch
import orjson
import pytest

import foretell
from foretell import Ended, Started
from foretell.errors import ConfigError
from foretell.replay.verify import verify
from foretell.streams.importers import convert_file
from foretell.streams.models import Request
from foretell.testing import Script, ScriptedModel, run_virtual, stamped, stamped_prompts

BY_CONTEXT = {"combat": "conflate", "dialogue": "interrupt", "exploration": "queue"}
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "ilse": {"name": "Ilse", "side": "town", "hp": 9, "max_hp": 9},
    },
}


def slow(request: Request, number: int) -> Script:
    """Each telling takes its time."""
    return Script(stamped(request, number), ttft=3)


class Table:
    """A session with a model that takes some seconds for each telling, and its events."""

    def __init__(self, session: foretell.Session[Any]) -> None:
        self.session = session
        self.events: list[Any] = []
        session.subscribe(self.events.append)

    def blows(self, count: int) -> list[Any]:
        """So many outcomes at once."""
        return [self.session.outcome("mira", f"{n}", "miss", target="ilse") for n in range(count)]

    @property
    def groups(self) -> list[int]:
        """How many outcomes each telling had that was begun."""
        return [len(event.outcomes) for event in self.events if isinstance(event, Started)]

    @property
    def ends(self) -> list[str]:
        return [str(event.status) for event in self.events if isinstance(event, Ended)]


@asynccontextmanager
async def table(mode: str, **given: Any) -> AsyncIterator[Table]:
    settings = {"intensity": "off", "overlap": BY_CONTEXT, **given}
    model = ScriptedModel(slow)
    async with foretell.Game(settings, model=model, prompts=stamped_prompts) as game:
        session = await game.session("table")
        session.update({**STATE, "mode": mode})
        await asyncio.sleep(1)
        yield Table(session)


@pytest.mark.parametrize(
    ("mode", "groups", "ends"),
    [
        ("combat", [1, 2], ["done"] * 2),
        ("exploration", [1, 1, 1], ["done"] * 3),
        ("idle", [1, 2], ["done"] * 2),
    ],
)
async def test_each_context_has_a_policy_of_its_own(
    mode: str, groups: list[int], ends: list[str]
) -> None:
    async with table(mode) as t:
        for telling in t.blows(3):
            await telling
        assert (t.groups, t.ends) == (groups, ends)


async def test_what_is_said_ends_the_answer_before_it_and_a_fight_goes_on_in_groups() -> None:
    async with table("dialogue") as t:
        t.blows(1)
        await asyncio.sleep(2)
        [answer] = t.blows(1)
        await answer
        assert t.ends == ["superseded", "done"]
        t.session.update(STATE)
        for telling in t.blows(3):
            await telling
        assert t.ends == ["superseded", *["done"] * 3]


async def test_the_context_is_that_in_which_an_outcome_came() -> None:
    async with table("combat") as t:
        first = t.blows(3)
        await asyncio.sleep(1)
        t.session.update({**STATE, "mode": "exploration"})
        later = t.blows(2)
        for telling in (*first, *later):
            await telling
        assert t.groups == [1, 2, 1, 1]


def test_it_changes_while_the_game_runs_and_comes_again_from_the_log(tmp_path: Path) -> None:
    async def main() -> None:
        async with table("dialogue", log_dir=str(tmp_path)) as t:
            t.blows(1)
            t.session.apply({"overlap": {"dialogue": "queue"}})
            await asyncio.sleep(0)
            for telling in t.blows(2):
                await telling
            assert t.ends == ["done"] * 3
            t.session.apply({"overlap": {}})
            await asyncio.sleep(0)
            for telling in t.blows(3):
                await telling
            assert t.groups == [1, 1, 1, 1, 2]

    run_virtual(main())
    log = tmp_path / "table.jsonl"
    again = verify(log, lambda given: foretell.Game(given, prompts=stamped_prompts))
    assert again.difference is None


@pytest.mark.parametrize(
    ("overlap", "wrong"),
    [
        ("never", "overlap: no overlap 'never'; there are conflate, interrupt, queue"),
        ({"combat": 3}, "overlap: no overlap 3; there are conflate, interrupt, queue"),
        (
            {"brawl": "queue"},
            "overlap: no context 'brawl'; there are combat, exploration, dialogue, idle",
        ),
    ],
)
def test_what_is_no_policy_is_named(overlap: Any, wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        foretell.Settings.load({"overlap": overlap})


async def test_of_seven_attacks_in_a_second_the_first_is_told_at_once_the_rest_in_one_telling(
    data: Path, tmp_path: Path
) -> None:  # 8-8
    log = tmp_path / "night.jsonl"
    convert_file("nwn", data / "nwn" / "lalaland_04-03_full.log", log)
    lines = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    struck = [line["t"] for line in lines if line["kind"] == "outcome"]
    second = next(t for t in struck if struck.count(t) == 7)
    state: dict[str, Any] = {}
    for line in lines:
        if line["t"] < second and line["kind"] == "state":
            state = line["state"]
        elif line["t"] < second and line["kind"] == "patch":
            state = jsonpatch.apply_patch(state, line["patch"])
    attacks = [line for line in lines if line["t"] == second and line["kind"] == "outcome"]
    async with table("combat") as t:
        t.session.update(state)
        await asyncio.sleep(1)
        began = asyncio.get_running_loop().time()
        tellings = []
        for each in attacks:
            action, results = each["action"], each["results"]
            tellings.append(t.session.outcome(each["actor"], action, results=results))
            await asyncio.sleep(1 / 7)
        for telling in tellings:
            await telling
        first, rest = [event for event in t.events if isinstance(event, Started)]
        [end, _] = [event for event in t.events if isinstance(event, Ended)]
        assert (first.t, len(first.outcomes)) == (began, 1)
        assert (rest.t, len(rest.outcomes)) == (end.t, 6)
        assert t.ends == ["done", "done"]
