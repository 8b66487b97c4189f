"""Texts that say of themselves what they are about, so that a checker can judge them.

:func:`stamped_prompts` asks for exactly what a telling may speak of, and :func:`stamped` answers
with one stamp for each thing told: ``⟦stream|known|actor|action|target|result|damage|hp|name⟧``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from ..operators.classify import Scene
from ..operators.prompts import Account
from ..streams.footprint import targets_of
from ..streams.models import Request
from ..streams.world import Declared

__all__ = [
    "Stamp",
    "answer_for",
    "asked",
    "marks",
    "stamped",
    "stamped_prompts",
    "stamps_for",
    "summed",
]

STAMP = re.compile(r"⟦([^⟦⟧]*)⟧")
FIELDS = ("actor", "action", "target", "result", "damage", "hp", "name")
VALUES = (("damage", "damage"), ("hp", "target_hp"))


@dataclass(frozen=True, slots=True)
class Stamp:
    """Who wrote what about whom, and what it knew: the number of the last input it could know."""

    stream: int
    known: int
    actor: str
    action: str
    target: str
    result: str
    damage: str
    hp: str
    name: str

    @staticmethod
    def read(text: str) -> list[Stamp]:
        """The whole stamps in a text, in order."""
        found = []
        for body in STAMP.findall(text):
            stream, known, *rest = body.split("|")
            if len(rest) == len(FIELDS) and stream.isdecimal() and known.isdecimal():
                found.append(Stamp(int(stream), int(known), *rest))
        return found


def stamped_prompts(
    scene: Scene, action: Declared, outcome: Account, memory: str, content: Mapping[str, Any]
) -> str:
    """Prompts for ``Game(prompts=…)``: what is asked, as JSON that :func:`stamped` understands."""
    turn = scene.world.turn
    about = {
        "known": scene.world.number,
        "turn": turn.turn if turn is not None else None,
        "entries": [
            _entry(scene, each, slots)
            for each, slots in zip(
                outcome.entries,
                outcome.endings or [outcome.slots] * len(outcome.entries),
                strict=True,
            )
        ],
        **({"endings": True} if outcome.endings else {}),
        "memory": memory,
        **({"again": outcome.told} if outcome.told else {}),
        **({"to": outcome.to} if outcome.to else {}),
    }
    return orjson.dumps(about).decode()


def _entry(scene: Scene, entry: Any, slots: Sequence[str]) -> dict[str, Any]:
    declared, what = entry.declared, entry.happened
    values = {**{name: f"{{{name}}}" for name in slots}, **what.values}
    return {
        "actor": declared.actor,
        "action": declared.action.get("name"),
        "target": what.target,
        "aims": [what.target, *targets_of(declared.action)],
        **({"type": kind} if (kind := declared.action.get("type")) in ("move", "talk") else {}),
        "result": what.told,
        "name": scene.world.actor(what.target).get("name"),
        **{short: values.get(name) for short, name in VALUES},
    }


def marks(text: str) -> list[str]:
    """The whole stamps in a text, as they stand there."""
    return [f"⟦{body}⟧" for body in STAMP.findall(text)]


def summed(request: Request) -> str:
    """The answer to a stream that is to sum up what was told: its stamps, the last ones first."""
    return " ".join(f"{each}. " for each in reversed(marks(request.messages[-1].text)))


def asked(request: Request) -> Mapping[str, Any]:
    """What :func:`stamped_prompts` asked for; nothing of a prompt that is not its own."""
    return _asked(request.messages[-1].text)


@lru_cache(maxsize=1024)  # each stream is asked for by many judges
def _asked(text: str) -> Mapping[str, Any]:
    """The same of a prompt's last text; who is given it leaves it as it is."""
    try:
        about = orjson.loads(text) if text.startswith('{"known":') else {}
    except orjson.JSONDecodeError:
        about = {}
    return about if isinstance(about, dict) else {}


def stamped(request: Request, number: int, words: str = "and so it went on") -> str:
    """The answer of stream ``number``: a stamp for each thing that was asked for."""
    return stamps_for(asked(request), number, words)


def stamps_for(about: Mapping[str, Any], number: int, words: str = "and so it went on") -> str:
    """The same, for what a prompt asked."""
    return " ".join(
        "⟦{}|{}|{}⟧ {}, word {}.".format(
            number,
            about["known"],
            "|".join("" if entry[name] is None else str(entry[name]) for name in FIELDS),
            words,
            number,
        )
        for entry in about.get("entries", ())
    )


def answer_for(about: Mapping[str, Any], number: int, *words: str) -> dict[str, Any]:
    """The whole answer of stream ``number``, in the form that was asked for."""

    def telling(entries: Sequence[Any]) -> dict[str, Any]:
        text = stamps_for({**about, "entries": entries}, number, *words)
        return {"text": text, "lines": [], "cues": ["drums"]}

    entries = about.get("entries", ())
    if not about.get("endings"):
        return telling(entries)
    tails = [{"of": n, "telling": telling([each])} for n, each in enumerate(entries)]
    return {"trunk": f"It begins, word {number}.", "tails": tails}
