"""What a scene needs to be told well: which content is loaded ahead, and under which names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from ..streams.content import NOTHING, Ask, kind_of, names_in
from ..streams.content_names import HEALTH, NUMBER, SHORT, initials_of, plain, whole
from ..streams.footprint import targets_of
from ..streams.places import behind, ways_of
from .classify import Context, Scene
from .publish import Fault
from .schedule_items import Item, Kind, Urgency, circle_of
from .wander import is_player

__all__ = ["PRELOADS", "Need", "Preload", "Wanted", "is_of", "key_of", "preloads_of"]

MOST = 200
"""Items of one scene."""
MOST_STEPS = 8
"""From one content to the next that it needs."""
MOST_KEY = 200
OR = " / "
"""Between the names in a key."""
OF_A_SPELL = 160
"""Characters."""
PRESENT = 0.95
"""How likely one who is there has a part in what is told."""
NEXT_DOOR = 0.6
"""How likely what is said of a place behind an exit is needed."""


class Need(NamedTuple):
    """Something a scene needs.

    :param names: what it may be called, the surest first; or its one name.
    :param of: the actor it is about; with none, every prompt of the scene has it.
    :param about: what the state says of it, for the source to go by.
    :param mark: what else it depends on: with another, it is another content.
    :param size: its characters, if known.
    :param alternative: the name of what to ask for in its place, if its source fails.
    """

    names: tuple[str, ...] | str
    of: str | None = None
    confidence: float = 1.0
    urgency: Urgency = Urgency.MEDIUM
    about: Mapping[str, Any] = NOTHING
    mark: str = ""
    size: int | None = None
    alternative: str | None = None


@dataclass(frozen=True, slots=True)
class Preload:
    """A kind of content that is loaded ahead, when, and what of it.

    :param kind: its name; or a :class:`Kind` of the game's own, whose own source is asked if it
        has one.
    :param contexts: in which contexts.
    :param needs: what a scene needs of it. Called with each scene that differs from the last; it
        must go by the scene alone, and be quick.
    :param then: what it needs beside, for what was loaded: called with the scene, and by key with
        what is there of all that it needs; anew when content comes that, as its kind says,
        ``changes_context``.
    """

    kind: str | Kind
    contexts: Collection[Context]
    needs: Callable[[Scene], Iterable[Need]]
    then: Callable[[Scene, Mapping[str, Any]], Iterable[Need]] | None = None

    @property
    def name(self) -> str:
        """The name of the kind."""
        return self.kind if isinstance(self.kind, str) else self.kind.name


class Wanted(NamedTuple):
    """An item to load, what to ask for, and whom it is about; ``said`` is what it is called.

    ``instead`` is what to ask for if its source fails.
    """

    item: Item
    ask: Ask
    mark: str
    of: tuple[str | None, ...]
    said: str
    instead: Ask | None = None


def preloads_of(
    scene: Scene, preloads: Sequence[Preload], fault: Fault, known: Mapping[str, Any] = NOTHING
) -> dict[str, Wanted]:
    """What of the preloads a scene needs, by key; what several actors share is one item.

    Of more than 200 it is the likeliest. A preload that raises is told, and costs only itself;
    where alternatives go in a circle, there are none.

    :param known: the content there is, by key: some may need more.
    """
    found: dict[str, Wanted] = {}
    for preload in preloads:
        try:
            if scene.context in preload.contexts:
                found = _with(found, preload.name, preload.needs(scene))
        except Exception as error:
            fault("preload", error)
    for _ in range(MOST_STEPS):
        before = {*found}
        there = {key: known[key] for key in found if known.get(key) is not None}
        for preload in preloads if there else ():
            try:
                if preload.then is not None and scene.context in preload.contexts:
                    found = _with(found, preload.name, preload.then(scene, there))
            except Exception as error:
                fault("preload", error)
        if found.keys() == before:
            break
    while circle := circle_of({key: wanted.item for key, wanted in found.items()}):
        for key in circle:
            item = replace(found[key].item, alternative=None)
            found[key] = found[key]._replace(item=item, instead=None)
        fault("preload", ValueError(f"alternatives go in a circle: {' → '.join(circle)[:200]}"))
    if len(found) > MOST:
        by_likelihood = sorted(found, key=lambda key: -found[key].item.confidence)
        return {key: found[key] for key in by_likelihood[:MOST]}
    return found


def _with(so_far: Mapping[str, Wanted], kind: str, needs: Iterable[Need]) -> dict[str, Wanted]:
    found = dict(so_far)
    for need in needs:
        said = (need.names,) if isinstance(need.names, str) else need.names
        names = tuple(name for name in dict.fromkeys(said) if plain(name))
        if not names:
            continue
        key = _key(kind, names, need.about)
        item = Item(key, kind, need.confidence, need.urgency, size=need.size)
        instead = None
        if need.alternative is not None and plain(need.alternative):
            other = _key(kind, (need.alternative,), need.about)
            if other != key:
                instead = Ask(kind, (need.alternative,), need.about, other)
                item = replace(item, alternative=other)
        ask = Ask(kind, names, need.about, key)
        wanted = Wanted(item, ask, need.mark, (need.of,), names[0], instead)
        known = found.get(key, wanted)
        likelier = known if known.item.confidence >= item.confidence else wanted
        of = wanted.of if known is wanted else (*known.of, need.of)
        found[key] = likelier._replace(of=of)
    return found


def key_of(resource: str) -> str | None:
    """The key of what a game says was needed, such as ``statblock:sea-hag``."""
    kind, colon, name = resource.partition(":")
    return _key(kind_of(kind), (name,)) if colon and plain(name) else None


def is_of(key: str, named: str) -> bool:
    """Whether what ``named`` says, a key of one name, may be meant by a key of several."""
    kind, _, name = named.partition(":")
    own, _, names = key.partition(":")
    return key == named or (kind_of(own) == kind and name in names.split(OR))


def _key(kind: str, names: Sequence[str], about: Mapping[str, Any] = NOTHING) -> str:
    """Of all names, for any may be the one that is known: "human" are the bandit and the mage.

    Creatures are counted, and are of one kind all the same; but initials say too little. Where no
    other name says what they stand for, health does.
    """
    if kind != "stat_block":
        return f"{kind}:{OR.join(dict.fromkeys(map(whole, names)))}"[:MOST_KEY]
    parts: list[str] = []
    short = False
    for name in names:
        full = whole(name)
        bare = NUMBER.sub("", full) or full
        said = {each for part in parts for each in (part, initials_of(part))}
        if full in said or bare in said or (parts and bare.isdigit()):
            continue
        initials = SHORT.fullmatch(name.strip()) is not None
        short |= initials
        parts.append(full if initials else bare)
    health = about.get(HEALTH[0])
    if short and isinstance(health, int | float):
        parts.append(f"{health:g} hp")
    return f"{kind}:{OR.join(parts)}"[:MOST_KEY]


def _likely(scene: Scene) -> dict[str, float]:
    """Who has a part in what is told next: whoever's turn it is, who acts, and at whom."""
    world = scene.world
    turn = () if world.turn is None else (world.turn.actor,)
    acting = (
        each
        for declared in world.actions.values()
        if not declared.resolved
        for each in (declared.actor, *targets_of(declared.action))
    )
    return dict.fromkeys((*turn, *acting), 1.0)


