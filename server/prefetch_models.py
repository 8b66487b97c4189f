"""The JSON of the document's routes, for their OpenAPI schema and for what clients send."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from ..operators.hours import HEAVIEST
from ..sinks.usage_store import LONGEST

__all__ = [
    "By", "ConfigChange", "PrefetchSettings", "Record", "Recorded", "Stats", "Status", "Warmup",
]  # fmt: skip

By = Literal["document", "ensemble"]
Word = Annotated[str, Field(min_length=1, max_length=LONGEST)]
Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0)]
Weight = Annotated[float, Field(ge=0, le=HEAVIEST)]
Period = Annotated[str, Field(pattern=r"^\d{1,2}-\d{1,2}$")]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class Record(_Model):
    """A query that was made: what it was about, what was wanted of it, whether it was cached."""

    ticker: Word
    module: Word
    hit: bool


class ConfigChange(_Model):
    """Settings to change; what is not there stays. They mean what ``prefetch-config`` says."""

    top_n: int = Field(default=15, ge=1, le=1000)
    min_confidence: Share = 0.6
    enabled: bool = True
    hour_weights: dict[Period, Weight] = Field(default_factory=dict)
    zone: str = Field(default="UTC", max_length=60)
    horizon: float = Field(default=900.0, gt=0, le=31_536_000)


class PrefetchSettings(_Model):
    """The configuration; of the last four settings those that are not the default."""

    top_n: int
    min_confidence: Share
    enabled: bool
    hour_weights: dict[str, float]
    zone: str = "UTC"
    horizon: float = 900.0
    max_days: float = 365.0
    max_queries: int = 100_000


class Recorded(_Model):
    """What was recorded, at seconds since 1970, and what all records come to."""

    ticker: str
    module: str
    hit: bool
    at: float
    total_queries: Count
    hit_rate: Share


class Status(_Model):
    """Hits of all queries, and what lies in the cache."""

    enabled: bool
    cache_hits: Count
    cache_misses: Count
    total_queries: Count
    hit_rate: Share
    cached_items: Count
    cached_bytes: Count


class _Wanted(_Model):
    ticker: str
    module: str
    needed: Share = Field(description="the probability to be wanted within the horizon")


class _Failed(_Model):
    ticker: str
    module: str
    error: str


class Warmup(_Model):
    """What will be wanted, what of it was fetched into which file, and what could not be."""

    by: By
    enabled: bool
    wanted: list[_Wanted]
    fetched: list[str]
    failed: list[_Failed]


class _Prediction(_Model):
    ticker: str
    module: str
    score: float
    probability: Share = Field(description="the probability to be the next query")
    needed: Share = Field(description="the probability to be wanted within the horizon")


class _Row(_Model):
    predictions: Count
    mean: Share
    came: Share


class _Accuracy(_Model):
    """How good predictions of the newest queries were; ``events`` alone, if there are none."""

    events: Count
    top1: Share = 0
    top3: Share = 0
    coverage: Share = 0
    log_loss: float = 0
    brier: float = 0
    calibration_error: float = 0
    reliability: list[_Row] = []


class Stats(_Model):
    """What was asked for, when, what comes next, and how good such predictions were."""

    by: By
    hour: Annotated[int, Field(ge=0, le=23)]
    day_of_week: Annotated[int, Field(ge=0, le=6, description="0 is Monday")]
    weight: float
    total_queries: Count
    cache_hits: Count
    cache_misses: Count
    hit_rate: Share
    top_tickers: list[tuple[str, int]]
    top_modules: list[tuple[str, int]]
    predictions: list[_Prediction]
    pace: float
    new: Share = Field(description="the probability that the next query is one never seen before")
    accuracy: _Accuracy
    needed_accuracy: list[_Row]
