"""Parts of what is stored, each good by itself: the steps of a plan, the trunk of a narrative."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..operators.fingerprint import Dependence
from ..streams.footprint import Path
from .store_entry import FREE
from .store_guard import Condition
from .variant_store import VariantStore

__all__ = ["Part", "parts_of", "store_parts"]


@dataclass(frozen=True, slots=True)
class Part:
    """A part: its name, its value (JSON), and what of the state it depends on by itself."""

    name: str
    value: Any
    depends: Dependence | Iterable[Path] = field(default=FREE, compare=False)
    guard: Iterable[Condition] = field(default=(), compare=False)


def store_parts(
    store: VariantStore,
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

    Arguments are those of :meth:`VariantStore.store`. All parts of a key go by the tag
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
            tags=(f"part:{key}",),
            turn=turn,
            value=value,
        )


def parts_of(
    store: VariantStore,
    key: str,
    names: Iterable[str],
    fingerprint: str = "",
    *,
    state: Mapping[str, Any] | None = None,
    chain: bool = False,
) -> list[Part]:
    """The parts that are still good, in the order asked for.

    :param chain: each makes sense only after the one before: the first that is not good ends it.
    """
    good: list[Part] = []
    for name in names:
        found = store.ready(_name(key, name), fingerprint, state=state)
        if found is not None:
            good.append(Part(name, found[0]))
        elif chain:
            break
    return good


def _name(key: str, part: str) -> str:
    return f"{key}#{part}"
