"""An outcome that is reported twice is told once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell import Ended
from foretell.replay.verify import verify
from foretell.streams import events as ev
from foretell.streams.log import read
from foretell.streams.repeats import Repeats
from foretell.testing import ScriptedModel, run_virtual, stamped, stamped_prompts
from foretell.testing.stamps import Stamp

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
SAID = "outcome of action 'a' is reported twice, and told once"


class Table:
    """A session with an action to resolve, and the tellings that came to an end."""

    def __init__(self, session: foretell.Session[Any]) -> None:
        self.session = session
        self.ends: list[Any] = []
        session.subscribe(lambda e: self.ends.append(e) if isinstance(e, Ended) else None)

    def declare(self, **given: Any) -> foretell.Action[Any]:
        return self.session.declare("mira", "sword", target="goblin", action_id="a", **given)


@asynccontextmanager
async def table(**given: Any) -> AsyncIterator[Table]:
    model = ScriptedModel(stamped)
    settings = {"intensity": "off", **given}
    async with foretell.Game(settings, model=model, prompts=stamped_prompts) as game:
        session = await game.session("table")
        session.update(STATE)
        session.begin_turn("mira")
        yield Table(session)


@pytest.mark.parametrize("wait", [0.0, 0.03, 0.1])
async def test_reported_twice_it_has_one_telling_and_a_warning(
    wait: float, caplog: pytest.LogCaptureFixture
) -> None:  # bad luck
    async with table() as t:
        action = t.declare()
        first = action.outcome("hit", damage=3)
        await asyncio.sleep(wait)
        with caplog.at_level(logging.WARNING, "foretell"):
            second = action.outcome("hit", damage=3)
        assert second is first and SAID in caplog.text
        await second
        await asyncio.sleep(30)
        assert [len(end.outcomes) for end in t.ends] == [1]
        assert t.session.report()["outcomes"] == 1


async def test_it_joins_what_was_told_with_others() -> None:
    async with table() as t:
        for _ in range(2):
            t.session.outcome("goblin", "claw", "miss", target="mira")
        action = t.declare()
        first = action.outcome("miss")
        second = action.outcome("miss")
        await first
        assert second is first and second.ended is t.ends[-1]
        assert [len(end.outcomes) for end in t.ends] == [1, 2]


@pytest.mark.parametrize(
    "again",
    [
        {"result": "hit", "damage": 4},
        {"result": "miss", "damage": 3},
        {"result": "hit", "damage": 3, "to": "mira"},
    ],
)
async def test_another_result_or_for_others_it_is_another_outcome(again: dict[str, Any]) -> None:
    async with table(overlap="queue") as t:
        action = t.declare()
        tellings = [action.outcome("hit", damage=3), action.outcome(**again)]
        for telling in tellings:
            await telling
        assert len(t.ends) == 2


@pytest.mark.parametrize("state", ["with it", "behind it", "none"])
async def test_darts_of_one_action_are_as_many_as_are_thrown(state: str) -> None:  # G1, G2
    async with table(overlap="queue") as t:
        action = t.declare()
        tellings = []
        for hp in (9, 6, 3):
            goblin = {**STATE["actors"]["goblin"], "hp": hp}
            shown = {**STATE, "actors": {**STATE["actors"], "goblin": goblin}}
            with_it = {"state": shown} if state == "with it" else {}
            tellings.append(action.outcome("hit", damage=3, **with_it))
            if state == "behind it":
                t.session.update(shown, because=action)
            if state == "none":
                await asyncio.sleep(0.2)
        for telling in tellings:
            await telling
        assert len(set(map(id, tellings))) == len(t.ends) == 3
        if state == "behind it":
            told = [said for end in t.ends for said in Stamp.read(end.text)]
            assert [float(said.hp) for said in told] == [9, 6, 3]


async def test_after_more_than_a_moment_it_is_another_outcome() -> None:
    async with table() as t:
        action = t.declare()
        first = action.outcome("miss")
        await asyncio.sleep(0.11)
        second = action.outcome("miss")
        await second
        assert second is not first and len(t.ends) == 2


async def test_what_was_declared_anew_or_is_undone_may_come_to_the_same() -> None:
    async with table(overlap="queue") as t:
        tellings = [t.declare().outcome("miss"), t.declare().outcome("miss")]
        await asyncio.sleep(30)
        action = t.declare()
        await asyncio.sleep(1)
        before = t.session.world.revision
        tellings.append(action.outcome("miss"))
        await asyncio.sleep(0.1)
        t.session.rewind(before)
        tellings.append(action.outcome("miss"))
        await asyncio.sleep(30)
        assert len(set(map(id, tellings))) == len(tellings) == len(t.ends)


async def test_blows_of_no_declared_action_are_as_many_as_are_said() -> None:
    async with table(overlap="queue") as t:
        for telling in [t.session.outcome("mira", "sword", "miss", target="goblin")] * 3:
            await telling
        for telling in [t.session.outcome("mira", "bow", "miss") for _ in range(3)]:
            await telling
        assert len(t.ends) == 4


def test_the_state_that_comes_with_it_is_taken_and_the_log_has_one_outcome(tmp_path: Path) -> None:
    async def main() -> None:
        async with table(log_dir=str(tmp_path)) as t:
            action = t.declare()
            await asyncio.sleep(1)
            for _ in range(2):
                told = action.outcome("hit", damage=3, state={**STATE, "hp": 8})
            await told
            assert t.session.world.state["hp"] == 8

    run_virtual(main())
    log = tmp_path / "table.jsonl"
    kinds = [record.kind for record in read(log)]
    assert (kinds.count("outcome"), kinds.count("state")) == (1, 2)
    game = lambda given: foretell.Game(given, prompts=stamped_prompts)  # noqa: E731
    assert verify(log, game).difference is None


def test_what_is_older_than_a_moment_is_forgotten() -> None:
    known = Repeats[int]()
    for n in range(100):
        known.note(ev.Outcome(0.0, (), f"a{n}"), n / 100, n)
    assert len(known._latest) <= 11
    assert known.of(ev.Outcome(5.0, (), "a99"), 1.0) == 99
