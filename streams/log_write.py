"""Writing a session log so that a kill at any byte costs at most the line being written."""

from __future__ import annotations

import math
import os
import stat
import zlib
from collections.abc import Mapping
from typing import Any, Self

import orjson

from ..errors import ForetellError
from .log_disk import LogFile, place
from .log_flush import Behind, Direct, Flush, Outlet, seconds
from .log_read import LogError, Warn, is_log, log_warning
from .log_resume import Found, resume
from .log_schema import FORMAT, MAX_DEPTH, problems, too_deep
from .log_seal import SEAL

__all__ = ["BadRecord", "LogWriter", "check_target"]


class BadRecord(ForetellError, ValueError):
    """A record that may not be written: time runs backwards, or it is not of the format."""


def check_target(path: str | os.PathLike[str], *, replaced: bool = False) -> str:
    """The file that ``path`` means, links followed, if a log may be written there.

    :param replaced: whether a log that is there would be replaced; anything else is not.
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
    if replaced and os.path.exists(real) and os.path.getsize(real) and not is_log(real):
        raise LogError(named, 0, "holds something that is not a session log; name another file")
    return real


def _encode(record: Mapping[str, Any]) -> bytes:
    if wrong := problems(record):
        raise BadRecord(f"record not written: {wrong[0]}")
    line = {"t": 0.0, "kind": "", **record}
    line["t"] = round(float(record["t"]), 6)
    try:
        raw = orjson.dumps(line)
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
        loses none; ``"second"``, or a number of seconds, keeps them until that much time has
        passed; ``"end"`` keeps them until the log is closed. Never is more than 1 MiB kept, and
        only whole lines are written.
    :param rotate: how many bytes a part may have. When it is full it is set aside beside the log,
        compressed, and a new one begun (see ``log_parts``). A path that ends in ``.gz`` is not
        rotated. ``None``: one part.
    :param background: write in a thread, so that no call waits for the disk. ``"line"`` then hands
        over up to 50 ms of records together, and a killed process loses as much. A disk's refusal
        is raised by a later call. Seconds of ``flush`` are real ones then, else those of ``t``.
    :raises LogError: if the path holds something that is not a session log of this ``id``, or
        cannot be written.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        header: Mapping[str, Any],
        *,
        flush: Flush = "line",
        rotate: int | None = None,
        background: bool = False,
        warn: Warn | None = None,
    ) -> None:
        self.path = os.fspath(path)
        warn = warn or log_warning
        own = {"t": 0.0, "kind": "session", "format": FORMAT}
        first = {**own, **header, **own}
        first.pop("continues", None)
        raw = _encode(first)
        try:
            self.path = check_target(self.path)
            self.resumed = os.path.exists(self.path) and os.path.getsize(self.path) > 0
            """Whether an existing log is continued."""
            if self.resumed:
                found = resume(self.path, header.get("id"), warn)
            else:
                found = Found(first, 0.0, 0, self.path.endswith(".gz"))
                place(self.path, _packed(raw + b"\n") if found.packed else raw + b"\n")
            file = LogFile(self.path, found.header, found.packed, warn)
        except OSError as error:
            raise LogError(self.path, 0, f"cannot be written: {error.strerror}") from None
        self.last_t = found.t
        """Seconds of the last record."""
        self._rotate = math.inf if rotate is None else rotate
        self._size = os.path.getsize(self.path)
        begun = 0 if self.resumed else zlib.crc32(raw + b"\n")
        outlet = Behind if background else Direct
        self._out: Outlet = outlet(file, seconds(flush), found.n, begun)
        self._put = self._out.put
        self._shut = self._closed = False

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record, whole or not at all. ``~`` kinds get their number and checksum here.

        :raises BadRecord: if ``t`` is before the last one's, or the record is not of the format;
            nothing is written then.
        :raises LogError: if the disk refuses it; what was written before stays intact, and
            nothing is written after it.
        """
        own = str(record.get("kind")).startswith("~")
        if own:
            record = {key: value for key, value in record.items() if key not in SEAL}
        raw = _encode(record)
        if record["kind"] == "session":
            raise BadRecord("record not written: a log has one session line, its first")
        self.put(round(float(record["t"]), 6), raw if own else raw + b"\n")

    def put(self, t: float, line: bytes) -> None:
        """Append what is encoded already, unchecked: a line of the time ``t``, with its newline.

        Without one it is the JSON of a ``~`` line, which then gets its number and checksum.
        """
        if self._shut:
            raise BadRecord("record not written: the log is closed")
        if t < self.last_t:
            raise BadRecord(f"record not written: t {t:g} is before the last, {self.last_t:g}")
        self._size += len(line)
        try:
            if self._size > self._rotate:
                self._out.next_part(self.last_t)
                self._size = len(line)
            self.last_t = t
            self._put(line, t)
        except LogError:
            self._shut = True
            raise

    def flush(self) -> None:
        """Hand what is kept back to the system, and return when it has it.

        :raises LogError: if the disk refuses it.
        """
        try:
            self._out.flush()
        except LogError:
            self._shut = True
            raise

    def close(self) -> None:
        """Write what is kept back and close the file. Closing twice does nothing.

        :raises LogError: if the disk refuses it.
        """
        if not self._closed:
            self._shut = self._closed = True
            self._out.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _packed(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=31)
    return packer.compress(content) + packer.flush()
