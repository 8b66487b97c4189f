"""The settings of budgets: the section ``budget``."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from .schedule_settings import no_truth

__all__ = ["Budgeting"]


class Budgeting(BaseModel):
    """Hard caps, in tokens (output and uncached input) and in dollars at list price.

    ``turn_…``: of one turn of a session; ``session_…``: of a session, earlier sittings included;
    ``owner_…``: of all sessions that :meth:`foretell.Game.session` was given the same ``owner``
    for; ``process_…``: of all sessions of the game; ``hour_…``: of these, in the last hour. Before
    a stream is opened, the most it may cost must fit beside all that is under way. A model without
    a price counts as the dearest there is. ``foreground``: whether what a player waits for is
    refused as well, and the fallback text told; else it counts, and is told whatever it costs.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    turn_tokens: int | None = Field(default=None, ge=0)
    turn_usd: float | None = Field(default=None, ge=0)
    session_tokens: int | None = Field(default=None, ge=0)
    session_usd: float | None = Field(default=None, ge=0)
    owner_tokens: int | None = Field(default=None, ge=0)
    owner_usd: float | None = Field(default=None, ge=0)
    process_tokens: int | None = Field(default=None, ge=0)
    process_usd: float | None = Field(default=None, ge=0)
    hour_tokens: int | None = Field(default=None, ge=0)
    hour_usd: float | None = Field(default=None, ge=0)
    foreground: bool = False

    _numbers = field_validator("*", mode="before")(no_truth)
