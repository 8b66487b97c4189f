"""Where a game's words come in: one queue, one order, from any thread."""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from reactivex import Observable, abc
from reactivex.disposable import Disposable

from ..errors import StateError
from .events import Input, State
from .footprint import DEPTH
from .lane import Lane
from .sharing import Shared
from .world import Numbered

__all__ = ["Inputs", "snapshot"]

Build = Callable[[float], Input]
"""Makes the input once its time (seconds) is known."""

_Pending = tuple[int, float, float | None, Build | bytes, str | None]
"""An input that waits: its number, when it was put, its time if that is another, how it is made;
or a state, and the action it is an effect of. It is no more than that, for many wait at once."""

MAX_PENDING = 10_000
LEVELS = 6
"""Of the 254 levels that orjson writes these are kept for what a log puts around a state."""


def snapshot(
    state: Any, limit: int, what: str = "state", setting: str = "max_state_bytes"
) -> bytes:
    """The state as JSON, taken at once, so that a later mutation by the game changes nothing.

    :param state: a mapping, dataclass or pydantic model.
    :param limit: the most bytes of JSON; ``setting`` is called so.
    :param what: it is, for errors.
    :raises StateError: what cannot be written as a JSON object, is deeper than 248 levels, or
        larger than ``limit``. NaN and the infinities become null.
    """
    try:
        raw = orjson.dumps([[[[[[state]]]]]], default=_plain)[LEVELS:-LEVELS]
    except (TypeError, ValueError, RecursionError) as error:
        raise StateError(
            f"{what} is not JSON: {error}; pass a dict, dataclass or pydantic model "
            "of plain values, at most 248 levels deep"
        ) from None
    if raw[:1] != b"{":
        raise StateError(f"{what} must be an object at the top, not {type(state).__name__}")
    if len(raw) > limit:
        raise StateError(
            f"{what} is {len(raw):,} bytes of JSON, more than the limit of {limit:,}: "
            f"send only what the narrative needs, or raise {setting}"
        )
    return raw


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} has no JSON form")


