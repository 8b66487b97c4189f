"""When what a store of variants holds stops being true, and who hears of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.footprint import DEPTH, changed_paths
from ..streams.world import Change
from .store_entry import Entry, Level, basis_of
from .store_flight import Flights
from .store_given import changes_of, state_of, texts
from .store_guard import met_by
from .store_news import ALL, Word
from .store_shelves import Shelves
from .store_stats import Tally

__all__ = ["Doubt", "Truth", "concerned", "same_basis"]

DEEPEST = 100
"""Changes are told apart down to this many keys."""

MOST_ENDED = 1_000
"""So many turns are known to be over."""

Doubt = Change | Word
"""An unexpected change, or what was invalidated."""


class Truth:
    """What a store holds and what it computes, as far as it has to be true.

    What is dropped here because it is no longer true is told to all processes that share the
    cold layer, and what they tell is dropped here.
    """

    def __init__(self, shelves: Shelves, flights: Flights[Any]) -> None:
        self.state: Mapping[str, Any] | None = None
        """The state as last told by :meth:`changed`; each serve is checked against it."""
        self._shelves = shelves
        self._flights = flights
        self._tally = Tally()
        self._revision = 0
        self._doubts: list[dict[Doubt, None]] = []
        self._ended: dict[str, None] = {}
        shelves.door.listen(shelves.scope, lambda word: self._drop(word, "overtaken"))

    def changed(
        self,
        state: Mapping[str, Any],
        changes: Iterable[Change] | None = None,
        *,
        expected: bool = False,
    ) -> int:
        """The state is another now; how many entries that concerns.

        :param state: as it is now; not to be altered by the caller afterwards.
        :param changes: where it differs, each with the key of the action named as its reason;
            found by comparison, if not given: of objects key by key, and of lists as a whole.
        :param expected: then what depends on it stays good, for the state as it is now.
            Otherwise what depends on it is dropped, here and wherever the cache is shared.
        :raises StateError: for what is no state, or no changes; then nothing has changed.
        """
        state = state_of(state)
        first = changes is None and self.state is None  # then nothing has changed for the others
        if changes is None:
            known = {} if self.state is None else self.state
            changes = [(path, None) for path in changed_paths(known, state, depth=DEEPEST)]
        else:
            changes = changes_of(changes)
        self._shelves.swept()
        self.state = state
        self._revision += 1
        found = dict.fromkeys(entry for change in changes for entry in self._on(change))
        own = dict.fromkeys(entry for change in changes for entry in self._own(change, state))
        if first:  # what was made for this very state is as good as it was
            found = dict.fromkeys(each for each in found if not same_basis(each, state))
        good = {**found, **own} if expected else [each for each in own if each not in found]
        self._rebase(good, state)
        if not expected:
            # A board has not so many words: the others are told what has changed no deeper.
            for path in dict.fromkeys(() if first else [path[:DEPTH] for path, _ in changes]):
                self._tell(Word("changed", path))
            given_up = self._doubt(*changes)
            return self._shelves.forget_all(found, "changed") + given_up
        return len(found)

    def invalidate(self, pattern: str) -> int:
        """Drop what has a key or a tag that a glob pattern fits; how many that were.

        A name with no ``*``, ``?`` or ``[`` in it is looked up, and anything else compared with
        each: so what is often invalidated, such as a content source, is best a tag. Where the
        cache is shared nobody serves it any more, whoever made it; see :meth:`hear`.
        """
        word = Word("fits", *texts("a pattern", (pattern,)))
        self._tell(word)
        return self._drop(word, "invalidated")

    def invalidate_path(self, *path: str) -> int:
        """Drop what depends on a path of the state, on what it lies in, or on what is inside."""
        word = Word("path", texts("a path of the state", path))
        self._tell(word)
        return self._drop(word, "invalidated")

    def clear(self) -> None:
        """Drop all there is, in a shared cache too, and keep nothing of what is being computed."""
        self._tell(ALL)
        self._drop(ALL, "cleared")

    async def hear(self) -> None:
        """Hear at once what other processes have invalidated.

        It is heard in any case; but of what is in memory here, up to a tenth of a second later.
        """
        await self._shelves.door.hear()

    def end_turn(self, turn: str) -> None:
        """A turn is over: the time of what was made for it begins, and it can be let go.

        So is what is stored for it later, unless it begins again.
        """
        self._shelves.unpin(turn)
        for flight in self._flights:
            if flight.turn == turn:
                flight.turn = None
        self._ended[turn] = None
        if len(self._ended) > MOST_ENDED:
            del self._ended[next(iter(self._ended))]

    def begin_turn(self, turn: str) -> None:
        """A turn is open; only one that was over before needs it, to be open again."""
        self._ended.pop(turn, None)

    def _open(self, turn: str | None) -> str | None:
        """The turn, if it is not known to be over."""
        return None if turn in self._ended else turn

    def end_session(self) -> None:
        """The session is over: what is hot is dropped; the rest stays its time."""
        shelves = self._shelves
        shelves.swept()
        shelves.forget_all(shelves.layers[Level.HOT], "ended")
        for turn in {entry.turn: None for entry in shelves if entry.turn is not None}:
            shelves.unpin(turn)
        for flight in self._flights:
            flight.turn = None

    @contextmanager
    def doubts(self) -> Iterator[dict[Doubt, None]]:
        """What becomes untrue meanwhile, be it true again at the end: for what is being made."""
        met: dict[Doubt, None] = {}
        self._doubts.append(met)
        try:
            yield met
        finally:
            self._doubts = [each for each in self._doubts if each is not met]

    def _doubt(self, *doubts: Doubt) -> int:
        """What is being made of this is not kept; how many computations that concerns."""
        for met in self._doubts:
            met |= dict.fromkeys(doubts)
        return self._flights.give_up(
            lambda flight: concerned(doubts, flight.words[0], flight.words[1:], flight.depends)
        )

    def _tell(self, word: Word) -> None:
        if self._shelves.door.shared:
            self._shelves.door.tell(self._shelves.scope, word)

    def _drop(self, word: Word, reason: str) -> int:
        """Drop what a word concerns; how many that were."""
        shelves, what = self._shelves, word.what
        shelves.swept()
        found: Iterable[Entry] = shelves
        if word.kind == "fits":
            found = [*shelves.keys.fitting(str(what)), *shelves.tags.fitting(str(what))]
        elif word.kind == "path":
            found = shelves.paths.touched(tuple(what))
        elif word.kind == "changed":
            found = self._on((tuple(what), None))
        given_up = self._doubt(word)
        return shelves.forget_all(dict.fromkeys(found), reason) + given_up

    def _on(self, change: Change) -> list[Entry]:
        return [each for each in self._shelves.paths.touched(change[0]) if each.depends.on(change)]

    def _own(self, change: Change, state: Mapping[str, Any]) -> list[Entry]:
        """What was prepared for the very action that has made this change: it stays good."""
        path, because = change
        if because is None:
            return []
        touched = self._shelves.paths.touched(path)
        return [e for e in touched if e.depends.own == because and not same_basis(e, state)]

    def _rebase(self, entries: Iterable[Entry], state: Mapping[str, Any]) -> None:
        """They are good for the state as it is now."""
        for entry in entries:
            if entry.basis is not None:
                entry.basis = basis_of(state, entry.depends)
                self._tally.rebased += 1
                if self._shelves.door.shared:
                    self._shelves.write(entry)

    def _basis(self, state: Mapping[str, Any] | None, depends: Dependence) -> str | None:
        known = self.state if state is None else state_of(state)
        return None if known is None else basis_of(known, depends)

    def _true(self, entry: Entry, state: Mapping[str, Any] | None, snapshot: Any = None) -> bool:
        """Whether an entry may be served now: it is not, if too little is known to say so."""
        by_state = snapshot is None and entry.near is None
        if by_state and state is None and entry.checked == self._revision:
            return True
        known = self.state if state is None else state
        about = known if by_state else state if snapshot is None else snapshot
        same = entry.basis is None if known is None else same_basis(entry, known)
        good = same and met_by(entry.guard, about)
        if by_state and state is None:
            entry.checked = self._revision if good else -1
        if not good:
            self._tally.refused["untrue"] += 1
        return good


def concerned(doubts: Iterable[Doubt], key: str, tags: Iterable[str], depends: Dependence) -> bool:
    """Whether one of these makes doubtful what has this key, these tags, and depends on this."""
    return any(
        each.meets(key, tags, depends) if isinstance(each, Word) else depends.on(each)
        for each in doubts
    )


def same_basis(entry: Entry, state: Mapping[str, Any]) -> bool:
    """Whether a state says of what an entry depends on what it said when that was made.

    If no state was known then, none is known to say the same.
    """
    if entry.basis is None or not entry.depends.paths:
        return not entry.depends.paths
    try:
        return basis_of(state, entry.depends) == entry.basis
    except StateError:
        return False
