"""The prompts of the default narration, and the small interface for one's own."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import orjson

from ..errors import PromptsError
from ..streams.footprint import targets_of
from ..streams.health import health_of
from ..streams.models import Message
from ..streams.places import MOVE, place_names
from ..streams.said import brief
from ..streams.saves import is_save
from ..streams.world import Declared
from .classify import Context, Scene
from .content_shown import shown
from .results import KILL, Happened, known_of, numbers_of
from .wander import spoken_to, talks_to, way_of

__all__ = ["Account", "DefaultPrompts", "Entry", "Prompt", "Prompts", "prompted"]


class Prompt(NamedTuple):
    """Stable instructions, and the conversation after them."""

    system: str
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing to tell: who did what, and what came of it for one target."""

    declared: Declared
    happened: Happened


@dataclass(frozen=True, slots=True)
class Account:
    """What one text is about.

    ``slots`` names the values that are not known yet: the text is a variant, and writes them as
    ``{damage}``. ``part`` asks for a sentence or two that will stand beside others. ``told`` is
    how it was told before, the latest last: it is to be told again, as true and in another way.
    ``to`` names the viewers it is for; all, if none are named. Of ``endings`` there is one for each
    entry, the names of its open values, where nobody knows yet which of the entries will come true:
    the text is asked for as a wind-up that all of them share, and a tail for each.
    """

    entries: tuple[Entry, ...]
    slots: tuple[str, ...] = ()
    part: bool = False
    told: tuple[str, ...] = ()
    to: tuple[str, ...] = ()
    endings: tuple[tuple[str, ...], ...] = ()

    @staticmethod
    def of_variant(
        scene: Scene, declared: Declared, target: str | None, result: str, part: bool
    ) -> Account:
        """The account of a result that has not happened yet."""
        open_slots = numbers_of(scene.world, declared, target, result)
        if "hp" not in scene.world.actor(target):
            open_slots = tuple(each for each in open_slots if each != "target_hp")
        happened = Happened(target, result, result, {}, result)
        return Account((Entry(declared, happened),), open_slots, part, to=declared.to)

    @staticmethod
    def of_endings(
        scene: Scene, declared: Declared, ends: Sequence[tuple[str | None, str]], part: bool
    ) -> Account:
        """The account of several results of an action, by target and name, of which some come."""
        each = [Account.of_variant(scene, declared, *end, part) for end in ends]
        entries = tuple(one.entries[0] for one in each)
        slots = tuple(one.slots for one in each)
        return Account(entries, part=part, to=declared.to, endings=slots)


class Prompts(Protocol):
    """Turns what is to be told into a prompt; yours to replace.

    ``scene`` is the settled state with its context, ``action`` the first action of ``outcome``,
    ``memory`` the end of the transcript, ``content`` what was preloaded for the scene: by kind,
    and in each by the actor it is about (``content["stat_block"]["goblin-2"]``), or by its name. A
    plain string, or a sequence of messages (``Message``, or ``{"role": "user", "content": "…"}``),
    may be returned in the place of a :class:`Prompt`. It is called while the game waits, so it is
    a plain function, and quick. What the text may speak of is what
    :func:`~foretell.operators.fingerprint.dependence` covers.
    """

    def __call__(
        self,
        scene: Scene,
        action: Declared,
        outcome: Account,
        memory: str,
        content: Mapping[str, Any],
    ) -> Prompt | Sequence[Message | Mapping[str, str]] | str:
        """The prompt for what is to be told."""
        ...


def prompted(prompts: Prompts, *given: Any) -> Prompt:
    """What the prompts of a game say, as a :class:`Prompt`.

    :raises PromptsError: if they raise, or give something else than they may.
    """
    name = getattr(prompts, "__qualname__", type(prompts).__qualname__)
    try:
        said = prompts(*given)
    except Exception as error:
        raise PromptsError(f"prompts {name} raised {error!r}") from error
    if isinstance(said, Prompt):
        return said
    if isinstance(said, str):
        return Prompt("", (Message("user", said),))
    try:
        return Prompt("", tuple(map(_message, said)))
    except (TypeError, ValueError):
        raise PromptsError(
            f"prompts {name} must return a str, a Prompt or a list of messages "
            f'({{"role": "user", "content": "…"}}), not {brief(said)}'
        ) from None


def _message(message: Any) -> Message:
    if isinstance(message, Message):
        return message
    match message:
        case {"role": "user" | "assistant" as role, "content": str(text), **rest} if not rest:
            return Message(role, text)
    raise ValueError


