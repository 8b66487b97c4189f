"""Policies beside an oracle that knows what will be done."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from foretell import Settings
from foretell.cli import main
from foretell.streams.footprint import Footprint
from foretell.streams.log_inputs import LogInputs
from foretell.streams.models import Message, Request
from foretell.streams.narrator import profiles
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.testing import LogBuilder
from foretell.whatif.oracle import leads, scored
from foretell.whatif.policy import parse

EXAMPLES = Path(__file__).parent.parent / "examples"
SLASH = {"type": "attack", "name": "slash"}
STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}
BY_SHEET = {
    **STATE,
    "actors": {**STATE["actors"], "mira": {**STATE["actors"]["mira"], "attacks": ["Slash"]}},
}


def four(
    *, state: Any = STATE, options: Any = (), odds: Any = None, result: str = "miss"
) -> LogBuilder:
    """A state; a turn at 1 s, an action declared at 3 s, its outcome at 3.75 s."""
    log = LogBuilder().state(state).wait(1).turn("mira", options=options).wait(2)
    return log.action("mira", "slash", target="goblin", odds=odds).wait(0.75).outcome(result)


@pytest.mark.parametrize(
    ("log", "ahead"),
    [
        (four(), 0.75),
        (four(options=[SLASH]), 2.75),
        (four(options=[{**SLASH, "name": "dance"}]), 0.75),
        (four(state=BY_SHEET), 2.75),
        (four(result="parried"), None),
        (four(result="parried", odds={"parried": 0.5, "hit": 0.5}), 0.75),
        (four(result="parried", options=[SLASH], odds={"parried": 0.5, "hit": 0.5}), 0.75),
    ],
    ids=["declared", "offered", "other offered", "sheet", "strange", "named", "named, offered"],
)
def test_it_begins_where_the_action_is_known_and_its_result_possible(
    log: LogBuilder, ahead: float | None
) -> None:
    assert leads(log.events, Footprint()) == ({} if ahead is None else {4: ahead})


def test_what_an_actor_has_done_it_can_do_again() -> None:
    log = LogBuilder().state(STATE).turn("mira").wait(4)
    log.undeclared("mira", "slash", "miss", target="goblin").end_turn().wait(5).turn("mira").wait(7)
    log.undeclared("mira", "slash", "miss", target="goblin")
    assert leads(log.events, Footprint()) == {6: 7.0}


def test_a_change_of_what_it_speaks_of_closes_the_window() -> None:
    log = LogBuilder().state(BY_SHEET).turn("mira").wait(4)
    moved = {**BY_SHEET, "location": "a cave"}
    log.state(moved).wait(3).undeclared("mira", "slash", "miss", target="goblin")
    assert leads(log.events, Footprint()) == {4: 3.0}


def test_another_outcome_of_the_turn_closes_the_window() -> None:
    log = LogBuilder().state(BY_SHEET).turn("mira").wait(4)
    log.undeclared("mira", "slash", "miss", target="goblin").wait(2)
    log.undeclared("mira", "slash", "miss", target="goblin")
    assert leads(log.events, Footprint()) == {3: 4.0, 4: 2.0}


def test_it_tells_so_much_sooner_and_nothing_else_differs(tmp_path: Path) -> None:
    """The known number: what nothing prepared takes, less the 0.75 s since the declaration."""
    inputs = LogInputs(four().wait(30).write(tmp_path / "four.jsonl"))
    found = scored(inputs, Settings(), parse("conservative", Settings(), fewest=1))
    off, oracle = (found[name]["latency_ms"]["mean"] for name in ("off", "oracle"))
    assert 1500 < off < 2200
    assert oracle == pytest.approx(off - 750, abs=0.01)
    assert found["outcomes"] == found["foreseeable"] == 1


@pytest.mark.parametrize("ahead", [0.5, 2.0, 60.0])
async def test_what_was_asked_so_long_ago_stands_as_far_as_it_would_by_now(ahead: float) -> None:
    request = Request("claude-sonnet-5-5", (Message("user", "Tell of the blow."),), max_tokens=200)

    async def times(ahead: float) -> list[float]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        model = NarratorModel(Engine(profiles.PROFILES["hosted-large"], 7))
        return [loop.time() - begun async for _ in model.stream(request, ahead)]

    plain = await times(0.0)
    assert plain[-1] > 2.1
    assert await times(ahead) == pytest.approx([max(0.0, each - ahead) for each in plain])


def test_what_was_known_a_first_token_before_is_told_at_once(tmp_path: Path) -> None:
    log = four(options=[SLASH]).wait(30).write(tmp_path / "four.jsonl")
    found = scored(LogInputs(log), Settings(), ())
    assert found["oracle"]["latency_ms"]["mean"] == 0.0


def test_a_policy_has_its_share_of_the_cut(tmp_path: Path) -> None:
    """Hand-made: one outcome prepared long before, one never, so half of the outcomes are hits."""
    log = LogBuilder().state(BY_SHEET).turn("mira").wait(30)
    log.undeclared("mira", "slash", "miss", target="goblin").wait(30)
    log.undeclared("goblin", "dance", "success").wait(30)
    path = log.write(tmp_path / "two.jsonl")
    base = Settings(main_from=0, spend="none")
    wanted = parse("off,seed=0;conservative", base)
    found = scored(LogInputs(path), base, wanted)
    off, some = found["policies"]
    assert (off["share"], off["usd_ratio"], off["prepared"]["outcomes"]) == (0.0, 1.0, 0)
    assert found["foreseeable"] == 1
    assert some["prepared"]["outcomes"] == 1 and some["prepared"]["share"] == 0.5
    assert some["prepared"]["latency_ms"]["p95"] == 0.0
    assert some["in_flight"]["outcomes"] == 0 and some["in_flight"]["share"] == 0.0
    assert some["share"] == pytest.approx(1.0, abs=0.25)  # the miss is drawn anew
    assert some["usd_ratio"] > 1.0


@pytest.fixture
def steady(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose pace nobody draws, or luck would tell a policy from the oracle."""
    for name in ("hosted-large", "hosted-small"):
        known = profiles.PROFILES[name]
        monkeypatch.setitem(profiles.PROFILES, name, replace(known, jitter=0.0))


