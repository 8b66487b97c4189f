"""The settings of prefetching: the section ``schedule``, with the document's names and defaults."""

from __future__ import annotations

from typing import Any

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)

__all__ = ["Scheduling", "no_truth"]

WITHIN = {
    "max_background_pending": "max_background_queue",
    "max_concurrent_eager": "max_concurrent_fetches",
}
"""What is a part of what; a default is no more than what is said of the whole."""


def no_truth(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    """``value``; for a field validator of all fields, before any other.

    :raises ValueError: for a bool where none is meant; as a number it would be 0 or 1.
    """
    if isinstance(value, bool) and cls.model_fields[str(info.field_name)].annotation is not bool:
        raise ValueError(f"{str(value).lower()} is neither a number nor a text")
    return value


class Scheduling(BaseModel):
    """How much is fetched ahead, by whom, and for how long it is tried.

    Times are in milliseconds where the name says so. ``max_immediate_time_ms``: how long what
    starts may be held up. ``max_eager_time_ms``, ``max_background_time_ms``: how long such a fetch
    may take. ``background_start_delay_ms``: what runs in the background begins so much later.
    ``time_budget_ms``: what all fetches of a round may take, one after the other.

    ``max_prefetch_tokens``: uncached input and output of one planning round.
    ``max_concurrent_fetches``: of all together; ``max_concurrent_eager``: of eager ones, by default
    no more than of all.
    ``max_background_tokens``, ``max_background_pending``: what is under way or next in the
    background, by default no more than the queue; ``max_background_queue``: all that waits there,
    what is more is dropped.

    ``min_confidence_for_prefetch``: less likely items are left. ``min_confidence_for_immediate``:
    less likely ones are fetched in the background. ``min_confidence_for_variants``: actions that
    are less likely are not prepared; by default it is the intensity that says which are.
    ``enable_batch_fetching``: what is alike is
    asked for in one call. ``enable_speculative_prefetch``: without it only what is certain is
    fetched. ``cancel_on_context_change``: what belonged to another context is cancelled.
    ``unused_seconds``: what was fetched in the background is dropped if nobody has used it.
    ``unavailable_seconds``: what could not be had is not asked for again so soon.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_immediate_time_ms: float = Field(default=100.0, gt=0, le=60_000)
    max_eager_time_ms: float = Field(default=500.0, gt=0, le=600_000)
    max_background_time_ms: float = Field(default=2_000.0, gt=0, le=3_600_000)
    background_start_delay_ms: float = Field(default=50.0, ge=0, le=60_000)
    time_budget_ms: float = Field(default=2_000.0, ge=0, le=86_400_000)

    max_prefetch_tokens: int = Field(default=10_000, ge=0, le=1_000_000_000)
    max_concurrent_fetches: int = Field(default=8, ge=1, le=256)
    max_concurrent_eager: int = Field(default=5, ge=1, le=256)
    max_background_tokens: int = Field(default=5_000, ge=0, le=1_000_000_000)
    max_background_pending: int = Field(default=10, ge=1, le=1_000)
    max_background_queue: int = Field(default=20, ge=1, le=10_000)

    min_confidence_for_prefetch: float = Field(default=0.5, ge=0, le=1)
    min_confidence_for_immediate: float = Field(default=0.8, ge=0, le=1)
    min_confidence_for_variants: float = Field(default=0.0, ge=0, le=1)

    enable_batch_fetching: bool = True
    enable_speculative_prefetch: bool = True
    cancel_on_context_change: bool = True

    unused_seconds: float = Field(default=30.0, gt=0, le=86_400)
    unavailable_seconds: float = Field(default=30.0, ge=0, le=86_400)

    _numbers = field_validator("*", mode="before")(no_truth)

    @model_validator(mode="after")
    def _consistent(self) -> Scheduling:
        for part, whole in WITHIN.items():
            own, limit = getattr(self, part), getattr(self, whole)
            if own > limit and part in self.model_fields_set:
                raise ValueError(f"{part} is {own}, more than {whole}, {limit}")
            object.__setattr__(self, part, min(own, limit))
        return self
