"""Where prepared variants wait to be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ..operators.predict import ANY

__all__ = ["Entry", "Store"]

Slot = tuple[str | None, str, str | None, str]


class _Variant(Protocol):
    @property
    def slot(self) -> Slot: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def result(self) -> str: ...
    @property
    def to(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Entry:
    """A variant's generation, finished or not, and the fingerprint and result it was made for.

    ``to`` are the viewers who may be told it; all, if none are named.
    """

    fingerprint: str
    generation: Any
    made_for: str
    to: tuple[str, ...] = ()


class Store:
    """Variants by slot: turn, action, target and result. A variant that is taken is consumed.

    It holds what the current plan wants and nothing else, so its size is bounded by the plan's.
    """

    def __init__(self) -> None:
        self._entries: dict[Slot, Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def put(self, variant: _Variant, generation: Any) -> None:
        """Offer a variant; it takes the place of an older one in its slot."""
        made = Entry(variant.fingerprint, generation, variant.result, variant.to)
        self._entries[variant.slot] = made

    def holds(self, variant: _Variant) -> bool:
        """Whether this very variant is here, finished or not."""
        entry = self._entries.get(variant.slot)
        made = variant.fingerprint, variant.to
        return entry is not None and (entry.fingerprint, entry.to) == made

    def take(self, slot: Slot) -> Entry | None:
        """The variant in a slot, which leaves the store, or ``None``."""
        return self._entries.pop(slot, None)

    def beside(self, slot: Slot) -> list[Entry]:
        """What there is for the same turn, action and target, whatever its result; it stays.

        Of a trunk these are its tails, each by itself.
        """
        return [
            entry
            for (*place, result), entry in self._entries.items()
            if tuple(place) == slot[:3] and result != ANY
        ]

    def discard(self, variant: _Variant, generation: Any) -> None:
        """Drop a variant, unless a newer generation has its slot."""
        entry = self._entries.get(variant.slot)
        if entry is not None and entry.generation is generation:
            del self._entries[variant.slot]
