"""What of a scene's content the default prompts show: how things look and sound, not the rules."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..streams.content_names import plain

__all__ = ["shown"]

MOST = 600
"""Characters of what is shown whole."""
BRIEF = 240

OF_A_CREATURE = ("size", "type", "subtype", "appearance", "description", "desc")
DONE = ("actions", "reactions", "special_abilities", "legendary_actions")


def shown(kind: str, value: Any, action: Mapping[str, Any], of_actor: bool) -> Any:
    """What a prompt shows of content; ``None`` if there is nothing to show.

    :param action: what is told.
    :param of_actor: whether the content is about who does it.
    """
    if kind == "stat_block" and isinstance(value, Mapping):
        return _creature(value, action if of_actor else {}) or None
    if kind == "spell_list":
        return _spell(value, action) if of_actor else None
    return _whole(value)


def _creature(value: Mapping[str, Any], action: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: _text(value[key], BRIEF) for key in OF_A_CREATURE if _is_text(value.get(key))}
    name = plain(str(action.get("name") or ""))
    for part in DONE:
        listed = value.get(part)
        for each in listed if isinstance(listed, list) else ():
            if isinstance(each, Mapping) and name and plain(str(each.get("name"))) == name:
                return {**found, **_deed(each)}
    return found


def _deed(deed: Mapping[str, Any]) -> dict[str, Any]:
    """What an action looks like: of an attack its sort of damage, for the rest of it is numbers."""
    if deed.get("attack_bonus") is None:
        return {"deed": _text(deed.get("desc"), BRIEF)} if _is_text(deed.get("desc")) else {}
    listed = deed.get("damage")
    sorts = [
        each["damage_type"]["name"].lower()
        for each in (listed if isinstance(listed, list) else ())
        if isinstance(each, Mapping)
        and isinstance(each.get("damage_type"), Mapping)
        and isinstance(each["damage_type"].get("name"), str)
    ]
    return {"wounds": list(dict.fromkeys(sorts))} if sorts else {}


def _spell(value: Any, action: Mapping[str, Any]) -> Any:
    """The spell that is cast, of all that are known."""
    name = plain(str(action.get("name") or ""))
    for each, spell in value.items() if isinstance(value, Mapping) and name else ():
        if plain(each) == name:
            return _whole(spell)
    return None


def _whole(value: Any) -> Any:
    """All of it, if it is not too long; else its beginning."""
    if value is None or isinstance(value, str):
        return _text(value, MOST) if value else None
    raw = orjson.dumps(value).decode()
    return value if len(raw) <= MOST else _text(raw, MOST)


def _is_text(value: Any) -> bool:
    return isinstance(value, str | list) and bool(value)


def _text(value: Any, most: int) -> str:
    text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
