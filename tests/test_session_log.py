"""Whatever a game calls, what is recorded is a good log, and a replay of it is sound."""

from __future__ import annotations

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import foretell
from foretell import StateError, replay
from foretell.config import Settings
from foretell.streams import events as ev
from foretell.streams.log import read, validate
from foretell.testing import Script, ScriptedModel, instant, run_virtual

ODD = ["", "\x00\x1b\n", "\u2028", "\ud800", "\\\"'", "é" * 3000, "end"]
IDS = ["turn-1", "turn-2", "action-1", "action-2", "action-3", "mine", *ODD]
NAN = float("nan")
Say = Callable[["Game"], Any]


class Game:
    """A game that keeps all it ever got, and uses it whenever it likes."""

    def __init__(self, session: foretell.Session[Any], before: Game | None = None) -> None:
        self.session = session
        self.actions: list[foretell.Action[Any]] = before.actions if before else []
        self.tellings: list[foretell.Telling[Any]] = before.tellings if before else []

    def declare(self, *given: Any, **named: Any) -> None:
        self.actions.append(self.session.declare(*given, **named))

    def outcome(self, nth: int, *given: Any, **named: Any) -> None:
        by = self.actions[nth % len(self.actions)] if self.actions else None
        if by is not None and by._session is self.session:
            self.tellings.append(by.outcome(*given, **named))
        else:
            self.tellings.append(self.session.outcome("mira", "bow", *given, **named))

    def delivered(self, nth: int, upto: Any) -> None:
        if self.tellings:
            self.tellings[nth % len(self.tellings)].delivered(upto)

    def named(self, nth: int, name: str | None) -> Any:
        return self.actions[nth % len(self.actions)] if name is None and self.actions else name


def states() -> st.SearchStrategy[Any]:
    actors = st.sampled_from([0, 3.5, NAN, 2**64, -1, "\ud800", [[]]]).map(
        lambda hp: {"mira": {"hp": 5}, "goblin": {"hp": hp}}
    )
    return actors.map(lambda actors: {"mode": "combat", "actors": actors})


def says() -> st.SearchStrategy[Say]:
    """One call, good or bad."""
    ids = st.sampled_from(IDS)
    maybe = st.none() | ids
    nth = st.integers(0, 5)
    who = st.sampled_from(["mira", "goblin", *ODD])
    odd = st.sampled_from([1, NAN, None, "x", 2**70, [1], {"a": NAN}, deep(300), object(), *ODD])
    back = st.sampled_from([-1, 0, 1, 3, 10**6, 2**70, 0.0, 0.4, 1 / 3, 1.5, 1e9, NAN, True])
    results = st.lists(
        st.fixed_dictionaries(
            {"result": st.sampled_from(["hit", "odd", "\ud800", None])},
            optional={"target": who, "values": st.dictionaries(st.just("damage"), odd)},
        ),
        max_size=2,
    )
    to = st.sampled_from([(), "gm", ["gm", "mira"], [1], 3, ["\ud800"], {"gm": 1}])
    odds = st.sampled_from([None, {"hit": 0.5, "miss": 0.5}, {"hit": NAN}, {"hit": 2}, {}])
    what = st.sampled_from([{"type": "use", "name": "bow"}, {"name": "bow"}, {"type": NAN}])
    puts: list[st.SearchStrategy[Callable[[float], Any]]] = [
        st.builds(lambda i: lambda t: ev.Retell(t, i), ids),
        st.builds(lambda i, a: lambda t: ev.Turn(t, i, a), ids, who),
        st.builds(lambda i: lambda t: ev.TurnEnd(t, i), ids),
        st.builds(lambda i, n, a, w: lambda t: ev.Action(t, i, n, a, w), ids, maybe, who, what),
        st.builds(lambda i, n, a: lambda t: ev.Action(t, i, n, a, None), ids, maybe, who),
        st.builds(
            lambda i, n, a, w: lambda t: ev.Outcome(t, (ev.Result("hit"),), i, n, a, w),
            maybe,
            maybe,
            st.none() | who,
            st.none() | what,
        ),
        st.builds(lambda s, i: lambda t: ev.State(t, s, i), states(), maybe),
        st.builds(
            lambda path, value, i: (
                lambda t: ev.Patch(t, [{"op": "replace", "path": path, "value": value}], i)
            ),
            st.sampled_from(["/mode", "/actors/goblin/hp", "/no/where", "", "mode"]),
            odd,
            maybe,
        ),
        st.builds(lambda to: lambda t: ev.Rewind(t, to), back),
        st.builds(lambda who, upto: lambda t: ev.Delivered(t, "t1", who, upto), who, odd),
        st.just(ev.End),
    ]
    return st.one_of(
        st.builds(
            lambda s, n, i, named: lambda g: g.session.update(s, g.named(n, i) if named else None),
            states(),
            nth,
            maybe,
            st.booleans(),
        ),
        st.builds(lambda a, i: lambda g: g.session.begin_turn(a, turn=i), who, maybe),
        st.builds(lambda: lambda g: g.session.begin_turn("mira")),
        st.builds(lambda i: lambda g: g.session.end_turn(i), maybe),
        st.builds(lambda: lambda g: g.session.end_turn()),
        st.builds(
            lambda a, i, odds, v: (
                lambda g: g.declare(a, {"name": "bow", "extra": v}, odds=odds, action_id=i)
            ),
            who,
            maybe,
            odds,
            odd,
        ),
        st.builds(lambda: lambda g: g.declare("mira", "bow", target="goblin")),
        st.builds(lambda n, i: lambda g: g.session.retract(g.named(n, i)), nth, maybe),
        st.builds(lambda n: lambda g: g.actions and g.session.retract(g.named(n, None)), nth),
        st.builds(
            lambda n, r, s, to: lambda g: g.outcome(n, results=r, state=s, to=to),
            nth,
            results,
            st.none() | states(),
            to,
        ),
        st.builds(lambda n: lambda g: g.outcome(n, "hit", damage=3), nth),
        st.builds(lambda: lambda g: g.session.outcome("mira", "bow", "miss", target="nobody")),
        st.builds(lambda a, b: lambda g: g.session.say(a, b), who, odd),
        st.builds(lambda a: lambda g: g.session.need(a), odd),
        st.builds(lambda to: lambda g: g.session.rewind(to), back),
        st.builds(lambda: lambda g: g.session.rewind(g.session.world.t)),
        st.builds(lambda: lambda g: g.session.rewind(g.session.world.revision)),
        st.builds(lambda n, upto: lambda g: g.delivered(n, upto), nth, odd),
        st.one_of(puts).map(lambda build: lambda g: g.session.put(build)),
        st.builds(
            lambda build, at: lambda g: g.session.play(build(at)),
            st.one_of(puts),
            st.sampled_from([0.0, 1 / 3, 2.5, 40.0, NAN]),
        ),
    )


