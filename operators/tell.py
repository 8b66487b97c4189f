"""Tell what happened: adopt what was prepared, or generate it now; always with an end."""

from __future__ import annotations

import asyncio
from collections.abc import (
    AsyncGenerator,
    Callable,
    Collection,
    Hashable,
    Mapping,
    Sequence,
)
from contextlib import aclosing
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from ..streams.models import ModelCut, ModelError, ModelInvalid, ModelOverloaded, Request
from ..streams.timers import Timers, sleep, timeout
from ..streams.world import World
from .claim import Again, Claim, Lookup, Part, Piece, again_of, claim_of, pieces, unclear
from .classify import Scene
from .compose import Composer
from .fallback import fallback_text
from .generation import Generation, GenerationClosed, Generations, Lease, Told, Trace
from .narrative import Ended, Narrative, Patched, Served, Started, Status
from .partials import Patch
from .prompts import Account
from .refine import Addition, Refiner
from .results import Happened
from .select import Asked, Offer, Selector

__all__ = ["Teller"]

Emit = Callable[[Narrative], None]
Shown = Callable[[Scene, Account], tuple[Scene, Account]]

PATIENCE = 1.0
RESTLESS = 3
"""After so many streams that the world revoked, the next is told as it was asked for: a state that
never holds still must not cost the player the answer, nor the user a request a tick."""
PRESSING = 0.25
"""What has less than this share of its deadline left is told apart from what has more: a group
ends with the deadline of its first."""
SPARED = 0.05
"""What has at least this share of its deadline left is told after all, when the deadline of the
first of its group is over."""
TORN = "the model's answer ends in the midst of its text"
WHOLE = Patch((), "done", None)


@dataclass(eq=False, slots=True)
class Draft:
    """What viewers have of a telling; a piece is tried on a copy until its first word comes."""

    composer: Composer
    refused: str = ""
    """Why the model last would not begin."""
    whole: bool = False
    """Whether all has been told, and what comes now is more than was prepared."""


