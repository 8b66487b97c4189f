"""The servers a shared cache may be, behind ``aiocache``'s back ends."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

import orjson
from aiocache.serializers import BaseSerializer  # type: ignore[import-untyped]

from ..errors import ConfigError
from .store_entry import FORMAT
from .store_news import Board

__all__ = [
    "MONTH",
    "MOST_BYTES",
    "PREFIX",
    "Garbled",
    "GarbledBoard",
    "Orjson",
    "Server",
    "excessive",
    "open_server",
]

PREFIX = f"foretell:{FORMAT}:"
"""What all our keys begin with: nobody else's are touched, nor those of another version."""

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")

MOST_BYTES = 256 * 1024
MONTH = 30 * 24 * 3600
"""Seconds a board is kept that nobody writes on."""

MOST = {"variants": 1000, "tags": 100, "guard": 100, "paths": 250, "apart": 250, "volatile": 100}
FIELDS, DEEPEST = 24, 32
"""So many of each may a record have, for each of them is looked at before it is believed."""


class Garbled(ValueError):
    """Under one key is what no store has written. What else is no answer is the server's fault."""


class GarbledBoard(Exception):
    """Where a board should be there is something else."""

    def __init__(self, board: str, why: object) -> None:
        super().__init__(str(why))
        self.board = board


class Orjson(BaseSerializer):  # type: ignore[misc]
    """JSON, and nothing that could run: what another process wrote is data."""

    DEFAULT_ENCODING = None

    def __init__(self, most: int = MOST_BYTES) -> None:
        super().__init__()
        self._most = most

    def dumps(self, value: Any) -> bytes:
        """A value as JSON."""
        return orjson.dumps(value)

    def loads(self, value: bytes | None) -> Any:
        """A value from its JSON.

        :raises Garbled: for what is none, or too large.
        """
        if value is None:
            return None
        if len(value) > self._most:  # to read it would hold up the loop
            raise Garbled(f"it has more than {self._most} bytes")
        try:
            return orjson.loads(value)
        except ValueError as error:
            raise Garbled(str(error)) from None


def excessive(record: Any) -> bool:
    """Whether a record has more in it than can be looked through in a look-up's time."""
    if not isinstance(record, dict):
        return False
    depends = record.get("depends")
    known = {**depends, **record} if isinstance(depends, dict) else record
    lists = {name: found for name in MOST if isinstance(found := known.get(name), (list, tuple))}
    if len(known) > FIELDS or any(len(found) > MOST[name] for name, found in lists.items()):
        return True
    paths = (*lists.get("paths", ()), *lists.get("apart", ()))
    return any(isinstance(path, (list, tuple)) and len(path) > DEEPEST for path in paths)


class Server(Protocol):
    """What is asked of a server. Its calls wait as long as they like, and raise what they like.

    ``garbage`` are the errors that speak of one key, and not of the server; ``refusals`` those by
    which it answers that it takes no writes.
    """

    kind: str
    where: str
    garbage: tuple[type[Exception], ...]
    refusals: tuple[type[Exception], ...]

    async def get(self, name: str) -> Any:
        """The value, or ``None``."""
        ...

    async def get_and_hear(self, name: str, board: str, heard: int) -> tuple[Any, Board]:
        """The value, and what a board says beyond a number, read no later than the value."""
        ...

    async def hear(
        self, board: str, heard: int, words: Collection[bytes] | None, now: int
    ) -> Board:
        """What a board says beyond a number.

        :param words: to be written on it, all by the next number; a board that is not there is
            then begun. ``None``: nothing is written.
        :param now: microseconds by the wall clock; if it is no less, it is the next number.
        """
        ...

    async def set(self, name: str, value: Any, seconds: float) -> None:
        """Keep a value for so long."""
        ...

    async def delete(self, name: str) -> None:
        """Forget a value."""
        ...

    async def forget_connections(self) -> None:
        """Close those that nobody uses now."""
        ...

    async def aclose(self) -> None:
        """Close all."""
        ...


def open_server(url: str, limit: float, most: int = MOST_BYTES) -> Server:
    """The server at a URL; no connection is made yet.

    :param limit: seconds to connect in.
    :param most: bytes of a value; a larger one is not read.
    :raises ConfigError: for a URL that is none, or if the client for it is not installed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # whose words may have a piece of the password in them
        raise ConfigError(
            "cache_url: no port from 0 to 65535 after the host; in a password write / as %2F, "
            "# as %23, [ as %5B"
        ) from None
    prefix = _prefix(parts.query)
    if parts.scheme in ("redis", "rediss") and parts.hostname:
        from .store_redis import Redis

        return Redis(parts, parts.hostname, port or 6379, limit, most, prefix)
    if parts.scheme == "memcached" and parts.hostname:
        from .store_memcached import Memcached

        return Memcached(parts.hostname, port or 11211, most, prefix)
    raise ConfigError(
        "cache_url: not the URL of a cache: use redis://host:port/0, rediss://… or "
        "memcached://host:port"
    )


def _prefix(query: str) -> str:
    """What the keys of a game begin with; ``name`` keeps those of several on one server apart."""
    try:
        known = parse_qs(query, strict_parsing=True, max_num_fields=1) if query else {}
    except ValueError:
        known = {"": []}
    names = known.get("name", [])
    if any(name != "name" for name in known) or not all(map(NAME.fullmatch, names)):
        raise ConfigError("cache_url: after ? is nothing but name=…, of letters, digits, - _ and .")
    return f"{PREFIX}{names[0]}:" if names else PREFIX