def deep(levels: int) -> Any:
    inner: Any = 1
    for _ in range(levels):
        inner = [inner]
    return inner


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[foretell.Session[Any]]:
    """A recorded session whose log must be good in the end."""
    async with foretell.Game({"log_dir": str(folder)}, model=ScriptedModel()) as game:
        yield await game.session("table")
    assert validate(folder / "table.jsonl").errors == []


steps = st.lists(
    says() | st.sampled_from([0.0, 1 / 3, 0.7, 12.0]) | st.just("again"), min_size=1, max_size=25
)


async def played(steps: list[Any], folder: str, faults: list[Any]) -> int:
    """Do all of it, and say how many inputs there were."""
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: faults.append(context))
    model = ScriptedModel(Script({"text": "So it goes."}, ttft=0.1, delay=0.01))
    async with foretell.Game({"log_dir": folder}, model=model) as library:
        game = Game(await library.session("table"))
        for step in steps:
            if step == "again":
                await game.session.close()
                faults.extend([game.session.report()["faults"]] * game.session.report()["faults"])
                game = Game(await library.session("table"), game)
            elif isinstance(step, float):
                await asyncio.sleep(step)
            else:
                refused = None
                try:
                    step(game)
                except StateError as error:
                    refused = str(error)
                assert refused is None or ("\n" not in refused and len(refused) < 300)
        await game.session.close(60)
        assert all(telling.ended is not None for telling in game.tellings)
        if game.session.report()["faults"]:
            faults.append(game.session.report())
        return game.session.world.revision


@given(steps)
def test_whatever_a_game_calls_its_log_is_good_and_replays(steps: list[Any]) -> None:
    logging.disable(logging.CRITICAL)
    try:
        with tempfile.TemporaryDirectory() as folder:
            faults: list[Any] = []
            revision = run_virtual(played(steps, folder, faults))
            path = Path(folder, "table.jsonl")
            report = validate(path)
            assert report.errors == [] and report.warnings == []
            assert faults == []
            kinds = [r.kind for r in read(path) if not r.kind.startswith("~")]
            assert len(kinds) - 1 == revision, "an input is missing"
            found = replay.report(path, Settings(narrator_profile="instant"))
            assert found["faults"] == found["stale"] == found["untrue"] == 0
            assert found["outcomes"] == report.kinds["outcome"]
    finally:
        logging.disable(logging.NOTSET)


