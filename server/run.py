"""``foretell serve``: the application behind its guard, on a socket, until it is told to stop."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager

from ..errors import ConfigError
from ..prefetch.service import Prefetch
from ..streams.listener import Listener, is_loopback
from .app import create
from .guard import Guard, Limits
from .signals import told_to_stop

__all__ = ["running", "serve"]

DRAIN = 5.0
"""Seconds that requests may take to their end when the server stops."""


@asynccontextmanager
async def running(
    prefetch: Prefetch,
    host: str = "127.0.0.1",
    port: int = 0,
    token: str | None = None,
    *,
    names: Sequence[str] = (),
    limits: Limits | None = None,
) -> AsyncGenerator[str, None]:
    """A server in the running loop, for as long as the block lasts; yields its URL.

    On leaving, requests may come to their end for a few seconds, and all that was started is
    awaited.

    :param prefetch: is closed with it.
    :param token: demanded of every request where it is given.
    :param names: further host names by which it is reached.
    :raises ServerMissing: when the server's packages are not installed.
    :raises ConfigError: for an address other than loopback without a token, or a token that cannot
        be sent.
    :raises UsageError, ConfigError: for a folder that cannot be used.
    :raises OSError: when the port is taken.
    """
    loopback = is_loopback(host)
    if not token and not loopback:
        wrong = f"{host} is not loopback: give --token, or set FORETELL_TOKEN"
        raise ConfigError(f"{wrong}, so that not everyone can ask")
    if token is not None and not (token and token.isascii() and token.isprintable()):
        raise ConfigError("--token: must be of plain letters, digits and signs, and not empty")
    if token is not None and " " in token:
        raise ConfigError("--token: must have no spaces")
    known = {name.lower() for name in (*names, host)}
    guard = Guard(create(prefetch), token, loopback=loopback, names=known, limits=limits)
    try:
        async with Listener("foretell serve", DRAIN).serving(guard, host, port) as url:
            await prefetch.open()
            yield url
    finally:
        await prefetch.aclose()


async def serve(
    prefetch: Prefetch,
    host: str,
    port: int,
    token: str | None,
    names: Sequence[str],
    announce: Callable[[str], None],
) -> None:
    """Run the server until SIGINT or SIGTERM; a second one ends the process at once.

    :param announce: called once with the URL, when it accepts connections.
    :raises ServerMissing, ConfigError, OSError: as :func:`running`.
    """
    # What clients do wrong is answered to them, and of no interest to who runs it.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL + 1)
    with told_to_stop() as stop:
        async with running(prefetch, host, port, token, names=names) as url:
            announce(url)
            await stop.wait()
