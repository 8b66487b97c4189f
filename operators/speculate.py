"""Speculation: generate what may be needed, hold it as long as the plan wants it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from typing import Protocol

from reactivex import Observable, abc

from ..streams.models import Request
from ..streams.timers import Timers, sleep
from ..streams.world import Change, World
from .fingerprint import only_leaves
from .generation import Generation, Generations, Phase, Told
from .predict import Variant
from .prompts import Account
from .trunk import Tails

__all__ = ["Keeper", "RequestFor", "VariantStore", "revoke", "speculate"]


RESTLESS = 2
CALM = 0.5
MOST_DOUBLINGS = 3
REMEMBERED = 256
FORGOTTEN = 10.0
"""Seconds of the session without a loss, after which a place in the plan counts as calm again."""

EXPIRED = "expired"
LEAST_LEFT = 0.001

Slot = tuple[str | None, str, str | None, str]


class RequestFor(Protocol):
    """Makes the model request for a variant."""

    def __call__(self, variant: Variant, account: Account) -> Request | None:
        """The request, or ``None`` if it is not wanted any more."""
        ...


class VariantStore(Protocol):
    """What the operators need of a store of variants; see :class:`foretell.sinks.store.Store`."""

    def put(self, variant: Variant, generation: Told) -> None:
        """Offer a variant."""
        ...

    def discard(self, variant: Variant, generation: Told) -> None:
        """Take it back."""
        ...


class Keeper(Protocol):
    """Keeps what is finished beyond its plan; see :class:`foretell.sinks.kept.Kept`."""

    @property
    def shared(self) -> bool:
        """Whether there is more to be had by :meth:`fetch`."""
        ...

    def keep(self, variant: Variant, request: Request, generation: Generation) -> None:
        """Keep a finished variant, as the answer to a request."""
        ...

    def recall(
        self, variant: Variant, request: Request, generations: Generations
    ) -> Generation | None:
        """The finished generation of a variant for this very request, if there is one."""
        ...

    async def fetch(self, variant: Variant, request: Request) -> bool:
        """Look for it where that has to be waited for; it may be there to recall then.

        False, if the world has moved on meanwhile and nobody wants it any more.
        """
        ...


def speculate(
    generations: Generations,
    store: VariantStore,
    request_for: RequestFor,
    timers: Timers,
    flawed: Callable[[str], bool] = lambda text: False,
    keeper: Keeper | None = None,
    asked_of: Callable[[Variant, Request], Request | None] = lambda variant, request: request,
    ready: Callable[[Variant], Awaitable[None]] | None = None,
    limit: float = math.inf,
    text_field: str = "text",
    judge: Callable[[Sequence[Told]], Awaitable[None]] | None = None,
) -> Callable[[Variant], AsyncGenerator[Generation, None]]:
    """The inner stream of one variant: opens its generation and offers it in the store.

    ::

        plan wants it   |-------------------------------|
        generation      (opened)--t-t-t-t-t-|           (lease released)
        emits                               G

    Emits the generation once it is complete. Its lease is held until the stream is closed; if
    nobody else has adopted the generation by then, its connection is closed, and the close is
    awaited. A generation that fails, or whose text is ``flawed``, is taken out of the store, and
    the stream ends. So does one that is not whole ``limit`` seconds after its model was asked: it
    is closed then, unless a telling has adopted it, which has a deadline of its own. A variant that
    the world keeps revoking waits longer and longer, up to 4 s, before it is asked for again, so
    that a state that never holds still does not cost a request at every tick. What ``keeper`` has
    as the answer to this very request is not asked for again, and costs nothing; for any other,
    ``asked_of`` says what is asked of which model, and says nothing where no budget affords it.
    Before it is made, it waits until what its prompt may need is ``ready``.

    Of a trunk each tail is offered by itself, and those that are whole stay, however its stream
    ends. A telling has its text in ``text_field``. What ``judge`` does not clear goes as what is
    flawed does; a telling that adopts it before that is known has it judged.
    """
    lost: dict[Slot, tuple[int, float]] = {}  # how often of late, and when it was last begun

    def opened(variant: Variant, request: Request) -> Generation:
        ends = variant.endings
        return generations.open(
            request,
            (variant.depends,) if variant.account is None else (),
            revision=variant.scene.world.revision,
            value=variant.value,
            actor=variant.declared.actor,
            action=variant.declared.action.get("name"),
            target=variant.target,
            result=variant.result,
            source=variant.source,
            **({"endings": [(each.target, each.result) for each in ends]} if ends else {}),
        )

    async def whole(generation: Generation) -> None:
        """Wait for its end, or that of its time."""

        def expire() -> None:
            left = limit - generation.age
            if left > LEAST_LEFT:  # it has waited for its turn
                alarm.set(timers.time() + left)
            elif not generation.adopted:
                generation.close(EXPIRED)

        alarm = timers.alarm(f"limit {generation.id}", expire)
        if math.isfinite(limit):
            alarm.set(timers.time() + limit)
        try:
            await generation.text.whole()
        finally:
            alarm.cancel()

    async def prepare(variant: Variant) -> AsyncGenerator[Generation, None]:
        times, last = lost.get(variant.slot, (0, 0.0))
        if variant.scene.world.t - last > FORGOTTEN:
            times = 0
        if times >= RESTLESS:
            calm = CALM * 2 ** min(times - RESTLESS, MOST_DOUBLINGS)
            await sleep(timers, f"calm {variant.slot}", calm)
        if ready is not None:
            await ready(variant)
        request = request_for(variant, variant.tells)
        if request is None:
            return
        generation = None
        if keeper is not None:
            generation = keeper.recall(variant, request, generations)
            if generation is None and keeper.shared:
                if not await keeper.fetch(variant, request):
                    return
                generation = keeper.recall(variant, request, generations)
        if generation is None:
            chosen = asked_of(variant, request)
            if chosen is None:
                return
            request, generation = chosen, opened(variant, chosen)
        lease = generation.lease()
        tails = Tails(generation, variant, text_field, flawed) if variant.endings else None
        offered: list[tuple[Variant, Told]] = [(variant, generation)]
        told: Sequence[Told] = [generation]
        if tails is not None:
            offered += [(tail.variant, tail) for tail in tails.each]
            told = tails.each
        for each in offered:
            store.put(*each)
        try:
            await whole(generation)
            sound = generation.alive and (tails is not None or not flawed(generation.written))
            if not (sound if tails is None else tails.usable):
                return
            if judge is not None:
                await judge([each for each in told if each.phase is Phase.DONE])
                for each in offered:
                    if each[1] in told and not each[1].cleared:
                        store.discard(*each)
                if not (generation.usable and any(each.cleared for each in told)):
                    return
            if keeper is not None and sound:
                keeper.keep(variant, request, generation)
            yield generation
            await asyncio.get_running_loop().create_future()
        finally:
            if generation.revoked:
                lost.pop(variant.slot, None)
                lost[variant.slot] = times + 1, variant.scene.world.t
                while len(lost) > REMEMBERED:
                    del lost[next(iter(lost))]
            for each in offered:
                store.discard(*each)
            lease.release("superseded")
            if generation.leases == 0:
                await _gone(generation)

    return prepare


async def _gone(generation: Generation) -> None:
    """Wait until nothing of it runs; a plan that drops it only now has to wait as well."""
    try:
        await generation.closed()
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling() == 1:
            await generation.closed()
        raise


def revoke(generations: Generations) -> Callable[[Observable[World]], Observable[Generation]]:
    """Close what an unexpected change has made untrue, at once, whoever holds it (G1).

    ::

        world     --w-------w(goblin removed)---w--
        revoked   ----------g1-g2------------------

    A generation of which something has been delivered to a viewer is left: its telling is bound
    to its outcome. So is one that tells what has happened, where nothing but that moment is over.
    Emits what it closed. Finished ones are closed too: their leases lapse.
    """

    def revoking(source: Observable[World]) -> Observable[Generation]:
        def subscribe(
            observer: abc.ObserverBase[Generation], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            harmless: dict[Change, int] = {}  # how many had been opened when none depended on it

            def on_next(world: World) -> None:
                for change in world.fresh:
                    if harmless.get(change) == generations.opened:
                        continue
                    leaves = only_leaves(world, change)
                    doubtful = [
                        each
                        for each in generations.live
                        if any(depends.on(change) for depends in each.depends)
                        and not (leaves and each.tells)
                    ]
                    if not doubtful:
                        harmless[change] = generations.opened
                        if len(harmless) > REMEMBERED:
                            del harmless[next(iter(harmless))]
                    for generation in doubtful:
                        if generation.doubtful:
                            generation.revoke()
                            observer.on_next(generation)

            return source.subscribe(on_next, observer.on_error, observer.on_completed)

        return Observable(subscribe)

    return revoking
