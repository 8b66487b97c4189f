"""A session as a game uses it: what it says, what it gets, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

import foretell
from foretell import Ended, Patched, Served, Started, StateError
from foretell.operators.partials import apply
from foretell.streams import events as ev
from foretell.streams.clock import VirtualLoop
from foretell.streams.log import LogError, read, to_event, validate
from foretell.streams.models import ModelCut, ModelRefusedKey
from foretell.testing import Script, ScriptedModel, instant, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 12, "max_hp": 12},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 12, "max_hp": 12},
    },
}

TEXT = 'The blade bites. "Enough!" cries Mira. It is over.'
SLOW = Script({"text": TEXT, "lines": [], "cues": []}, ttft=1.0, delay=0.25, chunk=5)


def after(hp: float) -> dict[str, Any]:
    state = deepcopy(STATE)
    state["actors"]["goblin-2"]["hp"] = hp
    return state


def now() -> float:
    return asyncio.get_running_loop().time()


@asynccontextmanager
async def opened(
    answers: Any = SLOW, *, state: Any = STATE, **given: Any
) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = ScriptedModel(answers)
    async with foretell.Game(given, model=model) as game:
        session = await game.session("table-7")
        if state is not None:
            session.update(state)
        yield session, model
    assert not model.open


def miss(session: foretell.Session[Any], **more: Any) -> foretell.Telling[Any]:
    return session.outcome("mira", "longsword", "miss", target="goblin-2", **more)


# ── the ten lines ────────────────────────────────────────────────────────────────────────────────


class Beat(BaseModel):
    text: str
    mood: str = "grim"


class MyPrompts:
    def __call__(self, scene: Any, action: Any, outcome: Any, memory: str, content: Any) -> str:
        return f"{action.actor} does {action.action['name']}: {outcome.entries[0].happened.result}"


async def test_the_ten_lines_work_as_written(tmp_path: Path) -> None:
    config = tmp_path / "campaign.toml"
    config.write_text('narrator_profile = "instant"\n', encoding="utf-8")
    model = ScriptedModel(Script({"text": TEXT, "mood": "calm"}, delay=0.1))
    game = foretell.Game(config, prompts=MyPrompts(), narration=Beat, model=model)
    session = await game.session("table-7")
    session.update(STATE)
    session.begin_turn("mira")
    action = session.declare("mira", "longsword", target="goblin-2")
    await asyncio.sleep(0.55)
    telling = action.outcome("hit", damage=9, state=after(3), to=["mira", "gm"])
    shown = [(now(), text) async for text in telling.text(every=0.2)]
    assert shown[-1][1] == TEXT
    gaps = [b[0] - a[0] for a, b in pairwise(shown)]
    assert all(gap >= 0.2 - 1e-9 for gap in gaps[:-1]) and len(shown) >= 3
    assert [sentence async for sentence in telling.sentences()] == [
        "The blade bites.",
        '"Enough!" cries Mira.',
        "It is over.",
    ]
    value: Any = {}
    async for patch in telling.patches():
        value = apply(value, patch)
    assert value == {"text": TEXT, "mood": "calm"}
    partials = [partial async for partial in telling]
    assert partials[0].text == TEXT[: len(partials[0].text)] != TEXT
    assert "mood" not in partials[0] and not partials[0].done("text")
    assert partials[-1].final == await telling == Beat(text=TEXT, mood="calm")
    telling.delivered(16, "mira")
    await instant()
    assert session.transcript.text("mira") == "The blade bites."
    assert session.transcript.text("gm") == TEXT
    assert session.transcript.text("bard") == ""
    assert model.streams[0].request.messages[0].text == "mira does longsword: hit"
    await game.aclose()


async def test_prompts_may_be_given_as_a_class_too() -> None:
    model = ScriptedModel()
    async with foretell.Game(model=model, prompts=MyPrompts) as game:
        session = await game.session("x")
        await miss(session)
    assert model.streams[0].request.messages[0].text == "mira does longsword: miss"


@pytest.mark.parametrize(
    ("said", "told"),
    [
        (None, "not None"),
        ([{"role": "user", "text": "go on"}], "not [{'role': 'user', 'text': 'go on'}]"),
        (7, "not 7"),
        (KeyError("boo"), "raised KeyError('boo')"),
    ],
)
async def test_prompts_that_are_none_say_so(said: Any, told: str) -> None:  # G2
    def mine(*given: Any) -> Any:
        if isinstance(said, Exception):
            raise said
        return said

    async with foretell.Game(model=ScriptedModel(), prompts=mine) as game:
        session = await game.session("x")
        with pytest.raises(foretell.TellingError) as caught:
            await miss(session)
    assert caught.value.kind == "prompts" and caught.value.fallback
    assert told in str(caught.value) and "mine" in str(caught.value)


async def test_prompts_may_give_messages_as_the_api_has_them() -> None:
    said = [{"role": "user", "content": "Go on."}, {"role": "assistant", "content": "Once"}]
    model = ScriptedModel()
    async with foretell.Game(model=model, prompts=lambda *given: said) as game:
        await miss(await game.session("x"))
    sent = model.streams[0].request.messages
    assert [(each.role, each.text) for each in sent] == [("user", "Go on."), ("assistant", "Once")]


async def test_a_result_is_one_word_or_a_list_and_known_however_it_is_spelt() -> None:
    async with opened() as (session, _):
        action = session.declare("mira", "axe", target="goblin-2")
        one = [{"target": "goblin-2", "result": "Miss"}]
        for further in ({"result": "hit"}, {"damage": 3}):
            with pytest.raises(StateError, match="results stand in the place of"):
                action.outcome(results=one, **further)
        assert session.world.outcomes == 0
        for given, known in (("Hit", "hit"), (" crit", "critical"), ("Parried", "Parried")):
            await session.outcome("mira", "axe", given, target="goblin-2")
            assert session.world.recent[-1].results[0].result == known
        telling = action.outcome(results=one)
        await telling
        assert session.world.recent[-1].results[0].result == "miss"
    telling.delivered(3, "gm")  # a viewer may be the last to hear that it is over


@pytest.mark.parametrize("nameless", ["", " \n", {"type": "attack", "name": ""}], ids=repr)
async def test_an_action_has_a_name_if_it_gives_one(nameless: Any) -> None:
    async with opened() as (session, _):
        with pytest.raises(StateError, match="this one is empty"):
            session.declare("mira", nameless, target="goblin-2")
        with pytest.raises(StateError, match="this one is empty"):
            session.outcome("mira", nameless, "hit")
        assert not session.world.actions
        assert session.declare("mira", {"type": "dodge"}), "a type says what it is"


async def test_values_may_stand_beside_a_result_and_must_be_numbers_where_one_reckons() -> None:
    async with opened() as (session, model):
        action = session.declare("mira", "axe", target="goblin-2")
        for wrong in ("9", -1, True, float("nan"), [9]):
            with pytest.raises(StateError, match="damage"):
                action.outcome("hit", damage=wrong)
            with pytest.raises(StateError, match="damage"):
                action.outcome(results=[{"target": "goblin-2", "result": "hit", "damage": wrong}])
        with pytest.raises(StateError, match="target_hp must be a number"):
            action.outcome(results=[ev.Result("hit", "goblin-2", {"target_hp": "few"})])
        with pytest.raises(StateError, match="values must be a mapping"):
            action.outcome(results=[{"result": "hit", "values": [9]}])
        assert session.world.outcomes == 0
        flat = {"target": "goblin-2", "result": "hit", "damage": 12, "note": "x"}
        telling = action.outcome(results=[flat])
        await telling
        (outcome,) = session.world.recent
        assert outcome.results[0].values == {"damage": 12, "note": "x"}
        request = model.streams[-1].request
        assert '"result":"kill"' in request.messages[-1].text.replace(" ", "")


def foreground(model: ScriptedModel) -> list[str]:
    requests = [stream.request for stream in model.streams]
    return [each.messages[-1].text for each in requests if each.purpose == "foreground"]


@pytest.mark.parametrize("order", ["with it", "before", "after", "before, named"])
async def test_one_who_is_slain_and_taken_off_the_board_is_told_as_fallen(order: str) -> None:
    """G1: games remove the dead; no text of a survivor may come through."""
    gone = deepcopy(STATE)
    del gone["actors"]["goblin-2"]
    answer = {"text": "It stands.", "lines": [], "cues": []}
    async with opened(Script(answer)) as (session, model):
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(3)
        if order.startswith("before"):
            session.update(gone, because=action if "named" in order else None)
        if order == "before":
            await asyncio.sleep(3)
        telling = action.outcome("hit", damage=12, state=gone if order == "with it" else None)
        if order == "after":
            session.update(gone, because=action)
        await telling
        assert session.report()["untrue"] == 0
        told = [each for each in model.streams if '"result":"kill"' in each.prompt]
        assert ['"target":"Goblin 2"' in each.prompt for each in told] == [True]
        seen_gone = order == "before"  # for three seconds, so that was time to prepare it
        assert len(foreground(model)) == (0 if seen_gone else 1)


async def test_a_state_of_an_action_declared_anew_corrects_none_of_before() -> None:  # G1
    async with opened(SLOW) as (session, model):
        first = session.declare("mira", "longsword", target="goblin-2", action_id="blow")
        before = first.outcome("hit", damage=3, state=after(4))
        await instant()
        second = session.declare("goblin-1", "dagger", target="goblin-2", action_id="blow")
        session.update(after(3), because=second)
        await asyncio.gather(before, second.outcome("hit", damage=1))
        assert [text.count('"target_hp":4') for text in foreground(model)] == [1, 0]


@pytest.mark.parametrize("side", [None, "players"])
async def test_where_no_side_is_known_anybody_may_be_the_target(side: str | None) -> None:
    state = deepcopy(STATE)
    for actor in state["actors"].values():
        actor.pop("side")
        actor |= {"side": side} if side else {}
    async with opened(Script({"text": TEXT}, ttft=0.5), state=state) as (session, _):
        for _turn in range(3):
            session.begin_turn("mira", options=[{"type": "attack", "name": "longsword"}])
            await asyncio.sleep(10)
            await session.outcome("mira", "longsword", "miss", target="goblin-2")
            session.end_turn()
        assert session.report()["served"]["hit"] >= 2


async def test_a_blow_past_one_who_is_gone_is_told_anew() -> None:  # G1
    gone = deepcopy(STATE)
    del gone["actors"]["goblin-2"]
    async with opened() as (session, model):
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(9)
        session.update(gone)
        await asyncio.sleep(9)
        await action.outcome("miss")
        (asked,) = foreground(model)
        assert '"result":"miss"' in asked and '"down"' not in asked  # it may have left


async def test_each_viewer_sees_what_happened_in_its_order() -> None:  # G7
    """What is told together is no shortcut past what others were shown in between."""
    audiences = (["gm"], ["gm"], [], ["gm"], ["bard"], ["gm", "mira"], ["bard"], ["gm"])
    async with opened(Script({"text": TEXT}, delay=0.01)) as (session, _):
        for each in [miss(session, to=to) for to in audiences]:
            await each
        for viewer in ("gm", "bard", "mira"):
            seen = [seen.outcomes for seen in session.transcript.tellings(viewer)]
            numbers = [number for outcomes in seen for number in outcomes]
            assert numbers == sorted(numbers)
        assert (6, 8) in [seen.outcomes for seen in session.transcript.tellings("bard")]


async def test_a_subscriber_may_close_a_session_that_is_being_closed() -> None:
    async with opened(Script({"text": TEXT})) as (session, _):

        async def closes(event: foretell.Narrative) -> None:
            if isinstance(event, Ended):
                await asyncio.sleep(1)
                await session.close()

        session.subscribe(closes)
        miss(session)
        begun = now()
        await session.close()
        assert 1 <= now() - begun < 3


async def test_a_model_that_minds_no_cancellation_cannot_hold_up_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:  # G2, G10
    let_go = asyncio.Event()

    class Stubborn:
        async def stream(self, request: Any) -> AsyncIterator[Any]:
            while not let_go.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await let_go.wait()
            return
            yield

        async def aclose(self) -> None:
            pass

    async with foretell.Game(model=Stubborn()) as game:
        session = await game.session("x")
        telling = miss(session)
        begun = now()
        await session.close(drain=1)
        assert now() - begun < 15
        with pytest.raises(foretell.TellingError):
            await telling
    assert "goes on though it is cancelled" in caplog.text
    let_go.set()
    await instant()


@pytest.mark.parametrize("moves", [True, False])
async def test_what_died_while_its_telling_waited_is_generated_anew(moves: bool) -> None:  # G1
    """Half a text from before the party moved on is no text, nor is it one that might be whole."""

    def answer(request: Any, number: int) -> Script:
        if request.purpose == "prefetch":
            cut = ModelCut("the stream died")
            return Script({"text": "On the mill's bridge it bites."}, 1.0, 0.1, chunks=6, error=cut)
        return Script({"text": f"Afresh, {number}. " + "It goes on. " * 20}, 0.5, 0.1)

    async with opened(answer) as (session, _):
        session.begin_turn("mira")
        session.outcome("goblin-1", "claw", "hit", target="mira", damage=1)
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(1.3)  # its variants stream
        telling = action.outcome("hit", damage=3)
        await asyncio.sleep(0.8)  # they have died, and the one before is still being told
        if moves:
            session.update({**STATE, "location": {"id": "cave", "name": "Cave"}})
        assert (await telling).text.startswith("Afresh")
        assert telling.ended is not None and telling.ended.served == (Served.MISS,)
        assert session.report()["stale"] == 0


async def test_latency_counts_from_when_the_game_said_it() -> None:
    """What the loop was busy with meanwhile is waiting, too."""
    async with opened() as (session, _):
        session.begin_turn("mira")
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(60)
        telling = action.outcome("hit", damage=9)
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        loop.advance_to(loop.time() + 1.5)
        await telling
        assert session.report()["served"]["hit"] == 1
        assert session.report()["latency_ms"]["mean"] == 1500


async def test_a_subscriber_whose_own_task_was_cancelled_spoils_nothing() -> None:  # G2, G10
    async with opened() as (session, _):
        seen: list[str] = []

        def reads(event: foretell.Narrative) -> None:
            raise asyncio.CancelledError

        async def awaits(event: foretell.Narrative) -> None:
            raise asyncio.CancelledError

        session.subscribe(reads)
        session.subscribe(awaits)
        session.subscribe(lambda event: seen.append(type(event).__name__))
        assert (await miss(session)).text == TEXT
        await instant()
        assert seen[0] == "Started" and seen[-1] == "Ended"
        assert session.report()["faults"] >= 4


async def test_several_targets_each_with_a_result() -> None:
    async with opened() as (session, _):
        session.begin_turn("mira")
        action = session.declare("mira", "fireball", type="cast", target=["goblin-1", "goblin-2"])
        telling = action.outcome(
            results=[
                {"target": "goblin-1", "result": "failure", "values": {"damage": 12}},
                foretell.Result("success", "goblin-2", {"damage": 6}),
            ]
        )
        assert await telling


# ── states and other inputs ──────────────────────────────────────────────────────────────────────


@dataclasses.dataclass
class Actor:
    name: str
    hp: int


@dataclasses.dataclass
class Whole:
    mode: str
    actors: dict[str, Actor]


class Modelled(BaseModel):
    mode: str
    actors: dict[str, dict[str, Any]]


@pytest.mark.parametrize(
    "state",
    [
        {"mode": "combat", "actors": {"mira": {"name": "Mira", "hp": 3}}},
        Whole("combat", {"mira": Actor("Mira", 3)}),
        Modelled(mode="combat", actors={"mira": {"name": "Mira", "hp": 3}}),
    ],
    ids=["dict", "dataclass", "pydantic"],
)
async def test_a_state_may_be_of_three_kinds(state: Any) -> None:
    async with opened(state=state) as (session, _):
        await instant()
        assert session.world.state == {
            "mode": "combat",
            "actors": {"mira": {"name": "Mira", "hp": 3}},
        }


async def test_what_the_game_does_to_its_objects_later_changes_nothing() -> None:
    async with opened(state=None) as (session, _):
        state, values, action = (
            after(3),
            {"hurts": [1]},
            {"name": "bow", "type": "attack", "x": [1]},
        )
        session.update(state)
        declared = session.declare("mira", action)
        declared.outcome(results=[{"target": "goblin-2", "result": "hit", "values": values}])
        state["actors"].clear()
        values["hurts"].append(2)
        action["x"].append(2)  # type: ignore[attr-defined]
        await instant()
        assert session.world.state == after(3)
        assert session.world.recent[-1].results[0].values == {"hurts": [1]}
        assert session.world.actions[declared.id].action["x"] == [1]


def deep(levels: int) -> Any:
    state: Any = {}
    for _ in range(levels):
        state = {"in": state}
    return state


@pytest.mark.parametrize(
    ("state", "said"),
    [
        pytest.param({"a": object()}, "not JSON", id="object"),
        pytest.param([1, 2], "object at the top", id="list"),
        pytest.param({1, 2}, "object at the top", id="set"),
        pytest.param(deep(10_000), "levels", id="deep"),
        pytest.param({"a": "x" * 50_000_000}, "more than the limit", id="large"),
        pytest.param({"a": "\ud800"}, "not JSON", id="surrogate"),
        pytest.param({"a": 2**70}, "not JSON", id="integer"),
    ],
)
async def test_a_bad_state_is_one_clear_line_and_spoils_nothing(state: Any, said: str) -> None:
    async with opened() as (session, _):
        with pytest.raises(StateError, match=said) as error:
            session.update(state)
        assert "\n" not in str(error.value)
        await miss(session)
        assert session.world.state == STATE


@pytest.mark.parametrize(
    "say",
    [
        lambda s: s.declare("mira", {"type": "attack", "name": object()}),
        lambda s: s.declare("mira\ud800", "bow"),
        lambda s: s.declare(7, "bow"),
        lambda s: s.declare("mira", "bow", target=[1, 2]),
        lambda s: s.declare("mira", "bow", odds=[0.5]),
        lambda s: s.begin_turn(None),
        lambda s: s.begin_turn("mira", options=[{"name": "no type"}]),
        lambda s: s.end_turn(),
        lambda s: s.say("mira", b"bytes"),
        lambda s: s.need(3),
        lambda s: s.rewind(-1),
        lambda s: s.rewind(float("nan")),
        lambda s: miss(s, damage=object()),
        lambda s: s.outcome("mira", "bow"),
        lambda s: s.outcome("mira", "bow", results=[]),
        lambda s: s.outcome("mira", "bow", results=[{"target": "goblin-2"}]),
        lambda s: s.outcome("mira", "bow", 5),
        lambda s: s.outcome("mira", "bow", "hit", state=[1]),
        lambda s: s.declare("mira", "bow").outcome("hit", state=[1]),
        lambda s: s.declare("mira", "bow").outcome("hit", damage=2**70),
        lambda s: s.begin_turn("mira", options=["longsword"]),
        lambda s: s.begin_turn("mira", options=3),
        lambda s: s.begin_turn("mira", turn=3),
        lambda s: s.declare("mira", None),
        lambda s: s.declare("mira", "bow", target=3),
        lambda s: s.retract(None),
        lambda s: s.retract(3),
        lambda s: s.update({}, because=3),
        lambda s: s.outcome("mira", "bow", results={"goblin-2": "hit"}),
        lambda s: s.outcome("mira", "bow", results="hit"),
        lambda s: s.outcome("mira", "bow", results=["result"]),
        lambda s: s.outcome("mira", "bow", results=3),
        lambda s: s.outcome("mira", "bow", results=[{"result": "hit", "values": 3}]),
        lambda s: miss(s, to=3),
        lambda s: s.declare("mira", "bow").outcome("hit", results=3),
        lambda s: s.declare("mira", "bow").outcome("hit", to=3),
        lambda s: s.declare("mira", "bow", odds={"hit": 0.9, "miss": 0.3}),
        lambda s: s.declare("mira", "bow", odds={"hit": float("nan"), "miss": 0.3}),
        lambda s: s.subscribe(None),
        lambda s: s.declare("mira", "bow", odds={"hit": 1.5, "miss": -0.5}),
        lambda s: s.declare("mira", "bow", odds={"goblin-1": {"hit": 0.2}}),
        lambda s: s.declare("mira", "bow", odds={}),
        lambda s: s.put(lambda t: ev.Action(t, "a", None, "mira", {"type": "use"}, {"hit": 3})),
    ],
    ids=range(43),
)
async def test_other_bad_inputs_are_refused_where_they_come_in(say: Any) -> None:
    async with opened() as (session, _):
        with pytest.raises(StateError) as error:
            say(session)
        assert "\n" not in str(error.value)
        assert await miss(session)
        assert session.report()["faults"] == 0


async def test_values_that_are_null_are_none() -> None:
    async with opened() as (session, _):
        telling = session.outcome("mira", "bow", results=[{"result": "hit", "values": None}])
        assert await telling
        assert session.world.recent[-1].results[0].values == {}


async def test_a_turn_id_is_used_once_and_made_up_ones_avoid_those_given(tmp_path: Path) -> None:
    for known in ([], ["mine", "turn-2", "turn-1", "turn-3"]):
        async with opened(log_dir=str(tmp_path)) as (session, _):
            for turn in known:
                with pytest.raises(StateError, match=f"turn id '{turn}' was used before"):
                    session.begin_turn("mira", turn=turn)
            if not known:
                session.begin_turn("mira", turn="mine")
                session.begin_turn("mira", turn="turn-2")
                assert [session.begin_turn("mira") for _ in range(2)] == ["turn-1", "turn-3"]
                with pytest.raises(StateError, match="turn id 'mine' was used before"):
                    session.begin_turn("mira", turn="mine")
                with pytest.raises(StateError):
                    session.begin_turn("mira", turn="later", deadline=-1)
                session.begin_turn("mira", turn="later")
            else:
                assert session.begin_turn("mira") == "turn-6"
    assert validate(tmp_path / "table-7.jsonl").errors == []


class Interrupted:
    """A lock's stand-in for another thread: it speaks whenever the inputs are let go of."""

    def __init__(self, session: foretell.Session[Any], speak: Any) -> None:
        self._put = session._pipeline.inputs.put
        self._speak = speak
        session._pipeline.inputs.put = self  # type: ignore[method-assign, assignment]
        self._session = session

    def __call__(self, *given: Any, **named: Any) -> int:
        number: int = self._put(*given, **named)
        self._session._pipeline.inputs.put = self._put
        thread = threading.Thread(target=self._speak)
        thread.start()
        thread.join(0.2)  # it ends at once where nothing holds it up
        self.thread = thread
        return number


