"""What a model without a price has cost is not known: it is said, and never shown as nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from foretell.cli import main
from foretell.testing import LogBuilder

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 20, "max_hp": 20},
    },
}
MODEL = "llama3.3:70b-instruct"
WARNS = f"'{MODEL}' has no price in the price list"


@pytest.fixture
def night(tmp_path: Path) -> str:
    return of(tmp_path, turns=3)


def of(folder: Path, turns: int) -> str:
    log = LogBuilder("night").state(STATE)
    for _ in range(turns):
        log.turn("mira").action("mira", "longsword", target="goblin").wait(6)
        log.outcome("hit", damage=1).wait(6)
    return str(log.write(folder / "night.jsonl"))


def ran(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[Any, str]:
    assert main([*arguments, "--json"]) == 0
    told = capsys.readouterr()
    return orjson.loads(told.out), told.err


def test_a_replay_names_the_models_without_a_price(
    night: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, warned = ran(capsys, "replay", night, "--model", MODEL)
    assert found["served"]["hit"] == 3  # the narrator speaks for a model of any name
    assert found["unpriced"] == [MODEL]
    assert found["cost_usd"] == {"with": None, "without": None}
    assert warned.count(WARNS) == 1
    assert main(["replay", night, "--model", MODEL]) == 0
    assert "cost       -, " in capsys.readouterr().out
    found, warned = ran(capsys, "replay", night)
    assert (found["unpriced"], warned) == ([], "")
    assert found["cost_usd"]["with"] > 0 < found["cost_usd"]["without"]


def test_a_model_that_nobody_asked_is_not_missed_in_the_price_list(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    night = of(tmp_path, turns=1)  # there is nothing yet to sum up
    found, warned = ran(capsys, "replay", night, "--small-model", MODEL, "--intensity", "off")
    assert (found["unpriced"], warned) == ([], "")
    assert found["cost_usd"]["with"] > 0


def test_a_comparison_leaves_out_dollars_that_are_not_known(
    night: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policies = f"off;conservative,main_model={MODEL}"
    found, warned = ran(capsys, "replay", night, "--compare", policies)
    off, other = found["policies"]
    assert off["cost_usd"] > 0 and (off["unpriced"], other["unpriced"]) == ([], [MODEL])
    assert other["cost_usd"] is None and other["latency_ms"]["mean"] is not None
    against = other["against_first"]
    assert [against[name] for name in ("usd", "usd_ratio", "usd_per_second_saved")] == [None] * 3
    assert against["latency_s"] < 0 and WARNS in warned
    plot = tmp_path / "night.svg"
    assert main(["replay", night, "--compare", policies, "--plot", str(plot)]) == 0
    shown = capsys.readouterr().out.splitlines()
    dollars = [line for line in shown if line.startswith("│ dollars")]
    assert [line.split("│")[3].strip() for line in dollars] == ["-", "-", "-"]
    assert plot.exists()


def test_a_price_list_that_lacks_a_model_is_told_as_such(
    night: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    prices = tmp_path / "prices.json"
    row = {"input": 1, "output": 2, "cache_read": 0, "cache_write": 0}
    prices.write_bytes(orjson.dumps({"models": {"claude-sonnet-5-5": row}}))
    found, warned = ran(capsys, "replay", night, "--compare", f"off;conservative;prices={prices}")
    assert [each["unpriced"] for each in found["policies"]][:2] == [[], []]
    assert found["policies"][2]["unpriced"] == ["claude-haiku-5-5"]
    assert "'claude-haiku-5-5' has no price" in warned


def test_a_search_says_that_dollars_are_not_in_its_expression(
    night: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, warned = ran(capsys, "tune", night, "--budget", "4", "--model", MODEL)
    assert found["unpriced"] == [MODEL]
    assert found["training"]["best"]["usd"] is None is found["training"]["default"]["usd"]
    assert found["training"]["best"]["latency"] is not None
    assert WARNS in warned and "counts them as free" in warned
