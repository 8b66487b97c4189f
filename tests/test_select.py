"""A result of a name that nobody prepared: the small model chooses among what there is, or none."""

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

import foretell
from foretell import Ended, Served, Status
from foretell.replay.verify import verify
from foretell.streams.models import ModelCut, ModelOverloaded, Request
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import Script, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 30, "max_hp": 30},
    },
}
ANEW = "Written anew."


def facts(request: Request) -> Any:
    return orjson.loads(request.messages[-1].text.rpartition("FACTS ")[2])


def offered(request: Request) -> list[str]:
    line = request.messages[-1].text.rpartition("PREPARED ")[2].split("\n")[0]
    return [each["for"] for each in orjson.loads(line)]


def chooses(made_for: str | None, **how: Any) -> Callable[[Request, int], Script]:
    """A small model that chooses the text made for a result, or none."""

    def answer(request: Request, number: int) -> Script:
        if request.purpose == "refine" and "PREPARED" in request.messages[-1].text:
            there = offered(request)
            choice = there.index(made_for) + 1 if made_for in there else 0
            return Script({"choice": choice}, **{"ttft": 0.3, "delay": 0.01} | how)
        if request.purpose == "refine":
            return Script("So it is.", ttft=0.1)
        if request.purpose == "foreground":
            return Script({"text": ANEW}, ttft=0.5)
        result = facts(request)["tellings"][0]["result"]
        holes = " for {damage}" if facts(request)["slots"] else ""
        return Script({"text": f"Prepared {result}{holes}."}, ttft=0.5)

    return answer


class Table:
    def __init__(self, session: foretell.Session[Any], model: ScriptedModel) -> None:
        self.session = session
        self.model = model
        self.events: list[Any] = []
        self.why: list[str] = []
        session.subscribe(self.events.append)
        heard = {"~selected": lambda _, line: self.why.append(line["why"])}
        session._pipeline.recorder.listen(heard)

    @property
    def ends(self) -> list[Ended]:
        return [event for event in self.events if isinstance(event, Ended)]

    @property
    def asked(self) -> list[Any]:
        every = self.model.asked("refine")
        return [each for each in every if "PREPARED" in each.request.messages[-1].text]

    def declare(self, target: Any = "goblin", action: Any = "longsword", **more: Any) -> Any:
        return self.session.declare("mira", action, target=target, **more)


@asynccontextmanager
async def table(answer: Any = None, state: Any = STATE, **given: Any) -> AsyncIterator[Table]:
    own = {name: given.pop(name) for name in ("guard", "prompts") if name in given}
    model = ScriptedModel(answer or chooses("hit"))
    async with foretell.Game(given, model=model, **own) as game:
        session = await game.session("table")
        t = Table(session, model)
        session.update(state)
        session.begin_turn("mira")
        yield t
    assert not model.open


async def told(t: Table, result: str = "graze", **values: Any) -> Ended:
    action = t.declare()
    await asyncio.sleep(10)
    telling = action.outcome(result, **values)
    await telling
    assert telling.ended is not None
    return telling.ended  # type: ignore[no-any-return]


# ── chosen, or not ───────────────────────────────────────────────────────────────────────────────


async def test_a_word_of_the_games_own_is_told_from_the_text_that_was_chosen() -> None:  # 0-5
    async with table(chooses("hit")) as t:
        end = await told(t, damage=3)
        assert end.text == "Prepared hit for 3. So it is."  # filled, and refined
        assert (end.status, end.served) == (Status.DONE, (Served.IN_FLIGHT,))
        assert end.latency[0] is not None and 0.3 <= end.latency[0] < 0.5
        assert not t.model.asked("foreground") and t.why == ["chosen"]
        held = [each for each in t.session.generations.live if each.request.purpose == "refine"]
        assert not held
        [asked] = t.asked
        assert asked.request.model == t.session.settings.small_model
        assert sorted(offered(asked.request)) == ["critical", "hit"]
        assert facts(asked.request)["choose"]["result"] == "graze"
        report = t.session.report()
    assert report["served"]["in_flight"] == 1 and report["untrue"] == report["stale"] == 0
    assert {row["fate"] for row in report["ledger"] if row["purpose"] == "refine"} == {"told"}


