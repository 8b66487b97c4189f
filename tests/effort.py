"""What a run costs, counted: the same on every machine, however much else it does."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any, NamedTuple

import pytest


class Effort(NamedTuple):
    """``calls`` of functions, Python's and others'; ``looked_at``: characters, by patterns."""

    calls: int
    looked_at: int

    def grows_with(self, more: Effort, times: float) -> bool:
        """Whether ``more`` is that of a text so many times as long, and no more than that."""
        return more.calls <= 1.2 * times * self.calls and (
            more.looked_at <= 1.2 * times * self.looked_at + 1000
        )


def effort(run: Callable[[], object], *modules: ModuleType) -> Effort:
    """What ``run`` costs; what patterns look at is counted for those of ``modules``."""
    calls, looked_at = 0, [0]

    def count(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    with pytest.MonkeyPatch.context() as patched:
        for module in modules:
            for name, found in list(vars(module).items()):
                if isinstance(found, re.Pattern):
                    patched.setattr(module, name, Counted(found, looked_at))
        sys.setprofile(count)
        try:
            run()
        finally:
            sys.setprofile(None)
    return Effort(calls, looked_at[0])


class Counted:
    """A pattern that adds up the characters from where it begins to where it finds, or ends."""

    def __init__(self, pattern: re.Pattern[str], looked_at: list[int]) -> None:
        self._pattern = pattern
        self._looked_at = looked_at

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pattern, name)

    def search(self, text: str, pos: int = 0, *end: int) -> re.Match[str] | None:
        found = self._pattern.search(text, pos, *end)
        self._count(pos, found.end() if found else (*end, len(text))[0])
        return found

    def match(self, text: str, pos: int = 0, *end: int) -> re.Match[str] | None:
        found = self._pattern.match(text, pos, *end)
        self._count(pos, found.end() if found else pos)
        return found

    def fullmatch(self, text: str, pos: int = 0, *end: int) -> re.Match[str] | None:
        found = self._pattern.fullmatch(text, pos, *end)
        self._count(pos, found.end() if found else pos)
        return found

    def finditer(self, text: str, pos: int = 0, *end: int) -> Iterator[re.Match[str]]:
        for found in self._pattern.finditer(text, pos, *end):
            self._count(pos, found.end())
            pos = found.end()
            yield found
        self._count(pos, (*end, len(text))[0])

    def _count(self, begin: int, end: int) -> None:
        self._looked_at[0] += 1 + max(0, end - begin)