class Teller:
    """Claims what fits an outcome, and tells it.

    :param world: the latest world, for what has to be generated anew.
    :param scene_of: its scene.
    :param request: the foreground request for an account; for a retelling, with the telling in
        whose place it stands.
    :param recall: what a retelling of an outcome, named by its input, has to tell; ``None`` if it
        cannot be told again (any more).
    :param deadline: seconds from the outcome to the end of its telling.
    :param text_field: the field of the telling's model that holds its text.
    :param check: says what is wrong with a finished value, or ``None``.
    :param moment: when the last thing came from outside, as its line has it, in seconds: what is
        decided by it is decided alike in a replay.
    :param shown: a scene and what is told of it, as those may know them whom it is for; none, if
        everybody may know everything.
    :param guarded: the text of a stream as far as the game's guard lets it through; none, if there
        is no guard.
    :param refiner: adds what a prepared text has no room for, if anything does.
    :param selector: says which prepared text tells a result of another name, if any does.
    :param on_serve: told, for each prepared part that reaches a viewer, the result it was made
        for and what happened.
    """

    def __init__(
        self,
        generations: Generations,
        store: Lookup,
        world: Callable[[], World],
        scene_of: Callable[[World], Scene],
        request: Callable[[Scene, Account, str | None], Request],
        trace: Trace,
        now: Callable[[], float],
        timers: Timers,
        *,
        moment: Callable[[], float],
        deadline: float,
        text_field: str,
        check: Callable[[Any], str | None],
        on_serve: Callable[[str, Happened], None],
        recall: Callable[[int], Again | None] = lambda number: None,
        shown: Shown | None = None,
        guarded: Callable[[Told], AsyncGenerator[str, None]] | None = None,
        refiner: Refiner | None = None,
        selector: Selector | None = None,
    ) -> None:
        self._generations = generations
        self._store = store
        self._world = world
        self._scene_of = scene_of
        self._request = request
        self._trace = trace
        self._now = now
        self._moment = moment
        self._timers = timers
        self._deadline = deadline
        self._text_field = text_field
        self._check = check
        self._on_serve = on_serve
        self._recall = recall
        self._shown = shown
        self._guarded = guarded
        self._refiner = refiner
        self._selector = selector
        self._active: dict[str, asyncio.Task[Any]] = {}
        self._claims: dict[str, Claim] = {}
        self._unwanted: dict[str, None] = {}

    def claim(self, world: World) -> Claim:
        """Take what fits the world's outcome, before anything drops it; see :func:`claim_of`."""
        refines = self._refiner is not None and self._refiner.on()
        selects = self._selector is not None and self._selector.on()
        store, trace = self._store, self._trace
        return self._known(claim_of(world, store, trace, refines=refines, selects=selects))

    def retell(self, world: World, number: int | None) -> Claim:
        """The claim of an input that asks to tell an outcome again; see :func:`again_of`."""
        again = None if number is None else self._recall(number)
        return self._known(again_of(world, again, self._store, self._trace))

    def unclear(self, world: World) -> Claim:
        """The claim of an outcome that makes no sense; see :func:`unclear`."""
        return self._known(unclear(world))

    def _known(self, taken: Claim) -> Claim:
        self._claims[taken.telling] = taken
        if self._refiner is not None:
            self._refiner.stop()
        taken.since = self._moment()
        if taken.telling in self._unwanted:
            del self._unwanted[taken.telling]
            taken.cancelled = True
        return taken

    def waiting(self, number: int) -> Claim | None:
        """The claim of an input, if its telling is not over."""
        return self._claims.get(f"t{number}")

    @property
    def open(self) -> tuple[str, ...]:
        """The tellings that are not over, those that wait included."""
        return tuple(self._claims)

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

    def cancel_unheard(self, stands: Callable[[int], bool]) -> None:
        """End the tellings of what is undone, if nothing of them has reached a viewer.

        :param stands: whether an input still does.
        """
        for telling, claim in list(self._claims.items()):
            if claim.first_text is None and not stands(claim.number):
                self.cancel(telling)

    def cancel_all(self) -> None:
        """End what is being told, and begin nothing more."""
        for telling in list(self._claims):
            self.cancel(telling)

    def together(self, claim: Claim) -> Hashable:
        """Equal for those that can be told together: to one audience, and as pressing."""
        left = claim.since + self._deadline - self._moment()
        whose = claim.outcome.to if claim.again is None else claim.number
        return whose, left < PRESSING * self._deadline

    def shown(self, world: World, because: str) -> list[Generation]:
        """A state has come that names an action whose outcome is not told yet: the last word on it.

        :returns: the texts of which nothing is told yet, and that it makes untrue; to be revoked.
        """
        found = [
            claim
            for claim in self._claims.values()
            if claim.outcome.action_id == because and claim.again is None
        ]
        anew = world.actions.get(because)
        if not found or found[-1].first_text is not None or (anew and not anew.resolved):
            return []  # or it names another action, of the same id, that is still open
        last = found[-1]
        said = {each.target for each in last.outcome.results if "target_hp" in each.values}
        open_ones = [
            part for part in last.parts if said.isdisjoint((part.entry.happened.target, None))
        ]
        texts = [part.shown(world) for part in open_ones]
        return [text for text in texts if text is not None]

    def skip(self, claims: Sequence[Claim], emit: Emit) -> None:
        """End tellings that were never begun."""
        self._finish(claims, emit, Draft(Composer(self._text_field)), Status.SUPERSEDED)

    async def tell(self, claims: Sequence[Claim], emit: Emit) -> None:
        """Tell a group of outcomes as one telling, to its end.

        Emits :class:`Started`, patches, and exactly one :class:`Ended`, whatever happens: if it
        is cancelled, with status superseded; if a model fails or the deadline passes, with
        status failed and fallback text. If the deadline of its first passes while nothing is told
        of its last ones yet, and they have time left, they are told anew, by themselves: then
        :class:`Started` comes once more first, with those that remain in the telling that ends.
        """
        wanted = [claim for claim in claims if not claim.cancelled]
        for claim in claims:
            if claim.cancelled and wanted:
                self.skip([claim], emit)
        left = wanted or claims
        while left:
            left = await self._tell_group(left, emit)

    async def _tell_group(self, claims: Sequence[Claim], emit: Emit) -> Sequence[Claim]:
        """Tell a group; returns those it left to be told anew."""
        first = claims[0]
        self._come_up_to_date(first)
        draft = Draft(Composer(self._text_field))
        self._begin(claims, emit)
        task = asyncio.current_task()
        assert task is not None
        for claim in claims:
            self._active[claim.telling] = task
        error: Exception | None = None
        spared: Sequence[Claim] = ()
        try:
            if first.cancelled:
                raise asyncio.CancelledError
            left = first.world.received + self._deadline - self._now()
            async with timeout(self._timers, f"deadline {first.telling}", left):
                await self._tell(claims, emit, draft)
        except asyncio.CancelledError:
            self._finish(claims, emit, draft, Status.DONE if draft.whole else Status.SUPERSEDED)
            raise
        except TimeoutError:
            if spared := self._spared(claims):
                claims = claims[: -len(spared)]
                self._begin(claims, emit)
            if any(not part.told for claim in claims for part in claim.parts):
                late = f"nothing whole within the deadline of {self._deadline:g} s"
                error = TimeoutError(late + draft.refused)
            elif draft.composer.breaks_off:
                error = ModelCut(TORN)
        except (ModelError, GenerationClosed) as failure:
            error = failure
        except Exception as failure:
            self._finish(claims, emit, draft, Status.FAILED, failure)
            raise
        if error is None:
            reason = self._check(draft.composer.value)
            if reason is None and not draft.composer.text.strip():
                reason = "the model's answer has no text"
            if reason is not None:
                error = ModelInvalid(reason)
        self._finish(claims, emit, draft, Status.FAILED if error else Status.DONE, error)
        return spared

    def _begin(self, claims: Sequence[Claim], emit: Emit) -> None:
        first, numbers = claims[0], tuple(claim.number for claim in claims)
        emit(Started(first.telling, numbers, first.outcome.to, self._now(), _place(first)))
        for claim in claims:
            claim.group = claims

    def _spared(self, claims: Sequence[Claim]) -> Sequence[Claim]:
        """The last of a group, of which nothing is told yet, and that have time left."""
        soon = claims[0].since + SPARED * self._deadline
        spared = 0
        for claim in reversed(claims[1:]):
            if claim.first_text is not None or claim.since < soon:
                break
            spared += 1
        return claims[len(claims) - spared :]

    def _come_up_to_date(self, claim: Claim) -> None:
        """A retelling that had to wait tells what was told together meanwhile, if it stands."""
        first = None if claim.again is None else claim.again.first
        if first is None:
            return
        group = first.group or (first,)
        whole = all(self._world().stands(each.number) for each in group)
        worlds = tuple(each.world for each in group if whole or each is first)
        claim.again = Again(group[0].telling, worlds)
        claim.parts = [Part(entry) for entry in claim.again.entries]

    async def _tell(self, claims: Sequence[Claim], emit: Emit, draft: Draft) -> None:
        await self._decide(claims)
        left = pieces(claims)
        first = True
        while left:
            piece = left.pop(0)
            if not piece.holds:  # what died while it waited is told by nobody
                _begun_anew(piece, left)
            while not await self._told(claims, piece, emit, draft, first, not left):
                _begun_anew(piece, left)
            first = False
            for part in piece.parts:
                part.told = True
        if parts := _to_refine(claims):
            await self._refine(claims, parts, emit, draft)

    async def _decide(self, claims: Sequence[Claim]) -> None:
        """Have chosen what tells that of which there is no variant of its name."""
        asked: list[tuple[Part, Asked]] = []
        selector, revision = self._selector, self._world().revision
        undecided = [claim for claim in claims if claim.undecided]
        if selector is None or not undecided:
            return
        try:
            for claim in undecided:
                for part in claim.undecided:
                    scene, account = self._seen(claims, [part])
                    offer = Offer(account, tuple((e.made_for, e.text) for e in part.choices))
                    depends = [claim.depends]
                    if found := selector.ask(claim.telling, scene, offer, depends, revision):
                        asked.append((part, found))
            for part, answer in asked:
                number = await answer.answer()
                if part.choices:  # else a state has shown meanwhile that it was something else
                    part.choose(number)
        finally:
            for _, answer in asked:
                answer.drop()
        for claim in undecided:
            for part in claim.undecided:
                part.choose(0)
            claim.decide()
            for part in claim.parts:
                if claim.served is not Served.MISS and part.lease is not None:
                    taken = part.lease.generation.id
                    self._trace("~take", telling=claim.telling, generation=taken)

    async def _refine(
        self, claims: Sequence[Claim], parts: Sequence[Part], emit: Emit, draft: Draft
    ) -> None:
        """Have what the prepared texts have no room for said after them; without it they stand."""
        if self._refiner is None or len(self._claims) > len(claims):
            return  # others wait to be told
        if self._check(draft.composer.value) is not None:
            return
        draft.whole = True
        first = claims[0]
        scene, account = self._seen(claims, parts)
        addition = Addition(account, tuple(part.adds for part in parts), draft.composer.text)
        depends = [claim.depends for claim in claims]
        revision = self._world().revision
        more = self._refiner.sentences(first.telling, scene, addition, depends, revision)
        async with aclosing(more) as sentences:
            async for sentence in sentences:
                longer = deepcopy(draft.composer)
                patches, text = longer.append(sentence, last=False)
                if self._check(longer.value) is not None:
                    return
                draft.composer = longer
                emit(Patched(first.telling, patches, text, first.outcome.to, self._now()))

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
        for each in piece.parts:
            each.written = generation.stream
        composer = deepcopy(draft.composer) if draft.composer.value else Composer(self._text_field)
        values, lacking = self._values(claims, piece.parts[0])
        composer.begin(values, last=last and not _to_refine(claims), lacking=lacking)
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
            async with aclosing(self._chunks(generation)) as chunks:
                async for chunk in chunks:
                    hand_on(*composer.feed(chunk))
            hand_on(*composer.finish())
            if composer.torn:
                raise ModelCut(TORN)
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
            draft.refused = f"; the model's last word was: {failure}"
            patience = failure.retry_after or PATIENCE
            await sleep(self._timers, f"patience {claims[0].telling}", patience)
            return False
        finally:
            lease.release("told")
        return True

    def _chunks(self, generation: Told) -> AsyncGenerator[str, None]:
        """The text of a stream, as far as it can be shown."""
        if self._guarded is None or generation.cleared:
            return generation.chunks()
        return self._guarded(generation)

    def _values(
        self, claims: Sequence[Claim], part: Part
    ) -> tuple[Mapping[str, Any], Collection[str]]:
        """What fills the slots of a part, and the slots that nothing does: viewers may not know."""
        known = part.entry.happened.values
        if self._shown is None:
            return known, part.lacking
        _, account = self._seen(claims, [part])
        values = account.entries[0].happened.values
        return values, {*part.lacking, *(known.keys() - values.keys())}

    def _seen(self, claims: Sequence[Claim], parts: Sequence[Part]) -> tuple[Scene, Account]:
        """Some of what is told, and its scene, as its viewers may know them."""
        scene = self._scene_of(self._world_of(claims))
        account = Account(tuple(part.entry for part in parts), to=claims[0].outcome.to)
        return (scene, account) if self._shown is None else self._shown(scene, account)

    def _misplaces_text(self, patch: Patch) -> bool:
        """Whether it makes something else of the field that holds the text."""
        at_text = patch.op == "set" and patch.path == (self._text_field,)
        return at_text and not isinstance(patch.value, str)

    def _open(self, claims: Sequence[Claim], piece: Piece, *, alone: bool) -> Lease:
        entries = tuple(part.entry for part in piece.parts)
        account = Account(entries, part=not alone, to=claims[0].outcome.to)
        world = self._world_of(claims)
        request = self._request(self._scene_of(world), account, _place(claims[0]))
        generation = self._generations.open(
            request,
            tuple(claim.depends for claim in piece.claims),
            revision=self._world().revision,
            telling=claims[0].telling,
        )
        lease = generation.lease()
        piece.asked += 1
        if piece.asked > RESTLESS:
            generation.bind()
        return lease

    def _world_of(self, claims: Sequence[Claim]) -> World:
        """The world a telling speaks of: the latest, or that in which it happened."""
        again = claims[0].again
        return self._world() if again is None else again.worlds[-1]

    def _emit(
        self,
        claims: Sequence[Claim],
        piece: Piece,
        generation: Told,
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
        now = self._now()
        if any(patch.op == "done" and patch.path == (self._text_field,) for patch in patches):
            for part in piece.parts:
                part.told = True
        if text:
            for claim in piece.claims:
                if claim.first_text is None:
                    claim.first_text = now
        emit(Patched(claims[0].telling, patches, text, claims[0].outcome.to, now))
        if not generation.delivered:
            generation.deliver()
            if piece.prepared is not None and claims[0].again is None:
                part = piece.parts[0]
                self._on_serve(part.made_for, part.entry.happened)

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
            left = [part for claim in claims for part in claim.parts if not part.told]
            fallback = fallback_text(*self._seen(claims, left))
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
                    None
                    if claim.first_text is None
                    else round(claim.first_text - claim.world.received, 6)  # as a log has times
                    for claim in claims
                ),
                tuple(claim.lead for claim in claims),
                composer.value,
                composer.text,
                str(error) if error is not None else None,
                _kind(error),
                fallback,
                _place(first),
            )
        )


def _to_refine(claims: Sequence[Claim]) -> list[Part]:
    """What is told from prepared texts that have no room for all of it."""
    return [
        part
        for claim in claims
        if claim.again is None
        for part in claim.parts
        if part.adds and part.lease is not None
    ]


def _begun_anew(piece: Piece, left: list[Piece]) -> None:
    """Nothing prepared is told of a piece; its neighbours of which that is true join it."""
    piece.lose()
    while left and not left[0].holds:
        piece.join(left.pop(0))


def _says_something(patch: Patch) -> bool:
    """Whether it adds more than the frame of a value."""
    if patch.op == "done" or isinstance(patch.value, (dict, list)):
        return False
    return not isinstance(patch.value, str) or bool(patch.value.strip())


def _place(claim: Claim) -> str | None:
    """The telling in whose place a retelling stands."""
    return None if claim.again is None else claim.again.telling


def _kind(error: Exception | None) -> str | None:
    if error is None:
        return None
    return "deadline" if isinstance(error, TimeoutError) else getattr(error, "kind", "error")
