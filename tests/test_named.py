"""What MODULE:NAME names, wherever it is said: --fetch, --game, rules_module."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from foretell.errors import ConfigError
from foretell.named import named

SOURCE = """
class House:
    @staticmethod
    def fetch(ticker, module): return ticker
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setattr(sys, "modules", {**sys.modules})


def test_a_module_of_the_working_folder_is_known_where_that_is_wanted(tmp_path: Path) -> None:
    (tmp_path / "own_house.py").write_text(SOURCE)
    with pytest.raises(ConfigError, match="No module named 'own_house'"):
        named("rules_module", "own_house:House")
    assert named("--fetch", "own_house:House.fetch", here=True)("a", "b") == "a"
    assert sys.path[-1] == str(tmp_path)  # it hides nothing


@pytest.mark.parametrize(
    ("path", "why"),
    [
        ("json", "name it as MODULE:NAME"),
        ("json:", "name it as MODULE:NAME"),
        (":loads", "name it as MODULE:NAME"),
        ("", "name it as MODULE:NAME"),
        (".json:loads", "name it as MODULE:NAME"),
        ("json:nothing", "module 'json' has no attribute 'nothing'; name it as MODULE:NAME"),
        ("json:loads.", "'function' object has no attribute ''; name it as MODULE:NAME"),
        ("no_such_module:x", "No module named 'no_such_module'; name it as MODULE:NAME"),
        ("own_fault:x", "its module cannot be imported: ValueError: a b (own_fault.py, line 1)"),
        ("own_end:x", "its module cannot be imported: SystemExit: 3 (own_end.py, line 1)"),
        ("own_slip:x", "its module cannot be imported: invalid syntax (own_slip.py, line 1)"),
    ],
)  # fmt: skip
def test_what_names_nothing_is_said_in_a_line(tmp_path: Path, path: str, why: str) -> None:
    (tmp_path / "own_fault.py").write_text("raise ValueError('a\\nb')")
    (tmp_path / "own_end.py").write_text("raise SystemExit(3)")
    (tmp_path / "own_slip.py").write_text("def f(:")
    with pytest.raises(ConfigError) as said:
        named("--fetch", path, here=True)
    assert str(said.value) == f"--fetch {path}: {why}"
