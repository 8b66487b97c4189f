"""Asking a content source, as the sources of kinds do: in a replay nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from ..streams.content import Ask, ContentSource
from .content_json import as_json
from .fetch_source import Content, Source, contents, each, measured
from .preload import Preload
from .schedule_items import Item, Kind, Kinds, Priority

__all__ = ["kinds_asking"]


def kinds_asking(
    source: ContentSource | None, preloads: Iterable[Preload], asks: Mapping[str, Ask]
) -> Kinds:
    """The kinds of preloads, each with its own source, or with the one of the game.

    What a source gives is made plain JSON; what is none, or too large, is left out.

    :param source: ``None`` for a replay: then no kind has a source that says anything.
    :param asks: what to ask for, by key; looked into when it is asked.
    """

    async def find(item: Item) -> Any:
        assert source is not None
        return await source.find(asks[item.key])

    kinds, known = Kinds(), dict[str, None]()
    for preload in preloads:
        kind = preload.kind
        if isinstance(kind, str):
            if kind in known:
                continue
            kind = kinds.get(kind) or Kind(kind, Priority.BACKGROUND)
        known[kind.name] = None
        asked = replace(kind, source=kind.source or each(find))
        kinds.register(replace(kind, source=_silence if source is None else _checked(asked)))
    return kinds


def _checked(kind: Kind) -> Source:
    async def checked(items: Sequence[Item]) -> AsyncIterator[Content]:
        wrong: Exception | None = None
        async with aclosing(contents(kind, items)) as given:
            async for content in given:
                try:
                    key, value, tokens = Content(*content)
                    value = as_json(value)
                    size = measured(value)  # a source may say more, but not less
                    plain = Content(key, value, size if tokens is None else max(size, tokens))
                except Exception as error:
                    wrong = wrong or error
                else:
                    yield plain
        if wrong is not None:
            raise wrong

    return checked


async def _silence(items: Sequence[Item]) -> AsyncIterator[Content]:
    await asyncio.get_running_loop().create_future()
    yield Content("", None)
