"""What the narrator writes where it is to sum up a story: a sentence of each telling."""

from __future__ import annotations

import re
from typing import Any

import orjson

__all__ = ["gist"]

_ASKED = re.compile(r"(?:^RECORD (?P<record>.*)\n)?^STORY (?P<story>\[.*\])$", re.MULTILINE)
_SENTENCE = re.compile(r"(?<=[.!?…])\s+")


def gist(prompt: str, room: int | None = None) -> str | None:
    """A record of ``STORY``, after what ``RECORD`` has; ``None`` if there is no story in it.

    :param room: the most characters it should take: what lies back furthest is left out.
    """
    asked = _ASKED.fullmatch(prompt.strip())
    if asked is None:
        return None
    try:
        record, story = (orjson.loads(asked[name] or '""') for name in ("record", "story"))
    except orjson.JSONDecodeError:
        return None
    if not isinstance(record, str) or not all(isinstance(each, str) for each in story):
        return None
    said = [*_sentences(record), *(_sentences(each)[-1] for each in story if each.strip())]
    while len(said) > 1 and room is not None and len(" ".join(said)) > room:
        del said[0]
    return " ".join(said)


def _sentences(text: str) -> list[Any]:
    return _SENTENCE.split(text.strip()) if text.strip() else []
