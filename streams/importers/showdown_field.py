"""Pokémon Showdown: the field as far as a battle has told of it, and how each line changes it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from copy import deepcopy
from itertools import groupby
from typing import Any

from .common import Ids
from .showdown_lines import Ident, Line

__all__ = ["Field", "condition"]

Json = Any

CONDITION = re.compile(r"(\d{1,9})(?:/(\d{1,9})\w?)?(?: (\w+))?")
STATUSES = ("brn", "frz", "par", "psn", "slp", "tox")
OF_THE_MOVE = re.compile(r"(?i:drain|recoil)|move: .*")
LIMIT = 6
"""A stat can be raised or lowered by so many stages."""


def condition(text: str) -> tuple[int, int | None, str]:
    """Hit points, the most of them where told, and the status: ``104/274 par``, ``0 fnt``.

    :raises ValueError: for anything else.
    """
    match = CONDITION.fullmatch(text)
    if match is None:
        raise ValueError(f"no hit points such as 104/274: {text!r}")
    hp, most, status = match.groups()
    return int(hp), int(most) if most else None, status or ""


class Field:
    """The state, and the changes of it that are not written yet.

    ``because`` is the action whose effects the lines that are being read tell of.
    """

    def __init__(self) -> None:
        self.ids = Ids()
        self.active: dict[str, str] = {}  # by slot: who stands there
        self.state: dict[str, Json] = {"mode": "combat", "actors": {}, "sides": {}}
        self.because: str | None = None
        self._changes: list[tuple[str | None, dict[str, Json]]] = []

    def id_of(self, ident: Ident) -> str:
        """The actor's id: ``p1-gengar``."""
        return self.ids.of(ident.key)

    def known(self, ident: Ident) -> str:
        """The id of one that has come in before.

        :raises ValueError: if it has not.
        """
        actor = self.id_of(ident)
        if actor not in self.state["actors"]:
            raise ValueError(f"{ident.name} of {ident.side} has not come in")
        return actor

    def actor(self, actor: str) -> Mapping[str, Json]:
        """What is known of one."""
        found: Mapping[str, Json] = self.state["actors"][actor]
        return found

    def set(self, *path: str, value: Json) -> None:
        """Change the state; what is as it should be already is left as it is."""
        *outer, last = path
        inside = self.state
        for key in outer:
            inside = inside[key]
        if last in inside and inside[last] == value:
            return
        operation = "replace" if last in inside else "add"
        inside[last] = value
        change = {"op": operation, "path": "/" + "/".join(path), "value": deepcopy(value)}
        self._changes.append((self.because, change))

    def changes(self) -> list[tuple[str | None, list[dict[str, Json]]]]:
        """The patches since the last time, each with the action it is an effect of."""
        found = [
            (because, [change for _, change in group])
            for because, group in groupby(self._changes, key=lambda each: each[0])
        ]
        self._changes.clear()
        return found

    def read(self, line: Line, action_id: str | None = None) -> None:
        """Change the state as a line says; lines that change nothing are passed over.

        :param action_id: the action that the line followed, and is an effect of unless it gives
            another reason: an item, an ability, a status.
        :raises ValueError: if the line is not as the protocol has it.
        """
        reason = line.tags.get("from")
        own = reason is None or OF_THE_MOVE.fullmatch(reason)
        self.because = action_id if own or line.kind == "switch" else None
        if reader := READERS.get(line.kind):
            reader(self, line)
        self.because = None

    def learn(self, actor: str, action: Mapping[str, Json], action_id: str | None) -> None:
        """Note that an actor has this move; one that it copied is not its own."""
        self.because = action_id
        entry = {"type": action["type"], "name": action["name"]}
        known = self.actor(actor)["actions"]
        names = [each["name"] for each in known]
        if entry["name"] not in names and "Transform" not in self.actor(actor)["conditions"]:
            self.set("actors", actor, "actions", value=[*known, entry])
        self.because = None

    def end_turn(self) -> None:
        """What lasts for one turn is over."""
        for actor, entry in self.state["actors"].items():
            if entry.get("stance"):
                self.set("actors", actor, "stance", value=None)

    # Who is there

    def _player(self, line: Line) -> None:
        side, name = line.arg(0), line.arg(1)
        if re.fullmatch(r"p\d", side) and name and side not in self.state["sides"]:
            self.set("sides", side, value={"name": name, "conditions": []})

    def _enter(self, line: Line) -> None:
        ident = line.who
        actor, slot = self.id_of(ident), ident.slot
        hp, most, status = condition(line.arg(2))
        if slot in self.active:
            self._leave(self.active.pop(slot))
        species, *details = line.arg(1).split(", ")
        if actor not in self.state["actors"]:
            entry: dict[str, Json] = {"name": ident.name, "side": ident.side, "species": species}
            for word in details:
                if re.fullmatch(r"L\d{1,3}", word):
                    entry["level"] = int(word[1:])
                elif word in ("M", "F"):
                    entry["gender"] = word
            entry |= {"hp": hp, "max_hp": most or hp, "conditions": [], "boosts": {}}
            entry |= {"actions": [], "active": True}
            self.set("actors", actor, value=entry)
        self.active[slot] = actor
        self.set("actors", actor, "active", value=True)
        self.set("actors", actor, "species", value=species)
        self._health(actor, hp, most, status)

    def _leave(self, actor: str) -> None:
        """What does not outlast being on the field is gone."""
        keep = [each for each in self.actor(actor)["conditions"] if each in (*STATUSES, "fainted")]
        self.set("actors", actor, "conditions", value=keep)
        self.set("actors", actor, "boosts", value={})
        self.set("actors", actor, "active", value=False)

    def _form(self, line: Line) -> None:
        species = line.arg(1).partition(",")[0]
        self.set("actors", self.known(line.who), "species", value=species)

    # Health and conditions

    def _struck(self, line: Line) -> None:
        self._health(self.known(line.who), *condition(line.arg(1)))

    def _health(self, actor: str, hp: int, most: int | None, status: str) -> None:
        self.set("actors", actor, "hp", value=hp)
        if most is not None:
            self.set("actors", actor, "max_hp", value=most)
        others = [
            each for each in self.actor(actor)["conditions"] if each not in (*STATUSES, "fainted")
        ]
        if hp == 0 or status == "fnt":
            self.set("actors", actor, "conditions", value=["fainted"])
        else:
            status_now = [status] if status in STATUSES else []
            self.set("actors", actor, "conditions", value=status_now + others)

    def _faint(self, line: Line) -> None:
        self._health(self.known(line.who), 0, None, "fnt")

    def _status(self, line: Line) -> None:
        actor, said = self.known(line.who), line.arg(1)
        kept = [each for each in self.actor(actor)["conditions"] if each not in STATUSES]
        cured = line.kind != "-status"
        value = kept if cured or said not in STATUSES else [said, *kept]
        self.set("actors", actor, "conditions", value=value)

    def _begin(self, line: Line) -> None:
        actor = self.known(line.who)
        word = {"-mustrecharge": "recharge", "-transform": "Transform"}.get(line.kind)
        self._with("actors", actor, word=word or _effect(line.arg(1)))

    def _cease(self, line: Line) -> None:
        self._without("actors", self.known(line.who), word=_effect(line.arg(1)))

    def _stance(self, line: Line) -> None:
        self.set("actors", self.known(line.who), "stance", value=_effect(line.arg(1)))

    def _boost(self, line: Line) -> None:
        actor, stat, said = self.known(line.who), line.arg(1), line.arg(2)
        if not re.fullmatch(r"[a-z]{2,9}", stat) or not re.fullmatch(r"-?\d{1,2}", said):
            raise ValueError(f"no stat and stages such as atk|1: {stat}|{said}")
        now = dict(self.actor(actor)["boosts"])
        before = 0 if line.kind == "-setboost" else now.pop(stat, 0)
        by = -int(said) if line.kind == "-unboost" else int(said)
        now[stat] = max(-LIMIT, min(LIMIT, before + by))
        self.set("actors", actor, "boosts", value=_stages(now))

    def _unboosted(self, line: Line) -> None:
        whose = self.active.values() if line.kind == "-clearallboost" else [self.known(line.who)]
        signs = {"-clearnegativeboost": (1,), "-clearpositiveboost": (-1,)}.get(line.kind, ())
        for actor in whose:
            now = self.actor(actor)["boosts"]
            kept = {stat: by for stat, by in now.items() if (1 if by > 0 else -1) in signs}
            self.set("actors", actor, "boosts", value=kept)

    def _item(self, line: Line) -> None:
        value = None if line.kind == "-enditem" else line.arg(1)
        self.set("actors", self.known(line.who), "item", value=value)

    def _ability(self, line: Line) -> None:
        self.set("actors", self.known(line.who), "ability", value=line.arg(1))

    # The whole field

    def _weather(self, line: Line) -> None:
        self.set("weather", value=None if line.arg(0) == "none" else line.arg(0))

    def _field(self, line: Line) -> None:
        if "field" not in self.state:
            self.set("field", value={"conditions": []})
        change = self._with if line.kind == "-fieldstart" else self._without
        change("field", word=_effect(line.arg(0)))

    def _side(self, line: Line) -> None:
        side = line.arg(0).partition(":")[0]
        if side not in self.state["sides"]:
            raise ValueError(f"{side!r} is no side of this battle")
        change = self._with if line.kind == "-sidestart" else self._without
        change("sides", side, word=_effect(line.arg(1)))

    def _won(self, line: Line) -> None:
        self.set("winner", value=line.arg(0) if line.kind == "win" else None)

    def _with(self, *path: str, word: str) -> None:
        now = self._conditions(path)
        if word not in now:
            self.set(*path, "conditions", value=[*now, word])

    def _without(self, *path: str, word: str) -> None:
        kept = [each for each in self._conditions(path) if each != word]
        self.set(*path, "conditions", value=kept)

    def _conditions(self, path: tuple[str, ...]) -> list[str]:
        inside = self.state
        for key in path:
            inside = inside[key]
        found: list[str] = inside["conditions"]
        return found

    def _cannot(self, line: Line) -> None:
        if line.arg(1) == "recharge":
            self._without("actors", self.known(line.who), word="recharge")


