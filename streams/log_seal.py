"""The seal of a ``~`` line: its number among all of its log, and its checksum."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from typing import Any

import orjson

__all__ = ["SEAL", "Seals", "check", "input_sum", "seal", "sealed"]

SEAL = ("inputs", "n", "sum")
"""The fields of a seal."""

SUM = b',"sum":'


def sealed(raw: bytes, n: int, inputs: int = 0) -> bytes:
    """The line of a JSON object, with its number ``n`` and its checksum.

    The checksum, ``sum``, is the CRC-32 of all that stands before it.

    :param inputs: the CRC-32 of the input lines since the ``~`` line before; 0 if there are none.
    """
    head = b'%b%b,"n":%d' % (raw[:-1], b',"inputs":"%08x"' % inputs if inputs else b"", n)
    return b'%b,"sum":"%08x"}\n' % (head, zlib.crc32(head))


def seal(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with its checksum."""
    return {**record, "sum": _sum(record)}


def check(record: Mapping[str, Any]) -> bool:
    """Whether the record carries the right checksum; blanks between its fields do not count."""
    return record.get("sum") == _sum(record)


def input_sum(record: Mapping[str, Any], before: int = 0) -> int:
    """The CRC-32 of an input's line, after those ``before``; blanks do not count."""
    return zlib.crc32(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE), before)


def _sum(record: Mapping[str, Any]) -> str:
    if [*record][-1:] == ["sum"]:  # as it was written
        raw = orjson.dumps(record)
        return f"{zlib.crc32(raw[: raw.rfind(SUM)]):08x}"
    body = {key: value for key, value in record.items() if key != "sum"}
    return f"{zlib.crc32(orjson.dumps(body)[:-1]):08x}"


class Seals:
    """Follows the ``~`` lines of a log, and tells where one was changed or is missing.

    :param n: the number of the one before the first; ``None`` where it is not known.
    """

    def __init__(self, n: int | None = 0) -> None:
        self.n = n

    def problem(self, data: Mapping[str, Any]) -> str | None:
        """What is wrong with the next ``~`` line, if anything is."""
        before, n = self.n, data.get("n")
        due = None if before is None else before + 1
        self.n = n if isinstance(n, int) else None
        if not check(data):
            self.n = due
            return "bad checksum; the line was changed or damaged after it was written"
        if due is None or self.n is None or n == due:
            return None
        if self.n < due:
            return f"is ~ line {n}, where {due} should be; the lines were put into another order"
        what = f"~ line {due} is" if self.n == due + 1 else f"~ lines {due} to {self.n - 1} are"
        return f"{what} missing before it, or stands after it; restore the log from a copy"
