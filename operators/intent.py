"""What a text names: which of the things somebody can do, or whom of those who are there.

    said     "as they panic cast Chaos Bolt at the hag"
    items    Chaos Bolt 1.0, Chill Touch 0, Dagger 0, …
    actors   sh1 (a Sea Hag) 0.4, nitar 0, …

By words alone: the names that the game has for things, as a whole or by their parts, in any form of
their words, with a slip of the finger, or by their initials. What is said of one word of several
names counts for each of them the less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Generic, TypeVar

from .words import Token, initials, phrases, stem, tokens

__all__ = ["CUES", "Names", "cued"]

T = TypeVar("T", bound=Hashable)

WHOLE, SCATTERED, ONE_WORD, PART, INITIALS, SLIP, BEGUN = 1.0, 0.6, 0.8, 0.9, 0.7, 0.8, 0.7
NEAR = 3
"""So many other words may stand among those of a name."""

LONG = 6
"""A word of so many letters is known with a slip in it."""

FEWEST_BEGUN = 3
NOT_SO = frozenset(
    map(
        stem,
        (
            *("not", "no", "never", "don't", "dont", "won't", "can't", "without", "instead"),
            *("nicht", "kein", "ohne"),
        ),
    )
)
AFTER = 2
"""So many words behind one of these do not count."""

CUES: Mapping[str, frozenset[str]] = {
    kind: frozenset(map(stem, said.split("|")))
    for kind, said in {
        "attack": "attack|strike|struck|swing|swung|slash|stab|hit|thrust|swipe|slice|smash|bash|"
        "lunge|punch|kick|shoot|shot|aim|throw|hurl|lash|cleave|chop|blade|weapon",
        "cast": "cast|spell|conjure|invoke|chant|incant",
        "use": "use|activate|drink",
        "move": "move|walk|run|step|climb|retreat",
        "talk": "say|ask|tell|talk|speak",
    }.items()
}
"""English words that speak of an action of a type, whatever its name."""


class Names(Generic[T]):
    """Who or what may be named.

    :param names: by what each is called: names, aliases, a kind.
    :param partly: what a part of the words of a name is worth.
    """

    def __init__(self, names: Mapping[T, Iterable[str]], partly: float = 0.4) -> None:
        self._partly = partly
        self._names = {each: tuple(called) for each, called in names.items()}
        self._phrases = {
            each: [(phrase, n == 0) for name in called for n, phrase in enumerate(phrases(name))]
            for each, called in self._names.items()
        }
        every = self._phrases.values()
        self._called = Counter(
            phrase for known in every for phrase in dict.fromkeys(phrase for phrase, _ in known)
        )
        self._common = Counter(
            word
            for known in every
            for word in dict.fromkeys(word for phrase, _ in known for word in phrase)
        )
        self._alike: dict[str, list[str]] = {}
        for word in self._common:
            self._alike.setdefault(word[0], []).append(word)

    def __repr__(self) -> str:
        return f"<Names of {len(self._names)}>"

    def named(self, text: str, *, typing: bool = False) -> dict[T, float]:
        """What a text names, each with a score of up to 1, named beyond doubt.

        :param typing: its last word may not be whole yet.
        """
        said = tokens(text)
        heard = self._heard(said, typing)
        short = any(each.capital or each.joined for each in said)
        found: dict[T, float] = {}
        for each, known in self._phrases.items() if heard or short else ():
            score = max((self._score(*phrase, heard) for phrase in known), default=0.0)
            if short and score < INITIALS and self._abbreviated(self._names[each], said):
                score = INITIALS
            if score:
                found[each] = score
        return found

    def _heard(self, said: Sequence[Token], typing: bool) -> dict[str, tuple[int, float]]:
        """Which of the known words are said: where first, and how surely."""
        found: dict[str, tuple[int, float]] = {}
        for place, token in _affirmed(said):
            if token.stem in self._common:
                found.setdefault(token.stem, (place, 1.0))
                continue
            last = typing and place == len(said) - 1 and len(token.plain) >= FEWEST_BEGUN
            if last or len(token.plain) >= LONG:
                for word in self._alike.get(token.stem[0], ()):
                    if last and word.startswith(token.stem):
                        found.setdefault(word, (place, BEGUN))
                    elif len(token.plain) >= LONG and _slipped(word, token.stem):
                        found.setdefault(word, (place, SLIP))
        return found

    def _score(
        self, phrase: tuple[str, ...], whole: bool, heard: Mapping[str, tuple[int, float]]
    ) -> float:
        there = [heard[word] for word in phrase if word in heard]
        if not there:
            return 0.0
        sure = min(sureness for _, sureness in there) / self._called[phrase]
        if len(there) < len(phrase):
            if not whole or all(word.isdigit() for word in phrase if word in heard):
                return 0.0
            worth = [(1.0 / self._common[word], word in heard) for word in phrase]
            here, full = 0.0, 0.0
            for each, is_said in worth:
                full += each
                here += each * is_said
            return sure * self._partly * here / full
        if len(phrase) == 1:
            return sure * ONE_WORD
        places = [place for place, _ in there]
        near = max(places) - min(places) < len(phrase) + NEAR
        return sure * (WHOLE if near else SCATTERED) * (1.0 if whole else PART)

    def _abbreviated(self, names: Iterable[str], said: Sequence[Token]) -> bool:
        """``EB`` for Eldritch Blast, ``SH1`` for Sea Hag 1, ``g2`` or ``gob2`` for Goblin 2."""
        short = {initials(name) for name in names} - {""}
        for place, token in enumerate(said):
            if token.capital and token.plain in short:
                return True
            if token.joined and token.plain.isdigit() and place:
                before = said[place - 1].plain
                if before + token.plain in short or any(
                    known[-1:] == (token.plain,) and len(known) > 1 and known[0].startswith(before)
                    for name in names
                    for known in phrases(name)
                ):
                    return True
        return False


def cued(text: str) -> list[str]:
    """The types of action that a text speaks of, by :data:`CUES`."""
    said = {each.stem: None for _, each in _affirmed(tokens(text))}
    return [kind for kind, cues in CUES.items() if not cues.isdisjoint(said)]


def _affirmed(said: Sequence[Token]) -> Iterator[tuple[int, Token]]:
    """The words, with their places, but those behind a "not"."""
    unlike = -1
    for place, token in enumerate(said):
        if token.stem in NOT_SO:
            unlike = place + AFTER
        if place > unlike:
            yield place, token


def _slipped(word: str, said: str) -> bool:
    """Whether one letter is wrong, missing, too many, or has changed places with the next."""
    if word == said or abs(len(word) - len(said)) > 1 or word[0] != said[0]:
        return False
    at = next((n for n, (a, b) in enumerate(zip(word, said, strict=False)) if a != b), None)
    if at is None:
        return True
    a, b = word[at:], said[at:]
    return a[1:] == b[1:] or a[1:] == b or a == b[1:] or (a[:2] == b[1::-1] and a[2:] == b[2:])
