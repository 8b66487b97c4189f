"""The shared cache of a recording: what it answered then, at the times at which it did."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

from ..sinks.store_cold import Private
from ..streams.recorded_model import LookUp, Recording

__all__ = ["RecordedCold"]

LONGEST = 1.1
"""Seconds; the most a look-up may take, and what a busy loop may have been late with it."""


class RecordedCold(Private):
    """A cold layer that answers out of a recording, and keeps nothing.

    What was looked up more than once has its answers in their order. Each comes when it came; one
    that is asked for after that, or much before, comes at once. What was not looked up then is not
    there: what this replay has prepared it finds in its own memory. What others told then is not
    recorded.
    """

    shared = True
    answers = True

    def __init__(self, recording: Recording) -> None:
        self._recording = recording
        self._look_ups: dict[str, deque[LookUp]] = {
            name: deque(each) for name, each in recording.look_ups.items()
        }
        self._due: dict[float, dict[int, asyncio.Future[None]]] = {}
        self.zero: float | None = None
        """When the session began, in the loop's time."""

    def keep(
        self,
        name: str,
        record: dict[str, Any],
        seconds: float,
        written: Callable[[], object] | None = None,
    ) -> None:
        """See :class:`~foretell.sinks.store_cold.Cold`; the server then has taken it."""
        if written is not None:
            written()

    def drop(self, name: str) -> None:
        """See :class:`~foretell.sinks.store_cold.Cold`."""

    def at_hand(self, name: str) -> Any:
        """See :class:`~foretell.sinks.store_cold.Cold`."""
        return None

    async def fetch(self, name: str) -> Any:
        """See :class:`~foretell.sinks.store_cold.Cold`. Cancelled, its answer is used up."""
        look_ups = self._look_ups.get(name)
        if not look_ups:
            return None
        look_up = look_ups.popleft()
        loop = asyncio.get_running_loop()
        if self.zero is not None and 0 < self.zero + look_up.t - loop.time() <= LONGEST:
            if look_up.t not in self._due:
                self._due[look_up.t] = {}
                loop.call_at(self.zero + look_up.t, self._come, look_up.t)
            self._due[look_up.t][look_up.order] = came = loop.create_future()
            await came
        return None if look_up.start is None else self._recording.found(look_up.start)

    def _come(self, t: float) -> None:
        """What came in one go comes so again, in its order."""
        for _, came in sorted(self._due.pop(t).items()):
            if not came.done():
                came.set_result(None)

    def described(self) -> dict[str, Any]:
        """See :class:`~foretell.sinks.store_cold.Cold`."""
        return {"kind": "recording"}
