"""The narrator behind real HTTP: a small Messages API server on loopback.

It is a grammar and not a language model: use it to try, test and measure the pipeline with the
real SDK, real server-sent events and real cancellation, never to judge the quality of prose.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

from .app import MAX_BODY, NarratorApp, Scope, ServerMissing
from .engine import Engine
from .faults import Faults
from .profiles import Profile

__all__ = ["MAX_BODY", "NarratorApp", "ServerMissing", "running", "serve"]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With the protocol named, asyncio turns Nagle's delay off on what it accepts: 40 ms a request.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except (OSError, OverflowError) as error:
        sock.close()
        raise OSError(
            f"cannot listen on {host}:{port}: {error}; choose another --port, or 0 for any"
        ) from None
    sock.setblocking(False)
    return sock


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
    if not key and not _is_loopback(host):
        raise ValueError(f"{host} is not loopback: give --key, so that not everyone can use it")
    try:
        import uvicorn
    except ImportError:
        raise ServerMissing(
            'the narrator\'s server needs: pip install "foretell[server]"'
        ) from None

    class Server(uvicorn.Server):
        """Ends when told to, without polling; leaves signals to the program it runs in."""

        def __init__(self, config: uvicorn.Config) -> None:
            super().__init__(config)
            self.ready, self.stop = asyncio.Event(), asyncio.Event()

        @contextlib.contextmanager
        def capture_signals(self) -> Any:
            yield

        async def main_loop(self) -> None:
            self.ready.set()
            await self.stop.wait()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            for server in self.servers:
                server.close()
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            while self.server_state.tasks:
                await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
            for server in self.servers:
                await server.wait_closed()

    def hang_up(scope: Scope) -> None:
        for connection in list(server.server_state.connections):
            if getattr(connection, "scope", None) is scope:
                connection.transport.close()

    app = NarratorApp(engine or Engine(profile, seed, clock), key, hang_up)
    with _bound(host, port) as sock:
        server = Server(
            uvicorn.Config(
                app, http="h11", ws="none", lifespan="off", log_config=None, access_log=False,
                date_header=False, server_header=False, timeout_keep_alive=75,
            )
        )  # fmt: skip
        task = asyncio.create_task(server.serve([sock]), name="narrator")
        try:
            ready = asyncio.create_task(server.ready.wait())
            try:
                await asyncio.wait((ready, task), return_when=asyncio.FIRST_COMPLETED)
            finally:
                ready.cancel()
            if task.done():
                task.result()
            shown = f"[{host}]" if ":" in host else host
            yield f"http://{shown}:{sock.getsockname()[1]}"
        finally:
            server.stop.set()
            await task


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
