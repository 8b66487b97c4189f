"""Going back is exact: the world is what it was then, within a bound or by the log."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from foretell.streams import events as ev
from foretell.streams import history as history_module
from foretell.streams.history import History, NotKept, logged
from foretell.streams.log import LogWriter, to_record
from foretell.streams.world import Numbered, World

OWN = ("revision", "t", "number", "received", "cause", "unexpected", "fresh", "warning", "undone")
"""What a world after a rewind has of the rewind itself."""


def then(world: World) -> dict[str, Any]:
    """A world without what belongs to the moment alone."""
    return {name: value for name, value in world._asdict().items() if name not in OWN}


def night(seed: int, length: int = 60) -> list[ev.Input]:
    """Inputs of every kind, with rewinds to before, after and beyond each other."""
    rng = random.Random(seed)
    state: dict[str, Any] = {"actors": {f"a{n}": {"hp": 20} for n in range(3)}}
    said: list[ev.Input] = []
    t = 0.0
    for number in range(1, length + 1):
        t += rng.choice((0.0, 0.0, 1 / 3, 2 / 3, 5.0))
        who = f"a{rng.randrange(3)}"
        state = {"actors": {**state["actors"], who: {"hp": rng.randrange(20)}}}
        target = {"type": "attack", "name": "axe", "target": f"a{rng.randrange(3)}"}
        result = (ev.Result("hit", None, {"damage": rng.randrange(5)}),)
        some = f"x{rng.randrange(number)}"
        said.append(
            rng.choice(
                (
                    ev.State(t, state),
                    ev.State(t, state, some),
                    ev.Patch(t, ({"op": "add", "path": "/tick", "value": number},)),
                    ev.Turn(t, f"t{number}", who),
                    ev.TurnEnd(t, f"t{number - 1}"),
                    ev.Action(t, f"x{number}", None, who, target),
                    ev.Action(t, some, None, who, None),
                    ev.Outcome(t, result, some),
                    ev.Outcome(t, result, None, None, who, target),
                    ev.Rewind(t, rng.randrange(number)),
                    ev.Rewind(t, rng.uniform(0, t)),
                    ev.Rewind(t, t),
                )
            )
        )
    return said


def play(history: History, said: list[ev.Input]) -> list[World]:
    """The world before the first input, and after each."""
    worlds = [World()]
    for number, event in enumerate(said, 1):
        worlds.append(history.advance(worlds[-1], Numbered(number, event, event.t)))
    return worlds


def meant(worlds: list[World], rewind: ev.Rewind) -> World:
    """The world a rewind goes back to, of all there were before it."""
    if isinstance(rewind.to, int):
        return worlds[rewind.to]
    return [worlds[0], *(each for each in worlds[1:] if round(each.t, 6) <= round(rewind.to, 6))][
        -1
    ]


@settings(max_examples=200)
@given(st.integers(0, 2**32), st.sampled_from((0, 3000, 10**7)), st.booleans())
def test_after_a_rewind_the_world_is_what_it_was_then(seed: int, kept: int, log: bool) -> None:
    """Out of what is kept, and out of the log, which are two ways to the same."""
    said: list[ev.Input] = []
    history = History(World(), kept, (lambda n: said[n:]) if log or kept < 10**7 else None)
    worlds = [World()]
    for number, event in enumerate(night(seed), 1):
        said.append(event)
        worlds.append(history.advance(worlds[-1], Numbered(number, event, event.t)))
        if isinstance(event, ev.Rewind):
            now, before = worlds[-1], meant(worlds[:-1], event)
            assert now.warning is None
            assert then(now) == then(before)
            assert (now.revision, now.number, now.t) == (number, number, event.t)
            assert now.fresh == (((), None),) and now.unexpected == {((), None): number}
    for number in random.Random(seed).sample(range(len(worlds)), 10):
        assert then(history.at(number)) == then(worlds[number])
        assert history.at(number).undone == worlds[number].undone
        assert history.at(number).revision == worlds[number].revision


@given(st.integers(0, 2**32))
def test_an_input_stands_if_it_is_one_of_those_that_led_to_the_world(seed: int) -> None:
    said = night(seed)
    worlds = play(History(World(), 10**7), said)
    led: list[set[int]] = [set()]
    for number, event in enumerate(said, 1):
        goal = (
            led[meant(worlds[:number], event).number] if isinstance(event, ev.Rewind) else led[-1]
        )
        led.append({*goal, number})
        assert {each for each in range(1, number + 1) if worlds[number].stands(each)} == led[-1]


@given(st.integers(0, 2**32))
def test_its_memory_is_bounded_however_long_it_goes_on(seed: int) -> None:  # G3
    history, world = History(World(), 5000, lambda after: ()), World()
    for number, event in enumerate(night(seed, 400), 1):
        if not isinstance(event, ev.Rewind):
            world = history.advance(world, Numbered(number, event, event.t))
            assert history._weight <= 5000 or len(history._segments) <= 2
            assert history._weight == sum(each.weight for each in history._segments)


def test_states_that_share_cost_what_changed() -> None:
    whole = {f"a{n}": {"hp": n, "notes": "x" * 1000} for n in range(100)}
    said: list[ev.Input] = [
        ev.State(float(number), {"actors": {**whole, "a1": {"hp": number}}})
        for number in range(400)
    ]
    shared, apart = (History(World(), 10**9) for _ in range(2))
    worlds = play(shared, said)
    play(apart, [ev.State(each.t, orjson.loads(orjson.dumps(each.state))) for each in said])
    assert shared._weight < apart._weight / 50
    assert [shared.at(number).state for number in (1, 200, 399)] == [
        worlds[number].state for number in (1, 200, 399)
    ]


def test_a_state_is_kept_with_its_members_in_their_order() -> None:
    """A prompt that shows the state must come out as it was."""
    states: list[dict[str, Any]] = [
        {"a": {"x": 1, "y": 2}, "b": 1},
        {"a": {"y": 2, "x": 1}, "b": 1},
        {"b": 1, "a": {"y": 2}},
        {"b": {"c": []}, "a": {"y": None}},
        {},
        {"b": 2**70},  # beyond what is written as JSON
    ]
    history = History(World(), 10**6)
    worlds = play(history, [ev.State(float(n), state) for n, state in enumerate(states)])
    for number, world in enumerate(worlds):
        assert repr(history.at(number).state) == repr(world.state)


def test_without_a_log_what_is_further_back_than_is_kept_moves_nothing() -> None:
    history = History(World(), 20_000)
    said: list[ev.Input] = [ev.Turn(float(n), f"t{n}", "mira") for n in range(1, 400)]
    world = play(history, said)[-1]
    reach = history.reach()
    assert reach is not None and reach[0] > 200
    assert history.at(reach[0]).turn == said[reach[0] - 1]
    for to in (reach[0] - 1, 3.5):
        after = history.advance(world, Numbered(400, ev.Rewind(400.0, to), 400.0))
        assert after.turn == world.turn and after.warning is not None
        assert "further back than is kept" in after.warning
    with pytest.raises(NotKept):
        history.at(3)


@pytest.mark.parametrize("to", ["yesterday", None, [1], float("nan"), True, 2, 2.1, 10**30])
def test_a_rewind_to_no_time_at_all_moves_nothing_and_is_no_disaster(to: Any) -> None:  # G10
    history = History(World(), 1000)
    world = play(history, [ev.Turn(1.0, "t1", "mira"), ev.Rewind(2.0, to)])[-1]
    assert world.turn is not None and world.warning is not None and "rewind" in world.warning
    assert (world.revision, world.undone) == (2, ())


def test_before_the_first_input_there_is_nothing() -> None:
    for to in (0, -1.0, -5):
        history = History(World(), 1000)
        world = play(history, [ev.Turn(1.0, "t1", "mira"), ev.Rewind(2.0, to)])[-1]
        assert world.turn is None and world.undone == ((0, 1),)


def test_one_may_go_forth_again_to_what_was_undone() -> None:
    said: list[ev.Input] = [ev.Turn(float(n), f"t{n}", "mira") for n in (1, 2, 3)]
    worlds = play(History(World(), 10**6), [*said, ev.Rewind(4.0, 1), ev.Rewind(5.0, 3)])
    assert worlds[4].turn == said[0] and worlds[5].turn == said[2]
    assert [worlds[4].stands(n) for n in (1, 2, 3)] == [True, False, False]
    assert [worlds[5].stands(n) for n in (1, 2, 3, 4)] == [True, True, True, False]


def test_many_rewinds_in_a_row_are_read_in_one_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them to before the one before it: the way back through all is no tree."""
    back = [ev.Rewind(float(number), max(1, number - 2)) for number in range(2, 200)]
    said: list[ev.Input] = [ev.Turn(1.0, "t1", "mira"), *back]
    passes = 0

    def past(after: int) -> list[ev.Input]:
        nonlocal passes
        passes += 1
        return said[after:]

    history = History(World(), 0, past)
    play(history, said)
    passes = 0
    assert history.at(20).turn == said[0]
    assert passes == 1
    monkeypatch.setattr(history_module, "MOST_JUMPS", 50)
    history = History(World(), 0, past)
    world = play(history, said)[-1]
    assert len(history._jumps) == 50 and world.turn == said[0]
    with pytest.raises(NotKept, match="more than 50 rewinds back"):
        history.at(20)


