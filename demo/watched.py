"""A model that can be watched: what is being written ahead, what is ready, what was closed."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from ..streams.models import Model, ModelEvent, Purpose, Request
from ..streams.narrator.facts import find_facts

__all__ = ["Draft", "Stage", "Watched"]


class Stage(StrEnum):
    """How far a draft has come."""

    WRITING = "writing"
    READY = "ready"
    CLOSED = "closed"


@dataclass(slots=True)
class Draft:
    """A variant as the model was asked for it."""

    action: str
    target: str
    result: str
    stage: Stage = Stage.WRITING


class Watched:
    """Passes everything on to ``model``, and keeps a list of what was asked for ahead."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self.drafts: list[Draft] = []

    @property
    def writing(self) -> int:
        """How many drafts are being written."""
        return sum(draft.stage is Stage.WRITING for draft in self.drafts)  # ints

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """See :class:`~foretell.streams.models.Model`."""
        draft = _draft(request)
        if request.purpose is Purpose.PREFETCH:
            self.drafts.append(draft)
        try:
            async with aclosing(self._model.stream(request)) as events:
                async for event in events:
                    yield event
            draft.stage = Stage.READY
        finally:
            if draft.stage is Stage.WRITING:
                draft.stage = Stage.CLOSED

    async def aclose(self) -> None:
        """Nothing: who made the model closes it."""


def _draft(request: Request) -> Draft:
    facts = find_facts(request.messages[-1].text) or {}
    fact: dict[str, Any] = next(iter(facts.get("tellings", ())), {})
    action = fact.get("action", {}).get("name", "")
    return Draft(action, fact.get("target", ""), fact.get("result", ""))
