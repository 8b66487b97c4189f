"""The race: six beats at one table, told by both sides at once."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .side import Side
from .table import BEATS, Beat, Table
from .watched import Draft, Stage

__all__ = ["Accounts", "Pace", "Player", "Race", "Show"]

ENTER = "\n"
UNDONE = {
    Stage.CLOSED: "closed in the writing",
    Stage.READY: "dropped",
    Stage.WRITING: "still written",
}


@dataclass(frozen=True, slots=True)
class Pace:
    """How long things take, in seconds.

    :param settle: from the beginning of a turn to the pick of an action.
    :param roll: from the pick to the roll, if nobody presses Enter; 4.9 is the median at virtual
        tables.
    :param change: from the pick to the change of target, or to the table's change of mind.
    :param ask: from a change to asking the server for its account of it.
    :param read: from the end of both tellings to the next turn.
    """

    settle: float = 0.8
    roll: float = 4.9
    change: float = 1.6
    ask: float = 0.25
    read: float = 2.0


class Player(Protocol):
    """Who sits at the keys, if anyone does."""

    present: bool

    async def key(self, seconds: float) -> str | None:
        """The next key, or ``None`` when so many seconds have passed."""


class Accounts(Protocol):
    """What the model's server knows of the connections that were closed on it."""

    async def closed_since(self, t: float) -> list[float] | None:
        """Seconds from ``t`` (loop time) to each close seen since; ``None`` if it cannot say."""


class Show(Protocol):
    """Where it is to be seen."""

    def beat_over(self, race: Race) -> None:
        """Both sides have told the beat."""