def test_far_back_little_of_the_log_is_read_again() -> None:
    """A rewind to long ago holds up no other session for long; nor does what is kept grow."""
    said: list[ev.Input] = [ev.State(n / 60, {"tick": n}) for n in range(20_000)]
    read = 0

    def past(after: int) -> Iterator[ev.Input]:
        nonlocal read
        for event in said[after:]:
            read += 1
            yield event

    history = History(World(), 10_000, past)
    worlds = play(history, said)
    marks = history_module.MARKS
    assert marks / 2 - 1 <= len(history._marks) <= marks
    for number in (1, 3_333, 9_999, 15_000):
        read = 0
        assert then(history.at(number)) == then(worlds[number])
        assert read <= 2 * len(said) / marks + history_module.SEGMENT
        read = 0
        assert history._target(worlds[number].t, 20_000, 999.0) == number
        assert read <= 2 * len(said) / marks + history_module.SEGMENT


def test_of_large_states_few_are_kept() -> None:  # G3
    said: list[ev.Input] = [ev.State(float(n), {"map": f"{n}" * 2000}) for n in range(3_000)]
    history = History(World(), 100_000, lambda after: said[after:])
    worlds = play(history, said)
    assert 2 <= len(history._marks) * 2000 <= 2 * 100_000
    assert sum(len(orjson.dumps(world.state)) for world in history._marks) <= 100_000
    assert then(history.at(2_000)) == then(worlds[2_000])


