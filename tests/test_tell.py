"""What is told when something happens: what was prepared, if it is still true; always an end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from copy import deepcopy
from itertools import pairwise
from typing import Any

import orjson
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import AliasChoices, AliasPath, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

import foretell
from foretell import Ended, Patched, Served, Started, Status, TellingError
from foretell.operators.prompts import Account
from foretell.streams.models import (
    ModelBadRequest,
    ModelCut,
    ModelOverloaded,
    ModelUnavailable,
    Request,
)
from foretell.streams.plain import PlainFallback
from foretell.testing import (
    Script,
    ScriptedModel,
    ScriptedStream,
    instant,
    run_virtual,
    stamped,
    stamped_prompts,
)
from foretell.testing.stamps import Stamp

STATE: dict[str, Any] = {
    "mode": "combat",
    "location": {"id": "mill", "name": "Old mill"},
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin-1": {"name": "Goblin 1", "side": "foes", "hp": 12, "max_hp": 12},
        "goblin-2": {"name": "Goblin 2", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


def after(hp: float, target: str = "goblin-2", **more: Any) -> dict[str, Any]:
    state = deepcopy(STATE)
    state["actors"][target] |= {"hp": hp, **more}
    return state


def prompts(scene: Any, action: Any, outcome: Account, memory: str, content: Any) -> str:
    """A prompt that says what the text is for, so that the model can say it back."""
    entries = [
        {
            "target": entry.happened.target,
            "result": entry.happened.name or entry.happened.result,
            "values": dict(entry.happened.values),
            "name": scene.world.actor(entry.happened.target).get("name"),
            "action": entry.declared.action.get("name"),
        }
        for entry in outcome.entries
    ]
    asked = {"entries": entries, "slots": outcome.slots, "memory": memory, "part": outcome.part}
    return orjson.dumps(asked).decode()


def asked(stream: ScriptedStream | Request) -> Any:
    request = stream if isinstance(stream, Request) else stream.request
    return orjson.loads(request.messages[0].text)


def facts(stream: ScriptedStream) -> Any:
    """The facts in a prompt of our own."""
    line = stream.request.messages[-1].text.rpartition("FACTS ")[2]
    return orjson.loads(line)


def variant_of(stream: ScriptedStream | Request) -> tuple[str | None, str]:
    """The target and result a stream was asked to write of (the first, where there are more)."""
    entry = asked(stream)["entries"][0]
    return entry["target"], entry["result"]


def words(request: Request, number: int) -> str:
    about = asked(request)
    told = [
        f"{entry['name']}: {entry['result']}"
        + (" for {damage}, {target_hp} left" if about["slots"] else "")
        for entry in about["entries"]
    ]
    return f"{'; '.join(told)} (#{number})."


Answer = Callable[[Request, int], Script]


def steady(ttft: float = 1.0, delay: float = 0.1, **more: Any) -> Answer:
    return lambda request, number: Script(
        {"text": words(request, number), "lines": [], "cues": []}, ttft=ttft, delay=delay, **more
    )


class Table:
    """A session with a scripted model, and all events it gave."""

    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session = session
        self.model = model
        self.events: list[Any] = []
        session.subscribe(self.events.append)

    @property
    def foreground(self) -> list[ScriptedStream]:
        return self.model.asked("foreground")

    @property
    def prefetch(self) -> list[ScriptedStream]:
        return self.model.asked("prefetch")

    @property
    def ends(self) -> list[Ended]:
        return [event for event in self.events if isinstance(event, Ended)]

    def declare(self, target: Any = "goblin-2", **more: Any) -> foretell.Action[Any]:
        return self.session.declare("mira", "longsword", target=target, **more)


@asynccontextmanager
async def table(
    answer: Any = None, *, model: Any = None, state: Any = STATE, **given: Any
) -> AsyncIterator[Table]:
    narration = given.pop("narration", foretell.Narration)
    own = given.pop("prompts", prompts)
    scripted = ScriptedModel(answer or steady())
    async with foretell.Game(
        given, model=model(scripted) if model else scripted, prompts=own, narration=narration
    ) as game:
        session = await game.session("table")
        if state is not None:
            session.update(state)
        session.begin_turn("mira")
        yield Table(session, scripted)
    assert not scripted.open
    assert not any(stream.read_after_close for stream in scripted.streams)


def now() -> float:
    return asyncio.get_running_loop().time()


# ── a hit, an in-flight hit, a miss ──────────────────────────────────────────────────────────────


async def test_a_prepared_hit_is_told_in_the_same_instant_with_the_real_numbers() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        telling = action.outcome("hit", damage=9, state=after(3))
        at = now()
        assert (await telling).text.startswith("Goblin 2: hit for 9, 3 left (#")
        assert now() == at
        assert t.foreground == []
        [ended] = t.ends
        assert ended.served == (Served.HIT,)
        assert ended.latency == (0.0,)
        assert ended.lead == (30.0,)


async def test_a_variant_under_way_is_adopted_as_it_streams() -> None:
    async with table(steady(ttft=1.0, delay=0.5, chunk=6)) as t:
        action = t.declare()
        await asyncio.sleep(2.6)
        telling = action.outcome("hit", damage=9, state=after(3))
        at = now()
        shown = [(now() - at, text) async for text in telling.text()]
        assert shown[0][0] == 0.0 and "Goblin" in shown[0][1]
        assert len(shown) > 3
        assert "for 9, 3 left" in shown[-1][1]
        assert t.foreground == []
        assert t.ends[0].served == (Served.IN_FLIGHT,)


async def test_an_adopted_stream_outlives_the_next_turn() -> None:
    async with table(steady(delay=0.5)) as t:
        action = t.declare()
        await asyncio.sleep(1.2)
        telling = action.outcome("hit", damage=9, state=after(3))
        t.session.begin_turn("goblin-1")
        assert (await telling).text.startswith("Goblin 2: hit for 9")
        assert t.foreground == []


async def test_what_nobody_foresaw_is_generated_from_what_happened() -> None:
    async with table() as t:
        telling = t.session.outcome("goblin-2", "scimitar", "hit", target="mira", damage=4)
        at = now()
        await telling
        assert t.ends[0].served == (Served.MISS,)
        assert t.ends[0].latency[0] == pytest.approx(1.1, abs=0.2)
        [stream] = t.foreground
        assert asked(stream)["slots"] == []
        [entry] = asked(stream)["entries"]
        assert (entry["target"], entry["values"]) == ("mira", {"damage": 4, "target_hp": 16})
        assert now() > at


async def test_an_outcome_during_generation_does_not_pay_twice_for_one_variant() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(0.5)
        await action.outcome("miss")
        turn_one = [s for s in t.model.streams if s.opened_at == 0.0]
        assert [variant_of(s)[1] for s in turn_one].count("miss") == 1
        assert t.foreground == []


async def test_a_variant_is_chosen_by_its_name_and_never_by_its_place() -> None:
    def one_fails(request: Request, number: int) -> Script:
        if request.purpose == "prefetch" and variant_of(request)[1] == "hit":
            return Script(error=ModelUnavailable("down"), ttft=0.2)
        return steady()(request, number)

    async with table(one_fails) as t:
        action = t.declare()
        await asyncio.sleep(30)
        telling = action.outcome("hit", damage=9, state=after(3))
        assert (await telling).text.startswith("Goblin 2: hit (#")
        assert t.ends[0].served == (Served.MISS,)


async def test_hit_miss_and_critical_are_prepared_side_by_side() -> None:  # 0-3
    async with table() as t:
        t.declare()
        await instant()
        assert sorted(variant_of(s)[1] for s in t.prefetch) == ["critical", "hit", "miss"]
        assert {s.opened_at for s in t.prefetch} == {0.0}


async def test_odds_name_the_results_and_a_roll_ahead_leaves_one() -> None:
    async with table() as t:
        t.declare(odds={"success": 0.3, "graze": 0.7})
        await instant()
        assert [variant_of(s)[1] for s in t.prefetch] == ["graze", "success"]
        t.declare("goblin-1", rolled="graze", action_id="other")
        await instant()
        assert variant_of(t.prefetch[-1]) == ("goblin-1", "graze")


@pytest.mark.parametrize(
    "state",
    [
        pytest.param({"in_combat": True, "characters": []}, id="flag"),
        pytest.param({"combat": {"active": True, "order": ["mira"]}}, id="mapping"),
        pytest.param({"encounter": {"id": 4}, "party": {"mira": {}}}, id="encounter"),
        pytest.param({"round": 3, "turn": "mira"}, id="round"),
        pytest.param({}, id="nothing said"),
        pytest.param(None, id="no state at all"),
    ],
)
async def test_states_of_any_shape_are_prepared_for(state: Any) -> None:  # 0-7
    async with table(state=state) as t:
        action = t.declare()
        await asyncio.sleep(30)
        await action.outcome("hit", damage=9)
        assert t.ends[0].served == (Served.HIT,)


# ── after an outcome ─────────────────────────────────────────────────────────────────────────────


async def test_the_rest_of_the_turn_is_prepared_again_and_nothing_is_told_twice() -> None:
    async with table() as t:
        texts = []
        for hp in (9, 6):
            action = t.declare()
            await asyncio.sleep(30)
            texts.append((await action.outcome("hit", damage=3, state=after(hp))).text)
        assert [end.served for end in t.ends] == [(Served.HIT,), (Served.HIT,)]
        assert len(set(texts)) == 2


async def test_two_blows_of_one_action_at_once_do_not_share_a_text() -> None:
    async with table(overlap="queue") as t:
        action = t.declare()
        await asyncio.sleep(30)
        tellings = [action.outcome("miss", roll=3), action.outcome("miss", roll=7)]
        texts = [(await telling).text for telling in tellings]
        assert len(set(texts)) == 2
        assert [end.served for end in t.ends] == [(Served.HIT,), (Served.MISS,)]


async def test_a_new_target_within_the_turn_is_prepared_anew() -> None:
    async with table() as t:
        t.declare("goblin-1", action_id="a")
        await asyncio.sleep(0.5)
        action = t.declare("goblin-2", action_id="a")
        await instant()
        old = [s for s in t.prefetch if variant_of(s)[0] == "goblin-1"]
        assert {s.closed_at for s in old} == {0.5}
        await asyncio.sleep(30)
        assert (await action.outcome("hit", damage=9, state=after(3))).text.startswith("Goblin 2")
        assert t.ends[0].served == (Served.HIT,)


async def test_a_result_for_a_target_nobody_aimed_at_is_not_told_from_another_ones_text() -> None:
    async with table() as t:
        action = t.declare("goblin-1")
        await asyncio.sleep(30)
        hurt = {"target": "goblin-2", "result": "hit", "values": {"damage": 2}}
        telling = action.outcome(results=[hurt])
        await asyncio.sleep(0.5)
        renamed = after(10, name="Snaga")
        t.session.update(renamed)
        assert (await telling).text.startswith("Snaga: hit (#")
        assert t.ends[0].served == (Served.MISS,)


async def test_twenty_quick_turns_leave_nothing_running() -> None:
    async with table(steady(ttft=5.0), max_speculations=6) as t:
        for turn in range(20):
            t.session.begin_turn("mira" if turn % 2 else "goblin-1")
            t.session.declare("mira", f"blow {turn}", target="goblin-2")
            await asyncio.sleep(0.05)
            assert len(t.session.generations.live) <= 6
            assert len(t.model.open) <= 6
        t.session.end_turn()
        await instant()
        assert t.session.generations.live == ()
        assert t.model.open == []


async def test_leaving_combat_ends_what_was_prepared_for_it() -> None:
    async with table(steady(ttft=5.0)) as t:
        t.declare()
        await asyncio.sleep(1)
        assert len(t.model.open) == 3
        t.session.update({**STATE, "mode": "exploration"})
        await asyncio.sleep(0.1)
        assert t.model.open == []


# ── expected and unexpected changes ──────────────────────────────────────────────────────────────


EARLY = pytest.mark.parametrize(
    "early", [None, 0, 0.3, 3], ids=["outcome first", "state first", "settled", "long before"]
)
"""How many seconds a state comes before the outcome that is its reason."""


@EARLY
@pytest.mark.parametrize("named", [True, False], ids=["because", "footprint"])
async def test_an_outcome_before_or_after_its_own_state_gives_the_same_telling(
    early: float | None, named: bool
) -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        because = action if named else None
        if early is not None:
            t.session.update(after(3), because)
            await asyncio.sleep(early)
        telling = action.outcome("hit", damage=9)
        if early is None:
            t.session.update(after(3), because)
        assert (await telling).text == "Goblin 2: hit for 9, 3 left (#1)."
        assert t.ends[0].served == (Served.HIT,)


@EARLY
@pytest.mark.parametrize("how", ["because", "footprint", "removed", "combat over"])
async def test_one_who_falls_is_never_told_as_standing(early: float | None, how: str) -> None:
    felled = after(0)
    if how == "removed":
        removed(felled)
    if how == "combat over":
        felled["mode"] = "exploration"
    async with table(state=after(4)) as t:
        action = t.declare()
        because = None if how == "footprint" else action
        await asyncio.sleep(30)
        if early is not None:
            t.session.update(felled, because)
            await asyncio.sleep(early)
        telling = action.outcome("hit", damage=9)
        if early is None:
            t.session.update(felled, because)
        assert (await telling).text.startswith("Goblin 2: kill")
        assert t.ends[0].served == (Served.HIT,)


async def told_of(
    hp: int, damage: int, result: str, said: Mapping[str, Any], named: bool, early: float | None
) -> tuple[str, Served]:
    """What is told of a blow whose state comes so many seconds before it, or after it."""
    async with table(state=after(hp)) as t:
        action = t.declare()
        await asyncio.sleep(30)
        shown = after(max(0, hp - damage)) | said
        if early is not None:
            t.session.update(shown, action if named else None)
            await asyncio.sleep(early)
        telling = action.outcome(result, damage=damage)
        if early is None:
            t.session.update(shown, action if named else None)
        return (await telling).text, t.ends[0].served[0]


@given(
    hp=st.integers(1, 12),
    damage=st.integers(1, 14),
    result=st.sampled_from(["hit", "critical"]),
    said=st.sampled_from([{}, {"mode": "exploration"}, {"tick": 7}]),
    named=st.booleans(),
    early=st.sampled_from([0, 0.02, 0.06, 0.2, 1.0, 20.0]),
)
def test_whatever_a_blow_does_its_state_may_come_first(  # G1
    hp: int, damage: int, result: str, said: dict[str, Any], named: bool, early: float
) -> None:
    assume(named or "mode" not in said)  # nobody knows then that it was the blow's doing
    assume(damage < hp or hp <= 4)  # a blow that fells one in health is prepared once a state shows
    first = run_virtual(told_of(hp, damage, result, said, named, early))
    assert first == run_virtual(told_of(hp, damage, result, said, named, None))


@pytest.mark.parametrize("named", [True, False])
async def test_several_blows_at_one_target_are_each_told_as_prepared(named: bool) -> None:  # G1
    async with table() as t:
        first, second = t.declare(), t.session.declare("snag", "axe", target="goblin-2")
        await asyncio.sleep(30)
        await first.outcome("hit", damage=9, state=after(3) if named else None)
        await asyncio.sleep(30)
        await second.outcome("hit", damage=3, state=after(0) if named else None)
        told = [(end.served, end.text) for end in t.ends]
        assert told[0][0] == told[1][0] == (Served.HIT,)
        assert told[0][1].startswith("Goblin 2: hit for 9, 3 left")
        assert told[1][1].startswith("Goblin 2: kill")


async def test_what_is_told_late_speaks_of_who_stood_when_it_happened() -> None:  # G1
    answer = Script({"text": "It is done."})
    async with table(answer, intensity="off", overlap="queue", prompts=None) as t:
        for hp in (7, 2, 0):
            t.session.outcome("mira", "bow", "hit", target="goblin-2", damage=5, state=after(hp))
        t.session.outcome("snag", "axe", "hit", target="goblin-2", damage=1)
        await asyncio.sleep(60)
        facts = [orjson.loads(stream.prompt.rsplit("FACTS ", 1)[1]) for stream in t.foreground]
        said = [each["tellings"][0] for each in facts]
        assert [each["values"]["target_hp"] for each in said[:3]] == [7, 2, 0]
        assert [each["result"] for each in said] == ["hit", "hit", "kill", "hit"]
        assert [each.get("down", False) for each in said] == [False, False, False, True]


@pytest.mark.parametrize("hp", [4, 0])
async def test_a_blow_that_may_have_felled_is_told_as_neither(hp: int) -> None:  # G1
    answer = Script({"text": "It is done."})
    async with table(answer, prompts=None, state=after(4)) as t:
        action = t.declare()
        await asyncio.sleep(30)
        if hp == 0:
            t.session.update(after(0))  # not said to be of this blow: it may be another's
        await action.outcome("hit")
        [told] = orjson.loads(t.foreground[0].prompt.rsplit("FACTS ", 1)[1])["tellings"]
        assert (told["result"], told["unsure"]) == ("hit", True) and "values" not in told


@pytest.mark.parametrize("wait", [0, 0.1])
async def test_the_slain_may_be_taken_off_the_board_by_any_update(wait: float) -> None:
    felled = after(0)
    removed(felled)
    async with table(state=after(4)) as t:
        action = t.declare()
        await asyncio.sleep(1.05)  # under way
        telling = action.outcome("hit", damage=9)
        await asyncio.sleep(wait)
        t.session.update(felled)
        assert (await telling).text.startswith("Goblin 2: kill")
        assert t.ends[0].served == (Served.IN_FLIGHT,)
        assert t.foreground == []


@pytest.mark.parametrize(
    "actor",
    [
        {"name": "Goblin 2", "side": "foes", "hp": 4, "max_hp": 12},
        {"name": "Goblin 2", "side": "foes", "hp": 4},
        {"name": "Goblin 2", "side": "foes", "health": 4, "max_health": 12},
    ],
    ids=["hp", "no maximum", "health"],
)
@pytest.mark.parametrize("rolled", [None, {"result": "hit", "damage": 9}])
async def test_a_kill_is_prepared_however_health_is_said(
    actor: dict[str, Any], rolled: dict[str, Any] | None
) -> None:
    state = deepcopy(STATE)
    state["actors"]["goblin-2"] = actor
    async with table(state=state) as t:
        action = t.declare(rolled=rolled)
        await asyncio.sleep(30)
        await action.outcome("hit", damage=9)
        assert t.ends[0].served == (Served.HIT,)


async def test_a_state_that_changes_now_and_then_is_not_restless() -> None:
    async with table() as t:
        t.session.end_turn()
        for round_ in range(6):
            action = t.declare()
            await asyncio.sleep(2)
            t.session.update({**STATE, "location": {"name": f"Room {round_}"}})
            await asyncio.sleep(5)
            await action.outcome("miss")
            await asyncio.sleep(120)
        assert {end.served for end in t.ends} == {(Served.HIT,)}


async def test_one_action_has_one_handle_that_knows_its_latest_target() -> None:  # G1
    async with table() as t:
        action = t.declare("goblin-1")
        assert t.declare("goblin-2", action_id=action.id) is action
        t.session.end_turn()
        t.session.begin_turn("mira")
        assert (await action.outcome("miss")).text.startswith("Goblin 2: miss")


async def test_an_action_stays_prepared_whatever_else_is_done_meanwhile() -> None:
    async with table() as t:
        t.session.end_turn()
        action = t.declare()
        for _ in range(70):
            await t.session.outcome("snag", "axe", "miss", target="mira")
        await asyncio.sleep(30)
        await action.outcome("hit", damage=9, state=after(3))
        assert t.ends[-1].served == (Served.HIT,)


async def test_a_great_blow_that_a_state_shows_first_is_prepared_from_then_on() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        t.session.update(after(0), action)
        await asyncio.sleep(30)
        assert (await action.outcome("hit", damage=99)).text.startswith("Goblin 2: kill")
        assert t.ends[0].served == (Served.HIT,)


async def test_one_felled_by_another_hand_is_not_told_as_staggering() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        t.session.update(after(0))
        telling = action.outcome("hit", damage=3)
        assert "left" not in (await telling).text
        assert t.ends[0].served == (Served.MISS,)


def removed(state: dict[str, Any]) -> None:
    del state["actors"]["goblin-2"]


def renamed(state: dict[str, Any]) -> None:
    state["actors"]["goblin-2"]["name"] = "Snaga"


def moved_house(state: dict[str, Any]) -> None:
    state["location"] = {"id": "river", "name": "River"}


def disarmed(state: dict[str, Any]) -> None:
    state["actors"]["mira"]["weapon"] = None


@pytest.mark.parametrize("change", [removed, renamed, moved_house, disarmed])
async def test_an_unexpected_change_lets_nothing_prepared_through(
    change: Callable[[dict[str, Any]], None],
) -> None:  # 0-8
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        prepared = len(t.prefetch)
        changed = deepcopy(STATE)
        change(changed)
        t.session.update(changed)
        telling = action.outcome("hit", damage=9)
        await telling
        assert t.ends[0].served == (Served.MISS,)
        assert {s.opened_at for s in t.prefetch[prepared:]} <= {30.0}
        assert t.session.report()["stale"] == 0


async def test_an_unexpected_change_closes_streams_in_the_same_instant() -> None:
    async with table(steady(ttft=5.0)) as t:
        t.declare()
        await asyncio.sleep(1)
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        await instant()
        assert {s.closed_at for s in t.prefetch} == {1.0}
        await asyncio.sleep(1)
        assert len(t.model.open) == 3  # the same, of the new name


async def test_what_the_world_has_outrun_is_not_even_begun() -> None:
    async with table() as t:
        t.declare()
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        await asyncio.sleep(0.04)
        assert t.model.streams == []
        await asyncio.sleep(0.1)
        assert [asked(s)["entries"][0]["name"] for s in t.prefetch] == ["Snaga"] * 3


async def test_an_adopted_stream_that_is_revoked_is_written_anew() -> None:
    async with table(steady(ttft=5.0)) as t:
        action = t.declare(["goblin-1", "goblin-2"])
        await asyncio.sleep(1)
        telling = action.outcome(
            results=[{"target": f"goblin-{n}", "result": "miss"} for n in (1, 2)]
        )
        await asyncio.sleep(1)
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        assert (await telling).text.startswith("Goblin 1: miss; Snaga: miss (#")
        assert t.ends[0].served == (Served.MISS,)
        assert (t.session.report()["stale"], t.session.report()["untrue"]) == (0, 0)


@pytest.mark.parametrize("named", [False, True], ids=["by nobody", "by another action"])
@pytest.mark.parametrize("said", [{}, {"target_hp": 0}], ids=["unsaid", "said"])
async def test_one_whom_another_hand_has_felled_is_not_killed_once_more(
    named: bool, said: dict[str, int]
) -> None:  # G1: the game has named each of its blows so far
    actors: dict[str, Any] = {
        name: {"name": name.title(), "side": side, "hp": 20, "max_hp": 20}
        for name, side in (("ann", "a"), ("cid", "a"), ("bob", "b"))
    }
    model = ScriptedModel(stamped)
    game = foretell.Game({"intensity": "aggressive"}, model=model, prompts=stamped_prompts)
    async with game, await game.session("poisoned") as session:

        def show(hp: int, because: foretell.Action[Any] | None = None) -> None:
            actors["bob"]["hp"] = hp
            session.update({"mode": "combat", "actors": actors}, because)

        show(9)
        for hp in (7, 5):
            session.begin_turn("cid")
            blow = session.declare("cid", "sword", target="bob")
            await asyncio.sleep(6)
            await blow.outcome("hit", damage=2)
            show(hp, blow)
            session.end_turn()
        session.begin_turn("ann")
        blow = session.declare("ann", "sword", target="bob")
        await asyncio.sleep(8)
        show(0, session.declare("cid", "bow", target="bob") if named else None)
        await asyncio.sleep(1)
        (told,) = Stamp.read((await blow.outcome("hit", damage=4, **said)).text)
        assert told.result == "hit" and session.report()["untrue"] == 0


async def test_what_was_prepared_before_another_outcome_is_not_told_after_it() -> None:
    async with table(overlap="queue") as t:
        first, second = t.declare("goblin-1"), t.declare("goblin-2")
        await asyncio.sleep(30)
        first.outcome("miss")
        await second.outcome("miss")
        assert [end.served for end in t.ends] == [(Served.HIT,), (Served.MISS,)]


async def test_there_and_back_again_is_a_change_too() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        t.session.update(STATE)
        telling = action.outcome("hit", damage=9)
        await telling
        assert t.ends[0].served == (Served.MISS,)


async def test_after_there_and_back_again_all_is_prepared_anew() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        t.session.update(STATE)
        await asyncio.sleep(30)
        await action.outcome("hit", damage=9)
        assert t.ends[0].served == (Served.HIT,)
        assert len(t.prefetch) >= 6


async def test_unrelated_changes_cancel_nothing() -> None:
    async with table(steady(ttft=20.0)) as t:
        action = t.declare()
        for step in range(100):
            await asyncio.sleep(1 / 60)
            changed = deepcopy(STATE)
            changed["weather"] = step
            changed["actors"]["mira"]["pos"] = [step, 0]
            changed["actors"]["goblin-1"]["name"] = f"Goblin {step}"
            t.session.update(changed)
        await asyncio.sleep(30)
        await action.outcome("hit", damage=9)
        assert len([s for s in t.prefetch if s.opened_at == 0.0 and s.finished]) == 3
        assert t.ends[0].served == (Served.HIT,)


async def test_a_change_before_the_first_word_makes_the_foreground_begin_anew() -> None:
    async with table(steady(ttft=2.0)) as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        await asyncio.sleep(1)
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        assert (await telling).text.startswith("Snaga")
        assert t.foreground[0].closed_at == 1.0
        assert len(t.foreground) == 2


async def test_a_frame_without_a_word_binds_nobody() -> None:
    async with table(steady(ttft=1.0, delay=1.0, chunk=9)) as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        await asyncio.sleep(1.5)
        assert t.foreground[0].text == '{"text":"'
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        assert (await telling).text.startswith("Snaga")
        opened = [patch async for patch in telling.patches() if patch.path == ()]
        assert [patch.op for patch in opened] == ["set", "done"]


async def test_a_change_after_the_first_word_does_not_take_it_back() -> None:
    async with table(steady(ttft=1.0, delay=0.5)) as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        await asyncio.sleep(2.2)
        renamed(changed := deepcopy(STATE))
        t.session.update(changed)
        assert (await telling).text.startswith("Goblin 2")
        assert len(t.foreground) == 1


async def test_an_undeclared_outcome_with_its_state_is_not_taken_by_surprise_by_it() -> None:
    async with table() as t:
        changed = after(3)
        changed["actors"]["mira"]["xp"] = 50
        telling = t.session.outcome(
            "mira", "longsword", "hit", target="goblin-2", damage=9, state=changed
        )
        await telling
        assert len(t.foreground) == 1
        assert asked(t.foreground[0])["entries"][0]["values"]["target_hp"] == 3


# ── several targets, several outcomes ────────────────────────────────────────────────────────────


async def test_each_target_has_its_own_result() -> None:
    async with table() as t:
        action = t.session.declare("mira", "fireball", type="cast", target=["goblin-1", "goblin-2"])
        await asyncio.sleep(30)
        telling = action.outcome(
            results=[
                {"target": "goblin-1", "result": "hit", "values": {"damage": 8}},
                {"target": "goblin-2", "result": "miss"},
            ]
        )
        text = (await telling).text
        assert text.startswith("Goblin 1: hit for 8, 4 left (#")
        assert " Goblin 2: miss (#" in text
        assert t.ends[0].served == (Served.HIT,)
        assert asked(t.prefetch[0])["part"]


async def test_one_target_that_was_not_prepared_makes_all_of_it_anew() -> None:
    async with table() as t:
        action = t.session.declare("mira", "fireball", type="cast", target=["goblin-1", "goblin-2"])
        await asyncio.sleep(30)
        telling = action.outcome(
            results=[
                {"target": "goblin-1", "result": "hit", "values": {"damage": 8}},
                {"target": "goblin-2", "result": "polymorphed"},
            ]
        )
        text = (await telling).text
        [stream] = t.foreground
        assert text == f"Goblin 1: hit; Goblin 2: polymorphed (#{stream.number})."
        assert t.ends[0].served == (Served.MISS,)


async def test_conflated_outcomes_share_one_telling() -> None:
    async with table() as t:
        tellings = [
            t.session.outcome("mira", f"blow {n}", "miss", target="goblin-2") for n in range(3)
        ]
        await tellings[2]
        assert tellings[1].id == tellings[2].id != tellings[0].id
        assert tellings[1].ended is tellings[2].ended
        assert len(tellings[1].ended.outcomes) == 2
        assert [event for event in t.events if isinstance(event, Started)][1].outcomes == (
            tellings[1].ended.outcomes
        )
        assert len(t.foreground) == 2


async def test_outcomes_for_different_viewers_are_not_told_together() -> None:
    async with table() as t:
        tellings = [
            t.session.outcome("mira", f"blow {n}", "miss", target="goblin-2", to=to)
            for n, to in enumerate(((), ("gm",), "mira", ("gm",)))
        ]
        for telling in tellings:
            await telling
        assert [end.to for end in t.ends] == [(), ("gm",), ("mira",)]
        assert len(t.ends[1].outcomes) == 2


async def test_queued_outcomes_are_told_one_by_one() -> None:
    async with table(overlap="queue") as t:
        tellings = [
            t.session.outcome("mira", f"blow {n}", "miss", target="goblin-2") for n in range(3)
        ]
        for telling in tellings:
            await telling
        assert [len(end.outcomes) for end in t.ends] == [1, 1, 1]
        assert [end.t for end in t.ends] == sorted({end.t for end in t.ends})


async def test_an_interrupted_telling_is_marked_and_remembered_as_far_as_it_came() -> None:
    async with table(steady(delay=1.0), overlap="interrupt") as t:
        first = t.session.outcome("mira", "one", "miss", target="goblin-2")
        await asyncio.sleep(3.2)
        skipped = t.session.outcome("mira", "two", "miss", target="goblin-2")
        last = t.session.outcome("mira", "three", "miss", target="goblin-2")
        await last
        assert [end.status for end in t.ends] == ["superseded", "superseded", "done"]
        assert [end.served for end in t.ends] == [
            (Served.MISS,),
            (Served.SUPERSEDED,),
            (Served.MISS,),
        ]
        assert 0 < len(first.ended.text) < len(last.ended.text)
        assert t.session.transcript.text() == f"{first.ended.text}\n\n{last.ended.text}"
        assert t.foreground[0].closed_at == 3.2
        with pytest.raises(TellingError) as failure:
            await skipped
        assert failure.value.kind == "superseded"
        assert asked(t.foreground[-1])["memory"] == first.ended.text


async def test_a_telling_can_be_cancelled_at_any_time() -> None:
    async with table(overlap="queue") as t:
        session = t.session
        at_once = session.outcome("mira", "zero", "miss", target="goblin-2")
        at_once.cancel()
        under_way = session.outcome("mira", "one", "miss", target="goblin-2")
        waiting = session.outcome("mira", "two", "miss", target="goblin-2")
        told = session.outcome("mira", "three", "miss", target="goblin-2")
        await asyncio.sleep(1.15)
        under_way.cancel()
        waiting.cancel()
        waiting.cancel()
        await told
        told.cancel()
        await instant()
        assert [end.status for end in t.ends] == ["superseded"] * 3 + ["done"]
        assert t.ends[1].t == 1.15
        assert len(t.foreground) == 2


async def test_a_cancelled_one_of_several_that_wait_leaves_the_others() -> None:
    async with table() as t:
        session = t.session
        first, second, third = (
            session.outcome("mira", f"blow {n}", "miss", target="goblin-2") for n in range(3)
        )
        await instant()
        second.cancel()
        await first
        await third
        assert second.ended.status == "superseded"
        assert third.ended.outcomes == (t.ends[-1].outcomes)
        assert [asked(s)["entries"][0]["action"] for s in t.foreground] == ["blow 0", "blow 2"]


# ── models that fail ─────────────────────────────────────────────────────────────────────────────


async def test_a_deadline_gives_a_typed_error_with_text_that_can_be_shown() -> None:
    async with table(Script(hangs=True), deadline=5.0) as t:
        telling = t.session.outcome("mira", "longsword", "hit", target="goblin-2", damage=9)
        with pytest.raises(TellingError) as failure:
            await telling
        assert now() == 5.0
        assert failure.value.kind == "deadline"
        assert failure.value.fallback == "Mira: longsword against Goblin 2: hit, 9 damage."
        [ended] = t.ends
        assert (ended.status, ended.served) == (Status.FAILED, (Served.FAILED,))
        assert ended.latency == (5.0,)
        assert t.session.transcript.text() == failure.value.fallback
        assert t.foreground[0].closed_at == 5.0


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        ('{"text": "He says "]}{"s" and falls.", "lines": []}', Status.FAILED),
        ('{"text": "He says no.", "cues": ["a gong", "a long silence"]}', Status.DONE),
    ],
)
async def test_a_text_that_seems_whole_and_is_broken_at_the_deadline_is_not_done(
    answer: str, status: Status
) -> None:
    slow = Script(answer, ttft=1.0, delay=1.0, chunk=9)
    async with table(slow, deadline=5.5, intensity="off") as t:
        t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        await asyncio.sleep(20)
        assert [(end.status, end.t) for end in t.ends] == [(status, 5.5)]


async def test_what_waits_behind_a_hanging_model_keeps_its_own_deadline() -> None:
    async with table(Script(hangs=True), deadline=5.0, overlap="queue") as t:
        t.session.outcome("mira", "one", "miss", target="goblin-2")
        await asyncio.sleep(1)
        t.session.outcome("mira", "two", "miss", target="goblin-2")
        await asyncio.sleep(20)
        assert [end.t for end in t.ends] == [5.0, 6.0]


async def test_a_deadline_ends_nothing_that_has_time_left() -> None:  # G2
    scripts = [
        Script({"text": "Done."}, ttft=3.0),
        Script(hangs=True),
        Script({"text": "Now."}, ttft=0.5),
    ]
    async with table(lambda _, n: scripts[n - 1], deadline=6.0, intensity="off") as t:
        tellings = []
        for name in ("one", "two", "three", "four"):
            tellings.append(t.session.outcome("mira", name, "miss", target="goblin-2"))
            await asyncio.sleep(0.9)
        await asyncio.sleep(20)
        first, second, third = t.ends
        assert (first.outcomes, first.status) == ((3,), Status.DONE)
        assert (second.outcomes, second.status, round(second.t, 1)) == ((4,), Status.FAILED, 6.9)
        assert second.text == "Mira: two against Goblin 2: miss."
        assert (third.outcomes, third.text, round(third.t, 1)) == ((5, 6), "Now.", 7.4)
        assert [each.ended for each in tellings] == [first, second, third, third]
        assert [text async for text in tellings[2].text()] == ["Now."]
        begun = [(e.telling, e.outcomes) for e in t.events if isinstance(e, Started)]
        assert begun[1:] == [("t4", (4, 5, 6)), ("t4", (4,)), ("t5", (5, 6))]
        assert [seen.outcomes for seen in t.session.transcript.tellings()] == [(3,), (4,), (5, 6)]


async def test_what_was_told_of_a_group_stays_as_it_is_at_its_deadline() -> None:  # G2
    scripts = [
        Script({"text": "Done."}, ttft=3.0),
        Script(hangs=True),
        Script({"text": "Now."}, ttft=0.5),
    ]

    def answer(request: Request, number: int) -> Script:
        prefetch = request.purpose == "prefetch"
        return steady()(request, number) if prefetch else scripts.pop(0)

    async with table(answer, deadline=6.0) as t:
        declared = t.declare()
        await asyncio.sleep(10)
        t.session.outcome("mira", "one", "miss", target="goblin-1")
        await asyncio.sleep(0.9)
        ready = declared.outcome("miss")
        await asyncio.sleep(0.9)
        late = t.session.outcome("mira", "two", "miss", target="goblin-1")
        await asyncio.sleep(20)
        assert [(end.status, round(end.t, 1)) for end in t.ends] == [
            (Status.DONE, 13.0),
            (Status.DONE, 16.9),
            (Status.DONE, 17.4),
        ]
        assert ready.ended.served == (Served.IN_FLIGHT,) and ready.ended.error is None
        assert ready.ended.text.startswith("Goblin 2: miss") and late.ended.text == "Now."


async def test_what_has_time_left_does_not_end_with_what_has_none() -> None:  # G2, G10
    scripts = [Script(hangs=True), Script({"text": "At last."}, ttft=1.0)]
    async with table(lambda _, n: scripts[min(n, 2) - 1], deadline=20.0, intensity="off") as t:
        for wait in (0.5, 5.5, 6.0, 30.0):
            t.session.outcome("mira", f"blow at {now():g}", "miss", target="goblin-2")
            await asyncio.sleep(wait)
        assert [(end.status.value, round(end.t, 1), len(end.outcomes)) for end in t.ends] == [
            ("failed", 20.0, 1),
            ("failed", 20.5, 1),
            ("done", 21.5, 2),
        ]


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        pytest.param(
            Script(error=ModelUnavailable("no server: start it")), "unavailable", id="down"
        ),
        pytest.param(Script(error=ModelBadRequest("no")), "bad_request", id="refused"),
        pytest.param(Script("I cannot.", stop="refusal"), "refusal", id="declines"),
        pytest.param(Script(""), "protocol", id="empty"),
        pytest.param(Script({"cues": []}), "invalid", id="no text"),
        pytest.param(Script({"text": "  "}), "invalid", id="blank"),
        pytest.param(Script({"text": 7}), "invalid", id="a number"),
        pytest.param(Script({"cues": ["a"], "text": None}), "invalid", id="null"),
        pytest.param(Script('{"text": '), "invalid", id="half"),
        pytest.param(Script(error=RuntimeError("boom")), "model_error", id="raises"),  # type: ignore[arg-type]
    ],
)
async def test_a_failing_model_gives_a_typed_error_and_true_text(
    script: Script, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with table(script, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "hit", target="goblin-2", damage=9)
        with pytest.raises(TellingError) as failure:
            await telling
        assert failure.value.kind == kind
        assert "\n" not in str(failure.value)
        assert failure.value.fallback.endswith("Mira: longsword against Goblin 2: hit, 9 damage.")
        assert "".join(e.text for e in t.events if isinstance(e, Patched)) == t.ends[0].text


async def test_a_stream_cut_after_its_text_needs_no_fallback() -> None:
    whole = {"text": "It is done.", "lines": [], "cues": ["drums", "a long roll of drums"]}
    script = Script(whole, error=ModelCut("cut"), chunks=4, chunk=10)
    async with table(script, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "hit", target="goblin-2", damage=9)
        with pytest.raises(TellingError) as failure:
            await telling
        assert failure.value.kind == "cut"
        assert failure.value.fallback == "It is done."


async def test_a_stream_cut_in_its_text_is_completed_with_plain_words() -> None:
    script = Script({"text": "Mira swings and strikes."}, error=ModelCut("cut"), chunks=2, chunk=14)
    async with table(script, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "hit", target="goblin-2", damage=9)
        with pytest.raises(TellingError):
            await telling
        assert t.ends[0].text.startswith("Mira swings and ")
        assert t.ends[0].text == (
            "Mira swings and str … Mira: longsword against Goblin 2: hit, 9 damage."
        )


async def test_a_server_that_never_has_time_is_named_at_the_deadline() -> None:
    busy = Script(error=ModelOverloaded("529 Overloaded"), ttft=0.0)
    async with table(busy, intensity="off", deadline=5.0) as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        with pytest.raises(TellingError, match=r"deadline of 5 s; .*529 Overloaded") as failure:
            await telling
        assert failure.value.kind == "deadline"


async def test_a_server_that_asks_for_patience_is_asked_again() -> None:
    busy = Script(error=ModelOverloaded("busy", 2.0), ttft=0.0)
    async with table([busy, Script({"text": "At last."}, ttft=0.5)], intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        assert (await telling).text == "At last."
        assert t.foreground[1].opened_at == 2.0


async def test_what_is_told_together_is_told_whole_though_the_world_moves_on_meanwhile() -> None:
    foes = ["goblin-1", "goblin-2"]
    async with table(steady(ttft=1.0, delay=0.3)) as t:
        action = t.session.declare("mira", {"type": "cast", "save": "dex", "target": foes})
        await asyncio.sleep(1.5)
        burnt = [{"target": each, "result": "failure", "damage": 3} for each in foes]
        telling = action.outcome(results=burnt)
        await asyncio.sleep(0.1)
        t.session.update({**STATE, "location": {"name": "Pit"}})
        await telling
        assert t.ends[0].served == (Served.IN_FLIGHT,)
        assert t.foreground == []


async def test_a_prepared_text_that_breaks_off_unheard_is_written_anew() -> None:
    def cut(request: Request, number: int) -> Script:
        if request.purpose == "prefetch":
            return Script({"text": "…"}, ttft=3.0, error=ModelCut("cut"))
        return steady()(request, number)

    async with table(cut) as t:
        action = t.declare()
        await asyncio.sleep(1)
        assert (await action.outcome("miss")).text.startswith("Goblin 2: miss")
        assert t.ends[0].served == (Served.MISS,)


async def test_a_server_without_structured_output_is_asked_for_plain_text() -> None:
    def plain_only(request: Request, number: int) -> Script:
        if request.schema is not None:
            return Script(error=ModelBadRequest("output_config: unknown field"), ttft=0.1)
        return Script(words(request, number), ttft=0.5)

    async with table(plain_only, model=PlainFallback, intensity="off") as t:
        for _ in range(2):
            telling = await t.session.outcome("mira", "longsword", "miss", target="goblin-2")
            assert telling.text.startswith("Goblin 2: miss (#")
        assert [s.request.schema is None for s in t.foreground][-2:] == [True, True]
        assert t.foreground[-3].request.schema is not None


async def test_plain_text_becomes_the_text() -> None:
    async with table(words, output="text") as t:
        action = t.declare()
        await asyncio.sleep(10)
        telling = await action.outcome("hit", damage=9, state=after(3))
        assert telling.text.startswith("Goblin 2: hit for 9, 3 left (#")
        assert t.model.streams[0].request.schema is None


async def test_plain_text_for_several_targets_is_joined() -> None:
    async with table(words, output="text") as t:
        action = t.session.declare("mira", "fireball", type="cast", target=["goblin-1", "goblin-2"])
        await asyncio.sleep(30)
        telling = await action.outcome(
            results=[
                {"target": "goblin-1", "result": "hit", "values": {"damage": 8}},
                {"target": "goblin-2", "result": "miss"},
            ]
        )
        assert telling.text.startswith("Goblin 1: hit for 8, 4 left (#")
        assert " Goblin 2: miss (#" in telling.text
        assert t.ends[0].served == (Served.HIT,)
        assert t.session.report()["faults"] == 0


async def test_prompts_that_raise_cost_the_telling_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def raising(scene: Any, action: Any, outcome: Account, memory: str, content: Any) -> str:
        if action.action["name"] == "bad":
            raise LookupError("no such template")
        return prompts(scene, action, outcome, memory, content)

    async with table(prompts=raising) as t:
        bad = t.session.declare("mira", "bad", target="goblin-2")
        await asyncio.sleep(1)
        telling = bad.outcome("hit", damage=1)
        with pytest.raises(TellingError) as failure:
            await telling
        assert failure.value.fallback == "Mira: bad against Goblin 2: hit, 1 damage."
        good = await t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        assert good.text.startswith("Goblin 2: miss")


# ── own models of a telling ──────────────────────────────────────────────────────────────────────


class Beat(BaseModel):
    mood: str
    line: str
    tags: list[str]


async def test_a_telling_can_have_a_model_of_ones_own() -> None:
    answer: dict[str, Any] = {"mood": "grim", "line": "Nobody moves.", "tags": ["slow"]}
    async with table(Script({**answer, "text": "x"}), narration=Beat, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        partials = [partial async for partial in telling]
        beat = await telling
        assert beat == Beat(**answer)
        assert partials[-1].final == beat and not partials[0].done()
        assert all(set(a) <= set(b) for a, b in pairwise(partials))
        schema = t.foreground[0].request.schema
        assert schema is not None and list(schema["properties"]) == ["mood", "line", "tags"]


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)

    full_story: str


class Named(BaseModel):
    text: str = Field(alias="Text")


class Chosen(BaseModel):
    story: str = Field(validation_alias=AliasChoices(AliasPath("told", 0), "prose", "words"))


@pytest.mark.parametrize("model", [Camel, Named, Chosen])
async def test_the_text_of_a_model_may_have_another_name_in_json(model: type[BaseModel]) -> None:
    def answer(request: Request, number: int) -> Script:
        assert request.schema is not None
        (name,) = request.schema["properties"]
        return Script({name: "It bites for {damage}."})

    async with table(answer, narration=model) as t:
        action = t.declare()
        await asyncio.sleep(5)
        telling = action.outcome("hit", damage=4)
        assert await telling == model.model_validate(telling.ended.value)
        assert telling.ended.text == "It bites for 4."
        assert telling.ended.served == (Served.HIT,)


async def test_a_telling_without_words_gets_plain_ones() -> None:
    class Late(BaseModel):
        mood: str | None
        text: str

    blank = Script({"mood": "grim", "text": " "})
    async with table(blank, narration=Late, intensity="off") as t:
        telling = t.session.outcome("mira", "longsword", "miss", target="goblin-2")
        with pytest.raises(TellingError) as failure:
            await telling
        assert failure.value.kind == "invalid"
        assert failure.value.fallback.strip() == "Mira: longsword against Goblin 2: miss."


def test_a_model_without_text_is_refused() -> None:
    class Numbers(BaseModel):
        first: int

    class Verses(BaseModel):
        text: list[str]

    for model in (Numbers, Verses):
        with pytest.raises(foretell.ConfigError, match=rf"{model.__name__} has no text.*type str"):
            foretell.Game(narration=model, model=ScriptedModel())


# ── what is left behind ──────────────────────────────────────────────────────────────────────────


async def test_what_was_prepared_and_not_told_leaves_no_trace() -> None:  # G7
    def secret(request: Request, number: int) -> Script:
        word = f"SECRET-{number}" if request.purpose == "prefetch" else f"open {number}"
        return Script({"text": f"{word}."}, ttft=0.2)

    async with table(secret) as t:
        for turn in range(3):
            t.session.begin_turn("mira")
            t.declare("goblin-1")
            await asyncio.sleep(5)
            await t.session.outcome("mira", f"other {turn}", "miss", target="goblin-2")
        assert "SECRET" not in t.session.transcript.text()
        assert not any("SECRET" in stream.prompt for stream in t.model.streams)
        assert any("open" in asked(s)["memory"] for s in t.foreground)
        assert not any("SECRET" in str(event) for event in t.events)


async def test_what_one_viewer_has_not_seen_is_in_nobodys_prompt() -> None:  # G7
    async with table(intensity="off") as t:
        await t.session.outcome("mira", "whisper", "miss", target="goblin-1", to="gm")
        await t.session.outcome("mira", "shout", "miss", target="goblin-2")
        await t.session.outcome("mira", "sing", "miss", target="goblin-2")
        memory = asked(t.foreground[-1])["memory"]
        assert "Goblin 2" in memory and "Goblin 1" not in memory


# ── states that never hold still ─────────────────────────────────────────────────────────────────


async def test_a_restless_state_costs_neither_the_answer_nor_a_storm_of_requests() -> None:
    """A field of the target ticks thirty times a second, all the time."""  # G2, G3
    async with table() as t:

        async def tick() -> None:
            for number in range(30 * 15):
                t.session.update(after(12, stamina=number))
                await asyncio.sleep(1 / 30)

        ticking = asyncio.create_task(tick())
        action = t.declare()
        await asyncio.sleep(5)
        prepared_for = len(t.prefetch)
        text = (await action.outcome("hit", damage=3)).text
        await ticking
    assert text.startswith("Goblin 2: hit")
    assert len(t.foreground) <= 4
    assert prepared_for <= 4 * 8, "a variant that keeps being revoked is asked for less and less"


async def test_a_rewind_ends_what_it_undoes_before_anybody_hears_of_it() -> None:
    async with table() as t:
        await asyncio.sleep(0.1)
        telling = t.session.outcome("mira", "longsword", "hit", target="goblin-2", damage=3)
        await asyncio.sleep(0.5)
        t.session.rewind(0.0)
        with pytest.raises(TellingError, match="superseded"):
            await telling
    assert t.ends[0].text == ""


# ── variants that cannot be told ─────────────────────────────────────────────────────────────────


async def test_a_finished_variant_that_is_not_what_was_asked_for_is_not_told() -> None:
    class Mood(BaseModel):
        text: str
        mood: str

    def answer(request: Request, number: int) -> Script:
        whole = {"text": words(request, number), "mood": "grim"}
        bare = {"text": words(request, number)}
        return Script(bare if request.purpose == "prefetch" else whole, ttft=0.5)

    async with table(answer, narration=Mood) as t:
        action = t.declare()
        await asyncio.sleep(30)
        told = await action.outcome("hit", damage=3)
    assert told.mood == "grim" and t.ends[0].served == (Served.MISS,)


async def test_a_made_save_that_hurts_is_prepared_with_its_number() -> None:
    async with table() as t:
        fireball = {"type": "cast", "name": "fireball", "save": True, "target": ["goblin-2"]}
        action = t.session.declare("mira", fireball)
        await asyncio.sleep(30)
        told = await action.outcome(
            results=[{"target": "goblin-2", "result": "success", "values": {"damage": 5}}]
        )
        assert "for 5" in told.text and t.ends[0].served == (Served.HIT,)


async def test_a_made_save_that_does_no_harm_is_not_told_with_a_hole_in_it() -> None:
    async with table() as t:
        fireball = {"type": "cast", "name": "fireball", "save": True, "target": ["goblin-2"]}
        action = t.session.declare("mira", fireball)
        await asyncio.sleep(30)
        await action.outcome(results=[{"target": "goblin-2", "result": "success"}])
        assert t.ends[0].served == (Served.MISS,)


@pytest.mark.parametrize(
    "down",
    [{"alive": False}, {"dead": True}, {"health": 0}, {"conditions": ["Dead"]},
     {"conditions": [{"name": "Unconscious"}]}, {"effects": {"dying": 1}}, {"health": "dead"}],
    ids=str,
)  # fmt: skip
async def test_every_way_of_being_down_by_another_hand_counts(down: dict[str, Any]) -> None:  # G1
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(30)
        t.session.update(after(12, **down))
        await action.outcome("hit", damage=3)
        assert t.ends[0].served == (Served.MISS,)


async def test_what_one_who_was_felled_had_prepared_is_not_told() -> None:  # G1
    async with table() as t:
        action = t.declare()
        riposte = t.session.declare("goblin-2", "riposte", target="mira")
        await asyncio.sleep(30)
        t.session.update(after(0, "mira"), because=riposte)
        await action.outcome("hit", damage=3)
        assert t.ends[0].served == (Served.MISS,)


async def test_blows_before_their_state_add_up() -> None:  # G1
    async with table(overlap="queue") as t:
        for damage in (7, 6):
            action = t.declare()
            await asyncio.sleep(30)
            told = await action.outcome("hit", damage=damage)
        assert [end.served for end in t.ends] == [(Served.HIT,), (Served.MISS,)]
        assert asked(t.foreground[0])["entries"][0]["result"] == "kill"
        assert told.text.startswith("Goblin 2: kill")


HOLD = {"type": "cast", "name": "hold person", "save": "wisdom", "target": "goblin-2"}
TRIP = {"type": "use", "name": "trip", "target": "goblin-2"}
LOCK = {"type": "use", "name": "lockpick"}


@pytest.mark.parametrize(
    ("action", "asked_for"),
    [(HOLD, ["damage", "target_hp"]), (TRIP, []), (LOCK, []), (TRIP | {"save": True}, [])],
    ids=["spell", "deed", "no target", "deed with a save"],
)
@pytest.mark.parametrize("wait", [1.3, 30.0], ids=["under way", "finished"])
async def test_a_failure_that_hurts_nobody_is_told_without_a_number(  # G1
    action: dict[str, Any], asked_for: list[str], wait: float
) -> None:
    async with table() as t:
        declared = t.session.declare("mira", action)
        await asyncio.sleep(wait)
        written = [each for each in t.prefetch if variant_of(each)[1] == "failure"]
        assert [asked(each)["slots"] for each in written] == [asked_for]
        told = await declared.outcome("failure")
        assert "some" not in told.text and "for" not in told.text.split()
        prepared = Served.HIT if wait > 2 else Served.IN_FLIGHT
        assert t.ends[0].served == (Served.MISS if asked_for else prepared,)


async def test_a_failed_save_that_hurts_is_told_as_prepared() -> None:
    async with table() as t:
        declared = t.session.declare("mira", HOLD)
        await asyncio.sleep(30)
        told = await declared.outcome("failure", damage=3)
        assert "failure for 3, 9 left" in told.text and t.ends[0].served == (Served.HIT,)


@pytest.mark.parametrize(
    ("action", "values"),
    [(TRIP, {"test": "save"}), (TRIP, {"damage": 2})],
    ids=["its test was a save", "it hurts"],
)
@pytest.mark.parametrize("result", ["success", "failure"])
async def test_what_was_written_of_an_attempt_is_told_of_no_save_and_of_no_harm(  # G1
    action: dict[str, Any], values: dict[str, Any], result: str
) -> None:
    async with table() as t:
        declared = t.session.declare("mira", action)
        await asyncio.sleep(30)
        await declared.outcome(result, **values)
        assert t.ends[0].served == (Served.MISS,)


async def test_ones_own_save_is_ones_own_attempt() -> None:
    async with table() as t:
        declared = t.session.declare("mira", {"type": "save", "name": "Wisdom", "target": "mira"})
        await asyncio.sleep(30)
        await declared.outcome("success", test="save")
        assert t.ends[0].served == (Served.HIT,)


@pytest.mark.parametrize("action", [TRIP, {"type": "talk", "name": "plead", "target": "goblin-2"}])
@pytest.mark.parametrize("how", ["told", "named", "unnamed", "gone"])
async def test_one_who_fell_meanwhile_is_not_told_of_as_one_who_stands(  # G1
    action: dict[str, Any], how: str
) -> None:
    async with table(lambda *_: Script({"text": "So."}, ttft=1.0), prompts=None) as t:
        declared = t.session.declare("mira", action)
        await asyncio.sleep(30)
        alone = deepcopy(STATE)
        del alone["actors"]["goblin-2"]
        by = t.session.declare("tom", "longbow", target="goblin-2")
        if how == "told":
            await by.outcome("hit", damage=12, state=after(0))
        else:
            shown = alone if how == "gone" else after(0)
            t.session.update(shown, because=by if how == "named" else None)
        await asyncio.sleep(4)
        await declared.outcome("success")
        assert t.ends[-1].served == (Served.MISS,)
        [fact] = facts(t.foreground[-1])["tellings"]
        assert fact.get("down" if how == "told" else "unsure"), fact


async def test_help_is_for_friends_and_for_those_one_knew_to_lie_there() -> None:  # G1
    async def told(target: str, before: int, then: int, **values: int) -> Any:
        state = deepcopy(STATE)
        tom = state["actors"]["tom"] = {"name": "Tom", "side": "party", "hp": 9, "max_hp": 9}
        actor = tom if target == "tom" else state["actors"][target]
        actor["hp"] = before
        async with table(lambda *_: Script({"text": "So."}), prompts=None, state=state) as t:
            declared = t.session.declare("mira", "potion", type="use", target=target)
            await asyncio.sleep(30)
            if then != before:
                actor["hp"] = then
                t.session.update(state)
            await asyncio.sleep(30)
            await declared.outcome("success", **values)
            return t.ends[-1].served == (Served.HIT,)

    assert await told("tom", 9, 9) and await told("tom", 0, 0) and await told("tom", 0, 4)
    assert await told("tom", 9, 0, healing=3)
    assert not await told("tom", 9, 0)
    assert not await told("goblin-2", 0, 0)


@pytest.mark.parametrize(
    ("values", "left", "name"),
    [
        ({}, 0, "kill"),
        ({"damage": 8}, 9, "hit"),
        ({"damage": 8}, 0, "kill"),
        ({"damage": 12}, 3, "hit"),
    ],
)
@pytest.mark.parametrize("later", [0.0, 0.4])
@pytest.mark.parametrize("group", [False, True])
async def test_a_state_that_names_its_action_is_the_last_word_until_a_text_is_told(  # G1
    values: dict[str, int], left: int, name: str, later: float, group: bool
) -> None:
    async with table(lambda *_: Script({"text": "So."}, ttft=1.0), prompts=None) as t:
        if group:  # it waits for another to be told
            t.session.outcome("tom", "shout", "success", target="goblin-1")
        declared = t.declare()
        await asyncio.sleep(0.5)
        telling = declared.outcome("hit", **values)
        await asyncio.sleep(later)
        t.session.update(after(left), because=declared)
        await telling
        told = facts(t.foreground[-1])["tellings"]
        [fact] = [each for each in told if each["target"] == "Goblin 2"]
        assert (fact["result"], fact["values"].get("target_hp")) == (name, left)
        assert telling.ended.served == (Served.MISS,)


async def test_what_is_told_already_stays_as_it_was_told() -> None:  # G1
    async with table() as t:
        declared = t.declare()
        await asyncio.sleep(30)
        telling = declared.outcome("hit", damage=3)
        await asyncio.sleep(0.01)
        t.session.update(after(0), because=declared)
        told = await telling
        assert told.text.startswith("Goblin 2: hit for 3, 9 left") and len(t.ends) == 1


async def test_what_else_a_blow_did_is_left_out_of_no_text() -> None:
    async with table(lambda *_: Script({"text": "So."}), prompts=None, refine=False) as t:
        for more, served in (
            ({}, Served.HIT),
            ({"effects": []}, Served.HIT),
            ({"effects": ["prone"]}, Served.MISS),
            ({"conditions": ["prone"]}, Served.MISS),
        ):
            declared = t.declare()
            await asyncio.sleep(30)
            await declared.outcome("hit", damage=1, **more)
            assert t.ends[-1].served == (served,), more


async def test_a_prompt_says_that_who_acts_lies_there() -> None:
    for hp in (0, 3):
        async with table(lambda *_: Script({"text": "So."}), prompts=None) as t:
            t.session.update(after(hp, "mira"))
            await t.session.outcome("mira", "death save", "success", type="save")
            [fact] = facts(t.foreground[-1])["tellings"]
            assert fact.get("actor_down", False) is (hp == 0)


CURE = {"type": "cast", "name": "cure wounds", "target": "tom"}


@pytest.mark.parametrize("wait", [1.3, 30.0], ids=["under way", "finished"])
@pytest.mark.parametrize(("healing", "said"), [(8, "Better — 8 HP."), (None, "Better."), (0, None)])
async def test_healing_is_told_with_its_number(
    healing: int | None, said: str | None, wait: float
) -> None:
    def answer(request: Request, number: int) -> Script:
        text = "Better — {healing} HP." if "healing" in asked(request)["slots"] else "New."
        return Script({"text": text, "lines": [], "cues": []}, ttft=1.0, delay=0.1)

    state = deepcopy(STATE)
    state["actors"]["tom"] = {"name": "Tom", "side": "party", "hp": 0, "max_hp": 12}
    async with table(answer, state=state) as t:
        declared = t.session.declare("mira", CURE)
        await asyncio.sleep(wait)
        values = {} if healing is None else {"healing": healing}
        told = await declared.outcome("success", **values)
        assert told.text == (said or "New.")
        assert (t.ends[0].served == (Served.MISS,)) == (said is None)


@pytest.mark.parametrize("result", ["hit", "critical"])
async def test_a_blow_that_did_no_damage_is_not_told_with_a_number(result: str) -> None:
    async with table() as t:
        declared = t.declare()
        await asyncio.sleep(30)
        told = await declared.outcome(result, damage=0)
        assert " for " not in told.text and t.ends[0].served == (Served.MISS,)


@pytest.mark.parametrize("wait", [1.3, 30.0], ids=["under way", "finished"])
async def test_a_blow_of_which_only_its_name_is_known_is_told_without_numbers(wait: float) -> None:
    def answer(request: Request, number: int) -> Script:
        text = "It lands, good for {damage} damage. Grik reels — {target_hp} HP left."
        return Script({"text": text, "lines": [], "cues": []}, ttft=1.0, delay=0.1)

    async with table(answer) as t:
        declared = t.declare()
        await asyncio.sleep(wait)
        told = await declared.outcome("hit")
        assert told.text == "It lands. Grik reels."
        assert t.ends[0].served == (Served.HIT if wait > 2 else Served.IN_FLIGHT,)


async def test_the_default_prompt_says_whose_saving_throw_it_is() -> None:
    async with table({"text": "So.", "lines": [], "cues": []}, prompts=None) as t:
        declared = t.session.declare("mira", HOLD)
        await asyncio.sleep(30)
        told = declared.outcome("success")
        await told
        await t.session.outcome("mira", TRIP, "success")
        await t.session.outcome("mira", TRIP, "success", test="save")
        facts = [orjson.loads(each.request.messages[-1].text.split("FACTS ")[1])
                 for each in (*t.prefetch, *t.foreground)]  # fmt: skip
    said = {(each["result"], each.get("save"), *each["action"].values())
            for fact in facts for each in fact["tellings"]}  # fmt: skip
    assert {("success", True, "cast", "hold person"), ("failure", True, "cast", "hold person"),
            ("success", None, "use", "trip"), ("success", True, "use", "trip")} <= said  # fmt: skip
    for fact in facts:
        hurts = fact["tellings"][0]["result"] == "failure" and fact["slots"]
        assert fact["slots"] in ([], ["damage"], ["damage", "target_hp"])
        assert not hurts or fact["tellings"][0]["save"]