@pytest.mark.parametrize(
    ("first", "turn"),
    [
        (lambda s: s.begin_turn("mira"), "turn-2"),
        (lambda s: s.end_turn(), None),
        (lambda s: s.rewind(0.0), None),
    ],
    ids=["begin", "end", "rewind"],
)
async def test_what_another_thread_declares_is_of_the_turn_it_comes_in(
    first: Any, turn: str | None
) -> None:
    async with opened(intensity="off") as (session, _):
        session.begin_turn("goblin-1")
        heard: list[ev.Action] = []
        session._pipeline.inputs.subscribe(
            lambda each: heard.append(each.event) if isinstance(each.event, ev.Action) else None
        )
        between = Interrupted(session, lambda: session.declare("mira", "bow"))
        first(session)
        between.thread.join()
        await instant()
        assert [action.turn for action in heard] == [turn]


async def test_an_outcome_with_its_state_is_said_in_one_piece() -> None:
    async with opened(intensity="off") as (session, _):
        heard: list[str] = []
        session._pipeline.inputs.subscribe(lambda each: heard.append(type(each.event).__name__))
        between = Interrupted(session, lambda: session.begin_turn("goblin-1"))
        telling = session.outcome("mira", "bow", "hit", target="goblin-2", state=after(3))
        between.thread.join()
        assert await telling
        assert heard[-4:] == ["Action", "State", "Outcome", "Turn"]


