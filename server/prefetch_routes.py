"""``/api/v1/smart-prefetch``: the document's routes, with the data of the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import orjson

from ..errors import ConfigError
from ..prefetch.service import Prefetch
from .errors import Refused
from .prefetch_models import (
    By,
    ConfigChange,
    PrefetchSettings,
    Record,
    Recorded,
    Stats,
    Status,
    Warmup,
)

if TYPE_CHECKING:
    from fastapi import APIRouter

__all__ = ["PATH", "router"]

PATH = "/api/v1/smart-prefetch"

Ask = Literal["stats", "warmup", "status", "config"]
Tell = Literal["config", "record"]


def router(prefetch: Prefetch) -> APIRouter:
    """The routes over one folder of usage."""
    from fastapi import APIRouter, Response

    routes = APIRouter(tags=["smart-prefetch"])

    def answer(found: Any) -> Response:
        return Response(orjson.dumps(found), media_type="application/json")

    async def ask(action: Ask = "status", by: By | None = None) -> Any:
        """Usage, predictions, and what is cached.

        `stats`: usage and predictions. `warmup`: fetch what will be wanted. `status`: hits and
        what is cached. `config`: the settings. `by`: who predicts; without it, the document's
        formula for `stats`, and for `warmup` whom the server was started with (the ensemble).
        """
        match action:
            case "stats":
                return answer(await prefetch.stats(by or "document"))
            case "warmup":
                return answer(await prefetch.warmup(by))
            case "status":
                return answer(await prefetch.status())
            case "config":
                return answer(await prefetch.config())

    async def tell(action: Tell, body: ConfigChange | Record) -> Any:
        """Change settings, or record a query.

        `config`: settings to change. `record`: a query that was made.
        """
        match action, body:
            case "record", Record():
                found = await prefetch.record(body.ticker, body.module, hit=body.hit)
            case "config", ConfigChange():
                try:
                    found = await prefetch.config(body.model_dump(exclude_unset=True))
                except ConfigError as error:
                    raise Refused(422, f"body.{error}") from None
            case "record", _:
                raise Refused(422, "body: action=record needs ticker, module and hit")
            case _:
                raise Refused(422, "body: action=config takes settings, not a query")
        return answer(found)

    routes.add_api_route(
        PATH,
        ask,
        methods=["GET"],
        response_model=None,
        responses={200: {"model": Stats | Warmup | Status | PrefetchSettings}},
    )
    routes.add_api_route(
        PATH,
        tell,
        methods=["POST"],
        response_model=None,
        responses={200: {"model": PrefetchSettings | Recorded}},
    )
    return routes
