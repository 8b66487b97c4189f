"""What may be needed next: candidate actions, and the variants to prepare for them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from ..streams.events import Odds
from ..streams.footprint import action_key, targets_of
from ..streams.world import Declared, World
from .classify import Context, Scene, classify
from .fingerprint import Dependence, dependence, fingerprint
from .prompts import Account
from .results import possible_results

__all__ = ["Candidate", "Intensity", "Plan", "Variant", "candidates", "schedule", "variants"]


class Intensity(StrEnum):
    """How much to prepare [0-11]: nothing; in combat, the most likely action; anywhere, several.

    What has just been told is prepared once more for who asks for retellings; at ``aggressive``,
    where there is room, for everybody.
    """

    OFF = "off"
    CONSERVATIVE = "conservative"
    AGGRESSIVE = "aggressive"


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action that may be resolved next, and why it is thought so."""

    declared: Declared
    probability: float
    source: str
    odds: Odds | None = None
    rolled: str | Mapping[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Variant:
    """A text to prepare: one possible result, for one target, of one candidate.

    ``slot`` is its place in the plan; two variants of one slot are the same if their fingerprints
    are. ``value`` is the probability that it will be asked for. ``account`` is what it is to tell,
    where that has happened already. ``likely`` is the probability of its action, whatever comes
    of it.
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

    @property
    def target(self) -> str | None:
        """The target it speaks of."""
        return self.slot[2]

    @property
    def result(self) -> str:
        """The result it is for."""
        return self.slot[3]


HISTORY, OPTION, SHEET = 0.5, 0.3, 0.25


def candidates(scene: Scene) -> list[Candidate]:
    """What the turn may bring, most likely first: declared actions, or else the likely ones.

    With nothing declared: what this actor did last, if it still can; then its options in the
    order given; then the attacks on its sheet against whom it, or its side, last aimed at.
    """
    world = scene.world
    declared = _declared(world)
    if declared or world.turn is None:
        return declared
    actor = world.turn.actor
    options = [dict(option) for option in world.turn.options]
    target = _likely_target(world, actor)
    found: dict[str, Candidate] = {}

    def add(action: Mapping[str, Any], probability: float, source: str) -> None:
        aimed = {**action, "target": target} if not targets_of(action) and target else dict(action)
        key = action_key(actor, aimed)
        if key not in found:
            who = Declared(actor, aimed, key, world.baseline)
            found[key] = Candidate(who, probability / (1 + len(found)), source)

    last = world.last.get(actor)
    if last is not None and (not options or any(_same(last, option) for option in options)):
        standing = [each for each in targets_of(last) if _stands(world, each)]
        add(
            {**last, "target": standing[0] if len(standing) == 1 else standing or target},
            HISTORY,
            "history",
        )
    for option in options:
        add(option, OPTION, "option")
    attacks = world.actor(actor).get("attacks")
    if not options and isinstance(attacks, list):
        for attack in attacks:
            name = attack.get("name") if isinstance(attack, Mapping) else attack
            if isinstance(name, str):
                add({"type": "attack", "name": name}, SHEET, "sheet")
    return sorted(found.values(), key=lambda each: -each.probability)


def _declared(world: World) -> list[Candidate]:
    return [
        Candidate(each, 1.0, "declared", each.event.odds, each.event.rolled)
        for each in world.actions.values()
        if each.event is not None and not each.resolved
    ]


def _same(action: Mapping[str, Any], option: Mapping[str, Any]) -> bool:
    return all(action.get(name) == option[name] for name in ("type", "name") if name in option)


def _stands(world: World, actor_id: str) -> bool:
    hp = world.actor(actor_id).get("hp")
    return not isinstance(hp, (int, float)) or hp > 0


def _likely_target(world: World, actor: str) -> str | None:
    """Whom the actor aimed at last, else whom its side did, else the first foe that stands."""
    side = world.actor(actor).get("side")
    foes = [
        each
        for each, what in world.actors.items()
        if isinstance(what, Mapping) and what.get("side") != side and _stands(world, each)
    ]
    aimed = [
        target
        for who, action in reversed(list(world.last.items()))
        if who == actor or world.actor(who).get("side") == side
        for target in targets_of(action)
    ]
    own = targets_of(world.last.get(actor, {}))
    return next((each for each in (*own, *aimed) if each in foes), foes[0] if foes else None)


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
            likely=candidate.probability,
        )
        for target in targets
        for result, probability in possible_results(
            world, declared, target, candidate.odds, candidate.rolled
        ).items()
    ]


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


def schedule(
    intensity: Callable[[], Intensity],
    max_variants: int,
    branches: int = 3,
    scene_of: Callable[[World], Scene] = classify,
) -> Plan:
    """The plan for a scene: what to prepare, the most valuable first, within the limits.

    A retelling has its place in it by its value. Nobody who has asked for none has one, but at
    ``aggressive``, after all else.

    :param intensity: read anew for each scene, so that it can be changed while running.
    :param max_variants: the most variants of one plan.
    :param branches: how many undeclared candidates are prepared at ``aggressive``.
    :param scene_of: tells what is combat. An open action that has itself ended the combat, as a
        state shows before the outcome comes, stays planned.
    """

    def ended_it(world: World, candidate: Candidate) -> bool:
        before = _before_its_own(world, candidate.declared)
        return before is not None and scene_of(before).context is Context.COMBAT

    def plan(scene: Scene, spare: Variant | None = None) -> tuple[Variant, ...]:
        level = intensity()
        if level is Intensity.OFF:
            return ()
        if level is Intensity.CONSERVATIVE and scene.context is not Context.COMBAT:
            world = scene.world
            likely, spare = [each for each in _declared(world) if ended_it(world, each)], None
        else:
            likely = candidates(scene)
        if not any(each.source == "declared" for each in likely):
            likely = likely[: branches if level is Intensity.AGGRESSIVE else 1]
        wanted = [variant for candidate in likely for variant in variants(scene, candidate)]
        if spare is not None and (spare.value > 0 or level is Intensity.AGGRESSIVE):
            wanted.append(spare)
        return tuple(sorted(wanted, key=lambda variant: -variant.value)[:max_variants])

    return plan
