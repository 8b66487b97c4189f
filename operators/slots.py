"""Typed holes in a prepared text: ``{damage}`` becomes 9 when the dice have landed."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["NEUTRAL", "SlotFiller", "fill", "slots_in"]

SLOT = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]{0,31})\}")
OPEN_SLOT = re.compile(r"\{(?:[A-Za-z_][A-Za-z0-9_]{0,31})?")

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
    """

    def __init__(
        self,
        values: Mapping[str, object],
        on_missing: str = "some",
        neutral: Mapping[str, str] = NEUTRAL,
    ) -> None:
        self.missing: list[str] = []
        """The slots that could not be filled, each once, in the order they came."""
        self._values = values
        self._on_missing = on_missing
        self._neutral = neutral
        self._held = ""

    def feed(self, text: str) -> str:
        """The text as far as it is certain; an open brace that may be a slot is held back."""
        text = self._held + text
        brace = text.rfind("{")
        self._held = ""
        if brace >= 0 and OPEN_SLOT.fullmatch(text, brace):
            text, self._held = text[:brace], text[brace:]
        return SLOT.sub(self._filled, text) if "{" in text else text

    def finish(self) -> str:
        """What is still held back, as it is; no more text comes."""
        held, self._held = self._held, ""
        return held

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
) -> str:
    """``text`` with its slots filled, as :class:`SlotFiller` does it."""
    filler = SlotFiller(values, on_missing, neutral)
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
    if isinstance(value, float) and math.isfinite(value):
        value = round(value, 4)
        value = int(value) if value.is_integer() else f"{value:.4f}".rstrip("0")
    if isinstance(value, (int, str)):
        try:
            return str(value)
        except ValueError:  # Python writes no integer of more than 4,300 digits
            return None
    return None
