"""Which of some prepared texts tells what happened, as far as the narrator knows the words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from .facts import find_facts, read_telling

__all__ = ["choice_for"]

MEANS = {
    **dict.fromkeys(("graze", "glance", "glancing blow", "scratch", "solid hit", "wound"), "hit"),
    **dict.fromkeys(("blocked", "dodged", "evaded", "parried", "whiff"), "miss"),
    **dict.fromkeys(("full success", "partial success", "pass", "passed"), "success"),
    **dict.fromkeys(("botch", "setback"), "failure"),
}
"""Words of games for results that everybody knows."""
ALIKE = (("hit", "success"), ("miss", "failure"))


def choice_for(prompt: str) -> str | None:
    """The answer to a prompt with ``PREPARED`` texts; ``None`` if it is another prompt."""
    facts = find_facts(prompt)
    choose = None if facts is None else facts.get("choose")
    if not isinstance(choose, Mapping):
        return None
    found = read_telling(choose, ())
    result = MEANS.get(found.result, found.result)
    if found.save and result in ("success", "failure"):
        result = "failure" if result == "success" else "success"
    for names in ((result,), *(alike for alike in ALIKE if result in alike)):
        for number, made_for in _prepared(prompt):
            if made_for in names:
                return orjson.dumps({"choice": number}).decode()
    return '{"choice":0}'


def _prepared(prompt: str) -> list[tuple[int, str]]:
    at = prompt.rfind("PREPARED ")
    try:
        listed: Any = orjson.loads(prompt[at + 9 :].split("\n", 1)[0]) if at >= 0 else []
    except orjson.JSONDecodeError:
        listed = []
    entries = listed if isinstance(listed, list) else []
    return [
        (each["n"], str(each.get("for")))
        for each in entries
        if isinstance(each, Mapping) and isinstance(each.get("n"), int)
    ]
