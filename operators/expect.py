"""What somebody is expected to do, by habit and by word."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ..streams.footprint import action_key, targets_of
from ..streams.world import Declared, World
from .aims import Whom, aim_of, aiming
from .candidate import Candidate, Foreseen, Shares
from .choice import Rate, chosen
from .classify import Context
from .heard import Said, Talk, named_of
from .mixing import Mixing
from .offers import Offers, Repertoire
from .predict_ensemble import Ensemble
from .predict_markov import Markov
from .predict_recency import Recency
from .predictors import Event, Key
from .usage import item_of, scopes_of
from .wander import OFFERED, Wandering

__all__ = ["BY", "MOST", "WORDS", "Expectations", "habits"]

BY = "ensemble"
"""What says which undeclared actions may come; see ``docs/prediction.md`` for why it is this."""

WORDS = "said"
"""The same, where what was said counts for more than habit."""

OUTSIDE = "outside"
"""The sort of words of somebody whose turn it is not."""

NAMED = 0.6
"""How surely something must be named by who is not in turn."""

MOST = 3
"""So many candidates are named."""

MOST_OPEN = 6
"""And so many of what a place or a talk has open."""


class _Around(NamedTuple):
    """What is there to think about."""

    world: World
    talk: Talk | None
    whom: Whom
    context: Context


def habits() -> Ensemble:
    """The ensemble that was best at telling, within a session, what comes next."""
    return Ensemble([Recency(), Markov()])


class Expectations:
    """What actors can do, how likely each of it is, and at whom; learned as it is done."""

    def __init__(self) -> None:
        self._items = habits()
        self._aims = habits()
        self._repertoire = Repertoire()
        self._wandering = Wandering(self._items, habits())
        self._mixing = Mixing()
        self._offered: dict[str, Rate] = {}
        self._names: tuple[Offers, dict[Key, tuple[str, ...]]] = ({}, {})
        self._new_item = Rate(2.0, 5.0)
        self._new_aim = Rate(1.0, 5.0)

    def learn(self, world: World, context: Context, done: Declared, number: int) -> None:
        """Somebody did something, with the input of this number, in this world."""
        actor = done.actor
        item, aim = item_of(done.action), aim_of(actor, done.action)
        scopes, aims = scopes_of(world, actor), aiming(world, actor, item)
        if world.turn is not None and world.turn.actor == actor:
            offered = self._repertoire.offered(world, actor)
            self._new_item.note_of(item, [*offered], self._items)
            if not any(map(targets_of, offered.get(item, ()))):
                offers = Whom(world).aims(actor, item[0])
                self._new_aim.note_of(aim, offers, self._aims)
        self._items.observe(Event(0.0, item, scopes))
        self._aims.observe(Event(0.0, aim, aims))
        if not self._wandering.note(world, context, done, number):
            self._repertoire.note(scopes, done.action, number)

    def _rate(self, sort: str) -> Rate:
        """How often what came was among what was thought of."""
        return self._offered.setdefault(sort, Rate(1.0, 3.0 if sort == OUTSIDE else 2.0))

    def weigh(self, foreseen: Foreseen, actor: str, item: Key) -> None:
        """How well it was known what was offered: ``actor`` has done this ``item``."""
        if foreseen.outside:
            self._rate(OUTSIDE).note((actor, item) in foreseen.outside)
        if foreseen.habit:
            self._rate(foreseen.sort).note(item in foreseen.habit)
        if foreseen.open:
            self._rate(foreseen.context).note((actor, item) in foreseen.open)
            self._wandering.weigh(item, sorted({each for _, each in foreseen.open}))

    def weigh_words(self, foreseen: Foreseen, item: Key, aim: Key) -> None:
        """How well words have told what the actor in turn did."""
        if foreseen.word:
            self._mixing.learn(foreseen.sort, item, foreseen.habit, foreseen.word)
        if item in foreseen.aims:
            sort, habit, word = foreseen.aims[item]
            self._mixing.learn(sort, aim, habit, word)

    def probability(self, foreseen: Foreseen, item: Key) -> float:
        """How likely it was thought that the actor in turn does this, of what it can do."""
        return self._likely(foreseen).get(item, 0.0)

    def _likely(self, foreseen: Foreseen) -> Shares:
        if not foreseen.word:
            return foreseen.habit
        return self._mixing.mixed(foreseen.sort, foreseen.habit, foreseen.word)

    def by(self, world: World, foreseen: Foreseen) -> dict[str, float]:
        """What each voice counts in saying what the actor in turn does; they come to 1."""
        actor = world.turn.actor if world.turn is not None else ""
        weights = self._items.weights(scopes_of(world, actor))
        words = self._mixing.weight(foreseen.sort) if foreseen.word else 0.0
        found = {
            voice: (1.0 - words) * each
            for voice, each in zip(self._items.voices, weights, strict=True)
        }
        return {**found, f"{WORDS}: {foreseen.sort}": words} if words else found

    def thought(self, world: World, talk: Talk | None, context: Context) -> Foreseen:
        """What may come next in a world, if nothing is declared.

        :param talk: what is said in it, if that counts.
        """
        found = Foreseen()
        around = _Around(world, talk, Whom(world), context)
        theirs = self._outside(around, found)
        left = 1.0
        for each in theirs:
            left -= each.probability
        opened = self._wanders(around, found, left)
        for each in opened:
            left -= each.probability
        own = self._inside(around, found, left)
        keys = {each.declared.key: None for each in theirs}
        theirs += [each for each in (*opened, *own) if each.declared.key not in keys]
        theirs.sort(key=lambda each: -each.probability)
        opens = [each for each in theirs if each.source == OFFERED][:MOST_OPEN]
        others = [each for each in theirs if each.source != OFFERED][:MOST]
        found.candidates = sorted((*others, *opens), key=lambda each: -each.probability)
        return found

    def _wanders(self, around: _Around, found: Foreseen, left: float) -> list[Candidate]:
        """Where somebody may go, or what it may say, outside of combat."""
        world, context, wandering = around.world, around.context, self._wandering
        if world.turn is not None and world.turn.options:
            return []
        share = left * self._rate(context).share
        candidates = []
        for actor, whose in wandering.actors(world, context).items():
            heard = around.talk is not None
            offers = wandering.offers(world, context, actor, heard=heard)
            found.open |= {(actor, item) for item in offers}
            for item, p in wandering.shares(world, actor, offers).items():
                aims: Shares = {(): 1.0}
                if any(map(targets_of, offers[item])):
                    aims = self._aimed(around, actor, item, offers[item], found)
                candidates += [
                    Candidate(
                        _declared(world, actor, _at(actor, aim, offers[item])),
                        share * whose * p * q,
                        OFFERED,
                    )
                    for aim, q in aims.items()
                ]
        found.context = context
        return candidates

    def _inside(self, around: _Around, found: Foreseen, left: float) -> list[Candidate]:
        """What the actor of the open turn may do; ``left``: the probability that it acts."""
        world, talk = around.world, around.talk
        if world.turn is None:
            return []
        actor, said = world.turn.actor, None
        if talk is not None and talk.lines(actor)[1]:
            offered = self._repertoire.able(world, actor)
            said = talk.pointed(actor, self._called(offered), self._repertoire.done(actor))
        else:
            offered = self._repertoire.offered(world, actor)
        scopes = scopes_of(world, actor)
        found.habit = chosen(self._items, self._new_item, [*offered], scopes)
        if said is not None and (word := said.over(found.habit)):
            found.said, found.sort, found.word = said, said.sort, word
        likely = self._likely(found)
        share = left * self._rate(found.sort).share
        best: list[tuple[float, Key, Key]] = []
        for item in sorted(likely, key=lambda each: -likely[each]):
            if len(best) == MOST and best[-1][0] >= likely[item]:
                break  # whomever it is aimed at, it is none of the likeliest
            aims = self._aimed(around, actor, item, offered[item], found)
            best += [(likely[item] * p, item, aim) for aim, p in aims.items()]
            best = sorted(best, key=lambda each: -each[0])[:MOST]
        scores = said.scores if said is not None else {}
        return [
            Candidate(
                _declared(world, actor, _at(actor, aim, offered[item])),
                p * share,
                self._by(found, item),
                urgency=scores.get(item, 0.0),
            )
            for p, item, aim in best
        ]

    def _by(self, found: Foreseen, item: Key) -> str:
        weight = self._mixing.weight(found.sort) if found.word else 0.0
        words = weight * found.word.get(item, 0.0) > (1.0 - weight) * found.habit[item]
        return WORDS if words else BY

    def _outside(self, around: _Around, found: Foreseen) -> list[Candidate]:
        """What those speak of doing whose turn it is not."""
        world, talk, whom, context = around
        spoken: list[tuple[str, Said, Offers]] = []
        if talk is None:
            return []
        for actor in talk.speakers():
            able: Offers = {}
            if actor in whom.standing:
                known = self._repertoire.able(world, actor)
                able = {**known, **self._wandering.offers(world, context, actor)}
            said = talk.pointed(actor, self._called(able), self._repertoire.done(actor))
            if said is not None and said.best >= NAMED:
                spoken.append((actor, said, able))
        candidates = []
        for actor, said, able in spoken:
            item = said.first or ()
            share = self._rate(OUTSIDE).share * said.over(said.scores)[item] / len(spoken)
            found.outside.append((actor, item))
            aims = self._aimed(around, actor, item, able[item], found)
            aim = max(aims, key=lambda each: aims[each])
            who = _declared(world, actor, _at(actor, aim, able[item]))
            candidates.append(Candidate(who, share * aims[aim], WORDS, urgency=said.scores[item]))
        return candidates

    def _called(self, offered: Offers) -> dict[Key, tuple[str, ...]]:
        """By what each thing is called; those of a turn's options are remembered."""
        if self._names[0] is not offered:
            called = {item: named_of(actions[0]) for item, actions in offered.items()}
            self._names = offered, called
        return self._names[1]

    def _aimed(
        self,
        around: _Around,
        actor: str,
        item: Key,
        offers: Sequence[Mapping[str, Any]],
        found: Foreseen,
    ) -> Shares:
        """At whom it may be aimed, with the probability of each."""
        world, talk, whom, _ = around
        aims = [aim_of(actor, each) for each in offers if targets_of(each)]
        aims = aims or [*whom.again(actor, item), *whom.aims(actor, item[0])]
        likely = chosen(self._aims, self._new_aim, aims, aiming(world, actor, item))
        named = talk.aimed_at(actor, aims) if talk is not None else None
        if named is None:
            return likely
        word = named.over(likely)
        found.aims[item] = named.sort, likely, word
        return self._mixing.mixed(named.sort, likely, word)


def _declared(world: World, actor: str, action: Mapping[str, Any]) -> Declared:
    return Declared(actor, action, action_key(actor, action), world.baseline)


def _at(actor: str, aim: Key, offers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """One of what is offered, aimed so."""
    given = next((each for each in offers if aim and aim_of(actor, each) == aim), None)
    action = {**(given or offers[0])}
    action.pop("also", None)
    if aim and given is None:
        ids = [each or actor for each in aim]
        action["target"] = ids if len(ids) > 1 else ids[0]
    return action
