"""Trunk and tails: one stream with a wind-up, and after it what comes of it, for each ending."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

import orjson

from ..streams.models import ModelInvalid, ModelRefusal
from .generation import Generation, GenerationClosed, Lease, Phase
from .partials import PartialParser
from .predict import Variant
from .slots import slots_in

__all__ = ["Tail", "Tails"]


class Tails:
    """The tails of a stream, read as it is written: each can be told as soon as it is whole.

    ::

        stream     {"trunk": "Mira draws", "tails": [{of 0, hit}, {of 1, miss}, {of 2, cri
        trunk                            |
        hit        (running)                                    done
        miss       (running)                                                 done
        critical   (running)                                                              failed

    A tail that is no telling, or never comes, costs only itself; a stream that is cut off costs
    those that are not whole, one that its model declines to go on with costs all. So does a trunk
    with a slot: nobody knows yet of which ending that would be.

    :param text_field: the field of a telling that holds its text.
    :param flawed: whether a telling, as JSON, is not what was asked for.
    """

    def __init__(
        self,
        stream: Generation,
        variant: Variant,
        text_field: str,
        flawed: Callable[[str], bool],
    ) -> None:
        self.stream = stream
        self.text_field = text_field
        self.flawed = flawed
        self.trunk = ""
        self.begun = False
        """Whether the trunk is over."""
        self.first: Tail | None = None
        """Which of them is told with the trunk: of several, the first."""
        self.each = tuple(Tail(self, variant) for variant in variant.each)
        self._parser = PartialParser(expect="object")
        self._read = self._over = 0
        stream.parts = self
        self.read()

    @property
    def usable(self) -> bool:
        """Whether one of them is whole, and can be told."""
        return any(tail.phase is Phase.DONE for tail in self.each)

    @property
    def share(self) -> float:
        """How much of what was written has reached a viewer, if any has."""
        told = sum(len(tail.text) for tail in self.each if tail.delivered)  # ints
        rest = sum(len(tail.text) for tail in self.each if not tail.delivered)  # ints
        return round(1 - rest / max(1, len(self.trunk) + told + rest), 4)

    def read(self) -> None:
        """Take in what has been written since."""
        fresh = self.stream.text.items[self._read :]
        if not fresh:
            return
        self._read += len(fresh)
        parser = self._parser
        parser.feed("".join(fresh))
        value = parser.value
        if not isinstance(value, dict):
            return
        trunk, tails = value.get("trunk"), value.get("tails")
        self.trunk = trunk if isinstance(trunk, str) else ""
        self.begun = "tails" in value or parser.done(("trunk",))
        for place, tail in enumerate(tails if isinstance(tails, list) else ()):
            if place >= self._over:
                self._take(place, tail)

    def _take(self, place: int, entry: Any) -> None:
        path, parser = ("tails", place), self._parser
        of = entry.get("of") if isinstance(entry, dict) and parser.done((*path, "of")) else None
        over = parser.done(path)
        self._over += over
        if type(of) is not int or not 0 <= of < len(self.each) or not self.begun:
            return
        lost = any(known[: len(path)] == path for known in parser.lost)
        self.each[of].take(entry.get("telling"), over=over, lost=lost)


class Tail:
    """What is told of a stream if it comes to one ending: the trunk, and its tail.

    Of several that are told together the first has the trunk, and the others have it no more. See
    :class:`~.generation.Told` for what it has in common with a stream.
    """

    def __init__(self, tails: Tails, variant: Variant) -> None:
        self.variant = variant
        self.delivered = False
        self.cleared = False
        self.text = ""
        self._tails = tails
        self._telling: Mapping[str, Any] | None = None
        self._phase: Phase | None = None

    def __repr__(self) -> str:
        return f"<Tail of {self.id} for {self.variant.result} [{self.phase}]>"

    @property
    def stream(self) -> Generation:
        """The stream it is of."""
        return self._tails.stream

    @property
    def id(self) -> str:
        """The id of that."""
        return self.stream.id

    @property
    def opened_at(self) -> float | None:
        """When its model was asked, in seconds."""
        return self.stream.opened_at

    @property
    def phase(self) -> Phase:
        """How far it is; one that is whole stays so, unless its model takes back what it wrote."""
        now = self.stream.phase
        if isinstance(self.stream.error, ModelRefusal):
            return Phase.FAILED
        return self._phase or (Phase.FAILED if now is Phase.DONE else now)

    @property
    def alive(self) -> bool:
        """Whether it can be told, now or later."""
        return not self.stream.revoked and self.phase not in (Phase.FAILED, Phase.CLOSED)

    @property
    def written(self) -> str:
        """What there is of it, as JSON."""
        return self._said(trunk=True)

    def take(self, telling: Any, *, over: bool, lost: bool) -> None:
        """More of it has come; of two that say they are the same, the first counts."""
        if self._phase is not None:
            return
        text = telling.get(self._tails.text_field) if isinstance(telling, dict) else None
        self.text = text if isinstance(text, str) else ""
        if over:
            self._telling = telling if isinstance(telling, dict) else None
            slots = slots_in(self._tails.trunk)
            unfit = lost or slots or self._telling is None or not self.text.strip()
            good = not unfit and not self._tails.flawed(self._said(trunk=True))
            self._phase = Phase.DONE if good else Phase.FAILED

    def lease(self) -> Lease:
        """Take a share in the stream."""
        return self.stream.lease(self)

    def bind(self) -> None:
        """The telling it is part of reaches a viewer: the world cannot revoke it any more."""
        self.stream.bind()

    def deliver(self) -> None:
        """Its text reaches a viewer."""
        self.delivered = True
        self.stream.deliver()

    async def chunks(self) -> AsyncGenerator[str, None]:
        """The telling, as JSON, as it comes; the trunk as soon as there is one.

        :raises ModelError: if it is no telling, or the stream failed before it was whole.
        :raises GenerationClosed: if the stream was closed before.
        """
        tails, stream, seen = self._tails, self.stream, 0
        tails.first = tails.first or self
        while True:
            phase = self.phase
            if stream.revoked or phase is Phase.CLOSED:
                raise GenerationClosed(stream.reason or "revoked")
            said = self._said(trunk=tails.first is self)
            if len(said) > seen:
                yield said[seen:]
                seen = len(said)
            if phase is Phase.DONE:
                return
            if phase is Phase.FAILED:
                raise stream.error or ModelInvalid("the answer has no such ending")
            await stream.text.changed()

    def _said(self, *, trunk: bool) -> str:
        """The telling as far as it is written; what comes is added at its end."""
        tails = self._tails
        before = tails.trunk if trunk else ""
        text = before
        if self.text:
            text += f"{' ' if before and not before[-1].isspace() else ''}{self.text}"
        said = f"{{{_json(tails.text_field)}:{_json(text)[:-1]}"
        if self._telling is None:
            return said
        rest = {name: value for name, value in self._telling.items() if name != tails.text_field}
        return f'{said}",{_json(rest)[1:]}' if rest else f'{said}"}}'


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
