"""A stream that many can watch and none can spoil."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from reactivex import Observable, abc
from reactivex.disposable import Disposable

__all__ = ["Fault", "Published", "publish"]

T = TypeVar("T")

Fault = Callable[[str, BaseException], None]
"""Told where something went wrong and what: ``fault("viewer", error)``."""


class Published(Observable[T]):
    """The hot side of :func:`publish`."""

    def __init__(
        self, source: Observable[T], fault: Fault, current: Callable[[], Iterable[T]] | None
    ) -> None:
        super().__init__()
        self._source = source
        self._fault = fault
        self._current = current
        self._observers: dict[abc.ObserverBase[T], None] = {}
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
            on_next, on_error, on_completed = (
                observer.on_next,
                observer.on_error,
                observer.on_completed,
            )

        def contained(item: T) -> None:
            try:
                if on_next is not None:
                    on_next(item)  # type: ignore[operator]
            except Exception as error:
                self._fault("subscriber", error)

        return super().subscribe(contained, on_error, on_completed, scheduler=scheduler)

    def _subscribe_core(
        self, observer: abc.ObserverBase[T], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        if self._ended:
            observer.on_completed()
            return Disposable()
        if self._current is not None:
            for item in self._current():
                observer.on_next(item)
        self._observers[observer] = None
        return Disposable(lambda: self._observers.pop(observer, None) and None)

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
                for observer in tuple(self._observers):
                    observer.on_next(item)
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
        observers, self._observers = tuple(self._observers), {}
        for observer in observers:
            try:
                observer.on_completed()
            except Exception as error:
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
