"""All sessions of a process at one server: players first, and patience where it is asked for."""

from __future__ import annotations

import asyncio
import gc
import math
import random
import weakref
from collections.abc import Iterable
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import foretell
from foretell.operators.generation import Generation
from foretell.replay.verify import verify
from foretell.streams.anthropic_model import AnthropicModel
from foretell.streams.gate import Gate, gate_to
from foretell.streams.log import read, seal, validate
from foretell.streams.models import ModelOverloaded, Purpose
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.faults import Faults
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import Profile, profile
from foretell.streams.narrator.server import running
from foretell.streams.plain import PlainFallback
from foretell.testing import Script, ScriptedModel, instant, run_virtual
from foretell.testing.watch import WatchedModel, WatchedStream

FOES = ("goblin-0", "goblin-1", "goblin-2")
ANSWER = {"text": "The blade bites, and {target} gives ground.", "lines": [], "cues": []}
SLOW = Script(ANSWER, ttft=30.0)
SERVER = Profile("server", "For tests.", math.inf, math.inf, 0.5, 40.0, slots=4)
"""Four are answered at once, each first after half a second; the others stand in line."""


def game_of(model: Any, most: int, **given: Any) -> foretell.Game[Any]:
    settings = {"max_speculations_process": most, "intensity": "aggressive", "spend": "none"}
    return foretell.Game({**settings, **given}, model=model)


def state_of(hero: str) -> dict[str, Any]:
    foes = {foe: {"name": foe.title(), "side": "foes", "hp": 9, "max_hp": 9} for foe in FOES}
    heroes = {hero: {"name": hero.title(), "side": "party", "hp": 20, "max_hp": 20}}
    return {"mode": "combat", "actors": {**heroes, **foes}}


def take_turn(session: foretell.Session[Any], weapons: Iterable[str] = ("sword", "bow")) -> None:
    """A turn of which much may come."""
    hero = session.id
    options = [{"type": "attack", "name": own, "target": foe} for own in weapons for foe in FOES]
    session.update(state_of(hero))
    session.begin_turn(hero, options=options)


def strike(session: foretell.Session[Any], what: str = "punch") -> foretell.Telling[Any]:
    """Something nobody has thought of happens."""
    action = {"type": "attack", "name": what, "target": FOES[0]}
    return session.outcome(session.id, action, result="hit", values={"damage": 2})


def at(streams: Iterable[WatchedStream], purpose: Purpose) -> list[float]:
    return [each.opened_at or 0.0 for each in streams if each.request.purpose is purpose]


class Night:
    """Several tables in one process."""

    def __init__(self, model: Any, most: int, **given: Any) -> None:
        self.streams: list[WatchedStream] = []
        self.made: dict[WatchedStream, Generation] = {}
        self.game = game_of(WatchedModel(model, self._opened), most, **given)
        self.loop = asyncio.get_running_loop()
        self.sessions: list[foretell.Session[Any]] = []

    def _opened(self, stream: WatchedStream) -> None:
        self.streams.append(stream)
        for each in (each for session in self.sessions for each in session.generations.live):
            if each.request is stream.request:
                self.made[stream] = each

    async def tables(self, *names: str) -> list[foretell.Session[Any]]:
        self.sessions = [await self.game.session(name) for name in names]
        return self.sessions

    @property
    def gate(self) -> Gate:
        return self.game.gate()

    def open(self, purpose: Purpose) -> list[WatchedStream]:
        return [
            each
            for each in self.streams
            if each.gone_at is None and each.request.purpose is purpose
        ]


async def test_a_player_waits_no_longer_beside_three_tables_that_prepare() -> None:  # G5
    first: dict[int, list[float]] = {}
    for others in (0, 3):
        night = Night(NarratorModel(Engine(SERVER)), most=4)
        async with night.game:
            player, *rest = await night.tables("mira", *("ann", "bob", "cat")[:others])
            player.intensity = "off"
            player.update(state_of("mira"))
            for _ in range(5):
                for session in rest:
                    take_turn(session)
                await asyncio.sleep(2.0)
                assert len(night.open(Purpose.PREFETCH)) == (4 if others else 0)
                await strike(player)
        told = [each for each in night.streams if each.request.purpose == "foreground"]
        first[others] = [(each.first_at or 0.0) - (each.opened_at or 0.0) for each in told]
    assert first[3] == pytest.approx(first[0])
    assert len(first[3]) == 5


