"""A text in sentences, each as soon as it is one."""

from __future__ import annotations

import re
from itertools import accumulate
from typing import Any, Self
from unicodedata import category

from .partials import Path

__all__ = ["Sentence", "Sentences"]

LONGEST = 1000
"""A sentence of more characters is cut after a word, so that no text waits for ever."""
REACH = LONGEST + 200
"""What is looked at; with so much, a decision waits for nothing more."""
AHEAD = 24
"""So many characters of the next word are enough to tell whether it begins a sentence."""

MARKS = re.compile(r"[^\w\s]{1,60}+\s*+|[^\S\n]{0,15}+\n\s*+")
"""Where a sentence might end: punctuation and the space after it, or a new line."""
NO_STOPS = frozenset("\"'*,/:;&%#@\\、，；：·،؛")
WIDE = frozenset("。！？．｡")
"""Stops of scripts without spaces: one character more is enough to go by."""
HEAD = re.compile(r"[\"'“‘«„「『(\[*_]{0,3}+ ?")
"""What may stand before the first word of a sentence; open quotes would lead the library astray."""
WORD = re.compile(rf"\S{{0,{AHEAD}}}+")
OPENING = re.compile(r"(?<=[^\w\s])[“‘«„「『(\[（【《]")
STRAY = re.compile(r"\*++(?=\s)\s*+")
"""The end of emphasis in Markdown, left over after a stop."""

UNREAD = re.compile(r"[^\S\x00-\x7f]|[\ud800-\udfff]")
"""What the library fails at, as a blank of more than one byte between a letter and a stop."""
QUOTES = re.compile(r"[„“”»«\n]")
LOW = frozenset({"bg", "cs", "de", "et", "is", "ka", "lb", "lt", "mk", "sk", "sl"})
"""Languages of „quotes“: what opens a quotation elsewhere closes one here."""
INWARD = frozenset({"cs", "da", "de", "hr", "hu", "pl", "sk", "sl", "sr"})
"""Languages in which there are »quotes« too."""
ALIKE = frozenset({"fi", "sv"})
"""Languages in which ”quotes” open as they close."""
GOES_ON = frozenset("\"'”’»")
"""After one of these a word in small letters goes on with the sentence: “Stop!” she said."""

# What the library does not know; never the end of a sentence, whatever comes next.
SHORT = {
    "en": re.compile(r"\b(?:e\.g|i\.e|viz|cf|vs|al)$", re.IGNORECASE),
    "fr": re.compile(r"\b(?:MM?|Mmes?|Mlles?|Dr|Me|p\. ex)$"),
}
# What it takes for an abbreviation, and is a word that sentences end with.
WORDS = {"sv": re.compile(r"\bhon$", re.IGNORECASE)}


class Sentence(str):
    """A sentence, stripped; a string that knows where it stands in its text.

    ``start`` and ``end`` are counted in characters of the whole text: ``telling.delivered(end)``
    says that it has been spoken. ``path`` is the field that it is of.
    """

    __slots__ = ("end", "path", "start")
    start: int
    end: int
    path: Path

    def __new__(cls, text: str, start: int = 0, path: Path = ()) -> Self:
        """``text``, which begins at ``start``."""
        sentence = super().__new__(cls, text)
        sentence.start, sentence.end, sentence.path = start, start + len(text), path
        return sentence


