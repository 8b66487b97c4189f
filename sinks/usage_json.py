"""The usage history in the document's schema: ``prefetch_stats.json``, in and out."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import orjson

from ..operators.hours import Hours
from .usage_store import Query, Totals, UsageError, UsageStore

__all__ = ["exported", "imported"]

MICROSECOND = timedelta(microseconds=1)


def exported(store: UsageStore, zone: tzinfo = UTC) -> dict[str, Any]:
    """The history and the totals, as the document has them; times are local to the zone.

    In UTC a timestamp has no offset, as in the document; in other zones it has.
    """
    hours = Hours(zone)
    queries = []
    for query in store.history():
        local = hours.local(query.at)
        queries.append(
            {
                "ticker": query.subject,
                "module": query.module,
                "timestamp": (local.replace(tzinfo=None) if zone is UTC else local).isoformat(),
                "hour": local.hour,
                "day_of_week": local.weekday(),
                "hit": query.hit,
            }
        )
    totals = store.totals()
    return {
        "queries": queries,
        "cache_hits": totals.hits,
        "cache_misses": totals.misses,
        "total_queries": totals.queries,
    }


def imported(store: UsageStore, content: bytes, zone: tzinfo = UTC) -> int:
    """Take in a file in the document's schema, whole or not at all; a second time it is refused.

    A timestamp without an offset is local to the zone. A query that the history has already, of the
    same microsecond, counts no second time: so a file that has grown may be imported again, and an
    export be put back. Where the file counts more hits and misses than it has queries, the
    difference goes into the totals; if some of it was there already, so much of it as they lack.

    :return: how many queries were taken in.
    :raises UsageError: for what is not in the schema.
    """
    try:
        data = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise UsageError(f"is no JSON: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("queries"), list):
        raise UsageError('has no list "queries"')
    found = [_query(each, number, zone) for number, each in enumerate(data["queries"], 1)]
    hits = len([1 for query in found if query.hit])
    more = Totals(
        max(0, _count(data, "cache_hits", hits) - hits),
        max(0, _count(data, "cache_misses", len(found) - hits) - (len(found) - hits)),
    )
    there = Counter(map(_same, store.history()))
    fresh = [query for query in found if not _counted_off(there, query)]
    if len(fresh) < len(found):
        totals, new_hits = store.totals(), len([1 for query in fresh if query.hit])
        said = hits + more.hits, len(found) - hits + more.misses
        has = totals.hits + new_hits, totals.misses + len(fresh) - new_hits
        more = Totals(*(max(0, file - store) for file, store in zip(said, has, strict=True)))
    mark = f"imported {hashlib.sha256(content).hexdigest()}"
    return store.record_all(fresh, more, mark)


def _same(query: Query) -> tuple[int, str, str, bool]:
    """What tells queries apart; files have microseconds."""
    return timedelta(seconds=query.at) // MICROSECOND, query.subject, query.module, query.hit


def _counted_off(there: Counter[tuple[int, str, str, bool]], query: Query) -> bool:
    """Whether one more such query is there."""
    same = _same(query)
    there[same] -= 1
    return there[same] >= 0


def _query(data: Any, number: int, zone: tzinfo) -> Query:
    if not isinstance(data, dict):
        raise UsageError(f"query {number}: is no object")
    subject, module, hit = data.get("ticker"), data.get("module"), data.get("hit")
    if not isinstance(subject, str) or not isinstance(module, str) or not isinstance(hit, bool):
        raise UsageError(f"query {number}: needs ticker and module (texts) and hit (true or false)")
    try:
        at = datetime.fromisoformat(data.get("timestamp"))  # type: ignore[arg-type]
        when = (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    except (TypeError, ValueError, OverflowError):
        raise UsageError(
            f"query {number}: its timestamp is none: {data.get('timestamp')!r:.40}"
        ) from None
    return Query(when, subject, module, hit)


def _count(data: dict[str, Any], name: str, default: int) -> int:
    value = data.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 53:
        raise UsageError(f"{name}: is no count")
    return value
