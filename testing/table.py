"""One table of a simulated world: plays its steps against a session, as a game would."""

from __future__ import annotations

import asyncio
import math
import random
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import aclosing, suppress
from copy import deepcopy
from functools import partial
from typing import Any

import orjson

from ..errors import StateError, TellingError
from ..session import Action, Session
from ..sinks.telling import Telling
from ..streams.blows import health_left
from ..streams.bridge import Full, Overrun
from ..streams.clock import VirtualLoop
from ..streams.events import Delivered
from ..streams.repeats import WITHIN
from .broken import Broken
from .checker import Guarantees
from .evidence import EPSILON
from .moods import GuestError
from .sentinel import Said

__all__ = ["Table"]

VIEWERS = ("mira", "gm")
FRAME = 0.01667
"""Seconds, about 60 times a second; no setting is a multiple of it, so that nothing coincides."""

Known = tuple[Action[Any], str, str, list[str]]


def first_state() -> dict[str, Any]:
    """Five actors in a mill, fighting."""
    return {
        "mode": "combat",
        "location": {"id": "mill", "name": "Old mill"},
        "actors": {
            f"a{n}": {
                "name": f"Actor a{n}",
                "side": ("party", "foes")[n % 2],
                "hp": 40,
                "max_hp": 40,
                "ac": 12,
                "pos": [0, 0],
            }
            for n in range(5)
        },
    }


