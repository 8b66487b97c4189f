"""Settings from a file, such as ``tune`` writes, in a replay and in its comparisons."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

import foretell
from foretell import Settings
from foretell.cli import main
from foretell.config import how
from foretell.testing import LogBuilder, ScriptedModel, run_virtual

STATE: dict[str, Any] = {
    "mode": "combat",
    "actors": {
        "mira": {"name": "Mira", "side": "party", "hp": 20, "max_hp": 20},
        "goblin": {"name": "Goblin", "side": "foes", "hp": 12, "max_hp": 12},
    },
}


@pytest.fixture
def log(tmp_path: Path) -> Path:
    made = LogBuilder("night").state(STATE).wait(1).turn("mira")
    made.wait(2).action("mira", "longsword", target="goblin").wait(20).outcome("hit", damage=3)
    made.wait(8).action("mira", "bow", target="goblin").wait(1.5).outcome("miss")
    return made.wait(30).write(tmp_path / "night.jsonl")


def saved(folder: Path, text: str) -> str:
    path = folder / "campaign.toml"
    path.write_text(text)
    return str(path)


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main([*arguments, "--json"]) == 0
    out = capsys.readouterr()
    assert out.err == ""
    return orjson.loads(out.out)


def test_a_replay_under_a_file_is_one_under_its_settings(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(tmp_path, 'intensity = "aggressive"\nseed = 7\nnarrator_profile = "local-8b"\n')
    options = ("--intensity", "aggressive", "--seed", "7", "--profile", "local-8b")
    given = told(capsys, "replay", str(log), *options)
    found = told(capsys, "replay", str(log), "--settings", path)
    assert found["trace_sha256"] == given["trace_sha256"]
    assert (found["intensity"], found["seed"], found["profile"]) == ("aggressive", 7, "local-8b")
    more = told(capsys, "replay", str(log), "--settings", path, "--intensity", "off")
    assert (more["intensity"], more["seed"]) == ("off", 7)


def test_what_tune_has_saved_is_a_column_of_a_comparison(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(tmp_path / "campaign.toml")
    tuned = told(capsys, "tune", str(log), "--minimize", "usd", "--budget", "9", "-o", path)
    assert tuned["settings"]["intensity"] == "off"
    text = f"conservative;settings={path};settings={path},intensity=aggressive,max_variants=3"
    found = told(capsys, "replay", str(log), "--compare", text)
    usual, saved, more = found["policies"]
    assert saved["policy"] == f"settings={path}" and saved["settings"]["intensity"] == "off"
    alone = told(capsys, "replay", str(log), "--settings", path)
    assert saved["trace_sha256"] == alone["trace_sha256"] != usual["trace_sha256"]
    assert more["settings"] == {"intensity": "aggressive", "max_variants": 3}
    under = told(capsys, "replay", str(log), "--settings", path, "--compare", "seed=0;seed=2")
    assert under["policies"][0]["trace_sha256"] == alone["trace_sha256"]


def test_where_a_file_says_that_something_is_a_replay_does_not_go(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = saved(
        tmp_path,
        f'base_url = "http://127.0.0.1:1"\nlog_dir = "{tmp_path / "logs"}"\n'
        'cache_url = "redis://127.0.0.1:1/0"\nmax_variants = 3\n',
    )
    assert how(path) == {"max_variants": 3}
    found = told(capsys, "replay", str(log), "--settings", path)
    assert found["streams"]["from"] == "narrator" and not (tmp_path / "logs").exists()
    assert Settings.load(path).base_url == "http://127.0.0.1:1", "a game does"


def test_a_recording_is_played_under_the_file_on_top_of_what_was_recorded(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async def evening() -> None:
        given = {"log_dir": str(tmp_path), "max_variants": 2}
        async with foretell.Game(given, model=ScriptedModel()) as game:
            session = await game.session("table")
            session.update(STATE)
            session.begin_turn("mira")
            action = session.declare("mira", "bow", target="goblin")
            await asyncio.sleep(5)
            await action.outcome("hit", damage=1)

    run_virtual(evening())
    table = str(tmp_path / "table.jsonl")
    path = saved(tmp_path, "max_variants = 1\n")
    usual = told(capsys, "replay", table)["streams"]
    found = told(capsys, "replay", table, "--settings", path)["streams"]
    assert found["from"] == usual["from"] == "recording"
    assert found["recorded"] == found["requests"] < usual["requests"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "no such file"),
        (b"intensity = loud", "campaign.toml: "),
        (b"\xff\xfe\x00", "campaign.toml: "),
        (b'intensity = "loud"', "campaign.toml: intensity: "),
        (b"max_variantz = 3", "campaign.toml: max_variantz: unknown setting"),
        (b"quiet = 9.0", "campaign.toml: quiet is 9, more than max_wait"),
    ],
)
@pytest.mark.parametrize("options", [["--settings", "FILE"], ["--compare", "off;settings=FILE"]])
def test_a_file_that_is_none_is_one_line_and_2(
    content: bytes | None,
    says: str,
    options: list[str],
    log: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "campaign.toml"
    if content is not None:
        path.write_bytes(content)
    assert main(["replay", str(log), *(each.replace("FILE", str(path)) for each in options)]) == 2
    out = capsys.readouterr()
    assert out.out == "" and out.err.count("\n") == 1
    assert out.err.startswith("foretell: error: ") and says in out.err


def test_verify_takes_none(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(log), "--verify", "--settings", "x.toml"]) == 2
    assert "--verify goes without --settings" in capsys.readouterr().err
