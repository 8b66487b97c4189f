"""What lies in a shared cache under our keys, whoever wrote it."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import ConfigError, ForetellError
from .store_server import open_server

__all__ = ["listing"]

MOST = 100_000
AT_ONCE = 500


async def listing(url: str, limit: float = 5.0) -> dict[str, Any]:
    """Entries and bytes by session, and how long the first and last to expire have left (seconds).

    With ``?name=…`` those of the games of that name alone.

    :param limit: seconds each question may take.
    :raises ConfigError: for a URL that is none, or of a Memcached, which cannot list its keys.
    :raises ForetellError: if the server does not answer.
    """
    server = open_server(url, limit)
    try:
        if server.kind != "redis":
            raise ConfigError(f"{server.where}: a Memcached cannot list its keys: use a Redis")
        return await _of_redis(server, limit)
    except ForetellError:
        raise
    except Exception as error:
        raise ForetellError(
            f"{server.where}: {_why(error, limit)}: is a Redis running there?"
        ) from None
    finally:
        await server.aclose()


def _why(error: Exception, limit: float) -> str:
    name = type(error).__name__
    if isinstance(error, TimeoutError):
        return f"no answer in {limit:g} s"
    if isinstance(error, OSError) or name == "ConnectionError":  # the client's own is no OSError
        return "it cannot be reached"
    return " ".join(f"{name} {error}".split())


async def _of_redis(server: Any, limit: float) -> dict[str, Any]:
    client, prefix = server._cache.client, server._prefix
    sessions: dict[str, dict[str, Any]] = {}
    cursor, seen = 0, 0
    while True:
        async with asyncio.timeout(limit):
            cursor, keys = await client.scan(cursor, match=f"{prefix}*", count=AT_ONCE)
            pipe = client.pipeline(transaction=False)
            for key in keys:
                pipe.strlen(key)
                pipe.pttl(key)
            answers = await pipe.execute(raise_on_error=False)
        for key, size, left in zip(keys, answers[::2], answers[1::2], strict=True):
            if isinstance(size, int) and isinstance(left, int):
                name = key.decode("utf-8", "replace").removeprefix(prefix)
                _count(sessions, name, size, left / 1000)
        seen += len(keys)
        if not cursor or seen >= MOST:
            return {"sessions": dict(sorted(sessions.items())), "complete": not cursor}


def _count(sessions: dict[str, dict[str, Any]], key: str, size: int, left: float) -> None:
    name = key.rpartition(":")[0]
    known = sessions.setdefault(
        name, {"entries": 0, "bytes": 0, "expires_first": None, "expires_last": None}
    )
    known["entries"] += 1
    known["bytes"] += size
    if left >= 0:
        first, last = known["expires_first"], known["expires_last"]
        known["expires_first"] = left if first is None else min(first, left)
        known["expires_last"] = left if last is None else max(last, left)
