"""A model's answer for one agent or several, read once, and what each of them has of it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from ..generation import Generation
from .reader import PlansReader, StepReader
from .types import Tier

__all__ = ["Answer", "Share"]


class Answer:
    """The answer to one request, of which each agent that is asked about holds a share.

    It is read as it comes, by whichever of them is first to see a piece; each step is then there
    for the agent whose it is.

    :param names: those who are asked about, as the prompt calls them.
    """

    def __init__(self, generation: Generation, tier: Tier, names: Sequence[str]) -> None:
        self.generation = generation
        self.tier = tier
        self.names = tuple(names)
        self.steps: dict[str, list[Any]] = {name: [] for name in names}
        self.whole: dict[str, None] = {}
        """Those whose plan is complete."""
        self.odd: list[tuple[str, str]] = []
        """Plans in it that are nobody's."""
        self._reader = self._fresh()
        self._read = 0

    def advance(self) -> None:
        """Read what has come since."""
        text = self.generation.text
        fresh = text.items[self._read :]
        self._read += len(fresh)
        for piece in fresh:
            self._take(self._reader.feed(piece))
        if text.ended:
            self._take(self._reader.finish())
            self.whole = dict.fromkeys(self.names)
        elif isinstance(self._reader, PlansReader):
            self.whole = self._reader.whole
        if isinstance(self._reader, PlansReader):
            self.odd = self._reader.odd

    def as_if_ended(self, name: str) -> list[Any]:
        """The steps of an agent, if what has come until now were all."""
        self.advance()
        if self.generation.text.ended:
            return self.steps[name]
        reader, text = self._fresh(), "".join(self.generation.text.items)
        return _of(name, [*reader.feed(text), *reader.finish()], isinstance(reader, PlansReader))

    def _fresh(self) -> StepReader | PlansReader:
        return PlansReader(self.names) if len(self.names) > 1 else StepReader()

    def _take(self, found: list[Any]) -> None:
        several = isinstance(self._reader, PlansReader)
        for name in self.names:
            self.steps[name] += _of(name, found, several)


class Share:
    """What one agent has of an answer, while it comes; the last share given back closes it.

    ::

        answer   {"plans":[{"agent":"a","steps":[1 2]},{"agent":"b","steps":[3 ]}]}|
        of a                                     1 2 |
        of b                                                                 3  |
    """

    def __init__(self, answer: Answer, name: str, *, leads: bool = False) -> None:
        self.leads = leads
        """Whether it is the first of those for whom the request was made."""
        self.generation = answer.generation
        self.tier = answer.tier
        self.several = len(answer.names) > 1
        """Whether others are asked about in the same request."""
        self._answer = answer
        self._name = name
        self._lease = answer.generation.lease()
        self._taken = 0

    def release(self, reason: str) -> None:
        """Give it back; more than once is fine."""
        self._lease.release(reason)

    async def pieces(self, *, streaming: bool = True) -> AsyncGenerator[list[Any], None]:
        """With each piece of the answer the steps that it completes, as they were written.

        It ends when this agent's plan is complete and others are still to come; whose comes last
        hears the end of the answer, and what it has cost.

        :param streaming: else they are left to :meth:`rest`.
        :raises ModelError: the model's failure, after what came before it.
        :raises GenerationClosed: if the answer was closed before its end.
        """
        async with aclosing(self.generation.chunks()) as chunks:
            async for _ in chunks:
                self._answer.advance()
                yield self._fresh(self._answer.steps[self._name]) if streaming else []
                whole = self._answer.whole
                if streaming and self._name in whole and len(whole) < len(self._answer.names):
                    return

    def rest(self) -> list[Any]:
        """The steps that were not taken yet, as if no more were to come."""
        return self._fresh(self._answer.as_if_ended(self._name))

    def _fresh(self, steps: list[Any]) -> list[Any]:
        fresh = steps[self._taken :]
        self._taken += len(fresh)
        return fresh


def _of(name: str, found: list[Any], several: bool) -> list[Any]:
    return [step for agent, step in found if agent == name] if several else found