class Sentences:
    """Cuts a text that comes in pieces into sentences; any pieces give the same ones.

    A sentence is out when the first word of the next shows that it is one, and is never taken
    back; in scripts without spaces one character shows it. Abbreviations, decimals and ellipses
    within a sentence do not end it. In a quotation of several sentences each is one. What is
    looked at again is never more than the sentence under way; after 1,000 characters it is cut.

    :param language: an ISO 639 code, such as ``"en"`` or ``"pt-BR"``; ``sentencex`` knows about
        three hundred, and takes the nearest relative, or English, for others.
    :param path: the field that the text is of, for :attr:`Sentence.path`.
    :raises ValueError: for a language that is no text.
    """

    def __init__(self, language: str = "en", path: Path = ()) -> None:
        if not isinstance(language, str):
            raise ValueError(f"language is an ISO 639 code, not {language!r}")  # noqa: TRY004
        from sentencex import segment  # type: ignore[import-untyped]

        self._library: Any = segment
        self._language = re.split("[-_]", language.lower())[0]
        self._short = SHORT.get(self._language)
        self._words = WORDS.get(self._language)
        self._path = path
        self._no_stops = NO_STOPS - {";"} if self._language == "el" else NO_STOPS
        self._tail = ""
        self._plain = ""
        self._before = " "
        self._open = ""
        self._start = 0
        self._looked = 0

    def feed(self, text: str) -> list[Sentence]:
        """More of the text; returns the sentences that are complete with it."""
        found: list[Sentence] = []
        for at in range(0, len(text), REACH):
            piece = text[at : at + REACH]
            self._tail += piece
            self._plain += self._levelled(piece)
            found += self._cut(last=False)
        return found

    def finish(self) -> list[Sentence]:
        """No more comes; what is left."""
        found = self._cut(last=True)
        return found + self._taken(len(self._tail))

    def _cut(self, *, last: bool) -> list[Sentence]:
        found: list[Sentence] = []
        while True:
            text = self._plain[:REACH]
            enough = last or len(text) == REACH
            end = self._end(text, enough)
            if end is None and enough and len(text) > LONGEST:
                end = text.rfind(" ", 1, LONGEST) + 1 or LONGEST
            if end is None:
                return found
            found += self._taken(end)

    def _taken(self, end: int) -> list[Sentence]:
        text, self._tail = self._tail[:end], self._tail[end:]
        self._plain = self._plain[end:]
        start, self._start = self._start, self._start + end
        self._looked = 0
        sentence = text.strip()
        if not sentence:
            return []
        return [Sentence(sentence, start + text.index(sentence[0]), self._path)]

    def _levelled(self, text: str) -> str:
        """``text`` with “these” and «these» quotes only, each as it is meant, to be cut by."""

        def meant(found: re.Match[str]) -> str:
            quote, at = found[0], found.start()
            before = text[at - 1] if at else self._before
            begins = before.isspace() or before in "(["
            closes = {"„": "“”", "»": "«"}.get(self._open, "")
            if quote == "\n":
                self._open = ""
            elif quote in closes:
                self._open = ""
                return "»" if quote == "«" else "”"
            elif quote == "„" or (quote == "»" and begins and self._language in INWARD):
                self._open = quote
                return "“" if quote == "„" else "«"
            elif quote == "“" and self._language in LOW and not begins:
                return "”"
            elif quote == "”" and self._language in ALIKE and begins:
                return "“"
            return quote

        plain = UNREAD.sub(" ", QUOTES.sub(meant, text))
        self._before = text[-1:] or self._before
        return plain

    def _end(self, tail: str, enough: bool) -> int | None:
        """Where the first sentence of ``tail`` ends, if that can be told from it.

        What cannot be told yet is left for when there is more, unless what there is is enough.
        """
        for mark in MARKS.finditer(tail, self._looked):
            start, after = mark.span()
            opening = OPENING.search(tail, start, after)
            after = opening.start() if opening is not None else after
            if after > LONGEST:
                return None
            self._looked = start
            word = HEAD.match(tail, after).end()  # type: ignore[union-attr]
            ahead = WORD.match(tail, word).end()  # type: ignore[union-attr]
            wide = not WIDE.isdisjoint(tail[start:after])
            if wide:
                ahead = min(ahead, word + 1)
            open_word = ahead == len(tail) < word + AHEAD and not wide
            if not enough and (ahead == word or open_word or mark.end() == len(tail)):
                return None
            end = self._at(tail, start, after, tail[word:ahead])
            if end is not None:
                return end
            self._looked = mark.end()
        return None

    def _at(self, tail: str, start: int, after: int, word: str) -> int | None:
        """Where the sentence ends, if it does between ``start`` and ``after``, before ``word``."""
        mark = tail[start:after]
        stops = [char for char in mark if category(char) == "Po" and char not in self._no_stops]
        if not stops and "\n" not in mark:
            return None
        spaced = mark[-1].isspace()
        if stops == ["."]:
            if not spaced and word[:1].isalnum():
                return None  # a name with a point in it
            if self._short is not None and self._short.search(tail, 0, start):
                return None
        if word[:1].islower() and not GOES_ON.isdisjoint(mark):
            return None
        if self._language == "ja" and mark[-1] in "」』" and word[:1] in ("と", "っ"):
            return None  # the sentence goes on: "…", she said
        pieces = self._library(self._language, tail[:after] + word)
        ends = [end for end in accumulate(map(len, pieces)) if start < end <= after]
        if ends:
            stray = STRAY.match(tail, ends[-1], after)
            return stray.end() if stray is not None else ends[-1]
        begins = word[:1].isalpha() and not word[:1].islower()
        aside = tail.lstrip()[:1] == "(" and ")" in mark
        plain = self._words is not None and self._words.search(tail, 0, start) is not None
        return after if stops and spaced and begins and ("…" in mark or aside or plain) else None
