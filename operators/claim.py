"""What was prepared for an outcome, taken at the moment it comes in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from ..streams.events import Outcome
from ..streams.footprint import targets_of
from ..streams.health import number
from ..streams.saves import is_save
from ..streams.world import Declared, World
from .fingerprint import Dependence, dependence, fingerprint
from .generation import Generation, Lease, Phase, Told, Trace
from .narrative import Served
from .prompts import Entry
from .refine import EFFECTS, adds_of, sayable
from .results import ATTACK, KILL, SAVE, Happened, as_shown, happened, numbers_of
from .select import Choice, may_stand_for
from .slots import slots_in

__all__ = [
    "NOTHING",
    "Again",
    "Claim",
    "Found",
    "Lookup",
    "Part",
    "Piece",
    "again_of",
    "claim_of",
    "pieces",
    "unclear",
]

NUMBERS = frozenset(("damage", "target_hp", "healing"))
STANDARD = (*ATTACK, *SAVE)
"""Words of which everybody knows what they mean."""
Slot = tuple[str | None, str, str | None, str]

NOTHING = Dependence((), (), "", ())
"""What a text depends on that tells what has happened for good."""


class Found(Protocol):
    """An entry of the store of variants."""

    @property
    def fingerprint(self) -> str:
        """What it was made for, as :func:`fingerprint` has it."""
        ...

    @property
    def generation(self) -> Told:
        """Its text, finished or not."""
        ...

    @property
    def made_for(self) -> str:
        """The name of the result it tells."""
        ...

    @property
    def to(self) -> tuple[str, ...]:
        """The viewers who may be told it; all, if none are named."""
        ...


class Lookup(Protocol):
    """What ``tell`` asks of the store."""

    def take(self, slot: Slot) -> Found | None:
        """The variant in a slot, which is then consumed."""
        ...

    def beside(self, slot: Slot) -> Sequence[Found]:
        """The variants for the same turn, action and target, whatever their result."""
        ...


@dataclass(eq=False, slots=True)
class Part:
    """One thing to tell, and the share in the variant that fits it, if one does.

    ``lacking`` names the slots of the variant that nobody gave a value, ``adds`` what it has no
    room for; ``written`` is the stream that tells it, once there is one. ``choices`` are variants
    of other names that might tell it as well.
    """

    entry: Entry
    lease: Lease | None = None
    made_for: str = ""
    told: bool = False
    lacking: Collection[str] = ()
    adds: tuple[str, ...] = ()
    choices: Sequence[Choice] = ()
    written: Generation | None = None

    def choose(self, number: int) -> None:
        """Take one of its choices, counted from 1; with 0 none."""
        chosen = self.choices[number - 1] if number else None
        for each in self.choices:
            if each is not chosen:
                each.lease.release("told")
        if chosen is not None:
            self.lease = chosen.lease
            self.made_for = self.entry.happened.result  # as the small model has it
            self.adds = chosen.adds
        self.choices = ()

    def shown(self, world: World) -> Generation | None:
        """A state names what it tells: the text that is not true of it any more, if any is."""
        what = as_shown(self.entry.happened, world)
        if what is self.entry.happened:
            return None
        self.entry = replace(self.entry, happened=what)
        self.choose(0)
        lease = self.lease
        return self.written or (lease.generation.stream if lease is not None else None)


@dataclass(frozen=True, eq=False, slots=True)
class Again:
    """What a retelling tells: the outcomes of an earlier telling, as they happened.

    :param telling: the first telling of them, in whose place it stands.
    :param worlds: the world after each of its outcomes.
    :param first: the claim of an outcome that is not told yet: with which others it will be is
        known when it is.
    """

    telling: str
    worlds: tuple[World, ...]
    first: Claim | None = None

    @property
    def slot(self) -> Slot:
        """The place of a retelling prepared ahead, in plan and store."""
        return (None, "retell", self.telling, "")

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Each thing to tell."""
        return tuple(
            Entry(declared, what)
            for world, declared in map(_resolved, self.worlds)
            for what in happened(world)
        )


@dataclass(eq=False, slots=True)
class Claim:
    """An outcome and what was prepared for it, taken at the moment it came in.

    ``world`` is the one it made, or that of the wish to tell it again, ``since`` when that came, as
    its line has it (seconds), and ``group`` all that is told together with it.
    """

    world: World
    outcome: Outcome
    depends: Dependence
    parts: list[Part]
    served: Served
    lead: float | None = None
    cancelled: bool = False
    since: float = 0.0
    first_text: float | None = None
    again: Again | None = None
    group: Sequence[Claim] = ()

    @property
    def number(self) -> int:
        """The input that asked for it."""
        return self.world.number

    @property
    def telling(self) -> str:
        """The id of the telling it asks for."""
        return f"t{self.number}"

    @property
    def undecided(self) -> list[Part]:
        """What one of several prepared texts might tell."""
        return [part for part in self.parts if part.choices]

    def decide(self) -> None:
        """All that could be chosen has been: it is told from what was prepared, or all anew."""
        leases = [part.lease for part in self.parts if part.lease is not None]
        if len(leases) < len(self.parts):
            self.release()
            return
        self.served = Served.IN_FLIGHT
        opened = [lease.generation.opened_at or self.world.t for lease in leases]
        self.lead = self.world.t - max(opened)

    def release(self) -> None:
        """Give back every share."""
        for part in self.parts:
            part.choose(0)
            if part.lease is not None:
                part.lease.release("told")
                part.lease = None


