"""For the tests of a game that uses Foretell: see ``docs/testing.md``.

``run_virtual(main())`` runs a coroutine in virtual time: a session of hours takes milliseconds,
and every run of it is the same. With a :class:`ScriptedModel` it needs no key and no network.
:func:`guarantees` holds a session to what Foretell promises, and :func:`simulate` plays a whole
world from one seed.
"""

from __future__ import annotations

import asyncio

from ..streams.clock import LoopScheduler, VirtualDeadlock, VirtualLoop, run_virtual
from .broken import Broken
from .checker import Guarantees, guarantees
from .drawing import draw
from .history import History, Step
from .logs import LogBuilder
from .scripted import Call, Script, ScriptedModel, ScriptedStream
from .simulation import Simulated, play, simulate
from .stamps import Stamp, stamped, stamped_prompts

__all__ = [
    "Broken",
    "Call",
    "Guarantees",
    "History",
    "LogBuilder",
    "LoopScheduler",
    "Script",
    "ScriptedModel",
    "ScriptedStream",
    "Simulated",
    "Stamp",
    "Step",
    "VirtualDeadlock",
    "VirtualLoop",
    "draw",
    "guarantees",
    "instant",
    "play",
    "run_virtual",
    "simulate",
    "stamped",
    "stamped_prompts",
]


async def instant(steps: int = 50) -> None:
    """Let everything happen that is due now, without time passing."""
    for _ in range(steps):
        await asyncio.sleep(0)
