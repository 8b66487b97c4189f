"""What warm-ups have fetched, for who wants it: a look-up that records itself.

from foretell.prefetch.cached import cached
price = cached("AAPL", "price")
if price is None:
    price = fetch("AAPL", "price")
"""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import orjson

from ..operators.hours import Hours
from . import FOLDER, record_query
from .config import PrefetchConfig, zone_of
from .fetch import CACHE, file_of

__all__ = ["cached"]


def cached(
    ticker: str,
    module: str,
    *,
    at: float | None = None,
    folder: str | os.PathLike[str] = FOLDER,
    default: Any = None,
) -> Any:
    """What a warm-up of this day has fetched, or ``default``; it is recorded as a hit or as a miss.

    The day is that of the configuration's zone. A file that is damaged is a miss.

    :param at: seconds since 1970, UTC; default: now.
    :param default: tells what is not there from a ``null`` that was fetched, which is ``None``.
    :raises UsageError, ConfigError: as :func:`~foretell.prefetch.record_query`.
    """
    now = time.time() if at is None else at
    zone = zone_of(PrefetchConfig.load(os.fspath(folder)).zone)
    name = file_of((ticker, module), f"{Hours(zone).local(now):%Y%m%d}")
    try:
        found, hit = orjson.loads(Path(folder, CACHE, name).read_bytes()), True
    except (OSError, orjson.JSONDecodeError):
        found, hit = default, False
    record_query(ticker, module, hit, at=now, folder=folder)
    return found
