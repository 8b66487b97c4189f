"""Opening the file of a usage store: made if new, set aside if damaged or of something else."""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from itertools import count

from ..streams.log_lock import LogLock
from ..streams.log_read import LogError

__all__ = ["Busy", "opened"]

OURS = 0x466F7265  # "Fore"
VERSION = 2
TRIES = 100
BESIDE = ("", "-wal", "-shm")

PACKED = """
CREATE TABLE packed(
    last INTEGER PRIMARY KEY, first INTEGER NOT NULL, many INTEGER NOT NULL, hits INTEGER NOT NULL,
    oldest REAL NOT NULL, data BLOB NOT NULL
)"""

SCHEMA = f"""
CREATE TABLE meta(name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO meta VALUES('hits', 0), ('misses', 0);
CREATE TABLE queries(
    id INTEGER PRIMARY KEY AUTOINCREMENT, at REAL NOT NULL, subject TEXT NOT NULL,
    module TEXT NOT NULL, hit INTEGER NOT NULL
);
CREATE TABLE folded(
    subject TEXT NOT NULL, module TEXT NOT NULL, hour INTEGER NOT NULL, day INTEGER NOT NULL,
    hits INTEGER NOT NULL, misses INTEGER NOT NULL, PRIMARY KEY(subject, module, hour, day)
) WITHOUT ROWID;
{PACKED};
PRAGMA application_id = {OURS};
PRAGMA user_version = {VERSION}
"""


class Busy(Exception):
    """The file cannot be opened now, or not by this version."""


class _Unusable(Exception):
    """The file is damaged, or holds something else."""


def opened(path: str, patience: float) -> tuple[sqlite3.Connection, str | None]:
    """The open file, and under which name another one was set aside, if one was.

    :param patience: seconds to wait for other writers.
    :raises Busy: if others never leave it, or a newer version wrote it.
    :raises sqlite3.Error: if it cannot be opened.
    """
    aside = None
    for _ in range(TRIES):
        try:
            return _connected(path, patience), aside
        except _Unusable:
            try:
                lock = LogLock(path)
            except LogError:
                continue  # another is about to set it aside
            try:
                with suppress(_Unusable):
                    _connected(path, patience).close()
                    continue  # another has done it in the meantime
                aside = _set_aside(path)
            finally:
                lock.release()
    raise Busy("cannot be opened: it is set aside again and again")


def _connected(path: str, patience: float) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=patience, isolation_level=None, check_same_thread=False)
    db.text_factory = _text
    try:
        found = _of(db)
        if found is None:
            _begun(db)
        elif found > VERSION:
            raise Busy("was written by a newer version of foretell; update this one")
        elif found < VERSION:
            _upgraded(db)
        db.execute("PRAGMA synchronous = NORMAL")
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError) and "malformed" not in str(error):
            raise
        raise _Unusable from None
    except BaseException:
        db.close()
        raise
    return db


def _text(data: bytes) -> str:
    return data.decode(errors="replace")  # a damaged letter must not cost the rest


def _of(db: sqlite3.Connection) -> int | None:
    """The version of the file, ``None`` for a new one.

    :raises _Unusable: for one that is damaged, or not ours.
    """
    (tables,) = db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()
    (owner,) = db.execute("PRAGMA application_id").fetchone()
    if not tables and not owner:
        return None
    if owner != OURS or db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
        raise _Unusable
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _begun(db: sqlite3.Connection) -> None:
    for _ in range(TRIES):
        with suppress(sqlite3.OperationalError):  # two at once: the lock is not waited for
            db.execute("PRAGMA journal_mode = WAL")
            break
    db.execute("BEGIN IMMEDIATE")
    if _of(db) is None:
        for statement in SCHEMA.split(";"):
            db.execute(statement)
    db.execute("COMMIT")


def _upgraded(db: sqlite3.Connection) -> None:
    """A file of the first version: it had no blocks."""
    db.execute("BEGIN IMMEDIATE")
    if _of(db) == 1:  # else another has done it in the meantime
        db.execute(PACKED)
        db.execute(f"PRAGMA user_version = {VERSION}")
    db.execute("COMMIT")


def _set_aside(path: str) -> str:
    """Rename it, with what lies beside it, to the first name that is free."""
    name = next(name for n in count(1) if not os.path.lexists(name := f"{path}.aside-{n}"))
    for end in BESIDE:
        with suppress(FileNotFoundError):
            os.rename(path + end, name + end)
    return name