async def test_the_least_valuable_of_all_sessions_gives_way_in_the_same_instant() -> None:  # G5
    night = Night(ScriptedModel(SLOW), most=4)
    async with night.game:
        ann, bob, mira = await night.tables("ann", "bob", "mira")
        take_turn(ann, ["sword"])
        await asyncio.sleep(1)
        ann.declare("ann", "sword", target=FOES[0])  # now worth much, and the rest little
        await asyncio.sleep(1)
        take_turn(bob)
        await asyncio.sleep(1)
        here = [each for s in (ann, bob) for each in s.generations.live if each.running]
        assert len(here) == 4 == len(night.open(Purpose.PREFETCH))
        least = min(each.value for each in here)
        mira.intensity = "off"
        strike(mira)
        before = night.loop.time()
        await instant()
        gone = [each for each in here if not each.running]
        assert night.loop.time() == before
        assert [(each.reason, each.value) for each in gone] == [("displaced", least)]
        assert len(night.open(Purpose.FOREGROUND)) == 1
        assert len(night.open(Purpose.PREFETCH)) == 3


async def test_what_somebody_waits_for_is_not_closed_for_another() -> None:  # G5
    night = Night(ScriptedModel(Script(ANSWER, ttft=5.0)), most=1)
    async with night.game:
        ann, mira = await night.tables("ann", "mira")
        ann.update(state_of("ann"))
        ann.begin_turn("ann")
        action = ann.declare("ann", "sword", target=FOES[0], rolled="hit")
        await asyncio.sleep(1)
        telling = action.outcome("hit", damage=2, target_hp=7)
        strike(mira)
        await asyncio.sleep(1)
        assert len(night.open(Purpose.PREFETCH)) == 1  # adopted by ann's telling
        await telling
        assert ann.report()["served"]["in_flight"] == 1


async def test_one_that_is_asked_for_before_it_is_closed_stays_and_another_goes() -> None:
    night = Night(ScriptedModel(SLOW), most=2)
    async with night.game:
        ann, bob, mira = await night.tables("ann", "bob", "mira")
        for session in (ann, bob):
            session.update(state_of(session.id))
            session.begin_turn(session.id)
            session.declare(session.id, "sword", target=FOES[0], rolled="hit")
            await asyncio.sleep(1)
        first, second = (
            next(each for each in s.generations.live if each.running) for s in (ann, bob)
        )
        second.value = first.value - 0.1
        mira.intensity = "off"
        night.gate.begin(mira.generations, _Player())  # a player's stream, and in this instant
        lease = second.lease()  # a telling takes the one that was to go
        await instant()
        assert (first.reason, second.reason) == ("displaced", "")
        lease.release()


class _Player:
    value, running, spare, tells = 1.0, True, False, True


async def test_nobody_is_let_in_above_the_bound_and_no_place_stays_empty() -> None:
    night = Night(ScriptedModel(Script(ANSWER, ttft=5.0)), most=3)
    async with night.game:
        tables = await night.tables("ann", "bob", "cat")
        for session in tables:
            take_turn(session)
        for _ in range(400):
            await asyncio.sleep(0.1)
            waiting = [e.value for s in tables for e in s.generations.live if e.phase == "waiting"]
            running = [e for s in tables for e in s.generations.live if e.spare]
            assert len(night.open(Purpose.PREFETCH)) <= 3
            assert len(running) == 3 or not waiting
        assert not waiting and all(s.generations.live for s in tables)


@pytest.mark.parametrize("sure", ["bob", "cat"])
async def test_the_most_valuable_that_waits_is_let_in_first(sure: str) -> None:
    night = Night(ScriptedModel(SLOW), most=1)
    async with night.game:
        ann, *others = await night.tables("ann", "bob", "cat")
        take_turn(ann)
        await asyncio.sleep(1)
        for session in others:
            if session.id == sure:
                session.update(state_of(sure))
                session.begin_turn(sure)
                session.declare(sure, "sword", target=FOES[0], rolled="hit")
            else:
                take_turn(session)
        await asyncio.sleep(1)
        await ann.close(drain=0.0)
        await instant()
        began = [s.id for s in others if any(each.running for each in s.generations.live)]
        assert began == [sure]