@dataclass(eq=False, slots=True)
class Piece:
    """What one stream tells: a prepared part, or all that has to be generated together."""

    claims: list[Claim]
    parts: list[Part]
    prepared: Lease | None = None
    asked: int = 0

    @property
    def holds(self) -> bool:
        """Whether it was prepared, and can still be told."""
        return self.prepared is not None and self.prepared.generation.alive

    def lose(self) -> None:
        """What was prepared cannot be told after all."""
        if self.prepared is not None:
            self.prepared.release("told")
            self.prepared = self.parts[0].lease = None
            self.claims[0].served = Served.MISS

    def join(self, other: Piece) -> None:
        """Tell another piece that has to be generated together with this one."""
        other.lose()
        self.claims += [claim for claim in other.claims if claim not in self.claims]
        self.parts += other.parts


def claim_of(
    world: World,
    store: Lookup,
    trace: Trace,
    *,
    refines: bool = False,
    selects: bool = False,
) -> Claim:
    """Take a lease on each variant that fits the world's outcome, before anything drops it.

    A variant fits if it has the name of what happened, was made for this turn, action and
    target, and for whom the outcome is told, nothing it speaks of has changed unexpectedly, and
    its guard holds: the target is up afterwards exactly if the text leaves it standing.

    :param refines: what it has no room for can be said after it.
    :param selects: where there is none of that name, one of another name may be chosen.
    """
    outcome = world.cause
    assert isinstance(outcome, Outcome)
    declared = world.doing(outcome)
    depends = dependence(world, declared.actor, declared.action)
    mark = fingerprint(world, depends, world.outcomes - 1)
    turn = world.turn.turn if world.turn is not None else None
    parts: list[Part] = []
    aimed = targets_of(declared.action)
    for what in happened(world):
        part = Part(Entry(declared, what))
        target = what.target if aimed or len(outcome.results) > 1 else None
        found = store.take((turn, depends.own, target, what.name))
        if found is not None and found.fingerprint == mark and _may_know(found.to, outcome.to):
            generation = found.generation
            trace("~take", telling=f"t{world.number}", generation=generation.id)
            asked = numbers_of(world, declared, what.target, what.name)
            slots = _slots(generation, asked)
            begun = generation.phase in (Phase.RUNNING, Phase.DONE)
            if begun and _fits(declared, what, slots, asked, refines):
                part.lease = generation.lease()
                part.made_for = found.made_for
                part.lacking = NUMBERS & slots - what.values.keys()
                if refines:
                    part.adds = adds_of(world, part.entry, {*slots, *asked})
        elif found is None and selects and what.name:
            beside = store.beside((turn, depends.own, target, what.name))
            good = [e for e in beside if e.fingerprint == mark and _may_know(e.to, outcome.to)]
            part.choices = _choices(world, part.entry, good, refines)
        parts.append(part)
    if not all(part.lease is not None or part.choices for part in parts):
        for part in parts:
            part.choose(0)
    leases = [part.lease for part in parts]
    ready = all(lease is not None and lease.generation.phase is Phase.DONE for lease in leases)
    served = Served.HIT if ready else Served.IN_FLIGHT
    if not leases or any(lease is None for lease in leases):
        served = Served.MISS
    struck = [part.entry.happened.target for part in parts]
    if others := [each for each in struck if each is not None and each not in aimed]:
        everyone = {**declared.action, "target": [*aimed, *others]}
        depends = dependence(world, declared.actor, everyone, depends.own)
    taken = Claim(world, outcome, depends, parts, served)
    if taken.undecided:
        pass  # till it is
    elif served is Served.MISS:
        taken.release()
    else:
        opened = [lease.generation.opened_at for lease in leases if lease is not None]
        taken.lead = world.t - max(each for each in opened if each is not None)
    return taken


