"""What a schedule has to go by: its budgets, and how things are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .schedule_items import MOST_MS, MOST_TOKENS, Priority, amount, share
from .schedule_settings import Scheduling
from .schedule_worth import Learned

__all__ = ["Constraints", "State"]


@dataclass(frozen=True, slots=True)
class Constraints:
    """What one planning round may spend, and how sure it has to be [1-7].

    :param token_budget: uncached input and output tokens.
    :param time_budget_ms: milliseconds that all fetches of content may take, one after the other.
    :param priority_override: the priority of all items, or of some by key or kind, in place of
        the one they would have.
    :param min_confidence_for_prefetch: less likely items are left [1-58].
    :param min_confidence_for_immediate: nothing waits for less likely items: they are fetched in
        the background [1-59].
    :param speculative: with ``False`` only what is certain is fetched.
    :raises ValueError: for a budget or a share that can be none.
    """

    token_budget: int = 10_000
    time_budget_ms: float = 2_000.0
    priority_override: Priority | Mapping[str, Priority] | None = None
    min_confidence_for_prefetch: float = 0.5
    min_confidence_for_immediate: float = 0.8
    speculative: bool = True

    def __post_init__(self) -> None:
        amount("token_budget", self.token_budget, MOST_TOKENS, ints=True)
        amount("time_budget_ms", self.time_budget_ms, MOST_MS)
        share("min_confidence_for_prefetch", self.min_confidence_for_prefetch)
        share("min_confidence_for_immediate", self.min_confidence_for_immediate)
        if not isinstance(self.speculative, bool):
            raise ValueError("speculative is neither true nor false")  # noqa: TRY004
        override = self.priority_override
        several = override.values() if isinstance(override, Mapping) else (override,)
        if override is not None and not all(isinstance(each, Priority) for each in several):
            raise ValueError("priority_override is no priority: choose P0 to P4")

    @classmethod
    def of(cls, settings: Scheduling) -> Constraints:
        """The constraints that settings stand for."""
        return cls(
            settings.max_prefetch_tokens,
            settings.time_budget_ms,
            None,
            settings.min_confidence_for_prefetch,
            settings.min_confidence_for_immediate,
            settings.enable_speculative_prefetch,
        )


@dataclass(frozen=True, slots=True)
class State:
    """How things are when a schedule is made [1-8].

    :param cached_items: keys of what is there already.
    :param pending_loads: keys of what is being fetched.
    :param active_session: what the session says of itself; ``context`` names what is going on.
    :param unavailable: keys of what could not be had, and is not asked for again yet.
    :param accessed: how many seconds ago each key was last accessed.
    :param used_today: how often each key was used today.
    :param learned: what each kind has cost of late; see :class:`Costs`.
    :raises ValueError: for a time or a number that can be none.
    """

    cached_items: frozenset[str] = frozenset()
    pending_loads: frozenset[str] = frozenset()
    active_session: Mapping[str, Any] = field(default_factory=dict)
    unavailable: frozenset[str] = frozenset()
    accessed: Mapping[str, float] = field(default_factory=dict)
    used_today: Mapping[str, int] = field(default_factory=dict)
    learned: Mapping[str, Learned] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("cached_items", "pending_loads", "unavailable"):
            keys = getattr(self, name)
            if isinstance(keys, str):
                raise ValueError(f"{name} is one text: give a list of keys")  # noqa: TRY004
            object.__setattr__(self, name, frozenset(keys))
        for key, ago in self.accessed.items():
            amount(f"accessed {key[:40]!r} seconds ago", ago, 1e12)
        for key, many in self.used_today.items():
            amount(f"used_today of {key[:40]!r}", many, MOST_TOKENS, ints=True)
        for kind, (tokens, ms) in self.learned.items():
            amount(f"learned tokens of {kind[:40]!r}", tokens, MOST_TOKENS, ints=True)
            amount(f"learned ms of {kind[:40]!r}", ms, MOST_MS)

    @property
    def context(self) -> str | None:
        """What is going on in the session, if it says so."""
        found = self.active_session.get("context")
        return None if found is None else str(found)
