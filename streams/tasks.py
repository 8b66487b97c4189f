"""The work of a session: tasks that somebody ends, and one order of all that happens to them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine, Generator
from functools import partial
from typing import Any

from reactivex.disposable import Disposable

__all__ = ["Tasks"]

Work = Callable[[], None]

ROUNDS = 4
"""So often is cancelled, at the end, what does not mind it."""


class _Own(Coroutine[Any, Any, Any]):
    """The coroutine of an own task: it knows what it waits for."""

    __slots__ = ("_work", "waits")

    def __init__(self, work: Coroutine[Any, Any, Any]) -> None:
        self._work = work
        self.waits: asyncio.Future[Any] | None = None  # none while it is about to run

    def send(self, value: Any) -> Any:
        self.waits = None
        self.waits = self._work.send(value)
        return self.waits

    def throw(self, *error: Any) -> Any:
        self.waits = None
        try:
            self.waits = self._work.throw(*error)
        finally:
            del error  # which would hold itself, by way of its traceback and this frame
        return self.waits

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Generator[Any, None, Any]:
        return self._work.__await__()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._work, name)  # its name and frame, for who looks for them


class Tasks:
    """Starts tasks, hears of their failures, and awaits the end of each.

    What comes from outside is taken in when all own work has come to rest: when each own task
    waits for something that has not come yet. So what happens, and in which order, follows from
    what came in and in which order, whatever else the loop has to do: a replay can do it again.

    ::

        from outside    a---b-c------------d---
        taken in        a------(b c)-------d---
        own work        [------]    [---]  [--

    :param on_fault: told of an exception that ended a task; cancellation is not one.
    """

    def __init__(self, on_fault: Callable[[str, BaseException], None]) -> None:
        self._on_fault = on_fault
        self._bound: asyncio.AbstractEventLoop | None = None
        self._running: dict[asyncio.Task[Any], _Own | None] = {}
        self._soon = 0
        self._arrived: deque[Work] = deque()
        self.held = False
        """Nothing is taken in: a replay does that itself."""
        self.first = False
        """What is taken in now has left no line in the recording yet."""
        self.along = False
        """Something that was taken in just before it, in one go, has."""

    def __len__(self) -> int:
        return len(self._running)

    def __contains__(self, task: asyncio.Task[Any] | None) -> bool:
        return task in self._running

    @property
    def at_rest(self) -> bool:
        """Whether nothing of the own work can go on before something comes from outside."""
        if self._soon:
            return False
        for own in self._running.values():
            if own is not None and (own.waits is None or own.waits.done()):
                return False
        return True

    def start(
        self, work: Coroutine[Any, Any, Any], *, name: str, outside: bool = False
    ) -> asyncio.Task[Any]:
        """Run ``work`` as a task of this owner.

        :param outside: it waits for others than the own tasks and what is taken in, and changes
            nothing by itself: what it has to say it gives to :meth:`take_in`.
        """
        own = None if outside else _Own(work)
        # Not by the loop's factory: an eager one would begin it before what stands before it.
        task = asyncio.Task(own or work, loop=self._loop, name=name)
        self._running[task] = own
        task.add_done_callback(self._ended)
        return task

    def soon(self, work: Work) -> None:
        """Do own work in the next step of the loop."""
        self._soon += 1

        def run() -> None:
            self._soon -= 1
            work()

        self._loop.call_soon(run)

    def take_in(self, work: Work) -> None:
        """Do what comes from outside, as soon as the own work is at rest.

        What has come until then is done in one go, in its order. From the loop's thread only.
        """
        if self.held:
            return
        if not self._arrived:
            self._loop.call_soon(self._pump)
        self._arrived.append(work)

    def take_in_now(self, work: Work) -> None:
        """The same, but at once where it need not wait; from a step of the loop of its own."""
        if self._arrived or self.held or not self.at_rest:
            self.take_in(work)
        else:
            self._arrived.append(work)
            self._do()

    @property
    def _loop(self) -> asyncio.AbstractEventLoop:
        """The loop, asked for once: each time it costs a call of the system."""
        if self._bound is None:
            self._bound = asyncio.get_running_loop()
        return self._bound

    def _pump(self) -> None:
        if self.at_rest:
            self._do()
        else:
            self._loop.call_soon(self._pump)

    def _do(self) -> None:
        self.along = False
        for _ in range(len(self._arrived)):
            self.first = True
            try:
                self._arrived[0]()
            except Exception as error:
                message = "what came from outside could not be taken in"
                self._loop.call_exception_handler({"message": message, "exception": error})
            del self._arrived[0]
        self.first = False
        if self._arrived:
            self._loop.call_soon(self._pump)

    def disposable(self, work: Coroutine[Any, Any, Any], *, name: str) -> Disposable:
        """Run ``work`` as a task that is cancelled when what is returned is disposed."""
        task = self.start(work, name=name)

        def cancel() -> None:
            task.cancel()

        return Disposable(cancel)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        own = self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            if own is None:
                self.take_in(partial(self._on_fault, task.get_name(), error))
            else:
                self._on_fault(task.get_name(), error)

    async def aclose(self, patience: float = 1.0) -> None:
        """Cancel what still runs and wait for its end, clean-up included.

        What has been cancelled already cleans up undisturbed for ``patience`` seconds; what runs
        on after that is cancelled again, and after a few times left behind and reported. What came
        from outside until then is taken in.
        """
        rounds = 0
        while self._running or self._arrived:
            for task in self._running:
                if not task.cancelling():
                    task.cancel()
            if not self._running:
                await asyncio.sleep(0)
                continue
            _, pending = await asyncio.wait(list(self._running), timeout=patience)
            late = [task for task in self._running if task in pending]  # in the order they began
            for task in late:
                task.cancel()
            rounds += bool(late)
            if rounds > ROUNDS:
                for task in late:
                    self._running.pop(task, None)
                    stubborn = RuntimeError("goes on though it is cancelled; it is left behind")
                    self._on_fault(task.get_name(), stubborn)