def _effect(text: str) -> str:
    return re.sub(r"^(move|ability|item): ", "", text)


def _stages(boosts: Mapping[str, int]) -> dict[str, int]:
    return {stat: by for stat, by in sorted(boosts.items()) if by}


READERS: Mapping[str, Callable[[Field, Line], None]] = {
    "player": Field._player,
    **dict.fromkeys(("switch", "drag", "replace"), Field._enter),
    **dict.fromkeys(("detailschange", "-formechange"), Field._form),
    **dict.fromkeys(("-damage", "-heal", "-sethp"), Field._struck),
    "faint": Field._faint,
    **dict.fromkeys(("-status", "-curestatus"), Field._status),
    **dict.fromkeys(("-start", "-mustrecharge", "-transform"), Field._begin),
    "-end": Field._cease,
    "cant": Field._cannot,
    "-singleturn": Field._stance,
    **dict.fromkeys(("-boost", "-unboost", "-setboost"), Field._boost),
    **dict.fromkeys(
        ("-clearboost", "-clearallboost", "-clearnegativeboost", "-clearpositiveboost"),
        Field._unboosted,
    ),
    **dict.fromkeys(("-item", "-enditem"), Field._item),
    "-ability": Field._ability,
    "-weather": Field._weather,
    **dict.fromkeys(("-fieldstart", "-fieldend"), Field._field),
    **dict.fromkeys(("-sidestart", "-sideend"), Field._side),
    **dict.fromkeys(("win", "tie"), Field._won),
}
"""What reads a line, by its kind."""
