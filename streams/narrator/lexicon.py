"""Words for people and things: what a weapon or spell is, and how a name is said again.

The tables in ``lexicon.json`` match stems anywhere in a name, first match wins, so ``Flametongue
Longsword`` is a blade and ``Melf's Acid Arrow`` is acid. A name that none knows is told in general
words.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import orjson

__all__ = ["Named", "Tool", "clean", "named", "possessive", "spell_element", "title", "tool"]


@lru_cache(maxsize=1)
def _tables() -> dict[str, Any]:
    tables: dict[str, Any] = orjson.loads(Path(__file__).with_name("lexicon.json").read_bytes())
    return tables


@lru_cache(maxsize=4096)
def clean(text: str, limit: int = 60) -> str:
    """One short line without anything that could pass for a hole or a line of its own."""
    text = text.encode("utf-8", "ignore").decode()
    line = " ".join(text.translate({123: 40, 125: 41, 91: 40, 93: 41}).split())
    return line if len(line) <= limit else line[:limit].rsplit(" ", 1)[0]


def possessive(name: str) -> str:
    """``Mira's``."""
    return f"{name}'s"


def title(name: str) -> str:
    """The name of a spell or feat as it is written in prose: ``Ray of Frost``."""
    small = ("of", "the", "and", "a", "an", "in", "to", "from")
    words = name.split()
    return " ".join(w if w in small and i else w[:1].upper() + w[1:] for i, w in enumerate(words))


@dataclass(frozen=True, slots=True)
class Named:
    """Someone in the story: the name, how to say it again, and the pronouns for it."""

    name: str
    again: str
    its: str
    it: str
    itself: str
    person: bool


@lru_cache(maxsize=4096)
def named(raw: str) -> Named:
    """How to speak of ``raw``: the id ``goblin-2`` becomes ``Goblin 2``, then ``the goblin``."""
    name = clean(raw)
    if re.fullmatch(r"[a-z0-9]+([-_][a-z0-9]+)*", name):
        name = re.sub(r"[-_]", " ", name).title()
    if name.startswith("The "):
        name = "the " + name[4:]
    kind = re.sub(r"\s*(\(.*\)|#?\d+|\b[A-Z])$", "", name)
    species = kind.removeprefix("the ").lower()
    last = species.split()[-1] if species else ""
    creature, person = last in _tables()["creatures"], last in _tables()["people"]
    numbered = kind != name and bool(last) and not re.search(r"\d", species)
    if numbered and not (creature or person):  # of SH1 nothing is left that could be said
        numbered = len(species) >= 3 and not name[len(kind)].isdigit()
    if creature or (numbered and not person):
        said = name if numbered or name.startswith("the ") else f"the {name}"
        return Named(said, f"the {species}", "its", "it", "itself", False)
    again = f"the {species}" if person and (numbered or name.startswith("the ")) else name
    return Named(name, again, "their", "them", "themself", True)


@dataclass(frozen=True, slots=True)
class Tool:
    """What an attack is made with: its kind, and how it is said in full and again."""

    kind: str
    full: str
    again: str
    shot: str = "arrow"


@lru_cache(maxsize=1024)
def tool(raw: str) -> Tool:
    """The weapon of an attack, from its name."""
    name = clean(raw)
    head, _, tail = name.partition(",")
    name = f"{tail.strip()} {head}" if tail else head
    words = re.sub(r"\(.*?\)", " ", name).split()
    name = " ".join(w for w in words if not re.search(r"\d", w))
    lower = name.lower()
    for entry in _tables()["weapons"]:
        if not re.search(entry["stems"], lower):
            continue
        kind, noun = entry["kind"], entry["noun"]
        if kind in ("natural", "slam", "fist"):
            limb = next((said for stem, said in _tables()["limbs"].items() if stem in lower), "")
            return Tool(kind, limb or ("a crushing slam" if kind == "slam" else "bare hands"), noun)
        word = name if "'" in name or _made_up(name) else lower
        if re.search(r"[^s]s$", word):
            word = word.split()[-1].removesuffix("s")
        shot = "bolt" if noun == "crossbow" else "arrow" if noun == "bow" else "shot"
        said = word if re.match(r"(the|a|an) ", word, re.IGNORECASE) else f"the {word}"
        return Tool(kind, said, f"the {noun}", shot)
    if not name or re.search(_tables()["not_weapons"], lower):
        return Tool("strike", "the blow", "the blow")
    return Tool("strike", f"the {re.sub('^[Tt]he ', '', name)}", "the blow")


def _made_up(name: str) -> bool:
    """A made-up name, such as ``Dawnbringer Blade``, keeps its capitals; ``Longsword`` does not."""
    for word in name.split():
        known = any(re.search(entry["stems"], word.lower()) for entry in _tables()["weapons"])
        if not known and word.lower() not in _tables()["plain_words"] and word[:1].isupper():
            return True
    return False


@lru_cache(maxsize=1024)
def spell_element(raw: str, damage_type: str = "") -> str:
    """What a spell is made of: one of the grammar's elements, ``mend`` or ``ward``."""
    lower = clean(raw).lower()
    spells = _tables()["spells"]
    for entry in spells:
        if re.search(entry["stems"], lower):
            return str(entry["element"])
    return damage_type if damage_type in {entry["element"] for entry in spells} else "arcane"
