"""What a process knows of a server that fails: who asks it, who does not, and who tries it."""

from __future__ import annotations

import asyncio
import gc
import math
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell.replay.verify import verify
from foretell.streams import breaker as module
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.breaker import Breaker, Circuit, breaker_of
from foretell.streams.log import read
from foretell.streams.models import (
    ModelCut,
    ModelOverloaded,
    ModelProtocolError,
    ModelRefusedKey,
    ModelUnavailable,
)
from foretell.testing import Script, ScriptedModel, instant, run_virtual

SNAPSHOT: dict[str, Any] = {
    "me": {"side": "foes", "pos": [3, 4], "hp": 9, "max_hp": 12, "ammo": 2},
    "others": {"mira": {"side": "party", "pos": [9, 4], "hp": 20, "max_hp": 21}},
}
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 21},
        "grik": {"name": "Grik", "side": "foes", "hp": 9, "max_hp": 12},
    },
}
STEPS = {"steps": [{"do": "Attack", "target": "mira"}, {"do": "Scan"}]}
TELLING = {"text": "The blade bites, and {target} gives ground.", "lines": [], "cues": []}
GONE = ModelUnavailable("gone")


class One:
    """Somebody who asks."""


ONE, OTHER = One(), One()


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_of_endpoints", {})


# --- by itself


def broken(failures: int = 5) -> Breaker:
    breaker = Breaker()
    for n in range(failures):
        breaker.failed(float(n), ONE)
    return breaker


def test_it_opens_at_the_fifth_failure_in_a_row_for_60_seconds() -> None:  # 3-40
    breaker = broken(4)
    assert breaker.circuit(4.0) is Circuit.CLOSED and breaker.lets(4.0, ONE, patient=False)
    breaker.failed(4.0, ONE)
    for patient in (True, False):
        assert not breaker.lets(63.9, ONE, patient=patient)
    assert breaker.circuit(63.9) is Circuit.OPEN and breaker.until(patient=False) == 64.0
    assert breaker.circuit(64.0) is Circuit.HALF_OPEN
    assert breaker.lets(64.0, ONE, patient=False)


def test_an_answer_between_them_begins_the_count_anew() -> None:
    breaker = broken(4)
    breaker.answered(OTHER)
    for n in range(4):
        breaker.failed(10.0 + n, ONE)
    assert breaker.circuit(14.0) is Circuit.CLOSED


@pytest.mark.parametrize("patient", [True, False])
def test_one_tries_it_and_the_others_wait_for_what_comes_of_that(patient: bool) -> None:
    breaker = broken()
    assert breaker.lets(70.0, ONE, patient=patient)
    assert breaker.probe is ONE
    assert not breaker.lets(70.0, OTHER, patient=True)
    assert not breaker.lets(500.0, OTHER, patient=False)
    breaker.answered(ONE)
    assert breaker.circuit(500.0) is Circuit.CLOSED and breaker.probe is None
    assert breaker.lets(500.0, OTHER, patient=True)


def test_a_failed_trial_opens_it_for_another_60_seconds() -> None:
    breaker = broken()
    assert breaker.lets(70.0, ONE, patient=False)
    breaker.failed(71.0, ONE)
    assert not breaker.lets(130.9, OTHER, patient=False)
    assert breaker.lets(131.0, OTHER, patient=False)


def test_a_trial_that_is_given_up_is_another_ones() -> None:
    breaker = broken()
    assert breaker.lets(70.0, ONE, patient=False)
    breaker.give_back(OTHER)
    assert not breaker.lets(70.0, OTHER, patient=False)
    breaker.give_back(ONE)
    assert breaker.lets(70.0, OTHER, patient=False)


def test_a_trial_by_one_who_is_gone_is_another_ones() -> None:
    breaker, one = broken(), One()
    assert breaker.lets(70.0, one, patient=False)
    del one
    gc.collect()
    assert breaker.lets(70.0, OTHER, patient=False)


def test_who_is_on_his_way_while_it_is_open_makes_it_no_longer() -> None:
    breaker = broken()
    breaker.failed(30.0, OTHER)
    assert breaker.until(patient=False) == 64.0


def test_patience_is_asked_of_speculation_alone() -> None:
    breaker = Breaker()
    assert breaker.refused(0.0, None) == 1.0
    assert not breaker.lets(0.5, ONE, patient=True)
    assert breaker.lets(0.5, ONE, patient=False)
    breaker.answered(ONE)  # a player's, and no trial
    assert not breaker.lets(0.9, ONE, patient=True)
    assert breaker.lets(1.0, ONE, patient=True)


