"""What processes that share a cache tell each other: what of it is no longer good.

The server keeps one *board* for all stores of a name: each word that was told, with the number
it was last told by. Numbers only grow, and so a process asks for those above the last it has
heard, together with the record it looks for, in one round trip. A record carries the last number
its writer had heard; a word that was told later and concerns it makes it a miss.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from itertools import takewhile
from typing import Any, Literal, NamedTuple

import orjson

from ..operators.fingerprint import Dependence
from ..streams.footprint import Path, covers
from .store_index import fits, needs_regex

__all__ = ["ALL", "BORN", "LONGEST", "MOST_WORDS", "Board", "News", "Word"]

MOST_WORDS = 500
"""On a board, and waiting to be told. What is older than a full board is a miss."""

LONGEST = 2048
"""Bytes of a word; a longer one is said as *all*, so that a board can be read in one look-up."""

LONGEST_REGEX, MOST_REGEXES, DEEPEST = 100, 20, 32
"""Characters of a pattern that needs a regex, such patterns heard at once, and keys of a path: what
is more is heard as *all*, for to look into it would hold up the loop."""

REPEATED = 60.0
"""Seconds a word is told again for, if the server loses its board: not all have heard it."""

BORN = b"born"
"""The first word of a board. Whoever has heard others before knows that those are lost."""


class Word(NamedTuple):
    """What is no longer good.

    That which a pattern ``fits`` by its key or a tag, what depends on a ``path`` or on one that
    has ``changed`` unexpectedly, or ``all`` there is.
    """

    kind: Literal["fits", "path", "changed", "all"]
    what: str | Path = ""

    def written(self) -> bytes:
        """As it stands on the board."""
        try:
            written = orjson.dumps([*self])
        except TypeError:  # half a character: what it names cannot be said
            return ALL.written()
        return written if len(written) <= LONGEST else ALL.written()

    def meets(self, key: str, tags: Iterable[str], depends: Dependence) -> bool:
        """Whether this concerns an entry."""
        match self.kind:
            case "fits":
                what = str(self.what)
                return any(each == what or fits(each, what) for each in (key, *tags))
            case "path":
                return any(covers(known, tuple(self.what)) for known in depends.paths)
            case "changed":
                return depends.on((tuple(self.what), None))
        return True


ALL = Word("all")


def first_of(words: Iterable[Word], record: Mapping[str, Any]) -> Word | None:
    """The first word that concerns what a record holds; none does one that is no entry."""
    try:
        depends = record["depends"]
        paths, apart = (tuple(map(tuple, depends[each])) for each in ("paths", "apart"))
        about = Dependence(paths, apart, depends["own"], tuple(depends["volatile"]))
        key, tags = record["key"], record["tags"]
        return next((word for word in words if word.meets(key, tags, about)), None)
    except (KeyError, TypeError, AttributeError):
        return None


class Board(NamedTuple):
    """What a server says of a board.

    The least number on it (0: there is no board), the number by which it took what was told with
    the question (0: nothing was), and what others had told since, in the order of its numbers. To
    who has heard more than there is on it it says all: it is another board than he heard, begun by
    a clock that is behind. ``now`` is the time by the clock of the numbers, in microseconds;
    0, if that is the askers' own.
    """

    least: int
    number: int
    words: list[tuple[bytes, int]]
    now: int = 0


class News:
    """What one process has heard of a board, and what it has still to tell.

    :param board: what the board is called.
    :param now: seconds, of the loop.
    """

    def __init__(self, board: str, now: Callable[[], float]) -> None:
        self.board = board
        self.heard = 0
        """The last number heard; 0: no board is known."""
        self.untold: dict[Word, object] = {}
        self.listeners: list[Callable[[Word], object]] = []
        self._now = now
        self._began = now()
        self._born = 0
        self._least = 0
        self._known: dict[Word, int] = {}
        self._told: dict[Word, float] = {}
        self._mine: dict[bytes, int] = {}
        """By which number each was told: an answer that comes late may say it as another's."""
        self.moment = 0
        """How many words there were, told and heard."""
        self._moments: dict[Word, int] = {}
        self._forgotten = 0

    def tell(self, word: Word) -> None:
        """Have something told, as soon as the server takes it; it counts here at once."""
        if len(self.untold) >= MOST_WORDS:
            self.untold.clear()
            word = ALL  # what is too much to say is said so
        self.untold[word] = object()
        self._note(word)

    def took(
        self, board: Board, told: Mapping[Word, object] | None = None, now: float = 0
    ) -> list[Word]:
        """Take the server's answer; what others have told since it was last heard.

        Who hears a board for the first time has heard nothing of what was said since he began. What
        was said before concerns what others have kept, and nothing that was made here.

        :param told: what of :attr:`untold` it was told with the question.
        :param now: the time by the clock that the board's numbers go by, in microseconds.
        """
        told = dict(told or {})
        since = 0 if self.heard else max(0.0, now - (self._now() - self._began) * 1e6)
        said = _bounded(
            [
                (word, last)
                for raw, last in board.words
                if self._mine.get(raw) != last and (word := _read(raw)) is not None
            ]
        )
        others = [word for word, last in said if last > since]
        born = next((number for raw, number in board.words if raw == BORN), self._born)
        lost = self.heard and (not board.least or born != self._born)
        self._born = born
        whole = self.heard >= board.least if self.heard else BORN in dict(board.words)
        if not lost and not whole and board.least > since:
            others.insert(0, ALL)  # so much was told since that some of it is gone already
        for word, last in said:
            self._know(word, last)
        for word in others:
            self._note(word)
        for word, which in told.items():
            if self.untold.get(word) is which:  # else it was said once more meanwhile
                del self.untold[word]
            self._know(word, board.number)
        if lost:
            since = self._now() - REPEATED
            for word in [word for word, when in self._told.items() if when > since]:
                if word not in told:
                    self.tell(word)
        for word in told:
            self._told.pop(word, None)
            self._told[word] = self._now()
            self._mine.pop(raw := word.written(), None)
            self._mine[raw] = board.number
        _trim(self._told)
        _trim(self._mine)
        before = 0 if lost else self.heard
        numbers = (before, board.number, *(number for _, number in board.words))
        self.heard = max(numbers) if board.least else 0
        self._least = board.least
        return others

    def good(self, record: Mapping[str, Any], as_of: Any) -> bool:
        """Whether nothing that was told after a number concerns a record."""
        if type(as_of) is not int or not self.heard or not self._least <= as_of <= self.heard:
            return False  # of another board, with other numbers
        later = (word for word, number in self._known.items() if number > as_of)
        return first_of((*self.untold, *later), record) is None

    def overtaken(self, record: Mapping[str, Any], moment: int) -> bool:
        """Whether something that was told or heard after a moment concerns a record."""
        since = takewhile(lambda each: each[1] > moment, reversed(self._moments.items()))
        if first_of((word for word, _ in since), record) is not None:
            return True
        return moment < self._forgotten

    def _note(self, word: Word) -> None:
        self.moment += 1
        self._moments.pop(word, None)
        self._moments[word] = self.moment
        if len(self._moments) > 2 * MOST_WORDS:
            self._forgotten = self._moments.pop(next(iter(self._moments)))

    def _know(self, word: Word, number: int) -> None:
        self._known[word] = max(number, self._known.get(word, 0))
        if len(self._known) > 2 * MOST_WORDS:
            latest = sorted(self._known.items(), key=lambda known: known[1])[-MOST_WORDS:]
            self._known = dict(latest)


def _trim(kept: dict[Any, Any]) -> None:
    while len(kept) > MOST_WORDS:
        del kept[next(iter(kept))]


def _read(raw: bytes) -> Word | None:
    """A word from the board; ``None`` for the first one, and for what is none of ours."""
    if len(raw) > LONGEST:
        return ALL
    try:
        kind, what = orjson.loads(raw)
    except (ValueError, TypeError):
        return None
    if kind in ("path", "changed") and isinstance(what, list):
        return Word(kind, tuple(map(str, what))) if len(what) <= DEEPEST else ALL
    if kind == "fits" and isinstance(what, str):
        return ALL if needs_regex(what) and len(what) > LONGEST_REGEX else Word(kind, what)
    return ALL if kind == "all" else None


def _bounded(said: list[tuple[Word, int]]) -> list[tuple[Word, int]]:
    """No more regexes than can be made in a look-up's time: else *all* in the place of each."""
    dear = {each for each in said if each[0].kind == "fits" and needs_regex(str(each[0].what))}
    if len(dear) <= MOST_REGEXES:
        return said
    return [(ALL, each[1]) if each in dear else each for each in said]
