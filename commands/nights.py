"""Commands that play: a demo, a recorded night, the same night under other settings."""

from __future__ import annotations

from ..errors import ConfigError
from .options import (
    JSON,
    LOG,
    MODELS,
    OUTPUT,
    PROFILE,
    PROFILES,
    SEED,
    SPEED,
    Args,
    command,
    file,
    given_of,
    moment,
    option,
    picture,
    settings_of,
    share,
    whole,
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
    from .. import demo

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
        choices=("off", "conservative", "aggressive", "auto"),
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
        help="settings from a TOML or JSON file, such as tune -o writes; another option holds in "
        "the place of what it says; a server, a cache or a folder of logs it names is left alone",
    ),
    SPEED,
    option(
        "--verify",
        action="store_true",
        help="compare what it does with what was recorded, line by line; no model is asked",
    ),
    option("--heavy", action="store_true", help="with --verify: check all invariants at each step"),
    option(
        "--content",
        metavar="FOLDER",
        help="JSON files of stat blocks, spells, lore and the like, for prompts [as recorded]",
    ),
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
    given = given_of(args)
    if args.verify:
        from ..replay import verify

        return verify.run(args.log, game=args.game, heavy=args.heavy, upto=args.to, json=args.json)
    from ..replay.own_game import imported

    make = imported(args.game) if args.game else None
    if args.speed is not None and args.base_url is None:
        from ..replay import shown

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
        from .. import replay

        return replay.run(args.log, given, json=args.json, speed=args.speed, **source)
    from ..whatif import compare

    return compare.run(args.log, args.compare, given, json=args.json, plot=args.plot, **source)


RECORDED = (
    *("intensity", "seed", "profile", "model", "small_model", "base_url", "model_from"),
    *("settings", "content"),
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
    from .. import tune

    return tune.run(
        args.logs,
        args.minimize,
        settings_of(args),
        holdout=args.holdout,
        budget=args.budget,
        jobs=args.jobs,
        output=args.output,
        json=args.json,
    )


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
    option(
        "--dry",
        metavar="LIST",
        help="what intensities, or policies as --compare has them, would prepare, what of it would "
        "be told, and what it would cost; no model is asked",
    ),
    option(
        "--oracle",
        action="store_true",
        help="what an oracle would cut of the time to first text that knows what will be done, and "
        "the policies' share of that; no model is asked",
    ),
    option(
        "--policies",
        metavar="LIST",
        help="with --oracle: which policies, as --compare has them [conservative,aggressive]",
    ),
    SEED,
    JSON,
    example="foretell evaluate logs/*.jsonl --plot hits.png\n"
    "  foretell evaluate night.jsonl --aspects target --ab document,ensemble\n"
    "  foretell evaluate night.jsonl --dry conservative,auto\n"
    "  foretell evaluate night.jsonl --oracle",
)
def _evaluate(args: Args) -> int:
    """Predict recorded sessions event by event, and show how good each predictor is."""
    of_predictors = args.ab or args.aspects or args.plot or args.each
    if args.policies is not None and not args.oracle:
        raise ConfigError("--policies are set beside an oracle: add --oracle")
    if args.oracle:
        from ..whatif import oracle

        if of_predictors or args.dry is not None:
            raise ConfigError("--oracle scores policies: it goes with --policies and --json alone")
        return oracle.run(args.logs, args.policies or oracle.POLICIES, json=args.json)
    if args.dry is not None:
        from ..whatif import dry

        if of_predictors:
            raise ConfigError("--dry scores plans, not predictors: it goes with --json alone")
        return dry.run(args.logs, args.dry, json=args.json)
    from .. import evaluate
    from ..prefetch.config import zone_of

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
    from .. import blind

    return blind.run(
        args.log,
        settings_of(args),
        count=args.pairs,
        ask=args.ask,
        votes=args.votes,
        speed=args.speed,
        output=args.output,
        json=args.json,
    )
