"""A party that is out of combat: it goes from place to place, and speaks to whom it meets."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .history import Step

__all__ = ["draw_outing"]

ROOMS: Mapping[str, Any] = {
    "hall": {"id": "hall", "name": "Hall", "exits": ["Cellar", "Yard", "Attic"]},
    "cellar": {"id": "cellar", "name": "Cellar", "exits": {"up": "Hall", "east": "Yard"}},
    "yard": {
        "id": "yard",
        "name": "Yard",
        "exits": [{"name": "oak door", "to": "hall"}, {"id": "attic"}],
    },
    "attic": {"id": "attic", "name": "Attic", "exits": []},
}
"""Each kind of list that a state may have of them."""

WAYS: Mapping[str, Sequence[tuple[str, str]]] = {
    "hall": (("Cellar", "cellar"), ("Yard", "yard"), ("Attic", "attic")),
    "cellar": (("up", "hall"), ("Hall", "hall"), ("Yard", "yard")),
    "yard": (("oak door", "hall"), ("hall", "hall"), ("attic", "attic")),
    "attic": (("jump", "yard"),),
}
"""What going there may be called; the last is listed nowhere."""

NPCS = ("Old Bram", "Ilse")
LINES = ("Who rang it?", "Farewell", "What bell?", "I see")
PAUSES = (0.0, 0.02, 0.3, 4.0, 8.0, 15.0, 30.0)


class Players(Protocol):
    """Those at one table; as :mod:`foretell.testing.drawing` has them."""

    rng: random.Random
    actors: list[str]
    open: dict[str, tuple[str, str, list[str]]]

    def draw_begin(self) -> list[Step]: ...
    def draw_end(self) -> list[Step]: ...
    def draw_exchange(self) -> list[Step]: ...
    def draw_disturb(self) -> list[Step]: ...
    def draw_calm(self) -> list[Step]: ...
    def draw_rewind(self) -> list[Step]: ...
    def draw_retell(self) -> list[Step]: ...
    def draw_kill(self) -> list[Step]: ...
    def draw_guest(self) -> list[Step]: ...
    def _step(self, do: str, **given: Any) -> list[Step]: ...
    def _say(self, who: str, text: str) -> list[Step]: ...
    def _new(self) -> int: ...


def draw_outing(players: Players, killed: bool) -> list[Step]:
    """Some rounds of it, and the way back into combat.

    :param killed: whether the process is, now and then.
    """
    return _Outing(players).draw(killed)


class _Outing:
    def __init__(self, players: Players) -> None:
        self.players = players
        self.rng = players.rng
        self.room = self.rng.choice(list(ROOMS))
        self.npc = ""

    def draw(self, killed: bool) -> list[Step]:
        rng, players = self.rng, self.players
        steps = players.draw_begin() + players.draw_end() + self._enter(self.room)
        deeds = {"go": 6, "stray": 1, "meet": 3, "speak": 6, "leave": 1, "fight": 1, "say": 1}
        other = {"disturb": 1, "calm": 1, "rewind": 1, "retell": 1, "guest": 1}
        other |= {"kill": 1} if killed else {}
        every = deeds | other
        for _ in range(rng.randint(3, 14)):
            [do] = rng.choices(list(every), list(every.values()))
            more = getattr(self, f"_{do}")() if do in deeds else getattr(players, f"draw_{do}")()
            more += players.draw_end()
            if more:
                more[0].wait = round(rng.choice(PAUSES) * rng.uniform(0.9, 1.1), 4)
            steps += more
        return steps + self._change({"mode": "combat", "dialogue": {}})

    def _change(self, what: Mapping[str, Any]) -> list[Step]:
        return self.players._step("change", what=what)

    def _enter(self, room: str) -> list[Step]:
        self.room, self.npc = room, ""
        return self._change({"mode": "exploration", "location": ROOMS[room], "dialogue": {}})

    def _deed(
        self, kind: str, name: str, targets: list[str], then: Mapping[str, Any]
    ) -> list[Step]:
        """It is declared, or not, and comes to its outcome."""
        rng, players = self.rng, self.players
        actor = rng.choice((*players.actors[:1] * 5, players.actors[1]))
        action, steps = None, []
        deed: dict[str, Any] = {"actor": actor, "name": name, "targets": targets, "type": kind}
        if rng.random() < 0.4:
            action = f"action-{players._new()}"
            given = {"rolled": "success"} if rng.random() < 0.2 else {}
            steps += players._step("declare", action=action, **deed, **given)
        if rng.random() < 0.15:
            steps += players.draw_disturb()
        result = rng.choice((*("success",) * 6, "failure", "odd"))
        steps += players._step(
            "outcome",
            action=action,
            **deed,
            results=[(each, result, None) for each in [*targets] or (None,)],
            how=rng.choice(("with", "before", "after", "said")),
            to=rng.choice(((), (), (), ("gm",))),
            then=then if result == "success" else {},
        )
        steps[-1].wait = round(rng.choice((0.0, 0.1, 4.0)) * rng.random(), 4)
        return steps

    def _go(self) -> list[Step]:
        if self.npc:
            return self._leave()
        name, room = self.rng.choice(WAYS[self.room])
        steps = self._deed("move", name, [], {"location": ROOMS[room]})
        if steps[-1].given["then"]:
            self.room = room
        return steps

    def _stray(self) -> list[Step]:
        """Somewhere else at once, by a way or without one."""
        return self._enter(self.rng.choice(list(ROOMS)))

    def _meet(self) -> list[Step]:
        self.npc = self.rng.choice(NPCS)
        lines = self.rng.sample(LINES, self.rng.randint(0, 3))
        options: list[Any] = [self.rng.choice((each, {"text": each})) for each in lines]
        talk = {"npc": self.npc, "topic": "the bell", "options": options}
        return self._change({"mode": "dialogue", "dialogue": talk})

    def _speak(self) -> list[Step]:
        rng = self.rng
        if not self.npc:
            return self._meet()
        options = rng.sample(LINES, rng.randint(0, 3))
        talk = {"npc": self.npc, "topic": rng.choice(("the bell", "the mill")), "options": options}
        then = rng.choice(({}, {"dialogue": talk}))
        return self._deed("talk", rng.choice(LINES), rng.choice(([self.npc], [])), then)

    def _leave(self) -> list[Step]:
        """The talk is over, or it is another that answers."""
        if self.npc and self.rng.random() < 0.3:
            return self._meet()
        self.npc = ""
        return self._change({"mode": "exploration", "dialogue": {}})

    def _fight(self) -> list[Step]:
        steps = self._change({"mode": "combat"}) + self.players.draw_exchange()
        return steps + self.players.draw_end() + self._enter(self.room)

    def _say(self) -> list[Step]:
        who = self.rng.choice(self.players.actors)
        words = (*LINES, *(f"I go to the {name}" for name, _ in WAYS[self.room]))
        return self.players._say(who, self.rng.choice(words))
