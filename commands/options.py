"""What commands and options are made of, and those that several commands have."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..config import Settings

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


def number(what: str, choose: str, fits: Callable[[float], bool]) -> Callable[[str], float]:
    """Reads a number that ``fits``; of any other it says that it ``what``, and what to choose."""

    def read(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not fits(value):
            raise argparse.ArgumentTypeError(f"{text!r} {what}: choose {choose}")
        return value

    return read


speed = number("is not a speed", "a number above 0", lambda value: 0 < value < math.inf)
limit = number("is no limit", "seconds above 0", lambda value: 0 < value < math.inf)
share = number("is not a share", "0 up to, not with, 1", lambda value: 0 <= value < 1)
moment = number("is not a time", "seconds from 0", lambda value: 0 <= value < math.inf)
some = number("is not a budget", "a number from 0", lambda value: 0 <= value < math.inf)


def file(text: str) -> str:
    """The name of a file to write."""
    if not text:
        raise argparse.ArgumentTypeError("the name of the file is empty")
    return text


def up_to(most: int) -> Callable[[str], int]:
    """Reads how many of something, from 1 to ``most``."""

    def read(text: str) -> int:
        if not text.isdecimal() or not 0 < int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 to {most:,}")
        return int(text)

    return read


whole = up_to(1_000_000)


def picture(text: str) -> str:
    """The name of a picture to write."""
    if not text.lower().endswith((".png", ".svg")):
        raise argparse.ArgumentTypeError(f"{text!r} is no picture: end it in .png or .svg")
    return text


def url(text: str) -> str:
    """Where a server is."""
    if not text.startswith(("http://", "https://")) or len(text.split("/")[2]) == 0:
        from ..streams.api_errors import shown

        raise argparse.ArgumentTypeError(f"{shown(text)!r} must begin with http:// or https://")
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
MODELS = (
    option(
        "--base-url", type=url, metavar="URL", help="a Messages API to use in place of the narrator"
    ),
    option("--model", metavar="NAME", help="main model"),
    option("--small-model", metavar="NAME", help="small model, for small adaptations"),
)
SPEED = option(
    "--speed",
    type=speed,
    metavar="X",
    help="show it as it was told, at X seconds a second; against a server: its pace [1]",
)
FOLDER = option(
    "--data", type=file, default="data", metavar="DIR", help="folder of the history [%(default)s]"
)
AT = option("--at", metavar="TIME", help="as if it were then, 2026-02-25T10:00:00 [now]")
BY, SPENDER = (
    option(
        "--by",
        choices=("document", "ensemble"),
        default=default,
        metavar="NAME",
        help=f"who predicts{what}: %(choices)s [%(default)s]",
    )
    for default, what in (("document", ""), ("ensemble", " what a warm-up fetches"))
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


def settings_of(args: Args) -> Settings:
    """The settings that the common options stand for."""
    from ..config import Settings

    return Settings.load(given_of(args))


def given_of(args: Args) -> dict[str, Any]:
    """What was said of settings, and no more."""
    names = {
        "seed": "seed",
        "intensity": "intensity",
        "profile": "narrator_profile",
        "base_url": "base_url",
        "model": "main_model",
        "small_model": "small_model",
        "content": "content",
    }
    given = {setting: getattr(args, name, None) for name, setting in names.items()}
    said = {name: value for name, value in given.items() if value is not None}
    if getattr(args, "settings", None) is None:
        return said
    from ..config import how

    return {**how(args.settings), **said}
