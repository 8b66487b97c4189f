"""One process writes a log at a time: a lock beside it, which ends with its holder."""

from __future__ import annotations

import contextlib
import os
import sys

from .log_read import LogError

__all__ = ["LogLock"]

BYTE = 1 << 30
"""The byte that is locked on Windows, far behind what others are to read."""

TRIES = 16


class LogLock:
    """Holds ``<log>.lock``, in which the holder's process id stands, until :meth:`release`.

    The system lets go of it when its holder is gone, however that came; so a file that a crash has
    left behind locks nobody out. It is advisory: whoever does not ask is not kept from writing.

    :raises LogError: if another holds it (its message names the process), or it cannot be made.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._log = os.fspath(path)
        self._path = os.path.realpath(self._log) + ".lock"
        self._fd = -1
        try:
            for _ in range(TRIES):
                if self._taken():
                    return
        except OSError as error:
            raise LogError(self._log, 0, f"cannot be locked: {error.strerror}") from None
        raise LogError(self._log, 0, "cannot be locked: its lock file keeps being replaced")

    def _taken(self) -> bool:
        """Whether the lock is held now; false if the file was removed in the meantime."""
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(fd)
        except OSError:
            holder = os.read(fd, 32).decode("ascii", "replace").strip()
            os.close(fd)
            own = holder == str(os.getpid())
            who = "this process" if own else f"process {holder}" if holder else "another process"
            raise LogError(
                self._log,
                0,
                f"is being written by {who}; close that session first, or use another id",
            ) from None
        try:
            there = os.path.samestat(os.stat(self._path), os.fstat(fd))
            if there:
                # Not emptied first: some file systems write such a file out when it is closed.
                os.ftruncate(fd, os.write(fd, b"%d\n" % os.getpid()))
        except FileNotFoundError:
            there = False
        except OSError:
            os.close(fd)
            raise
        if there:
            self._fd = fd
        else:
            os.close(fd)
        return there

    def release(self) -> None:
        """Let others write; more than once is fine."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                os.unlink(self._path)
            os.close(fd)


if sys.platform == "win32":
    import msvcrt

    def _lock(fd: int) -> None:
        os.lseek(fd, BYTE, os.SEEK_SET)
        try:
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(fd, 0, os.SEEK_SET)

else:
    import fcntl

    def _lock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