def _called(actor_id: str, actor: Mapping[str, Any]) -> tuple[str, ...]:
    said = (actor.get("kind"), actor.get("species"), actor.get("name"), actor_id)
    return tuple(each for each in said if isinstance(each, str))


def _monsters(scene: Scene) -> Iterator[Need]:
    """The stat blocks of all who are no player characters."""
    likely = _likely(scene)
    for each in scene.world.actors:
        actor = scene.world.actor(each)
        if not is_player(actor):
            yield Need(_called(each, actor), each, likely.get(each, PRESENT), about=actor)


def _casters(scene: Scene) -> Iterator[Need]:
    """The spell lists of the player characters."""
    likely = _likely(scene)
    for each in scene.world.actors:
        actor = scene.world.actor(each)
        if not is_player(actor):
            continue
        spells = names_in(actor.get("spells"))
        own = actor.get("name")
        names = (own if isinstance(own, str) and plain(own) else each, each)
        mark = "\n".join((str(actor.get("class") or ""), *spells))
        size = OF_A_SPELL * len(spells) if spells else None
        how = likely.get(each, PRESENT)
        yield Need(names, each, how, about=actor, mark=mark, size=size)


def _place(scene: Scene) -> Iterator[Need]:
    """What is told of where the party is, and of where its exits lead.

    Whatever is told happens there: it is urgent, so that prompts wait for it, 100 ms at most.
    """
    place = scene.world.state.get("location")
    if isinstance(place, str):
        yield Need((place,), urgency=Urgency.CRITICAL)
    elif isinstance(place, Mapping):
        for name in (str(place[key]) for key in ("name", "id") if place.get(key)):
            # Each by itself, as an exit has said one of them.
            yield Need((name,), urgency=Urgency.CRITICAL)
    for way in ways_of(scene.world.state):
        if way.room is not None:
            yield Need((way.room,), of=behind(way.room), confidence=NEXT_DOOR)


def _spoken_to(scene: Scene, urgency: Urgency = Urgency.MEDIUM) -> Iterator[Need]:
    """Who is spoken to."""
    dialogue = scene.world.state.get("dialogue")
    who = dialogue.get("npc") if isinstance(dialogue, Mapping) else dialogue
    if isinstance(who, str):
        own = scene.world.actor(who).get("name")
        yield Need((own, who) if isinstance(own, str) else (who,), urgency=urgency)


def _topic(scene: Scene) -> Iterator[Need]:
    """Who is spoken to, and of what: as urgent as a place."""
    yield from _spoken_to(scene, Urgency.CRITICAL)
    dialogue = scene.world.state.get("dialogue")
    topic = dialogue.get("topic") if isinstance(dialogue, Mapping) else None
    if isinstance(topic, str):
        yield Need((topic,), urgency=Urgency.CRITICAL)


PRELOADS: Sequence[Preload] = (
    Preload("stat_block", (Context.COMBAT,), _monsters),
    Preload("spell_list", (Context.COMBAT,), _casters),
    Preload("lore", (Context.EXPLORATION,), _place),
    Preload("lore", (Context.DIALOGUE,), _topic),
    Preload("voice", (Context.DIALOGUE,), _spoken_to),
)
"""What is loaded ahead, if nothing else is said; a game adds its own: ``(*PRELOADS, Preload(…))``.
"""
