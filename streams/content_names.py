"""Names of content as players write them: "sea hag", "SH1", "Goblin 2", "the goblins"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

__all__ = ["HEALTH", "NUMBER", "SHORT", "Index", "initials_of", "plain", "whole"]

ASIDE = re.compile(r"\([^)]*\)|\[[^\]]*\]")
NUMBER = re.compile(r"(?<=\w)\s*(#\s*)?\d+$|\s+[a-z]$")
ARTICLE = re.compile(r"^(the|a|an) (?=.)")
EPITHET = re.compile(r"(?:,| the| a| an) +(.+)$")
SHORT = re.compile(r"([A-Z]{1,4})[ #-]*\d*")
LEAST = 6
"""Letters a word must have to be known in spite of a slip of the pen."""
HEALTH = ("max_hp", "hit_points")
"""Where a game, and where a stat block, has the most health."""


@lru_cache(4096)
def plain(name: str) -> str:
    """A name in small letters, without accents, asides, articles and signs."""
    return whole(ASIDE.sub(" ", name))


@lru_cache(4096)
def whole(name: str) -> str:
    """The same with its asides: the mill before the fire is not the one after it."""
    text = unicodedata.normalize("NFKD", name).casefold()
    text = "".join(each for each in text if not unicodedata.combining(each)).replace("'", "")
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    return ARTICLE.sub("", " ".join(re.findall(r"[^\W_]+", text)))


def initials_of(name: str) -> str:
    """The first letters of the words of a plain name."""
    return "".join(word[0] for word in name.split())


ENDS = (("wolves", "wolf"), ("ies", "y"), ("men", "man"), ("s", ""), ("es", ""))
"""Of several, and of one of them."""


def _singulars(name: str) -> Iterator[str]:
    for end, instead in ENDS:
        if name.endswith(end):
            yield name[: -len(end)] + instead


def _slipped(said: str, known: str) -> bool:
    """Whether one long word has a letter too many or too few inside, or two in the wrong order.

    Another letter would be another word: a bear is no boar.
    """
    differ = [(a, b) for a, b in zip(said.split(), known.split(), strict=False) if a != b]
    if len(differ) != 1 or said.count(" ") != known.count(" "):
        return False
    short, long = sorted(differ[0], key=len)
    if len(short) < LEAST - 1 or len(long) < LEAST or short[0] != long[0]:
        return False
    at = next((n for n, (a, b) in enumerate(zip(short, long, strict=False)) if a != b), len(short))
    if len(short) == len(long):
        return short[at : at + 2] == long[at : at + 2][::-1] and short[at + 2 :] == long[at + 2 :]
    return short[at:] == long[at + 1 :] and at < len(short)


class _Names(dict[str, int | None]):
    """Which entry a name means; of two that differ, neither."""

    def say(self, name: str, number: int, values: Sequence[Any]) -> None:
        """An entry is called so."""
        known = self.setdefault(name, number)
        if known is not None and known != number and values[known] != values[number]:
            self[name] = None


class Index:
    """Entries by their names. What fits several of them equally well is none of them.

    A name means the entry that has its asides as well; else one of the two may have none.

    :param creatures: whether they are counted ("Goblin 2") and called by what they are ("Klarg the
        Bugbear"), and known in spite of a slip; of places and persons that would be another one.
    """

    def __init__(
        self, entries: Iterable[tuple[Sequence[str], Any]], *, creatures: bool = False
    ) -> None:
        self._creatures = creatures
        self._values: list[Any] = []
        self._exact = _Names()
        self._words = _Names()
        self._plain = _Names()
        self._initials: dict[str, list[int]] = {}
        for names, value in entries:
            number = len(self._values)
            self._values.append(value)
            for name in names:
                known = whole(name)
                self._exact.say(known, number, self._values)
                self._words.say(" ".join(sorted(known.split())), number, self._values)
                self._plain.say(plain(name), number, self._values)
            if names:
                initials = initials_of(plain(names[0].partition(",")[0]))
                self._initials.setdefault(initials, []).append(number)

    def __len__(self) -> int:
        return len(self._values)

    def find(self, names: Iterable[str], about: Mapping[str, Any]) -> Any:
        """The entry that one of the names means, the first that means any; else ``None``.

        Initials that fit several entries mean the one whose health is that of ``about``.
        """
        for name in names:
            number = self._number(name, about)
            if number is not None:
                return self._values[number]
        return None

    def _number(self, name: str, about: Mapping[str, Any]) -> int | None:
        known, bare = whole(name), plain(name)
        looks = [(known, self._exact), (known, self._words), (bare, self._exact)]
        looks.append((bare, self._plain if known == bare else self._words))
        for said, names in looks:
            for each in self._forms(said):
                sought = " ".join(sorted(each.split())) if names is self._words else each
                if each and sought in names:
                    return names[sought]  # or it is not clear
        if not self._creatures:
            return None
        if (short := SHORT.fullmatch(name.strip())) is not None:
            return self._by_initials(short[1].lower(), about)
        if (epithet := EPITHET.search(ASIDE.sub(" ", name).strip())) is not None:
            of = NUMBER.sub("", plain(epithet[1]))
            if (found := self._exact.get(of)) is not None:
                return found
        bare = NUMBER.sub("", bare)
        close = [number for each, number in self._exact.items() if _slipped(bare, each)]
        return close[0] if len(dict.fromkeys(close)) == 1 else None

    def _forms(self, said: str) -> tuple[str, ...]:
        bare = NUMBER.sub("", said) if self._creatures else said
        return said, bare, *_singulars(bare)

    def _by_initials(self, initials: str, about: Mapping[str, Any]) -> int | None:
        fits = self._initials.get(initials, [])
        if len(fits) == 1 and len(initials) > 1:
            return fits[0]
        health = about.get(HEALTH[0])
        if health is not None:
            fits = [each for each in fits if self._health(each) == health]
        return fits[0] if health is not None and len(fits) == 1 else None

    def _health(self, number: int) -> Any:
        value = self._values[number]
        return value.get(HEALTH[1]) if isinstance(value, Mapping) else None
