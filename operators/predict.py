"""What is prepared: variants of the actions that may come, as many as the intensity allows."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import NamedTuple, Protocol

from ..streams.blows import laid_low
from ..streams.footprint import targets_of
from ..streams.world import Declared, World
from .candidate import Candidate, declared_in
from .classify import Context, Scene, classify
from .fingerprint import Dependence, dependence, fingerprint
from .kills import Harm, harm_said
from .prompts import Account
from .results import Likely, possible_results, usual
from .wander import OFFERED

__all__ = [
    "ANY",
    "Ending",
    "Intensity",
    "Plan",
    "Strategy",
    "Variant",
    "apart",
    "planner",
    "together",
    "variants",
]


class Intensity(StrEnum):
    """How much to prepare [0-11]: nothing; the most likely action; several of them.

    What is declared is prepared anywhere. An action that nobody has declared yet is prepared in
    combat alone at ``conservative``, and anywhere at ``aggressive``.

    At ``auto`` it is what is worth its price: what is likely to save so many seconds that, at the
    dollars a second is worth to the user, they are more than it costs. Of what there is at
    ``aggressive``; how likely it is, is learned by context.

    Outside of combat what nobody has declared are the ways out of a place, and the lines of a talk.

    What has just been told is prepared once more for who asks for retellings; at ``aggressive``,
    where there is room, for everybody.
    """

    OFF = "off"
    CONSERVATIVE = "conservative"
    AGGRESSIVE = "aggressive"
    AUTO = "auto"


LEAST = {Intensity.CONSERVATIVE: 0.05, Intensity.AGGRESSIVE: 0.01, Intensity.AUTO: 0.01}
"""The probability from which on an undeclared action is prepared."""


ANY = "*"
"""In the place of a result: any of those that a trunk has tails for."""


@dataclass(frozen=True, slots=True)
class Ending:
    """One possible result, for one target; ``value`` is the probability that it comes to that."""

    target: str | None
    result: str
    value: float = field(compare=False)


@dataclass(frozen=True, slots=True)
class Variant:
    """A text to prepare: one possible result, for one target, of one candidate.

    Or a trunk, with a tail for each of several: these are its ``endings``, in an order of their
    own, and its result is :data:`ANY`.

    ``slot`` is its place in the plan; two variants of one slot are the same if their fingerprints
    and their ``content`` (which their prompts may have, and how often it has changed) are.
    ``value`` is the probability that it will be asked for. ``account`` is what it is to tell,
    where that has happened already. ``likely`` is the probability of its action, whatever comes
    of it, and ``urgency`` how soon that is expected, from 0 to 1. ``to`` names the viewers who may
    be told it; all, if none are named.
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
    likely: float | None = field(default=None, compare=False)
    urgency: float = field(default=0.0, compare=False)
    content: tuple[tuple[str, int], ...] = ()
    to: tuple[str, ...] = ()
    endings: tuple[Ending, ...] = ()

    @property
    def target(self) -> str | None:
        """The target it speaks of; none, of several."""
        return self.slot[2]

    @property
    def result(self) -> str:
        """The result it is for."""
        return self.slot[3]

    @property
    def each(self) -> tuple[Variant, ...]:
        """Of a trunk, what each of its tails is, the most likely first."""
        turn, own, _, _ = self.slot
        likely = sorted(self.endings, key=lambda ending: -ending.value)
        return tuple(
            replace(self, slot=(turn, own, each.target, each.result), value=each.value, endings=())
            for each in likely
        )

    @property
    def likeliest(self) -> float:
        """The probability that it comes to the likeliest of what it has a text for."""
        return max((each.value for each in self.endings), default=self.value)

    @property
    def tells(self) -> Account:
        """What it is to tell."""
        given = self.scene, self.declared
        if self.account is not None:
            return self.account
        if self.endings:
            ends = [(each.target, each.result) for each in self.each]
            return Account.of_endings(*given, ends, self.partial)
        return Account.of_variant(*given, self.target, self.result, self.partial)


class _Chance(NamedTuple):
    """That a candidate comes to one result, for one target; ``value`` is its probability."""

    value: float
    candidate: Candidate
    target: str | None
    result: str


def variants(scene: Scene, candidate: Candidate) -> list[Variant]:
    """The variants of a candidate: one per target and possible result."""
    chances = _chances(scene.world, candidate, usual, harm_said)
    return _made(scene, apart(chances, len(chances)))


def _chances(world: World, candidate: Candidate, otherwise: Likely, harm: Harm) -> list[_Chance]:
    declared = candidate.declared
    return [
        _Chance(candidate.probability * probability, candidate, target, result)
        for target in targets_of(declared.action) or (None,)
        for result, probability in possible_results(
            world, declared, target, candidate.odds, candidate.rolled, harm, otherwise
        ).items()
    ]


Strategy = Callable[[Sequence[_Chance], int], list[list[_Chance]]]
"""Which of the chances are prepared, and which of these in one text. They come with the likeliest
first, and so they leave; not many more than the number that is given."""


def apart(chances: Sequence[_Chance], most: int) -> list[list[_Chance]]:
    """Each by itself."""
    return [[each] for each in chances[:most]]


