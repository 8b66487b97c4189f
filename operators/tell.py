"""Tell what happened: adopt what was prepared, or generate it now; always with an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from ..streams.events import Outcome
from ..streams.footprint import targets_of
from ..streams.models import ModelError, ModelInvalid, ModelOverloaded, Request
from ..streams.world import Declared, World
from .classify import Scene
from .compose import Composer
from .fingerprint import Dependence, dependence, fingerprint
from .generation import Generation, GenerationClosed, Generations, Lease, Phase, Trace
from .narrative import Ended, Narrative, Patched, Served, Started, Status
from .partials import Patch
from .prompts import Account, Entry, name_of
from .results import Happened, happened

__all__ = ["Claim", "Found", "Lookup", "Teller", "fallback_text"]

Emit = Callable[[Narrative], None]
Slot = tuple[str | None, str, str | None, str]

PATIENCE = 1.0
WHOLE = Patch((), "done", None)


class Found(Protocol):
    """An entry of the store of variants."""

    @property
    def fingerprint(self) -> str:
        """What it was made for, as :func:`fingerprint` has it."""
        ...

    @property
    def generation(self) -> Generation:
        """Its text, finished or not."""
        ...

    @property
    def made_for(self) -> str:
        """The name of the result it tells."""
        ...


class Lookup(Protocol):
    """What ``tell`` asks of the store."""

    def take(self, slot: Slot) -> Found | None:
        """The variant in a slot, which is then consumed."""
        ...


@dataclass(eq=False, slots=True)
class Part:
    """One thing to tell, and the share in the variant that fits it, if one does."""

    entry: Entry
    lease: Lease | None = None
    made_for: str = ""
    told: bool = False


@dataclass(eq=False, slots=True)
class Claim:
    """An outcome and what was prepared for it, taken at the moment it came in."""

    number: int
    t: float
    outcome: Outcome
    depends: Dependence
    parts: list[Part]
    served: Served
    lead: float | None = None
    cancelled: bool = False
    first_text: float | None = field(default=None)

    @property
    def telling(self) -> str:
        """The id of the telling it asks for."""
        return f"t{self.number}"

    def release(self) -> None:
        """Give back every share."""
        for part in self.parts:
            if part.lease is not None:
                part.lease.release("told")
                part.lease = None


@dataclass(eq=False, slots=True)
class Draft:
    """What viewers have of a telling; a piece is tried on a copy until its first word comes."""

    composer: Composer


@dataclass(eq=False, slots=True)
class Piece:
    """What one stream tells: a prepared part, or all that has to be generated together."""

    claims: list[Claim]
    parts: list[Part]
    prepared: Lease | None = None

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


class Teller:
    """Claims what fits an outcome, and tells it.

    :param world: the latest world, for what has to be generated anew.
    :param scene_of: its scene.
    :param request: the foreground request for an account.
    :param deadline: seconds from the outcome to the end of its telling.
    :param text_field: the field of the telling's model that holds its text.
    :param check: says what is wrong with a finished value, or ``None``.
    :param on_serve: told, for each prepared part that reaches a viewer, the result it was made
        for and what happened.
    """

    def __init__(
        self,
        generations: Generations,
        store: Lookup,
        world: Callable[[], World],
        scene_of: Callable[[World], Scene],
        request: Callable[[Scene, Account], Request],
        trace: Trace,
        now: Callable[[], float],
        *,
        deadline: float,
        text_field: str,
        check: Callable[[Any], str | None],
        on_serve: Callable[[str, Happened], None],
    ) -> None:
        self._generations = generations
        self._store = store
        self._world = world
        self._scene_of = scene_of
        self._request = request
        self._trace = trace
        self._now = now
        self._deadline = deadline
        self._text_field = text_field
        self._check = check
        self._on_serve = on_serve
        self._active: dict[str, asyncio.Task[Any]] = {}
        self._claims: dict[str, Claim] = {}
        self._unwanted: dict[str, None] = {}

    def claim(self, world: World) -> Claim:
        """Take a lease on each variant that fits the world's outcome, before anything drops it.

        A variant fits if it has the name of what happened, was made for this turn, action and
        target, nothing it speaks of has changed unexpectedly, and its guard holds: the target is
        up afterwards exactly if the text leaves it standing.
        """
        outcome = world.cause
        assert isinstance(outcome, Outcome)
        declared = world.doing(outcome)
        depends = dependence(world, declared.actor, declared.action)
        mark = fingerprint(world, depends, world.outcomes - 1)
        turn = world.turn.turn if world.turn is not None else None
        parts: list[Part] = []
        aimed = targets_of(declared.action)
        for what in happened(world, outcome, declared):
            part = Part(Entry(declared, what))
            target = what.target if aimed or len(outcome.results) > 1 else None
            found = self._store.take((turn, depends.own, target, what.name))
            if found is not None and found.fingerprint == mark:
                generation = found.generation
                self._trace("~take", telling=f"t{world.number}", generation=generation.id)
                if generation.phase in (Phase.RUNNING, Phase.DONE) and generation.alive:
                    part.lease = generation.lease()
                    part.made_for = found.made_for
            parts.append(part)
        leases = [part.lease for part in parts]
        ready = all(lease is not None and lease.generation.phase is Phase.DONE for lease in leases)
        served = Served.HIT if ready else Served.IN_FLIGHT
        if not leases or any(lease is None for lease in leases):
            served = Served.MISS
        struck = [part.entry.happened.target for part in parts]
        if others := [each for each in struck if each is not None and each not in aimed]:
            everyone = {**declared.action, "target": [*aimed, *others]}
            depends = replace(dependence(world, declared.actor, everyone), own=depends.own)
        claim = Claim(world.number, world.received, outcome, depends, parts, served)
        if served is Served.MISS:
            claim.release()
        else:
            opened = [lease.generation.opened_at for lease in leases if lease is not None]
            claim.lead = world.t - max(each for each in opened if each is not None)
        return self._known(claim)

    def unclear(self, world: World) -> Claim:
        """The claim of an outcome that makes no sense: nothing prepared can be trusted."""
        outcome = world.cause
        assert isinstance(outcome, Outcome)
        declared = Declared(outcome.actor or "", outcome.action or {}, "", {})
        parts = [
            Part(Entry(declared, Happened(None, result.result, "", {})))
            for result in outcome.results
        ]
        depends = Dependence((), (), "", ())
        claim = Claim(world.number, world.received, outcome, depends, parts, Served.MISS)
        return self._known(claim)

    def _known(self, claim: Claim) -> Claim:
        self._claims[claim.telling] = claim
        if claim.telling in self._unwanted:
            del self._unwanted[claim.telling]
            claim.cancelled = True
        return claim

    def cancel(self, telling: str) -> None:
        """End a telling early, at the game's wish; one that waits is never begun.

        It may be asked for before the outcome has come through; it must not be after its end.
        """
        claim = self._claims.get(telling)
        if claim is None:
            self._unwanted[telling] = None
        else:
            claim.cancelled = True
        task = self._active.get(telling)
        if task is not None:
            task.cancel()

    def cancel_all(self) -> None:
        """End what is being told, and begin nothing more."""
        for telling in list(self._claims):
            self.cancel(telling)

    def skip(self, claims: Sequence[Claim], emit: Emit) -> None:
        """End tellings that were never begun."""
        self._finish(claims, emit, Draft(Composer(self._text_field)), Status.SUPERSEDED)

    async def tell(self, claims: Sequence[Claim], emit: Emit) -> None:
        """Tell a group of outcomes as one telling, to its end.

        Emits :class:`Started`, patches, and exactly one :class:`Ended`, whatever happens: if it
        is cancelled, with status superseded; if a model fails or the deadline passes, with
        status failed and fallback text.
        """
        wanted = [claim for claim in claims if not claim.cancelled]
        for claim in claims:
            if claim.cancelled and wanted:
                self.skip([claim], emit)
        claims = wanted or claims
        first = claims[0]
        draft = Draft(Composer(self._text_field))
        numbers = tuple(claim.number for claim in claims)
        emit(Started(first.telling, numbers, first.outcome.to, self._now()))
        task = asyncio.current_task()
        assert task is not None
        for claim in claims:
            self._active[claim.telling] = task
        error: Exception | None = None
        try:
            if first.cancelled:
                raise asyncio.CancelledError
            left = first.t + self._deadline - self._now()
            async with asyncio.timeout(left):
                await self._tell(claims, emit, draft)
            reason = self._check(draft.composer.value)
            if reason is None and not draft.composer.text.strip():
                reason = "the model's answer has no text"
            if reason is not None:
                error = ModelInvalid(reason)
        except asyncio.CancelledError:
            self._finish(claims, emit, draft, Status.SUPERSEDED)
            raise
        except TimeoutError:
            error = TimeoutError(f"nothing whole within the deadline of {self._deadline:g} s")
        except (ModelError, GenerationClosed) as failure:
            error = failure
        except Exception as failure:
            self._finish(claims, emit, draft, Status.FAILED, failure)
            raise
        self._finish(claims, emit, draft, Status.FAILED if error else Status.DONE, error)

    async def _tell(self, claims: Sequence[Claim], emit: Emit, draft: Draft) -> None:
        pieces = _pieces(claims)
        first = True
        while pieces:
            piece = pieces.pop(0)
            while not await self._told(claims, piece, emit, draft, first, not pieces):
                piece.lose()
                while pieces and not pieces[0].holds:
                    piece.join(pieces.pop(0))
            first = False
            for part in piece.parts:
                part.told = True

    async def _told(
        self,
        claims: Sequence[Claim],
        piece: Piece,
        emit: Emit,
        draft: Draft,
        first: bool,
        last: bool,
    ) -> bool:
        """Tell one piece; false if its stream ended before any of it was told.

        Nothing is handed on before its first word: what has no words yet binds nobody, and can
        be begun anew.
        """
        lease = piece.prepared or self._open(claims, piece, alone=first and last)
        generation, begun = lease.generation, False
        composer = deepcopy(draft.composer)
        composer.begin(piece.parts[0].entry.happened.values, last=last)
        held: list[Patch] = []
        words = ""

        def hand_on(patches: Sequence[Patch], text: str) -> None:
            nonlocal begun, words
            if any(map(self._misplaces_text, patches)):
                composer.value.pop(self._text_field)
                raise ModelInvalid("the model's text is not a string")
            held.extend(patch for patch in patches if patch != WHOLE)
            words += text
            if held and (begun or any(map(_says_something, patches))):
                begun, draft.composer = True, composer
                self._emit(claims, piece, generation, emit, tuple(held), words)
                held.clear()
                words = ""

        try:
            async with aclosing(generation.chunks()) as chunks:
                async for chunk in chunks:
                    hand_on(*composer.feed(chunk))
            hand_on(*composer.finish())
            if not begun:
                raise ModelInvalid("the model wrote nothing")
        except GenerationClosed:
            if begun:
                raise
            return False
        except ModelError as failure:
            if begun:
                raise
            if lease is piece.prepared:
                return False
            if not isinstance(failure, ModelOverloaded):
                raise
            await asyncio.sleep(failure.retry_after or PATIENCE)
            return False
        finally:
            lease.release("told")
        return True

    def _misplaces_text(self, patch: Patch) -> bool:
        """Whether it makes something else of the field that holds the text."""
        at_text = patch.op == "set" and patch.path == (self._text_field,)
        return at_text and not isinstance(patch.value, str)

    def _open(self, claims: Sequence[Claim], piece: Piece, *, alone: bool) -> Lease:
        account = Account(tuple(part.entry for part in piece.parts), part=not alone)
        world = self._world()
        request = self._request(self._scene_of(world), account)
        generation = self._generations.open(
            request,
            tuple(claim.depends for claim in piece.claims),
            revision=world.revision,
            telling=claims[0].telling,
        )
        return generation.lease()

    def _emit(
        self,
        claims: Sequence[Claim],
        piece: Piece,
        generation: Generation,
        emit: Emit,
        patches: Sequence[Patch],
        text: str,
    ) -> None:
        """Hand on what came; from now on the world cannot take it back."""
        if not generation.delivered:
            for claim in claims:
                for part in claim.parts:
                    if part.lease is not None and part.lease.generation.alive:
                        part.lease.generation.bind()
            generation.deliver()
            if piece.prepared is not None:
                part = piece.parts[0]
                self._on_serve(part.made_for, part.entry.happened)
        now = self._now()
        if any(patch.op == "done" and patch.path == (self._text_field,) for patch in patches):
            for part in piece.parts:
                part.told = True
        if text:
            for claim in piece.claims:
                if claim.first_text is None:
                    claim.first_text = now
        emit(Patched(claims[0].telling, patches, text, claims[0].outcome.to, now))

    def _finish(
        self,
        claims: Sequence[Claim],
        emit: Emit,
        draft: Draft,
        status: Status,
        error: Exception | None = None,
    ) -> None:
        first, composer = claims[0], draft.composer
        fallback = ""
        if status is Status.FAILED:
            if not composer.text.strip():
                for claim in claims:
                    for part in claim.parts:
                        part.told = False
            fallback = fallback_text(self._scene_of(self._world()), claims)
        patches, text = composer.append(fallback) if fallback else ([], "")
        if status is not Status.SUPERSEDED:
            now = self._now()
            if WHOLE not in patches:
                patches.append(WHOLE)
            emit(Patched(first.telling, patches, text, first.outcome.to, now))
            for claim in claims:
                if claim.first_text is None and text:
                    claim.first_text = now
        for claim in claims:
            if status is Status.FAILED:
                claim.served = Served.FAILED
            elif status is Status.SUPERSEDED and claim.first_text is None:
                claim.served = Served.SUPERSEDED
            claim.release()
            self._active.pop(claim.telling, None)
            self._claims.pop(claim.telling, None)
        emit(
            Ended(
                first.telling,
                tuple(claim.number for claim in claims),
                first.outcome.to,
                self._now(),
                status,
                tuple(claim.served for claim in claims),
                tuple(
                    None if claim.first_text is None else claim.first_text - claim.t
                    for claim in claims
                ),
                tuple(claim.lead for claim in claims),
                composer.value,
                composer.text,
                str(error) if error is not None else None,
                _kind(error),
                fallback,
            )
        )


def _pieces(claims: Sequence[Claim]) -> list[Piece]:
    """Each prepared part by itself; neighbours with nothing prepared are generated together."""
    pieces: list[Piece] = []
    for claim in claims:
        if claim.served is not Served.MISS:
            pieces += [Piece([claim], [part], part.lease) for part in claim.parts]
        elif pieces and pieces[-1].prepared is None:
            pieces[-1].claims.append(claim)
            pieces[-1].parts += claim.parts
        else:
            pieces.append(Piece([claim], list(claim.parts)))
    return pieces


def _says_something(patch: Patch) -> bool:
    """Whether it adds more than the frame of a value."""
    if patch.op == "done" or isinstance(patch.value, (dict, list)):
        return False
    return not isinstance(patch.value, str) or bool(patch.value.strip())


def _kind(error: Exception | None) -> str | None:
    if error is None:
        return None
    return "deadline" if isinstance(error, TimeoutError) else getattr(error, "kind", "error")


def fallback_text(scene: Scene, claims: Sequence[Claim]) -> str:
    """Plain sentences, true of what has not been told yet, for when no model could write better."""
    return " ".join(
        _plainly(scene, part.entry.declared, part.entry.happened)
        for claim in claims
        for part in claim.parts
        if not part.told
    )


def _plainly(scene: Scene, declared: Declared, what: Happened) -> str:
    who = name_of(scene, declared.actor) or "Someone"
    action = str(declared.action.get("name") or declared.action.get("type") or "action")
    sentence = f"{who}: {action}"
    if (target := name_of(scene, what.target)) is not None:
        sentence += f" against {target}"
    damage = what.values.get("damage")
    suffix = f", {damage} damage" if damage else ""
    falls = f"; {target} falls" if what.name == "kill" else ""
    return f"{sentence}: {what.result}{suffix}{falls}."