@settings(max_examples=40)
@given(seed=st.integers(0, 10_000))
def test_speculation_never_delays_a_player_at_any_table(seed: int) -> None:  # G5, 8-10
    run_virtual(_random_night(seed))


async def _random_night(seed: int) -> None:
    rng = random.Random(seed)
    night = Night(NarratorModel(Engine(SERVER)), most=rng.choice((1, 2, 3, 4)))
    async with night.game:
        tables = await night.tables(*("ann", "bob", "cat", "dan", "eve")[: rng.randint(2, 5)])

        async def play(session: foretell.Session[Any]) -> None:
            session.intensity = rng.choice(("off", "conservative", "aggressive"))
            actions: list[Any] = []
            for _ in range(rng.randint(3, 15)):
                await asyncio.sleep(rng.choice((0.0, 0.01, 0.3, 0.5, 1.0, 3.0)))
                move = rng.random()
                if move < 0.3:
                    take_turn(session)
                elif move < 0.5:
                    session.update(state_of(session.id))
                    actions.append(session.declare(session.id, "sword", target=FOES[1]))
                elif move < 0.7 and actions:
                    telling = actions.pop().outcome(rng.choice(("hit", "miss")), damage=3)
                    if rng.random() < 0.3:
                        telling.cancel()
                elif move < 0.9:
                    strike(session)
                elif rng.random() < 0.2:
                    await session.close(drain=rng.choice((0.0, 1.0, 60.0)))
                    return

        await asyncio.gather(*(play(session) for session in tables))
    most = night.game.settings.max_speculations_process
    for each in night.streams:
        opened = each.opened_at or 0.0
        if each.request.purpose is Purpose.FOREGROUND:
            if each.first_at is None:
                continue
            others = [o for o in night.streams if _open_beside(o, each, opened)]
            wanted = [
                o
                for o in others
                if o.request.purpose is Purpose.FOREGROUND or night.made[o].adopted
            ]
            if each.first_at - opened > SERVER.ttft + 1e-6:
                assert len(wanted) >= SERVER.slots, f"{each} waited for a slot"
        else:
            there = [o for o in night.streams if _open_before(o, each, opened)]
            assert len(there) < most, f"{each} is one too many"
    assert repr(night.gate) == "<Gate [0 open, 0 waiting]>"


def _open_beside(one: WatchedStream, other: WatchedStream, now: float) -> bool:
    """Whether one is still there when the instant is over in which the other is opened."""
    return one is not other and (one.opened_at or 0.0) <= now < (one.gone_at or math.inf)


def _open_before(one: WatchedStream, other: WatchedStream, now: float) -> bool:
    return one.number < other.number and (one.gone_at is None or one.gone_at > now)


# What the server asks for.


class Busy:
    """Refuses while it is told to, and then answers as a script says."""

    def __init__(self, script: Script = SLOW) -> None:
        self.refusal: ModelOverloaded | None = None
        self._model = ScriptedModel(lambda request, number: self._now or script)

    @property
    def _now(self) -> Script | None:
        return Script(error=self.refusal, ttft=0.0) if self.refusal is not None else None

    def stream(self, request: Any) -> Any:
        return self._model.stream(request)

    async def aclose(self) -> None:
        await self._model.aclose()


async def test_after_a_429_no_session_prepares_until_the_server_has_said_and_players_go_on() -> (
    None
):
    # 8-10
    busy = Busy(Script(ANSWER, ttft=5.0))
    night = Night(busy, most=99)
    async with night.game:
        ann, bob, mira = await night.tables("ann", "bob", "mira")
        mira.intensity = "off"
        busy.refusal = ModelOverloaded("later", retry_after=7.0)
        refused = strike(mira)
        await asyncio.sleep(0.5)
        assert at(night.streams, Purpose.FOREGROUND) == [0.0]
        assert "speculation paused for 6.5 s" in repr(night.gate)
        busy.refusal = None
        for session in (ann, bob):
            take_turn(session)
        await asyncio.sleep(0.5)
        strike(ann)  # told at once
        await asyncio.sleep(5.5)
        assert at(night.streams, Purpose.FOREGROUND) == [0.0, 1.0]
        assert at(night.streams, Purpose.PREFETCH) == []
        await asyncio.sleep(3.0)
        assert at(night.streams, Purpose.FOREGROUND) == [0.0, 1.0, 7.0]  # the first, once more
        assert at(night.streams, Purpose.PREFETCH) == [7.0]  # one is tried
        await asyncio.sleep(3.0)
        asked = at(night.streams, Purpose.PREFETCH)
        assert set(asked) == {7.0, 12.0} and len(asked) >= 13  # it is answered: all go on
        refused.cancel()


