"""The narrative for a game that has no event loop: it asks what is new, and never waits."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from reactivex import Observable, abc

from ..errors import StateError

__all__ = ["Polled"]

log = logging.getLogger("foretell")

T = TypeVar("T")

BOUND = 4096


class Polled(Generic[T]):
    """Keeps what a stream says until it is asked for.

    ::

        source  --a-b-----c-d--e-|
        take    -----(ab)----(cd)--(e)

    Who has not asked for ``bound`` items is too late for them: they are dropped, and the next
    :meth:`take` begins again as a late subscriber does, with what the stream says to such a one.

    :param on_loop: does work on the stream's event loop, or raises ``StateError`` if it has ended;
        :meth:`take` may be called from any thread.
    """

    def __init__(
        self,
        source: Observable[T],
        on_loop: Callable[[Callable[[], None]], None],
        bound: int = BOUND,
    ) -> None:
        self._source = source
        self._on_loop = on_loop
        self._bound = bound
        self._kept: deque[T] = deque()
        self._reading: abc.DisposableBase | None = None
        self._lock = threading.Lock()
        self._asked = False

    def take(self) -> list[T]:
        """What is new, in order; the first time nothing but what a late subscriber is told."""
        with self._lock:
            if not self._asked:
                self._asked = True
                with suppress(StateError):
                    self._on_loop(self._read)
            found = list(self._kept)
            for _ in found:
                self._kept.popleft()
        return found

    def _read(self) -> None:
        self._reading = self._source.subscribe(self._keep)

    def _keep(self, item: T) -> None:
        if len(self._kept) < self._bound:
            self._kept.append(item)
            return
        log.warning("nobody has polled for %d events: they are dropped", self._bound)
        if self._reading is not None:
            self._reading.dispose()
        with self._lock:
            self._kept.clear()
            self._asked = False
