"""The boards of a shared cache, by which processes tell each other what is no longer good."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .store_door import Door
from .store_news import Board, News, Word

__all__ = ["WRITING", "Boards"]

SKEW = 5.0
"""Seconds by which the clocks of processes may differ, where the server's is not told."""

WRITING = 4
"""A write may take so many times as long as a look-up, for nobody waits for it."""


class Boards:
    """One for each scope that somebody here listens to; a scope is what names begin with.

    :param wall: seconds by a clock that all processes share.
    :param limit: seconds a question may take.
    :param untold: called when there is something to tell.
    """

    def __init__(
        self, door: Door, wall: Callable[[], float], limit: float, untold: Callable[[], None]
    ) -> None:
        self._door = door
        self._wall = wall
        self._limit = limit
        self._has_untold = untold
        self._news: dict[str, News] = {}

    def of(self, name: str) -> News | None:
        """The news that concern a name, if somebody here listens to them."""
        return self._news.get(name.rpartition(":")[0])

    @property
    def telling(self) -> News | None:
        """News of which there is something to tell."""
        return next((news for news in self._news.values() if news.untold), None)

    @property
    def untold(self) -> int:
        """How many words wait to be told."""
        return sum(len(news.untold) for news in self._news.values())  # ints

    def listen(self, scope: str, told: Callable[[Word], object]) -> None:
        """Hear of the words that others tell of a scope."""
        if scope not in self._news:
            self._news[scope] = News(f"{scope}:news", asyncio.get_running_loop().time)
        self._news[scope].listeners.append(told)

    def tell(self, scope: str, word: Word) -> None:
        """Have it told."""
        self._news[scope].tell(word)
        self._has_untold()

    async def hear_all(self) -> None:
        """Ask what others have told, unless the server is left alone at present."""
        for news in [*self._news.values()]:
            if self._door.closed_for() <= 0:
                await self.hear(news)

    async def hear(self, news: News, *, tell: bool = False) -> bool:
        """Ask what others have told, and tell what there is to tell; whether it has answered.

        A board that is told something, be it nothing, is begun if there is none.
        """
        told = dict(news.untold) if tell else None
        words = None if told is None else [word.written() for word in told]
        limit = WRITING * self._limit if tell else self._limit
        now, server = int(self._wall() * 1e6), self._door.server
        answer = await self._door.ask(
            lambda: server.hear(news.board, news.heard, words, now), news.board, limit
        )
        if answer is not None:
            self.take(news, answer, told)
        return answer is not None

    def take(self, news: News, answer: Board, told: dict[Word, object] | None = None) -> None:
        """Take what a board says, and let those who listen know."""
        now = answer.now or (self._wall() - SKEW) * 1e6
        for word in news.took(answer, told, now):
            for listener in news.listeners:
                listener(word)
        if news.untold:  # a server that has lost what it was told is told again
            self._has_untold()
