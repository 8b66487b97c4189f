"""The command line: what commands have in common. Each is declared in ``commands``.

Exit codes: 0 good, 1 the work failed, 2 wrong use, 130 interrupted. An error is one line on
stderr; ``FORETELL_DEBUG=1`` adds the traceback.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NoReturn

from .commands import COMMANDS
from .commands.said import say
from .errors import ConfigError, ForetellError

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        say("error", f"{message}; see {self.prog} --help")
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
            print(end="", flush=True)  # here, where a closed pipe can still be answered


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
                say(record.levelname.lower(), message)

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
        if isinstance(error, OSError) and error.strerror:
            of = "" if error.filename is None else f"{error.filename}: "
            say("error", f"{of}{error.strerror}")
        elif isinstance(error, ForetellError | OSError):
            say("error", str(error))
        else:
            what = f"{type(error).__name__}: {error}"
            say("error", f"a fault of foretell's own: {what}; FORETELL_DEBUG=1 shows where")
        return 2 if isinstance(error, ConfigError) else 1
