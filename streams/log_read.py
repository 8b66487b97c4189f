"""Reading a session log as a stream: plain or gzip, in one part or several, whole or cut off."""

from __future__ import annotations

import io
import logging
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import orjson

from ..errors import ForetellError
from .log_own import own_problem
from .log_parts import continued, earlier_parts, find_part, part_path
from .log_schema import FORMAT, MAX_DEPTH, Record, problems, too_deep
from .log_seal import Seals

__all__ = [
    "MAX_LINE",
    "BadLine",
    "Line",
    "LogError",
    "Warn",
    "is_gzip",
    "is_log",
    "log_warning",
    "open_lines",
    "parse",
    "read",
    "read_header",
]

MAX_LINE = 64 * 1024 * 1024
"""The longest line that is read, in bytes."""

TOO_DEEP = f"nested more than {MAX_DEPTH} levels deep; flatten the state"
CHUNK = 64 * 1024
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

Warn = Callable[[str], None]


class Line(NamedTuple):
    """A raw line: its number in its file (from 1), its bytes, whether it is the log's last."""

    number: int
    raw: bytes
    last: bool
    file: str


class LogError(ForetellError):
    """A session log cannot be used. ``str(error)`` is one line: file, line, reason, what to do.

    ``line`` is 0 where the file as a whole is meant.
    """

    def __init__(self, path: str | os.PathLike[str], line: int, reason: str) -> None:
        self.path, self.line, self.reason = os.fspath(path), line, reason
        super().__init__(
            f"{self.path}: line {line}: {reason}" if line else f"{self.path}: {reason}"
        )


class BadLine(Exception):
    """A line that is not a JSON object. ``broken`` where it may be the beginning of one."""

    def __init__(self, reason: str, broken: bool = False) -> None:
        super().__init__(reason)
        self.broken = broken


def log_warning(message: str) -> None:
    """Where warnings go that nobody asked for."""
    logging.getLogger("foretell.log").warning(message)


def is_gzip(path: str | os.PathLike[str]) -> bool:
    """Whether a file holds gzip data, by its first bytes."""
    with Path(path).open("rb") as file:
        return file.read(2) == GZIP_MAGIC


class _Gunzip(io.RawIOBase):
    """Bytes of a gzip file as far as they go; ``cut`` tells that its end is missing."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path
        self._chunks, self._left = self._inflated(), memoryview(b"")
        self.cut = False

    def readable(self) -> bool:
        return True

    def readinto(self, into: Any, /) -> int:
        self._left = self._left or memoryview(next(self._chunks, b""))
        size = min(len(into), len(self._left))
        into[:size], self._left = self._left[:size], self._left[size:]
        return size

    def _inflated(self) -> Iterator[bytes]:
        member = zlib.decompressobj(wbits=31)
        fresh = True
        while block := self._file.read(CHUNK):
            while block:
                try:
                    data = member.decompress(block)
                except zlib.error as error:
                    if fresh and not block.strip(b"\0"):
                        return  # zero padding after the last member, as some tools leave it
                    raise LogError(
                        self._path, 0, f"damaged gzip data ({error}); restore it from a copy"
                    ) from None
                fresh = False
                if data:
                    yield data
                block = member.unused_data
                if member.eof:
                    member, fresh = zlib.decompressobj(wbits=31), True
        self.cut = not fresh


def _split(file: BinaryIO | io.BufferedReader, path: str) -> Iterator[bytes]:
    """Lines, each with its newline, but for a last one that has none."""
    number = 0
    while line := file.readline(MAX_LINE + 1):
        number += 1
        if len(line) > MAX_LINE:
            most = MAX_LINE // 2**20
            raise LogError(path, number, f"longer than {most} MiB; write large states as patches")
        yield line


@contextmanager
def open_lines(
    path: str | os.PathLike[str], warn: Warn | None = None
) -> Generator[Iterator[Line], None, None]:
    """The raw lines of a log, its earlier parts first, each plain or gzip (told by its bytes).

    Of the headers only that of the first part is given. A gzip file whose end is missing gives what
    there is, and a warning once it is read through.

    :raises LogError: while iterating, when what is missing or damaged is come to.
    """
    with closing(_all_lines(os.fspath(path), warn or log_warning)) as lines:
        yield lines


def _all_lines(name: str, warn: Warn) -> Generator[Line, None, None]:
    with closing(file_lines(name, warn)) as lines:
        first = next(lines)
        parts = earlier_parts(name, _header(first))
        for number in range(1, parts + 1):
            yield from _part(name, number, parts, _header(first).get("id"))
        if not parts:
            yield first
        yield from lines


def _part(name: str, number: int, parts: int, session: Any) -> Generator[Line, None, None]:
    found = find_part(name, number)
    if found is None:
        of = f"{name} has {parts} earlier part{'s' if parts > 1 else ''}"
        missing = f"{part_path(name, number)}.gz"
        raise LogError(missing, 0, f"is missing; {of}: put it back beside the others")

    def cut(_: str) -> None:
        raise LogError(found, 0, "gzip data cut off before its end; restore it from a copy")

    with closing(file_lines(found, cut)) as lines:
        first = next(lines)
        before, header = number - 1, _header(first)
        if header.get("id") != session or continued(header) != before:
            raise LogError(found, 1, f"is not part {number} of {name}; put the right one there")
        if not before:
            yield first
        for line in lines:
            yield line._replace(last=False)


def _header(first: Line) -> dict[str, Any]:
    try:
        return parse(first.raw)
    except BadLine:
        return {}


def file_lines(name: str, warn: Warn) -> Generator[Line, None, None]:
    """The raw lines of one file."""
    with _opened(name) as file:
        yield from _numbered(file, name, warn)


def _opened(name: str) -> BinaryIO:
    try:
        if os.path.isdir(name):
            raise LogError(name, 0, "is a directory; name one of the logs in it")
        if os.path.exists(name) and not os.path.isfile(name):
            raise LogError(name, 0, "is no file but a pipe or a device; save the log as a file")
        return Path(name).open("rb")
    except FileNotFoundError:
        raise LogError(name, 0, "no such file; check the path") from None
    except OSError as error:
        raise LogError(name, 0, f"cannot be read: {error.strerror}") from None


def _numbered(file: BinaryIO, name: str, warn: Warn) -> Iterator[Line]:
    magic = file.read(2)
    file.seek(0)
    zipped = _Gunzip(file, name) if magic == GZIP_MAGIC else None
    if zipped is None and name.endswith(".gz"):
        raise LogError(name, 0, "is not gzip data; take .gz off its name or compress it")
    number, held = 0, b""
    for line in _split(io.BufferedReader(zipped, CHUNK) if zipped else file, name):
        if number:
            yield Line(number, held, False, name)
        number, held = number + 1, line if number else line.removeprefix(BOM)
    if zipped and zipped.cut:
        if not number:
            raise LogError(name, 0, "gzip data cut off before the first line; nothing is left")
        warn(f"{name}: the gzip data is cut off after line {number}; read what was there")
    if not number:
        raise LogError(name, 0, "is empty; a session log begins with a line of kind session")
    yield Line(number, held, True, name)


def parse(raw: bytes) -> dict[str, Any]:
    """The object in a line.

    :raises BadLine: if there is none, with the reason.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "ecursion" in error.msg or "depth" in error.msg:
            raise BadLine(TOO_DEEP) from None
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            raise BadLine("not UTF-8; save the file as UTF-8", broken=True) from None
        reason = "an empty line" if not raw.strip() else f"not JSON ({error.msg})"
        raise BadLine(f"{reason}; each line must be one JSON object", broken=True) from None
    if not isinstance(value, dict):
        raise BadLine("not a JSON object; each line must be one")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and too_deep(value):
        raise BadLine(TOO_DEEP)
    return value


