"""One block of a model's answer as a stream, and what sorts an answer's events into them."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from reactivex import Observable, abc
from reactivex.disposable import CompositeDisposable, Disposable

from ..streams.models import Block, BlockEnd, Delta, ModelEvent
from ..streams.replay_buffer import ReplayBuffer
from .publish import Fault

__all__ = ["BlockStream", "Splitter"]


class BlockStream:
    """One block of an answer as it grows; whoever comes late gets it from its beginning.

    ``index``, ``kind``, ``name`` and ``id`` are those of its
    :class:`~foretell.streams.models.Block`.
    """

    def __init__(
        self,
        begun: Block,
        fault: Fault | None = None,
        hold: Callable[[], abc.DisposableBase] = Disposable,
    ) -> None:
        self.index = begun.index
        self.kind = begun.kind
        self.name = begun.name
        self.id = begun.id
        self.deltas: Observable[str] = Observable(self._subscribe)
        """Its pieces: text, or the JSON of a tool's input. Completes when the block ends; an error
        is that of the answer, in mid-block."""
        self._fault = fault
        self._hold = hold
        self._pieces: ReplayBuffer[str] = ReplayBuffer()
        self._error: Exception | None = None
        self._readers: dict[_Reader, None] = {}

    def __repr__(self) -> str:
        status = "ended" if self._pieces.ended else "open"
        what = " ".join(word for word in (self.kind, self.name) if word)
        return f"<BlockStream {self.index} [{what}, {status}, {len(self.text)} characters]>"

    @property
    def text(self) -> str:
        """What has come of it so far."""
        return "".join(self._pieces.items)

    async def texts(self) -> AsyncGenerator[str, None]:
        """Its pieces, for ``async for``.

        :raises ModelError: the failure of the answer, after what came of the block before it.
        """
        async with aclosing(self._pieces.follow()) as pieces:
            async for piece in pieces:
                yield piece
        if self._error is not None:
            raise self._error

    def append(self, piece: str) -> None:
        """A piece more, for all who read."""
        self._pieces.append(piece)
        self._tell()

    def end(self, error: Exception | None = None) -> None:
        """Nothing more comes of it."""
        self._error = error
        self._pieces.end()
        self._tell()

    def _tell(self) -> None:
        for reader in tuple(self._readers):
            self._deliver(reader)

    def _subscribe(
        self, observer: abc.ObserverBase[str], _: abc.SchedulerBase | None = None
    ) -> abc.DisposableBase:
        reader = _Reader(observer)
        self._readers[reader] = None
        held = self._hold()
        self._deliver(reader)

        def leave() -> None:
            self._readers.pop(reader, None)

        return CompositeDisposable(Disposable(leave), held)

    def _deliver(self, reader: _Reader) -> None:
        """All that ``reader`` has not had; what comes while it is busy, it gets after that."""
        if reader.busy:
            return
        reader.busy = True
        pieces = self._pieces.items
        try:
            while reader in self._readers and reader.seen < len(pieces):
                reader.seen += 1
                reader.observer.on_next(pieces[reader.seen - 1])
            if self._pieces.ended and reader in self._readers:
                del self._readers[reader]
                if self._error is None:
                    reader.observer.on_completed()
                else:
                    reader.observer.on_error(self._error)
        except Exception as error:
            self._readers.pop(reader, None)
            if self._fault is None:
                raise
            self._fault("subscriber", error)
        finally:
            reader.busy = False


class _Reader:
    """A subscriber of a block and how much of it it has had."""

    __slots__ = ("busy", "observer", "seen")

    def __init__(self, observer: abc.ObserverBase[str]) -> None:
        self.observer = observer
        self.seen = 0
        self.busy = False


class Splitter:
    """Hands each event to the block it belongs to; one nobody announced begins with its piece.

    :param found: told of each block as it begins.
    :param fault: told of what a subscriber of a block raises; without it that is raised.
    :param hold: called for each subscriber of a block; disposed once that has left.
    """

    def __init__(
        self,
        found: Callable[[BlockStream], None],
        fault: Fault | None = None,
        hold: Callable[[], abc.DisposableBase] = Disposable,
    ) -> None:
        self._found = found
        self._fault = fault
        self._hold = hold
        self._open: dict[int, BlockStream] = {}

    def feed(self, event: ModelEvent) -> None:
        """Take in an event."""
        match event:
            case Delta(text=text, kind=kind, index=index):
                if index not in self._open:
                    self._begin(Block(index, "text" if kind == "text" else "tool_use"))
                self._open[index].append(text)
            case Block():
                self._begin(event)
            case BlockEnd(index=index):
                self._end(index)

    def _begin(self, begun: Block) -> None:
        self._end(begun.index)
        block = self._open[begun.index] = BlockStream(begun, self._fault, self._hold)
        self._found(block)

    def _end(self, index: int) -> None:
        if (ended := self._open.pop(index, None)) is not None:
            ended.end()

    def end(self, error: Exception | None = None) -> None:
        """No event comes any more: the open blocks end so too."""
        ended, self._open = list(self._open.values()), {}
        for block in ended:
            block.end(error)
