"""The log of a session, opened: a new one, or the one with which it goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .config import Settings
from .resumed import Resumed
from .streams import events as ev
from .streams.clock import VirtualLoop
from .streams.history import logged
from .streams.log import LogError, LogWriter, read
from .streams.log_lock import LogLock

__all__ = ["open_log"]


def open_log(
    name: str, settings: Settings, header: Mapping[str, Any], before: Resumed
) -> tuple[LogWriter, LogLock] | tuple[None, None]:
    """The recording, and the lock on it; what it holds already is taken in.

    Neither, where the settings name no folder for it.

    :param name: of the session, and of the file.
    :param header: what its first line says, if it is new.
    :param before: takes in what there is; its history reads there what it has not kept.
    :raises LogError: if it cannot be read or written, or another session writes it; it is not
        locked then.
    """
    if settings.log_dir is None:
        return None, None
    path = Path(settings.log_dir) / f"{name}.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        resumes = path.exists() and path.stat().st_size > 0
    except OSError as error:
        raise LogError(path, 0, f"cannot be written: {error.strerror}") from None
    lock = LogLock(path)
    writer: LogWriter | None = None

    def past(after: int) -> Iterator[ev.Input]:
        if writer is not None:
            writer.flush()
        return logged(path, after)

    before.history.past = past
    try:
        if resumes:
            before.read(read(path))
        started = datetime.now(UTC).isoformat(timespec="seconds")
        first = {"started": started, "source": "foretell", "clock": "human"}
        waits = not isinstance(asyncio.get_running_loop(), VirtualLoop)  # which does for no thread
        writer = LogWriter(
            path,
            {**first, **header, "id": name},
            flush=settings.log_flush,
            rotate=settings.log_rotate,
            background=waits,
        )
    except BaseException:
        lock.release()
        raise
    return writer, lock
