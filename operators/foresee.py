"""What the actors of a session are likely to do next, learned from what they have done in it.

    world       ──w──w(outcome)──w──w(turn)──w(say)──►   on_world: learn what was done
    candidates    ?──────────────?──?────────?────────    actions that may be resolved next

An action is told in two steps, each by an ensemble of its own: what is done, as this actor, its
kind and its side do; and at whom, as this actor aims such things. So a weapon that was never swung
is known to be swung at the foe whom everybody fights. What is said at the table is weighed beside
both, by how well such words have told it so far.

The formula of the document is no voice here: it goes by the hour of the day, and within a session
it added nothing that was measurable, but would have made what is prepared depend on a wall clock.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from ..streams.events import Action, Outcome
from ..streams.world import Declared, World
from .aims import aim_of
from .candidate import Candidate, Foreseen, Mark, declared_in
from .classify import Context, Scene, classify
from .expect import BY, MOST, WORDS, Expectations
from .heard import Talk
from .odds_learned import LearnedOdds
from .predictors import Key
from .usage import item_of
from .wander import KINDS

__all__ = ["BY", "WORDS", "Candidate", "Foresight", "Mark"]

MOST_OPEN = 64
MOST_HEARD = 4096


class Foresight:
    """Learns what actors do, and says what may come next.

    It depends on the worlds it was shown and on nothing else, so that a replay, or a session that
    goes on from its log, foresees the same. What a rewind undoes still counts for how often, and at
    whom, such things are done; but that the actor can do it is forgotten. Memory is bounded.

    :param listens: whether what is said at the table counts.
    :param context: tells the kind of moment of a world.
    :param on_mark: called with each thing that was done in a turn.
    """

    def __init__(
        self,
        *,
        listens: bool = True,
        context: Callable[[World], Context] = lambda world: classify(world).context,
        on_mark: Callable[[Mark], None] = lambda mark: None,
    ) -> None:
        self.listens = listens
        self._context = context
        self._on_mark = on_mark
        self.odds = LearnedOdds()
        """What comes of what is done, as learned when last something was asked."""
        self._expectations = Expectations()
        self._open: OrderedDict[str, tuple[float, Foreseen]] = OrderedDict()
        self._openly: OrderedDict[Key, None] = OrderedDict()
        self._memo: tuple[Any, Foreseen] = ((None, None), Foreseen())
        self._news: tuple[World, World] | None = None
        self._learned = 0
        self._asked = self._first = self._first_three = 0

    def on_world(self, before: World, after: World) -> None:
        """Learn from what has just happened, if it is something that somebody did.

        What came of it is learned when next something is asked, or at :meth:`catch_up`: whoever
        waits to be told of it does not wait for that.
        """
        self.catch_up()
        event = after.cause
        self._hear(after)
        if isinstance(event, Action):
            if event.action is not None and event.action_id not in before.actions:
                self._open[event.action_id] = after.t, self._foreseen(before)
                if len(self._open) > MOST_OPEN:
                    self._open.popitem(last=False)
        elif isinstance(event, Outcome):
            self._news = before, after

    def catch_up(self) -> None:
        """Learn from the last outcome, if that is not done yet."""
        if self._news is None:
            return
        (before, after), self._news = self._news, None
        event = after.cause
        assert isinstance(event, Outcome)
        name = event.action_id or f"#{after.number}"
        done, known = after.actions.get(name), before.actions.get(name)
        if done is None or (known is not None and known.resolved):
            return
        asked = self._open.pop(name) if name in self._open else None
        t, foreseen = asked or (after.t, self._foreseen(before))
        self._mark(before, t, foreseen, done)
        self.odds.note(before, done, event)
        if done.actor:
            self._expectations.learn(before, self._context(before), done, after.number)
        self._learned += 1

    def _hear(self, world: World) -> None:
        """What was done, or is about to be, for all to know."""
        event = world.cause
        if not isinstance(event, Action | Outcome) or event.to:
            return
        known = world.actions.get(event.action_id or f"#{world.number}")
        if known is not None:
            self._openly[item_of(known.action)] = None
            self._openly.move_to_end(item_of(known.action))
            if len(self._openly) > MOST_HEARD:
                self._openly.popitem(last=False)

    def openly(self, action: Mapping[str, Any]) -> bool:
        """Whether all have heard of such a thing: somebody did it, or said so, and not to some."""
        return item_of(action) in self._openly

    def _mark(self, world: World, t: float, foreseen: Foreseen, done: Declared) -> None:
        """How well it was foreseen what came."""
        expectations = self._expectations
        keys = [each.declared.key for each in foreseen.candidates[:MOST]]
        place = keys.index(done.key) + 1 if done.key in keys else 0
        item = item_of(done.action)
        expectations.weigh(foreseen, done.actor, item)
        if world.turn is None:
            return
        self._asked += 1
        self._first += place == 1
        self._first_three += place > 0
        habit = likely = 0.0
        named = None
        if done.actor == world.turn.actor:
            habit = foreseen.habit.get(item, 0.0)
            likely = expectations.probability(foreseen, item)
            if foreseen.said is not None and foreseen.said.first == item:
                named = foreseen.said.since[item]
            expectations.weigh_words(foreseen, item, aim_of(done.actor, done.action))
        mark = Mark(t, done.actor, done.action, place, habit, likely, foreseen.sort, named)
        self._on_mark(mark)

    def candidates(self, scene: Scene) -> list[Candidate]:
        """What may come, most likely first: what is declared, or else the likely ones.

        Of those whose turn it is not, only what they speak of; and outside of combat, as long as no
        options are given, what the place or the talk has open.
        """
        self.catch_up()
        world = scene.world
        return declared_in(world) or self._foreseen(world).candidates

    def report(self) -> dict[str, float | None]:
        """Of what was done in turns, the shares that had been likeliest, and of the first three.

        Whether it was prepared is another matter: a scene may not have called for it.
        """
        self.catch_up()
        asked = self._asked
        return {
            "top1": round(self._first / asked, 4) if asked else None,
            "top3": round(self._first_three / asked, 4) if asked else None,
        }

    def said(self, world: World) -> dict[str, Any]:
        """The likeliest candidates, and what each voice counted in saying so, as plain JSON.

        Of the world whose candidates were asked for last.
        """
        foreseen = self._memo[1]
        by = self._expectations.by(world, foreseen)
        return {
            "actor": world.turn.actor if world.turn is not None else "",
            "by": {voice: round(weight, 4) for voice, weight in by.items()},
            "candidates": [
                {
                    "actor": each.declared.actor,
                    "action": each.declared.action,
                    "probability": round(each.probability, 4),
                    "urgency": round(each.urgency, 4),
                    "source": each.source,
                }
                for each in foreseen.candidates[:MOST]
            ],
        }

    def _foreseen(self, world: World) -> Foreseen:
        talk = Talk(world) if self.listens and world.said else None
        heard = talk.mark if talk is not None else None
        told = (self._learned, world.turn, world.since, heard)
        known, state = self._memo[0]
        if told != known or world.state is not state:
            context = self._context(world)
            silent = talk is None or not talk.speakers()
            if world.turn is None and silent and context not in KINDS:
                return Foreseen()
            thought = self._expectations.thought(world, talk, context)
            self._memo = (told, world.state), thought
        return self._memo[1]
