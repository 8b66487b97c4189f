"""Words as players write them: case, accents, plurals and other endings do not count."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

__all__ = ["Token", "initials", "phrases", "stem", "tokens"]

Stem = str
"""A word without case, accents and ending; or a number."""

WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*|\d+")
PARTS = re.compile(r"[:;/()\[\]]+|\s[-–—]\s")
"""What parts a name: ``Nimble Escape: Hide``, ``Crystal Spike (Greataxe)``."""

ENDINGS = ("ings", "ing", "ers", "ed", "es", "en", "er", "s", "e", "n")
LONGEST = 2000
"""Letters of a text that are read."""

LONGEST_NAME, LONGEST_WORD = 200, 40

SHORTEST = 3
"""Letters that are left of a word at the least."""

LINKING = frozenset(
    (
        *("a", "an", "and", "at", "by", "for", "from", "in", "into", "of", "on", "or", "the"),
        *("to", "with", "am", "auf", "das", "dem", "den", "der", "die", "ein", "mit", "und"),
        *("von", "zu", "au", "aux", "avec", "d", "de", "des", "du", "en", "et", "l", "la", "le"),
        *("les", "un", "une", "al", "con", "del", "el", "las", "los", "una", "y"),
    )
)
"""Words that tell no names apart, in a few languages; no name is made of these alone."""


class Token(NamedTuple):
    """A word of a text: its stem, itself in lower case, and how it was written.

    ``joined``: nothing stands between it and the one before, as in ``goblin2``.
    """

    stem: Stem
    plain: str
    capital: bool
    joined: bool


@lru_cache(maxsize=16)
def tokens(text: str) -> tuple[Token, ...]:
    """The words of a text, in order: ``Hexblade's Curses`` has the stems ``hexblad``, ``curs``.

    Of a long one the end.
    """
    letters = text[-LONGEST:]
    if not letters.isascii():
        letters = unicodedata.normalize("NFKD", letters)
        letters = "".join(each for each in letters if not unicodedata.combining(each))
    found, end = [], -1
    for match in WORD.finditer(letters):
        plain = match[0][:LONGEST_WORD].casefold()
        capital = len(plain) > 1 and match[0].isupper()
        found.append(Token(stem(plain), plain, capital, match.start() == end))
        end = match.end()
    return tuple(found)


@lru_cache(maxsize=4096)
def stem(word: str) -> Stem:
    """A word, in lower case, without its ending; irregular forms stay as they are.

    Crude on purpose: both the names and what is said go through it, and what matters is that forms
    of one word come out alike: ``swing``, ``swings``, ``swinging``.
    """
    for mark in ("'", "’"):
        word, _, rest = word.partition(mark)
        if rest and len(word) == 1:  # l'épée
            word = rest
    if not word.isalpha():
        return word
    for ending in ENDINGS:
        left = word[: -len(ending)]
        if word.endswith(ending) and len(left) >= SHORTEST and not word.endswith("ss"):
            word = left
            break
    if len(word) > SHORTEST and word[-1] == word[-2] and word[-1] not in "lsz":
        word = word[:-1]  # stabbed
    return word[:-1] if len(word) > SHORTEST and word.endswith("e") else word


def phrases(name: str) -> tuple[tuple[Stem, ...], ...]:
    """What a name may be called by: the whole of it, then each of its parts.

    Words that link others are left out, if there are others.
    """
    return _phrases(name[:LONGEST_NAME])


@lru_cache(maxsize=4096)
def _phrases(name: str) -> tuple[tuple[Stem, ...], ...]:
    found: dict[tuple[Stem, ...], None] = {}
    for part in (PARTS.sub(" ", name), *PARTS.split(name)):
        said = [each.stem for each in tokens(part)]
        telling = tuple(each for each in said if each not in LINKING) or tuple(said)
        if telling:
            found[telling] = None
    return tuple(found)


def initials(name: str) -> str:
    """``Eldritch Blast`` is ``eb``, ``Sea Hag 1`` is ``sh1``; nothing for a name of one word."""
    return _initials(name[:LONGEST_NAME])


@lru_cache(maxsize=4096)
def _initials(name: str) -> str:
    said = [each.plain for each in tokens(name) if each.stem not in LINKING]
    return "".join(each if each.isdigit() else each[0] for each in said) if len(said) > 1 else ""
