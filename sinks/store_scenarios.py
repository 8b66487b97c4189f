"""Common scenarios, to fill a store before the first of them comes: from a file, or a log."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..errors import ForetellError, StateError
from ..streams.events import Input, Outcome
from ..streams.footprint import Path as StatePath
from ..streams.footprint import targets_of
from ..streams.world import Numbered, World, advance
from .store_guard import Condition
from .store_near import Near, NearIndex, NearKey
from .variant_store import VariantStore

__all__ = [
    "Scenario",
    "ScenarioError",
    "compute",
    "each_moment",
    "fill",
    "moments",
    "scenarios",
]

log = logging.getLogger("foretell")

AT_ONCE = 8
AT_A_TIME = 64


class ScenarioError(ForetellError):
    """A file of scenarios cannot be used; the message names file, line and reason."""


class Scenario(BaseModel):
    """A line of a file of scenarios: variants, with the key or the snapshot they are found by.

    The other fields are those of :meth:`VariantStore.store`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: str | None = None
    snapshot: Any = None
    scope: str = ""
    variants: list[Any] = Field(min_length=1)
    ttl: float | None = Field(default=None, gt=0)
    value: float = 1.0
    fingerprint: str = ""
    depends: tuple[StatePath, ...] = ()
    guard: tuple[Condition, ...] = ()
    tags: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _can_be_found(self) -> Scenario:
        if self.key is None and self.snapshot is None:
            raise ValueError("it has neither a key nor a snapshot to be found by")
        return self


def scenarios(path: str | PathLike[str], *, stateless: bool = False) -> Iterator[Scenario]:
    """The scenarios of a file: JSON Lines, blank ones are passed over.

    :param stateless: no state will be known when they are stored: what depends on it is no good.
    :raises ScenarioError: for the first line that is none, or that no store takes.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except OSError as error:
        raise ScenarioError(f"{path}: {error.strerror}") from None
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                known = Scenario.model_validate(orjson.loads(line))
                if stateless and known.depends:
                    raise StateError("depends: no state is known here, so it could never be served")
                if not _store(VariantStore(clock=lambda: 0.0), known):
                    raise StateError("it is larger than an entry may be")
            except ValidationError as error:
                first = error.errors()[0]
                where = ".".join(map(str, first["loc"]))
                why = first["msg"].removeprefix("Value error, ")
                reason = ": ".join(filter(None, (where, why)))
                raise ScenarioError(f"{path}:{number}: {reason}") from None
            except StateError as error:
                raise ScenarioError(f"{path}:{number}: {error}") from None
            except ValueError as error:
                raise ScenarioError(f"{path}:{number}: not JSON: {error}") from None
            yield known


def _key(known: Scenario) -> str:
    return known.key if known.key is not None else VariantStore.name_of(known.snapshot, known.scope)


def _store(store: VariantStore, known: Scenario) -> bool:
    return store.store(
        _key(known),
        known.variants,
        known.ttl,
        fingerprint=known.fingerprint,
        depends=known.depends,
        guard=known.guard,
        tags=("scenario", *known.tags),
        value=known.value,
        snapshot=known.snapshot,
        scope=known.scope,
    )


async def fill(store: VariantStore, known: Iterable[Scenario]) -> int:
    """Store scenarios; how many there are now of them, here or in a shared cache."""
    taken: list[tuple[str, str]] = []
    lost = store.lost
    await store.hear()  # what was said before concerns none of it
    for each in known:
        if _store(store, each):
            taken.append((_key(each), each.fingerprint))
            if len(taken) % AT_A_TIME == 0:
                await store.flush()  # no more may wait to be written than the queue holds
    if store.shared:
        await store.flush()
        return max(0, len(set(taken)) - (store.lost - lost))
    return sum(not store.missing([key], mark) for key, mark in dict.fromkeys(taken))  # ints


async def compute(
    store: VariantStore,
    snapshots: Iterable[Any] | AsyncIterable[Any],
    make: Callable[[Any], Awaitable[list[Any]] | list[Any]],
    *,
    scope: str = "",
    ttl: float | None = None,
    most: int = 50,
) -> int:
    """Compute what is not there yet for snapshots, in their order; how many there are now.

    What fails is left out, and will be made when it is asked for. Cancelled, it begins no more.
    What the source raises goes on to the caller, when what it gave before has been made.

    :param snapshots: the likeliest first: of a log, of a predictor, of anything.
    :param most: no more than so many, for what is stored last drives out what was stored first.
    """
    room = asyncio.Semaphore(AT_ONCE)

    async def one(snapshot: Any) -> int:
        async with room:
            try:
                await store.get_or_compute(snapshot, make, scope=scope, ttl=ttl, ahead=True)
            except Exception as error:
                log.warning("store %r: not warmed up: %r", store.session, error)
                return 0
            return 1

    tasks: list[asyncio.Task[int]] = []
    failed: Exception | None = None
    async with asyncio.TaskGroup() as group:
        try:
            async for each in _first(snapshots, most):
                tasks.append(group.create_task(one(each)))  # noqa: PERF401 - the rest may fail
        except Exception as error:
            failed = error
    if failed is not None:
        raise failed
    return sum(task.result() for task in tasks)  # ints


async def _first(items: Iterable[Any] | AsyncIterable[Any], most: int) -> AsyncIterator[Any]:
    number = 0
    if isinstance(items, AsyncIterable):
        async for item in items:
            if (number := number + 1) > most:
                return
            yield item
    else:
        for item in items:
            if (number := number + 1) > most:
                return
            yield item


def moments(inputs: Iterable[Input], near: Near | None = None) -> list[tuple[Any, int]]:
    """Who did what to whom, as they were then, and how often: the most frequent first.

    A moment is a snapshot with the actor, the action, its targets and the place, as the state had
    them before the outcome. Those that are near each other are one.
    """
    near = near or Near()
    known: NearIndex[_Moment] = NearIndex(near)
    found: list[_Moment] = []
    for snapshot in each_moment(inputs):
        key = near.key(snapshot)
        moment = next(iter(known.search(key)), None)
        if moment is None:
            moment = _Moment(snapshot, key)
            known.add(moment)
            found.append(moment)
        moment.count += 1
    found.sort(key=lambda moment: -moment.count)
    return [(moment.snapshot, moment.count) for moment in found]


@dataclass(eq=False, slots=True)
class _Moment:
    snapshot: Any
    near: NearKey | None
    count: int = 0


def each_moment(inputs: Iterable[Input]) -> Iterator[Any]:
    """The moment of each outcome; see :func:`moments`."""
    world = World()
    for number, event in enumerate(inputs, 1):
        before, world = world, advance(world, Numbered(number, event, event.t))
        if isinstance(event, Outcome):
            declared = world.doing(event)
            yield {
                "actor": {declared.actor: before.actor(declared.actor)},
                "action": {name: declared.action.get(name) for name in ("type", "name", "target")},
                "targets": {each: before.actor(each) for each in targets_of(declared.action)},
                "location": before.state.get("location"),
            }
