"""``foretell cache-status``: what the store of variants holds, and what it has done."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from ..config import CACHES, Settings
from ..sinks.terminal import counted, plain

__all__ = ["run", "status"]


def status(source: str, settings: Settings | Mapping[str, Any]) -> dict[str, Any]:
    """The store of a session at the end of its log, or what lies in a shared cache.

    :param source: a session log, which is replayed; or the URL of the Redis of a running game.
    :raises LogError: for a log that cannot be read.
    :raises ForetellError: for a server that does not answer.
    """
    if source.startswith(CACHES):
        from ..sinks.store_listing import listing

        return asyncio.run(listing(source))
    from .. import replay

    found = replay.report(source, settings)
    return {**found["cache"], "session": found["session"], "t": found["virtual_seconds"]}


def run(source: str, settings: Settings | Mapping[str, Any], *, json: bool) -> int:
    """Print it; see :func:`status`."""
    found = status(source, settings)
    if json:
        import orjson

        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in _of_cache(found) if "sessions" in found else _of_session(found):
            print(plain(line))
    return 0


def _of_session(found: Mapping[str, Any]) -> list[str]:
    lines = [
        f"session {found['session']}, as its log ends",
        "layer   entries    of       bytes   pinned    hits    oldest    newest",
    ]
    for name, each in found["layers"].items():
        lines.append(
            f"{name:6} {each['entries']:8,} {each['size']:5,} {each['bytes']:11,} "
            f"{each['pinned']:8,} {each['hits']:7,} {_ago(each['oldest']):>9} "
            f"{_ago(each['newest']):>9}"
        )
    asked = found["hits"] + found["misses"]
    rate = f"{found['hit_rate']:.0%} of {counted(asked, 'look-up')}" if asked else "no look-ups"
    lines.append(f"hit rate: {rate}; stored: {found['stored']:,}")
    for name, counts in (
        ("gone", found["evictions"]),
        ("refused", found["refused"]),
        ("similar", found["near"]),
        ("computed", found["flights"]),
    ):
        told = ", ".join(f"{n:,} {why}" for why, n in counts.items() if n)
        lines += [f"{name}: {told}"] if told else []
    cold = found["cold"]
    where = f" at {cold['where']}" if "where" in cold else ""
    lines.append(f"cold layer: {cold['kind']}{where}")
    return lines


def _of_cache(found: Mapping[str, Any]) -> list[str]:
    lines = ["session                          entries       bytes   first gone    last gone"]
    for name, each in found["sessions"].items():
        first, last = _in(each["expires_first"]), _in(each["expires_last"])
        lines.append(f"{name:30} {each['entries']:9,} {each['bytes']:11,} {first:>12} {last:>12}")
    if not found["sessions"]:
        return ["nothing of ours lies there"]
    if not found["complete"]:
        lines.append("… and more: there are too many to list")
    return lines


def _ago(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:,.0f} s"


def _in(seconds: float | None) -> str:
    return "never" if seconds is None else f"in {seconds:,.0f} s"
