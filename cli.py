"""The command line: each command's words and options; what it does is imported when it is run.

Exit codes: 0 good, 1 the work failed, 2 wrong use, 130 interrupted. An error is one line on
stderr; ``FORETELL_DEBUG=1`` adds the traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

from .errors import ConfigError, ForetellError

if TYPE_CHECKING:
    from .config import Settings
    from .streams.importers import Summary
    from .streams.log import Report

__all__ = ["main"]

Args = argparse.Namespace
Option = tuple[tuple[str, ...], dict[str, Any]]
COMMANDS: dict[str, tuple[Callable[[Args], int], str, tuple[Option, ...]]] = {}


def option(*flags: str, **settings: Any) -> Option:
    """An option or argument, as argparse takes them."""
    return flags, settings


def command(
    name: str, *options: Option, example: str
) -> Callable[[Callable[[Args], int]], Callable[[Args], int]]:
    """Declare a command; the function's docstring is its help, what it returns its exit code."""

    def declare(run: Callable[[Args], int]) -> Callable[[Args], int]:
        COMMANDS[name] = run, example, options
        return run

    return declare


def port(text: str) -> int:
    """A TCP port; 0 stands for any that is free."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port: choose 0 to 65535")
    return int(text)


def speed(text: str) -> float:
    """How many seconds of the log pass in one second."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a speed: choose a number above 0")
    return value


def limit(text: str) -> float:
    """For how many seconds to wait."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is no limit: choose seconds above 0")
    return value


def file(text: str) -> str:
    """The name of a file to write."""
    if not text:
        raise argparse.ArgumentTypeError("the name of the file is empty")
    return text


def whole(text: str) -> int:
    """How many of something."""
    if not text.isdecimal() or not 0 < int(text) <= 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to 1,000,000")
    return int(text)


def share(text: str) -> float:
    """A part of the whole; all of it is none."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a share: choose 0 up to, not with, 1")
    return value


def picture(text: str) -> str:
    """The name of a picture to write."""
    if not text.lower().endswith((".png", ".svg")):
        raise argparse.ArgumentTypeError(f"{text!r} is no picture: end it in .png or .svg")
    return text


LOG = option("log", metavar="LOG", help="session log (.jsonl or .jsonl.gz)")
OUTPUT = option("-o", "--output", type=file, metavar="LOG", help="session log to write")
JSON = option("--json", action="store_true", help="print one JSON object, for programs")
SEED = option("--seed", type=int, default=0, metavar="N", help="decides all that is drawn [0]")
PROFILES = ("hosted-large", "hosted-small", "local-8b", "instant")
PROFILE = option(
    "--profile",
    choices=PROFILES,
    default="hosted-large",
    help="the narrator's speed: %(choices)s [%(default)s]",
    metavar="NAME",
)


def url(text: str) -> str:
    """Where a server is."""
    if not text.startswith(("http://", "https://")) or len(text.split("/")[2]) == 0:
        from .streams.api_errors import shown

        raise argparse.ArgumentTypeError(f"{shown(text)!r} must begin with http:// or https://")
    return text


MODELS = (
    option(
        "--base-url", type=url, metavar="URL", help="a Messages API to use in place of the narrator"
    ),
    option("--model", metavar="NAME", help="main model"),
    option("--small-model", metavar="NAME", help="small model, for small adaptations"),
)


