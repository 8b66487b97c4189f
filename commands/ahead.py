"""Commands on what is fetched ahead: usage, predictions, caches, plans."""

from __future__ import annotations

from ..errors import ConfigError
from .options import (
    AT,
    BY,
    FETCH,
    FOLDER,
    JOBS,
    JSON,
    SPENDER,
    Args,
    command,
    file,
    option,
    some,
    up_to,
    whole,
)


@command(
    "prefetch-stats",
    BY,
    AT,
    option("--import", dest="take", type=file, metavar="FILE", help="a prefetch_stats.json to add"),
    option("--export", dest="give", type=file, metavar="FILE", help="write the history as one"),
    FOLDER,
    JSON,
    example="foretell prefetch-stats\n"
    "  foretell prefetch-stats --by ensemble --at 2026-02-25T10:00:00 --json",
)
def _prefetch_stats(args: Args) -> int:
    """Show what was asked for, when, and what comes next: in a game, which stat block or spell."""
    from ..prefetch import cli as prefetch_cli

    return prefetch_cli.stats(
        args.data, by=args.by, at=args.at, take=args.take, give=args.give, json=args.json
    )


@command(
    "prefetch-config",
    option("--top", type=up_to(1_000), metavar="N", help="fetch at most N keys ahead [15]"),
    option("--confidence", type=float, metavar="P", help="only what is wanted so probably [0.6]"),
    option("--enable", choices=("true", "false"), help="fetch ahead at all: %(choices)s [true]"),
    option("--hours", metavar="LIST", help="weights of hours, such as 9-17=1.5,17-9=0.3"),
    option("--zone", metavar="NAME", help="whose hours they are, such as Europe/Berlin [UTC]"),
    option("--horizon", type=float, metavar="S", help="wanted within so many seconds [900]"),
    FOLDER,
    JSON,
    example="foretell prefetch-config --top 20 --confidence 0.6\n"
    "  foretell prefetch-config --enable false",
)
def _prefetch_config(args: Args) -> int:
    """Show or change what is fetched ahead: in a game, how much and how surely."""
    from ..prefetch import cli as prefetch_cli

    given = {
        "top_n": args.top,
        "min_confidence": args.confidence,
        "enabled": None if args.enable is None else args.enable == "true",
        "hour_weights": None if args.hours is None else prefetch_cli.periods(args.hours),
        "zone": args.zone,
        "horizon": args.horizon,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return prefetch_cli.configure(args.data, changes, json=args.json)


@command(
    "record-query",
    option("ticker", metavar="T", help="what it was about: a ticker, a monster"),
    option("module", metavar="M", help="what was wanted of it: price, stat-block"),
    option("--hit", action="store_true", help="it was in the cache"),
    AT,
    FOLDER,
    JSON,
    example="foretell record-query AAPL price --hit\n  foretell record-query sea-hag stat-block",
)
def _record_query(args: Args) -> int:
    """Record that something was asked for: in a game, content that a turn needed."""
    from ..prefetch import cli as prefetch_cli

    return prefetch_cli.record(
        args.data, args.ticker, args.module, hit=args.hit, at=args.at, json=args.json
    )


@command(
    "cache-status",
    option(
        "source",
        nargs="?",
        metavar="LOG|URL",
        help="a session log, whose store is shown as it ends, or the redis:// URL of running "
        "games; with none: hits of the queries in --data, and what warm-ups fetched for them",
    ),
    FOLDER,
    JSON,
    example="foretell cache-status\n"
    "  foretell cache-status logs/table-7.jsonl\n"
    "  foretell cache-status redis://127.0.0.1:6379/0 --json",
)
def _cache_status(args: Args) -> int:
    """Show what is prepared and kept: layers, sizes, hit rates, and what left and why."""
    if args.source is None:
        from ..prefetch import cli as prefetch_cli

        return prefetch_cli.cached(args.data, json=args.json)
    from ..prefetch import cache_status

    return cache_status.run(args.source, {}, json=args.json)


@command(
    "prefetch-warmup",
    option(
        "source",
        nargs="?",
        metavar="FILE",
        help="scenarios (JSON Lines) to store; or a session log, whose common moments are listed; "
        "with none: what queries will be made, by the history in --data",
    ),
    FETCH,
    JOBS,
    SPENDER,
    AT,
    FOLDER,
    option(
        "--cache-url", metavar="URL", help="the cache to store them in, redis://… or memcached://…"
    ),
    option(
        "--top", type=whole, default=20, metavar="N", help="so many moments of a log [%(default)s]"
    ),
    option(
        "--schedule",
        choices=("cron", "systemd"),
        metavar="WHO",
        help="warm up not now: print what lets %(choices)s do it with these options, every quarter "
        "of an hour from 9 to 17 on working days",
    ),
    JSON,
    example="foretell prefetch-warmup scenarios.jsonl --cache-url redis://127.0.0.1:6379/0\n"
    "  foretell prefetch-warmup logs/table-7.jsonl --top 50 --json\n"
    "  foretell prefetch-warmup --fetch mytable.rules:fetch --schedule cron",
)
def _prefetch_warmup(args: Args) -> int:
    """Store common scenarios before the first of them comes, or fetch what queries will ask for."""
    from ..prefetch import cli as prefetch_cli
    from ..prefetch import warmup

    if args.schedule is not None:
        if args.at is not None:
            raise ConfigError("--schedule goes without --at: each warm-up is for its own time")
        others = [f"--by={args.by}"] * (args.by != "ensemble")
        others += [f"--jobs={args.jobs}"] * (args.jobs != 4)
        return prefetch_cli.schedule(
            args.schedule,
            args.data,
            args.source,
            fetch=args.fetch,
            cache_url=args.cache_url,
            others=others,
            json=args.json,
        )
    if args.source is None:
        return prefetch_cli.warmup(
            args.data, by=args.by, at=args.at, fetch=args.fetch, jobs=args.jobs, json=args.json
        )
    return warmup.run(args.source, args.cache_url, most=args.top, json=args.json)


SCHEDULE = (
    "max_immediate_time_ms [100], max_eager_time_ms [500], max_background_time_ms [2000], "
    "background_start_delay_ms [50], time_budget_ms [2000], max_prefetch_tokens [10000], "
    "max_concurrent_fetches [8], max_concurrent_eager [5], max_background_tokens [5000], "
    "max_background_pending [10], max_background_queue [20], hot_cache_size [20], "
    "warm_cache_size [50], cold_cache_size [100], min_confidence_for_prefetch [0.5], "
    "min_confidence_for_immediate [0.8], min_confidence_for_variants [0], "
    "enable_batch_fetching [true], enable_speculative_prefetch [true], "
    "cancel_on_context_change [true], unused_seconds [30], unavailable_seconds [30]"
)
"""The section's settings and their defaults, for a help that need not load them."""


@command(
    "schedule",
    option("file", metavar="FILE", help="predictions, constraints and state, as JSON"),
    option(
        "--explain",
        action="store_true",
        help="all that was weighed: priority and what moved it, value, cost, taken or left and why",
    ),
    option(
        "--tokens", type=some, metavar="N", help="a token budget in place of the file's [10000]"
    ),
    option("--ms", type=some, metavar="MS", help="a time budget in place of the file's [2000]"),
    option(
        "--settings", metavar="FILE", help=f"a campaign's TOML, whose [schedule] has {SCHEDULE}"
    ),
    JSON,
    example="foretell schedule examples/schedule.json --explain\n"
    "  foretell schedule examples/schedule.json --tokens 2000 --json",
)
def _schedule(args: Args) -> int:
    """Show what would be fetched ahead, in which order and why, from a file of predictions."""
    from ..config import Settings
    from ..prefetch import scheduled

    settings = Settings.load(args.settings).schedule
    given = {
        "token_budget": None if args.tokens is None else int(args.tokens),
        "time_budget_ms": args.ms,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return scheduled.run(args.file, changes, settings, explain=args.explain, json=args.json)
