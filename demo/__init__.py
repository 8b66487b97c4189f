"""The demo: Foretell races a program that asks its model when the dice land."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from types import FrameType

from rich.console import Console
from rich.text import Text

from ..config import Settings
from ..errors import ConfigError, ForetellError
from ..streams.clock import run_virtual
from ..streams.log import LogError, check_target
from ..streams.models import Message, Model, ModelError, Request
from ..streams.narrator.profiles import profile
from .keys import Nobody, keys
from .race import Pace, Race
from .screen import Screen
from .server import EngineAccounts, HttpAccounts, narrator
from .side import Side, racing
from .table import Table
from .words import Lines, about, finish, how_to_replay

__all__ = ["run"]

PROFILE = "hosted-large"
NAME = "demo"
HOLD = 5.0


def run(
    *,
    fast: bool = False,
    seed: int = 0,
    base_url: str | None = None,
    model: str | None = None,
    small_model: str | None = None,
    output: str | None = None,
) -> int:
    """Play the demo; returns the exit code.

    :param fast: in virtual time, against a narrator in this process.
    :param seed: decides the dice and the narrator's words.
    :param base_url: a server of the Messages API, in the place of a narrator of its own.
    :param output: where the log of the right side goes; a temporary folder, if not given.
    :raises ForetellError: if the model cannot be asked, or the log cannot be written.
    """
    if fast and base_url:
        raise ConfigError("--fast plays against the built-in narrator: leave out --base-url")
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="replace")
    own = bool(base_url or model) and not fast
    named = {"main_model": model, "small_model": small_model}
    console = Console(highlight=False)
    with _recording(output) as (folder, log), _ended_by_signals():
        settings = Settings.load(
            {
                "seed": seed,
                "log_dir": folder,
                "deadline": 120.0 if own else 20.0,
                **{name: value for name, value in named.items() if value},
            }
        )
        first = about(None if own else profile(PROFILE), settings.main_model, base_url)
        console.print(Text(first, "dim"))
        if fast:
            sides = run_virtual(_fast(console, settings))
        elif own:
            sides = asyncio.run(_live(console, settings, base_url, None, first))
        else:
            with narrator(PROFILE, seed) as url:
                sides = asyncio.run(_live(console, settings, url, "none", first))
        finish(console, sides)
    how_to_replay(console, log)
    return 0


async def _fast(console: Console, settings: Settings) -> tuple[Side, Side]:
    from ..streams.narrator.engine import Engine
    from ..streams.narrator.model import NarratorModel

    engine, table = Engine(profile(PROFILE), settings.seed), Table(settings.seed)
    async with racing(NarratorModel(engine), settings, NAME, "engine") as sides:
        await Race(sides, table, Nobody(), EngineAccounts(engine), Lines(console), Pace()).play()
    return sides


async def _live(
    console: Console, settings: Settings, url: str | None, key: str | None, first: str
) -> tuple[Side, Side]:
    table, accounts, pace = Table(settings.seed), HttpAccounts(url), Pace()
    async with (
        _door(console, settings.main_model, url, key) as model,
        racing(model, settings, NAME) as sides,
    ):
        if not console.is_terminal or console.is_dumb_terminal:
            await Race(sides, table, Nobody(), accounts, Lines(console), pace).play()
            return sides
        with keys() as player:
            screen = Screen(console, player, first)
            race = Race(sides, table, player, accounts, screen, pace)
            async with screen.drawing(race):
                await race.play()
                await screen.hold(HOLD)
    return sides


@asynccontextmanager
async def _door(
    console: Console, name: str, url: str | None, key: str | None
) -> AsyncGenerator[Model, None]:
    """The model behind ``url``; a visitor's own is asked for a word first, to see that it speaks.

    :raises ForetellError: if it does not.
    """
    from ..streams.anthropic_model import AnthropicModel
    from ..streams.plain import PlainFallback

    model = AnthropicModel(url, key)
    try:
        await model.warm()
        if key is None:
            console.print(Text(f"Asking {name} for a word …", "dim"))
            async for _ in model.stream(Request(name, (Message("user", "Say: ready."),), "", 64)):
                pass
        yield PlainFallback(model)
    except ModelError as error:
        raise ForetellError(str(error)) from None
    finally:
        await model.aclose()


@contextmanager
def _recording(output: str | None) -> Iterator[tuple[str, str]]:
    """A folder to record into, and where the log is in the end, whatever happens in between."""
    target = None if output is None else check_target(output, replaced=True)
    folder = tempfile.mkdtemp(prefix="foretell-")
    log = os.path.join(folder, f"{NAME}.jsonl")
    kept = False
    try:
        yield folder, output or log
        kept = target is None
    finally:
        if target is not None and os.path.exists(log):
            _move(log, target)
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _move(log: str, target: str) -> None:
    """The log appears at ``target`` whole or not at all."""
    beside = Path(f"{target}.{os.getpid()}.tmp")
    try:
        shutil.copyfile(log, beside)
        beside.replace(target)
    except OSError as error:
        reason = f"cannot be written: {error.strerror}; the log is kept at {log}"
        raise LogError(target, 0, reason) from None
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A polite kill, or a terminal that is closed, ends it as Ctrl-C does: with everything."""
    ended = 0

    def end(number: int, frame: FrameType | None) -> None:
        nonlocal ended
        ended = number
        interrupt = signal.getsignal(signal.SIGINT)  # asyncio's while it runs, else Python's
        (interrupt if callable(interrupt) else signal.default_int_handler)(number, frame)

    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = [(number, signal.signal(number, end)) for number in numbers]
    try:
        yield
    except KeyboardInterrupt:
        if ended:
            raise SystemExit(128 + ended) from None
        raise
    finally:
        for number, handler in before:
            signal.signal(number, handler)
