"""A whole world from one seed, on a virtual loop, held to the guarantees after every step."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ..config import Settings
from ..game import Game
from ..sinks.store_shared import SharedCold
from ..streams.clock import VirtualLoop
from .ambient import no_ambience
from .books import Books
from .broken import Broken
from .cached import URL, CacheServer
from .drawing import draw
from .history import History, Step
from .moods import GuestError, Moody
from .narrated import Narrated
from .relived import check_log
from .scripted import ScriptedModel
from .sentinel import Sentinel
from .shrinking import shrink
from .stamps import stamped_prompts
from .sweeping import swept_once
from .table import Table

__all__ = ["Simulated", "play", "simulate"]

ENGLISH = ("and so it went on, with the rest of it out there",)
"""Words by which a text is known as English, where a language was asked for."""

UNREAD = ("_srcfile", "logMultiprocessing", "logProcesses", "logThreads")
"""What ``logging`` finds out for each record unless it is told not to: where and by whom."""


@dataclass(slots=True)
class Simulated:
    """A simulated world in which every guarantee held.

    :param seconds: of play, without those in which the process slept.
    :param digest: of the trace and of all that viewers got; equal for equal runs.
    :param served: outcomes by how they were served, and what was told ``again``.
    :param seen: what happened, by kind of step.
    :param met: what went wrong with models and the cache, by kind: how often it came to pass; and
        what a guard did.
    """

    seconds: float = 0.0
    digest: str = ""
    outcomes: int = 0
    streams: int = 0
    served: Counter[str] = field(default_factory=Counter)
    seen: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)


def simulate(seed: int, *, shrinking: float = 20.0, twice: bool | None = None) -> Simulated:
    """Play the world of a seed, and hold it to the guarantees after every step.

    Players and a game master, state storms, slow and failing models, guests who raise or dawdle,
    a process that sleeps or is killed and goes on from its log: a seed decides all.

    :param shrinking: seconds to look for a shorter history that breaks the same guarantee.
    :param twice: play it again, to see that it comes out the same (G9); by default one seed in 8,
        unless it is recorded: then it is replayed line by line anyway.
    :raises Broken: the seed, the first guarantee that did not hold, and the shortest history found
        that breaks it, as a test to paste.
    """
    history = draw(seed)
    again = seed % 8 == 0 and not history.recorded if twice is None else twice
    try:
        return play(history, twice=again)
    except Broken as broken:
        first = broken
    except Exception as error:
        error.add_note(f"in the world of seed {seed}")
        raise

    def breaks(shorter: History) -> Broken | None:
        try:
            play(shorter, twice=first.guarantee == "G9")
        except Broken as broken:
            if broken.guarantee == first.guarantee:
                broken.history = shorter
                return broken
        except Exception:  # another fault than the one that is looked for
            return None
        return None

    first.history = history
    found = shrink(history, breaks, first, shrinking)
    found.seed = seed
    raise found


def play(history: History, *, twice: bool = False) -> Simulated:
    """Play a history on a virtual loop of its own.

    :param twice: play it again, and compare.
    :raises Broken: for the first guarantee that did not hold.
    """
    with _quiet() as said:
        done = _run(history, said)
        if twice and (again := _run(history, said)).digest != done.digest:
            raise Broken("G9", f"played twice, it came to {done.digest} and {again.digest}")
    return done


def _run(history: History, said: list[logging.LogRecord]) -> Simulated:
    said.clear()
    escaped: list[str] = []
    with swept_once():
        done = _ran(history, said, escaped)
    _none_came_through(escaped)  # what nobody has heard of comes to light when it is swept up
    return done


def _ran(history: History, said: list[logging.LogRecord], escaped: list[str]) -> Simulated:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner, no_ambience() as ambience:
        runner.get_loop().set_exception_handler(lambda _, what: escaped.append(f"{what}"))
        if not history.recorded:
            return runner.run(_World(history, None, said, escaped, ambience).run())
        with tempfile.TemporaryDirectory(prefix="foretell-") as folder:
            done = runner.run(_World(history, folder, said, escaped, ambience).run())
            for log in sorted(Path(folder).glob("*.jsonl")):
                check_log(log)
            return done


def _none_came_through(escaped: list[str], at: float = 0.0) -> None:
    for each in escaped:
        raise Broken("G10", f"an exception came through: {each}", at=at)


class _World:
    def __init__(
        self,
        history: History,
        folder: str | None,
        said: list[logging.LogRecord],
        escaped: list[str],
        ambience: list[str],
    ) -> None:
        self.history = history
        self.folder = folder
        self.said = said
        self.ambience = ambience
        quiet = history.settings.get("quiet", 0.05)
        self.settings = Settings.model_validate(
            {
                "max_wait": max(0.25, quiet),
                "history_bytes": 4 * 1024 * 1024,  # its players go back as far as they like
                **history.settings,
                "log_dir": folder,
                "cache_url": URL if history.cached else None,
            }
        )
        self.answers = Moody(history.models, *(ENGLISH if self.settings.language else ()))
        self.model: ScriptedModel | Narrated = ScriptedModel(self.answers)
        if history.narrator:
            self.model = Narrated(history.narrator, self.answers)
        self.cache = CacheServer(history.models) if history.cached else None
        self.sentinel = Sentinel(history.models) if history.guarded else None
        self.slept = 0.0
        self.escaped = escaped
        self.digest = hashlib.sha256()
        self.done = Simulated()

    async def run(self) -> Simulated:
        loop = self.loop = _virtual()
        self.game = self.started()
        names = [f"table-{number}" for number in range(self.history.sessions)]
        sessions = [await self.game.session(name) for name in names]
        passed = None if self.sentinel is None else self.sentinel.passed
        self.tables = [Table(session, number, passed) for number, session in enumerate(sessions)]
        for table in self.tables:
            table.update()
        try:
            for step in self.history.steps:
                if step.wait:
                    await asyncio.sleep(step.wait)
                await self.step(step)
                await loop.idle()
                self.check()
            await self.end()
        finally:
            await self.game.aclose(0.0)
            guests = [task for table in self.tables for task in table.guests]
            for task in guests:
                task.cancel()
            await asyncio.gather(*guests, return_exceptions=True)
            for table in self.tables:
                table.held.leave()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if left:
            raise Broken("G4", f"tasks were left behind: {left}", at=loop.time())
        return self.done

    def started(self) -> Game[Any]:
        """The game of a process that has just begun."""
        guard = self.sentinel
        game = Game(self.settings, model=self.model, prompts=stamped_prompts, guard=guard)
        if self.cache is not None:
            wall, limit = self.loop.time, self.settings.cache_timeout
            game._cold = SharedCold(URL, wall=wall, limit=limit, server=self.cache)
        return game

    async def step(self, step: Step) -> None:
        self.done.seen[" ".join([step.do, step.given.get("kind", "")]).rstrip()] += 1
        match step.do:
            case "models":
                self.answers.trouble = step.given["trouble"]
                self.answers.cuts = step.given.get("cuts", 0.0)
            case "cache" if self.cache is not None:
                self.cache.mood = step.given["mood"]
            case "sleep":
                self.sleep(step.given["seconds"])
            case "kill":
                await self.kill(step.given["cut"], step.given.get("overlap"))
            case "reopen" if step.on < len(self.tables):
                await self.reopen(self.tables[step.on], step.given["drain"])
            case "record":
                pass  # its being there is all it says
            case _ if step.on < len(self.tables):
                await self.tables[step.on].play(step.do, step.given)

    def check(self) -> None:
        for table in self.tables:
            table.held.check()
        self.clean()

    def clean(self) -> None:
        """Nothing may come through that is not a guest's own fault, and nobody read a clock."""
        now = self.loop.time()
        _none_came_through(self.escaped, now)
        for record in self.said:
            if record.exc_info and not isinstance(record.exc_info[1], GuestError):
                raise Broken("G10", f"no guest's fault: {record.getMessage()}", at=now)
        self.said.clear()
        for reading in self.ambience:
            raise Broken("G8", reading, at=now)

    async def end(self) -> None:
        loop = self.loop
        begun = loop.time()
        for table in self.tables:
            table.held.known.closing = True
        await self.game.aclose(self.history.drain)
        await loop.idle()
        self.check()
        for table in self.tables:
            table.held.finish()
            session, held = table.session, table.held
            shown = [(viewer, session.transcript.text(viewer)) for viewer in (None, *held.views)]
            self.digest.update(repr([session.trace_sha256, held.known.events, shown]).encode())
            self.done.outcomes += len(held.known.happenings)
            report = session.report()
            again = {f"{how} again": many for how, many in report["retold"].items()}
            self.done.served.update(report["served"] | again)
        self.check()
        self.done.streams = len(self.model.streams)
        self.done.met.update(self.answers.met(self.model.streams))
        if self.cache is not None:
            self.done.met.update({f"cache {mood}": n for mood, n in self.cache.met.items()})
        if self.sentinel is not None:
            self.done.met.update(self.sentinel.met)
        self.done.seconds = begun - self.slept
        self.done.digest = self.digest.hexdigest()

    def sleep(self, seconds: float) -> None:
        """The loop's time leaps forward, and every timer in between is late."""
        loop = self.loop
        fell = loop.time()
        loop.advance_to(fell + seconds)
        self.slept += seconds
        for table in self.tables:
            table.held.slept(fell, loop.time())

    async def reopen(self, table: Table, drain: float) -> None:
        """One session is closed in good order, and goes on from its log while others play."""
        if self.folder is None:
            return
        table.held.known.closing = True
        await table.session.close(drain)
        await self.loop.idle()
        table.held.finish()
        books = Books(table.held)
        self.gone(table)
        table.resume(await self.game.session(table.session.id), {})
        books.compare(table.session.report())

    def gone(self, table: Table) -> None:
        """A session is over, and what there is to see of it is kept."""
        table.held.leave()
        self.digest.update(repr([table.session.trace_sha256, table.held.known.events]).encode())

    async def kill(self, cut: float, overlap: str | None) -> None:
        """The process is gone at once, in the midst of a line; another goes on from the logs.

        :param overlap: its new policy, if it is started with another.
        """
        if self.folder is None:
            return
        logs = [Path(self.folder, f"{table.session.id}.jsonl") for table in self.tables]
        kept = [_cut_off(log.read_bytes(), cut) for log in logs]
        books = [Books(table.held) for table in self.tables]
        for table in self.tables:
            self.gone(table)
        await self.game.aclose(0.0)
        for log, (raw, _) in zip(logs, kept, strict=True):
            os.truncate(log, len(raw))  # it has only grown since
        if overlap is not None:
            given = {**self.settings.model_dump(), "overlap": overlap}
            self.settings = Settings.model_validate(given)
        self.game = self.started()
        for table, (_, lost), before in zip(self.tables, kept, books, strict=True):
            table.resume(await self.game.session(table.session.id), lost)
            if not lost:
                before.compare(table.session.report())


def _cut_off(raw: bytes, cut: float) -> tuple[bytes, dict[str, Any]]:
    """A log cut at a byte of its last line, and that line, if nothing can be made of the rest."""
    last = raw.rstrip(b"\n").rfind(b"\n") + 1
    size = len(raw) - last
    if last == 0:
        return raw, {}
    kept = int(cut * size)
    line: dict[str, Any] = orjson.loads(raw[last:])
    return raw[: last + kept], line if kept < size - 1 else {}


def _virtual() -> VirtualLoop:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


@contextmanager
def _quiet() -> Iterator[list[logging.LogRecord]]:
    """What the library logs is kept, and said nowhere: here, much goes wrong on purpose."""
    said: list[logging.LogRecord] = []

    class Kept(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record)

    logger, handler = logging.getLogger("foretell"), Kept()
    before = logger.propagate
    unread = {name: getattr(logging, name) for name in UNREAD}
    logger.addHandler(handler)
    logger.propagate = False
    vars(logging).update(dict.fromkeys(unread))
    try:
        yield said
    finally:
        vars(logging).update(unread)
        logger.removeHandler(handler)
        logger.propagate = before
