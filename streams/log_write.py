"""Writing a session log so that a kill at any byte costs at most the line being written."""

from __future__ import annotations

import contextlib
import math
import os
import stat
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, Self

import orjson

from ..errors import ForetellError
from .log_read import (
    BadLine,
    LogError,
    Warn,
    header_problem,
    is_gzip,
    log_warning,
    open_lines,
    parse,
)
from .log_schema import FORMAT, MAX_DEPTH, problems, seal, too_deep

__all__ = ["BadRecord", "LogWriter", "check_target"]

BUFFER = 1024 * 1024
TAIL = 64 * 1024


class BadRecord(ForetellError, ValueError):
    """A record that may not be written: time runs backwards, or it is not of the format."""


def check_target(path: str | os.PathLike[str]) -> str:
    """The file that ``path`` means, links followed, if a log may be written there.

    :raises LogError: for a folder, a device, a file that is write-protected, or a folder to put it
        in that is missing or may not be written.
    """
    named = os.fspath(path)
    real = os.path.realpath(named)
    folder = os.path.dirname(real)
    wrong = ""
    if os.path.isdir(real):
        wrong = "is a directory; name a file in it"
    elif os.path.exists(real):
        mode = os.stat(real).st_mode
        if not stat.S_ISREG(mode):
            wrong = "is not a regular file; name a file"
        elif not (mode & 0o222 and os.access(real, os.W_OK)):
            wrong = "is write-protected; name another file"
    elif not os.path.isdir(folder):
        wrong = "cannot be written: its folder does not exist"
    if not wrong and not os.access(folder, os.W_OK):
        wrong = "cannot be written: its folder is write-protected"
    if wrong:
        raise LogError(named, 0, wrong)
    return real


def _encode(record: Mapping[str, Any]) -> bytes:
    if wrong := problems(record):
        raise BadRecord(f"record not written: {wrong[0]}")
    line = {"t": round(float(record["t"]), 6), "kind": record["kind"], **record}
    line["t"] = round(float(record["t"]), 6)
    try:
        if line["kind"].startswith("~"):
            line = seal(line)
        raw = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
    except TypeError as error:
        raise BadRecord(f"record not written: {error}") from None
    if raw.count(b"{") + raw.count(b"[") > MAX_DEPTH and too_deep(line):
        raise BadRecord("record not written: nested too deeply")
    return raw


