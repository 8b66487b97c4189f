"""Where stat blocks, spell lists, lore and voices come from: the one small interface."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from ..errors import ConfigError
from .content_names import Index, plain
from .said import brief

__all__ = ["Ask", "ContentMapping", "ContentSource", "Library", "kind_of"]

NOTHING: Mapping[str, Any] = MappingProxyType({})

KINDS = {
    "monsters": "stat_block",
    "bestiary": "stat_block",
    "statblocks": "stat_block",
    "spelllists": "spell_list",
    "spells": "spell",
}
"""What the kind is called whose entries are called so in the world."""
PREFIX = re.compile(r"^(\d+e)?[-_ ]*srd[-_ ]*", re.IGNORECASE)
BRIEF = 240
"""Characters of a spell in a list of many."""


class Ask(NamedTuple):
    """What is asked for.

    :param kind: ``stat_block``, ``spell_list``, ``lore``, ``voice``, or one of the game's own.
    :param names: what it may be called, the surest first, as players write it.
    :param about: what the game's state says of it: an actor's sheet, or nothing.
    :param key: its name among all content of a session.
    """

    kind: str
    names: tuple[str, ...]
    about: Mapping[str, Any] = NOTHING
    key: str = ""


class ContentSource(Protocol):
    """Where content comes from. Whatever it does, the game does not wait for it.

    A source that notices when its content changes may also have a method ``changes()``, an async
    generator of the kinds that have (or of ``kind:name``). It is read while a session is open.
    """

    async def find(self, ask: Ask) -> Any:
        """The content as plain JSON; ``None`` if there is none.

        It is cancelled when nobody wants it any more. What it raises is reported, and another
        attempt made later.
        """
        ...


class Library:
    """Content by kind, and by name as players write it: what the sources that ship look it up in.

    A spell list that is not there by its own name is made of the spells that the sheet of an actor
    names, or else of those of its class.

    :param shelves: by kind, objects with a ``name`` (or ``index``), or content by name.
    """

    def __init__(self, shelves: Mapping[str, Any]) -> None:
        self._shelves = {
            kind_of(kind): Index(_entries(shelf), creatures=kind_of(kind) == "stat_block")
            for kind, shelf in shelves.items()
        }
        self._spells = [
            spell
            for kind, shelf in shelves.items()
            if kind_of(kind) == "spell"
            for _, spell in _entries(shelf)
            if isinstance(spell, Mapping)
        ]

    def find(self, ask: Ask) -> Any:
        """See :class:`ContentSource`."""
        shelf = self._shelves.get(kind_of(ask.kind))
        found = shelf.find(ask.names, ask.about) if shelf is not None else None
        if found is None and ask.kind == "spell_list" and self._spells:
            return self._spell_list(ask.about)
        return found

    def _spell_list(self, about: Mapping[str, Any]) -> Any:
        spells = self._shelves["spell"]
        known = names_in(about.get("spells"))
        if known:
            found = {name: spells.find((name,), NOTHING) for name in known}
            return {name: _brief(spell) for name, spell in found.items() if spell is not None}
        classes = {word for word in plain(str(about.get("class") or "")).split() if word.isalpha()}
        if not classes:
            return None
        theirs = [spell for spell in self._spells if classes & _classes(spell)]
        return {"known": [spell["name"] for spell in theirs]} if theirs else None


class ContentMapping:
    """Content from a Python mapping: by kind, then by name.

    What is put into the mapping later is found with the next look; call ``game.content_changed()``
    for what was there before. See :class:`Library`.

    :raises ConfigError: for a kind that is neither content by name nor a list with names; found
        later, it is the same error, of what is asked for.
    """

    def __init__(self, shelves: Mapping[str, Any]) -> None:
        for kind, shelf in shelves.items():
            _check(kind, shelf)
        self.shelves = shelves

    async def find(self, ask: Ask) -> Any:
        """See :class:`ContentSource`."""
        wanted = ("spell_list", "spell") if ask.kind == "spell_list" else (ask.kind,)
        of = {kind: shelf for kind, shelf in self.shelves.items() if kind_of(kind) in wanted}
        for kind, shelf in of.items():
            _check(kind, shelf)
        return Library(of).find(ask)


def kind_of(name: str) -> str:
    """The kind that a file or a key names: ``stat_block`` of ``5e-SRD-Monsters``."""
    words = re.findall(r"[^\W_]+", PREFIX.sub("", name).casefold())
    joined = "".join(words)
    if (known := KINDS.get(joined) or KINDS.get(f"{joined}s")) is not None:
        return known
    kind = "_".join(words)
    return kind[:-1] if kind.endswith("s") and not kind.endswith("ss") else kind


def names_in(listed: Any) -> list[str]:
    """The names in a list of names, or of objects that have one."""
    found = []
    for each in listed if isinstance(listed, Sequence) and not isinstance(listed, str) else ():
        name = each.get("name") if isinstance(each, Mapping) else each
        if isinstance(name, str) and name:
            found.append(name)
    return found


def _check(kind: Any, shelf: Any) -> None:
    listed = isinstance(shelf, list | tuple)
    if not isinstance(kind, str) or not (listed or isinstance(shelf, Mapping)):
        raise ConfigError(
            f"content: {brief(kind)} is {brief(shelf)}: choose content by name, or a list of "
            "objects with a name"
        )
    if listed and shelf and not any(names for names, _ in _entries(shelf)):
        raise ConfigError(f"content: nothing in the list of {brief(kind)} is an object with a name")


def _entries(shelf: Any) -> Iterable[tuple[Sequence[str], Any]]:
    if isinstance(shelf, Mapping):
        return [((str(name),), value) for name, value in shelf.items()]
    named = [each for each in shelf if isinstance(each, Mapping)]
    return [
        (tuple(str(each[key]) for key in ("name", "index") if each.get(key)), each)
        for each in named
    ]


def _classes(spell: Mapping[str, Any]) -> set[str]:
    return {plain(name) for name in names_in(spell.get("classes"))}


def _brief(spell: Any) -> Any:
    """What of a spell stands in a list of many: what it looks like, and no rules."""
    if not isinstance(spell, Mapping):
        return spell
    told = spell.get("desc")
    text = " ".join(told) if isinstance(told, list) else str(told or "")
    first = text.partition(". ")[0]
    school = spell.get("school")
    named = school.get("name") if isinstance(school, Mapping) else school
    brief = {"level": spell.get("level"), "school": named, "desc": first[:BRIEF]}
    return {key: value for key, value in brief.items() if value not in (None, "")}
