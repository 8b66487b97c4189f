"""Dropping old queries from a usage history: what was of them is counted."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable

from .usage_blocks import BLOCK, Row, insert, rows_of

__all__ = ["pruned"]

Hours = Callable[[float], tuple[int, int]]
"""Hour and weekday of a moment."""


def pruned(db: sqlite3.Connection, hours: Hours, since: float, keep: int | None) -> int:
    """Drop what is older than ``since``, and all but the ``keep`` newest; for a transaction.

    :return: how many were dropped.
    """
    dropped, upto = 0, _upto(db, keep)
    ask = "SELECT last FROM packed WHERE oldest < ? OR first <= ? ORDER BY last"
    for last in db.execute(ask, (since, upto)).fetchall():
        ask = "DELETE FROM packed WHERE last = ? RETURNING first, data"
        rows = rows_of(*db.execute(ask, last).fetchone())
        if stay := [row for row in rows if row.at >= since and row.id > upto]:
            insert(db, stay)
        dropped += _fold(db, [row for row in rows if row.at < since or row.id <= upto], hours)
    ask = "SELECT id, at, subject, module, hit FROM queries WHERE at < ? OR id <= ? LIMIT ?"
    while rows := [Row._make(row) for row in db.execute(ask, (since, upto, BLOCK))]:
        db.executemany("DELETE FROM queries WHERE id=?", [row[:1] for row in rows])
        dropped += _fold(db, rows, hours)
    return dropped


def _upto(db: sqlite3.Connection, keep: int | None) -> int:
    """The number up to which queries are dropped, so that ``keep`` are left; 0 for none."""
    if keep is None:
        return 0
    ask = "SELECT id FROM queries ORDER BY id DESC LIMIT 1 OFFSET ?"
    if (found := db.execute(ask, (keep,)).fetchone()) is not None:
        return int(found[0])
    (plain,) = db.execute("SELECT COUNT(*) FROM queries").fetchone()
    left = keep - plain
    ask = "SELECT first, last, many FROM packed ORDER BY last DESC"
    for first, last, many in db.execute(ask).fetchall():
        if many > left:
            (data,) = db.execute("SELECT data FROM packed WHERE last=?", (last,)).fetchone()
            return int(rows_of(first, data)[many - left - 1].id)
        left -= many
    return 0


def _fold(db: sqlite3.Connection, rows: list[Row], hours: Hours) -> int:
    counts = Counter((row.subject, row.module, *hours(row.at), row.hit) for row in rows)
    db.executemany(
        "INSERT INTO folded VALUES(?,?,?,?,?,?) ON CONFLICT DO UPDATE SET"
        " hits = hits + excluded.hits, misses = misses + excluded.misses",
        [(*key, many * hit, many * (1 - hit)) for (*key, hit), many in counts.items()],
    )
    return len(rows)
