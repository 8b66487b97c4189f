"""A model whose requests are spans of OpenTelemetry."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from .models import Delta, Model, ModelEvent, Request, Stop, Usage

__all__ = ["TracedModel"]


class TracedModel:
    """Opens a span for each request, and has it be the current one while the model answers.

    What the SDK and HTTP report themselves is then within it. The span is named for the purpose
    (``foretell plan``), ends with the stream, and has the model, the tokens, the reason of the end,
    and an event at the first token. One that is closed early says so and is no error. No text of a
    prompt or an answer is in it.

    :param tracer: an OpenTelemetry tracer.
    """

    def __init__(self, model: Model, tracer: Any) -> None:
        self._model = model
        self._tracer = tracer

    @property
    def endpoint(self) -> Any:
        """See :func:`~foretell.streams.gate.gate_to`."""
        return getattr(self._model, "endpoint", None)

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """See :class:`~foretell.streams.models.Model`."""
        about = {
            "gen_ai.operation.name": "chat",
            "gen_ai.request.model": request.model,
            "gen_ai.request.max_tokens": request.max_tokens,
            "foretell.purpose": str(request.purpose),
        }
        began = False
        with self._tracer.start_as_current_span(
            f"foretell {request.purpose}", attributes=about
        ) as span:
            try:
                async with aclosing(self._model.stream(request)) as events:
                    async for event in events:
                        if isinstance(event, Delta) and not began:
                            began = True
                            span.add_event("first token")
                        elif isinstance(event, Usage):
                            _tell(span, "gen_ai.usage.input_tokens", event.input)
                            _tell(span, "gen_ai.usage.output_tokens", event.output)
                        elif isinstance(event, Stop):
                            span.set_attribute("gen_ai.response.finish_reasons", [event.reason])
                        yield event
            except (asyncio.CancelledError, GeneratorExit):
                span.set_attribute("foretell.closed", True)
                raise

    async def warm(self) -> None:
        """Let the model behind it do what takes long the first time."""
        warm = getattr(self._model, "warm", None)
        if warm is not None:
            await warm()

    async def aclose(self) -> None:
        """Close the model behind it."""
        await self._model.aclose()


def _tell(span: Any, name: str, value: int | None) -> None:
    if value is not None:
        span.set_attribute(name, value)
