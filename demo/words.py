"""What the demo says in words: the first line, a beat as plain lines, and the last lines."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as Grid
from rich.text import Text

from ..operators.narrative import Served
from ..sinks.terminal import safe
from ..streams.api_errors import shown
from ..streams.narrator.profiles import Profile
from .race import Race
from .side import Side, Tale

__all__ = ["Lines", "about", "came", "figures", "finish", "how_to_replay", "seconds"]

OWN = "Race your own: foretell demo --base-url URL --model NAME (the key: ANTHROPIC_API_KEY)."
WIDE = 78
SERVED = {
    Served.HIT: "prepared",
    Served.IN_FLIGHT: "taken over in flight",
    Served.MISS: "not prepared",
    Served.FAILED: "failed",
    Served.SUPERSEDED: "cut short",
}


def about(profile: Profile | None, model: str, server: str | None) -> str:
    """The first line: who speaks, how fast and by whose figures, and how to race another."""
    if profile is None:
        where = f" at {shown(server)}" if server else ""
        return f"Both sides ask {model}{where}. Dollars are list prices, where there is one."
    return (
        "The model is simulated: its words come from a grammar, not a language model, at the pace "
        f"of {profile.name}. {profile.source} Dollars are list prices of {model}. {OWN}"
    )


def seconds(value: float | None) -> str:
    """A time as it is shown."""
    if value is None:
        return "–"
    if value >= 0.9995:
        return f"{value:.2f} s"
    return f"{1000 * value:.{1 if 0 < value < 0.00995 else 0}f} ms"


def came(tale: Tale) -> str:
    """When a telling's first word came, and whence."""
    how = "" if tale.served is None else f", {SERVED[tale.served]}"
    return f"first word {seconds(tale.first)}{how}"


def figures(sides: Sequence[Side], width: int, *, now: bool = False) -> Grid:
    """Both sides beside each other: time to first word, tokens, dollars, waste.

    :param width: how many columns there are.
    :param now: with the time of this beat, and without the percentiles.
    """
    wide = width >= WIDE
    grid = Grid(box=None, pad_edge=False, padding=(0, 2 if wide else 1, 0, 0), header_style="dim")
    grid.add_column("time to first word" if wide else "first word", no_wrap=True)
    heads = ("this beat", "mean") if now else ("mean", "p50", "p95")
    for head in (*heads, "tokens", "dollars", "wasted"):
        grid.add_column(head, justify="right", no_wrap=True, min_width=7 if wide else None)
    for number, side in enumerate(sides):
        report = side.figures
        style = "green" if number else "yellow"
        times = [seconds(_s(report["latency_ms"][head])) for head in ("mean", "p50", "p95")]
        if now:
            times = [seconds(side.tales[-1].first if side.tales else None), times[0]]
        tokens = report["tokens"]
        used = tokens["prefetch"] + tokens["refine"] + tokens["foreground"]
        cost = f"${report['cost_usd']:.4f}" if report["cost_usd"] else "–"
        waste = f"{tokens['wasted']:,}{' tokens' if wide else ''}" if tokens["wasted"] else "–"
        name = side.name if wide else side.name.partition(" ")[0]
        grid.add_row(
            Text(name, style), *(Text(each, style) for each in times), f"{used:,}", cost, waste
        )
    return grid


def _s(milliseconds: Any) -> float | None:
    return None if milliseconds is None else milliseconds / 1000


class Lines:
    """The demo as plain lines: each beat when both sides have told it."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def beat_over(self, race: Race) -> None:
        """See :class:`~.race.Show`."""
        assert race.beat is not None
        self._say(f"\n{race.number}. {race.beat.title}", 0, "bold")
        for line in race.lines:
            self._say(line, 3)
        for side in race.sides:
            tale = side.tales[-1]
            self._say(f"{side.name}: {came(tale)}", 3, "cyan")
            if tale.note:
                self._say(tale.note, 6, "magenta")
            self._say(tale.text, 6)

    def _say(self, text: str, indent: int, style: str = "") -> None:
        for line in safe(text, style).wrap(self._console, max(20, self._console.width - indent)):
            line.rstrip()
            self._console.print(Text(" " * indent) + line)


def finish(console: Console, sides: tuple[Side, Side]) -> None:
    """The last lines: the summary, and both sides beside each other."""
    console.print()
    console.print(Text(sides[1].session.summary(), "bold"), soft_wrap=True)
    console.print()
    console.print(figures(sides, console.width))


def how_to_replay(console: Console, log: str) -> None:
    """The very last line: the command that replays what was played."""
    console.print()
    console.print(Text(f"Replay it: {_program()} replay {shlex.quote(log)}"), soft_wrap=True)


def _program() -> str:
    """How the visitor calls ``foretell``: as it was called, where it is not on the path."""
    if shutil.which("foretell"):
        return "foretell"
    called = Path(sys.argv[0])
    return shlex.quote(str(called)) if called.name == "foretell" else "python -m foretell"
