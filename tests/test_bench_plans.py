"""``foretell bench plans``: what it measures, over which moments, and what it does not say."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.bench import plans as bench
from foretell.bench.plans import Bench
from foretell.bench.processor import parts
from foretell.bench.rows import LEAVE_OUT, ROWS, Found, play
from foretell.bench.scenarios import Scenario, drawn, scenarios
from foretell.bench.table import lines
from foretell.cli import main
from foretell.errors import ConfigError
from foretell.streams.models import ModelUnavailable
from foretell.streams.narrator.engine import Engine
from foretell.streams.narrator.model import NarratorModel
from foretell.streams.narrator.profiles import profile
from foretell.streams.narrator.server import running
from foretell.testing import LogBuilder, Script, ScriptedModel, run_virtual

ACTORS = {
    "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 21, "secret": "a spy"},
    "grik": {"name": "Grik", "side": "foes", "hp": 9, "max_hp": 12, "secret": "a king"},
}
STEPS = {"steps": [{"do": "Scan"}, {"do": "Wait"}]}


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    """The whole of it, over fewer moments."""
    return bench.run(Bench(drawn(0, 40), "drawn", sizes=(5, 10), seeds=2, processor=False))


def rows(profile: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in profile["rows"]}


# --- the moments


def recording(folder: Path) -> str:
    log = folder / "night.jsonl"
    made = LogBuilder()
    made.state({"mode": "combat", "actors": ACTORS, "location": {"name": "the bridge"}})
    for actor in ("mira", "grik", "mira"):
        made.turn(actor).wait(4.0)
    made.write(log)
    return str(log)


def test_a_moment_is_what_one_sees_who_begins_a_turn(tmp_path: Path) -> None:
    chosen, source = scenarios([recording(tmp_path)], 100, 0)
    assert [each.agent for each in chosen] == ["mira", "grik", "mira"]
    assert source == "3 of the 3 moments of 1 recordings"
    snapshot = chosen[1].snapshot
    assert snapshot["me"] == {k: v for k, v in ACTORS["grik"].items() if k != "secret"}
    assert snapshot["others"]["mira"]["hp"] == 20 and snapshot["place"] == "the bridge"
    assert "spy" not in str(snapshot)


@pytest.mark.parametrize("count", [1, 3, 10, 25, 60, 90])
def test_of_many_moments_so_many_are_taken_evenly_ten_in_a_row(tmp_path: Path, count: int) -> None:
    log = recording(tmp_path)
    every = [each for _ in range(30) for each in scenarios([log], 3, 0)[0]]
    chosen, source = scenarios([log] * 30, count, 0)
    assert source.startswith(f"{count} of the 90 moments") and len(chosen) == count
    for start in range(0, count, 10):
        row = chosen[start : start + 10]
        assert any(row == every[at : at + len(row)] for at in range(90))
    if count == 90:
        assert chosen == every


def test_logs_in_which_nobody_acts_are_refused(tmp_path: Path) -> None:
    log = tmp_path / "still.jsonl"
    LogBuilder().state({"mode": "combat", "actors": ACTORS}).write(log)
    with pytest.raises(ConfigError, match="nobody acts"):
        scenarios([str(log)], 10, 0)


def test_what_is_drawn_follows_from_the_seed() -> None:
    assert drawn(1, 30) == drawn(1, 30) != drawn(2, 30)
    assert len({orjson.dumps(each.snapshot) for each in drawn(1, 30)}) == 30


# --- what is measured


def test_each_row_has_one_part_more_and_each_of_the_others_one_less() -> None:
    names = [row.name for row in ROWS]
    assert names[0] == "before" and all(name.startswith("+ ") for name in names[1:])
    for before, row in pairwise(ROWS):
        assert len(dict(row.plans).items() - dict(before.plans).items()) == 1
    for row in LEAVE_OUT:
        assert len(dict(row.plans).items() - dict(ROWS[-1].plans).items()) == 1
    foretell.Settings.load({"plans": ROWS[-1].plans})


@pytest.mark.parametrize("name", ["local-8b", "hosted-large"])
def test_with_everything_on_an_agent_moves_at_once_and_the_models_time_stands_beside(
    found: dict[str, Any], name: str
) -> None:  # 3-1, 3-2, 3-44, 3-48
    by_name = rows(found["profiles"][name])
    last = by_name["+ rules first"]
    assert last["perceived_ms"]["mean"] < 200 and last["perceived_ms"]["p95"] < 500
    assert last["model_ms"]["mean"] > 200  # which no rule makes any shorter
    assert by_name["before"]["perceived_ms"] == by_name["before"]["model_ms"]
    early, whole = by_name["+ early steps"], by_name["+ shorter prompt"]
    assert early["perceived_ms"]["mean"] < whole["perceived_ms"]["mean"]
    assert (
        by_name["+ shorter prompt"]["prompt_characters"] * 4
        < (by_name["before"]["prompt_characters"])
    )
    for row in by_name.values():
        assert row["plans"] == 40 and row["invalid"] == []
        assert row["valid_steps"] == row["usable_plans"] == "not measured"


def test_of_a_batch_the_first_agent_moves_long_before_the_last_is_written(
    found: dict[str, Any],
) -> None:  # 3-4
    for each in found["profiles"]["hosted-large"]["several"]:
        assert each["together"]["answer"] < 0.25
        assert each["together"]["requests"] == 1.0
        assert each["together"]["first"] < each["together"]["last"] <= each["together"]["all"]
    [ten] = [each for each in found["profiles"]["hosted-large"]["several"] if each["agents"] == 10]
    assert ten["together"]["times_one"] < 3.5  # about 3: docs/plans.md has what it is


def test_it_is_the_same_each_time() -> None:
    few = Bench(drawn(0, 6), "", profiles=["hosted-small"], seeds=1, processor=False)
    assert orjson.dumps(bench.run(few)) == orjson.dumps(bench.run(few))


async def test_of_a_model_it_says_what_share_of_its_steps_could_be_done() -> None:
    steps = {"steps": [{"do": "Scan"}, {"do": "Fly"}, {"do": "Wait"}]}
    scripts = [Script(steps), Script({"steps": [{"do": "Fly"}]})]
    told = [Scenario("a", {}), Scenario("b", {}, "win")]
    model = ScriptedModel(lambda request, number: scripts["win" in str(request.messages)])
    played = await play(ROWS[-2], told, model, {}, together=1, streams=4)
    assert played.as_json(measured=True)["usable_plans"] == 0.5
    assert played.valid_steps == pytest.approx(2 / (2 + 1 + len(played.plans[1].dropped)))


async def test_who_has_no_plan_in_time_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    played = await play(ROWS[-1], drawn(0, 2), ScriptedModel(STEPS), {}, together=2, streams=1)
    assert not played.invalid
    monkeypatch.setattr("foretell.bench.rows.checked", lambda *_: ([], []))
    played = await play(ROWS[-1], drawn(0, 2), ScriptedModel(STEPS), {}, together=2, streams=1)
    assert len(played.invalid) == 2 and "0 steps" in played.invalid[0]


async def test_a_server_that_is_out_of_reach_leaves_plans_by_rules() -> None:
    gone = ScriptedModel(Script(error=ModelUnavailable("gone")))
    played: Found = await play(ROWS[-1], drawn(0, 4), gone, {}, together=2, streams=2)
    assert not played.invalid and not played.by_model and len(played.plans) == 4


def test_the_processors_part_is_told_for_each_part_of_a_plan() -> None:
    told = parts(drawn(0, 5), foretell.Registry.core())
    assert {"read", "check", "rules"} <= told.keys()
    assert all(0 < each["p50"] <= each["p99"] for each in told.values())


def test_a_real_model_is_asked_by_the_same_rows() -> None:
    settings = {"together": 2, "streams": 2}

    async def ask() -> tuple[Found, Found]:
        model = NarratorModel(Engine(profile("instant")))
        return (
            await play(ROWS[0], drawn(0, 4), model, {}, **settings),
            await play(ROWS[-1], drawn(0, 4), model, {}, **settings),
        )

    first, last = run_virtual(ask())
    assert len(first.plans) == len(last.plans) == 4 and first.valid_steps == 1.0


# --- the command


def test_it_prints_a_table(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code = main(
        ["bench", "plans", recording(tmp_path), "--scenarios", "2", "--profile", "local-8b",
         "--no-processor"]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    assert out.startswith("2 of the 3 moments of 1 recordings; 5 agents at once")
    assert "local-8b\n" in out and "hosted-large" not in out
    for row in (*ROWS, *LEAVE_OUT):
        assert f"\n{row.name} " in out
    assert "not measured" in out and "Perceived is the time to the first step" in out


def test_all_of_it_is_in_the_table(found: dict[str, Any]) -> None:
    told = {"processor": {"read": {"p50": 0.1, "p99": 0.2}, "rush": dict.fromkeys(
        (f"{name}_{part}_ms" for name in ("lag", "busy", "frame") for part in ("p50", "p99")),
        1.25)}}  # fmt: skip
    text = "\n".join(lines({**found, **told}))
    assert "10 in one request" in text and "1.250" in text
    model = found["profiles"]["hosted-large"]["rows"][0]["model_ms"]["mean"]
    assert f"{model:,.0f}" in text
    found["profiles"]["hosted-large"]["rows"][0]["invalid"].append("grik: late")
    assert "no valid plan in time, before: grik: late" in "\n".join(lines(found))
    found["profiles"]["hosted-large"]["rows"][0]["invalid"].clear()


def test_it_fails_if_anybody_had_no_plan(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("foretell.bench.rows.checked", lambda *_: ([], []))
    code = main(["bench", "plans", "--scenarios", "1", "--no-processor", "--json"])
    found, error = capsys.readouterr()
    assert code == 1 and "agents had no valid plan in time" in error
    assert orjson.loads(found)["profiles"]["local-8b"]["rows"][0]["invalid"]


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["--model", "x"], "--model needs --base-url"),
        (["--base-url", "http://127.0.0.1:1", "--profile", "instant"], "--profile is the narrator"),
        (["--streams", "65"], "plans.streams"),
        (["--scenarios", "0"], "is not a number from 1"),
        (["--scenarios", "1001"], "choose 1 to 1,000"),
        (["missing.jsonl"], "missing.jsonl"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_line(
    capsys: pytest.CaptureFixture[str], wrong: list[str], says: str
) -> None:
    try:
        code = main(["bench", "plans", *wrong])
    except SystemExit as stopped:
        code = int(str(stopped.code))
    assert code in (1, 2)
    error = capsys.readouterr().err
    assert says in error and error.count("\n") == 1


@pytest.mark.real_time
async def test_over_http_what_is_answered_is_measured(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    monkeypatch.setattr("foretell.bench.rows.PAUSE", 0.0)
    async with running(profile("instant")) as url:
        found = await bench._live(Bench(drawn(0, 2), "drawn", base_url=url, processor=False))
    for row in found["rows"]:
        assert row["valid_steps"] == row["usable_plans"] == 1.0 and not row["invalid"]
