"""Session logs, format 1: everything that was told to Foretell, one JSON object a line.

A log is UTF-8 JSON Lines, plain or gzip. The first line is of kind ``session``; every line has
``t`` (seconds since the start, never decreasing) and ``kind``. Kinds and fields this version does
not know are kept and ignored. Lines whose kind begins with ``~`` are what the pipeline itself did;
each carries its number in ``n`` and a checksum in ``sum``. A log may have several parts (see
``log_parts``), which are read as one.
"""

from __future__ import annotations

from .log_read import MAX_LINE, LogError, is_log, open_lines, read, read_header
from .log_schema import FORMAT, KINDS, MAX_DEPTH, Record, problems, to_event, to_record
from .log_seal import check, seal
from .log_validate import Problem, Report, validate
from .log_write import BadRecord, LogWriter, check_target

__all__ = [
    "FORMAT",
    "KINDS",
    "MAX_DEPTH",
    "MAX_LINE",
    "BadRecord",
    "LogError",
    "LogWriter",
    "Problem",
    "Record",
    "Report",
    "check",
    "check_target",
    "is_log",
    "open_lines",
    "problems",
    "read",
    "read_header",
    "seal",
    "to_event",
    "to_record",
    "validate",
]
