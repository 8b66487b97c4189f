"""``~`` lines of a recording that were put into another order: which should stand where."""

from __future__ import annotations

from contextlib import suppress
from os import PathLike

from ..streams.log import LogError, Record
from ..streams.log_read import BadLine, open_lines, parse
from ..streams.log_seal import check

__all__ = ["standing"]


def standing(path: str | PathLike[str], n: int) -> Record | None:
    """The ``~`` line of this number, wherever it stands; ``None`` if it is missing or was changed.

    Whatever else is wrong with the log, its time among it, is passed over.
    """
    mark = b'"n":%d' % n
    with suppress(LogError), open_lines(path, lambda _: None) as lines:
        for line in lines:
            with suppress(BadLine):
                if mark in line.raw and (data := parse(line.raw)).get("n") == n and check(data):
                    return Record(line.number, data, line.file)
    return None