def moment(text: str) -> float:
    """A time of a session."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a time: choose seconds from 0")
    return value


SPEED = option(
    "--speed",
    type=speed,
    metavar="X",
    help="show it as it was told, at X seconds a second; against a server: its pace [1]",
)


@command(
    "demo",
    option("--fast", action="store_true", help="play it in virtual time"),
    SEED,
    *MODELS,
    OUTPUT,
    example="foretell demo --fast",
)
def _demo(args: Args) -> int:
    """Watch Foretell race a program that asks its model when the dice land."""
    from . import demo

    return demo.run(
        fast=args.fast,
        seed=args.seed,
        base_url=args.base_url,
        model=args.model,
        small_model=args.small_model,
        output=args.output,
    )


@command(
    "replay",
    LOG,
    JSON,
    option(
        "--model-from",
        choices=("recording", "narrator"),
        metavar="WHO",
        help="whose words and times the model streams have: recording (a request it does not hold "
        "is told by the narrator, and counted), narrator [recording, where the log is one and no "
        "model or profile is named; else, and with --compare, narrator]",
    ),
    option("--seed", type=int, metavar="N", help="decides all that is drawn [as recorded, or 0]"),
    option(
        "--intensity",
        choices=("off", "conservative", "aggressive"),
        metavar="NAME",
        help="how much to speculate: %(choices)s [as recorded, or conservative]",
    ),
    option(
        "--profile",
        choices=PROFILES,
        metavar="NAME",
        help="the narrator's speed: %(choices)s [hosted-large]",
    ),
    *MODELS,
    option(
        "--settings",
        type=file,
        metavar="FILE",
        help="settings from a TOML file, such as tune -o writes; another option holds in the place "
        "of what it says; a server, a cache or a folder of logs it names is left alone",
    ),
    SPEED,
    option(
        "--verify",
        action="store_true",
        help="compare what it does with what was recorded, line by line; no model is asked",
    ),
    option("--heavy", action="store_true", help="with --verify: check all invariants at each step"),
    option(
        "--game",
        metavar="MODULE:FUNCTION",
        help="makes the game from its recorded settings, where the recording was made with "
        "prompts, rules or a narration of its own",
    ),
    option(
        "--from",
        dest="start",
        type=moment,
        metavar="T",
        help="with --speed: show from this second of the session on [0]",
    ),
    option(
        "--to",
        type=moment,
        default=float("inf"),
        metavar="T",
        help="end at this second of the session",
    ),
    option(
        "--compare",
        metavar="LIST",
        help="play it under several policies, and show them side by side: intensities, each with "
        "settings of its own (NAME=VALUE, any field of foretell.Settings, settings=FILE or "
        "prices=FILE); a policy begins at each intensity and at each ';'",
    ),
    option(
        "--plot", type=picture, metavar="FILE", help="with --compare: a picture of it (.png, .svg)"
    ),
    example="foretell replay night.jsonl --intensity aggressive --json\n"
    "  foretell replay logs/table-7.jsonl --model-from recording --to 600\n"
    "  foretell replay logs/table-7.jsonl --verify\n"
    "  foretell replay logs/table-7.jsonl --speed 2 --from 60\n"
    "  foretell replay night.jsonl --compare off,conservative,aggressive --plot night.png\n"
    "  foretell replay night.jsonl "
    "--compare 'off;conservative,max_variants=3;conservative,profile=local-8b;prices=my.json'\n"
    "  foretell replay night.jsonl --compare 'conservative;settings=campaign.toml'",
)
def _replay(args: Args) -> int:
    """Play a session log again, exactly, and report what speculation cost and saved."""
    _check_replay(args)
    given = _given(args)
    if args.verify:
        from .replay import verify

        return verify.run(args.log, game=args.game, heavy=args.heavy, upto=args.to, json=args.json)
    from .replay.verify import imported

    make = imported(args.game) if args.game else None
    if args.speed is not None and args.base_url is None:
        from .replay import shown

        return shown.run(
            args.log,
            given,
            model_from=args.model_from,
            game=args.game,
            make=make,
            speed=args.speed,
            start=args.start or 0.0,
            stop=args.to,
        )
    source = {"model_from": args.model_from, "game": make, "upto": args.to}
    if args.compare is None:
        from . import replay

        return replay.run(args.log, given, json=args.json, speed=args.speed, **source)
    from .whatif import compare

    return compare.run(args.log, args.compare, given, json=args.json, plot=args.plot, **source)


RECORDED = (
    *("intensity", "seed", "profile", "model", "small_model", "base_url", "model_from"),
    "settings",
)
ALONE: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    (
        "compare",
        "it plays the whole night, in no time, and asks no server",
        ("base_url", "speed", "verify"),
    ),
    ("verify", "it does all as it was recorded", ("speed", *RECORDED)),
)
NEED = (
    ("plot", "compare", "--plot draws a comparison: add --compare off,conservative"),
    ("heavy", "verify", "--heavy checks each step of a recording: add --verify"),
    ("start", "speed", "--from is of what is shown; figures begin at the beginning: add --speed 1"),
)


def _check_replay(args: Args) -> None:
    """Options that do not go together are wrong use, for one would be passed over in silence."""

    def given(name: str) -> bool:
        value = getattr(args, name)
        return value is not None and value is not False

    def flag(name: str) -> str:
        return "--from" if name == "start" else "--" + name.replace("_", "-")

    for name, why, others in ALONE:
        if given(name) and (found := [flag(each) for each in others if given(each)]):
            raise ConfigError(f"{flag(name)} goes without {', '.join(found)}: {why}")
    for name, other, what in NEED:
        if given(name) and not given(other):
            raise ConfigError(what)
    if args.speed is not None and args.base_url is None and args.json:
        raise ConfigError("--speed shows a night to people, in its words: leave out --json")
    if args.speed is not None and args.base_url is not None and given("start"):
        raise ConfigError("--from goes without --base-url: a server is asked from the beginning")
    if (args.start or 0.0) > args.to:
        raise ConfigError(f"--from {args.start:g} is later than --to {args.to:g}")


def _settings(args: Args) -> Settings:
    """The settings that the common options stand for."""
    from .config import Settings

    return Settings.load(_given(args))


def _given(args: Args) -> dict[str, Any]:
    names = {
        "seed": "seed",
        "intensity": "intensity",
        "profile": "narrator_profile",
        "base_url": "base_url",
        "model": "main_model",
        "small_model": "small_model",
    }
    given = {setting: getattr(args, name, None) for name, setting in names.items()}
    said = {name: value for name, value in given.items() if value is not None}
    if getattr(args, "settings", None) is None:
        return said
    from .config import how

    return {**how(args.settings), **said}


@command(
    "tune",
    option("logs", metavar="LOG", nargs="+", help="session logs (.jsonl or .jsonl.gz)"),
    option(
        "--minimize",
        default="latency + 50 * usd",
        metavar="EXPRESSION",
        help="what to make small, of latency, p50, p95 (seconds), usd, tokens, wasted (each per "
        "outcome), hit_rate, numbers, + - * / ** and parentheses [%(default)s]",
    ),
    option(
        "--holdout",
        type=share,
        default=0.3,
        metavar="SHARE",
        help="share of the logs that are not searched on, to judge by [%(default)s]",
    ),
    option(
        "--budget",
        type=whole,
        default=300,
        metavar="N",
        help="play logs so many times at most [%(default)s]",
    ),
    option("--jobs", type=whole, default=1, metavar="N", help="processes to play in [%(default)s]"),
    SEED,
    PROFILE,
    *MODELS[1:],
    option("-o", "--output", type=file, metavar="FILE", help='settings to write, for Game("FILE")'),
    JSON,
    example="foretell tune logs/*.jsonl --minimize 'latency + 50 * usd' -o campaign.toml",
)
def _tune(args: Args) -> int:
    """Search the settings that serve many logs best, and judge them on logs held back."""
    from . import tune

    return tune.run(
        args.logs,
        args.minimize,
        _settings(args),
        holdout=args.holdout,
        budget=args.budget,
        jobs=args.jobs,
        output=args.output,
        json=args.json,
    )


FOLDER = option(
    "--data", type=file, default="data", metavar="DIR", help="folder of the history [%(default)s]"
)
AT = option("--at", metavar="TIME", help="as if it were then, 2026-02-25T10:00:00 [now]")
BY = option(
    "--by",
    choices=("document", "ensemble"),
    default="document",
    metavar="NAME",
    help="who predicts: %(choices)s [%(default)s]",
)

FETCH = option("--fetch", metavar="MODULE:FUNCTION", help="takes ticker and module, returns JSON")
JOBS = option(
    "--jobs", type=whole, default=4, metavar="N", help="fetch so many at once [%(default)s]"
)
IDLE = option(
    "--idle",
    type=limit,
    metavar="S",
    help="warm up by itself when nothing was asked for S seconds; needs --fetch",
)


def warming(args: Args) -> dict[str, Any]:
    """What ``serve`` and ``mcp`` warm up with, and when.

    :raises ConfigError: for a fetcher that is none, or an idle warm-up without one.
    """
    from .prefetch.fetch import fetcher

    if args.idle is not None and not args.fetch:
        raise ConfigError("--idle: name a fetcher with --fetch, for a warm-up would do nothing")
    fetch = fetcher(args.fetch) if args.fetch else None
    return {"fetch": fetch, "jobs": args.jobs, "idle": args.idle}


@command(
    "evaluate",
    option("logs", metavar="LOG", nargs="+", help="session logs (.jsonl or .jsonl.gz)"),
    option(
        "--aspects",
        metavar="LIST",
        help="what is predicted: actor, target, item, action, place, need [all]",
    ),
    option("--ab", metavar="A,B", help="compare two predictors, such as document,ensemble"),
    option("--each", action="store_true", help="a table for each campaign or server, too"),
    option("--zone", default="UTC", metavar="NAME", help="whose hours they are [%(default)s]"),
    option("--plot", type=picture, metavar="FILE", help="hit rate over queries (.png, .svg)"),
    SEED,
    JSON,
    example="foretell evaluate logs/*.jsonl --plot hits.png\n"
    "  foretell evaluate night.jsonl --aspects target --ab document,ensemble",
)
def _evaluate(args: Args) -> int:
    """Predict recorded sessions event by event, and show how good each predictor is."""
    from . import evaluate
    from .prefetch.config import zone_of

    try:
        zone = zone_of(args.zone)
    except ValueError as error:
        raise ConfigError(f"--zone: {error}") from None
    return evaluate.run(
        args.logs,
        zone,
        aspects=args.aspects,
        ab=args.ab,
        each=args.each,
        seed=args.seed,
        plot=args.plot,
        json=args.json,
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
    from .prefetch import cli as prefetch_cli

    return prefetch_cli.stats(
        args.data, by=args.by, at=args.at, take=args.take, give=args.give, json=args.json
    )


@command(
    "prefetch-config",
    option("--top", type=whole, metavar="N", help="fetch at most N keys ahead [15]"),
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
    from .prefetch import cli as prefetch_cli

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
    from .prefetch import cli as prefetch_cli

    return prefetch_cli.record(
        args.data, args.ticker, args.module, hit=args.hit, at=args.at, json=args.json
    )


@command(
    "blind",
    LOG,
    option("--pairs", type=whole, default=12, metavar="N", help="how many to show [%(default)s]"),
    option(
        "--votes",
        metavar="FILE",
        help="votes on the pairs in their order, 1, 2, = or q, in place of asking; - is "
        "standard input",
    ),
    option(
        "--ask",
        choices=("prepared", "better"),
        default="prepared",
        metavar="WHAT",
        help="which one was prepared, or which is better: %(choices)s [%(default)s]",
    ),
    SEED,
    option(
        "--intensity",
        choices=("conservative", "aggressive"),
        default="conservative",
        metavar="NAME",
        help="how much to prepare: %(choices)s [%(default)s]",
    ),
    PROFILE,
    *MODELS,
    SPEED,
    option("-o", "--output", type=file, metavar="FILE", help="new file for the result (JSON)"),
    JSON,
    example="foretell blind night.jsonl --pairs 6 -o votes.json",
)
def _blind(args: Args) -> int:
    """Show outcomes told twice, prepared and afresh, and count whether anyone can tell."""
    from . import blind

    return blind.run(
        args.log,
        _settings(args),
        count=args.pairs,
        ask=args.ask,
        votes=args.votes,
        speed=args.speed,
        output=args.output,
        json=args.json,
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
        from .prefetch import cli as prefetch_cli

        return prefetch_cli.cached(args.data, json=args.json)
    from .prefetch import cache_status

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
    BY,
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
    from .prefetch import cli as prefetch_cli
    from .prefetch import warmup

    if args.schedule is not None:
        if args.at is not None:
            raise ConfigError("--schedule goes without --at: each warm-up is for its own time")
        others = [f"--by={args.by}"] * (args.by != "document")
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


def some(text: str) -> float:
    """A number that a budget may be."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a budget: choose a number from 0")
    return value


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
    from .config import Settings
    from .prefetch import scheduled

    settings = Settings.load(args.settings).schedule
    given = {
        "token_budget": None if args.tokens is None else int(args.tokens),
        "time_budget_ms": args.ms,
    }
    changes = {name: value for name, value in given.items() if value is not None}
    return scheduled.run(args.file, changes, settings, explain=args.explain, json=args.json)