async def test_529s_in_a_row_make_longer_pauses_with_one_probe_after_each() -> None:  # 8-10
    busy = Busy(Script(ANSWER, ttft=0.1))
    busy.refusal = ModelOverloaded("overloaded")
    night = Night(busy, most=99)
    async with night.game:
        for session in await night.tables("ann", "bob", "cat"):
            session.intensity = "conservative"
            take_turn(session)
        for _ in range(400):  # a turn never ends in the moment in which a pause does
            await asyncio.sleep(0.7 if night.loop.time() == 0 else 1)
            for session in night.sessions:
                take_turn(session)
        asked = at(night.streams, Purpose.PREFETCH)
        first = [each for each in asked if each == asked[0]]
        probes = asked[len(first) - 1 :]
        pauses = [later - each for each, later in pairwise(probes)]
        assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, 60, 60, 60, 60, 60])
        busy.refusal = None
        await asyncio.sleep(60)
        assert len(at(night.streams, Purpose.PREFETCH)) > len(asked) + 3
        busy.refusal = ModelOverloaded("overloaded")
        strike(night.sessions[0])
        await instant()
        assert "paused for 1 s" in repr(night.gate)  # and from the shortest on again


async def test_after_a_pause_in_which_nobody_waited_one_is_tried_as_well() -> None:
    busy = Busy()
    night = Night(busy, most=99)
    async with night.game:
        tables = await night.tables("ann", "bob")
        busy.refusal = ModelOverloaded("overloaded")
        refused = strike(tables[0])
        await asyncio.sleep(0.5)
        refused.cancel()
        await asyncio.sleep(5)
        busy.refusal = None
        for session in tables:
            take_turn(session)
        await asyncio.sleep(1)
        assert len(night.open(Purpose.PREFETCH)) == 1


async def test_a_probe_that_says_nothing_is_followed_by_another() -> None:
    busy = Busy()
    night = Night(busy, most=99)
    async with night.game:
        ann, bob = await night.tables("ann", "bob")
        busy.refusal = ModelOverloaded("overloaded", retry_after=math.inf)  # no server means that
        strike(ann)
        await asyncio.sleep(0.1)
        busy.refusal = None
        for session in (ann, bob):
            take_turn(session)
        await asyncio.sleep(3600)
        (probe,) = night.open(Purpose.PREFETCH)
        owner = next(s for s in (ann, bob) if night.made[probe] in s.generations.live)
        await owner.close(drain=0.0)
        await instant()
        assert len(night.open(Purpose.PREFETCH)) == 1
        assert night.open(Purpose.PREFETCH) != [probe]


# Coming and going.


@pytest.mark.parametrize("how", ["closed", "cancelled", "waiting"])
async def test_a_session_that_is_closed_leaves_its_places_to_the_others(how: str) -> None:
    night = Night(ScriptedModel(SLOW), most=2)
    async with night.game:
        ann, bob = await night.tables("ann", "bob")
        take_turn(ann)
        await asyncio.sleep(1)
        take_turn(bob)
        await asyncio.sleep(1)
        assert not any(each.running for each in bob.generations.live)
        if how == "waiting":
            await bob.close(drain=0.0)
            await ann.close(drain=0.0)
        elif how == "closed":
            await ann.close(drain=0.0)
        else:
            strike(ann)
            with suppress(TimeoutError):
                async with asyncio.timeout(0.1):
                    await ann.close(drain=20.0)
            await ann.close()
        await instant()
        running = [each for each in bob.generations.live if each.running]
        assert len(running) == (0 if how == "waiting" else 2)
        await bob.close(drain=0.0)
        assert repr(night.gate) == "<Gate [0 open, 0 waiting]>"