async def test_none_of_them_has_the_main_model_write() -> None:  # 0-5
    async with table(chooses(None)) as t:
        end = await told(t, damage=3)
        assert (end.text, end.served, t.why) == (ANEW, (Served.MISS,), ["none"])


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ({"answer": {"choice": 9}}, "invalid"),
        ({"answer": {"choice": -1}}, "invalid"),
        ({"answer": {"choice": "1"}}, "invalid"),
        ({"answer": "the first, I think"}, "invalid"),
        ({"answer": '{"choice": 1'}, "invalid"),
        ({"answer": ""}, "protocol"),
        ({"ttft": 2.0}, "late"),
        ({"hangs": True}, "late"),
        ({"error": ModelOverloaded("busy", 9.0)}, "overloaded"),
        ({"error": ModelCut("cut"), "chunks": 1, "chunk": 2}, "cut"),
        ({"stop": "refusal"}, "refusal"),
    ],
)
async def test_a_late_or_senseless_answer_chooses_nothing(how: dict[str, Any], why: str) -> None:
    answer = chooses("hit")

    def spoilt(request: Request, number: int) -> Script:
        script = answer(request, number)
        if "PREPARED" not in request.messages[-1].text:
            return script
        given = {name: getattr(script, name) for name in ("answer", "ttft", "delay")}
        return Script(**given | how)

    async with table(spoilt) as t:
        end = await told(t, damage=3)
        assert (end.text, end.served, t.why) == (ANEW, (Served.MISS,), [why])
        assert end.status is Status.DONE


async def test_a_limit_of_the_settings_holds() -> None:
    async with table(chooses("hit", ttft=2.0), select_limit=5.0) as t:
        assert (await told(t, damage=3)).text.startswith("Prepared hit for 3.")


async def test_it_can_be_turned_off() -> None:
    async with table(select=False) as t:
        assert (await told(t, damage=3)).text == ANEW and not t.asked


async def test_with_nothing_prepared_nothing_is_asked() -> None:
    async with table(intensity="off") as t:
        assert (await told(t, damage=3)).text == ANEW and not t.asked
    for wait in (0.0, 0.55):  # nothing is whole yet
        async with table() as t:
            action = t.declare()
            await asyncio.sleep(wait)
            assert (await action.outcome("graze", damage=3)).text == ANEW and not t.asked


async def test_no_budget_no_question() -> None:
    async with table() as t:
        action = t.declare()
        await asyncio.sleep(10)
        t.session.apply({"budget": {"session_tokens": 1}})
        assert (await action.outcome("graze", damage=3)).text == ANEW
        assert t.why == ["budget"]


async def test_prompts_of_ones_own_may_ask_in_their_own_words() -> None:
    class Own(foretell.DefaultPrompts):
        def select(self, scene: Any, offer: Any) -> str:
            prepared = [{"n": 1, "for": made_for} for made_for, _ in offer.texts]
            return f"PREPARED {orjson.dumps(prepared).decode()}"

    async with table(chooses("miss"), prompts=Own) as t:
        await told(t, damage=None)
        assert t.asked[0].prompt.strip().startswith("PREPARED [")


# ── never a text for the wrong outcome ───────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("result", "values", "there"),
    [
        ("graze", {"damage": 3}, {"hit", "critical"}),  # no room for a number
        ("graze", {}, {"miss"}),  # a hole would be left
        ("success", {"damage": 3}, {"hit", "critical"}),
        ("failure", {}, {"miss"}),
        ("success", {}, set()),
        ("success", {"test": "save"}, {"miss"}),
        ("failure", {"test": "save", "damage": 3}, {"hit", "critical"}),
        ("hit", {"damage": 3}, set()),
        ("graze", {"damage": 40}, set()),  # it falls
    ],
)
async def test_only_what_may_be_true_is_offered(
    result: str, values: dict[str, Any], there: set[str]
) -> None:  # G1
    def odds(request: Request, number: int) -> Script:
        script = chooses(None)(request, number)
        failed = request.purpose == "prefetch" and result in str(facts(request)["tellings"])
        return Script("", ttft=0.1) if failed and result == "hit" else script

    async with table(odds) as t:
        end = await told(t, result, **values)
        assert end.text == ANEW
        found = {each for stream in t.asked for each in offered(stream.request)}
    assert found == there


async def test_what_has_changed_meanwhile_is_not_offered_or_not_told() -> None:  # G1
    changed = {**STATE, "actors": {**STATE["actors"], "goblin": {"name": "Ogre", "hp": 30}}}
    for early in (True, False):
        async with table(chooses("hit", ttft=0.8)) as t:
            action = t.declare()
            await asyncio.sleep(10)
            if early:
                t.session.update(changed)
            telling = action.outcome("graze", damage=3)
            await asyncio.sleep(0.4)
            if not early:
                t.session.update(changed)
            assert (await telling).text == ANEW
            assert bool(t.asked) is not early