@command("validate", LOG, JSON, example="foretell validate night.jsonl")
def _validate(args: Args) -> int:
    """Check a session log: each line, and what lines say of each other."""
    from .streams.log import validate

    report = validate(args.log)
    if args.json:
        _print_json(
            {
                "file": report.file,
                "ok": report.ok,
                "session": report.header.get("id"),
                "lines": report.lines,
                "duration": report.duration,
                "kinds": dict(report.kinds),
                "results": dict(report.results),
                "errors": [{"line": e.line, "reason": e.reason} for e in report.errors],
                "warnings": report.warnings,
                "stopped": report.stopped,
            }
        )
    else:
        _show_report(report)
    return 0 if report.ok else 1


def _show_report(report: Report) -> None:
    from .sinks.terminal import counted

    for warning in report.warnings:
        _say("warning", warning)
    for error in report.errors:
        _say("error", str(error))
    if report.stopped:
        _say("error", f"{report.file}: more than can be listed; stopped here")
    if report.ok:
        kinds = ((n, kind) for kind, n in report.kinds.items() if not kind.startswith("~"))
        lines = counted(report.lines, "line")
        _show(f"{report.file}: good: {lines}, {report.duration / 60:.1f} minutes")
        _show(f"  {_counts(kinds)}")
        if report.results:
            _show(f"  results: {_counts((n, word) for word, n in report.results.most_common())}")


