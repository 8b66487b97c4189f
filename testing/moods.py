"""How the models of a simulated world behave, well or badly."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import orjson

from ..streams.models import (
    ModelBadRequest,
    ModelCut,
    ModelOverloaded,
    ModelUnavailable,
    Purpose,
    Request,
)
from .scripted import Script
from .stamps import answer_for, asked, stamped, summed
from .watch import WatchedStream

__all__ = ["CHOICES", "FALL", "LIES", "MORE", "GuestError", "Moody"]

ENDLESS = "and on " * 400

MORE = "And that leaves its mark. Nobody will forget it."
FALL = "Now it falls dead, a LIE."
"""Of a kill it is true."""
LIES = ("It is 987654 of them!", "So it is. {LIE}.", FALL)
"""What nobody may be shown behind a text."""
CHOICES = ('{"choice": 1}', '{"choice": 1}', '{"choice": 2}', '{"choice": 0}', "the first?")
"""What is answered to who asks which text is true."""
UNSTEADY = re.compile(r"⟦[0-9]+\||word [0-9]+")
"""The number of a stream in a stamped text."""

SLOW = ("slow", "stall", "endless", "teardown")
"""What takes its time: nobody need wait for its end to have met it."""

NOTICED = 1.0
"""Seconds in which it is met."""


class GuestError(LookupError):
    """What a guest of the process does wrong on purpose."""


class Moody:
    """The answers of a :class:`ScriptedModel`, with stamps, at a pace of their own.

    What a stream does is drawn from what it is asked, and from how often it was asked that before,
    so that a history with a step taken out plays the rest as it was.

    :param seed: decides all that is drawn.
    :param words: what follows each stamp, where it is not the usual.
    """

    def __init__(self, seed: int, *words: str) -> None:
        self._words = words
        self.trouble = 0.0
        """How likely a stream is to fail, in one of the ways in which models do."""
        self.cuts = 0.0
        """How likely a speculation that would not is cut; all that is written comes slowly then."""
        self.seed = seed
        self.given: dict[int, str] = {}
        """What is wrong with which stream, by its number."""
        self._asked: Counter[str] = Counter()

    def drawn_from(self, request: Request) -> tuple[int, int]:
        """What a stream's behaviour is drawn from: what it is asked, and how often by now."""
        entries = asked(request).get("entries", ())
        deeds: Any = [(e["actor"], e["action"], e["target"], e["result"]) for e in entries]
        if request.purpose is Purpose.REFINE:
            deeds = UNSTEADY.sub("", request.messages[-1].text)
        what = f"{self.seed} {request.purpose} {deeds}"
        self._asked[what] += 1
        return crc32(what.encode()), self._asked[what]

    def __call__(self, request: Request, number: int) -> Script:
        """The script of stream ``number``."""
        what, count = self.drawn_from(request)
        rng = random.Random(f"{what} {count}")
        text = stamped(request, number, *self._words)
        whole: Any = answer_for(asked(request), number, *self._words)
        if request.purpose is Purpose.REFINE:
            chooses = request.messages[-1].text.startswith("PREPARED")
            text = rng.choice(CHOICES if chooses else (MORE, *LIES))
            whole = {"text": text, "lines": [], "cues": ["drums"]}
        if request.purpose is Purpose.SUMMARY:
            text = whole = summed(request)
        script: dict[str, Any] = {
            "answer": text if rng.random() < 0.1 or text in CHOICES else whole,
            "ttft": rng.choice((0.0, 0.1, 0.6, 1.8)) * rng.uniform(0.8, 1.2),
            "delay": rng.choice((0.0, 0.01, 0.05)),
            "chunk": rng.choice((2, 16, 24, 24, 60)),
            "teardown": rng.choice((0.0, 0.0, 0.05)),
        }
        if rng.random() < self.trouble:
            self.given[number], way = rng.choice(_troubles(rng, text, whole))
            script |= way
        elif self.cuts:
            prepares = request.purpose is Purpose.PREFETCH
            script["delay"] = 0.2 if prepares else 2.0
            if prepares and rng.random() < self.cuts:
                self.given[number] = "cut"
                script |= {"error": ModelCut("cut"), "chunks": rng.randint(2, 6)}
        return Script(**script)

    def met(self, streams: Iterable[WatchedStream]) -> Counter[str]:
        """The troubles that came to pass, and how often: streams were read for so long."""
        return Counter(
            f"model {name}"
            for stream in streams
            if (name := self.given.get(stream.number)) and _came_to_pass(name, stream)
        )


def _came_to_pass(name: str, stream: WatchedStream) -> bool:
    if name not in SLOW:
        return stream.finished
    return (stream.gone_at or 0.0) - (stream.opened_at or 0.0) > NOTICED


def _troubles(
    rng: random.Random, text: str, whole: Mapping[str, Any]
) -> Sequence[tuple[str, dict[str, Any]]]:
    torn = orjson.dumps(whole if "tails" in whole else {"text": text, "lines": []}).decode()
    return (
        ("gone", {"error": ModelUnavailable("no server")}),
        ("400", {"error": ModelBadRequest("no")}),
        ("429", {"error": ModelOverloaded("429", 0.5)}),
        ("429", {"error": ModelOverloaded("429", 30.0)}),
        ("529", {"error": ModelOverloaded("529")}),
        ("cut", {"error": ModelCut("cut"), "chunks": rng.randint(1, 9)}),
        ("stall", {"hangs": True}),
        ("stall", {"hangs": True, "chunks": rng.randint(1, 9)}),
        ("slow", {"ttft": 15.0}),
        ("slow", {"delay": 4.0, "chunk": 60}),
        ("torn", {"answer": torn[: rng.randrange(2, len(torn))]}),
        ("endless", {"answer": {"text": text + ENDLESS}, "delay": 0.5, "chunk": 40}),
        ("refusal", {"stop": "refusal"}),
        ("max_tokens", {"stop": "max_tokens"}),
        ("empty", {"answer": ""}),
        ("empty", {"answer": {"cues": []}}),
        ("teardown", {"teardown": 1.5}),
        ("raises", {"error": GuestError("not a model's error")}),
    )
