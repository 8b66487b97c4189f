"""What variants cost: their prompts, as far as no cache serves them, and what is written."""

from __future__ import annotations

from collections.abc import Sequence

from .fetch_job import Round
from .predict import Variant
from .schedule_plan import Plan
from .schedule_worth import LATEST, Costs, Learned

__all__ = ["VariantCosts"]

MOST_FRESH = 2.0
"""A prompt is thought to be twice what was counted at most, whatever a model says of it."""


class VariantCosts:
    """Estimates variants for a plan by the latest prompt, and checks each by its own.

    ::

        prompts    900--15,000--------900-------------
        planned        900     10,000    900             never more than a round has
        begun      y    n             y                  each by its own size

    :param budget: the tokens of a round.
    """

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._prompt: int | None = None
        self._fresh = 1.0
        self._written = Costs()
        self._round = Round(budget)
        self._goes_on = False
        self._planned: dict[tuple[str | None, ...], int] = {}

    @property
    def learned(self) -> dict[str, Learned]:
        """What a plan goes by, once a prompt was seen and an answer to one."""
        if self._prompt is None or not self._written:
            return {}
        one = Costs(variant=Learned(self._of(self._prompt, 0), 0.0))
        return one.within(self._budget, 0.0)

    def observe(self, prompt: int, uncached: int, written: int) -> None:
        """An answer is whole, whatever it was asked for: what it took of its prompt, and wrote."""
        self._prompt = prompt
        if prompt > 0:
            self._fresh += LATEST * (min(uncached / prompt, MOST_FRESH) - self._fresh)
        self._written.observe("variant", written, 0.0)

    def go_on(self) -> None:
        """The next plan is of the same round: nothing has happened but that content has come."""
        self._goes_on = True
        self._round.spent -= sum(self._planned.values())  # ints
        self._planned.clear()

    @property
    def left(self) -> int:
        """Tokens that the next plan may spend."""
        return max(0, self._budget - self._round.spent) if self._goes_on else self._budget

    def begin(self, plan: Plan, new: Sequence[Variant]) -> Round:
        """A round begins, or goes on, with what its plan thinks that its new variants cost.

        :return: what it may spend, for what else it is for.
        """
        if not self._goes_on:
            self._round = Round(self._budget)
        self._goes_on = False
        tokens = plan.tokens
        self._round.spent += tokens
        self._planned = {each.slot: tokens // len(new) for each in new}
        return self._round

    def affords(self, variant: Variant, prompt: int, most: int) -> bool:
        """Whether the round has room for this very prompt, and what is written; then it is spent.

        :param most: tokens that may be written, before it is known how many are.
        """
        self._prompt = prompt
        self._round.spent -= self._planned.pop(variant.slot, 0)
        cost = self._of(prompt, most)
        fits = self._round.affords(cost)
        if fits:
            self._round.spent += cost
        return fits

    def _of(self, prompt: int, most: int) -> int:
        known = self._written.get("variant")
        return round(prompt * self._fresh) + (most if known is None else known.tokens)
