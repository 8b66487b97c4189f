"""What is prepared: variants of the actions that may come, as many as the intensity allows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from ..streams.footprint import targets_of
from ..streams.world import Declared
from .classify import Context, Scene
from .fingerprint import Dependence, dependence, fingerprint
from .foresee import Candidate
from .prompts import Account
from .results import possible_results

__all__ = ["Intensity", "Variant", "schedule", "variants"]


class Intensity(StrEnum):
    """How much to prepare [0-11]: nothing; in combat, the most likely action; anywhere, several."""

    OFF = "off"
    CONSERVATIVE = "conservative"
    AGGRESSIVE = "aggressive"


LEAST = {Intensity.CONSERVATIVE: 0.05, Intensity.AGGRESSIVE: 0.01}
"""The probability from which on an undeclared action is prepared."""


@dataclass(frozen=True, slots=True)
class Variant:
    """A text to prepare: one possible result, for one target, of one candidate.

    ``slot`` is its place in the plan; two variants of one slot are the same if their fingerprints
    are. ``value`` is the probability that it will be asked for. ``account`` is what it is to tell,
    where that has happened already.
    """

    slot: tuple[str | None, str, str | None, str]
    fingerprint: str
    scene: Scene = field(compare=False)
    declared: Declared = field(compare=False)
    depends: Dependence = field(compare=False)
    value: float = field(compare=False)
    source: str = field(compare=False)
    partial: bool = field(compare=False)
    account: Account | None = field(default=None, compare=False)

    @property
    def target(self) -> str | None:
        """The target it speaks of."""
        return self.slot[2]

    @property
    def result(self) -> str:
        """The result it is for."""
        return self.slot[3]


def variants(scene: Scene, candidate: Candidate) -> list[Variant]:
    """The variants of a candidate: one per target and possible result."""
    world, declared = scene.world, candidate.declared
    depends = dependence(world, declared.actor, declared.action)
    mark = fingerprint(world, depends)
    turn = world.turn.turn if world.turn is not None else None
    targets: tuple[str | None, ...] = targets_of(declared.action) or (None,)
    return [
        Variant(
            slot=(turn, declared.key, target, result),
            fingerprint=mark,
            scene=scene,
            declared=declared,
            depends=depends,
            value=candidate.probability * probability,
            source=candidate.source,
            partial=len(targets) > 1,
        )
        for target in targets
        for result, probability in possible_results(
            world, declared.action, target, candidate.odds, candidate.rolled
        ).items()
    ]


def schedule(
    intensity: Callable[[], Intensity],
    max_variants: int,
    candidates: Callable[[Scene], Sequence[Candidate]],
    branches: int = 3,
) -> Callable[[Scene], tuple[Variant, ...]]:
    """The plan for a scene: what to prepare, the most valuable first, within the limits.

    :param intensity: read anew for each scene, so that it can be changed while running.
    :param max_variants: the most variants of one plan.
    :param candidates: what may come, most likely first; see :class:`~.foresee.Foresight`.
    :param branches: how many undeclared candidates are prepared at ``aggressive``.
    """

    def plan(scene: Scene) -> tuple[Variant, ...]:
        level = intensity()
        if level is Intensity.OFF:
            return ()
        if level is Intensity.CONSERVATIVE and scene.context is not Context.COMBAT:
            return ()
        likely = candidates(scene)
        if not any(each.source == "declared" for each in likely):
            likely = likely[: branches if level is Intensity.AGGRESSIVE else 1]
            likely = [each for each in likely if each.probability >= LEAST[level]]
        wanted = [variant for candidate in likely for variant in variants(scene, candidate)]
        return tuple(sorted(wanted, key=lambda variant: -variant.value)[:max_variants])

    return plan
