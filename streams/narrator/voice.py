"""How the narrator chooses its words: the phrase book, and a voice that picks from it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

__all__ = ["Voice", "phrases"]


@lru_cache(maxsize=1)
def phrases() -> dict[str, Any]:
    """The phrase book, read once."""
    book: dict[str, Any] = orjson.loads(Path(__file__).with_name("phrases.json").read_bytes())
    return book


@lru_cache(maxsize=2048)
def _signature(template: str) -> str:
    return max(re.split(r"\[[^\]]*\]|\{[^}]*\}", template), key=len)[1:].strip()


class Voice:
    """Picks phrases by a hash of what was asked: none twice, and none that was just said."""

    def __init__(self, seed: int, *asked: str, said: str = "", shift: int = 0) -> None:
        digest = blake2b(
            "\x00".join((str(seed), *asked)).encode("utf-8", "replace"), digest_size=16
        )
        self._state = int.from_bytes(digest.digest(), "big")
        self._said = said
        self._shift = shift
        self._used: set[str] = set()

    def number(self, key: str, below: int) -> int:
        """A number from 0 to ``below`` - 1, the same for the same key."""
        mixed = blake2b(key.encode(), digest_size=8, key=self._state.to_bytes(16, "big"))
        return int.from_bytes(mixed.digest(), "big") % below

    def pick(
        self,
        key: str,
        options: Sequence[str],
        fits: Callable[[str], bool] | None = None,
        *,
        shifted: bool = True,
    ) -> str:
        """One of ``options``, of those that fit if any does."""
        start = self.number(key, len(options)) + (self._shift if shifted else 0)
        order = [options[(start + i) % len(options)] for i in range(len(options))]
        fitting = [o for o in order if fits is None or fits(o)] or order
        fresh = (
            o
            for o in fitting
            if o not in self._used and (len(s := _signature(o)) < 8 or s not in self._said)
        )
        chosen = next(fresh, next((o for o in fitting if o not in self._used), fitting[0]))
        self._used.add(chosen)
        return chosen