async def test_a_session_that_is_over_holds_no_place_whatever_it_left_open() -> None:
    night = Night(ScriptedModel(SLOW), most=2)
    async with night.game:
        ann, bob = await night.tables("ann", "bob")
        take_turn(ann)
        await asyncio.sleep(1)
        take_turn(bob)
        await asyncio.sleep(1)
        night.gate.leave(ann.generations)  # as if its streams would not end
        assert not bob.generations.running  # it hears of it when its own work is at rest
        await instant()
        assert bob.generations.running == 2


async def test_a_place_that_was_granted_is_not_taken_once_the_server_asks_for_patience() -> None:
    night = Night(ScriptedModel(SLOW), most=2)
    async with night.game:
        ann, bob = await night.tables("ann", "bob")
        take_turn(ann)
        await asyncio.sleep(1)
        take_turn(bob)
        await asyncio.sleep(1)
        night.gate.leave(ann.generations)
        refusal = ModelOverloaded("later", 5.0)  # before bob's session has heard of its place
        night.gate.failed(_Player(), refusal)  # type: ignore[arg-type]
        await asyncio.sleep(4.9)
        assert not bob.generations.running
        await asyncio.sleep(0.2)
        assert bob.generations.running == 1


async def test_what_waits_and_is_not_wanted_any_more_is_never_asked_for() -> None:
    night = Night(ScriptedModel(Script(ANSWER, ttft=5.0)), most=1)
    async with night.game:
        ann, bob = await night.tables("ann", "bob")
        take_turn(ann, ["sword"])
        await asyncio.sleep(1)
        take_turn(bob)
        await asyncio.sleep(1)
        bob.intensity = "off"
        await asyncio.sleep(60)
        assert {night.made[each] in ann.generations.live for each in night.streams} == {True}
        bob.intensity = "aggressive"
        await asyncio.sleep(60)
        assert any(each.phase == "done" for each in bob.generations.live)


async def test_games_of_one_server_share_a_gate_and_others_do_not() -> None:
    gates = [foretell.Game(model=model).gate() for model in _doors()]
    same, other, third, key, plain, fourth = gates
    assert same is other is plain
    assert len({id(each) for each in (same, third, key, fourth)}) == 4
    assert gate_to(_doors()[0]) is same


def _doors() -> list[Any]:
    url = "http://127.0.0.1:9"
    return [
        AnthropicModel(url, "one"),
        AnthropicModel(url, "one"),
        AnthropicModel("http://127.0.0.1:10", "one"),
        AnthropicModel(url, "two"),
        PlainFallback(AnthropicModel(url, "one")),
        NarratorModel(Engine(SERVER)),
    ]


async def test_two_games_with_one_model_share_its_places() -> None:
    model = ScriptedModel(SLOW)
    async with game_of(model, 3) as one, game_of(model, 3) as other:
        for session in (await one.session("ann"), await other.session("bob")):
            take_turn(session)
        await asyncio.sleep(1)
        assert len(model.open) == 3


def test_sessions_on_different_loops_share_nothing() -> None:
    model = ScriptedModel(SLOW)

    async def play(elsewhere: bool = True) -> list[int]:
        async with game_of(model, 3) as game:
            take_turn(await game.session("ann"))
            await asyncio.sleep(1)
            open_now = [len(model.open)]
            if elsewhere:  # in a thread of its own, while this one waits
                open_now += await asyncio.to_thread(run_virtual, play(elsewhere=False))
            return open_now

    assert asyncio.run(play()) == [3, 6]


def test_a_gate_is_gone_with_its_last_game() -> None:
    model = ScriptedModel(SLOW)
    gates = weakref.WeakSet[Gate]()

    async def play() -> None:
        async with game_of(model, 3) as game:
            take_turn(await game.session("ann"))
            await asyncio.sleep(1)
            found = (each for each in gc.get_objects() if type(each) is Gate)
            gates.update(each for each in found if each.model is model)

    run_virtual(play())
    assert gates
    gc.collect()
    assert not gates


# Recordings.


def _sound(log: Path) -> set[str]:
    """What gates did in a recording that comes again exactly."""
    assert validate(log).errors == []
    walked = verify(log, heavy=True)
    assert walked.difference is None, walked.difference
    assert walked.lines == len([*read(log)]) - 1
    return {line.data["what"] for line in read(log) if line.kind == "~gate"}


