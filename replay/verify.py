"""A recording again: compared line by line, or shown at its own pace."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import PathLike
from typing import TYPE_CHECKING, Any

import orjson
from rich.console import Console

from ..config import Settings
from ..errors import ConfigError
from ..game import Game
from ..progress import Step, progress
from ..sinks.terminal import Terminal, counted, plain
from ..streams.clock import run_virtual
from .lockstep import Broken, Difference, Lockstep, NotRecorded, walk
from .openings import another_version, guests_of, last_t, no_game, openings
from .own_game import OwnGameError, imported
from .pace import paced

if TYPE_CHECKING:
    from ..session import Session

__all__ = ["Broken", "check_session", "plain_game", "run", "show", "verify"]

logger = logging.getLogger("foretell")

CUT = "it ends without ~over: the process was killed, or the end of the log was cut off"

Make = Callable[[Settings], Game[Any]]


def check_session(session: Session[Any]) -> None:
    """What must hold after every step of a session.

    :raises Broken: if it does not, with what and where.
    """
    generations = session.generations
    report = session.report()
    facts = {
        "no text was stale": report["stale"] == 0,
        "no text was untrue": report["untrue"] == 0,
        "no stream is open that nobody holds": all(
            each.leases for each in generations.live if each.alive
        ),
        "speculation keeps to its cap": (
            generations.speculating <= session.settings.max_speculations
        ),
        "served outcomes add up": sum(report["served"].values()) == report["outcomes"],
    }
    for fact, holds in facts.items():
        if not holds:
            raise Broken(f"revision {session.world.revision}: it does not hold that {fact}")


def verify(
    log: str | PathLike[str],
    game: Make | None = None,
    *,
    heavy: bool = False,
    upto: float = math.inf,
    step: Step | None = None,
) -> Lockstep:
    """Replay a recording exactly, with every server down, and compare what it does line by line.

    :param log: a session log recorded by a session (see ``log_dir``), not an imported one.
    :param game: makes the game from the recorded settings; needed where the recording was made
        with prompts, rules or a narration of your own.
    :param heavy: check the session's invariants after each step, too; the first that does not hold
        is a difference: ``broken`` says which.
    :param upto: seconds of the session; the replay ends there.
    :param step: called with the seconds of the session it has come to.
    :return: the walk, with its first ``difference`` (or ``None``) and the ``lines`` that agreed.
    :raises NotRecorded: for a log that holds inputs alone, or is a later part of one.
    :raises LogError: for a log that cannot be read.
    """

    def after(session: Session[Any]) -> None:
        if heavy:
            check_session(session)
        if step is not None:
            step(session._pipeline.inputs.now)

    return walk(log, game or plain_game(log), upto=upto, after=after)


def plain_game(log: str | PathLike[str]) -> Make:
    """What makes the game of a recording that had no guests.

    :raises NotRecorded: if it had.
    """
    if guests := guests_of(openings(log)):
        raise NotRecorded(no_game(log, guests))
    return lambda settings: Game(settings, model=_Nobody())


class _Nobody:
    """The model of an exact replay: nobody is asked."""

    def stream(self, request: Any) -> Any:
        raise NotRecorded("an exact replay asks no model")

    async def aclose(self) -> None:
        pass


class _Output(Console):
    """Standard output; when its reader has gone, there is nobody to walk for."""

    def __init__(self, lockstep: Lockstep) -> None:
        super().__init__(highlight=False)
        self._lockstep = lockstep

    def on_broken_pipe(self) -> None:
        self.quiet = True
        self._lockstep.give_up(BrokenPipeError())


def show(
    log: str | PathLike[str],
    game: Make | None = None,
    *,
    speed: float = 1.0,
    start: float = 0.0,
    stop: float = math.inf,
) -> Difference | None:
    """Print the narrative and the plans of a recording as they came, at the pace they came.

    :param speed: seconds of the session a second.
    :param start: seconds of the session; what comes before is gone through at once, unseen.
    :param stop: seconds of the session; it ends there.
    :raises BrokenPipeError: if the reader of standard output has gone.
    """
    printing = False

    def after(session: Session[Any]) -> None:
        nonlocal printing
        if not printing and session._pipeline.inputs.now >= start:
            printing = True
            terminal = Terminal(console)
            session.subscribe(terminal.on_event)
            session.plans.subscribe(terminal.on_plan)

    def opened(session: Session[Any]) -> None:
        nonlocal printing
        printing = False
        after(session)

    lockstep = Lockstep(log, game or plain_game(log), upto=stop, opened=opened, after=after)
    console = _Output(lockstep)
    run_virtual(lockstep.run(), paced(speed, start))
    if not printing and lockstep.difference is None:
        logger.warning("%s: ends at %g s, before anything is shown", log, lockstep.last_t)
    return lockstep.difference


def run(log: str, *, game: str | None, heavy: bool, upto: float, json: bool) -> int:
    """``foretell replay --verify``: 0 if nothing differs, else 1."""
    started = time.perf_counter()
    make = imported(game) if game else None
    other = another_version(openings(log))
    total = 0.0 if json else min(upto, last_t(log))
    with _recorded_settings(log), progress("verifying", total, quiet=json) as step:
        walked = verify(log, make, heavy=heavy, upto=upto, step=step)
    difference, seconds = walked.difference, time.perf_counter() - started
    if json:
        found = {
            "session": walked.header["id"],
            "lines": walked.lines,
            "virtual_seconds": walked.last_t,
            "wall_seconds": round(seconds, 3),
            "closed": walked.closed,
            "difference": None if difference is None else difference.described(),
            "another_version": other,
        }
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2).decode())
        return 0 if difference is None else 1
    lines = counted(walked.lines, "line")
    if difference is None:
        told = f"the same, {lines} in {seconds:.2f} s ({walked.last_t:.0f} s of the session)"
        if not walked.closed and math.isinf(upto):
            told += f"\n  {CUT}"
    else:
        told = f"{lines} the same; then the first difference:\n  {difference}"
    if other is not None:
        told += f"\n  {other}" + ("" if difference is None else ": that may be the reason")
    print(plain(f"{log}: {told}"))
    return 0 if difference is None else 1


@contextmanager
def _recorded_settings(log: str) -> Iterator[None]:
    """Settings that cannot be used are the recording's, and not what its user has said."""
    try:
        yield
    except OwnGameError:
        raise
    except ConfigError as error:
        why = another_version(openings(log)) or "the log was edited"
        raise NotRecorded(f"{log}: the recorded {error} ({why})") from None


def present(log: str, *, game: str | None, speed: float, start: float, stop: float) -> int:
    """``foretell replay --speed``: the narrative of a recording in its own time."""
    make = imported(game) if game else None
    with _recorded_settings(log):
        difference = show(log, make, speed=speed, start=start, stop=stop)
    if difference is not None:
        raise NotRecorded(f"{log}: shown up to {difference}")
    return 0
