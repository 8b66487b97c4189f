"""What cron and systemd are given: lines that run here, by this Python, whatever the names are."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from foretell.cli import main
from foretell.prefetch import opened
from foretell.sinks.usage_store import Query

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no cron and no systemd")

Capture = pytest.CaptureFixture[str]
FOLDERS = ["plain", "with space", "100% 'quoted' $HOME", 'a"b;c&d`e', "back\\slash (1)", "名前"]
FETCH = ["--fetch", "shop:fetch"]
DATA = 'my %h "data" \\n'


@pytest.fixture(autouse=True)
def _the_shop_of_each_test_is_its_own(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("shop", None)


@pytest.fixture(params=FOLDERS)
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a fetcher, and a history of what is wanted all day."""
    here = tmp_path / request.param
    here.mkdir()
    (here / "shop.py").write_text("def fetch(ticker, module):\n    return [ticker, module]\n")
    monkeypatch.chdir(here)
    store = opened(DATA)
    store.record_all([Query(1e9 + n, "AAPL", "price", True) for n in range(9)])
    store.close()
    return here


def printed(capsys: Capture, kind: str, *arguments: str) -> str:
    command = ["prefetch-warmup", "--schedule", kind, *FETCH, "--data", DATA, *arguments]
    assert main(command) == 0
    told = capsys.readouterr()
    assert told.err == ""
    return told.out


def fetched(folder: Path) -> list[str]:
    return os.listdir(folder / DATA / "prefetch_cache")


@pytest.mark.parametrize("arguments", [("cron", "--json"), ("systemd", "--json"), ("cron",)])
def test_what_a_fetcher_prints_is_in_no_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: tuple[str, ...]
) -> None:
    (tmp_path / "shop.py").write_text("print('imported')\ndef fetch(ticker, module): ...\n")
    monkeypatch.chdir(tmp_path)
    assert main(["prefetch-warmup", *FETCH, "--schedule", *arguments]) == 0
    told = capsys.readouterr()
    assert told.err == "imported\n" and "imported" not in told.out


def test_the_line_for_cron_warms_up_where_it_was_asked_for(folder: Path, capsys: Capture) -> None:
    line = printed(capsys, "cron", "--jobs", "2")  # 2-28
    assert line.startswith("*/15 9-17 * * 1-5  cd ") and line.count("\n") == 1
    command = line.split("  ", 1)[1].rstrip("\n")
    assert re.search(r"(?<!\\)%", command) is None  # cron ends the line there
    bare = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    subprocess.run(["sh", "-c", command.replace("\\%", "%")], cwd="/", env=bare, check=True)
    assert len(fetched(folder)) == 1
    assert sys.executable in command and "--jobs=2" in command


def units(text: str, folder: Path) -> list[Path]:
    """The printed units, as files."""
    found = re.split(r"^# (foretell-warmup\.\w+)\n", text, flags=re.MULTILINE)[1:]
    folder.mkdir()
    for name, unit in zip(found[::2], found[1::2], strict=True):
        (folder / name).write_text(unit)
    return sorted(folder.iterdir())


def test_the_units_for_systemd_are_good_ones(folder: Path, capsys: Capture, tmp_path: Path) -> None:
    service, timer = units(printed(capsys, "systemd"), tmp_path / "units")  # 2-28
    assert [service.name, timer.name] == ["foretell-warmup.service", "foretell-warmup.timer"]
    assert "OnCalendar=Mon..Fri 09..17:00/15\n" in timer.read_text()
    assert f"WorkingDirectory={str(folder).replace('%', '%%')}\n" in service.read_text()
    if shutil.which("systemd-analyze") is None:
        return
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", service, timer],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


def words(line: str) -> list[str]:
    """How systemd splits a command: quotes, backslashes in them, %% and $$."""
    assert not re.search(r"[%$]", re.sub(r"%%|\$\$", "", line))  # it would put something there
    found = re.findall(r'"((?:[^"\\]|\\.)*)"|(\S+)', line)
    plain = [re.sub(r"\\(.)", r"\1", quoted) if quoted else bare for quoted, bare in found]
    return [word.replace("%%", "%").replace("$$", "$") for word in plain]


def test_the_command_of_the_unit_warms_up(folder: Path, capsys: Capture, tmp_path: Path) -> None:
    service, _ = units(printed(capsys, "systemd"), tmp_path / "units")
    unit = dict(line.split("=", 1) for line in service.read_text().split("\n") if "=" in line)
    env = dict([words(unit["Environment"])[0].split("=", 1)]) if "Environment" in unit else {}
    where = unit["WorkingDirectory"].replace("%%", "%")
    subprocess.run(words(unit["ExecStart"]), cwd=where, env=env, check=True)
    assert len(fetched(folder)) == 1


def test_a_time_zone_is_that_of_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text("def fetch(t, m): ...")
    assert main(["prefetch-config", "--zone", "Europe/Berlin", "--json"]) == 0
    capsys.readouterr()
    for kind, says in (
        ("cron", "CRON_TZ=Europe/Berlin\n*/15 9-17 * * 1-5  cd "),
        ("systemd", "OnCalendar=Mon..Fri 09..17:00/15 Europe/Berlin\n"),
    ):
        assert main(["prefetch-warmup", *FETCH, "--schedule", kind]) == 0
        assert says in capsys.readouterr().out
    assert main(["prefetch-warmup", *FETCH, "--schedule", "systemd", "--json"]) == 0
    assert set(orjson.loads(capsys.readouterr().out)) == {
        "foretell-warmup.service",
        "foretell-warmup.timer",
    }
    assert sorted(os.listdir(tmp_path)) == ["data", "shop.py"] or "__pycache__" in os.listdir(".")
    assert os.listdir("data") == ["prefetch_config.json"]


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["--fetch", "nowhere:fetch"],
        [*FETCH, "--at", "2026-02-25T10:00"],
        ["scenes.jsonl"],
        ["scenes.jsonl", "--cache-url", "redis://127.0.0.1"],
        [*FETCH, "--data", "a\nb"],
    ],
)
def test_a_schedule_that_would_not_work_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, arguments: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "shop.py").write_text("def fetch(t, m): ...")
    for kind in ("cron", "systemd"):
        assert main(["prefetch-warmup", "--schedule", kind, *arguments]) == 2
        told = capsys.readouterr()
        assert told.out == "" and told.err.count("\n") == 1
