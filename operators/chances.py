"""How likely each result is, by the best that is known: the rules, or what was seen so far."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any

from ..streams.health import number
from ..streams.world import Declared, World
from .contents import SceneContent
from .dice import Damage
from .kills import harm_said
from .odds_learned import LearnedOdds
from .publish import Fault
from .results import likely_of
from .rules import Rules

__all__ = ["Chances"]


class Chances:
    """The odds of what the game gave none for, and the harm it does.

    Asked when a scene is planned, and never of what has happened: so what an outcome says cannot
    change the odds it had.

    :param content: what was preloaded about these actors, as far as it is there.
    :param fault: told what the rules raise: it is then not known by them.
    """

    def __init__(
        self,
        rules: Rules,
        learned: LearnedOdds,
        content: Callable[[Collection[str | None]], SceneContent],
        fault: Fault,
    ) -> None:
        self._rules = rules
        self._learned = learned
        self._content = content
        self._fault = fault

    def likely(self, world: World, declared: Declared, target: str | None) -> Mapping[str, float]:
        """The results an action may have for a target, with their probabilities."""
        content = self._content((declared.actor, target))
        try:
            found = likely_of(self._rules.odds(world, declared, target, content))
        except Exception as error:
            self._fault("rules", error)
            found = {}
        return found or self._learned.odds(world, declared, target)

    def harm(
        self, world: World, declared: Declared, target: str | None, result: str
    ) -> Damage | None:
        """How much harm a result does to a target; ``None`` where nobody knows."""
        content = self._content((declared.actor, target))
        try:
            found = _damage_of(self._rules.damage(world, declared, target, result, content))
        except Exception as error:
            self._fault("rules", error)
            found = None
        return found or harm_said(world, declared, target, result)


def _damage_of(said: Any) -> Damage | None:
    """What rules have said, if it is any damage; its probabilities come to 1."""
    if said is None or not isinstance(said, Mapping):
        return None
    found: dict[int, float] = {}
    for amount, p in said.items():
        known, share = number(amount), number(p)
        if known is not None and share is not None and share > 0:
            found[int(known)] = found.get(int(known), 0.0) + share
    total = math.fsum(found.values())
    return {amount: p / total for amount, p in found.items()} if found else None
