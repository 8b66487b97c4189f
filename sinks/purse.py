"""The budgets that bind one session: asked before a stream opens, and told what it came to."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..operators.budget_settings import Budgeting
from .budget import Amount, Budget, Spent
from .ledger import Account, Ledger

__all__ = ["Purse"]


class Purse:
    """Reserves what a stream may cost at most, and settles what it did.

    Those of its own turn and session follow from the recording. What other sessions spend does
    not: in a replay ``recorded`` says whether one of theirs refused.

    :param outer: budgets that the session shares with others.
    :param now: seconds, of the loop.
    :param tell: what is news of a budget.
    :param unpriced: told of a model without a price, once, where a cap is in dollars.
    """

    def __init__(
        self,
        settings: Budgeting,
        ledger: Ledger,
        outer: Sequence[Budget],
        now: Callable[[], float],
        tell: Callable[[Spent], None],
        unpriced: Callable[[str], None],
        recorded: Callable[[], str | None] | None = None,
    ) -> None:
        self._ledger = ledger
        self._now = now
        self._tell = tell
        self._unpriced = unpriced
        self._recorded = recorded
        self._turn, self._session = Budget("turn"), Budget("session")
        self._turn.begin(Amount(*ledger.of_turn()))
        self._session.begin(Amount(*ledger.billed()))
        self._all = (self._turn, self._session, *(() if recorded is not None else outer))
        self._held: dict[str, Amount] = {}
        self._warned: dict[str, None] = {}
        self.apply(settings)

    def apply(self, settings: Budgeting) -> None:
        """These caps from now on; what was spent stays spent."""
        self._foreground = settings.foreground
        self._turn.cap(settings.turn_tokens, settings.turn_usd)
        self._session.cap(settings.session_tokens, settings.session_usd)

    def on_turn(self) -> None:
        """A turn begins, and with it its budget."""
        self._turn.begin()

    def refuses(self, request: Any) -> str | None:
        """The scope in whose budget a request does not fit, if there is one."""
        if request.purpose == "foreground" and not self._foreground:
            return None
        asked = Amount(*self._ledger.most(request))
        for each in self._all:
            if each.refuses(asked, self._now()):
                self._say(each.said(refused=True))
                return each.scope
        return self._recorded() if self._recorded is not None else None

    def opened(self, generation: Any) -> None:
        """A stream is about to begin: what it may cost is held."""
        request = generation.request
        asked = self._held[generation.id] = Amount(*self._ledger.most(request))
        for each in self._all:
            each.reserve(asked)
        model = request.model
        dollars = any(each.usd is not None for each in self._all)
        if dollars and model in self._ledger.unpriced and model not in self._warned:
            self._warned[model] = None
            self._unpriced(model)

    def ended(self, generation: Any, account: Account | None) -> None:
        """It is over: what it has cost is spent, and the rest is free again."""
        asked = self._held.pop(generation.id, None)
        if asked is None:
            return
        cost = Amount() if account is None else Amount(*self._ledger.bill(account))
        for each in self._all:
            each.settle(asked, cost, self._now())
            self._say(each.said())

    def _say(self, spent: Spent | None) -> None:
        if spent is not None:
            self._tell(spent)
