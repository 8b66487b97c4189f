"""Commands that serve until they are stopped."""

from __future__ import annotations

import os
import sys
from typing import Any

from ..errors import ConfigError
from .options import (
    FETCH,
    FOLDER,
    IDLE,
    JOBS,
    PROFILE,
    SEED,
    SPENDER,
    Args,
    command,
    option,
    port,
)


def warming(args: Args) -> dict[str, Any]:
    """What ``serve`` and ``mcp`` warm up with, and when.

    :raises ConfigError: for a fetcher that is none, or an idle warm-up without one.
    """
    from ..prefetch.fetch import fetcher

    if args.idle is not None and args.fetch is None:
        raise ConfigError("--idle: name a fetcher with --fetch, for a warm-up would do nothing")
    fetch = None if args.fetch is None else fetcher(args.fetch)
    return {"fetch": fetch, "jobs": args.jobs, "idle": args.idle, "by": args.by}


@command(
    "narrator",
    option("--host", default="127.0.0.1", help="address to listen on [%(default)s]"),
    option("--port", type=port, default=0, metavar="N", help="port; 0: any free one [0]"),
    PROFILE,
    SEED,
    option("--key", help="ask this key of every request (a must beyond loopback)"),
    option(
        "--faults",
        metavar="LIST",
        help="what goes wrong, each with its rate: KIND[=SECONDS][@SHARE]:RATE,… of 429, 500, 529 "
        "(refused), slow, stall, cut, error, torn, garbled, prose, empty, refusal; of plans "
        "badtool, badarg, badtarget, badplan, noplan, twice, stranger, mixed, chatty; drawn by "
        "--seed and the request's number. SHARE: of the answer that has come. One request asks for "
        "one with the header x-narrator-fault: KIND[=SECONDS][@SHARE]",
    ),
    example="foretell narrator --port 8787 --profile local-8b\n"
    "  foretell narrator --faults 429=2:0.1,stall:0.05,slow=8:0.05,cut@0.5:0.02",
)
def _narrator(args: Args) -> int:
    """Serve the Messages API from a grammar: no key, no network, and not a language model."""
    import asyncio
    import time

    from ..streams.narrator.faults import Faults
    from ..streams.narrator.profiles import profile
    from ..streams.narrator.server import serve

    def announce(url: str) -> None:
        print(url, flush=True)
        print(
            f"A grammar, not a language model; its speed ({args.profile}) is simulated. "
            "Ctrl-C ends it.",
            file=sys.stderr,
        )

    try:
        faults = Faults() if args.faults is None else Faults.parse(args.faults)
        work = serve(
            profile(args.profile),
            args.seed,
            args.host,
            args.port,
            args.key,
            announce=announce,
            clock=time.monotonic,
            faults=faults,
        )
        asyncio.run(work)
    except ValueError as error:  # an address that asks for a key, a fault that is none
        raise ConfigError(str(error)) from None
    return 0


@command(
    "serve",
    option("--host", default="127.0.0.1", help="address to listen on [%(default)s]"),
    option("--port", type=port, default=0, metavar="N", help="port; 0: any free one [0]"),
    option(
        "--token",
        help="ask this of every request (a must beyond loopback); FORETELL_TOKEN in the "
        "environment does the same, and is seen by fewer",
    ),
    option(
        "--allow-host",
        action="append",
        default=[],
        metavar="NAME",
        help="a further name by which it is reached; may be given again",
    ),
    FETCH,
    JOBS,
    IDLE,
    SPENDER,
    FOLDER,
    example="foretell serve --port 8080\n"
    "  foretell serve --fetch mytable.rules:fetch --idle 60\n"
    "  FORETELL_TOKEN=... foretell serve --host 0.0.0.0 --allow-host table.example",
)
def _serve(args: Args) -> int:
    """Serve usage and predictions over HTTP: in a game, for what is not written in Python."""
    import asyncio

    from ..prefetch.service import Prefetch
    from ..server.run import serve

    def announce(url: str) -> None:
        print(url, flush=True)
        print(f"What can be asked: {url}/docs. Ctrl-C ends it.", file=sys.stderr)

    token = os.environ.get("FORETELL_TOKEN") if args.token is None else args.token
    how = warming(args)

    async def work() -> None:
        prefetch = Prefetch(args.data, **how)
        await serve(prefetch, args.host, args.port, token, args.allow_host, announce)

    asyncio.run(work())
    return 0


@command(
    "mcp",
    FETCH,
    JOBS,
    IDLE,
    SPENDER,
    FOLDER,
    example="foretell mcp --data /srv/table/data --fetch mytable.rules:fetch",
)
def _mcp(args: Args) -> int:
    """Serve usage and predictions to an agent, as the tool smart_prefetch, on stdin and stdout."""
    import asyncio

    from ..prefetch.service import Prefetch
    from ..server import mcp_tool

    how = warming(args)

    async def work() -> None:
        await mcp_tool.serve(Prefetch(args.data, **how))

    asyncio.run(work())
    return 0
