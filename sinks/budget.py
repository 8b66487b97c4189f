"""Hard caps: what may be spent is reserved before a stream opens, and settled at its end."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

from ..operators.budget_settings import Budgeting

__all__ = ["OUTER", "Amount", "Budget", "Budgets", "Spent"]

INNER, OUTER = ("turn", "session"), ("owner", "process", "hour")
"""Scopes of one session, and of several: what others spend is not in a session's recording."""

HOUR = 3600.0
WARNED = 0.8


class Amount(NamedTuple):
    """Tokens and dollars."""

    tokens: int = 0
    usd: float = 0.0

    def plus(self, other: Amount) -> Amount:
        """Both together."""
        return Amount(self.tokens + other.tokens, self.usd + other.usd)

    def less(self, other: Amount) -> Amount:
        """What is left of it."""
        return Amount(self.tokens - other.tokens, max(0.0, self.usd - other.usd))


NOTHING = Amount()


@dataclass(frozen=True, slots=True)
class Spent:
    """A budget is nearly used up, or something was refused because of it.

    ``share``: 0.8, or 1.0 from the first refusal on. It is said once, until the budget begins
    anew.
    """

    scope: str
    share: float


class Budget:
    """One cap, in tokens, in dollars, or both.

    ::

        cap      ├──── spent ────┼─ held ─┼─ asked ─┤   granted, if it fits
        settle   ├────── spent ──────┼────────────── …   what is over of a hold is free again

    :param window: seconds after which what was spent counts no more; with none, it always does.
    """

    def __init__(self, scope: str, window: float | None = None) -> None:
        self.scope = scope
        self.tokens: int | None = None
        self.usd: float | None = None
        self.spent = self.held = Amount()
        self._window = window
        self._past: deque[tuple[float, Amount]] = deque()
        self._told = 0.0

    def cap(self, tokens: int | None, usd: float | None) -> None:
        """At most so much from now on; ``None`` is no cap."""
        if (tokens, usd) != (self.tokens, self.usd):
            self.tokens, self.usd = tokens, usd
            self._told = 0.0

    def refuses(self, asked: Amount, now: float) -> bool:
        """Whether it does not fit beside what is spent and held."""
        self._forget(now)
        would = self.spent.plus(self.held).plus(asked)
        over_tokens = self.tokens is not None and would.tokens > self.tokens
        return over_tokens or (self.usd is not None and would.usd > self.usd)

    def reserve(self, asked: Amount) -> None:
        """Hold so much, whether it fits or not."""
        self.held = self.held.plus(asked)

    def settle(self, asked: Amount, cost: Amount, now: float) -> None:
        """What was held has come to this."""
        self._forget(now)
        self.held = self.held.less(asked)
        if not self.held.tokens:
            self.held = Amount()  # no dust of floats
        self.spent = self.spent.plus(cost)
        if self._window is not None:
            self._past.append((now, cost))

    def begin(self, spent: Amount = NOTHING) -> None:
        """Anew, with so much spent; what is under way stays held."""
        self.spent = spent
        self._past.clear()
        self._told = 0.0

    def said(self, *, refused: bool = False) -> Spent | None:
        """What is news of it: that it is nearly used up, or that it has refused something."""
        share = self._share()
        level = 1.0 if refused else WARNED if share >= WARNED else 0.0
        if level <= self._told:
            return None
        self._told = level
        return Spent(self.scope, level)

    def _share(self) -> float:
        shares = [
            spent / limit if limit else float(spent > 0)
            for spent, limit in zip(self.spent, (self.tokens, self.usd), strict=True)
            if limit is not None
        ]
        return max(shares, default=0.0)

    def _forget(self, now: float) -> None:
        while self._past and self._window is not None and self._past[0][0] <= now - self._window:
            self.spent = self.spent.less(self._past.popleft()[1])
            if self._share() < WARNED:
                self._told = 0.0


class Budgets:
    """Those of the scopes that several sessions share; the game has them.

    :param settings: the caps.
    """

    def __init__(self, settings: Budgeting) -> None:
        self._process, self._hour = Budget("process"), Budget("hour", HOUR)
        self._owners: dict[str, Budget] = {}
        self.apply(settings)

    def apply(self, settings: Budgeting) -> None:
        """These caps from now on; what was spent stays spent."""
        self._settings = settings
        self._process.cap(settings.process_tokens, settings.process_usd)
        self._hour.cap(settings.hour_tokens, settings.hour_usd)
        for owner in [*self._owners.values()]:  # another thread may add one
            owner.cap(settings.owner_tokens, settings.owner_usd)

    def of(self, owner: str) -> tuple[Budget, ...]:
        """Those that bind the sessions of an owner; without a name, none is an owner's.

        An owner's is never forgotten: who comes again tomorrow has spent what he has spent.
        """
        shared = self._process, self._hour
        if not owner:
            return shared
        if owner not in self._owners:
            self._owners[owner] = Budget("owner")
            self.apply(self._settings)
        return self._owners[owner], *shared
