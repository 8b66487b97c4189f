"""What a prepared text has no room for: the small model says it, behind what is shown."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

import foretell
from foretell import Ended, Patched, Served, Status
from foretell.operators.refine import amiss
from foretell.replay.verify import verify
from foretell.streams.models import (
    ModelCut,
    ModelNotFound,
    ModelOverloaded,
    ModelUnavailable,
    Request,
)
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "tom": {"name": "Tom", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
PREPARED = "Mira strikes the Goblin for {damage}."
TOLD = "Mira strikes the Goblin for 3."
MORE = "It is left dazed."


def facts(request: Request) -> Any:
    return orjson.loads(request.messages[-1].text.rpartition("FACTS ")[2])


def answers(more: Any = MORE, **how: Any) -> Callable[[Request, int], Script]:
    """A main model, and a small one that adds something."""

    def answer(request: Request, number: int) -> Script:
        if request.purpose == "refine":
            return Script(more, **{"ttft": 0.3, "delay": 0.05} | how)
        result = facts(request)["tellings"][0]["result"]
        text = PREPARED if result == "hit" else f"Mira: {result}."
        return Script({"text": text, "lines": [], "cues": []}, ttft=0.5)

    return answer


class Table:
    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session = session
        self.model = model
        self.events: list[Any] = []
        self.refined: list[Any] = []
        session.subscribe(self.events.append)
        heard = {"~refined": lambda _, line: self.refined.append(line)}
        session._pipeline.recorder.listen(heard)

    @property
    def ends(self) -> list[Ended]:
        return [event for event in self.events if isinstance(event, Ended)]

    @property
    def shown(self) -> list[tuple[float, str]]:
        return [(each.t, each.text) for each in self.events if isinstance(each, Patched)]

    def declare(self, **more: Any) -> Any:
        return self.session.declare("mira", "longsword", target="goblin", **more)

    @property
    def why(self) -> list[str]:
        return [line["why"] for line in self.refined]


@asynccontextmanager
async def table(answer: Any = None, **given: Any) -> AsyncIterator[Table]:
    own = {name: given.pop(name) for name in ("guard", "narration", "prompts") if name in given}
    model = ScriptedModel(answer or answers())
    async with foretell.Game(given, model=model, **own) as game:
        session = await game.session("table")
        t = Table(session, model)
        session.update(STATE)
        session.begin_turn("mira")
        yield t
    assert not model.open


async def struck(t: Table, **values: Any) -> Ended:
    action = t.declare()
    await asyncio.sleep(10)
    telling = action.outcome("hit", **{"damage": 3, "effects": ["dazed"]} | values)
    await telling
    assert telling.ended is not None
    return telling.ended  # type: ignore[no-any-return]


# ── what is added ────────────────────────────────────────────────────────────────────────────────


async def test_an_effect_is_added_behind_a_text_that_is_on_screen_at_once() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(10)
        begun = asyncio.get_running_loop().time()
        await action.outcome("hit", damage=3, effects=["dazed"])
        assert asyncio.get_running_loop().time() > begun + 0.3
        [end] = t.ends
        assert end.text == f"{TOLD} {MORE}" and end.served == (Served.HIT,)
        assert end.status is Status.DONE and end.latency == (0.0,)
        assert "".join(text for _, text in t.shown) == end.text
        patches = [
            patch for each in t.events if isinstance(each, Patched) for patch in each.patches
        ]
        done = [at for at, patch in enumerate(patches) if patch.op == "done"]
        text = [at for at, patch in enumerate(patches) if patch.path == ("text",)]
        assert patches[-1] == ((), "done", None)  # nothing that is done grows
        assert not any(patches[at].path == ("text",) and at < max(text) for at in done)
        [asked] = t.model.asked("refine")
        request = asked.request
        assert request.model == t.session.settings.small_model and request.schema is None
        [entry] = facts(request)["adds"]
        assert entry["adds"] == ["effects"] and entry["values"]["effects"] == ["dazed"]
        assert TOLD in request.messages[-1].text
    assert t.why == ["done"]
    rows = {(row["purpose"], row["fate"]) for row in t.session.report()["ledger"]}
    assert ("refine", "told") in rows and t.session.report()["tokens"]["refine"] > 0
    assert t.session.transcript.text() == end.text


@pytest.mark.parametrize(
    ("values", "adds"),
    [
        ({"effects": []}, None),
        ({"damage": 8, "effects": []}, None),
        ({"damage": 9, "effects": [], "target_hp": 3}, ["force"]),
        ({"damage": 3, "effects": [], "healing": 2}, ["healing"]),
        ({"conditions": ["prone", "dazed"]}, ["effects"]),
        ({"effects": ["Longsword"]}, None),
        ({"damage": 11, "healing": 1}, ["effects", "healing", "force"]),
    ],
)
async def test_only_what_slots_cannot_say_is_asked_for(
    values: dict[str, Any], adds: list[str] | None
) -> None:
    async with table() as t:
        end = await struck(t, **values)
        assert end.served == (Served.HIT,)
        asked = [facts(stream.request)["adds"][0]["adds"] for stream in t.model.asked("refine")]
    assert asked == ([] if adds is None else [adds])


async def test_a_blow_that_fells_far_beyond_need_is_told_as_such() -> None:
    for damage, times in ((12, 1), (11, 0)):
        async with table() as t:
            state = {**STATE, "actors": {**STATE["actors"]}}
            state["actors"]["goblin"] = {**state["actors"]["goblin"], "hp": 4}
            t.session.update(state)
            action = t.declare()
            await asyncio.sleep(10)
            await action.outcome("hit", damage=damage)
            assert t.ends[0].text.startswith("Mira: kill.")
            assert len(t.model.asked("refine")) == times


@pytest.mark.parametrize("effect", ["unconscious", "Dead", {"name": "dazed"}, 5])
async def test_an_effect_that_belies_the_text_is_told_anew(effect: Any) -> None:  # G1
    async with table() as t:
        end = await struck(t, effects=[effect])
        assert end.served == (Served.MISS,) and not t.model.asked("refine")


@pytest.mark.parametrize("effect", [5, {"name": "dazed"}, "dazed", [7], None, [[]]])
async def test_effects_of_any_shape_cost_no_telling(effect: Any) -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(10)
        await action.outcome("miss", effects=effect)
        assert t.ends[0].status is Status.DONE and t.session.report()["faults"] == 0


async def test_what_the_main_model_tells_needs_nothing_added() -> None:
    async with table(intensity="off") as t:
        await t.session.outcome("mira", "longsword", "hit", target="goblin", effects=["dazed"])
        assert t.ends[0].served == (Served.MISS,) and not t.model.asked("refine")


async def test_it_can_be_turned_off_while_the_game_runs() -> None:
    async with table() as t:
        t.session.apply({"refine": False})
        end = await struck(t)
        assert end.served == (Served.MISS,) and not t.model.asked("refine")


async def test_prompts_of_ones_own_may_ask_for_it_in_their_own_words() -> None:
    class Own(foretell.DefaultPrompts):
        def refine(self, scene: Any, addition: Any) -> str:
            return f"More, after {addition.shown!r}: {addition.adds}"

    async with table(prompts=Own) as t:
        end = await struck(t)
        assert t.model.asked("refine")[0].prompt.strip() == f"More, after {TOLD!r}: (('effects',),)"
    assert end.text == f"{TOLD} {MORE}"


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("more", "how", "why"),
    [
        ("It is left with 7 HP.", {}, "it has the number 7"),
        ("It takes {damage} more.", {}, "it has a brace"),
        ("Tom laughs.", {}, "it names Tom"),
        ("It falls dead.", {}, "it says 'dead'"),
        ("mira strikes the goblin for 3.", {}, "it was said before"),
        (MORE, {"ttft": 5.0}, "late"),
        (MORE, {"hangs": True}, "late"),
        (MORE, {"error": ModelUnavailable("gone")}, "unavailable"),
        (MORE, {"error": ModelOverloaded("busy", 3.0)}, "overloaded"),
        (MORE, {"error": ModelNotFound("no such model")}, "not_found"),
        (MORE, {"error": ModelCut("cut"), "chunks": 1}, "cut"),
        (MORE, {"stop": "refusal"}, None),
        ("", {}, "protocol"),
    ],
)
async def test_a_refinement_that_fails_leaves_the_filled_text(
    more: str, how: dict[str, Any], why: str | None
) -> None:
    async with table(answers(more, **how)) as t:
        end = await struck(t)
        assert (end.status, end.served) == (Status.DONE, (Served.HIT,))
        assert end.text.startswith(TOLD)
        if why is not None:
            assert end.text == TOLD and t.why == [why]
        assert end.value["text"] == end.text == "".join(text for _, text in t.shown)


async def test_what_is_in_another_language_is_not_added() -> None:
    english = "And that is what it was for, and there is nothing that it can do about it now."
    async with table(answers(english), language="German") as t:
        assert (await struck(t)).text == TOLD and "English" in t.why[0]
    async with table(answers(english)) as t:
        assert (await struck(t)).text == f"{TOLD} {english}"


async def test_what_was_right_before_it_went_wrong_stays() -> None:
    async with table(answers(f"{MORE} It has 7 HP. So.")) as t:
        assert (await struck(t)).text == f"{TOLD} {MORE}"


async def test_no_more_than_two_sentences_are_added() -> None:
    async with table(answers("It reels. It howls. It curses.")) as t:
        assert (await struck(t)).text == f"{TOLD} It reels. It howls."


async def test_what_no_budget_affords_is_not_added() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(10)
        t.session.apply({"budget": {"session_tokens": 1}})
        telling = action.outcome("hit", damage=3, effects=["dazed"])
        assert (await telling).text == TOLD and t.why == ["budget"]


async def test_what_the_narration_does_not_allow_is_not_added() -> None:
    class Short(BaseModel):
        text: str = Field(max_length=40)

    async with table(narration=Short) as t:
        end = await struck(t)
        assert (end.status, end.text) == (Status.DONE, TOLD)


async def test_the_guard_reads_what_is_added() -> None:
    async with table(guard=lambda text: "no" if "dazed" in text else None) as t:
        assert (await struck(t)).text == TOLD and t.why == ["no"]


async def test_a_world_that_changes_meanwhile_ends_it() -> None:  # G1
    async with table(answers(ttft=1.0)) as t:
        action = t.declare()
        await asyncio.sleep(10)
        telling = action.outcome("hit", damage=3, effects=["dazed"])
        await asyncio.sleep(0.5)
        state = {**STATE, "actors": {**STATE["actors"], "goblin": {"name": "Ogre", "hp": 9}}}
        t.session.update(state)
        assert (await telling).text == TOLD and t.why == ["revoked"]


@pytest.mark.parametrize("overlap", ["conflate", "queue", "interrupt"])
async def test_who_waits_to_be_told_of_does_not_wait_for_it(overlap: str) -> None:
    async with table(answers(ttft=2.5), overlap=overlap) as t:
        action = t.declare()
        await asyncio.sleep(10)
        first = action.outcome("hit", damage=3, effects=["dazed"])
        await asyncio.sleep(0.1)
        begun = asyncio.get_running_loop().time()
        second = t.session.outcome("tom", "bow", "miss", target="goblin")
        await second
        assert (await first).text == TOLD  # whole, whatever the policy
        assert first.ended.status is Status.DONE
        waited = asyncio.get_running_loop().time() - begun
        assert waited < 2 and len(t.ends) == 2


async def test_a_telling_that_is_cancelled_meanwhile_is_whole() -> None:
    async with table(answers(ttft=2.5)) as t:
        action = t.declare()
        await asyncio.sleep(10)
        telling = action.outcome("hit", damage=3, effects=["dazed"])
        await asyncio.sleep(0.1)
        telling.cancel()
        assert (await telling).text == TOLD


async def test_a_deadline_meanwhile_fails_nothing() -> None:
    async with table(answers(ttft=2.5), deadline=1.0, refine_limit=9.0) as t:
        end = await struck(t)
        assert (end.status, end.text) == (Status.DONE, TOLD)


# ── consistency ──────────────────────────────────────────────────────────────────────────────────

WORDS = st.lists(
    st.sampled_from(
        ["It", "Goblin", "Tom", "Mira", "3", "7", "dead", "still stands", "{x}", "3.5", "dazed"]
    ),
    min_size=1,
    max_size=8,
)


@given(WORDS)
def test_nothing_that_contradicts_what_happened_is_ever_added(words: list[str]) -> None:  # G1
    sentence = f"{' '.join(words)}."

    async def play() -> str:
        async with table(answers(sentence, ttft=0.0)) as t:
            return (await struck(t)).text.removeprefix(TOLD)

    added = run_virtual(play())
    assert added in ("", f" {sentence}")
    for wrong in ("Tom", "7", "3.5", "dead", "{x}"):
        assert wrong not in added


def test_a_kill_is_not_taken_back() -> None:
    from foretell.operators.classify import Context, Scene
    from foretell.operators.prompts import Account, Entry
    from foretell.operators.refine import Addition
    from foretell.operators.results import Happened
    from foretell.streams.world import Declared, World

    scene = Scene(World(), Context.COMBAT)
    declared = Declared("mira", {"name": "axe"}, "", {})
    for told, good, bad in (
        ("kill", "It lies there, dead.", "It still stands."),
        ("hit", "It still stands.", "It lies there, dead."),
    ):
        account = Account((Entry(declared, Happened("goblin", "hit", told, {}, told)),))
        addition = Addition(account, (("force",),), "")
        assert amiss(good, scene, addition) is None
        assert amiss(bad, scene, addition)


# ── recorded, and with the narrator ──────────────────────────────────────────────────────────────


def test_an_exact_replay_adds_the_same(tmp_path: Path) -> None:
    async def play() -> None:
        async with table(answers(f"{MORE} It has 7 HP."), log_dir=str(tmp_path)) as t:
            await struck(t)
            await struck(t, effects=["prone"])
        assert t.why == ["it has the number 7"] * 2

    run_virtual(play())
    log = tmp_path / "table.jsonl"
    walked = verify(log, lambda settings: foretell.Game(settings, model=ScriptedModel()))
    assert walked.difference is None and walked.closed


@pytest.mark.real_time
async def test_the_narrator_adds_what_it_is_asked_to(tmp_path: Path) -> None:
    async with running(profile("instant")) as url:
        given = {"base_url": url, "log_dir": str(tmp_path), "refine_limit": 60.0}
        async with foretell.Game(given, api_key="none") as game:
            session = await game.session("table")
            session.update(STATE)
            session.begin_turn("mira")
            written = asyncio.Event()
            heard = {"~account": lambda t, line: written.set()}
            session._pipeline.recorder.listen(heard)
            action = session.declare("mira", "longsword", target="goblin", rolled="hit")
            await written.wait()
            telling = action.outcome("hit", damage=3, effects=["dazed", "prone"])
            told = await telling
            assert telling.ended.served == (Served.HIT,)
            assert "dazed and prone" in told.text and "3 damage" in told.text
            assert session.report()["tokens"]["refine"] > 0
    walked = await asyncio.to_thread(
        verify, tmp_path / "table.jsonl", lambda s: foretell.Game(s, model=ScriptedModel())
    )
    assert walked.difference is None