def _choices(world: World, entry: Entry, beside: Sequence[Found], refines: bool) -> list[Choice]:
    """Those finished variants that might tell what happened, with all its numbers."""
    declared, what = entry.declared, entry.happened
    found: list[Choice] = []
    for each in beside:
        generation, made_for = each.generation, each.made_for
        if generation.phase is not Phase.DONE or not generation.alive:
            continue
        slots = _slots(generation, ())
        like = replace(what, name=made_for)
        asked = numbers_of(world, declared, what.target, made_for)
        if (
            may_stand_for(declared, what, made_for)
            and _fits(declared, like, slots, asked, refines)
            and slots <= what.values.keys()
        ):
            adds = adds_of(world, entry, {*slots, *asked}) if refines else ()
            known = what.name in STANDARD or not refines
            found.append(Choice(made_for, generation.lease(), adds if known else (*adds, "result")))
    return found


def again_of(world: World, again: Again | None, store: Lookup, trace: Trace) -> Claim:
    """The claim of a retelling, with what was prepared for it, if anything was.

    It is bound to what happened, so no change of the world can make it untrue. Of what cannot be
    told again (any more) the claim is cancelled.
    """
    if again is None:
        nothing, again = Outcome(world.t, ()), Again("", ())
        return Claim(world, nothing, NOTHING, [], Served.MISS, cancelled=True, again=again)
    outcome = again.worlds[0].cause
    assert isinstance(outcome, Outcome)
    parts = [Part(entry) for entry in again.entries]
    taken = Claim(world, outcome, NOTHING, parts, Served.MISS, again=again)
    found = store.take(again.slot)
    if found is not None and found.generation.phase in (Phase.RUNNING, Phase.DONE):
        generation = found.generation
        trace("~take", telling=taken.telling, generation=generation.id)
        parts[0].lease = generation.lease()
        taken.served = Served.HIT if generation.phase is Phase.DONE else Served.IN_FLIGHT
        taken.lead = world.t - (generation.opened_at or world.t)
    return taken


def _may_know(made_for: Sequence[str], to: Sequence[str]) -> bool:
    """Whether what was written for some viewers, or for all, may be told to these, or to all."""
    return not made_for or (bool(to) and set(to) <= set(made_for))


def _resolved(world: World) -> tuple[World, Declared]:
    outcome = world.cause
    assert isinstance(outcome, Outcome)
    return world, world.doing(outcome)


def _slots(generation: Told, asked: Collection[str]) -> set[str]:
    """The slots of a variant: those it has, or those it was asked for while it is under way."""
    if generation.phase is Phase.DONE:
        return slots_in(generation.written)
    return set(asked)


def _fits(
    declared: Declared,
    what: Happened,
    slots: Collection[str],
    asked: Collection[str],
    refines: bool,
) -> bool:
    """Whether what was written before the outcome is true of it, number by number, and says it all.

    A blow whose damage is not said is told without it; what may have done none at all, or is said
    to have done none, is not. Whose a success or failure is may come to light with the outcome
    only: what was written for the other is not told, nor is what leaves no room for a number that
    nobody foresaw, or for what else a blow did, unless that can be said after it.
    """
    rolls = what.name in ("hit", "critical", KILL)
    own = what.target is None or what.target == declared.actor
    whose = [is_save(declared.action, what.name, values) for values in ({}, what.values)]
    if what.name in ("success", "failure") and not own and whose[0] is not whose[1]:
        return False
    besides = any(what.values.get(each) for each in EFFECTS)
    if rolls and besides and not (refines and sayable(what.values)):
        return False
    numbers = {each: number(what.values.get(each)) for each in ("damage", "healing")}
    if any(said is not None and said <= 0 and each in slots for each, said in numbers.items()):
        return False
    if rolls:
        return True
    unforeseen = [each for each, said in numbers.items() if said and each not in {*slots, *asked}]
    return not unforeseen and set(slots) - what.values.keys() <= {"healing"}


def unclear(world: World) -> Claim:
    """The claim of an outcome that makes no sense: nothing prepared can be trusted."""
    outcome = world.cause
    assert isinstance(outcome, Outcome)
    declared = Declared(outcome.actor or "", outcome.action or {}, "", {})
    parts = [
        Part(Entry(declared, Happened(None, result.result, "", {}, result.result)))
        for result in outcome.results
    ]
    return Claim(world, outcome, NOTHING, parts, Served.MISS)


def pieces(claims: Sequence[Claim]) -> list[Piece]:
    """Each prepared part by itself; neighbours with nothing prepared are generated together."""
    found: list[Piece] = []
    for claim in claims:
        if claim.again is not None:
            found.append(Piece([claim], list(claim.parts), claim.parts[0].lease))
        elif claim.served is not Served.MISS:
            found += [Piece([claim], [part], part.lease) for part in claim.parts]
        elif found and found[-1].prepared is None:
            found[-1].claims.append(claim)
            found[-1].parts += claim.parts
        else:
            found.append(Piece([claim], list(claim.parts)))
    return found
