"""The application: routes, their OpenAPI schema, and errors of one shape."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from .. import __version__
from ..errors import ForetellError
from ..prefetch.service import Prefetch
from ..streams.listener import ServerMissing
from .errors import ErrorBody, Refused, sentence
from .guard import FAULT

if TYPE_CHECKING:
    from fastapi import FastAPI

__all__ = ["create"]

log = logging.getLogger("foretell")

ERRORS = {
    400: "the body is no JSON",
    401: "the token is missing or wrong",
    403: "a page of another origin asks, or by another name",
    408: "the body comes too slowly",
    413: "the body is too large",
    415: "the body is not said to be JSON",
    422: "a value is not what it must be",
    500: "it failed here",
    503: "it took too long",
}


class Health(BaseModel):
    """It is there."""

    status: Literal["ok"]


def create(prefetch: Prefetch) -> FastAPI:
    """The ASGI application. It lets in everyone: put a :class:`~.guard.Guard` before it.

    :param prefetch: the folder of usage behind the document's routes.
    :raises ServerMissing: when the server's packages are not installed.
    """
    try:
        from fastapi import FastAPI
        from fastapi.exceptions import RequestValidationError
        from starlette.exceptions import HTTPException
        from starlette.responses import JSONResponse
    except ImportError:
        raise ServerMissing('foretell serve needs: pip install "foretell[server]"') from None
    from .docs_page import page
    from .prefetch_routes import router

    def said(refused: Refused) -> JSONResponse:
        return JSONResponse(refused.body(), refused.status, refused.headers)

    async def not_valid(request: Any, error: Exception) -> JSONResponse:
        assert isinstance(error, RequestValidationError)
        return said(Refused(422, sentence(_of_action(error.errors(), request))))

    async def not_there(request: Any, error: Exception) -> JSONResponse:
        assert isinstance(error, HTTPException)
        what = f"{request.method} {request.url.path}: {error.detail}"
        headers = dict(error.headers or {})
        if error.status_code == 405:  # starlette names the methods of one route alone
            known = app.openapi()["paths"].get(request.url.path, {"get": None})
            headers["Allow"] = ", ".join(method.upper() for method in known)
        return said(Refused(error.status_code, what, headers))

    async def refused(request: Any, error: Exception) -> JSONResponse:
        assert isinstance(error, Refused)
        return said(error)

    async def failed(request: Any, error: Exception) -> JSONResponse:
        log.error("%s: %s", request.url.path, error)
        return said(Refused(500, str(error)))

    async def fault(request: Any, error: Exception) -> JSONResponse:
        return said(Refused(500, FAULT))  # the guard says which

    async def healthz() -> Any:
        """Whether it is there. Asks for no token."""
        return {"status": "ok"}

    app = FastAPI(
        title="Foretell",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        responses={status: {"description": d, "model": ErrorBody} for status, d in ERRORS.items()},
        exception_handlers={
            RequestValidationError: not_valid,
            HTTPException: not_there,
            Refused: refused,
            ForetellError: failed,
            Exception: fault,
        },
    )
    app.add_api_route("/healthz", healthz, methods=["GET"], response_model=Health)
    app.include_router(router(prefetch))
    page(app)
    return app


def _of_action(errors: Any, request: Any) -> Any:
    """Of a body that is none of two models: what the model of the action asked for says."""
    model = {"config": "ConfigChange", "record": "Record"}.get(request.query_params.get("action"))
    found = []
    for each in errors:
        where = each["loc"]
        if where[0] == "body" and len(where) > 1 and where[1] in {"ConfigChange", "Record"}:
            if model in {None, where[1]}:
                found.append({**each, "loc": ("body", *where[2:])})
        else:
            found.insert(0, each)
    return found or errors
