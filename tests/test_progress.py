"""The progress bar: for people on a terminal alone, and only if it takes a while."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from foretell import progress as module
from foretell.cli import main
from foretell.progress import progress
from foretell.testing import LogBuilder


class Screen:
    """A terminal, or a pipe, and a clock that goes as it is told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.file = io.StringIO()
        self.terminal = True
        self.now = 0.0
        self.tick = 0.0
        monkeypatch.setattr(module, "Console", self._console)
        monkeypatch.setattr("foretell.progress.time.monotonic", self._time)

    def _console(self, **given: Any) -> Console:
        assert given == {"stderr": True}
        return Console(
            file=self.file,
            force_terminal=self.terminal,
            force_interactive=self.terminal,
            width=80,
            _environ={},
        )

    def _time(self) -> float:
        self.now += self.tick
        return self.now

    @property
    def shown(self) -> str:
        return self.file.getvalue()


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> Screen:
    return Screen(monkeypatch)


def test_a_bar_is_shown_after_a_second_and_gone_at_the_end(screen: Screen) -> None:
    with progress("replaying", 200.0) as step:
        screen.now = 0.9
        step(20.0)
        assert screen.shown == ""
        screen.now = 1.1
        step(50.0)
        assert "replaying" in screen.shown and "25%" in screen.shown
        step(100.0)
        assert "50%" not in screen.shown  # it looks again in a tenth of a second
        screen.now = 1.3
        step(100.0)
        assert "50%" in screen.shown
    assert screen.shown.endswith("\x1b[2K")  # the line is wiped


def test_quick_work_shows_nothing_at_all(screen: Screen) -> None:
    with progress("replaying", 200.0) as step:
        step(200.0)
    assert screen.shown == ""


def test_a_pipe_a_program_and_no_work_see_nothing(screen: Screen) -> None:
    screen.tick = 5.0
    for quiet, total in ((True, 9.0), (False, 0.0)):
        with progress("replaying", total, quiet=quiet) as step:
            step(1.0)
    screen.terminal = False
    with progress("replaying", 9.0) as step:
        step(1.0)
    assert screen.shown == ""


def test_it_is_gone_when_the_work_fails(screen: Screen) -> None:
    screen.tick = 5.0

    def work() -> None:
        with progress("replaying", 9.0) as step:
            step(1.0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        work()
    assert screen.shown.endswith("\x1b[2K")


def test_every_long_command_has_one_and_none_in_json(
    screen: Screen, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import foretell
    from foretell.testing import run_virtual

    night = LogBuilder().state({"mode": "combat"}).turn("a").action("a", "bow").wait(5)
    path = night.outcome("hit").wait(5).write(tmp_path / "night.jsonl")

    async def evening() -> None:
        async with foretell.Game({"log_dir": str(tmp_path)}) as game:
            session = await game.session("table-7")
            for event in night.events:
                session.play(event)
            await session.close(20)

    run_virtual(evening())
    screen.tick = 2.0
    for word, arguments in (
        ("replaying", ["replay", str(path)]),
        ("verifying", ["replay", str(tmp_path / "table-7.jsonl"), "--verify"]),
        ("playing", ["replay", str(path), "--compare", "off,conservative"]),
        ("tuning", ["tune", str(path), "--budget", "4"]),
    ):
        assert main(arguments) == 0
        assert word in screen.shown, word
        assert word not in capsys.readouterr().out
        screen.file.truncate(0)
        if word != "tuning":
            assert main([*arguments, "--json"]) == 0
            assert screen.shown == "", word
