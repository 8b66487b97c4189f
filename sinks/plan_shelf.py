"""The plans that a session's model has made: whoever sees nearly the same may have one again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from ..operators.plans.prompts import told_of
from ..operators.plans.registry import Registry
from ..operators.plans.settings import Plans
from ..operators.plans.types import Ask, Reused, Step
from .store_layers import Limits, Room
from .store_near import Near
from .variant_store import VariantStore

__all__ = ["PlanShelf"]

WHERE = ("at",)
"""What a prompt calls a place: what may differ by the tolerance."""
OF_NOBODY = ("id", "points")
"""What a prompt says of an agent that does not tell it from others who could have its plan."""
KEPT = 1024
"""Plans of which it is remembered where they came from, for a step of them that fails."""
LARGEST = 64 * 1024


class PlanShelf:
    """Whole plans of the model in a :class:`VariantStore`, by what their prompt said.

    ::

        asked       a1(here)----------b1(a step aside)-----c1(elsewhere)
        model       ....[plan]                             ....[plan]
        of the shelf                  plan

    Two agents are alike if their prompts are, but for their ids, their exact points, and where
    somebody is, by up to ``plans.cache_tolerance``. What is found is still checked against what
    this agent sees. A plan of which a step fails is let go of.

    It is filled by the session alone and goes by the time of its recording, so in a replay it has
    the same.

    :param clock: when the last thing came from outside, in seconds.
    """

    def __init__(self, registry: Registry, settings: Plans, clock: Callable[[], float]) -> None:
        hot = max(1, settings.cache_size // 2)
        warm = max(1, settings.cache_size - hot)
        ttl = settings.cache_ttl
        rooms = Room(hot, ttl, "lru"), Room(warm, ttl, "lfu"), Room(1, ttl, "ttl")
        near = Near(settings.cache_tolerance, WHERE, bands=False)
        limits = Limits(*rooms, LARGEST)
        self.store = VariantStore(limits, clock=clock, session="plans", near=near)
        self._registry = registry
        self._settings = settings
        self._from: dict[str, str] = {}

    @classmethod
    def of(cls, registry: Registry, settings: Plans, clock: Callable[[], float]) -> Self | None:
        """One of the size that the settings name, if they name one."""
        return cls(registry, settings, clock) if settings.cache_size else None

    def find(self, ask: Ask, model: str) -> Reused | None:
        """The steps of a plan for one who saw nearly the same, as they were written."""
        told = self._told(ask)
        found = self.store.near_ready(told, fingerprint=model)
        if found is None:
            return None
        key = found[0]["key"]
        self._remember(ask.plan, key)
        exact = key == self.store.name_of(told)
        return Reused("exact" if exact else "near", tuple(found[0]["steps"]))

    def keep(self, ask: Ask, model: str, steps: Sequence[Step]) -> None:
        """Keep a whole plan."""
        told = self._told(ask)
        key = self.store.name_of(told)
        made = [{"key": key, "steps": [step.wire for step in steps]}]
        ttl = self._settings.cache_ttl
        self.store.store(key, made, ttl, snapshot=told, fingerprint=model)
        self._remember(ask.plan, key)

    def _remember(self, plan: str, key: str) -> None:
        self._from[plan] = key
        if len(self._from) > KEPT:
            del self._from[next(iter(self._from))]

    def failed(self, plan: str, model: str) -> None:
        """A step of a plan could not be done: nobody else shall try it."""
        key = self._from.pop(plan, None)
        if key is not None:
            self.store.consume(key, model)

    def _told(self, ask: Ask) -> dict[str, Any]:
        told = told_of(ask, self._registry, self._settings.tier)
        see = dict(told.pop("see", {}))
        me = see.get("me")
        if isinstance(me, Mapping):
            see["me"] = {name: value for name, value in me.items() if name not in OF_NOBODY}
        return {name: value for name, value in told.items() if name not in OF_NOBODY} | {"see": see}