async def test_nothing_comes_after_the_end_from_another_thread(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path)) as (session, _):
        refused: list[StateError] = []

        def late() -> None:
            try:
                session.say("mira", "wait!")
            except StateError as error:
                refused.append(error)

        between = Interrupted(session, late)
        await session.close()
        between.thread.join()
        assert len(refused) == 1 and "closed" in str(refused[0])
    assert kinds(tmp_path / "table-7.jsonl")[-1] == "end"


@pytest.mark.parametrize(
    "say",
    [
        lambda s: s.update(STATE),
        lambda s: s.begin_turn("mira"),
        lambda s: s.declare("mira", "bow"),
        miss,
        lambda s: s.put(lambda t: ev.Say(t, "mira", "ha!")),
    ],
    ids=range(5),
)
async def test_inputs_that_take_no_more_say_so_themselves(say: Any) -> None:
    async with opened() as (session, _):
        refusal = StateError("no more")

        def refuse(*_: Any, **__: Any) -> int:
            raise refusal

        inputs = session._pipeline.inputs
        put, put_state = inputs.put, inputs.put_state
        inputs.put = inputs.put_state = refuse  # type: ignore[method-assign]
        with pytest.raises(StateError) as error:
            say(session)
        assert error.value is refusal and error.value.__context__ is None
        inputs.put, inputs.put_state = put, put_state  # type: ignore[method-assign]
        assert session.begin_turn("mira", turn="turn-1") == "turn-1"


