"""Old queries of a usage history in compressed blocks: some 5 bytes each in place of 50 or more.

A block holds queries in the order they were recorded. Numbers are laid out by columns of bytes, so
that what hardly changes from row to row takes next to nothing; words stand in a block once.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Sequence
from struct import Struct, error
from typing import NamedTuple

import orjson

__all__ = [
    "BLOCK",
    "Asked",
    "Damaged",
    "Row",
    "asked_of",
    "damaged_aside",
    "insert",
    "pack_one",
    "rows_of",
]

BLOCK = 4_096
"""Queries in a block; fewer, where their words are long."""

WORDS = 1_000_000
"""Characters of words, with which a block is full."""

LARGEST = 16 * 1024 * 1024
"""Bytes that no block comes to: its words in JSON, and its numbers."""

ROW = Struct("<QdHB")
HEAD = Struct("<II")


class Damaged(Exception):
    """A block is not what it was."""


class Row(NamedTuple):
    """A recorded query, with its number."""

    id: int
    at: float
    subject: str
    module: str
    hit: int


Asked = tuple[int, float, tuple[str, str], int]
"""The same, with subject and module as one key."""


def packed(rows: Sequence[Row]) -> bytes:
    """A block of some rows."""
    names: dict[tuple[str, str], int] = {}
    numbers = b"".join(
        ROW.pack(
            row.id - rows[0].id, row.at, names.setdefault((row.subject, row.module), len(names)),
            row.hit,
        )
        for row in rows
    )  # fmt: skip
    words = orjson.dumps(list(names))
    columns = b"".join(numbers[at :: ROW.size] for at in range(ROW.size))
    return zlib.compress(HEAD.pack(len(words), len(rows)) + words + columns)


def asked_of(first: int, data: bytes) -> list[Asked]:
    """What is in a block whose first number is ``first``; equal keys are one object.

    :raises Damaged: for what is none.
    """
    try:
        opener = zlib.decompressobj()
        plain = opener.decompress(data, LARGEST)
        size, many = HEAD.unpack_from(plain)
        columns = plain[HEAD.size + size :]
        if opener.unconsumed_tail or not opener.eof or len(columns) != many * ROW.size:
            raise Damaged("a block of the history is damaged")
        names = orjson.loads(plain[HEAD.size : HEAD.size + size])
        numbers = bytearray(len(columns))
        for at in range(ROW.size):
            numbers[at :: ROW.size] = columns[at * many : (at + 1) * many]
        keys = [(subject, module) for subject, module in names]
        return [(first + n, at, keys[name], hit) for n, at, name, hit in ROW.iter_unpack(numbers)]
    except (zlib.error, error, ValueError, IndexError, TypeError) as wrong:
        raise Damaged(f"a block of the history is damaged: {wrong}") from None


def rows_of(first: int, data: bytes) -> list[Row]:
    """The rows of a block whose first number is ``first``.

    :raises Damaged: for what is none.
    """
    return [Row(n, at, *key, hit) for n, at, key, hit in asked_of(first, data)]


def insert(db: sqlite3.Connection, rows: Sequence[Row]) -> None:
    """Put rows into the file as a block."""
    hits = sum(row.hit for row in rows)  # ints
    oldest = min(row.at for row in rows)
    block = rows[-1].id, rows[0].id, len(rows), hits, oldest, packed(rows)
    db.execute("INSERT INTO packed VALUES(?,?,?,?,?,?)", block)


def pack_one(db: sqlite3.Connection, keep: int) -> int:
    """Make a block of the oldest plain rows, if that leaves ``keep`` of them; return of how many.

    For a transaction: a row is in a block or among the plain ones, and never in both.
    """
    (many,) = db.execute("SELECT COUNT(*) FROM queries").fetchone()
    if many < keep + BLOCK:
        return 0
    rows: list[Row] = []
    length = 0
    ask = "SELECT id, at, subject, module, hit FROM queries ORDER BY id LIMIT ?"
    for row in map(Row._make, db.execute(ask, (BLOCK,))):
        rows.append(row)
        length += len(row.subject) + len(row.module)
        if length >= WORDS:
            break
    insert(db, rows)
    db.execute("DELETE FROM queries WHERE id <= ?", (rows[-1].id,))
    return len(rows)


def damaged_aside(db: sqlite3.Connection) -> int:
    """Move damaged blocks to a table of their own, as they are; return of how many queries.

    For a transaction. Those leave the history, and stay in the totals.
    """
    lost = 0
    ask = "SELECT last, first, many, hits, data FROM packed"
    for last, first, many, hits, data in db.execute(ask).fetchall():
        try:
            asked_of(first, data)
        except Damaged:
            lost += many
            db.execute("CREATE TABLE IF NOT EXISTS damaged AS SELECT * FROM packed WHERE 0")
            db.execute("INSERT INTO damaged SELECT * FROM packed WHERE last = ?", (last,))
            db.execute("DELETE FROM packed WHERE last = ?", (last,))
            for name, count in (("hits", hits), ("misses", many - hits)):
                db.execute("UPDATE meta SET value = value + ? WHERE name = ?", (count, name))
    return lost
