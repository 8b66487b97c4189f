"""Asking a content source, as the sources of kinds do: in a replay nobody is asked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import replace

from ..streams.content import Ask, ContentSource
from .content_json import as_json
from .fetch_source import Content, Source, measured
from .preload import Preload
from .schedule_items import Item, Kind, Kinds, Priority

__all__ = ["kinds_asking"]


def kinds_asking(
    source: ContentSource | None, preloads: Iterable[Preload], asks: Mapping[str, Ask]
) -> Kinds:
    """The kinds of preloads, each with its own source, or with the one of the game.

    What a source gives is made plain JSON, and refused if it is none, or too large.

    :param source: ``None`` for a replay: then no kind has a source that says anything.
    :param asks: what to ask for, by key; looked into when it is asked.
    """

    async def asked(items: Sequence[Item]) -> AsyncIterator[Content]:
        assert source is not None
        for item in items:
            yield Content(item.key, await source.find(asks[item.key]))

    kinds, known = Kinds(), dict[str, None]()
    for preload in preloads:
        kind = preload.kind
        if isinstance(kind, str):
            if kind in known:
                continue
            kind = kinds.get(kind) or Kind(kind, Priority.BACKGROUND)
        known[kind.name] = None
        own = _silence if source is None else _checked(kind.source or asked)
        kinds.register(replace(kind, source=own))
    return kinds


def _checked(source: Source) -> Source:
    async def checked(items: Sequence[Item]) -> AsyncIterator[Content]:
        async for content in source(items):
            key, value, tokens = Content(*content)
            value = as_json(value)
            size = measured(value)  # a source may say more, but not less
            yield Content(key, value, size if tokens is None else max(size, tokens))

    return checked


async def _silence(items: Sequence[Item]) -> AsyncIterator[Content]:
    await asyncio.get_running_loop().create_future()
    yield Content("", None)
