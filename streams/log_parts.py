"""The parts of a log that was rotated, by their names.

``night.jsonl`` is the newest part and stands for the whole; the earlier ones lie beside it, oldest
first, as ``night.0001.jsonl.gz``, ``night.0002.jsonl.gz`` and so on. One that was not compressed
yet has no ``.gz``. The header of each part but the first says in ``continues`` how many parts come
before it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

__all__ = ["continued", "earlier_parts", "find_part", "part_path", "whole_path"]


def part_path(path: str, number: int) -> str:
    """Where part ``number`` (from 1) of the log ``path`` lies before it is compressed."""
    stem, suffix = os.path.splitext(path.removesuffix(".gz"))
    return f"{stem}.{number:04d}{suffix}"


def find_part(path: str, number: int) -> str | None:
    """The file of a part, if there is one; where both forms are, the compressed one is whole."""
    plain = part_path(path, number)
    return next((each for each in (f"{plain}.gz", plain) if os.path.exists(each)), None)


def continued(header: Mapping[str, Any]) -> int:
    """How many parts a header says that its file continues."""
    continues = header.get("continues")
    parts = continues.get("parts") if isinstance(continues, Mapping) else None
    return parts if isinstance(parts, int) and parts > 0 else 0


def whole_path(path: str, header: Mapping[str, Any]) -> str:
    """The newest file of the log that a part belongs to; it stands for the whole."""
    stem, suffix = os.path.splitext(path.removesuffix(".gz"))
    return stem.removesuffix(f".{continued(header) + 1:04d}") + suffix


def earlier_parts(path: str, header: Mapping[str, Any]) -> int:
    """How many parts are read before the file ``path`` with this header.

    None, if the file bears a number of its own: then it is one of them, and read alone.
    """
    parts = continued(header)
    stem = os.path.splitext(path.removesuffix(".gz"))[0]
    return 0 if stem.endswith(f".{parts + 1:04d}") else parts
