"""Where content comes from: what a source is, and how a plain function becomes one."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from .schedule_items import Item

__all__ = ["Content", "Source", "each"]


class Content(NamedTuple):
    """What a source gives for an item.

    :param key: the item's.
    :param tokens: how many it is; measured, if not said.
    """

    key: str
    value: Any
    tokens: int | None = None


class Source(Protocol):
    """Fetches items of one kind, several in one call where the kind says so.

    ::

        asked    (a b c)
        gives    ---b---a------c|     each as soon as it is there

    An exception ends the call; what it gave before that stays good. It is cancelled when nobody
    wants it any more, and closed then.
    """

    def __call__(self, items: Sequence[Item]) -> AsyncIterator[Content]:
        """The content of items, in any order; what is left out counts as failed."""
        ...


def each(fetch: Callable[[Item], Awaitable[Any]]) -> Source:
    """A source of a function that fetches one item; asked for several, it fetches them in turn."""

    async def source(items: Sequence[Item]) -> AsyncIterator[Content]:
        for item in items:
            yield Content(item.key, await fetch(item))

    return source
