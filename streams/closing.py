"""Closing that is not cut short."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

__all__ = ["to_the_end"]


async def to_the_end(closing: Awaitable[Any]) -> None:
    """Await ``closing`` to its end even if cancelled meanwhile; the cancellation then goes on."""
    task = asyncio.ensure_future(closing)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.cancelled():
        task.exception()  # a connection that fails to close is closed
    if cancelled is not None:
        raise cancelled
