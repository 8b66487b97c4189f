"""What is foreseen of the open turn, and what it is learned from."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path
from typing import Any

import foretell
from foretell.operators.classify import Scene, classify
from foretell.operators.foresee import BY, Candidate, Foresight
from foretell.replay.verify import verify
from foretell.streams import events as ev
from foretell.streams.clock import run_virtual
from foretell.streams.history import History
from foretell.streams.log import read
from foretell.streams.world import Numbered, World, advance, rewound
from foretell.testing import Script, ScriptedModel

AXE = {"type": "attack", "name": "axe"}
BOW = {"type": "attack", "name": "bow"}
REST = {"type": "use", "name": "second wind"}


def actors(**change: Any) -> dict[str, Any]:
    return {
        "mira": {"side": "party", "hp": 18, "attacks": [{"name": "longsword"}, "dagger", {"x": 1}]},
        "tom": {"side": "party", "hp": 10},
        "grik": {"side": "foes", "hp": 7, "max_hp": 7},
        "snag": {"side": "foes", "hp": 7, "max_hp": 7},
        **change,
    }


def state(**change: Any) -> ev.State:
    return ev.State(1.0, {"mode": "combat", "actors": actors(**change)})


def turn(actor: str = "mira", *options: dict[str, Any]) -> ev.Turn:
    return ev.Turn(1.0, f"turn-{actor}", actor, options)


def declare(action_id: str, target: Any, **rest: Any) -> ev.Action:
    return ev.Action(1.0, action_id, None, "mira", {**AXE, "target": target}, **rest)


def did(actor: str, target: Any, action: dict[str, Any] = AXE) -> ev.Outcome:
    aimed = {**action} if target is None else {**action, "target": target}
    return ev.Outcome(1.0, (ev.Result("hit", target),), None, None, actor, aimed)


def played(*inputs: ev.Input) -> tuple[Foresight, Scene]:
    world, foresight = World(), Foresight()
    for event in inputs:
        after = advance(world, Numbered(world.number + 1, event, event.t))
        foresight.on_world(world, after)
        world = after
    return foresight, classify(world)


def candidates(*inputs: ev.Input) -> list[Candidate]:
    foresight, scene = played(*inputs)
    return foresight.candidates(scene)


def said(*inputs: ev.Input) -> list[tuple[Any, Any]]:
    found = candidates(*inputs)
    return [(each.declared.action["name"], each.declared.action.get("target")) for each in found]


def test_what_is_declared_is_what_comes() -> None:
    found = candidates(state(), turn(), declare("a1", "grik"), declare("a2", "snag"))
    assert [each.declared.action["target"] for each in found] == ["grik", "snag"]
    assert {(each.source, each.probability, each.urgency) for each in found} == {("declared", 1, 1)}
    told = (declare("a1", "grik"), ev.Outcome(2, (ev.Result("hit"),), "a1"))
    assert {each.source for each in candidates(state(), turn(), *told)} == {BY}


def test_what_is_declared_brings_its_odds_and_its_roll() -> None:
    [only] = candidates(state(), turn(), declare("a1", "grik", odds={"hit": 1.0}, rolled="hit"))
    assert (only.odds, only.rolled) == ({"hit": 1.0}, "hit")


def test_without_a_turn_or_a_declaration_nothing_is_guessed() -> None:
    assert candidates(state()) == []


def test_before_anything_is_known_the_attacks_on_the_sheet_against_foes_that_stand() -> None:
    first = said(state(), turn())
    assert first == [("longsword", "grik"), ("longsword", "snag"), ("dagger", "grik")]
    fallen = said(state(grik={"side": "foes", "hp": 0}), turn())
    assert {target for _, target in fallen} == {"snag"}


def test_only_the_options_of_the_turn_where_the_game_names_them() -> None:
    options = (BOW, {**AXE, "target": "snag"})
    assert set(said(state(), turn("mira", *options))) == {
        ("bow", "grik"),
        ("bow", "snag"),
        ("axe", "snag"),
    }
    did_more = said(state(), did("mira", "snag", REST), turn("mira", BOW))
    assert {name for name, _ in did_more} == {"bow"}


def test_what_the_actor_did_last_comes_first_if_it_still_can() -> None:
    assert said(state(), did("mira", "snag"), turn())[0] == ("axe", "snag")
    can = said(state(), did("mira", "snag"), turn("mira", BOW, AXE))
    assert can[0] == ("axe", "snag")
    cannot = said(state(), did("mira", "snag"), turn("mira", BOW))
    assert cannot[0] == ("bow", "snag")


def test_a_target_that_has_fallen_is_replaced_by_one_that_stands() -> None:
    fallen = state(snag={"side": "foes", "hp": 0})
    assert said(state(), did("mira", "snag"), fallen, turn())[0] == ("axe", "grik")


def test_when_all_foes_are_down_no_friend_is_a_target() -> None:
    foresight, scene = played(state(grik={"side": "foes", "hp": 0}, snag={"hp": 0}), turn())
    assert all("tom" not in str(each.declared.action) for each in foresight.candidates(scene))


def test_whom_its_side_aims_at_is_the_target() -> None:
    assert said(state(), did("tom", "snag"), did("tom", "snag"), turn())[0][1] == "snag"


def test_what_nobody_ever_aims_is_foreseen_without_a_target() -> None:
    rested = [did("mira", None, REST), did("mira", "grik"), did("mira", None, REST)]
    found = said(state(), *rested, turn("mira", REST))
    assert found[0] == ("second wind", None)


def test_a_blow_at_several_is_expected_at_the_same_as_long_as_all_stand() -> None:
    wave = {"type": "cast", "name": "thunderwave"}
    both = ev.Outcome(
        1.0,
        (ev.Result("failure", "grik"), ev.Result("failure", "snag")),
        None,
        None,
        "mira",
        {**wave, "target": ["grik", "snag"]},
    )
    assert said(state(), both, both, turn("mira", wave))[0] == ("thunderwave", ["grik", "snag"])
    fallen = state(snag={"side": "foes", "hp": 0})
    assert ("thunderwave", ["grik", "snag"]) not in said(
        state(), both, both, fallen, turn("mira", wave)
    )


def test_one_of_a_kind_is_expected_to_do_what_its_kind_does() -> None:
    goblins = {f"goblin-{n}": {"side": "foes", "kind": "goblin", "hp": 7} for n in (1, 2)}
    others = [did("tom", "grik"), did("mira", "grik"), did("tom", "grik")]
    shot = [did("goblin-1", "mira", BOW), did("goblin-1", "mira", BOW)]
    assert said(state(**goblins), *shot, *others, turn("goblin-2"))[0] == ("bow", "mira")


def test_of_a_stranger_without_a_sheet_nothing_is_guessed() -> None:
    assert candidates(state(), did("tom", "grik"), did("tom", "grik"), turn("snag")) == []


def test_what_was_undone_is_not_offered_until_it_is_done_again() -> None:
    history = History(World(), 10**6)
    world, foresight = World(), Foresight()
    found = []
    undo, redo = ev.Rewind(1.0, 1), ev.Rewind(1.0, 2)
    for event in (state(), did("mira", "snag"), turn(), undo, turn(), redo, turn()):
        after = history.advance(world, Numbered(world.number + 1, event, event.t))
        foresight.on_world(world, after)
        world = after
        if isinstance(event, ev.Turn):
            offered = foresight.candidates(classify(world))
            found.append("axe" in {each.declared.action["name"] for each in offered})
    assert found == [True, False, True]


def test_a_habit_is_found_out_and_the_probability_says_how_far() -> None:
    options = turn("mira", AXE, BOW, REST)
    shot = (options, did("mira", "grik", BOW))
    some = candidates(state(), *shot, options)[0]
    many = candidates(state(), *shot * 8, options)[0]
    assert some.declared.action == many.declared.action == {**BOW, "target": "grik"}
    assert 0 < some.probability < many.probability < 1


def test_probabilities_come_to_no_more_than_one() -> None:
    found = candidates(state(), did("mira", "snag"), turn("mira", AXE, BOW, REST))
    worth = [each.probability for each in found]
    assert worth == sorted(worth, reverse=True)
    assert 0 < sum(worth) <= 1


def test_what_is_offered_may_be_none_of_what_comes() -> None:
    options = turn("mira", AXE, BOW)
    well = played(state(), *(options, did("mira", "grik", BOW)) * 8, options)
    badly = played(state(), *(options, did("mira", None, REST)) * 8, options)
    whole = [math.fsum(p.probability for p in foresight.candidates(scene)[:3])
             for foresight, scene in (well, badly)]  # fmt: skip
    assert whole[0] > 0.8 and whole[1] < 0.2


def test_it_is_thought_anew_when_something_is_learned_or_somebody_falls() -> None:
    """And what is foreseen does not hang on when it was asked for."""
    history = History(World(), 10**6)
    world, asked, unasked = World(), Foresight(), Foresight()
    fallen, up, back = state(snag={"side": "foes", "hp": 0}), state(), ev.Rewind(1.0, 2)
    aims = []
    for event in (state(), turn(), fallen, up, did("mira", "snag"), back, did("tom", "grik"), back):
        after = history.advance(world, Numbered(world.number + 1, event, event.t))
        asked.on_world(world, after)
        unasked.on_world(world, after)
        world = after
        found = asked.candidates(classify(world))
        aims.append(sorted({each.declared.action["target"] for each in found}))
    both = ["grik", "snag"]
    assert aims[:4] == [[], both, ["grik"], both]
    assert repr(unasked.candidates(classify(world))) == repr(asked.candidates(classify(world)))


def test_what_was_undone_has_still_been_learned() -> None:
    foresight, scene = played(state(), turn())
    past, first = scene.world, foresight.candidates(scene)
    world = advance(past, Numbered(3, did("mira", "snag"), 1.0))
    foresight.on_world(past, world)
    undone = rewound(past, 4, Numbered(4, ev.Rewind(1.0, 2), 1.0))
    foresight.on_world(world, undone)
    then = foresight.candidates(classify(undone))
    assert [each.probability for each in then] != [each.probability for each in first]


def test_it_learns_what_was_done_and_not_what_was_only_declared() -> None:  # G7
    changed = ev.Action(1.0, "a1", None, "mira", {**BOW, "target": "grik"})
    done = (declare("a1", "grik"), changed, ev.Outcome(1.0, (ev.Result("hit"),), "a1"))
    taken_back = (declare("a2", "grik"), ev.Action(1.0, "a2", None, "mira", None))
    for inputs in (done, (*done, *taken_back)):
        offered = turn("mira", AXE, BOW, REST)
        assert said(state(), turn("tom"), *inputs, offered)[0] == ("bow", "grik")


def test_it_says_how_often_it_was_right() -> None:
    foresight, _ = played(state(), turn())
    assert foresight.report() == {"top1": None, "top3": None}
    bows = [each for _ in range(4) for each in (turn("mira", AXE, BOW), did("mira", "grik", BOW))]
    foresight, _ = played(state(), *bows)
    assert foresight.report() == {"top1": 0.75, "top3": 1.0}


# ── in a session ──────────────────────────────────────────────────────────────────────────────────


def lines(log: Path, kind: str) -> list[dict[str, Any]]:
    return [each.data for each in read(log) if each.kind == kind]


async def sitting(folder: Path, turns: int) -> None:
    """Turns in which mira shoots at snag; each second one is undone."""
    model = ScriptedModel(lambda request, number: Script({"text": "So it is."}))
    async with foretell.Game({"log_dir": str(folder)}, model=model) as game:
        session = await game.session("night")
        session.update(state().state)
        for number in range(turns):
            session.begin_turn("mira", options=[AXE, BOW, REST])
            await asyncio.sleep(10)
            before = session.world.revision
            deed = (BOW, BOW, REST)[number % 3]
            await session.declare("mira", deed, target="snag").outcome("hit", damage=1)
            if number % 2:
                session.rewind(before)
            session.end_turn()
        await session.close()


async def test_what_is_prepared_says_what_foresaw_it_and_why(tmp_path: Path) -> None:
    await sitting(tmp_path, 2)
    first, *_, last = lines(tmp_path / "night.jsonl", "~foreseen")
    assert first["actor"] == last["actor"] == "mira"
    assert math.isclose(sum(last["by"].values()), 1.0, abs_tol=1e-3)
    assert list(last["by"]) == ["recency", "popular", "markov-1", "markov-3"]
    assert last["candidates"][0]["action"] == {**BOW, "target": "snag"}
    assert last["candidates"][0]["probability"] > first["candidates"][0]["probability"]
    prepared = [
        each for each in lines(tmp_path / "night.jsonl", "~generation") if each.get("source") == BY
    ]
    assert (prepared[-1]["action"], prepared[-1]["target"]) == ("bow", "snag")


async def test_it_learns_at_off_too_so_that_it_knows_when_it_is_turned_on() -> None:
    model = ScriptedModel(lambda request, number: Script({"text": "So it is."}))
    async with foretell.Game({"intensity": "off"}, model=model) as game:
        session = await game.session("night")
        session.update(state().state)
        for number in range(5):
            if number == 4:
                session.intensity = "conservative"
            session.begin_turn("mira", options=[AXE, BOW, REST])
            await asyncio.sleep(10)
            await session.declare("mira", BOW, target="snag").outcome("hit", damage=1)
            session.end_turn()
        report = session.report()
    assert report["prediction"]["top1"] > 0.5 and report["served"]["hit"] == 1


async def test_a_session_that_goes_on_foresees_as_if_it_had_never_stopped(tmp_path: Path) -> None:
    await sitting(tmp_path / "one", 7)
    await sitting(tmp_path / "two", 6)
    await sitting(tmp_path / "two", 1)
    told = [
        {name: line[name] for name in ("actor", "by", "candidates")}
        for part in ("one", "two")
        for line in lines(tmp_path / part / "night.jsonl", "~foreseen")[-1:]
    ]
    assert told[0] == told[1]
    assert len(set(told[0]["by"].values())) > 1  # it has found out whom to trust


def test_what_was_foreseen_replays_line_by_line(tmp_path: Path) -> None:  # G9
    run_virtual(sitting(tmp_path, 5))
    run_virtual(sitting(tmp_path, 1))
    assert verify(tmp_path / "night.jsonl").difference is None
    assert lines(tmp_path / "night.jsonl", "~foreseen")
