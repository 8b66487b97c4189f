"""What a schedule is made of: items that may be needed, and the kinds of them there are."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from .fetch_source import Source

__all__ = [
    "BUILT_IN",
    "Item",
    "Kind",
    "Kinds",
    "Priority",
    "Urgency",
    "amount",
    "circle_of",
    "share",
]

MOST_TOKENS = 1_000_000_000
MOST_MS = 86_400_000.0
MOST_WORTH = 1_000_000.0
MOST_SHOWN = 10**18
TEXTS = ("together", "alternative", "turn")


class Priority(IntEnum):
    """How soon an item is wanted; the smaller, the sooner."""

    CRITICAL = 0
    """Must be there before processing starts [1-1]."""
    IMMEDIATE = 1
    """As soon as the task is received: within 100 ms [1-2]."""
    EAGER = 2
    """While processing starts: within 500 ms [1-3]."""
    BACKGROUND = 3
    """Nice to have: within 2 s [1-4]."""
    DEFERRED = 4
    """Only on demand [1-5]."""

    @property
    def label(self) -> str:
        """``P0`` to ``P4``."""
        return f"P{self.value}"


class Urgency(StrEnum):
    """How pressing the game, or what players say, makes an item."""

    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


def share(name: str, value: Any, of: str = "") -> float:
    """``value``, if it is a number from 0 to 1.

    :param of: the item whose it is.
    :raises ValueError: naming it, if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise ValueError(f"{name}{_of(of)} is {_brief(value)}: choose a number from 0 to 1")
    return value


def amount(
    name: str, value: Any, most: float, least: float = 0, *, ints: bool = False, of: str = ""
) -> Any:
    """``value``, if it is a finite number within the limits.

    :param ints: it has to be a whole number.
    :param of: the item whose it is.
    :raises ValueError: naming it, if it is not.
    """
    kind = int if ints else (int, float)
    if isinstance(value, bool) or not isinstance(value, kind) or not least <= value <= most:
        what = "whole number" if ints else "number"
        raise ValueError(
            f"{name}{_of(of)} is {_brief(value)}: choose a {what} from {least:,g} to {most:,.0f}"
        )
    return value


def _of(item: str) -> str:
    return f" of {_brief(item)}" if item else ""


def _named(what: str, value: Any, most: int) -> None:
    if not isinstance(value, str) or not 0 < len(value) <= most:
        raise ValueError(f"{what} is {_brief(value)}: choose 1 to {most} characters")


def _brief(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "not a finite number"
    if isinstance(value, int) and abs(value) > MOST_SHOWN:
        return "far too large"
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:39]}…"


@dataclass(frozen=True, slots=True)
class Item:
    """Something that may be needed, and so may be prepared.

    :param key: its name, among all items.
    :param kind: a registered kind, ``lore`` for one.
    :param confidence: the probability that it is needed within the horizon (the turn, or what a
        prefetched item is kept for).
    :param tokens: what it costs, if known; else it is taken from ``size``, its characters, else
        from what its kind has cost.
    :param shared: tokens that are spent once for all that is prepared ``together`` with it.
    :param ms: how long it takes, if known, in milliseconds.
    :param together: names the moment, such as an action whose results these are: what one moment
        needs is prepared as one.
    :param moment: how likely that moment is, where this is not the sum of what its items are: some
        may be needed together, as for two targets of one action.
    :param alternative: what to fetch in its place, if its own source fails.
    :param turn: the turn it is for; it does not expire while that is open.
    :raises ValueError: for a value that can be none.
    """

    key: str
    kind: str
    confidence: float = 1.0
    urgency: Urgency = Urgency.MEDIUM
    tokens: int | None = None
    shared: int = 0
    size: int | None = None
    ms: float | None = None
    together: str | None = None
    moment: float | None = None
    alternative: str | None = None
    turn: str | None = None

    def __post_init__(self) -> None:
        key = self.key
        _named("an item's key", key, 500)
        _named("an item's kind", self.kind, 100)
        share("confidence", self.confidence, key)
        if not isinstance(self.urgency, Urgency):
            said, all_of_them = _brief(self.urgency), ", ".join(Urgency)
            why = f"urgency{_of(key)} is {said}: choose an Urgency, {all_of_them}"
            raise ValueError(why)  # noqa: TRY004
        amount("shared tokens", self.shared, MOST_TOKENS, ints=True, of=key)
        if self.tokens is not None:
            amount("tokens", self.tokens, MOST_TOKENS, ints=True, of=key)
        if self.size is not None:
            amount("size", self.size, MOST_TOKENS, ints=True, of=key)
        if self.moment is not None:
            share("moment", self.moment, key)
        if self.ms is not None:
            amount("ms", self.ms, MOST_MS, of=key)
        for name in TEXTS:
            text = getattr(self, name)
            if text is not None and not isinstance(text, str):
                why = f"{name}{_of(key)} is {_brief(text)}: choose a text, or none"
                raise ValueError(why)
        if self.alternative == key:
            raise ValueError(f"{_brief(key)} is its own alternative: name another, or none")


