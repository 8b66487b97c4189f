"""The guarantee checker on sessions of one's own."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.streams import events as ev
from foretell.streams.models import Delta, ModelEvent, Request, Stop
from foretell.testing import (
    Broken,
    Script,
    ScriptedModel,
    guarantees,
    instant,
    run_virtual,
    stamped,
    stamped_prompts,
)
from foretell.testing.standing import Standing

OFF = {"intensity": "off"}
STATE = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 21, "max_hp": 21},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 30, "max_hp": 30},
    },
}


async def test_a_sound_session_passes_with_any_prompts_and_model() -> None:
    class Plain:
        async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
            await asyncio.sleep(1)
            for piece in ('{"text": "The ', "goblin ", 'reels."}'):
                await asyncio.sleep(0.1)
                yield Delta(piece)
            yield Stop("end_turn")

        async def aclose(self) -> None:
            pass

    async with foretell.Game(model=Plain()) as game:
        session = await game.session("own")
        with guarantees(session, ["gm"]) as held:
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "longsword", target="goblin")
            await instant()
            held.check()
            assert len(held.known.streams) > 1
            await asyncio.sleep(0.3)
            session.update({**STATE, "location": {"name": "elsewhere"}})
            await instant()
            held.check()
            closed = [each for each in held.known.streams if each.closed_at is not None]
            assert closed and all(each.gone_at == each.closed_at for each in closed)
            await asyncio.sleep(5)
            assert (await action.outcome("hit", damage=4)).text == "The goblin reels."
            await session.close()


async def test_stamped_texts_are_judged_word_by_word() -> None:
    model = ScriptedModel(lambda request, number: Script({"text": stamped(request, number)}))
    async with foretell.Game(model=model, prompts=stamped_prompts) as game:
        session = await game.session("own")
        with guarantees(session) as held:
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "longsword", target="goblin")
            await asyncio.sleep(5)
            text = (await action.outcome("hit", damage=4, target_hp=26)).text
            await instant()
            held.check()
            assert "|longsword|goblin|hit|4|26|Goblin⟧" in text


@pytest.mark.parametrize(
    ("right", "wrong"),
    [("|hit|", "|miss|"), ("|goblin|", "|mira|"), ("|4|", "|7|"), ("|hit|4|", "|kill|4|")],
)
async def test_an_untrue_text_is_found(right: str, wrong: str) -> None:
    def lie(request: Request, number: int) -> Script:
        return Script({"text": stamped(request, number).replace(right, wrong, 1)})

    async def played(session: foretell.Session[foretell.Narration]) -> None:
        with guarantees(session):
            session.update(STATE)
            hit = {"target": "goblin", "result": "hit", "values": {"damage": 4, "target_hp": 26}}
            await session.outcome("mira", "longsword", results=[hit])

    async with foretell.Game(OFF, model=ScriptedModel(lie), prompts=stamped_prompts) as game:
        with pytest.raises(Broken, match="is untrue") as raised:
            await played(await game.session("own"))
        assert raised.value.guarantee == "G1"


async def test_what_was_found_first_is_raised_at_the_end_of_the_block() -> None:
    def found(session: foretell.Session[foretell.Narration]) -> None:
        with guarantees(session) as held:
            held.known.broke("G3", "too much")
            held.known.broke("G4", "only the first counts")

    async with foretell.Game(model=ScriptedModel()) as game:
        session = await game.session("own")
        with pytest.raises(Broken, match=r"G3 is broken at 0\.000 s: too much"):
            found(session)


async def test_a_session_that_was_closed_in_the_block_may_leave_nothing() -> None:
    leases = []

    async def played(session: foretell.Session[foretell.Narration]) -> None:
        with guarantees(session):
            session.update(STATE)
            session.begin_turn("mira")
            session.declare("mira", "longsword", target="goblin")
            await asyncio.sleep(5)
            leases.extend(each.lease() for each in session.generations.live)
            await session.close()

    async with foretell.Game(model=ScriptedModel()) as game:
        with pytest.raises(Broken, match=r"G4 .*left behind"):
            await played(await game.session("own"))
    assert leases


async def test_a_game_may_know_what_the_inputs_do_not_say() -> None:
    """The state after an outcome decides who fell, and what a text may say of it."""

    async def played(session: foretell.Session[foretell.Narration]) -> None:
        with guarantees(session) as held:
            session.update(STATE)
            telling = session.outcome("mira", "axe", "hit", target="goblin", damage=30)
            held.expect(int(telling.id[1:]), [3], telling)
            await telling

    model = ScriptedModel(lambda request, number: Script({"text": stamped(request, number)}))
    async with foretell.Game(OFF, model=model, prompts=stamped_prompts) as game:
        with pytest.raises(Broken, match="fells one that stands with 3"):
            await played(await game.session("own"))


async def test_leaving_the_block_leaves_no_subscriber_behind() -> None:
    async with foretell.Game(model=ScriptedModel()) as game:
        session = await game.session("own")
        with guarantees(session) as held:
            session.update(STATE)
        await session.outcome("mira", "axe", "hit", target="goblin", damage=3)
        assert not held.known.events and not held.known.happenings


async def test_the_money_is_reckoned_from_what_was_sent() -> None:
    """Of what was closed as well; a report that says otherwise is found, to the token."""
    model = ScriptedModel(Script({"text": "It bites. " * 20}, delay=0.1))
    async with foretell.Game(model=model) as game:
        session = await game.session("own")
        with guarantees(session) as held:
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "longsword", target="goblin")
            await asyncio.sleep(1.2)  # all that is prepared is in its midst
            await action.outcome("hit", damage=4)
            await session.close()
            report = session.report()
            assert held.bills.wrong(report) is None and report["tokens"]["wasted"] > 100
            tokens, cost = report["tokens"], report["cost_usd"]
            for more, less in (("foreground", 0), ("foreground", -2), ("prefetch", -50)):
                counted = {**tokens, more: tokens[more] + (less or 2)}
                assert "tokens" in (held.bills.wrong({**report, "tokens": counted}) or "")
            for other in (10 * cost, 0.0):
                assert "were spent" in (held.bills.wrong({**report, "cost_usd": other}) or "")


def test_what_stands_is_what_led_here() -> None:
    standing = Standing()

    def take(*events: ev.Input) -> list[int]:
        for event in events:
            standing.take(standing.taken + 1, event)
        return [number for number, _ in reversed(list(standing.back()))]

    blow = ev.Outcome(2.0, (ev.Result("hit"),), "a")
    assert take(ev.State(0.0, {"n": 1}), ev.State(1.0, {"n": 2}), blow) == [1, 2, 3]
    assert standing.outcome("a") == standing.outcome("#3") == 3
    assert take(ev.Rewind(3.0, 1)) == [1, 4]
    assert standing.state() == {"n": 1} and standing.outcome("a") is None
    assert (standing.stands(1), standing.stands(3)) == (True, False)
    assert take(ev.Patch(4.0, [{"op": "replace", "path": "/n", "value": 9}])) == [1, 4, 5]
    assert standing.state() == {"n": 9}
    assert take(ev.Rewind(5.0, 2.0)) == [1, 2, 3, 6], "and forth again, by time"
    assert standing.stands(3) and standing.outcome("a") == 3 and standing.state() == {"n": 2}
    standing.take(99, ev.State(6.0, {}))
    assert not standing.whole and standing.stands(98)


def test_the_documentation_does_what_it_says() -> None:
    """The blocks of ``docs/testing.md``, one after the other, and each test in them."""
    text = (Path(__file__).parent.parent / "docs/testing.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(block, names)
    tests = [name for name in names if name.startswith("test_")]
    assert len(tests) == 4
    for name in tests:
        if (played := names[name]()) is not None:
            run_virtual(played)
