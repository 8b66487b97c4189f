"""The narrator as the model of a simulated world: its pace, its limits and its faults."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson

from ..streams.models import Message, Purpose, Request
from ..streams.narrator.engine import Engine
from ..streams.narrator.faults import Faults
from ..streams.narrator.model import NarratorModel
from ..streams.narrator.profiles import profile
from .moods import CHOICES, LIES, MORE, Moody
from .stamps import answer_for, asked, stamps_for, summed
from .watch import WatchedStream

__all__ = ["Narrated"]

TROUBLES = Faults.parse(
    "429=1:0.1,429=7:0.05,429=60:0.05,500:0.05,529:0.1,slow=3:0.05,slow=15:0.05,stall=2:0.05,"
    "stall=9:0.05,stall:0.05,cut:0.15,error:0.05,torn:0.05,prose:0.05,garbled:0.05,empty:0.05"
)
"""What goes wrong with a stream, if anything does."""

PATIENCE = 12.0
"""Seconds of silence after which a stream is given up, as by the door to a server."""


class Narrated:
    """Answers with stamps, at the pace of a profile; what goes wrong is the narrator's own doing.

    Which fault a stream has is drawn from what it is asked; see :class:`Moody`. No summary is torn:
    by its words it is known what it was made of.

    :param name: of the profile.
    """

    def __init__(self, name: str, moods: Moody) -> None:
        self._moods = moods
        self._narrator = NarratorModel(
            Engine(profile(name), moods.seed, keep=0, write=_stamps), PATIENCE
        )
        self.streams: list[WatchedStream] = []

    def stream(self, request: Request) -> WatchedStream:
        """See :class:`~foretell.streams.models.Model`."""
        number = len(self.streams) + 1
        about = {**asked(request), "stream": number}
        if request.purpose is Purpose.REFINE:
            chooses = request.messages[-1].text.startswith("PREPARED")
            about["more"] = (CHOICES if chooses else (MORE, *LIES))[number % 3]
        if request.purpose is Purpose.SUMMARY:
            about["summed"] = summed(request)
        given = replace(request, messages=(Message("user", orjson.dumps(about).decode()),))
        seed, count = self._moods.drawn_from(request)
        trouble = self._moods.trouble
        cuts = self._moods.cuts if request.purpose is Purpose.PREFETCH else 0.0
        rates = tuple(
            (fault, rate * trouble + (cuts if fault.kind == "cut" else 0.0))
            for fault, rate in (TROUBLES.rates if trouble or cuts else ())
        )
        fault = Faults(rates).of(seed, count)
        if fault is not None and (fault.kind, request.purpose) != ("torn", Purpose.SUMMARY):
            if fault.share is not None:
                fault = replace(fault, share=round(fault.share, 3))
            self._moods.given[number] = fault.kind
            given = replace(given, extra={"metadata": {"narrator_fault": str(fault)}})
        stream = WatchedStream(number, request, self._narrator.stream(given))
        self.streams.append(stream)
        return stream

    async def aclose(self) -> None:
        """Nothing to close: streams close themselves."""


def _stamps(prompt: str, said: str, seed: int, schema: Any, **_: Any) -> str:
    about = orjson.loads(prompt)
    more = about.get("more") or about.get("summed")
    if schema is None:
        return str(more or stamps_for(about, about["stream"]))
    told = {"text": more, "lines": [], "cues": ["drums"]}
    return orjson.dumps(told if more else answer_for(about, about["stream"])).decode()
