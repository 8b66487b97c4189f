"""What listens: an HTTP server in the running loop, for as long as a block lasts."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from ..errors import ForetellError

__all__ = ["HEAD", "App", "Listener", "Receive", "Scope", "Send", "ServerMissing", "is_loopback"]

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
"""An application, as ASGI has it."""


HEAD = 10.0
"""Seconds that the head of a request may take; then its connection is closed."""


class ServerMissing(ForetellError):
    """The optional server packages are not installed."""


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


class Listener:
    """An HTTP server, which leaves signals and logs to the program it runs in.

    :param what: whose server it is, for messages.
    :param drain: so many seconds requests may take to their end when it stops; then, or at once
        with 0, their connections are closed and they are cancelled.
    """

    def __init__(self, what: str, drain: float = 0.0) -> None:
        self._what = what
        self._drain = drain
        self._connections: set[Any] = set()

    def hang_up(self, scope: Scope) -> None:
        """Close the connection of a request in the midst of its answer."""
        for connection in list(self._connections):  # any order: one is meant
            if getattr(connection, "scope", None) is scope:
                connection.transport.close()

    @asynccontextmanager
    async def serving(self, app: App, host: str, port: int) -> AsyncGenerator[str, None]:
        """Serve ``app``; yields the URL. On leaving, all that was started is ended and awaited.

        :param port: 0 stands for any that is free.
        :raises ServerMissing: when the server's packages are not installed.
        :raises OSError: when the port is taken.
        """
        try:
            import h11
            import uvicorn
            from uvicorn.protocols.http.h11_impl import H11Protocol
        except ImportError:
            raise ServerMissing(f'{self._what} needs: pip install "foretell[server]"') from None
        drain = self._drain

        class Server(uvicorn.Server):
            """Ends when told to, without polling."""

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
                state = self.server_state
                for server in self.servers:
                    server.close()
                if drain and state.tasks:
                    for connection in list(state.connections):
                        connection.shutdown()
                    await asyncio.wait(list(state.tasks), timeout=drain)
                    for task in list(state.tasks):
                        task.cancel()
                for connection in list(state.connections):
                    connection.transport.abort()
                while state.tasks:
                    await asyncio.gather(*state.tasks, return_exceptions=True)
                for server in self.servers:
                    await server.wait_closed()

        class Protocol(H11Protocol):
            """Closes the connection of one that begins a request, or none, and dawdles."""

            late: asyncio.TimerHandle | None = None

            def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
                super().connection_made(transport)
                self.watch()

            def data_received(self, data: bytes) -> None:
                super().data_received(data)
                self.watch()

            def on_response_complete(self) -> None:
                super().on_response_complete()
                self.watch()

            def watch(self) -> None:
                first = self.cycle is None  # before the first request, whatever its type says
                begun = first or bool(self.conn.trailing_data[0])
                if self.conn.their_state is not h11.IDLE or not begun:
                    self.stop_watching()
                elif self.late is None:
                    self.late = self.loop.call_later(HEAD, self.transport.close)

            def stop_watching(self) -> None:
                if self.late is not None:
                    self.late.cancel()
                    self.late = None

            def connection_lost(self, exc: Exception | None) -> None:
                self.stop_watching()
                super().connection_lost(exc)

        with _bound(host, port) as sock:
            server = Server(
                uvicorn.Config(
                    app, http=Protocol, ws="none", lifespan="off", log_config=None,
                    access_log=False, date_header=False, server_header=False, proxy_headers=False,
                    timeout_keep_alive=75,
                )
            )  # fmt: skip
            self._connections = server.server_state.connections
            task = asyncio.create_task(server.serve([sock]), name="http server")
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
