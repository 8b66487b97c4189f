"""Of a model's stream, no more is handed on than has been judged, sentence by sentence."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any, NamedTuple, Protocol

from .compose import AS_IS, Composer
from .generation import GenerationClosed, Told
from .guarding import TextRefused
from .partials import Patch, Path
from .sentences import Sentence, Sentences

__all__ = ["Judged", "sifted", "words_of"]


class Judged(Protocol):
    """What is thought of a sentence: awaited, why it is refused, or ``None``."""

    def __await__(self) -> Any:
        """Wait for it."""
        ...

    def drop(self) -> None:
        """Nobody waits for it any more."""
        ...


class _Check(NamedTuple):
    """Up to ``upto`` characters, the string at ``path`` can be shown, once ``text`` was judged."""

    path: Path
    upto: float
    text: str


class _Scout:
    """Reads ahead, and knows up to where the raw answer holds nothing that was not judged."""

    def __init__(self, text_field: str, language: str) -> None:
        self._composer = Composer(text_field)
        self._composer.begin(AS_IS, last=True)
        self._language = language
        self._raw = ""
        self._sent = self._read = 0
        self._cutters: dict[Path, Sentences] = {}
        self._lengths: dict[Path, int] = {}
        self._cleared: dict[Path, float] = {}
        self._grown: deque[tuple[int, Path, int]] = deque()

    def feed(self, chunk: str) -> list[_Check]:
        """More of the answer: what is to be judged of it."""
        found: list[_Check] = []
        self._raw += chunk
        for character in chunk:  # so that it is known which of them adds what
            patches, _ = self._composer.feed(character)
            found += self._taken(patches)
            self._read += 1
        return found

    def finish(self) -> list[_Check]:
        """No more comes."""
        patches, _ = self._composer.finish()
        found = self._taken(patches)
        for path in [*self._cutters]:
            found += self._over(path)
        return found

    def _taken(self, patches: list[Patch]) -> list[_Check]:
        found: list[_Check] = []
        for path, op, value in patches:
            if op == "done":
                found += self._over(path)
            elif isinstance(value, str) and value:
                if path not in self._cutters:
                    self._cutters[path] = Sentences(self._language, path)
                self._lengths[path] = self._lengths.get(path, 0) + len(value)
                self._grown.append((self._read, path, self._lengths[path]))
                found += _checks(path, self._cutters[path].feed(value))
        return found

    def _over(self, path: Path) -> list[_Check]:
        cutter = self._cutters.pop(path, None)  # what is done is never set again
        if cutter is None:
            return []
        return [*_checks(path, cutter.finish()), _Check(path, math.inf, "")]

    def cleared(self, check: _Check) -> str:
        """It was judged: what can be handed on now."""
        self._cleared[check.path] = check.upto
        grown = self._grown
        while grown and grown[0][2] <= self._cleared.get(grown[0][1], 0):
            grown.popleft()
        return self.rest(grown[0][0] if grown else self._read)

    def rest(self, upto: int | None = None) -> str:
        """What has not been handed on yet, up to a character of the answer."""
        end = self._read if upto is None else upto
        out, self._sent = self._raw[self._sent : end], end
        return out


def _checks(path: Path, sentences: list[Sentence]) -> list[_Check]:
    return [_Check(path, sentence.end, str(sentence)) for sentence in sentences]


async def sifted(
    told: Told,
    judge: Callable[[str], Judged],
    text_field: str,
    language: str = "en",
) -> AsyncGenerator[str, None]:
    """What is told of a stream, as its ``chunks`` give it, as far as it was judged.

    ::

        chunks   He |nods. He turns.| And goes.|
        judged      (He nods.)(He turns.)      (And goes.)
        handed on    He nods.  He turns.        And goes.

    Each string of the answer is judged, whichever field it is of, with its slots as they are. What
    is cut in one piece is judged side by side. The stream is read on meanwhile.

    :param judge: begins to judge a sentence.
    :raises TextRefused: for the first that is not let through: nothing of it was handed on.
    :raises ModelError: and :class:`GenerationClosed`, as the stream itself does.
    """
    scout, generation = _Scout(text_field, language), told.stream

    async def passed(checks: list[_Check]) -> AsyncGenerator[str, None]:
        asked = [(check, judge(check.text) if check.text else None) for check in checks]
        generation.judged = bool(asked)
        try:
            for check, verdict in asked:
                if verdict is not None and (refused := await verdict) is not None:
                    raise TextRefused(f"the guard has not let it through: {refused}")
                if generation.revoked:
                    raise GenerationClosed(generation.reason or "revoked")
                if out := scout.cleared(check):
                    yield out
        finally:
            generation.judged = False
            for _, verdict in asked:
                if verdict is not None:
                    verdict.drop()

    async with aclosing(told.chunks()) as chunks:
        async for chunk in chunks:
            async with aclosing(passed(scout.feed(chunk))) as pieces:
                async for piece in pieces:
                    yield piece
    async with aclosing(passed(scout.finish())) as pieces:
        async for piece in pieces:
            yield piece
    if rest := scout.rest():
        yield rest


def words_of(text: str, text_field: str) -> str:
    """All that a viewer would read of a whole answer, field by field, its slots as they are."""
    composer = Composer(text_field)
    composer.begin(AS_IS, last=True)
    patches = [*composer.feed(text)[0], *composer.finish()[0]]
    strings: dict[Path, str] = {}
    for path, op, value in patches:
        if op != "done" and isinstance(value, str):
            strings[path] = strings.get(path, "") + value
    return "\n".join(filter(None, strings.values()))