async def test_each_wrong_reference_is_one_clear_error_and_leaves_no_trace(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        session.begin_turn("mira")
        session.declare("mira", "bow", action_id="a")
        session.declare("mira", "bow", action_id="c").retract()
        await instant()
        act: dict[str, Any] = {"type": "use"}
        hit = (ev.Result("hit"),)
        wrong: dict[str, Callable[[], Any]] = {
            "rewind to 5 s, which has not been yet: it is 0 s": lambda: session.rewind(5.0),
            "rewind to revision 5, which has not been yet: this is 4": lambda: session.rewind(5),
            "turn 'x' is not known: begin it first": lambda: session.end_turn("x"),
            "action 'b' is not known: declare it first": lambda: session.retract("b"),
            "because names action 'b', which is not known": lambda: session.update({}, "b"),
            "turn id 'turn-1' was used before": lambda: session.begin_turn("mira", turn="turn-1"),
            "action 'b' is not known": lambda: session.put(lambda t: ev.Retell(t, "b")),
            "turn 'x' is not known": lambda: session.put(
                lambda t: ev.Action(t, "a", "x", "mira", act)
            ),
            "turn 'x' is not known:": lambda: session.put(
                lambda t: ev.Outcome(t, hit, "a", "x"),
            ),
            "outcome of action 'b', which is not known": lambda: session.put(
                lambda t: ev.Outcome(t, hit, "b")
            ),
            "outcome of action 'c', which was taken back": lambda: session.put(
                lambda t: ev.Outcome(t, hit, "c")
            ),
            "state is .* more than the limit of 4,194,304": lambda: session.put(
                lambda t: ev.State(t, {"a": "x" * 5_000_000})
            ),
            "close the session": lambda: session.put(ev.End),
            "nested more than 250 levels": lambda: session.declare(
                "mira", {"name": "bow", "x": deep(251)}
            ),
            "more than 8,388,608": lambda: session.say("mira", "x" * 8_400_000),
        }
        for said, call in wrong.items():
            with pytest.raises(StateError, match=said):
                call()
        await instant()
        assert session.world.revision == 4


async def test_an_outcome_of_what_was_taken_back_is_told_as_one_of_its_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as session:
        session.begin_turn("mira")
        action = session.declare("mira", "bow", target="goblin", action_id="a")
        action.retract()
        telling = action.outcome("hit", state={"hp": 1})
        assert await telling
        assert telling.ended is not None and len(caplog.records) == 1
        assert "outcome of action 'a', which was taken back" in caplog.text
    outcome = next(r.data for r in read(tmp_path / "table.jsonl") if r.kind == "outcome")
    assert (outcome["action_id"], outcome["turn"]) == ("action-1", "turn-1")


@pytest.mark.parametrize(
    "over", [lambda s: s.end_turn(), lambda s: s.rewind(0.0)], ids=["end", "rewind"]
)
async def test_a_late_outcome_still_says_who_did_what(tmp_path: Path, over: Any) -> None:
    async with opened(tmp_path) as session:
        session.begin_turn("mira")
        action = session.declare("mira", "bow", target="goblin", action_id="a")
        over(session)
        assert await action.outcome("hit")
        assert session.world.last["mira"]["name"] == "bow"


async def test_ids_made_up_avoid_those_given_by_the_game_before_and_in_the_log(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as session:
        session.declare("mira", "bow", action_id="action-1")
        session.declare("mira", "bow", action_id="action-4")
        assert session.declare("mira", "axe").id == "action-2"
    async with opened(tmp_path) as session:
        assert [session.declare("mira", "axe").id for _ in range(2)] == ["action-5", "action-6"]
        session.update({"hp": 1}, because="action-4")
        session.retract("action-1")


async def test_the_end_of_another_turn_leaves_the_open_one(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        session.begin_turn("mira", turn="a")
        session.begin_turn("goblin", turn="b")
        session.end_turn("a")
        session.outcome("goblin", "claw", "hit")
        await instant()
        assert session.world.recent[-1].turn == "b"
        session.end_turn()
        with pytest.raises(StateError, match="end_turn without a turn"):
            session.end_turn()


async def test_the_end_of_a_turn_that_an_undo_took_away_is_harmless(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        await asyncio.sleep(1)
        session.begin_turn("mira")
        session.rewind(0.5)
        session.end_turn()
        with pytest.raises(StateError, match="end_turn without a turn"):
            session.end_turn()


async def test_a_patch_is_recorded_as_the_state_it_leaves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(tmp_path) as session:
        session.update({"hp": 3})
        session.put(lambda t: ev.Patch(t, [{"op": "replace", "path": "/hp", "value": 1}]))
        session.put(lambda t: ev.Patch(t, [{"op": "remove", "path": "/mp"}]))
        await instant()
        assert session.world.state == {"hp": 1}
        assert caplog.text.count("patch does not apply") == 1


async def test_an_action_of_another_session_is_refused(tmp_path: Path) -> None:
    async with foretell.Game({"log_dir": str(tmp_path)}, model=ScriptedModel()) as game:
        here, there = await game.session("here"), await game.session("there")
        theirs = there.declare("mira", "bow")
        here.declare("mira", "bow")
        with pytest.raises(StateError, match="is of session 'there', not this one"):
            here.retract(theirs)
        with pytest.raises(StateError, match="is of session 'there', not this one"):
            here.update({}, theirs)


async def test_a_rewind_to_this_very_moment_is_good_though_a_log_rounds_its_times(
    tmp_path: Path,
) -> None:
    async with opened(tmp_path) as session:
        await asyncio.sleep(1 / 3)
        session.rewind(1 / 3)


async def test_what_is_played_into_a_log_that_goes_on_is_not_before_its_end(tmp_path: Path) -> None:
    async with opened(tmp_path) as session:
        await asyncio.sleep(1)
    async with opened(tmp_path) as session:
        session.play(ev.Turn(0.0, "a", "mira"))
        await instant()
        assert session.world.t == 1.0 and session.report()["faults"] == 0
