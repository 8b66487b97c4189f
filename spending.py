"""What a session spends on its models: who writes what, whether there is money, what it came to."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace

from reactivex import Subject

from .config import Settings
from .operators.economy import SPEND, Choice, Economy, Terms
from .operators.generation import Generation, Trace
from .operators.predict import Intensity, Variant
from .operators.publish import Fault
from .operators.schedule_given import Constraints
from .operators.variant_costs import VariantCosts
from .sinks.budget import Budget, Spent
from .sinks.ledger import OTHERWISE, Ledger, prompt_tokens
from .sinks.purse import Purse
from .streams.models import ModelTooDear, Request

__all__ = ["Spending"]

log = logging.getLogger("foretell")


class Spending:
    """Asked before a model is, and told what that came to.

    :param name: of the session.
    :param shared: budgets that it shares with others.
    :param now: seconds, of the loop.
    :param intensity: at which variants are prepared just now.
    :param live: the model streams that run, wait, or are still held.
    :param fault: told what a subscriber to ``alerts`` raises.
    :param recorded: in a replay, the scope of a shared budget that refuses now, if one did.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        ledger: Ledger,
        economy: Economy,
        shared: Sequence[Budget],
        now: Callable[[], float],
        intensity: Callable[[], Intensity],
        live: Callable[[], Sequence[Generation]],
        trace: Trace,
        fault: Fault,
        recorded: Callable[[], str | None] | None = None,
    ) -> None:
        self._name = name
        self._settings = settings
        self._ledger = ledger
        self._economy = economy
        self._intensity = intensity
        self._live = live
        self._trace = trace
        self._fault = fault
        self._replaying = recorded is not None
        self._too_large = False
        self._of_round = Constraints.of(settings.schedule).token_budget
        self.alerts: Subject[Spent] = Subject()
        """A budget is nearly used up, or has refused something."""
        self.costs = VariantCosts(self._of_round)
        self.purse = Purse(
            settings.budget, ledger, shared, now, self._on_spent, self._on_unpriced, recorded
        )

    def apply(self, settings: Settings) -> None:
        """Spend as these say from now on."""
        self._settings = settings
        self.purse.apply(settings.budget)

    def on_turn(self) -> None:
        """A turn begins, and with it its budget."""
        self._ledger.on_turn()
        self.purse.on_turn()

    def asked_of(self, variant: Variant, request: Request) -> Request | None:
        """What the model that is chosen for a variant is asked; none, if it is not to be had."""
        terms, live = self._terms(), self._live()
        choice = self._economy.choose(variant, request, live, terms)
        cap = self._settings.max_prefetch_tokens
        why = None
        if choice is Choice.UNWORTHY:
            why = "worth"
        elif choice is Choice.NOTHING:
            why = "spend"
        elif cap is not None and not self._ledger.affords(request, cap, live):
            why = "max_prefetch_tokens"
        asked = request
        if why is None:
            asked = replace(request, model=terms.small) if choice is Choice.SMALL else request
            why = self.purse.refuses(asked)
        if why is None:
            prompt = prompt_tokens(asked)
            if not self.costs.affords(variant, prompt, asked.max_tokens):
                why = "round"
                self._warn_of_size(prompt + asked.max_tokens)
        if why is not None:
            self._trace(
                "~refused",
                slot=variant.slot,
                source=variant.source,
                value=variant.value,
                why=why,
            )
            return None
        return asked

    def allow(self, request: Request) -> None:
        """Let a player have what he waits for.

        :raises ModelTooDear: if a budget has no room for it.
        """
        why = self.purse.refuses(request)
        if why is not None:
            self._trace("~refused", purpose=request.purpose, why=why)
            raise ModelTooDear(f"the budget of the {why} is used up: raise budget.{why}_…")

    def beside(self, request: Request) -> Request | None:
        """What the small model is asked, if there is one; none, if a budget has no room for it."""
        small = self._economy.alternative(self._terms())
        asked = request if small is None else replace(request, model=small)
        why = self.purse.refuses(asked)
        if why is not None:
            self._trace("~refused", purpose=request.purpose, why=why)
            return None
        return asked

    def ended(self, generation: Generation) -> None:
        """A model stream is over: what it took is booked, and what was held for it is free."""
        account = self._ledger.add(generation)
        self.purse.ended(generation, account)
        if account is not None:
            known = {each: getattr(account, each) for each in account.__slots__}
            del known["served"], known["reason"]
            if account.share == 1:
                del known["share"]
            phase = generation.phase
            told = generation.request.purpose not in OTHERWISE
            if phase == "done" and told:
                uncached = account.used - account.output
                self.costs.observe(prompt_tokens(generation.request), uncached, account.output)
            self._trace("~account", generation=generation.id, phase=phase, **known)

    def _terms(self) -> Terms:
        settings, spend, intensity = self._settings, self._settings.spend, self._intensity()
        if spend == "default":
            spend = SPEND.get(intensity, "none")
        most = None if isinstance(spend, str) else spend
        auto = intensity is Intensity.AUTO
        return Terms(
            settings.main_model,
            settings.small_model,
            settings.main_from,
            most,
            settings.dollars_per_second if auto else None,
        )

    def _warn_of_size(self, tokens: int) -> None:
        """That nothing can be prepared, for one alone is more than a round may spend: said once."""
        most = self._of_round
        if tokens > most and not (self._too_large or self._replaying):
            self._too_large = True
            log.warning(
                "session %s: a prompt of %s tokens with its answer is more than a round may spend "
                "(schedule.max_prefetch_tokens, %s)",
                *(self._name, f"{tokens:,}", f"{most:,}"),
            )

    def _on_spent(self, spent: Spent) -> None:
        if not self._replaying:
            what = "refuses more" if spent.share >= 1 else f"is used up to {spent.share:.0%}"
            log.warning("session %s: the budget of the %s %s", self._name, spent.scope, what)
        try:
            self.alerts.on_next(spent)
        except Exception as error:
            self._fault("subscriber", error)

    def _on_unpriced(self, model: str) -> None:
        if not self._replaying:
            told = "counts as the dearest of the price list, for it has no price there"
            log.warning("session %s: %r %s", self._name, model, told)
