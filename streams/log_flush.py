"""When lines go to the disk: at once as they are written, or behind the loop's back."""

from __future__ import annotations

import atexit
import math
import threading
from collections import deque
from typing import Literal, Protocol
from zlib import crc32

from .log_disk import LogFile
from .log_read import LogError
from .log_seal import sealed

__all__ = ["Behind", "Direct", "Flush", "Outlet", "seconds"]

Flush = Literal["line", "second", "end"] | float
"""When what was written must be with the system: a word, or after how many seconds."""

BUFFER = 1024 * 1024
"""Never more bytes than these are kept back."""

MOST_WAITING = 64 * BUFFER
"""So many bytes may wait for a disk that does not follow; more end the recording."""

PATIENCE = 30.0
"""Seconds a closing log waits for a disk that does not answer."""

LULL = 0.05
"""Seconds the thread lets lines gather; woken for each, it would hold the loop up."""

MOST_AT_ONCE = 512
"""Lines the thread writes in one go."""

NEWLINE = 10

NO_ANSWER = "the disk does not answer; its end may be missing"


def seconds(flush: Flush) -> float:
    """How long lines may be kept back."""
    named = {"line": 0.0, "second": 1.0, "end": math.inf}
    return named[flush] if isinstance(flush, str) else float(flush)


class Outlet(Protocol):
    """Takes lines in their order and brings them to a file."""

    def put(self, line: bytes, t: float) -> None:
        """Take a line of the time ``t``; without a newline it is a ``~`` line, still to be sealed.

        :class:`LogError` if the disk has refused one.
        """
        ...

    def next_part(self, t: float) -> None:
        """Begin a new part after the lines so far; see :meth:`LogFile.next_part`."""
        ...

    def flush(self) -> None:
        """Return when all lines so far are with the system."""
        ...

    def close(self) -> None:
        """Return when they are, and the file is closed; :class:`LogError` if they cannot be."""
        ...


class Direct:
    """Writes in the thread it is called from; time is that of the lines."""

    def __init__(self, file: LogFile, every: float, n: int, header: int = 0) -> None:
        self._file = file
        self._every = every
        self._n = n
        self._inputs = header  # the checksum of the lines since the last ~ line
        self._buffer = bytearray()
        self._flushed_t = 0.0

    def put(self, line: bytes, t: float) -> None:
        """See :class:`Outlet`."""
        if line[-1] == NEWLINE:
            self._inputs = crc32(line, self._inputs)
        else:
            self._n += 1
            line, self._inputs = sealed(line, self._n, self._inputs), 0
        self._buffer += line
        if t - self._flushed_t >= self._every or len(self._buffer) >= BUFFER:
            self._flushed_t = t
            self.flush()

    def next_part(self, t: float) -> None:
        """See :class:`Outlet`."""
        self.flush()
        self._file.next_part(t, self._n)
        while self._file.busy:
            self._file.do_chore()

    def flush(self) -> None:
        """See :class:`Outlet`."""
        if self._buffer:
            lines = bytes(self._buffer)
            self._buffer.clear()
            self._file.append(lines)

    def close(self) -> None:
        """See :class:`Outlet`."""
        try:
            self.flush()
        finally:
            self._file.close()


class Behind:
    """Writes in a thread of its own, so that the loop never waits for a disk.

    A call of :meth:`put` costs no more than a place in a queue: lines are sealed, joined and
    written by the thread. What a kill costs are the lines of the last moments: those of 50 ms,
    or of the seconds that ``every`` allows. A program that ends without closing its log loses none.
    """

    def __init__(self, file: LogFile, every: float, n: int, header: int = 0) -> None:
        self._file = file
        self._lull = None if math.isinf(every) else max(every, LULL)
        self._n = n
        self._inputs = header  # the checksum of the lines since the last ~ line
        self._lines: deque[bytes | float] = deque()  # a time is the end of a part
        self._taken = self._done = 0  # bytes; each is counted by one side only
        self._idle = False
        self._wake = threading.Event()
        self._hurry = threading.Event()
        self._written = threading.Event()
        self._error: LogError | None = None
        self._refused = self._closing = False
        self._thread = threading.Thread(target=self._run, name="foretell log", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def put(self, line: bytes, t: float) -> None:
        """See :class:`Outlet`."""
        if self._error is not None or self._taken - self._done > BUFFER:
            self._press()
        self._taken += len(line)
        self._lines.append(line)
        if self._idle:
            self._idle = False
            self._wake.set()

    def _press(self) -> None:
        if not self._hurry.is_set():
            self._hurry.set()
        self._raise()
        if (waiting := self._taken - self._done) > MOST_WAITING:
            reason = f"the disk does not follow: {waiting >> 20} MiB wait for it"
            raise LogError(self._file.path, 0, reason)

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error

    def next_part(self, t: float) -> None:
        """See :class:`Outlet`."""
        self._lines.append(t)

    def flush(self) -> None:
        """See :class:`Outlet`."""
        while True:
            self._written.clear()
            if self._taken == self._done:
                break
            self._hurry.set()
            if not self._written.wait(PATIENCE):
                raise LogError(self._file.path, 0, NO_ANSWER)
        self._raise()

    def close(self) -> None:
        """See :class:`Outlet`."""
        atexit.unregister(self.close)
        self._closing = True
        self._wake.set()
        self._hurry.set()
        self._thread.join(PATIENCE)
        self._raise()
        if self._thread.is_alive():
            raise LogError(self._file.path, 0, NO_ANSWER)

    def _run(self) -> None:
        while True:
            self._wake.clear()
            closing = self._closing
            self._idle = True  # before the look at what there is, as put looks after it has put
            if self._lines:
                self._idle = False
                if not closing:
                    self._hurry.wait(self._lull)
                    self._hurry.clear()
                self._take(len(self._lines))
            elif self._file.busy:
                self._idle = False
                self._file.do_chore()
            elif closing:
                break
            else:
                self._wake.wait()
        try:
            self._file.close()
        except LogError as error:
            self._error = self._error or error

    def _take(self, count: int) -> None:
        """Bring so many lines to the file, some at a time: the loop gets its turn in between."""
        take, whole = self._lines.popleft, sealed
        for first in range(0, count, MOST_AT_ONCE):
            lines: list[bytes] = []
            size, n, inputs = 0, self._n, self._inputs
            for _ in range(min(MOST_AT_ONCE, count - first)):
                line = take()
                if isinstance(line, float):
                    self._write(lines, line, n)
                    lines = []
                    continue
                size += len(line)
                if line[-1] == NEWLINE:
                    inputs = crc32(line, inputs)
                else:
                    n += 1
                    line, inputs = whole(line, n, inputs), 0
                lines.append(line)
            self._write(lines, None, n)
            self._n, self._inputs = n, inputs
            self._done += size
            self._written.set()

    def _write(self, lines: list[bytes], end: float | None, n: int) -> None:
        if self._refused:
            return
        try:
            self._file.append(b"".join(lines))
            if end is not None:
                self._file.next_part(end, n)
        except LogError as error:
            self._error, self._refused = error, True
