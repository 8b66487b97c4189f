"""A stream that many can watch and none can spoil."""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar, cast

from reactivex import Observable, abc
from reactivex.disposable import Disposable
from reactivex.internal import noop

__all__ = ["Fault", "Published", "publish"]

T = TypeVar("T")

GUEST = (Exception, CancelledError)
"""What a subscriber may raise: the end of a task of its own is not the end of ours."""

Fault = Callable[[str, BaseException], None]
"""Told where something went wrong and what: ``fault("viewer", error)``."""


class _Reader:
    """One subscriber. Every item of a game's loop passes here, so there is little between."""

    __slots__ = ("completed", "next")

    def __init__(self, on_next: Callable[[Any], None], completed: Callable[[], None]) -> None:
        self.next = on_next
        self.completed = completed


class Published(Observable[T]):
    """The hot side of :func:`publish`."""

    def __init__(
        self, source: Observable[T], fault: Fault, current: Callable[[], Iterable[T]] | None
    ) -> None:
        super().__init__()
        self._source = source
        self._fault = fault
        self._current = current
        self._readers: dict[_Reader, None] = {}
        self._waiting: deque[T] = deque()
        self._busy = False
        self._ended = False

    def subscribe(
        self,
        on_next: abc.ObserverBase[T] | Callable[[T], None] | None = None,
        on_error: Callable[[Exception], None] | None = None,
        on_completed: Callable[[], None] | None = None,
        *,
        scheduler: abc.SchedulerBase | None = None,
    ) -> abc.DisposableBase:
        """As any observable's; what ``on_next`` raises is reported and stops nothing."""
        if isinstance(on_next, abc.ObserverBase) or hasattr(on_next, "on_next"):
            observer: Any = on_next
            on_next, on_completed = observer.on_next, observer.on_completed
        reader = _Reader(cast("Callable[[T], None]", on_next or noop), on_completed or noop)
        if self._ended:
            self._contained(reader.completed)
            return Disposable()
        for item in self._current() if self._current is not None else ():
            self._contained(reader.next, item)
        self._readers[reader] = None
        return Disposable(lambda: self._readers.pop(reader, None))

    def connect(self) -> abc.DisposableBase:
        """Subscribe to the source; from now on its items are handed on."""
        return self._source.subscribe(self._next, self._error, self._completed)

    def _next(self, item: T) -> None:
        self._waiting.append(item)
        if self._busy:
            return
        self._busy = True
        try:
            while self._waiting:
                item = self._waiting.popleft()
                for reader in tuple(self._readers):
                    if reader in self._readers:
                        try:
                            reader.next(item)
                        except GUEST as error:
                            self._fault("subscriber", error)
        finally:
            self._busy = False
        if self._ended:
            self._complete()

    def _error(self, error: Exception) -> None:
        self._fault("stream", error)
        self._completed()

    def _completed(self) -> None:
        self._ended = True
        if not self._busy:
            self._complete()

    def _complete(self) -> None:
        readers, self._readers = self._readers, {}
        for reader in readers:
            self._contained(reader.completed)

    def _contained(self, work: Callable[..., None], *given: Any) -> None:
        try:
            work(*given)
        except GUEST as error:
            self._fault("subscriber", error)


def publish(
    fault: Fault, current: Callable[[], Iterable[T]] | None = None
) -> Callable[[Observable[T]], Published[T]]:
    """Share one subscription to the source among any number of subscribers.

    ::

        source        --a--b-----c--|
        subscriber 1  --a--X                 (raises at b: reported; still gets c)
        subscriber 1  --a--X-----c--|
        subscriber 2  --a--b-----c--|
        late          (s)--------c--|        (s: what ``current`` gives)

    Subscribers are called in the order they came, and all of them see one order: an item that a
    subscriber brings about waits until the one under way is through. Nothing flows before
    ``connect``: connect a stream after its own readers have subscribed. A subscriber that leaves
    cancels nothing. An error of the source is reported and completes the stream.

    :param fault: told of what a subscriber raises.
    :param current: gives a late subscriber the present, as items to begin with.
    """
    return lambda source: Published(source, fault, current)
