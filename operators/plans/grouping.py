"""Who is asked about with whom: in which order, and how many in one request."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .answer import Share
from .types import Ask, Tier

__all__ = ["InTime", "Key", "Wish", "called", "grouped", "in_order", "shared_out"]

Key = tuple[str, ...]
"""Equal for wishes that are to have one answer: the model first."""
InTime = Callable[[str], bool]


@dataclass(slots=True, eq=False)
class Wish:
    """What is to be asked, and who waits for it: more than one, where their inputs are equal.

    ``alone``: with nobody else in the request. ``since``: it waits longer than a greater number.
    ``in_time``: whether an answer of a model, asked now, may still be of use.
    """

    ask: Ask
    tier: Tier
    told: Mapping[str, Any]
    alone: bool
    since: int
    in_time: InTime
    turns: list[asyncio.Future[Share]] = field(default_factory=list)

    @property
    def wanted(self) -> bool:
        """Whether anybody waits for it still."""
        return any(not turn.done() for turn in self.turns)

    def fail(self, error: Exception) -> None:
        """Nobody is asked."""
        for turn in self.turns:
            if not turn.done():
                turn.set_exception(error)


Wishes = list[tuple[Key, Wish]]


def shared_out(waiting: int, free: int, streams: int, most: int) -> tuple[int, ...]:
    """How many to ask about in each request that can begin now, the most first.

    :param free: of ``streams`` places so many; the others will take their part when they are free.
    :param most: in one request.
    """
    if waiting <= free:
        return (1,)
    now = min(math.ceil(waiting * free / streams), free * most)
    each, more = divmod(max(now, free), free)
    return (*(each + 1,) * more, each)


def in_order(wishes: Wishes, asked: Mapping[str, int]) -> Wishes:
    """Who was not asked about for longest comes first; of equals, who waits longest; by id.

    :param asked: when each agent was last asked about, in any growing number from 1.
    """

    def place(each: tuple[Key, Wish]) -> tuple[int, int, str]:
        agent = each[1].ask.agent
        return asked.get(agent, 0), each[1].since, agent

    return sorted(wishes, key=place)


def grouped(wishes: Wishes, *sizes: int) -> Iterator[Wishes]:
    """In groups of these sizes, and on in the last; each of one tier, who is alone in one."""
    left, number = list(wishes), 0
    while left:
        first = left[0][1]
        size = 1 if first.alone else sizes[min(number, len(sizes) - 1)]
        fit = [each for each in left if not each[1].alone and each[1].tier is first.tier]
        group = left[:1] if first.alone else fit[:size]
        taken = {key for key, _ in group}
        left = [each for each in left if each[0] not in taken]
        number += 1
        yield group


def called(wishes: Sequence[Wish]) -> list[str]:
    """What a prompt calls them: by their ids, short as they are told, each by another."""
    names: dict[str, None] = {}
    for wish in wishes:
        name, number = str(wish.told["id"]), 2
        while name in names:
            name = f"{wish.told['id']} #{number}"
            number += 1
        names[name] = None
    return list(names)
