"""The configuration of prefetching, in the document's schema: ``prefetch_config.json``."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, tzinfo
from itertools import count
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from ..errors import ConfigError
from ..operators.hours import HOUR_WEIGHTS, hour_weights
from ..streams.log_lock import LogLock
from ..streams.log_read import LogError
from ..whatif import target

__all__ = ["PrefetchConfig", "alone", "zone_of"]

NAME = "prefetch_config.json"

TRIES, PAUSE = 200, 0.05
"""So often, and so many seconds apart, it is tried whether nobody else changes it any more."""


class PrefetchConfig(BaseModel):
    """What is fetched ahead.

    ``top_n``: at most so many keys. ``min_confidence``: only what is needed with at least this
    probability within ``horizon`` seconds. ``hour_weights``: how much each period counts in the
    document's score. ``zone``: whose hours they are, such as ``Europe/Berlin``. ``max_days`` and
    ``max_queries``: what is kept of the history; older queries stay in the totals.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    top_n: int = Field(default=15, ge=1, le=1000)
    min_confidence: float = Field(default=0.6, ge=0, le=1)
    enabled: bool = True
    hour_weights: dict[str, float] = Field(default_factory=lambda: dict(HOUR_WEIGHTS))
    horizon: float = Field(default=900.0, gt=0, le=31_536_000)
    zone: str = "UTC"
    max_days: float = Field(default=365.0, gt=0, le=36_500)
    max_queries: int = Field(default=100_000, ge=1, le=10_000_000)

    @field_validator("hour_weights")
    @classmethod
    def _periods(cls, periods: dict[str, float]) -> dict[str, float]:
        hour_weights(periods)
        return periods

    @field_validator("zone")
    @classmethod
    def _zone(cls, name: str) -> str:
        zone_of(name)
        return name

    @classmethod
    def load(cls, folder: str) -> PrefetchConfig:
        """The configuration in a folder; the defaults, if there is none.

        :raises ConfigError: for a file that cannot be used.
        """
        path = os.path.join(folder, NAME)
        try:
            content = Path(path).read_bytes()
        except FileNotFoundError:
            return cls()
        except OSError as error:
            raise ConfigError(f"{path}: {error.strerror}") from None
        try:
            return cls.of(orjson.loads(content))
        except (orjson.JSONDecodeError, ConfigError) as error:
            raise ConfigError(f"{path}: {error}; mend it, or move it away") from None

    @classmethod
    def of(cls, values: Any) -> PrefetchConfig:
        """A configuration from plain JSON.

        :raises ConfigError: for a setting that is unknown, or out of range.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"]) or "configuration"
            reason = first["msg"].removeprefix("Value error, ")
            raise ConfigError(f"{name}: {reason}") from None

    def changed(self, changes: Mapping[str, Any]) -> PrefetchConfig:
        """The same with some settings of it changed.

        :raises ConfigError: for a setting that is unknown, or out of range.
        """
        return self.of({**self.model_dump(), **changes})

    def save(self, folder: str) -> str | None:
        """Write it; what stood there and was no configuration is set aside, and named.

        :raises LogError: if the disk refuses it.
        """
        os.makedirs(folder, exist_ok=True)
        path, aside = os.path.join(folder, NAME), None
        try:
            self.load(folder)
        except ConfigError:
            aside = next(name for n in count(1) if not os.path.lexists(name := f"{path}.aside-{n}"))
            os.rename(path, aside)
        target.write(path, orjson.dumps(self.as_json(), option=orjson.OPT_INDENT_2))
        return aside

    def as_json(self) -> dict[str, Any]:
        """The document's four settings, and of the others those that are not the default."""
        more = self.model_dump(exclude_defaults=True)
        own = ("top_n", "min_confidence", "enabled", "hour_weights")
        return {**{name: getattr(self, name) for name in own}, **more}


@contextmanager
def alone(folder: str) -> Iterator[None]:
    """While nobody else changes the configuration of a folder; it waits for those who do.

    :raises ConfigError: if they come to no end, or the disk refuses it.
    """
    path, tries = os.path.join(folder, NAME), count(1)
    try:
        os.makedirs(folder, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{folder}: {error.strerror}") from None
    while True:
        try:
            lock = LogLock(path)
            break
        except LogError as error:
            if next(tries) == TRIES:
                raise ConfigError(f"{path}: {error.reason.partition(';')[0]}") from None
        time.sleep(PAUSE)
    try:
        yield
    finally:
        lock.release()


def zone_of(name: str) -> tzinfo:
    """A time zone by its name.

    :raises ValueError: if there is none of this name on this machine.
    """
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):
        hint = "such as Europe/Berlin; on Windows they come with the package tzdata"
        raise ValueError(f"{name[:60]!r} is no time zone here: choose one {hint}") from None