@given(st.lists(st.tuples(st.sampled_from("flagr"), st.sampled_from((0.1, 1.0, 30.0, 61.0)))))
def test_at_most_one_tries_and_never_before_its_time(moves: list[tuple[str, float]]) -> None:
    breaker, now, row, shut, trying = Breaker(), 0.0, 0, -math.inf, None
    asked = [One() for _ in range(4)]
    for n, (move, pause) in enumerate(moves):
        now += pause
        who = asked[n % len(asked)]
        if move == "l":
            let = breaker.lets(now, who, patient=False)
            assert let == (row < 5 or (trying is None and now >= shut))
            trying = who if let and row >= 5 else trying
        elif move == "f":
            if who is trying or row < 5 or now >= shut:
                row, shut = row + 1, now + 60.0
            trying = None if who is trying else trying
            breaker.failed(now, who)
        elif move == "a":
            row, trying = 0, None if who is trying else trying
            breaker.answered(who)
        elif move == "g":
            trying = None if who is trying else trying
            breaker.give_back(who)
        else:
            breaker.refused(now, None)
            trying = None
        state = Circuit.CLOSED if row < 5 else Circuit.OPEN if now < shut else Circuit.HALF_OPEN
        assert breaker.circuit(now) is state and breaker.probe is trying


# --- whose it is