def together(chances: Sequence[_Chance], most: int) -> list[list[_Chance]]:
    """All of one candidate: where one of its chances is among the first, so are the others.

    A further tail costs little: of each candidate there are up to twice as many.
    """
    groups: dict[int, list[_Chance]] = {id(each.candidate): [] for each in chances[:most]}
    for each in chances:
        group = groups.get(id(each.candidate))
        if group is not None and len(group) < 2 * most:
            group.append(each)
    return sorted(groups.values(), key=lambda group: -_likely(group))


def _likely(group: Sequence[_Chance]) -> float:
    """That one of them comes; of several targets each comes to something."""
    if len(group) == 1:
        return group[0].value
    return min(group[0].candidate.probability, math.fsum(each.value for each in group))


def _made(scene: Scene, groups: Sequence[Sequence[_Chance]]) -> list[Variant]:
    """A variant of each group; what those of one candidate depend on is worked out once."""
    world = scene.world
    turn = world.turn.turn if world.turn is not None else None
    known: dict[int, tuple[Dependence, str, bool]] = {}
    found = []
    for group in groups:
        _, candidate, target, result = group[0]
        endings: tuple[Ending, ...] = ()
        if len(group) > 1:
            ends = {(each.target or "", each.result): each for each in group}
            endings = tuple(Ending(ends[n].target, n[1], ends[n].value) for n in sorted(ends))
            target, result = None, ANY
        declared = candidate.declared
        if id(candidate) not in known:
            depends = dependence(world, declared.actor, declared.action, declared.key)
            several = len(targets_of(declared.action)) > 1
            known[id(candidate)] = depends, fingerprint(world, depends), several
        depends, mark, partial = known[id(candidate)]
        found.append(
            Variant(
                slot=(turn, declared.key, target, result),
                fingerprint=mark,
                scene=scene,
                declared=declared,
                depends=depends,
                value=_likely(group),
                source=candidate.source,
                partial=partial,
                likely=candidate.probability,
                urgency=candidate.urgency,
                to=declared.to,
                endings=endings,
            )
        )
    return found


class Plan(Protocol):
    """Says what to prepare."""

    def __call__(self, scene: Scene, spare: Variant | None = None) -> tuple[Variant, ...]:
        """The variants for a scene.

        :param spare: what has just been told, another time.
        """
        ...


def _before_its_own(world: World, declared: Declared) -> World | None:
    """The world without the changes that name the action as their reason; none, without any."""
    own = {path[0] for path, because in world.unexpected if path and because == declared.key}
    if not own:
        return None
    then = {key: value for key, value in declared.state.items() if key in own}
    kept = {key: value for key, value in world.state.items() if key not in own}
    return world._replace(state=kept | then)


def planner(
    intensity: Callable[[], Intensity],
    max_variants: int,
    candidates: Callable[[Scene], Sequence[Candidate]],
    branches: int = 3,
    scene_of: Callable[[World], Scene] = classify,
    otherwise: Likely = usual,
    harm: Harm = harm_said,
    strategy: Callable[[], Strategy] = lambda: apart,
) -> Plan:
    """The plan for a scene: what to prepare, the most valuable first, within the limits.

    A retelling has its place in it by its value. Nobody who has asked for none has one, but at
    ``aggressive``, after all else.

    :param intensity: read anew for each scene, so that it can be changed while running.
    :param max_variants: the most variants of one plan.
    :param candidates: what may come, most likely first; see :class:`~.foresee.Foresight`.
    :param branches: how many undeclared candidates are prepared at ``aggressive``, or may be at
        ``auto``, beside what a place or a talk has open.
    :param scene_of: tells the context. With it ends what was declared in it; but an open action
        that has itself ended the combat, as a state shows before the outcome comes, stays planned.
    :param otherwise: the odds of a result where the game gives none; ``harm``: how hard a blow is.
    :param strategy: read anew for each scene: which results stand in one text.
    """

    def stays(scene: Scene, candidate: Candidate) -> bool:
        world, declared = scene.world, candidate.declared
        if scene_of(world._replace(state=declared.state)).context is scene.context:
            return True
        if any(laid_low(world, declared, target) for target in targets_of(declared.action)):
            return True
        before = _before_its_own(world, declared)
        return before is not None and scene_of(before).context is Context.COMBAT

    def plan(scene: Scene, spare: Variant | None = None) -> tuple[Variant, ...]:
        level = intensity()
        if level is Intensity.OFF:
            return ()
        if level is Intensity.CONSERVATIVE and scene.context is not Context.COMBAT:
            likely, spare = [each for each in declared_in(scene.world) if stays(scene, each)], None
        else:
            likely = [*candidates(scene)]
        if not any(each.source == "declared" for each in likely):
            most = 1 if level is Intensity.CONSERVATIVE else branches
            likely = [each for n, each in enumerate(likely) if n < most or each.source == OFFERED]
            likely = [each for each in likely if each.probability >= LEAST[level]]
        chances = [
            each
            for candidate in likely
            for each in _chances(scene.world, candidate, otherwise, harm)
        ]
        chances.sort(key=lambda each: -each.value)
        wanted = _made(scene, strategy()(chances, max_variants))
        if spare is not None and (spare.value > 0 or level is Intensity.AGGRESSIVE):
            wanted.append(spare)
            wanted.sort(key=lambda variant: -variant.value)
        return tuple(wanted[:max_variants])

    return plan