SYSTEM = """\
You are the narrator of a role-playing game. You tell what the dice and the rules have decided, \
vividly and briefly, in the present tense and the third person.

Rules:
- Tell exactly the results in FACTS, no more: nobody falls, flees or speaks unless FACTS say so. \
A result "hit" leaves its target standing; "kill" fells it. "success" and "failure" are the \
actor's: the attempt comes off, or it does not. Only where FACTS say "save" are they the saving \
throw of the target: with "success" it gets off lightly or free, with "failure" it does not. \
A target that is "down" was down before this; of one that is "unsure" nobody knows whether it \
still stands: say neither. Where FACTS say "actor_down", who does it lies there, and does not \
rise. Only a hit, a kill, or damage among values or slots hurts anybody.
- Names in FACTS are used as they are. Invent no rules, no numbers, no new characters.
- Where FACTS list "slots", their values are not known yet. Write the slot's name in braces, such \
as {damage}, where the number belongs, at most once each, and no other number.
- "form": "full" is {full}; "part" is one or two about its one target, which will stand beside \
others. "besides" counts what else happened around it, and is worth a clause.
"""


def styled(style: str, tone: str, language: str) -> str:
    """What is added to the instructions of a game that has wishes."""
    wishes = {"Style": style, "Tone": tone, "Language": language and f"write in {language}"}
    said = [f"{name}: {wish}\n" for name, wish in wishes.items() if wish]
    return "\n" + "".join(said) if said else ""


class DefaultPrompts:
    """The prompts Foretell ships: stable text first, what changes last.

    First the instructions, equal for a whole campaign, then the end of the transcript, equal for
    all that is prepared in a moment, then whom an action is about, equal for all its results. After
    each a server may cache what it has read, see ``docs/money.md``.

    :param style: a sentence on tone, world or language, added to the instructions; so are ``tone``
        and ``language``, each a few words.
    :param length: about how many sentences a full telling has; default: two to four.
    """

    def __init__(
        self, style: str = "", tone: str = "", language: str = "", length: int | None = None
    ) -> None:
        full = "two to four sentences"
        if length is not None:
            full = "one sentence" if length == 1 else f"about {length} sentences"
        self.system = SYSTEM.replace("{full}", full) + styled(style, tone, language)

    def __call__(
        self,
        scene: Scene,
        action: Declared,
        outcome: Account,
        memory: str,
        content: Mapping[str, Any],
    ) -> Prompt:
        """See :class:`Prompts`."""
        kept, besides = (outcome.entries, {}) if outcome.endings else _digest(outcome.entries)
        about = dict.fromkeys(
            each
            for entry in kept
            for each in (entry.declared.actor, *targets_of(entry.declared.action))
        )
        stage = {
            "place": _place(scene),
            "present": {
                each: {**_sheet(scene, each), **_known(content, each, action)} for each in about
            },
            **_lore(content, about),
        }
        tellings = [_fact(scene, entry) for entry in kept]
        dialogue = _dialogue(scene, action)
        facts = {
            "context": scene.context,
            **({"dialogue": dialogue} if dialogue else {}),
            **_listed(tellings, outcome),
            **({"besides": besides} if besides else {}),
            **({} if outcome.endings else {"slots": outcome.slots}),
            "form": "part" if outcome.part else "full",
        }
        wish = _wish(outcome) + _more(tellings)
        return Prompt(
            self.system,
            (
                *_story(memory),
                Message("user", f"SCENE {orjson.dumps(stage).decode()}", cache=True),
                Message("user", f"{wish}\nFACTS {orjson.dumps(facts).decode()}"),
            ),
        )


BLOCK = re.compile(r"[^\n]*\S[^\n]*\n\s*")
"""A line, with the empty ones after it: the API takes no block without a word."""


def _story(memory: str) -> list[Message]:
    """The end of the transcript in blocks: the next prompt has one more, and these are cached."""
    blocks = BLOCK.findall(f"{memory}\n")
    if blocks:
        blocks[0] = f"The story so far ends:\n{blocks[0]}"
    return [Message("user", each, cache=n == len(blocks)) for n, each in enumerate(blocks, 1)]


def _listed(facts: Sequence[Mapping[str, Any]], outcome: Account) -> dict[str, Any]:
    """What is to be told; of endings what they have in common once, and each what is its own."""
    if not outcome.endings:
        return {"tellings": facts}
    common = {
        key: value
        for key, value in facts[0].items()
        if all(key in fact and fact[key] == value for fact in facts)
    }
    endings = []
    for n, (fact, slots) in enumerate(zip(facts, outcome.endings, strict=True)):
        own = {key: value for key, value in fact.items() if key not in common}
        endings.append({"of": n, **own, **({"slots": slots} if slots else {})})
    return {"telling": common, "endings": endings}


ENDINGS = """\
Nobody knows yet which of the endings in FACTS comes true. Write as "trunk" one sentence of how \
it is begun: true of all of them, with no result and no slot. Write as "tails" for each ending, in \
their order, its "of" and a "telling" that goes on where the trunk stops, as if there were no \
other."""


def _wish(outcome: Account) -> str:
    if outcome.endings:
        return ENDINGS
    if not outcome.told:
        return "Tell this."
    before = "\n".join(f"TOLD {orjson.dumps(text).decode()}" for text in outcome.told)
    return (
        f"{before}\nThat is how this was told before, and it did not please. Tell it again: the "
        "same facts, but with other words, another beginning and another view than each TOLD."
    )


MORE = {
    "behind": "describe that place as it comes into view, by what SCENE and FACTS say of it",
    "answers": "give the answer, in the voice of who answers",
}


