"""The narrator in process: a model without HTTP, for virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..messages_api import body_of
from ..models import (
    Delta,
    ModelBadRequest,
    ModelError,
    ModelEvent,
    ModelNotFound,
    ModelOverloaded,
    Request,
    Stop,
    Usage,
)
from .engine import Begun, Ended, Engine
from .wire import ApiError, read_body

__all__ = ["NarratorModel"]


class NarratorModel:
    """Answers from an :class:`Engine` on the running loop's clock, as its server would.

    Closing a stream frees its slot at once. Raises the same :class:`ModelError` as a refused HTTP
    request would.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def __repr__(self) -> str:
        return f"NarratorModel({self.engine!r})"

    async def stream(self, request: Request) -> AsyncGenerator[ModelEvent, None]:
        """The answer's events, each at its time."""
        kind = "json" if request.tool is not None else "text"
        begun = Begun("", 0, 0, 0)
        try:
            ask = read_body(body_of(request))
            async with aclosing(self.engine.generate(ask)) as answer:
                async for event in answer:
                    if event.__class__ is str:
                        yield Delta(event, kind)  # type: ignore[arg-type]
                    elif isinstance(event, Begun):
                        begun = event
                        yield Usage(event.input, 1, event.cache_read, event.cache_write)
                    elif isinstance(event, Ended):
                        yield Usage(
                            begun.input,
                            event.output,
                            begun.cache_read,
                            begun.cache_write,
                            final=True,
                        )
                        yield Stop(event.reason)
        except ApiError as error:
            raise _model_error(error) from None

    async def aclose(self) -> None:
        """Nothing to close: streams close themselves."""


def _model_error(error: ApiError) -> ModelError:
    message = f"the narrator answers: {error.message}"
    if error.status == 429:
        return ModelOverloaded(message, error.retry_after)
    return (ModelNotFound if error.status == 404 else ModelBadRequest)(message)
