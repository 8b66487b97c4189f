"""For servers that cannot do structured output: ask again, in plain text."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from .models import Model, ModelBadRequest, ModelEvent, Request

__all__ = ["PlainFallback"]


class PlainFallback:
    """A model that leaves the schema out once the server has refused a request that had one.

    What is asked again was refused before its first token, so nothing is paid twice.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._plain: dict[str, None] = {}

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """See :class:`~foretell.streams.models.Model`."""
        if request.schema is not None and request.model not in self._plain:
            begun = False
            try:
                async with aclosing(self._model.stream(request)) as events:
                    async for event in events:
                        begun = True
                        yield event
                return
            except ModelBadRequest:
                if begun:
                    raise
        plain = replace(request, schema=None)
        async with aclosing(self._model.stream(plain)) as events:
            async for event in events:
                if request.schema is not None:
                    self._plain[request.model] = None
                yield event

    async def aclose(self) -> None:
        """Close the model behind it."""
        await self._model.aclose()