@command(
    "import",
    option(
        "format",
        choices=("fireball", "nwn", "showdown"),
        metavar="FORMAT",
        help="what it is: %(choices)s",
    ),
    option("file", metavar="FILE", help="the recording"),
    option("-o", "--output", type=file, metavar="LOG", required=True, help="session log to write"),
    SEED,
    JSON,
    example="foretell import fireball raw.jsonl -o night.jsonl",
)
def _import(args: Args) -> int:
    """Make a session log of another program's recording."""
    from .streams.importers import convert_file

    summary = convert_file(args.format, args.file, args.output, args.seed)
    if args.json:
        _print_json({name: getattr(summary, name) for name in summary.__slots__})
    else:
        _show_summary(summary)
    return 0


def _show_summary(summary: Summary) -> None:
    from .sinks.terminal import counted

    minutes = f"{summary.duration / 60:.1f} minutes ({summary.clock} clock)"
    _show(f"{summary.path}: {counted(summary.records, 'line')}, {minutes}")
    _show(f"  {_counts((n, kind) for kind, n in summary.kinds.items())}")
    for test, results in summary.results.items():
        _show(f"  {test}: {_counts((n, word) for word, n in results.items())}")
    if summary.left_out:
        lines = counted(summary.left_out, "line")
        _say("warning", f"left out, for they are out of place in time: {lines}")


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
        "(refused), slow, stall, cut, error, torn, garbled, prose, empty, refusal; drawn by --seed "
        "and the request's number. SHARE: of the answer that has come. One request asks for one "
        "with the header x-narrator-fault: KIND[=SECONDS][@SHARE]",
    ),
    example="foretell narrator --port 8787 --profile local-8b\n"
    "  foretell narrator --faults 429=2:0.1,stall:0.05,slow=8:0.05,cut@0.5:0.02",
)
def _narrator(args: Args) -> int:
    """Serve the Messages API from a grammar: no key, no network, and not a language model."""
    import asyncio
    import time

    from .streams.narrator.faults import Faults
    from .streams.narrator.profiles import profile
    from .streams.narrator.server import serve

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
    FOLDER,
    example="foretell serve --port 8080\n"
    "  foretell serve --fetch mytable.rules:fetch --idle 60\n"
    "  FORETELL_TOKEN=... foretell serve --host 0.0.0.0 --allow-host table.example",
)
def _serve(args: Args) -> int:
    """Serve usage and predictions over HTTP: in a game, for what is not written in Python."""
    import asyncio

    from .prefetch.service import Prefetch
    from .server.run import serve

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
    FOLDER,
    example="foretell mcp --data /srv/table/data --fetch mytable.rules:fetch",
)
def _mcp(args: Args) -> int:
    """Serve usage and predictions to an agent, as the tool smart_prefetch, on stdin and stdout."""
    import asyncio

    from .prefetch.service import Prefetch
    from .server import mcp_tool

    how = warming(args)

    async def work() -> None:
        await mcp_tool.serve(Prefetch(args.data, **how))

    asyncio.run(work())
    return 0


