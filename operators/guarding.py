"""The game's guard: no text reaches a viewer before it has let it through."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Generator
from functools import partial
from threading import BoundedSemaphore
from typing import Any

from ..streams.aside import aside
from ..streams.models import ModelError
from ..streams.said import brief
from ..streams.tasks import Tasks
from ..streams.timers import Alarm, Timers
from .generation import Trace

__all__ = ["Guard", "Guarding", "TextRefused", "Verdict"]

Guard = Callable[[str], str | Awaitable[str | None] | None]
"""A guard: ``None`` lets a text through, anything else is why it does not."""

THREADS = 16
"""So many texts a plain guard is asked about at once; one that hangs must not gather threads."""
LONGEST = 200
"""Characters of a reason that are kept."""


class TextRefused(ModelError):
    """The game's guard has not let a text through."""

    kind = "guarded"


class Verdict:
    """What the guard says of one text: awaited, why it is refused, or ``None``."""

    def __init__(self, generation: str) -> None:
        self.generation = generation
        self.said: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()
        self.task: asyncio.Task[None] | None = None
        self.alarm: Alarm | None = None

    def __await__(self) -> Generator[Any, None, str | None]:
        return self.said.__await__()

    def drop(self) -> None:
        """Nobody waits for it any more."""
        if self.alarm is not None:
            self.alarm.cancel()
        if self.task is not None:
            self.task.cancel()
        self.said.cancel()


class Guarding:
    """Asks a guard of texts, and waits no longer than ``limit`` seconds for each.

    ::

        asked     a---b-----------c
        guard     -----(a)----(b: no)--- … (nothing)
        verdicts  -----(a)----(b: no)-------(c: no)

    A guard that raises, or says nothing in time, lets nothing through. What it says comes from
    outside: it is taken in, and recorded, so a replay needs no guard.

    :param guard: ``None`` in a replay, which hands in what was recorded. A plain function is called
        in a thread of its own, so it may block; an async one, on the loop.
    :param timers: make the alarms by which the time for a verdict is over.
    :param fault: told of what the guard raises.
    """

    def __init__(
        self,
        guard: Guard | None,
        tasks: Tasks,
        timers: Timers,
        limit: float,
        trace: Trace,
        fault: Callable[[str, BaseException], None],
    ) -> None:
        self._guard = guard
        self._tasks = tasks
        self._timers = timers
        self._limit = limit
        self._trace = trace
        self._fault = fault
        self._waiting: dict[str, Verdict] = {}
        self._asked = 0
        self._room = BoundedSemaphore(THREADS)

    def ask(self, generation: str, text: str) -> Verdict:
        """Ask at once; drop the verdict, if nobody waits for it to the end.

        :param generation: the model stream that the text is of, for the recording.
        """
        self._asked += 1
        name = f"k{self._asked}"
        verdict = self._waiting[name] = Verdict(generation)
        verdict.said.add_done_callback(lambda _: self._waiting.pop(name, None))
        if self._guard is not None:
            work = self._put(self._guard, name, text)
            verdict.task = self._tasks.start(work, name=f"guard {name}", outside=True)
        late = f"no verdict in {self._limit:g} s"
        verdict.alarm = self._timers.alarm(f"guard {name}", partial(self.say, name, late))
        verdict.alarm.set(self._timers.time() + self._limit)
        return verdict

    async def _put(self, guard: Guard, name: str, text: str) -> None:
        try:
            refused = await self._judged(guard, text)
        except Exception as error:
            self._fault("guard", error)
            refused = f"the guard raised {type(error).__name__}"
        self._tasks.take_in(partial(self.say, name, refused))

    async def _judged(self, guard: Guard, text: str) -> str | None:
        call = getattr(guard, "__call__", None)  # noqa: B004  # an object with an async one
        if inspect.iscoroutinefunction(guard) or inspect.iscoroutinefunction(call):
            said: Any = guard(text)
        elif self._room.acquire(blocking=False):
            said = await aside(partial(self._called, guard, text), "foretell guard")
        else:
            return f"{THREADS} texts wait for the guard already"
        if inspect.isawaitable(said):
            said = await said
        if said is None:
            return None
        if isinstance(said, str) and said.strip():
            return " ".join(said.split())[:LONGEST]
        return f"the guard gave {brief(said)}, not None or a reason"

    def _called(self, guard: Guard, text: str) -> Any:
        try:
            return guard(text)
        finally:
            self._room.release()

    def say(self, name: str, refused: str | None) -> None:
        """A verdict has come, or its time is over; what nobody waits for is left."""
        verdict = self._waiting.pop(name, None)
        if verdict is None or verdict.said.done():
            return
        self._trace("~guard", check=name, generation=verdict.generation, refused=refused)
        verdict.said.set_result(refused)
        verdict.drop()
