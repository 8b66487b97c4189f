"""Being told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

__all__ = ["told_to_stop"]


@contextmanager
def told_to_stop() -> Generator[asyncio.Event, None, None]:
    """An event that the first SIGINT or SIGTERM sets; the second does what it always did.

    For the main thread, in a running loop.
    """
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        before.clear()

    def told(*_: Any) -> None:
        back()
        loop.call_soon_threadsafe(stop.set)

    for number in before:
        signal.signal(number, told)
    try:
        yield stop
    finally:
        back()
