"""``foretell prefetch-warmup``: common scenarios into a shared cache, or out of a log."""

from __future__ import annotations

import asyncio
from typing import Any

from ..errors import ForetellError
from ..game import Game
from ..sinks.store_scenarios import moments, scenarios
from ..sinks.terminal import counted, plain
from ..streams.log import is_log
from ..streams.log_inputs import LogInputs

__all__ = ["run"]


def run(source: str, cache_url: str | None, *, most: int, json: bool) -> int:
    """Warm up from a file of scenarios, or say what those of a log are.

    :param cache_url: the cache to put them into; with none, a file is checked and no more.
    :param most: so many moments of a log, the most frequent first.
    :return: 1 if the cache did not take them all.
    """
    if is_log(source):
        return _moments(source, most, json=json)
    known = list(scenarios(source, stateless=True))
    if cache_url is None:
        found: dict[str, Any] = {"scenarios": len(known), "stored": None, "cache": None}
        told = f"{source}: {counted(len(known), 'scenario')}, all good; --cache-url stores them"
    else:
        found = asyncio.run(_stored(source, cache_url, len(known)))
        told = f"{source}: {counted(found['stored'], 'scenario')} stored at {found['cache']}"
    _print(found, told, json=json)
    return 0 if found["stored"] in (None, len(known)) else 1


async def _stored(source: str, cache_url: str, count: int) -> dict[str, Any]:
    settings = {"cache_url": cache_url, "cache_timeout": 1.0, "intensity": "off"}
    size = {"warm_cache_size": max(1, count)}
    async with Game({**settings, **size}) as game:
        stored = await game.warm_up(source)
        await game.store.flush()
        cold = game.store.stats().cold
        if not cold["answers"] or cold["waiting"]:
            raise ForetellError(f"{cold['where']}: no cache answers there; nothing is stored")
        return {"scenarios": count, "stored": stored, "cache": cold["where"]}


def _moments(source: str, most: int, *, json: bool) -> int:
    found = moments(LogInputs(source))
    outcomes = sum(count for _, count in found)
    again = f"{1 - len(found) / outcomes:.0%} of them come again" if outcomes else "none"
    lines = [f"{counted(outcomes, 'outcome')} of {counted(len(found), 'moment')}: {again}"]
    for moment, count in found[:most]:
        action = moment["action"]
        who, whom = ", ".join(moment["actor"]), ", ".join(moment["targets"])
        what = " ".join(str(each) for each in (action["type"], action["name"]) if each)
        lines.append(f"{count:6,} × {who}: {what}{f' → {whom}' if whom else ''}")
    listed = [{"snapshot": moment, "count": count} for moment, count in found[:most]]
    _print({"outcomes": outcomes, "different": len(found), "moments": listed}, lines, json=json)
    return 0


def _print(found: dict[str, Any], told: str | list[str], *, json: bool) -> None:
    if json:
        import orjson

        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
    else:
        for line in [told] if isinstance(told, str) else told:
            print(plain(line))
