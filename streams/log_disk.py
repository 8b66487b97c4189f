"""The file of a session log: it takes whole lines, keeps what it took, and begins new parts."""

from __future__ import annotations

import contextlib
import os
import zlib
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson

from .log_parts import continued, part_path
from .log_read import LogError

__all__ = ["LogFile", "place"]

SLICE = 256 * 1024
"""So much of a part is compressed at a time."""


def place(path: str, content: bytes) -> None:
    """Put a file there with its whole content, or not at all."""
    beside = Path(f"{path}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


class LogFile:
    """A log on the disk, open at its end.

    :param header: the first line of its newest part.
    :param packed: whether it is compressed as it is written; such a log has one part.
    :param warn: told why the log is not rotated, or a part not compressed; it goes on then.
    :raises OSError: if it cannot be opened.
    """

    def __init__(
        self, path: str, header: Mapping[str, Any], packed: bool, warn: Callable[[str], None]
    ) -> None:
        self.path = path
        self._header = {key: value for key, value in header.items() if key != "continues"}
        self._parts = continued(header)
        self._warn = warn
        self._rotates = not packed
        self._zip = zlib.compressobj(wbits=31) if packed else None
        self._used = False
        self._open()
        before = (part_path(path, number + 1) for number in range(self._parts))
        self._chores = deque(_compressing(part) for part in before if os.path.exists(part))

    def _open(self) -> None:
        self._fd = os.open(self.path, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        self._size = os.fstat(self._fd).st_size

    def append(self, lines: bytes) -> None:
        """Hand whole lines to the system.

        :raises LogError: if the disk refuses them; what it took of them is whole lines, too.
        """
        if self._zip:
            lines = self._zip.compress(lines) + self._zip.flush(zlib.Z_SYNC_FLUSH)
            self._used = True
        self._write(lines)

    def _write(self, data: bytes) -> None:
        taken = 0
        try:
            while taken < len(data):
                taken += os.write(self._fd, data[taken:] if taken else data)
        except OSError as error:
            whole = 0 if self._zip else data.rfind(b"\n", 0, taken) + 1
            self._used = False  # what was compressed last is not there: an end would not fit
            with contextlib.suppress(OSError):
                os.ftruncate(self._fd, self._size + whole)
            raise LogError(self.path, 0, f"cannot be written: {error.strerror}") from None
        self._size += len(data)

    def next_part(self, t: float, n: int) -> None:
        """Set aside what there is as a part, and begin the next one.

        The name of the log is that of a whole file at each moment: first the part gets a second
        name, then the new file takes over the first.

        :param t: seconds of the last line so far.
        :param n: the number of the last ``~`` line so far.
        """
        if not self._rotates:
            return
        part = part_path(self.path, self._parts + 1)
        header = {**self._header, "t": t, "continues": {"parts": self._parts + 1, "n": n}}
        first = orjson.dumps(header, option=orjson.OPT_APPEND_NEWLINE)
        try:
            if os.path.exists(part) and os.path.samefile(part, self.path):
                os.unlink(part)  # a kill came between the two steps
            os.link(self.path, part)
            os.close(self._fd)
            self._fd = -1
            try:
                place(self.path, first)
            except OSError:
                os.unlink(part)
                raise
            finally:
                self._open()
        except OSError as error:
            self._rotates = False
            self._warn(f"{self.path}: stays one file: {part}: {error.strerror}")
        else:
            self._parts += 1
            self._chores.append(_compressing(part))

    @property
    def busy(self) -> bool:
        """Whether parts are still to be compressed."""
        return bool(self._chores)

    def do_chore(self) -> None:
        """Compress a little more."""
        try:
            next(self._chores[0])
        except StopIteration:
            self._chores.popleft()
        except OSError as error:
            self._chores.popleft()
            self._warn(f"{self.path}: a part stays uncompressed: {error.strerror}")

    def close(self) -> None:
        """Finish all there is to do, and close the file.

        :raises LogError: if the disk refuses the end of a compressed file.
        """
        while self._chores:
            self.do_chore()
        if self._fd >= 0:
            try:
                if self._zip and self._used:
                    self._write(self._zip.flush())
            finally:
                os.close(self._fd)
                self._fd = -1


def _compressing(part: str) -> Iterator[None]:
    """Compress a part in steps. The plain file goes when the other is there, whole."""
    packed, beside = f"{part}.gz", f"{part}.gz.tmp"
    try:
        if not os.path.exists(packed):
            packer = zlib.compressobj(wbits=31)
            with Path(part).open("rb") as source, Path(beside).open("wb") as target:
                while block := source.read(SLICE):
                    target.write(packer.compress(block))
                    yield
                target.write(packer.flush())
                target.flush()
                os.fsync(target.fileno())
            os.replace(beside, packed)
        os.unlink(part)
    finally:
        Path(beside).unlink(missing_ok=True)
