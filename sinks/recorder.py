"""The recording of a session: what came in, and what the pipeline did with it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from ..streams.log import LogError, LogWriter, to_record
from ..streams.tasks import Tasks
from ..streams.world import Numbered

__all__ = ["Recorder"]


Hear = Callable[[float, Mapping[str, Any]], None]

DIGESTED = 16
"""Lines that are digested together."""


class _Writer(Protocol):
    last_t: float

    def write(self, record: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class Recorder:
    """Writes inputs as they are, and beside them, under ``~`` kinds, what was made of them.

    The digest of the latter is the session's trace: equal for equal runs, byte for byte.

    :param now: seconds since the session's start.
    :param writer: where the lines go; ``None`` keeps only the digest.
    :param tasks: those of the session; they know what is taken in together.
    :param fault: told what could not be written. When the disk refuses, recording ends: what was
        written stays whole, and the session goes on.
    """

    def __init__(
        self,
        now: Callable[[], float],
        writer: _Writer | None = None,
        fault: Callable[[str, BaseException], None] = lambda where, error: None,
        tasks: Tasks | None = None,
    ) -> None:
        self._now = now
        self._tasks = tasks if tasks is not None else Tasks(fault)
        self._writer = writer
        self._fault = fault
        self._put = writer.put if isinstance(writer, LogWriter) else None
        self._closing: _Writer | None = None
        self._t = writer.last_t if writer is not None else 0.0
        self.moment = 0.0
        """When the last thing came from outside, in seconds, as its line has it."""
        self._heard: dict[str, list[Hear]] = {}
        self._digest = hashlib.sha256()
        self._undigested: list[bytes] = []  # not digested yet

    def listen(self, heard: Mapping[str, Hear]) -> None:
        """Tell these what the pipeline did, by kind: when, in seconds, and the line's fields.

        They are told after it was recorded, in the order in which they began to listen.
        """
        for kind, hear in heard.items():
            self._heard.setdefault(kind, []).append(hear)

    def on_input(self, numbered: Numbered) -> None:
        """Record an input."""
        self._tasks.first = True
        t = max(self._t, round(numbered.event.t, 6))  # others may have come before it
        self._t = self.moment = t
        if self._writer is not None:
            record = to_record(numbered.event)
            record["t"] = t
            self._write(record)

    def trace(self, kind: str, **fields: Any) -> None:
        """Record what the pipeline did."""
        t = int(self._now() * 1e6 + 0.5) / 1e6  # a fifth of what round() takes
        self._t = t = max(self._t, t)
        if self._tasks.first or kind == "~opened":
            self.moment = t
        record = {"t": t, "kind": kind, **fields}
        raw = orjson.dumps(record)
        self._undigested.append(raw)
        if len(self._undigested) >= DIGESTED:
            self._take_digest()
        if self._put is None or self._tasks.first:
            self._write(record)
        elif self._writer is not None:
            try:
                self._put(t, raw)
            except Exception as error:
                self._failed(kind, error)
        for hear in self._heard.get(kind, ()):
            try:
                hear(t, fields)
            except Exception as error:
                self._fault("prefetch metrics", error)

    def _write(self, record: dict[str, Any]) -> None:
        """Write a line, and say if it came in one go with one from outside before it."""
        if self._writer is None:
            return
        tasks = self._tasks
        if tasks.first:
            if tasks.along:
                record["with"] = True
            tasks.first, tasks.along = False, True
        try:
            if self._put is not None and record["kind"].startswith("~"):
                self._put(record["t"], orjson.dumps(record))
            else:
                self._writer.write(record)
        except Exception as error:
            self._failed(record["kind"], error)

    def _failed(self, kind: str, error: Exception) -> None:
        if isinstance(error, LogError):
            self._closing, self._writer = self._writer, None  # at the end, for it may wait
            self._fault("recorder", error)
        elif kind != "~fault":  # the report of a fault is a record itself
            self._fault("recorder", error)

    def _take_digest(self) -> None:
        self._digest.update(b"".join(self._undigested))
        self._undigested.clear()

    @property
    def trace_sha256(self) -> str:
        """The digest of the trace so far, in hex."""
        self._take_digest()
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write out what is held back and close the file; waits for the disk."""
        writer, self._writer, self._closing = self._writer or self._closing, None, None
        if writer is not None:
            try:
                writer.close()
            except LogError as error:
                self._fault("recorder", error)

    async def aclose(self) -> None:
        """Close in another thread, so that the loop does not wait for the disk."""
        await asyncio.to_thread(self.close)
