"""``prefetch-stats``, ``prefetch-warmup``, ``prefetch-config`` and ``record-query``: the words."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, redirect_stdout
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from ..errors import ConfigError, ForetellError
from ..progress import Step, progress
from ..sinks.terminal import counted, plain
from ..sinks.usage_json import exported, imported
from ..sinks.usage_store import Query, UsageError, checked
from ..whatif import target
from . import FOLDER, Learned, opened, pruned, record_query
from .config import PrefetchConfig, zone_of
from .fetch import fetcher
from .schedule import cron, systemd
from .service import configured, status, warmed

__all__ = ["cached", "configure", "periods", "record", "schedule", "stats", "warmup"]

BAR = 20
BEST = 10
"""How many predictions are printed; ``--json`` has all."""

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


def record(folder: str, ticker: str, module: str, *, hit: bool, at: str | None, json: bool) -> int:
    """Record a query."""
    when = time.time() if at is None else _moment(at, PrefetchConfig.load(folder))
    try:
        checked(Query(when, ticker, module, hit))
    except UsageError as error:
        raise ConfigError(str(error)) from None
    record_query(ticker, module, hit, at=when, folder=folder)
    store = opened(folder)
    _warn(store.set_aside)
    totals = store.totals()
    if json:
        data = {"ticker": ticker, "module": module, "hit": hit, "at": when}
        _json({**data, "total_queries": totals.queries, "hit_rate": round(totals.hit_rate, 4)})
    else:
        what = "hit" if hit else "miss"
        many = counted(totals.queries, "record")
        _say(f"recorded {_short(ticker)} / {_short(module)} ({what}); {many} so far")
    return 0


def stats(
    folder: str,
    *,
    by: str,
    at: str | None,
    take: str | None,
    give: str | None,
    json: bool,
) -> int:
    """Print what was asked for, what will be, and how good such predictions were.

    :param take: a file in the document's schema to import first.
    :param give: a file to export the history to.
    """
    config = PrefetchConfig.load(folder)
    zone = zone_of(config.zone)
    real = None if give is None else target.check(give, _is_stats, "exported statistics")
    store = opened(folder)
    _warn(store.set_aside)
    now = _moment(at, config)
    if take is not None:
        try:
            many = imported(store, Path(take).read_bytes(), zone)
        except UsageError as error:
            raise ForetellError(f"{take}: {error}") from None
        pruned(store, config)
        print(f"imported {many:,} queries", file=sys.stderr)
    if real is not None:
        target.write(real, orjson.dumps(exported(store, zone), option=orjson.OPT_INDENT_2))
    learned = Learned(store, config, by)
    found = {"by": by, **learned.as_json(now)}
    if json:
        _json(found)
    else:
        _show(found, config)
    return 0


def configure(folder: str, changes: Mapping[str, Any], *, json: bool) -> int:
    """Change the configuration, if there is something to change, and print it."""
    config, aside = configured(folder, changes)
    _warn(aside)
    if json:
        _json(config.as_json())
        return 0
    _say(f"top_n           {config.top_n}")
    _say(f"min_confidence  {config.min_confidence:g}")
    _say(f"enabled         {str(config.enabled).lower()}")
    for period, weight in config.hour_weights.items():
        _say(f"hours {period:9} {weight:g}")
    _say(f"zone            {config.zone}")
    _say(f"horizon         {config.horizon:g} seconds")
    return 0


def periods(text: str) -> dict[str, float]:
    """Weights of hours, as ``--hours`` has them.

    :raises ConfigError: for what is none.
    """
    try:
        pairs = [each.split("=") for each in text.split(",")]
        found = {period.strip(): float(weight) for period, weight in pairs}
        if len(found) < len(pairs):
            raise ValueError("one of them is there twice")
        return found
    except ValueError:
        wrong = f"--hours {text[:60]}: say it as 9-17=1.5,17-9=0.3"
        raise ConfigError(wrong) from None


def warmup(
    folder: str, *, by: str, at: str | None, fetch: str | None, jobs: int, json: bool
) -> int:
    """Fetch what will be wanted; without a fetcher, say what would be fetched.

    :return: 1 if something could not be fetched.
    """
    config = PrefetchConfig.load(folder)

    def shown(total: int) -> AbstractContextManager[Step]:
        return progress("fetching", total, quiet=json)

    with redirect_stdout(sys.stderr):  # what a fetcher prints is not the answer
        how = None if fetch is None else fetcher(fetch)
        now = _moment(at, config)
        _warn(opened(folder).set_aside)
        found = asyncio.run(warmed(folder, how, by=by, now=now, jobs=jobs, shown=shown))
    failed, fetched = found["failed"], found["fetched"]
    if json:
        _json(found)
        return 1 if failed else 0
    if not config.enabled:
        _say("prefetching is off: prefetch-config --enable true")
    elif not found["wanted"]:
        _say(f"nothing is wanted with a probability of {config.min_confidence:.0%} or more")
    for each in found["wanted"]:
        what = f"{_short(each['ticker'])} / {_short(each['module'])}"
        _say(f"{what}  {each['needed']:.1%} within {config.horizon:g} s")
    if found["wanted"] and how is None:
        _say("nothing was fetched: name a fetcher with --fetch MODULE:FUNCTION")
    for each in failed:
        what = f"{_short(each['ticker'])} / {_short(each['module'])}: {each['error']}"
        print(f"foretell: error: {plain(what)}", file=sys.stderr)
    if fetched or failed:
        _say(f"fetched {len(fetched)} of {len(fetched) + len(failed)}")
    return 1 if failed else 0


def schedule(
    kind: str,
    folder: str,
    source: str | None,
    *,
    fetch: str | None,
    cache_url: str | None,
    others: Sequence[str],
    json: bool,
) -> int:
    """Print what lets cron or systemd warm up: with these options, here, by this Python.

    :raises ConfigError: for options with which a warm-up would do nothing.
    """
    if source is None and fetch is None:
        raise ConfigError("--schedule: name a fetcher with --fetch, for a warm-up would do nothing")
    if source is not None and (cache_url is None or not os.path.isfile(source)):
        raise ConfigError(f"--schedule: {source} must be a file, and go into a --cache-url")
    given = [("--fetch", fetch), ("--cache-url", cache_url)]
    options = [f"{name}={value}" for name, value in given if value] + [*others]
    if fetch is not None:
        fetcher(fetch)
    if source is not None:
        options += ["--", os.path.abspath(source)]
    elif folder != FOLDER:
        options.append(f"--data={folder}")
    how = options, PrefetchConfig.load(folder).zone, os.getcwd(), os.environ
    found = {"cron": cron(*how)} if kind == "cron" else systemd(*how)
    if json:
        _json(found)
    elif kind == "cron":
        _say(found["cron"].rstrip("\n"))
    else:
        for name, unit in found.items():
            _say(f"# {name}\n{unit}")
    return 0


def cached(folder: str, *, json: bool) -> int:
    """Print how often queries found what they asked for, and what warm-ups have fetched."""
    found = status(folder)
    _warn(opened(folder).set_aside)
    if json:
        _json(found)
        return 0
    many = counted(found["total_queries"], "record")
    _say(f"hit rate      {found['hit_rate']:.1%} of {many}")
    _say(f"cached items  {found['cached_items']:,}, {found['cached_bytes']:,} bytes")
    _say(f"prefetching   {'on' if found['enabled'] else 'off'}")
    return 0


def _show(found: Mapping[str, Any], config: PrefetchConfig) -> None:
    day = found["day_of_week"]
    _say("SMART PREFETCH - USAGE PATTERNS")
    _say(
        f"Current time: hour {found['hour']:02}:00, day {day} ({DAYS[day]}, 0=Mon), "
        f"weight {found['weight']:g}x"
    )
    hits, many = found["cache_hits"], found["total_queries"]
    _say(f"Queries: {many:,}, {hits:,} hits ({found['hit_rate']:.1%})")
    if not many:
        _say("Nothing was recorded yet: foretell record-query AAPL price --hit")
        return
    for title, name in (("Top tickers", "top_tickers"), ("Top modules", "top_modules")):
        _say(f"{title}:")
        for what, count in found[name]:
            _say(f"  {_short(what)} - {count:,} {'query' if count == 1 else 'queries'}")
    _say(f"PREDICTIONS by {found['by']} (next query; wanted within {config.horizon:g} s):")
    for number, each in enumerate(found["predictions"][:BEST], 1):
        p = each["probability"]
        bar = "█" * round(p * BAR)
        name = f"{_short(each['ticker'])} / {_short(each['module'])}"
        _say(f"  {number:2}. {name:28} [{p:6.1%}] {bar:{BAR}} {each['needed']:6.1%}")
    _say(f"Something never asked for before comes next: {found['new']:.1%}")
    marks = found["accuracy"]
    if marks["events"]:
        _say(
            f"Accuracy over the last {marks['events']:,}: first {marks['top1']:.1%}, first three "
            f"{marks['top3']:.1%}, log loss {marks['log_loss']:.3f}, Brier {marks['brier']:.3f}"
        )
        _reliability("Calibration (predicted: came):", marks["reliability"])
    if found["needed_accuracy"]:
        title = f"Wanted within {config.horizon:g} s (predicted: came):"
        _reliability(title, found["needed_accuracy"])


def _reliability(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    _say(title)
    for row in rows:
        n = row["predictions"]
        _say(f"  {row['mean']:6.1%}: {row['came']:6.1%}  of {n:,}")


def _moment(at: str | None, config: PrefetchConfig) -> float:
    if at is None:
        return time.time()
    try:
        found = datetime.fromisoformat(at)
        local = found if found.tzinfo else found.replace(tzinfo=zone_of(config.zone))
        return local.timestamp()
    except (ValueError, OverflowError):
        wrong = f"--at {at[:40]}: is no time; say it as 2026-02-25T10:00:00"
        raise ConfigError(wrong) from None


def _is_stats(content: bytes) -> bool:
    try:
        return "cache_hits" in orjson.loads(content)
    except (orjson.JSONDecodeError, TypeError):
        return False


def _warn(aside: str | None) -> None:
    if aside is not None:
        what = f"foretell: warning: what stood there was damaged or of something else: now {aside}"
        print(plain(what), file=sys.stderr)


def _short(text: str) -> str:
    """A key may have 10,000 characters; a line has not."""
    text = " ".join(plain(text).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def _say(text: str) -> None:
    print(plain(text))


def _json(value: Any) -> None:
    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())
