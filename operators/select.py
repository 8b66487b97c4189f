"""A result nobody prepared by that name: the small model says which prepared text tells it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from ..errors import ForetellError
from ..streams.models import Message, Request
from ..streams.saves import is_save
from ..streams.timers import Alarm, Timers
from ..streams.world import Declared
from .classify import Scene
from .fingerprint import Dependence
from .generation import Generation, GenerationClosed, Generations, Lease, Trace
from .prompts import Account, Prompt, name_of
from .results import ATTACK, KILL, Happened

__all__ = ["SCHEMA", "Asked", "Choice", "Offer", "Selector", "may_stand_for", "selection"]

TOKENS = 32

SCHEMA: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "choice": {"type": "integer", "description": "The number of a text; 0 for none of them."}
    },
    "required": ["choice"],
    "additionalProperties": False,
}

SYSTEM = """\
You check prepared texts of a role-playing game against what the dice and the rules have decided.

FACTS say what happened, and PREPARED lists texts that were written before it was known, each for \
a result ("for") of the same action. Numbers in braces are filled in later. Answer with the number \
of the one text that is true of what happened, word by word: what "result" means in this game is \
what the text tells. If none is, or you are not sure, answer 0. Answer with JSON: {"choice": 0}.
"""

ANSWER = re.compile(r'\{\s*"choice"\s*:\s*([0-9]{1,3})\s*\}')


@dataclass(frozen=True, eq=False, slots=True)
class Choice:
    """A share in a prepared text that might tell what happened, and the result it was made for.

    ``adds`` is what it has no room for.
    """

    made_for: str
    lease: Lease
    adds: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As it was written."""
        return self.lease.generation.written


@dataclass(frozen=True, slots=True)
class Offer:
    """What happened, and the texts to choose from, each with the result it was made for."""

    account: Account
    texts: tuple[tuple[str, str], ...]


def may_stand_for(declared: Declared, what: Happened, made_for: str) -> bool:
    """Whether what was written for one result might be true of another, as far as words tell.

    Never of a kill, nor a kill of anything else; never a hit, a miss or a critical of one another;
    and never what comes off of what does not.
    """
    if KILL in (made_for, what.told) or (made_for in ATTACK and what.name in ATTACK):
        return False
    prepared = _comes_off(declared, made_for, {})
    came = _comes_off(declared, what.name, what.values)
    return prepared is None or came is None or prepared is came


def _comes_off(declared: Declared, name: str, values: Mapping[str, Any]) -> bool | None:
    """Whether a result is a good one for who acts; ``None`` for a word of the game's own."""
    if name in ATTACK:
        return name != "miss"
    if name not in ("success", "failure"):
        return None
    return (name == "success") is not is_save(declared.action, name, values)


def selection(scene: Scene, offer: Offer) -> Prompt:
    """The default prompt for what is offered."""
    [entry] = offer.account.entries
    action, what = entry.declared.action, entry.happened
    facts = {
        "actor": name_of(scene, entry.declared.actor, entry.declared),
        "action": {key: action[key] for key in ("type", "name", "save") if key in action},
        "target": name_of(scene, what.target, entry.declared),
        "result": what.told,
        "values": dict(what.values),
    }
    prepared = [
        {"n": number, "for": made_for, "text": text}
        for number, (made_for, text) in enumerate(offer.texts, 1)
    ]
    asked = (
        f"PREPARED {orjson.dumps(prepared).decode()}\n"
        f"FACTS {orjson.dumps({'context': scene.context, 'choose': facts}).decode()}"
    )
    return Prompt(SYSTEM, (Message("user", asked),))


class Asked:
    """A question to the small model, under way."""

    def __init__(
        self, lease: Lease, alarm: Alarm, say: Callable[[int, str], None], many: int
    ) -> None:
        self._lease = lease
        self._alarm = alarm
        self._say = say
        self._many = many

    async def answer(self) -> int:
        """The number of the text that was chosen, from 1; 0 for none. Raises nothing of its own."""
        found, why = 0, "none"
        try:
            async with aclosing(self._lease.generation.chunks()) as chunks:
                text = "".join([chunk async for chunk in chunks])
            found, why = _read(text, self._many)
        except GenerationClosed as closed:
            why = closed.reason
        except ForetellError as error:
            why = getattr(error, "kind", "error")
        self._say(found, why)
        return found

    def drop(self) -> None:
        """It is over, or nobody waits for it any more."""
        self._alarm.cancel()
        self._lease.release("told")


class Selector:
    """Asks the small model which of some prepared texts tells what happened.

    ::

        outcome    glancing blow|
        offered    hit, miss    |
        small      -------------t|      1
        told                     hit's text

    What fails, is late or makes no sense chooses nothing.

    :param request: what the small model is asked; it may raise what asking does.
    :param on: whether anything is offered at all; ``limit``: seconds an answer may take. Both are
        asked anew each time.
    """

    def __init__(
        self,
        request: Callable[[Scene, Offer], Request],
        generations: Generations,
        timers: Timers,
        trace: Trace,
        *,
        on: Callable[[], bool],
        limit: Callable[[], float],
    ) -> None:
        self._request = request
        self._generations = generations
        self._timers = timers
        self._trace = trace
        self.on = on
        self._limit = limit

    def ask(
        self,
        telling: str,
        scene: Scene,
        offer: Offer,
        depends: Sequence[Dependence],
        revision: int,
    ) -> Asked | None:
        """Ask; drop what comes of it when it is answered. None, if it cannot be asked."""
        try:
            request = self._request(scene, offer)
        except ForetellError as error:
            self._say(telling, None, 0, getattr(error, "kind", "error"))
            return None
        generation = self._generations.open(
            request, tuple(depends), revision=revision, telling=telling
        )
        lease = generation.lease()
        alarm = self._timers.alarm(f"select {generation.id}", partial(generation.close, "late"))
        alarm.set(self._timers.time() + self._limit())
        say = partial(self._say, telling, generation)
        return Asked(lease, alarm, say, len(offer.texts))

    def _say(self, telling: str, asked: Generation | None, choice: int, why: str) -> None:
        if asked is not None and choice:
            asked.deliver()
        name = None if asked is None else asked.id
        self._trace("~selected", telling=telling, generation=name, choice=choice, why=why)


def _read(text: str, many: int) -> tuple[int, str]:
    """The number of an answer, and what is to be said of it."""
    found = ANSWER.search(text)
    if found is None:
        return 0, "invalid"
    choice = int(found[1])
    if choice > many:
        return 0, "invalid"
    return choice, "chosen" if choice else "none"
