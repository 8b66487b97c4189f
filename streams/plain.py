"""For servers that do not know all of the API: ask again, more plainly."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import orjson

from .models import Model, ModelBadRequest, ModelEvent, Request

__all__ = ["PlainFallback"]


MOST_FORMS = 64
"""So many forms of answers are remembered: of tellings, of plans, and of a few games' own."""


class PlainFallback:
    """A model that leaves out what its server refuses.

    First effort and thinking, then the eager streaming of tools too, then the schema as well.

    What worked is remembered per model name, and form of the answer: that one is refused says
    nothing of another. What is asked again was refused before its first token, so nothing is paid
    twice.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._level: dict[tuple[str, bytes], int] = {}

    @property
    def endpoint(self) -> Any:
        """See :func:`~foretell.streams.gate.gate_to`."""
        return getattr(self._model, "endpoint", None)

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """See :class:`~foretell.streams.models.Model`."""
        easier = replace(request, effort=None, thinking=None)
        plainer = replace(easier, tools=tuple(replace(t, eager=False) for t in request.tools))
        levels = (request, easier, plainer, replace(plainer, schema=None))
        form = request.model, _form(request)
        first = self._level.get(form, 0)
        for level in range(first, len(levels)):
            if level > first and levels[level] == levels[level - 1]:
                continue
            begun = False
            try:
                async with aclosing(self._model.stream(levels[level])) as events:
                    async for event in events:
                        begun = True
                        self._level[form] = level
                        if len(self._level) > MOST_FORMS:
                            del self._level[next(iter(self._level))]
                        yield event
            except ModelBadRequest:
                if begun or levels[level] == levels[-1]:
                    raise
            else:
                return

    async def warm(self) -> None:
        """Let the model behind it do what takes long the first time."""
        warm = getattr(self._model, "warm", None)
        if warm is not None:
            await warm()

    async def aclose(self) -> None:
        """Close the model behind it."""
        await self._model.aclose()


def _form(request: Request) -> bytes:
    """What of a request a server may refuse, short."""
    tools = [(tool.name, tool.schema) for tool in request.tools]
    form = orjson.dumps([request.schema, tools], default=repr, option=orjson.OPT_NON_STR_KEYS)
    return hashlib.blake2b(form, digest_size=8).digest()
