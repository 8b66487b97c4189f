"""Nothing in the rooms may read a clock, or draw a number, that nobody passed in (G8)."""

from __future__ import annotations

import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["no_ambience"]

CLOCKS = ("time", "monotonic", "perf_counter", "process_time", "thread_time")
DRAWN = ("random", "randint", "randrange", "choice", "choices", "shuffle", "uniform", "sample")
AMBIENT = (
    (time, (*CLOCKS, *(f"{clock}_ns" for clock in CLOCKS), "sleep")),
    (random, (*DRAWN, "getrandbits", "gauss", "randbytes")),
    (uuid, ("uuid1", "uuid4", "uuid6", "uuid7", "uuid8")),
    (secrets, ("choice", "randbelow", "randbits", "token_bytes", "token_hex", "token_urlsafe")),
    (os, ("urandom",)),
)
PACKAGE = __name__.partition(".")[0]
ROOMS = tuple(f"{PACKAGE}.{room}." for room in ("streams", "operators", "sinks"))


@contextmanager
def no_ambience() -> Iterator[list[str]]:
    """What reads the wall clock or global chance in one of the rooms is written down."""
    found: list[str] = []
    before = [
        (module, name, getattr(module, name))
        for module, names in AMBIENT
        for name in names
        if hasattr(module, name)
    ]
    for module, name, real in before:
        setattr(module, name, _watched(f"{module.__name__}.{name}", real, found))
    try:
        yield found
    finally:
        for module, name, real in before:
            setattr(module, name, real)


def _watched(name: str, real: Callable[..., Any], found: list[str]) -> Callable[..., Any]:
    def read(*args: Any, **kwargs: Any) -> Any:
        reader = sys._getframe(1).f_globals.get("__name__", "")
        if reader.startswith(ROOMS):
            found.append(f"{reader} reads {name}")
        return real(*args, **kwargs)

    return read
