"""Trunk and tails: one stream for all that may come of an action, told from where it is whole."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import orjson
import pytest
from pydantic import BaseModel

import foretell
from foretell.operators.bets import Bets
from foretell.operators.candidate import Candidate
from foretell.operators.classify import classify
from foretell.operators.generation import Generation, Generations, Phase
from foretell.operators.narration import Narration, schema_of_tails
from foretell.operators.narrative import Served
from foretell.operators.predict import ANY, Variant, apart, planner, together
from foretell.operators.prompts import DefaultPrompts
from foretell.operators.trunk import Tails
from foretell.replay.verify import verify
from foretell.sinks.prefetch_session import Speculated
from foretell.streams import events as ev
from foretell.streams.models import Delta, ModelCut, Purpose, Request, Stop
from foretell.streams.narrator.facts import find_facts
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.streams.narrator.structured import answer
from foretell.streams.tasks import Tasks
from foretell.streams.world import Numbered, World, advance
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 30, "max_hp": 30, "ac": 15},
        "wolf": {"name": "Wolf", "side": "foes", "hp": 30, "max_hp": 30},
        "rat": {"name": "Rat", "side": "foes", "hp": 30, "max_hp": 30},
    },
}
TRUNK = "Mira draws back her arm."


def changed(**goblin: Any) -> dict[str, Any]:
    state = deepcopy(STATE)
    state["actors"]["goblin"] |= goblin
    return state


def endings_of(request: Request) -> list[Mapping[str, Any]]:
    facts = find_facts(request.messages[-1].text) or {}
    return [{**facts.get("telling", {}), **each} for each in facts.get("endings", ())]


def said(ending: Mapping[str, Any]) -> str:
    """What the scripted model tells of an ending."""
    numbers = " ".join(f"{name} {{{name}}}" for name in ending.get("slots", ()))
    return f"{ending.get('target')}: {ending['result']}{numbers and f', {numbers}'}."


def telling(ending: Mapping[str, Any]) -> dict[str, Any]:
    return {"text": said(ending), "lines": [], "cues": [f"cue {ending['result']}"]}


def trunk(request: Request, **script: Any) -> Script:
    tails = [{"of": each["of"], "telling": telling(each)} for each in endings_of(request)]
    given: Any = {"trunk": TRUNK, "tails": tails} if tails else telling({"result": "anew"})
    return Script(given, **{"ttft": 0.5, "delay": 0.01, **script})


@asynccontextmanager
async def table(
    script: Callable[[Request, int], Any] | None = None, **settings: Any
) -> AsyncIterator[tuple[foretell.Session[Any], ScriptedModel]]:
    model = ScriptedModel(script or (lambda request, number: trunk(request)))
    game = foretell.Game({"variants": "trunk", **settings}, model=model)
    async with game, await game.session("t") as session:
        session.update(STATE)
        session.begin_turn("mira", turn="t1")
        yield session, model


def missed(*targets: str) -> list[dict[str, Any]]:
    return [{"target": each, "result": "miss"} for each in targets]


def prepared(model: ScriptedModel) -> list[Any]:
    return [each for each in model.asked(Purpose.PREFETCH) if "longsword" in each.prompt]


def wasted(session: foretell.Session[Any]) -> dict[str, int]:
    """Output tokens of what was prepared, by what became of them."""
    rows = session.report()["ledger"]
    return {row["fate"]: row["output"] for row in rows if row["purpose"] == "prefetch"}


# ── which results stand in one text ──────────────────────────────────────────────────────────────


def planned(strategy: Any, targets: Any = "goblin", most: int = 8) -> tuple[Variant, ...]:
    scene = classify(advance(World(), Numbered(1, ev.State(0.0, STATE), 0.0)))
    action = {"type": "attack", "name": "bow", "target": targets}
    event = ev.Action(0.0, "a1", None, "mira", action)
    world = advance(scene.world, Numbered(2, event, 0.0))
    candidate = Candidate(world.actions["a1"], 1.0, "declared")
    plan = planner(
        lambda: foretell.Intensity.CONSERVATIVE,
        most,
        lambda scene: [candidate],
        strategy=lambda: strategy,
    )
    return plan(classify(world))


def test_separate_and_trunk_are_for_the_same_results() -> None:
    for targets in ("goblin", ["goblin", "wolf"], "nobody", None):
        each, one = planned(apart, targets), planned(together, targets)
        assert len(one) == 1 and one[0].result == ANY and one[0].target is None
        assert {v.slot for v in one[0].each} == {v.slot for v in each}
        assert [v.value for v in one[0].each] == sorted((v.value for v in each), reverse=True)
        assert one[0].value == pytest.approx(1.0), "it comes to one of them"
        assert one[0].likeliest == each[0].value


def test_of_many_targets_there_are_tails_for_twice_as_many_as_there_would_be_texts() -> None:
    targets = ["goblin", "wolf", "rat", "a", "b", "c"]
    assert len(planned(apart, targets, 5)) == 5
    [one] = planned(together, targets, 5)
    assert len(one.endings) == 10


def test_another_order_of_the_odds_is_the_same_trunk_and_another_ending_is_not() -> None:
    [one] = planned(together)
    other = Variant(
        *(one.slot, one.fingerprint, one.scene, one.declared, one.depends, 0.5, "", False),
        endings=tuple(type(e)(e.target, e.result, 1 - e.value) for e in one.endings),
    )
    assert other == one and [v.result for v in other.each] != [v.result for v in one.each]
    assert one != Variant(
        *(one.slot, one.fingerprint, one.scene, one.declared, one.depends, 0.5, "", False),
        endings=one.endings[:2],
    )


async def test_what_was_rolled_is_a_text_by_itself() -> None:
    async with table() as (session, model):
        session.declare("mira", "longsword", target="goblin", rolled="hit")
        await asyncio.sleep(3)
        [stream] = prepared(model)
        assert not endings_of(stream.request)


def test_trunk_needs_json_and_can_be_changed_while_running() -> None:
    with pytest.raises(foretell.ConfigError, match="trunk"):
        foretell.Game({"variants": "trunk", "output": "text"}, model=ScriptedModel())
    with pytest.raises(foretell.ConfigError, match="variants"):
        foretell.Game({"variants": "tree"}, model=ScriptedModel())


# ── a stream with tails ──────────────────────────────────────────────────────────────────────────


class Silent:
    async def stream(self, request: Request) -> Any:
        await asyncio.get_running_loop().create_future()
        yield

    async def aclose(self) -> None: ...


@asynccontextmanager
async def reading(
    flawed: Callable[[str], bool] = lambda text: False,
) -> AsyncIterator[tuple[Generation, Tails]]:
    """A stream that says what it is fed, with the tails hit, miss and critical."""
    tasks = Tasks(lambda where, error: None)
    owner = Generations(Silent(), tasks, lambda *args, **kwargs: None, lambda: 0.0)
    stream = owner.open(Request("m", (), purpose=Purpose.PREFETCH), (), revision=0)
    lease = stream.lease()
    [variant] = planned(together)
    yield stream, Tails(stream, variant, "text", flawed)
    lease.release()
    await tasks.aclose()


def phases(tails: Tails) -> list[str]:
    return [tail.phase.value for tail in tails.each]


def whole(*tails: Any, begin: Any = TRUNK) -> str:
    return orjson.dumps({"trunk": begin, "tails": tails}).decode()


def tail(of: Any, text: Any = "So it goes.", **more: Any) -> dict[str, Any]:
    return {"of": of, "telling": {"text": text, **more}}


async def test_a_tail_is_whole_as_soon_as_its_object_is_however_it_is_cut() -> None:
    texts = ["Hit {damage}, “hard”.", "Miss — \U0001f3f9!", 'Critical: "ouch"\n']
    said = whole(*(tail(n, text, cues=["x"]) for n, text in enumerate(texts)))
    ends = [said.index(f'"of":{n}') for n in (1, 2)] + [len(said)]
    for seed in range(30):
        rng, at = random.Random(seed), 0
        async with reading() as (stream, tails):
            while at < len(said):
                size = rng.choice((1, 3, 40))
                stream.receive(Delta(said[at : at + size]))
                at += size
                done = sum(each == "done" for each in phases(tails))
                assert done <= sum(at > end - 8 for end in ends)
                assert phases(tails)[done:] == ["running"] * (3 - done)
            assert phases(tails) == ["done"] * 3
            for n, text in enumerate(texts):
                found = orjson.loads(tails.each[n].written)
                assert found == {"text": f"{TRUNK} {text}", "cues": ["x"]}


async def test_the_pieces_of_a_tail_are_its_telling_from_the_first_word_on() -> None:
    said = whole(tail(0, "Hit.", cues=["x"]), tail(1, "Miss {damage}."))
    async with reading() as (stream, tails):
        pieces: list[str] = []

        async def read() -> None:
            async for piece in tails.each[1].chunks():
                pieces.append(piece)  # noqa: PERF401 - what there is of them is looked at

        reader = asyncio.create_task(read())
        for at in range(0, len(said), 5):
            stream.receive(Delta(said[at : at + 5]))
            await asyncio.sleep(0)
            if '"tails"' in said[: at + 5]:
                assert "".join(pieces).startswith(f'{{"text":"{TRUNK}'), "it waits for nothing"
        await reader
        assert orjson.loads("".join(pieces)) == {"text": f"{TRUNK} Miss {{damage}}."}
        second = [piece async for piece in tails.each[0].chunks()]
        assert orjson.loads("".join(second)) == {"text": "Hit.", "cues": ["x"]}, "told once"


async def test_a_flawed_tail_costs_only_itself() -> None:
    good = tail(2, "Good.")
    for bad in (
        *({"of": 1}, tail(1, ""), tail(1, " \n"), tail(1, None), tail(1, 7), tail(1, ["a"])),
        *({"of": 1, "telling": "text"}, {"of": 1, "telling": None}, "tail", None, 7, []),
        *(tail("1"), tail(None), tail(True), tail(-1), tail(3), tail(1.0), tail(2**60)),
    ):
        async with reading() as (stream, tails):
            stream.receive(Delta(whole(tail(0), bad, good)))
            assert phases(tails)[0] == phases(tails)[2] == "done", bad
            assert "Good." in tails.each[2].written
            stream.receive(Stop("end_turn"))
            stream.finish()
            assert phases(tails) == ["done", "failed", "done"], bad
            assert not tails.each[1].alive and tails.each[0].alive


async def test_of_what_nobody_was_told_there_is_no_share() -> None:
    async with reading() as (stream, tails):
        stream.receive(Delta(whole(*(tail(n, "Ten chars.") for n in range(3)), begin="0123456789")))
        assert stream.share == 1.0
        tails.each[1].deliver()
        assert stream.share == 0.5 and stream.delivered
        tails.each[0].deliver()
        assert stream.share == 0.75


async def test_of_two_tails_for_one_ending_the_first_counts() -> None:
    async with reading() as (stream, tails):
        stream.receive(Delta(whole(tail(0, "First."), tail(0, "Second."), tail(1), tail(2))))
        assert "First." in tails.each[0].written and "Second." not in tails.each[0].written


async def test_a_telling_that_does_not_fit_its_model_is_flawed() -> None:
    async with reading(lambda text: "bad" in text) as (stream, tails):
        stream.receive(Delta(whole(tail(0, "bad"), tail(1))))
        assert phases(tails)[:2] == ["failed", "done"]


async def test_a_trunk_with_a_slot_costs_all() -> None:  # G1: of which ending would it be
    async with reading() as (stream, tails):
        stream.receive(Delta(whole(tail(0), tail(1), begin="Mira deals {damage}.")))
        assert phases(tails)[:2] == ["failed", "failed"] and not tails.usable


async def test_without_a_trunk_or_with_no_text_for_one_the_tails_are_told() -> None:
    for begin in ("", " ", None, 7):
        async with reading() as (stream, tails):
            stream.receive(Delta(whole(tail(0, "Hit."), begin=begin)))
            assert orjson.loads(tails.each[0].written)["text"].strip() == "Hit."


async def test_rubbish_has_no_tails() -> None:
    for rubbish in (
        '{"text": "A telling."}',
        "Prose.",
        '{"tails": 7}',
        '{"trunk": "a", "tails": {',
    ):
        async with reading() as (stream, tails):
            stream.receive(Delta(rubbish))
            stream.finish()
            assert phases(tails) == ["failed"] * 3 and not tails.usable


async def test_of_what_a_model_refuses_to_go_on_with_nothing_is_told() -> None:
    async with reading() as (stream, tails):
        stream.receive(Delta(whole(tail(0), tail(1))[:-30]))
        assert tails.usable
        stream.receive(Stop("refusal"))
        stream.finish()
        assert phases(tails) == ["failed"] * 3 and not stream.usable


async def test_what_is_whole_outlives_its_stream_but_not_a_change_of_the_world() -> None:  # G1
    for end in ("cut", "closed"):
        async with reading() as (stream, tails):
            stream.receive(Delta(whole(tail(0), tail(1))[:-30]))
            if end == "cut":
                stream.fail(ModelCut("cut"))
            else:
                stream.close("displaced")
            assert not stream.alive and stream.usable
            first, second, _ = tails.each
            assert first.phase is Phase.DONE and first.alive and not second.alive
            stream.revoke()
            assert not first.alive and not stream.usable
            with pytest.raises(foretell.operators.generation.GenerationClosed):
                await anext(first.chunks())


# ── a session ────────────────────────────────────────────────────────────────────────────────────


async def test_one_request_prepares_all_that_may_come_of_an_action() -> None:
    async with table() as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(5)
        [stream] = prepared(model)
        assert [each["result"] for each in endings_of(stream.request)] == [
            "hit",
            "miss",
            "critical",
        ]
        telling = await action.outcome("hit", damage=4)
        assert telling.text == f"{TRUNK} Goblin: hit, damage 4 target_hp 26."
        assert telling == Narration(text=telling.text, cues=["cue hit"])
        report = session.report()
        assert report["served"]["hit"] == 1 and report["latency_ms"]["mean"] == 0
        assert report["stale"] == report["untrue"] == 0


async def test_a_tail_is_told_while_the_others_are_written_which_then_is_stopped() -> None:
    async with table(lambda request, number: trunk(request, delay=0.2)) as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        [stream] = await until(lambda: prepared(model) if "miss" in told(model) else [])
        telling = await action.outcome("hit", damage=4)
        assert telling.text.endswith("Goblin: hit, damage 4 target_hp 26.")
        assert session.report()["served"]["hit"] == 1
        await asyncio.sleep(1)
        assert stream.closed_at is not None and not stream.finished
        assert "critical" not in stream.text


def told(model: ScriptedModel) -> str:
    return "".join(stream.text for stream in prepared(model))


async def until(holds: Callable[[], Any]) -> Any:
    for _ in range(1000):
        if found := holds():
            return found
        await asyncio.sleep(0.05)
    raise AssertionError("it never came to that")


async def test_a_tail_that_is_still_to_come_is_waited_for_behind_the_trunk() -> None:
    async with table(lambda request, number: trunk(request, delay=0.2)) as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        await until(lambda: "tails" in told(model))
        handle = action.outcome("critical", damage=9)
        await asyncio.sleep(0.01)
        assert session.transcript.text() == TRUNK, "at once"
        await asyncio.sleep(1)
        assert session.transcript.text() == TRUNK, "and no other ending"
        telling = await handle
        assert telling.text == f"{TRUNK} Goblin: critical, damage 9 target_hp 21."
        assert session.report()["served"]["in_flight"] == 1
        assert not model.asked(Purpose.FOREGROUND)


async def test_what_no_tail_is_for_is_generated() -> None:  # G1
    async with table() as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(5)
        telling = await action.outcome("parried")
        assert TRUNK not in telling.text and len(model.asked(Purpose.FOREGROUND)) == 1


async def test_a_blow_that_fells_has_no_tail_that_leaves_its_target_standing() -> None:  # G1
    async with table() as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(5)
        await action.outcome("hit", damage=40)
        assert len(model.asked(Purpose.FOREGROUND)) == 1
        assert session.report()["untrue"] == 0


async def test_several_targets_are_told_with_one_trunk() -> None:
    async with table() as (session, model):
        action = session.declare("mira", "longsword", target=["goblin", "wolf", "rat"])
        await asyncio.sleep(8)
        [stream] = prepared(model)
        assert len(endings_of(stream.request)) == 9
        telling = await action.outcome(
            results=[
                {"target": "goblin", "result": "hit", "values": {"damage": 4}},
                {"target": "wolf", "result": "miss"},
                {"target": "rat", "result": "critical", "values": {"damage": 5}},
            ]
        )
        assert telling.text == (
            f"{TRUNK} Goblin: hit, damage 4 target_hp 26. Wolf: miss. "
            "Rat: critical, damage 5 target_hp 25."
        )
        assert telling.cues == ["cue hit", "cue miss", "cue critical"]
        assert session.report()["served"]["hit"] == 1


async def test_a_cut_stream_keeps_the_tails_that_are_whole() -> None:
    def cut(request: Request, number: int) -> Script:
        if not endings_of(request):
            return trunk(request)
        text = orjson.dumps(trunk(request).answer).decode()
        return trunk(request, error=ModelCut("cut"), chunks=text.index('"of":1') // 8 + 2)

    for result, served, asked in (("hit", "hit", 0), ("miss", "miss", 1)):
        async with table(cut) as (session, model):
            action = session.declare("mira", "longsword", target="goblin")
            await asyncio.sleep(5)
            telling = await action.outcome(result, **({"damage": 4} if result == "hit" else {}))
            assert (TRUNK in telling.text) is (served == "hit")
            assert session.report()["served"][served] == 1
            assert len(model.asked(Purpose.FOREGROUND)) == asked


async def test_an_unexpected_change_closes_the_one_stream() -> None:  # G1, G4
    async with table(lambda request, number: trunk(request, delay=0.2)) as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        [stream] = await until(lambda: prepared(model) if "miss" in told(model) else [])
        session.update(changed(ac=11))
        await asyncio.sleep(0.01)
        assert stream.closed_at is not None
        telling = await action.outcome("hit", damage=4)
        report = session.report()
        assert telling.text and report["stale"] == 0 and report["served"]["hit"] == 0


async def test_what_waits_to_be_told_of_a_cut_stream_is_revoked_too() -> None:  # G1
    def cut(request: Request, number: int) -> Script:
        if not endings_of(request):
            return Script({"text": "Before it."}, ttft=9.0)
        text = orjson.dumps(trunk(request).answer).decode()
        return trunk(request, error=ModelCut("cut"), chunks=text.index('"of":1') // 8 + 2)

    async with table(cut, overlap="queue") as (session, _):
        action = session.declare("mira", "longsword", target="goblin")
        first = session.outcome("wolf", "bite", "miss", target="rat")
        await asyncio.sleep(6)
        second = action.outcome("miss")
        await asyncio.sleep(1)
        assert session._pipeline.teller.waiting(5).served is Served.HIT  # type: ignore[union-attr]
        session.update(changed(ac=11))
        await first
        assert TRUNK not in (await second).text
        assert session.report()["stale"] == 0


async def test_another_target_and_back_asks_for_nothing_again() -> None:
    async with table() as (session, model):
        for target in ("goblin", "wolf", "goblin"):
            action = session.declare("mira", "longsword", target=target, action_id="a1")
            await asyncio.sleep(4)
        assert len(prepared(model)) == 2
        telling = await action.outcome("miss")
        assert telling.text == f"{TRUNK} Goblin: miss."
        assert session.report()["served"]["hit"] == 1


async def test_a_change_of_the_setting_prepares_anew() -> None:
    async with table(variants="separate") as (session, model):
        session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(4)
        assert len(prepared(model)) == 3
        session.apply({"variants": "trunk"})
        await asyncio.sleep(4)
        assert len(prepared(model)) == 4 and endings_of(prepared(model)[-1].request)


async def test_no_ending_names_a_number_that_the_viewers_may_not_know() -> None:  # G7
    def view(state: dict[str, Any], viewer: str | None) -> dict[str, Any]:
        for actor in state["actors"].values() if viewer is None else ():
            del actor["hp"], actor["max_hp"]
        return state

    for to, slots in (((), ["damage"]), (("gm",), ["damage", "target_hp"])):
        model = ScriptedModel(lambda request, number: trunk(request))
        game = foretell.Game({"variants": "trunk"}, model=model, view=view)
        async with game, await game.session("t") as session:
            session.update(STATE)
            session.begin_turn("mira", turn="t1")
            action = session.declare("mira", "longsword", target="goblin", to=to)
            await asyncio.sleep(5)
            ends = endings_of(prepared(model)[0].request)
            assert [end["result"] for end in ends] == ["hit", "miss", "critical"]
            assert [end.get("slots", []) for end in ends] == [slots, [], slots]
            telling = await action.outcome("hit", damage=4)
            assert telling.text.startswith(TRUNK) and ("26" in telling.text) is (to == ("gm",))


async def test_the_guard_is_asked_of_each_tail_and_refuses_none_for_another() -> None:  # G2
    asked: list[str] = []

    async def guard(text: str) -> str | None:
        asked.append(text)
        return "no misses at this table" if "miss" in text else None

    for result, how in (("critical", "hit"), ("miss", "miss")):
        asked.clear()
        model = ScriptedModel(lambda request, number: trunk(request))
        async with foretell.Game({"variants": "trunk"}, model=model, guard=guard) as game:
            session = await game.session("t")
            session.update(STATE)
            session.begin_turn("mira", turn="t1")
            action = session.declare("mira", "longsword", target="goblin")
            await asyncio.sleep(5)
            assert len(asked) == 3 and all(text.startswith(TRUNK) for text in asked)
            assert not any('"' in text for text in asked), "never the stream as it is"
            telling = await action.outcome(result)
            assert (TRUNK in telling.text) is (how == "hit") and "miss" not in telling.text
            assert session.report()["served"][how] == 1


async def test_a_tail_that_is_told_as_it_comes_is_guarded_sentence_by_sentence() -> None:  # G2
    async def guard(text: str) -> str | None:
        return "not that" if "critical" in text else None

    def slowly(request: Request, number: int) -> Script:
        return trunk(request, delay=0.2)

    model = ScriptedModel(slowly)
    async with foretell.Game({"variants": "trunk"}, model=model, guard=guard) as game:
        session = await game.session("t")
        session.update(STATE)
        session.begin_turn("mira", turn="t1")
        action = session.declare("mira", "longsword", target="goblin")
        await until(lambda: "tails" in told(model))
        handle = action.outcome("critical", damage=9)
        with pytest.raises(foretell.TellingError):
            await handle
        [shown] = session.transcript.text().split("\n\n")
        assert shown == f"{TRUNK} Mira: longsword against Goblin: critical, 9 damage.", (
            "the fallback"
        )


async def test_the_small_model_chooses_among_tails_and_never_the_stream_as_it_is() -> None:  # 0-5
    async with table() as (session, model):
        action = session.declare("mira", "longsword", type="search")
        await asyncio.sleep(5)
        [stream] = prepared(model)
        assert [end["result"] for end in endings_of(stream.request)] == ["failure", "success"]
        await action.outcome("half a clue")
        [asked] = [each for each in model.streams if "PREPARED" in each.prompt]
        offered = orjson.loads(asked.prompt.split("PREPARED ")[-1].split("\nFACTS ")[0])
        assert [each["for"] for each in offered] == ["failure", "success"]
        assert all(TRUNK in each["text"] and "tails" not in each["text"] for each in offered)


# ── what it costs ────────────────────────────────────────────────────────────────────────────────


async def test_of_a_stream_is_told_what_was_shown_of_it_and_the_rest_is_wasted() -> None:
    async with table(main_from=0) as (session, model):
        action = session.declare("mira", "longsword", target="goblin")
        await asyncio.sleep(5)
        [stream] = prepared(model)
        written = stream.usage.output
        await action.outcome("miss")
        texts = [len(said(each)) for each in endings_of(stream.request)]
        share = (len(TRUNK) + texts[1]) / (len(TRUNK) + sum(texts))
        found = wasted(session)
        assert found["told"] == pytest.approx(share * written, abs=1)
        assert found["told"] + found["never asked"] == written, "no token is lost"
        tokens = session.report()["tokens"]
        assert tokens["wasted"] == found["never asked"]


@pytest.mark.parametrize(("least", "by"), [(0.5, "main"), (0.7, "small")])
async def test_who_writes_a_trunk_goes_by_its_likeliest_ending(least: float, by: str) -> None:
    settings = {"main_from": least, "main_model": "claude-sonnet-5-5"}
    async with table(**settings) as (session, model):
        await asyncio.sleep(5)
        session.declare("mira", "longsword", target="goblin", odds={"hit": 0.6, "miss": 0.4})
        await asyncio.sleep(5)
        [stream] = prepared(model)
        assert ("sonnet" in stream.request.model) is (by == "main")


async def test_all_that_is_shown_of_a_stream_counts_once() -> None:
    async with table(main_from=0) as (session, model):
        action = session.declare("mira", "longsword", target=["goblin", "wolf"])
        await asyncio.sleep(5)
        await action.outcome(results=missed("goblin", "wolf"))
        [stream] = prepared(model)
        ends = endings_of(stream.request)
        texts = [len(said(each)) for each in ends]
        shown = len(TRUNK) + sum(len(said(each)) for each in ends if each["result"] == "miss")
        share = shown / (len(TRUNK) + sum(texts))
        assert wasted(session)["told"] == pytest.approx(share * stream.usage.output, abs=1)


def test_a_trunk_that_was_not_worth_its_price_and_would_have_been_told_counts_as_right() -> None:
    [one] = planned(together)
    bets, world = Bets(), one.scene.world
    bets.heard["~scene"](0.0, {"context": "combat"})
    for number in range(20):
        line = {"generation": f"g{number}", "purpose": "prefetch", "value": 1.0, "source": "guess"}
        bets.heard["~generation"](0.0, line)
        bets.heard["~dropped"](0.0, line)
    before = bets.rate("combat", "guess")
    refused = {"slot": [*one.slot], "value": 1.0, "source": "guess", "why": "worth"}
    bets.heard["~refused"](0.0, refused)
    results = (ev.Result("critical", "goblin", {"damage": 3}),)
    bets.on_world(advance(world, Numbered(3, ev.Outcome(1.0, results, "a1"), 1.0)))
    assert bets.rate("combat", "guess") > before


def test_what_is_prepared_in_one_text_counts_as_predicted_each() -> None:
    known = Speculated()
    line = {"generation": "g1", "purpose": "prefetch", "model": "m", "actor": "mira"}
    ends = [["goblin", "hit"], [None, "miss"]]
    what = {"action": "bow", "target": None, "result": ANY, "endings": ends}
    known.heard["~generation"](0.0, {**line, **what})
    assert known.metrics.predicted("mira: bow → goblin: hit")
    assert known.metrics.predicted("mira: bow: miss")
    assert known._names["g1"] == "mira: bow → goblin: hit / mira: bow: miss", "it is all of them"


# ── recorded ─────────────────────────────────────────────────────────────────────────────────────


async def night(folder: Path) -> tuple[dict[str, Any], str]:
    settings = {"log_dir": str(folder), "main_from": 0}
    async with table(lambda request, number: trunk(request, delay=0.05), **settings) as (t, _):
        for target, result in (("goblin", "hit"), ("wolf", "miss"), (["rat", "wolf"], "miss")):
            action = t.declare("mira", "longsword", target=target)
            await asyncio.sleep(1.2 if target == "wolf" else 9)
            if isinstance(target, list):
                await action.outcome(results=missed(*target))
            else:
                await action.outcome(result, **({"damage": 3} if result == "hit" else {}))
        t.declare("mira", "longsword", target="goblin", action_id="last")
        await asyncio.sleep(6)
        return t.report(), t.transcript.text()


def test_a_recording_with_trunks_is_replayed_line_by_line(tmp_path: Path) -> None:  # G9
    report, _ = run_virtual(night(tmp_path))
    assert report["served"]["hit"] >= 1 and report["served"]["in_flight"] >= 1
    assert verify(tmp_path / "t.jsonl").difference is None


def test_a_session_that_goes_on_has_its_books_and_what_was_kept(tmp_path: Path) -> None:
    before, text = run_virtual(night(tmp_path))

    async def goes_on() -> None:
        model = ScriptedModel(lambda request, number: trunk(request))
        settings = {"variants": "trunk", "log_dir": str(tmp_path), "main_from": 0}
        async with foretell.Game(settings, model=model) as game, await game.session("t") as session:
            assert session.transcript.text() == text
            await asyncio.sleep(2)
            assert session.report()["ledger"] == before["ledger"], "to the token, by what was shown"
            assert not prepared(model), "the last action was prepared, and is found again"
            telling = await session.outcome(
                "mira", "longsword", "hit", target="goblin", action_id="last", damage=2
            )
            assert telling.text.startswith(f"{TRUNK} Goblin: hit, damage 2")

    run_virtual(goes_on())
    assert verify(tmp_path / "t.jsonl").difference is None


# ── prompts, schema and narrator ─────────────────────────────────────────────────────────────────


class Scene(BaseModel):
    """A telling that holds itself."""

    prose: str
    before: Scene | None = None


def test_the_schema_holds_the_telling_of_any_model() -> None:
    for model in (Narration, Scene):
        schema = schema_of_tails(model)
        assert schema["required"] == ["trunk", "tails"]
        tail = schema["properties"]["tails"]["items"]
        assert (
            tail["required"] == ["of", "telling"] and "$defs" not in tail["properties"]["telling"]
        )
        for name in refs(schema):
            assert name.removeprefix("#/$defs/") in schema["$defs"]


def refs(schema: Any) -> list[str]:
    if isinstance(schema, list):
        return [name for each in schema for name in refs(each)]
    if not isinstance(schema, dict):
        return []
    own = [schema["$ref"]] if "$ref" in schema else []
    return own + [name for each in schema.values() for name in refs(each)]


def prompt(targets: Any = "goblin") -> tuple[str, str]:
    [variant] = planned(together, targets)
    found = DefaultPrompts()(variant.scene, variant.declared, variant.tells, "", {})
    return found.messages[-1].text, found.messages[0].text


def test_the_endings_of_a_prompt_say_once_what_they_have_in_common() -> None:
    facts = find_facts(prompt()[0])
    assert facts is not None and "tellings" not in facts
    assert facts["telling"]["actor"] == "Mira" and facts["telling"]["target"] == "Goblin"
    assert facts["endings"] == [
        {"of": 0, "result": "hit", "slots": ["damage", "target_hp"]},
        {"of": 1, "result": "miss"},
        {"of": 2, "result": "critical", "slots": ["damage", "target_hp"]},
    ]
    facts = find_facts(prompt(["goblin", "wolf"])[0])
    assert facts is not None and facts["form"] == "part"
    assert {each["target"] for each in facts["endings"]} == {"Goblin", "Wolf"}


def test_the_narrator_writes_a_trunk_that_is_true_of_all_and_a_tail_for_each() -> None:
    seen = set()
    for seed in range(40):
        for targets in ("goblin", ["goblin", "wolf"]):
            asked, before = prompt(targets)
            found = orjson.loads(answer(asked, before, seed, schema_of_tails(Narration)))
            ends = find_facts(asked)["endings"]  # type: ignore[index]
            assert found["trunk"] and "{" not in found["trunk"]
            assert [each["of"] for each in found["tails"]] == [each["of"] for each in ends]
            for ending, each in zip(ends, found["tails"], strict=True):
                text = Narration.model_validate(each["telling"]).text
                assert text and not text.startswith(found["trunk"])
                if ending["result"] == "miss":
                    assert "{damage}" not in text
                else:
                    assert "{damage}" in text
                assert not set("0123456789") & set(text)
                assert ending.get("target", "Goblin") in text or targets == "goblin"
            seen.add(found["trunk"])
    assert len(seen) > 8


def test_a_prompt_with_endings_that_asks_for_a_plain_telling_gets_one() -> None:
    asked, before = prompt()
    assert "tails" not in answer(asked, before, 0, {"type": "object", "properties": {"text": {}}})


@pytest.mark.real_time
async def test_the_narrator_tells_trunks_over_http_too() -> None:
    async with running(profile("instant")) as url:
        settings = {"variants": "trunk", "base_url": url, "main_model": "narrator"}
        async with foretell.Game(settings) as game, await game.session("t") as session:
            session.update(STATE)
            session.begin_turn("mira", turn="t1")
            action = session.declare("mira", "longsword", target="goblin")
            async with asyncio.timeout(60):
                while not any(each.usable for each in session.generations.live):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
                telling = await action.outcome("hit", damage=4)
            assert " 4 damage" in telling.text
            assert session.report()["served"]["miss"] == 0