def test_the_inputs_of_a_log_are_read_and_nothing_else(tmp_path: Path) -> None:
    said = [event for event in night(1) if not isinstance(event, ev.Patch)]
    path = tmp_path / "night.jsonl"
    with LogWriter(path, {"id": "night", "started": "2026-01-01T00:00:00Z", "source": "test",
                          "clock": "drawn"}) as writer:  # fmt: skip
        for event in said:
            writer.write(to_record(event))
            writer.write({"t": event.t, "kind": "~chunk", "text": '"kind":"turn"'})
    with path.open("ab") as file:
        file.write(b'{"t":9999,"kind":"tu')
    read = list(logged(path))
    assert [type(each) for each in read] == [type(each) for each in said]
    assert read[-1].t == round(said[-1].t, 6)
    for after in (1, 7, len(said)):
        assert list(logged(path, after)) == read[after:]
    path.write_bytes(path.read_bytes().replace(b'{"t":', b'{ "t": '))  # as others may write it
    assert list(logged(path, 7)) == read[7:]


def test_a_log_that_does_not_hold_it_all_is_said_to() -> None:
    history = History(World(), 0, lambda after: ())
    world = play(history, [ev.Turn(float(n), f"t{n}", "mira") for n in range(1, 400)])[-1]
    after = history.advance(world, Numbered(400, ev.Rewind(400.0, 5), 400.0))
    assert after.turn == world.turn and "holds 0 inputs" in (after.warning or "")


def test_how_much_is_between_two_worlds_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    found = []
    for segment in (1, 2, 128):
        monkeypatch.setattr(history_module, "SEGMENT", segment)
        found.append([then(world) for world in play(History(World(), 10**7), night(5, 200))])
    assert found[0] == found[1] == found[2]


def test_a_world_that_was_just_told_is_at_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    blow = ev.Outcome(200.0, actor="mira", action={"name": "bow"}, results=())
    ticks = [ev.State(float(t), {"tick": t}) for t in range(1, 200)]
    history = History(World(), 10**7)
    worlds = play(history, [*ticks, blow, ev.State(201.0, {"tick": 201})])

    def again(*given: object) -> World:
        raise AssertionError("gone through again")

    with monkeypatch.context() as patch:
        patch.setattr(history_module, "advance", again)
        assert history.at(200) is worlds[200]
        with pytest.raises(AssertionError):
            history.at(199)
    assert then(history.at(199)) == then(worlds[199])
