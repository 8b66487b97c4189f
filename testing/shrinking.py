"""From a long history that breaks a guarantee to a short one that still does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from .broken import Broken
from .history import History, Step

__all__ = ["shrink"]


def shrink(
    history: History,
    breaks: Callable[[History], Broken | None],
    found: Broken,
    seconds: float,
) -> Broken:
    """Take steps out, large pieces first, as long as the rest still breaks; then tame what is left.

    :param breaks: plays a history; gives what it breaks, if it is the same guarantee.
    :param found: what the whole history breaks.
    :param seconds: of the wall clock to spend at most.
    """
    until = time.monotonic() + seconds
    size = len(history.steps)
    while size >= 1:
        at, smaller = 0, False
        while at < len(history.steps) and time.monotonic() < until:
            steps = history.steps
            fewer = replace(history, steps=[*steps[:at], *steps[at + size :]])
            if broken := breaks(fewer):
                history, found, smaller = fewer, broken, True
            else:
                at += size
        if not smaller or size > 1:
            size //= 2
    again = True
    while again and time.monotonic() < until:
        again = False
        for tamer in _tamer(history):
            if time.monotonic() < until and (broken := breaks(tamer)):
                history, found, again = tamer, broken, True
                break
    return found


def _tamer(history: History) -> Iterator[History]:
    """The history with one thing less that is out of the ordinary."""
    plain = History(())
    for name in ("sessions", "narrator", "drain"):
        if getattr(history, name) != getattr(plain, name):
            yield replace(history, **{name: getattr(plain, name)})
    for name in history.settings:
        fewer = {each: value for each, value in history.settings.items() if each != name}
        yield replace(history, settings=fewer)
    for number, step in enumerate(history.steps):
        for tamer in _tamer_step(step):
            steps = [*history.steps[:number], tamer, *history.steps[number + 1 :]]
            yield replace(history, steps=steps)


def _tamer_step(step: Step) -> Iterator[Step]:
    """The step without its wait, and with half of its ticks."""
    if step.wait:
        yield Step(0.0, step.do, on=step.on, **step.given)
    if (ticks := step.given.get("ticks", 0)) > 1:
        yield Step(step.wait, step.do, on=step.on, **{**step.given, "ticks": ticks // 2})
