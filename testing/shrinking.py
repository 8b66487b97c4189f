"""From a long history that breaks a guarantee to a short one that still does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

from .broken import Broken
from .history import Step

__all__ = ["shrink"]


def shrink(
    steps: Sequence[Step],
    breaks: Callable[[Sequence[Step]], Broken | None],
    found: Broken,
    seconds: float,
) -> Broken:
    """Take steps out, large pieces first, as long as the rest still breaks; then tame what is left.

    :param breaks: plays a history; gives what it breaks, if it is the same guarantee.
    :param found: what the whole history breaks.
    :param seconds: of the wall clock to spend at most.
    """
    until = time.monotonic() + seconds
    size = len(steps)
    while size >= 1:
        at, smaller = 0, False
        while at < len(steps) and time.monotonic() < until:
            fewer = [*steps[:at], *steps[at + size :]]
            if broken := breaks(fewer):
                steps, found, smaller = fewer, broken, True
            else:
                at += size
        if not smaller or size > 1:
            size //= 2
    for number in range(len(steps)):
        again = True
        while again and time.monotonic() < until:
            again = False
            for tamer in _tamer(steps[number]):
                tame = [*steps[:number], tamer, *steps[number + 1 :]]
                if broken := breaks(tame):
                    steps, found, again = tame, broken, True
                    break
    return found


def _tamer(step: Step) -> Iterator[Step]:
    """The step without its wait, and with half of its ticks."""
    if step.wait:
        yield Step(0.0, step.do, on=step.on, **step.given)
    if (ticks := step.given.get("ticks", 0)) > 1:
        yield Step(step.wait, step.do, on=step.on, **{**step.given, "ticks": ticks // 2})
