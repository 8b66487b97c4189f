"""Reading a session log as a stream, plain or gzip, whole or cut off by a crash."""

from __future__ import annotations

import logging
import os
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from ..errors import ForetellError
from .log_schema import FORMAT, MAX_DEPTH, Record, problems, too_deep

__all__ = [
    "MAX_LINE",
    "BadLine",
    "Line",
    "LogError",
    "Warn",
    "is_gzip",
    "log_warning",
    "open_lines",
    "parse",
    "read",
    "read_header",
]

MAX_LINE = 64 * 1024 * 1024
"""The longest line that is read, in bytes."""

CHUNK = 64 * 1024
GZIP_MAGIC = b"\x1f\x8b"
BOM = b"\xef\xbb\xbf"

Warn = Callable[[str], None]
Line = tuple[int, bytes, bool]
"""Number (the first is 1), bytes without the newline, and whether it is the last."""


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


class _Gunzip:
    """Bytes of a gzip file as far as they go; ``cut`` tells that its end is missing."""

    def __init__(self, file: BinaryIO, path: str) -> None:
        self._file, self._path = file, path
        self.cut = False

    def chunks(self) -> Iterator[bytes]:
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


def _plain(file: BinaryIO) -> Iterator[bytes]:
    while block := file.read(CHUNK):
        yield block


def _split(chunks: Iterator[bytes], path: str) -> Iterator[bytes]:
    """Lines, each with its newline, but for a last one that has none."""
    parts: list[bytes] = []
    size = number = 0
    for chunk in chunks:
        for piece in _on_newline(chunk):
            parts.append(piece)
            size += len(piece)
            if size > MAX_LINE:
                raise LogError(
                    path,
                    number + 1,
                    f"longer than {MAX_LINE // 2**20} MiB; write large states as patches",
                )
            if piece.endswith(b"\n"):
                number += 1
                yield b"".join(parts)
                parts, size = [], 0
    if parts:
        yield b"".join(parts)


def _on_newline(chunk: bytes) -> list[bytes]:
    *whole, rest = chunk.split(b"\n")
    return [*(line + b"\n" for line in whole), *([rest] if rest else [])]


@contextmanager
def open_lines(
    path: str | os.PathLike[str], warn: Warn | None = None
) -> Generator[Iterator[Line], None, None]:
    """The raw lines of a file, plain or gzip (told by its first bytes, not by its name).

    A gzip file whose end is missing gives what there is, and a warning once it is read through.
    """
    name = os.fspath(path)
    warn = warn or log_warning
    try:
        if os.path.isdir(name):
            raise LogError(name, 0, "is a directory; name one of the logs in it")
        file = Path(name).open("rb")  # noqa: SIM115 (closed below)
    except FileNotFoundError:
        raise LogError(name, 0, "no such file; check the path") from None
    except OSError as error:
        raise LogError(name, 0, f"cannot be read: {error.strerror}") from None
    with file:
        yield _numbered(file, name, warn)


def _numbered(file: BinaryIO, name: str, warn: Warn) -> Iterator[Line]:
    magic = file.read(2)
    if not magic:
        raise LogError(name, 0, "is empty; a session log begins with a line of kind session")
    file.seek(0)
    zipped = _Gunzip(file, name) if magic == GZIP_MAGIC else None
    if zipped is None and name.endswith(".gz"):
        raise LogError(name, 0, "is not gzip data; take .gz off its name or compress it")
    chunks = zipped.chunks() if zipped else _plain(file)
    number, held = 0, b""
    for line in _split(chunks, name):
        if number:
            yield number, held, False
        number, held = number + 1, line if number else line.removeprefix(BOM)
    if number:
        yield number, held, True
    if zipped and zipped.cut:
        if not number:
            raise LogError(name, 0, "gzip data cut off before the first line; nothing is left")
        warn(f"{name}: the gzip data is cut off after line {number}; read what was there")


def parse(raw: bytes) -> dict[str, Any]:
    """The object in a line.

    :raises BadLine: if there is none, with the reason.
    """
    deep = f"nested more than {MAX_DEPTH} levels deep; flatten the state"
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        if "ecursion" in error.msg or "depth" in error.msg:
            raise BadLine(deep) from None
        try:
            raw.decode("utf-8")
        except UnicodeDecodeError:
            raise BadLine("not UTF-8; save the file as UTF-8", broken=True) from None
        reason = "an empty line" if not raw.strip() else f"not JSON ({error.msg})"
        raise BadLine(f"{reason}; each line must be one JSON object", broken=True) from None
    if not isinstance(value, dict):
        raise BadLine("not a JSON object; each line must be one")
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and too_deep(value):
        raise BadLine(deep)
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


def torn(number: int, last: bool, bad: BadLine) -> bool:
    """Whether a bad line may be one that a crash cut short."""
    return last and number > 1 and bad.broken


def torn_warning(name: str, number: int) -> str:
    return f"{name}: line {number}: cut short, dropped (the writer was probably killed)"


def read(path: str | os.PathLike[str], *, warn: Warn | None = None) -> Iterator[Record]:
    """The records of a log, in order, the header first. Memory does not grow with the log.

    Unknown kinds and fields are passed on as they are. A last line cut short by a crash, or gzip
    data without its end, gives what is whole and one call of ``warn`` (by default: a log message).

    :raises LogError: while iterating, at the first line that breaks the format.
    """
    name = os.fspath(path)
    warn = warn or log_warning
    now = 0.0
    with open_lines(name, warn) as lines:
        for number, raw, last in lines:
            try:
                data = parse(raw)
            except BadLine as bad:
                if torn(number, last, bad):
                    warn(torn_warning(name, number))
                    continue
                raise LogError(name, number, str(bad)) from None
            wrong = header_problem(data) if number == 1 else next(iter(problems(data)), None)
            if wrong:
                raise LogError(name, number, wrong)
            if data["t"] < now:
                raise LogError(name, number, backwards(data["t"], now))
            now = data["t"]
            yield Record(number, data)


def backwards(t: float, now: float) -> str:
    return f"time goes backwards (t {t:g} after {now:g}); sort the lines by t"


def read_header(path: str | os.PathLike[str]) -> Record:
    """The first line of a log.

    :raises LogError: if it is not a session log.
    """
    for record in read(path):
        return record
    raise LogError(path, 0, "is empty; a session log begins with a line of kind session")
