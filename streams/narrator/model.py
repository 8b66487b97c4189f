"""The narrator in process: a model without HTTP, for virtual time."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..messages_api import body_of
from ..models import (
    Block,
    BlockEnd,
    Delta,
    ModelBadRequest,
    ModelCut,
    ModelError,
    ModelEvent,
    ModelNotFound,
    ModelOverloaded,
    ModelProtocolError,
    ModelUnavailable,
    Request,
    Stop,
    Usage,
)
from .engine import Begun, Ended, Engine
from .faults import CutOff, Silent
from .wire import REFUSAL, ApiError, read_body

__all__ = ["NarratorModel"]


class NarratorModel:
    """Answers from an :class:`Engine` on the running loop's clock, as its server would.

    Closing a stream frees its slot at once. Raises the same :class:`ModelError` as the door to the
    engine's server would, whatever goes wrong.

    :param timeout: seconds of a fault's silence after which an answer is given up.
    """

    def __init__(self, engine: Engine, timeout: float = 60.0) -> None:
        self.engine = engine
        self._timeout = timeout

    def __repr__(self) -> str:
        return f"NarratorModel({self.engine!r})"

    async def stream(
        self, request: Request, ahead: float = 0.0
    ) -> AsyncGenerator[ModelEvent, None]:
        """The answer's events, each at its time.

        :param ahead: answer as if it had been asked so many seconds before.
        :raises ModelError: one of its kinds, for what the engine refuses and for its faults.
        """
        begun: Begun | None = None
        said = False
        try:
            ask = read_body(body_of(request))
            async with aclosing(self.engine.generate(ask, self._timeout, ahead)) as answer:
                async for event in answer:
                    if isinstance(event, Delta):
                        said = True
                        yield event
                    elif isinstance(event, (Block, BlockEnd)):
                        yield event
                    elif isinstance(event, Begun):
                        begun = event
                        yield Usage(event.input, 1, event.cache_read, event.cache_write)
                    elif isinstance(event, Ended):
                        assert begun is not None
                        yield Usage(
                            begun.input,
                            event.output,
                            begun.cache_read,
                            begun.cache_write,
                            final=True,
                        )
                        refused = event.reason == "refusal"
                        yield Stop(event.reason, REFUSAL["explanation"] if refused else "")
                    else:
                        flaw = "the stream has an event that is not JSON"
                        raise _cut(flaw) if said else ModelProtocolError(flaw)
            if begun is None:
                raise ModelProtocolError("the narrator's answer is empty")
        except ApiError as error:
            raise _model_error(error, said) from None
        except CutOff:
            flaw = "the narrator closed the connection before it answered"
            raise _cut(_DIED) if said else ModelUnavailable(flaw) from None
        except Silent:
            flaw = "the narrator did not answer in time"
            raise _cut(_DIED) if said else ModelUnavailable(flaw) from None

    async def aclose(self) -> None:
        """Nothing to close: streams close themselves."""


_DIED = "the narrator's stream died before its end"


def _cut(what: str) -> ModelCut:
    return ModelCut(f"{what}; what came before it is usable")


def _model_error(error: ApiError, said: bool) -> ModelError:
    if said:
        return _cut(f"the narrator broke off ({error.kind}): {error.message}")
    message = f"the narrator answers: {error.message}"
    if error.status in (429, 500, 529):
        return ModelOverloaded(message, error.retry_after)
    return (ModelNotFound if error.status == 404 else ModelBadRequest)(message)
