"""Single flight: of those who want the same thing at once, one makes it, and all get it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

from ..errors import ForetellError
from ..operators.fingerprint import Dependence
from ..streams.tasks import Tasks
from .store_guard import Condition
from .store_near import NearIndex, NearKey

__all__ = ["ComputeError", "Flight", "Flights", "StoreClosed"]

T = TypeVar("T")


class StoreClosed(ForetellError):
    """The store was closed before a computation came to its end."""


class ComputeError(ForetellError):
    """A computation has cancelled itself, or waits for itself."""


class Flight(Generic[T]):
    """A computation under way, and the state it is for.

    ``words`` are its key and its tags; ``guard``, ``depends`` and ``turn`` are its entry's. It is
    ``good`` until what it is made from has changed: then it is nobody's but theirs who wait. It
    has ``begun`` when it has room to; ``waiting`` is how many wait for it.
    """

    __slots__ = (
        "begun", "depends", "good", "guard", "landed", "near", "task", "turn", "waiting", "words",
    )  # fmt: skip

    def __init__(
        self,
        near: NearKey,
        words: tuple[str, ...],
        guard: tuple[Condition, ...],
        depends: Dependence,
        turn: str | None,
    ) -> None:
        self.near = near
        self.words = words
        self.guard = guard
        self.depends = depends
        self.turn = turn
        self.good = True
        self.begun = False
        self.waiting = 0
        self.task: asyncio.Task[None] | None = None
        self.landed: asyncio.Future[T] = asyncio.get_running_loop().create_future()


_within: ContextVar[tuple[Flight[Any], ...]] = ContextVar("within", default=())
"""The flights in which what runs here was begun, and which may wait for it."""

DEEPEST = 8
"""Rooms: one for what is computed, one for what that computes in its turn, and so on."""


class Flights(Generic[T]):
    """The computations under way. They are the store's own: no caller's end is theirs.

    :param limit: so many run at a time; more wait. What one of them computes in its turn is not
        counted with them, for they may wait for it; but what lies deeper than eight is counted
        with the eighth.
    :param seconds: one may take; then all who wait get :class:`TimeoutError`.
    :param index: finds a flight for a state that is near.
    """

    def __init__(self, limit: int, seconds: float, index: NearIndex[Flight[T]]) -> None:
        self._tasks = Tasks(lambda name, error: None)
        self._rooms = [asyncio.Semaphore(limit) for _ in range(DEEPEST)]
        self._seconds = seconds
        self._index = index
        self._flying: dict[Flight[T], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._flying)

    def __iter__(self) -> Iterator[Flight[T]]:
        return iter([*self._flying])

    def under_way(self, key: NearKey, fits: Callable[[Flight[T]], bool]) -> Flight[T] | None:
        """The computation for a near state that fits, if one is under way.

        :raises ComputeError: from within it.
        """
        for flight in self._index.search(key):
            if fits(flight):
                if flight in _within.get():
                    raise ComputeError("what is computed asks for itself")
                return flight
        return None

    def start(self, flight: Flight[T], make: Callable[[Flight[T]], Awaitable[T]]) -> Flight[T]:
        """Begin a computation, as soon as there is room.

        :raises StoreClosed: after :meth:`aclose`.
        """
        if self._closed:
            raise StoreClosed("the store is closed: it computes nothing more")
        self._index.add(flight)
        self._flying[flight] = None
        flight.task = self._tasks.start(self._fly(flight, make), name="compute")
        return flight

    async def end_of(self, flight: Flight[T]) -> T:
        """What becomes of a computation. One that nobody waits for any more is not begun."""
        flight.waiting += 1
        try:
            return await asyncio.shield(flight.landed)
        finally:
            flight.waiting -= 1
            if not flight.waiting and not flight.begun and flight in self._flying:
                assert flight.task is not None
                flight.task.cancel()
                del self._flying[flight]
                self._index.discard(flight)

    def give_up(self, concerns: Callable[[Flight[T]], bool]) -> int:
        """Let nobody join the computations that are concerned, nor keep what they make."""
        found = [flight for flight in self._flying if flight.good and concerns(flight)]
        for flight in found:
            flight.good = False
            self._index.discard(flight)
        return len(found)

    async def _fly(self, flight: Flight[T], make: Callable[[Flight[T]], Awaitable[T]]) -> None:
        before = [each for each in _within.get() if not each.landed.done()]
        _within.set((*before, flight))
        depth = sum(each in self._flying for each in before)  # ints
        try:
            async with self._rooms[min(depth, DEEPEST - 1)], asyncio.timeout(self._seconds):
                flight.begun = True
                value = await make(flight)
            self._land(flight, value)
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            self._land(flight, error=ComputeError("what is computed has cancelled itself"))
        except Exception as error:
            self._land(flight, error=error)

    def _land(
        self, flight: Flight[T], value: Any = None, *, error: BaseException | None = None
    ) -> None:
        self._index.discard(flight)
        del self._flying[flight]
        if error is None:
            flight.landed.set_result(value)
        else:
            flight.landed.set_exception(error)
            flight.landed.exception()  # who waits gets it; with nobody left, it is nobody's

    async def aclose(self) -> None:
        """End all computations; those who wait get :class:`StoreClosed`."""
        self._closed = True
        await self._tasks.aclose()
        for flight in [*self._flying]:
            self._land(flight, error=StoreClosed("the store was closed while this was computed"))
