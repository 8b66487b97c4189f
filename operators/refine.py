"""What a prepared text has no room for, said after it by the small model."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Collection, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from functools import partial
from typing import Any

import orjson

from ..errors import ForetellError
from ..streams.health import number
from ..streams.models import Message, Request
from ..streams.numerals import numeral
from ..streams.timers import Timers
from ..streams.world import World
from .classify import Scene
from .compose import AS_IS, Composer
from .fingerprint import Dependence
from .generation import Generation, GenerationClosed, Generations, Trace
from .prompts import Account, Entry, Prompt, name_of
from .results import KILL
from .sentences import Sentence, Sentences
from .sifting import Judged
from .tongue import foreign

__all__ = ["EFFECTS", "Addition", "Refiner", "adds_of", "amiss", "refinement", "sayable"]

EFFECTS = ("effects", "conditions")
"""What a blow may do besides, as values of its result."""
COUNTED = ("damage", "healing")
DOWN = frozenset(
    ("dead", "defeated", "destroyed", "down", "dying", "fallen", "killed", "ko", "slain",
     "unconscious")
)  # fmt: skip
"""Effects by which a target does not stand any more: no text that leaves it standing can say so."""
HEAVY = 0.75
"""Who stands after a blow that took this share of all its health has met no usual one."""

MOST = 2
"""Sentences."""
TOKENS = 120

SYSTEM = """\
You go on with the telling of a role-playing game, vividly and briefly, in the present tense and \
the third person. SHOWN is what the players have read already.

