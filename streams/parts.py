"""What the processor's time is spent on, for who asks; next to nothing where nobody does."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import ParamSpec, TypeVar

__all__ = ["Heard", "timed", "watch"]

P = ParamSpec("P")
R = TypeVar("R")
Heard = Callable[[str, float], None]

_watching: tuple[tuple[Callable[[], float], Heard], ...] = ()


def watch(clock: Callable[[], float], heard: Heard) -> Callable[[], None]:
    """Hear of each timed part of the process what it was and how many seconds it took.

    It changes nothing of what is done, and nothing of it is recorded.

    :param clock: the processor's or the wall's time in seconds.
    :returns: ends it.
    """
    global _watching  # noqa: PLW0603  # one for the process: whose part it is, nobody has to say
    one = (clock, heard)
    _watching = (*_watching, one)

    def end() -> None:
        global _watching  # noqa: PLW0603
        _watching = tuple(each for each in _watching if each is not one)

    return end


def timed(part: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Time a plain function, as the part of this name."""

    def wrap(work: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(work)
        def run(*args: P.args, **kwargs: P.kwargs) -> R:
            if not _watching:
                return work(*args, **kwargs)
            watching = _watching
            begun = [clock() for clock, _ in watching]
            try:
                return work(*args, **kwargs)
            finally:
                for (clock, heard), at in zip(watching, begun, strict=True):
                    heard(part, clock() - at)

        return run

    return wrap