async def test_what_was_prepared_before_something_else_happened_is_not_offered() -> None:  # G1
    async with table(chooses("hit")) as t:
        action = t.declare()
        await asyncio.sleep(10)
        t.session.outcome("mira", "bow", "miss", target="goblin")
        assert (await action.outcome("graze", damage=3)).text == ANEW and not t.asked


async def test_a_state_that_shows_another_end_meanwhile_leaves_nothing_to_choose() -> None:  # G1
    async with table(chooses("hit", ttft=0.8)) as t:
        action = t.declare()
        await asyncio.sleep(10)
        telling = action.outcome("failure", damage=3, test="save")
        await asyncio.sleep(0.4)
        assert t.asked
        dead = {**STATE, "actors": {**STATE["actors"], "goblin": {"name": "Goblin", "hp": 0}}}
        t.session.update(dead, because=action)
        assert (await telling).text == ANEW


async def test_each_target_has_its_own_choice_and_all_have_one_or_none() -> None:
    state = {**STATE, "actors": {**STATE["actors"], "orc": {**STATE["actors"]["goblin"]}}}
    for second, text in (("miss", "Prepared hit for 3. Prepared miss."), ("hit", ANEW)):
        async with table(chooses("hit"), state=state, refine=False, max_variants=12) as t:
            action = t.declare(["goblin", "orc"])
            await asyncio.sleep(10)
            results = [
                {"target": "goblin", "result": "graze", "values": {"damage": 3}},
                {"target": "orc", "result": second if second == "miss" else "graze"},
            ]
            assert (await action.outcome(results=results)).text == text


async def test_who_may_not_know_of_a_text_is_not_told_it() -> None:
    async with table(chooses("hit")) as t:
        action = t.declare(to=["gm"])
        await asyncio.sleep(10)
        assert (await action.outcome("graze", damage=3, to=["gm", "mira"])).text == ANEW
        assert not t.asked


async def test_what_was_chosen_is_read_by_the_guard_too() -> None:
    async with table(chooses("hit"), guard=lambda text: "no" if "hit" in text else None) as t:
        end = await told(t, damage=3)
        assert end.text == ANEW  # it was refused ahead of time, and is not there to choose
        assert "hit" not in str([offered(stream.request) for stream in t.asked])


async def test_a_telling_cancelled_meanwhile_leaves_nothing_open() -> None:
    async with table(chooses("hit", ttft=0.9)) as t:
        action = t.declare()
        await asyncio.sleep(10)
        telling = action.outcome("graze", damage=3)
        await asyncio.sleep(0.2)
        telling.cancel()
        await asyncio.sleep(1)
        assert t.ends[0].status is Status.SUPERSEDED and len(t.asked) == 1


@given(st.text(max_size=30))
def test_whatever_it_answers_there_is_one_whole_telling(said: str) -> None:
    def answer(request: Request, number: int) -> Script:
        script = chooses("hit")(request, number)
        return Script(said) if "PREPARED" in request.messages[-1].text else script

    async def play() -> Ended:
        async with table(answer) as t:
            return await told(t, damage=3)

    end = run_virtual(play())
    assert end.status is Status.DONE and end.text == ANEW


# ── recorded, and with the narrator ──────────────────────────────────────────────────────────────


def test_an_exact_replay_chooses_the_same(tmp_path: Path) -> None:
    async def play() -> None:
        async with table(chooses("hit"), log_dir=str(tmp_path)) as t:
            await told(t, damage=3)
            await told(t, "odd")
        assert t.why == ["chosen", "none"]

    run_virtual(play())
    log = tmp_path / "table.jsonl"
    walked = verify(log, lambda settings: foretell.Game(settings, model=ScriptedModel()))
    assert walked.difference is None and walked.closed


@pytest.mark.real_time
@pytest.mark.parametrize(("result", "chosen"), [("graze", True), ("metamorphosis", False)])
async def test_the_narrator_chooses_what_it_knows_the_word_for(result: str, chosen: bool) -> None:
    async with running(profile("instant")) as url:
        given = {"base_url": url, "select_limit": 60.0, "refine_limit": 60.0}
        async with foretell.Game(given, api_key="none") as game:
            session = await game.session("table")
            session.update(STATE)
            session.begin_turn("mira")
            written = asyncio.Event()
            session._pipeline.recorder.listen({"~account": lambda t, line: written.set()})
            action = session.declare("mira", "longsword", target="goblin", rolled="hit")
            await written.wait()
            telling = action.outcome(result, damage=3)
            said = await telling
            assert "3" in said.text
            assert (telling.ended.served == (Served.IN_FLIGHT,)) is chosen
