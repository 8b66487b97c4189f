"""The places that requests for plans have: so many at once, and none while a player waits."""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Places"]


class Places:
    """Lets in whoever waits, in the order in which they came.

    ::

        places (1)   [a--------]  [b---]
        b waits        ------------>
        held                   ---       (somebody waits for the first text of a telling)

    :param limit: how many there are.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._held = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def __repr__(self) -> str:
        return f"<Places [{self._free} free, {len(self._waiting)} waiting]>"

    def hold(self, held: bool) -> None:
        """Let nobody in, or somebody again; who is in stays."""
        self._held = held
        self._let_in()

    async def take(self) -> None:
        """Wait for a place; cancelled meanwhile, it takes none. Give it back with :meth:`free`."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._waiting = deque(each for each in self._waiting if each is not turn)
            else:  # it was let in, and cancelled, in one step of the loop
                self.free()
            raise

    def free(self) -> None:
        """Give a place back."""
        self._free += 1
        self._let_in()

    def _let_in(self) -> None:
        while self._waiting and self._free > 0 and not self._held:
            turn = self._waiting.popleft()
            if not turn.done():  # nor left by one who was cancelled just now
                self._free -= 1
                turn.set_result(None)
