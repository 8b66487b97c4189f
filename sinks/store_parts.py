"""Parts of what is stored, each good by itself: the steps of a plan, the trunk of a narrative."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from inspect import isawaitable
from typing import Any

from ..errors import StateError
from ..operators.fingerprint import Dependence
from ..streams.footprint import Path
from ..streams.said import brief
from .store_entry import FREE
from .store_given import dependence_of, texts
from .store_guard import Condition
from .store_lookup import Lookups
from .store_truth import Doubt, concerned

__all__ = ["MakeParts", "Part", "parts_of", "parts_or_made", "store_parts"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its name, its value (JSON), and what of the state it depends on by itself."""

    name: str
    value: Any
    depends: Dependence | Iterable[Path] = field(default=FREE, compare=False)
    guard: Iterable[Condition] = field(default=(), compare=False)


MakeParts = Callable[[list[Part], list[str]], Awaitable[Iterable[Part]] | Iterable[Part]]
"""Makes parts, by the good ones that there are and the names of the others."""


def store_parts(
    store: Lookups,
    key: str,
    parts: Iterable[Part],
    ttl: float | None = 60,
    *,
    state: Mapping[str, Any] | None = None,
    fingerprint: str = "",
    turn: str | None = None,
    value: float = 1.0,
) -> None:
    """Store each part by itself, so that one may be outlived by the others.

    Arguments are those of :meth:`Lookups.store`. All parts of a key go by the tag
    ``part:KEY``.
    """
    for part in parts:
        store.store(
            _name(key, part.name),
            [part.value],
            ttl,
            fingerprint=fingerprint,
            state=state,
            depends=part.depends,
            guard=part.guard,
            tags=(_tag(key),),
            turn=turn,
            value=value,
        )


def parts_of(
    store: Lookups,
    key: str,
    names: Iterable[str],
    fingerprint: str = "",
    *,
    state: Mapping[str, Any] | None = None,
    chain: bool = False,
) -> list[Part]:
    """The parts that are still good, of what need not be waited for, in the order asked for.

    :param chain: each makes sense only after the one before: the first that is not good ends it.
    """
    good: list[Part] = []
    for name in names:
        found = store.ready(_name(key, name), fingerprint, state=state)
        if found:
            good.append(Part(name, found[0]))
        elif chain:
            break
    return good


async def parts_or_made(
    store: Lookups,
    key: str,
    names: Iterable[str],
    make: MakeParts,
    ttl: float | None = 60,
    *,
    state: Mapping[str, Any] | None = None,
    fingerprint: str = "",
    turn: str | None = None,
    value: float = 1.0,
    chain: bool = False,
) -> list[Part]:
    """The parts of a key, in their order; those that are not good any more are made anew.

    A shared cold layer is asked for those that are not here, as :meth:`Lookups.get` does.

    :param make: called with the good ones and the names of the others, if there are such; what it
        raises goes on to the caller. What it does not make is left out. What it makes of something
        that has changed unexpectedly meanwhile, or was invalidated, is not kept.
    :param state: the state they are made for, not to be altered meanwhile; that last told, if none
        is given.
    :param chain: each makes sense only after the one before: all after one that is not good are
        made anew.
    :raises StateError: for names that are no texts, and for what makes no parts.
    """
    wanted = texts("the names of parts", names)
    good = await _found(store, key, wanted, fingerprint, state, chain)
    known = {part.name: part for part in good}
    missing = [name for name in wanted if name not in known]
    if missing:
        if state == store.state:
            state = None  # an expected change takes them along
        with store.doubts() as doubts:
            made = make(good, missing)
            parts = _parts(await made if isawaitable(made) else made)
        sure = [part for part in parts if not _doubtful(key, part, doubts)]
        store_parts(
            store, key, sure, ttl, state=state, fingerprint=fingerprint, turn=turn, value=value
        )
        known |= {part.name: part for part in parts}
    return [known[name] for name in wanted if name in known]


async def _found(
    store: Lookups,
    key: str,
    names: Iterable[str],
    fingerprint: str,
    state: Mapping[str, Any] | None,
    chain: bool,
) -> list[Part]:
    """As :func:`parts_of`, and a shared cold layer is waited for."""
    if not chain:
        asked = (store.get(_name(key, name), fingerprint, state=state) for name in names)
        values = await asyncio.gather(*asked)
        found = zip(names, values, strict=True)
        return [Part(name, value[0]) for name, value in found if value]
    good: list[Part] = []
    for name in names:
        value = await store.get(_name(key, name), fingerprint, state=state)
        if not value:
            break
        good.append(Part(name, value[0]))
    return good


def _parts(made: Any) -> list[Part]:
    parts = [*made] if isinstance(made, Iterable) else [made]
    if not all(isinstance(part, Part) for part in parts):
        raise StateError(f"what makes parts gives a list of Part, not {brief(made)}")
    texts("the names of parts", [part.name for part in parts])
    return [replace(part, depends=dependence_of(part.depends)) for part in parts]


def _doubtful(key: str, part: Part, doubts: Iterable[Doubt]) -> bool:
    return concerned(doubts, _name(key, part.name), (_tag(key),), dependence_of(part.depends))


def _tag(key: str) -> str:
    return f"part:{key}"


def _name(key: str, part: str) -> str:
    """``KEY#PART``; what is after the last ``#`` has none of its own, so that no two names meet."""
    return f"{key}#{part.replace('%', '%25').replace('#', '%23')}"
