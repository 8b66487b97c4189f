"""What a model sent, for a command: a file or stdin in pieces, and for how long."""

from __future__ import annotations

import codecs
import queue
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any

from .errors import ForetellError

__all__ = ["pieces", "within"]

MOST = 1 << 16
END = object()


def pieces(name: str | None, size: int | None) -> Iterator[bytes | str]:
    """A file's bytes as they come, or its characters ``size`` at a time.

    :param name: of the file; ``None`` is stdin.
    :raises ForetellError: at a zero byte, which no text has; what stands before it comes first.
    :raises OSError: if it cannot be read.
    """
    decoder = codecs.getincrementaldecoder("utf-8")("surrogateescape")
    # Unbuffered: who waits in a buffer's lock keeps the interpreter from its end.
    stdin: Any = sys.stdin.buffer
    source: Any = nullcontext(stdin.raw) if name is None else open(name, "rb", 0)  # noqa: SIM115
    text, zero = "", b""
    with source as stream:
        while not zero and (data := stream.read(MOST)):
            data, zero, _ = data.partition(b"\0")
            if size is None:
                yield data
                continue
            text += decoder.decode(data)
            whole_pieces = len(text) // size * size
            yield from (text[at : at + size] for at in range(0, whole_pieces, size))
            text = text[whole_pieces:]
    if text := text + decoder.decode(b"", final=True):
        yield text
    if zero:
        raise ForetellError(f"{name or 'the input'} is no text: it has a zero byte")


def within(seconds: float, source: Iterable[bytes | str]) -> Iterator[bytes | str]:
    """What comes of ``source`` in so many seconds, of a clock that is never put back.

    A thread reads it, which the end of the process does not wait for.

    :raises TimeoutError: if that is not all.
    :raises BaseException: whatever ``source`` raises.
    """
    until = time.monotonic() + seconds
    read: queue.Queue[Any] = queue.Queue(maxsize=64)

    def run() -> None:
        try:
            for piece in source:
                read.put(piece)
            read.put(END)
        except BaseException as error:  # it is raised where the pieces are read
            read.put(error)

    threading.Thread(target=run, daemon=True).start()
    while True:
        left = until - time.monotonic()
        try:
            found = read.get(timeout=min(max(0.0, left), threading.TIMEOUT_MAX))
        except queue.Empty:
            raise TimeoutError from None
        if found is END:
            return
        if isinstance(found, BaseException):
            raise found
        if left <= 0:  # where the source never waits
            raise TimeoutError
        yield found
