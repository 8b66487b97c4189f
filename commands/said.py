"""How commands say things: on standard output, or as one line of warning."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any


def print_lines(lines: Iterable[bytes]) -> None:
    """Print lines of JSON, at once."""
    out = b"".join(line + b"\n" for line in lines)
    if out:
        sys.stdout.buffer.write(out)
        sys.stdout.buffer.flush()


def print_json(value: dict[str, Any]) -> None:
    """Print one JSON object, for programs."""
    import orjson

    print(orjson.dumps(value, option=orjson.OPT_INDENT_2).decode())


def counts(counts: Any) -> str:
    """Counts, in words."""
    return ", ".join(f"{n:,} {what}" for n, what in counts)


def show(text: str) -> None:
    """Print what may hold words of others, which command no terminal."""
    from ..sinks.terminal import plain

    print(plain(text))


def say(what: str, text: str) -> None:
    """Say one line that is no result, on standard error."""
    from ..sinks.terminal import plain

    print(f"foretell: {what}: {' '.join(plain(text).split())}", file=sys.stderr)
