"""Content as plain JSON: what a source gives may be anything, of any size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import orjson
from pydantic import BaseModel

__all__ = ["MOST_BYTES", "as_json"]

MOST_BYTES = 64 * 1024
MOST_NODES = 20_000
DEPTH = 60


def as_json(value: Any) -> Any:
    """A copy of content as plain JSON.

    It is looked through no further than it may be large, so that a huge one costs no time.

    :raises ValueError: for what is no JSON, or too large or too deep to keep.
    """
    if isinstance(value, BaseModel):
        value = value.model_dump(mode="json")
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    _check(value)
    try:
        raw = orjson.dumps(value)
    except TypeError as error:
        raise ValueError(f"what its source gives is no JSON: {error}") from None
    if len(raw) > MOST_BYTES:
        raise ValueError(_too_large())
    return orjson.loads(raw)


def _check(value: Any) -> None:
    level, nodes, size = [value], 0, 0
    for _ in range(DEPTH):
        inner: list[Any] = []
        for each in level:
            if isinstance(each, str | bytes):
                size += len(each)
            elif isinstance(each, Mapping):
                if len(each) > MOST_NODES:
                    raise ValueError(_too_large())
                size += sum(len(key) for key in each if isinstance(key, str))  # ints
                inner.extend(each.values())
            elif isinstance(each, list | tuple):
                if len(each) > MOST_NODES:
                    raise ValueError(_too_large())
                inner.extend(each)
            nodes += 1
            if nodes > MOST_NODES or size > MOST_BYTES or len(inner) > MOST_NODES:
                raise ValueError(_too_large())
        if not inner:
            return
        level = inner
    raise ValueError(f"what its source gives has more than {DEPTH} levels")


def _too_large() -> str:
    return f"what its source gives is more than {MOST_BYTES // 1024} KiB"
