"""What was queried, when, and whether it was there: one SQLite file for any number of processes.

Each record is one short transaction in write-ahead mode: several processes may write at once, and
what was recorded is there, however the process that recorded it ends (a power cut may take the last
moments). All but the newest are kept in compressed blocks. What is pruned stays in the totals,
counted by key, hour and weekday.
"""

from __future__ import annotations

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple, Self, TypeVar

from ..errors import ForetellError
from . import usage_blocks as blocks
from .usage_blocks import Asked, Damaged
from .usage_file import Busy, opened
from .usage_prune import pruned

__all__ = ["Query", "Totals", "UsageError", "UsageStore", "checked"]

T = TypeVar("T")

log = logging.getLogger("foretell")

LONGEST = 100_000
"""Characters that a subject or a module may have."""

PLAIN = 10_000
"""So many of the newest queries are in no block: those are quick to write."""

FREE = 64
"""Pages that a file may have for nothing, 4 KB each, and more if it uses as many."""

EARLIEST, LATEST = -62_000_000_000, 253_402_000_000
"""Seconds since 1970 of years with four digits."""


class UsageError(ForetellError):
    """The usage store cannot be used, or what it was given cannot be recorded."""


class Query(NamedTuple):
    """One query: seconds since 1970 (UTC), what was asked for, and whether it was there."""

    at: float
    subject: str
    module: str
    hit: bool


class Totals(NamedTuple):
    """All queries ever recorded, pruned ones and those of no known key included."""

    hits: int
    misses: int

    @property
    def queries(self) -> int:
        """How many there were."""
        return self.hits + self.misses

    @property
    def hit_rate(self) -> float:
        """Hits by queries; 0 before the first."""
        return self.hits / self.queries if self.queries else 0.0


