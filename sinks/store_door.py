"""The door to a server that may be away, hang, or say no: nobody waits before it for long."""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TypeVar

from .store_server import GarbledBoard, Server

__all__ = ["FIRST_PAUSE", "Door"]

log = logging.getLogger("foretell")

T = TypeVar("T")

AT_ONCE = 4
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0


class Door:
    """Asks a server, within a time. What does not answer is left alone for a while.

    :param garbled: told the name under which there was rubbish.
    """

    def __init__(self, server: Server, garbled: Callable[[str], None]) -> None:
        self.server = server
        self.met: Counter[str] = Counter()
        self.again = -math.inf
        """Before this time of the loop it is not asked."""
        self._garbled = garbled
        self._room = asyncio.Semaphore(AT_ONCE)
        self._pause = 0.0
        self._tainted = False
        self._logged: set[str] = set()

    @property
    def answers(self) -> bool:
        """Whether it answered when it was last asked."""
        return self._pause == 0.0

    def closed_for(self) -> float:
        """Seconds till it is asked again; none left, if below 0."""
        return self.again - asyncio.get_running_loop().time()

    def hurry(self) -> None:
        """Leave it alone for a second at most: there is something to tell it."""
        self.again = min(self.again, asyncio.get_running_loop().time() + FIRST_PAUSE)

    async def ask(self, ask: Callable[[], Awaitable[T]], name: str, limit: float) -> T | None:
        """What the server says, within the limit; ``None`` if it does not say.

        A few are asked at a time. Who has waited here for most of the limit is a miss, and says
        nothing of the server.
        """
        again, clock = self.again, asyncio.get_running_loop().time
        asked = math.inf
        try:
            async with asyncio.timeout(limit), self._room:
                asked = clock()
                if self._tainted:
                    self._tainted = False
                    await self.server.forget_connections()
                answer = await ask()
        except asyncio.CancelledError:
            self._tainted = True  # an answer may still be on its way, which is for nobody else
            raise
        except self.server.garbage as error:
            self._up()  # of one key: it answers
            self.garbled(error.board if isinstance(error, GarbledBoard) else name, error)
            return None
        except self.server.refusals as error:  # for want of memory perhaps: it can still be read
            self._once("refused", "refuses", error)
            self._up()
            return None
        except Exception as error:
            self._tainted |= asked < math.inf
            if isinstance(error, TimeoutError) and clock() - asked < limit / 2:
                self.met["crowded"] += 1
            elif again == self.again:  # else another has found it out already
                self._down(error, limit)
            return None
        self._up()
        return answer

    def garbled(self, name: str, why: object) -> None:
        """Under a name is what no store has written."""
        self._once("garbled", "not ours", why)
        self._garbled(name)

    def _once(self, kind: str, said: str, error: object) -> None:
        self.met[kind] += 1
        if kind not in self._logged:
            log.warning("shared cache %s: %s: %s (told once)", self.server.where, said, _why(error))
        self._logged.add(kind)

    def _up(self) -> None:
        if not self.answers:
            log.warning("shared cache %s: answers again", self.server.where)
        self._pause = 0.0

    def _down(self, error: Exception, limit: float) -> None:
        slow = isinstance(error, TimeoutError)
        self.met["time-outs" if slow else "failures"] += 1
        if self.answers:
            what = f"no answer within {limit:g} s" if slow else _why(error)
            log.warning("shared cache %s: %s; going on without it", self.server.where, what)
        self._pause = min(2 * self._pause or FIRST_PAUSE, LONGEST_PAUSE)
        self.again = asyncio.get_running_loop().time() + self._pause


def _why(error: object) -> str:
    """In its own words: the ``repr`` of some clients' errors leaves them out."""
    return f"{type(error).__name__}: {error}" if isinstance(error, Exception) else str(error)