Rules:
- Write one sentence, or two, that follow SHOWN. They say what "adds" in FACTS asks for, and \
nothing else: "effects" is what else it did to its target, as "values" have it; "force", what a \
heavy blow it was; "damage" and "healing", that number; "result", what that word means that SHOWN \
does not tell. Nothing of SHOWN is said again.
- Tell exactly the results in FACTS: nobody falls, flees or speaks unless FACTS say so. A result \
"hit" or "critical" leaves its target standing; "kill" has felled it already.
- Names in FACTS are used as they are. Invent no rules, no numbers, no new characters.
- Plain text: no JSON, no headings, no quotation marks around it.
"""

FALLEN = re.compile(r"\b(?:dies|dead|slain|killed|lifeless|corpse|dying)\b", re.IGNORECASE)
STANDING = re.compile(
    r"\b(?:survives?|(?:still|keeps?|remains?|stays?) (?:standing|stands|alive)|still stands)\b",
    re.IGNORECASE,
)
DIGITS = re.compile(r"\d+(?:\.\d+)?")


@dataclass(frozen=True, slots=True)
class Addition:
    """What is to be said of some entries: for each what ``adds`` asks for, behind ``shown``."""

    account: Account
    adds: tuple[tuple[str, ...], ...]
    shown: str


def sayable(values: Mapping[str, Any]) -> bool:
    """Whether what a blow did besides can be said after a text that does not know of it."""
    said = [values[each] for each in EFFECTS if values.get(each)]
    return all(
        isinstance(some, list | tuple)
        and all(isinstance(each, str) and each.lower() not in DOWN for each in some)
        for some in said
    )


def adds_of(world: World, entry: Entry, room: Collection[str]) -> tuple[str, ...]:
    """What happened and a prepared text cannot say: effects, a number, how heavy a blow it was.

    An effect that is called as the action is what a text of it tells anyway.

    :param room: the numbers it has slots for, or was asked for.
    """
    what, named = entry.happened, str(entry.declared.action.get("name")).lower()
    listed = [some for each in EFFECTS if isinstance(some := what.values.get(each), list | tuple)]
    effects = [each for some in listed for each in some if isinstance(each, str)]
    adds = ["effects"] if any(each.lower() != named for each in effects) else []
    said = {each: number(what.values.get(each)) or 0 for each in COUNTED}
    adds += [each for each in COUNTED if said[each] > 0 and each not in room]
    full = number(world.actor(what.target).get("max_hp")) or 0
    if full > 0 and said["damage"] >= full * (1 if what.told == KILL else HEAVY):
        adds.append("force")
    return tuple(adds)


def refinement(scene: Scene, addition: Addition, style: str) -> Prompt:
    """The default prompt for what is to be added."""
    facts = [
        {**_facts(scene, entry), "adds": adds}
        for entry, adds in zip(addition.account.entries, addition.adds, strict=True)
    ]
    asked = {"context": scene.context, "adds": facts}
    return Prompt(
        SYSTEM + style,
        (
            Message(
                "user",
                f"SHOWN {orjson.dumps(addition.shown).decode()}\nGo on.\n"
                f"FACTS {orjson.dumps(asked).decode()}",
            ),
        ),
    )


def _facts(scene: Scene, entry: Entry) -> dict[str, Any]:
    action, what = entry.declared.action, entry.happened
    return {
        "actor": name_of(scene, entry.declared.actor, entry.declared),
        "action": {key: action[key] for key in ("type", "name") if key in action},
        "target": name_of(scene, what.target, entry.declared),
        "result": what.told,
        "values": dict(what.values),
    }


def amiss(sentence: str, scene: Scene, addition: Addition) -> str | None:
    """Why a sentence is not consistent with what happened and was shown; ``None`` if it is.

    It names nobody else and no other number, fells and raises nobody, and says nothing twice.
    """
    entries = addition.account.entries
    facts = orjson.dumps([_facts(scene, entry) for entry in entries]).decode().lower()
    values = [value for entry in entries for value in entry.happened.values.values()]
    numbers = {numeral(each) for each in map(number, values) if each is not None}
    known = numbers | {*DIGITS.findall(facts)}
    if "{" in sentence or "}" in sentence:
        return "it has a brace"
    if other := [each for each in DIGITS.findall(sentence) if each not in known]:
        return f"it has the number {other[0]}"
    names = [each.get("name") for each in scene.world.actors.values()]
    others = [each for each in names if isinstance(each, str) and each.lower() not in facts]
    for name in filter(None, others):
        if re.search(rf"\b{re.escape(name)}\b", sentence, re.IGNORECASE):
            return f"it names {name}"
    fell = [entry.happened.told == KILL for entry in entries]
    for word, wrong in ((FALLEN, not any(fell)), (STANDING, all(fell))):
        if wrong and (found := word.search(sentence)) and found[0].lower() not in facts:
            return f"it says {found[0].lower()!r}"
    if sentence.casefold() in addition.shown.casefold():
        return "it was said before"
    return None


class Refiner:
    """Has the small model add to what is shown, sentence by sentence, while nobody waits for more.

    ::

        shown        He strikes him for 9.|
        small model                       -t-t-t-t-t-t-t-t|
        added                             -----He is left dazed.|

    A sentence that is not consistent with what happened ends it, and is not told; so does whatever
    else goes wrong, and what is shown stands as it is.

    :param request: what the small model is asked; it may raise what asking does.
    :param on: whether anything is added at all; ``limit``: seconds in which it must be written.
        Both are asked anew each time.
    :param judge: what the game's guard thinks of a sentence, if there is one.
    :param language: an ISO 639 code, to cut sentences by; ``wanted``: that of the language all is
        to be told in, if one is.
    """

    def __init__(
        self,
        request: Callable[[Scene, Addition], Request],
        generations: Generations,
        timers: Timers,
        trace: Trace,
        text_field: str,
        *,
        on: Callable[[], bool],
        limit: Callable[[], float],
        judge: Callable[[str, str], Judged] | None = None,
        language: Callable[[], str] = lambda: "en",
        wanted: Callable[[], str | None] = lambda: None,
    ) -> None:
        self._request = request
        self._generations = generations
        self._timers = timers
        self._trace = trace
        self._text_field = text_field
        self.on = on
        self._limit = limit
        self._judge = judge
        self._language = language
        self._wanted = wanted
        self._open: Generation | None = None

    def stop(self) -> None:
        """Something else is to be told: no more is added."""
        if self._open is not None:
            self._open.close("overtaken")

    async def sentences(
        self,
        telling: str,
        scene: Scene,
        addition: Addition,
        depends: Sequence[Dependence],
        revision: int,
    ) -> AsyncGenerator[str, None]:
        """What can be added to a telling, each sentence once it may be shown. Raises nothing."""
        why, name = "done", None
        try:
            request = self._request(scene, addition)
            generation = self._generations.open(
                request, tuple(depends), revision=revision, telling=telling
            )
            name = generation.id
            async with aclosing(self._fit(telling, scene, addition, generation)) as fit:
                async for sentence in fit:
                    yield sentence
                    generation.deliver()
        except GenerationClosed as closed:
            why = closed.reason
        except _Amiss as error:
            why = str(error)
        except ForetellError as error:
            why = getattr(error, "kind", "error")
        finally:
            self._trace("~refined", telling=telling, generation=name, why=why)

    async def _fit(
        self, telling: str, scene: Scene, addition: Addition, generation: Generation
    ) -> AsyncGenerator[str, None]:
        lease, self._open = generation.lease(), generation
        alarm = self._timers.alarm(f"refine {telling}", partial(generation.close, "late"))
        alarm.set(self._timers.time() + self._limit())
        many, shown = 0, addition.shown
        try:
            async with aclosing(self._read(generation)) as sentences:
                async for sentence in sentences:
                    many, shown = many + 1, f"{shown} {sentence}"
                    wrong = amiss(sentence, scene, addition) or foreign(shown, self._wanted())
                    if many > MOST:
                        return
                    if wrong is not None:
                        raise _Amiss(wrong)
                    if self._judge is not None:
                        await self._passed(generation, sentence)
                    if generation.revoked:
                        raise GenerationClosed(generation.reason or "revoked")
                    yield sentence
        finally:
            self._open = None
            alarm.cancel()
            lease.release("told")

    async def _passed(self, generation: Generation, sentence: str) -> None:
        assert self._judge is not None
        verdict = self._judge(generation.id, sentence)
        generation.judged = True
        try:
            if (refused := await verdict) is not None:
                raise _Amiss(refused)
        finally:
            generation.judged = False
            verdict.drop()

    async def _read(self, generation: Generation) -> AsyncGenerator[Sentence, None]:
        composer, cutter = Composer(self._text_field), Sentences(self._language())
        composer.begin(AS_IS, last=True)
        async with aclosing(generation.chunks()) as chunks:
            async for chunk in chunks:
                for sentence in cutter.feed(composer.feed(chunk)[1]):
                    yield sentence
        for sentence in [*cutter.feed(composer.finish()[1]), *cutter.finish()]:
            yield sentence


class _Amiss(Exception):
    """A sentence cannot be shown."""
