"""Work that may block, in a thread of its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from .clock import VirtualLoop

__all__ = ["aside"]

R = TypeVar("R")


async def aside(work: Callable[[], R], name: str) -> R:
    """In a thread, so that nobody waits for what blocks; a virtual loop waits for no thread.

    It is a daemon: neither a session nor a program that ends waits for work that hangs.
    """
    loop = asyncio.get_running_loop()
    if isinstance(loop, VirtualLoop):
        return work()
    done: asyncio.Future[R] = loop.create_future()

    def settle(result: Future[R]) -> None:
        if not done.done():
            if (error := result.exception()) is not None:
                done.set_exception(error)
            else:
                done.set_result(result.result())

    def run() -> None:
        result: Future[R] = Future()
        try:
            result.set_result(work())
        except Exception as error:
            result.set_exception(error)
        with suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await done
