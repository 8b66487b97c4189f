"""Commands that measure."""

from __future__ import annotations

import argparse
import sys

from .options import JSON, PROFILES, SEED, Args, command, option, url, whole
from .said import print_json, say, show

MOST = 1000
PACES = ("local-8b", "hosted-large")


def some(text: str) -> int:
    """How many scenarios, or agents."""
    count = whole(text)
    if count > MOST:
        raise argparse.ArgumentTypeError(f"{text} are too many: choose 1 to {MOST:,}")
    return count


@command(
    "bench",
    option("what", choices=("plans",), metavar="WHAT", help="what is measured: %(choices)s"),
    option(
        "log",
        nargs="*",
        metavar="LOG",
        help="session logs whose moments are planned for; without: a drawn skirmish",
    ),
    option(
        "--profile",
        choices=PROFILES,
        action="append",
        metavar="NAME",
        help="pace of the narrator: %(choices)s; again for more [local-8b and hosted-large]",
    ),
    option("--base-url", type=url, metavar="URL", help="a Messages API, in place of the narrator"),
    option("--model", metavar="NAME", help="its model"),
    option("--scenarios", type=some, default=100, metavar="N", help="moments [100]"),
    option("--together", type=some, default=5, metavar="N", help="agents asked for at once [5]"),
    option("--streams", type=some, default=4, metavar="N", help="requests side by side [4]"),
    option("--no-processor", action="store_true", help="leave out what takes a real clock"),
    SEED,
    JSON,
    example="foretell bench plans\n"
    "  foretell bench plans night.jsonl --base-url http://127.0.0.1:11434 --model llama3.3",
)
def _bench(args: Args) -> int:
    """Measure plans before and after, part by part, over the same moments."""
    from ..bench.plans import Bench, run
    from ..bench.scenarios import scenarios
    from ..bench.table import lines
    from ..config import Settings

    Settings.load({"plans": {"streams": args.streams}})  # says what is wrong with it
    if args.model and not args.base_url:
        args.command.error("--model needs --base-url: the narrator is none")
    if args.profile and args.base_url:
        args.command.error("--profile is the narrator's pace: leave it out with --base-url")
    chosen, source = scenarios(args.log, args.scenarios, args.seed)
    found = run(
        Bench(
            chosen,
            source,
            args.seed,
            args.together,
            args.streams,
            tuple(dict.fromkeys(args.profile or PACES)),
            args.base_url,
            args.model,
            processor=not args.no_processor,
            said=_said if sys.stderr.isatty() else lambda what: None,
        )
    )
    if args.json:
        print_json(found)
    else:
        for line in lines(found):
            show(line)
    bad = [each for p in found["profiles"].values() for row in p["rows"] for each in row["invalid"]]
    if bad:
        say("error", f"{len(bad)} agents had no valid plan in time")
    return 1 if bad else 0


def _said(what: str) -> None:
    print(f"\r\x1b[K{what} …\r", end="", file=sys.stderr, flush=True)