def header_problem(data: dict[str, Any]) -> str | None:
    """Why a first line is not the header of a log this version reads, if it is not."""
    if data.get("kind") != "session":
        return (
            "not a session log (the first line must be of kind session); "
            "bring foreign recordings in with: foretell import FORMAT FILE"
        )
    version = data.get("format")
    if isinstance(version, int) and version > FORMAT:
        return (
            f"written by a newer Foretell (format {version}, this one reads up to {FORMAT}); "
            "upgrade foretell to read it"
        )
    if version != FORMAT or isinstance(version, bool):
        return f'"format" must be {FORMAT}, not {version!r}'
    wrong = problems(data)
    return wrong[0] if wrong else None


def torn(line: Line, bad: BadLine) -> bool:
    """Whether a bad line may be one that a crash cut short."""
    return line.last and line.number > 1 and bad.broken and not line.raw.endswith(b"\n")


def torn_warning(line: Line) -> str:
    return f"{line.file}: line {line.number}: cut short, dropped (the writer was probably killed)"


def seals_of(header: dict[str, Any]) -> Seals:
    """To follow the ``~`` lines after this header: of a part read alone, from where it begins."""
    return Seals(header["continues"].get("n") if continued(header) else 0)


def read(
    path: str | os.PathLike[str], *, warn: Warn | None = None, sealed: bool = False
) -> Iterator[Record]:
    """The records of a log, in order, the header first. Memory does not grow with the log.

    Unknown kinds and fields are passed on as they are. A last line cut short by a crash, or gzip
    data without its end, gives what is whole and one call of ``warn`` (by default: a log message).
    A log in several parts is read as one when it is named by its newest part (see ``log_parts``).

    :param sealed: whether every ``~`` line must be there, and as it was written.
    :raises LogError: while iterating, at the first line that breaks the format.
    """
    warn = warn or log_warning
    now = 0.0
    seals = Seals()
    with open_lines(path, warn) as lines:
        for line in lines:
            try:
                data = parse(line.raw)
            except BadLine as bad:
                if torn(line, bad):
                    warn(torn_warning(line))
                    continue
                raise LogError(line.file, line.number, str(bad)) from None
            if line.number == 1:
                wrong = header_problem(data)
                seals = seals_of(data)
            else:
                found = problems(data)
                wrong = found[0] if found else None
            if not wrong and data["t"] < now:
                wrong = backwards(data["t"], now)
            if not wrong and sealed and data["kind"].startswith("~"):
                wrong = seals.problem(data) or own_problem(data)
            if wrong:
                raise LogError(line.file, line.number, wrong)
            now = data["t"]
            yield Record(line.number, data, line.file)


def backwards(t: float, now: float) -> str:
    return f"time goes backwards (t {t:g} after {now:g}); sort the lines by t"


def read_header(path: str | os.PathLike[str]) -> Record:
    """The first line of a log.

    :raises LogError: if it is not a session log.
    """
    for record in read(path):
        return record
    raise LogError(path, 0, "is empty; a session log begins with a line of kind session")


def is_log(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a session log."""
    try:
        return read_header(path).kind == "session"
    except LogError:
        return False
