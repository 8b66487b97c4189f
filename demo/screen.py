"""The race on one screen: two panes, what the dice said, and the figures as they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.layout import Layout
from rich.live import Live
from rich.panel import Panel
from rich.text import Text

from ..sinks.terminal import plain, safe
from .race import Player, Race
from .side import Side
from .table import BEATS
from .watched import Stage
from .words import came, figures

__all__ = ["Screen"]

TICK = 0.08
NARROW = 76
LOW = 34
MARK = {Stage.WRITING: ("…", "yellow"), Stage.READY: ("✓", "green"), Stage.CLOSED: ("✗", "red")}


class _Tail:
    """Text under a heading, after what came before; its last lines, where it does not fit."""

    def __init__(self, before: Text, heading: Text, text: Text) -> None:
        self._before = before
        self._heading = heading
        self._text = text

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width
        before, heading, text = (
            list(each.wrap(console, width)) if each else []
            for each in (self._before, self._heading, self._text)
        )
        over = len(before) + len(heading) + len(text) - (options.height or 1_000_000)
        yield from before[max(0, over) :]
        yield from heading
        yield from text[max(0, over - len(before)) :]


class Screen:
    """Draws the race on the terminal's other screen.

    :param about: the first line.
    """

    def __init__(self, console: Console, player: Player, about: str) -> None:
        self._console = console
        self._player = player
        self._about = about
        self._race: Race | None = None
        self._over = False

    def beat_over(self, race: Race) -> None:
        """See :class:`~.race.Show`: nothing, the screen draws by itself."""

    @asynccontextmanager
    async def drawing(self, race: Race) -> AsyncGenerator[None, None]:
        """Draw for as long as the block lasts; then the terminal is as it was."""
        self._race = race
        with Live(console=self._console, screen=True, auto_refresh=False) as live:
            task = asyncio.create_task(self._draw(live), name="screen")
            try:
                yield
            finally:
                task.cancel()
                await asyncio.wait([task])
                if not task.cancelled():
                    task.result()

    async def _draw(self, live: Live) -> None:
        """Draw what has changed, and only that: while a frame is drawn no word can come."""
        shown: object = None
        while True:
            if (seen := self._seen()) != shown:
                shown = seen
                live.update(self._frame(), refresh=True)
            await asyncio.sleep(TICK)

    def _seen(self) -> object:
        """All that a frame shows; equal for equal frames."""
        race = self._race
        assert race is not None
        waits = race.rolled_at is not None and not all(s.tales[-1].text for s in race.sides)
        return (
            self._console.size,
            self._over,
            race.number,
            race.targets,
            tuple(race.lines),
            self._prompt(race).plain,
            round(race.now, 1) if waits else 0.0,
            [
                (len(s.tales[-1].text), s.tales[-1].served, s.tales[-1].note, s.tales[-2:-1])
                for s in race.sides
                if s.tales
            ],
            [draft.stage for draft in race.sides[1].model.drafts],
            [side.figures["cost_usd"] for side in race.sides],
        )

    async def hold(self, seconds: float) -> None:
        """The race is over: leave the end on the screen, until a key is pressed."""
        self._over = True
        await self._player.key(seconds)

    def _frame(self) -> Layout:
        race, console = self._race, self._console
        assert race is not None
        width, height = console.size
        about = Text(self._about if height >= LOW else _short(self._about), "dim")
        lines = Group(*(safe(line) for line in race.lines[-4:]))
        status = sum(len(safe(line).wrap(console, width)) for line in race.lines[-4:])  # ints
        panes = Layout(name="panes", ratio=1, minimum_size=5)
        both = [Layout(self._pane(side, number)) for number, side in enumerate(race.sides)]
        (panes.split_column if width < NARROW else panes.split_row)(*both)
        page = Layout()
        page.split_column(
            Layout(about, size=min(len(about.wrap(console, width)), height // 4)),
            panes,
            Layout(self._title(race), size=1),
            Layout(lines, size=max(2, status)),
            Layout(self._prompt(race), size=2),
            Layout(figures(race.sides, width, now=True), size=3),
        )
        return page

    def _title(self, race: Race) -> Text:
        title = Text(no_wrap=True, overflow="ellipsis")
        all_fit = sum(len(beat.title) + 4 for beat in BEATS) <= self._console.width  # ints
        for number, beat in enumerate(BEATS, 1):
            now = number == race.number
            words = f" {beat.title}" if now or all_fit else ""
            title.append(f" {number}{words} ", "bold reverse" if now else "dim")
        return title

    def _pane(self, side: Side, number: int) -> Panel:
        before, heading, text = Text(), Text(), Text()
        for tale in side.tales[-4:]:
            now = tale is side.tales[-1]
            heading = Text(tale.title, "bold" if now else "dim")
            if tale.undone:
                heading.append("  taken back", "magenta")
            if tale.first is not None:
                heading.append(f"  {came(tale)}", "cyan" if now else "dim")
            if not now:
                style = "dim strike" if tale.undone else "dim"
                before.append_text(heading).append(f"\n{plain(tale.text)}", style).append("\n\n")
            elif tale.text:
                text = safe(tale.text)
            else:
                text = self._waiting(side, number)
            if now and tale.note:
                text = Text(f"{plain(tale.note)}\n", "magenta").append_text(text)
        style = "green" if number else "white"
        return Panel(
            _Tail(before, heading, text), title=side.name, title_align="left", border_style=style
        )

    def _waiting(self, side: Side, number: int) -> Text:
        race = self._race
        assert race is not None
        if race.rolled_at is not None:
            return Text(f"the model is asked … {race.now - race.rolled_at:.1f} s", "yellow")
        if not number:
            return Text("waits for the dice", "dim italic")
        return Text("\n").join(self._drafts(side)) or Text("watches", "dim italic")

    def _drafts(self, side: Side) -> Iterator[Text]:
        """What is being prepared, by action and target."""
        groups = dict.fromkeys((draft.action, draft.target) for draft in side.model.drafts)
        for action, target in groups:
            line = Text(f"{action} on {plain(target)}: ", "dim")
            for draft in side.model.drafts:
                if (draft.action, draft.target) == (action, target):
                    mark, style = MARK[draft.stage]
                    line.append(f" {draft.result} {mark} ", style)
            yield line

    def _prompt(self, race: Race) -> Text:
        text = Text()
        if self._over:
            return text.append("The race is over.", "bold")
        if race.due is None:
            return Text(" ")
        for number, each in enumerate(race.choices, 1):
            aimed = each in race.targets
            text.append(f" {number} {race.table.name(each)} ", "reverse" if aimed else "")
            text.append(" ")
        left = max(0.0, race.due - race.now)
        if self._player.present:
            keys = "A number picks, Enter rolls" if race.choices else "Enter rolls"
            text.append(f"\n{keys}", "bold").append(f" · it plays itself in {left:.0f} s", "dim")
        else:
            text.append(f"\nThe dice fall in {left:.0f} s", "dim")
        return text


def _short(about: str) -> str:
    """The first line for low screens: without the assumptions."""
    first, _, rest = about.partition(" Prefill speed")
    return f"{first} {rest.partition('accounts. ')[2]}" if rest else about