@command(
    "partials",
    option("file", nargs="?", metavar="FILE", help="what a model sent; stdin, if there is none"),
    option("--chunk", type=whole, metavar="N", help="read N characters at a time [as they come]"),
    option("--strict", action="store_true", help="take nothing but one JSON value"),
    option(
        "--expect",
        choices=("object", "array", "any"),
        default="any",
        help="what the value is: %(choices)s [%(default)s]",
        metavar="KIND",
    ),
    option("--limit", type=limit, metavar="S", help="what has come after S seconds is the result"),
    example="foretell partials answer.txt --expect object\n"
    "  curl -N https://example.org/answer | foretell partials --limit 10",
)
def _partials(args: Args) -> int:
    """Read JSON as it streams; print each patch, then the value or what is usable of it."""
    from .operators.partials import Final, PartialParser
    from .pieces import pieces, within

    parser = PartialParser(strict=args.strict, expect=args.expect)
    source, reason = pieces(args.file, args.chunk), None
    try:
        for piece in source if args.limit is None else within(args.limit, source):
            _print_lines(patch.to_json() for patch in parser.feed(piece))
    except TimeoutError:
        reason = f"not complete within {args.limit:g} seconds"
    result = parser.finish(reason=reason)
    _print_lines(patch.to_json() for patch in result.patches)
    _print_lines([result.to_json()])
    return 0 if isinstance(result, Final) else 1


