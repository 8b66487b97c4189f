"""What is said at the table points to what is prepared, by how well such words have told it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

import foretell
from foretell.errors import StateError
from foretell.operators.classify import classify
from foretell.operators.expect import BY, WORDS
from foretell.operators.foresee import Candidate, Foresight, Mark
from foretell.replay.verify import verify
from foretell.streams import events as ev
from foretell.streams.clock import run_virtual
from foretell.streams.history import History
from foretell.streams.log import read
from foretell.streams.world import Numbered, World
from foretell.testing import Script, ScriptedModel

SWORD = {"type": "attack", "name": "longsword"}
BOW = {"type": "attack", "name": "bow"}
BOLT = {"type": "cast", "name": "Fire Bolt"}
WIND = {"type": "use", "name": "Second Wind"}
OPTIONS = (SWORD, BOW, BOLT, WIND)


def state(t: float = 0.0, **change: Any) -> ev.State:
    actors = {
        "mira": {"name": "Mira", "side": "party", "hp": 18, "player": "anna"},
        "tom": {"name": "Tom", "side": "party", "hp": 10, "spells": ["Ray of Frost"]},
        "grik": {"name": "Grik", "kind": "goblin", "side": "foes", "hp": 7},
        "snag": {"name": "Snag", "kind": "ogre", "side": "foes", "hp": 30},
    }
    return ev.State(t, {"mode": "combat", "actors": {**actors, **change}})


def turn(t: float = 0.0, actor: str = "mira", *options: dict[str, Any]) -> ev.Turn:
    return ev.Turn(t, f"turn-{t}", actor, options or (OPTIONS if actor == "mira" else ()))


def says(text: str, t: float = 1.0, who: str = "mira", *, typing: bool = False) -> ev.Say:
    return ev.Say(t, who, text, typing)


def did(action: dict[str, Any], target: str | None = "grik", t: float = 2.0) -> ev.Outcome:
    aimed = action if target is None else {**action, "target": target}
    return ev.Outcome(t, (ev.Result("hit", target),), None, None, "mira", aimed)


def played(*inputs: ev.Input, **options: Any) -> list[Candidate]:
    world, foresight = World(), Foresight(**options)
    history = History(world, 10**6)
    for event in inputs:
        after = history.advance(world, Numbered(world.number + 1, event, event.t))
        foresight.on_world(world, after)
        world = after
    return foresight.candidates(classify(world))


def first(*inputs: ev.Input, **options: Any) -> tuple[str, str, str | None, str]:
    found = played(*inputs, **options)[0]
    action = found.declared.action
    return found.declared.actor, action["name"], action.get("target"), found.source


def test_what_an_actor_speaks_of_is_likeliest_and_urgent() -> None:  # 1-47, 1-16
    silent = played(state(), turn())[0]
    assert (silent.source, silent.urgency) == (BY, 0.0)
    spoken = played(state(), turn(), says("I shoot my bow at the ogre"))[0]
    assert spoken.declared.action == {**BOW, "target": "snag"}
    assert (spoken.source, spoken.urgency) == (WORDS, 0.8)
    assert spoken.probability > 2 * silent.probability


def test_it_may_be_typed_and_taken_back() -> None:
    begun = (state(), turn(), says("I dr", typing=True), says("I draw the lon", typing=True))
    assert first(*begun)[1] == "longsword"
    other = (*begun, says("I draw the bo", typing=True), says("I draw the bow", typing=True))
    assert first(*other)[1] == "bow"
    assert first(*other, says("", typing=True))[3] == BY
    said = (*other, says("I draw the bow!"), says("ha", typing=True))
    assert first(*said)[1] == "bow"


def test_what_is_said_goes_away_with_the_turn_and_with_time() -> None:
    spoken = (state(), turn(), says("My bow!"))
    ended = (*spoken, ev.TurnEnd(2.0, "turn-0.0"), turn(3.0))
    assert first(*ended)[3] == BY
    assert first(*spoken, state(180.0))[3] == WORDS
    assert first(*spoken, state(182.0))[3] == BY


def test_of_two_things_that_are_named_the_later_counts_for_more() -> None:
    assert first(state(), turn(), says("the bow"), says("the longsword", 2.0))[1] == "longsword"
    assert first(state(), turn(), says("the longsword"), says("the bow", 2.0))[1] == "bow"


def test_who_is_not_in_turn_is_heard_for_a_minute() -> None:
    spoken = (state(), turn(), says("Ray of Frost!", who="tom"))
    for age, heard in ((60.0, True), (62.0, False)):
        found = [each.declared.actor for each in played(*spoken, state(age))]
        assert ("tom" in found) is heard


def test_only_so_many_open_declarations_are_remembered_as_they_were_foreseen() -> None:
    marks: list[Mark] = []
    many = [
        ev.Action(float(n), f"a{n}", None, "mira", {**BOW, "target": "grik"}) for n in range(70)
    ]
    ended = [ev.Outcome(99.0, (ev.Result("hit", "grik"),), f"a{n}") for n in (0, 69)]
    played(state(), turn(), *many, *ended, on_mark=marks.append)
    assert [mark.t for mark in marks] == [99.0, 69.0]


def test_what_was_done_since_is_not_what_it_still_speaks_of() -> None:
    spoken = (state(), turn(), says("A Fire Bolt, and then a Second Wind"))
    assert first(*spoken, did(BOLT))[:2] == ("mira", "Second Wind")


def test_a_rewind_takes_back_what_was_said_too() -> None:
    spoken = (state(), turn(), says("My bow!"))
    assert first(*spoken, ev.Rewind(2.0, 2))[3] == BY
    assert first(*spoken, ev.Rewind(2.0, 2), ev.Rewind(3.0, 3))[1] == "bow"


def test_the_verb_points_to_what_the_actor_has_the_habit_of() -> None:
    habit = [each for _ in range(3) for each in (turn(), did(BOW), turn(), did(WIND, None))]
    assert first(state(), *habit, turn(3.0), says("And she strikes!", 4.0))[:2] == ("mira", "bow")


def test_a_player_speaks_for_their_actor_and_a_game_master_for_whose_turn_it_is() -> None:
    assert first(state(), turn(), says("the bow", who="anna"))[1] == "bow"
    theirs = turn(0.0, "tom", BOW, SWORD)
    assert first(state(), theirs, says("the longsword", who="gm"))[1] == "longsword"
    assert first(state(), theirs, says("the longsword", who="anna"))[3] == BY
    assert first(state(), turn(), says("she draws her bow", who="gm"))[1] == "bow"
    early = (state(), says("she draws her bow", who="gm"), turn(60.0))
    assert first(*early)[3] == BY
    own = (state(), turn(), says("she draws her bow", who="gm"), says("longsword!", 2.0))
    assert first(*own)[1] == "longsword"


def test_who_is_not_in_turn_may_speak_of_what_is_on_its_sheet() -> None:
    ray = "A Ray of Frost on that ogre!"
    found = played(state(), turn(), says(ray, who="tom"))
    theirs = [each.declared.action for each in found if each.declared.actor == "tom"]
    assert theirs == [{"type": "cast", "name": "Ray of Frost", "target": "snag"}]
    assert sum(each.probability for each in found) <= 1
    assert played(state(), says(ray, who="tom"))[0].declared.actor == "tom"
    assert played(state(), says("Nice weather", who="tom")) == []
    assert played(state(), says("Is it a ray of hope?", who="tom")) == []


def test_all_together_is_no_more_than_certain() -> None:
    ray = {"type": "cast", "name": "Ray of Frost", "target": "snag"}
    inputs: list[ev.Input] = [state(), turn()]
    for n in range(1, 9):
        inputs.append(says("A Ray of Frost on the ogre!", 2.0 * n, who="tom"))
        told = (ev.Result("hit", "snag"),)
        inputs.append(ev.Outcome(2.0 * n + 1, told, None, None, "tom", ray))
    found = played(*inputs, says("Another Ray of Frost on the ogre!", 20.0, who="tom"))
    assert found[0].declared.actor == "tom" and found[0].probability > 0.7
    mira = next(each for each in found if each.declared.actor == "mira")
    alone = next(each for each in played(*inputs, state(90.0)) if each.declared.actor == "mira")
    assert mira.declared.key == alone.declared.key and mira.probability < alone.probability / 2
    assert sum(each.probability for each in found) <= 1


def test_other_names_that_the_game_has_for_a_thing_count() -> None:  # by `also`
    blade = {**SWORD, "also": ["side sword", "Wind's Edge"]}
    found = played(state(), turn(0.0, "mira", BOW, blade), says("drawing a slim side sword"))
    assert found[0].declared.action == {**SWORD, "target": "grik"}


def test_words_are_weighed_by_how_well_they_have_told() -> None:
    def worth(done: dict[str, Any]) -> float:
        inputs: list[ev.Input] = [state()]
        for n in range(6):
            at = 10.0 * n
            inputs += [turn(at), says("My bow!", at + 1), did(done, t=at + 2)]
            inputs.append(ev.TurnEnd(at + 3, f"turn-{at}"))
        found = played(*inputs, turn(100.0), says("My longsword!", 101.0))
        return next(p.probability for p in found if p.declared.action["name"] == "longsword")

    assert worth(BOW) > 2 * worth(BOLT)


def test_one_error_is_no_reason_to_listen_no_more() -> None:
    before = (state(), turn(), says("My bow!"), did(SWORD), turn(10.0))
    silent = next(p for p in played(*before) if p.declared.action["name"] == "bow")
    spoken = played(*before, says("My bow!", 11.0))
    bow = next(p for p in spoken if p.declared.action["name"] == "bow")
    assert bow.probability > 2 * silent.probability


def test_it_may_be_told_not_to_listen() -> None:
    spoken = (state(), turn(), says("My bow!"))
    assert first(*spoken, listens=False) == first(state(), turn())


def test_who_says_nothing_of_use_changes_nothing() -> None:
    for text in ("", "Hello there", "?" * 5000, "\ud800", "a" * 100_000):
        assert first(state(), turn(), says(text)) == first(state(), turn())


def test_marks_say_when_it_was_named() -> None:
    marks: list[Mark] = []
    played(state(), turn(), says("The bow", 3.0), says("Now!", 5.0), did(BOW, t=9.0),
           on_mark=marks.append)  # fmt: skip
    [mark] = marks
    assert (mark.t, mark.named, mark.place) == (9.0, 3.0, 1)
    assert mark.likely > mark.habit > 0


def test_what_was_named_counts_from_after_it_was_done_last() -> None:
    marks: list[Mark] = []
    again = (says("The bow", 3.0), did(BOW, t=4.0), says("The bow again", 5.0), did(BOW, t=9.0))
    played(state(), turn(), *again, on_mark=marks.append)
    assert [mark.named for mark in marks] == [3.0, 5.0]


# ── in a session ──────────────────────────────────────────────────────────────────────────────────


async def evening(folder: Path, **settings: Any) -> tuple[str, dict[str, Any]]:
    model = ScriptedModel(lambda request, number: Script({"text": "So it is."}))
    async with foretell.Game({"log_dir": str(folder), **settings}, model=model) as game:
        session = await game.session("night")
        session.update(state().state)
        session.begin_turn("mira", options=OPTIONS)
        await asyncio.sleep(5)
        for upto in range(1, 15):
            session.say("mira", "I draw my bow on Snag!"[:upto], typing=True)
            await asyncio.sleep(0.2)
        session.say("mira", "I draw my bow on Snag!")
        await asyncio.sleep(10)
        action = session.declare("mira", {**BOW, "target": "snag"})
        await action.outcome("hit", damage=3)
        session.end_turn()
        await session.close()
    return session.trace_sha256, session.report()


async def test_what_is_said_is_prepared_before_it_is_declared(tmp_path: Path) -> None:
    deaf = (await evening(tmp_path / "deaf", listen=False))[1]
    _, report = await evening(tmp_path / "heard")
    assert (deaf["served"]["hit"], report["served"]["hit"]) == (0, 1)
    assert report["prediction"] == {"top1": 1.0, "top3": 1.0}
    lines = [each.data for each in read(tmp_path / "heard" / "night.jsonl")]
    prepared = [each["action"] for each in lines if each["kind"] == "~generation"]
    assert prepared[0] == "longsword" and "bow" in prepared
    said = [each for each in lines if "said: own sure" in each.get("by", ())]
    assert said[0]["by"]["said: own sure"] == 0.5
    assert (said[0]["candidates"][0]["source"], said[0]["candidates"][0]["urgency"]) == (WORDS, 0.8)


def test_what_was_typed_replays_line_by_line(tmp_path: Path) -> None:  # G9
    run_virtual(evening(tmp_path))
    log = tmp_path / "night.jsonl"
    assert verify(log).difference is None
    typed = [each.data for each in read(log) if each.kind == "say"]
    assert [each.get("typing") for each in typed] == [True] * 14 + [None]


async def test_typing_must_be_true_or_false() -> None:
    async with foretell.Game() as game, await game.session("one") as session:
        with pytest.raises(StateError, match='"typing" must be true or false'):
            session.say("mira", "hm", typing="yes")  # type: ignore[arg-type]