class LogWriter:
    """Appends records to a session log; makes it, header first, if it is not there.

    An existing log is continued: a last line cut short by a kill is taken away first, with a
    warning, and time goes on from its last line. ``header`` holds the fields of the ``session``
    line (``t``, ``kind`` and ``format`` are filled in); in an existing log its ``id`` must agree.
    A path that ends in ``.gz`` is compressed.

    :param flush: ``"line"`` hands each record to the system at once, so that a killed process
        loses none; ``"end"`` keeps them until 1 MiB is full or the log is closed; a number of
        seconds keeps them until that much session time has passed. Only whole lines are written.
    :raises LogError: if the path holds something that is not a session log of this ``id``, or
        cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        flush: Literal["line", "end"] | float = "line",
        warn: Warn | None = None,
    ) -> None:
        self.path = os.fspath(path)
        self._warn = warn or log_warning
        named = {"line": 0.0, "end": math.inf}
        self._every = named[flush] if isinstance(flush, str) else float(flush)
        own = {"t": 0.0, "kind": "session", "format": FORMAT}
        first = _encode({**own, **header, **own})
        self._buffer = bytearray()
        self._fd = -1
        self.last_t = 0.0
        """Seconds of the last record."""
        try:
            self.path = check_target(self.path)
            self.resumed = os.path.exists(self.path) and os.path.getsize(self.path) > 0
            """Whether an existing log is continued."""
            self._packed = is_gzip(self.path) if self.resumed else self.path.endswith(".gz")
            if not self.resumed:
                self._create(first)
            elif self._packed:
                self._resume_packed(header)
            else:
                self._resume_plain(header)
            self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
            self._size = os.fstat(self._fd).st_size
        except OSError as error:
            raise LogError(self.path, 0, f"cannot be written: {error.strerror}") from None
        self._flushed_t = self.last_t
        self._zip = zlib.compressobj(wbits=31) if self._packed else None
        self._zip_used = False

    def _create(self, first: bytes) -> None:
        """The file appears with its whole header or not at all."""
        if self._packed:
            packer = zlib.compressobj(wbits=31)
            first = packer.compress(first) + packer.flush()
        self._replace(first)

    def _replace(self, content: bytes) -> None:
        beside = Path(f"{self.path}.{os.getpid()}.tmp")
        try:
            beside.write_bytes(content)
            os.replace(beside, self.path)
        finally:
            beside.unlink(missing_ok=True)

    def _check_header(self, raw: bytes, header: Mapping[str, Any]) -> None:
        try:
            data = parse(raw)
        except BadLine as bad:
            raise LogError(self.path, 1, f"{bad}; nothing was appended") from None
        if wrong := header_problem(data):
            raise LogError(self.path, 1, f"{wrong}; nothing was appended")
        if data["id"] != header.get("id"):
            raise LogError(
                self.path,
                1,
                f"is the log of session {data['id']!r}, not {header.get('id')!r}; "
                "choose another file",
            )

    def _resume_plain(self, header: Mapping[str, Any]) -> None:
        with open_lines(self.path, self._warn) as lines:
            self._check_header(next(lines)[1], header)
        with Path(self.path).open("r+b") as file:
            tail = _Tail(file)
            if not self._keeps(tail.last):
                file.truncate(tail.last_start)
                self._warn(f"{self.path}: the last line was cut short and has been taken away")
                tail = _Tail(file)
            elif not tail.ends_whole:
                file.seek(0, os.SEEK_END)
                file.write(b"\n")
            self.last_t = self._time_of(tail.last)

    def _resume_packed(self, header: Mapping[str, Any]) -> None:
        found: list[str] = []
        good, last = bytearray(), b""
        with open_lines(self.path, found.append) as lines:
            for number, raw, is_last in lines:
                if number == 1:
                    self._check_header(raw, header)
                if is_last and not self._keeps(raw):
                    found.append("last line")
                    break
                last = raw if raw.endswith(b"\n") else raw + b"\n"
                good += last
        self.last_t = self._time_of(last)
        if found:
            packer = zlib.compressobj(wbits=31)
            self._replace(packer.compress(bytes(good)) + packer.flush())
            self._warn(f"{self.path}: was cut short; its whole lines have been kept")

    def _keeps(self, raw: bytes) -> bool:
        """Whether a last line is whole."""
        try:
            parse(raw)
        except BadLine as bad:
            return not bad.broken
        return True

    def _time_of(self, raw: bytes) -> float:
        try:
            data = parse(raw)
        except BadLine as bad:
            raise LogError(self.path, 0, f"last line: {bad}; nothing was appended") from None
        if wrong := problems(data):
            raise LogError(self.path, 0, f"last line: {wrong[0]}; nothing was appended")
        return float(data["t"])

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record, whole or not at all. ``~`` kinds get their checksum here.

        :raises BadRecord: if ``t`` is before the last one's, or the record is not of the format;
            nothing is written then.
        :raises LogError: if the disk refuses it; what was written before stays intact.
        """
        if self._fd < 0:
            raise BadRecord("record not written: the log is closed")
        raw = _encode(record)
        t = round(float(record["t"]), 6)
        if t < self.last_t:
            raise BadRecord(f"record not written: t {t:g} is before the last, {self.last_t:g}")
        if record["kind"] == "session":
            raise BadRecord("record not written: a log has one session line, its first")
        self.last_t = t
        self._buffer += raw
        if t - self._flushed_t >= self._every or len(self._buffer) >= BUFFER:
            self.flush()

    def flush(self) -> None:
        """Hand what is buffered to the system."""
        if not self._buffer:
            return
        data = bytes(self._buffer)
        if self._zip:
            data = self._zip.compress(data) + self._zip.flush(zlib.Z_SYNC_FLUSH)
            self._zip_used = True
        self._buffer.clear()
        self._flushed_t = self.last_t
        self._append(data)

    def _append(self, data: bytes) -> None:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._fd, rest) :]
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size)
            if self._zip:
                os.close(self._fd)
                self._fd = -1
            raise LogError(self.path, 0, f"cannot be written: {error.strerror}") from None
        self._size += len(data)

    def close(self) -> None:
        """Write what is buffered and close the file. Closing twice does nothing."""
        if self._fd < 0:
            return
        try:
            self.flush()
            if self._zip and self._zip_used:
                self._append(self._zip.flush())
        finally:
            if self._fd >= 0:
                os.close(self._fd)
                self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Tail:
    """The last line of an open plain file, found from its end."""

    def __init__(self, file: BinaryIO) -> None:
        end = file.seek(0, os.SEEK_END)
        data, start = b"", end
        while start and data.rstrip(b"\n").find(b"\n") < 0:
            start = max(0, start - TAIL)
            file.seek(start)
            data = file.read(end - start)
        self.ends_whole = data.endswith(b"\n")
        body = data[:-1] if self.ends_whole else data
        cut = body.rfind(b"\n") + 1
        self.last, self.last_start = body[cut:], start + cut