async def _evening(session: foretell.Session[Any], seed: int, pauses: tuple[float, ...]) -> None:
    rng = random.Random(seed)
    actions: list[Any] = []
    for _ in range(25):
        await asyncio.sleep(rng.choice(pauses))
        move = rng.random()
        if move < 0.35:
            take_turn(session)
        elif move < 0.55:
            session.update(state_of(session.id))
            actions.append(session.declare(session.id, "sword", target=rng.choice(FOES)))
        elif move < 0.7 and actions:
            actions.pop().outcome(rng.choice(("hit", "miss")), damage=3)
        elif move < 0.9:
            strike(session)
        elif move < 0.95:
            session.intensity = rng.choice(("off", "conservative", "aggressive"))


@pytest.mark.parametrize("faults", ["529:0", "429=1:0.03,529:0.05,stall=0.2:0.05,cut:0.05"])
def test_each_of_several_sessions_comes_again_by_itself(tmp_path: Path, faults: str) -> None:
    # G9, 8-10
    async def play(seed: int) -> list[Path]:
        engine = Engine(SERVER, seed, faults=Faults.parse(faults))
        folder = tmp_path / str(seed)
        night = Night(NarratorModel(engine), most=2 + 3 * seed, log_dir=str(folder), deadline=5.0)
        async with night.game:
            tables = await night.tables(*(f"table-{n}" for n in range(6)))
            nights = (_evening(s, 10 * seed + n, (0.0, 0.05, 0.5, 2)) for n, s in enumerate(tables))
            await asyncio.gather(*nights)
            await tables[0].close(drain=0.0)
        return [folder / f"{session.id}.jsonl" for session in tables]

    found = [_sound(log) for seed in range(2) for log in run_virtual(play(seed))]
    assert set().union(*found) == {"waits", "granted", "displaced"}


@pytest.mark.real_time
@pytest.mark.parametrize("faults", ["cut:0.05", "429=1:0.01,529:0.02"])
async def test_each_of_20_live_sessions_comes_again_by_itself(
    tmp_path: Path, faults: str
) -> None:  # G9, 8-10
    fast = Profile("fast", "For tests.", math.inf, math.inf, 0.01, 2000.0, slots=12)
    engine = Engine(fast, 0, faults=Faults.parse(faults))
    async with running(fast, engine=engine) as url:
        given = {"base_url": url, "log_dir": str(tmp_path), "max_speculations_process": 12}
        given |= {"intensity": "aggressive", "spend": "none"}
        async with foretell.Game(given, api_key="none") as game:
            tables = [await game.session(f"table-{n}") for n in range(20)]
            pauses = (0.0, 0.001, 0.02, 0.1, 0.2)
            await asyncio.gather(*(_evening(s, n, pauses) for n, s in enumerate(tables)))
    found = [await asyncio.to_thread(_sound, tmp_path / f"table-{n}.jsonl") for n in range(20)]
    assert "waits" in {what for each in found for what in each}


def test_a_session_by_itself_has_no_line_of_the_gate(tmp_path: Path) -> None:
    async def play() -> None:
        night = Night(NarratorModel(Engine(profile("hosted-large"))), 256, log_dir=str(tmp_path))
        async with night.game:
            await _evening((await night.tables("ann"))[0], 1, (0.5, 2.0))

    run_virtual(play())
    assert _sound(tmp_path / "ann.jsonl") == set()


@pytest.mark.parametrize("what", ["waits", "granted", "displaced"])
def test_without_a_line_of_the_gate_a_recording_does_not_come_again(
    tmp_path: Path, what: str
) -> None:
    async def play() -> None:
        night = Night(NarratorModel(Engine(SERVER)), 2, log_dir=str(tmp_path))
        async with night.game:
            tables = await night.tables("ann", "bob", "cat")
            await asyncio.gather(*(_evening(s, n, (0.0, 0.5, 2.0)) for n, s in enumerate(tables)))

    run_virtual(play())
    log = next(each for each in sorted(tmp_path.iterdir()) if what in _sound(each))
    lines = [dict(record.data) for record in read(log)]
    del lines[next(n for n, line in enumerate(lines) if line.get("what") == what)]
    for n, line in enumerate((line for line in lines if line["kind"].startswith("~")), 1):
        line["n"] = n
        line.pop("sum")
    whole = (seal(line) if line["kind"].startswith("~") else line for line in lines)
    log.write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in whole))
    assert verify(log).difference is not None