ROUND = st.tuples(
    st.sampled_from(["mira", "goblin"]),
    st.sampled_from(["slash", "dance", "throw"]),
    st.sampled_from(["hit", "miss", "critical", "parried"]),
    st.sampled_from(["declared", "undeclared", "retargeted"]),
    st.booleans(),
    st.floats(0, 6).map(lambda t: round(t, 3)),
    st.floats(0, 3).map(lambda t: round(t, 3)),
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(ROUND, min_size=1, max_size=6))
def test_nobody_is_faster_by_the_main_model_alone(
    steady: None, tmp_path: Path, rounds: list[Any]
) -> None:
    log = LogBuilder().state(BY_SHEET)
    for actor, name, result, how, moved, thought, rolled in rounds:
        other = {"mira": "goblin", "goblin": "mira"}[actor]
        log.turn(actor).wait(thought)
        if moved:
            log.state({**BY_SHEET, "location": f"place {len(log.events)}"})
        if how == "undeclared":
            log.wait(rolled).undeclared(actor, name, result, target=other)
        else:
            if how == "retargeted":
                log.action(actor, name, target=actor).wait(rolled)
            log.action(actor, name, target=other).wait(rolled).outcome(result)
        log.wait(30).end_turn()
    (tmp_path / "night.jsonl").unlink(missing_ok=True)
    found = scored(LogInputs(log.write(tmp_path / "night.jsonl")), Settings(), _by_main())
    for policy in found["policies"]:
        assert policy["latency_ms"]["mean"] >= found["oracle"]["latency_ms"]["mean"] - 20


def _by_main() -> Any:
    """Policies in which the small model neither writes nor chooses."""
    return parse("conservative;aggressive;auto", Settings(main_from=0, spend="none", select=False))


def test_nobody_is_faster_by_the_main_model_alone_at_a_table(steady: None) -> None:
    found = scored(LogInputs(EXAMPLES / "demo.jsonl"), Settings(), _by_main())
    shares = {policy["policy"]: policy["share"] for policy in found["policies"]}
    assert max(shares.values()) <= 1.01
    assert min(shares["conservative"], shares["aggressive"]) > 0.9


def test_what_is_declared_a_first_token_ahead_waits_a_twentieth_at_most(tmp_path: Path) -> None:
    log = LogBuilder().state(STATE)
    for n in range(5):
        log.turn("mira").wait(1).action("mira", "slash", target="goblin").wait(2.5)
        if n % 2:
            log.outcome("miss").wait(20).end_turn()
        else:
            log.outcome("hit", damage=1).wait(20).end_turn()
    found = scored(
        LogInputs(log.write(tmp_path / "declared.jsonl")),
        Settings(),
        parse("conservative,aggressive", Settings()),
    )
    for policy in found["policies"]:
        assert policy["latency_ms"]["mean"] <= 0.05 * found["off"]["latency_ms"]["mean"]


def test_the_command_prints_a_table_or_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(four().wait(30).write(tmp_path / "four.jsonl"))
    assert main(["evaluate", path, "--oracle", "--json"]) == 0
    (night,) = orjson.loads(capsys.readouterr().out)["nights"]
    assert [each["policy"] for each in night["policies"]] == ["conservative", "aggressive"]
    assert main(["evaluate", path, "--oracle", "--policies", "auto"]) == 0
    told = capsys.readouterr().out
    assert "1 could be prepared" in told and "oracle" in told and "auto" in told


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--policies", "auto"], "add --oracle"),
        (["--oracle", "--dry", "auto"], "goes with --policies and --json alone"),
        (["--oracle", "--each"], "goes with --policies and --json alone"),
        (["--oracle", "--policies", "greedy"], "neither an intensity"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
) -> None:
    path = str(four().write(tmp_path / "four.jsonl"))
    try:
        code = main(["evaluate", path, *options])
    except SystemExit as ended:
        code = int(ended.code or 0)
    told = capsys.readouterr().err
    assert code != 0 and why in told and told.count("\n") == 1


def test_a_night_without_outcomes_has_nothing_to_prepare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(LogBuilder().state(STATE).write(tmp_path / "empty.jsonl"))
    assert main(["evaluate", path, "--oracle"]) != 0
    assert "nothing to prepare" in capsys.readouterr().err