def test_it_is_one_for_each_server_in_all_games_and_threads() -> None:
    def doors() -> list[Any]:
        url = "http://127.0.0.1:9"
        return [AnthropicModel(url, "one"), AnthropicModel(url, "one"), AnthropicModel(url, "two")]

    async def play() -> list[Breaker]:
        return [foretell.Game(model=model).gate().breaker for model in doors()]

    found: list[Breaker] = []
    threads = [threading.Thread(target=lambda: found.extend(asyncio.run(play()))) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 2
    assert found[0] is found[1] is found[3] is found[4] and found[2] is found[5]


def test_it_outlives_the_games_and_a_model_of_ones_own_keeps_its_own() -> None:
    model = ScriptedModel()

    async def play() -> tuple[Breaker, Breaker]:
        door = AnthropicModel("http://127.0.0.1:9", "one")
        return foretell.Game(model=door).gate().breaker, foretell.Game(model=model).gate().breaker

    first = asyncio.run(play())
    gc.collect()
    assert all(one is other for one, other in zip(first, asyncio.run(play()), strict=True))
    assert run_virtual(play())[1] is not first[1]  # another time


def test_what_nothing_can_be_kept_beside_has_one_too() -> None:
    class Slotted:
        __slots__ = ()

    async def play() -> None:
        assert breaker_of(Slotted(), asyncio.get_running_loop()).failures == 0

    asyncio.run(play())


# --- in a session


class Server:
    """Fails as long as it is told to."""

    def __init__(self, error: Exception | None = GONE, **given: Any) -> None:
        self.error = error
        self.given = given
        self.model = ScriptedModel(self._answer)

    def _answer(self, request: Any, number: int) -> Script:
        answer = STEPS if request.purpose == "plan" else TELLING
        if self.error is not None:
            return Script(answer, error=self.error, **{"ttft": 0.1, **self.given})
        return Script(answer)

    def asked(self, purpose: str = "plan") -> int:
        return len(self.model.asked(purpose))


@asynccontextmanager
async def table(server: Server, folder: Path | None = None, **given: Any) -> AsyncIterator[Any]:
    settings = {"plans": {"retries": 0, "streams": 2}, "intensity": "off", **given}
    settings |= {} if folder is None else {"log_dir": str(folder)}
    async with (
        foretell.Game(settings, model=server.model) as game,
        await game.session("table-7") as session,
    ):
        session.update(STATE)
        yield session
    assert not server.model.open


async def plans(session: foretell.Session[Any], count: int, first: str = "a") -> list[Any]:
    return [await session.plan(f"{first}{n}", SNAPSHOT) for n in range(count)]


@pytest.mark.parametrize(
    ("error", "chunks"),
    [
        (GONE, 0), (ModelOverloaded("529"), 0), (ModelProtocolError("a web page"), 0),
        (ModelCut("cut"), 0),
    ],
)  # fmt: skip
async def test_after_five_failures_nobody_is_asked_and_all_have_their_plan_at_once(
    error: Exception, chunks: int
) -> None:  # 3-40
    server = Server(error, chunks=chunks)
    async with table(server) as session:
        await plans(session, 6)
        asked = server.asked()
        assert asked == 5
        before = asyncio.get_running_loop().time()
        made = await plans(session, 20, "b")
        assert asyncio.get_running_loop().time() == before and server.asked() == asked
        assert {(str(plan.status), plan.kind) for plan in made} == {("heuristic", "shut")}
        assert all(plan.steps for plan in made)


@pytest.mark.parametrize(
    ("error", "chunks"), [(ModelRefusedKey("401"), 0), (ModelCut("late"), 9), (KeyError("bug"), 0)]
)
async def test_what_says_that_the_server_is_there_is_no_failure_of_it(
    error: Exception, chunks: int
) -> None:
    server = Server(error, chunks=chunks)
    async with table(server) as session:
        assert all(plan.kind != "shut" for plan in await plans(session, 20))


async def test_after_60_seconds_one_tries_it_and_then_all_go_on() -> None:
    server = Server()
    async with table(server) as session:
        await plans(session, 6)
        await asyncio.sleep(61)
        await asyncio.gather(*(session.plan(f"b{n}", SNAPSHOT) for n in range(10)))
        assert server.asked() == 6
        server.error = None
        await asyncio.sleep(30)
        await asyncio.gather(*(session.plan(f"c{n}", SNAPSHOT) for n in range(10)))
        assert server.asked() == 6
        await asyncio.sleep(31)
        made = await plans(session, 3, "d")
        assert {str(plan.status) for plan in made} == {"done"} and server.asked() == 9


async def test_a_trial_that_is_cancelled_is_another_ones() -> None:
    server = Server()
    async with table(server) as session:
        await plans(session, 6)
        server.error = None
        await asyncio.sleep(61)
        planning = session.plan("b", SNAPSHOT)
        await instant()
        assert server.asked() == 6
        assert (await session.plan("a", SNAPSHOT, goal="live")).kind == "shut"
        planning.cancel()
        await instant()
        assert (await session.plan("c", SNAPSHOT)).status == "done"


async def test_many_that_fail_together_are_one_failure() -> None:
    server = Server(ModelProtocolError("a web page"))
    async with table(server, plans={"tier": "compact", "streams": 64}) as session:
        for n in range(5):
            together = (session.plan(f"{n} {m}", SNAPSHOT) for m in range(50))
            assert {plan.kind for plan in await asyncio.gather(*together)} == {"protocol"}
        assert (await plans(session, 1))[0].kind == "shut"


async def test_a_server_that_says_nothing_at_all_is_asked_five_times() -> None:
    server = Server(None)
    server.model = ScriptedModel(Script(STEPS, hangs=True))
    async with table(server) as session:
        made = await plans(session, 8)
        assert [plan.kind for plan in made] == ["deadline"] * 5 + ["shut"] * 3
    server.model = ScriptedModel(Script(STEPS, hangs=True))
    async with table(server, plans={"deadline": 1.0}) as session:  # too soon to say
        assert {plan.kind for plan in await plans(session, 8)} == {"deadline"}


async def test_players_are_always_asked_for_and_their_answer_closes_it() -> None:  # G2, G5
    server = Server()
    async with table(server) as session:
        await plans(session, 6)
        server.error = None
        assert (await plans(session, 1, "b"))[0].kind == "shut"
        await session.outcome("mira", "longsword", "hit", target="grik", damage=1)
        assert (await plans(session, 1, "c"))[0].status == "done"


async def test_while_plans_are_not_asked_for_nothing_is_prepared_either() -> None:  # 8-10
    server = Server()
    async with table(server) as session:
        await plans(session, 6)
        session.intensity = "aggressive"
        server.error = None
        begun = asyncio.get_running_loop().time()
        session.begin_turn("mira")
        session.declare("mira", "longsword", target="grik")
        await asyncio.sleep(55)
        assert server.asked("prefetch") == 0
        assert "circuit open" in repr(session._game.gate())
        await asyncio.sleep(20)
        [first, *_] = server.model.asked("prefetch")
        assert 59 < (first.opened_at or 0) - begun < 61
        assert (await plans(session, 1, "b"))[0].status == "done"


async def test_what_is_prepared_and_fails_closes_it_for_plans_too() -> None:
    server = Server()
    async with table(server, intensity="aggressive", max_speculations_process=1) as session:
        session.begin_turn("mira")
        for _ in range(8):
            session.declare("mira", "longsword", target="grik")
            await asyncio.sleep(5)
            session.begin_turn("mira")
        assert server.asked("prefetch") >= 5
        [plan] = await plans(session, 1)
        assert plan.kind == "shut"


def test_a_recording_with_an_open_circuit_comes_again(tmp_path: Path) -> None:  # G9
    async def evening() -> None:
        server = Server()
        async with table(server, tmp_path) as session:
            await plans(session, 8)
            await asyncio.sleep(61)
            await plans(session, 2, "b")
            server.error = None
            session.outcome("mira", "longsword", "hit", target="grik", damage=1)
            await asyncio.sleep(5)
            await plans(session, 2, "c")

    run_virtual(evening())
    path = tmp_path / "table-7.jsonl"
    errors = [record.data["error"] for record in read(path) if record.kind == "~error"]
    assert errors.count("shut") == 8 and errors.count("unavailable") == 6
    walked = verify(path, heavy=True)
    assert walked.difference is None, walked.difference


@pytest.mark.real_time
async def test_a_loop_hears_what_another_has_found_out() -> None:
    """One that waits while another loop tries the server goes on when that is over."""
    model = AnthropicModel("http://127.0.0.1:9", "one")
    gate = foretell.Game(model=model).gate()
    loop = asyncio.get_running_loop()
    assert breaker_of(model, loop) is gate.breaker
    now, granted = loop.time(), asyncio.Event()

    class Member:
        most = 4

        def wish(self) -> float:
            return 1.0

        def grant(self) -> None:
            granted.set()

    for _ in range(5):
        gate.breaker.failed(now - 100.0, ONE)
    assert gate.breaker.lets(now, OTHER, patient=True)  # as another loop's gate does
    member: Any = Member()
    assert not gate.admits(member, One())  # type: ignore[arg-type]
    gate.breaker.answered(OTHER)
    await granted.wait()
    gate.leave(member)
    await model.aclose()
