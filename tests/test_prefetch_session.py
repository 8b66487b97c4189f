"""What a session's speculation was worth: the report agrees with the ledger, and names names."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell.cli import main
from foretell.sinks.prefetch_report import text
from foretell.sinks.prefetch_session import Speculated
from foretell.streams import events as ev
from foretell.streams.world import World
from foretell.testing import LogBuilder, Script, ScriptedModel

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "grik": {"name": "Grik", "side": "foes", "hp": 7, "max_hp": 7},
    },
}


@pytest.fixture
def night(tmp_path: Path) -> str:
    log = LogBuilder("night").state(STATE)
    for result in ("hit", "miss", "hit"):
        log.wait(5).turn("mira").action("mira", "longsword", target="grik")
        log.wait(20).outcome(result, **({"damage": 1} if result == "hit" else {}))
    log.wait(5).turn("grik").undeclared("grik", "spit", "miss", target="mira").wait(20)
    return str(log.write(tmp_path / "night.jsonl"))


def replayed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(["replay", "--json", *arguments]) == 0
    return orjson.loads(capsys.readouterr().out)


def test_the_report_of_a_session_agrees_with_its_ledger(
    capsys: pytest.CaptureFixture[str], night: str
) -> None:  # 1-44 1-45
    found = replayed(capsys, night)
    summary, metrics = found["prefetch"]["session_summary"], found["prefetch"]["metrics"]
    assert summary["hit_rate"] == found["hit_rate"]
    assert summary["cache_hits"] == found["served"]["hit"] + found["served"]["in_flight"] > 2
    assert summary["tokens_prefetched"] == found["tokens"]["prefetch"] > 0
    assert metrics["wasted_tokens"]["value"] == found["tokens"]["wasted"]
    assert (
        summary["tokens_used"] + metrics["wasted_tokens"]["value"] == summary["tokens_prefetched"]
    )
    saved = found["baseline_latency_ms"]["mean"] - found["latency_ms"]["mean"]
    assert summary["estimated_time_saved"] == pytest.approx(4 * saved / 1000, rel=0.2)


def test_the_report_of_a_session_names_what_was_used_missed_and_wasted(
    capsys: pytest.CaptureFixture[str], night: str
) -> None:  # 1-46
    found = replayed(capsys, night)["prefetch"]
    top = {
        name: {each["name"]: each["times"] for each in of}
        for name, of in found["top_predictions"].items()
    }
    assert top["accurate"]["mira: longsword → grik: hit"] == 2
    assert top["accurate"]["mira: longsword → grik: miss"] == 1
    assert top["wasted"]["mira: longsword → grik: miss"] >= 2
    assert list(top["missed"]) == ["grik: spit → mira: miss"]
    assert "grik: spit → mira: miss (not predicted, was needed)" in text(found)


def test_with_nothing_prepared_nothing_is_wasted(
    capsys: pytest.CaptureFixture[str], night: str
) -> None:
    found = replayed(capsys, night, "--intensity", "off")["prefetch"]
    assert found["session_summary"]["total_prefetches"] == 0
    assert found["session_summary"]["hit_rate"] == 0.0
    assert found["metrics"]["wasted_tokens"]["value"] == 0


async def test_a_session_that_resumes_goes_on_counting(tmp_path: Path) -> None:  # 1-45
    script = Script({"text": "The blade bites.", "lines": [], "cues": []}, ttft=1.0, delay=0.1)
    settings = {"log_dir": str(tmp_path)}

    async def sitting(result: str) -> dict[str, Any]:
        async with foretell.Game(settings, model=ScriptedModel(script)) as game:
            session = await game.session("table-7")
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "longsword", target="grik")
            await asyncio.sleep(10)
            await action.outcome(result)
            if result == "hit":
                await session.outcome("grik", "spit", "miss", target="mira")
            await session.close()
            return session.prefetch_report()

    first, second = await sitting("hit"), await sitting("miss")
    assert first["session_summary"]["cache_hits"] == 1
    summary, accurate = second["session_summary"], second["top_predictions"]["accurate"]
    missed = second["top_predictions"]["missed"]
    assert [each["name"] for each in missed] == ["grik: spit → mira: miss"]
    assert summary["cache_hits"] == 2 and summary["total_prefetches"] >= 5
    assert {each["name"] for each in accurate} == {
        "mira: longsword → grik: hit",
        "mira: longsword → grik: miss",
    }
    assert summary["estimated_time_saved"] == pytest.approx(2.0, abs=0.3)


def line(speculated: Speculated, kind: str, t: float = 0.0, **fields: Any) -> None:
    speculated.heard[kind](t, {"generation": "g1", **fields})


def begun() -> Speculated:
    speculated = Speculated()
    what: dict[str, Any] = {"actor": "mira", "action": "bow", "target": None, "result": "hit"}
    line(speculated, "~generation", purpose="prefetch", **what)
    line(speculated, "~asked", 1.0)
    line(speculated, "~chunk", 1.5, text="The")
    return speculated


def test_what_was_let_go_of_and_told_after_all_was_used() -> None:  # 1-42 1-44
    speculated = begun()
    line(speculated, "~account", 3.0, input=100, output=50, phase="done")
    line(speculated, "~dropped", 4.0)
    metrics = speculated.metrics
    assert (metrics.tokens_wasted, metrics.names["wasted"]) == (150, {"mira: bow: hit": 1})
    line(speculated, "~served", 9.0)
    assert (metrics.tokens_wasted, metrics.tokens_used, metrics.used) == (0, 150, 1)
    assert not metrics.names["wasted"] and metrics.saved == {"day 1": 0.5}


def test_what_is_told_while_it_is_written_is_used_and_what_is_cut_short_is_wasted() -> None:
    speculated = begun()  # 1-42 1-44
    line(speculated, "~served", 2.0)
    line(speculated, "~account", 3.0, input=100, output=50, phase="done")
    assert (speculated.metrics.used, speculated.metrics.tokens_wasted) == (1, 0)
    speculated = begun()
    line(speculated, "~account", 3.0, input=100, output=5, phase="closed")
    assert (speculated.metrics.used, speculated.metrics.tokens_wasted) == (0, 105)


@pytest.mark.parametrize(("served", "saved"), [(1.2, 0.2), (1.5, 0.5), (9.0, 0.5)])
def test_what_is_saved_is_the_head_start_up_to_the_first_text(served: float, saved: float) -> None:
    speculated = Speculated()  # 1-43
    what: dict[str, Any] = {"actor": "mira", "action": "bow", "target": None, "result": "hit"}
    line(speculated, "~generation", purpose="prefetch", **what)
    line(speculated, "~asked", 1.0)
    if served < 1.5:
        line(speculated, "~served", served)
    line(speculated, "~chunk", 1.5, text="The")
    line(speculated, "~chunk", 1.8, text=" blade")
    if served >= 1.5:
        line(speculated, "~served", served)
    assert speculated.metrics.saved == {"day 1": pytest.approx(saved)}


def test_what_was_superseded_or_retold_is_no_look_up() -> None:  # 1-41
    speculated = Speculated()
    line(speculated, "~told", outcomes=[1, 2, 3], served=["hit", "superseded", "failed"])
    line(speculated, "~told", outcomes=[1], served=["hit"], retells="t1")
    assert (speculated.metrics.hit_rate.good, speculated.metrics.hit_rate.all) == (1, 2)


@pytest.mark.parametrize(("another_turn", "what"), [(False, "late"), (True, "missed")])
def test_what_was_predicted_in_an_earlier_turn_was_not_foreseen(
    another_turn: bool, what: str
) -> None:  # 1-46
    speculated = begun()
    if another_turn:
        speculated.on_world(World()._replace(cause=ev.Turn(5.0, "t2", "mira")))
    outcome = ev.Outcome(
        6.0, (ev.Result("hit"),), None, None, "mira", {"type": "attack", "name": "bow"}
    )
    speculated.on_world(World()._replace(cause=outcome, number=7))
    line(speculated, "~told", 8.0, outcomes=[7], served=["miss"])
    assert speculated.metrics.names[what] == {"mira: bow: hit": 1}
