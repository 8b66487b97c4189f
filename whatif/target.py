"""Files to write results to: asked about before the work, written whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from ..streams.log import LogError, check_target

__all__ = ["check", "write"]


def check(path: str, own: Callable[[bytes], bool], what: str) -> str:
    """The file that ``path`` means, if it may be written there.

    :param own: whether what stands there now is of the kind that may be replaced.
    :param what: that kind, for the message.
    :raises LogError: if it cannot be written, or holds something else.
    """
    real = check_target(path)
    if os.path.exists(real):
        try:
            content = Path(real).read_bytes()
        except OSError as error:
            raise LogError(path, 0, f"cannot be read: {error.strerror}") from None
        if content and not own(content):
            raise LogError(path, 0, f"holds something that is not {what}; name another file")
    return real


def write(path: str, content: bytes) -> None:
    """Replace the file at once.

    :raises LogError: if the disk refuses it; what stood there stays.
    """
    beside = Path(f"{path}.{os.getpid()}.tmp")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    except OSError as error:
        raise LogError(path, 0, f"cannot be written: {error.strerror}") from None
    finally:
        beside.unlink(missing_ok=True)
