"""``foretell mcp``: the tool ``smart_prefetch`` for agents, by the Model Context Protocol."""

from __future__ import annotations

import asyncio
import logging
import os
from inspect import signature
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from .. import __version__
from ..errors import ConfigError, ForetellError
from ..prefetch.service import Prefetch
from .errors import sentence
from .prefetch_models import By, ConfigChange
from .signals import told_to_stop

if TYPE_CHECKING:
    from mcp.server import MCPServer

__all__ = ["McpMissing", "create", "serve"]

Action = Literal["stats", "warmup", "status", "config"]


class McpMissing(ForetellError):
    """The optional package is not installed."""


def create(prefetch: Prefetch) -> MCPServer[Any]:
    """The server with its one tool.

    :param prefetch: the folder of usage that it speaks of.
    :raises McpMissing: when the package is not installed.
    """
    try:
        from mcp.server import MCPServer
        from mcp.server.mcpserver.exceptions import ToolError
        from mcp.types import ToolAnnotations
    except ImportError:
        raise McpMissing('foretell mcp needs: pip install "foretell[mcp]"') from None

    async def smart_prefetch(
        action: Action = "status", config: ConfigChange | None = None, by: By | None = None
    ) -> dict[str, Any]:
        """Usage of a cache: what is asked for, what will be next, and what is fetched ahead.

        action: "stats" (usage and predictions), "warmup" (fetch what will be wanted), "status"
        (hits, and what is cached), "config" (the settings; with `config`, change them first).
        by: who predicts; without it, the document's formula for "stats", and for "warmup" whom the
        server was started with (the ensemble).
        """
        if config is not None and action != "config":
            raise ToolError('config: goes with action "config" alone')
        try:
            match action:
                case "stats":
                    return await prefetch.stats(by or "document")
                case "warmup":
                    return await prefetch.warmup(by)
                case "status":
                    return await prefetch.status()
                case "config":
                    given = {} if config is None else config.model_dump(exclude_unset=True)
                    return await prefetch.config(given)
        except ConfigError as error:
            raise ToolError(f"config: {error}") from None
        except ForetellError as error:
            raise ToolError(str(error)) from None

    class Server(MCPServer[Any]):
        """What is wrong with a call is said in one line, and nothing in it is passed over."""

        async def call_tool(
            self, name: str, arguments: dict[str, Any], *others: Any, **named: Any
        ) -> Any:
            for unknown in sorted(arguments.keys() - signature(smart_prefetch).parameters.keys()):
                raise ToolError(f"{unknown[:60]}: is no argument of it")
            try:
                return await super().call_tool(name, arguments, *others, **named)
            except ToolError as error:
                if isinstance(error.__cause__, ValidationError):
                    raise ToolError(sentence(error.__cause__.errors())) from None
                raise

    server: MCPServer[Any] = Server("foretell", version=__version__)
    hints = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)
    server.add_tool(smart_prefetch, title="Smart prefetching", annotations=hints)
    return server


async def serve(prefetch: Prefetch) -> None:
    """Serve on standard input and output until that ends, or SIGINT or SIGTERM comes.

    :raises McpMissing: as :func:`create`.
    :raises UsageError, ConfigError: for a folder that cannot be used.
    """
    # With a handler there the package adds none of its own; what it has to say it tells the client.
    logging.getLogger().addHandler(logging.NullHandler())
    with told_to_stop() as stop:
        tool = create(prefetch)
        await prefetch.open()
        server = asyncio.create_task(tool.run_stdio_async())
        told = asyncio.create_task(stop.wait())
        await asyncio.wait((server, told), return_when=asyncio.FIRST_COMPLETED)
        await prefetch.aclose()
        if not server.done():
            os._exit(0)  # a thread of the package reads from standard input, and nothing wakes it
        told.cancel()
        server.result()
