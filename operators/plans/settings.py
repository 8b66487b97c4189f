"""The section of settings that is about plans."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ..schedule_settings import no_truth
from .types import Tier

__all__ = ["Plans"]


class Plans(BaseModel):
    """How plans are made. Times are in seconds.

    ``tier``: how long a prompt is. ``tools``: which of the tools that ship, where the game has none
    of its own. ``transport``: whether a plan is asked for as structured output or as the call of a
    tool. ``streaming``: whether steps are taken as they close, or when the answer is whole.
    ``deadline``: when a plan ends, with what is complete. ``first``: whether a step by rules is
    given at once, before the model's. ``streams``: requests for plans that a session has open at
    the same time; what is asked beyond that waits its turn, and is then asked for together, so many
    agents in one: ``batch_size`` (1: never). ``batch_wait``: how long who was queued waits for
    others. ``max_steps``: of one plan.
    ``longer_below``: of the steps of ``window`` answers so many have to be such as can be done,
    else plans begin with the next longer prompt. ``ab``: prompts that take turns instead, to be
    compared. ``max_tokens``: of an answer. ``retries``: of a request that the server had no room
    for. ``max_snapshot_bytes``: the largest snapshot, as JSON. ``cache_size``: plans that are kept
    for agents who see nearly the same (0: none), for ``cache_ttl`` seconds; places may differ by
    ``cache_tolerance``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    tier: Tier = Tier.SIMPLIFIED
    tools: Literal["core", "full"] = "core"
    transport: Literal["schema", "tool"] = "schema"
    streaming: bool = True
    deadline: float = Field(default=10.0, gt=0, le=600)
    first: bool = True
    streams: int = Field(default=4, ge=1, le=64)
    batch_size: int = Field(default=10, ge=1, le=20)
    batch_wait: float = Field(default=0.005, ge=0, le=10)
    longer_below: float = Field(default=0.85, ge=0, le=1)
    window: int = Field(default=20, ge=1, le=1000)
    ab: tuple[Tier, ...] = Field(default=(), max_length=3)
    max_steps: int = Field(default=5, ge=1, le=20)
    max_tokens: int = Field(default=300, ge=32, le=4000)
    retries: int = Field(default=2, ge=0, le=10)
    max_snapshot_bytes: int = Field(default=64 * 1024, ge=256, le=1024 * 1024)

    cache_size: int = Field(default=0, ge=0, le=10_000)
    cache_ttl: float = Field(default=60.0, gt=0, le=86_400)
    cache_tolerance: float = Field(default=2.0, ge=0, le=5)

    _numbers = field_validator("*", mode="before")(no_truth)
