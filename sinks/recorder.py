"""The recording of a session: what came in, and what the pipeline did with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from ..streams.log import to_record
from ..streams.world import Numbered

__all__ = ["Recorder"]


class _Writer(Protocol):
    def write(self, record: Mapping[str, Any]) -> None: ...
    def close(self) -> None: ...


class Recorder:
    """Writes inputs as they are, and beside them, under ``~`` kinds, what was made of them.

    The digest of the latter is the session's trace: equal for equal runs, byte for byte.

    :param now: seconds since the session's start.
    :param writer: where the lines go; ``None`` keeps only the digest.
    """

    def __init__(self, now: Callable[[], float], writer: _Writer | None = None) -> None:
        self._now = now
        self._writer = writer
        self._digest = hashlib.sha256()

    def on_input(self, numbered: Numbered) -> None:
        """Record an input."""
        if self._writer is not None:
            self._writer.write(to_record(numbered.event))

    def trace(self, kind: str, **fields: Any) -> None:
        """Record what the pipeline did."""
        record = {"t": round(self._now(), 6), "kind": kind, **fields}
        self._digest.update(orjson.dumps(record))
        if self._writer is not None:
            self._writer.write(record)

    @property
    def trace_sha256(self) -> str:
        """The digest of the trace so far, in hex."""
        return self._digest.hexdigest()

    def close(self) -> None:
        """Write out what is held back and close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