class Inputs(Observable[Numbered]):
    """The stream of a session's inputs, each with its number in the one order.

    :meth:`put` never blocks and never runs a subscriber: what is put is handed on in the next
    step of the loop, all at one time of the session (so a replay hands it on together too), one
    by one, so an input put by a subscriber waits until the one under way
    is through, and one that answers each with another does not hold up the loop. When more than
    ``MAX_PENDING`` wait, a newer state takes the place of a waiting one directly before it;
    nothing else is ever dropped. An input that cannot be made, and what a subscriber raises, go to
    the loop's exception handler, and the next has its turn.

    States alone may wait their turn in a lane; anything else is handed on at once, with the states
    before it.

    :param take_in: does what has come from outside, in a step of the loop; see :class:`Tasks`.
    :param take_in_now: the same, from a step that is for nothing else.
    :param lane: where states wait; with none they do not.
    :param last: called when the last input has been handed on, after :meth:`finish`.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        start: float,
        number: int = 0,
        take_in: Callable[[Callable[[], None]], object] | None = None,
        take_in_now: Callable[[Callable[[], None]], object] | None = None,
        lane: Lane | None = None,
        last: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__()
        self._loop = loop
        self._take_in = take_in or loop.call_soon
        self._take_in_now = take_in_now or self._take_in
        self._ended: Callable[[], None] | None = last
        self._thread = threading.get_ident()
        self._start = start
        self._number = number
        self._observers: list[abc.ObserverBase[Numbered]] = []
        self._states = Shared(DEPTH)
        self._pending: deque[_Pending] = deque()
        self._lock = threading.Lock()
        self._lane = lane
        self._in_lane = False
        self._scheduled = False
        self._last = 0.0
        self._moment: float | None = None
        self._finished = False
        self._through = number
        self._moved = asyncio.Event()
        self.conflated = 0

    def _subscribe_core(
        self, observer: abc.ObserverBase[Numbered], scheduler: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        self._observers.append(observer)

        def leave() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return Disposable(leave)

    @property
    def now(self) -> float:
        """Seconds since the session's start; while inputs are handed on, the time they share."""
        return self.clock()

    def clock(self) -> float:
        """:attr:`now`, for those who ask often."""
        moment = self._moment
        return self._loop.time() - self._start if moment is None else moment

    @property
    def _elapsed(self) -> float:
        return self._loop.time() - self._start

    def put(
        self,
        build: Build,
        *,
        at: float | None = None,
        numbered: Callable[[int], None] | None = None,
    ) -> int:
        """Queue an input; returns its number.

        :param at: its time in seconds, if it is not now (a replay knows better).
        :param numbered: called with the number before the input can be seen by anyone.
        :raises StateError: after :meth:`finish`.
        """
        with self._lock:
            self._check_open()
            self._number = number = self._number + 1
            if numbered is not None:
                numbered(number)
            self._pending.append((number, self._elapsed, at, build, None))
            if self._scheduled:
                return number
            self._scheduled = True
        self.on_loop(self._wake)
        return number

    def put_state(self, raw: bytes, because: str | None) -> int:
        """Queue a snapshot, as :func:`snapshot` made it; it is parsed when its turn comes.

        :raises StateError: after :meth:`finish`.
        """
        with self._lock:
            self._check_open()
            if len(self._pending) >= MAX_PENDING and isinstance(self._pending[-1][3], bytes):
                number = self._pending.pop()[0]
                self.conflated += 1
            else:
                self._number = number = self._number + 1
            self._pending.append((number, self._elapsed, None, raw, because))
            if self._scheduled or self._in_lane:
                return number
            self._in_lane = self._lane is not None
            self._scheduled = not self._in_lane
        self.on_loop(self._queue if self._lane is not None else self._wake)
        return number

    def _check_open(self) -> None:
        if self._finished:
            raise StateError("the session is closed; open it again to go on")

    def on_loop(self, work: Callable[[], None]) -> None:
        """Do ``work`` at once if this is the loop's thread, else soon; it raises nothing.

        :raises StateError: if the loop has ended.
        """
        try:
            if threading.get_ident() == self._thread:
                work()
            else:
                self._loop.call_soon_threadsafe(work)
        except RuntimeError:
            self._finished = True
            raise StateError("the event loop of the session has ended: nothing is taken") from None

    def _wake(self) -> None:
        self._take_in(self._drain)

    def _queue(self) -> None:
        assert self._lane is not None
        self._lane.add(self._loop, self._its_turn)

    def _its_turn(self) -> None:
        """States that waited are handed on, if nothing that came after them has seen to it."""
        with self._lock:
            self._in_lane = False
            if self._scheduled or not self._pending:
                return
            self._scheduled = True
        self._take_in_now(self._drain)

    def flush(self) -> None:
        """Hand on what waits now, and not in the next step of the loop; for a replay."""
        self._drain()

    def _drain(self) -> None:
        now = self._elapsed
        for _ in range(len(self._pending)):
            with self._lock:
                number, received, at, made, because = self._pending.popleft()
            t = self._last = self._moment = max(self._last, now if at is None else at)
            try:
                if isinstance(made, bytes):
                    event: Input = State(t, self._states.loads(made), because)
                else:
                    event = made(t)
                numbered = Numbered(number, event, received)
                for observer in tuple(self._observers):
                    observer.on_next(numbered)
            except Exception as error:
                message = f"input {number} could not be handed on"
                self._loop.call_exception_handler({"message": message, "exception": error})
            self._through = number
        self._moment = None
        with self._lock:
            self._scheduled = bool(self._pending)
            over = self._finished and not self._pending
        if self._scheduled:
            self._take_in(self._drain)
        if over and self._ended is not None:
            ended, self._ended = self._ended, None
            ended()
        self._moved.set()

    async def drained(self) -> None:
        """Wait until all that was put so far has been handed on."""
        last = self._number
        while self._through < last:
            self._moved.clear()
            await self._moved.wait()

    def finish(self) -> None:
        """Take nothing more, from any thread; what was put before is still handed on."""
        with self._lock:
            self._finished = True
            scheduled, self._scheduled = self._scheduled, True
        if not scheduled:
            self._wake()

    def complete(self) -> None:
        """End the stream; what is put later goes nowhere."""
        for observer in tuple(self._observers):
            observer.on_completed()