class Race:
    """The six beats, told by both sides at once."""

    def __init__(
        self,
        sides: tuple[Side, Side],
        table: Table,
        player: Player,
        accounts: Accounts,
        show: Show,
        pace: Pace,
    ) -> None:
        self.sides = sides
        self.table = table
        self.beat: Beat | None = None
        self.number = 0
        self.lines: list[str] = []
        self.targets: tuple[str, ...] = ()
        self.choices: tuple[str, ...] = ()
        self.rolled_at: float | None = None
        self.due: float | None = None
        self._player = player
        self._accounts = accounts
        self._show = show
        self._pace = pace
        self._loop = asyncio.get_running_loop()
        self.started = self._loop.time()

    @property
    def now(self) -> float:
        """The loop's time, in seconds."""
        return self._loop.time()

    async def play(self, beats: Sequence[Beat] = BEATS) -> None:
        """Play the beats, one after the other.

        :raises ForetellError: if the model fails; what was told before stays.
        """
        for beat in beats:
            self.number = BEATS.index(beat) + 1
            await self._play(beat)

    async def _play(self, beat: Beat) -> None:
        table, sides = self.table, self.sides
        self.beat, self.lines, self.rolled_at = beat, [], None
        self.choices = table.standing(beat.choices)
        self.targets = table.standing(beat.targets) or self.choices[:1]
        if beat.instead is not None:
            await self._take_back(beat, beat.instead)
        else:
            for side in sides:
                side.begin(beat.title, beat.actor, table.state)
        self.lines.append(beat.lead)
        if beat.foreseen:
            await self._rest(self._pace.settle)
            await self._aim(beat)
        else:
            await self._rest(self._pace.roll)
        rolled = table.roll(beat, self.targets)
        self.choices, self.rolled_at = (), self.now
        self.lines += [*filter(None, [beat.twist]), rolled.line]
        # Right first: the left one's request takes some milliseconds to build.
        for side in reversed(sides):
            side.tell(beat, rolled, table.state)
        for side in sides:
            await side.told()
        if not beat.foreseen:
            self.lines.append("Nobody foresaw that: nothing fitting was ready, and both waited.")
        self._show.beat_over(self)
        await self._rest(self._pace.read)

    async def _aim(self, beat: Beat) -> None:
        """Declared, and perhaps declared anew, until the dice are thrown."""
        self._declare(beat)
        turns = self.now + self._pace.change if beat.turns_to else None
        self.due = self.now + self._pace.roll
        while True:
            key = await self._player.key(max(0.0, (turns or self.due) - self.now))
            chosen = self.choices[int(key) - 1 :][:1] if key and key in "123456789" else ()
            if not chosen and key in (ENTER, None):
                if turns is None:
                    break
                chosen = self._elsewhere(beat)
            if chosen and chosen != self.targets:
                turns = None
                await self._turn_to(beat, chosen)
                self.due = self.now + self._pace.roll
        self.due = None

    def _elsewhere(self, beat: Beat) -> tuple[str, ...]:
        others = [each for each in (beat.turns_to, *self.choices) if each not in self.targets]
        return tuple(each for each in others[:1] if each is not None)

    def _declare(self, beat: Beat) -> None:
        odds = self.table.odds(beat, self.targets)
        for side in self.sides:
            side.declare(beat, self.targets, odds)

    async def _turn_to(self, beat: Beat, chosen: tuple[str, ...]) -> None:
        """Another target: what was being written for the old one is closed, as the server saw."""
        writing = self.sides[1].model.writing
        old, self.targets = self.targets, chosen
        table, changed = self.table, self.now
        self._declare(beat)
        line = f"{table.name(beat.actor)} turns from {table.names(old)} to {table.names(chosen)}."
        if writing:
            await asyncio.sleep(self._pace.ask)
            line += f" {_seen(writing, await self._accounts.closed_since(changed))}"
        else:
            line += " Nothing was being written; what was ready for the old target is dropped."
        self.lines.append(line)

    async def _take_back(self, beat: Beat, begun: Beat) -> None:
        """A move is under way when the one before is undone; its turn is then open again."""
        table = self.table
        self.lines.append(begun.lead)
        for side in self.sides:
            side.begin(beat.title, begun.actor, table.state)
        await self._rest(self._pace.settle)
        odds = table.odds(begun, begun.targets)
        for side in self.sides:
            side.declare(begun, begun.targets, odds)
        await self._rest(self._pace.change)
        writing, undone = self.sides[1].model.writing, self.now
        table.take_back()
        drafts = [side.take_back() for side in self.sides]
        await asyncio.sleep(self._pace.ask)
        for side, prepared in zip(self.sides, drafts, strict=True):
            hp = [
                f"{table.name(each)} has {side.session.world.actor(each)['hp']} HP again"
                for each in beat.targets
            ]
            side.tales[-1].note = f"Taken back: {', '.join(hp)}. {_dropped(prepared)}"
        line = f"It is taken back, and {table.name(begun.actor)}'s move with it."
        if writing:
            line += f" {_seen(writing, await self._accounts.closed_since(undone))}"
        self.lines.append(line)

    async def _rest(self, seconds: float) -> None:
        """Wait so long, or for Enter."""
        until = self.now + seconds
        while (left := until - self.now) > 0:
            if await self._player.key(left) == ENTER:
                return


def _dropped(prepared: Sequence[Draft]) -> str:
    """What became of what was prepared for a future that will not be."""
    if not prepared:
        return "Nothing had been prepared."
    counts = Counter(draft.stage for draft in prepared)
    parts = [f"{counts[stage]} {word}" for stage, word in UNDONE.items() if counts[stage]]
    return f"Of what was prepared since: {', '.join(parts)}."


def _seen(writing: int, closed: list[float] | None) -> str:
    what = f"{writing} stream{'s' if writing > 1 else ''}"
    if closed is None:
        return f"Foretell closed {what}; your server keeps no account of when it saw that."
    if len(closed) < writing:
        return f"Of {what} the server has seen {len(closed)} closed so far."
    first, last = (f"{1000 * each:.1f}" for each in (min(closed), max(closed)))
    when = first if first == last else f"{first} to {last}"
    return f"The server saw {what} closed {when} ms after the change."