def circle_of(items: Mapping[str, Item]) -> list[str]:
    """The keys of a circle in which alternatives go, its first once more at the end; or none.

    :param items: by their keys; of several circles it is the one that comes first by name.
    """
    done: set[str] = set()
    for key in sorted(key for key, item in items.items() if item.alternative is not None):
        way: dict[str, None] = {}
        at: str | None = key
        while at is not None and at in items and at not in done:
            if at in way:
                passed = list(way)
                return [*passed[passed.index(at) :], at]
            way[at] = None
            at = items[at].alternative
        done.update(way)
    return []


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of item.

    :param base: the priority before any modifier.
    :param worth: what confidence is multiplied with to get an item's value.
    :param tokens: what one costs, until it is known better.
    :param ms: how long one takes, until it is known better, in milliseconds.
    :param limit_ms: how long one may take at most, where that is another limit than that of
        content: a generation has its own, and is no matter of the time budget.
    :param source: fetches items of this kind; with none, they can only be planned.
    :param most: how many one call of the source may ask for.
    :param apart: what is of one moment is prepared each by itself, at its own cost; but how likely
        it is to be needed is still told by the moment.
    :param changes_context: whether what was fetched changes what comes next, so that it has to be
        predicted anew; called with the item and its content.
    :param least: how likely one has to be, in the place of what ``min_confidence_for_prefetch``
        says of all.
    :raises ValueError: for a value that can be none.
    """

    name: str
    base: Priority
    worth: float = 1.0
    tokens: int = 500
    ms: float = 50.0
    limit_ms: float | None = None
    source: Source | None = None
    most: int = 1
    apart: bool = False
    changes_context: Callable[[Item, Any], bool] | None = None
    least: float | None = None

    def __post_init__(self) -> None:
        _named("a kind's name", self.name, 100)
        name = f"of the kind {self.name}"
        if not isinstance(self.base, Priority):
            raise ValueError(f"base {name} is {_brief(self.base)}: choose P0 to P4")  # noqa: TRY004
        amount(f"worth {name}", self.worth, MOST_WORTH)
        amount(f"tokens {name}", self.tokens, MOST_TOKENS, 1, ints=True)
        amount(f"ms {name}", self.ms, MOST_MS)
        amount(f"most {name}", self.most, 1000, 1, ints=True)
        if self.limit_ms is not None:
            amount(f"limit_ms {name}", self.limit_ms, MOST_MS, 1)
        if self.least is not None:
            share(f"least {name}", self.least)
        if self.source is not None and not callable(self.source):
            raise ValueError(f"source {name} is {_brief(self.source)}: choose an async generator")


P0, P1, P2, P3, P4 = Priority
_KINDS = (
    Kind("core", P0),
    Kind("variant", P1, worth=2.0, tokens=900, ms=3_000, limit_ms=60_000),
    Kind("stat_block", P2, tokens=400),
    Kind("spell_list", P2, tokens=600),
    Kind("lore", P3, tokens=800),
    Kind("voice", P2, tokens=200),
    Kind("skills", P2),
    Kind("files", P2),
    Kind("behaviors", P3),
    Kind("resources", P3),
    Kind("primary_skill", P1),
    Kind("secondary_skill", P2),
    Kind("main_file", P1),
    Kind("related_file", P2),
    Kind("test_file", P2),
    Kind("documentation", P3),
)


class Kinds(Mapping[str, Kind]):
    """The kinds of item that are known: those built in, and those registered [1-6].

    :param kinds: more of them, or others in the place of those built in.
    """

    def __init__(self, kinds: Iterable[Kind] = ()) -> None:
        self._known = {kind.name: kind for kind in (*_KINDS, *kinds)}

    def register(self, kind: Kind) -> Kind:
        """Add a kind, or put it in the place of the one of its name."""
        self._known[kind.name] = kind
        return kind

    def __getitem__(self, name: str) -> Kind:
        return self._known[name]

    def __contains__(self, name: object) -> bool:
        return name in self._known

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


BUILT_IN: Mapping[str, Kind] = Kinds()
"""The kinds built in; to register more, make ``Kinds()``."""
