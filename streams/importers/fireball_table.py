"""What is known at the table at one moment: who is there, how they fare, what their sheets say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .avrae import Sheet, healths
from .common import Ids, slug

__all__ = ["Event", "Table"]

Json = Any
Event = dict[str, Any]

HEALTH = ("hp", "max_hp", "temp_hp", "ac")


class Table:
    """The combat as far as the recording has told it. Actors' ids are slugs of their names."""

    def __init__(self) -> None:
        self.by_uuid: dict[str, str] = {}
        self.by_name: dict[str, str] = {}
        self.sheets: dict[str, Sheet] = {}
        self.health: dict[str, dict[str, int]] = {}
        self.combatants: list[Event] = []
        self.mode: str | None = None
        self.round = 0
        self.current: str | None = None
        self._ids = Ids()
        self._master: str | None = None
        self._played: dict[str, list[str]] = {}

    def update(self, event: Event) -> None:
        """Take in a ``combat_state_update``."""
        data = event.get("data") or {}
        self.mode = "combat"
        self._master = str(data.get("dm"))
        self.combatants = members(event)
        for combatant in self.combatants:
            name, uuid = str(combatant.get("name")), str(combatant.get("id"))
            actor = self.by_uuid[uuid] = self.by_name[name] = self._ids.of(uuid, name)
            if combatant.get("type") == "player":
                played = self._played.setdefault(str(combatant.get("controller_id")), [])
                if actor not in played:
                    played.append(actor)
            if combatant.get("stats"):
                self.learn(combatant)
        self.read_health(str(event.get("human_readable") or ""))
        for combatant in self.combatants:
            known = self.health.setdefault(self.by_uuid[str(combatant.get("id"))], {})
            known |= {key: combatant[key] for key in HEALTH if isinstance(combatant.get(key), int)}
        index = data.get("current")
        up = [c for c in self.combatants if index is not None and c.get("index") == index]
        self.current = self.by_uuid[str(up[0].get("id"))] if up else None
        self.round = int(data.get("round") or 0)

    def learn(self, sheet: Mapping[str, Json]) -> None:
        """Take in a full sheet; it is the last to say how its owner fares."""
        actor = self.by_name.get(str(sheet["name"]))
        if actor is None:
            return
        self.sheets[actor] = Sheet.read(sheet)
        known = self.health.setdefault(actor, {})
        for key in HEALTH:
            if isinstance(sheet.get(key), int):
                known.setdefault(key, sheet[key])

    def read_health(self, text: str) -> None:
        """Take in the health a text of the bot gives."""
        for name, health in healths(text).items():
            if actor := self.by_name.get(name):
                known = self.health.setdefault(actor, {})
                values = ((key, getattr(health, key)) for key in HEALTH)
                known |= {key: value for key, value in values if value is not None}

    def hp_in(self, event: Event) -> dict[str, int]:
        """The hit points that a ``combat_state_update`` gives, by actor, without taking it in."""
        found = {name: h.hp for name, h in healths(str(event.get("human_readable"))).items()}
        found |= {
            str(c.get("name")): c["hp"] for c in members(event) if isinstance(c.get("hp"), int)
        }
        return {self.by_name[name]: hp for name, hp in found.items() if name in self.by_name}

    def sheet(self, actor: str) -> Sheet:
        """The actor's sheet as far as it has been shown, or an empty one."""
        return self.sheets.get(actor) or Sheet()

    def player(self, event: Event) -> str:
        """The character a person plays, or the person's name where there is none yet."""
        played = self._played.get(str(event.get("author_id")))
        return played[0] if played else slug(str(event.get("author_name")))

    def speaker(self, event: Event, text: str) -> str:
        """Who speaks: the game master in what is quoted with ``>``, else the person's character."""
        quoted = text.lstrip().startswith(">")
        return (
            "dm" if quoted and str(event.get("author_id")) == self._master else self.player(event)
        )

    def end(self) -> None:
        """The combat is over."""
        self.mode, self.current = "exploration", None

    def state(self) -> dict[str, Json]:
        """The snapshot."""
        turn = {"round": self.round, "turn": self.current} if self.mode == "combat" else {}
        actors = {self.by_uuid[str(c.get("id"))]: self._entry(c) for c in self.combatants}
        return {"mode": self.mode, **turn, "actors": actors}

    def _entry(self, combatant: Event) -> dict[str, Json]:
        actor = self.by_uuid[str(combatant.get("id"))]
        sheet, health = self.sheet(actor), self.health.get(actor, {})
        masters = str(combatant.get("controller_id")) == self._master
        foe = masters and combatant.get("type") != "player"
        effects = [str(effect.get("name")) for effect in combatant.get("effects") or ()]
        known = {
            **{key: health.get(key) for key in ("hp", "max_hp", "ac")},
            "temp_hp": health.get("temp_hp") or None,
            "conditions": effects,
            "attacks": list(sheet.attacks) or None,
            "spells": sheet.spells or None,
            "actions": sheet.actions or None,
            **sheet.about,
        }
        return {
            "name": combatant.get("name"),
            "side": "foes" if foe else "party",
            **{key: value for key, value in known.items() if value is not None},
        }


def members(event: Event) -> list[Event]:
    """The combatants of a ``combat_state_update``, those in groups included."""
    found: list[Event] = []
    for combatant in (event.get("data") or {}).get("combatants") or ():
        inner = combatant.get("combatants")
        found += inner if isinstance(inner, list) else [combatant]
    return found
