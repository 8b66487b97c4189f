"""The recording of a session: what came in, and what the pipeline did with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from ..streams.log import LogError, to_record
from ..streams.world import Numbered

__all__ = ["Recorder"]


class _Writer(Protocol):
    last_t: float

    def write(self, record: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class Recorder:
    """Writes inputs as they are, and beside them, under ``~`` kinds, what was made of them.

    The digest of the latter is the session's trace: equal for equal runs, byte for byte.

    :param now: seconds since the session's start.
    :param writer: where the lines go; ``None`` keeps only the digest.
    :param fault: told what could not be written. When the disk refuses, recording ends: what was
        written stays whole, and the session goes on.
    """

    def __init__(
        self,
        now: Callable[[], float],
        writer: _Writer | None = None,
        fault: Callable[[str, BaseException], None] = lambda where, error: None,
    ) -> None:
        self._now = now
        self._writer = writer
        self._fault = fault
        self._t = writer.last_t if writer is not None else 0.0
        self._digest = hashlib.sha256()

    def on_input(self, numbered: Numbered) -> None:
        """Record an input."""
        if self._writer is not None:
            self._write(to_record(numbered.event))

    def trace(self, kind: str, **fields: Any) -> None:
        """Record what the pipeline did."""
        record = {"t": round(self._now(), 6), "kind": kind, **fields}
        self._digest.update(orjson.dumps(record))
        self._write(record)

    def _write(self, record: dict[str, Any]) -> None:
        """Write a line. An input waits a moment for its turn, and others may have come first."""
        if self._writer is None:
            return
        self._t = record["t"] = max(self._t, record["t"])
        try:
            self._writer.write(record)
        except LogError as error:
            self._end()
            self._fault("recorder", error)
        except Exception as error:
            if record["kind"] != "~fault":  # the report of a fault is a record itself
                self._fault("recorder", error)

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            try:
                writer.close()
            except LogError as error:
                self._fault("recorder", error)

    @property
    def trace_sha256(self) -> str:
        """The digest of the trace so far, in hex."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write out what is held back and close the file."""
        self._end()
