"""The blocks of an answer, each as a stream of its own: several tool calls stay apart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, asynccontextmanager
from typing import cast

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable, RefCountDisposable

from ..streams.closing import to_the_end
from ..streams.models import ModelCut, ModelEvent, ModelRefusal, Stop
from ..streams.replay_buffer import ReplayBuffer
from .block_stream import BlockStream, Splitter
from .publish import Fault

__all__ = ["BlockStream", "blocks", "reading_blocks"]

_LEFT = "the answer was left before its end; what came before it is usable"


def _refusal(event: ModelEvent) -> ModelRefusal | None:
    if not isinstance(event, Stop) or event.reason != "refusal":
        return None
    why = f": {event.detail}" if event.detail else ""
    return ModelRefusal(f"the model declined to write this{why}")


def blocks(
    fault: Fault | None = None,
) -> Callable[[Observable[ModelEvent]], Observable[BlockStream]]:
    """Split a model's answer into its blocks, however they are interleaved.

    ::

        events    [0-a--[1--b--c--0]--d--1]--|      [0: block 0 begins; 0]: it ends
        blocks    0-----1--------------------|
        block 0   --a-------c--|
        block 1         ---b----------d--|
        late to 0           (ac)|

    So ``events.pipe(blocks(), flat_map(lambda block: block.deltas.pipe(partials(Plan))))`` reads
    several tools' inputs side by side; ``filter(lambda block: block.name == "plan")`` picks one's.
    Usage and the reason of the end are no block's: read them from the same events.

    An error of the source goes to each block that is open, then to the subscriber; so does a
    refusal, as :class:`~foretell.streams.models.ModelRefusal`. Rx's ``flat_map`` ends with the
    first of them: ``catch(empty())`` behind ``partials`` leaves each block the time to say what of
    it is usable, and the error comes after the last. A source that completes ends the
    blocks it left open. The source is left once the subscriber and all subscribers of blocks are
    gone, so ``take(1)`` gives the first block whole.

    :param fault: told of what a subscriber of a block raises; it gets nothing more, the others go
        on. Without it that goes on to the source, as with Rx's own operators.
    """

    def split(source: Observable[ModelEvent]) -> Observable[BlockStream]:
        def subscribe(
            observer: abc.ObserverBase[BlockStream], _: abc.SchedulerBase | None = None
        ) -> abc.DisposableBase:
            reading = CompositeDisposable()
            shared = RefCountDisposable(reading)
            splitter = Splitter(observer.on_next, fault, lambda: shared.disposable)
            reading.add(Disposable(lambda: splitter.end(ModelCut(_LEFT))))

            def on_next(event: ModelEvent) -> None:
                if (refusal := _refusal(event)) is None:
                    splitter.feed(event)
                else:
                    on_error(refusal)

            def on_error(error: Exception) -> None:
                splitter.end(error)
                observer.on_error(error)

            def on_completed() -> None:
                splitter.end()
                observer.on_completed()

            reading.add(source.subscribe(on_next, on_error, on_completed))
            return shared

        return Observable(subscribe)

    return split


@asynccontextmanager
async def reading_blocks(
    events: AsyncGenerator[ModelEvent, None],
) -> AsyncGenerator[AsyncGenerator[BlockStream, None], None]:
    """The blocks of a model's answer for async code, with its errors as :func:`blocks` has them.

    ::

        async with reading_blocks(model.stream(request)) as found:
            async for block in found:
                async for piece in block.texts(): ...

    Blocks may be read one after the other or by several tasks at once: what nobody reads yet is
    kept. A failure of the answer is raised after the last block.

    Leaving closes the stream and awaits that, however it is left; a block that was still open then
    ends with :class:`~foretell.streams.models.ModelCut` for whoever still reads it.
    """
    found: ReplayBuffer[BlockStream] = ReplayBuffer()
    splitter = Splitter(found.append)
    failure: Exception | None = None

    async def read() -> None:
        async with aclosing(events):
            async for event in events:
                splitter.feed(event)
                if (refusal := _refusal(event)) is not None:
                    raise refusal

    def over(task: asyncio.Task[None]) -> None:
        nonlocal failure
        failure = ModelCut(_LEFT)
        if not task.cancelled():
            failure = cast("Exception | None", task.exception())
        splitter.end(failure)
        found.end()

    async def each() -> AsyncGenerator[BlockStream, None]:
        async with aclosing(found.follow()) as following:
            async for block in following:
                yield block
        if failure is not None:
            raise failure

    task = asyncio.get_running_loop().create_task(read(), name="blocks")
    task.add_done_callback(over)
    try:
        async with aclosing(each()) as following:
            yield following
    finally:
        task.cancel()
        await to_the_end(asyncio.wait((task,)))