def _more(facts: Sequence[Mapping[str, Any]]) -> str:
    """What is to be told beside the results, where somebody goes somewhere, or is answered."""
    asked = [(key, wish) for key, wish in MORE.items() if any(key in fact for fact in facts)]
    return "".join(f' Where FACTS say "{key}", {wish}.' for key, wish in asked)


MOST = 6
WEIGHT = (KILL, "critical", "hit", "failure")


def _digest(entries: Sequence[Entry]) -> tuple[Sequence[Entry], dict[str, int]]:
    """The entries worth a sentence each, in order, and the results of the others, counted."""
    if len(entries) <= MOST:
        return entries, {}

    def weight(entry: Entry) -> int:
        name = entry.happened.told
        return WEIGHT.index(name) if name in WEIGHT else len(WEIGHT)

    kept = sorted(entries, key=weight)[:MOST]
    besides: dict[str, int] = {}
    for entry in entries:
        if entry not in kept:
            result = entry.happened.result
            besides[result] = besides.get(result, 0) + 1
    return [entry for entry in entries if entry in kept], besides


def name_of(scene: Scene, actor_id: str | None, declared: Declared) -> str | None:
    """How an actor is called: by the state, by that of the declaration, or by its id."""
    if actor_id is None:
        return None
    name = known_of(scene.world, declared, actor_id).get("name")
    return name if isinstance(name, str) and name else actor_id


def _dialogue(scene: Scene, action: Declared) -> dict[str, str]:
    """Who is spoken to, and of what."""
    dialogue = scene.world.state.get("dialogue")
    if scene.context is not Context.DIALOGUE or not (npc := spoken_to(scene.world)):
        return {}
    topic = dialogue.get("topic") if isinstance(dialogue, Mapping) else None
    said = {"npc": name_of(scene, npc[0], action), "topic": topic}
    return {key: each for key, each in said.items() if isinstance(each, str) and each}


def _behind(scene: Scene, action: Mapping[str, Any]) -> dict[str, Any]:
    """The place a move leads to, or has led to."""
    way, names = way_of(scene.world, action), place_names(scene.world.state)
    said = str(action.get("name", ""))
    if way is not None:
        what = {"name": way.room or said, "to": way.called.get("to"), **_described(way.about)}
    elif action.get("type") == MOVE and said.lower() in map(str.lower, names):
        what = {"name": names[0], **_described(scene.world.state.get("location"))}
    else:
        return {}
    if what.get("to") in (None, what["name"]):
        what.pop("to", None)
    return what


def _described(place: Any) -> dict[str, str]:
    said = place.get("description") if isinstance(place, Mapping) else None
    return {"description": said} if isinstance(said, str) else {}


def _place(scene: Scene) -> Any:
    place = scene.world.state.get("location")
    if isinstance(place, Mapping):
        return {key: place[key] for key in ("name", "description") if key in place}
    return place


FAILED = ("failure", "miss")

SHOWN = ("name", "side", "race", "class", "kind", "description")
"""What a prompt shows of an actor: nothing that the outcome decides, or that keeps changing."""


def _sheet(scene: Scene, actor_id: str) -> Mapping[str, Any]:
    actor = scene.world.actor(actor_id)
    return {key: actor[key] for key in SHOWN if key in actor}


def _known(content: Mapping[str, Any], actor_id: str, action: Declared) -> dict[str, Any]:
    """What the content has of an actor; what the action looks like, if it is the one who acts."""
    acts = actor_id == action.actor
    found = {
        kind: shown(kind, of[actor_id], action.action, acts)
        for kind, of in content.items()
        if actor_id in of
    }
    return {kind: value for kind, value in found.items() if value is not None}


def _lore(content: Mapping[str, Any], actors: Collection[str]) -> dict[str, Any]:
    """What the content has that is about nobody in particular."""
    found: dict[str, Any] = {}
    for kind, of in content.items():
        every = {name: shown(kind, value, {}, False) for name, value in of.items()}
        some = {
            name: value for name, value in every.items() if name not in actors and value is not None
        }
        if some:
            found[kind] = some
    return found


def _fact(scene: Scene, entry: Entry) -> dict[str, Any]:
    action, what = entry.declared.action, entry.happened
    fact: dict[str, Any] = {
        "actor": name_of(scene, entry.declared.actor, entry.declared),
        "action": {key: action[key] for key in ("type", "name") if key in action},
        "target": name_of(scene, what.target, entry.declared),
        "result": what.told,
    }
    if is_save(action, what.result, what.values):
        fact["save"] = True
    if what.told not in FAILED:
        fact["behind"] = _behind(scene, action) or None
        answers = talks_to(scene.world, action)
        fact["answers"] = None if answers is None else name_of(scene, answers, entry.declared)
    if what.values:
        fact["values"] = dict(what.values)
    if health_of(scene.world.state, entry.declared.actor) == 0:
        fact["actor_down"] = True
    if what.down:
        fact["down"] = True
    if what.unsure:
        fact["unsure"] = True
    return {key: value for key, value in fact.items() if value is not None}
