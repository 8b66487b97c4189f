"""Virtual time at a pace that people can follow."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["paced"]


def paced(speed: float, start: float = 0.0) -> Callable[[float], None]:
    """A :attr:`VirtualLoop.pace` that waits.

    :param speed: seconds of the loop a second.
    :param start: seconds of the loop; it does not wait before.
    """
    begun: float | None = None

    def pace(now: float) -> None:
        nonlocal begun
        if now < start:
            return
        if begun is None:
            begun = time.monotonic()
        time.sleep(max(0.0, begun + (now - start) / speed - time.monotonic()))

    return pace