async def test_an_action_is_had_by_its_id_while_it_is_open(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path)) as (session, _):
        session.begin_turn("mira")
        for name in ("a", "b", "c"):
            session.declare("mira", "bow", target="goblin-2", action_id=name)
        session.retract("c")
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        action = session.action("a")
        assert (action.id, action.actor) == ("a", "mira")
        assert await action.outcome("hit", damage=2)
        session.action("b").retract()
        await instant()
        for name in ("a", "b", "c", "nobody's"):
            with pytest.raises(StateError, match="is open: declare it first"):
                session.action(name)
    assert validate(tmp_path / "table-7.jsonl").errors == []


async def test_odds_that_make_no_sense_stop_no_speculation(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with opened() as (session, model):
        session.begin_turn("mira")
        bow = {"type": "attack", "name": "bow", "target": "goblin-1"}
        session.play(ev.Action(0.0, "a", "turn-1", "mira", bow, {"hit": "often"}))
        await instant()
        session.declare("mira", "bow", target="goblin-1", action_id="a")
        await instant()
        assert len(model.open) == 3


async def test_inputs_of_a_subscriber_wait_for_their_turn() -> None:
    """A re-entrant call keeps the one order: what is under way goes through first."""
    async with opened(intensity="off") as (session, _):
        order: list[Any] = []

        def again(event: Any) -> None:
            order.append((type(event).__name__, session.world.number))
            if isinstance(event, Started) and len(order) < 3:
                session.update(after(1))
                session.say("mira", "ha!")
                order.append(("still", session.world.number))

        session.subscribe(again)
        miss(session)
        await instant()
        assert order == [("Started", 2), ("still", 2)]
        assert session.world.number == 4


async def test_undo_goes_back_and_nothing_prepared_since_is_told() -> None:
    async with opened(intensity="conservative") as (session, _):
        session.begin_turn("mira")
        await asyncio.sleep(1)
        session.update(after(5))
        action = session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(30)
        session.rewind(0.5)
        telling = action.outcome("hit", damage=2)
        await telling
        assert telling.ended.served == (Served.MISS,)
        session.end_turn()
        await instant()
        assert session.world.turn is None
        assert session.world.state == STATE


@pytest.mark.real_time
async def test_a_session_may_be_told_from_other_threads() -> None:
    model = ScriptedModel(Script({"text": "Told."}, ttft=0.0, delay=0.0, chunk=100))
    async with foretell.Game({"intensity": "off"}, model=model) as game:
        session = await game.session("threads")
        tellings: list[foretell.Telling[Any]] = []

        def play(name: str) -> None:
            for n in range(25):
                session.update({"actors": {name: {"hp": n}}})
                action = session.declare(name, "bow")
                tellings.append(action.outcome("success"))

        threads = [threading.Thread(target=play, args=(f"p{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        for telling in tellings:
            assert (await telling).text == "Told."
        assert len({telling._asked for telling in tellings}) == 100
        assert session.world.revision == 300
        assert session.report()["outcomes"] == 100


# ── viewers ──────────────────────────────────────────────────────────────────────────────────────


async def test_a_late_viewer_gets_the_telling_as_it_stands_and_then_patches() -> None:
    async with opened() as (session, _):
        telling = miss(session)
        await asyncio.sleep(2.6)
        seen: list[Any] = []
        session.subscribe(seen.append)
        assert [type(event) for event in seen] == [Started, Patched]
        assert seen[1].text and TEXT.startswith(seen[1].text)
        seen[1].patches[0].value["text"] = "spoilt"  # a viewer's copy is its own
        await telling
        assert seen[-1].value["text"] == TEXT
        assert seen[1].text + "".join(e.text for e in seen[2:] if isinstance(e, Patched)) == TEXT
        late: list[Any] = []
        session.subscribe(late.append)
        assert late == []


async def test_viewers_see_what_is_meant_for_them() -> None:
    async with opened() as (session, _):
        seen: dict[str, list[Any]] = {"mira": [], "gm": []}
        for viewer, events in seen.items():
            session.subscribe(events.append, viewer)
        secret = miss(session, to="gm")
        await asyncio.sleep(2.6)
        spy: list[Any] = []
        session.subscribe(spy.append, "mira")
        await secret
        assert seen["mira"] == spy == []
        assert seen["gm"][-1].to == ("gm",)


@pytest.mark.parametrize("viewer", [None, "mira"])
async def test_a_subscriber_that_raises_is_reported_and_costs_nobody_anything(
    viewer: str | None, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    async with opened() as (session, _):
        calls: list[Any] = []
        seen: list[Any] = []

        def raises(event: Any) -> None:
            calls.append(event)
            raise LookupError("mine")

        session.subscribe(raises, viewer)
        session.narrative.subscribe(raises)
        session.subscribe(seen.append)
        assert (await miss(session)).text == TEXT
        assert len(calls) == 2 * len(seen)
        assert session.report()["faults"] == len(calls)
        assert "LookupError" in caplog.text


async def test_an_async_handler_is_awaited_one_event_at_a_time_to_the_last() -> None:
    seen: list[Any] = []
    running = 0

    async def handler(event: Any) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(1.0)
        running -= 1
        seen.append(event)

    async with opened() as (session, _):
        session.subscribe(handler)
        await miss(session)
        assert len(seen) < 8
        await session.close(60)
    assert isinstance(seen[-1], Ended)


async def test_a_handler_that_never_returns_holds_nothing_up(
    caplog: pytest.LogCaptureFixture,
) -> None:  # G10
    async def stuck(event: Any) -> None:
        await asyncio.sleep(1e6)

    class Stuck:
        async def __call__(self, event: Any) -> None:
            await asyncio.sleep(1e6)

    async with opened() as (session, _):
        session.subscribe(stuck)
        session.subscribe(Stuck())
        await miss(session)
        ended = now()
        await session.close(2)
        assert now() == ended + 2


async def test_leaving_cancels_nothing() -> None:
    async with opened() as (session, model):
        subscription = session.subscribe(lambda event: None)
        telling = miss(session)
        await asyncio.sleep(1.5)
        subscription.dispose()
        async for _ in telling:
            break
        async for _ in telling.text():
            break
        assert (await telling).text == TEXT
        assert len(model.streams) == 1


async def test_a_reader_that_is_slow_loses_the_oldest_and_others_lose_nothing() -> None:
    async with opened() as (session, _):
        slow: list[Any] = []

        async def read_slowly() -> None:
            async for event in session.tellings(bound=2):
                slow.append(event)
                await asyncio.sleep(3)

        reader = asyncio.create_task(read_slowly())
        await instant()
        telling = miss(session)
        assert (await telling).text == TEXT
        await session.close()
        await reader
        assert len(slow) < 6
        assert isinstance(slow[-1], Ended)


# ── views of a telling ───────────────────────────────────────────────────────────────────────────


async def test_text_for_places_that_limit_edits_is_cut_and_never_repeated() -> None:
    async with opened() as (session, _):
        shown = [text async for text in miss(session).text(every=0.5, limit=20)]
        assert shown[-1] == TEXT[:19] + "…"
        assert len(shown) == len(set(shown))


prose = st.text(alphabet='ab .!?"”)…\n', max_size=60)


@given(prose, st.integers(1, 9))
def test_sentences_are_the_text_in_whatever_pieces_it_comes(text: str, chunk: int) -> None:
    async def told() -> tuple[list[str], str]:
        model = ScriptedModel(Script({"text": f"A{text}"}, chunk=chunk))
        async with foretell.Game({"intensity": "off"}, model=model) as game:
            session = await game.session("x")
            telling = miss(session)
            sentences: list[str] = [sentence async for sentence in telling.sentences()]
            return sentences, (await telling).text

    sentences, whole = run_virtual(told())
    assert "".join("".join(sentences).split()) == "".join(whole.split())
    assert all(sentence and sentence == sentence.strip() for sentence in sentences)


# ── intensity and budget ─────────────────────────────────────────────────────────────────────────


async def test_off_prepares_nothing() -> None:
    async with opened(intensity="off") as (session, model):
        for _ in range(3):
            session.begin_turn("mira")
            session.declare("mira", "longsword", target="goblin-2")
            await asyncio.sleep(1)
        assert model.streams == []


async def test_a_change_of_intensity_takes_effect_at_once() -> None:  # 0-11
    async with opened(Script(ttft=9.0), intensity="off") as (session, model):
        session.begin_turn("mira")
        session.declare("mira", "longsword", target="goblin-2")
        await instant()
        session.intensity = "conservative"
        await instant()
        assert len(model.open) == 3
        session.intensity = foretell.Intensity.OFF
        await instant()
        assert model.open == []
        with pytest.raises(foretell.ConfigError, match="'loud' is not known: use off"):
            session.intensity = "loud"


async def test_conservative_stays_in_combat_and_aggressive_goes_everywhere() -> None:  # 0-11
    async with opened(Script(ttft=9.0), state={**STATE, "mode": "exploration"}) as (session, model):
        session.begin_turn("mira", options=[{"type": "use", "name": "search"}])
        await instant()
        assert model.open == []
        session.intensity = "aggressive"
        await instant()
        assert model.open != []


@pytest.mark.parametrize(
    "state", [{"mode": "dialogue"}, {"location": "the old mill"}, {"mode": "idle"}, {}]
)
async def test_what_is_declared_is_prepared_anywhere(state: dict[str, Any]) -> None:
    script = Script({"text": "The door opens."}, ttft=0.5)
    async with opened(script, state={**state, "actors": STATE["actors"]}) as (session, model):
        action = session.declare("mira", "search", type="use")
        await asyncio.sleep(30)
        await action.outcome("success")
        assert session.report()["served"]["hit"] == 1
        assert not model.open


@pytest.mark.parametrize("cap", [0, 1500, 3000, 10_000])
async def test_the_prefetch_budget_is_never_exceeded(cap: int) -> None:  # G3
    text = {"text": "word " * 300}
    async with opened(Script(text, ttft=0.1, delay=0.01, chunk=200), max_prefetch_tokens=cap) as (
        session,
        model,
    ):
        for turn in range(20):
            session.begin_turn("mira")
            session.declare("mira", f"blow {turn}", target="goblin-2")
            await asyncio.sleep(5)
            assert session.report()["tokens"]["prefetch"] <= cap
        assert bool(model.asked("prefetch")) == (cap >= 1500)
        assert await miss(session)


# ── the end ──────────────────────────────────────────────────────────────────────────────────────


async def test_close_ends_speculation_at_once_and_waits_for_what_is_told() -> None:
    async with opened() as (session, model):
        session.begin_turn("mira")
        session.declare("mira", "longsword", target="goblin-2")
        telling = miss(session)
        await asyncio.sleep(0.5)
        await session.close()
        assert (await telling).text == TEXT
        assert {s.closed_at for s in model.asked("prefetch")} == {0.5}
        with pytest.raises(StateError, match="is closed"):
            session.update(STATE)
        with pytest.raises(StateError, match="is closed"):
            miss(session)
        await session.close()


async def test_what_is_not_told_in_time_is_marked() -> None:
    async with opened(overlap="queue") as (session, _):
        tellings = [miss(session) for _ in range(3)]
        await asyncio.sleep(0.5)
        await session.close(2.0)
        assert now() == 2.5
        assert [telling.ended.status for telling in tellings] == ["superseded"] * 3
        assert tellings[0].ended.text


async def test_a_cancelled_close_ends_everything_at_once() -> None:
    async with opened(overlap="queue") as (session, model):
        tellings = [miss(session) for _ in range(2)]
        completed: list[bool] = []
        session.narrative.subscribe(on_completed=lambda: completed.append(True))
        closing = asyncio.create_task(session.close(60))
        await asyncio.sleep(1.3)
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        assert now() == 1.3
        assert [telling.ended.status for telling in tellings] == ["superseded"] * 2
        assert completed and not model.open


async def test_closing_twice_waits_for_the_same_end() -> None:
    async with opened() as (session, _):
        telling = miss(session)
        await instant()
        first = asyncio.create_task(session.close(60))
        await instant()
        await session.close()
        assert telling.ended is not None
        await first


async def test_a_subscriber_may_close_the_session(tmp_path: Path) -> None:
    async with opened(log_dir=str(tmp_path)) as (session, _):

        async def closes(event: Any) -> None:
            if isinstance(event, Ended):
                await session.close()

        session.subscribe(closes)
        telling = miss(session)
        assert (await telling).text == TEXT
        await session.close()
    assert validate(tmp_path / "table-7.jsonl").errors == []
    assert kinds(tmp_path / "table-7.jsonl")[-1] == "end"


async def test_a_model_that_never_lets_go_does_not_hold_up_the_end() -> None:  # G10
    model = ScriptedModel(Script(ttft=5.0, teardown=1e6))
    async with foretell.Game(model=model) as game:
        session = await game.session("x")
        session.update(STATE)
        session.begin_turn("mira")
        session.declare("mira", "longsword", target="goblin-2")
        await asyncio.sleep(1)
    assert now() < 10


# ── recordings ───────────────────────────────────────────────────────────────────────────────────


async def play_a_little(session: foretell.Session[Any]) -> foretell.Telling[Any]:
    session.update(STATE)
    session.begin_turn("mira")
    action = session.declare("mira", "longsword", target="goblin-2")
    session.say("mira", "For the mill!")
    await asyncio.sleep(10)
    telling = action.outcome("hit", damage=9, state=after(3))
    await telling
    telling.delivered(3, "gm")
    return telling


def kinds(path: Path) -> list[str]:
    return [record.kind for record in read(path) if not record.kind.startswith("~")]


async def test_a_session_is_recorded_and_its_log_is_good(tmp_path: Path) -> None:
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        await play_a_little(session)
    path = tmp_path / "table-7.jsonl"
    report = validate(path)
    assert report.errors == [] and report.warnings == []
    assert kinds(path) == [
        "session",
        "state",
        "turn",
        "action",
        "say",
        "state",
        "outcome",
        "delivered",
        "end",
    ]
    assert {"~scene", "~generation", "~chunk", "~told"} <= {record.kind for record in read(path)}


async def test_a_session_goes_on_where_its_log_ends(tmp_path: Path) -> None:
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        first = await play_a_little(session)
        await instant()
        told = session.transcript.text(), session.transcript.text("gm")
    async with opened(state=None, log_dir=str(tmp_path)) as (session, model):
        assert session.world.state == after(3)
        assert (session.transcript.text(), session.transcript.text("gm")) == told
        assert told[1] == told[0][:3]
        action = session.declare("mira", "longsword", target="goblin-2")
        assert action.id == "action-2"
        telling = action.outcome("miss")
        assert int(telling.id[1:]) > int(first.id[1:])
        session.end_turn()
        assert session.begin_turn("goblin-2") == "turn-2"
        await telling
        assert "story so far ends:\nThe\n" in model.streams[0].prompt
        assert session.transcript.text() == f"{TEXT}\n\n{TEXT}"
    path = tmp_path / "table-7.jsonl"
    times = [record.t for record in read(path)]
    assert times == sorted(times)
    assert kinds(path)[-5:] == ["action", "outcome", "turn_end", "turn", "end"]
    assert validate(path).errors == []


async def test_a_session_that_was_killed_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        await play_a_little(session)
    path = tmp_path / "table-7.jsonl"
    path.write_bytes(path.read_bytes()[:-30])
    caplog.set_level(logging.CRITICAL)
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        assert session.world.state == after(3)
        await miss(session)
    assert validate(path).errors == []


async def test_a_log_that_cannot_be_used_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "table-7.jsonl").write_text("not a log\n", encoding="utf-8")
    async with foretell.Game({"log_dir": str(tmp_path)}, model=ScriptedModel()) as game:
        with pytest.raises(LogError, match=r"table-7\.jsonl: line 1: ") as error:
            await game.session("table-7")
        assert "\n" not in str(error.value)
        await game.session("table-8")
    assert (tmp_path / "table-7.jsonl").read_text("utf-8") == "not a log\n"


async def test_a_log_dir_that_cannot_be_is_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for folder in (tmp_path / "file", tmp_path / "file" / "logs"):
        async with foretell.Game({"log_dir": str(folder)}, model=ScriptedModel()) as game:
            with pytest.raises(LogError, match="cannot be written: "):
                await game.session("table-7")


async def test_a_failing_model_is_said_once_until_it_tells_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bad = Script(error=ModelRefusedKey("the server refuses the key: check it"), ttft=0.1)
    good = Script({"text": TEXT}, ttft=0.1)
    answers = [bad, bad, good, bad]
    async with opened(lambda request, number: answers[number - 1], intensity="off") as (session, _):
        for answer in answers:
            telling = session.outcome("mira", "longsword", "miss", target="goblin-1")
            with contextlib.suppress(foretell.TellingError):
                assert (await telling).text == TEXT
                assert answer is good
    said = [record.getMessage() for record in caplog.records]
    assert (
        said
        == ["session table-7: fallback text was told: the server refuses the key: check it"] * 2
    )


async def test_one_fault_is_traced_once_however_often_it_comes(
    caplog: pytest.LogCaptureFixture,
) -> None:  # G10
    async with opened() as (session, _):

        def bad(event: foretell.Narrative) -> None:
            raise LookupError("at each event")

        session.subscribe(bad)
        await miss(session)
        faults = session.report()["faults"]
    traced = [record.exc_info is not None for record in caplog.records]
    assert faults > 1 and len(traced) == faults and traced == [True] + [False] * (faults - 1)


async def test_a_full_disk_ends_the_recording_and_not_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:  # G10
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        session.update(STATE)
        await instant()

        def full(fd: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr("os.write", full)
            session.begin_turn("mira")
            await instant()
        assert (await miss(session)).text == TEXT
        assert session.report()["faults"] == 1
    assert kinds(tmp_path / "table-7.jsonl") == ["session", "state"]


@pytest.mark.real_time
async def test_an_input_that_waited_its_turn_is_recorded_in_order(tmp_path: Path) -> None:
    """On a real clock others may be recorded between the moment an input came and its turn."""
    script = Script({"text": "word " * 40}, ttft=0.0, delay=0.0, chunk=1)
    async with opened(script, log_dir=str(tmp_path)) as (session, _):
        session.begin_turn("mira")
        for n in range(30):
            session.declare("mira", f"blow {n}", target="goblin-2", action_id="a")
            await asyncio.sleep(0)
        assert session.report()["faults"] == 0
    assert validate(tmp_path / "table-7.jsonl").errors == []


async def test_what_is_recorded_is_what_was_said(tmp_path: Path) -> None:
    async with opened(state=None, log_dir=str(tmp_path)) as (session, _):
        session.begin_turn("mira", options=[{"type": "attack", "name": "bow"}], deadline=5)
        session.declare("mira", "bow", target="goblin-1", odds={"hit": 0.25, "miss": 0.75})
        session.retract("action-1")
        session.need("statblock:goblin")
        session.rewind(0.0)
        session.end_turn()
        miss(session, to=("gm",), damage=1.5)
    events = [to_event(record) for record in read(tmp_path / "table-7.jsonl")]
    said = [orjson.loads(orjson.dumps(event)) for event in events if event is not None]
    assert [each.get("odds") for each in said][1] == {"hit": 0.25, "miss": 0.75}
    assert said[0]["options"] == [{"type": "attack", "name": "bow"}]
    assert said[-2]["to"] == ["gm"] and said[-2]["results"][0]["values"] == {"damage": 1.5}