class UsageStore:
    """The usage history of one file. It may be used by several threads.

    A file that is damaged, or of something else, is set aside under another name, and a new one
    begun; ``set_aside`` says where it is. Of a block of old queries that is damaged, the file keeps
    the bytes, and all else goes on.

    :param path: the file; it is made, with its folder, if there is none.
    :param patience: seconds to wait for other writers.
    :raises UsageError: if it cannot be opened, or was written by a newer version.
    """

    def __init__(self, path: str | os.PathLike[str], patience: float = 30.0) -> None:
        self.path = os.fspath(path)
        self.closed = False
        self._lock = threading.Lock()
        with self._told():
            os.makedirs(os.path.dirname(self.path) or ".", exist_ok=True)
            self._db, self.set_aside = opened(self.path, patience)
        self._file = self._there()

    def __repr__(self) -> str:
        return f"<UsageStore {self.path}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _there(self) -> tuple[int, int] | None:
        with suppress(OSError):
            found = os.stat(self.path)
            return found.st_dev, found.st_ino
        return None

    @property
    def moved(self) -> bool:
        """Whether the file is gone from its place, or another one is there."""
        return self._there() != self._file

    def close(self) -> None:
        """Close the file; what was recorded is in it."""
        with self._lock:
            self._db.close()
            self.closed = True

    def record(self, query: Query) -> int:
        """Add a query. When it returns, it is recorded.

        :return: its number: they rise, from 1, and no two have the same.
        :raises UsageError: for what cannot be recorded; nothing is then.
        """
        row = checked(query)
        ask = "INSERT INTO queries(at, subject, module, hit) VALUES(?,?,?,?)"
        with self._lock, self._told():
            return self._db.execute(ask, row).lastrowid or 0

    def record_all(
        self, queries: Iterable[Query], more: Totals | None = None, mark: str | None = None
    ) -> int:
        """Add many queries at once, or none of them.

        :param more: further hits and misses, of which only the number is known.
        :param mark: names where they are from; a second time it is refused.
        :return: how many there were.
        :raises UsageError: for one that cannot be recorded, or a mark that is there already.
        """
        rows = [checked(query) for query in queries]
        with self._writing():
            if mark is not None:
                found = self._db.execute("SELECT 1 FROM meta WHERE name=?", (mark,)).fetchone()
                if found is not None:
                    raise UsageError("these queries were imported before; they count only once")
                self._db.execute("INSERT INTO meta VALUES(?, 1)", (mark,))
            self._db.executemany(
                "INSERT INTO queries(at, subject, module, hit) VALUES(?,?,?,?)", rows
            )
            for name, count in (more or Totals(0, 0))._asdict().items():
                self._db.execute("UPDATE meta SET value = value + ? WHERE name = ?", (count, name))
        return len(rows)

    def history(self) -> Iterator[Query]:
        """All queries that are kept, in the order they were recorded, up to now.

        It reads a few thousand at a time, as they are asked for.

        :raises UsageError: while it is read, if that cannot be done.
        """
        last = self._last()
        return (Query(at, *key, bool(hit)) for rows in self._read(last) for _, at, key, hit in rows)

    def asked(self) -> tuple[list[float], list[tuple[str, str]]]:
        """When something was asked for, and what, subject and module: the history, faster.

        :raises UsageError: if it cannot be read.
        """
        times: list[float] = []
        keys: list[tuple[str, str]] = []
        for rows in self._read(self._last()):
            times += [at for _, at, _, _ in rows]
            keys += [key for _, _, key, _ in rows]
        return times, keys

    def _last(self) -> int:
        """The number of the newest query."""
        ask = (
            "SELECT MAX(COALESCE((SELECT MAX(id) FROM queries), 0),"
            " COALESCE((SELECT MAX(last) FROM packed), 0))"
        )
        with self._lock, self._told():
            (last,) = self._db.execute(ask).fetchone()
        return int(last)

    def _read(self, last: int) -> Iterator[list[Asked]]:
        after = 0
        while rows := self._some(after, last):
            after = rows[-1][0]
            yield rows

    def _some(self, after: int, last: int) -> list[Asked]:
        return self._in_spite_of_damage(lambda: self._these(after, last))

    def _these(self, after: int, last: int) -> list[Asked]:
        """Rows with numbers above ``after``, in one view of the file: another may be packing."""
        with self._lock, self._told():
            self._db.execute("BEGIN")
            try:
                ask = "SELECT first, data FROM packed WHERE last > ? ORDER BY last LIMIT 1"
                found = self._db.execute(ask, (after,)).fetchone()
                if found is not None:
                    rows = blocks.asked_of(*found)
                else:
                    ask = (
                        "SELECT id, at, subject, module, hit FROM queries"
                        " WHERE id > ? ORDER BY id LIMIT ?"
                    )
                    plain = self._db.execute(ask, (after, blocks.BLOCK))
                    rows = [
                        (n, at, (subject, module), hit) for n, at, subject, module, hit in plain
                    ]
            finally:
                self._db.execute("COMMIT")
        return [row for row in rows if after < row[0] <= last]

    def newest(self, many: int) -> list[float]:
        """When the newest queries were, of those that are in no block; the newest first."""
        with self._lock, self._told():
            rows = self._db.execute("SELECT at FROM queries ORDER BY id DESC LIMIT ?", (many,))
            return [at for (at,) in rows]

    def counted(self) -> Iterator[tuple[str, str, int, int, int]]:
        """What was pruned: subject, module, hour, weekday (0 is Monday), and how many."""
        with self._lock, self._told():
            rows = self._db.execute("SELECT subject, module, hour, day, hits + misses FROM folded")
            return iter(rows.fetchall())

    def totals(self) -> Totals:
        """Hits and misses of all time."""
        ask = (
            "SELECT (SELECT COALESCE(SUM(hit), 0) FROM queries)"
            " + (SELECT COALESCE(SUM(hits), 0) FROM folded)"
            " + (SELECT COALESCE(SUM(hits), 0) FROM packed)"
            " + (SELECT value FROM meta WHERE name='hits'),"
            " (SELECT COUNT(*) - COALESCE(SUM(hit), 0) FROM queries)"
            " + (SELECT COALESCE(SUM(misses), 0) FROM folded)"
            " + (SELECT COALESCE(SUM(many - hits), 0) FROM packed)"
            " + (SELECT value FROM meta WHERE name='misses')"
        )
        with self._lock, self._told():
            hits, misses = self._db.execute(ask).fetchone()
        return Totals(hits, misses)

    def prune(
        self,
        hours: Callable[[float], tuple[int, int]],
        *,
        before: float | None = None,
        keep: int | None = None,
    ) -> int:
        """Drop old queries from the history; they stay in the totals.

        :param hours: hour and weekday of a moment.
        :param before: what is older than this moment, in seconds since 1970.
        :param keep: all but so many of the newest.
        :return: how many were dropped.
        """

        def work() -> int:
            with self._writing():
                return pruned(self._db, hours, EARLIEST if before is None else before, keep)

        return self._in_spite_of_damage(work)

    def pack(self) -> int:
        """Put all but the newest queries into compressed blocks, each in a transaction.

        :return: how many were.
        """
        done = 0
        while True:
            with self._writing():
                many = blocks.pack_one(self._db, PLAIN)
            if not many:
                break
            done += many
        if done:
            # another may need the file: later
            with self._lock, self._told(), suppress(sqlite3.OperationalError):
                (free,) = self._db.execute("PRAGMA freelist_count").fetchone()
                (pages,) = self._db.execute("PRAGMA page_count").fetchone()
                if free > FREE and free > pages // 2:
                    self._db.execute("VACUUM")
        return done

    def check(self) -> str:
        """What SQLite says of the file's integrity: ``ok``, or what is wrong."""
        with self._lock, self._told():
            return str(self._db.execute("PRAGMA integrity_check(1)").fetchone()[0])

    def _in_spite_of_damage(self, work: Callable[[], T]) -> T:
        try:
            return work()
        except Damaged:
            with self._writing():
                lost = blocks.damaged_aside(self._db)
            if lost:  # else another has done it in the meantime
                many = f"{lost:,} queries of the history were damaged"
                log.warning("%s: %s: now in the table damaged; they still count", self.path, many)
            return work()

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        with self._lock, self._told():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError, Busy) as error:
            raise UsageError(f"{self.path}: {error}") from None


def checked(query: Query) -> tuple[Any, ...]:
    """A query as the table has it.

    :raises UsageError: for what cannot be recorded.
    """
    texts: tuple[tuple[str, Any], ...] = (("ticker", query.subject), ("module", query.module))
    for name, text in texts:
        if not isinstance(text, str) or not 0 < len(text) <= LONGEST:
            raise UsageError(f"{name}: must be a text of 1 to {LONGEST:,} characters")
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"{name}: is no text that can be written as UTF-8") from None
    if query.hit not in (True, False):
        raise UsageError("hit: must be true or false")
    try:
        at = float(query.at)
    except (TypeError, ValueError, OverflowError):
        raise UsageError(f"{query.at!r:.40} is no time in seconds since 1970") from None
    if not EARLIEST < at < LATEST:
        raise UsageError(f"{at} is no time in seconds since 1970")
    return at, query.subject, query.module, int(query.hit)
