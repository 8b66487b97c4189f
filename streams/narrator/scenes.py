"""The narrator's quieter prose: places, answers, and prompts without facts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .grammar import Story
from .lexicon import Named, clean, named
from .voice import Voice, phrases

__all__ = ["answer", "describe", "plain"]

_PLACES: tuple[tuple[str, str], ...] = (
    ("cave|cavern|mine|tunnel|grotto|underdark", "cave"),
    ("forest|wood|grove|jungle|glade", "wood"),
    ("tavern|inn\\b|alehouse|taproom|pub", "tavern"),
    ("crypt|tomb|grave|barrow|catacomb|dungeon|ossuary", "crypt"),
    ("city|town|street|market|alley|square|village|harbour district|quarter", "city"),
    ("hall|castle|keep|palace|manor|throne|tower|room|chamber|library", "hall"),
    ("road|path|trail|crossroad|bridge|pass\\b", "road"),
    ("sea|river|lake|harbor|harbour|dock|ship|shore|beach|coast|falls", "water"),
    ("swamp|marsh|bog|mire|fen\\b", "marsh"),
    ("mountain|cliff|peak|ridge|hill|summit", "height"),
    ("temple|shrine|church|chapel|altar|sanctum|abbey", "shrine"),
)


_WAYS = (
    r"(?:to|into|onto|through|toward|towards|up|down|back|out|over|under|along|across|inside|outside|"
    r"upstairs|downstairs|home|north|south|east|west|left|right|forward|away|in)\b"
)
"""What a way begins with."""


def _sentence(text: str) -> str:
    text = text.strip()
    return text[:1].upper() + text[1:] + ("" if text[-1:] in '.!?"' else ".")


def _name_of(value: Any) -> str:
    if isinstance(value, dict):
        value = value.get("name") or value.get("id")
    return clean(value) if isinstance(value, str) else ""


def _exits(value: Any) -> list[str]:
    exits = value.get("exits") if isinstance(value, dict) else None
    if isinstance(exits, dict):
        exits = list(exits)
    return [n for e in exits if (n := _name_of(e))][:4] if isinstance(exits, list) else []


def _way(name: str) -> str:
    """How one says which way somebody goes."""
    said = name.strip().lower()
    return said if re.match(_WAYS, said) else "onward"


def describe(
    facts: Mapping[str, Any],
    actor: Named | None,
    goal: Named | None,
    voice: Voice,
    *,
    way: str = "",
    behind: Any = None,
) -> Story:
    """A place, as somebody comes to it or looks around; who goes some ``way`` has left it.

    :param behind: the place the way leads to, where that is known.
    """
    book = phrases()
    where = behind or facts.get("location") or facts.get("place")
    leaves = actor is not None and goal is None and not _name_of(behind)
    name = goal.name if goal else "" if leaves else _name_of(where)
    place = re.sub(r"^The ", "the ", name) or "this place"
    kind = next((k for stems, k in _PLACES if re.search(rf"\b(?:{stems})", place.lower())), "any")
    if leaves:
        template = voice.pick("way", book["way"]).replace("[way]", _way(way))
    else:
        template = voice.pick("come", book["arrive" if name and actor else "look"])
    template = template.replace("[P]", place).replace("[A]", actor.name if actor else "")
    options = book["place"][kind]
    out = [
        template,
        voice.pick("place", options),
        voice.pick("place2", options + book["place"]["any"]),
    ]
    if isinstance(behind, dict) and (said := behind.get("description")):
        out.insert(1, clean(str(said), 240))
    if not leaves and (exits := _exits(where)):
        ways = exits[0] if len(exits) == 1 else f"{', '.join(exits[:-1])} and {exits[-1]}"
        out.append(f"From here the ways lead on: {ways}")
    out.append(voice.pick("linger", book["linger"]))
    return Story(" ".join(map(_sentence, out)), (), (voice.pick("cue", book["cue"]["place"]),))


def answer(
    facts: Mapping[str, Any], to: Named | None, voice: Voice, *, refused: bool = False
) -> Story:
    """What somebody answers when spoken to, without giving anything away that is not known."""
    book = phrases()
    dialogue = facts.get("dialogue")
    scene: Mapping[str, Any] = dialogue if isinstance(dialogue, dict) else {}
    npc = to or (named(n) if (n := _name_of(scene.get("npc") or facts.get("npc"))) else None)
    name = npc.name if npc else "the other"
    topic = _name_of(scene.get("topic") or facts.get("topic"))
    word = "refuse" if refused else "reply_topic" if topic else "reply"
    text = voice.pick("reply", book[word])
    for hole, said in (("[N's]", f"{name}'s"), ("[N]", name), ("[topic]", topic),
                       ("[Topic]", topic[:1].upper() + topic[1:])):  # fmt: skip
        text = text.replace(hole, said)
    out = [text, voice.pick("hush", book["hush"]), voice.pick("hush", book["hush"])]
    line = voice.pick("bark", book["bark"]["refuse" if refused else "reply"])
    return Story(" ".join(map(_sentence, out)), ((name, line),), (book["cue"]["talk"][0],))


def plain(prompt: str, voice: Voice) -> Story:
    """A paragraph for a prompt without facts: it quotes what was asked and claims nothing."""
    book = phrases()
    line = next((s for s in reversed(prompt.splitlines()) if s.strip()), "")
    words = clean(line.replace('"', "'"), 400).split()[:14]
    quote = " ".join(words).rstrip(" .,;:!?") or "go on"
    text = voice.pick("plain", book["plain"]).replace("[quote]", quote)
    return Story(f"{text} {voice.pick('after', book['plain_after'])}")
