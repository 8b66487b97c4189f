"""Making a log ready to be continued: whole lines are kept, and what a kill cut short goes."""

from __future__ import annotations

import contextlib
import io
import os
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from .log_disk import place
from .log_read import BadLine, LogError, Warn, file_lines, header_problem, is_gzip, parse
from .log_schema import problems

__all__ = ["Found", "resume"]

LOOK_BACK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Found:
    """A log as it was left.

    ``header`` is the first line of its newest part, ``t`` the time of its last line in seconds,
    ``n`` the number of its last ``~`` line, ``packed`` whether it is compressed.
    """

    header: dict[str, Any]
    t: float
    n: int
    packed: bool


def resume(path: str, session: Any, warn: Warn) -> Found:
    """What is at ``path``, once a last line that was cut short has been taken away.

    :raises LogError: if it is not the log of this session, or ends in what may not stand in one.
    """
    with contextlib.closing(file_lines(path, lambda _: None)) as lines:
        header = _header(path, next(lines).raw, session)
    if packed := is_gzip(path):
        t, n = _resume_packed(path, warn)
    else:
        t, n = _resume_plain(path, warn)
    return Found(header, t, n, packed)


def _header(path: str, raw: bytes, session: Any) -> dict[str, Any]:
    try:
        data = parse(raw)
    except BadLine as bad:
        raise LogError(path, 1, f"{bad}; nothing was appended") from None
    if wrong := header_problem(data):
        raise LogError(path, 1, f"{wrong}; nothing was appended")
    if data["id"] != session:
        raise LogError(
            path, 1, f"is the log of session {data['id']!r}, not {session!r}; choose another file"
        )
    return data


def _resume_plain(path: str, warn: Warn) -> tuple[float, int]:
    with Path(path).open("r+b") as file:
        start, last = next(_backwards(file))
        ended = start + len(last) != file.seek(0, os.SEEK_END)
        if not ended and not _whole(last):
            file.truncate(start)
            warn(f"{path}: the last line was cut short and has been taken away")
        elif not ended:
            file.write(b"\n")
        return _end(path, file)


def _resume_packed(path: str, warn: Warn) -> tuple[float, int]:
    good, cut = bytearray(), list[str]()
    with contextlib.closing(file_lines(path, cut.append)) as lines:
        for line in lines:
            if line.last and not line.raw.endswith(b"\n") and not _whole(line.raw):
                cut.append("in its last line")
            else:
                good += line.raw if line.raw.endswith(b"\n") else line.raw + b"\n"
    found = _end(path, io.BytesIO(good))
    if cut:
        packer = zlib.compressobj(wbits=31)
        place(path, packer.compress(bytes(good)) + packer.flush())
        warn(f"{path}: was cut short; its whole lines have been kept")
    return found


def _whole(raw: bytes) -> bool:
    try:
        parse(raw)
    except BadLine as bad:
        return not bad.broken
    return True


def _end(path: str, file: BinaryIO) -> tuple[float, int]:
    """The time of the last line, and the number of the last ``~`` line."""
    last = next(_backwards(file))[1]
    try:
        data = parse(last)
    except BadLine as bad:
        raise LogError(path, 0, f"last line: {bad}; nothing was appended") from None
    if wrong := problems(data):
        raise LogError(path, 0, f"last line: {wrong[0]}; nothing was appended")
    return float(data["t"]), _number(raw for _, raw in _backwards(file))


def _number(backwards: Iterable[bytes]) -> int:
    """The number of the last ``~`` line; 0 where none has one."""
    for raw in backwards:
        if b'"~' in raw or b'"continues"' in raw:
            with contextlib.suppress(BadLine):
                data = parse(raw)
                numbered = data.get("continues") if data.get("kind") == "session" else data
                if numbered is not data or str(data.get("kind")).startswith("~"):
                    n = numbered.get("n") if isinstance(numbered, dict) else None
                    return n if isinstance(n, int) else 0
    return 0


def _backwards(file: BinaryIO) -> Iterator[tuple[int, bytes]]:
    """The lines of a file from the last to the first: where each begins, and its bytes."""
    start = file.seek(0, os.SEEK_END)
    data, end = b"", 0
    while True:
        stop = end - 1 if data[end - 1 : end] == b"\n" else end
        cut = data.rfind(b"\n", 0, stop) + 1
        if cut or not start:
            yield start + cut, data[cut:stop]
            if not cut:
                return
            end = cut
        else:
            step = min(start, max(LOOK_BACK, end))
            start -= step
            file.seek(start)
            data, end = file.read(step) + data[:end], step + end
