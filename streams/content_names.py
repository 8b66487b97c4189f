"""Names of content as players write them: "sea hag", "SH1", "Goblin 2", "the goblins"."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any

__all__ = ["HEALTH", "NUMBER", "SHORT", "Index", "initials_of", "plain"]

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
    text = unicodedata.normalize("NFKD", ASIDE.sub(" ", name)).casefold()
    text = "".join(each for each in text if not unicodedata.combining(each)).replace("'", "")
    text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "")
    return ARTICLE.sub("", " ".join(re.findall(r"[^\W_]+", text)))


def initials_of(name: str) -> str:
    """The first letters of the words of a plain name."""
    return "".join(word[0] for word in name.split())


def _singular(name: str) -> str:
    for end, instead in (("wolves", "wolf"), ("ies", "y"), ("men", "man"), ("s", "")):
        if name.endswith(end):
            return name[: -len(end)] + instead
    return name


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


class Index:
    """Entries by their names. What fits several of them equally well is none of them.

    :param creatures: whether they are counted ("Goblin 2") and called by what they are ("Klarg the
        Bugbear"), and known in spite of a slip; of places and persons that would be another one.
    """

    def __init__(
        self, entries: Iterable[tuple[Sequence[str], Any]], *, creatures: bool = False
    ) -> None:
        self._creatures = creatures
        self._values: list[Any] = []
        self._exact: dict[str, int] = {}
        self._words: dict[str, int] = {}
        self._initials: dict[str, list[int]] = {}
        for names, value in entries:
            number = len(self._values)
            self._values.append(value)
            for name in names:
                known = plain(name)
                self._exact.setdefault(known, number)
                self._words.setdefault(" ".join(sorted(known.split())), number)
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
        known = plain(name)
        bare = NUMBER.sub("", known) if self._creatures else known
        for each in (known, bare, _singular(bare)):
            if each and (found := self._exact.get(each)) is not None:
                return found
        if (found := self._words.get(" ".join(sorted(bare.split())))) is not None:
            return found
        if not self._creatures:
            return None
        if (short := SHORT.fullmatch(name.strip())) is not None:
            return self._by_initials(short[1].lower(), about)
        if (epithet := EPITHET.search(ASIDE.sub(" ", name).strip())) is not None:
            of = NUMBER.sub("", plain(epithet[1]))
            if (found := self._exact.get(of)) is not None:
                return found
        close = [number for each, number in self._exact.items() if _slipped(bare, each)]
        return close[0] if len(dict.fromkeys(close)) == 1 else None

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
