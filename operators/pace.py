"""How many queries the next minutes have, by what came after moments like this one."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence

__all__ = ["coming"]


def coming(times: Sequence[float], now: float, horizon: float) -> list[tuple[int, float]]:
    """How many queries come within ``horizon`` seconds of ``now``, each with its probability.

    A moment is like this one if it was as long since the last query then. What came within the
    horizon after each of those is counted; for where there are few of them, the pace of the last
    horizon counts as one more, with at least one query and no more than there were.

    :param times: of queries, sorted; those after ``now`` do not count, for a clock may have jumped.
    """
    end = bisect_right(times, now)
    idle = now - times[end - 1] if end else 0.0
    found = Counter([max(1, end - bisect_right(times, now - horizon) - 1)])
    for before in range(end - 1):
        then = times[before] + idle
        if then + horizon > now:
            break
        if then <= times[before + 1]:
            found[bisect_right(times, then + horizon) - before - 1] += 1
    whole = found.total()
    return [(many, moments / whole) for many, moments in sorted(found.items())]
