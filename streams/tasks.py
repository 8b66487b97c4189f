"""An owner for background tasks: nothing is started that nobody ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from reactivex.disposable import Disposable

__all__ = ["Tasks"]


class Tasks:
    """Starts tasks, hears of their failures, and awaits the end of each.

    :param on_fault: told of an exception that ended a task; cancellation is not one.
    """

    def __init__(self, on_fault: Callable[[str, BaseException], None]) -> None:
        self._on_fault = on_fault
        self._running: dict[asyncio.Task[Any], None] = {}

    def __len__(self) -> int:
        return len(self._running)

    def start(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """Run ``work`` as a task of this owner."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._running[task] = None
        task.add_done_callback(self._ended)
        return task

    def disposable(self, work: Coroutine[Any, Any, Any], *, name: str) -> Disposable:
        """Run ``work`` as a task that is cancelled when what is returned is disposed."""
        task = self.start(work, name=name)

        def cancel() -> None:
            task.cancel()

        return Disposable(cancel)

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._running.pop(task, None)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_fault(task.get_name(), error)

    async def aclose(self, patience: float = 1.0) -> None:
        """Cancel what still runs and wait for its end, clean-up included.

        What has been cancelled already cleans up undisturbed for ``patience`` seconds; what runs
        on after that is cancelled again.
        """
        while self._running:
            for task in self._running:
                if not task.cancelling():
                    task.cancel()
            _, late = await asyncio.wait(list(self._running), timeout=patience)
            for task in late:
                task.cancel()
