"""Typed holes in a prepared text: ``{damage}`` becomes 9 when the dice have landed."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from types import MappingProxyType

from ..streams.numerals import numeral

__all__ = ["NEUTRAL", "SlotFiller", "fill", "slots_in"]

SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,31})\}")
OPEN_SLOT = re.compile(r"\{(?:[A-Za-z_][A-Za-z0-9_]{0,31})?")
END = '.!?…\n"“”'
CLAUSE = re.compile(rf"\s*—(?:(?!\s*—)[^{END}])*|[,;](?:(?!\s*—)[^,;{END}])*")
"""A part of a sentence that may be left out: from a dash to its end or the next dash, from a comma
to the next."""

NEUTRAL: Mapping[str, str] = MappingProxyType(
    {
        "action": "the attempt",
        "actor": "the attacker",
        "attacker": "the attacker",
        "caster": "the caster",
        "location": "this place",
        "name": "someone",
        "spell": "the spell",
        "speaker": "someone",
        "target": "the target",
        "weapon": "the weapon",
    }
)
"""What stands in for a slot that cannot be filled, where ``some`` would not read well."""


class SlotFiller:
    """Fills ``{name}`` in a text that comes in pieces; any pieces give the same text.

    A slot is a brace pair around a plain identifier of at most 32 characters; every other brace
    passes through as it is. Values are data: braces in them stay braces. Whole numbers are
    written without a point, others with four decimals at most, truth as yes or no, a list with
    commas. A slot with no value, or one that is no such thing, gets a neutral word, and its name
    is kept in :attr:`missing`. ``{Damage}`` is filled as ``{damage}`` where only that is known.

    :param values: what fills the slots, by name.
    :param on_missing: the word for a slot that cannot be filled and is not in ``neutral``.
    :param neutral: such words by slot name.
    :param lacking: slots that are known to have no value: a clause of its own that holds one is
        left out, dash or comma and all, so text is held back from there to the end of the clause.
    """

    def __init__(
        self,
        values: Mapping[str, object],
        on_missing: str = "some",
        neutral: Mapping[str, str] = NEUTRAL,
        lacking: Collection[str] = (),
    ) -> None:
        self.missing: list[str] = []
        """The slots that could not be filled, each once, in the order they came."""
        self._values = values
        self._on_missing = on_missing
        self._neutral = neutral
        self._lacking = frozenset(lacking)
        self._last = ""
        self._held = ""

    def feed(self, text: str) -> str:
        """The text as far as it is certain; an open brace that may be a slot is held back."""
        text = self._held + text
        if self._lacking:
            return self._without_clauses(text)
        brace = text.rfind("{")
        self._held = ""
        if brace >= 0 and OPEN_SLOT.fullmatch(text, brace):
            text, self._held = text[:brace], text[brace:]
        return SLOT.sub(self._filled, text) if "{" in text else text

    def finish(self) -> str:
        """What is still held back, as it is; no more text comes."""
        held, self._held = self._held, ""
        return self._clauses(held) if self._lacking else held

    def _without_clauses(self, text: str) -> str:
        """As :meth:`feed`; a clause that is not over is held back too."""
        clauses = list(CLAUSE.finditer(text))
        if clauses and clauses[-1].end() == len(text):
            certain = clauses[-1].start()
        else:
            certain = len(text.rstrip())  # white space may belong to a dash that follows
            brace = text.rfind("{", 0, certain)
            if brace >= 0 and OPEN_SLOT.fullmatch(text, brace):
                certain = brace
        text, self._held = text[:certain], text[certain:]
        return self._clauses(text)

    def _clauses(self, text: str) -> str:
        """Whole clauses, filled or left out; one that begins its sentence is its only one."""
        out, at = "", 0
        for clause in CLAUSE.finditer(text):
            out += self._passed(text[at : clause.start()])
            at = clause.end()
            lost = [name for name in SLOT.findall(clause[0]) if name.lower() in self._lacking]
            if lost and self._last not in END:
                self.missing += [name for name in dict.fromkeys(lost) if name not in self.missing]
            else:
                out += self._passed(clause[0])
        return out + self._passed(text[at:])

    def _passed(self, text: str) -> str:
        self._last = text.rstrip()[-1:] or self._last
        return SLOT.sub(self._filled, text)

    def _filled(self, slot: re.Match[str]) -> str:
        name = slot[1]
        known = name if name in self._values else name.lower()
        written = _written(self._values.get(known))
        if written is not None:
            return written
        if name not in self.missing:
            self.missing.append(name)
        return self._neutral.get(name.lower(), self._on_missing)


def fill(
    text: str,
    values: Mapping[str, object],
    on_missing: str = "some",
    neutral: Mapping[str, str] = NEUTRAL,
    lacking: Collection[str] = (),
) -> str:
    """``text`` with its slots filled, as :class:`SlotFiller` does it."""
    filler = SlotFiller(values, on_missing, neutral, lacking)
    return filler.feed(text) + filler.finish()


def slots_in(text: str) -> set[str]:
    """The names of the slots in ``text``."""
    return set(SLOT.findall(text))


def _written(value: object) -> str | None:
    if isinstance(value, (list, tuple)):
        parts = [_scalar(each) for each in value]
        return ", ".join(part for part in parts if part is not None) or None
    return _scalar(value)


def _scalar(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "yes" if value else "no"
    return numeral(value) if isinstance(value, (int, float)) else None
