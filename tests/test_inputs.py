"""Where a game's words come in: one order, from any thread, and never a fault back to the game."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from types import MappingProxyType
from typing import Any

import orjson
import pytest
from pydantic import BaseModel, RootModel

from foretell.errors import StateError
from foretell.streams import events as ev
from foretell.streams import inputs as inputs_module
from foretell.streams.inputs import Inputs, snapshot
from foretell.streams.lane import Lane
from foretell.streams.log_schema import problems, too_deep
from foretell.streams.world import Numbered
from foretell.testing import instant

LIMIT = 1_000_000


class Bench:
    def __init__(self, **more: Any) -> None:
        self.loop = asyncio.get_running_loop()
        self.faults: list[str] = []
        self.loop.set_exception_handler(
            lambda _, context: self.faults.append(f"{context['message']}: {context['exception']}")
        )
        self.inputs = Inputs(self.loop, start=self.loop.time(), **more)
        self.seen: list[Numbered] = []
        self.inputs.subscribe(self.seen.append)

    def say(self, text: str, **more: Any) -> int:
        return self.inputs.put(lambda t: ev.Say(t, "gm", text), **more)

    def echo(self, numbered: Numbered) -> None:
        self.say("again")

    def update(self, state: Any, because: str | None = None) -> int:
        return self.inputs.put_state(snapshot(state, LIMIT), because)

    @property
    def texts(self) -> list[str]:
        return [
            each.event.text if isinstance(each.event, ev.Say) else str(each.event.state)
            for each in self.seen
            if isinstance(each.event, (ev.Say, ev.State))
        ]


# ── the lane ──────────────────────────────────────────────────────────────────────────────────────


async def test_states_pass_a_few_at_a_time_and_in_their_order() -> None:
    lane, loop, done = Lane(each=3), asyncio.get_running_loop(), list[int]()
    for number in range(8):
        lane.add(loop, lambda number=number: done.append(number))
    steps = []
    while len(lane):
        await asyncio.sleep(0)
        steps.append(len(done))
    assert done == list(range(8)) and steps == [3, 6, 8]


async def test_what_a_player_waits_for_passes_the_states_of_other_sessions() -> None:  # G5
    """A hundred games say at once how they look; one says what happened."""
    lane = Lane()
    benches = [Bench(lane=lane) for _ in range(100)]
    for number, bench in enumerate(benches):
        bench.update({"n": number})
    last = benches[-1]
    last.say("hit")
    await instant(2)
    assert last.texts == ["{'n': 99}", "hit"]  # with the states before it, in its order
    assert len(lane) > 50 and not benches[-2].seen
    last.update({"n": 100})
    await instant(100)
    assert [len(bench.seen) for bench in benches] == [1] * 99 + [3]
    assert len(lane) == 0


@pytest.mark.real_time
async def test_states_from_other_threads_wait_in_the_lane_too() -> None:
    bench = Bench(lane=Lane())
    for number in range(3):
        await asyncio.to_thread(bench.update, {"n": number})
    await asyncio.to_thread(bench.say, "hit")
    await instant(10)
    assert bench.texts == ["{'n': 0}", "{'n': 1}", "{'n': 2}", "hit"]


# ── the queue ─────────────────────────────────────────────────────────────────────────────────────


async def test_put_runs_no_subscriber_and_keeps_the_order() -> None:
    bench = Bench()
    for text in "abc":
        bench.say(text)
    assert bench.seen == []
    await instant(2)
    assert bench.texts == ["a", "b", "c"]
    assert [each.number for each in bench.seen] == [1, 2, 3]


async def test_numbers_go_on_where_a_recording_stopped() -> None:
    bench = Bench(number=41)
    assert bench.say("a") == 42


async def test_what_a_subscriber_puts_comes_after_all_that_was_put_before() -> None:
    bench = Bench()
    seen: list[str] = []

    def answers(numbered: Numbered) -> None:
        assert isinstance(numbered.event, ev.Say)
        if numbered.event.text in "ab":
            bench.say(numbered.event.text.upper())
            bench.say(numbered.event.text * 2)

    def sees(numbered: Numbered) -> None:
        assert isinstance(numbered.event, ev.Say)
        seen.append(numbered.event.text)

    bench.inputs.subscribe(answers)
    bench.inputs.subscribe(sees)
    bench.say("a")
    bench.say("b")
    await bench.inputs.drained()
    assert seen == bench.texts == ["a", "b", "A", "aa", "B", "bb"]


async def test_one_that_answers_each_with_another_does_not_stop_the_loop() -> None:  # G10
    bench = Bench()
    bench.inputs.subscribe(bench.echo)
    bench.say("a")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert 1 <= len(bench.seen) <= 3
    bench.inputs.complete()


async def test_time_never_runs_backwards() -> None:
    bench = Bench()
    await asyncio.sleep(5)
    bench.say("now")
    bench.say("earlier", at=2.0)
    bench.say("later", at=9.0)
    bench.say("now again")
    await bench.inputs.drained()
    assert [each.event.t for each in bench.seen] == [5.0, 5.0, 9.0, 9.0]


async def test_an_input_that_cannot_be_made_costs_only_itself() -> None:  # G10
    bench = Bench()

    def broken(t: float) -> ev.Input:
        raise KeyError("no such thing")

    bench.say("a")
    bench.inputs.put(broken)
    bench.say("b")
    await bench.inputs.drained()
    bench.say("c")
    await bench.inputs.drained()
    assert bench.texts == ["a", "b", "c"]
    assert bench.faults == ["input 2 could not be handed on: 'no such thing'"]


async def test_a_subscriber_that_raises_stops_nothing_and_never_reaches_the_game() -> None:  # G10
    bench = Bench()

    def bad(_: Numbered) -> None:
        raise RuntimeError("mine")

    bench.inputs.subscribe(bad)
    bench.say("a")
    bench.say("b")
    await bench.inputs.drained()
    assert bench.texts == ["a", "b"]
    assert len(bench.faults) == 2


async def test_drained_waits_for_what_was_put_and_for_no_more() -> None:
    bench = Bench()
    await bench.inputs.drained()
    bench.say("a")
    await bench.inputs.drained()
    assert bench.texts == ["a"]
    bench.inputs.subscribe(bench.echo)
    bench.say("b")
    await bench.inputs.drained()
    assert "b" in bench.texts
    bench.inputs.complete()


async def test_after_the_end_nothing_comes() -> None:
    bench = Bench()
    ended: list[str] = []
    bench.inputs.subscribe(on_completed=lambda: ended.append("|"))
    bench.say("a")
    await bench.inputs.drained()
    bench.inputs.complete()
    bench.say("b")
    await bench.inputs.drained()
    assert bench.texts == ["a"] and ended == ["|"]


async def test_too_many_waiting_keep_the_latest_state_and_every_other_input(
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # G3
    monkeypatch.setattr(inputs_module, "MAX_PENDING", 10)
    bench = Bench()
    for n in range(30):
        bench.update({"n": n})
    numbers = [bench.say("in between"), bench.update({"n": 100}), bench.update({"n": 101})]
    bench.say("last")
    await bench.inputs.drained()
    assert len(bench.seen) == 13
    assert bench.texts[:9] == [str({"n": n}) for n in range(9)]
    assert bench.texts[9:] == ["{'n': 29}", "in between", "{'n': 101}", "last"]
    assert bench.inputs.conflated == 21
    assert [each.number for each in bench.seen] == list(range(1, 14))
    assert numbers == [11, 12, 12]


async def test_the_number_is_known_before_anyone_can_see_the_input() -> None:
    bench = Bench()
    known: list[int] = []
    number = bench.say("a", numbered=known.append)
    assert known == [number] == [1]


@pytest.mark.real_time
async def test_several_threads_put_into_one_order() -> None:
    bench = Bench()
    each, threads = 200, 4
    barrier = threading.Barrier(threads)

    def game(name: int) -> None:
        barrier.wait()
        for n in range(each):
            bench.say(f"{name}:{n}")

    await asyncio.gather(*(asyncio.to_thread(game, name) for name in range(threads)))
    await bench.inputs.drained()
    assert [numbered.number for numbered in bench.seen] == list(range(1, each * threads + 1))
    for name in range(threads):
        mine = [text for text in bench.texts if text.startswith(f"{name}:")]
        assert mine == [f"{name}:{n}" for n in range(each)]
    times = [numbered.event.t for numbered in bench.seen]
    assert times == sorted(times)
    assert bench.faults == []


@pytest.mark.real_time
async def test_what_a_thread_puts_wakes_the_loop() -> None:
    bench = Bench()
    bench.loop.set_debug(True)  # then a call from another thread that does not wake it is an error
    arrived = asyncio.Event()
    bench.inputs.subscribe(lambda _: arrived.set())
    threading.Timer(0, lambda: bench.say("from afar") and None).start()
    await arrived.wait()
    assert bench.texts == ["from afar"]


# ── snapshots ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_later_change_by_the_game_changes_nothing() -> None:
    bench = Bench()
    state: dict[str, Any] = {"actors": {"mira": {"hp": 9}}, "log": [1]}
    bench.update(state)
    state["actors"]["mira"]["hp"] = 0
    state["log"].append(2)
    await bench.inputs.drained()
    assert bench.texts == ["{'actors': {'mira': {'hp': 9}}, 'log': [1]}"]


@dataclass
class Actor:
    name: str
    hp: int
    conditions: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Table:
    actors: Mapping[str, Actor]
    round: int = 1


class Beast(BaseModel):
    name: str
    born: datetime


class Scene(BaseModel):
    beasts: dict[str, Beast]


class Side(Enum):
    PARTY = "party"


BORN = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"a": (1, 2.5, None, True)}, {"a": [1, 2.5, None, True]}),
        (Table({"mira": Actor("Mira", 9)}),
         {"actors": {"mira": {"name": "Mira", "hp": 9, "conditions": []}}, "round": 1}),
        (Scene(beasts={"hag": Beast(name="Hag", born=BORN)}),
         {"beasts": {"hag": {"name": "Hag", "born": "2026-01-01T00:00:00Z"}}}),
        ({"mixed": [Actor("Mira", 9), Beast(name="Hag", born=BORN)]},
         {"mixed": [{"name": "Mira", "hp": 9, "conditions": []},
                    {"name": "Hag", "born": "2026-01-01T00:00:00Z"}]}),
        (MappingProxyType({"a": MappingProxyType({"b": 1})}), {"a": {"b": 1}}),
        ({"seen": {"c", "a", "b"}, "done": frozenset({2, 1})},
         {"seen": ["a", "b", "c"], "done": [1, 2]}),
        ({"side": Side.PARTY}, {"side": "party"}),
        ({"a": float("nan"), "b": float("inf")}, {"a": None, "b": None}),
        ({}, {}),
    ],
    ids=["dict", "dataclass", "pydantic", "mixed", "mappings", "sets", "enum", "nan", "empty"],
)  # fmt: skip
def test_states_in_the_shapes_games_have(state: Any, expected: Any) -> None:
    assert orjson.loads(snapshot(state, LIMIT)) == expected


def deep(levels: int, box: Callable[[Any], Any]) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = box(value)
    return {"deep": value}


class Odd:
    def model_dump(self, mode: str) -> Any:
        raise KeyError("not mine")


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ({"f": object()}, "object"),
        ({"f": lambda: 1}, "function"),
        ({1: "one"}, "Dict key must be str"),
        ({"mixed": {1, "a"}}, "set"),
        ({"text": "\ud800"}, "surrogates"),
        ({"big": 2**70}, "64-bit"),
        ({"odd": Odd()}, "Odd"),
        ({"raw": b"bytes"}, "bytes"),
        (deep(10_000, lambda value: {"in": value}), "248 levels"),
        (deep(10_000, lambda value: [value]), "248 levels"),
        ([1, 2], "must be an object at the top, not list"),
        ("state", "must be an object at the top, not str"),
        (None, "must be an object at the top, not NoneType"),
        (RootModel[list[int]]([1]), "must be an object at the top"),
    ],
)
def test_what_cannot_be_a_state_is_refused_in_one_line(state: Any, reason: str) -> None:
    with pytest.raises(StateError, match=reason) as caught:
        snapshot(state, LIMIT)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 300
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_a_state_in_itself_is_refused() -> None:
    state: dict[str, Any] = {}
    state["self"] = state
    with pytest.raises(StateError, match="248 levels"):
        snapshot(state, LIMIT)


def test_the_deepest_state_that_is_taken_fits_into_a_log() -> None:
    raw = snapshot(deep(247, lambda value: {"in": value}), LIMIT)
    state = orjson.loads(raw)
    assert "in" in state["deep"]
    assert not problems({"t": 0.0, "kind": "state", "state": state})
    assert not too_deep({"t": 0.0, "kind": "state", "state": state})
    with pytest.raises(StateError, match="248 levels"):
        snapshot({"one more": state}, LIMIT)


def test_a_state_of_fifty_megabytes_is_refused_by_its_size() -> None:
    with pytest.raises(
        StateError, match=r"50,000,0\d\d bytes of JSON, more than the limit of 1,000,000"
    ):
        snapshot({"map": "x" * 50_000_000}, LIMIT)


def test_the_limit_itself_is_allowed() -> None:
    raw = snapshot({"a": "x" * 92}, 100)
    assert len(raw) == 100
    with pytest.raises(StateError, match="101 bytes"):
        snapshot({"a": "x" * 93}, 100)


async def test_a_step_has_one_time_however_long_it_takes() -> None:  # G9
    """What a step's inputs and traces are recorded at, so that a replay keeps them together."""
    bench = Bench()
    times: list[float] = []

    def slow(numbered: Numbered) -> None:
        bench.loop._now += 0.004  # type: ignore[attr-defined]
        times.append(bench.inputs.now)

    bench.inputs.subscribe(slow)
    bench.say("one")
    bench.say("two")
    await instant()
    assert times == [each.event.t for each in bench.seen] == [0.0, 0.0]
    assert bench.inputs.now == pytest.approx(0.008)


async def test_a_finished_queue_takes_no_more_and_hands_on_what_it_has() -> None:
    bench = Bench()
    bench.say("one")
    bench.inputs.finish()
    with pytest.raises(StateError, match="closed"):
        bench.say("two")
    await bench.inputs.drained()
    assert bench.texts == ["one"]
