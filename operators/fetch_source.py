"""Where content comes from: what a source is, and how a plain function becomes one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import orjson

if TYPE_CHECKING:
    from .schedule_items import Item, Kind

__all__ = ["CHARACTERS", "Content", "Source", "contents", "each", "measured"]

CHARACTERS = 4
"""A token, of a text that was not counted."""
NUMBERED = orjson.OPT_NON_STR_KEYS
"""Content by number is measured as well."""


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

    An exception ends the call; what it gave before that stays good, and if more than one is left,
    each is asked for once more by itself. It is cancelled when nobody wants it any more, and
    closed then.
    """

    def __call__(self, items: Sequence[Item]) -> AsyncIterator[Content]:
        """The content of items, in any order; what is left out counts as failed."""
        ...


def each(fetch: Callable[[Item], Awaitable[Any]]) -> Source:
    """A source of a function that fetches one item; asked for several, it fetches them in turn.

    What it raises for one costs the others nothing.
    """

    async def source(items: Sequence[Item]) -> AsyncIterator[Content]:
        failed: Exception | None = None
        for item in items:
            try:
                value = await fetch(item)
            except Exception as error:
                failed = failed or error
            else:
                yield Content(item.key, value)
        if failed is not None:
            raise failed

    return source


async def contents(kind: Kind, items: Sequence[Item]) -> AsyncGenerator[Content, None]:
    """What the source of a kind gives, as it comes; it is closed at the end, however that comes.

    :raises LookupError: for a kind without one.
    :raises TypeError: for one that is no async generator.
    :raises ValueError: after one content more than was asked for: it may go on for ever.
    """
    if kind.source is None:
        raise LookupError(f"nothing fetches what is of the kind {kind.name}")
    asked = len(items)  # a source may consume the list
    made: Any = kind.source(items)
    if inspect.iscoroutine(made):
        made.close()
        raise TypeError("it gives a value, and not one after the other: wrap it in each()")
    stream = aiter(made)
    try:
        given = 0
        async for content in stream:
            if (given := given + 1) > asked:
                raise ValueError("its source gives more than it was asked for")
            yield content
    finally:
        close = getattr(stream, "aclose", None)
        if close is not None:
            await close()


def measured(value: Any) -> int:
    """The tokens of content that was not counted: of its text, or of its JSON."""
    text = value if isinstance(value, (str, bytes)) else orjson.dumps(value, str, NUMBERED)
    return -(-len(text) // CHARACTERS)
