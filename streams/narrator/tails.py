"""The narrator's trunks: how something begins, and a telling for each thing it may come to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from .facts import find_facts
from .grammar import Story, tell, wind_up

__all__ = ["Trunk", "trunk_for"]


class Trunk(NamedTuple):
    """What all endings share, and by what each is named the story of it, and its schema."""

    text: str
    tails: list[tuple[Any, Story]]
    schema: Mapping[str, Any]


def trunk_for(prompt: str, said: str, seed: int, schema: Mapping[str, Any]) -> Trunk | None:
    """What a prompt with ``endings`` asks for; nothing, if it has none, or asks for another form.

    :param said: what stands before the prompt.
    """
    facts = find_facts(prompt) or {}
    raw, telling = facts.get("endings"), _telling(schema)
    endings = [each for each in raw if isinstance(each, dict)] if isinstance(raw, list) else []
    if not endings or telling is None:
        return None
    common = facts.get("telling")
    endings = [{**(common if isinstance(common, dict) else {}), **each} for each in endings]
    rest = {name: facts[name] for name in facts if name not in ("telling", "endings")}
    tails = []
    for ending in endings:
        one = {**rest, "tellings": [ending], "slots": ending.get("slots")}
        story = tell(f"Tell this.\nFACTS {orjson.dumps(one).decode()}", said, seed, opened=True)
        tails.append((ending.get("of"), story))
    named = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return Trunk(wind_up(endings[0], said, seed), tails, {**telling, **named})


def _telling(schema: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The schema of a telling, in one that asks for a trunk and tails."""
    found: Any = schema
    for name in ("properties", "tails", "items", "properties", "telling"):
        found = found.get(name) if isinstance(found, Mapping) else None
    trunk = isinstance(found, Mapping) and "trunk" in schema["properties"]
    return found if trunk else None