class Table:
    """The game master's side of one session: its state, its open actions, and its guests.

    Each method ``do_…`` is one kind of :class:`Step`. A step that makes no sense any more, for
    the one it builds on was taken out, does nothing.
    """

    def __init__(
        self, session: Session[Any], number: int, passed: Collection[Said] | None = None
    ) -> None:
        self.held = Guarantees(session, VIEWERS)
        self.held.known.passed = passed
        self.state = first_state()
        self.session = session
        self.guests: list[asyncio.Task[None]] = []
        self._rng = random.Random(number)
        self._open: dict[str, Known] = {}
        self._told: list[Telling[Any]] = []
        self._happened: dict[str, Telling[Any] | None] = {}
        self._blows: dict[tuple[str | None, str | None], float] = {}
        self._tick = 0
        self._left_at = 0
        self._last: tuple[float, Callable[[], Telling[Any]], Telling[Any]] | None = None
        self.do_guest("raises")  # and those who come after it are to be none the worse for it
        self.held.join()

    async def play(self, do: str, given: Mapping[str, Any]) -> None:
        """One step."""
        work = getattr(self, f"do_{do}")(**given)
        if work is not None:
            await work

    def resume(self, session: Session[Any], lost: Mapping[str, Any]) -> None:
        """Go on in the session as it was resumed from its log."""
        self.session = session
        self.held.resume(session, lost)
        known, self._open = self._open, {}
        for action_id, (_, actor, name, targets) in known.items():
            with suppress(StateError):
                self._open[action_id] = session.action(action_id), actor, name, targets
        self._told.clear()
        self._last = None
        self._happened = dict.fromkeys(self._happened)

    # ── what the game says ────────────────────────────────────────────────────────────────────

    def update(self, because: Action[Any] | None = None) -> None:
        """Say the state as it is."""
        self._tick += 1
        self.state["tick"] = self._tick
        self.session.update(self.state, because)
        if because is not None:
            self._last = None  # what comes now is another blow

    def do_begin(self, actor: str, options: Sequence[str]) -> None:
        """A turn begins."""
        if actor in self.state["actors"]:
            self._open.clear()
            offered = [{"type": "attack", "name": name} for name in options]
            self.session.begin_turn(actor, options=offered)

    def do_end(self) -> None:
        """The turn ends, if there is one."""
        self._open.clear()
        with suppress(StateError):
            self.session.end_turn()

    def do_declare(
        self, action: str, actor: str, name: str, targets: list[str], **known: Any
    ) -> None:
        """An action is declared, or changed; of a ``type``, if it is given."""
        target = _target(targets)
        said = self.session.declare(actor, name, target=target, action_id=action, **known)
        self._open[action] = said, actor, name, targets
        self._last = None

    def do_retract(self, action: str) -> None:
        """It will not happen after all."""
        if action in self._open:
            self._open.pop(action)[0].retract()

    def do_outcome(
        self,
        action: str | None,
        actor: str,
        name: str,
        targets: list[str],
        results: Sequence[tuple[str | None, str, float | None]],
        how: str,
        to: Sequence[str],
        type: str | None = None,
        then: Mapping[str, Any] | None = None,
        effects: Sequence[str] = (),
    ) -> None:
        """The dice have landed; the state comes with it, before it or after it, or is ``said``.

        If it is ``shown``, the blow was struck before, and the state may have moved on since.

        :param then: what the state says afterwards, at its top.
        :param effects: what a blow that hurts did besides.
        """
        besides = {"effects": [*effects]} if effects else {}
        known = self._open.pop(action, None) if action is not None else None
        after = orjson.loads(orjson.dumps({**self.state, **(then or {})}))
        said: list[dict[str, Any]] = []
        hps: list[Any] = []
        for struck, result, damage in results:
            health = after["actors"].get(struck)
            if how == "shown" and health is not None:
                hps.append((self._blows.get((action, struck), health["hp"]), health["hp"]))
                said.append(
                    {"target": struck, "result": result, "values": {"damage": damage, **besides}}
                )
                continue
            if health is not None and damage is not None:
                health["hp"] = max(0, health["hp"] - damage)
            hps.append(health["hp"] if health is not None else None)
            values: dict[str, Any] = {} if damage is None else {"damage": damage, **besides}
            if how == "said" and hps[-1] is not None:
                values["target_hp"] = hps[-1]
            said.append({"target": struck, "result": result, "values": values})
        if how == "before":
            self.state = after
            self.update(because=known[0] if known is not None else None)
        state = None
        if how == "with":
            self._tick += 1
            self.state = state = {**after, "tick": self._tick}
        self._last = None
        if known is not None:
            telling = known[0].outcome(results=said, state=state, to=to)
            again = partial(known[0].outcome, results=said, state=state, to=to)
            self._last = asyncio.get_running_loop().time(), again, telling
        else:
            telling = self.session.outcome(
                actor, name, target=_target(targets), type=type, results=said, state=state, to=to
            )
        number = int(telling.id[1:])
        self.held.expect(number, hps, telling)
        self._listen(telling)
        self._happened[action if known is not None and action else f"#{number}"] = telling
        if state is None and how != "shown":
            self.state = after
            self.update(because=known[0] if known is not None else None)

    def do_twice(self) -> None:
        """The last outcome is reported once more, by a game that tries again."""
        if self._last is None:
            return
        (at, again, telling), now = self._last, asyncio.get_running_loop().time()
        if now - at < WITHIN - EPSILON and again() is not telling:
            raise Broken("G2", "one outcome that is reported twice has two tellings", at=now)

    def do_strike(self, action: str, target: str, damage: float) -> None:
        """The state shows a blow already; its outcome is still to come."""
        struck = self.state["actors"].get(target)
        if action in self._open and struck is not None:
            struck["hp"] = self._blows[action, target] = max(0, struck["hp"] - damage)
            self.update(because=self._open[action][0])

    def do_heal(self, target: str, amount: float) -> None:
        """Somebody feels better."""
        if (healed := self.state["actors"].get(target)) is not None:
            healed["hp"] += amount
            self.update()

    def do_change(self, what: Mapping[str, Any], because: str | None = None) -> None:
        """The state changes: ``{"a1.hp": 3}`` of an actor, else what stands at the top."""
        if because is not None and because not in self._open:
            return
        self._change(what)
        self.update(self._open[because][0] if because is not None else None)

    def _change(self, what: Mapping[str, Any]) -> None:
        actors = self.state["actors"]
        for path, value in what.items():
            who, _, field = path.partition(".")
            if field and who in actors:
                actors[who] = {**actors[who], field: deepcopy(value)}
            elif not field and value is None:
                actors.pop(path, None)
            elif not field and isinstance(value, dict) and "hp" in value:
                actors[path] = deepcopy(value)
            elif not field:
                self.state[path] = deepcopy(value)

    async def do_storm(self, ticks: int, draws: int, meaning: float) -> None:
        """So many states, 60 a second; ``meaning`` is how likely one changes more than places."""
        rng, loop = random.Random(draws), asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        for _ in range(ticks):
            if not (actors := list(self.state["actors"])):
                return
            who = rng.choice(actors)
            what: dict[str, Any] = {f"{who}.pos": [rng.randrange(100), rng.randrange(100)]}
            if rng.random() < meaning:
                what[f"{who}.{rng.choice(('hp', 'ac', 'ammo'))}"] = rng.choice((0, 9, 25))
            self._change(what)
            self.update()
            await loop.idle()
            self.held.check()
            await asyncio.sleep(FRAME)

    def do_say(self, text: str, who: str = "mira", typing: bool = False) -> None:
        """Somebody speaks, or types, and somebody looks something up."""
        self.session.say(who, text, typing=typing)
        self.session.need("statblock:owlbear")

    async def do_rewind(self, share: float, by: str, actor: str = "", again: float = 0.0) -> None:
        """Back to an earlier time or revision, from where the game goes on as it sees fit.

        :param by: ``last`` takes the last input back, ``forth`` goes to what was before the last
            rewind.
        :param actor: who has a new turn then; if nobody, all goes on as it was then.
        :param again: which deed to tell again at once, whether it is undone or not.
        """
        world = self.session.world
        to: float = world.t * share if by == "time" else int(world.number * share)
        if by in ("forth", "last"):
            to = self._left_at if by == "forth" else max(0, world.number - 1)
        self._left_at = world.number
        self._last = None
        with suppress(StateError):  # it may be further back than is kept
            self.session.rewind(to)
        if again:
            self.do_retell(again, "name")
        if actor:
            self.update()
            self.do_begin(actor, ())
            return
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        await loop.idle()
        self.state = deepcopy(dict(self.session.world.state))
        if not self.state:  # a game says how it begins before it says what happens
            self.state = first_state()
            self.update()
        for struck, health in self.state["actors"].items():  # what no state shows yet
            left = health_left(self.session.world, struck)
            if left is not None and math.isfinite(left):
                health["hp"] = max(0, left)
        known, self._open = self._open, {}
        for action_id, (_, who, name, targets) in known.items():
            with suppress(StateError):
                self._open[action_id] = self.session.action(action_id), who, name, targets

    def do_retell(self, share: float, by: str) -> None:
        """Something that happened is to be told again, if it still has happened."""
        if not self._happened:
            return
        name, telling = list(self._happened.items())[int(share * (len(self._happened) - 1))]
        try:
            again = self.session.retell(telling if by == "telling" and telling else name)
        except StateError:
            self.held.refused(name)
        else:
            self.held.expect(int(again.id[1:]), None, again)
            self._listen(again)
            if by == "telling":
                self._happened[name] = again

    def _listen(self, telling: Telling[Any]) -> None:
        self._told = [*(each for each in self._told if each.ended is None), telling]

    def do_cancel(self) -> None:
        """The telling under way is ended early."""
        under_way = [telling for telling in self._told if telling.ended is None]
        if under_way:
            under_way[-1].cancel()
            self.held.cancelled()

    def do_intensity(self, to: str) -> None:
        """More or less is prepared from now on."""
        self.session.intensity = to

    def do_profile(self, changed: Mapping[str, Any]) -> None:
        """The settings of the session change."""
        self.session.apply(changed)

    def do_delivered(self, viewer: str, share: float) -> None:
        """A viewer reports how far it has come in the last telling."""
        tellings = [told for told in self.held.known.shown.tellings.values() if told.text]
        if tellings:
            telling, upto = tellings[-1].id, int(len(tellings[-1].text) * share)
            self.session.put(lambda t: Delivered(t, telling, viewer, upto))

    # ── guests ────────────────────────────────────────────────────────────────────────────────

    def do_guest(self, kind: str) -> None:
        """Somebody who watches, and may do it badly."""
        rng = random.Random(self._rng.random())

        def raises(event: object) -> None:
            if rng.random() < 0.3:
                raise GuestError("a subscriber's own fault")

        async def slow(event: object) -> None:
            await asyncio.sleep(rng.random())
            raises(event)

        match kind:
            case "raises":
                self.session.subscribe(raises)
                self.session.subscribe(raises, "gm")
            case "slow":
                self.session.subscribe(slow)
            case "slow iterator":
                self._start(self._iterate(rng))
            case "reader":
                told = [telling for telling in self._told if telling.ended is None]
                if told:
                    self._start(_read(told[-1], rng.choice((0.0, 0.5))))
            case "late":
                self.held.join()
            case "leaves":
                self._start(self._leave(rng))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self.guests = [task for task in self.guests if not task.done()]
        self.guests.append(asyncio.get_running_loop().create_task(work))

    async def _leave(self, rng: random.Random) -> None:
        """Watches for a while, and is gone in the midst of what is being told."""
        watching = self.session.subscribe(lambda event: None, "gm")
        async with aclosing(self.session.tellings("mira")) as events:
            async for _ in events:
                if rng.random() < 0.2:
                    break
        watching.dispose()

    async def _iterate(self, rng: random.Random) -> None:
        full = rng.choice(list(Full))
        with suppress(Overrun):
            async with aclosing(self.session.tellings(bound=4, full=full)) as events:
                async for _ in events:
                    await asyncio.sleep(rng.random())


def _target(targets: list[str]) -> list[str] | str | None:
    """As most games say it: one target by its name."""
    return targets if len(targets) > 1 else targets[0] if targets else None


async def _read(telling: Telling[Any], every: float) -> None:
    shown = ""
    async for text in telling.text(every=every):
        shown = text
    with suppress(TellingError):
        whole = await telling
        assert whole.text == shown or every, "a reader read another text than it was given"