def _print_lines(lines: Iterable[bytes]) -> None:
    out = b"".join(line + b"\n" for line in lines)
    if out:
        sys.stdout.buffer.write(out)
        sys.stdout.buffer.flush()


def _print_json(value: dict[str, Any]) -> None:
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def _counts(counts: Any) -> str:
    return ", ".join(f"{n:,} {what}" for n, what in counts)


def _show(text: str) -> None:
    """Print what may hold words of others, which command no terminal."""
    from .sinks.terminal import plain

    print(plain(text))


def _say(what: str, text: str) -> None:
    from .sinks.terminal import plain

    print(f"foretell: {what}: {' '.join(plain(text).split())}", file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _say("error", f"{message}; see {self.prog} --help")
        self.exit(2)


class _Version(argparse.Action):
    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        from . import __version__

        print(f"foretell {__version__}")
        parser.exit()


def _parser() -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = _Parser(
        prog="foretell",
        description="The story is ready before the dice land.",
        epilog="Example:\n  foretell demo\n\n"
        "foretell COMMAND --help tells more of each, with an example.",
        formatter_class=shape,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version and exit")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, (run, example, options) in COMMANDS.items():
        about = run.__doc__ or ""
        sub = commands.add_parser(
            name,
            help=about.rstrip("."),
            description=about,
            epilog=f"Example:\n  {example}",
            formatter_class=shape,
            allow_abbrev=False,
        )
        for flags, settings in options:
            sub.add_argument(*flags, **settings)
        sub.set_defaults(run=run, command=sub)
    return parser


def _run(argv: Sequence[str] | None) -> int:
    args, unknown = _parser().parse_known_args(argv)
    if unknown:
        args.command.error(f"unrecognized arguments: {' '.join(unknown)}")
    with _logged():
        try:
            return int(args.run(args))
        finally:
            sys.stdout.flush()  # here, where a closed pipe can still be answered


@contextmanager
def _logged() -> Iterator[None]:
    """What the library logs is said as any other warning, and once."""
    import logging

    said: set[str] = set()

    class Said(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            message = record.getMessage()
            if message not in said:
                said.add(message)
                _say(record.levelname.lower(), message)

    handler, logger = Said(logging.WARNING), logging.getLogger("foretell")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code; wrong use and ``--help`` end in ``SystemExit``."""
    try:
        return _run(argv)
    except BrokenPipeError:  # the reader has read enough; nothing may be flushed at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        if os.environ.get("FORETELL_DEBUG"):
            raise
        if isinstance(error, ForetellError | OSError):
            _say("error", str(error))
        else:
            what = f"{type(error).__name__}: {error}"
            _say("error", f"a fault of foretell's own: {what}; FORETELL_DEBUG=1 shows where")
        return 2 if isinstance(error, ConfigError) else 1
