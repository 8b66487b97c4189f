"""Single flight: of those who want the same thing at once, one makes it, and all get it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, Generic, TypeVar

from ..errors import ForetellError
from ..streams.tasks import Tasks
from .store_near import NearIndex, NearKey

__all__ = ["Flight", "Flights", "StoreClosed"]

T = TypeVar("T")


class StoreClosed(ForetellError):
    """The store was closed before a computation came to its end."""


class Flight(Generic[T]):
    """A computation under way, and the state it is for."""

    __slots__ = ("landed", "near")

    def __init__(self, near: NearKey, landed: asyncio.Future[T]) -> None:
        self.near = near
        self.landed = landed


class Flights(Generic[T]):
    """The computations under way. They are the store's own: no caller's end is theirs.

    :param limit: so many run at a time; more wait.
    :param index: finds a flight for a state that is near.
    """

    def __init__(self, limit: int, index: NearIndex[Flight[T]]) -> None:
        self._tasks = Tasks(lambda name, error: None)
        self._room = asyncio.Semaphore(limit)
        self._index = index
        self._flying: dict[Flight[T], None] = {}
        self._closed = False

    def __len__(self) -> int:
        return len(self._flying)

    def under_way(self, key: NearKey) -> asyncio.Future[T] | None:
        """What becomes of a computation for a near state, if one is under way."""
        found, _ = self._index.search(key)
        return found[0].landed if found else None

    def start(self, key: NearKey, make: Callable[[], Awaitable[T] | T]) -> asyncio.Future[T]:
        """Begin a computation.

        :raises StoreClosed: after :meth:`aclose`.
        """
        if self._closed:
            raise StoreClosed("the store is closed: it computes nothing more")
        flight: Flight[T] = Flight(key, asyncio.get_running_loop().create_future())
        self._index.add(flight)
        self._flying[flight] = None
        self._tasks.start(self._fly(flight, make), name="compute")
        return flight.landed

    async def _fly(self, flight: Flight[T], make: Callable[[], Awaitable[T] | T]) -> None:
        try:
            async with self._room:
                made = make()
                value = await made if isawaitable(made) else made
            self._land(flight, value)
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
