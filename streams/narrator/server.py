"""The narrator behind real HTTP: a small Messages API server on loopback.

It is a grammar and not a language model: use it to try, test and measure the pipeline with the
real SDK, real server-sent events and real cancellation, never to judge the quality of prose.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from ..listener import Listener, ServerMissing, is_loopback
from .app import MAX_BODY, NarratorApp
from .engine import Engine
from .faults import Faults
from .profiles import Profile

__all__ = ["MAX_BODY", "NarratorApp", "ServerMissing", "running", "serve"]


@asynccontextmanager
async def running(
    profile: Profile,
    seed: int = 0,
    host: str = "127.0.0.1",
    port: int = 0,
    key: str | None = None,
    *,
    clock: Callable[[], float] | None = None,
    engine: Engine | None = None,
) -> AsyncGenerator[str, None]:
    """A narrator server in the running loop, for as long as the block lasts; yields its URL.

    On leaving, open connections are closed at once and everything started is awaited.

    :param key: demanded of every request where it is given.
    :param engine: an engine of the caller's, to read its accounts; then ``profile``, ``seed`` and
        ``clock`` are not used.
    :raises ServerMissing: when the server's packages are not installed.
    :raises ValueError: for an address other than loopback without a key.
    :raises OSError: when the port is taken.
    """
    if not key and not is_loopback(host):
        raise ValueError(f"{host} is not loopback: give --key, so that not everyone can use it")
    listener = Listener("the narrator's server")
    app = NarratorApp(engine or Engine(profile, seed, clock), key, listener.hang_up)
    async with listener.serving(app, host, port) as url:
        yield url


async def serve(
    profile: Profile,
    seed: int = 0,
    host: str = "127.0.0.1",
    port: int = 0,
    key: str | None = None,
    *,
    announce: Callable[[str], None],
    clock: Callable[[], float] | None = None,
    faults: Faults | None = None,
) -> None:
    """Run the narrator's server until cancelled.

    :param announce: called once with the URL, when it accepts connections.
    :param clock: what accounts are stamped with; ``time.monotonic`` lets another process compare.
    :param faults: how likely what goes wrong.
    :raises ServerMissing, ValueError, OSError: as :func:`running`.
    """
    engine = Engine(profile, seed, clock, faults=faults or Faults())
    async with running(profile, seed, host, port, key, engine=engine) as url:
        announce(url)
        await asyncio.get_running_loop().create_future()
