"""A progress bar for people who wait: on a terminal alone, and only if it takes a while."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["Step", "progress"]

PATIENCE = 1.0
"""Seconds after which a bar is shown."""

OFTEN = 0.1
"""Seconds from one look at the bar to the next."""

Step = Callable[[float], None]
"""Says how far it has come."""


@contextmanager
def progress(what: str, total: float, *, quiet: bool = False) -> Generator[Step, None, None]:
    """A function to be told how far the work is, of ``total``; it costs next to nothing.

    The bar goes to standard error, if that is a terminal, a second after it was begun; it is gone
    when the work is over, however it ends.

    :param what: a word for the work.
    :param quiet: show none, for a program reads what is printed.
    """
    console = Console(stderr=True)
    if quiet or not console.is_interactive or total <= 0:
        yield lambda done: None
        return
    columns = (TextColumn(what), BarColumn(), TaskProgressColumn(), TimeRemainingColumn())
    bar = Progress(*columns, console=console, transient=True, auto_refresh=False)
    task = bar.add_task(what, total=total)
    due = time.monotonic() + PATIENCE

    def step(done: float) -> None:
        nonlocal due
        if (now := time.monotonic()) >= due:
            due = now + OFTEN
            bar.start()
            bar.update(task, completed=done, refresh=True)

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()
