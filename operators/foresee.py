"""What the actors of a session are likely to do next, learned from what they have done in it.

    world       ──w──w(outcome)──w──w(turn)──►   on_world: learn what was done
    candidates    ?──────────────?──?────────     actions that may be resolved next

An action is told in two steps, each by an ensemble of its own: what is done, as this actor, its
kind and its side do; and at whom, as this actor aims such things. So a weapon that was never swung
is known to be swung at the foe whom everybody fights.

The formula of the document is no voice here: it goes by the hour of the day, and within a session
it added nothing that was measurable, but would have made what is prepared depend on a wall clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..streams.events import Action, Odds, Outcome
from ..streams.footprint import action_key, targets_of
from ..streams.world import Declared, World
from .aims import aim_of, aiming, aims_of, standing
from .choice import Rate, chosen
from .classify import Scene
from .predict_ensemble import Ensemble
from .predict_markov import Markov
from .predict_recency import Recency
from .predictors import Event, Key
from .usage import item_of, scopes_of

__all__ = ["BY", "Candidate", "Foresight", "habits"]

BY = "ensemble"
"""What says which undeclared actions may come; see ``docs/prediction.md`` for why it is this."""

MOST_ITEMS = 8
"""So many of the likeliest things to do are aimed; the others are not thought of."""

MOST_CANDIDATES = 16
MOST_OFFERS = 256
MOST_OPEN = 64
SHOWN = 3
MOST_ACTORS, MOST_KNOWN = 1024, 32
_Done = tuple[int, int, Mapping[str, Any]]
"""The first input and the last one with which it was done, and the action without its target."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """An action that may be resolved next, and why it is thought so.

    ``probability``: that it is what comes next; of a declared one, that it comes. ``urgency``: how
    soon it is expected, from 0, some time in this turn, to 1, now.
    """

    declared: Declared
    probability: float
    source: str
    odds: Odds | None = None
    rolled: str | Mapping[str, str] | None = None
    urgency: float = 0.0


def habits() -> Ensemble:
    """The ensemble that was best at telling, within a session, what comes next."""
    return Ensemble([Recency(), Markov()])


class Foresight:
    """Learns what actors do, and says what the open turn may bring.

    It depends on the worlds it was shown and on nothing else, so that a replay, or a session that
    goes on from its log, foresees the same. What a rewind undoes still counts for how often, and at
    whom, such things are done; but that the actor can do it is forgotten. Memory is bounded.
    """

    def __init__(self) -> None:
        self._items = habits()
        self._aims = habits()
        self._known: OrderedDict[str, dict[Key, _Done]] = OrderedDict()
        self._open: OrderedDict[str, list[Candidate]] = OrderedDict()
        self._offered = Rate(1.0, 2.0)
        self._new_item = Rate(2.0, 5.0)
        self._new_aim = Rate(1.0, 5.0)
        self._memo: tuple[Any, list[Candidate]] = (None, [])
        self._learned = 0
        self._asked = self._first = self._first_three = 0

    def on_world(self, before: World, after: World) -> None:
        """Learn from what has just happened, if it is something that somebody did."""
        event = after.cause
        if isinstance(event, Action):
            if event.action is not None and event.action_id not in before.actions:
                self._open[event.action_id] = self._foreseen(before)
                if len(self._open) > MOST_OPEN:
                    self._open.popitem(last=False)
        elif isinstance(event, Outcome):
            name = event.action_id or f"#{after.number}"
            done, known = after.actions.get(name), before.actions.get(name)
            if done is None or (known is not None and known.resolved):
                return
            foreseen = self._open.pop(name, None)
            if before.turn is not None:
                self._mark(self._foreseen(before) if foreseen is None else foreseen, done.key)
            if done.actor:
                self._learn(before, done, after.number)

    def _mark(self, foreseen: Sequence[Candidate], key: str) -> None:
        """How well it was foreseen what came."""
        place = next((n for n, each in enumerate(foreseen) if each.declared.key == key), -1)
        self._asked += 1
        self._first += place == 0
        self._first_three += 0 <= place < 3
        self._offered.note(place >= 0)

    def _learn(self, world: World, done: Declared, number: int) -> None:
        actor = done.actor
        item, aim = item_of(done.action), aim_of(actor, done.action)
        scopes, aims = scopes_of(world, actor), aiming(world, actor, item)
        if world.turn is not None and world.turn.actor == actor:
            offered = self._offers(world, actor)
            self._new_item.note_of(item, [*offered], self._items, scopes)
            if not any(map(targets_of, offered.get(item, ()))):
                self._new_aim.note_of(aim, aims_of(world, actor, item[0]), self._aims, aims)
        self._items.observe(Event(0.0, item, scopes))
        self._aims.observe(Event(0.0, aim, aims))
        for who in scopes[:2]:
            self._note(who, item, done.action, number)
        self._learned += 1

    def _note(self, who: str, item: Key, action: Mapping[str, Any], number: int) -> None:
        """An actor, or its kind, can do this; it did so with the input of this number."""
        known = self._known.setdefault(who, {})
        first = known.pop(item)[0] if item in known else number
        what = {name: value for name, value in action.items() if name != "target"}
        known[item] = first, number, what
        if len(known) > MOST_KNOWN:
            del known[next(iter(known))]
        self._known.move_to_end(who)
        if len(self._known) > MOST_ACTORS:
            self._known.popitem(last=False)

    def candidates(self, scene: Scene) -> list[Candidate]:
        """What the turn may bring, most likely first: what is declared, or else the likely ones.

        Without options, what the actor has done so far and the attacks on its sheet may come; of
        one without either, what its kind does.
        """
        world = scene.world
        declared = [
            Candidate(each, 1.0, "declared", each.event.odds, each.event.rolled, urgency=1.0)
            for each in world.actions.values()
            if each.event is not None and not each.resolved
        ]
        return declared or self._foreseen(world)

    def report(self) -> dict[str, float | None]:
        """Of what was done in turns, the shares that had been likeliest, and of the first three.

        Whether it was prepared is another matter: a scene may not have called for it.
        """
        asked = self._asked
        return {
            "top1": round(self._first / asked, 4) if asked else None,
            "top3": round(self._first_three / asked, 4) if asked else None,
        }

    def said(self, world: World, found: Sequence[Candidate]) -> dict[str, Any]:
        """The likeliest candidates, and what each voice counted in saying so, as plain JSON."""
        actor = world.turn.actor if world.turn is not None else ""
        weights = self._items.weights(scopes_of(world, actor))
        return {
            "actor": actor,
            "by": {
                voice: round(weight, 4)
                for voice, weight in zip(self._items.voices, weights, strict=True)
            },
            "candidates": [
                {
                    "action": each.declared.action,
                    "probability": round(each.probability, 4),
                    "source": each.source,
                }
                for each in found[:SHOWN]
            ],
        }

    def _foreseen(self, world: World) -> list[Candidate]:
        if world.turn is None:
            return []
        actor = world.turn.actor
        sides = [(each, world.actor(each).get("side")) for each in standing(world)]
        sheet = world.actor(actor).get("attacks")
        scopes = scopes_of(world, actor)
        mark = (self._learned, world.undone, world.turn, world.since, sides, scopes, sheet)
        if mark != self._memo[0]:
            self._memo = mark, self._weighed(world, actor)
        return self._memo[1]

    def _weighed(self, world: World, actor: str) -> list[Candidate]:
        offered = self._offers(world, actor)
        scopes = scopes_of(world, actor)
        share = self._offered.share
        found: dict[str, Candidate] = {}
        for item, likely in chosen(self._items, self._new_item, [*offered], scopes)[:MOST_ITEMS]:
            for action, aimed in self._aimed(world, actor, item, offered[item]):
                key = action_key(actor, action)
                who = Declared(actor, action, key, world.baseline)
                found.setdefault(key, Candidate(who, likely * aimed * share, BY))
        return sorted(found.values(), key=lambda each: -each.probability)[:MOST_CANDIDATES]

    def _offers(self, world: World, actor: str) -> dict[Key, list[Mapping[str, Any]]]:
        """What the actor can do, in the order given; one thing may be offered at many targets."""
        turn = world.turn
        if turn is not None and turn.options:
            offered: dict[Key, list[Mapping[str, Any]]] = {}
            for option in turn.options[:MOST_OFFERS]:
                offered.setdefault(item_of(option), []).append(option)
            return offered
        scopes = scopes_of(world, actor)
        offered = self._done(world, scopes[0])
        for action in _sheet(world, actor):
            offered.setdefault(item_of(action), [action])
        return offered or self._done(world, scopes[1])

    def _done(self, world: World, who: str) -> dict[Key, list[Mapping[str, Any]]]:
        """What an actor, or its kind, has done and no rewind has undone, the last one first."""
        return {
            item: [action]
            for item, (first, last, action) in reversed(self._known.get(who, {}).items())
            if world.stands(last) or world.stands(first)
        }

    def _aimed(
        self, world: World, actor: str, item: Key, offers: Sequence[Mapping[str, Any]]
    ) -> Iterable[tuple[Mapping[str, Any], float]]:
        """The action at each whom it may be aimed at, with the probability of each."""
        said = {aim_of(actor, each): each for each in offers if targets_of(each)}
        aims = [*said] or [*_again(world, actor, item), *aims_of(world, actor, item[0])]
        for aim, likely in chosen(self._aims, self._new_aim, aims, aiming(world, actor, item)):
            action = dict(said.get(aim, offers[0]))
            if aim and aim not in said:
                ids = [each or actor for each in aim]
                action["target"] = ids if len(ids) > 1 else ids[0]
            yield action, likely


def _again(world: World, actor: str, item: Key) -> Iterable[Key]:
    """The several that the actor aimed this at when it acted last, if all of them stand."""
    last = world.last.get(actor, {})
    several = len(targets_of(last)) > 1 and item_of(last) == item
    if several and set(targets_of(last)) <= {*standing(world)}:
        yield aim_of(actor, last)


def _sheet(world: World, actor: str) -> Iterable[Mapping[str, Any]]:
    attacks = world.actor(actor).get("attacks")
    for attack in attacks if isinstance(attacks, list) else ():
        name = attack.get("name") if isinstance(attack, Mapping) else attack
        if isinstance(name, str):
            yield {"type": "attack", "name": name}
