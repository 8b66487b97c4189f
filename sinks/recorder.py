"""The recording of a session: what came in, and what the pipeline did with it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from ..streams.log import LogError, LogWriter, to_record
from ..streams.world import Numbered

__all__ = ["Recorder", "Steps"]

REST = 16
"""Steps of the loop after which nothing that a line set off is still under way."""

Soon = Callable[[Callable[[], None]], object]


class _Writer(Protocol):
    last_t: float

    def write(self, record: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class Steps:
    """Counts the steps of the loop between lines, until all has come to rest.

    A replay hands in what came from outside as many steps after the line before it, so that what
    was under way then has come as far.

    :param soon: the loop's ``call_soon``.
    :param after: called after each step.
    """

    def __init__(self, soon: Soon, after: Callable[[], None] = lambda: None) -> None:
        self.count = 0
        self.at_rest = True
        self._soon = soon
        self._after = after

    def line(self) -> int | None:
        """A line is written: the steps since the last one; ``None`` if all was at rest."""
        steps, self.count = self.count, 0
        if not self.at_rest:
            return steps
        self.at_rest = False
        self._soon(self._step)
        return None

    def _step(self) -> None:
        self.count += 1
        if self.count < REST:
            self._soon(self._step)
        else:
            self.at_rest = True
        self._after()


class Recorder:
    """Writes inputs as they are, and beside them, under ``~`` kinds, what was made of them.

    The digest of the latter is the session's trace: equal for equal runs, byte for byte.

    :param now: seconds since the session's start.
    :param writer: where the lines go; ``None`` keeps only the digest.
    :param soon: the loop's ``call_soon``; with it, lines say how close they follow each other.
    :param fault: told what could not be written. When the disk refuses, recording ends: what was
        written stays whole, and the session goes on.
    """

    def __init__(
        self,
        now: Callable[[], float],
        writer: _Writer | None = None,
        fault: Callable[[str, BaseException], None] = lambda where, error: None,
        soon: Soon | None = None,
    ) -> None:
        self._now = now
        self._steps = Steps(soon) if soon is not None else None
        self._writer = writer
        self._fault = fault
        self._put = writer.put if isinstance(writer, LogWriter) else None
        self._closing: _Writer | None = None
        self._t = writer.last_t if writer is not None else 0.0
        self._digest = hashlib.sha256()

    def on_input(self, numbered: Numbered) -> None:
        """Record an input."""
        if self._writer is not None:
            record = to_record(numbered.event)
            record["t"] = round(record["t"], 6)
            self._write(record)

    def trace(self, kind: str, **fields: Any) -> None:
        """Record what the pipeline did."""
        record = {"t": round(self._now(), 6), "kind": kind, **fields}
        raw = orjson.dumps(record)
        self._digest.update(raw)
        self._write(record, raw)

    def _write(self, record: dict[str, Any], raw: bytes | None = None) -> None:
        """Write a line. An input waits a moment for its turn, and others may have come first."""
        if self._writer is None:
            return
        t = record["t"]
        if t < self._t:
            t, raw = self._t, None
            record["t"] = t
        self._t = t
        if self._steps is not None and (step := self._steps.line()) is not None:
            record["i"] = step
            raw = raw and b'%b,"i":%d}' % (raw[:-1], step)
        try:
            if raw is not None and self._put is not None:
                self._put(t, raw)
            else:
                self._writer.write(record)
        except LogError as error:
            self._closing, self._writer = self._writer, None  # at the end, for it may wait
            self._fault("recorder", error)
        except Exception as error:
            if record["kind"] != "~fault":  # the report of a fault is a record itself
                self._fault("recorder", error)

    @property
    def trace_sha256(self) -> str:
        """The digest of the trace so far, in hex."""
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
